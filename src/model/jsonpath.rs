//! kubectl's `JSONPath` templates: text with paths in braces, `{range …}` and `{end}`.
//!
//! Of paths: `.a.b`, `.a\.b`, `['a']`, `['a','b']`, `[0]`, `[-1]`, `[0,2]`, `[1:3]`, `[*]`, `.*`,
//! `..a`, `[?(@.a=="b")]` with `== != < <= > >=` or nothing to compare, `$` and `@`. As in kubectl a
//! path that leads nowhere gives nothing, and `['a.b']` goes to `b` in `a` unless there is a key `a.b`.
//! Without any brace the whole text is one path. There are no scripts.

use std::cmp::Ordering;
use std::fmt::Write as _;

use serde_json::Value;

/// Longest template in bytes.
const MAX_LENGTH: usize = 16 * 1024;
/// Filters and ranges inside each other.
const MAX_DEPTH: usize = 8;

/// A template, read once and followed often.
#[derive(Clone, Debug, PartialEq)]
pub struct Template(Vec<Node>);

#[derive(Clone, Debug, PartialEq)]
enum Node {
    Text(String),
    Path(Path),
    Range(Path, Vec<Self>),
}

/// A path, read once and followed often.
#[derive(Clone, Debug, PartialEq)]
pub struct Path(Vec<Step>);

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Root,
    Keys(Vec<String>),
    Any,
    Deep,
    /// From the end if negative.
    Indices(Vec<i64>),
    Slice {
        from: Option<i64>,
        to: Option<i64>,
        step: usize,
    },
    Filter {
        left: Operand,
        compare: Option<(Compare, Operand)>,
    },
}

#[derive(Clone, Debug, PartialEq)]
enum Operand {
    Path(Path),
    Value(Value),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Compare {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// What is wrong with it and where.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_LENGTH {
            return Err(format!("a template has at most {MAX_LENGTH} bytes"));
        }
        if !text.contains('{') {
            return Path::parse(text).map(|path| Self(vec![Node::Path(path)]));
        }
        let (nodes, rest) = nodes(text, 0)?;
        if rest.is_empty() { Ok(Self(nodes)) } else { Err("{end} without {range}".to_owned()) }
    }

    /// What it makes of an object. Several values of one path stand with a space between them.
    pub fn render(&self, value: &Value) -> String {
        let mut out = String::new();
        render(&self.0, value, value, &mut out);
        out
    }
}

fn render(nodes: &[Node], value: &Value, root: &Value, out: &mut String) {
    for node in nodes {
        match node {
            Node::Text(text) => out.push_str(text),
            Node::Path(path) => {
                for (number, found) in path.follow(value, root).into_iter().enumerate() {
                    out.push_str(if number == 0 { "" } else { " " });
                    out.push_str(&plain(found));
                }
            }
            Node::Range(path, nodes) => {
                for found in path.follow(value, root) {
                    render(nodes, found, root, out);
                }
            }
        }
    }
}

/// A value as it is printed: texts as they are, what has parts as JSON.
pub fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Nodes up to the end of the text, or to `{end}` if inside a range.
fn nodes(mut text: &str, depth: usize) -> Result<(Vec<Node>, &str), String> {
    let mut found = Vec::new();
    if depth > MAX_DEPTH {
        return Err("too many ranges inside each other".to_owned());
    }
    loop {
        let Some((before, inside)) = text.split_once('{') else {
            if depth > 0 {
                return Err("{range} without {end}".to_owned());
            }
            if !text.is_empty() {
                found.push(Node::Text(text.to_owned()));
            }
            return Ok((found, ""));
        };
        if !before.is_empty() {
            found.push(Node::Text(before.to_owned()));
        }
        let inside = inside.trim_start();
        if let Some(after) = inside.strip_prefix("end").and_then(close_brace) {
            return if depth > 0 {
                Ok((found, after))
            } else {
                Err("{end} without {range}".to_owned())
            };
        }
        if inside.starts_with(['"', '\'']) {
            let (literal, after) = quoted(inside)?;
            found.push(Node::Text(literal));
            text = close_brace(after).ok_or_else(|| missing("}", after))?;
            continue;
        }
        let range =
            inside.strip_prefix("range").filter(|rest| rest.starts_with(char::is_whitespace));
        let (path, after) = steps(range.unwrap_or(inside).trim_start(), 0)?;
        let after = close_brace(after).ok_or_else(|| missing("}", after))?;
        if range.is_some() {
            let (inner, after) = nodes(after, depth + 1)?;
            found.push(Node::Range(path, inner));
            text = after;
        } else {
            found.push(Node::Path(path));
            text = after;
        }
    }
}

fn close_brace(text: &str) -> Option<&str> {
    text.trim_start().strip_prefix('}')
}

fn missing(what: &str, at: &str) -> String {
    let shown: String = at.chars().take(20).collect();
    if shown.is_empty() {
        format!("\"{what}\" is missing at the end")
    } else {
        format!("\"{what}\" is missing before \"{shown}\"")
    }
}

impl Path {
    /// Reads a path, in braces or not.
    ///
    /// # Errors
    /// What is wrong with it and where.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let text = match text.strip_prefix('{') {
            Some(inside) => inside.strip_suffix('}').ok_or_else(|| missing("}", ""))?.trim(),
            None => text,
        };
        if text.is_empty() {
            return Err("a path is missing".to_owned());
        }
        // `metadata.name` is `.metadata.name`.
        let dotted;
        let text = if text.starts_with(['.', '[', '$', '@']) {
            text
        } else {
            dotted = format!(".{text}");
            &dotted
        };
        let (path, rest) = steps(text, 0)?;
        if rest.trim().is_empty() {
            Ok(path)
        } else {
            Err(format!("\"{rest}\" is no part of a path"))
        }
    }

    /// All values that it leads to from `value`.
    pub fn find<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        self.follow(value, value)
    }

    fn follow<'a>(&self, value: &'a Value, root: &'a Value) -> Vec<&'a Value> {
        let mut now = vec![value];
        for step in &self.0 {
            let mut next = Vec::new();
            for value in now {
                step.go(value, root, &mut next);
            }
            now = next;
        }
        now
    }
}

impl Step {
    fn go<'a>(&self, value: &'a Value, root: &'a Value, out: &mut Vec<&'a Value>) {
        match (self, value) {
            (Self::Root, _) => out.push(root),
            (Self::Keys(keys), Value::Object(_)) => {
                out.extend(keys.iter().filter_map(|key| at_key(value, key)));
            }
            (Self::Any, Value::Object(map)) => out.extend(map.values()),
            (Self::Any, Value::Array(list)) => out.extend(list),
            (Self::Deep, _) => deep(value, out),
            (Self::Indices(indices), Value::Array(list)) => {
                out.extend(indices.iter().filter_map(|index| list.get(place(*index, list.len())?)));
            }
            (Self::Slice { from, to, step }, Value::Array(list)) => {
                let edge = |edge: i64| {
                    let length = i64::try_from(list.len()).unwrap_or(i64::MAX);
                    let at = if edge < 0 { length + edge } else { edge };
                    usize::try_from(at.clamp(0, length)).unwrap_or(0)
                };
                let (from, to) = (edge(from.unwrap_or(0)), to.map_or(list.len(), edge));
                out.extend(list.get(from..to).unwrap_or_default().iter().step_by(*step));
            }
            (Self::Filter { left, compare }, Value::Array(list)) => {
                out.extend(list.iter().filter(|one| holds(left, compare.as_ref(), one, root)));
            }
            _ => {}
        }
    }
}

fn place(index: i64, length: usize) -> Option<usize> {
    let distance = usize::try_from(index.unsigned_abs()).ok()?;
    if index < 0 { length.checked_sub(distance) } else { Some(distance) }
}

/// The value at a key; a key with dots that is not there is a way through several.
fn at_key<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    if let Some(found) = value.get(key) {
        return Some(found);
    }
    let (first, rest) = key.split_once('.')?;
    at_key(value.get(first)?, rest)
}

fn deep<'a>(value: &'a Value, out: &mut Vec<&'a Value>) {
    out.push(value);
    match value {
        Value::Object(map) => map.values().for_each(|one| deep(one, out)),
        Value::Array(list) => list.iter().for_each(|one| deep(one, out)),
        _ => {}
    }
}

fn holds(
    left: &Operand,
    compare: Option<&(Compare, Operand)>,
    value: &Value,
    root: &Value,
) -> bool {
    fn first<'a>(operand: &'a Operand, value: &'a Value, root: &'a Value) -> Option<&'a Value> {
        match operand {
            Operand::Value(value) => Some(value),
            Operand::Path(path) => path.follow(value, root).first().copied(),
        }
    }
    let Some(left) = first(left, value, root) else { return false };
    let Some((compare, right)) = compare else { return true };
    let Some(right) = first(right, value, root) else { return false };
    let order = match (left, right) {
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        _ => match (left.as_f64(), right.as_f64()) {
            (Some(a), Some(b)) => a.partial_cmp(&b),
            _ => (left == right).then_some(Ordering::Equal),
        },
    };
    match compare {
        Compare::Equal => order == Some(Ordering::Equal),
        Compare::Unequal => order != Some(Ordering::Equal),
        Compare::Less => order == Some(Ordering::Less),
        Compare::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        Compare::Greater => order == Some(Ordering::Greater),
        Compare::GreaterOrEqual => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
    }
}

/// Steps up to the first text that begins none.
fn steps(mut rest: &str, depth: usize) -> Result<(Path, &str), String> {
    if depth > MAX_DEPTH {
        return Err("too many filters inside each other".to_owned());
    }
    let mut steps = Vec::new();
    if let Some(after) = rest.strip_prefix('$') {
        steps.push(Step::Root);
        rest = after;
    } else if let Some(after) = rest.strip_prefix('@') {
        rest = after;
    } else if !rest.starts_with(['.', '[']) {
        return Err(if rest.is_empty() {
            "a path is missing".to_owned()
        } else {
            missing(".", rest)
        });
    }
    loop {
        if let Some(after) = rest.strip_prefix("..") {
            steps.push(Step::Deep);
            rest = after;
            if !rest.starts_with('[') {
                let (step, after) = key(rest)?;
                steps.push(step);
                rest = after;
            }
        } else if let Some(after) = rest.strip_prefix('.') {
            // `.` alone is the value itself; `.['key']` is the same as `['key']`.
            rest = after;
            let ends = |c: char| c == '[' || c == '}' || c.is_whitespace() || ")=!<>".contains(c);
            if rest.is_empty() || rest.starts_with(ends) {
                continue;
            }
            let (step, after) = key(rest)?;
            steps.push(step);
            rest = after;
        } else if let Some(after) = rest.strip_prefix('[') {
            let (step, after) = bracket(after.trim_start(), depth)?;
            steps.push(step);
            rest = after.trim_start().strip_prefix(']').ok_or_else(|| missing("]", after))?;
        } else {
            return Ok((Path(steps), rest));
        }
    }
}

/// The key after a dot, where a backslash takes the next character as it is.
fn key(text: &str) -> Result<(Step, &str), String> {
    if let Some(rest) = text.strip_prefix('*') {
        return Ok((Step::Any, rest));
    }
    let mut key = String::new();
    let mut chars = text.chars();
    loop {
        let before = chars.as_str();
        match chars.next() {
            Some('\\') => key.extend(chars.next()),
            Some(c) if !c.is_whitespace() && !".[](){}=!<>,'\"|&@$?".contains(c) => key.push(c),
            _ if key.is_empty() => return Err(missing("a name", text)),
            _ => return Ok((Step::Keys(vec![key]), before)),
        }
    }
}

/// What is between brackets, after the opening one.
fn bracket(text: &str, depth: usize) -> Result<(Step, &str), String> {
    if let Some(rest) = text.strip_prefix('*') {
        return Ok((Step::Any, rest));
    }
    if let Some(rest) = text.strip_prefix("?(") {
        let (left, rest) = operand(rest.trim_start(), depth)?;
        let rest = rest.trim_start();
        let known = [
            ("==", Compare::Equal),
            ("!=", Compare::Unequal),
            ("<=", Compare::LessOrEqual),
            (">=", Compare::GreaterOrEqual),
            ("<", Compare::Less),
            (">", Compare::Greater),
        ];
        let sign = known.iter().find_map(|(sign, one)| Some((*one, rest.strip_prefix(sign)?)));
        let (compare, rest) = match sign {
            None => (None, rest),
            Some((compare, rest)) => {
                let (right, rest) = operand(rest.trim_start(), depth)?;
                (Some((compare, right)), rest)
            }
        };
        let rest = rest.trim_start().strip_prefix(')').ok_or_else(|| missing(")", rest))?;
        return Ok((Step::Filter { left, compare }, rest));
    }
    if text.starts_with(['\'', '"']) {
        let mut keys = Vec::new();
        let mut rest = text;
        loop {
            let (key, after) = quoted(rest)?;
            // A backslash before a dot that `quoted` has left.
            keys.push(key.replace("\\.", "."));
            rest = after.trim_start();
            match rest.strip_prefix(',') {
                Some(after) => rest = after.trim_start(),
                None => return Ok((Step::Keys(keys), rest)),
            }
        }
    }
    let end = text.find(']').ok_or_else(|| missing("]", ""))?;
    let (inside, rest) = text.split_at(end);
    let number = |text: &str| -> Result<i64, String> {
        text.trim().parse().map_err(|_cause| format!("\"{}\" is no number", text.trim()))
    };
    if inside.contains(':') {
        let edge = |text: Option<&str>| match text.map(str::trim).filter(|text| !text.is_empty()) {
            Some(text) => number(text).map(Some),
            None => Ok(None),
        };
        let mut parts = inside.split(':');
        let (from, to) = (edge(parts.next())?, edge(parts.next())?);
        let step = edge(parts.next())?.unwrap_or(1);
        let step = usize::try_from(step).ok().filter(|step| *step > 0);
        let step = step.ok_or_else(|| "a step is at least 1".to_owned())?;
        if parts.next().is_some() {
            return Err(format!("\"{inside}\" is no range of numbers"));
        }
        return Ok((Step::Slice { from, to, step }, rest));
    }
    let indices: Result<Vec<i64>, String> = inside.split(',').map(number).collect();
    Ok((Step::Indices(indices?), rest))
}

fn operand(text: &str, depth: usize) -> Result<(Operand, &str), String> {
    if text.starts_with(['@', '$', '.']) {
        let (path, rest) = steps(text, depth + 1)?;
        return Ok((Operand::Path(path), rest));
    }
    if text.starts_with(['\'', '"']) {
        let (value, rest) = quoted(text)?;
        return Ok((Operand::Value(value.into()), rest));
    }
    let end = text.find(|c: char| c.is_whitespace() || ")=!<>".contains(c)).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    match serde_json::from_str::<Value>(word) {
        Ok(value) if value.is_number() || value.is_boolean() => Ok((Operand::Value(value), rest)),
        _ => Err(format!("\"{word}\" is no value: a text stands in quotes")),
    }
}

/// Text in single or double quotes. A backslash makes a line end, a tab or a quote; before anything
/// else it stays.
fn quoted(text: &str) -> Result<(String, &str), String> {
    let mut chars = text.chars();
    let quote = chars.next();
    let mut value = String::new();
    loop {
        match chars.next() {
            Some('\\') => match chars.next() {
                Some('n') => value.push('\n'),
                Some('t') => value.push('\t'),
                Some('r') => value.push('\r'),
                Some('\\') => value.push('\\'),
                Some(c) if Some(c) == quote => value.push(c),
                Some(c) => {
                    let _ = write!(value, "\\{c}");
                }
                None => return Err("a quote is missing at the end".to_owned()),
            },
            Some(c) if Some(c) == quote => return Ok((value, chars.as_str())),
            Some(c) => value.push(c),
            None => return Err("a quote is missing at the end".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn list() -> Value {
        json!({"kind": "List", "items": [
            {"metadata": {"name": "a", "labels": {"x.y/z": "1", "env": "prod"}},
             "status": {"n": 3, "ok": true, "conditions": [
                {"type": "Ready", "status": "True"}, {"type": "Seen", "status": "False"}]}},
            {"metadata": {"name": "b", "labels": {"env": "dev"}}, "status": {"n": 12}},
            {"metadata": {"name": "c"}},
        ]})
    }

    #[test]
    fn templates_make_what_kubectl_makes_of_them() {
        for (template, wanted) in [
            ("{.items[*].metadata.name}", "a b c"),
            ("{.items[0].metadata.name}", "a"),
            ("{.items[-1].metadata.name}", "c"),
            ("{.items[0:2].metadata.name}", "a b"),
            ("{.items[::2].metadata.name}", "a c"),
            ("{.items[0,2].metadata.name}", "a c"),
            (r"{.items[*].metadata.labels.x\.y/z}", "1"),
            (r"{.items[0].metadata.labels['x\.y/z']}", "1"),
            ("{.items[0].metadata.labels['x.y/z']}", "1"),
            ("{.items[0]['metadata.name', 'status.n']}", "a 3"),
            ("{.items[?(@.metadata.name==\"b\")].status.n}", "12"),
            ("{.items[?(@.status.n>5)].metadata.name}", "b"),
            ("{.items[?(@.status.n<=3)].metadata.name}", "a"),
            ("{.items[?(@.status)].metadata.name}", "a b"),
            ("{.items[?(@.status.ok==true)].metadata.name}", "a"),
            ("{.items[?(@.metadata.labels.env!='prod')].metadata.name}", "b"),
            (".items[*].status.conditions[?(@.type==\"Ready\")].status", "True"),
            (
                "{range .items[*]}{.metadata.name}{\"\\t\"}{.status.n}{\"\\n\"}{end}",
                "a\t3\nb\t12\nc\t\n",
            ),
            ("{range .items[*]}[{.metadata.name}, {.status.n}] {end}", "[a, 3] [b, 12] [c, ] "),
            ("names: {.items[*].metadata.name}!", "names: a b c!"),
            ("{..name}", "a b c"),
            ("{$.kind}", "List"),
            ("{.items[1].metadata}", r#"{"labels":{"env":"dev"},"name":"b"}"#),
            ("{.items[1].metadata.labels.*}", "dev"),
            ("{.nowhere}", ""),
            ("{.items[7]}", ""),
            ("{range .items[:1]}{range .status.conditions[*]}{.type} {end}{end}", "Ready Seen "),
            ("kind", "List"),
        ] {
            let parsed = Template::parse(template).unwrap_or_else(|e| panic!("{template}: {e}"));
            assert_eq!(parsed.render(&list()), wanted, "{template}");
        }
    }

    #[test]
    fn what_is_no_template_is_refused_with_the_place() {
        for (template, why) in [
            ("{.a", "\"}\" is missing"),
            ("{range .a}", "{range} without {end}"),
            ("{end}", "{end} without {range}"),
            ("{.a[}", "\"]\" is missing"),
            ("{.a[x]}", "\"x\" is no number"),
            ("{.a['x]}", "a quote is missing"),
            ("{.a[?(@.x=='y']}", "\")\" is missing"),
            ("{.a[?(@.x==y)]}", "stands in quotes"),
            ("{.a[0:1:0]}", "a step is at least 1"),
            ("{}", "\".\" is missing"),
            ("{a}", "\".\" is missing"),
            ("", "a path is missing"),
        ] {
            let problem = Template::parse(template).unwrap_err();
            assert!(problem.contains(why), "{template}: {problem}");
        }
        for deep in ["{range .a}".repeat(5_000), format!("{{{}", ".a[?(@".repeat(2_000))] {
            assert!(Template::parse(&deep).is_err());
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[{}.a\\[\\]?(@)='\"\\\\*0-9 :,$é-]{0,24}") {
            if let Ok(template) = Template::parse(&text) {
                let _ = template.render(&json!({"a": [{"a": "a"}, 0]}));
            }
        }
    }
}
