//! The variables of a host for Ansible: `ansible_host`, and what the Host carries under `inv_…`.
//!
//! Ansible takes every text of an inventory script for a template: `{{ lookup('pipe', …) }}` in a
//! label would run on the controller. So every text that is not of harmless characters alone is
//! marked `__ansible_unsafe`, which Ansible keeps as data for good.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::filter::TextField;
use super::host::AddressType;
use super::intern::Atom;
use super::labels;
use super::row::HostRow;

/// Which addresses are taken for `ansible_host`, the best first, when nobody says.
pub const ADDRESSES: [AddressType; 5] = [
    AddressType::InternalIP,
    AddressType::ExternalIP,
    AddressType::InternalDNS,
    AddressType::ExternalDNS,
    AddressType::Hostname,
];

/// Most levels of an object that are passed on.
pub(super) const MAX_DEPTH: usize = 8;

/// What of a Host becomes variables and is not in its row.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Carried {
    /// Labels and annotations.
    pub metadata: CarriedMeta,
    pub(super) spec: CarriedSpec,
    pub(super) status: CarriedStatus,
}

/// Labels and annotations of a Host. What is no text is left out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CarriedMeta {
    pub(super) labels: Value,
    pub(super) annotations: Value,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct CarriedSpec {
    pub(super) paused: Value,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct CarriedStatus {
    pub(super) addresses: Value,
    pub(super) hardware: Value,
    pub(super) os: Value,
}

impl CarriedMeta {
    /// The value of a label.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.get(key)?.as_str()
    }

    /// The value of an annotation.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.get(key)?.as_str()
    }
}

/// What becomes variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Kinds of addresses, the best first.
    pub addresses: Vec<AddressType>,
    /// Annotations by key; a `*` at the end stands for anything.
    pub annotations: Vec<String>,
}

impl Default for Wanted {
    fn default() -> Self {
        Self { addresses: ADDRESSES.to_vec(), annotations: Vec::new() }
    }
}

impl Wanted {
    fn has_annotation(&self, key: &str) -> bool {
        self.annotations.iter().any(|wanted| match wanted.strip_suffix('*') {
            Some(begin) => key.starts_with(begin),
            None => wanted == key,
        })
    }
}

/// The variables of a host. Each of them is there for every host, `ansible_host` for those that have
/// an address.
pub fn hostvars(row: &HostRow, carried: &Carried, wanted: &Wanted) -> Map<String, Value> {
    let mut vars = Map::new();
    if let Some(address) = address(&carried.status.addresses, &wanted.addresses) {
        vars.insert("ansible_host".to_owned(), data(&address));
    }
    let field = |field| row.group(field).map_or("", Atom::raw);
    for (name, text) in [
        ("inv_name", row.name()),
        ("inv_display", row.display()),
        ("inv_namespace", row.namespace()),
        ("inv_provider_id", row.provider_id().unwrap_or_default()),
        ("inv_provider", field(TextField::Provider)),
        ("inv_region", field(TextField::Region)),
        ("inv_zone", field(TextField::Zone)),
        ("inv_cluster", field(TextField::Cluster)),
        ("inv_role", field(TextField::Role)),
        ("inv_team", field(TextField::Team)),
        ("inv_environment", field(TextField::Environment)),
        ("inv_phase", row.phase().as_str()),
    ] {
        vars.insert(name.to_owned(), data(text));
    }
    vars.insert("inv_service_state".to_owned(), json!(row.service_state()));
    vars.insert("inv_maintenance".to_owned(), row.in_maintenance().into());
    vars.insert("inv_paused".to_owned(), (carried.spec.paused == Value::Bool(true)).into());
    let texts = |all: &Value, keep: &dyn Fn(&str) -> bool| {
        let all = all.as_object().into_iter().flatten();
        let kept = all.filter(|(key, value)| value.is_string() && keep(key));
        Value::Object(kept.map(|(key, value)| (key.clone(), marked(value, 0))).collect())
    };
    vars.insert("inv_labels".to_owned(), texts(&carried.metadata.labels, &|_| true));
    let annotations = texts(&carried.metadata.annotations, &|key| wanted.has_annotation(key));
    vars.insert("inv_annotations".to_owned(), annotations);
    vars.insert("inv_tags".to_owned(), tags(carried.metadata.annotation(labels::TAGS)));
    for (name, value, empty) in [
        ("inv_addresses", &carried.status.addresses, json!([])),
        ("inv_hardware", &carried.status.hardware, json!({})),
        ("inv_os", &carried.status.os, json!({})),
    ] {
        let value = if value.is_null() { empty } else { marked(value, 0) };
        vars.insert(name.to_owned(), value);
    }
    vars
}

/// The provider's tags, which stand in an annotation as JSON.
fn tags(annotation: Option<&str>) -> Value {
    let tags =
        annotation.and_then(|text| serde_json::from_str::<BTreeMap<String, Value>>(text).ok());
    let tags = tags.unwrap_or_default();
    Value::Object(
        tags.into_iter()
            .filter(|(key, _)| !key.starts_with("__ansible"))
            .map(|(key, value)| (key, marked(&value, 1)))
            .collect(),
    )
}

/// The first address of the best kind. It ends as an argument of ssh, so it is one, or a plain name.
pub(super) fn address(addresses: &Value, order: &[AddressType]) -> Option<String> {
    let addresses = addresses.as_array()?;
    order.iter().find_map(|wanted| {
        let word = serde_json::to_value(wanted).ok()?;
        let same = addresses.iter().filter(|one| one.get("type") == Some(&word));
        same.filter_map(|one| one.get("address")?.as_str()).find_map(|text| {
            if let Ok(ip) = text.parse::<IpAddr>() {
                return Some(ip.to_string());
            }
            let is_ip = matches!(wanted, AddressType::InternalIP | AddressType::ExternalIP);
            (!is_ip && is_name(text)).then(|| text.to_owned())
        })
    })
}

/// Whether a text can be the name of a host, here and in the DNS.
pub fn is_name(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    text.len() <= 253
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(legal)
}

/// A text as a value that Ansible never takes for a template.
pub fn data(text: &str) -> Value {
    let harmless = |b: u8| b.is_ascii_alphanumeric() || b" ._:/@+-".contains(&b);
    if text.bytes().all(harmless) {
        Value::String(text.to_owned())
    } else {
        json!({ "__ansible_unsafe": text })
    }
}

/// A value with all its texts as data. Keys that mean something to Ansible's reader are left out.
fn marked(value: &Value, depth: usize) -> Value {
    match value {
        Value::String(text) => data(text),
        Value::Array(_) | Value::Object(_) if depth >= MAX_DEPTH => Value::Null,
        Value::Array(list) => list.iter().map(|value| marked(value, depth + 1)).collect(),
        Value::Object(map) => Value::Object(
            map.iter()
                .filter(|(key, _)| !key.starts_with("__ansible"))
                .map(|(key, value)| (key.clone(), marked(value, depth + 1)))
                .collect(),
        ),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::filter::Filter;
    use crate::model::selection::{Rules, Selection};
    use k8s_openapi::jiff::Timestamp;

    fn vars(host: &Value, wanted: &Wanted) -> Map<String, Value> {
        let now = Timestamp::UNIX_EPOCH;
        let mut selection = Selection::new(Filter::parse("").unwrap(), Rules::everything(), now);
        let record = serde_json::from_value(host.clone()).unwrap();
        let row = selection.judge(record, now).unwrap().row;
        hostvars(&row, &serde_json::from_value(host.clone()).unwrap(), wanted)
    }

    #[test]
    fn texts_that_might_be_templates_are_marked_as_data() {
        let evil = "{{ lookup('pipe', 'id') }}";
        let host = json!({
            "metadata": {"name": "web-1", "labels": {"fine": "eu-west-1", "evil": evil, "odd": 7},
                "annotations": {"a/b": evil, "a/c": "x", "z": "secret",
                    "inventory.inv-tui.dev/tags": "{\"Name\":\"{% raw\",\"__ansible_vault\":\"x\"}"}},
            "spec": {"role": evil, "ansible": {"extraVars": {"password": "p"}}},
            "status": {"hardware": {"model": evil, "cpus": 2, "__ansible_unsafe": {}}, "addresses": 5},
        });
        let wanted = Wanted { annotations: vec!["a/*".to_owned()], ..Wanted::default() };
        let vars = vars(&host, &wanted);
        let unsafe_ = json!({"__ansible_unsafe": evil});
        assert_eq!(vars["inv_labels"], json!({"fine": "eu-west-1", "evil": unsafe_}));
        assert_eq!(vars["inv_annotations"], json!({"a/b": unsafe_, "a/c": "x"}));
        assert_eq!(vars["inv_tags"], json!({"Name": {"__ansible_unsafe": "{% raw"}}));
        assert_eq!(vars["inv_role"], unsafe_);
        assert_eq!(vars["inv_hardware"], json!({"model": unsafe_, "cpus": 2}));
        assert_eq!(vars["inv_addresses"], json!(5));
        assert_eq!(vars.get("ansible_host"), None);
        let text = serde_json::to_string(&vars).unwrap();
        assert!(!text.contains("password") && !text.contains("secret"), "{text}");
    }

    #[test]
    fn the_best_address_is_one_that_ssh_can_take() {
        let entry = |type_: &str, address: &str| json!({"type": type_, "address": address});
        let of = |addresses: Value, order: &[AddressType]| address(&addresses, order);
        let all = json!([
            entry("OOB", "10.9.9.9"),
            entry("InternalIP", "-oProxyCommand=touch x"),
            entry("InternalIP", "10.0.0.1"),
            entry("ExternalDNS", "{{ x }}"),
            entry("ExternalDNS", "web.example"),
        ]);
        assert_eq!(of(all.clone(), &ADDRESSES).as_deref(), Some("10.0.0.1"));
        assert_eq!(of(all.clone(), &[AddressType::ExternalDNS]).as_deref(), Some("web.example"));
        assert_eq!(
            of(all, &[AddressType::ExternalIP, AddressType::OOB]).as_deref(),
            Some("10.9.9.9")
        );
        assert_eq!(of(json!([entry("Hostname", "-x")]), &ADDRESSES), None);
        assert_eq!(of(json!(null), &ADDRESSES), None);
    }
}
