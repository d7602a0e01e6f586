//! The labels of a block of rows, one row's behind the other's.

use crate::model::intern::Symbol;

/// Lists of pairs by number, in one piece of memory.
#[derive(Default)]
pub(super) struct Pairs {
    all: Vec<(Symbol, Symbol)>,
    spans: Vec<Span>,
    /// How many of `all` belong to nobody any more.
    unused: usize,
}

#[derive(Clone, Copy, Default)]
struct Span {
    start: u32,
    length: u32,
}

impl Span {
    fn range(self) -> std::ops::Range<usize> {
        self.start as usize..(self.start + self.length) as usize
    }
}

impl Pairs {
    pub(super) fn get(&self, number: usize) -> &[(Symbol, Symbol)] {
        let span = self.spans.get(number).copied().unwrap_or_default();
        self.all.get(span.range()).unwrap_or_default()
    }

    pub(super) fn set(&mut self, number: usize, pairs: &[(Symbol, Symbol)]) {
        if number >= self.spans.len() {
            self.spans.resize(number + 1, Span::default());
        }
        let Some(span) = self.spans.get_mut(number) else { return };
        let old = span.length as usize;
        span.length = u32::try_from(pairs.len()).unwrap_or(0);
        if pairs.len() <= old {
            self.unused += old - pairs.len();
        } else {
            // What follows belongs to another row: a longer list goes to the end.
            self.unused += old;
            span.start = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
            if self.all.capacity() - self.all.len() < pairs.len() {
                // An eighth more than there is: doubling would leave half of it empty for good.
                self.all.reserve_exact(pairs.len() + self.all.len() / 8);
            }
            self.all.resize(self.all.len() + pairs.len(), (Symbol::default(), Symbol::default()));
        }
        let range = span.range();
        if let Some(place) = self.all.get_mut(range) {
            place.copy_from_slice(pairs);
        }
        if self.unused > self.all.len() / 2 {
            self.compact();
        }
    }

    fn compact(&mut self) {
        let mut all = Vec::with_capacity(self.all.len() - self.unused);
        for span in &mut self.spans {
            let start = u32::try_from(all.len()).unwrap_or(u32::MAX);
            all.extend_from_slice(self.all.get(span.range()).unwrap_or_default());
            span.start = start;
        }
        self.all = all;
        self.unused = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::intern::Interner;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_list_is_what_it_was_set_to(sets in proptest::collection::vec((0..6_usize, 0..5_usize), 0..60)) {
            let mut interner = Interner::default();
            let mut symbol = |text: String| interner.acquire(&text).symbol();
            let mut pairs = Pairs::default();
            let mut expected = vec![Vec::new(); 6];
            for (step, (number, length)) in sets.into_iter().enumerate() {
                let list: Vec<_> =
                    (0..length).map(|i| (symbol(format!("{step} {i}")), symbol(format!("{i}")))).collect();
                pairs.set(number, &list);
                expected[number] = list;
                for (number, list) in expected.iter().enumerate() {
                    prop_assert_eq!(pairs.get(number), list);
                }
                let used: usize = expected.iter().map(Vec::len).sum();
                prop_assert!(pairs.all.len() <= 2 * used + 1);
            }
        }
    }
}
