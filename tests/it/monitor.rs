//! `inv-tui --headless monitor`, the built program, with a real Prometheus and a real Alertmanager.

mod prometheus;
mod silences;

use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::support::World;

/// A time so many seconds from now, as the API writes it.
fn at(seconds: i64) -> String {
    let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
    now.checked_add(SignedDuration::from_secs(seconds)).unwrap().to_string()
}

fn hold(reason: &str, to: i64) -> Value {
    json!({"reason": reason, "since": at(0), "until": at(to)})
}

impl World {
    /// Puts a host into maintenance for a holder, or ends that.
    async fn hold(&self, name: &str, holder: &str, hold: Value) {
        self.edit(name, "kubectl-edit", json!({"spec": {"maintenance": {holder: hold}}})).await;
    }

    /// A running host at an address.
    async fn make_target(&self, name: &str, address: &str) {
        self.make_host(name, &format!("{name} of the shop"), "eu-west-1", "shop").await;
        let addresses = json!([{"type": "InternalIP", "address": address}]);
        let params = kube::api::PatchParams::default();
        let status = kube::api::Patch::Merge(json!({"status": {"addresses": addresses}}));
        self.hosts().patch_status(name, &params, &status).await.unwrap();
    }

    /// Writes a file into the folder of the test.
    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The same namespace with the rights of a monitor.
    async fn as_monitor(&self) -> Self {
        self.seen_by("inv:svc:monitor", &["inv:monitors"]).await
    }
}
