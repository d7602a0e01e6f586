//! Who may do what on `serve`: client certificates of each role, of an agent, and bearer tokens.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use inv_tui::model::host::{Host, HostSpec};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::json;

use super::{NAMESPACE, Serving, code, make_host, program};
use crate::support::{patient, run, wait_for};

/// A client with the certificate of a new user.
async fn user(server: &Serving, folder: &Path, name: &str, role: &str) -> Client {
    let file = folder.join(format!("{name}.kubeconfig"));
    let words =
        ["--user", name, "--role", role, "--listen", server.address(), "--write-kubeconfig"];
    let mut command = program(folder, &words);
    run({
        command.arg(&file);
        command
    })
    .await
    .with(0);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    patient(&file).await
}

/// A client with these credentials instead of the administrator's.
async fn with(server: &Serving, credentials: AuthInfo) -> Client {
    let mut kubeconfig = Kubeconfig::read_from(&server.kubeconfig).unwrap();
    kubeconfig.auth_infos[0].auth_info = Some(credentials);
    let options = KubeConfigOptions::default();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

fn hosts(client: &Client) -> Api<Host> {
    Api::namespaced(client.clone(), NAMESPACE)
}

fn role(role: &str) -> Patch<serde_json::Value> {
    Patch::Merge(json!({"spec": {"role": role}}))
}

fn phase(phase: &str) -> Patch<serde_json::Value> {
    Patch::Merge(json!({"status": {"phase": phase}}))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_can_do_its_work_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let server = Serving::start(folder.path(), &[]).await;
    make_host(&server.hosts().await, "web-1", "web").await;
    let change = PatchParams::default();

    let viewer = hosts(&user(&server, folder.path(), "ann", "viewer").await);
    assert_eq!(viewer.list(&ListParams::default()).await.unwrap().items.len(), 1);
    assert_eq!(code(viewer.patch("web-1", &change, &role("db")).await), 403);
    assert_eq!(code(viewer.patch_status("web-1", &change, &phase("Stopped")).await), 403);
    assert_eq!(code(viewer.delete("web-1", &DeleteParams::default()).await), 403);
    assert_eq!(
        code(viewer.create(&PostParams::default(), &Host::new("x", HostSpec::default())).await),
        403
    );

    let operator = hosts(&user(&server, folder.path(), "bob", "operator").await);
    let changed = operator.patch("web-1", &change, &role("db")).await.unwrap();
    assert_eq!(changed.spec.role.as_deref(), Some("db"));
    assert_eq!(code(operator.patch_status("web-1", &change, &phase("Stopped")).await), 403);
    assert_eq!(code(operator.delete("web-1", &DeleteParams::default()).await), 403);

    let fetcher = hosts(&user(&server, folder.path(), "eve", "fetcher").await);
    fetcher.patch_status("web-1", &change, &phase("Stopped")).await.unwrap();
    fetcher.delete("web-1", &DeleteParams::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_gets_its_certificate_and_changes_only_its_own_status() {
    let folder = tempfile::tempdir().unwrap();
    let server = Serving::start(folder.path(), &[]).await;
    let admin = server.hosts().await;
    for name in ["web-1", "web-2"] {
        make_host(&admin, name, "web").await;
    }

    // A new machine asks, a person approves, the server signs.
    let key = rcgen::KeyPair::generate().unwrap();
    let mut wanted = rcgen::CertificateParams::default();
    wanted
        .distinguished_name
        .push(rcgen::DnType::CommonName, format!("inv:host:{NAMESPACE}:web-1"));
    wanted.distinguished_name.push(rcgen::DnType::OrganizationName, "inv:hosts");
    let request = wanted.serialize_request(&key).unwrap().pem().unwrap();
    let request: CertificateSigningRequest = serde_json::from_value(json!({
        "metadata": {"name": "web-1"},
        "spec": {"request": STANDARD.encode(request), "usages": ["client auth"],
            "signerName": "kubernetes.io/kube-apiserver-client"},
    }))
    .unwrap();
    let machine = user(&server, folder.path(), "machine", "bootstrapper").await;
    let asked: Api<CertificateSigningRequest> = Api::all(machine.clone());
    asked.create(&PostParams::default(), &request).await.unwrap();
    let approval = json!({"status": {"conditions": [{"type": "Approved", "status": "True", "reason": "Test"}]}});
    let approval = Patch::Merge(approval);
    let change = PatchParams::default();
    assert_eq!(code(asked.patch_approval("web-1", &change, &approval).await), 403);
    let approver: Api<CertificateSigningRequest> =
        Api::all(user(&server, folder.path(), "pam", "approver").await);
    approver.patch_approval("web-1", &change, &approval).await.unwrap();
    let certificate = wait_for("the certificate", async || {
        asked.get("web-1").await.unwrap().status.and_then(|status| status.certificate)
    });
    let agent = with(
        &server,
        AuthInfo {
            client_certificate_data: Some(STANDARD.encode(certificate.await.0)),
            client_key_data: Some(STANDARD.encode(key.serialize_pem()).into()),
            ..AuthInfo::default()
        },
    );
    let agent = hosts(&agent.await);

    let os = Patch::Merge(json!({"status": {"os": {"id": "debian"}}}));
    let now = agent.patch_status("web-1", &change, &os).await.unwrap();
    assert_eq!(serde_json::to_value(now).unwrap()["status"]["os"]["id"], "debian");
    assert_eq!(code(agent.patch_status("web-1", &change, &phase("Stopped")).await), 403);
    assert_eq!(code(agent.patch_status("web-2", &change, &os).await), 403);
    assert_eq!(code(agent.patch("web-1", &change, &role("db")).await), 403);
    assert_eq!(code(agent.delete("web-1", &DeleteParams::default()).await), 403);
    let elsewhere: Api<Host> = Api::namespaced(agent.into_client(), "default");
    assert_eq!(code(elsewhere.patch_status("web-1", &change, &os).await), 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn bearer_tokens_are_those_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens.csv");
    std::fs::write(&file, "s3cret,ann,1,\"inv:viewers\"\n0ther,bob,2,inv:operators\n").unwrap();
    let open = file.to_str().unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    let words = ["--listen", "127.0.0.1:0", "--token-file", open];
    run(program(folder.path(), &words)).await.with(2).says(&["open to others", "chmod 600"]);

    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    let server = Serving::start(folder.path(), &["--token-file", open]).await;
    make_host(&server.hosts().await, "web-1", "web").await;
    let bearer = async |token: &str| {
        let token = (!token.is_empty()).then(|| token.to_owned().into());
        hosts(&with(&server, AuthInfo { token, ..AuthInfo::default() }).await)
    };
    let change = PatchParams::default();
    let (ann, bob) = (bearer("s3cret").await, bearer("0ther").await);
    ann.get("web-1").await.unwrap();
    assert_eq!(code(ann.patch("web-1", &change, &role("db")).await), 403);
    bob.patch("web-1", &change, &role("db")).await.unwrap();
    assert_eq!(code(bearer("wrong").await.get("web-1").await), 401);
    assert_eq!(code(bearer("").await.get("web-1").await), 403, "anonymous");
}
