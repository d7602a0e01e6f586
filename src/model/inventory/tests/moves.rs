//! From line to line, and where the cursor goes.

use super::*;

/// Every way to move agrees with the list of all visible lines.
pub(super) fn check_moves(inventory: &Inventory, folds: &Folds) {
    let Some(first) = inventory.first(folds) else {
        assert_eq!(inventory.last(folds), None);
        return;
    };
    let keys: Vec<NodeKey> =
        inventory.window(folds, &first, 10_000).iter().map(Line::key).collect();
    assert_eq!(inventory.last(folds).as_ref(), keys.last());
    for (number, key) in keys.iter().enumerate() {
        assert_eq!(inventory.position(folds, key), (number, keys.len()));
        let window: Vec<NodeKey> = inventory.window(folds, key, 4).iter().map(Line::key).collect();
        assert_eq!(window, keys[number..keys.len().min(number + 4)]);
        assert_eq!(inventory.nearest(folds, key).as_ref(), Some(key));
        assert_eq!(inventory.line(folds, key).map(|line| line.key()).as_ref(), Some(key));
        for delta in [-1000_isize, -9, -2, -1, 0, 1, 2, 3, 7, 1000] {
            let to = number.saturating_add_signed(delta).min(keys.len() - 1);
            assert_eq!(inventory.step(folds, key, delta), keys[to], "{key:?} {delta}");
        }
    }
}

#[test]
fn a_long_cluster_is_walked_in_chunks() {
    let mut inventory = Inventory::new();
    // In an order that divides and joins chunks.
    for number in (0..3000_u32).map(|number| number * 1237 % 3000) {
        let display = format!("h-{number}");
        inventory.apply(record(&number.to_string(), "r", "c", &display, 1), at(0));
    }
    let folds = all_open();
    let check = |inventory: &Inventory, expected: &[u32]| {
        let first = inventory.first(&folds).unwrap();
        let lines = inventory.window(&folds, &first, 10_000);
        let shown: Vec<String> = lines
            .iter()
            .filter_map(|line| match line {
                Line::Host { row, .. } => Some(row.display().to_owned()),
                Line::Group { .. } => None,
            })
            .collect();
        let expected: Vec<String> = expected.iter().map(|number| format!("h-{number}")).collect();
        assert_eq!(shown, expected);
        for (rank, name) in expected.iter().enumerate().step_by(97) {
            let key = NodeKey::Host(Uid::from(name.strip_prefix("h-").unwrap()));
            assert_eq!(inventory.position(&folds, &key), (rank + 2, expected.len() + 2));
            assert_eq!(inventory.step(&folds, &first, isize::try_from(rank).unwrap() + 2), key);
            assert_eq!(inventory.step(&folds, &key, -2 - isize::try_from(rank).unwrap()), first);
        }
    };
    check(&inventory, &(0..3000).collect::<Vec<_>>());
    filter(&mut inventory, "/7$/", at(0));
    check(&inventory, &(0..3000).filter(|number| number % 10 == 7).collect::<Vec<_>>());
    inventory.set_filter(None, at(0));
    for number in (0..3000_u32).filter(|number| number % 16 != 0) {
        inventory.delete(&Uid::from(number.to_string().as_str()));
    }
    check(&inventory, &(0..3000).filter(|number| number % 16 == 0).collect::<Vec<_>>());
}

#[test]
fn a_long_cluster_that_comes_in_under_a_filter() {
    let mut inventory = Inventory::new();
    filter(&mut inventory, "/7$/", at(0));
    for number in (0..2000_u32).map(|number| number * 1237 % 2000) {
        let display = format!("h-{number}");
        inventory.apply(record(&number.to_string(), "r", "c", &display, 1), at(0));
    }
    let folds = all_open();
    let last = inventory.last(&folds).unwrap();
    assert_eq!(last, NodeKey::Host("1997".into()));
    assert_eq!(inventory.position(&folds, &last), (201, 202));
    assert_eq!(inventory.step(&folds, &last, -200), cluster("r", "c"));
}

fn small() -> Inventory {
    let mut inventory = Inventory::new();
    for (uid, region, cluster, display) in [
        ("a1", "eu", "db", "a-1"),
        ("a2", "eu", "db", "a-2"),
        ("b1", "eu", "web", "b-1"),
        ("b2", "eu", "web", "b-2"),
        ("b3", "eu", "web", "b-3"),
        ("c1", "us", "web", "c-1"),
    ] {
        inventory.apply(record(uid, region, cluster, display, 1), at(0));
    }
    inventory
}

fn host(uid: &str) -> NodeKey {
    NodeKey::Host(uid.into())
}

fn cluster(region: &str, name: &str) -> NodeKey {
    NodeKey::group([region, name])
}

#[test]
fn the_cursor_of_a_deleted_host_goes_to_the_next_line() {
    let folds = all_open();
    for (gone, expected) in [
        (vec!["b1"], host("b2")),
        (vec!["b1", "b2"], host("b3")),
        (vec!["b1", "b2", "b3"], NodeKey::group(["us"])),
        (vec!["b1", "b2", "b3", "c1"], host("a2")),
        (vec!["b1", "c1", "a1"], host("b2")),
    ] {
        let mut inventory = small();
        let anchor = inventory.anchor_of(&host("b1")).unwrap();
        for uid in &gone {
            inventory.delete(&(*uid).into());
        }
        assert_eq!(inventory.settle(&folds, &anchor), Some(expected), "{gone:?}");
    }
    let mut inventory = small();
    let anchor = inventory.anchor_of(&host("a2")).unwrap();
    inventory.delete(&"a2".into());
    assert_eq!(inventory.settle(&folds, &anchor), Some(cluster("eu", "web")));
    assert_eq!(Inventory::new().settle(&folds, &anchor), None);
}

#[test]
fn the_cursor_follows_a_host_that_moves_and_climbs_out_of_what_is_closed() {
    let mut inventory = small();
    let mut folds = all_open();
    let anchor = inventory.anchor_of(&host("b2")).unwrap();
    inventory.apply(record("b2", "us", "new", "b-2", 2), at(0));
    assert_eq!(inventory.settle(&folds, &anchor), Some(host("b2")));
    folds.close(&cluster("us", "new"), false);
    assert_eq!(inventory.settle(&folds, &anchor), Some(cluster("us", "new")));
    folds.close(&NodeKey::group(["us"]), false);
    assert_eq!(inventory.settle(&folds, &anchor), Some(NodeKey::group(["us"])));
    inventory.reveal(&mut folds, &host("b2"));
    assert_eq!(inventory.settle(&folds, &anchor), Some(host("b2")));
    assert_eq!(inventory.parent(&host("b2")), Some(cluster("us", "new")));
}

#[test]
fn the_cursor_of_a_host_that_the_filter_hides_goes_to_the_next_match() {
    let mut inventory = small();
    let folds = Folds::default();
    for (text, expected) in [
        ("b-3", host("b3")),
        ("a-1 || b-3", host("b3")),
        ("c-", NodeKey::group(["us"])),
        ("a-", host("a2")),
    ] {
        filter(&mut inventory, text, at(0));
        assert_eq!(inventory.nearest(&folds, &host("b2")), Some(expected), "{text}");
    }
    filter(&mut inventory, "nothing", at(0));
    assert_eq!(inventory.nearest(&folds, &host("b2")), None);
    assert_eq!(inventory.position(&folds, &host("b2")), (0, 0));
    assert!(inventory.window(&folds, &host("b2"), 5).is_empty());
    assert_eq!(inventory.step(&folds, &host("b2"), 1), host("b2"));
}

#[test]
fn with_a_filter_the_tree_shows_what_matches_and_everything_open() {
    let mut inventory = small();
    filter(&mut inventory, "-1", at(0));
    assert_eq!(
        screen(&inventory, &Folds::default()),
        ["eu 2/5", "  db 1/2", "    a-1", "  web 1/3", "    b-1", "us 1/1", "  web 1/1", "    c-1"]
    );
}

#[test]
fn a_group_may_be_of_anything_and_nothing_at_all() {
    let mut inventory = small();
    inventory.apply(record("x1", "", "", "x-1", 1), at(0));
    let regroup = |inventory: &mut Inventory, text: &str| {
        inventory.set_grouping(&Level::list(text).unwrap());
        while !inventory.shape_step(2) {}
        screen(inventory, &Folds::new(inventory.grouping().len()))
    };
    assert_eq!(regroup(&mut inventory, "cluster"), ["db 2/2", "web 4/4", "(no cluster) 1/1"]);
    assert_eq!(
        regroup(&mut inventory, "cluster,region"),
        [
            "db 2/2",
            "  eu 2/2",
            "web 4/4",
            "  eu 3/3",
            "  us 1/1",
            "(no cluster) 1/1",
            "  (no region) 1/1"
        ]
    );
    assert_eq!(regroup(&mut inventory, ""), ["a-1", "a-2", "b-1", "b-2", "b-3", "c-1", "x-1"]);
    assert_eq!(inventory.parent(&host("b1")), None);
    assert_eq!(inventory.level_of(&host("b1")), None);
    regroup(&mut inventory, "label:rack");
    let group = NodeKey::group([""]);
    assert_eq!(inventory.parent(&host("b1")), Some(group.clone()));
    assert_eq!(inventory.rows_under(&group).count(), 7);
    assert_eq!(inventory.level_of(&group).unwrap().0.to_string(), "label:rack");
    assert!(
        inventory.is_above(&group, &host("a1")) && inventory.is_above(&host("a1"), &host("a2"))
    );
    // A group of another grouping is not there.
    assert_eq!(inventory.rows_under(&cluster("eu", "db")).count(), 0);
    assert_eq!(inventory.line(&Folds::new(1), &cluster("eu", "db")).map(|l| l.key()), None);
}

#[test]
fn what_is_shown_is_of_one_grouping_even_in_the_middle_of_the_next() {
    let mut inventory = small();
    inventory.set_grouping(&[Level::Cluster]);
    inventory.set_sort(Some(&"-display".parse().unwrap()));
    assert!(!inventory.shape_step(3) && inventory.shape_pending());
    assert_eq!(inventory.grouping(), [Level::Region, Level::Cluster]);
    // Events in between go to both: of hosts that were taken in already and of others.
    inventory.apply(record("a1", "eu", "new", "a-1", 2), at(0));
    inventory.apply(record("c1", "us", "new", "c-1", 2), at(0));
    inventory.apply(record("z1", "us", "web", "z-1", 1), at(0));
    inventory.delete(&"a2".into());
    assert_eq!(screen(&inventory, &Folds::default())[0], "eu 4/4");
    assert!(!inventory.has_table());
    while !inventory.shape_step(1) {}
    assert_eq!(screen(&inventory, &Folds::new(1)), ["new 2/2", "web 4/4"]);
    let first = inventory.list_nth(List::Table, 0).unwrap().uid().clone();
    let rows = inventory.list_window(List::Table, &first, 9);
    let names: Vec<&str> = rows.into_iter().map(HostRow::display).collect();
    assert_eq!(names, ["z-1", "c-1", "b-3", "b-2", "b-1", "a-1"]);
    assert_eq!(inventory.list_rank(List::Table, &"b2".into()), Some(3));
    // To go back is no pass at all while the first is not through.
    inventory.set_grouping(&[Level::Region]);
    inventory.set_grouping(&[Level::Cluster]);
    assert!(!inventory.shape_pending());
}

#[test]
fn a_host_moves_by_itself_where_groups_follow_its_state() {
    let mut inventory = Inventory::new();
    inventory.set_grouping(&[Level::State]);
    inventory.set_sort(Some(&"state".parse().unwrap()));
    while !inventory.shape_step(1) {}
    let mut held = record("1", "eu", "web", "b", 1);
    let night = HoldRecord { since: Some(at(0)), until: Some(at(100)), ..HoldRecord::default() };
    held.spec.maintenance.insert("ann".to_owned(), night);
    inventory.apply(held, at(0));
    inventory.apply(record("2", "eu", "web", "a", 1), at(0));
    filter(&mut inventory, "maintenance:on", at(0));
    let folds = Folds::new(1);
    assert_eq!(screen(&inventory, &folds), ["Maintenance 1/1", "  b"]);
    assert_eq!(inventory.list_len(List::Table), (1, 2));
    assert!(inventory.tick(at(100)));
    assert!(screen(&inventory, &folds).is_empty());
    assert_eq!(inventory.list_len(List::Table), (0, 2));
    inventory.set_filter(None, at(100));
    assert_eq!(screen(&inventory, &folds), ["Running 2/2"]);
    assert_eq!(inventory.list_nth(List::Table, 0).map(HostRow::display), Some("a"));
}
