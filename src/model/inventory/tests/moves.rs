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
                Line::Host { row } => Some(row.display().to_owned()),
                _ => None,
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
    NodeKey::Cluster(region.into(), name.into())
}

#[test]
fn the_cursor_of_a_deleted_host_goes_to_the_next_line() {
    let folds = all_open();
    for (gone, expected) in [
        (vec!["b1"], host("b2")),
        (vec!["b1", "b2"], host("b3")),
        (vec!["b1", "b2", "b3"], NodeKey::Region("us".into())),
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
    folds.close(&NodeKey::Region("us".into()), false);
    assert_eq!(inventory.settle(&folds, &anchor), Some(NodeKey::Region("us".into())));
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
        ("c-", NodeKey::Region("us".into())),
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
