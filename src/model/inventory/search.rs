//! The filter over the fleet: which hosts it chooses, kept right by every event.
//!
//! A new filter is a pass over all rows in the order in which they lie in memory, in steps, so
//! that the next key press can interrupt it. Until the pass is through, everything shown belongs
//! to the filter before: the tree never shows half of each. Then the counters are made anew from
//! the result, which takes a few nanoseconds for each host.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use k8s_openapi::jiff::Timestamp;

use crate::model::filter::{Filter, Matcher, is_key_word};
use crate::model::intern::Interner;

use super::Inventory;
use super::bits::Bits;
use super::rows::Rows;

/// The filter that is in force, the one that is on its way, and the time that they count from.
#[derive(Default)]
pub(super) struct Search {
    active: Option<Active>,
    pending: Option<Pending>,
}

struct Active {
    matcher: Matcher,
    /// The hosts that are chosen. The bit of a free slot means nothing.
    bits: Bits,
    /// When the answer for a host may change by itself, in seconds, with its slot. An entry may
    /// be out of date; testing a host once too often does no harm.
    turns: BinaryHeap<Reverse<(i64, u32)>>,
}

struct Pending {
    matcher: Matcher,
    bits: Bits,
    /// The hosts that can be chosen at all; none means all of them.
    candidates: Option<Bits>,
    /// The first slot that was not tested yet.
    next: usize,
}

impl Search {
    /// The hosts that are chosen; none without a filter.
    pub(super) fn bits(&self) -> Option<&Bits> {
        self.active.as_ref().map(|active| &active.bits)
    }

    fn matchers(&mut self) -> impl Iterator<Item = &mut Matcher> {
        let active = self.active.as_mut().map(|active| &mut active.matcher);
        active.into_iter().chain(self.pending.as_mut().map(|pending| &mut pending.matcher))
    }

    /// Takes in the texts that are new in the interner.
    pub(super) fn learn(&mut self, interner: &mut Interner) {
        let fresh = interner.take_fresh();
        if fresh.is_empty() {
            return;
        }
        for matcher in self.matchers() {
            matcher.learn(&fresh, interner);
        }
    }

    /// Tests a host that is new or has changed. Its bit is right afterwards; what it was before
    /// is the answer.
    pub(super) fn test(&mut self, slot: u32, rows: &Rows) -> bool {
        let (Some(row), Some(host)) = (rows.get(slot), rows.subject(slot)) else { return false };
        if let Some(pending) = &mut self.pending {
            pending.bits.set(slot, pending.matcher.matches(host));
        }
        let Some(active) = &mut self.active else { return false };
        let before = active.bits.has(slot);
        active.bits.set(slot, active.matcher.matches(host));
        for time in active.matcher.turning_points(row) {
            if time > active.matcher.now() {
                active.turns.push(Reverse((time, slot)));
            }
        }
        if active.turns.len() > 4 * rows.len() + 1024 {
            active.collect_turns(rows);
        }
        before
    }

    /// Lets time pass, and answers with the hosts that are to be tested again.
    pub(super) fn advance(&mut self, now: Timestamp) -> Vec<u32> {
        if let Some(pending) = &mut self.pending
            && pending.matcher.is_timed()
            && pending.matcher.now() != now.as_second()
        {
            // What was tested so far was tested at another time: the pass begins anew.
            pending.next = 0;
            pending.candidates = None;
        }
        for matcher in self.matchers() {
            matcher.set_now(now);
        }
        let mut due = Vec::new();
        if let Some(active) = &mut self.active {
            let seconds = now.as_second();
            while active.turns.peek().is_some_and(|Reverse((time, _))| *time <= seconds) {
                due.extend(active.turns.pop().map(|Reverse((_, slot))| slot));
            }
        }
        due
    }

    /// When [`Search::advance`] next has something to say, in seconds.
    pub(super) fn next_turn(&self) -> Option<i64> {
        self.active.as_ref()?.turns.peek().map(|Reverse((time, _))| *time)
    }
}

/// The bits of a word from this one on.
fn from_bit(bit: usize) -> u64 {
    u64::MAX << bit
}

impl Active {
    /// Writes down when which host turns: all of them, also those that were not tested because
    /// the filter before did not choose them.
    fn collect_turns(&mut self, rows: &Rows) {
        if !self.matcher.is_timed() {
            return;
        }
        let now = self.matcher.now();
        let all = rows
            .iter()
            .flat_map(|(slot, row)| self.matcher.turning_points(row).map(move |time| (time, slot)));
        self.turns = all.filter(|(time, _)| *time > now).map(Reverse).collect();
    }
}

impl Inventory {
    /// Sets or clears the filter. What is shown stays that of the filter before until
    /// [`Inventory::filter_step`] is through; clearing takes effect at once.
    ///
    /// A filter that narrows the one before tests only what that one chose.
    pub fn set_filter(&mut self, filter: Option<Filter>, now: Timestamp) {
        // What the filter before chose must be as of now, to be narrowed.
        self.tick(now);
        let search = &mut self.search;
        let Some(filter) = filter.filter(|filter| !filter.is_empty()) else {
            *search = Search::default();
            return;
        };
        let interner = &self.interner;
        let is_key = |word: &str| interner.keys().any(|key| is_key_word(word, key));
        let narrows = |matcher: &Matcher| filter.narrows_given(matcher.filter(), &is_key);
        let slots = self.rows.slots();
        let candidates = match (&search.pending, &search.active) {
            (Some(pending), _) if narrows(&pending.matcher) => {
                Some(pending.bits.spliced(pending.next, pending.candidates.as_ref(), slots))
            }
            (_, Some(active)) if narrows(&active.matcher) => Some(active.bits.clone()),
            _ => None,
        };
        search.pending = Some(Pending {
            matcher: Matcher::new(&filter, interner, self.now),
            bits: Bits::default(),
            candidates,
            next: 0,
        });
    }

    /// Goes on with the filter that was set last: tests about `rows` hosts. True when there is
    /// nothing left to do, and what is shown belongs to that filter.
    pub fn filter_step(&mut self, rows: usize) -> bool {
        let Some(pending) = &mut self.search.pending else { return true };
        let slots = self.rows.slots();
        let mut left = rows.max(1);
        while pending.next < slots && left > 0 {
            let word = pending.next / 64;
            let candidates = pending.candidates.as_ref().map_or(u64::MAX, |bits| bits.word(word));
            let mut rest = candidates & self.rows.live().word(word) & from_bit(pending.next % 64);
            let (mut tested, mut found) = (0, 0);
            while rest != 0 && left > 0 {
                let bit = rest & rest.wrapping_neg();
                let slot = word * 64 + rest.trailing_zeros() as usize;
                let host = u32::try_from(slot).ok().and_then(|slot| self.rows.subject(slot));
                if host.is_some_and(|host| pending.matcher.matches(host)) {
                    found |= bit;
                }
                tested |= bit;
                rest ^= bit;
                left -= 1;
            }
            // The others keep what an event may have made of them.
            pending.bits.set_word(word, pending.bits.word(word) & !tested | found);
            let next = if rest == 0 { 64 } else { rest.trailing_zeros() as usize };
            pending.next = word * 64 + next;
        }
        pending.next >= slots && self.finish_filter()
    }

    /// Puts the filter whose pass is through in force.
    fn finish_filter(&mut self) -> bool {
        if let Some(Pending { matcher, bits, .. }) = self.search.pending.take() {
            self.groups.recount(&bits, &self.rows);
            self.lists.recount(&bits);
            self.table.recount(&bits, &self.rows);
            let mut active = Active { matcher, bits, turns: BinaryHeap::new() };
            active.collect_turns(&self.rows);
            self.search.active = Some(active);
        }
        true
    }

    /// Whether [`Inventory::filter_step`] has work left.
    pub fn filter_pending(&self) -> bool {
        self.search.pending.is_some()
    }

    /// The filter that was set last, though it may not have taken effect yet.
    pub fn filter(&self) -> Option<&Filter> {
        let pending = self.search.pending.as_ref().map(|pending| pending.matcher.filter());
        pending.or_else(|| self.search.active.as_ref().map(|active| active.matcher.filter()))
    }

    /// Whether what is shown is filtered.
    pub fn is_filtered(&self) -> bool {
        self.search.active.is_some()
    }
}
