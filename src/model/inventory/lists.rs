//! Lists of some hosts, each in an order of its own, kept right by every event: those that are
//! held, by the end of their maintenance; those with an Ansible run, by what it needs; those with a
//! problem, the worst first.

use k8s_openapi::jiff::Timestamp;

use crate::model::key::{Place, Uid};
use crate::model::row::{HostRow, RowRun, Trouble};

use super::Inventory;
use super::bits::Bits;
use super::roster::{Order, Roster, Seat};
use super::rows::Rows;

/// One of the lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// Hosts with a hold, whether it is in force, has ended or is to come, by the end of their
    /// last hold: what ran out stands first.
    Held,
    /// Hosts with an Ansible run: those that go on, those that wait, those that failed, the
    /// others by their end, the last first.
    Runs,
    /// Hosts with a problem, the worst first.
    Problems,
    /// All hosts in the order of the table; empty before [`Inventory::set_sort`] is through.
    Table,
}

/// By what a list is ordered.
#[derive(Clone, Copy, Debug)]
enum By {
    /// By the end of the last hold.
    End,
    /// By what a run needs.
    Run,
    /// By what is wrong.
    Trouble,
}

/// What a host has there. Those of one list are alike.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    End(Option<Timestamp>),
    Run((u8, i64)),
    Trouble(Option<(Trouble, i64)>),
}

impl By {
    /// Whether a host belongs to the list.
    fn has(self, row: &HostRow) -> bool {
        match self {
            Self::End => !row.holds().is_empty(),
            Self::Run => row.run().is_some(),
            Self::Trouble => row.trouble().is_some(),
        }
    }
}

impl Order for By {
    type Key<'a> = (Rank, Place<'a>);

    fn key<'a>(&'a self, slot: u32, rows: &'a Rows) -> Self::Key<'a> {
        let row = rows.get(slot);
        let rank = match self {
            Self::End => Rank::End(row.and_then(HostRow::held_until)),
            Self::Run => Rank::Run(row.and_then(HostRow::run).map_or((u8::MAX, 0), RowRun::rank)),
            Self::Trouble => Rank::Trouble(row.and_then(HostRow::trouble_rank)),
        };
        (rank, rows.place(slot))
    }
}

/// Every list but the table.
pub(super) struct Lists {
    held: Roster<By>,
    runs: Roster<By>,
    problems: Roster<By>,
}

impl Default for Lists {
    fn default() -> Self {
        let [held, runs, problems] = [By::End, By::Run, By::Trouble].map(Roster::new);
        Self { held, runs, problems }
    }
}

impl Lists {
    /// One of them; none for the table.
    fn of(&self, list: List) -> Option<&Roster<By>> {
        Some(match list {
            List::Held => &self.held,
            List::Runs => &self.runs,
            List::Problems => &self.problems,
            List::Table => return None,
        })
    }

    /// Those that have the row in this slot.
    fn with<'a>(
        &'a mut self,
        slot: u32,
        rows: &'a Rows,
    ) -> impl Iterator<Item = &'a mut Roster<By>> {
        let row = rows.get(slot);
        let all = [&mut self.held, &mut self.runs, &mut self.problems].into_iter();
        all.filter(move |roster| row.is_some_and(|row| roster.order.has(row)))
    }

    /// Takes in a row. Whether the filter chooses it, `bits` knows already.
    pub(super) fn add(&mut self, slot: u32, bits: Option<&Bits>, rows: &Rows) {
        self.with(slot, rows).for_each(|list| list.insert(slot, bits, rows));
    }

    /// Takes out a row, which must still be in `rows` as it was.
    pub(super) fn remove(&mut self, slot: u32, bits: Option<&Bits>, rows: &Rows) {
        self.with(slot, rows).for_each(|list| list.remove(slot, bits, rows));
    }

    /// Counts a row in or out of those that the filter chooses, where it is in a list.
    pub(super) fn set_matched(&mut self, slot: u32, matched: bool, rows: &Rows) {
        self.with(slot, rows).for_each(|list| list.set_matched(slot, matched, rows));
    }

    /// Counts anew what the filter chooses.
    pub(super) fn recount(&mut self, bits: &Bits) {
        for list in [&mut self.held, &mut self.runs, &mut self.problems] {
            list.recount(bits, |_| {});
        }
    }
}

/// Does the same with whichever list is meant.
macro_rules! with {
    ($inventory:expr, $list:expr, |$roster:ident| $body:expr) => {
        match $inventory.lists.of($list) {
            Some($roster) => $body,
            None => {
                let $roster = &$inventory.table.shown.roster;
                $body
            }
        }
    };
}

impl Inventory {
    /// How many hosts of a list are shown (those that the filter chooses), and how many there are.
    pub fn list_len(&self, list: List) -> (usize, usize) {
        with!(self, list, |roster| (roster.shown(self.search.bits()), roster.shown(None)))
    }

    /// How many Ansible runs go on, and how many wait.
    pub fn runs_going(&self) -> (usize, usize) {
        let first = Place { display: "", namespace: "", uid: "" };
        let before =
            |rank| self.lists.runs.before(&(Rank::Run((rank, i64::MIN)), first), &self.rows);
        let running = before(1);
        (running, before(2) - running)
    }

    fn seat(&self, list: List, uid: &Uid) -> Option<Seat> {
        let slot = self.rows.slot_of(uid)?;
        let bits = self.search.bits();
        if bits.is_some_and(|bits| !bits.has(slot)) {
            return None;
        }
        with!(self, list, |roster| roster.seat(slot, &self.rows))
    }

    /// Number of a host among those of a list that are shown; none if it is not.
    pub fn list_rank(&self, list: List, uid: &Uid) -> Option<usize> {
        let seat = self.seat(list, uid)?;
        Some(with!(self, list, |roster| roster.rank(seat, self.search.bits())))
    }

    /// The shown host of a list before which `rank` others stand, else the last; none if nothing
    /// is shown.
    pub fn list_nth(&self, list: List, rank: usize) -> Option<&HostRow> {
        let bits = self.search.bits();
        let slot = with!(self, list, |roster| {
            let seat = roster.nth(rank, bits).or_else(|| roster.last(bits))?;
            roster.get(seat)?
        });
        self.rows.get(slot)
    }

    /// The shown hosts of a list from this one on, at most `height`; none if it is not shown.
    /// O(log n + height).
    pub fn list_window(&self, list: List, first: &Uid, height: usize) -> Vec<&HostRow> {
        let bits = self.search.bits();
        let mut slots = Vec::with_capacity(height.min(512));
        with!(self, list, |roster| {
            let mut next = self.seat(list, first);
            while let Some(seat) = next.filter(|_| slots.len() < height) {
                slots.extend(roster.get(seat));
                next = roster.next(seat, bits);
            }
        });
        slots.into_iter().filter_map(|slot| self.rows.get(slot)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::host::{Phase, RunState};
    use crate::model::record::{HoldRecord, HostRecord, RequestRecord};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn host(name: &str, version: u32, change: impl FnOnce(&mut HostRecord)) -> HostRecord {
        let mut record = HostRecord::default();
        record.metadata.name = Some(name.to_owned());
        record.metadata.uid = Some(name.to_owned());
        record.metadata.resource_version = Some(version.to_string());
        change(&mut record);
        record
    }

    fn held(record: &mut HostRecord, until: i64) {
        let hold = HoldRecord { until: Some(at(until)), ..HoldRecord::default() };
        record.spec.maintenance.insert(format!("h{until}"), hold);
    }

    fn ran(record: &mut HostRecord, state: RunState, time: i64) {
        record.status.ansible.state = Some(state);
        record.status.ansible.started = Some(at(time));
        record.status.ansible.finished = state.is_final().then(|| at(time + 5));
    }

    fn names(inventory: &Inventory, list: List) -> Vec<&str> {
        let Some(first) = inventory.list_nth(list, 0) else { return Vec::new() };
        let rows = inventory.list_window(list, first.uid(), 99);
        rows.into_iter().map(HostRow::name).collect()
    }

    #[test]
    fn the_lists_follow_their_hosts() {
        let mut inventory = Inventory::new();
        let now = at(1_000);
        for (name, until) in [("c", 3_000), ("a", 500), ("b", 2_000)] {
            inventory.apply(host(name, 1, |record| held(record, until)), now);
        }
        inventory.apply(host("free", 1, |_| {}), now);
        assert_eq!(names(&inventory, List::Held), ["a", "b", "c"]);
        // A second hold that ends later moves the host; its end takes it back.
        let twice = |record: &mut HostRecord| {
            held(record, 500);
            held(record, 4_000);
        };
        inventory.apply(host("a", 2, twice), now);
        assert_eq!(names(&inventory, List::Held), ["b", "c", "a"]);
        inventory.apply(host("b", 2, |_| {}), now);
        assert_eq!(names(&inventory, List::Held), ["c", "a"]);
        inventory.delete(&Uid::new("c"));
        assert_eq!(
            (names(&inventory, List::Held), inventory.list_len(List::Held)),
            (vec!["a"], (1, 1))
        );
        assert!(names(&inventory, List::Runs).is_empty());
    }

    #[test]
    fn the_worst_stands_first_and_time_moves_hosts_in_and_out() {
        let mut inventory = Inventory::new();
        let now = at(1_000);
        let phase = |phase| move |record: &mut HostRecord| record.status.phase = Some(phase);
        inventory.apply(host("fine", 1, phase(Phase::Running)), now);
        inventory.apply(host("young", 1, phase(Phase::Pending)), now);
        inventory.apply(host("gone", 1, phase(Phase::Gone)), now);
        let broken = |record: &mut HostRecord| {
            record.status.phase = Some(Phase::Unreachable);
            held(record, 2_000);
        };
        inventory.apply(host("held", 1, broken), now);
        assert_eq!(names(&inventory, List::Problems), ["gone", "young"]);
        // The hold ends: what is wrong shows again, without any event.
        assert!(inventory.tick(at(2_001)));
        assert_eq!(names(&inventory, List::Problems), ["held", "gone", "young"]);
        inventory.apply(host("gone", 2, phase(Phase::Running)), at(2_002));
        assert_eq!(inventory.list_len(List::Problems), (2, 2));
        inventory.delete(&Uid::new("young"));
        assert_eq!(names(&inventory, List::Problems), ["held"]);
    }

    #[test]
    fn runs_stand_by_what_they_need() {
        use RunState::{Canceled, Failed, Queued, Running, Succeeded, Unknown};
        let mut inventory = Inventory::new();
        let now = at(1_000);
        for (name, state, time) in [
            ("done", Succeeded, 100),
            ("late", Succeeded, 300),
            ("off", Canceled, 200),
            ("lost", Unknown, 50),
            ("broke", Failed, 60),
            ("waits", Queued, 0),
            ("young", Running, 900),
            ("long", Running, 800),
        ] {
            inventory.apply(host(name, 1, |record| ran(record, state, time)), now);
        }
        // A new request on a host whose last run is over waits.
        let again = |record: &mut HostRecord| {
            ran(record, Succeeded, 100);
            let request =
                RequestRecord { request_id: Some("n".into()), ..RequestRecord::default() };
            record.spec.ansible = Some(Box::new(request));
        };
        inventory.apply(host("again", 1, again), now);
        let all = ["long", "young", "again", "waits", "broke", "lost", "late", "off", "done"];
        assert_eq!(names(&inventory, List::Runs), all);
        assert_eq!(inventory.runs_going(), (2, 2));
        assert_eq!(inventory.list_rank(List::Runs, &Uid::new("lost")), Some(5));
        assert_eq!(inventory.list_nth(List::Runs, 99).map(HostRow::name), Some("done"));

        let filter = crate::model::filter::Filter::parse("run:running || run:failed").unwrap();
        inventory.set_filter(Some(filter), now);
        while !inventory.filter_step(3) {}
        assert_eq!(names(&inventory, List::Runs), ["long", "young", "broke"]);
        assert_eq!(inventory.list_len(List::Runs), (3, 9));
        inventory.apply(host("young", 2, |record| ran(record, Succeeded, 900)), now);
        inventory.apply(host("waits", 2, |record| ran(record, Running, 950)), now);
        assert_eq!(names(&inventory, List::Runs), ["long", "waits", "broke"]);
        assert_eq!(inventory.list_rank(List::Runs, &Uid::new("young")), None);
        assert_eq!(inventory.runs_going(), (2, 1));
    }
}
