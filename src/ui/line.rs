//! What runs behind the screen for one API server: the way to it, and the watches. Each server has
//! tasks of its own, so that one which is slow or away holds up no other.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use kube::core::NamespaceResourceScope;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::keep::Keeper;
use super::msg::Msg;
use super::run::QUEUE;
use crate::act::Actor;
use crate::error::{self, Error, Result};
use crate::model::key::ServerId;
use crate::store::client::{
    ConnectOptions, Connection, connect_to_cluster, identity_unasked, instance,
};
use crate::store::last::Place;
use crate::store::objects::{self, ObjectEvent};
use crate::store::watch::{self as fleet, FleetEvent};
use crate::store::{certificates, write};

/// Certificate requests that wait at most, and that travel together.
const REQUESTS: usize = 256;
/// First and longest pause between two attempts to find the way to a server.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// How long the way to a server may take until that is said: its credentials may come from a
/// command that asks somewhere.
const PATIENCE: Duration = Duration::from_secs(10);

/// How a server is reached.
pub enum Way {
    /// It is connected to already.
    Ready(Box<Connection>),
    /// By a context of a kubeconfig.
    Named(Box<ConnectOptions>),
}

impl Way {
    /// The name of the context.
    pub(super) fn context(&self) -> String {
        match self {
            Self::Ready(connection) => connection.context.clone(),
            Self::Named(options) => options.context.clone().unwrap_or_default(),
        }
    }
}

/// One server of those that are shown.
pub struct Opening {
    /// How it is reached.
    pub way: Way,
    /// The namespace of its hosts; none: all.
    pub namespace: Option<String>,
    /// What was kept of its fleet is shown at the start, and it is kept again.
    pub keeps: bool,
}

/// One server, behind the screen.
pub(super) struct Line {
    /// The namespace of its hosts; none: all.
    pub(super) namespace: Option<String>,
    /// Who acted there last: it remembers which slots of budgets it was granted.
    pub(super) actor: Option<Actor>,
    /// Where its last known fleet is kept.
    pub(super) keeper: Arc<Keeper>,
    connection: Arc<OnceLock<Connection>>,
    reconnect: watch::Sender<u64>,
    tasks: JoinSet<()>,
}

impl Line {
    /// Begins to look for the server, and to follow it. `alone`: there is no other.
    pub(super) fn start(
        id: ServerId,
        opening: Opening,
        alone: bool,
        messages: mpsc::Sender<Msg>,
    ) -> Self {
        let Opening { way, namespace, keeps } = opening;
        let (reconnect, again) = watch::channel(0);
        let connection = Arc::new(OnceLock::new());
        let mut tasks = JoinSet::new();
        let keeper = Arc::new(Keeper::default());
        let options = match way {
            Way::Ready(ready) => {
                if keeps {
                    keeper.put_at(Place::own(&ready.identity, namespace.as_deref()));
                }
                let _ = connection.set(Connection { id, ..*ready });
                None
            }
            Way::Named(options) => Some(options),
        };
        if keeps {
            let options = options.as_deref().cloned();
            let from = (Arc::clone(&keeper), namespace.clone(), messages.clone());
            let runtime = tokio::runtime::Handle::current();
            tasks.spawn_blocking(move || {
                let (keeper, place, messages) = from;
                // Its way may be slow or in vain: what is known comes first.
                if let Some(options) = options
                    && let Some(identity) = runtime.block_on(identity_unasked(&options))
                {
                    keeper.put_at(Place::own(&identity, place.as_deref()));
                }
                keeper.read(id, &messages);
            });
        }
        let kept = Arc::clone(&keeper);
        let (slot, place) = (Arc::clone(&connection), namespace.clone());
        tasks.spawn(async move {
            if let Some(options) = options {
                let found = find(id, *options, &messages, again.clone()).await;
                let Some(found) = found else { return };
                if keeps {
                    kept.put_at(Place::own(&found.identity, place.as_deref()));
                }
                let _ = slot.set(found);
            }
            let Some(connection) = slot.get().cloned() else { return };
            if !alone {
                let tell = Msg::Connected {
                    server: id,
                    url: connection.server.clone(),
                    instance: instance(&connection).await,
                };
                if messages.send(tell).await.is_err() {
                    return;
                }
            }
            follow(connection, place, messages, again).await;
        });
        Self { namespace, actor: None, keeper, connection, reconnect, tasks }
    }

    /// The connection, once there is one.
    pub(super) fn connection(&self) -> Option<Connection> {
        self.connection.get().cloned()
    }

    /// Tries to reach the server now.
    pub(super) fn reconnect(&self) {
        self.reconnect.send_modify(|times| *times += 1);
    }

    /// Has nothing to do with it any more.
    pub(super) fn leave(&mut self) {
        self.tasks.abort_all();
    }
}

/// Finds the way to a server, however long it takes; none when nobody listens any more.
async fn find(
    id: ServerId,
    options: ConnectOptions,
    messages: &mpsc::Sender<Msg>,
    mut again: watch::Receiver<u64>,
) -> Option<Connection> {
    let (mut pause, longest) = RETRY;
    loop {
        let unusable = match on_a_thread(options.clone(), id, messages).await? {
            Ok(connection) => return Some(Connection { id, ..connection }),
            Err(error) => Msg::Unusable {
                server: id,
                reason: error::chain(&error),
                hint: error.next_step().map(ToOwned::to_owned),
            },
        };
        messages.send(unusable).await.ok()?;
        tokio::select! {
            () = tokio::time::sleep(pause + Duration::from_millis(fastrand::u64(0..=250))) => {}
            changed = again.changed() => changed.ok()?,
        }
        pause = (pause * 2).min(longest);
    }
}

/// Connects on a thread of its own: a command that brings credentials is waited for by the thread
/// that runs it, and one that never ends must not keep anybody else waiting, nor the program.
async fn on_a_thread(
    options: ConnectOptions,
    id: ServerId,
    messages: &mpsc::Sender<Msg>,
) -> Option<Result<Connection>> {
    let (tell, mut told) = oneshot::channel();
    let runtime = tokio::runtime::Handle::current();
    let context = options.context.clone().unwrap_or_default();
    let thread = std::thread::Builder::new().name("connect".to_owned()).spawn(move || {
        let _ = tell.send(runtime.block_on(connect_to_cluster(&options)));
    });
    if let Err(cause) = thread {
        return Some(Err(Error::new("cannot start a thread to connect on").because(cause)));
    }
    loop {
        if let Ok(answer) = tokio::time::timeout(PATIENCE, &mut told).await {
            let broke = || Error::new(format!("connecting to \"{context}\" broke off"));
            return Some(answer.unwrap_or_else(|_| Err(broke())));
        }
        let reason = format!("the credentials of context \"{context}\" do not come");
        let hint = "look at the command of its user in the kubeconfig; it is waited for";
        let hint = Some(hint.to_owned());
        messages.send(Msg::Unusable { server: id, reason, hint }).await.ok()?;
    }
}

/// Follows everything of a server that is shown.
async fn follow(
    connection: Connection,
    namespace: Option<String>,
    messages: mpsc::Sender<Msg>,
    reconnect: watch::Receiver<u64>,
) {
    let id = connection.id;
    let mut tasks = JoinSet::new();
    let (events, mut happened) = mpsc::channel::<FleetEvent>(QUEUE);
    let watching =
        tokio::spawn(fleet::follow(connection.clone(), namespace.clone(), events, reconnect));
    let forward = messages.clone();
    let (recovered, again) = watch::channel(0);
    tasks.spawn(async move {
        while let Some(event) = happened.recv().await {
            if matches!(event, FleetEvent::Recovered) {
                recovered.send_modify(|times| *times += 1);
            }
            if forward.send(Msg::Fleet(id, event)).await.is_err() {
                return;
            }
        }
        let problem = match watching.await {
            Ok(()) => "it returned".to_owned(),
            Err(cause) => cause.to_string(),
        };
        let _ = forward.send(Msg::TaskEnded { name: "watch", problem }).await;
    });
    let (requests, mut asked) = mpsc::channel(REQUESTS);
    tasks.spawn(certificates::follow(connection.clone(), requests));
    let forward = messages.clone();
    tasks.spawn(async move {
        let mut batch = Vec::new();
        while asked.recv_many(&mut batch, REQUESTS).await > 0 {
            let batch = std::mem::take(&mut batch);
            if forward.send(Msg::Certificates(id, batch)).await.is_err() {
                return;
            }
        }
    });
    let from = (&connection, namespace.as_deref(), again);
    objects_of(&mut tasks, from.clone(), &messages, move |event| Msg::Clusters(id, event));
    objects_of(&mut tasks, from, &messages, move |event| Msg::Sources(id, event));
    tasks.spawn(ask_who(connection.clone(), namespace.clone(), messages.clone()));
    while tasks.join_next().await.is_some() {}
}

/// Follows the objects of a kind; what happens to them becomes messages.
fn objects_of<K>(
    tasks: &mut JoinSet<()>,
    (connection, namespace, again): (&Connection, Option<&str>, watch::Receiver<u64>),
    messages: &mpsc::Sender<Msg>,
    message: impl Fn(ObjectEvent<K>) -> Msg + Send + 'static,
) where
    K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
{
    let (events, mut happened) = mpsc::channel(QUEUE);
    let namespace = namespace.map(ToOwned::to_owned);
    tasks.spawn(objects::follow(connection.clone(), namespace, events, again));
    let forward = messages.clone();
    tasks.spawn(async move {
        while let Some(event) = happened.recv().await {
            if forward.send(message(event)).await.is_err() {
                return;
            }
        }
    });
}

/// Asks a server who we are and what we may do.
pub(super) async fn ask_who(
    connection: Connection,
    namespace: Option<String>,
    messages: mpsc::Sender<Msg>,
) {
    let server = connection.id;
    let user = write::user(&connection).await.map_err(|error| error::chain(&error));
    let _ = messages.send(Msg::User(server, user)).await;
    let (verb, resource) = ("patch", "hosts");
    let may = write::may(&connection, verb, resource, namespace.as_deref()).await;
    let result = may.map_err(|error| error::chain(&error));
    let _ = messages.send(Msg::May { server, verb, resource, result }).await;
    // A server that cannot say is asked by the decision itself.
    let missing = write::missing_to_decide(&connection).await.ok().flatten();
    let _ = messages.send(Msg::MayDecide(server, missing.map(ToOwned::to_owned))).await;
}
