//! HTTP itself: versions, headers, sizes, and what answers without a user.

use std::io::Read;

use serde_json::json;

use crate::client::{Identity, JSON, JSON_PATCH, query};
use crate::world::case;

#[test]
fn http_1_1() {
    case(async |t| {
        let answer = t.get(&t.widgets()).await.is(200);
        assert_eq!(answer.version, http::Version::HTTP_11);
    });
}

#[test]
fn http_2() {
    case(async |t| {
        let server = t.http2();
        let answer = server.get(&t.widgets()).await.is(200);
        assert_eq!(answer.version, http::Version::HTTP_2);
        server.post(&t.widgets(), &t.new_widget("a")).await.is(201);
        let mut watch = server.watch(&t.widgets(), &[]).await;
        watch.expect("ADDED", "a").await;
        // The connection is one; a watch must not hold the others up.
        server.delete(&t.widget("a")).await.is(200);
        watch.expect("DELETED", "a").await;
    });
}

#[test]
fn many_watches_on_one_connection() {
    case(async |t| {
        let server = t.http2();
        let path = t.widgets();
        let mut watches =
            futures::future::join_all((0..60).map(|_| server.watch(&path, &[]))).await;
        server.post(&t.widgets(), &t.new_widget("a")).await.is(201);
        for watch in &mut watches {
            watch.expect("ADDED", "a").await;
        }
    });
}

#[test]
fn headers_of_every_answer() {
    case(async |t| {
        for path in [t.widgets(), t.widget("missing"), "/version".to_owned()] {
            let answer = t.get(&path).await;
            assert_eq!(answer.header("content-type"), JSON, "{path}");
            assert!(!answer.header("audit-id").is_empty(), "{path}");
            assert!(!answer.header("date").is_empty(), "{path}");
            assert_eq!(answer.header("cache-control"), "no-cache, private", "{path}");
        }
    });
}

#[test]
fn public_paths_need_no_user() {
    case(async |t| {
        let nobody = t.with(Identity::Nobody);
        for path in ["/healthz", "/livez", "/readyz"] {
            assert_eq!(nobody.get(path).await.is(200).text(), "ok", "{path}");
            let verbose = nobody.get(&format!("{path}?verbose")).await.is(200);
            assert!(verbose.text().contains("ok"), "{verbose}");
        }
        let version = nobody.get("/version").await.is(200);
        assert!(version.json["gitVersion"].is_string());
    });
}

#[test]
fn other_paths_need_a_user() {
    case(async |t| {
        let nobody = t.with(Identity::Nobody);
        for path in ["/api", "/apis", "/openapi/v3", "/api/v1/namespaces", &t.widgets()] {
            let answer = nobody.get(path).await;
            // 403 where anonymous requests are a user, 401 where they are not.
            assert!(matches!(answer.status, 401 | 403), "{path}: {answer}");
            assert_eq!(answer.json["kind"], "Status", "{path}: {answer}");
        }
    });
}

#[test]
fn gzip_where_asked_and_worth_it() {
    case(async |t| {
        let text = "inventory ".repeat(20_000);
        let large = t.object("Gadget", "large", json!({"text": text}));
        t.post(&t.gadgets(), &large).await.is(201);
        t.post(&t.gadgets(), &t.object("Gadget", "small", json!({}))).await.is(201);
        let path = format!("{}/large", t.gadgets());
        let plain = t.get(&path).await.is(200);
        assert_eq!(plain.header("content-encoding"), "");
        let gzip = [("accept-encoding", "gzip")];
        let zipped = t.send("GET", &path, &gzip, "").await.is(200);
        assert_eq!(zipped.header("content-encoding"), "gzip");
        assert_eq!(zipped.header("vary"), "Accept-Encoding");
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(zipped.bytes.as_ref()).read_to_end(&mut text).unwrap();
        assert_eq!(text, plain.bytes);
        let small = t.send("GET", &format!("{}/small", t.gadgets()), &gzip, "").await.is(200);
        assert_eq!(small.header("content-encoding"), "");
    });
}

#[test]
fn a_body_of_more_than_3_mib_is_too_large() {
    case(async |t| {
        let text = "x".repeat(3 << 20);
        let large = t.object("Gadget", "large", json!({"text": text}));
        t.post(&t.gadgets(), &large).await.fails(413, "RequestEntityTooLarge");
        t.get(&format!("{}/large", t.gadgets())).await.fails(404, "NotFound");
    });
}

#[test]
fn a_body_of_1_mib_is_not_too_large() {
    case(async |t| {
        let text = "x".repeat(1 << 20);
        let large = t.object("Gadget", "large", json!({"text": text}));
        let stored = t.post(&t.gadgets(), &large).await.is(201);
        assert_eq!(stored.json["spec"], large["spec"]);
    });
}

#[test]
fn a_json_patch_has_at_most_10_000_operations() {
    case(async |t| {
        t.create("a").await;
        let operation = json!({"op": "test", "path": "/spec/region", "value": "eu-west"});
        let patch = json!(vec![operation; 10_001]);
        t.patch(&t.widget("a"), JSON_PATCH, &patch).await.fails(413, "RequestEntityTooLarge");
    });
}

#[test]
fn a_body_nested_too_deeply_is_refused() {
    case(async |t| {
        let depth = 100_000;
        let body = format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
        let answer = t.send("POST", &t.gadgets(), &[("content-type", JSON)], body).await;
        assert!((400..500).contains(&answer.status), "{answer}");
        t.get("/readyz").await.is(200);
    });
}

#[test]
fn warnings_are_headers() {
    case(async |t| {
        let mut widget = t.new_widget("a");
        widget["spec"]["unknown"] = json!(1);
        let answer = t.post(&t.widgets(), &widget).await.is(201);
        assert_eq!(answer.header("warning"), r#"299 - "unknown field \"spec.unknown\"""#);
    });
}

#[test]
fn a_timeout_says_when_to_come_back() {
    case(async |t| {
        let path = query(&t.widgets(), &[("resourceVersion", "999999999999")]);
        let answer = t.get(&path).await.fails(504, "Timeout");
        let after = answer.json["details"]["retryAfterSeconds"].as_u64().expect("seconds");
        assert_eq!(answer.header("retry-after"), after.to_string());
    });
}
