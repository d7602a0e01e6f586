//! Managed fields and server-side apply: who owns which field of an object.
//!
//! [`set`] knows sets of fields and their form in JSON, [`typed`] what an object sets by its schema,
//! [`managers`] the list `metadata.managedFields`. Here is what happens on a write: [`record_update`]
//! for create, update and patch, [`apply`] for server-side apply. Both follow kube-apiserver
//! (`apimachinery/pkg/util/managedfields`, structured-merge-diff `merge/update.go`).

pub mod managers;
pub mod set;
pub mod typed;

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value, json};

use self::managers::{Entry, Operation};
use self::set::{Element, Set};
use self::typed::{Comparison, Type};
use super::schema::Schema;
use super::status::{ApiError, ApiResult, Cause};

/// Who writes, how and when.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// Field manager.
    pub manager: &'a str,
    /// Group and version that the request uses.
    pub api_version: &'a str,
    /// `status` and so on; empty for the main path.
    pub subresource: &'a str,
    /// The time of the request; whole seconds count.
    pub now: jiff::Timestamp,
}

/// Fields of the metadata that only the server sets. What an applied object says of them is not
/// merged: the caller compares uid and resourceVersion with the live object before.
const SERVER_OWNED: &[&str] = &[
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Brings `metadata.managedFields` of `new` up to date after a create, an update or a patch other
/// than apply: the writer owns now what it changed, and nobody what is gone.
///
/// `live` is the object before, `None` on create. The caller has set back what this path must not
/// change, such as the status on the main path. An object whose managed fields were cleared stays
/// without them until somebody applies, as with kube-apiserver.
pub fn record_update(live: Option<&Value>, new: &mut Value, schema: &Schema, writer: &Writer<'_>) {
    let sent = take_managed_fields(new);
    let kept = live.and_then(|live| live.get("metadata")?.get("managedFields"));
    let (changed, removed) = owned_changes(live, new, schema);

    // A client that edits managed fields may do so on the main path. One that knows nothing of
    // them, or breaks them, does not lose them for others.
    // An empty list says nothing.
    let empty = |sent: &Value| sent.as_array().is_some_and(Vec::is_empty);
    let sent = sent.filter(|sent| writer.subresource.is_empty() && !empty(sent));
    let cleared = sent.as_ref().is_some_and(managers::is_reset);
    if changed.is_empty()
        && removed.is_empty()
        && let Some(kept) = kept
        && sent.as_ref().is_none_or(|sent| sent == kept)
    {
        set_managed_fields(new, kept.clone());
        return;
    }
    let mut entries = match (cleared, sent.map(managers::decode)) {
        (true, _) => Vec::new(),
        (false, Some(Ok(entries))) if !entries.is_empty() => entries,
        _ => kept.cloned().map(managers::decode).and_then(Result::ok).unwrap_or_default(),
    };
    if entries.is_empty() && live.is_some() {
        return;
    }

    for entry in &mut entries {
        entry.fields.subtract(&changed);
        entry.fields.subtract(&removed);
    }
    if !changed.is_empty() {
        managers::add(&mut entries, Entry::new(writer, Operation::Update, changed));
    }
    managers::cap(&mut entries);
    set_managed_fields(new, managers::encode(entries));
}

/// Server-side apply: `live` with what `config` wants, without what this manager wanted before and
/// wants no longer, and with managed fields to match. `force` takes fields from others.
///
/// `live` is `None` on create. The caller has taken out of `config` what this path must not set,
/// such as the status on the main path, and has compared name, uid and resourceVersion. A result
/// that says nothing new is equal to `live`, times included.
///
/// # Errors
/// 400 if `config` has managed fields or another version; 409 with a cause for each field that
/// others own with another value; 500 without a reason, as with kube-apiserver, if `config` is not
/// what the schema says.
pub fn apply(
    live: Option<&Value>,
    config: &Value,
    schema: &Schema,
    writer: &Writer<'_>,
    force: bool,
) -> ApiResult<Value> {
    let config = checked_config(config, schema, writer)?;
    let type_ = Type::resource(schema);
    let mut old = live.cloned().unwrap_or_else(|| json!({}));
    let mut entries = take_managed_fields(&mut old)
        .and_then(|fields| managers::decode(fields).ok())
        .unwrap_or_default();
    if entries.is_empty() && live.is_some() {
        // What is there belongs to somebody, although nobody knows to whom.
        let (all, _) = owned_changes(None, &old, schema);
        let writer = Writer { manager: "before-first-apply", ..*writer };
        managers::add(&mut entries, Entry::new(&writer, Operation::Update, all));
    }

    let wanted = type_.fields(&config);
    let mine = Entry::new(writer, Operation::Apply, own_only(wanted.clone()));
    let place = entries.iter().position(|entry| entry.is_same_manager(&mine));
    let before = place.map(|place| entries.remove(place).fields);
    let mut new = type_.merge(&old, &config);
    if let Some(before) = before.filter(|before| !before.is_empty()) {
        let managed = entries.iter().fold(wanted, |all, entry| all.union(&entry.fields));
        new = prune(type_, &new, &before, &managed);
    }

    let (changed, removed) = owned_changes(Some(&old), &new, schema);
    if !force {
        refuse_conflicts(&entries, &changed.difference(&applied_by_client(&old, type_, writer)))?;
    }
    for entry in &mut entries {
        entry.fields.subtract(&changed);
        entry.fields.subtract(&removed);
    }
    entries.push(mine);
    note_applied(&mut new, &config, writer);
    set_managed_fields(&mut new, managers::encode(entries));
    Ok(match live {
        Some(live) if unchanged(live, &new) => live.clone(),
        _ => new,
    })
}

/// Whether two objects are equal but for the times in their managed fields. An update that leaves
/// the object so is none: no new revision, no event (kube-apiserver,
/// `IgnoreManagedFieldsTimestampsTransformer`).
pub fn unchanged(a: &Value, b: &Value) -> bool {
    let entry = |a: &Value, b: &Value| equal_but(a, b, "time", |_, _| true);
    let entries = |a: Option<&Value>, b: Option<&Value>| match (a, b) {
        (Some(Value::Array(a)), Some(Value::Array(b))) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| entry(a, b))
        }
        (a, b) => a == b,
    };
    equal_but(a, b, "metadata", |a, b| match (a, b) {
        (Some(a), Some(b)) => equal_but(a, b, "managedFields", entries),
        (a, b) => a == b,
    })
}

/// Whether two objects are equal, their field `name` judged by `judge`.
fn equal_but(
    a: &Value,
    b: &Value,
    name: &str,
    judge: impl Fn(Option<&Value>, Option<&Value>) -> bool,
) -> bool {
    let (Value::Object(x), Value::Object(y)) = (a, b) else { return a == b };
    let rest = |map: &'_ Map<String, Value>| map.len() - usize::from(map.contains_key(name));
    rest(x) == rest(y)
        && x.iter().all(|(key, value)| key == name || y.get(key) == Some(value))
        && judge(x.get(name), y.get(name))
}

/// What the server may merge of an applied object.
fn checked_config(config: &Value, schema: &Schema, writer: &Writer<'_>) -> ApiResult<Value> {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let version = text(config.get("apiVersion"));
    if version != writer.api_version {
        let expected = writer.api_version;
        let message = format!(
            "Incorrect version specified in apply patch. \
             Specified patch version: {version}, expected: {expected}"
        );
        return Err(ApiError::bad_request(message));
    }
    let metadata = config.get("metadata").unwrap_or(&Value::Null);
    if metadata.get("managedFields").is_some_and(|fields| !fields.is_null()) {
        return Err(ApiError::bad_request("metadata.managedFields must be nil"));
    }
    Type::resource(schema).check(config).map_err(|why| {
        let (namespace, name) = (text(metadata.get("namespace")), text(metadata.get("name")));
        let kind = text(config.get("kind"));
        let what = format!("{namespace}/{name}; {version}, Kind={kind}");
        ApiError::new(500, "", format!("failed to create typed patch object ({what}): {why}"))
    })?;
    let mut config = config.clone();
    if let Some(metadata) = config.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|name, _| !SERVER_OWNED.contains(&name.as_str()));
    }
    Ok(config)
}

/// Where kubectl writes down what it applied itself.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What kubectl applied itself before it let the server do it, as it wrote down in an annotation:
/// taking that over is no conflict (kube-apiserver, `lastAppliedManager`).
fn applied_by_client(old: &Value, type_: Type<'_>, writer: &Writer<'_>) -> Set {
    let noted =
        old.get("metadata").and_then(|m| m.get("annotations")).and_then(|a| a.get(LAST_APPLIED));
    let noted = noted.and_then(Value::as_str).filter(|_| writer.manager == "kubectl");
    let Some(applied) = noted.and_then(|text| serde_json::from_str::<Value>(text).ok()) else {
        return Set::default();
    };
    // What somebody else has changed since is theirs.
    let differs = type_.compare(Some(old), Some(&type_.merge(old, &applied))).changed;
    type_.fields(&applied).difference(&differs)
}

/// Keeps the annotation true after kubectl let the server apply: who goes back to applying on the
/// client's side begins from here (kube-apiserver, `lastAppliedUpdater`).
fn note_applied(new: &mut Value, config: &Value, writer: &Writer<'_>) {
    let mut config = config.clone();
    if let Some(annotations) =
        config.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut)
    {
        annotations.remove(LAST_APPLIED);
    }
    let noted = new.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut);
    if let Some(noted) = noted.and_then(|noted| noted.get_mut(LAST_APPLIED))
        && writer.manager == "kubectl"
    {
        *noted = format!("{config}\n").into();
    }
}

/// Takes out what this manager wanted `before`, unless it is `managed` by anybody now. What stands
/// inside and belongs to nobody goes too; what belongs to others keeps alive what is around it.
fn prune(type_: Type<'_>, merged: &Value, before: &Set, managed: &Set) -> Value {
    let remove =
        |gone: &Set| type_.remove(merged.clone(), gone, Some(managed)).unwrap_or_else(|| json!({}));
    let left_after = |gone: &Set| type_.named(&type_.fields(&remove(gone)));
    let all = type_.named(&type_.fields(merged));
    let before = type_.named(before);
    let left = left_after(&before).union(&type_.named(managed));
    let left = left_after(&all.difference(&left));
    remove(&own_only(all.difference(&left).intersection(&before)))
}

/// What of the difference between two objects counts for ownership: changed and removed fields.
fn owned_changes(old: Option<&Value>, new: &Value, schema: &Schema) -> (Set, Set) {
    let Comparison { changed, removed } = Type::resource(schema).compare(old, Some(new));
    (own_only(changed), own_only(removed))
}

/// Nobody owns what says which object it is (kube-apiserver, `stripMetaManager`), nor what only the
/// server sets.
fn own_only(mut set: Set) -> Set {
    set.here = false;
    set.children.remove("f:apiVersion");
    set.children.remove("f:kind");
    if let Some(mut metadata) = set.children.remove("f:metadata") {
        metadata.here = false;
        metadata.children.retain(|element, _| {
            element.as_field().is_none_or(|name| {
                name != "name" && name != "namespace" && !SERVER_OWNED.contains(&name)
            })
        });
        set.put(Element::field("metadata"), metadata);
    }
    set
}

fn refuse_conflicts(entries: &[Entry], changed: &Set) -> ApiResult<()> {
    let mut causes = Vec::new();
    let mut groups = Vec::new();
    let mut sorted: Vec<&Entry> = entries.iter().collect();
    sorted.sort_by_key(|entry| (&entry.manager, entry.operation, &entry.subresource));
    for entry in sorted {
        let paths = entry.fields.intersection(changed).paths();
        if paths.is_empty() {
            continue;
        }
        groups.push(format!("conflicts with {entry}:\n- {}", paths.join("\n- ")));
        let cause =
            |path| Cause::new("FieldManagerConflict", path, format!("conflict with {entry}"));
        causes.extend(paths.into_iter().map(cause));
    }
    let message = match causes.as_slice() {
        [] => return Ok(()),
        [one] => format!("Apply failed with 1 conflict: {}: {}", one.message, one.field),
        more => format!("Apply failed with {} conflicts: {}", more.len(), groups.join("\n")),
    };
    let mut error = ApiError::new(409, "Conflict", message);
    error.details.causes = causes;
    Err(error)
}

fn take_managed_fields(object: &mut Value) -> Option<Value> {
    object.get_mut("metadata")?.as_object_mut()?.remove("managedFields").filter(|f| !f.is_null())
}

fn set_managed_fields(object: &mut Value, fields: Value) {
    let empty = fields.as_array().is_some_and(Vec::is_empty);
    let Some(object) = object.as_object_mut().filter(|_| !empty) else { return };
    let metadata = object.entry("metadata").or_insert_with(|| json!({}));
    if let Some(metadata) = metadata.as_object_mut() {
        metadata.insert("managedFields".to_owned(), fields);
    }
}
