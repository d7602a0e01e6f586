use serde_json::{Value, json};

use super::*;

fn now() -> Timestamp {
    Timestamp::from_second(1_000_000).unwrap()
}

fn driver(folder: &Path) -> Driver {
    let ansible = toml::from_str(&format!("root = '{}'", folder.display())).unwrap();
    Driver::new(Ledger::open(&folder.join("runs")).unwrap(), ansible, "agent", "ns", "web-1")
}

/// A host that asks for a run and has been told this of one.
fn host(asks: &str, told: Value) -> Host {
    let spec = json!({"ansible": {"requestID": asks, "playbook": "p.yml"}});
    let mut host = Host::new("web-1", serde_json::from_value(spec).unwrap());
    host.status.get_or_insert_default().ansible = serde_json::from_value(told).unwrap();
    host
}

fn running(id: &str) -> Value {
    json!({"requestID": id, "state": "Running", "executor": "agent"})
}

/// A driver that has claimed the run, and the entry of it.
fn claimed(folder: &Path, id: &str) -> (Driver, Entry) {
    let mut driver = driver(folder);
    let claim = driver.blank(id, RunState::Running);
    driver.claiming(&host(id, Value::Null), &claim).unwrap();
    let entry = driver.ledger.get("web-1", id).unwrap();
    (driver, entry)
}

fn told(next: Next) -> AnsibleStatus {
    match next {
        Next::Tell { status, .. } => *status,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_claimed_run_is_begun_only_when_nothing_is_in_its_way() {
    let dir = tempfile::tempdir().unwrap();
    let (mut driver, _) = claimed(dir.path(), "a");
    let host = host("a", running("a"));
    assert!(matches!(driver.next(&host, Some("a hook is running"), now()), Next::Rest));
    assert!(matches!(driver.next(&host, None, now()), Next::Launch));
}

#[test]
fn a_run_whose_lock_cannot_be_asked_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (mut driver, entry) = claimed(dir.path(), "a");
    entry.put(BEGUN, b"").unwrap();
    std::fs::create_dir(entry.path("lock")).unwrap();
    let host = host("a", running("a"));
    assert_eq!(told(driver.next(&host, None, now())).state, RunState::Running);
    std::fs::remove_dir(entry.path("lock")).unwrap();
    assert_eq!(told(driver.next(&host, None, now())).state, RunState::Unknown);
}

#[test]
fn the_end_of_an_older_run_is_not_told_over_a_later_one() {
    let dir = tempfile::tempdir().unwrap();
    let (mut driver, entry) = claimed(dir.path(), "a");
    entry.write(RESULT, &Ended { rc: Some(0), ..Ended::default() }).unwrap();
    // Somebody else has claimed the later one, and it is theirs.
    let other = json!({"requestID": "b", "state": "Running", "executor": "other"});
    assert!(matches!(driver.next(&host("b", other), None, now()), Next::Rest));
    assert!(!driver.busy() && entry.has("reported"));
    // Without a later claim the end of the older one is told first.
    let (mut driver, entry) = claimed(dir.path(), "c");
    entry.write(RESULT, &Ended { rc: Some(0), ..Ended::default() }).unwrap();
    let end = told(driver.next(&host("d", running("c")), None, now()));
    assert_eq!((end.request_id.as_str(), end.state), ("c", RunState::Succeeded));
}
