//! The history of one host: what its object, the Events, this person's journal and this session
//! know of it, in one list, each line with where it comes from.

use jiff::Timestamp;
use serde_json::Value;

use super::Model;
use super::page::Page;
use crate::journal::Target;
use crate::model::changes::Changed;
use crate::model::host::Host;
use crate::store::read::Place;

/// Where a line comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// This session saw it happen.
    Seen,
    /// The object's own list of operations.
    Operation,
    /// This person's journal.
    Journal,
    /// An Event.
    Event,
    /// A condition changed its status.
    Condition,
    /// A field manager wrote.
    Writer,
}

impl Origin {
    /// Its word on the screen.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Seen => "seen",
            Self::Operation => "operation",
            Self::Journal => "journal",
            Self::Event => "event",
            Self::Condition => "condition",
            Self::Writer => "writer",
        }
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    /// When it was.
    pub at: Timestamp,
    /// Where it comes from.
    pub origin: Origin,
    /// What happened: old → new where that is known.
    pub what: String,
    /// By whom, where that is known.
    pub who: String,
    /// It is nothing good.
    pub bad: bool,
}

/// What is said of the begin of an object.
const MADE: &str = "the object was made";

/// The history of the page's host, the newest first.
pub fn history(model: &Model, page: &Page) -> Vec<Past> {
    let mut all = Vec::new();
    if let Some(uid) = &page.uid {
        all.extend(model.changes.of(uid).map(seen));
    }
    if let Some(host) = &page.host {
        of_object(host, &mut all);
    }
    if let Some(object) = &page.object {
        writers(object, &mut all);
    }
    if let Some(Ok(events)) = &page.events {
        all.extend(events.iter().map(|told| {
            let times =
                if told.count > 1 { format!(" ({} times)", told.count) } else { String::new() };
            Past {
                at: told.at,
                origin: Origin::Event,
                what: format!("{}: {}{times}", told.reason, told.message),
                who: told.by.clone(),
                bad: told.warning,
            }
        }));
    }
    if let Some(place) = &page.place {
        journal(model, place, &mut all);
    }
    // Times of the API are whole seconds: of what happened in one, the begin comes last.
    all.sort_by_key(|past| (std::cmp::Reverse(past.at), past.what == MADE, past.origin));
    all
}

fn seen(changed: &Changed) -> Past {
    let times =
        if changed.times > 1 { format!(" ({} times)", changed.times) } else { String::new() };
    Past {
        at: changed.at,
        origin: Origin::Seen,
        what: format!("{}{times}", words(changed)),
        who: changed.who.as_deref().unwrap_or_default().to_owned(),
        bad: false,
    }
}

/// A change in words: `state: Running → Stopped`.
pub fn words(changed: &Changed) -> String {
    let value = |text: &str| if text.is_empty() { "none".to_owned() } else { text.to_owned() };
    let field = changed.field.as_str();
    if changed.field == crate::model::changes::Field::Host {
        return format!("{field} {}", changed.new);
    }
    format!("{field}: {} → {}", value(&changed.old), value(&changed.new))
}

fn of_object(host: &Host, all: &mut Vec<Past>) {
    let metadata = &host.metadata;
    let mut made = |at: Option<Timestamp>, what: &str| {
        all.extend(at.map(|at| Past {
            at,
            origin: Origin::Operation,
            what: what.to_owned(),
            who: String::new(),
            bad: false,
        }));
    };
    made(metadata.creation_timestamp.as_ref().map(|time| time.0), MADE);
    made(metadata.deletion_timestamp.as_ref().map(|time| time.0), "its deletion was asked for");
    let Some(status) = &host.status else { return };
    made(status.launch_time.as_ref().map(|time| time.0), "the machine was launched");
    all.extend(status.operations.iter().map(|operation| {
        let more = |sign: &str, text: &Option<String>| {
            text.as_ref()
                .filter(|t| !t.is_empty())
                .map(|t| format!("{sign}{t}"))
                .unwrap_or_default()
        };
        let result = more(" → ", &operation.result);
        Past {
            at: operation.at.0,
            origin: Origin::Operation,
            what: format!("{}{}{result}", operation.verb, more(": ", &operation.reason)),
            who: operation.by.clone(),
            bad: operation.result.as_deref() == Some("failed"),
        }
    }));
    all.extend(status.conditions.iter().map(|c| {
        let message = if c.message.is_empty() { String::new() } else { format!(": {}", c.message) };
        Past {
            at: c.last_transition_time.0,
            origin: Origin::Condition,
            what: format!("{} became {} ({}{message})", c.type_, c.status, c.reason),
            who: String::new(),
            bad: false,
        }
    }));
}

/// Who wrote what part of the object last. The API keeps one time for each writer, operation and part.
fn writers(object: &Value, all: &mut Vec<Past>) {
    let entries = object.pointer("/metadata/managedFields").and_then(Value::as_array);
    // The API server keeps the oldest first.
    for entry in entries.into_iter().flatten().rev() {
        let word = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default();
        let Ok(at) = word("time").parse() else { continue };
        let part = match word("subresource") {
            "" => parts(entry),
            part => part.to_owned(),
        };
        let verb = if word("operation") == "Apply" { "applied" } else { "changed" };
        all.push(Past {
            at,
            origin: Origin::Writer,
            what: format!("{verb} {part} last"),
            who: word("manager").to_owned(),
            bad: false,
        });
    }
}

/// The fields of spec that an entry owns, or the parts of the object.
fn parts(entry: &Value) -> String {
    const NAMED: usize = 4;
    let keys = |pointer: &str| -> Vec<String> {
        let map = entry.pointer(pointer).and_then(Value::as_object);
        let keys = map.into_iter().flat_map(|map| map.keys());
        keys.filter_map(|key| key.strip_prefix("f:")).map(ToOwned::to_owned).collect()
    };
    let mut names: Vec<String> =
        keys("/fieldsV1/f:spec").into_iter().map(|name| format!("spec.{name}")).collect();
    names.extend(keys("/fieldsV1/f:metadata"));
    if names.is_empty() {
        return "the object".to_owned();
    }
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", names.join(", "))
}

/// What this person did to the host, on this server.
fn journal(model: &Model, place: &Place, all: &mut Vec<Past>) {
    let server = &model.servers.get(place.server).settings.url;
    for record in &model.journal.records {
        if record.entry.server != *server {
            continue;
        }
        let is_it = |t: &&Target| t.name == place.name && t.namespace == place.namespace;
        let its = record.targets.iter().filter(is_it);
        for target in its {
            let result = target.result.as_deref().unwrap_or("not known");
            let values = match (&target.before, &target.after) {
                (None, None) => String::new(),
                (before, after) => {
                    format!(" {} → {}", value(before.as_ref()), value(after.as_ref()))
                }
            };
            let reason = &record.entry.reason;
            let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
            let detail = target.detail.as_ref().map(|d| format!(", {d}")).unwrap_or_default();
            all.push(Past {
                at: record.entry.at,
                origin: Origin::Journal,
                what: format!("{}{values}{reason} ({result}{detail})", record.entry.verb),
                who: record.entry.user.clone(),
                bad: result != "done",
            });
        }
    }
}

/// A value of the journal in a few words: of a hold its end, of labels all of them.
fn value(value: Option<&Value>) -> String {
    const WORDS: [&str; 3] = ["until", "playbook", "state"];
    match value {
        None | Some(Value::Null) => "none".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Object(map)) => {
            let known = WORDS.iter().find_map(|word| map.get(*word)?.as_str());
            known.map_or_else(|| Value::Object(map.clone()).to_string(), ToOwned::to_owned)
        }
        Some(other) => other.to_string(),
    }
}
