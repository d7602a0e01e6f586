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

    /// All of `self` below `slot`, and from there on all of `rest` (everything up to `slots`, if
    /// none).
    pub(super) fn spliced(&self, slot: u32, rest: Option<&Self>, slots: usize) -> Self {
        let words = slots.div_ceil(64).max(self.0.len());
        let words = (0..words).map(|number| {
            let own = self.0.get(number).copied().unwrap_or(0);
            let rest = rest.map_or(u64::MAX, |rest| rest.0.get(number).copied().unwrap_or(0));
            let below = match (slot as usize).checked_sub(number * 64) {
                None => 0,
                Some(bits @ 0..64) => (1 << bits) - 1,
                Some(_) => u64::MAX,
            };
            // What is known already is kept above as well: an event may have set it there.
            own | (rest & !below)
        });
        Self(words.collect())
    }

    /// The first slot of the set from `slot` on.
    pub(super) fn next_from(&self, slot: u32) -> Option<u32> {
        let number = slot as usize / 64;
        let first = self.0.get(number)? & (u64::MAX << (slot % 64));
        let rest = self.0.iter().copied().skip(number + 1);
        let words = (number..).zip(std::iter::once(first).chain(rest));
        let (number, word) = words.into_iter().find(|(_, word)| *word != 0)?;
        u32::try_from(number * 64).ok().map(|slot| slot + word.trailing_zeros())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next() {
        let mut bits = Bits::default();
        for slot in [0, 63, 64, 200] {
            bits.set(slot, true);
        }
        bits.set(64, false);
        bits.set(9_999, false);
        let mut all = Vec::new();
        let mut from = 0;
        while let Some(slot) = bits.next_from(from) {
            all.push(slot);
            from = slot + 1;
        }
        assert_eq!(all, [0, 63, 200]);
        assert_eq!(bits.next_from(201), None);
        assert_eq!(bits.next_from(100_000), None);
    }

    #[test]
    fn spliced() {
        let (mut done, mut rest) = (Bits::default(), Bits::default());
        done.set(3, true);
        rest.set(2, true);
        rest.set(70, true);
        // An event set a bit where the pass was not yet.
        done.set(80, true);
        let both = done.spliced(5, Some(&rest), 100);
        assert!(both.has(3) && both.has(70) && both.has(80) && !both.has(2));
        let all = done.spliced(65, None, 100);
        assert!(all.has(3) && !all.has(4) && !all.has(64) && all.has(65) && all.has(99));
    }
}
