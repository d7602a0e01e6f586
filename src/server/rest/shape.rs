//! How objects are shown to who asks: as they are, as a table, or their metadata only.

use bytes::Bytes;
use serde_json::{Value, json};

use super::Call;
use crate::server::body::{self, Format, View};
use crate::server::http::{self, Response};
use crate::server::status::{ApiError, ApiResult};
use crate::server::storage::Stored;
use crate::server::table::{self, IncludeObject};

/// How objects are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// JSON as it is stored.
    Json,
    /// The same as YAML.
    Yaml,
    /// Rows of a table.
    Table(IncludeObject),
    /// `PartialObjectMetadata`.
    Partial,
}

impl Shape {
    fn of(call: &Call, place: body::Shape) -> ApiResult<Self> {
        Ok(match body::negotiate_object(call.accept.as_deref(), place)? {
            (Format::Json, View::Object) => Self::Json,
            (Format::Yaml, View::Object) => Self::Yaml,
            (_, View::Table) => Self::Table(IncludeObject::parse(
                call.query.get("includeObject").unwrap_or_default(),
            )?),
            (_, View::Metadata) => Self::Partial,
        })
    }

    pub(super) fn of_object(call: &Call) -> ApiResult<Self> {
        Self::of(call, body::Shape::Single)
    }

    pub(super) fn of_list(call: &Call) -> ApiResult<Self> {
        Self::of(call, body::Shape::List)
    }

    pub(super) fn of_watch(call: &Call) -> ApiResult<Self> {
        Self::of(call, body::Shape::Watch)
    }

    pub(super) fn content_type(self) -> &'static str {
        if self == Self::Yaml { "application/yaml" } else { "application/json" }
    }

    /// A document that is JSON, in the form that was asked for.
    pub(super) fn document(self, code: u16, json: Vec<u8>) -> Response {
        if self == Self::Yaml {
            let value: Value = serde_json::from_slice(&json).unwrap_or_default();
            return match serde_saphyr::to_string(&value) {
                Ok(yaml) => http::answer(code, self.content_type(), http::full(yaml)),
                Err(cause) => {
                    http::error(&ApiError::internal(format!("cannot write YAML: {cause}")))
                }
            };
        }
        http::answer(code, self.content_type(), http::full(json))
    }

    /// One object as an answer.
    pub(super) fn object(self, call: &Call, code: u16, stored: &Stored) -> Response {
        match self {
            Self::Json | Self::Yaml => self.document(code, call.served.bytes(stored).to_vec()),
            _ => self.value(call, code, call.served.object(stored)),
        }
    }

    /// One object, already in its version, as an answer.
    pub(super) fn value(self, call: &Call, code: u16, object: Value) -> Response {
        let shown = match self {
            Self::Json | Self::Yaml => object,
            Self::Partial => table::partial(object),
            Self::Table(include) => {
                let printer = &call.served.printer;
                let version =
                    json!({"resourceVersion": object.pointer("/metadata/resourceVersion")});
                printer.table(version, vec![printer.row(object, include, call.now)])
            }
        };
        self.document(code, shown.to_string().into_bytes())
    }

    /// One object as an item of a list.
    pub(super) fn item(self, call: &Call, stored: &Stored) -> Bytes {
        let as_stored = call.served.kind.custom && call.served.plain(stored);
        match self {
            Self::Json | Self::Yaml => call.served.bytes(stored),
            Self::Partial if as_stored => table::partial_text(stored.metadata()).into(),
            // Only what the columns show is read, and the metadata copied as it is.
            Self::Table(IncludeObject::Metadata) if as_stored => {
                let printer = &call.served.printer;
                let cells = Value::from(printer.cells(&stored.part(printer.wanted()), call.now));
                let object = table::partial_text(stored.metadata());
                format!(r#"{{"cells":{cells},"object":{object}}}"#).into()
            }
            Self::Partial => table::partial(call.served.object(stored)).to_string().into(),
            Self::Table(include) => {
                let object = call.served.object(stored);
                call.served.printer.row(object, include, call.now).to_string().into()
            }
        }
    }

    /// What comes before and after the items of a list.
    pub(super) fn list_frame(self, call: &Call, metadata: &Value) -> (String, String) {
        let kind = &call.served.kind;
        let (name, version, items) = match self {
            Self::Json | Self::Yaml => (kind.list_kind.as_str(), kind.api_version(), "items"),
            Self::Partial => ("PartialObjectMetadataList", "meta.k8s.io/v1".to_owned(), "items"),
            Self::Table(_) => ("Table", "meta.k8s.io/v1".to_owned(), "rows"),
        };
        let columns = match self {
            Self::Table(_) => {
                let columns = Value::from(call.served.printer.definitions());
                format!("\"columnDefinitions\":{columns},")
            }
            _ => String::new(),
        };
        let name = Value::from(name);
        let version = Value::from(version);
        let head = format!(
            "{{\"kind\":{name},\"apiVersion\":{version},\"metadata\":{metadata},{columns}\"{items}\":["
        );
        (head, "]}\n".to_owned())
    }

    /// One object inside a watch event. `first`: nothing was sent on this watch yet.
    pub(super) fn watched(self, call: &Call, stored: &Stored, first: bool) -> Bytes {
        match self {
            Self::Json | Self::Yaml | Self::Partial => self.item(call, stored),
            Self::Table(include) => {
                let object = call.served.object(stored);
                Self::rows(call, object, include, stored.revision, first).to_string().into()
            }
        }
    }

    /// A table of one row; only the first one of a watch says what its columns are.
    fn rows(
        call: &Call,
        object: Value,
        include: IncludeObject,
        revision: u64,
        first: bool,
    ) -> Value {
        let printer = &call.served.printer;
        let metadata = json!({"resourceVersion": revision.to_string()});
        let rows = vec![printer.row(object, include, call.now)];
        if first { printer.table(metadata, rows) } else { table::bare_table(metadata, rows) }
    }

    /// The object of a bookmark.
    pub(super) fn bookmark(self, call: &Call, revision: u64, initial: bool, first: bool) -> Value {
        let kind = &call.served.kind;
        let mut metadata = json!({"resourceVersion": revision.to_string()});
        if initial {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let object =
            json!({"kind": kind.kind, "apiVersion": kind.api_version(), "metadata": metadata});
        match self {
            Self::Json | Self::Yaml => object,
            Self::Partial => table::partial(object),
            Self::Table(_) => Self::rows(call, object, IncludeObject::Object, revision, first),
        }
    }
}
