//! A change as data: whose it is, what it replaces, what it sends, and how to take it back.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::model::host::{Hold, HoldMode, Host};
use crate::model::key::Uid;

/// Longest hold in seconds: 30 days, as the schema has it.
pub const MAX_HOLD_SECONDS: u64 = 30 * 86_400;
/// Shortest reason in characters.
pub const MIN_REASON: usize = 3;
/// Longest reason in characters.
pub const MAX_REASON: usize = 256;

/// How a change is confirmed. Policy can raise it, never lower it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// One host, reversible: `y`.
    Confirm,
    /// A protected host: a reason typed by hand, then `y`.
    Reason,
}

/// The object that a change is for, as it was when the change was prepared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Identity; a namesake made later is another object.
    pub uid: Uid,
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// Version that the change was prepared against.
    pub resource_version: String,
}

/// One holder's hold, replaced by another value. `None` is no hold.
#[derive(Clone, Debug, PartialEq)]
pub struct HoldChange {
    /// The host.
    pub target: Target,
    /// The one key of `spec.maintenance` that changes; nobody else's hold is touched.
    pub holder: String,
    /// The value that the change expects to find.
    pub old: Option<Hold>,
    /// The value that it puts there.
    pub new: Option<Hold>,
}

impl HoldChange {
    /// The JSON merge patch: the one key, and the version it was prepared against.
    pub fn patch(&self) -> Value {
        json!({
            "metadata": { "uid": self.target.uid.as_str(), "resourceVersion": self.target.resource_version },
            "spec": { "maintenance": { &self.holder: self.new } },
        })
    }

    /// The change that takes this one back, valid while the value is still ours. The version is the
    /// one that this change produced.
    #[must_use]
    pub fn inverse(&self, resource_version: &str) -> Self {
        Self {
            target: Target { resource_version: resource_version.to_owned(), ..self.target.clone() },
            holder: self.holder.clone(),
            old: self.new.clone(),
            new: self.old.clone(),
        }
    }

    /// Whether the object still is the one that was meant and holds the expected value, whatever
    /// else has changed in it.
    pub fn still_applies(&self, host: &Host) -> bool {
        host.metadata.uid.as_deref() == Some(self.target.uid.as_str())
            && host.spec.maintenance.get(&self.holder) == self.old.as_ref()
    }
}

/// A hold from `now` on. Times are whole seconds, as the API writes them.
pub fn hold(reason: &str, now: Timestamp, seconds: u64) -> Hold {
    let since = now.as_second();
    let until = since.saturating_add(i64::try_from(seconds).unwrap_or(i64::MAX));
    Hold {
        reason: reason.to_owned(),
        since: Time(Timestamp::from_second(since).unwrap_or(now)),
        until: Time(Timestamp::from_second(until).unwrap_or(Timestamp::MAX)),
        ticket: None,
        mode: HoldMode::Drain,
    }
}

/// The holder's key for an authenticated user name: illegal characters become `-`, cut to 63.
pub fn holder(user: &str) -> String {
    let legal = |c: char| c.is_ascii_alphanumeric() || "@._:+-".contains(c);
    let key: String = user
        .chars()
        .map(|c| if legal(c) { c } else { '-' })
        .skip_while(|c| !c.is_ascii_alphanumeric())
        .take(63)
        .collect();
    if key.is_empty() { "unknown".to_owned() } else { key }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change() -> HoldChange {
        HoldChange {
            target: Target {
                uid: Uid::new("u-1"),
                namespace: "inventory".into(),
                name: "aws-i-1".into(),
                resource_version: "7".into(),
            },
            holder: "ann".into(),
            old: None,
            new: Some(hold("disk swap", Timestamp::from_second(1_000).unwrap(), 7_200)),
        }
    }

    #[test]
    fn the_patch_touches_one_key_and_carries_the_version() {
        let patch = change().patch();
        assert_eq!(
            patch,
            json!({
                "metadata": {"uid": "u-1", "resourceVersion": "7"},
                "spec": {"maintenance": {"ann": {
                    "reason": "disk swap", "since": "1970-01-01T00:16:40Z",
                    "until": "1970-01-01T02:16:40Z", "mode": "Drain",
                }}},
            })
        );
        let back = change().inverse("8").patch();
        assert_eq!(back["spec"], json!({"maintenance": {"ann": null}}));
        assert_eq!(back["metadata"]["resourceVersion"], "8");
    }

    #[test]
    fn it_applies_only_to_the_same_object_with_the_expected_value() {
        let mut host = Host::default();
        host.metadata.uid = Some("u-1".into());
        assert!(change().still_applies(&host));
        assert!(!change().inverse("8").still_applies(&host));
        host.spec.maintenance.insert("ann".into(), change().new.unwrap());
        assert!(!change().still_applies(&host));
        assert!(change().inverse("8").still_applies(&host));
        host.metadata.uid = Some("u-2".into());
        assert!(!change().inverse("8").still_applies(&host));
    }

    #[test]
    fn holders_are_legal_keys() {
        assert_eq!(holder("ann@example.com"), "ann@example.com");
        assert_eq!(holder("--Ann Müller"), "Ann-M-ller");
        assert_eq!(holder("\u{1b}"), "unknown");
        assert_eq!(holder(&"x".repeat(80)).len(), 63);
    }
}
