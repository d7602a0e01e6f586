//! What must be true before somebody acts on a host, and how the act is confirmed. Pure: the strip,
//! the shell and the engine that sends the changes ask the same functions.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;

use super::budget::Budget;
use super::cluster::Cluster;
use super::condition::{self, AGENT_READY, READY};
use super::host::{AnsibleStatus, Host, Phase, RunState};
use super::labels;
use super::row::{CLOCK_SLACK, HostRow};

pub mod playbook;
mod window;

pub use window::{Opening, Zones, opening};

/// What kind of act it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Holds begin or change.
    MaintenanceOn,
    /// Holds end.
    MaintenanceOff,
    /// Ansible runs are asked for.
    Run,
    /// Requests for runs are taken back before they begin.
    CancelRun,
    /// Labels are set or removed.
    Label,
    /// An earlier order is taken back.
    Undo,
    /// What was taken back is made again.
    Redo,
}

impl Verb {
    /// Its name in the journal, in Events and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MaintenanceOn => "maintenance-on",
            Self::MaintenanceOff => "maintenance-off",
            Self::Run => "run",
            Self::CancelRun => "cancel-run",
            Self::Label => "label",
            Self::Undo => "undo",
            Self::Redo => "redo",
        }
    }
}

/// What the checks must know of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Name of the host.
    pub name: String,
    /// It is being deleted.
    pub deleting: bool,
    /// Its own `spec.paused`.
    pub paused: bool,
    /// Why it is protected from deletion and bulk changes, if it is.
    pub protect: Option<String>,
    /// Its phase.
    pub phase: Phase,
    /// Condition Ready, holds aside: a host that is not ready because it is held counts as ready.
    pub ready: Option<bool>,
    /// Condition `AgentReady`; none where no heartbeat was ever seen.
    pub agent_ready: Option<bool>,
    /// Holders of the holds that are in force.
    pub holders: Vec<String>,
    /// The run that is asked for or goes on, and how far it is.
    pub run: Option<RunState>,
    /// Who owns labels of it by server-side apply, by key.
    pub label_owners: BTreeMap<String, String>,
}

impl Facts {
    /// Reads a host as of `now`.
    pub fn of(host: &Host, now: Timestamp) -> Self {
        let status = host.status.as_ref();
        let conditions = status.map_or(&[][..], |status| &status.conditions);
        let is_true = |type_| condition::find(conditions, type_).map(|c| c.status == "True");
        let held = condition::find(conditions, READY).is_some_and(|ready| ready.reason == "Held");
        let annotations = host.metadata.annotations.as_ref();
        let in_force = |hold: &super::host::Hold| {
            let begin = hold.since.0.saturating_sub(CLOCK_SLACK).unwrap_or(Timestamp::MIN);
            begin <= now && now < hold.until.0
        };
        Self {
            name: host.metadata.name.clone().unwrap_or_default(),
            deleting: host.metadata.deletion_timestamp.is_some(),
            paused: host.spec.paused,
            protect: annotations.and_then(|all| all.get(labels::PROTECT)).cloned(),
            phase: status.and_then(|status| status.phase).unwrap_or_default(),
            ready: if held { Some(true) } else { is_true(READY) },
            agent_ready: is_true(AGENT_READY),
            holders: host
                .spec
                .maintenance
                .iter()
                .filter(|(_, hold)| in_force(hold))
                .map(|(holder, _)| holder.clone())
                .collect(),
            run: run_going(host),
            label_owners: labels::owners(&host.metadata),
        }
    }

    /// What a row knows, which costs no request: it lacks `paused`, `protect` and requests that
    /// nobody has answered. The engine looks again before it sends anything.
    pub fn of_row(row: &HostRow, now: Timestamp) -> Self {
        let holds = row.holds().iter().filter(|hold| hold.is_current(now));
        Self {
            name: row.name().to_owned(),
            deleting: row.is_deleting(),
            paused: false,
            protect: None,
            phase: row.phase(),
            ready: if row.ready_reason() == "Held" { Some(true) } else { row.ready() },
            agent_ready: row.agent_ready(),
            holders: holds.map(|hold| hold.holder.to_string()).collect(),
            run: row.run_state().filter(|state| !state.is_final()),
            label_owners: BTreeMap::new(),
        }
    }
}

/// How far the run is that is asked for in spec; none when nothing is asked for, or the answer to it
/// is final, or it was canceled before anybody began it.
pub fn run_going(host: &Host) -> Option<RunState> {
    let request = host.spec.ansible.as_ref()?;
    let status = host.status.as_ref().and_then(|status| status.ansible.as_ref());
    let answer = status.filter(|status: &&AnsibleStatus| status.request_id == request.request_id);
    let state = answer.map_or(RunState::Queued, |status| status.state);
    let canceled = state == RunState::Queued && request.cancel;
    (!state.is_final() && !canceled).then_some(state)
}

/// What the checks must know of a host's cluster.
#[derive(Clone, Debug)]
pub struct ClusterFacts {
    /// Name of the cluster.
    pub name: String,
    /// Its `spec.paused`.
    pub paused: bool,
    /// Whether work may be done now.
    pub opening: Opening,
    /// How its budget stands, where that is known.
    pub budget: Option<Budget>,
}

impl ClusterFacts {
    /// Reads a cluster as of `now`. `zones` knows the time zones by their IANA names.
    pub fn of(cluster: &Cluster, budget: Option<Budget>, now: Timestamp, zones: Zones<'_>) -> Self {
        Self {
            name: cluster.metadata.name.clone().unwrap_or_default(),
            paused: cluster.spec.paused,
            opening: opening(&cluster.spec.windows, now, zones),
            budget,
        }
    }
}

/// What a check says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pass {
    /// All is well.
    Yes,
    /// Worth knowing, and no reason not to act.
    Note,
    /// Not so: only who types that it shall be done all the same may go on.
    No,
    /// It cannot be done at all.
    Never,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What, for example `host is healthy`.
    pub what: &'static str,
    /// What it says.
    pub pass: Pass,
    /// Why; empty where all is well.
    pub why: String,
}

impl Check {
    fn new(what: &'static str, problem: Option<(Pass, String)>) -> Self {
        let (pass, why) = problem.unwrap_or((Pass::Yes, String::new()));
        Self { what, pass, why }
    }
}

/// Everything that is looked at before `verb` is done to a host of these clusters. `bulk`: the order has more hosts.
/// `holder` is whose hold it is about. Undo and redo are not looked at as such: they are
/// [`Verb::MaintenanceOn`] or [`Verb::MaintenanceOff`] for each host.
pub fn checks<'a>(
    verb: Verb,
    facts: &Facts,
    clusters: impl IntoIterator<Item = &'a ClusterFacts>,
    holder: &str,
    bulk: bool,
) -> Vec<Check> {
    let name = &facts.name;
    let deleting = facts.deleting.then(|| (Pass::Never, format!("\"{name}\" is being deleted")));
    let mut checks = vec![Check::new("host is there to stay", deleting)];
    let begins = matches!(verb, Verb::MaintenanceOn | Verb::Run);
    match verb {
        Verb::MaintenanceOn => {
            let others = others(facts, holder)
                .map(|who| (Pass::Note, format!("held by {who} already; that hold stays")));
            let ill = ill(facts).map(|why| (Pass::Note, why));
            checks.push(Check::new("host is healthy", ill));
            checks.push(Check::new("nobody else holds it", others));
        }
        Verb::Run => {
            let going = facts.run.map(|state| {
                let state = state.as_str().to_lowercase();
                (Pass::Never, format!("a run is {state} already; cancel it or wait for its end"))
            });
            let others = others(facts, holder).map(|who| (Pass::No, format!("held by {who}")));
            let agent = match facts.agent_ready {
                Some(true) => None,
                Some(false) => Some("its agent does not answer".to_owned()),
                None => Some("no agent has been seen; a runner must serve it".to_owned()),
            };
            checks.push(Check::new("host is healthy", ill(facts).map(|why| (Pass::No, why))));
            checks.push(Check::new("no run goes on", going));
            checks.push(Check::new("nobody else holds it", others));
            checks.push(Check::new("its agent answers", agent.map(|why| (Pass::Note, why))));
        }
        Verb::CancelRun => {
            let late = match facts.run {
                Some(RunState::Queued) => None,
                Some(_) => Some("it has begun: a run is canceled only while it waits"),
                None => Some("no run waits"),
            };
            let late = late.map(|why| (Pass::Never, why.to_owned()));
            checks.push(Check::new("the run waits", late));
        }
        Verb::MaintenanceOff | Verb::Label | Verb::Undo | Verb::Redo => {}
    }
    if begins {
        let protect = facts
            .protect
            .as_ref()
            .map(|why| (if bulk { Pass::No } else { Pass::Note }, format!("protected: {why}")));
        let paused = facts.paused.then(|| (Pass::No, "the host is paused".to_owned()));
        checks.push(Check::new("host is not protected", protect));
        checks.push(Check::new("host is not paused", paused));
        for cluster in clusters {
            of_cluster(verb, facts, cluster, &mut checks);
        }
    }
    checks
}

fn of_cluster(verb: Verb, facts: &Facts, cluster: &ClusterFacts, checks: &mut Vec<Check>) {
    let name = &cluster.name;
    let paused = cluster.paused.then(|| (Pass::No, format!("cluster {name} is paused")));
    checks.push(Check::new("cluster is not paused", paused));
    let window = match &cluster.opening {
        Opening::Open => None,
        Opening::Closed(windows) => {
            Some((Pass::No, format!("outside the windows of cluster {name}: {windows}")))
        }
        Opening::Unclear(why) => Some((Pass::No, format!("windows of cluster {name}: {why}"))),
    };
    checks.push(Check::new("cluster's window is open", window));
    let Some(budget) = &cluster.budget else { return };
    let (away, max) = (budget.away.len(), budget.max_unavailable);
    if verb == Verb::MaintenanceOn {
        let over = !budget.away.contains(&facts.name) && budget.left() == 0;
        let over = over.then(|| (Pass::No, used_up(name, away, max)));
        checks.push(Check::new("cluster's budget allows it", over));
    } else {
        let weak = (away > max)
            .then(|| (Pass::Note, format!("{away} hosts of cluster {name} are away of {max}")));
        checks.push(Check::new("cluster is healthy", weak));
    }
}

/// The sentence for a budget that has no slot left.
pub fn used_up(cluster: &str, away: usize, max: usize) -> String {
    format!("the budget of cluster {cluster} is used up: {away} of {max} away")
}

fn others(facts: &Facts, holder: &str) -> Option<String> {
    let others: Vec<&str> =
        facts.holders.iter().filter(|who| *who != holder).map(String::as_str).collect();
    (!others.is_empty()).then(|| others.join(", "))
}

fn ill(facts: &Facts) -> Option<String> {
    match facts.phase {
        Phase::Stopped
        | Phase::Unreachable
        | Phase::Missing
        | Phase::Gone
        | Phase::Decommissioning
        | Phase::Planned => Some(format!("the host is {}", facts.phase.as_str().to_lowercase())),
        _ if facts.ready == Some(false) => Some("the host is not ready".to_owned()),
        _ => None,
    }
}

/// What is looked at besides before these labels of a host are changed: some belong to Kubernetes
/// and to services, and what a service applies it puts back. `owners`: [`labels::owners`].
pub fn label_checks<'a>(
    keys: impl IntoIterator<Item = &'a str>,
    owners: &BTreeMap<String, String>,
) -> Vec<Check> {
    let mut checks = Vec::new();
    for key in keys {
        let reserved = labels::is_reserved(key).then(|| {
            (Pass::Never, format!("{key} is in a domain that belongs to services and Kubernetes"))
        });
        let owned = owners.get(key).map(|owner| {
            (Pass::No, format!("{owner} owns {key}, and its next pass puts its own value back"))
        });
        checks.push(Check::new("label is free to be set", reserved));
        checks.push(Check::new("nobody else owns the label", owned));
    }
    checks
}

/// The worst that checks say.
pub fn worst(checks: &[Check]) -> Pass {
    checks.iter().map(|check| check.pass).max().unwrap_or(Pass::Yes)
}

/// Why an order may not touch a host, if so. `overrides`: the person typed that it shall be done all
/// the same.
pub fn refusal(checks: &[Check], overrides: bool) -> Option<String> {
    let limit = if overrides { Pass::Never } else { Pass::No };
    let why: Vec<&str> =
        checks.iter().filter(|c| c.pass >= limit).map(|c| c.why.as_str()).collect();
    (!why.is_empty()).then(|| why.join("; "))
}

/// How a change is confirmed. Policy can raise it, never lower it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// One host, reversible: `y`.
    Confirm,
    /// Several hosts, or a protected one: a reason typed by hand, then `y`.
    Reason,
    /// Much, or against a rule: this text is typed, the number of hosts or the name.
    Type(String),
}

/// How far an order reaches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Number of hosts.
    pub hosts: usize,
    /// What is typed where the order is about one thing: the only host, the region or the cluster.
    pub name: String,
    /// A whole region or cluster was chosen.
    pub whole: bool,
    /// One of the hosts carries a protected label.
    pub protected: bool,
    /// A check says [`Pass::No`], the budget's too: to go on is to pass it by.
    pub against: bool,
}

/// How an order is confirmed: the table of levels.
pub fn level(verb: Verb, extent: &Extent) -> Level {
    let several = extent.hosts > 1;
    let final_bulk = verb == Verb::Run && several;
    if extent.hosts > 10 || extent.whole || extent.against || final_bulk {
        let one = !several && !extent.name.is_empty();
        return Level::Type(if one { extent.name.clone() } else { extent.hosts.to_string() });
    }
    let begins = matches!(verb, Verb::MaintenanceOn | Verb::Run | Verb::Label);
    // Undo and redo have their reason already: the order that they are about.
    let told = matches!(verb, Verb::Undo | Verb::Redo);
    if (several && !told) || (extent.protected && begins) {
        return Level::Reason;
    }
    Level::Confirm
}

/// What a person has written down about hosts that need care.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Labels such as `inventory.inv-tui.dev/environment=prod`.
    pub protected_labels: Vec<String>,
}

impl Rules {
    /// The protected label that a host carries, if any. `label` gives the value of a label.
    pub fn protects<'a>(&'a self, label: impl Fn(&str) -> Option<&'a str>) -> Option<&'a str> {
        self.protected_labels.iter().map(String::as_str).find(|wanted| {
            wanted.split_once('=').is_some_and(|(key, value)| label(key) == Some(value))
        })
    }
}

#[cfg(test)]
mod tests;
