//! An index over the fleet, and beside it the one that takes its place when it is ready.
//!
//! Another grouping or order takes every host in once more, which for a large fleet is longer than
//! a person at the keyboard may wait: it is done in steps. Until the last one the index before is
//! shown; events go to both.

use crate::model::row::Health;

use super::bits::Bits;
use super::rows::Rows;
use super::scope::Scope;

/// Hosts in some order, kept right by every event.
pub(super) trait Index {
    /// Takes in a host. Whether the filter chooses it, the scope knows already.
    fn add(&mut self, slot: u32, scope: Scope<'_>);

    /// Takes out a host, which must still be in the scope as it was.
    fn remove(&mut self, slot: u32, scope: Scope<'_>);

    /// Counts a host that stays where it is under its new health.
    fn set_health(&mut self, _slot: u32, _old: Health, _scope: Scope<'_>) {}

    /// Counts a host in or out of those that the filter chooses.
    fn set_matched(&mut self, slot: u32, matched: bool, scope: Scope<'_>);

    /// Counts anew what the filter chooses.
    fn recount(&mut self, bits: &Bits, rows: &Rows);
}

#[derive(Default)]
pub(super) struct Staged<T> {
    pub(super) shown: T,
    next: Option<Next<T>>,
}

/// An index that is being made.
struct Next<T> {
    index: T,
    /// The hosts that it has.
    done: Bits,
    /// The first slot that was not looked at yet.
    slot: usize,
}

impl<T: Index> Staged<T> {
    /// Begins the index that `make` makes for what is shown, or stays with that if it makes none.
    pub(super) fn stage(&mut self, make: impl FnOnce(&T) -> Option<T>) {
        let next = make(&self.shown);
        self.next = next.map(|index| Next { index, done: Bits::default(), slot: 0 });
    }

    pub(super) fn is_staged(&self) -> bool {
        self.next.is_some()
    }

    /// Takes about `hosts` more into the index that is being made; true when it is shown.
    pub(super) fn step(&mut self, hosts: usize, scope: Scope<'_>) -> bool {
        let Some(next) = &mut self.next else { return true };
        let slots = scope.rows.slots();
        let mut left = hosts.max(1);
        while next.slot < slots && left > 0 {
            let slot = u32::try_from(next.slot).unwrap_or(u32::MAX);
            if scope.rows.live().has(slot) && !next.done.has(slot) {
                next.index.add(slot, scope);
                next.done.set(slot, true);
                left -= 1;
            }
            next.slot += 1;
        }
        if next.slot < slots {
            return false;
        }
        if let Some(next) = self.next.take() {
            self.shown = next.index;
        }
        true
    }

    /// Whether this holds for what is shown and for what is being made.
    pub(super) fn all(&self, holds: impl Fn(&T) -> bool) -> bool {
        holds(&self.shown) && self.next.as_ref().is_none_or(|next| holds(&next.index))
    }

    pub(super) fn add(&mut self, slot: u32, scope: Scope<'_>) {
        self.shown.add(slot, scope);
        if let Some(next) = &mut self.next {
            next.index.add(slot, scope);
            next.done.set(slot, true);
        }
    }

    pub(super) fn remove(&mut self, slot: u32, scope: Scope<'_>) {
        self.shown.remove(slot, scope);
        if let Some(next) = self.next.as_mut().filter(|next| next.done.has(slot)) {
            next.index.remove(slot, scope);
            next.done.set(slot, false);
        }
    }

    pub(super) fn set_health(&mut self, slot: u32, old: Health, scope: Scope<'_>) {
        self.shown.set_health(slot, old, scope);
        if let Some(next) = self.next.as_mut().filter(|next| next.done.has(slot)) {
            next.index.set_health(slot, old, scope);
        }
    }

    pub(super) fn set_matched(&mut self, slot: u32, matched: bool, scope: Scope<'_>) {
        self.shown.set_matched(slot, matched, scope);
        if let Some(next) = self.next.as_mut().filter(|next| next.done.has(slot)) {
            next.index.set_matched(slot, matched, scope);
        }
    }

    pub(super) fn recount(&mut self, bits: &Bits, rows: &Rows) {
        self.shown.recount(bits, rows);
        if let Some(next) = &mut self.next {
            next.index.recount(bits, rows);
        }
    }
}
