use serde_json::{Value, json};

use super::*;
use crate::model::key::ServerId;
use crate::store::watch::{FleetEvent, HostChange};
use crate::ui::msg::Msg;
use crate::ui::testing::{apply, fleet, host, hosts, press, screen, send};

/// A fleet with the cursor on its second host, db-eu-2.
fn on_host(width: u16, height: u16) -> Model {
    let mut model = fleet(width, height);
    press(&mut model, "jl2j");
    assert_eq!(model.host().unwrap().display(), "db-eu-2");
    model
}

/// The object of db-eu-2 as the server has it, with a field that no type of ours knows.
fn object() -> Value {
    let mut object = hosts().remove(1);
    object["spec"]["unheardOf"] = json!({"deep": "value"});
    object["metadata"]["managedFields"] = json!([
        {"manager": "kubectl", "operation": "Update", "time": "2027-01-15T07:00:00Z",
         "fieldsV1": {"f:spec": {"f:role": {}}}},
    ]);
    object["status"]["conditions"] = json!([{
        "type": "AgentReady", "status": "False", "reason": "Silent", "message": "no heartbeat",
        "lastTransitionTime": "2027-01-15T07:30:00Z",
    }]);
    object
}

/// The number of the object that is asked for among these commands.
fn asked(commands: &[Command]) -> Option<u64> {
    commands.iter().find_map(|command| match command {
        Command::ReadObject { generation, .. } => Some(*generation),
        _ => None,
    })
}

fn following(commands: &[Command]) -> Option<(u64, Option<(String, Uid)>)> {
    commands.iter().find_map(|command| match command {
        Command::FollowEvents { generation, about } => Some((*generation, about.clone())),
        _ => None,
    })
}

fn answer(model: &mut Model, generation: u64, object: Option<Value>) -> Vec<Command> {
    send(model, Msg::ObjectRead { generation, result: Ok(object.map(Box::new)) })
}

/// Opens a page by its key, its object answered.
fn open(model: &mut Model, keys: &str) {
    let commands = press(model, keys);
    let generation = asked(&commands).expect("the object is asked for");
    answer(model, generation, Some(object()));
}

#[test]
fn yaml_is_what_the_server_has_and_what_nobody_knows_stays() {
    let mut model = on_host(80, 40);
    open(&mut model, "y");
    let text = screen(&model);
    assert!(text.contains("YAML  db-eu-2"), "{text}");
    assert!(text.contains("  unheardOf:\n") && text.contains("    deep: value\n"), "{text}");
    assert!(text.contains("managedFields: [] # 1 entry, folded"), "{text}");
    press(&mut model, "M");
    assert!(screen(&model).contains("manager: kubectl"), "{}", screen(&model));
    let copied = press(&mut model, "c");
    let [Command::Copy(text)] = copied.as_slice() else { panic!("{copied:?}") };
    assert!(text.starts_with("apiVersion: inventory.inv-tui.dev/v1alpha1\nkind: Host\n"), "{text}");
    assert!(text.contains("manager: kubectl"));
    press(&mut model, "<esc>");
    assert!(model.page.is_none());
    assert_eq!(model.host().unwrap().display(), "db-eu-2");
}

#[test]
fn a_page_follows_its_object_and_keeps_its_place() {
    let mut model = on_host(80, 12);
    open(&mut model, "y");
    press(&mut model, "5j");
    assert_eq!(model.page.as_ref().unwrap().scroll, 5);
    let mut newer = object();
    newer["metadata"]["resourceVersion"] = json!("900");
    newer["spec"]["unheardOf"] = json!({"deep": "other"});
    let changes = vec![apply(newer.clone())];
    let commands = send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Changes(changes)));
    let generation = asked(&commands).expect("asked again");
    assert_eq!(press(&mut model, "j"), [], "one question at a time");
    answer(&mut model, generation, Some(newer));
    let page = model.page.as_ref().unwrap();
    assert_eq!(page.scroll, 6);
    assert_eq!(page.object.as_ref().unwrap()["spec"]["unheardOf"]["deep"], "other");
    // An answer to a question that nobody asks any more changes nothing.
    answer(&mut model, generation + 40, Some(json!({})));
    assert!(model.page.as_ref().unwrap().object.as_ref().unwrap().get("spec").is_some());
}

#[test]
fn a_host_that_is_gone_says_so_and_a_namesake_is_another() {
    let mut model = on_host(80, 24);
    open(&mut model, "y");
    let gone = HostChange::Delete("uid-2".into());
    let commands = send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Changes(vec![gone])));
    let mut namesake = object();
    namesake["metadata"]["uid"] = json!("uid-new");
    answer(&mut model, asked(&commands).unwrap(), Some(namesake));
    let text = screen(&model);
    assert!(text.contains(" gone") && text.contains("uid: uid-2"), "{text}");
    // Nothing is done to whatever the cursor has gone to.
    press(&mut model, "m");
    assert_eq!(model.overlay, Overlay::None);
    assert!(model.notice.as_ref().unwrap().text.contains("no host here"));
}

#[test]
fn search_goes_round_and_marks_what_it_finds() {
    let mut model = on_host(80, 12);
    open(&mut model, "y");
    press(&mut model, "/UNHEARD<enter>");
    let found = model.page.as_ref().unwrap().found.unwrap();
    assert!(screen(&model).contains("unheardOf"), "{}", screen(&model));
    press(&mut model, "n");
    assert_eq!(model.page.as_ref().unwrap().found, Some(found), "the only one, round the end");
    press(&mut model, "/inventory<enter>");
    let first = model.page.as_ref().unwrap().found.unwrap();
    press(&mut model, "n");
    let second = model.page.as_ref().unwrap().found.unwrap();
    assert_ne!(first, second);
    press(&mut model, "N");
    assert_eq!(model.page.as_ref().unwrap().found, Some(first));
    press(&mut model, "/nowhere<enter>");
    assert!(model.notice.as_ref().unwrap().text.contains("is not on this page"));
    press(&mut model, "<esc>");
    assert!(model.page.is_some(), "esc ends the search first");
    press(&mut model, "q");
    assert!(model.page.is_none());
}

#[test]
fn events_are_followed_while_they_are_shown_and_no_longer() {
    let mut model = on_host(80, 24);
    let commands = press(&mut model, "E");
    let (generation, about) = following(&commands).unwrap();
    assert_eq!(about, Some(("inventory".to_owned(), Uid::new("uid-2"))));
    answer(&mut model, asked(&commands).unwrap(), Some(object()));
    let told = |reason: &str, seconds: i64| Told {
        at: jiff::Timestamp::from_second(crate::ui::testing::NOW - seconds).unwrap(),
        first: None,
        warning: reason == "Bad",
        reason: reason.to_owned(),
        message: "something \u{1b}[31m happened".to_owned(),
        by: "inv-tui (ann)".to_owned(),
        count: 3,
    };
    let events = vec![told("Bad", 5), told("Good", 90)];
    send(&mut model, Msg::Told { generation, result: Ok(events) });
    let text = screen(&model);
    assert!(text.contains("5s") && text.contains("▲ Bad") && text.contains("3 times"), "{text}");
    assert!(!text.contains('\u{1b}'));
    // The server goes away: what is known stays.
    send(&mut model, Msg::Told { generation, result: Err("no".into()) });
    assert!(screen(&model).contains("▲ Bad"));
    // The same object's YAML needs none.
    let commands = press(&mut model, "y");
    assert_eq!(following(&commands).unwrap().1, None);
    assert_eq!(asked(&commands), None, "the object is at hand");
    press(&mut model, "H");
    let text = screen(&model);
    assert!(text.contains("condition") && text.contains("AgentReady became False"), "{text}");
    assert!(text.contains("writer") && text.contains("changed spec.role last · kubectl"), "{text}");
}

#[test]
fn history_has_what_this_session_saw() {
    let mut model = on_host(100, 24);
    let mut stopped = object();
    stopped["metadata"]["resourceVersion"] = json!("901");
    stopped["status"]["phase"] = json!("Stopped");
    send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Changes(vec![apply(stopped)])));
    open(&mut model, "H");
    let text = screen(&model);
    assert!(text.contains("seen      state: Running → Stopped · kubectl"), "{text}");
}

#[test]
fn explain_ranks_reasons_and_says_what_is_next() {
    let mut model = on_host(80, 24);
    open(&mut model, "X");
    let text = screen(&model);
    assert!(text.contains("✖ its agent does not answer"), "{text}");
    assert!(text.contains("→ "), "{text}");
    press(&mut model, "qk");
    press(&mut model, "h");
    press(&mut model, "X");
    assert!(model.page.is_none(), "explain is for hosts");
}

#[test]
fn a_group_is_its_own_object_and_says_if_there_is_none() {
    let mut model = fleet(80, 24);
    let commands = press(&mut model, "y");
    let wanted = Place {
        server: ServerId::FIRST,
        kind: ObjectKind::Region,
        namespace: String::new(),
        name: "eu-west-1".into(),
    };
    assert!(matches!(commands.as_slice(), [Command::ReadObject { at, .. }] if *at == wanted));
    answer(&mut model, asked(&commands).unwrap(), None);
    assert!(screen(&model).contains("there is no Region of this name"), "{}", screen(&model));
    press(&mut model, "<esc>j");
    let commands = press(&mut model, "d");
    let wanted = Place {
        server: ServerId::FIRST,
        kind: ObjectKind::Cluster,
        namespace: "inventory".into(),
        name: "db".into(),
    };
    assert!(matches!(commands.as_slice(), [Command::ReadObject { at, .. }] if *at == wanted));
    let cluster = json!({
        "kind": "Cluster", "metadata": {"name": "db", "namespace": "inventory", "uid": "c-1"},
        "spec": {"disruption": {"maxUnavailable": "10%"}},
        "status": {"conditions": [{"type": "Available", "status": "True", "reason": "EnoughHosts"}]},
    });
    let commands = answer(&mut model, asked(&commands).unwrap(), Some(cluster));
    assert!(following(&commands).is_some(), "its events, now that its uid is known");
    let text = screen(&model);
    assert!(
        text.contains("disruption.maxUnavailable: 10%") && text.contains("True · EnoughHosts"),
        "{text}"
    );
}

#[test]
fn on_a_page_one_acts_on_what_one_reads() {
    let mut model = on_host(100, 30);
    press(&mut model, " ");
    press(&mut model, "<space>k");
    press(&mut model, "<space>");
    press(&mut model, "gg");
    press(&mut model, "2j");
    let shown = model.host().unwrap().uid().clone();
    open(&mut model, "d");
    press(&mut model, "m");
    let Overlay::Strip(strip) = &model.overlay else { panic!("{:?}", model.overlay) };
    assert_eq!(strip.items.len(), 1);
    assert_eq!(*strip.items[0].change.target().uid.as_str(), *shown.as_str());
}

#[test]
fn messages_are_kept_whole_and_can_be_written() {
    let mut model = fleet(40, 10);
    model.fail("a very long error ".repeat(10));
    model.fail("another");
    model.fail("another");
    press(&mut model, "<esc>:messages<enter>");
    let text = screen(&model);
    assert!(text.contains("! another (2 times)"), "{text}");
    let commands = press(&mut model, "w");
    let [Command::Save { name, text }] = commands.as_slice() else { panic!("{commands:?}") };
    assert_eq!(name, "inv-tui-messages");
    assert!(text.split_whitespace().filter(|w| *w == "long").count() == 10, "{text}");
    send(&mut model, Msg::Saved(Ok("/x/y".into())));
    assert!(model.notice.as_ref().unwrap().text.contains("/x/y"));
}

#[test]
fn a_page_fits_small_screens() {
    for (width, height) in [(40, 10), (20, 5), (120, 35), (8, 3)] {
        let mut model = on_host(80, 24);
        open(&mut model, "y");
        send(&mut model, Msg::Resize(width, height));
        for keys in ["y", "d", "E", "H", "X"] {
            press(&mut model, keys);
            press(&mut model, "G");
            press(&mut model, "<ctrl-u>gg");
            screen(&model);
        }
    }
    let mut model = fleet(40, 10);
    let long = host(50, "日本語", "eu-west-1", "db");
    send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Changes(vec![apply(long)])));
}

#[test]
fn changes_are_listed_and_enter_goes_to_the_host() {
    let mut model = on_host(160, 20);
    press(&mut model, "vh");
    assert!(screen(&model).contains("nothing has changed"), "{}", screen(&model));
    let mut stopped = object();
    stopped["metadata"]["resourceVersion"] = json!("901");
    stopped["status"]["phase"] = json!("Stopped");
    let fresh = host(77, "new-1", "us-east-1", "web");
    send(
        &mut model,
        Msg::Fleet(ServerId::FIRST, FleetEvent::Changes(vec![apply(stopped), apply(fresh)])),
    );
    let text = screen(&model);
    assert!(text.contains("Running → Stopped") && text.contains("is new"), "{text}");
    assert!(text.contains("kubectl"), "{text}");
    press(&mut model, "/db-eu<enter>");
    let text = screen(&model);
    assert!(text.contains("Running → Stopped") && !text.contains("is new"), "{text}");
    press(&mut model, "<enter>");
    assert_eq!(model.views.now, View::Fleet);
    assert_eq!(model.host().unwrap().display(), "db-eu-2");
}

#[test]
fn the_copy_menu_reads_the_whole_object_and_lists_what_is_marked() {
    let mut model = on_host(100, 20);
    let commands = press(&mut model, "Yy");
    assert!(matches!(commands.as_slice(), [Command::CopyObject(at)] if at.name == "aws-i-0002"));
    let commands = press(&mut model, "Yj");
    let [Command::Copy(text)] = commands.as_slice() else { panic!("{commands:?}") };
    let row: Value = serde_json::from_str(text).unwrap();
    assert_eq!((&row["display"], &row["cluster"]), (&json!("db-eu-2"), &json!("db")));
    press(&mut model, "<space><space>k");
    let commands = press(&mut model, "Yl");
    assert!(
        matches!(commands.as_slice(), [Command::Copy(t)] if t == "aws-i-0002,aws-i-0003"),
        "{commands:?}"
    );
}

#[test]
fn the_mouse_selects_folds_scrolls_and_presses_hints() {
    use ratatui::crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
    let mut model = fleet(80, 24);
    press(&mut model, "gg");
    let top = model.areas().rows.y;
    let event = |kind, column, row| {
        Msg::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE })
    };
    let left = MouseEventKind::Down(MouseButton::Left);
    send(&mut model, event(left, 5, top + 1));
    assert_eq!(model.cursor, Some(NodeKey::group(["eu-west-1", "db"])));
    send(&mut model, event(left, 5, top + 1));
    send(&mut model, event(MouseEventKind::ScrollDown, 5, top + 1));
    assert_eq!(model.host().unwrap().display(), "db-eu-3");
    let footer = model.areas().footer;
    let text = screen(&model);
    let line = text.lines().nth(usize::from(footer.y)).unwrap();
    let x = u16::try_from(line.find("filter").unwrap()).unwrap();
    send(&mut model, event(left, x, footer.y));
    assert_eq!(model.overlay, Overlay::Filter);
    // There the wheel moves the list too: its keys would bring back filters of before.
    send(&mut model, Msg::Filters(vec!["role=db".into()]));
    let before = model.cursor.clone();
    send(&mut model, event(MouseEventKind::ScrollUp, 5, top + 1));
    assert_eq!((model.filter.input.text(), model.cursor != before), ("", true));
    press(&mut model, "?");
    send(&mut model, event(MouseEventKind::ScrollDown, 5, top + 1));
    assert_eq!(model.overlay, Overlay::Grammar);
    press(&mut model, "<esc><esc>");
    model.cursor = before;
    press(&mut model, "m");
    assert!(matches!(model.overlay, Overlay::Strip(_)));
    for x in 0..80 {
        for y in 0..24 {
            send(&mut model, event(left, x, y));
        }
    }
    assert!(matches!(model.overlay, Overlay::Strip(_)), "a click confirms nothing");
    press(&mut model, "<esc>");
    let commands = press(&mut model, "<ctrl-g>");
    assert_eq!(commands, [Command::Mouse(false)]);
}

#[test]
fn a_line_comes_to_the_middle() {
    let mut model = fleet(80, 12);
    press(&mut model, "zR");
    press(&mut model, "7jzz");
    let rows = model.areas().rows;
    let text = screen(&model);
    let line = text.lines().position(|l| l.contains("web-eu-2")).unwrap();
    assert_eq!(line, usize::from(rows.y + rows.height / 2), "{text}");
}
