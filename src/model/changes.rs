//! What changed lately across the fleet, old → new. Bounded in time and in number, and what changes
//! again and again is one entry for each field of each host.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;

use super::inventory::Inventory;
use super::key::{ServerId, Uid};
use super::labels;
use super::row::HostRow;

/// Seconds for which a change is kept.
pub const KEPT: i64 = 15 * 60;
/// Most changes that are kept: at some 400 bytes each they stay under 10 MB.
pub const MAX: usize = 20_000;
/// Most characters of a value that are kept.
const MAX_VALUE: usize = 80;
/// Most names of writers that are kept.
const MAX_WHO: usize = 1_000;

/// What of a host changed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Field {
    Host,
    State,
    Health,
    Ready,
    Agent,
    Maintenance,
    Run,
    Service,
    Name,
    Address,
    Region,
    Cluster,
    Role,
    Team,
    /// A label, by key.
    Label(Arc<str>),
    Deletion,
}

impl Field {
    /// Its name on the screen.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Host => "host",
            Self::State => "state",
            Self::Health => "health",
            Self::Ready => "ready",
            Self::Agent => "agent",
            Self::Maintenance => "maintenance",
            Self::Run => "run",
            Self::Service => "service",
            Self::Name => "name",
            Self::Address => "address",
            Self::Region => "region",
            Self::Cluster => "cluster",
            Self::Role => "role",
            Self::Team => "team",
            Self::Label(key) => key,
            Self::Deletion => "deletion",
        }
    }
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Number of the entry; a newer one has a higher one.
    pub number: u64,
    /// When it was last seen to change.
    pub at: Timestamp,
    /// The host.
    pub uid: Uid,
    /// What people call it.
    pub display: Arc<str>,
    /// What of it.
    pub field: Field,
    /// The value before the first change that this entry tells of.
    pub old: Box<str>,
    /// The value now.
    pub new: Box<str>,
    /// Who wrote the version that brought it, where that is known.
    pub who: Option<Arc<str>>,
    /// How often it changed.
    pub times: u32,
}

/// What changed lately.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    entries: BTreeMap<u64, Changed>,
    /// The entry of each field of each host.
    places: HashMap<(Uid, Field), u64>,
    next: u64,
    /// Managers, each once.
    who: HashMap<Box<str>, Arc<str>>,
    /// Entries that had to go before their time.
    dropped: u64,
}

/// A host as it was before an event.
#[derive(Clone, Debug)]
pub struct Before {
    row: HostRow,
    labels: Vec<(Box<str>, Box<str>)>,
}

impl Before {
    /// The host with this uid as it is now; none if it is not known yet.
    pub fn of(inventory: &Inventory, uid: &Uid) -> Option<Self> {
        let row = inventory.get(uid)?.clone();
        let labels = inventory.labels(&row).map(|(key, value)| (key.into(), value.into()));
        let labels = labels.collect();
        Some(Self { row, labels })
    }
}

/// Reads one watched field of a row.
type Read = fn(&HostRow) -> Cow<'_, str>;

/// The watched fields that a row has by itself.
const FIELDS: [(Field, Read); 13] = [
    (Field::State, |row| row.phase().as_str().into()),
    (Field::Health, |row| row.health().as_str().into()),
    (Field::Ready, |row| match row.ready() {
        Some(true) => "yes".into(),
        Some(false) => row.ready_reason().into(),
        None => "not known".into(),
    }),
    (Field::Agent, |row| match row.agent_ready() {
        Some(true) => "answers".into(),
        Some(false) => "silent".into(),
        None => "".into(),
    }),
    (Field::Maintenance, |row| {
        let holders: Vec<&str> = row.holds().iter().map(|hold| &*hold.holder).collect();
        holders.join(", ").into()
    }),
    (Field::Run, |row| match row.run() {
        Some(run) => {
            format!("{} {}", run.playbook(), run.state().as_str()).trim().to_owned().into()
        }
        None => "".into(),
    }),
    (Field::Service, |row| row.service_state().as_str().into()),
    (Field::Name, |row| row.display().into()),
    (Field::Address, |row| row.address().unwrap_or_default().into()),
    (Field::Region, |row| row.region().into()),
    (Field::Cluster, |row| row.cluster().into()),
    (Field::Role, |row| row.role().into()),
    (Field::Team, |row| row.team().into()),
];

impl Changes {
    /// Takes in that a host is there now, and was as `before`, if it was known. `who` wrote it.
    pub fn host(
        &mut self,
        before: Option<&Before>,
        inventory: &Inventory,
        uid: &Uid,
        who: Option<&str>,
        now: Timestamp,
    ) {
        let Some(row) = inventory.get(uid) else { return };
        let Some(before) = before else {
            return self.put(row, Field::Host, "", "is new", who, now);
        };
        for (field, read) in &FIELDS {
            let (old, new) = (read(&before.row), read(row));
            if old != new {
                self.put(row, field.clone(), &old, &new, who, now);
            }
        }
        if row.is_deleting() && !before.row.is_deleting() {
            self.put(row, Field::Deletion, "", "asked for", who, now);
        }
        let old = |key: &str| before.labels.iter().find(|(k, _)| **k == *key);
        let mut there = 0;
        for (key, value) in inventory.labels(row) {
            let was = old(key).map(|(_, value)| &**value);
            there += usize::from(was.is_some());
            if was != Some(value) && !is_mirror(key) {
                self.put(row, Field::Label(key.into()), was.unwrap_or_default(), value, who, now);
            }
        }
        if there < before.labels.len() {
            let gone = before.labels.iter().filter(|(key, _)| {
                !is_mirror(key) && !inventory.labels(row).any(|(other, _)| *other == **key)
            });
            for (key, value) in gone {
                self.put(row, Field::Label((**key).into()), value, "", who, now);
            }
        }
    }

    /// Takes in that a host is gone.
    pub fn gone(&mut self, before: &Before, now: Timestamp) {
        self.put(&before.row, Field::Host, "", "is gone", None, now);
    }

    fn put(
        &mut self,
        row: &HostRow,
        field: Field,
        old: &str,
        new: &str,
        who: Option<&str>,
        now: Timestamp,
    ) {
        let key = (row.uid().clone(), field.clone());
        let before = self.places.get(&key).and_then(|number| self.entries.remove(number));
        let (old, times) = match before {
            Some(entry) => (entry.old, entry.times.saturating_add(1)),
            None => (short(old), 1),
        };
        let who = who.map(|who| self.writer(who));
        let number = self.next;
        self.next += 1;
        self.places.insert(key, number);
        self.entries.insert(
            number,
            Changed {
                number,
                at: now,
                uid: row.uid().clone(),
                display: row.display().into(),
                field,
                old,
                new: short(new),
                who,
                times,
            },
        );
        while self.entries.len() > MAX {
            self.drop_first();
            self.dropped += 1;
        }
    }

    /// A writer's name, kept once.
    fn writer(&mut self, who: &str) -> Arc<str> {
        if let Some(known) = self.who.get(who) {
            return Arc::clone(known);
        }
        // Names of programs, of which there are few; should there be many, it begins anew.
        if self.who.len() >= MAX_WHO {
            self.who.clear();
        }
        let known: Arc<str> = short(who).into();
        self.who.insert(who.into(), Arc::clone(&known));
        known
    }

    fn drop_first(&mut self) {
        if let Some((_, entry)) = self.entries.pop_first() {
            self.places.remove(&(entry.uid, entry.field));
        }
    }

    /// Forgets what is older than [`KEPT`]. True if anything was.
    pub fn tick(&mut self, now: Timestamp) -> bool {
        let limit = now.as_second() - KEPT;
        let mut any = false;
        while self.entries.first_key_value().is_some_and(|(_, e)| e.at.as_second() < limit) {
            self.drop_first();
            any = true;
        }
        any
    }

    /// Forgets the hosts of a server.
    pub fn forget(&mut self, server: ServerId) {
        self.entries.retain(|_, entry| entry.uid.server() != server);
        self.places.retain(|(uid, _), _| uid.server() != server);
    }

    /// All entries, the newest first.
    pub fn newest(&self) -> impl Iterator<Item = &Changed> {
        self.entries.values().rev()
    }

    /// The entries of one host, the newest first. O(entries).
    pub fn of<'a>(&'a self, uid: &'a Uid) -> impl Iterator<Item = &'a Changed> {
        self.newest().filter(move |entry| entry.uid == *uid)
    }

    /// The entry with this number.
    pub fn get(&self, number: u64) -> Option<&Changed> {
        self.entries.get(&number)
    }

    /// The number of the entry of a field of a host.
    pub fn number(&self, uid: &Uid, field: &Field) -> Option<u64> {
        self.places.get(&(uid.clone(), field.clone())).copied()
    }

    /// How many entries there are, and how many had to go before their time.
    pub fn len(&self) -> (usize, u64) {
        (self.entries.len(), self.dropped)
    }
}

/// Labels that only repeat what another field says.
fn is_mirror(key: &str) -> bool {
    const MIRRORS: [&str; 6] = [
        labels::REGION,
        labels::CLUSTER,
        labels::ROLE,
        labels::TEAM,
        labels::SERVICE_STATE,
        labels::MAINTENANCE,
    ];
    MIRRORS.contains(&key)
}

/// The text, cut to what is kept of it.
fn short(text: &str) -> Box<str> {
    match text.char_indices().nth(MAX_VALUE) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()).into(),
        None => text.into(),
    }
}

#[cfg(test)]
mod tests;
