//! One of several: a Lease says who works.
//!
//! As client-go does it: the Lease lasts 15 s, its holder renews it every 2 s and stops when it
//! could not for 10 s, so that its work has ended before another one may begin. Whoever waits goes
//! by the time since it last *saw* the Lease change, not by the times in it: clocks differ. Every
//! write carries the version that was read, so of two that grab it at once one fails.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Client;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::error::{Error, Result, chain};
use crate::store::client::explain;

/// How long a Lease lasts without being renewed, in seconds.
const DURATION: i32 = 15;
/// How long its holder works without having renewed it.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// Time between two tries to get or renew it.
const RETRY: Duration = Duration::from_secs(2);
/// Longest wait for one answer: two tries must fit into the deadline.
const ANSWER: Duration = Duration::from_secs(4);
/// How long a single pass waits for its turn: a Lease that nobody renews lapses in that time.
pub const TURN: Duration = Duration::from_secs(20);
/// Longest identity that is written.
const MAX_IDENTITY: usize = 128;

/// A Lease that one of several programs holds.
pub struct Leadership {
    api: Api<Lease>,
    name: String,
    identity: String,
    manager: &'static str,
    /// The Lease as it was last seen, and since when it has been so.
    seen: Option<(Lease, Instant)>,
    term: Term,
}

/// Whether a Lease is ours, and until when. A clone tells of the same Lease. Whoever writes under it
/// looks right before each request, so that a process that stood still for a while sends nothing on
/// behalf of a Lease that another one may have by now.
#[derive(Clone, Debug, Default)]
pub struct Term(Arc<Mutex<Standing>>);

#[derive(Clone, Copy, Debug, Default)]
enum Standing {
    /// The server has not told yet, or we gave it back.
    #[default]
    Unknown,
    Ours {
        until: Instant,
    },
    Others,
}

impl Term {
    /// Whether the Lease is held, and was renewed so lately that nobody else can have it.
    pub fn lasts(&self) -> bool {
        self.until().is_some_and(|until| Instant::now() < until)
    }

    /// Whether another one held it when we looked last.
    pub fn is_others(&self) -> bool {
        matches!(self.standing(), Standing::Others)
    }

    fn until(&self) -> Option<Instant> {
        match self.standing() {
            Standing::Ours { until } => Some(until),
            Standing::Unknown | Standing::Others => None,
        }
    }

    fn standing(&self) -> Standing {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, standing: Standing) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = standing;
    }
}

/// Who holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Holder {
    We,
    Another(String),
}

impl Leadership {
    /// A Lease of this name. Every program that takes part has an identity of its own.
    pub fn new(client: Client, namespace: &str, name: &str, manager: &'static str) -> Self {
        let identity = format!("{}_{}", machine(), uuid::Uuid::new_v4());
        let api = Api::namespaced(client, namespace);
        Self { api, name: name.to_owned(), identity, manager, seen: None, term: Term::default() }
    }

    /// Under which name it is held.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Whether it is held, and until when.
    pub fn term(&self) -> Term {
        self.term.clone()
    }

    /// Waits until the Lease is ours, at most `patience` long. Failures are logged and tried again.
    /// Gives who holds it instead when the time is over.
    ///
    /// # Errors
    /// With a limit to its patience: what the server said last.
    pub async fn acquire(&mut self, patience: Option<Duration>) -> Result<Option<String>> {
        let began = Instant::now();
        let mut told = None;
        loop {
            let held_by = self.try_once().await;
            let over = patience.is_some_and(|patience| began.elapsed() >= patience);
            match held_by {
                Ok(Holder::We) => return Ok(None),
                Ok(Holder::Another(name)) if over => return Ok(Some(name)),
                Ok(Holder::Another(name)) => {
                    if told.as_ref() != Some(&name) {
                        tracing::info!(
                            lease = self.name,
                            holder = name,
                            "another one works; waits"
                        );
                        told = Some(name);
                    }
                }
                Err(problem) if over => return Err(problem),
                Err(problem) => {
                    tracing::warn!(lease = self.name, error = chain(&problem), "cannot get it yet");
                }
            }
            let jitter = fastrand::f64().mul_add(0.2, 1.0);
            tokio::time::sleep(RETRY.mul_f64(jitter)).await;
        }
    }

    /// Renews the Lease until it is lost, and says why. Drop the work at once then.
    pub async fn keep(&mut self) -> Error {
        let lost = |why: &str| Error::new(why.to_owned()).hint("another one takes over");
        loop {
            tokio::time::sleep(RETRY).await;
            let left = self.term.until().map(|until| until.duration_since(Instant::now()));
            match tokio::time::timeout(left.unwrap_or_default(), self.try_once()).await {
                Ok(Ok(Holder::We)) => {}
                Ok(Ok(Holder::Another(name))) => {
                    return lost("the lease is lost").because(format!("\"{name}\" holds it"));
                }
                Ok(Err(problem)) if self.term.lasts() => {
                    tracing::warn!(lease = self.name, error = chain(&problem), "not renewed");
                }
                Ok(Err(_)) | Err(_) => {
                    return lost("the lease could not be renewed in time, so the work stops");
                }
            }
        }
    }

    /// Gives the Lease back, so that another one may begin at once. What fails is left to time.
    pub async fn release(&mut self) {
        self.term.set(Standing::Unknown);
        let Some((lease, _)) = &self.seen else { return };
        if holder(lease) != Some(&self.identity) {
            return;
        }
        let spec = json!({
            "holderIdentity": "",
            "leaseDurationSeconds": 1,
            "renewTime": MicroTime(Timestamp::now()),
        });
        if let Err(problem) = self.patch(&lease.clone(), spec).await {
            tracing::debug!(lease = self.name, error = chain(&problem), "not given back");
        }
        self.seen = None;
    }

    /// Looks at the Lease; takes or renews it if that is ours to do.
    async fn try_once(&mut self) -> Result<Holder> {
        let asked = Instant::now();
        let holder = self.look().await?;
        self.term.set(match holder {
            Holder::We => Standing::Ours { until: asked + RENEW_DEADLINE },
            Holder::Another(_) => Standing::Others,
        });
        Ok(holder)
    }

    async fn look(&mut self) -> Result<Holder> {
        let what = format!("cannot read the lease \"{}\"", self.name);
        let found = within(&what, "get leases", self.api.get_opt(&self.name)).await?;
        let Some(lease) = found else {
            return self.create().await;
        };
        let known =
            self.seen.as_ref().filter(|(old, _)| same(old, &lease)).map(|(_, since)| *since);
        let since = known.unwrap_or_else(Instant::now);
        self.seen = Some((lease.clone(), since));
        let ours = holder(&lease) == Some(&self.identity);
        if let Some(other) = holder(&lease).filter(|_| !ours && !lapsed(&lease, since)) {
            return Ok(Holder::Another(other.to_owned()));
        }
        let now = MicroTime(Timestamp::now());
        let mut spec = json!({
            "holderIdentity": self.identity,
            "leaseDurationSeconds": DURATION,
            "renewTime": now,
        });
        if let Some(map) = spec.as_object_mut().filter(|_| !ours) {
            let times = lease.spec.as_ref().and_then(|s| s.lease_transitions).unwrap_or(0);
            map.insert("acquireTime".to_owned(), json!(now));
            map.insert("leaseTransitions".to_owned(), json!(times.saturating_add(1)));
        }
        match self.patch(&lease, spec).await? {
            Some(lease) => {
                self.seen = Some((lease, Instant::now()));
                Ok(Holder::We)
            }
            None => Ok(Holder::Another("somebody who was faster".to_owned())),
        }
    }

    async fn create(&mut self) -> Result<Holder> {
        let now = MicroTime(Timestamp::now());
        let lease = Lease {
            metadata: ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.identity.clone()),
                lease_duration_seconds: Some(DURATION),
                acquire_time: Some(now.clone()),
                renew_time: Some(now),
                lease_transitions: Some(0),
                ..LeaseSpec::default()
            }),
        };
        let params =
            PostParams { field_manager: Some(self.manager.to_owned()), ..PostParams::default() };
        let request = self.api.create(&params, &lease);
        match tokio::time::timeout(ANSWER, request).await {
            Ok(Ok(lease)) => {
                self.seen = Some((lease, Instant::now()));
                Ok(Holder::We)
            }
            Ok(Err(kube::Error::Api(status))) if status.is_already_exists() => {
                Ok(Holder::Another("somebody who was faster".to_owned()))
            }
            Ok(Err(cause)) => {
                let what = format!("cannot make the lease \"{}\"", self.name);
                Err(explain(what, "create leases", cause))
            }
            Err(_) => Err(silent(&format!("cannot make the lease \"{}\"", self.name))),
        }
    }

    /// The Lease after the change; none if somebody was faster.
    async fn patch(&self, lease: &Lease, spec: Value) -> Result<Option<Lease>> {
        let version = lease.metadata.resource_version.as_deref();
        let body =
            Patch::Merge(json!({ "metadata": { "resourceVersion": version }, "spec": spec }));
        let params =
            PatchParams { field_manager: Some(self.manager.to_owned()), ..PatchParams::default() };
        let what = format!("cannot write the lease \"{}\"", self.name);
        match tokio::time::timeout(ANSWER, self.api.patch(&self.name, &params, &body)).await {
            Ok(Ok(lease)) => Ok(Some(lease)),
            Ok(Err(kube::Error::Api(status))) if status.is_conflict() => Ok(None),
            Ok(Err(cause)) => Err(explain(what, "patch leases", cause)),
            Err(_) => Err(silent(&what)),
        }
    }
}

/// Waits for the Lease and works while it is held, again and again, until `stop` becomes true.
/// `work` is dropped when the Lease is lost; `told` hears whether it is held.
pub async fn lead<F: Future<Output = ()>>(
    leadership: &mut Leadership,
    mut stop: watch::Receiver<bool>,
    told: impl Fn(bool),
    work: impl Fn() -> F,
) {
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            _ = leadership.acquire(None) => {}
        }
        tracing::info!(lease = leadership.name, identity = leadership.identity, "leads");
        told(true);
        let lost = tokio::select! {
            biased;
            lost = leadership.keep() => Some(lost),
            () = work() => None,
        };
        told(false);
        let Some(lost) = lost else {
            leadership.release().await;
            return;
        };
        tracing::warn!(error = chain(&lost), "does not lead any more");
    }
}

/// Nobody holds it, or its time is over since it was last seen to change.
fn lapsed(lease: &Lease, since: Instant) -> bool {
    let spec = lease.spec.as_ref();
    let seconds = spec.and_then(|spec| spec.lease_duration_seconds).unwrap_or(DURATION);
    since.elapsed() >= Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

fn holder(lease: &Lease) -> Option<&str> {
    let holder = lease.spec.as_ref()?.holder_identity.as_deref();
    holder.filter(|holder| !holder.is_empty())
}

fn same(a: &Lease, b: &Lease) -> bool {
    a.metadata.uid == b.metadata.uid && a.spec == b.spec
}

async fn within<T>(
    what: &str,
    needs: &str,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T> {
    match tokio::time::timeout(ANSWER, request).await {
        Ok(answer) => answer.map_err(|cause| explain(what, needs, cause)),
        Err(_) => Err(silent(what)),
    }
}

fn silent(what: &str) -> Error {
    Error::new(format!("{what}: no answer after {} s", ANSWER.as_secs()))
}

/// Name of this machine, for people who look at the Lease.
fn machine() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok())
        .unwrap_or_default();
    let legal = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let name: String = name.trim().chars().filter(legal).take(MAX_IDENTITY - 37).collect();
    if name.is_empty() { "inv-tui".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_ends_by_itself_and_with_the_lease() {
        let term = Term::default();
        let seen = term.clone();
        assert!(!seen.lasts() && !seen.is_others());
        term.set(Standing::Ours { until: Instant::now() + RENEW_DEADLINE });
        assert!(seen.lasts());
        term.set(Standing::Ours { until: Instant::now() });
        assert!(!seen.lasts() && !seen.is_others(), "nobody renewed it in time");
        term.set(Standing::Others);
        assert!(!seen.lasts() && seen.is_others());
    }
}
