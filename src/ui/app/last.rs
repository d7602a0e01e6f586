//! The last known fleet of each server: what was kept on disk is shown until the server's list has
//! come, and while the list is live it is kept again, in steps, every few minutes.

use jiff::Timestamp;

use super::{Link, Model, Server};
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

/// The last known fleet of a server.
#[derive(Clone, Debug, Default)]
pub struct LastFleet {
    /// Its hosts on the screen are those of this time; none: they are the server's.
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

impl LastFleet {
    /// What still comes from the disk is not wanted, nor is anything kept any more.
    pub(super) fn forget(&mut self) {
        *self = Self { over: true, ..Self::default() };
    }
}

impl Model {
    /// Something of what was kept has been read.
    pub(super) fn last_read(&mut self, id: ServerId, event: LastEvent) {
        let last = &mut self.servers.get_mut(id).last;
        if last.over {
            return;
        }
        match event {
            LastEvent::Begin(made) => last.shown = Some(made),
            LastEvent::Hosts(hosts) => {
                for mut record in hosts {
                    record.server = id;
                    self.inventory.apply(record, self.now);
                }
                // The server's list may have begun, though nothing of it has come: it begins now.
                self.inventory.begin_resync(id);
            }
            LastEvent::Done => last.over = true,
            LastEvent::Damaged(why) => {
                last.shown = None;
                last.over = true;
                self.inventory.begin_resync(id);
                self.removing(|inventory| inventory.end_resync(id));
                let why = self.about_server(id, &why);
                self.fail(why);
            }
        }
        self.dirty = true;
    }

    /// Hosts of the server have come: what is shown stays until its list is whole.
    pub(super) fn list_comes(&mut self, id: ServerId) {
        self.servers.get_mut(id).last.over = true;
    }

    /// The server's list is whole.
    pub(super) fn list_is_whole(&mut self, id: ServerId) {
        let first = later(self.now, FIRST);
        let last = &mut self.servers.get_mut(id).last;
        last.shown = None;
        last.over = true;
        last.changed = true;
        last.next = last.next.or(Some(first));
    }

    /// Why nothing of a server can be changed, while what is shown is not the server's.
    pub(super) fn only_last(&self, id: ServerId) -> Option<String> {
        let at = self.clock(self.servers.get(id).last.shown?);
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

    /// Begins to keep the fleets for which it is time.
    pub(super) fn wanted_keep(&mut self) -> Vec<Command> {
        if !self.settings.keeps || self.frozen.since.is_some() {
            return Vec::new();
        }
        let now = self.now;
        let due = self.servers.iter().filter(|(_, server)| server.is_due(now));
        let due: Vec<ServerId> = due.map(|(id, _)| id).collect();
        for id in &due {
            let last = &mut self.servers.get_mut(*id).last;
            last.changed = false;
            last.going = Some((0, 0));
        }
        due.into_iter().map(|id| Command::Keep(id, Keep::Begin(now))).collect()
    }

    /// A part has been kept, or not: the next one.
    pub(super) fn part_kept(&mut self, id: ServerId, result: Result<(), String>) -> Vec<Command> {
        let now = self.now;
        let last = &mut self.servers.get_mut(id).last;
        let Some((mut slot, hosts)) = last.going.take() else { return Vec::new() };
        last.next = Some(later(now, AGAIN));
        if let Err(why) = result {
            last.changed = true;
            if !std::mem::replace(&mut last.said, true) {
                let text = format!(
                    "the fleet cannot be kept for the next start: {why} (last-fleet = false leaves it)"
                );
                let text = self.about_server(id, &text);
                self.fail(text);
                self.dirty = true;
            }
            return Vec::new();
        }
        if slot == u32::MAX {
            last.kept = Some(now);
            return Vec::new();
        }
        let mut lines = Vec::new();
        let written = self.inventory.keep_step(id, &mut slot, PART, &mut lines);
        let (going, part) = match written {
            Some(written) => ((slot, hosts + written), Keep::Lines(lines)),
            None => ((u32::MAX, hosts), Keep::End(hosts)),
        };
        last.going = Some(going);
        vec![Command::Keep(id, part)]
    }

    /// As of when the fleet of a server is to be kept at the end, if that is worth while.
    pub fn keeps_at_end(&self, id: ServerId) -> Option<Timestamp> {
        let server = self.servers.get(id);
        let made = match server.link {
            Link::Live => self.now,
            Link::Lost { since, .. } => since,
            Link::Connecting | Link::Listing | Link::Same(_) => return None,
        };
        let young = |kept: Timestamp| made.as_second() - kept.as_second() < AT_END;
        let wanted = self.settings.keeps && server.synced && self.inventory.hosts_on(id) > 0;
        (wanted && server.last.changed && !server.last.kept.is_some_and(young)).then_some(made)
    }
}

impl Server {
    /// Whether it is time to keep its fleet.
    fn is_due(&self, now: Timestamp) -> bool {
        let last = &self.last;
        let due = last.next.is_some_and(|next| next <= now);
        due && self.link == Link::Live && last.changed && last.going.is_none()
    }
}

fn later(now: Timestamp, seconds: i64) -> Timestamp {
    Timestamp::from_second(now.as_second().saturating_add(seconds)).unwrap_or(now)
}
