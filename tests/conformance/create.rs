//! POST to a collection.

use serde_json::{Value, json};

use crate::client::{JSON, query};
use crate::world::{Case, case};

#[test]
fn what_the_server_gives() {
    case(async |t| {
        let answer = t.post(&t.widgets(), &t.new_widget("a")).await.is(201);
        let meta = &answer.json["metadata"];
        assert_eq!(answer.json["apiVersion"], format!("{}/v1", t.group));
        assert_eq!(answer.json["kind"], "Widget");
        assert_eq!(meta["name"], "a");
        assert_eq!(meta["namespace"], t.ns);
        assert_eq!(meta["generation"], 1);
        let uid = uuid::Uuid::parse_str(&answer.meta("uid")).unwrap();
        assert_eq!(uid.get_version_num(), 4);
        let created = answer.meta("creationTimestamp");
        assert!(
            created.ends_with('Z') && !created.contains('.') && created.len() == 20,
            "{created}"
        );
        assert!(answer.version_of_resource().parse::<u64>().unwrap() > 0);
        assert_eq!(answer.json["spec"]["region"], "eu-west");
        assert_eq!(answer.json.get("status"), None);
        let stored = t.get(&t.widget("a")).await.is(200);
        assert_eq!(stored.json, answer.json);
    });
}

#[test]
fn the_field_manager() {
    case(async |t| {
        let path = query(&t.widgets(), &[("fieldManager", "tester")]);
        let answer = t.post(&path, &t.new_widget("a")).await.is(201).json;
        let entry = &answer["metadata"]["managedFields"][0];
        assert_eq!(entry["manager"], "tester");
        assert_eq!(entry["operation"], "Update");
        assert_eq!(entry["apiVersion"], format!("{}/v1", t.group));
        assert_eq!(entry["fieldsType"], "FieldsV1");
        assert!(entry["time"].is_string());
        let spec = json!({".": {}, "f:region": {}, "f:cpu": {}, "f:color": {}, "f:note": {}});
        assert_eq!(entry["fieldsV1"], json!({"f:spec": spec}));
        // Otherwise the first word of the user agent.
        let headers = [("content-type", JSON), ("user-agent", "curl/8.5.0 (linux)")];
        let body = t.new_widget("b").to_string();
        let answer = t.send("POST", &t.widgets(), &headers, body).await.is(201).json;
        assert_eq!(answer["metadata"]["managedFields"][0]["manager"], "curl");
        // Or nobody that is known.
        let answer = t.post(&t.widgets(), &t.new_widget("d")).await.is(201).json;
        assert_eq!(answer["metadata"]["managedFields"][0]["manager"], "unknown");
        let path = query(&t.widgets(), &[("fieldManager", &"x".repeat(129))]);
        t.post(&path, &t.new_widget("c")).await.invalid("FieldValueTooLong", "fieldManager");
    });
}

#[test]
fn what_the_client_may_not_give() {
    case(async |t| {
        let mut widget = t.new_widget("a");
        widget["metadata"]["uid"] = json!("11111111-1111-4111-8111-111111111111");
        widget["metadata"]["creationTimestamp"] = json!("2001-01-01T00:00:00Z");
        widget["metadata"]["generation"] = json!(77);
        widget["metadata"]["deletionTimestamp"] = json!("2001-01-01T00:00:00Z");
        widget["metadata"]["selfLink"] = json!("/somewhere");
        widget["status"] = json!({"phase": "Running"});
        let stored = t.post(&t.widgets(), &widget).await.is(201).json;
        let meta = &stored["metadata"];
        assert_ne!(meta["uid"], widget["metadata"]["uid"]);
        assert_ne!(meta["creationTimestamp"], widget["metadata"]["creationTimestamp"]);
        assert_eq!(meta["generation"], 1);
        assert_eq!(meta.get("deletionTimestamp"), None);
        assert_eq!(meta.get("selfLink"), None);
        assert_eq!(stored.get("status"), None);
    });
}

#[test]
fn status_is_kept_without_a_status_subresource() {
    case(async |t| {
        let mut gadget = t.object("Gadget", "a", json!({}));
        gadget["status"] = json!({"phase": "Running"});
        let stored = t.post(&t.gadgets(), &gadget).await.is(201).json;
        assert_eq!(stored["status"], gadget["status"]);
    });
}

#[test]
fn what_is_there_already() {
    case(async |t| {
        t.create("a").await;
        let answer = t.post(&t.widgets(), &t.new_widget("a")).await;
        answer.fails(409, "AlreadyExists").about("a", &t.group, "widgets");
        let configmap = json!({"metadata": {"name": "a"}});
        t.post(&t.core("configmaps"), &configmap).await.is(201);
        let answer = t.post(&t.core("configmaps"), &configmap).await;
        answer.fails(409, "AlreadyExists").about("a", "", "configmaps");
    });
}

#[test]
fn generated_names() {
    case(async |t| {
        let mut widget = t.new_widget("a");
        widget["metadata"] = json!({"generateName": "host-"});
        let mut names = Vec::new();
        for _ in 0..3 {
            let name = t.post(&t.widgets(), &widget).await.is(201).meta("name");
            let random = name.strip_prefix("host-").expect("the prefix").to_owned();
            assert_eq!(random.len(), 5, "{name}");
            assert!(random.chars().all(|c| "bcdfghjklmnpqrstvwxz2456789".contains(c)), "{name}");
            assert!(!names.contains(&name));
            names.push(name);
        }
        widget["metadata"] = json!({"generateName": "n".repeat(70)});
        let name = t.post(&t.widgets(), &widget).await.is(201).meta("name");
        assert_eq!(name.len(), 63, "{name}");
        widget["metadata"] = json!({"generateName": "host-", "name": "set"});
        assert_eq!(t.post(&t.widgets(), &widget).await.is(201).meta("name"), "set");
    });
}

#[test]
fn names_are_checked() {
    case(async |t| {
        for name in ["Upper", "under_score", "-dash", "dot.", "a b", "a/b", &"n".repeat(254)] {
            let answer = t.post(&t.widgets(), &t.new_widget(name)).await;
            answer.invalid("FieldValueInvalid", "metadata.name").about(name, &t.group, "Widget");
        }
        t.post(&t.widgets(), &t.new_widget(&"n".repeat(253))).await.is(201);
        t.post(&t.widgets(), &t.new_widget("a.b-c.1")).await.is(201);
        let mut nameless = t.new_widget("a");
        nameless["metadata"] = json!({});
        t.post(&t.widgets(), &nameless).await.invalid("FieldValueRequired", "metadata.name");
    });
}

#[test]
fn labels_and_annotations_are_checked() {
    case(async |t| {
        for (field, value) in [
            ("labels", json!({"bad key": "x"})),
            ("labels", json!({"key": "bad value"})),
            ("labels", json!({"key": "x".repeat(64)})),
            ("annotations", json!({"bad key": "x"})),
            ("finalizers", json!(["bad finalizer"])),
        ] {
            let mut widget = t.new_widget("a");
            widget["metadata"][field] = value;
            let answer = t.post(&t.widgets(), &widget).await.fails(422, "Invalid");
            let at = answer.json["details"]["causes"][0]["field"].as_str().unwrap_or_default();
            assert!(at.starts_with(&format!("metadata.{field}")), "{answer}");
        }
        let mut widget = t.new_widget("a");
        widget["metadata"]["labels"] = json!({"example.com/key": "", "Key_1": "Val.ue_1"});
        widget["metadata"]["annotations"] = json!({"example.com/key": "any text\nat all"});
        widget["metadata"]["finalizers"] = json!([]);
        t.post(&t.widgets(), &widget).await.is(201);
    });
}

#[test]
fn the_kind_must_be_the_path_s() {
    case(async |t| {
        let mut widget = t.new_widget("a");
        widget["kind"] = json!("Gadget");
        let answer = t.post(&t.widgets(), &widget).await;
        answer.invalid("FieldValueInvalid", "kind").about("a", &t.group, "Gadget");
        widget.as_object_mut().unwrap().remove("kind");
        t.post(&t.widgets(), &widget).await.fails(400, "BadRequest");
        let mut widget = t.new_widget("a");
        widget["apiVersion"] = json!("example.com/v1");
        let answer = t.post(&t.widgets(), &widget).await;
        assert!(matches!(answer.status, 400 | 422), "{answer}");
        widget.as_object_mut().unwrap().remove("apiVersion");
        let answer = t.post(&t.widgets(), &widget).await;
        assert!(matches!(answer.status, 400 | 422), "{answer}");
        let wrong = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}});
        t.post(&t.core("configmaps"), &wrong).await.fails(400, "BadRequest");
    });
}

#[test]
fn kind_may_be_missing_for_built_in_kinds() {
    case(async |t| {
        let answer = t.post(&t.core("configmaps"), &json!({"metadata": {"name": "a"}})).await;
        assert_eq!(answer.is(201).json["kind"], "ConfigMap");
    });
}

#[test]
fn the_namespace_must_be_the_path_s() {
    case(async |t| {
        let mut widget = t.new_widget("a");
        widget["metadata"]["namespace"] = json!("default");
        t.post(&t.widgets(), &widget).await.fails(400, "BadRequest");
        widget["metadata"]["namespace"] = json!(t.ns);
        t.post(&t.widgets(), &widget).await.is(201);
    });
}

#[test]
fn the_namespace_must_be_there() {
    case(async |t| {
        let missing = format!("{}-nope", t.ns);
        let path = format!("/apis/{}/v1/namespaces/{missing}/widgets", t.group);
        let answer = t.post(&path, &t.new_widget("a")).await;
        answer.fails(404, "NotFound").about(&missing, "", "namespaces");
    });
}

#[test]
fn bodies_that_are_no_objects() {
    case(async |t| {
        for body in ["", "{", "nonsense", "[]", "\"text\"", "null", "1", "{\"kind\":1}", "\u{0}"] {
            let headers = [("content-type", JSON)];
            let answer = t.send("POST", &t.widgets(), &headers, body).await;
            assert_eq!(answer.status, 400, "{body}: {answer}");
            assert_eq!(answer.json["kind"], "Status", "{body}: {answer}");
        }
        let mut wrong = t.new_widget("a");
        wrong["metadata"]["labels"] = json!(["not", "a", "map"]);
        let answer = t.post(&t.widgets(), &wrong).await;
        assert!(matches!(answer.status, 400 | 422), "{answer}");
        wrong["metadata"] = json!("text");
        let answer = t.post(&t.widgets(), &wrong).await;
        assert!(matches!(answer.status, 400 | 422), "{answer}");
    });
}

#[test]
fn a_resource_version_is_refused() {
    case(async |t| {
        let mut widget = t.new_widget("a");
        widget["metadata"]["resourceVersion"] = json!("5");
        let answer = t.post(&t.widgets(), &widget).await;
        // 500 without a reason is what kube-apiserver says.
        assert!(answer.status >= 400, "{answer}");
        t.get(&t.widget("a")).await.fails(404, "NotFound");
    });
}

#[test]
fn cluster_scoped_kinds() {
    case(async |t| {
        let zone = t.object("Zone", &t.ns, json!({}));
        let answer = t.post(&t.zones(), &zone).await.is(201);
        assert_eq!(answer.json["metadata"].get("namespace"), None);
        let path = format!("{}/{}", t.zones(), t.ns);
        assert_eq!(t.get(&path).await.is(200).json, answer.json);
        t.delete(&path).await.is(200);
        // No such path in a namespace.
        t.get(&t.custom("zones")).await.is(404);
    });
}

#[test]
fn what_custom_kinds_keep_of_unknown_metadata() {
    case(async |t| {
        let mut widget = t.new_widget("a");
        widget["metadata"]["unknown"] = json!("x");
        let answer = t.post(&t.widgets(), &widget).await.is(201);
        assert_eq!(answer.json["metadata"].get("unknown"), None);
    });
}

#[test]
fn many_at_once() {
    case(async |t| {
        let create = async |t: &Case, number: usize| {
            let name = format!("a{number}");
            t.post(&t.widgets(), &t.new_widget(&name)).await.is(201).version_of_resource()
        };
        let all = futures::future::join_all((0..20).map(|number| create(&t, number))).await;
        let mut versions = all.clone();
        versions.sort_unstable();
        versions.dedup();
        assert_eq!(versions.len(), all.len(), "{all:?}");
        // Of many who create the same one, one wins.
        let path = t.widgets();
        let object = t.new_widget("same");
        let all = futures::future::join_all((0..10).map(|_| t.post(&path, &object))).await;
        let statuses: Vec<_> = all.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
        assert!(statuses.iter().all(|status| matches!(status, 201 | 409)), "{statuses:?}");
    });
}

#[test]
fn unknown_parameters_are_ignored() {
    case(async |t| {
        let path = query(&t.widgets(), &[("nonsense", "1"), ("pretty", "false")]);
        let answer: Value = t.post(&path, &t.new_widget("a")).await.is(201).json;
        assert_eq!(answer["metadata"]["name"], "a");
    });
}
