//! How an order is written down, in the journal and as Events.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::{Actor, Order, Outcome};
use crate::error::chain;
use crate::journal::{Entry, Part, Target};
use crate::model::change::{Change, HoldChange, RunChange};
use crate::model::host::{AnsibleRequest, Host};
use crate::model::policy::Verb;
use crate::store::event::{Kind, about};

/// Writes a line of an order into the journal. A journal that cannot be written is told in the log
/// and stops nobody: the act itself is the server's to record.
pub(super) async fn write(actor: &Actor, entry: Entry) {
    let Some(journal) = actor.journal.clone() else { return };
    let written = tokio::task::spawn_blocking(move || journal.append(&[entry])).await;
    if let Ok(Err(error)) = written {
        tracing::warn!(error = chain(&error), "the journal is not written");
    }
}

/// The line that tells one part of an order.
pub(super) fn entry(actor: &Actor, order: &Order, part: Part, targets: Vec<Target>) -> Entry {
    Entry {
        at: (actor.clock)(),
        id: order.id.clone(),
        part,
        context: actor.connection.context.clone(),
        server: actor.connection.server.clone(),
        user: actor.user.clone(),
        verb: order.verb.as_str().to_owned(),
        reason: order.reason.clone(),
        ticket: order.ticket.clone(),
        overrides: order.overrides,
        targets,
        ended: None,
    }
}

/// What is wanted of one host.
pub(super) fn wanted(change: &Change) -> Target {
    let (before, after) = match change {
        Change::Hold(HoldChange { old, new, .. }) => (
            old.as_ref().and_then(|hold| serde_json::to_value(hold).ok()),
            new.as_ref().and_then(|hold| serde_json::to_value(hold).ok()),
        ),
        Change::Run(RunChange { old, new, .. }) => (old.as_ref().map(request), Some(request(new))),
        Change::Labels(change) => {
            let side = |new: bool| -> Value {
                let value = |(key, (before, after)): (&String, &(_, _))| {
                    (key.clone(), json!(if new { after } else { before }))
                };
                Value::Object(change.labels.iter().map(value).collect())
            };
            (Some(side(false)), Some(side(true)))
        }
    };
    let target = change.target();
    Target {
        namespace: target.namespace.clone(),
        name: target.name.clone(),
        before,
        after,
        ..Target::default()
    }
}

/// A request without the values of its variables: they may be secrets.
fn request(request: &AnsibleRequest) -> Value {
    json!({
        "requestID": request.request_id,
        "playbook": request.playbook,
        "revision": request.revision,
        "tags": request.tags,
        "check": request.check,
        "extraVars": request.extra_vars.keys().collect::<Vec<_>>(),
        "cancel": request.cancel,
    })
}

/// What came of one host.
pub(super) fn result(change: &Change, outcome: &Outcome) -> Target {
    let detail = match outcome {
        Outcome::Done(_) | Outcome::Gone => None,
        Outcome::Conflict(_) => Some("somebody else changed it first".to_owned()),
        Outcome::Denied(why) | Outcome::Failed(why) | Outcome::NotTried(why) => Some(why.clone()),
    };
    Target { result: Some(outcome.as_str().to_owned()), detail, ..wanted(change) }
}

/// What a change is by itself, whatever the order is called.
pub(super) fn verb(change: &Change) -> Verb {
    match change {
        Change::Hold(HoldChange { new: Some(_), .. }) => Verb::MaintenanceOn,
        Change::Hold(HoldChange { new: None, .. }) => Verb::MaintenanceOff,
        Change::Run(RunChange { new, .. }) if new.cancel => Verb::CancelRun,
        Change::Run(_) => Verb::Run,
        Change::Labels(_) => Verb::Label,
    }
}

/// What a person passed by, and what it said.
#[derive(Clone, Debug)]
pub(super) enum Passed {
    /// A cluster's budget.
    Budget(String),
    /// Checks that failed.
    Checks(String),
}

/// Tells a change on the host, and what was passed by, if anything was.
pub(super) async fn tell(
    actor: &Actor,
    order: &Order,
    change: &Change,
    host: &Host,
    over: Option<&Passed>,
) {
    let (reason, action, what) = match change {
        Change::Hold(HoldChange { old, new: Some(hold), holder, .. }) => {
            let changed = old.is_some();
            (
                if changed { "MaintenanceChanged" } else { "MaintenanceStarted" },
                "Hold",
                format!("{holder} holds it until {}: {}", whole(hold.until.0), hold.reason),
            )
        }
        Change::Hold(HoldChange { holder, .. }) => {
            ("MaintenanceEnded", "Release", format!("the hold of {holder} ended"))
        }
        Change::Run(RunChange { new, .. }) if new.cancel => {
            ("RunCanceled", "Cancel", format!("run {} is not wanted any more", new.request_id))
        }
        Change::Run(RunChange { new, .. }) => {
            ("RunRequested", "Run", format!("run {} of {}", new.request_id, new.playbook))
        }
        Change::Labels(change) => ("LabelsChanged", "Label", change.words()),
    };
    let by = format!("by {} ({}, {})", actor.user, order.reason, order.id);
    let about = about(host);
    actor.events.tell(&about, Kind::Normal, reason, action, &format!("{what}; {by}")).await;
    if let Some(over) = over {
        let (reason, why) = match over {
            Passed::Budget(why) => ("OverBudget", why),
            Passed::Checks(why) => ("ChecksOverridden", why),
        };
        let note = format!("done all the same: {why}; {by}");
        actor.events.tell(&about, Kind::Warning, reason, action, &note).await;
    }
}

fn whole(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}
