//! Hosts in an order: those of one group by name, those of a list by what the list is about.
//!
//! A sorted list in chunks: a step to the neighbour, the n-th host, the number of a host and a
//! change all cost O(log n) comparisons and a walk over the chunks, and a host costs four bytes
//! (its key is in its row). Each chunk knows how many of its hosts the filter chooses, so that
//! stretches without any are stepped over.

use crate::model::key::Place;

use super::bits::Bits;
use super::rows::Rows;

/// Most hosts in a chunk.
const CHUNK: usize = 256;

/// By what the hosts of a roster are ordered. No two hosts have the same key.
pub(super) trait Order {
    type Key<'a>: Ord
    where
        Self: 'a;

    /// The key of the row in this slot.
    fn key<'a>(&'a self, slot: u32, rows: &'a Rows) -> Self::Key<'a>;
}

/// The order of the tree: by the name that people see.
#[derive(Debug, Default)]
pub(super) struct ByPlace;

impl Order for ByPlace {
    type Key<'a> = Place<'a>;

    fn key<'a>(&'a self, slot: u32, rows: &'a Rows) -> Place<'a> {
        rows.place(slot)
    }
}

#[derive(Debug, Default)]
pub(super) struct Roster<O = ByPlace> {
    chunks: Vec<Chunk>,
    pub(super) order: O,
}

#[derive(Debug, Default)]
struct Chunk {
    slots: Vec<u32>,
    matched: u32,
}

impl Chunk {
    fn shown(&self, bits: Option<&Bits>) -> usize {
        if bits.is_some() { self.matched as usize } else { self.slots.len() }
    }
}

/// A host's place in a roster, until the roster changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seat {
    chunk: usize,
    index: usize,
}

impl<O: Order> Roster<O> {
    /// A roster without hosts.
    pub(super) fn new(order: O) -> Self {
        Self { chunks: Vec::new(), order }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// The first seat whose host does not stand before `key`, and whether it is that host's.
    fn search<'a>(&'a self, key: &O::Key<'a>, rows: &'a Rows) -> (Seat, bool) {
        let before = |slot: u32| self.order.key(slot, rows) < *key;
        let chunk = self
            .chunks
            .partition_point(|chunk| chunk.slots.last().is_some_and(|slot| before(*slot)));
        let Some(found) = self.chunks.get(chunk) else { return (Seat { chunk, index: 0 }, false) };
        let index = found.slots.partition_point(|slot| before(*slot));
        let here = found.slots.get(index).is_some_and(|slot| self.order.key(*slot, rows) == *key);
        (Seat { chunk, index }, here)
    }

    /// The seat of a host.
    pub(super) fn seat_of<'a>(&'a self, key: &O::Key<'a>, rows: &'a Rows) -> Option<Seat> {
        let (seat, here) = self.search(key, rows);
        here.then_some(seat)
    }

    /// The seat of the host in this slot.
    pub(super) fn seat(&self, slot: u32, rows: &Rows) -> Option<Seat> {
        self.seat_of(&self.order.key(slot, rows), rows)
    }

    /// Takes a host in. Whether the filter chooses it, `bits` knows already.
    pub(super) fn insert(&mut self, slot: u32, bits: Option<&Bits>, rows: &Rows) {
        let (mut seat, _) = self.search(&self.order.key(slot, rows), rows);
        if seat.chunk == self.chunks.len() {
            // Behind all others: at the end of the last chunk.
            match self.chunks.last() {
                Some(last) => {
                    seat = Seat { chunk: self.chunks.len() - 1, index: last.slots.len() };
                }
                None => self.chunks.push(Chunk::default()),
            }
        }
        let Some(chunk) = self.chunks.get_mut(seat.chunk) else { return };
        chunk.slots.insert(seat.index.min(chunk.slots.len()), slot);
        chunk.matched += u32::from(is_matched(slot, bits));
        if chunk.slots.len() > CHUNK {
            let slots = chunk.slots.split_off(CHUNK / 2);
            let matched = slots.iter().map(|slot| u32::from(is_matched(*slot, bits))).sum();
            chunk.matched = chunk.matched.saturating_sub(matched);
            self.chunks.insert(seat.chunk + 1, Chunk { slots, matched });
        }
    }

    /// Takes a host out. Its row must still be there.
    pub(super) fn remove(&mut self, slot: u32, bits: Option<&Bits>, rows: &Rows) {
        let Some(seat) = self.seat(slot, rows) else { return };
        let Some(chunk) = self.chunks.get_mut(seat.chunk) else { return };
        chunk.slots.remove(seat.index);
        chunk.matched = chunk.matched.saturating_sub(u32::from(is_matched(slot, bits)));
        let small = |chunk: Option<&Chunk>| chunk.map_or(CHUNK, |chunk| chunk.slots.len());
        if small(self.chunks.get(seat.chunk)) == 0 {
            self.chunks.remove(seat.chunk);
        } else if small(self.chunks.get(seat.chunk)) + small(self.chunks.get(seat.chunk + 1))
            <= CHUNK / 2
        {
            let next = self.chunks.remove(seat.chunk + 1);
            if let Some(chunk) = self.chunks.get_mut(seat.chunk) {
                chunk.slots.extend(next.slots);
                chunk.matched += next.matched;
            }
        }
    }

    /// Counts a host in or out of those that the filter chooses.
    pub(super) fn set_matched(&mut self, slot: u32, matched: bool, rows: &Rows) {
        let seat = self.seat(slot, rows);
        if let Some(chunk) = seat.and_then(|seat| self.chunks.get_mut(seat.chunk)) {
            chunk.matched =
                if matched { chunk.matched + 1 } else { chunk.matched.saturating_sub(1) };
        }
    }

    /// Counts anew those that the filter chooses, and calls `each` for them.
    pub(super) fn recount(&mut self, bits: &Bits, mut each: impl FnMut(u32)) {
        for chunk in &mut self.chunks {
            chunk.matched = 0;
            for slot in &chunk.slots {
                if bits.has(*slot) {
                    chunk.matched += 1;
                    each(*slot);
                }
            }
        }
    }

    pub(super) fn get(&self, seat: Seat) -> Option<u32> {
        self.chunks.get(seat.chunk)?.slots.get(seat.index).copied()
    }

    /// The first shown host at or after this key.
    pub(super) fn at_or_after<'a>(
        &'a self,
        key: &O::Key<'a>,
        bits: Option<&Bits>,
        rows: &'a Rows,
    ) -> Option<Seat> {
        let (seat, _) = self.search(key, rows);
        self.shown_from(seat, bits)
    }

    /// The first shown host from this seat on.
    fn shown_from(&self, seat: Seat, bits: Option<&Bits>) -> Option<Seat> {
        let mut index = seat.index;
        for (number, chunk) in self.chunks.iter().enumerate().skip(seat.chunk) {
            if chunk.shown(bits) > 0 {
                let mut slots = chunk.slots.iter().enumerate().skip(index);
                if let Some((index, _)) = slots.find(|(_, slot)| is_shown(**slot, bits)) {
                    return Some(Seat { chunk: number, index });
                }
            }
            index = 0;
        }
        None
    }

    pub(super) fn first(&self, bits: Option<&Bits>) -> Option<Seat> {
        self.shown_from(Seat { chunk: 0, index: 0 }, bits)
    }

    pub(super) fn next(&self, seat: Seat, bits: Option<&Bits>) -> Option<Seat> {
        self.shown_from(Seat { index: seat.index + 1, ..seat }, bits)
    }

    pub(super) fn last(&self, bits: Option<&Bits>) -> Option<Seat> {
        self.shown_before(Seat { chunk: self.chunks.len(), index: 0 }, bits)
    }

    /// The last shown host before this seat.
    pub(super) fn shown_before(&self, seat: Seat, bits: Option<&Bits>) -> Option<Seat> {
        let chunks = self.chunks.iter().enumerate().take(seat.chunk + 1).rev();
        for (number, chunk) in chunks.filter(|(_, chunk)| chunk.shown(bits) > 0) {
            let end = if number == seat.chunk { seat.index } else { chunk.slots.len() };
            let mut slots = chunk.slots.iter().enumerate().take(end).rev();
            if let Some((index, _)) = slots.find(|(_, slot)| is_shown(**slot, bits)) {
                return Some(Seat { chunk: number, index });
            }
        }
        None
    }

    /// How many shown hosts stand before this seat. O(chunks).
    pub(super) fn rank(&self, seat: Seat, bits: Option<&Bits>) -> usize {
        let before: usize = self.chunks.iter().take(seat.chunk).map(|c| c.shown(bits)).sum();
        let chunk = self.chunks.get(seat.chunk).into_iter();
        let slots = chunk.flat_map(|chunk| chunk.slots.iter().take(seat.index));
        before + slots.filter(|slot| is_shown(**slot, bits)).count()
    }

    /// The shown host before which `rank` others stand. O(chunks).
    pub(super) fn nth(&self, rank: usize, bits: Option<&Bits>) -> Option<Seat> {
        let mut rest = rank;
        for (number, chunk) in self.chunks.iter().enumerate() {
            let shown = chunk.shown(bits);
            if rest < shown {
                let slots = chunk.slots.iter().enumerate();
                let (index, _) = slots.filter(|(_, slot)| is_shown(**slot, bits)).nth(rest)?;
                return Some(Seat { chunk: number, index });
            }
            rest -= shown;
        }
        None
    }

    /// How many hosts are shown. O(chunks).
    pub(super) fn shown(&self, bits: Option<&Bits>) -> usize {
        self.chunks.iter().map(|chunk| chunk.shown(bits)).sum()
    }

    /// How many hosts stand before this key, shown or not. O(chunks).
    pub(super) fn before<'a>(&'a self, key: &O::Key<'a>, rows: &'a Rows) -> usize {
        let (seat, _) = self.search(key, rows);
        self.rank(seat, None)
    }

    /// All slots in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        self.chunks.iter().flat_map(|chunk| chunk.slots.iter().copied())
    }
}

fn is_shown(slot: u32, bits: Option<&Bits>) -> bool {
    bits.is_none_or(|bits| bits.has(slot))
}

fn is_matched(slot: u32, bits: Option<&Bits>) -> bool {
    bits.is_some_and(|bits| bits.has(slot))
}
