//! The objects of a kind as a stream of events, for whoever shows all of them: Clusters with their
//! budgets, Sources with their passes.

use std::fmt::Debug;

use futures::StreamExt;
use kube::Resource;
use kube::api::Api;
use kube::core::NamespaceResourceScope;
use kube::runtime::{WatchStreamExt, watcher};
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};

use crate::store::client::{Connection, explain, watch_failure};

/// Objects of a page.
const PAGE: u32 = 500;

/// What happens to the objects of a kind, in order.
#[derive(Debug)]
pub enum ObjectEvent<K> {
    /// A listing begins. Objects that it does not bring are gone when it ends.
    Begin,
    /// An object as it is now.
    Apply(Box<K>),
    /// An object that is no longer there.
    Delete(Box<K>),
    /// The listing is complete.
    Synced,
    /// They cannot be followed now, and why; attempts go on.
    Lost(String),
}

/// Follows the objects of a kind, in one namespace or in all, until the receiver of `events` is
/// gone. A change of `again` makes it list anew at once: the server was gone, and a connection that
/// died with it tells nobody. Never ends by itself; every failure is an event.
pub async fn follow<K>(
    connection: Connection,
    namespace: Option<String>,
    events: mpsc::Sender<ObjectEvent<K>>,
    mut again: watch::Receiver<u64>,
) where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    K: Clone + Debug + DeserializeOwned + Send + 'static,
{
    let api: Api<K> = match namespace.as_deref() {
        Some(namespace) => Api::namespaced(connection.client.clone(), namespace),
        None => Api::all(connection.client.clone()),
    };
    let begin = || {
        let config = watcher::Config::default().page_size(PAGE);
        watcher(api.clone(), config).default_backoff().boxed()
    };
    let mut stream = begin();
    loop {
        let event = tokio::select! {
            event = stream.next() => event,
            Ok(()) = again.changed() => {
                stream = begin();
                continue;
            }
            () = events.closed() => return,
        };
        let Some(event) = event else { return };
        let event = match event {
            Ok(watcher::Event::Init) => ObjectEvent::Begin,
            Ok(watcher::Event::InitApply(object) | watcher::Event::Apply(object)) => {
                ObjectEvent::Apply(Box::new(without_managers(object)))
            }
            Ok(watcher::Event::Delete(object)) => {
                ObjectEvent::Delete(Box::new(without_managers(object)))
            }
            Ok(watcher::Event::InitDone) => ObjectEvent::Synced,
            Err(cause) => match reason::<K>(cause) {
                Some(reason) => ObjectEvent::Lost(reason),
                None => continue,
            },
        };
        if events.send(event).await.is_err() {
            return;
        }
    }
}

/// The managed fields are half of an object, and nobody here asks for them.
fn without_managers<K: Resource>(mut object: K) -> K {
    object.meta_mut().managed_fields = None;
    object
}

/// Why they cannot be followed; none: the watcher only lists again.
fn reason<K: Resource<DynamicType = ()>>(cause: watcher::Error) -> Option<String> {
    let cause = watch_failure(cause)?;
    let kind = K::plural(&());
    let (what, needs) = (format!("cannot follow {kind}"), format!("watch {kind}"));
    Some(crate::error::chain(&explain(what, &needs, cause)))
}
