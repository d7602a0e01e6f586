//! What the task counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::model::host::RunState;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct End {
    state: &'static str,
}

/// The metrics of the task; a clone counts into the same ones.
#[derive(Clone, Debug, Default)]
pub(super) struct Metrics {
    ended: Family<End, Counter>,
    running: Gauge<i64, AtomicI64>,
    hosts: Gauge<i64, AtomicI64>,
    leads: Gauge<i64, AtomicI64>,
    watch_errors: Counter,
    broken_off: Counter,
    synced: Arc<AtomicBool>,
}

impl Metrics {
    /// The metrics, and the registry that shows them.
    pub(super) fn new() -> (Self, Arc<Registry>) {
        let this = Self::default();
        let mut root = Registry::with_prefix("inv_tui_runner");
        root.register(
            "build",
            "Which program this is",
            Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]),
        );
        root.register("ended", "Runs whose end was reported, by state", this.ended.clone());
        root.register("running", "Runs that go on", this.running.clone());
        root.register("hosts", "Hosts that want a run", this.hosts.clone());
        root.register("leads", "1 while this one of several begins runs", this.leads.clone());
        let help = "Times that the watch on the hosts broke off";
        root.register("watch_errors", help, this.watch_errors.clone());
        let help = "Times that work broke off by a fault of inv-tui, and was begun again";
        root.register("broken_off", help, this.broken_off.clone());
        (this, Arc::new(root))
    }

    pub(super) fn ended(&self, state: RunState) {
        self.ended.get_or_create(&End { state: state.as_str() }).inc();
    }

    pub(super) fn hosts(&self, number: usize) {
        self.hosts.set(i64::try_from(number).unwrap_or(i64::MAX));
    }

    pub(super) fn leads(&self, is: bool) {
        self.leads.set(i64::from(is));
    }

    pub(super) fn watch_failed(&self) {
        self.watch_errors.inc();
    }

    pub(super) fn broke_off(&self) {
        self.broken_off.inc();
    }

    #[cfg(test)]
    pub(super) fn broken_off(&self) -> u64 {
        self.broken_off.get()
    }

    pub(super) fn synced(&self) {
        self.synced.store(true, Ordering::Relaxed);
    }

    /// A run goes on as long as the answer lives.
    pub(super) fn running(&self) -> Running {
        self.running.inc();
        Running(self.running.clone())
    }

    pub(super) fn ready(&self) -> Result<(), String> {
        let synced = self.synced.load(Ordering::Relaxed);
        if synced { Ok(()) } else { Err("the hosts have not been listed yet".to_owned()) }
    }
}

/// One run that goes on.
pub(super) struct Running(Gauge<i64, AtomicI64>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.dec();
    }
}
