//! The loop that keeps the lists: it alone changes them, and publishes each change for those who serve
//! and write them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::board::Board;
use super::metrics::Metrics;
use super::web::Published;
use crate::model::cluster::Cluster;
use crate::model::record::HostRecord;
use crate::model::silence::Held;
use crate::model::targets::Targets;
use crate::store::client::Connection;
use crate::store::objects::{self, ObjectEvent};
use crate::store::watch::{self as fleet, FleetEvent, HostChange};
use crate::tasks::tended::tended;

/// Batches of hosts that wait to be taken in; each has up to 512.
const BATCHES: usize = 16;
/// Clusters that wait to be taken in.
const CLUSTERS: usize = 256;
/// Changes of Clusters that come within this time are one reason to read the hosts again.
const TOGETHER: Duration = Duration::from_secs(2);

/// What the loop works with.
pub(super) struct Control {
    pub(super) targets: Targets,
    /// Name and list of each job, in the order of the targets.
    pub(super) jobs: Vec<(String, watch::Sender<Published>)>,
    pub(super) boards: Vec<Arc<Board>>,
    pub(super) metrics: Metrics,
    /// All hosts were known once.
    pub(super) complete: bool,
    /// The server is out of reach.
    pub(super) lost: bool,
}

impl Control {
    /// Works until `stop` becomes true.
    pub(super) async fn run(
        mut self,
        connection: Connection,
        namespace: &str,
        mut stop: watch::Receiver<bool>,
    ) {
        let (cluster_sender, mut clusters) = mpsc::channel(CLUSTERS);
        let (host_sender, mut hosts) = mpsc::channel(BATCHES);
        let (reconnect, reconnected) = watch::channel(0_u64);
        let mut follow = Some((host_sender, reconnected));
        let namespace = Some(namespace.to_owned());
        let wants_clusters = self.targets.wants_clusters();
        if wants_clusters {
            // nobody but the watch itself ever makes it list again
            let (_, never) = watch::channel(0);
            let (connection, namespace) = (connection.clone(), namespace.clone());
            self.beside("the watch on clusters", &stop, move || {
                let (connection, namespace) = (connection.clone(), namespace.clone());
                objects::follow(connection, namespace, cluster_sender.clone(), never.clone())
            });
        }
        let mut known = !wants_clusters;
        let mut listed = BTreeSet::new();
        // When the hosts are to be read again.
        let mut again: Option<Instant> = None;
        loop {
            // A host is judged by its clusters, so they come first.
            if known && let Some((sender, reconnected)) = follow.take() {
                let (connection, namespace) = (connection.clone(), namespace.clone());
                self.beside("the watch on hosts", &stop, move || {
                    let (connection, namespace) = (connection.clone(), namespace.clone());
                    fleet::follow(connection, namespace, sender.clone(), reconnected.clone())
                });
            }
            let due = self.targets.next_due().map(|due| {
                let wait = due.duration_since(Timestamp::now());
                Instant::now() + Duration::try_from(wait).unwrap_or_default()
            });
            let next = due.into_iter().chain(again).min();
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                Some(event) = clusters.recv(), if wants_clusters => {
                    let changed = self.cluster(event, &mut listed, &mut known);
                    if changed && again.is_none() {
                        again = Some(Instant::now() + TOGETHER);
                    }
                }
                Some(event) = hosts.recv() => self.fleet(event),
                () = tokio::time::sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                    if again.is_some_and(|again| again <= Instant::now()) {
                        again = None;
                        tracing::info!("a Cluster wants other things to be scraped; reads its hosts");
                        reconnect.send_modify(|times| *times += 1);
                    }
                    self.targets.tick(Timestamp::now());
                }
            }
            self.publish();
        }
    }

    /// Begins work beside the loop.
    fn beside<F: Future<Output = ()> + Send + 'static>(
        &self,
        what: &'static str,
        stop: &watch::Receiver<bool>,
        begin: impl Fn() -> F + Send + 'static,
    ) {
        let (metrics, stop) = (self.metrics.clone(), stop.clone());
        tokio::spawn(async move { tended(what, stop, || metrics.broke_off(), begin).await });
    }

    /// Takes in what happened to a Cluster. Whether the hosts must be read again.
    fn cluster(
        &mut self,
        event: ObjectEvent<Cluster>,
        listed: &mut BTreeSet<String>,
        known: &mut bool,
    ) -> bool {
        match event {
            ObjectEvent::Begin => listed.clear(),
            ObjectEvent::Apply(cluster) => {
                listed.extend(cluster.metadata.name.clone());
                return self.targets.set_cluster(&cluster);
            }
            ObjectEvent::Delete(cluster) => {
                let name = cluster.metadata.name.unwrap_or_default();
                listed.remove(&name);
                return self.targets.delete_cluster(&name);
            }
            ObjectEvent::Synced => {
                *known = true;
                return self.targets.keep_clusters(listed);
            }
            ObjectEvent::Lost(why) => tracing::warn!(error = why, "clusters are not followed"),
        }
        false
    }

    /// Takes in what happened to hosts.
    fn fleet(&mut self, event: FleetEvent) {
        let now = Timestamp::now();
        match event {
            FleetEvent::Begin { .. } => self.targets.begin(),
            FleetEvent::Changes(changes) => {
                for change in changes {
                    match change {
                        HostChange::Apply(record) => self.apply(record, now),
                        HostChange::Delete(uid) => {
                            self.targets.delete(&uid);
                            self.forget(uid.as_str());
                        }
                    }
                }
            }
            FleetEvent::Synced => {
                for uid in self.targets.end() {
                    self.forget(uid.as_str());
                }
                if !self.complete {
                    tracing::info!(hosts = self.targets.len(), "all hosts are known");
                }
                self.complete = true;
                self.set_lost(false);
            }
            FleetEvent::Lost(why) => {
                if !self.lost {
                    tracing::warn!(
                        error = why,
                        "hosts cannot be followed; lists and silences stay as they are"
                    );
                }
                self.set_lost(true);
            }
            FleetEvent::Recovered => {
                tracing::info!("hosts are followed again");
                self.set_lost(false);
            }
        }
    }

    fn apply(&mut self, record: Box<HostRecord>, now: Timestamp) {
        if !self.boards.is_empty()
            && let Some(uid) = record.uid()
        {
            let held = Held::of(&record);
            for board in &self.boards {
                board.set(uid.as_str(), held.as_ref());
            }
        }
        self.targets.apply(record, now);
    }

    fn forget(&self, uid: &str) {
        for board in &self.boards {
            board.set(uid, None);
        }
    }

    fn set_lost(&mut self, lost: bool) {
        self.lost = lost;
        let synced = self.complete && !lost;
        for board in &self.boards {
            board.set_synced(synced);
        }
    }

    /// Shows what has changed; the gauge last, so that who waits for it finds the lists as it says.
    fn publish(&self) {
        self.metrics.hosts(self.targets.len());
        if !self.complete {
            return;
        }
        for ((job, sender), (list, counts)) in self.jobs.iter().zip(self.targets.lists()) {
            self.metrics.job(job, counts);
            sender.send_if_modified(|published| {
                let known = published.list.as_ref().map(crate::model::targets::List::number);
                let same = known == Some(list.number()) && published.stale == self.lost;
                if !same {
                    *published = Published { list: Some(list.clone()), stale: self.lost };
                }
                !same
            });
        }
        self.metrics.synced(!self.lost);
    }
}
