//! The view of what changed in the last 15 minutes across the fleet, and where one is in it.

use super::Model;
use super::views::{Listed, Spot, View};
use crate::model::changes::{Changed, Field};
use crate::model::key::{NodeKey, Uid};

/// Where one is in the changes. A line is named by its host and its field, so that the cursor stays
/// with them when the same field changes again.
#[derive(Clone, Debug, Default)]
pub struct ChangesView {
    /// Numbers of the entries that the filter shows, the newest first.
    shown: Vec<u64>,
    /// What is under the cursor.
    pub spot: Spot<(Uid, Field)>,
}

/// The list as its cursor sees it.
struct List<'a>(&'a Model, &'a [u64]);

impl Listed for List<'_> {
    type Key = (Uid, Field);

    fn len(&self) -> usize {
        self.1.len()
    }

    fn rank(&self, (uid, field): &(Uid, Field)) -> Option<usize> {
        let number = self.0.changes.number(uid, field)?;
        self.1.binary_search_by(|other| number.cmp(other)).ok()
    }

    fn nth(&self, rank: usize) -> Option<(Uid, Field)> {
        let entry = self.0.changes.get(*self.1.get(rank)?)?;
        Some((entry.uid.clone(), entry.field.clone()))
    }
}

impl Model {
    /// How many changes the filter shows, and how many there are.
    pub fn changes_len(&self) -> (usize, usize) {
        (self.changes_view.shown.len(), self.changes.len().0)
    }

    /// The changes from the first line of the screen on.
    pub fn changes_shown(&self) -> impl Iterator<Item = &Changed> {
        let view = &self.changes_view;
        let list = List(self, &view.shown);
        let top = view.spot.top.as_ref().and_then(|top| list.rank(top)).unwrap_or(0);
        view.shown.iter().skip(top).filter_map(|number| self.changes.get(*number))
    }

    /// The change under the cursor.
    pub fn change(&self) -> Option<&Changed> {
        let (uid, field) = self.changes_view.spot.cursor.as_ref()?;
        self.changes.get(self.changes.number(uid, field)?)
    }

    pub(super) fn go_in_changes(&mut self, to: super::views::Move) {
        let filtered = self.inventory.is_filtered();
        let shown = |entry: &&Changed| !filtered || self.inventory.is_matched(&entry.uid);
        let shown: Vec<u64> =
            self.changes.newest().filter(shown).map(|entry| entry.number).collect();
        let mut spot = std::mem::take(&mut self.changes_view.spot);
        spot.go(&List(self, &shown), to);
        self.changes_view.shown = shown;
        self.changes_view.spot = spot;
    }

    /// The host of the change under the cursor.
    pub(super) fn changed_host(&self) -> Option<NodeKey> {
        let (uid, _) = self.changes_view.spot.cursor.as_ref()?;
        (self.views.now == View::Changes && self.inventory.get(uid).is_some())
            .then(|| NodeKey::Host(uid.clone()))
    }
}
