//! One host: its finalizer is put on, its steps are run, its finalizer is taken off. What is done next
//! follows from the host alone, and is written down against the version that was looked at before it
//! is done; so of two services that both think that they work, one begins a step.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::config::Config;
use super::deed::{Attempt, run};
use super::metrics::Metrics;
use crate::error::{Error, Result, chain};
use crate::model::condition::{self, DELETING};
use crate::model::csr::host_user;
use crate::model::decommission::{
    Act, Outcome, Step, Tiding, Verdict, View, ended, is_kept, judge, story, tidings,
};
use crate::model::diff::{Part, StoredHost, digest};
use crate::model::host::{DecommissionStatus, Host};
use crate::model::labels::FINALIZER;
use crate::model::{GROUP, VERSION};
use crate::store::client::{DEADLINE, DECOMMISSION, call, explain};
use crate::store::event::{Events, Kind, about};
use crate::tasks::execute::stop_at;
use crate::tasks::lifecycle::now;

/// Times in a row that somebody else may be faster.
const CONFLICTS: u32 = 20;
/// Longest wait before the end of a step is written down again.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How a host was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// Nothing is to be done about it.
    Alone,
    /// Something is to be waited for.
    Waiting {
        /// Until when; none: until it changes.
        until: Option<Timestamp>,
        /// A step is soon begun again.
        retry: bool,
    },
}

/// An attempt that has ended and is not written down yet.
struct Ended {
    step: Step,
    attempt: i32,
    outcome: Outcome,
}

/// What is needed for any host.
pub(super) struct Work {
    client: Client,
    namespace: String,
    config: Arc<Config>,
    events: Events,
    metrics: Metrics,
    stop: watch::Receiver<bool>,
}

impl Work {
    pub(super) fn new(
        client: Client,
        namespace: &str,
        config: Arc<Config>,
        events: Events,
        metrics: Metrics,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self { client, namespace: namespace.to_owned(), config, events, metrics, stop }
    }

    fn hosts(&self) -> Api<StoredHost> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    async fn get(&self, name: &str) -> Result<Option<(StoredHost, Host)>> {
        let what = format!("cannot read host \"{name}\"");
        let hosts = self.hosts();
        let stored = call(&what, "get hosts", DEADLINE, hosts.get_opt(name)).await?;
        stored.map(|stored| typed(&stored).map(|host| (stored, host))).transpose()
    }

    /// Puts the finalizer on a host that is there to stay.
    ///
    /// # Errors
    /// What the server said.
    pub(super) async fn mark(&self, name: &str) -> Result<()> {
        for _ in 0..CONFLICTS {
            let Some((_, host)) = self.get(name).await? else { return Ok(()) };
            if host.metadata.deletion_timestamp.is_some() || is_kept(&host) {
                return Ok(());
            }
            let mut all = host.metadata.finalizers.clone().unwrap_or_default();
            all.push(FINALIZER.to_owned());
            if finalizers(&self.hosts(), &host, &all).await?.is_some() {
                self.metrics.marked();
                stop_at("marked");
                return Ok(());
            }
        }
        Err(busy(name))
    }

    /// Does all that can be done now for a host that is being deleted.
    ///
    /// # Errors
    /// What the server said. No end of a step is lost by it: as long as the server does not take it,
    /// it is offered again.
    pub(super) async fn attend(&self, name: &str) -> Result<Left> {
        let mut over: Option<Ended> = None;
        let (mut conflicts, mut wait) = (0, Duration::from_secs(1));
        loop {
            match self.turn(name, &mut over).await {
                Ok(Turn::Left(left)) => return Ok(left),
                Ok(Turn::Again) => (conflicts, wait) = (0, Duration::from_secs(1)),
                Ok(Turn::Conflict) if conflicts < CONFLICTS => conflicts += 1,
                Ok(Turn::Conflict) if over.is_none() => return Err(busy(name)),
                Err(problem) if over.is_none() => return Err(problem),
                unwritten => {
                    let error = unwritten.err().map(|problem| chain(&problem));
                    tracing::warn!(host = name, error, "the end of a step is not written down yet");
                    let jittered = wait.mul_f64(fastrand::f64().mul_add(0.5, 0.5));
                    tokio::time::sleep(jittered).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
            }
        }
    }

    async fn turn(&self, name: &str, over: &mut Option<Ended>) -> Result<Turn> {
        const ALONE: Turn = Turn::Left(Left::Alone);
        let Some((stored, mut host)) = self.get(name).await? else { return Ok(ALONE) };
        if host.metadata.deletion_timestamp.is_none() || !is_kept(&host) {
            return Ok(ALONE);
        }
        let before = record(&host);
        if let (Some(over), Some(old)) = (&*over, &before) {
            let Ended { step, attempt, outcome } = over;
            let new = ended(old, step, *attempt, outcome, now(), fastrand::f64());
            if new.is_none() {
                tracing::warn!(
                    host = name,
                    step = step.name,
                    "another one went on in the meantime"
                );
            }
            host.status.get_or_insert_default().decommission = new.or_else(|| before.clone());
        }
        let chosen = self.config.chosen(&host, now());
        let mut verdict = judge(&View {
            host: &host,
            steps: &self.config.steps,
            chosen: &chosen,
            alert_after: self.config.alert_after,
            now: now(),
        });
        let stopped = *self.stop.borrow() && matches!(verdict.act, Act::Run { .. });
        if stopped {
            // Nothing is begun any more; only what has ended is written down.
            let Some(unbegun) = unbegun(&host, &verdict).filter(|_| over.is_some()) else {
                return Ok(Turn::Left(Left::Waiting { until: None, retry: true }));
            };
            verdict = unbegun;
        }
        let Some(stored) = self.write(name, stored, &host, &verdict).await? else {
            return Ok(Turn::Conflict);
        };
        self.tell(&host, before.as_ref(), &verdict.status).await;
        if over.take().is_some() {
            stop_at("told");
        }
        match verdict.act {
            Act::Wait { until, retry } => Ok(Turn::Left(Left::Waiting { until, retry })),
            Act::Run { step, attempt } => {
                stop_at("recorded");
                *over = self.run(&stored, &host, &step, attempt).await?;
                stop_at("ran");
                Ok(Turn::Again)
            }
            Act::Finish => self.finish(name).await,
        }
    }

    /// Writes the record down unless it stands so already, and gives the host as it is then. None: it
    /// has changed since it was read.
    async fn write(
        &self,
        name: &str,
        stored: StoredHost,
        host: &Host,
        verdict: &Verdict,
    ) -> Result<Option<StoredHost>> {
        let status = json!({ "status": {
            "decommission": verdict.status,
            "conditions": [verdict.condition],
        }});
        if digest(&status) == digest(&stored.owned(DECOMMISSION, Part::Status)) {
            self.metrics.skipped();
            return Ok(Some(stored));
        }
        let mut body = json!({
            "apiVersion": format!("{GROUP}/{VERSION}"),
            "kind": "Host",
            "metadata": {
                "name": name,
                "uid": host.metadata.uid,
                "resourceVersion": host.metadata.resource_version,
            },
        });
        json_patch::merge(&mut body, &status);
        let params = PatchParams::apply(DECOMMISSION).force();
        let hosts = self.hosts();
        let patch = Patch::Apply(&body);
        let request = hosts.patch_status(name, &params, &patch);
        let written = answered(name, "patch hosts/status", request).await?;
        if written.is_some() {
            self.metrics.wrote();
        }
        Ok(written)
    }

    async fn tell(
        &self,
        host: &Host,
        before: Option<&DecommissionStatus>,
        now: &DecommissionStatus,
    ) {
        let name = host.metadata.name.as_deref().unwrap_or_default();
        for tiding in tidings(before, now) {
            let Tiding { warning, reason, action, note } = tiding;
            if warning {
                tracing::warn!(host = name, note, "{reason}");
            } else {
                tracing::info!(host = name, note, "{reason}");
            }
            let kind = if warning { Kind::Warning } else { Kind::Normal };
            self.events.tell(&about(host), kind, reason, &action, &note).await;
        }
    }

    async fn run(
        &self,
        stored: &StoredHost,
        host: &Host,
        name: &str,
        number: i32,
    ) -> Result<Option<Ended>> {
        let Some((step, deed, limit)) = self.config.step(name) else { return Ok(None) };
        let attempt = Attempt { host, object: &object(stored)?, step: name, number, limit };
        let outcome = run(deed, &attempt).await;
        let word = match outcome {
            Outcome::Done(_) => "done",
            Outcome::Failed(_) => "failed",
            Outcome::NotBegun(_) => "not-begun",
        };
        self.metrics.attempt(name, word);
        Ok(Some(Ended { step: step.clone(), attempt: number, outcome }))
    }

    /// Every step is over: the heartbeat goes, then the finalizer.
    async fn finish(&self, name: &str) -> Result<Turn> {
        let Some((_, host)) = self.get(name).await? else { return Ok(Turn::Left(Left::Alone)) };
        let said = record(&host).unwrap_or_default();
        // Whoever changed the host in the meantime may have something against it.
        let chosen: Vec<&str> = said.steps.iter().map(|step| step.name.as_str()).collect();
        let view = View {
            host: &host,
            steps: &self.config.steps,
            chosen: &chosen,
            alert_after: self.config.alert_after,
            now: now(),
        };
        if !is_kept(&host) || judge(&view).act != Act::Finish {
            return Ok(Turn::Conflict);
        }
        self.sweep(name).await?;
        let story = story(&said);
        let note = format!("{story}; the host is let go");
        self.events
            .tell(&about(&host), Kind::Normal, "Decommissioned", "Decommission", &note)
            .await;
        stop_at("swept");
        let mut rest = host.metadata.finalizers.clone().unwrap_or_default();
        rest.retain(|one| one != FINALIZER);
        if finalizers(&self.hosts(), &host, &rest).await?.is_none() {
            return Ok(Turn::Conflict);
        }
        stop_at("removed");
        self.metrics.removed();
        let uid = host.metadata.uid.as_deref().unwrap_or_default();
        let since = said.started_at.map(|at| at.0.to_string()).unwrap_or_default();
        tracing::info!(host = name, uid, since, steps = story, "decommissioned");
        Ok(Turn::Left(Left::Alone))
    }

    /// The heartbeat of the host's agent goes with it.
    async fn sweep(&self, name: &str) -> Result<()> {
        let api: Api<Lease> = Api::namespaced(self.client.clone(), &self.namespace);
        let what = format!("cannot read the lease \"{name}\"");
        let lease = call(&what, "get leases", DEADLINE, api.get_opt(name)).await?;
        let holder = |lease: &Lease| lease.spec.as_ref()?.holder_identity.clone();
        let agent = host_user(&self.namespace, name);
        let Some(lease) = lease.filter(|lease| holder(lease).as_ref() == Some(&agent)) else {
            return Ok(());
        };
        let params = DeleteParams {
            preconditions: Some(Preconditions { uid: lease.metadata.uid, resource_version: None }),
            ..DeleteParams::default()
        };
        let what = format!("cannot delete the lease \"{name}\"");
        match tokio::time::timeout(DEADLINE, api.delete(name, &params)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(kube::Error::Api(status))) if status.is_not_found() || status.is_conflict() => {
                Ok(())
            }
            Ok(Err(cause)) => Err(explain(what, "delete leases", cause)),
            Err(_) => Err(Error::new(format!("{what}: no answer after {} s", DEADLINE.as_secs()))),
        }
    }
}

enum Turn {
    /// It is left so.
    Left(Left),
    /// There is more to do.
    Again,
    /// Somebody else was faster.
    Conflict,
}

fn busy(name: &str) -> Error {
    Error::new(format!("cannot decommission host \"{name}\": others change it all the time"))
}

fn record(host: &Host) -> Option<DecommissionStatus> {
    host.status.as_ref().and_then(|status| status.decommission.clone())
}

/// The record as it is before the next step begins, with the condition that stands there.
fn unbegun(host: &Host, verdict: &Verdict) -> Option<Verdict> {
    let status = host.status.as_ref()?;
    Some(Verdict {
        status: status.decommission.clone()?,
        condition: condition::find(&status.conditions, DELETING)?.clone(),
        act: Act::Wait { until: None, retry: matches!(verdict.act, Act::Run { .. }) },
    })
}

/// The host as a type.
fn typed(stored: &StoredHost) -> Result<Host> {
    let name = stored.metadata.name.as_deref().unwrap_or_default();
    let read = || Host::deserialize(object(stored)?).map_err(|cause| Error::new("").because(cause));
    read()
        .map_err(|cause| Error::new(format!("cannot read host \"{name}\"")).because(chain(&cause)))
}

/// The host as its whole object, without who wrote what.
fn object(stored: &StoredHost) -> Result<Value> {
    let mut metadata = stored.metadata.clone();
    metadata.managed_fields = None;
    let metadata = serde_json::to_value(metadata)
        .map_err(|cause| Error::new("cannot write the host as JSON").because(cause))?;
    let spec = if stored.spec.is_null() { json!({}) } else { stored.spec.clone() };
    let mut object = json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": "Host",
        "metadata": metadata,
        "spec": spec,
    });
    if let Some(map) = object.as_object_mut().filter(|_| !stored.status.is_null()) {
        map.insert("status".to_owned(), stored.status.clone());
    }
    Ok(object)
}

/// Puts this list of finalizers where the host's own list is. None: the host has changed since it was
/// read, or is gone.
///
/// # Errors
/// What the server said.
pub(super) async fn finalizers(
    hosts: &Api<StoredHost>,
    host: &Host,
    list: &[String],
) -> Result<Option<StoredHost>> {
    let name = host.metadata.name.as_deref().unwrap_or_default();
    let old = host.metadata.finalizers.as_ref().filter(|old| !old.is_empty());
    let mut patch = vec![
        json!({"op": "test", "path": "/metadata/uid", "value": host.metadata.uid}),
        json!({"op": "test", "path": "/metadata/resourceVersion", "value": host.metadata.resource_version}),
    ];
    if let Some(old) = old {
        patch.push(json!({"op": "test", "path": "/metadata/finalizers", "value": old}));
    }
    patch.push(match (old, list.is_empty()) {
        (Some(_), true) => json!({"op": "remove", "path": "/metadata/finalizers"}),
        _ => json!({"op": "add", "path": "/metadata/finalizers", "value": list}),
    });
    let patch: json_patch::Patch = serde_json::from_value(Value::Array(patch))
        .map_err(|cause| Error::new("cannot build a patch").because(cause))?;
    let params =
        PatchParams { field_manager: Some(DECOMMISSION.to_owned()), ..PatchParams::default() };
    let patch = Patch::<()>::Json(patch);
    answered(name, "patch hosts", hosts.patch(name, &params, &patch)).await
}

/// The answer; none if the host has changed or is gone.
async fn answered(
    name: &str,
    needs: &str,
    request: impl Future<Output = kube::Result<StoredHost>>,
) -> Result<Option<StoredHost>> {
    let what = format!("cannot write host \"{name}\"");
    match tokio::time::timeout(DEADLINE, request).await {
        Ok(Ok(host)) => Ok(Some(host)),
        Ok(Err(kube::Error::Api(status)))
            // A test of a JSON patch that fails is 422 on a kube-apiserver.
            if status.is_conflict()
                || status.is_not_found()
                || status.code == 422 && needs == "patch hosts" =>
        {
            Ok(None)
        }
        Ok(Err(cause)) => Err(explain(what, needs, cause)),
        Err(_) => Err(Error::new(format!("{what}: no answer after {} s", DEADLINE.as_secs()))),
    }
}
