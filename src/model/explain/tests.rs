use serde_json::{Value, json};

use super::*;

const NOW: &str = "2026-11-21T12:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn condition(type_: &str, status: &str, message: &str) -> Value {
    json!({
        "type": type_, "status": status, "reason": "Because", "message": message,
        "lastTransitionTime": "2026-11-21T11:00:00Z",
    })
}

#[expect(clippy::needless_pass_by_value, reason = "it reads better")]
fn host(metadata: Value, spec: Value, status: Value) -> Host {
    let mut object = json!({
        "apiVersion": "inventory.inv-tui.dev/v1alpha1", "kind": "Host",
        "metadata": {"name": "web-1", "namespace": "inventory"}, "spec": spec, "status": status,
    });
    for (key, value) in metadata.as_object().unwrap() {
        object["metadata"][key] = value.clone();
    }
    serde_json::from_value(object).unwrap()
}

/// The reasons for a host with this status.
fn of(status: Value) -> Vec<Reason> {
    explain(&host(json!({}), json!({}), status), &Around::default(), now())
}

fn with(conditions: &[Value]) -> Vec<Reason> {
    of(json!({"phase": "Running", "conditions": conditions}))
}

fn around(around: &Around<'_>) -> Vec<Reason> {
    explain(&host(json!({}), json!({}), json!({"phase": "Running"})), around, now())
}

#[track_caller]
fn only(reasons: &[Reason], weight: Weight, what: &str) {
    let [reason] = reasons else { panic!("{reasons:#?}") };
    assert!(reason.weight == weight && reason.what.contains(what), "{reason:?}");
    assert!(!reason.next.is_empty());
}

#[test]
fn nothing_is_wrong_with_a_host_that_is_well() {
    let fine = [condition(READY, "True", ""), condition(AGENT_READY, "True", "")];
    assert_eq!(with(&fine), []);
}

#[test]
fn each_phase_has_its_words() {
    for (phase, weight, what) in [
        ("Stopped", Weight::Broken, "stopped"),
        ("Gone", Weight::Broken, "gone"),
        ("Unknown", Weight::Broken, "nobody says"),
        ("Pending", Weight::Note, "starting"),
        ("Planned", Weight::Meant, "planned"),
        ("Unreachable", Weight::Broken, "unreachable"),
    ] {
        only(&of(json!({"phase": phase})), weight, what);
    }
}

#[test]
fn each_condition_has_its_words_and_its_time() {
    for (type_, status, weight, what) in [
        (SEEN, "False", Weight::Broken, "does not list it"),
        (PROVIDER_HEALTHY, "False", Weight::Broken, "impaired"),
        (AGENT_READY, "False", Weight::Broken, "no heartbeat: words"),
        (POSSIBLE_DUPLICATE, "True", Weight::Broken, "same machine: words"),
        (CONVERGED, "False", Weight::Note, "not as it should be"),
        (OS_UP_TO_DATE, "False", Weight::Note, "operating system"),
        (READY, "False", Weight::Broken, "not ready: Because: words"),
    ] {
        let reasons = with(&[condition(type_, status, "words")]);
        only(&reasons, weight, what);
        assert_eq!(reasons[0].since.unwrap().to_string(), "2026-11-21T11:00:00Z");
    }
}

#[test]
fn ready_is_told_only_where_nothing_else_says_why() {
    let both = [condition(READY, "False", ""), condition(AGENT_READY, "False", "")];
    only(&with(&both), Weight::Broken, "no heartbeat");
}

#[test]
fn holds_count_while_they_last_and_are_named_when_they_have_run_out() {
    let hold = |from: &str, to: &str| json!({"reason": "disk", "since": from, "until": to, "mode": "Drain"});
    let spec = json!({"maintenance": {
        "ann": hold("2026-11-21T11:00:00Z", "2026-11-21T13:00:00Z"),
        "bob": hold("2026-11-21T09:00:00Z", "2026-11-21T10:00:00Z"),
        "eve": hold("2026-11-22T09:00:00Z", "2026-11-22T10:00:00Z"),
    }});
    let drained =
        json!({"phase": "Maintenance", "conditions": [condition(DRAINED, "False", "hook")]});
    let reasons = explain(&host(json!({}), spec, drained), &Around::default(), now());
    let words: Vec<&str> = reasons.iter().map(|reason| reason.what.as_str()).collect();
    assert_eq!(reasons.len(), 3, "{words:?}");
    assert!(words[0].starts_with("ann holds it for 1h"), "{words:?}");
    assert!(words.iter().any(|w| w.contains("hold of bob has run out")), "{words:?}");
    assert!(words.iter().any(|w| w.contains("not been taken off it")), "{words:?}");
}

#[test]
fn what_people_want_is_no_fault() {
    let spec = json!({"serviceState": "Quarantined", "paused": true});
    let host = host(json!({}), spec, json!({"phase": "Running"}));
    let reasons = explain(&host, &Around::default(), now());
    assert_eq!(reasons.len(), 2);
    assert!(reasons.iter().all(|reason| reason.weight == Weight::Meant));
}

#[test]
fn runs_that_came_to_nothing_are_named() {
    for (state, weight, what) in [
        ("Failed", Weight::Broken, "failed at \"apt\": no mirror"),
        ("Unknown", Weight::Note, "not known"),
        ("Queued", Weight::Note, "waits"),
    ] {
        let run = json!({
            "requestID": "a", "state": state, "task": "apt", "message": "no mirror",
            "finishedAt": "2026-11-21T11:00:00Z",
        });
        only(&of(json!({"phase": "Running", "ansible": run})), weight, what);
    }
    let run = json!({"requestID": "a", "state": "Succeeded"});
    assert_eq!(of(json!({"phase": "Running", "ansible": run})), []);
}

#[test]
fn a_decommissioning_that_is_stuck_says_where() {
    let deleted = json!({"deletionTimestamp": "2026-11-21T11:30:00Z", "finalizers": ["x/y"]});
    let ask = |decommission: Value| {
        let status = json!({"phase": "Decommissioning", "decommission": decommission});
        explain(&host(deleted.clone(), json!({}), status), &Around::default(), now())
    };
    let step = |state: &str| json!({"steps": [{"name": "drain", "state": state, "attempts": 3}]});
    only(&ask(step("Stuck")), Weight::Broken, "stuck: step drain fails");
    only(&ask(step("Unknown")), Weight::Broken, "what came of step drain");
    only(&ask(step("Running")), Weight::Meant, "being decommissioned");
    let waiting = |overdue: bool| {
        json!({"steps": [], "waiting": {
            "reason": "Held", "what": "it is held by ann", "since": "2026-11-21T11:40:00Z",
            "overdue": overdue,
        }})
    };
    only(&ask(waiting(false)), Weight::Meant, "waits: it is held by ann");
    only(&ask(waiting(true)), Weight::Broken, "that takes too long");
    only(&ask(Value::Null), Weight::Broken, "waits for x/y");
}

#[test]
fn what_is_around_a_host_counts_too() {
    for (state, what) in [
        (State::BreakerOpen, "not believed"),
        (State::NotRead, "cannot be read"),
        (State::Stale, "says nothing any more"),
        (State::Incomplete, "not complete"),
    ] {
        let source = SourceView { name: "aws".into(), state, last_pass: None };
        let reasons = around(&Around { sources: vec![source], ..Around::default() });
        only(&reasons, Weight::Note, what);
    }
    let healthy = SourceView { name: "aws".into(), state: State::Healthy, last_pass: None };
    assert_eq!(around(&Around { sources: vec![healthy], ..Around::default() }), []);
    for (stands, what) in [
        ("2 of 9 hosts are away, 2 may be", "cluster shop is used up: 2 of 9 hosts are away"),
        ("", "cluster shop is used up"),
    ] {
        let used_up = Around { used_up: Some(("shop", stands)), ..Around::default() };
        only(&around(&used_up), Weight::Note, what);
    }
    only(&around(&Around { cluster_paused: true, ..Around::default() }), Weight::Note, "paused");
    let unreadable = Around { unreadable: Some("spec.role is not a string"), ..Around::default() };
    only(&around(&unreadable), Weight::Broken, "spec.role is not a string");
}

#[test]
fn certificates_that_wait_or_ended_are_named() {
    let request = |state, expires: Option<&str>| {
        let request = RequestView {
            name: "web-1".into(),
            state,
            created: Some(now()),
            expires: expires.map(|text| text.parse().unwrap()),
        };
        around(&Around { request: Some(request), ..Around::default() })
    };
    only(&request(csr::State::Pending, None), Weight::Broken, "waits");
    only(&request(csr::State::Denied, None), Weight::Broken, "was denied");
    only(&request(csr::State::Failed, None), Weight::Broken, "could not be signed");
    let ended = request(csr::State::Issued, Some("2026-11-20T00:00:00Z"));
    only(&ended, Weight::Broken, "has expired");
    assert_eq!(request(csr::State::Issued, Some("2027-01-01T00:00:00Z")), []);
}

#[test]
fn no_hint_names_a_key_that_may_be_another_one() {
    let source = include_str!("../explain.rs");
    for text in source.lines().filter(|line| !line.trim_start().starts_with("//")) {
        for quoted in text.split('"').skip(1).step_by(2) {
            let bare: String =
                quoted.split('{').map(|p| p.split_once('}').map_or(p, |p| p.1)).collect();
            let mut words = bare.split(|c: char| !c.is_alphanumeric() && c != '\'');
            assert!(!words.any(|word| word.len() == 1 && word != "a"), "{quoted}");
            assert!(!bare.contains("(a)") && !bare.contains(" a approves"), "{quoted}");
        }
    }
}

#[test]
fn what_is_broken_stands_first() {
    let reasons = with(&[condition(OS_UP_TO_DATE, "False", ""), condition(SEEN, "False", "")]);
    assert_eq!(
        reasons.iter().map(|r| r.weight).collect::<Vec<_>>(),
        [Weight::Broken, Weight::Note]
    );
}
