//! The Source object of the fetcher: made if it is missing, its status written once a pass.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, FieldsV1, Time};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use super::PassReport;
use super::report::{ScopeReport, shorten};
use crate::error::{Error, Result, chain};
use crate::model::condition::{BREAKER_OPEN, HEALTHY, condition, find};
use crate::model::source::state::NOT_READ;
use crate::model::source::{ScopeStatus, Source, SourceType};
use crate::model::{GROUP, VERSION, duration};
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
    /// Time between two passes; none: there is one pass only.
    interval: Option<String>,
}

impl SourceObject {
    pub(super) fn new(
        api: Api<Source>,
        name: &str,
        manager: &str,
        source_type: SourceType,
        interval: Option<Duration>,
    ) -> Self {
        let interval = interval.filter(|length| length.as_secs() > 0).map(duration::exact);
        Self { api, name: name.to_owned(), manager: manager.to_owned(), source_type, interval }
    }

    /// The object, if it is there. Checks that it is of our kind.
    pub(super) async fn check(&self) -> Result<Option<Source>> {
        let name = &self.name;
        let what = format!("cannot read source \"{name}\"");
        let found = call(&what, "get sources", DEADLINE, self.api.get_opt(name)).await?;
        if let Some(source) = found {
            if source.spec.type_ == self.source_type {
                return Ok(Some(source));
            }
            let other = source.spec.type_;
            return Err(Error::usage(format!(
                "source \"{name}\" is of type {other:?}, not {:?}",
                self.source_type
            ))
            .hint("name another one with --source"));
        }
        Ok(None)
    }

    /// Makes the object if it is missing, and checks that it is of our kind. Its spec is for
    /// people: what they state there is not changed. The interval is said where nobody else says
    /// it, so that whoever looks can tell when a pass is overdue.
    pub(super) async fn ensure(&self) -> Result<Source> {
        match self.check().await? {
            Some(source) if self.may_say_interval(&source) => {
                self.apply("cannot write the interval of").await
            }
            Some(source) => Ok(source),
            None => self.apply("cannot make").await,
        }
    }

    /// Whether another interval than ours stands there, and it is not somebody else's word.
    fn may_say_interval(&self, source: &Source) -> bool {
        if self.interval.is_none() || source.spec.interval == self.interval {
            return false;
        }
        let entries = source.metadata.managed_fields.iter().flatten();
        let mut others = entries.filter(|entry| entry.manager.as_ref() != Some(&self.manager));
        let has = |fields: &FieldsV1| fields.0.pointer("/f:spec/f:interval").is_some();
        !others.any(|entry| entry.fields_v1.as_ref().is_some_and(has))
    }

    /// Writes all that is ours of the spec.
    async fn apply(&self, what: &str) -> Result<Source> {
        let spec = match &self.interval {
            Some(interval) => json!({"type": self.source_type, "interval": interval}),
            None => json!({"type": self.source_type}),
        };
        let name = &self.name;
        let body = json!({
            "apiVersion": format!("{GROUP}/{VERSION}"),
            "kind": "Source",
            "metadata": {"name": name},
            "spec": spec,
        });
        let what = format!("{what} source \"{name}\"");
        let params = PatchParams::apply(&self.manager);
        call(&what, "patch sources", DEADLINE, self.api.patch(name, &params, &Patch::Apply(&body)))
            .await
    }

    /// Writes what came of a pass. Scopes of other passes, of this process or another one, stay.
    pub(super) async fn write(&self, report: &PassReport, now: Timestamp) -> Result<()> {
        let what = format!("cannot write the status of source \"{}\"", self.name);
        let mut last = None;
        for _ in 0..TRIES {
            let live = self.ensure().await?;
            let body = Patch::Apply(self.status(&live, report, now));
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

    fn status(&self, live: &Source, pass: &PassReport, now: Timestamp) -> serde_json::Value {
        let reports = pass.scopes.as_slice();
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
        // where not even the scopes are known, the last counts stay
        let of_pass = |scope: &&ScopeStatus| {
            pass.problem.is_some() || reports.iter().any(|r| r.name == scope.name)
        };
        let total = |pick: fn(&ScopeStatus) -> i32| -> i32 {
            scopes.values().filter(of_pass).map(pick).fold(0, i32::saturating_add)
        };
        let sum = |pick: fn(&ScopeReport) -> usize| -> usize { reports.iter().map(pick).sum() };
        let unread = reports.iter().filter(|r| r.incomplete.is_some() && !r.denied).count();
        let errors = sum(|r| r.failures.count()) + unread + usize::from(pass.problem.is_some());
        json!({
            "apiVersion": format!("{GROUP}/{VERSION}"),
            "kind": "Source",
            "metadata": {"name": self.name, "resourceVersion": live.resource_version()},
            "status": {
                "lastPass": Time(now),
                "durationMillis": i64::try_from(pass.duration.as_millis()).unwrap_or(i64::MAX),
                "seen": total(|scope| scope.seen),
                "created": number(sum(|r| r.created)),
                "changed": number(sum(|r| r.changed)),
                "missing": total(|scope| scope.missing),
                "gone": total(|scope| scope.gone),
                "errors": number(errors),
                "scopes": scopes.into_values().collect::<Vec<_>>(),
                "conditions": conditions(&old.conditions, pass, now),
            },
        })
    }
}

fn scope_status(report: &ScopeReport, before: Option<&ScopeStatus>, now: Timestamp) -> ScopeStatus {
    let last_complete = before.and_then(|scope| scope.last_complete.clone());
    ScopeStatus {
        name: report.name.clone(),
        last_complete: if report.complete { Some(Time(now)) } else { last_complete },
        duration_millis: i64::try_from(report.duration.as_millis()).ok(),
        // how many there are is known from the last complete listing
        seen: before.filter(|_| !report.complete).map_or_else(|| number(report.seen), |s| s.seen),
        created: number(report.created),
        changed: number(report.changed),
        missing: number(report.missing_now),
        gone: number(report.gone_now),
        failed: number(report.failures.count()),
        error: report.trouble(),
    }
}

fn conditions(old: &[Condition], pass: &PassReport, now: Timestamp) -> Vec<Condition> {
    let reports = pass.scopes.as_slice();
    let bad: Vec<&ScopeReport> = reports.iter().filter(|report| !report.is_fine()).collect();
    let texts = |all: Vec<String>| shorten(&all.join("; "), 4096);
    let trouble = |r: &&ScopeReport| format!("{}: {}", r.name, r.trouble().unwrap_or_default());
    let healthy = if let Some(problem) = &pass.problem {
        let message = shorten(&chain(problem), 4096);
        condition(find(old, HEALTHY), HEALTHY, false, NOT_READ, &message, now)
    } else if bad.is_empty() {
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
    let breaker = if let (Some(_), Some(before)) = (&pass.problem, find(old, BREAKER_OPEN)) {
        before.clone() // nothing was listed that could open or close it
    } else if open.is_empty() {
        condition(find(old, BREAKER_OPEN), BREAKER_OPEN, false, "Closed", "", now)
    } else {
        condition(find(old, BREAKER_OPEN), BREAKER_OPEN, true, "TooManyLost", &texts(open), now)
    };
    vec![breaker, healthy]
}

fn number(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
