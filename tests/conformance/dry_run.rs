//! `dryRun` and `fieldValidation`.

use serde_json::json;

use crate::client::{JSON, query};
use crate::world::case;

const ALL: [(&str, &str); 1] = [("dryRun", "All")];

#[test]
fn create() {
    case(async |t| {
        let answer = t.post(&query(&t.widgets(), &ALL), &t.new_widget("a")).await.is(201).json;
        let meta = &answer["metadata"];
        assert!(meta["uid"].is_string(), "{meta}");
        assert_eq!(meta["generation"], 1);
        assert_eq!(meta.get("resourceVersion"), None);
        assert_eq!(answer["spec"]["cpu"], 2);
        t.get(&t.widget("a")).await.fails(404, "NotFound");
        let bad = t.with_spec("a", json!({"region": "mars"}));
        let answer = t.post(&query(&t.widgets(), &ALL), &bad).await;
        answer.invalid("FieldValueNotSupported", "spec.region");
        t.create("a").await;
        let answer = t.post(&query(&t.widgets(), &ALL), &t.new_widget("a")).await;
        answer.fails(409, "AlreadyExists");
    });
}

#[test]
fn changes() {
    case(async |t| {
        let stored = t.create("a").await;
        let version = stored["metadata"]["resourceVersion"].as_str().unwrap();
        let mut watch = t.watch(&t.widgets(), &[("resourceVersion", version)]).await;
        let path = query(&t.widget("a"), &ALL);
        let mut changed = stored.clone();
        changed["spec"]["cpu"] = json!(9);
        let answer = t.put(&path, &changed).await.is(200).json;
        assert_eq!(
            (&answer["spec"]["cpu"], &answer["metadata"]["generation"]),
            (&json!(9), &json!(2))
        );
        let answer = t.merge(&path, &json!({"spec": {"cpu": 9}})).await.is(200).json;
        assert_eq!(answer["spec"]["cpu"], 9);
        let status = query(&format!("{}/status", t.widget("a")), &ALL);
        let answer = t.merge(&status, &json!({"status": {"phase": "Running"}})).await.is(200);
        assert_eq!(answer.json["status"]["phase"], "Running");
        assert_eq!(t.get(&t.widget("a")).await.is(200).json, stored);
        t.create("marker").await;
        watch.expect("ADDED", "marker").await;
    });
}

#[test]
fn delete() {
    case(async |t| {
        let stored = t.create("a").await;
        t.delete(&query(&t.widget("a"), &ALL)).await.is(200);
        t.delete_with(&t.widget("a"), &json!({"dryRun": ["All"]})).await.is(200);
        t.delete(&query(&t.widgets(), &ALL)).await.is(200);
        assert_eq!(t.get(&t.widget("a")).await.is(200).json, stored);
    });
}

#[test]
fn other_values() {
    case(async |t| {
        let path = query(&t.widgets(), &[("dryRun", "Some")]);
        let answer = t.post(&path, &t.new_widget("a")).await;
        answer.invalid("FieldValueNotSupported", "dryRun");
        t.create("a").await;
        let path = query(&t.widget("a"), &[("dryRun", "Some")]);
        t.merge(&path, &json!({})).await.invalid("FieldValueNotSupported", "dryRun");
        t.delete(&path).await.invalid("FieldValueNotSupported", "dryRun");
    });
}

#[test]
fn field_validation() {
    case(async |t| {
        let mut widget = t.new_widget("a");
        widget["spec"]["unknown"] = json!(1);
        let path =
            |mode: &str| query(&t.widgets(), &[("fieldValidation", mode), ("dryRun", "All")]);
        let answer = t.post(&path("Strict"), &widget).await.fails(400, "BadRequest");
        let message = answer.json["message"].as_str().unwrap();
        assert!(
            message.contains("strict decoding error: unknown field \"spec.unknown\""),
            "{message}"
        );
        let answer = t.post(&path("Warn"), &widget).await.is(201);
        assert!(answer.header("warning").contains("spec.unknown"), "{:?}", answer.headers);
        assert_eq!(answer.json["spec"].get("unknown"), None);
        let answer = t.post(&path("Ignore"), &widget).await.is(201);
        assert_eq!(answer.header("warning"), "");
        assert_eq!(answer.json["spec"].get("unknown"), None);
        t.post(&path("Nonsense"), &widget)
            .await
            .invalid("FieldValueNotSupported", "fieldValidation");
        t.post(&path("Strict"), &t.new_widget("a")).await.is(201);
    });
}

#[test]
fn field_validation_finds_duplicates() {
    case(async |t| {
        let body = format!(
            r#"{{"apiVersion":"{}/v1","kind":"Widget","metadata":{{"name":"a"}},"spec":{{"region":"ap-south","region":"eu-west"}}}}"#,
            t.group
        );
        let headers = [("content-type", JSON)];
        let path = query(&t.widgets(), &[("fieldValidation", "Strict")]);
        let answer = t.send("POST", &path, &headers, body.clone()).await.fails(400, "BadRequest");
        let message = answer.json["message"].as_str().unwrap();
        assert!(message.contains("duplicate field \"spec.region\""), "{message}");
        let answer = t.send("POST", &t.widgets(), &headers, body).await.is(201);
        assert!(answer.header("warning").contains("duplicate field"), "{:?}", answer.headers);
        assert_eq!(answer.json["spec"]["region"], "eu-west");
    });
}

#[test]
fn field_validation_of_changes() {
    case(async |t| {
        let mut stored = t.create("a").await;
        stored["spec"]["unknown"] = json!(1);
        let path = query(&t.widget("a"), &[("fieldValidation", "Strict")]);
        t.put(&path, &stored).await.fails(400, "BadRequest");
        let patch = json!({"spec": {"unknown": 1}});
        let answer = t.merge(&path, &patch).await;
        assert!(matches!(answer.status, 400 | 422), "{answer}");
        let answer = t.merge(&t.widget("a"), &patch).await.is(200);
        assert!(answer.header("warning").contains("spec.unknown"), "{:?}", answer.headers);
    });
}

#[test]
fn field_validation_of_built_in_kinds() {
    case(async |t| {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "unknown": 1});
        let path = query(&t.core("configmaps"), &[("fieldValidation", "Strict")]);
        t.post(&path, &map).await.fails(400, "BadRequest");
        let answer = t.post(&t.core("configmaps"), &map).await.is(201);
        assert_eq!(answer.json.get("unknown"), None);
    });
}
