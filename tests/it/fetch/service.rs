//! As a service: signals, health, readiness, metrics.

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;

pub(crate) use crate::support::http::get;
use crate::support::scripted::{Page, Scripted, instances};
use crate::support::{LONGER_LEASES, World, ended, wait_for};

/// Starts the program with JSON logs and reads the address from them. The rest of the log is read
/// and dropped, so that the program never waits for us.
async fn address(child: &mut Child) -> String {
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    loop {
        let line = lines.next_line().await.unwrap().expect("the program ended");
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        if line["message"] == "health and metrics" {
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return line["address"].as_str().unwrap().to_owned();
        }
    }
}

/// The value of a counter; 0 if it is not there.
fn number(body: &str, counter: &str) -> u64 {
    let line = body.lines().find_map(|line| line.strip_prefix(counter));
    line.map_or(0, |value| value.trim().parse().unwrap())
}

fn terminate(child: &Child) {
    let pid = child.id().unwrap().to_string();
    let done = std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap();
    assert!(done.success());
}

#[tokio::test]
async fn health_readiness_and_metrics() {
    let Some(world) = World::begin("metrics").await else { return };
    let ec2 = Scripted::begin().await;
    ec2.hosts("eu-north-1", instances(0..3));
    let words = [
        "fetch",
        "--interval",
        "1s",
        "--listen",
        "127.0.0.1:0",
        "--log-format",
        "json",
        "--endpoint-url",
        &ec2.url,
        "--region",
        "eu-north-1",
    ];
    let mut service = world.program(&words);
    let mut child = service.env(LONGER_LEASES.0, LONGER_LEASES.1).spawn().unwrap();
    let address = address(&mut child).await;
    let (code, ..) = wait_for("/healthz", async || get(&address, "/healthz").await).await;
    assert_eq!(code, 200);
    let ready = async || get(&address, "/readyz").await.filter(|(code, ..)| *code == 200);
    wait_for("/readyz", ready).await;
    assert_eq!(world.all_hosts().await.len(), 3, "ready means that a pass is finished");
    let passes = async || {
        let (_, head, body) = get(&address, "/metrics").await?;
        let done = number(&body, "inv_tui_fetch_passes_total{source=\"aws\",outcome=\"done\"}");
        (done >= 2).then_some((head, body))
    };
    // Who is slow to ask finds more of them.
    let (head, body) = wait_for("two passes", passes).await;
    let skipped = number(&body, "inv_tui_fetch_writes_skipped_total{source=\"aws\"}");
    assert!(skipped >= 3, "a pass that changes nothing writes nothing\n{body}");
    assert!(number(&body, "inv_tui_fetch_pass_duration_seconds_count{source=\"aws\"}") >= 2);
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
    for line in [
        "inv_tui_fetch_build_info{version=",
        "inv_tui_fetch_hosts_total{source=\"aws\",scope=\"eu-north-1\",outcome=\"created\"} 3",
        "inv_tui_fetch_hosts_listed{source=\"aws\",scope=\"eu-north-1\"} 3",
        "inv_tui_fetch_writes_total{source=\"aws\",outcome=\"done\"} 6",
        "inv_tui_fetch_last_complete_timestamp_seconds{source=\"aws\",scope=\"eu-north-1\"} ",
    ] {
        assert!(body.contains(line), "no {line} in\n{body}");
    }
    assert!(body.ends_with("# EOF\n"));
    assert_eq!(get(&address, "/nothing").await.unwrap().0, 404);

    // a second one on the same port says so
    let other =
        ["fetch", "--listen", &address, "--endpoint-url", &ec2.url, "--region", "eu-north-1"];
    let other = crate::support::run(world.program(&other)).await.with(2);
    other.says(&["cannot listen on", "--listen"]);

    terminate(&child);
    assert_eq!(ended(child).await.code, 0);
    world.end().await;
}

#[tokio::test]
async fn a_stop_in_the_middle_leaves_whole_hosts() {
    let Some(world) = World::begin("stop").await else { return };
    let ec2 = Scripted::begin().await;
    // The last page is kept back, so the pass is not through before it is stopped.
    let pages = [0..400, 400..500].map(|page| Page::Hosts(instances(page)));
    ec2.list("eu-north-1", pages.into());
    ec2.wait_from(1);
    let words =
        ["fetch", "--once", "--writes", "4", "--endpoint-url", &ec2.url, "--region", "eu-north-1"];
    let mut fetch = world.program(&words);
    let child = fetch.env(LONGER_LEASES.0, LONGER_LEASES.1).spawn().unwrap();
    let some = async || (world.all_hosts().await.len() > 20).then_some(());
    wait_for("the first hosts", some).await;
    terminate(&child);
    let run = ended(child).await.with(1).says(&["stopped before the end"]);
    assert!(!run.stderr.contains("missing=1"));
    let hosts = world.all_hosts().await;
    assert!(hosts.len() < 500, "it was stopped in time");
    assert!(hosts.iter().all(|host| host.status.as_ref().is_some_and(|s| !s.sources.is_empty())));
    world.end().await;
}

#[tokio::test]
async fn an_idle_service_stops_at_once() {
    let Some(world) = World::begin("idle-stop").await else { return };
    let ec2 = Scripted::begin().await;
    let words = [
        "fetch",
        "--interval",
        "1h",
        "--listen",
        "127.0.0.1:0",
        "--log-format",
        "json",
        "--endpoint-url",
        &ec2.url,
        "--region",
        "eu-north-1",
    ];
    let mut service = world.program(&words);
    let mut child = service.env(LONGER_LEASES.0, LONGER_LEASES.1).spawn().unwrap();
    let address = address(&mut child).await;
    let ready = async || get(&address, "/readyz").await.filter(|(code, ..)| *code == 200);
    wait_for("/readyz", ready).await;
    terminate(&child);
    // The next pass is much further away than the patience of this.
    assert_eq!(ended(child).await.code, 0);
    world.end().await;
}
