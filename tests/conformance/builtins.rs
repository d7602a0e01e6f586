//! Events, leases, certificate requests, namespaces, config maps and secrets.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::client::{Identity, query};
use crate::world::{CSRS, Case, case, new_csr, request};

fn new_events(t: &Case) -> String {
    format!("/apis/events.k8s.io/v1/namespaces/{}/events", t.ns)
}

fn leases(t: &Case) -> String {
    format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", t.ns)
}

/// What kube-rs' recorder posts.
fn new_event(t: &Case, name: &str) -> Value {
    json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": name},
        "eventTime": "2026-01-01T00:00:00.123456Z",
        "reportingController": "conformance",
        "reportingInstance": "here",
        "action": "Testing",
        "reason": "Tested",
        "type": "Normal",
        "note": "a note",
        "regarding": {"apiVersion": format!("{}/v1", t.group), "kind": "Widget", "namespace": t.ns, "name": "a", "uid": "1"},
    })
}

#[test]
fn events_are_one_store_with_two_views() {
    case(async |t| {
        let new = t.post(&new_events(&t), &new_event(&t, "a.1")).await.is(201).json;
        assert_eq!(new["apiVersion"], "events.k8s.io/v1");
        let core = t.get(&format!("{}/a.1", t.core("events"))).await.is(200).json;
        assert_eq!(core["apiVersion"], "v1");
        assert_eq!(core["kind"], "Event");
        for (old, of_new) in [
            ("involvedObject", "regarding"),
            ("message", "note"),
            ("reportingComponent", "reportingController"),
            ("reportingInstance", "reportingInstance"),
            ("eventTime", "eventTime"),
            ("reason", "reason"),
            ("action", "action"),
            ("type", "type"),
        ] {
            assert_eq!(core[old], new[of_new], "{old}");
        }
        assert_eq!(core["metadata"]["uid"], new["metadata"]["uid"]);
        let old = json!({
            "metadata": {"name": "a.2"},
            "involvedObject": {"kind": "Widget", "namespace": t.ns, "name": "a"},
            "reason": "Tested",
            "message": "old",
            "type": "Warning",
            "count": 2,
            "source": {"component": "suite", "host": "here"},
            "firstTimestamp": "2026-01-01T00:00:00Z",
            "lastTimestamp": "2026-01-02T00:00:00Z",
        });
        let core = t.post(&t.core("events"), &old).await.is(201).json;
        let new = t.get(&format!("{}/a.2", new_events(&t))).await.is(200).json;
        for (of_new, old) in [
            ("note", "message"),
            ("deprecatedCount", "count"),
            ("deprecatedSource", "source"),
            ("deprecatedFirstTimestamp", "firstTimestamp"),
            ("deprecatedLastTimestamp", "lastTimestamp"),
            ("regarding", "involvedObject"),
        ] {
            assert_eq!(new[of_new], core[old], "{of_new}");
        }
        assert_eq!(t.get(&new_events(&t)).await.is(200).names(), ["a.1", "a.2"]);
        assert_eq!(t.get(&t.core("events")).await.is(200).names(), ["a.1", "a.2"]);
    });
}

#[test]
fn events_are_watched_in_both_views() {
    case(async |t| {
        let mut new = t.watch(&new_events(&t), &[]).await;
        let mut core = t.watch(&t.core("events"), &[]).await;
        t.post(&new_events(&t), &new_event(&t, "a.1")).await.is(201);
        assert_eq!(new.expect("ADDED", "a.1").await["note"], "a note");
        assert_eq!(core.expect("ADDED", "a.1").await["message"], "a note");
    });
}

#[test]
fn events_are_checked() {
    case(async |t| {
        for (field, value) in [
            ("eventTime", Value::Null),
            ("reportingController", Value::Null),
            ("reportingInstance", Value::Null),
            ("action", Value::Null),
            ("reason", Value::Null),
            ("type", json!("Strange")),
            ("note", json!("x".repeat(1025))),
        ] {
            let mut event = new_event(&t, "a.1");
            event[field] = value;
            let answer = t.post(&new_events(&t), &event).await;
            assert_eq!(answer.status, 422, "{field}: {answer}");
        }
        for namespace in ["default", ""] {
            let involved = json!({"kind": "Widget", "namespace": namespace, "name": "a"});
            let event = json!({"metadata": {"name": "a.1"}, "involvedObject": involved});
            let answer = t.post(&t.core("events"), &event).await;
            answer.invalid("FieldValueInvalid", "involvedObject.namespace");
        }
        // What is in no namespace has its events in `default`.
        let name = format!("{}.1", t.ns);
        let mut event = new_event(&t, &name);
        event["regarding"].as_object_mut().unwrap().remove("namespace");
        t.post(&new_events(&t), &event).await.fails(422, "Invalid");
        let default = "/apis/events.k8s.io/v1/namespaces/default/events";
        t.post(default, &event).await.is(201);
        t.delete(&format!("{default}/{name}")).await.is(200);
    });
}

#[test]
fn events_change_only_by_series() {
    case(async |t| {
        t.post(&new_events(&t), &new_event(&t, "a.1")).await.is(201);
        let path = format!("{}/a.1", new_events(&t));
        let series =
            json!({"series": {"count": 2, "lastObservedTime": "2026-01-01T00:01:00.000000Z"}});
        let answer = t.merge(&path, &series).await.is(200).json;
        assert_eq!(answer["series"], series["series"]);
        t.merge(&path, &json!({"note": "another"})).await.fails(422, "Invalid");
        t.merge(&path, &json!({"metadata": {"labels": {"a": "b"}}})).await.is(200);
    });
}

#[test]
fn events_by_fields() {
    case(async |t| {
        for (name, object, kind) in [("a.1", "a", "Normal"), ("b.1", "b", "Warning")] {
            let mut event = new_event(&t, name);
            event["regarding"]["name"] = json!(object);
            event["type"] = json!(kind);
            t.post(&new_events(&t), &event).await.is(201);
        }
        // What `kubectl describe` asks for.
        let selector = format!(
            "involvedObject.namespace={},involvedObject.kind=Widget,involvedObject.uid=1,involvedObject.name=a",
            t.ns
        );
        let names = async |path: &str, selector: &str| {
            t.get(&query(path, &[("fieldSelector", selector)])).await.is(200).names().join(" ")
        };
        assert_eq!(names(&t.core("events"), &selector).await, "a.1");
        assert_eq!(names(&t.core("events"), "type=Warning").await, "b.1");
        assert_eq!(names(&t.core("events"), "reason=Tested").await, "a.1 b.1");
        assert_eq!(names(&t.core("events"), "reportingComponent=conformance").await, "a.1 b.1");
        assert_eq!(names(&new_events(&t), "regarding.name=b").await, "b.1");
        assert_eq!(names(&new_events(&t), "regarding.kind!=Widget").await, "");
    });
}

#[test]
fn leases_are_locks() {
    case(async |t| {
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": "a"},
            "spec": {
                "holderIdentity": "one",
                "leaseDurationSeconds": 15,
                "acquireTime": "2026-01-01T00:00:00.123456Z",
                "renewTime": "2026-01-01T00:00:00.000000Z",
                "leaseTransitions": 0,
            },
        });
        let stored = t.post(&leases(&t), &lease).await.is(201).json;
        assert_eq!(stored["spec"], lease["spec"]);
        t.post(&leases(&t), &lease).await.fails(409, "AlreadyExists");
        let path = format!("{}/a", leases(&t));
        let mut renewed = stored.clone();
        renewed["spec"]["renewTime"] = json!("2026-01-01T00:00:10.000000Z");
        t.put(&path, &renewed).await.is(200);
        renewed["spec"]["holderIdentity"] = json!("two");
        t.put(&path, &renewed).await.fails(409, "Conflict");
        let answer = t.merge(&path, &json!({"spec": {"leaseDurationSeconds": 0}})).await;
        answer.invalid("FieldValueInvalid", "spec.leaseDurationSeconds");
        // Nobody holds it any more.
        t.merge(&path, &json!({"spec": {"holderIdentity": ""}})).await.is(200);
    });
}

#[test]
fn times_of_leases_are_checked() {
    case(async |t| {
        let lease = json!({"metadata": {"name": "a"}, "spec": {"renewTime": "yesterday"}});
        t.post(&leases(&t), &lease).await.is(400);
        // They have fractions of seconds, all six digits.
        let lease =
            json!({"metadata": {"name": "a"}, "spec": {"renewTime": "2026-01-01T00:00:00Z"}});
        t.post(&leases(&t), &lease).await.is(400);
    });
}

/// A stored request of the administrator, for a signer that nobody is.
async fn stored_csr(t: &Case) -> (String, Value) {
    let (pem, _) = request("someone", &["group"]);
    let csr = new_csr(&t.ns, &pem, "conformance.inv-tui.dev/nobody");
    let stored = t.post(CSRS, &csr).await.is(201).json;
    (format!("{CSRS}/{}", t.ns), stored)
}

#[test]
fn csrs_carry_who_asks() {
    case(async |t| {
        let (pem, _) = request("someone", &[]);
        let mut csr = new_csr(&t.ns, &pem, "conformance.inv-tui.dev/nobody");
        csr["spec"]["username"] = json!("another");
        csr["spec"]["groups"] = json!(["system:masters"]);
        csr["status"] = json!({"certificate": STANDARD.encode("x"), "conditions": [
            {"type": "Approved", "status": "True", "reason": "x", "message": "x"},
        ]});
        let stored = t.post(CSRS, &csr).await.is(201).json;
        let admin =
            t.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", &json!({})).await.is(201);
        let admin = &admin.json["status"]["userInfo"];
        assert_eq!(stored["spec"]["username"], admin["username"]);
        assert_eq!(stored["spec"]["groups"], admin["groups"]);
        assert_eq!(stored["status"], json!({}));
        t.delete(&format!("{CSRS}/{}", t.ns)).await.is(200);
    });
}

#[test]
fn csrs_are_checked() {
    case(async |t| {
        let (pem, _) = request("someone", &[]);
        let good = new_csr(&t.ns, &pem, "conformance.inv-tui.dev/nobody");
        for (field, value) in [
            ("request", json!(STANDARD.encode("nonsense"))),
            ("signerName", json!("nodomain")),
            ("signerName", json!("kubernetes.io/legacy-unknown")),
            ("usages", json!([])),
            ("usages", json!(["flying"])),
            ("usages", json!(["client auth", "client auth"])),
            ("expirationSeconds", json!(60)),
        ] {
            let mut csr = good.clone();
            csr["spec"][field] = value.clone();
            let answer = t.post(CSRS, &csr).await.fails(422, "Invalid");
            let causes = answer.json["details"]["causes"].to_string();
            assert!(causes.contains(&format!("spec.{field}")), "{value}: {answer}");
        }
        let mut csr = good.clone();
        csr["spec"]["request"] = json!("not base64!");
        let answer = t.post(CSRS, &csr).await;
        assert!(matches!(answer.status, 400 | 422), "{answer}");
    });
}

#[test]
fn csrs_cannot_be_changed() {
    case(async |t| {
        let (path, stored) = stored_csr(&t).await;
        let mut changed = stored.clone();
        changed["spec"]["usages"] = json!(["server auth"]);
        changed["status"]["conditions"] =
            json!([{"type": "Approved", "status": "True", "reason": "x", "message": "x"}]);
        let answer = t.put(&path, &changed).await.is(200).json;
        assert_eq!(answer["spec"], stored["spec"]);
        assert_eq!(answer["status"], stored["status"]);
        t.merge(&path, &json!({"metadata": {"labels": {"a": "b"}}})).await.is(200);
        t.delete(&path).await.is(200);
    });
}

#[test]
fn csr_approval() {
    case(async |t| {
        let (path, _) = stored_csr(&t).await;
        let approval = format!("{path}/approval");
        let answer = t.approve(&t.ns).await.is(200).json;
        let condition = &answer["status"]["conditions"][0];
        assert_eq!(condition["type"], "Approved");
        assert!(condition["lastUpdateTime"].is_string(), "{condition}");
        assert!(condition["lastTransitionTime"].is_string(), "{condition}");
        let mut denied = answer.clone();
        denied["status"]["conditions"] =
            json!([condition, {"type": "Denied", "status": "True", "reason": "x", "message": "x"}]);
        t.put(&approval, &denied).await.fails(422, "Invalid");
        let mut taken_back = answer.clone();
        taken_back["status"]["conditions"] = json!([]);
        t.put(&approval, &taken_back).await.fails(422, "Invalid");
        t.get(&approval).await.is(200);
        t.delete(&path).await.is(200);
    });
}

#[test]
fn csr_denial() {
    case(async |t| {
        let (path, mut csr) = stored_csr(&t).await;
        csr["status"]["conditions"] =
            json!([{"type": "Denied", "status": "False", "reason": "x", "message": "x"}]);
        t.put(&format!("{path}/approval"), &csr).await.fails(422, "Invalid");
        csr["status"]["conditions"][0]["status"] = json!("True");
        let answer = t.put(&format!("{path}/approval"), &csr).await.is(200).json;
        assert_eq!(answer["status"]["conditions"][0]["type"], "Denied");
        t.delete(&path).await.is(200);
    });
}

#[test]
fn csr_approval_by_merge_patch() {
    case(async |t| {
        let (path, _) = stored_csr(&t).await;
        let conditions =
            json!([{"type": "Approved", "status": "True", "reason": "x", "message": "x"}]);
        let patch = json!({"status": {"conditions": conditions}});
        let answer = t.merge(&format!("{path}/approval"), &patch).await.is(200).json;
        assert_eq!(answer["status"]["conditions"][0]["type"], "Approved");
        t.delete(&path).await.is(200);
    });
}

#[test]
fn csr_certificate_is_set_once() {
    case(async |t| {
        let (path, _) = stored_csr(&t).await;
        let approved = t.approve(&t.ns).await.is(200).json;
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, "someone");
        let sign = || {
            let key = rcgen::KeyPair::generate().unwrap();
            STANDARD.encode(params.self_signed(&key).unwrap().pem())
        };
        let mut signed = approved.clone();
        signed["status"]["certificate"] = json!(sign());
        let answer = t.put(&format!("{path}/status"), &signed).await.is(200).json;
        assert_eq!(answer["status"]["certificate"], signed["status"]["certificate"]);
        assert_eq!(answer["status"]["conditions"][0]["type"], "Approved");
        let mut again = answer.clone();
        again["status"]["certificate"] = json!(sign());
        t.put(&format!("{path}/status"), &again).await.fails(422, "Invalid");
        again["status"]["certificate"] = json!(STANDARD.encode("nonsense"));
        t.put(&format!("{path}/status"), &again).await.fails(422, "Invalid");
        t.delete(&path).await.is(200);
    });
}

#[test]
fn csrs_by_signer() {
    case(async |t| {
        let (path, _) = stored_csr(&t).await;
        let selector =
            format!("spec.signerName=conformance.inv-tui.dev/nobody,metadata.name={}", t.ns);
        let list = t.get(&query(CSRS, &[("fieldSelector", &selector)])).await.is(200);
        assert_eq!(list.names(), [t.ns.as_str()]);
        let selector = format!("spec.signerName=example.com/other,metadata.name={}", t.ns);
        let list = t.get(&query(CSRS, &[("fieldSelector", &selector)])).await.is(200);
        assert!(list.names().is_empty());
        t.delete(&path).await.is(200);
    });
}

#[test]
fn csrs_of_the_client_signer_are_signed() {
    case(async |t| {
        // Approved, signed by the server, and good for a login.
        let Identity::Certificate(chain, key) = t.user(&t.ns, &["conformance"]).await else {
            panic!("no certificate");
        };
        let (_, pem) = x509_parser::pem::parse_x509_pem(&chain).unwrap();
        let certificate = pem.parse_x509().unwrap();
        let subject = certificate.subject();
        let name = subject.iter_common_name().next().unwrap().as_str().unwrap();
        assert_eq!(name, t.ns);
        assert!(!certificate.is_ca());
        let usage = certificate.extended_key_usage().unwrap().expect("usages");
        assert!(usage.value.client_auth && !usage.value.server_auth);
        t.with(Identity::Certificate(chain, key)).get("/api").await.is(200);
    });
}

#[test]
fn nobody_becomes_master_by_a_csr() {
    case(async |t| {
        let (pem, _) = request("someone", &["system:masters"]);
        let csr = new_csr(&t.ns, &pem, "kubernetes.io/kube-apiserver-client");
        t.post(CSRS, &csr).await.fails(403, "Forbidden");
    });
}

#[test]
fn namespaces() {
    case(async |t| {
        for name in ["default", "kube-system"] {
            let answer = t.get(&format!("/api/v1/namespaces/{name}")).await.is(200).json;
            assert_eq!(answer["status"]["phase"], "Active", "{answer}");
        }
        let path = format!("/api/v1/namespaces/{}", t.ns);
        let namespace = t.get(&path).await.is(200).json;
        assert_eq!(namespace["spec"]["finalizers"], json!(["kubernetes"]));
        assert_eq!(namespace["status"]["phase"], "Active");
        assert_eq!(namespace["metadata"]["labels"]["kubernetes.io/metadata.name"], t.ns);
        for name in ["Upper", "a.b", &"n".repeat(64)] {
            let answer = t.post("/api/v1/namespaces", &json!({"metadata": {"name": name}})).await;
            answer.invalid("FieldValueInvalid", "metadata.name");
        }
        let again = t.post("/api/v1/namespaces", &json!({"metadata": {"name": t.ns}})).await;
        again.fails(409, "AlreadyExists").about(&t.ns, "", "namespaces");
    });
}

#[test]
fn a_namespace_goes_with_what_is_in_it() {
    case(async |t| {
        let namespace = format!("{}-b", t.ns);
        let path = format!("/api/v1/namespaces/{namespace}");
        t.post("/api/v1/namespaces", &json!({"metadata": {"name": namespace}})).await.is(201);
        let widgets = t.widgets().replace(&t.ns, &namespace);
        let maps = t.core("configmaps").replace(&t.ns, &namespace);
        let mut widget = t.new_widget("a");
        widget["metadata"]["finalizers"] = json!(["example.com/f"]);
        t.post(&widgets, &widget).await.is(201);
        t.post(&maps, &json!({"metadata": {"name": "a"}})).await.is(201);
        let answer = t.delete(&path).await.is(200).json;
        assert_eq!(answer["status"]["phase"], "Terminating");
        t.until(&format!("{maps}/a"), |answer| answer.status == 404).await;
        let one = format!("{widgets}/a");
        t.until(&one, |answer| answer.json["metadata"]["deletionTimestamp"].is_string()).await;
        // Nothing new in the meantime.
        let answer = t.post(&maps, &json!({"metadata": {"name": "b"}})).await;
        let answer = answer.fails(403, "Forbidden");
        assert!(answer.text().contains("NamespaceTerminating"), "{answer}");
        assert_eq!(t.get(&path).await.is(200).json["status"]["phase"], "Terminating");
        t.merge(&one, &json!({"metadata": {"finalizers": null}})).await.is(200);
        t.until(&path, |answer| answer.status == 404).await;
    });
}

#[test]
fn default_stays() {
    case(async |t| {
        t.delete("/api/v1/namespaces/default").await.fails(403, "Forbidden");
        t.get("/api/v1/namespaces/default").await.is(200);
    });
}

#[test]
fn config_maps() {
    case(async |t| {
        let map = json!({"metadata": {"name": "a"}, "data": {"key": "value"}, "binaryData": {"bin": "AAE="}});
        let stored = t.post(&t.core("configmaps"), &map).await.is(201).json;
        assert_eq!((&stored["data"], &stored["binaryData"]), (&map["data"], &map["binaryData"]));
        let path = t.core("configmaps");
        let bad = json!({"metadata": {"name": "b"}, "data": {"bad key": "x"}});
        t.post(&path, &bad).await.fails(422, "Invalid");
        let both =
            json!({"metadata": {"name": "b"}, "data": {"k": "x"}, "binaryData": {"k": "AAE="}});
        t.post(&path, &both).await.fails(422, "Invalid");
        let typed = json!({"metadata": {"name": "b"}, "data": {"k": 1}});
        t.post(&path, &typed).await.is(400);
        let fixed = json!({"metadata": {"name": "c"}, "immutable": true, "data": {"k": "x"}});
        t.post(&path, &fixed).await.is(201);
        let answer = t.merge(&format!("{path}/c"), &json!({"data": {"k": "y"}})).await;
        answer.fails(422, "Invalid");
    });
}

#[test]
fn secrets() {
    case(async |t| {
        let secret = json!({"metadata": {"name": "a"}, "stringData": {"password": "geheim"}, "data": {"user": "bWU="}});
        let stored = t.post(&t.core("secrets"), &secret).await.is(201).json;
        assert_eq!(stored["type"], "Opaque");
        assert_eq!(stored["data"], json!({"password": STANDARD.encode("geheim"), "user": "bWU="}));
        assert_eq!(stored.get("stringData"), None);
        let bad = json!({"metadata": {"name": "b"}, "data": {"k": "not base64!"}});
        t.post(&t.core("secrets"), &bad).await.is(400);
        let path = format!("{}/a", t.core("secrets"));
        let answer = t.merge(&path, &json!({"type": "example.com/other"})).await;
        answer.fails(422, "Invalid");
    });
}
