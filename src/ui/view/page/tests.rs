use proptest::prelude::*;

use super::*;

fn line(parts: &[&str]) -> Line {
    parts.iter().map(|part| ((*part).to_owned(), Role::Text)).collect()
}

fn plain(lines: &[Line]) -> Vec<String> {
    lines.iter().map(|line| line.iter().map(|(text, _)| text.as_str()).collect()).collect()
}

#[test]
fn a_long_line_goes_on_below_its_first_letter() {
    let broken = broken(line(&["    ", "key", ":", " ", "one two three four"]), 16);
    assert_eq!(plain(&broken), ["    key: one two", "       three four"]);
}

#[test]
fn what_is_looked_for_is_found_across_pieces_and_wide_letters() {
    let line = line(&["日本", "Key", ": VALUE key"]);
    assert_eq!(matches(&line, "key"), [(4, 3), (15, 3)]);
    assert_eq!(matches(&line, "本k"), [(2, 3)]);
    assert_eq!(matches(&line, ""), []);
    assert_eq!(matches(&line, "nothing that is there at all"), []);
}

proptest! {
    #[test]
    fn broken_lines_fit_and_lose_nothing(text in "[ a-z日]{0,120}", width in 8_usize..40) {
        let lines = broken(line(&["  ", &text]), width);
        let kept: String = plain(&lines).concat().replace(' ', "");
        prop_assert_eq!(kept, text.replace(' ', ""));
        for line in plain(&lines) {
            prop_assert!(line.width() <= width, "{:?}", line);
        }
    }
}
