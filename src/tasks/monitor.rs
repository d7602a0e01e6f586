//! `inv-tui --headless monitor`: tells Prometheus of the hosts, and Alertmanager of their maintenance.
//!
//! ```text
//! watch ── hosts ──► targets, job by job ──┬── /sd/JOB     (http_sd)
//!    clusters ──►    (model/targets.rs)    └── JOB.json    (file_sd)
//!              └──► who is held ── plan ──► silences        (model/silence.rs)
//!                   one of several, by a Lease
//! ```
//!
//! Nothing is asked for again and again: what happens to a host is in the list when the watch tells of
//! it. Before all hosts are known no list is given; after that, while the API server is out of reach, the
//! last one, which is what Prometheus would keep too, and which it needs after a restart of its own. No
//! silence is made or ended then.

mod board;
mod config;
mod control;
mod files;
mod metrics;
mod silencer;
mod web;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::Api;
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use self::board::Board;
use self::config::{AlertmanagerConfig, MonitorConfig};
use self::control::Control;
use self::files::Output;
use self::metrics::Metrics;
use self::silencer::Silencer;
use self::web::{Lists, Published};
use crate::error::{EXIT_DONE, Error, Result, chain};
use crate::model::silence::Rule;
use crate::model::targets::Targets;
use crate::providers::http::{Http, base};
use crate::store::client::{
    ConnectOptions, Connection, DEADLINE, MONITOR, call, connect_to_cluster,
};
use crate::store::lease::{Leadership, lead};
use crate::tasks::tended::tended;
use crate::tasks::{http, signals};
use crate::telemetry::LogArgs;

/// Where everything is served.
const LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9423);
/// First and longest wait between two tries to learn which inventory it is.
const WAIT: (std::time::Duration, std::time::Duration) =
    (std::time::Duration::from_secs(1), std::time::Duration::from_secs(30));

/// Tell Prometheus of the hosts, and Alertmanager of their maintenance
///
/// Serves /sd/JOB for `http_sd` and writes files for `file_sd`, each as soon as a host changes, and keeps a
/// silence for each host that is in maintenance. Any number may run; of several, one makes silences: the
/// holder of the Lease inv-tui-monitor.
#[derive(Args, Clone, Debug)]
pub struct MonitorArgs {
    /// File with jobs and Alertmanagers, see deploy/monitor.toml
    #[arg(long, value_name = "FILE")]
    pub monitor_config: PathBuf,
    /// Address of /sd/JOB, /healthz, /readyz and /metrics [default: 127.0.0.1:9423]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// Form of the log.
    #[command(flatten)]
    pub log: LogArgs,
}

/// Runs the task.
///
/// # Errors
/// What keeps it from starting: a file with a mistake, an address that cannot be used or that everybody
/// could read from, an API server that does not let us read hosts. One that is away does not: the monitor
/// waits for it.
pub async fn run(args: MonitorArgs, server: &ConnectOptions, namespace: &str) -> Result<u8> {
    crate::telemetry::start(args.log, "info")?;
    let config = MonitorConfig::read(&args.monitor_config)?;
    let address = args.listen.unwrap_or(LISTEN);
    if !address.ip().is_loopback() && config.web.token.is_none() && !config.web.open {
        return Err(Error::usage(format!(
            "on {address} whoever reaches the port could read every host"
        ))
        .hint("in [web] of the monitor's file set token, or open = true if that is meant"));
    }
    if let Some(token) = &config.web.token {
        token.read().map_err(|problem| problem.error.as_usage())?;
    }
    let clients = config.alertmanagers.iter().map(|one| Http::new(one.ca_file.as_deref()));
    let clients: Vec<Http> = clients.collect::<Result<_>>()?;
    let stop = signals::signals("stopping: silences stay as they are")?;
    let (metrics, registry) = Metrics::new();
    let listener = http::bind(address).await?;
    let connection = connect_to_cluster(server).await?;
    check(&connection, namespace).await?;

    let now = Timestamp::now();
    let targets = Targets::new(config.jobs.iter().map(|job| job.job(now)).collect());
    let jobs: Vec<(String, watch::Sender<Published>)> =
        config.jobs.iter().map(|job| (job.name.clone(), watch::Sender::default())).collect();
    for (job, (_, published)) in config.jobs.iter().zip(&jobs) {
        let Some(path) = job.file.clone() else { continue };
        let output =
            Output { job: job.name.clone(), path, mode: job.mode, metrics: metrics.clone() };
        let (published, until, counted) = (published.subscribe(), stop.clone(), metrics.clone());
        tokio::spawn(async move {
            let keep = || output.keep(published.clone(), until.clone());
            tended("a file of targets", until.clone(), || counted.broke_off(), keep).await;
        });
    }
    let published = jobs.iter().map(|(name, sender)| (name.clone(), sender.subscribe()));
    let lists = Lists::new(published, metrics.clone());
    let counted = metrics.clone();
    let ready: http::Ready = Arc::new(move || {
        if counted.is_synced() { Ok(()) } else { Err("the hosts are not known".to_owned()) }
    });
    let mut router = http::router(registry, ready).merge(lists.router());
    if let Some(token) = config.web.token.clone() {
        router = web::guarded(router, token);
    }
    tokio::spawn(http::serve_router(listener, router, stop.clone()));

    let boards: Vec<Arc<Board>> = config.alertmanagers.iter().map(|_| Arc::default()).collect();
    let keeper = Keeper {
        config: config.alertmanagers,
        clients,
        boards: boards.clone(),
        metrics: metrics.clone(),
        connection: connection.clone(),
        namespace: namespace.to_owned(),
    };
    let (until, counted) = (stop.clone(), metrics.clone());
    let silences = tokio::spawn(async move {
        let run = || keeper.run(until.clone());
        tended("silences", until.clone(), || counted.broke_off(), run).await;
    });
    let control = Control { targets, jobs, boards, metrics, complete: false, lost: false };
    Box::pin(control.run(connection, namespace, stop)).await;
    // The Lease is given back, so that another one may begin at once.
    let _ = tokio::time::timeout(DEADLINE, silences).await;
    tracing::info!("stopped");
    Ok(EXIT_DONE)
}

/// Whether the hosts can be read. A server that is out of reach is waited for later.
async fn check(connection: &Connection, namespace: &str) -> Result<()> {
    use kube::api::ListParams;
    let hosts: Api<crate::model::record::HostRecord> =
        Api::namespaced(connection.client.clone(), namespace);
    let what = format!("cannot list hosts on {}", connection.server);
    let one = ListParams::default().limit(1);
    match tokio::time::timeout(DEADLINE, hosts.list(&one)).await {
        Ok(Err(cause)) if crate::store::client::stays(&cause) => {
            Err(crate::store::client::explain(what, "list hosts", cause).as_usage())
        }
        Ok(Err(cause)) => {
            let error = crate::store::client::explain(what, "list hosts", cause);
            tracing::warn!(error = chain(&error), hint = error.next_step(), "tries again");
            Ok(())
        }
        Ok(Ok(_)) | Err(_) => Ok(()),
    }
}

/// Keeps the silences of every Alertmanager, while it is the one of several that does.
struct Keeper {
    config: Vec<AlertmanagerConfig>,
    clients: Vec<Http>,
    boards: Vec<Arc<Board>>,
    metrics: Metrics,
    connection: Connection,
    namespace: String,
}

impl Keeper {
    /// Works until `stop` becomes true.
    async fn run(&self, mut stop: watch::Receiver<bool>) {
        if self.config.is_empty() {
            return;
        }
        let owner = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            owner = self.owner() => owner,
        };
        let all = self.config.iter().zip(&self.clients).zip(&self.boards);
        let silencers = all.map(|((config, http), board)| Silencer {
            name: config.name.clone(),
            rule: Rule {
                owner: config.owner.clone().unwrap_or_else(|| owner.clone()),
                matchers: config.matchers(),
                ahead: config.ahead(),
            },
            http: http.clone(),
            urls: config.urls.iter().filter_map(|url| base(url).ok()).collect(),
            credentials: config.credentials.clone(),
            user: config.user.clone(),
            board: Arc::clone(board),
            metrics: self.metrics.clone(),
        });
        let silencers: Vec<Silencer> = silencers.collect();
        let client = self.connection.client.clone();
        let lease = lease_name(self.config.iter().filter_map(|one| one.owner.as_deref()));
        let leadership = Leadership::new(client, &self.namespace, &lease, MONITOR);
        lead(
            &leadership,
            stop.clone(),
            |leads| self.metrics.leads(leads),
            async || {
                let mut until = stop.clone();
                // A fault in the work for one Alertmanager is no matter of the others.
                let each = silencers.iter().map(|silencer| {
                    let broke_off = || self.metrics.broke_off();
                    tended("silences of one Alertmanager", stop.clone(), broke_off, || {
                        silencer.run()
                    })
                });
                let mut all: FuturesUnordered<_> = each.collect();
                tokio::select! {
                    _ = until.wait_for(|stop| *stop) => {}
                    () = async { while all.next().await.is_some() {} } => {}
                }
            },
        )
        .await;
    }

    /// Which inventory silences are marked with, where the file does not say: namespaces of one name on
    /// two servers are two.
    async fn owner(&self) -> String {
        if self.config.iter().all(|one| one.owner.is_some()) {
            return String::new();
        }
        let api: Api<Namespace> = Api::all(self.connection.client.clone());
        let what = format!("cannot read the namespace \"{}\"", self.namespace);
        let (mut wait, longest) = WAIT;
        loop {
            let asked = call(&what, "get namespaces", DEADLINE, api.get(&self.namespace)).await;
            match asked.map(|namespace| namespace.metadata.uid) {
                Ok(uid) => {
                    let uid = uid.unwrap_or_default();
                    let short = uid.split('-').next().unwrap_or_default();
                    return format!("{}-{short}", self.namespace);
                }
                Err(problem) => tracing::warn!(
                    error = chain(&problem),
                    hint = problem.next_step(),
                    "no silences yet; tries again"
                ),
            }
            tokio::time::sleep(wait.mul_f64(fastrand::f64().mul_add(0.5, 0.5))).await;
            wait = (wait * 2).min(longest);
        }
    }
}

/// Monitors with other owners have nothing to do with each other's silences, so they have another Lease.
fn lease_name<'a>(owners: impl Iterator<Item = &'a str>) -> String {
    let owners: Vec<&str> = owners.collect();
    if owners.is_empty() {
        return MONITOR.to_owned();
    }
    let mut name = format!("{MONITOR}.");
    for byte in Sha256::digest(owners.join("\n").as_bytes()).iter().take(4) {
        let _ = write!(name, "{byte:02x}");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_owner_has_its_lease() {
        assert_eq!(lease_name([].into_iter()), "inv-tui-monitor");
        let own = lease_name(["eu"].into_iter());
        assert!(own.starts_with("inv-tui-monitor.") && own != lease_name(["us"].into_iter()));
    }
}
