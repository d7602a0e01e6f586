//! The controller's loop. It alone keeps the tables; requests run beside it, a bounded number at a
//! time, at most one for each object.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{BoxStream, FuturesUnordered};
use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::Api;
use kube::core::{DeserializeGuard, Selector};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use super::beats::{Beats, Look};
use super::host::{self, Facts, From, Hosts, Next};
use super::metrics::Metrics;
use super::now;
use super::place::{self, Places, Written};
use super::requests::{Requests, SIGNER};
use super::table::{Place, Table, version};
use crate::error::{Error, Result, chain};
use crate::guard::{Panicked, guarded, guarded_future};
use crate::model::DEFAULT_NAMESPACE;
use crate::model::cluster::Cluster;
use crate::model::diff::StoredHost;
use crate::model::lifecycle::{self, rollup};
use crate::model::region::Region;
use crate::store::client::{LIFECYCLE, explain_watch};
use crate::store::event::Events;
use crate::tasks::jobs::Jobs;
use crate::tasks::pass::Reading;

/// Hosts that are worked on at a time. While there are so many, no further host is read.
const AT_ONCE: usize = 32;
/// Clusters and regions that are written at a time.
const PLACES: usize = 8;
/// Time between two writes of the same cluster or region, at least.
const FLUSH: Duration = Duration::from_secs(1);
/// How long requests that are under way may take to end after a stop.
const DRAIN: Duration = Duration::from_secs(5);
/// How late a warning may come; one that is later was given by another controller, or is useless.
const LATE: i64 = 120;
/// An outage that is shorter than this kept no agent from its heartbeat.
const OUTAGE: Duration = Duration::from_secs(5);

/// What the controller works with.
#[derive(Clone)]
pub struct Control {
    /// The server.
    pub client: Client,
    /// Namespace of the hosts.
    pub namespace: String,
    /// What is counted.
    pub metrics: Metrics,
    /// Which one of several it is, for Events.
    pub instance: String,
}

/// What ended a piece of work.
enum Done {
    Host(String, Result<Option<Box<StoredHost>>>),
    Place(Place, Result<Written>),
    Told,
}

/// A host that is being worked on.
struct Busy {
    failures: u32,
    /// What came for it in the meantime.
    again: Option<From>,
}

struct Streams {
    hosts: BoxStream<'static, watcher::Result<Event<StoredHost>>>,
    leases: BoxStream<'static, watcher::Result<Event<Lease>>>,
    requests: BoxStream<'static, watcher::Result<Event<CertificateSigningRequest>>>,
    clusters: BoxStream<'static, watcher::Result<Event<DeserializeGuard<Cluster>>>>,
    regions: BoxStream<'static, watcher::Result<Event<DeserializeGuard<Region>>>>,
}

/// Names that a list which is being read has brought so far.
#[derive(Default)]
struct Listed {
    clusters: BTreeSet<String>,
    regions: BTreeSet<String>,
}

/// Which lists were read completely.
#[derive(Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a list of its own")]
struct Read {
    leases: bool,
    requests: bool,
    clusters: bool,
    regions: bool,
    hosts: bool,
}

impl Control {
    /// Works until `stop` becomes true. What could not be settled is tried again, for ever. May be
    /// dropped at any time.
    pub async fn run(&self, stop: watch::Receiver<bool>) {
        // Large, and moved about if it lay in the caller's future.
        if let Err(problem) = Box::pin(Loop::new(self, None).run(stop)).await {
            tracing::error!(error = chain(&problem), "ended");
        }
    }

    /// Settles everything once, or works until `stop` becomes true. Gives how many objects could not be
    /// settled. It lists and does not watch. May be dropped at any time.
    ///
    /// # Errors
    /// What is needed could not be read.
    pub async fn once(&self, stop: watch::Receiver<bool>) -> Result<usize> {
        Box::pin(Loop::new(self, Some(Reading::begin())).run(stop)).await
    }

    fn streams(&self) -> Streams {
        let (client, namespace) = (&self.client, &self.namespace);
        let requests = watcher::Config::default().fields(&format!("spec.signerName={SIGNER}"));
        Streams {
            hosts: self.hosts(),
            leases: follow(Api::namespaced(client.clone(), namespace), watcher::Config::default()),
            requests: follow(Api::all(client.clone()), requests),
            clusters: follow(
                Api::namespaced(client.clone(), namespace),
                watcher::Config::default(),
            ),
            regions: follow(Api::all(client.clone()), watcher::Config::default()),
        }
    }

    fn hosts(&self) -> BoxStream<'static, watcher::Result<Event<StoredHost>>> {
        follow(Api::namespaced(self.client.clone(), &self.namespace), watcher::Config::default())
    }
}

fn follow<K>(api: Api<K>, config: watcher::Config) -> BoxStream<'static, watcher::Result<Event<K>>>
where
    K: kube::Resource + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    watcher(api, config).default_backoff().boxed()
}

struct Loop<'a> {
    control: &'a Control,
    hosts: Arc<Hosts>,
    places: Arc<Places>,
    streams: Streams,
    read: Read,
    listed: Listed,
    /// A cluster chooses other hosts now: all are to be read again.
    choose: bool,
    table: Table,
    beats: Beats,
    requests: Requests,
    clusters: BTreeMap<Arc<str>, Cluster>,
    regions: BTreeMap<Arc<str>, Region>,
    work: FuturesUnordered<BoxFuture<'static, Done>>,
    busy: HashMap<String, Busy>,
    writing: BTreeSet<Place>,
    jobs: Jobs,
    lapses: Jobs,
    grants: Jobs,
    warned: BTreeSet<(Timestamp, String, String)>,
    /// Since when heartbeats cannot be seen.
    broken: Option<Instant>,
    /// Warnings that are on their way.
    telling: usize,
    failed: usize,
    /// Of a single pass: what it has heard.
    once: Option<Reading>,
    /// Why it cannot go on.
    hindrance: Option<Error>,
}

impl<'a> Loop<'a> {
    fn new(control: &'a Control, once: Option<Reading>) -> Self {
        let Control { client, namespace, metrics, instance, .. } = control;
        let events = Events::new(client.clone(), LIFECYCLE, instance);
        let hosts = Hosts::new(client.clone(), namespace, events.clone(), metrics.clone());
        let hosts = Arc::new(hosts);
        let places =
            Places::new(client.clone(), namespace, Arc::clone(&hosts), events, metrics.clone());
        Self {
            control,
            hosts,
            places: Arc::new(places),
            streams: control.streams(),
            read: Read::default(),
            listed: Listed::default(),
            choose: false,
            table: Table::default(),
            beats: Beats::new(if once.is_some() { Timestamp::MIN } else { now() }),
            requests: Requests::default(),
            clusters: BTreeMap::new(),
            regions: BTreeMap::new(),
            work: FuturesUnordered::new(),
            busy: HashMap::new(),
            writing: BTreeSet::new(),
            jobs: Jobs::default(),
            lapses: Jobs::default(),
            grants: Jobs::default(),
            warned: BTreeSet::new(),
            broken: None,
            telling: 0,
            failed: 0,
            once,
            hindrance: None,
        }
    }

    async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<usize> {
        let mut tick = tokio::time::interval(FLUSH);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let once = self.once.is_some();
            if once && self.is_settled() || self.hindrance.is_some() {
                break;
            }
            let room = self.room() > 0;
            let Read { leases, requests, clusters, regions, hosts } = self.read;
            // A host is judged by its Lease, and counted by its cluster's choice.
            let hosts_may = room && leases && requests && clusters && regions;
            let silent = self.once.as_ref().filter(|_| !hosts).map(Reading::until);
            let wait = self.wait().filter(|_| room);
            let streams = &mut self.streams;
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                Some(done) = self.work.next(), if !self.work.is_empty() => self.done(done),
                // A single pass is over with each of them when it is listed.
                Some(event) = streams.leases.next(), if !(once && leases) => self.lease(event),
                Some(event) = streams.requests.next(), if !(once && requests) => self.request(event),
                Some(event) = streams.clusters.next(), if !(once && clusters) => self.cluster(event),
                Some(event) = streams.regions.next(), if !(once && regions) => self.region(event),
                Some(event) = streams.hosts.next(), if hosts_may && !(once && hosts) => self.host(event),
                () = tokio::time::sleep_until(silent.unwrap_or_else(Instant::now)), if silent.is_some() => {
                    self.hindrance = self.once.take().map(Reading::over);
                }
                () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => self.due(),
                _ = tick.tick() => self.flush(),
            }
        }
        let rest = async { while self.work.next().await.is_some() {} };
        let _ = tokio::time::timeout(DRAIN, rest).await;
        self.hindrance.map_or(Ok(self.failed), Err)
    }

    /// Something was read or done.
    fn heard(&mut self) {
        if let Some(reading) = &mut self.once {
            reading.heard();
        }
    }

    /// How much more may be begun.
    fn room(&self) -> usize {
        AT_ONCE.saturating_sub(self.busy.len() + self.telling)
    }

    /// Everything is read and nothing is left to do now.
    fn is_settled(&self) -> bool {
        let nothing_due = self.wait().is_none_or(|wait| !wait.is_zero());
        self.read.hosts && self.work.is_empty() && !self.table.is_changed() && nothing_due
    }

    /// How long until something is due.
    fn wait(&self) -> Option<Duration> {
        let all = [self.jobs.next(), self.lapses.next(), self.grants.next()];
        let due = all.into_iter().flatten().min()?;
        let wait = Duration::try_from(due.duration_since(Timestamp::now())).unwrap_or_default();
        Some(wait.min(Duration::from_mins(1))) // the clock may be set
    }

    fn due(&mut self) {
        let now = Timestamp::now();
        for (host, _) in self.lapses.take(now, AT_ONCE) {
            if self.broken.is_some() {
                // Heartbeats cannot be seen, so that there is none says nothing.
                self.lapses.again(host, 2, now);
                continue;
            }
            match self.beats.look(&host, now) {
                Look::Stale => self.look_at(&host),
                Look::At(until) => self.lapses.set(host, Some(until), 0),
                Look::Done => {}
            }
        }
        for (cluster, _) in self.grants.take(now, AT_ONCE) {
            self.table.touch(Place::Cluster(cluster.into()));
        }
        for (host, failures) in self.jobs.take(now, self.room()) {
            self.begin(&host, From::Ask, failures);
        }
    }

    fn lease(&mut self, event: watcher::Result<Event<Lease>>) {
        if event.is_ok() {
            self.heard();
        }
        let namespace = &self.control.namespace;
        let answered = !matches!(event, Err(_) | Ok(Event::Init));
        if answered
            && let Some(since) = self.broken.take()
            && since.elapsed() > OUTAGE
        {
            self.beats.resume(now());
        }
        match event {
            Ok(Event::Init) => self.beats.begin(),
            Ok(Event::Apply(lease) | Event::InitApply(lease)) => {
                let Some((host, turned, until)) = self.beats.take(&lease, namespace, now()) else {
                    return;
                };
                // One look for all heartbeats until then.
                if !self.lapses.has(&host) {
                    self.lapses.set(host.clone(), Some(until), 0);
                }
                if turned {
                    self.look_at(&host);
                }
            }
            Ok(Event::InitDone) => {
                for host in self.beats.end() {
                    self.look_at(&host);
                }
                self.read.leases = true;
            }
            Ok(Event::Delete(lease)) => {
                if let Some(host) = self.beats.remove(&lease, namespace) {
                    self.look_at(&host);
                }
            }
            Err(problem) => {
                self.broken.get_or_insert_with(Instant::now);
                self.read.leases |= self.refused("leases", problem);
            }
        }
    }

    fn request(&mut self, event: watcher::Result<Event<CertificateSigningRequest>>) {
        if event.is_ok() {
            self.heard();
        }
        match event {
            Ok(Event::Init) => self.requests.begin(),
            Ok(Event::Apply(request) | Event::InitApply(request)) => {
                if let Some(host) = self.requests.take(&request, &self.control.namespace) {
                    self.look_at(&host);
                }
            }
            Ok(Event::InitDone) => {
                self.requests.end();
                self.read.requests = true;
            }
            Ok(Event::Delete(request)) => self.requests.forget(&request.name_any()),
            Err(problem) => {
                self.read.requests |= self.refused("certificatesigningrequests", problem);
            }
        }
    }

    fn cluster(&mut self, event: watcher::Result<Event<DeserializeGuard<Cluster>>>) {
        if event.is_ok() {
            self.heard();
        }
        match event {
            Ok(Event::Init) => self.listed.clusters.clear(),
            Ok(Event::Apply(cluster) | Event::InitApply(cluster)) => {
                self.listed.clusters.insert(cluster.name_any());
                match cluster.0 {
                    Ok(cluster) => self.take_cluster(cluster),
                    Err(problem) => {
                        let name = problem.metadata.name.as_deref().unwrap_or_default();
                        tracing::warn!(cluster = name, error = %problem.error, "cannot be read");
                    }
                }
            }
            Ok(Event::InitDone) => {
                // What was deleted while nothing could be followed has no event of its own.
                let listed = std::mem::take(&mut self.listed.clusters);
                let known = self.clusters.keys().filter(|name| !listed.contains(&***name));
                let lost: Vec<Arc<str>> = known.cloned().collect();
                for name in &lost {
                    self.cluster_gone(name);
                }
                self.read.clusters = true;
            }
            Ok(Event::Delete(cluster)) => self.cluster_gone(&cluster.name_any()),
            Err(problem) => self.read.clusters |= self.refused("clusters", problem),
        }
    }

    fn cluster_gone(&mut self, name: &str) {
        if let Some(old) = self.clusters.remove(name) {
            self.touch_region(&old);
        }
        self.choose |= self.table.select(name, None);
        self.grants.set(name.to_owned(), None, 0);
    }

    /// The cluster is as given, unless we know a newer one.
    fn take_cluster(&mut self, mut cluster: Cluster) {
        let name: Arc<str> = cluster.name_any().into();
        let old = self.clusters.get(&name);
        if old.is_some_and(|old| older(&cluster, old)) {
            return;
        }
        let selector = cluster.spec.selector.clone().and_then(|selector| {
            let read = Selector::try_from(selector);
            read.inspect_err(
                |cause| tracing::warn!(cluster = &*name, %cause, "selector is malformed"),
            )
            .ok()
        });
        let chosen = self.table.select(&name, selector.as_ref());
        self.choose |= chosen && self.read.clusters;
        cluster.metadata.managed_fields = None;
        let moved = old.map(|old| old.spec.region.clone()) != Some(cluster.spec.region.clone());
        self.table.touch(Place::Cluster(Arc::clone(&name)));
        if moved {
            if let Some(old) = self.clusters.get(&name).cloned() {
                self.touch_region(&old);
            }
            self.touch_region(&cluster);
        }
        self.clusters.insert(name, cluster);
    }

    fn touch_region(&mut self, cluster: &Cluster) {
        if let Some(region) = &cluster.spec.region {
            self.table.touch(Place::Region(region.as_str().into()));
        }
    }

    fn region(&mut self, event: watcher::Result<Event<DeserializeGuard<Region>>>) {
        if event.is_ok() {
            self.heard();
        }
        match event {
            Ok(Event::Init) => self.listed.regions.clear(),
            Ok(Event::Apply(region) | Event::InitApply(region)) => {
                self.listed.regions.insert(region.name_any());
                match region.0 {
                    Ok(region) => self.take_region(region),
                    Err(problem) => {
                        let name = problem.metadata.name.as_deref().unwrap_or_default();
                        tracing::warn!(region = name, error = %problem.error, "cannot be read");
                    }
                }
            }
            Ok(Event::InitDone) => {
                let listed = std::mem::take(&mut self.listed.regions);
                self.regions.retain(|name, _| listed.contains(&**name));
                self.read.regions = true;
            }
            Ok(Event::Delete(region)) => {
                self.regions.remove(region.name_any().as_str());
            }
            Err(problem) => self.read.regions |= self.refused("regions", problem),
        }
    }

    /// The region is as given, if its hosts are ours to count.
    fn take_region(&mut self, mut region: Region) {
        let name: Arc<str> = region.name_any().into();
        let namespace = region.spec.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE);
        if namespace != self.control.namespace {
            self.regions.remove(&name);
            return;
        }
        if self.regions.get(&name).is_some_and(|old| older(&region, old)) {
            return;
        }
        region.metadata.managed_fields = None;
        self.table.touch(Place::Region(Arc::clone(&name)));
        self.regions.insert(name, region);
    }

    fn host(&mut self, event: watcher::Result<Event<StoredHost>>) {
        if event.is_ok() {
            self.heard();
        }
        match event {
            Ok(Event::Init) => self.table.begin(),
            Ok(Event::Apply(host) | Event::InitApply(host)) => {
                let name = host.name_any();
                self.table.listed(&name);
                // An echo of what we wrote that has been overtaken by its answer.
                if self.table.knows_newer(&host.metadata) {
                    return;
                }
                self.begin(&name, From::Stored(Box::new(host)), 0);
            }
            Ok(Event::InitDone) => {
                for name in self.table.end() {
                    self.jobs.set(name.to_string(), None, 0);
                }
                self.read.hosts = true;
                self.control.metrics.synced();
            }
            Ok(Event::Delete(host)) => {
                let name = host.name_any();
                self.forget(&name);
                if let Some(busy) = self.busy.get_mut(&name) {
                    busy.again = Some(From::Ask);
                }
            }
            Err(problem) => {
                self.refused("hosts", problem);
            }
        }
    }

    /// A watch broke off; it tries again by itself. Whether the server says that we may not read this
    /// at all: then there is nothing to wait for, and a single pass ends.
    fn refused(&mut self, resource: &'static str, problem: watcher::Error) -> bool {
        self.control.metrics.watch_failed(resource);
        let refused = is_refusal(&problem);
        let Some((error, stays)) = explain_watch(resource, problem) else { return false };
        let Some(reading) = &mut self.once else {
            tracing::warn!(error = chain(&error), hint = error.next_step(), "the watch failed");
            return refused;
        };
        if let Err(error) = reading.failed(error, stays) {
            self.hindrance = Some(error);
        }
        false
    }

    fn forget(&mut self, host: &str) {
        self.table.remove(host);
        self.jobs.set(host.to_owned(), None, 0);
    }

    /// Something beside the object has changed.
    fn look_at(&mut self, host: &str) {
        if let Some(busy) = self.busy.get_mut(host) {
            busy.again = Some(From::Ask);
        } else if self.table.knows(host) {
            self.jobs.set(host.to_owned(), Some(Timestamp::now()), 0);
        }
    }

    /// Sees to a host: at once if nothing is to be written, else beside the loop.
    fn begin(&mut self, name: &str, from: From, failures: u32) {
        if let Some(busy) = self.busy.get_mut(name) {
            // The newest object counts, and a question is newer than any.
            if !matches!(busy.again, Some(From::Ask)) {
                busy.again = Some(from);
            }
            return;
        }
        let facts = Facts { agent: self.beats.agent(name), decisions: self.requests.of(name) };
        // A fault in this is met again beside the loop, and told there.
        if let From::Stored(stored) = &from
            && let Ok(Some(host)) = guarded(|| {
                let host = host::read(stored).ok()?;
                let nothing = host::next(stored, &host, &facts, now()) == Next::Nothing;
                nothing.then_some(host)
            })
        {
            self.control.metrics.skipped();
            self.settled(&host);
            return;
        }
        self.busy.insert(name.to_owned(), Busy { failures, again: None });
        let (hosts, name) = (Arc::clone(&self.hosts), name.to_owned());
        let work = async move {
            let done = guarded_future(hosts.settle(&name, from, facts)).await;
            let done = done.unwrap_or_else(|Panicked| Err(fault("settling it")));
            Done::Host(name, done)
        };
        self.work.push(work.boxed());
    }

    /// Nothing is to be written about this host now.
    fn settled(&mut self, host: &crate::model::host::Host) {
        let (name, time) = (host.name_any(), now());
        self.table.set(host, time);
        self.jobs.set(name.clone(), lifecycle::due(host, time), 0);
        self.warned.retain(|(until, ..)| *until > time);
        for (holder, hold) in lifecycle::soon_over(host, time) {
            let until = hold.until.0;
            let since = lifecycle::warned_at(hold).unwrap_or(until);
            let late = time.duration_since(since).as_secs() > LATE;
            let key = (until, name.clone(), holder.to_owned());
            if late || !self.warned.insert(key) {
                continue;
            }
            let (hosts, holder) = (Arc::clone(&self.hosts), holder.to_owned());
            let host = host.clone();
            self.telling += 1;
            self.work.push(
                async move {
                    let _said_by_the_hook = guarded_future(hosts.warn(&host, &holder, until)).await;
                    Done::Told
                }
                .boxed(),
            );
        }
    }

    fn done(&mut self, done: Done) {
        self.heard();
        match done {
            Done::Told => self.telling = self.telling.saturating_sub(1),
            Done::Host(name, result) => self.host_done(&name, result),
            Done::Place(place, result) => self.place_done(place, result),
        }
    }

    fn host_done(&mut self, name: &str, result: Result<Option<Box<StoredHost>>>) {
        let busy = self.busy.remove(name);
        let failures = busy.as_ref().map_or(0, |busy| busy.failures);
        let again = busy.and_then(|busy| busy.again);
        let mut known = 0;
        match result {
            Ok(None) => self.forget(name),
            Ok(Some(stored)) => {
                known = version(&stored.metadata);
                match host::read(&stored) {
                    Ok(host) => self.settled(&host),
                    Err(problem) => self.host_failed(name, failures, &problem),
                }
            }
            Err(problem) => self.host_failed(name, failures, &problem),
        }
        match again {
            // Mostly the echo of what we wrote.
            Some(From::Stored(stored)) if version(&stored.metadata) <= known => {}
            Some(from) => self.begin(name, from, 0),
            None => {}
        }
    }

    fn host_failed(&mut self, name: &str, failures: u32, problem: &Error) {
        self.control.metrics.failed();
        tracing::warn!(
            host = name,
            error = chain(problem),
            hint = problem.next_step(),
            "host failed"
        );
        self.failed += 1;
        if self.once.is_none() {
            self.jobs.again(name.to_owned(), failures, Timestamp::now());
        }
    }

    fn place_done(&mut self, place: Place, result: Result<Written>) {
        self.writing.remove(&place);
        match result {
            Ok(Written::Cluster(cluster)) => self.take_cluster(*cluster),
            Ok(Written::Region(region)) => self.take_region(*region),
            Ok(Written::Gone) => {}
            Ok(Written::Stale(host)) => {
                self.begin(&host, From::Ask, 0);
                self.table.touch(place);
            }
            Err(problem) => {
                self.control.metrics.failed();
                tracing::warn!(
                    ?place,
                    error = chain(&problem),
                    hint = problem.next_step(),
                    "not counted"
                );
                self.failed += 1;
                if self.once.is_none() {
                    self.table.touch(place);
                }
            }
        }
    }

    /// Writes some of the clusters and regions that have changed. What is being read for the first
    /// time, or anew, is not counted before its end.
    fn flush(&mut self) {
        let control = self.control;
        control.metrics.fleet(self.table.phases(), self.jobs.len());
        control.metrics.regions(self.table.regions());
        let spent = |cluster: &&Cluster| {
            cluster.status.as_ref().is_some_and(|status| status.disruptions_allowed == Some(0))
        };
        control.metrics.clusters(self.clusters.len(), self.clusters.values().filter(spent).count());
        if !self.read.hosts {
            return;
        }
        if std::mem::take(&mut self.choose) {
            self.streams.hosts = control.hosts();
            self.read.hosts = false;
            return;
        }
        let mut later = Vec::new();
        while self.writing.len() < PLACES {
            let Some(place) = self.table.next_changed() else { break };
            if self.writing.contains(&place) {
                later.push(place);
                continue;
            }
            match &place {
                Place::Cluster(name) => self.write_cluster(name),
                Place::Region(name) => self.write_region(name),
            }
        }
        for place in later {
            self.table.touch(place);
        }
    }

    fn write_cluster(&mut self, name: &Arc<str>) {
        let Some(cluster) = self.clusters.get(name) else { return };
        let plan = place::plan(cluster, &self.table, now());
        self.grants.set(name.to_string(), plan.due, 0);
        if plan.patch.is_none() {
            return;
        }
        let (places, cluster) = (Arc::clone(&self.places), cluster.clone());
        let place = Place::Cluster(Arc::clone(name));
        self.writing.insert(place.clone());
        let work = async move {
            let done = guarded_future(places.cluster(&cluster, plan)).await;
            let done = done.unwrap_or_else(|Panicked| Err(fault("counting it")));
            Done::Place(place, done)
        };
        self.work.push(work.boxed());
    }

    fn write_region(&mut self, name: &Arc<str>) {
        let Some(region) = self.regions.get(name) else { return };
        let place = Place::Region(Arc::clone(name));
        let mine = |cluster: &&Cluster| cluster.spec.region.as_deref() == Some(name);
        let clusters = self.clusters.values().filter(mine).count();
        let clusters = i32::try_from(clusters).unwrap_or(i32::MAX);
        let old = region.status.as_ref();
        let status = rollup::region_status(old, self.table.counts(&place), clusters);
        let version = region.metadata.resource_version.as_deref();
        let Some(patch) = rollup::status_patch(old, &status, version) else { return };
        let (places, name) = (Arc::clone(&self.places), name.to_string());
        self.writing.insert(place.clone());
        let work = async move {
            let done = guarded_future(places.region(&name, patch)).await;
            let done = done.unwrap_or_else(|Panicked| Err(fault("counting it")));
            Done::Place(place, done)
        };
        self.work.push(work.boxed());
    }
}

/// Work on one object broke off by a fault of ours.
fn fault(what: &str) -> Error {
    Error::new(format!("{what} broke off; this is a fault of inv-tui"))
}

fn is_refusal(problem: &watcher::Error) -> bool {
    match problem {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => status.code == 403 || status.is_forbidden(),
        _ => false,
    }
}

/// Whether the first is an older state of the same object.
fn older<K: kube::Resource>(a: &K, b: &K) -> bool {
    a.meta().uid == b.meta().uid && version(a.meta()) < version(b.meta())
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use serde_json::{Value, json};

    use super::*;
    use crate::model::lifecycle::WARNING;

    /// A controller whose server is nowhere.
    fn control() -> Control {
        let config = kube::Config::new("http://127.0.0.1:1".parse().unwrap());
        Control {
            client: Client::try_from(config).unwrap(),
            namespace: "ns".to_owned(),
            metrics: Metrics::new().0,
            instance: "test".to_owned(),
        }
    }

    fn object<K: DeserializeOwned>(kind: &str, name: &str, spec: &Value) -> K {
        let metadata =
            json!({"name": name, "namespace": "ns", "uid": name, "resourceVersion": "1"});
        serde_json::from_value(json!({
            "apiVersion": "inventory.inv-tui.dev/v1alpha1", "kind": kind,
            "metadata": metadata, "spec": spec,
        }))
        .unwrap()
    }

    #[tokio::test]
    async fn clusters_and_regions_that_went_unseen_are_forgotten() {
        let control = control();
        let mut work = Loop::new(&control, None);
        let selector = json!({"matchLabels": {"a": "b"}});
        let spec = json!({"region": "eu", "selector": selector});
        let namespaced = json!({"namespace": "ns"});
        work.cluster(Ok(Event::Init));
        work.region(Ok(Event::Init));
        for name in ["shop", "bank"] {
            work.cluster(Ok(Event::InitApply(object("Cluster", name, &spec))));
        }
        for name in ["eu", "us"] {
            work.region(Ok(Event::InitApply(object("Region", name, &namespaced))));
        }
        work.cluster(Ok(Event::InitDone));
        work.region(Ok(Event::InitDone));
        assert_eq!((work.clusters.len(), work.regions.len()), (2, 2));
        while work.table.next_changed().is_some() {}

        // The watch breaks; bank and us are deleted before it can be begun again.
        work.choose = false;
        work.cluster(Ok(Event::Init));
        work.cluster(Ok(Event::InitApply(object("Cluster", "shop", &spec))));
        work.cluster(Ok(Event::InitDone));
        work.region(Ok(Event::Init));
        work.region(Ok(Event::InitApply(object("Region", "eu", &namespaced))));
        work.region(Ok(Event::InitDone));
        let names = |all: Vec<&Arc<str>>| all.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(work.clusters.keys().collect()), ["shop"]);
        assert_eq!(names(work.regions.keys().collect()), ["eu"]);
        assert!(work.choose, "its hosts are nobody's now, or another cluster's");
        let mut changed = std::iter::from_fn(|| work.table.next_changed());
        assert!(changed.any(|place| place == Place::Region("eu".into())), "it has one less");
    }

    #[tokio::test]
    async fn warnings_take_their_place_among_what_is_begun() {
        let control = control();
        let mut work = Loop::new(&control, None);
        let time = |seconds| {
            let until = SignedDuration::from_secs(seconds) + WARNING;
            now().saturating_add(until).unwrap()
        };
        // The warning has been due for a second.
        let hold = json!({"reason": "disk", "since": time(-7_200), "until": time(-1)});
        let spec = json!({"maintenance": {"ann": hold}});
        for n in 0..AT_ONCE {
            work.settled(&object("Host", &format!("h{n}"), &spec));
        }
        assert_eq!((work.telling, work.room()), (AT_ONCE, 0));
        work.done(Done::Told);
        assert_eq!(work.room(), 1);
    }
}
