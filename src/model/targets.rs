//! What Prometheus is to scrape, job by job, always up to date.
//!
//! Each host is one target group of a job, written as JSON when its object changes and kept as that. An
//! event costs what one host costs, in O(log n); a list is put together when somebody asks for it, from a
//! snapshot that costs nothing to take. Groups stand in the order in which their hosts were made:
//! Prometheus knows a group by its place in the list, so new ones come last.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use imbl::OrdMap;
use k8s_openapi::jiff::Timestamp;
use kube::core::{Expression, Selector, SelectorExt};

use super::cluster::{Cluster, ScrapeJob};
use super::host::AddressType;
use super::key::Uid;
use super::record::HostRecord;
use super::selection::{Selection, Verdict};
use super::silence;
use super::tracked::Tracked;

mod label;

pub use label::{Origin, is_label_name};

use label::Labels;

/// A job: which hosts, what of them.
pub struct Job {
    /// Name of the job.
    pub name: String,
    /// Which hosts.
    pub selection: Selection,
    /// What is scraped on each.
    pub endpoints: Endpoints,
    /// Kinds of addresses, the best first. A host without any of them is no target.
    pub addresses: Vec<AddressType>,
    /// Labels of their own, by name.
    pub labels: Vec<(String, Origin)>,
    /// Label that hosts in maintenance carry with the value `true`.
    pub maintenance: Option<String>,
}

/// What is scraped on a host.
pub enum Endpoints {
    /// The same on each.
    Same {
        /// Ports.
        ports: Vec<u16>,
        /// Scheme, if it is not Prometheus' own default.
        scheme: Option<String>,
        /// Path, if it is not Prometheus' own default.
        path: Option<String>,
    },
    /// What its clusters want, by `spec.monitoring` of the Cluster.
    Clusters,
}

/// The hosts of all jobs.
pub struct Targets {
    jobs: Vec<Index>,
    hosts: Tracked<HostRecord, Known>,
    clusters: BTreeMap<String, Scrape>,
}

/// What a cluster wants to be scraped on its hosts.
#[derive(Clone, Debug, PartialEq)]
struct Scrape {
    jobs: Vec<ScrapeJob>,
    selector: Option<Selector>,
}

struct Index {
    job: Job,
    list: List,
    counts: Counts,
}

/// A list of target groups. A clone costs nothing and does not change any more.
#[derive(Clone, Debug, Default)]
pub struct List {
    groups: OrdMap<Place, Arc<Entry>>,
    /// Another list of the same job has another number.
    number: u64,
    bytes: usize,
}

/// When the host was made, and its uid.
type Place = (i64, Uid);

/// The groups of one host: each is a head of its own and what they share.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    heads: Box<[Box<str>]>,
    shared: Arc<str>,
}

/// What became of the hosts of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Hosts that are targets.
    pub targets: usize,
    /// Hosts that the filter chooses and that take no part in service.
    pub left_out: usize,
    /// Hosts that have none of the wanted addresses.
    pub addressless: usize,
}

/// What became of one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Target,
    Filtered,
    LeftOut,
    Addressless,
}

/// What is kept of a host: its place, and what became of it in each job.
struct Known {
    place: Place,
    states: Box<[State]>,
}

impl Entry {
    fn len(&self) -> usize {
        self.heads.iter().map(|head| head.len() + self.shared.len() + 4).sum()
    }
}

impl List {
    /// Another list of the same job has another number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Whether there is no group in it.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The list as `http_sd` and `file_sd` want it; for 100,000 hosts a matter of tens of milliseconds.
    pub fn to_json(&self) -> Vec<u8> {
        let mut all = Vec::with_capacity(self.bytes + 2);
        all.push(b'[');
        for entry in self.groups.values() {
            for head in &entry.heads {
                if all.len() > 1 {
                    all.extend_from_slice(b",\n");
                }
                all.extend_from_slice(head.as_bytes());
                all.extend_from_slice(entry.shared.as_bytes());
                all.extend_from_slice(b"}}");
            }
        }
        all.push(b']');
        all
    }

    /// Puts the entry there. True if that is news.
    fn set(&mut self, place: &Place, entry: Option<Entry>) -> bool {
        let old = self.groups.get(place);
        if old.map(AsRef::as_ref) == entry.as_ref() {
            return false;
        }
        self.bytes -= old.map_or(0, |old| old.len());
        match entry {
            Some(entry) => {
                self.bytes += entry.len();
                self.groups.insert(place.clone(), Arc::new(entry));
            }
            None => {
                self.groups.remove(place);
            }
        }
        self.number += 1;
        true
    }
}

impl Counts {
    fn slot(&mut self, state: State) -> Option<&mut usize> {
        match state {
            State::Target => Some(&mut self.targets),
            State::LeftOut => Some(&mut self.left_out),
            State::Addressless => Some(&mut self.addressless),
            State::Filtered => None,
        }
    }

    fn add(&mut self, state: State) {
        if let Some(count) = self.slot(state) {
            *count += 1;
        }
    }

    fn take(&mut self, state: State) {
        if let Some(count) = self.slot(state) {
            *count = count.saturating_sub(1);
        }
    }
}

impl Targets {
    /// No hosts, these jobs.
    pub fn new(jobs: Vec<Job>) -> Self {
        let index = |job| Index { job, list: List::default(), counts: Counts::default() };
        Self {
            jobs: jobs.into_iter().map(index).collect(),
            hosts: Tracked::default(),
            clusters: BTreeMap::new(),
        }
    }

    /// Whether it depends on the Clusters.
    pub fn wants_clusters(&self) -> bool {
        self.jobs.iter().any(|index| matches!(index.job.endpoints, Endpoints::Clusters))
    }

    /// How many hosts there are.
    pub fn len(&self) -> usize {
        self.hosts.len()
    }

    /// Whether there is no host.
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    /// The list of each job and what became of the hosts, in the order of the jobs.
    pub fn lists(&self) -> impl Iterator<Item = (&List, Counts)> {
        self.jobs.iter().map(|index| (&index.list, index.counts))
    }

    /// A listing begins. Hosts that it does not bring are gone when it ends.
    pub fn begin(&mut self) {
        self.hosts.begin();
    }

    /// The listing is complete; the hosts that are gone.
    pub fn end(&mut self) -> Vec<Uid> {
        let gone = self.hosts.gone();
        for uid in &gone {
            self.delete(uid);
        }
        gone
    }

    /// Takes in a host that is new or has changed. False if it is known as it is.
    pub fn apply(&mut self, record: Box<HostRecord>, now: Timestamp) -> bool {
        let Some(uid) = record.uid() else { return false };
        let version = record.metadata.resource_version.clone().unwrap_or_default();
        let is_news = self.hosts.is_news(&uid, &version);
        if is_news {
            self.derive(uid, record, version.into(), now);
        }
        is_news
    }

    /// A host is gone.
    pub fn delete(&mut self, uid: &Uid) {
        let Some(known) = self.hosts.take(uid) else { return };
        for (index, state) in self.jobs.iter_mut().zip(known.states) {
            index.list.set(&known.place, None);
            index.counts.take(state);
        }
    }

    /// When time alone changes something.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.hosts.next_due()
    }

    /// Does what time alone has changed.
    pub fn tick(&mut self, now: Timestamp) {
        while let Some((uid, record, version)) = self.hosts.pop_due(now) {
            self.derive(uid, record, version, now);
        }
    }

    /// A Cluster is new or has changed. True if its hosts must be read again: what is known of them does
    /// not say what they would be now.
    pub fn set_cluster(&mut self, cluster: &Cluster) -> bool {
        let Some(name) = cluster.metadata.name.as_deref() else { return false };
        let jobs = cluster.spec.monitoring.as_ref().map(|m| m.jobs.clone()).unwrap_or_default();
        // One that is malformed chooses nobody.
        let nobody = || Expression::In(String::new(), BTreeSet::new()).into();
        let selector = cluster.spec.selector.clone();
        let selector = selector.map(|s| Selector::try_from(s).unwrap_or_else(|_| nobody()));
        let new = Scrape { jobs, selector };
        let nothing = |scrape: &Scrape| scrape.jobs.is_empty() && scrape.selector.is_none();
        match self.clusters.insert(name.to_owned(), new.clone()) {
            Some(old) if old == new => false,
            None if nothing(&new) => false,
            _ => self.forget(),
        }
    }

    /// The Clusters are these and no others. True as for [`Targets::set_cluster`].
    pub fn keep_clusters(&mut self, names: &BTreeSet<String>) -> bool {
        let gone: Vec<String> =
            self.clusters.keys().filter(|name| !names.contains(*name)).cloned().collect();
        let mut again = false;
        for name in gone {
            again |= self.delete_cluster(&name);
        }
        again
    }

    /// A Cluster is gone. True as for [`Targets::set_cluster`].
    pub fn delete_cluster(&mut self, name: &str) -> bool {
        match self.clusters.remove(name) {
            Some(old) if !old.jobs.is_empty() || old.selector.is_some() => self.forget(),
            _ => false,
        }
    }

    /// Every host that comes now is news. Whether there is any.
    fn forget(&mut self) -> bool {
        self.hosts.forget_versions();
        !self.hosts.is_empty()
    }

    /// Derives what follows for a host.
    fn derive(&mut self, uid: Uid, record: Box<HostRecord>, version: Box<str>, now: Timestamp) {
        let created = record.metadata.creation_timestamp.as_ref();
        let place: Place = (created.map_or(0, |time| time.0.as_second()), uid.clone());
        let mut next: Option<Timestamp> = None;
        let mut shared: Option<Arc<str>> = None;
        let wanted = wanted(&self.clusters, &record);
        let mut states = Vec::with_capacity(self.jobs.len());
        let old = self.hosts.take(&uid);
        for (number, index) in self.jobs.iter_mut().enumerate() {
            let judged = index.job.selection.judge(HostRecord::clone(&record), now);
            next =
                [next, judged.as_ref().and_then(|judged| judged.next)].into_iter().flatten().min();
            let (state, entry) = match judged {
                Some(judged) if judged.verdict == Verdict::Keep => {
                    let shared = shared
                        .get_or_insert_with(|| label::shared(&record, &judged.row, now).into());
                    let heads = index.job.heads(&record, &judged.row, &wanted, now);
                    match heads {
                        None => (State::Addressless, None),
                        Some(heads) if heads.is_empty() => (State::Filtered, None),
                        Some(heads) => {
                            let shared = Arc::clone(shared);
                            (State::Target, Some(Entry { heads: heads.into(), shared }))
                        }
                    }
                }
                Some(judged) if matches!(judged.verdict, Verdict::LeftOut(_)) => {
                    (State::LeftOut, None)
                }
                _ => (State::Filtered, None),
            };
            if let Some(old) = &old {
                if let Some(state) = old.states.get(number) {
                    index.counts.take(*state);
                }
                if old.place != place {
                    index.list.set(&old.place, None);
                }
            }
            index.counts.add(state);
            index.list.set(&place, entry);
            states.push(state);
        }
        let known = Known { place, states: states.into() };
        self.hosts.put(uid, (record, version), known, (now, next));
    }
}

/// What the clusters of a host want to be scraped on it.
fn wanted(clusters: &BTreeMap<String, Scrape>, record: &HostRecord) -> Vec<ScrapeJob> {
    let none = BTreeMap::new();
    let labels = record.metadata.labels.as_ref().unwrap_or(&none);
    let own = record.spec.cluster.as_deref();
    let of = clusters.iter().filter(|(name, scrape)| match &scrape.selector {
        Some(selector) => selector.matches(labels),
        None => own == Some(name),
    });
    let mut seen = BTreeSet::new();
    let jobs = of.flat_map(|(_, scrape)| &scrape.jobs);
    // Of two clusters that want a job of the same name the first one counts.
    jobs.filter(|job| seen.insert(job.name.clone())).cloned().collect()
}

impl Job {
    /// The beginning of each group of a host. None: it has no address that is wanted.
    fn heads(
        &self,
        record: &HostRecord,
        row: &super::row::HostRow,
        wanted: &[ScrapeJob],
        now: Timestamp,
    ) -> Option<Vec<Box<str>>> {
        let address = label::address(record, &self.addresses)?;
        let mut labels = Labels::default();
        for (name, from) in &self.labels {
            labels.add(name, &from.of(record, row));
        }
        let in_maintenance = || silence::holds(record).iter().any(|hold| hold.is_current(now));
        if let Some(name) = self.maintenance.as_deref().filter(|_| in_maintenance()) {
            labels.add(name, "true");
        }
        let own = labels.into_text();
        let head = |ports: &[u16], scheme: Option<&str>, path: Option<&str>, job: Option<&str>| {
            let mut text = "{\"targets\":[".to_owned();
            for (number, port) in ports.iter().enumerate() {
                let comma = if number == 0 { "" } else { "," };
                let _ = write!(text, "{comma}\"{address}:{port}\"");
            }
            text.push_str("],\"labels\":{");
            let mut labels = Labels::default();
            labels.add("job", job.unwrap_or_default());
            labels.add("__scheme__", scheme.unwrap_or_default());
            labels.add("__metrics_path__", path.unwrap_or_default());
            text.push_str(&labels.into_text());
            text.push_str(&own);
            text.into_boxed_str()
        };
        Some(match &self.endpoints {
            Endpoints::Same { ports, scheme, path } => {
                vec![head(ports, scheme.as_deref(), path.as_deref(), None)]
            }
            Endpoints::Clusters => wanted
                .iter()
                .filter_map(|job| {
                    let port = u16::try_from(job.port).ok()?;
                    let path = job.path.as_deref();
                    Some(head(&[port], Some(job.scheme.as_str()), path, Some(&job.name)))
                })
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests;
