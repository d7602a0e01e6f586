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

use clap::Args;
use jiff::Timestamp;
use tokio::sync::watch;

pub use self::control::Control;
pub use self::metrics::Metrics;

use crate::error::{EXIT_DONE, Error, Result};
use crate::store::client::{ConnectOptions, LIFECYCLE, connect};
use crate::store::lease::{Leadership, lead};
use crate::tasks::{http, reach, signals};
use crate::telemetry::LogArgs;

/// Where health and metrics are served while the task runs as a service.
const LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9418);

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
pub(in crate::tasks) fn now() -> Timestamp {
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
    let listener = http::bind_if(address).await?;
    let connection = connect(server).await?;
    if let Some(listener) = listener {
        let counted = metrics.clone();
        let ready: http::Ready = Arc::new(move || counted.ready());
        tokio::spawn(http::serve(listener, registry, ready, stop.clone()));
    }
    let check = async || reach::hosts(&connection, namespace, None).await;
    if !reach::until_reachable(!args.once, stop.clone(), check).await? {
        return Ok(EXIT_DONE);
    }
    let client = connection.client.clone();
    let leadership = Leadership::new(client.clone(), namespace, LIFECYCLE, LIFECYCLE);
    let control = Control {
        client,
        namespace: namespace.to_owned(),
        metrics: metrics.clone(),
        instance: leadership.identity().to_owned(),
    };
    if args.once {
        return once(&control, &leadership, stop).await;
    }
    lead(
        &leadership,
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
    leadership: &Leadership,
    stop: watch::Receiver<bool>,
) -> Result<u8> {
    if let Some(other) = leadership.turn(stop.clone()).await? {
        return Err(Error::new(format!("another lifecycle controller works here: \"{other}\""))
            .hint("nothing is to be done by hand then; stop it first if you want to")
            .as_busy());
    }
    let ended = leadership.hold(control.once(stop)).await;
    leadership.release().await;
    match ended?? {
        0 => Ok(EXIT_DONE),
        failed => Err(Error::new(format!("{failed} objects could not be settled"))
            .hint("the log says why for each of them")),
    }
}
