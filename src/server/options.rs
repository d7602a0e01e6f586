//! The query parameters of a request, read and checked.

use super::status::{ApiError, ApiResult, Cause};

/// Query parameters by name; the first of several wins.
#[derive(Clone, Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the part of a URI after `?`.
    pub fn parse(query: Option<&str>) -> Self {
        let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        Self(pairs.into_owned().collect())
    }

    /// A parameter that is there and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, v)| v.as_str())
            .filter(|v| !v.is_empty())
    }

    /// Anything but `0` and `false` is yes, as kube-apiserver has it. An empty value is yes too.
    pub fn flag(&self, name: &str) -> bool {
        let value = self.0.iter().find(|(key, _)| key == name).map(|(_, v)| v.as_str());
        !matches!(value, None | Some("0" | "false" | "False" | "FALSE" | "f" | "F"))
    }

    /// Whether the parameter is given at all.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }
}

/// A revision that a client names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Revision {
    /// Not given: the newest.
    #[default]
    Newest,
    /// `0`: any.
    Any,
    /// This one, or not older.
    At(u64),
}

/// How exactly the revision is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// This very revision.
    Exact,
    /// This one or a newer one.
    NotOlderThan,
}

/// Parameters of list and watch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// `labelSelector`, unread.
    pub labels: String,
    /// `fieldSelector`, unread.
    pub fields: String,
    /// `resourceVersion`.
    pub revision: Revision,
    /// `resourceVersionMatch`.
    pub matching: Option<Match>,
    /// `limit`; 0: none.
    pub limit: usize,
    /// `continue`, read.
    pub from: Option<Continue>,
    /// `watch`.
    pub watch: bool,
    /// `timeoutSeconds`.
    pub timeout: Option<u64>,
    /// `allowWatchBookmarks`.
    pub bookmarks: bool,
    /// `sendInitialEvents`.
    pub initial: Option<bool>,
}

/// Where the next page of a list begins.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Continue {
    /// Format of the token; kube-apiserver's name for it.
    v: String,
    /// Revision of all pages.
    pub rv: u64,
    /// The first key of the page.
    pub start: String,
}

impl Continue {
    /// The page that begins after `key`.
    pub fn after(revision: u64, key: &str) -> Self {
        Self { v: "meta.k8s.io/v1".to_owned(), rv: revision, start: format!("{key}\0") }
    }

    /// The token as it is sent.
    pub fn encode(&self) -> String {
        use base64::Engine;
        let json = serde_json::to_vec(self).unwrap_or_default();
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json)
    }

    fn decode(token: &str) -> ApiResult<Self> {
        use base64::Engine;
        let read = base64::engine::general_purpose::URL_SAFE_NO_PAD
            .decode(token)
            .ok()
            .and_then(|json| serde_json::from_slice::<Self>(&json).ok())
            .filter(|token| token.v == "meta.k8s.io/v1" && token.rv > 0);
        read.ok_or_else(|| {
            ApiError::bad_request("continue key is not valid: it was not made by this server")
        })
    }
}

fn number(query: &Query, name: &str) -> ApiResult<Option<i64>> {
    query
        .get(name)
        .map(|text| {
            text.parse().map_err(|_cause| {
                ApiError::bad_request(format!("{name}: \"{text}\" is not a number"))
            })
        })
        .transpose()
}

/// A revision in a parameter.
///
/// # Errors
/// 400: it is no number.
pub fn revision(query: &Query) -> ApiResult<Revision> {
    match query.get("resourceVersion") {
        None => Ok(Revision::Newest),
        Some("0") => Ok(Revision::Any),
        Some(text) => text.parse().map(Revision::At).map_err(|_cause| {
            ApiError::bad_request(format!("resourceVersion: \"{text}\" is not a revision"))
        }),
    }
}

fn forbidden(field: &str, why: &str) -> ApiError {
    ApiError::invalid("meta.k8s.io", "ListOptions", "", vec![Cause::forbidden(field, why)])
}

impl ListOptions {
    /// Reads and checks the parameters of list and watch.
    ///
    /// # Errors
    /// 400 for what is malformed, 422 for what does not go together.
    pub fn read(query: &Query) -> ApiResult<Self> {
        let watch = query.flag("watch");
        let matching = match query.get("resourceVersionMatch") {
            None => None,
            Some("Exact") => Some(Match::Exact),
            Some("NotOlderThan") => Some(Match::NotOlderThan),
            Some(other) => {
                let cause = Cause::new(
                    "FieldValueNotSupported",
                    "resourceVersionMatch",
                    format!(
                        "Unsupported value: \"{other}\": supported values: \"Exact\", \"NotOlderThan\""
                    ),
                );
                return Err(ApiError::invalid("meta.k8s.io", "ListOptions", "", vec![cause]));
            }
        };
        let initial = query.has("sendInitialEvents").then(|| query.flag("sendInitialEvents"));
        let revision = revision(query)?;
        let from = query.get("continue").map(Continue::decode).transpose()?;
        if watch {
            if initial.is_some() && matching != Some(Match::NotOlderThan) {
                return Err(forbidden(
                    "resourceVersionMatch",
                    "sendInitialEvents needs resourceVersionMatch=NotOlderThan",
                ));
            }
            if initial.is_none() && matching.is_some() {
                return Err(forbidden(
                    "resourceVersionMatch",
                    "is forbidden for watch unless sendInitialEvents is provided",
                ));
            }
        } else {
            if initial.is_some() {
                return Err(forbidden("sendInitialEvents", "is forbidden for list"));
            }
            if matching.is_some() && from.is_some() {
                return Err(forbidden(
                    "resourceVersionMatch",
                    "is forbidden when continue is provided",
                ));
            }
            if matching.is_some() && revision == Revision::Newest {
                return Err(forbidden(
                    "resourceVersionMatch",
                    "is forbidden unless resourceVersion is provided",
                ));
            }
            if matching == Some(Match::Exact) && revision == Revision::Any {
                return Err(forbidden(
                    "resourceVersionMatch",
                    "Exact is forbidden for resourceVersion 0",
                ));
            }
            if from.is_some() && !matches!(revision, Revision::Newest) {
                return Err(ApiError::bad_request(
                    "specifying resource version is not allowed when using continue",
                ));
            }
        }
        Ok(Self {
            labels: query.get("labelSelector").unwrap_or_default().to_owned(),
            fields: query.get("fieldSelector").unwrap_or_default().to_owned(),
            revision,
            matching,
            limit: number(query, "limit")?.and_then(|n| usize::try_from(n).ok()).unwrap_or(0),
            from,
            watch,
            timeout: number(query, "timeoutSeconds")?.and_then(|n| u64::try_from(n).ok()),
            bookmarks: query.flag("allowWatchBookmarks"),
            initial,
        })
    }
}

/// What to do with fields that nobody knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// Drop them silently.
    Ignore,
    /// Drop them and say so.
    #[default]
    Warn,
    /// Refuse them.
    Strict,
}

/// Parameters of create, update, patch and delete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// `dryRun=All`: do everything but store it.
    pub dry_run: bool,
    /// `fieldManager`; empty: not given.
    pub manager: String,
    /// `fieldValidation`.
    pub validation: FieldValidation,
    /// `force`, if given.
    pub force: Option<bool>,
}

impl WriteOptions {
    /// Reads and checks the parameters; `kind` names them in errors, for example `CreateOptions`.
    ///
    /// # Errors
    /// 422: a value that is not allowed.
    pub fn read(query: &Query, kind: &str) -> ApiResult<Self> {
        let mut causes = Vec::new();
        let unsupported = |field: &str, value: &str, known: &str| {
            Cause::new(
                "FieldValueNotSupported",
                field,
                format!("Unsupported value: \"{value}\": supported values: {known}"),
            )
        };
        let dry_run = match query.get("dryRun") {
            None => false,
            Some("All") => true,
            Some(other) => {
                causes.push(unsupported("dryRun", other, "\"All\""));
                false
            }
        };
        let validation = match query.get("fieldValidation") {
            None | Some("Warn") => FieldValidation::Warn,
            Some("Ignore") => FieldValidation::Ignore,
            Some("Strict") => FieldValidation::Strict,
            Some(other) => {
                causes.push(unsupported(
                    "fieldValidation",
                    other,
                    "\"Ignore\", \"Strict\", \"Warn\"",
                ));
                FieldValidation::Warn
            }
        };
        let manager = query.get("fieldManager").unwrap_or_default().to_owned();
        if manager.chars().count() > 128 {
            causes.push(Cause::new(
                "FieldValueTooLong",
                "fieldManager",
                "Too long: may not be more than 128 bytes",
            ));
        }
        if manager.chars().any(char::is_control) {
            causes.push(Cause::invalid(
                "fieldManager",
                &manager.as_str().into(),
                "should only contain printable characters",
            ));
        }
        if !causes.is_empty() {
            return Err(ApiError::invalid("meta.k8s.io", kind, "", causes));
        }
        let force = query.has("force").then(|| query.flag("force"));
        Ok(Self { dry_run, manager, validation, force })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(query: &str) -> ApiResult<ListOptions> {
        ListOptions::read(&Query::parse(Some(query)))
    }

    #[test]
    fn tokens_come_back_and_foreign_ones_are_refused() {
        let token = Continue::after(244, "default/h9").encode();
        let read = list(&format!("continue={token}&limit=2")).unwrap();
        assert_eq!(read.from.unwrap(), Continue::after(244, "default/h9"));
        assert_eq!(read.limit, 2);
        for bad in ["continue=x", "continue=e30", &format!("continue={token}&resourceVersion=3")] {
            assert_eq!(list(bad).unwrap_err().code, 400, "{bad}");
        }
    }

    #[test]
    fn what_does_not_go_together_is_422() {
        for bad in [
            "resourceVersionMatch=Exact",
            "resourceVersionMatch=Exact&resourceVersion=0",
            "resourceVersionMatch=Never&resourceVersion=1",
            "sendInitialEvents=true",
            "watch=1&sendInitialEvents=true",
            "watch=1&resourceVersionMatch=NotOlderThan",
        ] {
            assert_eq!(list(bad).unwrap_err().code, 422, "{bad}");
        }
        assert!(list("watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan").is_ok());
        assert_eq!(list("resourceVersion=abc").unwrap_err().code, 400);
        assert_eq!(list("limit=abc").unwrap_err().code, 400);
        assert_eq!(list("limit=-1").unwrap().limit, 0);
        assert!(list("watch=foo").unwrap().watch && !list("watch=false").unwrap().watch);
    }

    #[test]
    fn write_options_are_checked() {
        let read = |query: &str| WriteOptions::read(&Query::parse(Some(query)), "CreateOptions");
        assert!(read("dryRun=All").unwrap().dry_run);
        for bad in [
            "dryRun=Some",
            "fieldValidation=No",
            &format!("fieldManager={}", "x".repeat(129)),
            "fieldManager=a%0ab",
        ] {
            let error = read(bad).unwrap_err();
            assert_eq!((error.code, error.details.causes.len()), (422, 1), "{bad}");
        }
        assert_eq!(read("force=true").unwrap().force, Some(true));
        assert_eq!(read("fieldManager=a&fieldManager=b").unwrap().manager, "a");
    }
}
