//! One request after the other: looked up, judged, decided, told.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

use super::metrics::Metrics;
use crate::act::certificates::reference;
use crate::error::{Result, chain};
use crate::model::csr::{About, History, HostFacts, Policy, State, Verdict, judge};
use crate::model::host::Host;
use crate::store::certificates::{self, Decoded, Outcome, Why, about};
use crate::store::client::Connection;
use crate::store::event::{self, Events, Kind};
use crate::store::write::read_host;

/// The same about the same request again is told this often.
const REPEAT: Duration = Duration::from_mins(5);

/// What every decision needs.
pub(super) struct Context {
    pub(super) connection: Connection,
    pub(super) policy: Policy,
    /// The name under which the server knows us.
    pub(super) me: String,
    pub(super) dry_run: bool,
    pub(super) events: Events,
    pub(super) metrics: Metrics,
}

/// All requests, and what has been said about them.
pub(super) struct Approver {
    context: Arc<Context>,
    /// By uid.
    all: HashMap<String, Decoded>,
    /// What the listing that goes on has brought.
    listed: HashSet<String>,
    /// Reason and time of what was last told of a request, by uid.
    told: HashMap<String, (&'static str, Instant)>,
}

impl Approver {
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self { context, all: HashMap::new(), listed: HashSet::new(), told: HashMap::new() }
    }

    /// A listing begins.
    pub(super) fn begin(&mut self) {
        self.listed.clear();
    }

    /// A request as it is now; gives its uid.
    pub(super) fn apply(&mut self, decoded: Decoded) -> String {
        let uid = about(&decoded).uid.clone();
        self.listed.insert(uid.clone());
        // News that is older than our own decision must not take it back: a decision is for good.
        let known = self.all.get(&uid);
        let undone = about(&decoded).decision.is_none()
            && known.is_some_and(|known| about(known).decision.is_some());
        if !undone {
            self.all.insert(uid.clone(), decoded);
        }
        uid
    }

    /// The listing is complete: what it has not brought is gone.
    pub(super) fn synced(&mut self) {
        let listed = std::mem::take(&mut self.listed);
        self.all.retain(|uid, _| listed.contains(uid));
        self.told.retain(|uid, _| listed.contains(uid));
    }

    pub(super) fn forget(&mut self, uid: &str) {
        self.all.remove(uid);
        self.told.remove(uid);
    }

    /// Looks at everything that is pending, the oldest first. Whether all of it could be done.
    pub(super) async fn look_at_all(&mut self) -> bool {
        let pending = self.all.values().map(about).filter(|about| about.state == State::Pending);
        let mut pending: Vec<_> =
            pending.map(|about| (about.created, about.name.clone(), about.uid.clone())).collect();
        pending.sort();
        let mut fine = true;
        for (_, _, uid) in pending {
            fine &= self.look_at(&uid).await;
        }
        fine
    }

    /// Looks at one request and decides, if that is ours to do. Whether it could be done.
    pub(super) async fn look_at(&mut self, uid: &str) -> bool {
        let done = self.try_look_at(uid).await;
        let pending = self.all.values().filter(|d| about(d).state == State::Pending).count();
        self.context.metrics.pending(pending);
        if let Err(problem) = &done {
            let request = self.all.get(uid).map_or("", |decoded| about(decoded).name.as_str());
            let hint = problem.next_step();
            tracing::error!(request, error = chain(problem), hint, "not decided");
            self.context.metrics.error();
        }
        done.is_ok()
    }

    async fn try_look_at(&mut self, uid: &str) -> Result<()> {
        let context = Arc::clone(&self.context);
        let Some(decoded) = self.all.get(uid) else { return Ok(()) };
        let seen = about(decoded).clone();
        let (host, verdict) = match decoded {
            Err(problem) => (None, problem.judge(&context.policy)),
            Ok(request) => {
                let nothing = History::default();
                if judge(request, None, &nothing, &context.policy) == Verdict::Skip {
                    return Ok(());
                }
                let host = match request.host() {
                    Some((namespace, name)) => {
                        read_host(&context.connection, namespace, name).await?
                    }
                    None => None,
                };
                let status = host.as_ref().and_then(|host| host.status.as_ref());
                let operations = status.map(|s| s.operations.as_slice()).unwrap_or_default();
                let all = self.all.values().filter_map(|decoded| decoded.as_ref().ok());
                let history = History::of(request, all, operations, Timestamp::now());
                let facts = host.as_ref().map(HostFacts::of);
                let verdict = judge(request, facts.as_ref(), &history, &context.policy);
                (host, verdict)
            }
        };
        if context.dry_run {
            self.report(&seen, &verdict);
            return Ok(());
        }
        let (reason, text) = (verdict.reason(), verdict.message());
        let why = Why { reason, by: &context.me, text };
        let outcome = match &verdict {
            Verdict::Skip => return Ok(()),
            Verdict::Leave { .. } => {
                self.leave(&seen, host.as_ref(), &verdict).await;
                return Ok(());
            }
            Verdict::Approve { .. } => certificates::approve(&context.connection, &seen, why).await,
            Verdict::Deny { .. } => certificates::deny(&context.connection, &seen, why).await,
        };
        match outcome {
            Outcome::Done(now) => {
                self.apply(*now);
                self.tell(&seen, host.as_ref(), &verdict).await;
            }
            // Somebody else has decided, or it is another one now: the watch brings it.
            Outcome::Conflict(now) => {
                tracing::info!(
                    request = seen.name,
                    "decided or changed by somebody else meanwhile"
                );
                self.apply(*now);
            }
            Outcome::Gone => self.forget(uid),
            Outcome::Failed(problem) => return Err(problem),
        }
        Ok(())
    }

    /// Whether this is news about a request, or old enough to be repeated.
    fn is_news(&mut self, seen: &About, reason: &'static str, repeat: bool) -> bool {
        let old = self.told.get(&seen.uid);
        if old.is_some_and(|(old, at)| *old == reason && !(repeat && at.elapsed() >= REPEAT)) {
            return false;
        }
        self.told.insert(seen.uid.clone(), (reason, Instant::now()));
        true
    }

    /// Says what would be decided.
    fn report(&mut self, seen: &About, verdict: &Verdict) {
        if *verdict == Verdict::Skip || !self.is_news(seen, verdict.reason(), false) {
            return;
        }
        let (reason, why) = (verdict.reason(), verdict.message());
        let would = match verdict {
            Verdict::Approve { .. } => "would be approved",
            Verdict::Deny { .. } => "would be denied",
            Verdict::Leave { .. } | Verdict::Skip => "would be left pending",
        };
        tracing::info!(request = seen.name, requester = seen.requester, reason, why, "{would}");
    }

    async fn leave(&mut self, seen: &About, host: Option<&Host>, verdict: &Verdict) {
        if self.is_news(seen, verdict.reason(), true) {
            self.tell(seen, host, verdict).await;
        }
    }

    /// A line in the log, a number, and an Event on the request and on the host.
    async fn tell(&self, seen: &About, host: Option<&Host>, verdict: &Verdict) {
        let context = &self.context;
        let (reason, why) = (verdict.reason(), verdict.message());
        let (outcome, action, kind) = match verdict {
            Verdict::Approve { .. } => ("approved", "Approve", Kind::Normal),
            Verdict::Deny { .. } => ("denied", "Deny", Kind::Warning),
            Verdict::Leave { .. } | Verdict::Skip => ("left", "Leave", Kind::Warning),
        };
        context.metrics.decided(outcome, reason);
        let requester = seen.requester.as_str();
        tracing::info!(request = seen.name, requester, reason, why, outcome, "decision");
        let words = match verdict {
            Verdict::Approve { .. } => "approved",
            Verdict::Deny { .. } => "denied",
            Verdict::Leave { .. } | Verdict::Skip => "left pending",
        };
        let note = format!("{words}: {why}");
        context.events.tell(&reference(seen), kind, reason, action, &note).await;
        if let Some(host) = host {
            let note = format!("certificate request {} {note}", seen.name);
            context.events.tell(&event::about(host), kind, reason, action, &note).await;
        }
    }
}
