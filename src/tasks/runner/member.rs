//! The runners among themselves: each renews a Lease of its own while it lives, so that another one
//! can tell what nobody follows any more.

use std::collections::HashMap;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::error::{Result, chain};
use crate::store::client::{DEADLINE, RUNNER, call};

/// Between two renewals.
const EVERY: Duration = Duration::from_secs(5);
/// How long the Lease says that it lasts, in seconds.
const LASTS: i32 = 20;
/// Longest part of an identity that is the machine's name.
const MACHINE: usize = 36;

/// Who a new runner is: `inv-tui-runner-<machine>-<random>`, a name for a Lease too.
pub(super) fn new_identity() -> String {
    let name = fs_hostname().to_lowercase();
    let legal = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-';
    let name: String = name.trim().chars().filter(legal).take(MACHINE).collect();
    let name = name.trim_matches('-');
    let name = if name.is_empty() { "host" } else { name };
    format!("{RUNNER}-{name}-{:08x}", fastrand::u32(..))
}

fn fs_hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default()
}

/// Whether a text is who a runner is.
pub(super) fn is_identity(text: &str) -> bool {
    let rest = text.strip_prefix(RUNNER).and_then(|rest| rest.strip_prefix('-'));
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    rest.is_some_and(|rest| rest.len() > 8 && rest.len() <= 48 && rest.chars().all(legal))
}

/// Renews our own Lease until `stop`. What fails is logged, and the next renewal comes as usual.
pub(super) async fn live(
    client: Client,
    namespace: String,
    identity: String,
    mut stop: watch::Receiver<bool>,
) {
    let api: Api<Lease> = Api::namespaced(client, &namespace);
    let mut failing = false;
    loop {
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": identity},
            "spec": {
                "holderIdentity": identity,
                "leaseDurationSeconds": LASTS,
                "renewTime": MicroTime(Timestamp::now()),
            },
        });
        let params = PatchParams::apply(RUNNER).force();
        let patch = Patch::Apply(&lease);
        let request = api.patch(&identity, &params, &patch);
        match call("cannot renew our own lease", "patch leases", DEADLINE, request).await {
            Ok(_) => failing = false,
            Err(error) if !failing => {
                tracing::warn!(error = chain(&error), hint = error.next_step(), "not renewed");
                failing = true;
            }
            Err(_) => {}
        }
        let wait = EVERY.mul_f64(fastrand::f64().mul_add(0.2, 0.9));
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// What is known of other runners' Leases. Clocks differ, so it goes by the time since a Lease was
/// last *seen* to change, not by the times in it.
#[derive(Default)]
pub(super) struct Others {
    seen: HashMap<String, (Option<String>, Instant)>,
}

impl Others {
    /// Whether a runner has been gone for `after`, which begins with the first question.
    ///
    /// # Errors
    /// What the server said.
    pub(super) async fn gone(
        &mut self,
        client: &Client,
        namespace: &str,
        identity: &str,
        after: Duration,
    ) -> Result<bool> {
        let api: Api<Lease> = Api::namespaced(client.clone(), namespace);
        let what = format!("cannot read the lease \"{identity}\"");
        let lease = call(&what, "get leases", DEADLINE, api.get_opt(identity)).await?;
        let version = lease.and_then(|lease| lease.metadata.resource_version);
        Ok(self.is_gone(identity, version, after, Instant::now()))
    }

    fn is_gone(
        &mut self,
        identity: &str,
        version: Option<String>,
        after: Duration,
        now: Instant,
    ) -> bool {
        let known = self.seen.get(identity).filter(|(old, _)| *old == version);
        let since = known.map_or(now, |(_, since)| *since);
        self.seen.insert(identity.to_owned(), (version, since));
        now.duration_since(since) >= after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_names_a_lease() {
        let new = new_identity();
        assert!(is_identity(&new) && new.len() <= 63, "{new}");
        assert_ne!(new, new_identity());
        for other in
            ["agent", "", "inv-tui-runner", "inv-tui-runner-x", "inv-tui-runner-A/b-12345678"]
        {
            assert!(!is_identity(other), "{other}");
        }
    }

    #[test]
    fn a_runner_is_gone_when_its_lease_has_not_changed_for_long() {
        let mut others = Others::default();
        let (begin, after) = (Instant::now(), Duration::from_mins(5));
        let at = |seconds| begin + Duration::from_secs(seconds);
        let lease = |version: &str| Some(version.to_owned());
        assert!(!others.is_gone("a", lease("1"), after, at(0)));
        assert!(!others.is_gone("a", lease("1"), after, at(299)));
        assert!(!others.is_gone("a", lease("2"), after, at(300)), "it lives");
        assert!(!others.is_gone("a", lease("2"), after, at(599)));
        assert!(others.is_gone("a", lease("2"), after, at(600)));
        // One whose Lease was deleted may be about to make it again.
        assert!(!others.is_gone("b", None, after, at(0)));
        assert!(others.is_gone("b", None, after, at(300)));
    }
}
