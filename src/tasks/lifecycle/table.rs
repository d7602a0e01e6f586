//! The hosts as the roll-ups need them: some forty bytes of each and the names of its places.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::ObjectMeta;
use kube::core::{Selector, SelectorExt};

use crate::model::budget::Member;
use crate::model::host::{Host, Phase};
use crate::model::labels;
use crate::model::lifecycle::rollup::Counts;
use crate::store::hosts::Interner;

/// A cluster or a region, by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Place {
    Cluster(Arc<str>),
    Region(Arc<str>),
}

/// What is kept of a host.
struct Known {
    version: u64,
    phase: Phase,
    places: Box<[Place]>,
    counts: Counts,
    held: bool,
    unhealthy: bool,
    left_out: bool,
    os: Arc<str>,
}

/// What is kept of a place.
#[derive(Default)]
struct Sum {
    counts: Counts,
    /// Hosts by name; of clusters only.
    hosts: BTreeSet<Arc<str>>,
}

/// The version of an object. They are compared as numbers, as Kubernetes allows since 1.35; what is
/// no number is older than everything.
pub(super) fn version(object: &ObjectMeta) -> u64 {
    object.resource_version.as_deref().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Counts every host once, and remembers which places have changed since somebody looked.
#[derive(Default)]
pub(super) struct Table {
    hosts: HashMap<Arc<str>, Known>,
    /// How many of them are in each phase.
    phases: BTreeMap<Phase, usize>,
    places: BTreeMap<Place, Sum>,
    changed: BTreeSet<Place>,
    /// Clusters that choose their hosts by labels.
    selectors: BTreeMap<Arc<str>, Selector>,
    listing: Option<HashSet<Arc<str>>>,
    names: Interner,
}

impl Table {
    /// Number of hosts in each phase.
    pub(super) fn phases(&self) -> &BTreeMap<Phase, usize> {
        &self.phases
    }

    /// The counts of each region.
    pub(super) fn regions(&self) -> impl Iterator<Item = (&Arc<str>, Counts)> {
        self.places.iter().filter_map(|(place, sum)| match place {
            Place::Region(name) => Some((name, sum.counts)),
            Place::Cluster(_) => None,
        })
    }

    /// Whether the host is known.
    pub(super) fn knows(&self, host: &str) -> bool {
        self.hosts.contains_key(host)
    }

    /// Whether a newer state of the object is known than this.
    pub(super) fn knows_newer(&self, object: &ObjectMeta) -> bool {
        let known = object.name.as_deref().and_then(|name| self.hosts.get(name));
        known.is_some_and(|known| known.version > version(object))
    }

    /// A list begins.
    pub(super) fn begin(&mut self) {
        self.listing = Some(HashSet::new());
    }

    /// The list that is under way has this host.
    pub(super) fn listed(&mut self, host: &str) {
        if let Some(listing) = &mut self.listing {
            listing.insert(host.into());
        }
    }

    /// A list is complete: what it does not have is gone. Gives the names of those.
    pub(super) fn end(&mut self) -> Vec<Arc<str>> {
        let Some(listed) = self.listing.take() else { return Vec::new() };
        let gone: Vec<Arc<str>> =
            self.hosts.keys().filter(|host| !listed.contains(*host)).cloned().collect();
        for host in &gone {
            self.remove(host);
        }
        gone
    }

    /// The host is as given.
    pub(super) fn set(&mut self, host: &Host, now: Timestamp) {
        let Some(name) = host.metadata.name.as_deref() else { return };
        let member = Member::of(host, now);
        let region = host.labels().get(labels::REGION).map(String::as_str);
        let mut places: Vec<Place> = Vec::new();
        let own =
            host.spec.cluster.as_deref().filter(|cluster| !self.selectors.contains_key(*cluster));
        places.extend(own.map(|cluster| Place::Cluster(self.names.get(cluster))));
        let chosen = self.selectors.iter().filter(|(_, selector)| selector.matches(host.labels()));
        places.extend(chosen.map(|(cluster, _)| Place::Cluster(Arc::clone(cluster))));
        places.extend(region.map(|region| Place::Region(self.names.get(region))));
        let os = host.status.as_ref().and_then(|status| status.os.as_ref()?.version.as_deref());
        let known = Known {
            version: version(&host.metadata),
            phase: host.status.as_ref().and_then(|status| status.phase).unwrap_or_default(),
            places: places.into_boxed_slice(),
            counts: Counts::of(host),
            held: member.held,
            unhealthy: member.unhealthy,
            left_out: member.left_out,
            os: self.names.get(os.unwrap_or_default()),
        };
        let same = self.hosts.get_mut(name).is_some_and(|old| {
            old.version = known.version;
            old.places == known.places
                && old.phase == known.phase
                && old.counts == known.counts
                && (old.held, old.unhealthy, old.left_out)
                    == (known.held, known.unhealthy, known.left_out)
                && old.os == known.os
        });
        if same {
            return;
        }
        self.remove(name);
        let name: Arc<str> = name.into();
        for place in &known.places {
            let sum = self.places.entry(place.clone()).or_default();
            sum.counts += known.counts;
            if matches!(place, Place::Cluster(_)) {
                sum.hosts.insert(Arc::clone(&name));
            }
            self.changed.insert(place.clone());
        }
        *self.phases.entry(known.phase).or_default() += 1;
        self.hosts.insert(name, known);
    }

    /// The host is gone.
    pub(super) fn remove(&mut self, host: &str) {
        let Some((name, known)) = self.hosts.remove_entry(host) else { return };
        if let Some(number) = self.phases.get_mut(&known.phase) {
            *number = number.saturating_sub(1);
        }
        for place in &known.places {
            if let Some(sum) = self.places.get_mut(place) {
                sum.counts -= known.counts;
                sum.hosts.remove(&name);
                if sum.counts == Counts::default() {
                    self.places.remove(place);
                }
            }
            self.changed.insert(place.clone());
        }
    }

    /// The cluster chooses its hosts so, or by their own word. Whether that is new: then every host
    /// must be looked at again.
    pub(super) fn select(&mut self, cluster: &str, selector: Option<&Selector>) -> bool {
        let old = match selector {
            Some(selector) => self.selectors.insert(cluster.into(), selector.clone()),
            None => self.selectors.remove(cluster),
        };
        old.as_ref() != selector
    }

    /// Somebody has to look at this place.
    pub(super) fn touch(&mut self, place: Place) {
        self.changed.insert(place);
    }

    /// One place that has changed, if there is one.
    pub(super) fn next_changed(&mut self) -> Option<Place> {
        self.changed.pop_first()
    }

    /// Whether any place has changed.
    pub(super) fn is_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// The counts of a place.
    pub(super) fn counts(&self, place: &Place) -> Counts {
        self.places.get(place).map(|sum| sum.counts).unwrap_or_default()
    }

    /// The hosts of a cluster, as its budget wants them.
    pub(super) fn members(&self, cluster: &Place) -> Vec<Member> {
        let member = |name: &Arc<str>| {
            let known = self.hosts.get(name)?;
            let (held, unhealthy, left_out) = (known.held, known.unhealthy, known.left_out);
            Some(Member { name: name.to_string(), held, unhealthy, left_out })
        };
        let hosts = self.places.get(cluster).map(|sum| &sum.hosts);
        hosts.into_iter().flatten().filter_map(member).collect()
    }

    /// How many hosts of a cluster run this version.
    pub(super) fn running(&self, cluster: &Place, version: &str) -> i32 {
        let hosts = self.places.get(cluster).map(|sum| &sum.hosts).into_iter().flatten();
        let count = hosts.filter(|name| self.hosts.get(*name).is_some_and(|k| &*k.os == version));
        i32::try_from(count.count()).unwrap_or(i32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::sample;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

    fn cluster(name: &str) -> Place {
        Place::Cluster(name.into())
    }

    #[test]
    fn hosts_are_counted_once_wherever_they_go() {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut table = Table::default();
        let mut hosts: Vec<Host> = sample::fleet(300, now).collect();
        for host in hosts.iter().chain(&hosts) {
            table.set(host, now);
        }
        let sum = |table: &Table, wanted: fn(&Place) -> bool| {
            let mut all = Counts::default();
            table.places.iter().filter(|(p, _)| wanted(p)).for_each(|(_, s)| all += s.counts);
            all
        };
        let is_region = |place: &Place| matches!(place, Place::Region(_));
        let is_cluster = |place: &Place| matches!(place, Place::Cluster(_));
        let before = sum(&table, is_region);
        assert_eq!(before, sum(&table, is_cluster));
        assert!(before.hosts == 300 && before.ready > 250 && before.maintenance > 0, "{before:?}");
        while table.next_changed().is_some() {}
        for host in &hosts {
            table.set(host, now);
        }
        assert!(!table.is_changed(), "the same again changes nothing");

        hosts[0].spec.cluster = Some("elsewhere".into());
        table.set(&hosts[0], now);
        assert_eq!(table.counts(&cluster("elsewhere")).hosts, 1);
        assert_eq!(table.members(&cluster("elsewhere"))[0].name, hosts[0].name_any());
        assert_eq!(table.running(&cluster("elsewhere"), "13.1"), 1);
        assert_eq!(sum(&table, is_cluster), before);
        table.begin();
        for host in &hosts[1..] {
            table.listed(&host.name_any());
        }
        assert_eq!(table.end().len(), 1);
        assert_eq!((table.hosts.len(), sum(&table, is_region).hosts), (299, 299));
        assert_eq!(table.phases().values().sum::<usize>(), 299);
        for host in &hosts {
            table.remove(&host.name_any());
        }
        assert!(table.places.is_empty() && table.hosts.is_empty());
        assert_eq!(table.phases().values().sum::<usize>(), 0);
    }

    #[test]
    fn a_cluster_may_choose_its_hosts_by_labels() {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let hosts: Vec<Host> = sample::fleet(100, now).collect();
        let wanted = BTreeMap::from([(labels::ROLE.to_owned(), "web".to_owned())]);
        let selector = LabelSelector { match_labels: Some(wanted), ..LabelSelector::default() };
        let selector: Selector = selector.try_into().unwrap();
        let mut table = Table::default();
        assert!(table.select("webs", Some(&selector)));
        assert!(!table.select("webs", Some(&selector)));
        for host in &hosts {
            table.set(host, now);
        }
        let webs = hosts.iter().filter(|host| host.spec.role.as_deref() == Some("web")).count();
        assert!(webs > 0);
        assert_eq!(table.members(&cluster("webs")).len(), webs);
        assert!(table.select("webs", None) && !table.select("webs", None));
    }
}
