//! The part of `JSONPath` that `additionalPrinterColumns` of a CRD use.
//!
//! `.a.b`, `.a[0]`, `.a['k.e/y']`, `.a\.b`, `.a[*]`, `.a[?(@.type=="Ready")].status`; as in
//! `client-go/util/jsonpath`, without recursive descent, slices and unions.

use serde_json::Value;

/// A path, read once and followed often.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct JsonPath {
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Key(String),
    /// From the end if negative.
    Index(i64),
    Any,
    Filter(Filter),
}

/// `?(@.type=="Ready")`; without a comparison, whether the path is there.
#[derive(Clone, Debug, PartialEq)]
struct Filter {
    path: JsonPath,
    compare: Option<(bool, Value)>,
}

impl JsonPath {
    /// Reads a path. None if it is not one, or uses more of `JSONPath` than is understood.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut rest = text.trim();
        rest = rest.strip_prefix('$').unwrap_or(rest);
        let (path, rest) = steps(rest, 0)?;
        (rest.is_empty() && !path.steps.is_empty()).then_some(path)
    }

    /// The fields that it begins with: it looks at nothing beside them.
    pub(super) fn fields(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().map_while(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            _ => None,
        })
    }

    /// The first value that it leads to.
    pub(super) fn find<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        follow(&self.steps, value)
    }
}

fn follow<'a>(steps: &[Step], value: &'a Value) -> Option<&'a Value> {
    let Some((step, rest)) = steps.split_first() else { return Some(value) };
    match (step, value) {
        (Step::Key(key), Value::Object(map)) => follow(rest, map.get(key)?),
        (Step::Index(index), Value::Array(list)) => {
            let from_end = usize::try_from(index.unsigned_abs()).ok()?;
            let at = if *index < 0 { list.len().checked_sub(from_end)? } else { from_end };
            follow(rest, list.get(at)?)
        }
        (Step::Any, Value::Array(list)) => list.iter().find_map(|v| follow(rest, v)),
        (Step::Any, Value::Object(map)) => map.values().find_map(|v| follow(rest, v)),
        (Step::Filter(filter), Value::Array(list)) => {
            list.iter().filter(|v| filter.holds(v)).find_map(|v| follow(rest, v))
        }
        _ => None,
    }
}

impl Filter {
    fn holds(&self, value: &Value) -> bool {
        let found = self.path.find(value);
        match (&self.compare, found) {
            (None, found) => found.is_some(),
            (Some(_), None) => false,
            (Some((equal, wanted)), Some(found)) => {
                let same = match (wanted.as_f64(), found.as_f64()) {
                    #[expect(clippy::float_cmp, reason = "a number in a filter is meant exactly")]
                    (Some(a), Some(b)) => a == b,
                    _ => wanted == found,
                };
                same == *equal
            }
        }
    }
}

/// A filter inside a filter inside… is nothing that a column needs.
const MAX_DEPTH: usize = 2;

/// Steps up to the first text that begins none.
fn steps(mut rest: &str, depth: usize) -> Option<(JsonPath, &str)> {
    let mut steps = Vec::new();
    loop {
        if let Some(after) = rest.strip_prefix('.') {
            // `.['key']` is the same as `['key']`.
            if after.starts_with('[') {
                rest = after;
                continue;
            }
            let (key, after) = key(after)?;
            steps.push(if key == "*" { Step::Any } else { Step::Key(key) });
            rest = after;
        } else if let Some(after) = rest.strip_prefix('[') {
            let (step, after) = bracket(after, depth)?;
            steps.push(step);
            rest = after;
        } else {
            return Some((JsonPath { steps }, rest));
        }
    }
}

/// The key after a dot, where a backslash takes the next character as it is.
fn key(text: &str) -> Option<(String, &str)> {
    let mut key = String::new();
    let mut chars = text.chars();
    loop {
        let before = chars.as_str();
        match chars.next() {
            Some('\\') => key.push(chars.next()?),
            Some(c) if !c.is_whitespace() && !".[]()=!<>,'\"{}|&@?".contains(c) => key.push(c),
            _ if key.is_empty() => return None,
            _ => return Some((key, before)),
        }
    }
}

/// What is between brackets, after the opening one.
fn bracket(text: &str, depth: usize) -> Option<(Step, &str)> {
    let text = text.trim_start();
    if let Some(rest) = text.strip_prefix('*') {
        return Some((Step::Any, close(rest)?));
    }
    if text.starts_with(['\'', '"']) {
        let (key, rest) = quoted(text)?;
        return Some((Step::Key(key), close(rest)?));
    }
    if let Some(rest) = text.strip_prefix("?(") {
        if depth >= MAX_DEPTH {
            return None;
        }
        let (path, rest) = steps(rest.trim_start().strip_prefix('@')?, depth + 1)?;
        let rest = rest.trim_start();
        let operator = [("==", true), ("!=", false)].into_iter();
        let found =
            operator.into_iter().find_map(|(o, equal)| Some((equal, rest.strip_prefix(o)?)));
        let (compare, rest) = match found {
            None => (None, rest),
            Some((equal, rest)) => {
                let (wanted, rest) = literal(rest.trim_start())?;
                (Some((equal, wanted)), rest)
            }
        };
        let rest = close(rest.trim_start().strip_prefix(')')?)?;
        return Some((Step::Filter(Filter { path, compare }), rest));
    }
    let (number, rest) = text.split_at(text.find(']')?);
    Some((Step::Index(number.trim().parse().ok()?), close(rest)?))
}

fn close(text: &str) -> Option<&str> {
    text.trim_start().strip_prefix(']')
}

/// Text in single or double quotes, where a backslash takes the next character as it is.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut chars = text.chars();
    let quote = chars.next()?;
    let mut value = String::new();
    loop {
        match chars.next()? {
            '\\' => value.push(chars.next()?),
            c if c == quote => return Some((value, chars.as_str())),
            c => value.push(c),
        }
    }
}

/// Quoted text, a number, `true` or `false`.
fn literal(text: &str) -> Option<(Value, &str)> {
    if text.starts_with(['\'', '"']) {
        let (value, rest) = quoted(text)?;
        return Some((value.into(), rest));
    }
    let (word, rest) = text.split_at(text.find([')', ' '])?);
    let value: Value = serde_json::from_str(word).ok()?;
    (value.is_number() || value.is_boolean()).then_some((value, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_lead_to_the_first_value() {
        let object = json!({
            "a": {"b": 1, "k.e/y": 2, "it's": 3}, "list": [{"n": 1}, {"n": 2, "x": "last"}],
            "conditions": [
                {"type": "Up", "status": "True"}, {"type": "Ready"},
                {"type": "Ready", "status": "False", "n": 7, "b": true},
            ],
        });
        let cases = [
            (".a.b", json!(1)),
            ("$.a.b", json!(1)),
            (".a['b']", json!(1)),
            (".['a'].b", json!(1)),
            (r".a.k\.e/y", json!(2)),
            (".a['k.e/y']", json!(2)),
            (".a[\"it's\"]", json!(3)),
            (r".a['it\'s']", json!(3)),
            (".list[0].n", json!(1)),
            (".list[-1].x", json!("last")),
            (".list[*].x", json!("last")),
            (".a.*", json!(1)),
            (r#".conditions[?(@.type=="Ready")].status"#, json!("False")),
            (".conditions[?( @.type == 'Up' )].status", json!("True")),
            (".conditions[?(@.type!='Up')].status", json!("False")),
            (".conditions[?(@.n==7)].status", json!("False")),
            (".conditions[?(@.n==7.0)].status", json!("False")),
            (".conditions[?(@.b==true)].n", json!(7)),
            (".conditions[?(@.n)].type", json!("Ready")),
        ];
        for (path, value) in cases {
            let compiled = JsonPath::parse(path).expect(path);
            assert_eq!(compiled.find(&object), Some(&value), "{path}");
        }
        for path in [
            ".z",
            ".a.b.c",
            ".list[2]",
            ".list[-3]",
            ".list.n",
            ".a[0]",
            ".conditions[?(@.type=='x')]",
        ] {
            assert_eq!(JsonPath::parse(path).expect(path).find(&object), None, "{path}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        let wrong = [
            "",
            ".",
            "a",
            ".a.",
            ".a..b",
            ".a[",
            ".a[x]",
            ".a[1",
            ".a['x]",
            ".a[?(@.x=='y']",
            ".a[?(@.x==y)]",
            ".a b",
            ".a]",
            "{.a}",
            ".a[?(x)]",
            ".a[0:1]",
            "\\",
        ];
        for path in wrong {
            assert_eq!(JsonPath::parse(path), None, "{path}");
        }
        let deep = ".a[?(@".repeat(10_000);
        assert_eq!(JsonPath::parse(&deep), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[.a\\[\\]?(@)='\"\\\\*0-9 é-]{0,24}") {
            if let Some(path) = JsonPath::parse(&text) {
                let _ = path.find(&json!({"a": [{"a": "a"}, 0]}));
            }
        }
    }
}
