use serde_json::{Value, json};

use super::*;
use crate::model::key::ServerId;
use crate::store::watch::FleetEvent;
use crate::ui::msg::{Command, Msg};
use crate::ui::testing::{NOW, empty, fleet, now, press, screen, send};

fn at(ago: i64) -> String {
    Timestamp::from_second(NOW - ago).unwrap().to_string()
}

#[expect(clippy::needless_pass_by_value, reason = "arguments are json! literals")]
fn source(name: &str, spec: Value, status: Value) -> Box<Source> {
    let object = json!({
        "apiVersion": "inventory.inv-tui.dev/v1alpha1", "kind": "Source",
        "metadata": {"name": name, "namespace": "inventory"},
        "spec": spec, "status": status,
    });
    Box::new(serde_json::from_value(object).unwrap())
}

fn said(type_: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": type_, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": at(720)})
}

/// A source that is read every five minutes and was fine this many seconds ago.
pub(crate) fn fine(name: &str, ago: i64) -> Box<Source> {
    let status = json!({
        "lastPass": at(ago), "durationMillis": 4_210, "seen": 6, "created": 0, "changed": 1,
        "missing": 0, "gone": 0, "errors": 0,
        "scopes": [
            {"name": "eu-west-1", "lastComplete": at(ago), "durationMillis": 4_100, "seen": 4, "changed": 1},
            {"name": "us-east-1", "lastComplete": at(ago), "durationMillis": 870, "seen": 2},
        ],
        "conditions": [
            said("BreakerOpen", "False", "Closed", ""),
            said("Healthy", "True", "Complete", "every scope was read and written"),
        ],
    });
    source(
        name,
        json!({"type": "AWS", "interval": "5m", "credentials": {"profile": "shop"},
        "mapping": {"team": "Team", "environment": "Env"}}),
        status,
    )
}

/// One whose breaker is open.
pub(crate) fn open(name: &str) -> Box<Source> {
    let trip = "60 of 120 hosts would be lost, at most 12 are believed";
    let status = json!({
        "lastPass": at(30), "durationMillis": 61_000, "seen": 120, "created": 0, "changed": 0,
        "missing": 0, "gone": 1, "errors": 0,
        "scopes": [{"name": "dal", "lastComplete": at(30), "seen": 120, "gone": 1, "error": trip}],
        "conditions": [
            said("BreakerOpen", "True", "TooManyLost", &format!("dal: {trip}")),
            said("Healthy", "False", "Incomplete", &format!("dal: {trip}")),
        ],
    });
    source(
        name,
        json!({"type": "IBMCloudClassic", "interval": "5m",
        "credentials": {"environment": "IBM_KEY"},
        "breaker": {"maxGonePercent": 10, "minHosts": 5}, "grace": "24h"}),
        status,
    )
}

/// Of every state one, with text that nobody should trust.
pub(crate) fn events() -> Vec<ObjectEvent<Source>> {
    let refused = "fra: the server answered 403: \u{1b}[31mforbidden\u{202e} for this token";
    let part = json!({
        "lastPass": at(100), "durationMillis": 900, "seen": 40, "created": 2, "changed": 3,
        "missing": 4, "gone": 0, "errors": 1,
        "scopes": [{"name": "ams", "lastComplete": at(100), "seen": 40, "created": 2, "changed": 3, "missing": 4},
            {"name": "fra", "error": refused}],
        "conditions": [said("Healthy", "False", "Incomplete", refused)],
    });
    let unread = json!({"lastPass": at(10), "errors": 1, "conditions":
        [said("Healthy", "False", "NotRead", "cannot read the hosts: no such file")]});
    vec![
        ObjectEvent::Begin,
        ObjectEvent::Apply(fine("aws", 120)),
        ObjectEvent::Apply(fine("old", 7_200)),
        ObjectEvent::Apply(source("dc", json!({"type": "NetBox", "interval": "5m"}), part)),
        ObjectEvent::Apply(source("new", json!({"type": "ClusterAPI"}), Value::Null)),
        ObjectEvent::Apply(source("lab", json!({"type": "File"}), unread)),
        ObjectEvent::Apply(open("ibm")),
        ObjectEvent::Synced,
    ]
}

pub(crate) fn with_sources(mut model: Model, events: Vec<ObjectEvent<Source>>) -> Model {
    for event in events {
        send(&mut model, Msg::Sources(ServerId::FIRST, event));
    }
    model
}

fn names(model: &Model) -> Vec<(State, &str)> {
    model.sources.order.iter().map(|(state, (.., name))| (*state, name.as_str())).collect()
}

#[test]
fn what_to_look_at_stands_first_and_the_cursor_stays_on_its_source() {
    let mut model = with_sources(fleet(120, 24), events());
    let all = [
        (State::BreakerOpen, "ibm"),
        (State::NotRead, "lab"),
        (State::Stale, "old"),
        (State::Incomplete, "dc"),
        (State::NeverPassed, "new"),
        (State::Healthy, "aws"),
    ];
    assert_eq!(names(&model), all);
    assert_eq!(model.sources.len(), (6, 4));
    press(&mut model, "vs3j");
    let under = |model: &Model| model.sources.spot.cursor.clone().unwrap().2;
    assert_eq!(under(&model), "dc");
    send(&mut model, Msg::Sources(ServerId::FIRST, ObjectEvent::Apply(fine("dc", 5))));
    assert_eq!(under(&model), "dc");
    assert_eq!(model.sources.source().unwrap().0, State::Healthy);
    // What is gone gives its place to the next one.
    send(&mut model, Msg::Sources(ServerId::FIRST, ObjectEvent::Delete(fine("dc", 5))));
    assert_eq!(under(&model), "aws", "{:?}", names(&model));
    // A listing takes out what it does not bring.
    model = with_sources(model, vec![ObjectEvent::Begin, ObjectEvent::Apply(fine("aws", 5))]);
    assert_eq!(model.sources.len().0, 5);
    send(&mut model, Msg::Sources(ServerId::FIRST, ObjectEvent::Synced));
    assert_eq!(names(&model), [(State::Healthy, "aws")]);
}

#[test]
fn the_main_screen_says_it_only_while_it_holds() {
    let mut model = with_sources(fleet(120, 12), vec![ObjectEvent::Apply(fine("aws", 5))]);
    let before = screen(&model);
    assert!(!before.contains('▲'), "{before}");
    send(&mut model, Msg::Sources(ServerId::FIRST, ObjectEvent::Apply(open("ibm"))));
    let text = screen(&model);
    assert!(text.contains("▲ ibm: breaker open · vs"), "{text}");
    assert!(text.contains("9 ok") || text.contains("6 ok"), "its hosts are as they were\n{text}");
    press(&mut model, "vs");
    let text = screen(&model);
    assert!(!text.contains("· vs") && text.contains("Sources 1 of 2 to look at"), "{text}");
    press(&mut model, "vf");
    send(&mut model, Msg::Sources(ServerId::FIRST, ObjectEvent::Apply(fine("ibm", 5))));
    assert!(!screen(&model).contains('▲'), "{}", screen(&model));
    // Nothing came: after three intervals it is stale, without any event.
    send(&mut model, Msg::Tick(now() + jiff::SignedDuration::from_mins(20)));
    assert!(screen(&model).contains("▲ aws: stale +1 · vs"), "{}", screen(&model));
}

#[test]
fn small_screens_keep_what_matters_most() {
    let mut model = with_sources(fleet(120, 12), events());
    send(
        &mut model,
        Msg::Certificates(ServerId::FIRST, super::super::certificates::tests::events()),
    );
    for (width, word) in [
        (120, "▲ ibm: breaker open +3 · vs"),
        (80, "▲ ibm: breaker open +3 · vs"),
        (60, "▲ ibm: breaker open +3 "),
    ] {
        send(&mut model, Msg::Resize(width, 12));
        let text = screen(&model);
        let header = text.lines().next().unwrap();
        assert!(header.contains(word) && header.contains("9 hosts · live"), "{width}\n{text}");
        assert!(header.starts_with(" inv-tui test"), "{width}\n{text}");
        assert_eq!(header.contains("4 requests pending"), width == 120, "{width}\n{text}");
        assert_eq!(header.contains("vs"), width > 60, "{width}\n{text}");
    }
    // A long name gives way to what it is about.
    send(&mut model, Msg::Sources(ServerId::FIRST, ObjectEvent::Delete(open("ibm"))));
    send(
        &mut model,
        Msg::Sources(ServerId::FIRST, ObjectEvent::Apply(open("ibm-classic-frankfurt"))),
    );
    let text = screen(&model);
    assert!(text.lines().next().unwrap().contains("  ▲ breaker open +3  9 hosts"), "{text}");
    send(
        &mut model,
        Msg::Sources(ServerId::FIRST, ObjectEvent::Delete(open("ibm-classic-frankfurt"))),
    );
    send(&mut model, Msg::Sources(ServerId::FIRST, ObjectEvent::Apply(open("ibm"))));
    // Narrower than that it has the line above the hints, if nothing else is to be said.
    send(&mut model, Msg::Resize(40, 10));
    let text = screen(&model);
    assert!(text.lines().nth(8).unwrap().contains("▲ ibm: breaker open +3 · vs"), "{text}");
    press(&mut model, "q");
    assert!(!screen(&model).contains("breaker open"), "{}", screen(&model));
}

#[test]
fn nothing_is_stale_only_because_nobody_is_heard() {
    let later = |minutes: i64| Msg::Tick(now() + jiff::SignedDuration::from_mins(minutes));
    let stale = |model: &Model| model.sources.troubles().next().is_some();
    let mut model = with_sources(fleet(120, 12), vec![ObjectEvent::Apply(fine("aws", 5))]);
    send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Lost("no route".into())));
    send(&mut model, later(60));
    assert!(!stale(&model), "the server is lost");
    send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Recovered));
    send(&mut model, later(61));
    assert!(!stale(&model), "the watch has not come back yet");
    send(&mut model, Msg::Sources(ServerId::FIRST, ObjectEvent::Lost("no route".into())));
    send(&mut model, later(62));
    assert!(!stale(&model), "it has tried");
    send(&mut model, Msg::Sources(ServerId::FIRST, ObjectEvent::Begin));
    send(&mut model, later(64));
    assert!(stale(&model), "it had time enough");
    send(&mut model, Msg::Sources(ServerId::FIRST, ObjectEvent::Apply(fine("aws", -63 * 60))));
    assert!(!stale(&model));
}

#[test]
fn enter_shows_the_hosts_of_a_source() {
    let mut model = with_sources(fleet(120, 24), events());
    let row = |model: &Model| model.inventory.matched();
    press(&mut model, "Pvs<enter>");
    assert_eq!(model.views.now, View::Fleet);
    assert_eq!(model.filter.input.text(), "source:ibm");
    assert!(model.filter.error.is_none() && !model.filter.problems && row(&model) == 0);
    // Another namespace has one of that name: then the namespace belongs to it.
    let mut other = open("ibm");
    other.metadata.namespace = Some("other".into());
    send(&mut model, Msg::Sources(ServerId::FIRST, ObjectEvent::Apply(other)));
    press(&mut model, "vsgg<enter>");
    assert_eq!(model.filter.input.text(), "source:ibm namespace:inventory");
    assert!(model.filter.error.is_none());
    press(&mut model, "<esc>");
    assert!(!model.filter.active());
}

#[test]
fn the_filter_finds_the_hosts_of_a_source_and_those_that_it_is_a_guest_of() {
    let hosts = crate::ui::testing::hosts().into_iter().enumerate().map(|(n, mut host)| {
        let name = if n < 4 { "ibm" } else { "ibm-2" };
        host["metadata"]["labels"]["inventory.inv-tui.dev/source"] = json!(name);
        if n == 4 {
            host["status"]["sources"]["ibm"] = json!({"state": "Running"});
        }
        host
    });
    let model = crate::ui::testing::with_hosts(empty(120, 24), hosts.collect());
    let mut model = with_sources(model, events());
    press(&mut model, "vs<enter>");
    assert_eq!(model.inventory.matched(), 5, "{}", screen(&model));
    press(&mut model, "/<ctrl-u>source=ibm<enter>");
    assert_eq!(model.inventory.matched(), 4, "{}", screen(&model));
}

#[test]
fn what_is_for_hosts_says_so() {
    let mut model = with_sources(fleet(120, 24), events());
    press(&mut model, "vs");
    for (keys, words) in [
        (" ", "marks are for hosts"),
        ("*", "marks are for hosts"),
        ("m", "there is no host here"),
        ("r", "there is no host here"),
        ("a", "a and D are for a request"),
    ] {
        let commands = press(&mut model, keys);
        assert!(!commands.iter().any(|command| matches!(command, Command::Act { .. })));
        assert!(screen(&model).contains(words), "{keys}\n{}", screen(&model));
        press(&mut model, "<esc>");
        press(&mut model, "vs");
    }
}

#[test]
fn a_picture_waits_for_them() {
    let mut model = empty(80, 24);
    send(&mut model, Msg::User(ServerId::FIRST, Ok("ann".into())));
    send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Begin { expected: None }));
    send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Synced));
    assert!(!model.settled());
    press(&mut model, "vs");
    assert!(screen(&model).contains("loading…"));
    send(
        &mut model,
        Msg::Sources(
            ServerId::FIRST,
            ObjectEvent::Lost("cannot follow sources: refused (403)".into()),
        ),
    );
    assert!(model.settled());
    assert!(screen(&model).contains("refused (403)"), "{}", screen(&model));
    send(&mut model, Msg::Sources(ServerId::FIRST, ObjectEvent::Synced));
    assert!(model.settled() && screen(&model).contains("no source yet"));
}
