//! The hosts of one source as a watch keeps them: for each only what its fetcher must know to
//! decide that nothing is to be written. About 250 bytes a host, no object is kept.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{Stream, StreamExt};
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::Api;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use serde_json::Value;
use tokio::sync::watch as channel;
use tokio::time::Instant;

use crate::model::condition::{FALSE, PROVIDER_HEALTHY, SEEN, TRUE};
use crate::model::diff::{Contested, Part, StoredHost, at, digest};
use crate::model::host::{Phase, ScheduledEvent, SourceFacts};
use crate::model::labels;

/// Longest time that an error of the watch counts. The watch tries again at least every 30 s.
const ERROR_COUNTS: Duration = Duration::from_secs(75);
/// Shortest time: one attempt to connect, and some more.
const ERROR_COUNTS_AT_LEAST: Duration = Duration::from_secs(8);
/// Errors that are further apart than this do not belong together (the backoff begins anew).
const SAME_TROUBLE: Duration = Duration::from_mins(2);

/// What a fetcher must know of a stored host.
#[derive(Clone, Debug)]
pub struct Known {
    /// Identity of the object.
    pub uid: Box<str>,
    /// Version of the object.
    pub resource_version: Box<str>,
    /// Digest of what the fetcher owns of metadata and spec.
    pub main: u64,
    /// Digest of what it owns of status.
    pub status: u64,
    /// What it must leave to others.
    pub contested: Contested,
    /// Id at the source.
    pub native: Box<str>,
    /// State at the source, folded.
    pub state: Phase,
    /// When that state began.
    pub since: Timestamp,
    /// Complete listings in a row without the host.
    pub missed: i32,
    /// Condition Seen, and since when.
    pub seen: Option<(bool, Timestamp)>,
    /// Condition `ProviderHealthy`, and since when.
    pub healthy: Option<(bool, Timestamp)>,
    /// What the provider's checks said, if it was anything.
    pub trouble: Option<Box<Trouble>>,
    /// End of the last hold.
    pub held_until: Option<Timestamp>,
    /// Why the host may not be removed by its fetcher, holds aside.
    pub kept: Option<Kept>,
    /// Somebody deleted it; finalizers are at work.
    pub deleting: bool,
    /// Region, which names the scope.
    pub scope: Arc<str>,
    /// Account at the provider.
    pub account: Arc<str>,
    /// When this process first knew of it.
    pub appeared: Instant,
}

impl Known {
    /// Whether it is the same object, and its source has said nothing new of it since `before`.
    pub fn is_seen_as(&self, before: &Self) -> bool {
        (&self.uid, &self.native, self.state) == (&before.uid, &before.native, before.state)
            && (self.since, self.missed) == (before.since, before.missed)
    }
}

/// Why a host that is gone stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It carries the annotation `protect`.
    Protected,
    /// `spec.paused` is set.
    Paused,
    /// Another source still has it.
    Shared,
}

/// What the provider's checks said of a host.
#[derive(Clone, Debug, PartialEq)]
pub struct Trouble {
    /// Reason and message of `ProviderHealthy` if it is False.
    pub problem: Option<(String, String)>,
    /// What is planned.
    pub events: Vec<ScheduledEvent>,
}

/// Which objects, and for whom.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Namespace of the hosts.
    pub namespace: String,
    /// Name of the source, the value of its label.
    pub source: String,
    /// Field manager of its fetcher.
    pub manager: String,
}

impl Selection {
    /// Reads what must be known of a stored host.
    pub fn read(&self, host: &StoredHost, intern: &mut Interner) -> Known {
        let meta = &host.metadata;
        let facts = at(at(&host.status, "sources"), &self.source);
        let facts: SourceFacts = serde_json::from_value(facts.clone()).unwrap_or_default();
        let label = |key: &str| {
            meta.labels.as_ref().and_then(|all| all.get(key)).map_or("", String::as_str)
        };
        let created = meta.creation_timestamp.as_ref().map(|t| t.0).unwrap_or_default();
        Known {
            uid: meta.uid.as_deref().unwrap_or_default().into(),
            resource_version: meta.resource_version.as_deref().unwrap_or_default().into(),
            main: digest(&host.owned(&self.manager, Part::Main)),
            status: digest(&host.owned(&self.manager, Part::Status)),
            contested: host.contested(&self.manager, None),
            native: facts.uid.unwrap_or_default().into(),
            state: facts.state,
            since: facts.since.map_or(created, |t| t.0),
            missed: facts.missed.unwrap_or(0),
            seen: condition(&host.status, SEEN).map(|(status, since, _)| (status, since)),
            healthy: condition(&host.status, PROVIDER_HEALTHY).map(|(s, since, _)| (s, since)),
            trouble: trouble(&host.status),
            held_until: held_until(&host.spec),
            kept: self.kept(host),
            deleting: meta.deletion_timestamp.is_some(),
            scope: intern.get(label(labels::REGION)),
            account: intern.get(label(labels::ACCOUNT)),
            appeared: Instant::now(),
        }
    }

    fn kept(&self, host: &StoredHost) -> Option<Kept> {
        if host.metadata.annotations.as_ref().is_some_and(|a| a.contains_key(labels::PROTECT)) {
            return Some(Kept::Protected);
        }
        if *at(&host.spec, "paused") == Value::Bool(true) {
            return Some(Kept::Paused);
        }
        let gone = Phase::Gone.as_str();
        let shared = at(&host.status, "sources").as_object().is_some_and(|all| {
            all.iter().any(|(name, f)| *name != self.source && at(f, "state") != gone)
        });
        shared.then_some(Kept::Shared)
    }
}

/// Status, last transition and the whole of a condition of a Host's status.
fn condition<'a>(status: &'a Value, type_: &str) -> Option<(bool, Timestamp, &'a Value)> {
    let all = at(status, "conditions").as_array()?;
    let found = all.iter().find(|c| at(c, "type") == type_)?;
    let since = at(found, "lastTransitionTime").as_str()?.parse().ok()?;
    match at(found, "status").as_str()? {
        TRUE => Some((true, since, found)),
        FALSE => Some((false, since, found)),
        _ => None,
    }
}

fn trouble(status: &Value) -> Option<Box<Trouble>> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let problem = condition(status, PROVIDER_HEALTHY)
        .filter(|(healthy, ..)| !healthy)
        .map(|(.., found)| (text(at(found, "reason")), text(at(found, "message"))));
    let events: Vec<ScheduledEvent> =
        serde_json::from_value(at(status, "scheduledEvents").clone()).unwrap_or_default();
    (problem.is_some() || !events.is_empty()).then(|| Box::new(Trouble { problem, events }))
}

/// The latest end of any hold. A hold whose end cannot be read holds for ever.
fn held_until(spec: &Value) -> Option<Timestamp> {
    let holds = at(spec, "maintenance").as_object()?;
    holds
        .values()
        .map(|hold| {
            at(hold, "until").as_str().and_then(|t| t.parse().ok()).unwrap_or(Timestamp::MAX)
        })
        .max()
}

/// A failure of the watch. A watch that works again says nothing while nothing changes; but the
/// next attempt of a broken one comes after about twice the time since the last, and fails loudly.
/// So one that has been silent for longer than that is established.
#[derive(Clone, Copy, Debug)]
struct Failure {
    at: Instant,
    counts: Duration,
}

impl Failure {
    fn after(before: Option<Self>, now: Instant) -> Self {
        let gap = before.map_or(Duration::ZERO, |b| now.saturating_duration_since(b.at));
        let gap = if gap > SAME_TROUBLE { Duration::ZERO } else { gap };
        let counts = (gap * 5 / 2 + ERROR_COUNTS_AT_LEAST).min(ERROR_COUNTS);
        Self { at: now, counts }
    }

    fn is_mended(self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) > self.counts
    }
}

/// Gives one shared copy of each of a few often repeated texts.
#[derive(Debug, Default)]
pub struct Interner(BTreeSet<Arc<str>>);

impl Interner {
    /// The shared copy.
    pub fn get(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.0.get(text) {
            return Arc::clone(known);
        }
        let new: Arc<str> = text.into();
        self.0.insert(Arc::clone(&new));
        new
    }
}

#[derive(Default)]
struct Table {
    hosts: HashMap<Box<str>, Known>,
    /// What the list at the beginning, or after a break, has brought so far.
    listing: Option<HashMap<Box<str>, Known>>,
    interner: Interner,
}

/// How far the watch is.
#[derive(Clone, Debug)]
pub enum Sync {
    /// Nothing has been listed completely yet; the last error, if there was one.
    Listing(Option<Arc<crate::error::Error>>),
    /// A complete list has been read, and changes since then.
    Synced,
}

/// The hosts of one source, kept by a watch.
#[derive(Clone)]
pub struct Hosts {
    selection: Arc<Selection>,
    table: Arc<Mutex<Table>>,
    sync: Arc<channel::Sender<Sync>>,
    last_error: Arc<Mutex<Option<Failure>>>,
}

impl Hosts {
    /// An empty table for this selection; [`Hosts::follow`] fills it.
    pub fn new(selection: Selection) -> Self {
        Self {
            selection: Arc::new(selection),
            table: Arc::default(),
            sync: Arc::new(channel::Sender::new(Sync::Listing(None))),
            last_error: Arc::default(),
        }
    }

    /// Which hosts these are.
    pub fn selection(&self) -> &Selection {
        &self.selection
    }

    /// Reports how far the watch is, and each change of that.
    pub fn progress(&self) -> channel::Receiver<Sync> {
        self.sync.subscribe()
    }

    /// Whether the table is complete and nothing says that the watch is broken.
    pub fn in_sync(&self) -> bool {
        let failed = *self.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(*self.sync.borrow(), Sync::Synced)
            && failed.is_none_or(|failure| failure.is_mended(Instant::now()))
    }

    /// What is known of a host.
    pub fn get(&self, name: &str) -> Option<Known> {
        self.lock().hosts.get(name).cloned()
    }

    /// Number of hosts.
    pub fn len(&self) -> usize {
        self.lock().hosts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The hosts of a scope, or all without one, for which `pick` gives something.
    pub fn select<T>(
        &self,
        scope: Option<&str>,
        mut pick: impl FnMut(&str, &Known) -> Option<T>,
    ) -> Vec<T> {
        self.lock()
            .hosts
            .iter()
            .filter(|(_, known)| scope.is_none_or(|scope| &*known.scope == scope))
            .filter_map(|(name, known)| pick(name, known))
            .collect()
    }

    /// Number of hosts in this state, over all scopes.
    pub fn count(&self, state: Phase) -> usize {
        self.lock().hosts.values().filter(|known| known.state == state).count()
    }

    /// Takes in what the server answered to a write, ahead of the watch.
    pub fn put(&self, host: &StoredHost) -> Option<Known> {
        let name = host.metadata.name.as_deref()?;
        let mut table = self.lock();
        let known = self.selection.read(host, &mut table.interner);
        store(&mut table.hosts, name, known.clone());
        Some(known)
    }

    /// Forgets a host that the server says is not there.
    pub fn forget(&self, name: &str) {
        self.lock().hosts.remove(name);
    }

    /// Reads a host that did not come by the watch, without keeping it.
    pub fn read(&self, host: &StoredHost) -> Known {
        self.selection.read(host, &mut self.lock().interner)
    }

    /// Follows the hosts on the server for ever, through errors and restarts of the server.
    pub async fn follow(&self, client: Client) {
        let api: Api<StoredHost> = Api::namespaced(client.clone(), &self.selection.namespace);
        let config = watcher::Config::default().labels(&format!(
            "{}={}",
            labels::SOURCE,
            self.selection.source
        ));
        let config = if streams_lists(&client).await { config.streaming_lists() } else { config };
        self.consume(watch(api, config).default_backoff()).await;
    }

    async fn consume(&self, events: impl Stream<Item = watcher::Result<Event<StoredHost>>>) {
        let mut events = std::pin::pin!(events);
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = None;
                    self.take(event);
                }
                Err(problem) => self.failed(problem),
            }
        }
    }

    fn failed(&self, problem: watcher::Error) {
        {
            let mut last = self.last_error.lock().unwrap_or_else(PoisonError::into_inner);
            *last = Some(Failure::after(*last, Instant::now()));
        }
        let error = explain(problem);
        tracing::warn!(error = crate::error::chain(&error), "the watch on hosts failed");
        let error = Arc::new(error);
        self.sync.send_if_modified(|sync| match sync {
            Sync::Listing(last) => {
                *last = Some(error);
                true
            }
            Sync::Synced => false,
        });
    }

    fn take(&self, event: Event<StoredHost>) {
        let mut table = self.lock();
        match event {
            Event::Init => table.listing = Some(HashMap::new()),
            Event::InitApply(host) => {
                if let Some((name, known)) = self.unpack(&host, &mut table.interner) {
                    table.listing.get_or_insert_default().insert(name, known);
                }
            }
            Event::InitDone => {
                if let Some(mut listing) = table.listing.take() {
                    for (name, known) in &mut listing {
                        if let Some(old) = table.hosts.get(name).filter(|old| old.uid == known.uid)
                        {
                            known.appeared = old.appeared;
                        }
                    }
                    table.hosts = listing;
                    table.hosts.shrink_to_fit();
                }
                drop(table);
                self.sync.send_replace(Sync::Synced);
            }
            Event::Apply(host) => {
                if let Some((name, known)) = self.unpack(&host, &mut table.interner) {
                    store(&mut table.hosts, &name, known);
                }
            }
            Event::Delete(host) => {
                if let Some(name) = host.metadata.name.as_deref() {
                    table.hosts.remove(name);
                }
            }
        }
    }

    fn unpack(&self, host: &StoredHost, interner: &mut Interner) -> Option<(Box<str>, Known)> {
        let name = host.metadata.name.as_deref()?;
        Some((name.into(), self.selection.read(host, interner)))
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the newer of the two: the answer to a write may overtake the watch, and then older events
/// come after it. Versions are compared as numbers, as Kubernetes allows since 1.35.
fn store(hosts: &mut HashMap<Box<str>, Known>, name: &str, new: Known) {
    let older =
        |a: &str, b: &str| matches!((a.parse::<u64>(), b.parse::<u64>()), (Ok(a), Ok(b)) if a < b);
    match hosts.get_mut(name) {
        Some(old) if old.uid == new.uid && older(&new.resource_version, &old.resource_version) => {}
        Some(old) if old.uid == new.uid => *old = Known { appeared: old.appeared, ..new },
        Some(old) => *old = new,
        None => {
            hosts.insert(name.into(), new);
        }
    }
}

/// Streaming lists are on by default since 1.34 (gate `WatchList`); 1.33 answers 422 to them.
async fn streams_lists(client: &Client) -> bool {
    let version = tokio::time::timeout(Duration::from_secs(10), client.apiserver_version()).await;
    let Ok(Ok(version)) = version else {
        return false;
    };
    let number = |text: &str| -> u32 {
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap_or(0)
    };
    (number(&version.major), number(&version.minor)) >= (1, 34)
}

fn explain(problem: watcher::Error) -> crate::error::Error {
    let what = "cannot watch hosts";
    match problem {
        watcher::Error::InitialListFailed(cause)
        | watcher::Error::WatchStartFailed(cause)
        | watcher::Error::WatchFailed(cause) => super::client::explain(what, "watch hosts", cause),
        watcher::Error::WatchError(status) => {
            super::client::explain(what, "watch hosts", kube::Error::Api(status))
        }
        watcher::Error::NoResourceVersion => crate::error::Error::new(what).because(problem),
    }
}

#[cfg(test)]
mod tests;
