//! Why a host is not well: every reason that can be told from its object and from what is known
//! around it, the heaviest first, each with since when and what to do next.

use k8s_openapi::jiff::Timestamp;

use super::condition::{
    AGENT_READY, CONVERGED, DRAINED, FALSE, OS_UP_TO_DATE, POSSIBLE_DUPLICATE, PROVIDER_HEALTHY,
    READY, SEEN, TRUE, find,
};
use super::csr;
use super::duration;
use super::host::{Host, Phase, RunState, ServiceState, StepState};
use super::row::CLOCK_SLACK;
use super::source::State;

/// How heavy a reason is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// It is broken, or nobody knows.
    Broken,
    /// Somebody wants it like that.
    Meant,
    /// It is worth a look.
    Note,
}

/// One reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// How heavy it is.
    pub weight: Weight,
    /// What is so, as a sentence.
    pub what: String,
    /// Since when, where that is known.
    pub since: Option<Timestamp>,
    /// What to do next: a command, or a key of the explorer as `{key:maintenance}`, by its action.
    pub next: String,
}

/// A source that lists the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceView {
    /// Its name.
    pub name: String,
    /// How it is.
    pub state: State,
    /// When its last pass ended.
    pub last_pass: Option<Timestamp>,
}

/// The newest request for a certificate in the host's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestView {
    /// Its name.
    pub name: String,
    /// How far it is.
    pub state: csr::State,
    /// When it was filed.
    pub created: Option<Timestamp>,
    /// When the certificate that was issued ends.
    pub expires: Option<Timestamp>,
}

/// What is known around a host.
#[derive(Clone, Debug, Default)]
pub struct Around<'a> {
    /// The sources that list it and are known.
    pub sources: Vec<SourceView>,
    /// The name of its cluster if no further host of that may go away, and how its budget stands in
    /// words, where that is said.
    pub used_up: Option<(&'a str, &'a str)>,
    /// Its cluster is paused.
    pub cluster_paused: bool,
    /// The newest request for a certificate in its name.
    pub request: Option<RequestView>,
    /// What of its object could not be read.
    pub unreadable: Option<&'a str>,
}

/// The reasons as of `now`; none if everything is fine.
pub fn explain(host: &Host, around: &Around<'_>, now: Timestamp) -> Vec<Reason> {
    let mut all = Reasons { host, now, found: Vec::new() };
    if let Some(problem) = around.unreadable {
        let what = format!("the object cannot be read: {problem}");
        all.add(
            Weight::Broken,
            what,
            None,
            "{key:yaml} shows it; whoever wrote that field must mend it",
        );
    }
    all.deleting();
    all.state();
    all.seen(around);
    all.agent(around);
    all.request(around);
    all.run();
    all.duplicate();
    all.wanted();
    all.maintenance();
    all.rest();
    all.budget(around);
    all.found.sort_by_key(|reason| reason.weight);
    all.found
}

struct Reasons<'a> {
    host: &'a Host,
    now: Timestamp,
    found: Vec<Reason>,
}

impl Reasons<'_> {
    fn add(
        &mut self,
        weight: Weight,
        what: impl Into<String>,
        since: Option<Timestamp>,
        next: impl Into<String>,
    ) {
        self.found.push(Reason { weight, what: what.into(), since, next: next.into() });
    }

    /// Status, reason and message of a condition, and since when.
    fn condition(&self, type_: &str) -> Option<(&str, &str, &str, Timestamp)> {
        let conditions = &self.host.status.as_ref()?.conditions;
        let c = find(conditions, type_)?;
        Some((&c.status, &c.reason, &c.message, c.last_transition_time.0))
    }

    fn name(&self) -> &str {
        self.host.metadata.name.as_deref().unwrap_or_default()
    }

    fn deleting(&mut self) {
        let Some(deleted) = &self.host.metadata.deletion_timestamp else { return };
        let since = Some(deleted.0);
        let record = self.host.status.as_ref().and_then(|status| status.decommission.clone());
        let name = self.name().to_owned();
        let retry = format!(
            "{{key:describe}} shows the steps; inv-tui --headless decommission --help says how to answer for {name}"
        );
        let Some(record) = record else {
            let finalizers = self.host.metadata.finalizers.clone().unwrap_or_default();
            let what = if finalizers.is_empty() {
                "it is being deleted".to_owned()
            } else {
                format!("it is being deleted, and waits for {}", finalizers.join(", "))
            };
            let next = "start inv-tui --headless decommission if it does not run";
            return self.add(Weight::Broken, what, since, next);
        };
        for step in &record.steps {
            match step.state {
                StepState::Stuck => {
                    let what = format!("decommissioning is stuck: step {} fails", step.name);
                    self.add(Weight::Broken, what, since, retry.clone());
                }
                StepState::Unknown => {
                    let what = format!(
                        "decommissioning is stuck: what came of step {} is not known",
                        step.name
                    );
                    self.add(Weight::Broken, what, since, retry.clone());
                }
                _ => {}
            }
        }
        if let Some(waiting) = record.waiting {
            let weight = if waiting.overdue { Weight::Broken } else { Weight::Meant };
            let late = if waiting.overdue { ", and that takes too long" } else { "" };
            let what = format!("decommissioning waits: {}{late}", waiting.what);
            self.add(weight, what, Some(waiting.since.0), retry);
        } else if self.found.is_empty() {
            self.add(
                Weight::Meant,
                "it is being decommissioned",
                since,
                "{key:describe} shows how far it is",
            );
        }
    }

    fn state(&mut self) {
        let phase = self.host.status.as_ref().and_then(|s| s.phase).unwrap_or_default();
        let since = self.condition(READY).map(|(.., since)| since);
        let (weight, what, next) = match phase {
            Phase::Stopped => (
                Weight::Broken,
                "the provider says that the machine is stopped",
                "{key:browser} opens it at its provider; start it there",
            ),
            Phase::Gone => (
                Weight::Broken,
                "the provider says that the machine is gone",
                "retire the host, or delete it to have it decommissioned",
            ),
            Phase::Pending => (
                Weight::Note,
                "the machine is starting",
                "wait for it; {key:events} shows what happens",
            ),
            Phase::Planned => {
                (Weight::Meant, "it is planned, and not built yet", "nothing, until it is built")
            }
            Phase::Unknown => (
                Weight::Broken,
                "nobody says how the machine is: no source lists it and no agent answers",
                "{key:view-sources} shows the sources; start the agent on it",
            ),
            _ => return,
        };
        self.add(weight, what, since, next);
    }

    fn seen(&mut self, around: &Around<'_>) {
        if let Some((FALSE, _, message, since)) = self.condition(SEEN) {
            let why = after(message);
            let what = format!("its source does not list it any more{why}");
            self.add(
                Weight::Broken,
                what,
                Some(since),
                "{key:view-sources} shows the source; look for it there",
            );
        }
        if let Some((FALSE, reason, message, since)) = self.condition(PROVIDER_HEALTHY) {
            let what = format!("the provider finds it impaired: {reason}{}", after(message));
            self.add(Weight::Broken, what, Some(since), "{key:browser} opens it at its provider");
        }
        for source in around.sources.iter().filter(|source| source.state.is_trouble()) {
            let name = &source.name;
            let (what, next) = match source.state {
                State::BreakerOpen => (
                    format!(
                        "the source {name} would have lost too many hosts, and is not believed"
                    ),
                    "{key:view-sources}; if they are really gone, raise spec.breaker of the Source for one pass",
                ),
                State::NotRead => (
                    format!("the source {name} cannot be read: what it says is old"),
                    "{key:view-sources} shows why; mostly its credentials or its network",
                ),
                State::Stale => (
                    format!("the source {name} says nothing any more: what it says is old"),
                    "start inv-tui --headless fetch again, and read its log",
                ),
                _ => (
                    format!("the last pass over the source {name} was not complete"),
                    "{key:view-sources} shows which scope failed",
                ),
            };
            self.add(Weight::Note, what, source.last_pass, next);
        }
    }

    fn agent(&mut self, around: &Around<'_>) {
        let pending = around.request.as_ref().is_some_and(|r| r.state == csr::State::Pending);
        match self.condition(AGENT_READY) {
            Some((FALSE, _, message, since)) => {
                let what = format!("its agent does not answer: no heartbeat{}", after(message));
                let next = if pending {
                    "{key:approve} approves its certificate; then look again"
                } else {
                    "{key:ssh} opens a shell: systemctl status inv-tui-agent; is the machine up?"
                };
                self.add(Weight::Broken, what, Some(since), next);
            }
            None if self.host.status.as_ref().and_then(|s| s.phase) == Some(Phase::Unreachable) => {
                let next = "{key:ssh} opens a shell; is the machine up, and its network?";
                self.add(Weight::Broken, "it is unreachable", None, next);
            }
            _ => {}
        }
        if let Some((FALSE, reason, message, since)) = self.condition(DRAINED)
            && self.held().next().is_some()
            && reason != "InService"
        {
            let what = format!("its work has not been taken off it: {reason}{}", after(message));
            self.add(
                Weight::Note,
                what,
                Some(since),
                "{key:history} shows what the drain hook said",
            );
        }
    }

    fn request(&mut self, around: &Around<'_>) {
        let Some(request) = &around.request else { return };
        let name = &request.name;
        let since = request.created;
        let (weight, what, next) = match request.state {
            csr::State::Pending => (
                Weight::Broken,
                format!("its request for a certificate ({name}) waits: the agent cannot report"),
                "{key:approve} approves it, {key:deny} denies it; {key:view-certificates} shows it decoded",
            ),
            csr::State::Denied => (
                Weight::Broken,
                format!("its request for a certificate ({name}) was denied"),
                "{key:view-certificates} shows by whom and why; the agent asks again when it is restarted",
            ),
            csr::State::Failed => (
                Weight::Broken,
                format!("its certificate ({name}) was approved, and could not be signed"),
                "kubectl describe csr shows what the signer said",
            ),
            csr::State::Approved | csr::State::Issued => match request.expires {
                Some(end) if end <= self.now => {
                    let what = format!("its certificate ({name}) has expired");
                    let next =
                        "restart the agent: it asks for a new one, which {key:approve} approves";
                    return self.add(Weight::Broken, what, Some(end), next);
                }
                _ => return,
            },
        };
        self.add(weight, what, since, next);
    }

    fn run(&mut self) {
        let Some(status) = self.host.status.as_ref().and_then(|s| s.ansible.clone()) else {
            if let Some((FALSE, reason, message, since)) = self.condition(CONVERGED) {
                let what = format!("it is not as it should be: {reason}{}", after(message));
                self.add(Weight::Note, what, Some(since), "{key:run} runs Ansible on it");
            }
            return;
        };
        let since = status.finished_at.or(status.started_at).map(|time| time.0);
        let task = status.task.map(|task| format!(" at \"{task}\"")).unwrap_or_default();
        let message = after(status.message.as_deref().unwrap_or_default());
        match status.state {
            RunState::Failed => {
                let what = format!("its last Ansible run failed{task}{message}");
                self.add(
                    Weight::Broken,
                    what,
                    since,
                    "{key:describe} shows the end of its log; {key:run} runs it again",
                );
            }
            RunState::Unknown => {
                let what = format!("what came of its last Ansible run is not known{message}");
                self.add(
                    Weight::Note,
                    what,
                    since,
                    "{key:ssh} and look at it; {key:run} runs it again",
                );
            }
            RunState::Queued => {
                let what = format!("an Ansible run waits for its agent or a runner{message}");
                self.add(
                    Weight::Note,
                    what,
                    since,
                    "{key:view-runs} shows it; {key:run} takes it back",
                );
            }
            RunState::Running | RunState::Succeeded | RunState::Canceled => {}
        }
    }

    fn duplicate(&mut self) {
        if let Some((TRUE, _, message, since)) = self.condition(POSSIBLE_DUPLICATE) {
            let what = format!("another host may be the same machine{}", after(message));
            let next = "compare both with {key:describe}; delete the one that is wrong, or correct its identity";
            self.add(Weight::Broken, what, Some(since), next);
        }
    }

    /// What people want of it that keeps it out of service.
    fn wanted(&mut self) {
        if self.host.spec.paused {
            let next = "kubectl patch it with spec.paused false when that is over";
            self.add(Weight::Meant, "it is paused: services leave it alone", None, next);
        }
        let state = self.host.spec.service_state;
        if state != ServiceState::InService {
            let since = self.condition(super::condition::IN_SERVICE).map(|(.., since)| since);
            let what = format!("people want it {}", state.as_str());
            let next = "set spec.serviceState to InService when it is to serve again";
            self.add(Weight::Meant, what, since, next);
        }
    }

    /// Holds in force, by holder.
    fn held(&self) -> impl Iterator<Item = (&String, &super::host::Hold)> {
        let now = self.now;
        self.host.spec.maintenance.iter().filter(move |(_, hold)| {
            let begin = hold.since.0.saturating_sub(CLOCK_SLACK).unwrap_or(Timestamp::MIN);
            begin <= now && now < hold.until.0
        })
    }

    fn maintenance(&mut self) {
        let text = |(holder, hold): (&String, &super::host::Hold)| {
            let left = duration::short(hold.until.0.as_second() - self.now.as_second());
            (format!("{holder} holds it for {left} more: {}", hold.reason), hold.since.0)
        };
        let current: Vec<(String, Timestamp)> = self.held().map(text).collect();
        for (what, since) in current {
            self.add(
                Weight::Meant,
                what,
                Some(since),
                "{key:maintenance} ends your own; ask the holder of another",
            );
        }
        let over = self.host.spec.maintenance.iter().filter(|(_, h)| h.until.0 <= self.now);
        let over: Vec<(String, Timestamp)> = over
            .map(|(holder, hold)| (format!("the hold of {holder} has run out"), hold.until.0))
            .collect();
        for (what, since) in over {
            let next = "it counts no more; inv-tui --headless lifecycle takes it away";
            self.add(Weight::Note, what, Some(since), next);
        }
    }

    fn rest(&mut self) {
        if let Some((FALSE, reason, message, since)) = self.condition(OS_UP_TO_DATE) {
            let what =
                format!("its operating system is not the desired one: {reason}{}", after(message));
            self.add(Weight::Note, what, Some(since), "{key:describe} shows which one is wanted");
        }
        let status = self.host.status.clone().unwrap_or_default();
        for event in &status.scheduled_events {
            let what = format!("the provider plans {}", event.code);
            let since = event.not_before.as_ref().map(|time| time.0);
            self.add(Weight::Note, what, since, "{key:maintenance} before it begins");
        }
        if self.found.is_empty()
            && let Some((FALSE, reason, message, since)) = self.condition(READY)
        {
            let what = format!("it is not ready: {reason}{}", after(message));
            self.add(Weight::Broken, what, Some(since), "{key:describe} shows every condition");
        }
    }
}

/// `: message`, or nothing.
fn after(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

impl Reasons<'_> {
    fn budget(&mut self, around: &Around<'_>) {
        if around.cluster_paused {
            let next = "whoever paused the cluster ends that";
            self.add(
                Weight::Note,
                "its cluster is paused: nothing is begun on its hosts",
                None,
                next,
            );
        }
        if let Some((name, stands)) = around.used_up {
            let what = format!("the budget of cluster {name} is used up{}", after(stands));
            self.add(
                Weight::Note,
                what,
                None,
                "{key:view-maintenance} shows who holds what; end a hold first",
            );
        }
    }
}

#[cfg(test)]
mod tests;
