//! Condition types and reasons, and how a condition is set.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

/// Summary: every other condition is fine, no hold is in force, the host is not being deleted.
pub const READY: &str = "Ready";
/// What the provider says of the machine's health.
pub const PROVIDER_HEALTHY: &str = "ProviderHealthy";
/// The agent's Lease is fresh.
pub const AGENT_READY: &str = "AgentReady";
/// The last Ansible run succeeded.
pub const CONVERGED: &str = "Converged";
/// The operating system is the desired one.
pub const OS_UP_TO_DATE: &str = "OSUpToDate";
/// A hold is in force. True is the bad side.
pub const IN_MAINTENANCE: &str = "InMaintenance";
/// False while the host is missing from complete listings of its source.
pub const SEEN: &str = "Seen";
/// The host takes part in service: people want it to, nobody holds it, and it is there to stay. The
/// reason says what is so instead.
pub const IN_SERVICE: &str = "InService";
/// Another Host may be the same machine; the message names it. True is the bad side, and there is no
/// other.
pub const POSSIBLE_DUPLICATE: &str = "PossibleDuplicate";
/// Decommissioning goes on; the message names the step. True is the bad side.
pub const DELETING: &str = "Deleting";

/// The agent has taken the host's work off it for a maintenance. False while it is in service.
pub const DRAINED: &str = "Drained";

/// Of a Cluster: as many hosts are healthy as must be.
pub const AVAILABLE: &str = "Available";
/// Of a Cluster: no further host may go away now. True is the bad side.
pub const BUDGET_EXHAUSTED: &str = "BudgetExhausted";
/// Of a Cluster: hosts are held that nobody asked the budget for; the message names them. True is
/// the bad side.
pub const BUDGET_BYPASSED: &str = "BudgetBypassed";

/// Of a Source: the last pass over every scope was complete.
pub const HEALTHY: &str = "Healthy";
/// Of a Source: a pass would have lost too many hosts, so nothing was marked. True is the bad side.
pub const BREAKER_OPEN: &str = "BreakerOpen";

/// Condition status `True`.
pub const TRUE: &str = "True";
/// Condition status `False`.
pub const FALSE: &str = "False";

/// A condition that has just been seen. `last_transition_time` is that of `old` where the status
/// did not change, else `now`.
pub fn condition(
    old: Option<&Condition>,
    type_: &str,
    status: bool,
    reason: &str,
    message: &str,
    now: Timestamp,
) -> Condition {
    let status = if status { TRUE } else { FALSE };
    let last_transition_time =
        old.filter(|c| c.status == status).map_or(Time(now), |c| c.last_transition_time.clone());
    Condition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        last_transition_time,
        observed_generation: None,
    }
}

/// The condition of this type, if there is one.
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|c| c.type_ == type_)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transition_time_moves_only_with_the_status() {
        let t1 = Timestamp::from_second(1_000).unwrap();
        let t2 = Timestamp::from_second(2_000).unwrap();
        let first = condition(None, SEEN, true, "Listed", "", t1);
        let same = condition(Some(&first), SEEN, true, "Listed", "again", t2);
        assert_eq!(same.last_transition_time, Time(t1));
        let flipped = condition(Some(&same), SEEN, false, "NotListed", "", t2);
        assert_eq!(flipped.last_transition_time, Time(t2));
    }
}
