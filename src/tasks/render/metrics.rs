//! What the task counts.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::tasks::http::number;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Of {
    file: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Hosts {
    file: String,
    what: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Done {
    file: String,
    outcome: &'static str,
}

/// The metrics of the task; a clone counts into the same ones.
#[derive(Clone, Debug, Default)]
pub(super) struct Metrics {
    synced: Gauge<i64, AtomicI64>,
    hosts: Gauge<i64, AtomicI64>,
    files: Family<Hosts, Gauge<i64, AtomicI64>>,
    current: Family<Of, Gauge<i64, AtomicI64>>,
    writes: Family<Done, Counter>,
    commands: Family<Done, Counter>,
}

impl Metrics {
    /// The metrics, and the registry that shows them.
    pub(super) fn new() -> (Self, Arc<Registry>) {
        let this = Self::default();
        let mut root = Registry::with_prefix("inv_tui_render");
        let r = &mut root;
        r.register("synced", "1 while all hosts are known and followed", this.synced.clone());
        r.register("hosts", "Hosts that are known", this.hosts.clone());
        r.register("file_hosts", "Hosts of a file, by what became of them", this.files.clone());
        r.register(
            "file_current",
            "1 while the file is as the hosts are, and its reader has been told",
            this.current.clone(),
        );
        r.register("writes", "Times that a file was rendered", this.writes.clone());
        r.register("commands", "Times that a command was run", this.commands.clone());
        (this, Arc::new(root))
    }

    pub(super) fn synced(&self, synced: bool) {
        self.synced.set(synced.into());
    }

    pub(super) fn is_synced(&self) -> bool {
        self.synced.get() == 1
    }

    pub(super) fn hosts(&self, hosts: usize) {
        self.hosts.set(number(hosts));
    }

    pub(super) fn file(&self, file: &str, rendered: usize, left_out: usize) {
        for (what, count) in [("rendered", rendered), ("left-out", left_out)] {
            let labels = Hosts { file: file.to_owned(), what };
            self.files.get_or_create(&labels).set(number(count));
        }
    }

    pub(super) fn current(&self, file: &str, current: bool) {
        self.current.get_or_create(&Of { file: file.to_owned() }).set(current.into());
    }

    pub(super) fn write(&self, file: &str, outcome: &'static str) {
        self.writes.get_or_create(&Done { file: file.to_owned(), outcome }).inc();
    }

    pub(super) fn command(&self, file: &str, done: bool) {
        let outcome = if done { "done" } else { "failed" };
        self.commands.get_or_create(&Done { file: file.to_owned(), outcome }).inc();
    }
}
