//! The work: looks at what is wanted and at what there is, and does the one thing that is next.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::config::{AgentConfig, Hooks};
use super::hooks::{self, Done};
use super::state::{Maintenance, State, Upgrade, Way};
use super::system;
use crate::error::{Error, Result, chain};
use crate::guard::{Panicked, guarded_future};
use crate::model::condition::{CONVERGED, DRAINED, OS_UP_TO_DATE, condition, find};
use crate::model::host::{AnsibleStatus, Hold, HoldMode, Host, OsStatus};
use crate::model::row::CLOCK_SLACK;
use crate::store::client::{AGENT, Connection, DEADLINE, call};
use crate::store::event::{Events, Kind, about};
use crate::tasks::execute::ledger::Ledger;
use crate::tasks::execute::tale::{RUN, converged, tale};
use crate::tasks::execute::{Driver, Next, Reach};
use crate::tasks::folder::Folder;

/// Between two looks while a run goes on, and so between two reports of its progress.
const BUSY: Duration = Duration::from_secs(2);
/// Longest time between two looks at the clock.
const IDLE: Duration = Duration::from_secs(30);
/// First and longest pause before a report or a hook is tried again.
const AGAIN: (i64, i64) = (2, 60);
/// How often the operating system is looked at.
const SYSTEM: SignedDuration = SignedDuration::from_mins(1);

/// What the agent hears.
#[derive(Debug)]
pub(super) enum News {
    /// The Host as it is now.
    Host(Box<Host>),
    /// There is no such Host.
    Gone,
    /// The API server cannot be asked; why.
    Away(String),
    /// A hook has ended.
    Hook(Task, Done),
}

/// What a hook is run for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// Into maintenance or out of it.
    Maintenance(Way),
    /// The operating system.
    Upgrade,
}

/// One host's agent.
pub(super) struct Agent {
    namespace: String,
    name: String,
    hooks: Hooks,
    state: State,
    driver: Option<Driver>,
    host: Option<Host>,
    /// The object has been read since the start, not only remembered.
    fresh: bool,
    /// A hook that runs.
    running: Option<Task>,
    /// What `status.ansible` says by us.
    ansible: Option<AnsibleStatus>,
    os: (Timestamp, OsStatus),
    /// What the API server has taken last.
    sent: Value,
    /// No report before then, and how often in a row it failed.
    later: Option<(Timestamp, u32)>,
    ready: watch::Sender<std::result::Result<(), String>>,
    /// Ours as long as we live: two agents with one ledger would run things twice.
    _folder: Folder,
}

/// What has to be told to somebody beside the status.
struct Tale {
    kind: Kind,
    reason: &'static str,
    action: &'static str,
    note: String,
}

impl Agent {
    /// Reads what is remembered.
    pub(super) fn open(
        config: &AgentConfig,
        folder: &Path,
        namespace: &str,
        name: &str,
    ) -> Result<Self> {
        let folder = Folder::take(folder, "agent")?;
        let ledger = Ledger::open(&folder.path.join("runs"))?;
        let state = State::new(&folder.path);
        let host = state.host(namespace, name);
        let driver = config
            .ansible
            .clone()
            .map(|ansible| Driver::new(ledger, ansible, "agent", namespace, name));
        let waiting = Err("the Host has not been read yet".to_owned());
        Ok(Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            hooks: config.hooks.clone(),
            state,
            driver,
            ansible: None,
            host,
            fresh: false,
            running: None,
            os: (Timestamp::MIN, OsStatus::default()),
            sent: Value::Null,
            later: None,
            ready: watch::channel(waiting).0,
            _folder: folder,
        })
    }

    /// Whether the agent knows its Host.
    pub(super) fn ready(&self) -> watch::Receiver<std::result::Result<(), String>> {
        self.ready.subscribe()
    }

    /// Works until it is stopped.
    pub(super) async fn run(
        &mut self,
        connection: watch::Receiver<Connection>,
        news: mpsc::Sender<News>,
        mut inbox: mpsc::Receiver<News>,
        mut stop: watch::Receiver<bool>,
    ) {
        loop {
            let current = connection.borrow().clone();
            self.look(&current, &news).await;
            tokio::select! {
                Some(told) = inbox.recv() => {
                    self.hear(told, &current);
                    while let Ok(told) = inbox.try_recv() {
                        self.hear(told, &current);
                    }
                }
                () = tokio::time::sleep(self.pause(now())) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// How long until something may have to be done, if nothing is heard before.
    fn pause(&self, now: Timestamp) -> Duration {
        if self.driver.as_ref().is_some_and(Driver::busy) {
            return BUSY;
        }
        let holds = self.host.iter().flat_map(|host| host.spec.maintenance.values());
        let bounds = holds.flat_map(|hold| [begin(hold), hold.until.0]);
        let later = self.later.map(|(at, _)| at);
        let hook = self.hook_again();
        let next = bounds.chain(later).chain(hook).filter(|at| *at > now).min();
        let wait = next.map(|at| Duration::try_from(at.duration_since(now)).unwrap_or_default());
        wait.unwrap_or(IDLE).clamp(Duration::from_millis(200), IDLE)
    }

    fn hear(&mut self, told: News, connection: &Connection) {
        match told {
            News::Host(host) => self.read(*host),
            News::Gone => {
                self.fresh = false;
                self.sent = Value::Null;
                let why = format!("there is no Host \"{}\" in \"{}\"", self.name, self.namespace);
                tracing::warn!("{why}");
                let _ = self.ready.send_replace(Err(why));
            }
            News::Away(why) => {
                tracing::warn!(error = %crate::model::text::clean(&why), "cannot follow the Host");
            }
            News::Hook(task, done) => {
                self.running = None;
                let tale = self.hook_ended(task, &done);
                self.tell(connection, tale);
            }
        }
    }

    /// Takes the object as it is, unless we know a later one.
    fn read(&mut self, host: Host) {
        let version = |host: &Host| {
            host.metadata.resource_version.as_deref().and_then(|text| text.parse::<u64>().ok())
        };
        let older = self.fresh
            && self.host.as_ref().is_some_and(|known| {
                known.metadata.uid == host.metadata.uid && version(&host) < version(known)
            });
        if older {
            return;
        }
        let known = self.host.as_ref().filter(|_| self.fresh);
        if known.is_none_or(|known| known.metadata.uid != host.metadata.uid) {
            // What we said earlier stays said: an apply without it would take it away.
            let status = host.status.as_ref();
            let said = status.and_then(|status| status.ansible.clone());
            self.ansible = said.filter(|run| run.executor.as_deref() == Some("agent"));
            self.sent = Value::Null;
        }
        if known.is_none_or(|known| known.spec != host.spec)
            && let Err(error) = self.state.set_host(&host)
        {
            tracing::warn!(error = chain(&error), "the Host is not remembered");
        }
        self.host = Some(host);
        self.fresh = true;
        let _ = self.ready.send_replace(Ok(()));
    }

    /// Looks at everything and does what is next.
    async fn look(&mut self, connection: &Connection, news: &mpsc::Sender<News>) {
        let now = now();
        let Some(host) = self.host.clone() else { return };
        if self.running.is_none()
            && !self.driver.as_ref().is_some_and(Driver::busy)
            && let Some((task, name, input)) = self.next_hook(&host, now)
        {
            self.start_hook(task, name, input, news);
        }
        if !self.fresh {
            return;
        }
        self.runs(connection, now).await;
        if self.later.is_some_and(|(at, _)| now < at) {
            return;
        }
        let wanted = self.status(None, now);
        if wanted != self.sent {
            let _ = self.send(connection, wanted, false, now).await;
        }
    }

    /// Brings the host's run one step further.
    async fn runs(&mut self, connection: &Connection, now: Timestamp) {
        // Each step changes what is next; a handful are enough for any one look.
        for _ in 0..4 {
            let (Some(host), Some(driver)) = (self.host.clone(), self.driver.as_mut()) else {
                return;
            };
            let hindrance = hindrance(&host, self.running);
            match driver.next(&host, hindrance, now) {
                Next::Rest => return,
                Next::Tell { status, guarded } => {
                    if self.later.is_some_and(|(at, _)| now < at) {
                        return;
                    }
                    let before = self.ansible.replace((*status).clone());
                    let wanted = self.status(Some(&status), now);
                    if self.send(connection, wanted, guarded, now).await.is_err() {
                        self.ansible = before;
                        return;
                    }
                    if let Some(driver) = self.driver.as_mut() {
                        driver.told(&status);
                    }
                    let known = before.is_some_and(|before| {
                        before.request_id == status.request_id && before.state == status.state
                    });
                    if !known {
                        self.tell(connection, run_tale(&status));
                    }
                    if !status.state.is_final() {
                        return;
                    }
                }
                Next::Claim(status) => {
                    if self.later.is_some_and(|(at, _)| now < at) {
                        return;
                    }
                    if let Err(error) = driver.claiming(&host, &status) {
                        tracing::error!(error = chain(&error), "no run is begun");
                        self.put_off(now);
                        return;
                    }
                    let before = self.ansible.replace((*status).clone());
                    let wanted = self.status(Some(&status), now);
                    if self.send(connection, wanted, true, now).await.is_err() {
                        self.ansible = before;
                        return;
                    }
                    self.tell(connection, run_tale(&status));
                }
                Next::Launch => {
                    if let Err(error) = driver.launch(&host, &Reach::Local, now) {
                        tracing::error!(error = chain(&error), "the run is not started");
                    }
                    return;
                }
            }
        }
    }

    /// The full set of what the agent says of the host; `told` is a run of which there is news.
    fn status(&mut self, told: Option<&AnsibleStatus>, now: Timestamp) -> Value {
        if now.duration_since(self.os.0) >= SYSTEM {
            self.os = (now, system::os());
        }
        let host = self.host.as_ref();
        let old: Vec<Condition> = host
            .and_then(|host| host.status.as_ref())
            .map(|status| status.conditions.clone())
            .unwrap_or_default();
        let mut conditions: BTreeMap<&str, Condition> = BTreeMap::new();
        let mut set = |type_: &'static str, fine: bool, reason: &str, message: &str| {
            let new = condition(find(&old, type_), type_, fine, reason, message, now);
            conditions.insert(type_, new);
        };
        if let Some(maintenance) = self.state.maintenance() {
            let (drained, reason) = match (maintenance.last, maintenance.done) {
                (Way::Enter, true) => (true, "Drained"),
                (Way::Enter, false) if maintenance.failures > 0 => (false, "EnterFailed"),
                (Way::Enter, false) => (false, "Draining"),
                (Way::Leave, true) => (false, "InService"),
                (Way::Leave, false) if maintenance.failures > 0 => (true, "LeaveFailed"),
                (Way::Leave, false) => (true, "Leaving"),
            };
            set(DRAINED, drained, reason, &maintenance.message);
        }
        let proven = told.zip(host).and_then(|(run, host)| converged(host, run));
        if let Some((fine, reason)) = proven {
            set(CONVERGED, fine, reason, "");
        } else if let Some(old) = find(&old, CONVERGED) {
            conditions.insert(CONVERGED, old.clone());
        }
        let mut os = self.os.1.clone();
        let wanted = host.and_then(|host| host.spec.os.as_ref());
        if let Some((desired, wanted)) = wanted.and_then(|w| Some((w.desired.as_ref()?, w))) {
            let upgrade = self
                .state
                .upgrade()
                .filter(|done| Some(&done.request_id) == wanted.request_id.as_ref());
            let here = os.version.as_ref() == Some(desired);
            let message = upgrade.as_ref().map(|done| done.message.clone()).unwrap_or_default();
            let reason = match (here, upgrade.as_ref().map(|done| done.fine)) {
                (true, _) => "VersionMatches",
                (false, None) => "UpgradeWaits",
                (false, Some(None)) => "Upgrading",
                (false, Some(Some(true))) => "RebootAwaited",
                (false, Some(Some(false))) => "UpgradeFailed",
            };
            let mut set = |fine| {
                let new = condition(
                    find(&old, OS_UP_TO_DATE),
                    OS_UP_TO_DATE,
                    fine,
                    reason,
                    &message,
                    now,
                );
                conditions.insert(OS_UP_TO_DATE, new);
            };
            set(here);
            if upgrade.is_some_and(|done| done.reboot_required) {
                os.reboot_required = Some(true);
            }
        }
        let conditions: Vec<Condition> = conditions.into_values().collect();
        json!({"ansible": self.ansible, "os": os, "conditions": conditions})
    }

    /// Sends the full set; `guarded` only against the version that was looked at. What the server
    /// answers is the Host from then on.
    async fn send(
        &mut self,
        connection: &Connection,
        status: Value,
        guarded: bool,
        now: Timestamp,
    ) -> Result<(), ()> {
        let version = self.host.as_ref().and_then(|host| host.metadata.resource_version.clone());
        let mut metadata = json!({"name": self.name});
        if guarded && let Some(fields) = metadata.as_object_mut() {
            fields.insert("resourceVersion".to_owned(), version.into());
        }
        let mut stated = status.clone();
        if let Some(fields) = stated.as_object_mut() {
            fields.retain(|_, value| !value.is_null());
        }
        let body = json!({
            "apiVersion": "inventory.inv-tui.dev/v1alpha1",
            "kind": "Host",
            "metadata": metadata,
            "status": stated,
        });
        let api: Api<Host> = Api::namespaced(connection.client.clone(), &self.namespace);
        let params = PatchParams::apply(AGENT).force();
        let patch = Patch::Apply(&body);
        let request = api.patch_status(&self.name, &params, &patch);
        match tokio::time::timeout(DEADLINE, request).await {
            Ok(Ok(host)) => {
                self.later = None;
                self.sent = status;
                self.read(host);
                Ok(())
            }
            // Somebody was faster: the Host as it is now is read, and looked at anew.
            Ok(Err(kube::Error::Api(answer))) if guarded && answer.is_conflict() => {
                let name = self.name.clone();
                let read =
                    call("cannot read the Host", "get hosts", DEADLINE, api.get(&name)).await;
                match read {
                    Ok(host) => self.read(host),
                    Err(error) => self.put_off_for(&error, now),
                }
                Err(())
            }
            Ok(Err(cause)) => {
                let error =
                    crate::store::client::explain("cannot report", "patch hosts/status", cause);
                self.put_off_for(&error, now);
                Err(())
            }
            Err(_) => {
                self.put_off_for(&Error::new("cannot report: no answer in time"), now);
                Err(())
            }
        }
    }

    fn put_off_for(&mut self, error: &Error, now: Timestamp) {
        if self.later.is_none() {
            tracing::warn!(error = chain(error), hint = error.next_step(), "reported later");
        }
        self.put_off(now);
    }

    fn put_off(&mut self, now: Timestamp) {
        let failures = self.later.map_or(0, |(_, failures)| failures);
        self.later = Some((again(now, failures), failures.saturating_add(1)));
    }

    fn tell(&self, connection: &Connection, tale: Tale) {
        tracing::info!(reason = tale.reason, "{}", crate::model::text::clean(&tale.note));
        let Some(host) = self.host.as_ref().filter(|_| self.fresh) else { return };
        let events = Events::new(connection.client.clone(), AGENT, &self.name);
        // Nobody waits for an Event.
        let about = about(host);
        tokio::spawn(async move {
            events.tell(&about, tale.kind, tale.reason, tale.action, &tale.note).await;
        });
    }

    fn hook_again(&self) -> Option<Timestamp> {
        let maintenance = self.state.maintenance()?;
        (!maintenance.done && maintenance.failures > 0)
            .then(|| again(maintenance.at, maintenance.failures))
    }

    /// The hook that is next, if any: a maintenance that begins or ends, then an upgrade.
    fn next_hook(&self, host: &Host, now: Timestamp) -> Option<(Task, &'static str, Value)> {
        if host.spec.paused {
            return None;
        }
        let drains: BTreeMap<&String, &Hold> = host
            .spec
            .maintenance
            .iter()
            .filter(|(_, hold)| {
                hold.mode == HoldMode::Drain && begin(hold) <= now && now < hold.until.0
            })
            .collect();
        let known = self.state.maintenance();
        let waiting = self.hook_again().is_some_and(|at| now < at);
        let entered = known.as_ref().is_some_and(|m| m.last == Way::Enter && m.done);
        let out = known.as_ref().is_none_or(|m| m.last == Way::Leave && m.done);
        if !drains.is_empty() && !entered {
            let again = known.is_some_and(|m| m.last == Way::Enter) && waiting;
            let input = json!({"action": "maintenance-enter", "host": self.name, "holds": drains, "now": now});
            return (!again).then_some((Task::Maintenance(Way::Enter), "maintenance-enter", input));
        }
        if drains.is_empty() && !out {
            let again = known.is_some_and(|m| m.last == Way::Leave) && waiting;
            let input = json!({"action": "maintenance-leave", "host": self.name, "now": now});
            return (!again).then_some((Task::Maintenance(Way::Leave), "maintenance-leave", input));
        }
        let os = host.spec.os.as_ref()?;
        let (id, desired) = (os.request_id.as_ref()?, os.desired.as_ref()?);
        let done = self.state.upgrade().is_some_and(|upgrade| upgrade.request_id == *id);
        if done || system::os().version.as_ref() == Some(desired) {
            return None;
        }
        let input = json!({"action": "os-upgrade", "host": self.name, "os": os, "now": now});
        Some((Task::Upgrade, "os-upgrade", input))
    }

    fn start_hook(
        &mut self,
        task: Task,
        name: &'static str,
        input: Value,
        news: &mpsc::Sender<News>,
    ) {
        if let Err(error) = self.begin_hook(task) {
            tracing::error!(error = chain(&error), "no hook is run that cannot be written down");
            return;
        }
        tracing::info!(hook = name, "hook");
        self.running = Some(task);
        let (folder, limit, news) = (self.hooks.folder.clone(), self.hooks.timeout, news.clone());
        tokio::spawn(async move {
            let call = hooks::call(folder.as_deref(), name, input, limit);
            let done = guarded_future(call).await.unwrap_or_else(|Panicked| Done {
                fine: false,
                begun: true,
                message: "the hook broke off; this is a fault of inv-tui".to_owned(),
                reboot_required: None,
            });
            let _ = news.send(News::Hook(task, done)).await;
        });
    }

    /// Writes down that a hook is run.
    fn begin_hook(&self, task: Task) -> Result<()> {
        match task {
            Task::Maintenance(way) => {
                let known = self.state.maintenance().filter(|known| known.last == way);
                self.state.set_maintenance(&Maintenance {
                    last: way,
                    done: false,
                    message: String::new(),
                    at: now(),
                    failures: known.map_or(0, |known| known.failures),
                })
            }
            Task::Upgrade => {
                let id =
                    self.host.as_ref().and_then(|host| host.spec.os.as_ref()?.request_id.clone());
                self.state.set_upgrade(&Upgrade {
                    request_id: id.unwrap_or_default(),
                    boot_id: system::boot_id().unwrap_or_default(),
                    fine: None,
                    message: String::new(),
                    reboot_required: false,
                })
            }
        }
    }

    /// Writes down what a hook has done.
    fn hook_ended(&mut self, task: Task, done: &Done) -> Tale {
        let written = match task {
            Task::Maintenance(way) => {
                let before = self.state.maintenance().map_or(0, |known| known.failures);
                self.state.set_maintenance(&Maintenance {
                    last: way,
                    done: done.fine,
                    message: done.message.clone(),
                    at: now(),
                    failures: if done.fine { 0 } else { before.saturating_add(1) },
                })
            }
            Task::Upgrade => match self.state.upgrade() {
                Some(upgrade) => self.state.set_upgrade(&Upgrade {
                    fine: Some(done.fine),
                    message: done.message.clone(),
                    reboot_required: done.reboot_required == Some(true),
                    ..upgrade
                }),
                None => Ok(()),
            },
        };
        if let Err(error) = written {
            tracing::error!(error = chain(&error), "what the hook has done is not remembered");
        }
        self.os.0 = Timestamp::MIN;
        let (reason, action) = match (task, done.fine) {
            (Task::Maintenance(Way::Enter), true) => ("MaintenanceEntered", "EnterMaintenance"),
            (Task::Maintenance(Way::Enter), false) => {
                ("MaintenanceEnterFailed", "EnterMaintenance")
            }
            (Task::Maintenance(Way::Leave), true) => ("MaintenanceLeft", "LeaveMaintenance"),
            (Task::Maintenance(Way::Leave), false) => {
                ("MaintenanceLeaveFailed", "LeaveMaintenance")
            }
            (Task::Upgrade, true) => ("UpgradeDone", "Upgrade"),
            (Task::Upgrade, false) => ("UpgradeFailed", "Upgrade"),
        };
        let kind = if done.fine { Kind::Normal } else { Kind::Warning };
        let note = if done.message.is_empty() { "done".to_owned() } else { done.message.clone() };
        Tale { kind, reason, action, note }
    }

    /// An upgrade that was going on when the agent or the host ended: a new boot is what an upgrade
    /// makes, and otherwise nobody can say how far it came. It is not begun again.
    pub(super) fn settle_upgrade(&self) -> Result<()> {
        let Some(upgrade) = self.state.upgrade().filter(|upgrade| upgrade.fine.is_none()) else {
            return Ok(());
        };
        let rebooted = system::boot_id().is_some_and(|boot| boot != upgrade.boot_id);
        let message = if rebooted {
            "the host was rebooted while the hook ran"
        } else {
            "the agent ended while the hook ran: nobody can say how far it came"
        };
        self.state.set_upgrade(&Upgrade {
            fine: Some(rebooted),
            message: message.to_owned(),
            ..upgrade
        })
    }
}

/// Why no run may begin now.
fn hindrance(host: &Host, hook: Option<Task>) -> Option<&'static str> {
    if host.metadata.deletion_timestamp.is_some() {
        return Some("the host is being deleted");
    }
    if host.spec.paused {
        return Some("the host is paused (spec.paused)");
    }
    hook.map(|_| "a hook is running")
}

fn run_tale(status: &AnsibleStatus) -> Tale {
    let (kind, reason, note) = tale(status);
    Tale { kind, reason, action: RUN, note }
}

fn begin(hold: &Hold) -> Timestamp {
    hold.since.0.saturating_sub(CLOCK_SLACK).unwrap_or(Timestamp::MIN)
}

/// When something that failed so often in a row is tried again.
fn again(now: Timestamp, failures: u32) -> Timestamp {
    let pause = (AGAIN.0 << failures.min(8)).min(AGAIN.1);
    now.saturating_add(SignedDuration::from_secs(pause)).unwrap_or(now)
}

/// The time now in whole seconds, as the API writes times.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}
