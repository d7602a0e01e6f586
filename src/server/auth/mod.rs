//! Who asks, and what they may do.

use std::collections::BTreeMap;

/// Who sends a request, as authentication found out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// User name: the CN of a client certificate, or the name that a token stands for.
    pub name: String,
    /// Opaque id, if there is one.
    pub uid: String,
    /// Groups: each O of the certificate, plus `system:authenticated`.
    pub groups: Vec<String>,
    /// Anything else, for example the certificate's fingerprint.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// What a request wants to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Action {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`, or a
    /// special one (`approve`, `sign`). For a plain path: the HTTP method in lower case.
    pub verb: String,
    /// API group; empty for the core group.
    pub group: String,
    /// Plural of the resource. Empty: not about a resource but about `path`.
    pub resource: String,
    /// Subresource, or empty.
    pub subresource: String,
    /// Namespace, or empty for all of them and for what is in none.
    pub namespace: String,
    /// Name of the object, or empty.
    pub name: String,
    /// Path of a request that is about no resource.
    pub path: String,
}
