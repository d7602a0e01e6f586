//! The wall around an agent.

use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams};

use super::*;

const NOT_ITS_OWN: &str = "an agent writes only its own Host, the one that its certificate names";

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_does_its_work_on_its_own_host() {
    for world in worlds("access-agent").await {
        world.make_host("web-1", "web-1", "eu", "shop").await;
        let agent = world.client_as(&world.agent("web-1"), &["inv:hosts"]).await;
        let hosts = world.hosts_as(&agent);
        assert_eq!(hosts.list(&ListParams::default()).await.unwrap().items.len(), 1);

        let conditions = ["Drained", "Converged", "OSUpToDate"].map(condition);
        let body = json!({
            "apiVersion": "inventory.inv-tui.dev/v1alpha1", "kind": "Host",
            "status": {
                "ansible": {"requestID": "r-1", "state": "Running", "executor": "agent"},
                "os": {"id": "debian"},
                "conditions": conditions,
            },
        });
        let apply = PatchParams::apply("inv-tui-agent").force();
        let host = hosts.patch_status("web-1", &apply, &Patch::Apply(&body)).await.unwrap();
        let now = host.status.unwrap();
        assert_eq!((now.conditions.len(), now.os.unwrap().id.as_deref()), (3, Some("debian")));
        assert_eq!(world.json("web-1").await["status"]["phase"], "Running", "not its own field");

        let leases: Api<Lease> = Api::namespaced(agent.clone(), &world.namespace);
        leases.create(&PostParams::default(), &lease("web-1")).await.unwrap();
        let renewed = spec(json!({"holderIdentity": world.agent("web-1")}));
        leases.patch("web-1", &merge(), &renewed).await.unwrap();

        let events: Api<Event> = Api::namespaced(agent.clone(), &world.namespace);
        events.create(&PostParams::default(), &event(&world, "web-1", "web-1.1")).await.unwrap();
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_reaches_nothing_else() {
    for world in worlds("access-wall").await {
        for name in ["web-1", "web-2"] {
            world.make_host(name, name, "eu", "shop").await;
        }
        make_cluster(&world, "shop").await;
        let agent = world.client_as(&world.agent("web-1"), &["inv:hosts"]).await;
        let hosts = world.hosts_as(&agent);

        let phase = status(json!({"phase": "Stopped"}));
        let cannot = "cannot patch resource \"hosts/status\"";
        let os = status(json!({"os": {"id": "x"}}));
        world.says(hosts.patch_status("web-2", &merge(), &os).await, NOT_ITS_OWN, cannot);
        let other = World::on(world.kubeconfig.clone(), "access-wall-b").await;
        other.make_host("web-1", "web-1", "eu", "shop").await;
        let elsewhere = other.hosts_as(&agent);
        world.says(elsewhere.patch_status("web-1", &merge(), &os).await, NOT_ITS_OWN, cannot);

        // Of its own Host: not what others say, not what people want.
        let done = hosts.patch_status("web-1", &merge(), &phase).await;
        refused(done, "of the status an agent writes ansible, os and its conditions, not phase");
        let sources = status(json!({"sources": {"aws": {"state": "Gone"}}}));
        refused(hosts.patch_status("web-1", &merge(), &sources).await, "not sources");
        let ready = status(json!({"conditions": [condition("Drained"), condition("Ready")]}));
        refused(
            hosts.patch_status("web-1", &merge(), &ready).await,
            "of the conditions an agent writes Drained, Converged and OSUpToDate",
        );
        let cannot = "cannot patch resource \"hosts\"";
        for fields in [json!({"maintenance": {"x": hold("mine")}}), json!({"role": "db"})] {
            refused(hosts.patch("web-1", &merge(), &spec(fields)).await, cannot);
        }
        refused(hosts.delete("web-1", &DeleteParams::default()).await, "cannot delete resource");
        let clusters: Api<Cluster> = Api::namespaced(agent.clone(), &world.namespace);
        let ready = status(json!({"ready": 1}));
        let done = clusters.patch_status("shop", &merge(), &ready).await;
        refused(done, "cannot patch resource \"clusters/status\"");

        // Secrets, others' heartbeats, others' Events.
        for namespace in [world.namespace.as_str(), "kube-system"] {
            let secrets: Api<Secret> = Api::namespaced(agent.clone(), namespace);
            let cannot = "cannot list resource \"secrets\"";
            refused(secrets.list(&ListParams::default()).await, cannot);
            refused(secrets.get("x").await, "cannot get resource \"secrets\"");
        }
        let leases: Api<Lease> = Api::namespaced(agent.clone(), &world.namespace);
        refused(leases.list(&ListParams::default()).await, "cannot list resource \"leases\"");
        let own = "an agent writes only the Lease of its own Host, which has the Host's name";
        let made = leases.create(&PostParams::default(), &lease("web-2")).await;
        world.says(made, own, "cannot create resource \"leases\"");
        let system: Api<Lease> = Api::namespaced(agent.clone(), "kube-system");
        let made = system.create(&PostParams::default(), &lease("web-1")).await;
        world.says(made, own, "cannot create resource \"leases\"");

        let events: Api<Event> = Api::namespaced(agent.clone(), &world.namespace);
        let own = "an agent writes only Events about its own Host, in its namespace";
        let about = event(&world, "web-2", "web-1.2");
        refused(events.create(&PostParams::default(), &about).await, own);
        let events: Api<Event> = Api::namespaced(agent.clone(), &other.namespace);
        let made = events.create(&PostParams::default(), &event(&other, "web-1", "web-1.3")).await;
        world.says(made, own, "cannot create resource \"events\"");
        let of_another = event(&world, "web-2", "web-2.1");
        let all: Api<Event> = Api::namespaced(world.client.clone(), &world.namespace);
        all.create(&PostParams::default(), &of_another).await.unwrap();
        let events: Api<Event> = Api::namespaced(agent.clone(), &world.namespace);
        let series = Patch::Merge(json!({
            "series": {"count": 2, "lastObservedTime": "2030-01-01T00:00:00.000000Z"},
        }));
        let done = events.patch("web-2.1", &merge(), &series).await;
        world.says(done, own, "cannot patch resource \"events\"");

        let requests: Api<CertificateSigningRequest> = Api::all(agent.clone());
        let approval = status(json!({"conditions": [condition("Approved")]}));
        let done = requests.patch_approval("x", &merge(), &approval).await;
        refused(done, "cannot patch resource \"certificatesigningrequests/approval\"");
        other.end().await;
        world.end().await;
    }
}

/// Two roles on one certificate do not lead around the wall.
#[tokio::test(flavor = "multi_thread")]
async fn the_wall_stands_whatever_else_an_agent_may() {
    for world in worlds("access-both").await {
        if world.is_real() {
            world.make_host("web-1", "web-1", "eu", "shop").await;
            let groups = ["inv:hosts", "inv:operators", "inv:fetchers"];
            let hosts = world.hosts_as(&world.client_as(&world.agent("web-1"), &groups).await);
            let own =
                "an agent writes the status of its own Host and nothing else of the inventory";
            refused(hosts.patch("web-1", &merge(), &spec(json!({"role": "db"}))).await, own);
            refused(hosts.delete("web-1", &DeleteParams::default()).await, own);
        }
        world.end().await;
    }
}

fn event(world: &World, host: &str, name: &str) -> Event {
    serde_json::from_value(json!({
        "metadata": {"name": name},
        "regarding": {
            "apiVersion": "inventory.inv-tui.dev/v1alpha1", "kind": "Host", "name": host,
            "namespace": world.namespace,
        },
        "type": "Normal", "reason": "Test", "action": "Test", "note": "x",
        "eventTime": "2030-01-01T00:00:00.000000Z",
        "reportingController": "inv-tui-agent", "reportingInstance": "web-1",
    }))
    .unwrap()
}
