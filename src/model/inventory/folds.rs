//! What is open and what is closed.

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::key::NodeKey;

/// Which groups are open, under one grouping.
///
/// Without a filter the groups of the lowest level are closed and those above them open, with one
/// everything is open: what was looked for is seen at once. What a person opens or closes is
/// remembered for each of the two by itself. `filtered` is
/// [`Inventory::is_filtered`](super::Inventory::is_filtered).
#[derive(Clone, Debug)]
pub struct Folds {
    /// Levels of the grouping.
    levels: usize,
    plain: Exceptions,
    filtered: Exceptions,
    /// What [`Folds::open_all`] or [`Folds::close_all`] made the rule, for plain and filtered.
    all: [Option<bool>; 2],
}

/// Which of the groups inside a group are not as the rule says, level under level.
#[derive(Clone, Debug, Default)]
struct Exceptions {
    here: bool,
    inside: HashMap<Arc<str>, Self>,
}

impl Exceptions {
    fn has<'a>(&self, mut names: impl Iterator<Item = &'a str>) -> bool {
        // Most often there are none, and this is asked for every group.
        !self.inside.is_empty()
            && names
                .try_fold(self, |group, name| group.inside.get(name))
                .is_some_and(|group| group.here)
    }

    fn toggle(&mut self, names: &[Arc<str>]) {
        let group = names
            .iter()
            .fold(self, |group, name| group.inside.entry(Arc::clone(name)).or_default());
        group.here = !group.here;
    }
}

impl Default for Folds {
    fn default() -> Self {
        Self::new(2)
    }
}

impl Folds {
    /// The folds of a grouping of so many levels.
    pub fn new(levels: usize) -> Self {
        Self {
            levels,
            plain: Exceptions::default(),
            filtered: Exceptions::default(),
            all: [None; 2],
        }
    }

    fn exceptions(&self, filtered: bool) -> &Exceptions {
        if filtered { &self.filtered } else { &self.plain }
    }

    fn exceptions_mut(&mut self, filtered: bool) -> &mut Exceptions {
        if filtered { &mut self.filtered } else { &mut self.plain }
    }

    /// Whether what is in the group under these names, of which there are `depth`, is shown if
    /// everything around it is open.
    pub(super) fn is_group_open<'a>(
        &self,
        names: impl Iterator<Item = &'a str>,
        depth: usize,
        filtered: bool,
    ) -> bool {
        let rule = self.all.get(usize::from(filtered)).copied().flatten();
        let rule = rule.unwrap_or(filtered || depth < self.levels);
        rule != self.exceptions(filtered).has(names)
    }

    /// Whether this node's children are shown. A host has none.
    pub fn is_open(&self, key: &NodeKey, filtered: bool) -> bool {
        match key {
            NodeKey::Group(path) => {
                let names = path.names().iter().map(AsRef::as_ref);
                self.is_group_open(names, path.depth(), filtered)
            }
            NodeKey::Host(_) => false,
        }
    }

    /// Opens what is closed and closes what is open.
    pub fn toggle(&mut self, key: &NodeKey, filtered: bool) {
        if let NodeKey::Group(path) = key {
            self.exceptions_mut(filtered).toggle(path.names());
        }
    }

    /// Opens a group. True if it was closed.
    pub fn open(&mut self, key: &NodeKey, filtered: bool) -> bool {
        let change = !matches!(key, NodeKey::Host(_)) && !self.is_open(key, filtered);
        if change {
            self.toggle(key, filtered);
        }
        change
    }

    /// Closes a group. True if it was open.
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
        let region = NodeKey::group(["eu"]);
        let cluster = NodeKey::group(["eu", "web"]);
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

    #[test]
    fn the_lowest_level_is_closed_at_first_however_many_there_are() {
        let (one, three) = (NodeKey::group(["a"]), NodeKey::group(["a", "b", "c"]));
        assert!(!Folds::new(1).is_open(&one, false));
        let mut folds = Folds::new(3);
        assert!(folds.is_open(&one, false) && !folds.is_open(&three, false));
        folds.toggle(&three, false);
        assert!(folds.is_open(&three, false) && folds.is_open(&NodeKey::group(["a", "b"]), false));
    }
}
