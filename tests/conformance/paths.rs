//! Paths that lead nowhere, and methods that are not for a path.

use serde_json::json;

use crate::client::query;
use crate::world::case;

#[test]
fn what_is_not_served_is_not_found_in_plain_text() {
    case(async |t| {
        for path in [
            "/apis/nope.example.com/v1/things",
            &format!("/apis/{}/v7/widgets", t.group),
            &format!("/apis/{}/v1/nopes", t.group),
            &format!("/apis/{}/v1/namespaces/default/nopes", t.group),
            "/nope",
        ] {
            let answer = t.get(path).await.is(404);
            assert!(answer.header("content-type").starts_with("text/plain"), "{path}: {answer}");
            assert_eq!(answer.text().trim_end(), "404 page not found", "{path}");
        }
    });
}

#[test]
fn a_missing_object_is_a_status() {
    case(async |t| {
        for (method, body) in [("GET", None), ("DELETE", None), ("PUT", Some(t.new_widget("a")))] {
            let mut object = body.unwrap_or_default();
            if method == "PUT" {
                object["metadata"]["resourceVersion"] = json!("1");
            }
            let headers = [("content-type", "application/json")];
            let body = if method == "PUT" { object.to_string() } else { String::new() };
            let answer = t.send(method, &t.widget("a"), &headers, body).await;
            answer.fails(404, "NotFound").about("a", &t.group, "widgets");
        }
        let patch = t.merge(&t.widget("a"), &json!({})).await;
        patch.fails(404, "NotFound").about("a", &t.group, "widgets");
        let zone = t.get(&format!("{}/nowhere", t.zones())).await;
        zone.fails(404, "NotFound").about("nowhere", &t.group, "zones");
        let map = t.get(&format!("{}/a", t.core("configmaps"))).await;
        map.fails(404, "NotFound").about("a", "", "configmaps");
    });
}

#[test]
fn a_list_without_a_namespace_is_of_all() {
    case(async |t| {
        t.create(&t.ns).await;
        let all = format!("/apis/{}/v1/widgets", t.group);
        let selector = format!("metadata.name={}", t.ns);
        let list = t.get(&query(&all, &[("fieldSelector", &selector)])).await.is(200);
        assert_eq!(list.names(), [t.ns.as_str()]);
        assert_eq!(list.json["items"][0]["metadata"]["namespace"], t.ns);
        let other = format!("/apis/{}/v1/namespaces/default/widgets/{}", t.group, t.ns);
        t.get(&other).await.fails(404, "NotFound");
    });
}

#[test]
fn a_list_of_a_namespace_that_is_not_there_is_empty() {
    case(async |t| {
        let path = format!("/apis/{}/v1/namespaces/{}-nope/widgets", t.group, t.ns);
        let none: [&str; 0] = [];
        assert_eq!(t.get(&path).await.is(200).names(), none);
    });
}

#[test]
fn writes_need_a_namespace() {
    case(async |t| {
        let all = format!("/apis/{}/v1/widgets", t.group);
        let answer = t.post(&all, &t.new_widget("a")).await;
        assert!(matches!(answer.status, 404 | 405), "{answer}");
        let answer = t.delete(&all).await;
        assert!(matches!(answer.status, 404 | 405), "{answer}");
        let answer = t.get(&format!("{all}/a")).await;
        assert!(matches!(answer.status, 404 | 405), "{answer}");
    });
}

#[test]
fn methods_that_are_not_allowed() {
    case(async |t| {
        for (method, path) in [
            ("OPTIONS", t.widgets()),
            ("POST", format!("{}/a", t.core("configmaps"))),
            ("PATCH", t.core("configmaps")),
        ] {
            let headers = [("content-type", "application/json")];
            t.send(method, &path, &headers, "{}").await.fails(405, "MethodNotAllowed");
        }
        for (method, path) in
            [("PATCH", t.widgets()), ("PUT", t.widgets()), ("PUT", t.core("configmaps"))]
        {
            let headers = [("content-type", "application/json")];
            let answer = t.send(method, &path, &headers, t.new_widget("a").to_string()).await;
            assert!((400..=415).contains(&answer.status), "{answer}");
        }
    });
}

#[test]
fn subresources_that_are_not_there() {
    case(async |t| {
        t.create("a").await;
        t.get(&format!("{}/nope", t.widget("a"))).await.is(404);
        t.get(&format!("{}/scale", t.widget("a"))).await.is(404);
        t.post(&t.gadgets(), &t.object("Gadget", "a", json!({}))).await.is(201);
        let status = format!("{}/a/status", t.gadgets());
        t.get(&status).await.is(404);
        t.put(&status, &t.object("Gadget", "a", json!({}))).await.is(404);
        t.merge(&status, &json!({"status": {}})).await.is(404);
    });
}

#[test]
fn names_in_paths_are_unescaped() {
    case(async |t| {
        t.create("a.b").await;
        t.get(&t.widget("a%2Eb")).await.is(200);
        t.get(&t.widget("a%2Fb")).await.is(404);
    });
}
