//! What must be true before somebody acts on a host, and how the act is confirmed.
