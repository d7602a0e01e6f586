//! Silences: what Alertmanager has while a host is in maintenance.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Instant;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, DeleteParams};
use serde_json::{Value, json};
use tokio::process::Command;

use super::{at, hold};
use crate::support::http::Nobody;
use crate::support::monitoring::{Alertmanager, Monitor, terminate};
use crate::support::{World, needed, run, wait_for};

/// A world with an Alertmanager, and a monitor that tells it of one host.
struct Scene {
    world: World,
    seen: World,
    alertmanager: Alertmanager,
    config: PathBuf,
}

impl Scene {
    /// None: skipped.
    async fn begin(name: &str) -> Option<Self> {
        needed("INV_TUI_TEST_ALERTMANAGER")?;
        let world = World::begin(name).await?;
        let alertmanager = Alertmanager::begin(world.dir.path()).await?;
        world.make_target("web-1", "10.0.0.1").await;
        let config = format!("[[alertmanager]]\nurls = ['{}']\n", alertmanager.url);
        let config = world.file("monitor.toml", &config);
        let seen = world.as_monitor().await;
        Some(Self { world, seen, alertmanager, config })
    }

    async fn monitor(&self) -> Monitor {
        Monitor::begin(&self.seen, &self.config).await
    }

    /// Waits until the only silence in force is as wanted; its id.
    async fn only(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> String {
        wait_for(what, async || {
            let active = self.alertmanager.active().await;
            let [one] = active.as_slice() else { return None };
            wanted(one).then(|| one["id"].as_str().unwrap().to_owned())
        })
        .await
    }

    async fn leader(&self) -> Option<String> {
        let api: Api<Lease> = Api::namespaced(self.world.client.clone(), &self.world.namespace);
        let lease = api.get_opt("inv-tui-monitor").await.unwrap()?;
        lease.spec?.holder_identity.filter(|holder| !holder.is_empty())
    }
}

fn by(holders: &str) -> impl Fn(&Value) -> bool + '_ {
    move |silence| silence["createdBy"] == holders
}

/// A silence of a person's own.
fn theirs(comment: &str) -> Value {
    json!({
        "matchers": [{"name": "instance", "value": "10.0.0.1:9100", "isRegex": false, "isEqual": true}],
        "startsAt": at(0), "endsAt": at(3_600), "createdBy": "carl", "comment": comment,
    })
}

#[tokio::test]
async fn a_silence_lasts_as_long_as_the_holds() {
    let (Some(scene), Some(amtool)) =
        (Scene::begin("silence").await, needed("INV_TUI_TEST_AMTOOL"))
    else {
        return;
    };
    let Scene { world, alertmanager, .. } = &scene;
    let monitor = scene.monitor().await;
    monitor.ready().await;
    monitor.counts("inv_tui_monitor_alertmanager_up{alertmanager=\"default\"} 1").await;
    world.hold("web-1", "ann@example.com", hold("disk swap", 3_600)).await;
    let began = Instant::now();
    let id = scene.only("a silence", by("ann@example.com")).await;
    eprintln!("measured: silence {} ms after the toggle", began.elapsed().as_millis());
    let silence = &alertmanager.active().await[0];
    assert!(silence["comment"].as_str().unwrap().starts_with("disk swap (ann@example.com, until "));
    // What Alertmanager's own tool makes of it.
    let query = |instance: &str| {
        let mut tool = Command::new(&amtool);
        tool.args(["--alertmanager.url", &alertmanager.url, "silence", "query", "-q"]);
        tool.arg("--within=4h").arg(format!("instance={instance}"));
        tool.stdout(Stdio::piped()).stderr(Stdio::piped());
        tool
    };
    run(query("10.0.0.1:9100")).await.with(0);

    // Another person's hold: the same silence, with both names.
    world.hold("web-1", "bob", hold("new kernel", 7_200)).await;
    assert_eq!(scene.only("both names", by("ann@example.com, bob")).await, id);
    world.hold("web-1", "ann@example.com", Value::Null).await;
    assert_eq!(scene.only("bob alone", by("bob")).await, id);
    let own = alertmanager.make(theirs("mine")).await;
    world.hold("web-1", "bob", Value::Null).await;
    let began = Instant::now();
    let ended = alertmanager.until("its end", |s| s["status"]["state"] == "expired").await;
    eprintln!("measured: silence ended {} ms after the toggle", began.elapsed().as_millis());
    assert_eq!(ended["id"], id);
    assert_eq!(alertmanager.silences().await.len(), 2);
    assert_eq!(scene.only("the other's own", by("carl")).await, own);
    assert_eq!(alertmanager.active().await[0]["comment"], "mine");

    // A hold that runs out takes its silence along. Its end comes near when the silence is there.
    world.hold("web-1", "ann", hold("short", 3_600)).await;
    alertmanager.until("a short one", |s| by("ann")(s) && s["status"]["state"] == "active").await;
    world.hold("web-1", "ann", hold("short", 3)).await;
    alertmanager.until("its end", |s| by("ann")(s) && s["status"]["state"] == "expired").await;
    // So does a host that is deleted.
    world.hold("web-1", "dora", hold("retired", 3_600)).await;
    alertmanager.until("another", |s| by("dora")(s) && s["status"]["state"] == "active").await;
    world.hosts().delete("web-1", &DeleteParams::default()).await.unwrap();
    alertmanager.until("its end", |s| by("dora")(s) && s["status"]["state"] == "expired").await;
    assert_eq!(scene.only("the other's own", by("carl")).await, own);
    scene.world.end().await;
}

#[tokio::test]
async fn the_same_silence_after_a_restart_and_with_two_monitors() {
    let Some(scene) = Scene::begin("restart").await else { return };
    let mut first = scene.monitor().await;
    scene.world.hold("web-1", "ann", hold("disk swap", 3_600)).await;
    let id = scene.only("a silence", by("ann")).await;
    let leader = wait_for("a leader", async || scene.leader().await).await;
    let second = scene.monitor().await;
    second.ready().await;
    first.child.kill().await.unwrap();
    // The second one takes over and finds what there is.
    let next =
        wait_for("the other one", async || scene.leader().await.filter(|holder| *holder != leader))
            .await;
    scene.world.hold("web-1", "bob", hold("new kernel", 3_600)).await;
    assert_eq!(scene.only("both names", by("ann, bob")).await, id);
    assert_eq!(scene.alertmanager.silences().await.len(), 1);
    // One that ends in good order leaves the silence too.
    terminate(&second.child);
    let third = scene.monitor().await;
    wait_for("the third one", async || scene.leader().await.filter(|holder| *holder != next)).await;
    third.counts("inv_tui_monitor_silences{alertmanager=\"default\"} 1").await;
    scene.world.hold("web-1", "ann", Value::Null).await;
    assert_eq!(scene.only("bob alone", by("bob")).await, id);
    assert_eq!(scene.alertmanager.silences().await.len(), 1);
    scene.world.end().await;
}

#[tokio::test]
async fn what_a_person_ends_is_not_made_again() {
    let Some(scene) = Scene::begin("by-hand").await else { return };
    let monitor = scene.monitor().await;
    scene.world.hold("web-1", "ann", hold("disk swap", 3_600)).await;
    let id = scene.only("a silence", by("ann")).await;
    scene.alertmanager.expire(&id).await;
    // Another hold is another matter, and shows that ann's is not silenced again.
    scene.world.hold("web-1", "bob", hold("new kernel", 3_600)).await;
    let other = scene.only("one for bob", by("bob")).await;
    assert_ne!(other, id);
    scene.world.hold("web-1", "bob", Value::Null).await;
    let ended = |s: &Value| s["id"] == *other && s["status"]["state"] == "expired";
    scene.alertmanager.until("bob's end", ended).await;
    monitor.counts("inv_tui_monitor_held_without_silence{alertmanager=\"default\"} 1").await;
    assert_eq!(scene.alertmanager.active().await, Vec::<Value>::new());
    wait_for("a word about it", async || monitor.log().contains("by hand").then_some(())).await;
    // Nor after a restart, which knows only what Alertmanager does.
    terminate(&monitor.child);
    let again = scene.monitor().await;
    again.counts("inv_tui_monitor_held_without_silence{alertmanager=\"default\"} 1").await;
    assert_eq!(scene.alertmanager.active().await, Vec::<Value>::new());
    scene.world.end().await;
}

#[tokio::test]
async fn it_catches_up_when_alertmanager_was_away() {
    let Some(mut scene) = Scene::begin("am-away").await else { return };
    // A member that is never there is passed over.
    let nobody = Nobody::begin();
    let urls = format!("['http://{}', '{}']", nobody.address(), scene.alertmanager.url);
    scene.config =
        scene.world.file("two.toml", &format!("[[alertmanager]]\nahead = '1h'\nurls = {urls}\n"));
    let monitor = scene.monitor().await;
    scene.world.hold("web-1", "ann", hold("disk swap", 7_200)).await;
    let id = scene.only("a silence", by("ann")).await;
    scene.alertmanager.stop().await;
    scene.world.make_target("web-2", "10.0.0.2").await;
    scene.world.hold("web-2", "bob", hold("new kernel", 3_600)).await;
    monitor.counts("inv_tui_monitor_alertmanager_up{alertmanager=\"default\"} 0").await;
    scene.alertmanager.start().await;
    scene.alertmanager.until("what was missed", |s| by("bob")(s)).await;
    monitor.counts("inv_tui_monitor_alertmanager_up{alertmanager=\"default\"} 1").await;
    let all = scene.alertmanager.silences().await;
    assert_eq!(all.len(), 2, "{all:?}");
    assert!(all.iter().any(|silence| silence["id"] == *id && by("ann")(silence)), "{all:?}");
    scene.world.end().await;
}
