//! What a person, or a script in a person's name, has done to hosts: an [`Order`] is carried out
//! host by host, and each step of it is told. The explorer and the shell's tasks go through here.
//!
//! [`carry_out`] goes in waves: one host, then ten, then the rest, ten at a time. Before anything is
//! sent to a host it is read afresh and every check of `model/policy.rs` is made on what the server
//! has, however old the caller's picture is: one small read beside the change and its Event, ten of
//! them under way. Holds that begin ask the budgets of their clusters, for up to a hundred hosts at
//! once because that reads the whole cluster. The journal has the order before the first request,
//! and what came of each batch after it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use k8s_openapi::jiff::Timestamp;

use crate::journal::Journal;
use crate::model::change::Change;
use crate::model::host::Host;
pub use crate::model::policy::Verb;
use crate::store::client::{Connection, OPERATOR};
use crate::store::event::Events;

pub mod certificates;
mod engine;
mod pace;
mod record;

pub use engine::{carry_out, zone};

/// Slots that this program was granted: namespace, cluster and host, with the time of the grant.
type Slots = Arc<Mutex<HashMap<(String, String, String), Timestamp>>>;

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
    slots: Slots,
}

impl Actor {
    /// A person, who writes into `journal`.
    pub fn new(connection: Connection, user: String, journal: Option<Arc<Journal>>) -> Self {
        let events = Events::new(connection.client.clone(), OPERATOR, &user);
        let slots = Slots::default();
        Self { connection, user, journal, events, clock: Timestamp::now, slots }
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

impl Outcome {
    /// Its name in the journal and in tables.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Done(_) => "done",
            Self::Conflict(_) => "conflict",
            Self::Gone => "gone",
            Self::Denied(_) => "denied",
            Self::Failed(_) => "failed",
            Self::NotTried(_) => "not-tried",
        }
    }
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
