mod acting;
mod anything;
mod asking;
mod finding;
mod shaping;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::act::{Order, Outcome, Step};
use crate::model::change::{Change, HoldChange};
use crate::model::host::Host;
use crate::model::key::{ServerId, Uid};
use crate::ui::actions::{ACTIONS, Action};
use crate::ui::testing::{
    NOW, apply, empty, fleet, host, hosts, key, now, object, press, screen, send, settings,
};

fn cursor_name(model: &Model) -> String {
    match &model.cursor {
        Some(NodeKey::Group(path)) => path.name().to_owned(),
        Some(NodeKey::Host(_)) => model.host().unwrap().display().to_owned(),
        None => "nothing".to_owned(),
    }
}

/// A fleet with the cursor on db-eu-2.
fn on_host() -> Model {
    let mut model = fleet(120, 30);
    press(&mut model, "zRgg3j");
    assert_eq!(cursor_name(&model), "db-eu-2");
    model
}

fn changed(host: usize, version: &str) -> serde_json::Value {
    let mut host = hosts().remove(host - 1);
    host["metadata"]["resourceVersion"] = json!(version);
    host
}

fn fleet_event(model: &mut Model, change: HostChange) {
    send(model, Msg::Fleet(ServerId::FIRST, FleetEvent::Changes(vec![change])));
}

/// The order that was sent.
fn order(commands: &[Command]) -> Option<&Order> {
    commands.iter().find_map(|c| match c {
        Command::Act { user, order, .. } if user == "ann" => Some(&**order),
        _ => None,
    })
}

/// The hold of the one change that was sent.
fn sent(commands: &[Command]) -> Option<&HoldChange> {
    let order = order(commands)?;
    match order.changes.as_slice() {
        [Change::Hold(change)] => Some(change),
        other => panic!("{other:?}"),
    }
}

/// One step of an order, as the executor tells it.
fn step(model: &mut Model, order: &Order, step: Step) {
    send(model, Msg::Act { id: order.id.clone(), step });
}

/// The whole order for one host ends like this.
fn ends(model: &mut Model, order: &Order, outcome: Outcome) {
    step(model, order, Step::Host(0, outcome));
    step(model, order, Step::Ended(None));
}

#[test]
fn motions_counts_and_folds() {
    let mut model = fleet(80, 24);
    assert_eq!(cursor_name(&model), "eu-west-1");
    press(&mut model, "j");
    assert_eq!(cursor_name(&model), "db");
    press(&mut model, "l2j");
    assert_eq!(cursor_name(&model), "db-eu-2");
    press(&mut model, "h");
    assert_eq!(cursor_name(&model), "db");
    press(&mut model, "hh");
    assert_eq!(cursor_name(&model), "eu-west-1");
    press(&mut model, "zRG");
    assert_eq!(cursor_name(&model), "web-us-3");
    press(&mut model, "gg");
    assert_eq!(cursor_name(&model), "eu-west-1");
    press(&mut model, "999jzM");
    assert_eq!(cursor_name(&model), "us-east-1");
    press(&mut model, "99k<enter>");
    assert!(screen(&model).contains("web"), "{}", screen(&model));
}

#[test]
fn the_cursor_stays_on_its_host_whatever_moves_around_it() {
    let mut model = on_host();
    for n in 20..40 {
        fleet_event(&mut model, apply(host(n, &format!("aa-{n}"), "eu-west-1", "db")));
    }
    assert_eq!(cursor_name(&model), "db-eu-2");
    let mut moved = changed(2, "900");
    moved["spec"]["cluster"] = json!("zz");
    moved["metadata"]["labels"]["inventory.inv-tui.dev/cluster"] = json!("zz");
    press(&mut model, "zR");
    fleet_event(&mut model, apply(moved));
    press(&mut model, "zR");
    assert!(model.host().is_none() || cursor_name(&model) == "db-eu-2");
    fleet_event(&mut model, HostChange::Delete(Uid::new("uid-5")));
    let before = model.cursor.clone();
    fleet_event(&mut model, HostChange::Delete(Uid::new("uid-9")));
    assert_eq!(model.cursor, before);
}

#[test]
fn a_deleted_host_hands_the_cursor_to_its_neighbour() {
    let mut model = on_host();
    fleet_event(&mut model, HostChange::Delete(Uid::new("uid-2")));
    assert_eq!(cursor_name(&model), "db-eu-3");
}

#[test]
fn maintenance_is_one_key_and_y() {
    let mut model = on_host();
    assert!(sent(&press(&mut model, "m")).is_none());
    assert!(matches!(model.overlay, Overlay::Strip(_)));
    let commands = press(&mut model, "y");
    let change = sent(&commands).unwrap();
    assert_eq!(change.target.name, "aws-i-0002");
    assert_eq!(change.target.resource_version, "102");
    assert_eq!((change.holder.as_str(), &change.old), ("ann", &None));
    let hold = change.new.clone().unwrap();
    assert_eq!(hold.reason, "maintenance");
    assert_eq!(hold.until.0.as_second() - NOW, 4 * 3_600);
}

#[test]
fn nothing_else_confirms() {
    for keys in ["m<enter>", "m<space>", "mm", "mY", "m<tab>y<esc>", "m<ctrl-c>y", "m<esc>y", "mny"]
    {
        let mut model = on_host();
        assert!(sent(&press(&mut model, keys)).is_none(), "{keys}");
    }
    let mut model = on_host();
    press(&mut model, "m");
    assert!(sent(&send(&mut model, Msg::Paste("y\ny".into()))).is_none());
    assert!(matches!(model.overlay, Overlay::Strip(_)));
}

#[test]
fn reason_and_length_are_typed_and_checked() {
    let mut model = on_host();
    press(&mut model, "m<tab><ctrl-u>disk swap, y<tab><ctrl-u>90m<enter>");
    let commands = press(&mut model, "y");
    let hold = sent(&commands).unwrap().new.clone().unwrap();
    assert_eq!(hold.reason, "disk swap, y");
    assert_eq!(hold.until.0.as_second() - hold.since.0.as_second(), 5_400);

    for (keys, problem) in [
        ("m<tab><ctrl-u>ab<enter>y", "at least 3 characters"),
        ("m<tab><tab><ctrl-u>soon<enter>y", "is not a length of time"),
        ("m<tab><tab><ctrl-u>31d<enter>y", "at most 30d"),
    ] {
        let mut model = on_host();
        assert!(sent(&press(&mut model, keys)).is_none(), "{keys}");
        assert!(screen(&model).contains(problem), "{keys}: {}", screen(&model));
    }
}

#[test]
fn a_protected_host_wants_a_reason_typed_by_hand() {
    let mut model = on_host();
    let mut protected = changed(2, "200");
    protected["metadata"]["labels"]["inventory.inv-tui.dev/environment"] = json!("prod");
    fleet_event(&mut model, apply(protected));
    assert!(sent(&press(&mut model, "m<enter>y")).is_none());
    let mut commands = press(&mut model, "<ctrl-u>fan broken<enter>y");
    assert_eq!(sent(&commands).unwrap().new.as_ref().unwrap().reason, "fan broken");
    commands.clear();
}

/// The object after `change` was done, as the server would answer.
fn done(change: &HoldChange, version: &str) -> Box<Host> {
    let mut host = object(changed(2, version));
    if let Some(hold) = &change.new {
        host.spec.maintenance.insert(change.holder.clone(), hold.clone());
    }
    host
}

#[test]
fn undo_takes_back_and_redo_makes_again() {
    let mut model = on_host();
    let commands = press(&mut model, "my");
    let change = sent(&commands).unwrap().clone();
    let host = done(&change, "300");
    ends(&mut model, order(&commands).unwrap(), Outcome::Done(host));
    assert!(screen(&model).contains("db-eu-2 is in maintenance until"), "{}", screen(&model));

    assert!(sent(&press(&mut model, "u")).is_none());
    let commands = press(&mut model, "y");
    let back = sent(&commands).unwrap().clone();
    assert_eq!((&back.old, &back.new), (&change.new, &None));
    assert_eq!(back.target.resource_version, "300");
    let host = done(&back, "301");
    ends(&mut model, order(&commands).unwrap(), Outcome::Done(host));

    let commands = press(&mut model, "Uy");
    assert_eq!(sent(&commands).unwrap().new, change.new);
    let mut model = on_host();
    assert!(sent(&press(&mut model, "uy")).is_none());
    assert!(screen(&model).contains("nothing to take back"));
}

#[test]
fn a_conflict_reopens_the_strip_with_what_was_found() {
    let mut model = on_host();
    let commands = press(&mut model, "my");
    let mut found = object(changed(2, "400"));
    found
        .spec
        .maintenance
        .insert("ann".into(), crate::model::change::hold("from elsewhere", now(), 600));
    ends(&mut model, order(&commands).unwrap(), Outcome::Conflict(found));
    let Overlay::Strip(strip) = &model.overlay else { panic!("{:?}", model.overlay) };
    assert_eq!(strip.items[0].change.target().resource_version, "400");
    assert!(screen(&model).contains("somebody else changed it first"), "{}", screen(&model));
    let commands = press(&mut model, "y");
    assert_eq!(sent(&commands).unwrap().new, None);
}

#[test]
fn changes_are_refused_when_they_cannot_be_made() {
    let mut model = on_host();
    send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Lost("connection refused".into())));
    press(&mut model, "m");
    assert!(screen(&model).contains("not connected"), "{}", screen(&model));
    assert!(model.overlay == Overlay::None);
    assert!(screen(&model).contains("LOST"));
    send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Recovered));
    press(&mut model, "m");
    assert!(matches!(model.overlay, Overlay::Strip(_)));
    // Lost while the strip is open: the confirmation is refused.
    send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Lost("connection refused".into())));
    assert!(sent(&press(&mut model, "y")).is_none());

    let mut model = on_host();
    send(
        &mut model,
        Msg::May { server: ServerId::FIRST, verb: "patch", resource: "hosts", result: Ok(false) },
    );
    press(&mut model, "m");
    assert!(screen(&model).contains("lacks the permission"), "{}", screen(&model));

    let config = Config { read_only: true, ..Config::default() };
    let mut model = Model::new(settings(config), now(), (120, 30));
    model = crate::ui::testing::with_hosts(model, hosts());
    press(&mut model, "zRgg2j");
    press(&mut model, "m");
    assert!(screen(&model).contains("W arms it") && screen(&model).contains("READ-ONLY"));
    press(&mut model, "<esc>Wm");
    assert!(matches!(model.overlay, Overlay::Strip(_)));
    press(&mut model, "<esc>");
    send(&mut model, Msg::Tick(jiff::Timestamp::from_second(NOW + 15 * 60).unwrap()));
    press(&mut model, "m");
    assert!(model.overlay == Overlay::None);
}

#[test]
fn the_target_is_frozen_when_the_strip_opens() {
    let mut model = on_host();
    press(&mut model, "m");
    let mut stopped = changed(2, "500");
    stopped["status"]["phase"] = json!("Stopped");
    fleet_event(&mut model, apply(stopped));
    for n in 20..40 {
        fleet_event(&mut model, apply(host(n, &format!("aa-{n}"), "eu-west-1", "db")));
    }
    assert!(screen(&model).contains("has changed since you opened this"), "{}", screen(&model));
    let commands = press(&mut model, "y");
    assert_eq!(sent(&commands).unwrap().target.name, "aws-i-0002");

    let mut model = on_host();
    press(&mut model, "m");
    fleet_event(&mut model, HostChange::Delete(Uid::new("uid-2")));
    assert!(model.overlay == Overlay::None);
    assert!(screen(&model).contains("db-eu-2 is gone"));
}

#[test]
fn ending_ones_own_hold_leaves_the_others() {
    let mut model = on_host();
    let until = |seconds| jiff::Timestamp::from_second(NOW + seconds).unwrap().to_string();
    let since = jiff::Timestamp::from_second(NOW - 60).unwrap().to_string();
    let mut held = changed(2, "600");
    held["spec"]["maintenance"] = json!({
        "ann": {"reason": "mine", "since": since, "until": until(600), "ticket": "OPS-1", "mode": "Observe"},
        "bob": {"reason": "his", "since": since, "until": until(900), "mode": "Drain"},
    });
    fleet_event(&mut model, apply(held));
    press(&mut model, "m");
    assert!(screen(&model).contains("end your maintenance of db-eu-2"), "{}", screen(&model));
    assert!(screen(&model).contains("stays held by bob"));
    let commands = press(&mut model, "y");
    let change = sent(&commands).unwrap();
    assert_eq!(change.patch()["spec"], json!({"maintenance": {"ann": null}}));
    let old = change.old.clone().unwrap();
    assert_eq!(old.ticket.as_deref(), Some("OPS-1"));
    assert_eq!(old.mode, crate::model::host::HoldMode::Observe);
}

#[test]
fn the_filter_works_as_it_is_typed() {
    let mut model = fleet(120, 30);
    press(&mut model, "/db");
    assert_eq!(model.inventory.matched(), 3);
    assert!(screen(&model).contains("3 of 9"), "{}", screen(&model));
    press(&mut model, "<enter>");
    assert_eq!(model.overlay, Overlay::None);
    press(&mut model, "<esc>");
    assert_eq!(model.inventory.matched(), 9);
    press(&mut model, "/db<enter>/ x<esc>");
    assert_eq!(model.filter.input.text(), "db");
    press(&mut model, "0");
    assert_eq!(model.inventory.matched(), 9);
}

#[test]
fn while_a_filter_looks_through_the_fleet_all_stands_as_it_was() {
    let mut model = fleet(120, 30);
    press(&mut model, "zR/");
    let rows = |model: &Model| screen(model).lines().skip(3).collect::<Vec<_>>().join("\n");
    let before = rows(&model);
    update(&mut model, Msg::Key(key("d")));
    assert!(model.filter.running);
    assert!(screen(&model).contains("/ d") && screen(&model).contains('…'), "{}", screen(&model));
    assert_eq!(rows(&model), before);
    press(&mut model, "b");
    assert!(!model.filter.running && screen(&model).contains("3 of 9"), "{}", screen(&model));
}

#[test]
fn a_wrong_filter_says_where_and_its_right_beginning_stays() {
    let mut model = fleet(120, 30);
    press(&mut model, "/db (");
    let text = screen(&model);
    assert!(model.filter.error.is_some() && text.contains('^'), "{text}");
    assert_eq!(model.inventory.matched(), 3);
    press(&mut model, "<esc>/env=");
    assert!(model.filter.error.is_some(), "{}", screen(&model));
    assert_eq!(model.inventory.matched(), 9, "a word that is not finished hides nothing");
    press(&mut model, "<esc>/db env=");
    assert_eq!((model.filter.error.is_some(), model.inventory.matched()), (true, 3));
    press(&mut model, "<enter>");
    assert!(model.filter.error.is_none());
    assert!(screen(&model).contains("filter not changed"), "{}", screen(&model));
}

#[test]
fn a_question_mark_asks_for_the_grammar_and_in_a_regular_expression_is_itself() {
    let mut model = fleet(120, 30);
    press(&mut model, "/web ?");
    assert_eq!(model.overlay, Overlay::Grammar);
    press(&mut model, "<esc><ctrl-u>/we?b-us/");
    assert_eq!((model.filter.input.text(), model.inventory.matched()), ("/we?b-us/", 3));
}

#[test]
fn problems_only() {
    let mut model = fleet(120, 30);
    let mut bad = changed(4, "700");
    bad["status"]["phase"] = json!("Unreachable");
    fleet_event(&mut model, apply(bad));
    press(&mut model, "P");
    assert_eq!(model.inventory.matched(), 1);
    press(&mut model, "P");
    assert_eq!(model.inventory.matched(), 9);
}

#[test]
fn the_detail_is_asked_for_once_at_a_time() {
    let mut model = on_host();
    let Some(Command::ReadHost { generation, .. }) = press(&mut model, "k").first().cloned() else {
        // A question was open already: its answer brings the next one.
        return;
    };
    assert!(press(&mut model, "jj").is_empty());
    let next =
        send(&mut model, Msg::HostRead { generation, result: Ok(Some(object(changed(1, "101")))) });
    assert!(
        matches!(&next[..], [Command::ReadHost { name, .. }] if name == "aws-i-0003"),
        "{next:?}"
    );
    let late = send(&mut model, Msg::HostRead { generation, result: Err("late".into()) });
    assert!(late.is_empty() && model.detail.problem.is_none());
}

#[test]
fn copying() {
    let mut model = on_host();
    assert_eq!(press(&mut model, "c"), [Command::Copy("aws-i-0002".into())]);
    assert_eq!(press(&mut model, "Ya"), [Command::Copy("10.0.0.2".into())]);
    assert_eq!(press(&mut model, "Ys"), [Command::Copy("ssh 10.0.0.2".into())]);
    press(&mut model, "gg");
    assert_eq!(press(&mut model, "c"), [Command::Copy("eu-west-1".into())]);
}

#[test]
fn what_is_scrolled_to_its_end_comes_back_by_one_key() {
    let mut model = on_host();
    send(&mut model, Msg::Resize(120, 12));
    press(&mut model, "<tab>G");
    let end = model.detail.scroll;
    assert!(end > 0 && end < 100, "{end}");
    let text = screen(&model);
    press(&mut model, "99j");
    assert_eq!(screen(&model), text);
    press(&mut model, "k");
    assert_eq!(model.detail.scroll, end - 1);

    press(&mut model, "?G");
    let text = screen(&model);
    assert!(text.contains("marked"), "{text}");
    press(&mut model, "jj<pagedown>");
    assert_eq!(screen(&model), text);
    press(&mut model, "k");
    assert_ne!(screen(&model), text);
    press(&mut model, "gq");
    assert_eq!(model.overlay, Overlay::None);
}

#[test]
fn quitting() {
    let mut model = fleet(80, 24);
    assert!(press(&mut model, "q<esc>").is_empty());
    assert_eq!(press(&mut model, ":q<enter>"), [Command::Quit]);
    assert!(press(&mut model, "<ctrl-c>").is_empty());
    assert!(press(&mut model, "j<ctrl-c>").is_empty());
    assert_eq!(press(&mut model, "<ctrl-c>"), [Command::Quit]);
}

#[test]
fn a_relist_never_blanks_the_screen_and_drops_what_is_gone() {
    let mut model = on_host();
    send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Begin { expected: Some(8) }));
    assert!(screen(&model).contains("db-eu-2"));
    let rest = hosts().into_iter().skip(1).map(apply).collect();
    send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Changes(rest)));
    send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Synced));
    assert_eq!(model.inventory.len(), 8);
    assert_eq!(cursor_name(&model), "db-eu-2");
    // A list that no longer has the host under the cursor leaves the cursor where it stood.
    send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Begin { expected: Some(7) }));
    let rest = hosts().into_iter().skip(2).map(apply).collect();
    send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Changes(rest)));
    send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Synced));
    assert_eq!(cursor_name(&model), "db-eu-3");
}

#[test]
fn every_action_runs_in_every_place() {
    for row in ACTIONS {
        let models: [fn() -> Model; 4] =
            [|| empty(80, 24), || fleet(80, 24), on_host, || fleet(20, 5)];
        for make in models {
            let mut model = make();
            keys::run(&mut model, row.action, Some(3));
            send(&mut model, Msg::Resize(20, 5));
            let _ = screen(&model);
            assert!(
                row.action != Action::Maintenance || sent(&press(&mut model, "<enter>")).is_none()
            );
        }
    }
}

fn any_key() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[ -~]".prop_map(|c: String| c),
        2 => prop::sample::select(vec!["<enter>", "<esc>", "<tab>", "<backtab>", "<up>", "<down>", "<left>",
            "<right>", "<backspace>", "<ctrl-d>", "<ctrl-u>", "<ctrl-f>", "<ctrl-w>", "<pagedown>", "<end>"])
            .prop_map(ToOwned::to_owned),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_keys_and_no_size_make_it_panic(
        keys in prop::collection::vec(any_key(), 0..60),
        width in 0_u16..150, height in 0_u16..40,
    ) {
        let mut model = fleet(80, 24);
        for (i, key) in keys.iter().enumerate() {
            let key = if key == "<" { "x" } else { key };
            press(&mut model, key);
            if i == keys.len() / 2 {
                send(&mut model, Msg::Resize(width, height));
            }
            let _ = screen(&model);
            prop_assert!(model.cursor.is_some() || model.inventory.matched() == 0);
        }
    }
}
