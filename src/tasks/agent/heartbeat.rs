//! The heartbeat: one Lease of the host's name, renewed. It says that the agent lives, and nothing in
//! the Host changes for it.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use tokio::sync::watch;

use super::metrics::Metrics;
use crate::error::chain;
use crate::store::client::{AGENT, Connection, DEADLINE, call};

/// Beats until `stop`. A beat that fails is logged, and the next one comes as usual.
pub(super) async fn beat(
    connection: watch::Receiver<Connection>,
    namespace: String,
    host: String,
    every: Duration,
    metrics: Metrics,
    mut stop: watch::Receiver<bool>,
) {
    let identity = crate::model::csr::host_user(&namespace, &host);
    // Three beats may be lost before anybody calls the agent silent.
    let life = i32::try_from(every.as_secs().saturating_mul(4)).unwrap_or(i32::MAX).max(1);
    let mut failing = false;
    loop {
        let client = connection.borrow().client.clone();
        let api: Api<Lease> = Api::namespaced(client, &namespace);
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": host},
            "spec": {
                "holderIdentity": identity,
                "leaseDurationSeconds": life,
                "renewTime": Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
            },
        });
        let params = PatchParams::apply(AGENT).force();
        let patch = Patch::Apply(&lease);
        let request = api.patch(&host, &params, &patch);
        let sent = call("cannot send a heartbeat", "patch leases", DEADLINE, request).await;
        metrics.heartbeat(sent.is_ok());
        match sent {
            Ok(_) => failing = false,
            Err(error) if !failing => {
                tracing::warn!(error = chain(&error), hint = error.next_step(), "no heartbeat");
                failing = true;
            }
            Err(_) => {}
        }
        // Hosts that were started together do not beat together.
        let wait = every.mul_f64(fastrand::f64().mul_add(0.2, 0.9));
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}
