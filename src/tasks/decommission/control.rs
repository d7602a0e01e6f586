//! Which hosts are being deleted, and which still lack the finalizer. Hosts that need nothing are not
//! kept. Finalizers are put on beside the steps, so that a step that takes long holds up no other host.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use kube::api::Api;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt};
use tokio::sync::watch;
use tokio::time::Instant;

use super::config::Config;
use super::metrics::Metrics;
use super::work::{Left, Work};
use crate::error::{Error, Result, chain};
use crate::guard::{Panicked, guarded_future};
use crate::model::diff::StoredHost;
use crate::model::labels::FINALIZER;
use crate::store::client::{DECOMMISSION, explain_watch};
use crate::store::event::Events;
use crate::tasks::jobs::Jobs;
use crate::tasks::pass::Reading;

/// Finalizers that are put on at a time.
const MARKS: usize = 16;
/// How long what is under way may take to end after a stop. A step that takes longer is ended.
const DRAIN: Duration = Duration::from_secs(30);
/// Longest time between two looks at the clock, which may be set.
const IDLE: Duration = Duration::from_mins(1);

/// What the service works with.
#[derive(Clone)]
pub(super) struct Control {
    pub(super) client: Client,
    pub(super) namespace: String,
    pub(super) config: Arc<Config>,
    pub(super) metrics: Metrics,
    /// Which one of several it is, for Events.
    pub(super) instance: String,
    /// End when nothing can be done any more.
    pub(super) once: bool,
}

/// What was left undone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Undone {
    /// Hosts that could not be looked after.
    pub(super) failed: usize,
    /// Hosts that wait for somebody.
    pub(super) waiting: Vec<String>,
}

enum Done {
    Marked(String, u32, Result<()>),
    Attended(String, u32, Result<Left>),
}

struct Loop<'a> {
    control: &'a Control,
    work: Arc<Work>,
    running: FuturesUnordered<BoxFuture<'static, Done>>,
    /// Hosts that lack the finalizer.
    marks: Jobs,
    marking: usize,
    /// Hosts that are being deleted and are to be looked at.
    jobs: Jobs,
    /// Hosts that are attended to, and whether they have changed since.
    busy: HashMap<String, bool>,
    /// Hosts that wait, and whether a step is soon begun again.
    waiting: BTreeMap<String, bool>,
    read: bool,
    failed: usize,
    /// Of a single pass: what it has heard.
    reading: Option<Reading>,
    /// Why it cannot go on.
    hindrance: Option<Error>,
}

impl Control {
    /// Works until `stop` becomes true, or with `once` until nothing can be done any more; then it lists
    /// and does not watch. May be dropped at any time.
    ///
    /// # Errors
    /// With `once`: the hosts could not be read.
    pub(super) async fn run(&self, stop: watch::Receiver<bool>) -> Result<Undone> {
        let Self { client, namespace, config, metrics, instance, .. } = self;
        let events = Events::new(client.clone(), DECOMMISSION, instance);
        let (config, metrics) = (Arc::clone(config), metrics.clone());
        let work = Work::new(client.clone(), namespace, config, events, metrics, stop.clone());
        let this = Loop {
            control: self,
            work: Arc::new(work),
            running: FuturesUnordered::new(),
            marks: Jobs::default(),
            marking: 0,
            jobs: Jobs::default(),
            busy: HashMap::new(),
            waiting: BTreeMap::new(),
            read: false,
            failed: 0,
            reading: self.once.then(Reading::begin),
            hindrance: None,
        };
        Box::pin(this.run(stop)).await
    }
}

impl Loop<'_> {
    async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<Undone> {
        let api: Api<StoredHost> =
            Api::namespaced(self.control.client.clone(), &self.control.namespace);
        let config = watcher::Config::default().page_size(500);
        let mut hosts = watcher(api, config).default_backoff().boxed();
        let once = self.control.once;
        while !(once && self.is_settled()) && self.hindrance.is_none() {
            let wait = self.wait();
            let silent = self.reading.as_ref().filter(|_| !self.read).map(Reading::until);
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                Some(done) = self.running.next(), if !self.running.is_empty() => self.done(done),
                // A single pass is over with them when they are listed.
                Some(event) = hosts.next(), if !(once && self.read) => self.hear(event),
                () = tokio::time::sleep_until(silent.unwrap_or_else(Instant::now)), if silent.is_some() => {
                    self.hindrance = self.reading.take().map(Reading::over);
                }
                () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => self.due(),
            }
            let waits = self.waiting.values().filter(|retry| !**retry).count();
            self.control.metrics.hosts(self.waiting.len() + self.busy.len(), waits);
        }
        let rest = async { while self.running.next().await.is_some() {} };
        let _ = tokio::time::timeout(DRAIN, rest).await;
        match self.hindrance {
            None => Ok(Undone { failed: self.failed, waiting: self.waiting.into_keys().collect() }),
            Some(problem) => Err(problem),
        }
    }

    fn is_settled(&self) -> bool {
        self.read && self.running.is_empty() && self.marks.len() == 0 && self.jobs.len() == 0
    }

    /// How long until something is due that there is room for.
    fn wait(&self) -> Option<Duration> {
        let marks = self.marks.next().filter(|_| self.marking < MARKS);
        let jobs = self.jobs.next().filter(|_| self.busy.len() < self.control.config.at_once);
        let due = [marks, jobs].into_iter().flatten().min()?;
        let wait = Duration::try_from(due.duration_since(Timestamp::now())).unwrap_or_default();
        Some(wait.min(IDLE))
    }

    fn due(&mut self) {
        let now = Timestamp::now();
        for (name, failures) in self.marks.take(now, MARKS.saturating_sub(self.marking)) {
            self.marking += 1;
            let work = Arc::clone(&self.work);
            self.running.push(
                async move {
                    let done = guarded_future(work.mark(&name)).await;
                    Done::Marked(name, failures, done.unwrap_or_else(fault))
                }
                .boxed(),
            );
        }
        let room = self.control.config.at_once.saturating_sub(self.busy.len());
        for (name, failures) in self.jobs.take(now, room) {
            self.busy.insert(name.clone(), false);
            self.waiting.remove(&name);
            let work = Arc::clone(&self.work);
            self.running.push(
                async move {
                    let left = guarded_future(Box::pin(work.attend(&name))).await;
                    Done::Attended(name, failures, left.unwrap_or_else(fault))
                }
                .boxed(),
            );
        }
    }

    fn hear(&mut self, event: watcher::Result<Event<StoredHost>>) {
        if let Some(reading) = self.reading.as_mut().filter(|_| event.is_ok()) {
            reading.heard();
        }
        match event {
            Ok(Event::Init) => {}
            Ok(Event::InitDone) => {
                // What went while nobody watched is looked for, and not found.
                let known: Vec<String> = self.waiting.keys().cloned().collect();
                for name in known {
                    self.look_at(name);
                }
                self.read = true;
                self.control.metrics.synced();
            }
            Ok(Event::Apply(host) | Event::InitApply(host)) => {
                let name = host.name_any();
                let deleting = host.metadata.deletion_timestamp.is_some();
                let kept = host.finalizers().iter().any(|one| one == FINALIZER);
                match (deleting, kept) {
                    (false, false) => self.marks.set(name, Some(Timestamp::now()), 0),
                    (true, true) => self.look_at(name),
                    (false, true) | (true, false) => self.forget(&name),
                }
            }
            Ok(Event::Delete(host)) => self.forget(&host.name_any()),
            Err(problem) => {
                // Too old: it is listed again.
                let Some((error, stays)) = explain_watch("hosts", problem) else { return };
                if let Some(reading) = &mut self.reading {
                    self.hindrance = reading.failed(error, stays).err();
                } else {
                    let hint = error.next_step();
                    tracing::warn!(error = chain(&error), hint, "the watch failed");
                }
            }
        }
    }

    fn look_at(&mut self, name: String) {
        self.marks.set(name.clone(), None, 0);
        match self.busy.get_mut(&name) {
            Some(changed) => *changed = true,
            None => self.jobs.set(name, Some(Timestamp::now()), 0),
        }
    }

    fn forget(&mut self, name: &str) {
        self.marks.set(name.to_owned(), None, 0);
        self.jobs.set(name.to_owned(), None, 0);
        self.waiting.remove(name);
    }

    fn done(&mut self, done: Done) {
        let once = self.control.once;
        match done {
            Done::Marked(name, failures, result) => {
                self.marking = self.marking.saturating_sub(1);
                if let Err(problem) = result {
                    self.failed(&name, &problem);
                    if !once {
                        self.marks.again(name, failures, Timestamp::now());
                    }
                }
            }
            Done::Attended(name, failures, result) => {
                let changed = self.busy.remove(&name).unwrap_or_default();
                match result {
                    Ok(Left::Alone) => {}
                    Ok(Left::Waiting { until, retry }) => {
                        self.waiting.insert(name.clone(), retry);
                        // Once waits only for what comes by itself, and soon.
                        let until = until.filter(|_| !once || retry);
                        self.jobs.set(name.clone(), until, 0);
                    }
                    Err(problem) => {
                        self.failed(&name, &problem);
                        if !once {
                            self.waiting.insert(name.clone(), true);
                            self.jobs.again(name.clone(), failures, Timestamp::now());
                        }
                    }
                }
                if changed {
                    self.jobs.set(name, Some(Timestamp::now()), 0);
                }
            }
        }
    }

    fn failed(&mut self, name: &str, problem: &Error) {
        self.control.metrics.failed();
        self.failed += 1;
        let hint = problem.next_step();
        tracing::warn!(host = name, error = chain(problem), hint, "host failed");
    }
}

/// Work on one host broke off by a fault of ours.
fn fault<T>(_said_by_the_hook: Panicked) -> Result<T> {
    Err(Error::new("it broke off; this is a fault of inv-tui"))
}
