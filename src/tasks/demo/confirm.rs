//! What the agent on a host makes of it: pure functions of the object and the time, so that they may
//! run at any moment and as often as anybody likes. The rest is the lifecycle controller's.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::model::condition::{self, condition};
use crate::model::host::{AnsibleStatus, HoldMode, Host, HostStatus, Phase, RunState};
use crate::model::lifecycle;

/// How long an agent takes to notice.
const REACTION: SignedDuration = SignedDuration::from_secs(1);
/// How long it takes to get the work off a host.
const DRAIN: SignedDuration = SignedDuration::from_secs(4);
/// How long a run takes, and how many tasks it has.
const RUN_SECONDS: i64 = 8;
const TASKS: i64 = 42;
/// What they are called.
const TASK_NAMES: [&str; 6] = [
    "Gathering Facts",
    "base : users",
    "base : sshd",
    "packages : install",
    "ntp : configure",
    "monitoring : agent",
];

/// When the agent has to act, unless the host changes before. None: not until it changes.
pub(super) fn due(host: &Host, now: Timestamp) -> Option<Timestamp> {
    let mut after = host.clone();
    agent(&mut after, now);
    if after.status != host.status || running(host.status.as_ref()) {
        return now.saturating_add(REACTION).ok();
    }
    drained_at(host, host.status.as_ref()?, now).filter(|at| *at > now)
}

/// Takes the work off a host that is held for it, and puts it back afterwards.
fn drain(host: &Host, status: &mut HostStatus, now: Timestamp) {
    let held = wants_drain(host, now);
    let drained = condition::find(&status.conditions, condition::DRAINED)
        .is_some_and(|drained| drained.status == condition::TRUE);
    if held && !drained && drained_at(host, status, now).is_some_and(|at| at <= now) {
        set(&mut status.conditions, condition::DRAINED, true, "Drained", now);
    } else if !held && drained {
        set(&mut status.conditions, condition::DRAINED, false, "InService", now);
    }
}

fn wants_drain(host: &Host, now: Timestamp) -> bool {
    lifecycle::current(host, now).any(|(_, hold)| hold.mode == HoldMode::Drain)
}

/// When the work is off the host, from the moment at which its maintenance was confirmed.
fn drained_at(host: &Host, status: &HostStatus, now: Timestamp) -> Option<Timestamp> {
    let since = condition::find(&status.conditions, condition::IN_MAINTENANCE)
        .filter(|since| since.status == condition::TRUE && wants_drain(host, now))?;
    since.last_transition_time.0.saturating_add(DRAIN).ok()
}

/// Whether the agent answers and its host runs.
fn agent_up(status: &HostStatus) -> bool {
    let silent = is_false(status, condition::AGENT_READY);
    !silent && status.sources.values().any(|facts| facts.state == Phase::Running)
}

fn is_false(status: &HostStatus, type_: &str) -> bool {
    condition::find(&status.conditions, type_).is_some_and(|c| c.status == condition::FALSE)
}

/// Does what is asked of the agent: drains, and one Ansible run at a time, queued, running, done.
pub(super) fn agent(host: &mut Host, now: Timestamp) {
    let Some(mut status) = host.status.take() else { return };
    if agent_up(&status) && !host.spec.paused {
        drain(host, &mut status, now);
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
            // What is canceled before it begins is the controller's to write down.
            let Some(request) = request.filter(|request| !request.cancel) else { return };
            let mine = last.as_ref().filter(|run| run.request_id == request.request_id);
            let state = match mine.map(|run| run.state) {
                None => RunState::Queued,
                Some(RunState::Queued) => RunState::Running,
                Some(_) => return, // the same id never runs twice
            };
            let began = state == RunState::Running;
            *last = Some(AnsibleStatus {
                started_at: began.then_some(Time(now)),
                ok: began.then_some(0),
                changed: began.then_some(0),
                failed: began.then_some(0),
                unreachable: began.then_some(0),
                revision: request.revision.clone().or_else(|| Some("4f2c1d9".to_owned())),
                executor: Some("agent".to_owned()),
                ..AnsibleStatus::new(&request.request_id, state)
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
    let task = |number: i64| {
        let number = usize::try_from(number).unwrap_or(0) % TASK_NAMES.len();
        TASK_NAMES.get(number).copied().unwrap_or_default()
    };
    run.task = Some(task(tasks).to_owned());
    let last = (tasks - 2).max(0)..=tasks;
    let lines: Vec<String> =
        last.map(|n| format!("TASK [{}] ***\nok: [{host}]", task(n))).collect();
    run.tail = Some(lines.join("\n"));
    let ended = |run: &mut AnsibleStatus, state, rc, tail: Option<String>| {
        run.state = state;
        run.rc = Some(rc);
        run.finished_at = Some(Time(now));
        run.failed = Some(i32::from(state == RunState::Failed));
        run.tail = tail;
    };
    if timeout.is_some_and(|limit| seconds >= limit.into() && seconds < RUN_SECONDS) {
        run.message = Some("it took longer than timeoutSeconds".to_owned());
        let tail = "the run was ended: it took longer than timeoutSeconds";
        ended(run, RunState::Failed, 99, Some(tail.to_owned()));
    } else if fails && seconds > RUN_SECONDS / 2 {
        let tail = format!(
            "TASK [packages : install] ***\nfatal: [{host}]: FAILED! => no space left on device"
        );
        run.task = Some("packages : install".to_owned());
        run.message = Some("1 task failed".to_owned());
        ended(run, RunState::Failed, 2, Some(tail));
    } else if seconds == RUN_SECONDS {
        let tail = format!("PLAY RECAP ***\n{host} : ok={TASKS} failed=0");
        run.task = None;
        ended(run, RunState::Succeeded, 0, Some(tail));
    }
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
