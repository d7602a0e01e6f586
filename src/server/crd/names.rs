//! The status of a CRD: accepted names, stored versions and conditions.

use serde_json::{Value, json};

use crate::server::kind::Kind;

/// Whether the kinds of a CRD are served.
pub fn established(crd: &Value) -> bool {
    condition(crd, "Established").is_some_and(|c| c["status"] == "True")
}

fn condition<'a>(crd: &'a Value, name: &str) -> Option<&'a Value> {
    let list = crd.pointer("/status/conditions")?.as_array()?;
    list.iter().find(|c| c["type"] == name)
}

/// Sets the status of a CRD that passed [`check`](super::check): the names that it gets, the versions that objects
/// are stored in, and the conditions `NamesAccepted` and `Established`. A name that another kind of
/// the same group has in `taken` is not given twice. Established once is established for ever.
pub fn establish(crd: &mut Value, taken: &[Kind], now: jiff::Timestamp) {
    let Some(wanted) = crd.pointer("/spec/names").filter(|n| n.is_object()).cloned() else {
        return;
    };
    let group = crd.pointer("/spec/group").and_then(Value::as_str).unwrap_or_default();
    let text = |name: &str| wanted.get(name).and_then(Value::as_str).unwrap_or_default();
    let plural = text("plural");
    let others: Vec<&Kind> =
        taken.iter().filter(|k| k.group == group && !(k.custom && k.plural == plural)).collect();
    let resource = |name: &str| {
        let same = |k: &&Kind| k.plural == name || k.singular == name;
        others.iter().any(|k| same(k) || k.short_names.iter().any(|s| s == name))
    };
    let kind = |name: &str| others.iter().any(|k| k.kind == name || k.list_kind == name);
    let mut accepted = wanted.clone();
    let mut conflicts = Vec::new();
    for (field, reason, conflict) in [
        ("plural", "PluralConflict", resource(plural)),
        ("singular", "SingularConflict", resource(text("singular"))),
        ("kind", "KindConflict", kind(text("kind"))),
        ("listKind", "ListKindConflict", kind(text("listKind"))),
    ] {
        if conflict {
            conflicts.push((reason, text(field).to_owned()));
            // The typed form of the status has these two as required fields.
            let kept = if matches!(field, "plural" | "kind") { "".into() } else { Value::Null };
            if let Value::Object(names) = &mut accepted {
                names.insert(field.to_owned(), kept);
            }
        }
    }
    if let Some(Value::Array(short)) = accepted.get_mut("shortNames") {
        short.retain(|name| {
            let name = name.as_str().unwrap_or_default();
            let free = !resource(name);
            if !free {
                conflicts.push(("ShortNamesConflict", name.to_owned()));
            }
            free
        });
    }
    if let Value::Object(map) = &mut accepted {
        map.retain(|_, v| !v.is_null());
    }
    let storage = storage_version(crd);
    if !crd.get("status").is_some_and(Value::is_object) {
        crd["status"] = json!({});
    }
    let status = &mut crd["status"];
    status["acceptedNames"] = accepted;
    if !status.get("storedVersions").is_some_and(Value::is_array) {
        status["storedVersions"] = json!([]);
    }
    if let (Some(Value::Array(stored)), Some(storage)) = (status.get_mut("storedVersions"), storage)
        && !stored.iter().any(|v| *v == storage)
    {
        stored.push(storage.into());
    }
    let free = ("True", "NoConflicts", "no conflicts found".to_owned());
    let names = conflicts
        .first()
        .map_or(free, |(reason, name)| ("False", *reason, format!("{name:?} is already in use")));
    let accepted = names.0 == "True";
    set_condition(crd, "NamesAccepted", names, now);
    if !established(crd) {
        let value = if accepted {
            ("True", "InitialNamesAccepted", "the initial names have been accepted".to_owned())
        } else {
            ("False", "NotAccepted", "not all names are accepted".to_owned())
        };
        set_condition(crd, "Established", value, now);
    }
}

fn storage_version(crd: &Value) -> Option<String> {
    let versions = crd.pointer("/spec/versions")?.as_array()?;
    let storage = versions.iter().find(|v| v.get("storage") == Some(&Value::Bool(true)))?;
    Some(storage.get("name")?.as_str()?.to_owned())
}

/// Sets a condition; the time of its last transition changes with its status only.
pub fn set_condition(
    crd: &mut Value,
    name: &str,
    (status, reason, message): (&str, &str, String),
    now: jiff::Timestamp,
) {
    let since = match condition(crd, name) {
        Some(old) if old["status"] == status => old["lastTransitionTime"].clone(),
        _ => Value::Null,
    };
    let since =
        if since.is_null() { now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into() } else { since };
    let new = json!({
        "type": name, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": since,
    });
    if !crd.is_object() {
        return;
    }
    if !crd.get("status").is_some_and(Value::is_object) {
        crd["status"] = json!({});
    }
    let status = &mut crd["status"];
    if !status.get("conditions").is_some_and(Value::is_array) {
        status["conditions"] = json!([]);
    }
    if let Some(Value::Array(list)) = status.get_mut("conditions") {
        match list.iter_mut().find(|c| c["type"] == name) {
            Some(old) => *old = new,
            None => list.push(new),
        }
    }
}
