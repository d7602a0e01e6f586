//! All hosts as one list, in the order of one column.

use std::cmp::Ordering;

use crate::model::column::{Beside, SortKey};
use crate::model::key::Place;
use crate::model::shape::{Level, Sort};

use super::bits::Bits;
use super::roster::{Order, Roster};
use super::rows::Rows;
use super::scope::Scope;
use super::staged::Index;

/// By what the hosts have under a column, then by their names.
///
/// What each has there is kept: it may be a label, which a row alone does not tell, and a text made
/// for every comparison would cost more than the memory.
#[derive(Debug, Default)]
pub(super) struct BySort {
    /// By slot; without a column nothing is kept.
    keys: Vec<SortKey>,
    descending: bool,
}

/// Where a host stands in the table.
pub(super) struct Rank<'a> {
    key: &'a SortKey,
    descending: bool,
    place: Place<'a>,
}

impl Ord for Rank<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.compare(other.key, self.descending).then_with(|| self.place.cmp(&other.place))
    }
}

impl PartialOrd for Rank<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Rank<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Rank<'_> {}

impl Order for BySort {
    type Key<'a> = Rank<'a>;

    fn key<'a>(&'a self, slot: u32, rows: &'a Rows) -> Rank<'a> {
        let key = self.keys.get(slot as usize).unwrap_or(&SortKey::Nothing);
        Rank { key, descending: self.descending, place: rows.place(slot) }
    }
}

/// The list. Nobody asked for one: it has nothing and costs nothing.
#[derive(Default)]
pub(super) struct Table {
    kept: bool,
    sort: Option<Sort>,
    pub(super) roster: Roster<BySort>,
}

impl Table {
    /// An empty list in this order; none: by name.
    pub(super) fn new(sort: Option<&Sort>) -> Self {
        let descending = sort.is_some_and(|sort| sort.descending);
        let order = BySort { keys: Vec::new(), descending };
        Self { kept: true, sort: sort.cloned(), roster: Roster::new(order) }
    }

    pub(super) fn is_kept(&self) -> bool {
        self.kept
    }

    /// Whether this is the list in that order.
    pub(super) fn is_by(&self, sort: Option<&Sort>) -> bool {
        self.kept && self.sort.as_ref() == sort
    }

    fn key(&self, slot: u32, scope: Scope<'_>) -> Option<SortKey> {
        let (sort, row) = (self.sort.as_ref()?, scope.rows.get(slot)?);
        let pairs = scope.rows.pairs(slot);
        let label = |key: &str| scope.label(row, pairs, key);
        let server = scope.at(&Level::Server, slot);
        Some(sort.column.sort_key(row, Beside { server, label }))
    }
}

impl Index for Table {
    fn add(&mut self, slot: u32, scope: Scope<'_>) {
        if !self.kept {
            return;
        }
        if let Some(key) = self.key(slot, scope) {
            let keys = &mut self.roster.order.keys;
            let number = slot as usize;
            if number >= keys.len() {
                keys.resize(number + 1, SortKey::Nothing);
            }
            if let Some(place) = keys.get_mut(number) {
                *place = key;
            }
        }
        self.roster.insert(slot, scope.bits, scope.rows);
    }

    fn remove(&mut self, slot: u32, scope: Scope<'_>) {
        if self.kept {
            self.roster.remove(slot, scope.bits, scope.rows);
        }
    }

    fn set_matched(&mut self, slot: u32, matched: bool, scope: Scope<'_>) {
        if self.kept {
            self.roster.set_matched(slot, matched, scope.rows);
        }
    }

    fn recount(&mut self, bits: &Bits, _rows: &Rows) {
        self.roster.recount(bits, |_| {});
    }
}
