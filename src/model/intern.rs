//! Texts that many hosts share, kept once: label keys and values, regions, roles.
//!
//! Every use is counted, and a text without a use is dropped and its number used again, so label
//! values that come and go for months do not add up.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::filter::text_mask;
use super::text;

/// Number of a text in its [`Interner`]. It means nothing in another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Symbol(u32);

impl Symbol {
    /// The number as an index.
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }

    /// The one bit of 64 that stands for this symbol in a coarse set of symbols. Multiplied, so
    /// that neighbours (the values of one key were often seen together) fall far apart.
    pub(crate) fn bloom(self) -> u64 {
        1 << (self.0.wrapping_mul(0x9E37_79B1) >> 26)
    }
}

/// A shared text: cheap to clone, fit to be displayed.
#[derive(Clone)]
pub struct Atom(Arc<Inner>);

struct Inner {
    symbol: Symbol,
    text: Box<str>,
    /// The text as it stands in the object, where that must not be displayed.
    raw: Option<Box<str>>,
}

impl Atom {
    /// The text, without hostile characters.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// The text as it stands in the object: for exact comparison, never for display.
    pub fn raw(&self) -> &str {
        self.0.raw.as_deref().unwrap_or(&self.0.text)
    }

    /// Its number in the interner that it comes from, valid as long as that counts a use of it.
    pub fn symbol(&self) -> Symbol {
        self.0.symbol
    }
}

impl fmt::Debug for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

/// An [`Atom`] that is found by its raw text.
struct ByRaw(Atom);

impl Hash for ByRaw {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.raw().hash(state);
    }
}

impl PartialEq for ByRaw {
    fn eq(&self, other: &Self) -> bool {
        self.0.raw() == other.0.raw()
    }
}

impl Eq for ByRaw {}

impl Borrow<str> for ByRaw {
    fn borrow(&self) -> &str {
        self.0.raw()
    }
}

/// The texts in use, each with the number of its uses.
#[derive(Default)]
pub struct Interner {
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
    by_raw: HashSet<ByRaw>,
    /// Texts that are new, or new as a key, since [`Interner::take_fresh`]: what was known of
    /// their numbers no longer holds.
    fresh: Vec<Symbol>,
}

/// What the filter has to know of a text.
pub(crate) struct Known<'a> {
    pub(crate) atom: &'a Atom,
    /// The set of its characters.
    pub(crate) mask: u64,
    /// Whether it is the key of a label.
    pub(crate) is_key: bool,
}

struct Entry {
    atom: Atom,
    uses: u32,
    /// How many of the uses are as a label's key.
    key_uses: u32,
    mask: u64,
}

impl Entry {
    fn known(&self) -> Known<'_> {
        Known { atom: &self.atom, mask: self.mask, is_key: self.key_uses > 0 }
    }
}

impl Interner {
    /// The atom of this text, with one use more.
    pub fn acquire(&mut self, raw: &str) -> Atom {
        if let Some(found) = self.by_raw.get(raw) {
            let atom = found.0.clone();
            if let Some(Some(entry)) = self.entries.get_mut(atom.symbol().index()) {
                entry.uses += 1;
            }
            return atom;
        }
        let number = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            u32::try_from(self.entries.len() - 1).unwrap_or(u32::MAX)
        });
        let cleaned = text::clean(raw);
        let differs = cleaned.as_ref() != raw;
        let atom = Atom(Arc::new(Inner {
            symbol: Symbol(number),
            text: cleaned.as_ref().into(),
            raw: differs.then(|| raw.into()),
        }));
        if let Some(place) = self.entries.get_mut(number as usize) {
            *place =
                Some(Entry { atom: atom.clone(), uses: 1, key_uses: 0, mask: text_mask(&cleaned) });
        }
        self.by_raw.insert(ByRaw(atom.clone()));
        self.fresh.push(atom.symbol());
        atom
    }

    /// [`Interner::acquire`] for the key of a label.
    pub fn acquire_key(&mut self, raw: &str) -> Atom {
        let atom = self.acquire(raw);
        if let Some(Some(entry)) = self.entries.get_mut(atom.symbol().index()) {
            entry.key_uses += 1;
            if entry.key_uses == 1 {
                self.fresh.push(atom.symbol());
            }
        }
        atom
    }

    /// Takes back an [`Interner::acquire_key`].
    pub fn release_key(&mut self, symbol: Symbol) {
        if let Some(Some(entry)) = self.entries.get_mut(symbol.index()) {
            entry.key_uses = entry.key_uses.saturating_sub(1);
        }
        self.release(symbol);
    }

    /// Every text in use as a label's key.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Atom> {
        self.iter().filter(|known| known.is_key).map(|known| known.atom)
    }

    /// One use less. The last one drops the text.
    pub fn release(&mut self, symbol: Symbol) {
        let Some(place) = self.entries.get_mut(symbol.index()) else { return };
        let Some(entry) = place else { return };
        entry.uses = entry.uses.saturating_sub(1);
        if entry.uses == 0 {
            self.by_raw.remove(entry.atom.raw());
            *place = None;
            self.free.push(symbol.0);
        }
    }

    /// The text of this number.
    pub fn get(&self, symbol: Symbol) -> Option<&Atom> {
        self.entries.get(symbol.index())?.as_ref().map(|entry| &entry.atom)
    }

    /// What is to be known of the text of this number.
    pub(crate) fn known(&self, symbol: Symbol) -> Option<Known<'_>> {
        self.entries.get(symbol.index())?.as_ref().map(Entry::known)
    }

    /// The number of this text as it stands in an object.
    pub fn find(&self, raw: &str) -> Option<Symbol> {
        self.by_raw.get(raw).map(|found| found.0.symbol())
    }

    /// Every text in use.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Known<'_>> {
        self.entries.iter().flatten().map(Entry::known)
    }

    /// How many texts are in use.
    pub fn len(&self) -> usize {
        self.by_raw.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.by_raw.is_empty()
    }

    /// One more than the greatest number in use.
    pub(crate) fn capacity(&self) -> usize {
        self.entries.len()
    }

    /// The numbers given out since the last call.
    pub(crate) fn take_fresh(&mut self) -> Vec<Symbol> {
        std::mem::take(&mut self.fresh)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_uses_is_dropped_and_its_number_used_again() {
        let mut interner = Interner::default();
        let web = interner.acquire("web").symbol();
        assert_eq!(interner.acquire("web").symbol(), web);
        let db = interner.acquire("db").symbol();
        interner.release(web);
        assert_eq!(interner.find("web"), Some(web));
        interner.release(web);
        assert_eq!(interner.find("web"), None);
        assert!(interner.get(web).is_none());
        assert_eq!(interner.acquire("cache").symbol(), web);
        assert_eq!(interner.get(db).map(Atom::as_str), Some("db"));
        for number in 0..10_000 {
            let symbol = interner.acquire(&number.to_string()).symbol();
            interner.release(symbol);
        }
        assert_eq!((interner.len(), interner.capacity()), (2, 3));
    }

    #[test]
    fn hostile_text_is_shown_clean_and_found_raw() {
        let mut interner = Interner::default();
        let atom = interner.acquire("a\u{1b}b");
        assert_eq!((atom.as_str(), atom.raw()), ("a\u{FFFD}b", "a\u{1b}b"));
        assert_eq!(interner.find("a\u{1b}b"), Some(atom.symbol()));
        assert_eq!(interner.find("a\u{FFFD}b"), None);
        assert_ne!(interner.acquire("a\u{FFFD}b").symbol(), atom.symbol());
    }
}
