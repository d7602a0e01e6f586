//! Which kinds there are: `/version`, `/api`, `/apis` and what is under them.
//!
//! Every answer is the same for the same kinds in any order, so that its hash can be its `ETag`.

use std::cmp::Reverse;
use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::kind::Kind;

/// Content type of the aggregated form. Clients know by its parameters what they got.
pub const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// `GET /version`. The minor version is that of the API that this server is written against.
pub fn version() -> Value {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    json!({
        "major": "1", "minor": "36", "emulationMajor": "1", "emulationMinor": "36",
        "minCompatibilityMajor": "1", "minCompatibilityMinor": "35",
        "gitVersion": concat!("v1.36.0+inv-tui.", env!("CARGO_PKG_VERSION")),
        "gitCommit": "", "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "", "compiler": "rustc",
        "platform": format!("{}/{arch}", std::env::consts::OS),
    })
}

/// `GET /api`. `address` is the server's own `host:port`.
pub fn api_versions(address: &str) -> Value {
    json!({
        "kind": "APIVersions", "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    })
}

/// `GET /apis`.
pub fn group_list(kinds: &[Arc<Kind>]) -> Value {
    let groups: Vec<Value> = groups(kinds)
        .into_iter()
        .filter(|group| !group.is_empty())
        .map(|group| api_group(kinds, group))
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `GET /apis/GROUP`. None if there is no such group.
pub fn group(kinds: &[Arc<Kind>], group: &str) -> Option<Value> {
    let known = !group.is_empty() && kinds.iter().any(|k| k.group == group);
    known.then(|| {
        let mut answer = api_group(kinds, group);
        set(&mut answer, "kind", "APIGroup");
        set(&mut answer, "apiVersion", "v1");
        answer
    })
}

fn api_group(kinds: &[Arc<Kind>], group: &str) -> Value {
    let version =
        |version| json!({"groupVersion": format!("{group}/{version}"), "version": version});
    let versions: Vec<Value> = versions(kinds, group).into_iter().map(version).collect();
    json!({"name": group, "preferredVersion": versions.first(), "versions": versions})
}

/// `GET /apis/GROUP/VERSION` or `/api/VERSION`. None if there is no such version.
pub fn resource_list(kinds: &[Arc<Kind>], group: &str, version: &str) -> Option<Value> {
    let served = resources(kinds, group, version);
    let first = served.first()?;
    let group_version = first.api_version();
    let mut list = Vec::new();
    for kind in served {
        let mut resource = json!({
            "name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced,
            "kind": kind.kind, "verbs": kind.verbs,
        });
        add_names(&mut resource, kind);
        list.push(resource);
        for (name, verbs) in subresources(kind) {
            list.push(json!({
                "name": format!("{}/{name}", kind.plural), "singularName": "",
                "namespaced": kind.namespaced, "kind": kind.kind, "verbs": verbs,
            }));
        }
    }
    Some(json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version,
        "resources": list,
    }))
}

/// Aggregated discovery of the core group (`GET /api`) or of the others (`GET /apis`).
pub fn aggregated(kinds: &[Arc<Kind>], core: bool) -> Value {
    let items: Vec<Value> = groups(kinds)
        .into_iter()
        .filter(|group| group.is_empty() == core)
        .map(|group| {
            let metadata = if core { json!({}) } else { json!({"name": group}) };
            let version = |version| {
                let served = resources(kinds, group, version);
                let list: Vec<Value> = served.into_iter().map(aggregated_resource).collect();
                json!({"version": version, "resources": list, "freshness": "Current"})
            };
            let versions: Vec<Value> = versions(kinds, group).into_iter().map(version).collect();
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {},
        "items": items,
    })
}

fn aggregated_resource(kind: &Kind) -> Value {
    let response = json!({"group": kind.group, "version": kind.version, "kind": kind.kind});
    let mut resource = json!({
        "resource": kind.plural, "responseKind": response, "singularResource": kind.singular,
        "scope": if kind.namespaced { "Namespaced" } else { "Cluster" }, "verbs": kind.verbs,
    });
    add_names(&mut resource, kind);
    let subresources: Vec<Value> = subresources(kind)
        .map(|(name, verbs)| json!({"subresource": name, "responseKind": response, "verbs": verbs}))
        .collect();
    if !subresources.is_empty() {
        set(&mut resource, "subresources", subresources);
    }
    resource
}

fn set(object: &mut Value, field: &str, value: impl Into<Value>) {
    if let Value::Object(object) = object {
        object.insert(field.to_owned(), value.into());
    }
}

fn add_names(resource: &mut Value, kind: &Kind) {
    for (field, names) in [("shortNames", &kind.short_names), ("categories", &kind.categories)] {
        if !names.is_empty() {
            set(resource, field, names.clone());
        }
    }
}

fn subresources(kind: &Kind) -> impl Iterator<Item = (&str, &'static [&'static str])> {
    kind.subresources.iter().map(|name| {
        let verbs: &[&str] =
            if name == "finalize" { &["update"] } else { &["get", "patch", "update"] };
        (name.as_str(), verbs)
    })
}

/// The groups: those of built-in kinds before those of CRDs, as clients take the first group that
/// has a resource of a name.
fn groups(kinds: &[Arc<Kind>]) -> Vec<&str> {
    let mut groups: Vec<(bool, &str)> =
        kinds.iter().map(|k| (k.custom, k.group.as_str())).collect();
    groups.sort_unstable();
    let mut names = Vec::new();
    for (_, group) in groups {
        if !names.contains(&group) {
            names.push(group);
        }
    }
    names
}

/// The versions of a group, the preferred one first.
fn versions<'a>(kinds: &'a [Arc<Kind>], group: &str) -> Vec<&'a str> {
    let mut versions: Vec<&str> = Vec::new();
    for kind in kinds.iter().filter(|k| k.group == group) {
        if !versions.contains(&kind.version.as_str()) {
            versions.push(&kind.version);
        }
    }
    let old = |version: &str| {
        let mut served = kinds.iter().filter(|k| k.group == group && k.version == version);
        served.all(|k| k.deprecated)
    };
    versions.sort_by_cached_key(|version| (old(version), priority(version)));
    versions
}

/// Sorts versions as Kubernetes does (`apimachinery/pkg/version/helpers.go`): stable before beta
/// before alpha, each with the highest first; then anything else by name.
fn priority(version: &str) -> (u8, Reverse<(u64, u64)>, String) {
    let parse = || {
        let rest = version.strip_prefix('v')?;
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (major, rest) = rest.split_at(end);
        let major = major.parse().ok()?;
        let number = |n: &str| n.parse().ok().filter(|_| !n.starts_with('+'));
        if rest.is_empty() {
            Some((0, Reverse((major, 0)), String::new()))
        } else if let Some(minor) = rest.strip_prefix("beta") {
            Some((1, Reverse((major, number(minor)?)), String::new()))
        } else {
            Some((2, Reverse((major, number(rest.strip_prefix("alpha")?)?)), String::new()))
        }
    };
    parse().unwrap_or_else(|| (3, Reverse((0, 0)), version.to_owned()))
}

/// The kinds of a version, by name.
fn resources<'a>(kinds: &'a [Arc<Kind>], group: &str, version: &str) -> Vec<&'a Kind> {
    let mut list: Vec<&Kind> = kinds
        .iter()
        .filter(|k| k.group == group && k.version == version)
        .map(|kind| &**kind)
        .collect();
    list.sort_unstable_by_key(|kind| kind.plural.as_str());
    list
}

/// The hash of a body in hexadecimal digits.
pub fn hash(body: &[u8]) -> String {
    Sha256::digest(body).iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02X}");
        text
    })
}

/// The `ETag` of a body.
pub fn etag(body: &[u8]) -> String {
    format!("\"{}\"", hash(body))
}

/// Whether a header `If-None-Match` names this `ETag`, so that 304 is the answer.
pub fn matches_etag(if_none_match: &str, etag: &str) -> bool {
    let mut tags = if_none_match.split(',').map(str::trim);
    tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

#[cfg(test)]
mod tests {
    use super::super::builtin;
    use super::*;

    fn custom(group: &str, version: &str, plural: &str) -> Arc<Kind> {
        let mut kind = (*builtin::kinds()[1]).clone();
        (kind.group, kind.version, kind.plural) = (group.into(), version.into(), plural.into());
        kind.singular = plural.trim_end_matches('s').into();
        kind.kind = kind.singular.to_uppercase();
        kind.custom = true;
        kind.short_names = vec!["h".into()];
        kind.categories = vec!["inv".into()];
        kind.subresources = vec!["status".into()];
        Arc::new(kind)
    }

    fn kinds() -> Vec<Arc<Kind>> {
        let mut kinds = vec![
            custom("a.example.com", "v1beta1", "hosts"),
            custom("a.example.com", "v1", "hosts"),
            custom("a.example.com", "v1", "clusters"),
            custom("a.example.com", "v2alpha1", "hosts"),
        ];
        kinds.extend(builtin::kinds());
        kinds
    }

    fn names(list: &Value, pointer: &str) -> Vec<String> {
        let list = list.as_array().unwrap();
        list.iter().map(|v| v.pointer(pointer).unwrap().as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn groups_name_their_versions() {
        let list = group_list(&kinds());
        let expected = [
            "apiextensions.k8s.io",
            "authentication.k8s.io",
            "authorization.k8s.io",
            "certificates.k8s.io",
            "coordination.k8s.io",
            "events.k8s.io",
            "a.example.com",
        ];
        assert_eq!(names(&list["groups"], "/name"), expected);
        assert_eq!(list["kind"], "APIGroupList");
        let answer = group(&kinds(), "a.example.com").unwrap();
        assert_eq!(names(&answer["versions"], "/version"), ["v1", "v1beta1", "v2alpha1"]);
        let preferred = json!({"groupVersion": "a.example.com/v1", "version": "v1"});
        assert_eq!(answer["preferredVersion"], preferred);
        assert_eq!((&answer["kind"], &answer["apiVersion"]), (&json!("APIGroup"), &json!("v1")));
        assert_eq!(group(&kinds(), "b.example.com"), None);
        assert_eq!(group(&kinds(), ""), None);
    }

    #[test]
    fn versions_are_in_the_order_of_kubernetes() {
        let order = [
            "v10",
            "v2",
            "v1",
            "v11beta2",
            "v10beta3",
            "v3beta1",
            "v12alpha1",
            "v11alpha2",
            "foo1",
            "foo10",
            "v",
            "v1beta1x",
            "v3beta",
            "v4beta+1",
            "v99999999999999999999",
        ];
        let mut sorted = order;
        sorted.reverse();
        sorted.sort_by_cached_key(|v| priority(v));
        assert_eq!(sorted, order);
        let mut old = (*custom("a", "v2", "hosts")).clone();
        old.deprecated = true;
        let kinds = [Arc::new(old), custom("a", "v1", "hosts")];
        assert_eq!(versions(&kinds, "a"), ["v1", "v2"], "a deprecated version is not preferred");
    }

    #[test]
    fn resources_and_subresources_are_listed() {
        let list = resource_list(&kinds(), "a.example.com", "v1").unwrap();
        assert_eq!(list["groupVersion"], "a.example.com/v1");
        let all = ["clusters", "clusters/status", "hosts", "hosts/status"];
        assert_eq!(names(&list["resources"], "/name"), all);
        let host = json!({
            "name": "hosts", "singularName": "host", "namespaced": true, "kind": "HOST",
            "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
            "shortNames": ["h"], "categories": ["inv"],
        });
        assert_eq!(list["resources"][2], host);
        let status = json!({
            "name": "hosts/status", "singularName": "", "namespaced": true, "kind": "HOST",
            "verbs": ["get", "patch", "update"],
        });
        assert_eq!(list["resources"][3], status);
        let core = resource_list(&kinds(), "", "v1").unwrap();
        assert_eq!(core["groupVersion"], "v1");
        let finalize = &core["resources"][4];
        assert_eq!(
            (&finalize["name"], &finalize["verbs"]),
            (&json!("namespaces/finalize"), &json!(["update"])),
            "{core}"
        );
        assert_eq!(resource_list(&kinds(), "", "v2"), None);
    }

    #[test]
    fn aggregated_discovery_says_the_same_at_once() {
        let core = aggregated(&kinds(), true);
        assert_eq!(
            (&core["kind"], &core["apiVersion"]),
            (&json!("APIGroupDiscoveryList"), &json!("apidiscovery.k8s.io/v2"))
        );
        assert_eq!(core["items"].as_array().unwrap().len(), 1);
        assert_eq!(core["items"][0]["metadata"], json!({}));
        let resources = &core["items"][0]["versions"][0]["resources"];
        assert_eq!(
            names(resources, "/resource"),
            ["configmaps", "events", "namespaces", "secrets"]
        );
        assert_eq!(resources[2]["scope"], "Cluster");
        let others = aggregated(&kinds(), false);
        let last = others["items"].as_array().unwrap().last().unwrap();
        assert_eq!(last["metadata"]["name"], "a.example.com");
        assert_eq!(names(&last["versions"], "/version"), ["v1", "v1beta1", "v2alpha1"]);
        assert_eq!(names(&last["versions"], "/freshness"), ["Current"; 3]);
        let response = json!({"group": "a.example.com", "version": "v1", "kind": "HOST"});
        let host = json!({
            "resource": "hosts", "responseKind": response, "scope": "Namespaced",
            "singularResource": "host", "shortNames": ["h"], "categories": ["inv"],
            "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
            "subresources": [{
                "subresource": "status", "responseKind": response, "verbs": ["get", "patch", "update"],
            }],
        });
        assert_eq!(last["versions"][0]["resources"][1], host);
    }

    #[test]
    fn the_order_of_the_kinds_does_not_matter() {
        let mut reversed = kinds();
        reversed.reverse();
        assert_eq!(group_list(&kinds()), group_list(&reversed));
        assert_eq!(aggregated(&kinds(), false), aggregated(&reversed, false));
        assert_eq!(resource_list(&kinds(), "", "v1"), resource_list(&reversed, "", "v1"));
    }

    #[test]
    fn the_rest_is_there() {
        assert_eq!(api_versions("localhost:1")["versions"], json!(["v1"]));
        let info: k8s_openapi::apimachinery::pkg::version::Info =
            serde_json::from_value(version()).unwrap();
        assert_eq!((info.major.as_str(), info.minor.as_str()), ("1", "36"));
    }

    #[test]
    fn etags_follow_the_body() {
        let tag = etag(b"abc");
        assert_eq!(tag, "\"BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD\"");
        assert!(matches_etag(&format!("\"x\", W/{tag}"), &tag) && matches_etag("*", &tag));
        assert!(!matches_etag("\"x\"", &tag) && !matches_etag("", &tag));
    }
}
