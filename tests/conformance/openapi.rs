//! As much of `OpenAPI` as kubectl validates, applies and explains by.

use serde_json::{Value, json};

use crate::world::{Case, case};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// The document of this group and version.
async fn document(t: &Case, path: &str) -> Value {
    let root = t.until("/openapi/v3", |answer| answer.json["paths"].get(path).is_some()).await;
    let url = root.json["paths"][path]["serverRelativeURL"].as_str().expect("a URL").to_owned();
    t.get(&url).await.is(200).json
}

async fn custom(t: &Case) -> Value {
    // The document may be there before all kinds of the group are in it.
    let path = format!("/openapi/v3/apis/{}/v1", t.group);
    t.until(&path, |answer| ["Widget", "Gadget", "Zone"].iter().all(|k| answer.text().contains(k)))
        .await;
    document(t, &format!("apis/{}/v1", t.group)).await
}

/// `io.example` for `example.io`.
fn reversed(group: &str) -> String {
    group.split('.').rev().collect::<Vec<_>>().join(".")
}

#[test]
fn index() {
    case(async |t| {
        let group = format!("apis/{}/v1", t.group);
        let index =
            t.until("/openapi/v3", |answer| answer.json["paths"].get(&group).is_some()).await.json;
        for path in [
            "api/v1",
            "apis/apiextensions.k8s.io/v1",
            "apis/authentication.k8s.io/v1",
            "apis/authorization.k8s.io/v1",
            "apis/certificates.k8s.io/v1",
            "apis/coordination.k8s.io/v1",
            "apis/events.k8s.io/v1",
            &group,
        ] {
            let url = index["paths"][path]["serverRelativeURL"].as_str();
            let url = url.unwrap_or_else(|| panic!("no {path}"));
            assert!(url.starts_with(&format!("/openapi/v3/{path}?hash=")), "{url}");
        }
    });
}

#[test]
fn documents_are_cached_by_etag() {
    case(async |t| {
        let answer = t.get("/openapi/v3/apis/coordination.k8s.io/v1").await.is(200);
        let tag = answer.header("etag").to_owned();
        assert!(tag.len() > 2, "{tag}");
        let headers = [("if-none-match", tag.as_str())];
        let path = "/openapi/v3/apis/coordination.k8s.io/v1";
        t.send("GET", path, &headers, "").await.is(304);
    });
}

#[test]
fn schemas_of_custom_kinds() {
    case(async |t| {
        let document = custom(&t).await;
        assert!(document["openapi"].as_str().unwrap().starts_with("3."), "{}", document["openapi"]);
        let schemas = &document["components"]["schemas"];
        let name = format!("{}.v1.Widget", reversed(&t.group));
        let widget = &schemas[&name];
        let kind = json!([{"group": t.group, "version": "v1", "kind": "Widget"}]);
        assert_eq!(widget["x-kubernetes-group-version-kind"], kind, "{widget}");
        assert_eq!(widget["description"], "Widget is a thing to test with.");
        let spec = &widget["properties"]["spec"];
        assert_eq!(spec["required"], json!(["region"]));
        assert_eq!(spec["properties"]["region"]["description"], "Where it is.");
        assert_eq!(spec["properties"]["cpu"]["type"], "integer");
        assert_eq!(spec["properties"]["nics"]["x-kubernetes-list-type"], "map");
        assert!(
            widget["properties"]["metadata"].to_string().contains(&format!("{META}.ObjectMeta"))
        );
        assert!(widget["properties"]["apiVersion"].is_object());
        let list = &schemas[format!("{name}List")];
        let kind = json!([{"group": t.group, "version": "v1", "kind": "WidgetList"}]);
        assert_eq!(list["x-kubernetes-group-version-kind"], kind);
        for name in ["ObjectMeta", "ListMeta", "OwnerReference", "ManagedFieldsEntry", "Status"] {
            assert!(schemas[format!("{META}.{name}")].is_object(), "{name}");
        }
        let meta = &schemas[format!("{META}.ObjectMeta")]["properties"];
        assert!(meta["labels"]["description"].is_string(), "{meta}");
    });
}

#[test]
fn paths_of_custom_kinds() {
    case(async |t| {
        let document = custom(&t).await;
        let base = format!("/apis/{}/v1/namespaces/{{namespace}}/widgets", t.group);
        let one = &document["paths"][format!("{base}/{{name}}")];
        let patch = &one["patch"];
        // kubectl asks the server to validate if it knows this parameter.
        let parameters = patch["parameters"].as_array().unwrap();
        let found = parameters.iter().find(|p| p["name"] == "fieldValidation").expect("parameter");
        assert_eq!(found["in"], "query");
        let kind = json!({"group": t.group, "version": "v1", "kind": "Widget"});
        assert_eq!(patch["x-kubernetes-group-version-kind"], kind);
        assert_eq!(patch["x-kubernetes-action"], "patch");
        // kubectl would send a strategic merge patch if it were listed.
        let mut types: Vec<_> =
            patch["requestBody"]["content"].as_object().unwrap().keys().collect();
        types.sort();
        assert!(types.contains(&&"application/apply-patch+yaml".to_owned()), "{types:?}");
        assert!(types.contains(&&"application/merge-patch+json".to_owned()), "{types:?}");
        let strategic = "application/strategic-merge-patch+json".to_owned();
        assert!(!types.contains(&&strategic), "{types:?}");
        for verb in ["get", "put", "delete"] {
            assert!(one[verb].is_object(), "{verb}");
        }
        assert!(document["paths"][base]["post"].is_object());
    });
}

#[test]
fn built_in_kinds_take_strategic_merge_patches() {
    case(async |t| {
        for (path, one) in [
            ("api/v1", "/api/v1/namespaces/{name}"),
            ("api/v1", "/api/v1/namespaces/{namespace}/configmaps/{name}"),
            (
                "apis/certificates.k8s.io/v1",
                "/apis/certificates.k8s.io/v1/certificatesigningrequests/{name}",
            ),
            (
                "apis/coordination.k8s.io/v1",
                "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}",
            ),
        ] {
            let document = document(&t, path).await;
            let patch = &document["paths"][one]["patch"];
            let content = &patch["requestBody"]["content"];
            assert!(
                content["application/strategic-merge-patch+json"].is_object(),
                "{one}: {content}"
            );
            let parameters = patch["parameters"].as_array().unwrap();
            assert!(parameters.iter().any(|p| p["name"] == "fieldValidation"), "{one}");
        }
    });
}

#[test]
fn schemas_of_built_in_kinds() {
    case(async |t| {
        for (path, name, kind) in [
            ("api/v1", "io.k8s.api.core.v1.Namespace", ("", "v1", "Namespace")),
            ("api/v1", "io.k8s.api.core.v1.ConfigMap", ("", "v1", "ConfigMap")),
            (
                "apis/coordination.k8s.io/v1",
                "io.k8s.api.coordination.v1.Lease",
                ("coordination.k8s.io", "v1", "Lease"),
            ),
            (
                "apis/certificates.k8s.io/v1",
                "io.k8s.api.certificates.v1.CertificateSigningRequest",
                ("certificates.k8s.io", "v1", "CertificateSigningRequest"),
            ),
        ] {
            let document = document(&t, path).await;
            let schema = &document["components"]["schemas"][name];
            let (group, version, kind) = kind;
            let kind = json!([{"group": group, "version": version, "kind": kind}]);
            assert_eq!(schema["x-kubernetes-group-version-kind"], kind, "{name}");
            assert!(schema["description"].is_string(), "{name}");
            assert!(schema["properties"]["metadata"].is_object(), "{name}");
        }
    });
}

#[test]
fn version_2_or_nothing() {
    case(async |t| {
        // kubectl falls back if this cannot be had.
        let accept = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
        let answer = t.get_as("/openapi/v2", accept).await;
        assert!(matches!(answer.status, 200 | 404 | 406), "{}", answer.status);
    });
}
