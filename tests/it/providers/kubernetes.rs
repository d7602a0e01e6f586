//! Machines and Nodes of another cluster.

use std::sync::{Arc, Mutex};

use inv_tui::model::labels;
use serde_json::{Value, json};

use super::replay::{Asked, Replay, Reply};
use super::{is_not_believed, pass};
use crate::support::World;

pub(super) struct Stock {
    pub(super) nodes: Vec<Value>,
    pub(super) machines: Vec<Value>,
    /// The token of a later page has expired.
    expired: bool,
}

pub(super) fn node(n: usize) -> Value {
    json!({
        "metadata": {"name": format!("worker-{n}"), "uid": format!("uid-{n:04}"),
            "resourceVersion": "1", "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"topology.kubernetes.io/region": "eu", "team": "shop"}},
        "spec": {"providerID": format!("kind://docker/kind/worker-{n}")},
        "status": {"addresses": [{"type": "InternalIP", "address": format!("10.4.0.{}", n % 250)}],
            "capacity": {"cpu": "4", "memory": "8388608Ki"},
            "nodeInfo": {"architecture": "amd64", "operatingSystem": "linux"},
            "conditions": [{"type": "Ready", "status": "True"}]},
    })
}

pub(super) fn machine(n: usize) -> Value {
    json!({
        "metadata": {"name": format!("shop-md-{n}"), "namespace": "fleet", "uid": format!("muid{n:05}-x")},
        "spec": {"clusterName": "shop"},
        "status": {"phase": if n == 0 { "Provisioning" } else { "Running" }},
    })
}

impl Stock {
    fn answer(&self, asked: &Asked) -> Reply {
        let (kind, version, all) = match asked.path.as_str() {
            "/apis" => {
                let old = json!({"groupVersion": "cluster.x-k8s.io/v1beta1", "version": "v1beta1"});
                return Reply::json(
                    &json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": [
                    {"name": "cluster.x-k8s.io", "versions": [old], "preferredVersion": old}]}),
                );
            }
            "/api/v1/nodes" => ("NodeList", "v1", &self.nodes),
            "/apis/cluster.x-k8s.io/v1beta1/namespaces/fleet/machines" => {
                ("MachineList", "cluster.x-k8s.io/v1beta1", &self.machines)
            }
            _ => {
                return Reply::error(
                    404,
                    &json!({"kind": "Status", "code": 404, "reason": "NotFound"}),
                );
            }
        };
        let limit = usize::try_from(asked.number("limit").unwrap_or(500)).unwrap().min(4);
        let start: usize = asked.get("continue").parse().unwrap_or(0);
        if start > 0 && self.expired {
            return Reply::error(
                410,
                &json!({"kind": "Status", "apiVersion": "v1", "metadata": {},
                "status": "Failure", "code": 410, "reason": "Expired", "message": "the token is too old"}),
            );
        }
        let next =
            if start + limit < all.len() { (start + limit).to_string() } else { String::new() };
        let page: Vec<&Value> = all.iter().skip(start).take(limit).collect();
        Reply::json(&json!({"kind": kind, "apiVersion": version,
            "metadata": {"resourceVersion": "7", "continue": next}, "items": page}))
    }
}

pub(super) async fn begin(world: &World) -> (Arc<Mutex<Stock>>, String) {
    let stock = Arc::new(Mutex::new(Stock {
        nodes: (0..10).map(node).collect(),
        machines: (0..3).map(machine).collect(),
        expired: false,
    }));
    let shared = Arc::clone(&stock);
    let replay = Replay::begin(move |asked| shared.lock().unwrap().answer(asked)).await;
    (stock, kubeconfig(world, &replay.url))
}

/// A kubeconfig for the server at this address.
fn kubeconfig(world: &World, url: &str) -> String {
    let kubeconfig = world.dir.path().join("other.kubeconfig");
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "other",
        "clusters": [{"name": "other", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {"token": "kube-token-secret"}}],
        "contexts": [{"name": "other", "context": {"cluster": "other", "user": "u"}}],
    });
    std::fs::write(&kubeconfig, config.to_string()).unwrap();
    kubeconfig.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn nodes_of_another_cluster() {
    let Some(world) = World::begin("nodes").await else { return };
    let (stock, kubeconfig) = begin(&world).await;
    let sources = format!(
        "[[source]]\nname = \"prod\"\ntype = \"kubernetes-nodes\"\nkubeconfig = \"{kubeconfig}\"\n\
         prefix = \"prod\"\nbreaker = {{ percent = 10, min = 1 }}\n"
    );
    let token = "kube-token-secret";
    pass(&world, &sources, token).await.with(0).says(&["created=10", "pages=3"]);
    let host = world.json("prod-worker-3").await;
    assert_eq!(host["spec"]["providerID"], "kind://docker/kind/worker-3");
    assert_eq!(host["metadata"]["labels"][labels::REGION], "eu");
    assert_eq!(host["status"]["hardware"]["memoryMiB"], 8192);
    pass(&world, &sources, token).await.with(0).says(&["writes=0"]);
    stock.lock().unwrap().nodes[3]["metadata"]["labels"]["team"] = "infra".into();
    pass(&world, &sources, token).await.with(0).says(&["changed=1", "writes=1"]);

    let before = world.versions().await;
    stock.lock().unwrap().expired = true;
    pass(&world, &sources, token).await.with(1).says(&["too old", "nothing was marked missing"]);
    assert_eq!(world.versions().await, before);
    stock.lock().unwrap().expired = false;
    let whole = stock.lock().unwrap().nodes.clone();
    stock.lock().unwrap().nodes.truncate(5);
    is_not_believed(&world, &sources, token, "prod").await;
    stock.lock().unwrap().nodes.clear();
    is_not_believed(&world, &sources, token, "prod").await;
    // the same name, another machine: another host, and the old one is not taken for it
    stock.lock().unwrap().nodes = whole;
    stock.lock().unwrap().nodes[3]["metadata"]["uid"] = "anew-0001".into();
    stock.lock().unwrap().nodes[3]["spec"]["providerID"] = "kind://docker/kind/anew".into();
    pass(&world, &sources, token).await.with(0).says(&["created=1", "missing=1"]);
    assert_eq!(world.json("prod-worker-3").await["status"]["phase"], "Missing");
    let anew = world.json("prod-worker-3-anew-000").await;
    assert_eq!(anew["spec"]["providerID"], "kind://docker/kind/anew");
    pass(&world, &sources, token).await.with(0).says(&["created=0 changed=0"]);
    world.end().await;
}

#[tokio::test]
async fn a_proxy_before_the_cluster_is_understood_by_its_code() {
    let Some(world) = World::begin("proxy").await else { return };
    let answer = Arc::new(Mutex::new(Reply::html(200)));
    let said = Arc::clone(&answer);
    let replay = Replay::begin(move |_| said.lock().unwrap().clone()).await;
    let kubeconfig = kubeconfig(&world, &replay.url);
    let sources = format!(
        "[[source]]\nname = \"prod\"\ntype = \"kubernetes-nodes\"\nkubeconfig = \"{kubeconfig}\"\n"
    );
    let long = format!("{{\"items\": [\"{}\"]}}", "x".repeat(33 * 1024 * 1024));
    for (next, words) in [
        (Reply::error(403, &json!({"error": "forbidden"})), "the server refused it (403)"),
        (Reply::html(403), "the server refused it (403)"),
        (Reply::error(401, &json!({"error": "who are you"})), "the server does not know you (401)"),
        (Reply::html(502), "the server answered 502"),
        (Reply::text(200, "application/json", long), "the answer is longer than 32 MiB"),
    ] {
        *answer.lock().unwrap() = next;
        let ended = pass(&world, &sources, "kube-token-secret").await;
        assert_ne!(ended.code, 0);
        ended.says(&[words]);
    }
    world.end().await;
}

#[tokio::test]
async fn machines_of_cluster_api_in_an_older_version() {
    let Some(world) = World::begin("machines").await else { return };
    let (stock, kubeconfig) = begin(&world).await;
    let sources = format!(
        "[[source]]\nname = \"mgmt\"\ntype = \"cluster-api\"\nkubeconfig = \"{kubeconfig}\"\nnamespace = \"fleet\"\n"
    );
    pass(&world, &sources, "kube-token-secret").await.with(0).says(&["created=3"]);
    let host = world.json("capi-fleet-shop-md-0").await;
    assert_eq!(
        (&host["spec"]["cluster"], &host["status"]["phase"]),
        (&"shop".into(), &"Pending".into())
    );
    assert!(host["spec"]["providerID"].is_null());
    // it gets its machine: the same host, which knows now which one it is
    stock.lock().unwrap().machines[0]["spec"]["providerID"] = "aws:///eu-west-1a/i-1".into();
    pass(&world, &sources, "kube-token-secret").await.with(0).says(&["changed=1", "writes=1"]);
    let host = world.json("capi-fleet-shop-md-0").await;
    assert_eq!(host["spec"]["providerID"], "aws:///eu-west-1a/i-1");
    world.end().await;
}
