//! How a change is confirmed.

/// How a change is confirmed. Policy can raise it, never lower it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// One host, reversible: `y`.
    Confirm,
    /// A reason typed by hand, then `y`.
    Reason,
    /// This text typed by hand, then `y`.
    Type(String),
}
