//! What people do with requests from a shell, and what they may see.

use inv_tui::model::csr::Request;
use inv_tui::store::certificates::{CsrEvent, Outcome, Why, about, approve, deny, follow, list};
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::forge::{Forge, pem};
use super::{ask, decision, object};
use crate::support::{World, connection, run};

const CLIENT: &[&str] = &["client auth", "digital signature"];

/// An honest request of a host; its name.
async fn honest(world: &World, host: &str) -> String {
    let pem = pem(&Forge::of(&world.namespace, host).der());
    ask(world, &object(&format!("{}-{host}", world.namespace), pem, CLIENT)).await.unwrap()
}

#[tokio::test]
async fn requests_are_listed_shown_and_decided_from_a_shell() {
    let Some(world) = World::begin("csr").await else { return };
    world.make_host("web-1", "web-1", "eu", "web").await;
    let (good, stranger) = (honest(&world, "web-1").await, honest(&world, "web-9").await);
    let approver = world.approver().await;
    let csr = async |words: &[&str]| {
        let words = [&["csr"], words].concat();
        run(world.program_as(&approver, &words)).await
    };

    let listed = csr(&["list"]).await.with(0).stdout;
    let line = |name: &str| listed.lines().find(|line| line.starts_with(name)).unwrap();
    assert!(line(&good).ends_with("matches"), "{listed}");
    assert!(line(&good).contains(&format!("{}/web-1", world.namespace)), "{listed}");
    assert!(line(&stranger).contains("HostUnknown"), "{listed}");
    let listed: Value =
        serde_json::from_str(&csr(&["list", "-o", "json"]).await.with(0).stdout).unwrap();
    let found = listed.as_array().unwrap().iter().find(|r| r["name"] == stranger.as_str()).unwrap();
    assert_eq!(found["mismatches"][0]["reason"], "HostUnknown");
    assert_eq!((&found["key"], &found["state"]), (&json!("ECDSA P-256"), &json!("Pending")));
    let shown = csr(&["show", &stranger]).await.with(0).stdout;
    assert!(shown.contains("HostUnknown") && shown.contains("O=inv:hosts"), "{shown}");
    csr(&["show", "no-such-request"]).await.with(1);

    let plan = csr(&["approve", &good, &stranger, "--dry-run"]).await.with(1).stdout;
    assert!(plan.contains("would approve it") && plan.contains("refused"), "{plan}");
    assert_eq!(decision(&world.request(&good).await), None);

    // One fits, the other would have to be named once more.
    let done = csr(&["approve", &good, &stranger]).await.with(1).stdout;
    assert!(done.contains(&format!("{good}: approved")), "{done}");
    assert!(done.contains(&format!("--override {stranger}")), "{done}");
    assert_eq!(decision(&world.request(&stranger).await), None);
    let (_, reason, message) = decision(&world.request(&good).await).unwrap();
    assert_eq!(
        (&*reason, &*message),
        ("ApprovedByPerson", "by the-approver: looked at and approved")
    );
    assert!(world.told("web-1", "ApprovedByPerson").await.contains(&good));

    // What is decided stays decided.
    let again = csr(&["approve", &good]).await.with(1).stdout;
    assert!(again.contains("conflict: it is"), "{again}");
    let again = csr(&["deny", &good, "--reason", "changed my mind"]).await.with(1).stdout;
    assert!(again.contains("conflict: it is"), "{again}");

    csr(&["deny", &stranger, "--reason", "no"]).await.with(2).says(&["3 to 256 characters"]);
    csr(&["deny", &stranger]).await.with(2);
    csr(&["approve", &good, "--override", &stranger]).await.with(2);
    csr(&["deny", &stranger, "--reason", "nobody knows it"]).await.with(0);
    let (type_, _, message) = decision(&world.request(&stranger).await).unwrap();
    assert_eq!((&*type_, &*message), ("Denied", "by the-approver: nobody knows it"));

    let journal = std::fs::read_to_string(world.journal_file()).unwrap();
    let lines: Vec<Value> = journal.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let parts = |verb: &str, name: &str| -> Vec<String> {
        let of = lines.iter().filter(|l| l["verb"] == verb && l["targets"][0]["name"] == name);
        of.map(|l| l["part"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(parts("csr-approve", &good), ["begin", "results"]);
    assert_eq!(parts("csr-deny", &stranger), ["begin", "results"]);
    for name in [good, stranger] {
        world.requests().delete(&name, &DeleteParams::default()).await.unwrap();
    }
    world.end().await;
}

#[tokio::test]
async fn a_request_is_decided_once_and_as_it_was_seen() {
    let Some(world) = World::begin("once").await else { return };
    let name = honest(&world, "web-1").await;
    let connection = connection(&world.approver().await).await;
    let seen = async || about(&Request::decode(&world.request(&name).await)).clone();
    let why = Why { reason: "Test", by: "me", text: "because" };

    let old = seen().await;
    let patch = json!({"metadata": {"labels": {"touched": "yes"}}});
    let params = PatchParams::default();
    world.requests().patch(&name, &params, &Patch::Merge(&patch)).await.unwrap();
    assert!(matches!(approve(&connection, &old, why).await, Outcome::Conflict(_)));

    // Of many at once, one decides.
    let now = seen().await;
    let tries = (0..8).map(|turn| {
        let (connection, now) = (connection.clone(), now.clone());
        tokio::spawn(async move {
            if turn % 2 == 0 {
                approve(&connection, &now, why).await
            } else {
                deny(&connection, &now, why).await
            }
        })
    });
    let mut done = 0;
    for turn in tries.collect::<Vec<_>>() {
        match turn.await.unwrap() {
            Outcome::Done(_) => done += 1,
            Outcome::Conflict(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(done, 1);
    let decided = world.request(&name).await;
    let conditions = decided.status.clone().unwrap().conditions.unwrap();
    let count = conditions.iter().filter(|c| ["Approved", "Denied"].contains(&&*c.type_)).count();
    assert_eq!(count, 1, "{conditions:?}");
    let latest = about(&Request::decode(&decided)).clone();
    assert!(matches!(deny(&connection, &latest, why).await, Outcome::Conflict(_)));
    world.requests().delete(&name, &DeleteParams::default()).await.unwrap();
    assert!(matches!(deny(&connection, &latest, why).await, Outcome::Gone));
    world.end().await;
}

#[tokio::test]
async fn who_may_not_hears_it_in_words() {
    let Some(world) = World::begin("may").await else { return };
    let name = honest(&world, "web-1").await;
    let viewer = world.as_user("viewer", &["inv:viewers"]).await;
    let refused =
        run(world.program_as(&viewer, &["csr", "deny", &name, "--reason", "may I?"])).await.with(1);
    let wanted = ["refused it (403)", "certificatesigningrequests/approval"];
    assert!(wanted.iter().all(|word| refused.stdout.contains(word)), "{}", refused.stdout);
    assert_eq!(decision(&world.request(&name).await), None);

    // Who may not look is told so once, and nothing else comes.
    let nobody = connection(&world.as_user("nobody", &[]).await).await;
    assert!(list(&nobody).await.is_err());
    let (sender, mut events) = mpsc::channel(4);
    let following = tokio::spawn(follow(nobody, sender));
    loop {
        match events.recv().await.unwrap() {
            CsrEvent::Begin => {}
            CsrEvent::Refused(why) => break assert!(why.contains("403"), "{why}"),
            other => panic!("{other:?}"),
        }
    }
    drop(events);
    following.await.unwrap();

    let (sender, mut events) = mpsc::channel(4);
    let following = tokio::spawn(follow(connection(&viewer).await, sender));
    let mut found = false;
    loop {
        match events.recv().await.unwrap() {
            CsrEvent::Apply(request) => found |= about(&request).name == name,
            CsrEvent::Synced => break,
            CsrEvent::Begin | CsrEvent::Delete(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(found);
    let uid = world.request(&name).await.uid().unwrap();
    world.requests().delete(&name, &DeleteParams::default()).await.unwrap();
    loop {
        if let CsrEvent::Delete(gone) = events.recv().await.unwrap()
            && gone == uid
        {
            break;
        }
    }
    drop(events);
    following.await.unwrap();
    world.end().await;
}
