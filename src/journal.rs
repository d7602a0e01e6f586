//! What this person did, kept on disk.
