//! What stands at the cursor of a filter that is being typed, for completion: a word, a label's
//! value or a field's. The parser cannot tell, for what is typed is seldom whole.

use std::ops::Range;

use super::ast::{self, RUN_WORDS, TextField, TimeField};
use crate::model::labels::is_label_value;

/// What is typed at the cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot<'a> {
    /// Bytes of the text that a completion takes the place of.
    pub at: Range<usize>,
    /// What of them stands before the cursor.
    pub typed: &'a str,
    /// What can stand there.
    pub wanted: Wanted<'a>,
}

/// What can stand at the cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// A word: the name of a field, a label's key.
    Word,
    /// A value of this label.
    Label(&'a str),
    /// A value of this field.
    Field(&'a str),
}

/// Fields that are no text, with what stands behind their name.
const OTHERS: [(&str, char); 4] = [("state", ':'), ("run", ':'), ("maintenance", ':'), ("ip", ':')];

/// The name of every field, with the sign that follows it.
pub fn fields() -> impl Iterator<Item = (&'static str, char)> {
    let texts = TextField::ALL.iter().map(|(name, _)| (*name, ':'));
    let times =
        TimeField::ALL.iter().map(|(name, _)| (*name, if *name == "age" { '<' } else { '>' }));
    texts.chain(OTHERS).chain(times)
}

fn is_field(name: &str) -> bool {
    name == "environment" || fields().any(|(known, sign)| known == name && sign == ':')
}

/// The words that a field knows, where it knows words; none for a field that is any text.
pub fn words_of(field: &str) -> Vec<String> {
    match field {
        "state" => {
            let mut words: Vec<String> = ast::state_words().map(|(word, _)| word).collect();
            words.sort_unstable();
            words.dedup();
            words
        }
        "run" => RUN_WORDS.iter().map(|(word, _)| (*word).to_owned()).collect(),
        "maintenance" => vec!["on".to_owned(), "off".to_owned()],
        _ => Vec::new(),
    }
}

/// A label's value as it is written in a filter.
pub fn quoted(value: &str) -> String {
    if !value.is_empty() && is_label_value(value) {
        return value.to_owned();
    }
    let mut out = String::from("\"");
    for c in value.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

/// What stands at `cursor`, a byte of the text; none where nothing can be completed: in quotes,
/// in a regular expression, behind a comparison.
pub fn spot(text: &str, cursor: usize) -> Option<Spot<'_>> {
    let mut scan = Scan { text, at: 0 };
    // The last two words, of which `role in (` needs both, and what a comma or a parenthesis
    // carries over to the next word.
    let (mut before, mut last) = ("", "");
    let (mut set, mut field): (Option<&str>, Option<&str>) = (None, None);
    loop {
        scan.skip_space();
        if cursor < scan.at {
            return None; // in the space before a word
        }
        let start = scan.at;
        let Some(c) = scan.peek() else {
            return Some(Spot { at: start..start, typed: "", wanted: wanted(set, field) });
        };
        match c {
            '"' | '/' if field.is_none() || c == '"' => {
                if !scan.skip_closed(c) || cursor < scan.at {
                    return None;
                }
                (before, last, field) = (last, "", None);
            }
            '(' => {
                scan.at += 1;
                set = Some(before).filter(|key| !key.is_empty() && matches!(last, "in" | "notin"));
                (before, last, field) = ("", "", None);
            }
            ')' => {
                scan.at += 1;
                (before, last, set, field) = ("", "", None, None);
            }
            ',' => {
                scan.at += 1;
                if scan.peek().is_some_and(char::is_whitespace) {
                    field = None;
                }
                if cursor == scan.at && scan.peek().is_none_or(ends_word) {
                    return Some(Spot {
                        at: cursor..cursor,
                        typed: "",
                        wanted: wanted(set, field),
                    });
                }
            }
            '!' | '&' | '|' => {
                scan.at += 1;
                field = None;
            }
            _ => {
                let word = scan.word();
                if cursor <= scan.at {
                    return at_word(text, start..scan.at, cursor, set, field);
                }
                let name = word.split_once(':').map(|(name, _)| name);
                field = name.filter(|name| is_field(name)).or(field);
                if scan.peek() != Some(',') {
                    field = None;
                }
                (before, last) = (last, word);
            }
        }
        if cursor < scan.at {
            return None;
        }
    }
}

/// Whether `cursor` stands within quotes or in a regular expression, where every sign is itself.
pub fn is_literal(text: &str, cursor: usize) -> bool {
    let mut scan = Scan { text, at: 0 };
    loop {
        scan.skip_space();
        match scan.peek() {
            _ if cursor <= scan.at => return false,
            None => return false,
            Some(sign @ ('"' | '/')) => {
                if !scan.skip_closed(sign) || cursor < scan.at {
                    return true;
                }
            }
            Some('(' | ')' | ',' | '!' | '&' | '|') => scan.at += 1,
            Some(_) => {
                scan.word();
            }
        }
    }
}

fn wanted<'a>(set: Option<&'a str>, list: Option<&'a str>) -> Wanted<'a> {
    match (set, list) {
        (Some(key), _) => Wanted::Label(key),
        (None, Some(field)) => Wanted::Field(field),
        (None, None) => Wanted::Word,
    }
}

/// The spot inside a word.
fn at_word<'a>(
    text: &'a str,
    word: Range<usize>,
    cursor: usize,
    set: Option<&'a str>,
    list: Option<&'a str>,
) -> Option<Spot<'a>> {
    let typed = text.get(word.start..cursor)?;
    let rest = |from: usize, wanted| {
        let typed = typed.get(from..)?;
        Some(Spot { at: word.start + from..word.end, typed, wanted })
    };
    if set.is_some() {
        return rest(0, wanted(set, None));
    }
    let Some(sign) = typed.find(['=', ':', '<', '>']) else {
        return rest(0, wanted(None, list));
    };
    let name = typed.get(..sign)?;
    if typed.get(sign..)?.starts_with(':') {
        return if is_field(name) { rest(sign + 1, Wanted::Field(name)) } else { None };
    }
    if !typed.get(sign..)?.starts_with('=') {
        return None;
    }
    let value = if typed.get(sign..)?.starts_with("==") { sign + 2 } else { sign + 1 };
    rest(value, Wanted::Label(name.strip_suffix('!').unwrap_or(name)))
}

fn ends_word(c: char) -> bool {
    c.is_whitespace() || matches!(c, '(' | ')' | '"' | ',')
}

struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    /// Goes behind a text in quotes or slashes; false if it has no end.
    fn skip_closed(&mut self, sign: char) -> bool {
        let mut escaped = false;
        for (at, c) in self.rest().char_indices().skip(1) {
            if !escaped && c == sign {
                self.at += at + c.len_utf8();
                return true;
            }
            escaped = !escaped && c == '\\';
        }
        false
    }

    /// Goes behind a word.
    fn word(&mut self) -> &'a str {
        let rest = self.rest();
        let mut chars = rest.char_indices().peekable();
        let mut end = rest.len();
        while let Some((at, c)) = chars.next() {
            let next = chars.peek().map(|(_, c)| *c);
            let pair = matches!(c, '|' | '&') && next == Some(c);
            if at > 0 && (ends_word(c) || pair) {
                end = at;
                break;
            }
        }
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The spot at the `^` of a text.
    fn at(marked: &str) -> Option<(String, Wanted<'static>, String)> {
        let cursor = marked.find('^').unwrap();
        let text = marked.replacen('^', "", 1);
        let found = spot(&text, cursor)?;
        let wanted = match found.wanted {
            Wanted::Word => Wanted::Word,
            Wanted::Label(key) => Wanted::Label(key.to_owned().leak()),
            Wanted::Field(name) => Wanted::Field(name.to_owned().leak()),
        };
        Some((found.typed.to_owned(), wanted, text[found.at].to_owned()))
    }

    #[test]
    fn every_sign_is_itself_within_quotes_and_slashes() {
        for (marked, wanted) in [
            ("^", false),
            ("web^", false),
            ("/we^", true),
            ("/we^b/", true),
            ("/web/^", false),
            ("/web/ ^", false),
            ("env=prod !/a\\/b^", true),
            ("(\"a ^b\" || c)", true),
            ("(\"a b\" || c^)", false),
            ("age<2h^", false),
        ] {
            let cursor = marked.find('^').unwrap();
            assert_eq!(is_literal(&marked.replacen('^', "", 1), cursor), wanted, "{marked}");
        }
    }

    #[test]
    fn what_stands_at_the_cursor() {
        use Wanted::{Field, Label, Word};
        for (text, typed, wanted, replaced) in [
            ("^", "", Word, ""),
            ("en^", "en", Word, "en"),
            ("e^nv", "e", Word, "env"),
            ("env=^", "", Label("env"), ""),
            ("env=pr^", "pr", Label("env"), "pr"),
            ("env=pr^od", "pr", Label("env"), "prod"),
            ("env==pr^", "pr", Label("env"), "pr"),
            ("env!=pr^", "pr", Label("env"), "pr"),
            ("web !env=pr^", "pr", Label("env"), "pr"),
            ("(a || env=x^", "x", Label("env"), "x"),
            ("a&&env=x^", "x", Label("env"), "x"),
            ("example.com/env=x^", "x", Label("example.com/env"), "x"),
            ("role in (^", "", Label("role"), ""),
            ("role in (d^", "d", Label("role"), "d"),
            ("role notin (db, w^eb)", "w", Label("role"), "web"),
            ("role in (db,^", "", Label("role"), ""),
            ("role in (db) w^", "w", Word, "w"),
            ("region:^", "", Field("region"), ""),
            ("region:eu^", "eu", Field("region"), "eu"),
            ("region:eu,u^", "u", Field("region"), "u"),
            ("region:eu,^", "", Field("region"), ""),
            ("region:eu, u^", "u", Word, "u"),
            ("state:run^", "run", Field("state"), "run"),
            ("region:eu w^", "w", Word, "w"),
            ("a ^", "", Word, ""),
            ("!g^", "g", Word, "g"),
        ] {
            assert_eq!(at(text), Some((typed.to_owned(), wanted, replaced.to_owned())), "{text}");
        }
        for text in ["\"web^", "\"we^b\"", "/we^b/", "age<2^", "aws:///a^", "disks>4^"] {
            assert_eq!(at(text), None, "{text}");
        }
        assert_eq!(at("\"web 1\" e^").unwrap().0, "e");
    }

    #[test]
    fn every_field_has_its_words() {
        assert!(fields().any(|(name, sign)| name == "region" && sign == ':'));
        assert!(fields().any(|(name, sign)| name == "age" && sign == '<'));
        assert!(words_of("state").contains(&"unreachable".to_owned()));
        assert!(words_of("run").contains(&"none".to_owned()));
        assert!(words_of("region").is_empty());
        assert_eq!(quoted("prod"), "prod");
        assert_eq!(quoted("a \"b"), "\"a \\\"b\"");
        for (name, sign) in fields().filter(|(_, sign)| *sign == ':') {
            let word = words_of(name).first().cloned().unwrap_or_else(|| "10".to_owned());
            assert!(crate::model::filter::Filter::parse(&format!("{name}{sign}{word}")).is_ok());
        }
    }

    proptest! {
        #[test]
        fn a_spot_is_on_character_boundaries(text in "[a-z=:,()!\"/ |&é]{0,24}", cut in 0_usize..24) {
            let cursor = text.floor_char_boundary(cut);
            if let Some(found) = spot(&text, cursor) {
                prop_assert!(text.get(found.at.clone()).is_some());
                prop_assert!(found.at.start <= cursor && cursor <= found.at.end);
            }
        }
    }
}
