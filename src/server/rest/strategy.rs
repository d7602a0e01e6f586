//! What single kinds do differently from all others.

use serde_json::{Value, json};

use super::Call;
use crate::server::kind::Kind;
use crate::server::status::{ApiError, ApiResult, Cause};
use crate::server::{catalog, certificates, crd, events, meta};

/// The built-in kinds that have rules of their own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Special {
    Namespace,
    ConfigMap,
    Secret,
    Event,
    Lease,
    Certificate,
    Definition,
}

pub(super) fn special(kind: &Kind) -> Option<Special> {
    if kind.custom {
        return None;
    }
    Some(match kind.plural.as_str() {
        "namespaces" => Special::Namespace,
        "configmaps" => Special::ConfigMap,
        "secrets" => Special::Secret,
        "events" => Special::Event,
        "leases" => Special::Lease,
        "certificatesigningrequests" => Special::Certificate,
        "customresourcedefinitions" => Special::Definition,
        _ => return None,
    })
}

/// Whether an update without a resourceVersion overwrites what is there.
pub(super) fn unconditional(kind: &Kind) -> bool {
    !matches!(special(kind), None | Some(Special::Lease | Special::Definition))
}

/// Whether an update of an object that is not there creates it.
pub(super) fn create_on_update(kind: &Kind) -> bool {
    matches!(special(kind), Some(Special::Lease | Special::Event))
}

/// Whether nothing but finalizers in its metadata holds an object that is being deleted.
pub(super) fn may_go(call: &Call, object: &Value) -> bool {
    let held = object.pointer("/spec/finalizers").and_then(Value::as_array);
    special(&call.served.kind) != Some(Special::Namespace) || held.is_none_or(Vec::is_empty)
}

/// What a write through this path may change: the main path all but status, a subresource only its
/// own part.
pub(super) fn split(kind: &Kind, subresource: &str, old: &Value, new: Value) -> Value {
    let take = |mut base: Value, from: &Value, pointer: &str| {
        let (parent, field) = pointer.rsplit_once('/').unwrap_or(("", pointer));
        let value = from.pointer(pointer).cloned();
        let parent = if parent.is_empty() { Some(&mut base) } else { base.pointer_mut(parent) };
        if let Some(fields) = parent.and_then(Value::as_object_mut) {
            match value {
                Some(value) => fields.insert(field.to_owned(), value),
                None => fields.remove(field),
            };
        }
        base
    };
    match subresource {
        "" if kind.has_status() => take(new, old, "/status"),
        "" => new,
        "finalize" => {
            take(take(old.clone(), &new, "/spec/finalizers"), &new, "/metadata/managedFields")
        }
        // Status, approval: the status and who owns it.
        _ => take(take(old.clone(), &new, "/status"), &new, "/metadata/managedFields"),
    }
}

fn at<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Makes a new object one of its kind. Returns what is wrong with it.
pub(super) fn on_create(call: &Call, object: &mut Value) -> ApiResult<Vec<Cause>> {
    let Some(special) = special(&call.served.kind) else { return Ok(Vec::new()) };
    Ok(match special {
        Special::Namespace => {
            object["spec"] = json!({"finalizers": ["kubernetes"]});
            object["status"] = json!({"phase": "Active"});
            name_label(object);
            Vec::new()
        }
        Special::Secret => {
            whole_secret(object);
            Vec::new()
        }
        Special::ConfigMap => Vec::new(),
        Special::Event => {
            let strict = call.served.new_events;
            let mut core = object.clone();
            call.served.store_form(&mut core);
            events::check(&core, strict)
        }
        Special::Lease => lease(object),
        Special::Certificate => {
            certificates::on_create(&call.user, object)?;
            Vec::new()
        }
        Special::Definition => {
            crd::default(object);
            let causes = crd::check(object);
            if causes.is_empty() {
                crd::establish(
                    object,
                    &call.server.names_taken(meta::text(object, "name")),
                    call.now,
                );
                meta::set(object, "finalizers", finalizers_with(object, catalog::CLEANUP));
            }
            causes
        }
    })
}

/// Looks at a changed object of its kind. Returns what is wrong with the change.
pub(super) fn on_update(call: &Call, old: &Value, new: &mut Value) -> ApiResult<Vec<Cause>> {
    let Some(special) = special(&call.served.kind) else { return Ok(Vec::new()) };
    let subresource = call.at.subresource.as_str();
    Ok(match special {
        Special::Namespace => {
            if subresource.is_empty() {
                copy(old, new, "spec");
                name_label(new);
            }
            Vec::new()
        }
        Special::ConfigMap => immutable(old, new, &["data", "binaryData", "immutable"]),
        Special::Secret => {
            whole_secret(new);
            let mut causes = immutable(old, new, &["data", "immutable"]);
            if at(old, "/type") != at(new, "/type") {
                causes.push(Cause::invalid("type", &at(new, "/type").into(), "field is immutable"));
            }
            causes
        }
        Special::Event => {
            let (mut was, mut is) = (old.clone(), new.clone());
            call.served.store_form(&mut was);
            call.served.store_form(&mut is);
            events::check_change(&was, &is, call.served.new_events)
        }
        Special::Lease => lease(new),
        Special::Certificate => {
            match subresource {
                "approval" => certificates::on_approval(&call.user, old, new, call.now)?,
                "status" => certificates::on_status(&call.user, old, new, call.now)?,
                _ => certificates::on_update(old, new),
            }
            Vec::new()
        }
        Special::Definition => {
            if subresource == "status" {
                return Ok(Vec::new());
            }
            crd::default(new);
            let causes = crd::check_update(new, old);
            if causes.is_empty() && !meta::deleting(new) {
                crd::establish(new, &call.server.names_taken(meta::text(new, "name")), call.now);
            }
            causes
        }
    })
}

fn copy(old: &Value, new: &mut Value, field: &str) {
    match old.get(field) {
        Some(value) => new[field] = value.clone(),
        None => {
            if let Some(fields) = new.as_object_mut() {
                fields.remove(field);
            }
        }
    }
}

fn finalizers_with(object: &Value, one: &str) -> Value {
    let mut all: Vec<&str> = meta::finalizers(object);
    if !all.contains(&one) {
        all.push(one);
    }
    json!(all)
}

/// The label by which selectors find a namespace by name.
fn name_label(object: &mut Value) {
    let name = meta::text(object, "name").to_owned();
    let metadata = meta::of(object);
    let labels = metadata.entry("labels").or_insert_with(|| json!({}));
    labels["kubernetes.io/metadata.name"] = name.into();
}

/// `stringData` is a way to write `data`.
fn whole_secret(object: &mut Value) {
    use base64::Engine;
    let Some(fields) = object.as_object_mut() else { return };
    if let Some(Value::Object(plain)) = fields.remove("stringData") {
        let data = fields.entry("data").or_insert_with(|| json!({}));
        for (key, text) in plain {
            let text = text.as_str().unwrap_or_default();
            data[key] = base64::engine::general_purpose::STANDARD.encode(text).into();
        }
    }
    fields.entry("type").or_insert_with(|| "Opaque".into());
}

fn immutable(old: &Value, new: &Value, parts: &[&str]) -> Vec<Cause> {
    if old.get("immutable") != Some(&Value::Bool(true)) {
        return Vec::new();
    }
    parts
        .iter()
        .filter(|field| old.get(**field) != new.get(**field))
        .map(|field| Cause::forbidden(*field, "field is immutable when `immutable` is set"))
        .collect()
}

fn lease(object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let Some(spec) = object.get("spec") else { return causes };
    if let Some(seconds) = spec.get("leaseDurationSeconds")
        && seconds.as_i64().is_some_and(|n| n <= 0)
    {
        causes.push(Cause::invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0"));
    }
    if spec.get("holderIdentity").and_then(Value::as_str) == Some("")
        && spec.get("strategy").is_some()
    {
        causes.push(Cause::required("spec.holderIdentity", ""));
    }
    if let Some(transitions) = spec.get("leaseTransitions")
        && transitions.as_i64().is_some_and(|n| n < 0)
    {
        causes.push(Cause::invalid(
            "spec.leaseTransitions",
            transitions,
            "must be greater than or equal to 0",
        ));
    }
    causes
}

/// 403 for what nobody may do.
pub(super) fn never(kind: &Kind, name: &str, why: &str) -> ApiError {
    let what = crate::server::status::qualified(&kind.group, &kind.plural);
    ApiError::new(403, "Forbidden", format!("{what} \"{name}\" is forbidden: {why}")).about(
        &kind.group,
        &kind.plural,
        name,
    )
}
