//! Keeps the silences of one Alertmanager, or of one cluster of them. What is to be done is worked out in
//! [`crate::model::silence`]; here it is done.
//!
//! ```text
//! list all silences ── plan every host ── do it ──┐
//!        ▲ each minute, and after a failure       ▼
//!        └──────────── a host is held otherwise, or a silence is due: plan that host ── do it
//! ```
//!
//! A request that failed may have been carried out. So nothing is sent twice: everything begins again
//! with the list, at the next member of the cluster.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt;
use http::Method;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use super::board::Board;
use super::metrics::Metrics;
use crate::error::{Error, Result, chain};
use crate::model::silence::{Act, Held, Mark, Plan, Post, Rule, Silence, Without, by_host};
use crate::providers::credentials::{Reference, Secret};
use crate::providers::http::{Ask, Http};
use crate::tasks::jobs::Jobs;

/// How long Alertmanager may take for an answer.
const DEADLINE: Duration = Duration::from_secs(10);
/// Time between two lists: what others changed is seen then.
const LIST: Duration = Duration::from_mins(1);
/// First and longest pause after a failure.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// Hosts that are worked on at a time.
const AT_ONCE: usize = 8;
/// Looks at one silence that changes while we look.
const LOOKS: usize = 3;

/// Silences that have our mark, by the uid of their host.
type Found = BTreeMap<String, Vec<(Silence, Mark)>>;

/// What keeps the silences of one Alertmanager.
pub(super) struct Silencer {
    pub(super) name: String,
    pub(super) rule: Rule,
    pub(super) http: Http,
    /// Addresses of the members, without a slash at the end.
    pub(super) urls: Vec<String>,
    pub(super) credentials: Option<Reference>,
    pub(super) user: Option<String>,
    pub(super) board: Arc<Board>,
    pub(super) metrics: Metrics,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Posted {
    #[serde(rename = "silenceID")]
    silence_id: String,
}

/// One run of it.
struct Work<'a> {
    silencer: &'a Silencer,
    /// The member that is asked.
    url: &'a str,
    found: Found,
    due: Jobs,
    /// Hosts without a silence, so that each is told of once.
    without: &'a mut HashMap<String, Without>,
}

impl Silencer {
    /// Works until it is dropped.
    pub(super) async fn run(&self) {
        let mut member = 0;
        let mut pause = RETRY.0;
        let mut without = HashMap::new();
        let mut down = false;
        loop {
            while !self.board.is_synced() {
                self.board.news().await;
            }
            let Some(url) = self.urls.get(member % self.urls.len().max(1)) else { return };
            let work = Work {
                silencer: self,
                url,
                found: Found::new(),
                due: Jobs::default(),
                without: &mut without,
            };
            let began = Instant::now();
            match work.run(&mut down).await {
                Ok(()) => pause = RETRY.0,
                Err(problem) => {
                    self.metrics.up(&self.name, false);
                    if !down {
                        tracing::warn!(
                            alertmanager = self.name,
                            url,
                            error = chain(&problem),
                            hint = problem.next_step(),
                            "silences cannot be kept; tries again"
                        );
                    }
                    down = true;
                    member += 1;
                    if began.elapsed() > RETRY.1 {
                        pause = RETRY.0;
                    }
                    // The other members hear of what the last one did in the meantime.
                    tokio::time::sleep(pause.mul_f64(fastrand::f64().mul_add(0.5, 0.75))).await;
                    pause = (pause * 2).min(RETRY.1);
                }
            }
        }
    }

    async fn ask(&self, what: &'static str, ask: Ask<'_>) -> Result<(u16, Value)> {
        let authorization = match &self.credentials {
            None => None,
            Some(reference) => {
                let secret = reference.read().map_err(|problem| problem.error)?;
                Some(Secret::new(match &self.user {
                    None => format!("Bearer {}", secret.expose()),
                    Some(user) => {
                        format!("Basic {}", STANDARD.encode(format!("{user}:{}", secret.expose())))
                    }
                }))
            }
        };
        let ask = Ask { authorization, ..ask };
        let answer = match tokio::time::timeout(DEADLINE, self.http.ask_once(&ask)).await {
            Ok(answer) => answer.map_err(|problem| problem.error),
            Err(_) => {
                Err(Error::new(format!("{}: no answer after {} s", ask.what, DEADLINE.as_secs())))
            }
        };
        self.metrics.request(&self.name, what, answer.is_ok());
        answer.map(|answer| (answer.status.as_u16(), answer.body))
    }

    async fn list(&self, url: &str) -> Result<Found> {
        let what = "cannot list the silences";
        let url = format!("{url}/api/v2/silences");
        let (_, body) = self.ask("list", Ask::get(what, &url, None)).await?;
        let all: Vec<Silence> =
            serde_json::from_value(body).map_err(|cause| Error::new(what).because(cause))?;
        Ok(by_host(&self.rule.owner, all))
    }

    /// The silence as it is now; none if it is not known any more.
    async fn get(&self, url: &str, id: &str) -> Result<Option<Silence>> {
        let what = "cannot read a silence";
        let url = format!("{url}/api/v2/silence/{}", path_part(id));
        let ask = Ask { accept: &[404], ..Ask::get(what, &url, None) };
        match self.ask("get", ask).await? {
            (404, _) => Ok(None),
            (_, body) => serde_json::from_value(body)
                .map(Some)
                .map_err(|cause| Error::new(what).because(cause)),
        }
    }

    /// Makes or changes a silence; its id, which is another one if what it matches has changed.
    async fn post(&self, url: &str, what: &'static str, post: &Post) -> Result<String> {
        let words = "cannot make or change a silence";
        let url = format!("{url}/api/v2/silences");
        let body = serde_json::to_vec(post).map_err(|cause| Error::new(words).because(cause))?;
        let ask = Ask::post(words, &url, ("application/json", body.into()));
        let (_, body) = self.ask(what, ask).await?;
        let posted: Posted =
            serde_json::from_value(body).map_err(|cause| Error::new(words).because(cause))?;
        Ok(posted.silence_id)
    }

    async fn expire(&self, url: &str, id: &str) -> Result<()> {
        let url = format!("{url}/api/v2/silence/{}", path_part(id));
        let ask = Ask { method: Method::DELETE, ..Ask::get("cannot end a silence", &url, None) };
        self.ask("end", ask).await.map(drop)
    }

    /// Does what is to be done for one host. Gives its silences after that, and the last plan.
    async fn settle(
        &self,
        url: &str,
        held: Option<&Held>,
        mut found: Vec<(Silence, Mark)>,
    ) -> Result<(Vec<(Silence, Mark)>, Plan)> {
        for _ in 0..LOOKS {
            let now = Timestamp::now();
            let plan = self.rule.plan(held, &found, now);
            if plan.acts.is_empty() {
                return Ok((found, plan));
            }
            for act in plan.acts {
                // The broken watch of a hold is no end of it.
                if !self.board.is_synced() {
                    return Err(Error::new("the hosts are not known any more"));
                }
                if !self.act(url, &act, &mut found).await? {
                    break;
                }
            }
        }
        let plan = self.rule.plan(held, &found, Timestamp::now());
        if plan.acts.is_empty() {
            return Ok((found, plan));
        }
        Err(Error::new("a silence changes again and again while it is looked at"))
    }

    /// Does one thing. False: the silence is another one than was thought, so the plan is too.
    async fn act(&self, url: &str, act: &Act, found: &mut Vec<(Silence, Mark)>) -> Result<bool> {
        let (Act::Create(post) | Act::Change(post) | Act::End(post)) = act;
        if let Some(id) = &post.id {
            let known = found.iter().position(|(silence, _)| silence.id == *id);
            let is = self.get(url, id).await?;
            let was = known.and_then(|at| found.get(at)).map(|(silence, _)| silence);
            let same = match (&is, was) {
                (Some(is), Some(was)) => {
                    (is.updated_at, &is.status.state) == (was.updated_at, &was.status.state)
                }
                _ => false,
            };
            if !same {
                if let Some(at) = known {
                    found.remove(at);
                }
                let read = is.and_then(|is| Mark::find(&is.comment).map(|mark| (is, mark)));
                found.extend(read);
                return Ok(false);
            }
        }
        let what = match act {
            Act::Create(_) => "create",
            Act::Change(_) => "change",
            Act::End(_) => "mark",
        };
        let id = self.post(url, what, post).await?;
        if matches!(act, Act::End(_)) {
            self.expire(url, &id).await?;
        }
        tracing::info!(
            alertmanager = self.name,
            silence = id,
            holders = post.created_by,
            until = %post.ends_at,
            "{}",
            match act {
                Act::Create(_) => "silenced",
                Act::Change(_) => "silence changed",
                Act::End(_) => "silence ended",
            }
        );
        found.retain(|(silence, _)| Some(&silence.id) != post.id.as_ref() && silence.id != id);
        // The times are Alertmanager's own, so it is read and not guessed.
        let is = self.get(url, &id).await?;
        found.extend(is.and_then(|is| Mark::find(&is.comment).map(|mark| (is, mark))));
        Ok(true)
    }
}

/// An id as a part of a path.
fn path_part(id: &str) -> String {
    percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC).to_string()
}

impl Work<'_> {
    /// Works until it is time for another list, or the hosts are not known any more.
    async fn run(mut self, down: &mut bool) -> Result<()> {
        let silencer = self.silencer;
        self.found = silencer.list(self.url).await?;
        let Some(held) = silencer.board.all() else { return Ok(()) };
        let mut hosts: HashMap<String, Option<Held>> =
            self.found.keys().map(|uid| (uid.clone(), None)).collect();
        hosts.extend(held.into_iter().map(|(uid, held)| (uid, Some(held))));
        self.without.retain(|uid, _| hosts.get(uid).is_some_and(Option::is_some));
        self.settle(hosts.into_iter().collect()).await?;
        if std::mem::take(down) {
            tracing::info!(alertmanager = silencer.name, url = self.url, "silences are kept again");
        }
        silencer.metrics.up(&silencer.name, true);
        let until = Instant::now() + LIST;
        while Instant::now() < until {
            self.count();
            let due = self.due.next().map_or(LIST, |due| {
                Duration::try_from(due.duration_since(Timestamp::now())).unwrap_or_default()
            });
            tokio::select! {
                () = tokio::time::sleep_until(until.min(Instant::now() + due)) => {}
                () = silencer.board.news() => {}
            }
            let Some(mut hosts) = silencer.board.changes() else { return Ok(()) };
            for (uid, _) in self.due.take(Timestamp::now(), usize::MAX) {
                if !hosts.iter().any(|(changed, _)| *changed == uid) {
                    let held = silencer.board.get(&uid);
                    hosts.push((uid, held));
                }
            }
            self.settle(hosts).await?;
        }
        Ok(())
    }

    async fn settle(&mut self, hosts: Vec<(String, Option<Held>)>) -> Result<()> {
        let (silencer, url) = (self.silencer, self.url);
        let work = hosts.into_iter().map(|(uid, held)| {
            let found = self.found.remove(&uid).unwrap_or_default();
            async move {
                let settled = silencer.settle(url, held.as_ref(), found).await;
                (uid, held, settled)
            }
        });
        let work: Vec<_> = work.collect();
        let mut done = futures::stream::iter(work).buffer_unordered(AT_ONCE);
        while let Some((uid, held, settled)) = done.next().await {
            let (found, plan) = settled?;
            if !found.is_empty() {
                self.found.insert(uid.clone(), found);
            }
            self.due.set(uid.clone(), plan.next, 0);
            let Some(why) = plan.without else {
                self.without.remove(&uid);
                continue;
            };
            if self.without.insert(uid, why) != Some(why) {
                let host = held.map(|held| held.names.name).unwrap_or_default();
                match why {
                    Without::EndedByHand => tracing::info!(
                        alertmanager = silencer.name,
                        host,
                        "somebody ended the silence by hand; no other is made for the same hold"
                    ),
                    Without::Nameless => tracing::warn!(
                        alertmanager = silencer.name,
                        host,
                        "no silence: the host lacks a name that the matchers want"
                    ),
                }
            }
        }
        Ok(())
    }

    fn count(&self) {
        let now = Timestamp::now();
        let all = self.found.values().flatten();
        let live = all.filter(|(silence, _)| silence.is_live(now)).count();
        self.silencer.metrics.silences(&self.silencer.name, live, self.without.len());
    }
}
