//! One watch over all hosts of a namespace, for every source of this process.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{Stream, StreamExt};
use kube::Client;
use kube::api::Api;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use tokio::sync::{OwnedMutexGuard, watch as channel};
use tokio::time::Instant;

use super::index::Index;
use super::{Hosts, Member, Selection, Sync, Table};
use crate::model::diff::{StoredHost, hash_text};
use crate::model::identity::{Fingerprint, Relation};

/// Longest time that an error of the watch counts. The watch tries again at least every 30 s.
const ERROR_COUNTS: Duration = Duration::from_secs(75);
/// Shortest time: one attempt to connect, and some more.
const ERROR_COUNTS_AT_LEAST: Duration = Duration::from_secs(8);
/// Errors that are further apart than this do not belong together (the backoff begins anew).
const SAME_TROUBLE: Duration = Duration::from_mins(2);

/// Locks over identities. Many more than there are writes at once, so that hardly any two wait for
/// each other by chance.
const TURNS: u64 = 1024;

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

struct Shared {
    namespace: String,
    members: Mutex<Vec<Arc<Member>>>,
    index: Mutex<(Index, Option<Index>)>,
    turns: Vec<Arc<tokio::sync::Mutex<()>>>,
    sync: channel::Sender<Sync>,
    last_error: Mutex<Option<Failure>>,
}

/// All hosts of a namespace, kept by one watch.
#[derive(Clone)]
pub struct Fleet(Arc<Shared>);

/// The turn of one source to find a place for a machine. It ends when this is dropped.
pub struct Turn {
    _locks: Vec<OwnedMutexGuard<()>>,
}

impl Fleet {
    /// The hosts of this namespace; [`Fleet::follow`] reads them.
    pub fn new(namespace: &str) -> Self {
        Self(Arc::new(Shared {
            namespace: namespace.to_owned(),
            members: Mutex::default(),
            index: Mutex::default(),
            turns: (0..TURNS).map(|_| Arc::default()).collect(),
            sync: channel::Sender::new(Sync::Listing(None)),
            last_error: Mutex::default(),
        }))
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        &self.0.namespace
    }

    /// An empty table for the hosts of one source. To be asked for before [`Fleet::follow`] begins.
    pub fn hosts(&self, selection: Selection) -> Hosts {
        let member = Arc::new(Member { selection, table: Mutex::default() });
        self.members().push(Arc::clone(&member));
        Hosts { member, fleet: self.clone() }
    }

    /// What the host with this name is to the machine; none if it is not known, or nothing identifies
    /// it.
    pub fn relation(&self, name: &str, print: &Fingerprint) -> Option<Relation> {
        self.lock().0.relation(name, print)
    }

    /// Whether any key of the host with this name differs from the machine's, whatever others say.
    pub fn differs(&self, name: &str, print: &Fingerprint) -> bool {
        self.lock().0.differs(name, print)
    }

    /// Waits until no other source of this process looks for a place for the same machine, so that the
    /// second of two finds what the first has made.
    pub async fn turn(&self, name: &str, print: &Fingerprint) -> Turn {
        let keys = print.keys().chain([hash_text(name)]);
        let mut which: Vec<usize> =
            keys.map(|key| usize::try_from(key % TURNS).unwrap_or(0)).collect();
        // in one order, so that nobody waits in a circle
        which.sort_unstable();
        which.dedup();
        let mut locks = Vec::with_capacity(which.len());
        for at in which {
            if let Some(turn) = self.0.turns.get(at) {
                locks.push(Arc::clone(turn).lock_owned().await);
            }
        }
        Turn { _locks: locks }
    }

    /// Follows the hosts on the server for ever, through errors and restarts of the server.
    pub async fn follow(&self, client: Client) {
        let api: Api<StoredHost> = Api::namespaced(client.clone(), &self.0.namespace);
        let config = watcher::Config::default();
        let config = if streams_lists(&client).await { config.streaming_lists() } else { config };
        self.consume(watch(api, config).default_backoff()).await;
    }

    pub(super) fn progress(&self) -> channel::Receiver<Sync> {
        self.0.sync.subscribe()
    }

    pub(super) fn in_sync(&self) -> bool {
        let failed = *self.0.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(*self.0.sync.borrow(), Sync::Synced)
            && failed.is_none_or(|failure| failure.is_mended(Instant::now()))
    }

    pub(super) fn similar(&self, print: &Fingerprint) -> Vec<(Arc<str>, Relation)> {
        self.lock().0.similar(print)
    }

    pub(super) fn index(&self, host: &StoredHost) {
        self.lock().0.put(host);
    }

    pub(super) fn forget(&self, name: &str) {
        self.lock().0.remove(name);
    }

    pub(super) async fn consume(
        &self,
        events: impl Stream<Item = watcher::Result<Event<StoredHost>>>,
    ) {
        let mut events = std::pin::pin!(events);
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    *self.0.last_error.lock().unwrap_or_else(PoisonError::into_inner) = None;
                    self.take(event);
                }
                Err(problem) => self.failed(problem),
            }
        }
    }

    fn failed(&self, problem: watcher::Error) {
        {
            let mut last = self.0.last_error.lock().unwrap_or_else(PoisonError::into_inner);
            *last = Some(Failure::after(*last, Instant::now()));
        }
        let error = explain(problem);
        tracing::warn!(error = crate::error::chain(&error), "the watch on hosts failed");
        let error = Arc::new(error);
        self.0.sync.send_if_modified(|sync| match sync {
            Sync::Listing(last) => {
                *last = Some(error);
                true
            }
            Sync::Synced => false,
        });
    }

    fn take(&self, event: Event<StoredHost>) {
        match event {
            Event::Init => {
                self.each(|_, table| table.listing = Some(std::collections::HashMap::new()));
                self.lock().1 = Some(Index::default());
            }
            Event::InitApply(host) => {
                let Some(name) = host.metadata.name.as_deref() else { return };
                self.lock().1.get_or_insert_default().put(&host);
                self.each(|selection, table| {
                    if selection.has(&host) {
                        let known = selection.read(&host, &mut table.interner);
                        table.listing.get_or_insert_default().insert(name.into(), known);
                    }
                });
            }
            Event::InitDone => {
                self.each(|_, table| table.listed());
                let (index, listing) = &mut *self.lock();
                if let Some(listing) = listing.take() {
                    *index = listing;
                }
                self.0.sync.send_replace(Sync::Synced);
            }
            Event::Apply(host) => {
                let Some(name) = host.metadata.name.as_deref() else { return };
                self.lock().0.put(&host);
                let version = host.metadata.resource_version.as_deref().unwrap_or_default();
                self.each(|selection, table| {
                    if selection.has(&host) {
                        let known = selection.read(&host, &mut table.interner);
                        table.store(name, known);
                    } else {
                        table.lost(name, version);
                    }
                });
            }
            Event::Delete(host) => {
                let Some(name) = host.metadata.name.as_deref() else { return };
                self.lock().0.remove(name);
                self.each(|_, table| table.remove(name));
            }
        }
    }

    fn each(&self, mut work: impl FnMut(&Selection, &mut Table)) {
        for member in self.members().iter() {
            work(&member.selection, &mut member.lock());
        }
    }

    fn members(&self) -> MutexGuard<'_, Vec<Arc<Member>>> {
        self.0.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, (Index, Option<Index>)> {
        self.0.index.lock().unwrap_or_else(PoisonError::into_inner)
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
        | watcher::Error::WatchFailed(cause) => {
            crate::store::client::explain(what, "watch hosts", cause)
        }
        watcher::Error::WatchError(status) => {
            crate::store::client::explain(what, "watch hosts", kube::Error::Api(status))
        }
        watcher::Error::NoResourceVersion => crate::error::Error::new(what).because(problem),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_watch_is_taken_for_mended_after_about_two_attempts() {
        let second = Duration::from_secs(1);
        let start = Instant::now();
        let first = Failure::after(None, start);
        assert!(!first.is_mended(start + 8 * second) && first.is_mended(start + 9 * second));
        let later = Failure::after(Some(first), start + 10 * second);
        assert!(!later.is_mended(start + 40 * second) && later.is_mended(start + 44 * second));
        let long = Failure::after(Some(later), start + 70 * second);
        assert_eq!(long.counts, ERROR_COUNTS);
        assert_eq!(Failure::after(Some(long), start + 300 * second).counts, ERROR_COUNTS_AT_LEAST);
    }
}
