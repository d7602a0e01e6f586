//! `Accept` and `Content-Type`.

use serde_json::{Value, json};

use crate::client::{JSON, query};
use crate::protobuf::{PROTOBUF, envelope, field, message, metadata, number};
use crate::world::{CSRS, case, new_csr, request};

#[test]
fn json_is_the_default() {
    case(async |t| {
        t.create("a").await;
        assert_eq!(t.get(&t.widget("a")).await.is(200).header("content-type"), JSON);
        for accept in ["*/*", "application/*", "text/html, */*;q=0.1"] {
            let answer = t.get_as(&t.widget("a"), accept).await.is(200);
            assert_eq!(answer.header("content-type"), JSON, "{accept}");
            assert_eq!(answer.json["kind"], "Widget", "{accept}");
        }
    });
}

#[test]
fn yaml_answers() {
    case(async |t| {
        let stored = t.create("a").await;
        let answer = t.get_as(&t.widget("a"), "application/yaml").await.is(200);
        assert_eq!(answer.header("content-type"), "application/yaml");
        let read: Value = serde_saphyr::from_str(answer.text()).unwrap();
        assert_eq!(read, stored);
        let list = t.get_as("/api/v1/namespaces", "application/yaml").await.is(200);
        let read: Value = serde_saphyr::from_str(list.text()).unwrap();
        assert_eq!(read["kind"], "NamespaceList");
    });
}

#[test]
fn other_types_are_not_acceptable() {
    case(async |t| {
        t.create("a").await;
        for accept in ["text/html", "application/cbor", PROTOBUF, "application/json;as=Nonsense"] {
            let answer = t.get_as(&t.widget("a"), accept).await.is(406);
            if accept != PROTOBUF {
                answer.fails(406, "NotAcceptable");
            }
        }
        for accept in ["text/html", "application/cbor"] {
            t.get_as("/api/v1/namespaces", accept).await.fails(406, "NotAcceptable");
        }
    });
}

#[test]
fn protobuf_before_json_is_json_for_custom_kinds() {
    case(async |t| {
        t.create("a").await;
        let answer = t.get_as(&t.widget("a"), &format!("{PROTOBUF},{JSON}")).await.is(200);
        assert_eq!(answer.header("content-type"), JSON);
        assert_eq!(answer.json["kind"], "Widget");
    });
}

#[test]
fn protobuf_before_json_is_one_of_them_for_built_in_kinds() {
    case(async |t| {
        let accept = format!("{PROTOBUF},{JSON}");
        let answer = t.get_as("/api/v1/namespaces/default", &accept).await.is(200);
        match answer.header("content-type") {
            JSON => assert_eq!(answer.json["kind"], "Namespace"),
            PROTOBUF => assert!(answer.bytes.starts_with(b"k8s\0")),
            other => panic!("{other}"),
        }
    });
}

#[test]
fn yaml_bodies() {
    case(async |t| {
        let yaml = format!(
            "apiVersion: {}/v1\nkind: Widget\nmetadata:\n  name: a\nspec:\n  region: eu-west\n  cpu: 4\n",
            t.group
        );
        for content in ["application/yaml", "application/yaml; charset=utf-8"] {
            let headers = [("content-type", content)];
            let answer = t.send("POST", &t.widgets(), &headers, yaml.clone()).await.is(201);
            assert_eq!(answer.header("content-type"), JSON);
            assert_eq!(answer.json["spec"]["cpu"], 4);
            t.delete(&t.widget("a")).await.is(200);
        }
    });
}

#[test]
fn no_content_type_means_json() {
    case(async |t| {
        let body = t.new_widget("a").to_string();
        t.send("POST", &t.widgets(), &[], body).await.is(201);
    });
}

#[test]
fn other_bodies_are_unsupported() {
    case(async |t| {
        let body = t.new_widget("a").to_string();
        for content in ["text/plain", "application/cbor", "multipart/form-data"] {
            let headers = [("content-type", content)];
            let answer = t.send("POST", &t.widgets(), &headers, body.clone()).await;
            answer.fails(415, "UnsupportedMediaType");
        }
        t.create("a").await;
        for content in ["application/json", "application/yaml", "text/plain", ""] {
            let headers = [("content-type", content)];
            let answer = t.send("PATCH", &t.widget("a"), &headers, "{}").await;
            answer.fails(415, "UnsupportedMediaType");
        }
    });
}

#[test]
fn protobuf_bodies_are_not_for_custom_kinds() {
    case(async |t| {
        let body = envelope(&format!("{}/v1", t.group), "Widget", &metadata("a", None));
        let headers = [("content-type", PROTOBUF), ("accept", JSON)];
        let answer = t.send("POST", &t.widgets(), &headers, body).await;
        assert!(matches!(answer.status, 400 | 415), "{answer}");
    });
}

#[test]
fn parameters_in_any_order_with_spaces() {
    case(async |t| {
        t.create("a").await;
        for accept in [
            "application/json;as=Table;v=v1;g=meta.k8s.io",
            "application/json; g=meta.k8s.io; as=Table; v=v1",
            "application/json ;v=v1 ;g=meta.k8s.io ;as=Table, application/json",
        ] {
            let answer = t.get_as(&t.widgets(), accept).await.is(200);
            assert_eq!(answer.json["kind"], "Table", "{accept}");
            // What the Table is in is plain JSON.
            assert_eq!(answer.header("content-type"), JSON);
        }
    });
}

/// What a typed client of client-go sends, with the `Accept` that goes with it.
const TYPED: [(&str, &str); 2] = [
    ("content-type", PROTOBUF),
    ("accept", "application/vnd.kubernetes.protobuf,application/json"),
];

#[test]
fn protobuf_bodies_of_reviews() {
    case(async |t| {
        let attributes = message(&[field(1, "default"), field(2, "list"), field(5, "namespaces")]);
        let body = envelope(
            "authorization.k8s.io/v1",
            "SelfSubjectAccessReview",
            &message(&[field(1, ""), field(2, field(1, attributes)), field(3, number(1, 0))]),
        );
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        let headers = [("content-type", PROTOBUF), ("accept", JSON)];
        let answer = t.send("POST", path, &headers, body).await.is(201);
        assert_eq!(answer.json["status"]["allowed"], true, "{answer}");
        assert_eq!(answer.json["spec"]["resourceAttributes"]["resource"], "namespaces");

        let body = envelope(
            "authorization.k8s.io/v1",
            "SelfSubjectRulesReview",
            &message(&[field(1, ""), field(2, field(1, "default")), field(3, "")]),
        );
        let path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
        let answer = t.send("POST", path, &headers, body).await.is(201);
        assert!(answer.json["status"]["resourceRules"].is_array(), "{answer}");

        let body = envelope(
            "authentication.k8s.io/v1",
            "SelfSubjectReview",
            &message(&[field(1, ""), field(2, "")]),
        );
        let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
        let answer = t.send("POST", path, &headers, body).await.is(201);
        assert!(answer.json["status"]["userInfo"]["username"].is_string(), "{answer}");
    });
}

#[test]
fn protobuf_answers_or_json_to_typed_clients() {
    case(async |t| {
        let body = envelope(
            "authentication.k8s.io/v1",
            "SelfSubjectReview",
            &message(&[field(1, ""), field(2, "")]),
        );
        let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
        let answer = t.send("POST", path, &TYPED, body).await.is(201);
        assert!([JSON, PROTOBUF].contains(&answer.header("content-type")), "{answer}");
    });
}

#[test]
fn protobuf_bodies_of_namespaces_config_maps_and_secrets() {
    case(async |t| {
        let headers = [("content-type", PROTOBUF), ("accept", JSON)];
        let name = format!("{}-b", t.ns);
        let body = envelope("v1", "Namespace", &metadata(&name, Some("demo")));
        let answer = t.send("POST", "/api/v1/namespaces", &headers, body).await.is(201);
        assert_eq!(answer.json["metadata"]["labels"]["app"], "demo", "{answer}");
        t.delete(&format!("/api/v1/namespaces/{name}")).await.is(200);

        let entry = field(2, message(&[field(1, "key"), field(2, "value")]));
        let body = envelope("v1", "ConfigMap", &message(&[metadata("a", None), entry.clone()]));
        let answer = t.send("POST", &t.core("configmaps"), &headers, body).await.is(201);
        assert_eq!(answer.json["data"], json!({"key": "value"}), "{answer}");

        let object = message(&[metadata("a", None), entry, field(3, "Opaque")]);
        let body = envelope("v1", "Secret", &object);
        let answer = t.send("POST", &t.core("secrets"), &headers, body).await.is(201);
        assert_eq!(answer.json["data"], json!({"key": "dmFsdWU="}), "{answer}");
        assert_eq!(answer.json["type"], "Opaque", "{answer}");
    });
}

#[test]
fn protobuf_bodies_of_leases_and_events() {
    case(async |t| {
        let headers = [("content-type", PROTOBUF), ("accept", JSON)];
        let spec = message(&[field(1, "me"), number(2, 15)]);
        let object = message(&[metadata("a", None), field(2, spec)]);
        let body = envelope("coordination.k8s.io/v1", "Lease", &object);
        let leases = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", t.ns);
        let answer = t.send("POST", &leases, &headers, body).await.is(201);
        let spec = json!({"holderIdentity": "me", "leaseDurationSeconds": 15});
        assert_eq!(answer.json["spec"], spec, "{answer}");

        let involved = message(&[field(1, "Widget"), field(2, &t.ns), field(3, "a")]);
        let object = message(&[
            metadata("a.1", None),
            field(2, involved),
            field(3, "Tested"),
            field(4, "a message"),
            field(9, "Normal"),
        ]);
        let body = envelope("v1", "Event", &object);
        let answer = t.send("POST", &t.core("events"), &headers, body).await.is(201);
        assert_eq!(answer.json["involvedObject"]["name"], "a", "{answer}");
        assert_eq!(answer.json["message"], "a message", "{answer}");
        assert_eq!(answer.json["type"], "Normal", "{answer}");
    });
}

#[test]
fn protobuf_bodies_of_certificate_signing_requests() {
    case(async |t| {
        let headers = [("content-type", PROTOBUF), ("accept", JSON)];
        let (pem, _) = request("someone", &[]);
        let signer = "conformance.inv-tui.dev/nobody";
        let spec = message(&[field(1, &pem), field(5, "client auth"), field(7, signer)]);
        let object = message(&[metadata(&t.ns, None), field(2, spec)]);
        let body = envelope("certificates.k8s.io/v1", "CertificateSigningRequest", &object);
        let answer = t.send("POST", CSRS, &headers, body).await.is(201);
        assert_eq!(answer.json["spec"]["request"], new_csr("", &pem, signer)["spec"]["request"]);
        assert_eq!(answer.json["spec"]["usages"], json!(["client auth"]), "{answer}");
        // As `kubectl certificate approve` does.
        let condition = [(1, "Approved"), (2, "KubectlApprove"), (3, "by hand"), (6, "True")];
        let condition = condition.map(|(number, text)| field(number, text)).concat();
        let metadata = message(&[field(1, &t.ns), field(6, answer.version_of_resource())]);
        let spec = message(&[field(1, &pem), field(5, "client auth"), field(7, signer)]);
        let object = message(&[field(1, metadata), field(2, spec), field(3, field(1, condition))]);
        let body = envelope("certificates.k8s.io/v1", "CertificateSigningRequest", &object);
        let path = format!("{CSRS}/{}", t.ns);
        let answer = t.send("PUT", &format!("{path}/approval"), &headers, body).await.is(200);
        assert_eq!(answer.json["status"]["conditions"][0]["type"], "Approved", "{answer}");
        t.delete(&path).await.is(200);
    });
}

#[test]
fn protobuf_delete_options() {
    case(async |t| {
        let configmap = json!({"metadata": {"name": "a"}});
        t.post(&t.core("configmaps"), &configmap).await.is(201);
        let path = format!("{}/a", t.core("configmaps"));
        let headers = [("content-type", PROTOBUF), ("accept", JSON)];
        let body = |uid: &str| envelope("v1", "DeleteOptions", &field(2, field(1, uid)));
        t.send("DELETE", &path, &headers, body("other")).await.fails(409, "Conflict");
        let uid = t.get(&path).await.is(200).meta("uid");
        t.send("DELETE", &path, &headers, body(&uid)).await.is(200);
        t.get(&query(&path, &[])).await.fails(404, "NotFound");
    });
}
