//! `OpenAPI` v3: what the kinds look like and what can be done with them.
//!
//! As much as kubectl reads: `explain` takes the schemas, `apply` looks whether PATCH has the
//! parameter `fieldValidation` and whether it takes a strategic merge patch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{
    DeleteOptions, ListMeta, ManagedFieldsEntry, OwnerReference, Status,
};
use serde_json::{Map, Value, json};

use super::builtin;
use super::discovery;
use super::kind::Kind;

/// The documents of all versions of all groups, for as long as the kinds stay the same.
#[derive(Debug)]
pub struct Documents {
    documents: BTreeMap<String, Document>,
}

/// A document, ready to be sent.
#[derive(Debug)]
pub struct Document {
    /// JSON.
    pub body: Vec<u8>,
    /// Hash of the body.
    pub hash: String,
}

impl Documents {
    /// Writes the documents.
    pub fn new(kinds: &[Arc<Kind>]) -> Self {
        let paths: BTreeSet<String> = kinds.iter().map(|kind| version_path(kind)).collect();
        let document = |path: String| {
            let mut served: Vec<&Kind> =
                kinds.iter().filter(|k| version_path(k) == path).map(|kind| &**kind).collect();
            served.sort_unstable_by_key(|kind| kind.plural.as_str());
            let body = document(&served).to_string().into_bytes();
            let hash = discovery::hash(&body);
            (path, Document { body, hash })
        };
        Self { documents: paths.into_iter().map(document).collect() }
    }

    /// `GET /openapi/v3`: where the documents are.
    pub fn index(&self) -> Value {
        let entry = |(path, document): (&String, &Document)| {
            let url = format!("/openapi/v3/{path}?hash={}", document.hash);
            (path.clone(), json!({"serverRelativeURL": url}))
        };
        json!({"paths": self.documents.iter().map(entry).collect::<Map<_, _>>()})
    }

    /// `GET /openapi/v3/PATH`, where the path is `api/v1` or `apis/GROUP/VERSION`.
    pub fn get(&self, path: &str) -> Option<&Document> {
        self.documents.get(path)
    }
}

/// `api/v1` or `apis/GROUP/VERSION`.
fn version_path(kind: &Kind) -> String {
    let prefix = if kind.group.is_empty() { "api" } else { "apis" };
    format!("{prefix}/{}", kind.api_version())
}

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

fn reference(component: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{component}")})
}

fn meta_reference(kind: &str) -> Value {
    reference(&format!("{META}.{kind}"))
}

fn document(kinds: &[&Kind]) -> Value {
    let mut schemas = Map::new();
    let mut paths = Map::new();
    schemas.insert(format!("{META}.ObjectMeta"), object_meta());
    schemas.insert(format!("{META}.ListMeta"), to_value(&builtin::schema::<ListMeta>()));
    schemas.insert(format!("{META}.DeleteOptions"), to_value(&builtin::schema::<DeleteOptions>()));
    schemas.insert(format!("{META}.Status"), to_value(&builtin::schema::<Status>()));
    schemas
        .insert(format!("{META}.OwnerReference"), to_value(&builtin::schema::<OwnerReference>()));
    schemas.insert(
        format!("{META}.ManagedFieldsEntry"),
        to_value(&builtin::schema::<ManagedFieldsEntry>()),
    );
    let patch = "A merge, strategic merge, JSON or apply patch.";
    schemas.insert(format!("{META}.Patch"), json!({"type": "object", "description": patch}));
    for kind in kinds {
        let name = component(kind);
        if kind.verbs.contains(&"list") {
            schemas.insert(format!("{name}List"), list_schema(kind, &name));
        }
        schemas.insert(name, schema(kind));
        add_paths(kind, &mut paths);
    }
    json!({
        "openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "unversioned"},
        "paths": paths, "components": {"schemas": schemas},
    })
}

/// Name of the schema of a kind: `com.example.inv.v1.Host`, with the group reversed.
fn component(kind: &Kind) -> String {
    let Kind { group, version, kind: name, custom, .. } = kind;
    if *custom {
        let reversed: Vec<&str> = group.rsplit('.').collect();
        return format!("{}.{version}.{name}", reversed.join("."));
    }
    match group.split('.').next().unwrap_or_default() {
        "" => format!("io.k8s.api.core.{version}.{name}"),
        "apiextensions" => {
            format!("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.{version}.{name}")
        }
        package => format!("io.k8s.api.{package}.{version}.{name}"),
    }
}

fn gvk(kind: &Kind, name: &str) -> Value {
    json!({"group": kind.group, "version": kind.version, "kind": name})
}

fn to_value(schema: &super::schema::Schema) -> Value {
    serde_json::to_value(schema).unwrap_or_default()
}

/// `ObjectMeta`, with what a client needs to make a strategic merge patch.
fn object_meta() -> Value {
    let mut meta = to_value(builtin::object_meta());
    merge_by(&mut meta, "/properties/ownerReferences", "uid");
    merge_by(&mut meta, "/properties/finalizers", "");
    meta
}

/// Says that a list is merged, by a key or as a set.
fn merge_by(schema: &mut Value, pointer: &str, key: &str) {
    if let Some(list) = schema.pointer_mut(pointer).and_then(Value::as_object_mut) {
        list.insert("x-kubernetes-patch-strategy".to_owned(), "merge".into());
        if !key.is_empty() {
            list.insert("x-kubernetes-patch-merge-key".to_owned(), key.into());
        }
    }
}

fn type_meta(properties: &mut Map<String, Value>) {
    let texts = [
        ("apiVersion", "Group and version of this kind of object, as in apps/v1."),
        ("kind", "What this object is, in CamelCase; cannot be changed."),
    ];
    for (field, description) in texts {
        properties
            .entry(field)
            .or_insert_with(|| json!({"type": "string", "description": description}));
    }
}

fn schema(kind: &Kind) -> Value {
    let mut schema = to_value(&kind.schema);
    if kind.group.is_empty() && kind.kind == "Namespace" {
        merge_by(&mut schema, "/properties/status/properties/conditions", "type");
    }
    if let Value::Object(schema) = &mut schema {
        schema.insert("type".to_owned(), "object".into());
        let description = "Standard object's metadata.";
        let metadata = json!({"allOf": [meta_reference("ObjectMeta")], "description": description});
        if let Value::Object(properties) = schema.entry("properties").or_insert_with(|| json!({})) {
            type_meta(properties);
            properties.insert("metadata".to_owned(), metadata);
        }
        let gvk = json!([gvk(kind, &kind.kind)]);
        schema.insert("x-kubernetes-group-version-kind".to_owned(), gvk);
    }
    schema
}

fn list_schema(kind: &Kind, component: &str) -> Value {
    let mut properties = Map::new();
    type_meta(&mut properties);
    let items =
        json!({"type": "array", "items": reference(component), "description": "The objects."});
    properties.insert("items".to_owned(), items);
    let description = "Where the list was taken and where it goes on.";
    let metadata = json!({"allOf": [meta_reference("ListMeta")], "description": description});
    properties.insert("metadata".to_owned(), metadata);
    json!({
        "type": "object", "description": format!("A list of {}.", kind.kind),
        "required": ["items"], "properties": properties,
        "x-kubernetes-group-version-kind": [gvk(kind, &kind.list_kind)],
    })
}

/// Paths of a kind: the collection, over all namespaces too, the object, its subresources.
fn add_paths(kind: &Kind, paths: &mut Map<String, Value>) {
    let root = format!("/{}", version_path(kind));
    let everywhere = format!("{root}/{}", kind.plural);
    let collection = if kind.namespaced {
        format!("{root}/namespaces/{{namespace}}/{}", kind.plural)
    } else {
        everywhere.clone()
    };
    let mut add = |path: String, actions: &[&str]| {
        let mut item: Map<String, Value> = actions
            .iter()
            .filter(|action| allows(kind, action))
            .map(|action| (method(action).to_owned(), operation(kind, action)))
            .collect();
        if item.is_empty() {
            return;
        }
        let in_path = |name: &&str| path.contains(&format!("{{{name}}}"));
        let parameters: Vec<Value> = ["name", "namespace"]
            .into_iter()
            .filter(in_path)
            .map(|name| {
                let schema = json!({"type": "string", "uniqueItems": true});
                json!({"name": name, "in": "path", "required": true, "schema": schema})
            })
            .collect();
        if !parameters.is_empty() {
            item.insert("parameters".to_owned(), parameters.into());
        }
        paths.insert(path, item.into());
    };
    if kind.namespaced {
        add(everywhere, &["list"]);
    }
    let object = format!("{collection}/{{name}}");
    for subresource in &kind.subresources {
        add(format!("{object}/{subresource}"), &["get", "put", "patch"]);
    }
    add(collection, &["list", "post", "deletecollection"]);
    add(object, &["get", "put", "patch", "delete"]);
}

fn allows(kind: &Kind, action: &str) -> bool {
    let verb = match action {
        "post" => "create",
        "put" => "update",
        other => other,
    };
    kind.verbs.contains(&verb)
}

fn method(action: &str) -> &str {
    match action {
        "list" => "get",
        "deletecollection" => "delete",
        other => other,
    }
}

const WRITE: &[&str] = &["dryRun", "fieldManager", "fieldValidation"];
const DELETE: &[&str] = &["dryRun", "gracePeriodSeconds", "propagationPolicy"];
const SELECT: &[&str] = &["labelSelector", "fieldSelector", "limit", "continue"];
const READ: &[&str] = &["resourceVersion", "resourceVersionMatch"];
const WATCH: &[&str] = &["watch", "allowWatchBookmarks", "sendInitialEvents", "timeoutSeconds"];

fn operation(kind: &Kind, action: &str) -> Value {
    let parameters: Vec<Value> = match action {
        "list" => [SELECT, READ, WATCH].concat(),
        "post" | "put" => WRITE.to_vec(),
        "patch" => [WRITE, &["force"]].concat(),
        "delete" => DELETE.to_vec(),
        "deletecollection" => [SELECT, DELETE].concat(),
        _ => vec!["resourceVersion"],
    }
    .into_iter()
    .map(query_parameter)
    .collect();
    let name = component(kind);
    let answer = match action {
        "list" | "deletecollection" => reference(&format!("{name}List")),
        "delete" => meta_reference("Status"),
        _ => reference(&name),
    };
    let content =
        json!({"application/json": {"schema": answer}, "application/yaml": {"schema": answer}});
    let code = if action == "post" { "201" } else { "200" };
    let mut responses = Map::new();
    responses.insert(code.to_owned(), json!({"description": "OK", "content": content}));
    let mut operation = json!({
        "parameters": parameters, "responses": responses, "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": gvk(kind, &kind.kind),
    });
    if let (Some(content), Value::Object(operation)) =
        (request_content(kind, action, &name), &mut operation)
    {
        operation.insert("requestBody".to_owned(), json!({"content": content}));
    }
    operation
}

/// What may be sent. That a custom resource takes no strategic merge patch keeps kubectl from
/// making one.
fn request_content(kind: &Kind, action: &str, name: &str) -> Option<Map<String, Value>> {
    let (types, schema): (&[&str], Value) = match action {
        "post" | "put" => (&["application/json", "application/yaml"], reference(name)),
        "delete" | "deletecollection" => (&["application/json"], meta_reference("DeleteOptions")),
        "patch" => (
            &[
                "application/apply-patch+yaml",
                "application/json-patch+json",
                "application/merge-patch+json",
                "application/strategic-merge-patch+json",
            ],
            meta_reference("Patch"),
        ),
        _ => return None,
    };
    let accepted = types.iter().filter(|t| !(kind.custom && t.contains("strategic")));
    Some(accepted.map(|t| ((*t).to_owned(), json!({"schema": schema}))).collect())
}

fn query_parameter(name: &str) -> Value {
    let type_ = match name {
        "limit" | "timeoutSeconds" | "gracePeriodSeconds" => "integer",
        "watch" | "allowWatchBookmarks" | "sendInitialEvents" | "force" => "boolean",
        _ => "string",
    };
    json!({"name": name, "in": "query", "schema": {"type": type_, "uniqueItems": true}})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Kind {
        let mut kind = (*builtin::kinds()[1]).clone();
        kind.group = "inv.example.com".into();
        (kind.kind, kind.list_kind) = ("Host".into(), "HostList".into());
        (kind.plural, kind.custom) = ("hosts".into(), true);
        kind.subresources = vec!["status".into()];
        let spec = json!({"type": "object", "properties": {"cpu": {
            "type": "integer", "format": "int32", "description": "Cores.", "minimum": 1, "nullable": true,
        }}});
        let schema = json!({"description": "A host.", "properties": {"spec": spec}});
        kind.schema = Arc::new(serde_json::from_value(schema).unwrap());
        kind
    }

    fn documents() -> Documents {
        let mut kinds = builtin::kinds();
        kinds.push(Arc::new(host()));
        Documents::new(&kinds)
    }

    fn read(documents: &Documents, path: &str) -> Value {
        serde_json::from_slice(&documents.get(path).unwrap().body).unwrap()
    }

    #[test]
    fn the_index_names_each_version_by_its_hash() {
        let documents = documents();
        let index = documents.index();
        let paths: Vec<&String> = index["paths"].as_object().unwrap().keys().collect();
        let expected = [
            "api/v1",
            "apis/apiextensions.k8s.io/v1",
            "apis/authentication.k8s.io/v1",
            "apis/authorization.k8s.io/v1",
            "apis/certificates.k8s.io/v1",
            "apis/coordination.k8s.io/v1",
            "apis/events.k8s.io/v1",
            "apis/inv.example.com/v1",
        ];
        assert_eq!(paths, expected);
        let host = documents.get("apis/inv.example.com/v1").unwrap();
        let url = format!("/openapi/v3/apis/inv.example.com/v1?hash={}", host.hash);
        assert_eq!(index["paths"]["apis/inv.example.com/v1"]["serverRelativeURL"], url);
        assert!(documents.get("apis/none/v1").is_none());
        let mut kinds = builtin::kinds();
        kinds.reverse();
        let reversed = Documents::new(&kinds);
        assert_eq!(reversed.get("api/v1").unwrap().hash, documents.get("api/v1").unwrap().hash);
    }

    #[test]
    fn a_custom_kind_can_be_explained() {
        let document = read(&documents(), "apis/inv.example.com/v1");
        let schema = &document["components"]["schemas"]["com.example.inv.v1.Host"];
        let gvk = json!({"group": "inv.example.com", "version": "v1", "kind": "Host"});
        assert_eq!(schema["x-kubernetes-group-version-kind"], json!([gvk]));
        assert_eq!(schema["description"], "A host.");
        let cpu = &schema["properties"]["spec"]["properties"]["cpu"];
        assert_eq!((&cpu["minimum"], &cpu["description"]), (&json!(1), &json!("Cores.")));
        assert_eq!(schema["properties"]["kind"]["type"], "string");
        let meta = &schema["properties"]["metadata"]["allOf"][0]["$ref"];
        assert_eq!(
            *meta,
            json!("#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")
        );
        // Where explain looks for the kind of a resource.
        let list = &document["paths"]["/apis/inv.example.com/v1/namespaces/{namespace}/hosts"];
        assert_eq!(list["get"]["x-kubernetes-group-version-kind"], gvk);
        assert_eq!(list["parameters"][0]["name"], "namespace");
        let all = &document["components"]["schemas"]["com.example.inv.v1.HostList"];
        assert_eq!(all["x-kubernetes-group-version-kind"][0]["kind"], "HostList");
    }

    #[test]
    fn only_built_in_kinds_take_strategic_patches() {
        let documents = documents();
        let patch = |path: &str, resource: &str| {
            let document = read(&documents, path);
            document["paths"][resource]["patch"].clone()
        };
        let has = |patch: &Value, type_: &str| {
            let content = &patch["requestBody"]["content"];
            content.as_object().unwrap().contains_key(type_)
        };
        let strategic = "application/strategic-merge-patch+json";
        let host = patch(
            "apis/inv.example.com/v1",
            "/apis/inv.example.com/v1/namespaces/{namespace}/hosts/{name}",
        );
        assert!(!has(&host, strategic) && has(&host, "application/apply-patch+yaml"));
        let namespace = patch("api/v1", "/api/v1/namespaces/{name}");
        assert!(has(&namespace, strategic));
        for patch in [host, namespace, patch("api/v1", "/api/v1/namespaces/{name}/status")] {
            let names = patch["parameters"].as_array().unwrap();
            assert!(names.iter().any(|p| p["name"] == "fieldValidation" && p["in"] == "query"));
            assert!(patch["x-kubernetes-group-version-kind"]["kind"].is_string());
        }
    }

    #[test]
    fn only_what_can_be_done_is_there() {
        let document = read(&documents(), "apis/authorization.k8s.io/v1");
        let paths = document["paths"].as_object().unwrap();
        assert_eq!(paths.len(), 3, "{:?}", paths.keys());
        for item in paths.values() {
            assert_eq!(item.as_object().unwrap().keys().collect::<Vec<_>>(), ["post"]);
        }
        let document = read(&documents(), "api/v1");
        let namespaces = document["paths"]["/api/v1/namespaces"].as_object().unwrap();
        assert_eq!(namespaces.keys().collect::<Vec<_>>(), ["get", "post"]);
        assert!(document["paths"]["/api/v1/namespaces/{name}"]["delete"].is_object());
        assert!(document["paths"]["/api/v1/secrets"]["get"].is_object());
    }

    #[test]
    fn lists_that_are_merged_say_by_what() {
        let schemas = read(&documents(), "api/v1")["components"]["schemas"].take();
        let meta = &schemas[format!("{META}.ObjectMeta")]["properties"];
        assert_eq!(meta["ownerReferences"]["x-kubernetes-patch-merge-key"], "uid");
        assert_eq!(meta["finalizers"]["x-kubernetes-patch-strategy"], "merge");
        let namespace = &schemas["io.k8s.api.core.v1.Namespace"];
        let conditions = &namespace["properties"]["status"]["properties"]["conditions"];
        assert_eq!(conditions["x-kubernetes-patch-merge-key"], "type");
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn references(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(map) => {
                    if let Some(Value::String(name)) = map.get("$ref") {
                        found.push(name.clone());
                    }
                    map.values().for_each(|v| references(v, found));
                }
                Value::Array(list) => list.iter().for_each(|v| references(v, found)),
                _ => {}
            }
        }
        let documents = documents();
        for path in documents.documents.keys() {
            let document = read(&documents, path);
            let mut found = Vec::new();
            references(&document, &mut found);
            assert!(!found.is_empty());
            for reference in found {
                let pointer = reference.strip_prefix('#').unwrap();
                assert!(document.pointer(pointer).is_some(), "{reference}");
            }
        }
    }
}
