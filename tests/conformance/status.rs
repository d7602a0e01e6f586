//! The status subresource.

use serde_json::json;

use crate::world::case;

#[test]
fn the_main_path_ignores_status() {
    case(async |t| {
        let mut widget = t.create("a").await;
        widget["status"] = json!({"phase": "Running"});
        let answer = t.put(&t.widget("a"), &widget).await.is(200).json;
        assert_eq!(answer.get("status"), None);
        assert_eq!(answer["metadata"]["resourceVersion"], widget["metadata"]["resourceVersion"]);
        let answer =
            t.merge(&t.widget("a"), &json!({"status": {"phase": "Running"}})).await.is(200);
        assert_eq!(answer.json.get("status"), None);
    });
}

#[test]
fn the_status_path_ignores_the_rest() {
    case(async |t| {
        let mut widget = t.create("a").await;
        let path = format!("{}/status", t.widget("a"));
        widget["status"] = json!({"phase": "Running"});
        widget["spec"]["cpu"] = json!(77);
        widget["metadata"]["labels"] = json!({"a": "b"});
        let answer = t.put(&path, &widget).await.is(200).json;
        assert_eq!(answer["status"], json!({"phase": "Running"}));
        assert_eq!(answer["spec"]["cpu"], 2);
        assert_eq!(answer["metadata"].get("labels"), None);
        assert_eq!(answer["metadata"]["generation"], 1);
        assert_ne!(answer["metadata"]["resourceVersion"], widget["metadata"]["resourceVersion"]);
        let patch = json!({"status": {"observedGeneration": 1}, "spec": {"cpu": 78}});
        let answer = t.merge(&path, &patch).await.is(200).json;
        assert_eq!(answer["status"], json!({"phase": "Running", "observedGeneration": 1}));
        assert_eq!(answer["spec"]["cpu"], 2);
    });
}

#[test]
fn get() {
    case(async |t| {
        let stored = t.create("a").await;
        assert_eq!(t.get(&format!("{}/status", t.widget("a"))).await.is(200).json, stored);
        let missing = t.get(&format!("{}/status", t.widget("b"))).await;
        missing.fails(404, "NotFound").about("b", &t.group, "widgets");
    });
}

#[test]
fn is_locked_like_the_rest() {
    case(async |t| {
        let mut widget = t.create("a").await;
        t.merge(&t.widget("a"), &json!({"spec": {"cpu": 3}})).await.is(200);
        let path = format!("{}/status", t.widget("a"));
        widget["status"] = json!({"phase": "Running"});
        t.put(&path, &widget).await.fails(409, "Conflict").about("a", &t.group, "widgets");
        widget["metadata"].as_object_mut().unwrap().remove("resourceVersion");
        t.put(&path, &widget).await.invalid("FieldValueInvalid", "metadata.resourceVersion");
    });
}

#[test]
fn is_validated_and_pruned() {
    case(async |t| {
        t.create("a").await;
        let path = format!("{}/status", t.widget("a"));
        let answer = t.merge(&path, &json!({"status": {"phase": "Flying"}})).await;
        answer.invalid("FieldValueNotSupported", "status.phase");
        let patch = json!({"status": {"phase": "Running", "unknown": 1}});
        let answer = t.merge(&path, &patch).await.is(200).json;
        assert_eq!(answer["status"], json!({"phase": "Running"}));
    });
}

#[test]
fn its_manager_has_the_subresource() {
    case(async |t| {
        t.create("a").await;
        let path = crate::client::query(
            &format!("{}/status", t.widget("a")),
            &[("fieldManager", "agent")],
        );
        let answer = t.merge(&path, &json!({"status": {"phase": "Running"}})).await.is(200).json;
        let fields = answer["metadata"]["managedFields"].as_array().unwrap();
        let mine = fields.iter().find(|entry| entry["manager"] == "agent").expect("an entry");
        assert_eq!(mine["subresource"], "status");
        assert_eq!(mine["fieldsV1"], json!({"f:status": {".": {}, "f:phase": {}}}));
    });
}

#[test]
fn nothing_changed_keeps_the_version() {
    case(async |t| {
        t.create("a").await;
        let path = format!("{}/status", t.widget("a"));
        let patch = json!({"status": {"phase": "Running"}});
        let first = t.merge(&path, &patch).await.is(200).json;
        assert_eq!(t.merge(&path, &patch).await.is(200).json, first);
    });
}
