//! Acting on hosts in the explorer: the real program in a real terminal, on a real API server.

use std::collections::BTreeSet;
use std::process::Stdio;

use futures::StreamExt;
use inv_tui::model::change::hold;
use inv_tui::model::cluster::Cluster;
use jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::pty::Pty;
use crate::support::{BINARY, World, run, wait_for};

/// Hosts that are made at once.
const AT_ONCE: usize = 20;

fn explorer(world: &World) -> Pty {
    let args =
        ["--kubeconfig", world.kubeconfig(), "-n", &world.namespace, "--config", "/dev/null"];
    let journal = world.dir.path().join("journal.jsonl");
    Pty::start(BINARY, &args, &[("INV_TUI_JOURNAL", journal.to_str().unwrap())], (120, 35))
}

async fn make_hosts(world: &World, count: usize) {
    let make = async |n: usize| {
        world.make_host(&format!("aws-i-{n}"), &format!("web-{n}"), "eu-west-1", "shop").await;
    };
    futures::stream::iter(1..=count).map(make).buffer_unordered(AT_ONCE).collect::<()>().await;
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

/// Names of the hosts that this holder holds.
async fn held_by(world: &World, holder: &str) -> Vec<String> {
    let hosts = world.all_hosts().await.into_iter();
    let held = hosts.filter(|host| host.spec.maintenance.contains_key(holder));
    held.filter_map(|host| host.metadata.name).collect()
}

/// Names of the hosts that have a slot of the budget.
async fn disrupted(world: &World) -> BTreeSet<String> {
    let status = world.clusters().get("shop").await.unwrap().status;
    status.map(|status| status.disrupted.into_keys().collect()).unwrap_or_default()
}

/// Holds a host without asking the budget: with kubectl, or as it does where there is none.
async fn hold_around(world: &World, host: &str, holder: &str) {
    let hold = hold("by hand", Timestamp::now(), 3_600);
    let patch = json!({"spec": {"maintenance": {holder: hold}}});
    match std::env::var("INV_TUI_TEST_KUBECTL").ok().filter(|path| !path.is_empty()) {
        Some(kubectl) => {
            let mut command = Command::new(kubectl);
            command.args(["-n", &world.namespace, "--kubeconfig", world.kubeconfig()]);
            command.args(["patch", "hosts", host, "--type=merge", "-p", &patch.to_string()]);
            command.env("HOME", world.dir.path()).stderr(Stdio::piped()).stdout(Stdio::piped());
            run(command).await.with(0);
        }
        None => drop(world.edit(host, "kubectl-edit", patch).await),
    }
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
async fn a_bulk_and_a_second_operator_never_take_more_than_the_budget() {
    let Some(world) = World::begin("bulk").await else { return };
    make_hosts(&world, 500).await;
    // What the lifecycle controller counts must be there by the word of a source.
    let source = Patch::Merge(json!({"status": {"sources": {"aws": {"state": "Running"}}}}));
    let (api, params) = (world.hosts(), PatchParams::default());
    let names = (1..=500).map(|n| format!("aws-i-{n}"));
    let seen =
        names.map(async |name| drop(api.patch_status(&name, &params, &source).await.unwrap()));
    futures::stream::iter(seen).buffer_unordered(AT_ONCE).collect::<()>().await;
    make_cluster(&world, json!({"disruption": {"maxUnavailable": "10%"}})).await;
    let bob = world.seen_by("bob@example.com", &["inv:operators"]).await;
    let mut pty = explorer(&world);
    pty.shows("500 hosts · live");
    pty.send("ggj");
    pty.send("m");
    pty.shows("all of shop that match");
    // The Clusters come by a watch of their own, and the open strip with them.
    pty.shows("budget of shop: 0 of 50 away, 50 left");
    pty.shows("450 of these would be refused");
    pty.send("racks\r500");
    pty.shows("typed");
    assert!(held(&world).await.is_empty());
    pty.send("y");

    // While that goes on, a second operator wants ten from the other end.
    wait_for("the first hold", async || (!held(&world).await.is_empty()).then_some(())).await;
    let last: Vec<String> = (491..=500).map(|n| format!("aws-i-{n}")).collect();
    let words = ["maintain", "on", "--reason", "disk swap", "-o", "name"];
    let last = last.iter().map(String::as_str);
    let bobs = run(bob.program(&words.into_iter().chain(last).collect::<Vec<_>>())).await;
    let screen = pty.until("the results", |s| s.contains(" done") && s.contains(" denied"));
    let (mine, his) = (held_by(&world, "admin").await, held_by(&world, "bob@example.com").await);
    assert_eq!(mine.len() + his.len(), 50, "{} and {}", mine.len(), his.len());
    let both: BTreeSet<_> = mine.iter().chain(&his).cloned().collect();
    assert_eq!(disrupted(&world).await, both);
    for told in [format!("● {} done", mine.len()), format!("▲ {} denied", 500 - mine.len())] {
        assert!(screen.contains(&told), "no {told:?} in:\n{screen}");
    }
    assert!(screen.contains("the budget of cluster shop is used up"), "{screen}");
    assert_eq!(bobs.stdout.lines().count(), his.len(), "{}", bobs.stdout);
    assert_eq!(bobs.code, i32::from(his.len() < 10), "{}", bobs.stderr);

    // A hold that asks nobody is counted all the same, and flagged.
    hold_around(&world, "aws-i-400", "eve").await;
    run(world.program(&["lifecycle", "--once"])).await.with(0);
    let conditions = world.clusters().get("shop").await.unwrap().status.unwrap().conditions;
    let flag = conditions.iter().find(|c| c.type_ == "BudgetBypassed").unwrap();
    let why = "held without a slot of the budget: aws-i-400";
    assert_eq!((flag.status.as_str(), flag.message.as_str()), ("True", why));
    // The rest again: there is no room, and it says so before anything is sent.
    pty.send("r");
    pty.shows("budget of shop: 51 of 50 away, 0 left");
    pty.send("\x1b");
    pty.shows("esc cancel");
    pty.send("\x1b");
    pty.shows("cancelled, nothing was changed");

    // Undo brings back exactly those that the bulk had taken.
    pty.send("u");
    pty.shows(&format!("take back the last change of {} hosts", mine.len()));
    pty.send(&format!("{}y", mine.len()));
    let all = format!("● {} done", mine.len());
    pty.until("the end of the undo", |s| s.contains("undo") && s.contains(&all));
    assert!(held_by(&world, "admin").await.is_empty());
    assert_eq!(held_by(&world, "bob@example.com").await, his);
    assert_eq!(held_by(&world, "eve").await, ["aws-i-400"]);
    assert_eq!(disrupted(&world).await, BTreeSet::from_iter(his));
    pty.send("\x1b");
    pty.until("the table is closed", |screen| !screen.contains(&all));
    // To do it again asks again, and one slot is now taken by the hold that asked nobody.
    pty.send("U");
    pty.shows(&format!("make the undone change again on {} hosts", mine.len()));
    pty.send(&format!("{}y", mine.len()));
    let screen = pty.shows("▲ 1 denied");
    assert!(screen.contains(&format!("● {} done", mine.len() - 1)), "{screen}");
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
    let answered = |screen: &str| {
        ["audit.yml", "no playbook", "has not told yet"].iter().any(|word| screen.contains(word))
    };
    wait_for("the playbooks", async || {
        pty.send("r");
        // Neither the playbooks nor who we are may have been told yet.
        if pty.until("an answer", answered).contains("audit.yml") {
            return Some(());
        }
        pty.send("\x1b");
        pty.until("the answer is gone", |screen| !answered(screen));
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
