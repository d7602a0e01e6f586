//! What has to be known to say where a host stands.

use crate::model::intern::{Atom, Interner, Symbol};
use crate::model::row::HostRow;
use crate::model::shape::Level;

use super::bits::Bits;
use super::rows::Rows;

/// The rows, the texts that they share, and which of them the filter chooses.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) rows: &'a Rows,
    pub(super) interner: &'a Interner,
    pub(super) bits: Option<&'a Bits>,
}

/// The scope of an inventory, without borrowing the rest of it.
macro_rules! scope {
    ($inventory:expr) => {
        Scope {
            rows: &$inventory.rows,
            interner: &$inventory.interner,
            bits: $inventory.search.bits(),
        }
    };
}

pub(super) use scope;

impl<'a> Scope<'a> {
    /// Whether the filter chooses a host; false without a filter.
    pub(super) fn is_matched(&self, slot: u32) -> bool {
        self.bits.is_some_and(|bits| bits.has(slot))
    }

    /// The value of a label of a row.
    pub(super) fn label(
        &self,
        row: &HostRow,
        pairs: &[(Symbol, Symbol)],
        key: &str,
    ) -> Option<&'a str> {
        label(row, pairs, key, self.interner)
    }

    /// What a host has at a level; empty for nothing.
    pub(super) fn at(&self, level: &Level, slot: u32) -> &'a str {
        let rows = self.rows;
        rows.get(slot)
            .map_or("", |row| at(level, row, rows.pairs(slot), (self.interner, rows.servers())))
    }
}

fn label<'a>(
    row: &HostRow,
    pairs: &[(Symbol, Symbol)],
    key: &str,
    interner: &'a Interner,
) -> Option<&'a str> {
    let key = interner.find(key)?;
    let (_, value) = pairs.iter().take(row.label_count()).find(|(k, _)| *k == key)?;
    interner.get(*value).map(Atom::as_str)
}

/// What a row with these labels has at a level, with the texts and the names of servers; empty for
/// nothing.
pub(super) fn at<'a>(
    level: &Level,
    row: &'a HostRow,
    pairs: &[(Symbol, Symbol)],
    (interner, servers): (&'a Interner, &[Option<Symbol>]),
) -> &'a str {
    match level {
        Level::Server => {
            let name = servers.get(row.uid().server().index()).copied().flatten();
            name.and_then(|name| interner.get(name)).map_or("", |atom| atom.as_str())
        }
        Level::Region => row.region(),
        Level::Cluster => row.cluster(),
        Level::Provider => row.provider(),
        Level::Zone => row.zone(),
        Level::Role => row.role(),
        Level::Team => row.team(),
        Level::Environment => row.environment(),
        Level::Namespace => row.namespace(),
        Level::State => row.phase().as_str(),
        Level::Health => row.health().as_str(),
        Level::Service => row.service_state().as_str(),
        Level::Label(key) => label(row, pairs, key, interner).unwrap_or_default(),
    }
}
