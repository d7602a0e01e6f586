//! How many hosts of a cluster may be away at once, and who counts as away. Pure: the same function
//! says what may be granted, to whoever grants, and what stands in the Cluster's status.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::cluster::Cluster;
use super::condition::{self, READY};
use super::host::{Host, Phase, ServiceState};
use super::row::{CLOCK_SLACK, HostRow};

/// A grant whose host is not held by then has come to nothing.
pub const GRANT_LAPSES: SignedDuration = SignedDuration::from_mins(5);
/// Most grants that a Cluster's status has room for, as the schema has it.
pub const MAX_GRANTS: usize = 1000;

/// What the budget must know of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Name of the host.
    pub name: String,
    /// A hold of anybody is in force.
    pub held: bool,
    /// It does not serve, whatever the reason, holds aside.
    pub unhealthy: bool,
    /// It is no part of the cluster's strength: planned, gone, retired, being deleted.
    pub left_out: bool,
}

impl Member {
    /// Reads a host as of `now`.
    pub fn of(host: &Host, now: Timestamp) -> Self {
        let status = host.status.as_ref();
        let phase = status.and_then(|status| status.phase);
        let held = host.spec.maintenance.values().any(|hold| {
            let begin = hold.since.0.saturating_sub(CLOCK_SLACK).unwrap_or(Timestamp::MIN);
            begin <= now && now < hold.until.0
        });
        let ready = status.and_then(|status| condition::find(&status.conditions, READY));
        let not_ready =
            ready.is_some_and(|ready| ready.status == condition::FALSE && ready.reason != "Held");
        Self {
            name: host.metadata.name.clone().unwrap_or_default(),
            held,
            unhealthy: not_ready || phase.is_some_and(is_unhealthy),
            left_out: host.metadata.deletion_timestamp.is_some()
                || host.spec.service_state == ServiceState::Retired
                || phase.is_some_and(is_left_out),
        }
    }

    /// The same of a row, which is all that an explorer keeps of a host.
    pub fn of_row(row: &HostRow, now: Timestamp) -> Self {
        let phase = row.base_phase();
        let not_ready = row.ready() == Some(false) && row.ready_reason() != "Held";
        Self {
            name: row.name().to_owned(),
            held: row.holds().iter().any(|hold| hold.is_current(now)),
            unhealthy: not_ready || is_unhealthy(phase),
            left_out: row.is_deleting()
                || row.service_state() == ServiceState::Retired
                || is_left_out(phase),
        }
    }
}

fn is_unhealthy(phase: Phase) -> bool {
    matches!(phase, Phase::Stopped | Phase::Unreachable | Phase::Missing)
}

fn is_left_out(phase: Phase) -> bool {
    matches!(phase, Phase::Planned | Phase::Gone | Phase::Decommissioning)
}

/// How the budget of a cluster stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// Hosts that count.
    pub total: usize,
    /// Hosts that may be away at once.
    pub max_unavailable: usize,
    /// Hosts that are away, by name: held, granted or unhealthy.
    pub away: BTreeSet<String>,
    /// Grants that are valid, with their time.
    pub granted: BTreeMap<String, Timestamp>,
    /// Hosts that are held although nobody asked the budget for them.
    pub bypassed: BTreeSet<String>,
}

impl Budget {
    /// How it stands at `now`.
    pub fn of(cluster: &Cluster, members: &[Member], now: Timestamp) -> Self {
        let counted: Vec<&Member> = members.iter().filter(|member| !member.left_out).collect();
        let entries =
            cluster.status.as_ref().map(|status| status.disrupted.clone()).unwrap_or_default();
        let mut budget = Self {
            total: counted.len(),
            max_unavailable: allowed(&cluster.spec.disruption.max_unavailable, counted.len()),
            ..Self::default()
        };
        for member in members {
            let grant = entries.get(&member.name).map(|time| time.0);
            let fresh =
                grant.is_some_and(|at| now < at.saturating_add(GRANT_LAPSES).unwrap_or(now));
            if let Some(at) = grant.filter(|_| member.held || fresh) {
                budget.granted.insert(member.name.clone(), at);
            } else if member.held && !member.left_out {
                budget.bypassed.insert(member.name.clone());
            }
            let away = member.held || member.unhealthy || fresh;
            if away && !member.left_out {
                budget.away.insert(member.name.clone());
            }
        }
        budget
    }

    /// How many more hosts may go away.
    pub fn left(&self) -> usize {
        self.max_unavailable.saturating_sub(self.away.len())
    }

    /// Hosts that are healthy now.
    pub fn current_healthy(&self) -> usize {
        self.total.saturating_sub(self.away.len())
    }

    /// Hosts that must stay healthy.
    pub fn desired_healthy(&self) -> usize {
        self.total.saturating_sub(self.max_unavailable)
    }

    /// Grants slots at `now` to as many of `wanted` as there are, in their order. A host that is
    /// away already needs none. With `past` the budget may be exceeded. Returns those that are
    /// granted.
    pub fn grant(&mut self, wanted: &[String], past: bool, now: Timestamp) -> Vec<String> {
        let mut given = Vec::new();
        for name in wanted {
            let known = self.granted.contains_key(name);
            let room = known || self.granted.len() < MAX_GRANTS;
            if !room || !(past || self.away.contains(name) || self.left() > 0) {
                continue;
            }
            self.granted.entry(name.clone()).or_insert(now);
            self.away.insert(name.clone());
            self.bypassed.remove(name);
            given.push(name.clone());
        }
        given
    }

    /// The grants as they stand in the Cluster's status.
    pub fn disrupted(&self) -> BTreeMap<String, Time> {
        self.granted.iter().map(|(name, at)| (name.clone(), Time(*at))).collect()
    }
}

/// How many hosts may be away: a number, or a share of `total` rounded down, but at least one.
fn allowed(max: &IntOrString, total: usize) -> usize {
    match max {
        IntOrString::Int(number) => usize::try_from(*number).unwrap_or(0),
        IntOrString::String(text) => {
            let share = text.strip_suffix('%').and_then(|share| share.parse::<usize>().ok());
            let share = share.unwrap_or(0).min(100);
            (total.saturating_mul(share) / 100).max(usize::from(share > 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::cluster::{ClusterSpec, ClusterStatus, Disruption};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn cluster(max: IntOrString, granted: &[(&str, i64)]) -> Cluster {
        let disruption = Disruption { max_unavailable: max };
        let mut cluster =
            Cluster::new("shop", ClusterSpec { disruption, ..ClusterSpec::default() });
        let disrupted = granted.iter().map(|(n, t)| ((*n).to_owned(), Time(at(*t)))).collect();
        cluster.status = Some(ClusterStatus { disrupted, ..ClusterStatus::default() });
        cluster
    }

    fn members(count: usize) -> Vec<Member> {
        (0..count)
            .map(|n| Member {
                name: format!("h{n}"),
                held: false,
                unhealthy: false,
                left_out: false,
            })
            .collect()
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn shares_round_down_and_leave_one() {
        let share = |text: &str, total| allowed(&IntOrString::String(text.to_owned()), total);
        assert_eq!((share("10%", 500), share("10%", 19), share("10%", 5)), (50, 1, 1));
        assert_eq!((share("100%", 7), share("nonsense", 7)), (7, 0));
        assert_eq!(allowed(&IntOrString::Int(3), 2), 3);
    }

    #[test]
    fn whoever_is_away_takes_a_slot_for_whatever_reason() {
        let mut hosts = members(10);
        hosts[0].held = true;
        hosts[1].unhealthy = true;
        hosts[2].left_out = true;
        hosts[2].held = true;
        let cluster = cluster(IntOrString::Int(4), &[("h3", 990), ("h4", 600), ("nobody", 990)]);
        let mut budget = Budget::of(&cluster, &hosts, at(1_000));
        assert_eq!((budget.total, budget.left()), (9, 1));
        assert_eq!(budget.away.iter().map(String::as_str).collect::<Vec<_>>(), ["h0", "h1", "h3"]);
        assert_eq!(budget.bypassed.iter().map(String::as_str).collect::<Vec<_>>(), ["h0"]);
        assert_eq!(budget.granted.len(), 1, "a lapsed grant and one of a stranger are gone");
        assert_eq!(budget.grant(&names(&["h5", "h6", "h1"]), false, at(1_000)), ["h5", "h1"]);
        assert_eq!(budget.left(), 0);
        assert_eq!(budget.grant(&names(&["h7"]), true, at(1_000)), ["h7"]);
        assert_eq!(budget.left(), 0);
    }

    #[test]
    fn a_grant_lasts_while_its_host_is_held() {
        let mut hosts = members(3);
        let cluster = cluster(IntOrString::Int(1), &[("h0", 0)]);
        assert_eq!(Budget::of(&cluster, &hosts, at(299)).left(), 0);
        assert_eq!(Budget::of(&cluster, &hosts, at(300)).left(), 1);
        hosts[0].held = true;
        let budget = Budget::of(&cluster, &hosts, at(90_000));
        assert_eq!(budget.left(), 0);
        assert!(budget.bypassed.is_empty() && budget.granted.contains_key("h0"));
    }
}
