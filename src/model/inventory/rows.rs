//! The rows by number, and beside them what a pass over the whole fleet reads.
//!
//! A row keeps its number (its slot) as long as it lives; free slots are used again. Rows lie in
//! blocks that never move, so that growth neither copies the fleet nor needs twice its memory.
//! What a filter reads of every row lies in each block side by side, in the order of the slots:
//! a pass then reads memory from front to back, which is several times as fast as following a
//! pointer for each row.

use std::collections::HashMap;

use crate::model::filter::{Sketch, Subject};
use crate::model::intern::Symbol;
use crate::model::key::{Place, ServerId, Uid};
use crate::model::row::{Built, Health, HostRow};

use super::bits::Bits;

mod pairs;

use pairs::Pairs;

/// Rows in a block.
const BLOCK: usize = 1024;

#[derive(Default)]
pub(super) struct Rows {
    blocks: Vec<Block>,
    free: Vec<u32>,
    by_uid: HashMap<Uid, u32>,
    /// The slots that are not free.
    live: Bits,
    health: Vec<Health>,
    /// Number of the listing of its server that last brought each row.
    listing: Vec<u32>,
    /// Names of servers, by their number.
    servers: Vec<Option<Symbol>>,
}

/// Some rows, one beside the other.
struct Block {
    rows: Vec<Option<HostRow>>,
    sketches: Vec<Sketch>,
    pairs: Pairs,
}

impl Block {
    fn new() -> Self {
        Self {
            rows: Vec::with_capacity(BLOCK),
            sketches: Vec::with_capacity(BLOCK),
            pairs: Pairs::default(),
        }
    }

    fn put(&mut self, number: usize, built: Built) -> Option<HostRow> {
        let sketch = Sketch::of(&built.row, &built.pairs);
        self.pairs.set(number, &built.pairs);
        if number >= self.rows.len() {
            self.rows.push(Some(built.row));
            self.sketches.push(sketch);
            return None;
        }
        if let Some(place) = self.sketches.get_mut(number) {
            *place = sketch;
        }
        self.rows.get_mut(number)?.replace(built.row)
    }

    fn subject<'a>(&'a self, number: usize, servers: &'a [Option<Symbol>]) -> Option<Subject<'a>> {
        Some(Subject {
            servers,
            sketch: self.sketches.get(number)?,
            pairs: self.pairs.get(number),
            row: self.rows.get(number)?,
        })
    }
}

fn split(slot: u32) -> (usize, usize) {
    (slot as usize / BLOCK, slot as usize % BLOCK)
}

impl Rows {
    pub(super) fn len(&self) -> usize {
        self.by_uid.len()
    }

    /// One more than the greatest slot.
    pub(super) fn slots(&self) -> usize {
        self.health.len()
    }

    /// The slots that have a row.
    pub(super) fn live(&self) -> &Bits {
        &self.live
    }

    pub(super) fn slot_of(&self, uid: &Uid) -> Option<u32> {
        self.by_uid.get(uid).copied()
    }

    pub(super) fn get(&self, slot: u32) -> Option<&HostRow> {
        let (block, number) = split(slot);
        self.blocks.get(block)?.rows.get(number)?.as_ref()
    }

    /// Labels of the row, and behind them what else counts as one.
    pub(super) fn pairs(&self, slot: u32) -> &[(Symbol, Symbol)] {
        let (block, number) = split(slot);
        self.blocks.get(block).map_or(&[], |block| block.pairs.get(number))
    }

    /// The row as a filter sees it. A free slot is seen as no host at all.
    pub(super) fn subject(&self, slot: u32) -> Option<Subject<'_>> {
        let (block, number) = split(slot);
        self.blocks.get(block)?.subject(number, &self.servers)
    }

    /// Names of servers, by their number.
    pub(super) fn servers(&self) -> &[Option<Symbol>] {
        &self.servers
    }

    /// Gives a server a name; the one that it had.
    pub(super) fn name_server(&mut self, server: ServerId, name: Symbol) -> Option<Symbol> {
        let known = self.servers.len().max(server.index() + 1);
        self.servers.resize(known, None);
        self.servers.get_mut(server.index())?.replace(name)
    }

    pub(super) fn health(&self, slot: u32) -> Option<Health> {
        self.health.get(slot as usize).copied()
    }

    pub(super) fn listing(&self, slot: u32) -> Option<u32> {
        self.listing.get(slot as usize).copied()
    }

    pub(super) fn set_listing(&mut self, slot: u32, listing: u32) {
        if let Some(place) = self.listing.get_mut(slot as usize) {
            *place = listing;
        }
    }

    /// Where the row stands in its cluster. A free slot has the place before all others.
    pub(super) fn place(&self, slot: u32) -> Place<'_> {
        let none = Place { display: "", namespace: "", uid: "" };
        self.get(slot).map_or(none, HostRow::place)
    }

    /// Puts a row whose uid is not there yet into a slot.
    pub(super) fn insert(&mut self, built: Built, listing: u32) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            if self.blocks.last().is_none_or(|block| block.rows.len() == BLOCK) {
                self.blocks.push(Block::new());
            }
            self.health.push(Health::Unknown);
            self.listing.push(0);
            u32::try_from(self.health.len() - 1).unwrap_or(u32::MAX)
        });
        self.by_uid.insert(built.row.uid().clone(), slot);
        self.live.set(slot, true);
        self.put(slot, built, listing);
        slot
    }

    /// Puts another version of a row in its place and gives back the old one.
    pub(super) fn replace(&mut self, slot: u32, built: Built, listing: u32) -> Option<HostRow> {
        self.put(slot, built, listing)
    }

    fn put(&mut self, slot: u32, built: Built, listing: u32) -> Option<HostRow> {
        self.set_listing(slot, listing);
        if let Some(place) = self.health.get_mut(slot as usize) {
            *place = built.row.health();
        }
        let (block, number) = split(slot);
        self.blocks.get_mut(block)?.put(number, built)
    }

    /// Takes a row out.
    pub(super) fn remove(&mut self, slot: u32) -> Option<HostRow> {
        let (block, number) = split(slot);
        let block = self.blocks.get_mut(block)?;
        let row = block.rows.get_mut(number)?.take()?;
        block.pairs.set(number, &[]);
        self.by_uid.remove(row.uid());
        self.live.set(slot, false);
        self.free.push(slot);
        Some(row)
    }

    /// Lets a row change by what [`HostRow::tick`] does.
    pub(super) fn update(&mut self, slot: u32, change: impl FnOnce(&mut HostRow) -> bool) -> bool {
        let (block, number) = split(slot);
        let rows = self.blocks.get_mut(block).map(|block| &mut block.rows);
        let Some(Some(row)) = rows.and_then(|rows| rows.get_mut(number)) else { return false };
        let changed = change(row);
        if let Some(place) = self.health.get_mut(slot as usize) {
            *place = row.health();
        }
        changed
    }

    /// Every row with its slot, by slot.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &HostRow)> {
        let all = self.blocks.iter().flat_map(|block| &block.rows);
        (0..).zip(all).filter_map(|(slot, row)| row.as_ref().map(|row| (slot, row)))
    }
}
