//! Writes hosts, by server-side apply only. The algorithm is in the documentation of
//! [`super`](super#writing).

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use k8s_openapi::jiff::Timestamp;
use kube::Resource;
use kube::api::{DeleteParams, GetParams, Patch, PatchParams, Preconditions};
use kube::core::Request;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::diff::{Kind, Paper};
use super::lost;
use super::metrics::Metrics;
use super::project::{Desired, Rules};
use crate::error::{Error, Result};
use crate::model::diff::{Contested, Part, StoredHost, digest};
use crate::model::host::Phase;
use crate::model::identity::Fingerprint;
use crate::model::{GROUP, VERSION, labels};
use crate::providers::Observed;
use crate::store::client::explain;
use crate::store::hosts::{Hosts, Known, Turn};
use crate::store::lease::Term;
use crate::store::send::{Sender, yaml_safe};

mod place;

/// Tries to write a host that others change at the same time.
const TRIES: u32 = 5;
/// Failures without one success between them after which a pass gives up: the reason lies with
/// the server then, not with a host.
const GIVE_UP: usize = 100;

/// What came of one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nothing had to be written.
    Same,
    /// The host is new.
    Created,
    /// Something in it changed.
    Changed,
    /// It was left alone: it is being deleted, or is gone and was never known.
    Left,
}

/// Writes the hosts of one source.
pub(super) struct Writer {
    sender: Sender,
    hosts: Hosts,
    rules: Rules,
    request: Request,
    permits: Arc<Semaphore>,
    /// Where a dry run says what it would write.
    paper: Option<Arc<Paper>>,
    metrics: Metrics,
    term: Term,
    failures: AtomicUsize,
}

impl Writer {
    /// A writer that takes one of `permits` for each host that it writes, and writes nothing when
    /// `term` is over. With `paper` it writes there what it would write, and nothing else.
    pub(super) fn new(
        sender: Sender,
        hosts: Hosts,
        rules: Rules,
        (permits, term): (Arc<Semaphore>, Term),
        paper: Option<Arc<Paper>>,
        metrics: Metrics,
    ) -> Self {
        let namespace = &hosts.selection().namespace;
        let request = Request::new(StoredHost::url_path(&(), Some(namespace)));
        Self {
            request,
            sender,
            hosts,
            rules,
            permits,
            paper,
            metrics,
            term,
            failures: AtomicUsize::new(0),
        }
    }

    /// The hosts that it knows.
    pub(super) fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    /// Whether another fetcher has the source.
    pub(super) fn waits(&self) -> bool {
        self.term.is_others()
    }

    /// Whether this is ours to write, now.
    pub(super) fn may(&self) -> bool {
        self.paper.is_some() || self.term.lasts()
    }

    /// Whether so many writes failed in a row that trying on is pointless.
    pub(super) fn given_up(&self) -> bool {
        self.failures.load(Ordering::Relaxed) >= GIVE_UP
    }

    /// Begins a new pass: earlier failures do not count any more.
    pub(super) fn begin(&self) {
        self.failures.store(0, Ordering::Relaxed);
    }

    /// Whether this host stands as it should; if so, nothing needs to be sent.
    pub(super) fn settled(&self, host: &Observed, now: Timestamp) -> Option<Outcome> {
        let Some(known) = self.hosts.get(&host.name) else {
            // what is gone already is not taken in
            return (host.state == Phase::Gone).then_some(Outcome::Left);
        };
        if known.deleting {
            return Some(Outcome::Left);
        }
        let print = place::fingerprint(host);
        if self.is_doubtful(&host.name, &known, &print) {
            return None;
        }
        let desired = self.desired(host, &print, Some(&known), now);
        let same = digest(&desired.main) == known.main && digest(&desired.status) == known.status;
        if same {
            self.metrics.skipped();
        }
        same.then_some(Outcome::Same)
    }

    /// Writes what differs in a host.
    ///
    /// # Errors
    /// The server refuses it, or does not answer.
    pub(super) async fn put(&self, host: &Observed, now: Timestamp) -> Result<Outcome> {
        let outcome = async {
            let _permit = self.permits.acquire().await;
            match &self.paper {
                Some(paper) => self.put_on_paper(paper, host, now).await,
                None => self.put_now(host, now).await,
            }
        }
        .await;
        self.count(&outcome);
        outcome
    }

    /// What is to stand in the object of a host, whatever others may be the same machine.
    fn desired(
        &self,
        host: &Observed,
        print: &Fingerprint,
        known: Option<&Known>,
        now: Timestamp,
    ) -> Desired {
        let mut desired = self.rules.desired(host, known, now);
        Rules::flag(&mut desired, &self.twins(&host.name, print), known, now);
        desired
    }

    /// The host under the name of the Host that it is written into, and what is known to stand there.
    /// None: what is there under its name is another machine, which it has to leave. Whoever asks
    /// holds the turn for it.
    async fn seat<'a>(
        &self,
        host: &'a Observed,
        print: &Fingerprint,
    ) -> Result<Option<(Cow<'a, Observed>, Option<Known>)>> {
        if let Some(known) = self.hosts.get(&host.name) {
            let moved = self.is_doubtful(&host.name, &known, print)
                && self.is_another(&host.name, print).await?;
            return Ok((!moved).then_some((Cow::Borrowed(host), Some(known))));
        }
        let place = self.place(host, print).await?;
        let host = if place.name == host.name {
            Cow::Borrowed(host)
        } else {
            Cow::Owned(Observed { name: place.name, ..host.clone() })
        };
        Ok(Some((host, place.known)))
    }

    /// The turn for a machine that this source does not have yet.
    async fn turn(&self, host: &Observed, print: &Fingerprint) -> Option<Turn> {
        match self.hosts.get(&host.name) {
            None => Some(self.hosts.fleet().turn(&host.name, print).await),
            Some(_) => None,
        }
    }

    async fn put_now(&self, host: &Observed, now: Timestamp) -> Result<Outcome> {
        let print = place::fingerprint(host);
        let _turn = self.turn(host, &print).await;
        let Some((host, mut known)) = self.seat(host, &print).await? else {
            // the next pass finds a place for it
            self.leave_now(&host.name).await?;
            return Ok(Outcome::Changed);
        };
        let (host, name) = (&*host, &host.name);
        let mut desired = self.desired(host, &print, known.as_ref(), now);
        let mut outcome = Outcome::Changed;
        let main_differs = known.as_ref().is_none_or(|k| k.main != digest(&desired.main));
        if main_differs {
            let body = envelope(name, &desired.main, None);
            let (stored, created) = match self.apply(Part::Main, name, &body, false).await {
                Err(kube::Error::Api(status)) if status.is_conflict() => {
                    match self.settle(host, &print, now).await? {
                        Some(stored) => (stored, false),
                        None => return Ok(Outcome::Left),
                    }
                }
                other => other.map_err(|cause| {
                    explain(format!("cannot write host \"{name}\""), "patch hosts", cause)
                })?,
            };
            if created {
                outcome = Outcome::Created;
            }
            let answered = self.hosts.put(&stored);
            let same =
                |k: &Known| answered.as_ref().is_none_or(|a| a.uid == k.uid && a.guest == k.guest);
            if !known.as_ref().is_some_and(same) {
                // it existed without our knowledge, or has become ours: what stands there counts
                known = answered;
                desired = self.desired(host, &print, known.as_ref(), now);
            }
        }
        if known.as_ref().is_none_or(|k| k.status != digest(&desired.status)) {
            // what a provider calls ended is written over what it was when that was read
            let judged = known.filter(|_| host.state == Phase::Gone);
            return self.put_status(name, &desired.status, judged, outcome).await;
        }
        Ok(outcome)
    }

    /// Writes the status of a host. `judged`: the host must still be like this.
    async fn put_status(
        &self,
        name: &str,
        status: &Value,
        judged: Option<Known>,
        outcome: Outcome,
    ) -> Result<Outcome> {
        let what = format!("cannot write the status of host \"{name}\"");
        let mut version = judged.as_ref().map(|known| known.resource_version.clone());
        for _ in 0..TRIES {
            let body = envelope(name, status, version.as_deref());
            match self.apply(Part::Status, name, &body, true).await {
                Ok((stored, _)) => {
                    self.hosts.put(&stored);
                    return Ok(outcome);
                }
                Err(kube::Error::Api(status)) if status.is_not_found() => {
                    self.hosts.forget(name);
                    return Ok(outcome);
                }
                Err(kube::Error::Api(status)) if status.is_conflict() && judged.is_some() => {
                    let Some(live) = self.get(name).await? else { return Ok(Outcome::Left) };
                    let live = self.hosts.read(&live);
                    if !judged.as_ref().is_some_and(|judged| live.is_seen_as(judged)) {
                        return Ok(Outcome::Left);
                    }
                    version = Some(live.resource_version);
                }
                Err(cause) => return Err(explain(what, "patch hosts/status", cause)),
            }
        }
        Err(Error::new(format!("{what}: others change it all the time")))
    }

    /// What [`Self::put_now`] would write, the conflict and its end included.
    async fn put_on_paper(
        &self,
        paper: &Paper,
        host: &Observed,
        now: Timestamp,
    ) -> Result<Outcome> {
        let print = place::fingerprint(host);
        let _turn = self.turn(host, &print).await;
        let Some((host, _)) = self.seat(host, &print).await? else {
            self.leave_on_paper(paper, &host.name).await?;
            return Ok(Outcome::Changed);
        };
        let (host, name) = (&*host, &host.name);
        let selection = self.hosts.selection();
        let live = self.get(name).await?;
        if live.as_ref().is_some_and(|live| live.metadata.deletion_timestamp.is_some()) {
            return Ok(Outcome::Left);
        }
        let known = live.as_ref().map(|live| {
            let mut known = self.hosts.read(live);
            if !known.is_guest(host.state) {
                let full = self.desired(host, &print, Some(&known), now).main;
                known.contested = live.contested(&selection.manager, Some(&full));
            }
            known
        });
        let desired = self.desired(host, &print, known.as_ref(), now);
        let kind = match &known {
            None => Kind::New,
            Some(known) if lost::is_lost(desired.state) && !lost::is_lost(known.state) => {
                Kind::Marked(desired.state)
            }
            Some(_) => Kind::Changed,
        };
        let bodies = (Some(&desired.main), Some(&desired.status));
        paper.write(&selection.source, &selection.manager, kind, (name, live.as_ref()), bodies);
        Ok(if known.is_some() { Outcome::Changed } else { Outcome::Created })
    }

    /// After a conflict: looks at who owns what, leaves to others what is theirs, and takes the
    /// facts. The version of the object goes with it, so that nothing that somebody changes in
    /// between is overridden.
    async fn settle(
        &self,
        host: &Observed,
        print: &Fingerprint,
        now: Timestamp,
    ) -> Result<Option<StoredHost>> {
        let name = &host.name;
        let what = || format!("cannot write host \"{name}\"");
        let selection = self.hosts.selection();
        let mut last = None;
        for _ in 0..TRIES {
            let live = self.get(name).await?;
            let body = match &live {
                None => envelope(name, &self.rules.desired(host, None, now).main, None),
                Some(live) => {
                    if live.metadata.deletion_timestamp.is_some() {
                        return Ok(None);
                    }
                    if let Some(other) = live.other_fetcher(&selection.manager, labels::SOURCE)
                        && label(live, labels::SOURCE) != Some(&selection.source)
                        && !self.is_the_same(live, host, print)
                    {
                        return Err(place::belongs(name, other));
                    }
                    let mut known = self.hosts.read(live);
                    if !known.is_guest(host.state) {
                        known.contested = Contested::default();
                        let full = self.rules.desired(host, Some(&known), now).main;
                        known.contested = live.contested(&selection.manager, Some(&full));
                    }
                    let main = self.rules.desired(host, Some(&known), now).main;
                    envelope(name, &main, live.metadata.resource_version.as_deref())
                }
            };
            match self.apply(Part::Main, name, &body, live.is_some()).await {
                Ok((stored, _)) => return Ok(Some(stored)),
                Err(kube::Error::Api(status)) if status.is_conflict() => last = Some(status),
                Err(cause) => return Err(explain(what(), "patch hosts", cause)),
            }
        }
        let error = Error::new(format!("{}: others change it all the time", what()));
        Err(match last {
            Some(status) => error.because(status.message),
            None => error,
        })
    }

    /// Marks a host, which a listing of this scope lacks, as missing or gone, if it still is what
    /// `judged` describes.
    ///
    /// # Errors
    /// The server refuses it, or does not answer.
    pub(super) async fn mark(
        &self,
        name: &str,
        scope: &str,
        judged: &Known,
        (state, missed): (Phase, i32),
        now: Timestamp,
    ) -> Result<Outcome> {
        let outcome = async {
            let _permit = self.permits.acquire().await;
            self.mark_now(name, scope, judged, (state, missed), now).await
        }
        .await;
        self.count(&outcome);
        outcome
    }

    async fn mark_now(
        &self,
        name: &str,
        scope: &str,
        judged: &Known,
        (state, missed): (Phase, i32),
        now: Timestamp,
    ) -> Result<Outcome> {
        let manager = &self.hosts.selection().manager;
        let what = format!("cannot mark host \"{name}\" as {}", state.as_str());
        for _ in 0..TRIES {
            let Some(live) = self.get(name).await? else {
                self.hosts.forget(name);
                return Ok(Outcome::Left);
            };
            if live.metadata.deletion_timestamp.is_some() {
                return Ok(Outcome::Left);
            }
            let known = self.hosts.read(&live);
            // a listing counts once: another fetcher, or a later pass, has had its say since
            if !known.is_seen_as(judged) {
                return Ok(Outcome::Left);
            }
            let owned = live.owned(manager, Part::Status);
            let body = self.rules.lost(owned, &known, scope, (state, missed), now);
            if let Some(paper) = &self.paper {
                let source = &self.hosts.selection().source;
                let kind = Kind::Marked(state);
                paper.write(source, manager, kind, (name, Some(&live)), (None, Some(&body)));
                return Ok(Outcome::Changed);
            }
            let body = envelope(name, &body, live.metadata.resource_version.as_deref());
            match self.apply(Part::Status, name, &body, true).await {
                Ok((stored, _)) => {
                    self.hosts.put(&stored);
                    return Ok(Outcome::Changed);
                }
                Err(kube::Error::Api(status)) if status.is_conflict() => {}
                Err(cause) => return Err(explain(what, "patch hosts/status", cause)),
            }
        }
        Err(Error::new(format!("{what}: others change it all the time")))
    }

    /// Deletes a host, if it is still the one that `known` describes. Gives whether it is away.
    ///
    /// # Errors
    /// The server refuses it, or does not answer.
    pub(super) async fn remove(&self, name: &str, known: &Known) -> Result<bool> {
        let outcome = async {
            let _permit = self.permits.acquire().await;
            if let Some(paper) = &self.paper {
                paper.remove(&self.hosts.selection().source, name, self.get(name).await?.as_ref());
                return Ok(true);
            }
            self.remove_now(name, known).await
        }
        .await;
        self.count(&outcome);
        outcome
    }

    async fn remove_now(&self, name: &str, known: &Known) -> Result<bool> {
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(known.uid.to_string()),
                resource_version: Some(known.resource_version.to_string()),
            }),
            ..DeleteParams::default()
        };
        let request = self.request.delete(name, &params).map_err(broken)?;
        match self.send::<Value>(request).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(true),
            // somebody changed it since: the next pass looks again
            Err(kube::Error::Api(status)) if status.is_conflict() => Ok(false),
            Err(cause) => {
                Err(explain(format!("cannot remove host \"{name}\""), "delete hosts", cause))
            }
        }
    }

    async fn get(&self, name: &str) -> Result<Option<StoredHost>> {
        let request = self.request.get(name, &GetParams::default()).map_err(broken)?;
        match self.sender.send(request).await {
            Ok((host, _)) => Ok(Some(host)),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(None),
            Err(cause) => Err(explain(format!("cannot read host \"{name}\""), "get hosts", cause)),
        }
    }

    async fn apply(
        &self,
        part: Part,
        name: &str,
        body: &Value,
        force: bool,
    ) -> kube::Result<(StoredHost, bool)> {
        let params = PatchParams { force, ..PatchParams::apply(&self.hosts.selection().manager) };
        let patch = Patch::Apply(body);
        let request = match part {
            Part::Main => self.request.patch(name, &params, &patch),
            Part::Status => self.request.patch_subresource("status", name, &params, &patch),
        };
        self.send(request.map_err(kube::Error::BuildRequest)?.map(yaml_safe)).await
    }

    async fn send<T: serde::de::DeserializeOwned>(
        &self,
        request: http::Request<Vec<u8>>,
    ) -> kube::Result<(T, bool)> {
        if !self.term.lasts() {
            return Err(kube::Error::Service(
                "the lease is lost, so nothing more is written".into(),
            ));
        }
        let answer = self.sender.send(request).await;
        self.metrics.write(answer.is_ok());
        answer
    }

    fn count<T>(&self, outcome: &Result<T>) {
        match outcome {
            Ok(_) => self.failures.store(0, Ordering::Relaxed),
            Err(_) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

fn label<'a>(host: &'a StoredHost, key: &str) -> Option<&'a String> {
    host.metadata.labels.as_ref()?.get(key)
}

fn broken(cause: kube::core::request::Error) -> Error {
    Error::new("cannot build a request").because(cause)
}

/// The body of an apply.
fn envelope(name: &str, part: &Value, resource_version: Option<&str>) -> Value {
    let mut body = part.as_object().cloned().unwrap_or_default();
    let mut metadata = match body.remove("metadata") {
        Some(Value::Object(metadata)) => metadata,
        _ => serde_json::Map::new(),
    };
    metadata.insert("name".to_owned(), json!(name));
    if let Some(version) = resource_version {
        metadata.insert("resourceVersion".to_owned(), json!(version));
    }
    body.insert("metadata".to_owned(), metadata.into());
    body.insert("apiVersion".to_owned(), json!(format!("{GROUP}/{VERSION}")));
    body.insert("kind".to_owned(), json!("Host"));
    Value::Object(body)
}
