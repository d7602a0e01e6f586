//! Labels of a target: what they are called, and what stands in them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::jiff::Timestamp;

use crate::model::host::AddressType;
use crate::model::labels::short_hash;
use crate::model::record::HostRecord;
use crate::model::row::{HostRow, RowText};
use crate::model::silence;
use crate::model::text;

/// What every meta label begins with.
const META: &str = "__meta_inv_";
/// Most characters of a value.
const MAX_VALUE: usize = 1_024;

/// Where the value of a label comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A text of the host.
    Text(RowText),
    /// A label of the object, by its whole key.
    Label(String),
}

/// What a label can be made of, by the word for it.
const TEXTS: [(&str, RowText); 14] = [
    ("name", RowText::Name),
    ("display", RowText::Display),
    ("uid", RowText::Uid),
    ("namespace", RowText::Namespace),
    ("region", RowText::Region),
    ("zone", RowText::Zone),
    ("cluster", RowText::Cluster),
    ("role", RowText::Role),
    ("team", RowText::Team),
    ("environment", RowText::Environment),
    ("provider", RowText::Provider),
    ("provider_id", RowText::ProviderId),
    ("phase", RowText::Phase),
    ("service_state", RowText::ServiceState),
];

impl Origin {
    /// Reads `region` or `label:example.com/rack`.
    ///
    /// # Errors
    /// A sentence that names what there is.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(key) = text.strip_prefix("label:").filter(|key| !key.is_empty()) {
            return Ok(Self::Label(key.to_owned()));
        }
        let known = TEXTS.iter().find(|(name, _)| *name == text);
        known.map(|(_, text)| Self::Text(*text)).ok_or_else(|| {
            let names: Vec<&str> = TEXTS.iter().map(|(name, _)| *name).collect();
            format!("\"{text}\" is none of {}, label:KEY", names.join(", "))
        })
    }

    /// The value for a host; empty where it has none.
    pub(super) fn of<'a>(&self, record: &'a HostRecord, row: &'a HostRow) -> Cow<'a, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text.of(row)),
            Self::Label(key) => {
                let labels = record.metadata.labels.as_ref();
                text::clean(labels.and_then(|all| all.get(key)).map_or("", String::as_str))
            }
        }
    }
}

/// Whether Prometheus takes it as the name of a label.
pub fn is_label_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.chars().all(legal) && name.chars().next().is_some_and(|c| !c.is_ascii_digit())
}

/// Labels as the inside of a JSON object, a comma after each.
#[derive(Default)]
pub(super) struct Labels(String);

impl Labels {
    /// Adds a label; an empty value is none, as Prometheus has it. The name is a legal one.
    pub(super) fn add(&mut self, name: &str, value: &str) {
        if value.is_empty() {
            return;
        }
        let value = match value.char_indices().nth(MAX_VALUE) {
            None => text::clean(value),
            Some((end, _)) => text::clean(value.get(..end).unwrap_or_default()),
        };
        self.0.push('"');
        self.0.push_str(name);
        self.0.push_str("\":");
        // Text always becomes JSON.
        self.0.push_str(&serde_json::to_string(&*value).unwrap_or_default());
        self.0.push(',');
    }

    fn meta(&mut self, name: &str, value: &str) {
        self.add(&format!("{META}{name}"), value);
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}

/// The meta labels that the groups of a host share.
pub(super) fn shared(record: &HostRecord, row: &HostRow, now: Timestamp) -> String {
    let mut labels = Labels::default();
    for (name, field) in TEXTS {
        labels.meta(name, field.of(row));
    }
    for (type_, name) in [
        (AddressType::InternalIP, "internal_ip"),
        (AddressType::ExternalIP, "external_ip"),
        (AddressType::InternalDNS, "internal_dns"),
        (AddressType::ExternalDNS, "external_dns"),
        (AddressType::Hostname, "hostname"),
        (AddressType::OOB, "oob"),
    ] {
        let mut all = record.status.addresses.iter();
        let first = all.find(|a| a.type_ == Some(type_)).and_then(|a| a.address.as_deref());
        labels.meta(&format!("address_{name}"), first.unwrap_or_default());
    }
    for (name, value) in host_labels(record) {
        labels.meta(&format!("label_{name}"), value);
    }
    let holds: Vec<_> =
        silence::holds(record).into_iter().filter(|hold| hold.is_current(now)).collect();
    labels.meta("maintenance", if holds.is_empty() { "false" } else { "true" });
    let join = |texts: Vec<&str>| texts.join(",");
    labels.meta("maintenance_holders", &join(holds.iter().map(|h| h.holder.as_str()).collect()));
    let reasons: Vec<&str> = holds.iter().map(|hold| hold.reason.as_str()).collect();
    labels.meta("maintenance_reason", &reasons.join("; "));
    let until = holds.iter().map(|hold| hold.until).max();
    labels.meta("maintenance_until", &until.map(|until| until.to_string()).unwrap_or_default());
    let mut text = labels.into_text();
    text.pop();
    text
}

/// The labels of an object under names that Prometheus takes: every character that is not legal becomes
/// `_`. Of keys that would have the same name then each has a hash of the key behind it.
fn host_labels(record: &HostRecord) -> BTreeMap<String, &str> {
    let mut names: BTreeMap<String, Vec<(&str, &str)>> = BTreeMap::new();
    for (key, value) in record.metadata.labels.iter().flatten() {
        let legal = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        names.entry(key.chars().map(legal).collect()).or_default().push((key, value));
    }
    let mut out = BTreeMap::new();
    for (name, mut same) in names {
        if same.len() == 1
            && let Some((_, value)) = same.pop()
        {
            out.insert(name, value);
            continue;
        }
        for (key, value) in same {
            out.insert(format!("{name}_{}", short_hash(key)), value);
        }
    }
    out
}

/// The best address of a host, as it stands before a port.
pub(super) fn address(record: &HostRecord, wanted: &[AddressType]) -> Option<String> {
    wanted.iter().find_map(|type_| {
        let mut all = record.status.addresses.iter().filter(|a| a.type_ == Some(*type_));
        all.find_map(|a| before_port(a.address.as_deref()?))
    })
}

/// None: it is neither an address nor a name.
fn before_port(address: &str) -> Option<String> {
    match address.parse() {
        Ok(IpAddr::V4(v4)) => Some(v4.to_string()),
        Ok(IpAddr::V6(v6)) => Some(format!("[{v6}]")),
        Err(_) => {
            let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            let fine = !address.is_empty() && address.len() <= 253 && address.chars().all(legal);
            fine.then(|| address.to_owned())
        }
    }
}
