//! Writes that a person asks for: one-key merge patches that carry the version they were made
//! against, and the questions about who that person is and what they may do.

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::api::{Api, Patch, PatchParams, PostParams};

use crate::error::{Error, Result};
use crate::model::GROUP;
use crate::model::change::Change;
use crate::model::csr::CLIENT_SIGNER;
use crate::model::host::Host;
use crate::store::client::{Connection, DEADLINE, OPERATOR, call, explain};

const REQUESTS: &str = "certificatesigningrequests";
/// How often a change is tried again when something else of the object changed under it.
const TRIES: usize = 4;

/// What came of a change.
#[derive(Debug)]
pub enum Outcome {
    /// Done; the object as it is now.
    Done(Box<Host>),
    /// Not done: the value that the change expected is no longer there. The object as it is now.
    Conflict(Box<Host>),
    /// Not done: the object is gone.
    Gone,
    /// Not done: the server will not have it from us, or not like this; why.
    Denied(Error),
    /// Not done, or not known; why.
    Failed(Error),
}

/// Sends a change. When the object has changed since, but not the value that the change replaces,
/// it is sent again against the new version; a changed value is a conflict for the person to see.
pub async fn change(connection: &Connection, change: &Change) -> Outcome {
    let target = change.target().clone();
    let api: Api<Host> = Api::namespaced(connection.client.clone(), &target.namespace);
    let name = target.name.as_str();
    let what = format!("cannot change \"{name}\"");
    let params = PatchParams { field_manager: Some(OPERATOR.to_owned()), ..Default::default() };
    let mut change = change.clone();
    for _ in 0..TRIES {
        let body = Patch::Merge(change.patch());
        match tokio::time::timeout(DEADLINE, api.patch(name, &params, &body)).await {
            Ok(Ok(host)) => return Outcome::Done(Box::new(host)),
            Ok(Err(kube::Error::Api(status))) if status.is_conflict() => {}
            Ok(Err(kube::Error::Api(status))) if status.is_not_found() => return Outcome::Gone,
            Ok(Err(cause)) => {
                let denied =
                    matches!(&cause, kube::Error::Api(s) if s.is_forbidden() || s.code == 422);
                let error = explain(what, "patch hosts", cause);
                return if denied { Outcome::Denied(error) } else { Outcome::Failed(error) };
            }
            Err(_) => {
                return Outcome::Failed(
                    Error::new(format!("{what}: no answer after {} s", DEADLINE.as_secs())).hint(
                        "it may or may not have been done: look at the host before trying again",
                    ),
                );
            }
        }
        match call(&what, "get hosts", DEADLINE, api.get_opt(name)).await {
            Ok(None) => return Outcome::Gone,
            Ok(Some(host)) if host.metadata.uid.as_deref() != Some(target.uid.as_str()) => {
                return Outcome::Gone;
            }
            Ok(Some(host)) if !change.still_applies(&host) => {
                return Outcome::Conflict(Box::new(host));
            }
            Ok(Some(host)) => {
                change.target_mut().resource_version =
                    host.metadata.resource_version.unwrap_or_default();
            }
            Err(error) => return Outcome::Failed(error),
        }
    }
    Outcome::Failed(Error::new(format!("{what}: it keeps changing")).hint("try again in a moment"))
}

/// Reads one Host.
///
/// # Errors
/// What the server said; `None` when there is no such object any more.
pub async fn read_host(
    connection: &Connection,
    namespace: &str,
    name: &str,
) -> Result<Option<Host>> {
    let api: Api<Host> = Api::namespaced(connection.client.clone(), namespace);
    call(&format!("cannot read \"{name}\""), "get hosts", DEADLINE, api.get_opt(name)).await
}

/// The name under which the server knows the caller.
///
/// # Errors
/// What the server said, or that it gave no name.
pub async fn user(connection: &Connection) -> Result<String> {
    let api: Api<SelfSubjectReview> = Api::all(connection.client.clone());
    let (params, question) = (PostParams::default(), SelfSubjectReview::default());
    let request = api.create(&params, &question);
    let review =
        call("cannot ask who you are", "create selfsubjectreviews", DEADLINE, request).await?;
    review
        .status
        .and_then(|status| status.user_info)
        .and_then(|info| info.username)
        .filter(|name| !name.is_empty())
        .ok_or_else(|| Error::new("the server does not say who you are"))
}

/// Whether the caller may do `verb` on `resource` of our group, in one namespace or in all.
///
/// # Errors
/// What the server said.
pub async fn may(
    connection: &Connection,
    verb: &str,
    resource: &str,
    namespace: Option<&str>,
) -> Result<bool> {
    let attributes = ResourceAttributes {
        group: Some(GROUP.to_owned()),
        resource: Some(resource.to_owned()),
        verb: Some(verb.to_owned()),
        namespace: namespace.map(ToOwned::to_owned),
        ..Default::default()
    };
    allowed(connection, attributes).await
}

/// What the caller may not do of what a decision about a certificate request needs; none if nothing
/// is missing.
///
/// # Errors
/// What the server said.
pub async fn missing_to_decide(connection: &Connection) -> Result<Option<&'static str>> {
    let needs = [
        ("update", REQUESTS, Some("approval"), None, "update certificatesigningrequests/approval"),
        (
            "approve",
            "signers",
            None,
            Some(CLIENT_SIGNER),
            "approve for the signer of host certificates",
        ),
    ];
    for (verb, resource, subresource, name, words) in needs {
        let attributes = ResourceAttributes {
            group: Some("certificates.k8s.io".to_owned()),
            resource: Some(resource.to_owned()),
            subresource: subresource.map(ToOwned::to_owned),
            verb: Some(verb.to_owned()),
            name: name.map(ToOwned::to_owned),
            ..Default::default()
        };
        if !allowed(connection, attributes).await? {
            return Ok(Some(words));
        }
    }
    Ok(None)
}

async fn allowed(connection: &Connection, attributes: ResourceAttributes) -> Result<bool> {
    let api: Api<SelfSubjectAccessReview> = Api::all(connection.client.clone());
    let question = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            ..Default::default()
        },
        ..Default::default()
    };
    let params = PostParams::default();
    let request = api.create(&params, &question);
    let review =
        call("cannot ask what you may do", "create selfsubjectaccessreviews", DEADLINE, request)
            .await?;
    Ok(review.status.is_some_and(|status| status.allowed))
}
