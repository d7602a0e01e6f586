//! Changing things: whether we may, as whom, and the strips that the keys open.

use std::collections::{BTreeMap, BTreeSet};

use super::clusters::{Judge, Verdict};
use super::marks::Targets;
use super::orders::{Going, History, Results};
use super::strip::{Item, Opening, Strip};
use super::{Model, Overlay, Server};
use crate::act::Verb;
use crate::model::change::{Change, HoldChange, Target};
use crate::model::duration;
use crate::model::key::{ServerId, Uid};
use crate::model::policy::Facts;
use crate::model::row::HostRow;
use crate::ui::actions::{Action, Needs};
use crate::ui::msg::Command;

/// What is done to hosts, and was.
#[derive(Clone, Debug, Default)]
pub struct Writing {
    /// The orders that are being carried out, the oldest first; on each server one at most.
    pub going: Vec<Going>,
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

/// The permission that every change of a host needs.
pub(super) const PATCH_HOSTS: Needs = Needs::Write("patch", "hosts");

impl Model {
    /// Why no host can be changed now, if so.
    pub fn cannot_write(&self) -> Option<String> {
        self.cannot(PATCH_HOSTS)
    }

    /// Whether an action must wait until a server has told who we are; then it is kept, and done
    /// when the answer is there, unless another key comes first.
    pub(super) fn must_ask(&mut self, action: Action) -> bool {
        let needs =
            matches!(action, Action::Maintenance | Action::Run | Action::Labels | Action::Repeat);
        if !needs {
            return false;
        }
        let silent = |(id, server): (ServerId, &Server)| {
            !server.has_told_who() && self.cannot_on(id, PATCH_HOSTS).is_none()
        };
        let silent: BTreeSet<ServerId> =
            self.servers.used().filter(|known| silent(*known)).map(|(id, _)| id).collect();
        let asked = !silent.is_empty()
            && (!self.servers.several()
                || self.targets().hosts.iter().any(|uid| silent.contains(&uid.server())));
        if asked {
            self.notice = None;
            self.wanted = Some(action);
        }
        asked
    }

    /// The hosts to act on, or a sentence why there are none. Those of servers on which nothing can
    /// be done now are left out, and why.
    pub(super) fn ready_to_act(&self) -> Result<Targets, String> {
        // Of several servers it is those of the targets that count, which may be marked elsewhere.
        if let Some(problem) = self.cannot_write().filter(|_| !self.servers.several()) {
            return Err(problem);
        }
        let mut targets = self.targets();
        if targets.hosts.is_empty() {
            let (all, back) = (self.key(Action::Everything), self.key(Action::Back));
            return Err(match targets.hidden.len() {
                0 => "there is no host here: move the cursor to one, or mark some".to_owned(),
                1 => format!(
                    "the one marked host is hidden by the filter: {all} shows it, {back} takes the mark away"
                ),
                n => format!(
                    "all {n} marked hosts are hidden by the filter: {all} shows them, {back} takes the marks away"
                ),
            });
        }
        let (hosts, refused) = self.reachable(std::mem::take(&mut targets.hosts));
        let why = refused.values().next().map(|(_, why)| why.clone()).unwrap_or_default();
        if hosts.is_empty() {
            return Err(why);
        }
        let line = |(count, why): (usize, String)| format!("{count} on {why}");
        targets.refused = refused.into_values().map(line).collect();
        targets.hosts = hosts;
        Ok(targets)
    }

    /// The hosts of servers on which something can be done now; and of the others how many hosts
    /// they have among these, and why nothing can be done there.
    pub(super) fn reachable(
        &self,
        hosts: Vec<Uid>,
    ) -> (Vec<Uid>, BTreeMap<ServerId, (usize, String)>) {
        let servers: BTreeSet<ServerId> = hosts.iter().map(Uid::server).collect();
        let why = |id: ServerId| Some((id, (0, self.cannot_act_on(id)?)));
        let mut refused: BTreeMap<_, _> = servers.into_iter().filter_map(why).collect();
        if refused.is_empty() {
            return (hosts, refused);
        }
        let mut kept = Vec::new();
        for uid in hosts {
            match refused.get_mut(&uid.server()) {
                Some((count, _)) => *count += 1,
                None => kept.push(uid),
            }
        }
        (kept, refused)
    }

    /// `m`: ends our holds when all the targets have one, else begins one on those that have none.
    pub(super) fn maintenance(&mut self) {
        let targets = match self.ready_to_act() {
            Ok(targets) => targets,
            Err(problem) => return self.fail(problem),
        };
        let mine = |uid: &Uid| {
            let row = self.inventory.get(uid);
            row.is_none_or(|row| row.is_deleting() || holds(row, self.holder(uid)))
        };
        let all = targets.hosts.iter().all(mine);
        let verb = if all { Verb::MaintenanceOff } else { Verb::MaintenanceOn };
        self.open_maintenance(verb, targets, None);
    }

    /// Opens the strip that begins or ends our holds on these hosts.
    pub(super) fn open_maintenance(&mut self, verb: Verb, targets: Targets, again: Option<&Last>) {
        let beginning = verb == Verb::MaintenanceOn;
        let mut judge = Judge::new(self, verb, targets.hosts.len() > 1);
        let mut items = Vec::new();
        let mut left_out = LeftOut::default();
        for row in targets.hosts.iter().filter_map(|uid| self.inventory.get(uid)) {
            let mine = holds(row, self.holder(row.uid()));
            if row.is_deleting() {
                left_out.add(row, "being deleted");
            } else if mine && beginning {
                left_out.add(row, "held by you already");
            } else if !mine && !beginning {
                left_out.add(row, "not held by you");
            } else {
                let verdict = judge.verdict(&Facts::of_row(row, self.now), row);
                items.push(self.hold_item(row, verdict));
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
            left_out: targets.refused.into_iter().chain(left_out.lines()).collect(),
            hidden: targets.hidden,
            whole: targets.whole,
            stands: if beginning { self.stands(&uids) } else { Vec::new() },
            reason: if beginning { reason } else { String::new() },
            length: again.map_or(length, |last| last.length.clone()),
            ticket: again.map(|last| last.ticket.clone()).unwrap_or_default(),
            entry: None,
        };
        self.open_strip(Strip::new(verb, items, opening));
    }

    /// The strip's item for our hold on a host: its end, if there is one, else its begin.
    fn hold_item(&self, row: &HostRow, verdict: Verdict) -> Item {
        let holder = self.holder(row.uid());
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

    pub(super) fn open_strip(&mut self, mut strip: Strip) {
        self.notice = None;
        if strip.servers().len() > 1 {
            strip.name_servers(|server, name| self.with_server(server, name));
        }
        self.overlay = Overlay::Strip(Box::new(strip));
    }

    /// Opens the strip again with the marked hosts that the filter hides.
    pub(super) fn add_hidden(&mut self, strip: Strip) {
        let uids = strip.items.iter().map(|item| item.change.target().uid.clone());
        let targets = Targets {
            hosts: uids.chain(strip.hidden.iter().cloned()).collect(),
            hidden: Vec::new(),
            whole: strip.whole.clone(),
            refused: Vec::new(),
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
        self.config_on(row.uid().server()).maintenance.protected_labels.iter().any(|label| {
            label
                .split_once('=')
                .is_some_and(|wanted| self.inventory.labels(row).any(|label| label == wanted))
        })
    }

    /// Does the last act again, on the hosts that are meant now.
    pub(super) fn repeat(&mut self) -> Vec<Command> {
        let Some(last) = self.writing.last.clone() else {
            self.say("nothing has been done yet that could be repeated");
            return Vec::new();
        };
        let targets = match self.ready_to_act() {
            Ok(targets) => targets,
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
