//! One pass over one scope: page after page, what differs is written; after a complete listing,
//! what it lacks is marked.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

use super::Context;
use super::lost::{self, Verdict};
use super::report::{Incomplete, ScopeReport};
use super::write::Outcome;
use crate::error::{Error, Result, chain};
use crate::model::host::Phase;
use crate::providers::{ItemProblem, Observed, Page, Scope, guarded};
use crate::store::hosts::Known;

/// How long writes that are under way may take to end after a stop.
const DRAIN: Duration = Duration::from_secs(10);

/// What one write came to.
enum Done {
    Put(Outcome),
    Marked(Phase),
    Removed,
    /// Somebody changed the host since; the next pass looks again.
    Postponed,
}

type Writes<'a> = FuturesUnordered<BoxFuture<'a, (String, Result<Done>)>>;

struct Pass<'a> {
    context: &'a Context,
    now: Timestamp,
    began: Instant,
    report: ScopeReport,
    writes: Writes<'a>,
    /// Listed hosts, and whether they are alive there.
    listed: HashMap<String, bool>,
    accounts: HashSet<String>,
    /// An item could not even be named, so absence proves nothing.
    anonymous: bool,
    /// Hosts that their provider calls terminated and that we do not know as lost: written when
    /// the breaker has had its say.
    ended: Vec<Observed>,
}

/// Runs one pass over a scope. It ends early, as incomplete, when a stop is asked for.
pub(super) async fn run(context: &Context, scope: &Scope, now: Timestamp) -> ScopeReport {
    let began = Instant::now();
    let known =
        context.writer.hosts().select(&scope.name, |_, k| (k.state != Phase::Gone).then_some(()));
    let mut pass = Pass {
        context,
        now,
        began,
        report: ScopeReport { name: scope.name.clone(), ..ScopeReport::default() },
        writes: FuturesUnordered::new(),
        listed: HashMap::new(),
        accounts: HashSet::new(),
        anonymous: false,
        ended: Vec::new(),
    };
    match pass.list(&scope.name).await {
        Ok(()) => pass.lose(&scope.name, known.len()).await,
        Err(problem) => {
            pass.drain().await;
            let kind = problem.kind;
            pass.report.denied = !scope.asked_for && kind.is_some_and(may_be_left_out);
            pass.report.incomplete = Some(problem);
        }
    }
    let mut report = pass.report;
    report.missing_now = context
        .writer
        .hosts()
        .select(&scope.name, |_, k| (k.state == Phase::Missing).then_some(()))
        .len();
    report.duration = began.elapsed();
    report
}

/// A region that was only found may be closed to the account, or to a token of an older kind.
fn may_be_left_out(kind: crate::providers::ProviderErrorKind) -> bool {
    use crate::providers::ProviderErrorKind as Kind;
    matches!(kind, Kind::Denied | Kind::Credentials)
}

impl<'a> Pass<'a> {
    /// Reads the whole listing and writes what differs.
    async fn list(&mut self, scope: &'a str) -> Result<(), Incomplete> {
        let context = self.context;
        let mut pages = guarded(scope, context.provider.list(scope));
        let mut stop = context.stop.clone();
        loop {
            let page = loop {
                tokio::select! {
                    biased;
                    _ = stop.wait_for(|stop| *stop) => return Err(stopped()),
                    Some((name, done)) = self.writes.next(), if !self.writes.is_empty() => {
                        self.tally(&name, done);
                    }
                    page = pages.next() => break page,
                }
            };
            match page {
                None => break,
                Some(Ok(page)) => self.take(page).await?,
                Some(Err(problem)) => {
                    context.metrics.provider_error(scope, problem.kind);
                    return Err(Incomplete { kind: Some(problem.kind), error: problem.error });
                }
            }
        }
        while let Some((name, done)) = self.writes.next().await {
            self.tally(&name, done);
            self.check()?;
        }
        Ok(())
    }

    async fn take(&mut self, page: Page) -> Result<(), Incomplete> {
        let context = self.context;
        let now = self.now;
        self.report.pages += 1;
        context.progress.page(page.hosts.len());
        for note in page.notes {
            tracing::warn!(scope = self.report.name, note, "goes on without");
        }
        for ItemProblem { name, what } in page.problems {
            tracing::warn!(
                scope = self.report.name,
                host = name,
                problem = what,
                "item cannot be read"
            );
            self.report.failures.add(name.clone().unwrap_or_else(|| "?".to_owned()), what);
            match name {
                // it is there, whatever it is
                Some(name) => _ = self.listed.insert(name, true),
                None => self.anonymous = true,
            }
        }
        for host in page.hosts {
            self.check()?;
            let alive = host.state != Phase::Gone;
            self.report.seen += 1;
            if let Some(account) = &host.account
                && !self.accounts.contains(account)
            {
                self.accounts.insert(account.clone());
            }
            self.listed.insert(host.name.clone(), alive);
            if context.writer.settled(&host, now).is_some() {
                continue;
            }
            if !alive
                && context.writer.hosts().get(&host.name).is_some_and(|k| !lost::is_lost(k.state))
            {
                self.ended.push(host);
                continue;
            }
            self.room().await;
            self.writes.push(Box::pin(async move {
                let done = context.writer.put(&host, now).await.map(Done::Put);
                (host.name, done)
            }));
        }
        Ok(())
    }

    /// Waits until one more write may begin.
    async fn room(&mut self) {
        while self.writes.len() >= self.context.writes {
            if let Some((name, done)) = self.writes.next().await {
                self.tally(&name, done);
            }
        }
    }

    /// Ends the listing when it makes no sense to go on.
    fn check(&self) -> Result<(), Incomplete> {
        if *self.context.stop.borrow() {
            return Err(stopped());
        }
        if self.context.writer.given_up() {
            let error = Error::new("too many writes failed in a row, so the rest was not tried")
                .hint("the API server refuses or does not answer; its first words are in the log");
            return Err(Incomplete { kind: None, error });
        }
        Ok(())
    }

    /// Marks what a complete listing lacks, and removes what is gone for long enough.
    async fn lose(&mut self, scope: &'a str, known: usize) {
        if self.anonymous {
            let error =
                Error::new("an item without an id was listed, so no host is taken for missing");
            self.report.incomplete = Some(Incomplete { kind: None, error });
            return;
        }
        let context = self.context;
        let (policy, now) = (&context.policy, self.now);
        let mut others = 0;
        let verdicts: Vec<(String, Known, Verdict)> =
            context.writer.hosts().select(scope, |name, known| {
                // what appeared since the listing began may be younger than the listing
                if known.appeared >= self.began {
                    return None;
                }
                let verdict = match self.listed.get(name) {
                    Some(true) => return None,
                    Some(false) => lost::terminated(known, policy, now),
                    None if !self.accounts.is_empty()
                        && !self.accounts.contains(&*known.account) =>
                    {
                        others += 1;
                        return None;
                    }
                    None => lost::absent(known, policy, now),
                };
                (verdict != Verdict::Leave).then(|| (name.to_owned(), known.clone(), verdict))
            });
        if others > 0 {
            tracing::warn!(
                scope,
                hosts = others,
                "hosts of another account were left alone: give each account a source of its own"
            );
        }
        let newly = |(_, known, verdict): &&(String, Known, Verdict)| {
            matches!(verdict, Verdict::Mark(..)) && !lost::is_lost(known.state)
        };
        let lost = self.ended.len() + verdicts.iter().filter(newly).count();
        if let Some(trip) = lost::breaker(lost, known, policy) {
            if context.accepts_loss(scope) {
                tracing::warn!(scope, lost, known, "a loss beyond the breaker is accepted");
            } else {
                tracing::error!(
                    scope,
                    lost = trip.lost,
                    known = trip.known,
                    limit = trip.limit,
                    "breaker open: the listing is not believed, nothing is marked; \
                     check the account and its permissions, or run once with --accept-loss {scope}"
                );
                self.report.complete = true;
                self.report.breaker = Some(trip);
                return;
            }
        }
        self.report.complete = true;
        context.loss_accepted(scope);
        for host in std::mem::take(&mut self.ended) {
            self.write(async move {
                let done = context.writer.put(&host, now).await.map(Done::Put);
                (host.name, done)
            })
            .await;
        }
        for (name, known, verdict) in verdicts {
            match verdict {
                Verdict::Leave => {}
                Verdict::Keep(reason) => {
                    tracing::info!(scope, host = name, ?reason, "gone for long, but kept");
                    self.report.kept += 1;
                }
                Verdict::Mark(state, missed) => {
                    self.write(async move {
                        let done = context.writer.mark(&name, state, missed, now).await;
                        let done = done.map(|outcome| match outcome {
                            Outcome::Left => Done::Put(Outcome::Left),
                            _ => Done::Marked(state),
                        });
                        (name, done)
                    })
                    .await;
                }
                Verdict::Remove => {
                    self.write(async move {
                        let done = context.writer.remove(&name, &known).await;
                        let done =
                            done.map(|away| if away { Done::Removed } else { Done::Postponed });
                        (name, done)
                    })
                    .await;
                }
            }
        }
        self.drain().await;
        if let Err(problem) = self.check() {
            self.report.complete = false;
            self.report.incomplete = Some(problem);
        }
    }

    async fn write(&mut self, work: impl Future<Output = (String, Result<Done>)> + Send + 'a) {
        if self.check().is_err() {
            return;
        }
        self.room().await;
        self.writes.push(Box::pin(work));
    }

    /// Waits for the writes that are under way; after a stop, not for ever.
    async fn drain(&mut self) {
        let mut stop = self.context.stop.clone();
        let patience = async move {
            let _ = stop.wait_for(|stop| *stop).await;
            tokio::time::sleep(DRAIN).await;
        };
        let mut patience = std::pin::pin!(patience);
        loop {
            tokio::select! {
                next = self.writes.next() => match next {
                    Some((name, done)) => self.tally(&name, done),
                    None => return,
                },
                () = &mut patience => return,
            }
        }
    }

    fn tally(&mut self, name: &str, done: Result<Done>) {
        let report = &mut self.report;
        let scope = &report.name;
        match done {
            Ok(Done::Put(Outcome::Created)) => {
                tracing::debug!(scope, host = name, "created");
                report.created += 1;
            }
            Ok(Done::Put(Outcome::Changed)) => {
                tracing::info!(scope, host = name, "changed");
                report.changed += 1;
            }
            Ok(Done::Put(Outcome::Same | Outcome::Left) | Done::Postponed) => {}
            Ok(Done::Marked(state)) => {
                tracing::info!(scope, host = name, state = state.as_str(), "not listed");
                if state == Phase::Gone {
                    report.marked_gone += 1;
                } else {
                    report.marked_missing += 1;
                }
            }
            Ok(Done::Removed) => {
                tracing::info!(scope, host = name, "removed");
                report.removed += 1;
            }
            Err(problem) => {
                let why = chain(&problem);
                tracing::warn!(scope, host = name, error = why, "host failed");
                report.failures.add(name, why);
            }
        }
        self.context.progress.written();
    }
}

fn stopped() -> Incomplete {
    Incomplete { kind: None, error: Error::new("stopped before the end") }
}
