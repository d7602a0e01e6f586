//! The strip that approves or denies a request for a certificate. Neither can be undone, and it
//! says so first. A request that does not fit wants the claimed name typed; a denial wants a reason.

use ratatui::crossterm::event::{KeyCode, KeyEvent};

use super::input::Input;
use crate::act::certificates::Decision;
use crate::model::change::{MAX_REASON, MIN_REASON};
use crate::model::csr::{About, Mismatch, Request};
use crate::model::key::{ServerId, Uid};
use crate::store::certificates::Decoded;

/// Where what is typed goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecideField {
    /// Nowhere: `y` confirms.
    Confirm,
    /// The reason.
    Reason,
    /// The name that shows that what does not fit was read.
    Name,
}

/// Why nothing is approved yet.
const UNREAD: &str = "the host is still being read: y again when it has been";

/// Whether the object of the claimed host is at hand: its operations tell who takes it over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OfHost {
    /// It is, or there is none.
    Known,
    /// It is asked for: nothing is approved before it has come.
    Asked(Uid),
    /// It cannot be read, and why.
    Unread(String),
}

/// An open strip.
#[derive(Clone, Debug, PartialEq)]
pub struct Decide {
    /// The server that it is on.
    pub server: ServerId,
    /// Approve it; else deny it.
    pub approve: bool,
    /// The object, frozen when the strip opened.
    pub about: About,
    /// The request in it; none where it cannot be read.
    pub request: Option<Request>,
    /// Namespace and name of the host that it claims to be, where there is one.
    pub host: Option<(String, String)>,
    /// What is known of that host.
    pub claimed: OfHost,
    /// What does not fit.
    pub found: Vec<Mismatch>,
    /// Why.
    pub reason: Input,
    /// The typed name.
    pub typed: Input,
    /// Where what is typed goes.
    pub field: DecideField,
    /// What is wrong with what was typed.
    pub problem: Option<String>,
    /// The request has changed since the strip opened.
    pub moved: bool,
}

/// What a key did to the strip.
#[derive(Debug, PartialEq)]
pub enum DecideReply {
    /// Nothing to do outside.
    Stay,
    /// Close it, nothing is sent.
    Cancel,
    /// Send this.
    Send(Box<Decision>),
}

impl Decide {
    /// A strip for this request of the first server.
    pub fn new(
        approve: bool,
        read: Decoded,
        host: Option<(String, String)>,
        found: Vec<Mismatch>,
    ) -> Self {
        let (about, request) = match read {
            Ok(request) => (request.about.clone(), Some(request)),
            Err(problem) => (problem.about, None),
        };
        let field = match approve {
            false => DecideField::Reason,
            true if found.is_empty() => DecideField::Confirm,
            true => DecideField::Name,
        };
        let (reason, typed) = (Input::default(), Input::default());
        Self {
            server: ServerId::FIRST,
            approve,
            about,
            request,
            host,
            claimed: OfHost::Known,
            found,
            reason,
            typed,
            field,
            problem: None,
            moved: false,
        }
    }

    /// The name to type: of the host that it claims to be, else of the request.
    pub fn name(&self) -> &str {
        let host = self.request.as_ref().and_then(Request::host);
        host.map_or(self.about.name.as_str(), |(_, name)| name)
    }

    /// Whether a name must be typed.
    pub fn wants_name(&self) -> bool {
        self.approve && (!self.found.is_empty() || matches!(self.claimed, OfHost::Unread(_)))
    }

    /// Takes in what is known now of the claimed host, and what does not fit in its light.
    pub fn host_read(&mut self, claimed: OfHost, found: Vec<Mismatch>) {
        let wanted = self.wants_name();
        (self.claimed, self.found) = (claimed, found);
        if self.problem.as_deref() == Some(UNREAD) {
            self.problem = None;
        }
        if self.wants_name() && !wanted && self.field == DecideField::Confirm {
            self.field = DecideField::Name;
        }
    }

    fn next_field(&self) -> DecideField {
        match self.field {
            DecideField::Confirm if self.wants_name() => DecideField::Name,
            DecideField::Confirm | DecideField::Name => DecideField::Reason,
            DecideField::Reason => DecideField::Confirm,
        }
    }

    /// Takes a key.
    pub fn key(&mut self, key: KeyEvent) -> DecideReply {
        let input = match self.field {
            DecideField::Confirm => {
                match key.code {
                    KeyCode::Char('y') if key.modifiers.is_empty() => return self.confirm(),
                    KeyCode::Esc | KeyCode::Char('n' | 'q') => return DecideReply::Cancel,
                    KeyCode::Tab | KeyCode::BackTab => self.field = self.next_field(),
                    _ => {}
                }
                return DecideReply::Stay;
            }
            DecideField::Reason => &mut self.reason,
            DecideField::Name => &mut self.typed,
        };
        match key.code {
            KeyCode::Esc if input.text().is_empty() => return DecideReply::Cancel,
            KeyCode::Enter | KeyCode::Esc => self.field = DecideField::Confirm,
            KeyCode::Tab | KeyCode::BackTab => self.field = self.next_field(),
            _ => {
                if input.key(key) {
                    self.problem = None;
                }
            }
        }
        DecideReply::Stay
    }

    /// Takes pasted text: into the reason only. What shows that something was read is typed.
    pub fn paste(&mut self, text: &str) {
        match self.field {
            DecideField::Reason => self.reason.insert(text),
            DecideField::Name => self.problem = Some("the name is typed, not pasted".to_owned()),
            DecideField::Confirm => {}
        }
    }

    fn confirm(&mut self) -> DecideReply {
        let reason = self.reason.text().trim();
        let length = reason.chars().count();
        let wrong = if self.moved {
            Some((self.field, "the request has changed: esc, and look at it again".to_owned()))
        } else if self.wants_name() && self.typed.text().trim() != self.name() {
            Some((DecideField::Name, format!("type {} to approve it all the same", self.name())))
        } else if self.approve && matches!(self.claimed, OfHost::Asked(_)) {
            Some((self.field, UNREAD.to_owned()))
        } else if !self.approve && length < MIN_REASON {
            let text = format!("a denial has a reason of at least {MIN_REASON} characters");
            Some((DecideField::Reason, text))
        } else if length > MAX_REASON {
            let text = format!("a reason has at most {MAX_REASON} characters; this has {length}");
            Some((DecideField::Reason, text))
        } else {
            None
        };
        if let Some((field, problem)) = wrong {
            (self.field, self.problem) = (field, Some(problem));
            return DecideReply::Stay;
        }
        let regardless = self.wants_name();
        let mut text = if reason.is_empty() { "approved by hand" } else { reason }.to_owned();
        if regardless {
            let mut found: Vec<String> = self.found.iter().map(Mismatch::text).collect();
            if let OfHost::Unread(why) = &self.claimed {
                found.push(format!("its host could not be read: {why}"));
            }
            text = format!("{text}; all the same: {}", found.join("; "));
        }
        DecideReply::Send(Box::new(Decision {
            // The executor names it: here nothing is random.
            id: String::new(),
            seen: self.about.clone(),
            host: self.host.clone(),
            approve: self.approve,
            reason: text,
            regardless,
        }))
    }
}
