//! Where the hosts of the demo come from: a Source for each provider, whose last pass is written as
//! its fetcher would. One of them answered with half of its hosts, and is not believed.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::ResourceExt;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::json;

use super::write::create;
use super::write::persist;
use super::{Demo, now};
use crate::error::{Result, chain};
use crate::model::condition::{BREAKER_OPEN, HEALTHY, condition, find};
use crate::model::host::Host;
use crate::model::source::{ScopeStatus, Source, SourceStatus};
use crate::model::{labels, sample};
use crate::store::client::{explain, fetch_manager};

/// Time between two passes, as the Sources say.
const EVERY: Duration = Duration::from_mins(5);
/// The source whose last listing lacked half of its hosts.
const UNBELIEVED: &str = "ibm";
/// Hosts of a page.
const PAGE: u32 = 500;

/// Hosts by source and region.
type Counts = BTreeMap<(String, String), usize>;

fn api(demo: &Demo) -> Api<Source> {
    Api::namespaced(demo.client.clone(), &demo.namespace)
}

/// The Sources, which have not passed yet.
pub(super) async fn install(demo: &Demo) -> Result<()> {
    for source in sample::sources() {
        create(&api(demo), &source, &fetch_manager(&source.name_any())).await?;
    }
    Ok(())
}

/// One pass over each of them.
pub(super) async fn pass(demo: &Demo) -> Result<()> {
    let (api, counts) = (api(demo), count(demo).await?);
    for source in sample::sources() {
        let name = source.name_any();
        let live = persist(|| api.get(&name)).await.map_err(|cause| {
            explain(format!("cannot read source \"{name}\""), "get sources", cause)
        })?;
        let status = Patch::Merge(json!({"status": status(&live, &counts, now())}));
        let manager = Some(fetch_manager(&name));
        let params = PatchParams { field_manager: manager, ..PatchParams::default() };
        persist(|| api.patch_status(&name, &params, &status)).await.map_err(|cause| {
            let what = format!("cannot write the status of source \"{name}\"");
            explain(what, "patch sources/status", cause)
        })?;
    }
    Ok(())
}

/// Passes until it is dropped. The first one was that of the filling.
pub(super) async fn run(demo: &Demo) -> Infallible {
    loop {
        tokio::time::sleep(EVERY).await;
        if let Err(error) = pass(demo).await {
            tracing::warn!(error = %chain(&error), "the demo's sources have not passed");
        }
    }
}

async fn count(demo: &Demo) -> Result<Counts> {
    let hosts: Api<Host> = Api::namespaced(demo.client.clone(), &demo.namespace);
    let (mut counts, mut params) = (Counts::new(), ListParams::default().limit(PAGE));
    loop {
        let page = persist(|| hosts.list_metadata(&params))
            .await
            .map_err(|cause| explain("cannot count the hosts", "list hosts", cause))?;
        for host in &page.items {
            let label = |key| host.labels().get(key).cloned().unwrap_or_default();
            *counts.entry((label(labels::SOURCE), label(labels::REGION))).or_default() += 1;
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(counts),
        }
    }
}

/// What the pass that has just ended came to.
fn status(live: &Source, counts: &Counts, now: Timestamp) -> SourceStatus {
    let name = live.name_any();
    let percent = live.spec.breaker.clone().unwrap_or_default().max_gone_percent;
    let percent = usize::try_from(percent).unwrap_or_default();
    let mut open = Vec::new();
    let scope = |region: &String| {
        let known = counts.get(&(name.clone(), region.clone())).copied().unwrap_or_default();
        let seen = if name == UNBELIEVED { known / 2 } else { known };
        let (lost, limit) = (known - seen, known * percent / 100);
        let error = (lost > limit).then(|| {
            format!("{lost} of {known} hosts would be lost, at most {limit} are believed")
        });
        open.extend(error.as_ref().map(|error| format!("{region}: {error}")));
        ScopeStatus {
            name: region.clone(),
            last_complete: Some(Time(now)),
            duration_millis: i64::try_from(180 + known * 7).ok(),
            seen: i32::try_from(seen).unwrap_or(i32::MAX),
            error,
            ..ScopeStatus::default()
        }
    };
    let scopes: Vec<ScopeStatus> = live.spec.scopes.iter().map(scope).collect();
    let old = live.status.as_ref().map_or(&[][..], |status| &status.conditions);
    // What holds already has held for a while.
    let since = now.saturating_sub(SignedDuration::from_mins(23)).unwrap_or(now);
    let said = |type_: &str, status, reason: &str, message: &str| -> Condition {
        condition(find(old, type_), type_, status, reason, message, since)
    };
    let open = open.join("; ");
    let conditions = if open.is_empty() {
        vec![
            said(BREAKER_OPEN, false, "Closed", ""),
            said(HEALTHY, true, "Complete", "every scope was read and written"),
        ]
    } else {
        vec![
            said(BREAKER_OPEN, true, "TooManyLost", &open),
            said(HEALTHY, false, "Incomplete", &open),
        ]
    };
    SourceStatus {
        last_pass: Some(Time(now)),
        duration_millis: scopes.iter().filter_map(|scope| scope.duration_millis).max(),
        seen: Some(scopes.iter().map(|scope| scope.seen).sum()),
        created: Some(0),
        changed: Some(0),
        gone: Some(0),
        errors: Some(0),
        missing: Some(0),
        scopes,
        conditions,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::source::State;

    #[test]
    fn one_is_not_believed_and_nothing_is_called_gone() {
        let at: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        for hosts in [60, 1_000] {
            let mut counts = Counts::new();
            for host in sample::fleet(hosts, at) {
                let label = |key| host.labels()[key].clone();
                *counts.entry((label(labels::SOURCE), label(labels::REGION))).or_default() += 1;
            }
            let mut states = Vec::new();
            for mut source in sample::sources() {
                assert_eq!(source.interval_seconds(), i64::try_from(EVERY.as_secs()).ok());
                source.status = Some(status(&source, &counts, at));
                let said = source.status.clone().unwrap();
                assert_eq!((said.missing, said.gone), (Some(0), Some(0)));
                assert!(said.seen > Some(0), "{said:?}");
                states.push((source.name_any(), source.state(at)));
                // The next pass says since when it holds.
                let next = status(&source, &counts, at + SignedDuration::from_mins(5));
                assert_eq!(next.conditions, said.conditions);
            }
            let wanted = [
                ("aws", State::Healthy),
                (UNBELIEVED, State::BreakerOpen),
                ("netbox", State::Healthy),
            ];
            assert_eq!(states, wanted.map(|(name, state)| (name.to_owned(), state)), "{hosts}");
        }
    }
}
