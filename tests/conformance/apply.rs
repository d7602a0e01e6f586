//! Server-side apply and managed fields.

use serde_json::{Value, json};

use crate::client::{APPLY, Answer, query};
use crate::world::{Case, case};

/// The entry of this manager, operation and subresource.
fn entry<'a>(object: &'a Value, manager: &str, operation: &str) -> Option<&'a Value> {
    object["metadata"]["managedFields"]
        .as_array()?
        .iter()
        .find(|entry| entry["manager"] == manager && entry["operation"] == operation)
}

/// What a manager owns by applying.
#[track_caller]
fn owned(object: &Value, manager: &str) -> Value {
    let entry = entry(object, manager, "Apply");
    entry.unwrap_or_else(|| panic!("{manager} applies nothing: {object}"))["fieldsV1"].clone()
}

/// The fields of a conflict answer.
#[track_caller]
fn conflicts(answer: Answer) -> Vec<String> {
    let answer = answer.fails(409, "Conflict");
    let details = answer.json["details"].as_object().expect("details");
    assert_eq!(details.keys().collect::<Vec<_>>(), ["causes"], "{answer}");
    let causes = details["causes"].as_array().expect("causes");
    for cause in causes {
        assert_eq!(cause["reason"], "FieldManagerConflict", "{answer}");
    }
    let mut fields: Vec<_> =
        causes.iter().map(|cause| cause["field"].as_str().unwrap().to_owned()).collect();
    fields.sort_unstable();
    fields
}

#[test]
fn creates_then_changes() {
    case(async |t| {
        let body = t.with_spec("a", json!({"region": "eu-west", "cpu": 4}));
        let created = t.apply(&t.widget("a"), "one", &body).await.is(201).json;
        assert_eq!(created["metadata"]["generation"], 1);
        assert_eq!(owned(&created, "one"), json!({"f:spec": {"f:region": {}, "f:cpu": {}}}));
        let entry = entry(&created, "one", "Apply").unwrap();
        assert_eq!(entry["apiVersion"], format!("{}/v1", t.group));
        assert_eq!(entry["fieldsType"], "FieldsV1");
        assert_eq!(entry.get("subresource"), None);
        let body = t.with_spec("a", json!({"region": "eu-west", "cpu": 5}));
        let changed = t.apply(&t.widget("a"), "one", &body).await.is(200).json;
        assert_eq!(changed["spec"]["cpu"], 5);
        assert_eq!(changed["metadata"]["generation"], 2);
    });
}

#[test]
fn yaml_bodies() {
    case(async |t| {
        let yaml = format!(
            "apiVersion: {}/v1\nkind: Widget\nmetadata: {{name: a}}\nspec:\n  region: eu-west\n",
            t.group
        );
        let path = query(&t.widget("a"), &[("fieldManager", "one")]);
        t.send("PATCH", &path, &[("content-type", APPLY)], yaml).await.is(201);
    });
}

#[test]
fn needs_a_manager() {
    case(async |t| {
        let answer = t.patch(&t.widget("a"), APPLY, &t.new_widget("a")).await;
        answer.invalid("FieldValueRequired", "fieldManager");
        let answer = t.apply(&t.widget("a"), &"x".repeat(129), &t.new_widget("a")).await;
        answer.invalid("FieldValueTooLong", "fieldManager");
    });
}

#[test]
fn managed_fields_must_not_be_given() {
    case(async |t| {
        let stored = t.apply(&t.widget("a"), "one", &t.new_widget("a")).await.is(201).json;
        t.apply(&t.widget("a"), "one", &stored).await.fails(400, "BadRequest");
    });
}

#[test]
fn kind_and_name_must_fit() {
    case(async |t| {
        let mut body = t.new_widget("a");
        body["kind"] = json!("Gadget");
        let answer = t.apply(&t.widget("a"), "one", &body).await;
        assert!((400..=500).contains(&answer.status), "{answer}");
        let answer = t.apply(&t.widget("a"), "one", &t.new_widget("b")).await;
        assert!((400..500).contains(&answer.status), "{answer}");
        let answer = t.apply(&t.widget("a"), "one", &json!({"spec": {}})).await;
        assert!((400..=500).contains(&answer.status), "{answer}");
        t.get(&t.widget("a")).await.fails(404, "NotFound");
    });
}

#[test]
fn the_same_again_is_no_change() {
    case(async |t| {
        let body = t.with_spec("a", json!({"region": "eu-west", "nics": [{"name": "eth0"}]}));
        let first = t.apply(&t.widget("a"), "one", &body).await.is(201).json;
        let again = t.apply(&t.widget("a"), "one", &body).await.is(200).json;
        assert_eq!(first, again);
    });
}

#[test]
fn a_conflict() {
    case(async |t| {
        let body = t.with_spec(
            "a",
            json!({"region": "eu-west", "cpu": 4, "nics": [{"name": "eth0", "mac": "aa"}]}),
        );
        t.apply(&t.widget("a"), "one", &body).await.is(201);
        let body = t.with_spec(
            "a",
            json!({"cpu": 5, "nics": [{"name": "eth0", "mac": "bb"}, {"name": "eth1"}]}),
        );
        let answer = t.apply(&t.widget("a"), "two", &body).await;
        let message = answer.json["message"].as_str().unwrap_or_default().to_owned();
        assert!(message.contains("conflicts with \"one\""), "{message}");
        assert_eq!(conflicts(answer), [".spec.cpu", ".spec.nics[name=\"eth0\"].mac"]);
        assert_eq!(t.get(&t.widget("a")).await.json["spec"]["cpu"], 4);
    });
}

#[test]
fn a_conflict_with_an_update() {
    case(async |t| {
        t.create("a").await;
        let path = query(&t.widget("a"), &[("fieldManager", "kubectl-edit")]);
        t.merge(&path, &json!({"spec": {"cpu": 8}})).await.is(200);
        let body = t.with_spec("a", json!({"cpu": 9}));
        let answer = t.apply(&t.widget("a"), "one", &body).await;
        let cause = answer.json["details"]["causes"][0]["message"].as_str().unwrap_or_default();
        assert!(cause.contains("\"kubectl-edit\""), "{cause}");
        assert_eq!(conflicts(answer), [".spec.cpu"]);
    });
}

#[test]
fn force_takes_the_field() {
    case(async |t| {
        let body = t.with_spec("a", json!({"region": "eu-west", "cpu": 4}));
        t.apply(&t.widget("a"), "one", &body).await.is(201);
        let body = t.with_spec("a", json!({"cpu": 5}));
        let answer = t.force(&t.widget("a"), "two", &body).await.is(200).json;
        assert_eq!(answer["spec"]["cpu"], 5);
        assert_eq!(owned(&answer, "one"), json!({"f:spec": {"f:region": {}}}));
        assert_eq!(owned(&answer, "two"), json!({"f:spec": {"f:cpu": {}}}));
    });
}

#[test]
fn equal_values_are_shared() {
    case(async |t| {
        let body = t.with_spec("a", json!({"region": "eu-west", "cpu": 4}));
        t.apply(&t.widget("a"), "one", &body).await.is(201);
        let body = t.with_spec("a", json!({"cpu": 4}));
        let answer = t.apply(&t.widget("a"), "two", &body).await.is(200).json;
        assert_eq!(owned(&answer, "one"), json!({"f:spec": {"f:region": {}, "f:cpu": {}}}));
        assert_eq!(owned(&answer, "two"), json!({"f:spec": {"f:cpu": {}}}));
        // One lets go, the other still has it; then both, and it is gone (or has its default).
        let body = t.with_spec("a", json!({"region": "eu-west"}));
        let answer = t.apply(&t.widget("a"), "one", &body).await.is(200).json;
        assert_eq!(answer["spec"]["cpu"], 4);
        let mut body = t.with_spec("a", json!({}));
        body.as_object_mut().unwrap().remove("spec");
        let answer = t.apply(&t.widget("a"), "two", &body).await.is(200).json;
        assert_eq!(answer["spec"]["cpu"], 2);
        assert_eq!(entry(&answer, "two", "Apply"), None);
    });
}

#[test]
fn what_is_left_out_is_removed() {
    case(async |t| {
        let mut body = t.with_spec(
            "a",
            json!({
                "region": "eu-west",
                "ip": "10.0.0.1",
                "nics": [{"name": "eth0", "mac": "aa"}, {"name": "eth1"}],
                "tags": ["a", "b"],
                "settings": {"x": "1", "y": "2"},
            }),
        );
        body["metadata"]["labels"] = json!({"one": "1", "two": "2"});
        t.apply(&t.widget("a"), "one", &body).await.is(201);
        let mut body = t.with_spec(
            "a",
            json!({
                "region": "eu-west",
                "nics": [{"name": "eth1"}],
                "tags": ["b"],
                "settings": {"y": "2"},
            }),
        );
        body["metadata"]["labels"] = json!({"two": "2"});
        let answer = t.apply(&t.widget("a"), "one", &body).await.is(200).json;
        assert_eq!(answer["metadata"]["labels"], json!({"two": "2"}));
        assert_eq!(answer["spec"].get("ip"), None);
        assert_eq!(answer["spec"]["nics"], json!([{"name": "eth1", "speed": 10}]));
        assert_eq!(answer["spec"]["tags"], json!(["b"]));
        assert_eq!(answer["spec"]["settings"], json!({"y": "2"}));
    });
}

#[test]
fn managers_share_list_maps_and_sets() {
    case(async |t| {
        let spec =
            json!({"region": "eu-west", "nics": [{"name": "eth0", "mac": "aa"}], "tags": ["a"]});
        t.apply(&t.widget("a"), "one", &t.with_spec("a", spec)).await.is(201);
        let spec = json!({"nics": [{"name": "eth1", "mac": "bb"}], "tags": ["b"]});
        let answer = t.apply(&t.widget("a"), "two", &t.with_spec("a", spec)).await.is(200).json;
        let nics = json!([{"name": "eth0", "mac": "aa", "speed": 10}, {"name": "eth1", "mac": "bb", "speed": 10}]);
        assert_eq!(answer["spec"]["nics"], nics);
        assert_eq!(answer["spec"]["tags"], json!(["a", "b"]));
        let two = json!({"f:spec": {
            "f:nics": {"k:{\"name\":\"eth1\"}": {".": {}, "f:name": {}, "f:mac": {}}},
            "f:tags": {"v:\"b\"": {}},
        }});
        assert_eq!(owned(&answer, "two"), two);
        // One lets go of its own; what is the other's stays.
        let spec = json!({"region": "eu-west"});
        let answer = t.apply(&t.widget("a"), "one", &t.with_spec("a", spec)).await.is(200).json;
        assert_eq!(answer["spec"]["nics"], json!([{"name": "eth1", "mac": "bb", "speed": 10}]));
        assert_eq!(answer["spec"]["tags"], json!(["b"]));
    });
}

#[test]
fn atomic_lists_and_maps_are_one_field() {
    case(async |t| {
        let spec = json!({"region": "eu-west", "parts": ["x"], "blob": {"a": "1"}});
        let answer = t.apply(&t.widget("a"), "one", &t.with_spec("a", spec)).await.is(201).json;
        let one = json!({"f:spec": {"f:region": {}, "f:parts": {}, "f:blob": {}}});
        assert_eq!(owned(&answer, "one"), one);
        let spec = json!({"parts": ["x", "y"], "blob": {"b": "2"}});
        let body = t.with_spec("a", spec);
        let answer = t.apply(&t.widget("a"), "two", &body).await;
        assert_eq!(conflicts(answer), [".spec.blob", ".spec.parts"]);
        let answer = t.force(&t.widget("a"), "two", &body).await.is(200).json;
        assert_eq!(answer["spec"]["blob"], json!({"b": "2"}));
        assert_eq!(answer["spec"]["parts"], json!(["x", "y"]));
    });
}

#[test]
fn an_update_takes_ownership() {
    case(async |t| {
        let body = t.with_spec("a", json!({"region": "eu-west", "cpu": 4}));
        t.apply(&t.widget("a"), "one", &body).await.is(201);
        let path = query(&t.widget("a"), &[("fieldManager", "two")]);
        let answer = t.merge(&path, &json!({"spec": {"cpu": 5}})).await.is(200).json;
        assert_eq!(owned(&answer, "one"), json!({"f:spec": {"f:region": {}}}));
        let update = entry(&answer, "two", "Update").expect("an entry");
        assert_eq!(update["fieldsV1"], json!({"f:spec": {"f:cpu": {}}}));
        // Apply entries come first.
        let operations: Vec<_> = answer["metadata"]["managedFields"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["operation"].clone())
            .collect();
        assert_eq!(operations, ["Apply", "Update"]);
        // A field that was taken is not removed by leaving it out.
        let body = t.with_spec("a", json!({"region": "eu-west"}));
        let answer = t.apply(&t.widget("a"), "one", &body).await.is(200).json;
        assert_eq!(answer["spec"]["cpu"], 5);
    });
}

#[test]
fn status() {
    case(async |t| {
        let path = format!("{}/status", t.widget("a"));
        let mut body = t.new_widget("a");
        body.as_object_mut().unwrap().remove("spec");
        body["status"] =
            json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
        t.apply(&path, "agent", &body).await.fails(404, "NotFound");
        t.apply(&t.widget("a"), "one", &t.new_widget("a")).await.is(201);
        let answer = t.apply(&path, "agent", &body).await.is(200).json;
        assert_eq!(answer["status"], body["status"]);
        assert_eq!(answer["metadata"]["generation"], 1);
        let mine = entry(&answer, "agent", "Apply").expect("an entry");
        assert_eq!(mine["subresource"], "status");
        let fields = json!({"f:status": {
            "f:phase": {},
            "f:conditions": {"k:{\"type\":\"Ready\"}": {".": {}, "f:type": {}, "f:status": {}}},
        }});
        assert_eq!(mine["fieldsV1"], fields);
        // A second manager with a condition of its own.
        body["status"] = json!({"conditions": [{"type": "Reachable", "status": "False"}]});
        let answer = t.apply(&path, "monitor", &body).await.is(200).json;
        assert_eq!(answer["status"]["conditions"].as_array().unwrap().len(), 2);
        // Status through the main path is ignored.
        let mut body = t.new_widget("a");
        body["status"] = json!({"phase": "Stopped"});
        let answer = t.apply(&t.widget("a"), "one", &body).await.is(200).json;
        assert_eq!(answer["status"]["phase"], "Running");
    });
}

#[test]
fn one_manager_on_both_paths_has_two_entries() {
    case(async |t| {
        t.apply(&t.widget("a"), "one", &t.new_widget("a")).await.is(201);
        let mut body = t.new_widget("a");
        body.as_object_mut().unwrap().remove("spec");
        body["status"] = json!({"phase": "Running"});
        let path = format!("{}/status", t.widget("a"));
        let answer = t.apply(&path, "one", &body).await.is(200).json;
        let fields = answer["metadata"]["managedFields"].as_array().unwrap();
        assert_eq!(fields.iter().filter(|entry| entry["operation"] == "Apply").count(), 2);
        // Applying the spec does not let go of the status.
        let answer = t.apply(&t.widget("a"), "one", &t.new_widget("a")).await.is(200).json;
        assert_eq!(answer["status"]["phase"], "Running");
    });
}

#[test]
fn resource_version_is_a_lock() {
    case(async |t| {
        let stored = t.apply(&t.widget("a"), "one", &t.new_widget("a")).await.is(201).json;
        let mut body = t.with_spec("a", json!({"region": "eu-west", "cpu": 3}));
        body["metadata"]["resourceVersion"] = stored["metadata"]["resourceVersion"].clone();
        t.apply(&t.widget("a"), "one", &body).await.is(200);
        body["spec"]["cpu"] = json!(4);
        t.apply(&t.widget("a"), "one", &body).await.fails(409, "Conflict");
    });
}

#[test]
fn what_does_not_fit_the_schema_is_refused() {
    case(async |t| {
        t.apply(&t.widget("a"), "one", &t.new_widget("a")).await.is(201);
        for spec in [
            json!({"unknown": 1}),
            json!({"cpu": "many"}),
            json!({"tags": ["a", "a"]}),
            json!({"nics": [{"name": "a"}, {"name": "a"}]}),
            json!({"nics": [{"mac": "no key"}]}),
        ] {
            let answer = t.apply(&t.widget("a"), "one", &t.with_spec("a", spec)).await;
            // 500 without a reason is what kube-apiserver says to most of them.
            assert!((400..=500).contains(&answer.status), "{answer}");
        }
        let invalid = t.with_spec("a", json!({"region": "mars"}));
        let answer = t.apply(&t.widget("a"), "one", &invalid).await;
        answer.invalid("FieldValueNotSupported", "spec.region");
        let path = query(&t.widget("a"), &[("fieldManager", "one"), ("fieldValidation", "Strict")]);
        let unknown = t.with_spec("a", json!({"region": "eu-west", "unknown": 1}));
        let answer = t.patch(&path, APPLY, &unknown).await;
        assert!((400..=500).contains(&answer.status), "{answer}");
    });
}

#[test]
fn managed_fields_can_be_cleared() {
    case(async |t| {
        t.apply(&t.widget("a"), "one", &t.new_widget("a")).await.is(201);
        let patch = json!({"metadata": {"managedFields": [{}]}});
        let answer = t.merge(&t.widget("a"), &patch).await.is(200).json;
        assert_eq!(answer["metadata"].get("managedFields"), None, "{answer}");
        // An empty list does nothing.
        t.apply(&t.widget("a"), "one", &t.new_widget("a")).await.is(200);
        let patch = json!({"metadata": {"managedFields": []}});
        let answer = t.merge(&t.widget("a"), &patch).await.is(200).json;
        assert!(entry(&answer, "one", "Apply").is_some(), "{answer}");
    });
}

#[test]
fn dry_run() {
    case(async |t| {
        let path = query(&t.widget("a"), &[("dryRun", "All")]);
        t.apply(&path, "one", &t.new_widget("a")).await.is(201);
        t.get(&t.widget("a")).await.fails(404, "NotFound");
    });
}

#[test]
fn built_in_kinds() {
    case(async |t| {
        let path = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases/a", t.ns);
        let lease = |holder: &str| {
            json!({
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": "a"},
                "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15},
            })
        };
        let answer = t.apply(&path, "one", &lease("one")).await.is(201).json;
        let fields = json!({"f:spec": {"f:holderIdentity": {}, "f:leaseDurationSeconds": {}}});
        assert_eq!(owned(&answer, "one"), fields);
        let answer = t.apply(&path, "two", &lease("two")).await;
        assert_eq!(conflicts(answer), [".spec.holderIdentity"]);
        let answer = t.force(&path, "two", &lease("two")).await.is(200).json;
        assert_eq!(answer["spec"]["holderIdentity"], "two");

        let path = format!("{}/a", t.core("configmaps"));
        let map = |data: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data});
        t.apply(&path, "one", &map(json!({"x": "1"}))).await.is(201);
        t.apply(&path, "two", &map(json!({"y": "2"}))).await.is(200);
        let answer = t.apply(&path, "one", &map(json!({"z": "3"}))).await.is(200).json;
        assert_eq!(answer["data"], json!({"y": "2", "z": "3"}));
    });
}

#[test]
fn namespaces() {
    case(async |t| {
        let path = format!("/api/v1/namespaces/{}", t.ns);
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": t.ns, "labels": {"team": "a"}}});
        let answer = t.apply(&path, "one", &body).await.is(200).json;
        assert_eq!(answer["metadata"]["labels"]["team"], "a");
        assert_eq!(answer["metadata"]["labels"]["kubernetes.io/metadata.name"], t.ns);
        assert_eq!(owned(&answer, "one"), json!({"f:metadata": {"f:labels": {"f:team": {}}}}));
    });
}

#[test]
fn many_managers_at_once() {
    case(async |t| {
        t.apply(&t.widget("a"), "one", &t.new_widget("a")).await.is(201);
        let path = t.widget("a");
        let apply = async |t: &Case, number: usize| {
            let name = format!("eth{number}");
            let body = t.with_spec("a", json!({"nics": [{"name": name}]}));
            t.apply(&path, &name, &body).await.is(200);
        };
        // kube-apiserver tries five times.
        futures::future::join_all((0..4).map(|number| apply(&t, number))).await;
        let answer = t.get(&path).await.is(200).json;
        assert_eq!(answer["spec"]["nics"].as_array().unwrap().len(), 4);
    });
}

/// How kubectl moves fields from client-side to server-side apply.
#[test]
fn managed_fields_can_be_rewritten() {
    case(async |t| {
        let path = query(&t.widgets(), &[("fieldManager", "kubectl-client-side-apply")]);
        let stored = t.post(&path, &t.new_widget("a")).await.is(201).json;
        let mut fields = stored["metadata"]["managedFields"].clone();
        fields[0]["manager"] = json!("kubectl");
        fields[0]["operation"] = json!("Apply");
        let patch = json!([
            {"op": "replace", "path": "/metadata/managedFields", "value": fields},
            {"op": "replace", "path": "/metadata/resourceVersion", "value": stored["metadata"]["resourceVersion"]},
        ]);
        let answer = t.patch(&t.widget("a"), crate::client::JSON_PATCH, &patch).await.is(200).json;
        assert!(entry(&answer, "kubectl", "Apply").is_some(), "{answer}");
        assert!(entry(&answer, "kubectl-client-side-apply", "Update").is_none(), "{answer}");
    });
}

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What `kubectl apply` makes on the client: the object and, in an annotation, what was applied.
fn applied_by_the_client(t: &Case, spec: Value) -> Value {
    let mut object = t.with_spec("a", spec);
    let text = object.to_string();
    object["metadata"]["annotations"] = json!({LAST_APPLIED: text});
    object
}

/// `kubectl apply --server-side` after `kubectl apply`: kubectl does not conflict with itself, and
/// the annotation stays true.
#[test]
fn kubectl_moves_from_client_side_apply() {
    case(async |t| {
        let path = query(&t.widgets(), &[("fieldManager", "kubectl-client-side-apply")]);
        let object = applied_by_the_client(&t, json!({"region": "eu-west", "cpu": 4}));
        t.post(&path, &object).await.is(201);
        let next = t.with_spec("a", json!({"region": "eu-west", "cpu": 8}));
        let answer = t.apply(&t.widget("a"), "other", &next).await;
        assert_eq!(conflicts(answer), [".spec.cpu"]);
        let answer = t.apply(&t.widget("a"), "kubectl", &next).await.is(200).json;
        assert_eq!(answer["spec"]["cpu"], 8);
        assert_eq!(owned(&answer, "kubectl"), json!({"f:spec": {"f:region": {}, "f:cpu": {}}}));
        let last = answer["metadata"]["annotations"][LAST_APPLIED].as_str().unwrap();
        let last: Value = serde_json::from_str(last).unwrap();
        assert_eq!(last["spec"], next["spec"]);
    });
}

/// What someone else has changed since is a conflict for kubectl too.
#[test]
fn kubectl_conflicts_with_others() {
    case(async |t| {
        let path = query(&t.widgets(), &[("fieldManager", "kubectl-client-side-apply")]);
        let object = applied_by_the_client(&t, json!({"region": "eu-west", "cpu": 4}));
        t.post(&path, &object).await.is(201);
        let path = query(&t.widget("a"), &[("fieldManager", "other")]);
        t.merge(&path, &json!({"spec": {"cpu": 5}})).await.is(200);
        let next = t.with_spec("a", json!({"region": "eu-west", "cpu": 8}));
        let answer = t.apply(&t.widget("a"), "kubectl", &next).await;
        assert_eq!(conflicts(answer), [".spec.cpu"]);
    });
}
