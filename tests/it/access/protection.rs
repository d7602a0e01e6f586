//! What nobody does by mistake: a protected host is not deleted, a finalizer is not taken off.

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, ListParams};

use super::*;

fn protect(value: Value) -> Patch<Value> {
    let mut patch = json!({"metadata": {"annotations": {}}});
    patch["metadata"]["annotations"]["inventory.inv-tui.dev/protect"] = value;
    Patch::Merge(patch)
}

const FIRST: &str =
    "this host is protected: remove the annotation inventory.inv-tui.dev/protect first";

#[tokio::test(flavor = "multi_thread")]
async fn a_protected_host_is_deleted_by_nobody() {
    for world in worlds("access-protect").await {
        world.make_host("web-1", "web-1", "eu", "shop").await;
        let hosts = world.hosts();
        hosts.patch("web-1", &merge(), &protect(json!("payments"))).await.unwrap();
        let deleted = format!("{FIRST}, then delete it");
        refused(hosts.delete("web-1", &DeleteParams::default()).await, &deleted);
        let all = ListParams::default();
        let swept = hosts.delete_collection(&DeleteParams::default(), &all).await;
        refused(swept.map(|_| ()), &deleted);

        let moved = format!("{FIRST}, then change its cluster or environment or retire it");
        for fields in [
            json!({"cluster": "other"}),
            json!({"environment": "test"}),
            json!({"serviceState": "Retired"}),
        ] {
            refused(hosts.patch("web-1", &merge(), &spec(fields)).await, &moved);
        }
        // Both in one write is no way around it.
        let both = Patch::Merge(json!({
            "metadata": {"annotations": {"inventory.inv-tui.dev/protect": null}},
            "spec": {"cluster": "other"},
        }));
        refused(hosts.patch("web-1", &merge(), &both).await, &moved);
        hosts.patch("web-1", &merge(), &spec(json!({"role": "db"}))).await.unwrap();
        hosts.patch("web-1", &merge(), &protect(Value::Null)).await.unwrap();
        hosts.patch("web-1", &merge(), &spec(json!({"cluster": "other"}))).await.unwrap();
        hosts.delete("web-1", &DeleteParams::default()).await.unwrap();
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_waits_for_its_protected_host() {
    for world in worlds("access-namespace").await {
        for name in ["web-1", "web-2"] {
            world.make_host(name, name, "eu", "shop").await;
        }
        world.hosts().patch("web-1", &merge(), &protect(json!("payments"))).await.unwrap();
        let namespaces: Api<Namespace> = Api::all(world.client.clone());
        namespaces.delete(&world.namespace, &DeleteParams::background()).await.unwrap();
        // A real one stops at the first object that is refused, ours takes what it may.
        if world.is_real() {
            wait_for("the namespace to say why it waits", async || {
                let namespace =
                    serde_json::to_value(namespaces.get(&world.namespace).await.unwrap());
                namespace.unwrap()["status"]["conditions"].to_string().contains(FIRST).then_some(())
            })
            .await;
        } else {
            wait_for("the other host to go", async || {
                world.hosts().get_opt("web-2").await.unwrap().is_none().then_some(())
            })
            .await;
        }
        world.host("web-1").await;
        world.hosts().patch("web-1", &merge(), &protect(Value::Null)).await.unwrap();
        // By itself the controller comes back after up to a minute, after a change in 5 s.
        let poke = Patch::Merge(json!({"metadata": {"labels": {"again": "now"}}}));
        match namespaces.patch(&world.namespace, &merge(), &poke).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => {} // it has gone by itself
            poked => drop(poked.unwrap()),
        }
        wait_for("the namespace to go", async || {
            namespaces.get_opt(&world.namespace).await.unwrap().is_none().then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_decommission_finalizer_is_not_anybodys_to_remove() {
    for world in worlds("access-finalizer").await {
        world.make_host("web-1", "web-1", "eu", "shop").await;
        let finalizers = |list: Value| Patch::Merge(json!({"metadata": {"finalizers": list}}));
        let mine = json!(["inventory.inv-tui.dev/decommission", "example.com/mine"]);
        world.hosts().patch("web-1", &merge(), &finalizers(mine)).await.unwrap();
        let otto = world.hosts_as(&world.client_as("otto", &["inv:operators"]).await);
        let fetcher = world.hosts_as(&world.client_as("inv:svc:fetch", &["inv:fetchers"]).await);
        for hosts in [&otto, &fetcher] {
            let done = hosts.patch("web-1", &merge(), &finalizers(json!([]))).await;
            refused(done, "the finalizer inventory.inv-tui.dev/decommission is removed by inv-tui");
        }
        let rest = json!(["inventory.inv-tui.dev/decommission"]);
        otto.patch("web-1", &merge(), &finalizers(rest)).await.unwrap();
        fetcher.delete("web-1", &DeleteParams::default()).await.unwrap();
        assert!(world.host("web-1").await.metadata.deletion_timestamp.is_some());
        let admin = world.hosts_as(&world.client_as("ada", &["inv:admins"]).await);
        admin.patch("web-1", &merge(), &finalizers(json!([]))).await.unwrap();
        assert!(world.hosts().get_opt("web-1").await.unwrap().is_none());
        world.end().await;
    }
}
