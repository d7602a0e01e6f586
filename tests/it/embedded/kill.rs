//! `kill -9` again and again, while clients write and watch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use inv_tui::model::host::Host;
use inv_tui::server::storage;
use kube::ResourceExt;
use kube::api::{
    Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams,
};
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::{Serving, program};
use crate::support::PATIENCE;

const ROUNDS: usize = 200;
/// Clients that write at the same time.
const CLIENTS: usize = 4;
/// Acknowledged writes of a round, after which the server is killed while the next ones are under way.
const WRITES: usize = 20;
/// How long the clients have to notice that the server is gone.
const GONE: Duration = Duration::from_secs(20);

/// What a write does to its host.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Did {
    Added(String),
    Modified(String),
    Deleted,
}

impl Did {
    /// The role that the host has then.
    fn role(&self) -> Option<&str> {
        match self {
            Self::Added(role) | Self::Modified(role) => Some(role),
            Self::Deleted => None,
        }
    }
}

/// Everything that the server said.
#[derive(Default)]
struct Ledger {
    /// All writes of each host, in order; with the revision, where the server says it (of a
    /// deletion it does not).
    stories: BTreeMap<String, Vec<(Option<u64>, Did)>>,
    /// The revisions that were given.
    given: BTreeSet<u64>,
    acknowledged: usize,
    /// Role and revision of each host that is there.
    hosts: BTreeMap<String, (String, u64)>,
    /// The write that each client waits for.
    under_way: BTreeMap<usize, (String, Did)>,
}

impl Ledger {
    /// A write has happened.
    fn done(&mut self, name: String, did: Did, revision: Option<u64>) {
        if let Some(revision) = revision {
            assert!(self.given.insert(revision), "revision {revision} was given twice");
        }
        match (did.role(), revision) {
            (Some(role), Some(revision)) => {
                self.hosts.insert(name.clone(), (role.to_owned(), revision))
            }
            _ => self.hosts.remove(&name),
        };
        self.stories.entry(name).or_default().push((revision, did));
    }
}

fn revision(host: &Host) -> u64 {
    host.resource_version().unwrap().parse().unwrap()
}

/// Writes until the server is gone. Every host of a client has its own story: made, changed twice,
/// deleted, or left.
async fn write(
    hosts: Api<Host>,
    client: usize,
    (round, goal): (usize, usize),
    ledger: &Mutex<Ledger>,
    enough: &Notify,
) {
    let known = |host: Host| Some(revision(&host));
    for n in 0.. {
        let name = format!("h{client}-{}", (round * 7 + n / 3) % 40);
        let had = ledger.lock().unwrap().hosts.contains_key(&name);
        let role = format!("role-{round}-{n}");
        let did = match (had, n % 3) {
            (false, _) => Did::Added(role.clone()),
            (true, 2) => Did::Deleted,
            (true, _) => Did::Modified(role.clone()),
        };
        ledger.lock().unwrap().under_way.insert(client, (name.clone(), did.clone()));
        let spec = json!({"cluster": "shop", "role": role});
        let answer = match did {
            Did::Added(_) => {
                let host = json!({"metadata": {"name": name}, "spec": spec});
                hosts
                    .create(&PostParams::default(), &serde_json::from_value(host).unwrap())
                    .await
                    .map(known)
            }
            Did::Modified(_) => {
                let patch = Patch::Merge(json!({"spec": spec}));
                hosts.patch(&name, &PatchParams::default(), &patch).await.map(known)
            }
            Did::Deleted => {
                let gone = hosts.delete(&name, &DeleteParams::default()).await;
                gone.map(|gone| assert!(gone.is_right(), "it waits for nothing")).map(|()| None)
            }
        };
        match answer {
            Ok(revision) => {
                let mut ledger = ledger.lock().unwrap();
                ledger.under_way.remove(&client);
                ledger.done(name, did, revision);
                ledger.acknowledged += 1;
                if ledger.acknowledged >= goal {
                    enough.notify_one();
                }
            }
            Err(kube::Error::Api(status)) => panic!("{did:?} of {name}: {status:?}"),
            Err(_gone) => return,
        }
    }
}

/// What a watch has seen.
#[derive(Default)]
struct Seen {
    stories: BTreeMap<String, Vec<(u64, Did)>>,
    cursor: u64,
}

impl Seen {
    fn take(&mut self, event: WatchEvent<Host>) {
        let (host, did): (Host, fn(String) -> Did) = match event {
            WatchEvent::Added(host) => (host, Did::Added),
            WatchEvent::Modified(host) => (host, Did::Modified),
            WatchEvent::Deleted(host) => (host, |_| Did::Deleted),
            WatchEvent::Bookmark(_) => return,
            WatchEvent::Error(status) => panic!("the watch from {}: {status:?}", self.cursor),
        };
        let at = revision(&host);
        assert!(at > self.cursor, "revision {at} after {}", self.cursor);
        self.cursor = at;
        let did = did(host.spec.role.clone().unwrap_or_default());
        self.stories.entry(host.name_any()).or_default().push((at, did));
    }
}

/// Watches from where the last watch ended, until the server is gone or `until` has been seen.
async fn watch(hosts: Api<Host>, seen: &Mutex<Seen>, until: u64) {
    let from = seen.lock().unwrap().cursor;
    let ended = match hosts.watch(&WatchParams::default(), &from.to_string()).await {
        Ok(events) => {
            let mut events = events.boxed();
            loop {
                match events.try_next().await {
                    Ok(Some(event)) => {
                        let mut seen = seen.lock().unwrap();
                        seen.take(event);
                        if seen.cursor >= until {
                            return;
                        }
                    }
                    Ok(None) => break None,
                    Err(error) => break Some(error),
                }
            }
        }
        // The server can be killed before it has answered.
        Err(kube::Error::Api(status)) => panic!("no watch from {from}: {status:?}"),
        Err(gone) => Some(gone),
    };
    assert_eq!(until, u64::MAX, "the watch ended: {ended:?}");
}

/// After a start: what was acknowledged is there, and of what was under way all or nothing.
async fn compare(hosts: &Api<Host>, ledger: &Mutex<Ledger>, newest: &mut u64) {
    let list = hosts.list(&ListParams::default()).await.unwrap();
    let found: BTreeMap<String, (String, u64)> = list
        .items
        .iter()
        .map(|host| (host.name_any(), (host.spec.role.clone().unwrap_or_default(), revision(host))))
        .collect();
    let now: u64 = list.metadata.resource_version.unwrap().parse().unwrap();
    let mut ledger = ledger.lock().unwrap();
    let given = ledger.given.last().copied().unwrap_or(0);
    assert!(now >= given.max(*newest), "revision {now} after {given} and {newest}");
    *newest = now;
    for (name, did) in std::mem::take(&mut ledger.under_way).into_values() {
        let state = found.get(&name).cloned();
        if state == ledger.hosts.get(&name).cloned() {
            continue;
        }
        assert_eq!(state.as_ref().map(|(role, _)| role.as_str()), did.role(), "{name}");
        ledger.done(name, did, state.map(|(_, revision)| revision));
    }
    assert_eq!(found, ledger.hosts);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_200_kills_and_watches_have_no_gap() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let seen = Arc::new(Mutex::new(Seen::default()));
    let mut newest = 0;
    let mut first = 0;
    for round in 0..ROUNDS {
        let server = Serving::start(folder.path(), &[]).await;
        let hosts = server.hosts().await;
        compare(&hosts, &ledger, &mut newest).await;
        if round == 0 {
            // Where everybody begins: an empty list.
            first = newest;
            seen.lock().unwrap().cursor = first;
        }
        let mut clients = tokio::task::JoinSet::new();
        let enough = Arc::new(Notify::new());
        let before = ledger.lock().unwrap().acknowledged;
        for client in 0..CLIENTS {
            let hosts = hosts.clone();
            let (ledger, enough) = (ledger.clone(), enough.clone());
            clients.spawn(async move {
                write(hosts, client, (round, before + WRITES), &ledger, &enough).await;
            });
        }
        let seen = seen.clone();
        clients.spawn(async move { watch(hosts, &seen, u64::MAX).await });
        timeout(PATIENCE, enough.notified()).await.expect("writes are acknowledged");
        server.kill().await;
        // Each client ends with an error, none with a refusal. Very rarely the client's library never
        // says that the connection is gone: that one is left, as a person would leave it.
        while let Ok(Some(ended)) = timeout(GONE, clients.join_next()).await {
            ended.unwrap();
        }
    }
    let server = Serving::start(folder.path(), &[]).await;
    let hosts = server.hosts().await;
    compare(&hosts, &ledger, &mut newest).await;

    // One more write, to know where the end is.
    let last = json!({"metadata": {"name": "last"}, "spec": {"role": "last"}});
    let last = hosts.create(&PostParams::default(), &serde_json::from_value(last).unwrap()).await;
    let until = revision(&last.unwrap());
    timeout(PATIENCE, watch(hosts.clone(), &seen, until)).await.expect("the last write is seen");
    let again = Mutex::new(Seen { cursor: first, ..Seen::default() });
    timeout(PATIENCE, watch(hosts, &again, until)).await.expect("the last write is seen");

    let (mut seen, again) =
        (std::mem::take(&mut *seen.lock().unwrap()), again.into_inner().unwrap());
    assert_eq!(seen.stories, again.stories, "as it happened, and from the beginning once more");
    seen.stories.remove("last");
    assert_eq!(server.stop().await.code, 0);
    let ledger = std::mem::take(&mut *ledger.lock().unwrap());
    for (name, story) in &ledger.stories {
        let seen = seen.stories.remove(name).unwrap_or_default();
        let written: Vec<&Did> = story.iter().map(|(_, did)| did).collect();
        assert_eq!(seen.iter().map(|(_, did)| did).collect::<Vec<_>>(), written, "{name}");
        for ((seen, did), (said, _)) in seen.iter().zip(story) {
            assert_eq!(said.unwrap_or(*seen), *seen, "{name}: {did:?}");
        }
    }
    assert!(seen.stories.is_empty(), "nobody wrote {:?}", seen.stories);
    assert!(ledger.acknowledged >= ROUNDS * WRITES, "{}", ledger.acknowledged);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_the_first_start_leaves_a_folder_that_can_be_used() {
    let names =
        ["lock", "ca.key", "inventory.db.new", "inventory.db", "inventory.db-wal", "socket"];
    for name in names {
        let folder = tempfile::tempdir().unwrap();
        let mut child = program(folder.path(), &["--listen", "127.0.0.1:0"]).spawn().unwrap();
        // No pause between two looks: the new file is there for a moment only, and then the store is.
        let wanted = folder.path().join(name);
        let store = storage::default_file(folder.path());
        let looking = tokio::task::spawn_blocking(move || {
            let missed = || wanted.ends_with("inventory.db.new") && store.exists();
            while !wanted.exists() && !missed() {
                std::thread::yield_now();
            }
        });
        timeout(PATIENCE, looking).await.expect("it begins").unwrap();
        child.kill().await.unwrap();
        let server = Serving::start(folder.path(), &[]).await;
        assert!(server.hosts().await.list(&ListParams::default()).await.unwrap().items.is_empty());
        assert!(!folder.path().join("inventory.db.new").exists());
    }
}
