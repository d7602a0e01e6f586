//! The Clusters that are known: their budgets, and the playbooks that they offer.

use std::collections::{BTreeMap, BTreeSet};

use super::Model;
use crate::model::budget::{Budget, Member};
use crate::model::cluster::{Cluster, Playbook};
use crate::model::key::Uid;
use crate::model::row::HostRow;
use crate::store::clusters::ClusterEvent;

/// Namespace and name of a Cluster.
pub type ClusterKey = (String, String);

/// The Clusters that are known.
#[derive(Clone, Debug, Default)]
pub struct Clusters {
    known: BTreeMap<ClusterKey, Box<Cluster>>,
    /// What a listing that goes on has brought so far.
    listed: Option<BTreeSet<ClusterKey>>,
    /// Why they cannot be followed.
    pub problem: Option<String>,
}

/// How the budget of a cluster stands, and what an order wants of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stand {
    /// Name of the cluster.
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

fn key(cluster: &Cluster) -> ClusterKey {
    let meta = &cluster.metadata;
    (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}

impl Clusters {
    /// Takes in what has happened.
    pub(super) fn apply(&mut self, event: ClusterEvent) {
        match event {
            ClusterEvent::Begin => self.listed = Some(BTreeSet::new()),
            ClusterEvent::Apply(cluster) => {
                let key = key(&cluster);
                if let Some(listed) = &mut self.listed {
                    listed.insert(key.clone());
                }
                self.known.insert(key, cluster);
            }
            ClusterEvent::Delete(cluster) => drop(self.known.remove(&key(&cluster))),
            ClusterEvent::Synced => {
                if let Some(listed) = self.listed.take() {
                    self.known.retain(|key, _| listed.contains(key));
                }
                self.problem = None;
            }
            ClusterEvent::Lost(reason) => self.problem = Some(reason),
        }
    }

    /// The Cluster of a host, if there is such an object.
    pub fn of(&self, row: &HostRow) -> Option<&Cluster> {
        let key = (row.namespace().to_owned(), row.cluster().to_owned());
        self.known.get(&key).map(AsRef::as_ref)
    }
}

impl Model {
    /// How the budgets of the clusters of these hosts stand, each with how many of the hosts would
    /// be away besides. A cluster that chooses its hosts by labels is taken at what its status
    /// says; one without an object has no budget. O(hosts of the fleet).
    pub(super) fn stands(&self, hosts: &[Uid]) -> Vec<Stand> {
        let mut wanted: BTreeMap<ClusterKey, BTreeSet<&str>> = BTreeMap::new();
        for row in hosts.iter().filter_map(|uid| self.inventory.get(uid)) {
            if self.clusters.of(row).is_some() {
                let key = (row.namespace().to_owned(), row.cluster().to_owned());
                wanted.entry(key).or_default().insert(row.name());
            }
        }
        if wanted.is_empty() {
            return Vec::new();
        }
        let mut members: BTreeMap<ClusterKey, Vec<Member>> = BTreeMap::new();
        let names: BTreeSet<&str> = wanted.keys().map(|(_, name)| name.as_str()).collect();
        for row in self.inventory.rows().filter(|row| names.contains(row.cluster())) {
            let key = (row.namespace().to_owned(), row.cluster().to_owned());
            if wanted.contains_key(&key) {
                members.entry(key).or_default().push(Member::of_row(row, self.now));
            }
        }
        let stand = |(key, hosts): (&ClusterKey, &BTreeSet<&str>)| {
            let cluster = self.clusters.known.get(key)?;
            let name = key.1.clone();
            if cluster.spec.selector.is_some() {
                let status = cluster.status.as_ref()?;
                let number = |n: Option<i32>| usize::try_from(n?).ok();
                let left = number(status.disruptions_allowed)?;
                let away = status.disrupted.len();
                let wanted =
                    hosts.iter().filter(|host| !status.disrupted.contains_key(**host)).count();
                return Some(Stand { cluster: name, allowed: left + away, away, wanted });
            }
            let budget =
                Budget::of(cluster, members.get(key).map_or(&[], Vec::as_slice), self.now);
            let wanted = hosts.iter().filter(|host| !budget.away.contains(**host)).count();
            let (allowed, away) = (budget.max_unavailable, budget.away.len());
            Some(Stand { cluster: name, allowed, away, wanted })
        };
        wanted.iter().filter_map(stand).collect()
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
                    let listed = |path: &&String| ansible.playbooks.iter().all(|p| p.path != **path);
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
            if !seen.insert((row.namespace(), row.cluster())) {
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
