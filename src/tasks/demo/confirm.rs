//! What the lifecycle controller and the agent on a host make of it: pure functions of the object
//! and the time, so that they may run at any moment and as often as anybody likes.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::model::condition::{self, condition};
use crate::model::host::{
    AnsibleStatus, Hold, HoldMode, Host, HostStatus, MaintenanceStatus, Operation, Phase, RunState,
};
use crate::model::row::CLOCK_SLACK;

/// How long a controller or an agent takes to notice.
const REACTION: SignedDuration = SignedDuration::from_secs(1);
/// How long it takes to get the work off a host.
const DRAIN: SignedDuration = SignedDuration::from_secs(4);
/// How long a run takes, and how many tasks it has.
const RUN_SECONDS: i64 = 8;
const TASKS: i64 = 42;
/// Operations that are kept.
const OPERATIONS: usize = 10;

/// When somebody has to act on the host, unless it changes before. None: not until it changes.
pub(super) fn due(host: &Host, now: Timestamp) -> Option<Timestamp> {
    let mut after = host.clone();
    lifecycle(&mut after, now);
    agent(&mut after, now);
    let soon = now.saturating_add(REACTION).ok();
    if after.status != host.status || running(host.status.as_ref()) {
        return soon;
    }
    let holds = host.spec.maintenance.values();
    let bounds = holds.flat_map(|hold| [begin(hold), hold.until.0]).chain(drained_at(host));
    bounds.filter(|at| *at > now).min()
}

/// Derives what follows from everybody else's word: maintenance in force, phase, Ready.
pub(super) fn lifecycle(host: &mut Host, now: Timestamp) {
    let mut status = host.status.take().unwrap_or_default();
    status.observed_generation = host.metadata.generation;
    maintenance(host, &mut status, now);
    keep_run(host, &mut status);
    let held = status.maintenance.as_ref().is_some_and(|m| m.active);
    let (phase, reason) = phase(host, &status, held);
    status.phase = Some(phase);
    let ready = reason == "AllFine";
    if condition::find(&status.conditions, condition::READY)
        .is_none_or(|old| (old.status == condition::TRUE) != ready || old.reason != reason)
    {
        set(&mut status.conditions, condition::READY, ready, reason, now);
    }
    host.status = Some(status);
}

fn begin(hold: &Hold) -> Timestamp {
    hold.since.0.saturating_sub(CLOCK_SLACK).unwrap_or(Timestamp::MIN)
}

fn maintenance(host: &Host, status: &mut HostStatus, now: Timestamp) {
    let current: Vec<(&String, &Hold)> = host
        .spec
        .maintenance
        .iter()
        .filter(|(_, hold)| begin(hold) <= now && now < hold.until.0)
        .collect();
    let before = status.maintenance.clone().filter(|m| m.active);
    let names = || current.iter().map(|(holder, _)| holder.as_str()).collect::<Vec<_>>().join(",");
    let Some((_, first)) = current.first() else {
        if let Some(before) = before {
            status.maintenance = Some(MaintenanceStatus {
                active: false,
                holders: None,
                since: None,
                until: None,
                drained: None,
            });
            set(&mut status.conditions, condition::IN_MAINTENANCE, false, "NotHeld", now);
            keep(
                status,
                "maintenance-off",
                before.holders.as_deref().unwrap_or_default(),
                None,
                now,
            );
        }
        return;
    };
    let drain = current.iter().any(|(_, hold)| hold.mode == HoldMode::Drain);
    if before.is_none() {
        set(&mut status.conditions, condition::IN_MAINTENANCE, true, "Held", now);
        keep(status, "maintenance-on", &names(), Some(first.reason.clone()), now);
    }
    let drained = before.as_ref().is_some_and(|m| m.drained == Some(true))
        || before.is_some() && agent_up(status) && drain_done(status).is_some_and(|at| at <= now);
    status.maintenance = Some(MaintenanceStatus {
        active: true,
        holders: Some(names()),
        since: current.iter().map(|(_, hold)| hold.since.clone()).min(),
        until: current.iter().map(|(_, hold)| hold.until.clone()).max(),
        drained: drain.then_some(drained),
    });
}

/// When the work is off the host, from the moment at which its maintenance was confirmed.
fn drain_done(status: &HostStatus) -> Option<Timestamp> {
    let since = condition::find(&status.conditions, condition::IN_MAINTENANCE)?;
    since.last_transition_time.0.saturating_add(DRAIN).ok()
}

fn drained_at(host: &Host) -> Option<Timestamp> {
    let status = host.status.as_ref()?;
    let waiting = status.maintenance.as_ref().is_some_and(|m| m.drained == Some(false));
    drain_done(status).filter(|_| waiting)
}

/// Whether the agent answers and its host runs.
fn agent_up(status: &HostStatus) -> bool {
    let silent = is_false(status, condition::AGENT_READY);
    !silent && status.sources.values().any(|facts| facts.state == Phase::Running)
}

fn is_false(status: &HostStatus, type_: &str) -> bool {
    condition::find(&status.conditions, type_).is_some_and(|c| c.status == condition::FALSE)
}

/// One word for the host, and why it is ready or not.
fn phase(host: &Host, status: &HostStatus, held: bool) -> (Phase, &'static str) {
    let state = status.sources.values().next().map(|facts| facts.state);
    if host.metadata.deletion_timestamp.is_some() {
        return (Phase::Decommissioning, "Deleting");
    }
    if held {
        return (Phase::Maintenance, "Held");
    }
    match state {
        None if host.spec.provider_id.is_none() => (Phase::Planned, "NotBuilt"),
        Some(Phase::Planned) => (Phase::Planned, "NotBuilt"),
        Some(Phase::Pending) => (Phase::Pending, "Starting"),
        Some(Phase::Stopped) => (Phase::Stopped, "Stopped"),
        Some(Phase::Missing) => (Phase::Missing, "NotListed"),
        Some(Phase::Running) if is_false(status, condition::AGENT_READY) => {
            (Phase::Unreachable, "AgentSilent")
        }
        Some(Phase::Running) if is_false(status, condition::PROVIDER_HEALTHY) => {
            (Phase::Running, "ProviderImpaired")
        }
        Some(Phase::Running) => (Phase::Running, "AllFine"),
        _ => (Phase::Unknown, "NothingKnown"),
    }
}

/// Does what is asked of the agent: one Ansible run at a time, queued, running, done.
pub(super) fn agent(host: &mut Host, now: Timestamp) {
    let Some(mut status) = host.status.take() else { return };
    if agent_up(&status) && !host.spec.paused {
        run(host, &mut status, now);
    }
    host.status = Some(status);
}

fn running(status: Option<&HostStatus>) -> bool {
    let run = status.and_then(|status| status.ansible.as_ref());
    run.is_some_and(|run| run.state == RunState::Running) && status.is_some_and(agent_up)
}

fn run(host: &Host, status: &mut HostStatus, now: Timestamp) {
    let request = host.spec.ansible.as_ref();
    match &mut status.ansible {
        // What runs is finished first, whatever else has been asked for since.
        Some(run) if run.state == RunState::Running => {
            let timeout = request
                .filter(|request| request.request_id == run.request_id)
                .and_then(|request| request.timeout_seconds);
            progress(run, host.metadata.name.as_deref().unwrap_or_default(), timeout, now);
            let done = match run.state {
                RunState::Succeeded => Some((true, "RunSucceeded")),
                RunState::Failed => Some((false, "RunFailed")),
                _ => None,
            };
            if let Some((fine, reason)) = done {
                set(&mut status.conditions, condition::CONVERGED, fine, reason, now);
            }
        }
        last => {
            let Some(request) = request else { return };
            let mine = last.as_ref().filter(|run| run.request_id == request.request_id);
            let state = match mine.map(|run| run.state) {
                None => RunState::Queued,
                Some(RunState::Queued) => RunState::Running,
                Some(_) => return, // the same id never runs twice
            };
            let began = state == RunState::Running;
            *last = Some(AnsibleStatus {
                request_id: request.request_id.clone(),
                state,
                started_at: began.then_some(Time(now)),
                finished_at: None,
                rc: None,
                ok: began.then_some(0),
                changed: began.then_some(0),
                failed: began.then_some(0),
                unreachable: began.then_some(0),
                revision: request.revision.clone().or_else(|| Some("4f2c1d9".to_owned())),
                executor: Some("agent".to_owned()),
                task: None,
                message: None,
                tail: None,
            });
        }
    }
}

/// Brings a run as far as it is by now.
fn progress(run: &mut AnsibleStatus, host: &str, timeout: Option<i32>, now: Timestamp) {
    let began = run.started_at.as_ref().map_or(now, |at| at.0);
    let seconds = (now.as_second() - began.as_second()).clamp(0, RUN_SECONDS);
    // Some runs fail, and the same request on the same host always does.
    let sum = host.bytes().chain(run.request_id.bytes());
    let fails = sum.fold(0_u32, |sum, b| sum.wrapping_mul(31).wrapping_add(b.into())) % 6 == 0;
    let tasks = seconds * TASKS / RUN_SECONDS;
    let count = |number: i64| i32::try_from(number).ok();
    run.ok = count(tasks);
    run.changed = count(tasks / 9);
    let ended = |run: &mut AnsibleStatus, state, rc, tail: Option<String>| {
        run.state = state;
        run.rc = Some(rc);
        run.finished_at = Some(Time(now));
        run.failed = Some(i32::from(state == RunState::Failed));
        run.tail = tail;
    };
    if timeout.is_some_and(|limit| seconds >= limit.into() && seconds < RUN_SECONDS) {
        let tail = "the run was ended: it took longer than timeoutSeconds";
        ended(run, RunState::Failed, 99, Some(tail.to_owned()));
    } else if fails && seconds > RUN_SECONDS / 2 {
        let tail = format!(
            "TASK [packages : install] ***\nfatal: [{host}]: FAILED! => no space left on device"
        );
        ended(run, RunState::Failed, 2, Some(tail));
    } else if seconds == RUN_SECONDS {
        ended(run, RunState::Succeeded, 0, None);
    }
}

/// Keeps a run that was asked for and has ended among the operations.
fn keep_run(host: &Host, status: &mut HostStatus) {
    let Some(request) = &host.spec.ansible else { return };
    let Some(run) = status.ansible.as_ref().filter(|run| run.request_id == request.request_id)
    else {
        return;
    };
    let Some(at) = run.finished_at.clone() else { return };
    if status.operations.iter().any(|operation| operation.id == run.request_id) {
        return;
    }
    let result = if run.state == RunState::Succeeded { "succeeded" } else { "failed" };
    let operation = Operation {
        id: run.request_id.clone(),
        verb: "ansible".to_owned(),
        by: request.requested_by.clone().unwrap_or_default(),
        at,
        reason: request.reason.clone(),
        result: Some(result.to_owned()),
    };
    push(&mut status.operations, operation);
}

fn keep(status: &mut HostStatus, verb: &str, by: &str, reason: Option<String>, now: Timestamp) {
    let operation = Operation {
        id: format!("{verb}-{}", now.as_second()),
        verb: verb.to_owned(),
        by: by.chars().take(256).collect(),
        at: Time(now),
        reason,
        result: Some("confirmed".to_owned()),
    };
    push(&mut status.operations, operation);
}

fn push(operations: &mut Vec<Operation>, operation: Operation) {
    operations.push(operation);
    let over = operations.len().saturating_sub(OPERATIONS);
    operations.drain(..over);
}

/// Sets a condition in its place.
pub(super) fn set(
    conditions: &mut Vec<Condition>,
    type_: &str,
    status: bool,
    reason: &str,
    now: Timestamp,
) {
    match conditions.iter_mut().find(|condition| condition.type_ == type_) {
        Some(old) => *old = condition(Some(old), type_, status, reason, "", now),
        None => conditions.push(condition(None, type_, status, reason, "", now)),
    }
}

#[cfg(test)]
mod tests;
