//! Missing, gone, removed; and the listings that are not believed.

use inv_tui::model::labels;
use serde_json::{Value, json};

use super::condition;
use crate::support::World;
use crate::support::ec2::{self, Moto};
use crate::support::scripted::{Instance, Page, Scripted, instance, instances, name};

const REGION: [&str; 2] = ["--region", "eu-north-1"];

fn words<'a>(more: &[&'a str]) -> Vec<&'a str> {
    REGION.into_iter().chain(more.iter().copied()).collect()
}

fn facts(host: &Value) -> (&str, i64) {
    let facts = &host["status"]["sources"]["aws"];
    (facts["state"].as_str().unwrap(), facts["missed"].as_i64().unwrap_or(0))
}

#[tokio::test]
async fn missing_then_gone_then_removed() {
    let Some(world) = World::begin("lost").await else { return };
    let ec2 = Scripted::begin().await;
    ec2.hosts("eu-north-1", instances(0..8));
    let fetch = words(&["--gone-after", "3", "--grace", "0s"]);
    world.fetch(&ec2.url, &fetch).await.with(0);
    let lost = name(7);
    ec2.hosts("eu-north-1", instances(0..7));
    let address = world.json(&lost).await["status"]["addresses"].clone();

    world.fetch(&ec2.url, &fetch).await.with(0).says(&["missing=1"]);
    let live = world.json(&lost).await;
    assert_eq!(facts(&live), ("Missing", 1));
    assert_eq!(live["status"]["phase"], "Missing");
    let seen = condition(&live, "Seen");
    assert_eq!((&seen["status"], &seen["reason"]), (&"False".into(), &"NotListed".into()));
    assert_eq!(live["status"]["addresses"], address, "what was known stays");
    let since = live["status"]["sources"]["aws"]["since"].clone();
    let source = serde_json::to_value(world.source("aws").await).unwrap();
    assert_eq!(source["status"]["missing"], 1);

    world.fetch(&ec2.url, &fetch).await.with(0).says(&["missing=1"]);
    let live = world.json(&lost).await;
    assert_eq!(facts(&live), ("Missing", 2));
    assert_eq!(live["status"]["sources"]["aws"]["since"], since);

    world.fetch(&ec2.url, &fetch).await.with(0).says(&["gone=1"]);
    assert_eq!(facts(&world.json(&lost).await), ("Gone", 3));

    let versions = world.versions().await;
    world.fetch(&ec2.url, &words(&[])).await.with(0).says(&["writes=0"]);
    assert_eq!(world.versions().await, versions, "within the grace of 24 h nothing happens");

    world.fetch(&ec2.url, &fetch).await.with(0).says(&["removed=1"]);
    assert!(world.hosts().get_opt(&lost).await.unwrap().is_none());
    assert_eq!(world.all_hosts().await.len(), 7);
    world.fetch(&ec2.url, &fetch).await.with(0).says(&["writes=0"]);
    world.end().await;
}

#[tokio::test]
async fn a_host_that_comes_back_is_seen_again() {
    let Some(world) = World::begin("back").await else { return };
    let ec2 = Scripted::begin().await;
    ec2.hosts("eu-north-1", instances(0..4));
    let fetch = words(&["--gone-after", "2"]);
    world.fetch(&ec2.url, &fetch).await.with(0);
    for (state, listings) in [("Missing", 1), ("Gone", 2)] {
        ec2.hosts("eu-north-1", instances(0..3));
        for _ in 0..listings {
            world.fetch(&ec2.url, &fetch).await.with(0);
        }
        assert_eq!(facts(&world.json(&name(3)).await).0, state);
        ec2.hosts("eu-north-1", instances(0..4));
        world.fetch(&ec2.url, &fetch).await.with(0).says(&["changed=1"]);
        let live = world.json(&name(3)).await;
        assert_eq!(facts(&live), ("Running", 0), "the count begins anew");
        assert_eq!(live["status"]["phase"], "Running");
        assert_eq!(condition(&live, "Seen")["status"], "True");
    }
    world.end().await;
}

#[tokio::test]
async fn held_protected_and_paused_hosts_are_not_removed() {
    let Some(world) = World::begin("kept").await else { return };
    let ec2 = Scripted::begin().await;
    ec2.hosts("eu-north-1", instances(0..6));
    let fetch = words(&["--gone-after", "1", "--grace", "0s"]);
    world.fetch(&ec2.url, &fetch).await.with(0);
    let hold = |since: &str, until: &str| json!({"spec": {"maintenance": {"ann": {"reason": "disk", "since": since, "until": until}}}});
    let now = k8s_openapi::jiff::Timestamp::now();
    let hour = k8s_openapi::jiff::SignedDuration::from_hours(1);
    let [before, after] = [now - hour, now + hour].map(|t| t.to_string());
    world.edit(&name(1), "inv-tui", hold(&before, &after)).await;
    world
        .edit(
            &name(2),
            "inv-tui",
            json!({"metadata": {"annotations": {labels::PROTECT: "evidence"}}}),
        )
        .await;
    world.edit(&name(3), "inv-tui", json!({"spec": {"paused": true}})).await;
    world.edit(&name(4), "inv-tui", hold("2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z")).await;
    ec2.hosts("eu-north-1", vec![instance(0)]);
    world.fetch(&ec2.url, &fetch).await.with(0).says(&["gone=5"]);
    world.fetch(&ec2.url, &fetch).await.with(0).says(&["removed=2", "kept=3"]);
    let mut left: Vec<String> = world.versions().await.into_iter().map(|(name, _)| name).collect();
    left.sort();
    assert_eq!(left, [name(0), name(1), name(2), name(3)], "an ended hold keeps nothing");
    world.edit(&name(1), "inv-tui", json!({"spec": {"maintenance": null}})).await;
    world.fetch(&ec2.url, &fetch).await.with(0).says(&["removed=1", "kept=2"]);
    world.end().await;
}

#[tokio::test]
async fn a_host_that_was_terminated_is_gone_at_once() {
    let Some(moto) = Moto::begin("ca-west-1").await else { return };
    let Some(world) = World::begin("terminated").await else { return };
    let ids = moto.start(3, &[("Name", "short-lived")]).await;
    let words = ["--region", moto.region];
    world.fetch(&moto.url, &words).await.with(0);
    moto.terminate(&ids[..1]).await;
    world.fetch(&moto.url, &words).await.with(0).says(&["changed=1"]);
    let live = world.json(&ec2::name(&ids[0])).await;
    assert_eq!((facts(&live), &live["status"]["phase"]), (("Gone", 0), &"Gone".into()));
    assert_eq!(live["status"]["sources"]["aws"]["rawState"], "terminated");
    world.fetch(&moto.url, &words).await.with(0).says(&["writes=0"]);
    let now = ["--region", moto.region, "--grace", "0s"];
    world.fetch(&moto.url, &now).await.with(0).says(&["removed=1"]);
    // the provider lists it for a while still; it is not taken in again
    world.fetch(&moto.url, &now).await.with(0).says(&["writes=0"]);
    assert_eq!(world.all_hosts().await.len(), 2);
    world.end().await;
}

#[tokio::test]
async fn a_mass_loss_opens_the_breaker() {
    let Some(world) = World::begin("breaker").await else { return };
    let ec2 = Scripted::begin().await;
    ec2.hosts("eu-north-1", instances(0..12));
    world.fetch(&ec2.url, &words(&[])).await.with(0);
    let before = world.versions().await;
    let terminated = |n: usize| Instance { state: (48, "terminated"), ..instance(n) };
    // four are not listed, three are terminated: seven of twelve, and five are believed
    let listing: Vec<Instance> =
        instances(0..5).into_iter().chain([5, 6, 7].map(terminated)).collect();
    ec2.hosts("eu-north-1", listing);
    world.fetch(&ec2.url, &words(&[])).await.with(1).says(&[
        "breaker open",
        "7 of 12 hosts would be lost, at most 5",
        "--accept-loss eu-north-1",
    ]);
    assert_eq!(world.versions().await, before, "nothing was marked");
    let source = serde_json::to_value(world.source("aws").await).unwrap();
    let breaker = condition(&source, "BreakerOpen");
    assert_eq!((&breaker["status"], &breaker["reason"]), (&"True".into(), &"TooManyLost".into()));
    assert!(breaker["message"].as_str().unwrap().contains("7 of 12"));
    assert_eq!(condition(&source, "Healthy")["status"], "False");

    world.fetch(&ec2.url, &words(&["--accept-loss", "eu-west-1"])).await.with(1);
    world
        .fetch(&ec2.url, &words(&["--breaker-min", "7"]))
        .await
        .with(0)
        .says(&["missing=4", "changed=3"]);
    let source = serde_json::to_value(world.source("aws").await).unwrap();
    assert_eq!(condition(&source, "BreakerOpen")["status"], "False");
    ec2.hosts("eu-north-1", Vec::new());
    world.fetch(&ec2.url, &words(&["--breaker-min", "1"])).await.with(1);
    let accept = words(&["--breaker-min", "1", "--accept-loss", "eu-north-1"]);
    world.fetch(&ec2.url, &accept).await.with(0).says(&["missing=9"]);
    world.end().await;
}

#[tokio::test]
async fn an_incomplete_listing_marks_nothing() {
    let Some(world) = World::begin("partial").await else { return };
    let ec2 = Scripted::begin().await;
    ec2.hosts("eu-north-1", instances(0..4));
    world.fetch(&ec2.url, &words(&[])).await.with(0);
    let before = world.versions().await;
    ec2.list(
        "eu-north-1",
        vec![Page::Hosts(instances(0..1)), Page::Error(400, "InvalidParameterValue")],
    );
    world
        .fetch(&ec2.url, &words(&[]))
        .await
        .with(1)
        .says(&["scope incomplete: nothing was marked missing", "InvalidParameterValue"]);
    assert_eq!(world.versions().await, before);
    let source = serde_json::to_value(world.source("aws").await).unwrap();
    let scope = &source["status"]["scopes"][0];
    assert!(scope["error"].as_str().unwrap().contains("InvalidParameterValue"), "{scope}");
    assert!(scope["lastComplete"].is_string(), "the time of the one before");
    // what the first page brought is written all the same
    let mut changed = instance(0);
    changed.tags.insert("Role".into(), "db".into());
    ec2.list(
        "eu-north-1",
        vec![Page::Hosts(vec![changed]), Page::Error(400, "InvalidParameterValue")],
    );
    world.fetch(&ec2.url, &words(&[])).await.with(1).says(&["changed=1"]);
    world.end().await;
}

#[tokio::test]
async fn hosts_of_another_account_are_left_alone() {
    let Some(world) = World::begin("accounts").await else { return };
    let ec2 = Scripted::begin().await;
    ec2.hosts("eu-north-1", instances(0..3));
    world.fetch(&ec2.url, &words(&[])).await.with(0);
    let before = world.versions().await;
    ec2.hosts("eu-north-1", vec![Instance { owner: "444455556666", ..instance(9) }]);
    world
        .fetch(&ec2.url, &words(&[]))
        .await
        .with(0)
        .says(&["hosts of another account", "missing=0"]);
    let after = world.versions().await;
    assert!(before.iter().all(|version| after.contains(version)));
    world.end().await;
}
