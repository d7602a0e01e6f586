//! Who one is and what one may do.

use serde_json::{Value, json};
use tokio::time::timeout;

use crate::client::{Identity, PATIENCE, Server};
use crate::world::{CSRS, Case, case, new_csr, request};

const ACCESS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
const RULES: &str = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
const MYSELF: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";

fn review(attributes: Value) -> Value {
    json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    })
}

async fn allowed(server: &Server, attributes: Value) -> bool {
    let answer = server.post(ACCESS, &review(attributes)).await.is(201);
    answer.json["status"]["allowed"].as_bool().unwrap_or_else(|| panic!("{answer}"))
}

async fn user(t: &Case) -> Server {
    t.with(t.user(&t.ns, &["conformance"]).await)
}

#[test]
fn myself() {
    case(async |t| {
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
        let answer = user(&t).await.post(MYSELF, &review).await.is(201).json;
        assert_eq!(answer["kind"], "SelfSubjectReview");
        let me = &answer["status"]["userInfo"];
        assert_eq!(me["username"], t.ns);
        let groups = me["groups"].as_array().unwrap();
        assert!(groups.contains(&json!("conformance")), "{me}");
        assert!(groups.contains(&json!("system:authenticated")), "{me}");
    });
}

#[test]
fn everyone_may_ask_for_themselves() {
    case(async |t| {
        let user = user(&t).await;
        let attributes =
            json!({"verb": "list", "group": t.group, "resource": "widgets", "namespace": t.ns});
        assert!(!allowed(&user, attributes.clone()).await);
        assert!(allowed(t.server(), attributes).await);
        let attributes = json!({"verb": "*", "group": "*", "resource": "*"});
        assert!(!allowed(&user, attributes.clone()).await);
        assert!(allowed(t.server(), attributes).await);
        let attributes = json!({"verb": "create", "group": "authorization.k8s.io", "resource": "selfsubjectaccessreviews"});
        assert!(allowed(&user, attributes).await);
        let path = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"nonResourceAttributes": {"path": "/version", "verb": "get"}},
        });
        let answer = user.post(ACCESS, &path).await.is(201);
        assert_eq!(answer.json["status"]["allowed"], true, "{answer}");
        let empty = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {}});
        user.post(ACCESS, &empty).await.fails(422, "Invalid");
    });
}

#[test]
fn rules() {
    case(async |t| {
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectRulesReview",
            "spec": {"namespace": t.ns},
        });
        let answer = t.post(RULES, &review).await.is(201).json;
        let rules = answer["status"]["resourceRules"].as_array().unwrap();
        let all = rules.iter().any(|rule| {
            [&rule["verbs"], &rule["apiGroups"], &rule["resources"]]
                .iter()
                .all(|v| **v == json!(["*"]))
        });
        assert!(all, "{answer}");
        assert_eq!(answer["status"]["incomplete"], false);
        assert!(answer["status"]["nonResourceRules"].is_array(), "{answer}");
        let answer = user(&t).await.post(RULES, &review).await.is(201).json;
        let rules = answer["status"]["resourceRules"].to_string();
        assert!(rules.contains("selfsubjectaccessreviews"), "{answer}");
        assert!(!rules.contains("\"*\""), "{answer}");
    });
}

#[test]
fn reviews_are_only_created() {
    case(async |t| {
        for path in [ACCESS, RULES, MYSELF] {
            t.get(path).await.is(405);
            let one = t.get(&format!("{path}/a")).await;
            assert!(matches!(one.status, 404 | 405), "{one}");
        }
    });
}

#[test]
fn every_verb_is_checked() {
    case(async |t| {
        t.create("a").await;
        let user = user(&t).await;
        let (one, all) = (t.widget("a"), t.widgets());
        user.get(&one).await.fails(403, "Forbidden");
        user.get(&all).await.fails(403, "Forbidden");
        user.get(&format!("{all}?watch=true")).await.fails(403, "Forbidden");
        user.post(&all, &t.new_widget("b")).await.fails(403, "Forbidden");
        user.put(&one, &t.new_widget("a")).await.fails(403, "Forbidden");
        user.merge(&one, &json!({})).await.fails(403, "Forbidden");
        user.merge(&format!("{one}/status"), &json!({})).await.fails(403, "Forbidden");
        user.apply(&one, "x", &t.new_widget("a")).await.fails(403, "Forbidden");
        user.delete(&one).await.fails(403, "Forbidden");
        user.delete(&all).await.fails(403, "Forbidden");
        // Even about what is not there.
        user.get(&t.widget("nope")).await.fails(403, "Forbidden");
        t.get(&one).await.is(200);
    });
}

#[test]
fn a_user_may_not_approve() {
    case(async |t| {
        let (pem, _) = request("someone", &[]);
        let csr = new_csr(&t.ns, &pem, "kubernetes.io/kube-apiserver-client");
        let stored = t.post(CSRS, &csr).await.is(201).json;
        let path = format!("{CSRS}/{}", t.ns);
        let user = t.with(t.user(&format!("{}-u", t.ns), &[]).await);
        let mut approved = stored.clone();
        approved["status"]["conditions"] =
            json!([{"type": "Approved", "status": "True", "reason": "x", "message": "x"}]);
        user.put(&format!("{path}/approval"), &approved).await.fails(403, "Forbidden");
        user.put(&format!("{path}/status"), &approved).await.fails(403, "Forbidden");
        t.delete(&path).await.is(200);
    });
}

#[test]
fn impersonation_is_not_ignored() {
    case(async |t| {
        let headers = [("impersonate-user", "someone")];
        let answer = user(&t).await.send("GET", "/api", &headers, "").await;
        assert_eq!(answer.status, 403, "{answer}");
        // An administrator may be someone, where that is served; never without becoming them.
        let answer = t.send("GET", &t.widgets(), &headers, "").await;
        assert_eq!(answer.status, 403, "{answer}");
    });
}

#[test]
fn a_certificate_of_another_authority_is_nobody_s() {
    case(async |t| {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, "admin");
        params.distinguished_name.push(rcgen::DnType::OrganizationName, "system:masters");
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem().into_bytes();
        let stranger = Identity::Certificate(certificate, key.serialize_pem().into_bytes());
        let answer = t.with(stranger).try_get("/api").await;
        // 401, or TLS that ends.
        assert!(answer.as_ref().is_none_or(|answer| answer.status == 401), "{answer:?}");
    });
}

#[test]
fn subject_access_reviews() {
    case(async |t| {
        let review = |user: &str, groups: &[&str]| {
            json!({
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SubjectAccessReview",
                "spec": {
                    "user": user,
                    "groups": groups,
                    "resourceAttributes": {"verb": "list", "group": t.group, "resource": "widgets"},
                },
            })
        };
        let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
        let answer = t.post(path, &review("someone", &["system:masters"])).await.is(201);
        assert_eq!(answer.json["status"]["allowed"], true, "{answer}");
        let answer = t.post(path, &review("someone", &[])).await.is(201);
        assert_eq!(answer.json["status"]["allowed"], false, "{answer}");
        user(&t).await.post(path, &review("someone", &[])).await.fails(403, "Forbidden");
    });
}

/// The groups that inv-tui's roles go to: on a real control plane as a person would set them up.
#[test]
fn a_viewer_reads_hosts_and_writes_nothing() {
    case(async |t| {
        let group = if t.target == crate::differences::Target::Embedded {
            "inv:viewers".to_owned()
        } else {
            let rbac = "/apis/rbac.authorization.k8s.io/v1";
            let rules = json!([{"apiGroups": ["inventory.inv-tui.dev"], "resources": ["hosts"], "verbs": ["get", "list", "watch"]}]);
            let role = json!({"metadata": {"name": t.ns}, "rules": rules});
            t.post(&format!("{rbac}/clusterroles"), &role).await.is(201);
            let binding = json!({
                "metadata": {"name": t.ns},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": t.ns},
                "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": t.ns}],
            });
            t.post(&format!("{rbac}/clusterrolebindings"), &binding).await.is(201);
            t.ns.clone()
        };
        let viewer = t.with(t.user(&t.ns, &[&group]).await);
        let hosts = |verb: &str| json!({"verb": verb, "group": "inventory.inv-tui.dev", "resource": "hosts", "namespace": t.ns});
        // Roles take effect when their cache has them.
        let in_force = async { while !allowed(&viewer, hosts("list")).await {} };
        timeout(PATIENCE, in_force).await.expect("the role");
        for verb in ["get", "watch"] {
            assert!(allowed(&viewer, hosts(verb)).await, "{verb}");
        }
        for verb in ["create", "update", "patch", "delete", "deletecollection"] {
            assert!(!allowed(&viewer, hosts(verb)).await, "{verb}");
        }
        viewer
            .post(&t.core("configmaps"), &json!({"metadata": {"name": "a"}}))
            .await
            .fails(403, "Forbidden");
        if group == t.ns {
            for kind in ["clusterroles", "clusterrolebindings"] {
                t.delete(&format!("/apis/rbac.authorization.k8s.io/v1/{kind}/{}", t.ns))
                    .await
                    .is(200);
            }
        }
    });
}
