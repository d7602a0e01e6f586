//! Certificate requests: listed, followed, approved, denied.

use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestCondition,
};
use kube::api::{Api, ListParams, PostParams};
use kube::runtime::watcher;
use tokio::sync::mpsc;

use crate::error::{Error, Result, chain};
use crate::model::csr::{About, Problem, Request};
use crate::model::text::clean;
use crate::store::client::{Connection, DEADLINE, call, explain, watch_failure};
use crate::store::retry::Retry;

/// Reason of an approval by a person.
pub const APPROVED_BY_PERSON: &str = "ApprovedByPerson";
/// Reason of an approval by a person who was told what does not fit.
pub const APPROVED_REGARDLESS: &str = "ApprovedRegardless";
/// Reason of a denial by a person.
pub const DENIED_BY_PERSON: &str = "DeniedByPerson";

/// Requests of a page of a listing.
const PAGE: u32 = 500;
/// Pause after a refusal: somebody may give us the right to look.
const REFUSED: Duration = Duration::from_mins(5);
/// Without news for this long all is listed again: a dead network does not close a connection.
const QUIET: Duration = Duration::from_mins(6);
/// Longest text in a condition, in characters.
const MAX_MESSAGE: usize = 1024;

/// A request, or why it cannot be read.
pub type Decoded = std::result::Result<Request, Problem>;

/// What happens to the requests, in order.
#[derive(Debug)]
pub enum CsrEvent {
    /// A listing begins. Requests that it does not bring are gone when it ends.
    Begin,
    /// A request as it is now.
    Apply(Box<Decoded>),
    /// A request is gone; its uid.
    Delete(String),
    /// The listing is complete; from here on it is changes only.
    Synced,
    /// The server is out of reach, and why. Attempts go on.
    Lost(String),
    /// We may not see requests, and why. Said once; now and then it is tried again.
    Refused(String),
}

/// Who decides, and why.
#[derive(Clone, Copy, Debug)]
pub struct Why<'a> {
    /// A word in `CamelCase`.
    pub reason: &'a str,
    /// The authenticated name of who decides.
    pub by: &'a str,
    /// A sentence.
    pub text: &'a str,
}

/// What came of a decision.
#[derive(Debug)]
pub enum Outcome {
    /// Done; the request as it is now.
    Done(Box<Decoded>),
    /// Not done: the request has changed or was decided since it was looked at. As it is now.
    Conflict(Box<Decoded>),
    /// Not done: the request is gone.
    Gone,
    /// Not done, and why.
    Failed(Error),
}

/// The object around a request, whether that can be read or not.
pub fn about(decoded: &Decoded) -> &About {
    match decoded {
        Ok(request) => &request.about,
        Err(problem) => &problem.about,
    }
}

fn api(connection: &Connection) -> Api<CertificateSigningRequest> {
    Api::all(connection.client.clone())
}

/// All requests that the server has.
///
/// # Errors
/// What the server said.
pub async fn list(connection: &Connection) -> Result<Vec<Decoded>> {
    let (what, needs) = ("cannot list certificate requests", "list certificatesigningrequests");
    let mut all = Vec::new();
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = call(what, needs, DEADLINE, api(connection).list(&params)).await?;
        all.extend(page.items.iter().map(Request::decode));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(all),
        }
    }
}

/// One request.
///
/// # Errors
/// What the server said.
pub async fn get(connection: &Connection, name: &str) -> Result<Option<Decoded>> {
    let what = format!("cannot read certificate request \"{name}\"");
    let request = api(connection);
    let request = request.get_opt(name);
    let object = call(&what, "get certificatesigningrequests", DEADLINE, request).await?;
    Ok(object.as_ref().map(Request::decode))
}

/// Follows the requests until the receiver of `events` is gone. Never ends by itself; every failure
/// is an event.
pub async fn follow(connection: Connection, events: mpsc::Sender<CsrEvent>) {
    let mut retry = Retry::default();
    let mut refused = false;
    loop {
        let config = watcher::Config::default().page_size(PAGE);
        let mut stream = watcher(api(&connection), config).boxed();
        let problem = loop {
            let next = tokio::select! {
                next = tokio::time::timeout(QUIET, stream.next()) => next,
                () = events.closed() => return,
            };
            let event = match next {
                Ok(Some(Ok(event))) => event,
                Ok(Some(Err(problem))) => break Some(problem),
                Ok(None) | Err(_) => break None,
            };
            let event = match event {
                watcher::Event::Init => CsrEvent::Begin,
                watcher::Event::InitApply(object) | watcher::Event::Apply(object) => {
                    CsrEvent::Apply(Box::new(Request::decode(&object)))
                }
                watcher::Event::InitDone => {
                    refused = false;
                    CsrEvent::Synced
                }
                watcher::Event::Delete(object) => {
                    CsrEvent::Delete(object.metadata.uid.unwrap_or_default())
                }
            };
            if events.send(event).await.is_err() {
                return;
            }
        };
        let wait = match problem.map(said) {
            // Too old a watch, a closed one, or a quiet one: it is listed again.
            None | Some(None) => Duration::ZERO,
            Some(Some((true, why))) => {
                if !refused && events.send(CsrEvent::Refused(why)).await.is_err() {
                    return;
                }
                refused = true;
                REFUSED
            }
            Some(Some((false, why))) => {
                if events.send(CsrEvent::Lost(why)).await.is_err() {
                    return;
                }
                retry.pause()
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = events.closed() => return,
        }
    }
}

/// What a broken watch says: whether it is a refusal, and the words. None if it only has to be
/// begun again.
fn said(problem: watcher::Error) -> Option<(bool, String)> {
    let cause = watch_failure(problem)?;
    let refused = matches!(&cause, kube::Error::Api(status) if status.is_forbidden());
    let what = "cannot follow certificate requests";
    let error = if refused {
        refusal(what, "list and watch certificatesigningrequests", cause)
    } else {
        explain(what, "watch certificatesigningrequests", cause)
    };
    Some((refused, chain(&error)))
}

fn refusal(what: &str, needs: &str, cause: kube::Error) -> Error {
    Error::new(format!("{what}: the server refused it (403)"))
        .because(cause)
        .hint(format!("your user lacks the permission to {needs}"))
}

/// Approves a request as it was seen: a request that has changed since, or that somebody has
/// decided, is a conflict and stays as it is.
pub async fn approve(connection: &Connection, seen: &About, why: Why<'_>) -> Outcome {
    decide(connection, seen, "Approved", why).await
}

/// Denies a request as it was seen, for good.
pub async fn deny(connection: &Connection, seen: &About, why: Why<'_>) -> Outcome {
    decide(connection, seen, "Denied", why).await
}

async fn decide(connection: &Connection, seen: &About, type_: &str, why: Why<'_>) -> Outcome {
    match try_to_decide(connection, seen, type_, why).await {
        Ok(outcome) => outcome,
        Err(error) => Outcome::Failed(error),
    }
}

async fn try_to_decide(
    connection: &Connection,
    seen: &About,
    type_: &str,
    why: Why<'_>,
) -> Result<Outcome> {
    let api = api(connection);
    let name = seen.name.as_str();
    let verb = if type_ == "Approved" { "approve" } else { "deny" };
    let what = format!("cannot {verb} certificate request \"{name}\"");
    let get =
        async || call(&what, "get certificatesigningrequests", DEADLINE, api.get_opt(name)).await;
    let Some(mut object) = get().await? else { return Ok(Outcome::Gone) };
    let now = Request::decode(&object);
    let same = about(&now).uid == seen.uid && about(&now).resource_version == seen.resource_version;
    if !same || about(&now).decision.is_some() {
        return Ok(Outcome::Conflict(Box::new(now)));
    }
    let text = clean(why.text);
    let message = format!("by {}: {text}", clean(why.by)).chars().take(MAX_MESSAGE).collect();
    let condition = CertificateSigningRequestCondition {
        type_: type_.to_owned(),
        status: "True".to_owned(),
        reason: Some(why.reason.to_owned()),
        message: Some(message),
        last_update_time: None,
        last_transition_time: None,
    };
    let status = object.status.get_or_insert_default();
    status.conditions.get_or_insert_default().push(condition);
    let params = PostParams::default();
    let request = api.replace_subresource("approval", name, &params, &object);
    let Ok(answer) = tokio::time::timeout(DEADLINE, request).await else {
        let error = Error::new(format!("{what}: no answer after {} s", DEADLINE.as_secs()));
        return Err(error.hint("it may be decided all the same; look before you try again"));
    };
    match answer {
        Ok(object) => Ok(Outcome::Done(Box::new(Request::decode(&object)))),
        Err(kube::Error::Api(status)) if status.is_conflict() => match get().await? {
            Some(object) => Ok(Outcome::Conflict(Box::new(Request::decode(&object)))),
            None => Ok(Outcome::Gone),
        },
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(Outcome::Gone),
        Err(cause) if matches!(&cause, kube::Error::Api(status) if status.is_forbidden()) => {
            let needs = format!(
                "update certificatesigningrequests/approval and to approve for the signer \"{}\"",
                seen.signer
            );
            Err(refusal(&what, &needs, cause))
        }
        Err(cause) => Err(explain(what, "update certificatesigningrequests/approval", cause)),
    }
}
