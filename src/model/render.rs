//! The hosts as templates see them, file by file, always up to date.
//!
//! Each host is one value of a file, made when its object changes and kept as that: an event costs what
//! one host costs. A clone of the hosts costs nothing and does not change any more, so a file is filled
//! from it while the next events come in.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use imbl::OrdMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::Resource;
use serde::{Deserialize, Deserializer};

use super::host::AddressType;
use super::hostvars::Carried;
use super::key::{HostKey, Uid, group_cmp};
use super::record::HostRecord;
use super::selection::{LeftOut, Selection, Verdict};
use super::template::Value;

mod view;

/// The names that a template begins with.
pub const ROOTS: [&str; 3] = ["hosts", "clusters", "regions"];

/// A Host as templates need it: what a row has, and what is carried beside it. The API path is that of
/// [`Host`](super::host::Host).
#[derive(Clone, Debug, Default)]
pub struct WholeHost {
    /// What a row needs.
    pub record: HostRecord,
    /// Annotations, addresses and the like.
    pub carried: Carried,
}

impl<'de> Deserialize<'de> for WholeHost {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let object = serde_json::Value::deserialize(from)?;
        let record = HostRecord::deserialize(&object).map_err(serde::de::Error::custom)?;
        // A part of a wrong type is not carried; the host is there all the same.
        Ok(Self { record, carried: Carried::deserialize(&object).unwrap_or_default() })
    }
}

impl Resource for WholeHost {
    type DynamicType = ();
    type Scope = k8s_openapi::NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        HostRecord::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        HostRecord::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        HostRecord::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        HostRecord::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.record.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.record.metadata
    }
}

/// What a file wants.
pub struct Want {
    /// Which hosts.
    pub selection: Selection,
    /// Kinds of addresses for `address`, the best first.
    pub addresses: Vec<AddressType>,
}

/// The hosts of all files.
pub struct Views {
    files: Vec<Index>,
    hosts: HashMap<Uid, Known>,
    /// When time alone changes something, by host.
    due: BTreeSet<(Timestamp, Uid)>,
    /// Number of the listing.
    listing: u64,
}

struct Index {
    want: Want,
    hosts: Hosts,
    left_out: BTreeMap<Uid, super::selection::Absence>,
}

struct Known {
    key: Key,
    version: Box<str>,
    listing: u64,
    due: Option<Timestamp>,
    /// The host itself, if time alone changes something.
    whole: Option<Box<WholeHost>>,
}

/// The hosts of one file in the order in which people see them.
#[derive(Clone, Default)]
pub struct Hosts {
    entries: OrdMap<Key, Entry>,
    /// Other hosts of the same file have another number.
    number: u64,
}

/// Where a host stands among all.
#[derive(Clone, PartialEq, Eq)]
struct Key(HostKey);

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.as_place().cmp(&other.0.as_place())
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[derive(Clone, PartialEq)]
struct Entry {
    region: Box<str>,
    cluster: Box<str>,
    view: Value,
}

impl Hosts {
    /// Other hosts of the same file have another number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What a template begins with, see [`ROOTS`]: all hosts by the name that people see, and the same
    /// by cluster and by region, those without one last.
    pub fn values(&self) -> Value {
        let all: Vec<&Entry> = self.entries.values().collect();
        let hosts: Value = all.iter().map(|entry| entry.view.clone()).collect();
        let regions = grouped(&all, |entry| &entry.region).into_iter().map(|(name, entries)| {
            let clusters = clusters(&entries);
            group(name, &entries, Some(clusters))
        });
        let regions: Value = regions.collect();
        let values = [("hosts", hosts), ("clusters", clusters(&all)), ("regions", regions)];
        Value::from(BTreeMap::from(values))
    }

    fn set(&mut self, key: &Key, entry: Option<Entry>) {
        let same = self.entries.get(key) == entry.as_ref();
        if same {
            return;
        }
        match entry {
            Some(entry) => self.entries.insert(key.clone(), entry),
            None => self.entries.remove(key),
        };
        self.number += 1;
    }
}

/// The same hosts by a text of theirs, in the order of the explorer's tree.
fn grouped<'a>(
    entries: &[&'a Entry],
    by: impl Fn(&'a Entry) -> &'a str,
) -> Vec<(&'a str, Vec<&'a Entry>)> {
    let mut groups: HashMap<&str, Vec<&Entry>> = HashMap::new();
    for entry in entries {
        groups.entry(by(entry)).or_default().push(entry);
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by(|(a, _), (b, _)| group_cmp(a, b));
    groups
}

fn clusters(entries: &[&Entry]) -> Value {
    let groups = grouped(entries, |entry| &entry.cluster);
    groups.into_iter().map(|(name, entries)| group(name, &entries, None)).collect()
}

fn group(name: &str, entries: &[&Entry], clusters: Option<Value>) -> Value {
    let hosts: Value = entries.iter().map(|entry| entry.view.clone()).collect();
    let mut values = BTreeMap::from([("name", Value::from(name)), ("hosts", hosts)]);
    values.extend(clusters.map(|clusters| ("clusters", clusters)));
    Value::from(values)
}

impl Views {
    /// No hosts, these files.
    pub fn new(files: Vec<Want>) -> Self {
        let index = |want| Index { want, hosts: Hosts::default(), left_out: BTreeMap::new() };
        Self {
            files: files.into_iter().map(index).collect(),
            hosts: HashMap::new(),
            due: BTreeSet::new(),
            listing: 0,
        }
    }

    /// How many hosts are known.
    pub fn len(&self) -> usize {
        self.hosts.len()
    }

    /// Whether no host is known.
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    /// The hosts of each file and how many were left out, in the order of the files.
    pub fn files(&self) -> impl Iterator<Item = (&Hosts, usize)> {
        self.files.iter().map(|index| (&index.hosts, index.left_out.len()))
    }

    /// How many hosts of each file were left out and why, in the order of the files.
    pub fn left_out(&self) -> impl Iterator<Item = LeftOut> + use<'_> {
        self.files.iter().map(|index| {
            let mut all = LeftOut::default();
            for absence in index.left_out.values() {
                all.count(*absence);
            }
            all
        })
    }

    /// A listing begins. Hosts that it does not bring are gone when it ends.
    pub fn begin(&mut self) {
        self.listing += 1;
    }

    /// The listing is complete.
    pub fn end(&mut self) {
        let listing = self.listing;
        let gone = self.hosts.iter().filter(|(_, known)| known.listing != listing);
        for uid in gone.map(|(uid, _)| uid.clone()).collect::<Vec<_>>() {
            self.delete(&uid);
        }
    }

    /// Takes in a host that is new or has changed.
    pub fn apply(&mut self, whole: Box<WholeHost>, now: Timestamp) {
        let Some(uid) = whole.record.uid() else { return };
        let version = whole.record.metadata.resource_version.clone().unwrap_or_default();
        if let Some(known) = self.hosts.get_mut(&uid) {
            known.listing = self.listing;
            if !version.is_empty() && *known.version == *version {
                return;
            }
        }
        self.derive(uid, whole, version.into(), now);
    }

    /// A host is gone.
    pub fn delete(&mut self, uid: &Uid) {
        let Some(known) = self.hosts.remove(uid) else { return };
        if let Some(due) = known.due {
            self.due.remove(&(due, uid.clone()));
        }
        for index in &mut self.files {
            index.hosts.set(&known.key, None);
            index.left_out.remove(uid);
        }
    }

    /// When time alone changes something.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Does what time alone has changed.
    pub fn tick(&mut self, now: Timestamp) {
        while self.next_due().is_some_and(|due| due <= now) {
            let Some((_, uid)) = self.due.pop_first() else { return };
            let Some(known) = self.hosts.get_mut(&uid) else { continue };
            known.due = None;
            let (whole, version) = (known.whole.take(), known.version.clone());
            if let Some(whole) = whole {
                self.derive(uid, whole, version, now);
            }
        }
    }

    fn derive(&mut self, uid: Uid, whole: Box<WholeHost>, version: Box<str>, now: Timestamp) {
        let mut found: Option<Key> = None;
        let mut due: Option<Timestamp> = None;
        let old = self.hosts.remove(&uid);
        if let Some(due) = old.as_ref().and_then(|known| known.due) {
            self.due.remove(&(due, uid.clone()));
        }
        for index in &mut self.files {
            let Some(judged) = index.want.selection.judge(whole.record.clone(), now) else {
                continue;
            };
            let row = &judged.row;
            let key = found.get_or_insert_with(|| Key(row.host_key()));
            due = due.into_iter().chain(judged.next).min();
            if let Some(old) = old.as_ref().filter(|old| old.key != *key) {
                index.hosts.set(&old.key, None);
            }
            let entry = (judged.verdict == Verdict::Keep).then(|| Entry {
                region: row.region().into(),
                cluster: row.cluster().into(),
                view: view::of(row, &whole.carried, &index.want.addresses, now),
            });
            index.hosts.set(key, entry);
            match judged.verdict {
                Verdict::LeftOut(absence) => index.left_out.insert(uid.clone(), absence),
                Verdict::Keep | Verdict::Filtered => index.left_out.remove(&uid),
            };
        }
        let Some(key) = found else { return };
        if let Some(due) = due {
            self.due.insert((due, uid.clone()));
        }
        let whole = due.is_some().then_some(whole);
        self.hosts.insert(uid, Known { key, version, listing: self.listing, due, whole });
    }
}

#[cfg(test)]
mod tests;
