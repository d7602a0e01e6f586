//! A person's decision about a certificate request: checked, written into the journal, sent, told
//! on the request and on the host that it claims to be.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::jiff::Timestamp;

use super::{Actor, record};
use crate::error::{Result, chain};
use crate::journal::{Entry, Part, Target};
use crate::model::csr::{
    About, History, HostFacts, Mismatch, Policy, Request, State, mismatches, suspicions,
};
use crate::model::host::Host;
use crate::store::certificates::{
    self, APPROVED_BY_PERSON, APPROVED_REGARDLESS, DENIED_BY_PERSON, Decoded, Outcome, Why, about,
};
use crate::store::client::Connection;
use crate::store::event::{self, Kind};
use crate::store::write::read_host;

/// What a person has decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Names the order in the journal; several decisions may be one order.
    pub id: String,
    /// The request as the person has seen it: a later version is a conflict.
    pub seen: About,
    /// Namespace and name of the host that it claims to be, for the Event there.
    pub host: Option<(String, String)>,
    /// Approve it; else deny it.
    pub approve: bool,
    /// Why.
    pub reason: String,
    /// Something does not fit, and the person has typed the request's name.
    pub regardless: bool,
}

/// What does not fit about a request, for a person to see: [`mismatches`] with the host as it is
/// now, and [`suspicions`] from all requests and what the host's operations remember.
///
/// # Errors
/// The host cannot be read.
pub async fn check(
    connection: &Connection,
    request: &Request,
    all: &[Decoded],
    policy: &Policy,
    now: Timestamp,
) -> Result<Vec<Mismatch>> {
    let host = match request.host() {
        Some((namespace, name)) => read_host(connection, namespace, name).await?,
        None => None,
    };
    let facts = host.as_ref().map(HostFacts::of);
    let mut found = mismatches(request, facts.as_ref(), policy);
    let operations = host.as_ref().and_then(|host| host.status.as_ref());
    let operations = operations.map(|status| status.operations.as_slice()).unwrap_or_default();
    let all = all.iter().filter_map(|decoded| decoded.as_ref().ok());
    let history = History::of(request, all, operations, now);
    found.extend(suspicions(request, &history, policy));
    Ok(found)
}

/// Carries out a decision. The journal has it before anything is sent, and what came of it after.
pub async fn decide(actor: &Actor, decision: &Decision) -> Outcome {
    let seen = &decision.seen;
    record::write(actor, entry(actor, decision, Part::Begin, None)).await;
    let outcome = if seen.state == State::Pending {
        let reason = match (decision.approve, decision.regardless) {
            (true, false) => APPROVED_BY_PERSON,
            (true, true) => APPROVED_REGARDLESS,
            (false, _) => DENIED_BY_PERSON,
        };
        let why = Why { reason, by: &actor.user, text: &decision.reason };
        let outcome = if decision.approve {
            certificates::approve(&actor.connection, seen, why).await
        } else {
            certificates::deny(&actor.connection, seen, why).await
        };
        if matches!(outcome, Outcome::Done(_)) {
            tell(actor, decision, reason).await;
        }
        outcome
    } else {
        match certificates::get(&actor.connection, &seen.name).await {
            Ok(Some(now)) => Outcome::Conflict(Box::new(now)),
            Ok(None) => Outcome::Gone,
            Err(error) => Outcome::Failed(error),
        }
    };
    record::write(actor, entry(actor, decision, Part::Results, Some(&outcome))).await;
    record::write(actor, entry(actor, decision, Part::End, None)).await;
    outcome
}

/// The outcome in words: one for tables and the journal, and the detail.
pub fn said(outcome: &Outcome) -> (&'static str, String) {
    match outcome {
        Outcome::Done(_) => ("done", String::new()),
        Outcome::Conflict(now) => {
            let now = about(now);
            let detail = match &now.decision {
                Some(decision) => format!(
                    "it is {} already: {}: {}",
                    now.state.as_str().to_lowercase(),
                    decision.reason,
                    decision.message
                ),
                None => "it has changed since it was looked at".to_owned(),
            };
            ("conflict", detail)
        }
        Outcome::Gone => ("gone", "there is no such request any more".to_owned()),
        Outcome::Failed(error) => {
            let hint = error.next_step().map(|hint| format!(" · {hint}")).unwrap_or_default();
            ("failed", format!("{}{hint}", chain(error)))
        }
    }
}

fn verb(decision: &Decision) -> &'static str {
    if decision.approve { "csr-approve" } else { "csr-deny" }
}

fn entry(actor: &Actor, decision: &Decision, part: Part, outcome: Option<&Outcome>) -> Entry {
    let (result, detail) = outcome.map(said).unzip();
    let target = Target {
        name: decision.seen.name.clone(),
        result: result.map(ToOwned::to_owned),
        detail: detail.filter(|detail| !detail.is_empty()),
        ..Target::default()
    };
    Entry {
        at: (actor.clock)(),
        id: decision.id.clone(),
        part,
        context: actor.connection.context.clone(),
        server: actor.connection.server.clone(),
        user: actor.user.clone(),
        verb: verb(decision).to_owned(),
        reason: decision.reason.clone(),
        ticket: None,
        overrides: decision.regardless,
        targets: if part == Part::End { Vec::new() } else { vec![target] },
        ended: None,
    }
}

async fn tell(actor: &Actor, decision: &Decision, reason: &str) {
    let (word, action, kind) = if decision.approve {
        ("approved", "Approve", Kind::Normal)
    } else {
        ("denied", "Deny", Kind::Warning)
    };
    let kind = if decision.regardless { Kind::Warning } else { kind };
    let note = format!("{word} by {}: {}", actor.user, decision.reason);
    let request = reference(&decision.seen);
    actor.events.tell(&request, kind, reason, action, &note).await;
    let Some((namespace, name)) = &decision.host else { return };
    let host: Result<Option<Host>> = read_host(&actor.connection, namespace, name).await;
    if let Ok(Some(host)) = host {
        let note = format!("certificate request {} {note}", decision.seen.name);
        actor.events.tell(&event::about(&host), kind, reason, action, &note).await;
    }
}

/// What an Event about a request refers to.
pub fn reference(seen: &About) -> ObjectReference {
    ObjectReference {
        api_version: Some("certificates.k8s.io/v1".to_owned()),
        kind: Some("CertificateSigningRequest".to_owned()),
        name: Some(seen.name.clone()),
        uid: Some(seen.uid.clone()),
        ..ObjectReference::default()
    }
}
