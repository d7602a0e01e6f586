//! A single pass: what it needs, and what it says when it lacks that.

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use serde_json::{Value, json};

use super::word;
use crate::support::{World, run, wait_for};

/// The same namespace as a user sees it who may list, but not watch, and does not get at all what the
/// role leaves out.
async fn with_rules(world: &World, user: &str, lists: &[(&str, &str)]) -> World {
    let name = format!("{}-{user}", world.namespace);
    let ours = "inventory.inv-tui.dev";
    let mut rules: Vec<Value> = lists
        .iter()
        .map(|(group, resource)| {
            json!({"apiGroups": [group], "resources": [resource], "verbs": ["get", "list"]})
        })
        .collect();
    let status = ["hosts", "hosts/status", "clusters/status", "regions/status"];
    rules.push(json!({"apiGroups": [ours], "resources": status, "verbs": ["patch"]}));
    let leases = json!({"apiGroups": ["coordination.k8s.io"], "resources": ["leases"],
        "verbs": ["get", "create", "patch", "update"]});
    rules.push(leases);
    let events = json!({"apiGroups": ["events.k8s.io"], "resources": ["events"],
        "verbs": ["create", "patch"]});
    rules.push(events);
    let role = json!({"metadata": {"name": name}, "rules": rules});
    let binding = json!({
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}],
    });
    let params = PostParams::default();
    let made: Api<ClusterRole> = Api::all(world.client.clone());
    let bindings: Api<ClusterRoleBinding> = Api::all(world.client.clone());
    made.create(&params, &serde_json::from_value(role).unwrap()).await.unwrap();
    bindings.create(&params, &serde_json::from_value(binding).unwrap()).await.unwrap();
    let seen = world.seen_by(&name, &[]).await;
    wait_for("the role", async || seen.hosts().list(&ListParams::default()).await.ok()).await;
    seen
}

async fn without_rules(world: &World, user: &str) {
    let name = format!("{}-{user}", world.namespace);
    let made: Api<ClusterRole> = Api::all(world.client.clone());
    let bindings: Api<ClusterRoleBinding> = Api::all(world.client.clone());
    let params = DeleteParams::default();
    bindings.delete(&name, &params).await.unwrap();
    made.delete(&name, &params).await.unwrap();
}

const ALL: [(&str, &str); 5] = [
    ("inventory.inv-tui.dev", "hosts"),
    ("inventory.inv-tui.dev", "clusters"),
    ("inventory.inv-tui.dev", "regions"),
    ("coordination.k8s.io", "leases"),
    ("certificates.k8s.io", "certificatesigningrequests"),
];

#[tokio::test]
async fn it_lists_and_never_watches_and_says_which_permission_is_missing() {
    let Some(world) = World::begin("once").await else { return };
    world.make_member("h1", "shop", "Running").await;
    for (number, (_, resource)) in ALL.iter().enumerate() {
        if *resource == "hosts" {
            continue;
        }
        let user = format!("lacks-{number}");
        let lists: Vec<_> = ALL.into_iter().filter(|(_, one)| one != resource).collect();
        let seen = with_rules(&world, &user, &lists).await;
        let ended = run(seen.program(&["lifecycle", "--once"])).await;
        ended.with(2).says(&[&format!("cannot list {resource}"), "lacks the permission to list"]);
        without_rules(&world, &user).await;
    }
    assert_eq!(word(&world.json("h1").await, "Ready").0, "", "nothing was judged by half");

    let seen = with_rules(&world, "lists", &ALL).await;
    run(seen.program(&["lifecycle", "--once"])).await.with(0);
    assert_eq!(word(&world.json("h1").await, "Ready").0, "True");
    without_rules(&world, "lists").await;
    world.end().await;
}
