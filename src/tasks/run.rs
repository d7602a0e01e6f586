//! `inv-tui --headless run`: asks for an Ansible run on hosts, or takes the request back.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::{Args, Subcommand};
use kube::ResourceExt;

use super::maintain::{reason, target};
use super::shell::{self, Chosen, HostArgs, HowArgs, Session, choose, plan};
use crate::act::{Order, order_id};
use crate::error::{Error, Result};
use crate::model::change::{Change, RunChange};
use crate::model::cluster::Cluster;
use crate::model::duration;
use crate::model::host::{AnsibleRequest, Host, RunState};
use crate::model::policy::playbook::{self, Wish};
use crate::model::policy::{Verb, run_going};
use crate::store::budget::{self, clusters};
use crate::store::client::ConnectOptions;
use crate::telemetry;

mod follow;

/// Ask for an Ansible run on hosts.
#[derive(Args, Clone, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct RunArgs {
    /// Something else than asking for a run.
    #[command(subcommand)]
    pub what: Option<What>,
    /// Which hosts.
    #[command(flatten)]
    pub hosts: HostArgs,
    /// Playbook that the hosts' cluster offers [default: the cluster's]
    #[arg(long, value_name = "PATH")]
    pub playbook: Option<String>,
    /// Tags to run
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    pub tags: Vec<String>,
    /// Report what would change and change nothing
    #[arg(long)]
    pub check: bool,
    /// Extra variable; may be given several times
    #[arg(short = 'e', long = "extra-var", value_name = "KEY=VALUE", value_parser = variable)]
    pub extra_vars: Vec<(String, String)>,
    /// Git revision to run from [default: the cluster's]
    #[arg(long, value_name = "REVISION")]
    pub revision: Option<String>,
    /// Length after which a run is ended, at most 24h
    #[arg(long, value_name = "LENGTH", value_parser = timeout)]
    pub timeout: Option<Duration>,
    /// Why
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub reason: Option<String>,
    /// Follow the runs until all have ended, at most this long
    #[arg(long, value_name = "LENGTH", num_args = 0..=1, require_equals = true,
        default_missing_value = "1h", value_parser = duration::parse)]
    pub wait: Option<Duration>,
    /// How it is confirmed and told.
    #[command(flatten)]
    pub how: HowArgs,
}

/// Something else than asking for a run.
#[derive(Subcommand, Clone, Debug)]
pub enum What {
    /// Take requests back that nobody has begun yet
    Cancel(CancelArgs),
}

/// Options of `run cancel`.
#[derive(Args, Clone, Debug)]
pub struct CancelArgs {
    /// Which hosts.
    #[command(flatten)]
    pub hosts: HostArgs,
    /// Why, for the journal
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub reason: Option<String>,
    /// How it is confirmed and told.
    #[command(flatten)]
    pub how: HowArgs,
}

/// Longest value of a variable in characters, as the schema has it.
const MAX_VALUE: usize = 1024;
/// Longest name of a variable.
const MAX_NAME: usize = 64;
/// Longest run in seconds.
const MAX_TIMEOUT: u64 = 86_400;

fn variable(text: &str) -> std::result::Result<(String, String), String> {
    let (key, value) =
        text.split_once('=').ok_or_else(|| format!("\"{text}\" is not KEY=VALUE"))?;
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let begins = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !begins || !key.chars().all(legal) || key.len() > MAX_NAME {
        return Err(format!("\"{key}\" is not the name of a variable"));
    }
    if value.chars().count() > MAX_VALUE {
        return Err(format!("the value of \"{key}\" has more than {MAX_VALUE} characters"));
    }
    Ok((key.to_owned(), value.to_owned()))
}

fn timeout(text: &str) -> std::result::Result<Duration, String> {
    let length = duration::parse(text)?;
    if (1..=MAX_TIMEOUT).contains(&length.as_secs()) {
        Ok(length)
    } else {
        Err("a run lasts at least 1s and at most 24h".to_owned())
    }
}

/// Runs the task.
///
/// # Errors
/// Wrong use, no connection, or the server does not tell what must be known: nothing was done then.
pub async fn run(args: RunArgs, server: &ConnectOptions, namespace: &str) -> Result<u8> {
    telemetry::start(telemetry::LogArgs::default(), "warn")?;
    match &args.what {
        Some(What::Cancel(cancel_args)) => cancel(cancel_args, server, namespace).await,
        None => ask(&args, server, namespace).await,
    }
}

async fn ask(args: &RunArgs, server: &ConnectOptions, namespace: &str) -> Result<u8> {
    let session = shell::begin(server).await?;
    let Chosen { hosts } =
        choose(&session.actor.connection, namespace, &args.hosts, session.now).await?;
    let clusters = clusters(&session.actor.connection, namespace).await?;
    let mut changes = Vec::new();
    for host in &hosts {
        let its = clusters.iter().find(|cluster| budget::has(cluster, host));
        let new = request(&session, args, its).map_err(|why| {
            Error::usage(format!("nothing was asked for: \"{}\": {why}", host.name_any()))
        })?;
        changes.push(Change::Run(RunChange {
            target: target(host),
            old: host.spec.ansible.clone(),
            new,
        }));
    }
    let past = args.how.anyway;
    let meant: Vec<&Host> = hosts.iter().collect();
    let plan = plan(&session, Verb::Run, &changes, &meant, &clusters, past).await?;
    let order = Order {
        id: order_id(),
        verb: Verb::Run,
        changes,
        reason: args.reason.clone().unwrap_or_default(),
        ticket: None,
        overrides: past,
    };
    let out = &mut std::io::stdout().lock();
    let (code, done) = Box::pin(shell::perform(&session, order, plan, &args.how, out)).await?;
    match args.wait {
        Some(length) if !done.is_empty() => {
            let ended =
                follow::follow(&session, namespace, &done, length, args.how.output, out).await?;
            Ok(code.max(ended))
        }
        _ => Ok(code),
    }
}

fn request(
    session: &Session,
    args: &RunArgs,
    cluster: Option<&Cluster>,
) -> std::result::Result<AnsibleRequest, String> {
    let wish = Wish {
        playbook: args.playbook.as_deref(),
        revision: args.revision.as_deref(),
        tags: &args.tags,
        check: args.check,
    };
    let choice = playbook::choose(cluster, wish)?;
    let id = uuid::Uuid::new_v4().simple().to_string();
    Ok(AnsibleRequest {
        request_id: format!("run-{}", id.get(..12).unwrap_or(&id)),
        playbook: choice.playbook,
        revision: choice.revision,
        tags: args.tags.clone(),
        check: args.check,
        extra_vars: args.extra_vars.iter().cloned().collect::<BTreeMap<_, _>>(),
        timeout_seconds: args.timeout.and_then(|length| i32::try_from(length.as_secs()).ok()),
        requested_by: Some(session.actor.user.clone()),
        reason: args.reason.clone(),
        cancel: false,
    })
}

async fn cancel(args: &CancelArgs, server: &ConnectOptions, namespace: &str) -> Result<u8> {
    let session = shell::begin(server).await?;
    let Chosen { hosts } =
        choose(&session.actor.connection, namespace, &args.hosts, session.now).await?;
    let (mut changes, mut meant, mut nothing) = (Vec::new(), Vec::new(), Vec::new());
    for host in &hosts {
        match (run_going(host), host.spec.ansible.clone()) {
            (Some(_), Some(old)) => {
                let new = AnsibleRequest { cancel: true, ..old.clone() };
                changes.push(Change::Run(RunChange { target: target(host), old: Some(old), new }));
                meant.push(host);
            }
            _ => nothing.push((host.name_any(), "no run waits".to_owned())),
        }
    }
    let verb = Verb::CancelRun;
    let mut plan = plan(&session, verb, &changes, &meant, &[], false).await?;
    plan.nothing = nothing;
    let order = Order {
        id: order_id(),
        verb,
        changes,
        reason: args.reason.clone().unwrap_or_default(),
        ticket: None,
        overrides: false,
    };
    let out = &mut std::io::stdout().lock();
    let (code, _) = Box::pin(shell::perform(&session, order, plan, &args.how, out)).await?;
    Ok(code)
}

/// Whether a run did what was wanted.
fn is_good(state: RunState) -> bool {
    state == RunState::Succeeded
}
