//! Several controllers: one works. And a server that is away for a while.

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::Api;
use serde_json::json;
use tokio::process::Child;

use super::{hold, word};
use crate::support::control_plane::ControlPlane;
use crate::support::{World, ended, wait_for};

async fn holder(world: &World) -> Option<String> {
    let api: Api<Lease> = Api::namespaced(world.client.clone(), &world.namespace);
    let lease = api.get_opt("inv-tui-lifecycle").await.unwrap()?;
    lease.spec?.holder_identity.filter(|holder| !holder.is_empty())
}

fn terminate(child: &Child) {
    let pid = rustix::process::Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
}

#[tokio::test]
async fn one_of_two_works_and_when_it_is_killed_the_other_takes_over() {
    let Some(world) = World::begin("two").await else { return };
    world.make_member("h1", "shop", "Running").await;
    let mut first = world.lifecycle();
    let leader = wait_for("a leader", async || holder(&world).await).await;
    world.until("h1", "Ready", |h| word(h, "Ready").0 == "True").await;
    let second = world.lifecycle();
    // The first one only says that the other one waits: it is the one that works.
    world.edit("h1", "kubectl-edit", json!({"spec": {"maintenance": {"ann": hold(0, 900)}}})).await;
    world.until("h1", "the hold", |h| h["status"]["phase"] == "Maintenance").await;
    assert_eq!(holder(&world).await.as_ref(), Some(&leader));

    first.kill().await.unwrap();
    world.edit("h1", "kubectl-edit", json!({"spec": {"maintenance": {"ann": null}}})).await;
    world.until("h1", "the end of the hold", |h| word(h, "Ready").0 == "True").await;
    let next = holder(&world).await.unwrap();
    assert_ne!(next, leader);

    // A clean stop gives the Lease back.
    terminate(&second);
    ended(second).await.with(0).says(&["stopped"]);
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
