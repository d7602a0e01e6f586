//! From one visible line to the next: spots in the tree, valid until the next change.

use std::sync::Arc;

use crate::model::key::{NodeKey, Place};

use super::bits::Bits;
use super::groups::{Cluster, Region, find};
use super::roster::Seat;
use super::{Folds, Inventory};

/// A line, by numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) region: usize,
    pub(super) cluster: Option<usize>,
    pub(super) host: Option<Seat>,
}

impl Spot {
    fn region(region: usize) -> Self {
        Self { region, cluster: None, host: None }
    }

    fn cluster(region: usize, cluster: usize) -> Self {
        Self { region, cluster: Some(cluster), host: None }
    }

    fn host(region: usize, cluster: usize, seat: Seat) -> Self {
        Self { region, cluster: Some(cluster), host: Some(seat) }
    }
}

/// The tree as it is visible: an inventory under its filter with some of it folded.
#[derive(Clone, Copy)]
pub(super) struct Walk<'a, 'f> {
    inventory: &'a Inventory,
    folds: &'f Folds,
    bits: Option<&'a Bits>,
}

impl<'a, 'f> Walk<'a, 'f> {
    pub(super) fn new(inventory: &'a Inventory, folds: &'f Folds) -> Self {
        Self { inventory, folds, bits: inventory.search.bits() }
    }

    pub(super) fn is_filtered(&self) -> bool {
        self.bits.is_some()
    }

    pub(super) fn get_region(&self, spot: Spot) -> Option<&'a Region> {
        self.inventory.groups.regions.get(spot.region).map(AsRef::as_ref)
    }

    pub(super) fn get_cluster(&self, spot: Spot) -> Option<(&'a Region, &'a Cluster)> {
        let region = self.get_region(spot)?;
        Some((region, region.clusters.get(spot.cluster?)?))
    }

    pub(super) fn is_region_open(&self, region: &Region) -> bool {
        self.folds.is_region_open(&region.name, self.is_filtered())
    }

    pub(super) fn is_cluster_open(&self, region: &Region, cluster: &Cluster) -> bool {
        self.folds.is_cluster_open(&region.name, &cluster.name, self.is_filtered())
    }

    /// The first visible region from this number on.
    fn region_from(&self, number: usize) -> Option<Spot> {
        let regions = self.inventory.groups.regions.iter().enumerate().skip(number);
        let mut shown = regions.filter(|(_, region)| region.tallies.is_shown(self.is_filtered()));
        shown.next().map(|(number, _)| Spot::region(number))
    }

    /// The first visible cluster of a region from this number on.
    fn cluster_from(&self, region: usize, number: usize) -> Option<Spot> {
        let clusters = &self.inventory.groups.regions.get(region)?.clusters;
        let clusters = clusters.iter().enumerate().skip(number);
        let mut shown =
            clusters.filter(|(_, cluster)| cluster.tallies.is_shown(self.is_filtered()));
        shown.next().map(|(number, _)| Spot::cluster(region, number))
    }

    /// The last line of what is visible of a region.
    fn end_of_region(&self, number: usize) -> Option<Spot> {
        let region = self.inventory.groups.regions.get(number)?;
        if !self.is_region_open(region) {
            return Some(Spot::region(number));
        }
        self.end_before_cluster(number, region.clusters.len())
    }

    /// The last line before a cluster, inside its region: in a cluster before it, or the region's.
    fn end_before_cluster(&self, number: usize, end: usize) -> Option<Spot> {
        let region = self.inventory.groups.regions.get(number)?;
        let mut clusters = region.clusters.iter().enumerate().take(end).rev();
        match clusters.find(|(_, cluster)| cluster.tallies.is_shown(self.is_filtered())) {
            None => Some(Spot::region(number)),
            Some((at, cluster)) => Some(self.end_of_cluster(number, at, region, cluster)),
        }
    }

    fn end_of_cluster(&self, r: usize, c: usize, region: &Region, cluster: &Cluster) -> Spot {
        let last = Some(&cluster.roster).filter(|_| self.is_cluster_open(region, cluster));
        match last.and_then(|roster| roster.last(self.bits)) {
            Some(seat) => Spot::host(r, c, seat),
            None => Spot::cluster(r, c),
        }
    }

    /// The last line before a region.
    fn end_before_region(&self, end: usize) -> Option<Spot> {
        let mut regions = self.inventory.groups.regions.iter().enumerate().take(end).rev();
        let shown = regions.find(|(_, region)| region.tallies.is_shown(self.is_filtered()));
        shown.and_then(|(number, _)| self.end_of_region(number))
    }

    pub(super) fn first(&self) -> Option<Spot> {
        self.region_from(0)
    }

    pub(super) fn last(&self) -> Option<Spot> {
        self.end_before_region(self.inventory.groups.regions.len())
    }

    /// The line below a cluster and all that is in it.
    fn after_cluster(&self, region: usize, cluster: usize) -> Option<Spot> {
        self.cluster_from(region, cluster + 1).or_else(|| self.region_from(region + 1))
    }

    pub(super) fn next(&self, spot: Spot) -> Option<Spot> {
        let Some(number) = spot.cluster else {
            let open = self.get_region(spot).is_some_and(|region| self.is_region_open(region));
            let inside = open.then(|| self.cluster_from(spot.region, 0)).flatten();
            return inside.or_else(|| self.region_from(spot.region + 1));
        };
        let (region, cluster) = self.get_cluster(spot)?;
        let seat = match spot.host {
            Some(seat) => cluster.roster.next(seat, self.bits),
            None if self.is_cluster_open(region, cluster) => cluster.roster.first(self.bits),
            None => None,
        };
        match seat {
            Some(seat) => Some(Spot::host(spot.region, number, seat)),
            None => self.after_cluster(spot.region, number),
        }
    }

    pub(super) fn previous(&self, spot: Spot) -> Option<Spot> {
        let Some(number) = spot.cluster else { return self.end_before_region(spot.region) };
        let Some(seat) = spot.host else { return self.end_before_cluster(spot.region, number) };
        let (_, cluster) = self.get_cluster(spot)?;
        match cluster.roster.shown_before(seat, self.bits) {
            Some(seat) => Some(Spot::host(spot.region, number, seat)),
            None => Some(Spot::cluster(spot.region, number)),
        }
    }

    /// How many lines a cluster takes, its own included.
    fn cluster_lines(&self, region: &Region, cluster: &Cluster) -> usize {
        if self.is_cluster_open(region, cluster) { 1 + self.shown_hosts(cluster) } else { 1 }
    }

    pub(super) fn shown_hosts(&self, cluster: &Cluster) -> usize {
        cluster.tallies.counts(self.is_filtered()).matched as usize
    }

    fn shown_clusters<'r>(&self, region: &'r Region) -> impl Iterator<Item = (usize, &'r Cluster)> {
        let filtered = self.is_filtered();
        let clusters = region.clusters.iter().enumerate();
        clusters
            .filter(move |(_, cluster)| cluster.tallies.is_shown(filtered))
            .map(|(number, cluster)| (number, cluster.as_ref()))
    }

    /// How many lines a region takes, its own included. O(clusters).
    fn region_lines(&self, region: &Region) -> usize {
        if !self.is_region_open(region) {
            return 1;
        }
        let clusters = self.shown_clusters(region);
        1 + clusters.map(|(_, cluster)| self.cluster_lines(region, cluster)).sum::<usize>()
    }

    /// Number of a visible line, and how many there are. O(clusters).
    pub(super) fn number(&self, spot: Spot) -> (usize, usize) {
        let (mut before, mut total) = (0, 0);
        for (number, region) in self.inventory.groups.regions.iter().enumerate() {
            if !region.tallies.is_shown(self.is_filtered()) {
                continue;
            }
            if number == spot.region {
                before = total;
                if let Some(end) = spot.cluster {
                    let clusters = self.shown_clusters(region).take_while(|(at, _)| *at < end);
                    before += 1;
                    before += clusters.map(|(_, c)| self.cluster_lines(region, c)).sum::<usize>();
                }
                if let Some((seat, (_, cluster))) = spot.host.zip(self.get_cluster(spot)) {
                    before += 1 + cluster.roster.rank(seat, self.bits);
                }
            }
            total += self.region_lines(region);
        }
        (before, total)
    }

    /// The line this many below, or the last one. O(log n + clusters passed).
    pub(super) fn forward(&self, from: Spot, mut count: usize) -> Spot {
        let mut spot = from;
        while count > 0 {
            // Within an open cluster the way is one look, however far.
            if let Some((number, (region, cluster))) = spot.cluster.zip(self.get_cluster(spot))
                && self.is_cluster_open(region, cluster)
            {
                let done = spot.host.map_or(0, |seat| 1 + cluster.roster.rank(seat, self.bits));
                let left = self.shown_hosts(cluster).saturating_sub(done);
                let jump = count.min(left);
                if jump > 0
                    && let Some(seat) = cluster.roster.nth(done + jump - 1, self.bits)
                {
                    spot = Spot::host(spot.region, number, seat);
                    count -= jump;
                    continue;
                }
            }
            let Some(next) = self.next(spot) else { break };
            spot = next;
            count -= 1;
        }
        spot
    }

    /// The line this many above, or the first one. O(log n + clusters passed).
    pub(super) fn backward(&self, from: Spot, mut count: usize) -> Spot {
        let mut spot = from;
        while count > 0 {
            if let Some(((number, seat), (_, cluster))) =
                spot.cluster.zip(spot.host).zip(self.get_cluster(spot))
            {
                let rank = cluster.roster.rank(seat, self.bits);
                let jump = count.min(rank);
                if jump > 0
                    && let Some(seat) = cluster.roster.nth(rank - jump, self.bits)
                {
                    spot = Spot::host(spot.region, number, seat);
                    count -= jump;
                    continue;
                }
            }
            let Some(previous) = self.previous(spot) else { break };
            spot = previous;
            count -= 1;
        }
        spot
    }

    /// The line of a node, if the node is there and its line is visible.
    pub(super) fn locate(&self, key: &NodeKey) -> Option<Spot> {
        let spot = self.inventory.spot_of(key)?;
        let region = self.get_region(spot)?;
        let shown = region.tallies.is_shown(self.is_filtered());
        let Some((_, cluster)) = self.get_cluster(spot) else { return shown.then_some(spot) };
        let shown =
            shown && self.is_region_open(region) && cluster.tallies.is_shown(self.is_filtered());
        let Some(seat) = spot.host else { return shown.then_some(spot) };
        let host = cluster.roster.get(seat)?;
        let shown = shown
            && self.is_cluster_open(region, cluster)
            && self.bits.is_none_or(|bits| bits.has(host));
        shown.then_some(spot)
    }

    /// The first visible line at or after a place in the tree, or what is closed around it; the
    /// last line if nothing follows.
    pub(super) fn settle(
        &self,
        region_name: &str,
        cluster_name: Option<&str>,
        place: Option<Place<'_>>,
    ) -> Option<Spot> {
        let regions = &self.inventory.groups.regions;
        let at = find(regions, region_name).unwrap_or_else(|at| at);
        let here = regions.get(at).filter(|region| region.name.as_ref() == region_name);
        let found = match here.filter(|region| region.tallies.is_shown(self.is_filtered())) {
            None => self.region_from(at),
            Some(region) if !self.is_region_open(region) => Some(Spot::region(at)),
            Some(region) => match cluster_name {
                None => Some(Spot::region(at)),
                Some(name) => self.settle_inside(at, region, name, place),
            },
        };
        found.or_else(|| self.last())
    }

    fn settle_inside(
        &self,
        at: usize,
        region: &Region,
        name: &str,
        place: Option<Place<'_>>,
    ) -> Option<Spot> {
        let number = find(&region.clusters, name).unwrap_or_else(|number| number);
        let here = region.clusters.get(number).filter(|cluster| cluster.name.as_ref() == name);
        let Some(cluster) = here.filter(|cluster| cluster.tallies.is_shown(self.is_filtered()))
        else {
            return self.cluster_from(at, number).or_else(|| self.region_from(at + 1));
        };
        let Some(place) = place.filter(|_| self.is_cluster_open(region, cluster)) else {
            return Some(Spot::cluster(at, number));
        };
        match cluster.roster.at_or_after(&place, self.bits, &self.inventory.rows) {
            Some(seat) => Some(Spot::host(at, number, seat)),
            None => self.after_cluster(at, number),
        }
    }
}

impl Inventory {
    /// Where a node is, visible or not.
    pub(super) fn spot_of(&self, key: &NodeKey) -> Option<Spot> {
        match key {
            NodeKey::Region(name) => find(&self.groups.regions, name).ok().map(Spot::region),
            NodeKey::Cluster(region, cluster) => {
                let (region, cluster) = self.groups.locate(region, cluster)?;
                Some(Spot::cluster(region, cluster))
            }
            NodeKey::Host(uid) => {
                let row = self.get(uid)?;
                let (region, cluster) = self.groups.locate(row.region(), row.cluster())?;
                let roster = &self.groups.regions.get(region)?.clusters.get(cluster)?.roster;
                let seat = roster.seat_of(&row.place(), &self.rows)?;
                Some(Spot::host(region, cluster, seat))
            }
        }
    }

    /// The node at a spot.
    pub(super) fn key_at(&self, spot: Spot) -> Option<NodeKey> {
        let region = self.groups.regions.get(spot.region)?;
        let Some(number) = spot.cluster else {
            return Some(NodeKey::Region(Arc::clone(&region.name)));
        };
        let cluster = region.clusters.get(number)?;
        let Some(seat) = spot.host else {
            return Some(NodeKey::Cluster(Arc::clone(&region.name), Arc::clone(&cluster.name)));
        };
        let row = self.rows.get(cluster.roster.get(seat)?)?;
        Some(NodeKey::Host(row.uid().clone()))
    }
}
