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
