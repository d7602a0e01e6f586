//! The list `metadata.managedFields`: one entry for each manager and way of writing.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use super::Writer;
use super::set::Set;

/// How many entries of updates an object may have (kube-apiserver, `DefaultMaxUpdateManagers`).
const MOST_UPDATES: usize = 10;

/// How a manager writes. In the order of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Server-side apply.
    Apply,
    /// Anything else.
    Update,
}

/// What one manager owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub manager: String,
    /// How it writes.
    pub operation: Operation,
    /// Group and version that it used.
    pub api_version: String,
    /// Through which subresource; empty for the main path.
    pub subresource: String,
    /// When its fields last changed, in seconds since 1970.
    pub time: Option<i64>,
    /// The fields.
    pub fields: Set,
}

impl Entry {
    /// The entry of `writer`, now.
    pub fn new(writer: &Writer<'_>, operation: Operation, fields: Set) -> Self {
        Self {
            manager: writer.manager.to_owned(),
            operation,
            api_version: writer.api_version.to_owned(),
            subresource: writer.subresource.to_owned(),
            time: Some(writer.now.as_second()),
            fields,
        }
    }

    /// Whether both are about the same manager and way of writing. Who applies is the same in each
    /// version.
    pub fn is_same_manager(&self, other: &Self) -> bool {
        self.manager == other.manager
            && self.operation == other.operation
            && self.subresource == other.subresource
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }
}

/// As conflicts name it: `"kubectl-edit" using example.com/v1`.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.manager)?;
        if !self.subresource.is_empty() {
            write!(f, " with subresource {:?}", self.subresource)?;
        }
        match self.operation {
            Operation::Apply => Ok(()),
            Operation::Update => write!(f, " using {}", self.api_version),
        }
    }
}

/// Whether a client sent this to clear the list: `[{}]`.
pub fn is_reset(fields: &Value) -> bool {
    match fields.as_array().map(Vec::as_slice) {
        Some([one]) => one.as_object().is_some_and(serde_json::Map::is_empty),
        _ => false,
    }
}

/// Reads the list.
///
/// # Errors
/// If an entry is not as the API has it.
pub fn decode(list: Value) -> Result<Vec<Entry>, String> {
    let Value::Array(list) = list else { return Err("not a list".to_owned()) };
    let mut entries = list.into_iter().map(decode_entry).collect::<Result<Vec<_>, _>>()?;
    // The last word on a manager counts.
    entries.sort_by(|a, b| {
        (&a.manager, a.operation, &a.subresource, &a.api_version).cmp(&(
            &b.manager,
            b.operation,
            &b.subresource,
            &b.api_version,
        ))
    });
    entries.dedup_by(|later, kept| {
        let same = later.is_same_manager(kept);
        if same {
            std::mem::swap(later, kept);
        }
        same
    });
    Ok(entries)
}

fn decode_entry(mut entry: Value) -> Result<Entry, String> {
    let mut text = |name: &str| match entry.get_mut(name).map(Value::take) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(format!("{name}: expected string, got {other}")),
    };
    let operation = match text("operation")?.as_str() {
        "Apply" => Operation::Apply,
        "Update" => Operation::Update,
        _ => return Err("operation must be `Apply` or `Update`".to_owned()),
    };
    if text("fieldsType")? != "FieldsV1" {
        return Err("fieldsType must be `FieldsV1`".to_owned());
    }
    let api_version = text("apiVersion")?;
    if api_version.is_empty() {
        return Err("apiVersion must not be empty".to_owned());
    }
    let time = match text("time")?.as_str() {
        "" => None,
        time => Some(time.parse::<jiff::Timestamp>().map_err(|e| e.to_string())?.as_second()),
    };
    let (manager, subresource) = (text("manager")?, text("subresource")?);
    let fields = match entry.get_mut("fieldsV1").map(Value::take) {
        None | Some(Value::Null) => Set::default(),
        Some(fields) => Set::from_fields_v1(fields)?,
    };
    Ok(Entry { manager, operation, api_version, subresource, time, fields })
}

/// Adds `entry`, or its fields to what the manager has already.
pub fn add(entries: &mut Vec<Entry>, entry: Entry) {
    match entries.iter_mut().find(|known| known.is_same_manager(&entry)) {
        Some(known) => {
            let fields = std::mem::take(&mut known.fields).union(&entry.fields);
            *known = Entry { fields, ..entry };
        }
        None => entries.push(entry),
    }
}

/// Drops empty entries and merges the oldest updates, so that at most ten are left.
pub fn cap(entries: &mut Vec<Entry>) {
    entries.retain(|entry| !entry.fields.is_empty());
    let updates = entries.iter().filter(|e| e.operation == Operation::Update).count();
    if updates <= MOST_UPDATES {
        return;
    }
    sort(entries);
    let mut surplus = updates - MOST_UPDATES;
    let (updates, mut kept): (Vec<_>, Vec<_>) =
        std::mem::take(entries).into_iter().partition(|e| e.operation == Operation::Update);
    // The first of each version only becomes the common entry when there is a second one.
    let mut ancient = BTreeMap::<String, Entry>::new();
    for entry in updates {
        if surplus == 0 {
            add(&mut kept, entry);
        } else if let Some(common) = ancient.get_mut(&entry.api_version) {
            "ancient-changes".clone_into(&mut common.manager);
            common.subresource.clear();
            common.time = entry.time;
            common.fields = std::mem::take(&mut common.fields).union(&entry.fields);
            surplus -= 1;
        } else {
            ancient.insert(entry.api_version.clone(), entry);
        }
    }
    for entry in ancient.into_values() {
        add(&mut kept, entry);
    }
    *entries = kept;
}

fn sort(entries: &mut [Entry]) {
    entries.sort_by(|a, b| {
        let names = (&a.manager, &a.api_version, &a.subresource);
        (a.operation, a.time.unwrap_or(0), names).cmp(&(
            b.operation,
            b.time.unwrap_or(0),
            (&b.manager, &b.api_version, &b.subresource),
        ))
    });
}

/// Writes the list without empty entries: applies first, then updates, each by time.
pub fn encode(mut entries: Vec<Entry>) -> Value {
    entries.retain(|entry| !entry.fields.is_empty());
    sort(&mut entries);
    entries.into_iter().map(encode_entry).collect()
}

fn encode_entry(entry: Entry) -> Value {
    let operation = match entry.operation {
        Operation::Apply => "Apply",
        Operation::Update => "Update",
    };
    let time = entry.time.and_then(|time| jiff::Timestamp::from_second(time).ok());
    let subresource = Some(entry.subresource).filter(|name| !name.is_empty());
    let fields = [
        ("manager", Some(entry.manager.into())),
        ("operation", Some(operation.into())),
        ("apiVersion", Some(entry.api_version.into())),
        ("time", time.map(|time| time.to_string().into())),
        ("fieldsType", Some("FieldsV1".into())),
        ("fieldsV1", Some(entry.fields.into_fields_v1())),
        ("subresource", subresource.map(Value::from)),
    ];
    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}
