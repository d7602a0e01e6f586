//! What follows for a host from everybody's word: maintenance in force, phase, Ready, labels,
//! operations. Pure, and level-triggered: it may be worked out at any moment and as often as
//! anybody likes, and working it out again from its own result changes nothing.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::condition::{self, AGENT_READY, DRAINED, IN_MAINTENANCE, IN_SERVICE, READY, condition};
use super::host::{
    AnsibleStatus, Hold, HoldMode, Host, HostStatus, MaintenanceStatus, Operation, Phase, RunState,
    ServiceState,
};
use super::row::CLOCK_SLACK;
use super::{change, labels};

mod operations;
pub mod rollup;

pub use operations::MAX_OPERATIONS;

/// How long before the end of a hold its holder is warned.
pub const WARNING: SignedDuration = SignedDuration::from_mins(15);
/// Slack for the clock of whoever writes a heartbeat.
pub const LEASE_SLACK: SignedDuration = SignedDuration::from_secs(10);
/// Says of a run that it was canceled in time.
pub const CANCELED: &str = "canceled before anybody began it";

/// What is looked at.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The host as it stands.
    pub host: &'a Host,
    /// Whether its agent's Lease is fresh; none: it has no Lease.
    pub agent: Option<bool>,
    /// What was decided about its certificate requests.
    pub decisions: &'a [Operation],
    /// The time now.
    pub now: Timestamp,
}

/// What the lifecycle controller says of a host: the full set of its fields.
#[derive(Clone, Debug, PartialEq)]
pub struct Derived {
    /// Labels that mirror spec.
    pub labels: BTreeMap<String, String>,
    /// Generation that was looked at.
    pub observed_generation: Option<i64>,
    /// One word for the whole.
    pub phase: Phase,
    /// Maintenance in force; none if the host was never held.
    pub maintenance: Option<MaintenanceStatus>,
    /// The ring of operations.
    pub operations: Vec<Operation>,
    /// Ready, `InService`, `InMaintenance`, `AgentReady`.
    pub conditions: Vec<Condition>,
}

impl Derived {
    /// Metadata, in the shape of an apply.
    pub fn main(&self) -> Value {
        json!({ "metadata": { "labels": self.labels } })
    }

    /// Status, in the shape of an apply.
    pub fn status(&self) -> Value {
        let mut status = Map::new();
        let mut set = |key: &str, value: Value| status.insert(key.to_owned(), value);
        set("phase", json!(self.phase));
        set("conditions", json!(self.conditions));
        if let Some(generation) = self.observed_generation {
            set("observedGeneration", json!(generation));
        }
        if let Some(maintenance) = &self.maintenance {
            set("maintenance", json!(maintenance));
        }
        if !self.operations.is_empty() {
            set("operations", json!(self.operations));
        }
        json!({ "status": status })
    }

    /// Puts it into a host, as an apply does on the server.
    pub fn put(&self, host: &mut Host) {
        let all = host.metadata.labels.get_or_insert_default();
        all.retain(|key, _| !MIRRORED.contains(&key.as_str()));
        all.extend(self.labels.clone());
        let status = host.status.get_or_insert_default();
        status.observed_generation = self.observed_generation;
        status.phase = Some(self.phase);
        status.maintenance.clone_from(&self.maintenance);
        status.operations.clone_from(&self.operations);
        let ours = [READY, IN_SERVICE, IN_MAINTENANCE, AGENT_READY];
        status.conditions.retain(|c| !ours.contains(&&*c.type_));
        status.conditions.extend(self.conditions.clone());
    }
}

/// Labels that mirror spec, maintenance in force among them.
pub const MIRRORED: [&str; 6] = [
    labels::CLUSTER,
    labels::ROLE,
    labels::TEAM,
    labels::ENVIRONMENT,
    labels::SERVICE_STATE,
    labels::MAINTENANCE,
];

/// What follows for the host.
pub fn derive(view: &View<'_>) -> Derived {
    let &View { host, agent, now, .. } = view;
    let nothing = HostStatus::default();
    let status = host.status.as_ref().unwrap_or(&nothing);
    let holds: Vec<(&str, &Hold)> = current(host, now).collect();
    let maintenance = maintenance(&holds, status);
    let (phase, ready, reason) = phase(host, status, agent, !holds.is_empty());
    let set = |type_, is, reason: &str, message: &str| {
        condition(condition::find(&status.conditions, type_), type_, is, reason, message, now)
    };
    let message = match reason {
        "Held" => maintenance
            .as_ref()
            .and_then(|m| m.holders.as_deref())
            .map(|holders| format!("held by {holders}"))
            .unwrap_or_default(),
        "AgentSilent" => "its agent does not renew its Lease".to_owned(),
        "NothingKnown" => "no source and no agent tells of it".to_owned(),
        _ => String::new(),
    };
    let mut conditions = vec![match ready {
        Some(ready) => set(READY, ready, reason, &message),
        None => unknown(condition::find(&status.conditions, READY), reason, &message, now),
    }];
    let (serves, reason) = service(host, phase, !holds.is_empty());
    conditions.push(set(IN_SERVICE, serves, reason, ""));
    // Of a host that was never held there is nothing to say.
    if !holds.is_empty() || condition::find(&status.conditions, IN_MAINTENANCE).is_some() {
        let reason = if holds.is_empty() { "NotHeld" } else { "Held" };
        conditions.push(set(IN_MAINTENANCE, !holds.is_empty(), reason, ""));
    }
    if let Some(fresh) = agent {
        let reason = if fresh { "LeaseFresh" } else { "LeaseExpired" };
        conditions.push(set(AGENT_READY, fresh, reason, ""));
    }
    Derived {
        labels: mirrored(host, !holds.is_empty()),
        observed_generation: host.metadata.generation,
        phase,
        maintenance,
        operations: operations::ring(view, status),
        conditions,
    }
}

/// The holds in force, by holder. A hold begins a little early, for clocks that differ.
pub fn current(host: &Host, now: Timestamp) -> impl Iterator<Item = (&str, &Hold)> {
    let holds = host.spec.maintenance.iter().map(|(holder, hold)| (holder.as_str(), hold));
    holds.filter(move |(_, hold)| begin(hold) <= now && now < hold.until.0)
}

/// The holds that ran out and are still there.
pub fn run_out(host: &Host, now: Timestamp) -> impl Iterator<Item = (&str, &Hold)> {
    let holds = host.spec.maintenance.iter().map(|(holder, hold)| (holder.as_str(), hold));
    holds.filter(move |(_, hold)| hold.until.0 <= now)
}

/// The holds that run out soon. One that is no longer than the warning time is left out: whoever
/// made it knows.
pub fn soon_over(host: &Host, now: Timestamp) -> impl Iterator<Item = (&str, &Hold)> {
    current(host, now).filter(move |(_, hold)| warned_at(hold).is_some_and(|at| at <= now))
}

/// When the holder is warned; none: not at all.
pub fn warned_at(hold: &Hold) -> Option<Timestamp> {
    let at = hold.until.0.saturating_sub(WARNING).ok()?;
    (at > hold.since.0).then_some(at)
}

/// When the clock alone changes something next.
pub fn due(host: &Host, now: Timestamp) -> Option<Timestamp> {
    let holds = host.spec.maintenance.values();
    let times = holds.flat_map(|hold| {
        [Some(begin(hold)), warned_at(hold), Some(hold.until.0)].into_iter().flatten()
    });
    times.filter(|at| *at > now).min()
}

/// The run that is to be written down as canceled: its cancellation came before anybody began it,
/// and nothing else is being run.
pub fn canceled(host: &Host, now: Timestamp) -> Option<AnsibleStatus> {
    let request = host.spec.ansible.as_ref().filter(|request| request.cancel)?;
    let last = host.status.as_ref().and_then(|status| status.ansible.as_ref());
    let free = last.is_none_or(|run| {
        run.state == RunState::Queued
            || run.state.is_final() && run.request_id != request.request_id
    });
    free.then(|| AnsibleStatus {
        finished_at: Some(Time(now)),
        message: Some(CANCELED.to_owned()),
        ..AnsibleStatus::new(&request.request_id, RunState::Canceled)
    })
}

/// The merge patch of status that says so, and leaves nothing of the run before.
pub fn canceled_patch(host: &Host, run: &AnsibleStatus) -> Value {
    let old = host.status.as_ref().and_then(|status| status.ansible.as_ref());
    let value = |run: Option<&AnsibleStatus>| serde_json::to_value(run).unwrap_or_default();
    json!({ "status": { "ansible": change::replacing(&value(old), value(Some(run))) } })
}

fn begin(hold: &Hold) -> Timestamp {
    hold.since.0.saturating_sub(CLOCK_SLACK).unwrap_or(Timestamp::MIN)
}

fn maintenance(holds: &[(&str, &Hold)], status: &HostStatus) -> Option<MaintenanceStatus> {
    if holds.is_empty() {
        let over = MaintenanceStatus {
            active: false,
            holders: None,
            since: None,
            until: None,
            drained: None,
        };
        return status.maintenance.is_some().then_some(over);
    }
    let drain = holds.iter().any(|(_, hold)| hold.mode == HoldMode::Drain);
    let drained = condition::find(&status.conditions, DRAINED)
        .is_some_and(|drained| drained.status == condition::TRUE);
    let names: Vec<&str> = holds.iter().map(|(holder, _)| *holder).collect();
    Some(MaintenanceStatus {
        active: true,
        holders: Some(names.join(",")),
        since: holds.iter().map(|(_, hold)| hold.since.clone()).min(),
        until: holds.iter().map(|(_, hold)| hold.until.clone()).max(),
        drained: drain.then_some(drained),
    })
}

/// One word for the host, whether it is ready, and why. Whether its last run succeeded and its
/// operating system is the newest says how it is made, not whether it serves.
fn phase(
    host: &Host,
    status: &HostStatus,
    agent: Option<bool>,
    held: bool,
) -> (Phase, Option<bool>, &'static str) {
    const NO: Option<bool> = Some(false);
    if host.metadata.deletion_timestamp.is_some() {
        return (Phase::Decommissioning, NO, "Deleting");
    }
    if held {
        return (Phase::Maintenance, NO, "Held");
    }
    let impaired = || {
        condition::find(&status.conditions, condition::PROVIDER_HEALTHY)
            .is_some_and(|healthy| healthy.status == condition::FALSE)
    };
    match provider_state(status) {
        None if host.spec.provider_id.is_none() && agent.is_none() => {
            (Phase::Planned, NO, "NotBuilt")
        }
        Some(Phase::Planned) => (Phase::Planned, NO, "NotBuilt"),
        Some(Phase::Pending) => (Phase::Pending, NO, "Starting"),
        Some(Phase::Stopped) => (Phase::Stopped, NO, "Stopped"),
        Some(Phase::Maintenance) => (Phase::Maintenance, NO, "ProviderMaintenance"),
        Some(Phase::Missing) => (Phase::Missing, NO, "NotListed"),
        Some(Phase::Gone) => (Phase::Gone, NO, "Gone"),
        _ if agent == Some(false) => (Phase::Unreachable, NO, "AgentSilent"),
        state if state == Some(Phase::Running) || agent == Some(true) => {
            if impaired() {
                (Phase::Running, NO, "ProviderImpaired")
            } else {
                (Phase::Running, Some(true), "AllFine")
            }
        }
        _ => (Phase::Unknown, None, "NothingKnown"),
    }
}

/// Whether the host takes part in service, as people want it, and why not. Whether it could is Ready.
fn service(host: &Host, phase: Phase, held: bool) -> (bool, &'static str) {
    if host.metadata.deletion_timestamp.is_some() {
        return (false, "Deleting");
    }
    match (host.spec.service_state, phase) {
        (ServiceState::Retired, _) => (false, "Retired"),
        (_, Phase::Gone) => (false, "Gone"),
        (ServiceState::Quarantined, _) => (false, "Quarantined"),
        (ServiceState::OutOfService, _) => (false, "OutOfService"),
        _ if held => (false, "Held"),
        (_, Phase::Planned) => (false, "NotBuilt"),
        _ => (true, "InService"),
    }
}

/// What the sources say together: who lists the machine knows more than who does not, and of those
/// the one that has something against its running.
fn provider_state(status: &HostStatus) -> Option<Phase> {
    const ORDER: [Phase; 7] = [
        Phase::Stopped,
        Phase::Pending,
        Phase::Maintenance,
        Phase::Running,
        Phase::Planned,
        Phase::Missing,
        Phase::Gone,
    ];
    let said = || status.sources.values().map(|facts| facts.state);
    let known = ORDER.into_iter().find(|state| said().any(|s| s == *state));
    known.or_else(|| said().next())
}

fn unknown(old: Option<&Condition>, reason: &str, message: &str, now: Timestamp) -> Condition {
    const UNKNOWN: &str = "Unknown";
    let since = old.filter(|c| c.status == UNKNOWN).map(|c| c.last_transition_time.clone());
    Condition {
        type_: READY.to_owned(),
        status: UNKNOWN.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        last_transition_time: since.unwrap_or(Time(now)),
        observed_generation: None,
    }
}

fn mirrored(host: &Host, held: bool) -> BTreeMap<String, String> {
    let spec = &host.spec;
    let state = match spec.service_state {
        ServiceState::InService => "InService",
        ServiceState::OutOfService => "OutOfService",
        ServiceState::Quarantined => "Quarantined",
        ServiceState::Retired => "Retired",
    };
    let values = [
        (labels::CLUSTER, spec.cluster.as_deref()),
        (labels::ROLE, spec.role.as_deref()),
        (labels::TEAM, spec.team.as_deref()),
        (labels::ENVIRONMENT, spec.environment.as_deref()),
        (labels::SERVICE_STATE, Some(state)),
        (labels::MAINTENANCE, held.then_some("true")),
    ];
    let given = values.into_iter().filter_map(|(key, value)| {
        let value = value.filter(|value| !value.is_empty())?;
        Some((key.to_owned(), labels::to_label_value(value)))
    });
    given.collect()
}

#[cfg(test)]
mod tests;
