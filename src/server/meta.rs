//! Object metadata: read leniently, checked strictly, filled in by the server.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::kind::Kind;
use super::status::{ApiError, ApiResult, Cause};

/// Fields of `ObjectMeta`. Others are unknown.
const FIELDS: [&str; 15] = [
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Fields that the server sets and nobody changes.
const SERVER_OWNED: [&str; 5] = [
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "selfLink",
];

/// All annotations of an object together, at most.
const ANNOTATION_BYTES: usize = 256 << 10;

/// A field of `metadata` that is a string; empty if it is not there.
pub fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object.get("metadata").and_then(|m| m.get(field)).and_then(Value::as_str).unwrap_or_default()
}

/// The finalizers.
pub fn finalizers(object: &Value) -> Vec<&str> {
    let list = object.get("metadata").and_then(|m| m.get("finalizers")).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Whether the object waits for its finalizers to be gone.
pub fn deleting(object: &Value) -> bool {
    !text(object, "deletionTimestamp").is_empty()
}

/// The metadata to change; an object without gets an empty one.
pub fn of(object: &mut Value) -> &mut Map<String, Value> {
    if !object.is_object() {
        *object = json!({});
    }
    if !object.get("metadata").is_some_and(Value::is_object) {
        object["metadata"] = json!({});
    }
    match object.get_mut("metadata") {
        Some(Value::Object(metadata)) => metadata,
        // It was put there two lines above.
        _ => unreachable!("metadata is an object"),
    }
}

/// Sets a field of `metadata`.
pub fn set(object: &mut Value, field: &str, value: impl Into<Value>) {
    of(object).insert(field.to_owned(), value.into());
}

/// Seconds since the epoch as the API writes times.
pub fn time(now: Timestamp) -> String {
    now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The same with microseconds.
pub fn micro_time(now: Timestamp) -> String {
    now.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// Drops what is unknown or null in `metadata` and checks the types of the rest. Returns the paths of
/// what was unknown.
///
/// # Errors
/// 400: a field has the wrong type.
pub fn read(object: &mut Value) -> ApiResult<Vec<String>> {
    match object.get("metadata") {
        None | Some(Value::Null | Value::Object(_)) => {}
        Some(_) => return Err(ApiError::bad_request("metadata: it must be an object")),
    }
    let metadata = of(object);
    metadata.retain(|_, value| !value.is_null());
    let unknown: Vec<String> = metadata
        .keys()
        .filter(|key| !FIELDS.contains(&key.as_str()))
        .map(|key| format!("metadata.{key}"))
        .collect();
    metadata.retain(|key, _| FIELDS.contains(&key.as_str()));
    for (field, value) in metadata.iter_mut() {
        let fits = match field.as_str() {
            "labels" | "annotations" => strings(value),
            "finalizers" => value.as_array().is_some_and(|l| l.iter().all(Value::is_string)),
            "ownerReferences" => value.as_array().is_some_and(|l| l.iter().all(owner)),
            "managedFields" => value.as_array().is_some_and(|l| l.iter().all(Value::is_object)),
            "generation" | "deletionGracePeriodSeconds" => value.is_i64(),
            "creationTimestamp" | "deletionTimestamp" => {
                value.as_str().is_some_and(|t| t.parse::<Timestamp>().is_ok())
            }
            _ => value.is_string(),
        };
        if !fits {
            return Err(ApiError::bad_request(format!("metadata.{field}: it has the wrong type")));
        }
    }
    for field in ["labels", "annotations", "finalizers", "ownerReferences"] {
        let empty = |v: &Value| {
            v.as_object().is_some_and(Map::is_empty) || v.as_array().is_some_and(Vec::is_empty)
        };
        if metadata.get(field).is_some_and(empty) {
            metadata.remove(field);
        }
    }
    Ok(unknown)
}

/// A map of strings; null values count as empty ones.
fn strings(value: &mut Value) -> bool {
    let Some(map) = value.as_object_mut() else { return false };
    for value in map.values_mut().filter(|v| v.is_null()) {
        *value = "".into();
    }
    map.values().all(Value::is_string)
}

fn owner(reference: &Value) -> bool {
    let word = |field| reference.get(field).is_some_and(|v: &Value| v.is_string());
    let flag = |field| reference.get(field).is_none_or(|v: &Value| v.is_boolean());
    ["apiVersion", "kind", "name", "uid"].into_iter().all(word)
        && ["controller", "blockOwnerDeletion"].into_iter().all(flag)
}

/// What is wrong with the metadata of a new or changed object.
pub fn check(kind: &Kind, object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let name = text(object, "name");
    if name.is_empty() {
        causes.push(Cause::required("metadata.name", "name or generateName is required"));
    } else if let Err(why) = name_fits(kind, name) {
        causes.push(Cause::invalid("metadata.name", &name.into(), why));
    }
    let Some(metadata) = object.get("metadata") else { return causes };
    for (key, value) in metadata.get("labels").and_then(Value::as_object).into_iter().flatten() {
        if !is_qualified(key) {
            causes.push(Cause::invalid("metadata.labels", &key.as_str().into(), "a label's key is [prefix/]name; the name has at most 63 characters, letters, digits, '-', '_' or '.', and begins and ends with a letter or digit"));
        }
        if !value.as_str().is_some_and(is_label_value) {
            causes.push(Cause::invalid("metadata.labels", value, "a label's value has at most 63 characters, letters, digits, '-', '_' or '.', and begins and ends with a letter or digit"));
        }
    }
    let mut bytes = 0;
    for (key, value) in metadata.get("annotations").and_then(Value::as_object).into_iter().flatten()
    {
        bytes += key.len() + value.as_str().map_or(0, str::len);
        if !is_qualified(&key.to_lowercase()) {
            causes.push(Cause::invalid(
                "metadata.annotations",
                &key.as_str().into(),
                "an annotation's key is [prefix/]name, with a name like that of a label",
            ));
        }
    }
    if bytes > ANNOTATION_BYTES {
        causes.push(Cause::new(
            "FieldValueTooLong",
            "metadata.annotations",
            format!("Too long: may not be more than {ANNOTATION_BYTES} bytes"),
        ));
    }
    for (at, finalizer) in finalizers(object).iter().enumerate() {
        let known = ["orphan", "foregroundDeletion"].contains(finalizer);
        if !known && !is_qualified(finalizer) {
            causes.push(Cause::invalid(
                format!("metadata.finalizers[{at}]"),
                &(*finalizer).into(),
                "a finalizer has a qualified name such as example.com/clean-up",
            ));
        }
    }
    let owners = metadata.get("ownerReferences").and_then(Value::as_array);
    let owners: Vec<&Value> = owners.into_iter().flatten().collect();
    if owners.iter().filter(|o| o.get("controller") == Some(&Value::Bool(true))).count() > 1 {
        causes.push(Cause::invalid(
            "metadata.ownerReferences",
            &Value::Null,
            "only one reference can have controller set to true",
        ));
    }
    for (at, owner) in owners.iter().enumerate() {
        for field in ["apiVersion", "kind", "name", "uid"] {
            if owner.get(field).and_then(Value::as_str).is_none_or(str::is_empty) {
                causes.push(Cause::invalid(
                    format!("metadata.ownerReferences[{at}].{field}"),
                    &"".into(),
                    "must not be empty",
                ));
            }
        }
    }
    causes
}

/// Whether a name can be one of this kind.
fn name_fits(kind: &Kind, name: &str) -> Result<(), &'static str> {
    let group = if kind.custom { "custom" } else { &kind.group };
    match (group, kind.plural.as_str()) {
        ("", "namespaces") if !is_label_name(name) => Err(
            "a lowercase RFC 1123 label has at most 63 characters, lower case letters, digits or '-', and begins and ends with a letter or digit",
        ),
        ("certificates.k8s.io", _)
            if [".", ".."].contains(&name) || name.contains(['/', '%']) || name.len() > 253 =>
        {
            Err("must be one part of a path: not '.' or '..', no '/' or '%'")
        }
        ("certificates.k8s.io", _) | ("", "namespaces") => Ok(()),
        _ if !is_subdomain(name) => Err(
            "a lowercase RFC 1123 subdomain has at most 253 characters, lower case letters, digits, '-' or '.', and begins and ends with a letter or digit",
        ),
        _ => Ok(()),
    }
}

fn inner(text: &str, other: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric();
    text.starts_with(word)
        && text.ends_with(word)
        && text.chars().all(|c| word(c) || other.contains(c))
}

fn is_label_name(text: &str) -> bool {
    text.len() <= 63 && inner(text, "-") && !text.contains(|c: char| c.is_ascii_uppercase())
}

/// A lowercase RFC 1123 subdomain.
pub fn is_subdomain(text: &str) -> bool {
    text.len() <= 253
        && text
            .split('.')
            .all(|part| inner(part, "-") && !part.contains(|c: char| c.is_ascii_uppercase()))
}

fn is_qualified(key: &str) -> bool {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    prefix.is_none_or(is_subdomain) && name.len() <= 63 && inner(name, "-_.")
}

fn is_label_value(value: &str) -> bool {
    value.is_empty() || (value.len() <= 63 && inner(value, "-_."))
}

/// Makes the metadata of a new object the server's: uid, time, generation, no revision.
pub fn begin(kind: &Kind, object: &mut Value, now: Timestamp) {
    let counted = kind.custom || kind.plural == "customresourcedefinitions";
    let metadata = of(object);
    for field in SERVER_OWNED {
        metadata.remove(field);
    }
    metadata.insert("uid".to_owned(), uuid::Uuid::new_v4().to_string().into());
    metadata.insert("creationTimestamp".to_owned(), time(now).into());
    if counted {
        metadata.insert("generation".to_owned(), 1.into());
    }
}

/// Characters of generated names, and how many: those that kube-apiserver uses (no vowels, nothing
/// that looks like something else).
const SUFFIX: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Gives the object a name made of its `generateName`; false if it has none or is named already.
pub fn generate_name(object: &mut Value) -> bool {
    let base: String = text(object, "generateName").chars().take(58).collect();
    if base.is_empty() {
        return false;
    }
    let suffix: String = (0..5)
        .filter_map(|_| SUFFIX.get(fastrand::usize(..SUFFIX.len())))
        .map(|byte| char::from(*byte))
        .collect();
    set(object, "name", format!("{base}{suffix}"));
    true
}

/// Lays what nobody may change over the new metadata.
///
/// # Errors
/// 409: it is another object by now, or another version of it. 422: a finalizer was added to an
/// object that is being deleted. 400: name or namespace of another object.
pub fn keep(kind: &Kind, old: &Value, new: &mut Value) -> ApiResult<()> {
    let name = text(old, "name").to_owned();
    for field in ["name", "namespace"] {
        let (had, has) = (text(old, field).to_owned(), text(new, field));
        if !has.is_empty() && has != had {
            return Err(ApiError::bad_request(format!(
                "the {field} of the object ({has}) does not match the {field} on the URL ({had})"
            )));
        }
        if !had.is_empty() {
            set(new, field, had);
        }
    }
    let uid = text(new, "uid");
    if !uid.is_empty() && uid != text(old, "uid") {
        let why = format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            text(old, "uid")
        );
        return Err(ApiError::conflict(&kind.group, &kind.plural, &name, &why));
    }
    let version = text(new, "resourceVersion");
    if !version.is_empty() && version != text(old, "resourceVersion") {
        return Err(ApiError::conflict(
            &kind.group,
            &kind.plural,
            &name,
            "the object has been modified; please apply your changes to the latest version and try again",
        ));
    }
    if deleting(old) {
        let had = finalizers(old);
        let added: Vec<&str> = finalizers(new).into_iter().filter(|f| !had.contains(f)).collect();
        if !added.is_empty() {
            let message = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers {added:?}"
            );
            let cause = Cause::forbidden("metadata.finalizers", message);
            return Err(ApiError::invalid(&kind.group, &kind.kind, &name, vec![cause]));
        }
    }
    let metadata = of(new);
    for field in SERVER_OWNED.into_iter().chain(["uid", "resourceVersion"]) {
        match old.get("metadata").and_then(|m| m.get(field)) {
            Some(value) => metadata.insert(field.to_owned(), value.clone()),
            None => metadata.remove(field),
        };
    }
    Ok(())
}

/// Raises the generation if something changed that counts: of a resource with a status subresource
/// everything but metadata and status, of another everything but metadata.
pub fn count(kind: &Kind, old: &Value, new: &mut Value) {
    let Some(generation) =
        old.get("metadata").and_then(|m| m.get("generation")).and_then(Value::as_i64)
    else {
        return;
    };
    let counts =
        |key: &str| key != "metadata" && (key != "status" || (kind.custom && !kind.has_status()));
    let part = |(key, _): &(&String, &Value)| counts(key);
    let was = old.as_object().into_iter().flatten().filter(part);
    let is = new.as_object().into_iter().flatten().filter(part);
    if !was.eq(is) {
        set(new, "generation", generation + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(plural: &str) -> Kind {
        Kind { plural: plural.to_owned(), custom: true, ..Kind::default() }
    }

    #[test]
    fn names_labels_finalizers_and_owners_are_checked() {
        let object = |metadata: Value| json!({"metadata": metadata});
        let fields = |metadata: Value| -> Vec<String> {
            check(&kind("hosts"), &object(metadata)).into_iter().map(|c| c.field).collect()
        };
        assert_eq!(fields(json!({"name": "a-1.b"})), Vec::<String>::new());
        for name in ["A", "a_b", "-a", "a..b", "a/b", &"a".repeat(254)] {
            assert_eq!(fields(json!({"name": name})), ["metadata.name"], "{name}");
        }
        assert_eq!(fields(json!({})), ["metadata.name"]);
        for labels in [
            json!({"a b": "x"}),
            json!({"a": "x y"}),
            json!({"a/b/c": "x"}),
            json!({"a": "-"}),
            json!({"a": "x".repeat(64)}),
        ] {
            assert_eq!(
                fields(json!({"name": "a", "labels": labels})),
                ["metadata.labels"],
                "{labels}"
            );
        }
        assert_eq!(
            fields(json!({"name": "a", "finalizers": ["bad finalizer"]})),
            ["metadata.finalizers[0]"]
        );
        assert_eq!(
            fields(json!({"name": "a", "finalizers": ["orphan", "x.io/y"]})),
            Vec::<String>::new()
        );
        let owner = json!({"apiVersion": "v1", "kind": "K", "name": "", "uid": "u"});
        assert_eq!(
            fields(json!({"name": "a", "ownerReferences": [owner]})),
            ["metadata.ownerReferences[0].name"]
        );
        assert_eq!(
            fields(json!({"name": "a", "annotations": {"x": "y".repeat(300_000)}})),
            ["metadata.annotations"]
        );
        assert_eq!(
            check(&kind("namespaces"), &object(json!({"name": "a.b"}))).len(),
            0,
            "a custom kind of that plural"
        );
        let namespaces = Kind { group: String::new(), custom: false, ..kind("namespaces") };
        assert_eq!(check(&namespaces, &object(json!({"name": "a.b"}))).len(), 1);
    }

    #[test]
    fn wrong_types_are_refused_and_unknown_fields_named() {
        let mut object = json!({"metadata": {"name": "a", "foo": 1, "labels": {"x": null}, "uid": null, "finalizers": []}});
        assert_eq!(read(&mut object).unwrap(), ["metadata.foo"]);
        assert_eq!(object, json!({"metadata": {"name": "a", "labels": {"x": ""}}}));
        for bad in [
            json!({"labels": ["x"]}),
            json!({"name": 1}),
            json!({"finalizers": [1]}),
            json!({"ownerReferences": [{}]}),
            json!({"labels": {"a": 1}}),
            json!({"creationTimestamp": "x"}),
        ] {
            assert_eq!(read(&mut json!({"metadata": bad})).unwrap_err().code, 400, "{bad}");
        }
        assert_eq!(read(&mut json!({"metadata": 1})).unwrap_err().code, 400);
    }

    #[test]
    fn generated_names_are_cut() {
        let mut object = json!({"metadata": {"generateName": "x".repeat(80)}});
        assert!(generate_name(&mut object));
        assert_eq!(text(&object, "name").len(), 63);
        assert!(!generate_name(&mut json!({"metadata": {"name": "a"}})));
    }
}
