//! The explorer's views in a real terminal, on a real API server: a request for a certificate is
//! decoded, checked and decided; a run is followed while it goes on; a source that is suddenly half
//! is not believed, and the explorer says so.

use std::fmt::Write as _;
use std::time::Instant;

use inv_tui::model::csr::BOOTSTRAPPERS;
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestSpec,
};
use kube::Client;
use kube::api::{Api, DeleteParams, ObjectMeta, Patch, PatchParams, PostParams};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use serde_json::{Value, json};

use crate::pty::Pty;
use crate::support::{BINARY, PATIENCE, World, wait_for};

fn explorer(world: &World, env: &[(&str, &str)]) -> Pty {
    let args =
        ["--kubeconfig", world.kubeconfig(), "-n", &world.namespace, "--config", "/dev/null"];
    Pty::start(BINARY, &args, env, (200, 50))
}

/// Files a request for the certificate of a host, as this client; its name.
pub(crate) async fn file(client: &Client, world: &World, host: &str, groups: &[&str]) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    for group in groups {
        params.distinguished_name.push(DnType::OrganizationName, *group);
    }
    let user = format!("inv:host:{}:{host}", world.namespace);
    params.distinguished_name.push(DnType::CommonName, user);
    let key = KeyPair::generate().unwrap();
    let pem = params.serialize_request(&key).unwrap().pem().unwrap();
    let object = CertificateSigningRequest {
        metadata: ObjectMeta {
            name: Some(format!("{}-{host}", world.namespace)),
            ..ObjectMeta::default()
        },
        spec: CertificateSigningRequestSpec {
            request: ByteString(pem.into_bytes()),
            signer_name: "kubernetes.io/kube-apiserver-client".to_owned(),
            expiration_seconds: Some(86_400),
            usages: Some(vec!["digital signature".to_owned(), "client auth".to_owned()]),
            ..CertificateSigningRequestSpec::default()
        },
        status: None,
    };
    let api: Api<CertificateSigningRequest> = Api::all(client.clone());
    let made = api.create(&PostParams::default(), &object).await.unwrap();
    made.metadata.name.unwrap()
}

fn requests(world: &World) -> Api<CertificateSigningRequest> {
    Api::all(world.client.clone())
}

/// Type, reason and message of the condition that decides a request.
async fn decision(world: &World, name: &str) -> Option<(String, String, String)> {
    let status = requests(world).get(name).await.unwrap().status?;
    let condition = status.conditions?.into_iter().next()?;
    Some((condition.type_, condition.reason?, condition.message?))
}

/// Puts the cursor on the request of a host, wherever it stands among those of other tests.
fn find(pty: &mut Pty, world: &World, host: &str, name: &str) {
    let title = |screen: &str| {
        let line = screen.lines().nth(1).unwrap_or_default();
        line.rsplit('│').next().unwrap_or_default().trim().to_owned()
    };
    let row = |screen: &str| {
        let mut rows = screen.lines().skip(2);
        rows.position(|line| line.contains(&world.namespace) && line.contains(&format!(" {host} ")))
    };
    let end = Instant::now() + PATIENCE;
    let mut elsewhere = 0;
    loop {
        let screen = pty.screen();
        if title(&screen) == name {
            return;
        }
        assert!(Instant::now() < end, "never: {name} under the cursor\n{screen}");
        if let Some(row) = row(&screen) {
            // The list begins on the third line; a terminal counts from 1.
            pty.send(&format!("\x1b[<0;5;{0}M\x1b[<0;5;{0}m", row + 3));
        } else {
            // The request that was decided last has taken the cursor down with it, or there are many.
            pty.send(if elsewhere % 8 == 0 { "gg" } else { "\x1b[6~" });
            elsewhere += 1;
        }
        // Help is opened and closed behind that: when we look again no key is on its way, which would
        // take the cursor on. The list may have changed meanwhile.
        pty.send("?");
        pty.shows("Keys · ");
        pty.send("?");
        pty.until("help is closed", |screen| !screen.contains("Keys · "));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_decoded_checked_and_decided() {
    let Some(world) = World::begin("csr-view").await else { return };
    for name in ["web-1", "web-2", "web-3"] {
        world.make_host(name, name, "eu-west-1", "shop").await;
    }
    // On the real control plane the requester is whoever the certificate says; its rights come from
    // system:masters here, so that the test needs no roles.
    let asker = world.client_as("asker", &[BOOTSTRAPPERS, "system:masters"]).await;
    let fits = file(&asker, &world, "web-1", &["inv:hosts"]).await;
    let journal = world.dir.path().join("journal.jsonl");
    let journal = [("INV_TUI_JOURNAL", journal.to_str().unwrap())];
    let mut pty = explorer(&world, &journal);
    pty.shows("pending");
    pty.send("vc");
    find(&mut pty, &world, "web-1", &fits);
    // The verdict comes when the fleet has been read, too.
    let screen = pty.shows("✓ verdict");
    let user = format!("inv:host:{}:web-1", world.namespace);
    assert!(screen.replace(['\n', ' ', '│'], "").contains(&user.replace(' ', "")), "{screen}");
    assert!(screen.contains("ECDSA P-256") && screen.contains("client auth"), "{screen}");
    pty.send("a");
    pty.shows_host_read("cannot be undone");
    assert_eq!(decision(&world, &fits).await, None);
    pty.send("y");
    pty.shows("is approved");
    let (type_, reason, message) = decision(&world, &fits).await.unwrap();
    assert_eq!((type_.as_str(), reason.as_str()), ("Approved", "ApprovedByPerson"));
    assert!(message.starts_with("by admin: "), "{message}");
    let pem = wait_for("the certificate", async || {
        requests(&world).get(&fits).await.unwrap().status?.certificate
    })
    .await;
    assert!(pem.0.starts_with(b"-----BEGIN CERTIFICATE"));
    pty.shows("● Issued");

    // One that comes while the view is open, with a group too many, is denied with a reason.
    let greedy = file(&asker, &world, "web-2", &["inv:hosts", "inv:operators"]).await;
    find(&mut pty, &world, "web-2", &greedy);
    pty.shows("inv:operators");
    pty.send("D\ry");
    pty.shows("a reason of at least 3");
    pty.send("asks for too much\ry");
    pty.shows("is denied");
    let (type_, _, message) = decision(&world, &greedy).await.unwrap();
    assert_eq!((type_.as_str(), message.as_str()), ("Denied", "by admin: asks for too much"));

    // One that no bootstrapper asked for does not fit: the name must be typed.
    let odd = file(&world.client, &world, "web-4", &["inv:hosts"]).await;
    world.make_host("web-4", "web-4", "eu-west-1", "shop").await;
    find(&mut pty, &world, "web-4", &odd);
    pty.shows("requester is");
    pty.send("a");
    pty.shows_host_read("approve the certificate of web-4");
    pty.send("\ry");
    pty.shows("type web-4 to approve it all the same");
    assert_eq!(decision(&world, &odd).await, None);
    pty.send("web-4\ry");
    pty.shows("is approved");
    let (_, reason, message) = decision(&world, &odd).await.unwrap();
    assert_eq!(reason, "ApprovedRegardless");
    assert!(message.contains("requester"), "{message}");

    // From the fleet: the request of the host under the cursor, decided meanwhile by somebody else.
    let late = file(&asker, &world, "web-3", &["inv:hosts"]).await;
    find(&mut pty, &world, "web-3", &late);
    pty.send("vf");
    pty.shows("4 hosts · live");
    pty.send("zRGk");
    pty.send("a");
    pty.shows("approve the certificate of web-3");
    let denied = json!({"status": {"conditions": [
        {"type": "Denied", "status": "True", "reason": "Elsewhere", "message": "by bob: no"}]}});
    let params = PatchParams::default();
    requests(&world).patch_approval(&late, &params, &Patch::Merge(denied)).await.unwrap();
    pty.shows("is Denied already");

    // What was done stands in the journal.
    pty.send("\x1bJ");
    pty.shows("csr-deny");
    let screen = pty.shows("csr-approve");
    assert!(screen.contains("done") && screen.contains(&world.namespace), "{screen}");
    pty.send(":q\r");
    assert_eq!(pty.ends(), 0);
    for name in [&fits, &greedy, &odd, &late] {
        requests(&world).delete(name, &DeleteParams::default()).await.unwrap();
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn held_hosts_and_runs_are_followed() {
    let Some(world) = World::begin("run-view").await else { return };
    for name in ["web-1", "web-2", "web-3"] {
        world.make_host(name, name, "eu-west-1", "shop").await;
    }
    let status = async |name: &str, run: Value| {
        let patch = Patch::Merge(json!({ "status": { "ansible": run } }));
        world.hosts().patch_status(name, &PatchParams::default(), &patch).await.unwrap();
    };
    let mut pty = explorer(&world, &[]);
    pty.shows("3 hosts · live");
    pty.send("vr");
    pty.shows("no host has an Ansible run");
    let ask = json!({"spec": {"ansible": {"requestID": "r-1", "playbook": "site.yml", "requestedBy": "ann"}}});
    world.edit("web-2", "test", ask).await;
    pty.shows("… Queued");
    let now = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second()).unwrap();
    let at = |seconds: i64| (now + jiff::SignedDuration::from_secs(seconds)).to_string();
    let (started, ended) = (at(-7_200), at(-7_110));
    status(
        "web-2",
        json!({"requestID": "r-1", "state": "Running", "executor": "agent",
        "startedAt": started, "ok": 3, "changed": 1, "failed": 0, "task": "install nginx",
        "tail": "TASK [install nginx]"}),
    )
    .await;
    pty.shows("▸ Running");
    pty.shows("End of its log");
    pty.shows("3/1/0");
    // Only the log moves on, which no row has.
    status("web-2", json!({"tail": "TASK [install nginx]\nok: [web-2]"})).await;
    pty.shows("ok: [web-2]");
    status(
        "web-2",
        json!({"state": "Failed", "finishedAt": ended, "rc": 2,
        "failed": 1, "message": "1 task failed"}),
    )
    .await;
    pty.shows("✖ Failed");
    pty.shows("1m30s");
    pty.shows("return code");

    pty.send("vm");
    pty.shows("no host is in maintenance");
    let hold =
        |reason: &str, until: &str| json!({"reason": reason, "since": started, "until": until});
    let holds = json!({"spec": {"maintenance": {"ann": hold("disk swap", &at(7_200))}}});
    world.edit("web-3", "test", holds).await;
    pty.shows("disk swap");
    let over = json!({"spec": {"maintenance": {"bob": hold("forgotten", &at(-3_600))}}});
    world.edit("web-1", "test", over).await;
    let screen = pty.shows("○ ran out");
    let place = |text: &str| screen.find(text).unwrap_or(usize::MAX);
    assert!(place("forgotten") < place("disk swap"), "what ran out stands first\n{screen}");
    pty.send("G\r");
    pty.shows("held by");
    let screen = pty.shows("Labels").replace('\n', " ");
    assert!(screen.contains("web-3"), "{screen}");
    pty.send("-");
    pty.shows("Maintenance 2");
    pty.send(":q\r");
    assert_eq!(pty.ends(), 0);
    world.end().await;
}

/// A file with the hosts of a source.
fn listing(hosts: std::ops::RangeInclusive<usize>) -> String {
    let mut text = String::from("hosts:\n");
    for n in hosts {
        let _ =
            writeln!(text, "  - {{id: lab-{n}, address: 10.3.0.{n}, region: eu, cluster: lab}}");
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_suddenly_half_is_said_and_not_believed() {
    let Some(world) = World::begin("sources-view").await else { return };
    let (file, sources) = (world.dir.path().join("hosts.yaml"), world.dir.path().join("s.toml"));
    let text = format!(
        "[[source]]\nname = \"lab\"\ntype = \"file\"\npath = \"{}\"\ninterval = \"1h\"\n\
         breaker = {{ percent = 10, min = 1 }}\n",
        file.display()
    );
    std::fs::write(&sources, text).unwrap();
    let write = |text: &str| {
        // At once: a fetcher never reads a part of it.
        let new = file.with_extension("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(&new, &file).unwrap();
    };
    write(&listing(1..=20));
    let words = ["fetch", "--listen", "127.0.0.1:0", "--sources", sources.to_str().unwrap()];
    let mut service = world.program(&words).spawn().unwrap();
    let mut pty = explorer(&world, &[]);
    pty.shows("20 hosts · live");
    pty.send("vs");
    // A screen may be read while it is drawn, so everything that is wanted of it is waited for.
    let all = |screen: &str, wanted: &[&str]| {
        let words = screen.split_whitespace().collect::<Vec<_>>().join(" ");
        wanted.iter().all(|text| words.contains(text))
    };
    pty.until("a pass", |screen| all(screen, &["● healthy", "20 seen"]));
    pty.send("vf");
    pty.until("nothing is wrong", |screen| screen.contains("NAME") && !screen.contains('▲'));

    write(&listing(1..=10));
    pty.shows("▲ lab: breaker open · vs");
    pty.send("vs");
    let wanted = ["✖ breaker open", "10 of 20 hosts would be lost", "--accept-loss lab/", "1h"];
    pty.until("what has happened and what to do", |screen| all(screen, &wanted));
    // Its hosts are there as they were.
    pty.send("\r");
    let wanted = ["source:lab", "20 of 20", "▲ lab: breaker open", "● 20 ok"];
    let screen = pty.until("its hosts", |screen| all(screen, &wanted));
    assert!(!screen.contains("Missing") && !screen.contains("Gone"), "{screen}");
    for host in world.all_hosts().await {
        let source = host.status.unwrap().sources.remove("lab").unwrap();
        assert_eq!(source.state.as_str(), "Running");
    }

    write(&listing(1..=20));
    pty.until("it is over", |screen| screen.contains("source:lab") && !screen.contains('▲'));
    pty.send(":q\r");
    assert_eq!(pty.ends(), 0);
    service.kill().await.unwrap();
    world.end().await;
}
