//! What a served resource is: its names, its scope, its schema and how it is printed.

use std::sync::Arc;

use super::schema::Schema;

/// One resource in one version, built in or defined by a CRD.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kind {
    /// API group; empty for the core group.
    pub group: String,
    /// Version, for example `v1`.
    pub version: String,
    /// `Host`.
    pub kind: String,
    /// `HostList`.
    pub list_kind: String,
    /// `hosts`.
    pub plural: String,
    /// `host`.
    pub singular: String,
    /// `hst`.
    pub short_names: Vec<String>,
    /// `inv`.
    pub categories: Vec<String>,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// `delete`, `get`, `list`, …; reviews can only `create`.
    pub verbs: &'static [&'static str],
    /// `status`, `approval`, `finalize`, …
    pub subresources: Vec<String>,
    /// What its objects look like: apiVersion, kind, metadata (left to the server) and the rest.
    pub schema: Arc<Schema>,
    /// Columns after the name.
    pub columns: Vec<Column>,
    /// Fields that can be selected on besides name and namespace, as paths without the leading dot.
    pub selectable: Vec<String>,
    /// Whether a CRD defines it.
    pub custom: bool,
    /// What clients of a deprecated version are told with each answer.
    pub warning: Option<String>,
    /// Whether it is served but not preferred (an older version of the same resource).
    pub deprecated: bool,
}

/// A column of the `Table` that kubectl prints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Column {
    /// Heading.
    pub name: String,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    pub type_: String,
    /// `name`, `int32`, …
    pub format: String,
    /// For people.
    pub description: String,
    /// 0: always; more: only with `-o wide`.
    pub priority: i64,
    /// Where the value is, as `additionalPrinterColumns` says it: `.status.phase`. For built-in
    /// kinds that compute a cell it is empty, and the kind's own code fills the cell.
    pub json_path: String,
}

/// All verbs of a stored resource.
pub const STORED: &[&str] =
    &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// The only verb of a review.
pub const REVIEW: &[&str] = &["create"];

impl Kind {
    /// `group/version`, or the version alone in the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// Whether it has the subresource `status`.
    pub fn has_status(&self) -> bool {
        self.subresources.iter().any(|s| s == "status")
    }
}
