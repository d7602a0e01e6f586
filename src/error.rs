//! The error that a person reads: what happened, why, and what to do next.

use std::error::Error as StdError;
use std::fmt;

/// Result with our [`struct@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The whole thing was done.
pub const EXIT_DONE: u8 = 0;
/// Part of it was not done, or nothing.
pub const EXIT_FAILED: u8 = 1;
/// Wrong usage or set-up: nothing was tried.
pub const EXIT_USAGE: u8 = 2;
/// Another one does this work now: nothing was tried.
pub const EXIT_BUSY: u8 = 3;
/// Nothing was found, where that was to be told.
pub const EXIT_NOTHING: u8 = 4;

/// What happened, with its cause and a hint what to do next.
///
/// The text says what happened in lower case without a full stop, names in quotes; it never
/// contains the cause, which [`report`] prints after it.
#[derive(Debug)]
pub struct Error {
    what: String,
    cause: Option<Box<dyn StdError + Send + Sync>>,
    hint: Option<String>,
    exit: u8,
}

impl Error {
    /// An error with this text, no cause, no hint, and the exit code [`EXIT_FAILED`].
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), cause: None, hint: None, exit: EXIT_FAILED }
    }

    /// An error of usage or set-up: the exit code is [`EXIT_USAGE`].
    pub fn usage(what: impl Into<String>) -> Self {
        Self { exit: EXIT_USAGE, ..Self::new(what) }
    }

    /// There is nothing that fits: the exit code is [`EXIT_NOTHING`].
    pub fn nothing(what: impl Into<String>) -> Self {
        Self { exit: EXIT_NOTHING, ..Self::new(what) }
    }

    /// The same error with its cause.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// The same error with what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same error as one of usage or set-up.
    #[must_use]
    pub fn as_usage(mut self) -> Self {
        self.exit = EXIT_USAGE;
        self
    }

    /// The same error, because another one does this work now.
    #[must_use]
    pub fn as_busy(mut self) -> Self {
        self.exit = EXIT_BUSY;
        self
    }

    /// What to do next: of this error, else of the nearest cause that knows.
    pub fn next_step(&self) -> Option<&str> {
        self.hint.as_deref().or_else(|| hint_in(self.source()?))
    }

    /// The exit code that this error ends the program with.
    pub fn exit_code(&self) -> u8 {
        self.exit
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_deref().map(|cause| cause as &(dyn StdError + 'static))
    }
}

fn hint_in<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a str> {
    let mut current = Some(error);
    while let Some(error) = current {
        if let Some(hint) = error.downcast_ref::<Error>().and_then(|e| e.hint.as_deref()) {
            return Some(hint);
        }
        current = error.source();
    }
    None
}

/// The chain of an error on one line, `what: why: why`. A cause that its parent already ends with
/// is left out (kube prints causes inside their parents). Control characters are made harmless.
pub fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut current = error.source();
    while let Some(cause) = current {
        let part = cause.to_string();
        if !part.is_empty() && !text.ends_with(&part) && !text.contains(&format!("{part}: ")) {
            text.push_str(": ");
            text.push_str(&part);
        }
        current = cause.source();
    }
    crate::model::text::clean(&text).into_owned()
}

/// What a person reads on stderr: the chain, and the hint on a line of its own.
pub fn report(error: &(dyn StdError + 'static)) -> String {
    let chain = chain(error);
    match hint_in(error) {
        Some(hint) => format!("inv-tui: {chain}\nhint: {hint}"),
        None => format!("inv-tui: {chain}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_does_not_double_a_cause() {
        #[derive(Debug)]
        struct Doubling(std::io::Error);
        impl fmt::Display for Doubling {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "service error: {}", self.0)
            }
        }
        impl StdError for Doubling {
            fn source(&self) -> Option<&(dyn StdError + 'static)> {
                Some(&self.0)
            }
        }
        let error = Error::new("cannot list hosts")
            .because(Doubling(std::io::Error::other("connection refused")))
            .hint("start the server");
        assert_eq!(chain(&error), "cannot list hosts: service error: connection refused");
        assert_eq!(
            report(&error),
            "inv-tui: cannot list hosts: service error: connection refused\nhint: start the server"
        );
    }

    #[test]
    fn a_hint_of_a_cause_is_found_and_hostile_text_is_not_passed_on() {
        let inner = Error::usage("no context \"a\u{1b}[2J\"").hint("kubectl config get-contexts");
        let outer = Error::new("cannot connect").because(inner);
        assert_eq!(outer.next_step(), Some("kubectl config get-contexts"));
        assert!(!report(&outer).contains('\u{1b}'));
    }
}
