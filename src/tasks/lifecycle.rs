//! `inv-tui --headless lifecycle`: says of each host what follows from everybody's word, ends holds
//! that ran out, and counts clusters and regions. The rules are in [`crate::model::lifecycle`].
//!
//! ```text
//! watches   Leases, certificate requests, clusters, regions ── then hosts ──┐
//! for each host   derive ── compare with what we own ── apply what differs  │ 32 at a time
//! tables    where each host is and how it counts; when the clock changes something
//! once a second   clusters and regions whose numbers changed, by compare-and-swap
//! ```
//!
//! No object is kept: a host that needs nothing is forgotten but for what its cluster counts. One of
//! several works, the one with the Lease; and whatever it writes carries the version that it was
//! worked out from, so that one that has lost the Lease and does not know it can do no harm.

mod beats;
mod control;
mod host;
mod metrics;
mod place;
mod requests;
mod table;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use tokio::sync::watch;

pub use self::control::Control;
pub use self::metrics::Metrics;

use crate::error::{EXIT_DONE, EXIT_USAGE, Error, Result, chain};
use crate::store::client::{ConnectOptions, Connection, DEADLINE, LIFECYCLE, call, connect};
use crate::store::lease::{Leadership, TURN, lead};
use crate::tasks::{http, signals};
use crate::telemetry::LogArgs;

/// Where health and metrics are served while the task runs as a service.
const LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9418);
/// Longest wait between two tries to reach the server at the start of a service.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Derive phase and conditions, end holds that ran out, count clusters and regions
///
/// Watches the hosts of one namespace and writes what follows, under the field manager
/// inv-tui-lifecycle. Of several, one works: the holder of the Lease inv-tui-lifecycle. Exit codes:
/// 0 done, 1 partly or not done, 2 wrong usage or set-up, 3 another one works.
#[derive(Args, Clone, Debug)]
pub struct LifecycleArgs {
    /// Settle every host, cluster and region once, then exit
    #[arg(long)]
    pub once: bool,
    /// Address of /healthz, /readyz and /metrics [default: 127.0.0.1:9418, none with --once]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// Form of the log.
    #[command(flatten)]
    pub log: LogArgs,
}

/// The time, to the second: Kubernetes keeps no more, so more would never compare equal.
fn now() -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default()
}

/// Runs the task.
///
/// # Errors
/// What keeps it from starting: wrong usage, no API server, missing definitions or permissions. With
/// `--once` also that another one works, or that not everything could be settled.
pub async fn run(args: LifecycleArgs, server: &ConnectOptions, namespace: &str) -> Result<u8> {
    let quiet = args.once && args.log.interactive();
    crate::telemetry::start(args.log, if quiet { "warn" } else { "info" })?;
    let stop = signals::signals("stopping: no further write is begun")?;
    let (metrics, registry) = Metrics::new();
    let address = args.listen.or_else(|| (!args.once).then_some(LISTEN));
    let listener = match address {
        Some(address) => Some(http::bind(address).await?),
        None => None,
    };
    let connection = connect(server).await?;
    if let Some(listener) = listener {
        if let Ok(address) = listener.local_addr() {
            tracing::info!(%address, "health and metrics");
        }
        let counted = metrics.clone();
        let ready: http::Ready = Arc::new(move || counted.ready());
        tokio::spawn(http::serve(listener, registry, ready, stop.clone()));
    }
    if !until_reachable(&connection, namespace, !args.once, stop.clone()).await? {
        return Ok(EXIT_DONE);
    }
    let client = connection.client.clone();
    let mut leadership = Leadership::new(client.clone(), namespace, LIFECYCLE, LIFECYCLE);
    let control = Control {
        client,
        namespace: namespace.to_owned(),
        metrics: metrics.clone(),
        instance: leadership.identity().to_owned(),
        once: args.once,
    };
    if args.once {
        return once(&control, &mut leadership, stop).await;
    }
    lead(
        &mut leadership,
        stop.clone(),
        |leads| metrics.leads(leads),
        async || {
            control.run(stop.clone()).await;
        },
    )
    .await;
    tracing::info!("stopped");
    Ok(EXIT_DONE)
}

async fn once(
    control: &Control,
    leadership: &mut Leadership,
    stop: watch::Receiver<bool>,
) -> Result<u8> {
    if let Some(other) = leadership.acquire(Some(TURN)).await? {
        return Err(Error::new(format!("another lifecycle controller works here: \"{other}\""))
            .hint("nothing is to be done by hand then; stop it first if you want to")
            .as_busy());
    }
    let ended = tokio::select! {
        lost = leadership.keep() => Err(lost),
        failed = control.run(stop) => Ok(failed),
    };
    leadership.release().await;
    match ended? {
        0 => Ok(EXIT_DONE),
        failed => Err(Error::new(format!("{failed} objects could not be settled"))
            .hint("the log says why for each of them")),
    }
}

/// Whether the server serves hosts and lets us read them. A service tries again for ever while the
/// server is out of reach. False: a stop was asked for.
async fn until_reachable(
    connection: &Connection,
    namespace: &str,
    service: bool,
    mut stop: watch::Receiver<bool>,
) -> Result<bool> {
    let mut wait = Duration::from_secs(1);
    loop {
        match check(connection, namespace).await {
            Ok(()) => return Ok(true),
            Err(problem) if !service || problem.exit_code() == EXIT_USAGE => return Err(problem),
            Err(problem) => {
                tracing::warn!(error = chain(&problem), hint = problem.next_step(), "tries again");
            }
        }
        let jittered = wait.mul_f64(fastrand::f64().mul_add(0.5, 0.5));
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return Ok(false),
            () = tokio::time::sleep(jittered) => {}
        }
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

async fn check(connection: &Connection, namespace: &str) -> Result<()> {
    use crate::model::diff::StoredHost;
    use kube::api::{Api, ListParams};
    let hosts: Api<StoredHost> = Api::namespaced(connection.client.clone(), namespace);
    let one = ListParams::default().limit(1);
    let what = format!("cannot list hosts on {}", connection.server);
    match tokio::time::timeout(DEADLINE, hosts.list(&one)).await {
        // 429 and the 5xx pass; anything else that the server says stays true
        Ok(Err(kube::Error::Api(status))) if status.code < 429 => {
            let cause = kube::Error::Api(status);
            Err(crate::store::client::explain(what, "list hosts", cause).as_usage())
        }
        Ok(answer) => call(&what, "list hosts", DEADLINE, async { answer }).await.map(drop),
        Err(_) => Err(Error::new(format!("{what}: no answer after {} s", DEADLINE.as_secs()))
            .hint("the server is overloaded or out of reach")),
    }
}
