//! The Cluster: hosts that serve together, and how many of them may be away at once.
#![allow(
    unreachable_pub,
    clippy::duplicated_attributes,
    reason = "kube's derive makes modules and repeats attributes of its own"
)]

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Hosts that serve together. Lives in the namespace of its hosts.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "inventory.inv-tui.dev",
    version = "v1alpha1",
    kind = "Cluster",
    plural = "clusters",
    shortname = "hcl",
    category = "inv",
    namespaced,
    status = "ClusterStatus",
    derive = "PartialEq",
    doc = "Hosts that serve together, and how many of them may be away at once.",
    printcolumn(name = "Region", type_ = "string", json_path = ".spec.region"),
    printcolumn(name = "Environment", type_ = "string", json_path = ".spec.environment"),
    printcolumn(name = "Team", type_ = "string", json_path = ".spec.team"),
    printcolumn(name = "Hosts", type_ = "integer", json_path = ".status.hosts"),
    printcolumn(name = "Ready", type_ = "integer", json_path = ".status.ready"),
    printcolumn(name = "Maint", type_ = "integer", json_path = ".status.maintenance"),
    printcolumn(name = "Allowed", type_ = "integer", json_path = ".status.disruptionsAllowed"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct ClusterSpec {
    /// Region of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub region: Option<String>,
    /// Environment, for example `prod`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub environment: Option<String>,
    /// Team that answers for the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub team: Option<String>,
    /// Hosts of the cluster. Without it: those whose spec.cluster is this cluster's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
    /// How many hosts may be away at once.
    #[serde(default)]
    pub disruption: Disruption,
    /// When work on the hosts may be done. None: at any time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = kube::core::cel::ListMerge::Atomic)]
    pub windows: Vec<Window>,
    /// What an Ansible run on a host of the cluster takes when nobody says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ansible: Option<AnsibleDefaults>,
    /// The operating system wanted on every host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os: Option<OsDefaults>,
    /// What Prometheus scrapes on each host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitoring: Option<Monitoring>,
    /// Nobody acts on the cluster's hosts while this is true.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
}

/// How many hosts may be away at once, for whatever reason.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("type(self.maxUnavailable) == int ? self.maxUnavailable >= 1 : self.maxUnavailable.matches('^[1-9][0-9]?%$|^100%$')",
    "maxUnavailable is a number from 1 or a share from 1% to 100%; use paused for none at all"))]
pub struct Disruption {
    /// A number of hosts or a share such as `10%`.
    #[serde(default = "one")]
    pub max_unavailable: IntOrString,
}

fn one() -> IntOrString {
    IntOrString::Int(1)
}

impl Default for Disruption {
    fn default() -> Self {
        Self { max_unavailable: one() }
    }
}

/// A time at which work may be done.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// Begin, as five cron fields.
    #[schemars(length(min = 9, max = 128))]
    pub cron: String,
    /// Length, for example `2h`.
    #[schemars(length(min = 2, max = 16), regex(pattern = r"^([0-9]+(h|m))+$"))]
    pub duration: String,
    /// IANA time zone, for example `Europe/Berlin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub time_zone: Option<String>,
}

/// What an Ansible run takes when nobody says otherwise, and what may be chosen.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AnsibleDefaults {
    /// Playbook, relative to the configured place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub playbook: Option<String>,
    /// Git revision to run from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub revision: Option<String>,
    /// Playbooks that are offered for the cluster's hosts. Whoever runs them has an allow-list of
    /// its own; this one is for people who choose.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = kube::core::cel::ListMerge::Map(vec!["path".into()]))]
    pub playbooks: Vec<Playbook>,
}

/// One playbook that is offered.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Playbook {
    /// Playbook, relative to the configured place.
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = ("!self.startsWith('/') && !self.contains('..')", "path is relative and without .."))]
    pub path: String,
    /// What it does, for the person who chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub description: Option<String>,
    /// Tags that may be chosen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 64)))]
    #[x_kube(merge_strategy = kube::core::cel::ListMerge::Atomic)]
    pub tags: Vec<String>,
    /// Only check mode is offered.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub check_only: bool,
}

/// The operating system wanted on every host.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OsDefaults {
    /// Version that is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub desired: Option<String>,
}

/// What Prometheus scrapes on each host.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Monitoring {
    /// Scrape jobs by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = kube::core::cel::ListMerge::Map(vec!["name".into()]))]
    pub jobs: Vec<ScrapeJob>,
}

/// One scrape job.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScrapeJob {
    /// Name of the job.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Port on the host.
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// Path of the metrics; `/metrics` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub path: Option<String>,
    /// Scheme of the endpoint.
    #[serde(default)]
    pub scheme: Scheme,
}

/// Scheme of a scrape.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[allow(missing_docs, reason = "the words are the API's own")]
pub enum Scheme {
    #[default]
    #[serde(rename = "http")]
    Http,
    #[serde(rename = "https")]
    Https,
}

impl Scheme {
    /// The word as it stands in the object.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// How the cluster is.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ClusterStatus {
    /// Hosts in the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub hosts: Option<i32>,
    /// Hosts that are ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub ready: Option<i32>,
    /// Hosts in maintenance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub maintenance: Option<i32>,
    /// Hosts that do not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub unreachable: Option<i32>,
    /// Hosts that their provider no longer lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub missing: Option<i32>,
    /// Hosts that run the desired operating system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub updated: Option<i32>,
    /// How many more hosts may go away now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub disruptions_allowed: Option<i32>,
    /// Hosts that are healthy now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub current_healthy: Option<i32>,
    /// Hosts that must stay healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub desired_healthy: Option<i32>,
    /// Hosts that were granted a disruption which does not show in their status yet.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 1000))]
    pub disrupted: BTreeMap<String, Time>,
    /// Conditions by type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = kube::core::cel::ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}
