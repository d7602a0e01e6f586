//! `inv-tui --headless agent`: runs on a host and does what the host's own object asks for.
//!
//! It sees and changes one Host, with a certificate of its own ([`identity`]). Everything is
//! level-triggered: whenever the object changes, something ends, or time has passed, [`work`] looks
//! at what is wanted and at what there is, and does the one thing that is next. What has been done
//! stands in the state folder, so nothing is lost or done twice when agent, host or API server go away
//! for any time: runs in the ledger of [`execute`](super::execute), the rest in `state`.
//!
//! ```text
//! watch ── Host ──┐                            ┌── supervisor ── ansible-playbook
//!                 ▼                            │
//! hooks ── end ► work: one thing at a time ────┤
//! clock ─────────▲                             └── status: server-side apply of our own fields
//! heartbeat ── Lease
//! ```

mod config;
mod heartbeat;
mod hooks;
pub mod identity;
mod metrics;
mod state;
mod system;
mod work;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use futures::StreamExt;
use kube::api::Api;
use kube::core::DeserializeGuard;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use self::config::AgentConfig;
use self::metrics::Metrics;
use self::work::{Agent, News};
use crate::error::{EXIT_DONE, Error, Result};
use crate::model::host::Host;
use crate::store::client::{ConnectOptions, Connection, connect_to_cluster};
use crate::tasks::{http, signals};
use crate::telemetry::LogArgs;

/// Run on a host: Ansible runs, maintenance and upgrades of this host
///
/// Without --kubeconfig it has an identity of its own: the first start makes a key and asks for a
/// certificate with --bootstrap-kubeconfig, waits until somebody approves it, and renews it from then
/// on.
#[derive(Args, Clone, Debug)]
pub struct AgentArgs {
    /// Name of the Host object that this machine is; default: what the firmware says
    #[arg(long, value_name = "NAME")]
    pub host: Option<String>,
    /// File with what may be run, see deploy/agent.toml; without it: no runs and no hooks
    #[arg(long, value_name = "FILE")]
    pub agent_config: Option<PathBuf>,
    /// Folder for key, certificate and what has been done
    #[arg(long, value_name = "DIR", default_value = "/var/lib/inv-tui-agent")]
    pub state_dir: PathBuf,
    /// Kubeconfig that may ask for the first certificate
    #[arg(long, value_name = "FILE")]
    pub bootstrap_kubeconfig: Option<PathBuf>,
    /// How long a certificate is asked for, at least 10m
    #[arg(long, value_name = "TIME", value_parser = crate::model::duration::parse, default_value = "30d")]
    pub certificate_life: Duration,
    /// Address of /healthz, /readyz and /metrics; without it: none
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// Form of the log.
    #[command(flatten)]
    pub log: LogArgs,
}

/// Runs the task.
///
/// # Errors
/// What keeps it from starting: a file with a mistake, no identity, a folder that cannot be written.
/// An API server that is away does not: the agent waits for it.
pub async fn run(args: AgentArgs, server: &ConnectOptions, namespace: &str) -> Result<u8> {
    crate::telemetry::start(args.log, "info")?;
    let config = AgentConfig::read(args.agent_config.as_deref())?;
    let host = args.host.clone().map_or_else(config::host_name, Ok)?;
    if crate::model::labels::to_object_name(&host, "") != host {
        return Err(Error::usage(format!("\"{host}\" cannot name a host"))
            .hint("a host's name is a DNS label: a-z, 0-9 and -, at most 63 characters"));
    }
    let stop = signals::signals("stopping: a run that goes on is not ended")?;
    let mut agent = Agent::open(&config, &args.state_dir, namespace, &host)?;
    agent.settle_upgrade()?;
    let (metrics, registry) = Metrics::new();
    let (mut known, told) = (agent.ready(), metrics.clone());
    tokio::spawn(async move {
        while known.changed().await.is_ok() {
            told.knows(known.borrow_and_update().is_ok());
        }
    });
    if let Some(address) = args.listen {
        let (listener, ready) = (http::bind(address).await?, agent.ready());
        let ready: http::Ready = Arc::new(move || ready.borrow().clone());
        tokio::spawn(http::serve(listener, registry, ready, stop.clone()));
    }
    let mut beside = JoinSet::new();
    let connected = connect(&args, server, namespace, &host, &metrics, &stop, &mut beside).await?;
    let Some(connection) = connected else { return Ok(EXIT_DONE) };
    tracing::info!(host, namespace, server = connection.borrow().server, "agent");
    beside.spawn(heartbeat::beat(
        connection.clone(),
        namespace.to_owned(),
        host.clone(),
        config.heartbeat,
        metrics,
        stop.clone(),
    ));
    let (news, inbox) = mpsc::channel(64);
    beside.spawn(follow(connection.clone(), namespace.to_owned(), host, news.clone()));
    let stopped = stop.clone();
    let broke_off = async {
        // They end after a stop, and at no other time: an agent without them only seems to live.
        while let Some(ended) = beside.join_next().await {
            if ended.is_err() || !*stopped.borrow() {
                return;
            }
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = agent.run(connection, news, inbox, stop) => {
            tracing::info!("stopped");
            Ok(EXIT_DONE)
        }
        () = broke_off => Err(Error::new("a part of the agent broke off; this is a fault of inv-tui")
            .hint("start it again: what goes on is found in its folder")),
    }
}

/// The way to the API server: what a kubeconfig says, if one is named, else the host's own identity.
/// What keeps it goes on `beside`. None: a stop was asked for while it waited.
async fn connect(
    args: &AgentArgs,
    server: &ConnectOptions,
    namespace: &str,
    host: &str,
    metrics: &Metrics,
    stop: &watch::Receiver<bool>,
    beside: &mut JoinSet<()>,
) -> Result<Option<watch::Receiver<Connection>>> {
    let named = server.kubeconfig.is_some() || server.context.is_some() || server.embedded;
    if named {
        let (publish, connection) = watch::channel(connect_to_cluster(server).await?);
        // Nobody else publishes: it stays what it is.
        beside.spawn(async move { publish.closed().await });
        return Ok(Some(connection));
    }
    let options = identity::Options {
        namespace: namespace.to_owned(),
        host: host.to_owned(),
        folder: args.state_dir.join("identity"),
        bootstrap: args.bootstrap_kubeconfig.clone(),
        life: args.certificate_life,
    };
    let Some(held) = identity::obtain(options, stop.clone()).await? else { return Ok(None) };
    let (publish, connection) = watch::channel(held.connection().clone());
    let metrics = metrics.clone();
    let told = move |ends| metrics.certificate(ends);
    beside.spawn(identity::keep(held, publish, told, stop.clone()));
    Ok(Some(connection))
}

/// Follows the one Host, over each connection that there is, for ever.
async fn follow(
    mut connection: watch::Receiver<Connection>,
    namespace: String,
    host: String,
    news: mpsc::Sender<News>,
) {
    let config = watcher::Config::default().fields(&format!("metadata.name={host}"));
    loop {
        let client = connection.borrow_and_update().client.clone();
        let api: Api<DeserializeGuard<Host>> = Api::namespaced(client, &namespace);
        let mut events = watcher(api, config.clone()).default_backoff().boxed();
        let mut listed = false;
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                changed = connection.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    break;
                }
            };
            let told = match event {
                None => break,
                Some(Ok(Event::Init)) => {
                    listed = false;
                    continue;
                }
                Some(Ok(Event::Apply(guard) | Event::InitApply(guard))) => {
                    listed = true;
                    match guard.0 {
                        Ok(host) => News::Host(Box::new(host)),
                        Err(problem) => News::Away(format!("the Host cannot be read: {problem}")),
                    }
                }
                Some(Ok(Event::InitDone)) if listed => continue,
                Some(Ok(Event::InitDone | Event::Delete(_))) => News::Gone,
                Some(Err(cause)) => News::Away(cause.to_string()),
            };
            if news.send(told).await.is_err() {
                return;
            }
        }
    }
}
