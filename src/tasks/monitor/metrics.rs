//! What the task counts.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::model::targets::Counts;
use crate::tasks::http::number;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Hosts {
    job: String,
    what: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Done {
    job: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Of {
    alertmanager: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Request {
    alertmanager: String,
    what: &'static str,
    outcome: &'static str,
}

/// The metrics of the task; a clone counts into the same ones.
#[derive(Clone, Debug, Default)]
pub(super) struct Metrics {
    synced: Gauge<i64, AtomicI64>,
    leads: Gauge<i64, AtomicI64>,
    hosts: Gauge<i64, AtomicI64>,
    jobs: Family<Hosts, Gauge<i64, AtomicI64>>,
    lists: Family<Done, Counter>,
    files: Family<Done, Counter>,
    up: Family<Of, Gauge<i64, AtomicI64>>,
    silences: Family<Of, Gauge<i64, AtomicI64>>,
    without: Family<Of, Gauge<i64, AtomicI64>>,
    requests: Family<Request, Counter>,
    broken_off: Counter,
}

impl Metrics {
    /// The metrics, and the registry that shows them.
    pub(super) fn new() -> (Self, Arc<Registry>) {
        let this = Self::default();
        let mut root = Registry::with_prefix("inv_tui_monitor");
        let r = &mut root;
        r.register("synced", "1 while all hosts are known and followed", this.synced.clone());
        r.register("leads", "1 while this one of several makes silences", this.leads.clone());
        r.register("hosts", "Hosts that are known", this.hosts.clone());
        r.register("job_hosts", "Hosts of a job, by what became of them", this.jobs.clone());
        r.register("lists", "Lists of targets that were asked for", this.lists.clone());
        r.register("file_writes", "Files of targets that were written", this.files.clone());
        r.register(
            "alertmanager_up",
            "1 while one of the Alertmanagers does as told",
            this.up.clone(),
        );
        r.register("silences", "Silences of ours that are in force", this.silences.clone());
        r.register(
            "held_without_silence",
            "Hosts in maintenance whose silence somebody ended by hand, or that cannot be told from others",
            this.without.clone(),
        );
        r.register("silence_requests", "Requests to Alertmanager", this.requests.clone());
        r.register(
            "broken_off",
            "Times that work broke off by a fault of inv-tui, and was begun again",
            this.broken_off.clone(),
        );
        (this, Arc::new(root))
    }

    pub(super) fn broke_off(&self) {
        self.broken_off.inc();
    }

    pub(super) fn synced(&self, synced: bool) {
        self.synced.set(synced.into());
    }

    pub(super) fn is_synced(&self) -> bool {
        self.synced.get() == 1
    }

    pub(super) fn leads(&self, leads: bool) {
        self.leads.set(leads.into());
    }

    pub(super) fn hosts(&self, hosts: usize) {
        self.hosts.set(number(hosts));
    }

    pub(super) fn job(&self, job: &str, counts: Counts) {
        for (what, count) in [
            ("target", counts.targets),
            ("out-of-service", counts.left_out),
            ("no-address", counts.addressless),
        ] {
            let labels = Hosts { job: job.to_owned(), what };
            self.jobs.get_or_create(&labels).set(number(count));
        }
    }

    pub(super) fn list(&self, job: &str, outcome: &'static str) {
        self.lists.get_or_create(&Done { job: job.to_owned(), outcome }).inc();
    }

    pub(super) fn file(&self, job: &str, outcome: &'static str) {
        self.files.get_or_create(&Done { job: job.to_owned(), outcome }).inc();
    }

    pub(super) fn up(&self, alertmanager: &str, up: bool) {
        self.up.get_or_create(&Of { alertmanager: alertmanager.to_owned() }).set(up.into());
    }

    pub(super) fn silences(&self, alertmanager: &str, silences: usize, without: usize) {
        let of = Of { alertmanager: alertmanager.to_owned() };
        self.silences.get_or_create(&of).set(number(silences));
        self.without.get_or_create(&of).set(number(without));
    }

    pub(super) fn request(&self, alertmanager: &str, what: &'static str, done: bool) {
        let outcome = if done { "done" } else { "failed" };
        let alertmanager = alertmanager.to_owned();
        self.requests.get_or_create(&Request { alertmanager, what, outcome }).inc();
    }
}
