//! The change strip: what would change, on which hosts, why and until when. A key that changes
//! something opens it; only `y` confirms. Its targets are frozen when it opens.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;
use ratatui::crossterm::event::{KeyCode, KeyEvent};

use super::clusters::Stand;
use super::input::Input;
use crate::act::Verb;
use crate::model::change::{self, Change, MAX_HOLD_SECONDS, MAX_REASON, MIN_REASON};
use crate::model::duration;
use crate::model::host::{Hold, Host};
use crate::model::key::{ServerId, Uid};
use crate::model::policy::{self, Extent, Level};

/// Longest ticket in characters.
const MAX_TICKET: usize = 128;

/// Where what is typed goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Nowhere: `y` confirms.
    Confirm,
    /// The reason.
    Reason,
    /// The length of the hold.
    Length,
    /// The ticket.
    Ticket,
    /// The count or the name that has to be typed.
    Answer,
}

/// One host of a strip.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The change. When maintenance begins, its new value is made from the fields on confirmation.
    pub change: Change,
    /// What people call the host.
    pub display: String,
    /// Holds of others, which stay: holder and hold.
    pub others: Vec<(String, Hold)>,
    /// What speaks against it: such a host is refused, unless the strip goes past it.
    pub against: Option<String>,
    /// What else is worth knowing.
    pub notes: Vec<String>,
    /// It carries a protected label.
    pub protected: bool,
    /// It has changed since the strip opened.
    pub moved: bool,
}

impl Item {
    /// A change of a host about which there is nothing else to say.
    pub fn new(change: Change, display: String) -> Self {
        Self {
            change,
            display,
            others: Vec::new(),
            against: None,
            notes: Vec::new(),
            protected: false,
            moved: false,
        }
    }
}

/// An open change strip.
#[derive(Clone, Debug, PartialEq)]
pub struct Strip {
    /// What is done.
    pub verb: Verb,
    /// Of an undo or a redo, which of the orders it takes back or makes again.
    pub(super) entry: Option<u64>,
    /// The hosts, in the order in which they are changed.
    pub items: Vec<Item>,
    /// What was left out, and why.
    pub left_out: Vec<String>,
    /// Marked hosts that the filter hides; `h` adds them.
    pub hidden: Vec<Uid>,
    /// The region or cluster that was meant as a whole.
    pub whole: Option<String>,
    /// The budgets of the clusters that would lose hosts.
    pub stands: Vec<Stand>,
    /// Something spoke against some of it since it opened: a level is never lowered.
    against: bool,
    /// It may go past budgets and what speaks against single hosts.
    pub past: bool,
    /// Why.
    pub reason: Input,
    /// How long, for example `4h`.
    pub length: Input,
    /// The ticket that tells more.
    pub ticket: Input,
    /// The count or the name, as far as it is typed.
    pub answer: Input,
    /// Where what is typed goes.
    pub field: Field,
    /// The reason was typed by hand.
    pub typed: bool,
    /// What is wrong with the fields.
    pub problem: Option<String>,
    /// What happened to the targets since the strip opened.
    pub moved: Option<String>,
    /// First host that is shown.
    pub scroll: usize,
    index: HashMap<Uid, usize>,
    /// How many of the hosts have changed since.
    moved_hosts: usize,
    gone: Vec<String>,
}

/// What a key did to the strip.
#[derive(Debug, PartialEq)]
pub enum Reply {
    /// Nothing to do outside.
    Stay,
    /// Close it, nothing is sent.
    Cancel,
    /// Open it again with the hidden hosts too.
    AddHidden,
    /// Send it.
    Send,
}

/// What a strip begins with besides its hosts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Opening {
    /// What was left out, and why.
    pub left_out: Vec<String>,
    /// Marked hosts that the filter hides.
    pub hidden: Vec<Uid>,
    /// The region or cluster that was meant as a whole.
    pub whole: Option<String>,
    /// The budgets of the clusters that would lose hosts.
    pub stands: Vec<Stand>,
    /// A reason to begin with.
    pub reason: String,
    /// A length to begin with.
    pub length: String,
    /// A ticket to begin with.
    pub ticket: String,
    /// Of an undo or a redo, which of the orders it takes back or makes again.
    pub entry: Option<u64>,
}

impl Strip {
    /// A strip for these hosts.
    pub fn new(verb: Verb, items: Vec<Item>, opening: Opening) -> Self {
        let index = |(number, item): (usize, &Item)| (item.change.target().uid.clone(), number);
        let mut strip = Self {
            verb,
            index: items.iter().enumerate().map(index).collect(),
            items,
            left_out: opening.left_out,
            hidden: opening.hidden,
            whole: opening.whole,
            stands: opening.stands,
            against: false,
            past: false,
            reason: Input::default(),
            length: Input::new(opening.length),
            ticket: Input::new(opening.ticket),
            entry: opening.entry,
            answer: Input::default(),
            field: Field::Confirm,
            typed: false,
            problem: None,
            moved: None,
            scroll: 0,
            moved_hosts: 0,
            gone: Vec::new(),
        };
        strip.against = strip.blocked() > 0;
        // Of one host that is refused there is nothing to do but to go past it.
        strip.past = strip.against && strip.items.len() == 1;
        if strip.wants_reason() {
            strip.field = Field::Reason;
            strip.problem = Some(strip.why_reason().to_owned());
        } else {
            strip.reason = Input::new(opening.reason);
            if matches!(strip.level(), Level::Type(_)) {
                strip.field = Field::Answer;
            }
        }
        strip
    }

    /// Whether the verb has this field here.
    pub fn has(&self, field: Field) -> bool {
        match field {
            Field::Confirm => true,
            Field::Reason => match self.verb {
                Verb::MaintenanceOn | Verb::Run => true,
                Verb::MaintenanceOff | Verb::CancelRun | Verb::Label => {
                    self.level() > Level::Confirm
                }
                Verb::Undo | Verb::Redo => false,
            },
            Field::Length | Field::Ticket => self.verb == Verb::MaintenanceOn,
            Field::Answer => matches!(self.level(), Level::Type(_)),
        }
    }

    /// How it is confirmed.
    pub fn level(&self) -> Level {
        let name = match self.items.as_slice() {
            [item] => item.display.clone(),
            _ => self.whole.clone().unwrap_or_default(),
        };
        let extent = Extent {
            hosts: self.items.len(),
            name,
            whole: self.whole.is_some(),
            protected: self.items.iter().any(|item| item.protected),
            against: self.against,
        };
        policy::level(self.verb, &extent)
    }

    /// The servers of its hosts, in their order.
    pub fn servers(&self) -> BTreeSet<ServerId> {
        self.items.iter().map(|item| item.change.target().uid.server()).collect()
    }

    /// Gives each host the name that says which server it is on.
    pub(super) fn name_servers(&mut self, name: impl Fn(ServerId, &str) -> String) {
        for item in &mut self.items {
            item.display = name(item.change.target().uid.server(), &item.display);
        }
    }

    /// Whether this cannot be taken back.
    pub fn is_final(&self) -> bool {
        matches!(self.verb, Verb::Run | Verb::CancelRun)
    }

    /// How the budgets stand has changed.
    pub fn set_stands(&mut self, stands: Vec<Stand>) {
        self.stands = stands;
        self.against |= self.blocked() > 0;
    }

    /// The hosts that would be away, and need room in their clusters' budgets.
    pub fn taken(&self) -> Vec<Uid> {
        let begins = |item: &&Item| match (&item.change, self.verb) {
            (Change::Hold(_), Verb::MaintenanceOn) => true,
            (Change::Hold(change), Verb::Undo | Verb::Redo) => change.new.is_some(),
            _ => false,
        };
        let uid = |item: &Item| item.change.target().uid.clone();
        self.items.iter().filter(begins).map(uid).collect()
    }

    /// Hosts that something speaks against, or for which their cluster's budget has no room.
    pub fn blocked(&self) -> usize {
        let against = self.items.iter().filter(|item| item.against.is_some()).count();
        let over = self.stands.iter().map(|stand| stand.wanted.saturating_sub(stand.left()));
        (against + over.sum::<usize>()).min(self.items.len())
    }

    /// Hosts that would be refused as it stands.
    pub fn refused(&self) -> usize {
        if self.past { 0 } else { self.blocked() }
    }

    fn wants_reason(&self) -> bool {
        self.has(Field::Reason) && self.level() > Level::Confirm && !self.typed
    }

    fn why_reason(&self) -> &'static str {
        if self.items.len() == 1 && self.against {
            "this is against the rules: type a reason, Enter, the name, then y"
        } else if self.items.len() > 1 || self.whole.is_some() {
            "several hosts: type a reason, Enter, then y"
        } else {
            "this host is protected: type a reason, Enter, then y"
        }
    }

    /// Takes a key.
    pub fn key(&mut self, key: KeyEvent, now: Timestamp) -> Reply {
        if self.field == Field::Answer
            && key.code == KeyCode::Char('y')
            && key.modifiers.is_empty()
            && self.is_answered()
        {
            return self.confirm(now);
        }
        match (self.field, key.code) {
            (_, KeyCode::Tab) => self.next_field(false),
            (_, KeyCode::BackTab) => self.next_field(true),
            (_, KeyCode::Up) => self.scroll = self.scroll.saturating_sub(1),
            (_, KeyCode::Down) => self.scroll_by(1),
            (_, KeyCode::PageUp) => self.scroll = self.scroll.saturating_sub(10),
            (_, KeyCode::PageDown) => self.scroll_by(10),
            (Field::Confirm, code) => return self.in_confirm(code, key, now),
            (_, KeyCode::Esc) | (Field::Answer, KeyCode::Enter) => self.field = Field::Confirm,
            (Field::Reason | Field::Length | Field::Ticket, KeyCode::Enter) => {
                self.field = if self.is_answered() { Field::Confirm } else { Field::Answer };
            }
            _ => {
                if let Some(input) = self.input()
                    && input.key(key)
                {
                    self.typed |= self.field == Field::Reason;
                    self.problem = self.wrong();
                }
            }
        }
        Reply::Stay
    }

    fn in_confirm(&mut self, code: KeyCode, key: KeyEvent, now: Timestamp) -> Reply {
        if !key.modifiers.is_empty() {
            return Reply::Stay;
        }
        match code {
            KeyCode::Char('y') => return self.confirm(now),
            KeyCode::Esc | KeyCode::Char('n' | 'q') => return Reply::Cancel,
            KeyCode::Char('h') if !self.hidden.is_empty() => return Reply::AddHidden,
            KeyCode::Char('p') if self.against && self.items.len() > 1 => {
                self.past = !self.past;
                self.answer = Input::default();
                self.problem = None;
                if self.past {
                    self.field = Field::Answer;
                }
            }
            KeyCode::Char('j') => self.scroll_by(1),
            KeyCode::Char('k') => self.scroll = self.scroll.saturating_sub(1),
            _ => {}
        }
        Reply::Stay
    }

    fn scroll_by(&mut self, lines: usize) {
        self.scroll = (self.scroll + lines).min(self.items.len().saturating_sub(1));
    }

    fn next_field(&mut self, back: bool) {
        const ALL: [Field; 5] =
            [Field::Confirm, Field::Reason, Field::Length, Field::Ticket, Field::Answer];
        let shown: Vec<Field> = ALL.into_iter().filter(|field| self.has(*field)).collect();
        let at = shown.iter().position(|field| *field == self.field).unwrap_or(0);
        let next = if back { at + shown.len() - 1 } else { at + 1 } % shown.len();
        self.field = shown.get(next).copied().unwrap_or(Field::Confirm);
    }

    fn input(&mut self) -> Option<&mut Input> {
        match self.field {
            Field::Confirm => None,
            Field::Reason => Some(&mut self.reason),
            Field::Length => Some(&mut self.length),
            Field::Ticket => Some(&mut self.ticket),
            Field::Answer => Some(&mut self.answer),
        }
    }

    /// Takes pasted text: into a field, never as a confirmation, and so never as what has to be
    /// typed.
    pub fn paste(&mut self, text: &str) {
        if self.field == Field::Answer {
            self.problem = Some("this has to be typed, not pasted".to_owned());
            return;
        }
        if let Some(input) = self.input() {
            input.insert(text);
            self.typed |= self.field == Field::Reason;
            self.problem = self.wrong();
        }
    }

    /// The reason, or what is wrong with it.
    ///
    /// # Errors
    /// A sentence for the person who types.
    pub fn checked_reason(&self) -> Result<String, String> {
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
        Ok(reason.to_owned())
    }

    /// The hold that confirming now would begin, or what is wrong with the fields.
    ///
    /// # Errors
    /// A sentence for the person who types.
    pub fn hold(&self, now: Timestamp) -> Result<Hold, String> {
        let reason = self.checked_reason()?;
        let seconds = duration::parse(self.length.text().trim())?.as_secs();
        if !(1..=MAX_HOLD_SECONDS).contains(&seconds) {
            return Err("a maintenance lasts at least 1s and at most 30d".to_owned());
        }
        let ticket = self.ticket.text().trim();
        if ticket.chars().count() > MAX_TICKET {
            return Err(format!("a ticket has at most {MAX_TICKET} characters"));
        }
        let mut hold = change::hold(&reason, now, seconds);
        hold.ticket = (!ticket.is_empty()).then(|| ticket.to_owned());
        Ok(hold)
    }

    fn wrong(&self) -> Option<String> {
        if self.verb == Verb::MaintenanceOn {
            self.hold(Timestamp::UNIX_EPOCH).err()
        } else if self.has(Field::Reason) {
            self.checked_reason().err()
        } else {
            None
        }
    }

    /// Takes a reason that was typed by hand before.
    pub fn give_reason(&mut self, reason: Input) {
        self.reason = reason;
        self.typed = true;
        self.problem = self.wrong();
        self.field = if self.is_answered() { Field::Confirm } else { Field::Answer };
    }

    /// Whether what has to be typed is typed.
    pub fn is_answered(&self) -> bool {
        let typed = self.answer.text().trim();
        match self.level() {
            Level::Type(wanted) => {
                // Of a single host the object's name will do too.
                let name = self.items.first().map(|item| item.change.target().name.as_str());
                typed == wanted || (self.items.len() == 1 && Some(typed) == name)
            }
            Level::Confirm | Level::Reason => true,
        }
    }

    fn confirm(&mut self, now: Timestamp) -> Reply {
        if self.items.is_empty() {
            return Reply::Cancel;
        }
        if self.wants_reason() {
            self.problem = Some(self.why_reason().to_owned());
            self.field = Field::Reason;
            return Reply::Stay;
        }
        if let Some(problem) = self.wrong() {
            self.problem = Some(problem);
            return Reply::Stay;
        }
        if self.items.len() == 1 && self.blocked() > 0 {
            self.past = true;
        }
        if self.refused() == self.items.len() {
            self.problem = Some("all of it would be refused; p goes past that".to_owned());
            return Reply::Stay;
        }
        if !self.is_answered() {
            self.field = Field::Answer;
            return Reply::Stay;
        }
        if self.verb == Verb::MaintenanceOn {
            match self.hold(now) {
                Ok(hold) => {
                    for item in &mut self.items {
                        if let Change::Hold(change) = &mut item.change {
                            change.new = Some(hold.clone());
                        }
                    }
                }
                Err(problem) => {
                    self.problem = Some(problem);
                    return Reply::Stay;
                }
            }
        }
        if self.verb == Verb::Run {
            let reason = self.checked_reason().ok();
            for item in &mut self.items {
                if let Change::Run(change) = &mut item.change {
                    change.new.reason.clone_from(&reason);
                }
            }
        }
        Reply::Send
    }

    /// A host has changed: the strip says so.
    pub fn target_moved(&mut self, uid: &Uid) {
        let Some(item) = self.index.get(uid).and_then(|number| self.items.get_mut(*number)) else {
            return;
        };
        if !std::mem::replace(&mut item.moved, true) {
            self.moved_hosts += 1;
            self.say_what_happened();
        }
    }

    /// Whether this host is one of the strip's.
    pub fn is_for(&self, uid: &Uid) -> bool {
        self.index.contains_key(uid)
    }

    /// Hosts that are gone drop out, and the strip says so.
    pub fn keep(&mut self, there: impl Fn(&Uid) -> bool) {
        let gone = &mut self.gone;
        self.items.retain(|item| {
            let stays = there(&item.change.target().uid);
            if !stays {
                gone.push(item.display.clone());
            }
            stays
        });
        let uids = self.items.iter().map(|item| item.change.target().uid.clone());
        self.index = uids.zip(0..).collect();
        self.moved_hosts = self.items.iter().filter(|item| item.moved).count();
        self.hidden.retain(there);
        self.scroll_by(0);
        self.say_what_happened();
    }

    /// What people called the hosts that are gone, such as `web-1`, or how many they are.
    pub fn gone(&self) -> String {
        match self.gone.as_slice() {
            [one] => format!("{one} is gone"),
            many => format!("{} hosts are gone", many.len()),
        }
    }

    fn say_what_happened(&mut self) {
        let moved = self.moved_hosts;
        let mut parts = Vec::new();
        if moved == 1 && self.items.len() == 1 {
            parts.push("the host has changed since you opened this".to_owned());
        } else if moved > 0 {
            parts.push(format!("{moved} of them changed since you opened this"));
        }
        if !self.gone.is_empty() {
            parts.push(self.gone());
        }
        self.moved = (!parts.is_empty()).then(|| parts.join(" · "));
    }

    /// After a conflict on the only host: the strip with the value that was found instead of the
    /// expected one.
    #[must_use]
    pub fn reopened(mut self, host: &Host) -> Self {
        let Some(Item { change: Change::Hold(change), .. }) = self.items.first_mut() else {
            return self;
        };
        let found = host.spec.maintenance.get(&change.holder).cloned();
        self.moved = Some(match &found {
            Some(hold) => format!(
                "somebody else changed it first: now held until {} for \"{}\"",
                hold.until.0,
                crate::model::text::clean(&hold.reason)
            ),
            None => "somebody else changed it first: the hold is no longer there".to_owned(),
        });
        change.target.resource_version = host.metadata.resource_version.clone().unwrap_or_default();
        change.new = None;
        self.verb = if found.is_some() { Verb::MaintenanceOff } else { Verb::MaintenanceOn };
        change.old = found;
        self.answer = Input::default();
        self.field = Field::Confirm;
        self
    }
}
