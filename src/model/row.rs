//! One host as a line of a list needs it: small, clean, derived once.
//!
//! A fleet of 100,000 has to fit beside everything else into 150 MB, so a row keeps its own texts
//! in one piece of memory, and what hosts share (regions, roles, labels) only as numbers of an
//! [`Interner`](super::intern::Interner).

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::filter::TextField;
use super::host::{Hold, Phase, RunState, ServiceState};
use super::intern::{Atom, Symbol};
use super::key::{HostKey, Place, Uid};

mod build;
mod health;
mod keep;
mod run;
mod text;
mod trouble;

pub use health::Health;
pub use run::{RowRun, Tasks};
pub use text::RowText;
pub use trouble::Trouble;

/// A hold that begins this much in the future counts as begun: whoever wrote it may have a clock
/// that is a little ahead of ours, and a host just put into maintenance must show it.
pub const CLOCK_SLACK: SignedDuration = SignedDuration::from_mins(2);

/// Under this key stand the sources of a host beside its labels, see [`Built`]. No label has it: it ends
/// with a slash.
pub(crate) const KNOWN_BY: &str = "status.sources/";

/// Most characters of a display name that are kept; the rest becomes one `…`.
pub const MAX_DISPLAY: usize = 128;

/// One host of the fleet.
#[derive(Clone, Debug)]
pub struct HostRow {
    uid: Uid,
    texts: Texts,
    namespace: Atom,
    region: Atom,
    cluster: Atom,
    provider: Atom,
    role: Atom,
    team: Atom,
    environment: Atom,
    zone: Atom,
    ready_reason: Atom,
    label_count: u32,
    holds: Box<[RowHold]>,
    problem: Option<Box<str>>,
    run: Option<Box<RowRun>>,
    created: Seconds,
    launched: Seconds,
    changed: Seconds,
    /// The phase without regard to holds: what shows when they end.
    base_phase: Phase,
    phase: Phase,
    health: Health,
    service_state: ServiceState,
    /// What the last run came to, whatever is asked for since.
    last_run: Option<RunState>,
    ready: Option<bool>,
    provider_healthy: Option<bool>,
    agent_ready: Option<bool>,
    seen: Option<bool>,
    deleting: bool,
    listed_as_running: bool,
    in_maintenance: bool,
}

/// A row and its labels, which lie elsewhere: a pass over the fleet reads all labels and hardly
/// any rows.
pub(crate) struct Built {
    /// The row.
    pub(crate) row: HostRow,
    /// Labels as numbers of the interner, in the order of their keys; behind them what the spec
    /// says and no label mirrors, as if it were a label, and the sources that the label does not name.
    pub(crate) pairs: Vec<(Symbol, Symbol)>,
}

/// One hold on a host.
#[derive(Clone, Debug, PartialEq)]
pub struct RowHold {
    /// Who holds it.
    pub holder: Box<str>,
    /// Why.
    pub reason: Box<str>,
    /// Begin.
    pub since: Timestamp,
    /// End.
    pub until: Timestamp,
    /// The hold as it stands in the object, for whoever puts it back.
    pub exact: Box<Hold>,
}

impl RowHold {
    /// Whether the hold is in force: it has begun (give or take [`CLOCK_SLACK`]) and not ended.
    pub fn is_current(&self, now: Timestamp) -> bool {
        self.begin() <= now && now < self.until
    }

    fn begin(&self) -> Timestamp {
        self.since.saturating_sub(CLOCK_SLACK).unwrap_or(Timestamp::MIN)
    }
}

/// A time in whole seconds, as every time of the API is; half the size of a [`Timestamp`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seconds(i64);

impl Seconds {
    const NONE: Self = Self(i64::MIN);

    fn new(time: Option<Timestamp>) -> Self {
        time.map_or(Self::NONE, |time| Self(time.as_second()))
    }

    fn get(self) -> Option<Timestamp> {
        Timestamp::from_second(self.0).ok()
    }
}

/// The texts that belong to one host alone, one after the other in one piece of memory.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Texts {
    /// The parts in the order of [`Part`], a line feed (which no clean text has) after each.
    all: Box<str>,
    /// End of each part.
    ends: [u32; Part::COUNT],
}

/// A text of a host.
#[derive(Clone, Copy)]
enum Part {
    Name,
    Address,
    ProviderId,
    /// Empty where it is the name.
    Display,
    ResourceVersion,
    /// Name, address and provider id as they are compared, where that differs.
    FoldedIds,
}

impl Part {
    const COUNT: usize = 6;
}

impl Texts {
    fn end(&self, part: usize) -> usize {
        self.ends.get(part).copied().unwrap_or(0) as usize
    }

    fn get(&self, part: Part) -> &str {
        let number = part as usize;
        let start = number.checked_sub(1).map_or(0, |before| self.end(before) + 1);
        self.all.get(start..self.end(number)).unwrap_or_default()
    }

    fn lines(&self) -> &str {
        self.all.get(..self.end(Part::Display as usize)).unwrap_or_default()
    }

    /// Name, address and provider id in lower case.
    fn ids(&self) -> &str {
        let folded = self.get(Part::FoldedIds);
        if folded.is_empty() {
            self.all.get(..self.end(Part::ProviderId as usize)).unwrap_or_default()
        } else {
            folded
        }
    }
}

impl HostRow {
    /// Identity of the host.
    pub fn uid(&self) -> &Uid {
        &self.uid
    }

    /// Namespace of the object.
    pub fn namespace(&self) -> &str {
        self.namespace.as_str()
    }

    /// Name of the object.
    pub fn name(&self) -> &str {
        self.texts.get(Part::Name)
    }

    /// The name that people see: the display name, else the object's name. Never empty.
    pub fn display(&self) -> &str {
        let own = self.texts.get(Part::Display);
        if own.is_empty() { self.name() } else { own }
    }

    /// Version of the object that this row shows.
    pub fn resource_version(&self) -> &str {
        self.texts.get(Part::ResourceVersion)
    }

    /// The first internal address, else the first external one.
    pub fn address(&self) -> Option<&str> {
        Some(self.texts.get(Part::Address)).filter(|text| !text.is_empty())
    }

    /// The machine at its provider.
    pub fn provider_id(&self) -> Option<&str> {
        Some(self.texts.get(Part::ProviderId)).filter(|text| !text.is_empty())
    }

    /// Region, or the empty text.
    pub fn region(&self) -> &str {
        self.region.as_str()
    }

    /// Cluster, or the empty text.
    pub fn cluster(&self) -> &str {
        self.cluster.as_str()
    }

    /// Provider kind, or the empty text.
    pub fn provider(&self) -> &str {
        self.provider.as_str()
    }

    /// Role, or the empty text.
    pub fn role(&self) -> &str {
        self.role.as_str()
    }

    /// Team, or the empty text.
    pub fn team(&self) -> &str {
        self.team.as_str()
    }

    /// Environment, or the empty text.
    pub fn environment(&self) -> &str {
        self.environment.as_str()
    }

    /// Zone, or the empty text.
    pub fn zone(&self) -> &str {
        self.zone.as_str()
    }

    /// The phase shown: Decommissioning while it is being deleted, Maintenance while a hold is in
    /// force, else what status says, else what its sources say (the worst), else Unknown.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The phase without regard to holds: what shows when they end.
    pub fn base_phase(&self) -> Phase {
        self.base_phase
    }

    /// How the host does, see [`Health`].
    pub fn health(&self) -> Health {
        self.health
    }

    /// Whether the host takes part in service.
    pub fn service_state(&self) -> ServiceState {
        self.service_state
    }

    /// All holds by holder, those that have ended too.
    pub fn holds(&self) -> &[RowHold] {
        &self.holds
    }

    /// Whether a hold is in force, as of the last event or tick.
    pub fn in_maintenance(&self) -> bool {
        self.in_maintenance
    }

    /// When the object was made.
    pub fn created(&self) -> Option<Timestamp> {
        self.created.get()
    }

    /// When the provider launched the machine, else when the object was made.
    pub fn launched(&self) -> Option<Timestamp> {
        self.launched.get().or_else(|| self.created())
    }

    /// When one of the conditions `Ready`, `Seen`, `ProviderHealthy` and `AgentReady` last changed.
    pub fn changed(&self) -> Option<Timestamp> {
        self.changed.get()
    }

    /// Status of the condition Ready.
    pub fn ready(&self) -> Option<bool> {
        self.ready
    }

    /// Reason of the condition Ready, or the empty text.
    pub fn ready_reason(&self) -> &str {
        self.ready_reason.as_str()
    }

    /// Status of the condition `AgentReady`.
    pub fn agent_ready(&self) -> Option<bool> {
        self.agent_ready
    }

    /// How far the Ansible run is that [`HostRow::run`] tells of.
    pub fn run_state(&self) -> Option<RunState> {
        self.run().map(RowRun::state)
    }

    /// The Ansible run that goes on, waits, or was the last.
    pub fn run(&self) -> Option<&RowRun> {
        self.run.as_deref()
    }

    /// When the last of its holds ends, whether it is in force, has ended or is to come; none
    /// without a hold.
    pub fn held_until(&self) -> Option<Timestamp> {
        self.holds.iter().map(|hold| hold.until).max()
    }

    /// How many labels the host has.
    /// [`Inventory::labels`](super::inventory::Inventory::labels) has them.
    pub fn label_count(&self) -> usize {
        self.label_count as usize
    }

    /// Name, address, provider id and display name (if it is another than the name), in lines.
    pub(crate) fn lines(&self) -> &str {
        self.texts.lines()
    }

    /// Name, address and provider id in lower case, in lines.
    pub(crate) fn ids(&self) -> &str {
        self.texts.ids()
    }

    /// A field that hosts share.
    pub(crate) fn group(&self, field: TextField) -> Option<&Atom> {
        Some(match field {
            TextField::Region => &self.region,
            TextField::Cluster => &self.cluster,
            TextField::Provider => &self.provider,
            TextField::Role => &self.role,
            TextField::Team => &self.team,
            TextField::Environment => &self.environment,
            TextField::Zone => &self.zone,
            TextField::Namespace => &self.namespace,
            TextField::Name | TextField::Server => return None,
        })
    }

    /// Whether the object is being deleted.
    pub fn is_deleting(&self) -> bool {
        self.deleting
    }

    /// Whether one of its sources lists the machine as running.
    pub fn is_listed_as_running(&self) -> bool {
        self.listed_as_running
    }

    /// What of the object could not be read.
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// Where the host stands in its cluster.
    pub fn place(&self) -> Place<'_> {
        Place { display: self.display(), namespace: self.namespace(), uid: self.uid.whole() }
    }

    /// [`HostRow::place`] with its own memory.
    pub fn host_key(&self) -> HostKey {
        HostKey {
            display: self.display().into(),
            namespace: self.namespace().into(),
            uid: self.uid.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
