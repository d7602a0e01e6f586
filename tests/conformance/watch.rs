//! Watches.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::client::{JSON, query};
use crate::world::{DEFINITIONS, case, definition, served};

fn number(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
}

fn text(object: &Value) -> &str {
    object["metadata"]["resourceVersion"].as_str().unwrap()
}

#[test]
fn headers_come_before_events() {
    case(async |t| {
        // The answer to this begins although there is nothing to say.
        let watch = t.watch(&t.widgets(), &[]).await;
        assert_eq!(watch.headers["content-type"], JSON);
    });
}

#[test]
fn all_that_happens() {
    case(async |t| {
        let list = t.get(&t.widgets()).await.is(200);
        let from = list.version_of_resource();
        let mut watch = t.watch(&t.widgets(), &[("resourceVersion", &from)]).await;
        let added = t.create("a").await;
        assert_eq!(watch.expect("ADDED", "a").await, added);
        let changed = t.merge(&t.widget("a"), &json!({"spec": {"cpu": 3}})).await.is(200).json;
        assert_eq!(watch.expect("MODIFIED", "a").await, changed);
        let status = json!({"status": {"phase": "Running"}});
        let changed = t.merge(&format!("{}/status", t.widget("a")), &status).await.is(200).json;
        assert_eq!(watch.expect("MODIFIED", "a").await, changed);
        t.delete(&t.widget("a")).await.is(200);
        let deleted = watch.expect("DELETED", "a").await;
        // The last state, with the version of the deletion.
        assert_eq!(deleted["spec"], changed["spec"]);
        assert!(number(&deleted) > number(&changed));
        for object in [&added, &changed, &deleted] {
            assert_eq!(object["kind"], "Widget");
            assert_eq!(object["apiVersion"], format!("{}/v1", t.group));
        }
    });
}

#[test]
fn one_event_is_one_line() {
    case(async |t| {
        t.create_with("a", json!({"annotations": {"text": "two\nlines"}})).await;
        let mut watch = t.watch(&t.widgets(), &[]).await;
        let line = watch.line().await.unwrap();
        assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1));
        assert!(
            line.starts_with(b"{\"type\":\"ADDED\",\"object\":{"),
            "{}",
            String::from_utf8_lossy(&line)
        );
    });
}

#[test]
fn from_nothing_begins_with_what_is_there() {
    case(async |t| {
        t.create("a").await;
        t.create("b").await;
        for version in ["", "0"] {
            let mut watch = t.watch(&t.widgets(), &[("resourceVersion", version)]).await;
            let mut names = Vec::new();
            for _ in 0..2 {
                let event = watch.next().await.unwrap();
                assert_eq!(event["type"], "ADDED");
                names.push(event["object"]["metadata"]["name"].as_str().unwrap().to_owned());
            }
            names.sort_unstable();
            assert_eq!(names, ["a", "b"]);
            t.merge(&t.widget("a"), &json!({"metadata": {"labels": {"v": format!("x{version}")}}}))
                .await
                .is(200);
            watch.expect("MODIFIED", "a").await;
        }
    });
}

#[test]
fn from_a_version_goes_on_without_a_gap() {
    case(async |t| {
        let first = t.create("a").await;
        let mut all = vec![first.clone()];
        for cpu in 3..13 {
            all.push(t.merge(&t.widget("a"), &json!({"spec": {"cpu": cpu}})).await.is(200).json);
        }
        for start in 0..all.len() {
            let mut watch = t.watch(&t.widgets(), &[("resourceVersion", text(&all[start]))]).await;
            for object in &all[start + 1..] {
                assert_eq!(&watch.expect("MODIFIED", "a").await, object);
            }
        }
    });
}

#[test]
fn after_a_list_nothing_is_missed_or_twice() {
    case(async |t| {
        let writer = async {
            for number in 0..40 {
                t.create(&format!("a{number:02}")).await;
            }
        };
        let reader = async {
            let list = t.until(&t.widgets(), |answer| answer.names().len() > 3).await;
            let from = list.version_of_resource();
            let mut watch = t.watch(&t.widgets(), &[("resourceVersion", &from)]).await;
            let mut names = list.names();
            let mut last = from.parse::<u64>().unwrap();
            while names.len() < 40 {
                let event = watch.next().await.unwrap();
                assert_eq!(event["type"], "ADDED");
                let object = &event["object"];
                assert!(number(object) > last, "{last}: {event}");
                last = number(object);
                names.push(object["metadata"]["name"].as_str().unwrap().to_owned());
            }
            names
        };
        let ((), names) = tokio::join!(writer, reader);
        let wanted: Vec<_> = (0..40).map(|number| format!("a{number:02}")).collect();
        assert_eq!(names, wanted);
    });
}

#[test]
fn many_watchers_see_the_same() {
    case(async |t| {
        let from = t.get(&t.widgets()).await.is(200).version_of_resource();
        let path = t.widgets();
        let parameters = [("resourceVersion", from.as_str())];
        let watches = (0..50).map(|_| t.watch(&path, &parameters));
        let mut watches = futures::future::join_all(watches).await;
        let names: Vec<_> = (0..10).map(|number| format!("a{number}")).collect();
        for name in &names {
            t.create(name).await;
        }
        for watch in &mut watches {
            for name in &names {
                watch.expect("ADDED", name).await;
            }
        }
    });
}

#[test]
fn too_old_is_an_event() {
    case(async |t| {
        t.create("a").await;
        let mut watch = t.watch(&t.widgets(), &[("resourceVersion", "1")]).await;
        let event = watch.next().await.unwrap();
        assert_eq!(event["type"], "ERROR", "{event}");
        let status = &event["object"];
        assert_eq!((&status["kind"], &status["apiVersion"]), (&json!("Status"), &json!("v1")));
        assert_eq!((&status["code"], &status["reason"]), (&json!(410), &json!("Expired")));
        assert_eq!(status["status"], "Failure");
        watch.expect_end().await;
    });
}

#[test]
fn the_word_watch() {
    case(async |t| {
        for value in ["1", "true", "True"] {
            t.create("a").await;
            let mut watch = t.watching(&query(&t.widgets(), &[("watch", value)]), JSON).await;
            watch.expect("ADDED", "a").await;
            t.delete(&t.widget("a")).await.is(200);
        }
        for value in ["0", "false"] {
            let answer = t.get(&query(&t.widgets(), &[("watch", value)])).await.is(200);
            assert_eq!(answer.json["kind"], "WidgetList", "{value}");
        }
    });
}

#[test]
fn a_timeout_ends_it() {
    case(async |t| {
        let began = Instant::now();
        let mut watch = t.watch(&t.widgets(), &[("timeoutSeconds", "1")]).await;
        watch.expect_end().await;
        assert!(began.elapsed() >= Duration::from_millis(900), "{:?}", began.elapsed());
    });
}

#[test]
fn bookmarks_if_allowed() {
    case(async |t| {
        // One comes about two seconds before the end. A machine that is too busy for the event before
        // it gets more time.
        let mut found = None;
        for seconds in [5, 20, 60] {
            let name = format!("b{seconds}");
            let stored = t.create(&format!("a{seconds}")).await;
            let (began, length) = (Instant::now(), seconds.to_string());
            let parameters = [
                ("resourceVersion", text(&stored)),
                ("allowWatchBookmarks", "true"),
                ("timeoutSeconds", &length),
            ];
            let mut watch = t.watch(&t.widgets(), &parameters).await;
            // A cache that has seen no event has no place to mark.
            let stored = t.create(&name).await;
            let first = watch.next().await;
            if began.elapsed() > Duration::from_secs(seconds - 3) {
                continue;
            }
            let first = first.expect("an event");
            assert_eq!((&first["type"], &first["object"]), (&json!("ADDED"), &stored));
            found = Some((watch, stored));
            break;
        }
        let (mut watch, stored) = found.expect("an event within 57 s");
        let event = watch.next().await.expect("a bookmark before the end");
        assert_eq!(event["type"], "BOOKMARK");
        let object = event["object"].as_object().unwrap();
        assert_eq!(object["kind"], "Widget");
        assert_eq!(object["apiVersion"], format!("{}/v1", t.group));
        assert!(number(&event["object"]) >= number(&stored));
        assert_eq!(object.get("spec"), None);
        while let Some(event) = watch.next().await {
            assert_eq!(event["type"], "BOOKMARK", "{event}");
        }
    });
}

#[test]
fn no_bookmarks_otherwise() {
    case(async |t| {
        let stored = t.create("a").await;
        let parameters = [("resourceVersion", text(&stored)), ("timeoutSeconds", "3")];
        t.watch(&t.widgets(), &parameters).await.expect_end().await;
    });
}

#[test]
fn a_bookmark_is_a_place_to_go_on_from() {
    case(async |t| {
        t.create("a").await;
        let parameters = [
            ("allowWatchBookmarks", "true"),
            ("sendInitialEvents", "true"),
            ("resourceVersionMatch", "NotOlderThan"),
        ];
        let mut watch = t.watch(&t.widgets(), &parameters).await;
        watch.expect("ADDED", "a").await;
        let bookmark = watch.initial_events_end().await;
        t.create("b").await;
        let mut next = t.watch(&t.widgets(), &[("resourceVersion", text(&bookmark))]).await;
        next.expect("ADDED", "b").await;
        watch.expect("ADDED", "b").await;
    });
}

#[test]
fn streaming_lists() {
    case(async |t| {
        let (a, b) = (t.create("a").await, t.create("b").await);
        let version = text(&b).to_owned();
        for version in ["", "0", &version] {
            let parameters = [
                ("allowWatchBookmarks", "true"),
                ("sendInitialEvents", "true"),
                ("resourceVersionMatch", "NotOlderThan"),
                ("resourceVersion", version),
            ];
            // With version 0 a cache may be behind.
            t.until(&query(&t.widgets(), &[("resourceVersion", "0")]), |list| {
                list.names().len() == 2
            })
            .await;
            let mut watch = t.watch(&t.widgets(), &parameters).await;
            assert_eq!(watch.expect("ADDED", "a").await, a);
            assert_eq!(watch.expect("ADDED", "b").await, b);
            let end = watch.initial_events_end().await;
            assert_eq!(end["kind"], "Widget");
            assert_eq!(end["apiVersion"], format!("{}/v1", t.group));
            assert!(number(&end) >= number(&b), "{end}");
        }
    });
}

#[test]
fn streaming_lists_of_nothing() {
    case(async |t| {
        let parameters = [
            ("allowWatchBookmarks", "true"),
            ("sendInitialEvents", "true"),
            ("resourceVersionMatch", "NotOlderThan"),
        ];
        let mut watch = t.watch(&t.widgets(), &parameters).await;
        watch.initial_events_end().await;
        t.create("a").await;
        watch.expect("ADDED", "a").await;
    });
}

#[test]
fn streaming_lists_without_bookmarks_have_no_mark() {
    case(async |t| {
        t.create("a").await;
        let parameters = [("sendInitialEvents", "true"), ("resourceVersionMatch", "NotOlderThan")];
        let mut watch = t.watch(&t.widgets(), &parameters).await;
        watch.expect("ADDED", "a").await;
        t.create("b").await;
        watch.expect("ADDED", "b").await;
    });
}

#[test]
fn no_initial_events_if_not_wanted() {
    case(async |t| {
        let stored = t.create("a").await;
        let parameters = [
            ("sendInitialEvents", "false"),
            ("resourceVersionMatch", "NotOlderThan"),
            ("resourceVersion", text(&stored)),
        ];
        let mut watch = t.watch(&t.widgets(), &parameters).await;
        t.create("b").await;
        watch.expect("ADDED", "b").await;
    });
}

#[test]
fn options_are_checked_before_the_stream() {
    case(async |t| {
        let get = async |parameters: &[(&str, &str)]| {
            let path = query(&query(&t.widgets(), &[("watch", "true")]), parameters);
            t.get(&path).await
        };
        get(&[("sendInitialEvents", "true")]).await.fails(422, "Invalid");
        get(&[("sendInitialEvents", "true"), ("resourceVersionMatch", "Exact")])
            .await
            .fails(422, "Invalid");
        get(&[("resourceVersionMatch", "NotOlderThan"), ("resourceVersion", "1")])
            .await
            .fails(422, "Invalid");
        get(&[("labelSelector", "a=b=c")]).await.fails(400, "BadRequest");
        get(&[("fieldSelector", "spec.ip=x")]).await.fails(400, "BadRequest");
        let answer = get(&[("resourceVersion", "nonsense")]).await;
        // 500 is what kube-apiserver says.
        assert!(matches!(answer.status, 400 | 500), "{answer}");
    });
}

#[test]
fn label_selector_transitions() {
    case(async |t| {
        let from = t.get(&t.widgets()).await.is(200).version_of_resource();
        let parameters = [("resourceVersion", from.as_str()), ("labelSelector", "app=web")];
        let mut watch = t.watch(&t.widgets(), &parameters).await;
        t.create("other").await;
        t.create_with("a", json!({"labels": {"app": "db"}})).await;
        let label = |value: &str| json!({"metadata": {"labels": {"app": value}}});
        t.merge(&t.widget("a"), &label("web")).await.is(200);
        watch.expect("ADDED", "a").await;
        t.merge(&t.widget("a"), &json!({"spec": {"cpu": 3}})).await.is(200);
        watch.expect("MODIFIED", "a").await;
        let left = t.merge(&t.widget("a"), &label("db")).await.is(200).json;
        let event = watch.expect("DELETED", "a").await;
        // What it was when it still matched, with the version of the change.
        assert_eq!(event["metadata"]["labels"]["app"], "web");
        assert_eq!(number(&event), number(&left));
        t.merge(&t.widget("a"), &json!({"spec": {"cpu": 4}})).await.is(200);
        t.delete(&t.widget("a")).await.is(200);
        t.create_with("b", json!({"labels": {"app": "web"}})).await;
        watch.expect("ADDED", "b").await;
    });
}

#[test]
fn field_selector_transitions() {
    case(async |t| {
        let from = t.get(&t.widgets()).await.is(200).version_of_resource();
        let parameters =
            [("resourceVersion", from.as_str()), ("fieldSelector", "spec.region=us-east")];
        let mut watch = t.watch(&t.widgets(), &parameters).await;
        t.create("a").await;
        let region = |value: &str| json!({"spec": {"region": value}});
        t.merge(&t.widget("a"), &region("us-east")).await.is(200);
        watch.expect("ADDED", "a").await;
        t.merge(&t.widget("a"), &region("ap-south")).await.is(200);
        let event = watch.expect("DELETED", "a").await;
        assert_eq!(event["spec"]["region"], "us-east");
    });
}

#[test]
fn one_name() {
    case(async |t| {
        t.create("a").await;
        t.create("b").await;
        let mut watch = t.watch(&t.widgets(), &[("fieldSelector", "metadata.name=b")]).await;
        watch.expect("ADDED", "b").await;
        t.delete(&t.widget("a")).await.is(200);
        t.delete(&t.widget("b")).await.is(200);
        watch.expect("DELETED", "b").await;
    });
}

#[test]
fn all_namespaces() {
    case(async |t| {
        let all = format!("/apis/{}/v1/widgets", t.group);
        let name = t.ns.clone();
        let selector = format!("metadata.name={name}");
        let mut watch = t.watch(&all, &[("fieldSelector", &selector)]).await;
        t.create(&name).await;
        let object = watch.expect("ADDED", &name).await;
        assert_eq!(object["metadata"]["namespace"], t.ns);
    });
}

#[test]
fn built_in_kinds() {
    case(async |t| {
        let from = t.get(&t.core("configmaps")).await.is(200).version_of_resource();
        let parameters = [("resourceVersion", from.as_str()), ("fieldSelector", "metadata.name=a")];
        let mut watch = t.watch(&t.core("configmaps"), &parameters).await;
        let map = t.post(&t.core("configmaps"), &json!({"metadata": {"name": "a"}})).await.is(201);
        assert_eq!(watch.expect("ADDED", "a").await, map.json);
        let mut watch = t
            .watch("/api/v1/namespaces", &[("fieldSelector", &format!("metadata.name={}", t.ns))])
            .await;
        let namespace = watch.expect("ADDED", &t.ns).await;
        assert_eq!(
            (&namespace["kind"], &namespace["apiVersion"]),
            (&json!("Namespace"), &json!("v1"))
        );
    });
}

#[test]
fn a_definition_that_goes_ends_its_watches() {
    case(async |t| {
        let group = format!("{}.example.com", t.ns);
        let schema = json!({"openAPIV3Schema": {"type": "object"}});
        let definition = definition(&group, "Thing", "Namespaced", json!({"schema": schema}));
        t.post(DEFINITIONS, &definition).await.is(201);
        served(t.server(), &definition).await;
        let path = format!("/apis/{group}/v1/namespaces/{}/things", t.ns);
        let object = json!({"apiVersion": format!("{group}/v1"), "kind": "Thing", "metadata": {"name": "a"}});
        t.post(&path, &object).await.is(201);
        let mut watch = t.watch(&path, &[]).await;
        watch.expect("ADDED", "a").await;
        let name = definition["metadata"]["name"].as_str().unwrap();
        t.delete(&format!("{DEFINITIONS}/{name}")).await.is(200);
        watch.expect("DELETED", "a").await;
        watch.expect_end().await;
    });
}

#[test]
fn a_reader_that_does_not_read_holds_nobody_up() {
    case(async |t| {
        let text = "x".repeat(100_000);
        let object = |name: &str| t.object("Gadget", name, json!({"text": text}));
        // This one asks for much more than a socket holds, and reads none of it.
        let stuck = t.stuck(&query(&t.gadgets(), &[("watch", "true")])).await;
        for number in 0..60 {
            t.post(&t.gadgets(), &object(&format!("a{number:02}"))).await.is(201);
        }
        let mut watch = t.watch(&t.gadgets(), &[]).await;
        for _ in 0..60 {
            assert_eq!(watch.next().await.unwrap()["type"], "ADDED");
        }
        drop(stuck);
    });
}
