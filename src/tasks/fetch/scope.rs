//! One pass over one scope: page after page, what differs is written; after a complete listing,
//! what it lacks is marked.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, FuturesUnordered};
use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

use super::Context;
use super::lost::{self, Verdict};
use super::report::{Incomplete, ScopeReport};
use super::write::Outcome;
use crate::error::{Error, Result, chain};
use crate::model::host::Phase;
use crate::providers::{ItemProblem, Observed, Page, Provider, ProviderError, Scope, guarded};
use crate::store::hosts::Known;

/// How long writes that are under way may take to end after a stop.
const DRAIN: Duration = Duration::from_secs(10);

/// What one write came to.
enum Done {
    Put(Outcome),
    Marked(Phase),
    Removed,
    /// Left to another source.
    Left,
    /// Somebody changed the host since; the next pass looks again.
    Postponed,
}

/// A host that a complete listing does not have alive.
struct Judged {
    name: String,
    known: Known,
    verdict: Verdict,
}

type Pages<'a> = BoxStream<'a, Result<Page, ProviderError>>;
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
    /// Names that this pass has given, by id at the source.
    names: HashMap<String, String>,
}

/// The region whose hosts a scope covers; none if it covers all.
fn region(scope: &Scope) -> Option<&str> {
    (!scope.whole).then_some(scope.name.as_str())
}

/// Runs one pass over a scope. It ends early, as incomplete, when a stop is asked for.
pub(super) async fn run(
    context: &Context,
    provider: &dyn Provider,
    scope: &Scope,
    now: Timestamp,
) -> ScopeReport {
    let began = Instant::now();
    let hosts = context.writer.hosts();
    let known = hosts.select(region(scope), |_, k| (k.state != Phase::Gone).then_some(()));
    let changes = context
        .since(&scope.name)
        .and_then(|since| Some((since, provider.changes(&scope.name, since)?)));
    let mut pass = Pass {
        context,
        now,
        began,
        report: ScopeReport {
            name: scope.name.clone(),
            partial: changes.is_some(),
            ..ScopeReport::default()
        },
        writes: FuturesUnordered::new(),
        listed: HashMap::new(),
        accounts: HashSet::new(),
        anonymous: false,
        ended: Vec::new(),
        names: HashMap::new(),
    };
    let pages = match changes {
        Some((_, pages)) => pages,
        None => provider.list(&scope.name),
    };
    match pass.list(&scope.name, pages).await {
        Ok(()) => pass.lose(scope, known.len()).await,
        Err(problem) => {
            pass.drain().await;
            let kind = problem.kind;
            pass.report.denied = !scope.asked_for && kind.is_some_and(may_be_left_out);
            pass.report.incomplete = Some(problem);
        }
    }
    let mut report = pass.report;
    let count = |phase| hosts.select(region(scope), |_, k| (k.state == phase).then_some(())).len();
    (report.missing_now, report.gone_now) = (count(Phase::Missing), count(Phase::Gone));
    report.duration = began.elapsed();
    if report.all_written() && !context.stopped() {
        context.advance(&scope.name, now, !report.partial);
    }
    report
}

/// A region that was only found may be closed to the account, or to a token of an older kind.
fn may_be_left_out(kind: crate::providers::ProviderErrorKind) -> bool {
    use crate::providers::ProviderErrorKind as Kind;
    matches!(kind, Kind::Denied | Kind::Credentials)
}

impl<'a> Pass<'a> {
    /// Reads the whole listing and writes what differs.
    async fn list(&mut self, scope: &'a str, pages: Pages<'a>) -> Result<(), Incomplete> {
        let context = self.context;
        let mut pages = guarded(scope, pages);
        let mut stop = context.stop.clone();
        loop {
            let asked = Instant::now();
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
            self.report.listing += asked.elapsed();
            match page {
                None => break,
                Some(Ok(page)) => self.take(page).await?,
                Some(Err(problem)) => {
                    context.metrics.provider_error(scope, problem.kind);
                    return Err(Incomplete { kind: Some(problem.kind), error: problem.error });
                }
            }
        }
        self.drain().await;
        self.check()
    }

    async fn take(&mut self, page: Page) -> Result<(), Incomplete> {
        let context = self.context;
        let now = self.now;
        self.report.pages += 1;
        context.progress.page(page.hosts.len());
        for note in page.notes {
            tracing::warn!(scope = self.report.name, note, "goes on without");
        }
        for ItemProblem { name, uid, what } in page.problems {
            let known = uid.and_then(|uid| context.writer.hosts().named(&uid));
            let name = known.or(name);
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
        for mut host in page.hosts {
            self.check()?;
            self.name(&mut host);
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
            self.room().await?;
            self.writes.push(Box::pin(async move {
                let done = context.writer.put(&host, now).await.map(Done::Put);
                (host.name, done)
            }));
        }
        Ok(())
    }

    /// Gives a host the name that it has; and where its name is made of something that can move, never
    /// one that is another machine's.
    fn name(&mut self, host: &mut Observed) {
        let hosts = self.context.writer.hosts();
        if let Some(name) = hosts.named(&host.uid) {
            host.name = name;
            host.other_name = None;
            return;
        }
        let Some(other) = host.other_name.clone() else { return };
        if let Some(name) = self.names.get(&host.uid) {
            host.name.clone_from(name);
            return;
        }
        if hosts.get(&host.name).is_some_and(|k| !k.native.is_empty() && *k.native != *host.uid) {
            host.name = other;
            host.other_name = None;
        }
        self.names.insert(host.uid.clone(), host.name.clone());
    }

    /// Waits until one more write may begin, or none may any more.
    async fn room(&mut self) -> Result<(), Incomplete> {
        let mut stop = self.context.stop.clone();
        while self.writes.len() >= self.context.writes {
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                Some((name, done)) = self.writes.next() => self.tally(&name, done),
            }
        }
        self.check()
    }

    /// Ends the listing when it makes no sense to go on.
    fn check(&self) -> Result<(), Incomplete> {
        if *self.context.stop.borrow() {
            return Err(stopped());
        }
        if !self.context.writer.may() {
            let error = Error::new("the lease is lost, so the rest was not tried");
            return Err(Incomplete { kind: None, error });
        }
        if self.context.writer.given_up() {
            let error = Error::new("too many writes failed in a row, so the rest was not tried")
                .hint("the API server refuses or does not answer; its first words are in the log");
            return Err(Incomplete { kind: None, error });
        }
        Ok(())
    }

    /// Marks what a complete listing lacks, and removes what is gone for long enough. `known`: how
    /// many hosts of the scope were not gone before.
    async fn lose(&mut self, scope: &'a Scope, known: usize) {
        if self.anonymous && !self.report.partial {
            let error =
                Error::new("an item without an id was listed, so no host is taken for missing");
            self.report.incomplete = Some(Incomplete { kind: None, error });
            return;
        }
        let verdicts = if self.report.partial {
            Vec::new()
        } else {
            self.report.complete = true;
            self.judge(scope)
        };
        if !self.believes(&scope.name, known, &verdicts) {
            return;
        }
        if !self.report.partial {
            self.context.loss_accepted(&scope.name);
        }
        self.carry_out(verdicts).await;
        self.drain().await;
        if let Err(problem) = self.check() {
            self.report.complete = false;
            self.report.incomplete = Some(problem);
        }
    }

    /// What is to become of each host that the listing lacks or calls terminated.
    fn judge(&self, scope: &Scope) -> Vec<Judged> {
        let (policy, now) = (&self.context.policy, self.now);
        let mut others = 0;
        let judged = self.context.writer.hosts().select(region(scope), |name, known| {
            // what appeared since the listing began may be younger than the listing
            if known.appeared >= self.began {
                return None;
            }
            // a region may be shared by accounts; a listing of the whole source leaves out nobody
            let ours =
                scope.whole || self.accounts.is_empty() || self.accounts.contains(&*known.account);
            let verdict = match self.listed.get(name) {
                Some(true) => return None,
                Some(false) => lost::terminated(known, policy, now),
                None if ours => lost::absent(known, policy, now),
                None => {
                    others += 1;
                    return None;
                }
            };
            let judged = || Judged { name: name.to_owned(), known: known.clone(), verdict };
            (verdict != Verdict::Nothing).then(judged)
        });
        if others > 0 {
            tracing::warn!(
                scope = scope.name,
                hosts = others,
                "hosts of another account were left alone: give each account a source of its own"
            );
        }
        judged
    }

    /// Whether the listing is believed: it does not lose too many hosts, or somebody accepts that.
    fn believes(&mut self, scope: &str, known: usize, verdicts: &[Judged]) -> bool {
        let newly = |judged: &&Judged| {
            matches!(judged.verdict, Verdict::Mark(..)) && !lost::is_lost(judged.known.state)
        };
        let lost = self.ended.len() + verdicts.iter().filter(newly).count();
        let Some(trip) = lost::breaker(lost, known, &self.context.policy) else {
            return true;
        };
        if self.context.accepts_loss(scope) {
            tracing::warn!(scope, lost, known, "a loss beyond the breaker is accepted");
            return true;
        }
        tracing::error!(
            scope,
            lost,
            known,
            limit = trip.limit,
            "breaker open: the listing is not believed, nothing is marked; \
             check the account and its permissions, or start it once with --accept-loss {scope}"
        );
        self.report.breaker = Some(trip);
        false
    }

    async fn carry_out(&mut self, verdicts: Vec<Judged>) {
        let (context, now) = (self.context, self.now);
        for host in std::mem::take(&mut self.ended) {
            self.write(async move {
                let done = context.writer.put(&host, now).await.map(Done::Put);
                (host.name, done)
            })
            .await;
        }
        for Judged { name, known, verdict } in verdicts {
            match verdict {
                Verdict::Nothing => {}
                Verdict::Leave => {
                    self.write(async move {
                        let done = context.writer.leave(&name).await.map(|()| Done::Left);
                        (name, done)
                    })
                    .await;
                }
                Verdict::Keep(reason) => {
                    tracing::info!(
                        scope = &*known.scope,
                        host = name,
                        ?reason,
                        "gone for long, but kept"
                    );
                    self.report.kept += 1;
                }
                Verdict::Mark(state, missed) => {
                    let scope = self.report.name.clone();
                    self.write(async move {
                        let mark = (state, missed);
                        let done = context.writer.mark(&name, &scope, &known, mark, now).await;
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
    }

    async fn write(&mut self, work: impl Future<Output = (String, Result<Done>)> + Send + 'a) {
        if self.room().await.is_ok() {
            self.writes.push(Box::pin(work));
        }
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
            Ok(Done::Left) => {
                tracing::info!(scope, host = name, "gone for long, left to another source");
            }
            Ok(Done::Removed) => {
                tracing::info!(scope, host = name, "removed");
                report.removed += 1;
            }
            Err(problem) => {
                let why = chain(&problem);
                tracing::warn!(scope, host = name, error = why, "host failed");
                report.failures.add(name, why);
                report.unwritten += 1;
            }
        }
        self.context.progress.written();
    }
}

fn stopped() -> Incomplete {
    Incomplete { kind: None, error: Error::new("stopped before the end") }
}
