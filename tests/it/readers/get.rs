//! `get` beside kubectl.

use std::path::Path;

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::ChildStdout;
use tokio::time::timeout;

use super::{clean, make};
use crate::support::{PATIENCE, World, needed, run, worlds};

async fn fleet(world: &World) {
    for (name, display, labels, spec) in [
        (
            "aws-1",
            "web-1",
            json!({"env": "prod", "a.b/c": "x"}),
            json!({"role": "web", "cluster": "shop"}),
        ),
        ("aws-2", "web-2", json!({"env": "dev"}), json!({"role": "web", "cluster": "shop"})),
        (
            "dc-3",
            "=cmd()",
            json!({"env": "prod"}),
            json!({"role": "db", "serviceState": "OutOfService"}),
        ),
        ("dc-4", "web-2", json!({}), json!({})),
    ] {
        let meta = json!({"labels": labels,
            "annotations": {"inventory.inv-tui.dev/display-name": display, "note": "a\u{1b}[2J\nyes: {x}"}});
        let status = json!({"phase": "Running", "hardware": {"cpus": 2},
            "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}, {"type": "Hostname", "address": name}],
            "conditions": [{"type": "Ready", "status": "True", "reason": "Fine", "message": "",
                "lastTransitionTime": "2026-11-20T10:00:00Z"}]});
        make(&world.hosts(), name, meta, spec, status).await;
    }
}

#[tokio::test]
async fn it_prints_what_kubectl_prints() {
    let Some(kubectl) = needed("INV_TUI_TEST_KUBECTL") else { return };
    for world in worlds("get").await {
        fleet(&world).await;
        for words in [
            &["-o", "json"][..],
            &["-o", "name"],
            &["-o", "json", "--show-managed-fields"],
            &["aws-2", "-o", "json"],
            &["-o", "yaml"],
            &["dc-3", "-o", "yaml"],
            &["-o", "jsonpath={.items[*].metadata.name}"],
            &[
                "-o",
                "jsonpath={range .items[*]}{.metadata.name}{\"\\t\"}{.spec.role}{\"\\n\"}{end}",
            ],
            &["-o", "jsonpath={.items[?(@.spec.role==\"web\")].metadata.name}"],
            &["-o", "jsonpath={.items[*].metadata.labels.a\\.b/c}"],
            &["-o", "jsonpath={.items[0].status.conditions[?(@.type==\"Ready\")].status}"],
            &["-o", "jsonpath={.items[1:3].metadata.name} and {.items[-1].metadata.name}"],
            &["-o", "jsonpath={.items[0]['metadata.name', 'spec.role']}"],
            &["-o", "jsonpath={.items[0].status.hardware}"],
            &["-o", "jsonpath={..hardware.cpus}"],
            &["dc-3", "-o", "jsonpath={.status.addresses[1].address}"],
            &[
                "-o",
                "custom-columns=NAME:.metadata.name,ROLE:.spec.role,IPS:.status.addresses[*].address",
            ],
            &["-o", "custom-columns=N:.metadata.name,CPUS:.status.hardware.cpus", "--no-headers"],
        ] {
            let ours = run(world.program(&[&["get"], words].concat())).await.with(0);
            assert_eq!(ours.stderr, "", "{words:?}");
            let config = world.kubeconfig().to_owned();
            let all = [
                "--kubeconfig",
                &config,
                "-n",
                &world.namespace,
                "get",
                "hosts.inventory.inv-tui.dev",
            ];
            let all = [&all, words].concat();
            let theirs = clean(Path::new(&kubectl), world.dir.path(), &[], &all).await.with(0);
            match words.iter().find(|word| ["json", "yaml", "name"].contains(word)) {
                Some(&"name") => {
                    let theirs = theirs.stdout.replace("host.inventory.inv-tui.dev/", "");
                    assert_eq!(ours.stdout, theirs);
                }
                Some(&"yaml") => {
                    let [ours, theirs] = [ours, theirs]
                        .map(|said| serde_saphyr::from_str::<Value>(&said.stdout).unwrap());
                    assert_eq!(ours, theirs, "{words:?}");
                }
                _ => assert_eq!(ours.stdout, theirs.stdout, "{words:?}"),
            }
        }
        world.end().await;
    }
}

#[tokio::test]
async fn hosts_are_chosen_sorted_and_told() {
    for world in worlds("choose").await {
        fleet(&world).await;
        let get = async |words: &[&str]| run(world.program(&[&["get"], words].concat())).await;
        let names = async |words: &[&str]| {
            let said = get(&[words, &["-o", "name"]].concat()).await.with(0).stdout;
            said.lines().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names(&["--filter", "role:web env=prod"]).await, "aws-1");
        assert_eq!(names(&["--in-service"]).await, "aws-1 aws-2 dc-4");
        assert_eq!(names(&["--sort", "-name"]).await, "dc-4 dc-3 aws-2 aws-1");
        assert_eq!(names(&["--sort", "label:env", "--filter", "env=*"]).await, "aws-2 aws-1 dc-3");
        assert_eq!(names(&["dc-3", "web-1", "dc-3"]).await, "dc-3 aws-1");
        assert_eq!(names(&["web-2"]).await, "aws-2 dc-4", "all that are called so");
        assert_eq!(names(&["web-2", "--filter", "role:web"]).await, "aws-2");

        let table = get(&[
            "--filter",
            "name:dc-3",
            "--columns",
            "name,display,label:env,annotation:note,address,team",
        ])
        .await;
        assert_eq!(
            table.with(0).stdout,
            "NAME   DISPLAY   env    note             ADDRESS    TEAM\n\
             dc-3   =cmd()    prod   a\u{FFFD}[2J\u{FFFD}yes: {x}   10.0.0.1   -\n"
        );
        let csv =
            get(&["--filter", "role:db", "-o", "csv", "--columns", "name,display,annotation:note"])
                .await;
        assert_eq!(
            csv.with(0).stdout,
            "NAME,DISPLAY,note\r\ndc-3,'=cmd(),\"a\u{1b}[2J\nyes: {x}\"\r\n"
        );
        let wide = get(&["-o", "wide"]).await.with(0).stdout;
        assert!(wide.lines().next().unwrap().contains("PROVIDER-ID") && wide.lines().count() == 5);

        get(&["nobody"]).await.with(1).says(&["there is no host \"nobody\""]);
        let some = get(&["nobody", "aws-1", "-o", "name"]).await.with(1);
        assert_eq!(some.stdout, "aws-1\n");
        get(&["--filter", "role:nothing"]).await.with(0).says(&["no host", "is chosen"]);
        get(&["--filter", "role:nothing", "--fail-empty"]).await.with(4);
        let empty = get(&["--filter", "role:nothing", "-o", "json"]).await.with(0).stdout;
        assert_eq!(serde_json::from_str::<Value>(&empty).unwrap()["items"], json!([]));
        for words in [
            &["--filter", "("][..],
            &["-o", "xml"],
            &["-o", "jsonpath={.a"],
            &["--columns", "colour"],
            &["--sort", "colour"],
            &["-o", "json", "--columns", "name"],
        ] {
            get(words).await.with(2);
        }
        world.end().await;
    }
}

/// The next line, as a whole.
async fn next(lines: &mut Lines<BufReader<ChildStdout>>) -> String {
    let line = timeout(PATIENCE, lines.next_line()).await.expect("there is a line").unwrap();
    line.expect("it goes on")
}

#[tokio::test]
async fn hosts_come_and_go_by_time_alone() {
    let Some(world) = World::begin("turns").await else { return };
    fleet(&world).await;
    let launched = |ago: i64| {
        let now = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second()).unwrap();
        let time = now - jiff::SignedDuration::from_secs(ago);
        Patch::Merge(json!({"status": {"launchTime": time.to_string()}}))
    };
    let (api, params) = (world.hosts(), PatchParams::default());
    for name in ["aws-1", "aws-2", "dc-3", "dc-4"] {
        api.patch_status(name, &params, &launched(86_400)).await.unwrap();
    }
    let watch = |filter: &str| {
        let words = ["get", "--watch", "-o", "json", "--filter", filter];
        let mut child = world.program(&words).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        (child, lines)
    };
    let (mut young, mut of_the_young) = watch("age<1h");
    let (mut old, mut of_the_old) = watch("age>1h");
    let event = async |lines: &mut Lines<BufReader<ChildStdout>>| {
        let line: Value = serde_json::from_str(&next(lines).await).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&line["type"]), text(&line["object"]["metadata"]["name"]))
    };
    let said = |word: &str| (word.to_owned(), "aws-1".to_owned());
    for _ in 0..4 {
        assert_eq!(event(&mut of_the_old).await.0, "ADDED");
    }
    api.patch_status("aws-1", &params, &launched(0)).await.unwrap();
    assert_eq!(event(&mut of_the_young).await, said("ADDED"));
    assert_eq!(event(&mut of_the_old).await, said("DELETED"));
    // In a while it is an hour old, and nobody changes it then.
    api.patch_status("aws-1", &params, &launched(3_600 - 10)).await.unwrap();
    let version = world.host("aws-1").await.metadata.resource_version;
    // Who hears of it at once hears of a young one first.
    let mut turned = event(&mut of_the_young).await;
    if turned == said("MODIFIED") {
        turned = event(&mut of_the_young).await;
    }
    assert_eq!(turned, said("DELETED"));
    assert_eq!(event(&mut of_the_old).await, said("ADDED"));
    assert_eq!(world.host("aws-1").await.metadata.resource_version, version);
    young.kill().await.unwrap();
    old.kill().await.unwrap();
    world.end().await;
}

#[tokio::test]
async fn changes_are_told_as_they_come() {
    for world in worlds("follow").await {
        fleet(&world).await;
        let words = ["get", "--watch", "-o", "json", "--filter", "env=prod"];
        let mut child = world.program(&words).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut event = async || {
            let line: Value = serde_json::from_str(&next(&mut lines).await).unwrap();
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            (text(&line["type"]), text(&line["object"]["metadata"]["name"]))
        };
        let said = |word: &str, name: &str| (word.to_owned(), name.to_owned());
        let mut first = [event().await, event().await];
        first.sort();
        assert_eq!(first, [said("ADDED", "aws-1"), said("ADDED", "dc-3")]);
        world.edit("aws-2", "test", json!({"metadata": {"labels": {"env": "prod"}}})).await;
        assert_eq!(event().await, said("ADDED", "aws-2"), "it has come into the filter");
        world.edit("aws-1", "test", json!({"spec": {"role": "db"}})).await;
        assert_eq!(event().await, said("MODIFIED", "aws-1"));
        world.edit("dc-3", "test", json!({"metadata": {"labels": {"env": "dev"}}})).await;
        assert_eq!(event().await, said("DELETED", "dc-3"), "it has left the filter");
        world.hosts().delete("aws-2", &kube::api::DeleteParams::default()).await.unwrap();
        assert_eq!(event().await, said("DELETED", "aws-2"));

        let mut table =
            world.program(&["get", "--watch", "--columns", "name,role"]).spawn().unwrap();
        let mut rows = BufReader::new(table.stdout.take().unwrap()).lines();
        assert_eq!(next(&mut rows).await, "EVENT      NAME    ROLE");
        assert_eq!(next(&mut rows).await, "ADDED      aws-1   db");
        for _ in 0..2 {
            next(&mut rows).await;
        }
        world.edit("aws-1", "test", json!({"spec": {"role": "web"}})).await;
        assert_eq!(next(&mut rows).await, "MODIFIED   aws-1   web");
        // Asked to stop, it ends well.
        let pid = table.id().unwrap().to_string();
        let sent =
            tokio::process::Command::new("kill").args(["-INT", &pid]).status().await.unwrap();
        assert!(sent.success());
        let status = timeout(PATIENCE, table.wait()).await.expect("it ends").unwrap();
        assert_eq!(status.code(), Some(0));
        child.kill().await.unwrap();
        world.end().await;
    }
}
