//! DELETE, finalizers and owners.

use serde_json::json;

use crate::client::{JSON, query};
use crate::world::case;

#[test]
fn at_once() {
    case(async |t| {
        let stored = t.create("a").await;
        let answer = t.delete(&t.widget("a")).await.is(200);
        assert_eq!(answer.json["kind"], "Status");
        assert_eq!(answer.json["status"], "Success");
        assert_eq!(answer.json["details"]["uid"], stored["metadata"]["uid"]);
        let answer = answer.about("a", &t.group, "widgets");
        drop(answer);
        t.get(&t.widget("a")).await.fails(404, "NotFound");
        t.delete(&t.widget("a")).await.fails(404, "NotFound").about("a", &t.group, "widgets");
        // A new one of the same name is another one.
        assert_ne!(t.create("a").await["metadata"]["uid"], stored["metadata"]["uid"]);
    });
}

#[test]
fn bodies() {
    case(async |t| {
        let options =
            json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"});
        for body in [json!({}).to_string(), options.to_string(), String::new()] {
            t.create("a").await;
            let headers = [("content-type", JSON)];
            t.send("DELETE", &t.widget("a"), &headers, body).await.is(200);
        }
        t.create("a").await;
        t.send("DELETE", &t.widget("a"), &[("content-type", JSON)], "{")
            .await
            .fails(400, "BadRequest");
        let yaml = [("content-type", "application/yaml")];
        t.send("DELETE", &t.widget("a"), &yaml, "propagationPolicy: Background\n").await.is(200);
    });
}

#[test]
fn finalizers_hold() {
    case(async |t| {
        let stored =
            t.create_with("a", json!({"finalizers": ["example.com/f", "example.com/g"]})).await;
        let version = stored["metadata"]["resourceVersion"].as_str().unwrap();
        let mut watch = t.watch(&t.widgets(), &[("resourceVersion", version)]).await;
        let first = t.delete(&t.widget("a")).await.is(200).json;
        assert_eq!(first["kind"], "Widget");
        let meta = &first["metadata"];
        assert!(meta["deletionTimestamp"].is_string());
        assert_eq!(meta["deletionGracePeriodSeconds"], 0);
        assert_eq!(meta["generation"], 2);
        assert_ne!(meta["resourceVersion"], stored["metadata"]["resourceVersion"]);
        assert_eq!(watch.expect("MODIFIED", "a").await, first);
        // Again: nothing happens.
        let second = t.delete(&t.widget("a")).await.is(200).json;
        assert_eq!(second, first);
        assert_eq!(t.get(&t.widget("a")).await.is(200).json, first);
        // One finalizer less: still there.
        let patch = json!({"metadata": {"finalizers": ["example.com/g"]}});
        let third = t.merge(&t.widget("a"), &patch).await.is(200).json;
        watch.expect("MODIFIED", "a").await;
        // None: gone with that request.
        let patch = json!({"metadata": {"finalizers": null}});
        let last = t.merge(&t.widget("a"), &patch).await.is(200).json;
        assert_eq!(last["kind"], "Widget");
        t.get(&t.widget("a")).await.fails(404, "NotFound");
        let event = watch.expect("DELETED", "a").await;
        let number = |object: &serde_json::Value| {
            object["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap()
        };
        assert!(number(&event) > number(&third));
    });
}

#[test]
fn what_is_being_deleted() {
    case(async |t| {
        t.create_with("a", json!({"finalizers": ["example.com/f"]})).await;
        let deleted = t.delete(&t.widget("a")).await.is(200).json;
        // No new finalizer.
        let patch = json!({"metadata": {"finalizers": ["example.com/f", "example.com/new"]}});
        let answer = t.merge(&t.widget("a"), &patch).await;
        answer.invalid("FieldValueForbidden", "metadata.finalizers");
        // No way back.
        let patch = json!({"metadata": {"deletionTimestamp": null}});
        let answer = t.merge(&t.widget("a"), &patch).await;
        if answer.status == 200 {
            assert!(answer.json["metadata"]["deletionTimestamp"].is_string(), "{answer}");
        } else {
            answer.fails(422, "Invalid");
        }
        // But other changes.
        let answer = t.merge(&t.widget("a"), &json!({"spec": {"cpu": 3}})).await.is(200);
        assert_eq!(answer.json["spec"]["cpu"], 3);
        let answer = t.post(&t.widgets(), &t.new_widget("a")).await;
        answer.fails(409, "AlreadyExists");
        // By PUT too it goes with its last finalizer.
        let mut object = t.get(&t.widget("a")).await.is(200).json;
        assert_eq!(object["metadata"]["uid"], deleted["metadata"]["uid"]);
        object["metadata"]["finalizers"] = json!([]);
        t.put(&t.widget("a"), &object).await.is(200);
        t.get(&t.widget("a")).await.fails(404, "NotFound");
    });
}

#[test]
fn preconditions() {
    case(async |t| {
        let stored = t.create("a").await;
        for preconditions in [json!({"uid": "other"}), json!({"resourceVersion": "1"})] {
            let options = json!({"preconditions": preconditions});
            let answer = t.delete_with(&t.widget("a"), &options).await.fails(409, "Conflict");
            assert_eq!(answer.json["details"]["name"], "a", "{answer}");
        }
        let preconditions = json!({
            "uid": stored["metadata"]["uid"],
            "resourceVersion": stored["metadata"]["resourceVersion"],
        });
        t.delete_with(&t.widget("a"), &json!({"preconditions": preconditions})).await.is(200);
    });
}

#[test]
fn propagation_policy() {
    case(async |t| {
        t.create("a").await;
        let path = |policy: &str| query(&t.widget("a"), &[("propagationPolicy", policy)]);
        t.delete(&path("Nonsense")).await.invalid("FieldValueNotSupported", "propagationPolicy");
        let both = json!({"propagationPolicy": "Background", "orphanDependents": true});
        t.delete_with(&t.widget("a"), &both).await.fails(422, "Invalid");
        t.delete(&path("Background")).await.is(200);
        t.create("a").await;
        t.delete(&query(&t.widget("a"), &[("gracePeriodSeconds", "30")])).await.is(200);
        t.get(&t.widget("a")).await.fails(404, "NotFound");
    });
}

#[test]
fn foreground_and_orphan_end() {
    case(async |t| {
        for policy in ["Foreground", "Orphan"] {
            t.create("a").await;
            let options = json!({"propagationPolicy": policy});
            t.delete_with(&t.widget("a"), &options).await.is(200);
            t.until(&t.widget("a"), |answer| answer.status == 404).await;
        }
    });
}

#[test]
fn a_collection() {
    case(async |t| {
        for (name, app) in [("a", "web"), ("b", "web"), ("c", "db")] {
            t.create_with(name, json!({"labels": {"app": app}})).await;
        }
        let path = query(&t.widgets(), &[("labelSelector", "app=nope")]);
        let answer = t.delete(&path).await.is(200);
        assert_eq!(answer.json["kind"], "WidgetList");
        assert_eq!(answer.json["items"], json!([]));
        let path = query(&t.widgets(), &[("labelSelector", "app=web")]);
        assert_eq!(t.delete(&path).await.is(200).names(), ["a", "b"]);
        assert_eq!(t.get(&t.widgets()).await.names(), ["c"]);
        let path = query(&t.widgets(), &[("fieldSelector", "metadata.name=c")]);
        assert_eq!(t.delete(&path).await.is(200).names(), ["c"]);
        t.post(&t.core("configmaps"), &json!({"metadata": {"name": "a"}})).await.is(201);
        t.delete(&t.core("configmaps")).await.is(200);
        t.get(&format!("{}/a", t.core("configmaps"))).await.fails(404, "NotFound");
    });
}

#[test]
fn a_collection_with_finalizers() {
    case(async |t| {
        t.create_with("a", json!({"finalizers": ["example.com/f"]})).await;
        t.create("b").await;
        t.delete(&t.widgets()).await.is(200);
        let list = t.get(&t.widgets()).await.is(200);
        assert_eq!(list.names(), ["a"]);
        assert!(list.json["items"][0]["metadata"]["deletionTimestamp"].is_string());
        t.merge(&t.widget("a"), &json!({"metadata": {"finalizers": null}})).await.is(200);
        t.get(&t.widget("a")).await.fails(404, "NotFound");
    });
}

#[test]
fn dependants_follow_their_owner() {
    case(async |t| {
        let owner = t.create("owner").await;
        let reference = json!([{
            "apiVersion": owner["apiVersion"],
            "kind": "Widget",
            "name": "owner",
            "uid": owner["metadata"]["uid"],
        }]);
        let map = json!({"metadata": {"name": "dependant", "ownerReferences": reference}});
        t.post(&t.core("configmaps"), &map).await.is(201);
        t.create_with("dependant", json!({"ownerReferences": reference})).await;
        t.create("other").await;
        t.delete(&t.widget("owner")).await.is(200);
        t.until(&t.widget("dependant"), |answer| answer.status == 404).await;
        let map = format!("{}/dependant", t.core("configmaps"));
        t.until(&map, |answer| answer.status == 404).await;
        t.get(&t.widget("other")).await.is(200);
    });
}

#[test]
fn owner_references_are_checked() {
    case(async |t| {
        let mut widget = t.new_widget("a");
        widget["metadata"]["ownerReferences"] =
            json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": ""}]);
        let answer = t.post(&t.widgets(), &widget).await.fails(422, "Invalid");
        let field = answer.json["details"]["causes"][0]["field"].as_str().unwrap();
        assert!(field.starts_with("metadata.ownerReferences"), "{field}");
    });
}

#[test]
fn built_in_kinds_answer_status_or_object() {
    case(async |t| {
        let object = json!({"metadata": {"name": "a"}});
        for path in [
            t.core("configmaps"),
            t.core("secrets"),
            format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", t.ns),
        ] {
            t.post(&path, &object).await.is(201);
            let answer = t.delete(&format!("{path}/a")).await.is(200);
            assert_eq!(answer.json["status"], "Success", "{answer}");
        }
    });
}
