//! What is said of clusters and regions: how many hosts, how they are, and how the budget stands.

use std::ops::{AddAssign, SubAssign};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::model::budget::Budget;
use crate::model::change;
use crate::model::cluster::{Cluster, ClusterStatus};
use crate::model::condition::{
    self, AVAILABLE, BUDGET_BYPASSED, BUDGET_EXHAUSTED, READY, condition,
};
use crate::model::host::{Host, Phase};
use crate::model::region::RegionStatus;

/// Hosts that a message names, at most.
const NAMED: usize = 20;

/// Hosts of a place, and how they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All of them.
    pub hosts: i32,
    /// Ready.
    pub ready: i32,
    /// In maintenance.
    pub maintenance: i32,
    /// Do not answer.
    pub unreachable: i32,
    /// No longer listed by their provider.
    pub missing: i32,
}

impl Counts {
    /// What one host adds.
    pub fn of(host: &Host) -> Self {
        let status = host.status.as_ref();
        let is = |phase| i32::from(status.is_some_and(|status| status.phase == Some(phase)));
        let ready = status
            .and_then(|status| condition::find(&status.conditions, READY))
            .is_some_and(|ready| ready.status == condition::TRUE);
        let held = status.and_then(|s| s.maintenance.as_ref()).is_some_and(|m| m.active);
        Self {
            hosts: 1,
            ready: ready.into(),
            maintenance: held.into(),
            unreachable: is(Phase::Unreachable),
            missing: is(Phase::Missing),
        }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.hosts += other.hosts;
        self.ready += other.ready;
        self.maintenance += other.maintenance;
        self.unreachable += other.unreachable;
        self.missing += other.missing;
    }
}

impl SubAssign for Counts {
    fn sub_assign(&mut self, other: Self) {
        self.hosts -= other.hosts;
        self.ready -= other.ready;
        self.maintenance -= other.maintenance;
        self.unreachable -= other.unreachable;
        self.missing -= other.missing;
    }
}

/// The status of a cluster with these counts and this budget. `updated`: its hosts that run the
/// operating system wanted of them, if the cluster wants one. What others have written stays.
pub fn cluster_status(
    cluster: &Cluster,
    counts: Counts,
    updated: Option<i32>,
    budget: &Budget,
    now: Timestamp,
) -> ClusterStatus {
    let mut status = cluster.status.clone().unwrap_or_default();
    let left = budget.left();
    status.hosts = Some(counts.hosts);
    status.ready = Some(counts.ready);
    status.maintenance = Some(counts.maintenance);
    status.unreachable = Some(counts.unreachable);
    status.missing = Some(counts.missing);
    status.updated = updated;
    status.disruptions_allowed = Some(number(left));
    status.current_healthy = Some(number(budget.current_healthy()));
    status.desired_healthy = Some(number(budget.desired_healthy()));
    status.disrupted = budget.disrupted();
    let away = format!(
        "{} of {} hosts are away, {} may be",
        budget.away.len(),
        budget.total,
        budget.max_unavailable
    );
    let enough = budget.current_healthy() >= budget.desired_healthy();
    let reason = if enough { "EnoughHosts" } else { "TooManyAway" };
    set(&mut status.conditions, AVAILABLE, enough, reason, if enough { "" } else { &away }, now);
    let out = left == 0 && budget.total > 0;
    let (reason, message) =
        if out { ("NoSlotLeft", away.as_str()) } else { ("SlotsLeft", "") };
    set(&mut status.conditions, BUDGET_EXHAUSTED, out, reason, message, now);
    let past = bypassed(budget);
    let reason = if past.is_some() { "HeldWithoutAsking" } else { "NobodyBypassed" };
    let message = past.as_deref().unwrap_or_default();
    set(&mut status.conditions, BUDGET_BYPASSED, past.is_some(), reason, message, now);
    status
}

/// Which hosts are held although nobody asked the budget for them; none: there are no such hosts.
fn bypassed(budget: &Budget) -> Option<String> {
    let all = &budget.bypassed;
    if all.is_empty() {
        return None;
    }
    let named = all.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = all.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Some(format!("held without a slot of the budget: {named}{more}"))
}

/// The status of a region with these counts. What others have written stays.
pub fn region_status(old: Option<&RegionStatus>, counts: Counts, clusters: i32) -> RegionStatus {
    RegionStatus {
        clusters: Some(clusters),
        hosts: Some(counts.hosts),
        ready: Some(counts.ready),
        maintenance: Some(counts.maintenance),
        unreachable: Some(counts.unreachable),
        missing: Some(counts.missing),
        conditions: old.map(|old| old.conditions.clone()).unwrap_or_default(),
    }
}

/// The merge patch that makes one status of another, against the version that was read. None: they
/// are equal.
pub fn status_patch<T: serde::Serialize + PartialEq>(
    old: Option<&T>,
    new: &T,
    version: Option<&str>,
) -> Option<Value> {
    if old == Some(new) {
        return None;
    }
    let value = |status: Option<&T>| serde_json::to_value(status).unwrap_or_default();
    let status = change::replacing(&value(old), value(Some(new)));
    Some(json!({ "metadata": { "resourceVersion": version }, "status": status }))
}

fn set(
    conditions: &mut Vec<Condition>,
    type_: &str,
    is: bool,
    reason: &str,
    message: &str,
    now: Timestamp,
) {
    match conditions.iter_mut().find(|condition| condition.type_ == type_) {
        Some(old) => *old = condition(Some(old), type_, is, reason, message, now),
        None => conditions.push(condition(None, type_, is, reason, message, now)),
    }
}

fn number(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::budget::Member;
    use crate::model::cluster::{ClusterSpec, Disruption};
    use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_cluster_says_how_its_budget_stands_and_who_went_around_it() {
        let disruption = Disruption { max_unavailable: IntOrString::Int(2) };
        let mut cluster = Cluster::new("shop", ClusterSpec { disruption, ..Default::default() });
        let foreign = condition(None, "Rolling", true, "Rolling", "", at(0));
        let mut members: Vec<Member> = (0..30)
            .map(|n| Member {
                name: format!("h{n:02}"),
                held: false,
                unhealthy: false,
                left_out: false,
            })
            .collect();
        let tell = |cluster: &mut Cluster, members: &[Member], second| {
            let budget = Budget::of(cluster, members, at(second));
            let status = cluster_status(cluster, Counts::default(), None, &budget, at(second));
            let patch = status_patch(cluster.status.as_ref(), &status, Some("7"));
            if let Some(patch) = &patch {
                let mut object = serde_json::to_value(&*cluster).unwrap();
                json_patch::merge(&mut object, patch);
                let after: Cluster = serde_json::from_value(object).unwrap();
                assert_eq!(after.status.as_ref(), Some(&status), "{patch}");
                cluster.status = Some(status);
            }
            patch
        };
        let is = |cluster: &Cluster, type_: &str| {
            let all = &cluster.status.as_ref().unwrap().conditions;
            let found = condition::find(all, type_).unwrap();
            (found.status == "True", found.message.clone())
        };
        cluster.status.get_or_insert_default().conditions.push(foreign);
        tell(&mut cluster, &members, 1);
        assert_eq!(is(&cluster, BUDGET_EXHAUSTED), (false, String::new()));
        assert_eq!(is(&cluster, AVAILABLE), (true, String::new()));
        let status = cluster.status.clone().unwrap();
        let numbers = (status.disruptions_allowed, status.current_healthy, status.desired_healthy);
        assert_eq!(numbers, (Some(2), Some(30), Some(28)));
        assert_eq!(status.conditions.len(), 4, "what others say stays");
        assert!(tell(&mut cluster, &members, 2).is_none(), "nothing new, nothing to write");

        for member in members.iter_mut().take(25) {
            member.held = true;
        }
        let patch = tell(&mut cluster, &members, 3).unwrap();
        assert_eq!(patch["metadata"]["resourceVersion"], "7");
        assert!(is(&cluster, BUDGET_EXHAUSTED).0 && !is(&cluster, AVAILABLE).0);
        let (bypassed, message) = is(&cluster, BUDGET_BYPASSED);
        assert!(bypassed && message.contains("h00, h01") && message.ends_with("and 5 more"));
        for member in &mut members {
            member.held = false;
        }
        tell(&mut cluster, &members, 4);
        assert!(!is(&cluster, BUDGET_BYPASSED).0 && !is(&cluster, BUDGET_EXHAUSTED).0);
    }
}
