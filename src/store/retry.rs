//! Pauses between attempts to reach a server that is gone.

use std::time::Duration;

use tokio::time::Instant;

/// Pauses that become longer from one failure to the next, and are never quite the same for two
/// programs. Failures that lie far apart do not belong together: after them the pauses begin anew.
#[derive(Debug)]
pub struct Retry {
    first: Duration,
    longest: Duration,
    next: Duration,
    failed: Option<Instant>,
}

impl Default for Retry {
    /// Pauses of a watch beside that of the hosts: from half a second to half a minute.
    fn default() -> Self {
        Self::new((Duration::from_millis(500), Duration::from_secs(30)))
    }
}

impl Retry {
    /// Pauses from the first to the longest of these, each twice as long as the one before.
    pub fn new((first, longest): (Duration, Duration)) -> Self {
        Self { first, longest, next: first, failed: None }
    }

    /// The pause after a failure that has just come: up to a quarter more than is due.
    pub fn pause(&mut self) -> Duration {
        self.due(Instant::now()).mul_f64(fastrand::f64().mul_add(0.25, 1.0))
    }

    fn due(&mut self, now: Instant) -> Duration {
        let since = self.failed.replace(now).map(|failed| now.saturating_duration_since(failed));
        // Longer than a pause and an attempt take: in between it worked.
        if since.is_none_or(|since| since > self.longest * 2) {
            self.next = self.first;
        }
        let pause = self.next;
        self.next = (pause * 2).min(self.longest);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_while_it_fails_and_begin_anew_when_it_has_worked() {
        let second = Duration::from_secs(1);
        let mut retry = Retry::new((second, 4 * second));
        let mut now = Instant::now();
        for due in [1, 2, 4, 4, 4] {
            assert_eq!(retry.due(now), due * second);
            // The attempt takes its time too.
            now += due * second + 3 * second;
        }
        assert_eq!(retry.due(now + 9 * second), second);
        assert!((2 * second..=second * 5 / 2).contains(&retry.pause()));
    }
}
