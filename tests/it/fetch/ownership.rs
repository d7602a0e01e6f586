//! Nobody's fields are lost: people, other programs, and a second fetcher at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::StreamExt;
use inv_tui::model::labels;
use kube::ResourceExt;
use kube::runtime::watcher;
use serde_json::{Value, json};

use super::{FETCHER, owned};
use crate::support::ec2::{Moto, name};
use crate::support::scripted::{Scripted, instance};
use crate::support::{PATIENCE, World};

#[tokio::test]
async fn what_people_set_stays_and_facts_come_back() {
    let Some(moto) = Moto::begin("ap-southeast-3").await else { return };
    let Some(world) = World::begin("people").await else { return };
    let ids =
        moto.start(1, &[("Cluster", "shop"), ("Role", "web"), ("Tier", "1"), ("Note", "a")]).await;
    let host = name(&ids[0]);
    let words = ["--region", moto.region, "--label-tag", "Tier"];
    world.fetch(&moto.url, &words).await.with(0);
    let zone = world.json(&host).await["metadata"]["labels"][labels::ZONE].clone();
    world
        .edit(
            &host,
            "kubectl-edit",
            json!({
                "metadata": {
                    "labels": {"Tier": "mine", "own": "yes", labels::ZONE: "nowhere"},
                    "annotations": {"own/note": "kept"},
                },
                "spec": {"cluster": "other", "serviceState": "OutOfService"},
            }),
        )
        .await;
    moto.tag(&ids, "Cluster", "third").await;
    moto.tag(&ids, "Tier", "2").await;
    moto.tag(&ids, "Note", "b").await;
    world.fetch(&moto.url, &words).await.with(0).says(&["changed=1"]);

    let live = world.json(&host).await;
    let labels_ = &live["metadata"]["labels"];
    assert_eq!((&labels_["Tier"], &labels_["own"]), (&"mine".into(), &"yes".into()));
    assert_eq!(live["metadata"]["annotations"]["own/note"], "kept");
    assert_eq!(live["spec"]["cluster"], "other");
    assert_eq!(live["spec"]["serviceState"], "OutOfService");
    assert!(
        labels_[labels::CLUSTER].is_null(),
        "a mirror never says something else than its field"
    );
    assert_eq!(live["spec"]["role"], "web");
    assert_eq!(labels_[labels::ZONE], zone, "a fact is forced back");
    let tags: Value =
        serde_json::from_str(live["metadata"]["annotations"][labels::TAGS].as_str().unwrap())
            .unwrap();
    assert_eq!(
        (&tags["Note"], &tags["Cluster"]),
        (&"b".into(), &"third".into()),
        "what the provider says"
    );

    // for good: no further write, though tag and field differ
    let before = world.versions().await;
    world.fetch(&moto.url, &words).await.with(0).says(&["writes=0"]);
    assert_eq!(world.versions().await, before);

    // who takes the field away gives it back
    world.edit(&host, "kubectl-edit", json!({"spec": {"cluster": null}})).await;
    world.fetch(&moto.url, &words).await.with(0);
    let live = world.json(&host).await;
    assert_eq!(live["spec"]["cluster"], "third");
    assert_eq!(live["metadata"]["labels"][labels::CLUSTER], "third");
    world.end().await;
}

#[tokio::test]
async fn a_host_that_was_planned_by_hand_keeps_what_its_maker_said() {
    let Some(world) = World::begin("planned").await else { return };
    let ec2 = Scripted::begin().await;
    let mut planned = instance(1);
    planned.tags.insert("Cluster".into(), "by-tag".into());
    planned.tags.insert("Role".into(), "web".into());
    ec2.hosts("eu-north-1", vec![planned]);
    let host = crate::support::scripted::name(1);
    let object = serde_json::from_value(json!({
        "apiVersion": "inventory.inv-tui.dev/v1alpha1", "kind": "Host",
        "metadata": {"name": host, "labels": {labels::REGION: "wrong"}},
        "spec": {"cluster": "by-hand"},
    }))
    .unwrap();
    world.hosts().create(&kube::api::PostParams::default(), &object).await.unwrap();
    let words = ["--region", "eu-north-1"];
    world.fetch(&ec2.url, &words).await.with(0).says(&["changed=1"]);
    let live = world.json(&host).await;
    assert_eq!(
        (&live["spec"]["cluster"], &live["spec"]["role"]),
        (&"by-hand".into(), &"web".into())
    );
    assert_eq!(live["metadata"]["labels"][labels::REGION], "eu-north-1");
    assert_eq!(live["status"]["phase"], "Running");
    let before = world.versions().await;
    world.fetch(&ec2.url, &words).await.with(0).says(&["writes=0"]);
    assert_eq!(world.versions().await, before);
    world.end().await;
}

#[tokio::test]
async fn two_sources_of_the_same_machines_do_not_fight() {
    let Some(world) = World::begin("rivals").await else { return };
    let ec2 = Scripted::begin().await;
    ec2.hosts("eu-north-1", vec![instance(1)]);
    world.fetch(&ec2.url, &["--region", "eu-north-1", "--source", "first"]).await.with(0);
    let second = ["--region", "eu-north-1", "--source", "second"];
    world.fetch(&ec2.url, &second).await.with(0).says(&["created=0 changed=1"]);
    let live = world.json(&crate::support::scripted::name(1)).await;
    assert_eq!(live["metadata"]["labels"][labels::SOURCE], "first");
    assert_eq!(live["status"]["sources"].as_object().unwrap().len(), 2);
    let before = world.versions().await;
    for source in ["first", "second"] {
        let words = ["--region", "eu-north-1", "--source", source];
        world.fetch(&ec2.url, &words).await.with(0).says(&["writes=0"]);
    }
    assert_eq!(world.versions().await, before);
    world.end().await;
}

/// Two fetchers at once on the same region, tags that change all the time, and an operator who
/// puts hosts into maintenance and takes them out again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_fetchers_and_an_operator_lose_nothing() {
    let Some(moto) = Moto::begin("ap-southeast-4").await else { return };
    let Some(world) = World::begin("crowd").await else { return };
    let ids = moto.start(12, &[("Role", "r0"), ("Team", "t")]).await;
    let words = ["--region", moto.region, "--label-tag", "Round"];
    world.fetch(&moto.url, &words).await.with(0).says(&["created=12"]);

    let going = Arc::new(AtomicBool::new(true));
    let names: Vec<String> = ids.iter().map(|id| name(id)).collect();
    let api = world.hosts();
    let operator = tokio::spawn({
        let (going, names) = (Arc::clone(&going), names.clone());
        async move {
            let params = kube::api::PatchParams {
                field_manager: Some("inv-tui".into()),
                ..Default::default()
            };
            let mut toggles = 0_usize;
            // Twice through all of them at least, whoever is faster.
            while going.load(Ordering::Relaxed)
                || toggles < 2 * names.len()
                || !toggles.is_multiple_of(names.len())
            {
                let hold = if (toggles / names.len()).is_multiple_of(2) {
                    json!({"reason": "kernel", "since": "2026-01-01T00:00:00Z", "until": "2026-01-02T00:00:00Z"})
                } else {
                    Value::Null
                };
                let patch = json!({"spec": {"maintenance": {"ann": hold}}, "metadata": {"labels": {"round": toggles.to_string()}}});
                let patch = kube::api::Patch::Merge(patch);
                api.patch(&names[toggles % names.len()], &params, &patch).await.unwrap();
                toggles += 1;
            }
            toggles / names.len()
        }
    });
    for round in 1..=5 {
        let (role, mark) = (format!("r{round}"), round.to_string());
        moto.tag(&ids, "Role", &role).await;
        moto.tag(&ids, "Round", &mark).await;
        let (one, two) =
            tokio::join!(world.fetch(&moto.url, &words), world.fetch(&moto.url, &words));
        // Whoever comes second waits for its turn, and says so if that takes too long.
        let mut both = [one, two];
        both.sort_by_key(|ended| ended.code);
        let [first, second] = both;
        first.with(0);
        if second.code != 0 {
            second.with(3).says(&["another fetcher works on source"]);
        }
    }
    going.store(false, Ordering::Relaxed);
    let rounds = tokio::time::timeout(PATIENCE, operator).await.unwrap().unwrap();
    let held = rounds % 2 == 1;
    for host in &names {
        let live = world.json(host).await;
        assert_eq!(live["spec"]["role"], "r5");
        assert_eq!(live["metadata"]["labels"]["Round"], "5");
        assert_eq!(live["metadata"]["labels"][labels::ROLE], "r5");
        assert_eq!(live["spec"]["maintenance"]["ann"].is_object(), held, "{live}");
        let operator = owned(&live, "inv-tui");
        assert_eq!(operator.len(), 1);
        assert!(operator[0]["f:metadata"]["f:labels"]["f:round"].is_object());
        assert_eq!(!operator[0]["f:spec"]["f:maintenance"]["f:ann"].is_null(), held);
        let fetcher = owned(&live, FETCHER);
        assert_eq!(fetcher.len(), 2, "one entry for the object, one for its status");
        for fields in fetcher {
            for foreign in ["maintenance", "serviceState", "ansible", "os", "paused"] {
                assert!(fields["f:spec"][format!("f:{foreign}")].is_null(), "{foreign}");
            }
            assert!(fields["f:metadata"]["f:labels"]["f:round"].is_null());
        }
    }
    world.end().await;
}

/// The tags of all hosts change, and while the fetcher writes them one after another, a person sets
/// the same field of the very host that comes next, so that both requests are on their way at once.
/// Whoever of them is first: the person's value stands in the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_who_races_the_fetcher_wins() {
    const HOSTS: usize = 200;
    let Some(world) = World::begin("race").await else { return };
    let ec2 = Scripted::begin().await;
    let listing = |team: &str| {
        let with_team = |number| {
            let mut host = instance(number);
            host.tags.insert("Team".into(), team.into());
            host
        };
        (0..HOSTS).map(with_team).collect::<Vec<_>>()
    };
    ec2.hosts("eu-north-1", listing("before"));
    let words = ["--region", "eu-north-1", "--writes", "1"];
    world.fetch(&ec2.url, &["--region", "eu-north-1"]).await.with(0);
    ec2.hosts("eu-north-1", listing("after"));

    let api = world.hosts();
    let names: Vec<String> = (0..HOSTS).map(crate::support::scripted::name).collect();
    let (ready, watching) = tokio::sync::oneshot::channel();
    let person = tokio::spawn(async move {
        let params = kube::api::PatchParams {
            field_manager: Some("kubectl-edit".into()),
            ..Default::default()
        };
        let patch = kube::api::Patch::Merge(json!({"spec": {"team": "person"}}));
        let mut events = std::pin::pin!(watcher(api.clone(), watcher::Config::default()));
        let mut ready = Some(ready);
        let mut edited = 0;
        while let Some(event) = events.next().await {
            match event.unwrap() {
                watcher::Event::InitDone => ready.take().unwrap().send(()).unwrap(),
                watcher::Event::Apply(host) if host.spec.team.as_deref() == Some("after") => {
                    let at = names.iter().position(|n| *n == host.name_any()).unwrap();
                    let Some(next) = names.get(at + 1) else { return edited };
                    api.patch(next, &params, &patch).await.unwrap();
                    edited += 1;
                }
                watcher::Event::Apply(host) if host.name_any() == names[HOSTS - 1] => {
                    return edited;
                }
                _ => {}
            }
        }
        edited
    });
    watching.await.unwrap();
    world.fetch(&ec2.url, &words).await.with(0);
    let edited = tokio::time::timeout(PATIENCE, person).await.unwrap().unwrap();
    assert!(edited >= HOSTS / 4, "{edited} hosts were edited");
    let mut teams = std::collections::BTreeMap::<String, usize>::new();
    for host in world.all_hosts().await {
        let team = host.spec.team.clone().unwrap();
        let live = serde_json::to_value(&host).unwrap();
        let editor = owned(&live, "kubectl-edit");
        assert_eq!(!editor.is_empty(), team == "person", "whoever set it, owns it: {live}");
        *teams.entry(team).or_default() += 1;
    }
    assert_eq!(teams["person"], edited, "{teams:?}");
    world.end().await;
}
