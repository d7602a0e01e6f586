//! `inv-tui --headless runner`: Ansible runs over ssh for hosts that have no agent.
//!
//! The same requests as on a host with an agent, the same ledger, the same promise: a requestID runs
//! at most once, see [`execute`](super::execute). A host with a Lease of its own has an agent and is
//! left alone. Of several runners one begins runs, the one that holds the Lease; each follows those
//! that it has begun, until their end is reported, whoever leads.
//!
//! ```text
//! watch ── hosts that want a run ── table ── due ──► no agent? ──► one task for each host
//!                                                                     │ waits for a place
//! our own Lease, renewed: we live                                     ▼
//! other runners' Leases: what they had begun        supervisor ── ansible-playbook ── ssh ── host
//! ends as Unknown when they have gone
//! ```

mod config;
mod control;
mod member;
mod metrics;
mod work;

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use self::config::RunnerConfig;
use self::control::Control;
use self::metrics::Metrics;
use crate::error::{EXIT_DONE, Error, Result};
use crate::store::client::{ConnectOptions, DEADLINE, RUNNER, connect_to_cluster};
use crate::store::lease::{Leadership, lead};
use crate::tasks::execute::ledger;
use crate::tasks::folder::Folder;
use crate::tasks::tended::tended;
use crate::tasks::{http, reach, signals};
use crate::telemetry::LogArgs;

/// Where health and metrics are served.
const LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9420);

/// Run Ansible over ssh for hosts without an agent
///
/// Of several runners for the same hosts one begins runs: the holder of the Lease inv-tui-runner.
/// Ending the runner does not end its runs; they are followed again after the next start with the
/// same --state-dir.
#[derive(Args, Clone, Debug)]
pub struct RunnerArgs {
    /// File with what may be run and how hosts are reached, see deploy/runner.toml
    #[arg(long, value_name = "FILE")]
    pub runner_config: PathBuf,
    /// Only hosts whose labels match, for example topology.kubernetes.io/region=eu-west-1
    #[arg(long, short = 'l', value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// Folder for what has been run
    #[arg(long, value_name = "DIR", default_value = "/var/lib/inv-tui-runner")]
    pub state_dir: PathBuf,
    /// Runs at once
    #[arg(long, value_name = "NUMBER", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub at_once: u16,
    /// Address of /healthz, /readyz and /metrics [default: 127.0.0.1:9420]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// Form of the log.
    #[command(flatten)]
    pub log: LogArgs,
}

/// Runs the task.
///
/// # Errors
/// What keeps it from starting: a file with a mistake, a folder that cannot be used or that another
/// runner has, an API server that does not let us read hosts. One that is away does not: the runner
/// waits for it.
pub async fn run(args: RunnerArgs, server: &ConnectOptions, namespace: &str) -> Result<u8> {
    crate::telemetry::start(args.log, "info")?;
    let config = RunnerConfig::read(&args.runner_config)?;
    let stop = signals::signals("stopping: runs that go on are not ended")?;
    let state = State::open(&args.state_dir)?;
    let (metrics, registry) = Metrics::new();
    let listener = http::bind(args.listen.unwrap_or(LISTEN)).await?;
    let connection = connect_to_cluster(server).await?;
    if let Err(problem) = reach::hosts(&connection, namespace, args.selector.as_deref()).await {
        // a server that is out of reach is waited for by the watch
        reach::passes(problem)?;
    }
    let counted = metrics.clone();
    let ready: http::Ready = Arc::new(move || counted.ready());
    tokio::spawn(http::serve(listener, registry, ready, stop.clone()));

    let (leads, leading) = watch::channel(false);
    let (client, of, identity) =
        (connection.client.clone(), namespace.to_owned(), state.identity.clone());
    let (until, counted) = (stop.clone(), metrics.clone());
    tokio::spawn(async move {
        let live = || member::live(client.clone(), of.clone(), identity.clone(), until.clone());
        tended("our own lease", until.clone(), || counted.broke_off(), live).await;
    });
    let leadership = Leadership::new(
        connection.client.clone(),
        namespace,
        &lease_name(args.selector.as_deref()),
        RUNNER,
    );
    let (mut until, told) = (stop.clone(), metrics.clone());
    let leading_task = tokio::spawn(async move {
        let tell = |is: bool| {
            told.leads(is);
            leads.send_replace(is);
        };
        let work = || {
            let mut until = until.clone();
            async move {
                let _ = until.wait_for(|stop| *stop).await;
            }
        };
        let leading = || lead(&leadership, until.clone(), tell, work);
        tended(
            "the lease of the one that begins runs",
            until.clone(),
            || told.broke_off(),
            leading,
        )
        .await;
        let _ = until.wait_for(|stop| *stop).await;
    });
    let folder = state.folder.path.join("runs").join(namespace);
    tracing::info!(identity = state.identity, server = connection.server, "runner");
    let control = Control::new(
        connection.client,
        namespace,
        args.selector,
        config,
        control::Own { folder, identity: state.identity.clone() },
        usize::from(args.at_once),
        metrics,
    );
    control.run(leading, stop).await;
    // The Lease is given back, so that another runner may begin at once.
    let _ = tokio::time::timeout(DEADLINE, leading_task).await;
    tracing::info!("stopped");
    Ok(EXIT_DONE)
}

/// Runners for other hosts lead each other nowhere: every selector has a Lease of its own.
fn lease_name(selector: Option<&str>) -> String {
    match selector {
        None => RUNNER.to_owned(),
        Some(selector) => {
            let mut name = format!("{RUNNER}.");
            for byte in Sha256::digest(selector.as_bytes()).iter().take(4) {
                let _ = write!(name, "{byte:02x}");
            }
            name
        }
    }
}

/// The folder of a runner: its ledger, and who it is.
struct State {
    /// Ours as long as the process lives: two runners with one ledger would run things twice.
    folder: Folder,
    identity: String,
}

impl State {
    /// Opens the folder, which is made with mode 0700 if it is missing.
    fn open(folder: &Path) -> Result<Self> {
        let folder = Folder::take(folder, "runner")?;
        let file = folder.path.join("identity");
        let known = fs::read_to_string(&file).ok().map(|text| text.trim().to_owned());
        let identity = if let Some(known) = known.filter(|known| member::is_identity(known)) {
            known
        } else {
            let new = member::new_identity();
            ledger::put(&folder.path, "identity", new.as_bytes()).map_err(|cause| {
                Error::usage(format!("cannot write \"{}\"", file.display())).because(cause)
            })?;
            new
        };
        Ok(Self { folder, identity })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_runner_and_one_identity() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("state");
        let first = State::open(&place).unwrap();
        let error = State::open(&place).err().unwrap();
        assert!(error.to_string().contains("another runner"), "{error}");
        let identity = first.identity.clone();
        drop(first);
        assert_eq!(State::open(&place).unwrap().identity, identity);
        fs::write(place.join("identity"), "somebody else").unwrap();
        assert_ne!(State::open(&place).unwrap().identity, "somebody else");
    }

    #[test]
    fn each_selector_has_its_lease() {
        assert_eq!(lease_name(None), "inv-tui-runner");
        let eu = lease_name(Some("region=eu"));
        assert!(eu.starts_with("inv-tui-runner.") && eu != lease_name(Some("region=us")));
    }
}
