//! A set of slots, one bit each.

/// A set of slots. It grows by itself; what was never set is not in it.
#[derive(Clone, Debug, Default)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    pub(super) fn has(&self, slot: u32) -> bool {
        let word = self.0.get(slot as usize / 64).copied().unwrap_or(0);
        word >> (slot % 64) & 1 == 1
    }

    pub(super) fn set(&mut self, slot: u32, is_in: bool) {
        let number = slot as usize / 64;
        if is_in && number >= self.0.len() {
            self.0.resize(number + 1, 0);
        }
        if let Some(word) = self.0.get_mut(number) {
            let bit = 1 << (slot % 64);
            if is_in { *word |= bit } else { *word &= !bit }
        }
    }

    /// Sixty-four slots of the set.
    pub(super) fn word(&self, number: usize) -> u64 {
        self.0.get(number).copied().unwrap_or(0)
    }

    pub(super) fn set_word(&mut self, number: usize, word: u64) {
        if number >= self.0.len() {
            self.0.resize(number + 1, 0);
        }
        if let Some(place) = self.0.get_mut(number) {
            *place = word;
        }
    }

    /// All of `self`, and from this slot on (of so many) all of `rest`; everything, if none.
    pub(super) fn spliced(&self, from: usize, rest: Option<&Self>, slots: usize) -> Self {
        let words = slots.div_ceil(64).max(self.0.len());
        let words = (0..words).map(|number| {
            let rest = rest.map_or(u64::MAX, |rest| rest.word(number));
            let kept = match from.saturating_sub(number * 64) {
                below @ 0..64 => u64::MAX << below,
                _ => 0,
            };
            self.word(number) | (rest & kept)
        });
        Self(words.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_grows_with_what_is_in_it() {
        let mut bits = Bits::default();
        for slot in [0, 63, 64, 200] {
            bits.set(slot, true);
        }
        bits.set(64, false);
        bits.set(9_999, false);
        assert!(bits.has(0) && bits.has(63) && !bits.has(64) && bits.has(200) && !bits.has(9_999));
        assert_eq!((bits.word(0), bits.word(3), bits.word(77)), (1 << 63 | 1, 1 << 8, 0));
        bits.set_word(5, 2);
        assert!(bits.has(321));
    }

    #[test]
    fn spliced() {
        let (mut done, mut rest) = (Bits::default(), Bits::default());
        for slot in [3, 80] {
            done.set(slot, true);
        }
        for slot in [2, 70] {
            rest.set(slot, true);
        }
        // An event set 80 where the pass was not yet.
        let both = done.spliced(5, Some(&rest), 100);
        assert!(both.has(3) && both.has(70) && both.has(80) && !both.has(2));
        let all = done.spliced(65, None, 100);
        assert!(all.has(3) && !all.has(4) && !all.has(64) && all.has(65) && all.has(99));
    }
}
