//! `inv-tui --headless fetch`: reads hosts from providers and writes what changed. Each source has its
//! own provider, interval, watch and field manager, and fails by itself; writes under way are limited
//! over all of them.
//!
//! # A pass
//! Each scope of a source (a region, or all of it) is listed page by page. For each host the full set of fields that should
//! be there is worked out ([`project`]) and compared, as a digest, with what this source's field
//! manager owns of the stored host ([`crate::model::diff`], kept up to date by a watch in
//! [`crate::store::hosts`]). Equal: nothing is sent. After a *complete* listing, and only then,
//! hosts that it lacks are marked missing, later gone, later removed ([`lost`]). When all scopes
//! are done the times and counts of the pass go into the Source object, once, so that no Host
//! changes when nothing changed. Where the provider can tell, passes between two full ones list only
//! what changed; they mark nothing missing.
//!
//! # Writing
//! Server-side apply only, under the manager `inv-tui-fetch-<source>`, always with the full set of
//! its fields, because a field that it owned and leaves out is removed. Two documents: the object
//! itself, and its status.
//!
//! *Facts* (provider labels, annotations, `spec.providerID`, everything in status) are the
//! fetcher's: they are forced. *People's fields* (`spec.cluster`, `role`, `team`, `environment`,
//! and every label made of a tag) are only given a default and never forced:
//!
//! 1. A field that exists and that our manager does not own is *contested*: somebody set it. It is
//!    left out of the set, for good. This is read from `managedFields` of the stored host, so it
//!    holds across restarts and needs no request that fails. (Somebody who removes the field
//!    altogether gives it back: the default returns. The empty text keeps it empty.)
//! 2. The object is applied **without** force. A new host, and one whose facts nobody touched, is
//!    done with this one request.
//! 3. Only on a conflict (409) the live host is read, contested fields are worked out anew,
//!    including those that another manager shares and that would change, and the rest is applied
//!    with force **and the resourceVersion that was read**: whoever changes the host in between
//!    makes that fail, and it begins again. So force never hits a field that a person has just set.
//! 4. Status is applied with force: it holds facts only. `status.phase` is left to whoever else
//!    owns it (the lifecycle controller, once there is one).
//!
//! `spec.maintenance`, `ansible`, `os`, `serviceState` and `paused` are never in the set.
//!
//! # A machine that several sources have
//! A new machine goes into the Host that it clearly is (`write/place.rs`, by the rules of
//! [`crate::model::identity`]), whoever's that is. There this source is a guest: it leaves out
//! whatever anybody else has, facts too, and never writes the labels and conditions that say whose the
//! host is. When the other source says that the machine is gone and this one still lists it, it takes
//! the facts over, as in step 3.
//!
//! # Several fetchers
//! A Lease for each source, `inv-tui-fetch-<source>`, says which one of several works on it; a
//! single pass (`--once`) takes it too. When it is lost the pass is dropped. What may still arrive
//! late, from a process that stood still, or from a slow network:
//!
//! - *Facts of a host that is there* carry no version. They may be older than what stands there by
//!   one pass; the next pass finds a difference and writes it again.
//! - *Missing, gone, removed* carry the version of the host that they were judged by, and are given
//!   up if anything that the source says of it has changed since (`Known::is_seen_as`). So no listing
//!   counts twice, and an old one ends no host of which a newer one had anything to write. (One mark
//!   may still land on a host that the newer pass saw and left as it stood: a request that was on
//!   its way for that long. The next pass takes it back, long before the grace time is over.)
//! - Nothing is sent when the Lease was not renewed in time ([`Term`](crate::store::lease::Term)): a
//!   process that wakes up after a pause looks at the clock before each write.
//!
//! No finalizer is put on hosts here: the decommission service puts its own on, so that where it does
//! not run every host can be deleted at once.

mod diff;
mod lost;
mod mapping;
mod metrics;
mod options;
mod progress;
mod project;
mod report;
mod scope;
mod setup;
mod source;
mod sources;
mod start;
#[cfg(test)]
mod testing;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::store::client::ConnectOptions;

pub use self::diff::Output;
pub use self::options::FetchArgs;

use self::diff::{Paper, Totals};
use self::lost::Policy;
use self::metrics::Metrics;
use self::progress::{Drawing, Progress};
use self::report::ScopeReport;
use self::setup::Lazy;
use self::source::SourceObject;
use self::write::Writer;
use crate::error::{EXIT_BUSY, EXIT_DONE, EXIT_USAGE, Error, Result, chain};
use crate::providers::{Provider, ProviderErrorKind, Scope};
use crate::store::lease::{Leadership, lead};
use crate::tasks::tended::tended;

/// Scopes that are listed at once.
const SCOPES: usize = 4;
/// Part of the interval by which a pass may begin earlier or later, so that many fetchers do not
/// meet at the provider.
const JITTER: f64 = 0.1;

/// Everything that the passes over one source need.
struct Context {
    /// Name of the source.
    name: String,
    provider: Lazy,
    interval: Duration,
    writer: Writer,
    writes: usize,
    policy: Policy,
    /// Scopes whose next complete listing is believed, however little it has.
    accept_loss: Mutex<BTreeSet<String>>,
    source: SourceObject,
    /// Longest time between two passes that read everything.
    full_every: Duration,
    /// Since when only changes are of interest, by scope.
    read: Mutex<BTreeMap<String, Read>>,
    /// What a dry run would write, of all sources.
    paper: Option<Arc<Paper>>,
    metrics: Metrics,
    progress: Arc<Progress>,
    /// Who of several works on the source.
    lease: tokio::sync::Mutex<Leadership>,
    stop: watch::Receiver<bool>,
}

/// How far a scope is read.
#[derive(Clone, Copy, Debug)]
struct Read {
    /// All changes before this are written.
    until: Timestamp,
    /// When everything was last read.
    full: Instant,
}

impl Context {
    /// Since when changes of a scope are unknown. None: everything is to be read.
    fn since(&self, scope: &str) -> Option<Timestamp> {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let read = read.get(scope).filter(|read| read.full.elapsed() < self.full_every)?;
        Some(read.until)
    }

    /// All that a scope had at the time `now` is written.
    fn advance(&self, scope: &str, now: Timestamp, full: bool) {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let old = read.get(scope).filter(|_| !full).map(|read| read.full);
        let full = old.unwrap_or_else(Instant::now);
        read.insert(scope.to_owned(), Read { until: now, full });
    }

    fn accepts_loss(&self, scope: &str) -> bool {
        self.accept_loss.lock().unwrap_or_else(PoisonError::into_inner).contains(scope)
    }

    fn loss_accepted(&self, scope: &str) {
        self.accept_loss.lock().unwrap_or_else(PoisonError::into_inner).remove(scope);
    }

    fn stopped(&self) -> bool {
        *self.stop.borrow()
    }
}

/// What came of a pass.
#[derive(Default)]
struct PassReport {
    scopes: Vec<ScopeReport>,
    /// What failed beside the scopes.
    problem: Option<Error>,
    /// How long it took.
    duration: Duration,
}

impl PassReport {
    /// A pass that could not even begin.
    fn failed(problem: Error) -> Self {
        Self { problem: Some(problem), ..Self::default() }
    }

    fn is_fine(&self) -> bool {
        self.problem.is_none()
            && self.scopes.iter().all(ScopeReport::is_fine)
            && !self.scopes.iter().all(|scope| scope.denied)
    }
}

/// Runs the task.
///
/// # Errors
/// What keeps it from starting: wrong usage, no credentials, no API server, missing definitions or
/// permissions. Later failures are logged, counted and end in the exit code.
pub async fn run(args: FetchArgs, server: &ConnectOptions, namespace: &str) -> Result<u8> {
    let options = args.options()?;
    let interactive = args.log.interactive() && options.once;
    crate::telemetry::start(args.log, if interactive { "warn" } else { "info" })?;
    let stop = crate::tasks::signals::signals("stopping: no further write is begun")?;
    let Some((contexts, _background)) =
        start::contexts(&options, server, namespace, stop.clone()).await?
    else {
        return Ok(EXIT_DONE); // stopped while it waited for the server
    };
    if options.once {
        return once(&contexts, options.output, interactive).await;
    }
    // each by itself, so that none waits for another
    let mut running = JoinSet::new();
    for context in contexts {
        let stop = stop.clone();
        running.spawn(async move {
            let every = || Box::pin(every(&context, stop.clone()));
            let broke_off = || context.metrics.broke_off();
            tended("a source", stop.clone(), broke_off, every).await.unwrap_or(Ok(()))
        });
    }
    let mut broken = None;
    while let Some(ended) = running.join_next().await {
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(problem)) => broken = Some(problem),
            Err(cause) => {
                broken = Some(Error::new("a source broke off; this is a bug").because(cause));
            }
        }
    }
    broken.map_or(Ok(EXIT_DONE), Err)
}

/// One pass over each source.
async fn once(contexts: &[Arc<Context>], output: Output, interactive: bool) -> Result<u8> {
    let progress: Vec<_> = contexts.iter().map(|context| Arc::clone(&context.progress)).collect();
    let drawing = interactive.then(|| Drawing::start(progress));
    let reports = futures::future::join_all(contexts.iter().map(turn)).await;
    drop(drawing);
    if let Some(paper) = contexts.first().and_then(|context| context.paper.as_ref()) {
        let totals = contexts.iter().zip(&reports).map(|(context, report)| Totals {
            source: &context.name,
            seen: report.scopes.iter().map(|scope| scope.seen).sum(),
            done: report.is_fine(),
        });
        paper.print(output, &totals.collect::<Vec<_>>());
    }
    let total = reports.len();
    let mut failed = Vec::new();
    for (context, report) in contexts.iter().zip(reports) {
        // with one source the words are about its scopes alone
        let whose = if total > 1 { format!("{}/", context.name) } else { String::new() };
        tell_person(&report, &whose, interactive);
        if !report.is_fine() {
            failed.push((context.name.clone(), once_failed(report)));
        }
    }
    if failed.is_empty() {
        return Ok(EXIT_DONE);
    }
    Err(several_failed(failed, total))
}

fn tell_person(report: &PassReport, whose: &str, interactive: bool) {
    let mut stderr = std::io::stderr();
    for scope in &report.scopes {
        if interactive {
            let line = format!("{whose}{}", scope.summary());
            let _ = writeln!(stderr, "{}", crate::model::text::clean(&line));
        }
    }
    for scope in report.scopes.iter().filter(|scope| scope.failures.count() > 0) {
        let named = scope.failures.named();
        let _ = writeln!(stderr, "inv-tui: {whose}{}: {}", scope.name, scope.failures);
        for (name, why) in named {
            let _ = writeln!(stderr, "  {}", crate::model::text::clean(&format!("{name}: {why}")));
        }
        if scope.failures.count() > named.len() {
            let _ = writeln!(stderr, "  and {} more", scope.failures.count() - named.len());
        }
    }
}

/// A single pass over a source, when it is its turn.
async fn turn(context: &Arc<Context>) -> PassReport {
    let begun = Box::pin(async {
        match start::listed(context.writer.hosts(), false, context.stop.clone()).await {
            Ok(true) => pass(context).await,
            Ok(false) => PassReport::failed(Error::new("stopped before the begin")),
            Err(problem) => PassReport::failed(problem),
        }
    });
    if context.paper.is_some() {
        return begun.await;
    }
    let lease = context.lease.lock().await;
    match lease.turn(context.stop.clone()).await {
        Ok(None) => {}
        Ok(Some(other)) => return PassReport::failed(busy(&context.name, &other)),
        Err(problem) => return PassReport::failed(problem),
    }
    context.metrics.leads(true);
    let report = lease.hold(begun).await.unwrap_or_else(PassReport::failed);
    context.metrics.leads(false);
    lease.release().await;
    report
}

fn busy(source: &str, other: &str) -> Error {
    Error::new(format!("another fetcher works on source \"{source}\": \"{other}\""))
        .hint("nothing is to be done by hand then; stop it first if you want to, or look only with --dry-run")
        .as_busy()
}

/// The error of a single pass over several sources. The set-up, or another fetcher, is to blame only
/// if it is for all.
fn several_failed(failed: Vec<(String, Error)>, total: usize) -> Error {
    let all = |code| failed.len() == total && failed.iter().all(|(_, e)| e.exit_code() == code);
    let (setup, others) = (all(EXIT_USAGE), all(EXIT_BUSY));
    let names = failed.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    let what = format!("{} of {total} sources not fully done ({names})", failed.len());
    for (name, problem) in &failed {
        tracing::error!(
            source = name,
            error = chain(problem),
            hint = problem.next_step(),
            "failed"
        );
    }
    let Some((_, first)) = failed.into_iter().next() else { return Error::new(what) };
    if total == 1 {
        return first;
    }
    let error = Error::new(what).because(first);
    match (setup, others) {
        (true, _) => error.as_usage(),
        (_, true) => error.as_busy(),
        _ => error,
    }
}

/// The error that a single pass ends with. The set-up is to blame only if nothing at all worked.
fn once_failed(report: PassReport) -> Error {
    if let Some(problem) = report.problem {
        return problem;
    }
    let total = report.scopes.len();
    let setup = report.scopes.iter().all(|scope| {
        scope.incomplete.as_ref().and_then(|i| i.kind).is_some_and(ProviderErrorKind::is_setup)
    });
    let bad: Vec<String> =
        report.scopes.iter().filter(|s| !s.is_fine() || s.denied).map(|s| s.name.clone()).collect();
    let first = report.scopes.into_iter().filter(|s| !s.is_fine() || s.denied).find_map(|scope| {
        let trip = scope.breaker.map(|trip| {
            Error::new(format!("breaker open: {trip}")).hint(format!(
                "if the hosts are really gone, start it once with --accept-loss {}",
                scope.name
            ))
        });
        scope.incomplete.map(|i| i.error).or(trip)
    });
    let named = bad.iter().take(10).cloned().collect::<Vec<_>>().join(", ");
    let error = Error::new(format!("{} of {total} scopes not fully done ({named})", bad.len()));
    let error = match first {
        Some(cause) => error.because(cause),
        None => error,
    };
    if setup { error.as_usage() } else { error }
}

/// Passes over a source whenever its Lease is held, until a stop is asked for.
async fn every(context: &Arc<Context>, stop: watch::Receiver<bool>) -> Result<()> {
    if !start::listed(context.writer.hosts(), true, stop.clone()).await? {
        return Ok(());
    }
    let lease = context.lease.lock().await;
    let told = |leads| context.metrics.leads(leads);
    lead(&lease, stop.clone(), told, || Box::pin(passes(context, stop.clone()))).await;
    tracing::info!(source = context.name, "stopped");
    Ok(())
}

/// Passes over a source until a stop is asked for. Dropped when the Lease is lost: what is under way
/// then ends with it, and what was sent already does no harm (see above).
async fn passes(context: &Arc<Context>, mut stop: watch::Receiver<bool>) {
    loop {
        let began = Instant::now();
        let report = pass(context).await;
        if let Some(problem) = &report.problem {
            let (error, hint) = (chain(problem), problem.next_step());
            tracing::error!(source = context.name, error, hint, "pass failed");
        }
        let jitter = fastrand::f64().mul_add(2.0 * JITTER, 1.0 - JITTER);
        let soonest = Instant::now() + Duration::from_secs(1);
        let next = (began + context.interval.mul_f64(jitter)).max(soonest);
        let stirred = async {
            match context.provider.made() {
                Some(provider) => provider.stirred().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            () = tokio::time::sleep_until(next) => {}
            () = stirred => tracing::info!(source = context.name, "the source changed"),
        }
    }
}

/// The scopes of a source, whose provider is made if it is not yet.
async fn scopes(context: &Context) -> Result<(Arc<dyn Provider>, Vec<Scope>)> {
    let provider = Arc::clone(context.provider.get().await?);
    match provider.scopes().await {
        Ok(scopes) => Ok((provider, scopes)),
        Err(problem) => {
            context.metrics.provider_error("", problem.kind);
            Err(problem.into())
        }
    }
}

/// One pass over every scope of a source.
async fn pass(context: &Arc<Context>) -> PassReport {
    let began = Instant::now();
    let now = start::now();
    context.writer.begin();
    let mut report = PassReport::default();
    let made =
        if context.paper.is_some() { Ok(()) } else { context.source.ensure().await.map(drop) };
    let scopes = match made {
        Ok(()) => scopes(context).await,
        Err(problem) => Err(problem),
    };
    match scopes {
        Err(problem) => report.problem = Some(problem),
        Ok((provider, scopes)) => {
            let places = Arc::new(Semaphore::new(SCOPES));
            let mut running = JoinSet::new();
            for scope in scopes {
                let (context, places) = (Arc::clone(context), Arc::clone(&places));
                let provider = Arc::clone(&provider);
                running.spawn(async move {
                    let _place = places.acquire_owned().await;
                    let report = scope::run(&context, &*provider, &scope, now).await;
                    tell(&context, &report);
                    report
                });
            }
            while let Some(done) = running.join_next().await {
                match done {
                    Ok(scope) => report.scopes.push(scope),
                    Err(cause) => {
                        report.problem =
                            Some(Error::new("a scope broke off; this is a bug").because(cause));
                    }
                }
            }
        }
    }
    report.scopes.sort_by(|a, b| a.name.cmp(&b.name));
    report.duration = began.elapsed();
    if !context.stopped() && context.paper.is_none() && context.writer.may() {
        let unwritten = context.source.write(&report, start::now()).await.err();
        report.problem = report.problem.or(unwritten);
    }
    let duration = began.elapsed();
    context.metrics.pass(duration, report.is_fine(), start::now());
    tracing::info!(
        source = context.name,
        scopes = report.scopes.len(),
        writes = context.metrics.writes_sent(),
        seconds = duration.as_secs_f64(),
        done = report.is_fine(),
        "pass"
    );
    report
}

fn tell(context: &Context, report: &ScopeReport) {
    context.metrics.scope(report, start::now());
    let error = report.incomplete.as_ref().map(|i| chain(&i.error));
    let hint = report.incomplete.as_ref().and_then(|i| i.error.next_step());
    let source = &context.name;
    if context.stopped() {
        tracing::info!(source, scope = report.name, "stopped before the end");
    } else if error.is_some() && !report.denied {
        tracing::error!(
            source,
            scope = report.name,
            error,
            hint,
            "scope incomplete: nothing was marked missing"
        );
    } else if report.denied {
        tracing::warn!(source, scope = report.name, error, "scope denied, left out");
    }
    tracing::info!(
        source,
        scope = report.name,
        partial = report.partial,
        complete = report.complete,
        pages = report.pages,
        seen = report.seen,
        created = report.created,
        changed = report.changed,
        missing = report.marked_missing,
        gone = report.marked_gone,
        removed = report.removed,
        kept = report.kept,
        failed = report.failures.count(),
        listing_seconds = report.listing.as_secs_f64(),
        seconds = report.duration.as_secs_f64(),
        "scope"
    );
}
