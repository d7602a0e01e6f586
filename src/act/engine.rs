//! Carries out an order.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::PoisonError;

use futures::StreamExt;
use k8s_openapi::jiff::tz::TimeZone;
use kube::ResourceExt;
use tokio::sync::{mpsc, watch};

use super::pace::{Tally, WAVE, batches};
use super::record::Passed;
use super::{Actor, Order, Outcome, Step, record};
use crate::error::{Error, chain};
use crate::journal::{Part, Target};
use crate::model::change::{Change, HoldChange, holder};
use crate::model::cluster::Cluster;
use crate::model::host::Host;
use crate::model::policy::{self, ClusterFacts, Facts};
use crate::store::{budget, write};

/// Carries out an order. The last step is [`Step::Ended`]. When `stop` becomes true no further
/// change is begun; so it is when nobody takes the steps any more.
pub async fn carry_out(
    actor: &Actor,
    order: &Order,
    steps: &mpsc::Sender<Step>,
    stop: watch::Receiver<bool>,
) {
    let wanted = order.changes.iter().map(record::wanted).collect();
    record::write(actor, record::entry(actor, order, Part::Begin, wanted)).await;
    let mut work = Work {
        actor,
        order,
        steps,
        stop,
        tally: Tally::default(),
        halted: None,
        used_up: BTreeMap::new(),
        results: Vec::new(),
    };
    for batch in batches(order.changes.len()) {
        Box::pin(work.batch(batch)).await;
        let targets = std::mem::take(&mut work.results);
        record::write(actor, record::entry(actor, order, Part::Results, targets)).await;
    }
    let ended = work.why_halted();
    let mut last = record::entry(actor, order, Part::End, Vec::new());
    last.ended.clone_from(&ended);
    record::write(actor, last).await;
    let _ = steps.send(Step::Ended(ended)).await;
}

/// A time zone by its IANA name, as this machine knows it.
pub fn zone(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok()
}

/// A cluster, by namespace and name.
type Key = (String, String);

/// A host that may be changed as far as its own state goes.
struct Ready {
    /// Number of the change.
    number: usize,
    /// The version of the object that was looked at.
    version: String,
    /// The clusters whose budgets must be asked.
    budgets: Vec<Key>,
    /// What was passed by, if anything was.
    over: Option<Passed>,
}

struct Work<'a> {
    actor: &'a Actor,
    order: &'a Order,
    steps: &'a mpsc::Sender<Step>,
    stop: watch::Receiver<bool>,
    tally: Tally,
    /// Why nothing further is begun.
    halted: Option<String>,
    /// Clusters without a slot left, and the sentence that says so.
    used_up: BTreeMap<Key, String>,
    /// What the journal does not have yet.
    results: Vec<Target>,
}

impl Work<'_> {
    fn why_halted(&self) -> Option<String> {
        let asked = || (*self.stop.borrow()).then(|| "stopped".to_owned());
        self.halted.clone().or_else(asked)
    }

    fn change(&self, number: usize) -> Option<&Change> {
        self.order.changes.get(number)
    }

    /// Tells what came of a change, and counts it.
    async fn end(&mut self, number: usize, outcome: Outcome, tried: Option<bool>) {
        if let Some(failed) = tried {
            self.tally.count(failed);
            self.halted = self.halted.take().or_else(|| self.tally.verdict());
        }
        if let Some(change) = self.order.changes.get(number) {
            self.results.push(record::result(change, &outcome));
        }
        if self.steps.send(Step::Host(number, outcome)).await.is_err() && self.halted.is_none() {
            self.halted = Some("nobody is there any more".to_owned());
        }
    }

    async fn not_tried(&mut self, numbers: Vec<usize>, why: &str) {
        for number in numbers {
            self.end(number, Outcome::NotTried(why.to_owned()), None).await;
        }
    }

    async fn batch(&mut self, batch: Range<usize>) {
        if let Some(why) = self.why_halted() {
            return self.not_tried(batch.collect(), &why).await;
        }
        let clusters = match self.clusters(&batch).await {
            Ok(clusters) => clusters,
            Err(error) => {
                let why = told(&error);
                self.halted.get_or_insert_with(|| why.clone());
                return self.not_tried(batch.collect(), &why).await;
            }
        };
        let found = self.look(batch).await;
        let mut ready = Vec::new();
        for (number, found) in found {
            match self.judge(number, found, &clusters) {
                Ok(one) => ready.push(one),
                Err((outcome, tried)) => self.end(number, outcome, tried).await,
            }
        }
        let mut slots = BTreeMap::new();
        let ready = self.ask_budgets(ready, &mut slots).await;
        let mut ended = Vec::new();
        let mut rest = ready.as_slice();
        while !rest.is_empty() {
            let (wave, after) = rest.split_at(rest.len().min(WAVE));
            rest = after;
            if let Some(why) = self.why_halted() {
                let numbers = wave.iter().map(|one| one.number).collect();
                self.not_tried(numbers, &why).await;
                continue;
            }
            let _ = self.steps.send(Step::Wave(wave.len())).await;
            self.send(wave, &clusters, &mut slots, &mut ended).await;
        }
        self.give_back(slots, ended).await;
    }

    /// The clusters of the namespaces of these hosts, where a rule or a budget may need them.
    async fn clusters(&self, batch: &Range<usize>) -> Result<Vec<(Cluster, ClusterFacts)>, Error> {
        let changes = self.order.changes.get(batch.clone()).unwrap_or_default();
        let namespaces: BTreeSet<&str> = changes
            .iter()
            .filter(|change| match change {
                Change::Run(run) => !run.new.cancel,
                Change::Hold(_) => true,
                Change::Labels(_) => false,
            })
            .map(|change| change.target().namespace.as_str())
            .collect();
        let now = (self.actor.clock)();
        let mut all = Vec::new();
        for namespace in namespaces {
            for cluster in budget::clusters(&self.actor.connection, namespace).await? {
                let facts = ClusterFacts::of(&cluster, None, now, &zone);
                all.push((cluster, facts));
            }
        }
        Ok(all)
    }

    /// Reads the hosts afresh, in their order.
    async fn look(&self, batch: Range<usize>) -> Vec<(usize, Result<Option<Host>, Error>)> {
        let read = |number: usize| async move {
            let Some(change) = self.change(number) else { return (number, Ok(None)) };
            let target = change.target();
            let connection = &self.actor.connection;
            (number, write::read_host(connection, &target.namespace, &target.name).await)
        };
        futures::stream::iter(batch).map(read).buffered(WAVE).collect().await
    }

    /// Whether a host may be changed, budgets aside; else what came of it, and whether that counts
    /// as tried, and as failed.
    fn judge(
        &self,
        number: usize,
        found: Result<Option<Host>, Error>,
        clusters: &[(Cluster, ClusterFacts)],
    ) -> Result<Ready, (Outcome, Option<bool>)> {
        let gone = || (Outcome::Gone, Some(false));
        let change = self.change(number).ok_or_else(gone)?;
        let host = match found {
            Ok(host) => host.ok_or_else(gone)?,
            Err(error) => return Err((Outcome::Failed(told(&error)), Some(true))),
        };
        if host.metadata.uid.as_deref() != Some(change.target().uid.as_str()) {
            return Err(gone());
        }
        if !change.still_applies(&host) {
            return Err((Outcome::Conflict(Box::new(host)), Some(false)));
        }
        let now = (self.actor.clock)();
        let facts = Facts::of(&host, now);
        let own = holder(&self.actor.user);
        let whose = match change {
            Change::Hold(hold) => hold.holder.as_str(),
            Change::Run(_) | Change::Labels(_) => &own,
        };
        let (verb, bulk) = (record::verb(change), self.order.changes.len() > 1);
        let its: Vec<&(Cluster, ClusterFacts)> =
            clusters.iter().filter(|(cluster, _)| budget::has(cluster, &host)).collect();
        let goes =
            matches!(change, Change::Hold(HoldChange { new: Some(h), .. }) if h.until.0 > now);
        let key = |cluster: &Cluster| (cluster.namespace().unwrap_or_default(), cluster.name_any());
        let budgets = its.iter().filter(|_| goes).map(|(cluster, _)| key(cluster)).collect();
        let of_clusters = its.iter().map(|(_, facts)| facts);
        let mut checks = policy::checks(verb, &facts, of_clusters, whose, bulk);
        if let Change::Labels(labels) = change {
            let keys = labels.labels.keys().map(String::as_str);
            checks.extend(policy::label_checks(keys, &facts.label_owners));
        }
        if let Some(why) = policy::refusal(&checks, self.order.overrides) {
            return Err((Outcome::Denied(why), None));
        }
        let version = host.resource_version().unwrap_or_default();
        let over = policy::refusal(&checks, false).map(Passed::Checks);
        Ok(Ready { number, version, budgets, over })
    }

    /// Asks the budgets for those that go away, a cluster at a time, and tells who got no slot.
    /// `slots` gets what was granted and was not there before.
    async fn ask_budgets(&mut self, ready: Vec<Ready>, slots: &mut Granted) -> Vec<Ready> {
        let mut wanted: BTreeMap<Key, Vec<usize>> = BTreeMap::new();
        for one in &ready {
            for key in &one.budgets {
                wanted.entry(key.clone()).or_default().push(one.number);
            }
        }
        let mut refused: BTreeMap<usize, (Outcome, Option<bool>)> = BTreeMap::new();
        let mut over: BTreeMap<usize, String> = BTreeMap::new();
        for (key, mut numbers) in wanted {
            numbers.retain(|number| !refused.contains_key(number));
            if let Some(why) = self.used_up.get(&key) {
                let denied = |number| (number, (Outcome::Denied(why.clone()), None));
                refused.extend(numbers.into_iter().map(denied));
                continue;
            }
            let name = |number: &usize| {
                self.change(*number).map(|c| c.target().name.clone()).unwrap_or_default()
            };
            let names: Vec<String> = numbers.iter().map(name).collect();
            let Actor { connection, clock, .. } = self.actor;
            let past = self.order.overrides;
            match budget::grant(connection, &key.0, &key.1, &names, past, *clock).await {
                Ok(granted) => {
                    let why = policy::used_up(&key.1, granted.away, granted.max);
                    for (number, name) in numbers.iter().zip(&names) {
                        if !granted.given.contains_key(name) {
                            refused.insert(*number, (Outcome::Denied(why.clone()), None));
                        } else if granted.over.contains(name) {
                            over.insert(*number, why.clone());
                        }
                    }
                    if granted.given.len() < names.len() {
                        self.used_up.insert(key.clone(), why);
                    }
                    self.remember(&key, &granted);
                    slots.insert(key, granted.fresh);
                }
                Err(error) => {
                    let failed = |number| (number, (Outcome::Failed(told(&error)), Some(true)));
                    refused.extend(numbers.into_iter().map(failed));
                }
            }
        }
        let mut left = Vec::new();
        for mut one in ready {
            if let Some((outcome, tried)) = refused.remove(&one.number) {
                self.end(one.number, outcome, tried).await;
                continue;
            }
            one.over = over.remove(&one.number).map(Passed::Budget).or(one.over);
            left.push(one);
        }
        // A slot stays only with who goes.
        for (key, names) in slots.iter_mut() {
            let goes = |name: &String| {
                left.iter().any(|one| {
                    one.budgets.contains(key)
                        && self.change(one.number).is_some_and(|c| c.target().name == *name)
                })
            };
            let idle: Vec<String> = names.iter().filter(|name| !goes(name)).cloned().collect();
            if !idle.is_empty() {
                names.retain(|name| !idle.contains(name));
                self.release(key, idle.into_iter().collect()).await;
            }
        }
        left
    }

    /// Notes which slots are ours.
    fn remember(&self, key: &Key, granted: &budget::Granted) {
        let mut slots = self.actor.slots.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, at) in &granted.given {
            slots.insert((key.0.clone(), key.1.clone(), name.clone()), *at);
        }
    }

    /// Sends one wave. What got its hold leaves `slots`; whose hold ended comes into `ended`.
    async fn send(
        &mut self,
        wave: &[Ready],
        clusters: &[(Cluster, ClusterFacts)],
        slots: &mut Granted,
        ended: &mut Vec<(Key, String)>,
    ) {
        let (actor, order) = (self.actor, self.order);
        let one = |one: &Ready| {
            let (number, over, version) = (one.number, one.over.clone(), one.version.clone());
            async move {
                // Sent against the version that was looked at: it is newer than the caller's.
                let mut change = order.changes.get(number)?.clone();
                change.target_mut().resource_version = version;
                let outcome = write::change(&actor.connection, &change).await;
                if let write::Outcome::Done(host) = &outcome {
                    record::tell(actor, order, &change, host, over.as_ref()).await;
                }
                Some((number, outcome))
            }
        };
        let requests: Vec<_> = wave.iter().map(one).collect();
        let mut requests = futures::stream::iter(requests).buffer_unordered(WAVE);
        while let Some(answer) = requests.next().await {
            let Some((number, outcome)) = answer else { continue };
            let (outcome, failed) = match outcome {
                write::Outcome::Done(host) => (Outcome::Done(host), false),
                write::Outcome::Conflict(host) => (Outcome::Conflict(host), false),
                write::Outcome::Gone => (Outcome::Gone, false),
                write::Outcome::Denied(error) => (Outcome::Denied(told(&error)), true),
                write::Outcome::Failed(error) => (Outcome::Failed(told(&error)), true),
            };
            if let (Outcome::Done(host), Some(change)) = (&outcome, order.changes.get(number)) {
                let (name, namespace) = (&change.target().name, &change.target().namespace);
                for (_, names) in slots.iter_mut().filter(|(key, _)| key.0 == *namespace) {
                    names.remove(name);
                }
                let free = Facts::of(host, (actor.clock)()).holders.is_empty();
                if matches!(change, Change::Hold(_)) && free {
                    let its = clusters.iter().filter(|(cluster, _)| budget::has(cluster, host));
                    ended.extend(its.map(|(cluster, _)| {
                        let key = (cluster.namespace().unwrap_or_default(), cluster.name_any());
                        (key, name.clone())
                    }));
                }
            }
            self.end(number, outcome, Some(failed)).await;
        }
    }

    /// Gives back the slots of changes that came to nothing, and of hosts that are held no more.
    async fn give_back(&self, slots: Granted, ended: Vec<(Key, String)>) {
        let mut all: BTreeMap<Key, BTreeSet<String>> = BTreeMap::new();
        for (key, names) in slots {
            all.entry(key).or_default().extend(names);
        }
        for (key, name) in ended {
            all.entry(key).or_default().insert(name);
        }
        for (key, names) in all.into_iter().filter(|(_, names)| !names.is_empty()) {
            self.release(&key, names).await;
        }
    }

    async fn release(&self, key: &Key, names: BTreeSet<String>) {
        let slots = {
            let mut known = self.actor.slots.lock().unwrap_or_else(PoisonError::into_inner);
            let time = |name: String| {
                let at = known.remove(&(key.0.clone(), key.1.clone(), name.clone()));
                (name, at)
            };
            names.into_iter().map(time).collect()
        };
        let Actor { connection, clock, .. } = self.actor;
        if let Err(error) = budget::release(connection, &key.0, &key.1, &slots, *clock).await {
            tracing::warn!(cluster = key.1, error = chain(&error), "slots lapse by themselves");
        }
    }
}

/// Slots by cluster that nobody uses yet.
type Granted = BTreeMap<Key, BTreeSet<String>>;

/// An error with what to do next, on one line.
fn told(error: &Error) -> String {
    let hint = error.next_step().map(|hint| format!(" · {hint}")).unwrap_or_default();
    format!("{}{hint}", chain(error))
}
