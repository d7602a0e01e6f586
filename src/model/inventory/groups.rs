//! Regions and clusters in order, with the hosts of each cluster and the counters of each level.

use std::sync::Arc;

use crate::model::key::group_cmp;
use crate::model::row::{Health, HostRow};

use super::bits::Bits;
use super::counts::{Tallies, Tally};
use super::roster::Roster;
use super::rows::Rows;

/// The fleet as a tree. A region or a cluster is there as long as it has a host.
#[derive(Default)]
pub(super) struct Groups {
    /// In order, each behind a pointer: a new name in the middle moves eight bytes for each name
    /// behind it, even in a region with ten thousand clusters.
    #[expect(clippy::vec_box, reason = "insertion in the middle moves the elements")]
    pub(super) regions: Vec<Box<Region>>,
    pub(super) tallies: Tallies,
}

pub(super) struct Region {
    pub(super) name: Arc<str>,
    #[expect(clippy::vec_box, reason = "insertion in the middle moves the elements")]
    pub(super) clusters: Vec<Box<Cluster>>,
    pub(super) tallies: Tallies,
}

pub(super) struct Cluster {
    pub(super) name: Arc<str>,
    pub(super) roster: Roster,
    pub(super) tallies: Tallies,
}

/// Something with a name that stands in the order of the tree.
pub(super) trait Named {
    fn name(&self) -> &Arc<str>;
}

impl Named for Box<Region> {
    fn name(&self) -> &Arc<str> {
        &self.name
    }
}

impl Named for Box<Cluster> {
    fn name(&self) -> &Arc<str> {
        &self.name
    }
}

/// Where this name is, or where it would be.
pub(super) fn find<T: Named>(list: &[T], name: &str) -> Result<usize, usize> {
    list.binary_search_by(|item| group_cmp(item.name(), name))
}

impl Groups {
    /// The region and the cluster of a row, by number.
    pub(super) fn locate(&self, region: &str, cluster: &str) -> Option<(usize, usize)> {
        let region = find(&self.regions, region).ok()?;
        let cluster = find(&self.regions.get(region)?.clusters, cluster).ok()?;
        Some((region, cluster))
    }

    /// Takes in a row. Whether the filter chooses it, `bits` knows already.
    pub(super) fn add(&mut self, slot: u32, bits: Option<&Bits>, rows: &Rows) {
        let Some(row) = rows.get(slot) else { return };
        let health = row.health();
        let number = find(&self.regions, row.region()).unwrap_or_else(|number| {
            let name = row.region().into();
            let new = Region { name, clusters: Vec::new(), tallies: Tallies::default() };
            self.regions.insert(number, Box::new(new));
            number
        });
        let Some(region) = self.regions.get_mut(number) else { return };
        let number = find(&region.clusters, row.cluster()).unwrap_or_else(|number| {
            let name = row.cluster().into();
            let new = Cluster { name, roster: Roster::default(), tallies: Tallies::default() };
            region.clusters.insert(number, Box::new(new));
            number
        });
        let Some(cluster) = region.clusters.get_mut(number) else { return };
        cluster.roster.insert(slot, bits, rows);
        let matched = bits.is_some_and(|bits| bits.has(slot));
        for tallies in [&mut cluster.tallies, &mut region.tallies, &mut self.tallies] {
            tallies.all.add(health);
            if matched {
                tallies.matched.add(health);
            }
        }
    }

    /// Takes out a row, which must still be in `rows` as it was.
    pub(super) fn remove(&mut self, slot: u32, bits: Option<&Bits>, rows: &Rows) {
        let Some(row) = rows.get(slot) else { return };
        let health = row.health();
        let Some((region_at, cluster_at)) = self.locate(row.region(), row.cluster()) else {
            return;
        };
        let Some(region) = self.regions.get_mut(region_at) else { return };
        let Some(cluster) = region.clusters.get_mut(cluster_at) else { return };
        cluster.roster.remove(slot, bits, rows);
        let matched = bits.is_some_and(|bits| bits.has(slot));
        for tallies in [&mut cluster.tallies, &mut region.tallies, &mut self.tallies] {
            tallies.all.remove(health);
            if matched {
                tallies.matched.remove(health);
            }
        }
        if cluster.roster.is_empty() {
            region.clusters.remove(cluster_at);
        }
        if region.clusters.is_empty() {
            self.regions.remove(region_at);
        }
    }

    /// The counters on the way from a row to the top, and the roster that it is in.
    fn path(&mut self, slot: u32, rows: &Rows) -> Option<([&mut Tallies; 3], &mut Roster)> {
        let row = rows.get(slot)?;
        let (region, cluster) = self.locate(row.region(), row.cluster())?;
        let region = self.regions.get_mut(region)?;
        let cluster = region.clusters.get_mut(cluster)?;
        let tallies = [&mut cluster.tallies, &mut region.tallies, &mut self.tallies];
        Some((tallies, &mut cluster.roster))
    }

    /// Counts a row that stays where it is under its new health.
    pub(super) fn set_health(&mut self, slot: u32, old: Health, bits: Option<&Bits>, rows: &Rows) {
        let Some(new) = rows.get(slot).map(HostRow::health) else { return };
        let matched = bits.is_some_and(|bits| bits.has(slot));
        if old == new {
            return;
        }
        for tallies in self.path(slot, rows).into_iter().flat_map(|(path, _)| path) {
            tallies.all.remove(old);
            tallies.all.add(new);
            if matched {
                tallies.matched.remove(old);
                tallies.matched.add(new);
            }
        }
    }

    /// Counts a row in or out of those that the filter chooses.
    pub(super) fn set_matched(&mut self, slot: u32, matched: bool, rows: &Rows) {
        let Some(health) = rows.get(slot).map(HostRow::health) else { return };
        let Some((path, roster)) = self.path(slot, rows) else { return };
        roster.set_matched(slot, matched, rows);
        for tallies in path {
            if matched {
                tallies.matched.add(health);
            } else {
                tallies.matched.remove(health);
            }
        }
    }

    /// Counts anew what the filter chooses, everywhere.
    pub(super) fn recount(&mut self, bits: &Bits, rows: &Rows) {
        self.tallies.matched = Tally::default();
        for region in &mut self.regions {
            region.tallies.matched = Tally::default();
            for cluster in &mut region.clusters {
                let mut tally = Tally::default();
                cluster.roster.recount(bits, |slot| {
                    if let Some(health) = rows.health(slot) {
                        tally.add(health);
                    }
                });
                region.tallies.matched.merge(&tally);
                cluster.tallies.matched = tally;
            }
            self.tallies.matched.merge(&region.tallies.matched);
        }
    }

    /// Every slot in the order of the tree.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        self.regions
            .iter()
            .flat_map(|region| &region.clusters)
            .flat_map(|cluster| cluster.roster.iter())
    }
}
