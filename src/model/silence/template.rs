//! The value of a matcher, with the names of a host in it.

use std::net::IpAddr;

use crate::model::host::AddressType;
use crate::model::labels;
use crate::model::record::HostRecord;
use crate::model::text;

/// What of a host can stand in a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Name,
    Display,
    Uid,
    Namespace,
    Cluster,
    Address,
    Addresses,
    Instance,
}

const FIELDS: [(&str, Field); 8] = [
    ("name", Field::Name),
    ("display", Field::Display),
    ("uid", Field::Uid),
    ("namespace", Field::Namespace),
    ("cluster", Field::Cluster),
    ("address", Field::Address),
    ("addresses", Field::Addresses),
    ("instance", Field::Instance),
];

impl Field {
    /// Whether it is of this host and of no other.
    fn is_own(self) -> bool {
        !matches!(self, Self::Namespace | Self::Cluster)
    }

    /// Whether there may be several, so that only a regular expression can have them.
    fn is_many(self) -> bool {
        matches!(self, Self::Addresses | Self::Instance)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(Field),
}

/// A value with `{name}`, `{display}`, `{uid}`, `{namespace}`, `{cluster}`, `{address}` (the first one),
/// `{addresses}` and `{instance}` (addresses and name) in it. Any other brace stands for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

/// How alerts may call a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Uid of the object.
    pub uid: String,
    /// Name of the object.
    pub name: String,
    /// Name that people use.
    pub display: String,
    /// Namespace of the object.
    pub namespace: String,
    /// Its cluster.
    pub cluster: String,
    /// Addresses and names of the machine, but for the one that is out of band.
    pub addresses: Vec<String>,
}

impl Names {
    /// Of this host.
    pub fn of(record: &HostRecord) -> Self {
        let metadata = &record.metadata;
        let clean = |text: Option<&str>| text::clean(text.unwrap_or_default()).into_owned();
        let annotations = metadata.annotations.as_ref();
        let display = annotations.and_then(|all| all.get(labels::DISPLAY_NAME));
        let display = display.or(metadata.name.as_ref()).map(|name| name.trim());
        let addresses = record.status.addresses.iter();
        let addresses = addresses.filter(|address| address.type_ != Some(AddressType::OOB));
        let mut addresses: Vec<String> =
            addresses.map(|a| clean(a.address.as_deref())).filter(|a| !a.is_empty()).collect();
        let mut seen = std::collections::HashSet::new();
        addresses.retain(|address| seen.insert(address.clone()));
        Self {
            uid: record.uid().map(|uid| uid.as_str().replace([' ', ']'], "-")).unwrap_or_default(),
            name: clean(metadata.name.as_deref()),
            display: clean(display),
            namespace: clean(metadata.namespace.as_deref()),
            cluster: clean(record.spec.cluster.as_deref()),
            addresses,
        }
    }

    fn get(&self, field: Field) -> Vec<&str> {
        let addresses = || self.addresses.iter().map(String::as_str);
        let mut found: Vec<&str> = match field {
            Field::Name => vec![&self.name],
            Field::Display => vec![&self.display],
            Field::Uid => vec![&self.uid],
            Field::Namespace => vec![&self.namespace],
            Field::Cluster => vec![&self.cluster],
            Field::Address => addresses().take(1).collect(),
            Field::Addresses => addresses().collect(),
            Field::Instance => addresses().chain([self.name.as_str()]).collect(),
        };
        found.retain(|text| !text.is_empty());
        found
    }
}

impl Template {
    /// Reads a value.
    pub fn new(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut rest = text;
        let mut plain = String::new();
        while let Some((before, after)) = rest.split_once('{') {
            plain.push_str(before);
            let field = after.split_once('}').and_then(|(word, rest)| {
                let (_, field) = FIELDS.iter().find(|(name, _)| *name == word)?;
                Some((*field, rest))
            });
            if let Some((field, after)) = field {
                parts.push(Part::Text(std::mem::take(&mut plain)));
                parts.push(Part::Field(field));
                rest = after;
            } else {
                plain.push('{');
                rest = after;
            }
        }
        plain.push_str(rest);
        parts.push(Part::Text(plain));
        parts.retain(|part| *part != Part::Text(String::new()));
        Self(parts)
    }

    /// Whether it has something in it that is of one host alone.
    pub fn is_own(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Field(field) if field.is_own()))
    }

    /// Whether it has something in it of which there may be several.
    pub fn is_many(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Field(field) if field.is_many()))
    }

    /// The value for a host; in a regular expression its names stand for themselves. None: a name that
    /// is wanted is not known.
    pub(super) fn fill(&self, names: &Names, regex: bool) -> Option<String> {
        let mut value = String::new();
        for (place, part) in self.0.iter().enumerate() {
            match part {
                Part::Text(text) => value.push_str(text),
                Part::Field(field) => {
                    let found = names.get(*field);
                    let first = found.first()?;
                    if regex {
                        let each = found.iter().map(|name| pattern(name, field.is_many()));
                        let any = each.collect::<Vec<_>>().join("|");
                        let after = self.0.get(place + 1);
                        let closed =
                            matches!(after, Some(Part::Text(text)) if text.starts_with(')'));
                        if !any.contains('|') || (closed && value.ends_with('(')) {
                            value.push_str(&any);
                        } else {
                            // Else what stands before and after would be of the first and last alone.
                            value.extend(["(?:", &any, ")"]);
                        }
                    } else {
                        value.push_str(first);
                    }
                }
            }
        }
        Some(value)
    }
}

/// The name as a regular expression; a version 6 address also as it stands before a port.
fn pattern(name: &str, many: bool) -> String {
    let plain = regex::escape(name);
    if many && matches!(name.parse(), Ok(IpAddr::V6(_))) {
        format!("{plain}|\\[{plain}\\]")
    } else {
        plain
    }
}
