//! What a person, or a script in a person's name, has done to hosts: an [`Order`] is carried out
//! host by host, and each step of it is told. The explorer and the shell's tasks go through here.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use tokio::sync::{mpsc, watch};

use crate::error::chain;
use crate::journal::Journal;
use crate::model::change::Change;
use crate::model::host::Host;
pub use crate::model::policy::Verb;
use crate::store::client::{Connection, OPERATOR};
use crate::store::event::Events;
use crate::store::write;

/// Who acts, and where.
#[derive(Clone)]
pub struct Actor {
    /// The server.
    pub connection: Connection,
    /// The name under which the server knows us.
    pub user: String,
    /// Where it is written down; none writes nothing down.
    pub journal: Option<Arc<Journal>>,
    /// Tells it on the objects.
    pub events: Events,
    /// What time it is.
    pub clock: fn() -> Timestamp,
}

impl Actor {
    /// A person, who writes into `journal`.
    pub fn new(connection: Connection, user: String, journal: Option<Arc<Journal>>) -> Self {
        let events = Events::new(connection.client.clone(), OPERATOR, &user);
        Self { connection, user, journal, events, clock: Timestamp::now }
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
    /// Ticket that tells more.
    pub ticket: Option<String>,
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

/// A name for an order that no other order has.
pub fn order_id() -> String {
    let id = uuid::Uuid::new_v4().simple().to_string();
    format!("ord-{}", id.get(..12).unwrap_or(&id))
}

/// What was done of an order.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// The order.
    pub order: Order,
    /// Number of a change that was done, and the version of the object that it made.
    pub done: Vec<(usize, String)>,
}

impl Applied {
    /// The order that takes it back: the inverse of what was done and can be taken back, in the
    /// opposite order. None if there is nothing of the kind. `verb` is [`Verb::Undo`], or
    /// [`Verb::Redo`] to take back an undo. Each change holds only while the value is still the one
    /// that was put there: what somebody changed since stays, and is a conflict.
    pub fn inverse(&self, verb: Verb, id: String) -> Option<Order> {
        let changes: Vec<Change> = self
            .done
            .iter()
            .rev()
            .filter_map(|(number, version)| self.order.changes.get(*number)?.inverse(version))
            .collect();
        (!changes.is_empty()).then(|| Order {
            id,
            verb,
            changes,
            reason: format!("{} of {}: {}", verb.as_str(), self.order.id, self.order.reason),
            ticket: self.order.ticket.clone(),
            overrides: false,
        })
    }
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
