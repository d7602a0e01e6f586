//! What is due when: objects by the time at which somebody has to look at them again.

use std::collections::{BTreeSet, HashMap};

use jiff::{SignedDuration, Timestamp};

/// Longest pause before an object is tried again, in seconds.
const LONGEST: i64 = 60;

/// Objects that have something coming, by the time at which it is due. Each is in it once.
#[derive(Default)]
pub(crate) struct Jobs {
    order: BTreeSet<(Timestamp, String)>,
    /// When each is due, and how often it has failed.
    all: HashMap<String, (Timestamp, u32)>,
}

impl Jobs {
    /// The object is due then; what was known before no longer counts.
    pub(crate) fn set(&mut self, name: String, due: Option<Timestamp>, failures: u32) {
        if let Some((old, _)) = self.all.remove(&name) {
            self.order.remove(&(old, name.clone()));
        }
        if let Some(due) = due {
            self.order.insert((due, name.clone()));
            self.all.insert(name, (due, failures));
        }
    }

    /// Whether the object is due at some time.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.all.contains_key(name)
    }

    /// How many are.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// When the next one is due.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.order.first().map(|(due, _)| *due)
    }

    /// Takes what is due, with its failures so far.
    pub(crate) fn take(&mut self, now: Timestamp, most: usize) -> Vec<(String, u32)> {
        let mut taken = Vec::new();
        while taken.len() < most && self.next().is_some_and(|due| due <= now) {
            let Some((_, name)) = self.order.pop_first() else { break };
            let failures = self.all.remove(&name).map_or(0, |(_, failures)| failures);
            taken.push((name, failures));
        }
        taken
    }

    /// Tries an object again later, each time a little later.
    pub(crate) fn again(&mut self, name: String, failures: u32, now: Timestamp) {
        let pause = (1_i64 << failures.min(6)).min(LONGEST);
        let due = now.saturating_add(SignedDuration::from_secs(pause)).ok();
        self.set(name, due, failures.saturating_add(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn jobs_come_in_order_and_the_last_word_counts() {
        let mut jobs = Jobs::default();
        for (name, due) in [("a", 30), ("b", 20), ("c", 10), ("a", 5)] {
            jobs.set(name.into(), Some(at(due)), 0);
        }
        jobs.set("c".into(), None, 0);
        assert_eq!(jobs.next(), Some(at(5)));
        assert!(jobs.take(at(4), 9).is_empty());
        assert_eq!(jobs.take(at(60), 1), [("a".to_owned(), 0)]);
        assert_eq!(jobs.take(at(60), 9), [("b".to_owned(), 0)]);
        assert!(jobs.all.is_empty() && jobs.order.is_empty());
    }

    #[test]
    fn what_failed_is_tried_later_and_later() {
        let mut jobs = Jobs::default();
        let mut now = at(0);
        let mut pauses = Vec::new();
        jobs.set("a".into(), Some(now), 0);
        for _ in 0..8 {
            let due = jobs.next().unwrap();
            pauses.push(due.duration_since(now).as_secs());
            now = due;
            let taken = jobs.take(now, 9);
            jobs.again("a".into(), taken[0].1, now);
        }
        assert_eq!(pauses, [0, 1, 2, 4, 8, 16, 32, 60]);
    }
}
