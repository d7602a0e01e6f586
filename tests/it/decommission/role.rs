//! What the service may, and what nobody else may, on both servers.

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::{FINALIZER, HOOK, annotation};
use crate::support::{refused, worlds};

fn condition(type_: &str) -> Value {
    json!({"type": type_, "status": "True", "reason": "Test", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z"})
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_keeps_to_its_own_and_others_keep_off_it() {
    for world in worlds("decom-role").await {
        world.make_host("web-1", "web-1", "eu", "shop").await;
        world.edit("web-1", "backup", annotation(&format!("{HOOK}backup"), json!("x"))).await;
        let merge = PatchParams::default();
        let ours = world.seen_by("inv:svc:decommission", &["inv:decommissioners"]).await;
        let hosts = ours.hosts();
        let finalizers = |list: Value| Patch::Merge(json!({"metadata": {"finalizers": list}}));
        let with = finalizers(json!([FINALIZER]));
        hosts.patch("web-1", &merge, &with).await.unwrap();
        let only = "of a host the decommission service changes its own finalizer and nothing else";
        for patch in [
            json!({"spec": {"role": "db"}}),
            json!({"spec": {"maintenance": {"x": null}, "paused": true}}),
            json!({"metadata": {"labels": {"a": "b"}}}),
            annotation(&format!("{HOOK}backup"), Value::Null),
            json!({"metadata": {"finalizers": [FINALIZER, "example.com/x"]}}),
        ] {
            refused(hosts.patch("web-1", &merge, &Patch::Merge(&patch)).await, only);
        }
        world
            .edit("web-1", "t", json!({"metadata": {"finalizers": [FINALIZER, "example.com/x"]}}))
            .await;
        refused(hosts.patch("web-1", &merge, &finalizers(json!([]))).await, only);
        hosts.patch("web-1", &merge, &finalizers(json!(["example.com/x"]))).await.unwrap();
        refused(hosts.delete("web-1", &DeleteParams::default()).await, "cannot delete resource");

        let record = json!({"startedAt": "2026-01-01T00:00:00Z", "steps": []});
        let status = |fields: Value| Patch::Merge(json!({ "status": fields }));
        let own = status(json!({"decommission": record, "conditions": [condition("Deleting")]}));
        hosts.patch_status("web-1", &merge, &own).await.unwrap();
        let done = hosts.patch_status("web-1", &merge, &status(json!({"phase": "Gone"}))).await;
        refused(
            done,
            "of the status the decommission service writes decommission and its condition, not phase",
        );
        let two = status(json!({"conditions": [condition("Deleting"), condition("Ready")]}));
        let done = hosts.patch_status("web-1", &merge, &two).await;
        refused(
            done,
            "of the conditions the decommission service writes Deleting; the others belong",
        );

        let gone = status(json!({"decommission": null}));
        for group in ["inv:fetchers", "inv:lifecycle"] {
            let other = world.seen_by("inv:svc:other", &[group]).await;
            let done = other.hosts().patch_status("web-1", &merge, &gone).await;
            refused(done, "status.decommission is the record of inv-tui --headless decommission");
            other
                .hosts()
                .patch_status("web-1", &merge, &status(json!({"phase": "Gone"})))
                .await
                .unwrap();
        }
        let runner = world.seen_by("inv:svc:runner", &["inv:runners"]).await;
        refused(runner.hosts().patch_status("web-1", &merge, &gone).await, "decommission");

        let leases: Api<Lease> = Api::namespaced(ours.client.clone(), &world.namespace);
        let make = |name: &str, holder: &str| {
            let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": {"name": name}, "spec": {"holderIdentity": holder}});
            let api: Api<Lease> = Api::namespaced(world.client.clone(), &world.namespace);
            let name = name.to_owned();
            async move {
                api.patch(&name, &PatchParams::apply("t").force(), &Patch::Apply(lease))
                    .await
                    .unwrap()
            }
        };
        make("web-1", &world.agent("web-1")).await;
        make("web-2", "somebody").await;
        let params = DeleteParams::default();
        refused(
            leases.delete("web-2", &params).await,
            "a service writes only Leases whose name begins",
        );
        let beat = Patch::Merge(json!({"spec": {"holderIdentity": "x"}}));
        world_says(&world, leases.patch("web-1", &merge, &beat).await);
        leases.delete("web-1", &params).await.unwrap();
        let secrets: Api<Secret> = Api::all(ours.client.clone());
        refused(secrets.list(&ListParams::default()).await, "cannot list resource \"secrets\"");
        world.edit("web-1", "t", json!({"metadata": {"finalizers": null}})).await;
        world.end().await;
    }
}

/// The roles of the embedded server know names, where RBAC needs a policy.
#[track_caller]
fn world_says<T: std::fmt::Debug>(world: &crate::support::World, done: kube::Result<T>) {
    let real = "a service writes only Leases whose name begins with inv-tui-";
    refused(done, if world.is_real() { real } else { "cannot patch resource \"leases\"" });
}
