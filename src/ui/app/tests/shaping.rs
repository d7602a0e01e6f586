//! Tree and table, groupings, orders and columns: the cursor stays on its host through all of them.

use super::*;
use crate::model::inventory::List;
use crate::model::shape::{Form, Level, Shape};
use crate::ui::app::Overlay;
use crate::ui::testing::{busy, with_hosts};

fn on(model: &Model) -> String {
    match model.node() {
        Some(NodeKey::Group(path)) => path.names().join("/"),
        Some(NodeKey::Host(_)) => model.host().unwrap().display().to_owned(),
        None => "nothing".to_owned(),
    }
}

fn table(model: &Model) -> Vec<&str> {
    model.table_rows(99).into_iter().map(HostRow::display).collect()
}

/// Nine hosts, of which the last three have a rack, in a table with the cursor on `web-us-2`.
fn racks() -> Model {
    let mut all = hosts();
    for (host, rack) in all.iter_mut().skip(6).zip(["10", "9", "b"]) {
        host["metadata"]["labels"]["example.com/rack"] = json!(rack);
    }
    with_hosts(empty(100, 24), all)
}

#[test]
fn the_table_and_back_keep_the_cursor_and_the_marks() {
    let mut model = on_host();
    press(&mut model, "<space>k");
    assert_eq!(on(&model), "db-eu-2");
    press(&mut model, "t");
    assert!(model.in_table());
    assert_eq!(on(&model), "db-eu-2");
    assert_eq!(table(&model).len(), 9);
    press(&mut model, "4j<space>");
    assert_eq!(on(&model), "web-us-1");
    assert_eq!(model.inventory.marked().total, 2);
    press(&mut model, "kzMt");
    // The way back opens what is closed around it.
    assert_eq!((model.in_table(), on(&model).as_str()), (false, "web-eu-3"));
    assert!(model.inventory.is_marked(&Uid::new("uid-2")));
    // On a group the table begins with its first host.
    press(&mut model, "hhht");
    assert_eq!(on(&model), "db-eu-1");
    press(&mut model, "<esc><esc>q");
    assert!(model.in_table() && screen(&model).contains(":q quits"), "{}", screen(&model));
}

#[test]
fn events_and_orders_leave_the_cursor_of_the_table_on_its_host() {
    let mut model = racks();
    press(&mut model, "t7j");
    assert_eq!(on(&model), "web-us-2");
    for n in 20..60 {
        fleet_event(&mut model, apply(host(n, &format!("aa-{n}"), "eu-west-1", "db")));
        assert_eq!(on(&model), "web-us-2");
    }
    for keys in [":sort -label:example.com/rack<enter>", "I", "<ctrl-w>", "<shift-right>O", "I"] {
        press(&mut model, keys);
        assert_eq!(on(&model), "web-us-2", "{keys}");
        assert!(screen(&model).contains("web-us-2"), "{keys} {}", screen(&model));
    }
    press(&mut model, "/us<enter>");
    assert_eq!((on(&model).as_str(), table(&model).len()), ("web-us-2", 3));
    fleet_event(&mut model, HostChange::Delete(Uid::new("uid-8")));
    assert_ne!(on(&model), "nothing");
    // Maintenance of what is under the cursor, as in the tree.
    let uid = model.host().unwrap().uid().clone();
    press(&mut model, "m");
    let Overlay::Strip(strip) = &model.overlay else { panic!("{:?}", model.overlay) };
    assert_eq!(strip.taken(), [uid]);
}

#[test]
fn the_table_is_sorted_by_any_column_and_what_has_nothing_stands_last() {
    let mut model = racks();
    press(&mut model, "t:sort label:example.com/rack<enter>");
    assert_eq!(table(&model)[..4], ["web-us-2", "web-us-1", "web-us-3", "db-eu-1"]);
    press(&mut model, "I");
    assert_eq!(table(&model)[..4], ["web-us-3", "web-us-1", "web-us-2", "db-eu-1"]);
    // By the chosen column: the second is the region.
    press(&mut model, "<shift-right><shift-right>O");
    assert_eq!(model.shape().sort.as_ref().unwrap().to_string(), "region");
    assert!(screen(&model).contains("REGION↑"), "{}", screen(&model));
    press(&mut model, "I");
    assert!(screen(&model).contains("REGION↓"), "{}", screen(&model));
    assert_eq!(table(&model)[0], "web-us-1");
    press(&mut model, "2<shift-left>O");
    assert_eq!((model.shape().sort.as_ref(), table(&model)[0]), (None, "db-eu-1"));
    press(&mut model, "I");
    assert_eq!(table(&model)[0], "web-us-3");
    assert!(screen(&model).contains("NAME↓"), "{}", screen(&model));
    press(&mut model, "tO");
    assert!(screen(&model).contains("t shows the table"), "{}", screen(&model));
}

#[test]
fn each_grouping_remembers_what_was_open_in_it() {
    let mut model = fleet(120, 30);
    press(&mut model, "jl");
    assert!(screen(&model).contains("db-eu-1"));
    press(&mut model, "go");
    assert_eq!((on(&model).as_str(), model.inventory.grouping()), ("web", &[Level::Role][..]));
    assert!(screen(&model).contains(" by role ") && !screen(&model).contains("db-eu-1"));
    press(&mut model, "l");
    assert!(screen(&model).contains("db-eu-1"), "{}", screen(&model));
    press(&mut model, "gd");
    assert!(screen(&model).contains("db-eu-1"), "{}", screen(&model));
    press(&mut model, "gggr");
    assert_eq!(on(&model), "eu-west-1");
    assert!(!screen(&model).contains("db-eu-1"));
    press(&mut model, "go");
    assert!(screen(&model).contains("db-eu-1"));
    for (keys, group) in [
        ("gc", "cluster"),
        ("gp", "provider"),
        ("gz", "zone"),
        ("gt", "team"),
        ("ge", "env"),
        ("gs", "state"),
        ("gr", "region"),
        ("gd", "region,cluster"),
    ] {
        press(&mut model, keys);
        assert_eq!(Level::write(model.inventory.grouping()), group, "{keys}");
    }
}

#[test]
fn any_label_groups_by_what_is_typed() {
    let mut model = racks();
    press(&mut model, ":group example.com/rack,region<enter>");
    assert_eq!(Level::write(&model.shape().group), "label:example.com/rack,region");
    let shown = screen(&model);
    assert!(
        shown.contains("(no example.com/rack)") && shown.contains("by example.com/rack, region")
    );
    press(&mut model, ":group no key<enter>");
    assert!(screen(&model).contains("nothing to group by"), "{}", screen(&model));
    // The prompt finds it by a few letters, with the number of hosts that have it.
    press(&mut model, "gdglrack");
    assert!(screen(&model).contains("3 hosts"), "{}", screen(&model));
    press(&mut model, "<enter>");
    assert_eq!(Level::write(&model.shape().group), "label:example.com/rack");
    press(&mut model, "glregion,team<enter>");
    assert_eq!(Level::write(&model.shape().group), "region,team");
    press(&mut model, "gl<space>env<esc>");
    assert_eq!(Level::write(&model.shape().group), "region,team");
    press(&mut model, "gl<space>j<backspace><enter>");
    assert_eq!(Level::write(&model.shape().group), "team");
    press(&mut model, "gl<ctrl-r>");
    assert_eq!(model.shape().group, Shape::default().group);
}

#[test]
fn a_group_is_acted_on_as_a_whole_and_marked_as_a_whole() {
    let mut model = racks();
    press(&mut model, ":group label:example.com/rack,role<enter>zRGm");
    press(&mut model, "<esc>hhh");
    assert_eq!(on(&model), "");
    press(&mut model, "<space>");
    assert_eq!(model.inventory.marked().total, 6, "the hosts without a rack");
    press(&mut model, "<esc>gg");
    let targets = model.targets();
    assert_eq!((targets.hosts.len(), targets.whole), (1, None));
    // A region is a region under whatever it stands.
    press(&mut model, ":group role,region<enter>ggj");
    let targets = model.targets();
    assert_eq!((targets.hosts.len(), targets.whole.as_deref()), (6, Some("eu-west-1")));
    press(&mut model, "m");
    let Overlay::Strip(strip) = &model.overlay else { panic!("{:?}", model.overlay) };
    assert_eq!(strip.items.len(), 6);
    assert!(screen(&model).contains("eu-west-1"), "{}", screen(&model));
}

#[test]
fn columns_are_chosen_moved_and_found_by_a_few_letters() {
    let mut model = racks();
    let columns = |model: &Model| {
        let words: Vec<String> = model.columns().shown().iter().map(ToString::to_string).collect();
        words.join(",")
    };
    assert_eq!(columns(&model), "state,role,address,age", "the groups say the rest");
    press(&mut model, "t");
    assert_eq!(columns(&model), "state,region,cluster,role,address,age");
    press(&mut model, "C<space><down><space>");
    press(&mut model, "rack<enter>KK<enter>");
    assert_eq!(columns(&model), "region,role,label:example.com/rack,address,age");
    assert!(screen(&model).contains("rack"), "{}", screen(&model));
    press(&mut model, "Clabel:zzq<space><enter>");
    assert!(columns(&model).ends_with("age,label:zzq"));
    press(&mut model, "CX:.spec.role");
    assert!(screen(&model).contains("get -o shows the rest"), "{}", screen(&model));
    press(&mut model, "<space><esc>C<ctrl-r>");
    assert_eq!(columns(&model), "state,region,cluster,role,address,age");
    press(&mut model, ":columns health,label:example.com/rack<enter>");
    assert_eq!(columns(&model), "health,label:example.com/rack");
    press(&mut model, "<ctrl-w>");
    assert!(columns(&model).starts_with("health,label:example.com/rack,name,region"));
    press(&mut model, "<ctrl-w>:columns nothing<enter>");
    assert_eq!(columns(&model), "health,label:example.com/rack");
    assert!(screen(&model).contains("is no column"), "{}", screen(&model));
    // The tree shows the same ones.
    press(&mut model, "t");
    assert_eq!(columns(&model), "health,label:example.com/rack");
}

#[test]
fn the_chosen_column_is_in_sight_at_every_width() {
    let mut model = with_hosts(empty(200, 20), busy());
    press(&mut model, "t<ctrl-w>");
    let all = model.columns().shown().len();
    for width in [40, 60, 80, 99, 200, 400] {
        send(&mut model, Msg::Resize(width, 20));
        for _ in 0..=all {
            press(&mut model, "<shift-right>");
            let fit = model.columns().fit(model.areas().rows.width);
            let chosen = model.columns().chosen().unwrap();
            assert!(fit.cells.iter().any(|(at, _)| at + 1 == chosen), "{width} {chosen} {fit:?}");
            let used = fit.name + fit.cells.iter().map(|(_, w)| w + columns::GAP).sum::<usize>();
            assert!(used <= usize::from(model.areas().rows.width));
        }
        press(&mut model, "99<shift-left>");
        assert_eq!(model.columns().chosen(), Some(0));
        assert!(!model.columns().fit(width).left);
    }
}

#[test]
fn a_large_fleet_is_put_into_another_shape_in_steps() {
    let all =
        (0..6_000).map(|n| host(n, &format!("h-{n}"), "r", &format!("c-{}", n % 7))).collect();
    let mut model = with_hosts(empty(100, 24), all);
    press(&mut model, "zRG");
    assert_eq!(on(&model), "h-5998");
    update(&mut model, Msg::Key(crate::ui::testing::key("t")));
    assert!(model.shaping() && !model.in_table() && !model.settled());
    assert!(screen(&model).contains("sorting…"), "{}", screen(&model));
    // Keys in between do what they do in the tree that is still shown.
    update(&mut model, Msg::Key(crate::ui::testing::key("k")));
    assert_eq!(on(&model), "h-5991");
    while model.filtering() {
        model.filter_step();
    }
    assert!(model.in_table());
    assert_eq!(
        (on(&model).as_str(), model.inventory.list_len(List::Table)),
        ("h-5998", (6_000, 6_000))
    );
    update(&mut model, Msg::Key(crate::ui::testing::key("g")));
    update(&mut model, Msg::Key(crate::ui::testing::key("c")));
    assert!(screen(&model).contains("grouping…"), "{}", screen(&model));
    while model.filtering() {
        model.filter_step();
    }
    assert_eq!((on(&model).as_str(), model.shape().form), ("c-6", Form::Tree));
}
