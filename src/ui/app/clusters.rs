//! The Clusters that are known: their budgets, and the playbooks that they offer.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Model;
use crate::model::budget::{Budget, Member};
use crate::model::cluster::{Cluster, Playbook};
use crate::model::key::{ServerId, Uid};
use crate::model::policy::{self, Facts, Pass, Verb};
use crate::model::row::HostRow;
use crate::store::objects::ObjectEvent;

/// The Clusters that are known.
#[derive(Clone, Debug, Default)]
pub struct Clusters {
    /// By server.
    servers: BTreeMap<ServerId, OneServer>,
}

/// The Clusters of one server.
#[derive(Clone, Debug, Default)]
struct OneServer {
    /// By namespace and name.
    known: BTreeMap<String, BTreeMap<String, Box<Cluster>>>,
    /// What a listing that goes on has brought so far.
    listed: Option<BTreeSet<(String, String)>>,
    /// The list has been complete once.
    synced: bool,
    /// Why they cannot be followed.
    problem: Option<String>,
}

/// How the budget of a cluster stands, and what an order wants of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stand {
    /// Name of the cluster; where there are several servers, with its server's.
    pub cluster: String,
    /// Hosts that may be away at once.
    pub allowed: usize,
    /// Hosts that are away.
    pub away: usize,
    /// Hosts of the order that would be away besides.
    pub wanted: usize,
}

impl Stand {
    /// How many more hosts may go away.
    pub fn left(&self) -> usize {
        self.allowed.saturating_sub(self.away)
    }

    /// Whether the order wants more than there is.
    pub fn is_over(&self) -> bool {
        self.wanted > self.left()
    }
}

fn key(cluster: &Cluster) -> (String, String) {
    let meta = &cluster.metadata;
    (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}

impl OneServer {
    /// Takes in what has happened.
    fn apply(&mut self, event: ObjectEvent<Cluster>) {
        match event {
            ObjectEvent::Begin => self.listed = Some(BTreeSet::new()),
            ObjectEvent::Apply(cluster) => {
                let (namespace, name) = key(&cluster);
                if let Some(listed) = &mut self.listed {
                    listed.insert((namespace.clone(), name.clone()));
                }
                self.known.entry(namespace).or_default().insert(name, cluster);
            }
            ObjectEvent::Delete(cluster) => {
                let (namespace, name) = key(&cluster);
                if let Some(known) = self.known.get_mut(&namespace) {
                    known.remove(&name);
                }
            }
            ObjectEvent::Synced => {
                if let Some(listed) = self.listed.take() {
                    for (namespace, known) in &mut self.known {
                        known.retain(|name, _| listed.contains(&(namespace.clone(), name.clone())));
                    }
                }
                self.synced = true;
                self.problem = None;
            }
            ObjectEvent::Lost(reason) => self.problem = Some(reason),
        }
    }
}

impl Clusters {
    /// Takes in what has happened on a server.
    pub(super) fn apply(&mut self, server: ServerId, event: ObjectEvent<Cluster>) {
        self.servers.entry(server).or_default().apply(event);
    }

    /// Forgets a server.
    pub(super) fn forget(&mut self, server: ServerId) {
        self.servers.remove(&server);
    }

    /// Why those of a server cannot be followed, if so.
    pub fn problem(&self, server: ServerId) -> Option<&str> {
        self.servers.get(&server)?.problem.as_deref()
    }

    /// Whether it is known which a server has, or that this cannot be known.
    pub(super) fn told(&self, server: ServerId) -> bool {
        let known = self.servers.get(&server);
        known.is_some_and(|known| known.synced || known.problem.is_some())
    }

    /// The Cluster of this server, namespace and name.
    pub fn get(&self, (server, namespace, name): Key<'_>) -> Option<&Cluster> {
        self.servers.get(&server)?.known.get(namespace)?.get(name).map(AsRef::as_ref)
    }

    /// The Cluster of a host, if there is such an object.
    pub fn of(&self, row: &HostRow) -> Option<&Cluster> {
        self.get(cluster_of(row))
    }
}

/// Server, namespace and name of a Cluster: two servers may have one of the same name.
type Key<'a> = (ServerId, &'a str, &'a str);

fn cluster_of(row: &HostRow) -> Key<'_> {
    (row.uid().server(), row.namespace(), row.cluster())
}

/// What the checks say of a host.
pub(super) struct Verdict {
    /// Why it would be refused.
    pub(super) against: Option<String>,
    /// What else is worth knowing.
    pub(super) notes: Vec<String>,
    /// It cannot be done at all.
    pub(super) never: bool,
}

/// The checks on hosts of one order; what they must know of a cluster is looked up once.
pub(super) struct Judge<'a> {
    model: &'a Model,
    verb: Verb,
    bulk: bool,
    clusters: HashMap<Key<'a>, Option<policy::ClusterFacts>>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(model: &'a Model, verb: Verb, bulk: bool) -> Self {
        Self { model, verb, bulk, clusters: HashMap::new() }
    }

    pub(super) fn verdict(&mut self, facts: &Facts, row: &'a HostRow) -> Verdict {
        let model = self.model;
        let cluster = self.clusters.entry(cluster_of(row)).or_insert_with(|| {
            let zones = |name: &str| jiff::tz::TimeZone::get(name).ok();
            let cluster = model.clusters.of(row)?;
            Some(policy::ClusterFacts::of(cluster, None, model.now, &zones))
        });
        let holder = model.holder(row.uid());
        let checks = policy::checks(self.verb, facts, cluster.as_ref(), holder, self.bulk);
        let notes = checks.iter().filter(|check| check.pass == Pass::Note);
        Verdict {
            against: policy::refusal(&checks, false),
            notes: notes.map(|check| check.why.clone()).collect(),
            never: policy::worst(&checks) == Pass::Never,
        }
    }
}

impl Model {
    /// How the budgets of the clusters of these hosts stand, each with how many of the hosts would
    /// be away besides. A cluster that chooses its hosts by labels is taken at what its status
    /// says; one without an object has no budget. O(hosts of the fleet).
    pub(super) fn stands(&self, hosts: &[Uid]) -> Vec<Stand> {
        let mut wanted: BTreeMap<Key<'_>, BTreeSet<&str>> = BTreeMap::new();
        for row in hosts.iter().filter_map(|uid| self.inventory.get(uid)) {
            if self.clusters.of(row).is_some() {
                wanted.entry(cluster_of(row)).or_default().insert(row.name());
            }
        }
        if wanted.is_empty() {
            return Vec::new();
        }
        let mut members: BTreeMap<Key<'_>, Vec<Member>> = BTreeMap::new();
        for row in self.inventory.rows() {
            let key = cluster_of(row);
            if wanted.contains_key(&key) {
                members.entry(key).or_default().push(Member::of_row(row, self.now));
            }
        }
        let stand = |(key, hosts): (&Key<'_>, &BTreeSet<&str>)| {
            let cluster = self.clusters.get(*key)?;
            let name = self.with_server(key.0, key.2);
            if cluster.spec.selector.is_some() {
                let status = cluster.status.as_ref()?;
                let left = usize::try_from(status.disruptions_allowed?).ok()?;
                let away = status.disrupted.len();
                let wanted =
                    hosts.iter().filter(|host| !status.disrupted.contains_key(**host)).count();
                return Some(Stand { cluster: name, allowed: left + away, away, wanted });
            }
            let members = members.get(key).map_or(&[][..], Vec::as_slice);
            let budget = Budget::of(cluster, members, self.now);
            let wanted = hosts.iter().filter(|host| !budget.away.contains(**host)).count();
            let (allowed, away) = (budget.max_unavailable, budget.away.len());
            Some(Stand { cluster: name, allowed, away, wanted })
        };
        wanted.iter().filter_map(stand).collect()
    }

    /// Looks again how the budgets stand that an open strip asks.
    pub(super) fn look_at_budgets(&mut self) {
        let super::Overlay::Strip(strip) = &self.overlay else { return };
        let taken = strip.taken();
        if taken.is_empty() {
            return;
        }
        let stands = self.stands(&taken);
        if let super::Overlay::Strip(strip) = &mut self.overlay {
            self.dirty |= strip.stands != stands;
            strip.set_stands(stands);
        }
    }

    /// The playbooks that every one of these hosts is offered, by the order of the first; tags are
    /// those that all of them have. A cluster offers what it lists and its default playbook; where it
    /// has neither, it is what the configuration has.
    pub(super) fn playbooks(&self, hosts: &[Uid]) -> Vec<Playbook> {
        let plain = |path: &String| Playbook {
            path: path.clone(),
            description: None,
            tags: Vec::new(),
            check_only: false,
        };
        let offered = |row: &HostRow| -> Vec<Playbook> {
            let ansible = self.clusters.of(row).and_then(|cluster| cluster.spec.ansible.as_ref());
            match ansible {
                Some(ansible) if !ansible.playbooks.is_empty() => {
                    let listed =
                        |path: &&String| ansible.playbooks.iter().all(|p| p.path != **path);
                    let default = ansible.playbook.iter().filter(listed).map(plain);
                    ansible.playbooks.iter().cloned().chain(default).collect()
                }
                Some(ansible) if ansible.playbook.is_some() => {
                    ansible.playbook.iter().map(plain).collect()
                }
                _ => self.settings.config.ansible.playbooks.iter().map(plain).collect(),
            }
        };
        let mut seen = BTreeSet::new();
        let mut common: Option<Vec<Playbook>> = None;
        for row in hosts.iter().filter_map(|uid| self.inventory.get(uid)) {
            if !seen.insert(cluster_of(row)) {
                continue;
            }
            let next = offered(row);
            common = Some(match common {
                None => next,
                Some(common) => both(common, &next),
            });
        }
        common.unwrap_or_default()
    }

    /// The git revision that runs on a host take when nobody says otherwise.
    pub(super) fn revision(&self, row: &HostRow) -> Option<String> {
        self.clusters.of(row)?.spec.ansible.as_ref()?.revision.clone()
    }
}

/// What is in both lists.
fn both(one: Vec<Playbook>, other: &[Playbook]) -> Vec<Playbook> {
    let shared = |mut playbook: Playbook| {
        let twin = other.iter().find(|twin| twin.path == playbook.path)?;
        playbook.tags.retain(|tag| twin.tags.contains(tag));
        playbook.check_only |= twin.check_only;
        Some(playbook)
    };
    one.into_iter().filter_map(shared).collect()
}
