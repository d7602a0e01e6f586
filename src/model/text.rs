//! Text from objects is untrusted: what reaches a terminal, a clipboard or a log goes through here.

use std::borrow::Cow;

/// Whether a character must never reach a terminal as it is: C0 and C1 controls, the bidirectional
/// controls (which make a line read differently from what it is), and invisible format characters.
pub fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00AD}' | '\u{061C}' | '\u{180E}'
            | '\u{200B}'..='\u{200F}'
            | '\u{2028}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}'
            | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}'
            | '\u{E0000}'..='\u{E007F}')
}

/// The text with every hostile character shown as `\u{FFFD}`; borrowed where there is none.
pub fn clean(text: &str) -> Cow<'_, str> {
    // Nearly every text is plain ASCII, and this is called for each text of each event.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        Cow::Borrowed(text)
    } else if text.chars().any(is_hostile) {
        Cow::Owned(text.chars().map(|c| if is_hostile(c) { '\u{FFFD}' } else { c }).collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// Whether it can stand in a path, a metric and a mark as it is.
pub fn is_word(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !text.is_empty() && text.len() <= 63 && text.chars().all(legal) && !text.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_text_is_borrowed() {
        assert!(matches!(clean("web-01 日本 é 👍"), Cow::Borrowed(_)));
    }

    #[test]
    fn escapes_bidi_and_invisibles_are_replaced() {
        assert_eq!(clean("a\u{1b}[31mb"), "a\u{FFFD}[31mb");
        assert_eq!(
            clean("a\u{202E}b\u{200B}c\u{9b}d\n\t"),
            "a\u{FFFD}b\u{FFFD}c\u{FFFD}d\u{FFFD}\u{FFFD}"
        );
        assert_eq!(clean("\u{E0041}\u{2066}\u{FEFF}\u{7f}"), "\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}");
    }
}
