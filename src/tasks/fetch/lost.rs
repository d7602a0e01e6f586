//! When a host is missing, gone and removed, and when a listing is not believed. Pure: time and
//! numbers are passed in.
//!
//! ```text
//!              absent                 absent, missed = gone_after       older than the grace,
//!   listed ──────────────> Missing ──────────────────────────> Gone ─────────────────────────> removed
//!      ^  └────────────────────────────────────────────────────^ │    not held, protected
//!      │     terminated at the provider                          │    or paused
//!      └─────────────────────────────────────────────────────────┘
//!            listed again
//! ```
//! A host that another source still has is not removed: this source takes back what it said of it.
//!
//! "Absent" is a claim about a complete listing of one scope; an incomplete one proves nothing.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::model::host::Phase;
use crate::store::hosts::{Kept, Known};

/// When a host is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Policy {
    /// Complete listings in a row without a host until it is gone.
    pub(super) gone_after: i32,
    /// How long a host that is gone is kept.
    pub(super) grace: SignedDuration,
    /// Hosts of a scope that may always be lost in one pass.
    pub(super) breaker_min: usize,
    /// Percent of a scope's hosts that may be lost in one pass.
    pub(super) breaker_percent: usize,
}

/// What is to be done with a host that a complete listing lacks or calls terminated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    Nothing,
    /// Write this state and this count.
    Mark(Phase, i32),
    /// Delete the object.
    Remove,
    /// Take back what this source says of it: another source still has it.
    Leave,
    /// It would be deleted, but for this.
    Keep(Reason),
}

/// Why a host stays though it is gone for long enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// A hold is current.
    Held,
    /// What stands in the object.
    Object(Kept),
}

/// Whether a host in this state counts as lost already.
pub(super) fn is_lost(state: Phase) -> bool {
    matches!(state, Phase::Missing | Phase::Gone)
}

/// The verdict on a host that a complete listing lacks.
pub(super) fn absent(known: &Known, policy: &Policy, now: Timestamp) -> Verdict {
    if known.deleting {
        return Verdict::Nothing;
    }
    match known.state {
        Phase::Gone => match removal(known, policy, now) {
            // terminated at first, and not even listed by now: that is told once
            Verdict::Nothing | Verdict::Keep(_) if known.seen.is_some_and(|(seen, _)| seen) => {
                Verdict::Mark(Phase::Gone, known.missed.saturating_add(1))
            }
            verdict => verdict,
        },
        state => {
            let missed = if state == Phase::Missing { known.missed.saturating_add(1) } else { 1 };
            let gone = missed >= policy.gone_after;
            Verdict::Mark(if gone { Phase::Gone } else { Phase::Missing }, missed)
        }
    }
}

/// The verdict on a host that its provider still lists, as terminated.
pub(super) fn terminated(known: &Known, policy: &Policy, now: Timestamp) -> Verdict {
    if known.deleting || known.state != Phase::Gone {
        Verdict::Nothing
    } else {
        removal(known, policy, now)
    }
}

fn removal(known: &Known, policy: &Policy, now: Timestamp) -> Verdict {
    if now.duration_since(known.since) < policy.grace {
        Verdict::Nothing
    } else if known.held_until.is_some_and(|until| until > now) {
        // a hold that begins later keeps the host as well: somebody counts on it
        Verdict::Keep(Reason::Held)
    } else if known.kept == Some(Kept::Shared) {
        Verdict::Leave
    } else if let Some(kept) = known.kept {
        Verdict::Keep(Reason::Object(kept))
    } else {
        Verdict::Remove
    }
}

/// A listing that would lose too many hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trip {
    /// Hosts that would be lost.
    pub(super) lost: usize,
    /// Hosts of the scope that were not gone before.
    pub(super) known: usize,
    /// Hosts that may be lost at the most.
    pub(super) limit: usize,
}

/// Whether losing `lost` of `known` hosts at once is too much to believe.
pub(super) fn breaker(lost: usize, known: usize, policy: &Policy) -> Option<Trip> {
    let limit = policy.breaker_min.max(known.saturating_mul(policy.breaker_percent) / 100);
    (lost > limit).then_some(Trip { lost, known, limit })
}

#[cfg(test)]
mod tests;
