//! The objects of a kind as a stream of events, for whoever shows all of them: Clusters with their
//! budgets, Sources with their passes.

use std::fmt::Debug;

use futures::StreamExt;
use kube::Resource;
use kube::api::Api;
use kube::core::NamespaceResourceScope;
use kube::runtime::{WatchStreamExt, watcher};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use crate::store::client::{Connection, explain};

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
/// gone. Never ends by itself; every failure is an event.
pub async fn follow<K>(
    connection: Connection,
    namespace: Option<String>,
    events: mpsc::Sender<ObjectEvent<K>>,
) where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    K: Clone + Debug + DeserializeOwned + Send + 'static,
{
    let api: Api<K> = match namespace.as_deref() {
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
            Ok(watcher::Event::Init) => ObjectEvent::Begin,
            Ok(watcher::Event::InitApply(object) | watcher::Event::Apply(object)) => {
                ObjectEvent::Apply(without_managers(object))
            }
            Ok(watcher::Event::Delete(object)) => ObjectEvent::Delete(without_managers(object)),
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
fn without_managers<K: Resource>(mut object: K) -> Box<K> {
    object.meta_mut().managed_fields = None;
    Box::new(object)
}

/// A watch that is too old or that the server closed is no loss: the watcher lists again.
fn reason<K: Resource<DynamicType = ()>>(cause: watcher::Error) -> Option<String> {
    let cause = match cause {
        watcher::Error::InitialListFailed(cause)
        | watcher::Error::WatchStartFailed(cause)
        | watcher::Error::WatchFailed(cause) => cause,
        watcher::Error::WatchError(status) if status.code == 410 => return None,
        watcher::Error::WatchError(status) => kube::Error::Api(status),
        watcher::Error::NoResourceVersion => {
            return Some("the server sent an object without a version".to_owned());
        }
    };
    let kind = K::plural(&());
    let (what, needs) = (format!("cannot follow {kind}"), format!("watch {kind}"));
    Some(crate::error::chain(&explain(what, &needs, cause)))
}
