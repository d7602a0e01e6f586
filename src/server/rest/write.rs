//! Create, update, patch: what a client sends, made into what is stored.

use std::sync::Arc;

use serde_json::Value;

use super::shape::Shape;
use super::{Call, strategy};
use crate::server::auth::{roles, walls};
use crate::server::http::{self, Response};
use crate::server::options::{FieldValidation, WriteOptions};
use crate::server::schema;
use crate::server::status::{ApiError, ApiResult, Cause, MAX_CAUSES};
use crate::server::storage::{Change, Draft, Refused, Stored};
use crate::server::{body, builtin, fields, meta, patch};

/// How often a patch is made anew because somebody else was quicker.
const TRIES: usize = 100;
/// Warnings that an answer carries at most: each is a header, and clients take a hundred or so.
const WARNINGS: usize = 50;
/// How often a generated name may be taken already.
const NAMES: usize = 8;

/// What a change has come to.
pub(in crate::server) enum Outcome {
    /// The object as it is stored now.
    Stored(Arc<Stored>),
    /// A dry run: the object as it would be.
    Dry(Value),
}

/// What makes a new object of the one that is there.
pub(in crate::server) type Make<'a> = dyn FnMut(&Value) -> ApiResult<Value> + Send + 'a;

/// Who owns the fields that a change writes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum How {
    /// Whoever changes them.
    Update,
    /// Server-side apply has seen to it already.
    Applied,
}

impl Call {
    /// Field manager: as asked for, else the first word of the user agent.
    pub(super) fn manager(&self, options: &WriteOptions) -> String {
        if !options.manager.is_empty() {
            return options.manager.clone();
        }
        let word = self.agent.split('/').next().unwrap_or_default();
        if word.is_empty() {
            return "unknown".to_owned();
        }
        word.chars().filter(|c| !c.is_control()).take(128).collect()
    }

    fn writer<'a>(&'a self, manager: &'a str, version: &'a str) -> fields::Writer<'a> {
        fields::Writer {
            manager,
            api_version: version,
            subresource: &self.at.subresource,
            now: self.now,
        }
    }

    /// Reads the body as an object of this kind.
    fn sent(&self, options: &WriteOptions, warnings: &mut Vec<String>) -> ApiResult<Value> {
        let builtin = !self.served.kind.custom;
        let decoded = body::decode(self.content_type.as_deref(), &self.body, builtin)?;
        let mut object = decoded.object;
        if let (true, Some(fields)) = (builtin, object.as_object_mut()) {
            // A typed kind is known by its path.
            let kind = &self.served.kind;
            fields.entry("kind").or_insert_with(|| kind.kind.as_str().into());
            fields.entry("apiVersion").or_insert_with(|| kind.api_version().into());
        }
        self.belongs(&object)?;
        let unknown = self.clean(&mut object)?;
        let mut problems = duplicates(&decoded.duplicates);
        problems.extend(unknown);
        complain(options, problems, warnings)?;
        Ok(object)
    }

    /// Whether apiVersion and kind are those of the path.
    fn belongs(&self, object: &Value) -> ApiResult<()> {
        let kind = &self.served.kind;
        if !object.is_object() {
            return Err(ApiError::bad_request("the body must be an object"));
        }
        let word = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
        let (version, name) = (word("apiVersion"), word("kind"));
        if name.is_empty() {
            return Err(ApiError::bad_request("Object 'Kind' is missing"));
        }
        if version != kind.api_version() {
            return Err(ApiError::bad_request(format!(
                "the API version in the data ({version}) does not match the expected API version ({})",
                kind.api_version()
            )));
        }
        if name != kind.kind {
            if !kind.custom {
                return Err(ApiError::bad_request(format!(
                    "the kind in the data ({name}) does not match the expected kind ({})",
                    kind.kind
                )));
            }
            let cause = Cause::invalid("kind", &name.into(), format!("must be {}", kind.kind));
            return Err(ApiError::invalid(
                &kind.group,
                name,
                meta::text(object, "name"),
                vec![cause],
            ));
        }
        Ok(())
    }

    /// Drops what the kind does not know and fills in its defaults. Returns what was dropped.
    fn clean(&self, object: &mut Value) -> ApiResult<Vec<String>> {
        if !self.served.kind.custom {
            builtin::drop_nulls(object);
        }
        let mut unknown = meta::read(object)?;
        let schema = &self.served.kind.schema;
        unknown.extend(schema::prune(schema, object));
        if !schema::default(schema, object) {
            return Err(ApiError::new(
                413,
                "RequestEntityTooLarge",
                "the object is too large with its defaults",
            ));
        }
        unknown.sort();
        Ok(unknown.into_iter().map(|path| format!("unknown field \"{path}\"")).collect())
    }

    /// Whether an object of a built-in kind has values of the right types: others do not even decode.
    fn typed(&self, object: &Value) -> ApiResult<()> {
        let kind = &self.served.kind;
        if kind.custom {
            return Ok(());
        }
        let mut wrong = schema::validate(&kind.schema, object, None);
        wrong.retain(|cause| cause.reason == "FieldValueTypeInvalid");
        wrong.extend(strategy::mistyped(kind, object));
        if wrong.is_empty() {
            return Ok(());
        }
        let what: Vec<String> =
            wrong.iter().map(|c| format!("{}: {}", c.field, c.message)).collect();
        Err(ApiError::bad_request(format!(
            "cannot be handled as a {}: {}",
            kind.kind,
            what.join(", ")
        )))
    }

    /// Whether the object keeps the rules of its kind.
    fn validate(&self, object: &Value, old: Option<&Value>) -> ApiResult<()> {
        let kind = &self.served.kind;
        let mut causes = meta::check(kind, object);
        causes.extend(schema::validate(&kind.schema, object, old));
        if causes.is_empty() {
            return Ok(());
        }
        Err(ApiError::invalid(&kind.group, &kind.kind, meta::text(object, "name"), causes))
    }

    fn invalid(&self, object: &Value, causes: Vec<Cause>) -> ApiResult<()> {
        if causes.is_empty() {
            return Ok(());
        }
        let kind = &self.served.kind;
        Err(ApiError::invalid(&kind.group, &kind.kind, meta::text(object, "name"), causes))
    }

    /// POST to a collection.
    pub(super) async fn create(&self) -> ApiResult<Response> {
        let options = WriteOptions::read(&self.query, "CreateOptions")?;
        let shape = Shape::of_object(self)?;
        let mut warnings = Vec::new();
        let object = self.sent(&options, &mut warnings)?;
        let manager = self.manager(&options);
        let outcome = self.create_object(object, &manager, How::Update, options.dry_run).await?;
        Ok(self.answer(shape, 201, outcome, &warnings))
    }

    /// Stores a new object.
    pub(in crate::server) async fn create_object(
        &self,
        mut object: Value,
        manager: &str,
        how: How,
        dry_run: bool,
    ) -> ApiResult<Outcome> {
        let kind = &self.served.kind;
        self.place(&mut object)?;
        if !meta::text(&object, "resourceVersion").is_empty() {
            return Err(ApiError::bad_request(
                "resourceVersion should not be set on objects to be created",
            ));
        }
        let generated = meta::text(&object, "name").is_empty();
        for _ in 0..NAMES {
            let mut object = object.clone();
            if generated {
                meta::generate_name(&mut object);
            }
            meta::begin(kind, &mut object, self.now);
            if kind.has_status()
                && kind.custom
                && let Some(fields) = object.as_object_mut()
            {
                fields.remove("status");
            }
            self.typed(&object)?;
            let causes = strategy::on_create(self, &mut object)?;
            self.invalid(&object, causes)?;
            self.validate(&object, None)?;
            self.wall(meta::text(&object, "name"), None, Some(&object))?;
            self.room(&object)?;
            if how == How::Update {
                let version = kind.api_version();
                let writer = self.writer(manager, &version);
                fields::record_update(None, &mut object, &kind.schema, &writer);
            }
            let key =
                self.served.key(meta::text(&object, "namespace"), meta::text(&object, "name"));
            if dry_run {
                return match self.served.shelf.get(&key) {
                    Some(_) if !generated => Err(self.exists(&object)),
                    _ => Ok(Outcome::Dry(object)),
                };
            }
            let change = Change::Create(self.draft(&mut object)?);
            match self.server.commit(&self.served, &key, change).await {
                Ok(stored) => return Ok(Outcome::Stored(stored)),
                Err(Refused::Moved) if generated => {}
                Err(Refused::Moved) => return Err(self.exists(&object)),
                Err(Refused::Storage(why)) => return Err(unstored(&why)),
            }
        }
        Err(self.exists(&object).retry_after(1))
    }

    fn exists(&self, object: &Value) -> ApiError {
        let kind = &self.served.kind;
        ApiError::already_exists(&kind.group, &kind.plural, meta::text(object, "name"))
    }

    /// Puts the object where the path says.
    fn place(&self, object: &mut Value) -> ApiResult<()> {
        let says = |what: &str, sent: &str, path: &str| {
            ApiError::bad_request(format!(
                "the {what} of the provided object does not match the {what} sent on the request ({sent} is not {path})"
            ))
        };
        if self.served.kind.namespaced {
            let sent = meta::text(object, "namespace");
            if !sent.is_empty() && sent != self.at.namespace {
                return Err(says("namespace", sent, &self.at.namespace));
            }
            meta::set(object, "namespace", self.at.namespace.as_str());
        } else {
            meta::of(object).remove("namespace");
        }
        let sent = meta::text(object, "name");
        if !self.at.name.is_empty() && sent != self.at.name {
            if !sent.is_empty() {
                return Err(says("name", sent, &self.at.name));
            }
            meta::set(object, "name", self.at.name.as_str());
        }
        Ok(())
    }

    /// Whether the namespace takes new objects.
    fn room(&self, object: &Value) -> ApiResult<()> {
        if !self.served.kind.namespaced {
            return Ok(());
        }
        let name = meta::text(object, "namespace");
        let Some(namespace) = self.server.namespace(name) else {
            return Err(ApiError::not_found("", "namespaces", name));
        };
        if !meta::deleting(&namespace) {
            return Ok(());
        }
        let kind = &self.served.kind;
        let why = format!(
            "unable to create new content in namespace {name} because it is being terminated"
        );
        let mut error = ApiError::new(403, "Forbidden", why).about(
            &kind.group,
            &kind.plural,
            meta::text(object, "name"),
        );
        error.details.causes.push(Cause::new(
            "NamespaceTerminating",
            "metadata.namespace",
            format!("namespace {name} is being terminated"),
        ));
        Err(error)
    }

    fn draft(&self, object: &mut Value) -> ApiResult<Draft> {
        self.served.store_form(object);
        Draft::new(object)
            .map_err(|cause| ApiError::internal(format!("cannot encode the object: {cause}")))
    }

    /// PUT of an object.
    pub(super) async fn update(&self) -> ApiResult<Response> {
        let options = WriteOptions::read(&self.query, "UpdateOptions")?;
        let shape = Shape::of_object(self)?;
        let mut warnings = Vec::new();
        let mut object = self.sent(&options, &mut warnings)?;
        self.place(&mut object)?;
        let kind = &self.served.kind;
        if meta::text(&object, "resourceVersion").is_empty() && !strategy::unconditional(kind) {
            let cause = Cause::invalid(
                "metadata.resourceVersion",
                &0.into(),
                "must be specified for an update",
            );
            return Err(ApiError::invalid(&kind.group, &kind.plural, &self.at.name, vec![cause]));
        }
        let manager = self.manager(&options);
        let key = self.served.key(&self.at.namespace, &self.at.name);
        if strategy::create_on_update(kind)
            && self.at.subresource.is_empty()
            && self.served.shelf.get(&key).is_none()
        {
            self.permit("create")?;
            let outcome =
                self.create_object(object, &manager, How::Update, options.dry_run).await?;
            return Ok(self.answer(shape, 201, outcome, &warnings));
        }
        let mut make = |_old: &Value| Ok(object.clone());
        let outcome = self.change(&manager, options.dry_run, How::Update, &mut make).await?;
        Ok(self.answer(shape, 200, outcome, &warnings))
    }

    /// PATCH of an object.
    pub(super) async fn patch(&self) -> ApiResult<Response> {
        let options = WriteOptions::read(&self.query, "PatchOptions")?;
        let shape = Shape::of_object(self)?;
        let kind = &self.served.kind;
        let format = patch::Format::of(self.content_type.as_deref(), kind.custom)?;
        if format == patch::Format::Apply {
            return self.apply(&options, shape).await;
        }
        if options.force.is_some() {
            let cause = Cause::forbidden("force", "may not be specified for non-apply patch");
            return Err(ApiError::invalid("meta.k8s.io", "PatchOptions", "", vec![cause]));
        }
        let sent = body::decode_patch(&self.body)?;
        let mut warnings = Vec::new();
        let manager = self.manager(&options);
        let mut make = |old: &Value| {
            let mut new = patch::patched(format, old, &sent.object)?;
            if !new.is_object() {
                return Err(ApiError::bad_request("the patch does not leave an object"));
            }
            for field in ["apiVersion", "kind"] {
                if new.get(field) != old.get(field) {
                    self.belongs(&new)?;
                }
            }
            let mut problems = duplicates(&sent.duplicates);
            problems.extend(self.clean(&mut new)?);
            complain(&options, problems, &mut warnings)?;
            Ok(new)
        };
        let outcome = self.change(&manager, options.dry_run, How::Update, &mut make).await?;
        Ok(self.answer(shape, 200, outcome, &warnings))
    }

    /// Server-side apply.
    async fn apply(&self, options: &WriteOptions, shape: Shape) -> ApiResult<Response> {
        let kind = &self.served.kind;
        if options.manager.is_empty() {
            let cause = Cause::required("fieldManager", "is required for apply patch");
            return Err(ApiError::invalid("meta.k8s.io", "PatchOptions", "", vec![cause]));
        }
        let decoded = body::decode_yaml(&self.body)?;
        let mut sent = decoded.object;
        self.belongs(&sent)?;
        self.place(&mut sent)?;
        let mut warnings = Vec::new();
        if options.validation == FieldValidation::Strict {
            // Without it, an unknown field is an error of apply itself.
            let mut looked = sent.clone();
            let mut problems = duplicates(&decoded.duplicates);
            problems.extend(self.clean(&mut looked)?);
            complain(options, problems, &mut warnings)?;
        }
        self.only_own_part(&mut sent);
        let force = options.force == Some(true);
        let version = kind.api_version();
        let writer = self.writer(&options.manager, &version);
        for _ in 0..TRIES {
            let key = self.served.key(&self.at.namespace, &self.at.name);
            if self.served.shelf.get(&key).is_none() {
                if !self.at.subresource.is_empty() {
                    return Err(self.not_found());
                }
                if !meta::text(&sent, "uid").is_empty() {
                    let why = format!(
                        "uid mismatch: the provided object specified uid {}, and no existing object was found",
                        meta::text(&sent, "uid")
                    );
                    return Err(ApiError::conflict(&kind.group, &kind.plural, &self.at.name, &why));
                }
                self.permit("create")?;
                let mut object = fields::apply(None, &sent, &kind.schema, &writer, force)?;
                self.clean(&mut object)?;
                match self
                    .create_object(object, &options.manager, How::Applied, options.dry_run)
                    .await
                {
                    // Somebody else created it just now: apply to that.
                    Err(error) if error.reason == "AlreadyExists" => continue,
                    Err(error) => return Err(error),
                    Ok(outcome) => return Ok(self.answer(shape, 201, outcome, &warnings)),
                }
            }
            let mut make = |old: &Value| {
                let mut new = fields::apply(Some(old), &sent, &kind.schema, &writer, force)?;
                // What it says of identity and version is compared, not applied.
                for field in ["uid", "resourceVersion"] {
                    let said = meta::text(&sent, field);
                    if !said.is_empty() {
                        meta::set(&mut new, field, said);
                    }
                }
                self.clean(&mut new)?;
                Ok(new)
            };
            let outcome =
                self.change(&options.manager, options.dry_run, How::Applied, &mut make).await?;
            return Ok(self.answer(shape, 200, outcome, &warnings));
        }
        Err(ApiError::internal("the object comes and goes; nothing was applied"))
    }

    /// 403 unless the user may also do this to the object of the path.
    fn permit(&self, verb: &str) -> ApiResult<()> {
        let action = super::action(verb, &self.at, &self.query);
        if roles::allows(&self.user, &action).allowed {
            return Ok(());
        }
        Err(roles::forbidden(&self.user, &action))
    }

    /// 403 if the change is one that the user's role does not make.
    pub(super) fn wall(
        &self,
        name: &str,
        old: Option<&Value>,
        new: Option<&Value>,
    ) -> ApiResult<()> {
        let kind = &self.served.kind;
        let write = walls::Write {
            user: &self.user,
            group: &kind.group,
            resource: &kind.plural,
            subresource: &self.at.subresource,
            namespace: &self.at.namespace,
            old,
            new,
        };
        match walls::refusal(&write) {
            Some(why) => Err(roles::refused(&kind.group, &kind.plural, name, &why)),
            None => Ok(()),
        }
    }

    /// Takes out of an applied object what this path does not write, so that nobody owns it for it.
    fn only_own_part(&self, sent: &mut Value) {
        let main = self.at.subresource.is_empty();
        if main && !self.served.kind.has_status() {
            return;
        }
        if let Some(fields) = sent.as_object_mut() {
            fields.retain(|field, _| match field.as_str() {
                "apiVersion" | "kind" | "metadata" => true,
                "status" => !main,
                _ => main,
            });
            if !main
                && let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut)
            {
                metadata.retain(|field, _| {
                    ["name", "namespace", "uid", "resourceVersion", "managedFields"]
                        .contains(&field.as_str())
                });
            }
        }
    }

    /// Changes the object of the path. `make` gets it as it is and says what it shall be; it is asked
    /// again if somebody else was quicker.
    pub(in crate::server) async fn change(
        &self,
        manager: &str,
        dry_run: bool,
        how: How,
        make: &mut Make<'_>,
    ) -> ApiResult<Outcome> {
        for _ in 0..TRIES {
            let stored = self.stored()?;
            let old = self.served.object(&stored);
            let new = make(&old)?;
            let Some(mut new) = self.settle(&old, new, manager, how)? else {
                return Ok(if dry_run { Outcome::Dry(old) } else { Outcome::Stored(stored) });
            };
            if dry_run {
                return Ok(Outcome::Dry(new));
            }
            let key = self.served.key(&self.at.namespace, &self.at.name);
            let last = meta::deleting(&new)
                && meta::finalizers(&new).is_empty()
                && strategy::may_go(self, &new);
            let draft = self.draft(&mut new)?;
            let change = if last {
                Change::Delete(stored.revision, Some(draft))
            } else {
                Change::Replace(stored.revision, draft)
            };
            match self.server.commit(&self.served, &key, change).await {
                Ok(stored) => return Ok(Outcome::Stored(stored)),
                Err(Refused::Moved) => {}
                Err(Refused::Storage(why)) => return Err(unstored(&why)),
            }
        }
        Err(ApiError::conflict(
            &self.served.kind.group,
            &self.served.kind.plural,
            &self.at.name,
            "it changes too often; please try again",
        ))
    }

    /// The new object as it may be stored: nothing in it changed that may not, checked, counted,
    /// with its fields' managers. None if nothing changed at all.
    fn settle(
        &self,
        old: &Value,
        mut new: Value,
        manager: &str,
        how: How,
    ) -> ApiResult<Option<Value>> {
        let kind = &self.served.kind;
        meta::keep(kind, old, &mut new)?;
        // An object whose owners are gone is deleted, so naming them is a way to delete it (as the
        // admission plug-in OwnerReferencesPermissionEnforcement has it).
        let owners = |object: &Value| object.pointer("/metadata/ownerReferences").cloned();
        if self.at.subresource.is_empty()
            && owners(&new).is_some_and(|new| Some(new) != owners(old))
        {
            self.permit("delete")?;
        }
        new = strategy::split(kind, &self.at.subresource, old, new);
        self.typed(&new)?;
        let causes = strategy::on_update(self, old, &mut new)?;
        self.invalid(&new, causes)?;
        self.validate(&new, Some(old))?;
        self.wall(&self.at.name, Some(old), Some(&new))?;
        meta::count(kind, old, &mut new);
        if how == How::Update {
            let version = kind.api_version();
            let writer = self.writer(manager, &version);
            fields::record_update(Some(old), &mut new, &kind.schema, &writer);
        }
        Ok(if fields::unchanged(old, &new) { None } else { Some(new) })
    }

    /// The answer to a write.
    fn answer(&self, shape: Shape, code: u16, outcome: Outcome, warnings: &[String]) -> Response {
        let mut response = match outcome {
            Outcome::Stored(stored) => shape.object(self, code, &stored),
            Outcome::Dry(object) => shape.value(self, code, object),
        };
        for warning in warnings.iter().take(WARNINGS) {
            http::warn(&mut response, warning);
        }
        response
    }
}

/// Says what the client sent for nothing, as it asked to be told.
fn complain(
    options: &WriteOptions,
    mut problems: Vec<String>,
    warnings: &mut Vec<String>,
) -> ApiResult<()> {
    problems.truncate(MAX_CAUSES);
    match options.validation {
        FieldValidation::Strict if !problems.is_empty() => {
            let message = format!("strict decoding error: {}", problems.join(", "));
            return Err(ApiError::bad_request(message));
        }
        FieldValidation::Warn => *warnings = problems,
        _ => {}
    }
    Ok(())
}

fn duplicates(paths: &[String]) -> Vec<String> {
    paths.iter().map(|path| format!("duplicate field \"{path}\"")).collect()
}

/// 503: the disk does not take it.
pub(super) fn unstored(why: &str) -> ApiError {
    ApiError::new(
        503,
        "ServiceUnavailable",
        format!("the change could not be stored, nothing was changed: {why}"),
    )
    .retry_after(5)
}
