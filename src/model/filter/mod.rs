//! The filter: one line of text that chooses hosts. The same grammar serves the filter line,
//! `--filter`, saved views and `--headless get`; [`GRAMMAR_HELP`] describes it for people.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use fuzzy_matcher::FuzzyMatcher;
use fuzzy_matcher::skim::SkimMatcherV2;

mod ast;
pub mod complete;
mod eval;
mod facet;
mod fuzzy;
mod narrow;
mod parse;

pub(crate) use ast::TextField;
pub(crate) use eval::{Matcher, Sketch, Subject};
pub(crate) use eval::{is_key_word, is_meant};
pub use facet::Facet;
pub(crate) use fuzzy::{fold, is_folded, text_mask};

use ast::{Expr, Term};
use fuzzy::Fuzzy;

/// A parsed filter. Cloning it is cheap. [`Display`](fmt::Display) writes it in one fixed form,
/// which parses into an equal filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter(Arc<Expr>);

/// Why a text is no filter, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ParseError {
    /// Bytes of the text at which it goes wrong, on character boundaries; empty at the end of
    /// the text.
    pub at: Range<usize>,
    /// What is wrong there.
    pub message: String,
    /// What could stand there instead; may be empty.
    pub expected: Vec<&'static str>,
}

/// The grammar for the help screen: how it is written, what it finds.
pub const GRAMMAR_HELP: &[(&str, &str)] = &[
    ("web7", "fuzzy: letters in order, close together or at the start of a part (web-007)"),
    ("", "in display name and label values; as it is in name, address, provider id"),
    ("gpu", "a word that is a whole label key also finds the hosts with that label"),
    ("\"web 1\"", "exactly these characters, in upper or lower case"),
    ("/^web-[0-9]+$/", "regular expression, in upper or lower case"),
    ("!x", "not x, for any x"),
    ("a b   a && b   a,b", "both"),
    ("a || b", "either; binds less than and"),
    ("(a || b) c", "parentheses group"),
    ("env=prod  env!=prod", "label; a short key also finds example.com/env"),
    ("role in (db,web)  notin", "label with one of these values, with none of them"),
    ("gpu=*  gpu!=*", "has the label, has it not"),
    ("disks>4  disks<4", "label that is a number"),
    (
        "region:eu",
        "part of a field: region cluster provider role team env zone name namespace server",
    ),
    ("region:eu,us", "either part"),
    ("source:aws", "hosts that this source knows, whoever's they are; source=aws is the label"),
    ("state:run", "beginning of phase, health or service state"),
    ("run:failed", "last Ansible run; run:none for hosts that never ran"),
    ("ip:10.2.0.0/16  ip:10.2.", "network, or beginning of the address"),
    ("age<2h  age>10d", "time since launch; s m h d w"),
    ("seen>10m", "time since Ready, Seen, ProviderHealthy or AgentReady last changed"),
    ("maintenance:on", "a hold is in force; off: none is"),
];

static SKIM: LazyLock<SkimMatcherV2> = LazyLock::new(|| SkimMatcherV2::default().ignore_case());

impl Filter {
    fn new(expr: Expr) -> Self {
        Self(Arc::new(expr))
    }

    /// Reads a filter. The empty text chooses everything.
    ///
    /// # Errors
    /// When the text is no filter: with the place in it, and what could stand there.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        parse::parse(text)
    }

    /// Whether it chooses everything because it has no term.
    pub fn is_empty(&self) -> bool {
        matches!(self.0.as_ref(), Expr::All(parts) if parts.is_empty())
    }

    /// Whether it asks which API server a host is on.
    pub fn asks_for_server(&self) -> bool {
        fn asks(expr: &Expr) -> bool {
            match expr {
                Expr::All(parts) | Expr::Any(parts) => parts.iter().any(asks),
                Expr::Not(part) => asks(part),
                Expr::Term(term) => matches!(term, Term::Field { field: TextField::Server, .. }),
            }
        }
        asks(&self.0)
    }

    /// Whether every host that this filter chooses is chosen by `other` as well; false where that
    /// cannot be told from the two alone. Of words that are label keys it knows nothing.
    pub fn narrows(&self, other: &Self) -> bool {
        self.narrows_given(other, &|_| false)
    }

    /// [`Filter::narrows`] where `is_key` says which words (in lower case) are label keys.
    pub(crate) fn narrows_given(&self, other: &Self, is_key: &dyn Fn(&str) -> bool) -> bool {
        narrow::implies(&self.0, &other.0, is_key)
    }

    /// The words and exact words that a host is wanted for: those that stand without `!`.
    pub fn words(&self) -> Vec<&str> {
        self.wanted()
            .into_iter()
            .filter_map(|term| match term {
                Term::Word(text) | Term::Exact(text) => Some(text.as_str()),
                _ => None,
            })
            .collect()
    }

    /// Indices of the characters of `text` (a name that is shown) to be highlighted, ascending.
    pub fn highlights(&self, text: &str) -> Vec<usize> {
        self.score(text).map(|(_, places)| places).unwrap_or_default()
    }

    /// How well `text` fits the terms, greater is better, and the characters to be highlighted,
    /// ascending; none if no term fits. It takes microseconds: it is for the rows on the screen,
    /// not for the fleet.
    pub fn score(&self, text: &str) -> Option<(i64, Vec<usize>)> {
        let mut best: Option<(i64, Vec<usize>)> = None;
        for term in self.wanted() {
            let found = match term {
                Term::Word(word) if Fuzzy::new(word).fits(text) => SKIM.fuzzy_indices(text, word),
                Term::Exact(part) => find_part(text, part),
                Term::Field { field: TextField::Name, values } => {
                    values.iter().find_map(|part| find_part(text, part))
                }
                Term::Regex(pattern) => pattern.regex.find(text).map(|found| {
                    let start =
                        text.get(..found.start()).map_or(0, |before| before.chars().count());
                    let length = found.as_str().chars().count();
                    (to_score(length), (start..start + length).collect())
                }),
                _ => None,
            };
            if let Some((score, places)) = found {
                let (total, all) = best.get_or_insert_default();
                *total += score;
                all.extend(places);
            }
        }
        best.map(|(score, mut places)| {
            places.sort_unstable();
            places.dedup();
            (score, places)
        })
    }

    /// The terms that stand without `!`.
    fn wanted(&self) -> Vec<&Term> {
        fn collect<'a>(expr: &'a Expr, wanted: bool, out: &mut Vec<&'a Term>) {
            match expr {
                Expr::All(parts) | Expr::Any(parts) => {
                    for part in parts {
                        collect(part, wanted, out);
                    }
                }
                Expr::Not(part) => collect(part, !wanted, out),
                Expr::Term(term) if wanted => out.push(term),
                Expr::Term(_) => {}
            }
        }
        let mut out = Vec::new();
        collect(&self.0, true, &mut out);
        out
    }
}

/// Where `part` stands in `text`, scored by its length.
fn find_part(text: &str, part: &str) -> Option<(i64, Vec<usize>)> {
    let (text, part) = (fold(text), fold(part));
    let start = text.get(..text.find(&part)?)?.chars().count();
    let length = part.chars().count();
    Some((to_score(length), (start..start + length).collect()))
}

/// A run of characters in the scale of Skim, which gives about 16 for each.
fn to_score(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX).saturating_mul(16)
}

impl Default for Filter {
    /// The one that chooses everything.
    fn default() -> Self {
        Self::new(Expr::All(Vec::new()))
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for Filter {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests;
