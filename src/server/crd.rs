//! `CustomResourceDefinition`s (`apiextensions.k8s.io/v1`): what may be written, what the server
//! fills in, and the kinds that they define.
//!
//! The stored object stays the client's JSON; the typed form is only for reading.

mod names;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::Arc;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceColumnDefinition, CustomResourceDefinition as Crd,
    CustomResourceDefinitionVersion as Version,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

pub use self::names::{establish, established, set_condition};
use super::kind::{Column, Kind, STORED};
use super::schema::{Schema, dns_label, dns_name, property_at, structural};
use super::status::{ApiError, ApiResult, Cause};

/// Selectable fields that a version may have, as in Kubernetes.
const MAX_SELECTABLE: usize = 8;

/// Fills in what a client may leave out: `singular`, `listKind` and the conversion strategy.
pub fn default(crd: &mut Value) {
    let Some(Value::Object(spec)) = crd.get_mut("spec") else { return };
    if let Some(Value::Object(names)) = spec.get_mut("names")
        && let Some(kind) = names.get("kind").and_then(Value::as_str).map(str::to_owned)
    {
        fill(names, "singular", &kind.to_lowercase());
        fill(names, "listKind", &format!("{kind}List"));
    }
    let conversion = spec.entry("conversion").or_insert(Value::Null);
    if conversion.is_null() {
        *conversion = json!({});
    }
    if let Value::Object(conversion) = conversion {
        fill(conversion, "strategy", "None");
    }
}

fn fill(map: &mut Map<String, Value>, name: &str, value: &str) {
    if map.get(name).is_none_or(|v| v.is_null() || v == "") {
        map.insert(name.to_owned(), value.into());
    }
}

/// All that is wrong with a CRD (with its defaults filled in) that is created.
pub fn check(crd: &Value) -> Vec<Cause> {
    let typed = match typed(crd) {
        Ok(typed) => typed,
        Err(error) => {
            let message = format!("Invalid value: \"object\": {error}");
            return vec![Cause::new("FieldValueTypeInvalid", "spec", message)];
        }
    };
    let mut out = Vec::new();
    names(&typed, &mut out);
    versions(&typed, crd, &mut out);
    if typed.spec.preserve_unknown_fields == Some(true) {
        out.push(invalid("spec.preserveUnknownFields", &true.into(), "must be false"));
    }
    match typed.spec.conversion.as_ref().map(|c| c.strategy.as_str()) {
        None | Some("None") => {}
        Some("Webhook") => {
            let why = "this server calls no conversion webhooks";
            out.push(invalid("spec.conversion.strategy", &"Webhook".into(), why));
        }
        Some("") => out.push(Cause::required("spec.conversion.strategy", "")),
        Some(other) => {
            out.push(unsupported("spec.conversion.strategy", other, &["None", "Webhook"]));
        }
    }
    out
}

/// All that is wrong with a CRD that replaces `old`: besides [`check`], scope and kind are fixed once
/// it is established, and versions that objects are stored in must stay.
pub fn check_update(new: &Value, old: &Value) -> Vec<Cause> {
    let mut out = check(new);
    for (pointer, field) in [
        ("/spec/group", "spec.group"),
        ("/spec/names/plural", "spec.names.plural"),
        ("/spec/scope", "spec.scope"),
        ("/spec/names/kind", "spec.names.kind"),
    ] {
        let value = new.pointer(pointer).unwrap_or(&Value::Null);
        if established(old) && Some(value) != old.pointer(pointer) {
            out.push(invalid(field, value, "field is immutable"));
        }
    }
    let list = |crd: &Value, at: &str| crd.pointer(at).and_then(Value::as_array).cloned();
    let versions = list(new, "/spec/versions").unwrap_or_default();
    let stored = list(old, "/status/storedVersions").unwrap_or_default();
    for (i, version) in stored.iter().enumerate() {
        if !versions.iter().any(|v| v.get("name") == Some(version)) {
            let why = "must appear in spec.versions";
            out.push(invalid(format!("status.storedVersions[{i}]"), version, why));
        }
    }
    out
}

/// The typed form without the schemas: those have a form and a check of their own.
fn typed(crd: &Value) -> Result<Crd, serde_json::Error> {
    let mut bare = crd.clone();
    if let Some(Value::Array(versions)) = bare.pointer_mut("/spec/versions") {
        for version in versions {
            version.as_object_mut().and_then(|v| v.remove("schema"));
        }
    }
    Crd::deserialize(bare)
}

fn invalid(field: impl Into<String>, value: &Value, why: &str) -> Cause {
    Cause::invalid(field, value, why)
}

fn unsupported(field: impl Into<String>, value: &str, supported: &[&str]) -> Cause {
    let list: Vec<String> = supported.iter().map(|s| format!("{s:?}")).collect();
    let message = format!("Unsupported value: {value:?}: supported values: {}", list.join(", "));
    Cause::new("FieldValueNotSupported", field, message)
}

/// A DNS label that begins with a letter (RFC 1035).
fn label(text: &str) -> bool {
    dns_label(text) && text.starts_with(|c: char| c.is_ascii_lowercase())
}

fn names(crd: &Crd, out: &mut Vec<Cause>) {
    let (spec, names) = (&crd.spec, &crd.spec.names);
    let wanted = format!("{}.{}", names.plural, spec.group);
    let name = crd.metadata.name.as_deref().unwrap_or_default();
    if name != wanted {
        let why = "must be spec.names.plural+\".\"+spec.group";
        out.push(invalid("metadata.name", &name.into(), why));
    }
    if spec.group.is_empty() {
        out.push(Cause::required("spec.group", ""));
    } else if !dns_name(&spec.group) || !spec.group.contains('.') {
        let why = "should be a domain with at least one dot";
        out.push(invalid("spec.group", &spec.group.as_str().into(), why));
    }
    // Names of the Kubernetes project are not for everybody's CRDs.
    let project = |domain: &str| {
        spec.group == domain || spec.group.strip_suffix(domain).is_some_and(|g| g.ends_with('.'))
    };
    let approval = "api-approved.kubernetes.io";
    let approved = crd.metadata.annotations.as_ref().and_then(|a| a.get(approval));
    if (project("k8s.io") || project("kubernetes.io")) && approved.is_none_or(String::is_empty) {
        let why = "protected groups must have an approval annotation";
        out.push(Cause::required(format!("metadata.annotations[{approval}]"), why));
    }
    match spec.scope.as_str() {
        "Cluster" | "Namespaced" => {}
        "" => out.push(Cause::required("spec.scope", "")),
        other => out.push(unsupported("spec.scope", other, &["Cluster", "Namespaced"])),
    }
    let list_kind = names.list_kind.as_deref().unwrap_or_default();
    let mut one = |field: &str, text: &str, is_kind: bool| {
        let fits = if is_kind { label(&text.to_lowercase()) } else { label(text) };
        let field = format!("spec.names.{field}");
        if text.is_empty() {
            out.push(Cause::required(field, ""));
        } else if !fits {
            let why = "must be at most 63 letters, digits and '-', and begin with a letter";
            out.push(invalid(field, &text.into(), why));
        }
    };
    one("plural", &names.plural, false);
    one("kind", &names.kind, true);
    one("singular", names.singular.as_deref().unwrap_or_default(), false);
    one("listKind", list_kind, true);
    for (field, list) in [("shortNames", &names.short_names), ("categories", &names.categories)] {
        for (i, text) in list.iter().flatten().enumerate() {
            one(&format!("{field}[{i}]"), text, false);
        }
    }
    if !list_kind.is_empty() && list_kind == names.kind {
        let why = "kind and listKind may not be the same";
        out.push(invalid("spec.names.listKind", &list_kind.into(), why));
    }
}

fn versions(crd: &Crd, raw: &Value, out: &mut Vec<Cause>) {
    let versions = &crd.spec.versions;
    let field = "spec.versions";
    if versions.is_empty() {
        out.push(Cause::required(field, "must have at least one version"));
        return;
    }
    let mut seen = HashSet::new();
    for (i, version) in versions.iter().enumerate() {
        let name = version.name.as_str();
        let at = format!("{field}[{i}].name");
        if !label(name) {
            out.push(invalid(at, &name.into(), "must be a DNS label that begins with a letter"));
        } else if !seen.insert(name) {
            out.push(invalid(at, &name.into(), "must contain unique version names"));
        }
    }
    if versions.iter().filter(|v| v.storage).count() != 1 {
        let why = "must have exactly one version marked as storage version";
        out.push(invalid(field, &versions.len().into(), why));
    }
    if !versions.iter().any(|v| v.served) {
        out.push(invalid(field, &versions.len().into(), "must have at least one version served"));
    }
    let schemas: Vec<Option<&Value>> = (0..versions.len()).map(|i| schema_of(raw, i)).collect();
    // A schema that all versions share is checked once, by the name that it has inside
    // kube-apiserver.
    let shared = schemas.windows(2).all(|w| matches!(w, [a, b] if a == b));
    for (i, (version, schema)) in versions.iter().zip(&schemas).enumerate() {
        let at = format!("{field}[{i}]");
        let schema = match schema {
            None => {
                let why = "schemas are required";
                out.push(Cause::required(format!("{at}.schema.openAPIV3Schema"), why));
                None
            }
            Some(raw) => {
                let path = if shared {
                    "spec.validation.openAPIV3Schema".to_owned()
                } else {
                    format!("{at}.schema.openAPIV3Schema")
                };
                match structural::read(raw, &path) {
                    Ok(schema) => Some(schema),
                    Err(causes) => {
                        // Said already by the first version, if they share it.
                        out.extend(causes.into_iter().filter(|_| !shared || i == 0));
                        None
                    }
                }
            }
        };
        columns(version, &at, out);
        scale(version, &at, out);
        selectable(version, schema.as_ref(), &at, out);
    }
}

fn schema_of(crd: &Value, version: usize) -> Option<&Value> {
    let schema = crd.pointer(&format!("/spec/versions/{version}/schema/openAPIV3Schema"))?;
    (!schema.is_null()).then_some(schema)
}

fn columns(version: &Version, at: &str, out: &mut Vec<Cause>) {
    const TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
    const FORMATS: [&str; 8] =
        ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
    for (i, column) in version.additional_printer_columns.iter().flatten().enumerate() {
        let field = |name: &str| format!("{at}.additionalPrinterColumns[{i}].{name}");
        if column.name.is_empty() {
            out.push(Cause::required(field("name"), ""));
        }
        match column.type_.as_str() {
            "" => out.push(Cause::required(field("type"), "")),
            other if !TYPES.contains(&other) => out.push(unsupported(field("type"), other, &TYPES)),
            _ => {}
        }
        if let Some(format) = column.format.as_deref().filter(|f| !f.is_empty())
            && !FORMATS.contains(&format)
        {
            out.push(unsupported(field("format"), format, &FORMATS));
        }
        path(&column.json_path, field("jsonPath"), out);
    }
}

/// A JSON path is there and begins as one must.
fn path(text: &str, field: String, out: &mut Vec<Cause>) {
    if text.is_empty() {
        out.push(Cause::required(field, ""));
    } else if !text.starts_with('.') && !text.starts_with('[') {
        out.push(invalid(field, &text.into(), "must be a json path that begins with ."));
    }
}

fn scale(version: &Version, at: &str, out: &mut Vec<Cause>) {
    let Some(scale) = version.subresources.as_ref().and_then(|s| s.scale.as_ref()) else { return };
    for (name, text, parent) in [
        ("specReplicasPath", &scale.spec_replicas_path, ".spec."),
        ("statusReplicasPath", &scale.status_replicas_path, ".status."),
    ] {
        let field = format!("{at}.subresources.scale.{name}");
        if text.is_empty() {
            out.push(Cause::required(field, ""));
        } else if !text.starts_with(parent) || text.contains('[') {
            let why = format!("should be a json path under {parent}");
            out.push(invalid(field, &text.as_str().into(), &why));
        }
    }
}

fn selectable(version: &Version, schema: Option<&Schema>, at: &str, out: &mut Vec<Cause>) {
    let fields: Vec<&str> =
        version.selectable_fields.iter().flatten().map(|f| f.json_path.as_str()).collect();
    if fields.len() > MAX_SELECTABLE {
        let message =
            format!("Too many: {}: must have at most {MAX_SELECTABLE} items", fields.len());
        out.push(Cause::new("FieldValueTooMany", format!("{at}.selectableFields"), message));
    }
    for (i, text) in fields.iter().enumerate() {
        let field = format!("{at}.selectableFields[{i}].jsonPath");
        let value = Value::from(*text);
        if text.is_empty() {
            out.push(Cause::required(field, ""));
            continue;
        }
        if fields.iter().take(i).any(|f| f == text) {
            let message = format!("Duplicate value: {value}");
            out.push(Cause::new("FieldValueDuplicate", &field, message));
        }
        if text.starts_with(".metadata.") {
            out.push(invalid(field, &value, "must not point to fields in metadata"));
        } else if let Some(schema) = schema {
            let leaf = property_at(schema, text).map(|s| s.type_.as_str());
            match leaf {
                Some("string" | "integer" | "boolean") => {}
                Some(_) => {
                    let why = "must point to a field of type string, boolean or integer";
                    out.push(invalid(field, &value, why));
                }
                None => {
                    let why = "is an invalid path: it names no field of the schema";
                    out.push(invalid(field, &value, why));
                }
            }
        }
    }
}

/// The kinds that a CRD defines: one for each served version, the preferred version first.
///
/// # Errors
///
/// 500 if the stored CRD is none, or its schema cannot be read: it did not pass [`check`].
pub fn kinds(crd: &Value) -> ApiResult<Vec<Kind>> {
    let broken = |why: String| ApiError::internal(format!("stored CRD cannot be used: {why}"));
    let typed = typed(crd).map_err(|e| broken(e.to_string()))?;
    let names = &typed.spec.names;
    let mut kinds = Vec::new();
    for (i, version) in typed.spec.versions.iter().enumerate().filter(|(_, v)| v.served) {
        let raw = schema_of(crd, i).ok_or_else(|| broken("no schema".to_owned()))?;
        let schema = Schema::deserialize(raw).map_err(|e| broken(e.to_string()))?;
        let selectable = version.selectable_fields.iter().flatten();
        kinds.push(Kind {
            group: typed.spec.group.clone(),
            version: version.name.clone(),
            kind: names.kind.clone(),
            list_kind: names.list_kind.clone().unwrap_or_else(|| format!("{}List", names.kind)),
            plural: names.plural.clone(),
            singular: names.singular.clone().unwrap_or_else(|| names.kind.to_lowercase()),
            short_names: names.short_names.clone().unwrap_or_default(),
            categories: names.categories.clone().unwrap_or_default(),
            namespaced: typed.spec.scope == "Namespaced",
            verbs: STORED,
            subresources: subresources(version),
            schema: Arc::new(schema),
            columns: table(version),
            selectable: selectable
                .map(|f| f.json_path.strip_prefix('.').unwrap_or(&f.json_path).to_owned())
                .collect(),
            custom: true,
            deprecated: false,
            warning: (version.deprecated == Some(true)).then(|| {
                version.deprecation_warning.clone().unwrap_or_else(|| {
                    format!("{}/{} {} is deprecated", typed.spec.group, version.name, names.kind)
                })
            }),
        });
    }
    kinds.sort_by_cached_key(|k| Reverse(priority(&k.version)));
    for kind in kinds.iter_mut().skip(1) {
        kind.deprecated = true;
    }
    Ok(kinds)
}

fn subresources(version: &Version) -> Vec<String> {
    let Some(declared) = &version.subresources else { return Vec::new() };
    // Scale is not served: nothing here has replicas.
    declared.status.iter().map(|_| "status".to_owned()).collect()
}

fn table(version: &Version) -> Vec<Column> {
    let declared = version.additional_printer_columns.as_deref().unwrap_or_default();
    if declared.is_empty() {
        return vec![Column {
            name: "Age".to_owned(),
            type_: "date".to_owned(),
            json_path: ".metadata.creationTimestamp".to_owned(),
            ..Column::default()
        }];
    }
    let column = |c: &CustomResourceColumnDefinition| Column {
        name: c.name.clone(),
        type_: c.type_.clone(),
        format: c.format.clone().unwrap_or_default(),
        description: c.description.clone().unwrap_or_default(),
        priority: i64::from(c.priority.unwrap_or_default()),
        json_path: c.json_path.clone(),
    };
    declared.iter().map(column).collect()
}

/// Order of versions: `v2`, `v1`, `v1beta2`, `v1alpha1`, then all others by the alphabet
/// (apimachinery `pkg/version/helpers.go`).
fn priority(version: &str) -> (u8, u64, u64, Reverse<String>) {
    let parsed = || {
        let rest = version.strip_prefix('v')?;
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (major, rest) = rest.split_at(end);
        let major = major.parse().ok()?;
        if rest.is_empty() {
            return Some((3, major, 0));
        }
        let (stage, minor) = match (rest.strip_prefix("beta"), rest.strip_prefix("alpha")) {
            (Some(minor), _) => (2, minor),
            (_, Some(minor)) => (1, minor),
            _ => return None,
        };
        Some((stage, major, minor.parse().ok()?))
    };
    match parsed() {
        Some((stage, major, minor)) => (stage, major, minor, Reverse(String::new())),
        None => (0, 0, 0, Reverse(version.to_owned())),
    }
}
