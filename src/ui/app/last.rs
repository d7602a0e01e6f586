//! The last known fleet: what was kept on disk is shown until the server's list has come, and while
//! the list is live it is kept again, in steps, every few minutes.

use jiff::Timestamp;

use super::{Link, Model};
use crate::model::key::ServerId;
use crate::store::last::LastEvent;
use crate::ui::actions::Action;
use crate::ui::msg::Command;

/// Seconds after the first list at which it is kept, and between two times.
const FIRST: i64 = 10;
const AGAIN: i64 = 300;
/// Seconds after which it is worth while to keep it once more at the end.
const AT_END: i64 = 30;
/// Hosts of one part: about a millisecond's work.
const PART: u32 = 256;

/// The last known fleet.
#[derive(Clone, Debug, Default)]
pub struct LastFleet {
    /// The hosts on the screen are those of this time; none: they are the server's.
    pub shown: Option<Timestamp>,
    /// Hosts of the server have come: what still comes from the disk is not wanted.
    over: bool,
    /// When it is kept next.
    next: Option<Timestamp>,
    /// When it was kept last.
    kept: Option<Timestamp>,
    /// Something has changed since.
    pub(super) changed: bool,
    /// What is being kept: the next slot, and how many hosts so far.
    going: Option<(u32, usize)>,
    /// That it cannot be kept has been said.
    said: bool,
}

/// A part of a fleet that is kept.
#[derive(Clone, Debug, PartialEq)]
pub enum Keep {
    /// It begins, as of this time.
    Begin(Timestamp),
    /// Lines of hosts.
    Lines(Vec<u8>),
    /// That was all: so many.
    End(usize),
}

impl Model {
    /// Something of what was kept has been read.
    pub(super) fn last_read(&mut self, event: LastEvent) {
        if self.last.over {
            return;
        }
        match event {
            LastEvent::Begin(made) => self.last.shown = Some(made),
            LastEvent::Hosts(hosts) => {
                for record in hosts {
                    self.inventory.apply(record, self.now);
                }
                // The server's list may have begun, though nothing of it has come: it begins now.
                self.inventory.begin_resync(ServerId::FIRST);
            }
            LastEvent::Done => self.last.over = true,
            LastEvent::Damaged(why) => {
                self.last.shown = None;
                self.last.over = true;
                self.inventory.begin_resync(ServerId::FIRST);
                self.removing(|inventory| inventory.end_resync(ServerId::FIRST));
                self.fail(why);
            }
        }
        self.dirty = true;
    }

    /// Hosts of the server have come: what is shown stays until its list is whole.
    pub(super) fn list_comes(&mut self) {
        self.last.over = true;
    }

    /// The server's list is whole.
    pub(super) fn list_is_whole(&mut self) {
        self.last.shown = None;
        self.last.over = true;
        self.last.changed = true;
        let first = later(self.now, FIRST);
        self.last.next = self.last.next.or(Some(first));
    }

    /// Why nothing can be changed, while what is shown is not the server's.
    pub(super) fn only_last(&self) -> Option<String> {
        let made = self.last.shown?;
        let at = self.clock(made);
        let key = self.key(Action::Reconnect);
        Some(format!(
            "this is the last known fleet, as of {at}: changes wait until the server's list has come ({key} tries now)"
        ))
    }

    /// A time of day, with the day where it is not today.
    pub fn clock(&self, time: Timestamp) -> String {
        let old = self.now.as_second() - time.as_second() >= 20 * 3_600;
        let form = if old { "%a %d %b %H:%M" } else { "%H:%M" };
        time.to_zoned(self.settings.time_zone.clone()).strftime(form).to_string()
    }

    /// Begins to keep the fleet, if it is time.
    pub(super) fn wanted_keep(&mut self) -> Vec<Command> {
        let due = self.last.next.is_some_and(|next| next <= self.now);
        let live = self.servers.get(ServerId::FIRST).link == Link::Live;
        let live = live && self.frozen.since.is_none();
        if !self.settings.keeps || !due || !live || !self.last.changed || self.last.going.is_some()
        {
            return Vec::new();
        }
        self.last.changed = false;
        self.last.going = Some((0, 0));
        vec![Command::Keep(Keep::Begin(self.now))]
    }

    /// A part has been kept, or not: the next one.
    pub(super) fn part_kept(&mut self, result: Result<(), String>) -> Vec<Command> {
        let Some((mut slot, hosts)) = self.last.going.take() else { return Vec::new() };
        self.last.next = Some(later(self.now, AGAIN));
        if let Err(why) = result {
            self.last.changed = true;
            if !std::mem::replace(&mut self.last.said, true) {
                self.fail(format!(
                    "the fleet cannot be kept for the next start: {why} (last-fleet = false leaves it)"
                ));
                self.dirty = true;
            }
            return Vec::new();
        }
        if slot == u32::MAX {
            self.last.kept = Some(self.now);
            return Vec::new();
        }
        let mut lines = Vec::new();
        let written = self.inventory.keep_step(&mut slot, PART, &mut lines);
        let part = if let Some(written) = written {
            self.last.going = Some((slot, hosts + written));
            Keep::Lines(lines)
        } else {
            self.last.going = Some((u32::MAX, hosts));
            Keep::End(hosts)
        };
        vec![Command::Keep(part)]
    }

    /// As of when the fleet is to be kept at the end, if that is worth while.
    pub fn keeps_at_end(&self) -> Option<Timestamp> {
        let server = self.servers.get(ServerId::FIRST);
        let made = match server.link {
            Link::Live => self.now,
            Link::Lost { since, .. } => since,
            Link::Connecting | Link::Listing | Link::Same(_) => return None,
        };
        let young = |kept: Timestamp| made.as_second() - kept.as_second() < AT_END;
        let wanted = self.settings.keeps && server.synced && !self.inventory.is_empty();
        (wanted && self.last.changed && !self.last.kept.is_some_and(young)).then_some(made)
    }
}

fn later(now: Timestamp, seconds: i64) -> Timestamp {
    Timestamp::from_second(now.as_second().saturating_add(seconds)).unwrap_or(now)
}
