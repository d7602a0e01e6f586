//! Which groups, versions and resources there are.

use serde_json::{Value, json};

use crate::client::{Answer, Identity, JSON};
use crate::world::{Case, DEFINITIONS, case, definition, served};

pub(crate) const AGGREGATED: &str =
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const AGGREGATED_BETA: &str =
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";

/// The entry of a list that has this value under this name.
#[track_caller]
fn entry<'a>(list: &'a Value, name: &str, value: &str) -> &'a Value {
    let found = list.as_array().expect("a list").iter().find(|entry| entry[name] == value);
    found.unwrap_or_else(|| panic!("no {value} in {list}"))
}

fn sorted(list: &Value) -> Vec<&str> {
    let texts = list.as_array().expect("a list").iter().map(|text| text.as_str().expect("text"));
    let mut texts: Vec<_> = texts.collect();
    texts.sort_unstable();
    texts
}

const VERBS: [&str; 8] =
    ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

#[test]
fn version() {
    case(async |t| {
        let version = t.get("/version").await.is(200).json;
        for field in [
            "major",
            "minor",
            "gitVersion",
            "gitCommit",
            "gitTreeState",
            "buildDate",
            "goVersion",
            "compiler",
            "platform",
        ] {
            assert!(version[field].is_string(), "{field}: {version}");
        }
        // kubectl and kubernetes.core read these as numbers.
        version["major"].as_str().unwrap().parse::<u32>().unwrap();
        version["minor"].as_str().unwrap().trim_end_matches('+').parse::<u32>().unwrap();
        assert!(version["gitVersion"].as_str().unwrap().starts_with("v1."), "{version}");
    });
}

#[test]
fn legacy_core() {
    case(async |t| {
        let api = t.get("/api").await.is(200).json;
        assert_eq!(api["kind"], "APIVersions");
        assert_eq!(api["versions"], json!(["v1"]));
        assert!(api["serverAddressByClientCIDRs"].is_array());
        let list = t.get("/api/v1").await.is(200).json;
        assert_eq!(
            (&list["kind"], &list["groupVersion"]),
            (&json!("APIResourceList"), &json!("v1"))
        );
        let namespaces = entry(&list["resources"], "name", "namespaces");
        assert_eq!(namespaces["namespaced"], false);
        assert_eq!(namespaces["kind"], "Namespace");
        assert_eq!(namespaces["shortNames"], json!(["ns"]));
        for name in ["configmaps", "secrets", "events"] {
            let found = entry(&list["resources"], "name", name);
            assert_eq!(found["namespaced"], true, "{found}");
            assert_eq!(sorted(&found["verbs"]), VERBS, "{found}");
        }
    });
}

#[test]
fn legacy_groups() {
    case(async |t| {
        let groups = t.get("/apis").await.is(200).json;
        assert_eq!(
            (&groups["kind"], &groups["apiVersion"]),
            (&json!("APIGroupList"), &json!("v1"))
        );
        let group = entry(&groups["groups"], "name", &t.group);
        let version = json!({"groupVersion": format!("{}/v1", t.group), "version": "v1"});
        assert_eq!(group["preferredVersion"], version);
        assert_eq!(group["versions"], json!([version]));
        let alone = t.get(&format!("/apis/{}", t.group)).await.is(200).json;
        assert_eq!((&alone["kind"], &alone["name"]), (&json!("APIGroup"), &json!(t.group)));
        assert_eq!(alone["preferredVersion"], version);
        for name in [
            "apiextensions.k8s.io",
            "authentication.k8s.io",
            "authorization.k8s.io",
            "certificates.k8s.io",
            "coordination.k8s.io",
            "events.k8s.io",
        ] {
            let group = entry(&groups["groups"], "name", name);
            assert_eq!(group["preferredVersion"]["version"], "v1", "{group}");
        }
    });
}

#[test]
fn legacy_resources_of_custom_kinds() {
    case(async |t| {
        let list = t.get(&format!("/apis/{}/v1", t.group)).await.is(200).json;
        assert_eq!(list["kind"], "APIResourceList");
        assert_eq!(list["groupVersion"], format!("{}/v1", t.group));
        let widgets = entry(&list["resources"], "name", "widgets");
        assert_eq!(widgets["singularName"], "widget");
        assert_eq!(widgets["namespaced"], true);
        assert_eq!(widgets["kind"], "Widget");
        assert_eq!(widgets["shortNames"], json!(["wix"]));
        assert_eq!(widgets["categories"], json!(["conformance"]));
        assert_eq!(sorted(&widgets["verbs"]), VERBS);
        let status = entry(&list["resources"], "name", "widgets/status");
        assert_eq!(status["singularName"], "");
        assert_eq!(status["kind"], "Widget");
        assert_eq!(sorted(&status["verbs"]), ["get", "patch", "update"]);
        let zones = entry(&list["resources"], "name", "zones");
        assert_eq!(zones["namespaced"], false);
        let names = list["resources"].as_array().unwrap();
        assert!(names.iter().all(|resource| resource["name"] != "gadgets/status"));
    });
}

#[test]
fn legacy_resources_of_built_in_kinds() {
    case(async |t| {
        for (path, names) in [
            (
                "apiextensions.k8s.io/v1",
                vec!["customresourcedefinitions", "customresourcedefinitions/status"],
            ),
            ("authentication.k8s.io/v1", vec!["selfsubjectreviews"]),
            (
                "authorization.k8s.io/v1",
                vec!["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
            ),
            (
                "certificates.k8s.io/v1",
                vec![
                    "certificatesigningrequests",
                    "certificatesigningrequests/approval",
                    "certificatesigningrequests/status",
                ],
            ),
            ("coordination.k8s.io/v1", vec!["leases"]),
            ("events.k8s.io/v1", vec!["events"]),
        ] {
            let list = t.get(&format!("/apis/{path}")).await.is(200).json;
            for name in names {
                let found = entry(&list["resources"], "name", name);
                let verbs = match name {
                    _ if name.ends_with("reviews") => vec!["create"],
                    _ if name.contains('/') => vec!["get", "patch", "update"],
                    _ => VERBS.to_vec(),
                };
                assert_eq!(sorted(&found["verbs"]), verbs, "{name}");
            }
        }
        let list = t.get("/api/v1").await.is(200).json;
        entry(&list["resources"], "name", "namespaces/status");
        entry(&list["resources"], "name", "namespaces/finalize");
    });
}

#[test]
fn aggregated_groups() {
    case(async |t| {
        let answer = t.get_as("/apis", AGGREGATED).await.is(200);
        assert_eq!(answer.header("content-type"), AGGREGATED);
        assert!(answer.header("vary").to_lowercase().contains("accept"), "{:?}", answer.headers);
        assert!(answer.header("cache-control").contains("public"), "{:?}", answer.headers);
        assert_eq!(answer.json["kind"], "APIGroupDiscoveryList");
        assert_eq!(answer.json["apiVersion"], "apidiscovery.k8s.io/v2");
        let items = answer.json["items"].as_array().unwrap();
        let group = items.iter().find(|item| item["metadata"]["name"] == t.group).expect("group");
        let version = &group["versions"][0];
        assert_eq!(version["version"], "v1");
        assert_eq!(version["freshness"], "Current");
        let widgets = entry(&version["resources"], "resource", "widgets");
        let kind = json!({"group": t.group, "version": "v1", "kind": "Widget"});
        assert_eq!(widgets["responseKind"], kind);
        assert_eq!(widgets["scope"], "Namespaced");
        assert_eq!(widgets["singularResource"], "widget");
        assert_eq!(widgets["shortNames"], json!(["wix"]));
        assert_eq!(widgets["categories"], json!(["conformance"]));
        assert_eq!(sorted(&widgets["verbs"]), VERBS);
        let status = &widgets["subresources"][0];
        assert_eq!(status["subresource"], "status");
        assert_eq!(status["responseKind"]["kind"], "Widget");
        assert_eq!(sorted(&status["verbs"]), ["get", "patch", "update"]);
        assert_eq!(entry(&version["resources"], "resource", "zones")["scope"], "Cluster");
    });
}

#[test]
fn aggregated_core() {
    case(async |t| {
        let answer = t.get_as("/api", AGGREGATED).await.is(200);
        assert_eq!(answer.header("content-type"), AGGREGATED);
        let core = &answer.json["items"][0];
        assert_eq!(core["metadata"].get("name"), None, "{core}");
        let resources = &core["versions"][0]["resources"];
        assert_eq!(entry(resources, "resource", "namespaces")["scope"], "Cluster");
        assert_eq!(entry(resources, "resource", "configmaps")["scope"], "Namespaced");
    });
}

#[test]
fn aggregated_is_cached_by_etag() {
    case(async |t| {
        // Cases beside this one do not change the core group.
        let tag = t.get_as("/api", AGGREGATED).await.is(200).header("etag").to_owned();
        assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag}");
        let headers = [("accept", AGGREGATED), ("if-none-match", tag.as_str())];
        let again = t.send("GET", "/api", &headers, "").await.is(304);
        assert!(again.bytes.is_empty());
        let headers = [("accept", AGGREGATED), ("if-none-match", "\"other\"")];
        t.send("GET", "/api", &headers, "").await.is(200);
    });
}

#[test]
fn aggregated_as_clients_ask_for_it() {
    case(async |t| {
        for accept in [
            format!("{AGGREGATED},{AGGREGATED_BETA},{JSON}"),
            format!("{AGGREGATED};profile=nopeer,{AGGREGATED};profile=nopeer,{JSON}"),
        ] {
            let answer = t.get_as("/apis", &accept).await.is(200);
            assert_eq!(answer.json["kind"], "APIGroupDiscoveryList", "{accept}");
            assert!(answer.header("content-type").starts_with(AGGREGATED), "{accept}");
        }
        let beta = format!("{AGGREGATED_BETA},{JSON}");
        let answer = t.get_as("/apis", &beta).await.is(200);
        assert_eq!(answer.json["kind"], "APIGroupList");
        t.get_as("/apis", AGGREGATED_BETA).await.is(406);
    });
}

#[test]
fn needs_a_user() {
    case(async |t| {
        let user = t.with(t.user(&t.ns, &[]).await);
        for path in ["/api", "/apis", "/api/v1", &format!("/apis/{}/v1", t.group)] {
            user.get(path).await.is(200);
        }
        user.get_as("/apis", AGGREGATED).await.is(200);
        let nobody = t.with(Identity::Nobody).get("/apis").await;
        assert!(matches!(nobody.status, 401 | 403), "{nobody}");
    });
}

#[test]
fn unknown_groups_are_not_found() {
    case(async |t| {
        t.get("/apis/nope.example.com").await.is(404);
        t.get("/apis/nope.example.com/v1").await.is(404);
        t.get(&format!("/apis/{}/v7", t.group)).await.is(404);
        t.get("/api/v7").await.is(404);
    });
}

#[test]
fn follows_definitions() {
    case(async |t| {
        let group = format!("{}.example.com", t.ns);
        let schema = json!({"openAPIV3Schema": {"type": "object"}});
        let definition = definition(&group, "Thing", "Namespaced", json!({"schema": schema}));
        t.post(DEFINITIONS, &definition).await.is(201);
        served(t.server(), &definition).await;
        let openapi = format!("apis/{group}/v1");
        let shown = |answer: &Answer| answer.text().contains(&group);
        appears(&t, true, &shown, &openapi).await;
        let name = definition["metadata"]["name"].as_str().unwrap();
        t.delete(&format!("{DEFINITIONS}/{name}")).await.is(200);
        t.until(&format!("{DEFINITIONS}/{name}"), |answer| answer.status == 404).await;
        appears(&t, false, &shown, &openapi).await;
        t.until(&format!("/apis/{group}/v1"), |answer| answer.status == 404).await;
        t.until(&format!("/apis/{group}/v1/things"), |answer| answer.status == 404).await;
    });
}

async fn appears(t: &Case, there: bool, shown: &impl Fn(&Answer) -> bool, openapi: &str) {
    t.until("/apis", |answer| shown(answer) == there).await;
    let listed = |answer: &Answer| answer.json["paths"].get(openapi).is_some() == there;
    t.until("/openapi/v3", listed).await;
    t.until_as("/apis", AGGREGATED, |answer| shown(answer) == there).await;
}
