//! Certificate requests: watched, approved, denied.
