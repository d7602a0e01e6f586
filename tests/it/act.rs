//! Acting on the fleet: orders in waves, budgets, undo, the journal; and the same from a shell.

mod shell;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use futures::StreamExt;
use inv_tui::act::{Actor, Applied, Order, Outcome, Step, Verb, carry_out, order_id};
use inv_tui::journal::{Journal, Record};
use inv_tui::model::change::{Change, HoldChange, Target, hold};
use inv_tui::model::host::Host;
use inv_tui::model::key::Uid;
use inv_tui::store::budget;
use jiff::Timestamp;
use k8s_openapi::api::events::v1::Event;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use crate::support::{World, connection, needed, wait_for};

/// Requests of a set-up that are under way at once.
const AT_ONCE: usize = 20;

impl World {
    async fn make_limited_cluster(&self, name: &str, max_unavailable: Value) {
        let object = json!({
            "apiVersion": "inventory.inv-tui.dev/v1alpha1", "kind": "Cluster",
            "metadata": {"name": name},
            "spec": {"disruption": {"maxUnavailable": max_unavailable}},
        });
        let params = PatchParams::apply("test").force();
        self.clusters().patch(name, &params, &Patch::Apply(object)).await.unwrap();
    }

    /// Makes the hosts `h000` and so on.
    async fn make_hosts(&self, count: usize, cluster: &str) {
        let make = |n: usize| async move {
            let name = format!("h{n:03}");
            self.make_host(&name, &format!("web-{n}"), "eu-west-1", cluster).await;
        };
        futures::stream::iter(0..count)
            .map(make)
            .buffer_unordered(AT_ONCE)
            .collect::<Vec<()>>()
            .await;
    }

    /// Somebody who acts, with a journal in this world's folder.
    async fn actor(&self, user: &str) -> Actor {
        let connection = connection(&self.kubeconfig).await;
        Actor::new(connection, user.to_owned(), Some(Arc::new(self.journal())))
    }

    fn journal(&self) -> Journal {
        Journal::at(self.dir.path().join("journal.jsonl"))
    }

    async fn order(&self, verb: Verb, holder: &str, names: &[String]) -> Order {
        let hosts = self.all_hosts().await;
        let changes = names.iter().map(|name| {
            let host = hosts.iter().find(|host| host.name_any() == *name).unwrap();
            let new =
                (verb == Verb::MaintenanceOn).then(|| hold("disk swap", Timestamp::now(), 3_600));
            let old = host.spec.maintenance.get(holder).cloned();
            Change::Hold(HoldChange { target: target(host), holder: holder.to_owned(), old, new })
        });
        Order {
            id: order_id(),
            verb,
            changes: changes.collect(),
            reason: "disk swap".to_owned(),
            ticket: None,
            overrides: false,
        }
    }

    /// Names of the hosts that `holder` holds.
    async fn held_by(&self, holder: &str) -> Vec<String> {
        let hosts = self.all_hosts().await;
        let held = hosts.iter().filter(|host| host.spec.maintenance.contains_key(holder));
        held.map(ResourceExt::name_any).collect()
    }

    async fn disrupted(&self, cluster: &str) -> Vec<String> {
        let cluster = self.clusters().get(cluster).await.unwrap();
        cluster.status.map(|s| s.disrupted.into_keys().collect()).unwrap_or_default()
    }

    async fn slots_left(&self, actor: &Actor, cluster: &str) -> usize {
        let cluster = self.clusters().get(cluster).await.unwrap();
        budget::standing(&actor.connection, &cluster, Timestamp::now()).await.unwrap().left()
    }

    async fn events_because(&self, reason: &str) -> Vec<Event> {
        let api: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        let all = api.list(&ListParams::default()).await.unwrap().items;
        all.into_iter().filter(|event| event.reason.as_deref() == Some(reason)).collect()
    }

    /// Ends every hold and forgets every grant.
    async fn put_all_back(&self, cluster: &str) {
        for host in self.all_hosts().await {
            if !host.spec.maintenance.is_empty() {
                self.edit(&host.name_any(), "test", json!({"spec": {"maintenance": null}})).await;
            }
        }
        let patch = Patch::Merge(json!({"status": {"disrupted": null}}));
        self.clusters().patch_status(cluster, &PatchParams::default(), &patch).await.unwrap();
    }
}

fn names(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|n| format!("h{n:03}")).collect()
}

fn target(host: &Host) -> Target {
    Target {
        uid: Uid::new(host.uid().unwrap()),
        namespace: host.namespace().unwrap(),
        name: host.name_any(),
        resource_version: host.resource_version().unwrap(),
    }
}

/// What came of an order.
struct Told {
    outcomes: Vec<(usize, Outcome)>,
    waves: Vec<usize>,
    ended: Option<String>,
}

impl Told {
    fn count(&self, what: &str) -> usize {
        self.outcomes.iter().filter(|(_, outcome)| outcome.as_str() == what).count()
    }

    fn done(&self, order: &Order) -> Applied {
        let version = |host: &Host| host.resource_version().unwrap();
        let done = self.outcomes.iter().filter_map(|(number, outcome)| match outcome {
            Outcome::Done(host) => Some((*number, version(host))),
            _ => None,
        });
        Applied { order: order.clone(), done: done.collect() }
    }

    fn whys(&self) -> Vec<&str> {
        self.outcomes
            .iter()
            .filter_map(|(_, outcome)| match outcome {
                Outcome::Denied(why) | Outcome::Failed(why) | Outcome::NotTried(why) => {
                    Some(why.as_str())
                }
                _ => None,
            })
            .collect()
    }
}

async fn act(actor: &Actor, order: &Order) -> Told {
    let (_keep, stop) = watch::channel(false);
    act_until(actor, order, stop).await
}

async fn act_until(actor: &Actor, order: &Order, stop: watch::Receiver<bool>) -> Told {
    let (steps, mut told) = mpsc::channel(16);
    let (actor, order) = (actor.clone(), order.clone());
    let total = order.changes.len();
    let work = tokio::spawn(async move { carry_out(&actor, &order, &steps, stop).await });
    let mut all = Told { outcomes: Vec::new(), waves: Vec::new(), ended: None };
    let mut ends = 0;
    while let Some(step) = told.recv().await {
        assert_eq!(ends, 0, "the end is the last step");
        match step {
            Step::Wave(size) => all.waves.push(size),
            Step::Host(number, outcome) => all.outcomes.push((number, outcome)),
            Step::Ended(why) => {
                all.ended = why;
                ends += 1;
            }
        }
    }
    work.await.unwrap();
    assert_eq!(ends, 1);
    let mut numbers: Vec<usize> = all.outcomes.iter().map(|(number, _)| *number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..total).collect::<Vec<_>>(), "each change is told once");
    all
}

fn newest_order(journal: &Journal) -> Record {
    journal.newest(10_000).unwrap().orders().into_iter().next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_stops_at_the_budget_and_undo_brings_back_exactly_those() {
    let Some(world) = World::begin("act-bulk").await else { return };
    world.make_limited_cluster("shop", json!("10%")).await;
    world.make_hosts(500, "shop").await;
    let ann = world.actor("ann").await;
    let order = world.order(Verb::MaintenanceOn, "ann", &names(0..500)).await;
    let told = act(&ann, &order).await;
    assert_eq!((told.count("done"), told.count("denied")), (50, 450), "{:?}", told.whys());
    assert_eq!(told.waves, [1, 10, 10, 10, 10, 9]);
    assert_eq!(told.ended, None);
    let why = "the budget of cluster shop is used up: 50 of 50 away";
    assert!(told.whys().iter().all(|said| *said == why), "{:?}", told.whys());
    assert_eq!(world.held_by("ann").await, names(0..50));
    assert_eq!(world.disrupted("shop").await, names(0..50));

    // Everybody can see who did what: on the objects and on this disk.
    let events = world.events_because("MaintenanceStarted").await;
    assert_eq!(events.len(), 50);
    let note = events[0].note.clone().unwrap();
    assert!(note.contains("by ann") && note.contains(&order.id), "{note}");
    let record = newest_order(&world.journal());
    assert_eq!((record.entry.verb.as_str(), record.entry.user.as_str()), ("maintenance-on", "ann"));
    assert_eq!(record.targets.len(), 500);
    let done = record.targets.iter().filter(|t| t.result.as_deref() == Some("done")).count();
    assert!(done == 50 && record.ended_at.is_some());

    // Somebody makes one of the holds his own business, somebody else holds another host.
    let until = json!({"spec": {"maintenance": {"ann": {"reason": "longer than thought"}}}});
    world.edit("h007", "kubectl", until).await;
    let other = serde_json::to_value(hold("other work", Timestamp::now(), 600)).unwrap();
    world.edit("h100", "kubectl", json!({"spec": {"maintenance": {"bob": other}}})).await;
    let back = told.done(&order).inverse(Verb::Undo, order_id()).unwrap();
    assert_eq!(back.changes.len(), 50);
    let undone = act(&ann, &back).await;
    assert_eq!((undone.count("done"), undone.count("conflict")), (49, 1), "{:?}", undone.whys());
    assert_eq!(world.held_by("ann").await, ["h007"]);
    assert_eq!(world.held_by("bob").await, ["h100"]);
    assert_eq!(world.disrupted("shop").await, ["h007"], "slots are given back at once");
    assert_eq!(world.slots_left(&ann, "shop").await, 48, "h007 and h100 are away");
    assert_eq!(world.events_because("MaintenanceEnded").await.len(), 49);

    // To make it again asks the budget again.
    let again = undone.done(&back).inverse(Verb::Redo, order_id()).unwrap();
    let redone = act(&ann, &again).await;
    assert_eq!((redone.count("done"), redone.count("denied")), (48, 1), "{:?}", redone.whys());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_at_the_same_time_never_take_more_than_there_is() {
    let Some(world) = World::begin("act-race").await else { return };
    world.make_limited_cluster("shop", json!(5)).await;
    world.make_hosts(20, "shop").await;
    let (ann, bob) = (world.actor("ann").await, world.actor("bob").await);
    for round in 0..5 {
        let left = world.order(Verb::MaintenanceOn, "ann", &names(0..10)).await;
        let right = world.order(Verb::MaintenanceOn, "bob", &names(10..20)).await;
        let (one, two) = tokio::join!(act(&ann, &left), act(&bob, &right));
        let held = [world.held_by("ann").await, world.held_by("bob").await].concat();
        assert_eq!(held.len(), 5, "round {round}: {held:?}");
        assert_eq!(one.count("done") + two.count("done"), 5);
        assert_eq!(one.count("denied") + two.count("denied"), 15, "{:?}", one.whys());
        assert_eq!(world.disrupted("shop").await, held);
        world.put_all_back("shop").await;
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_somebody_wrote_around_the_budget_counts() {
    let Some(world) = World::begin("act-around").await else { return };
    world.make_limited_cluster("shop", json!(2)).await;
    world.make_hosts(5, "shop").await;
    let around = serde_json::to_value(hold("by hand", Timestamp::now(), 600)).unwrap();
    world.edit("h000", "kubectl", json!({"spec": {"maintenance": {"eve": around}}})).await;
    let ann = world.actor("ann").await;
    let order = world.order(Verb::MaintenanceOn, "ann", &names(0..4)).await;
    let told = act(&ann, &order).await;
    assert_eq!(world.held_by("ann").await, ["h000", "h001"], "a host that is away needs no slot");
    assert_eq!(told.whys(), ["the budget of cluster shop is used up: 2 of 2 away"; 2]);
    assert_eq!(world.held_by("eve").await, ["h000"]);

    // One's own hold may be changed although the budget is used up.
    let longer = world.order(Verb::MaintenanceOn, "ann", &names(0..2)).await;
    assert_eq!(act(&ann, &longer).await.count("done"), 2);
    // To end one's own hold leaves the other's, and its slot.
    let off = world.order(Verb::MaintenanceOff, "ann", &names(0..2)).await;
    assert_eq!(act(&ann, &off).await.count("done"), 2);
    assert_eq!(world.held_by("eve").await, ["h000"]);
    assert_eq!(world.disrupted("shop").await, ["h000"]);

    // Who typed that it shall be done all the same goes on, and it is told.
    let past =
        Order { overrides: true, ..world.order(Verb::MaintenanceOn, "ann", &names(1..4)).await };
    let told = act(&ann, &past).await;
    assert_eq!(told.count("done"), 3, "{:?}", told.whys());
    let warnings = world.events_because("OverBudget").await;
    let about: Vec<_> =
        warnings.iter().filter_map(|e| e.regarding.as_ref()?.name.clone()).collect();
    assert_eq!(about.len(), 2, "{about:?}");
    assert!(warnings.iter().all(|e| e.type_.as_deref() == Some("Warning")));
    assert!(newest_order(&world.journal()).entry.overrides);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_somebody_else_was_just_granted_is_not_given_back() {
    let Some(world) = World::begin("act-young").await else { return };
    world.make_limited_cluster("shop", json!(1)).await;
    world.make_hosts(2, "shop").await;
    let ann = world.actor("ann").await;
    let on = world.order(Verb::MaintenanceOn, "ann", &names(0..1)).await;
    assert_eq!(act(&ann, &on).await.count("done"), 1);
    // Bob has his slot and is about to write his hold when Ann ends hers.
    let bobs = names(0..1);
    // His clock is ahead, so the grant stays young however long the rest of this takes.
    let ahead = || Timestamp::now() + jiff::SignedDuration::from_mins(10);
    let grant = budget::grant(&ann.connection, &world.namespace, "shop", &bobs, false, ahead);
    assert!(grant.await.unwrap().given.contains_key("h000"));
    let off = world.order(Verb::MaintenanceOff, "ann", &names(0..1)).await;
    assert_eq!(act(&ann, &off).await.count("done"), 1);
    assert_eq!(world.disrupted("shop").await, ["h000"]);
    let next = world.order(Verb::MaintenanceOn, "ann", &names(1..2)).await;
    assert_eq!(act(&ann, &next).await.count("denied"), 1, "the slot is Bob's");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_selects_its_hosts_has_a_budget_too() {
    let Some(world) = World::begin("act-select").await else { return };
    world.make_limited_cluster("shop", json!(4)).await;
    world.make_limited_cluster("west", json!(1)).await;
    let selector = json!({"spec": {"selector": {"matchLabels": {"topology.kubernetes.io/region": "eu-west-1"}}}});
    world.clusters().patch("west", &PatchParams::default(), &Patch::Merge(selector)).await.unwrap();
    world.make_hosts(4, "shop").await;
    let ann = world.actor("ann").await;
    let order = world.order(Verb::MaintenanceOn, "ann", &names(0..4)).await;
    let told = act(&ann, &order).await;
    assert_eq!(told.count("done"), 1);
    assert_eq!(told.whys(), ["the budget of cluster west is used up: 1 of 1 away"; 3]);
    assert_eq!(world.disrupted("shop").await, ["h000"], "slots of the others are given back");
    assert_eq!(world.disrupted("west").await, ["h000"]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_has_counts_and_not_the_picture() {
    let Some(world) = World::begin("act-stale").await else { return };
    world.make_hosts(6, "shop").await;
    let ann = world.actor("ann").await;
    let order = world.order(Verb::MaintenanceOn, "ann", &names(0..6)).await;
    world.edit("h000", "kubectl", json!({"spec": {"paused": true}})).await;
    let protect =
        json!({"metadata": {"annotations": {"inventory.inv-tui.dev/protect": "primary"}}});
    world.edit("h001", "kubectl", protect).await;
    world.hosts().delete("h002", &DeleteParams::default()).await.unwrap();
    wait_for("the host to go", async || {
        world.hosts().get_opt("h002").await.unwrap().is_none().then_some(())
    })
    .await;
    let mine = serde_json::to_value(hold("from elsewhere", Timestamp::now(), 600)).unwrap();
    world.edit("h003", "kubectl", json!({"spec": {"maintenance": {"ann": mine}}})).await;
    world.edit("h004", "kubectl", json!({"spec": {"role": "db"}})).await;
    let told = act(&ann, &order).await;
    let mut outcomes = told.outcomes.clone();
    outcomes.sort_by_key(|(number, _)| *number);
    let results: Vec<&str> = outcomes.iter().map(|(_, outcome)| outcome.as_str()).collect();
    assert_eq!(results, ["denied", "denied", "gone", "conflict", "done", "done"]);
    assert_eq!(told.whys(), ["the host is paused", "protected: primary"]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_window_and_a_paused_cluster_refuse() {
    let Some(world) = World::begin("act-window").await else { return };
    world.make_limited_cluster("shop", json!(2)).await;
    world.make_hosts(1, "shop").await;
    let ann = world.actor("ann").await;
    let order = world.order(Verb::MaintenanceOn, "ann", &names(0..1)).await;
    // The 30th of February never comes.
    let spec =
        json!({"spec": {"paused": true, "windows": [{"cron": "0 0 30 2 *", "duration": "1h"}]}});
    world.clusters().patch("shop", &PatchParams::default(), &Patch::Merge(spec)).await.unwrap();
    let told = act(&ann, &order).await;
    assert_eq!(
        told.whys(),
        [
            "cluster shop is paused; outside the windows of cluster shop: \"0 0 30 2 *\" for 1h in UTC"
        ]
    );
    assert!(world.disrupted("shop").await.is_empty(), "nobody asked the budget");
    let told = act(&ann, &Order { overrides: true, ..order }).await;
    assert_eq!(told.count("done"), 1, "{:?}", told.whys());
    let notes: Vec<_> =
        world.events_because("ChecksOverridden").await.into_iter().filter_map(|e| e.note).collect();
    assert!(notes.len() == 1 && notes[0].contains("cluster shop is paused"), "{notes:?}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_stop_an_order_and_give_its_slots_back() {
    let Some(world) = World::begin("act-stop").await else { return };
    let Some(kubeconfig) = reader(&world).await else { return };
    world.make_limited_cluster("shop", json!("100%")).await;
    world.make_hosts(40, "shop").await;
    let journal = Some(Arc::new(world.journal()));
    let viewer = Actor::new(connection(Path::new(&kubeconfig)).await, "vic".to_owned(), journal);
    let order = world.order(Verb::MaintenanceOn, "vic", &names(0..40)).await;
    let told = act(&viewer, &order).await;
    let (denied, left) = (told.count("denied"), told.count("not-tried"));
    assert_eq!(denied + left, 40);
    assert!((3..=11).contains(&denied), "{denied} were tried");
    let why = told.ended.unwrap();
    assert!(why.contains("failures in a row"), "{why}");
    assert!(world.disrupted("shop").await.is_empty(), "slots of changes that failed");
    assert!(world.held_by("vic").await.is_empty());
    let record = newest_order(&world.journal());
    assert_eq!(record.entry.ended.as_deref(), Some(why.as_str()));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_in_the_middle_leaves_the_rest_alone() {
    let Some(world) = World::begin("act-middle").await else { return };
    world.make_hosts(40, "shop").await;
    let ann = world.actor("ann").await;
    let order = world.order(Verb::MaintenanceOn, "ann", &names(0..40)).await;
    let (say, stop) = watch::channel(false);
    // One step fits: the engine cannot run ahead of who reads by more than a wave.
    let (steps, mut told) = mpsc::channel(1);
    let sent = order.clone();
    let work = tokio::spawn(async move { carry_out(&ann, &sent, &steps, stop).await });
    let (mut done, mut left, mut ended) = (0, 0, None);
    while let Some(step) = told.recv().await {
        match step {
            Step::Wave(_) => {}
            Step::Host(_, Outcome::Done(_)) => {
                say.send_replace(true);
                done += 1;
            }
            Step::Host(_, Outcome::NotTried(_)) => left += 1,
            Step::Host(_, other) => panic!("{other:?}"),
            Step::Ended(why) => ended = why,
        }
    }
    work.await.unwrap();
    assert_eq!(done + left, 40);
    assert!((1..=11).contains(&done), "{done}");
    assert_eq!(ended.as_deref(), Some("stopped"));
    assert_eq!(world.held_by("ann").await.len(), done);
    world.end().await;
}

/// The kubeconfig of somebody who may read hosts and grant slots, and change nothing.
async fn reader(world: &World) -> Option<String> {
    let place = needed("INV_TUI_TEST_CONTROL_PLANE")?;
    let user = format!("vic-{}", world.namespace);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/control-plane/run");
    let made = Command::new(script).args(["user", &place, &user]).stdin(Stdio::null()).output();
    let made = made.unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let group = "inventory.inv-tui.dev";
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": {"name": "reader"},
        "rules": [
            {"apiGroups": [group], "resources": ["hosts", "clusters"], "verbs": ["get", "list"]},
            {"apiGroups": [group], "resources": ["clusters/status"], "verbs": ["patch"]},
        ],
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": "reader"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    });
    let (client, space) = (world.client.clone(), world.namespace.as_str());
    let roles: Api<k8s_openapi::api::rbac::v1::Role> = Api::namespaced(client.clone(), space);
    let bindings: Api<k8s_openapi::api::rbac::v1::RoleBinding> = Api::namespaced(client, space);
    let post = PostParams::default();
    roles.create(&post, &serde_json::from_value(role).unwrap()).await.unwrap();
    bindings.create(&post, &serde_json::from_value(binding).unwrap()).await.unwrap();
    let kubeconfig = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let vic = connection(Path::new(&kubeconfig)).await.client;
    let hosts: Api<Host> = Api::namespaced(vic, space);
    wait_for("the role to be in force", async || hosts.list(&ListParams::default()).await.ok())
        .await;
    Some(kubeconfig)
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_says_stop_is_obeyed_before_the_next_host() {
    let Some(world) = World::begin("act-told").await else { return };
    world.make_hosts(12, "shop").await;
    let ann = world.actor("ann").await;
    let order = world.order(Verb::MaintenanceOn, "ann", &names(0..12)).await;
    let (say, stop) = watch::channel(true);
    let told = act_until(&ann, &order, stop).await;
    assert_eq!(told.count("not-tried"), 12);
    assert_eq!(told.ended.as_deref(), Some("stopped"));
    assert!(world.held_by("ann").await.is_empty());
    drop(say);
    assert_eq!(newest_order(&world.journal()).entry.ended.as_deref(), Some("stopped"));
    world.end().await;
}
