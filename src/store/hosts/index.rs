//! The keys of the identity of every host of a namespace, as hashes: whom a machine may be is found
//! with one look for each of its keys.

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::diff::StoredHost;
use crate::model::identity::{Fingerprint, Relation};

/// Most hosts that are looked at for one key. What so many have in common identifies nobody; the
/// bound keeps a listing of such hosts from taking quadratic time.
const CROWD: usize = 16;

struct Slot {
    name: Arc<str>,
    version: u64,
    print: Fingerprint,
}

/// An index over the hosts of a namespace that something identifies.
#[derive(Default)]
pub(super) struct Index {
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    names: HashMap<Arc<str>, u32>,
    /// The first host that has a key.
    first: HashMap<u64, u32>,
    /// Those after it, for the few keys that more than one host has.
    more: HashMap<u64, Vec<u32>>,
}

impl Index {
    /// Takes in a host as it stands, unless a newer one is known. One that is being deleted is no
    /// place for anything any more.
    pub(super) fn put(&mut self, host: &StoredHost) {
        let meta = &host.metadata;
        let Some(name) = meta.name.as_deref() else { return };
        // versions are compared as numbers, as Kubernetes allows since 1.35; what is none, is new
        let version = meta.resource_version.as_deref().and_then(|text| text.parse().ok());
        let version: u64 = version.unwrap_or(u64::MAX);
        if self.slot(name).is_some_and(|slot| version < slot.version) {
            return;
        }
        let print = match meta.deletion_timestamp {
            Some(_) => Fingerprint::default(),
            None => Fingerprint::stored(host),
        };
        if let Some(at) = self.names.get(name).copied()
            && let Some(Some(slot)) = self.slots.get_mut(place(at))
            && slot.print == print
        {
            slot.version = version;
            return;
        }
        self.remove(name);
        if !print.is_empty() {
            self.insert(Slot { name: name.into(), version, print });
        }
    }

    fn insert(&mut self, slot: Slot) {
        let at = if let Some(at) = self.free.pop() {
            at
        } else {
            let Ok(at) = u32::try_from(self.slots.len()) else { return };
            self.slots.push(None);
            at
        };
        for key in slot.print.keys() {
            if *self.first.entry(key).or_insert(at) != at {
                self.more.entry(key).or_default().push(at);
            }
        }
        self.names.insert(Arc::clone(&slot.name), at);
        if let Some(empty) = self.slots.get_mut(place(at)) {
            *empty = Some(slot);
        }
    }

    /// Forgets a host.
    pub(super) fn remove(&mut self, name: &str) {
        let Some(at) = self.names.remove(name) else { return };
        let Some(slot) = self.slots.get_mut(place(at)).and_then(Option::take) else { return };
        for key in slot.print.keys() {
            let next = match self.more.get_mut(&key) {
                Some(more) => {
                    more.retain(|other| *other != at);
                    let next = if self.first.get(&key) == Some(&at) { more.pop() } else { None };
                    if more.is_empty() {
                        self.more.remove(&key);
                    }
                    next
                }
                None => None,
            };
            if self.first.get(&key) == Some(&at) {
                match next {
                    Some(next) => _ = self.first.insert(key, next),
                    None => _ = self.first.remove(&key),
                }
            }
        }
        self.free.push(at);
    }

    /// What the host with this name is to the machine.
    pub(super) fn relation(&self, name: &str, print: &Fingerprint) -> Option<Relation> {
        Some(self.slot(name)?.print.relation(print))
    }

    /// Whether any key of the host with this name differs from the machine's.
    pub(super) fn differs(&self, name: &str, print: &Fingerprint) -> bool {
        self.slot(name).is_some_and(|slot| slot.print.differs(print))
    }

    /// The hosts that are, or may be, this machine.
    pub(super) fn similar(&self, print: &Fingerprint) -> Vec<(Arc<str>, Relation)> {
        let mut found: Vec<u32> = Vec::new();
        for key in print.keys() {
            let Some(first) = self.first.get(&key) else { continue };
            let more = self.more.get(&key).into_iter().flatten().take(CROWD - 1);
            found.extend(std::iter::once(first).chain(more));
        }
        found.sort_unstable();
        found.dedup();
        found
            .into_iter()
            .filter_map(|at| self.slots.get(place(at))?.as_ref())
            .map(|slot| (Arc::clone(&slot.name), slot.print.relation(print)))
            .filter(|(_, relation)| matches!(relation, Relation::Same(_) | Relation::Unsure))
            .collect()
    }

    fn slot(&self, name: &str) -> Option<&Slot> {
        self.slots.get(place(*self.names.get(name)?))?.as_ref()
    }

    /// Bytes that it takes, about.
    #[cfg(test)]
    fn bytes(&self) -> usize {
        // a table of hashes is at most seven eighths full, with one byte beside each entry
        let table = |capacity: usize, entry: usize| capacity * 8 / 7 * (entry + 1);
        let slots = self.slots.iter().flatten();
        let heap = slots.map(|s| s.name.len() + 16 + s.print.heap() + 48);
        self.slots.capacity() * size_of::<Option<Slot>>()
            + heap.sum::<usize>()
            + table(self.names.capacity(), size_of::<(Arc<str>, u32)>())
            + table(self.first.capacity(), size_of::<(u64, u32)>())
            + table(self.more.capacity(), size_of::<(u64, Vec<u32>)>())
    }
}

/// A place among the slots.
fn place(at: u32) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
