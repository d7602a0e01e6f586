//! What the lifecycle controller says of clusters and regions: how many hosts, and how they are.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use super::Demo;
use super::write::within;
use crate::model::cluster::Cluster;
use crate::model::condition::{self, READY};
use crate::model::host::{Host, Phase};
use crate::model::labels;
use crate::model::region::Region;
use crate::store::client::LIFECYCLE;

/// Objects that are written at one time, so that a large fleet that fills does not flood.
const AT_ONCE: usize = 16;

/// One cluster or region.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Place {
    Cluster(String),
    Region(String),
}

/// What is counted; each is also the name of a field.
const COUNTS: [&str; 5] = ["hosts", "ready", "maintenance", "unreachable", "missing"];

type Counts = [i32; COUNTS.len()];

/// What a host adds to its places.
struct Share {
    places: Vec<Place>,
    counts: Counts,
}

/// Counts every host once, and remembers which counts nobody has been told yet.
#[derive(Default)]
pub(super) struct Rollup {
    hosts: HashMap<String, Share>,
    counts: BTreeMap<Place, Counts>,
    changed: BTreeSet<Place>,
}

impl Rollup {
    /// The host is as given; none: it is gone.
    pub(super) fn set(&mut self, name: &str, host: Option<&Host>) {
        if let Some(old) = self.hosts.remove(name) {
            self.add(&old, -1);
        }
        if let Some(host) = host {
            let share = share(host);
            self.add(&share, 1);
            self.hosts.insert(name.to_owned(), share);
        }
    }

    /// A new list begins: what it does not bring is gone.
    pub(super) fn clear(&mut self) {
        self.hosts.clear();
        for (place, counts) in &mut self.counts {
            *counts = Counts::default();
            self.changed.insert(place.clone());
        }
    }

    fn add(&mut self, share: &Share, sign: i32) {
        for place in &share.places {
            let counts = self.counts.entry(place.clone()).or_default();
            for (count, part) in counts.iter_mut().zip(share.counts) {
                *count += sign * part;
            }
            self.changed.insert(place.clone());
        }
    }

    /// Writes some of what has changed. What fails is written with the next change.
    pub(super) async fn write(&mut self, demo: &Demo) {
        let clusters: Api<Cluster> = Api::namespaced(demo.client.clone(), &demo.namespace);
        let regions: Api<Region> = Api::all(demo.client.clone());
        let params =
            PatchParams { field_manager: Some(LIFECYCLE.to_owned()), ..PatchParams::default() };
        for _ in 0..AT_ONCE {
            let Some(place) = self.changed.pop_first() else { return };
            let patch = Patch::Merge(self.status(&place));
            let sent = match &place {
                Place::Cluster(name) => {
                    within(clusters.patch_status(name, &params, &patch)).await.map(|_| ())
                }
                Place::Region(name) => {
                    within(regions.patch_status(name, &params, &patch)).await.map(|_| ())
                }
            };
            match sent {
                Ok(()) => {}
                // A cluster that nobody has described.
                Err(kube::Error::Api(status)) if status.is_not_found() => {}
                Err(cause) => tracing::warn!(?place, %cause, "the demo cannot write its counts"),
            }
        }
    }

    fn status(&self, place: &Place) -> Value {
        let counts = self.counts.get(place).copied().unwrap_or_default();
        json!({ "status": COUNTS.into_iter().zip(counts).collect::<BTreeMap<_, _>>() })
    }
}

fn share(host: &Host) -> Share {
    let cluster = host.spec.cluster.clone().map(Place::Cluster);
    let region = host.labels().get(labels::REGION).cloned().map(Place::Region);
    let status = host.status.as_ref();
    let is = |phase| i32::from(status.is_some_and(|status| status.phase == Some(phase)));
    let ready = status
        .and_then(|status| condition::find(&status.conditions, READY))
        .is_some_and(|ready| ready.status == condition::TRUE);
    let held = status.and_then(|status| status.maintenance.as_ref()).is_some_and(|m| m.active);
    Share {
        places: cluster.into_iter().chain(region).collect(),
        counts: [1, ready.into(), held.into(), is(Phase::Unreachable), is(Phase::Missing)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::sample;

    #[test]
    fn hosts_are_counted_once_wherever_they_go() {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut rollup = Rollup::default();
        let mut hosts: Vec<Host> = sample::fleet(300, now).collect();
        for host in &hosts {
            rollup.set(&host.name_any(), Some(host));
            rollup.set(&host.name_any(), Some(host));
        }
        let sum = |rollup: &Rollup, wanted: fn(&Place) -> bool| {
            let of = rollup.counts.iter().filter(|(place, _)| wanted(place));
            of.fold([0; 5], |sum: Counts, (_, add)| std::array::from_fn(|i| sum[i] + add[i]))
        };
        let is_region = |place: &Place| matches!(place, Place::Region(_));
        let is_cluster = |place: &Place| matches!(place, Place::Cluster(_));
        let before = sum(&rollup, is_region);
        assert_eq!(before, sum(&rollup, is_cluster));
        assert!(before[0] == 300 && before[1] > 250 && before[2] > 0, "{before:?}");

        let host = &mut hosts[0];
        host.spec.cluster = Some("elsewhere".into());
        rollup.set(&host.name_any(), Some(host));
        let status = rollup.status(&Place::Cluster("elsewhere".into()));
        assert_eq!(status["status"]["hosts"], 1);
        assert!(rollup.changed.contains(&Place::Cluster("elsewhere".into())));
        assert_eq!(sum(&rollup, is_cluster), before);
        let mut relisted = Rollup { counts: rollup.counts.clone(), ..Rollup::default() };
        relisted.clear();
        assert_eq!(relisted.changed.len(), rollup.counts.len());
        for host in &hosts {
            rollup.set(&host.name_any(), None);
        }
        assert_eq!((sum(&rollup, is_region), sum(&relisted, is_region)), ([0; 5], [0; 5]));
    }
}
