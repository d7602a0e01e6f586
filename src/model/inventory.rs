//! Every host of the fleet, as a tree of groups by any fields and labels (region and cluster, unless
//! one says otherwise), with counters that are always right, and as one list in any order.
//!
//! An event changes one row, one place in one group and the counters on the way up: O(log n),
//! whatever the size of the fleet. Nothing is ever recounted but the matches of a new filter.
//!
//! - `rows` has the hosts by number, `groups` their order in the tree and the counters.
//! - `lists` has some of them in another order: who is held, what runs; `table` has all of them.
//! - `staged` makes another grouping or another order in steps, beside the one that is shown.
//! - `search` has the filter: which hosts it chooses; `marks` what a person has chosen.
//! - `walk` and `tree` are the lines that a screen shows.
//! - `interner` has the texts that hosts share.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use k8s_openapi::jiff::Timestamp;

use super::intern::{Atom, Interner, Symbol};
use super::key::{ServerId, Uid};
use super::record::HostRecord;
use super::row::{Built, HostRow};
use super::shape::{Level, Sort};

mod bits;
mod counts;
mod folds;
mod groups;
mod keep;
mod lists;
mod marks;
mod roster;
mod rows;
mod scope;
mod search;
mod staged;
mod table;
mod tally;
mod tree;
mod walk;

pub use counts::Counts;
pub use folds::Folds;
pub use lists::List;
pub use marks::Marked;
pub use tally::{FacetCounts, Tally};
pub use tree::{Anchor, Line, named};

use bits::Bits;
use groups::Groups;
use lists::Lists;
use rows::Rows;
use scope::{Scope, scope};
use search::Search;
use staged::Staged;
use table::Table;

/// The fleet. The time is what the latest call said that it is; it never runs backwards.
#[derive(Default)]
pub struct Inventory {
    interner: Interner,
    rows: Rows,
    groups: Staged<Groups>,
    lists: Lists,
    table: Staged<Table>,
    search: Search,
    /// The hosts that are marked.
    marks: Bits,
    /// When a hold begins or ends next, by host.
    due: BTreeSet<(Timestamp, u32)>,
    due_of: HashMap<u32, Timestamp>,
    /// Hosts that could be read only in part.
    partial: BTreeSet<u32>,
    /// What is known of each server.
    servers: BTreeMap<ServerId, Served>,
    now: Timestamp,
}

/// What is known of a server.
#[derive(Clone, Copy, Debug, Default)]
struct Served {
    /// Number of its listing.
    listing: u32,
    /// Its objects without uid and name since that began.
    nameless: usize,
    /// Its hosts.
    hosts: usize,
}

/// Objects of which something could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    /// How many there are.
    pub count: usize,
    /// Namespace and name of the first few, and what is wrong with each.
    pub first: Vec<(String, String)>,
}

impl Problems {
    /// How many are named.
    const NAMED: usize = 5;
}

impl Inventory {
    /// An empty fleet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in a host that is new or has changed. True if anything that is shown changed.
    pub fn apply(&mut self, record: HostRecord, now: Timestamp) -> bool {
        self.now = self.now.max(now);
        let Some(uid) = record.uid() else {
            self.served(record.server).nameless += 1;
            return true;
        };
        let listing = self.served(record.server).listing;
        let slot = self.rows.slot_of(&uid);
        if let Some(slot) = slot
            && let Some(old) = self.rows.get(slot)
            && let Some(version) = record.metadata.resource_version.as_deref()
            && old.resource_version() == version
            && !version.is_empty()
        {
            self.rows.set_listing(slot, listing);
            return false;
        }
        let Some(new) = HostRow::build(record, self.now, &mut self.interner) else { return false };
        self.search.learn(&mut self.interner);
        if let Some(slot) = slot {
            return self.replace(slot, new, listing);
        }
        let server = new.row.uid().server();
        let slot = self.rows.insert(new, listing);
        self.served(server).hosts += 1;
        self.search.test(slot, &self.rows);
        self.groups.add(slot, scope!(self));
        self.table.add(slot, scope!(self));
        self.lists.add(slot, self.search.bits(), &self.rows);
        self.note(slot);
        true
    }

    /// Puts a new version in the place of a row.
    fn replace(&mut self, slot: u32, new: Built, listing: u32) -> bool {
        let Some(old) = self.rows.get(slot) else { return false };
        let pairs = self.rows.pairs(slot).to_vec();
        let same = pairs == new.pairs && old.looks_like(&new.row);
        let stays = old.place() == new.row.place()
            && self.groups.all(|groups| groups.keeps(old, &pairs, &new, &self.interner));
        if !stays {
            self.groups.remove(slot, scope!(self));
        }
        if !same {
            self.lists.remove(slot, self.search.bits(), &self.rows);
            self.table.remove(slot, scope!(self));
        }
        let Some(old) = self.rows.replace(slot, new, listing) else { return false };
        if !stays {
            self.search.test(slot, &self.rows);
            self.groups.add(slot, scope!(self));
        } else if !same {
            self.groups.set_health(slot, old.health(), scope!(self));
            self.retest(slot);
        }
        old.release(&pairs, &mut self.interner);
        if !same {
            self.lists.add(slot, self.search.bits(), &self.rows);
            self.table.add(slot, scope!(self));
            self.note(slot);
        }
        !same
    }

    /// Tests a host against the filter again, where it stands. True if the answer changed.
    fn retest(&mut self, slot: u32) -> bool {
        if self.rows.get(slot).is_none() {
            return false;
        }
        let before = self.search.test(slot, &self.rows);
        let after = self.search.bits().is_some_and(|bits| bits.has(slot));
        if before != after {
            self.groups.set_matched(slot, after, scope!(self));
            self.lists.set_matched(slot, after, &self.rows);
            self.table.set_matched(slot, after, scope!(self));
        }
        before != after
    }

    /// Writes down when the host changes by itself, and whether it could be read.
    fn note(&mut self, slot: u32) {
        let row = self.rows.get(slot);
        let next = row.and_then(|row| row.next_tick(self.now));
        let old = match next {
            Some(time) => self.due_of.insert(slot, time),
            None => self.due_of.remove(&slot),
        };
        if let Some(time) = old {
            self.due.remove(&(time, slot));
        }
        self.due.extend(next.map(|time| (time, slot)));
        if row.is_some_and(|row| row.problem().is_some()) {
            self.partial.insert(slot);
        } else {
            self.partial.remove(&slot);
        }
    }

    /// Forgets a host. True if it was there.
    pub fn delete(&mut self, uid: &Uid) -> bool {
        let Some(slot) = self.rows.slot_of(uid) else { return false };
        self.delete_slot(slot);
        true
    }

    fn delete_slot(&mut self, slot: u32) {
        self.marks.set(slot, false);
        self.groups.remove(slot, scope!(self));
        self.table.remove(slot, scope!(self));
        self.lists.remove(slot, self.search.bits(), &self.rows);
        let pairs = self.rows.pairs(slot).to_vec();
        if let Some(row) = self.rows.remove(slot) {
            let served = self.served(row.uid().server());
            served.hosts = served.hosts.saturating_sub(1);
            row.release(&pairs, &mut self.interner);
        }
        self.note(slot);
    }

    fn served(&mut self, server: ServerId) -> &mut Served {
        self.servers.entry(server).or_default()
    }

    /// Gives a server the name that hosts are grouped and found by.
    pub fn name_server(&mut self, server: ServerId, name: &str) {
        let symbol = self.interner.acquire(name).symbol();
        if let Some(old) = self.rows.name_server(server, symbol) {
            self.interner.release(old);
        }
        self.search.learn(&mut self.interner);
    }

    /// The name of a server; empty where it has none.
    pub fn server_name(&self, server: ServerId) -> &str {
        let name = self.rows.servers().get(server.index()).copied().flatten();
        name.and_then(|symbol| self.interner.get(symbol)).map_or("", Atom::as_str)
    }

    /// How many hosts a server has.
    pub fn hosts_on(&self, server: ServerId) -> usize {
        self.servers.get(&server).map_or(0, |served| served.hosts)
    }

    /// Begins a list of a server from the start: hosts of it that the list does not bring are
    /// deleted at its end. Until then they stay, so that listing again never blanks the screen.
    pub fn begin_resync(&mut self, server: ServerId) {
        let its = self.served(server);
        its.listing = its.listing.wrapping_add(1);
        its.nameless = 0;
    }

    /// Ends a list: deletes every host of the server that was not applied since it began. How many
    /// those were.
    pub fn end_resync(&mut self, server: ServerId) -> usize {
        let listing = self.served(server).listing;
        let old = |(slot, row): &(u32, &HostRow)| {
            self.rows.listing(*slot) != Some(listing) && row.uid().server() == server
        };
        let gone: Vec<u32> = self.rows.iter().filter(old).map(|(slot, _)| slot).collect();
        for slot in &gone {
            self.delete_slot(*slot);
        }
        gone.len()
    }

    /// Lets time pass: holds begin and end, ages cross the limits of the filter. True if anything
    /// that is shown changed.
    pub fn tick(&mut self, now: Timestamp) -> bool {
        self.now = self.now.max(now);
        let now = self.now;
        let mut changed = false;
        while let Some((time, slot)) = self.due.first().copied().filter(|(time, _)| *time <= now) {
            // `note` takes it out, but only if it is still that host's.
            self.due.remove(&(time, slot));
            changed |= self.tick_host(slot);
            self.note(slot);
        }
        for slot in self.search.advance(now) {
            changed |= self.retest(slot);
        }
        changed
    }

    /// Lets a host change by itself. True if it did.
    fn tick_host(&mut self, slot: u32) -> bool {
        let now = self.now;
        let Some(old) = self.rows.health(slot) else { return false };
        // Where it stands may follow from its state.
        let moves = !self.groups.all(|groups| !groups.follows_state());
        if moves {
            self.groups.remove(slot, scope!(self));
        }
        self.table.remove(slot, scope!(self));
        self.lists.remove(slot, self.search.bits(), &self.rows);
        let changed = self.rows.update(slot, |row| row.tick(now));
        if moves {
            self.search.test(slot, &self.rows);
            self.groups.add(slot, scope!(self));
        } else if changed {
            self.groups.set_health(slot, old, scope!(self));
            self.retest(slot);
        }
        self.table.add(slot, scope!(self));
        self.lists.add(slot, self.search.bits(), &self.rows);
        changed
    }

    /// Groups the hosts by these levels from the top. What is shown stays as it was until
    /// [`Inventory::shape_step`] is through.
    pub fn set_grouping(&mut self, levels: &[Level]) {
        self.groups.stage(|shown| (shown.levels() != levels).then(|| Groups::new(levels)));
    }

    /// By what the hosts are grouped, in what is shown.
    pub fn grouping(&self) -> &[Level] {
        self.groups.shown.levels()
    }

    /// Keeps all hosts as a list in this order ([`List::Table`]); none: by name. The list stays as
    /// it was until [`Inventory::shape_step`] is through.
    pub fn set_sort(&mut self, sort: Option<&Sort>) {
        self.table.stage(|shown| (!shown.is_by(sort)).then(|| Table::new(sort)));
    }

    /// Goes on with another grouping or order that was asked for last: takes about `rows` hosts in.
    /// True when there is nothing left to do.
    pub fn shape_step(&mut self, rows: usize) -> bool {
        let groups = self.groups.step(rows, scope!(self));
        // One after the other: a step takes no longer because there are two.
        groups && self.table.step(rows, scope!(self))
    }

    /// Whether [`Inventory::shape_step`] has work left.
    pub fn shape_pending(&self) -> bool {
        self.groups.is_staged() || self.table.is_staged()
    }

    /// Whether there is a list in some order ([`Inventory::set_sort`]).
    pub fn has_table(&self) -> bool {
        self.table.shown.is_kept()
    }

    /// When [`Inventory::tick`] next has something to do; none while nothing depends on time.
    pub fn next_tick(&self) -> Option<Timestamp> {
        let hold = self.due.first().map(|(time, _)| *time);
        let turn = self.search.next_turn().and_then(|time| Timestamp::from_second(time).ok());
        hold.into_iter().chain(turn).min()
    }

    /// The host with this uid.
    pub fn get(&self, uid: &Uid) -> Option<&HostRow> {
        self.rows.get(self.rows.slot_of(uid)?)
    }

    /// Whether the filter in force chooses this host; true without a filter.
    pub fn is_matched(&self, uid: &Uid) -> bool {
        let slot = self.rows.slot_of(uid);
        slot.is_some_and(|slot| self.search.bits().is_none_or(|bits| bits.has(slot)))
    }

    /// Labels of a row of this inventory, by key.
    pub fn labels(&self, row: &HostRow) -> impl Iterator<Item = (&str, &str)> + use<'_> {
        let slot = self.rows.slot_of(row.uid());
        let pairs = slot.map_or(&[] as &[_], |slot| self.rows.pairs(slot));
        pairs.iter().take(row.label_count()).filter_map(|(key, value)| {
            Some((self.interner.get(*key)?.as_str(), self.interner.get(*value)?.as_str()))
        })
    }

    /// The value of a label of a row of this inventory, by the key as it stands in the object.
    pub fn label(&self, row: &HostRow, key: &str) -> Option<&str> {
        let slot = self.rows.slot_of(row.uid())?;
        scope!(self).label(row, self.rows.pairs(slot), key)
    }

    /// Every label of every host.
    fn all_labels(&self) -> impl Iterator<Item = (Symbol, Symbol)> + use<'_> {
        self.rows
            .iter()
            .flat_map(|(slot, row)| self.rows.pairs(slot).iter().take(row.label_count()).copied())
    }

    /// How many hosts there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.len() == 0
    }

    /// How many hosts the filter chooses; all without a filter.
    pub fn matched(&self) -> usize {
        self.counts().matched as usize
    }

    /// The counters of the whole fleet.
    pub fn counts(&self) -> Counts {
        self.groups.shown.root.tallies.counts(self.is_filtered())
    }

    /// Objects of which something could not be read.
    pub fn problems(&self) -> Problems {
        let rows = self.partial.iter().filter_map(|slot| self.rows.get(*slot));
        let first = rows.take(Problems::NAMED).map(|row| {
            let name = format!("{}/{}", row.namespace(), row.name());
            (name, row.problem().unwrap_or_default().to_owned())
        });
        let nameless: usize = self.servers.values().map(|served| served.nameless).sum();
        Problems { count: self.partial.len() + nameless, first: first.collect() }
    }

    /// Every host, in no particular order.
    pub fn rows(&self) -> impl Iterator<Item = &HostRow> {
        self.rows.iter().map(|(_, row)| row)
    }

    /// Every host that the filter chooses, in the order of the tree, whatever is folded.
    pub fn matched_rows(&self) -> impl Iterator<Item = &HostRow> {
        let bits = self.search.bits();
        let slots =
            self.groups.shown.iter().filter(move |slot| bits.is_none_or(|bits| bits.has(*slot)));
        slots.filter_map(|slot| self.rows.get(slot))
    }

    /// Every label key with the number of hosts that have it, by key. O(labels of the fleet):
    /// for completion, not for every frame.
    pub fn label_keys(&self) -> Vec<(&str, usize)> {
        self.tally(self.all_labels().map(|(key, _)| key))
    }

    /// Every value of the labels that `key` means in a filter (`env` is
    /// `inventory.inv-tui.dev/environment` too), with the number of hosts that have it, by value.
    /// O(labels of the fleet).
    pub fn label_values(&self, key: &str) -> Vec<(&str, usize)> {
        let meant: BTreeSet<_> = self
            .interner
            .keys()
            .filter(|atom| super::filter::is_meant(key, atom.raw()))
            .map(Atom::symbol)
            .collect();
        let labels = self.all_labels().filter(|(key, _)| meant.contains(key));
        self.tally(labels.map(|(_, value)| value))
    }

    fn tally(&self, symbols: impl Iterator<Item = Symbol>) -> Vec<(&str, usize)> {
        let mut counts = vec![0_usize; self.interner.capacity()];
        for symbol in symbols {
            if let Some(count) = counts.get_mut(symbol.index()) {
                *count += 1;
            }
        }
        let atoms = self.interner.iter().map(|known| known.atom);
        let counted: BTreeMap<&str, usize> = atoms
            .filter_map(|atom| Some((atom.as_str(), *counts.get(atom.symbol().index())?)))
            .filter(|(_, count)| *count > 0)
            .collect();
        counted.into_iter().collect()
    }
}

#[cfg(test)]
mod tests;
