//! The table of metrics in `deploy/README.md` is what the program prints; the dashboard and the
//! alerts ask for nothing else.

use std::collections::BTreeSet;
use std::path::Path;

use regex::Regex;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;

use super::{deploy, output, read, words};
use crate::fetch::service::get;
use crate::support::scripted::{Page, Scripted, instances};
use crate::support::{World, wait_for};

/// The names in the first column of the table.
fn table() -> BTreeSet<String> {
    let row = Regex::new(r"(?m)^\| `(inv_tui_[a-z_]+)`").unwrap();
    row.captures_iter(&read("README.md")).map(|found| found[1].to_owned()).collect()
}

fn sources(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.file_name().is_some_and(|name| name == "metrics.rs") {
            found.push(std::fs::read_to_string(path).unwrap());
        }
    }
}

/// What the sources register, under the names that a scrape shows.
fn registered() -> BTreeSet<String> {
    let prefix = Regex::new(r#"with_prefix\("(inv_tui_[a-z]+)"\)"#).unwrap();
    let plain = Regex::new(r#"(?s)\.(register|register_with_unit)\(\s*"([a-z_]+)",\s*(.*?)\);"#);
    let plain = plain.unwrap();
    let asked = Regex::new(
        r#"(?:encode_descriptor|family)\("([a-z_]+)", (?:help, None, MetricType::(Counter|Gauge)|")"#,
    )
    .unwrap();
    let field = Regex::new(r"this\.([a-z_]+)\.clone\(\)").unwrap();
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let mut names = BTreeSet::new();
    for text in files {
        let Some(prefix) = prefix.captures(&text).map(|found| found[1].to_owned()) else {
            continue;
        };
        for found in plain.captures_iter(&text) {
            let (name, rest) = (&found[2], &found[3]);
            let unit = if &found[1] == "register" { "" } else { "_seconds" };
            let kind = field.captures(rest).map_or("Info", |found| {
                let start = format!("\n    {}: ", &found[1]);
                let at = text.find(&start).unwrap_or_else(|| panic!("{name}"));
                text[at + start.len()..].lines().next().unwrap()
            });
            let ending = match kind {
                kind if kind.contains("Counter") => "_total",
                kind if kind.contains("Info") => "_info",
                _ => "",
            };
            names.insert(format!("{prefix}_{name}{unit}{ending}"));
        }
        for found in asked.captures_iter(&text) {
            let counter = found.get(2).is_some_and(|kind| kind.as_str() == "Counter");
            let ending = if counter { "_total" } else { "" };
            names.insert(format!("{prefix}_{}{ending}", &found[1]));
        }
    }
    names
}

#[test]
fn the_table_has_what_the_program_registers() {
    let (table, registered) = (table(), registered());
    assert!(registered.len() > 30, "{registered:?}");
    let missing: Vec<_> = registered.difference(&table).collect();
    assert!(missing.is_empty(), "not in the table of deploy/README.md: {missing:?}");
    let stale: Vec<_> = table.difference(&registered).collect();
    assert!(stale.is_empty(), "in the table of deploy/README.md, and nowhere else: {stale:?}");
}

/// The metrics that an expression asks for, as the table names them.
fn asked_for(expression: &str) -> Vec<String> {
    let name = Regex::new(r"inv_tui_[a-z_]+").unwrap();
    let part = |name: &str| {
        name.strip_suffix("_bucket")
            .or_else(|| name.strip_suffix("_sum"))
            .unwrap_or(name)
            .to_owned()
    };
    name.find_iter(expression).map(|found| part(found.as_str())).collect()
}

fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get("expr").and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|value| expressions(value, found));
        }
        Value::Array(all) => all.iter().for_each(|value| expressions(value, found)),
        _ => {}
    }
}

fn knows_all(expressions: &[String]) {
    let table = table();
    for expression in expressions {
        let names = asked_for(expression);
        assert!(!names.is_empty(), "{expression}");
        for name in names {
            assert!(table.contains(&name), "{name} in {expression}");
        }
    }
}

#[test]
fn the_dashboard_asks_for_metrics_that_there_are() {
    let board: Value = serde_json::from_str(&read("grafana/inv-tui.json")).unwrap();
    let panels = board["panels"].as_array().unwrap();
    let rows: Vec<&str> = panels
        .iter()
        .filter(|panel| panel["type"] == "row")
        .map(|panel| panel["title"].as_str().unwrap())
        .collect();
    assert_eq!(
        rows,
        ["Fleet", "Sources", "Writes", "Runs, holds and ends", "Certificates and agents"]
    );
    assert_eq!(board["templating"]["list"][0]["type"], "datasource");
    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        let place = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(place("x") + place("w") <= 24, "{panel}");
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                assert!(taken.insert((x, y)), "two panels in one place: {}", panel["title"]);
            }
        }
        for target in panel["targets"].as_array().into_iter().flatten() {
            assert_eq!(target["datasource"]["uid"], "${datasource}");
        }
    }
    let mut all = Vec::new();
    expressions(&board, &mut all);
    assert!(all.len() > 20);
    knows_all(&all);
}

#[test]
fn the_alerts_ask_for_metrics_that_there_are() {
    let rules: Value = serde_saphyr::from_str(&read("prometheus/rules.yaml")).unwrap();
    let mut names = BTreeSet::new();
    for rule in rules["groups"][0]["rules"].as_array().unwrap() {
        let name = rule["alert"].as_str().unwrap();
        assert!(names.insert(name) && name.starts_with("InvTui"), "{name}");
        for key in ["summary", "description"] {
            assert!(rule["annotations"][key].is_string(), "{name}");
        }
        assert!(
            ["critical", "warning", "info"].contains(&rule["labels"]["severity"].as_str().unwrap())
        );
    }
    let mut all = Vec::new();
    expressions(&rules, &mut all);
    assert_eq!(all.len(), names.len());
    knows_all(&all);
    let file = deploy("prometheus/rules.yaml");
    if let Some(done) = output("promtool", &["check", "rules", file.to_str().unwrap()]) {
        assert!(done.status.success(), "{}", words(&done));
    }
}

/// A service, and where its metrics are.
pub(super) async fn service(world: &World, words: &[&str]) -> (Child, String) {
    let mut child = world.program(words).arg("--log-format=json").spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    loop {
        let line = lines.next_line().await.unwrap().expect("the program ended");
        let Ok(line) = serde_json::from_str::<Value>(&line) else { panic!("{line}") };
        if line["message"].as_str().is_some_and(|said| said.starts_with("health")) {
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return (child, line["address"].as_str().unwrap().to_owned());
        }
    }
}

/// Waits until the service shows a line that begins so, and so many metrics; all of them are
/// compared.
async fn shows(address: &str, what: &str, least: usize) {
    let names = wait_for(&format!("{what}, {least} metrics"), async || {
        let (.., body) = get(address, "/metrics").await?;
        let names = shown(&body);
        let there = body.lines().any(|line| line.starts_with(what));
        (there && names.len() >= least).then_some(names)
    })
    .await;
    let table = table();
    let unknown: Vec<_> = names.difference(&table).collect();
    assert!(unknown.is_empty(), "not in the table of deploy/README.md: {unknown:?}");
}

/// The names of the metrics of a scrape, as the table has them.
fn shown(body: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for line in body.lines() {
        let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|l| l.split_once(' '))
        else {
            continue;
        };
        let ending = match kind {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        names.insert(format!("{name}{ending}"));
    }
    names
}

#[tokio::test]
async fn what_is_printed_stands_in_the_table() {
    let Some(world) = World::begin("printed").await else { return };
    let ec2 = Scripted::begin().await;
    ec2.hosts("eu-north-1", instances(0..3));
    ec2.list("eu-south-1", vec![Page::Error(403, "UnauthorizedOperation")]);
    let listen = ["--listen", "127.0.0.1:0"];
    let with =
        |words: &[&'static str]| -> Vec<&str> { words.iter().copied().chain(listen).collect() };
    let mut fetch = with(&["fetch", "--interval", "1h", "--region", "eu-north-1,eu-south-1"]);
    fetch.extend(["--endpoint-url", &ec2.url]);
    let (_fetch, address) = service(&world, &fetch).await;
    shows(&address, "inv_tui_fetch_last_complete_timestamp_seconds", 1).await;
    let of_fetch = table().into_iter().filter(|name| name.starts_with("inv_tui_fetch_")).count();
    shows(&address, "inv_tui_fetch_passes_total", of_fetch - 2).await;

    let (_lifecycle, address) = service(&world, &with(&["lifecycle"])).await;
    let region = "inv_tui_lifecycle_region_hosts{region=\"eu-north-1\",state=\"all\"} 3";
    shows(&address, region, 1).await;
    shows(&address, "inv_tui_lifecycle_hosts", 1).await;

    let (_approve, address) = service(&world, &with(&["approve"])).await;
    shows(&address, "inv_tui_approve_leads 1", 1).await;

    let data = world.dir.path().join("data");
    let data = data.to_str().unwrap();
    let words = ["serve", "--data-dir", data, "--metrics", "127.0.0.1:0"];
    let (_serve, address) = service(&world, &[&words[..], &listen].concat()).await;
    shows(&address, "inv_tui_serve_objects{resource=\"namespaces\"}", 1).await;
    world.end().await;
}
