//! What the task counts.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Decision {
    outcome: &'static str,
    reason: &'static str,
}

/// The metrics of the task; a clone counts into the same ones.
#[derive(Clone)]
pub(super) struct Metrics {
    decisions: Family<Decision, Counter>,
    pending: Gauge<i64, AtomicI64>,
    leads: Gauge<i64, AtomicI64>,
    errors: Counter,
}

impl Metrics {
    /// The metrics, and the registry that shows them.
    pub(super) fn new() -> (Self, Arc<Registry>) {
        let this = Self {
            decisions: Family::default(),
            pending: Gauge::default(),
            leads: Gauge::default(),
            errors: Counter::default(),
        };
        let mut root = Registry::with_prefix("inv_tui_approve");
        root.register(
            "build",
            "Which program this is",
            Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]),
        );
        root.register(
            "decisions",
            "Requests approved, denied, or left pending for a new reason",
            this.decisions.clone(),
        );
        root.register("requests_pending", "Requests that nobody has decided", this.pending.clone());
        root.register("leads", "1 while this one of several works", this.leads.clone());
        root.register(
            "errors",
            "Requests that could not be looked at or decided",
            this.errors.clone(),
        );
        (this, Arc::new(root))
    }

    pub(super) fn decided(&self, outcome: &'static str, reason: &'static str) {
        self.decisions.get_or_create(&Decision { outcome, reason }).inc();
    }

    pub(super) fn pending(&self, count: usize) {
        self.pending.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    pub(super) fn leads(&self, leads: bool) {
        self.leads.set(i64::from(leads));
    }

    pub(super) fn error(&self) {
        self.errors.inc();
    }
}
