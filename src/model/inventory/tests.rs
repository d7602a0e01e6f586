use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

use crate::model::filter::Filter;
use crate::model::host::{Phase, ServiceState};
use crate::model::key::NodeKey;
use crate::model::record::{HoldRecord, SpecRecord, StatusRecord};
use crate::model::row::Health;
use crate::model::{labels, sample};

use super::*;

mod equals_rebuild;
mod moves;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + seconds).unwrap()
}

/// A running host that is easy to name.
fn record(uid: &str, region: &str, cluster: &str, display: &str, version: u32) -> HostRecord {
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let mut label_map = BTreeMap::new();
    if !region.is_empty() {
        label_map.insert(labels::REGION.to_owned(), region.to_owned());
    }
    HostRecord {
        server: ServerId::FIRST,
        metadata: ObjectMeta {
            name: Some(format!("n-{uid}")),
            namespace: Some("inventory".to_owned()),
            uid: Some(uid.to_owned()),
            resource_version: Some(version.to_string()),
            creation_timestamp: Some(Time(at(0))),
            labels: Some(label_map),
            annotations: Some(BTreeMap::from([(
                labels::DISPLAY_NAME.to_owned(),
                display.to_owned(),
            )])),
            ..ObjectMeta::default()
        },
        spec: SpecRecord { cluster: text(cluster), ..SpecRecord::default() },
        status: StatusRecord { phase: Some(Phase::Running), ..StatusRecord::default() },
        writer: None,
        problem: None,
    }
}

fn filter(inventory: &mut Inventory, text: &str, now: Timestamp) {
    inventory.set_filter(Some(Filter::parse(text).unwrap()), now);
    while !inventory.filter_step(1000) {}
}

fn all_open() -> Folds {
    let mut folds = Folds::default();
    folds.open_all(false);
    folds.open_all(true);
    folds
}

/// Every visible line, indented, as a person would read it.
fn screen(inventory: &Inventory, folds: &Folds) -> Vec<String> {
    let Some(first) = inventory.first(folds) else { return Vec::new() };
    let lines = inventory.window(folds, &first, usize::MAX >> 32);
    lines
        .iter()
        .map(|line| {
            let indent = "  ".repeat(line.depth());
            match line {
                Line::Group { name, counts, .. } => {
                    format!("{indent}{name} {}/{}", counts.matched, counts.total)
                }
                Line::Host { row, .. } => format!("{indent}{}", row.display()),
            }
        })
        .collect()
}

#[test]
fn a_fleet_in_natural_order_with_the_nameless_last() {
    let mut inventory = Inventory::new();
    for (uid, region, cluster, display) in [
        ("1", "eu-10", "web", "web-10"),
        ("2", "eu-2", "web", "web-2"),
        ("3", "eu-10", "web", "web-2"),
        ("4", "", "web", "x"),
        ("5", "eu-10", "", "y"),
    ] {
        assert!(inventory.apply(record(uid, region, cluster, display, 1), at(0)));
    }
    assert_eq!(
        screen(&inventory, &all_open()),
        [
            "eu-2 1/1",
            "  web 1/1",
            "    web-2",
            "eu-10 3/3",
            "  web 2/2",
            "    web-2",
            "    web-10",
            "  (no cluster) 1/1",
            "    y",
            "(no region) 1/1",
            "  web 1/1",
            "    x",
        ]
    );
    assert_eq!(
        screen(&inventory, &Folds::default()),
        [
            "eu-2 1/1",
            "  web 1/1",
            "eu-10 3/3",
            "  web 2/2",
            "  (no cluster) 1/1",
            "(no region) 1/1",
            "  web 1/1"
        ]
    );
}

#[test]
fn the_same_version_changes_nothing_and_an_unseen_change_is_not_shown() {
    let mut inventory = Inventory::new();
    assert!(inventory.apply(record("1", "eu", "web", "a", 1), at(0)));
    assert!(!inventory.apply(record("1", "eu", "web", "b", 1), at(0)));
    assert!(!inventory.apply(record("1", "eu", "web", "a", 2), at(0)));
    assert_eq!(inventory.get(&"1".into()).unwrap().resource_version(), "2");
    assert!(inventory.apply(record("1", "eu", "web", "b", 3), at(0)));
    assert!(inventory.delete(&"1".into()));
    assert!(!inventory.delete(&"1".into()));
    assert!(inventory.is_empty() && inventory.first(&Folds::default()).is_none());
    assert_eq!(inventory.interner.len(), 0, "nothing is left of a host that is gone");
}

#[test]
fn listing_again_deletes_what_it_did_not_bring() {
    let mut inventory = Inventory::new();
    for uid in ["1", "2", "3"] {
        inventory.apply(record(uid, "eu", "web", uid, 1), at(0));
    }
    inventory.begin_resync(ServerId::FIRST);
    assert_eq!(inventory.len(), 3);
    assert!(!inventory.apply(record("1", "eu", "web", "1", 1), at(0)));
    assert!(inventory.apply(record("4", "eu", "web", "4", 1), at(0)));
    assert!(inventory.apply(record("3", "eu", "web", "3b", 2), at(0)));
    assert_eq!(inventory.end_resync(ServerId::FIRST), 1);
    assert_eq!(screen(&inventory, &all_open())[2..], ["    1", "    3b", "    4"]);
}

#[test]
fn each_server_has_its_own_hosts_lists_and_name() {
    let mut inventory = Inventory::new();
    let [here, there] = [0, 1].map(|number| ServerId::new(number).unwrap());
    inventory.name_server(here, "main");
    let on = |server, uid: &str, name: &str, version| {
        let mut record = record(uid, "eu", "web", name, version);
        record.server = server;
        record
    };
    // A server that was made from a backup of the other has the same uids.
    for server in [here, there] {
        for uid in ["1", "2"] {
            inventory.apply(on(server, uid, &format!("{uid}-{}", server.index()), 1), at(0));
        }
    }
    inventory.name_server(there, "Spare");
    assert_eq!((inventory.len(), inventory.server_name(there)), (4, "Spare"));
    let get = |inventory: &Inventory, server, uid: &str| {
        inventory.get(&Uid::on(server, uid)).map(|row| row.display().to_owned())
    };
    assert_eq!(get(&inventory, there, "1").as_deref(), Some("1-1"));
    assert_eq!(get(&inventory, here, "1").as_deref(), Some("1-0"));
    for (text, found) in [
        ("server:spare", 2),
        ("context:main 1", 1),
        ("server:main,spa", 4),
        ("!server:main", 2),
        ("server:elsewhere", 0),
    ] {
        filter(&mut inventory, text, at(0));
        assert_eq!(inventory.matched(), found, "{text}");
    }
    // One that is given another name is found by that from the next filter on.
    inventory.name_server(there, "other");
    filter(&mut inventory, "server:other", at(0));
    assert_eq!(inventory.matched(), 2);
    inventory.set_filter(None, at(0));
    inventory.begin_resync(there);
    inventory.begin_resync(here);
    assert!(!inventory.apply(on(there, "2", "2-1", 1), at(0)));
    assert_eq!((inventory.end_resync(there), inventory.len()), (1, 3));
    assert!(inventory.delete(&Uid::on(there, "2")) && !inventory.delete(&Uid::on(there, "2")));
    assert_eq!(get(&inventory, here, "2").as_deref(), Some("2-0"));
    assert_eq!((inventory.end_resync(here), inventory.len()), (2, 0));
    assert_eq!(inventory.interner.len(), 2, "nothing is left but the names");
}

#[test]
fn holds_begin_and_end_by_themselves() {
    let mut inventory = Inventory::new();
    let mut host = record("1", "eu", "web", "a", 1);
    let hold = |since, until| HoldRecord {
        reason: Some("disk".to_owned()),
        since: Some(at(since)),
        until: Some(at(until)),
        ..HoldRecord::default()
    };
    host.spec.maintenance.insert("alice".to_owned(), hold(0, 100));
    host.spec.maintenance.insert("bob".to_owned(), hold(1000, 2000));
    inventory.apply(host, at(10));
    let state = |inventory: &Inventory| {
        let row = inventory.get(&"1".into()).unwrap();
        (row.phase(), row.health(), inventory.counts().with(Health::Maintenance))
    };
    let on = (Phase::Maintenance, Health::Maintenance, 1);
    let off = (Phase::Running, Health::Ok, 0);
    assert_eq!(state(&inventory), on);
    assert_eq!(inventory.next_tick(), Some(at(100)));
    assert!(!inventory.tick(at(99)));
    assert!(inventory.tick(at(100)));
    assert_eq!(state(&inventory), off);
    // The second one begins, give or take two minutes.
    assert_eq!(inventory.next_tick(), Some(at(880)));
    assert!(inventory.tick(at(880)));
    assert_eq!(state(&inventory), on);
    filter(&mut inventory, "maintenance:on", at(880));
    assert_eq!(inventory.matched(), 1);
    assert!(inventory.tick(at(5000)));
    assert_eq!(state(&inventory), off);
    assert_eq!((inventory.matched(), inventory.next_tick()), (0, None));
}

#[test]
fn ages_cross_the_limit_of_the_filter() {
    let mut inventory = Inventory::new();
    inventory.apply(record("1", "eu", "web", "a", 1), at(0));
    filter(&mut inventory, "age<1m", at(10));
    assert_eq!((inventory.matched(), inventory.next_tick()), (1, Some(at(60))));
    assert!(!inventory.tick(at(59)));
    assert!(inventory.tick(at(60)));
    assert_eq!((inventory.matched(), inventory.next_tick()), (0, None));
    // No tick in between: what the filter before chose is brought up to date first.
    filter(&mut inventory, "age>2m", at(60));
    filter(&mut inventory, "age>2m a", at(130));
    assert_eq!(inventory.matched(), 1);
    filter(&mut inventory, "age>3m", at(60));
    assert!(inventory.tick(at(500)));
    assert_eq!(inventory.matched(), 1);
}

#[test]
fn what_is_shown_is_of_one_filter_even_in_the_middle_of_the_next() {
    let mut inventory = Inventory::new();
    for number in 0..10 {
        let display = format!("{}-{number}", if number % 2 == 0 { "web" } else { "db" });
        inventory.apply(record(&number.to_string(), "eu", "c", &display, 1), at(0));
    }
    filter(&mut inventory, "web", at(0));
    assert_eq!(inventory.matched(), 5);
    inventory.set_filter(Some(Filter::parse("db").unwrap()), at(0));
    assert!(!inventory.filter_step(3));
    assert_eq!((inventory.matched(), inventory.filter_pending()), (5, true));
    // Events in between go to both.
    inventory.apply(record("0", "eu", "c", "db-0", 2), at(0));
    inventory.apply(record("new", "eu", "c", "db-new", 1), at(0));
    inventory.delete(&"9".into());
    assert_eq!(inventory.matched(), 4);
    while !inventory.filter_step(3) {}
    assert_eq!((inventory.matched(), inventory.filter_pending()), (6, false));
    inventory.set_filter(None, at(0));
    assert_eq!((inventory.matched(), inventory.is_filtered()), (10, false));
}

#[test]
fn a_label_key_is_found_though_a_shorter_word_did_not_find_it() {
    let mut inventory = Inventory::new();
    let mut with_key = record("1", "eu", "c", "a", 1);
    with_key.metadata.labels.get_or_insert_default().insert("gpu".to_owned(), "yes".to_owned());
    inventory.apply(with_key, at(0));
    inventory.apply(record("2", "eu", "c", "gpu-1", 1), at(0));
    for (text, matched) in [("gp", 1), ("gpu", 2), ("gpu-", 1), ("!gpu", 0), ("!gp", 1)] {
        filter(&mut inventory, text, at(0));
        assert_eq!(inventory.matched(), matched, "{text}");
    }
}

#[test]
fn objects_that_cannot_be_read_are_counted_and_named() {
    let mut inventory = Inventory::new();
    let mut bad = record("1", "eu", "c", "a", 1);
    bad.problem = Some("spec.role is not a string".to_owned());
    assert!(inventory.apply(bad, at(0)));
    assert!(inventory.apply(HostRecord::default(), at(0)));
    assert_eq!(
        inventory.problems(),
        Problems {
            count: 2,
            first: vec![("inventory/n-1".to_owned(), "spec.role is not a string".to_owned())],
        }
    );
    assert_eq!(inventory.counts().with(Health::Warning), 1);
    inventory.apply(record("1", "eu", "c", "a", 2), at(0));
    inventory.begin_resync(ServerId::FIRST);
    assert_eq!(inventory.problems(), Problems::default());
}

#[test]
fn labels_complete_with_counts() {
    let mut inventory = Inventory::new();
    let now = at(0);
    for host in sample::fleet(300, now) {
        inventory.apply(HostRecord::from(&host), now);
    }
    let keys = inventory.label_keys();
    assert!(keys.contains(&(labels::REGION, 300)) && keys.is_sorted(), "{keys:?}");
    let environments: Vec<(String, usize)> = inventory
        .label_values("env")
        .into_iter()
        .map(|(name, count)| (name.to_owned(), count))
        .collect();
    let names: Vec<&str> = environments.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["dev", "prod", "staging"]);
    assert_eq!(environments.iter().map(|(_, count)| count).sum::<usize>(), 300);
    let row = inventory.rows().next().unwrap();
    assert!(inventory.labels(row).any(|(key, _)| key == labels::ZONE));
    filter(&mut inventory, "env=prod", now);
    let prod = environments.iter().find(|(name, _)| name == "prod").unwrap().1;
    assert_eq!((inventory.matched(), inventory.matched_rows().count()), (prod, prod));
}

#[test]
fn service_state_and_phase_can_be_asked_for() {
    let mut inventory = Inventory::new();
    let mut quarantined = record("1", "eu", "c", "a", 1);
    quarantined.spec.service_state = ServiceState::Quarantined;
    inventory.apply(quarantined, at(0));
    inventory.apply(record("2", "eu", "c", "b", 1), at(0));
    for (text, matched) in [
        ("state:quar", 1),
        ("state:running", 2),
        ("state:ok,warn", 2),
        ("state:warn", 1),
        ("run:none", 2),
    ] {
        filter(&mut inventory, text, at(0));
        assert_eq!(inventory.matched(), matched, "{text}");
    }
}
