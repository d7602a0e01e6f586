//! `inv-tui --headless approve`: decides about certificate requests of hosts by a written policy.
//!
//! One of several works, by a Lease. It follows all requests, because the past ones tell whether a
//! host has a certificate that lives and who asks too often, and reads a Host by its name when one
//! asks. It decides only after a complete listing. What it leaves pending is looked at again each
//! minute: a fetcher may have found the host in the meantime.

mod decide;
mod metrics;
mod policy;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::Args;
use tokio::sync::{mpsc, watch};

use self::decide::{Approver, Context};
use self::metrics::Metrics;
use crate::error::{EXIT_DONE, EXIT_FAILED, Error, Result};
use crate::store::certificates::{self, CsrEvent};
use crate::store::client::{ConnectOptions, connect};
use crate::store::event::Events;
use crate::store::lease::{Leadership, lead};
use crate::store::write;
use crate::tasks::tended::tended;
use crate::tasks::{http, signals};
use crate::telemetry::LogArgs;

/// Field manager, name of the Lease, and source of the Events.
const APPROVER: &str = "inv-tui-approve";
/// Between two looks at what was left pending.
const AGAIN: Duration = Duration::from_mins(1);
/// Events of the watch that wait to be looked at.
const WAITING: usize = 256;

/// Approve certificate requests of hosts by a written policy.
///
/// Without --policy the defaults apply: signer kubernetes.io/kube-apiserver-client, at most 30 days,
/// ECDSA P-256 and P-384, Ed25519 and RSA of 2048 bits or more, hosts of every namespace, first
/// certificates for system:bootstrappers:inv unless the host has one that lives, three requests an
/// hour; nothing is denied, what does not fit is left pending with its reason.
#[derive(Args, Clone, Debug)]
pub struct ApproveArgs {
    /// Policy file (TOML): signers, max-validity, keys, min-rsa-bits, namespaces, requests-per-hour,
    /// bootstrap-group, leave-takeovers, deny
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Only report what would be decided; change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Decide about the requests that there are, and end
    #[arg(long)]
    pub once: bool,
    /// Serve /healthz, /readyz and /metrics here, for example 127.0.0.1:9109
    #[arg(long, value_name = "ADDRESS", conflicts_with = "once")]
    pub listen: Option<SocketAddr>,
    /// Logs.
    #[command(flatten)]
    pub log: LogArgs,
}

const STANDBY: &str = "its turn has not come";
const LISTING: &str = "requests are being listed";
const LOST: &str = "requests cannot be followed";

/// Why it does not do its work, if so.
type State = Arc<Mutex<Option<&'static str>>>;

fn set(state: &State, why: Option<&'static str>) {
    *state.lock().unwrap_or_else(PoisonError::into_inner) = why;
}

/// Runs the task. The exit code of a single pass says whether every request could be looked at.
///
/// # Errors
/// Wrong usage, a policy that cannot be read, no server.
pub async fn run(args: ApproveArgs, server: &ConnectOptions, namespace: &str) -> Result<u8> {
    let policy = policy::load(args.policy.as_deref())?;
    crate::telemetry::start(args.log, "info")?;
    let stop = signals::signals("stopping: no further request is decided")?;
    let listener = http::bind_if(args.listen).await?;
    let connection = connect(server).await?;
    let me = write::user(&connection).await.map_err(Error::as_usage)?;
    let client = connection.client.clone();
    let leadership = Leadership::new(client.clone(), namespace, APPROVER, APPROVER);
    let (metrics, registry) = Metrics::new();
    let context = Arc::new(Context {
        events: Events::new(client, APPROVER, leadership.identity()),
        connection,
        policy,
        me,
        dry_run: args.dry_run,
        metrics,
    });
    tracing::info!(
        user = context.me,
        dry_run = context.dry_run,
        deny = context.policy.deny,
        "decides by its policy"
    );
    if args.once {
        return Box::pin(once(&context, &leadership, stop)).await;
    }
    let state: State = Arc::new(Mutex::new(Some(STANDBY)));
    if let Some(listener) = listener {
        let (state, term) = (Arc::clone(&state), leadership.term());
        let ready: http::Ready = Arc::new(move || {
            let why = *state.lock().unwrap_or_else(PoisonError::into_inner);
            // one that waits for its turn is ready to take over
            let why = why.filter(|why| *why != STANDBY || !term.is_others());
            why.map_or(Ok(()), |why| Err(why.to_owned()))
        });
        tokio::spawn(http::serve(listener, registry, ready, stop.clone()));
    }
    if context.dry_run {
        // It changes nothing, so any number may do it at once.
        work(&context, &state, stop).await;
    } else {
        let told = |leads: bool| {
            context.metrics.leads(leads);
            set(&state, Some(if leads { LISTING } else { STANDBY }));
        };
        let task = || work(&context, &state, stop.clone());
        Box::pin(lead(&leadership, stop.clone(), told, task)).await;
    }
    tracing::info!("stopped");
    Ok(EXIT_DONE)
}

/// Follows the requests and decides, until a stop is asked for, which ends a question to the server
/// too.
async fn work(context: &Arc<Context>, state: &State, mut stop: watch::Receiver<bool>) {
    let until = stop.clone();
    tokio::select! {
        _ = stop.wait_for(|stop| *stop) => {}
        () = decide_all(context, state, until) => {}
    }
}

async fn decide_all(context: &Arc<Context>, state: &State, stop: watch::Receiver<bool>) {
    let (sender, mut events) = mpsc::channel(WAITING);
    let (connection, metrics) = (context.connection.clone(), context.metrics.clone());
    tokio::spawn(async move {
        let follow = || certificates::follow(connection.clone(), sender.clone());
        tended("the watch on requests", stop, || metrics.error(), follow).await;
    });
    let mut approver = Approver::new(Arc::clone(context));
    let mut again = tokio::time::interval(AGAIN);
    let mut complete = false;
    loop {
        let event = tokio::select! {
            biased;
            event = events.recv() => event,
            _ = again.tick() => {
                if complete {
                    approver.look_at_all().await;
                }
                continue;
            }
        };
        match event {
            None => return,
            Some(CsrEvent::Begin) => {
                approver.begin();
                complete = false;
            }
            Some(CsrEvent::Apply(decoded)) => {
                let uid = approver.apply(*decoded);
                if complete {
                    approver.look_at(&uid).await;
                }
            }
            Some(CsrEvent::Delete(uid)) => approver.forget(&uid),
            Some(CsrEvent::Synced) => {
                approver.synced();
                complete = true;
                set(state, None);
                approver.look_at_all().await;
            }
            Some(CsrEvent::Lost(why) | CsrEvent::Refused(why)) => {
                tracing::error!(error = why, "requests are not followed");
                context.metrics.error();
                set(state, Some(LOST));
            }
        }
    }
}

/// Decides about what there is, once.
async fn once(
    context: &Arc<Context>,
    leadership: &Leadership,
    mut stop: watch::Receiver<bool>,
) -> Result<u8> {
    if !context.dry_run
        && let Some(other) = leadership.turn(stop.clone()).await?
    {
        return Err(Error::new(format!("another approver works: \"{other}\""))
            .hint("it decides about all requests; stop it, or look only with --dry-run")
            .as_busy());
    }
    let pass = async {
        let mut approver = Approver::new(Arc::clone(context));
        for decoded in certificates::list(&context.connection).await? {
            approver.apply(decoded);
        }
        Ok(approver.look_at_all().await)
    };
    let pass = Box::pin(async {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => Err(Error::new("stopped before the end")),
            done = pass => done,
        }
    });
    let done = if context.dry_run {
        pass.await
    } else {
        let done = leadership.hold(pass).await;
        leadership.release().await;
        done?
    };
    Ok(if done? { EXIT_DONE } else { EXIT_FAILED })
}
