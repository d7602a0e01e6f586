use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::model::host::RunState;
use crate::model::key::ServerId;
use crate::model::row::HostRow;
use crate::store::watch::{FleetEvent, HostChange};
use crate::ui::app::Overlay;
use crate::ui::app::certificates::tests::events as certificates;
use crate::ui::msg::Msg;
use crate::ui::testing::{apply, busy, empty, object, press, screen, send, with_hosts};

fn model(width: u16, height: u16) -> Model {
    with_hosts(empty(width, height), busy())
}

fn under(model: &Model) -> &str {
    model.host().map_or("nothing", |row| row.display())
}

fn event(model: &mut Model, change: HostChange) -> Vec<Command> {
    send(model, Msg::Fleet(ServerId::FIRST, FleetEvent::Changes(vec![change])))
}

/// The host with this number (from 0) with another version and other content.
fn changed(number: usize, version: u32, change: impl FnOnce(&mut serde_json::Value)) -> HostChange {
    let mut host = busy().remove(number);
    host["metadata"]["resourceVersion"] = json!(version.to_string());
    change(&mut host);
    apply(host)
}

#[test]
fn views_have_keys_a_history_and_a_last_one() {
    let mut model = model(80, 24);
    press(&mut model, "vm");
    assert_eq!(model.views.now, View::Maintenance);
    press(&mut model, "vr");
    assert_eq!(model.views.now, View::Runs);
    press(&mut model, "[");
    assert_eq!(model.views.now, View::Maintenance);
    press(&mut model, "[[");
    assert_eq!(model.views.now, View::Fleet);
    assert!(screen(&model).contains("no view to go back to"));
    press(&mut model, "]]");
    assert_eq!(model.views.now, View::Runs);
    press(&mut model, "-");
    assert_eq!(model.views.now, View::Maintenance);
    press(&mut model, "-");
    assert_eq!(model.views.now, View::Runs);
    press(&mut model, ":view-fleet<enter>");
    assert_eq!(model.views.now, View::Fleet);
    press(&mut model, "vm<esc>");
    assert_eq!(model.views.now, View::Fleet);
    assert!(press(&mut model, "q<esc>").is_empty(), "the top does not quit");
}

#[test]
fn a_list_has_a_cursor_of_its_own_that_stays_on_its_host() {
    let mut model = model(80, 24);
    let before = model.cursor.clone();
    press(&mut model, "vm");
    assert_eq!(under(&model), "db-eu-3", "what ran out stands first");
    press(&mut model, "j");
    assert_eq!(under(&model), "db-eu-2");
    press(&mut model, "vr2j");
    assert_eq!(under(&model), "web-eu-3");
    press(&mut model, "vm");
    assert_eq!(under(&model), "db-eu-2");
    press(&mut model, "G");
    assert_eq!(under(&model), "web-eu-1");
    press(&mut model, "99kj");
    // Its hold is made longer: it moves to the end and the cursor goes with it.
    let until = jiff::Timestamp::from_second(crate::ui::testing::NOW + 90_000).unwrap().to_string();
    let longer = changed(1, 900, |host| host["spec"]["maintenance"]["ann"]["until"] = json!(until));
    event(&mut model, longer);
    assert_eq!((under(&model), model.views.held.ranks.0), ("db-eu-2", 3));
    press(&mut model, "2k");
    assert_eq!(under(&model), "db-eu-1");
    // Its hold ends: the next one takes its place.
    let ended = changed(0, 901, |host| host["spec"]["maintenance"] = json!({}));
    event(&mut model, ended);
    assert_eq!(under(&model), "web-eu-1");
    assert_eq!(model.cursor, before, "the tree's cursor is another one");
}

#[test]
fn enter_opens_the_host_in_the_tree() {
    let mut model = model(80, 24);
    press(&mut model, "vrj<enter>");
    assert_eq!((model.views.now, under(&model)), (View::Fleet, "web-eu-1"));
    assert!(model.detail.over);
    press(&mut model, "<esc>");
    assert!(screen(&model).contains("web-eu-1"), "its cluster is open\n{}", screen(&model));
    press(&mut model, "[");
    assert_eq!((model.views.now, under(&model)), (View::Runs, "web-eu-1"));
    press(&mut model, "l");
    assert!(model.detail.over && screen(&model).contains("Queued"), "{}", screen(&model));
    press(&mut model, "h");
    assert!(!model.detail.over && model.views.now == View::Runs);
}

#[test]
fn the_filter_counts_in_the_lists() {
    let mut model = model(100, 24);
    press(&mut model, "vr/run:failed<enter>");
    let text = screen(&model);
    assert!(text.contains("Runs 1 of 5") && text.contains("web-eu-3"), "{text}");
    assert!(!text.contains("web-us-1"), "{text}");
    press(&mut model, "/<ctrl-u>nothing-has-this-name<enter>");
    assert!(screen(&model).contains("nothing here matches the filter"), "{}", screen(&model));
    assert_eq!(under(&model), "nothing");
    press(&mut model, "jkGgg<ctrl-d>lm");
    press(&mut model, "<esc><esc>0");
    assert_eq!(model.inventory.list_len(List::Runs), (5, 5));
}

#[test]
fn maintenance_acts_on_the_host_under_the_lists_cursor() {
    let mut model = model(120, 30);
    press(&mut model, "vrm");
    assert!(screen(&model).contains("put into maintenance web-eu-2"), "{}", screen(&model));
    press(&mut model, "<esc>");
    assert_eq!(press(&mut model, "c"), [Command::Copy("aws-i-0005".into())]);
}

#[test]
fn a_run_is_followed_while_it_goes_on() {
    let mut model = model(120, 40);
    let commands = press(&mut model, "vr");
    let read = |commands: &[Command]| {
        commands.iter().find_map(|command| match command {
            Command::ReadHost { generation, name, .. } => Some((*generation, name.clone())),
            _ => None,
        })
    };
    // A question about the tree's cursor may be open; its answer brings the next one.
    let (mut generation, mut name) = read(&commands).unwrap_or((1, String::new()));
    while name != "aws-i-0005" {
        let next = send(&mut model, Msg::HostRead { generation, result: Ok(None) });
        (generation, name) = read(&next).expect("the run's host is asked for");
    }
    let answer = Ok(Some(object(busy().remove(4))));
    send(&mut model, Msg::HostRead { generation, result: answer });
    let text = screen(&model);
    assert!(text.contains("TASK [install nginx]") && text.contains("1m15s"), "{text}");
    // Only the log has moved on: no row looks different, but the pane asks again.
    let tail = |host: &mut serde_json::Value| host["status"]["ansible"]["tail"] = json!("more");
    let commands = event(&mut model, changed(4, 910, tail));
    let (generation, _) = read(&commands).expect("the pane reads what the row does not have");
    let mut host = busy().remove(4);
    tail(&mut host);
    send(&mut model, Msg::HostRead { generation, result: Ok(Some(object(host))) });
    assert!(screen(&model).contains("more"), "{}", screen(&model));

    let done = changed(4, 911, |host| host["status"]["ansible"]["state"] = json!("Succeeded"));
    event(&mut model, done);
    assert_eq!(model.host().and_then(HostRow::run_state), Some(RunState::Succeeded));
    assert!(screen(&model).contains("● Succeeded"), "{}", screen(&model));
}

fn any_key() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[ -;=-~]".prop_map(|c: String| c),
        3 => prop::sample::select(vec!["vm", "vr", "vc", "vs", "vj", "vf", "-", "[", "]", "j", "k", "G", "l",
            "a", "D", "y", "<enter>", "<esc>", "<tab>", "<ctrl-d>", "<ctrl-u>", "<down>", "<end>"])
            .prop_map(ToOwned::to_owned),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_keys_and_no_size_make_it_panic_and_only_y_decides(
        keys in prop::collection::vec(any_key(), 0..50),
        width in 0_u16..150, height in 0_u16..40, churn in 0_usize..9,
    ) {
        let mut model = model(80, 24);
        send(&mut model, Msg::Certificates(ServerId::FIRST, certificates()));
        for (i, key) in keys.iter().enumerate() {
            let open = matches!(model.overlay, Overlay::Decide(_));
            let commands = press(&mut model, key);
            let decides = commands.iter().any(|command| matches!(command, Command::Decide(..)));
            prop_assert!(!decides || open && key == "y", "{key}");
            if i == keys.len() / 3 {
                send(&mut model, Msg::Resize(width, height));
            }
            if i % 7 == 6 {
                event(&mut model, HostChange::Delete(Uid::new(format!("uid-{churn}"))));
                send(&mut model, Msg::Paste("y\ny".into()));
                send(&mut model, Msg::Certificates(ServerId::FIRST, certificates()));
            }
            let _ = screen(&model);
            if let Some(list) = model.views.now.list() {
                let (shown, _) = model.inventory.list_len(list);
                prop_assert_eq!(model.host().is_some(), shown > 0);
            }
        }
    }
}
