//! Marks: the hosts that a person has chosen to act on. They stay with a host through filters,
//! moves and new versions, and go with it when it is deleted.

use std::collections::BTreeSet;

use crate::model::key::{NodeKey, Uid};
use crate::model::row::HostRow;

use super::Inventory;
use super::bits::Bits;

/// How many hosts are marked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marked {
    /// All of them.
    pub total: usize,
    /// Those that the filter does not choose.
    pub hidden: usize,
}

impl Inventory {
    /// Whether this host is marked.
    pub fn is_marked(&self, uid: &Uid) -> bool {
        self.rows.slot_of(uid).is_some_and(|slot| self.marks.has(slot))
    }

    /// Marks a host, or takes its mark away. False if there is no such host.
    pub fn set_mark(&mut self, uid: &Uid, on: bool) -> bool {
        let slot = self.rows.slot_of(uid);
        if let Some(slot) = slot {
            self.marks.set(slot, on);
        }
        slot.is_some()
    }

    /// Marks every host at or under a node that the filter chooses, or takes those marks away.
    pub fn set_marks_under(&mut self, node: &NodeKey, on: bool) {
        let slots: Vec<u32> = self.slots_under(node).collect();
        for slot in slots {
            self.marks.set(slot, on);
        }
    }

    /// Marks every host that the filter chooses.
    pub fn mark_matched(&mut self) {
        for (number, word) in self.matched_words() {
            self.marks.set_word(number, self.marks.word(number) | word);
        }
    }

    /// Among the hosts that the filter chooses, marks those that were not marked and no others.
    pub fn invert_marks(&mut self) {
        for (number, word) in self.matched_words() {
            self.marks.set_word(number, self.marks.word(number) ^ word);
        }
    }

    /// Takes every mark away.
    pub fn clear_marks(&mut self) {
        self.marks = Bits::default();
    }

    /// How many hosts are marked. O(n / 64): cheap enough for every frame.
    pub fn marked(&self) -> Marked {
        let bits = self.search.bits();
        let mut marked = Marked::default();
        for number in 0..self.rows.slots().div_ceil(64) {
            let word = self.marks.word(number);
            let hidden = bits.map_or(0, |bits| word & !bits.word(number));
            marked.total += word.count_ones() as usize;
            marked.hidden += hidden.count_ones() as usize;
        }
        marked
    }

    /// The marked hosts in the order of the tree: those that the filter chooses, then the hidden
    /// ones.
    pub fn marked_rows(&self) -> (Vec<&HostRow>, Vec<&HostRow>) {
        let bits = self.search.bits();
        let marked = self.groups.shown.iter().filter(|slot| self.marks.has(*slot));
        let (shown, hidden): (Vec<u32>, Vec<u32>) =
            marked.partition(|slot| bits.is_none_or(|bits| bits.has(*slot)));
        let rows = |slots: Vec<u32>| slots.into_iter().filter_map(|slot| self.rows.get(slot));
        (rows(shown).collect(), rows(hidden).collect())
    }

    /// Every host at or under a node that the filter chooses, in the order of the tree.
    pub fn rows_under(&self, node: &NodeKey) -> impl Iterator<Item = &HostRow> {
        self.slots_under(node).filter_map(|slot| self.rows.get(slot))
    }

    /// Every host between two, both included and in whichever order, that the filter chooses.
    /// Nothing if one of them is not among those.
    pub fn uids_between(&self, one: &Uid, other: &Uid) -> Vec<Uid> {
        let mut ends = BTreeSet::from([one, other]);
        let mut between = Vec::new();
        for row in self.matched_rows() {
            let end = ends.remove(row.uid());
            if end || !between.is_empty() {
                between.push(row.uid().clone());
            }
            if ends.is_empty() {
                return between;
            }
        }
        Vec::new()
    }

    fn slots_under(&self, node: &NodeKey) -> impl Iterator<Item = u32> + use<'_> {
        let bits = self.search.bits();
        let host = match node {
            NodeKey::Host(uid) => self.rows.slot_of(uid),
            NodeKey::Group(_) => None,
        };
        let group = match node {
            NodeKey::Host(_) => None,
            NodeKey::Group(path) => self.groups.shown.find(path.names()),
        };
        let inside = group.into_iter().flat_map(|group| group.slots());
        let all = host.into_iter().chain(inside);
        all.filter(move |slot| bits.is_none_or(|bits| bits.has(*slot)))
    }

    /// The slots that the filter chooses, by words of sixty-four.
    fn matched_words(&self) -> Vec<(usize, u64)> {
        let (live, bits) = (self.rows.live(), self.search.bits());
        let word = |number| live.word(number) & bits.map_or(u64::MAX, |bits| bits.word(number));
        let words = (0..self.rows.slots().div_ceil(64)).map(|number| (number, word(number)));
        words.filter(|(_, word)| *word != 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;

    use super::*;
    use crate::model::filter::Filter;
    use crate::model::key::ServerId;
    use crate::model::record::HostRecord;

    fn now() -> Timestamp {
        Timestamp::from_second(1_000_000).unwrap()
    }

    fn record(n: usize, cluster: &str, version: &str) -> HostRecord {
        let mut record = HostRecord::default();
        record.metadata.name = Some(format!("h-{n}"));
        record.metadata.uid = Some(format!("u-{n}"));
        record.metadata.resource_version = Some(version.to_owned());
        record.spec.cluster = Some(cluster.to_owned());
        record.spec.role = Some(if n.is_multiple_of(2) { "even" } else { "odd" }.to_owned());
        record
    }

    fn fleet() -> Inventory {
        let mut fleet = Inventory::new();
        for n in 0..200 {
            fleet.apply(record(n, if n < 100 { "a" } else { "b" }, "1"), now());
        }
        fleet
    }

    fn filter(fleet: &mut Inventory, text: &str) {
        fleet.set_filter(Some(Filter::parse(text).unwrap()), now());
        while !fleet.filter_step(1_000) {}
    }

    fn count(fleet: &Inventory) -> (usize, usize) {
        let marked = fleet.marked();
        let (shown, hidden) = fleet.marked_rows();
        assert_eq!((shown.len() + hidden.len(), hidden.len()), (marked.total, marked.hidden));
        (marked.total, marked.hidden)
    }

    #[test]
    fn marks_survive_filters_moves_and_versions_and_go_with_their_host() {
        let mut fleet = fleet();
        let uid = Uid::new("u-7");
        assert!(fleet.set_mark(&uid, true) && !fleet.set_mark(&Uid::new("nobody"), true));
        fleet.set_mark(&Uid::new("u-8"), true);
        filter(&mut fleet, "role=even");
        assert_eq!(count(&fleet), (2, 1));
        fleet.apply(record(7, "zz", "2"), now());
        fleet.set_filter(None, now());
        assert!(fleet.is_marked(&uid));
        assert_eq!(count(&fleet), (2, 0));
        fleet.delete(&uid);
        assert_eq!(count(&fleet), (1, 0));
        // The next host takes the free place, and no mark with it.
        fleet.apply(record(900, "a", "1"), now());
        assert!(!fleet.is_marked(&Uid::new("u-900")));
        fleet.begin_resync(ServerId::FIRST);
        fleet.end_resync(ServerId::FIRST);
        assert_eq!(count(&fleet), (0, 0));
    }

    #[test]
    fn all_and_invert_keep_to_what_matches() {
        let mut fleet = fleet();
        filter(&mut fleet, "role=odd");
        fleet.mark_matched();
        assert_eq!(count(&fleet), (100, 0));
        fleet.set_filter(None, now());
        fleet.invert_marks();
        assert_eq!(count(&fleet), (100, 0));
        assert!(fleet.is_marked(&Uid::new("u-0")) && !fleet.is_marked(&Uid::new("u-1")));
        filter(&mut fleet, "role=odd");
        fleet.invert_marks();
        assert_eq!(count(&fleet), (200, 100));
        fleet.clear_marks();
        assert_eq!(count(&fleet), (0, 0));
    }

    #[test]
    fn under_a_node_and_between_two_hosts() {
        let mut fleet = fleet();
        let cluster = NodeKey::group(["", "b"]);
        assert_eq!(fleet.rows_under(&cluster).count(), 100);
        assert_eq!(fleet.rows_under(&NodeKey::group([""])).count(), 200);
        assert_eq!(fleet.rows_under(&NodeKey::Host(Uid::new("u-3"))).count(), 1);
        filter(&mut fleet, "role=odd");
        assert_eq!(fleet.rows_under(&cluster).count(), 50);
        assert_eq!(fleet.rows_under(&NodeKey::Host(Uid::new("u-2"))).count(), 0);
        fleet.set_marks_under(&cluster, true);
        assert_eq!(count(&fleet), (50, 0));
        fleet.set_marks_under(&cluster, false);
        assert_eq!(count(&fleet), (0, 0));
        let uids = |one: &str, other: &str| {
            let found = fleet.uids_between(&Uid::new(one), &Uid::new(other));
            found.iter().map(|uid| uid.as_str().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(uids("u-95", "u-101"), ["u-95", "u-97", "u-99", "u-101"]);
        assert_eq!(uids("u-101", "u-99"), ["u-99", "u-101"]);
        assert_eq!(uids("u-99", "u-99"), ["u-99"]);
        assert!(uids("u-95", "u-100").is_empty() && uids("u-95", "nobody").is_empty());
    }

    #[test]
    fn a_range_ends_at_the_host_that_is_meant_and_not_at_its_twin_on_another_server() {
        let mut fleet = Inventory::new();
        let other = ServerId::new(1).unwrap();
        // The second server was made from a backup of the first: the same uids.
        for (server, cluster) in [(ServerId::FIRST, "z"), (other, "a")] {
            for n in 0..4 {
                fleet.apply(HostRecord { server, ..record(n, cluster, "1") }, now());
            }
        }
        let [from, to] = ["u-1", "u-2"].map(|uid| Uid::on(ServerId::FIRST, uid));
        assert_eq!(fleet.uids_between(&from, &to), [from, to]);
    }
}
