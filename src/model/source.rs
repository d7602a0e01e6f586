//! The Source: where hosts come from, and what its fetcher last saw. Times of passes live here,
//! so that no Host changes when nothing changed.
#![allow(
    unreachable_pub,
    clippy::duplicated_attributes,
    reason = "kube's derive makes modules and repeats attributes of its own"
)]

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub mod state;

pub use state::State;

/// One source of hosts.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "inventory.inv-tui.dev",
    version = "v1alpha1",
    kind = "Source",
    plural = "sources",
    shortname = "hsrc",
    category = "inv",
    namespaced,
    status = "SourceStatus",
    derive = "PartialEq",
    doc = "Where hosts come from, and what its fetcher last saw.",
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.type"),
    printcolumn(
        name = "Healthy",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Healthy")].status"#
    ),
    printcolumn(name = "Seen", type_ = "integer", json_path = ".status.seen"),
    printcolumn(name = "Changed", type_ = "integer", json_path = ".status.changed"),
    printcolumn(name = "Missing", type_ = "integer", json_path = ".status.missing"),
    printcolumn(name = "Errors", type_ = "integer", json_path = ".status.errors"),
    printcolumn(name = "Last-Pass", type_ = "date", json_path = ".status.lastPass"),
    printcolumn(name = "Created", type_ = "integer", json_path = ".status.created", priority = 1),
    printcolumn(name = "Gone", type_ = "integer", json_path = ".status.gone", priority = 1),
    printcolumn(
        name = "Millis",
        type_ = "integer",
        json_path = ".status.durationMillis",
        priority = 1
    ),
    printcolumn(
        name = "Breaker",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="BreakerOpen")].status"#,
        priority = 1
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Healthy")].message"#,
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct SourceSpec {
    /// Kind of provider.
    #[serde(rename = "type")]
    pub type_: SourceType,
    /// Time between two passes, for example `5m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = r"^([0-9]+(h|m|s))+$"))]
    pub interval: Option<String>,
    /// Where the credentials are; never the credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<CredentialsReference>,
    /// Parts that are listed each by itself, for example regions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 63)))]
    #[x_kube(merge_strategy = kube::core::cel::ListMerge::Set)]
    pub scopes: Vec<String>,
    /// Host field or label to the tag that it is taken from.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64), extend("additionalProperties" = {"type": "string", "maxLength": 256}))]
    pub mapping: BTreeMap<String, String>,
    /// When a pass is not believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<Breaker>,
    /// How long a host that is gone is kept, for example `24h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = r"^([0-9]+(h|m|s))+$"))]
    pub grace: Option<String>,
}

/// Kind of provider behind a source.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[allow(missing_docs, reason = "the words are the API's own")]
pub enum SourceType {
    AWS,
    NetBox,
    IBMCloudClassic,
    IBMCloudVPC,
    File,
    ClusterAPI,
    KubernetesNodes,
}

impl SourceType {
    /// Its name for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AWS => "AWS",
            Self::NetBox => "NetBox",
            Self::IBMCloudClassic => "IBM Classic",
            Self::IBMCloudVPC => "IBM VPC",
            Self::File => "file",
            Self::ClusterAPI => "Cluster API",
            Self::KubernetesNodes => "nodes",
        }
    }
}

/// Where credentials are. Exactly one of the fields.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("[has(self.profile), has(self.environment), has(self.file)].filter(x, x).size() == 1",
    "name exactly one of profile, environment, file"))]
pub struct CredentialsReference {
    /// Profile of the provider's own configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub profile: Option<String>,
    /// Name of an environment variable of the fetcher.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub environment: Option<String>,
    /// Path of a file on the fetcher's machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub file: Option<String>,
}

/// When a pass is not believed: it would lose more than both of these.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Breaker {
    /// Share of a scope's hosts in percent, 1 to 100.
    #[schemars(range(min = 1, max = 100))]
    pub max_gone_percent: i32,
    /// Number of hosts that may always go.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub min_hosts: i32,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { max_gone_percent: 10, min_hosts: 5 }
    }
}

/// What the fetcher last saw.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SourceStatus {
    /// End of the last pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_pass: Option<Time>,
    /// How long the last pass took, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_millis: Option<i64>,
    /// Hosts that the last complete listings had, over all scopes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<i32>,
    /// Hosts that the last pass made, over all scopes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<i32>,
    /// Hosts in which the last pass changed something, over all scopes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<i32>,
    /// Hosts that are gone and still kept after the last pass, over all scopes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone: Option<i32>,
    /// Hosts that could not be read or written, and scopes that could not be read, in the last pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errors: Option<i32>,
    /// Hosts missing after the last pass, over all scopes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<i32>,
    /// Each scope by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = kube::core::cel::ListMerge::Map(vec!["name".into()]))]
    pub scopes: Vec<ScopeStatus>,
    /// Conditions by type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = kube::core::cel::ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// The last pass over one scope.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScopeStatus {
    /// Name of the scope, for example a region.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// End of the last listing that was complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_complete: Option<Time>,
    /// How long the last pass took, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_millis: Option<i64>,
    /// Hosts that the provider listed.
    #[serde(default)]
    pub seen: i32,
    /// Hosts that were new.
    #[serde(default)]
    pub created: i32,
    /// Hosts in which something changed.
    #[serde(default)]
    pub changed: i32,
    /// Hosts that the provider no longer lists.
    #[serde(default)]
    pub missing: i32,
    /// Hosts that are gone and still kept.
    #[serde(default)]
    pub gone: i32,
    /// Hosts that could not be read or written.
    #[serde(default)]
    pub failed: i32,
    /// Why the last pass was not complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub error: Option<String>,
}
