//! The fuzzy rule: a word fits a text when its letters stand in it in this order, and each next
//! letter is at most two characters after the one before, or begins a part of the text. A part
//! begins at the start, after one of `-._/:` or a space, and where lower case turns into upper; a
//! number also begins behind its leading zeros.
//!
//! So `web7` fits `web-007` and `dbp` fits `db-primary`, but `ae` does not fit half the fleet, as it
//! would if letters could stand anywhere. The rule is monotone: what a word fits, every part of
//! the word fits too. A longer word therefore never finds more, and only what is matched already
//! has to be looked at again.

/// Most characters of a text that the rule looks at: one bit each.
const WIDTH: usize = u128::BITS as usize;

/// Distinct letters of a word that are looked up at once; of more, each is searched by itself.
const CLASSES: usize = 16;

/// Characters as they are compared: upper and lower case are one. One character stays one, so
/// that places in the text stay what they are.
pub(super) fn fold_char(c: char) -> char {
    if c.is_ascii() { c.to_ascii_lowercase() } else { c.to_lowercase().next().unwrap_or(c) }
}

/// The text as it is compared.
pub(crate) fn fold(text: &str) -> String {
    text.chars().map(fold_char).collect()
}

/// Whether the text is as [`fold`] leaves it.
pub(crate) fn is_folded(text: &str) -> bool {
    text.chars().all(|c| fold_char(c) == c)
}

/// The set of a text's characters: one bit for each letter and digit, one for each separator;
/// other characters share the rest. A text can contain a word only if its set has all of the
/// word's bits. Upper and lower case are one.
pub(crate) fn text_mask(text: &str) -> u64 {
    text.chars().fold(0, |mask, c| mask | char_bit(fold_char(c)))
}

/// The bit of a folded character.
fn char_bit(c: char) -> u64 {
    let number = match c {
        'a'..='z' => c as u32 - 'a' as u32,
        '0'..='9' => 26 + (c as u32 - '0' as u32),
        '-' => 36,
        '.' => 37,
        '_' => 38,
        '/' => 39,
        ':' => 40,
        ' ' => 41,
        _ if c.is_ascii() => 42 + (c as u32 % 16),
        _ => 58 + (c as u32 % 6),
    };
    1 << number
}

/// A word, prepared to be tried on many texts.
#[derive(Clone, Debug)]
pub(super) struct Fuzzy {
    folded: String,
    letters: Vec<char>,
    /// Characters of the word as a set, see [`text_mask`].
    mask: u64,
    /// The distinct letters of the word.
    distinct: Vec<char>,
    /// Place in `distinct` for each letter of the word.
    places: Vec<usize>,
    /// Place in `distinct` for each ASCII character, upper case too; 255 for those not in it.
    lookup: [u8; 128],
}

impl Fuzzy {
    pub(super) fn new(word: &str) -> Self {
        let folded = fold(word);
        let letters: Vec<char> = folded.chars().collect();
        let mut distinct = Vec::new();
        let mut places = Vec::with_capacity(letters.len());
        for letter in &letters {
            let place = distinct.iter().position(|c| c == letter).unwrap_or_else(|| {
                distinct.push(*letter);
                distinct.len() - 1
            });
            places.push(place);
        }
        let mut lookup = [u8::MAX; 128];
        for (slot, c) in lookup.iter_mut().zip('\0'..) {
            let folded = fold_char(c);
            let place = distinct.iter().position(|letter| *letter == folded);
            *slot = place.and_then(|place| u8::try_from(place).ok()).unwrap_or(u8::MAX);
        }
        Self { mask: text_mask(&folded), folded, letters, distinct, places, lookup }
    }

    /// The word as it is compared.
    pub(super) fn folded(&self) -> &str {
        &self.folded
    }

    /// Whether a text with these characters may contain the letters of the word.
    pub(super) fn may_fit(&self, mask: u64) -> bool {
        self.mask & !mask == 0
    }

    /// Whether [`Fuzzy::may_fit`] is already the answer: one letter that has a bit of its own.
    pub(super) fn is_one_letter(&self) -> bool {
        match self.letters.as_slice() {
            [letter] => letter.is_ascii_lowercase() || letter.is_ascii_digit(),
            _ => false,
        }
    }

    /// Whether the word fits the text.
    pub(super) fn fits(&self, text: &str) -> bool {
        if self.distinct.len() > CLASSES || self.letters.len() > WIDTH {
            return self.letters.len() <= WIDTH && self.fits_slowly(text);
        }
        // For each distinct letter, where it stands in the text.
        let mut at = [0_u128; CLASSES];
        let mut starts = 0_u128;
        let mut bit = 1_u128;
        let (mut before, mut start) = (b'-', false);
        if text.is_ascii() {
            for byte in text.bytes().take(WIDTH) {
                start =
                    begins_part(before, byte) || (start && before == b'0' && byte.is_ascii_digit());
                if start {
                    starts |= bit;
                }
                let class = self.lookup.get(usize::from(byte)).copied().unwrap_or(u8::MAX);
                if let Some(places) = at.get_mut(usize::from(class)) {
                    *places |= bit;
                }
                before = byte;
                bit <<= 1;
            }
        } else {
            let mut before = '-';
            for c in text.chars().take(WIDTH) {
                start =
                    begins_part_of_any(before, c) || (start && before == '0' && c.is_ascii_digit());
                if start {
                    starts |= bit;
                }
                let folded = fold_char(c);
                let class = self.distinct.iter().position(|letter| *letter == folded);
                if let Some(places) = class.and_then(|class| at.get_mut(class)) {
                    *places |= bit;
                }
                before = c;
                bit <<= 1;
            }
        }
        self.run(starts, |place| at.get(place).copied().unwrap_or(0))
    }

    /// As [`Fuzzy::fits`] for words of very many different letters.
    fn fits_slowly(&self, text: &str) -> bool {
        let mut starts = 0_u128;
        let (mut before, mut start) = ('-', false);
        for (n, c) in text.chars().take(WIDTH).enumerate() {
            start = begins_part_of_any(before, c) || (start && before == '0' && c.is_ascii_digit());
            if start {
                starts |= 1 << n;
            }
            before = c;
        }
        self.run(starts, |place| {
            let letter = self.distinct.get(place);
            let text = text.chars().take(WIDTH).enumerate();
            text.filter(|(_, c)| Some(&fold_char(*c)) == letter).fold(0, |at, (n, _)| at | 1 << n)
        })
    }

    /// Goes through the letters; each bit is a place where the letters so far may end.
    fn run(&self, starts: u128, at: impl Fn(usize) -> u128) -> bool {
        let mut places = self.places.iter();
        let Some(first) = places.next() else { return true };
        let mut ends = at(*first);
        for place in places {
            if ends == 0 {
                return false;
            }
            let lowest = ends & ends.wrapping_neg();
            let later = !(lowest | (lowest - 1));
            ends = at(*place) & ((ends << 1) | (ends << 2) | (starts & later));
        }
        ends != 0
    }
}

fn begins_part(before: u8, byte: u8) -> bool {
    matches!(before, b'-' | b'.' | b'_' | b'/' | b':' | b' ')
        || (byte.is_ascii_uppercase() && before.is_ascii_lowercase())
}

fn begins_part_of_any(before: char, c: char) -> bool {
    matches!(before, '-' | '.' | '_' | '/' | ':' | ' ')
        || (c.is_uppercase() && before.is_lowercase())
}

#[cfg(test)]
mod tests;
