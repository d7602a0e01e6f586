//! Label and field selectors.

use serde_json::json;

use crate::client::query;
use crate::world::{Case, case};

async fn labelled(t: &Case, selector: &str) -> String {
    let path = query(&t.widgets(), &[("labelSelector", selector)]);
    t.get(&path).await.is(200).names().join(" ")
}

async fn with_fields(t: &Case, selector: &str) -> String {
    let path = query(&t.widgets(), &[("fieldSelector", selector)]);
    t.get(&path).await.is(200).names().join(" ")
}

#[test]
fn labels() {
    case(async |t| {
        for (name, labels) in [
            ("a", json!({"app": "web", "tier": "1", "example.com/x": ""})),
            ("b", json!({"app": "db", "tier": "2"})),
            ("c", json!({"app": "web", "tier": "10"})),
            ("d", json!({"tier": "many"})),
            ("e", json!({})),
        ] {
            t.create_with(name, json!({"labels": labels})).await;
        }
        for (selector, names) in [
            ("", "a b c d e"),
            ("app=web", "a c"),
            ("app==web", "a c"),
            (" app = web ", "a c"),
            ("app!=web", "b d e"),
            ("app in (web)", "a c"),
            ("app in (web,db)", "a b c"),
            ("app in ( web , db )", "a b c"),
            ("app notin (web)", "b d e"),
            ("app notin (web,db)", "d e"),
            ("app", "a b c"),
            ("!app", "d e"),
            ("tier>1", "b c"),
            ("tier<10", "a b"),
            ("app=web,tier=10", "c"),
            ("app,!example.com/x", "b c"),
            ("example.com/x=", "a"),
            ("example.com/x", "a"),
            ("app in (web),tier notin (10)", "a"),
            ("app=nothing", ""),
            ("in=in", ""),
        ] {
            assert_eq!(labelled(&t, selector).await, names, "{selector}");
        }
    });
}

#[test]
fn label_syntax() {
    case(async |t| {
        for selector in [
            "a=b=c",
            "a=b,",
            "=b",
            "a in b",
            "a in (b",
            "a>x",
            "a in",
            "a b",
            "bad key=x!",
            "!a=b",
            "a=(b)",
            "-a=b",
        ] {
            let path = query(&t.widgets(), &[("labelSelector", selector)]);
            let answer = t.get(&path).await;
            assert_eq!(answer.status, 400, "{selector}: {answer}");
            answer.fails(400, "BadRequest");
        }
    });
}

#[test]
fn fields() {
    case(async |t| {
        for (name, region, cpu) in [("a", "eu-west", 1), ("b", "us-east", 2), ("c", "us-east", 10)]
        {
            let spec = json!({"region": region, "cpu": cpu});
            t.post(&t.widgets(), &t.with_spec(name, spec)).await.is(201);
        }
        let namespace = format!("metadata.namespace={}", t.ns);
        for (selector, names) in [
            ("", "a b c"),
            ("metadata.name=a", "a"),
            ("metadata.name==a", "a"),
            ("metadata.name!=a", "b c"),
            (&namespace, "a b c"),
            ("metadata.namespace=other", ""),
            ("spec.region=us-east", "b c"),
            ("spec.region!=us-east", "a"),
            ("spec.cpu=10", "c"),
            ("spec.region=us-east,spec.cpu=2", "b"),
            ("spec.region=us-east,metadata.name!=b", "c"),
            ("spec.region=nowhere", ""),
            ("spec.region=eu\\,west", ""),
        ] {
            assert_eq!(with_fields(&t, selector).await, names, "{selector}");
        }
    });
}

#[test]
fn fields_that_are_not_supported() {
    case(async |t| {
        for selector in
            ["spec.ip=x", "status.phase=x", "nonsense=x", "metadata.labels=x", "nonsense"]
        {
            let path = query(&t.widgets(), &[("fieldSelector", selector)]);
            t.get(&path).await.fails(400, "BadRequest");
        }
        let path = query(&t.core("configmaps"), &[("fieldSelector", "data.x=y")]);
        t.get(&path).await.fails(400, "BadRequest");
    });
}

#[test]
fn labels_and_fields_together() {
    case(async |t| {
        t.create_with("a", json!({"labels": {"app": "web"}})).await;
        t.create_with("b", json!({"labels": {"app": "web"}})).await;
        t.create("c").await;
        let parameters = [("labelSelector", "app=web"), ("fieldSelector", "metadata.name!=a")];
        assert_eq!(t.get(&query(&t.widgets(), &parameters)).await.is(200).names(), ["b"]);
    });
}

#[test]
fn fields_of_built_in_kinds() {
    case(async |t| {
        let names = async |path: &str, selector: &str| {
            let answer = t.get(&query(path, &[("fieldSelector", selector)])).await.is(200);
            answer.names().join(" ")
        };
        let secret = |name: &str, kind: &str| json!({"metadata": {"name": name}, "type": kind});
        t.post(&t.core("secrets"), &secret("a", "Opaque")).await.is(201);
        t.post(&t.core("secrets"), &secret("b", "example.com/token")).await.is(201);
        assert_eq!(names(&t.core("secrets"), "type=Opaque").await, "a");
        assert_eq!(names(&t.core("secrets"), "type!=Opaque").await, "b");
        let selector = format!("status.phase=Active,metadata.name={}", t.ns);
        assert_eq!(names("/api/v1/namespaces", &selector).await, t.ns);
        let selector = format!("status.phase=Terminating,metadata.name={}", t.ns);
        assert_eq!(names("/api/v1/namespaces", &selector).await, "");
        t.post(&t.core("configmaps"), &json!({"metadata": {"name": "a"}})).await.is(201);
        assert_eq!(names(&t.core("configmaps"), "metadata.name=a").await, "a");
    });
}
