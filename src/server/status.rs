//! Errors as Kubernetes clients read them: `Status` objects with a code, a reason and causes.

use serde_json::{Value, json};

/// Causes that one answer carries at most. More would help nobody, and a hostile body of a hundred
/// thousand mistakes must not make an answer of many times its size.
pub const MAX_CAUSES: usize = 200;

/// One thing that is wrong with a request, with the field that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Why, as a word of the API, for example `FieldValueInvalid`.
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// Path of the field, for example `spec.nics[0].mac`.
    pub field: String,
}

impl Cause {
    /// A cause about `field`.
    pub fn new(reason: &'static str, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), field: field.into() }
    }

    /// A required field is missing.
    pub fn required(field: impl Into<String>, message: impl std::fmt::Display) -> Self {
        let message = message.to_string();
        let tail = if message.is_empty() { String::new() } else { format!(": {message}") };
        Self::new("FieldValueRequired", field, format!("Required value{tail}"))
    }

    /// A value that the rules do not allow.
    pub fn invalid(
        field: impl Into<String>,
        value: &Value,
        message: impl std::fmt::Display,
    ) -> Self {
        Self::new("FieldValueInvalid", field, format!("Invalid value: {value}: {message}"))
    }

    /// A field that must not be set or changed.
    pub fn forbidden(field: impl Into<String>, message: impl std::fmt::Display) -> Self {
        Self::new("FieldValueForbidden", field, format!("Forbidden: {message}"))
    }
}

/// What an error is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// Name of the object.
    pub name: String,
    /// API group.
    pub group: String,
    /// Plural of the resource, or the kind where validation speaks (as kube-apiserver has it).
    pub kind: String,
    /// Uid of the object.
    pub uid: String,
    /// What is wrong in it.
    pub causes: Vec<Cause>,
    /// When to try again.
    pub retry_after_seconds: Option<u32>,
}

/// An answer that is not a success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// HTTP status.
    pub code: u16,
    /// Reason, as a word of the API, for example `NotFound`. May be empty.
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// What it is about.
    pub details: Box<Details>,
}

/// The result of whatever a request asks for.
pub type ApiResult<T> = Result<T, ApiError>;

impl ApiError {
    /// An error without details.
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: Box::default() }
    }

    /// 400: the request makes no sense.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 401: nobody that this server knows.
    pub fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    /// 404: there is no such object.
    pub fn not_found(group: &str, plural: &str, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", qualified(group, plural));
        Self::new(404, "NotFound", message).about(group, plural, name)
    }

    /// 405: this resource cannot do that.
    pub fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::new(405, "MethodNotAllowed", message)
    }

    /// 409: the object is there already.
    pub fn already_exists(group: &str, plural: &str, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", qualified(group, plural));
        Self::new(409, "AlreadyExists", message).about(group, plural, name)
    }

    /// 409: somebody else changed it first, or a precondition fails; `why` says which.
    pub fn conflict(group: &str, plural: &str, name: &str, why: &str) -> Self {
        let what = qualified(group, plural);
        let message = format!("Operation cannot be fulfilled on {what} \"{name}\": {why}");
        Self::new(409, "Conflict", message).about(group, plural, name)
    }

    /// 410: that revision is no longer kept.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// 422: the object breaks the rules of its kind.
    pub fn invalid(group: &str, kind: &str, name: &str, mut causes: Vec<Cause>) -> Self {
        causes.truncate(MAX_CAUSES);
        let mut all: Vec<String> =
            causes.iter().map(|c| format!("{}: {}", c.field, c.message)).collect();
        let list = if all.len() == 1 { all.remove(0) } else { format!("[{}]", all.join(", ")) };
        let message = format!("{} \"{name}\" is invalid: {list}", qualified(group, kind));
        let mut error = Self::new(422, "Invalid", message).about(group, kind, name);
        error.details.causes = causes;
        error
    }

    /// 500: our fault.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(500, "InternalError", message)
    }

    /// The same error with the object that it is about.
    #[must_use]
    pub fn about(mut self, group: &str, kind: &str, name: &str) -> Self {
        group.clone_into(&mut self.details.group);
        kind.clone_into(&mut self.details.kind);
        name.clone_into(&mut self.details.name);
        self
    }

    /// The same error with the time to wait before the next try.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.details.retry_after_seconds = Some(seconds);
        self
    }

    /// The `Status` object.
    pub fn body(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "code": self.code,
        });
        let mut set = |field: &str, value: Value| {
            if let Some(fields) = status.as_object_mut() {
                fields.insert(field.to_owned(), value);
            }
        };
        if !self.reason.is_empty() {
            set("reason", self.reason.into());
        }
        let Details { name, group, kind, uid, causes, retry_after_seconds } = &*self.details;
        let mut details = serde_json::Map::new();
        for (key, value) in [("name", name), ("group", group), ("kind", kind), ("uid", uid)] {
            if !value.is_empty() {
                details.insert(key.to_owned(), value.as_str().into());
            }
        }
        if !causes.is_empty() {
            let list = causes
                .iter()
                .map(|c| json!({"reason": c.reason, "message": c.message, "field": c.field}))
                .collect();
            details.insert("causes".to_owned(), Value::Array(list));
        }
        if let Some(seconds) = retry_after_seconds {
            details.insert("retryAfterSeconds".to_owned(), (*seconds).into());
        }
        if !details.is_empty() || self.code == 422 {
            set("details", details.into());
        }
        status
    }
}

/// `plural.group`, or the plural alone in the core group.
pub fn qualified(group: &str, plural: &str) -> String {
    if group.is_empty() { plural.to_owned() } else { format!("{plural}.{group}") }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({} {})", self.message, self.code, self.reason)
    }
}

impl std::error::Error for ApiError {}
