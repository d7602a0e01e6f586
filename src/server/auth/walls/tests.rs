#![allow(
    clippy::needless_pass_by_value,
    clippy::unnecessary_wraps,
    reason = "cases are easier to read when they are written where they are passed"
)]

use serde_json::json;

use super::super::roles::VIEWERS;
use super::*;

/// What is said to `user` about a change of a host, or of what `at` names.
fn said(user: &User, at: (&str, &str), old: Option<Value>, new: Option<Value>) -> Option<String> {
    refusal(&Write {
        user,
        group: GROUP,
        resource: at.0,
        subresource: at.1,
        namespace: "ns",
        old: old.as_ref(),
        new: new.as_ref(),
    })
}

const HOST: (&str, &str) = ("hosts", "");
const STATUS: (&str, &str) = ("hosts", "status");

fn spec(fields: Value) -> Option<Value> {
    Some(json!({"metadata": {}, "spec": fields}))
}

fn status(fields: Value) -> Option<Value> {
    Some(json!({"metadata": {}, "status": fields}))
}

fn protected(reason: Option<&str>, fields: Value) -> Option<Value> {
    let annotations = reason.map(|reason| json!({ PROTECT: reason }));
    Some(json!({"metadata": {"annotations": annotations}, "spec": fields}))
}

#[test]
fn what_concerns_nobody_is_nobodys_concern() {
    let user = User::new("x", &[VIEWERS, FETCHERS, HOSTS, OPERATORS]);
    let any = || Some(json!({"status": {"phase": "Gone"}}));
    assert_eq!(said(&user, ("regions", "status"), any(), None), None);
    let admin = User::new("root", &[ADMINS]);
    for at in [HOST, STATUS, ("clusters", "status")] {
        let before = json!({"spec": {"maintenance": {"x": 1}}, "status": {"phase": "Running"}});
        assert_eq!(said(&admin, at, Some(before), any()), None);
    }
}

#[test]
fn protection_binds_everybody() {
    let admin = User::new("root", &[MASTERS]);
    let was = || protected(Some("payments"), json!({"cluster": "a"}));
    assert!(said(&admin, HOST, was(), None).unwrap().ends_with("first, then delete it"));
    assert_eq!(said(&admin, HOST, protected(None, json!({})), None), None);
    let other = |fields: Value| protected(Some("payments"), fields);
    assert!(said(&admin, HOST, was(), other(json!({"cluster": "b"}))).is_some());
    assert!(said(&admin, HOST, was(), other(json!({}))).is_some());
    assert!(said(&admin, HOST, was(), protected(None, json!({"cluster": "b"}))).is_some());
    let retired = json!({"cluster": "a", "serviceState": "Retired"});
    assert!(said(&admin, HOST, was(), other(retired.clone())).is_some());
    let already = protected(Some("payments"), retired.clone());
    assert_eq!(said(&admin, HOST, already, other(retired)), None);
    assert_eq!(said(&admin, HOST, was(), other(json!({"cluster": "a", "role": "db"}))), None);
    assert_eq!(said(&admin, HOST, was(), protected(None, json!({"cluster": "a"}))), None);
    let fetcher = User::new("f", &[FETCHERS]);
    assert_eq!(said(&fetcher, HOST, was(), other(json!({"cluster": "b"}))), None);
}

#[test]
fn defaults_are_nothing_that_a_fetcher_writes() {
    let fetcher = User::new("f", &[FETCHERS]);
    let fresh = json!({"cluster": "a", "serviceState": "InService"});
    assert_eq!(said(&fetcher, HOST, None, spec(fresh.clone())), None);
    assert_eq!(said(&fetcher, HOST, spec(json!({})), spec(fresh)), None);
    let two = spec(json!({"paused": true, "serviceState": "Retired"}));
    let why = said(&fetcher, HOST, None, two).unwrap();
    assert!(why.ends_with("people decide: spec.paused, spec.serviceState"), "{why}");
}

#[test]
fn operators_set_labels_of_their_own() {
    let otto = User::new("otto", &[OPERATORS]);
    let labels = |labels: Value| Some(json!({"metadata": {"labels": labels}, "spec": {}}));
    let was = || labels(json!({"team": "a", "inventory.inv-tui.dev/cluster": "x"}));
    let free = labels(json!({"other": "b", "inventory.inv-tui.dev/cluster": "x"}));
    assert_eq!(said(&otto, HOST, was(), free), None);
    let why = said(&otto, HOST, was(), labels(json!({"a.k8s.io/b": "1"}))).unwrap();
    assert!(why.ends_with("by hand: a.k8s.io/b, inventory.inv-tui.dev/cluster"), "{why}");
    let lifecycle = User::new("l", &[LIFECYCLE, OPERATORS]);
    assert_eq!(said(&lifecycle, HOST, was(), labels(json!({}))), None);
}

#[test]
fn a_hold_is_written_in_ones_own_name_and_ended_in_any() {
    let otto = User::new("otto", &[OPERATORS]);
    let holds = |holds: Value| spec(json!({ "maintenance": holds }));
    let both = || holds(json!({"otto": 1, "anna": 1}));
    assert_eq!(said(&otto, HOST, both(), holds(json!({"otto": 2, "anna": 1}))), None);
    assert_eq!(said(&otto, HOST, both(), holds(json!({"otto": 1}))), None);
    assert_eq!(said(&otto, HOST, both(), spec(json!({}))), None);
    let why = said(&otto, HOST, both(), holds(json!({"otto": 1, "anna": 2, "bob": 1}))).unwrap();
    assert!(why.contains("not [anna, bob];"), "{why}");
    let lifecycle = User::new("l", &[LIFECYCLE]);
    assert_eq!(said(&lifecycle, HOST, both(), holds(json!({"anna": 2}))), None);
}

#[test]
fn a_run_is_not_asked_for_beside_another() {
    let otto = User::new("otto", &[OPERATORS]);
    let host = |id: &str, by: &str, state: &str| {
        Some(json!({
            "spec": {"ansible": {"requestID": id, "requestedBy": by}},
            "status": {"ansible": {"state": state}},
        }))
    };
    let was = || host("a", "anna", "Running");
    assert_eq!(said(&otto, HOST, was(), host("a", "anna", "Running")), None);
    assert!(said(&otto, HOST, was(), host("b", "otto", "Running")).unwrap().contains("going on"));
    let done = || host("a", "anna", "Failed");
    assert_eq!(said(&otto, HOST, done(), host("b", "otto", "Failed")), None);
    for (id, by) in [("b", "anna"), ("a", "bob")] {
        let why = said(&otto, HOST, done(), host(id, by, "Failed")).unwrap();
        assert!(why.ends_with("your own name, otto"), "{why}");
    }
    assert_eq!(said(&otto, HOST, was(), spec(json!({}))), None);
    let no_name = spec(json!({"ansible": {"requestID": "b"}}));
    assert_eq!(said(&otto, HOST, done(), no_name), None);
}

#[test]
fn conditions_of_others_may_stand_in_any_order() {
    let agent = User::new("inv:host:ns:a", &[HOSTS]);
    let list = |types: &[(&str, i32)]| {
        let all: Vec<Value> = types.iter().map(|(t, n)| json!({"type": t, "n": n})).collect();
        status(json!({ "conditions": all }))
    };
    let was = || list(&[("Ready", 1), ("Seen", 1), ("Drained", 1)]);
    assert_eq!(
        said(&agent, STATUS, was(), list(&[("Drained", 2), ("Seen", 1), ("Ready", 1)])),
        None
    );
    assert_eq!(said(&agent, STATUS, was(), list(&[("Seen", 1), ("Ready", 1)])), None);
    for other in [
        list(&[("Ready", 1), ("Drained", 1)]),
        list(&[("Ready", 2), ("Seen", 1)]),
        list(&[("Ready", 1), ("Seen", 1), ("New", 1)]),
        status(json!({})),
        None,
    ] {
        assert!(said(&agent, STATUS, was(), other.clone()).is_some(), "{other:?}");
    }
    let runner = User::new("r", &[RUNNERS]);
    let drained = list(&[("Ready", 1), ("Seen", 1), ("Drained", 2)]);
    let why = said(&runner, STATUS, was(), drained).unwrap();
    assert!(why.contains("a runner writes Converged; the others"), "{why}");
}

#[test]
fn an_event_is_about_the_agents_own_host_in_both_forms() {
    let agent = User::new("inv:host:ns:a", &[HOSTS]);
    let event = |field: &str, name: &str, namespace: &str| json!({ field: {"kind": "Host", "name": name, "namespace": namespace} });
    let said = |group: &str, event: &Value| {
        refusal(&Write {
            user: &agent,
            group,
            resource: "events",
            subresource: "",
            namespace: "ns",
            old: None,
            new: Some(event),
        })
    };
    assert_eq!(said("", &event("involvedObject", "a", "ns")), None);
    assert_eq!(said("events.k8s.io", &event("regarding", "a", "ns")), None);
    assert!(said("", &event("involvedObject", "b", "ns")).is_some());
    assert!(said("events.k8s.io", &event("regarding", "a", "other")).is_some());
    assert!(said("events.k8s.io", &json!({})).is_some());
}

/// That it says the same, in the same words, is asked of both servers in `tests/it/access.rs`.
#[test]
fn the_manifest_has_the_same_keys() {
    let manifest = include_str!("../../../../deploy/policies.yaml");
    for key in [PROTECT, FINALIZER, DECOMMISSIONERS, FETCHERS, HOSTS, LIFECYCLE, OPERATORS, RUNNERS]
    {
        assert!(manifest.contains(&format!("'{key}'")), "{key}");
    }
}
