//! What came of a pass: for the Source object, the log and the exit code.

use std::fmt::Write as _;
use std::time::Duration;

use super::lost::Trip;
use crate::error::chain;
use crate::providers::ProviderErrorKind;

/// Names of failures that are kept; the others are only counted.
const NAMED: usize = 10;

/// Failures: the first ten by name, and how many there are.
#[derive(Clone, Debug, Default)]
pub(super) struct Failures {
    named: Vec<(String, String)>,
    count: usize,
}

impl Failures {
    /// One more.
    pub(super) fn add(&mut self, name: impl Into<String>, why: impl Into<String>) {
        self.count += 1;
        if self.named.len() < NAMED {
            self.named.push((name.into(), why.into()));
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The first ten, with the reason.
    pub(super) fn named(&self) -> &[(String, String)] {
        &self.named
    }
}

impl std::fmt::Display for Failures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let noun = if self.count == 1 { "host" } else { "hosts" };
        write!(f, "{} {noun} failed", self.count)
    }
}

/// Why a listing ended early.
#[derive(Debug)]
pub(super) struct Incomplete {
    /// Class, if the provider is the cause.
    pub(super) kind: Option<ProviderErrorKind>,
    /// The words.
    pub(super) error: crate::error::Error,
}

/// What came of one scope.
#[derive(Debug, Default)]
pub(super) struct ScopeReport {
    /// Name of the scope.
    pub(super) name: String,
    /// The listing was complete, so absence was believed.
    pub(super) complete: bool,
    /// Only what changed was asked for, so that absence says nothing.
    pub(super) partial: bool,
    /// The scope was found by itself and is denied to us: not a failure.
    pub(super) denied: bool,
    /// Why it was not complete.
    pub(super) incomplete: Option<Incomplete>,
    /// Pages that came.
    pub(super) pages: usize,
    /// Hosts that the provider listed.
    pub(super) seen: usize,
    /// Hosts that are new.
    pub(super) created: usize,
    /// Hosts in which something changed.
    pub(super) changed: usize,
    /// Hosts that became missing, or stayed so for one more listing.
    pub(super) marked_missing: usize,
    /// Hosts that became gone because listings lack them.
    pub(super) marked_gone: usize,
    /// Hosts that were removed.
    pub(super) removed: usize,
    /// Hosts that are gone for longer than the grace time and kept.
    pub(super) kept: usize,
    /// Hosts of the scope that are missing after the pass.
    pub(super) missing_now: usize,
    /// Hosts of the scope that are gone and still there after the pass.
    pub(super) gone_now: usize,
    /// Hosts that could not be read or written.
    pub(super) failures: Failures,
    /// Those of them that could not be written.
    pub(super) unwritten: usize,
    /// Too many hosts would have been lost.
    pub(super) breaker: Option<Trip>,
    /// How much of the time pages were waited for.
    pub(super) listing: Duration,
    /// How long it took.
    pub(super) duration: Duration,
}

impl ScopeReport {
    /// Whether everything was done, or the scope left out without that being a failure.
    pub(super) fn is_fine(&self) -> bool {
        self.denied || (self.was_read() && self.breaker.is_none() && self.failures.count() == 0)
    }

    /// Whether everything that was asked for came.
    pub(super) fn was_read(&self) -> bool {
        self.incomplete.is_none() && (self.complete || self.partial)
    }

    /// Whether all that came was written, so that the next pass may ask for changes only. An item
    /// that cannot be read does not count: it changes when it is mended.
    pub(super) fn all_written(&self) -> bool {
        self.was_read() && self.breaker.is_none() && self.unwritten == 0
    }

    /// Why the scope is not fine, in one text of at most 1,024 bytes, for the Source object.
    pub(super) fn trouble(&self) -> Option<String> {
        let mut parts: Vec<String> = Vec::new();
        if let Some(incomplete) = &self.incomplete {
            parts.push(chain(&incomplete.error));
        }
        if let Some(trip) = &self.breaker {
            parts.push(trip.to_string());
        }
        if self.failures.count() > 0 {
            let names: Vec<&str> = self.failures.named().iter().map(|(n, _)| n.as_str()).collect();
            let first = self.failures.named().first().map_or("", |(_, why)| why.as_str());
            parts.push(format!("{} ({}): {first}", self.failures, names.join(", ")));
        }
        (!parts.is_empty()).then(|| shorten(&parts.join("; "), 1024))
    }

    /// One line for a person.
    pub(super) fn summary(&self) -> String {
        let seconds = self.duration.as_secs_f64();
        let mut line = format!(
            "{}: seen {}, created {}, changed {}",
            self.name, self.seen, self.created, self.changed
        );
        let more = [
            (self.marked_missing, "missing"),
            (self.marked_gone, "gone"),
            (self.removed, "removed"),
            (self.kept, "kept though gone"),
            (self.failures.count(), "failed"),
        ];
        for (number, word) in more {
            if number > 0 {
                let _ = write!(line, ", {word} {number}");
            }
        }
        let _ = write!(line, ", {} pages in {seconds:.1} s", self.pages);
        if self.partial {
            line.push_str(" (changes only)");
        }
        if self.denied {
            line.push_str(" (denied, left out)");
        } else if self.incomplete.is_some() {
            line.push_str(" (incomplete: nothing was marked missing)");
        } else if let Some(trip) = &self.breaker {
            let _ = write!(line, " (breaker open: {trip})");
        }
        line
    }
}

impl std::fmt::Display for Trip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} of {} hosts would be lost, at most {} are believed",
            self.lost, self.known, self.limit
        )
    }
}

/// At most `bytes` bytes of the text.
pub(super) fn shorten(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let end = (0..=bytes.saturating_sub(4)).rev().find(|at| text.is_char_boundary(*at));
    format!("{} …", text.get(..end.unwrap_or(0)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ten_failures_are_named() {
        let mut report =
            ScopeReport { name: "eu".into(), complete: true, ..ScopeReport::default() };
        assert!(report.is_fine() && report.trouble().is_none());
        for n in 0..25 {
            report.failures.add(format!("h{n}"), "refused");
        }
        assert!(!report.is_fine());
        let text = report.trouble().unwrap();
        assert!(text.starts_with("25 hosts failed (h0, h1,") && !text.contains("h10"), "{text}");
        assert!(report.summary().contains("failed 25"));
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(shorten("abc", 3), "abc");
        let text = shorten(&"é".repeat(600), 1024);
        assert!(text.len() <= 1024 && text.ends_with('…'));
    }
}
