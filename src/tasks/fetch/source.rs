//! The Source object of the fetcher: made if it is missing, its status written once a pass.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use super::report::{ScopeReport, shorten};
use crate::error::{Error, Result};
use crate::model::condition::{BREAKER_OPEN, HEALTHY, condition, find};
use crate::model::source::{ScopeStatus, Source, SourceType};
use crate::model::{GROUP, VERSION};
use crate::store::client::{DEADLINE, call};

/// Most scopes that the schema of Source allows.
const MAX_SCOPES: usize = 64;
/// Tries to write the status while others change the object.
const TRIES: u32 = 5;

/// The Source of one fetcher.
pub(super) struct SourceObject {
    api: Api<Source>,
    name: String,
    manager: String,
    source_type: SourceType,
}

impl SourceObject {
    pub(super) fn new(
        api: Api<Source>,
        name: &str,
        manager: &str,
        source_type: SourceType,
    ) -> Self {
        Self { api, name: name.to_owned(), manager: manager.to_owned(), source_type }
    }

    /// Makes the object if it is missing, and checks that it is of our kind. Its spec is for
    /// people: what stands there is not changed.
    pub(super) async fn ensure(&self) -> Result<Source> {
        let name = &self.name;
        let what = format!("cannot read source \"{name}\"");
        let found = call(&what, "get sources", DEADLINE, self.api.get_opt(name)).await?;
        if let Some(source) = found {
            if source.spec.type_ == self.source_type {
                return Ok(source);
            }
            let other = source.spec.type_;
            return Err(Error::usage(format!(
                "source \"{name}\" is of type {other:?}, not {:?}",
                self.source_type
            ))
            .hint("name another one with --source"));
        }
        let body = json!({
            "apiVersion": format!("{GROUP}/{VERSION}"),
            "kind": "Source",
            "metadata": {"name": name},
            "spec": {"type": self.source_type},
        });
        let what = format!("cannot make source \"{name}\"");
        let params = PatchParams::apply(&self.manager);
        call(&what, "patch sources", DEADLINE, self.api.patch(name, &params, &Patch::Apply(&body)))
            .await
    }

    /// Writes what came of a pass. Scopes of other passes, of this process or another one, stay.
    pub(super) async fn write(&self, reports: &[ScopeReport], now: Timestamp) -> Result<()> {
        let what = format!("cannot write the status of source \"{}\"", self.name);
        let mut last = None;
        for _ in 0..TRIES {
            let live = self.ensure().await?;
            let body = Patch::Apply(self.status(&live, reports, now));
            let params = PatchParams::apply(&self.manager).force();
            let request = self.api.patch_status(&self.name, &params, &body);
            match tokio::time::timeout(DEADLINE, request).await {
                Ok(Err(kube::Error::Api(status)))
                    if status.is_conflict() || status.is_not_found() =>
                {
                    last = Some(status.message.clone());
                }
                Ok(answer) => {
                    return answer.map(drop).map_err(|e| {
                        crate::store::client::explain(&*what, "patch sources/status", e)
                    });
                }
                Err(_) => last = Some(format!("no answer after {} s", DEADLINE.as_secs())),
            }
        }
        Err(Error::new(what).because(last.unwrap_or_default()))
    }

    fn status(&self, live: &Source, reports: &[ScopeReport], now: Timestamp) -> serde_json::Value {
        let old = live.status.clone().unwrap_or_default();
        let mut scopes: BTreeMap<String, ScopeStatus> =
            old.scopes.into_iter().map(|scope| (scope.name.clone(), scope)).collect();
        for report in reports {
            let before = scopes.get(&report.name);
            scopes.insert(report.name.clone(), scope_status(report, before, now));
        }
        let ours = |name: &String| reports.iter().any(|report| report.name == *name);
        while scopes.len() > MAX_SCOPES {
            let Some(name) =
                scopes.keys().find(|name| !ours(name)).or_else(|| scopes.keys().last()).cloned()
            else {
                break;
            };
            scopes.remove(&name);
        }
        let of_pass = |scope: &&ScopeStatus| reports.iter().any(|r| r.name == scope.name);
        let seen: i32 = scopes.values().filter(of_pass).map(|scope| scope.seen).sum();
        let sum = |pick: fn(&ScopeReport) -> usize| number(reports.iter().map(pick).sum());
        json!({
            "apiVersion": format!("{GROUP}/{VERSION}"),
            "kind": "Source",
            "metadata": {"name": self.name, "resourceVersion": live.resource_version()},
            "status": {
                "lastPass": Time(now),
                "seen": seen,
                "missing": sum(|r| r.missing_now),
                "scopes": scopes.into_values().collect::<Vec<_>>(),
                "conditions": conditions(&old.conditions, reports, now),
            },
        })
    }
}

fn scope_status(
    report: &ScopeReport,
    before: Option<&ScopeStatus>,
    now: Timestamp,
) -> ScopeStatus {
    let last_complete = before.and_then(|scope| scope.last_complete.clone());
    ScopeStatus {
        name: report.name.clone(),
        last_complete: if report.complete { Some(Time(now)) } else { last_complete },
        duration_millis: i64::try_from(report.duration.as_millis()).ok(),
        // a pass over changes sees few hosts; how many there are is known from the last full one
        seen: before.filter(|_| report.partial).map_or_else(|| number(report.seen), |s| s.seen),
        created: number(report.created),
        changed: number(report.changed),
        missing: number(report.missing_now),
        failed: number(report.failures.count()),
        error: report.trouble(),
    }
}

fn conditions(old: &[Condition], reports: &[ScopeReport], now: Timestamp) -> Vec<Condition> {
    let bad: Vec<&ScopeReport> = reports.iter().filter(|report| !report.is_fine()).collect();
    let texts = |all: Vec<String>| shorten(&all.join("; "), 4096);
    let trouble = |r: &&ScopeReport| format!("{}: {}", r.name, r.trouble().unwrap_or_default());
    let healthy = if bad.is_empty() {
        condition(
            find(old, HEALTHY),
            HEALTHY,
            true,
            "Complete",
            "every scope was read and written",
            now,
        )
    } else {
        let message = texts(bad.iter().map(trouble).collect());
        condition(find(old, HEALTHY), HEALTHY, false, "Incomplete", &message, now)
    };
    let open: Vec<String> = reports
        .iter()
        .filter_map(|r| Some(format!("{}: {}", r.name, r.breaker.as_ref()?)))
        .collect();
    let breaker = if open.is_empty() {
        condition(find(old, BREAKER_OPEN), BREAKER_OPEN, false, "Closed", "", now)
    } else {
        condition(find(old, BREAKER_OPEN), BREAKER_OPEN, true, "TooManyLost", &texts(open), now)
    };
    vec![breaker, healthy]
}

fn number(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
