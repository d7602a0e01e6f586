//! `maintain` and `run` as programs.

use std::process::Stdio;

use inv_tui::model::host::AnsibleStatus;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::support::{Ended, World, ended, run, wait_for};

async fn say(world: &World, words: &[&str]) -> Ended {
    run(world.program(words)).await
}

async fn fleet(name: &str, hosts: usize, max_unavailable: Value) -> Option<World> {
    let world = World::begin(name).await?;
    world.make_limited_cluster("shop", max_unavailable).await;
    world.make_hosts(hosts, "shop").await;
    Some(world)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_everything_and_changes_nothing() {
    let Some(world) = fleet("shell-dry", 3, json!(1)).await else { return };
    let before = world.versions().await;
    let words = ["maintain", "on", "web-0", "h001", "--reason", "disk swap", "--for", "2h"];
    let ended = say(&world, &[&words[..], &["--dry-run"]].concat()).await.with(1);
    for part in [
        "h000 (web-0)",
        "would be done",
        "Drain \"disk swap\" for 2h until",
        "ok    host is there to stay",
        "would be refused: the budget of cluster shop is used up: 1 of 1 away",
        "budget of cluster shop: 0 of 1 away, 3 hosts; 1 of 2 would get a slot",
        "1 of 2 hosts would be changed; nothing was done",
    ] {
        assert!(ended.stdout.contains(part), "no {part:?} in:\n{}", ended.stdout);
    }
    let ended = say(&world, &[&words[..], &["--dry-run", "-o", "json"]].concat()).await.with(1);
    let plan: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(
        plan["hosts"][1]["refused"].as_str().unwrap(),
        "the budget of cluster shop is used up: 1 of 1 away"
    );
    assert_eq!(plan["budgets"][0]["granted"], 1);
    assert_eq!(world.versions().await, before);
    assert!(world.disrupted("shop").await.is_empty());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn maintenance_begins_and_ends_with_results_and_exit_codes() {
    let Some(world) = fleet("shell-on", 13, json!(3)).await else { return };
    let on = ["maintain", "on", "h000", "--reason", "disk swap", "--ticket", "OPS-1"];
    let observe = [&on[..], &["--mode", "observe", "--anyway"]].concat();
    let ended = say(&world, &observe).await.with(0);
    let journal =
        inv_tui::journal::Journal::at(world.dir.path().join(".local/state/inv-tui/journal.jsonl"));
    let first = &journal.newest(1).unwrap().entries[0];
    assert!(!first.overrides, "nothing was against it, so nothing was passed by");
    assert!(ended.stdout.contains("h000          done"), "{}", ended.stdout);
    let host = world.host("h000").await;
    let (holder, hold) = host.spec.maintenance.first_key_value().unwrap();
    assert_eq!((hold.reason.as_str(), hold.ticket.as_deref()), ("disk swap", Some("OPS-1")));
    assert_eq!(format!("{:?}", hold.mode), "Observe");
    assert_eq!(hold.until.0.as_second() - hold.since.0.as_second(), 4 * 3_600);
    assert_eq!(world.disrupted("shop").await, ["h000"]);

    // More than there are slots: those are done, the others say why, and the exit code tells.
    let names = ["h001", "h002", "h003"];
    let words = [&["maintain", "on", "--reason", "disk swap", "-o", "json"], &names[..]].concat();
    let ended = say(&world, &words).await.with(1);
    let told: Value = serde_json::from_str(&ended.stdout).unwrap();
    let results: Vec<&str> =
        told["hosts"].as_array().unwrap().iter().map(|h| h["result"].as_str().unwrap()).collect();
    assert_eq!(results.iter().filter(|r| **r == "done").count(), 2, "{told}");
    assert_eq!(results.iter().filter(|r| **r == "denied").count(), 1, "{told}");

    // To pass by the budget is confirmed by name.
    let over = ["maintain", "on", "h009", "--reason", "disk swap", "--anyway"];
    say(&world, &over).await.with(2).says(&["\"h009\" is to be changed", "--confirm h009"]);
    say(&world, &[&over[..], &["--confirm", "h009"]].concat()).await.with(0);
    assert_eq!(world.events_because("OverBudget").await.len(), 1);

    // More than ten want their number typed, and nothing is tried before.
    let all = ["maintain", "on", "--filter", "cluster:shop", "--reason", "disk swap"];
    let before = world.versions().await;
    say(&world, &all).await.with(2).says(&["13 hosts are to be changed", "--confirm 13"]);
    say(&world, &[&all[..], &["--confirm", "12"]].concat()).await.with(2).says(&["says \"12\""]);
    assert_eq!(world.versions().await, before);
    let past = [&all[..], &["--confirm", "13", "--anyway", "-o", "name"]].concat();
    let ended = say(&world, &past).await.with(0);
    assert_eq!(ended.stdout.lines().count(), 13);
    assert!(!world.events_because("OverBudget").await.is_empty());

    let off = ["maintain", "off", "--filter", "cluster:shop", "--confirm", "13"];
    say(&world, &off).await.with(0);
    assert!(world.held_by(holder).await.is_empty());
    let ended = say(&world, &["maintain", "off", "h000"]).await.with(0);
    assert!(ended.stdout.contains("nothing-to-do"), "{}", ended.stdout);

    // It is all in the journal of whoever runs the program.
    let verbs: Vec<String> =
        journal.newest(1_000).unwrap().orders().into_iter().map(|o| o.entry.verb).collect();
    assert_eq!(
        verbs,
        [&["maintenance-off"][..], &["maintenance-on"; 4]].concat(),
        "an order that was refused before it began is none"
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_may_come_from_standard_input() {
    let Some(world) = fleet("shell-stdin", 3, json!(3)).await else { return };
    let mut command =
        world.program(&["maintain", "on", "-", "--reason", "disk swap", "-o", "name"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"h002\n\n web-0 \nh002\n").await.unwrap();
    drop(stdin);
    let told = ended(child).await.with(0);
    let mut names: Vec<&str> = told.stdout.lines().collect();
    names.sort_unstable();
    assert_eq!(names, ["h000", "h002"]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn anothers_hold_needs_his_name_twice() {
    let Some(world) = fleet("shell-other", 1, json!(1)).await else { return };
    let now = jiff::Timestamp::now();
    let hold = serde_json::to_value(inv_tui::model::change::hold("by bob", now, 600)).unwrap();
    world.edit("h000", "kubectl", json!({"spec": {"maintenance": {"bob": hold}}})).await;
    let ended = say(&world, &["maintain", "off", "h000"]).await.with(0);
    assert!(ended.stdout.contains("held by bob"), "{}", ended.stdout);
    let off = ["maintain", "off", "h000", "--holder", "bob"];
    say(&world, &off).await.with(2).says(&["--override"]);
    say(&world, &[&off[..], &["--override", "eve"]].concat()).await.with(2).says(&["not yours"]);
    assert_eq!(world.held_by("bob").await, ["h000"]);
    say(&world, &[&off[..], &["--override", "bob"]].concat()).await.with(0);
    assert!(world.held_by("bob").await.is_empty());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_use_says_what_is_wrong_and_tries_nothing() {
    let Some(world) = fleet("shell-wrong", 2, json!(1)).await else { return };
    world.make_host("h777", "web-0", "eu-west-1", "shop").await;
    let before = world.versions().await;
    let on =
        |words: &[&'static str]| [&["maintain", "on", "--reason", "disk swap"], words].concat();
    for (words, says) in [
        (on(&["web-0"]), "2 hosts are called \"web-0\": h000, h777"),
        (on(&["web"]), "similar: h000"),
        (on(&["nobody"]), "there is no host \"nobody\""),
        (on(&[]), "no host is named"),
        (on(&["--filter", "env=("]), "is no filter"),
        (on(&["--filter", "name:nobody"]), "chooses no host"),
        (on(&["h000", "--for", "31d"]), "at most 30d"),
        (vec!["maintain", "on", "h000", "--reason", "x"], "3 to 256"),
        (vec!["run", "h000"], "no playbook is named"),
        (vec!["run", "h000", "--playbook", "a.yml", "-e", "no"], "KEY=VALUE"),
    ] {
        say(&world, &words).await.with(2).says(&[says]);
    }
    assert_eq!(world.versions().await, before);
    world.end().await;
}

/// Answers a request as whoever runs it does.
async fn answer(world: &World, name: &str, state: &str, more: Value) {
    let host = wait_for("the request", async || {
        let host = world.host(name).await;
        host.spec.ansible.is_some().then_some(host)
    })
    .await;
    let mut run = json!({"requestID": host.spec.ansible.unwrap().request_id, "state": state});
    json_patch::merge(&mut run, &more);
    let run: AnsibleStatus = serde_json::from_value(run).unwrap();
    let patch = Patch::Merge(json!({"status": {"ansible": run}}));
    world.hosts().patch_status(name, &PatchParams::default(), &patch).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_asked_for_followed_and_its_end_is_told() {
    let Some(world) = fleet("shell-run", 2, json!(1)).await else { return };
    let offer = json!({"spec": {"ansible": {"playbook": "site.yml", "playbooks": [
        {"path": "deploy.yml", "tags": ["app"]}, {"path": "audit.yml", "checkOnly": true}]}}});
    world.clusters().patch("shop", &PatchParams::default(), &Patch::Merge(offer)).await.unwrap();
    for (words, says) in [
        (
            &["run", "h000", "--playbook", "other.yml"][..],
            "it offers deploy.yml, audit.yml, site.yml",
        ),
        (&["run", "h000", "--playbook", "audit.yml"], "check mode only"),
        (&["run", "h000", "h001"], "2 hosts are to be changed"),
    ] {
        say(&world, words).await.with(2).says(&[says]);
    }
    let words = [
        "run",
        "h000",
        "--playbook",
        "deploy.yml",
        "--tags",
        "app",
        "-e",
        "token=s3cret-value",
        "--timeout",
        "10m",
        "--reason",
        "new release",
        "--wait",
    ];
    let (told, ()) = tokio::join!(say(&world, &words), async {
        answer(&world, "h000", "Running", json!({"task": "unpack"})).await;
        let end = json!({"rc": 0, "ok": 5, "changed": 2, "tail": "PLAY RECAP\nall fine"});
        answer(&world, "h000", "Succeeded", end).await;
    });
    let told = told.with(0);
    assert!(told.stdout.contains("Succeeded     ok=5 changed=2 failed=0"), "{}", told.stdout);
    assert!(told.stdout.contains("  | all fine"), "{}", told.stdout);
    let request = world.host("h000").await.spec.ansible.unwrap();
    assert!(request.request_id.starts_with("run-"));
    assert_eq!(
        (request.timeout_seconds, request.tags.as_slice()),
        (Some(600), &["app".to_owned()][..])
    );
    assert_eq!(request.extra_vars["token"], "s3cret-value");
    assert!(request.requested_by.is_some());
    assert_eq!(world.events_because("RunRequested").await.len(), 1);
    let journal = world.dir.path().join(".local/state/inv-tui/journal.jsonl");
    let text = std::fs::read_to_string(journal).unwrap();
    assert!(text.contains("deploy.yml") && !text.contains("s3cret-value"), "{text}");

    let (told, ()) = tokio::join!(say(&world, &["run", "h001", "--wait", "-o", "json"]), async {
        let end = json!({"rc": 2, "failed": 1, "tail": "no such package"});
        answer(&world, "h001", "Failed", end).await;
    });
    assert!(told.with(1).stdout.contains("no such package"));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_taken_back_while_it_waits_and_refused_while_one_goes_on() {
    let Some(world) = fleet("shell-cancel", 1, json!(1)).await else { return };
    let ask = ["run", "h000", "--playbook", "site.yml"];
    say(&world, &ask).await.with(0);
    let ended = say(&world, &ask).await.with(1);
    assert!(ended.stdout.contains("a run is queued already"), "{}", ended.stdout);
    say(&world, &["run", "cancel", "h000"]).await.with(0);
    assert!(world.host("h000").await.spec.ansible.unwrap().cancel);
    let ended = say(&world, &["run", "cancel", "h000"]).await.with(0);
    assert!(ended.stdout.contains("no run waits"), "{}", ended.stdout);
    say(&world, &ask).await.with(0);
    answer(&world, "h000", "Running", json!({})).await;
    let ended = say(&world, &["run", "cancel", "h000"]).await.with(1);
    assert!(ended.stdout.contains("it has begun"), "{}", ended.stdout);
    assert_eq!(world.events_because("RunCanceled").await.len(), 1);
    world.end().await;
}
