//! Changing things: whether we may, as whom, and what can be taken back.

use jiff::Timestamp;

use super::input::Input;
use super::strip::{Field, Kind, Strip};
use super::{Link, Model, Overlay};
use crate::model::change::{self, HoldChange, Target};
use crate::model::duration;
use crate::model::key::Uid;
use crate::model::policy::Level;
use crate::model::row::HostRow;
use crate::ui::msg::{ChangeResult, Command};

/// Changes that can be taken back.
const HISTORY: usize = 100;

/// Whether and as whom we may write, and what can be taken back.
#[derive(Clone, Debug, Default)]
pub struct Writing {
    /// Writing is armed.
    pub armed: bool,
    /// When it is disarmed again; none: it stays.
    pub armed_until: Option<Timestamp>,
    /// Whether the server lets us change hosts; none: not known yet.
    pub may: Option<bool>,
    /// The holder under which our holds stand, from the name the server knows us by.
    pub holder: Option<String>,
    /// Why the holder is not known.
    pub holder_problem: Option<String>,
    /// A change is on its way.
    pub sending: bool,
    undo: Vec<HoldChange>,
    redo: Vec<HoldChange>,
    last_reason: Option<String>,
    /// The strip whose change is on its way.
    sent: Option<Box<Strip>>,
}

impl Writing {
    pub(super) fn new(armed: bool) -> Self {
        Self { armed, ..Self::default() }
    }

    pub(super) fn user(&mut self, result: Result<String, String>) {
        match result {
            Ok(user) => self.holder = Some(change::holder(&user)),
            Err(problem) => self.holder_problem = Some(problem),
        }
    }

    pub(super) fn disarm(&mut self) {
        self.armed = false;
        self.armed_until = None;
    }
}

impl Model {
    /// Why hosts cannot be changed now, if so.
    pub fn cannot_write(&self) -> Option<String> {
        if self.writing.may == Some(false) && !matches!(self.link, Link::Lost { .. }) {
            return Some(
                "your user lacks the permission to patch hosts; ask for the operator role".into(),
            );
        }
        self.cannot_act()
    }

    /// Why nothing can be changed now, whatever we may do.
    pub(super) fn cannot_act(&self) -> Option<String> {
        match &self.link {
            Link::Lost { .. } => {
                return Some("not connected: changes are refused until the server answers (ctrl-r tries now)".into());
            }
            Link::Connecting => return Some("not connected yet".into()),
            Link::Listing | Link::Live => {}
        }
        if !self.writing.armed {
            return Some("writing is disarmed (read-only): W arms it".into());
        }
        if self.writing.sending {
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

    pub(super) fn maintenance(&mut self) {
        if let Some(problem) = self.cannot_write() {
            return self.fail(problem);
        }
        let Some(holder) = self.writing.holder.clone() else {
            let why = self
                .writing
                .holder_problem
                .clone()
                .unwrap_or_else(|| "the server has not told yet".into());
            return self.fail(format!("cannot hold a host without knowing who you are: {why}"));
        };
        let Some(row) = self.host() else {
            return self.fail(
                "maintenance is for one host: move the cursor to a host (l opens a cluster)",
            );
        };
        if row.is_deleting() {
            let text = format!("{} is being deleted", row.display());
            return self.fail(text);
        }
        let mine = row.holds().iter().find(|h| *h.holder == *holder).map(|h| (*h.exact).clone());
        let others = row
            .holds()
            .iter()
            .filter(|h| *h.holder != *holder)
            .map(|h| (h.holder.to_string(), (*h.exact).clone()))
            .collect();
        let ending = mine.is_some();
        let level = if !ending && self.protected(row) { Level::Reason } else { Level::Confirm };
        let reason = self
            .writing
            .last_reason
            .clone()
            .unwrap_or_else(|| self.settings.config.maintenance.reason.clone());
        let seconds = self.settings.config.maintenance.length.as_secs();
        let strip = Strip {
            kind: if ending { Kind::End } else { Kind::Begin },
            change: HoldChange { target: target(row), holder, old: mine, new: None },
            display: row.display().to_owned(),
            others,
            reason: Input::new(if level == Level::Reason { String::new() } else { reason }),
            length: Input::new(duration::short(i64::try_from(seconds).unwrap_or(i64::MAX))),
            field: if level == Level::Reason { Field::Reason } else { Field::Confirm },
            typed: false,
            problem: (level == Level::Reason)
                .then(|| "this host is protected: type a reason, Enter, then y".to_owned()),
            level,
            moved: None,
        };
        self.notice = None;
        self.overlay = Overlay::Strip(Box::new(strip));
    }

    /// Whether the host carries one of the protected labels.
    fn protected(&self, row: &HostRow) -> bool {
        self.settings.config.maintenance.protected_labels.iter().any(|label| {
            label
                .split_once('=')
                .is_some_and(|wanted| self.inventory.labels(row).any(|label| label == wanted))
        })
    }

    /// Opens the strip for taking back the last change, or for making it again.
    pub(super) fn undo(&mut self, again: bool) {
        if let Some(problem) = self.cannot_write() {
            return self.fail(problem);
        }
        let stack = if again { &self.writing.redo } else { &self.writing.undo };
        let Some(change) = stack.last().cloned() else {
            let what = if again { "nothing to make again" } else { "nothing to take back" };
            return self.say(what);
        };
        let row = self.inventory.get(&change.target.uid);
        let display =
            row.map_or_else(|| change.target.name.clone(), |row| row.display().to_owned());
        let strip = Strip {
            kind: if again { Kind::Redo } else { Kind::Undo },
            change,
            display,
            others: Vec::new(),
            level: Level::Confirm,
            reason: Input::default(),
            length: Input::default(),
            field: Field::Confirm,
            typed: false,
            problem: None,
            moved: None,
        };
        self.notice = None;
        self.overlay = Overlay::Strip(Box::new(strip));
    }

    /// Sends what the strip has confirmed.
    pub(super) fn send(&mut self, change: HoldChange) -> Vec<Command> {
        if let Some(problem) = self.cannot_write() {
            self.fail(problem);
            return Vec::new();
        }
        if let Overlay::Strip(strip) = std::mem::replace(&mut self.overlay, Overlay::None) {
            if strip.kind == Kind::Begin {
                self.writing.last_reason = Some(strip.reason.text().trim().to_owned());
            }
            self.writing.sent = Some(strip);
        }
        self.writing.sending = true;
        self.say("sent, waiting for the server");
        vec![Command::Change(Box::new(change))]
    }
}

fn target(row: &HostRow) -> Target {
    Target {
        uid: row.uid().clone(),
        namespace: row.namespace().to_owned(),
        name: row.name().to_owned(),
        resource_version: row.resource_version().to_owned(),
    }
}

/// Takes what came of a change.
pub(super) fn changed(model: &mut Model, change: &HoldChange, result: ChangeResult) {
    model.writing.sending = false;
    let sent = model.writing.sent.take();
    let kind = sent.as_ref().map_or(Kind::Begin, |strip| strip.kind);
    let name =
        sent.as_ref().map_or_else(|| change.target.name.clone(), |strip| strip.display.clone());
    match result {
        ChangeResult::Done(host) => {
            let version = host.metadata.resource_version.clone().unwrap_or_default();
            let back = change.inverse(&version);
            let writing = &mut model.writing;
            match kind {
                Kind::Undo => {
                    writing.undo.pop();
                    push(&mut writing.redo, back);
                }
                Kind::Redo => {
                    writing.redo.pop();
                    push(&mut writing.undo, back);
                }
                Kind::Begin | Kind::End => {
                    writing.redo.clear();
                    push(&mut writing.undo, back);
                }
            }
            let key = if kind == Kind::Undo { "U makes it again" } else { "u takes it back" };
            let text = match &change.new {
                Some(hold) => {
                    let until = hold.until.0.to_zoned(model.settings.time_zone.clone());
                    format!("{name} is in maintenance until {} · {key}", until.strftime("%a %H:%M"))
                }
                None => format!("your maintenance of {name} has ended · {key}"),
            };
            model.say(text);
        }
        ChangeResult::Conflict(host) => match sent {
            Some(strip) if matches!(kind, Kind::Begin | Kind::End) => {
                let mut strip = strip.reopened(&host);
                strip.kind = if strip.change.old.is_some() { Kind::End } else { Kind::Begin };
                strip.change.new = None;
                model.notice = None;
                model.overlay = Overlay::Strip(Box::new(strip));
            }
            _ => {
                let stack = if kind == Kind::Redo {
                    &mut model.writing.redo
                } else {
                    &mut model.writing.undo
                };
                stack.pop();
                model.fail(format!("{name}: not taken back, the value is no longer ours"));
            }
        },
        ChangeResult::Gone => model.fail(format!("{name} is gone: nothing was changed")),
        ChangeResult::Failed(problem) => model.fail(problem),
    }
}

fn push(stack: &mut Vec<HoldChange>, change: HoldChange) {
    if stack.len() >= HISTORY {
        stack.remove(0);
    }
    stack.push(change);
}

/// The strip's target has changed: the strip says so.
pub(super) fn target_moved(model: &mut Model, uid: &Uid) {
    if let Overlay::Strip(strip) = &mut model.overlay
        && strip.change.target.uid == *uid
    {
        strip.moved.get_or_insert_with(|| "the host has changed since you opened this".to_owned());
    }
}

/// The strip's target is gone: the strip closes and says so.
pub(super) fn target_gone(model: &mut Model, uid: &Uid) {
    if let Overlay::Strip(strip) = &model.overlay
        && strip.change.target.uid == *uid
    {
        let text = format!("{} is gone: nothing was changed", strip.display);
        model.overlay = Overlay::None;
        model.fail(text);
    }
}
