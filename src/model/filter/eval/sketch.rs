//! A host as a filter sees it: what it can contain at most, its labels, and the row itself.

use crate::model::filter::text_mask;
use crate::model::intern::Symbol;
use crate::model::row::HostRow;

/// A host as a filter sees it. The row lies somewhere else in memory, and to look at it costs more
/// than everything that is then done with it: it comes last.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    /// Names of servers, by their number.
    pub(crate) servers: &'a [Option<Symbol>],
    /// What the host can contain at most.
    pub(crate) sketch: &'a Sketch,
    /// Labels, and what counts as one.
    pub(crate) pairs: &'a [(Symbol, Symbol)],
    /// The row; none in a free slot, which no filter is asked about.
    pub(crate) row: &'a Option<HostRow>,
}

/// Coarse contents of a row.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sketch {
    /// Characters of the display name.
    pub(super) display: u64,
    /// Characters of name, address and provider id.
    pub(super) ids: u64,
    /// Pairs of neighbours in name, address and provider id.
    pub(super) grams: Grams,
    /// Labels: the bit of each value and of each key.
    pub(super) labels: u64,
}

impl Sketch {
    /// The sketch of this row with these labels.
    pub(crate) fn of(row: &HostRow, pairs: &[(Symbol, Symbol)]) -> Self {
        Self {
            display: text_mask(row.display()),
            ids: text_mask(row.ids()),
            grams: Grams::of(row.ids()),
            labels: pairs.iter().fold(0, |set, (key, value)| set | key.bloom() | value.bloom()),
        }
    }
}

/// The pairs of neighbouring bytes of a text, thrown into 128 bits. Nearly all of the fleet has
/// the letters of `web` somewhere in its ids, but few have `we` and `eb`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Grams([u64; 2]);

impl Grams {
    /// Of a folded text.
    pub(super) fn of(text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut set = Self::default();
        for (a, b) in bytes.iter().zip(bytes.iter().skip(1)) {
            let pair = u32::from(*a) << 8 | u32::from(*b);
            let bit = pair.wrapping_mul(0x9E37_79B1) >> 25;
            let [low, high] = &mut set.0;
            *(if bit < 64 { low } else { high }) |= 1 << (bit % 64);
        }
        set
    }

    /// Whether a text with these pairs may contain a text with those of `self`.
    pub(super) fn may_be_in(self, text: Self) -> bool {
        let ([a, b], [c, d]) = (self.0, text.0);
        (a & !c) | (b & !d) == 0
    }
}
