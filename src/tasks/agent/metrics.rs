//! What the task counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64};

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

/// The metrics of the task; a clone counts into the same ones.
#[derive(Clone, Debug, Default)]
pub(super) struct Metrics {
    heartbeats: Family<Outcome, Counter>,
    certificate: Gauge<f64, AtomicU64>,
    knows: Gauge<i64, AtomicI64>,
}

impl Metrics {
    /// The metrics, and the registry that shows them.
    pub(super) fn new() -> (Self, Arc<Registry>) {
        let this = Self::default();
        let mut root = Registry::with_prefix("inv_tui_agent");
        root.register(
            "build",
            "Which program this is",
            Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]),
        );
        root.register("heartbeats", "Heartbeats, by outcome", this.heartbeats.clone());
        root.register_with_unit(
            "certificate_expiry_timestamp",
            "End of the certificate's life; 0 where a kubeconfig was named",
            Unit::Seconds,
            this.certificate.clone(),
        );
        let help = "1 while the agent knows its Host";
        root.register("host_known", help, this.knows.clone());
        (this, Arc::new(root))
    }

    /// A heartbeat was answered, or not.
    pub(super) fn heartbeat(&self, done: bool) {
        let outcome = if done { "done" } else { "failed" };
        self.heartbeats.get_or_create(&Outcome { outcome }).inc();
    }

    /// The certificate ends then.
    pub(super) fn certificate(&self, ends: Timestamp) {
        self.certificate.set(ends.as_duration().as_secs_f64());
    }

    /// Whether the Host is known from now on.
    pub(super) fn knows(&self, it: bool) {
        self.knows.set(it.into());
    }
}
