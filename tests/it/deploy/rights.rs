//! `deploy/kubernetes/` on a real control plane: it is accepted, and each `ServiceAccount` can do what
//! its task needs and nothing more.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use inv_tui::model::host::Host;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use kube::config::Kubeconfig;
use serde_json::{Value, json};

use super::{deploy, files, output, words};
use crate::support::control_plane::ControlPlane;
use crate::support::{World, connection, needed, refused, roles, run, wait_for};

/// Namespace of the accounts, and of the inventory that they are for.
const HOME: &str = "inv-tui";
const INVENTORY: &str = "inventory";

/// kubectl on this control plane: what it says.
fn kubectl(program: &str, server: &ControlPlane, args: &[&str]) -> String {
    let mut all = vec!["--kubeconfig", &server.kubeconfig];
    all.extend(args);
    let done = output(program, &all).expect("kubectl");
    assert!(done.status.success(), "{args:?}: {}", words(&done));
    words(&done)
}

const GROUP: &str = "inventory.inv-tui.dev";
const READ: [&str; 3] = ["get", "list", "watch"];
const VERBS: [&str; 10] = [
    "get",
    "list",
    "watch",
    "create",
    "patch",
    "update",
    "delete",
    "deletecollection",
    "approve",
    "impersonate",
];
/// What rights are asked about: group, resource, whether it is in a namespace.
const RESOURCES: [(&str, &str, bool); 28] = [
    (GROUP, "hosts", true),
    (GROUP, "hosts/status", true),
    (GROUP, "clusters", true),
    (GROUP, "clusters/status", true),
    (GROUP, "sources", true),
    (GROUP, "sources/status", true),
    (GROUP, "regions", false),
    (GROUP, "regions/status", false),
    ("coordination.k8s.io", "leases", true),
    ("events.k8s.io", "events", true),
    ("", "events", true),
    ("", "namespaces", true),
    ("", "secrets", true),
    ("", "configmaps", true),
    ("", "pods", true),
    ("", "pods/exec", true),
    ("", "serviceaccounts", true),
    ("", "serviceaccounts/token", true),
    ("", "nodes", false),
    ("apps", "deployments", true),
    ("certificates.k8s.io", "certificatesigningrequests", false),
    ("certificates.k8s.io", "certificatesigningrequests/approval", false),
    ("certificates.k8s.io", "certificatesigningrequests/status", false),
    ("certificates.k8s.io", "signers", false),
    ("apiextensions.k8s.io", "customresourcedefinitions", false),
    ("rbac.authorization.k8s.io", "roles", true),
    ("rbac.authorization.k8s.io", "clusterrolebindings", false),
    ("", "users", false),
];

/// A right: verb, resource with its group, and whether it reaches every namespace.
type Right = (String, String, bool);

fn rights(wanted: &[(&[&str], &[&str], bool)]) -> BTreeSet<Right> {
    let mut all = BTreeSet::new();
    for (verbs, resources, everywhere) in wanted {
        for verb in *verbs {
            for resource in *resources {
                all.insert(((*verb).to_owned(), (*resource).to_owned(), *everywhere));
            }
        }
    }
    all
}

/// What each account may do, and no more. What is in no namespace is everywhere.
fn wanted(account: &str) -> BTreeSet<Right> {
    let record: (&[&str], &[&str], bool) = (&["create", "patch"], &["events.events.k8s.io"], false);
    match account {
        "fetch" => rights(&[
            (&READ, &["hosts", "sources"], false),
            (&["create", "patch", "delete"], &["hosts"], false),
            (&["create", "patch"], &["sources"], false),
            (&["patch"], &["hosts/status", "sources/status"], false),
            (&["get", "create", "patch", "update"], &["leases"], false),
            (&["get"], &["namespaces"], false),
        ]),
        "lifecycle" => rights(&[
            (&READ, &["hosts", "clusters", "leases"], false),
            (&READ, &["regions", "certificatesigningrequests"], true),
            (&["patch"], &["hosts", "hosts/status", "clusters/status"], false),
            (&["patch"], &["regions/status"], true),
            (&["create", "patch", "update"], &["leases"], false),
            record,
        ]),
        "approve" => rights(&[
            (&READ, &["hosts", "clusters", "sources", "regions"], true),
            (&READ, &["leases", "events", "events.events.k8s.io", "namespaces"], true),
            (&READ, &["certificatesigningrequests", "customresourcedefinitions"], true),
            (&["create", "patch", "update"], &["leases"], true),
            (&["create", "patch"], &["events.events.k8s.io"], true),
            (&["patch", "update"], &["certificatesigningrequests/approval"], true),
            (&["approve"], &["signers"], true),
        ]),
        "runner" => rights(&[
            (&READ, &["hosts", "clusters", "leases"], false),
            (&["patch"], &["hosts/status"], false),
            (&["create", "patch", "update"], &["leases"], false),
            record,
        ]),
        "decommission" => rights(&[
            (&READ, &["hosts"], false),
            (&["patch"], &["hosts", "hosts/status"], false),
            (&["get", "create", "patch", "update", "delete"], &["leases"], false),
            record,
        ]),
        "monitor" => rights(&[
            (&READ, &["hosts", "clusters"], false),
            (&["get", "create", "patch", "update"], &["leases"], false),
            (&["get"], &["namespaces"], false),
        ]),
        "render" => rights(&[(&READ, &["hosts"], false)]),
        other => panic!("what may {other} do?"),
    }
}

async fn may(
    client: &kube::Client,
    account: &str,
    verb: &str,
    (group, resource, _): (&str, &str, bool),
    namespace: Option<&str>,
) -> bool {
    let (plain, sub) = resource.split_once('/').map_or((resource, None), |(r, s)| (r, Some(s)));
    // An approver's right is for these signers by name.
    let name = (plain == "signers").then(|| "kubernetes.io/kube-apiserver-client".to_owned());
    let attributes = ResourceAttributes {
        group: Some(group.to_owned()),
        resource: Some(plain.to_owned()),
        subresource: sub.map(str::to_owned),
        verb: Some(verb.to_owned()),
        namespace: namespace.map(str::to_owned),
        name,
        ..ResourceAttributes::default()
    };
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(format!("system:serviceaccount:{HOME}:{account}")),
            groups: Some(vec![
                "system:serviceaccounts".to_owned(),
                format!("system:serviceaccounts:{HOME}"),
                "system:authenticated".to_owned(),
            ]),
            resource_attributes: Some(attributes),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let api: Api<SubjectAccessReview> = Api::all(client.clone());
    api.create(&PostParams::default(), &review).await.unwrap().status.unwrap().allowed
}

/// All that an account may do of what is asked about.
async fn found(client: &kube::Client, account: &str) -> BTreeSet<Right> {
    let mut all = BTreeSet::new();
    for resource in RESOURCES {
        let (group, plural, namespaced) = resource;
        let shown = if group == "events.k8s.io" { "events.events.k8s.io" } else { plural };
        for verb in VERBS {
            let here = may(client, account, verb, resource, namespaced.then_some(INVENTORY)).await;
            let elsewhere = namespaced.then_some("kube-system");
            let everywhere = may(client, account, verb, resource, elsewhere).await;
            assert!(here || !everywhere, "{account} {verb} {plural}");
            if here {
                all.insert((verb.to_owned(), shown.to_owned(), everywhere));
            }
        }
    }
    all
}

/// The kubeconfig of an account, with a token as a Pod gets it.
async fn kubeconfig(server: &ControlPlane, dir: &Path, account: &str) -> PathBuf {
    let admin = Path::new(&server.kubeconfig);
    let api: Api<ServiceAccount> = Api::namespaced(connection(admin).await.client, HOME);
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            expiration_seconds: Some(3600),
            ..TokenRequestSpec::default()
        }),
        ..TokenRequest::default()
    };
    let token = api.create_token_request(account, &PostParams::default(), &request).await.unwrap();
    let mut config: Value = serde_json::to_value(Kubeconfig::read_from(admin).unwrap()).unwrap();
    config["users"][0]["user"] = json!({"token": token.status.unwrap().token});
    let file = dir.join(format!("{account}.kubeconfig"));
    std::fs::write(&file, config.to_string()).unwrap();
    file
}

/// The inventory as an account sees it.
async fn seen_by(server: &ControlPlane, account: &str) -> World {
    let dir = tempfile::tempdir().unwrap();
    let kubeconfig = kubeconfig(server, dir.path(), account).await;
    let client = connection(&kubeconfig).await.client;
    World { kubeconfig, namespace: INVENTORY.to_owned(), client, dir }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manifests_are_accepted_and_their_accounts_may_do_what_they_must() {
    let Some(program) = needed("INV_TUI_TEST_KUBECTL") else { return };
    let Some(server) = ControlPlane::own("deploy") else { return };
    roles::deployed(Path::new(&server.kubeconfig)).await;
    let accounts = deploy("kubernetes/accounts.yaml");
    let applied =
        kubectl(&program, &server, &["apply", "--server-side", "-f", accounts.to_str().unwrap()]);
    assert!(!applied.contains("Warning"), "{applied}");
    for manifest in files("kubernetes", "yaml") {
        let path = manifest.to_str().unwrap();
        let said =
            kubectl(&program, &server, &["apply", "--server-side", "--dry-run=server", "-f", path]);
        assert!(!said.contains("Warning"), "{path}: {said}");
    }
    let admin = connection(Path::new(&server.kubeconfig)).await.client;
    let named: Api<ServiceAccount> = Api::namespaced(admin.clone(), HOME);
    let all = named.list(&kube::api::ListParams::default()).await.unwrap().items;
    let ours = all.into_iter().filter_map(|account| account.metadata.name);
    let ours: Vec<String> = ours.filter(|name| name != "default").collect();
    assert!(ours.len() >= 6, "{ours:?}");
    for account in &ours {
        let wanted = wanted(account);
        // The server hears of new roles from its own watches, a moment after they were made.
        let found = wait_for(&format!("{account} to have {wanted:?}"), async || {
            Some(found(&admin, account).await).filter(|found| wanted.is_subset(found))
        })
        .await;
        let more: Vec<_> = found.difference(&wanted).collect();
        assert!(more.is_empty(), "{account}: too much {more:?}");
    }
    they_work(&server).await;
    the_rules_hold_for_them(&server, &admin).await;
}

/// The tasks themselves, with the tokens.
async fn they_work(server: &ControlPlane) {
    let fetch = seen_by(server, "fetch").await;
    let path = fetch.dir.path().join("hosts.yaml");
    std::fs::write(&path, "hosts:\n  - {id: lab-1, region: eu}\n").unwrap();
    let sources = fetch.dir.path().join("sources.toml");
    let text =
        format!("[[source]]\nname = \"lab\"\ntype = \"file\"\npath = \"{}\"\n", path.display());
    std::fs::write(&sources, text).unwrap();
    let words = ["fetch", "--once", "--sources", sources.to_str().unwrap()];
    run(fetch.program(&words)).await.with(0).says(&["created=1"]);
    run(fetch.program(&words)).await.with(0).says(&["writes=0"]);

    let lifecycle = seen_by(server, "lifecycle").await;
    run(lifecycle.program(&["lifecycle", "--once"])).await.with(0);
    assert_eq!(fetch.json("lab-1").await["status"]["phase"], "Running");

    let approve = seen_by(server, "approve").await;
    run(approve.program(&["approve", "--once"])).await.with(0);

    let decommission = seen_by(server, "decommission").await;
    let config = decommission.dir.path().join("decommission.toml");
    std::fs::write(&config, "[[step]]\nname = \"owners\"\nwait-for = [\"*\"]\n").unwrap();
    let config = ["--decommission-config", config.to_str().unwrap()];
    run(decommission.program(&["decommission", "--once", config[0], config[1]])).await.with(0);
    let finalizers = fetch.host("lab-1").await.metadata.finalizers;
    assert_eq!(finalizers, Some(vec!["inventory.inv-tui.dev/decommission".to_owned()]));

    let monitor = seen_by(server, "monitor").await;
    let config = monitor.dir.path().join("monitor.toml");
    std::fs::write(&config, "[[job]]\nname = \"node\"\nports = [9100]\n").unwrap();
    let config = config.to_str().unwrap();
    let words = ["monitor", "--monitor-config", config, "--listen", "127.0.0.1:0"];
    let (_monitor, ready) = super::metrics::service(&monitor, &words).await;
    wait_for("the monitor to know its hosts", async || {
        let (code, ..) = crate::fetch::service::get(&ready, "/readyz").await?;
        (code == 200).then_some(())
    })
    .await;

    let render = seen_by(server, "render").await;
    let (config, names) = (render.dir.path().join("render.toml"), render.dir.path().join("names"));
    let text = "{% for host in hosts %}{{ host.name }}\n{% endfor %}";
    let file =
        format!("[[file]]\nname = \"names\"\npath = '{}'\ntext = {text:?}\n", names.display());
    std::fs::write(&config, file).unwrap();
    let words = ["render", "--once", "--render-config", config.to_str().unwrap()];
    run(render.program(&words)).await.with(0);
    assert_eq!(std::fs::read_to_string(&names).unwrap(), "lab-1\n");

    let runner = seen_by(server, "runner").await;
    let state = runner.dir.path().join("state");
    let config = deploy("runner.toml");
    let words = [
        "runner",
        "--runner-config",
        config.to_str().unwrap(),
        "--state-dir",
        state.to_str().unwrap(),
        "--listen",
        "127.0.0.1:0",
    ];
    let _service = runner.program(&words).spawn().unwrap();
    let leases: Api<Lease> = Api::namespaced(runner.client.clone(), INVENTORY);
    wait_for("the runner to lead", async || {
        leases.get_opt("inv-tui-runner").await.unwrap()?.spec?.holder_identity
    })
    .await;
}

/// What RBAC cannot say is said to accounts as it is to groups.
async fn the_rules_hold_for_them(server: &ControlPlane, admin: &kube::Client) {
    let merge = PatchParams::default();
    let hosts = async |account: &str| -> Api<Host> {
        Api::namespaced(seen_by(server, account).await.client, INVENTORY)
    };
    let fetch = hosts("fetch").await;
    let held = Patch::Merge(json!({"spec": {"serviceState": "Retired"}}));
    refused(
        fetch.patch("lab-1", &merge, &held).await,
        "a fetcher does not write what people decide",
    );
    let protect = |value: Value| {
        Patch::Merge(json!({"metadata": {"annotations": {"inventory.inv-tui.dev/protect": value}}}))
    };
    refused(fetch.patch("lab-1", &merge, &protect(json!("x"))).await, "a fetcher neither protects");
    let all: Api<Host> = Api::namespaced(admin.clone(), INVENTORY);
    all.patch("lab-1", &merge, &protect(json!("x"))).await.unwrap();
    let moved = Patch::Merge(json!({"spec": {"cluster": "other"}}));
    fetch.patch("lab-1", &merge, &moved).await.unwrap();

    let runner = hosts("runner").await;
    let os = Patch::Merge(json!({"status": {"os": {"id": "x"}}}));
    refused(runner.patch_status("lab-1", &merge, &os).await, "of the status a runner writes");

    let decommission = hosts("decommission").await;
    let retired = Patch::Merge(json!({"spec": {"role": "x"}}));
    let done = decommission.patch("lab-1", &merge, &retired).await;
    refused(done, "changes its own finalizer and nothing else");
    let free = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    refused(
        fetch.patch("lab-1", &merge, &free).await,
        "is removed by inv-tui --headless decommission",
    );
    decommission.patch("lab-1", &merge, &free).await.unwrap();

    let lifecycle = hosts("lifecycle").await;
    let owned = json!([{"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "y"}]);
    let owned = Patch::Merge(json!({"metadata": {"ownerReferences": owned}}));
    refused(lifecycle.patch("lab-1", &merge, &owned).await, "cannot make it depend on another");

    for account in ["fetch", "lifecycle", "approve", "runner", "decommission"] {
        let client = seen_by(server, account).await.client;
        let leases: Api<Lease> = Api::namespaced(client, INVENTORY);
        let metadata = ObjectMeta { name: Some("lab-1".to_owned()), ..ObjectMeta::default() };
        let made = leases.create(&PostParams::default(), &Lease { metadata, spec: None }).await;
        refused(made, "a service writes only Leases whose name begins with inv-tui-");
    }
}
