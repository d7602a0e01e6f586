//! An object for people: of a host everything that the detail pane says and the rest besides, of
//! another object its fields.

use jiff::Timestamp;
use serde_json::Value;

use super::{Page, Rows, host};
use crate::model::duration;
use crate::model::labels;
use crate::ui::app::Model;
use crate::ui::theme::Role;
use crate::ui::view::detail::NAME;

pub(super) fn describe(model: &Model, page: &Page, rows: &mut Rows) {
    let Some(object) = &page.object else { return };
    if host(model, page, rows) {
        rest_of_host(model, object, rows);
    } else {
        fields(model, object, rows);
    }
    rows.heading("Events");
    match &page.events {
        None if page.gone => rows.block("it is gone", Role::Muted),
        None => rows.block("loading…", Role::Muted),
        Some(Err(problem)) => rows.block(problem, Role::Warning),
        Some(Ok(events)) if events.is_empty() => {
            rows.block("none in the last hour", Role::Muted);
        }
        Some(Ok(events)) => {
            for told in events {
                let age = duration::short(model.now.as_second() - told.at.as_second());
                let times =
                    if told.count > 1 { format!(" ×{}", told.count) } else { String::new() };
                let role = if told.warning { Role::Warning } else { Role::Text };
                let text = format!("{}{times} · {} · {}", told.reason, told.message, told.by);
                rows.styled(&format!("{age} ago"), text, role);
            }
        }
    }
}

fn when(model: &Model, text: &str) -> Option<String> {
    let time: Timestamp = text.parse().ok()?;
    let age = duration::short(model.now.as_second() - time.as_second());
    let clock = time.to_zoned(model.settings.time_zone.clone());
    Some(format!("{} ({age} ago)", clock.strftime("%Y-%m-%d %H:%M:%S")))
}

/// What the detail pane leaves out of a host.
fn rest_of_host(model: &Model, object: &Value, rows: &mut Rows) {
    let word = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    rows.heading("Object");
    rows.add("namespace", word("/metadata/namespace"));
    rows.add("uid", word("/metadata/uid"));
    rows.add("version", word("/metadata/resourceVersion"));
    let deleted = word("/metadata/deletionTimestamp");
    rows.styled("deleted", when(model, deleted).unwrap_or_default(), Role::Warning);
    let finalizers = object.pointer("/metadata/finalizers").and_then(Value::as_array);
    for finalizer in finalizers.into_iter().flatten().filter_map(Value::as_str) {
        rows.add("finalizer", finalizer);
    }
    if object.pointer("/spec/paused") == Some(&Value::Bool(true)) {
        rows.styled("paused", "services leave this host alone", Role::Warning);
    }
    for (title, pointer) in
        [("Wanted system", "/spec/os"), ("System", "/status/os"), ("Hardware", "/status/hardware")]
    {
        if let Some(value) = object.pointer(pointer) {
            rows.heading(title);
            flat(model, "", value, rows);
        }
    }
    pairs("Labels in full", object.pointer("/metadata/labels"), &[], rows);
    // The tags stand above already, each on its own line.
    pairs("Annotations", object.pointer("/metadata/annotations"), &[labels::TAGS], rows);
}

fn pairs(title: &str, map: Option<&Value>, without: &[&str], rows: &mut Rows) {
    let Some(map) = map.and_then(Value::as_object).filter(|map| !map.is_empty()) else { return };
    rows.heading(title);
    for (key, value) in map.iter().filter(|(key, _)| !without.contains(&key.as_str())) {
        let value = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        rows.block(&format!("{key}={}", value.replace('\n', " ")), Role::Text);
    }
}

/// An object that is no host: who it is, then each field by its path.
fn fields(model: &Model, object: &Value, rows: &mut Rows) {
    let word = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    rows.add("kind", word("/kind"));
    rows.add("name", word("/metadata/name"));
    rows.add("namespace", word("/metadata/namespace"));
    let made = word("/metadata/creationTimestamp");
    rows.add("made", when(model, made).unwrap_or_default());
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    if let Some(conditions) = conditions.filter(|list| !list.is_empty()) {
        rows.heading("Conditions");
        for condition in conditions {
            let word = |key: &str| condition.get(key).and_then(Value::as_str).unwrap_or_default();
            let mut text = format!("{} · {}", word("status"), word("reason"));
            if !word("message").is_empty() {
                text = format!("{text}: {}", word("message"));
            }
            let since = when(model, word("lastTransitionTime"));
            let since = since.or_else(|| when(model, word("lastUpdateTime")));
            if let Some(since) = since {
                text = format!("{text}, since {since}");
            }
            rows.add(word("type"), text);
        }
    }
    for (title, pointer) in [("Spec", "/spec"), ("Status", "/status")] {
        if let Some(Value::Object(map)) = object.pointer(pointer) {
            rows.heading(title);
            for (key, value) in map.iter().filter(|(key, _)| *key != "conditions") {
                flat(model, key, value, rows);
            }
        }
    }
    pairs("Labels", object.pointer("/metadata/labels"), &[], rows);
    pairs("Annotations", object.pointer("/metadata/annotations"), &[], rows);
}

/// Each field below a value by its path.
fn flat(model: &Model, path: &str, value: &Value, rows: &mut Rows) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match value {
        Value::Null => {}
        Value::Object(map) => {
            for (key, value) in map {
                flat(model, &below(key), value, rows);
            }
        }
        Value::Array(list) if list.iter().all(|v| !v.is_object() && !v.is_array()) => {
            let word = |v: &Value| v.as_str().map_or_else(|| v.to_string(), ToOwned::to_owned);
            named(path, list.iter().map(word).collect::<Vec<_>>().join(", "), rows);
        }
        Value::Array(list) => {
            for (number, value) in list.iter().enumerate() {
                flat(model, &format!("{path}[{number}]"), value, rows);
            }
        }
        Value::String(text) => {
            let text = when(model, text).unwrap_or_else(|| text.replace('\n', " "));
            named(path, text, rows);
        }
        other => named(path, other.to_string(), rows),
    }
}

/// A field; one whose path is too long for the left side stands in a line of its own.
fn named(path: &str, text: String, rows: &mut Rows) {
    if path.len() <= NAME {
        rows.add(path, text);
    } else if !text.is_empty() {
        rows.block(&format!("{path}: {text}"), Role::Text);
    }
}
