//! Changing things: whether we may, as whom, and the strips that the keys open.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::clusters::{Judge, Verdict};
use super::marks::Targets;
use super::orders::{Going, History, Results};
use super::strip::{Item, Opening, Strip};
use super::{Link, Model, Overlay};
use crate::act::Verb;
use crate::model::change::{self, Change, HoldChange, Target};
use crate::model::duration;
use crate::model::key::Uid;
use crate::model::policy::Facts;
use crate::model::row::HostRow;
use crate::ui::actions::{Action, Needs};
use crate::ui::msg::Command;

/// Whether and as whom we may write, and what was done.
#[derive(Clone, Debug, Default)]
pub struct Writing {
    /// Writing is armed.
    pub armed: bool,
    /// When it is disarmed again; none: it stays.
    pub armed_until: Option<Timestamp>,
    /// What the server lets us do, by verb and resource, as far as it has told.
    pub may: BTreeMap<(&'static str, &'static str), bool>,
    /// The name under which the server knows us.
    pub user: Option<String>,
    /// The holder under which our holds stand, from that name.
    pub holder: Option<String>,
    /// Why the holder is not known.
    pub holder_problem: Option<String>,
    /// The order that is being carried out.
    pub going: Option<Box<Going>>,
    /// What came of the last order for several hosts.
    pub results: Option<Box<Results>>,
    /// Orders that can be taken back, and made again.
    pub(super) history: History,
    /// What `.` does again.
    pub(super) last: Option<Last>,
}

/// An act with its parameters, to be done again on other hosts.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Last {
    /// What was done.
    pub(super) verb: Verb,
    /// Why.
    pub(super) reason: String,
    /// The length of a hold.
    pub(super) length: String,
    /// The ticket of a hold.
    pub(super) ticket: String,
    /// What was run.
    pub(super) run: Option<super::run_dialog::Choice>,
    /// The edit of labels that was made.
    pub(super) label: Option<crate::model::labels::Edit>,
}

impl Writing {
    pub(super) fn new(armed: bool) -> Self {
        Self { armed, ..Self::default() }
    }

    pub(super) fn user(&mut self, result: Result<String, String>) {
        match result {
            Ok(user) => {
                self.holder = Some(change::holder(&user));
                self.user = Some(user);
            }
            Err(problem) => self.holder_problem = Some(problem),
        }
    }

    pub(super) fn disarm(&mut self) {
        self.armed = false;
        self.armed_until = None;
    }
}

/// The permission that every change of a host needs.
pub(super) const PATCH_HOSTS: Needs = Needs::Write("patch", "hosts");

impl Model {
    /// Why no host can be changed now, if so.
    pub fn cannot_write(&self) -> Option<String> {
        self.cannot(PATCH_HOSTS)
    }

    /// The permission that is missing for these needs, such as `patch hosts`.
    pub fn lacks(&self, needs: Needs) -> Option<String> {
        let Needs::Write(verb, resource) = needs else { return None };
        let may = self.writing.may.get(&(verb, resource)).copied();
        (may == Some(false)).then(|| format!("{verb} {resource}"))
    }

    /// Why nothing with these needs can be done now, if so.
    pub fn cannot(&self, needs: Needs) -> Option<String> {
        if needs == Needs::Nothing {
            return None;
        }
        if let Some(why) = self.only_last() {
            return Some(why);
        }
        match &self.link {
            Link::Lost { .. } => {
                return Some("not connected: changes are refused until the server answers (ctrl-r tries now)".into());
            }
            Link::Connecting => return Some("not connected yet".into()),
            Link::Listing | Link::Live => {}
        }
        if let Some(missing) = self.lacks(needs) {
            return Some(format!(
                "your user lacks the permission to {missing}; ask for the operator role"
            ));
        }
        if !self.writing.armed {
            return Some("writing is disarmed (read-only): W arms it".into());
        }
        if self.writing.going.is_some() {
            return Some("a change is on its way".into());
        }
        None
    }

    pub(super) fn arm(&mut self) {
        if self.writing.armed {
            self.writing.disarm();
            self.say("writing is disarmed: nothing can be changed");
        } else {
            let length = self.settings.config.arm_for;
            self.writing.armed = true;
            self.writing.armed_until = Timestamp::from_second(
                self.now.as_second() + i64::try_from(length.as_secs()).unwrap_or(i64::MAX / 2),
            )
            .ok();
            self.say(format!(
                "writing is armed for {}",
                duration::short(i64::try_from(length.as_secs()).unwrap_or(i64::MAX))
            ));
        }
    }

    /// Whether an action must wait until the server has told who we are; then it is kept, and done
    /// when the answer is there, unless another key comes first.
    pub(super) fn must_ask(&mut self, action: Action) -> bool {
        let asked = self.writing.holder.is_none() && self.writing.holder_problem.is_none();
        let needs =
            matches!(action, Action::Maintenance | Action::Run | Action::Labels | Action::Repeat);
        if !asked || !needs || self.cannot_write().is_some() {
            return false;
        }
        self.notice = None;
        self.wanted = Some(action);
        true
    }

    /// The hosts to act on, or a sentence why there are none; and the holder that we are.
    pub(super) fn ready_to_act(&self) -> Result<(Targets, String), String> {
        if let Some(problem) = self.cannot_write() {
            return Err(problem);
        }
        let Some(holder) = self.writing.holder.clone() else {
            let why = self
                .writing
                .holder_problem
                .clone()
                .unwrap_or_else(|| "the server has not told yet".into());
            return Err(format!("cannot hold a host without knowing who you are: {why}"));
        };
        let targets = self.targets();
        if targets.hosts.is_empty() {
            return Err(match targets.hidden.len() {
                0 => "there is no host here".to_owned(),
                1 => "the one marked host is hidden by the filter: 0 shows it, esc takes the mark away".to_owned(),
                n => format!("all {n} marked hosts are hidden by the filter: 0 shows them, esc takes the marks away"),
            });
        }
        Ok((targets, holder))
    }

    /// `m`: ends our holds when all the targets have one, else begins one on those that have none.
    pub(super) fn maintenance(&mut self) {
        let (targets, holder) = match self.ready_to_act() {
            Ok(ready) => ready,
            Err(problem) => return self.fail(problem),
        };
        let mine = |uid: &Uid| {
            self.inventory.get(uid).is_none_or(|row| row.is_deleting() || holds(row, &holder))
        };
        let all = targets.hosts.iter().all(mine);
        let verb = if all { Verb::MaintenanceOff } else { Verb::MaintenanceOn };
        self.open_maintenance(verb, targets, None);
    }

    /// Opens the strip that begins or ends our holds on these hosts.
    pub(super) fn open_maintenance(&mut self, verb: Verb, targets: Targets, again: Option<&Last>) {
        let Some(holder) = self.writing.holder.clone() else { return };
        let beginning = verb == Verb::MaintenanceOn;
        let mut judge = Judge::new(self, verb, targets.hosts.len() > 1);
        let mut items = Vec::new();
        let mut left_out = LeftOut::default();
        for row in targets.hosts.iter().filter_map(|uid| self.inventory.get(uid)) {
            let mine = holds(row, &holder);
            if row.is_deleting() {
                left_out.add(row, "being deleted");
            } else if mine && beginning {
                left_out.add(row, "held by you already");
            } else if !mine && !beginning {
                left_out.add(row, "not held by you");
            } else {
                let verdict = judge.verdict(&Facts::of_row(row, self.now), row);
                items.push(self.hold_item(row, &holder, verdict));
            }
        }
        if items.is_empty() {
            return self.fail(left_out.sentence());
        }
        let before = self.writing.last.as_ref().filter(|last| last.verb == Verb::MaintenanceOn);
        let reason = match again.or(before) {
            Some(last) => last.reason.clone(),
            None => self.settings.config.maintenance.reason.clone(),
        };
        let seconds = self.settings.config.maintenance.length.as_secs();
        let length = duration::short(i64::try_from(seconds).unwrap_or(i64::MAX));
        let uids: Vec<Uid> = items.iter().map(|item| item.change.target().uid.clone()).collect();
        let opening = Opening {
            left_out: left_out.lines(),
            hidden: targets.hidden,
            whole: targets.whole,
            stands: if beginning { self.stands(&uids) } else { Vec::new() },
            reason: if beginning { reason } else { String::new() },
            length: again.map_or(length, |last| last.length.clone()),
            ticket: again.map(|last| last.ticket.clone()).unwrap_or_default(),
        };
        self.open_strip(Strip::new(verb, items, opening));
    }

    /// The strip's item for our hold on a host: its end, if there is one, else its begin.
    fn hold_item(&self, row: &HostRow, holder: &str, verdict: Verdict) -> Item {
        let others = row.holds().iter().filter(|hold| *hold.holder != *holder);
        let others = others.map(|hold| (hold.holder.to_string(), (*hold.exact).clone())).collect();
        let mine = row.holds().iter().find(|hold| *hold.holder == *holder);
        let change = Change::Hold(HoldChange {
            target: target(row),
            holder: holder.to_owned(),
            old: mine.map(|hold| (*hold.exact).clone()),
            new: None,
        });
        Item {
            others,
            against: verdict.against,
            notes: verdict.notes,
            protected: self.protected(row),
            ..Item::new(change, row.display().to_owned())
        }
    }

    pub(super) fn open_strip(&mut self, strip: Strip) {
        self.notice = None;
        self.overlay = Overlay::Strip(Box::new(strip));
    }

    /// Opens the strip again with the marked hosts that the filter hides.
    pub(super) fn add_hidden(&mut self, strip: Strip) {
        let uids = strip.items.iter().map(|item| item.change.target().uid.clone());
        let targets = Targets {
            hosts: uids.chain(strip.hidden.iter().cloned()).collect(),
            hidden: Vec::new(),
            whole: strip.whole.clone(),
        };
        let (reason, length, ticket, typed) =
            (strip.reason.clone(), strip.length.clone(), strip.ticket.clone(), strip.typed);
        let before = strip.items.len();
        match strip.verb {
            Verb::MaintenanceOn | Verb::MaintenanceOff => {
                self.open_maintenance(strip.verb, targets, None);
            }
            // Runs and labels are chosen for their hosts beforehand.
            Verb::Run | Verb::CancelRun | Verb::Label | Verb::Undo | Verb::Redo => {
                self.overlay = Overlay::Strip(Box::new(strip));
                return;
            }
        }
        if let Overlay::Strip(strip) = &mut self.overlay {
            (strip.length, strip.ticket) = (length, ticket);
            if typed {
                strip.give_reason(reason);
            }
            let added = strip.items.len().saturating_sub(before);
            strip.moved = Some(format!("{added} hidden added"));
        }
    }

    /// Whether the host carries one of the protected labels.
    pub(super) fn protected(&self, row: &HostRow) -> bool {
        self.settings.config.maintenance.protected_labels.iter().any(|label| {
            label
                .split_once('=')
                .is_some_and(|wanted| self.inventory.labels(row).any(|label| label == wanted))
        })
    }

    /// Does the last act again, on the hosts that are meant now.
    pub(super) fn repeat(&mut self) -> Vec<Command> {
        let Some(last) = self.writing.last.clone() else {
            self.say("nothing to do again");
            return Vec::new();
        };
        let targets = match self.ready_to_act() {
            Ok((targets, _)) => targets,
            Err(problem) => {
                self.fail(problem);
                return Vec::new();
            }
        };
        match (last.verb, &last.run) {
            (Verb::MaintenanceOn | Verb::MaintenanceOff, _) => {
                self.open_maintenance(last.verb, targets, Some(&last));
                Vec::new()
            }
            (Verb::Label, _) => self.ask_for_label(targets, last.label.as_ref()),
            (Verb::Run, Some(choice)) => self.ask_for_run(targets, Some(choice.clone())),
            _ => self.ask_for_run(targets, None),
        }
    }
}

/// Whether there is a hold of this holder, whether or not it has run out.
fn holds(row: &HostRow, holder: &str) -> bool {
    row.holds().iter().any(|hold| *hold.holder == *holder)
}

/// The target as it is now.
pub(super) fn target(row: &HostRow) -> Target {
    Target {
        uid: row.uid().clone(),
        namespace: row.namespace().to_owned(),
        name: row.name().to_owned(),
        resource_version: row.resource_version().to_owned(),
    }
}

/// Hosts that an act leaves out, by reason.
#[derive(Default)]
pub(super) struct LeftOut(BTreeMap<&'static str, BTreeSet<String>>);

impl LeftOut {
    pub(super) fn add(&mut self, row: &HostRow, reason: &'static str) {
        self.0.entry(reason).or_default().insert(row.display().to_owned());
    }

    /// `2 held by you already`, `web-1 being deleted`.
    pub(super) fn lines(&self) -> Vec<String> {
        let line = |(reason, names): (&&str, &BTreeSet<String>)| match names.first() {
            Some(name) if names.len() == 1 => format!("{name} is {reason}"),
            _ => format!("{} are {reason}", names.len()),
        };
        self.0.iter().map(line).collect()
    }

    pub(super) fn sentence(&self) -> String {
        if self.0.is_empty() { "there is no host here".to_owned() } else { self.lines().join(", ") }
    }
}
