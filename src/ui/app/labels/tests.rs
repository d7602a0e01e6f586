use serde_json::json;

use super::*;
use crate::act::{Order, Outcome, Step};
use crate::config::Config;
use crate::model::key::ServerId;
use crate::store::watch::FleetEvent;
use crate::ui::msg::Msg;
use crate::ui::testing::{apply, fleet, hosts, object, press, screen, send};

/// A fleet whose host db-eu-2 has labels of its own, with the cursor on it.
fn labelled(width: u16, height: u16) -> Model {
    let mut model = fleet(width, height);
    let mut host = hosts().remove(1);
    host["metadata"]["resourceVersion"] = json!("500");
    host["metadata"]["labels"]["team"] = json!("db");
    host["metadata"]["labels"]["example.com/tier"] = json!("gold");
    send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Changes(vec![apply(host)])));
    press(&mut model, "jl2j");
    model
}

/// What the server knows of the hosts that are asked for: `team` of all is the source's.
fn answer(model: &mut Model, commands: &[Command], owned: bool) {
    let (generation, hosts) = commands
        .iter()
        .find_map(|command| match command {
            Command::ReadHosts { generation, hosts } => Some((*generation, hosts.clone())),
            _ => None,
        })
        .expect("the hosts are asked for");
    let known = hosts.into_iter().map(|target| {
        let mut facts = Facts { name: target.name.clone(), ..Facts::default() };
        if owned {
            facts.label_owners.insert("team".to_owned(), "the source aws".to_owned());
        }
        Known { target, facts, request: None }
    });
    send(model, Msg::HostsRead { generation, result: Ok(known.collect()) });
}

fn sent(commands: &[Command]) -> Order {
    match commands {
        [Command::Act { order, .. }, ..] => (**order).clone(),
        other => panic!("{other:?}"),
    }
}

fn ends(model: &mut Model, order: &Order, outcome: Outcome) {
    send(model, Msg::Act { id: order.id.clone(), step: Step::Host(0, outcome) });
    send(model, Msg::Act { id: order.id.clone(), step: Step::Ended(None) });
}

#[test]
fn a_label_is_edited_through_the_strip_and_taken_back() {
    let mut model = labelled(100, 30);
    let commands = press(&mut model, "e");
    let text = screen(&model);
    assert!(text.contains("labels of 1 host") && text.contains("reading who owns them"), "{text}");
    answer(&mut model, &commands, false);
    let text = screen(&model);
    assert!(text.find("example.com/tier").unwrap() < text.find("topology.kub").unwrap(), "{text}");
    press(&mut model, "je");
    let Overlay::Labels(dialog) = &model.overlay else { panic!("{:?}", model.overlay) };
    assert_eq!(dialog.input.as_ref().unwrap().text(), "team=db");
    press(&mut model, "<ctrl-u>team=web");
    assert_eq!(press(&mut model, "<enter>"), []);
    let text = screen(&model);
    assert!(text.contains("set team=web on db-eu-2") && text.contains("team: db → web"), "{text}");
    let order = sent(&press(&mut model, "y"));
    assert_eq!(order.verb, Verb::Label);
    assert_eq!(order.changes[0].patch()["metadata"]["labels"], json!({"team": "web"}));
    let mut after = hosts().remove(1);
    after["metadata"]["resourceVersion"] = json!("501");
    ends(&mut model, &order, Outcome::Done(object(after)));
    assert!(screen(&model).contains("team: db → web · u takes it back"), "{}", screen(&model));
    press(&mut model, "u");
    let order = sent(&press(&mut model, "y"));
    assert_eq!(order.changes[0].patch()["metadata"]["labels"], json!({"team": "db"}));
    // The same again on another host: it is typed already.
    press(&mut model, "j");
    ends(&mut model, &order, Outcome::Gone);
    press(&mut model, "<esc>");
    let commands = press(&mut model, ".");
    answer(&mut model, &commands, false);
    press(&mut model, "<enter>");
    assert!(screen(&model).contains("set team=web on db-eu-3"), "{}", screen(&model));
}

#[test]
fn what_is_wrong_or_reserved_never_reaches_the_strip() {
    let mut model = labelled(100, 30);
    let commands = press(&mut model, "e");
    answer(&mut model, &commands, false);
    press(&mut model, "ateam<enter>");
    assert!(screen(&model).contains("write key=value"), "{}", screen(&model));
    press(&mut model, "=a b<enter>");
    assert!(screen(&model).contains("is no label value"), "{}", screen(&model));
    press(&mut model, "<ctrl-u>inventory.inv-tui.dev/cluster=x<enter>");
    assert!(screen(&model).contains("is not set by hand"), "{}", screen(&model));
    press(&mut model, "<esc><esc>");
    assert_eq!(model.overlay, Overlay::None);
}

#[test]
fn a_label_that_a_source_owns_wants_the_name_typed() {
    let mut model = labelled(120, 30);
    let commands = press(&mut model, "e");
    press(&mut model, "jd<enter>");
    // It goes on by itself as soon as the owners are known.
    assert!(matches!(model.overlay, Overlay::Labels(_)));
    answer(&mut model, &commands, true);
    let text = screen(&model);
    assert!(text.contains("remove team from db-eu-2"), "{text}");
    assert!(text.contains("the source aws owns team"), "{text}");
    assert_eq!(press(&mut model, "y"), [], "y alone is not enough");
}

#[test]
fn several_hosts_get_one_label_and_want_a_reason() {
    let mut model = labelled(120, 35);
    press(&mut model, "<esc>gg");
    press(&mut model, "j");
    press(&mut model, "<space>");
    let commands = press(&mut model, "e");
    answer(&mut model, &commands, false);
    let text = screen(&model);
    assert!(text.contains("labels of 3 hosts") && text.contains("db on 1"), "{text}");
    press(&mut model, "ateam=db<enter>");
    let text = screen(&model);
    assert!(text.contains("2 hosts") && text.contains("db-eu-2 is like that already"), "{text}");
    assert!(text.contains("team: none → db"), "{text}");
    let order = sent(&press(&mut model, "moved to db<enter>y"));
    assert_eq!((order.changes.len(), order.reason.as_str()), (2, "moved to db"));
}

#[test]
fn a_protected_label_wants_a_reason() {
    let mut config = Config::default();
    config.maintenance.protected_labels = vec!["example.com/tier=gold".to_owned()];
    let mut model = labelled(100, 30);
    model.settings.config = config;
    let commands = press(&mut model, "e");
    answer(&mut model, &commands, false);
    press(&mut model, "anew=1<enter>");
    assert!(screen(&model).contains("this host is protected"), "{}", screen(&model));
}

#[test]
fn the_dialog_fits_small_screens() {
    for (width, height) in [(40, 10), (20, 5), (80, 24)] {
        let mut model = labelled(width, height);
        let commands = press(&mut model, "e");
        answer(&mut model, &commands, false);
        press(&mut model, "G");
        screen(&model);
        press(&mut model, "aexample.com/a-long-key=a-long-value");
        screen(&model);
    }
}
