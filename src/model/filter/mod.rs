//! The filter: one line of text that chooses hosts. The same grammar serves the filter line,
//! `--filter`, saved views and `--headless get`; [`GRAMMAR_HELP`] is its description for people.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

mod parse;

/// A parsed filter. Cloning it is cheap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter(Arc<String>);

/// Why a text is no filter, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ParseError {
    /// Bytes of the text at which it goes wrong; empty at the end of the text.
    pub at: Range<usize>,
    /// What is wrong there.
    pub message: String,
    /// What could stand there instead; may be empty.
    pub expected: Vec<&'static str>,
}

/// The grammar for the help screen: how it is written, what it finds.
pub const GRAMMAR_HELP: &[(&str, &str)] = &[];

impl Filter {
    /// Reads a filter. The empty text chooses everything.
    ///
    /// # Errors
    /// When the text is no filter: with the place in it, and what could stand there.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        Ok(Self(Arc::new(text.to_owned())))
    }

    /// Whether it chooses everything: it has no term.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether every host that this filter chooses is chosen by `other` as well. False where that
    /// cannot be told from the two texts.
    pub fn narrows(&self, other: &Self) -> bool {
        self == other
    }

    /// The words that a host is wanted for: those that stand without `!`.
    pub fn words(&self) -> Vec<&str> {
        self.0.split_whitespace().collect()
    }

    /// Indices of the characters of `text` to be highlighted, ascending.
    pub fn highlights(&self, text: &str) -> Vec<usize> {
        let _ = text;
        Vec::new()
    }

    /// How well `text` fits the words, greater is better, and the characters to highlight; none
    /// if no word fits. For the ranking of the few rows that are shown.
    pub fn score(&self, text: &str) -> Option<(i64, Vec<usize>)> {
        let _ = text;
        None
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The set of a text's characters as 64 bits; upper and lower case are one.
pub(crate) fn text_mask(text: &str) -> u64 {
    text.bytes().fold(0, |mask, byte| mask | 1 << (byte.to_ascii_lowercase() & 63))
}
