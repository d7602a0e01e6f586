//! The hosts of a namespace as one watch keeps them, for all sources of this process: of each
//! source's hosts what its fetcher must know to decide that nothing is to be written (about 400 bytes a
//! host), and of every host, whoever's it is, the keys of its identity ([`index`]; at 100,000 hosts 300
//! bytes each with a provider's id alone, 460 with all keys and two MAC addresses). No object is kept.
//!
//! A source *has* a host that `status.sources` names it in, or whose label names it: the label alone is
//! not enough, because a host that two sources have carries the label of one.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::jiff::Timestamp;
use serde_json::Value;
use tokio::sync::watch as channel;
use tokio::time::Instant;

use crate::model::condition::{FALSE, POSSIBLE_DUPLICATE, PROVIDER_HEALTHY, SEEN, TRUE};
use crate::model::diff::{Contested, Part, StoredHost, at, digest, hash_text};
use crate::model::host::{Phase, ScheduledEvent, SourceFacts};
use crate::model::identity::{Fingerprint, Relation};
use crate::model::labels;

mod fleet;
mod index;

pub use self::fleet::{Fleet, Turn};

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
    /// The host goes by the word of another source; `Some(true)`: that source says it is gone.
    pub guest: Option<bool>,
    /// Who has set `spec.providerID`; none: nobody.
    pub provider: Option<ProviderId>,
    /// Since when another host may be the same machine.
    pub duplicate: Option<Timestamp>,
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
    /// Region at the source, which names the scope.
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

    /// Whether the source, which says this state of the machine, leaves to another one what only one
    /// can say. Who still has a machine takes it over from whom it is gone for.
    pub fn is_guest(&self, state: Phase) -> bool {
        self.guest.is_some_and(|gone| !gone || state == Phase::Gone)
    }
}

/// Who has set `spec.providerID`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderId {
    /// This source's fetcher.
    Ours,
    /// Somebody else; the hash of it.
    Others(u64),
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
    /// Whether the source has this host.
    pub fn has(&self, host: &StoredHost) -> bool {
        let label = host.metadata.labels.as_ref().and_then(|all| all.get(labels::SOURCE));
        label == Some(&self.source) || at(at(&host.status, "sources"), &self.source).is_object()
    }

    /// Reads what must be known of a stored host.
    pub fn read(&self, host: &StoredHost, intern: &mut Interner) -> Known {
        let meta = &host.metadata;
        let facts = at(at(&host.status, "sources"), &self.source);
        let facts: SourceFacts = serde_json::from_value(facts.clone()).unwrap_or_default();
        let label = |key: &str| {
            meta.labels.as_ref().and_then(|all| all.get(key)).map_or("", String::as_str)
        };
        let created = meta.creation_timestamp.as_ref().map(|t| t.0).unwrap_or_default();
        let owner = label(labels::SOURCE);
        let guest = (!owner.is_empty() && owner != self.source).then(|| {
            let theirs = at(at(at(&host.status, "sources"), owner), "state");
            theirs == Phase::Gone.as_str()
        });
        let main = host.owned(&self.manager, Part::Main);
        let provider = at(&host.spec, "providerID").as_str().filter(|id| !id.is_empty());
        // conditions are the word of whose the host is
        let condition = |type_| {
            condition(&host.status, type_).filter(|_| guest.is_none()).map(|(s, t, _)| (s, t))
        };
        let region = facts.region.as_deref();
        let account = facts.account.as_deref();
        Known {
            uid: meta.uid.as_deref().unwrap_or_default().into(),
            resource_version: meta.resource_version.as_deref().unwrap_or_default().into(),
            main: digest(&main),
            status: digest(&host.owned(&self.manager, Part::Status)),
            contested: match guest {
                Some(_) => host.guest(&self.manager, owner),
                None => host.contested(&self.manager, None),
            },
            native: facts.uid.unwrap_or_default().into(),
            state: facts.state,
            since: facts.since.map_or(created, |t| t.0),
            missed: facts.missed.unwrap_or(0),
            guest,
            provider: provider.map(|id| {
                let ours = !at(at(&main, "spec"), "providerID").is_null();
                if ours { ProviderId::Ours } else { ProviderId::Others(hash_text(id)) }
            }),
            duplicate: condition(POSSIBLE_DUPLICATE).map(|(_, since)| since),
            seen: condition(SEEN),
            healthy: condition(PROVIDER_HEALTHY),
            trouble: trouble(&host.status).filter(|_| guest.is_none()),
            held_until: held_until(&host.spec),
            kept: self.kept(host),
            deleting: meta.deletion_timestamp.is_some(),
            scope: intern.get(region.unwrap_or_else(|| label(labels::REGION))),
            account: intern.get(account.unwrap_or_else(|| label(labels::ACCOUNT))),
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

/// The hosts of one source.
#[derive(Default)]
struct Table {
    hosts: HashMap<Box<str>, Known>,
    /// The names by the hash of the id at the source.
    natives: HashMap<u64, Box<str>>,
    /// What the list at the beginning, or after a break, has brought so far.
    listing: Option<HashMap<Box<str>, Known>>,
    interner: Interner,
}

impl Table {
    /// Keeps the newer of the two: the answer to a write may overtake the watch, and then older events
    /// come after it.
    fn store(&mut self, name: &str, new: Known) {
        match self.hosts.get_mut(name) {
            Some(old)
                if old.uid == new.uid && older(&new.resource_version, &old.resource_version) =>
            {
                return;
            }
            Some(old) => {
                let appeared = if old.uid == new.uid { old.appeared } else { new.appeared };
                let native = std::mem::replace(old, Known { appeared, ..new }).native;
                self.unlink(&native, name);
            }
            None => _ = self.hosts.insert(name.into(), new),
        }
        self.link(name);
    }

    fn remove(&mut self, name: &str) {
        if let Some(old) = self.hosts.remove(name) {
            self.unlink(&old.native, name);
        }
    }

    /// Takes away a host that the source does not have any more, unless what is known is newer.
    fn lost(&mut self, name: &str, version: &str) {
        if self.hosts.get(name).is_some_and(|old| !older(version, &old.resource_version)) {
            self.remove(name);
        }
    }

    fn link(&mut self, name: &str) {
        let Some(native) = self.hosts.get(name).map(|k| &k.native).filter(|n| !n.is_empty()) else {
            return;
        };
        self.natives.entry(hash_text(native)).or_insert_with(|| name.into());
    }

    fn unlink(&mut self, native: &str, name: &str) {
        let key = hash_text(native);
        if self.natives.get(&key).is_some_and(|linked| **linked == *name) {
            self.natives.remove(&key);
        }
    }

    /// What was listed is what there is.
    fn listed(&mut self) {
        let Some(mut listing) = self.listing.take() else { return };
        for (name, known) in &mut listing {
            if let Some(old) = self.hosts.get(name).filter(|old| old.uid == known.uid) {
                known.appeared = old.appeared;
            }
        }
        self.hosts = listing;
        self.hosts.shrink_to_fit();
        let names: Vec<Box<str>> = self.hosts.keys().cloned().collect();
        self.natives = HashMap::with_capacity(names.len());
        for name in names {
            self.link(&name);
        }
    }
}

/// Whether the first of two versions of an object is the older one. They are compared as numbers, as
/// Kubernetes allows since 1.35.
fn older(a: &str, b: &str) -> bool {
    matches!((a.parse::<u64>(), b.parse::<u64>()), (Ok(a), Ok(b)) if a < b)
}

/// How far the watch is.
#[derive(Clone, Debug)]
pub enum Sync {
    /// Nothing has been listed completely yet; the last error, if there was one.
    Listing(Option<Arc<crate::error::Error>>),
    /// A complete list has been read, and changes since then.
    Synced,
}

/// One source's part of the table.
struct Member {
    selection: Selection,
    table: Mutex<Table>,
}

impl Member {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The hosts of one source, kept by the watch of a [`Fleet`].
#[derive(Clone)]
pub struct Hosts {
    member: Arc<Member>,
    fleet: Fleet,
}

impl Hosts {
    /// Which hosts these are.
    pub fn selection(&self) -> &Selection {
        &self.member.selection
    }

    /// All hosts of the namespace, whoever's they are.
    pub fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// Reports how far the watch is, and each change of that.
    pub fn progress(&self) -> channel::Receiver<Sync> {
        self.fleet.progress()
    }

    /// Whether the table is complete and nothing says that the watch is broken.
    pub fn in_sync(&self) -> bool {
        self.fleet.in_sync()
    }

    /// What is known of a host.
    pub fn get(&self, name: &str) -> Option<Known> {
        self.member.lock().hosts.get(name).cloned()
    }

    /// The name of the host that has this id at the source.
    pub fn named(&self, native: &str) -> Option<String> {
        let table = self.member.lock();
        let name = table.natives.get(&hash_text(native))?;
        let known = table.hosts.get(name)?;
        (*known.native == *native).then(|| name.to_string())
    }

    /// Number of hosts.
    pub fn len(&self) -> usize {
        self.member.lock().hosts.len()
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
        self.member
            .lock()
            .hosts
            .iter()
            .filter(|(_, known)| scope.is_none_or(|scope| &*known.scope == scope))
            .filter_map(|(name, known)| pick(name, known))
            .collect()
    }

    /// Number of hosts in this state, over all scopes.
    pub fn count(&self, state: Phase) -> usize {
        self.member.lock().hosts.values().filter(|known| known.state == state).count()
    }

    /// The hosts that are, or may be, the machine with this fingerprint, and what they are to it.
    /// Those that are this source's own are left out: its ids say which of its machines is which.
    pub fn similar(&self, print: &Fingerprint) -> Vec<(Arc<str>, Relation)> {
        let mut found = self.fleet.similar(print);
        let table = self.member.lock();
        found.retain(|(name, _)| {
            !table.hosts.get(&**name).is_some_and(|k| k.guest.is_none() && !k.native.is_empty())
        });
        found
    }

    /// Takes in what the server answered to a write, ahead of the watch.
    pub fn put(&self, host: &StoredHost) -> Option<Known> {
        let name = host.metadata.name.as_deref()?;
        self.fleet.index(host);
        let mut table = self.member.lock();
        let known = self.member.selection.read(host, &mut table.interner);
        if self.member.selection.has(host) {
            table.store(name, known.clone());
        } else {
            table.lost(name, &known.resource_version);
        }
        Some(known)
    }

    /// Forgets a host that the server says is not there.
    pub fn forget(&self, name: &str) {
        self.fleet.forget(name);
        self.member.lock().remove(name);
    }

    /// Reads a host that did not come by the watch, without keeping it.
    pub fn read(&self, host: &StoredHost) -> Known {
        self.member.selection.read(host, &mut self.member.lock().interner)
    }
}

#[cfg(test)]
mod tests;
