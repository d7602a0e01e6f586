//! The Events about one object, followed while somebody looks at them.

use std::collections::BTreeMap;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Event;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::api::Api;
use kube::runtime::{WatchStreamExt, watcher};
use tokio::sync::mpsc;

use crate::error::chain;
use crate::store::client::{Connection, explain, watch_failure};
use crate::store::retry::Retry;

/// Events of a page.
const PAGE: u32 = 500;
/// Most Events of an object that are kept, the newest.
const MAX: usize = 1_000;

/// One Event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// When it was last told.
    pub at: Timestamp,
    /// When it was first told, where it was told more than once.
    pub first: Option<Timestamp>,
    /// It is a warning.
    pub warning: bool,
    /// Why, as one word.
    pub reason: String,
    /// What happened.
    pub message: String,
    /// Who told it.
    pub by: String,
    /// How often.
    pub count: i32,
}

impl Told {
    /// Reads an Event of either form; one without any time counts as told when it was made.
    pub fn of(event: &Event) -> Self {
        let made = event.metadata.creation_timestamp.as_ref().map(|time| time.0);
        let first = event.first_timestamp.as_ref().map(|time| time.0);
        let first = first.or_else(|| event.event_time.as_ref().map(|time| time.0)).or(made);
        let series = event.series.as_ref();
        let last = series.and_then(|series| series.last_observed_time.as_ref().map(|t| t.0));
        let last = last.or_else(|| event.last_timestamp.as_ref().map(|time| time.0)).or(first);
        let count = series.and_then(|series| series.count).or(event.count).unwrap_or(1).max(1);
        let by = [
            event.reporting_component.as_deref(),
            event.source.as_ref().and_then(|source| source.component.as_deref()),
        ];
        let by = by.into_iter().flatten().find(|by| !by.is_empty()).unwrap_or_default();
        let instance = event.reporting_instance.as_deref().filter(|i| !i.is_empty() && *i != by);
        Self {
            at: last.unwrap_or(Timestamp::UNIX_EPOCH),
            first: first.filter(|_| count > 1),
            warning: event.type_.as_deref() == Some("Warning"),
            reason: event.reason.clone().unwrap_or_default(),
            message: event.message.clone().unwrap_or_default(),
            by: instance.map_or_else(|| by.to_owned(), |instance| format!("{by} ({instance})")),
            count,
        }
    }
}

/// Follows the Events about the object with this uid until the receiver of `out` is gone. Each
/// message has all that are known, the newest first, or why they cannot be followed; attempts go on.
pub async fn follow(
    connection: Connection,
    namespace: String,
    uid: String,
    out: mpsc::Sender<Result<Vec<Told>, String>>,
) {
    if uid.is_empty() || !uid.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        let _ = out.send(Err("the object has no uid to find its Events by".to_owned())).await;
        return;
    }
    // Events about what lives in no namespace are kept in this one.
    let namespace = if namespace.is_empty() { "default" } else { &namespace };
    let api: Api<Event> = Api::namespaced(connection.client.clone(), namespace);
    let mut known: BTreeMap<String, Told> = BTreeMap::new();
    let mut retry = Retry::default();
    loop {
        let config =
            watcher::Config::default().fields(&format!("involvedObject.uid={uid}")).page_size(PAGE);
        let mut stream = watcher(api.clone(), config).default_backoff().boxed();
        let mut listed: Option<BTreeMap<String, Told>> = None;
        let problem = loop {
            let event = tokio::select! {
                event = stream.next() => event,
                () = out.closed() => return,
            };
            let Some(event) = event else { return };
            match event {
                Ok(watcher::Event::Init) => {
                    listed = Some(BTreeMap::new());
                    continue;
                }
                Ok(watcher::Event::InitApply(event)) => {
                    let list = listed.get_or_insert_default();
                    list.insert(event.name_any(), Told::of(&event));
                    bound(list);
                    continue;
                }
                Ok(watcher::Event::InitDone) => known = listed.take().unwrap_or_default(),
                Ok(watcher::Event::Apply(event)) => {
                    known.insert(event.name_any(), Told::of(&event));
                    bound(&mut known);
                }
                Ok(watcher::Event::Delete(event)) => {
                    known.remove(&event.name_any());
                }
                Err(cause) => match watch_failure(cause) {
                    Some(cause) => break explain("cannot follow Events", "watch events", cause),
                    None => continue,
                },
            }
            if out.send(Ok(newest(&known))).await.is_err() {
                return;
            }
        };
        if out.send(Err(chain(&problem))).await.is_err() {
            return;
        }
        // Listed again, they are told again: that it works is seen though there is nothing new.
        tokio::select! {
            () = tokio::time::sleep(retry.pause()) => {}
            () = out.closed() => return,
        }
    }
}

/// Lets the oldest go when there are too many.
fn bound(known: &mut BTreeMap<String, Told>) {
    if known.len() > MAX {
        let oldest = known.iter().min_by_key(|(_, told)| told.at).map(|(name, _)| name.clone());
        if let Some(name) = oldest {
            known.remove(&name);
        }
    }
}

fn newest(known: &BTreeMap<String, Told>) -> Vec<Told> {
    let mut all: Vec<Told> = known.values().cloned().collect();
    all.sort_by_key(|told| std::cmp::Reverse(told.at));
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(event: serde_json::Value) -> Told {
        Told::of(&serde_json::from_value(event).unwrap())
    }

    #[test]
    fn both_forms_of_an_event_are_read() {
        let about = json!({"kind": "Host", "name": "a"});
        let old = told(json!({
            "metadata": {}, "involvedObject": about, "type": "Warning", "reason": "R", "message": "m",
            "count": 3, "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:05:00Z",
            "source": {"component": "kubelet"},
        }));
        assert_eq!((old.count, old.warning, old.by.as_str()), (3, true, "kubelet"));
        assert_eq!(old.at.as_second() - old.first.unwrap().as_second(), 300);
        let new = told(json!({
            "metadata": {}, "involvedObject": about, "type": "Normal", "reason": "R", "message": "m",
            "eventTime": "2026-01-01T00:00:00.000000Z", "reportingComponent": "inv-tui",
            "reportingInstance": "ann",
            "series": {"count": 2, "lastObservedTime": "2026-01-01T00:01:00.000000Z"},
        }));
        assert_eq!((new.count, new.by.as_str(), new.warning), (2, "inv-tui (ann)", false));
        assert_eq!(new.at.as_second() - new.first.unwrap().as_second(), 60);
    }

    #[test]
    fn there_are_never_too_many() {
        let one = told(json!({"metadata": {}, "involvedObject": {}}));
        let mut known = BTreeMap::new();
        for n in 0..i64::try_from(MAX).unwrap() + 5 {
            let at = Timestamp::from_second(n).unwrap();
            known.insert(format!("{n}"), Told { at, ..one.clone() });
            bound(&mut known);
        }
        assert_eq!(known.len(), MAX);
        assert!(!known.contains_key("4") && known.contains_key("5"));
    }
}
