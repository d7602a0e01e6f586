//! What the task counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::tasks::http::{number, waits_or_has_read};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Attempt {
    step: String,
    outcome: &'static str,
}

/// The metrics of the task; a clone counts into the same ones.
#[derive(Clone, Debug, Default)]
pub(super) struct Metrics {
    attempts: Family<Attempt, Counter>,
    writes: Counter,
    skipped: Counter,
    failures: Counter,
    finalizers: Counter,
    removed: Counter,
    deleting: Gauge<i64, AtomicI64>,
    waiting: Gauge<i64, AtomicI64>,
    leads: Gauge<i64, AtomicI64>,
    synced: Arc<AtomicBool>,
}

impl Metrics {
    /// The metrics, and the registry that shows them.
    pub(super) fn new() -> (Self, Arc<Registry>) {
        let this = Self::default();
        let mut root = Registry::with_prefix("inv_tui_decommission");
        let r = &mut root;
        r.register("attempts", "Attempts of steps, by step and outcome", this.attempts.clone());
        r.register("writes", "Records written", this.writes.clone());
        r.register("writes_skipped", "Records that stood as they should", this.skipped.clone());
        r.register("failures", "Hosts that could not be looked after", this.failures.clone());
        r.register("finalizers", "Hosts that got the finalizer", this.finalizers.clone());
        r.register("removed", "Hosts that were let go, all steps over", this.removed.clone());
        r.register("hosts", "Hosts that are being decommissioned", this.deleting.clone());
        r.register("waiting", "Of them, those that wait for somebody", this.waiting.clone());
        r.register("leads", "1 while this one of several works", this.leads.clone());
        (this, Arc::new(root))
    }

    pub(super) fn attempt(&self, step: &str, outcome: &'static str) {
        self.attempts.get_or_create(&Attempt { step: step.to_owned(), outcome }).inc();
    }

    pub(super) fn wrote(&self) {
        self.writes.inc();
    }

    pub(super) fn skipped(&self) {
        self.skipped.inc();
    }

    pub(super) fn failed(&self) {
        self.failures.inc();
    }

    pub(super) fn marked(&self) {
        self.finalizers.inc();
    }

    pub(super) fn removed(&self) {
        self.removed.inc();
    }

    pub(super) fn hosts(&self, deleting: usize, waiting: usize) {
        self.deleting.set(number(deleting));
        self.waiting.set(number(waiting));
    }

    pub(super) fn leads(&self, leads: bool) {
        self.leads.set(leads.into());
        self.synced.store(false, Ordering::Relaxed);
    }

    pub(super) fn synced(&self) {
        self.synced.store(true, Ordering::Relaxed);
    }

    /// Whether it waits for its turn, or has read everything; if not, why.
    pub(super) fn ready(&self) -> Result<(), String> {
        waits_or_has_read(self.leads.get() != 0, self.synced.load(Ordering::Relaxed))
    }
}
