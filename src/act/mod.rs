//! What a person, or a script in a person's name, has done to hosts: an [`Order`] is carried out
//! host by host, and each step of it is told. The explorer and the shell's tasks go through here.

use tokio::sync::{mpsc, watch};

use crate::error::chain;
use crate::model::change::Change;
use crate::model::host::Host;
use crate::store::client::Connection;
use crate::store::write;

/// Who acts, and where.
#[derive(Clone)]
pub struct Actor {
    /// The server.
    pub connection: Connection,
    /// The name under which the server knows us.
    pub user: String,
}

/// What kind of act it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Holds begin or change.
    MaintenanceOn,
    /// Holds end.
    MaintenanceOff,
    /// Ansible runs are asked for.
    Run,
    /// Requests for runs are taken back before they begin.
    CancelRun,
    /// An earlier order is taken back.
    Undo,
    /// What was taken back is made again.
    Redo,
}

impl Verb {
    /// Its name in the journal, in Events and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MaintenanceOn => "maintenance-on",
            Self::MaintenanceOff => "maintenance-off",
            Self::Run => "run",
            Self::CancelRun => "cancel-run",
            Self::Undo => "undo",
            Self::Redo => "redo",
        }
    }
}

/// Something to be done to hosts, confirmed by a person.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// Names the order in the journal.
    pub id: String,
    /// What kind of act it is.
    pub verb: Verb,
    /// One change for each host, in the order in which they are made.
    pub changes: Vec<Change>,
    /// Why.
    pub reason: String,
    /// The person has typed that it may go past the cluster's budget and the preconditions.
    pub overrides: bool,
}

/// What came of one host.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Done; the object as it is now.
    Done(Box<Host>),
    /// Not done: the value that the change expected is no longer there. The object as it is now.
    Conflict(Box<Host>),
    /// Not done: the object is gone.
    Gone,
    /// Not done: a rule, the budget or the server says no; why.
    Denied(String),
    /// Not done, or not known; why.
    Failed(String),
    /// Not tried: the order was stopped before; why.
    NotTried(String),
}

/// One step of an order.
#[derive(Clone, Debug)]
pub enum Step {
    /// A wave of this many hosts begins.
    Wave(usize),
    /// What came of the change with this number.
    Host(usize, Outcome),
    /// The order has ended: why before its end, if so.
    Ended(Option<String>),
}

/// Carries out an order. The last step is [`Step::Ended`]. When `stop` becomes true no further
/// change is begun.
pub async fn carry_out(
    actor: &Actor,
    order: &Order,
    steps: &mpsc::Sender<Step>,
    stop: watch::Receiver<bool>,
) {
    for (number, change) in order.changes.iter().enumerate() {
        let outcome = if *stop.borrow() {
            Outcome::NotTried("stopped".to_owned())
        } else {
            match write::change(&actor.connection, change).await {
                write::Outcome::Done(host) => Outcome::Done(host),
                write::Outcome::Conflict(host) => Outcome::Conflict(host),
                write::Outcome::Gone => Outcome::Gone,
                write::Outcome::Failed(error) => {
                    let hint = error.next_step().map(|h| format!(" · {h}")).unwrap_or_default();
                    Outcome::Failed(format!("{}{hint}", chain(&error)))
                }
            }
        };
        if steps.send(Step::Host(number, outcome)).await.is_err() {
            return;
        }
    }
    let _ = steps.send(Step::Ended(None)).await;
}
