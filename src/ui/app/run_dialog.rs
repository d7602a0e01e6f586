//! The dialog that chooses an Ansible run: playbook, tags, check mode. It changes nothing itself:
//! what it ends in is the change strip.

use std::collections::BTreeSet;

use ratatui::crossterm::event::{KeyCode, KeyEvent};

use super::clusters::Judge;
use super::marks::Targets;
use super::orders::current_target;
use super::strip::{Item, Opening, Strip};
use super::writing::LeftOut;
use super::{Model, Overlay};
use crate::act::Verb;
use crate::model::change::{Change, RunChange};
use crate::model::cluster::Playbook;
use crate::model::host::{AnsibleRequest, RunState};
use crate::store::read::Known;
use crate::ui::actions::Action;
use crate::ui::msg::Command;

/// What is run, whatever the hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// The playbook.
    pub playbook: String,
    /// Tags to run.
    pub tags: Vec<String>,
    /// Report what would change and change nothing.
    pub check: bool,
}

/// Which list of the dialog has the keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// The playbooks.
    #[default]
    Playbooks,
    /// Check mode and tags.
    Options,
}

/// An open run dialog.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunDialog {
    /// The hosts; frozen when the dialog opened.
    pub targets: Targets,
    /// Playbooks that all of them are offered.
    pub playbooks: Vec<Playbook>,
    /// The chosen one, by its place.
    pub chosen: usize,
    /// The chosen tags.
    pub tags: BTreeSet<String>,
    /// Check mode.
    pub check: bool,
    /// Which list has the keys.
    pub part: Part,
    /// The line in the options: 0 is check mode, then the tags.
    pub option: usize,
    /// What the server knows of the hosts; none while it is being read.
    pub known: Option<Vec<Known>>,
    /// Skip the choice: it was made before.
    repeat: Option<Choice>,
}

/// What a key did to the dialog.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// Nothing to do outside.
    Stay,
    /// Close it.
    Cancel,
    /// Go on to the strip with this choice.
    Go(Choice),
}

impl RunDialog {
    /// The playbook that is chosen.
    pub fn playbook(&self) -> Option<&Playbook> {
        self.playbooks.get(self.chosen)
    }

    /// Takes a key.
    pub fn key(&mut self, key: KeyEvent) -> Reply {
        if !key.modifiers.is_empty() && key.code != KeyCode::BackTab {
            return Reply::Stay;
        }
        match key.code {
            KeyCode::Esc | KeyCode::Char('q' | 'n') => return Reply::Cancel,
            KeyCode::Tab | KeyCode::BackTab | KeyCode::Left | KeyCode::Right => {
                self.part = match self.part {
                    Part::Playbooks => Part::Options,
                    Part::Options => Part::Playbooks,
                };
            }
            KeyCode::Char('j') | KeyCode::Down => self.go(true),
            KeyCode::Char('k') | KeyCode::Up => self.go(false),
            KeyCode::Char('c') => self.check = !self.check,
            KeyCode::Char(' ') if self.part == Part::Options => self.toggle(),
            KeyCode::Enter => {
                if self.known.is_some()
                    && let Some(choice) = self.choice()
                {
                    return Reply::Go(choice);
                }
            }
            _ => {}
        }
        if self.playbook().is_some_and(|playbook| playbook.check_only) {
            self.check = true;
        }
        Reply::Stay
    }

    fn go(&mut self, down: bool) {
        let tags = self.playbook().map_or(0, |playbook| playbook.tags.len());
        let (place, last) = match self.part {
            Part::Playbooks => (&mut self.chosen, self.playbooks.len().saturating_sub(1)),
            Part::Options => (&mut self.option, tags),
        };
        *place = if down { (*place + 1).min(last) } else { place.saturating_sub(1) };
        if self.part == Part::Playbooks {
            // Tags belong to their playbook, and so does a check mode that it forces.
            let tags = self.playbook().map(|playbook| playbook.tags.clone()).unwrap_or_default();
            self.tags.retain(|tag| tags.contains(tag));
            self.option = 0;
        }
    }

    fn toggle(&mut self) {
        let Some(number) = self.option.checked_sub(1) else {
            self.check = !self.check;
            return;
        };
        let tag = self.playbook().and_then(|playbook| playbook.tags.get(number)).cloned();
        if let Some(tag) = tag
            && !self.tags.remove(&tag)
        {
            self.tags.insert(tag);
        }
    }

    fn choice(&self) -> Option<Choice> {
        let playbook = self.playbook()?;
        let tags = playbook.tags.iter().filter(|tag| self.tags.contains(*tag)).cloned();
        Some(Choice {
            playbook: playbook.path.clone(),
            tags: tags.collect(),
            check: self.check || playbook.check_only,
        })
    }
}

impl Model {
    /// `r`: asks what the server knows of the hosts' runs, and meanwhile lets choose.
    pub(super) fn run_dialog(&mut self) -> Vec<Command> {
        match self.ready_to_act() {
            Ok(targets) => self.ask_for_run(targets, None),
            Err(problem) => {
                self.fail(problem);
                Vec::new()
            }
        }
    }

    /// Opens the dialog for these hosts, or with a choice that was made before only waits in it for
    /// what the server knows.
    pub(super) fn ask_for_run(&mut self, targets: Targets, repeat: Option<Choice>) -> Vec<Command> {
        let wanted = targets.hosts.iter().filter_map(|uid| current_target(self, uid)).collect();
        self.reading += 1;
        let playbooks = self.playbooks(&targets.hosts);
        let check = playbooks.first().is_some_and(|playbook| playbook.check_only);
        self.notice = None;
        self.overlay = Overlay::Run(Box::new(RunDialog {
            targets,
            playbooks,
            check,
            repeat,
            ..RunDialog::default()
        }));
        vec![Command::ReadHosts { generation: self.reading, hosts: wanted }]
    }

    /// What the server knows of the hosts has come.
    pub(super) fn hosts_read(&mut self, generation: u64, result: Result<Vec<Known>, String>) {
        if generation != self.reading {
            return;
        }
        if matches!(self.overlay, Overlay::Labels(_)) {
            return self.labels_read(result);
        }
        // Clusters may have come since the dialog opened.
        let (playbooks, told) = match &self.overlay {
            Overlay::Run(dialog) if dialog.playbooks.is_empty() => {
                let hosts = &dialog.targets.hosts;
                let told = hosts.iter().all(|uid| self.clusters.told(uid.server()));
                (Some(self.playbooks(hosts)), told)
            }
            _ => (None, true),
        };
        let Overlay::Run(dialog) = &mut self.overlay else { return };
        if let Some(playbooks) = playbooks {
            dialog.check = playbooks.first().is_some_and(|playbook| playbook.check_only);
            dialog.playbooks = playbooks;
        }
        let known = match result {
            Ok(known) => known,
            Err(problem) => {
                self.overlay = Overlay::None;
                return self.fail(problem);
            }
        };
        let queued = |known: &Known| known.facts.run == Some(RunState::Queued);
        if known.is_empty() {
            self.overlay = Overlay::None;
            self.fail("these hosts are gone");
        } else if known.iter().all(queued) {
            let targets = std::mem::take(&mut dialog.targets);
            self.open_cancel(&targets, known);
        } else if let Some(choice) = dialog.repeat.take() {
            let targets = std::mem::take(&mut dialog.targets);
            self.open_run(&targets, known, choice);
        } else if known.iter().all(|known| known.facts.run.is_some()) {
            self.overlay = Overlay::None;
            self.fail("a run goes on already, and one that has begun is not stopped from here");
        } else if dialog.playbooks.is_empty() && !told {
            self.overlay = Overlay::None;
            let key = self.settings.keymap.shown(Action::Run);
            self.fail(format!(
                "the server has not told yet which playbooks its Clusters offer: press {key} again"
            ));
        } else if dialog.playbooks.is_empty() {
            self.overlay = Overlay::None;
            self.fail(
                "no playbook is offered for all of these hosts: list some in their Cluster's \
                 spec.ansible.playbooks, or under [ansible] playbooks in the configuration",
            );
        } else {
            dialog.known = Some(known);
        }
    }

    /// A key in the dialog.
    pub(super) fn in_run_dialog(&mut self, mut dialog: RunDialog, key: KeyEvent) {
        match dialog.key(key) {
            Reply::Stay => self.overlay = Overlay::Run(Box::new(dialog)),
            Reply::Cancel => self.say("cancelled, nothing was changed"),
            Reply::Go(choice) => {
                let known = dialog.known.take().unwrap_or_default();
                self.open_run(&dialog.targets, known, choice);
            }
        }
    }

    /// The strip that asks for a run.
    fn open_run(&mut self, targets: &Targets, known: Vec<Known>, choice: Choice) {
        let mut judge = Judge::new(self, Verb::Run, known.len() > 1);
        let mut left_out = LeftOut::default();
        let mut items = Vec::new();
        for known in known {
            let Some(row) = self.inventory.get(&known.target.uid) else { continue };
            let verdict = judge.verdict(&known.facts, row);
            if verdict.never {
                left_out.add(row, "running or waiting to run already, or being deleted");
                continue;
            }
            let new = AnsibleRequest {
                request_id: String::new(),
                playbook: choice.playbook.clone(),
                revision: self.revision(row),
                tags: choice.tags.clone(),
                check: choice.check,
                extra_vars: std::collections::BTreeMap::new(),
                timeout_seconds: None,
                requested_by: self.servers.of(row.uid()).user.clone(),
                reason: None,
                cancel: false,
            };
            let change = RunChange { target: known.target, old: known.request, new };
            items.push(Item {
                against: verdict.against,
                notes: verdict.notes,
                protected: self.protected(row),
                ..Item::new(Change::Run(change), row.display().to_owned())
            });
        }
        for item in &mut items {
            if let Change::Run(change) = &mut item.change {
                change.new.request_id = self.ids.next("run");
            }
        }
        self.open_for_runs(Verb::Run, items, targets, &left_out);
        self.chosen_run = Some(choice);
    }

    /// The strip that takes back what nobody has begun.
    fn open_cancel(&mut self, targets: &Targets, known: Vec<Known>) {
        let mut items = Vec::new();
        for known in known {
            let Some(row) = self.inventory.get(&known.target.uid) else { continue };
            let Some(old) = known.request else { continue };
            let new = AnsibleRequest { cancel: true, ..old.clone() };
            let change = Change::Run(RunChange { target: known.target, old: Some(old), new });
            items.push(Item::new(change, row.display().to_owned()));
        }
        self.open_for_runs(Verb::CancelRun, items, targets, &LeftOut::default());
    }

    fn open_for_runs(
        &mut self,
        verb: Verb,
        items: Vec<Item>,
        targets: &Targets,
        left_out: &LeftOut,
    ) {
        if items.is_empty() {
            self.overlay = Overlay::None;
            return self.fail(left_out.sentence());
        }
        let opening = Opening {
            left_out: targets.refused.iter().cloned().chain(left_out.lines()).collect(),
            whole: targets.whole.clone(),
            reason: match verb {
                Verb::Run => {
                    let last = self.writing.last.as_ref().filter(|last| last.verb == Verb::Run);
                    last.map(|last| last.reason.clone()).unwrap_or_default()
                }
                _ => String::new(),
            },
            ..Opening::default()
        };
        let mut strip = Strip::new(verb, items, opening);
        if !targets.hidden.is_empty() {
            strip
                .left_out
                .push(format!("{} marked are hidden by the filter", targets.hidden.len()));
        }
        self.open_strip(strip);
    }
}
