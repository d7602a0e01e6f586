//! The texts of a host that people choose from: for columns, for labels.

use super::HostRow;

/// One text of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowText {
    /// Name of the object.
    Name,
    /// Name that people use.
    Display,
    /// Uid of the object.
    Uid,
    /// Namespace of the object.
    Namespace,
    /// Region.
    Region,
    /// Zone.
    Zone,
    /// Cluster.
    Cluster,
    /// Role.
    Role,
    /// Team.
    Team,
    /// Environment.
    Environment,
    /// Kind of the provider.
    Provider,
    /// The machine at its provider.
    ProviderId,
    /// The phase without regard to holds.
    Phase,
    /// Whether it takes part in service.
    ServiceState,
}

impl RowText {
    /// The text of this host; empty where it has none.
    pub fn of(self, row: &HostRow) -> &str {
        match self {
            Self::Name => row.name(),
            Self::Display => row.display(),
            Self::Uid => row.uid().as_str(),
            Self::Namespace => row.namespace(),
            Self::Region => row.region(),
            Self::Zone => row.zone(),
            Self::Cluster => row.cluster(),
            Self::Role => row.role(),
            Self::Team => row.team(),
            Self::Environment => row.environment(),
            Self::Provider => row.provider(),
            Self::ProviderId => row.provider_id().unwrap_or_default(),
            Self::Phase => row.base_phase().as_str(),
            Self::ServiceState => row.service_state().as_str(),
        }
    }
}
