//! The runs of one host: from a request to the report of its end.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::config::RunnerConfig;
use super::metrics::Metrics;
use crate::error::{Error, Result, chain};
use crate::model::condition::{CONVERGED, condition, find};
use crate::model::host::{AnsibleStatus, Host, RunState};
use crate::model::{GROUP, VERSION};
use crate::store::client::{DEADLINE, RUNNER, call, explain};
use crate::store::event::{Events, about};
use crate::tasks::execute::tale::{RUN, converged, tale};
use crate::tasks::execute::{Driver, Next};

/// Between two looks while a run goes on, and so between two reports of its progress.
const BUSY: Duration = Duration::from_secs(2);
/// First and longest pause after the server could not be asked.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// What the runs of all hosts share.
pub(super) struct Work {
    pub(super) client: Client,
    pub(super) namespace: String,
    pub(super) config: RunnerConfig,
    /// One permit for each run that may go on.
    pub(super) places: Arc<Semaphore>,
    /// How many there are.
    pub(super) at_once: usize,
    /// Whether runs may be begun.
    pub(super) leading: watch::Receiver<bool>,
    pub(super) metrics: Metrics,
    pub(super) events: Events,
}

/// The Host as it was last seen; none: it is gone.
pub(super) type Seen = Option<Arc<Host>>;

/// What came of a write.
enum Sent {
    Done(Arc<Host>),
    /// The host has changed since it was read.
    Conflict,
    Gone,
}

impl Work {
    fn api(&self) -> Api<Host> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Reads a host.
    pub(super) async fn read(&self, name: &str) -> Result<Seen> {
        let what = format!("cannot read \"{name}\"");
        let host = call(&what, "get hosts", DEADLINE, self.api().get_opt(name)).await?;
        Ok(host.map(Arc::new))
    }

    /// Does what the host asks for until there is nothing left to do. `seen` tells each change of
    /// the host; it begins with the host as it is. What the server does not take is tried again for
    /// ever: a run that has been begun is reported some day. Dropping this ends no run. Gives what
    /// was told last of the host and has been looked at.
    pub(super) async fn attend(
        &self,
        name: &str,
        mut driver: Driver,
        mut seen: watch::Receiver<Seen>,
    ) -> Seen {
        let mut host = seen.borrow_and_update().clone();
        // A run that goes on has its place already, even if there are more of them than places.
        let mut place = driver.busy().then(|| Place::of(self, None));
        let mut pause = AGAIN.0;
        loop {
            let looked_at = seen.borrow_and_update().clone();
            host = newest(host, looked_at.clone());
            let Some(now_host) = host.clone() else {
                if !Self::without_host(name, &mut driver) {
                    return looked_at;
                }
                tokio::time::sleep(BUSY).await;
                continue;
            };
            if place.is_none() {
                let permit = Arc::clone(&self.places).try_acquire_owned().ok();
                place = permit.map(|permit| Place::of(self, Some(permit)));
            }
            let hindrance = self.hindrance(&now_host, place.is_some());
            let step = self.step(&mut driver, &now_host, hindrance.as_deref()).await;
            match step {
                Ok(Step::Over) if place.is_some() => return looked_at,
                Ok(Step::Over) => {
                    // It waits, and the server knows: for a place, or for a change.
                    if self.waits_for_place(&now_host) {
                        tokio::select! {
                            permit = Arc::clone(&self.places).acquire_owned() => {
                                place = permit.ok().map(|permit| Place::of(self, Some(permit)));
                            }
                            () = changed(&mut seen) => {}
                        }
                    } else {
                        return looked_at;
                    }
                }
                Ok(Step::Next(new)) => {
                    pause = AGAIN.0;
                    host = Some(new);
                }
                Ok(Step::Goes) => {
                    pause = AGAIN.0;
                    tokio::time::sleep(BUSY).await;
                }
                Ok(Step::Reread) => match self.read(name).await {
                    // The server's own word counts, whatever was seen before.
                    Ok(read) => host = read,
                    Err(error) => self.later(name, &error, &mut pause).await,
                },
                Err(error) => {
                    self.later(name, &error, &mut pause).await;
                    if let Ok(read) = self.read(name).await {
                        host = read;
                    }
                }
            }
        }
    }

    /// One step of the host's run.
    async fn step(
        &self,
        driver: &mut Driver,
        host: &Arc<Host>,
        hindrance: Option<&str>,
    ) -> Result<Step> {
        match driver.next(host, hindrance, now()) {
            Next::Rest if driver.busy() => Ok(Step::Goes),
            Next::Rest => Ok(Step::Over),
            Next::Tell { status, .. } => {
                if superseded(host, &status) {
                    driver.told(&status);
                    return Ok(if driver.busy() { Step::Goes } else { Step::Over });
                }
                if told(host) == Some(&*status) {
                    driver.told(&status);
                    let over = status.state.is_final();
                    return Ok(if over { Step::Next(Arc::clone(host)) } else { Step::Goes });
                }
                let fresh = told(host).is_none_or(|told| {
                    told.request_id != status.request_id || told.state != status.state
                });
                match self.send(host, &status).await? {
                    Sent::Conflict => Ok(Step::Reread),
                    // The watch will say so too.
                    Sent::Gone => Ok(Step::Goes),
                    Sent::Done(new) => {
                        driver.told(&status);
                        if fresh {
                            self.tell(&new, &status).await;
                        }
                        if status.state.is_final() {
                            self.metrics.ended(status.state);
                        }
                        // A run that goes on is told of every two seconds, not as fast as it can be.
                        Ok(if driver.busy() { Step::Goes } else { Step::Next(new) })
                    }
                }
            }
            Next::Claim(_) if !*self.leading.borrow() => Ok(Step::Over),
            Next::Claim(status) => {
                driver.claiming(host, &status)?;
                match self.send(host, &status).await? {
                    Sent::Conflict => Ok(Step::Reread),
                    Sent::Gone => Ok(Step::Goes),
                    Sent::Done(new) => {
                        self.tell(&new, &status).await;
                        Ok(Step::Next(new))
                    }
                }
            }
            Next::Launch => {
                let reach = self.config.ssh.reach(host).ok_or_else(|| {
                    Error::new(format!("\"{}\" has lost its address", name_of(host)))
                })?;
                driver.launch(host, &reach, now())?;
                Ok(Step::Goes)
            }
        }
    }

    /// A host that is gone: a run that goes on is followed to its end, of which nobody is told.
    fn without_host(name: &str, driver: &mut Driver) -> bool {
        let nobody = Host::new(name, crate::model::host::HostSpec::default());
        if let Next::Tell { status, .. } = driver.next(&nobody, None, now()) {
            driver.told(&status);
        }
        driver.busy()
    }

    /// Why no run may begin now.
    fn hindrance(&self, host: &Host, place: bool) -> Option<String> {
        if host.metadata.deletion_timestamp.is_some() {
            return Some("the host is being deleted".to_owned());
        }
        if host.spec.paused {
            return Some("the host is paused (spec.paused)".to_owned());
        }
        if self.config.ssh.reach(host).is_none() {
            return Some("the host has no address to reach it at".to_owned());
        }
        (!place).then(|| format!("waits for one of {} places of the runner", self.at_once))
    }

    fn waits_for_place(&self, host: &Host) -> bool {
        self.hindrance(host, true).is_none()
    }

    /// Writes the run into the status of the host, against the version that was read.
    async fn send(&self, host: &Host, run: &AnsibleStatus) -> Result<Sent> {
        let name = name_of(host);
        let status = host.status.as_ref();
        let old = status.and_then(|status| find(&status.conditions, CONVERGED));
        let converged = match converged(host, run) {
            Some((is, reason)) => Some(condition(old, CONVERGED, is, reason, "", now())),
            None => old.cloned(),
        };
        let conditions: Vec<_> = converged.into_iter().collect();
        let body = json!({
            "apiVersion": format!("{GROUP}/{VERSION}"),
            "kind": "Host",
            "metadata": {"name": name, "resourceVersion": host.metadata.resource_version},
            "status": {"ansible": run, "conditions": conditions},
        });
        let params = PatchParams::apply(RUNNER).force();
        let api = self.api();
        let patch = Patch::Apply(&body);
        let request = api.patch_status(name, &params, &patch);
        match tokio::time::timeout(DEADLINE, request).await {
            Ok(Ok(host)) => Ok(Sent::Done(Arc::new(host))),
            Ok(Err(kube::Error::Api(status))) if status.is_conflict() => Ok(Sent::Conflict),
            Ok(Err(kube::Error::Api(status))) if status.is_not_found() => Ok(Sent::Gone),
            Ok(Err(cause)) => {
                let what = format!("cannot report about \"{name}\"");
                Err(explain(what, "patch hosts/status", cause))
            }
            Err(_) => Err(Error::new(format!(
                "cannot report about \"{name}\": no answer after {} s",
                DEADLINE.as_secs()
            ))),
        }
    }

    /// Ends a run whose runner is gone: nobody can say any more how it went. False: the host has
    /// changed since it was read.
    ///
    /// # Errors
    /// What the server said.
    pub(super) async fn give_up(&self, host: &Arc<Host>) -> Result<bool> {
        let Some(run) = told(host) else { return Ok(true) };
        let who = run.executor.as_deref().unwrap_or("its runner");
        let run = AnsibleStatus {
            state: RunState::Unknown,
            finished_at: Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now())),
            message: Some(format!("{who} is gone: nobody can say how the run went")),
            ..run.clone()
        };
        match self.send(host, &run).await? {
            Sent::Done(new) => {
                self.tell(&new, &run).await;
                self.metrics.ended(run.state);
                Ok(true)
            }
            Sent::Conflict => Ok(false),
            Sent::Gone => Ok(true),
        }
    }

    async fn later(&self, name: &str, error: &Error, pause: &mut Duration) {
        tracing::warn!(host = name, error = chain(error), hint = error.next_step(), "tries again");
        tokio::time::sleep(pause.mul_f64(fastrand::f64().mul_add(0.5, 0.5))).await;
        *pause = (*pause * 2).min(AGAIN.1);
    }

    async fn tell(&self, host: &Host, run: &AnsibleStatus) {
        let (kind, reason, note) = tale(run);
        tracing::info!(host = name_of(host), reason, "{}", crate::model::text::clean(&note));
        self.events.tell(&about(host), kind, reason, RUN, &note).await;
    }
}

/// What is to be done after a step.
enum Step {
    /// Nothing: the host wants nothing, or waits.
    Over,
    /// The next step at once, with the host as it is now.
    Next(Arc<Host>),
    /// The run goes on: look again in a while.
    Goes,
    /// The host has changed: read it first.
    Reread,
}

/// A place in which a run goes on, and counts.
struct Place {
    _permit: Option<OwnedSemaphorePermit>,
    _running: super::metrics::Running,
}

impl Place {
    fn of(work: &Work, permit: Option<OwnedSemaphorePermit>) -> Self {
        Self { _permit: permit, _running: work.metrics.running() }
    }
}

/// The next change of the host. Of one that nobody follows any more there is none.
async fn changed(seen: &mut watch::Receiver<Seen>) {
    if seen.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// The later one of what a write answered and what the watch told.
fn newest(known: Seen, told: Seen) -> Seen {
    let version = |host: &Host| {
        host.metadata.resource_version.as_deref().and_then(|text| text.parse::<u64>().ok())
    };
    match (known, told) {
        (Some(known), Some(told)) => {
            let same = known.metadata.uid == told.metadata.uid;
            let older = version(&told) < version(&known);
            Some(if same && older { known } else { told })
        }
        (_, told) => told,
    }
}

fn told(host: &Host) -> Option<&AnsibleStatus> {
    host.status.as_ref()?.ansible.as_ref()
}

fn name_of(host: &Host) -> &str {
    host.metadata.name.as_deref().unwrap_or_default()
}

/// Whether what the server has about runs must not be replaced by this: somebody else is running
/// another request, or has said of this one how it ended.
fn superseded(host: &Host, run: &AnsibleStatus) -> bool {
    let Some(told) = told(host) else { return false };
    if told.request_id == run.request_id {
        return told.state.is_final() && told.executor != run.executor
            || told.state == RunState::Unknown && run.state != RunState::Unknown;
    }
    let asked = host.spec.ansible.as_ref().is_some_and(|r| r.request_id == run.request_id);
    !asked && told.executor != run.executor && told.state == RunState::Running
}

/// The time now in whole seconds, as the API writes times.
pub(super) fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(id: &str, state: &str, executor: &str) -> AnsibleStatus {
        serde_json::from_value(json!({"requestID": id, "state": state, "executor": executor}))
            .unwrap()
    }

    fn host(asks: &str, told: Option<AnsibleStatus>) -> Host {
        let spec = json!({"ansible": {"requestID": asks, "playbook": "p.yml"}});
        let mut host = Host::new("h", serde_json::from_value(spec).unwrap());
        host.status.get_or_insert_default().ansible = told;
        host
    }

    #[test]
    fn nobody_elses_word_is_replaced() {
        let ours = run("a", "Succeeded", "we");
        for (asks, told, expected) in [
            ("a", None, false),
            ("a", Some(run("a", "Running", "we")), false),
            ("a", Some(run("a", "Unknown", "we")), true),
            ("a", Some(run("a", "Canceled", "lifecycle")), true),
            ("b", Some(run("a", "Running", "we")), false),
            ("b", Some(run("b", "Running", "agent")), true),
            ("b", Some(run("b", "Running", "we")), false),
            ("a", Some(run("b", "Succeeded", "agent")), false),
        ] {
            assert_eq!(superseded(&host(asks, told.clone()), &ours), expected, "{asks} {told:?}");
        }
    }

    #[test]
    fn the_later_one_of_two_counts() {
        let at = |uid: &str, version: &str| {
            let mut host = host("a", None);
            host.metadata.uid = Some(uid.to_owned());
            host.metadata.resource_version = Some(version.to_owned());
            Some(Arc::new(host))
        };
        let version = |seen: Seen| seen.unwrap().metadata.resource_version.clone().unwrap();
        assert_eq!(version(newest(at("u", "10"), at("u", "9"))), "10");
        assert_eq!(version(newest(at("u", "10"), at("u", "11"))), "11");
        assert_eq!(version(newest(at("u", "10"), at("v", "9"))), "9", "another object");
        assert!(newest(at("u", "10"), None).is_none());
    }
}
