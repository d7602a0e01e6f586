//! The ring of operations: what was done to a host, copied from what stands there. Each entry has
//! an id that follows from what it tells, so that nothing is told twice, whoever restarts.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::{View, current};
use crate::model::host::{Host, HostStatus, Operation, RunState};
use crate::model::labels::short_hash;

/// Operations that are kept.
pub const MAX_OPERATIONS: usize = 10;
const ON: &str = "on-";
const OFF: &str = "off-";
const UNTIL: &str = "until ";

/// The ring as it should be: what is in it and what has come, the newest ten. The order is total,
/// so what was once too old for it stays out.
pub(super) fn ring(view: &View<'_>, status: &HostStatus) -> Vec<Operation> {
    let mut all: BTreeMap<String, Operation> =
        status.operations.iter().map(|o| (o.id.clone(), o.clone())).collect();
    // Of two with one id the newer counts: else the older one, falling out of the ring, would let
    // the newer one in a moment later.
    let mut known = |operation: Operation| {
        if all.get(&operation.id).is_none_or(|old| old.at < operation.at) {
            all.insert(operation.id.clone(), operation);
        }
    };
    view.decisions.iter().cloned().for_each(&mut known);
    run(view.host, status).into_iter().for_each(&mut known);
    holds(view, &mut all);
    let mut ring: Vec<Operation> = all.into_values().collect();
    ring.sort_by(|a, b| order(a).cmp(&order(b)));
    ring.drain(..ring.len().saturating_sub(MAX_OPERATIONS));
    ring
}

/// Oldest first. The end of a hold is never older than its begin.
fn order(operation: &Operation) -> (Timestamp, bool, &str) {
    (operation.at.0, operation.id.starts_with(OFF), &operation.id)
}

/// Begin and end of holds. An entry of a begin says until when, and follows a hold that is made
/// longer; when its hold is no longer there, that says whether it ran out or was ended.
fn holds(view: &View<'_>, all: &mut BTreeMap<String, Operation>) {
    let mut held = Vec::new();
    for (holder, hold) in current(view.host, view.now) {
        let key = key(holder, hold.since.0);
        let on = Operation {
            id: format!("{ON}{key}"),
            verb: "maintenance-on".to_owned(),
            by: holder.to_owned(),
            at: hold.since.clone(),
            reason: Some(hold.reason.chars().take(256).collect()),
            result: Some(format!("{UNTIL}{}", hold.until.0)),
        };
        all.insert(on.id.clone(), on);
        held.push(key);
    }
    let ended: Vec<Operation> = all
        .values()
        .filter_map(|on| {
            let key = on.id.strip_prefix(ON).filter(|_| on.verb == "maintenance-on")?;
            let id = format!("{OFF}{key}");
            if held.iter().any(|held| held == key) || all.contains_key(&id) {
                return None;
            }
            let until: Option<Timestamp> =
                on.result.as_deref().and_then(|r| r.strip_prefix(UNTIL)?.parse().ok());
            let (at, result) = match until.filter(|until| *until <= view.now) {
                Some(until) => (until, "ran out"),
                None => (view.now.max(on.at.0), "ended"),
            };
            Some(Operation {
                id,
                verb: "maintenance-off".to_owned(),
                by: on.by.clone(),
                at: Time(at),
                reason: None,
                result: Some(result.to_owned()),
            })
        })
        .collect();
    all.extend(ended.into_iter().map(|operation| (operation.id.clone(), operation)));
}

/// Holder and begin, short enough for an id.
fn key(holder: &str, since: Timestamp) -> String {
    format!("{}-{}", shortened(holder, 48), since.as_second())
}

/// The text, or its begin and ten characters of the hash of the whole.
fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let begin: String = text.chars().take(most.saturating_sub(11)).collect();
    format!("{begin}-{}", short_hash(text))
}

/// The last run, once it has ended. One that does not say when is left out: it could not find its
/// place twice.
fn run(host: &Host, status: &HostStatus) -> Option<Operation> {
    let run = status.ansible.as_ref().filter(|run| run.state.is_final())?;
    let at = run.finished_at.clone().or_else(|| run.started_at.clone())?;
    let request = host.spec.ansible.as_ref().filter(|r| r.request_id == run.request_id);
    let word = match run.state {
        RunState::Succeeded => "succeeded",
        RunState::Failed => "failed",
        RunState::Canceled => "canceled",
        RunState::Queued | RunState::Running | RunState::Unknown => "unknown",
    };
    let message = run.message.as_deref().filter(|_| run.state != RunState::Succeeded);
    let result = message.map_or_else(|| word.to_owned(), |why| format!("{word}: {why}"));
    Some(Operation {
        id: run.request_id.clone(),
        verb: "ansible".to_owned(),
        by: request.and_then(|r| r.requested_by.clone()).unwrap_or_default(),
        at,
        reason: request.and_then(|r| r.reason.clone().or_else(|| Some(r.playbook.clone()))),
        result: Some(result.chars().take(256).collect()),
    })
}
