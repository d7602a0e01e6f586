//! The heartbeats of the agents: one Lease for each host. One heartbeat lasts for a month, so that a
//! large fleet costs nothing; an agent that falls silent has had its last one long ago.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Client;
use kube::api::{Api, DeleteParams, ObjectMeta, Patch, PatchParams};

use super::write::{persist, within};
use crate::store::client::AGENT;

/// How long one heartbeat lasts, in seconds.
const LASTS: i32 = 30 * 86_400;

/// The agent of a host renews its Lease, or has not done so for long.
pub(super) async fn beat(
    client: &Client,
    namespace: &str,
    host: &str,
    silent: bool,
    now: Timestamp,
) -> kube::Result<()> {
    let api: Api<Lease> = Api::namespaced(client.clone(), namespace);
    let params = PatchParams::apply(AGENT).force();
    let lease = Patch::Apply(lease(namespace, host, silent, now));
    persist(|| api.patch(host, &params, &lease)).await.map(drop)
}

/// The host is given up.
pub(super) async fn end(client: &Client, namespace: &str, host: &str) -> kube::Result<()> {
    let api: Api<Lease> = Api::namespaced(client.clone(), namespace);
    match within(api.delete(host, &DeleteParams::default())).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        gone => gone.map(drop),
    }
}

fn lease(namespace: &str, host: &str, silent: bool, now: Timestamp) -> Lease {
    let ago = SignedDuration::from_secs(if silent { 2 * i64::from(LASTS) } else { 0 });
    Lease {
        metadata: ObjectMeta { name: Some(host.to_owned()), ..ObjectMeta::default() },
        spec: Some(LeaseSpec {
            holder_identity: Some(format!("inv:host:{namespace}:{host}")),
            lease_duration_seconds: Some(LASTS),
            renew_time: Some(MicroTime(now.saturating_sub(ago).unwrap_or(now))),
            ..LeaseSpec::default()
        }),
    }
}
