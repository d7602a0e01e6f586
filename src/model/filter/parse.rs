//! From a line of text to a filter, with errors that say where and what else could stand there.
//!
//! ```text
//! filter = [ or ]
//! or     = and { "||" and }
//! and    = not { [ "&&" | "," ] not }
//! not    = "!" not | "(" or ")" | term
//! term   = '"' text '"' | "/" regex "/" | key op value | key ("in"|"notin") "(" values ")"
//!        | field ":" value { "," value } | ("age"|"seen") ("<"|">") span | word
//! ```

use std::ops::Range;

use crate::model::text::is_hostile;

use super::ast::Expr;
use super::{Filter, ParseError};

mod term;

/// Longest filter in bytes.
const MAX_LENGTH: usize = 4096;
/// Deepest nesting of parentheses and `!`.
const MAX_DEPTH: usize = 64;
/// Most terms: each costs a table of its own over all texts of the fleet.
const MAX_TERMS: usize = 64;

type Parsed<T> = Result<T, ParseError>;

/// Reads a filter.
pub(super) fn parse(text: &str) -> Parsed<Filter> {
    if text.len() > MAX_LENGTH {
        let message = format!("a filter has at most {MAX_LENGTH} bytes, this one {}", text.len());
        return Err(error(text.floor_char_boundary(MAX_LENGTH)..text.len(), message, &[]));
    }
    let hostile = |c: &char| is_hostile(*c) && !c.is_whitespace();
    if let Some((at, c)) = text.char_indices().find(|(_, c)| hostile(c)) {
        let message = format!("an invisible character ({})", c.escape_unicode());
        return Err(error(at..at + c.len_utf8(), message, &[]));
    }
    let mut parser = Parser { text, at: 0, depth: 0, terms: 0 };
    parser.skip_space();
    if parser.peek().is_none() {
        return Ok(Filter::new(Expr::All(Vec::new())));
    }
    let expr = parser.or()?;
    match parser.peek() {
        None => Ok(Filter::new(expr)),
        // `or` stops only at the end and at a parenthesis.
        Some(_) => Err(error(parser.at..parser.at + 1, "no '(' belongs to this ')'", &[])),
    }
}

fn error(at: Range<usize>, message: impl Into<String>, expected: &[&'static str]) -> ParseError {
    ParseError { at, message: message.into(), expected: expected.to_vec() }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    terms: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn skip(&mut self, c: char) {
        self.at += c.len_utf8();
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    /// What is missing here: the place is the next character, or the end.
    fn missing<T>(&self, message: impl Into<String>, expected: &[&'static str]) -> Parsed<T> {
        let end = self.at + self.peek().map_or(0, char::len_utf8);
        Err(error(self.at..end, message, expected))
    }

    fn or(&mut self) -> Parsed<Expr> {
        let mut parts = Vec::new();
        loop {
            match self.and()? {
                Expr::Any(inner) => parts.extend(inner),
                part => parts.push(part),
            }
            self.skip_space();
            if !self.take("||") {
                return Ok(one_or(parts, Expr::Any));
            }
        }
    }

    fn and(&mut self) -> Parsed<Expr> {
        let mut parts = Vec::new();
        loop {
            match self.not()? {
                Expr::All(inner) => parts.extend(inner),
                part => parts.push(part),
            }
            self.skip_space();
            if self.take("&&") || self.take(",") {
                continue;
            }
            if matches!(self.peek(), None | Some(')')) || self.rest().starts_with("||") {
                return Ok(one_or(parts, Expr::All));
            }
        }
    }

    fn not(&mut self) -> Parsed<Expr> {
        self.skip_space();
        if self.depth >= MAX_DEPTH {
            return self.missing(format!("nested deeper than {MAX_DEPTH} levels"), &[]);
        }
        match self.peek() {
            Some('!') => {
                self.skip('!');
                self.depth += 1;
                let part = self.not()?;
                self.depth -= 1;
                Ok(Expr::Not(Box::new(part)))
            }
            Some('(') => {
                let open = self.at;
                self.skip('(');
                self.depth += 1;
                let part = self.or()?;
                self.depth -= 1;
                if self.take(")") {
                    return Ok(part);
                }
                Err(error(open..open + 1, "no ')' belongs to this '('", &["')'"]))
            }
            None | Some(')' | ',') => self.missing("a term is missing here", TERM),
            Some(_) if self.rest().starts_with("&&") || self.rest().starts_with("||") => {
                self.missing("a term is missing here", TERM)
            }
            Some(_) => {
                if self.terms == MAX_TERMS {
                    return self.missing(format!("more than {MAX_TERMS} terms"), &[]);
                }
                self.terms += 1;
                self.term()
            }
        }
    }
}

/// What can stand where a term can.
const TERM: &[&str] = &["a word", "\"exact words\"", "/regex/", "label=value", "field:value", "("];

/// The part itself if there is one, else all of them together.
fn one_or(mut parts: Vec<Expr>, many: fn(Vec<Expr>) -> Expr) -> Expr {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        Some(last) => {
            parts.push(last);
            many(parts)
        }
        None => many(parts),
    }
}

#[cfg(test)]
mod tests;
