//! What the demo begins with.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::{Api, ObjectMeta, Patch, PatchParams};
use serde_json::json;
use tokio::task::JoinSet;

use super::write::{create, persist};
use super::{Demo, heartbeats, sources};
use crate::error::{Error, Result};
use crate::model::host::Host;
use crate::model::{condition, sample};
use crate::store::client::{OPERATOR, explain, fetch_manager};
use crate::store::definitions;

/// Writers that fill the fleet at the same time.
const WRITERS: u32 = 32;
/// How long the definitions may take until they are served.
const SERVED: Duration = Duration::from_mins(1);

/// Definitions, namespace, regions, clusters, sources.
pub(super) async fn install(demo: &Demo) -> Result<()> {
    definitions::apply(&demo.connection(), &demo.namespace, SERVED, |_| {}).await?;
    let regions = Api::all(demo.client.clone());
    for region in sample::regions(&demo.namespace) {
        create(&regions, &region, OPERATOR).await?;
    }
    let clusters = Api::namespaced(demo.client.clone(), &demo.namespace);
    for cluster in sample::clusters(demo.hosts) {
        create(&clusters, &cluster, OPERATOR).await?;
    }
    sources::install(demo).await
}

/// The hosts, several at a time.
pub(super) async fn hosts(demo: &Demo, now: Timestamp) -> Result<()> {
    let api: Api<Host> = Api::namespaced(demo.client.clone(), &demo.namespace);
    let next = Arc::new(AtomicU32::new(0));
    let mut writers: JoinSet<Result<()>> = JoinSet::new();
    for _ in 0..WRITERS.min(demo.hosts) {
        let (demo, api, next) = (demo.clone(), api.clone(), Arc::clone(&next));
        writers.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= demo.hosts {
                    return Ok(());
                }
                let made = sample::host(number, now);
                let silent = is_silent(&made);
                let name = made.name_any();
                host(&api, made).await?;
                let lease = heartbeats::beat(&demo.client, &demo.namespace, &name, silent, now);
                lease.await.map_err(|cause| {
                    explain(format!("cannot make the lease \"{name}\""), "patch leases", cause)
                })?;
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.map_err(|cause| Error::new("cannot fill the demo fleet").because(cause))??;
    }
    Ok(())
}

/// Its agent has fallen silent.
fn is_silent(host: &Host) -> bool {
    let status = host.status.as_ref();
    let said = status.and_then(|s| condition::find(&s.conditions, condition::AGENT_READY));
    said.is_some_and(|said| said.status == condition::FALSE)
}

/// One host with its status, written as its fetcher would.
pub(super) async fn host(api: &Api<Host>, mut host: Host) -> Result<()> {
    let manager = fetcher(&host.name_any());
    let status = host.status.take();
    host.metadata = ObjectMeta {
        name: host.metadata.name,
        labels: host.metadata.labels,
        annotations: host.metadata.annotations,
        ..ObjectMeta::default()
    };
    if !create(api, &host, &manager).await? {
        return Ok(());
    }
    let params = PatchParams { field_manager: Some(manager), ..PatchParams::default() };
    let name = host.name_any();
    let status = Patch::Merge(json!({ "status": status }));
    persist(|| api.patch_status(&name, &params, &status))
        .await
        .map(|_| ())
        .map_err(|cause| explain(format!("cannot make \"{name}\""), "patch hosts/status", cause))
}

/// Field manager of the fetcher that a host of this name comes from.
pub(super) fn fetcher(name: &str) -> String {
    fetch_manager(name.split_once('-').map_or(name, |(provider, _)| provider))
}
