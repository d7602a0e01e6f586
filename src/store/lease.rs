//! One of several: a Lease says who works.
//!
//! As client-go does it: the Lease lasts 15 s, its holder renews it every 2 s and stops when it
//! could not for 10 s, so that its work has ended before another one may begin. Whoever waits goes
//! by the time since it last *saw* the Lease change, not by the times in it: clocks differ. Every
//! write carries the version that was read, so of two that grab it at once one fails.

use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Client;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::error::{Error, Result, chain};
use crate::store::client::explain;

/// Variable of the environment by which a test on a busy machine makes all these times longer, so many
/// times.
const LONGER: &str = "INV_TUI_LEASE_TIMES";
/// How long a Lease lasts without being renewed, in seconds.
const DURATION: u64 = 15;
/// How long its holder works without having renewed it, in seconds.
const RENEW_DEADLINE: u64 = 10;
/// Time between two tries to get or renew it.
const RETRY: Duration = Duration::from_secs(2);
/// Longest wait for one answer, in seconds: two tries must fit into the deadline.
const ANSWER: u64 = 4;
/// How long a single pass waits for its turn, in seconds: a Lease that nobody renews lapses in that time.
const TURN: u64 = 20;
/// Longest identity that is written.
const MAX_IDENTITY: usize = 128;

/// One of the times above, as this process has it.
fn time(seconds: u64) -> Duration {
    static TIMES: LazyLock<u64> = LazyLock::new(|| {
        let times = std::env::var(LONGER).ok().and_then(|times| times.parse().ok());
        times.unwrap_or(1).clamp(1, 100)
    });
    Duration::from_secs(seconds * *TIMES)
}

/// How long a Lease of ours lasts, as it says itself.
fn duration() -> u64 {
    time(DURATION).as_secs()
}

/// A Lease that one of several programs holds. A clone is the same one.
#[derive(Clone)]
pub struct Leadership {
    api: Api<Lease>,
    name: String,
    identity: String,
    manager: &'static str,
    seen: Seen,
    term: Term,
    /// Time between two renewals.
    every: Duration,
}

/// The Lease as it was last seen, and since when it has been so.
type Seen = Arc<Mutex<Option<(Lease, Instant)>>>;

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
        let (name, seen, term) = (name.to_owned(), Seen::default(), Term::default());
        Self { api, name, identity, manager, seen, term, every: RETRY }
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
    pub async fn acquire(&self, patience: Option<Duration>) -> Result<Option<String>> {
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

    /// Waits for the turn of a single pass, as long as a Lease that nobody renews needs to lapse. Gives
    /// who holds it instead when the time is over.
    ///
    /// # Errors
    /// What the server said last, or that a stop was asked for.
    pub async fn turn(&self, mut stop: watch::Receiver<bool>) -> Result<Option<String>> {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => Err(Error::new("stopped before the begin")),
            held_by = self.acquire(Some(time(TURN))) => held_by,
        }
    }

    /// Does the work while the Lease is held; drops it when the Lease is lost. The Lease is renewed by
    /// a task of its own: work that computes for a while before it waits for anything does not keep
    /// it from that.
    ///
    /// # Errors
    /// The Lease is lost, with the reason.
    pub async fn hold<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        let mut renewal = JoinSet::new();
        let keeper = self.clone();
        renewal.spawn(async move { keeper.keep().await });
        tokio::select! {
            biased;
            lost = renewal.join_next() => Err(match lost {
                Some(Ok(lost)) => lost,
                _ => Error::new("the lease is not renewed any more; this is a fault of inv-tui"),
            }),
            done = work => {
                renewal.shutdown().await;
                Ok(done)
            }
        }
    }

    /// Renews the Lease until it is lost, and says why.
    async fn keep(&self) -> Error {
        let lost = |why: &str| Error::new(why.to_owned()).hint("another one takes over");
        loop {
            tokio::time::sleep(self.every).await;
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
    pub async fn release(&self) {
        self.term.set(Standing::Unknown);
        let seen = self.seen().take();
        let Some((lease, _)) = seen.filter(|(lease, _)| self.is_ours(lease)) else { return };
        if let Err(problem) = self.give_back(lease).await {
            tracing::debug!(lease = self.name, error = chain(&problem), "not given back");
        }
    }

    async fn give_back(&self, lease: Lease) -> Result<()> {
        let spec = || {
            json!({
                "holderIdentity": "",
                "leaseDurationSeconds": 1,
                "renewTime": MicroTime(Timestamp::now()),
            })
        };
        if self.patch(&lease, spec()).await?.is_some() {
            return Ok(());
        }
        // A renewal that was broken off has been carried out all the same.
        match self.read().await?.filter(|lease| self.is_ours(lease)) {
            Some(lease) => self.patch(&lease, spec()).await.map(drop),
            None => Ok(()),
        }
    }

    fn is_ours(&self, lease: &Lease) -> bool {
        holder(lease) == Some(&self.identity)
    }

    fn seen(&self) -> MutexGuard<'_, Option<(Lease, Instant)>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the Lease; takes or renews it if that is ours to do.
    async fn try_once(&self) -> Result<Holder> {
        let asked = Instant::now();
        let holder = self.look().await?;
        self.term.set(match holder {
            Holder::We => Standing::Ours { until: asked + time(RENEW_DEADLINE) },
            Holder::Another(_) => Standing::Others,
        });
        Ok(holder)
    }

    async fn read(&self) -> Result<Option<Lease>> {
        let what = format!("cannot read the lease \"{}\"", self.name);
        within(&what, "get leases", self.api.get_opt(&self.name)).await
    }

    async fn look(&self) -> Result<Holder> {
        let Some(lease) = self.read().await? else {
            return self.create().await;
        };
        let since = {
            let mut seen = self.seen();
            let known = seen.as_ref().filter(|(old, _)| same(old, &lease)).map(|(_, since)| *since);
            let since = known.unwrap_or_else(Instant::now);
            *seen = Some((lease.clone(), since));
            since
        };
        let ours = self.is_ours(&lease);
        if let Some(other) = holder(&lease).filter(|_| !ours && !lapsed(&lease, since)) {
            return Ok(Holder::Another(other.to_owned()));
        }
        let now = MicroTime(Timestamp::now());
        let mut spec = json!({
            "holderIdentity": self.identity,
            "leaseDurationSeconds": duration(),
            "renewTime": now,
        });
        if let Some(map) = spec.as_object_mut().filter(|_| !ours) {
            let times = lease.spec.as_ref().and_then(|s| s.lease_transitions).unwrap_or(0);
            map.insert("acquireTime".to_owned(), json!(now));
            map.insert("leaseTransitions".to_owned(), json!(times.saturating_add(1)));
        }
        match self.patch(&lease, spec).await? {
            Some(lease) => {
                *self.seen() = Some((lease, Instant::now()));
                Ok(Holder::We)
            }
            None => Ok(Holder::Another("somebody who was faster".to_owned())),
        }
    }

    async fn create(&self) -> Result<Holder> {
        let now = MicroTime(Timestamp::now());
        let lease = Lease {
            metadata: ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.identity.clone()),
                lease_duration_seconds: i32::try_from(duration()).ok(),
                acquire_time: Some(now.clone()),
                renew_time: Some(now),
                lease_transitions: Some(0),
                ..LeaseSpec::default()
            }),
        };
        let params =
            PostParams { field_manager: Some(self.manager.to_owned()), ..PostParams::default() };
        let request = self.api.create(&params, &lease);
        match tokio::time::timeout(time(ANSWER), request).await {
            Ok(Ok(lease)) => {
                *self.seen() = Some((lease, Instant::now()));
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
        match tokio::time::timeout(time(ANSWER), self.api.patch(&self.name, &params, &body)).await {
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
    leadership: &Leadership,
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
        let done = leadership.hold(work()).await;
        told(false);
        match done {
            Ok(()) => return leadership.release().await,
            Err(lost) => tracing::warn!(error = chain(&lost), "does not lead any more"),
        }
    }
}

/// Nobody holds it, or its time is over since it was last seen to change.
fn lapsed(lease: &Lease, since: Instant) -> bool {
    let spec = lease.spec.as_ref();
    let seconds = spec.and_then(|spec| spec.lease_duration_seconds);
    let seconds = seconds.map_or_else(duration, |seconds| u64::try_from(seconds).unwrap_or(0));
    since.elapsed() >= Duration::from_secs(seconds)
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
    match tokio::time::timeout(time(ANSWER), request).await {
        Ok(answer) => answer.map_err(|cause| explain(what, needs, cause)),
        Err(_) => Err(silent(what)),
    }
}

fn silent(what: &str) -> Error {
    Error::new(format!("{what}: no answer after {} s", time(ANSWER).as_secs()))
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
    use std::sync::atomic::{AtomicU32, Ordering};

    use http::StatusCode;

    use super::*;

    #[test]
    fn a_term_ends_by_itself_and_with_the_lease() {
        let term = Term::default();
        let seen = term.clone();
        assert!(!seen.lasts() && !seen.is_others());
        term.set(Standing::Ours { until: Instant::now() + time(RENEW_DEADLINE) });
        assert!(seen.lasts());
        term.set(Standing::Ours { until: Instant::now() });
        assert!(!seen.lasts() && !seen.is_others(), "nobody renewed it in time");
        term.set(Standing::Others);
        assert!(!seen.lasts() && seen.is_others());
    }

    /// A server with one Lease, which counts how often it was written.
    async fn server() -> (Client, Arc<AtomicU32>) {
        let writes = Arc::new(AtomicU32::new(0));
        let (count, kept) = (Arc::clone(&writes), Arc::new(Mutex::new(None::<Value>)));
        let answer = move |request: axum::extract::Request| {
            let (count, kept) = (Arc::clone(&count), Arc::clone(&kept));
            async move {
                let reads = request.method() == http::Method::GET;
                let body = axum::body::to_bytes(request.into_body(), 1 << 16).await.unwrap();
                let mut kept = kept.lock().unwrap();
                if !reads {
                    let sent: Value = serde_json::from_slice(&body).unwrap();
                    let version = sent["metadata"]["resourceVersion"].as_str().map(str::to_owned);
                    let old = kept.as_ref().map(|old| old["metadata"]["resourceVersion"].clone());
                    if version != old.and_then(|old| old.as_str().map(str::to_owned)) {
                        let status = json!({"kind": "Status", "code": 409, "reason": "Conflict"});
                        return (StatusCode::CONFLICT, status.to_string());
                    }
                    let lease = kept.get_or_insert(json!({"metadata": {"name": "l", "uid": "u"}}));
                    json_patch::merge(lease, &sent);
                    let number = count.fetch_add(1, Ordering::Relaxed) + 1;
                    lease["metadata"]["resourceVersion"] = number.to_string().into();
                }
                if let Some(lease) = &*kept {
                    (StatusCode::OK, lease.to_string())
                } else {
                    let status = json!({"kind": "Status", "code": 404, "reason": "NotFound"});
                    (StatusCode::NOT_FOUND, status.to_string())
                }
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(async move {
            axum::serve(listener, axum::Router::new().fallback(answer)).await.unwrap();
        });
        (Client::try_from(kube::Config::new(url)).unwrap(), writes)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn work_that_never_waits_keeps_its_lease() {
        let (client, writes) = server().await;
        let mut leadership = Leadership::new(client, "ns", "l", "test");
        leadership.every = Duration::from_millis(10);
        assert_eq!(leadership.acquire(None).await.unwrap(), None);
        let begun = writes.load(Ordering::Relaxed);
        let until = std::time::Instant::now() + Duration::from_mins(1);
        let work = async {
            // It computes, and gives nobody else of its own task a turn.
            while writes.load(Ordering::Relaxed) < begun + 3 && std::time::Instant::now() < until {
                std::thread::yield_now();
            }
            writes.load(Ordering::Relaxed) - begun
        };
        let renewed = leadership.hold(work).await.unwrap();
        assert!(renewed >= 3, "renewed {renewed} times");
        leadership.release().await;
        let lease = leadership.read().await.unwrap().unwrap();
        assert_eq!(holder(&lease), None, "it is given back");
    }

    #[tokio::test]
    async fn a_lease_is_given_back_though_a_renewal_was_broken_off() {
        let (client, _) = server().await;
        let leadership = Leadership::new(client, "ns", "l", "test");
        assert_eq!(leadership.acquire(None).await.unwrap(), None);
        let before = leadership.seen().clone();
        leadership.try_once().await.unwrap();
        // Nobody heard the answer.
        *leadership.seen() = before;
        leadership.release().await;
        let lease = leadership.read().await.unwrap().unwrap();
        assert_eq!(holder(&lease), None);
    }
}
