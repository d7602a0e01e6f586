//! What is done before a host goes: the steps of its decommissioning, one after the other. Pure, and
//! level-triggered: from the host and the steps of the file follows what is to be written down, and
//! then what is to be done. What was done stands in the host and nowhere else.
//!
//! The plan is made once, when the decommissioning is taken up. From then on no step is left out,
//! none begins before the one before it is over, and the end is reached only when all are.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::condition::{self, DELETING, condition};
use super::host::{
    DecommissionStatus, DecommissionStep, DecommissionWait, Host, RunState, StepState,
};
use super::labels::{FINALIZER, OWNER_HOOK, PROTECT, STEP_ANSWER};
use super::{lifecycle, text};

/// Most steps of a plan.
pub const MAX_STEPS: usize = 32;
/// Longest text about a step or a wait, in characters.
const MAX_TEXT: usize = 256;
/// Owner that stands for everybody whom no other step waits for.
pub const ANYBODY: &str = "*";

/// A step as the service's file has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// Owners that it waits for, in this order; none: something is done.
    pub owners: Option<Vec<String>>,
    /// It is never begun a second time without a person's word.
    pub once: bool,
    /// When it has failed for good the next one begins all the same.
    pub continue_on_failure: bool,
    /// How often it is begun until somebody is told.
    pub attempts: u32,
    /// Pause after the first failure; it doubles with each further one.
    pub pause: SignedDuration,
    /// Longest such pause.
    pub longest_pause: SignedDuration,
    /// Pause after the last of the attempts; then they begin anew.
    pub again_after: SignedDuration,
}

/// What is looked at.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The host, which is being deleted.
    pub host: &'a Host,
    /// Steps of the file.
    pub steps: &'a [Step],
    /// Names of those that are for this host; counts only while there is no plan.
    pub chosen: &'a [&'a str],
    /// How long a wait may last until somebody is told.
    pub alert_after: SignedDuration,
    /// The time now, in whole seconds.
    pub now: Timestamp,
}

/// What is to be written down, and what is to be done when it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The record.
    pub status: DecommissionStatus,
    /// The condition Deleting.
    pub condition: Condition,
    /// What is to be done.
    pub act: Act,
}

/// What is to be done once the record says so.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// Run a step.
    Run {
        /// Its name.
        step: String,
        /// Which attempt it is.
        attempt: i32,
    },
    /// Look again then, or when the host changes.
    Wait {
        /// When; none: only when the host changes.
        until: Option<Timestamp>,
        /// A step is soon begun again; nobody has to do anything.
        retry: bool,
    },
    /// Every step is over: take the finalizer off.
    Finish,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It succeeded; what it says.
    Done(String),
    /// It was begun and failed.
    Failed(String),
    /// It could not even be begun: nothing was done.
    NotBegun(String),
}

/// Something to tell people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tiding {
    /// Whether somebody has to do something.
    pub warning: bool,
    /// One word.
    pub reason: &'static str,
    /// What it is about: a step, or what is waited for. Events of one reason about the same are one.
    pub action: String,
    /// A sentence.
    pub note: String,
}

/// Whether the host has our finalizer.
pub fn is_kept(host: &Host) -> bool {
    host.metadata.finalizers.iter().flatten().any(|one| one == FINALIZER)
}

/// What follows for a host that is being deleted.
pub fn judge(view: &View<'_>) -> Verdict {
    let status = view.host.status.as_ref();
    let mut record = status.and_then(|status| status.decommission.clone()).unwrap_or_default();
    if record.started_at.is_none() {
        record = plan(view);
    }
    for step in &mut record.steps {
        orphan(step, view);
    }
    let before = record.waiting.take();
    let next = guard(view.host, view.now).or_else(|| unplaced(view, &record)).map(Next::Wait);
    let (act, reason, message) = match next.unwrap_or_else(|| step(view, &mut record)) {
        Next::Go(act, reason, message) => (act, reason, message),
        Next::Wait(wait) => {
            let entry = waiting(before, &wait, view);
            let alert = entry.since.0.saturating_add(view.alert_after).ok();
            let until = [wait.until, alert.filter(|_| !entry.overdue)].into_iter().flatten().min();
            let overdue = if entry.overdue { ", which is too long" } else { "" };
            let message = format!("{}, since {}{overdue}", wait.what, entry.since.0);
            record.waiting = Some(entry);
            (Act::Wait { until, retry: false }, wait.reason, message)
        }
    };
    let old = status.and_then(|status| condition::find(&status.conditions, DELETING));
    let condition = condition(old, DELETING, true, reason, &message, view.now);
    Verdict { status: record, condition, act }
}

/// What is next.
enum Next {
    /// Something has to end first.
    Wait(Wait),
    /// What is to be done, and reason and message of the condition.
    Go(Act, &'static str, String),
}

struct Wait {
    reason: &'static str,
    what: String,
    /// When the clock may end it.
    until: Option<Timestamp>,
}

impl Wait {
    fn new(reason: &'static str, what: &str) -> Self {
        Self { reason, what: short(what), until: None }
    }
}

/// Text of others, made harmless and not too long.
fn short(text: &str) -> String {
    text::clean(text).chars().take(MAX_TEXT).collect()
}

fn plan(view: &View<'_>) -> DecommissionStatus {
    let chosen = view.steps.iter().filter(|step| view.chosen.contains(&step.name.as_str()));
    let steps = chosen.take(MAX_STEPS).map(|step| DecommissionStep {
        name: step.name.clone(),
        state: StepState::Pending,
        attempts: 0,
        started_at: None,
        finished_at: None,
        next_at: None,
        message: None,
    });
    DecommissionStatus { started_at: Some(Time(view.now)), waiting: None, steps: steps.collect() }
}

/// A step that runs while nobody runs it: whoever began it has died.
fn orphan(record: &mut DecommissionStep, view: &View<'_>) {
    if record.state != StepState::Running {
        return;
    }
    // Of a step that the file has no more nobody knows whether it may be begun again.
    if view.steps.iter().any(|step| step.name == record.name && !step.once) {
        record.state = StepState::Pending;
    } else {
        record.state = StepState::Unknown;
        record.message = Some("it was begun, and then the service died".to_owned());
    }
}

/// What keeps any host from being decommissioned now.
fn guard(host: &Host, now: Timestamp) -> Option<Wait> {
    if host.metadata.annotations.iter().flatten().any(|(key, _)| key == PROTECT) {
        return Some(Wait::new("Protected", &format!("the annotation {PROTECT} protects it")));
    }
    let holders: Vec<&str> = lifecycle::current(host, now).map(|(holder, _)| holder).collect();
    if !holders.is_empty() {
        let wait = Wait::new("Held", &format!("it is held by {}", holders.join(", ")));
        return Some(Wait { until: lifecycle::due(host, now), ..wait });
    }
    if host.spec.paused {
        return Some(Wait::new("Paused", "spec.paused is true"));
    }
    let run = host.status.as_ref().and_then(|status| status.ansible.as_ref());
    let run = run.filter(|run| run.state == RunState::Running)?;
    Some(Wait::new("RunGoesOn", &format!("the Ansible run {} goes on", run.request_id)))
}

/// Owners that keep the host.
fn owners(host: &Host) -> BTreeSet<&str> {
    let keys = host.metadata.annotations.iter().flatten();
    keys.filter_map(|(key, _)| key.strip_prefix(OWNER_HOOK)).collect()
}

fn named<'a>(view: &View<'a>, step: &DecommissionStep) -> &'a [String] {
    let found = view.steps.iter().find(|one| one.name == step.name);
    found.and_then(|step| step.owners.as_deref()).unwrap_or_default()
}

/// An owner whom no step to come waits for is waited for at once.
fn unplaced(view: &View<'_>, record: &DecommissionStatus) -> Option<Wait> {
    let open = record.steps.iter().filter(|step| !step.state.is_over());
    let placed: BTreeSet<&str> =
        open.flat_map(|step| named(view, step)).map(String::as_str).collect();
    if placed.contains(ANYBODY) {
        return None;
    }
    let mut all = owners(view.host).into_iter();
    let owner = all.find(|owner| !placed.contains(owner))?;
    Some(Wait::new("OwnerKeepsIt", &keeps(owner)))
}

fn keeps(owner: &str) -> String {
    format!("its owner \"{owner}\" has not taken {OWNER_HOOK}{owner} off yet")
}

/// What is next of the steps. Those that turn out to be over are written down on the way.
fn step(view: &View<'_>, record: &mut DecommissionStatus) -> Next {
    let total = record.steps.len();
    let later: Vec<Vec<&str>> = (0..total)
        .map(|index| {
            let rest = record.steps.iter().skip(index + 1);
            rest.flat_map(|step| named(view, step)).map(String::as_str).collect()
        })
        .collect();
    for ((index, step), later) in record.steps.iter_mut().enumerate().zip(later) {
        if step.state.is_over() {
            continue;
        }
        let place = format!("step {} of {total}, {}", index + 1, step.name);
        let Some(known) = view.steps.iter().find(|known| known.name == step.name) else {
            if answer(view.host, step) == Some(Answer::Done) {
                over(step, StepState::Succeeded, "a person says that it is done", view.now);
                continue;
            }
            let say = format!("{STEP_ANSWER}={}/{}=done", step.name, step.attempts);
            let what = format!(
                "{place}: the service's file has it no more; put it back, or annotate {say}"
            );
            return Next::Wait(Wait::new("StepMissing", &what));
        };
        if let Some(wanted) = &known.owners {
            let there = owners(view.host);
            let mut rest = there.iter().filter(|owner| !later.contains(*owner));
            let owner = wanted.iter().find_map(|owner| match owner.as_str() {
                ANYBODY => rest.next().copied(),
                owner => there.get(owner).copied(),
            });
            let Some(owner) = owner else {
                over(step, StepState::Succeeded, "no owner keeps it", view.now);
                continue;
            };
            step.started_at.get_or_insert(Time(view.now));
            return Next::Wait(Wait::new("OwnerKeepsIt", &format!("{place}: {}", keeps(owner))));
        }
        if step.state == StepState::Unknown {
            match answer(view.host, step) {
                Some(Answer::Done) => {
                    over(step, StepState::Succeeded, "a person says that it is done", view.now);
                    continue;
                }
                Some(Answer::Again) => return begin(step, &place, view.now),
                None => {}
            }
            let say = format!("{STEP_ANSWER}={}/{}=done or =again", step.name, step.attempts);
            let what = format!("{place}: nobody knows how it ended; look, then annotate {say}");
            return Next::Wait(Wait::new("StepUnknown", &what));
        }
        return match step.next_at.as_ref().map(|at| at.0).filter(|at| *at > view.now) {
            None => begin(step, &place, view.now),
            Some(at) => {
                let retry = step.state == StepState::Retrying;
                let reason = if retry { "StepRetrying" } else { "StepStuck" };
                let why = step.message.as_deref().unwrap_or_default();
                let message =
                    format!("{place}: failed {} times, again at {at}: {why}", step.attempts);
                Next::Go(Act::Wait { until: Some(at), retry }, reason, message)
            }
        };
    }
    let failed: Vec<&str> = record
        .steps
        .iter()
        .filter(|s| s.state == StepState::Failed)
        .map(|s| s.name.as_str())
        .collect();
    let mut message = match total {
        1 => "1 step done".to_owned(),
        _ => format!("{total} steps done"),
    };
    if !failed.is_empty() {
        message = format!("{message}, of them failed: {}", failed.join(", "));
    }
    let others = view.host.metadata.finalizers.iter().flatten().filter(|one| *one != FINALIZER);
    let others: Vec<&str> = others.map(String::as_str).collect();
    if !others.is_empty() {
        message = format!("{message}; other finalizers: {}", short(&others.join(", ")));
    }
    Next::Go(Act::Finish, "StepsDone", message)
}

fn begin(step: &mut DecommissionStep, place: &str, now: Timestamp) -> Next {
    step.state = StepState::Running;
    step.attempts = step.attempts.saturating_add(1);
    step.started_at = Some(Time(now));
    step.finished_at = None;
    step.next_at = None;
    let act = Act::Run { step: step.name.clone(), attempt: step.attempts };
    Next::Go(act, "StepRuns", format!("{place}: attempt {}, since {now}", step.attempts))
}

fn over(step: &mut DecommissionStep, state: StepState, message: &str, now: Timestamp) {
    step.state = state;
    step.finished_at = Some(Time(now));
    step.next_at = None;
    step.message = Some(short(message)).filter(|message| !message.is_empty());
}

#[derive(PartialEq)]
enum Answer {
    Done,
    Again,
}

/// What a person says about this attempt. What was said about an earlier one counts no more.
fn answer(host: &Host, step: &DecommissionStep) -> Option<Answer> {
    let mut all = host.metadata.annotations.iter().flatten();
    let (_, said) = all.find(|(key, _)| *key == STEP_ANSWER)?;
    let (about, word) = said.split_once('=')?;
    if about != format!("{}/{}", step.name, step.attempts) {
        return None;
    }
    match word {
        "done" => Some(Answer::Done),
        "again" => Some(Answer::Again),
        _ => None,
    }
}

/// The entry about a wait: the same one while it is the same wait.
fn waiting(old: Option<DecommissionWait>, wait: &Wait, view: &View<'_>) -> DecommissionWait {
    let same = old.filter(|old| old.reason == wait.reason && old.what == wait.what);
    let since = same.as_ref().map_or(view.now, |old| old.since.0);
    let late = since.saturating_add(view.alert_after).is_ok_and(|at| at <= view.now);
    DecommissionWait {
        reason: wait.reason.to_owned(),
        what: wait.what.clone(),
        since: Time(since),
        overdue: late || same.is_some_and(|old| old.overdue),
    }
}

/// The record with the end of an attempt in it. None: the record is not at that attempt any more.
/// `random` is between 0 and 1.
pub fn ended(
    record: &DecommissionStatus,
    known: &Step,
    attempt: i32,
    outcome: &Outcome,
    now: Timestamp,
    random: f64,
) -> Option<DecommissionStatus> {
    let mut record = record.clone();
    let step = record.steps.iter_mut().find(|step| step.name == known.name)?;
    // Unknown: another one thought that we had died.
    if step.attempts != attempt || !matches!(step.state, StepState::Running | StepState::Unknown) {
        return None;
    }
    let attempts = i32::try_from(known.attempts.max(1)).unwrap_or(i32::MAX);
    let exhausted = attempt % attempts == 0;
    let (why, begun) = match outcome {
        Outcome::Done(message) => {
            over(step, StepState::Succeeded, message, now);
            return Some(record);
        }
        Outcome::Failed(why) => (why, true),
        Outcome::NotBegun(why) => (why, false),
    };
    over(step, StepState::Failed, why, now);
    if known.continue_on_failure && (exhausted || begun && known.once) {
        return Some(record);
    }
    if begun && known.once {
        step.state = StepState::Unknown;
        return Some(record);
    }
    let pause = if exhausted {
        step.state = StepState::Stuck;
        seconds(known.again_after, random.mul_add(0.1, 1.0))
    } else {
        step.state = StepState::Retrying;
        let doubled = 1_i32.checked_shl(((attempt - 1) % attempts).unsigned_abs().min(20));
        let pause = known.pause.saturating_mul(doubled.unwrap_or(1)).min(known.longest_pause);
        seconds(pause, random.mul_add(0.5, 0.5))
    };
    step.next_at = Some(Time(now.saturating_add(pause).unwrap_or(Timestamp::MAX)));
    Some(record)
}

/// A part of a length of time in whole seconds, one at least.
fn seconds(length: SignedDuration, part: f64) -> SignedDuration {
    let exact = length.mul_f64(part);
    let whole = SignedDuration::from_secs(exact.as_secs());
    let up = if whole < exact { whole + SignedDuration::from_secs(1) } else { whole };
    up.max(SignedDuration::from_secs(1))
}

/// What people are to hear of a change of the record.
pub fn tidings(old: Option<&DecommissionStatus>, new: &DecommissionStatus) -> Vec<Tiding> {
    let mut all = Vec::new();
    let mut tell = |warning, reason, action: &str, note: String| {
        all.push(Tiding { warning, reason, action: action.to_owned(), note });
    };
    let old = old.filter(|old| old.started_at.is_some());
    if old.is_none() {
        let names: Vec<&str> = new.steps.iter().map(|step| step.name.as_str()).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        tell(false, "DecommissionBegins", "Decommission", format!("steps: {names}"));
    }
    for step in &new.steps {
        let before = old.and_then(|old| old.steps.iter().find(|one| one.name == step.name));
        if before
            .is_some_and(|before| before.state == step.state && before.attempts == step.attempts)
        {
            continue;
        }
        let attempt = match step.attempts {
            0 => String::new(),
            number => format!(", attempt {number}"),
        };
        let message = step.message.as_deref().filter(|message| !message.is_empty());
        let message = message.map_or_else(String::new, |message| format!(": {message}"));
        let note = format!("{}{attempt}{message}", step.name);
        match step.state {
            StepState::Pending | StepState::Running => {}
            StepState::Succeeded => tell(false, "StepDone", &step.name, note),
            StepState::Retrying => tell(true, "StepFailed", &step.name, note),
            StepState::Stuck => tell(true, "StepStuck", &step.name, note),
            StepState::Failed => tell(true, "StepGivenUp", &step.name, note),
            StepState::Unknown => tell(true, "StepUnknown", &step.name, note),
        }
    }
    if let Some(wait) = &new.waiting {
        let before = old.and_then(|old| old.waiting.as_ref());
        let before = before.filter(|old| old.reason == wait.reason && old.what == wait.what);
        if before.is_none() {
            tell(false, "DecommissionWaits", &wait.reason, wait.what.clone());
        }
        if wait.overdue && before.is_none_or(|before| !before.overdue) {
            let note = format!("waits since {}: {}", wait.since.0, wait.what);
            tell(true, "DecommissionOverdue", &wait.reason, note);
        }
    }
    all
}

/// The whole story in one line, for what remains of a host that is gone.
pub fn story(record: &DecommissionStatus) -> String {
    let steps = record.steps.iter().map(|step| {
        let times = if step.attempts > 1 {
            format!(" in {} attempts", step.attempts)
        } else {
            String::new()
        };
        format!("{} {}{times}", step.name, step.state.as_str())
    });
    let steps: Vec<String> = steps.collect();
    if steps.is_empty() { "no steps".to_owned() } else { steps.join(", ") }
}

#[cfg(test)]
mod tests;
