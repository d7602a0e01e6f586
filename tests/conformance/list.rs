//! GET of a collection: order, versions, pages.

use serde_json::{Value, json};

use crate::client::{Answer, query};
use crate::world::{Case, case};

async fn create_many(t: &Case, count: usize) -> Vec<String> {
    let names: Vec<_> = (0..count).map(|number| format!("a{number:02}")).collect();
    futures::future::join_all(names.iter().map(|name| t.create(name))).await;
    names
}

fn version(answer: &Answer) -> u64 {
    answer.version_of_resource().parse().unwrap()
}

#[test]
fn shape() {
    case(async |t| {
        let empty = t.get(&t.widgets()).await.is(200);
        assert_eq!(empty.json["kind"], "WidgetList");
        assert_eq!(empty.json["apiVersion"], format!("{}/v1", t.group));
        assert_eq!(empty.json["items"], json!([]));
        assert!(version(&empty) > 0);
        let stored = t.create("a").await;
        let list = t.get(&t.widgets()).await.is(200);
        assert_eq!(list.json["items"], json!([stored]));
        assert!(
            version(&list)
                >= stored["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
        );
    });
}

#[test]
fn items_of_built_in_kinds_have_no_kind() {
    case(async |t| {
        t.post(&t.core("configmaps"), &json!({"metadata": {"name": "a"}})).await.is(201);
        let list = t.get(&t.core("configmaps")).await.is(200).json;
        assert_eq!((&list["kind"], &list["apiVersion"]), (&json!("ConfigMapList"), &json!("v1")));
        let item = list["items"]
            .as_array()
            .unwrap()
            .iter()
            .find(|i| i["metadata"]["name"] == "a")
            .unwrap();
        assert_eq!((item.get("kind"), item.get("apiVersion")), (None, None));
    });
}

#[test]
fn order_is_that_of_bytes() {
    case(async |t| {
        for name in ["b", "a-1", "a.1", "a1", "a", "10", "9"] {
            t.create(name).await;
        }
        let names = t.get(&t.widgets()).await.is(200).names();
        assert_eq!(names, ["10", "9", "a", "a-1", "a.1", "a1", "b"]);
    });
}

#[test]
fn a_list_shows_the_last_write() {
    case(async |t| {
        t.create("a").await;
        for cpu in 3..10 {
            t.merge(&t.widget("a"), &json!({"spec": {"cpu": cpu}})).await.is(200);
            let list = t.get(&t.widgets()).await.is(200);
            assert_eq!(list.json["items"][0]["spec"]["cpu"], cpu);
        }
    });
}

#[test]
fn pages() {
    case(async |t| {
        let names = create_many(&t, 7).await;
        let mut found = Vec::new();
        let mut token = String::new();
        let mut versions = Vec::new();
        loop {
            let mut parameters = vec![("limit", "3")];
            if !token.is_empty() {
                parameters.push(("continue", &token));
            }
            let page = t.get(&query(&t.widgets(), &parameters)).await.is(200);
            assert!(page.names().len() <= 3);
            found.extend(page.names());
            versions.push(version(&page));
            token = page.meta("continue");
            let remaining = page.json["metadata"]["remainingItemCount"].as_u64();
            if token.is_empty() {
                assert_eq!(remaining, None);
                break;
            }
            assert_eq!(remaining, Some((names.len() - found.len()) as u64));
            // Pages are of one moment: what comes in between is not in them.
            t.create(&format!("a{:02}x", found.len())).await;
        }
        assert_eq!(found, names);
        assert!(versions.windows(2).all(|two| two[0] == two[1]), "{versions:?}");
    });
}

#[test]
fn pages_of_a_moment_keep_what_is_deleted() {
    case(async |t| {
        let names = create_many(&t, 4).await;
        let first = t.get(&query(&t.widgets(), &[("limit", "2")])).await.is(200);
        t.delete(&t.widget(&names[3])).await.is(200);
        t.merge(&t.widget(&names[2]), &json!({"spec": {"cpu": 9}})).await.is(200);
        let token = first.meta("continue");
        let path = query(&t.widgets(), &[("limit", "2"), ("continue", &token)]);
        let second = t.get(&path).await.is(200);
        assert_eq!(second.names(), names[2..]);
        assert_eq!(second.json["items"][0]["spec"]["cpu"], 2);
        assert_eq!(version(&second), version(&first));
    });
}

#[test]
fn pages_over_all_namespaces() {
    case(async |t| {
        let names = create_many(&t, 3).await;
        let all = format!("/apis/{}/v1/widgets", t.group);
        let (mut token, mut mine) = (String::new(), Vec::new());
        loop {
            let page = t.get(&query(&all, &[("limit", "2"), ("continue", &token)])).await.is(200);
            for item in page.json["items"].as_array().unwrap() {
                if item["metadata"]["namespace"] == t.ns {
                    mine.push(item["metadata"]["name"].as_str().unwrap().to_owned());
                }
            }
            token = page.meta("continue");
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(mine, names);
    });
}

#[test]
fn pages_with_a_selector() {
    case(async |t| {
        for number in 0..6 {
            let app = if number % 2 == 0 { "web" } else { "db" };
            t.create_with(&format!("a{number}"), json!({"labels": {"app": app}})).await;
        }
        let (mut token, mut found) = (String::new(), Vec::new());
        loop {
            let parameters = [("limit", "2"), ("labelSelector", "app=web"), ("continue", &token)];
            let page = t.get(&query(&t.widgets(), &parameters)).await.is(200);
            // A count would have to look at all of them.
            assert_eq!(page.json["metadata"].get("remainingItemCount"), None);
            found.extend(page.names());
            token = page.meta("continue");
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(found, ["a0", "a2", "a4"]);
    });
}

#[test]
fn continue_tokens_are_checked() {
    case(async |t| {
        create_many(&t, 3).await;
        for token in ["nonsense", "e30", "%00", "AAAA"] {
            let path = query(&t.widgets(), &[("limit", "1"), ("continue", token)]);
            t.get(&path).await.fails(400, "BadRequest");
        }
        let token = t.get(&query(&t.widgets(), &[("limit", "1")])).await.is(200).meta("continue");
        let path =
            query(&t.widgets(), &[("limit", "1"), ("continue", &token), ("resourceVersion", "1")]);
        t.get(&path).await.fails(400, "BadRequest");
        let parameters =
            [("limit", "1"), ("continue", &token), ("resourceVersionMatch", "NotOlderThan")];
        t.get(&query(&t.widgets(), &parameters)).await.fails(422, "Invalid");
    });
}

#[test]
fn limits() {
    case(async |t| {
        let names = create_many(&t, 3).await;
        for limit in ["0", "-1", "3", "4", "1000000"] {
            let page = t.get(&query(&t.widgets(), &[("limit", limit)])).await.is(200);
            assert_eq!(page.names(), names, "{limit}");
            assert_eq!(page.meta("continue"), "", "{limit}");
        }
        for limit in ["many", "1.5", "99999999999999999999"] {
            t.get(&query(&t.widgets(), &[("limit", limit)])).await.fails(400, "BadRequest");
        }
        // With version 0 a limit is for nothing, or it works.
        let path = query(&t.widgets(), &[("limit", "2"), ("resourceVersion", "0")]);
        t.until(&path, |page| page.status == 200 && page.names().len() >= 2).await;
    });
}

#[test]
fn resource_version() {
    case(async |t| {
        let stored = t.create("a").await;
        let first = stored["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
        t.create("b").await;
        let names = async |parameters: &[(&str, &str)]| {
            t.get(&query(&t.widgets(), parameters)).await.is(200).names()
        };
        assert_eq!(names(&[("resourceVersion", "")]).await, ["a", "b"]);
        // Not older: the latest will do.
        let found = names(&[("resourceVersion", &first)]).await;
        assert!(found.contains(&"a".to_owned()), "{found:?}");
        let found =
            names(&[("resourceVersion", &first), ("resourceVersionMatch", "NotOlderThan")]).await;
        assert!(found.contains(&"a".to_owned()), "{found:?}");
        // Exactly: the state of that moment.
        let exact = [("resourceVersion", first.as_str()), ("resourceVersionMatch", "Exact")];
        assert_eq!(names(&exact).await, ["a"]);
        let answer = t.get(&query(&t.widgets(), &exact)).await.is(200);
        assert_eq!(answer.version_of_resource(), first);
        // From a cache it may come late.
        let path = query(&t.widgets(), &[("resourceVersion", "0")]);
        t.until(&path, |answer| answer.status == 200 && answer.names().len() == 2).await;
    });
}

#[test]
fn resource_version_match_is_checked() {
    case(async |t| {
        let path = |parameters: &[(&str, &str)]| query(&t.widgets(), parameters);
        for parameters in [
            vec![("resourceVersionMatch", "Exact")],
            vec![("resourceVersionMatch", "NotOlderThan")],
            vec![("resourceVersionMatch", "Exact"), ("resourceVersion", "0")],
            vec![("resourceVersionMatch", "Nonsense"), ("resourceVersion", "1")],
            vec![("sendInitialEvents", "true"), ("resourceVersionMatch", "NotOlderThan")],
        ] {
            t.get(&path(&parameters)).await.fails(422, "Invalid");
        }
        let answer = t.get(&path(&[("resourceVersion", "nonsense")])).await;
        assert_eq!(answer.status, 400, "{answer}");
    });
}

#[test]
fn the_future_times_out() {
    case(async |t| {
        for path in [t.widgets(), t.core("configmaps")] {
            let path = query(&path, &[("resourceVersion", "999999999999")]);
            let answer = t.get(&path).await.fails(504, "Timeout");
            let causes = answer.json["details"]["causes"].to_string();
            assert!(causes.contains("ResourceVersionTooLarge"), "{answer}");
            assert_eq!(answer.json["details"]["retryAfterSeconds"], 1, "{answer}");
        }
    });
}

#[test]
fn a_single_object_at_a_version() {
    case(async |t| {
        let stored = t.create("a").await;
        let version = stored["metadata"]["resourceVersion"].as_str().unwrap();
        for version in ["", "0", version] {
            let path = query(&t.widget("a"), &[("resourceVersion", version)]);
            // From a cache it may come late.
            let answer = t.until(&path, |answer| answer.status == 200).await;
            assert_eq!(answer.json, stored);
        }
        let path = query(&t.widget("a"), &[("resourceVersion", "nonsense")]);
        let answer = t.get(&path).await;
        assert!(matches!(answer.status, 400 | 500), "{answer}");
    });
}

#[test]
fn every_item_is_whole() {
    case(async |t| {
        let names = create_many(&t, 5).await;
        let list = t.get(&t.widgets()).await.is(200);
        for (name, item) in names.iter().zip(list.json["items"].as_array().unwrap()) {
            let one: Value = t.get(&t.widget(name)).await.is(200).json;
            assert_eq!(item, &one);
        }
    });
}
