//! The services: fetchers, runners, the lifecycle controller, approvers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, ListParams};
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};

use super::*;
use crate::support::run;
use crate::support::scripted::{Scripted, instance, instances};

#[tokio::test(flavor = "multi_thread")]
async fn a_fetcher_never_writes_what_people_decide() {
    for world in worlds("access-fetcher").await {
        world.make_host("web-1", "web-1", "eu", "shop").await;
        let fetcher = world.client_as("inv:svc:fetch", &["inv:fetchers"]).await;
        let hosts = world.hosts_as(&fetcher);
        hosts.patch("web-1", &merge(), &spec(json!({"role": "db"}))).await.unwrap();
        let facts = status(json!({"phase": "Stopped", "sources": {"aws": {"state": "Stopped"}}}));
        hosts.patch_status("web-1", &merge(), &facts).await.unwrap();

        let decided = [
            ("maintenance", json!({"inv-svc-fetch": hold("mine")})),
            ("ansible", json!({"requestID": "a", "playbook": "site.yml"})),
            ("os", json!({"desired": "13", "requestID": "a"})),
            ("serviceState", json!("Retired")),
            ("paused", json!(true)),
        ];
        for (field, value) in &decided {
            let wanted = format!("a fetcher does not write what people decide: spec.{field}");
            let done = hosts.patch("web-1", &merge(), &spec(json!({ *field: value }))).await;
            refused(done, &wanted);
            let object = json!({
                "apiVersion": "inventory.inv-tui.dev/v1alpha1", "kind": "Host",
                "metadata": {"name": "new"}, "spec": { *field: value },
            });
            let apply = PatchParams::apply("inv-tui-fetch-x");
            refused(hosts.patch("new", &apply, &Patch::Apply(&object)).await, &wanted);
        }
        // What a person has written stays, whatever the fetcher writes beside it.
        let person = spec(json!({
            "maintenance": {"ann": hold("hers")}, "serviceState": "OutOfService", "paused": true,
        }));
        world.hosts().patch("web-1", &merge(), &person).await.unwrap();
        let ends = spec(json!({"maintenance": null}));
        refused(hosts.patch("web-1", &merge(), &ends).await, "spec.maintenance");
        hosts.patch("web-1", &merge(), &spec(json!({"role": "web"}))).await.unwrap();

        let protect = |value: Value| {
            Patch::Merge(
                json!({"metadata": {"annotations": {"inventory.inv-tui.dev/protect": value}}}),
            )
        };
        let wanted = "a fetcher neither protects a host nor ends its protection";
        refused(hosts.patch("web-1", &merge(), &protect(json!("x"))).await, wanted);
        world.hosts().patch("web-1", &merge(), &protect(json!("payments"))).await.unwrap();
        refused(hosts.patch("web-1", &merge(), &protect(Value::Null)).await, wanted);
        let done = hosts.delete("web-1", &DeleteParams::default()).await;
        refused(done, "this host is protected");
        // Where the provider says that it has moved, it has.
        hosts.patch("web-1", &merge(), &spec(json!({"cluster": "other"}))).await.unwrap();

        let secrets: Api<Secret> = Api::namespaced(fetcher.clone(), &world.namespace);
        refused(secrets.list(&ListParams::default()).await, "cannot list resource \"secrets\"");
        let clusters: Api<Cluster> = Api::namespaced(fetcher, &world.namespace);
        let all = spec(json!({"disruption": {"maxUnavailable": "100%"}}));
        let done = clusters.patch("shop", &merge(), &all).await;
        refused(done, "cannot patch resource \"clusters\"");
        world.hosts().patch("web-1", &merge(), &protect(Value::Null)).await.unwrap();
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_reports_runs_and_nothing_else() {
    for world in worlds("access-runner").await {
        world.make_host("web-1", "web-1", "eu", "shop").await;
        let runner = world.client_as("inv:svc:runner", &["inv:runners"]).await;
        let hosts = world.hosts_as(&runner);
        let report = status(json!({
            "ansible": {"requestID": "a", "state": "Running"}, "conditions": [condition("Converged")],
        }));
        hosts.patch_status("web-1", &merge(), &report).await.unwrap();
        let done = hosts.patch_status("web-1", &merge(), &status(json!({"os": {"id": "x"}}))).await;
        refused(done, "of the status a runner writes ansible and its condition, not os");
        let more = status(json!({"conditions": [condition("Converged"), condition("Drained")]}));
        let done = hosts.patch_status("web-1", &merge(), &more).await;
        refused(done, "of the conditions a runner writes Converged; the others belong");
        let done = hosts.patch("web-1", &merge(), &spec(json!({"role": "db"}))).await;
        refused(done, "cannot patch resource \"hosts\"");
        let secrets: Api<Secret> = Api::all(runner.clone());
        refused(secrets.list(&ListParams::default()).await, "cannot list resource \"secrets\"");
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_leads_by_its_own_lease_only() {
    for world in worlds("access-leases").await {
        for group in
            ["inv:fetchers", "inv:lifecycle", "inv:runners", "inv:approvers", "inv:monitors"]
        {
            let service = world.client_as("inv:svc:x", &[group]).await;
            let leases: Api<Lease> = Api::namespaced(service.clone(), &world.namespace);
            let name = format!("inv-tui-{}", group.trim_start_matches("inv:"));
            leases.create(&PostParams::default(), &lease(&name)).await.unwrap();
            let held = spec(json!({"holderIdentity": "x", "leaseDurationSeconds": 15}));
            leases.patch(&name, &merge(), &held).await.unwrap();
            let refusal = "a service writes only Leases whose name begins with inv-tui-";
            for (namespace, name) in
                [(world.namespace.as_str(), "web-1"), ("kube-system", "kube-controller-manager")]
            {
                let leases: Api<Lease> = Api::namespaced(service.clone(), namespace);
                let made = leases.create(&PostParams::default(), &lease(name)).await;
                world.says(made, refusal, "cannot create resource \"leases\"");
            }
            let done = leases.delete(&name, &DeleteParams::default()).await;
            refused(done, "cannot delete resource \"leases\"");
        }
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lifecycle_controller_ends_holds_and_writes_what_it_derives() {
    for world in worlds("access-life").await {
        world.make_host("web-1", "web-1", "eu", "shop").await;
        make_cluster(&world, "shop").await;
        world.edit("web-1", "ann", json!({"spec": {"maintenance": {"ann": hold("hers")}}})).await;
        let lifecycle = world.client_as("inv:svc:life", &["inv:lifecycle"]).await;
        let hosts = world.hosts_as(&lifecycle);
        let ends = spec(json!({"maintenance": {"ann": null}}));
        hosts.patch("web-1", &merge(), &ends).await.unwrap();
        let derived = status(json!({"phase": "Running", "conditions": [condition("Ready")]}));
        hosts.patch_status("web-1", &merge(), &derived).await.unwrap();
        let clusters: Api<Cluster> = Api::namespaced(lifecycle.clone(), &world.namespace);
        clusters.patch_status("shop", &merge(), &status(json!({"ready": 1}))).await.unwrap();
        refused(hosts.delete("web-1", &DeleteParams::default()).await, "cannot delete resource");
        let done = clusters.patch("shop", &merge(), &spec(json!({"paused": true}))).await;
        refused(done, "cannot patch resource \"clusters\"");
        world.end().await;
    }
}

/// A certificate request for these names and this signer.
fn wanted(name: &str, subject: &str, group: &str, signer: &str) -> CertificateSigningRequest {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, subject);
    params.distinguished_name.push(rcgen::DnType::OrganizationName, group);
    let pem = params.serialize_request(&key).unwrap().pem().unwrap();
    serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {"request": STANDARD.encode(pem), "usages": ["client auth"], "signerName": signer},
    }))
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approver_makes_no_masters() {
    const CLIENT: &str = "kubernetes.io/kube-apiserver-client";
    for world in worlds("access-approver").await {
        let machine = world.client_as("machine", &["system:bootstrappers:inv"]).await;
        let asked: Api<CertificateSigningRequest> = Api::all(machine);
        let approver = world.client_as("pam", &["inv:approvers"]).await;
        let requests: Api<CertificateSigningRequest> = Api::all(approver.clone());
        let approval = status(json!({"conditions": [condition("Approved")]}));
        let post = PostParams::default();

        // Such a request is not even there to be approved.
        let name = format!("{}-masters", world.namespace);
        let masters = wanted(&name, "root", "system:masters", CLIENT);
        refused(asked.create(&post, &masters).await, "system:masters");

        let subject = world.agent("web-1");
        let name = format!("{}-web-1", world.namespace);
        asked.create(&post, &wanted(&name, &subject, "inv:hosts", CLIENT)).await.unwrap();
        let done = asked.patch_approval(&name, &merge(), &approval).await;
        refused(done, "cannot patch resource \"certificatesigningrequests/approval\"");
        requests.patch_approval(&name, &merge(), &approval).await.unwrap();

        let name = format!("{}-other", world.namespace);
        asked.create(&post, &wanted(&name, &subject, "x", "example.com/other")).await.unwrap();
        let done = requests.patch_approval(&name, &merge(), &approval).await;
        refused(done, "not permitted to approve requests with signerName \"example.com/other\"");

        let hosts = world.hosts_as(&approver);
        hosts.list(&ListParams::default()).await.unwrap();
        let done = hosts.patch("web-1", &merge(), &spec(json!({"role": "db"}))).await;
        refused(done, "cannot patch resource \"hosts\"");
        let secrets: Api<Secret> = Api::all(approver);
        refused(secrets.list(&ListParams::default()).await, "cannot list resource \"secrets\"");
        world.end().await;
    }
}

/// What deploy/README.md has for agents: a Secret in kube-system is a token of the role.
#[tokio::test(flavor = "multi_thread")]
async fn a_bootstrap_token_may_ask_for_a_certificate_and_for_nothing_else() {
    let Some(world) = World::begin("access-token").await else { return };
    if !world.is_real() {
        return world.end().await;
    }
    roles::deployed(&world.kubeconfig).await;
    let id = format!("{:06x}", fastrand::u32(..1 << 24));
    let token = format!("{:016x}", fastrand::u64(..));
    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), "kube-system");
    let name = format!("bootstrap-token-{id}");
    let secret = serde_json::from_value(json!({
        "metadata": {"name": name}, "type": "bootstrap.kubernetes.io/token",
        "stringData": {
            "token-id": id, "token-secret": token, "usage-bootstrap-authentication": "true",
            "auth-extra-groups": "system:bootstrappers:inv",
        },
    }));
    secrets.create(&PostParams::default(), &secret.unwrap()).await.unwrap();

    let mut kubeconfig = Kubeconfig::read_from(&world.kubeconfig).unwrap();
    let user = AuthInfo { token: Some(format!("{id}.{token}").into()), ..AuthInfo::default() };
    kubeconfig.auth_infos[0].auth_info = Some(user);
    let options = KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
    let machine = Client::try_from(config).unwrap();
    let requests: Api<CertificateSigningRequest> = Api::all(machine.clone());
    let name = format!("{}-token", world.namespace);
    let request =
        wanted(&name, &world.agent("web-1"), "inv:hosts", "kubernetes.io/kube-apiserver-client");
    // The server reads the token from a watch, a moment after it was made.
    let made = wait_for("the token to be known", async || {
        match requests.create(&PostParams::default(), &request).await {
            Err(kube::Error::Api(status)) if status.code == 401 => None,
            made => Some(made.unwrap()),
        }
    });
    assert!(made.await.spec.groups.unwrap().iter().any(|g| g == "system:bootstrappers:inv"));
    let hosts = world.hosts_as(&machine);
    refused(hosts.list(&ListParams::default()).await, "cannot list resource \"hosts\"");
    let leases: Api<Lease> = Api::namespaced(machine, &world.namespace);
    let made = leases.create(&PostParams::default(), &lease("web-1")).await;
    refused(made, "cannot create resource \"leases\"");
    secrets.delete(&format!("bootstrap-token-{id}"), &DeleteParams::default()).await.unwrap();
    world.end().await;
}

/// The roles are enough for the work: a fetcher fetches, an administrator installs.
#[tokio::test(flavor = "multi_thread")]
async fn the_roles_are_enough_for_the_programs() {
    for world in worlds("access-programs").await {
        let source = Scripted::begin().await;
        source.hosts("eu-west-1", instances(1..=3));
        let fetcher = world.seen_by("inv:svc:fetch", &["inv:fetchers"]).await;
        let fetch = async || {
            fetcher.fetch(&source.url, &["--region", "eu-west-1", "--grace", "0s"]).await.with(0)
        };
        fetch().await;
        assert_eq!(world.all_hosts().await.len(), 3);
        let mut gone = instance(3);
        gone.state = (48, "terminated");
        let left = instances(1..=2).into_iter().chain([gone]).collect();
        source.hosts("eu-west-1", left);
        fetch().await;
        fetch().await;
        assert_eq!(world.all_hosts().await.len(), 2);

        let admin = world.seen_by("ada", &["inv:admins"]).await;
        run(admin.program(&["crds", "--apply"])).await.with(0);
        let viewer = world.seen_by("vera", &["inv:viewers"]).await;
        let denied = viewer.fetch(&source.url, &["--region", "eu-west-1"]).await.with(2);
        denied.says(&["your user may not patch hosts"]);
        world.end().await;
    }
}
