//! What the task counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Write {
    what: &'static str,
    outcome: &'static str,
}

/// The metrics of the task; a clone counts into the same ones.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    writes: Family<Write, Counter>,
    skipped: Counter,
    failures: Counter,
    ended: Counter,
    hosts: Gauge<i64, AtomicI64>,
    waiting: Gauge<i64, AtomicI64>,
    leads: Gauge<i64, AtomicI64>,
    synced: Arc<AtomicBool>,
}

impl Metrics {
    /// The metrics, and the registry that shows them.
    pub(super) fn new() -> (Self, Arc<Registry>) {
        let this = Self::default();
        let mut root = Registry::with_prefix("inv_tui_lifecycle");
        let r = &mut root;
        r.register("writes", "Writes, by what was written and outcome", this.writes.clone());
        r.register("writes_skipped", "Hosts that stood as they should", this.skipped.clone());
        r.register("failures", "Hosts and places that could not be settled", this.failures.clone());
        r.register("holds_ended", "Holds that ran out and were ended", this.ended.clone());
        r.register("hosts", "Hosts that are known", this.hosts.clone());
        r.register("waiting", "Hosts that something is due for", this.waiting.clone());
        r.register("leads", "1 while this one of several works", this.leads.clone());
        (this, Arc::new(root))
    }

    pub(super) fn write(&self, what: &'static str, done: bool) {
        let outcome = if done { "done" } else { "refused" };
        self.writes.get_or_create(&Write { what, outcome }).inc();
    }

    pub(super) fn skipped(&self) {
        self.skipped.inc();
    }

    pub(super) fn failed(&self) {
        self.failures.inc();
    }

    pub(super) fn ended(&self) {
        self.ended.inc();
    }

    pub(super) fn fleet(&self, hosts: usize, waiting: usize) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.hosts.set(number(hosts));
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
        if self.leads.get() == 0 || self.synced.load(Ordering::Relaxed) {
            return Ok(());
        }
        Err("the hosts are not read yet".to_owned())
    }
}
