//! Observed against stored: what one field manager owns of a stored Host, as a digest that can be
//! compared with what it would apply now, and which fields have become somebody else's.
//!
//! The server keeps, for each manager, the set of fields that it owns: `metadata.managedFields`,
//! one entry per manager, operation and subresource, in the `FieldsV1` notation of
//! `sigs.k8s.io/structured-merge-diff`. [`StoredHost::owned`] cuts exactly those fields out of the
//! object. If the result equals the body of the next apply, that apply would change nothing,
//! neither values nor ownership, and need not be sent.

use std::hash::{DefaultHasher, Hash, Hasher};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::api::ObjectMeta;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The fields of spec that belong to people; a fetcher only gives them a default.
pub const PEOPLE: [&str; 4] = ["cluster", "role", "team", "environment"];

/// Begin of the name of a fetcher's field manager.
const FETCHER: &str = "inv-tui-fetch-";

/// Maps and lists whose parts may belong to several sources.
const GUARDED: [(&str, &str); 4] = [
    ("f:metadata", "f:annotations"),
    ("f:status", "f:hardware"),
    ("f:status", "f:conditions"),
    ("f:status", "f:scheduledEvents"),
];

/// A Host as a fetcher reads it back: untyped, so that a value that this version does not know
/// does no harm.
#[derive(Deserialize, Serialize, Clone, Debug, Default)]
pub struct StoredHost {
    /// Metadata with the managed fields.
    pub metadata: ObjectMeta,
    /// Spec as it stands.
    #[serde(default)]
    pub spec: Value,
    /// Status as it stands.
    #[serde(default)]
    pub status: Value,
}

impl kube::Resource for StoredHost {
    type DynamicType = ();
    type Scope = kube::core::NamespaceResourceScope;

    fn kind((): &()) -> std::borrow::Cow<'_, str> {
        "Host".into()
    }
    fn group((): &()) -> std::borrow::Cow<'_, str> {
        super::GROUP.into()
    }
    fn version((): &()) -> std::borrow::Cow<'_, str> {
        super::VERSION.into()
    }
    fn plural((): &()) -> std::borrow::Cow<'_, str> {
        "hosts".into()
    }
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// The two documents that an apply can be sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The object itself: metadata and spec.
    Main,
    /// The status subresource.
    Status,
}

/// Which fields that a fetcher gives a default for belong to somebody else by now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contested {
    spec: u8,
    labels: Box<[u64]>,
    /// Fields beside them, as a guest sees it.
    others: Box<[u64]>,
    /// `status.phase`, which the lifecycle controller takes over.
    pub phase: bool,
}

impl Contested {
    /// Whether this field of [`PEOPLE`] is contested.
    pub fn spec(&self, field: &str) -> bool {
        PEOPLE.iter().position(|p| *p == field).is_some_and(|bit| self.spec & (1 << bit) != 0)
    }

    /// Whether the label is.
    pub fn label(&self, key: &str) -> bool {
        !self.labels.is_empty() && self.labels.binary_search(&hash_text(key)).is_ok()
    }

    /// Whether another field is somebody else's, by its path in the notation of `FieldsV1`, for
    /// example `["f:status", "f:hardware", "f:serial"]`. Only known from [`StoredHost::guest`].
    pub fn other(&self, path: &[&str]) -> bool {
        !self.others.is_empty() && self.others.binary_search(&hash_text(&path.join("/"))).is_ok()
    }
}

impl StoredHost {
    /// What `manager` owns of this part by server-side apply, in the shape of its next apply.
    pub fn owned(&self, manager: &str, part: Part) -> Value {
        let Some(fields) = self.applied(manager, part) else {
            return Value::Null;
        };
        match part {
            Part::Status => wrap("status", pick(&self.status, at(fields, "f:status"))),
            Part::Main => {
                let meta = at(fields, "f:metadata");
                let labels = pick_strings(self.metadata.labels.as_ref(), at(meta, "f:labels"));
                let notes =
                    pick_strings(self.metadata.annotations.as_ref(), at(meta, "f:annotations"));
                let mut metadata = Map::new();
                metadata.insert("labels".into(), labels);
                metadata.insert("annotations".into(), notes);
                let mut body = Map::new();
                body.insert("metadata".into(), Value::Object(metadata));
                // an empty spec is applied where there is nothing to say; the rest of it is others'
                let spec = Some(at(fields, "f:spec")).filter(|fields| !is_empty_set(fields));
                body.insert("spec".into(), spec.map_or(Value::Null, |set| pick(&self.spec, set)));
                Value::Object(body)
            }
        }
    }

    /// What is contested for `manager`: each field that exists and that it does not own. With
    /// `wanted`, the body of its next apply, also each field that it shares with another manager
    /// and that the body would change: the server refuses that as well.
    pub fn contested(&self, manager: &str, wanted: Option<&Value>) -> Contested {
        let main = self.applied(manager, Part::Main);
        let status = self.applied(manager, Part::Status);
        let lost = |live: &Value, path: &[&str], ours: Option<&Value>| {
            if !ours.is_some_and(|fields| has(fields, path)) {
                return true;
            }
            wanted.is_some_and(|wanted| {
                value_at(wanted, path) != Some(live) && self.shared(manager, path)
            })
        };
        let mut spec = 0;
        for (bit, field) in PEOPLE.iter().enumerate() {
            let key = format!("f:{field}");
            let live = at(&self.spec, field);
            if !live.is_null() && lost(live, &["f:spec", &key], main) {
                spec |= 1 << bit;
            }
        }
        let mut labels: Vec<u64> = Vec::new();
        for (name, value) in self.metadata.labels.iter().flatten() {
            let key = format!("f:{name}");
            let live = Value::String(value.clone());
            if lost(&live, &["f:metadata", "f:labels", &key], main) {
                labels.push(hash_text(name));
            }
        }
        labels.sort_unstable();
        let phase = at(&self.status, "phase");
        let path = ["f:status", "f:phase"];
        let phase = !phase.is_null()
            && !status.is_some_and(|fields| has(fields, &path))
            && !self.only_fetchers(&path);
        Contested { spec, labels: labels.into_boxed_slice(), others: Box::default(), phase }
    }

    /// What is contested for `manager`, the fetcher of a source to which the host does not belong:
    /// whatever somebody else has, and `status.phase`. Of a field that it shares it lets go if the
    /// other is the fetcher of `owner`, no fetcher at all, or before it in the alphabet, so that of
    /// two guests who share one, one keeps it.
    pub fn guest(&self, manager: &str, owner: &str) -> Contested {
        let mut contested = self.contested(manager, None);
        contested.phase = true;
        let mut labels = contested.labels.into_vec();
        let mut others = Vec::new();
        for entry in self.entries() {
            let name = entry.manager.as_deref().unwrap_or_default();
            let applied = entry.operation.as_deref() == Some("Apply");
            let Some(theirs) = fields(entry).filter(|_| name != manager || !applied) else {
                continue;
            };
            let first =
                name < manager || name.strip_prefix(FETCHER).is_none_or(|source| source == owner);
            let status = entry.subresource.as_deref() == Some("status");
            let ours = self.applied(manager, if status { Part::Status } else { Part::Main });
            let mut leave = |path: &[&str]| {
                if first || !ours.is_some_and(|ours| has(ours, path)) {
                    others.push(hash_text(&path.join("/")));
                }
            };
            for (outer, inner) in GUARDED {
                let all = at(at(theirs, outer), inner).as_object();
                for key in all.into_iter().flatten().map(|(key, _)| key) {
                    leave(&[outer, inner, key]);
                }
            }
            for (outer, inner) in [("f:spec", "f:providerID"), ("f:status", "f:launchTime")] {
                if has(theirs, &[outer, inner]) {
                    leave(&[outer, inner]);
                }
            }
            if !first {
                continue;
            }
            for (bit, field) in PEOPLE.iter().enumerate() {
                if has(theirs, &["f:spec", &format!("f:{field}")]) {
                    contested.spec |= 1 << bit;
                }
            }
            let all = at(at(theirs, "f:metadata"), "f:labels").as_object();
            let keys = all.into_iter().flatten().filter_map(|(key, _)| key.strip_prefix("f:"));
            labels.extend(keys.map(hash_text));
        }
        for all in [&mut labels, &mut others] {
            all.sort_unstable();
            all.dedup();
        }
        Contested {
            labels: labels.into_boxed_slice(),
            others: others.into_boxed_slice(),
            ..contested
        }
    }

    /// Whether somebody owns this field of the status, and fetchers only.
    fn only_fetchers(&self, path: &[&str]) -> bool {
        let mut owners = self
            .entries()
            .filter(|entry| fields(entry).is_some_and(|fields| has(fields, path)))
            .map(|entry| entry.manager.as_deref().unwrap_or_default())
            .peekable();
        owners.peek().is_some() && owners.all(|name| name.starts_with(FETCHER))
    }

    /// The fetcher that owns this label, if any other than `manager` does.
    pub fn other_fetcher(&self, manager: &str, label: &str) -> Option<&str> {
        let key = format!("f:{label}");
        self.entries()
            .filter(|e| e.manager.as_deref() != Some(manager))
            .filter(|e| fields(e).is_some_and(|f| has(f, &["f:metadata", "f:labels", &key])))
            .find_map(|e| e.manager.as_deref()?.strip_prefix(FETCHER))
    }

    /// Whether another manager owns the field at this path of plain names too, so that it stays where
    /// `manager` leaves it out.
    pub fn is_shared(&self, manager: &str, path: &[&str]) -> bool {
        let keys: Vec<String> = path.iter().map(|name| format!("f:{name}")).collect();
        self.shared(manager, &keys.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn entries(&self) -> impl Iterator<Item = &ManagedFieldsEntry> {
        self.metadata.managed_fields.iter().flatten()
    }

    fn applied(&self, manager: &str, part: Part) -> Option<&Value> {
        let subresource = match part {
            Part::Main => None,
            Part::Status => Some("status"),
        };
        self.entries()
            .find(|e| {
                e.manager.as_deref() == Some(manager)
                    && e.operation.as_deref() == Some("Apply")
                    && e.subresource.as_deref().filter(|s| !s.is_empty()) == subresource
            })
            .and_then(fields)
    }

    fn shared(&self, manager: &str, path: &[&str]) -> bool {
        self.entries()
            .filter(|e| {
                e.manager.as_deref() != Some(manager) || e.operation.as_deref() != Some("Apply")
            })
            .filter_map(fields)
            .any(|fields| has(fields, path))
    }
}

/// The value under a key, null where there is none.
pub fn at<'a>(value: &'a Value, key: &str) -> &'a Value {
    static NULL: Value = Value::Null;
    value.get(key).unwrap_or(&NULL)
}

/// A digest of a value in which the order of list items and empty parts do not count.
pub fn digest(value: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    // who applies nothing owns nothing
    feed(if is_empty(value) { &Value::Null } else { value }, &mut hasher);
    hasher.finish()
}

fn feed(value: &Value, hasher: &mut DefaultHasher) {
    match value {
        Value::Null => 0_u8.hash(hasher),
        Value::Bool(b) => (1_u8, b).hash(hasher),
        Value::Number(n) => (2_u8, n.to_string()).hash(hasher),
        Value::String(s) => (3_u8, s).hash(hasher),
        Value::Array(items) => {
            let mut digests: Vec<u64> = items.iter().map(digest).collect();
            digests.sort_unstable();
            (4_u8, digests).hash(hasher);
        }
        Value::Object(map) => {
            let mut entries: Vec<(&String, u64)> =
                map.iter().filter(|(_, v)| !is_empty(v)).map(|(k, v)| (k, digest(v))).collect();
            entries.sort_unstable();
            (5_u8, entries).hash(hasher);
        }
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.values().all(is_empty),
        _ => false,
    }
}

/// The hash of a text, in this process.
pub fn hash_text(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

fn is_empty_set(fields: &Value) -> bool {
    fields.as_object().is_none_or(|all| all.keys().all(|key| key == "."))
}

fn fields(entry: &ManagedFieldsEntry) -> Option<&Value> {
    entry.fields_v1.as_ref().map(|fields| &fields.0)
}

fn has(fields: &Value, path: &[&str]) -> bool {
    path.iter().try_fold(fields, |at, key| at.get(key)).is_some()
}

/// The value at a path of `FieldsV1` keys.
fn value_at<'a>(body: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(body, |at, key| at.get(key.strip_prefix("f:")?))
}

fn wrap(key: &str, value: Value) -> Value {
    let mut map = Map::new();
    map.insert(key.to_owned(), value);
    Value::Object(map)
}

/// Cuts out of `live` what `fields` names. A field without children is a leaf and taken whole.
fn pick(live: &Value, fields: &Value) -> Value {
    let Some(fields) = fields.as_object() else {
        return Value::Null;
    };
    if fields.keys().all(|key| key == ".") {
        return live.clone();
    }
    match live {
        Value::Object(map) => {
            let mut out = Map::new();
            for (key, children) in fields {
                if let Some(name) = key.strip_prefix("f:")
                    && let Some(value) = map.get(name)
                {
                    out.insert(name.to_owned(), pick(value, children));
                }
            }
            Value::Object(out)
        }
        Value::Array(items) => {
            let mut out = Vec::new();
            for (key, children) in fields {
                if let Some(text) = key.strip_prefix("k:")
                    && let Ok(Value::Object(keys)) = serde_json::from_str::<Value>(text)
                    && let Some(item) =
                        items.iter().find(|item| keys.iter().all(|(k, v)| item.get(k) == Some(v)))
                {
                    out.push(pick(item, children));
                } else if let Some(text) = key.strip_prefix("v:")
                    && let Ok(value) = serde_json::from_str::<Value>(text)
                    && items.contains(&value)
                {
                    out.push(value);
                }
            }
            Value::Array(out)
        }
        leaf => leaf.clone(),
    }
}

fn pick_strings(
    live: Option<&std::collections::BTreeMap<String, String>>,
    fields: &Value,
) -> Value {
    let mut out = Map::new();
    for key in fields.as_object().into_iter().flatten().map(|(key, _)| key) {
        if let Some(name) = key.strip_prefix("f:")
            && let Some(value) = live.and_then(|map| map.get(name))
        {
            out.insert(name.to_owned(), Value::String(value.clone()));
        }
    }
    Value::Object(out)
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "arguments are json! literals")]
mod tests {
    use super::*;
    use serde_json::json;

    const ME: &str = "inv-tui-fetch-aws";

    fn host(managed: Value) -> StoredHost {
        serde_json::from_value(json!({
            "metadata": {
                "name": "aws-i-1",
                "labels": {"topology.kubernetes.io/region": "eu-west-1", "mine": "yes", "theirs": "yes"},
                "annotations": {"note": "n"},
                "managedFields": managed,
            },
            "spec": {"providerID": "aws:///a/i-1", "cluster": "web", "role": "db", "maintenance": {"x": {}}},
            "status": {
                "phase": "Running",
                "sources": {"aws": {"uid": "i-1", "state": "Running"}, "capi": {"uid": "m"}},
                "addresses": [
                    {"type": "ExternalIP", "address": "192.0.2.1"},
                    {"type": "InternalIP", "address": "10.0.0.1"}
                ],
                "conditions": [{"type": "Seen", "status": "True"}, {"type": "Ready", "status": "True"}],
            },
        }))
        .unwrap()
    }

    fn entry(manager: &str, operation: &str, subresource: Option<&str>, fields: Value) -> Value {
        let mut entry = json!({
            "manager": manager, "operation": operation, "apiVersion": "inventory.inv-tui.dev/v1alpha1",
            "fieldsType": "FieldsV1", "fieldsV1": fields,
        });
        if let Some(name) = subresource {
            entry["subresource"] = name.into();
        }
        entry
    }

    #[test]
    fn an_empty_spec_that_was_applied_owns_nothing() {
        let fields = json!({"f:metadata": {"f:labels": {"f:mine": {}}}, "f:spec": {}});
        let host = host(json!([entry(ME, "Apply", None, fields)]));
        let owned = host.owned(ME, Part::Main);
        let wanted =
            json!({"metadata": {"labels": {"mine": "yes"}, "annotations": {}}, "spec": {}});
        assert_eq!(digest(&owned), digest(&wanted), "{owned}");
    }

    #[test]
    fn owned_is_what_the_manager_applied_and_no_more() {
        let host = host(json!([
            entry(
                ME,
                "Apply",
                None,
                json!({
                    "f:metadata": {"f:labels": {"f:topology.kubernetes.io/region": {}, "f:mine": {}}},
                    "f:spec": {"f:providerID": {}, "f:cluster": {}},
                })
            ),
            entry(
                ME,
                "Apply",
                Some("status"),
                json!({"f:status": {
                    "f:sources": {"f:aws": {}},
                    "f:addresses": {"k:{\"address\":\"10.0.0.1\",\"type\":\"InternalIP\"}":
                        {".": {}, "f:type": {}, "f:address": {}}},
                    "f:conditions": {"k:{\"type\":\"Seen\"}": {".": {}, "f:type": {}, "f:status": {}}},
                }})
            ),
            entry(
                "kubectl-edit",
                "Update",
                None,
                json!({"f:spec": {"f:role": {}}, "f:metadata": {"f:labels": {"f:theirs": {}}}})
            ),
        ]));
        assert_eq!(
            host.owned(ME, Part::Main),
            json!({
                "metadata": {"labels": {"topology.kubernetes.io/region": "eu-west-1", "mine": "yes"}, "annotations": {}},
                "spec": {"providerID": "aws:///a/i-1", "cluster": "web"},
            })
        );
        assert_eq!(
            host.owned(ME, Part::Status),
            json!({"status": {
                "sources": {"aws": {"uid": "i-1", "state": "Running"}},
                "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
                "conditions": [{"type": "Seen", "status": "True"}],
            }})
        );
        let contested = host.contested(ME, None);
        assert!(contested.spec("role") && !contested.spec("cluster") && !contested.spec("team"));
        assert!(
            contested.label("theirs") && !contested.label("mine") && !contested.label("absent")
        );
        assert!(contested.phase, "it exists and is not ours");
    }

    #[test]
    fn nothing_is_owned_of_an_object_that_others_made() {
        let host =
            host(json!([entry("kubectl", "Update", None, json!({"f:spec": {"f:cluster": {}}}))]));
        assert_eq!(host.owned(ME, Part::Main), Value::Null);
        assert_eq!(digest(&host.owned(ME, Part::Status)), digest(&Value::Null));
        assert!(host.contested(ME, None).spec("cluster"));
    }

    #[test]
    fn who_applied_an_empty_spec_owns_nothing_of_what_stands_there() {
        let fields = json!({"f:metadata": {"f:annotations": {}, "f:labels": {}}, "f:spec": {}});
        let host = host(json!([entry(ME, "Apply", None, fields)]));
        assert_eq!(digest(&host.owned(ME, Part::Main)), digest(&Value::Null));
    }

    #[test]
    fn a_shared_field_is_contested_only_if_we_would_change_it() {
        let both = json!({"f:spec": {"f:cluster": {}}});
        let host = host(json!([
            entry(ME, "Apply", None, both.clone()),
            entry("gitops", "Apply", None, both)
        ]));
        assert!(!host.contested(ME, None).spec("cluster"));
        let same = json!({"spec": {"cluster": "web"}});
        assert!(!host.contested(ME, Some(&same)).spec("cluster"));
        let other = json!({"spec": {"cluster": "batch"}});
        assert!(host.contested(ME, Some(&other)).spec("cluster"));
    }

    #[test]
    fn digests_ignore_order_of_items_and_empty_parts() {
        let a = json!({"a": [1, {"b": "c"}], "e": {}, "n": null});
        let b = json!({"a": [{"b": "c"}, 1]});
        assert_eq!(digest(&a), digest(&b));
        assert_ne!(digest(&a), digest(&json!({"a": [{"b": "d"}, 1]})));
        assert_ne!(digest(&json!({"a": "1"})), digest(&json!({"a": 1})));
    }

    #[test]
    fn a_guest_leaves_what_others_have_and_of_two_guests_one_keeps_what_they_share() {
        let status = |fields: Value| json!({"f:status": fields});
        let addresses = json!({"f:hardware": {"f:serial": {}, "f:macs": {}}});
        let host = host(json!([
            entry(
                "inv-tui-fetch-owner",
                "Apply",
                None,
                json!({
                    "f:metadata": {"f:labels": {"f:mine": {}}, "f:annotations": {"f:note": {}}},
                    "f:spec": {"f:cluster": {}, "f:providerID": {}},
                })
            ),
            entry(
                "inv-tui-fetch-owner",
                "Apply",
                Some("status"),
                status(json!({
                    "f:phase": {}, "f:conditions": {"k:{\"type\":\"Seen\"}": {}},
                }))
            ),
            entry(ME, "Apply", None, json!({"f:spec": {"f:role": {}, "f:cluster": {}}})),
            entry(ME, "Apply", Some("status"), status(addresses.clone())),
            entry("inv-tui-fetch-zeta", "Apply", Some("status"), status(addresses)),
        ]));
        let contested = host.guest(ME, "owner");
        assert!(contested.spec("cluster"), "shared with whose the host is");
        assert!(!contested.spec("role") && contested.label("mine") && contested.phase);
        for path in [
            &["f:metadata", "f:annotations", "f:note"],
            &["f:status", "f:conditions", "k:{\"type\":\"Seen\"}"],
        ] {
            assert!(contested.other(path), "{path:?}");
        }
        assert!(contested.other(&["f:spec", "f:providerID"]));
        let serial = ["f:status", "f:hardware", "f:serial"];
        assert!(!contested.other(&serial), "it comes before zeta");
        assert!(host.guest("inv-tui-fetch-zeta", "owner").other(&serial));
        assert!(!host.contested(ME, None).other(&serial), "only guests ask");
    }

    #[test]
    fn a_phase_that_only_fetchers_have_said_may_be_taken_over() {
        let phase = |manager| {
            host(json!([entry(
                manager,
                "Apply",
                Some("status"),
                json!({"f:status": {"f:phase": {}}})
            )]))
        };
        assert!(!phase("inv-tui-fetch-other").contested(ME, None).phase);
        assert!(phase("inv-tui-fetch-other").guest(ME, "other").phase);
        assert!(phase("inv-tui-lifecycle").contested(ME, None).phase);
    }

    #[test]
    fn the_fetcher_of_another_source_is_named() {
        let label = json!({"f:metadata": {"f:labels": {"f:mine": {}}}});
        let host = host(json!([
            entry("inv-tui-fetch-other", "Apply", None, label.clone()),
            entry(ME, "Apply", None, label)
        ]));
        assert_eq!(host.other_fetcher(ME, "mine"), Some("other"));
        assert_eq!(host.other_fetcher("inv-tui-fetch-other", "mine"), Some("aws"));
        assert_eq!(host.other_fetcher(ME, "theirs"), None);
    }
}
