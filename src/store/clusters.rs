//! The Clusters as a stream of events, for whoever shows their budgets and what they offer.

use futures::StreamExt;
use kube::api::Api;
use kube::runtime::{WatchStreamExt, watcher};
use tokio::sync::mpsc;

use crate::model::cluster::Cluster;
use crate::store::client::{Connection, explain, watch_failure};

/// Clusters of a page.
const PAGE: u32 = 500;

/// What happens to the Clusters, in order.
#[derive(Debug)]
pub enum ClusterEvent {
    /// A listing begins. Clusters that it does not bring are gone when it ends.
    Begin,
    /// A Cluster as it is now.
    Apply(Box<Cluster>),
    /// A Cluster that is no longer there.
    Delete(Box<Cluster>),
    /// The listing is complete.
    Synced,
    /// They cannot be followed now, and why; attempts go on.
    Lost(String),
}

/// Follows the Clusters until the receiver of `events` is gone. Never ends by itself; every failure
/// is an event.
pub async fn follow(
    connection: Connection,
    namespace: Option<String>,
    events: mpsc::Sender<ClusterEvent>,
) {
    let api: Api<Cluster> = match namespace.as_deref() {
        Some(namespace) => Api::namespaced(connection.client.clone(), namespace),
        None => Api::all(connection.client.clone()),
    };
    let config = watcher::Config::default().page_size(PAGE);
    let stream = watcher(api, config).default_backoff();
    let mut stream = std::pin::pin!(stream);
    loop {
        let event = tokio::select! {
            event = stream.next() => event,
            () = events.closed() => return,
        };
        let Some(event) = event else { return };
        let event = match event {
            Ok(watcher::Event::Init) => ClusterEvent::Begin,
            Ok(watcher::Event::InitApply(cluster) | watcher::Event::Apply(cluster)) => {
                ClusterEvent::Apply(without_managers(cluster))
            }
            Ok(watcher::Event::Delete(cluster)) => ClusterEvent::Delete(without_managers(cluster)),
            Ok(watcher::Event::InitDone) => ClusterEvent::Synced,
            Err(cause) => match reason(cause) {
                Some(reason) => ClusterEvent::Lost(reason),
                None => continue,
            },
        };
        if events.send(event).await.is_err() {
            return;
        }
    }
}

/// The managed fields are half of an object, and nobody here asks for them.
fn without_managers(mut cluster: Cluster) -> Box<Cluster> {
    cluster.metadata.managed_fields = None;
    Box::new(cluster)
}

/// A watch that is too old or that the server closed is no loss: the watcher lists again.
fn reason(cause: watcher::Error) -> Option<String> {
    let cause = watch_failure(cause)?;
    Some(crate::error::chain(&explain("cannot follow clusters", "watch clusters", cause)))
}
