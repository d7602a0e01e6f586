use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::model::host::{AddressType, Phase, RunState, ServiceState};
use crate::model::record::{
    AddressRecord, ConditionRecord, HoldRecord, HostRecord, SourceRecord, SpecRecord,
};
use crate::model::row::Built;

fn now() -> Timestamp {
    "2026-01-10T00:00:00Z".parse().unwrap()
}

fn ago(hours: i64) -> Timestamp {
    now() - SignedDuration::from_hours(hours)
}

/// A host in which everything is set.
fn host() -> HostRecord {
    let labels = [
        (labels::REGION, "eu-west-1"),
        (labels::ZONE, "eu-west-1a"),
        (labels::INSTANCE_TYPE, "m5.large"),
        ("inventory.inv-tui.dev/account", "billing-7"),
        ("example.com/gpu", "Tesla"),
        ("disks", "6"),
        ("odd\u{1b}", "e\u{1b}vil"),
    ];
    let mut record = HostRecord {
        metadata: ObjectMeta {
            name: Some("aws-i-0abc".to_owned()),
            namespace: Some("inventory".to_owned()),
            uid: Some("u".to_owned()),
            creation_timestamp: Some(Time(ago(2))),
            labels: Some(
                labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect(),
            ),
            annotations: Some(BTreeMap::from([(
                labels::DISPLAY_NAME.to_owned(),
                "Shop Web-01".to_owned(),
            )])),
            ..ObjectMeta::default()
        },
        spec: SpecRecord {
            provider_id: Some("aws:///eu-west-1a/i-0ABC".to_owned()),
            cluster: Some("shop".to_owned()),
            role: Some("web".to_owned()),
            team: Some("storefront".to_owned()),
            environment: Some("prod".to_owned()),
            service_state: ServiceState::OutOfService,
            ..SpecRecord::default()
        },
        ..HostRecord::default()
    };
    record.spec.maintenance.insert(
        "alice".to_owned(),
        HoldRecord {
            reason: None,
            since: Some(ago(1)),
            until: Some(ago(-1)),
            ..HoldRecord::default()
        },
    );
    record.status.sources.insert("aws".to_owned(), SourceRecord { state: Some(Phase::Running) });
    record.status.addresses = vec![AddressRecord {
        type_: Some(AddressType::InternalIP),
        address: Some("10.2.3.4".to_owned()),
    }];
    record.status.ansible.state = Some(RunState::Failed);
    record.status.conditions.ready =
        Some(ConditionRecord { status: Some(true), reason: None, since: Some(ago(1)) });
    record
}

fn finds(record: HostRecord, text: &str) -> bool {
    let mut interner = Interner::default();
    let Built { row, pairs } = HostRow::build(record, now(), &mut interner).unwrap();
    let (sketch, row) = (Sketch::of(&row, &pairs), Some(row));
    let subject = Subject { servers: &[], sketch: &sketch, pairs: &pairs, row: &row };
    let filter = Filter::parse(text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
    let found = Matcher::new(&filter, &interner, now()).matches(subject);
    // Texts that come later are as good as those that were there.
    let mut late = Matcher::new(&filter, &Interner::default(), now());
    let fresh = interner.take_fresh();
    late.learn(&fresh, &interner);
    assert_eq!(late.matches(subject), found, "{text}");
    found
}

const FOUND: &[&str] = &[
    "",
    "web",
    "web1",
    "shopweb",
    "sw01",
    "SHOP",
    "prod",
    "m5l",
    "bill7",
    "i-0abc",
    "aws-i",
    "I-0ABC",
    "10.2.3",
    "gpu",
    "example.com/gpu",
    "source:aws",
    "source:AWS,ibm",
    "!source:aw",
    "source!=aws",
    "tesla",
    "!db",
    "\"shop web\"",
    "\"M5.LARGE\"",
    "\"eu-west-1a/i-0abc\"",
    "/^shop web-\\d+$/",
    "/^10\\.2\\./",
    "/^prod$/",
    "/^shop web-01$/",
    "/^aws-i-0abc$/",
    "/^aws:.*0ABC$/",
    "/\\A10\\.2\\.3\\.4\\z/",
    "/(?-m)^10\\.2\\.3\\.4$/",
    "ip:10.2.3.0/25",
    "ip:0.0.0.0/0",
    "ip:8.0.0.0/6",
    "/^web/",
    "env=prod",
    "environment=prod",
    "inventory.inv-tui.dev/environment=prod",
    "env!=dev",
    "missing!=x",
    "role in (db,web)",
    "role notin (db,cache)",
    "type=m5.large",
    "instance-type=m5.large",
    "region=eu-west-1",
    "account=billing-7",
    "gpu=*",
    "gpu=Tesla",
    "missing!=*",
    "disks>5",
    "disks<7",
    "provider=aws",
    "env=prod,role=web",
    "region:west",
    "region:us,eu",
    "cluster:SHOP",
    "provider:aw",
    "role:web",
    "team:store",
    "env:pro",
    "zone:1a",
    "name:web-01",
    "name:i-0abc",
    "namespace:inv",
    "state:maint",
    "state:outof",
    "run:fail",
    "run:queued,failed",
    "ip:10.2.0.0/16",
    "ip:10.2.3.4",
    "ip:10.2.",
    "age<3h",
    "age>1h",
    "age>2h",
    "seen<2h",
    "seen>30m",
    "maintenance:on",
    "!maintenance:off",
    "web && env=prod || nothing",
    "(nothing || web) env=prod",
    "!(nothing || env=dev)",
];

const NOT_FOUND: &[&str] = &[
    "source:aw",
    "source:ibm",
    "source=aws",
    "db",
    "web2",
    "ohw",
    "webaws",
    "4aws",
    "gp",
    "!web",
    "!gpu",
    "\"web 01\"",
    "/^web-0/",
    "/a$./",
    "env=pro",
    "env=Prod",
    "env!=prod",
    "role notin (db,web)",
    "gpu=tesla",
    "missing=*",
    "gpu!=*",
    "disks>6",
    "disks<6",
    "account>1",
    "region:us",
    "cluster:web",
    "state:run",
    "state:ok",
    "run:succeeded",
    "run:none",
    "ip:10.3.0.0/16",
    "ip:10.2.3.40",
    "ip:fe80::/10",
    "ip:10.2.3.128/25",
    "ip:10.2.3.4.",
    "/4[^x]aws/",
    "/0abc\\s10/",
    "age<2h",
    "age>3h",
    "seen>1h30m",
    "maintenance:off",
    "web env=dev",
];

#[test]
fn every_term_finds_what_it_says() {
    for text in FOUND {
        assert!(finds(host(), text), "{text}");
    }
    for text in NOT_FOUND {
        assert!(!finds(host(), text), "{text}");
    }
}

#[test]
fn a_host_that_says_nothing_is_found_by_what_it_lacks() {
    let bare = || HostRecord {
        metadata: ObjectMeta { uid: Some("u".to_owned()), ..ObjectMeta::default() },
        ..HostRecord::default()
    };
    for text in ["u", "env!=prod", "gpu!=*", "run:none", "state:unknown", "maintenance:off", "!web"]
    {
        assert!(finds(bare(), text), "{text}");
    }
    for text in ["env=*", "age>0s", "age<1w", "seen>0s", "ip:10.", "region:e", "web", "state:ok"] {
        assert!(!finds(bare(), text), "{text}");
    }
}

#[test]
fn a_time_turns_on_its_second() {
    let mut interner = Interner::default();
    let row = HostRow::build(host(), now(), &mut interner).unwrap().row;
    let filter = Filter::parse("age<3h seen>2h").unwrap();
    let matcher = Matcher::new(&filter, &interner, now());
    assert!(matcher.is_timed());
    let turns: Vec<i64> = matcher.turning_points(&row).collect();
    assert_eq!(turns, [ago(-1).as_second(), ago(-1).as_second()]);
}

/// Words of which each next one narrows the one before.
fn growing() -> impl Strategy<Value = (String, String)> {
    ("[a-c0-1-]{1,5}", 0..5_usize, 0..5_usize).prop_map(|(word, a, b)| {
        let (a, b) = (a.min(word.len() - 1), b.min(word.len()));
        let part = word.get(a.min(b)..b.max(a + 1)).unwrap_or_default().to_owned();
        (word, part)
    })
}

proptest! {
    /// What a filter narrows, it does find less than; over hosts made of the same few letters.
    #[test]
    fn narrowing_never_loses_a_host(
        (word, part) in growing(),
        form in 0..6_usize,
        display in "[a-cA-C01 -]{0,8}",
        id in "[a-c01-]{0,8}",
        value in "[a-c01-]{0,5}",
    ) {
        let write = |text: &str| match form {
            0 => text.to_owned(),
            1 => format!("\"{text}\""),
            2 => format!("name:\"{text}\""),
            3 => format!("{text} || role=x"),
            4 => format!("!(x {text})"),
            _ => format!("role:\"{text}\""),
        };
        let mut record = host();
        record.metadata.annotations =
            Some(BTreeMap::from([(labels::DISPLAY_NAME.to_owned(), display)]));
        record.spec.provider_id = Some(id);
        record.spec.role = Some(value);
        let (Ok(new), Ok(old)) = (Filter::parse(&write(&word)), Filter::parse(&write(&part))) else {
            return Ok(());
        };
        if new.narrows(&old) {
            prop_assert!(!finds(record.clone(), &write(&word)) || finds(record.clone(), &write(&part)));
        }
        if old.narrows(&new) {
            prop_assert!(!finds(record.clone(), &write(&part)) || finds(record, &write(&word)));
        }
    }
}
