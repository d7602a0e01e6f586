//! Columns of a table of hosts: those of the explorer, labels, annotations, and any field by its path.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::duration;
use super::jsonpath::{Path, plain};
use super::key::natural_cmp;
use super::row::{HostRow, RowText};
use super::text;

/// What a column shows. Written as its word, `label:KEY`, `annotation:KEY`, or `TITLE:.path`.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// As it is written.
    text: String,
    title: String,
    what: What,
}

#[derive(Clone, Debug, PartialEq)]
enum What {
    Field(Field),
    Label(String),
    Annotation(String),
    Path(Path),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Text(RowText),
    Server,
    Address,
    State,
    Health,
    Ready,
    Reason,
    Maintenance,
    Until,
    Run,
    Age,
    Created,
    Launched,
    Changed,
}

const FIELDS: [(&str, Field); 25] = [
    ("name", Field::Text(RowText::Name)),
    ("namespace", Field::Text(RowText::Namespace)),
    ("display", Field::Text(RowText::Display)),
    ("server", Field::Server),
    ("region", Field::Text(RowText::Region)),
    ("zone", Field::Text(RowText::Zone)),
    ("cluster", Field::Text(RowText::Cluster)),
    ("role", Field::Text(RowText::Role)),
    ("team", Field::Text(RowText::Team)),
    ("env", Field::Text(RowText::Environment)),
    ("provider", Field::Text(RowText::Provider)),
    ("provider-id", Field::Text(RowText::ProviderId)),
    ("address", Field::Address),
    ("state", Field::State),
    ("health", Field::Health),
    ("service", Field::Text(RowText::ServiceState)),
    ("ready", Field::Ready),
    ("reason", Field::Reason),
    ("maintenance", Field::Maintenance),
    ("until", Field::Until),
    ("run", Field::Run),
    ("age", Field::Age),
    ("created", Field::Created),
    ("launched", Field::Launched),
    ("changed", Field::Changed),
];

/// What a host is ordered by under one column: numbers and times by value and before texts, texts
/// as people count, hosts that have nothing there last.
#[derive(Clone, Debug, PartialEq)]
pub enum SortKey {
    /// A number, or a time in seconds.
    Number(f64),
    /// A text.
    Text(Box<str>),
    /// The host has nothing there.
    Nothing,
}

impl SortKey {
    fn of_text(text: &str) -> Self {
        match text.parse::<f64>() {
            _ if text.is_empty() => Self::Nothing,
            Ok(number) if number.is_finite() => Self::Number(number),
            _ => Self::Text(text.into()),
        }
    }

    /// Compares two keys; `descending` turns the order round, but what has nothing stays last.
    pub fn compare(&self, other: &Self, descending: bool) -> Ordering {
        match (self, other) {
            (Self::Nothing, Self::Nothing) => Ordering::Equal,
            (Self::Nothing, _) => Ordering::Greater,
            (_, Self::Nothing) => Ordering::Less,
            _ if descending => other.ascending(self),
            _ => self.ascending(other),
        }
    }

    /// Nothing, then numbers, then texts.
    fn ascending(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => a.total_cmp(b),
            (Self::Text(a), Self::Text(b)) => natural_cmp(a, b),
            _ => self.rank().cmp(&other.rank()),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Nothing => 0,
            Self::Number(_) => 1,
            Self::Text(_) => 2,
        }
    }
}

/// The columns of a table.
pub const TABLE: &str = "name,display,region,cluster,role,state,address,age";
/// The columns of a wide table.
pub const WIDE: &str = "name,display,region,cluster,role,state,address,age,health,service,maintenance,run,zone,team,env,provider,provider-id";

/// What a row does not know by itself.
pub struct Beside<'a, F> {
    /// The name of its server.
    pub server: &'a str,
    /// The value of a label of it.
    pub label: F,
}

/// A host as columns see it.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The name of its server.
    pub server: &'a str,
    /// Its row.
    pub row: &'a HostRow,
    /// The whole object; `Null` where no column asks for it.
    pub object: &'a Value,
    /// The time of now.
    pub now: Timestamp,
}

impl Column {
    /// Reads columns with commas between them.
    ///
    /// # Errors
    /// A word that names none.
    pub fn list(text: &str) -> Result<Vec<Self>, String> {
        text.split(',').map(str::parse).collect()
    }

    /// Reads columns as kubectl's `custom-columns` has them: `NAME:.metadata.name,IP:.path`.
    ///
    /// # Errors
    /// A column without title or path.
    pub fn custom(text: &str) -> Result<Vec<Self>, String> {
        let mut parts: Vec<String> = Vec::new();
        // A comma inside brackets belongs to the path.
        for part in text.split(',') {
            match parts
                .last_mut()
                .filter(|last| last.matches('[').count() > last.matches(']').count())
            {
                Some(last) => {
                    last.push(',');
                    last.push_str(part);
                }
                None => parts.push(part.to_owned()),
            }
        }
        let one = |part: String| {
            let (title, path) =
                part.split_once(':').ok_or_else(|| format!("\"{part}\" is not TITLE:.path"))?;
            let what = What::Path(Path::parse(path)?);
            Ok(Self { text: part.clone(), title: title.to_owned(), what })
        };
        parts.into_iter().map(one).collect()
    }

    /// What stands above it.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Whether it needs the whole object.
    pub fn needs_object(&self) -> bool {
        !matches!(self.what, What::Field(_))
    }

    /// Whether a row and its labels are enough for it. The explorer keeps nothing else of a host.
    pub fn is_kept(&self) -> bool {
        matches!(self.what, What::Field(_) | What::Label(_))
    }

    /// The key of the label that it shows.
    pub fn label_key(&self) -> Option<&str> {
        match &self.what {
            What::Label(key) => Some(key),
            _ => None,
        }
    }

    /// Whether what it shows changes by itself as time passes.
    pub fn is_age(&self) -> bool {
        matches!(self.what, What::Field(Field::Age))
    }

    /// What it shows of a row; the empty text for nothing and for a column that is not kept
    /// ([`Column::is_kept`]).
    pub fn of_row<'a>(
        &self,
        row: &'a HostRow,
        beside: Beside<'a, impl FnOnce(&str) -> Option<&'a str>>,
        now: Timestamp,
    ) -> Cow<'a, str> {
        match &self.what {
            What::Field(field) => of_field(*field, row, beside.server, now),
            What::Label(key) => Cow::Borrowed((beside.label)(key).unwrap_or_default()),
            What::Annotation(_) | What::Path(_) => Cow::Borrowed(""),
        }
    }

    /// The time that it shows of a row, if it is one that shows a time and the row has it.
    pub fn time(&self, row: &HostRow) -> Option<Timestamp> {
        match self.what {
            What::Field(Field::Created) => row.created(),
            // As `age<2h` of the filter has it.
            What::Field(Field::Age | Field::Launched) => row.launched(),
            What::Field(Field::Changed) => row.changed(),
            What::Field(Field::Until) => row.held_until(),
            _ => None,
        }
    }

    /// What a row is ordered by under this column. It does not change as time passes: the youngest
    /// has the smallest age.
    pub fn sort_key<'a>(
        &self,
        row: &'a HostRow,
        beside: Beside<'a, impl FnOnce(&str) -> Option<&'a str>>,
    ) -> SortKey {
        match self.time(row) {
            #[expect(clippy::cast_precision_loss, reason = "seconds of a time fit exactly")]
            Some(time) => {
                let seconds = time.as_second() as f64;
                SortKey::Number(if self.is_age() { -seconds } else { seconds })
            }
            None => SortKey::of_text(&self.of_row(row, beside, Timestamp::MIN)),
        }
    }

    /// What it shows of a host, as it stands there; the empty text for nothing.
    pub fn text(&self, host: Subject<'_>) -> String {
        let Subject { server, row, object, now } = host;
        let entry = |map: &str, key: &str| {
            object.pointer(map).and_then(|map| map.get(key)).map(plain).unwrap_or_default()
        };
        match &self.what {
            What::Label(key) => entry("/metadata/labels", key),
            What::Annotation(key) => entry("/metadata/annotations", key),
            What::Path(path) => {
                let found: Vec<String> = path.find(object).into_iter().map(plain).collect();
                found.join(",")
            }
            What::Field(field) => of_field(*field, row, server, now).into_owned(),
        }
    }

    /// The order of two hosts by this column: times by time, numbers by value and before texts, texts
    /// as people count. What has nothing there comes first.
    pub fn compare(&self, a: Subject<'_>, b: Subject<'_>) -> Ordering {
        let time = |host: Subject<'_>| self.time(host.row);
        match (&self.what, time(a), time(b)) {
            // The youngest has the smallest age.
            (What::Field(Field::Age), Some(a), Some(b)) => b.cmp(&a),
            (_, Some(a), Some(b)) => a.cmp(&b),
            _ => {
                let [a, b] = [a, b].map(|host| SortKey::of_text(&self.text(host)));
                a.ascending(&b)
            }
        }
    }
}

fn of_field<'a>(field: Field, row: &'a HostRow, server: &'a str, now: Timestamp) -> Cow<'a, str> {
    let time =
        |time: Option<Timestamp>| Cow::Owned(time.map(|time| time.to_string()).unwrap_or_default());
    let text = match field {
        Field::Text(text) => text.of(row),
        Field::Server => server,
        Field::Address => row.address().unwrap_or_default(),
        Field::State => row.phase().as_str(),
        Field::Health => row.health().as_str(),
        Field::Ready => match row.ready() {
            Some(true) => "True",
            Some(false) => "False",
            None => "Unknown",
        },
        Field::Reason => row.ready_reason(),
        Field::Run => row.run_state().map_or("", super::host::RunState::as_str),
        Field::Maintenance => {
            let holds = row.holds().iter().filter(|hold| hold.is_current(now));
            return Cow::Owned(holds.map(|hold| &*hold.holder).collect::<Vec<_>>().join(","));
        }
        Field::Until => return time(row.held_until()),
        Field::Created => return time(row.created()),
        Field::Launched => return time(row.launched()),
        Field::Changed => return time(row.changed()),
        Field::Age => {
            let age = row.launched().map(|launched| now.as_second() - launched.as_second());
            return Cow::Owned(age.map(duration::short).unwrap_or_default());
        }
    };
    Cow::Borrowed(text)
}

/// The words of the fields, in the order in which they are offered.
pub fn words() -> impl Iterator<Item = &'static str> {
    FIELDS.iter().map(|(word, _)| *word)
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Column {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((_, field)) = FIELDS.iter().find(|(word, _)| *word == text) {
            let what = What::Field(*field);
            return Ok(Self { text: text.to_owned(), title: text.to_uppercase(), what });
        }
        let written = text.to_owned();
        let filled = |key: &str| (!key.is_empty()).then(|| key.to_owned());
        match text.split_once(':') {
            Some(("label", key)) if let Some(key) = filled(key) => {
                Ok(Self { text: written, title: key.clone(), what: What::Label(key) })
            }
            Some(("annotation", key)) if let Some(key) = filled(key) => {
                Ok(Self { text: written, title: key.clone(), what: What::Annotation(key) })
            }
            Some((title, path)) if !title.is_empty() && path.starts_with(['.', '{', '$']) => {
                let what = What::Path(Path::parse(path)?);
                Ok(Self { text: written, title: title.to_owned(), what })
            }
            _ => {
                let known: Vec<&str> = words().collect();
                let known = known.join(", ");
                Err(format!(
                    "\"{text}\" is no column: it may be {known}, label:KEY, annotation:KEY or TITLE:.path"
                ))
            }
        }
    }
}

/// A cell of a file of comma-separated values (RFC 4180). A cell that a spreadsheet would take for a
/// formula (`=`, `+`, `-`, `@`, a tab or a line end in front) gets a `'` before it.
pub fn csv_cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
    let guarded = if formula { format!("'{text}") } else { text.to_owned() };
    let special = |c: char| matches!(c, ',' | '"' | '\r' | '\n' | ';');
    if guarded.contains(special) || guarded.starts_with(' ') || guarded.ends_with(' ') {
        format!("\"{}\"", guarded.replace('"', "\"\""))
    } else {
        guarded
    }
}

/// A cell of a table for people: harmless, and `empty` for nothing.
pub fn table_cell(text: &str, empty: &str) -> String {
    if text.is_empty() { empty.to_owned() } else { text::clean(text).into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::filter::Filter;
    use crate::model::selection::{Rules, Selection};
    use serde_json::json;

    #[test]
    fn a_machine_is_as_old_as_its_launch_where_that_is_known() {
        let now = "2026-11-20T12:00:00Z".parse().unwrap();
        let object = json!({
            "metadata": {"name": "a", "uid": "a", "creationTimestamp": "2026-11-20T11:59:00Z"},
            "status": {"launchTime": "2026-11-18T12:00:00Z"},
        });
        // As the filter has it.
        let mut selection =
            Selection::new(Filter::parse("age>47h").unwrap(), Rules::everything(), now);
        let row = selection.judge(serde_json::from_value(object).unwrap(), now).unwrap().row;
        let age: Column = "age".parse().unwrap();
        assert_eq!(age.of_row(&row, Beside { server: "", label: |_: &str| None }, now), "2d");
        assert_eq!(age.time(&row), row.launched());
    }

    #[test]
    fn columns_show_fields_labels_and_paths() {
        let object = json!({
            "metadata": {"name": "aws-1", "namespace": "inventory", "labels": {"a.b/c": "x", "topology.kubernetes.io/region": "eu"},
                "annotations": {"n": "note", "inventory.inv-tui.dev/display-name": "web-1"},
                "creationTimestamp": "2026-11-20T10:00:00Z"},
            "spec": {"cluster": "shop", "serviceState": "OutOfService", "maintenance":
                {"me": {"reason": "disk", "since": "2026-11-20T11:00:00Z", "until": "2026-11-20T13:00:00Z"}}},
            "status": {"phase": "Running", "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}, {"type": "Hostname", "address": "h"}]},
        });
        let now = "2026-11-20T12:00:00Z".parse().unwrap();
        let mut selection = Selection::new(Filter::parse("").unwrap(), Rules::everything(), now);
        let row =
            selection.judge(serde_json::from_value(object.clone()).unwrap(), now).unwrap().row;
        let host = Subject { server: "eu", row: &row, object: &object, now };
        for (column, title, text) in [
            ("name", "NAME", "aws-1"),
            ("display", "DISPLAY", "web-1"),
            ("server", "SERVER", "eu"),
            ("region", "REGION", "eu"),
            ("state", "STATE", "Maintenance"),
            ("service", "SERVICE", "OutOfService"),
            ("maintenance", "MAINTENANCE", "me"),
            ("until", "UNTIL", "2026-11-20T13:00:00Z"),
            ("address", "ADDRESS", "10.0.0.1"),
            ("age", "AGE", "2h"),
            ("created", "CREATED", "2026-11-20T10:00:00Z"),
            ("team", "TEAM", ""),
            ("label:a.b/c", "a.b/c", "x"),
            ("annotation:n", "n", "note"),
            ("annotation:none", "none", ""),
            ("ALL:.status.addresses[*].address", "ALL", "10.0.0.1,h"),
        ] {
            let parsed: Column = column.parse().unwrap();
            assert_eq!((parsed.title(), parsed.text(host).as_str()), (title, text), "{column}");
            assert_eq!(parsed.to_string(), column);
            let label = |key: &str| object["metadata"]["labels"][key].as_str();
            let of_row = parsed.of_row(&row, Beside { server: "eu", label }, now);
            assert_eq!(of_row, if parsed.is_kept() { text } else { "" }, "{column}");
        }
        assert_eq!(Column::list(TABLE).unwrap().len(), 8);
        assert_eq!(Column::list(WIDE).unwrap().len(), 17);
        for wrong in ["nothing", "", "label:", ":.a", "A:b", "A:.a["] {
            assert!(wrong.parse::<Column>().is_err(), "{wrong}");
        }
        let custom =
            Column::custom("A:.metadata.name,B:.metadata.labels['a.b/c','x'],C:nope").unwrap();
        let texts: Vec<String> = custom.iter().map(|column| column.text(host)).collect();
        assert_eq!(texts, ["aws-1", "x", ""]);
        assert!(Column::custom("A").is_err());
    }

    #[test]
    fn what_has_nothing_stays_last_whichever_way_it_is_sorted() {
        let keys = ["", "2", "10", "1e400", "b2", "b10"].map(SortKey::of_text);
        let sorted = |descending: bool| {
            let mut sorted = keys.to_vec();
            sorted.sort_by(|a, b| a.compare(b, descending));
            let text = |key: &SortKey| match key {
                SortKey::Number(number) => number.to_string(),
                SortKey::Text(text) => text.to_string(),
                SortKey::Nothing => "-".to_owned(),
            };
            sorted.iter().map(text).collect::<Vec<_>>()
        };
        assert_eq!(sorted(false), ["2", "10", "1e400", "b2", "b10", "-"]);
        assert_eq!(sorted(true), ["b10", "b2", "1e400", "10", "2", "-"]);
    }

    #[test]
    fn values_of_every_kind_have_one_order() {
        let now = Timestamp::UNIX_EPOCH;
        let mut selection = Selection::new(Filter::parse("").unwrap(), Rules::everything(), now);
        let record = serde_json::from_value(json!({"metadata": {"name": "a"}})).unwrap();
        let row = selection.judge(record, now).unwrap().row;
        let column: Column = "label:x".parse().unwrap();
        let texts = ["", "-1", "5", "1e3", "200", "5x", "1e400", "b2", "b10", "nan", "inf", "00"];
        let objects = texts.map(|text| json!({"metadata": {"labels": {"x": text}}}));
        let order = |a: &serde_json::Value, b: &serde_json::Value| {
            let of = |object| Subject { server: "", row: &row, object, now };
            column.compare(of(a), of(b))
        };
        for a in &objects {
            for b in &objects {
                assert_eq!(order(a, b), order(b, a).reverse());
                for c in objects.iter().filter(|c| order(a, b).is_le() && order(b, c).is_le()) {
                    assert!(order(a, c).is_le(), "{a} {b} {c}");
                }
            }
        }
        let mut sorted = objects.to_vec();
        sorted.sort_by(order);
        let sorted = sorted.iter().map(|object| object["metadata"]["labels"]["x"].as_str());
        let sorted: Vec<&str> = sorted.map(Option::unwrap).collect();
        let expected =
            ["", "-1", "00", "5", "200", "1e3", "1e400", "5x", "b2", "b10", "inf", "nan"];
        assert_eq!(sorted, expected);
    }

    #[test]
    fn a_spreadsheet_takes_no_cell_for_a_formula() {
        for (text, cell) in [
            ("plain", "plain"),
            ("", ""),
            ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
            ("@SUM(1,2)", "\"'@SUM(1,2)\""),
            ("-1", "'-1"),
            ("+1", "'+1"),
            ("\tx", "'\tx"),
            ("a,b", "\"a,b\""),
            ("say \"hi\"\n", "\"say \"\"hi\"\"\n\""),
        ] {
            assert_eq!(csv_cell(text), cell, "{text}");
        }
        assert_eq!(table_cell("a\u{1b}[2J", "-"), "a\u{FFFD}[2J");
        assert_eq!(table_cell("", "<none>"), "<none>");
    }
}
