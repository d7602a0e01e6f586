//! The Host: one machine. `spec` is what people want, `status` what is.
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

/// One machine of the fleet, at whatever provider. The object's name comes from the provider's
/// immutable id (`aws-i-0abc…`), never from a name tag or a hostname.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "inventory.inv-tui.dev",
    version = "v1alpha1",
    kind = "Host",
    plural = "hosts",
    shortname = "hst",
    category = "inv",
    namespaced,
    status = "HostStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "One machine of the fleet. spec is what people want, status is what is.",
    printcolumn(name = "Region", type_ = "string", json_path = r#".metadata.labels.topology\.kubernetes\.io/region"#),
    printcolumn(name = "Cluster", type_ = "string", json_path = ".spec.cluster"),
    printcolumn(name = "Role", type_ = "string", json_path = ".spec.role"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Service", type_ = "string", json_path = r#".status.conditions[?(@.type=="InService")].reason"#),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Maint", type_ = "string", json_path = ".status.maintenance.holders"),
    printcolumn(name = "Ansible", type_ = "string", json_path = ".status.ansible.state"),
    printcolumn(name = "IP", type_ = "string", json_path = r#".status.addresses[?(@.type=="InternalIP")].address"#),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Provider-ID", type_ = "string", json_path = ".spec.providerID", priority = 1),
    printcolumn(name = "Zone", type_ = "string", json_path = r#".metadata.labels.topology\.kubernetes\.io/zone"#, priority = 1),
    printcolumn(name = "Type", type_ = "string", json_path = ".status.hardware.instanceType", priority = 1),
    printcolumn(name = "OS", type_ = "string", json_path = ".status.os.version", priority = 1),
    printcolumn(name = "Team", type_ = "string", json_path = ".spec.team", priority = 1),
    printcolumn(name = "Service-Since", type_ = "date", json_path = r#".status.conditions[?(@.type=="InService")].lastTransitionTime"#, priority = 1),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#, priority = 1),
    selectable = ".spec.providerID",
    selectable = ".spec.cluster",
    selectable = ".spec.role",
    selectable = ".spec.serviceState",
    selectable = ".status.phase",
    selectable = ".status.ansible.state",
    selectable = ".status.maintenance.active",
    selectable = ".status.os.version",
    validation = ("self.metadata.name.size() <= 63 && !self.metadata.name.contains('.')",
        "a host's name is a DNS label: at most 63 characters, no dot"),
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = ("!has(oldSelf.providerID) || oldSelf.providerID == '' || (has(self.providerID) && self.providerID == oldSelf.providerID)",
        "providerID is immutable once set: another machine is another Host"),
    validation = ("oldSelf.serviceState != 'Retired' || self.serviceState != 'InService'",
        "a retired host cannot go back into service"),
)]
pub struct HostSpec {
    /// The machine at its provider, URL-like, for example `aws:///eu-west-1a/i-0abc`. Immutable
    /// once set; empty for a planned host.
    #[serde(rename = "providerID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub provider_id: Option<String>,
    /// Cluster that the host belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub cluster: Option<String>,
    /// What the host does, for example `db`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub role: Option<String>,
    /// Team that answers for the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub team: Option<String>,
    /// Environment, for example `prod`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub environment: Option<String>,
    /// Whether the host takes part in service. Ansible leaves out what is not `InService`.
    #[serde(default)]
    pub service_state: ServiceState,
    /// Holds that keep the host in maintenance, by holder. The host is in maintenance while any of
    /// them is current; ending one never ends another's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 8))]
    #[x_kube(validation = ("self.all(holder, holder.size() <= 63 && holder.matches('^[A-Za-z0-9][A-Za-z0-9@._:+-]*$'))",
        "a holder is at most 63 of letters, digits and @._:+- and begins with a letter or digit"))]
    pub maintenance: BTreeMap<String, Hold>,
    /// One Ansible run that is asked for. A new requestID is one run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ansible: Option<AnsibleRequest>,
    /// The operating system that is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os: Option<OsRequest>,
    /// Nobody acts on the host while this is true; everybody still reports.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
}

/// Whether a host takes part in service.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[allow(missing_docs, reason = "the words are the API's own")]
pub enum ServiceState {
    #[default]
    InService,
    OutOfService,
    Quarantined,
    Retired,
}

impl ServiceState {
    /// Its word in the object.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InService => "InService",
            Self::OutOfService => "OutOfService",
            Self::Quarantined => "Quarantined",
            Self::Retired => "Retired",
        }
    }
}

/// One holder's hold: why, since when, and until when at the latest.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = ("self.until > self.since", "until must be after since"),
    validation = ("self.until - self.since <= duration('720h')", "a hold lasts at most 30 days"),
)]
pub struct Hold {
    /// Why, for the colleague who finds the host in maintenance. 3 to 256 characters.
    #[schemars(length(min = 3, max = 256))]
    #[x_kube(validation = ("self.trim().size() >= 3", "give a reason of at least 3 characters"))]
    pub reason: String,
    /// Begin of the hold.
    pub since: Time,
    /// End of the hold; every hold has one, at most 30 days after since.
    pub until: Time,
    /// Ticket that tells more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub ticket: Option<String>,
    /// Drain takes work off the host, Observe only marks it.
    #[serde(default)]
    pub mode: HoldMode,
}

/// What a hold does to the host.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[allow(missing_docs, reason = "the words are the API's own")]
pub enum HoldMode {
    #[default]
    Drain,
    Observe,
}

/// One Ansible run that is asked for.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = ("self.requestID != oldSelf.requestID || (self.playbook == oldSelf.playbook && self.check == oldSelf.check && has(self.tags) == has(oldSelf.tags) && (!has(self.tags) || self.tags == oldSelf.tags) && has(self.extraVars) == has(oldSelf.extraVars) && (!has(self.extraVars) || self.extraVars == oldSelf.extraVars))",
        "a request does not change under its requestID: another run is another requestID"),
    validation = ("self.requestID != oldSelf.requestID || !oldSelf.cancel || self.cancel",
        "a canceled request stays canceled: another run is another requestID"),
)]
pub struct AnsibleRequest {
    /// Names this run. The same id never runs twice.
    #[serde(rename = "requestID")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"))]
    pub request_id: String,
    /// Playbook, relative to the configured place.
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = ("!self.startsWith('/') && !self.contains('..')", "playbook is a relative path without .."))]
    pub playbook: String,
    /// Git revision to run from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub revision: Option<String>,
    /// Tags to run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 64)))]
    #[x_kube(merge_strategy = kube::core::cel::ListMerge::Atomic)]
    pub tags: Vec<String>,
    /// Report what would change and change nothing.
    #[serde(default)]
    pub check: bool,
    /// Extra variables. Data, never text for a shell.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32), extend("additionalProperties" = {"type": "string", "maxLength": 1024}))]
    #[x_kube(validation = ("self.all(k, k.size() <= 64)", "a variable's name has at most 64 characters"))]
    pub extra_vars: BTreeMap<String, String>,
    /// Seconds after which the run is ended, 1 to 86,400.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86400))]
    pub timeout_seconds: Option<i32>,
    /// The authenticated name of who asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub requested_by: Option<String>,
    /// Why the run is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub reason: Option<String>,
    /// The run is not wanted any more. It counts only while nobody has begun the run.
    #[serde(default)]
    pub cancel: bool,
}

/// The operating system that is wanted.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("!has(self.desired) || has(self.requestID)", "os.desired needs an os.requestID"))]
pub struct OsRequest {
    /// Version that is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub desired: Option<String>,
    /// Whether the host may reboot for it.
    #[serde(default)]
    pub reboot_policy: RebootPolicy,
    /// Names this upgrade. The same id never runs twice.
    #[serde(rename = "requestID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"))]
    pub request_id: Option<String>,
}

/// Whether a host may reboot for an upgrade.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[allow(missing_docs, reason = "the words are the API's own")]
pub enum RebootPolicy {
    Never,
    #[default]
    IfNeeded,
    Always,
}

/// What is known of the machine.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct HostStatus {
    /// Generation of spec that this status answers to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// One word for the whole; derived, for display only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// Maintenance in force, derived from the holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<MaintenanceStatus>,
    /// What each source says of the machine, by source name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 8))]
    pub sources: BTreeMap<String, SourceFacts>,
    /// Addresses and names of the host, at most sixteen from each source.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    #[x_kube(merge_strategy = kube::core::cel::ListMerge::Map(vec!["type".into(), "address".into()]))]
    pub addresses: Vec<Address>,
    /// What the machine is made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardware: Option<Hardware>,
    /// The operating system that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os: Option<OsStatus>,
    /// When the provider launched the machine. creationTimestamp is when we first saw it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub launch_time: Option<Time>,
    /// What the provider has planned for the machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = kube::core::cel::ListMerge::Map(vec!["id".into()]))]
    pub scheduled_events: Vec<ScheduledEvent>,
    /// The last Ansible run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ansible: Option<AnsibleStatus>,
    /// What is done before the host goes, once it is being deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-map-type" = "atomic"))]
    pub decommission: Option<DecommissionStatus>,
    /// The last ten things that were done to the host: the audit that outlives Events.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    #[x_kube(merge_strategy = kube::core::cel::ListMerge::Atomic)]
    pub operations: Vec<Operation>,
    /// Conditions by type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = kube::core::cel::ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// One word for the state of a host; derived from everything else, no program decides by it.
#[derive(
    Serialize,
    Deserialize,
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    JsonSchema,
)]
#[allow(missing_docs, reason = "the words are the API's own")]
pub enum Phase {
    Planned,
    Pending,
    Running,
    Stopped,
    Maintenance,
    Unreachable,
    Missing,
    Gone,
    Decommissioning,
    #[default]
    Unknown,
}

impl Phase {
    /// Every phase, in the order of the schema.
    pub const ALL: [Self; 10] = [
        Self::Planned,
        Self::Pending,
        Self::Running,
        Self::Stopped,
        Self::Maintenance,
        Self::Unreachable,
        Self::Missing,
        Self::Gone,
        Self::Decommissioning,
        Self::Unknown,
    ];

    /// The word as it stands in the object.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "Planned",
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Stopped => "Stopped",
            Self::Maintenance => "Maintenance",
            Self::Unreachable => "Unreachable",
            Self::Missing => "Missing",
            Self::Gone => "Gone",
            Self::Decommissioning => "Decommissioning",
            Self::Unknown => "Unknown",
        }
    }
}

/// Maintenance in force, derived from the holds in spec.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MaintenanceStatus {
    /// Whether any hold is current.
    pub active: bool,
    /// Who holds it, joined by commas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 520))]
    pub holders: Option<String>,
    /// Begin of the first current hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// End of the last current hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// Whether the host's work has been taken off it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drained: Option<bool>,
}

/// What one source says of the machine.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct SourceFacts {
    /// The machine's id at the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub uid: Option<String>,
    /// The source's state folded into ours.
    #[serde(default)]
    pub state: Phase,
    /// The source's own word for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub raw_state: Option<String>,
    /// When the folded state last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Complete listings in a row that lacked the machine; absent while it is listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub missed: Option<i32>,
    /// Page about the machine at the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub url: Option<String>,
    /// The source's own identity for the machine, where spec.providerID is another source's.
    #[serde(rename = "providerID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub provider_id: Option<String>,
    /// Region at the source, where the labels are another source's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub region: Option<String>,
    /// Account at the source, where the labels are another source's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub account: Option<String>,
}

/// One address or name of a host.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Address {
    /// What kind of address it is.
    #[serde(rename = "type")]
    pub type_: AddressType,
    /// The address or name.
    #[schemars(length(min = 1, max = 253))]
    pub address: String,
}

/// Kind of an address.
#[derive(
    Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema,
)]
#[allow(missing_docs, reason = "the words are the API's own")]
pub enum AddressType {
    Hostname,
    InternalIP,
    ExternalIP,
    InternalDNS,
    ExternalDNS,
    /// Out of band: the management controller.
    OOB,
}

/// What the machine is made of. Where several sources know it, each field is the first one's.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Hardware {
    /// CPU architecture, for example `amd64`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub arch: Option<String>,
    /// Virtual or physical CPUs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub cpus: Option<i32>,
    /// Memory in MiB.
    #[serde(rename = "memoryMiB", default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub memory_mib: Option<i64>,
    /// Machine type at the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub instance_type: Option<String>,
    /// Maker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub vendor: Option<String>,
    /// Model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub model: Option<String>,
    /// Serial number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub serial: Option<String>,
    /// Asset tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub asset_tag: Option<String>,
    /// Hardware UUID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub uuid: Option<String>,
    /// Rack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub rack: Option<String>,
    /// Position in the rack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub position: Option<String>,
    /// MAC addresses that no other machine has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 17)), extend("x-kubernetes-list-type" = "set"))]
    pub macs: Vec<String>,
}

/// The operating system that runs.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OsStatus {
    /// Distribution, for example `debian`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub id: Option<String>,
    /// Version of the distribution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub version: Option<String>,
    /// Kernel release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub kernel: Option<String>,
    /// Id of this boot.
    #[serde(rename = "bootID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub boot_id: Option<String>,
    /// Time of this boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_time: Option<Time>,
    /// Whether the host waits for a reboot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reboot_required: Option<bool>,
}

/// Something the provider has planned for the machine.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScheduledEvent {
    /// The provider's id of the event.
    #[schemars(length(min = 1, max = 128))]
    pub id: String,
    /// The provider's code, for example `instance-retirement`.
    #[schemars(length(min = 1, max = 64))]
    pub code: String,
    /// Earliest begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Time>,
    /// Latest end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Time>,
}

/// The last Ansible run.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AnsibleStatus {
    /// The request that this answers.
    #[serde(rename = "requestID")]
    #[schemars(length(max = 64))]
    pub request_id: String,
    /// How far the run is.
    pub state: RunState,
    /// Begin of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// End of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// Return code of ansible-playbook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rc: Option<i32>,
    /// Tasks that were fine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ok: Option<i32>,
    /// Tasks that changed something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<i32>,
    /// Tasks that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<i32>,
    /// Hosts that could not be reached: 0 or 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreachable: Option<i32>,
    /// Revision that ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub revision: Option<String>,
    /// Who runs it: `agent`, or the identity of a runner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub executor: Option<String>,
    /// The task that runs, or at which the run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub task: Option<String>,
    /// Why the run waits, was refused, or ended as it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub message: Option<String>,
    /// End of the log: at most 512 bytes while it runs, 256 after a success, 1,024 after a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub tail: Option<String>,
}

impl AnsibleStatus {
    /// An answer to a request of which nothing more is known.
    pub fn new(request_id: impl Into<String>, state: RunState) -> Self {
        Self {
            request_id: request_id.into(),
            state,
            started_at: None,
            finished_at: None,
            rc: None,
            ok: None,
            changed: None,
            failed: None,
            unreachable: None,
            revision: None,
            executor: None,
            task: None,
            message: None,
            tail: None,
        }
    }
}

/// How far an Ansible run is. Unknown: the executor died in the middle and tells the truth.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[allow(missing_docs, reason = "the words are the API's own")]
pub enum RunState {
    Queued,
    Running,
    Succeeded,
    Failed,
    Unknown,
    Canceled,
}

impl RunState {
    /// The word as it stands in the object.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "Queued",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Unknown => "Unknown",
            Self::Canceled => "Canceled",
        }
    }

    /// Whether the run has ended, one way or the other.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}

/// What is done before the host goes. One writer owns it as a whole.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DecommissionStatus {
    /// When it was taken up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// What it waits for before it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<DecommissionWait>,
    /// The steps in their order, as they were when it was taken up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub steps: Vec<DecommissionStep>,
}

/// What a decommissioning waits for.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DecommissionWait {
    /// Reason of the condition Deleting.
    #[schemars(length(max = 64))]
    pub reason: String,
    /// What has to end, or who has to do something.
    #[schemars(length(max = 256))]
    pub what: String,
    /// Since when.
    pub since: Time,
    /// It has been so long that somebody was told.
    #[serde(default)]
    pub overdue: bool,
}

/// One step of a decommissioning.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DecommissionStep {
    /// Its name in the service's file.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// How far it is.
    pub state: StepState,
    /// How often it was begun.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub attempts: i32,
    /// When it was begun last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// When it is begun again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Time>,
    /// What it said last, or why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub message: Option<String>,
}

/// How far a step is. Retrying: it failed and is soon begun again. Stuck: it failed so often that
/// somebody was told, and is begun again later. Failed: it failed, and the file says to go on.
/// Unknown: it may be begun only once, was begun, and a person must say how it ended.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[allow(missing_docs, reason = "the words are the API's own")]
pub enum StepState {
    Pending,
    Running,
    Retrying,
    Stuck,
    Unknown,
    Succeeded,
    Failed,
}

impl StepState {
    /// The word as it stands in the object.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Retrying => "Retrying",
            Self::Stuck => "Stuck",
            Self::Unknown => "Unknown",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }

    /// Whether the next step may begin.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

/// One thing that was done to a host.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// Id of the operation.
    #[schemars(length(max = 64))]
    pub id: String,
    /// What was done, for example `maintenance-on`.
    #[schemars(length(max = 64))]
    pub verb: String,
    /// Who did it.
    #[schemars(length(max = 256))]
    pub by: String,
    /// When.
    pub at: Time,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub reason: Option<String>,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub result: Option<String>,
}
