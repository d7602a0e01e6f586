use super::*;
use futures::stream;
use kube::runtime::watcher::{self, Event};
use serde_json::json;

fn hosts() -> Hosts {
    Fleet::new("inventory").hosts(Selection {
        namespace: "inventory".into(),
        source: "aws".into(),
        manager: "inv-tui-fetch-aws".into(),
    })
}

fn host(name: &str, uid: &str, version: u64) -> Value {
    json!({
        "apiVersion": "inventory.inv-tui.dev/v1alpha1", "kind": "Host",
        "metadata": {"name": name, "uid": uid, "resourceVersion": version.to_string(),
            "labels": {"topology.kubernetes.io/region": "eu-west-1", "inventory.inv-tui.dev/source": "aws"}},
    })
}

fn guard(value: Value) -> StoredHost {
    serde_json::from_value(value).unwrap()
}

async fn feed(hosts: &Hosts, events: Vec<Event<StoredHost>>) {
    hosts.fleet().consume(stream::iter(events.into_iter().map(Ok))).await;
}

#[tokio::test]
async fn a_list_replaces_and_nothing_is_shown_before_it_ends() {
    let hosts = hosts();
    feed(&hosts, vec![Event::Init, Event::InitApply(guard(host("a", "1", 5)))]).await;
    assert!(hosts.is_empty() && !hosts.in_sync());
    feed(&hosts, vec![Event::InitDone]).await;
    assert!(hosts.get("a").is_some() && hosts.in_sync());
    let appeared = hosts.get("a").unwrap().appeared;
    feed(
        &hosts,
        vec![
            Event::Apply(guard(host("b", "2", 6))),
            Event::Init,
            Event::InitApply(guard(host("a", "1", 7))),
            Event::InitDone,
        ],
    )
    .await;
    assert!(hosts.get("b").is_none(), "deleted while the watch was broken");
    assert_eq!(hosts.get("a").unwrap().appeared, appeared, "it is not new");
}

#[tokio::test]
async fn an_older_event_does_not_undo_the_answer_to_a_write() {
    let hosts = hosts();
    let stored: StoredHost = serde_json::from_value(host("a", "1", 9)).unwrap();
    hosts.put(&stored);
    feed(&hosts, vec![Event::Apply(guard(host("a", "1", 8)))]).await;
    assert_eq!(&*hosts.get("a").unwrap().resource_version, "9");
    feed(&hosts, vec![Event::Apply(guard(host("a", "1", 10)))]).await;
    assert_eq!(&*hosts.get("a").unwrap().resource_version, "10");
    feed(&hosts, vec![Event::Apply(guard(host("a", "2", 3)))]).await;
    assert_eq!(&*hosts.get("a").unwrap().uid, "2", "another object of the same name");
    feed(&hosts, vec![Event::Delete(guard(host("a", "2", 11)))]).await;
    assert!(hosts.is_empty());
}

#[tokio::test]
async fn a_broken_watch_is_not_ready() {
    let hosts = hosts();
    feed(&hosts, vec![Event::Init, Event::InitDone]).await;
    hosts.fleet().consume(stream::iter([Err(watcher::Error::NoResourceVersion)])).await;
    assert!(!hosts.in_sync());
    feed(&hosts, vec![Event::Apply(guard(host("a", "1", 5)))]).await;
    assert!(hosts.in_sync());
}

#[test]
fn holds_pause_protection_and_other_sources_keep_a_host() {
    let selection = hosts().selection().clone();
    let read = |changes: Value| {
        let mut value = host("a", "1", 1);
        for (key, change) in changes.as_object().unwrap() {
            match (value.get_mut(key).and_then(Value::as_object_mut), change) {
                (Some(into), Value::Object(from)) => into.extend(from.clone()),
                _ => value[key] = change.clone(),
            }
        }
        selection.read(&serde_json::from_value(value).unwrap(), &mut Interner::default())
    };
    assert_eq!(read(json!({})).kept, None);
    let protect = json!({"metadata": {"annotations": {"inventory.inv-tui.dev/protect": "why"}}});
    assert_eq!(read(protect).kept, Some(Kept::Protected));
    assert_eq!(read(json!({"spec": {"paused": true}})).kept, Some(Kept::Paused));
    let other = |state: &str| json!({"status": {"sources": {"aws": {"state": "Gone"}, "capi": {"state": state}}}});
    assert_eq!(read(other("Running")).kept, Some(Kept::Shared));
    assert_eq!(read(other("Gone")).kept, None);
    let held = json!({"spec": {"maintenance": {
        "ann": {"until": "2026-01-01T00:00:00Z"}, "bob": {"until": "2027-01-01T00:00:00Z"}}}});
    assert_eq!(read(held).held_until, Some("2027-01-01T00:00:00Z".parse().unwrap()));
    let unreadable = json!({"spec": {"maintenance": {"ann": {"until": "soon"}}}});
    assert_eq!(read(unreadable).held_until, Some(Timestamp::MAX), "rather too long than too short");
}

#[test]
fn a_known_host_is_small() {
    let size = size_of::<Known>();
    assert!(size <= 336, "{size} bytes, beside two short texts");
}

#[test]
fn what_a_source_says_anew_is_another_sight() {
    let hosts = hosts();
    let mut object = host("a", "1", 5);
    let facts =
        json!({"uid": "i-1", "state": "Missing", "missed": 1, "since": "2030-01-01T00:00:00Z"});
    object["status"] = json!({"sources": {"aws": facts}});
    let judged = hosts.read(&guard(object.clone()));
    object["metadata"]["resourceVersion"] = "6".into();
    object["status"]["phase"] = "Maintenance".into();
    assert!(hosts.read(&guard(object.clone())).is_seen_as(&judged), "others write beside it");
    for (field, value) in [
        ("missed", json!(2)),
        ("state", json!("Running")),
        ("since", json!("2030-01-01T00:00:01Z")),
        ("uid", json!("i-2")),
    ] {
        let mut other = object.clone();
        other["status"]["sources"]["aws"][field] = value;
        assert!(!hosts.read(&guard(other)).is_seen_as(&judged), "{field}");
    }
    object["metadata"]["uid"] = "2".into();
    assert!(!hosts.read(&guard(object)).is_seen_as(&judged), "another object of that name");
}
