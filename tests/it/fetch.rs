//! `inv-tui --headless fetch`, the built program.

mod accounts;
mod dry_run;
mod lifecycle;
mod odd;
mod ownership;
mod replicas;
pub(crate) mod service;
mod three_sources;
mod trouble;

use inv_tui::model::host::Phase;
use inv_tui::model::labels;
use serde_json::Value;

use crate::support::World;
use crate::support::ec2::{Moto, name};
use crate::support::scripted::{Page, Scripted, instances};

const FETCHER: &str = "inv-tui-fetch-aws";

/// What this manager owns of an object, as one `FieldsV1` for each subresource.
fn owned<'a>(host: &'a Value, manager: &str) -> Vec<&'a Value> {
    let entries = host["metadata"]["managedFields"].as_array().unwrap();
    entries.iter().filter(|e| e["manager"] == manager).map(|e| &e["fieldsV1"]).collect()
}

fn condition<'a>(object: &'a Value, type_: &str) -> &'a Value {
    let all = object["status"]["conditions"].as_array().unwrap();
    all.iter().find(|c| c["type"] == type_).unwrap_or(&Value::Null)
}

#[tokio::test]
async fn imports_what_is_there_and_leaves_out_what_is_gone() {
    let Some(moto) = Moto::begin("ap-northeast-2").await else { return };
    let Some(world) = World::begin("import").await else { return };
    let web = moto
        .start(
            2,
            &[
                ("Name", "web-1"),
                ("kubernetes.io/cluster/shop", "owned"),
                ("Role", "web"),
                ("Owner", "Team Süd"),
                ("Env", "prod"),
                ("CostCentre", "4100 / 7"),
            ],
        )
        .await;
    let hostile = moto
        .start(1, &[("Name", "a\u{9b}31mred\u{7f}\u{85}\u{2028}🚀\n"), ("Big", &"x".repeat(250))])
        .await;
    let bare = moto.start(1, &[]).await;
    let stopped = moto.start(1, &[("Name", "resting")]).await;
    moto.stop(&stopped).await;
    let ended = moto.start(1, &[("Name", "ended")]).await;
    moto.terminate(&ended).await;

    let words =
        ["--region", moto.region, "--label-tag", "CostCentre", "--map", "example.com/tier=Role"];
    let run = world.fetch(&moto.url, &words).await.with(0).says(&["created=5", "seen="]);
    assert!(!run.stderr.contains("test-secret-key"));

    assert_eq!(world.all_hosts().await.len(), 5, "a terminated instance is not taken in");
    let host = world.json(&name(&web[0])).await;
    let labels = &host["metadata"]["labels"];
    for (key, value) in [
        (labels::REGION, moto.region),
        (labels::PROVIDER, "aws"),
        (labels::SOURCE, "aws"),
        (labels::ACCOUNT, "123456789012"),
        (labels::INSTANCE_TYPE, "m5.large"),
        (labels::ARCH, "amd64"),
        (labels::OS, "linux"),
        (labels::CLUSTER, "shop"),
        (labels::ROLE, "web"),
        (labels::ENVIRONMENT, "prod"),
        ("example.com/tier", "web"),
    ] {
        assert_eq!(labels[key], value, "{key}");
    }
    assert!(labels["CostCentre"].as_str().unwrap().starts_with("4100-7-"));
    let zone = labels[labels::ZONE].as_str().unwrap();
    assert_eq!(host["spec"]["providerID"], format!("aws:///{zone}/{}", web[0]));
    assert_eq!(host["spec"]["cluster"], "shop");
    assert_eq!(host["spec"]["team"], "Team Süd");
    let annotations = &host["metadata"]["annotations"];
    assert_eq!(annotations[labels::DISPLAY_NAME], "web-1");
    let tags: Value = serde_json::from_str(annotations[labels::TAGS].as_str().unwrap()).unwrap();
    assert_eq!(tags["CostCentre"], "4100 / 7", "the raw value");
    assert_eq!(host["status"]["phase"], "Running");
    let facts = &host["status"]["sources"]["aws"];
    assert_eq!(
        (&facts["state"], &facts["rawState"], &facts["uid"]),
        (&"Running".into(), &"running".into(), &web[0].as_str().into())
    );
    assert_eq!(condition(&host, "Seen")["status"], "True");
    assert_eq!(condition(&host, "ProviderHealthy")["status"], "True");
    assert!(host["metadata"]["finalizers"].is_null());
    let size = serde_json::to_string(&host).unwrap().len();
    assert!(size < 4096, "{size} bytes with managedFields");

    let odd = world.json(&name(&hostile[0])).await;
    assert_eq!(
        odd["metadata"]["annotations"][labels::DISPLAY_NAME],
        "a\u{9b}31mred\u{7f}\u{85}\u{2028}🚀\n"
    );
    let plain = world.host(&name(&bare[0])).await;
    assert!(!plain.metadata.annotations.unwrap_or_default().contains_key(labels::DISPLAY_NAME));
    let resting = world.host(&name(&stopped[0])).await;
    assert_eq!(resting.status.unwrap().phase, Some(Phase::Stopped));

    let source = serde_json::to_value(world.source("aws").await).unwrap();
    assert_eq!(source["spec"]["type"], "AWS");
    assert_eq!(condition(&source, "Healthy")["status"], "True");
    assert_eq!(condition(&source, "BreakerOpen")["status"], "False");
    let scope = &source["status"]["scopes"][0];
    assert_eq!((&scope["name"], &scope["created"]), (&moto.region.into(), &5.into()));
    assert!(scope["lastComplete"].is_string() && source["status"]["lastPass"].is_string());
    world.end().await;
}

#[tokio::test]
async fn a_second_pass_writes_nothing() {
    let Some(moto) = Moto::begin("ap-northeast-3").await else { return };
    let Some(world) = World::begin("idle").await else { return };
    moto.start(30, &[("Name", "n\u{85}x"), ("Cluster", "a"), ("Tag", "b")]).await;
    moto.start(5, &[]).await;
    let words = ["--region", moto.region];
    world.fetch(&moto.url, &words).await.with(0).says(&["created=35"]);
    let before = world.versions().await;
    let marker = || async {
        serde_json::to_value(world.source("aws").await).unwrap()["metadata"]["resourceVersion"]
            .clone()
    };
    let source = marker().await;
    world.fetch(&moto.url, &words).await.with(0).says(&["created=0 changed=0", "writes=0"]);
    assert_eq!(world.versions().await, before);
    assert_ne!(marker().await, source, "the times of the pass stand in the source");
    // a restart with another spelling of the same changes nothing either
    world
        .fetch(&moto.url, &["--region", moto.region, "--writes", "1"])
        .await
        .with(0)
        .says(&["writes=0"]);
    assert_eq!(world.versions().await, before);
    world.end().await;
}

#[tokio::test]
async fn a_change_is_one_write() {
    let Some(moto) = Moto::begin("ap-south-2").await else { return };
    let Some(world) = World::begin("change").await else { return };
    let ids = moto.start(3, &[("Name", "web"), ("Role", "web")]).await;
    let words = ["--region", moto.region];
    world.fetch(&moto.url, &words).await.with(0).says(&["writes=6"]);
    moto.tag(&ids[..1], "Role", "db").await;
    world.fetch(&moto.url, &words).await.with(0).says(&["changed=1", "writes=1"]);
    assert_eq!(world.json(&name(&ids[0])).await["spec"]["role"], "db");
    moto.stop(&ids[1..2]).await;
    world.fetch(&moto.url, &words).await.with(0).says(&["changed=1"]);
    let stopped = world.json(&name(&ids[1])).await;
    assert_eq!(stopped["status"]["sources"]["aws"]["state"], "Stopped");
    moto.untag(&ids[2..], "Role").await;
    world.fetch(&moto.url, &words).await.with(0).says(&["changed=1", "writes=1"]);
    let untagged = world.json(&name(&ids[2])).await;
    assert!(
        untagged["spec"]["role"].is_null()
            && untagged["metadata"]["labels"][labels::ROLE].is_null()
    );
    world.end().await;
}

#[tokio::test]
async fn pages_may_be_short_or_empty() {
    let Some(world) = World::begin("pages").await else { return };
    let ec2 = Scripted::begin().await;
    let pages = vec![
        Page::Hosts(instances(0..3)),
        Page::Hosts(Vec::new()),
        Page::Hosts(instances(3..4)),
        Page::Hosts(Vec::new()),
    ];
    ec2.list("eu-north-1", pages);
    world
        .fetch(&ec2.url, &["--region", "eu-north-1"])
        .await
        .with(0)
        .says(&["pages=4", "created=4"]);
    world.end().await;
}

#[tokio::test]
async fn all_regions_are_found_and_denied_ones_left_out() {
    let Some(world) = World::begin("regions").await else { return };
    let ec2 = Scripted::begin().await;
    ec2.hosts("eu-north-1", instances(0..2));
    ec2.hosts("eu-south-1", Vec::new());
    ec2.list("eu-south-2", vec![Page::Error(403, "UnauthorizedOperation")]);
    let words = ["--all-regions"];
    world.fetch(&ec2.url, &words).await.with(0).says(&[
        "scope denied, left out",
        "eu-south-2",
        "created=2",
    ]);
    // denied everywhere is a failure, and so is a region that somebody asked for
    ec2.list("eu-north-1", vec![Page::Error(403, "UnauthorizedOperation")]);
    ec2.list("eu-south-1", vec![Page::Error(403, "UnauthorizedOperation")]);
    world.fetch(&ec2.url, &words).await.with(1).says(&["3 of 3 scopes"]);
    let words = ["--region", "eu-south-2"];
    world
        .fetch(&ec2.url, &words)
        .await
        .with(1)
        .says(&["ec2:DescribeInstances", "UnauthorizedOperation"]);
    world.end().await;
}
