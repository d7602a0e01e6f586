//! What a host can contain at most, in three words that lie side by side for the whole fleet.

use crate::model::filter::text_mask;
use crate::model::row::HostRow;

/// Coarse contents of a row. A pass over the fleet reads these one after the other and comes to
/// most answers without a look at the row, which is somewhere else in memory and costs more than
/// everything that is then done with it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sketch {
    /// Characters of the display name.
    pub(super) display: u64,
    /// Characters of name, address and provider id.
    pub(super) ids: u64,
    /// Labels: the bit of each value and of each key.
    pub(super) labels: u64,
}

impl Sketch {
    /// The sketch of this row.
    pub fn of(row: &HostRow) -> Self {
        let labels = row.pairs().iter();
        Self {
            display: text_mask(row.display()),
            ids: text_mask(row.ids()),
            labels: labels.fold(0, |set, (key, value)| set | key.bloom() | value.bloom()),
        }
    }
}
