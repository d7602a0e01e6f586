//! Delete: at once, or marked and held by finalizers.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::read::{Filter, PIECE, Walk};
use super::shape::Shape;
use super::strategy::{self, Special};
use super::write::unstored;
use super::{Call, strategy::special};
use crate::server::http::{self, Response};
use crate::server::options::{ListOptions, WriteOptions};
use crate::server::status::{ApiError, ApiResult, Cause};
use crate::server::storage::{Change, Draft, Key, Refused, Stored};
use crate::server::{body, meta};

/// Holds an object until its dependants are deleted.
pub(in crate::server) const FOREGROUND: &str = "foregroundDeletion";
/// Holds an object until its dependants have forgotten it.
pub(in crate::server) const ORPHAN: &str = "orphan";
/// Namespaces that are always there.
pub(in crate::server) const NAMESPACES: [&str; 4] =
    ["default", "kube-node-lease", "kube-public", "kube-system"];
/// How often a deletion is tried again because somebody else was quicker.
const TRIES: usize = 100;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DeleteOptions {
    dry_run: Option<Vec<String>>,
    grace_period_seconds: Option<i64>,
    orphan_dependents: Option<bool>,
    preconditions: Option<Preconditions>,
    propagation_policy: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Preconditions {
    uid: Option<String>,
    resource_version: Option<String>,
}

/// What deleting an object has come to.
pub(in crate::server) enum Deleted {
    /// It is gone; this was its last state.
    Gone(Arc<Stored>),
    /// It waits for its finalizers.
    Marked(Arc<Stored>),
    /// A dry run.
    Dry(Value),
}

fn invalid(cause: Cause) -> ApiError {
    ApiError::invalid("meta.k8s.io", "DeleteOptions", "", vec![cause])
}

impl Call {
    fn delete_options(&self) -> ApiResult<(DeleteOptions, bool)> {
        let mut options = DeleteOptions::default();
        if !self.body.is_empty() {
            let decoded = body::decode(self.content_type.as_deref(), &self.body, true)?;
            options = serde_json::from_value(decoded.object)
                .map_err(|cause| ApiError::bad_request(format!("DeleteOptions: {cause}")))?;
        }
        let query = WriteOptions::read(&self.query, "DeleteOptions")?;
        if let Some(policy) = self.query.get("propagationPolicy") {
            options.propagation_policy = Some(policy.to_owned());
        }
        if self.query.has("orphanDependents") {
            options.orphan_dependents = Some(self.query.flag("orphanDependents"));
        }
        let policy = options.propagation_policy.as_deref();
        if let Some(other) = policy.filter(|p| !["Background", "Foreground", "Orphan"].contains(p))
        {
            return Err(invalid(Cause::new(
                "FieldValueNotSupported",
                "propagationPolicy",
                format!(
                    "Unsupported value: \"{other}\": supported values: \"Foreground\", \"Background\", \"Orphan\""
                ),
            )));
        }
        if policy.is_some() && options.orphan_dependents.is_some() {
            return Err(invalid(Cause::invalid(
                "propagationPolicy",
                &policy.into(),
                "orphanDependents and propagationPolicy cannot be both set",
            )));
        }
        let dry = options.dry_run.clone().unwrap_or_default();
        if let Some(other) = dry.iter().find(|v| *v != "All") {
            return Err(invalid(Cause::new(
                "FieldValueNotSupported",
                "dryRun",
                format!("Unsupported value: \"{other}\": supported values: \"All\""),
            )));
        }
        if options.grace_period_seconds.is_some_and(|n| n < 0) {
            return Err(invalid(Cause::invalid(
                "gracePeriodSeconds",
                &options.grace_period_seconds.into(),
                "must be non-negative",
            )));
        }
        let dry_run = query.dry_run || !dry.is_empty();
        Ok((options, dry_run))
    }

    /// DELETE of an object.
    pub(super) async fn delete(&self) -> ApiResult<Response> {
        let (options, dry_run) = self.delete_options()?;
        let shape = Shape::of_object(self)?;
        let kind = &self.served.kind;
        let key = self.served.key(&self.at.namespace, &self.at.name);
        let stored = self.stored()?;
        self.preconditions(&options, &self.served.object(&stored))?;
        let finalizer = match (options.propagation_policy.as_deref(), options.orphan_dependents) {
            (Some("Foreground"), _) => Some(FOREGROUND),
            (Some("Orphan"), _) | (None, Some(true)) => Some(ORPHAN),
            _ => None,
        };
        let check = |object: &Value| self.preconditions(&options, object);
        Ok(match self.delete_one(&key, finalizer, dry_run, &check).await? {
            Deleted::Marked(stored) => shape.object(self, 200, &stored),
            Deleted::Dry(object) if meta::deleting(&object) => shape.value(self, 200, object),
            gone => {
                let object = match gone {
                    Deleted::Gone(stored) | Deleted::Marked(stored) => self.served.object(&stored),
                    Deleted::Dry(object) => object,
                };
                let mut details = json!({"name": self.at.name, "kind": kind.plural, "uid": meta::text(&object, "uid")});
                if !kind.group.is_empty() {
                    meta::put(&mut details, &["group"], kind.group.as_str().into());
                }
                http::json(
                    200,
                    &json!({
                        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details,
                    }),
                )
            }
        })
    }

    fn preconditions(&self, options: &DeleteOptions, object: &Value) -> ApiResult<()> {
        let Some(wanted) = &options.preconditions else { return Ok(()) };
        for (field, wanted, word) in [
            ("uid", &wanted.uid, "UID"),
            ("resourceVersion", &wanted.resource_version, "ResourceVersion"),
        ] {
            let has = meta::text(object, field);
            if let Some(wanted) = wanted.as_deref().filter(|w| *w != has) {
                let why = format!(
                    "Precondition failed: {word} in precondition: {wanted}, {word} in object meta: {has}"
                );
                let kind = &self.served.kind;
                let mut error = ApiError::conflict(&kind.group, &kind.plural, &self.at.name, &why);
                error.details.kind.clone_from(&kind.kind);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Deletes one object of this kind, or marks it. With `finalizer`, it waits for its dependants.
    pub(in crate::server) async fn delete_one(
        &self,
        key: &str,
        finalizer: Option<&str>,
        dry_run: bool,
        check: &(dyn Fn(&Value) -> ApiResult<()> + Sync),
    ) -> ApiResult<Deleted> {
        let kind = &self.served.kind;
        let name = key.rsplit('/').next().unwrap_or(key);
        let not_found = || ApiError::not_found(&kind.group, &kind.plural, name);
        for _ in 0..TRIES {
            let stored = self.served.shelf.get(key).ok_or_else(not_found)?;
            let object = self.served.object(&stored);
            check(&object)?;
            self.wall(name, Some(&object), None)?;
            let namespace = special(kind) == Some(Special::Namespace);
            if namespace && NAMESPACES.contains(&name) {
                return Err(strategy::never(kind, name, "this namespace may not be deleted"));
            }
            let mut finalizers = meta::finalizers(&object);
            let held = !finalizers.is_empty() || !strategy::may_go(self, &object);
            if meta::deleting(&object) && held {
                return Ok(if dry_run { Deleted::Dry(object) } else { Deleted::Marked(stored) });
            }
            let change = if held || finalizer.is_some() {
                finalizers.extend(finalizer);
                let mut marked = object.clone();
                let list = json!(finalizers);
                let metadata = meta::of(&mut marked);
                metadata.insert("deletionTimestamp".to_owned(), meta::time(self.now).into());
                metadata.insert("deletionGracePeriodSeconds".to_owned(), 0.into());
                if !finalizers.is_empty() {
                    metadata.insert("finalizers".to_owned(), list);
                }
                if let Some(generation) = metadata.get("generation").and_then(Value::as_i64) {
                    metadata.insert("generation".to_owned(), (generation + 1).into());
                }
                if namespace {
                    meta::put(&mut marked, &["status", "phase"], "Terminating".into());
                }
                if dry_run {
                    return Ok(Deleted::Dry(marked));
                }
                self.served.store_form(&mut marked);
                let draft = Draft::new(&mut marked).map_err(|cause| {
                    ApiError::internal(format!("cannot encode the object: {cause}"))
                })?;
                Change::Replace(stored.revision, draft)
            } else if dry_run {
                return Ok(Deleted::Dry(object));
            } else {
                Change::Delete(stored.revision, None)
            };
            let marks = matches!(change, Change::Replace(..));
            match self.server.commit(&self.served, key, change).await {
                Ok(stored) if marks => return Ok(Deleted::Marked(stored)),
                Ok(stored) => return Ok(Deleted::Gone(stored)),
                Err(Refused::Moved) => {}
                Err(Refused::Storage(why)) => return Err(unstored(&why)),
            }
        }
        Err(ApiError::conflict(
            &kind.group,
            &kind.plural,
            name,
            "it changes too often; please try again",
        ))
    }

    /// DELETE of a collection: of the objects that the selectors take.
    pub(super) async fn delete_collection(self: Arc<Self>) -> ApiResult<Response> {
        let (options, dry_run) = self.delete_options()?;
        let list = ListOptions::read(&self.query)?;
        let shape = Shape::of_list(&self)?;
        let filter = Filter::read(&self, &list)?;
        let (objects, _) = self.served.shelf.objects();
        let mut walk = Walk::new(&self, objects, &filter);
        let most = if list.limit == 0 { usize::MAX } else { list.limit };
        let mut taken: Vec<(Key, Arc<Stored>)> = Vec::new();
        while taken.len() < most {
            let Some(more) = walk.next(&self, &filter, most - taken.len(), PIECE) else { break };
            taken.extend(more);
        }
        let finalizer = match options.propagation_policy.as_deref() {
            Some("Foreground") => Some(FOREGROUND),
            Some("Orphan") => Some(ORPHAN),
            _ => None,
        };
        for (key, _) in &taken {
            match self.delete_one(key, finalizer, dry_run, &|_| Ok(())).await {
                Err(error) if error.code == 404 => {}
                done => {
                    done?;
                }
            }
        }
        let metadata = json!({"resourceVersion": self.server.store.revision().to_string()});
        Ok(shape.page(&self, &metadata, taken))
    }
}
