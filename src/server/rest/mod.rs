//! What can be done with resources: get, list, watch, create, update, patch, delete.

pub(super) mod delete;
mod read;
mod shape;
mod strategy;
#[cfg(test)]
mod tests;
mod watch;
mod write;

use std::sync::Arc;

use ::http::Method;
use bytes::Bytes;
use jiff::Timestamp;

use super::auth::{Action, User, reviews};
use super::catalog::Served;
use super::http::Response;
use super::options::{ListOptions, Query};
use super::route::Resource;
use super::selector::Fields;
use super::status::{ApiError, ApiResult};
use super::{Inner, body, meta};

pub(super) use write::How;

/// One request about a resource.
pub(super) struct Call {
    pub(super) server: Arc<Inner>,
    pub(super) user: User,
    pub(super) served: Arc<Served>,
    pub(super) at: Resource,
    pub(super) query: Query,
    pub(super) accept: Option<String>,
    pub(super) content_type: Option<String>,
    pub(super) agent: String,
    pub(super) body: Bytes,
    pub(super) now: Timestamp,
    /// Only objects that the user made may be seen.
    pub(super) own: bool,
}

/// The verb that a request needs the permission for, or why it makes no sense.
pub(super) fn verb(method: &Method, at: &Resource, query: &Query) -> ApiResult<&'static str> {
    let one = !at.name.is_empty();
    Ok(match *method {
        Method::GET | Method::HEAD if query.flag("watch") && at.subresource.is_empty() => "watch",
        Method::GET | Method::HEAD if one => "get",
        Method::GET | Method::HEAD => "list",
        Method::POST if !one => "create",
        Method::PUT if one => "update",
        Method::PUT => return Err(ApiError::bad_request("name must be provided")),
        Method::PATCH if one => "patch",
        Method::DELETE if one => "delete",
        Method::DELETE => "deletecollection",
        _ => return Err(ApiError::method_not_allowed()),
    })
}

/// The action that a request asks the permission for.
pub(super) fn action(verb: &str, at: &Resource, query: &Query) -> Action {
    let Resource { group, namespace, plural, mut name, subresource, .. } = at.clone();
    // A list or watch of one object by its name is about that object.
    if name.is_empty() && matches!(verb, "list" | "watch") {
        let wanted = Fields::parse(query.get("fieldSelector").unwrap_or_default(), true, &[]);
        name = wanted.ok().and_then(|w| w.name().map(str::to_owned)).unwrap_or_default();
    }
    Action {
        verb: verb.to_owned(),
        group,
        resource: plural,
        subresource,
        namespace,
        name,
        path: String::new(),
    }
}

impl Call {
    /// Does what was asked, by somebody who may.
    pub(super) async fn run(self, verb: &'static str) -> ApiResult<Response> {
        let kind = &self.served.kind;
        let not_allowed =
            || ApiError::method_not_allowed().about(&kind.group, &kind.plural, &self.at.name);
        if !self.at.subresource.is_empty() {
            if !kind.subresources.contains(&self.at.subresource) {
                return Err(self.not_found());
            }
            return match verb {
                "get" => self.get().await,
                "update" => self.update().await,
                "patch" => self.patch().await,
                _ => Err(not_allowed()),
            };
        }
        if !kind.verbs.contains(&verb) {
            return Err(not_allowed());
        }
        // Across namespaces one can only look.
        let homeless = kind.namespaced && self.at.namespace.is_empty();
        if homeless && !matches!(verb, "list" | "watch") {
            return Err(not_allowed());
        }
        if kind.verbs == super::kind::REVIEW {
            return self.review();
        }
        match verb {
            "get" => self.get().await,
            "create" => self.create().await,
            "update" => self.update().await,
            "patch" => self.patch().await,
            "delete" => self.delete().await,
            "deletecollection" => Arc::new(self).delete_collection().await,
            _ => {
                let options = ListOptions::read(&self.query)?;
                let call = Arc::new(self);
                if options.watch { call.watch(options).await } else { call.list(options).await }
            }
        }
    }

    /// Answers a question about the asker.
    fn review(&self) -> ApiResult<Response> {
        let sent = body::decode(self.content_type.as_deref(), &self.body, true)?;
        let shape = shape::Shape::of_object(self)?;
        let mut object = sent.object;
        meta::read(&mut object)?;
        let spec = object.get("spec").cloned().unwrap_or_default();
        object["status"] = reviews::review(&self.served.kind.kind, &spec, &self.user)?;
        Ok(shape.value(self, 201, object))
    }
}
