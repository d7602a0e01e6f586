//! Operators and viewers.

use inv_tui::model::host::HostSpec;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{DeleteParams, ListParams};

use super::*;
use crate::support::{Ended, run};

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_sees_and_changes_nothing() {
    for world in worlds("access-viewer").await {
        world.make_host("web-1", "web-1", "eu", "shop").await;
        let viewer = world.client_as("vera", &["inv:viewers"]).await;
        let hosts = world.hosts_as(&viewer);
        assert_eq!(hosts.list(&ListParams::default()).await.unwrap().items.len(), 1);
        let everywhere: Api<Lease> = Api::all(viewer.clone());
        everywhere.list(&ListParams::default()).await.unwrap();
        let requests: Api<CertificateSigningRequest> = Api::all(viewer.clone());
        requests.list(&ListParams::default()).await.unwrap();

        let mine = spec(json!({"maintenance": {"vera": hold("mine")}}));
        refused(hosts.patch("web-1", &merge(), &mine).await, "cannot patch resource \"hosts\"");
        let done = hosts.patch_status("web-1", &merge(), &status(json!({"phase": "Gone"}))).await;
        refused(done, "cannot patch resource \"hosts/status\"");
        refused(hosts.delete("web-1", &DeleteParams::default()).await, "cannot delete resource");
        let made = hosts.create(&PostParams::default(), &Host::new("x", HostSpec::default())).await;
        refused(made, "cannot create resource \"hosts\"");
        let secrets: Api<Secret> = Api::namespaced(viewer.clone(), &world.namespace);
        refused(secrets.list(&ListParams::default()).await, "cannot list resource \"secrets\"");
        let maps: Api<ConfigMap> = Api::namespaced(viewer, &world.namespace);
        refused(maps.list(&ListParams::default()).await, "cannot list resource \"configmaps\"");
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_writes_what_people_decide_and_no_more() {
    for world in worlds("access-operator").await {
        world.make_host("web-1", "web-1", "eu", "shop").await;
        make_cluster(&world, "shop").await;
        let operator = world.client_as("otto", &["inv:operators"]).await;
        let hosts = world.hosts_as(&operator);
        hosts
            .patch("web-1", &merge(), &spec(json!({"serviceState": "OutOfService"})))
            .await
            .unwrap();
        let label = Patch::Merge(json!({"metadata": {"labels": {"x": "y"}}}));
        hosts.patch("web-1", &merge(), &label).await.unwrap();
        for reserved in [
            json!({"inventory.inv-tui.dev/cluster": "x"}),
            json!({"topology.kubernetes.io/region": null}),
        ] {
            let label = Patch::Merge(json!({"metadata": {"labels": reserved}}));
            let done = hosts.patch("web-1", &merge(), &label).await;
            refused(done, "labels of Kubernetes and of services are not set by hand");
        }

        let done = hosts.patch_status("web-1", &merge(), &status(json!({"phase": "Gone"}))).await;
        refused(done, "cannot patch resource \"hosts/status\"");
        refused(hosts.delete("web-1", &DeleteParams::default()).await, "cannot delete resource");
        let owner = Patch::Merge(json!({"metadata": {"ownerReferences": [{
            "apiVersion": "v1", "kind": "ConfigMap", "name": "never", "uid": "0",
        }]}}));
        world.says(
            hosts.patch("web-1", &merge(), &owner).await,
            "whoever may not delete a host cannot make it depend on another object either",
            "cannot delete resource \"hosts\"",
        );
        let secrets: Api<Secret> = Api::namespaced(operator.clone(), &world.namespace);
        refused(secrets.list(&ListParams::default()).await, "cannot list resource \"secrets\"");
        let requests: Api<CertificateSigningRequest> = Api::all(operator.clone());
        let approval = status(json!({"conditions": [condition("Approved")]}));
        let done = requests.patch_approval("x", &merge(), &approval).await;
        refused(done, "cannot patch resource \"certificatesigningrequests/approval\"");

        // A slot of the budget, and nothing else of a cluster.
        let clusters: Api<Cluster> = Api::namespaced(operator.clone(), &world.namespace);
        let slot = status(json!({
            "disrupted": {"web-1": "2030-01-01T00:00:00Z"}, "disruptionsAllowed": 0,
            "currentHealthy": 0, "desiredHealthy": 0,
        }));
        clusters.patch_status("shop", &merge(), &slot).await.unwrap();
        let gone = status(json!({"disrupted": {"web-1": null}}));
        clusters.patch_status("shop", &merge(), &gone).await.unwrap();
        let done = clusters.patch_status("shop", &merge(), &status(json!({"ready": 9}))).await;
        refused(done, "of a cluster's status an operator writes the disruption budget, not ready");
        let all = spec(json!({"disruption": {"maxUnavailable": "100%"}}));
        let done = clusters.patch("shop", &merge(), &all).await;
        refused(done, "cannot patch resource \"clusters\"");
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_holds_a_host_in_anothers_name() {
    for world in worlds("access-holds").await {
        world.make_host("web-1", "web-1", "eu", "shop").await;
        let otto = world.hosts_as(&world.client_as("otto", &["inv:operators"]).await);
        let odd = "oidc:Åsa/ops Berg";
        let odd = world.hosts_as(&world.client_as(odd, &["inv:operators"]).await);
        let holds = |holds: Value| spec(json!({ "maintenance": holds }));

        otto.patch("web-1", &merge(), &holds(json!({"otto": hold("disk swap")}))).await.unwrap();
        // The key is the one that the program computes.
        let key = inv_tui::model::change::holder("oidc:Åsa/ops Berg");
        assert_eq!(key, "oidc:-sa-ops-Berg");
        let both = json!({ &key: hold("kernel") });
        let host = odd.patch("web-1", &merge(), &holds(both)).await.unwrap();
        assert_eq!(host.spec.maintenance.len(), 2);

        let done = odd.patch("web-1", &merge(), &holds(json!({"otto": hold("longer")}))).await;
        refused(
            done,
            "a new or changed hold must be your own, spec.maintenance[oidc:-sa-ops-Berg], not \
             [otto]; end the other one and begin your own",
        );
        let done = odd.patch("web-1", &merge(), &holds(json!({"bob": hold("framed")}))).await;
        refused(done, "not [bob]");
        // To end another's is allowed, with one's own at the same time too.
        odd.patch("web-1", &merge(), &holds(json!({"otto": null}))).await.unwrap();
        let long = "o".repeat(80);
        let long = world.hosts_as(&world.client_as(&long, &["inv:operators"]).await);
        let key = "o".repeat(63);
        long.patch("web-1", &merge(), &holds(json!({ key: hold("a long name") }))).await.unwrap();
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_asked_for_in_ones_own_name_and_not_beside_another() {
    for world in worlds("access-runs").await {
        world.make_host("web-1", "web-1", "eu", "shop").await;
        let otto = world.hosts_as(&world.client_as("otto", &["inv:operators"]).await);
        let anna = world.hosts_as(&world.client_as("anna", &["inv:operators"]).await);
        let done = otto.patch("web-1", &merge(), &spec(request("a", "anna"))).await;
        refused(done, "spec.ansible.requestedBy must be your own name, otto");
        otto.patch("web-1", &merge(), &spec(request("a", "otto"))).await.unwrap();
        let mine = spec(json!({"ansible": {"requestedBy": "anna"}}));
        anna.patch("web-1", &merge(), &mine).await.unwrap();
        let blame = spec(json!({"ansible": {"requestedBy": "otto"}}));
        refused(anna.patch("web-1", &merge(), &blame).await, "must be your own name, anna");
        // To change something else, or to cancel, is not to ask for a run.
        otto.patch("web-1", &merge(), &spec(json!({"role": "db"}))).await.unwrap();
        otto.patch("web-1", &merge(), &spec(json!({"ansible": {"cancel": true}}))).await.unwrap();

        let running = status(json!({"ansible": {"requestID": "a", "state": "Running"}}));
        world.hosts().patch_status("web-1", &merge(), &running).await.unwrap();
        let next =
            spec(json!({"ansible": {"requestID": "b", "requestedBy": "otto", "cancel": false}}));
        refused(otto.patch("web-1", &merge(), &next).await, "a run is going on here");
        let ended = status(json!({"ansible": {"state": "Succeeded"}}));
        world.hosts().patch_status("web-1", &merge(), &ended).await.unwrap();
        otto.patch("web-1", &merge(), &next).await.unwrap();
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_works_for_an_operator_and_tells_the_rules() {
    let Some(kubectl) = needed("INV_TUI_TEST_KUBECTL") else { return };
    for world in worlds("access-kubectl").await {
        world.make_host("web-1", "web-1", "eu", "shop").await;
        let file = world.as_user("otto", &["inv:operators"]).await;
        let kubectl = async |words: &[&str]| -> Ended {
            let mut command = tokio::process::Command::new(&kubectl);
            command.args(words).args(["-n", &world.namespace, "--kubeconfig"]).arg(&file);
            command
                .env("HOME", world.dir.path())
                .env("KUBERC", "off")
                .stdin(std::process::Stdio::null());
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
            run(command).await
        };
        let patch = |holder: &str| {
            json!({"spec": {"maintenance": {holder: hold("disk swap")}}}).to_string()
        };
        let shown = kubectl(&["get", "hosts", "-o", "name"]).await.with(0).stdout;
        assert_eq!(shown.trim(), "host.inventory.inv-tui.dev/web-1");
        kubectl(&["patch", "host", "web-1", "--type", "merge", "-p", &patch("otto")]).await.with(0);
        kubectl(&["label", "host", "web-1", "x=y"]).await.with(0);
        kubectl(&["annotate", "host", "web-1", "x=y"]).await.with(0);
        assert_eq!(world.json("web-1").await["spec"]["maintenance"]["otto"]["reason"], "disk swap");
        kubectl(&["patch", "host", "web-1", "--type", "merge", "-p", &patch("anna")])
            .await
            .with(1)
            .says(&["Forbidden", "a new or changed hold must be your own"]);
        let phase = json!({"status": {"phase": "Gone"}}).to_string();
        kubectl(&[
            "patch",
            "host",
            "web-1",
            "--subresource",
            "status",
            "--type",
            "merge",
            "-p",
            &phase,
        ])
        .await
        .with(1)
        .says(&["Forbidden", "resource \"hosts/status\""]);
        kubectl(&["get", "secrets"]).await.with(1).says(&["cannot list resource \"secrets\""]);
        kubectl(&["delete", "host", "web-1"]).await.with(1).says(&["cannot delete resource"]);
        world.end().await;
    }
}
