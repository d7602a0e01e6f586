//! One term of a filter.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::filter::ast::{
    Expr, IpTest, LabelTest, Pattern, RUN_WORDS, Term, TextField, TimeField, UNITS, state_words,
};
use crate::model::labels::{is_label_key, is_label_value};
use crate::model::text::is_hostile;

use super::{Parsed, Parser, error};

/// What stands before a colon.
const FIELDS: &[&str] = &[
    "region:",
    "cluster:",
    "provider:",
    "state:",
    "role:",
    "team:",
    "env:",
    "zone:",
    "name:",
    "namespace:",
    "server:",
    "source:",
    "ip:",
    "maintenance:",
    "run:",
    "age<",
    "seen>",
];
const STATES: &[&str] = &[
    "planned",
    "pending",
    "running",
    "stopped",
    "maintenance",
    "unreachable",
    "missing",
    "gone",
    "decommissioning",
    "unknown",
    "ok",
    "warning",
    "bad",
    "inservice",
    "outofservice",
    "quarantined",
    "retired",
];
const RUNS: &[&str] = &["queued", "running", "succeeded", "failed", "unknown", "canceled", "none"];

impl<'a> Parser<'a> {
    pub(super) fn term(&mut self) -> Parsed<Expr> {
        let start = self.at;
        match self.peek() {
            Some('"') => {
                let text = self.quoted()?;
                if text.is_empty() {
                    return Err(error(start..self.at, "nothing between the quotes", &[]));
                }
                return Ok(Expr::Term(Term::Exact(text)));
            }
            Some('/') => return self.regex().map(Expr::Term),
            _ => {}
        }
        let key = self.until(|c| matches!(c, '=' | ':' | '<' | '>'), true);
        let rest = self.rest();
        if rest.starts_with("!=") || rest.starts_with('=') {
            return self.label(start, key);
        }
        if rest.starts_with('<') || rest.starts_with('>') {
            return self.comparison(start, key).map(Expr::Term);
        }
        if rest.starts_with(':') {
            if let Some(term) = self.field(start, key)? {
                return Ok(Expr::Term(term));
            }
            // Neither a field nor meant as one: `aws:///a/i-0`, `fe80::1`.
            self.until(|_| false, false);
        } else if let Some(set) = self.set(start, key)? {
            return Ok(set);
        }
        let word = self.text.get(start..self.at).unwrap_or_default();
        Ok(Expr::Term(Term::Word(word.to_owned())))
    }

    /// The text up to what ends a word, or to a character of `stop`, or (if `not_equal`) to `!=`.
    fn until(&mut self, stop: impl Fn(char) -> bool, not_equal: bool) -> &'a str {
        let rest = self.rest();
        let mut chars = rest.char_indices().peekable();
        let mut end = rest.len();
        while let Some((at, c)) = chars.next() {
            let next = chars.peek().map(|(_, c)| *c);
            let pair = |first, second| c == first && next == Some(second);
            if c.is_whitespace()
                || matches!(c, '(' | ')' | '"' | ',')
                || pair('|', '|')
                || pair('&', '&')
                || (not_equal && pair('!', '='))
                || stop(c)
            {
                end = at;
                break;
            }
        }
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    /// A text in quotes; `\"` and `\\` stand for the character itself. No text of a host has a
    /// line break.
    fn quoted(&mut self) -> Parsed<String> {
        let start = self.at;
        self.skip('"');
        let mut out = String::new();
        while let Some(c) = self.peek() {
            if is_hostile(c) {
                return self.missing("a line break or tab between quotes", &["\""]);
            }
            self.skip(c);
            match c {
                '"' => return Ok(out),
                '\\' if matches!(self.peek(), Some('"' | '\\')) => {
                    out.extend(self.peek());
                    self.at += 1;
                }
                _ => out.push(c),
            }
        }
        Err(error(start..self.at, "the closing quote is missing", &["\""]))
    }

    fn regex(&mut self) -> Parsed<Term> {
        let start = self.at;
        self.skip('/');
        let mut source = String::new();
        loop {
            let Some(c) = self.peek() else {
                let message = "the closing '/' is missing; a text with '/' in front goes in quotes";
                return Err(error(start..self.at, message, &["/"]));
            };
            self.skip(c);
            match c {
                '/' => break,
                '\\' => match self.peek() {
                    Some('/') => {
                        source.push('/');
                        self.skip('/');
                    }
                    Some(next) => {
                        source.extend([c, next]);
                        self.skip(next);
                    }
                    None => {}
                },
                _ => source.push(c),
            }
        }
        if source.is_empty() {
            return Err(error(start..self.at, "nothing between the slashes", &[]));
        }
        match Pattern::new(source) {
            Ok(pattern) => Ok(Term::Regex(pattern)),
            Err(problem) => {
                let text = problem.to_string();
                let last = text.lines().last().unwrap_or_default().trim();
                let reason = last.strip_prefix("error: ").unwrap_or(last);
                Err(error(start..self.at, format!("no regular expression: {reason}"), &[]))
            }
        }
    }

    /// `key=value`, `key==value`, `key!=value`, `key=*`.
    fn label(&mut self, start: usize, key: &str) -> Parsed<Expr> {
        self.check_label_key(start, key)?;
        let negative = self.take("!=");
        if !negative {
            self.skip('=');
            self.take("=");
        }
        let test = if self.take("*") {
            LabelTest::Exists
        } else {
            LabelTest::In(vec![self.label_value()?])
        };
        let term = Expr::Term(Term::Label { key: key.to_owned(), test });
        Ok(if negative { Expr::Not(Box::new(term)) } else { term })
    }

    fn check_label_key(&self, start: usize, key: &str) -> Parsed<()> {
        if is_label_key(key) {
            return Ok(());
        }
        if key.is_empty() {
            return self.missing("a label key is missing in front of this", &["a label key"]);
        }
        let message =
            format!("{key:?} is no label key; a text with '=', '<' or '>' goes in quotes");
        Err(error(start..start + key.len(), message, &["a label key", "\"exact words\""]))
    }

    /// A label value, as it is or in quotes. An empty one must be in quotes: it is seldom wanted
    /// and stands there for a moment each time that somebody types a selector.
    fn label_value(&mut self) -> Parsed<String> {
        let start = self.at;
        if self.peek() == Some('"') {
            return self.quoted();
        }
        let value = self.until(|_| false, false);
        if value.is_empty() {
            return self.missing("a value is missing here", &["a label value", "*", "\"\""]);
        }
        if !is_label_value(value) {
            let message = format!("{value:?} is no label value");
            return Err(error(start..self.at, message, &["letters, digits and -_. inside"]));
        }
        Ok(value.to_owned())
    }

    /// `key in (a,b)` and `key notin (a,b)`; none if that is not what follows.
    fn set(&mut self, start: usize, key: &str) -> Parsed<Option<Expr>> {
        let after = self.rest().trim_start();
        let Some((negative, list)) = after
            .strip_prefix("notin")
            .map(|list| (true, list))
            .or_else(|| after.strip_prefix("in").map(|list| (false, list)))
            .map(|(negative, list)| (negative, list.trim_start()))
            .filter(|(_, list)| list.starts_with('('))
            .filter(|_| after.len() < self.rest().len())
        else {
            return Ok(None);
        };
        self.check_label_key(start, key)?;
        let open = self.text.len() - list.len();
        self.at = open + 1;
        let mut values: Vec<String> = Vec::new();
        loop {
            self.skip_space();
            if self.peek().is_none() {
                return Err(error(open..open + 1, "no ')' belongs to this '('", &["')'"]));
            }
            let value = self.label_value()?;
            if !values.contains(&value) {
                values.push(value);
            }
            self.skip_space();
            if self.take(")") {
                break;
            }
            if self.peek().is_none() {
                return Err(error(open..open + 1, "no ')' belongs to this '('", &["')'"]));
            }
            if !self.take(",") {
                return self.missing("values are separated by commas", &["','", "')'"]);
            }
        }
        let test = LabelTest::In(values);
        let term = Expr::Term(Term::Label { key: key.to_owned(), test });
        Ok(Some(if negative { Expr::Not(Box::new(term)) } else { term }))
    }

    /// `age<2h`, `seen>10m`, and `key>5` for a label that is a number.
    fn comparison(&mut self, start: usize, key: &str) -> Parsed<Term> {
        let time = TimeField::ALL.iter().find(|(name, _)| *name == key).map(|(_, field)| *field);
        if time.is_none() {
            self.check_label_key(start, key)?;
        }
        let older = self.peek() == Some('>');
        self.at += 1;
        let value_start = self.at + usize::from(time.is_some() && self.take("="));
        let value = self.until(|_| false, false);
        let at = value_start..self.at.max(value_start);
        if let Some(field) = time {
            return match span(value) {
                Some(seconds) => Ok(Term::Time { field, older, seconds }),
                None if value.is_empty() => {
                    self.missing("a span of time is missing here", &["30s", "10m", "2h", "10d"])
                }
                None => {
                    let message = format!("{value:?} is no span of time");
                    Err(error(at, message, &["30s", "10m", "2h", "10d", "2w", "1d12h"]))
                }
            };
        }
        let Ok(number) = value.parse() else {
            let message = "a label is compared with a whole number";
            return Err(error(at, message, &["a number", "age<", "seen>"]));
        };
        let test = if older { LabelTest::Greater(number) } else { LabelTest::Less(number) };
        Ok(Term::Label { key: key.to_owned(), test })
    }

    /// `field:value`; none if what stands before the colon is not meant as a field.
    fn field(&mut self, start: usize, name: &str) -> Parsed<Option<Term>> {
        let colon = self.at;
        self.skip(':');
        if let Some((_, field)) = TextField::ALL.iter().find(|(known, _)| *known == name) {
            let values = self.values(&["a part of a name"])?;
            let values = values.into_iter().map(|(value, _)| value).collect();
            return Ok(Some(Term::Field { field: *field, values }));
        }
        match name {
            "environment" | "context" => {
                let values = self.values(&["a part of a name"])?;
                let values = values.into_iter().map(|(value, _)| value).collect();
                let field =
                    if name == "context" { TextField::Server } else { TextField::Environment };
                Ok(Some(Term::Field { field, values }))
            }
            "source" => {
                let values = self.values(&["the name of a source"])?;
                Ok(Some(Term::Source(values.into_iter().map(|(value, _)| value).collect())))
            }
            "state" => {
                let known: Vec<String> = state_words().map(|(word, _)| word).collect();
                self.words(&known, STATES).map(Term::State).map(Some)
            }
            "run" => {
                let known: Vec<String> =
                    RUN_WORDS.iter().map(|(word, _)| (*word).to_owned()).collect();
                self.words(&known, RUNS).map(Term::Run).map(Some)
            }
            "maintenance" => {
                let value_start = self.at;
                match self.until(|_| false, false).to_lowercase().as_str() {
                    "on" => Ok(Some(Term::Maintenance(true))),
                    "off" => Ok(Some(Term::Maintenance(false))),
                    _ => Err(error(value_start..self.at, "on or off?", &["on", "off"])),
                }
            }
            "ip" => self.ip().map(Some),
            _ => {
                let meant = name.len() >= 3
                    && name.bytes().all(|byte| byte.is_ascii_alphabetic())
                    && !self.rest().starts_with("//");
                if meant {
                    let message =
                        format!("there is no field {name:?}; a text with ':' goes in quotes");
                    return Err(error(start..colon, message, FIELDS));
                }
                Ok(None)
            }
        }
    }

    /// The values after a colon, in lower case, with their places: `a,b` is either of them. A
    /// comma before what is a term of its own ends the list.
    fn values(
        &mut self,
        expected: &[&'static str],
    ) -> Parsed<Vec<(String, std::ops::Range<usize>)>> {
        let mut out: Vec<(String, std::ops::Range<usize>)> = Vec::new();
        loop {
            let start = self.at;
            let value = if self.peek() == Some('"') {
                self.quoted()?
            } else {
                self.until(|_| false, false).to_owned()
            };
            if value.is_empty() {
                return self.missing("a value is missing here", expected);
            }
            let value = super::super::fuzzy::fold(&value);
            if !out.iter().any(|(known, _)| *known == value) {
                out.push((value, start..self.at));
            }
            let comma = self.at;
            if !self.take(",") {
                return Ok(out);
            }
            let plain = self.peek() == Some('"') || {
                let next = self.at;
                let value = self.until(|c| matches!(c, '=' | ':' | '<' | '>'), true);
                let ends = !self.rest().starts_with(['=', ':', '<', '>', '!']);
                self.at = next;
                !value.is_empty() && !value.starts_with(['!', '/']) && ends
            };
            if !plain {
                self.at = comma;
                return Ok(out);
            }
        }
    }

    /// Values that each begin one of the known words.
    fn words(&mut self, known: &[String], expected: &[&'static str]) -> Parsed<Vec<String>> {
        let mut out = Vec::new();
        for (value, at) in self.values(expected)? {
            if !known.iter().any(|word| word.starts_with(&value)) {
                return Err(error(
                    at,
                    format!("{value:?} is none of the words for this"),
                    expected,
                ));
            }
            out.push(value);
        }
        Ok(out)
    }

    fn ip(&mut self) -> Parsed<Term> {
        let start = self.at;
        let text = self.until(|_| false, false).to_lowercase();
        let expected = &["10.2.0.0/16", "10.2.", "fe80::1"];
        if text.is_empty() {
            return self.missing("an address is missing here", expected);
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Term::Ip(IpTest::Net(IpNet::from(address))));
        }
        if let Ok(net) = text.parse::<IpNet>() {
            return Ok(Term::Ip(IpTest::Net(net.trunc())));
        }
        if text.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':')) {
            return Ok(Term::Ip(IpTest::Prefix(text)));
        }
        let message = format!("{text:?} is no address, network or beginning of an address");
        Err(error(start..self.at, message, expected))
    }
}

/// A span of time in seconds: numbers, each with its unit.
fn span(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut seconds = 0_i64;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at_checked(end)?;
        let mut chars = after.chars();
        let unit = chars.next()?;
        let size = UNITS.iter().find(|(known, _)| *known == unit).map(|(_, size)| size)?;
        seconds = seconds.checked_add(number.parse::<i64>().ok()?.checked_mul(*size)?)?;
        rest = chars.as_str();
    }
    // More than any timestamp can be away from now would overflow in comparisons.
    (!text.is_empty() && seconds <= 315_360_000_000).then_some(seconds)
}
