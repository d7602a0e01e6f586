//! What a dry run would change, as a diff. It is collected while the pass runs and printed at its end,
//! sorted, so that whoever reads it slowly holds up no listing, and two of them can be compared.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write};
use std::sync::{Mutex, PoisonError};

use clap::ValueEnum;
use serde_json::{Map, Value, json};

use crate::model::diff::{Part, StoredHost};
use crate::model::host::Phase;
use crate::model::{labels, text};

/// Most characters of a value, or of one part of a path, that a person is shown.
const MAX_SHOWN: usize = 80;
/// Ends of what follows from other changes, or is the time of this pass.
const TIMES: [&str; 2] = ["lastTransitionTime", "since"];

/// How a dry run is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON document a line: each host, then the totals of each source.
    Json,
}

/// What would become of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It is new.
    New,
    /// Something in it changes.
    Changed,
    /// It is marked missing or gone.
    Marked(Phase),
    /// Its object is deleted.
    Removed,
}

impl Kind {
    fn sign(self) -> char {
        match self {
            Self::New => '+',
            Self::Changed => '~',
            Self::Marked(_) => '!',
            Self::Removed => '-',
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::New => "create",
            Self::Changed => "change",
            Self::Marked(_) => "mark",
            Self::Removed => "remove",
        }
    }
}

/// One field that differs. None: not there.
#[derive(Clone, Debug, PartialEq)]
struct Field {
    path: Vec<String>,
    old: Option<Value>,
    new: Option<Value>,
}

/// What would become of one host.
#[derive(Clone, Debug, PartialEq)]
struct Entry {
    kind: Kind,
    display: Option<String>,
    region: Option<String>,
    fields: Vec<Field>,
}

/// What a dry run would do, of all sources. A host that is new takes about 2 KB here.
#[derive(Debug, Default)]
pub(super) struct Paper(Mutex<BTreeMap<String, BTreeMap<String, Entry>>>);

/// What came of a source.
#[derive(Clone, Copy, Debug)]
pub(super) struct Totals<'a> {
    /// Name of the source.
    pub(super) source: &'a str,
    /// Hosts that it listed.
    pub(super) seen: usize,
    /// Whether everything was read and believed.
    pub(super) done: bool,
}

impl Paper {
    /// Notes that a host would be written, `main` and `status` being the two documents that would be
    /// applied. `live` is what stands there.
    pub(super) fn write(
        &self,
        source: &str,
        manager: &str,
        kind: Kind,
        (name, live): (&str, Option<&StoredHost>),
        (main, status): (Option<&Value>, Option<&Value>),
    ) {
        let mut fields = Vec::new();
        for (part, wanted) in [(Part::Main, main), (Part::Status, status)] {
            if let Some(wanted) = wanted {
                compare(live, manager, part, wanted, &mut fields);
            }
        }
        fields.sort_by(|a, b| a.path.cmp(&b.path));
        let meta = |key: &str, of: &str| {
            let new = main.and_then(|m| m.get("metadata")?.get(of)?.get(key)?.as_str());
            new.map(str::to_owned)
        };
        let stored = |key: &str, labels: bool| {
            let meta = &live?.metadata;
            if labels { meta.labels.as_ref() } else { meta.annotations.as_ref() }?.get(key).cloned()
        };
        let display = meta(labels::DISPLAY_NAME, "annotations")
            .or_else(|| stored(labels::DISPLAY_NAME, false));
        let region = meta(labels::REGION, "labels").or_else(|| stored(labels::REGION, true));
        self.note(source, name, Entry { kind, display, region, fields });
    }

    /// Notes that a host would be removed.
    pub(super) fn remove(&self, source: &str, name: &str, live: Option<&StoredHost>) {
        self.write(source, "", Kind::Removed, (name, live), (None, None));
    }

    fn note(&self, source: &str, name: &str, entry: Entry) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(source.to_owned()).or_default().insert(name.to_owned(), entry);
    }

    /// Prints everything to standard output, in colours where that is a terminal.
    pub(super) fn print(&self, output: Output, totals: &[Totals<'_>]) {
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colours = std::io::stdout().is_terminal() && !no_colour;
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        // a reader that left early has seen enough
        let _ = self.render(&mut out, output, colours, totals).and_then(|()| out.flush());
    }

    fn render(
        &self,
        out: &mut impl Write,
        output: Output,
        colours: bool,
        totals: &[Totals<'_>],
    ) -> std::io::Result<()> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let none = BTreeMap::new();
        for Totals { source, .. } in totals {
            for (name, entry) in all.get(*source).unwrap_or(&none) {
                match output {
                    Output::Text => out.write_all(block(name, entry, colours).as_bytes())?,
                    Output::Json => writeln!(out, "{}", harmless(&document(source, name, entry)))?,
                }
            }
        }
        for total in totals {
            let entries = all.get(total.source).unwrap_or(&none);
            match output {
                Output::Text => writeln!(out, "{}", sum(total, entries))?,
                Output::Json => writeln!(out, "{}", harmless(&sum_document(total, entries)))?,
            }
        }
        Ok(())
    }
}

/// The fields by which `wanted`, the next apply of `manager`, would change this part of `live`.
fn compare(
    live: Option<&StoredHost>,
    manager: &str,
    part: Part,
    wanted: &Value,
    fields: &mut Vec<Field>,
) {
    let mut new = BTreeMap::new();
    flatten(wanted, &mut Vec::new(), &mut new);
    let (mut old, mut owned) = (BTreeMap::new(), BTreeMap::new());
    if let Some(live) = live {
        flatten(&whole(live, part), &mut Vec::new(), &mut old);
        flatten(&live.owned(manager, part), &mut Vec::new(), &mut owned);
    }
    for (path, value) in &new {
        // what is another's until now changes too if it is taken
        let before = old.get(path);
        if before != Some(value) {
            fields.push(Field {
                path: path.clone(),
                old: before.cloned(),
                new: Some(value.clone()),
            });
        }
    }
    for (path, value) in owned {
        let shared = || {
            let keys: Vec<&str> = path.iter().map(String::as_str).collect();
            live.is_some_and(|live| live.is_shared(manager, &keys))
        };
        if !new.contains_key(&path) && !shared() {
            fields.push(Field { path, old: Some(value), new: None });
        }
    }
}

/// This part of a stored host, in the shape of an apply.
fn whole(live: &StoredHost, part: Part) -> Value {
    match part {
        Part::Main => json!({
            "metadata": {"labels": live.metadata.labels, "annotations": live.metadata.annotations},
            "spec": live.spec,
        }),
        Part::Status => json!({"status": live.status}),
    }
}

/// The leaves of a document by their paths. Items of lists go by what names them; the tags, which are
/// JSON in one annotation, are taken apart; times that only follow from something else are left out.
fn flatten(value: &Value, path: &mut Vec<String>, out: &mut BTreeMap<Vec<String>, Value>) {
    match value {
        Value::Null => {}
        Value::Object(map) => {
            for (key, inner) in map {
                if TIMES.contains(&key.as_str()) && path.first().is_some_and(|of| of == "status") {
                    continue;
                }
                path.push(key.clone());
                match tags(key, inner) {
                    Some(tags) => flatten(&Value::Object(tags), path, out),
                    None => flatten(inner, path, out),
                }
                path.pop();
            }
        }
        Value::Array(items) => {
            for item in items {
                let (name, rest) = item_of(item);
                path.push(format!("[{name}]"));
                if rest.is_empty() {
                    out.insert(path.clone(), Value::Bool(true));
                } else {
                    flatten(&Value::Object(rest), path, out);
                }
                path.pop();
            }
        }
        leaf => {
            out.insert(path.clone(), leaf.clone());
        }
    }
}

fn tags(key: &str, value: &Value) -> Option<Map<String, Value>> {
    let text = value.as_str().filter(|_| key == labels::TAGS)?;
    serde_json::from_str(text).ok()
}

/// What names an item of a list, and what else it has.
fn item_of(item: &Value) -> (String, Map<String, Value>) {
    let Value::Object(map) = item else { return (item.to_string(), Map::new()) };
    let mut rest = map.clone();
    let keys: &[&str] = if map.contains_key("id") { &["id"] } else { &["type", "address"] };
    let named: Vec<String> = keys
        .iter()
        .filter_map(|key| rest.remove(*key))
        .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        .collect();
    if named.is_empty() { (item.to_string(), Map::new()) } else { (named.join(" "), rest) }
}

/// The lines about one host.
fn block(name: &str, entry: &Entry, colours: bool) -> String {
    let mut lines = format!("{} {}", entry.kind.sign(), shown(name));
    if let Some(display) = &entry.display {
        let _ = write!(lines, "  {}", shown(display));
    }
    if let Some(region) = entry.region.as_deref().filter(|region| !region.is_empty()) {
        let _ = write!(lines, " ({})", shown(region));
    }
    if let Kind::Marked(state) = entry.kind {
        let _ = write!(lines, ": {}", state.as_str());
    }
    lines = paint(&lines, entry.kind.sign(), colours);
    lines.push('\n');
    for Field { path, old, new } in &entry.fields {
        let path = shown_path(path);
        let (sign, line) = match (old, new) {
            (Some(old), Some(new)) => (' ', format!("{path}: {} → {}", said(old), said(new))),
            (None, Some(Value::Bool(true))) if path.ends_with(']') => ('+', format!("+ {path}")),
            (None, Some(new)) => ('+', format!("+ {path}: {}", said(new))),
            (Some(Value::Bool(true)), None) if path.ends_with(']') => ('-', format!("- {path}")),
            (Some(old), None) => ('-', format!("- {path}: {}", said(old))),
            (None, None) => continue,
        };
        let _ = writeln!(lines, "  {}", paint(&line, sign, colours));
    }
    if entry.fields.is_empty() && entry.kind == Kind::Changed {
        lines.push_str("  (no value; only who owns which field)\n");
    }
    lines
}

fn paint(line: &str, sign: char, colours: bool) -> String {
    let code = match sign {
        '+' => "32",
        '-' => "31",
        '~' => "33",
        '!' => "35",
        _ => return line.to_owned(),
    };
    if colours { format!("\u{1b}[{code}m{line}\u{1b}[0m") } else { line.to_owned() }
}

/// A path as people write it: `spec.cluster`, `labels.team`, `tags.Role`, `status.conditions[Seen].reason`.
fn shown_path(path: &[String]) -> String {
    let rest = match path {
        [meta, kind, key, rest @ ..] if meta == "metadata" && kind == "annotations" => {
            let tags = key == labels::TAGS && !rest.is_empty();
            if tags { ("tags", rest) } else { ("annotations", path.get(2..).unwrap_or_default()) }
        }
        [meta, rest @ ..] if meta == "metadata" => ("", rest),
        all => ("", all),
    };
    let mut text = rest.0.to_owned();
    for part in rest.1 {
        if !text.is_empty() && !part.starts_with('[') {
            text.push('.');
        }
        text.push_str(&shown(part));
    }
    text
}

/// A value as people read it. What would be taken for something else stands in quotes.
fn said(value: &Value) -> String {
    match value {
        Value::String(text) => {
            let plain = !text.is_empty() && text.trim() == text && !text.contains(['→', '"']);
            let text = shown(text);
            if plain { text } else { format!("\"{text}\"") }
        }
        other => shown(&other.to_string()),
    }
}

/// The text, harmless and not too long.
fn shown(text: &str) -> String {
    let text = text::clean(text);
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.into_owned(),
    }
}

fn count(entries: &BTreeMap<String, Entry>) -> [(usize, &'static str); 5] {
    let of = |wanted: fn(Kind) -> bool| entries.values().filter(|e| wanted(e.kind)).count();
    [
        (of(|kind| kind == Kind::New), "new"),
        (of(|kind| kind == Kind::Changed), "changed"),
        (of(|kind| matches!(kind, Kind::Marked(state) if state != Phase::Gone)), "missing"),
        (of(|kind| kind == Kind::Marked(Phase::Gone)), "gone"),
        (of(|kind| kind == Kind::Removed), "removed"),
    ]
}

/// The last line of a source.
fn sum(total: &Totals<'_>, entries: &BTreeMap<String, Entry>) -> String {
    let mut line = format!("{}: {} listed", shown(total.source), total.seen);
    for (number, word) in count(entries) {
        let _ = write!(line, ", {number} {word}");
    }
    if !total.done {
        line.push_str(" (not everything was read, see the error)");
    }
    line
}

fn document(source: &str, name: &str, entry: &Entry) -> Value {
    let mut document = json!({
        "source": source, "host": name, "change": entry.kind.as_str(),
        "display": entry.display, "region": entry.region,
        "fields": entry.fields.iter()
            .map(|f| json!({"path": f.path, "old": f.old, "new": f.new}))
            .collect::<Vec<_>>(),
    });
    if let (Kind::Marked(state), Some(map)) = (entry.kind, document.as_object_mut()) {
        map.insert("state".to_owned(), json!(state));
    }
    document
}

fn sum_document(total: &Totals<'_>, entries: &BTreeMap<String, Entry>) -> Value {
    let mut totals: Map<String, Value> =
        count(entries).iter().map(|(number, word)| ((*word).to_owned(), json!(number))).collect();
    totals.insert("listed".to_owned(), json!(total.seen));
    json!({"source": total.source, "totals": totals, "done": total.done})
}

/// JSON in which every hostile character is an escape: the same values, harmless on a terminal.
fn harmless(document: &Value) -> String {
    let mut text = String::new();
    for c in document.to_string().chars() {
        if text::is_hostile(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(text, "\\u{unit:04x}");
            }
        } else {
            text.push(c);
        }
    }
    text
}

#[cfg(test)]
mod tests;
