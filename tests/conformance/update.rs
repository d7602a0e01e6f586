//! PUT, resourceVersion and generation.

use serde_json::{Value, json};

use crate::client::Answer;
use crate::world::{Case, case};

fn number(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
}

#[test]
fn a_change() {
    case(async |t| {
        let mut widget = t.create("a").await;
        widget["spec"]["cpu"] = json!(8);
        let answer = t.put(&t.widget("a"), &widget).await.is(200).json;
        assert_eq!(answer["spec"]["cpu"], 8);
        assert_eq!(answer["metadata"]["generation"], 2);
        assert!(number(&answer) > number(&widget));
        for field in ["uid", "creationTimestamp", "name", "namespace"] {
            assert_eq!(answer["metadata"][field], widget["metadata"][field]);
        }
        assert_eq!(t.get(&t.widget("a")).await.is(200).json, answer);
    });
}

#[test]
fn whole_object_is_replaced() {
    case(async |t| {
        let mut widget = t.new_widget("a");
        widget["spec"]["ip"] = json!("10.0.0.1");
        widget["metadata"]["labels"] = json!({"a": "b"});
        let stored = t.post(&t.widgets(), &widget).await.is(201).json;
        let mut next = t.new_widget("a");
        next["metadata"]["resourceVersion"] = stored["metadata"]["resourceVersion"].clone();
        let answer = t.put(&t.widget("a"), &next).await.is(200).json;
        assert_eq!(answer["spec"].get("ip"), None);
        assert_eq!(answer["metadata"].get("labels"), None);
        assert_eq!(answer["metadata"]["uid"], stored["metadata"]["uid"]);
    });
}

#[test]
fn an_old_resource_version_is_a_conflict() {
    case(async |t| {
        let mut widget = t.create("a").await;
        t.merge(&t.widget("a"), &json!({"spec": {"cpu": 3}})).await.is(200);
        widget["spec"]["cpu"] = json!(4);
        let answer = t.put(&t.widget("a"), &widget).await;
        let answer = answer.fails(409, "Conflict").about("a", &t.group, "widgets");
        let message = answer.json["message"].as_str().unwrap();
        assert!(message.contains("the object has been modified; please apply your changes to the latest version and try again"), "{message}");
        assert_eq!(t.get(&t.widget("a")).await.json["spec"]["cpu"], 3);
    });
}

#[test]
fn of_many_writers_with_one_version_one_wins() {
    case(async |t| {
        let widget = t.create("a").await;
        let path = t.widget("a");
        let put = async |t: &Case, cpu: usize| -> Answer {
            let mut widget = widget.clone();
            widget["spec"]["cpu"] = json!(cpu);
            t.put(&path, &widget).await
        };
        let all = futures::future::join_all((10..20).map(|cpu| put(&t, cpu))).await;
        let statuses: Vec<_> = all.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
        assert!(statuses.iter().all(|status| matches!(status, 200 | 409)), "{statuses:?}");
    });
}

#[test]
fn a_custom_kind_needs_a_resource_version() {
    case(async |t| {
        t.create("a").await;
        let answer = t.put(&t.widget("a"), &t.new_widget("a")).await;
        answer
            .invalid("FieldValueInvalid", "metadata.resourceVersion")
            .about("a", &t.group, "widgets");
    });
}

#[test]
fn some_built_in_kinds_need_none() {
    case(async |t| {
        let path = t.core("configmaps");
        let map = json!({"metadata": {"name": "a"}, "data": {"a": "b"}});
        t.post(&path, &map).await.is(201);
        let next = json!({"metadata": {"name": "a"}, "data": {"c": "d"}});
        let answer = t.put(&format!("{path}/a"), &next).await.is(200);
        assert_eq!(answer.json["data"], json!({"c": "d"}));
        let path = t.core("secrets");
        t.post(&path, &json!({"metadata": {"name": "a"}})).await.is(201);
        t.put(&format!("{path}/a"), &json!({"metadata": {"name": "a"}})).await.is(200);
        let path = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", t.ns);
        t.post(&path, &json!({"metadata": {"name": "a"}})).await.is(201);
        let answer = t.put(&format!("{path}/a"), &json!({"metadata": {"name": "a"}})).await;
        answer.invalid("FieldValueInvalid", "metadata.resourceVersion");
    });
}

#[test]
fn another_uid_is_a_conflict() {
    case(async |t| {
        let mut widget = t.create("a").await;
        widget["metadata"]["uid"] = json!("11111111-1111-4111-8111-111111111111");
        t.put(&t.widget("a"), &widget).await.fails(409, "Conflict");
    });
}

#[test]
fn another_name_or_namespace_is_refused() {
    case(async |t| {
        let widget = t.create("a").await;
        let mut other = widget.clone();
        other["metadata"]["name"] = json!("b");
        t.put(&t.widget("a"), &other).await.fails(400, "BadRequest");
        let mut other = widget.clone();
        other["metadata"]["namespace"] = json!("default");
        t.put(&t.widget("a"), &other).await.fails(400, "BadRequest");
    });
}

#[test]
fn what_is_not_there_is_not_created() {
    case(async |t| {
        let mut widget = t.new_widget("a");
        widget["metadata"]["resourceVersion"] = json!("1");
        let answer = t.put(&t.widget("a"), &widget).await;
        answer.fails(404, "NotFound").about("a", &t.group, "widgets");
    });
}

#[test]
fn nothing_changed_keeps_the_version() {
    case(async |t| {
        let widget = t.create("a").await;
        let mut watch =
            t.watch(&t.widgets(), &[("resourceVersion", &number(&widget).to_string())]).await;
        let answer = t.put(&t.widget("a"), &widget).await.is(200).json;
        assert_eq!(number(&answer), number(&widget));
        // Another manager that changes nothing changes nothing either.
        let path = crate::client::query(&t.widget("a"), &[("fieldManager", "other")]);
        assert_eq!(number(&t.put(&path, &widget).await.is(200).json), number(&widget));
        let patch = json!({"spec": {"region": "eu-west"}});
        assert_eq!(number(&t.merge(&path, &patch).await.is(200).json), number(&widget));
        t.create("marker").await;
        watch.expect("ADDED", "marker").await;
    });
}

#[test]
fn generation_counts_changes_of_the_spec() {
    case(async |t| {
        t.create("a").await;
        let path = t.widget("a");
        for (patch, generation) in [
            (json!({"metadata": {"labels": {"a": "b"}}}), 1),
            (json!({"metadata": {"annotations": {"a": "b"}}}), 1),
            (json!({"metadata": {"finalizers": ["example.com/f"]}}), 1),
            (json!({"spec": {"cpu": 3}}), 2),
            (json!({"spec": {"cpu": 3}}), 2),
            (json!({"metadata": {"generation": 50}, "spec": {"cpu": 4}}), 3),
            (json!({"metadata": {"finalizers": null}}), 3),
        ] {
            let answer = t.merge(&path, &patch).await.is(200).json;
            assert_eq!(answer["metadata"]["generation"], generation, "{patch}");
        }
        let status = json!({"status": {"phase": "Running"}});
        let answer = t.merge(&format!("{path}/status"), &status).await.is(200).json;
        assert_eq!(answer["metadata"]["generation"], 3);
    });
}

#[test]
fn generation_without_a_status_subresource() {
    case(async |t| {
        t.post(&t.gadgets(), &t.object("Gadget", "a", json!({"a": 1}))).await.is(201);
        let path = format!("{}/a", t.gadgets());
        for (patch, generation) in [
            (json!({"metadata": {"labels": {"a": "b"}}}), 1),
            (json!({"status": {"phase": "x"}}), 2),
            (json!({"spec": {"a": 2}}), 3),
        ] {
            let answer = t.merge(&path, &patch).await.is(200).json;
            assert_eq!(answer["metadata"]["generation"], generation, "{patch}");
        }
    });
}

#[test]
fn kinds_without_a_spec_have_no_generation() {
    case(async |t| {
        for (plural, object) in [
            ("configmaps", json!({"metadata": {"name": "a"}})),
            ("secrets", json!({"metadata": {"name": "a"}})),
        ] {
            let answer = t.post(&t.core(plural), &object).await.is(201);
            assert_eq!(answer.json["metadata"].get("generation"), None, "{answer}");
        }
    });
}

#[test]
fn what_is_fixed_stays() {
    case(async |t| {
        let mut widget = t.create("a").await;
        let created = widget["metadata"]["creationTimestamp"].clone();
        widget["metadata"]["creationTimestamp"] = json!("2001-01-01T00:00:00Z");
        widget["spec"]["cpu"] = json!(5);
        let answer = t.put(&t.widget("a"), &widget).await;
        // Kept, or refused.
        if answer.status == 200 {
            assert_eq!(answer.json["metadata"]["creationTimestamp"], created);
        } else {
            answer.invalid("FieldValueInvalid", "metadata.creationTimestamp");
        }
        let patch = json!({"metadata": {"uid": "11111111-1111-4111-8111-111111111111"}});
        let answer = t.merge(&t.widget("a"), &patch).await;
        assert!(matches!(answer.status, 409 | 422), "{answer}");
    });
}

#[test]
fn resource_versions_are_of_the_whole_store() {
    case(async |t| {
        let first = number(&t.create("a").await);
        let map = t.post(&t.core("configmaps"), &json!({"metadata": {"name": "a"}})).await.is(201);
        let second = number(&map.json);
        let third = number(&t.create("b").await);
        assert!(first < second && second < third, "{first} {second} {third}");
    });
}
