//! One word for how a host does, folded from phase, service state, conditions and runs.

use crate::model::host::{Phase, RunState, ServiceState};

use super::HostRow;

/// How a host does. The first line of this table that applies:
///
/// | host | health |
/// | --- | --- |
/// | a hold is in force | Maintenance: somebody knows, whatever else is wrong |
/// | being deleted | Warning: unfinished work |
/// | service state Retired | Stopped: it may well be gone |
/// | phase Unreachable, Missing or Gone; condition Seen is False | Bad |
/// | phase Stopped | Stopped: nothing else can be fine |
/// | condition ProviderHealthy is False | Bad |
/// | phase Planned or Pending | Warning: not ready yet |
/// | condition Ready is False | Bad |
/// | condition AgentReady is False, last Ansible run failed or unknown, service state Quarantined or OutOfService, object not readable in part | Warning |
/// | phase Running, or condition Ready is True | Ok |
/// | anything else | Unknown |
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Health {
    /// In service, nothing is wrong.
    Ok,
    /// Held in maintenance.
    Maintenance,
    /// Off or retired, as somebody wants it.
    Stopped,
    /// Somebody should look at it by day.
    Warning,
    /// Somebody should look at it now.
    Bad,
    /// Nothing is known.
    Unknown,
}

impl Health {
    /// How many there are.
    pub const COUNT: usize = 6;

    /// Every one, in the order of the counters in
    /// [`Counts`](crate::model::inventory::Counts).
    pub const ALL: [Self; Self::COUNT] =
        [Self::Ok, Self::Maintenance, Self::Stopped, Self::Warning, Self::Bad, Self::Unknown];

    /// The word for it, in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Maintenance => "maintenance",
            Self::Stopped => "stopped",
            Self::Warning => "warning",
            Self::Bad => "bad",
            Self::Unknown => "unknown",
        }
    }

    /// Place in [`Health::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }
}

impl HostRow {
    /// The health that follows from everything else in the row.
    pub(super) fn derive_health(&self) -> Health {
        let no = |condition: Option<bool>| condition == Some(false);
        if self.in_maintenance {
            return Health::Maintenance;
        }
        if self.deleting {
            return Health::Warning;
        }
        if self.service_state == ServiceState::Retired {
            return Health::Stopped;
        }
        if matches!(self.phase, Phase::Unreachable | Phase::Missing | Phase::Gone) || no(self.seen)
        {
            return Health::Bad;
        }
        if self.phase == Phase::Stopped {
            return Health::Stopped;
        }
        if no(self.provider_healthy) {
            return Health::Bad;
        }
        if matches!(self.phase, Phase::Planned | Phase::Pending) {
            return Health::Warning;
        }
        if no(self.ready) {
            return Health::Bad;
        }
        let doubtful = no(self.agent_ready)
            || matches!(self.last_run, Some(RunState::Failed | RunState::Unknown))
            || matches!(self.service_state, ServiceState::Quarantined | ServiceState::OutOfService)
            || self.problem.is_some();
        if doubtful {
            return Health::Warning;
        }
        if self.phase == Phase::Running || self.ready == Some(true) {
            return Health::Ok;
        }
        Health::Unknown
    }
}
