//! What is open and what is closed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::model::key::NodeKey;

/// Which regions and clusters are open.
///
/// Without a filter regions are open and clusters closed, with one everything is open: what was
/// looked for is seen at once. What a person opens or closes is remembered for each of the two by
/// itself. `filtered` is [`Inventory::is_filtered`](super::Inventory::is_filtered).
#[derive(Clone, Debug, Default)]
pub struct Folds {
    plain: Exceptions,
    filtered: Exceptions,
    /// What [`Folds::open_all`] or [`Folds::close_all`] made the rule, for plain and filtered.
    all: [Option<bool>; 2],
}

/// The nodes that are not as the rule says.
#[derive(Clone, Debug, Default)]
struct Exceptions {
    regions: HashSet<Arc<str>>,
    clusters: HashMap<Arc<str>, HashSet<Arc<str>>>,
}

impl Folds {
    fn exceptions(&self, filtered: bool) -> &Exceptions {
        if filtered { &self.filtered } else { &self.plain }
    }

    fn exceptions_mut(&mut self, filtered: bool) -> &mut Exceptions {
        if filtered { &mut self.filtered } else { &mut self.plain }
    }

    fn rule(&self, filtered: bool, otherwise: bool) -> bool {
        self.all.get(usize::from(filtered)).copied().flatten().unwrap_or(otherwise)
    }

    /// Whether the clusters of a region are shown.
    pub fn is_region_open(&self, region: &str, filtered: bool) -> bool {
        let regions = &self.exceptions(filtered).regions;
        let excepted = !regions.is_empty() && regions.contains(region);
        self.rule(filtered, true) != excepted
    }

    /// Whether the hosts of a cluster are shown if its region is open.
    pub fn is_cluster_open(&self, region: &str, cluster: &str, filtered: bool) -> bool {
        let clusters = &self.exceptions(filtered).clusters;
        let excepted = !clusters.is_empty()
            && clusters.get(region).is_some_and(|clusters| clusters.contains(cluster));
        self.rule(filtered, filtered) != excepted
    }

    /// Whether this node's children are shown. A host has none.
    pub fn is_open(&self, key: &NodeKey, filtered: bool) -> bool {
        match key {
            NodeKey::Region(region) => self.is_region_open(region, filtered),
            NodeKey::Cluster(region, cluster) => self.is_cluster_open(region, cluster, filtered),
            NodeKey::Host(_) => false,
        }
    }

    /// Opens what is closed and closes what is open.
    pub fn toggle(&mut self, key: &NodeKey, filtered: bool) {
        let exceptions = self.exceptions_mut(filtered);
        match key {
            NodeKey::Region(region) => {
                if !exceptions.regions.remove(region) {
                    exceptions.regions.insert(Arc::clone(region));
                }
            }
            NodeKey::Cluster(region, cluster) => {
                let clusters = exceptions.clusters.entry(Arc::clone(region)).or_default();
                if !clusters.remove(cluster) {
                    clusters.insert(Arc::clone(cluster));
                }
            }
            NodeKey::Host(_) => {}
        }
    }

    /// Opens a region or a cluster. True if it was closed.
    pub fn open(&mut self, key: &NodeKey, filtered: bool) -> bool {
        let change = !matches!(key, NodeKey::Host(_)) && !self.is_open(key, filtered);
        if change {
            self.toggle(key, filtered);
        }
        change
    }

    /// Closes a region or a cluster. True if it was open.
    pub fn close(&mut self, key: &NodeKey, filtered: bool) -> bool {
        let change = self.is_open(key, filtered);
        if change {
            self.toggle(key, filtered);
        }
        change
    }

    /// Opens everything.
    pub fn open_all(&mut self, filtered: bool) {
        self.set_all(true, filtered);
    }

    /// Closes everything.
    pub fn close_all(&mut self, filtered: bool) {
        self.set_all(false, filtered);
    }

    fn set_all(&mut self, open: bool, filtered: bool) {
        *self.exceptions_mut(filtered) = Exceptions::default();
        if let Some(all) = self.all.get_mut(usize::from(filtered)) {
            *all = Some(open);
        }
    }

    /// Forgets what was opened and closed under a filter: a new filter shows everything it finds.
    pub fn reset_filtered(&mut self) {
        self.filtered = Exceptions::default();
        self.all[1] = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mode_has_its_rule_and_its_exceptions() {
        let region = NodeKey::Region("eu".into());
        let cluster = NodeKey::Cluster("eu".into(), "web".into());
        let mut folds = Folds::default();
        assert!(folds.is_open(&region, false) && !folds.is_open(&cluster, false));
        assert!(folds.is_open(&region, true) && folds.is_open(&cluster, true));
        assert!(folds.open(&cluster, false) && !folds.open(&cluster, false));
        assert!(folds.close(&cluster, true) && !folds.close(&cluster, true));
        assert!(folds.is_open(&cluster, false) && !folds.is_open(&cluster, true));
        folds.close_all(false);
        assert!(!folds.is_open(&region, false) && !folds.is_open(&cluster, false));
        folds.toggle(&region, false);
        assert!(folds.is_open(&region, false));
        folds.open_all(false);
        assert!(folds.is_open(&region, false) && folds.is_open(&cluster, false));
        folds.reset_filtered();
        assert!(folds.is_open(&cluster, true));
        assert!(!folds.open(&NodeKey::Host("u".into()), false));
    }
}
