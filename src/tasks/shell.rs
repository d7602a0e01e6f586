//! What the acts on hosts have in common when they come from a shell: which hosts, the plan, the
//! confirmation, the results.

use std::fmt::Write as _;
use std::io::Write;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use k8s_openapi::jiff::Timestamp;
use tokio::sync::mpsc;

use crate::act::{self, Actor, Order, Outcome, Step};
use crate::error::{EXIT_DONE, EXIT_FAILED, Error, Result};
use crate::journal::Journal;
use crate::model::change::holder;
use crate::model::policy::{self, Extent, Level};
use crate::model::text;
use crate::store::client::{ConnectOptions, connect};
use crate::store::write;
use crate::tasks::signals::signals;

mod choose;
mod plan;

pub(super) use choose::{Chosen, choose, display};
pub(super) use plan::{Plan, plan};

/// Steps that may wait to be printed.
const QUEUE: usize = 256;

/// Which hosts.
#[derive(Args, Clone, Debug, Default)]
pub struct HostArgs {
    /// Hosts by name, or by a display name that only one has; - reads names from standard input
    #[arg(value_name = "HOST")]
    pub hosts: Vec<String>,
    /// All hosts of the namespace that the filter chooses, for example 'cluster:shop state:run'
    #[arg(long, value_name = "FILTER", conflicts_with = "hosts")]
    pub filter: Option<String>,
}

/// How it is confirmed and told.
#[derive(Args, Clone, Debug, Default)]
pub struct HowArgs {
    /// Print what would be done to each host, with every check, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// The number of hosts (or the name of the one): needed for more than ten, and against rules
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub confirm: Option<String>,
    /// Do it although something speaks against it: the cluster's budget, a source that sets the label
    /// itself, a check that fails; needs --confirm
    #[arg(long)]
    pub anyway: bool,
    /// How results are printed
    #[arg(long, short, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Lines for people.
    #[default]
    Table,
    /// One JSON document.
    Json,
    /// Names of the hosts for which it was done, one a line.
    Name,
}

/// Who acts, once the server has told.
pub(super) struct Session {
    pub(super) actor: Actor,
    /// The actor's key among the holders.
    pub(super) holder: String,
    pub(super) now: Timestamp,
}

/// Connects, asks who we are, finds the journal.
///
/// # Errors
/// As `connect`, or the server does not say who we are.
pub(super) async fn begin(server: &ConnectOptions) -> Result<Session> {
    let connection = connect(server).await?;
    let user = write::user(&connection).await?;
    let holder = holder(&user);
    let actor = Actor::new(connection, user, Journal::own().map(Arc::new));
    let now = (actor.clock)();
    Ok(Session { actor, holder, now })
}

/// Prints the plan, or checks that what policy wants typed was typed and carries the order out. Returns the exit
/// code, and the objects of those that were done.
///
/// # Errors
/// Wrong use: a reason or a confirmation is missing. Standard output cannot be written.
pub(super) async fn perform(
    session: &Session,
    mut order: Order,
    plan: Plan,
    how: &HowArgs,
    out: &mut impl Write,
) -> Result<(u8, Vec<crate::model::host::Host>)> {
    if how.dry_run {
        plan.print(how.output, out)?;
        return Ok((if plan.all_would_be_done() { EXIT_DONE } else { EXIT_FAILED }, Vec::new()));
    }
    if order.changes.is_empty() {
        plan.print_nothing(how.output, out)?;
        return Ok((EXIT_DONE, Vec::new()));
    }
    confirm(&order, &plan, how)?;
    // What nobody has typed is not passed by, should it come up only now.
    order.overrides = how.anyway && plan.is_against();
    let (steps, mut told) = mpsc::channel(QUEUE);
    let stop = signals("stopping: what has begun is finished")?;
    let (actor, sent) = (session.actor.clone(), order.clone());
    let work = tokio::spawn(async move { act::carry_out(&actor, &sent, &steps, stop).await });
    let mut report = Report { output: how.output, order: &order, plan: &plan, rows: Vec::new() };
    let mut done = Vec::new();
    let mut ended = None;
    let mut broken = None;
    while let Some(step) = told.recv().await {
        match step {
            Step::Wave(_) => {}
            Step::Host(number, outcome) => {
                if broken.is_none() {
                    broken = report.host(number, &outcome, out).err();
                }
                if let Outcome::Done(host) = outcome {
                    done.push(*host);
                }
            }
            Step::Ended(why) => ended = why,
        }
    }
    work.await.map_err(|cause| Error::new("the order broke off").because(cause))?;
    if let Some(error) = broken {
        return Err(error);
    }
    report.end(ended.as_deref(), out)?;
    let code = if done.len() == order.changes.len() { EXIT_DONE } else { EXIT_FAILED };
    Ok((code, done))
}

/// Whether what policy wants typed was typed.
fn confirm(order: &Order, plan: &Plan, how: &HowArgs) -> Result<()> {
    let extent = Extent {
        hosts: order.changes.len(),
        name: order.changes.first().map(|c| c.target().name.clone()).unwrap_or_default(),
        whole: false,
        protected: false,
        against: how.anyway && plan.is_against(),
    };
    match policy::level(order.verb, &extent) {
        Level::Reason if order.reason.is_empty() => {
            Err(Error::usage(format!("a change of {} hosts needs a reason", extent.hosts))
                .hint("say why with --reason TEXT; --dry-run shows what would be done"))
        }
        Level::Confirm | Level::Reason => Ok(()),
        Level::Type(text) if how.confirm.as_deref() == Some(text.as_str()) => Ok(()),
        Level::Type(text) => {
            let what = match extent.hosts {
                1 => format!("\"{text}\" is to be changed against the rules"),
                hosts => format!("{hosts} hosts are to be changed"),
            };
            let typed = match &how.confirm {
                Some(typed) => format!("--confirm says \"{typed}\""),
                None => "that must be confirmed".to_owned(),
            };
            Err(Error::usage(format!("{what}, and {typed}"))
                .hint(format!("look at it with --dry-run, then say --confirm {text}")))
        }
    }
}

/// Prints results as they come.
struct Report<'a> {
    output: Output,
    order: &'a Order,
    plan: &'a Plan,
    rows: Vec<serde_json::Value>,
}

impl Report<'_> {
    fn host(&mut self, number: usize, outcome: &Outcome, out: &mut impl Write) -> Result<()> {
        let Some(change) = self.order.changes.get(number) else { return Ok(()) };
        let target = change.target();
        let detail = match outcome {
            Outcome::Done(_) => String::new(),
            Outcome::Conflict(_) => "somebody else changed it first".to_owned(),
            Outcome::Gone => "there is no such host any more".to_owned(),
            Outcome::Denied(why) | Outcome::Failed(why) | Outcome::NotTried(why) => {
                text::clean(why).into_owned()
            }
        };
        match self.output {
            Output::Table => line(out, &[&target.name, outcome.as_str(), &detail]),
            Output::Name if matches!(outcome, Outcome::Done(_)) => line(out, &[&target.name]),
            Output::Name => Ok(()),
            Output::Json => {
                self.rows.push(serde_json::json!({
                    "namespace": target.namespace, "name": target.name,
                    "result": outcome.as_str(), "detail": detail,
                }));
                Ok(())
            }
        }
    }

    fn end(self, ended: Option<&str>, out: &mut impl Write) -> Result<()> {
        match self.output {
            Output::Table => {
                for (name, why) in &self.plan.nothing {
                    line(out, &[name, "nothing-to-do", why])?;
                }
                if let Some(why) = ended {
                    line(out, &["", "stopped:", why])?;
                }
                Ok(())
            }
            Output::Name => Ok(()),
            Output::Json => {
                let mut rows = self.rows;
                rows.extend(self.plan.nothing.iter().map(|(name, why)| {
                    serde_json::json!({"name": name, "result": "nothing-to-do", "detail": why})
                }));
                json(
                    out,
                    &serde_json::json!({
                        "order": self.order.id, "verb": self.order.verb.as_str(),
                        "hosts": rows, "ended": ended,
                    }),
                )
            }
        }
    }
}

/// Prints one line of cells, two blanks between them, harmless to a terminal.
///
/// # Errors
/// Standard output cannot be written.
pub(super) fn line(out: &mut impl Write, cells: &[&str]) -> Result<()> {
    let mut text = String::new();
    let mut cells = cells.iter().peekable();
    while let Some(cell) = cells.next() {
        let cell = text::clean(cell);
        if cells.peek().is_some() {
            let _ = write!(text, "{cell:<12}  ");
        } else {
            text.push_str(&cell);
        }
    }
    writeln!(out, "{}", text.trim_end()).map_err(unwritten)
}

/// Prints one JSON document.
///
/// # Errors
/// Standard output cannot be written.
pub(super) fn json(out: &mut impl Write, value: &serde_json::Value) -> Result<()> {
    writeln!(out, "{value:#}").map_err(unwritten)
}

fn unwritten(cause: std::io::Error) -> Error {
    Error::new("cannot write to standard output").because(cause)
}
