//! `inv-tui --headless csr`: certificate requests from a shell, with the checks of the explorer.

mod show;

use std::io::{Read as _, Write};
use std::sync::Arc;

use clap::{Args, Subcommand, ValueEnum};
use k8s_openapi::jiff::Timestamp;

use crate::act::certificates::{self as decisions, Decision};
use crate::act::{Actor, order_id};
use crate::error::{EXIT_DONE, EXIT_FAILED, Error, Result};
use crate::journal::Journal;
use crate::model::change::{MAX_REASON, MIN_REASON};
use crate::model::csr::{Mismatch, Policy, State};
use crate::model::text::clean;
use crate::store::certificates::{self, Decoded, Outcome, about};
use crate::store::client::{ConnectOptions, Connection, connect};
use crate::store::write;

/// List, approve or deny certificate requests.
///
/// Exit codes: 0 all done, 1 some not done, 2 wrong usage and nothing tried.
#[derive(Args, Clone, Debug)]
pub struct CsrArgs {
    /// What to do.
    #[command(subcommand)]
    pub act: CsrAct,
}

/// What to do with certificate requests.
#[derive(Subcommand, Clone, Debug)]
pub enum CsrAct {
    /// List the requests that wait, with what does not fit
    List {
        /// The decided ones, too
        #[arg(long)]
        all: bool,
        /// Form of the list
        #[arg(long, short = 'o', value_enum, default_value_t, value_name = "FORM")]
        output: Form,
    },
    /// Show one request, decoded and compared with its host
    Show {
        /// Name of the request
        name: String,
    },
    /// Approve requests that fit their hosts; one that does not needs --override
    Approve {
        /// Names of the requests, or - for names on standard input
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        /// Approve this one although something does not fit; may be given several times
        #[arg(long = "override", value_name = "NAME")]
        overrides: Vec<String>,
        /// Why
        #[arg(long, value_name = "TEXT", default_value = "looked at and approved")]
        reason: String,
        /// Say what would be done and do nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Deny requests, for good
    Deny {
        /// Names of the requests, or - for names on standard input
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        /// Why, for whoever asked
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Say what would be done and do nothing
        #[arg(long)]
        dry_run: bool,
    },
}

/// Form of a list.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Columns for people
    #[default]
    Table,
    /// One JSON document
    Json,
}

/// Most names that are read from standard input.
const MAX_INPUT: u64 = 1 << 20;

/// Runs the task.
///
/// # Errors
/// Wrong usage, no server, requests that cannot be listed. What fails for one request is told in
/// its line and in the exit code.
pub async fn run(args: CsrArgs, server: &ConnectOptions, _namespace: &str) -> Result<u8> {
    match args.act {
        CsrAct::List { all, output } => {
            let connection = connect(server).await?;
            list(&connection, all, output).await
        }
        CsrAct::Show { name } => {
            let connection = connect(server).await?;
            let all = certificates::list(&connection).await?;
            let decoded = find(&all, &name).ok_or_else(|| unknown(&name))?;
            let found = checked(&connection, decoded, &all).await?;
            print(&show::one(decoded, &found))?;
            Ok(EXIT_DONE)
        }
        CsrAct::Approve { names, overrides, reason, dry_run } => {
            let names = names_of(names)?;
            if let Some(stray) = overrides.iter().find(|name| !names.contains(name)) {
                return Err(Error::usage(format!(
                    "--override names \"{stray}\", which is not among the requests to approve"
                )));
            }
            let wish = Wish { approve: true, overrides, reason: reason_of(&reason)?, dry_run };
            decide(&connect(server).await?, &names, &wish).await
        }
        CsrAct::Deny { names, reason, dry_run } => {
            let names = names_of(names)?;
            let reason = reason_of(&reason)?;
            let wish = Wish { approve: false, overrides: Vec::new(), reason, dry_run };
            decide(&connect(server).await?, &names, &wish).await
        }
    }
}

struct Wish {
    approve: bool,
    overrides: Vec<String>,
    reason: String,
    dry_run: bool,
}

fn names_of(mut names: Vec<String>) -> Result<Vec<String>> {
    if names == ["-"] {
        let mut text = String::new();
        let stdin = std::io::stdin().lock();
        stdin.take(MAX_INPUT).read_to_string(&mut text).map_err(|cause| {
            Error::usage("cannot read names from standard input").because(cause)
        })?;
        names = text.split_whitespace().map(ToOwned::to_owned).collect();
    }
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    if names.is_empty() { Err(Error::usage("no request is named")) } else { Ok(names) }
}

fn reason_of(text: &str) -> Result<String> {
    let text = text.trim();
    if (MIN_REASON..=MAX_REASON).contains(&text.chars().count()) {
        Ok(text.to_owned())
    } else {
        Err(Error::usage(format!("a reason has {MIN_REASON} to {MAX_REASON} characters")))
    }
}

fn find<'a>(all: &'a [Decoded], name: &str) -> Option<&'a Decoded> {
    all.iter().find(|decoded| about(decoded).name == name)
}

fn unknown(name: &str) -> Error {
    Error::new(format!("there is no certificate request \"{}\"", clean(name)))
        .hint("\"inv-tui --headless csr list --all\" lists them")
}

/// What does not fit; a request that cannot be read is one mismatch as a whole.
async fn checked(
    connection: &Connection,
    decoded: &Decoded,
    all: &[Decoded],
) -> Result<Vec<Mismatch>> {
    match decoded {
        Ok(request) => {
            let policy = Policy::default();
            decisions::check(connection, request, all, &policy, Timestamp::now()).await
        }
        Err(problem) => Ok(vec![Mismatch {
            reason: "Malformed",
            field: "request",
            found: format!("not readable: {}", problem.why),
            wanted: "PKCS#10 in strict DER".to_owned(),
            fatal: true,
        }]),
    }
}

async fn list(connection: &Connection, decided: bool, form: Form) -> Result<u8> {
    let all = certificates::list(connection).await?;
    let shown = all.iter().filter(|d| decided || about(d).state == State::Pending);
    let mut shown: Vec<&Decoded> = shown.collect();
    shown.sort_by_key(|decoded| (about(decoded).created, about(decoded).name.clone()));
    let mut lines = Vec::new();
    for decoded in shown {
        // What is decided is not compared any more: the host has gone on since.
        let found = match about(decoded).state {
            State::Pending => Some(checked(connection, decoded, &all).await?),
            _ => None,
        };
        lines.push((decoded, found));
    }
    match form {
        Form::Table => print(&show::table(&lines, Timestamp::now()))?,
        Form::Json => {
            let items: Vec<_> =
                lines.iter().map(|(d, found)| show::json(d, found.as_deref())).collect();
            let text = serde_json::to_string_pretty(&items)
                .map_err(|cause| Error::new("cannot write JSON").because(cause))?;
            print(&format!("{text}\n"))?;
        }
    }
    Ok(EXIT_DONE)
}

async fn decide(connection: &Connection, names: &[String], wish: &Wish) -> Result<u8> {
    let all = certificates::list(connection).await?;
    let user = write::user(connection).await?;
    let actor = Actor::new(connection.clone(), user, Journal::own().map(Arc::new));
    let id = order_id();
    let mut fine = true;
    for name in names {
        let (done, line) = match find(&all, name) {
            None => (false, "gone: there is no such request".to_owned()),
            Some(decoded) => one(&actor, &id, decoded, &all, wish).await?,
        };
        fine &= done;
        print(&format!("{}: {line}\n", clean(name)))?;
    }
    Ok(if fine { EXIT_DONE } else { EXIT_FAILED })
}

/// Decides about one request; whether it is done, and its line.
async fn one(
    actor: &Actor,
    id: &str,
    decoded: &Decoded,
    all: &[Decoded],
    wish: &Wish,
) -> Result<(bool, String)> {
    let seen = about(decoded);
    if let Some(decision) = &seen.decision {
        let state = seen.state.as_str().to_lowercase();
        let line = format!("conflict: it is {state} already: {}", decision.message);
        return Ok((false, line));
    }
    let found =
        if wish.approve { checked(&actor.connection, decoded, all).await? } else { Vec::new() };
    let typed = wish.overrides.contains(&seen.name);
    if !found.is_empty() && !typed {
        let why: Vec<String> = found.iter().map(Mismatch::text).collect();
        let name = &seen.name;
        return Ok((
            false,
            format!("refused: {}; to approve it all the same: --override {name}", why.join("; ")),
        ));
    }
    let (word, would) = if wish.approve { ("approved", "approve") } else { ("denied", "deny") };
    let regardless = if found.is_empty() {
        String::new()
    } else {
        format!(" although {}", found.iter().map(Mismatch::text).collect::<Vec<_>>().join("; "))
    };
    if wish.dry_run {
        return Ok((true, format!("would {would} it{regardless}")));
    }
    let host = decoded.as_ref().ok().and_then(|request| request.host());
    let decision = Decision {
        id: id.to_owned(),
        seen: seen.clone(),
        host: host.map(|(namespace, name)| (namespace.to_owned(), name.to_owned())),
        approve: wish.approve,
        reason: wish.reason.clone(),
        regardless: !found.is_empty(),
    };
    let outcome = decisions::decide(actor, &decision).await;
    Ok(match (&outcome, decisions::said(&outcome)) {
        (Outcome::Done(_), _) => (true, format!("{word}{regardless}")),
        (_, (result, detail)) => (false, format!("{result}: {detail}")),
    })
}

fn print(text: &str) -> Result<()> {
    std::io::stdout()
        .lock()
        .write_all(text.as_bytes())
        .map_err(|cause| Error::new("cannot write to standard output").because(cause))
}
