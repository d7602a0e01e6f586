//! What is known of a host that asks for a certificate.

use crate::model::host::{Host, Phase, ServiceState};

/// What must be known of the host that a request claims to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFacts {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Derived phase, if anybody has said one.
    pub phase: Option<Phase>,
    /// A source lists the machine as running.
    pub listed_as_running: bool,
    /// Whether it takes part in service.
    pub service_state: ServiceState,
    /// It is being deleted.
    pub deleting: bool,
}

impl HostFacts {
    /// Reads a host.
    pub fn of(host: &Host) -> Self {
        let status = host.status.as_ref();
        Self {
            namespace: host.metadata.namespace.clone().unwrap_or_default(),
            name: host.metadata.name.clone().unwrap_or_default(),
            phase: status.and_then(|status| status.phase),
            listed_as_running: status
                .is_some_and(|s| s.sources.values().any(|facts| facts.state == Phase::Running)),
            service_state: host.spec.service_state,
            deleting: host.metadata.deletion_timestamp.is_some(),
        }
    }

    /// Why the host gets no certificate now. A host in maintenance runs; one that is unreachable
    /// for us while its provider says that it runs may lack nothing but this certificate.
    pub(super) fn out_of_service(&self) -> Option<String> {
        if self.deleting {
            return Some("being deleted".to_owned());
        }
        if matches!(self.service_state, ServiceState::Retired | ServiceState::Quarantined) {
            return Some(self.service_state.as_str().to_owned());
        }
        match self.phase {
            Some(Phase::Running | Phase::Maintenance) => None,
            Some(Phase::Unreachable) if self.listed_as_running => None,
            Some(phase) => Some(format!("{phase:?}")),
            None => Some("without a phase".to_owned()),
        }
    }
}
