//! The Sources that are known: how each one is, and which of them somebody should look at.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::input::Input;
use super::views::{Listed, Spot, View};
use super::{Link, Model};
use crate::model::source::{Source, State};
use crate::store::objects::ObjectEvent;

/// Seconds for which nothing more is called stale after the server was lost or the watch has failed:
/// it may be we who hear nothing. Longer than the longest pause between two attempts.
const DEAF: i64 = 90;

/// Namespace and name of a Source.
pub type SourceKey = (String, String);

/// The Sources that are known.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    known: BTreeMap<SourceKey, Box<Source>>,
    /// What a listing that goes on has brought so far.
    listed: Option<BTreeSet<SourceKey>>,
    /// How each one is: those to look at first, then by name.
    order: Vec<(State, SourceKey)>,
    /// Where one is in the list.
    pub spot: Spot<SourceKey>,
    /// The list has been complete once.
    pub synced: bool,
    /// Why they cannot be followed.
    pub problem: Option<String>,
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

fn key(source: &Source) -> SourceKey {
    let meta = &source.metadata;
    (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}

impl Sources {
    /// How many there are, and how many of them somebody should look at.
    pub fn len(&self) -> (usize, usize) {
        (self.order.len(), self.troubles().count())
    }

    /// Those that somebody should look at, the worst first: how each is, and its name.
    pub fn troubles(&self) -> impl Iterator<Item = (State, &str)> {
        let trouble = |(state, _): &&(State, SourceKey)| state.is_trouble();
        self.order.iter().take_while(trouble).map(|(state, (_, name))| (*state, name.as_str()))
    }

    /// The source under the cursor, and how it is.
    pub fn source(&self) -> Option<(State, &Source)> {
        let cursor = self.spot.cursor.as_ref()?;
        let (state, key) = self.order.iter().find(|(_, key)| key == cursor)?;
        Some((*state, self.known.get(key)?))
    }

    /// The source of this namespace and name, and how it is.
    pub fn of(&self, namespace: &str, name: &str) -> Option<(State, &Source)> {
        let (state, key) = self.order.iter().find(|(_, (n, m))| n == namespace && m == name)?;
        Some((*state, self.known.get(key)?))
    }

    /// The lines from the first one of the screen on.
    pub fn lines(&self) -> impl Iterator<Item = (&SourceKey, State, &Source)> {
        let top = self.spot.top.as_ref().and_then(|top| (&self).rank(top));
        let shown = self.order.iter().skip(top.unwrap_or(0));
        shown.filter_map(|(state, key)| Some((key, *state, self.known.get(key)?.as_ref())))
    }

    /// Whether it is known which there are, or that this cannot be known.
    pub(super) fn told(&self) -> bool {
        self.synced || self.problem.is_some()
    }

    /// Takes in what has happened.
    fn take(&mut self, event: ObjectEvent<Source>, now: Timestamp) {
        match event {
            ObjectEvent::Begin => self.listed = Some(BTreeSet::new()),
            ObjectEvent::Apply(source) => {
                let key = key(&source);
                match &mut self.listed {
                    Some(listed) => {
                        listed.insert(key.clone());
                    }
                    None => self.deaf = None,
                }
                self.known.insert(key, source);
            }
            ObjectEvent::Delete(source) => {
                self.known.remove(&key(&source));
            }
            ObjectEvent::Synced => {
                if let Some(listed) = self.listed.take() {
                    self.known.retain(|key, _| listed.contains(key));
                }
                self.synced = true;
                self.problem = None;
                self.deaf = None;
            }
            ObjectEvent::Lost(reason) => {
                self.problem = Some(reason);
                self.hear_nothing(now, now);
            }
        }
    }

    /// Since then nothing may be heard.
    fn hear_nothing(&mut self, since: Timestamp, now: Timestamp) {
        let since = self.deaf.map_or(since, |(earlier, _)| earlier.min(since));
        let until = now.saturating_add(SignedDuration::from_secs(DEAF)).unwrap_or(now);
        self.deaf = Some((since, until));
    }

    /// Looks again how each one is; true if any of them is another way than before.
    fn judge(&mut self, now: Timestamp) -> bool {
        let states = self.known.iter().map(|(key, source)| (source.state(now), key.clone()));
        let mut order: Vec<_> = states.collect();
        order.sort_by(|(a, x), (b, y)| (a, &x.1, &x.0).cmp(&(b, &y.1, &y.0)));
        let changed = self.order != order;
        self.order = order;
        changed
    }
}

impl Model {
    /// Takes what happened to the sources.
    pub(super) fn sources_changed(&mut self, event: ObjectEvent<Source>) {
        self.sources.take(event, self.now);
        self.judge_sources();
        self.dirty = true;
    }

    /// Looks again how the sources are, as of when anything was last to be heard.
    pub(super) fn judge_sources(&mut self) {
        if let Link::Lost { since, .. } = &self.link {
            self.sources.hear_nothing(*since, self.now);
        }
        let deaf = self.sources.deaf.filter(|(_, until)| self.now < *until);
        let as_of = deaf.map_or(self.now, |(since, _)| since);
        self.dirty |= self.sources.judge(as_of);
    }

    /// Shows the hosts of the source under the cursor in the tree, by the filter.
    pub(super) fn open_source(&mut self) {
        let Some((namespace, name)) = self.sources.spot.cursor.clone() else { return };
        let same = |(_, (_, other)): &&(State, SourceKey)| *other == name;
        let mut text = format!("source:{name}");
        if self.sources.order.iter().filter(same).count() > 1 {
            text = format!("{text} namespace:{namespace}");
        }
        self.filter.input = Input::new(text);
        self.filter.problems = false;
        self.apply_filter();
        self.go_to(View::Fleet);
    }
}

#[cfg(test)]
pub(crate) mod tests;
