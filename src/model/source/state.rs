//! How a source is, as one word: what its fetcher last said of it, and whether it still says
//! anything.

use k8s_openapi::jiff::Timestamp;

use super::{ScopeStatus, Source};
use crate::model::condition::{BREAKER_OPEN, FALSE, HEALTHY, TRUE, find};
use crate::model::duration;

/// Passes that may be left out before a source is stale.
const PASSES: i64 = 3;
/// A source is not stale before so many seconds, however short its interval: clocks differ.
const LEAST: i64 = 60;
/// Reason of the condition Healthy when not even the scopes could be read.
pub const NOT_READ: &str = "NotRead";

/// How a source is. What is worth a look first comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// A pass would have lost too many hosts and was not believed: nothing was marked.
    BreakerOpen,
    /// The last pass could not even begin.
    NotRead,
    /// No pass has ended for three intervals.
    Stale,
    /// The last pass could not read or write everything.
    Incomplete,
    /// No pass has ended yet.
    NeverPassed,
    /// The last pass read and wrote everything.
    Healthy,
}

impl State {
    /// Its words on the screen.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BreakerOpen => "breaker open",
            Self::NotRead => "not read",
            Self::Stale => "stale",
            Self::Incomplete => "incomplete",
            Self::NeverPassed => "never passed",
            Self::Healthy => "healthy",
        }
    }

    /// Whether somebody should look at it.
    pub fn is_trouble(self) -> bool {
        self <= Self::Incomplete
    }
}

impl Source {
    /// How it is at this time.
    pub fn state(&self, now: Timestamp) -> State {
        let Some(status) = &self.status else { return State::NeverPassed };
        if status.last_pass.is_none() {
            return State::NeverPassed;
        }
        if find(&status.conditions, BREAKER_OPEN).is_some_and(|open| open.status == TRUE) {
            return State::BreakerOpen;
        }
        let unwell = find(&status.conditions, HEALTHY).filter(|healthy| healthy.status == FALSE);
        match unwell {
            Some(healthy) if healthy.reason == NOT_READ => State::NotRead,
            _ if self.is_late(now) => State::Stale,
            Some(_) => State::Incomplete,
            None if status.scopes.iter().any(|scope| scope.error.is_some()) => State::Incomplete,
            None => State::Healthy,
        }
    }

    /// The interval between two passes in seconds, where it is stated.
    pub fn interval_seconds(&self) -> Option<i64> {
        let length = duration::parse(self.spec.interval.as_deref()?).ok()?;
        i64::try_from(length.as_secs()).ok().filter(|seconds| *seconds > 0)
    }

    /// Whether the last pass ended more than three intervals ago. Where no interval is stated it
    /// cannot be told, and is not.
    pub fn is_late(&self, now: Timestamp) -> bool {
        let Some(status) = &self.status else { return false };
        let (Some(last), Some(interval)) = (&status.last_pass, self.interval_seconds()) else {
            return false;
        };
        // A pass takes its time too, and a pass that takes longer than the interval is not late.
        let took = status.duration_millis.unwrap_or(0).max(0) / 1_000;
        let limit = interval.saturating_add(took).saturating_mul(PASSES).max(LEAST);
        now.as_second().saturating_sub(last.0.as_second()) > limit
    }

    /// The scopes whose listing was not believed.
    pub fn unbelieved(&self) -> impl Iterator<Item = &ScopeStatus> {
        let status = self.status.as_ref();
        let open = status.and_then(|status| find(&status.conditions, BREAKER_OPEN));
        let message = open.filter(|open| open.status == TRUE).map_or("", |open| &open.message);
        // The message names them: "eu-west-1: 48 of 120 hosts ...; us-east-1: ...".
        let named = move |scope: &&ScopeStatus| {
            let of_it = |part: &str| {
                part.strip_prefix(scope.name.as_str()).is_some_and(|rest| rest.starts_with(": "))
            };
            message.split("; ").any(of_it)
        };
        status.map_or(&[][..], |status| &status.scopes).iter().filter(named)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn at(ago: i64) -> Timestamp {
        Timestamp::from_second(NOW - ago).unwrap()
    }

    #[expect(clippy::needless_pass_by_value, reason = "arguments are json! literals")]
    fn source(interval: Option<&str>, status: serde_json::Value) -> Source {
        let object = json!({
            "apiVersion": "inventory.inv-tui.dev/v1alpha1", "kind": "Source",
            "metadata": {"name": "aws"}, "spec": {"type": "AWS", "interval": interval},
            "status": status,
        });
        serde_json::from_value(object).unwrap()
    }

    fn condition(type_: &str, status: &str, reason: &str, message: &str) -> serde_json::Value {
        json!({"type": type_, "status": status, "reason": reason, "message": message,
            "lastTransitionTime": at(60).to_string()})
    }

    #[test]
    fn each_state_from_what_is_said() {
        let fine = condition("Healthy", "True", "Complete", "");
        let part = condition("Healthy", "False", "Incomplete", "eu: refused");
        let none = condition("Healthy", "False", "NotRead", "no credentials");
        let open = condition("BreakerOpen", "True", "TooManyLost", "eu: 5 of 9");
        let shut = condition("BreakerOpen", "False", "Closed", "");
        let passed = |ago: i64, conditions: &[&serde_json::Value]| {
            let status = json!({"lastPass": at(ago).to_string(), "conditions": conditions});
            source(Some("5m"), status).state(at(0))
        };
        assert_eq!(passed(30, &[&fine, &shut]), State::Healthy);
        assert_eq!(passed(30, &[&part, &shut]), State::Incomplete);
        assert_eq!(passed(30, &[&part, &open]), State::BreakerOpen);
        assert_eq!(passed(30, &[&none, &shut]), State::NotRead);
        assert_eq!(passed(5_000, &[&fine, &shut]), State::Stale);
        assert_eq!(passed(5_000, &[&part, &shut]), State::Stale);
        assert_eq!(passed(5_000, &[&part, &open]), State::BreakerOpen);
        assert_eq!(source(None, json!(null)).state(at(0)), State::NeverPassed);
        assert_eq!(source(None, json!({"seen": 3})).state(at(0)), State::NeverPassed);
        let words =
            json!({"lastPass": at(1).to_string(), "scopes": [{"name": "eu", "error": "x"}]});
        assert_eq!(source(None, words).state(at(0)), State::Incomplete);
        assert!(State::Incomplete.is_trouble() && !State::NeverPassed.is_trouble());
    }

    #[test]
    fn late_is_three_intervals_and_the_time_that_passes_take() {
        let late = |interval, took: i64, ago| {
            let status = json!({"lastPass": at(ago).to_string(), "durationMillis": took});
            source(interval, status).is_late(at(0))
        };
        assert!(!late(Some("5m"), 0, 900) && late(Some("5m"), 0, 901));
        assert!(!late(Some("5m"), 60_000, 1_080) && late(Some("5m"), 60_000, 1_081));
        assert!(!late(Some("1s"), 0, 60) && late(Some("1s"), 0, 61));
        for unknown in [None, Some("0s"), Some("5m5m"), Some("")] {
            assert!(!late(unknown, 0, 1_000_000), "{unknown:?}");
        }
        assert!(!late(Some("5m"), -5, -100), "a clock that is behind");
        assert!(!late(Some("5m"), i64::MAX, 1_000_000));
    }

    #[test]
    fn the_scopes_that_are_not_believed_are_named() {
        let open = "eu: 5 of 9 hosts would be lost; us-1: 3 of 3";
        let status = json!({"lastPass": at(1).to_string(),
            "conditions": [condition("BreakerOpen", "True", "TooManyLost", open)],
            "scopes": [{"name": "ap"}, {"name": "eu"}, {"name": "eu: 5"}, {"name": "us"}, {"name": "us-1"}]});
        let all = source(None, status);
        let names: Vec<&str> = all.unbelieved().map(|scope| scope.name.as_str()).collect();
        assert_eq!(names, ["eu", "us-1"]);
        assert_eq!(source(None, json!(null)).unbelieved().count(), 0);
    }
}
