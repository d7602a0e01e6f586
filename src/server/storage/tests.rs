use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

fn hosts() -> ResourceId {
    ResourceId::new("inventory.inv-tui.dev", "hosts")
}

fn host(name: &str, role: &str) -> Draft {
    let mut object = json!({
        "apiVersion": "inventory.inv-tui.dev/v1alpha1", "kind": "Host",
        "metadata": {"name": name, "labels": {"role": role, "\"quoted\"": "ä"}},
        "spec": {"role": role},
    });
    Draft::new(&mut object).unwrap()
}

async fn put(store: &Store, name: &str, role: &str) -> Arc<Stored> {
    let current = store.shelf(&hosts()).and_then(|shelf| shelf.get(name));
    let draft = host(name, role);
    let change = match current {
        Some(now) => Change::Replace(now.revision, draft),
        None => Change::Create(draft),
    };
    store.commit(&hosts(), name, change).await.unwrap()
}

async fn delete(store: &Store, name: &str) -> Arc<Stored> {
    let now = store.shelf(&hosts()).unwrap().get(name).unwrap();
    store.commit(&hosts(), name, Change::Delete(now.revision, None)).await.unwrap()
}

fn names(objects: &Objects) -> Vec<String> {
    objects.keys().map(ToString::to_string).collect()
}

fn history(store: &Store, from: u64) -> Vec<(String, u64, String, Option<Value>)> {
    let events = store.shelf(&hosts()).unwrap().events(from, 1000).unwrap();
    let before = |e: &Event| e.before.as_ref().map(|b| b.object());
    events
        .iter()
        .map(|e| {
            (
                e.type_().to_owned(),
                e.revision,
                String::from_utf8(e.frame().to_vec()).unwrap(),
                before(e),
            )
        })
        .collect()
}

async fn closed(store: Store) {
    let ended = store.ended();
    drop(store);
    ended.await;
}

#[test]
fn a_draft_gets_its_revision_and_finds_its_labels() {
    let draft = host("a", "web");
    for revision in [1, 42, u64::MAX] {
        let stored = draft.at(revision);
        let object = stored.object();
        assert_eq!(object["metadata"]["resourceVersion"], revision.to_string());
        assert_eq!(stored.version(), revision);
        assert_eq!(stored.labels()["role"], "web");
        assert_eq!(stored.labels()["\"quoted\""], "ä");
        let moved = stored.moved_to(7);
        assert_eq!(moved.object()["metadata"]["resourceVersion"], "7");
        assert_eq!((moved.version(), moved.labels()), (7, stored.labels()));
        let read = Stored::read(revision, stored.bytes.clone()).unwrap();
        assert_eq!((read.version(), read.labels()), (revision, stored.labels()));
    }
}

#[test]
fn a_part_of_an_object_can_be_read() {
    let object = json!({
        "a": {"b": {"c": [1, {"d": 2}], "x": 1.5}, "y": null}, "a\"\u{1}": "quoted", "list": [{"b": 1}],
        "metadata": {"name": "n", "resourceVersion": "1"}, "text": "a", "flag": true, "number": -1,
    });
    let stored = Stored::read(1, serde_json::to_vec(&object).unwrap().into()).unwrap();
    let part = |paths: &[&[&str]]| {
        let mut wanted = Wanted::default();
        paths.iter().for_each(|path| wanted.add(path.iter().copied()));
        stored.part(&wanted)
    };
    assert_eq!(part(&[&["a", "b", "c"]]), json!({"a": {"b": {"c": [1, {"d": 2}]}}}));
    assert_eq!(
        part(&[&["a", "y"], &["a\"\u{1}"]]),
        json!({"a": {"y": null}, "a\"\u{1}": "quoted"})
    );
    assert_eq!(part(&[&["a", "b", "x"], &["a"]])["a"], object["a"]);
    assert_eq!(part(&[&["a"], &["a", "b", "x"]])["a"], object["a"]);
    assert_eq!(part(&[&["none"], &["a", "b", "none"]]), json!({"a": {"b": {}}}));
    let nothing = json!({"text": null, "flag": null, "number": null, "list": null});
    assert_eq!(part(&[&["text", "b"], &["flag", "b"], &["number", "b"], &["list", "b"]]), nothing);
    assert_eq!(part(&[]), json!({}));
}

#[test]
fn owners_are_noticed_and_nonsense_is_refused() {
    let mut owned = json!({"metadata": {"name": "a", "ownerReferences": [{"uid": "1"}]}});
    assert!(Draft::new(&mut owned).unwrap().at(1).marks.owned);
    let mut free = json!({"metadata": {"name": "a", "ownerReferences": []}});
    assert!(!Draft::new(&mut free).unwrap().at(1).marks.owned);
    assert!(Draft::new(&mut json!([1])).is_err());
    assert!(Stored::read(1, "{\"metadata\":{}}".into()).is_err());
    assert!(Stored::read(1, "nonsense".into()).is_err());
}

#[tokio::test]
async fn a_change_must_name_the_revision_that_it_was_made_from() {
    let store = Store::in_memory().unwrap();
    let first = put(&store, "a", "web").await;
    let again = store.commit(&hosts(), "a", Change::Create(host("a", "db"))).await;
    assert_eq!(again.unwrap_err(), Refused::Moved);
    let second = put(&store, "a", "db").await;
    assert!(second.revision > first.revision);
    for stale in
        [Change::Replace(first.revision, host("a", "x")), Change::Delete(first.revision, None)]
    {
        assert_eq!(store.commit(&hosts(), "a", stale).await.unwrap_err(), Refused::Moved);
    }
    let missing = Change::Replace(second.revision, host("b", "x"));
    assert_eq!(store.commit(&hosts(), "b", missing).await.unwrap_err(), Refused::Moved);
    assert_eq!(store.revision(), second.revision);
}

#[tokio::test]
async fn of_many_changes_from_one_revision_one_wins() {
    let store = Store::in_memory().unwrap();
    let first = put(&store, "a", "web").await.revision;
    let tries = (0..50).map(|n| {
        let store = store.clone();
        async move {
            store.commit(&hosts(), "a", Change::Replace(first, host("a", &n.to_string()))).await
        }
    });
    let results = futures::future::join_all(tries).await;
    assert_eq!(results.iter().filter(|r| r.is_ok()).count(), 1);
    assert_eq!(store.revision(), first + 1);
}

#[tokio::test]
async fn events_tell_what_was_before_and_deletions_have_their_own_revision() {
    let store = Store::in_memory().unwrap();
    let created = put(&store, "a", "web").await.revision;
    let changed = put(&store, "a", "db").await.revision;
    let gone = delete(&store, "a").await;
    assert_eq!(gone.object()["metadata"]["resourceVersion"], gone.revision.to_string());
    let all = history(&store, 1);
    let kinds: Vec<_> = all.iter().map(|e| (e.0.as_str(), e.1)).collect();
    assert_eq!(kinds, [("ADDED", created), ("MODIFIED", changed), ("DELETED", gone.revision)]);
    assert_eq!(all[1].3.as_ref().unwrap()["spec"]["role"], "web");
    assert!(all.iter().all(|e| e.2.ends_with("}\n") && e.2.matches('\n').count() == 1));
    assert_eq!(history(&store, changed).len(), 1);
    assert!(store.shelf(&hosts()).unwrap().get("a").is_none());
}

#[tokio::test]
async fn the_past_can_be_listed() {
    let store = Store::in_memory().unwrap();
    let mut at = Vec::new();
    for name in ["b", "a", "c"] {
        at.push(put(&store, name, "web").await.revision);
    }
    let deleted = delete(&store, "a").await.revision;
    let changed = put(&store, "b", "db").await.revision;
    let shelf = store.shelf(&hosts()).unwrap();
    let list = |revision| shelf.objects_at(revision).unwrap();
    assert_eq!(names(&list(at[1])), ["a", "b"]);
    assert_eq!(names(&list(at[2])), ["a", "b", "c"]);
    assert_eq!(names(&list(deleted)), ["b", "c"]);
    assert_eq!(list(deleted)["b"].object()["spec"]["role"], "web");
    assert_eq!(list(changed)["b"].object()["spec"]["role"], "db");
    let oldest = shelf.objects_at(0).unwrap_err();
    assert_eq!(shelf.events(0, 1).unwrap_err(), oldest);
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_start_history_included() {
    let folder = TempDir::new().unwrap();
    let file = default_file(folder.path());
    let store = Store::open(&file).unwrap();
    for n in 0..20 {
        put(&store, &format!("h{}", n % 7), &format!("role{n}")).await;
    }
    delete(&store, "h3").await;
    put(&store, "h3", "again").await;
    delete(&store, "h4").await;
    let (told, revision) = (history(&store, 1), store.revision());
    let (objects, _) = store.shelf(&hosts()).unwrap().objects();
    closed(store).await;

    let store = Store::open(&file).unwrap();
    assert_eq!(store.revision(), revision);
    assert_eq!(history(&store, 1), told);
    let (now, _) = store.shelf(&hosts()).unwrap().objects();
    assert_eq!(names(&now), names(&objects));
    assert!(now.iter().all(|(key, object)| object.bytes == objects[key].bytes));
    assert!(put(&store, "new", "x").await.revision > revision);
}

#[tokio::test]
async fn old_history_is_bounded_in_memory() {
    let store = Store::in_memory().unwrap();
    let shelf = store.shelf_or_new(&hosts());
    let padding = "x".repeat(1 << 20);
    let first = put(&store, "a", "b").await.revision;
    for _ in 0..1100 {
        // Small objects published directly: only the ring is under test.
        let object = Arc::new(host("a", "b").at(store.revision() + 1));
        shelf.publish(Event::new("a".into(), None, object, false), false);
    }
    assert!(shelf.events(first, 1).is_ok(), "small events are kept");
    let big = Arc::new(host("big", &padding).at(store.revision() + 2));
    for _ in 0..200 {
        shelf.publish(Event::new("big".into(), None, big.clone(), false), false);
    }
    assert!(shelf.events(first, 1).is_err(), "200 MiB of events are not");
}

#[test]
fn files_that_are_not_ours_are_refused_and_left_alone() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("x.db");
    for (content, says) in [
        (b"hello".to_vec(), "damaged"),
        (vec![0; 4096], "damaged"),
        ([b"SQLite format 3\0".as_slice(), &[0; 4000]].concat(), "not a store"),
    ] {
        std::fs::write(&file, &content).unwrap();
        let error = Store::open(&file).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
        assert_eq!(std::fs::read(&file).unwrap(), content);
    }
}

#[tokio::test]
async fn damaged_and_newer_stores_are_refused_and_left_alone() {
    let folder = TempDir::new().unwrap();
    let file = default_file(folder.path());
    let store = Store::open(&file).unwrap();
    for n in 0..300 {
        put(&store, &format!("host-{n}"), "web").await;
    }
    closed(store).await;
    let good = std::fs::read(&file).unwrap();

    let mut damaged = good.clone();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 8192].fill(0xAA);
    let mut newer = good.clone();
    newer[60..64].copy_from_slice(&99_u32.to_be_bytes());
    let truncated = good[..good.len() / 3].to_vec();
    for (content, says) in [(damaged, "damaged"), (newer, "version 99"), (truncated, "damaged")] {
        std::fs::write(&file, &content).unwrap();
        let error = Store::open(&file).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
        assert_eq!(std::fs::read(&file).unwrap(), content);
    }
    std::fs::write(&file, &good).unwrap();
    assert_eq!(Store::open(&file).unwrap().shelf(&hosts()).unwrap().objects().0.len(), 300);
}

#[tokio::test]
async fn a_backup_is_taken_while_the_store_is_written() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().unwrap();
    let (file, copy) = (default_file(folder.path()), folder.path().join("copy.db"));
    let store = Store::open(&file).unwrap();
    for n in 0..50 {
        put(&store, &format!("host-{n}"), "web").await;
    }
    backup(&file, &copy).unwrap();
    put(&store, "later", "web").await;
    assert!(backup(&file, &copy).unwrap_err().to_string().contains("cannot be made"));
    assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    let restored = Store::open(&copy).unwrap();
    assert_eq!(restored.shelf(&hosts()).unwrap().objects().0.len(), 50);
    let missing = folder.path().join("none.db");
    assert!(backup(&missing, &folder.path().join("c2")).unwrap_err().to_string().contains("none"));
}
