//! Orders on their way, what came of them, and how they are taken back.

use std::collections::{HashMap, HashSet};

use super::input::Input;
use super::marks::Targets;
use super::strip::{Item, Opening, Strip};
use super::writing::{Last, target};
use super::{Model, Overlay};
use crate::act::{Order, Outcome, Step, Verb};
use crate::model::change::Change;
use crate::model::host::Host;
use crate::model::key::{ServerId, Uid};
use crate::ui::msg::Command;

/// Orders that can be taken back, and changes of all of them: some 100 MB.
const HISTORY: usize = 100;
const CHANGES: usize = 200_000;

/// What came of one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// It could not be done, or it is not known.
    Failed,
    /// A rule, the budget or the server said no.
    Denied,
    /// Somebody else changed it first.
    Conflict,
    /// The host is gone.
    Gone,
    /// The order was stopped before.
    NotTried,
    /// Done.
    Done,
}

impl State {
    /// Every state, in the order in which a table shows them.
    pub const ALL: [Self; 6] =
        [Self::Failed, Self::Denied, Self::Conflict, Self::Gone, Self::NotTried, Self::Done];

    /// The word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Denied => "denied",
            Self::Conflict => "conflict",
            Self::Gone => "gone",
            Self::NotTried => "not tried",
            Self::Done => "done",
        }
    }
}

/// One host of a result table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The host.
    pub uid: Uid,
    /// What people call it.
    pub display: String,
    /// What came of it.
    pub state: State,
    /// Why.
    pub detail: String,
}

/// What came of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Results {
    /// What was to be done.
    pub verb: Verb,
    /// The hosts, those first that were not done.
    pub lines: Vec<Line>,
    /// Why it ended before its end.
    pub ended: Option<String>,
    /// First line that is shown.
    pub scroll: usize,
}

impl Results {
    /// How many hosts came to this.
    pub fn count(&self, state: State) -> usize {
        self.lines.iter().filter(|line| line.state == state).count()
    }

    /// The hosts that may be tried again.
    pub fn left(&self) -> Vec<Uid> {
        let again = |line: &&Line| !matches!(line.state, State::Done | State::Gone);
        self.lines.iter().filter(again).map(|line| line.uid.clone()).collect()
    }
}

/// An order that is being carried out.
#[derive(Clone, Debug)]
pub struct Going {
    /// The order.
    pub order: Order,
    /// The person has asked it to stop.
    pub stopping: bool,
    /// Hosts with a result so far.
    pub tried: usize,
    /// Of those, the ones that were not done.
    pub failed: usize,
    /// The same order as the servers get it: each one what concerns its hosts.
    parts: Vec<Part>,
    /// The strip that it came from.
    strip: Strip,
    results: Vec<Option<(State, String)>>,
    /// Changes that take back what was done, with what people call the host.
    back: Vec<(Change, String)>,
    /// What it takes back or makes again, as it stood where that is kept.
    taken: Option<Entry>,
    /// The object that was found by a conflict on the only host.
    found: Option<Box<Host>>,
}

/// What one server gets of an order.
#[derive(Clone, Debug)]
struct Part {
    id: String,
    server: ServerId,
    /// The number in the whole order of each of its changes.
    numbers: Vec<usize>,
    /// It has ended.
    ended: bool,
    /// Why before its end, if so.
    why: Option<String>,
}

/// Orders that can be taken back and made again, the newest last.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    undo: Vec<Entry>,
    redo: Vec<Entry>,
    /// How many there have been.
    count: u64,
}

/// One order that can be taken back.
#[derive(Clone, Debug)]
struct Entry {
    /// Those of later orders have greater numbers.
    number: u64,
    changes: Vec<(Change, String)>,
    reason: String,
}

/// Puts an entry where it belongs, or what it has into the one with its number.
fn put(stack: &mut Vec<Entry>, entry: Entry) {
    put_within(stack, entry, HISTORY, CHANGES);
}

/// With too many orders or changes the oldest orders go.
fn put_within(stack: &mut Vec<Entry>, entry: Entry, orders: usize, changes: usize) {
    if entry.changes.is_empty() {
        return;
    }
    match stack.binary_search_by_key(&entry.number, |other| other.number) {
        Ok(at) => {
            if let Some(old) = stack.get_mut(at) {
                old.changes.extend(entry.changes);
            }
        }
        Err(at) => stack.insert(at, entry),
    }
    let mut all: usize = stack.iter().map(|entry| entry.changes.len()).sum();
    while stack.len() > 1 && (stack.len() > orders || all > changes) {
        all -= stack.remove(0).changes.len();
    }
}

impl History {
    /// The stack that an undo or a redo takes from.
    fn stack(&mut self, again: bool) -> &mut Vec<Entry> {
        if again { &mut self.redo } else { &mut self.undo }
    }

    /// Takes what is about to be taken back (or made again) from its entry, so that nobody else
    /// takes it meanwhile.
    fn take(&mut self, again: bool, number: u64, hosts: &HashSet<Uid>) -> Option<Entry> {
        let stack = self.stack(again);
        let at = stack.binary_search_by_key(&number, |entry| entry.number).ok()?;
        let entry = stack.remove(at);
        let all = entry.changes.into_iter();
        let (taken, left) = all.partition(|(change, _)| hosts.contains(&change.target().uid));
        let Entry { reason, .. } = entry;
        put(stack, Entry { number, changes: left, reason: reason.clone() });
        Some(Entry { number, changes: taken, reason })
    }

    /// Puts a new entry on top.
    fn push(&mut self, again: bool, changes: Vec<(Change, String)>, reason: String) {
        self.count += 1;
        let entry = Entry { number: self.count, changes, reason };
        put(self.stack(again), entry);
    }
}

impl Model {
    /// Opens the strip for taking back the last order, or for making it again. What is on servers
    /// that cannot be written to now is left for later.
    pub(super) fn undo(&mut self, again: bool) {
        if let Some(problem) = self.cannot_write().filter(|_| !self.servers.several()) {
            return self.fail(problem);
        }
        let history = &self.writing.history;
        let stack = if again { &history.redo } else { &history.undo };
        let Some(entry) = stack.last() else {
            let what = if again { "nothing to make again" } else { "nothing to take back" };
            return self.say(what);
        };
        let all = entry.changes.iter().map(|(change, _)| change.target().uid.clone()).collect();
        let (_, refused) = self.reachable(all);
        let left_out = refused.values().map(|(count, why)| format!("{count} on {why}")).collect();
        let reachable =
            |(change, _): &&(Change, String)| !refused.contains_key(&change.target().uid.server());
        let item = |(change, display): &(Change, String)| {
            let row = self.inventory.get(&change.target().uid);
            let display = row.map_or_else(|| display.clone(), |row| row.display().to_owned());
            Item::new(change.clone(), display)
        };
        // The last that was done is taken back first.
        let items: Vec<Item> = entry.changes.iter().rev().filter(reachable).map(item).collect();
        if items.is_empty() {
            let why = refused.into_values().next().map(|(_, why)| why);
            return self.fail(why.unwrap_or_else(|| "nothing to take back".to_owned()));
        }
        // Holds that come back need room in the budget like any other.
        let begins = |item: &&Item| matches!(&item.change, Change::Hold(c) if c.new.is_some());
        let uids: Vec<Uid> =
            items.iter().filter(begins).map(|item| item.change.target().uid.clone()).collect();
        let opening = Opening {
            left_out,
            stands: self.stands(&uids),
            reason: entry.reason.clone(),
            entry: Some(entry.number),
            ..Opening::default()
        };
        let verb = if again { Verb::Redo } else { Verb::Undo };
        self.open_strip(Strip::new(verb, items, opening));
    }

    /// Sends what the strip has confirmed.
    pub(super) fn send(&mut self, strip: Strip) -> Vec<Command> {
        let servers = strip.servers();
        if let Some(problem) = servers.iter().find_map(|server| self.cannot_act_on(*server)) {
            self.overlay = Overlay::Strip(Box::new(strip));
            self.fail(problem);
            return Vec::new();
        }
        let reason = match strip.reason.text().trim() {
            "" => strip.verb.as_str().to_owned(),
            reason => reason.to_owned(),
        };
        let order = Order {
            id: self.ids.next("ord"),
            verb: strip.verb,
            changes: strip.items.iter().map(|item| item.change.clone()).collect(),
            reason: reason.clone(),
            ticket: Some(strip.ticket.text().trim().to_owned()).filter(|ticket| !ticket.is_empty()),
            overrides: strip.past && strip.blocked() > 0,
        };
        if !matches!(strip.verb, Verb::Undo | Verb::Redo) {
            let run = self.chosen_run.take().filter(|_| strip.verb == Verb::Run);
            let reason = match strip.verb {
                Verb::MaintenanceOn | Verb::Run | Verb::Label => reason,
                _ => String::new(),
            };
            self.writing.last = Some(Last {
                verb: strip.verb,
                reason,
                length: strip.length.text().to_owned(),
                ticket: strip.ticket.text().to_owned(),
                run,
                label: Last::edit(&strip),
            });
        }
        if strip.items.len() == 1 {
            self.say("sent, waiting for the server");
        }
        if !matches!(strip.verb, Verb::Undo | Verb::Redo) {
            self.clear_marks();
        }
        let taken = strip.entry.and_then(|number| {
            let hosts = order.changes.iter().map(|change| change.target().uid.clone());
            self.writing.history.take(strip.verb == Verb::Redo, number, &hosts.collect())
        });
        let results = vec![None; strip.items.len()];
        let (mut parts, mut commands) = (Vec::new(), Vec::new());
        for server in servers {
            let of = |(_, change): &(usize, &Change)| change.target().uid.server() == server;
            let mine = order.changes.iter().enumerate().filter(of);
            let (numbers, changes) = mine.map(|(number, change)| (number, change.clone())).unzip();
            let id = if parts.is_empty() { order.id.clone() } else { self.ids.next("ord") };
            let user = self.servers.get(server).user.clone().unwrap_or_default();
            let order = Order { id: id.clone(), changes, ..order.clone() };
            commands.push(Command::Act { server, user, order: Box::new(order) });
            parts.push(Part { id, server, numbers, ended: false, why: None });
        }
        self.writing.going.push(Going {
            order,
            parts,
            stopping: false,
            tried: 0,
            failed: 0,
            strip,
            results,
            back: Vec::new(),
            taken,
            found: None,
        });
        commands
    }

    /// Asks the orders that are on their way to stop. Nothing if there is none for several hosts.
    pub(super) fn stop(&mut self) -> Option<Vec<Command>> {
        let goes = |going: &&mut Going| going.order.changes.len() > 1 && !going.stopping;
        let mut ids = Vec::new();
        for going in self.writing.going.iter_mut().filter(goes) {
            going.stopping = true;
            ids.extend(going.parts.iter().map(|part| part.id.clone()));
        }
        (!ids.is_empty()).then(|| vec![Command::Stop(ids)])
    }

    /// Takes one step of the order that is on its way, or of a part of it.
    pub(super) fn step_of_order(&mut self, id: &str, step: Step) {
        let all = &mut self.writing.going;
        let has = |going: &Going| going.parts.iter().any(|part| part.id == id);
        let Some(at) = all.iter().position(has) else { return };
        let Some(going) = all.get_mut(at) else { return };
        let Some(part) = going.parts.iter_mut().find(|part| part.id == id) else { return };
        match step {
            Step::Host(number, outcome) => {
                let number = part.numbers.get(number).copied();
                if let Some(number) = number {
                    going.host(number, outcome);
                }
            }
            Step::Ended(why) => {
                (part.ended, part.why) = (true, why);
                if going.parts.iter().all(|part| part.ended) {
                    let going = all.remove(at);
                    self.order_ended(going);
                }
            }
            Step::Wave(_) => {}
        }
    }

    /// Why an order ended before its end; where it had several parts, with their servers.
    fn why_ended(&self, going: &Going) -> Option<String> {
        let mut whys = Vec::new();
        for part in &going.parts {
            let Some(why) = part.why.clone() else { continue };
            let several = going.parts.len() > 1;
            whys.push(if several { self.about_server(part.server, &why) } else { why });
        }
        (!whys.is_empty()).then(|| whys.join(" · "))
    }

    fn order_ended(&mut self, mut going: Going) {
        let why = self.why_ended(&going);
        self.remember(&mut going);
        if going.order.changes.len() == 1 {
            return self.one_ended(going, why);
        }
        let mut missing = HashMap::new();
        for part in &going.parts {
            let why = part.why.clone();
            let why = why.unwrap_or_else(|| "nothing was heard of it".to_owned());
            missing.extend(part.numbers.iter().map(|number| (*number, why.clone())));
        }
        let mut lines = Vec::new();
        for (number, item) in going.strip.items.iter().enumerate() {
            let result = going.results.get(number).cloned().flatten();
            let (state, detail) = result
                .unwrap_or_else(|| (State::NotTried, missing.remove(&number).unwrap_or_default()));
            lines.push(Line {
                uid: item.change.target().uid.clone(),
                display: item.display.clone(),
                state,
                detail,
            });
        }
        lines.sort_by_key(|line| line.state);
        let results = Results { verb: going.order.verb, lines, ended: why, scroll: 0 };
        let (done, all) = (results.count(State::Done), results.lines.len());
        self.writing.results = Some(Box::new(results));
        if self.overlay == Overlay::None {
            self.notice = None;
            self.overlay = Overlay::Results;
        } else {
            self.say(format!("{done} of {all} done · :last-result shows them"));
        }
    }

    /// Puts what was done where it can be taken back, as one step.
    fn remember(&mut self, going: &mut Going) {
        let history = &mut self.writing.history;
        let (back, reason) = (std::mem::take(&mut going.back), going.order.reason.clone());
        let again = match going.order.verb {
            Verb::Undo => false,
            Verb::Redo => true,
            _ => {
                if !back.is_empty() {
                    history.redo.clear();
                }
                return history.push(false, back, reason);
            }
        };
        // What was not done, but may still be, goes back to where it was.
        if let Some(mut entry) = going.taken.take() {
            let over = going.strip.items.iter().zip(&going.results).filter(|(_, result)| {
                let state = result.as_ref().map(|(state, _)| *state);
                matches!(state, Some(State::Done | State::Gone | State::Conflict))
            });
            let over: HashSet<&Uid> = over.map(|(item, _)| &item.change.target().uid).collect();
            entry.changes.retain(|(change, _)| !over.contains(&change.target().uid));
            put(history.stack(again), entry);
        }
        history.push(!again, back, reason);
    }

    /// One host: a line says what came of it.
    fn one_ended(&mut self, going: Going, why: Option<String>) {
        let verb = going.order.verb;
        let Some(item) = going.strip.items.first() else { return };
        let name = item.display.clone();
        let result = going.results.first().cloned().flatten();
        let (state, detail) = result.unwrap_or_else(|| {
            (State::Failed, why.unwrap_or_else(|| "nothing was heard of it".to_owned()))
        });
        match (state, going.found) {
            (State::Done, _) => {
                let text = self.done_text(verb, &item.change, &name);
                self.say(text);
            }
            (State::Conflict, Some(host))
                if matches!(verb, Verb::MaintenanceOn | Verb::MaintenanceOff)
                    && self.overlay == Overlay::None =>
            {
                self.open_strip(going.strip.reopened(&host));
            }
            (State::Conflict, _) if matches!(verb, Verb::Undo | Verb::Redo) => {
                self.fail(format!("{name}: not taken back, the value is no longer ours"));
            }
            (State::Conflict, _) => {
                self.fail(format!("{name}: not done, somebody else changed it first"));
            }
            (State::Gone, _) => self.fail(format!("{name} is gone: nothing was changed")),
            (State::Denied | State::NotTried, _) => self.fail(format!("{name}: {detail}")),
            (State::Failed, _) => self.fail(detail),
        }
    }

    fn done_text(&self, verb: Verb, change: &Change, name: &str) -> String {
        let key = if verb == Verb::Undo { "U makes it again" } else { "u takes it back" };
        match change {
            Change::Hold(change) => match &change.new {
                Some(hold) => {
                    let until = hold.until.0.to_zoned(self.settings.time_zone.clone());
                    let until = until.strftime("%a %H:%M");
                    format!("{name} is in maintenance until {until} · {key}")
                }
                None => format!("your maintenance of {name} has ended · {key}"),
            },
            Change::Labels(change) => format!("{name}: {} · {key}", change.words()),
            Change::Run(change) if change.new.cancel => {
                format!("{name}: the run of {} is not wanted any more", change.new.playbook)
            }
            Change::Run(change) => {
                format!("{name}: a run of {} is asked for", change.new.playbook)
            }
        }
    }

    /// Tries again what the last order did not do.
    pub(super) fn retry(&mut self) -> Vec<Command> {
        let Some((verb, hosts)) =
            self.writing.results.as_ref().map(|results| (results.verb, results.left()))
        else {
            return Vec::new();
        };
        if hosts.is_empty() {
            self.say("everything was done");
            return Vec::new();
        }
        let targets = match self.ready_to_act_on(hosts) {
            Ok(targets) => targets,
            Err(problem) => {
                self.fail(problem);
                return Vec::new();
            }
        };
        let last = self.writing.last.clone().filter(|last| last.verb == verb);
        match verb {
            Verb::MaintenanceOn | Verb::MaintenanceOff => {
                self.open_maintenance(verb, targets, last.as_ref());
                if let (Overlay::Strip(strip), Some(last)) = (&mut self.overlay, last)
                    && strip.has(super::strip::Field::Reason)
                    && !last.reason.is_empty()
                {
                    // It was typed for these very hosts a moment ago.
                    strip.give_reason(Input::new(last.reason));
                }
                Vec::new()
            }
            Verb::Run => self.ask_for_run(targets, last.and_then(|last| last.run)),
            Verb::CancelRun => self.ask_for_run(targets, None),
            Verb::Label => self.ask_for_label(targets, last.and_then(|last| last.label).as_ref()),
            Verb::Undo | Verb::Redo => {
                self.undo(verb == Verb::Redo);
                Vec::new()
            }
        }
    }

    fn ready_to_act_on(&self, hosts: Vec<Uid>) -> Result<Targets, String> {
        let (hosts, refused) = self.reachable(hosts);
        if hosts.is_empty() {
            return Err(refused.into_values().next().map(|(_, why)| why).unwrap_or_default());
        }
        if hosts.iter().all(|uid| self.inventory.get(uid).is_none()) {
            return Err("these hosts are gone".to_owned());
        }
        let refused = refused.into_values().map(|(count, why)| format!("{count} on {why}"));
        Ok(Targets { hosts, refused: refused.collect(), ..Targets::default() })
    }
}

impl Going {
    /// Whether something of it is still to be done on this server.
    pub(super) fn is_on(&self, server: ServerId) -> bool {
        self.parts.iter().any(|part| part.server == server && !part.ended)
    }

    fn host(&mut self, number: usize, outcome: Outcome) {
        let Some(place) = self.results.get_mut(number).filter(|place| place.is_none()) else {
            return;
        };
        let item = self.strip.items.get(number);
        let (state, detail) = match outcome {
            Outcome::Done(host) => {
                let version = host.metadata.resource_version.clone().unwrap_or_default();
                if let Some(item) = item
                    && let Some(back) = item.change.inverse(&version)
                {
                    self.back.push((back, item.display.clone()));
                }
                (State::Done, String::new())
            }
            Outcome::Conflict(host) => {
                self.found = (self.order.changes.len() == 1).then_some(host);
                (State::Conflict, "somebody else changed it first".to_owned())
            }
            Outcome::Gone => (State::Gone, String::new()),
            Outcome::Denied(why) => (State::Denied, why),
            Outcome::Failed(why) => (State::Failed, why),
            Outcome::NotTried(why) => (State::NotTried, why),
        };
        self.tried += usize::from(state != State::NotTried);
        self.failed += usize::from(!matches!(state, State::Done | State::NotTried));
        *place = Some((state, detail));
    }
}

/// A target as the inventory has it now, for a change that is prepared.
pub(super) fn current_target(model: &Model, uid: &Uid) -> Option<crate::model::change::Target> {
    model.inventory.get(uid).map(target)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::change::{LabelsChange, Target};

    #[test]
    fn the_oldest_orders_go_before_there_are_too_many_changes() {
        let mut number = 0;
        let mut entry = |reason: &str, changes: usize| {
            let target = Target {
                uid: Uid::new("u"),
                namespace: "n".into(),
                name: "a".into(),
                resource_version: "1".into(),
            };
            let change = Change::Labels(LabelsChange { target, labels: BTreeMap::new() });
            number += 1;
            Entry { number, changes: vec![(change, "a".into()); changes], reason: reason.into() }
        };
        let mut stack = Vec::new();
        for (reason, changes) in [("one", 4), ("none", 0), ("two", 5), ("three", 2)] {
            put_within(&mut stack, entry(reason, changes), 3, 10);
        }
        let reasons = |stack: &[Entry]| -> Vec<String> {
            stack.iter().map(|entry| entry.reason.clone()).collect()
        };
        assert_eq!(reasons(&stack), ["two", "three"]);
        put_within(&mut stack, entry("all", 99), 3, 10);
        assert_eq!(reasons(&stack), ["all"], "the last one can be taken back, however large");
        put_within(&mut stack, entry("next", 1), 3, 100);
        put_within(&mut stack, entry("more", 1), 2, 200);
        assert_eq!(reasons(&stack), ["next", "more"]);
    }
}
