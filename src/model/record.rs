//! The Host as a watch reads it: only what a row needs, and whatever can be read of it.
//!
//! A whole [`Host`] per object costs a fleet of 100,000 gigabytes (`managedFields` alone is 1 GB),
//! and one field of a wrong type makes the whole list unreadable. A [`HostRecord`] steps over what
//! it does not need without keeping it, and a value that it cannot read is a [`problem`] of that
//! one host. It needs no buffer of its own for that, so it reads from `List`, from a watch event
//! with its fields in any order, and from a value in memory alike.
//!
//! [`problem`]: HostRecord::problem

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use kube::Resource;
use serde::Deserialize;
use serde::de::Deserializer;

use super::condition;
use super::host::{
    AddressType, AnsibleRequest, AnsibleStatus, HoldMode, Host, Phase, RunState, ServiceState,
};
use super::key::{ServerId, Uid};
use super::{GROUP, VERSION, labels, text};

mod loose;

use loose::{Loose, Problem, loose_object};

/// What a row needs of a Host. The API path is that of [`Host`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HostRecord {
    /// The server that it was read from: whoever reads from several says which.
    pub server: ServerId,
    /// Name, namespace, uid, resourceVersion, creation and deletion time, labels, and of the
    /// annotations only the display name.
    pub metadata: ObjectMeta,
    /// What people want.
    pub spec: SpecRecord,
    /// What is.
    pub status: StatusRecord,
    /// Who wrote last: the manager of the newest entry of the managed fields.
    pub writer: Option<String>,
    /// The first thing that could not be read, with its path; the rest of the record is good.
    pub problem: Option<String>,
}

/// The part of `spec` that a row needs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SpecRecord {
    /// The machine at its provider.
    pub provider_id: Option<String>,
    /// Cluster that the host belongs to.
    pub cluster: Option<String>,
    /// What the host does.
    pub role: Option<String>,
    /// Team that answers for it.
    pub team: Option<String>,
    /// Environment, for example `prod`.
    pub environment: Option<String>,
    /// Whether the host takes part in service.
    pub service_state: ServiceState,
    /// Holds by holder.
    pub maintenance: BTreeMap<String, HoldRecord>,
    /// The Ansible run that is asked for.
    pub ansible: Option<Box<RequestRecord>>,
}

/// The Ansible run that is asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequestRecord {
    /// Names the run.
    pub request_id: Option<String>,
    /// Playbook.
    pub playbook: Option<String>,
    /// Who asked.
    pub requested_by: Option<String>,
    /// Report what would change and change nothing.
    pub check: bool,
    /// The run is not wanted any more.
    pub cancel: bool,
}

/// One hold, as far as it could be read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HoldRecord {
    /// Why.
    pub reason: Option<String>,
    /// Begin.
    pub since: Option<Timestamp>,
    /// End.
    pub until: Option<Timestamp>,
    /// Ticket that tells more.
    pub ticket: Option<String>,
    /// What it does to the host.
    pub mode: Option<HoldMode>,
}

/// The part of `status` that a row needs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StatusRecord {
    /// The derived phase.
    pub phase: Option<Phase>,
    /// What each source says, by source name.
    pub sources: BTreeMap<String, SourceRecord>,
    /// Addresses and names.
    pub addresses: Vec<AddressRecord>,
    /// The last Ansible run.
    pub ansible: AnsibleRecord,
    /// When the provider launched the machine.
    pub launch_time: Option<Timestamp>,
    /// The four conditions that a row shows.
    pub conditions: ConditionsRecord,
}

/// What one source says of the machine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SourceRecord {
    /// The source's state folded into ours.
    pub state: Option<Phase>,
}

/// One address.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AddressRecord {
    /// What kind of address it is.
    pub type_: Option<AddressType>,
    /// The address or name.
    pub address: Option<String>,
}

/// The last Ansible run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AnsibleRecord {
    /// The request that it answers.
    pub request_id: Option<String>,
    /// How far it is.
    pub state: Option<RunState>,
    /// Begin.
    pub started: Option<Timestamp>,
    /// End.
    pub finished: Option<Timestamp>,
    /// Tasks that were fine.
    pub ok: Option<i32>,
    /// Tasks that changed something.
    pub changed: Option<i32>,
    /// Tasks that failed.
    pub failed: Option<i32>,
    /// The task that runs, or at which the run ended.
    pub task: Option<String>,
    /// Why the run waits, was refused, or ended as it did.
    pub message: Option<String>,
}

/// The conditions that a row shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConditionsRecord {
    /// `Ready`.
    pub ready: Option<ConditionRecord>,
    /// `Seen`.
    pub seen: Option<ConditionRecord>,
    /// `ProviderHealthy`.
    pub provider_healthy: Option<ConditionRecord>,
    /// `AgentReady`.
    pub agent_ready: Option<ConditionRecord>,
}

/// One condition.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConditionRecord {
    /// `True` or `False`; none for `Unknown` and any other word.
    pub status: Option<bool>,
    /// Why, as one word.
    pub reason: Option<String>,
    /// When the status last changed.
    pub since: Option<Timestamp>,
}

impl HostRecord {
    /// Identity of the host. An object without a uid (no API server makes one) is known by its
    /// namespace and name; none when it has no name either.
    pub fn uid(&self) -> Option<Uid> {
        let metadata = &self.metadata;
        if let Some(uid) = metadata.uid.as_deref().filter(|uid| !uid.is_empty()) {
            return Some(Uid::on(self.server, text::clean(uid)));
        }
        let name = metadata.name.as_deref().filter(|name| !name.is_empty())?;
        let namespace = metadata.namespace.as_deref().unwrap_or_default();
        Some(Uid::on(self.server, text::clean(&format!("{namespace}/{name}"))))
    }
}

impl Resource for HostRecord {
    type DynamicType = ();
    type Scope = k8s_openapi::NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "Host".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        GROUP.into()
    }

    fn version((): &()) -> Cow<'_, str> {
        VERSION.into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "hosts".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// `metadata` as it is read, before it becomes an [`ObjectMeta`].
#[derive(Default)]
struct MetaRecord {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    created: Option<Timestamp>,
    deleted: Option<Timestamp>,
    labels: BTreeMap<String, Option<String>>,
    annotations: Annotations,
    managers: Managers,
}

/// Of the managed fields, who wrote last.
#[derive(Default)]
struct Managers(Option<String>);

/// One entry of the managed fields, as it is read.
#[derive(Default)]
struct ManagerRecord {
    manager: Option<String>,
    time: Option<Timestamp>,
}

/// The one annotation that a row needs.
#[derive(Default)]
struct Annotations {
    display_name: Option<String>,
}

/// The whole object as it is read.
#[derive(Default)]
struct Whole {
    metadata: MetaRecord,
    spec: SpecRecord,
    status: StatusRecord,
}

/// A condition as it is read.
#[derive(Default)]
struct RawCondition {
    type_: Option<String>,
    status: Option<String>,
    reason: Option<String>,
    since: Option<Timestamp>,
}

loose_object!(Whole { "metadata" => metadata, "spec" => spec, "status" => status });
loose_object!(MetaRecord {
    "name" => name,
    "namespace" => namespace,
    "uid" => uid,
    "resourceVersion" => resource_version,
    "creationTimestamp" => created,
    "deletionTimestamp" => deleted,
    "labels" => labels,
    "annotations" => annotations,
    "managedFields" => managers,
});
loose_object!(ManagerRecord { "manager" => manager, "time" => time });
loose_object!(Annotations { "inventory.inv-tui.dev/display-name" => display_name });
loose_object!(SpecRecord {
    "providerID" => provider_id,
    "cluster" => cluster,
    "role" => role,
    "team" => team,
    "environment" => environment,
    "serviceState" => service_state,
    "maintenance" => maintenance,
    "ansible" => ansible,
});
loose_object!(RequestRecord {
    "requestID" => request_id,
    "playbook" => playbook,
    "requestedBy" => requested_by,
    "check" => check,
    "cancel" => cancel,
});
loose_object!(HoldRecord {
    "reason" => reason,
    "since" => since,
    "until" => until,
    "ticket" => ticket,
    "mode" => mode,
});
loose_object!(StatusRecord {
    "phase" => phase,
    "sources" => sources,
    "addresses" => addresses,
    "ansible" => ansible,
    "launchTime" => launch_time,
    "conditions" => conditions,
});
loose_object!(SourceRecord { "state" => state });
loose_object!(AddressRecord { "type" => type_, "address" => address });
loose_object!(AnsibleRecord {
    "requestID" => request_id,
    "state" => state,
    "startedAt" => started,
    "finishedAt" => finished,
    "ok" => ok,
    "changed" => changed,
    "failed" => failed,
    "task" => task,
    "message" => message,
});
loose_object!(RawCondition {
    "type" => type_,
    "status" => status,
    "reason" => reason,
    "lastTransitionTime" => since,
});

impl Loose for ConditionsRecord {
    const WANT: &'static str = "a list";

    fn from_list<'de, A: serde::de::SeqAccess<'de>>(
        list: A,
        problem: &mut Problem,
    ) -> Result<Self, A::Error> {
        let mut out = Self::default();
        for raw in Vec::<RawCondition>::from_list(list, problem)? {
            let slot = match raw.type_.as_deref() {
                Some(condition::READY) => &mut out.ready,
                Some(condition::SEEN) => &mut out.seen,
                Some(condition::PROVIDER_HEALTHY) => &mut out.provider_healthy,
                Some(condition::AGENT_READY) => &mut out.agent_ready,
                _ => continue,
            };
            *slot = Some(ConditionRecord {
                status: to_status(raw.status.as_deref()),
                reason: raw.reason,
                since: raw.since,
            });
        }
        Ok(out)
    }
}

impl Loose for Managers {
    const WANT: &'static str = "a list";

    fn from_list<'de, A: serde::de::SeqAccess<'de>>(
        list: A,
        problem: &mut Problem,
    ) -> Result<Self, A::Error> {
        // Nobody's row is worse for an entry of the server's own that is odd.
        let _ = problem;
        let entries = Vec::<ManagerRecord>::from_list(list, &mut Problem::default())?;
        let newest = entries.into_iter().max_by_key(|entry| entry.time);
        Ok(Self(newest.and_then(|entry| entry.manager)))
    }
}

fn to_status(word: Option<&str>) -> Option<bool> {
    match word {
        Some(condition::TRUE) => Some(true),
        Some(condition::FALSE) => Some(false),
        _ => None,
    }
}

impl<'de> Deserialize<'de> for HostRecord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut problem = Problem::default();
        let whole: Whole = loose::read(deserializer, &mut problem)?;
        let meta = whole.metadata;
        let labels: BTreeMap<String, String> = meta
            .labels
            .into_iter()
            .filter_map(|(key, value)| value.map(|value| (key, value)))
            .collect();
        let annotations = meta
            .annotations
            .display_name
            .map(|name| BTreeMap::from([(labels::DISPLAY_NAME.to_owned(), name)]));
        Ok(Self {
            server: ServerId::FIRST,
            metadata: ObjectMeta {
                name: meta.name,
                namespace: meta.namespace,
                uid: meta.uid,
                resource_version: meta.resource_version,
                creation_timestamp: meta.created.map(Time),
                deletion_timestamp: meta.deleted.map(Time),
                labels: (!labels.is_empty()).then_some(labels),
                annotations,
                ..ObjectMeta::default()
            },
            spec: whole.spec,
            status: whole.status,
            writer: meta.managers.0,
            problem: problem.into_message(),
        })
    }
}

impl From<&AnsibleRequest> for RequestRecord {
    fn from(request: &AnsibleRequest) -> Self {
        Self {
            request_id: Some(request.request_id.clone()),
            playbook: Some(request.playbook.clone()),
            requested_by: request.requested_by.clone(),
            check: request.check,
            cancel: request.cancel,
        }
    }
}

impl From<&AnsibleStatus> for AnsibleRecord {
    fn from(run: &AnsibleStatus) -> Self {
        Self {
            request_id: Some(run.request_id.clone()),
            state: Some(run.state),
            started: run.started_at.as_ref().map(|time| time.0),
            finished: run.finished_at.as_ref().map(|time| time.0),
            ok: run.ok,
            changed: run.changed,
            failed: run.failed,
            task: run.task.clone(),
            message: run.message.clone(),
        }
    }
}

/// The record of a whole Host, as a write answers it.
impl From<&Host> for HostRecord {
    fn from(host: &Host) -> Self {
        let find = |type_| {
            let condition = condition::find(&host.status.as_ref()?.conditions, type_)?;
            Some(ConditionRecord {
                status: to_status(Some(&condition.status)),
                reason: Some(condition.reason.clone()),
                since: Some(condition.last_transition_time.0),
            })
        };
        let holds = host.spec.maintenance.iter().map(|(holder, hold)| {
            let record = HoldRecord {
                reason: Some(hold.reason.clone()),
                since: Some(hold.since.0),
                until: Some(hold.until.0),
                ticket: hold.ticket.clone(),
                mode: Some(hold.mode),
            };
            (holder.clone(), record)
        });
        let display = host.metadata.annotations.as_ref().and_then(|annotations| {
            let name = annotations.get(labels::DISPLAY_NAME)?;
            Some(BTreeMap::from([(labels::DISPLAY_NAME.to_owned(), name.clone())]))
        });
        let metadata = ObjectMeta {
            name: host.metadata.name.clone(),
            namespace: host.metadata.namespace.clone(),
            uid: host.metadata.uid.clone(),
            resource_version: host.metadata.resource_version.clone(),
            creation_timestamp: host.metadata.creation_timestamp.clone(),
            deletion_timestamp: host.metadata.deletion_timestamp.clone(),
            labels: host.metadata.labels.clone().filter(|labels| !labels.is_empty()),
            annotations: display,
            ..ObjectMeta::default()
        };
        let status = host.status.as_ref().map_or_else(StatusRecord::default, |status| {
            let sources = status.sources.iter();
            let addresses = status.addresses.iter();
            StatusRecord {
                phase: status.phase,
                sources: sources
                    .map(|(name, facts)| (name.clone(), SourceRecord { state: Some(facts.state) }))
                    .collect(),
                addresses: addresses
                    .map(|address| AddressRecord {
                        type_: Some(address.type_),
                        address: Some(address.address.clone()),
                    })
                    .collect(),
                ansible: status.ansible.as_ref().map(AnsibleRecord::from).unwrap_or_default(),
                launch_time: status.launch_time.as_ref().map(|time| time.0),
                conditions: ConditionsRecord {
                    ready: find(condition::READY),
                    seen: find(condition::SEEN),
                    provider_healthy: find(condition::PROVIDER_HEALTHY),
                    agent_ready: find(condition::AGENT_READY),
                },
            }
        });
        Self {
            server: ServerId::FIRST,
            metadata,
            spec: SpecRecord {
                provider_id: host.spec.provider_id.clone(),
                cluster: host.spec.cluster.clone(),
                role: host.spec.role.clone(),
                team: host.spec.team.clone(),
                environment: host.spec.environment.clone(),
                service_state: host.spec.service_state,
                maintenance: holds.collect(),
                ansible: host.spec.ansible.as_ref().map(|request| Box::new(request.into())),
            },
            status,
            writer: host.metadata.managed_fields.as_ref().and_then(|entries| {
                let time = |entry: &&ManagedFieldsEntry| entry.time.as_ref().map(|time| time.0);
                entries.iter().max_by_key(time)?.manager.clone()
            }),
            problem: None,
        }
    }
}

#[cfg(test)]
mod tests;
