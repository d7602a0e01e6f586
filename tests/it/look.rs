//! Looking at a host in a real terminal, on a real API server: pages, labels, changes.

use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use crate::pty::Pty;
use crate::support::{BINARY, World, run, wait_for};

fn explorer(world: &World) -> Pty {
    let args =
        ["--kubeconfig", world.kubeconfig(), "-n", &world.namespace, "--config", "/dev/null"];
    let journal = world.dir.path().join("journal.jsonl");
    Pty::start(BINARY, &args, &[("INV_TUI_JOURNAL", journal.to_str().unwrap())], (120, 45))
}

async fn label(world: &World, name: &str, key: &str) -> Option<String> {
    world.host(name).await.metadata.labels.unwrap_or_default().remove(key)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_looked_at_from_every_side() {
    let Some(world) = World::begin("look-pages").await else { return };
    world.make_host("web-1", "web-1", "eu-west-1", "shop").await;
    let mut pty = explorer(&world);
    pty.shows("1 host");
    pty.send("zRG");
    pty.send("y");
    let screen = pty.shows("kind: Host");
    assert!(screen.contains("entry, folded") || screen.contains("entries, folded"), "{screen}");
    assert!(screen.contains("name: web-1"), "{screen}");

    // It is live: what somebody else writes comes by itself.
    let patch = json!({"metadata": {"annotations": {"example.com/note": "from outside"}}});
    let hosts: Api<inv_tui::model::host::Host> =
        Api::namespaced(world.client.clone(), &world.namespace);
    hosts.patch("web-1", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    pty.shows("example.com/note: from outside");
    pty.send("/outside\r");
    pty.shows("/outside");
    pty.send("\x1bd");
    pty.shows("describe  web-1");
    pty.send("G");
    pty.shows("none in the last hour");

    // What is done from the page is about its host; its Event comes while one looks.
    pty.send("m");
    pty.shows("put into maintenance");
    pty.send("y");
    pty.shows("is in maintenance until");
    pty.send("E");
    pty.shows("MaintenanceStarted");
    pty.send("H");
    pty.until("the history", |screen| {
        ["seen", "journal", "event", "writer", "maintenance: none → admin"]
            .iter()
            .all(|word| screen.contains(word))
    });
    pty.send("X");
    pty.shows("◆ admin holds it for");
    pty.send("qvh");
    pty.until("the change", |screen| screen.contains("maintenance") && screen.contains("Changes"));
    pty.send("\r");
    pty.shows("web-1");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_is_set_taken_back_and_refused_where_a_source_owns_it() {
    let Some(world) = World::begin("look-labels").await else { return };
    world.make_host("web-1", "web-1", "eu-west-1", "shop").await;
    let owned = json!({
        "apiVersion": "inventory.inv-tui.dev/v1alpha1", "kind": "Host",
        "metadata": {"name": "web-1", "labels": {"tier": "gold"}},
    });
    let hosts: Api<inv_tui::model::host::Host> =
        Api::namespaced(world.client.clone(), &world.namespace);
    let apply = PatchParams::apply("inv-tui-fetch-aws");
    hosts.patch("web-1", &apply, &Patch::Apply(owned)).await.unwrap();
    let mut pty = explorer(&world);
    pty.shows("1 host");
    pty.send("zRG");
    pty.send("e");
    pty.shows("of the source aws");
    pty.send("ateam=web\r");
    pty.shows("set team=web on web-1");
    pty.send("y");
    pty.shows("team: none → web · u takes it back");
    assert_eq!(label(&world, "web-1", "team").await.as_deref(), Some("web"));
    pty.send("u");
    pty.shows("take back the last change");
    pty.send("y");
    pty.shows("team: web → none · U makes it again");
    assert_eq!(label(&world, "web-1", "team").await, None);
    pty.send("e");
    pty.shows("of the source aws");
    pty.send("atier=tin\r");
    pty.shows("the source aws owns tier");
    pty.send("\x1b\x1b");

    let say = async |words: &[&str]| run(world.program(words)).await;
    let ended = say(&["label", "web-1", "team=db", "tier=tin", "--dry-run"]).await.with(1);
    assert!(ended.stdout.contains("the source aws owns tier"), "{}", ended.stdout);
    assert!(
        ended.stdout.contains("labels: team=none tier=gold → team=db tier=tin"),
        "{}",
        ended.stdout
    );
    say(&["label", "web-1", "team=db"]).await.with(0);
    assert_eq!(label(&world, "web-1", "team").await.as_deref(), Some("db"));
    let ended = say(&["label", "web-1", "team=db", "-o", "json"]).await.with(0);
    let answer: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(answer["hosts"][0]["result"], "nothing-to-do");
    let ended = say(&["label", "web-1", "tier-"]).await.with(1);
    assert!(ended.stdout.contains("denied"), "{}", ended.stdout);
    assert_eq!(label(&world, "web-1", "tier").await.as_deref(), Some("gold"));
    say(&["label", "web-1", "tier-", "--anyway", "--confirm", "web-1"]).await.with(0);
    assert_eq!(label(&world, "web-1", "tier").await, None);
    let ended = say(&["label", "web-1", "inventory.inv-tui.dev/cluster=x"]).await.with(1);
    assert!(ended.stdout.contains("belongs to services"), "{}", ended.stdout);
    let events = wait_for("the Event", async || {
        let events: Api<k8s_openapi::api::core::v1::Event> =
            Api::namespaced(world.client.clone(), &world.namespace);
        let all = events.list(&kube::api::ListParams::default()).await.ok()?;
        all.items.into_iter().find(|event| event.reason.as_deref() == Some("LabelsChanged"))
    });
    assert!(events.await.message.unwrap().contains("by admin"));
    world.end().await;
}
