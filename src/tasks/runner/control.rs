//! Which hosts want a run, and which of them are ours to run.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::SignedDuration;
use kube::api::Api;
use kube::core::DeserializeGuard;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::config::RunnerConfig;
use super::member::{Others, is_identity};
use super::metrics::Metrics;
use super::work::{Seen, Work, now};
use crate::error::{Result, chain};
use crate::guard::{Panicked, guarded_future};
use crate::model::csr::host_user;
use crate::model::host::{Host, RunState};
use crate::model::text;
use crate::store::client::{DEADLINE, RUNNER, call};
use crate::store::event::Events;
use crate::tasks::execute::Driver;
use crate::tasks::execute::ledger::Ledger;
use crate::tasks::jobs::Jobs;

/// Hosts that are attended to at once: they run, or wait for a place.
const TASKS: usize = 1_000;
/// Hosts that are looked at in one go.
const BATCH: usize = 32;
/// Until a host with an agent, or one that waits for something, is looked at again.
const LATER: SignedDuration = SignedDuration::from_mins(1);
/// Until the Lease of a runner that may have gone is looked at again.
const DOUBT: SignedDuration = SignedDuration::from_secs(5);
/// Longest time between two looks at the clock, which may be set.
const IDLE: Duration = Duration::from_mins(1);

/// What a runner has of its own.
pub(super) struct Own {
    /// Folder of its ledgers, one for each host.
    pub(super) folder: PathBuf,
    /// Under which name it claims.
    pub(super) identity: String,
}

/// The hosts that want a run.
pub(super) struct Control {
    work: Arc<Work>,
    selector: Option<String>,
    own: Own,
    /// Hosts that want a run, as they were seen last.
    hosts: HashMap<String, Arc<Host>>,
    /// Those that a list has brought so far.
    listing: Option<HashSet<String>>,
    /// Hosts with a run that the ledger has no end of, from before the start.
    open: HashSet<String>,
    /// Hosts that are attended to.
    tasks: HashMap<String, Attended>,
    running: JoinSet<(String, std::result::Result<Seen, Panicked>)>,
    /// Hosts that wait for another try after a fault of ours.
    broken: HashSet<String>,
    jobs: Jobs,
    others: Others,
    leading: watch::Receiver<bool>,
}

/// A host that is attended to.
struct Attended {
    /// Takes what is seen of it.
    tell: watch::Sender<Seen>,
    /// How often in a row that has failed.
    failures: u32,
}

/// What is to be done about a host that wants a run.
enum Whose {
    /// Ours to run.
    Ours(Box<Driver>, Seen),
    /// Not ours, or not now.
    Later(SignedDuration),
}

impl Control {
    /// A runner that has not begun yet.
    pub(super) fn new(
        client: Client,
        namespace: &str,
        selector: Option<String>,
        config: RunnerConfig,
        own: Own,
        at_once: usize,
        metrics: Metrics,
    ) -> Self {
        let leading = watch::channel(false).1;
        let work = Work {
            events: Events::new(client.clone(), RUNNER, &own.identity),
            client,
            namespace: namespace.to_owned(),
            config,
            places: Arc::new(Semaphore::new(at_once)),
            at_once,
            leading: leading.clone(),
            metrics,
        };
        Self {
            work: Arc::new(work),
            selector,
            own,
            hosts: HashMap::new(),
            listing: None,
            open: HashSet::new(),
            tasks: HashMap::new(),
            running: JoinSet::new(),
            broken: HashSet::new(),
            jobs: Jobs::default(),
            others: Others::default(),
            leading,
        }
    }

    /// Works until it is stopped, which ends a question to the server too. Runs are begun while
    /// `leading` is true; those that were begun are followed in any case.
    pub(super) async fn run(self, leading: watch::Receiver<bool>, mut stop: watch::Receiver<bool>) {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => {}
            () = self.work(leading) => {}
        }
    }

    async fn work(mut self, leading: watch::Receiver<bool>) {
        self.leading = leading.clone();
        if let Some(work) = Arc::get_mut(&mut self.work) {
            work.leading = leading;
        }
        self.remember();
        let api: Api<DeserializeGuard<Host>> =
            Api::namespaced(self.work.client.clone(), &self.work.namespace);
        let mut config = watcher::Config::default().page_size(500);
        if let Some(selector) = &self.selector {
            config = config.labels(selector);
        }
        let mut events = watcher(api, config).default_backoff().boxed();
        let mut leads = self.leading.clone();
        loop {
            let wait = self.jobs.next().map(|due| {
                Duration::try_from(due.duration_since(now())).unwrap_or_default().min(IDLE)
            });
            tokio::select! {
                event = events.next() => match event {
                    Some(event) => self.hear(event),
                    None => return,
                },
                Ok(()) = leads.changed() => self.look_at_all(),
                Some(done) = self.running.join_next() => match done {
                    Ok((name, Ok(seen))) => self.ended(&name, &seen),
                    Ok((name, Err(Panicked))) => self.broke_off(name),
                    Err(cause) => tracing::error!(%cause, "a task was ended from outside"),
                },
                () = tokio::time::sleep(wait.unwrap_or(IDLE)), if wait.is_some() => self.due().await,
            }
            self.work.metrics.hosts(self.hosts.len());
        }
    }

    /// Runs from before the start are gone on with, whoever leads.
    fn remember(&mut self) {
        let Ok(folders) = std::fs::read_dir(&self.own.folder) else { return };
        for folder in folders.filter_map(std::result::Result::ok) {
            let Ok(name) = folder.file_name().into_string() else { continue };
            if self.has_open_run(&name) {
                tracing::info!(host = name, "a run from before the start");
                self.jobs.set(name.clone(), Some(now()), 0);
                self.open.insert(name);
            }
        }
    }

    fn hear(&mut self, event: Result<Event<DeserializeGuard<Host>>, watcher::Error>) {
        match event {
            Ok(Event::Apply(guard) | Event::InitApply(guard)) => match guard.0 {
                Ok(host) => self.seen(host),
                Err(problem) => {
                    let shown = text::clean(&problem.to_string()).into_owned();
                    tracing::warn!(problem = shown, "a Host cannot be read");
                }
            },
            Ok(Event::Delete(guard)) => {
                if let Ok(host) = guard.0 {
                    self.gone(&host.name_any());
                }
            }
            Ok(Event::Init) => self.listing = Some(HashSet::new()),
            Ok(Event::InitDone) => {
                self.work.metrics.synced();
                let listed = self.listing.take().unwrap_or_default();
                let known = self.hosts.keys().chain(self.tasks.keys());
                let lost: Vec<String> =
                    known.filter(|name| !listed.contains(*name)).cloned().collect();
                for name in lost {
                    self.gone(&name);
                }
            }
            Err(cause) => {
                let shown = text::clean(&cause.to_string()).into_owned();
                tracing::warn!(error = shown, "cannot follow the hosts");
                self.work.metrics.watch_failed();
            }
        }
    }

    fn seen(&mut self, host: Host) {
        let (name, host) = (host.name_any(), Arc::new(host));
        let attended = self.tasks.get(&name);
        if let Some(listed) = &mut self.listing
            && (attended.is_some() || wants(&host, &self.own.identity))
        {
            listed.insert(name.clone());
        }
        if let Some(task) = attended {
            task.tell.send_replace(Some(Arc::clone(&host)));
        }
        if wants(&host, &self.own.identity) {
            if attended.is_none() && !self.broken.contains(&name) {
                self.jobs.set(name.clone(), Some(now()), 0);
            }
            self.hosts.insert(name, host);
        } else {
            self.hosts.remove(&name);
            self.leave(&name);
        }
    }

    /// Nothing is to be done for a host, unless something that was begun here has no end yet.
    fn leave(&mut self, name: &str) {
        if !self.open.contains(name) {
            self.jobs.set(name.to_owned(), None, 0);
            self.broken.remove(name);
        }
    }

    fn gone(&mut self, name: &str) {
        self.hosts.remove(name);
        if let Some(task) = self.tasks.get(name) {
            task.tell.send_replace(None);
        }
        self.leave(name);
    }

    fn look_at_all(&mut self) {
        for name in self.hosts.keys().filter(|name| !self.broken.contains(*name)) {
            self.jobs.set(name.clone(), Some(now()), 0);
        }
    }

    /// A host is not attended to any more; `seen` is what was looked at last.
    fn ended(&mut self, name: &str, seen: &Seen) {
        self.tasks.remove(name);
        let Some(host) = self.hosts.get(name) else { return };
        let same = seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, host));
        let pause = if same { LATER } else { SignedDuration::ZERO };
        self.jobs.set(name.to_owned(), now().checked_add(pause).ok(), 0);
    }

    /// A host is not attended to any more, by a fault of ours. Its run goes on by itself; it is
    /// followed again later, and later each time.
    fn broke_off(&mut self, name: String) {
        let failures = self.tasks.remove(&name).map_or(0, |task| task.failures);
        self.work.metrics.broke_off();
        tracing::error!(host = name, "attending to it broke off; this is a fault of inv-tui");
        if self.has_open_run(&name) {
            self.open.insert(name.clone());
        }
        if self.open.contains(&name) || self.hosts.contains_key(&name) {
            self.broken.insert(name.clone());
            self.jobs.again(name, failures, now());
        }
    }

    fn has_open_run(&self, name: &str) -> bool {
        let folder = self.own.folder.join(name);
        Ledger::open(&folder).is_ok_and(|ledger| !ledger.open_runs().is_empty())
    }

    /// Looks at the hosts whose time has come.
    async fn due(&mut self) {
        for (name, failures) in self.jobs.take(now(), BATCH) {
            self.broken.remove(&name);
            if self.tasks.contains_key(&name) {
                continue;
            }
            let open = self.open.contains(&name);
            if !open && !*self.leading.borrow() {
                continue;
            }
            let later = match self.whose(&name, open).await {
                Ok(Whose::Ours(driver, host)) if self.tasks.len() < TASKS => {
                    self.open.remove(&name);
                    self.attend(name, *driver, host, failures);
                    continue;
                }
                Ok(Whose::Ours(..)) => DOUBT,
                Ok(Whose::Later(pause)) => pause,
                Err(error) => {
                    let hint = error.next_step();
                    tracing::warn!(host = name, error = chain(&error), hint, "looked at later");
                    self.jobs.again(name, failures, now());
                    continue;
                }
            };
            self.jobs.set(name, now().checked_add(later).ok(), 0);
        }
    }

    async fn whose(&mut self, name: &str, open: bool) -> Result<Whose> {
        let driver = || {
            let ledger = Ledger::open(&self.own.folder.join(name))?;
            let ansible = self.work.config.ansible.clone();
            let work = &self.work;
            let driver = Driver::new(ledger, ansible, &self.own.identity, &work.namespace, name);
            Ok::<_, crate::error::Error>(Box::new(driver))
        };
        if open {
            let host = self.work.read(name).await?;
            return Ok(Whose::Ours(driver()?, host));
        }
        let Some(host) = self.hosts.get(name).cloned() else {
            return Ok(Whose::Later(LATER));
        };
        if let Some(other) = runs_elsewhere(&host, &self.own.identity) {
            let Work { client, namespace, config, .. } = &*self.work;
            // Whoever is no runner has a Lease of its own: its host has an agent.
            if !is_identity(other) {
                return Ok(Whose::Later(LATER));
            }
            if !self.others.gone(client, namespace, other, config.gone_after).await? {
                return Ok(Whose::Later(DOUBT));
            }
            self.work.give_up(&host).await?;
            return Ok(Whose::Later(DOUBT));
        }
        if self.has_agent(name).await? {
            return Ok(Whose::Later(LATER));
        }
        Ok(Whose::Ours(driver()?, Some(host)))
    }

    /// Whether an agent beats, or did, for the host.
    async fn has_agent(&self, name: &str) -> Result<bool> {
        let api: Api<Lease> = Api::namespaced(self.work.client.clone(), &self.work.namespace);
        let what = format!("cannot read the lease \"{name}\"");
        let lease = call(&what, "get leases", DEADLINE, api.get_opt(name)).await?;
        let holder = lease.and_then(|lease| lease.spec?.holder_identity);
        Ok(holder.is_some_and(|holder| holder == host_user(&self.work.namespace, name)))
    }

    fn attend(&mut self, name: String, driver: Driver, host: Seen, failures: u32) {
        let (work, of) = (Arc::clone(&self.work), name.clone());
        self.begin(
            name,
            host,
            failures,
            |seen| async move { work.attend(&of, driver, seen).await },
        );
    }

    /// Begins the task of a host, which hears what is seen of it. A fault ends this task alone.
    fn begin<F: Future<Output = Seen> + Send + 'static>(
        &mut self,
        name: String,
        host: Seen,
        failures: u32,
        task: impl FnOnce(watch::Receiver<Seen>) -> F,
    ) {
        let (tell, seen) = watch::channel(host);
        self.tasks.insert(name.clone(), Attended { tell, failures });
        let task = task(seen);
        self.running.spawn(async move {
            let done = guarded_future(task).await;
            (name, done)
        });
    }
}

/// Whether a host wants a run that has no end yet.
fn wants(host: &Host, us: &str) -> bool {
    let told = host.status.as_ref().and_then(|status| status.ansible.as_ref());
    if runs_elsewhere(host, us).is_some() {
        return true;
    }
    host.spec.ansible.as_ref().is_some_and(|request| {
        told.is_none_or(|told| told.request_id != request.request_id || !told.state.is_final())
    })
}

/// Who else runs something on the host.
fn runs_elsewhere<'a>(host: &'a Host, us: &str) -> Option<&'a str> {
    let told = host.status.as_ref()?.ansible.as_ref()?;
    let who = told.executor.as_deref()?;
    (told.state == RunState::Running && who != us).then_some(who)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn host(asks: Option<&str>, told: Option<(&str, &str, &str)>) -> Host {
        let spec = match asks {
            Some(id) => json!({"ansible": {"requestID": id, "playbook": "p"}}),
            None => json!({}),
        };
        let mut host = Host::new("h", serde_json::from_value(spec).unwrap());
        host.status.get_or_insert_default().ansible = told.map(|(id, state, who)| {
            let told = json!({"requestID": id, "state": state, "executor": who});
            serde_json::from_value(told).unwrap()
        });
        host
    }

    /// A runner whose server is nowhere, and that leads.
    fn control(folder: &std::path::Path) -> Control {
        let config = kube::Config::new("http://127.0.0.1:1".parse().unwrap());
        let text = "[ansible]\nprogram = '/bin/false'\nroot = '/nowhere'\n[[ansible.playbook]]\npath = 'p'\n";
        let own = Own { folder: folder.to_owned(), identity: "we".to_owned() };
        let client = Client::try_from(config).unwrap();
        let config = crate::config::from_toml(text).unwrap();
        Control::new(client, "ns", None, config, own, 4, Metrics::new().0)
    }

    #[tokio::test]
    async fn a_host_whose_task_broke_off_is_attended_to_again_later_and_later() {
        let dir = tempfile::tempdir().unwrap();
        let mut control = control(dir.path());
        let wanted = host(Some("a"), None);
        control.seen(wanted.clone());
        let mut pauses = Vec::new();
        for _ in 0..3 {
            let (name, failures) =
                control.jobs.take(k8s_openapi::jiff::Timestamp::MAX, 1)[0].clone();
            control.broken.remove(&name);
            let seen = Some(Arc::new(wanted.clone()));
            control.begin(name, seen, failures, |_| async { panic!("a fault of ours") });
            let (name, done) = control.running.join_next().await.unwrap().unwrap();
            assert_eq!(done.unwrap_err(), Panicked);
            let before = now();
            control.broke_off(name);
            assert!(control.tasks.is_empty());
            // What is seen of it does not hurry it.
            control.seen(wanted.clone());
            control.look_at_all();
            let due = control.jobs.next().expect("it is attended to again");
            pauses.push(due.duration_since(before).as_secs());
        }
        assert!(pauses.is_sorted() && pauses[0] >= 1 && pauses[2] >= 4, "{pauses:?}");
        assert_eq!(control.work.metrics.broken_off(), 3);
        // Of one that is gone and has nothing open there is nothing to be done.
        control.gone("h");
        assert_eq!(control.jobs.next(), None);
    }

    #[tokio::test]
    async fn a_stop_ends_it_while_the_server_is_silent() {
        // It takes connections, and never answers.
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = silent.local_addr().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let mut control = control(dir.path());
        let config = kube::Config::new(format!("http://{address}").parse().unwrap());
        Arc::get_mut(&mut control.work).unwrap().client = Client::try_from(config).unwrap();
        control.open.insert("h".to_owned());
        control.jobs.set("h".to_owned(), Some(now()), 0);
        let (tell, stop) = watch::channel(false);
        let leading = watch::channel(true).1;
        let run = tokio::spawn(control.run(leading, stop));
        // One connection is the watch, the other one the question about the host.
        let _asked = (silent.accept().await.unwrap(), silent.accept().await.unwrap());
        tell.send_replace(true);
        let began = tokio::time::Instant::now();
        run.await.unwrap();
        assert!(began.elapsed() < DEADLINE, "it waited for the answer");
    }

    #[test]
    fn a_host_wants_what_has_no_end_yet() {
        for (asks, told, expected) in [
            (None, None, false),
            (Some("a"), None, true),
            (Some("a"), Some(("a", "Queued", "we")), true),
            (Some("a"), Some(("a", "Running", "we")), true),
            (Some("a"), Some(("a", "Succeeded", "we")), false),
            (Some("a"), Some(("a", "Unknown", "other")), false),
            (Some("b"), Some(("a", "Succeeded", "we")), true),
            (None, Some(("a", "Running", "other")), true),
            (None, Some(("a", "Running", "we")), false),
        ] {
            assert_eq!(wants(&host(asks, told), "we"), expected, "{asks:?} {told:?}");
        }
        let elsewhere = host(Some("a"), Some(("a", "Running", "other")));
        assert_eq!(runs_elsewhere(&elsewhere, "we"), Some("other"));
        assert_eq!(runs_elsewhere(&elsewhere, "other"), None);
    }
}
