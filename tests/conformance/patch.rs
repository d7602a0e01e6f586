//! JSON patches, merge patches, and strategic merge patches of built-in kinds.

use serde_json::{Value, json};

use crate::client::{JSON_PATCH, MERGE, STRATEGIC, query};
use crate::world::{CSRS, Case, case, new_csr, request};

#[test]
fn merge() {
    case(async |t| {
        let spec = json!({"region": "eu-west", "settings": {"a": "1", "b": "2"}, "parts": ["x"]});
        t.post(&t.widgets(), &t.with_spec("a", spec)).await.is(201);
        let patch = json!({
            "metadata": {"labels": {"app": "web"}},
            "spec": {"settings": {"a": null, "c": "3"}, "parts": ["y", "z"]},
        });
        let answer = t.merge(&t.widget("a"), &patch).await.is(200).json;
        assert_eq!(answer["spec"]["settings"], json!({"b": "2", "c": "3"}));
        assert_eq!(answer["spec"]["parts"], json!(["y", "z"]));
        assert_eq!(answer["spec"]["region"], "eu-west");
        assert_eq!(answer["metadata"]["labels"], json!({"app": "web"}));
        assert_eq!(answer["metadata"]["generation"], 2);
    });
}

#[test]
fn json_patch() {
    case(async |t| {
        let spec = json!({"region": "eu-west", "parts": ["x", "y"], "settings": {"a/b": "1"}});
        t.post(&t.widgets(), &t.with_spec("a", spec)).await.is(201);
        let patch = json!([
            {"op": "test", "path": "/spec/region", "value": "eu-west"},
            {"op": "replace", "path": "/spec/region", "value": "us-east"},
            {"op": "add", "path": "/spec/parts/-", "value": "z"},
            {"op": "remove", "path": "/spec/parts/0"},
            {"op": "add", "path": "/spec/settings/c", "value": "2"},
            {"op": "copy", "from": "/spec/settings/c", "path": "/spec/settings/d"},
            {"op": "move", "from": "/spec/settings/a~1b", "path": "/spec/settings/e"},
        ]);
        let answer = t.patch(&t.widget("a"), JSON_PATCH, &patch).await.is(200).json;
        assert_eq!(answer["spec"]["region"], "us-east");
        assert_eq!(answer["spec"]["parts"], json!(["y", "z"]));
        assert_eq!(answer["spec"]["settings"], json!({"c": "2", "d": "2", "e": "1"}));
    });
}

#[test]
fn json_patch_that_does_not_fit() {
    case(async |t| {
        t.create("a").await;
        for patch in [
            json!([{"op": "test", "path": "/spec/region", "value": "us-east"}]),
            json!([{"op": "remove", "path": "/spec/ip"}]),
            json!([{"op": "remove", "path": "/metadata/finalizers/0"}]),
            json!([{"op": "replace", "path": "/spec/nope/deeper", "value": 1}]),
        ] {
            let answer = t.patch(&t.widget("a"), JSON_PATCH, &patch).await;
            answer.fails(422, "Invalid");
        }
        for patch in [json!({"spec": {}}), json!("text")] {
            let answer = t.patch(&t.widget("a"), JSON_PATCH, &patch).await;
            answer.fails(400, "BadRequest");
        }
        let answer = t.get(&t.widget("a")).await.is(200);
        assert_eq!(answer.json["metadata"]["generation"], 1);
    });
}

/// The dialect of the Go library, on which the finalizer helper of kube-rs relies.
#[test]
fn json_patch_takes_a_missing_path_for_null() {
    case(async |t| {
        t.create("a").await;
        let patch = json!([
            {"op": "test", "path": "/metadata/finalizers", "value": null},
            {"op": "add", "path": "/metadata/finalizers", "value": ["example.com/f"]},
        ]);
        let answer = t.patch(&t.widget("a"), JSON_PATCH, &patch).await.is(200).json;
        assert_eq!(answer["metadata"]["finalizers"], json!(["example.com/f"]));
        t.patch(&t.widget("a"), JSON_PATCH, &patch).await.fails(422, "Invalid");
        // `replace` of a key that is not there sets it.
        let patch = json!([{"op": "replace", "path": "/spec/ip", "value": "10.0.0.1"}]);
        let answer = t.patch(&t.widget("a"), JSON_PATCH, &patch).await.is(200).json;
        assert_eq!(answer["spec"]["ip"], "10.0.0.1");
        // As the helper takes its finalizer away.
        let patch = json!([
            {"op": "test", "path": "/metadata/finalizers/0", "value": "example.com/f"},
            {"op": "remove", "path": "/metadata/finalizers/0"},
        ]);
        let answer = t.patch(&t.widget("a"), JSON_PATCH, &patch).await.is(200).json;
        assert_eq!(answer["metadata"].get("finalizers"), None);
    });
}

#[test]
fn strategic_is_not_for_custom_kinds() {
    case(async |t| {
        t.create("a").await;
        for patch in [json!({"spec": {"cpu": 3}}), json!({})] {
            let answer = t.patch(&t.widget("a"), STRATEGIC, &patch).await;
            let answer = answer.fails(415, "UnsupportedMediaType");
            let message = answer.json["message"].as_str().unwrap();
            for accepted in [JSON_PATCH, MERGE, "application/apply-patch+yaml"] {
                assert!(message.contains(accepted), "{message}");
            }
        }
    });
}

#[test]
fn resource_version_in_a_patch_is_a_lock() {
    case(async |t| {
        let widget = t.create("a").await;
        let version = &widget["metadata"]["resourceVersion"];
        let locked =
            |cpu: u32| json!({"metadata": {"resourceVersion": version}, "spec": {"cpu": cpu}});
        t.merge(&t.widget("a"), &locked(3)).await.is(200);
        let answer = t.merge(&t.widget("a"), &locked(4)).await;
        answer.fails(409, "Conflict").about("a", &t.group, "widgets");
        let patch = json!([
            {"op": "replace", "path": "/metadata/resourceVersion", "value": version},
            {"op": "replace", "path": "/spec/cpu", "value": 5},
        ]);
        t.patch(&t.widget("a"), JSON_PATCH, &patch).await.fails(409, "Conflict");
        // Also where it would change nothing.
        t.merge(&t.widget("a"), &locked(3)).await.fails(409, "Conflict");
    });
}

#[test]
fn patches_at_once_do_not_conflict() {
    case(async |t| {
        t.create("a").await;
        let path = t.widget("a");
        let patch = async |t: &Case, number: usize| {
            let label = format!("label-{number}");
            let patch = json!({"metadata": {"labels": {label: "x"}}});
            t.merge(&path, &patch).await.is(200);
        };
        // kube-apiserver tries five times.
        futures::future::join_all((0..4).map(|number| patch(&t, number))).await;
        let answer = t.get(&path).await.is(200).json;
        assert_eq!(answer["metadata"]["labels"].as_object().unwrap().len(), 4);
    });
}

#[test]
fn another_name_is_refused() {
    case(async |t| {
        t.create("a").await;
        let answer = t.merge(&t.widget("a"), &json!({"metadata": {"name": "b"}})).await;
        answer.fails(400, "BadRequest");
    });
}

#[test]
fn force_is_for_apply() {
    case(async |t| {
        t.create("a").await;
        let path = query(&t.widget("a"), &[("force", "true")]);
        t.merge(&path, &json!({})).await.invalid("FieldValueForbidden", "force");
    });
}

#[test]
fn a_patched_object_is_validated() {
    case(async |t| {
        t.create("a").await;
        let answer = t.merge(&t.widget("a"), &json!({"spec": {"cpu": 0}})).await;
        answer.invalid("FieldValueInvalid", "spec.cpu");
        let answer = t.merge(&t.widget("a"), &json!({"spec": {"region": null}})).await;
        answer.invalid("FieldValueRequired", "spec.region");
        let answer = t.merge(&t.widget("a"), &json!({"spec": {"cpu": "many"}})).await;
        answer.invalid("FieldValueTypeInvalid", "spec.cpu");
        // What is taken away has its default again.
        t.merge(&t.widget("a"), &json!({"spec": {"cpu": 7}})).await.is(200);
        let answer = t.merge(&t.widget("a"), &json!({"spec": {"cpu": null}})).await.is(200);
        assert_eq!(answer.json["spec"]["cpu"], 2);
    });
}

#[test]
fn bodies_that_are_no_patches() {
    case(async |t| {
        t.create("a").await;
        for (kind, body) in [
            (MERGE, "{"),
            (MERGE, "[1]"),
            (MERGE, "\"x\""),
            (JSON_PATCH, "[{"),
            (JSON_PATCH, "[1]"),
        ] {
            let headers = [("content-type", kind)];
            let answer = t.send("PATCH", &t.widget("a"), &headers, body).await;
            assert!((400..500).contains(&answer.status), "{kind} {body}: {answer}");
        }
        t.get(&t.widget("a")).await.is(200);
    });
}

#[test]
fn the_manager_of_a_patch() {
    case(async |t| {
        t.create("a").await;
        let path = query(&t.widget("a"), &[("fieldManager", "kubectl-label")]);
        let patch = json!({"metadata": {"labels": {"app": "web"}}});
        let answer = t.merge(&path, &patch).await.is(200).json;
        let entry = manager(&answer, "kubectl-label");
        assert_eq!(entry["operation"], "Update");
        assert_eq!(entry["fieldsV1"], json!({"f:metadata": {"f:labels": {".": {}, "f:app": {}}}}));
    });
}

/// The managedFields entry of this manager.
#[track_caller]
fn manager<'a>(object: &'a Value, name: &str) -> &'a Value {
    let fields = object["metadata"]["managedFields"].as_array().unwrap();
    fields.iter().find(|entry| entry["manager"] == name).unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn strategic_merges_maps() {
    case(async |t| {
        let map =
            json!({"metadata": {"name": "a", "labels": {"a": "1", "b": "2"}}, "data": {"x": "1"}});
        t.post(&t.core("configmaps"), &map).await.is(201);
        let path = format!("{}/a", t.core("configmaps"));
        let patch = json!({"metadata": {"labels": {"a": null, "c": "3"}}, "data": {"y": "2"}});
        let answer = t.patch(&path, STRATEGIC, &patch).await.is(200).json;
        assert_eq!(answer["metadata"]["labels"], json!({"b": "2", "c": "3"}));
        assert_eq!(answer["data"], json!({"x": "1", "y": "2"}));
        let patch = json!({"data": {"$patch": "replace", "z": "3"}});
        let answer = t.patch(&path, STRATEGIC, &patch).await.is(200).json;
        assert_eq!(answer["data"], json!({"z": "3"}));
    });
}

#[test]
fn strategic_merges_finalizers_and_owners() {
    case(async |t| {
        // Owners that are there, or a garbage collector deletes what is theirs.
        let (one, two) = (t.create("one").await, t.create("two").await);
        let owner = |owner: &Value| {
            let meta = &owner["metadata"];
            let (kind, version) = (&owner["kind"], &owner["apiVersion"]);
            json!({"apiVersion": version, "kind": kind, "name": meta["name"], "uid": meta["uid"]})
        };
        let map = json!({"metadata": {
            "name": "a",
            "finalizers": ["example.com/a"],
            "ownerReferences": [owner(&one)],
        }});
        t.post(&t.core("configmaps"), &map).await.is(201);
        let path = format!("{}/a", t.core("configmaps"));
        let patch = json!({"metadata": {
            "finalizers": ["example.com/b"],
            "ownerReferences": [owner(&two)],
        }});
        let answer = t.patch(&path, STRATEGIC, &patch).await.is(200).json;
        let finalizers = answer["metadata"]["finalizers"].as_array().unwrap();
        assert_eq!(finalizers.len(), 2, "{finalizers:?}");
        assert_eq!(answer["metadata"]["ownerReferences"].as_array().unwrap().len(), 2);
        let gone = |owner: &Value| json!({"$patch": "delete", "uid": owner["metadata"]["uid"]});
        let patch = json!({"metadata": {"ownerReferences": [gone(&one), gone(&two)]}});
        let answer = t.patch(&path, STRATEGIC, &patch).await.is(200).json;
        assert_eq!(answer["metadata"].get("ownerReferences"), None);
        let patch = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["example.com/a"]}});
        let answer = t.patch(&path, STRATEGIC, &patch).await.is(200).json;
        assert_eq!(answer["metadata"]["finalizers"], json!(["example.com/b"]));
        let answer = t.merge(&path, &json!({"metadata": {"finalizers": null}})).await.is(200);
        assert_eq!(answer.json["metadata"].get("finalizers"), None);
    });
}

#[test]
fn strategic_for_each_built_in_kind() {
    case(async |t| {
        let (pem, _) = request("someone", &[]);
        let csr = new_csr(&t.ns, &pem, "conformance.inv-tui.dev/nobody");
        t.post(CSRS, &csr).await.is(201);
        let leases = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", t.ns);
        t.post(&leases, &json!({"metadata": {"name": "a"}})).await.is(201);
        t.post(&t.core("secrets"), &json!({"metadata": {"name": "a"}})).await.is(201);
        let patch = json!({"metadata": {"labels": {"app": "web"}}});
        for path in [
            format!("{CSRS}/{}", t.ns),
            format!("{leases}/a"),
            format!("{}/a", t.core("secrets")),
            format!("/api/v1/namespaces/{}", t.ns),
        ] {
            for kind in [STRATEGIC, MERGE] {
                let answer = t.patch(&path, kind, &patch).await.is(200).json;
                assert_eq!(answer["metadata"]["labels"]["app"], "web", "{path}");
            }
        }
        let renewed = json!({"spec": {"renewTime": "2026-01-01T00:00:00.000000Z"}});
        let answer = t.patch(&format!("{leases}/a"), STRATEGIC, &renewed).await.is(200).json;
        assert_eq!(answer["spec"], renewed["spec"]);
        t.delete(&format!("{CSRS}/{}", t.ns)).await.is(200);
    });
}
