//! Names for orders and runs. The state may not draw lots, so it is given a seed once.

use sha2::{Digest, Sha256};

/// Makes names that nobody else makes.
#[derive(Clone, Debug)]
pub struct Ids {
    seed: u128,
    count: u64,
}

impl Ids {
    /// From a seed that no other program has.
    pub fn new(seed: u128) -> Self {
        Self { seed, count: 0 }
    }

    /// The next name: `about`, a dash, and sixteen characters that were never there before.
    pub fn next(&mut self, about: &str) -> String {
        self.count += 1;
        let mut hash = Sha256::new();
        hash.update(self.seed.to_be_bytes());
        hash.update(self.count.to_be_bytes());
        let mut id = format!("{about}-");
        for byte in hash.finalize().iter().take(8) {
            let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or('0');
            id.push(digit(byte >> 4));
            id.push(digit(byte & 15));
        }
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_names_are_the_same() {
        let names = |seed| {
            let mut ids = Ids::new(seed);
            (0..100).map(|_| ids.next("run")).collect::<std::collections::BTreeSet<_>>()
        };
        let (one, other) = (names(1), names(2));
        assert_eq!((one.len(), one.intersection(&other).count()), (100, 0));
        assert!(one.iter().all(|id| id.starts_with("run-") && id.len() == 20), "{one:?}");
    }
}
