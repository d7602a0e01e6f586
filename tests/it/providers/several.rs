//! Several sources in one process: each by itself.

use tokio::io::{AsyncBufReadExt, BufReader};

use super::{fetch, pass, says, source};
use crate::support::{World, run, wait_for};

/// A source that works, and one at whose address nobody listens.
fn sources(world: &World) -> String {
    let path = world.dir.path().join("hosts.yaml");
    std::fs::write(&path, "[{id: lab-1}, {id: lab-2}]").unwrap();
    format!(
        "[[source]]\nname = \"lab\"\ntype = \"file\"\npath = \"{}\"\n\n\
         [[source]]\nname = \"dc\"\ntype = \"netbox\"\nurl = \"http://127.0.0.1:1\"\ncredentials = \"env:TOKEN\"\n\n\
         [[source]]\nname = \"cloud\"\ntype = \"aws\"\nregions = [\"eu-west-1\"]\ncredentials = \"profile:nope\"\n",
        path.display()
    )
}

#[tokio::test]
async fn one_that_fails_leaves_the_others_alone() {
    let Some(world) = World::begin("several").await else { return };
    let sources = sources(&world);
    let ended = pass(&world, &sources, "a-netbox-token").await.with(1);
    ended.says(&["2 of 3 sources not fully done (dc, cloud)", "created=2", "no AWS credentials"]);
    assert_eq!(world.all_hosts().await.len(), 2);
    assert_eq!(says(&world, "lab", "Healthy").await.0, "True");
    let (healthy, message) = says(&world, "dc", "Healthy").await;
    assert!(healthy == "False" && message.contains("cannot list the sites"), "{message}");
    let (healthy, message) = says(&world, "cloud", "Healthy").await;
    assert!(healthy == "False" && message.contains("no AWS credentials"), "{message}");
    assert_eq!(source(&world, "cloud").await["status"]["errors"], 1);
    assert_eq!(source(&world, "dc").await["spec"]["type"], "NetBox");
    world.end().await;
}

#[tokio::test]
async fn metrics_of_all_in_one_place() {
    let Some(world) = World::begin("several-metrics").await else { return };
    let sources = sources(&world);
    let words = ["--listen", "127.0.0.1:0", "--log-format", "json"];
    let mut service = fetch(&world, &sources, &words, "a-netbox-token").spawn().unwrap();
    let mut lines = BufReader::new(service.stderr.take().unwrap()).lines();
    let address = loop {
        let line = lines.next_line().await.unwrap().expect("the program ended");
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        if line["message"] == "health and metrics" {
            break line["address"].as_str().unwrap().to_owned();
        }
    };
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    let body = wait_for("the passes of all three", async || {
        let body = crate::fetch::service::get(&address, "/metrics").await?.2;
        let done = |line: &str| body.contains(line);
        (done("inv_tui_fetch_passes_total{source=\"lab\",outcome=\"done\"} 1")
            && done("inv_tui_fetch_passes_total{source=\"dc\",outcome=\"partly\"}")
            && done("inv_tui_fetch_passes_total{source=\"cloud\",outcome=\"partly\"}"))
        .then_some(body)
    })
    .await;
    assert_eq!(body.matches("# TYPE inv_tui_fetch_passes counter").count(), 1);
    assert!(body.contains("inv_tui_fetch_hosts_listed{source=\"lab\",scope=\"all\"} 2"), "{body}");
    service.kill().await.unwrap();
    world.end().await;
}

#[tokio::test]
async fn a_file_that_is_wrong_is_a_matter_of_usage() {
    let Some(world) = World::begin("several-wrong").await else { return };
    let text = "[[source]]\nname = \"dc\"\ntype = \"netbox\"\nurl = \"https://user:pw@nb\"\ncredentials = \"env:TOKEN\"\n";
    let ended = run(fetch(&world, text, &["--once"], "a-netbox-token")).await.with(2);
    assert!(!ended.stderr.contains("user:pw"), "{}", ended.stderr);
    ended.says(&["has credentials in it"]);
    let text = "[[source]]\nname = \"dc\"\ntype = \"netbox\"\ncredentials = \"plain-secret\"\nurl = \"https://nb\"\n";
    let ended = run(fetch(&world, text, &["--once"], "x-y-z-token")).await.with(2);
    assert!(!ended.stderr.contains("plain-secret"), "{}", ended.stderr);
    ended.says(&["source \"dc\"", "no reference", "env:NAME"]);
    world.end().await;
}
