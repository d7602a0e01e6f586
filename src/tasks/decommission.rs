//! `inv-tui --headless decommission`: what is done before a host goes. The rules are in
//! [`crate::model::decommission`].
//!
//! ```text
//! a host is there       the finalizer is put on it, if it lacks it
//! it is deleted         plan ── write down what is begun ── run it ── write down how it ended ── next
//! every step is over    heartbeat away, Event, finalizer off: the host is gone
//! ```
//!
//! The finalizer is put on by the service itself, and by nobody else: where the service does not run no
//! delete ever waits for it. A host that is deleted before the service has seen it goes without steps.
//! `--release` takes the finalizer off every host, for the day on which the service is given up.

mod config;
mod control;
mod deed;
mod metrics;
mod work;

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use futures::StreamExt;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use tokio::sync::watch;

use self::config::Config;
use self::control::{Control, Undone};
use self::metrics::Metrics;
use crate::error::{EXIT_DONE, Error, Result, chain};
use crate::model::condition::{self, DELETING};
use crate::model::decommission::is_kept;
use crate::model::diff::StoredHost;
use crate::model::host::Host;
use crate::model::labels::FINALIZER;
use crate::model::text;
use crate::store::budget::pages;
use crate::store::client::{
    ConnectOptions, Connection, DEADLINE, DECOMMISSION, call, connect_to_cluster,
};
use crate::store::lease::{Leadership, lead};
use crate::tasks::lifecycle::now;
use crate::tasks::{http, reach, signals};
use crate::telemetry::LogArgs;

/// Where health and metrics are served while the task runs as a service.
const LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9421);
/// Hosts that are released at a time, and how often one is tried that others change.
const RELEASES: (usize, u32) = (8, 20);

/// Do what is to be done before a host goes, then let it go
///
/// Puts the finalizer inventory.inv-tui.dev/decommission on every host of one namespace, and runs the
/// steps of a file for each host that is deleted. Of several, one works: the holder of the Lease
/// inv-tui-decommission. Exit codes: 0 done, 1 partly or not done, 2 wrong usage or set-up.
#[derive(Args, Clone, Debug)]
pub struct DecommissionArgs {
    /// File with the steps, see deploy/decommission.toml
    #[arg(long, value_name = "FILE", required_unless_present = "release")]
    pub decommission_config: Option<PathBuf>,
    /// Do what can be done now, then exit
    #[arg(long)]
    pub once: bool,
    /// Print what would be done for each host, and do nothing
    #[arg(long, conflicts_with = "once")]
    pub dry_run: bool,
    /// Take the finalizer off every host, without any step, and exit: the service is given up
    #[arg(long, conflicts_with_all = ["once", "decommission_config"])]
    pub release: bool,
    /// Address of /healthz, /readyz and /metrics [default: 127.0.0.1:9421, none with --once]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// Form of the log.
    #[command(flatten)]
    pub log: LogArgs,
}

/// Runs the task.
///
/// # Errors
/// What keeps it from starting: a file with a mistake, wrong usage, no API server, missing
/// definitions or permissions. With `--once` also that another one works, or that hosts wait.
pub async fn run(args: DecommissionArgs, server: &ConnectOptions, namespace: &str) -> Result<u8> {
    let single = args.once || args.dry_run || args.release;
    let quiet = single && args.log.interactive();
    crate::telemetry::start(args.log, if quiet { "warn" } else { "info" })?;
    let config = args.decommission_config.as_deref().map(Config::read).transpose()?;
    let stop = signals::signals("stopping: no further step is begun")?;
    let (metrics, registry) = Metrics::new();
    let address = args.listen.or_else(|| (!single).then_some(LISTEN));
    let listener = http::bind_if(address).await?;
    let connection = connect_to_cluster(server).await?;
    if let Some(listener) = listener {
        let counted = metrics.clone();
        let ready: http::Ready = Arc::new(move || counted.ready());
        tokio::spawn(http::serve(listener, registry, ready, stop.clone()));
    }
    let check = async || reach::hosts(&connection, namespace, None).await;
    if !reach::until_reachable(!single, stop.clone(), check).await? {
        return Ok(EXIT_DONE);
    }
    let client = connection.client.clone();
    let leadership = Leadership::new(client.clone(), namespace, DECOMMISSION, DECOMMISSION);
    let Some(config) = config.filter(|_| !args.release) else {
        return release(&connection, namespace, args.dry_run, &leadership, stop).await;
    };
    if args.dry_run {
        return show(&connection, namespace, &config).await;
    }
    let control = Control {
        client,
        namespace: namespace.to_owned(),
        config: Arc::new(config),
        metrics: metrics.clone(),
        instance: leadership.identity().to_owned(),
        once: args.once,
    };
    if args.once {
        return once(&control, &leadership, stop).await;
    }
    let told = |leads| metrics.leads(leads);
    lead(&leadership, stop.clone(), told, async || {
        if let Err(problem) = control.run(stop.clone()).await {
            tracing::error!(error = chain(&problem), "ended");
        }
    })
    .await;
    tracing::info!("stopped");
    Ok(EXIT_DONE)
}

async fn turn(leadership: &Leadership, stop: watch::Receiver<bool>) -> Result<()> {
    match leadership.turn(stop).await? {
        None => Ok(()),
        Some(other) => {
            Err(Error::new(format!("another decommission service works here: \"{other}\""))
                .hint("stop it first")
                .as_busy())
        }
    }
}

async fn once(
    control: &Control,
    leadership: &Leadership,
    stop: watch::Receiver<bool>,
) -> Result<u8> {
    turn(leadership, stop.clone()).await?;
    let ended = leadership.hold(control.run(stop)).await;
    leadership.release().await;
    let Undone { failed, waiting } = ended??;
    if failed > 0 {
        return Err(Error::new(format!("{failed} times a host could not be looked after"))
            .hint("the log says why for each of them"));
    }
    match waiting.as_slice() {
        [] => Ok(EXIT_DONE),
        [one] => Err(Error::new(format!("host \"{one}\" waits"))
            .hint("its condition Deleting says what for")),
        [first, ..] => Err(Error::new(format!("{} hosts wait, \"{first}\" is one", waiting.len()))
            .hint("the condition Deleting of each says what for")),
    }
}

fn cannot_write(cause: std::io::Error) -> Error {
    Error::new("cannot write to standard output").because(cause)
}

/// Prints what would be done for each host.
async fn show(connection: &Connection, namespace: &str, config: &Config) -> Result<u8> {
    let api: Api<Host> = Api::namespaced(connection.client.clone(), namespace);
    let mut lines = Vec::new();
    let each = |host: Host| {
        let name = text::clean(&host.name_any()).into_owned();
        let status = host.status.as_ref();
        let record = status.and_then(|status| status.decommission.as_ref());
        let steps = match record {
            Some(record) => crate::model::decommission::story(record),
            None => match config.chosen(&host, now()).as_slice() {
                [] => "no steps".to_owned(),
                steps => steps.join(", "),
            },
        };
        let waits = status.and_then(|status| condition::find(&status.conditions, DELETING));
        let what = match (host.metadata.deletion_timestamp.is_some(), is_kept(&host), waits) {
            (false, false, _) => "gets the finalizer; when deleted".to_owned(),
            (false, true, _) => "when deleted".to_owned(),
            (true, true, None) => "is deleted; to be done".to_owned(),
            (true, true, Some(said)) => format!("is deleted; {}", text::clean(&said.message)),
            (true, false, _) => "is deleted without steps".to_owned(),
        };
        let lost = host.metadata.deletion_timestamp.is_some() && !is_kept(&host);
        let steps = if lost { String::new() } else { format!(": {steps}") };
        lines.push(format!("{name}: {what}{steps}"));
    };
    pages(&api, ListParams::default(), "cannot list hosts", "list hosts", each).await?;
    let mut out = std::io::stdout().lock();
    for line in lines {
        writeln!(out, "{line}").map_err(cannot_write)?;
    }
    Ok(EXIT_DONE)
}

/// Takes the finalizer off every host.
async fn release(
    connection: &Connection,
    namespace: &str,
    dry_run: bool,
    leadership: &Leadership,
    mut stop: watch::Receiver<bool>,
) -> Result<u8> {
    let asked = stop.clone();
    let work = async {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => Err(Error::new("stopped before the end")),
            done = release_all(connection, namespace, dry_run) => done,
        }
    };
    if dry_run {
        return work.await;
    }
    turn(leadership, asked).await?;
    let done = leadership.hold(work).await;
    leadership.release().await;
    done?
}

async fn release_all(connection: &Connection, namespace: &str, dry_run: bool) -> Result<u8> {
    let api: Api<Host> = Api::namespaced(connection.client.clone(), namespace);
    let mut kept = Vec::new();
    let each = |host: Host| {
        if is_kept(&host) {
            kept.push((host.name_any(), host.metadata.deletion_timestamp.is_some()));
        }
    };
    pages(&api, ListParams::default(), "cannot list hosts", "list hosts", each).await?;
    let released = futures::stream::iter(kept).map(|(name, deleting)| {
        let (api, stored) = (api.clone(), Api::namespaced(connection.client.clone(), namespace));
        async move {
            let done = if dry_run { Ok(()) } else { let_go(&api, &stored, &name).await };
            (name, deleting, done)
        }
    });
    let mut released = released.buffer_unordered(RELEASES.0);
    let (mut count, mut failed) = (0_usize, 0_usize);
    while let Some((name, deleting, done)) = released.next().await {
        match done {
            Ok(()) => {
                count += 1;
                let name = text::clean(&name).into_owned();
                let more = if deleting { ", which was being deleted" } else { "" };
                let word = if dry_run { "would be released" } else { "released" };
                writeln!(std::io::stdout().lock(), "{name}: {word}{more}").map_err(cannot_write)?;
            }
            Err(problem) => {
                failed += 1;
                tracing::warn!(host = name, error = chain(&problem), "not released");
            }
        }
    }
    if failed > 0 {
        return Err(Error::new(format!("{failed} hosts were not released, {count} were"))
            .hint("the log says why for each of them"));
    }
    Ok(EXIT_DONE)
}

async fn let_go(api: &Api<Host>, stored: &Api<StoredHost>, name: &str) -> Result<()> {
    let what = format!("cannot read host \"{name}\"");
    for _ in 0..RELEASES.1 {
        let host = call(&what, "get hosts", DEADLINE, api.get_opt(name)).await?;
        let Some(host) = host.filter(is_kept) else { return Ok(()) };
        let mut rest = host.metadata.finalizers.clone().unwrap_or_default();
        rest.retain(|one| one != FINALIZER);
        if work::finalizers(stored, &host, &rest).await?.is_some() {
            return Ok(());
        }
    }
    Err(Error::new(format!("cannot release host \"{name}\": others change it all the time")))
}
