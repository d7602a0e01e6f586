use k8s_openapi::jiff::Timestamp;
use kube::core::{ObjectList, WatchEvent};
use serde_json::{Value, json};

use super::*;
use crate::model::sample;

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn whole() -> Value {
    json!({
        "apiVersion": "inventory.inv-tui.dev/v1alpha1",
        "kind": "Host",
        "metadata": {
            "name": "aws-i-1", "namespace": "inventory", "uid": "u-1", "resourceVersion": "7",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"team": "data", "odd": null},
            "annotations": {"inventory.inv-tui.dev/display-name": "db-1", "big": "x"},
            "managedFields": [{"fieldsV1": {"f:spec": {}}}],
        },
        "spec": {
            "providerID": "aws:///a/i-1", "cluster": "c", "role": "db",
            "serviceState": "Quarantined",
            "maintenance": {"alice": {
                "reason": "disk", "since": "2026-01-01T00:00:00Z", "until": "2026-01-02T00:00:00Z",
            }},
        },
        "status": {
            "phase": "Running",
            "sources": {"aws": {"state": "Running", "uid": "i-1"}},
            "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
            "ansible": {"requestID": "r", "state": "Failed"},
            "launchTime": "2025-01-01T00:00:00.5Z",
            "conditions": [
                {"type": "Ready", "status": "False", "reason": "Why", "message": "",
                 "lastTransitionTime": "2026-01-01T00:00:00Z"},
                {"type": "Other", "status": "True"},
            ],
        },
    })
}

#[test]
fn what_a_row_needs_is_read_and_nothing_else_is_kept() {
    let record: HostRecord = serde_json::from_value(whole()).unwrap();
    assert_eq!(record.problem, None);
    assert_eq!(record.metadata.name.as_deref(), Some("aws-i-1"));
    assert_eq!(record.metadata.labels.as_ref().unwrap().len(), 1);
    assert_eq!(record.metadata.annotations.as_ref().unwrap().len(), 1);
    assert!(record.metadata.managed_fields.is_none());
    assert_eq!(record.spec.service_state, ServiceState::Quarantined);
    let hold = &record.spec.maintenance["alice"];
    assert_eq!((hold.reason.as_deref(), hold.since), (Some("disk"), Some(now())));
    assert_eq!(record.status.phase, Some(Phase::Running));
    assert_eq!(record.status.sources["aws"].state, Some(Phase::Running));
    assert_eq!(record.status.addresses[0].type_, Some(AddressType::InternalIP));
    assert_eq!(record.status.ansible.state, Some(RunState::Failed));
    let ready = record.status.conditions.ready.as_ref().unwrap();
    assert_eq!((ready.status, ready.reason.as_deref()), (Some(false), Some("Why")));
    assert_eq!(record.status.conditions.seen, None);
}

#[test]
fn it_has_the_path_of_a_host() {
    assert_eq!(
        <HostRecord as Resource>::url_path(&(), Some("inventory")),
        Host::url_path(&(), Some("inventory"))
    );
}

#[test]
fn a_record_is_the_same_from_json_and_from_a_host() {
    for host in sample::fleet(200, now()) {
        let json = serde_json::to_string(&host).unwrap();
        let read: HostRecord = serde_json::from_str(&json).unwrap();
        assert_eq!(read, HostRecord::from(&host));
    }
}

/// Each change to the object, and the problem that it makes.
const PROBLEMS: &[(&str, &str, &str)] = &[
    ("/spec/role", "5", "spec.role is not a string"),
    ("/spec/role", "[1,[2]]", "spec.role is not a string"),
    ("/spec", "\"none\"", "spec is not an object"),
    (
        "/spec/serviceState",
        "\"Odd\"",
        "spec.serviceState is \"Odd\", a word that this version does not know",
    ),
    (
        "/spec/maintenance/alice/until",
        "\"soon\"",
        "spec.maintenance.alice.until is \"soon\", which is no time",
    ),
    ("/spec/maintenance/alice", "true", "spec.maintenance.alice is not an object"),
    ("/spec/maintenance", "[]", "spec.maintenance is not an object"),
    (
        "/status/phase",
        "\"Rebooting\"",
        "status.phase is \"Rebooting\", a word that this version does not know",
    ),
    ("/status/addresses", "{\"a\":1}", "status.addresses is not a list"),
    ("/status/addresses/0/type", "1.5", "status.addresses.type is not a word"),
    ("/status/conditions", "\"x\"", "status.conditions is not a list"),
    ("/status/launchTime", "-1", "status.launchTime is not a time"),
    ("/metadata/labels/team", "{}", "metadata.labels.team is not a string"),
];

#[test]
fn one_bad_value_is_one_problem_and_the_rest_is_good() {
    for (path, bad, problem) in PROBLEMS {
        let mut value = whole();
        *value.pointer_mut(path).unwrap() = serde_json::from_str(bad).unwrap();
        // As text and as a value in memory.
        let text: HostRecord = serde_json::from_str(&value.to_string()).unwrap();
        let record: HostRecord = serde_json::from_value(value).unwrap();
        assert_eq!(text, record);
        assert_eq!(record.problem.as_deref(), Some(*problem));
        assert_eq!(record.uid(), Some(Uid::from("u-1")));
        assert_eq!(record.metadata.name.as_deref(), Some("aws-i-1"));
        assert!(record.status.phase.is_some() || path.starts_with("/status"));
    }
}

#[test]
fn what_is_no_object_at_all_is_a_problem_without_a_name() {
    for text in ["null", "5", "[]", "\"x\"", "{}", "{\"metadata\":null}"] {
        let record: HostRecord = serde_json::from_str(text).unwrap();
        assert_eq!(record.uid(), None, "{text}");
    }
    let record: HostRecord = serde_json::from_str("[{}]").unwrap();
    assert_eq!(record.problem.as_deref(), Some("the object is not an object"));
    assert!(serde_json::from_str::<HostRecord>("{\"metadata\":{\"name\":\"x\"}").is_err());
    let twice = "{\"metadata\":{\"name\":\"a\",\"name\":\"b\"},\"spec\":{\"role\":1},\"spec\":{}}";
    let record: HostRecord = serde_json::from_str(twice).unwrap();
    assert_eq!(record.metadata.name.as_deref(), Some("b"));
}

#[test]
fn without_a_uid_the_name_is_the_identity() {
    let text = "{\"metadata\":{\"name\":\"a\\u001b\",\"namespace\":\"n\",\"uid\":\"\"}}";
    let record: HostRecord = serde_json::from_str(text).unwrap();
    assert_eq!(record.uid(), Some(Uid::from("n/a\u{FFFD}")));
}

#[test]
fn a_list_with_one_bad_object_is_a_list() {
    let mut bad = whole();
    bad["spec"] = json!([[1, {"a": 2}], "x"]);
    let list = json!({
        "apiVersion": "inventory.inv-tui.dev/v1alpha1", "kind": "HostList",
        "metadata": {"resourceVersion": "1"}, "items": [whole(), bad, whole()],
    });
    let list: ObjectList<HostRecord> = serde_json::from_slice(list.to_string().as_bytes()).unwrap();
    let problems: Vec<bool> = list.items.iter().map(|item| item.problem.is_some()).collect();
    assert_eq!(problems, [false, true, false]);
}

#[test]
fn a_watch_event_is_read_with_its_fields_in_any_order() {
    let mut bad = whole();
    bad["spec"]["role"] = json!({"a": [1]});
    for object in [whole(), bad] {
        let expected: HostRecord = serde_json::from_value(object.clone()).unwrap();
        for line in [
            format!("{{\"type\":\"MODIFIED\",\"object\":{object}}}"),
            format!("{{\"object\":{object},\"type\":\"MODIFIED\"}}"),
        ] {
            match serde_json::from_str::<WatchEvent<HostRecord>>(&line).unwrap() {
                WatchEvent::Modified(record) => assert_eq!(record, expected),
                other => panic!("{other:?}"),
            }
        }
    }
    let bookmark = "{\"type\":\"BOOKMARK\",\"object\":{\"apiVersion\":\"a/v1\",\"kind\":\"Host\",\
        \"metadata\":{\"resourceVersion\":\"12\"}}}";
    let event: WatchEvent<HostRecord> = serde_json::from_str(bookmark).unwrap();
    assert!(matches!(event, WatchEvent::Bookmark(_)));
}
