//! One cluster or region: its status is written against the version that it was worked out from.

use std::sync::Arc;

use jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::Value;

use super::host::{self, Hosts};
use super::metrics::Metrics;
use super::table::{Place, Table};
use crate::error::{Error, Result};
use crate::model::budget::{Budget, GRANT_LAPSES, Member};
use crate::model::cluster::{Cluster, ClusterStatus};
use crate::model::condition::{self, BUDGET_BYPASSED};
use crate::model::lifecycle::rollup;
use crate::model::region::Region;
use crate::store::client::{DEADLINE, LIFECYCLE, call, explain};
use crate::store::event::{Events, Kind, about};

/// Grants that are taken back in one write: each is looked at once more before.
const LAPSES: usize = 20;

/// What is to be written of a cluster.
pub(super) struct Plan {
    /// The merge patch; none: nothing.
    pub(super) patch: Option<Value>,
    status: ClusterStatus,
    /// Hosts whose grant has come to nothing.
    lapsed: Vec<String>,
    /// When the clock alone changes something.
    pub(super) due: Option<Timestamp>,
}

/// What is to be written of a cluster with these hosts.
pub(super) fn plan(cluster: &Cluster, table: &Table, now: Timestamp) -> Plan {
    let place = Place::Cluster(cluster.name_any().into());
    let members = table.members(&place);
    let mut budget = Budget::of(cluster, &members, now);
    let old = cluster.status.as_ref();
    let mut lapsed = Vec::new();
    for (name, at) in old.iter().flat_map(|status| &status.disrupted) {
        if budget.granted.contains_key(name) {
            continue;
        }
        if lapsed.len() < LAPSES {
            lapsed.push(name.clone());
        } else {
            budget.granted.insert(name.clone(), at.0); // in the next write
        }
    }
    let version = cluster.spec.os.as_ref().and_then(|os| os.desired.as_deref());
    let updated = version.map(|version| table.running(&place, version));
    let counts = table.counts(&place);
    let status = rollup::cluster_status(cluster, counts, updated, &budget, now);
    let patch = rollup::status_patch(old, &status, cluster.metadata.resource_version.as_deref());
    let ends = budget.granted.values().filter_map(|at| at.saturating_add(GRANT_LAPSES).ok());
    let due = ends.filter(|at| *at > now).min();
    Plan { patch, status, lapsed, due }
}

/// What came of a write.
pub(super) enum Written {
    Cluster(Box<Cluster>),
    Region(Box<Region>),
    /// What we know of this host is not what stands there; it is to be looked at first.
    Stale(String),
    Gone,
}

/// Writes what is to be written about clusters and regions.
pub(super) struct Places {
    clusters: Api<Cluster>,
    regions: Api<Region>,
    hosts: Arc<Hosts>,
    events: Events,
    metrics: Metrics,
}

impl Places {
    pub(super) fn new(
        client: Client,
        namespace: &str,
        hosts: Arc<Hosts>,
        events: Events,
        metrics: Metrics,
    ) -> Self {
        let clusters = Api::namespaced(client.clone(), namespace);
        Self { clusters, regions: Api::all(client), hosts, events, metrics }
    }

    /// Writes the status of a cluster. Somebody who was faster: gives the cluster as it is now.
    ///
    /// # Errors
    /// What the server said.
    pub(super) async fn cluster(&self, cluster: &Cluster, plan: Plan) -> Result<Written> {
        let name = cluster.name_any();
        for host in plan.lapsed {
            // A grant is taken back by what stands there, not by what the watch has told so far.
            if let Some(stored) = self.hosts.get(&host).await?
                && Member::of(&host::read(&stored)?, super::now()).held
            {
                return Ok(Written::Stale(host));
            }
        }
        let Some(patch) = plan.patch else { return Ok(Written::Gone) };
        let what = format!("cannot write cluster \"{name}\"");
        let params = params();
        let patch = Patch::Merge(patch);
        let answer = within(&what, self.clusters.patch_status(&name, &params, &patch)).await?;
        self.metrics.write("cluster", answer.is_ok());
        match answer {
            Ok(after) => {
                self.bypassed(cluster, &plan.status).await;
                Ok(Written::Cluster(Box::new(after)))
            }
            Err(kube::Error::Api(status)) if status.is_conflict() => {
                let found = call(&what, "get clusters", DEADLINE, self.clusters.get_opt(&name));
                Ok(found.await?.map_or(Written::Gone, |c| Written::Cluster(Box::new(c))))
            }
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(Written::Gone),
            Err(cause) => Err(explain(what, "patch clusters/status", cause)),
        }
    }

    /// Tells when hosts are held that nobody asked the budget for, and when there are others.
    async fn bypassed(&self, before: &Cluster, after: &ClusterStatus) {
        let Some(now) = condition::find(&after.conditions, BUDGET_BYPASSED) else { return };
        let old = before.status.as_ref();
        let old = old.and_then(|status| condition::find(&status.conditions, BUDGET_BYPASSED));
        let told = old.is_some_and(|old| old.message == now.message);
        if now.status == condition::TRUE && !told {
            tracing::warn!(cluster = before.name_any(), "{}", now.message);
            let (about, note) = (about(before), &now.message);
            self.events.tell(&about, Kind::Warning, BUDGET_BYPASSED, "CountHolds", note).await;
        }
    }

    /// Writes the status of a region. Somebody who was faster: gives the region as it is now.
    ///
    /// # Errors
    /// What the server said.
    pub(super) async fn region(&self, name: &str, patch: Value) -> Result<Written> {
        let what = format!("cannot write region \"{name}\"");
        let (params, patch) = (params(), Patch::Merge(patch));
        let answer = within(&what, self.regions.patch_status(name, &params, &patch)).await?;
        self.metrics.write("region", answer.is_ok());
        match answer {
            Ok(after) => Ok(Written::Region(Box::new(after))),
            Err(kube::Error::Api(status)) if status.is_conflict() => {
                let found = call(&what, "get regions", DEADLINE, self.regions.get_opt(name));
                Ok(found.await?.map_or(Written::Gone, |r| Written::Region(Box::new(r))))
            }
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(Written::Gone),
            Err(cause) => Err(explain(what, "patch regions/status", cause)),
        }
    }
}

fn params() -> PatchParams {
    PatchParams { field_manager: Some(LIFECYCLE.to_owned()), ..PatchParams::default() }
}

async fn within<T>(
    what: &str,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<kube::Result<T>> {
    let answer = tokio::time::timeout(DEADLINE, request).await;
    answer.map_err(|_| Error::new(format!("{what}: no answer after {} s", DEADLINE.as_secs())))
}
