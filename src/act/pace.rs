//! How an order goes on: in what pieces, and when it stops by itself.

use std::ops::Range;

/// Hosts of the waves after the second one, and requests under way at once.
pub(super) const WAVE: usize = 10;
/// Most hosts for which the budgets are asked at once.
const BATCH: usize = 100;
/// Failures in a row that stop an order; also the fewest failures that stop one by their share.
const FAILURES: usize = 3;
/// Share of failures among what was tried that is borne: one in twenty.
const SHARE: usize = 20;

/// The pieces of an order of `total` changes: one, ten, then a hundred each.
pub(super) fn batches(total: usize) -> impl Iterator<Item = Range<usize>> {
    let mut begin = 0_usize;
    std::iter::from_fn(move || {
        let size = match begin {
            0 => 1,
            1 => WAVE,
            _ => BATCH,
        };
        let batch = begin..total.min(begin.saturating_add(size));
        begin = batch.end;
        (!batch.is_empty()).then_some(batch)
    })
}

/// Counts what was tried.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    tried: usize,
    failed: usize,
    in_a_row: usize,
}

impl Tally {
    /// Takes one more that was tried.
    pub(super) fn count(&mut self, failed: bool) {
        self.tried += 1;
        self.failed += usize::from(failed);
        self.in_a_row = if failed { self.in_a_row + 1 } else { 0 };
    }

    /// Why the order stops here, if it does.
    pub(super) fn verdict(&self) -> Option<String> {
        if self.in_a_row >= FAILURES {
            return Some(format!("{} failures in a row", self.in_a_row));
        }
        (self.failed >= FAILURES && self.failed * SHARE > self.tried)
            .then(|| format!("{} of {} failed", self.failed, self.tried))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_then_ten_then_hundreds() {
        let sizes = |total| batches(total).map(|b| b.len()).collect::<Vec<_>>();
        assert_eq!(sizes(0), Vec::<usize>::new());
        assert_eq!(sizes(1), [1]);
        assert_eq!(sizes(5), [1, 4]);
        assert_eq!(sizes(250), [1, 10, 100, 100, 39]);
    }

    #[test]
    fn a_few_failures_among_many_are_borne() {
        let tally = |results: &str| {
            let mut tally = Tally::default();
            results.chars().for_each(|c| tally.count(c == 'x'));
            tally.verdict()
        };
        assert_eq!(tally("xx"), None);
        assert_eq!(tally("xxx").as_deref(), Some("3 failures in a row"));
        assert_eq!(tally("x.x."), None);
        assert_eq!(tally("x.x.x").as_deref(), Some("3 of 5 failed"));
        assert_eq!(tally(&format!("x.x.{}x", ".".repeat(55))), None, "5 % of 60");
        assert!(tally(&format!("x.x.{}x", ".".repeat(54))).is_some());
    }

    proptest! {
        #[test]
        fn every_change_is_in_one_batch(total in 0_usize..5_000) {
            let all: Vec<usize> = batches(total).flatten().collect();
            prop_assert_eq!(all, (0..total).collect::<Vec<_>>());
        }
    }
}
