//! Certificates of hosts: asked for, decided by policy or by a person, signed, renewed.

#[path = "../../src/model/csr/forge.rs"]
mod forge;
mod odd;
mod people;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use inv_tui::error::Result;
use inv_tui::store::write::user;
use inv_tui::tasks::agent::identity::{Held, Options, obtain};
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestSpec,
};
use k8s_openapi::api::events::v1::Event;
use kube::ResourceExt;
use kube::api::{Api, ListParams, ObjectMeta, PostParams};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::support::{BINARY, Ended, World, run, wait_for};

const BOOTSTRAPPERS: &str = "system:bootstrappers:inv";
const SIGNER: &str = "kubernetes.io/kube-apiserver-client";

impl World {
    fn requests(&self) -> Api<CertificateSigningRequest> {
        Api::all(self.client.clone())
    }

    async fn request(&self, name: &str) -> CertificateSigningRequest {
        self.requests().get(name).await.unwrap()
    }

    /// A policy for the hosts of this world alone: requests live in no namespace, so every approver
    /// of every test sees them all.
    fn policy(&self, more: &str) -> PathBuf {
        let path = self.dir.path().join(format!("policy-{:08x}.toml", fastrand::u32(..)));
        std::fs::write(&path, format!("namespaces = [\"{}\"]\n{more}\n", self.namespace)).unwrap();
        path
    }

    /// The program as another user, who keeps a journal in the world's folder.
    fn program_as(&self, kubeconfig: &Path, words: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command
            .arg("--headless")
            .args(words)
            .args(["-n", &self.namespace])
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .env_clear()
            .env("HOME", self.dir.path())
            .env("INV_TUI_JOURNAL", self.journal_file())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    fn journal_file(&self) -> PathBuf {
        self.dir.path().join("journal.jsonl")
    }

    async fn approver(&self) -> PathBuf {
        self.as_user("the-approver", &["inv:approvers"]).await
    }

    /// The approver, once over everything.
    async fn approve_once(&self, policy: &Path, words: &[&str]) -> Ended {
        let mut all = vec!["approve", "--once", "--policy", policy.to_str().unwrap()];
        all.extend(words);
        run(self.program_as(&self.approver().await, &all)).await
    }

    /// The approver, until it is dropped.
    async fn approve(&self, policy: &Path) -> Child {
        let words = ["approve", "--policy", policy.to_str().unwrap()];
        let mut command = self.program_as(&self.approver().await, &words);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap()
    }

    async fn options(&self, host: &str, folder: &str) -> Options {
        Options {
            namespace: self.namespace.clone(),
            host: host.to_owned(),
            folder: self.dir.path().join(folder),
            bootstrap: Some(self.as_user("bootstrap", &[BOOTSTRAPPERS]).await),
            life: Duration::from_hours(2),
        }
    }

    /// The newest request for this host that is not decided.
    async fn pending(&self, host: &str) -> CertificateSigningRequest {
        let prefix = format!("{}-{host}-", self.namespace);
        wait_for("a pending request", async || {
            let all = self.requests().list(&ListParams::default()).await.unwrap().items;
            all.into_iter().find(|request| {
                let status = request.status.as_ref();
                let decided = status.is_some_and(|status| status.conditions.is_some());
                request.name_any().starts_with(&prefix) && !decided
            })
        })
        .await
    }

    /// Waits for an Event with this reason about this host or request, and gives its note.
    async fn told(&self, about: &str, reason: &str) -> String {
        let events: Api<Event> = Api::all(self.client.clone());
        wait_for(&format!("an Event {reason} about {about}"), async || {
            let all = events.list(&ListParams::default()).await.unwrap().items;
            all.into_iter().find_map(|event| {
                let regarding = event.regarding?;
                let here = regarding.namespace.is_none_or(|n| n == self.namespace);
                let same = regarding.name.as_deref() == Some(about);
                (here && same && event.reason.as_deref() == Some(reason)).then_some(event.note?)
            })
        })
        .await
    }
}

/// An object around a request.
fn object(name: &str, pem: impl Into<Vec<u8>>, usages: &[&str]) -> CertificateSigningRequest {
    CertificateSigningRequest {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        spec: CertificateSigningRequestSpec {
            request: ByteString(pem.into()),
            signer_name: SIGNER.to_owned(),
            usages: Some(usages.iter().map(|usage| (*usage).to_owned()).collect()),
            expiration_seconds: Some(7_200),
            ..CertificateSigningRequestSpec::default()
        },
        status: None,
    }
}

/// Reason and message of its one decision.
fn decision(request: &CertificateSigningRequest) -> Option<(String, String, String)> {
    let conditions = request.status.as_ref()?.conditions.as_ref()?;
    let condition = conditions.iter().find(|c| ["Approved", "Denied"].contains(&&*c.type_))?;
    Some((condition.type_.clone(), condition.reason.clone()?, condition.message.clone()?))
}

type Obtaining = JoinHandle<Result<Option<Held>>>;

fn begin(options: Options) -> (watch::Sender<bool>, Obtaining) {
    let (stop, stopped) = watch::channel(false);
    (stop, tokio::spawn(obtain(options, stopped)))
}

async fn identity(options: Options) -> Held {
    let (_stop, obtaining) = begin(options);
    let done = tokio::time::timeout(crate::support::PATIENCE, obtaining).await;
    done.expect("no certificate").unwrap().unwrap().expect("nobody stopped it")
}

#[tokio::test]
async fn a_host_gets_its_certificate_by_policy_and_renews_it() {
    let Some(world) = World::begin("identity").await else { return };
    world.make_host("web-1", "web-1", "eu", "web").await;
    let policy = world.policy("");
    let _service = world.approve(&policy).await;

    let options = world.options("web-1", "state").await;
    let mut held = identity(options.clone()).await;
    let name = format!("inv:host:{}:web-1", world.namespace);
    assert_eq!(user(held.connection()).await.unwrap(), name);
    let hosts: Api<inv_tui::model::host::Host> = Api::namespaced(held.client(), &world.namespace);
    assert_eq!(hosts.get("web-1").await.unwrap().name_any(), "web-1");
    assert!(world.told("web-1", "HostMatched").await.contains("approved"));

    // The bootstrap file may go: what is on disk is enough.
    std::fs::remove_file(options.bootstrap.as_ref().unwrap()).unwrap();
    let first = std::fs::read_to_string(options.folder.join("identity.kubeconfig")).unwrap();
    drop(held);
    held = identity(options.clone()).await;
    assert_eq!(user(held.connection()).await.unwrap(), name);

    let (_stop, stopped) = watch::channel(false);
    assert!(held.renew(stopped).await.unwrap());
    assert_eq!(user(held.connection()).await.unwrap(), name);
    assert!(world.told("web-1", "Renewal").await.contains("renews its own"));
    let second = std::fs::read_to_string(options.folder.join("identity.kubeconfig")).unwrap();
    let key = |text: &str| {
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        value["users"][0]["user"]["client-key-data"].clone()
    };
    assert_ne!(key(&first), key(&second), "a renewal has a key of its own");
    let files = std::fs::read_dir(&options.folder).unwrap().count();
    assert_eq!(files, 1, "no key is left that waits");
    world.end().await;
}

#[tokio::test]
async fn a_takeover_waits_for_a_person() {
    let Some(world) = World::begin("takeover").await else { return };
    world.make_host("web-1", "web-1", "eu", "web").await;
    let policy = world.policy("");
    let _service = world.approve(&policy).await;
    let first = identity(world.options("web-1", "first").await).await;

    let options = world.options("web-1", "second").await;
    let (_stop, obtaining) = begin(options);
    let request = world.pending("web-1").await.name_any();
    assert!(world.told(&request, "TakeoverSuspected").await.contains("lives until"));
    assert_eq!(decision(&world.request(&request).await), None, "left pending");

    let kubeconfig = world.approver().await;
    let words = ["csr", "approve", &request];
    let refused = run(world.program_as(&kubeconfig, &words)).await.with(1);
    assert!(refused.stdout.contains("refused"), "{}", refused.stdout);
    let words = ["csr", "approve", &request, "--override", &request, "--reason", "new disk"];
    run(world.program_as(&kubeconfig, &words)).await.with(0);
    let second = obtaining.await.unwrap().unwrap().unwrap();
    assert_eq!(second.user(), first.user());
    let (_, reason, message) = decision(&world.request(&request).await).unwrap();
    assert_eq!((&*reason, &*message), ("ApprovedRegardless", "by the-approver: new disk"));
    world.end().await;
}

#[tokio::test]
async fn a_restart_waits_for_the_same_request_and_a_denial_makes_no_other() {
    let Some(world) = World::begin("denied").await else { return };
    world.make_host("web-1", "web-1", "eu", "web").await;
    let options = world.options("web-1", "state").await;
    let (stop, obtaining) = begin(options.clone());
    let request = world.pending("web-1").await.name_any();
    stop.send_replace(true);
    assert!(obtaining.await.unwrap().unwrap().is_none(), "it was stopped");

    let (stop, obtaining) = begin(options.clone());
    let kubeconfig = world.approver().await;
    let words = ["csr", "deny", &request, "--reason", "not in this rack"];
    run(world.program_as(&kubeconfig, &words)).await.with(0);
    // The key of a denied request is thrown away.
    let pending = options.folder.join("pending.json");
    wait_for("the denial to be seen", async || (!pending.exists()).then_some(())).await;
    assert!(!obtaining.is_finished(), "it goes on and asks again in an hour");
    let all = world.requests().list(&ListParams::default()).await.unwrap().items;
    let prefix = format!("{}-web-1-", world.namespace);
    let count = all.iter().filter(|request| request.name_any().starts_with(&prefix)).count();
    assert_eq!(count, 1);
    stop.send_replace(true);
    assert!(obtaining.await.unwrap().unwrap().is_none());
    world.end().await;
}

#[tokio::test]
async fn a_host_that_comes_later_gets_its_certificate_later() {
    let Some(world) = World::begin("later").await else { return };
    let policy = world.policy("");
    let (_stop, obtaining) = begin(world.options("web-1", "state").await);
    let request = world.pending("web-1").await.name_any();
    world.approve_once(&policy, &[]).await.with(0).says(&["HostUnknown"]);
    assert!(world.told(&request, "HostUnknown").await.contains("left pending"));
    assert_eq!(decision(&world.request(&request).await), None);
    world.make_host("web-1", "web-1", "eu", "web").await;
    world.approve_once(&policy, &[]).await.with(0).says(&["HostMatched"]);
    assert!(obtaining.await.unwrap().unwrap().is_some());
    world.end().await;
}

/// Files a request as a bootstrapper.
async fn ask(world: &World, request: &CertificateSigningRequest) -> kube::Result<String> {
    let client = world.client_as("bootstrap", &[BOOTSTRAPPERS]).await;
    let api: Api<CertificateSigningRequest> = Api::all(client);
    api.create(&PostParams::default(), request).await.map(|request| request.name_any())
}
