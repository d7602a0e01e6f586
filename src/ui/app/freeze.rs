//! The frozen display: what the watch brings waits, and the picture stays until it is let go. Of a
//! host only the latest news waits. Changes stay safe meanwhile: whoever carries one out reads each
//! host anew before it.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use super::Model;
use crate::model::key::{ServerId, Uid};
use crate::store::watch::{FleetEvent, HostChange};
use crate::ui::actions::Action;

/// Hosts whose news wait at most; with more the display goes on by itself. A host's record is about
/// 2 KiB.
const MAX_HOSTS: usize = 20_000;

/// The frozen display.
#[derive(Debug, Default)]
pub struct Frozen {
    /// Since when; none: it is not.
    pub since: Option<Timestamp>,
    /// What waits, in order, and what of the part behind the last mark belongs to which host.
    waiting: Vec<(ServerId, FleetEvent)>,
    places: HashMap<Uid, usize>,
    tail: Vec<(ServerId, HostChange)>,
    hosts: usize,
}

impl Frozen {
    /// How many hosts have changed behind the picture.
    pub fn hosts(&self) -> usize {
        self.hosts
    }

    /// Puts what a listing's begin or end parts behind what waits.
    fn mark(&mut self, server: ServerId, event: FleetEvent) {
        self.places.clear();
        self.flush();
        self.waiting.push((server, event));
    }

    /// Puts the changes behind what waits, by server: what they do to one concerns no other.
    fn flush(&mut self) {
        let mut servers: BTreeMap<ServerId, Vec<HostChange>> = BTreeMap::new();
        for (server, change) in std::mem::take(&mut self.tail) {
            servers.entry(server).or_default().push(change);
        }
        let changes = servers.into_iter().map(|(id, changes)| (id, FleetEvent::Changes(changes)));
        self.waiting.extend(changes);
    }

    /// Puts the news of a host behind what waits, or in the place of older news of it.
    fn put(&mut self, server: ServerId, change: HostChange) {
        let uid = match &change {
            HostChange::Apply(record) => record.uid(),
            HostChange::Delete(uid) => Some(uid.clone()),
        };
        let known = uid.as_ref().and_then(|uid| self.places.get(uid)).copied();
        if let Some(place) = known.and_then(|at| self.tail.get_mut(at)) {
            *place = (server, change);
            return;
        }
        if let Some(uid) = uid {
            self.places.insert(uid, self.tail.len());
        }
        self.hosts += 1;
        self.tail.push((server, change));
    }

    /// Takes what waits.
    fn take(&mut self) -> Vec<(ServerId, FleetEvent)> {
        self.flush();
        let events = std::mem::take(&mut self.waiting);
        *self = Self::default();
        events
    }
}

impl Model {
    /// Freezes the display, or lets it go on.
    pub(super) fn freeze(&mut self) {
        if self.frozen.since.is_some() {
            let hosts = self.frozen.hosts();
            self.thaw();
            self.say(match hosts {
                0 => "the display goes on; nothing has changed meanwhile".to_owned(),
                1 => "the display goes on; 1 host has changed meanwhile".to_owned(),
                more => format!("the display goes on; {more} hosts have changed meanwhile"),
            });
        } else if self.servers.any_synced() {
            self.frozen.since = Some(self.now);
            let key = self.key(Action::Freeze);
            self.say(format!("the hosts on the screen are frozen: {key} lets them go on"));
        } else {
            self.say("there is nothing to freeze before the list has come");
        }
    }

    /// Takes in what has waited.
    fn thaw(&mut self) {
        for (server, event) in self.frozen.take() {
            super::fleet(self, server, event);
        }
        self.dirty = true;
    }

    /// Keeps an event back while the display is frozen; none: it is kept. How the connection is
    /// shows all the same.
    pub(super) fn hold_back(&mut self, server: ServerId, event: FleetEvent) -> Option<FleetEvent> {
        if self.frozen.since.is_none() {
            return Some(event);
        }
        match event {
            FleetEvent::Lost(_) | FleetEvent::Recovered => return Some(event),
            FleetEvent::Begin { .. } | FleetEvent::Synced => self.frozen.mark(server, event),
            FleetEvent::Changes(changes) => {
                for change in changes {
                    self.frozen.put(server, change);
                }
            }
        }
        if self.frozen.hosts() > MAX_HOSTS {
            let hosts = self.frozen.hosts();
            self.thaw();
            self.fail(format!("the display goes on: {hosts} hosts have changed behind it, which is as many as can wait"));
        }
        None
    }
}
