//! What the task counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::report::ScopeReport;
use crate::providers::ProviderErrorKind;
use crate::store::hosts::Hosts;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Source {
    source: Arc<str>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Scope {
    source: Arc<str>,
    scope: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ScopeOutcome {
    source: Arc<str>,
    scope: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ScopeKind {
    source: Arc<str>,
    scope: String,
    kind: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Outcome {
    source: Arc<str>,
    outcome: &'static str,
}

type Seconds = Gauge<f64, AtomicU64>;

/// The metrics of one source; a clone counts into the same ones.
#[derive(Clone, Debug)]
pub(super) struct Metrics {
    source: Arc<str>,
    passes: Family<Outcome, Counter>,
    pass_seconds: Family<Source, Histogram>,
    last_pass: Family<Source, Seconds>,
    scope_seconds: Family<Scope, Seconds>,
    hosts: Family<ScopeOutcome, Counter>,
    listed: Family<Scope, Gauge<i64, AtomicI64>>,
    missing: Family<Scope, Gauge<i64, AtomicI64>>,
    breaker: Family<Scope, Gauge<i64, AtomicI64>>,
    last_complete: Family<Scope, Seconds>,
    errors: Family<ScopeKind, Counter>,
    writes: Family<Outcome, Counter>,
    skipped: Family<Source, Counter>,
    leads: Family<Source, Gauge<i64, AtomicI64>>,
    broken_off: Counter,
}

impl Metrics {
    /// Metrics of no source yet ([`Metrics::of`]), and the registry that shows those of all.
    pub(super) fn new() -> (Self, Registry) {
        let buckets = || Histogram::new([0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0]);
        let this = Self {
            source: "".into(),
            passes: Family::default(),
            pass_seconds: Family::new_with_constructor(buckets),
            last_pass: Family::default(),
            scope_seconds: Family::default(),
            hosts: Family::default(),
            listed: Family::default(),
            missing: Family::default(),
            breaker: Family::default(),
            last_complete: Family::default(),
            errors: Family::default(),
            writes: Family::default(),
            skipped: Family::default(),
            leads: Family::default(),
            broken_off: Counter::default(),
        };
        let mut root = Registry::with_prefix("inv_tui_fetch");
        let r = &mut root;
        r.register(
            "build",
            "Which program this is",
            Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]),
        );
        r.register("passes", "Passes, by outcome", this.passes.clone());
        r.register_with_unit(
            "pass_duration",
            "How long a pass took",
            Unit::Seconds,
            this.pass_seconds.clone(),
        );
        r.register_with_unit(
            "last_pass_timestamp",
            "End of the last pass",
            Unit::Seconds,
            this.last_pass.clone(),
        );
        r.register_with_unit(
            "scope_duration",
            "How long the last pass over a scope took",
            Unit::Seconds,
            this.scope_seconds.clone(),
        );
        r.register(
            "hosts",
            "Hosts seen, created, changed, marked missing or gone, removed, failed",
            this.hosts.clone(),
        );
        r.register(
            "hosts_listed",
            "Hosts in the last complete listing of a scope",
            this.listed.clone(),
        );
        r.register("hosts_missing", "Hosts of a scope that are missing now", this.missing.clone());
        r.register(
            "breaker_open",
            "1 while a scope would lose too many hosts",
            this.breaker.clone(),
        );
        r.register_with_unit(
            "last_complete_timestamp",
            "End of the last complete listing of a scope",
            Unit::Seconds,
            this.last_complete.clone(),
        );
        r.register("provider_errors", "Listings that failed, by class", this.errors.clone());
        r.register("writes", "Writes sent to the API server, by outcome", this.writes.clone());
        r.register("writes_skipped", "Hosts that stood as they should", this.skipped.clone());
        r.register("leads", "1 while this one of several works on the source", this.leads.clone());
        let help = "Times that work broke off by a fault of inv-tui, and was begun again";
        r.register("broken_off", help, this.broken_off.clone());
        (this, root)
    }

    pub(super) fn broke_off(&self) {
        self.broken_off.inc();
    }

    /// The metrics of this source.
    pub(super) fn of(&self, source: &str) -> Self {
        let this = Self { source: source.into(), ..self.clone() };
        this.leads(false);
        this
    }

    fn source(&self) -> Source {
        Source { source: Arc::clone(&self.source) }
    }

    fn outcome(&self, outcome: &'static str) -> Outcome {
        Outcome { source: Arc::clone(&self.source), outcome }
    }

    /// Whether the Lease of the source is held from now on.
    pub(super) fn leads(&self, leads: bool) {
        self.leads.get_or_create(&self.source()).set(leads.into());
    }

    /// Whether any pass is finished.
    pub(super) fn any_pass(&self) -> bool {
        self.last_pass.get_or_create(&self.source()).get() > 0.0
    }

    /// One write was answered.
    pub(super) fn write(&self, done: bool) {
        let outcome = if done { "done" } else { "refused" };
        self.writes.get_or_create(&self.outcome(outcome)).inc();
    }

    /// One host needed no write.
    pub(super) fn skipped(&self) {
        self.skipped.get_or_create(&self.source()).inc();
    }

    /// Writes that were sent so far, whatever their answer.
    pub(super) fn writes_sent(&self) -> u64 {
        ["done", "refused"]
            .map(|outcome| self.writes.get_or_create(&self.outcome(outcome)).get())
            .iter()
            .sum()
    }

    /// A provider could not be asked.
    pub(super) fn provider_error(&self, scope: &str, kind: ProviderErrorKind) {
        let source = Arc::clone(&self.source);
        let labels = ScopeKind { source, scope: scope.to_owned(), kind: kind.as_str() };
        self.errors.get_or_create(&labels).inc();
    }

    /// A scope is done.
    pub(super) fn scope(&self, report: &ScopeReport, now: Timestamp) {
        let source = || Arc::clone(&self.source);
        let scope = || Scope { source: source(), scope: report.name.clone() };
        let count = |outcome: &'static str, number: usize| {
            let labels = ScopeOutcome { source: source(), scope: report.name.clone(), outcome };
            self.hosts.get_or_create(&labels).inc_by(number as u64);
        };
        count("seen", report.seen);
        count("created", report.created);
        count("changed", report.changed);
        count("missing", report.marked_missing);
        count("gone", report.marked_gone);
        count("removed", report.removed);
        count("failed", report.failures.count());
        self.scope_seconds.get_or_create(&scope()).set(report.duration.as_secs_f64());
        self.missing.get_or_create(&scope()).set(gauge(report.missing_now));
        self.breaker.get_or_create(&scope()).set(i64::from(report.breaker.is_some()));
        if report.complete {
            self.listed.get_or_create(&scope()).set(gauge(report.seen));
            self.last_complete.get_or_create(&scope()).set(seconds(now));
        }
    }

    /// A pass is done.
    pub(super) fn pass(&self, duration: Duration, done: bool, now: Timestamp) {
        let outcome = if done { "done" } else { "partly" };
        self.pass_seconds.get_or_create(&self.source()).observe(duration.as_secs_f64());
        self.last_pass.get_or_create(&self.source()).set(seconds(now));
        // The last one: whoever waits for a pass finds the rest as it says.
        self.passes.get_or_create(&self.outcome(outcome)).inc();
    }
}

/// Tells of the watch of each source when somebody asks.
pub(super) struct Watches(pub(super) Vec<(Arc<str>, Hosts)>);

impl std::fmt::Debug for Watches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(source, _)| source)).finish()
    }
}

impl Collector for Watches {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let help = "1 while the hosts of the source cannot be followed";
        let mut metric =
            encoder.encode_descriptor("watch_broken", help, None, MetricType::Gauge)?;
        for (source, hosts) in &self.0 {
            let broken: Gauge<i64, AtomicI64> = Gauge::default();
            broken.set(i64::from(!hosts.in_sync()));
            broken.encode(metric.encode_family(&Source { source: Arc::clone(source) })?)?;
        }
        Ok(())
    }
}

fn gauge(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn seconds(time: Timestamp) -> f64 {
    time.as_duration().as_secs_f64()
}
