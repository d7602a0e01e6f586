//! Several controllers: one works. And a server that is away for a while.

use std::sync::{Arc, Mutex};

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::Api;
use serde_json::json;
use tokio::process::Child;
use tokio::time::timeout;

use super::{hold, word};
use crate::support::control_plane::ControlPlane;
use crate::support::monitoring::{address, terminate};
use crate::support::{PATIENCE, World, ended, wait_for};

async fn holder(world: &World) -> Option<String> {
    let api: Api<Lease> = Api::namespaced(world.client.clone(), &world.namespace);
    let lease = api.get_opt("inv-tui-lifecycle").await.unwrap()?;
    lease.spec?.holder_identity.filter(|holder| !holder.is_empty())
}

/// A controller, and what it says.
struct Controller {
    child: Child,
    log: Arc<Mutex<String>>,
}

impl Controller {
    async fn begin(world: &World) -> Self {
        let mut child = world.lifecycle();
        let (_, log) = address(child.stderr.take().unwrap(), "health and metrics").await;
        Self { child, log }
    }

    fn has_said(&self, words: &[&str]) -> bool {
        let log = self.log.lock().unwrap();
        log.lines().any(|line| words.iter().all(|word| line.contains(word)))
    }

    async fn says(&self, words: &[&str]) {
        wait_for(&format!("{words:?}"), async || self.has_said(words).then_some(())).await;
    }
}

#[tokio::test]
async fn one_of_two_works_and_when_it_is_killed_the_other_takes_over() {
    let Some(world) = World::begin("two").await else { return };
    world.make_member("h1", "shop", "Running").await;
    let first = Controller::begin(&world).await;
    let leader = wait_for("a leader", async || holder(&world).await).await;
    first.says(&[" leads ", &leader]).await;
    world.until("h1", "Ready", |h| word(h, "Ready").0 == "True").await;
    let second = Controller::begin(&world).await;
    second.says(&["another one works; waits", &leader]).await;
    world.edit("h1", "kubectl-edit", json!({"spec": {"maintenance": {"ann": hold(0, 900)}}})).await;
    world.until("h1", "the hold", |h| h["status"]["phase"] == "Maintenance").await;
    // It is the first one, unless that stood still for so long that its Lease has lapsed.
    let leader = wait_for("a leader", async || holder(&world).await).await;
    let (mut leads, mut waits) =
        if first.has_said(&[" leads ", &leader]) { (first, second) } else { (second, first) };

    leads.child.kill().await.unwrap();
    world.edit("h1", "kubectl-edit", json!({"spec": {"maintenance": {"ann": null}}})).await;
    world.until("h1", "the end of the hold", |h| word(h, "Ready").0 == "True").await;
    let next = holder(&world).await.unwrap();
    assert_ne!(next, leader);

    // A clean stop gives the Lease back.
    terminate(&waits.child);
    let code = timeout(PATIENCE, waits.child.wait()).await.expect("it ends").unwrap();
    assert!(code.success(), "{code}");
    waits.says(&["stopped"]).await;
    assert_eq!(holder(&world).await, None);
    world.end().await;
}

#[tokio::test]
async fn it_goes_on_when_the_server_was_away() {
    let Some(server) = ControlPlane::own("life-away") else { return };
    let world = server.world("away").await;
    world.make_member("h1", "shop", "Running").await;
    world.heartbeat("h1", 0, 600).await;
    let controller = world.lifecycle();
    world.until("h1", "Ready", |h| word(h, "AgentReady").0 == "True").await;
    server.kill_apiserver();
    server.start_apiserver();
    wait_for("the server", async || world.hosts().get_opt("h1").await.ok().flatten()).await;
    world.edit("h1", "kubectl-edit", json!({"spec": {"maintenance": {"ann": hold(0, 900)}}})).await;
    let held = world.until("h1", "the hold", |h| h["status"]["phase"] == "Maintenance").await;
    assert_eq!(word(&held, "AgentReady").0, "True");
    terminate(&controller);
    ended(controller).await.with(0);
}
