use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use std::collections::BTreeMap;

use super::*;
use crate::model::host::AddressType;
use crate::model::intern::Interner;
use crate::model::labels;
use crate::model::record::{
    AddressRecord, ConditionRecord, HoldRecord, HostRecord, SourceRecord, SpecRecord,
};
use crate::model::text::is_hostile;

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn base() -> HostRecord {
    HostRecord {
        metadata: ObjectMeta {
            name: Some("aws-i-1".to_owned()),
            uid: Some("u-1".to_owned()),
            ..ObjectMeta::default()
        },
        ..HostRecord::default()
    }
}

fn row(record: HostRecord) -> HostRow {
    HostRow::build(record, now(), &mut Interner::default()).unwrap().row
}

fn hold(since: i64, until: i64) -> HoldRecord {
    let at = |minutes| Some(now() + SignedDuration::from_mins(minutes));
    HoldRecord {
        reason: Some("disk".to_owned()),
        since: at(since),
        until: at(until),
        ..HoldRecord::default()
    }
}

#[test]
fn texts_come_from_spec_then_from_labels() {
    let mut record = base();
    record.metadata.labels = Some(BTreeMap::from(
        [
            (labels::REGION, "eu"),
            (labels::ZONE, "eu-1a"),
            (labels::CLUSTER, "label-cluster"),
            (labels::ROLE, "db"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned())),
    ));
    record.spec = SpecRecord {
        cluster: Some("c".to_owned()),
        role: Some(String::new()),
        provider_id: Some("aws:///eu-1a/i-1".to_owned()),
        ..SpecRecord::default()
    };
    let mut interner = Interner::default();
    let Built { row, pairs } = HostRow::build(record, now(), &mut interner).unwrap();
    let texts = [row.region(), row.zone(), row.cluster(), row.role(), row.team(), row.provider()];
    assert_eq!(texts, ["eu", "eu-1a", "c", "db", "", "aws"]);
    assert_eq!((row.name(), row.display(), row.namespace()), ("aws-i-1", "aws-i-1", ""));
    assert_eq!((row.address(), row.resource_version()), (None, ""));
    assert_eq!(row.label_count(), 4);
    // The cluster of the spec and the provider have no label of their own.
    assert_eq!(pairs.len(), 6);
    row.release(&pairs, &mut interner);
    assert!(interner.is_empty());
}

#[test]
fn the_internal_address_goes_first() {
    let mut record = base();
    let address =
        |type_, text: &str| AddressRecord { type_: Some(type_), address: Some(text.to_owned()) };
    record.status.addresses = vec![
        address(AddressType::OOB, "192.168.0.1"),
        address(AddressType::ExternalIP, "203.0.113.1"),
    ];
    assert_eq!(row(record.clone()).address(), Some("203.0.113.1"));
    record.status.addresses.push(address(AddressType::InternalIP, "10.0.0.1"));
    assert_eq!(row(record).address(), Some("10.0.0.1"));
}

#[test]
fn hostile_and_endless_text_is_shown_clean_and_short() {
    let evil = "a\u{1b}[31m\u{202E}\n";
    let mut record = base();
    record.metadata.name = Some(evil.to_owned());
    record.metadata.uid = Some(evil.to_owned());
    record.metadata.namespace = Some(evil.to_owned());
    record.metadata.annotations =
        Some(BTreeMap::from([(labels::DISPLAY_NAME.to_owned(), "x\u{9b}".repeat(100_000))]));
    record.metadata.labels = Some(BTreeMap::from([(labels::REGION.to_owned(), evil.to_owned())]));
    record.spec.role = Some(evil.to_owned());
    record.spec.provider_id = Some(evil.to_owned());
    record.spec.maintenance.insert(evil.to_owned(), hold(0, 1));
    record.problem = Some(evil.to_owned());
    let row = row(record);
    let hold = &row.holds()[0];
    for text in [
        row.name(),
        row.uid().as_str(),
        row.namespace(),
        row.display(),
        row.region(),
        row.role(),
        row.provider_id().unwrap(),
        &hold.holder,
        row.problem().unwrap(),
    ] {
        assert!(!text.chars().any(is_hostile), "{text:?}");
    }
    assert_eq!(row.display().chars().count(), MAX_DISPLAY + 1);
    assert_eq!(row.ids(), "a\u{FFFD}[31m\u{FFFD}\u{FFFD}\n\na\u{FFFD}[31m\u{FFFD}\u{FFFD}");
}

#[test]
fn the_display_name_is_never_empty() {
    let mut record = base();
    for (display, shown) in [("  ", "aws-i-1"), (" web-1 ", "web-1"), ("aws-i-1", "aws-i-1")] {
        let annotation = (labels::DISPLAY_NAME.to_owned(), display.to_owned());
        record.metadata.annotations = Some(BTreeMap::from([annotation]));
        assert_eq!(row(record.clone()).display(), shown);
    }
    record.metadata.name = None;
    record.metadata.annotations = None;
    assert_eq!(row(record).display(), "u-1");
}

#[test]
fn ids_are_compared_in_lower_case() {
    let mut record = base();
    assert_eq!(row(record.clone()).ids(), "aws-i-1\n\n");
    record.spec.provider_id = Some("NetBox:///DCIM/ä".to_owned());
    let row = row(record);
    assert_eq!(row.ids(), "aws-i-1\n\nnetbox:///dcim/ä");
    assert_eq!(row.provider_id(), Some("NetBox:///DCIM/ä"));
    assert_eq!((row.resource_version(), row.display()), ("", "aws-i-1"));
}

#[test]
fn phase_is_deletion_then_hold_then_status_then_sources() {
    let mut record = base();
    let phase = |record: &HostRecord| row(record.clone()).phase();
    assert_eq!(phase(&record), Phase::Unknown);
    for (name, state) in [("a", Phase::Running), ("b", Phase::Missing), ("c", Phase::Stopped)] {
        record.status.sources.insert(name.to_owned(), SourceRecord { state: Some(state) });
    }
    assert_eq!(phase(&record), Phase::Missing);
    record.status.phase = Some(Phase::Running);
    assert_eq!(phase(&record), Phase::Running);
    // What the status says of a hold that is over is not believed.
    record.status.phase = Some(Phase::Maintenance);
    assert_eq!(phase(&record), Phase::Missing);
    record.spec.maintenance.insert("alice".to_owned(), hold(-10, 0));
    assert_eq!(phase(&record), Phase::Missing);
    record.spec.maintenance.insert("bob".to_owned(), hold(1, 10));
    assert_eq!(phase(&record), Phase::Maintenance);
    record.spec.maintenance.insert("bob".to_owned(), hold(3, 10));
    assert_eq!(phase(&record), Phase::Missing);
    record.spec.maintenance.insert("bob".to_owned(), hold(-3, 10));
    record.metadata.deletion_timestamp = Some(Time(now()));
    let row = row(record);
    assert_eq!((row.phase(), row.in_maintenance()), (Phase::Decommissioning, true));
}

#[test]
fn health_follows_its_table() {
    use Health::{Bad, Maintenance, Ok, Stopped, Unknown, Warning};
    type Change = fn(&mut HostRecord);
    let table: &[(&str, Change, Health)] = &[
        ("nothing known", |_| {}, Unknown),
        ("running", |r| r.status.phase = Some(Phase::Running), Ok),
        ("ready only", |r| r.status.conditions.ready = Some(is(true)), Ok),
        ("not ready", |r| r.status.conditions.ready = Some(is(false)), Bad),
        ("unreachable", |r| r.status.phase = Some(Phase::Unreachable), Bad),
        ("gone", |r| r.status.phase = Some(Phase::Gone), Bad),
        ("not seen", |r| r.status.conditions.seen = Some(is(false)), Bad),
        ("impaired", |r| r.status.conditions.provider_healthy = Some(is(false)), Bad),
        ("agent silent", |r| r.status.conditions.agent_ready = Some(is(false)), Warning),
        ("run failed", |r| r.status.ansible.state = Some(RunState::Failed), Warning),
        ("planned", |r| r.status.phase = Some(Phase::Planned), Warning),
        ("quarantined", |r| r.spec.service_state = ServiceState::Quarantined, Warning),
        ("not readable", |r| r.problem = Some("x".to_owned()), Warning),
        (
            "planned and not ready",
            |r| {
                r.status.phase = Some(Phase::Pending);
                r.status.conditions.ready = Some(is(false));
            },
            Warning,
        ),
        (
            "stopped and so not ready",
            |r| {
                r.status.phase = Some(Phase::Stopped);
                r.status.conditions.ready = Some(is(false));
            },
            Stopped,
        ),
        (
            "retired and gone",
            |r| {
                r.spec.service_state = ServiceState::Retired;
                r.status.phase = Some(Phase::Gone);
            },
            Stopped,
        ),
        ("being deleted", |r| r.metadata.deletion_timestamp = Some(Time(now())), Warning),
        (
            "held and unreachable",
            |r| {
                r.spec.maintenance.insert("a".to_owned(), hold(0, 1));
                r.status.phase = Some(Phase::Unreachable);
            },
            Maintenance,
        ),
    ];
    for (name, change, health) in table {
        let mut record = base();
        change(&mut record);
        assert_eq!(row(record).health(), *health, "{name}");
    }
}

fn is(status: bool) -> ConditionRecord {
    ConditionRecord { status: Some(status), ..ConditionRecord::default() }
}

#[test]
fn times() {
    let mut record = base();
    record.metadata.creation_timestamp = Some(Time(now()));
    let launched = now() - SignedDuration::from_hours(1);
    assert_eq!(row(record.clone()).launched(), Some(now()));
    record.status.launch_time = Some(launched);
    record.status.conditions.ready =
        Some(ConditionRecord { since: Some(launched), ..ConditionRecord::default() });
    record.status.conditions.seen =
        Some(ConditionRecord { since: Some(now()), ..ConditionRecord::default() });
    let row = row(record);
    assert_eq!(
        (row.created(), row.launched(), row.changed()),
        (Some(now()), Some(launched), Some(now()))
    );
    assert_eq!(row.next_tick(now()), None);
}
