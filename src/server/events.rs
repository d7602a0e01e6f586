//! Events: one store (in the core form), two views, and their rules.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use super::meta;
use super::status::Cause;

/// Fields that the two forms name differently: core, events.k8s.io.
const NAMES: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

/// How long an event is kept, as kube-apiserver's `--event-ttl` has it by default.
const KEPT: SignedDuration = SignedDuration::from_hours(1);

fn rename(event: &mut Value, names: impl Iterator<Item = (&'static str, &'static str)>) {
    let Some(fields) = event.as_object_mut() else { return };
    for (from, to) in names {
        if let Some(value) = fields.remove(from) {
            fields.insert(to.to_owned(), value);
        }
    }
}

/// An event of events.k8s.io as core/v1, as it is stored.
pub fn to_core(event: &mut Value) {
    rename(event, NAMES.iter().map(|(core, new)| (*new, *core)));
    rewrite_fields(event, |field| NAMES.iter().find(|n| n.1 == field).map(|n| n.0));
    event["apiVersion"] = "v1".into();
}

/// An event of core/v1 as events.k8s.io/v1.
pub fn to_new(event: &mut Value) {
    rename(event, NAMES.iter().copied());
    rewrite_fields(event, |field| NAMES.iter().find(|n| n.0 == field).map(|n| n.1));
    event["apiVersion"] = "events.k8s.io/v1".into();
}

/// Managed fields speak of the same fields.
fn rewrite_fields(event: &mut Value, name: impl Fn(&str) -> Option<&'static str>) {
    let Some(entries) = event.pointer_mut("/metadata/managedFields").and_then(Value::as_array_mut)
    else {
        return;
    };
    for entry in entries {
        let Some(set) = entry.get_mut("fieldsV1").and_then(Value::as_object_mut) else { continue };
        let renamed = std::mem::take(set)
            .into_iter()
            .map(|(key, value)| {
                let new = key.strip_prefix("f:").and_then(&name).map(|new| format!("f:{new}"));
                (new.unwrap_or(key), value)
            })
            .collect::<Map<_, _>>();
        *set = renamed;
    }
}

fn word<'a>(event: &'a Value, path: &str) -> &'a str {
    event.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

/// What is wrong with a new event (in core form). `strict`: it came through events.k8s.io.
pub fn check(event: &Value, strict: bool) -> Vec<Cause> {
    let mut causes = Vec::new();
    let about = if strict { "regarding" } else { "involvedObject" };
    let namespace = meta::text(event, "namespace");
    let regarding = word(event, "/involvedObject/namespace");
    if regarding != namespace && !(regarding.is_empty() && namespace == "default") {
        let path = format!("{about}.namespace");
        causes.push(Cause::invalid(path, &regarding.into(), "does not match event.namespace"));
    }
    if strict {
        for (path, field, most) in [
            ("/reportingComponent", "reportingController", 253),
            ("/reportingInstance", "reportingInstance", 128),
            ("/action", "action", 128),
            ("/reason", "reason", 128),
        ] {
            let text = word(event, path);
            if text.is_empty() {
                causes.push(Cause::required(field, ""));
            } else if text.len() > most {
                causes.push(Cause::invalid(
                    field,
                    &text.into(),
                    format!("can have at most {most} characters"),
                ));
            }
        }
        if word(event, "/eventTime").is_empty() {
            causes.push(Cause::required("eventTime", ""));
        }
        let note = word(event, "/message");
        if note.len() > 1024 {
            causes.push(Cause::invalid("note", &note.into(), "can have at most 1024 characters"));
        }
        let type_ = word(event, "/type");
        if !["Normal", "Warning"].contains(&type_) {
            causes.push(Cause::invalid(
                "type",
                &type_.into(),
                "has invalid value, must be Normal or Warning",
            ));
        }
    }
    causes
}

/// What may not change of an event that came through events.k8s.io: all but series and metadata.
pub fn check_change(old: &Value, new: &Value, strict: bool) -> Vec<Cause> {
    if !strict {
        return Vec::new();
    }
    let fields = |event: &Value| event.as_object().cloned().unwrap_or_default();
    let (old, new) = (fields(old), fields(new));
    let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
    names.sort();
    names.dedup();
    names
        .into_iter()
        .filter(|name| !["series", "metadata", "apiVersion", "kind"].contains(&name.as_str()))
        .filter(|name| old.get(*name) != new.get(*name))
        .map(|core| {
            let shown = NAMES.iter().find(|n| n.0 == core).map_or(core.as_str(), |n| n.1);
            Cause::invalid(shown, new.get(core).unwrap_or(&Value::Null), "field is immutable")
        })
        .collect()
}

/// Whether the event has been there long enough.
pub fn expired(event: &Value, now: Timestamp) -> bool {
    let times =
        ["/series/lastObservedTime", "/lastTimestamp", "/eventTime", "/metadata/creationTimestamp"];
    let newest = times.iter().filter_map(|path| word(event, path).parse::<Timestamp>().ok()).max();
    newest.is_some_and(|newest| now.duration_since(newest) > KEPT)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event() -> Value {
        json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event",
            "metadata": {"name": "a", "namespace": "inv", "creationTimestamp": "2026-01-01T00:00:00Z",
                "managedFields": [{"fieldsV1": {"f:note": {}, "f:reason": {}}}]},
            "regarding": {"namespace": "inv", "name": "h"}, "note": "n", "reason": "R", "action": "A",
            "reportingController": "c", "reportingInstance": "i", "type": "Normal",
            "eventTime": "2026-01-01T00:00:00.000000Z",
        })
    }

    #[test]
    fn the_two_views_are_one_event() {
        let mut core = event();
        to_core(&mut core);
        assert_eq!(core["involvedObject"]["name"], "h");
        assert_eq!(core["message"], "n");
        assert_eq!(
            core["metadata"]["managedFields"][0]["fieldsV1"],
            json!({"f:message": {}, "f:reason": {}})
        );
        assert!(core.get("regarding").is_none());
        to_new(&mut core);
        assert_eq!(core, event());
    }

    #[test]
    fn rules() {
        let mut core = event();
        to_core(&mut core);
        assert_eq!(check(&core, true), []);
        let broken = |path: &str, value: Value| {
            let mut core = core.clone();
            *core.pointer_mut(path).unwrap() = value;
            check(&core, true).into_iter().map(|c| c.field).collect::<Vec<_>>()
        };
        assert_eq!(broken("/reason", "".into()), ["reason"]);
        assert_eq!(broken("/message", "x".repeat(1025).into()), ["note"]);
        assert_eq!(broken("/type", "Bad".into()), ["type"]);
        assert_eq!(broken("/eventTime", Value::Null), ["eventTime"]);
        assert_eq!(broken("/involvedObject/namespace", "other".into()), ["regarding.namespace"]);
        let mut changed = core.clone();
        changed["series"] = json!({"count": 2});
        assert_eq!(check_change(&core, &changed, true), []);
        changed["message"] = "other".into();
        assert_eq!(check_change(&core, &changed, true)[0].field, "note");
        assert_eq!(check_change(&core, &changed, false), []);
    }

    #[test]
    fn old_events_go() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let mut core = event();
        to_core(&mut core);
        assert!(!expired(&core, at("2026-01-01T00:59:00Z")));
        assert!(expired(&core, at("2026-01-01T01:01:00Z")));
        core["series"] = json!({"lastObservedTime": "2026-01-01T00:50:00.000000Z"});
        assert!(!expired(&core, at("2026-01-01T01:01:00Z")));
    }
}
