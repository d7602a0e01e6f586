//! What an event, a key press and a frame cost at 1,000 and at 100,000 hosts. `cargo bench`
//! runs all; DESIGN.md section 6 has the goals.
#![allow(
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark: it prints, and a panic is how it fails"
)]

use std::cell::RefCell;
use std::hint::black_box;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use inv_tui::model::diff::{Part, StoredHost, digest};
use inv_tui::model::filter::Filter;
use inv_tui::model::host::{AddressType, Host, HostSpec, HostStatus};
use inv_tui::model::inventory::{Folds, Inventory};
use inv_tui::model::key::{NodeKey, Uid};
use inv_tui::model::lifecycle::{View, derive};
use inv_tui::model::record::HostRecord;
use inv_tui::model::sample;
use inv_tui::model::selection::{Rules, Selection};
use inv_tui::model::shape::Level;
use inv_tui::model::targets::{Endpoints, Job, Targets};
use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

fn main() {
    // What must hold is checked before what is only measured.
    check_memory();
    check_ratio();
    check_steps();
    divan::main();
}

const SIZES: [u32; 2] = [1_000, 100_000];
const ALL: u32 = 100_000;
/// Hosts that the explorer takes in before it looks at the keyboard again.
const SHAPE_STEP: usize = 2_048;

fn now() -> Timestamp {
    Timestamp::from_second(1_790_000_000).expect("a time in range")
}

fn records(count: u32) -> Vec<HostRecord> {
    sample::fleet(count, now()).map(|host| HostRecord::from(&host)).collect()
}

static RECORDS: LazyLock<Vec<HostRecord>> = LazyLock::new(|| records(ALL));

fn fleet(count: u32) -> Inventory {
    let mut inventory = Inventory::new();
    for record in RECORDS.iter().take(count as usize) {
        inventory.apply(record.clone(), now());
    }
    inventory
}

fn filtered(inventory: &mut Inventory, text: &str) {
    inventory.set_filter((!text.is_empty()).then(|| Filter::parse(text).expect(text)), now());
    while !inventory.filter_step(usize::MAX) {}
}

/// Resident memory of a fleet, on Linux: what the process has more after it was built.
fn check_memory() {
    let resident = || {
        let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
        pages.split(' ').nth(1)?.parse::<usize>().ok().map(|pages| pages * 4096)
    };
    let Some(before) = resident() else { return };
    let mut inventory = Inventory::new();
    for host in sample::fleet(ALL, now()) {
        inventory.apply(HostRecord::from(&host), now());
    }
    let used = resident().unwrap_or(0).saturating_sub(before);
    println!("memory: {} MB, {} bytes a host", used / 1_000_000, used / inventory.len());
    assert!(used < 100_000_000, "100,000 hosts must stay well below 100 MB");
}

/// An event costs about the same in a small and in a large fleet.
fn check_ratio() {
    let [small, large] = SIZES.map(|hosts| {
        let mut inventory = fleet(hosts);
        let mut times: Vec<Duration> = (0..2_000_u32)
            .map(|number| {
                let mut record = RECORDS[(number * 7919 % hosts) as usize].clone();
                record.metadata.resource_version = Some(format!("{}", 10_000_000 + number));
                record.spec.cluster = Some(format!("web-prod-{}", number % 50));
                let start = Instant::now();
                inventory.apply(record, now());
                start.elapsed()
            })
            .collect();
        times.sort_unstable();
        times[times.len() / 2]
    });
    let ratio = large.as_secs_f64() / small.as_secs_f64();
    println!("event: {small:?} at 1,000 hosts, {large:?} at 100,000, ratio {ratio:.1}");
    assert!(ratio < 10.0, "an event must not get dearer with the fleet");
}

/// The whole first load.
#[divan::bench(sample_count = 5)]
fn build_100k(bencher: Bencher<'_, '_>) {
    bencher.counter(ItemsCount::new(ALL)).with_inputs(|| RECORDS.clone()).bench_local_values(
        |records| {
            let mut inventory = Inventory::new();
            for record in records {
                inventory.apply(record, now());
            }
            inventory
        },
    );
}

/// A watch event: another health, the same place.
#[divan::bench(args = SIZES)]
fn apply_event(bencher: Bencher<'_, '_>, hosts: u32) {
    events(bencher, hosts, "", |record, version| {
        let metadata = &mut record.metadata;
        metadata.resource_version = Some(version.to_string());
        record.status.conditions.ready.get_or_insert_default().status = Some(version % 2 == 0);
    });
}

/// A watch event that moves the host within the tree.
#[divan::bench(args = SIZES)]
fn apply_move(bencher: Bencher<'_, '_>, hosts: u32) {
    events(bencher, hosts, "", |record, version| {
        record.metadata.resource_version = Some(version.to_string());
        record.spec.cluster = Some(format!("web-prod-{}", version % 50));
    });
}

/// A watch event while there is a table in the order of a column that the event changes.
#[divan::bench(args = SIZES)]
fn apply_event_sorted(bencher: Bencher<'_, '_>, hosts: u32) {
    let mut inventory = fleet(hosts);
    inventory.set_sort(Some(&"-health".parse().expect("a sort")));
    while !inventory.shape_step(usize::MAX) {}
    events_in(bencher, inventory, hosts, |record, version| {
        record.metadata.resource_version = Some(version.to_string());
        record.status.conditions.ready.get_or_insert_default().status = Some(version % 2 == 0);
    });
}

/// All hosts in another order, in steps as the explorer takes them.
#[divan::bench(args = ["display", "-age", "address", "label:topology.kubernetes.io/zone"], sample_count = 10)]
fn sort_100k(bencher: Bencher<'_, '_>, column: &str) {
    let inventory = RefCell::new(fleet(ALL));
    let sort = column.parse().expect("a sort");
    let reorder = |sort| {
        let mut inventory = inventory.borrow_mut();
        inventory.set_sort(sort);
        while !inventory.shape_step(SHAPE_STEP) {}
    };
    bencher.with_inputs(|| reorder(None)).bench_local_values(|()| reorder(Some(&sort)));
}

/// The tree by something else, in steps as the explorer takes them.
#[divan::bench(args = ["role", "label:topology.kubernetes.io/zone,env,role", "cluster"], sample_count = 10)]
fn group_100k(bencher: Bencher<'_, '_>, levels: &str) {
    let inventory = RefCell::new(fleet(ALL));
    let levels = Level::list(levels).expect("levels");
    let regroup = |levels: &[Level]| {
        let mut inventory = inventory.borrow_mut();
        inventory.set_grouping(levels);
        while !inventory.shape_step(SHAPE_STEP) {}
    };
    bencher
        .with_inputs(|| regroup(&[Level::Region, Level::Cluster]))
        .bench_local_values(|()| regroup(&levels));
}

/// The longest of the steps of another grouping and another order: what a key waits for at most.
fn check_steps() {
    let mut inventory = fleet(ALL);
    inventory.set_grouping(&Level::list("cluster,role").expect("levels"));
    inventory.set_sort(Some(&"address".parse().expect("a sort")));
    let (mut steps, mut longest, start) = (0, Duration::ZERO, Instant::now());
    let mut done = false;
    while !done {
        let step = Instant::now();
        done = inventory.shape_step(SHAPE_STEP);
        longest = longest.max(step.elapsed());
        steps += 1;
    }
    println!("shape: {steps} steps in {:?}, the longest {longest:?}", start.elapsed());
}

/// A watch event while a filter is set.
#[divan::bench(args = SIZES)]
fn apply_event_filtered(bencher: Bencher<'_, '_>, hosts: u32) {
    events(bencher, hosts, "env=prod web", |record, version| {
        record.metadata.resource_version = Some(version.to_string());
        record.status.conditions.ready.get_or_insert_default().status = Some(version % 2 == 0);
    });
}

fn targets(hosts: u32) -> Targets {
    let mut targets = Targets::new(vec![Job {
        name: "node".to_owned(),
        selection: Selection::new(Filter::default(), Rules::in_service(), now()),
        endpoints: Endpoints::Same { ports: vec![9100], scheme: None, path: None },
        addresses: vec![AddressType::InternalIP],
        labels: Vec::new(),
        maintenance: Some("inv_maintenance".to_owned()),
    }]);
    for record in RECORDS.iter().take(hosts as usize) {
        targets.apply(Box::new(record.clone()), now());
    }
    targets
}

/// A watch event as the monitor takes it in: another role, one job.
#[divan::bench(args = SIZES)]
fn target_event(bencher: Bencher<'_, '_>, hosts: u32) {
    let mut targets = targets(hosts);
    let mut record = RECORDS[hosts as usize / 2].clone();
    let mut version = 0_u32;
    bencher.bench_local(|| {
        version += 1;
        record.metadata.resource_version = Some(version.to_string());
        record.spec.role = Some(format!("web-{}", version % 2));
        targets.apply(Box::new(record.clone()), now())
    });
}

/// What Prometheus gets: the list of all hosts, put together anew.
#[divan::bench(sample_count = 10)]
fn target_list_100k(bencher: Bencher<'_, '_>) {
    let targets = targets(ALL);
    let (list, _) = targets.lists().next().expect("one job");
    let bytes = list.to_json().len();
    bencher.counter(BytesCount::new(bytes)).bench_local(|| list.to_json());
}

/// What the lifecycle controller does with a watch event that it has nothing to write for: the
/// object is read, what follows is derived and compared with what its manager owns.
#[divan::bench]
fn lifecycle_event(bencher: Bencher<'_, '_>) {
    const MANAGER: &str = "inv-tui-lifecycle";
    let mut host = sample::host(3, now());
    let view = |host: &Host| derive(&View { host, agent: Some(true), decisions: &[], now: now() });
    view(&host).put(&mut host);
    let keys = |all: Vec<String>| -> serde_json::Map<String, Value> {
        all.into_iter().map(|key| (key, json!({}))).collect()
    };
    let labels = keys(view(&host).labels.keys().map(|key| format!("f:{key}")).collect());
    let types = view(&host).conditions.into_iter().map(|c| c.type_);
    let conditions = keys(types.map(|type_| format!("k:{}", json!({ "type": type_ }))).collect());
    let mut object = serde_json::to_value(&host).expect("it is JSON");
    object["metadata"]["managedFields"] = json!([
        {"manager": MANAGER, "operation": "Apply",
            "fieldsV1": {"f:metadata": {"f:labels": labels}}},
        {"manager": MANAGER, "operation": "Apply", "subresource": "status",
            "fieldsV1": {"f:status": {
                "f:phase": {}, "f:observedGeneration": {}, "f:conditions": conditions}}},
    ]);
    let text = object.to_string();
    let settled = || {
        let stored: StoredHost = serde_json::from_str(&text).expect("it is a host");
        let host = Host {
            metadata: stored.metadata.clone(),
            spec: HostSpec::deserialize(&stored.spec).expect("a spec"),
            status: Some(HostStatus::deserialize(&stored.status).expect("a status")),
        };
        let derived = view(&host);
        digest(&derived.status()) == digest(&stored.owned(MANAGER, Part::Status))
            && digest(&derived.main()["metadata"])
                == digest(&stored.owned(MANAGER, Part::Main)["metadata"])
    };
    assert!(settled(), "nothing is to be written");
    bencher.bench_local(settled);
}

fn events(
    bencher: Bencher<'_, '_>,
    hosts: u32,
    filter: &str,
    change: impl Fn(&mut HostRecord, u64) + Sync,
) {
    let mut inventory = fleet(hosts);
    filtered(&mut inventory, filter);
    events_in(bencher, inventory, hosts, change);
}

fn events_in(
    bencher: Bencher<'_, '_>,
    inventory: Inventory,
    hosts: u32,
    change: impl Fn(&mut HostRecord, u64) + Sync,
) {
    let inventory = RefCell::new(inventory);
    let version = RefCell::new(10_000_000_u64);
    bencher
        .with_inputs(|| {
            let mut version = version.borrow_mut();
            *version += 1;
            // Far from the last one, as events are.
            let number = *version * 7919 % u64::from(hosts);
            let mut record = RECORDS[usize::try_from(number).expect("small")].clone();
            change(&mut record, *version);
            record
        })
        .bench_local_values(|record| inventory.borrow_mut().apply(record, now()));
}

#[divan::bench(args = SIZES)]
fn delete_and_add(bencher: Bencher<'_, '_>, hosts: u32) {
    let inventory = RefCell::new(fleet(hosts));
    let number = RefCell::new(0_usize);
    bencher
        .with_inputs(|| {
            let mut number = number.borrow_mut();
            *number = (*number + 7919) % hosts as usize;
            RECORDS[*number].clone()
        })
        .bench_local_values(|record| {
            let mut inventory = inventory.borrow_mut();
            let uid = record.uid().expect("has one");
            black_box(inventory.delete(&uid));
            inventory.apply(record, now())
        });
}

/// One key press: from the filter before to the one after, all of it.
#[divan::bench(args = [
    " > w", " > web", "w > we", "we > web", "web > web-", "web- > web-1", " > web-1", " > e", " > 7",
    " > env=prod", "env=prod > env=prod w", "env=prod w > env=prod web", " > env=prod web",
    " > !web", " > /^web-.*7$/", " > \"prod-1\"", " > i-0abc", " > age<2h", " > ip:10.2.0.0/16",
    " > state:bad", " > web || db || env=dev", "web > ",
])]
fn filter_100k(bencher: Bencher<'_, '_>, keys: &str) {
    let (before, after) = keys.split_once(" > ").expect("before and after");
    let inventory = RefCell::new(fleet(ALL));
    let filter = (!after.is_empty()).then(|| Filter::parse(after).expect("a filter"));
    bencher.with_inputs(|| filtered(&mut inventory.borrow_mut(), before)).bench_local_values(
        |()| {
            let mut inventory = inventory.borrow_mut();
            inventory.set_filter(filter.clone(), now());
            while !inventory.filter_step(4096) {}
            inventory.matched()
        },
    );
}

/// The lines of a frame.
#[divan::bench(args = ["", "env=prod", "web-prod-1234"])]
fn window_of_60(bencher: Bencher<'_, '_>, filter: &str) {
    let mut inventory = fleet(ALL);
    filtered(&mut inventory, filter);
    let mut folds = Folds::default();
    folds.open_all(inventory.is_filtered());
    let first = inventory.first(&folds).expect("there are hosts");
    let middle = inventory.step(&folds, &first, 50_000);
    bencher.bench_local(|| inventory.window(&folds, &middle, 60).len());
}

#[divan::bench(args = [1, -1, 30, 50_000, -50_000])]
fn step(bencher: Bencher<'_, '_>, delta: isize) {
    let inventory = fleet(ALL);
    let mut folds = Folds::default();
    folds.open_all(false);
    let first = inventory.first(&folds).expect("there are hosts");
    let middle = inventory.step(&folds, &first, 50_000);
    bencher.bench_local(|| inventory.step(&folds, &middle, delta));
}

#[divan::bench]
fn position_100k(bencher: Bencher<'_, '_>) {
    let inventory = fleet(ALL);
    let mut folds = Folds::default();
    folds.open_all(false);
    let uid: &Uid = inventory.rows().nth(50_000).expect("there are hosts").uid();
    let key = NodeKey::Host(uid.clone());
    bencher.bench_local(|| inventory.position(&folds, &key));
}

/// A page of a list, as it comes from the API server, with its managed fields.
#[divan::bench(args = [50, 500])]
fn parse_list(bencher: Bencher<'_, '_>, hosts: u32) {
    let items: Vec<serde_json::Value> = sample::fleet(hosts, now())
        .map(|host| {
            let mut value = serde_json::to_value(&host).expect("a host is JSON");
            value["metadata"]["managedFields"] = managed_fields(&value);
            value
        })
        .collect();
    let list = serde_json::json!({
        "apiVersion": "inventory.inv-tui.dev/v1alpha1", "kind": "HostList",
        "metadata": {"resourceVersion": "1"}, "items": items,
    });
    let bytes = serde_json::to_vec(&list).expect("a list is JSON");
    bencher.counter(BytesCount::of_slice(&bytes)).counter(ItemsCount::new(hosts)).bench_local(
        || serde_json::from_slice::<kube::core::ObjectList<HostRecord>>(&bytes).expect("a list"),
    );
}

/// Every key of the object once more, as the API server keeps them.
fn managed_fields(object: &serde_json::Value) -> serde_json::Value {
    fn keys(value: &serde_json::Value) -> serde_json::Value {
        let serde_json::Value::Object(map) = value else { return serde_json::json!({}) };
        map.iter().map(|(key, value)| (format!("f:{key}"), keys(value))).collect()
    }
    serde_json::json!([{
        "manager": "inv-tui-fetch-aws", "operation": "Apply", "fieldsType": "FieldsV1",
        "apiVersion": "inventory.inv-tui.dev/v1alpha1", "time": "2026-01-01T00:00:00Z",
        "fieldsV1": keys(object),
    }])
}
