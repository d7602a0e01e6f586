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
use crate::store::retry::Retry;

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
    let mut retry = Retry::default();
    loop {
        let config = watcher::Config::default().page_size(PAGE);
        let mut stream = watcher(api.clone(), config).default_backoff().boxed();
        let lost = loop {
            let event = tokio::select! {
                event = stream.next() => event,
                Ok(()) = again.changed() => break None,
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
                    Some(reason) => break Some(reason),
                    None => continue,
                },
            };
            if events.send(event).await.is_err() {
                return;
            }
        };
        let Some(reason) = lost else { continue };
        if events.send(ObjectEvent::Lost(reason)).await.is_err() {
            return;
        }
        // A watch that goes on after a failure says so only when something changes; a listing says it
        // at once.
        tokio::select! {
            () = tokio::time::sleep(retry.pause()) => {}
            Ok(()) = again.changed() => {}
            () = events.closed() => return,
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use axum::body::Body;
    use axum::response::{IntoResponse, Response};
    use http::StatusCode;
    use serde_json::json;

    use super::*;
    use crate::model::cluster::Cluster;
    use crate::model::key::ServerId;

    /// A server without Clusters whose first watch fails, and whose later ones say nothing.
    async fn server() -> Connection {
        static WATCHES: AtomicUsize = AtomicUsize::new(0);
        let answer = |request: axum::extract::Request| async move {
            let watches = request.uri().query().is_some_and(|query| query.contains("watch="));
            if !watches {
                let list = json!({
                    "apiVersion": "inventory.inv-tui.dev/v1alpha1", "kind": "ClusterList",
                    "metadata": {"resourceVersion": "1"}, "items": [],
                });
                return list.to_string().into_response();
            }
            if WATCHES.fetch_add(1, Ordering::Relaxed) == 0 {
                let status = json!({"kind": "Status", "code": 500, "message": "it broke"});
                return (StatusCode::INTERNAL_SERVER_ERROR, status.to_string()).into_response();
            }
            Response::new(Body::from_stream(futures::stream::pending::<Result<String, String>>()))
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let mut config = kube::Config::new(server.parse().unwrap());
        config.default_retry = false;
        tokio::spawn(async move {
            axum::serve(listener, axum::Router::new().fallback(answer)).await.unwrap();
        });
        Connection {
            id: ServerId::FIRST,
            client: kube::Client::try_from(config).unwrap(),
            context: "test".into(),
            server,
            note: None,
            identity: String::new(),
        }
    }

    #[tokio::test]
    async fn it_is_told_that_a_failure_is_over_though_nothing_changes() {
        let (events, mut told) = mpsc::channel(8);
        let (_again, again) = watch::channel(0);
        tokio::spawn(follow::<Cluster>(server().await, None, events, again));
        let mut words = Vec::new();
        while words.len() < 5 {
            let next = tokio::time::timeout(Duration::from_mins(1), told.recv()).await;
            words.push(match next.unwrap().unwrap() {
                ObjectEvent::Begin => "begin",
                ObjectEvent::Synced => "synced",
                ObjectEvent::Lost(why) if why.contains("it broke") => "lost",
                other => panic!("{other:?}"),
            });
        }
        assert_eq!(words, ["begin", "synced", "lost", "begin", "synced"]);
    }
}
