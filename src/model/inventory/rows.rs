//! The rows by number, and beside them what a pass over the whole fleet reads.
//!
//! A row keeps its number (its slot) as long as it lives; free slots are used again. Rows lie in
//! blocks that never move, so that growth neither copies the fleet nor needs twice its memory.

use std::collections::HashMap;

use crate::model::filter::Sketch;
use crate::model::key::{Place, Uid};
use crate::model::row::{Health, HostRow};

/// Rows in a block.
const BLOCK: usize = 1024;

#[derive(Default)]
pub(super) struct Rows {
    blocks: Vec<Vec<Option<HostRow>>>,
    free: Vec<u32>,
    by_uid: HashMap<Uid, u32>,
    facts: Vec<Facts>,
}

/// What is kept of a row outside it.
#[derive(Clone, Copy)]
pub(super) struct Facts {
    pub(super) sketch: Sketch,
    pub(super) health: Health,
    /// Number of the listing that last brought the row.
    pub(super) listing: u32,
}

impl Rows {
    pub(super) fn len(&self) -> usize {
        self.by_uid.len()
    }

    /// One more than the greatest slot.
    pub(super) fn slots(&self) -> usize {
        self.facts.len()
    }

    pub(super) fn slot_of(&self, uid: &Uid) -> Option<u32> {
        self.by_uid.get(uid).copied()
    }

    pub(super) fn get(&self, slot: u32) -> Option<&HostRow> {
        self.blocks.get(slot as usize / BLOCK)?.get(slot as usize % BLOCK)?.as_ref()
    }

    fn place_mut(&mut self, slot: u32) -> Option<&mut Option<HostRow>> {
        self.blocks.get_mut(slot as usize / BLOCK)?.get_mut(slot as usize % BLOCK)
    }

    pub(super) fn facts(&self, slot: u32) -> Option<&Facts> {
        self.facts.get(slot as usize)
    }

    pub(super) fn set_listing(&mut self, slot: u32, listing: u32) {
        if let Some(facts) = self.facts.get_mut(slot as usize) {
            facts.listing = listing;
        }
    }

    /// Where the row stands in its cluster. A free slot has the place before all others.
    pub(super) fn place(&self, slot: u32) -> Place<'_> {
        let none = Place { display: "", namespace: "", uid: "" };
        self.get(slot).map_or(none, HostRow::place)
    }

    /// Puts a row whose uid is not there yet into a slot.
    pub(super) fn insert(&mut self, row: HostRow, listing: u32) -> u32 {
        let facts = Facts { sketch: Sketch::of(&row), health: row.health(), listing };
        let uid = row.uid().clone();
        let slot = if let Some(slot) = self.free.pop() {
            if let Some(place) = self.facts.get_mut(slot as usize) {
                *place = facts;
            }
            if let Some(place) = self.place_mut(slot) {
                *place = Some(row);
            }
            slot
        } else {
            if self.blocks.last().is_none_or(|block| block.len() == BLOCK) {
                self.blocks.push(Vec::with_capacity(BLOCK));
            }
            if let Some(block) = self.blocks.last_mut() {
                block.push(Some(row));
            }
            self.facts.push(facts);
            u32::try_from(self.facts.len() - 1).unwrap_or(u32::MAX)
        };
        self.by_uid.insert(uid, slot);
        slot
    }

    /// Puts another version of a row in its place and gives back the old one.
    pub(super) fn replace(&mut self, slot: u32, row: HostRow, listing: u32) -> Option<HostRow> {
        if let Some(place) = self.facts.get_mut(slot as usize) {
            *place = Facts { sketch: Sketch::of(&row), health: row.health(), listing };
        }
        self.place_mut(slot)?.replace(row)
    }

    /// Takes a row out.
    pub(super) fn remove(&mut self, slot: u32) -> Option<HostRow> {
        let row = self.place_mut(slot)?.take()?;
        self.by_uid.remove(row.uid());
        self.free.push(slot);
        Some(row)
    }

    /// Lets a row change itself by what [`HostRow::tick`] does; its other facts stay.
    pub(super) fn update(&mut self, slot: u32, change: impl FnOnce(&mut HostRow) -> bool) -> bool {
        let Some(Some(row)) = self.place_mut(slot) else { return false };
        let changed = change(row);
        let health = row.health();
        if let Some(facts) = self.facts.get_mut(slot as usize) {
            facts.health = health;
        }
        changed
    }

    /// Every row with its slot, by slot.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &HostRow)> {
        let all = self.blocks.iter().flatten();
        (0..).zip(all).filter_map(|(slot, row)| row.as_ref().map(|row| (slot, row)))
    }
}
