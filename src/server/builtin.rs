//! The kinds that are served without a CRD.
//!
//! Schemas come from the descriptions in `k8s_openapi`; what those leave out (which lists are
//! merged by which key, which objects change as a whole) is added here, as the `OpenAPI` documents
//! of Kubernetes 1.36 have it (`api/openapi-spec/v3`).

use std::sync::{Arc, LazyLock};

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::authorization::v1::{
    SelfSubjectAccessReview, SelfSubjectRulesReview, SubjectAccessReview,
};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Event as OldEvent, Namespace, Secret};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::{JsonSchema, schema_for};
use serde_json::{Value, json};

use super::kind::{Column, Kind, REVIEW, STORED};
use super::schema::Schema;

/// The verbs of a kind that is never deleted all at once (Namespace).
const ONE_BY_ONE: &[&str] = &["create", "delete", "get", "list", "patch", "update", "watch"];

/// The built-in kinds, each group together.
pub fn kinds() -> Vec<Arc<Kind>> {
    KINDS.clone()
}

static KINDS: LazyLock<Vec<Arc<Kind>>> = LazyLock::new(|| {
    let list =
        [core(), events(), authentication(), authorization(), certificates(), leases(), crds()];
    list.into_iter().flatten().map(Arc::new).collect()
});

/// The schema of `metadata`, which every kind has.
pub fn object_meta() -> &'static Schema {
    static META: LazyLock<Schema> = LazyLock::new(|| {
        let mut meta = schema::<ObjectMeta>();
        change(&mut meta, "ownerReferences", |s| keyed(s, "uid"));
        change(&mut meta, "ownerReferences.[]", |s| "atomic".clone_into(&mut s.map_type));
        change(&mut meta, "finalizers", |s| "set".clone_into(&mut s.list_type));
        meta
    });
    &META
}

/// Removes nulls, which Go reads as the absence of a field. For bodies of built-in kinds; a null
/// in a custom resource is a value.
pub fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

fn core() -> Vec<Kind> {
    let mut namespace = kind::<Namespace>("", "Namespace", "namespaces", "ns");
    namespace.namespaced = false;
    namespace.verbs = ONE_BY_ONE;
    namespace.subresources = strings(&["status", "finalize"]);
    namespace.selectable = strings(&["status.phase"]);
    namespace.columns =
        vec![column("Status", "The status of the namespace", ".status.phase"), age()];
    change_schema(&mut namespace, |s| change(s, "status.conditions", |s| keyed(s, "type")));

    let mut config_map = kind::<ConfigMap>("", "ConfigMap", "configmaps", "cm");
    config_map.columns = vec![column("Data", "Number of entries", ""), age()];

    let mut secret = kind::<Secret>("", "Secret", "secrets", "");
    secret.selectable = strings(&["type"]);
    secret.columns = vec![
        column("Type", "Used to facilitate programmatic handling of secret data", ".type"),
        column("Data", "Number of entries", ""),
        age(),
    ];

    let mut event = kind::<OldEvent>("", "Event", "events", "ev");
    event.selectable = references("involvedObject");
    event.selectable.extend(strings(&["reason", "reportingComponent", "source", "type"]));
    event.columns = event_columns();
    for object in ["involvedObject", "related"] {
        change_schema(&mut event, |s| change(s, object, atomic));
    }
    vec![namespace, config_map, secret, event]
}

fn events() -> Vec<Kind> {
    let mut event = kind::<Event>("events.k8s.io", "Event", "events", "ev");
    event.selectable = references("regarding");
    event.selectable.extend(strings(&["reason", "reportingController", "type"]));
    event.columns = event_columns();
    for object in ["regarding", "related"] {
        change_schema(&mut event, |s| change(s, object, atomic));
    }
    vec![event]
}

fn authentication() -> Vec<Kind> {
    vec![review::<SelfSubjectReview>("authentication.k8s.io", "SelfSubjectReview")]
}

fn authorization() -> Vec<Kind> {
    let group = "authorization.k8s.io";
    vec![
        review::<SelfSubjectAccessReview>(group, "SelfSubjectAccessReview"),
        review::<SelfSubjectRulesReview>(group, "SelfSubjectRulesReview"),
        review::<SubjectAccessReview>(group, "SubjectAccessReview"),
    ]
}

fn certificates() -> Vec<Kind> {
    let plural = "certificatesigningrequests";
    let mut request = kind::<CertificateSigningRequest>(
        "certificates.k8s.io",
        "CertificateSigningRequest",
        plural,
        "csr",
    );
    request.namespaced = false;
    request.subresources = strings(&["status", "approval"]);
    request.selectable = strings(&["spec.signerName"]);
    request.columns = vec![
        age(),
        column("SignerName", "The requested signer", ".spec.signerName"),
        column("Requestor", "The user that asked for the certificate", ".spec.username"),
        column("RequestedDuration", "The requested time of validity", ""),
        column("Condition", "What became of the request", ""),
    ];
    change_schema(&mut request, |s| change(s, "status.conditions", |s| keyed(s, "type")));
    vec![request]
}

fn leases() -> Vec<Kind> {
    let mut lease = kind::<Lease>("coordination.k8s.io", "Lease", "leases", "");
    lease.columns = vec![column("Holder", "The current holder", ".spec.holderIdentity"), age()];
    vec![lease]
}

fn crds() -> Vec<Kind> {
    let mut crd = kind::<CustomResourceDefinition>(
        "apiextensions.k8s.io",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        "crd",
    );
    crd.short_names = strings(&["crd", "crds"]);
    crd.categories = strings(&["api-extensions"]);
    crd.namespaced = false;
    crd.subresources = strings(&["status"]);
    crd.columns = vec![Column {
        name: "Created At".into(),
        type_: "date".into(),
        description: "When it was created".into(),
        ..Column::default()
    }];
    change_schema(&mut crd, |s| change(s, "status.conditions", |s| keyed(s, "type")));
    vec![crd]
}

/// A stored kind in version v1 that lives in namespaces.
fn kind<T: JsonSchema>(group: &str, name: &str, plural: &str, short_name: &str) -> Kind {
    let mut schema = schema::<T>();
    // The server looks after it by itself, so its fields are not checked here.
    change(&mut schema, "metadata", |s| {
        *s = Schema {
            type_: "object".into(),
            description: s.description.clone(),
            ..Schema::default()
        };
    });
    schema.required.retain(|field| field != "metadata");
    Kind {
        group: group.to_owned(),
        version: "v1".to_owned(),
        kind: name.to_owned(),
        list_kind: format!("{name}List"),
        plural: plural.to_owned(),
        singular: name.to_lowercase(),
        short_names: if short_name.is_empty() { Vec::new() } else { strings(&[short_name]) },
        categories: Vec::new(),
        namespaced: true,
        verbs: STORED,
        subresources: Vec::new(),
        schema: Arc::new(schema),
        columns: vec![age()],
        selectable: Vec::new(),
        custom: false,
        deprecated: false,
        warning: None,
    }
}

/// A kind that is asked and not stored.
fn review<T: JsonSchema>(group: &str, name: &str) -> Kind {
    let mut review = kind::<T>(group, name, &format!("{}s", name.to_lowercase()), "");
    review.namespaced = false;
    review.verbs = REVIEW;
    // Clients send an empty answer along, and the server does not look at it.
    change_schema(&mut review, |s| change(s, "status", nothing_required));
    review
}

fn nothing_required(schema: &mut Schema) {
    schema.required.clear();
    schema.properties.values_mut().for_each(nothing_required);
    schema.items.iter_mut().for_each(|items| nothing_required(items));
}

fn column(name: &str, description: &str, json_path: &str) -> Column {
    Column {
        name: name.to_owned(),
        type_: "string".to_owned(),
        description: description.to_owned(),
        json_path: json_path.to_owned(),
        ..Column::default()
    }
}

fn age() -> Column {
    column("Age", "Time since it was created", "")
}

/// All columns of an Event, which does not begin with its name; the `table` module fills them.
fn event_columns() -> Vec<Column> {
    let columns = [
        ("Last Seen", 0, "When it happened last"),
        ("Type", 0, "Normal or Warning"),
        ("Reason", 0, "Why it happened, as a word"),
        ("Object", 0, "The object that it is about"),
        ("Subobject", 1, "The part of the object that it is about"),
        ("Source", 1, "Who reports it"),
        ("Message", 0, "What happened, for people"),
        ("First Seen", 1, "When it happened first"),
        ("Count", 1, "How often it happened"),
        ("Name", 1, "Name of the event"),
    ];
    let make = |(name, priority, description)| {
        let format = if name == "Name" { "name".to_owned() } else { String::new() };
        Column { format, priority, ..column(name, description, "") }
    };
    columns.into_iter().map(make).collect()
}

/// The fields of an `ObjectReference` that Events can be selected by.
fn references(field: &str) -> Vec<String> {
    let parts = ["kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"];
    parts.map(|part| format!("{field}.{part}")).to_vec()
}

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|s| (*s).to_owned()).collect()
}

fn change_schema(kind: &mut Kind, how: impl FnOnce(&mut Schema)) {
    how(Arc::make_mut(&mut kind.schema));
}

/// Changes the schema at `path`, where `[]` stands for the elements of an array.
fn change(schema: &mut Schema, path: &str, how: impl FnOnce(&mut Schema)) {
    let found = path.split('.').try_fold(schema, |schema, field| match field {
        "[]" => schema.items.as_deref_mut(),
        field => schema.properties.get_mut(field),
    });
    if let Some(found) = found {
        how(found);
    }
}

fn keyed(schema: &mut Schema, key: &str) {
    "map".clone_into(&mut schema.list_type);
    schema.list_map_keys = strings(&[key]);
}

fn atomic(schema: &mut Schema) {
    "atomic".clone_into(&mut schema.map_type);
}

/// The schema of a type, with what it refers to put in place.
pub(super) fn schema<T: JsonSchema>() -> Schema {
    let whole = schema_for!(T).to_value();
    let inlined = inline(&whole, whole.get("$defs").unwrap_or(&Value::Null));
    serde_json::from_value(inlined).unwrap_or_default()
}

/// Types that contain themselves: any value of them is kept as it is, and what uses them looks.
const OPEN: &[&str] = &[
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps",
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
];

fn inline(schema: &Value, definitions: &Value) -> Value {
    let Value::Object(map) = schema else { return schema.clone() };
    let mut result = serde_json::Map::new();
    if let Some(name) = map.get("$ref").and_then(Value::as_str) {
        let name = name.strip_prefix("#/$defs/").unwrap_or(name);
        let definition = if OPEN.contains(&name) {
            json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
        } else {
            definitions.get(name).map(|d| inline(d, definitions)).unwrap_or_default()
        };
        if let Value::Object(definition) = definition {
            result = definition;
        }
    }
    for (key, value) in map {
        let value = match (key.as_str(), value) {
            ("$ref" | "$defs" | "$schema" | "title", _) => continue,
            ("properties", Value::Object(properties)) => {
                let inlined = properties.iter().map(|(k, v)| (k.clone(), inline(v, definitions)));
                Value::Object(inlined.collect())
            }
            ("items" | "additionalProperties", value) => inline(value, definitions),
            (_, value) => value.clone(),
        };
        result.insert(key.clone(), value);
    }
    result.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(group: &str, name: &str) -> Arc<Kind> {
        kinds().into_iter().find(|k| k.group == group && k.kind == name).unwrap()
    }

    fn at<'a>(schema: &'a Schema, path: &str) -> &'a Schema {
        path.split('.').fold(schema, |schema, field| match field {
            "[]" => schema.items.as_ref().unwrap(),
            field => &schema.properties[field],
        })
    }

    #[test]
    fn the_list_is_complete() {
        let names: Vec<String> = kinds()
            .iter()
            .map(|k| {
                let scope = if k.namespaced { "ns" } else { "cluster" };
                let sub = k.subresources.join(",");
                format!("{} {} {scope} {} {sub}", k.api_version(), k.plural, k.verbs.len())
            })
            .collect();
        let expected = [
            "v1 namespaces cluster 7 status,finalize",
            "v1 configmaps ns 8 ",
            "v1 secrets ns 8 ",
            "v1 events ns 8 ",
            "events.k8s.io/v1 events ns 8 ",
            "authentication.k8s.io/v1 selfsubjectreviews cluster 1 ",
            "authorization.k8s.io/v1 selfsubjectaccessreviews cluster 1 ",
            "authorization.k8s.io/v1 selfsubjectrulesreviews cluster 1 ",
            "authorization.k8s.io/v1 subjectaccessreviews cluster 1 ",
            "certificates.k8s.io/v1 certificatesigningrequests cluster 8 status,approval",
            "coordination.k8s.io/v1 leases ns 8 ",
            "apiextensions.k8s.io/v1 customresourcedefinitions cluster 8 status",
        ];
        assert_eq!(names, expected);
        let request = kind("certificates.k8s.io", "CertificateSigningRequest");
        assert_eq!(request.singular, "certificatesigningrequest");
        assert_eq!(request.list_kind, "CertificateSigningRequestList");
        assert_eq!(request.short_names, ["csr"]);
        assert!(kind("", "Secret").short_names.is_empty());
    }

    #[test]
    fn schemas_say_what_the_types_say() {
        let lease = kind("coordination.k8s.io", "Lease");
        let duration = at(&lease.schema, "spec.leaseDurationSeconds");
        assert_eq!((duration.type_.as_str(), duration.format.as_str()), ("integer", "int32"));
        assert_eq!(at(&lease.schema, "spec.renewTime").format, "date-time");
        assert_eq!(at(&lease.schema, "apiVersion").type_, "string");
        let secret = kind("", "Secret");
        let data = &at(&secret.schema, "data").additional_properties;
        let Some(super::super::schema::Additional::Schema(bytes)) = data else {
            panic!("{data:?}")
        };
        assert_eq!(bytes.format, "byte");
        for kind in kinds() {
            let metadata = at(&kind.schema, "metadata");
            assert!(metadata.type_ == "object" && metadata.properties.is_empty(), "{}", kind.kind);
            assert!(kind.schema.required.iter().all(|f| f != "metadata"));
            assert!(!kind.schema.description.is_empty());
            if kind.kind != "SelfSubjectReview" {
                assert!(kind.schema.properties.len() > 3, "{}", kind.kind);
            }
        }
    }

    #[test]
    fn lists_have_the_keys_that_kubernetes_gives_them() {
        for (group, name) in [
            ("", "Namespace"),
            ("certificates.k8s.io", "CertificateSigningRequest"),
            ("apiextensions.k8s.io", "CustomResourceDefinition"),
        ] {
            let kind = kind(group, name);
            let conditions = at(&kind.schema, "status.conditions");
            assert_eq!(conditions.list_type, "map", "{name}");
            assert_eq!(conditions.list_map_keys, ["type"]);
            assert_eq!(at(conditions, "[].type").type_, "string");
        }
        let event = kind("", "Event");
        assert_eq!(at(&event.schema, "involvedObject").map_type, "atomic");
        assert_eq!(at(&kind("events.k8s.io", "Event").schema, "regarding").map_type, "atomic");
        let meta = object_meta();
        assert_eq!(at(meta, "finalizers").list_type, "set");
        assert_eq!(at(meta, "ownerReferences").list_map_keys, ["uid"]);
        assert_eq!(at(meta, "ownerReferences.[]").map_type, "atomic");
        assert!(at(meta, "managedFields.[].fieldsV1").preserve_unknown_fields);
    }

    #[test]
    fn a_crd_may_have_any_schema() {
        let crd = kind("apiextensions.k8s.io", "CustomResourceDefinition");
        let open = at(&crd.schema, "spec.versions.[].schema.openAPIV3Schema");
        assert!(open.preserve_unknown_fields && open.properties.is_empty());
        assert_eq!(at(&crd.schema, "spec.names.shortNames.[]").type_, "string");
    }

    #[test]
    fn a_review_need_not_bring_its_answer() {
        let review = kind("authorization.k8s.io", "SelfSubjectRulesReview");
        assert!(at(&review.schema, "status").required.is_empty());
        assert!(at(&review.schema, "status.resourceRules.[]").required.is_empty());
        assert_eq!(review.schema.required, ["spec"]);
    }

    #[test]
    fn nulls_are_dropped() {
        let mut value = json!({"a": null, "b": {"c": null, "d": [{"e": null}, null]}});
        drop_nulls(&mut value);
        assert_eq!(value, json!({"b": {"d": [{}, null]}}));
    }
}
