//! The fleet as a stream of events: a first page at once, then everything, then changes, for ever.

use std::fmt::Debug;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use kube::Resource;
use kube::api::{Api, ListParams};
use kube::core::NamespaceResourceScope;
use kube::runtime::watcher;
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};

use crate::error::{Error, Result};
use crate::model::key::{ServerId, Uid};
use crate::model::record::HostRecord;
use crate::model::render::WholeHost;
use crate::store::client::{Connection, DEADLINE, call, explain, watch_failure};
use crate::store::retry::Retry;

/// Rows of the first page, which is on the screen before the rest has been asked for.
const FIRST_PAGE: u32 = 200;
/// Rows of a page where the server cannot stream a list.
const PAGE: u32 = 500;
/// Events passed on together at most, so that the screen gets its turn.
const BATCH: usize = 512;
/// Without an event for this long, the server is asked whether it is still there: a dead network
/// does not close a connection.
const QUIET: Duration = Duration::from_secs(15);
/// First and longest pause between two attempts to reach a server that is gone.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// A Host as it is read: as much of it as somebody needs.
pub trait Followed:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + DeserializeOwned
    + Send
    + 'static
{
    /// Identity of the host; none for an object with neither uid nor name.
    fn identity(&self) -> Option<Uid>;

    /// It was read from this server.
    fn come_from(&mut self, server: ServerId);
}

impl Followed for HostRecord {
    fn identity(&self) -> Option<Uid> {
        self.uid()
    }

    fn come_from(&mut self, server: ServerId) {
        self.server = server;
    }
}

impl Followed for WholeHost {
    fn identity(&self) -> Option<Uid> {
        self.record.uid()
    }

    fn come_from(&mut self, server: ServerId) {
        self.record.server = server;
    }
}

/// What happens to the fleet, in order.
#[derive(Debug)]
pub enum FleetEvent<H = HostRecord> {
    /// A listing begins. Hosts that it does not bring are gone when it ends.
    Begin {
        /// Hosts that the server says it will bring, where it says so.
        expected: Option<usize>,
    },
    /// Hosts that are new, changed or gone.
    Changes(Vec<HostChange<H>>),
    /// The listing is complete; from here on it is changes only.
    Synced,
    /// The server is out of reach; the reason. Attempts go on.
    Lost(String),
    /// The server answers again.
    Recovered,
}

/// One host that is new, changed or gone.
#[derive(Debug)]
pub enum HostChange<H = HostRecord> {
    /// As it is now.
    Apply(Box<H>),
    /// No longer there.
    Delete(Uid),
}

/// The hosts of one namespace, or of all of them.
fn hosts<H: Followed>(connection: &Connection, namespace: Option<&str>) -> Api<H> {
    match namespace {
        Some(namespace) => Api::namespaced(connection.client.clone(), namespace),
        None => Api::all(connection.client.clone()),
    }
}

/// A host as it came from a server.
fn from<H: Followed>(server: ServerId, mut record: H) -> H {
    record.come_from(server);
    record
}

/// Asks for one host, which tells whether the server is there, serves hosts, and lets us list them.
///
/// # Errors
/// Whatever is in the way, in words, with the exit code for set-up.
pub async fn check(connection: &Connection, namespace: Option<&str>) -> Result<()> {
    let one = ListParams::default().limit(1);
    let what =
        format!("cannot list hosts on {} (context \"{}\")", connection.server, connection.context);
    call(&what, "list hosts", DEADLINE, hosts::<HostRecord>(connection, namespace).list(&one))
        .await
        .map(|_| ())
        .map_err(Error::as_usage)
}

/// Whether the server streams lists: on in 1.32 and from 1.34 on, off in 1.33
/// (`apiserver/pkg/features/kube_features.go`, gate `WatchList`).
async fn streams_lists(connection: &Connection) -> bool {
    let version = tokio::time::timeout(DEADLINE, connection.client.apiserver_version()).await;
    let minor = version
        .ok()
        .and_then(std::result::Result::ok)
        .and_then(|v| v.minor.trim_end_matches(|c: char| !c.is_ascii_digit()).parse::<u32>().ok());
    minor.is_some_and(|minor| minor == 32 || minor >= 34)
}

/// Follows the hosts until the receiver of `events` is gone. A change of `reconnect` makes it try
/// again at once. Never ends by itself; every failure is an event.
pub async fn follow<H: Followed>(
    connection: Connection,
    namespace: Option<String>,
    events: mpsc::Sender<FleetEvent<H>>,
    mut reconnect: watch::Receiver<u64>,
) {
    let id = connection.id;
    let api: Api<H> = hosts(&connection, namespace.as_deref());
    let mut streaming = streams_lists(&connection).await;
    if first_page(&api, id, &events).await.is_none() {
        return;
    }
    // Kept over all streams: a server that answers a short question may still fail every list.
    let mut retry = Retry::new(RETRY);
    loop {
        let config = watcher::Config::default().page_size(PAGE);
        let config = if streaming { config.streaming_lists() } else { config };
        let stream = watcher(api.clone(), config).boxed();
        match follow_stream(&api, id, stream, &events, (&mut reconnect, &mut retry)).await {
            Ended::ReceiverGone => return,
            Ended::NoStreamingLists => streaming = false,
            Ended::Restart => {}
        }
    }
}

/// The first page, so that there is something to see while the rest is on its way. `None` when the
/// receiver is gone; a failure is left to the watcher, which meets it too.
async fn first_page<H: Followed>(
    api: &Api<H>,
    id: ServerId,
    events: &mpsc::Sender<FleetEvent<H>>,
) -> Option<()> {
    let params = ListParams::default().limit(FIRST_PAGE);
    let Ok(Ok(page)) = tokio::time::timeout(DEADLINE, api.list(&params)).await else {
        return Some(());
    };
    let rest = page.metadata.remaining_item_count.unwrap_or(0);
    let expected = page.items.len().saturating_add(usize::try_from(rest).unwrap_or(0));
    events.send(FleetEvent::Begin { expected: Some(expected) }).await.ok()?;
    let changes = page
        .items
        .into_iter()
        .map(|record| HostChange::Apply(Box::new(from(id, record))))
        .collect();
    events.send(FleetEvent::Changes(changes)).await.ok()
}

enum Ended {
    ReceiverGone,
    NoStreamingLists,
    Restart,
}

type Events<H> = BoxStream<'static, watcher::Result<watcher::Event<H>>>;

async fn follow_stream<H: Followed>(
    api: &Api<H>,
    id: ServerId,
    stream: Events<H>,
    events: &mpsc::Sender<FleetEvent<H>>,
    (reconnect, retry): (&mut watch::Receiver<u64>, &mut Retry),
) -> Ended {
    let mut stream = stream.ready_chunks(BATCH);
    loop {
        let chunk = tokio::select! {
            chunk = stream.next() => chunk,
            changed = reconnect.changed() => {
                return if changed.is_ok() { Ended::Restart } else { Ended::ReceiverGone };
            }
            () = tokio::time::sleep(QUIET) => {
                if let Err(reason) = probe(api).await {
                    if wait_for_server(api, reason, events, (reconnect, retry)).await.is_none() {
                        return Ended::ReceiverGone;
                    }
                    return Ended::Restart;
                }
                continue;
            }
            () = events.closed() => return Ended::ReceiverGone,
        };
        let Some(chunk) = chunk else { return Ended::Restart };
        let mut changes = Vec::new();
        for event in chunk {
            let (flush, after) = match event {
                Ok(watcher::Event::Apply(record) | watcher::Event::InitApply(record)) => {
                    changes.push(HostChange::Apply(Box::new(from(id, record))));
                    continue;
                }
                Ok(watcher::Event::Delete(record)) => {
                    if let Some(uid) = from(id, record).identity() {
                        changes.push(HostChange::Delete(uid));
                    }
                    continue;
                }
                Ok(watcher::Event::Init) => (true, FleetEvent::Begin { expected: None }),
                Ok(watcher::Event::InitDone) => (true, FleetEvent::Synced),
                Err(cause) if refuses_streaming(&cause) => return Ended::NoStreamingLists,
                Err(cause) => {
                    if send_changes(events, &mut changes).await.is_none()
                        || wait_for_server(api, reason(cause), events, (reconnect, retry))
                            .await
                            .is_none()
                    {
                        return Ended::ReceiverGone;
                    }
                    continue;
                }
            };
            if flush && send_changes(events, &mut changes).await.is_none()
                || events.send(after).await.is_err()
            {
                return Ended::ReceiverGone;
            }
        }
        if send_changes(events, &mut changes).await.is_none() {
            return Ended::ReceiverGone;
        }
    }
}

async fn send_changes<H>(
    events: &mpsc::Sender<FleetEvent<H>>,
    changes: &mut Vec<HostChange<H>>,
) -> Option<()> {
    if changes.is_empty() {
        return Some(());
    }
    events.send(FleetEvent::Changes(std::mem::take(changes))).await.ok()
}

/// A server without the gate answers 422 to `sendInitialEvents`.
fn refuses_streaming(cause: &watcher::Error) -> bool {
    matches!(cause, watcher::Error::WatchStartFailed(kube::Error::Api(status)) if status.code == 422)
}

/// A watch that is too old (410) or that the server closed is no loss: the watcher lists again.
fn reason(cause: watcher::Error) -> Option<String> {
    let cause = watch_failure(cause)?;
    Some(crate::error::chain(&explain("cannot follow hosts", "watch hosts", cause)))
}

/// One short request.
async fn probe<H: Followed>(api: &Api<H>) -> Result<(), Option<String>> {
    let one = ListParams::default().limit(1);
    call("cannot list hosts", "list hosts", Duration::from_secs(5), api.list(&one))
        .await
        .map(|_| ())
        .map_err(|error| Some(crate::error::chain(&error)))
}

/// Says that the server is lost, and comes back when it answers. `None` when the receiver is gone.
async fn wait_for_server<H: Followed>(
    api: &Api<H>,
    reason: Option<String>,
    events: &mpsc::Sender<FleetEvent<H>>,
    (reconnect, retry): (&mut watch::Receiver<u64>, &mut Retry),
) -> Option<()> {
    let Some(mut reason) = reason else { return Some(()) };
    loop {
        events.send(FleetEvent::Lost(reason)).await.ok()?;
        tokio::select! {
            () = tokio::time::sleep(retry.pause()) => {}
            changed = reconnect.changed() => changed.ok()?,
            () = events.closed() => return None,
        }
        match probe(api).await {
            Ok(()) => return events.send(FleetEvent::Recovered).await.ok(),
            Err(again) => reason = again.unwrap_or_default(),
        }
    }
}
