//! What ends a single pass before everything is read: a refusal, or a server that says nothing.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Error, Result};

/// How long a single pass waits for a server from which it hears nothing.
const PATIENCE: Duration = Duration::from_mins(1);

/// A single pass that is still reading.
pub(super) struct Reading {
    heard: Instant,
    /// Why a list broke off last.
    last: Option<Error>,
}

impl Reading {
    /// It begins now.
    pub(super) fn begin() -> Self {
        Self { heard: Instant::now(), last: None }
    }

    /// Something was read or done.
    pub(super) fn heard(&mut self) {
        *self = Self::begin();
    }

    /// A list broke off. It is tried again by itself, unless `stays`: nobody but a person can mend it.
    ///
    /// # Errors
    /// It stays so, with the exit code for set-up.
    pub(super) fn failed(&mut self, problem: Error, stays: bool) -> Result<()> {
        if stays {
            return Err(problem.as_usage());
        }
        self.last = Some(problem);
        Ok(())
    }

    /// Until when something must be heard.
    pub(super) fn until(&self) -> Instant {
        self.heard + PATIENCE
    }

    /// Why it ends when nothing is heard until then.
    pub(super) fn over(self) -> Error {
        let what = format!("nothing could be read for {} s", PATIENCE.as_secs());
        match self.last {
            Some(problem) => Error::new(what).because(problem),
            None => Error::new(what).hint("the server is overloaded or out of reach"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{EXIT_FAILED, EXIT_USAGE, chain};

    #[test]
    fn a_pass_ends_when_nothing_is_heard_and_at_once_when_it_is_refused() {
        let mut reading = Reading::begin();
        let first = reading.until();
        reading.heard();
        assert!(reading.until() >= first);
        let until = reading.until();
        reading.failed(Error::new("the server answered 503"), false).unwrap();
        assert_eq!(reading.until(), until, "a failure is nothing heard");
        let refused = reading.failed(Error::new("refused"), true).unwrap_err();
        assert_eq!(refused.exit_code(), EXIT_USAGE);
        let over = reading.over();
        assert_eq!(over.exit_code(), EXIT_FAILED);
        assert_eq!(chain(&over), "nothing could be read for 60 s: the server answered 503");
    }
}
