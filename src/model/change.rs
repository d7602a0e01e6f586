//! A change as data: whose it is, what it replaces, what it sends, and how to take it back.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::model::host::{AnsibleRequest, Hold, HoldMode, Host};
use crate::model::key::Uid;

/// Longest hold in seconds: 30 days, as the schema has it.
pub const MAX_HOLD_SECONDS: u64 = 30 * 86_400;
/// Shortest reason in characters.
pub const MIN_REASON: usize = 3;
/// Longest reason in characters.
pub const MAX_REASON: usize = 256;

/// One change of one host.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A hold begins, ends or becomes another one.
    Hold(HoldChange),
    /// An Ansible run is asked for or canceled.
    Run(RunChange),
    /// Labels are set or removed.
    Labels(LabelsChange),
}

impl Change {
    /// The host.
    pub fn target(&self) -> &Target {
        match self {
            Self::Hold(change) => &change.target,
            Self::Run(change) => &change.target,
            Self::Labels(change) => &change.target,
        }
    }

    /// The host, to be changed: after a conflict that does not matter its version moves.
    pub fn target_mut(&mut self) -> &mut Target {
        match self {
            Self::Hold(change) => &mut change.target,
            Self::Run(change) => &mut change.target,
            Self::Labels(change) => &mut change.target,
        }
    }

    /// The JSON merge patch: only what changes, and the version it was prepared against.
    pub fn patch(&self) -> Value {
        match self {
            Self::Hold(change) => change.patch(),
            Self::Run(change) => change.patch(),
            Self::Labels(change) => change.patch(),
        }
    }

    /// The change that takes this one back; none for a run, which cannot be taken back.
    #[must_use]
    pub fn inverse(&self, resource_version: &str) -> Option<Self> {
        match self {
            Self::Hold(change) => Some(Self::Hold(change.inverse(resource_version))),
            Self::Run(_) => None,
            Self::Labels(change) => Some(Self::Labels(change.inverse(resource_version))),
        }
    }

    /// Whether the object still is the one that was meant and holds the expected value, whatever
    /// else has changed in it.
    pub fn still_applies(&self, host: &Host) -> bool {
        match self {
            Self::Hold(change) => change.still_applies(host),
            Self::Run(change) => change.still_applies(host),
            Self::Labels(change) => change.still_applies(host),
        }
    }
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
    /// The JSON merge patch: the one key, in which nothing of the old hold stays, and the version it
    /// was prepared against.
    pub fn patch(&self) -> Value {
        let value = |hold: &Option<Hold>| serde_json::to_value(hold).unwrap_or_default();
        json!({
            "metadata": { "uid": self.target.uid.as_str(), "resourceVersion": self.target.resource_version },
            "spec": { "maintenance": { &self.holder: replacing(&value(&self.old), value(&self.new)) } },
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

/// The request for an Ansible run, replaced by another one. To cancel it is the same request with
/// `cancel` set.
#[derive(Clone, Debug, PartialEq)]
pub struct RunChange {
    /// The host.
    pub target: Target,
    /// The request that the change expects to find.
    pub old: Option<AnsibleRequest>,
    /// The request that it puts there.
    pub new: AnsibleRequest,
}

impl RunChange {
    /// The JSON merge patch: nothing of the old request stays, and the version it was prepared
    /// against.
    pub fn patch(&self) -> Value {
        let value = |request| serde_json::to_value(request).unwrap_or_default();
        json!({
            "metadata": { "uid": self.target.uid.as_str(), "resourceVersion": self.target.resource_version },
            "spec": { "ansible": replacing(&value(self.old.as_ref()), value(Some(&self.new))) },
        })
    }

    /// Whether the object still is the one that was meant and holds the expected request.
    pub fn still_applies(&self, host: &Host) -> bool {
        host.metadata.uid.as_deref() == Some(self.target.uid.as_str())
            && host.spec.ansible == self.old
    }
}

/// Labels of one host, each replaced by another value. `None` is no label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelsChange {
    /// The host.
    pub target: Target,
    /// By key: the value that the change expects to find, and the one that it puts there. No other
    /// label is touched.
    pub labels: BTreeMap<String, (Option<String>, Option<String>)>,
}

impl LabelsChange {
    /// The JSON merge patch: only these keys, and the version it was prepared against.
    pub fn patch(&self) -> Value {
        let new: BTreeMap<&String, &Option<String>> =
            self.labels.iter().map(|(key, (_, new))| (key, new)).collect();
        json!({
            "metadata": {
                "uid": self.target.uid.as_str(),
                "resourceVersion": self.target.resource_version,
                "labels": new,
            },
        })
    }

    /// The change that takes this one back, valid while the values are still ours.
    #[must_use]
    pub fn inverse(&self, resource_version: &str) -> Self {
        let swap = |(key, (old, new)): (&String, &(Option<String>, Option<String>))| {
            (key.clone(), (new.clone(), old.clone()))
        };
        Self {
            target: Target { resource_version: resource_version.to_owned(), ..self.target.clone() },
            labels: self.labels.iter().map(swap).collect(),
        }
    }

    /// Whether the object still is the one that was meant and its labels have the expected values.
    pub fn still_applies(&self, host: &Host) -> bool {
        let labels = host.metadata.labels.as_ref();
        host.metadata.uid.as_deref() == Some(self.target.uid.as_str())
            && self
                .labels
                .iter()
                .all(|(key, (old, _))| labels.and_then(|labels| labels.get(key)) == old.as_ref())
    }

    /// The change in words: `team: web → db, old: x → none`.
    pub fn words(&self) -> String {
        let word = |(key, (old, new)): (&String, &(Option<String>, Option<String>))| {
            format!("{key}: {} → {}", label_word(old.as_deref()), label_word(new.as_deref()))
        };
        self.labels.iter().map(word).collect::<Vec<_>>().join(", ")
    }
}

/// A label's value for people.
pub fn label_word(value: Option<&str>) -> &str {
    match value {
        None => "none",
        Some("") => "\"\"",
        Some(value) => value,
    }
}

/// The merge patch that puts `new` where `old` is: what only `old` has becomes null.
pub(super) fn replacing(old: &Value, new: Value) -> Value {
    let (Value::Object(old), Value::Object(mut patch)) = (old, new.clone()) else { return new };
    for (key, before) in old {
        match patch.get_mut(key) {
            Some(after) => *after = replacing(before, after.take()),
            None => drop(patch.insert(key.clone(), Value::Null)),
        }
    }
    Value::Object(patch)
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
    fn a_hold_that_takes_the_place_of_another_leaves_nothing_of_it() {
        let mut again = change();
        let ticket = Some("CHG-1".to_owned());
        again.old = Some(Hold { ticket, ..hold("old", Timestamp::from_second(10).unwrap(), 60) });
        let mut object = json!({"metadata": {}, "spec": {"maintenance": {
            "ann": again.old, "bob": again.old,
        }}});
        json_patch::merge(&mut object, &again.patch());
        let ours: Hold =
            serde_json::from_value(object["spec"]["maintenance"]["ann"].clone()).unwrap();
        assert_eq!(Some(ours), again.new, "else it could not be taken back");
        assert_eq!(object["spec"]["maintenance"]["bob"]["ticket"], "CHG-1");
        json_patch::merge(&mut object, &again.inverse("8").patch());
        assert_eq!(object["spec"]["maintenance"]["ann"]["ticket"], "CHG-1");
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

    fn run(id: &str, vars: &[(&str, &str)]) -> AnsibleRequest {
        AnsibleRequest {
            request_id: id.into(),
            playbook: "site.yml".into(),
            revision: None,
            tags: Vec::new(),
            check: false,
            extra_vars: vars.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            timeout_seconds: None,
            requested_by: None,
            reason: None,
            cancel: false,
        }
    }

    #[test]
    fn a_new_request_leaves_nothing_of_the_old_one() {
        let mut old = run("a", &[("only_old", "1"), ("both", "1")]);
        old.revision = Some("v1".into());
        let new = run("b", &[("both", "2"), ("only_new", "3")]);
        let change =
            RunChange { target: change().target, old: Some(old.clone()), new: new.clone() };
        let mut object = json!({"metadata": {}, "spec": {"ansible": old, "cluster": "shop"}});
        json_patch::merge(&mut object, &change.patch());
        let after: AnsibleRequest =
            serde_json::from_value(object["spec"]["ansible"].clone()).unwrap();
        assert_eq!(after, new);
        assert_eq!(object["spec"]["cluster"], "shop");
        assert!(Change::Run(change).inverse("8").is_none());
    }

    #[test]
    fn labels_are_patched_by_key_and_taken_back_only_while_they_are_ours() {
        let text = |text: &str| Some(text.to_owned());
        let labels = [("team", (text("web"), text("db"))), ("old", (text("x"), None))];
        let labels = labels.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let change = LabelsChange { target: change().target, labels };
        assert_eq!(
            change.patch(),
            json!({"metadata": {
                "uid": "u-1", "resourceVersion": "7", "labels": {"team": "db", "old": null},
            }})
        );
        let mut host = Host::default();
        host.metadata.uid = text("u-1");
        assert!(!change.still_applies(&host));
        let has = [("team", "web"), ("old", "x"), ("other", "y")];
        let has = has.map(|(key, value)| (key.to_owned(), value.to_owned()));
        host.metadata.labels = Some(has.into_iter().collect());
        assert!(change.still_applies(&host));
        let back = change.inverse("8");
        assert!(!back.still_applies(&host));
        assert_eq!(back.patch()["metadata"]["labels"], json!({"team": "web", "old": "x"}));
        assert_eq!(back.inverse("7"), change);
    }

    #[test]
    fn holders_are_legal_keys() {
        assert_eq!(holder("ann@example.com"), "ann@example.com");
        assert_eq!(holder("--Ann Müller"), "Ann-M-ller");
        assert_eq!(holder("\u{1b}"), "unknown");
        assert_eq!(holder(&"x".repeat(80)).len(), 63);
    }
}
