//! `inv-tui --headless maintain`: puts hosts into maintenance, or ends it.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::shell::{self, Chosen, HostArgs, HowArgs, Session, choose, plan};
use crate::act::{Order, order_id};
use crate::error::{Error, Result};
use crate::model::change::{
    self, Change, HoldChange, MAX_HOLD_SECONDS, MAX_REASON, MIN_REASON, Target,
};
use crate::model::duration;
use crate::model::host::{Hold, HoldMode, Host};
use crate::model::key::Uid;
use crate::model::policy::{Facts, Verb};
use crate::store::budget::clusters;
use crate::store::client::ConnectOptions;
use crate::telemetry;

/// Put hosts into maintenance, or end it.
#[derive(Args, Clone, Debug)]
pub struct MaintainArgs {
    /// Which of the two.
    #[command(subcommand)]
    pub what: What,
}

/// Into maintenance or out of it.
#[derive(Subcommand, Clone, Debug)]
pub enum What {
    /// Begin a maintenance, or change one's own
    On(OnArgs),
    /// End one's own maintenance
    Off(OffArgs),
}

/// Options of `maintain on`.
#[derive(Args, Clone, Debug)]
pub struct OnArgs {
    /// Which hosts.
    #[command(flatten)]
    pub hosts: HostArgs,
    /// Why, for the colleague who finds the host in maintenance; 3 to 256 characters
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub reason: String,
    /// How long, at most 30d
    #[arg(long = "for", value_name = "LENGTH", default_value = "4h", value_parser = length)]
    pub length: Duration,
    /// Ticket that tells more
    #[arg(long, value_name = "TEXT", value_parser = ticket)]
    pub ticket: Option<String>,
    /// Drain takes work off the host, observe only marks it
    #[arg(long, value_enum, default_value_t = Mode::Drain)]
    pub mode: Mode,
    /// How it is confirmed and told.
    #[command(flatten)]
    pub how: HowArgs,
}

/// Options of `maintain off`.
#[derive(Args, Clone, Debug)]
pub struct OffArgs {
    /// Which hosts.
    #[command(flatten)]
    pub hosts: HostArgs,
    /// Why, for the journal
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub reason: Option<String>,
    /// End the hold of somebody else; needs --override
    #[arg(long, value_name = "NAME", requires = "override_")]
    pub holder: Option<String>,
    /// The holder's name once more: it is somebody else's hold that ends
    #[arg(id = "override_", long = "override", value_name = "NAME", requires = "holder")]
    pub override_: Option<String>,
    /// How it is confirmed and told.
    #[command(flatten)]
    pub how: HowArgs,
}

/// What a hold does to the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Work is taken off the host.
    Drain,
    /// The host is only marked.
    Observe,
}

/// A reason, trimmed.
pub(super) fn reason(text: &str) -> std::result::Result<String, String> {
    let text = text.trim();
    if (MIN_REASON..=MAX_REASON).contains(&text.chars().count()) {
        Ok(text.to_owned())
    } else {
        Err(format!("a reason has {MIN_REASON} to {MAX_REASON} characters"))
    }
}

fn ticket(text: &str) -> std::result::Result<String, String> {
    let text = text.trim();
    let fits = (1..=MAX_TICKET).contains(&text.chars().count());
    if fits { Ok(text.to_owned()) } else { Err("a ticket has 1 to 128 characters".to_owned()) }
}

/// Longest ticket in characters, as the schema has it.
const MAX_TICKET: usize = 128;

fn length(text: &str) -> std::result::Result<Duration, String> {
    let length = duration::parse(text)?;
    if (1..=MAX_HOLD_SECONDS).contains(&length.as_secs()) {
        Ok(length)
    } else {
        Err("a maintenance lasts at least 1s and at most 30d".to_owned())
    }
}

/// Runs the task.
///
/// # Errors
/// Wrong use, no connection, or the server does not tell what must be known: nothing was done then.
pub async fn run(args: MaintainArgs, server: &ConnectOptions, namespace: &str) -> Result<u8> {
    telemetry::start(telemetry::LogArgs::default(), "warn")?;
    let session = shell::begin(server).await?;
    let (hosts, how) = match &args.what {
        What::On(args) => (&args.hosts, &args.how),
        What::Off(args) => (&args.hosts, &args.how),
    };
    if let What::Off(OffArgs { holder: Some(holder), override_, .. }) = &args.what
        && override_.as_ref() != Some(holder)
    {
        return Err(Error::usage(format!("the hold of \"{holder}\" is not yours"))
            .hint(format!("say --override {holder} if it is to end all the same")));
    }
    let Chosen { hosts } = choose(&session.actor.connection, namespace, hosts, session.now).await?;
    let (verb, reason, ticket) = match &args.what {
        What::On(args) => (Verb::MaintenanceOn, args.reason.clone(), args.ticket.clone()),
        What::Off(args) => (Verb::MaintenanceOff, args.reason.clone().unwrap_or_default(), None),
    };
    let (mut changes, mut meant, mut nothing) = (Vec::new(), Vec::new(), Vec::new());
    for host in &hosts {
        let wanted = match &args.what {
            What::On(args) => Ok(begin(&session, host, args)),
            What::Off(args) => end(&session, host, args),
        };
        match wanted {
            Ok(change) => {
                changes.push(Change::Hold(change));
                meant.push(host);
            }
            Err(why) => nothing.push((host.name_any(), why)),
        }
    }
    let clusters = clusters(&session.actor.connection, namespace).await?;
    let past = how.anyway;
    let mut plan = plan(&session, verb, &changes, &meant, &clusters, past).await?;
    plan.nothing = nothing;
    let order = Order { id: order_id(), verb, changes, reason, ticket, overrides: past };
    let out = &mut std::io::stdout().lock();
    let (code, _) = Box::pin(shell::perform(&session, order, plan, how, out)).await?;
    Ok(code)
}

/// The host as it is the target of a change.
pub(super) fn target(host: &Host) -> Target {
    Target {
        uid: Uid::new(host.uid().unwrap_or_default()),
        namespace: host.namespace().unwrap_or_default(),
        name: host.name_any(),
        resource_version: host.resource_version().unwrap_or_default(),
    }
}

fn begin(session: &Session, host: &Host, args: &OnArgs) -> HoldChange {
    let holder = session.holder.clone();
    let mode = match args.mode {
        Mode::Drain => HoldMode::Drain,
        Mode::Observe => HoldMode::Observe,
    };
    let hold = change::hold(&args.reason, session.now, args.length.as_secs());
    let new = Some(Hold { ticket: args.ticket.clone(), mode, ..hold });
    HoldChange {
        target: target(host),
        old: host.spec.maintenance.get(&holder).cloned(),
        holder,
        new,
    }
}

/// The change that ends the hold; else why there is none to end.
fn end(session: &Session, host: &Host, args: &OffArgs) -> std::result::Result<HoldChange, String> {
    let holder = args.holder.clone().unwrap_or_else(|| session.holder.clone());
    match host.spec.maintenance.get(&holder) {
        Some(old) => {
            Ok(HoldChange { target: target(host), old: Some(old.clone()), holder, new: None })
        }
        None => Err(not_held(host, &holder, session.now)),
    }
}

fn not_held(host: &Host, holder: &str, now: Timestamp) -> String {
    let others = Facts::of(host, now).holders;
    if others.is_empty() {
        format!("{holder} does not hold it")
    } else {
        format!("{holder} does not hold it; held by {}", others.join(", "))
    }
}
