//! The dialog for labels: what labels the hosts have, who owns them, and the one edit that goes on
//! to the change strip. It changes nothing itself.

use std::collections::{BTreeMap, HashMap};

use ratatui::crossterm::event::{KeyCode, KeyEvent};

use super::clusters::Judge;
use super::input::Input;
use super::marks::Targets;
use super::orders::current_target;
use super::strip::{Item, Opening, Strip};
use super::writing::{Last, LeftOut, target};
use super::{Model, Overlay};
use crate::act::Verb;
use crate::model::change::{Change, LabelsChange};
use crate::model::key::Uid;
use crate::model::labels::{Edit, is_reserved, parse_edit};
use crate::model::policy::{Facts, label_checks, refusal};
use crate::store::read::Known;
use crate::ui::msg::Command;

/// One label of the hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelLine {
    /// Its key.
    pub key: String,
    /// Its values, each with the number of hosts that have it.
    pub values: BTreeMap<String, usize>,
    /// Why it is not to be set by people; none if it is.
    pub owner: Option<String>,
}

/// An open dialog.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LabelDialog {
    /// The hosts; frozen when the dialog opened.
    pub targets: Targets,
    /// Their labels, by key.
    pub lines: Vec<LabelLine>,
    /// The line under the cursor.
    pub chosen: usize,
    /// What is typed; none while a label is chosen.
    pub input: Option<Input>,
    /// What is wrong with what is typed.
    pub problem: Option<String>,
    /// Who owns which labels of which host; none while it is being read.
    pub owners: Option<HashMap<Uid, BTreeMap<String, String>>>,
    /// What goes on to the strip as soon as the owners are known.
    pub waiting: Option<Edit>,
}

/// What a key did to the dialog.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// Nothing to do outside.
    Stay,
    /// Close it.
    Cancel,
    /// Go on to the strip with this edit.
    Go(Edit),
}

impl LabelDialog {
    /// Takes a key.
    pub fn key(&mut self, key: KeyEvent) -> Reply {
        if let Some(input) = &mut self.input {
            match key.code {
                KeyCode::Esc => {
                    self.input = None;
                    self.problem = None;
                    self.waiting = None;
                }
                KeyCode::Enter => return self.enter(),
                _ => {
                    if input.key(key) {
                        self.problem = None;
                        self.waiting = None;
                    }
                }
            }
            return Reply::Stay;
        }
        if !key.modifiers.is_empty() {
            return Reply::Stay;
        }
        let last = self.lines.len().saturating_sub(1);
        match key.code {
            KeyCode::Esc | KeyCode::Char('q' | 'n') => return Reply::Cancel,
            KeyCode::Char('j') | KeyCode::Down => self.chosen = (self.chosen + 1).min(last),
            KeyCode::Char('k') | KeyCode::Up => self.chosen = self.chosen.saturating_sub(1),
            KeyCode::PageDown => self.chosen = (self.chosen + 10).min(last),
            KeyCode::PageUp => self.chosen = self.chosen.saturating_sub(10),
            KeyCode::Char('G') | KeyCode::End => self.chosen = last,
            KeyCode::Char('g') | KeyCode::Home => self.chosen = 0,
            KeyCode::Char('a' | 'o' | '+') => self.input = Some(Input::default()),
            KeyCode::Enter | KeyCode::Char('e') => {
                self.begin(|key, value| format!("{key}={value}"));
            }
            KeyCode::Char('d' | '-') | KeyCode::Delete => self.begin(|key, _| format!("{key}-")),
            _ => {}
        }
        Reply::Stay
    }

    /// Begins to edit the label under the cursor; without any, a new one.
    fn begin(&mut self, text: impl Fn(&str, &str) -> String) {
        let text = self.lines.get(self.chosen).map(|line| {
            let most = line.values.iter().max_by_key(|(_, count)| **count);
            text(&line.key, most.map_or("", |(value, _)| value))
        });
        self.input = Some(Input::new(text.unwrap_or_default()));
        self.problem = None;
    }

    fn enter(&mut self) -> Reply {
        let text = self.input.as_ref().map(Input::text).unwrap_or_default();
        match parse_edit(text) {
            Err(problem) => {
                self.problem = Some(problem);
                Reply::Stay
            }
            Ok((key, _)) if is_reserved(&key) => {
                self.problem = Some(format!(
                    "{key} belongs to services and Kubernetes: it is not set by hand"
                ));
                Reply::Stay
            }
            Ok(edit) if self.owners.is_none() => {
                self.waiting = Some(edit);
                Reply::Stay
            }
            Ok(edit) => Reply::Go(edit),
        }
    }

    /// Takes pasted text into what is typed.
    pub fn paste(&mut self, text: &str) {
        if let Some(input) = &mut self.input {
            input.insert(text);
            self.problem = None;
            self.waiting = None;
        }
    }

    fn know(&mut self, known: Vec<Known>) {
        let mut all: HashMap<Uid, BTreeMap<String, String>> = HashMap::new();
        for one in known {
            for (key, owner) in &one.facts.label_owners {
                if let Some(line) = self.lines.iter_mut().find(|line| line.key == *key) {
                    line.owner.get_or_insert_with(|| owner.clone());
                }
            }
            all.insert(one.target.uid, one.facts.label_owners);
        }
        self.owners = Some(all);
    }
}

impl Model {
    /// `e`: asks who owns the labels of the hosts, and meanwhile lets choose.
    pub(super) fn label_dialog(&mut self, again: Option<&Edit>) -> Vec<Command> {
        match self.ready_to_act() {
            Ok(targets) => self.ask_for_label(targets, again),
            Err(problem) => {
                self.fail(problem);
                Vec::new()
            }
        }
    }

    /// Opens the dialog for these hosts; with an edit that was made before, that one is typed.
    pub(super) fn ask_for_label(&mut self, targets: Targets, again: Option<&Edit>) -> Vec<Command> {
        let wanted = targets.hosts.iter().filter_map(|uid| current_target(self, uid)).collect();
        self.reading += 1;
        let mut lines: BTreeMap<&str, BTreeMap<String, usize>> = BTreeMap::new();
        for row in targets.hosts.iter().filter_map(|uid| self.inventory.get(uid)) {
            for (key, value) in self.inventory.labels(row) {
                *lines.entry(key).or_default().entry(value.to_owned()).or_default() += 1;
            }
        }
        let line = |(key, values): (&str, BTreeMap<String, usize>)| LabelLine {
            key: key.to_owned(),
            values,
            owner: is_reserved(key).then(|| "services".to_owned()),
        };
        let mut lines: Vec<LabelLine> = lines.into_iter().map(line).collect();
        // What people may set comes first.
        lines.sort_by_key(|line| line.owner.is_some());
        let input = again.map(|(key, value)| match value {
            Some(value) => Input::new(format!("{key}={value}")),
            None => Input::new(format!("{key}-")),
        });
        self.notice = None;
        let dialog = LabelDialog { targets, lines, input, ..LabelDialog::default() };
        self.overlay = Overlay::Labels(Box::new(dialog));
        vec![Command::ReadHosts { generation: self.reading, hosts: wanted }]
    }

    /// A key in the dialog.
    pub(super) fn in_label_dialog(&mut self, mut dialog: LabelDialog, key: KeyEvent) {
        match dialog.key(key) {
            Reply::Stay => self.overlay = Overlay::Labels(Box::new(dialog)),
            Reply::Cancel => self.say("cancelled, nothing was changed"),
            Reply::Go(edit) => self.open_label(dialog, edit),
        }
    }

    /// What the server knows of the hosts has come while the dialog is open.
    pub(super) fn labels_read(&mut self, result: Result<Vec<Known>, String>) {
        let Overlay::Labels(dialog) = &mut self.overlay else { return };
        match result {
            Err(problem) => {
                self.overlay = Overlay::None;
                self.fail(problem);
            }
            Ok(known) if known.is_empty() => {
                self.overlay = Overlay::None;
                self.fail("these hosts are gone: there is nothing to label");
            }
            Ok(known) => {
                dialog.know(known);
                if let Some(edit) = dialog.waiting.take() {
                    let dialog = std::mem::take(&mut **dialog);
                    self.overlay = Overlay::None;
                    self.open_label(dialog, edit);
                }
            }
        }
    }

    /// Opens the strip that makes this edit on the hosts of the dialog.
    fn open_label(&mut self, mut dialog: LabelDialog, (key, new): Edit) {
        let targets = std::mem::take(&mut dialog.targets);
        let owners = dialog.owners.take().unwrap_or_default();
        let mut judge = Judge::new(self, Verb::Label, targets.hosts.len() > 1);
        let (mut items, mut left_out) = (Vec::new(), LeftOut::default());
        for row in targets.hosts.iter().filter_map(|uid| self.inventory.get(uid)) {
            let old = self.inventory.labels(row).find(|(other, _)| *other == key);
            let old = old.map(|(_, value)| value.to_owned());
            if row.is_deleting() {
                left_out.add(row, "being deleted");
            } else if old == new {
                left_out.add(row, "like that already");
            } else {
                let verdict = judge.verdict(&Facts::of_row(row, self.now), row);
                let none = BTreeMap::new();
                let checks = label_checks([key.as_str()], owners.get(row.uid()).unwrap_or(&none));
                let labels = [(key.clone(), (old, new.clone()))].into_iter().collect();
                let change = Change::Labels(LabelsChange { target: target(row), labels });
                items.push(Item {
                    against: verdict.against.or_else(|| refusal(&checks, false)),
                    notes: verdict.notes,
                    protected: self.protected(row),
                    ..Item::new(change, row.display().to_owned())
                });
            }
        }
        if items.is_empty() {
            return self.fail(left_out.sentence());
        }
        let last = self.writing.last.as_ref().filter(|last| last.verb == Verb::Label);
        let mut opening = Opening {
            left_out: targets.refused.into_iter().chain(left_out.lines()).collect(),
            whole: targets.whole,
            reason: last.map(|last| last.reason.clone()).unwrap_or_default(),
            ..Opening::default()
        };
        if !targets.hidden.is_empty() {
            let text = format!("{} marked are hidden by the filter", targets.hidden.len());
            opening.left_out.push(text);
        }
        self.open_strip(Strip::new(Verb::Label, items, opening));
    }
}

impl Last {
    /// The edit of labels that was made.
    pub(super) fn edit(strip: &Strip) -> Option<Edit> {
        let Change::Labels(change) = &strip.items.first()?.change else { return None };
        let (key, (_, new)) = change.labels.iter().next()?;
        Some((key.clone(), new.clone()))
    }
}

#[cfg(test)]
mod tests;
