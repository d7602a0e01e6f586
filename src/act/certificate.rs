//! What a person has decided about a request for a certificate: sent, written into the journal, and
//! told as Events on the request and on the host that it claims to be.

use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;

use super::record::{order_entry, write};
use super::{Actor, order_id};
use crate::error::chain;
use crate::journal::{Part, Target};
use crate::model::csr::About;
use crate::model::host::Host;
use crate::store::certificates::{
    APPROVED_BY_PERSON, APPROVED_REGARDLESS, DENIED_BY_PERSON, Outcome, Why, approve, deny,
};
use crate::store::event::Kind;

/// A decision, confirmed by a person.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// Approve it; else deny it.
    pub approve: bool,
    /// The request as it was shown.
    pub seen: About,
    /// The host that it claims to be, where there is one: namespace, name and uid.
    pub host: Option<(String, String, String)>,
    /// What does not fit, and was approved all the same.
    pub regardless: Vec<String>,
    /// Why; may be empty for an approval.
    pub reason: String,
}

impl Decision {
    /// Its name in the journal.
    fn verb(&self) -> &'static str {
        if self.approve { "csr-approve" } else { "csr-deny" }
    }

    /// The sentence of the condition.
    fn text(&self) -> String {
        let given = match (self.reason.trim(), self.approve) {
            ("", true) => "approved by hand",
            ("", false) => "denied by hand",
            (reason, _) => reason,
        };
        if self.regardless.is_empty() {
            given.to_owned()
        } else {
            format!("{given}; all the same: {}", self.regardless.join("; "))
        }
    }
}

/// Carries out a decision.
pub async fn decide(actor: &Actor, decision: &Decision) -> Outcome {
    let (seen, text) = (&decision.seen, decision.text());
    let id = order_id();
    let target = Target { name: seen.name.clone(), ..Target::default() };
    let overrides = !decision.regardless.is_empty();
    let line = |part, target: Target| {
        let reason = decision.reason.clone();
        order_entry(actor, (id.clone(), decision.verb(), reason), overrides, part, vec![target])
    };
    write(actor, line(Part::Begin, target.clone())).await;
    let reason = match (decision.approve, overrides) {
        (true, false) => APPROVED_BY_PERSON,
        (true, true) => APPROVED_REGARDLESS,
        (false, _) => DENIED_BY_PERSON,
    };
    let why = Why { reason, by: &actor.user, text: &text };
    let outcome = if decision.approve {
        approve(&actor.connection, seen, why).await
    } else {
        deny(&actor.connection, seen, why).await
    };
    let (result, detail) = match &outcome {
        Outcome::Done(_) => ("done", None),
        Outcome::Conflict(_) => ("conflict", Some("it has changed since it was shown".to_owned())),
        Outcome::Gone => ("gone", None),
        Outcome::Failed(error) => ("failed", Some(chain(error))),
    };
    let target = Target { result: Some(result.to_owned()), detail, ..target };
    write(actor, line(Part::End, target)).await;
    if matches!(outcome, Outcome::Done(_)) {
        tell(actor, decision, reason, &text).await;
    }
    outcome
}

async fn tell(actor: &Actor, decision: &Decision, reason: &str, text: &str) {
    let (kind, action) = match decision.approve {
        true if decision.regardless.is_empty() => (Kind::Normal, "Approve"),
        true => (Kind::Warning, "Approve"),
        false => (Kind::Normal, "Deny"),
    };
    let seen = &decision.seen;
    let note = format!("request {} by {}: {text}", seen.name, actor.user);
    let reference = |kind: &str, api: String, namespace, name: &str, uid: &str| ObjectReference {
        api_version: Some(api),
        kind: Some(kind.to_owned()),
        namespace,
        name: Some(name.to_owned()),
        uid: Some(uid.to_owned()),
        ..ObjectReference::default()
    };
    let api = CertificateSigningRequest::api_version(&()).into_owned();
    let about = reference("CertificateSigningRequest", api, None, &seen.name, &seen.uid);
    actor.events.tell(&about, kind, reason, action, &note).await;
    if let Some((namespace, name, uid)) = &decision.host {
        let api = Host::api_version(&()).into_owned();
        let about = reference("Host", api, Some(namespace.clone()), name, uid);
        actor.events.tell(&about, kind, reason, action, &note).await;
    }
}
