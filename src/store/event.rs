//! Events on objects, as `kubectl describe` shows them. They are for people and live an hour; what
//! must be kept stands in the object's operations.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource};

use crate::error::chain;
use crate::model::text;
use crate::store::client::explain;

pub use kube::runtime::events::EventType as Kind;

/// Longest note in bytes (`events.k8s.io/v1`).
const MAX_NOTE: usize = 1024;
/// How long an Event may take: nobody waits for it.
const DEADLINE: Duration = Duration::from_secs(5);

/// Writes Events under one name. The same thing about the same object again within some minutes is
/// counted in the one Event.
#[derive(Clone)]
pub struct Events {
    recorder: Recorder,
}

impl Events {
    /// Events of a program, such as `inv-tui-agent`; `instance` says which one of several.
    pub fn new(client: Client, program: &str, instance: &str) -> Self {
        let instance = instance.chars().take(128).collect();
        let reporter = Reporter { controller: program.to_owned(), instance: Some(instance) };
        Self { recorder: Recorder::new(client, reporter) }
    }

    /// Writes one. `reason` and `action` are words in CamelCase, `note` a sentence. A failure is
    /// logged: an Event is never a reason not to go on.
    pub async fn tell(
        &self,
        about: &ObjectReference,
        kind: EventType,
        reason: &str,
        action: &str,
        note: &str,
    ) {
        let mut note = text::clean(note).into_owned();
        while note.len() > MAX_NOTE {
            note.pop();
        }
        let event = Event {
            type_: kind,
            reason: reason.to_owned(),
            note: Some(note),
            action: action.to_owned(),
            secondary: None,
        };
        let name = about.name.as_deref().unwrap_or_default();
        match tokio::time::timeout(DEADLINE, self.recorder.publish(&event, about)).await {
            Ok(Ok(())) => {}
            Ok(Err(cause)) => {
                let error = explain("cannot write an Event", "create events", cause);
                tracing::warn!(about = name, reason, error = chain(&error), "no Event");
            }
            Err(_) => tracing::warn!(about = name, reason, "no Event: no answer in time"),
        }
    }
}

/// What an Event is about.
pub fn about<K: Resource<DynamicType = ()>>(object: &K) -> ObjectReference {
    object.object_ref(&())
}
