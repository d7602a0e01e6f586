//! How many hosts, and how they do.

use crate::model::row::Health;

/// Counters of the fleet, a region or a cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Hosts there are.
    pub total: u32,
    /// Hosts that the filter chooses; all without a filter.
    pub matched: u32,
    /// All hosts by health, in the order of [`Health::ALL`].
    pub health: [u32; Health::COUNT],
    /// Hosts that the filter chooses by health; all without a filter.
    pub matched_health: [u32; Health::COUNT],
}

impl Counts {
    /// How many of all hosts do like this.
    pub fn with(&self, health: Health) -> u32 {
        self.health.get(health.index()).copied().unwrap_or(0)
    }

    /// How many of the hosts that the filter chooses do like this.
    pub fn matched_with(&self, health: Health) -> u32 {
        self.matched_health.get(health.index()).copied().unwrap_or(0)
    }
}

/// One half of [`Counts`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) count: u32,
    pub(super) health: [u32; Health::COUNT],
}

impl Tally {
    pub(super) fn add(&mut self, health: Health) {
        self.count += 1;
        if let Some(count) = self.health.get_mut(health.index()) {
            *count += 1;
        }
    }

    pub(super) fn remove(&mut self, health: Health) {
        self.count = self.count.saturating_sub(1);
        if let Some(count) = self.health.get_mut(health.index()) {
            *count = count.saturating_sub(1);
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.count += other.count;
        for (mine, theirs) in self.health.iter_mut().zip(other.health) {
            *mine += theirs;
        }
    }
}

/// The two halves as they are kept. `matched` holds good only while there is a filter, so that
/// clearing one costs nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tallies {
    pub(super) all: Tally,
    pub(super) matched: Tally,
}

impl Tallies {
    pub(super) fn counts(&self, filtered: bool) -> Counts {
        let matched = if filtered { &self.matched } else { &self.all };
        Counts {
            total: self.all.count,
            matched: matched.count,
            health: self.all.health,
            matched_health: matched.health,
        }
    }

    /// Whether a line stands for this: something of it is chosen.
    pub(super) fn is_shown(&self, filtered: bool) -> bool {
        !filtered || self.matched.count > 0
    }
}
