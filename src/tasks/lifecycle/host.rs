//! One host: what follows for it is written, one request after the other, each against the version
//! that it was worked out from. Whoever changes the host in between makes that fail, and it begins
//! again from what stands there now; so nothing stale is ever written, by whomever.

use std::time::Duration;

use jiff::Timestamp;
use kube::api::{GetParams, Patch, PatchParams};
use kube::core::Request;
use kube::{Client, Resource};
use serde::Deserialize;
use serde_json::{Value, json};

use super::beats::Agent;
use super::metrics::Metrics;
use crate::error::{Error, Result};
use crate::model::condition::{self, AGENT_READY};
use crate::model::diff::{Part, StoredHost, digest};
use crate::model::host::{AnsibleStatus, Hold, Host, HostSpec, HostStatus, Operation};
use crate::model::lifecycle::{self, View};
use crate::model::{GROUP, VERSION};
use crate::store::client::{LIFECYCLE, explain};
use crate::store::event::{Events, Kind, about};
use crate::store::send::{Sender, yaml_safe};

/// Requests for one host in a row, at most: two holds, labels, status, and some conflicts.
const ROUNDS: usize = 24;
/// Longest time for one host, all requests together.
const DEADLINE: Duration = Duration::from_mins(2);

/// Where to begin.
pub(super) enum From {
    /// With the object as the watch brought it.
    Stored(Box<StoredHost>),
    /// With a question.
    Ask,
}

/// What is known about a host beside its object.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// How its agent is, by its Lease.
    pub(super) agent: Option<Agent>,
    /// What was decided about its certificate requests.
    pub(super) decisions: Vec<Operation>,
}

/// The next request for a host.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Next {
    /// Nothing is to be written.
    Nothing,
    /// A hold ran out.
    End(String, Hold),
    /// A run was canceled before anybody began it.
    Cancel(Box<AnsibleStatus>),
    /// Our labels.
    Main(Value),
    /// Our part of the status.
    Status(Value),
}

/// What is to be done about a host as it stands.
pub(super) fn next(stored: &StoredHost, host: &Host, facts: &Facts, now: Timestamp) -> Next {
    if host.metadata.deletion_timestamp.is_none() {
        if let Some((holder, hold)) = lifecycle::run_out(host, now).next() {
            return Next::End(holder.to_owned(), hold.clone());
        }
        if let Some(run) = lifecycle::canceled(host, now) {
            return Next::Cancel(Box::new(run));
        }
    }
    let agent = facts.agent.map(|agent| match agent {
        Agent::Fresh => true,
        Agent::Stale => false,
        Agent::Doubt => !said_silent(host),
    });
    let view = View { host, agent, decisions: &facts.decisions, now };
    let derived = lifecycle::derive(&view);
    // What our manager owns is compared, not what stands there: a field that somebody else took
    // becomes ours again, and one that we gave up but another keeps is no reason to write.
    let main = derived.main();
    if digest(&main) != digest(&without_spec(stored.owned(LIFECYCLE, Part::Main))) {
        return Next::Main(main);
    }
    let status = derived.status();
    if digest(&status) != digest(&stored.owned(LIFECYCLE, Part::Status)) {
        return Next::Status(status);
    }
    Next::Nothing
}

/// Its agent was said not to be ready.
fn said_silent(host: &Host) -> bool {
    let status = host.status.as_ref();
    let said = status.and_then(|status| condition::find(&status.conditions, AGENT_READY));
    said.is_some_and(|said| said.status == condition::FALSE)
}

fn without_spec(mut owned: Value) -> Value {
    if let Some(map) = owned.as_object_mut() {
        map.remove("spec");
    }
    owned
}

/// The host as a type.
///
/// # Errors
/// A value in it that this version cannot read.
pub(super) fn read(stored: &StoredHost) -> Result<Host> {
    let name = stored.metadata.name.as_deref().unwrap_or_default();
    let fail = |cause| Error::new(format!("cannot read host \"{name}\"")).because(cause);
    let spec = match &stored.spec {
        Value::Null => HostSpec::default(),
        spec => HostSpec::deserialize(spec).map_err(fail)?,
    };
    let status = match &stored.status {
        Value::Null => None,
        status => Some(HostStatus::deserialize(status).map_err(fail)?),
    };
    let old = &stored.metadata;
    let metadata = kube::api::ObjectMeta {
        name: old.name.clone(),
        namespace: old.namespace.clone(),
        uid: old.uid.clone(),
        resource_version: old.resource_version.clone(),
        generation: old.generation,
        labels: old.labels.clone(),
        deletion_timestamp: old.deletion_timestamp.clone(),
        ..kube::api::ObjectMeta::default()
    };
    Ok(Host { metadata, spec, status })
}

/// Writes what is to be written about hosts.
pub(super) struct Hosts {
    sender: Sender,
    request: Request,
    events: Events,
    metrics: Metrics,
}

impl Hosts {
    pub(super) fn new(client: Client, namespace: &str, events: Events, metrics: Metrics) -> Self {
        let request = Request::new(StoredHost::url_path(&(), Some(namespace)));
        Self { sender: Sender::new(client), request, events, metrics }
    }

    /// Does all that is to be done about a host, and gives it as it stands then. None: it is gone.
    ///
    /// # Errors
    /// What the server said, or that the host keeps changing.
    pub(super) async fn settle(
        &self,
        name: &str,
        from: From,
        facts: Facts,
    ) -> Result<Option<Box<StoredHost>>> {
        let work = self.rounds(name, from, facts);
        match tokio::time::timeout(DEADLINE, work).await {
            Ok(done) => done.map(|host| host.map(Box::new)),
            Err(_) => Err(Error::new(format!(
                "cannot settle host \"{name}\": not done after {} s",
                DEADLINE.as_secs()
            ))),
        }
    }

    async fn rounds(&self, name: &str, from: From, facts: Facts) -> Result<Option<StoredHost>> {
        let mut stored = match from {
            From::Stored(stored) => *stored,
            From::Ask => match self.get(name).await? {
                Some(stored) => stored,
                None => return Ok(None),
            },
        };
        for _ in 0..ROUNDS {
            let host = read(&stored)?;
            let next = next(&stored, &host, &facts, super::now());
            if next == Next::Nothing {
                return Ok(Some(stored));
            }
            let (needs, what) = match &next {
                Next::Status(_) | Next::Cancel(_) => ("patch hosts/status", "status"),
                _ => ("patch hosts", "host"),
            };
            let answer = self.send(name, &host, &next).await;
            self.metrics.write(what, answer.is_ok());
            stored = match answer {
                Ok(answer) => {
                    self.tell(&host, &next).await;
                    answer
                }
                Err(kube::Error::Api(status)) if status.is_conflict() => {
                    match self.get(name).await? {
                        Some(newer) => newer,
                        None => return Ok(None),
                    }
                }
                Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(None),
                Err(cause) => {
                    return Err(explain(format!("cannot write host \"{name}\""), needs, cause));
                }
            };
        }
        Err(Error::new(format!("cannot settle host \"{name}\": others change it all the time")))
    }

    async fn send(&self, name: &str, host: &Host, next: &Next) -> kube::Result<StoredHost> {
        let metadata = json!({
            "name": name,
            "uid": host.metadata.uid,
            "resourceVersion": host.metadata.resource_version,
        });
        let merge =
            PatchParams { field_manager: Some(LIFECYCLE.to_owned()), ..PatchParams::default() };
        let apply = PatchParams::apply(LIFECYCLE).force();
        let with = |mut body: Value, whole: bool| {
            let labels = body.pointer_mut("/metadata/labels").map(Value::take);
            let mut metadata = metadata.clone();
            if let (Some(map), Some(labels)) = (metadata.as_object_mut(), labels) {
                map.insert("labels".to_owned(), labels);
            }
            if let Some(map) = body.as_object_mut() {
                map.insert("metadata".to_owned(), metadata);
                if whole {
                    map.insert("apiVersion".to_owned(), json!(format!("{GROUP}/{VERSION}")));
                    map.insert("kind".to_owned(), json!("Host"));
                }
            }
            body
        };
        let request = match next {
            Next::Nothing => self.request.get(name, &GetParams::default()),
            Next::End(holder, _) => {
                let body = json!({ "spec": { "maintenance": { holder: null } } });
                self.request.patch(name, &merge, &Patch::Merge(with(body, false)))
            }
            Next::Cancel(run) => {
                let body = with(lifecycle::canceled_patch(host, run), false);
                self.request.patch_subresource("status", name, &merge, &Patch::Merge(body))
            }
            Next::Main(body) => {
                self.request.patch(name, &apply, &Patch::Apply(with(body.clone(), true)))
            }
            Next::Status(body) => {
                let body = with(body.clone(), true);
                self.request.patch_subresource("status", name, &apply, &Patch::Apply(body))
            }
        };
        let request = request.map_err(kube::Error::BuildRequest)?.map(yaml_safe);
        self.sender.send(request).await.map(|(host, _)| host)
    }

    async fn tell(&self, host: &Host, next: &Next) {
        let name = host.metadata.name.as_deref().unwrap_or_default();
        match next {
            Next::End(holder, hold) => {
                self.metrics.ended();
                tracing::info!(host = name, holder, until = %hold.until.0, "hold ended: it ran out");
                let note = format!("the hold of {holder} ran out: {}", hold.reason);
                let (reason, action) = ("MaintenanceEnded", "EndMaintenance");
                self.events.tell(&about(host), Kind::Normal, reason, action, &note).await;
            }
            Next::Cancel(run) => {
                tracing::info!(host = name, request = run.request_id, "run canceled");
                let note = format!("run {} was canceled before it began", run.request_id);
                self.events.tell(&about(host), Kind::Normal, "RunCanceled", "Cancel", &note).await;
            }
            _ => {}
        }
    }

    /// Warns of the end of a hold.
    pub(super) async fn warn(&self, host: &Host, holder: &str, until: Timestamp) {
        let note =
            format!("the hold of {holder} ends at {until}; make it longer if the work goes on");
        let (reason, action) = ("MaintenanceEndsSoon", "Warn");
        self.events.tell(&about(host), Kind::Warning, reason, action, &note).await;
    }

    /// Reads a host; none: there is no such host.
    ///
    /// # Errors
    /// What the server said.
    pub(super) async fn get(&self, name: &str) -> Result<Option<StoredHost>> {
        let request = self
            .request
            .get(name, &GetParams::default())
            .map_err(|cause| Error::new("cannot build a request").because(cause))?;
        match self.sender.send(request).await {
            Ok((host, _)) => Ok(Some(host)),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(None),
            Err(cause) => Err(explain(format!("cannot read host \"{name}\""), "get hosts", cause)),
        }
    }
}
