//! Acting on hosts in the explorer: the real program in a real terminal, on a real API server.

use inv_tui::model::cluster::Cluster;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use crate::pty::Pty;
use crate::support::{BINARY, World, wait_for};

fn explorer(world: &World) -> Pty {
    let args =
        ["--kubeconfig", world.kubeconfig(), "-n", &world.namespace, "--config", "/dev/null"];
    let journal = world.dir.path().join("journal.jsonl");
    Pty::start(BINARY, &args, &[("INV_TUI_JOURNAL", journal.to_str().unwrap())], (120, 35))
}

async fn make_hosts(world: &World, count: usize) {
    for n in 1..=count {
        world.make_host(&format!("aws-i-{n}"), &format!("web-{n}"), "eu-west-1", "shop").await;
    }
}

async fn make_cluster(world: &World, spec: Value) {
    let api: Api<Cluster> = Api::namespaced(world.client.clone(), &world.namespace);
    let object = json!({
        "apiVersion": "inventory.inv-tui.dev/v1alpha1",
        "kind": "Cluster",
        "metadata": {"name": "shop"},
        "spec": spec,
    });
    api.patch("shop", &PatchParams::apply("test").force(), &Patch::Apply(object)).await.unwrap();
}

/// Names of the hosts that somebody holds.
async fn held(world: &World) -> Vec<String> {
    let held = world.all_hosts().await.into_iter().filter(|host| !host.spec.maintenance.is_empty());
    held.filter_map(|host| host.metadata.name).collect()
}

async fn until_held(world: &World, count: usize) {
    wait_for(&format!("{count} holds"), async || (held(world).await.len() == count).then_some(()))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_marked_hosts_go_into_maintenance_and_come_back_as_one() {
    let Some(world) = World::begin("marks").await else { return };
    make_hosts(&world, 5).await;
    let mut pty = explorer(&world);
    pty.shows("5 hosts · live");
    pty.send("zRgg2j   ");
    pty.shows("3 marked");
    // What the filter hides is left out, and said so.
    pty.send("/web-1\r");
    pty.shows("3 marked (2 hidden)");
    pty.send("m");
    pty.shows("2 marked are hidden by the filter and left out");
    pty.send("\x1b");
    pty.shows("cancelled, nothing was changed");
    pty.send("0m");
    pty.shows("several hosts: type a reason");
    // Neither Enter nor pasted text confirms.
    pty.send("\r\r\x1b[200~y\ny\n\x1b[201~");
    pty.shows("put into maintenance");
    pty.send("\t\x15new kernel\r");
    pty.shows("confirm");
    assert!(held(&world).await.is_empty());
    pty.send("y");
    let screen = pty.shows("● 3 done");
    assert!(screen.contains("maintenance-on") && screen.contains("web-2"), "{screen}");
    let mut names = held(&world).await;
    names.sort();
    assert_eq!(names, ["aws-i-1", "aws-i-2", "aws-i-3"]);
    for name in names {
        let hold = world.host(&name).await.spec.maintenance.remove("admin").unwrap();
        assert_eq!(hold.reason, "new kernel");
    }
    // A colleague ends one of them and begins another under the same name: that one is no longer
    // ours to take back.
    let hold = json!({"spec": {"maintenance": {"admin": {"reason": "another matter"}}}});
    world.edit("aws-i-2", "colleague", hold).await;
    pty.send("u");
    pty.shows("take back the last change of 3 hosts");
    pty.send("y");
    let screen = pty.shows("● 2 done");
    assert!(screen.contains("1 conflict"), "{screen}");
    assert_eq!(held(&world).await, ["aws-i-2"]);
    pty.send("\x1b");
    pty.until("the table is closed", |screen| !screen.contains("1 conflict"));
    // U: again exactly those two.
    pty.send("U");
    pty.shows("make the undone change again on 2 hosts");
    pty.send("y");
    pty.shows("● 2 done");
    until_held(&world, 3).await;
    let journal = std::fs::read_to_string(world.dir.path().join("journal.jsonl")).unwrap();
    for word in ["maintenance-on", "undo", "redo", "new kernel", "aws-i-3"] {
        assert!(journal.contains(word), "{word}: {journal}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_stops_at_the_budget_and_says_which_were_denied() {
    let Some(world) = World::begin("bulk").await else { return };
    make_hosts(&world, 30).await;
    make_cluster(&world, json!({"disruption": {"maxUnavailable": "20%"}})).await;
    let mut pty = explorer(&world);
    pty.shows("30 hosts · live");
    pty.send("ggj");
    pty.shows("30 hosts");
    pty.send("m");
    pty.shows("all of shop that match");
    // The Clusters come by a watch of their own, and the open strip with them.
    pty.shows("budget of shop: 0 of 6 away, 6 left");
    pty.shows("24 of these would be refused");
    pty.send("racks\r30");
    pty.shows("typed");
    assert!(held(&world).await.is_empty());
    pty.send("y");
    let screen = pty.shows("● 6 done");
    assert!(screen.contains("denied") && screen.contains("budget of cluster shop"), "{screen}");
    assert_eq!(held(&world).await.len(), 6);
    // The rest again: there is no room, and it says so before anything is sent.
    pty.send("r");
    pty.shows("budget of shop: 6 of 6 away, 0 left");
    pty.send("\x1b");
    pty.shows("esc cancel");
    pty.send("\x1b");
    pty.shows("cancelled, nothing was changed");
    pty.send("u");
    pty.shows("take back the last change of 6 hosts");
    pty.send("y");
    pty.shows("● 6 done");
    assert!(held(&world).await.is_empty());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_asked_for_and_canceled_while_it_waits() {
    let Some(world) = World::begin("run").await else { return };
    make_hosts(&world, 1).await;
    let playbooks = json!([{"path": "site.yml", "tags": ["web", "dns"]}, {"path": "audit.yml", "checkOnly": true}]);
    make_cluster(&world, json!({"ansible": {"playbooks": playbooks, "revision": "v7"}})).await;
    let mut pty = explorer(&world);
    pty.shows("1 host · live");
    pty.send("zRG");
    pty.shows("aws-i-1");
    wait_for("the playbooks", async || {
        pty.send("r");
        let screen =
            pty.until("an answer", |s| s.contains("audit.yml") || s.contains("no playbook"));
        if screen.contains("audit.yml") {
            return Some(());
        }
        pty.send("\x1b");
        None
    })
    .await;
    pty.until("the hosts are read", |screen| !screen.contains("reading what"));
    pty.send("\tj \r");
    pty.shows("cannot be undone: run site.yml (tags web) on web-1");
    pty.send("\t\x15drift\r");
    pty.shows("confirm");
    pty.send("y");
    pty.shows("a run of site.yml is asked for");
    let request = world.host("aws-i-1").await.spec.ansible.unwrap();
    assert_eq!(
        (request.playbook.as_str(), request.tags.as_slice()),
        ("site.yml", &["web".to_owned()][..])
    );
    assert_eq!(request.requested_by.as_deref(), Some("admin"));
    assert_eq!(
        (request.reason.as_deref(), request.revision.as_deref()),
        (Some("drift"), Some("v7"))
    );
    pty.send("r");
    pty.shows("cancel the waiting run of web-1");
    pty.send("y");
    pty.shows("is not wanted any more");
    let canceled = world.host("aws-i-1").await.spec.ansible.unwrap();
    assert!(canceled.cancel && canceled.request_id == request.request_id);
    world.end().await;
}
