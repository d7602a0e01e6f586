//! The loop that keeps the hosts of each file: it alone changes them, and publishes each change for those
//! who write.

use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::metrics::Metrics;
use crate::model::render::{Hosts, Views, WholeHost};
use crate::store::client::Connection;
use crate::store::watch::{self as fleet, FleetEvent, HostChange};

/// Batches of hosts that wait to be taken in; each has up to 512.
const BATCHES: usize = 16;

/// What is known of the hosts of a file.
#[derive(Clone, Default)]
pub(super) struct Published {
    /// Its hosts; none before all hosts are known.
    pub(super) hosts: Option<Hosts>,
    /// The API server is out of reach: they may be old.
    pub(super) stale: bool,
}

/// What the loop works with.
pub(super) struct Control {
    pub(super) views: Views,
    /// Name and hosts of each file, in the order of the views.
    pub(super) files: Vec<(String, watch::Sender<Published>)>,
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
        let (sender, mut hosts) = mpsc::channel::<FleetEvent<WholeHost>>(BATCHES);
        // Nobody ever wants it to list again but the watch itself.
        let (_keep, reconnected) = watch::channel(0_u64);
        tokio::spawn(fleet::follow(connection, Some(namespace.to_owned()), sender, reconnected));
        loop {
            let next = self.views.next_due().map(|due| {
                let wait = due.duration_since(Timestamp::now());
                Instant::now() + Duration::try_from(wait).unwrap_or_default()
            });
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                Some(event) = hosts.recv() => self.fleet(event),
                () = tokio::time::sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                    self.views.tick(Timestamp::now());
                }
            }
            self.publish();
        }
    }

    /// Takes in what happened to hosts.
    fn fleet(&mut self, event: FleetEvent<WholeHost>) {
        match event {
            FleetEvent::Begin { .. } => self.views.begin(),
            FleetEvent::Changes(changes) => {
                let now = Timestamp::now();
                for change in changes {
                    match change {
                        HostChange::Apply(whole) => self.views.apply(whole, now),
                        HostChange::Delete(uid) => self.views.delete(&uid),
                    }
                }
            }
            FleetEvent::Synced => {
                self.views.end();
                if !self.complete {
                    tracing::info!(hosts = self.views.len(), "all hosts are known");
                }
                (self.complete, self.lost) = (true, false);
            }
            FleetEvent::Lost(why) => {
                if !self.lost {
                    tracing::warn!(error = why, "hosts cannot be followed; files stay as they are");
                }
                self.lost = true;
            }
            FleetEvent::Recovered => {
                tracing::info!("hosts are followed again");
                self.lost = false;
            }
        }
    }

    /// Shows what has changed; the gauge last, so that who waits for it finds the hosts as it says.
    fn publish(&self) {
        self.metrics.hosts(self.views.len());
        if !self.complete {
            return;
        }
        for ((file, sender), (hosts, left_out)) in self.files.iter().zip(self.views.files()) {
            self.metrics.file(file, hosts.len(), left_out);
            sender.send_if_modified(|published| {
                let known = published.hosts.as_ref().map(Hosts::number);
                let same = known == Some(hosts.number()) && published.stale == self.lost;
                if !same {
                    *published = Published { hosts: Some(hosts.clone()), stale: self.lost };
                }
                !same
            });
        }
        self.metrics.synced(!self.lost);
    }
}
