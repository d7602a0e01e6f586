//! What the task counts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::model::host::Phase;
use crate::model::lifecycle::rollup::Counts;
use crate::tasks::http::{number, waits_or_has_read};

/// Regions that have numbers of their own: more would be more than a dashboard shows.
const REGIONS: usize = 50;
/// The others.
const OTHER: &str = "other";

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Write {
    what: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct InPhase {
    phase: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct InRegion {
    region: Arc<str>,
    state: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Watch {
    resource: &'static str,
}

type Number<L> = Family<L, Gauge<i64, AtomicI64>>;

/// The metrics of the task; a clone counts into the same ones.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    writes: Family<Write, Counter>,
    skipped: Counter,
    failures: Counter,
    ended: Counter,
    hosts: Number<InPhase>,
    regions: Number<InRegion>,
    clusters: Gauge<i64, AtomicI64>,
    exhausted: Gauge<i64, AtomicI64>,
    watch_errors: Family<Watch, Counter>,
    waiting: Gauge<i64, AtomicI64>,
    leads: Gauge<i64, AtomicI64>,
    synced: Arc<AtomicBool>,
    /// Regions that were shown.
    known: Arc<Mutex<BTreeSet<Arc<str>>>>,
}

impl Metrics {
    /// The metrics, and the registry that shows them.
    pub(super) fn new() -> (Self, Arc<Registry>) {
        let this = Self::default();
        let mut root = Registry::with_prefix("inv_tui_lifecycle");
        let r = &mut root;
        r.register(
            "build",
            "Which program this is",
            Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]),
        );
        r.register("writes", "Writes, by what was written and outcome", this.writes.clone());
        r.register("writes_skipped", "Hosts that stood as they should", this.skipped.clone());
        r.register("failures", "Hosts and places that could not be settled", this.failures.clone());
        r.register("holds_ended", "Holds that ran out and were ended", this.ended.clone());
        r.register("hosts", "Hosts, by phase", this.hosts.clone());
        r.register(
            "region_hosts",
            "Hosts of a region, by state; a region beyond the fiftieth is in the region \"other\"",
            this.regions.clone(),
        );
        r.register("clusters", "Clusters that are known", this.clusters.clone());
        r.register(
            "clusters_exhausted",
            "Clusters whose disruption budget has nothing left",
            this.exhausted.clone(),
        );
        r.register(
            "watch_errors",
            "Watches that broke off, by resource",
            this.watch_errors.clone(),
        );
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

    /// How many hosts are in each phase, and for how many something is due.
    pub(super) fn fleet(&self, phases: &BTreeMap<Phase, usize>, waiting: usize) {
        for phase in Phase::ALL {
            let hosts = phases.get(&phase).copied().unwrap_or(0);
            self.hosts.get_or_create(&InPhase { phase: phase.as_str() }).set(number(hosts));
        }
        self.waiting.set(number(waiting));
    }

    /// The counts of each region. Those beyond the first fifty are one.
    pub(super) fn regions<'a>(&self, all: impl Iterator<Item = (&'a Arc<str>, Counts)>) {
        let mut shown: BTreeMap<Arc<str>, Counts> = BTreeMap::new();
        for (region, counts) in all {
            let own = shown.len() < REGIONS || shown.contains_key(region);
            let name = if own { Arc::clone(region) } else { OTHER.into() };
            *shown.entry(name).or_default() += counts;
        }
        // a region that is empty now is 0 from now on, and not what it was
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for name in known.iter() {
            shown.entry(Arc::clone(name)).or_default();
        }
        known.extend(shown.keys().cloned());
        for (region, counts) in shown {
            let Counts { hosts, ready, maintenance, unreachable, missing } = counts;
            for (state, count) in [
                ("all", hosts),
                ("ready", ready),
                ("maintenance", maintenance),
                ("unreachable", unreachable),
                ("missing", missing),
            ] {
                let labels = InRegion { region: Arc::clone(&region), state };
                self.regions.get_or_create(&labels).set(count.into());
            }
        }
    }

    /// How many clusters there are, and how many of them can spare no host.
    pub(super) fn clusters(&self, all: usize, exhausted: usize) {
        self.clusters.set(number(all));
        self.exhausted.set(number(exhausted));
    }

    /// A watch broke off, and is tried again.
    pub(super) fn watch_failed(&self, resource: &'static str) {
        self.watch_errors.get_or_create(&Watch { resource }).inc();
    }

    pub(super) fn leads(&self, leads: bool) {
        self.leads.set(leads.into());
        if !leads {
            // what another one knows from now on is not told by us
            self.hosts.clear();
            self.regions.clear();
            self.known.lock().unwrap_or_else(PoisonError::into_inner).clear();
            self.clusters(0, 0);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fifty_first_region_is_another_one_and_an_empty_one_is_shown_so() {
        let (metrics, registry) = Metrics::new();
        let one = Counts { hosts: 1, ready: 1, ..Counts::default() };
        let names: Vec<Arc<str>> = (0..60).map(|n| format!("r{n:02}").into()).collect();
        metrics.regions(names.iter().map(|name| (name, one)));
        let text = || {
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
            text
        };
        let line = |region: &str, number: u32| {
            format!(
                "inv_tui_lifecycle_region_hosts{{region=\"{region}\",state=\"all\"}} {number}\n"
            )
        };
        assert!(text().contains(&line("r49", 1)) && text().contains(&line("other", 10)));
        assert!(!text().contains("\"r50\""));
        metrics.regions(names.iter().take(1).map(|name| (name, one)));
        assert!(text().contains(&line("r00", 1)));
        assert!(text().contains(&line("r49", 0)) && text().contains(&line("other", 0)));
    }
}
