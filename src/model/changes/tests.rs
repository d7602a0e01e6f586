use serde_json::{Value, json};

use super::*;
use crate::model::record::HostRecord;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

#[expect(clippy::needless_pass_by_value, reason = "it reads better")]
fn host(n: usize, phase: &str, labels: Value) -> Value {
    json!({
        "metadata": {"name": format!("h-{n}"), "namespace": "inv", "uid": format!("u-{n}"),
            "resourceVersion": "1", "labels": labels},
        "spec": {"cluster": "shop"}, "status": {"phase": phase},
    })
}

/// A fleet whose changes are taken in.
#[derive(Default)]
struct Fleet {
    inventory: Inventory,
    changes: Changes,
    version: usize,
}

impl Fleet {
    fn apply(&mut self, mut object: Value, who: Option<&str>, now: Timestamp) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let record: HostRecord = serde_json::from_value(object).unwrap();
        let uid = record.uid().unwrap();
        let before = Before::of(&self.inventory, &uid);
        self.inventory.apply(record, now);
        self.changes.host(before.as_ref(), &self.inventory, &uid, who, now);
    }

    fn told(&self) -> Vec<String> {
        let line =
            |e: &Changed| format!("{} {}: {} → {}", e.display, e.field.as_str(), e.old, e.new);
        self.changes.newest().map(line).collect()
    }
}

#[test]
fn fields_and_labels_are_told_old_and_new() {
    let mut fleet = Fleet::default();
    fleet.apply(host(1, "Running", json!({"team": "a", "old": "x"})), None, at(0));
    fleet.apply(host(1, "Stopped", json!({"team": "b", "new": "y"})), Some("aws"), at(5));
    let mut told = fleet.told();
    told.sort();
    assert_eq!(
        told,
        [
            "h-1 health: ok → stopped",
            "h-1 host:  → is new",
            "h-1 new:  → y",
            "h-1 old: x → ",
            "h-1 state: Running → Stopped",
            "h-1 team: a → b",
        ]
    );
    assert!(
        fleet.changes.newest().filter(|e| e.at == at(5)).all(|e| e.who.as_deref() == Some("aws"))
    );
    let uid = Uid::from("u-1");
    assert_eq!(fleet.changes.of(&uid).count(), 6);
}

#[test]
fn the_same_version_tells_nothing() {
    let mut fleet = Fleet::default();
    fleet.apply(host(1, "Running", json!({"a": "1"})), None, at(0));
    fleet.apply(host(1, "Running", json!({"a": "1"})), None, at(1));
    assert_eq!(fleet.told(), ["h-1 host:  → is new"]);
}

#[test]
fn what_changes_again_is_one_entry_with_the_first_old_value() {
    let mut fleet = Fleet::default();
    for (second, phase) in [(0, "Running"), (1, "Stopped"), (2, "Running"), (3, "Missing")] {
        fleet.apply(host(1, phase, json!({})), None, at(second));
    }
    let state = fleet.changes.newest().find(|e| e.field == Field::State).unwrap();
    assert_eq!((&*state.old, &*state.new, state.times, state.at), ("Running", "Missing", 3, at(3)));
    let number = fleet.changes.number(&state.uid, &Field::State).unwrap();
    assert_eq!(fleet.changes.get(number), Some(state));
}

#[test]
fn what_is_old_goes() {
    let mut fleet = Fleet::default();
    fleet.apply(host(1, "Running", json!({})), None, at(0));
    fleet.apply(host(2, "Running", json!({})), None, at(60));
    assert!(!fleet.changes.tick(at(KEPT)));
    assert!(fleet.changes.tick(at(KEPT + 1)));
    assert_eq!(fleet.told(), ["h-2 host:  → is new"]);
    fleet.changes.gone(&Before::of(&fleet.inventory, &Uid::from("u-2")).unwrap(), at(KEPT));
    assert_eq!(fleet.told()[0], "h-2 host:  → is gone");
    assert!(fleet.changes.tick(at(3 * KEPT)));
    assert_eq!((fleet.changes.len(), fleet.changes.places.len()), ((0, 0), 0));
}

#[test]
fn a_storm_stays_within_its_bounds() {
    let mut fleet = Fleet::default();
    // 2,000 events a second on 4,000 hosts; the bounds are reached long before a quarter of an hour.
    let events = 40_000;
    for n in 0..events {
        let phase = ["Running", "Stopped", "Missing"][n / 4_000 % 3];
        let labels = json!({"turn": format!("{}", n / 4_000), "fixed": "x"});
        let second = i64::try_from(n / 2_000).unwrap();
        fleet.apply(host(n % 4_000, phase, labels), Some(&format!("w-{n}")), at(second));
    }
    let (len, _) = fleet.changes.len();
    assert!(len <= MAX && fleet.changes.places.len() == len);
    assert!(fleet.changes.who.len() <= MAX_WHO);
    for n in 0..MAX + 10 {
        fleet.apply(host(10_000 + n, "Running", json!({})), None, at(20));
    }
    let (len, dropped) = fleet.changes.len();
    assert_eq!((len, fleet.changes.places.len()), (MAX, MAX));
    assert!(dropped > 0);
    let bytes: usize = fleet
        .changes
        .newest()
        .map(|e| size_of::<Changed>() + e.old.len() + e.new.len() + e.display.len())
        .sum();
    assert!(bytes < 5 * 1024 * 1024, "{bytes}");
}

#[test]
fn long_values_are_cut() {
    assert_eq!(short(&"x".repeat(200)).chars().count(), MAX_VALUE + 1);
    assert_eq!(&*short("é"), "é");
}
