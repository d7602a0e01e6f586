//! The Sources that are known: how each one is, and which of them somebody should look at.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::input::Input;
use super::views::{Listed, Spot, View};
use super::{Link, Model};
use crate::model::key::ServerId;
use crate::model::source::{Source, State};
use crate::store::objects::ObjectEvent;

/// Seconds for which nothing more is called stale after the server was lost or the watch has failed:
/// it may be we who hear nothing. Longer than the longest pause between two attempts.
const DEAF: i64 = 90;

/// Server, namespace and name of a Source.
pub type SourceKey = (ServerId, String, String);

/// The Sources that are known.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    known: BTreeMap<SourceKey, Box<Source>>,
    /// What is known of each server's.
    servers: BTreeMap<ServerId, Heard>,
    /// How each one is: those to look at first, then by name.
    order: Vec<(State, SourceKey)>,
    /// Where one is in the list.
    pub spot: Spot<SourceKey>,
}

/// How those of one server are heard of.
#[derive(Clone, Debug, Default)]
struct Heard {
    /// What a listing that goes on has brought so far.
    listed: Option<BTreeSet<SourceKey>>,
    /// The list has been complete once.
    synced: bool,
    /// Why they cannot be followed.
    problem: Option<String>,
    /// Since when nothing may be heard of them, and until when that is an excuse.
    deaf: Option<(Timestamp, Timestamp)>,
}

impl Listed for &Sources {
    type Key = SourceKey;

    fn len(&self) -> usize {
        self.order.len()
    }

    fn rank(&self, key: &SourceKey) -> Option<usize> {
        self.order.iter().position(|(_, known)| known == key)
    }

    fn nth(&self, rank: usize) -> Option<SourceKey> {
        self.order.get(rank).map(|(_, key)| key.clone())
    }
}

impl Heard {
    /// Since then nothing may be heard.
    fn nothing(&mut self, since: Timestamp, now: Timestamp) {
        let since = self.deaf.map_or(since, |(earlier, _)| earlier.min(since));
        let until = now.saturating_add(SignedDuration::from_secs(DEAF)).unwrap_or(now);
        self.deaf = Some((since, until));
    }
}

fn key(server: ServerId, source: &Source) -> SourceKey {
    let meta = &source.metadata;
    (server, meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}

impl Sources {
    /// How many there are, and how many of them somebody should look at.
    pub fn len(&self) -> (usize, usize) {
        (self.order.len(), self.order.iter().take_while(|(state, _)| state.is_trouble()).count())
    }

    /// Those that somebody should look at, the worst first: how each is, its server and its name.
    pub fn troubles(&self) -> impl Iterator<Item = (State, ServerId, &str)> {
        let trouble = |(state, _): &&(State, SourceKey)| state.is_trouble();
        let troubles = self.order.iter().take_while(trouble);
        troubles.map(|(state, (server, _, name))| (*state, *server, name.as_str()))
    }

    /// The source under the cursor, and how it is.
    pub fn source(&self) -> Option<(State, &Source)> {
        let cursor = self.spot.cursor.as_ref()?;
        let (state, key) = self.order.iter().find(|(_, key)| key == cursor)?;
        Some((*state, self.known.get(key)?))
    }

    /// The source of this server, namespace and name, and how it is.
    pub fn of(&self, server: ServerId, namespace: &str, name: &str) -> Option<(State, &Source)> {
        let same = |(s, n, m): &SourceKey| *s == server && n == namespace && m == name;
        let (state, key) = self.order.iter().find(|(_, key)| same(key))?;
        Some((*state, self.known.get(key)?))
    }

    /// The lines from the first one of the screen on.
    pub fn lines(&self) -> impl Iterator<Item = (&SourceKey, State, &Source)> {
        let top = self.spot.top.as_ref().and_then(|top| (&self).rank(top));
        let shown = self.order.iter().skip(top.unwrap_or(0));
        shown.filter_map(|(state, key)| Some((key, *state, self.known.get(key)?.as_ref())))
    }

    /// Whether it is known which a server has, or that this cannot be known.
    fn told(&self, server: ServerId) -> bool {
        let heard = self.servers.get(&server);
        heard.is_some_and(|heard| heard.synced || heard.problem.is_some())
    }

    /// Whether the list of any server has been complete once.
    pub fn synced(&self) -> bool {
        self.servers.values().any(|heard| heard.synced)
    }

    /// Why those of a server cannot be followed, if so.
    pub fn problem(&self, server: ServerId) -> Option<&str> {
        self.servers.get(&server)?.problem.as_deref()
    }

    /// Why those of the first server of which they cannot be followed are not, if there is one.
    pub fn any_problem(&self) -> Option<&str> {
        self.servers.values().find_map(|heard| heard.problem.as_deref())
    }

    /// Forgets a server.
    pub(super) fn forget(&mut self, server: ServerId) {
        self.servers.remove(&server);
        self.known.retain(|(other, ..), _| *other != server);
    }

    /// Takes in what has happened on a server.
    fn take(&mut self, server: ServerId, event: ObjectEvent<Source>, now: Timestamp) {
        let heard = self.servers.entry(server).or_default();
        match event {
            ObjectEvent::Begin => heard.listed = Some(BTreeSet::new()),
            ObjectEvent::Apply(source) => {
                let key = key(server, &source);
                match &mut heard.listed {
                    Some(listed) => {
                        listed.insert(key.clone());
                    }
                    None => heard.deaf = None,
                }
                self.known.insert(key, source);
            }
            ObjectEvent::Delete(source) => {
                self.known.remove(&key(server, &source));
            }
            ObjectEvent::Synced => {
                if let Some(listed) = heard.listed.take() {
                    self.known.retain(|key, _| key.0 != server || listed.contains(key));
                }
                heard.synced = true;
                heard.problem = None;
                heard.deaf = None;
            }
            ObjectEvent::Lost(reason) => {
                heard.problem = Some(reason);
                heard.nothing(now, now);
            }
        }
    }

    /// Looks again how each one is, as of when anything was last to be heard of it; true if any of them is another way than before.
    fn judge(&mut self, now: Timestamp) -> bool {
        let deaf = |server| self.servers.get(&server).and_then(|heard: &Heard| heard.deaf);
        let states = self.known.iter().map(|(key, source)| {
            let deaf = deaf(key.0).filter(|(_, until)| now < *until);
            (source.state(deaf.map_or(now, |(since, _)| since)), key.clone())
        });
        let mut order: Vec<_> = states.collect();
        order.sort_by(|(a, x), (b, y)| (a, &x.2, x.0, &x.1).cmp(&(b, &y.2, y.0, &y.1)));
        let changed = self.order != order;
        self.order = order;
        changed
    }
}

impl Model {
    /// Takes what happened to the sources of a server.
    pub(super) fn sources_changed(&mut self, server: ServerId, event: ObjectEvent<Source>) {
        if !self.servers.get(server).is_used() {
            return;
        }
        self.sources.take(server, event, self.now);
        self.judge_sources();
        self.dirty = true;
    }

    /// Looks again how the sources are, as of when anything was last to be heard of each.
    pub(super) fn judge_sources(&mut self) {
        for (id, server) in self.servers.iter() {
            if let Link::Lost { since, .. } = &server.link
                && let Some(heard) = self.sources.servers.get_mut(&id)
            {
                heard.nothing(*since, self.now);
            }
        }
        self.dirty |= self.sources.judge(self.now);
    }

    /// Whether it is known which sources there are, or that this cannot be known.
    pub(super) fn sources_told(&self) -> bool {
        let mut used = self.servers.used();
        used.all(|(id, server)| self.sources.told(id) || self.servers.several() && server.is_lost())
    }

    /// Shows the hosts of the source under the cursor in the tree, by the filter.
    pub(super) fn open_source(&mut self) {
        let Some((server, namespace, name)) = self.sources.spot.cursor.clone() else { return };
        let keys = self.sources.order.iter().map(|(_, key)| key);
        let same: Vec<_> = keys.filter(|(.., other)| *other == name).collect();
        let mut text = format!("source:{name}");
        if same.iter().any(|(_, other, _)| *other != namespace) {
            text = format!("{text} namespace:{namespace}");
        }
        if same.iter().any(|(other, ..)| *other != server) {
            text = format!("{text} {}", self.server_filter(server));
        }
        self.filter.input = Input::new(text);
        self.filter.problems = false;
        self.apply_filter();
        self.go_to(View::Fleet);
    }
}

#[cfg(test)]
pub(crate) mod tests;
