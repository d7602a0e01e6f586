//! A key that comes before the server has told who we are.

use super::*;
use crate::model::key::ServerId;

/// Everything is listed, the cursor is on db-eu-2, and who we are is still being asked.
fn early() -> Model {
    let mut model = empty(120, 30);
    send(
        &mut model,
        Msg::May { server: ServerId::FIRST, verb: "patch", resource: "hosts", result: Ok(true) },
    );
    send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Begin { expected: None }));
    send(
        &mut model,
        Msg::Fleet(ServerId::FIRST, FleetEvent::Changes(hosts().into_iter().map(apply).collect())),
    );
    send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Synced));
    press(&mut model, "zRgg3j");
    assert_eq!(cursor_name(&model), "db-eu-2");
    model
}

fn asks(model: &Model) -> bool {
    screen(model).contains("asking the server who you are…")
}

fn told(model: &mut Model) -> Vec<Command> {
    send(model, Msg::User(ServerId::FIRST, Ok("ann".into())))
}

#[test]
fn it_is_done_as_soon_as_the_answer_is_there() {
    let mut model = early();
    assert!(press(&mut model, "m").is_empty());
    assert_eq!(model.overlay, Overlay::None);
    assert!(asks(&model), "{}", screen(&model));
    // It stays, however long that takes and whatever comes meanwhile.
    send(&mut model, Msg::Tick(now() + jiff::SignedDuration::from_mins(2)));
    send(
        &mut model,
        Msg::Fleet(ServerId::FIRST, FleetEvent::Changes(vec![apply(hosts().remove(0))])),
    );
    send(&mut model, Msg::Resize(100, 24));
    assert!(asks(&model), "{}", screen(&model));
    told(&mut model);
    let Overlay::Strip(strip) = &model.overlay else { panic!("{}", screen(&model)) };
    assert_eq!(strip.items.len(), 1);
    assert!(screen(&model).contains("put into maintenance") && !asks(&model));
    press(&mut model, "<esc>");
    told(&mut model);
    assert_eq!(model.overlay, Overlay::None, "it is done once");

    let mut model = early();
    assert!(press(&mut model, "r").is_empty() && asks(&model));
    let commands = told(&mut model);
    assert!(commands.iter().any(|command| matches!(command, Command::ReadHosts { .. })));
    assert!(matches!(model.overlay, Overlay::Run(_)));

    let mut model = early();
    press(&mut model, ":maintenance<enter>");
    told(&mut model);
    assert!(matches!(model.overlay, Overlay::Strip(_)));
}

#[test]
fn any_other_key_comes_instead_of_it() {
    for keys in ["<esc>", "j", "/", "<ctrl-c>", "2", "v"] {
        let mut model = early();
        press(&mut model, "m");
        assert!(press(&mut model, keys).iter().all(|command| *command != Command::Quit));
        assert!(!asks(&model), "{keys}\n{}", screen(&model));
        told(&mut model);
        assert!(!matches!(model.overlay, Overlay::Strip(_)), "{keys}");
        assert_eq!(cursor_name(&model), if keys == "j" { "db-eu-3" } else { "db-eu-2" });
    }
    let mut model = early();
    press(&mut model, "m");
    send(&mut model, Msg::Paste("y".into()));
    told(&mut model);
    assert_eq!(model.overlay, Overlay::None);
    // The last one counts.
    let mut model = early();
    press(&mut model, "rm");
    assert!(asks(&model));
    told(&mut model);
    assert!(matches!(model.overlay, Overlay::Strip(_)));
}

#[test]
fn a_server_that_is_there_again_is_asked_again() {
    let mut model = early();
    send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Lost("connection refused".into())));
    send(&mut model, Msg::User(ServerId::FIRST, Err("connection refused".into())));
    let commands = send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Recovered));
    assert!(commands.contains(&Command::AskWho(ServerId::FIRST)));
    send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Synced));
    press(&mut model, "m");
    assert!(asks(&model), "{}", screen(&model));
    told(&mut model);
    assert!(matches!(model.overlay, Overlay::Strip(_)));
}

#[test]
fn what_would_be_refused_is_refused_at_once() {
    let mut model = early();
    press(&mut model, "m");
    send(&mut model, Msg::User(ServerId::FIRST, Err("no answer after 10 s".into())));
    assert!(!asks(&model) && model.overlay == Overlay::None);
    assert!(screen(&model).contains("no answer after 10 s"), "{}", screen(&model));
    let mut model = early();
    press(&mut model, "Wm");
    assert!(!asks(&model) && screen(&model).contains("disarmed"), "{}", screen(&model));
    // Nothing to take back needs no name.
    let mut model = early();
    press(&mut model, "u");
    assert!(screen(&model).contains("nothing to take back"));
}
