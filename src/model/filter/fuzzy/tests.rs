use super::*;
use proptest::prelude::*;

/// The rule, as it is said.
fn by_definition(word: &str, text: &str) -> bool {
    let letters: Vec<char> = word.chars().map(fold_char).collect();
    let raw: Vec<char> = text.chars().take(WIDTH).collect();
    let starts: Vec<bool> = (0..raw.len())
        .map(|i| {
            i == 0
                || "-._/: ".contains(raw[i - 1])
                || (raw[i].is_uppercase() && raw[i - 1].is_lowercase())
                || {
                    // Only zeros between the start of the part and this digit.
                    let zeros = raw[..i].iter().rev().take_while(|c| **c == '0').count();
                    let part = i - zeros;
                    raw[i].is_ascii_digit()
                        && zeros > 0
                        && (part == 0 || "-._/: ".contains(raw[part - 1]))
                }
        })
        .collect();
    let mut ends: Vec<usize> =
        (0..raw.len()).filter(|i| Some(&fold_char(raw[*i])) == letters.first()).collect();
    for letter in letters.iter().skip(1) {
        ends = (0..raw.len())
            .filter(|i| fold_char(raw[*i]) == *letter)
            .filter(|i| ends.iter().any(|end| end < i && (i - end <= 2 || starts[*i])))
            .collect();
    }
    letters.is_empty() || !ends.is_empty()
}

#[test]
fn examples() {
    for (word, text) in [
        ("web", "web-01"),
        ("web7", "web-007"),
        ("wb01", "web-01"),
        ("dbp", "db-primary"),
        ("WEB", "Web"),
        ("pd", "prodDatabase"),
        ("é1", "É-1"),
        ("k", "\u{212A}elvin"),
        ("euw1a", "eu-west-1a"),
    ] {
        assert!(Fuzzy::new(word).fits(text), "{word} {text}");
        assert!(Fuzzy::new(word).may_fit(text_mask(text)), "{word} {text}");
    }
    for (word, text) in
        [("ae", "arable"), ("ba", "ab"), ("webb", "web"), ("w", ""), ("aa", "a"), ("a7", "ab-170")]
    {
        assert!(!Fuzzy::new(word).fits(text), "{word} {text}");
    }
    assert!(Fuzzy::new("").fits(""));
}

#[test]
fn only_the_first_128_characters_count() {
    let text = format!("{}b", "a".repeat(128));
    assert!(!Fuzzy::new("b").fits(&text));
    assert!(Fuzzy::new(&"a".repeat(128)).fits(&text));
    assert!(!Fuzzy::new(&"a".repeat(129)).fits(&text));
}

proptest! {
    #[test]
    fn the_bits_say_what_the_rule_says(word in "[abA0é1-]{0,5}", text in "[abcAB01é -]{0,12}") {
        prop_assert_eq!(Fuzzy::new(&word).fits(&text), by_definition(&word, &text));
    }

    #[test]
    fn long_words_too(word in "\\PC{0,30}", text in "\\PC{0,40}") {
        prop_assert_eq!(Fuzzy::new(&word).fits(&text), by_definition(&word, &text));
        let own = Fuzzy::new(&word);
        prop_assert!(word.chars().count() > WIDTH || own.fits(&word));
    }

    #[test]
    fn a_part_of_a_word_finds_no_less(word in "[ab1-]{1,6}", text in "[abc1-]{0,12}", cut in 0..6_usize) {
        if Fuzzy::new(&word).fits(&text) {
            let cut = cut.min(word.len());
            let (front, back) = word.split_at(cut);
            prop_assert!(Fuzzy::new(front).fits(&text));
            prop_assert!(Fuzzy::new(back).fits(&text));
        }
    }

    #[test]
    fn the_set_of_characters_never_rejects_a_fit(word in "\\PC{1,6}", text in "\\PC{0,20}") {
        let word = Fuzzy::new(&word);
        prop_assert!(word.may_fit(text_mask(&text)) || !word.fits(&text));
        prop_assert!(!word.is_one_letter() || word.may_fit(text_mask(&text)) == word.fits(&text)
            || text.chars().count() > WIDTH);
    }
}
