//! Objects as kubectl prints them (`Table`), and their metadata alone (`PartialObjectMetadata`).
//!
//! Cells of custom resources as in `apiextensions-apiserver`
//! (`pkg/registry/customresource/tableconvertor`), of built-in kinds as in
//! `kubernetes/pkg/printers/internalversion/printers.go`.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::jsonpath::JsonPath;
use super::kind::{Column, Kind};
use super::status::{ApiError, ApiResult};
use super::storage::Wanted;

/// What of the object a row carries, besides its cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IncludeObject {
    /// Its metadata.
    #[default]
    Metadata,
    /// All of it.
    Object,
    /// Nothing.
    None,
}

impl IncludeObject {
    /// Reads the query parameter `includeObject`.
    ///
    /// # Errors
    /// 400 for another word.
    pub fn parse(text: &str) -> ApiResult<Self> {
        match text {
            "" | "Metadata" => Ok(Self::Metadata),
            "Object" => Ok(Self::Object),
            "None" => Ok(Self::None),
            _ => Err(ApiError::bad_request(format!("unrecognized includeObject value: {text:?}"))),
        }
    }
}

/// Prints the objects of one kind; its paths are read once.
#[derive(Clone, Debug)]
pub struct Printer {
    definitions: Vec<Value>,
    cells: Vec<Cell>,
    wanted: Wanted,
}

/// How a cell is made.
#[derive(Clone, Debug)]
enum Cell {
    Name,
    /// By the path of a printer column of a CRD, as a value of this type. Without a path: null.
    Custom(Option<JsonPath>, String),
    /// By the path of a built-in kind; what is missing is empty text.
    Text(Option<JsonPath>),
    Computed(fn(&Value, Timestamp) -> Value),
}

impl Printer {
    /// Prepares the columns of a kind.
    pub fn new(kind: &Kind) -> Self {
        let mut wanted = Wanted::default();
        wanted.add(["metadata", "name"]);
        wanted.add(["metadata", "creationTimestamp"]);
        let mut printer = Self { definitions: Vec::new(), cells: Vec::new(), wanted };
        if kind.custom || kind.kind != "Event" {
            let name = Column {
                name: "Name".to_owned(),
                type_: "string".to_owned(),
                format: "name".to_owned(),
                description: "Name of the object, unique within its namespace".to_owned(),
                ..Column::default()
            };
            printer.add(&name, Cell::Name);
        }
        for column in &kind.columns {
            printer.add(column, cell(kind, column));
        }
        if kind.columns.is_empty() {
            let age = Column {
                name: "Age".to_owned(),
                type_: "date".to_owned(),
                description: "When the object was created".to_owned(),
                ..Column::default()
            };
            printer.add(&age, Cell::Computed(age_cell));
        }
        printer
    }

    fn add(&mut self, column: &Column, cell: Cell) {
        let Column { name, type_, format, description, priority, json_path } = column;
        let description = if description.is_empty() {
            format!("Custom resource definition column (in JSONPath format): {json_path}")
        } else {
            description.clone()
        };
        self.definitions.push(json!({
            "name": name, "type": type_, "format": format, "description": description,
            "priority": priority,
        }));
        if let Cell::Custom(Some(path), _) = &cell {
            self.wanted.add(path.fields());
        }
        self.cells.push(cell);
    }

    /// What the cells of a custom resource look at.
    pub fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// The `columnDefinitions`.
    pub fn definitions(&self) -> &[Value] {
        &self.definitions
    }

    /// The cells of an object.
    pub fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        self.cells.iter().map(|cell| cell.of(object, now)).collect()
    }

    /// The row of an object. A bookmark makes a row too: nothing is missed in an object.
    pub fn row(&self, object: Value, include: IncludeObject, now: Timestamp) -> Value {
        let cells = self.cells(&object, now);
        let object = match include {
            IncludeObject::Metadata => partial(object),
            IncludeObject::Object => object,
            IncludeObject::None => Value::Null,
        };
        json!({"cells": cells, "object": object})
    }

    /// A `Table` with the definitions; `metadata` is that of the list, or has the resourceVersion
    /// of the object.
    pub fn table(&self, metadata: Value, rows: Vec<Value>) -> Value {
        let mut table = bare_table(metadata, rows);
        if let Value::Object(table) = &mut table {
            table.insert("columnDefinitions".to_owned(), self.definitions.clone().into());
        }
        table
    }
}

/// A `Table` without definitions: each event of a watch but the first.
pub fn bare_table(metadata: Value, rows: Vec<Value>) -> Value {
    let columns: [Value; 0] = [];
    let mut table = json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "columnDefinitions": columns,
    });
    if let Value::Object(table) = &mut table {
        table.insert("metadata".to_owned(), metadata);
        table.insert("rows".to_owned(), rows.into());
    }
    table
}

/// The `PartialObjectMetadata` of an object.
pub fn partial(mut object: Value) -> Value {
    let metadata = object.get_mut("metadata").map_or_else(|| json!({}), Value::take);
    let mut partial = json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"});
    if let Value::Object(partial) = &mut partial {
        partial.insert("metadata".to_owned(), metadata);
    }
    partial
}

/// The same as text, of metadata as text.
pub fn partial_text(metadata: &str) -> String {
    format!(
        r#"{{"apiVersion":"meta.k8s.io/v1","kind":"PartialObjectMetadata","metadata":{metadata}}}"#
    )
}

/// A `PartialObjectMetadataList` of what [`partial`] made; `metadata` is that of the list.
pub fn partial_list(metadata: Value, items: Vec<Value>) -> Value {
    let mut list = json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1"});
    if let Value::Object(list) = &mut list {
        list.insert("metadata".to_owned(), metadata);
        list.insert("items".to_owned(), items.into());
    }
    list
}

impl Cell {
    fn of(&self, object: &Value, now: Timestamp) -> Value {
        match self {
            Self::Name => text(object, "/metadata/name").into(),
            Self::Computed(compute) => compute(object, now),
            Self::Text(path) => {
                let found = path.as_ref().and_then(|p| p.find(object));
                found.and_then(Value::as_str).unwrap_or_default().into()
            }
            Self::Custom(path, type_) => {
                let found = path.as_ref().and_then(|p| p.find(object));
                found.map_or(Value::Null, |value| typed(value, type_, now))
            }
        }
    }
}

/// A value as a column of that type has it; null if it is of another type.
fn typed(value: &Value, type_: &str, now: Timestamp) -> Value {
    match (type_, value) {
        (_, Value::Null) => Value::Null,
        ("string", Value::String(_))
        | ("boolean", Value::Bool(_))
        | ("number", Value::Number(_)) => value.clone(),
        ("string", value) => value.to_string().into(),
        ("integer", Value::Number(number)) => {
            #[expect(clippy::cast_possible_truncation, reason = "an integer column cuts fractions")]
            let cut = || number.as_f64().map(|f| f as i64);
            number.as_i64().or_else(cut).into()
        }
        ("date", Value::String(text)) => match text.parse() {
            Ok(time) => human_duration(now.duration_since(time)).into(),
            Err(_) if text.is_empty() => UNKNOWN.into(),
            Err(_) => "<invalid>".into(),
        },
        _ => Value::Null,
    }
}

const UNKNOWN: &str = "<unknown>";
const NONE: &str = "<none>";

/// How a cell of a kind's column is made.
fn cell(kind: &Kind, column: &Column) -> Cell {
    let path = JsonPath::parse(&column.json_path);
    if kind.custom {
        return Cell::Custom(path, column.type_.clone());
    }
    match (kind.kind.as_str(), column.name.as_str()) {
        (_, "Age") => Cell::Computed(age_cell),
        (_, "Name") => Cell::Name,
        (_, "Created At") => Cell::Computed(|o, _| text(o, "/metadata/creationTimestamp").into()),
        ("ConfigMap", "Data") => {
            Cell::Computed(|o, _| (entries(o, "/data") + entries(o, "/binaryData")).into())
        }
        ("Secret", "Data") => Cell::Computed(|o, _| entries(o, "/data").into()),
        ("CertificateSigningRequest", "SignerName") => {
            Cell::Computed(|o, _| or_none(text(o, "/spec/signerName")).into())
        }
        ("CertificateSigningRequest", "RequestedDuration") => Cell::Computed(requested_duration),
        ("CertificateSigningRequest", "Condition") => Cell::Computed(request_condition),
        ("Event", "Last Seen") => Cell::Computed(last_seen),
        ("Event", "First Seen") => Cell::Computed(|e, now| first_seen(e, now).into()),
        ("Event", "Type") => Cell::Computed(|e, _| text(e, "/type").into()),
        ("Event", "Reason") => Cell::Computed(|e, _| text(e, "/reason").into()),
        ("Event", "Object") => Cell::Computed(event_object),
        ("Event", "Subobject") => Cell::Computed(|e, _| about(e, "fieldPath").into()),
        ("Event", "Source") => Cell::Computed(event_source),
        ("Event", "Message") => Cell::Computed(|e, _| either(e, "/message", "/note").trim().into()),
        ("Event", "Count") => Cell::Computed(event_count),
        _ => Cell::Text(path),
    }
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The first of two that is there: the two views of Events have other names for the same field.
fn either<'a>(object: &'a Value, first: &str, second: &str) -> &'a str {
    let found = text(object, first);
    if found.is_empty() { text(object, second) } else { found }
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { NONE } else { text }
}

fn entries(object: &Value, pointer: &str) -> usize {
    object.pointer(pointer).and_then(Value::as_object).map_or(0, serde_json::Map::len)
}

fn since(time: &str, now: Timestamp) -> String {
    time.parse()
        .map_or_else(|_| UNKNOWN.to_owned(), |time| human_duration(now.duration_since(time)))
}

fn age_cell(object: &Value, now: Timestamp) -> Value {
    since(text(object, "/metadata/creationTimestamp"), now).into()
}

fn requested_duration(request: &Value, _: Timestamp) -> Value {
    let seconds = request.pointer("/spec/expirationSeconds").and_then(Value::as_i64);
    seconds.map_or_else(|| NONE.to_owned(), |s| human_duration(SignedDuration::from_secs(s))).into()
}

fn request_condition(request: &Value, _: Timestamp) -> Value {
    let conditions = request.pointer("/status/conditions").and_then(Value::as_array);
    let has = |type_: &str| conditions.is_some_and(|c| c.iter().any(|c| text(c, "/type") == type_));
    let mut words = vec![match (has("Denied"), has("Approved")) {
        (true, _) => "Denied",
        (false, true) => "Approved",
        (false, false) => "Pending",
    }];
    if has("Failed") {
        words.push("Failed");
    }
    if !text(request, "/status/certificate").is_empty() {
        words.push("Issued");
    }
    words.join(",").into()
}

/// A part of the object that an Event is about.
fn about<'a>(event: &'a Value, field: &str) -> &'a str {
    let object = event.get("involvedObject").or_else(|| event.get("regarding"));
    object.and_then(|o| o.get(field)).and_then(Value::as_str).unwrap_or_default()
}

fn event_object(event: &Value, _: Timestamp) -> Value {
    let kind = about(event, "kind").to_lowercase();
    let name = about(event, "name");
    if name.is_empty() { kind.into() } else { format!("{kind}/{name}").into() }
}

fn event_source(event: &Value, _: Timestamp) -> Value {
    let first = |list: [&str; 4]| {
        let mut found = list.into_iter().map(|p| text(event, p)).filter(|t| !t.is_empty());
        found.next().unwrap_or_default().to_owned()
    };
    let component = first([
        "/source/component",
        "/deprecatedSource/component",
        "/reportingComponent",
        "/reportingController",
    ]);
    let instance = first([
        "/source/host",
        "/deprecatedSource/host",
        "/reportingInstance",
        "/reportingInstance",
    ]);
    if instance.is_empty() { component.into() } else { format!("{component}, {instance}").into() }
}

fn first_seen(event: &Value, now: Timestamp) -> String {
    let first = either(event, "/firstTimestamp", "/deprecatedFirstTimestamp");
    since(if first.is_empty() { text(event, "/eventTime") } else { first }, now)
}

fn last_seen(event: &Value, now: Timestamp) -> Value {
    let series = text(event, "/series/lastObservedTime");
    let last = either(event, "/lastTimestamp", "/deprecatedLastTimestamp");
    match (series, last) {
        ("", "") => first_seen(event, now).into(),
        ("", last) => since(last, now).into(),
        (series, _) => since(series, now).into(),
    }
}

fn event_count(event: &Value, _: Timestamp) -> Value {
    let at = |pointer| event.pointer(pointer).and_then(Value::as_i64).filter(|n| *n != 0);
    let alone = || at("/count").or_else(|| at("/deprecatedCount")).unwrap_or(1);
    at("/series/count").unwrap_or_else(alone).into()
}

/// A length of time in two or three digits, as kubectl prints ages
/// (`apimachinery/pkg/util/duration`): `119s`, `3m20s`, `2h5m`, `47h`, `3d4h`, `400d`, `2y10d`.
pub fn human_duration(duration: SignedDuration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    // The smaller unit is left out if there is none of it.
    let two = |large: i64, unit: &str, small: i64, small_unit: &str| {
        let tail = if small == 0 { String::new() } else { format!("{small}{small_unit}") };
        format!("{large}{unit}{tail}")
    };
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        // Clocks differ by a second.
        -1 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        120..600 => two(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(days, "d", hours % 24, "h"),
        691_200..63_072_000 => format!("{days}d"),
        63_072_000..252_288_000 => two(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::builtin;
    use super::*;

    fn now() -> Timestamp {
        "2026-01-02T12:00:00Z".parse().unwrap()
    }

    fn builtin(group: &str, name: &str) -> Arc<Kind> {
        builtin::kinds().into_iter().find(|k| k.group == group && k.kind == name).unwrap()
    }

    fn cells(kind: &Kind, object: Value) -> Value {
        Printer::new(kind).row(object, IncludeObject::None, now())["cells"].take()
    }

    fn custom(columns: &[(&str, &str)]) -> Kind {
        let column = |(type_, path): &(&str, &str)| Column {
            name: "C".into(),
            type_: (*type_).into(),
            json_path: (*path).into(),
            priority: 1,
            ..Column::default()
        };
        let mut kind = (*builtin("", "ConfigMap")).clone();
        (kind.kind, kind.custom) = ("Event".into(), true);
        kind.columns = columns.iter().map(column).collect();
        kind
    }

    #[test]
    fn cells_of_custom_resources_have_the_type_of_their_column() {
        let kind = custom(&[
            ("string", ".spec.s"),
            ("string", ".spec.n"),
            ("string", ".spec.l"),
            ("integer", ".spec.n"),
            ("integer", ".spec.f"),
            ("integer", ".spec.s"),
            ("number", ".spec.f"),
            ("boolean", ".spec.b"),
            ("boolean", ".spec.n"),
            ("date", ".spec.d"),
            ("date", ".spec.s"),
            ("date", ".spec.n"),
            ("string", ".spec.none"),
            ("string", ".spec.z"),
            ("string", "not a path"),
            ("string", r#".spec.c[?(@.type=="Ready")].status"#),
        ]);
        let object = json!({"metadata": {"name": "x"}, "spec": {
            "s": "t", "n": 7, "f": 2.9, "b": true, "d": "2026-01-02T11:48:00Z", "l": [1, "a"],
            "z": null, "c": [{"type": "Ready", "status": "True"}],
        }});
        let expected = json!([
            "x",
            "t",
            "7",
            "[1,\"a\"]",
            7,
            2,
            null,
            2.9,
            true,
            null,
            "12m",
            "<invalid>",
            null,
            null,
            null,
            null,
            "True",
        ]);
        assert_eq!(cells(&kind, object), expected);
        let empty = cells(&kind, json!({}));
        assert_eq!(empty[0], "");
        assert!(empty.as_array().unwrap()[1..].iter().all(Value::is_null));
    }

    #[test]
    fn definitions_name_the_columns() {
        let printer = Printer::new(&custom(&[("integer", ".spec.n")]));
        let [name, column] = printer.definitions() else { panic!() };
        assert_eq!(
            (&name["name"], &name["format"], &name["priority"]),
            (&json!("Name"), &json!("name"), &json!(0))
        );
        let description = "Custom resource definition column (in JSONPath format): .spec.n";
        let expected = json!({
            "name": "C", "type": "integer", "format": "", "priority": 1, "description": description,
        });
        assert_eq!(*column, expected);
        let without = Printer::new(&custom(&[]));
        assert_eq!(without.definitions()[1]["name"], "Age");
        assert_eq!(without.definitions()[1]["type"], "date");
        let names: Vec<Value> = Printer::new(&builtin("", "Event"))
            .definitions()
            .iter()
            .map(|d| d["name"].clone())
            .collect();
        assert_eq!(names[..3], ["Last Seen", "Type", "Reason"]);
        assert_eq!((names.len(), &names[9]), (10, &json!("Name")));
    }

    #[test]
    fn built_in_kinds_have_their_cells() {
        let meta = json!({"name": "x", "creationTimestamp": "2026-01-01T12:00:00Z"});
        let with = |rest: Value| {
            let mut object = rest;
            object["metadata"] = meta.clone();
            object
        };
        let namespace =
            cells(&builtin("", "Namespace"), with(json!({"status": {"phase": "Active"}})));
        assert_eq!(namespace, json!(["x", "Active", "24h"]));
        let map = with(json!({"data": {"a": "", "b": ""}, "binaryData": {"c": ""}}));
        assert_eq!(cells(&builtin("", "ConfigMap"), map), json!(["x", 3, "24h"]));
        let secret = with(json!({"type": "Opaque", "data": {"a": ""}}));
        assert_eq!(cells(&builtin("", "Secret"), secret), json!(["x", "Opaque", 1, "24h"]));
        let lease = builtin("coordination.k8s.io", "Lease");
        let held = with(json!({"spec": {"holderIdentity": "me"}}));
        assert_eq!(cells(&lease, held), json!(["x", "me", "24h"]));
        assert_eq!(cells(&lease, json!({})), json!(["", "", "<unknown>"]));
        let crd = builtin("apiextensions.k8s.io", "CustomResourceDefinition");
        assert_eq!(cells(&crd, with(json!({}))), json!(["x", "2026-01-01T12:00:00Z"]));
    }

    #[test]
    fn requests_show_what_became_of_them() {
        let kind = builtin("certificates.k8s.io", "CertificateSigningRequest");
        let of = |conditions: &[&str], certificate: &str| {
            let conditions: Vec<Value> = conditions.iter().map(|c| json!({"type": c})).collect();
            let spec = json!({"signerName": "a/b", "username": "u", "expirationSeconds": 7200});
            let status = json!({"conditions": conditions, "certificate": certificate});
            cells(&kind, json!({"spec": spec, "status": status}))
        };
        assert_eq!(of(&[], ""), json!(["", "<unknown>", "a/b", "u", "120m", "Pending"]));
        assert_eq!(of(&["Approved"], "c")[5], "Approved,Issued");
        assert_eq!(of(&["Approved", "Denied"], "")[5], "Denied");
        assert_eq!(of(&["Approved", "Failed"], "")[5], "Approved,Failed");
        let bare = cells(&kind, json!({}));
        assert_eq!(bare, json!(["", "<unknown>", "<none>", "", "<none>", "Pending"]));
    }

    #[test]
    fn both_views_of_an_event_print_alike() {
        let old = json!({
            "metadata": {"name": "e"}, "involvedObject": {"kind": "Host", "name": "h", "fieldPath": "p"},
            "type": "Normal", "reason": "R", "message": " m\n", "count": 4,
            "source": {"component": "c", "host": "n"}, "firstTimestamp": "2026-01-02T11:59:00Z",
            "lastTimestamp": "2026-01-02T11:59:30Z",
        });
        let new = json!({
            "metadata": {"name": "e"}, "regarding": {"kind": "Host", "name": "h", "fieldPath": "p"},
            "type": "Normal", "reason": "R", "note": "m", "deprecatedCount": 4,
            "reportingController": "c", "reportingInstance": "n",
            "deprecatedFirstTimestamp": "2026-01-02T11:59:00Z",
            "deprecatedLastTimestamp": "2026-01-02T11:59:30Z",
        });
        let expected = json!(["30s", "Normal", "R", "host/h", "p", "c, n", "m", "60s", 4, "e"]);
        assert_eq!(cells(&builtin("", "Event"), old.clone()), expected);
        assert_eq!(cells(&builtin("events.k8s.io", "Event"), new), expected);
        let mut series = old;
        series["series"] = json!({"count": 9, "lastObservedTime": "2026-01-02T11:59:50.5Z"});
        let series = cells(&builtin("", "Event"), series);
        assert_eq!((&series[0], &series[8]), (&json!("9s"), &json!(9)));
        let single =
            json!({"eventTime": "2026-01-02T11:59:00.000000Z", "regarding": {"kind": "Host"}});
        let single = cells(&builtin("events.k8s.io", "Event"), single);
        assert_eq!(
            (&single[0], &single[3], &single[8]),
            (&json!("60s"), &json!("host"), &json!(1))
        );
    }

    #[test]
    fn rows_carry_what_was_asked_for() {
        let printer = Printer::new(&custom(&[]));
        let object =
            json!({"apiVersion": "a/v1", "kind": "K", "metadata": {"name": "x"}, "spec": 1});
        let row = |include| printer.row(object.clone(), include, now())["object"].take();
        let metadata = json!({
            "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": {"name": "x"},
        });
        assert_eq!(row(IncludeObject::parse("").unwrap()), metadata);
        assert_eq!(row(IncludeObject::parse("Metadata").unwrap()), metadata);
        assert_eq!(row(IncludeObject::parse("Object").unwrap()), object);
        assert_eq!(row(IncludeObject::parse("None").unwrap()), Value::Null);
        assert_eq!(IncludeObject::parse("none").unwrap_err().code, 400);
    }

    #[test]
    fn rows_are_the_same_if_only_what_is_wanted_is_read() {
        let object = json!({
            "apiVersion": "a/v1", "kind": "K",
            "metadata": {"name": "x", "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"a.b/c": "d"}, "resourceVersion": "1"},
            "spec": {"n": 1, "deep": {"a": [1, 2], "b": 2}, "list": [{"type": "x", "v": "1"}, {"type": "y", "v": "2"}]},
        });
        let paths = [
            ".spec.n",
            ".spec.deep.a[1]",
            ".spec.none.x",
            ".metadata.labels.a\\.b/c",
            ".spec.list[?(@.type==\"y\")].v",
            ".kind",
        ];
        let columns: Vec<_> = paths.iter().map(|path| ("string", *path)).collect();
        let stored =
            crate::server::storage::Stored::read(1, serde_json::to_vec(&object).unwrap().into())
                .unwrap();
        for printer in [Printer::new(&custom(&columns)), Printer::new(&custom(&[]))] {
            let part = stored.part(printer.wanted());
            assert!(part["spec"]["deep"].get("b").is_none(), "{part}");
            let row = printer.row(object.clone(), IncludeObject::Metadata, now());
            assert!(row["cells"][1].is_string(), "{row}");
            assert_eq!(row["cells"], Value::from(printer.cells(&part, now())));
            assert_eq!(row["object"].to_string(), partial_text(stored.metadata()));
        }
    }

    #[test]
    fn tables_and_metadata_lists_are_whole_objects() {
        let printer = Printer::new(&custom(&[]));
        let metadata = json!({"resourceVersion": "7", "continue": "c"});
        let table = printer.table(metadata.clone(), vec![json!(1)]);
        assert_eq!(
            (&table["kind"], &table["apiVersion"]),
            (&json!("Table"), &json!("meta.k8s.io/v1"))
        );
        assert_eq!((&table["metadata"], &table["rows"]), (&metadata, &json!([1])));
        assert_eq!(table["columnDefinitions"].as_array().unwrap().len(), 2);
        assert_eq!(bare_table(metadata.clone(), vec![])["columnDefinitions"], json!([]));
        let list = partial_list(metadata.clone(), vec![partial(json!({"spec": 1}))]);
        let item = json!({
            "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": {},
        });
        let expected = json!({
            "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList",
            "metadata": metadata, "items": [item],
        });
        assert_eq!(list, expected);
    }

    #[test]
    fn ages_read_as_kubectl_prints_them() {
        let (minute, hour, day) = (60, 3600, 86_400);
        let cases = [
            (-2, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (200, "3m20s"),
            (599, "9m59s"),
            (600, "10m"),
            (3 * hour - 1, "179m"),
            (3 * hour, "3h"),
            (3 * hour + 5 * minute, "3h5m"),
            (8 * hour, "8h"),
            (48 * hour - 1, "47h"),
            (2 * day, "2d"),
            (3 * day + 4 * hour, "3d4h"),
            (8 * day, "8d"),
            (400 * day, "400d"),
            (730 * day, "2y"),
            (740 * day, "2y10d"),
            (8 * 365 * day, "8y"),
            (5000 * day, "13y"),
        ];
        for (seconds, text) in cases {
            assert_eq!(human_duration(SignedDuration::from_secs(seconds)), text, "{seconds}");
        }
        assert_eq!(human_duration(SignedDuration::from_millis(-1500)), "0s");
        assert_eq!(human_duration(SignedDuration::MIN), "<invalid>");
        assert!(human_duration(SignedDuration::MAX).ends_with('y'));
    }
}
