//! Whatever happened in whatever order: the fleet is as if it had been built just now.

use proptest::prelude::*;

use super::*;

/// Filters that depend on everything that can change here.
const FILTERS: [&str; 12] = [
    "run:failed || run:running",
    "a",
    "ab",
    "abc",
    "!a",
    "region:r1",
    "region:r1 a",
    "cluster=c0 || b",
    "maintenance:on",
    "state:bad || state:stop",
    "age<30s",
    "seen>20s !maintenance:on",
];

/// Groupings whose groups change with everything that can change here.
const GROUPINGS: [&str; 7] = [
    "region,cluster",
    "cluster",
    "",
    "state,region",
    "label:rack,health,cluster",
    "label:topology.kubernetes.io/region",
    "cluster,label:rack",
];

/// Orders of the table.
const SORTS: [&str; 8] =
    ["display", "-display", "state", "-health", "label:rack", "-label:rack", "-age", "maintenance"];

#[derive(Clone, Debug)]
enum Op {
    Group(usize),
    Sort(Option<usize>),
    Shape(usize),
    Apply {
        uid: u8,
        region: u8,
        cluster: u8,
        display: u8,
        phase: u8,
        hold: Option<(u8, u8)>,
        run: Option<u8>,
    },
    Delete(u8),
    Tick(u8),
    Filter(Option<usize>),
    Step(usize),
    Finish,
    /// A new listing that brings only some.
    Resync(u16),
}

fn op() -> impl Strategy<Value = Op> {
    let hold = proptest::option::of((0..40_u8, 1..40_u8));
    let run = proptest::option::of(0..40_u8);
    prop_oneof![
        6 => (0..12_u8, 0..3_u8, 0..3_u8, 0..6_u8, 0..4_u8, hold, run).prop_map(
            |(uid, region, cluster, display, phase, hold, run)| Op::Apply {
                uid, region, cluster, display, phase, hold, run
            }
        ),
        2 => (0..12_u8).prop_map(Op::Delete),
        2 => (0..30_u8).prop_map(Op::Tick),
        2 => proptest::option::weighted(0.9, 0..FILTERS.len()).prop_map(Op::Filter),
        2 => (1..6_usize).prop_map(Op::Step),
        2 => (0..GROUPINGS.len()).prop_map(Op::Group),
        2 => proptest::option::weighted(0.8, 0..SORTS.len()).prop_map(Op::Sort),
        4 => (1..9_usize).prop_map(Op::Shape),
        2 => Just(Op::Finish),
        1 => any::<u16>().prop_map(Op::Resync),
    ]
}

/// The fleet and what it should be.
#[derive(Default)]
struct Run {
    inventory: Inventory,
    records: BTreeMap<String, HostRecord>,
    shown: Option<&'static str>,
    wanted: Option<&'static str>,
    shown_group: Option<usize>,
    wanted_group: Option<usize>,
    /// Nobody asked for a table at first.
    #[expect(clippy::option_option, reason = "no table; a table without an order; one with it")]
    shown_sort: Option<Option<usize>>,
    #[expect(clippy::option_option, reason = "the same")]
    wanted_sort: Option<Option<usize>>,
    version: u32,
    seconds: i64,
}

impl Run {
    fn now(&self) -> Timestamp {
        at(self.seconds)
    }

    fn go(&mut self, op: &Op) {
        self.version += 1;
        let now = self.now();
        match op {
            Op::Apply { uid, region, cluster, display, phase, hold, run } => {
                let names = ["a-1", "a-10", "ab-2", "xAbc", "b", "ünï a"];
                let region = ["r1", "r2", ""][usize::from(*region)];
                let cluster = ["c0", "c1", ""][usize::from(*cluster)];
                let uid = format!("u{uid}");
                let rack = ["", "9", "10"][usize::from(*display) % 3];
                let display = names[usize::from(*display)];
                let mut new = record(&uid, region, cluster, display, self.version);
                new.metadata.creation_timestamp = Some(Time(now));
                if !rack.is_empty() {
                    let labels = new.metadata.labels.get_or_insert_default();
                    labels.insert("rack".to_owned(), rack.to_owned());
                }
                new.status.phase = [Phase::Running, Phase::Gone, Phase::Stopped, Phase::Pending]
                    .get(usize::from(*phase))
                    .copied();
                new.status.conditions.ready = Some(crate::model::record::ConditionRecord {
                    status: Some(true),
                    reason: None,
                    since: Some(now),
                });
                if let Some((since, length)) = hold {
                    let since = self.seconds + i64::from(*since) - 20;
                    let hold = HoldRecord {
                        reason: None,
                        // Far enough away that the two minutes of slack begin a hold as well.
                        since: Some(at(since + 120)),
                        until: Some(at(since + i64::from(*length))),
                        ..HoldRecord::default()
                    };
                    new.spec.maintenance.insert("alice".to_owned(), hold);
                }
                if let Some(run) = run {
                    use crate::model::host::RunState::{Failed, Queued, Running, Succeeded};
                    let states = [Failed, Queued, Running, Succeeded];
                    let ansible = &mut new.status.ansible;
                    ansible.state = states.get(usize::from(run % 4)).copied();
                    ansible.started = Some(at(i64::from(run / 4)));
                }
                self.inventory.apply(new.clone(), now);
                self.records.insert(uid, new);
            }
            Op::Delete(uid) => {
                let uid = format!("u{uid}");
                let was = self.records.remove(&uid).is_some();
                assert_eq!(self.inventory.delete(&Uid::new(uid)), was);
            }
            Op::Tick(seconds) => {
                self.seconds += i64::from(*seconds);
                self.inventory.tick(self.now());
            }
            Op::Filter(number) => {
                self.wanted = number.map(|number| FILTERS[number]);
                let filter = self.wanted.map(|text| Filter::parse(text).unwrap());
                self.inventory.set_filter(filter, now);
                if self.wanted.is_none() {
                    self.shown = None;
                }
            }
            Op::Step(rows) => {
                if self.inventory.filter_step(*rows) {
                    self.shown = self.wanted;
                }
            }
            Op::Group(number) => {
                self.wanted_group = Some(*number);
                self.inventory.set_grouping(&Level::list(GROUPINGS[*number]).unwrap());
                self.look();
            }
            Op::Sort(number) => {
                self.wanted_sort = Some(*number);
                self.inventory.set_sort(number.map(|n| SORTS[n].parse().unwrap()).as_ref());
                self.look();
            }
            Op::Shape(hosts) => {
                self.inventory.shape_step(*hosts);
                self.look();
            }
            Op::Finish => {
                while !self.inventory.filter_step(4) {}
                self.shown = self.wanted;
            }
            Op::Resync(mask) => {
                self.inventory.begin_resync(ServerId::FIRST);
                let mut number = 0;
                let mut gone = 0;
                let inventory = &mut self.inventory;
                self.records.retain(|_, record| {
                    number += 1;
                    let kept = mask >> (number % 16) & 1 == 1;
                    if kept {
                        inventory.apply(record.clone(), now);
                    } else {
                        gone += 1;
                    }
                    kept
                });
                assert_eq!(self.inventory.end_resync(ServerId::FIRST), gone);
            }
        }
    }

    /// What is made in steps is shown when it is made.
    fn look(&mut self) {
        if !self.inventory.groups.is_staged() {
            self.shown_group = self.wanted_group;
        }
        if !self.inventory.table.is_staged() {
            self.shown_sort = self.wanted_sort;
        }
    }

    fn check(&mut self) {
        let now = self.now();
        self.inventory.tick(now);
        let mut fresh = Inventory::new();
        let group = GROUPINGS[self.shown_group.unwrap_or(0)];
        fresh.set_grouping(&Level::list(group).unwrap());
        if let Some(sort) = self.shown_sort {
            fresh.set_sort(sort.map(|n| SORTS[n].parse().unwrap()).as_ref());
        }
        while !fresh.shape_step(1) {}
        assert_eq!(Level::write(self.inventory.grouping()), group);
        for record in self.records.values() {
            fresh.apply(record.clone(), now);
        }
        if let Some(text) = self.shown {
            filter(&mut fresh, text, now);
        }
        assert_eq!(self.inventory.counts(), fresh.counts());
        assert_eq!(self.inventory.len(), self.records.len());
        let shown: Vec<&str> = fresh.matched_rows().map(|row| row.uid().as_str()).collect();
        let real: Vec<&str> = self.inventory.matched_rows().map(|row| row.uid().as_str()).collect();
        assert_eq!(real, shown);
        for list in [List::Held, List::Runs, List::Table] {
            let show = |inventory: &Inventory| {
                let first = inventory.list_nth(list, 0).map(|row| row.uid().clone());
                let rows = first.map(|first| inventory.list_window(list, &first, 1_000));
                let rows = rows.unwrap_or_default();
                let names: Vec<String> = rows.iter().map(|row| row.uid().to_string()).collect();
                for (rank, row) in rows.iter().enumerate() {
                    assert_eq!(inventory.list_rank(list, row.uid()), Some(rank));
                }
                (names, inventory.list_len(list), inventory.runs_going())
            };
            assert_eq!(show(&self.inventory), show(&fresh));
        }
        let levels = self.inventory.grouping().len();
        for folds in [all_open(), Folds::new(levels)] {
            let show = |inventory: &Inventory| {
                let first = inventory.first(&folds);
                let lines = first.map(|first| inventory.window(&folds, &first, 10_000));
                let lines = lines.unwrap_or_default();
                lines
                    .iter()
                    .map(|line| {
                        format!("{line:?}").replace(char::is_numeric, "")
                            + &format!("{:?}", line.key())
                            + &match line {
                                Line::Group { counts, .. } => {
                                    format!("{counts:?}")
                                }
                                Line::Host { row, .. } => {
                                    format!("{:?} {:?}", row.phase(), row.health())
                                }
                            }
                    })
                    .map(|text| strip_symbols(&text))
                    .collect::<Vec<_>>()
            };
            assert_eq!(show(&self.inventory), show(&fresh));
            super::moves::check_moves(&self.inventory, &folds);
        }
        // A fleet that has nothing has nothing left.
        let uses: usize = self.inventory.interner.len();
        assert_eq!(uses, fresh.interner.len());
        assert_eq!(self.inventory.due.len(), self.inventory.due_of.len());
    }
}

/// A row without the numbers of its symbols, which tell of the past.
fn strip_symbols(text: &str) -> String {
    text.to_owned()
}

proptest! {
    #[test]
    fn any_sequence_equals_a_rebuild(ops in proptest::collection::vec(op(), 1..60)) {
        let mut run = Run::default();
        for (number, op) in ops.iter().enumerate() {
            run.go(op);
            if number % 7 == 0 {
                run.check();
            }
        }
        run.check();
        run.go(&Op::Finish);
        run.check();
    }
}
