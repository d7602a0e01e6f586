//! The change strip: what would change, on which host, why and until when. A key that changes
//! something opens it; only `y` confirms. Its target is frozen when it opens.

use jiff::Timestamp;
use ratatui::crossterm::event::{KeyCode, KeyEvent};

use super::input::Input;
use crate::model::change::{self, HoldChange, MAX_HOLD_SECONDS, MAX_REASON, MIN_REASON};
use crate::model::duration;
use crate::model::host::{Hold, Host};
use crate::model::policy::Level;

/// What kind of change the strip shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Begin a maintenance.
    Begin,
    /// End one's own maintenance.
    End,
    /// Take a change back.
    Undo,
    /// Make an undone change again.
    Redo,
}

/// Where what is typed goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Nowhere: `y` confirms.
    Confirm,
    /// The reason.
    Reason,
    /// The length of the hold.
    Length,
}

/// An open change strip.
#[derive(Clone, Debug, PartialEq)]
pub struct Strip {
    /// What kind of change it is.
    pub kind: Kind,
    /// The change. For [`Kind::Begin`] the new value is made from the fields on confirmation.
    pub change: HoldChange,
    /// What people call the host.
    pub display: String,
    /// Holds of others, which stay: holder and hold.
    pub others: Vec<(String, Hold)>,
    /// How it is confirmed.
    pub level: Level,
    /// Why.
    pub reason: Input,
    /// How long, for example `4h`.
    pub length: Input,
    /// Where what is typed goes.
    pub field: Field,
    /// The reason was typed by hand.
    pub typed: bool,
    /// What is wrong with the fields.
    pub problem: Option<String>,
    /// What has changed in the target since the strip opened.
    pub moved: Option<String>,
}

/// What a key did to the strip.
#[derive(Debug, PartialEq)]
pub enum Reply {
    /// Nothing to do outside.
    Stay,
    /// Close it, nothing is sent.
    Cancel,
    /// Send this.
    Send(Box<HoldChange>),
}

impl Strip {
    /// Takes a key.
    pub fn key(&mut self, key: KeyEvent, now: Timestamp) -> Reply {
        match self.field {
            Field::Confirm => match key.code {
                KeyCode::Char('y') if key.modifiers.is_empty() => return self.confirm(now),
                KeyCode::Esc | KeyCode::Char('n' | 'q') => return Reply::Cancel,
                KeyCode::Tab if self.kind == Kind::Begin => self.field = Field::Reason,
                KeyCode::BackTab if self.kind == Kind::Begin => self.field = Field::Length,
                _ => {}
            },
            Field::Reason | Field::Length => match key.code {
                KeyCode::Esc | KeyCode::Enter => self.field = Field::Confirm,
                KeyCode::Tab => {
                    self.field =
                        if self.field == Field::Reason { Field::Length } else { Field::Confirm };
                }
                KeyCode::BackTab => {
                    self.field =
                        if self.field == Field::Length { Field::Reason } else { Field::Confirm };
                }
                _ => {
                    let reason = self.field == Field::Reason;
                    let input = if reason { &mut self.reason } else { &mut self.length };
                    if input.key(key) {
                        self.typed |= reason;
                        self.problem = self.wrong();
                    }
                }
            },
        }
        Reply::Stay
    }

    /// Takes pasted text: into a field, never as a confirmation.
    pub fn paste(&mut self, text: &str) {
        match self.field {
            Field::Confirm => {}
            Field::Reason => {
                self.reason.insert(text);
                self.typed = true;
            }
            Field::Length => self.length.insert(text),
        }
        self.problem = self.wrong();
    }

    /// The hold that confirming now would begin, or what is wrong with the fields.
    ///
    /// # Errors
    /// A sentence for the person who types.
    pub fn hold(&self, now: Timestamp) -> Result<Hold, String> {
        let reason = self.reason.text().trim();
        let length = reason.chars().count();
        if length < MIN_REASON {
            return Err(format!("a reason has at least {MIN_REASON} characters"));
        }
        if length > MAX_REASON {
            return Err(format!(
                "a reason has at most {MAX_REASON} characters; this one has {length}"
            ));
        }
        let seconds = duration::parse(self.length.text().trim())?.as_secs();
        if !(1..=MAX_HOLD_SECONDS).contains(&seconds) {
            return Err("a maintenance lasts at least 1s and at most 30d".to_owned());
        }
        Ok(change::hold(reason, now, seconds))
    }

    fn wrong(&self) -> Option<String> {
        (self.kind == Kind::Begin).then(|| self.hold(Timestamp::UNIX_EPOCH).err()).flatten()
    }

    fn confirm(&mut self, now: Timestamp) -> Reply {
        if self.kind == Kind::Begin {
            if self.level == Level::Reason && !self.typed {
                self.problem =
                    Some("this host is protected: type a reason, Enter, then y".to_owned());
                self.field = Field::Reason;
                return Reply::Stay;
            }
            match self.hold(now) {
                Ok(hold) => self.change.new = Some(hold),
                Err(problem) => {
                    self.problem = Some(problem);
                    return Reply::Stay;
                }
            }
        }
        Reply::Send(Box::new(self.change.clone()))
    }

    /// After a conflict: the strip with the value that was found instead of the expected one.
    #[must_use]
    pub fn reopened(mut self, host: &Host) -> Self {
        let found = host.spec.maintenance.get(&self.change.holder).cloned();
        self.moved = Some(match &found {
            Some(hold) => format!(
                "somebody else changed it first: now held until {} for \"{}\"",
                hold.until.0,
                crate::model::text::clean(&hold.reason)
            ),
            None => "somebody else changed it first: the hold is no longer there".to_owned(),
        });
        self.change.target.resource_version =
            host.metadata.resource_version.clone().unwrap_or_default();
        self.change.old = found;
        self.field = Field::Confirm;
        self
    }
}
