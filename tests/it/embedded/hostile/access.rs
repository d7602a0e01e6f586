//! Ways around the roles, and what must not be told.

use super::*;

const SECRET: &str = "c2VjcmV0LXZhbHVl";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_path_leads_around_the_roles() {
    let mut victim = Victim::start().await;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"key": SECRET},
    });
    victim.admin.post(SECRETS, &secret).await.is(201);
    let viewer = victim.user("vera", "viewer").await;
    let nobody = viewer.nobody(&victim);
    let paths = [
        "/api/v1/secrets",
        "/api/v1/namespaces/default/secrets",
        "/api/v1/namespaces/default/secrets/s",
        "/api/v1/namespaces/default/secrets/s/",
        "/api/v1/namespaces/default/secrets/s/status",
        "/api/v1/namespaces/default/%73ecrets/s",
        "/api/v1/namespaces/default/secrets%2Fs",
        "/api/v1/namespaces//secrets",
        "//api/v1/namespaces/default/secrets/s",
        "/api/v1/../v1/namespaces/default/secrets/s",
        "/healthz/../api/v1/namespaces/default/secrets/s",
        "/api/v1/namespaces/default/events/../secrets/s",
        "/api/v1/watch/namespaces/default/secrets/s",
        "/api/v1/namespaces/default/secrets?watch=1&fieldSelector=metadata.name%3Ds",
        "/api/v1/namespaces/default/secrets?fieldSelector=metadata.name%3Ds",
        "/api/v1/secrets?fieldSelector=metadata.namespace%3Ddefault",
    ];
    for user in [&viewer, &nobody] {
        for path in paths {
            for method in
                ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "get", "FOO"]
            {
                let answer = user.send(method, path, JSON, secret.to_string()).await;
                let public =
                    path.starts_with("/healthz") && (answer.body == "ok" || method == "HEAD");
                assert!(answer.status >= 400 || public, "{method} {path}: {}", answer.status);
                let body = String::from_utf8_lossy(&answer.body);
                assert!(!body.contains(SECRET), "{method} {path}: {body}");
            }
        }
    }
    // Broken bodies and failed writes with a secret in them are not quoted, neither to others nor in
    // the log.
    let broken = secret.to_string().replace("\"s\"", "\"S S\"");
    victim.admin.send("POST", SECRETS, JSON, broken).await.is(422);
    victim.admin.send("POST", SECRETS, JSON, format!("{secret}}}")).await.is(400);
    let log = victim.log();
    assert!(!log.contains(SECRET) && !log.contains("PRIVATE KEY"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_delete_cannot_let_the_server_delete() {
    let victim = Victim::start().await;
    let hosts = "/apis/inventory.inv-tui.dev/v1alpha1/namespaces/default/hosts";
    let host = json!({
        "apiVersion": "inventory.inv-tui.dev/v1alpha1", "kind": "Host", "metadata": {"name": "a"},
        "spec": {"cluster": "c", "role": "web", "providerID": "aws:///eu-west-1a/i-1"},
    });
    victim.admin.post(hosts, &host).await.is(201);
    let owners = json!({"metadata": {"ownerReferences": [{
        "apiVersion": "v1", "kind": "ConfigMap", "name": "never", "uid": "0",
    }]}});
    let path = format!("{hosts}/a");
    let operator = victim.user("otto", "operator").await;
    operator
        .send("PATCH", &path, MERGE, json!({"metadata": {"labels": {"x": "y"}}}).to_string())
        .await
        .is(200);
    operator.send("PATCH", &path, MERGE, owners.to_string()).await.is(403);
    let mut applied = owners.clone();
    applied["apiVersion"] = host["apiVersion"].clone();
    applied["kind"] = "Host".into();
    let apply = format!("{path}?fieldManager=otto");
    operator.send("PATCH", &apply, APPLY, applied.to_string()).await.is(403);
    operator.send("DELETE", &path, "", "").await.is(403);
    let fetcher = victim.user("fred", "fetcher").await;
    fetcher.send("PATCH", &path, MERGE, owners.to_string()).await.is(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_becomes_a_certificate_for_everything() {
    use base64::Engine;
    let victim = Victim::start().await;
    let machine = victim.user("machine", "bootstrapper").await;
    for (group, status) in [("inv:admins", 403), ("system:masters", 403), ("inv:hosts", 201)] {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, "inv:host:default:a");
        params.distinguished_name.push(rcgen::DnType::OrganizationName, group);
        let pem = params.serialize_request(&key).unwrap().pem().unwrap();
        let object = json!({
            "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
            "metadata": {"name": "a"},
            "spec": {
                "signerName": "kubernetes.io/kube-apiserver-client", "usages": ["client auth"],
                "request": base64::engine::general_purpose::STANDARD.encode(pem),
                "username": "system:admin", "groups": ["system:masters"],
            },
        });
        let answer = machine.post(REQUESTS, &object).await;
        assert_eq!(answer.status, status, "{group}");
        if status == 201 {
            assert_eq!(
                answer.json()["spec"]["username"],
                "machine",
                "who asks is not what they say"
            );
        }
    }
    // It sees its own, and cannot approve.
    machine.send("GET", &format!("{REQUESTS}/a"), "", "").await.is(200);
    machine.send("GET", REQUESTS, "", "").await.is(403);
    let approval = json!({"status": {"conditions": [{"type": "Approved", "status": "True"}]}});
    machine
        .send("PATCH", &format!("{REQUESTS}/a/approval"), MERGE, approval.to_string())
        .await
        .is(403);
    let other = victim.user("other", "bootstrapper").await;
    for query in ["", "?watch=1"] {
        let answer = other
            .send(
                "GET",
                &format!("{REQUESTS}/a{query}&timeoutSeconds=1").replace("a&", "a?"),
                "",
                "",
            )
            .await;
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(!body.contains("\"username\""), "{body}");
    }
}
