//! What is wrong with a host, in the order in which somebody should look at it.

use k8s_openapi::jiff::Timestamp;

use crate::model::host::{Phase, RunState, ServiceState};

use super::HostRow;

/// What is wrong with a host; of several things the first in this order. A host has one exactly if
/// its health is bad or a warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trouble {
    /// It does not answer.
    Unreachable,
    /// A source that listed it does not any more.
    Missing,
    /// No source has it any more.
    Gone,
    /// The condition Seen is False.
    NotSeen,
    /// The provider says that the machine is broken.
    Provider,
    /// The condition Ready is False.
    NotReady,
    /// The last Ansible run failed.
    RunFailed,
    /// Nobody knows what came of the last Ansible run.
    RunUnknown,
    /// Its agent does not report.
    Agent,
    /// It is quarantined.
    Quarantined,
    /// It is out of service.
    OutOfService,
    /// It is not there yet.
    NotYet,
    /// It is being deleted.
    Deleting,
    /// Its object can be read only in part.
    Unreadable,
}

impl Trouble {
    /// In a few words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Missing => "missing at its source",
            Self::Gone => "gone from its sources",
            Self::NotSeen => "not seen any more",
            Self::Provider => "provider reports a fault",
            Self::NotReady => "not ready",
            Self::RunFailed => "last Ansible run failed",
            Self::RunUnknown => "last Ansible run unknown",
            Self::Agent => "agent does not report",
            Self::Quarantined => "quarantined",
            Self::OutOfService => "out of service",
            Self::NotYet => "not ready yet",
            Self::Deleting => "being deleted",
            Self::Unreadable => "object unreadable in part",
        }
    }
}

impl HostRow {
    /// What is wrong, if anything is: the same questions as for its health, in the same order of
    /// what makes the others moot.
    pub fn trouble(&self) -> Option<Trouble> {
        let no = |condition: Option<bool>| condition == Some(false);
        if self.in_maintenance {
            return None;
        }
        if self.deleting {
            return Some(Trouble::Deleting);
        }
        if self.service_state == ServiceState::Retired {
            return None;
        }
        match self.phase {
            Phase::Unreachable => return Some(Trouble::Unreachable),
            Phase::Missing => return Some(Trouble::Missing),
            Phase::Gone => return Some(Trouble::Gone),
            _ if no(self.seen) => return Some(Trouble::NotSeen),
            Phase::Stopped => return None,
            _ => {}
        }
        if no(self.provider_healthy) {
            return Some(Trouble::Provider);
        }
        if matches!(self.phase, Phase::Planned | Phase::Pending) {
            return Some(Trouble::NotYet);
        }
        if no(self.ready) {
            return Some(Trouble::NotReady);
        }
        match self.last_run {
            Some(RunState::Failed) => return Some(Trouble::RunFailed),
            Some(RunState::Unknown) => return Some(Trouble::RunUnknown),
            _ => {}
        }
        if no(self.agent_ready) {
            return Some(Trouble::Agent);
        }
        match self.service_state {
            ServiceState::Quarantined => Some(Trouble::Quarantined),
            ServiceState::OutOfService => Some(Trouble::OutOfService),
            ServiceState::InService | ServiceState::Retired => {
                self.problem.as_ref().map(|_| Trouble::Unreadable)
            }
        }
    }

    /// Where it stands among the hosts with a problem: the worst first, and of those that are alike
    /// the one that changed last; none without a problem.
    pub(crate) fn trouble_rank(&self) -> Option<(Trouble, i64)> {
        let changed = self.changed().map_or(0, Timestamp::as_second);
        Some((self.trouble()?, changed.saturating_neg()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::intern::Interner;
    use crate::model::record::{ConditionRecord, HoldRecord, HostRecord};
    use crate::model::row::Health;

    const SERVICE: [ServiceState; 4] = [
        ServiceState::InService,
        ServiceState::OutOfService,
        ServiceState::Quarantined,
        ServiceState::Retired,
    ];

    proptest! {
        #[test]
        fn there_is_a_trouble_where_the_health_is_bad_or_a_warning(
            phase in proptest::option::of(0_usize..Phase::ALL.len()),
            service in 0_usize..SERVICE.len(),
            conditions in proptest::array::uniform4(proptest::option::of(any::<bool>())),
            run in 0_usize..4,
            held in any::<bool>(),
            unreadable in any::<bool>(),
        ) {
            let mut record = HostRecord::default();
            record.metadata.name = Some("web-1".to_owned());
            record.status.phase = phase.map(|at| Phase::ALL[at]);
            record.spec.service_state = SERVICE[service];
            let said = |status| Some(ConditionRecord { status, ..ConditionRecord::default() });
            let [ready, seen, provider, agent] = conditions.map(said);
            record.status.conditions.ready = ready;
            record.status.conditions.seen = seen;
            record.status.conditions.provider_healthy = provider;
            record.status.conditions.agent_ready = agent;
            record.status.ansible.state =
                [None, Some(RunState::Failed), Some(RunState::Unknown), Some(RunState::Running)][run];
            record.problem = unreadable.then(|| "spec".to_owned());
            let now = Timestamp::from_second(1_000).unwrap();
            if held {
                let until = Timestamp::from_second(2_000).ok();
                let hold = HoldRecord { until, ..HoldRecord::default() };
                record.spec.maintenance.insert("ann".to_owned(), hold);
            }
            let row = HostRow::build(record, now, &mut Interner::default()).unwrap().row;
            let wrong = matches!(row.health(), Health::Bad | Health::Warning);
            prop_assert_eq!(row.trouble().is_some(), wrong, "{:?} {:?}", row.trouble(), row.health());
        }
    }
}
