//! An object as YAML, in the form that `kubectl get -o yaml` prints: keys in their order, lists at
//! the depth of their key, texts of several lines as blocks. It is made of pieces, each with what it
//! is, so that whoever shows it need not read it again to colour it.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::text::is_hostile;

/// What a piece of YAML is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Blanks, dashes, colons.
    Mark,
    /// A key.
    Key,
    /// A text.
    Text,
    /// A number, true, false, null, or an empty list or object.
    Literal,
    /// A remark of ours.
    Remark,
}

/// One line: pieces one after the other.
pub type Line = Vec<(String, Kind)>;

/// The lines of an object. With `fold` the managed fields are one remark with their number.
pub fn lines(object: &Value, fold: bool) -> Vec<Line> {
    let mut out = Vec::new();
    match object {
        Value::Object(map) if !map.is_empty() => mapping(map, 0, fold, Vec::new(), &mut out),
        Value::Array(list) if !list.is_empty() => sequence(list, 0, Vec::new(), &mut out),
        other => value(other, 0, Vec::new(), &mut out),
    }
    out
}

/// The lines as one text.
pub fn text(lines: &[Line]) -> String {
    let mut out = String::new();
    for line in lines {
        for (piece, _) in line {
            out.push_str(piece);
        }
        out.push('\n');
    }
    out
}

fn blanks(depth: usize) -> (String, Kind) {
    (" ".repeat(depth), Kind::Mark)
}

/// The entries of an object; the first one goes on the line that is open, if one is.
fn mapping(
    map: &Map<String, Value>,
    depth: usize,
    fold: bool,
    mut open: Line,
    out: &mut Vec<Line>,
) {
    for (key, entry) in map {
        let mut line = std::mem::take(&mut open);
        if line.is_empty() {
            line.push(blanks(depth));
        }
        line.push((scalar(key), Kind::Key));
        line.push((":".to_owned(), Kind::Mark));
        match entry {
            Value::Array(entries) if fold && key == "managedFields" && depth == 2 => {
                let many = if entries.len() == 1 { "entry" } else { "entries" };
                let remark = format!(" # {} {many}, folded", entries.len());
                line.push((" []".to_owned(), Kind::Literal));
                line.push((remark, Kind::Remark));
                out.push(line);
            }
            Value::Object(map) if !map.is_empty() => {
                out.push(line);
                mapping(map, depth + 2, fold, Vec::new(), out);
            }
            Value::Array(list) if !list.is_empty() => {
                out.push(line);
                sequence(list, depth, Vec::new(), out);
            }
            other => {
                line.push((" ".to_owned(), Kind::Mark));
                value(other, depth, line, out);
            }
        }
    }
}

/// The entries of a list; the first one goes on the line that is open, if one is.
fn sequence(list: &[Value], depth: usize, mut open: Line, out: &mut Vec<Line>) {
    for entry in list {
        let mut line = std::mem::take(&mut open);
        if line.is_empty() {
            line.push(blanks(depth));
        }
        line.push(("- ".to_owned(), Kind::Mark));
        match entry {
            Value::Object(map) if !map.is_empty() => mapping(map, depth + 2, false, line, out),
            Value::Array(list) if !list.is_empty() => sequence(list, depth + 2, line, out),
            other => value(other, depth, line, out),
        }
    }
}

/// One value at the end of a line.
fn value(value: &Value, depth: usize, mut line: Line, out: &mut Vec<Line>) {
    match value {
        Value::String(text) if is_block(text) => {
            let end = if text.ends_with('\n') { "|" } else { "|-" };
            line.push((end.to_owned(), Kind::Mark));
            out.push(line);
            for part in text.strip_suffix('\n').unwrap_or(text).split('\n') {
                let blanks = blanks(if part.is_empty() { 0 } else { depth + 2 });
                out.push(vec![blanks, (part.to_owned(), Kind::Text)]);
            }
            return;
        }
        Value::String(text) => line.push((scalar(text), Kind::Text)),
        Value::Array(_) => line.push(("[]".to_owned(), Kind::Literal)),
        Value::Object(_) => line.push(("{}".to_owned(), Kind::Literal)),
        other => line.push((other.to_string(), Kind::Literal)),
    }
    out.push(line);
}

/// Whether a text is shown as a block of lines: nothing in it needs to be escaped, no line begins or
/// ends with a blank, and not more than its last line is empty at the end.
fn is_block(text: &str) -> bool {
    let plain = |line: &str| {
        !line.chars().any(is_hostile) && line.trim() == line && line.len() == line.trim_end().len()
    };
    text.contains('\n')
        && !text.starts_with('\n')
        && !text.ends_with("\n\n")
        && !text.trim_end_matches('\n').is_empty()
        && text.split('\n').all(plain)
}

/// A text as it stands in YAML: as it is where it can be nothing else, else quoted as JSON is.
fn scalar(text: &str) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if is_hostile(c) && u32::from(c) > 0xffff => {
                let _ = write!(out, "\\U{:08x}", u32::from(c));
            }
            c if is_hostile(c) || matches!(c, '\u{fffe}' | '\u{ffff}') => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Whether a text can stand without quotes and be read as this text by every reader of YAML.
fn is_plain(text: &str) -> bool {
    let Some(first) = text.chars().next() else { return false };
    let legal = |c: char| c.is_ascii_alphanumeric() || "/_.@+-:= (),;!?*#'<>%&~$^|".contains(c);
    let word = text.to_ascii_lowercase();
    let reserved = matches!(
        word.as_str(),
        "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n" | "~" | "nan" | ".nan"
    );
    // What could be a number, a date or a time is quoted, but for names that only begin so.
    let number = first.is_ascii_digit() || "+-.".contains(first);
    let numeric = number
        && (text.chars().all(|c| c.is_ascii_hexdigit() || "+-._:xoTZeE ".contains(c))
            || word.ends_with("inf"));
    (first.is_ascii_alphanumeric() || "/_.".contains(first))
        && text.chars().all(legal)
        && !text.contains(": ")
        && !text.ends_with(':')
        && !text.contains(" #")
        && !text.ends_with(' ')
        && !reserved
        && !numeric
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn read(text: &str) -> Value {
        serde_saphyr::from_str(text).unwrap_or_else(|cause| panic!("{cause}\n{text}"))
    }

    #[test]
    fn it_looks_as_kubectl_prints_it() {
        let object = json!({
            "apiVersion": "v1", "kind": "Host",
            "metadata": {"name": "a", "labels": {"b/c": "true", "d": "12"}, "managedFields": [{"manager": "x"}]},
            "spec": {"list": [{"a": 1, "b": [1, 2]}, "x"], "empty": {}, "none": null, "text": "one\ntwo\n"},
        });
        let expected = "\
apiVersion: v1
kind: Host
metadata:
  labels:
    b/c: \"true\"
    d: \"12\"
  managedFields: [] # 1 entry, folded
  name: a
spec:
  empty: {}
  list:
  - a: 1
    b:
    - 1
    - 2
  - x
  none: null
  text: |
    one
    two
";
        assert_eq!(text(&lines(&object, true)), expected);
        assert_eq!(read(&text(&lines(&object, false))), object);
    }

    #[test]
    fn times_numbers_and_controls_are_quoted() {
        for quoted in
            ["2026-01-01T00:00:00Z", "1e3", "0x1f", "-1", "a\u{1b}[31m", "", " a", "a: b", "no"]
        {
            assert!(scalar(quoted).starts_with('"'), "{quoted:?}");
        }
        for plain in ["aws:///eu-west-1a/i-0001", "10.0.0.1/24", "web-eu-1", "m5.large"] {
            assert_eq!(scalar(plain), plain);
        }
        assert!(
            !text(&lines(&json!({"a": "x\u{202e}\u{9b}\u{e0041}"}), false))
                .chars()
                .any(|c| c != '\n' && is_hostile(c))
        );
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
            "[a-z0-9:# |>-]{0,6}(\n[a-z \t]{0,4}){0,3}\n?".prop_map(Value::from),
            "(true|no|~|0x1F|1_000|12:30|1.5|-|: |null|0o7|\\.5|=|<<)".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-zA-Z0-9./ -]{0,8}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_is_read(value in values()) {
            let text = text(&lines(&value, false));
            prop_assert_eq!(read(&text), value, "{}", text);
        }
    }
}
