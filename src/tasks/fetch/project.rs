//! What a fetcher wants to stand in a Host: the full set of its fields, for each of the two
//! documents that it applies.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::mapping::Mapping;
use crate::model::condition::{FALSE, POSSIBLE_DUPLICATE, PROVIDER_HEALTHY, SEEN, TRUE};
use crate::model::diff::{Contested, PEOPLE, at, hash_text};
use crate::model::host::{Hardware, Phase, ScheduledEvent, SourceFacts};
use crate::model::identity::{self, MAX_MACS};
use crate::model::labels;
use crate::providers::Observed;
use crate::store::hosts::{Known, ProviderId};

/// Most bytes of the tags annotation.
const MAX_TAGS: usize = 8 * 1024;
/// Key in the tags annotation that says how many tags are left out; no provider allows such a tag.
const LEFT_OUT: &str = "…";

/// How hosts of a source are written.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    /// Name of the source.
    pub(super) source: String,
    /// Name of the provider.
    pub(super) provider: &'static str,
    /// How tags become fields.
    pub(super) mapping: Mapping,
}

/// What is to stand in a Host.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Desired {
    /// Metadata and spec.
    pub(super) main: Value,
    /// Status.
    pub(super) status: Value,
    /// Folded state.
    pub(super) state: Phase,
}

impl Rules {
    /// What is to stand in the Host of `host`. `known` is what stands there: the times of what did
    /// not change come from it, and what others have taken over is left out.
    pub(super) fn desired(
        &self,
        host: &Observed,
        known: Option<&Known>,
        now: Timestamp,
    ) -> Desired {
        let (status, state) = self.status(host, known, now);
        Desired { main: self.main(host, known), status, state }
    }

    fn main(&self, host: &Observed, known: Option<&Known>) -> Value {
        let contested = known.map(|known| &known.contested);
        let guest = known.is_some_and(|known| known.is_guest(host.state));
        let mapped = self.mapping.apply(host);
        let mut spec = Map::new();
        let mut labels: BTreeMap<&str, String> = BTreeMap::new();
        let taken = |key: &str| contested.is_some_and(|c| c.label(key));
        for (key, value) in &mapped.labels {
            if !taken(key) {
                labels.insert(key, value.clone());
            }
        }
        for (field, value) in &mapped.fields {
            // a label never says something else than the field that it mirrors
            if contested.is_some_and(|c| c.spec(field)) {
                continue;
            }
            if let Some(key) = mirror(field).filter(|key| !taken(key)) {
                labels.insert(key, labels::to_label_value(value));
            }
            spec.insert((*field).to_owned(), value.as_str().into());
        }
        // it can be set once, so nothing stands in for one that is not known yet
        if is_in_spec(&host.provider_id, known, guest) {
            spec.insert("providerID".to_owned(), cut(&host.provider_id, 512).into());
        }
        let facts = [
            (labels::REGION, Some(host.region.as_str())),
            (labels::ZONE, host.zone.as_deref()),
            (labels::INSTANCE_TYPE, host.hardware.instance_type.as_deref()),
            (labels::ARCH, host.hardware.arch.as_deref()),
            (labels::OS, host.os.as_deref()),
            (labels::PROVIDER, Some(self.provider)),
            (labels::SOURCE, Some(self.source.as_str())),
            (labels::ACCOUNT, host.account.as_deref()),
        ];
        for (key, value) in facts {
            let left = guest && (OWN.contains(&key) || taken(key));
            if let Some(value) = value.filter(|v| !v.is_empty() && !left) {
                labels.insert(key, labels::to_label_value(value));
            }
        }
        let mut annotations = Map::new();
        let given = host.display_name.as_deref().filter(|_| !mapped.no_display_name);
        if let Some(name) = mapped.display_name.as_deref().or(given) {
            annotations.insert(labels::DISPLAY_NAME.to_owned(), cut(name, 256).into());
        }
        if let Some(tags) = tags(&host.tags) {
            annotations.insert(labels::TAGS.to_owned(), tags.into());
        }
        if let Some(contested) = contested.filter(|_| guest) {
            annotations.retain(|key, _| {
                !contested.other(&["f:metadata", "f:annotations", &format!("f:{key}")])
            });
        }
        json!({"metadata": {"labels": labels, "annotations": annotations}, "spec": spec})
    }

    fn status(&self, host: &Observed, known: Option<&Known>, now: Timestamp) -> (Value, Phase) {
        let guest = known.filter(|known| known.is_guest(host.state)).map(|known| &known.contested);
        let trouble = known.and_then(|known| known.trouble.as_deref());
        let (problem, events): (Option<(&str, &str)>, &[ScheduledEvent]) = match &host.health {
            Some(health) => {
                let problem = health.problem.as_ref().map(|p| (p.reason, p.message.as_str()));
                (problem, &health.events)
            }
            // not asked this time: what was known stays
            None => (
                trouble
                    .and_then(|t| t.problem.as_ref())
                    .map(|(reason, message)| (reason.as_str(), message.as_str())),
                trouble.map_or(&[], |t| &t.events),
            ),
        };
        let state = effective(host.state, events, now);
        let own_place = guest.is_some() || state == Phase::Gone;
        let facts = SourceFacts {
            uid: Some(cut(&host.uid, 256)),
            state,
            raw_state: host.raw_state.as_deref().map(|raw| cut(raw, 64)),
            since: Some(Time(known.filter(|k| k.state == state).map_or(now, |k| k.since))),
            missed: None,
            url: host.url.as_deref().filter(|url| url.len() <= 512).map(str::to_owned),
            provider_id: is_in_facts(&host.provider_id, known, guest.is_some())
                .then(|| cut(&host.provider_id, 512)),
            // the labels are another source's, or soon will be
            region: Some(labels::to_label_value(&host.region))
                .filter(|region| own_place && !region.is_empty()),
            account: host.account.as_deref().filter(|_| own_place).map(labels::to_label_value),
        };
        let (reason, message) = problem.unwrap_or(("NoProblem", ""));
        let mut status = json!({ "sources": {&self.source: facts} });
        let mut set = |key: &str, value: Value| {
            if let Some(map) = status.as_object_mut() {
                map.insert(key.to_owned(), value);
            }
        };
        if guest.is_none() {
            let conditions = [
                condition(
                    PROVIDER_HEALTHY,
                    problem.is_none(),
                    reason,
                    message,
                    known.and_then(|k| k.healthy),
                    now,
                ),
                condition(SEEN, true, "Listed", "", known.and_then(|k| k.seen), now),
            ];
            set("conditions", json!(conditions));
        }
        if !host.addresses.is_empty() {
            let fit = host.addresses.iter().filter(|a| a.address.len() <= 253).take(16);
            set("addresses", json!(fit.collect::<Vec<_>>()));
        }
        let hardware = hardware(&host.hardware, guest);
        if !hardware.is_empty() {
            set("hardware", hardware.into());
        }
        let free = |path: &[&str]| guest.is_none_or(|contested| !contested.other(path));
        if let Some(launched) = host.launch_time.filter(|_| free(&["f:status", "f:launchTime"])) {
            set("launchTime", json!(Time(launched)));
        }
        if !events.is_empty() {
            // a map by id: the last one with an id counts, as it would on the server
            let by_id: BTreeMap<String, ScheduledEvent> = events
                .iter()
                .map(|e| {
                    let id = cut(&e.id, 128);
                    (id.clone(), ScheduledEvent { id, code: cut(&e.code, 64), ..e.clone() })
                })
                .filter(|(id, _)| {
                    let key = format!("k:{}", json!({ "id": id }));
                    free(&["f:status", "f:scheduledEvents", &key])
                })
                .collect();
            set("scheduledEvents", json!(by_id.values().take(8).collect::<Vec<_>>()));
        }
        // Phase is for the lifecycle controller to derive. Until there is one the fetcher writes
        // it; as soon as somebody else owns it, it is contested and left alone for good.
        if !known.is_some_and(|k| k.contested.phase) {
            set("phase", json!(state));
        }
        (json!({ "status": status }), state)
    }

    /// Says in a desired status that other hosts may be the same machine. Only for whose the host is.
    pub(super) fn flag(
        desired: &mut Desired,
        twins: &[String],
        known: Option<&Known>,
        now: Timestamp,
    ) {
        let guest = known.is_some_and(|known| known.is_guest(desired.state));
        let Some(conditions) = desired.status.pointer_mut("/status/conditions") else { return };
        let Some(conditions) = conditions.as_array_mut().filter(|_| !guest && !twins.is_empty())
        else {
            return;
        };
        let before = known.and_then(|known| known.duplicate).map(|since| (true, since));
        let message = twins_named(twins);
        conditions.push(condition(POSSIBLE_DUPLICATE, true, "SameIdentity", &message, before, now));
    }

    /// The status of a host that is missing or gone: what the fetcher owns of it (`owned`, which
    /// has the shape of an apply), with state, count and the condition Seen changed. `scope` is what
    /// was listed without it.
    pub(super) fn lost(
        &self,
        owned: Value,
        known: &Known,
        scope: &str,
        (state, missed): (Phase, i32),
        now: Timestamp,
    ) -> Value {
        let mut status = match owned {
            Value::Object(mut body) => match body.remove("status") {
                Some(Value::Object(status)) => status,
                _ => Map::new(),
            },
            _ => Map::new(),
        };
        let mut sources = take_object(&mut status, "sources");
        let mut facts = take_object(&mut sources, &self.source);
        let since = if known.state == state { known.since } else { now };
        facts.insert("state".to_owned(), json!(state));
        facts.insert("missed".to_owned(), json!(missed.clamp(0, 1000)));
        facts.insert("since".to_owned(), json!(Time(since)));
        // whoever takes the host over may say something else in the labels
        for (key, place) in [("region", &known.scope), ("account", &known.account)] {
            if !place.is_empty() {
                facts.insert(key.to_owned(), json!(**place));
            }
        }
        sources.insert(self.source.clone(), facts.into());
        status.insert("sources".to_owned(), sources.into());
        if known.guest.is_some() {
            // whether it is seen, and its phase, is the other source's to say
            return json!({ "status": status });
        }
        let mut conditions = match status.remove("conditions") {
            Some(Value::Array(all)) => all,
            _ => Vec::new(),
        };
        conditions.retain(|c| at(c, "type") != SEEN);
        let message = format!("a complete listing of {scope} does not have it");
        conditions.push(condition(SEEN, false, "NotListed", &message, known.seen, now));
        status.insert("conditions".to_owned(), conditions.into());
        if !known.contested.phase {
            status.insert("phase".to_owned(), json!(state));
        }
        json!({ "status": status })
    }
}

/// Labels that name whose the host is.
const OWN: [&str; 3] = [labels::PROVIDER, labels::SOURCE, labels::ACCOUNT];

/// Most other hosts that a condition names.
const NAMED: usize = 5;

fn twins_named(twins: &[String]) -> String {
    let named = twins.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = if twins.len() > NAMED { ", and more" } else { "" };
    format!("may be the same machine as {named}{more}")
}

/// Whether the id at the provider stands in `spec.providerID`. That can be set once and never taken
/// back, so it is for whose the host is to set it.
fn is_in_spec(id: &str, known: Option<&Known>, guest: bool) -> bool {
    let free = match known.and_then(|known| known.provider) {
        Some(ProviderId::Ours) => true,
        Some(ProviderId::Others(theirs)) => !guest && theirs == hash_text(&cut(id, 512)),
        None => !guest,
    };
    free && !id.is_empty()
}

/// Whether it stands in what the source says, because another id, or none, stands there.
fn is_in_facts(id: &str, known: Option<&Known>, guest: bool) -> bool {
    let same = Some(ProviderId::Others(hash_text(&cut(id, 512))));
    !id.is_empty() && !is_in_spec(id, known, guest) && known.and_then(|k| k.provider) != same
}

/// What the machine is made of, without what others say of it already. MAC addresses are a set, to
/// which everybody adds.
fn hardware(hardware: &Hardware, guest: Option<&Contested>) -> Map<String, Value> {
    let mut macs: Vec<String> =
        hardware.macs.iter().filter_map(|text| identity::mac(text)).collect();
    macs.sort_unstable();
    macs.dedup();
    macs.truncate(MAX_MACS);
    let Ok(Value::Object(mut fields)) = serde_json::to_value(Hardware { macs, ..hardware.clone() })
    else {
        return Map::new();
    };
    fields.retain(|key, _| {
        let path = ["f:status", "f:hardware", &format!("f:{key}")];
        key == "macs" || guest.is_none_or(|contested| !contested.other(&path))
    });
    fields
}

fn take_object(map: &mut Map<String, Value>, key: &str) -> Map<String, Value> {
    match map.remove(key) {
        Some(Value::Object(inner)) => inner,
        _ => Map::new(),
    }
}

/// A host whose provider works on it now is in the provider's maintenance.
fn effective(state: Phase, events: &[ScheduledEvent], now: Timestamp) -> Phase {
    let due = |event: &ScheduledEvent| {
        event.not_before.as_ref().is_some_and(|begin| begin.0 <= now)
            && event.not_after.as_ref().is_none_or(|end| now < end.0)
    };
    if state == Phase::Running && events.iter().any(due) { Phase::Maintenance } else { state }
}

fn condition(
    type_: &str,
    status: bool,
    reason: &str,
    message: &str,
    before: Option<(bool, Timestamp)>,
    now: Timestamp,
) -> Value {
    let since = before.filter(|(old, _)| *old == status).map_or(now, |(_, since)| since);
    json!({
        "type": type_,
        "status": if status { TRUE } else { FALSE },
        "reason": reason,
        "message": message,
        "lastTransitionTime": Time(since),
    })
}

/// The label that mirrors a field of spec.
fn mirror(field: &str) -> Option<&'static str> {
    const KEYS: [&str; 4] = [labels::CLUSTER, labels::ROLE, labels::TEAM, labels::ENVIRONMENT];
    let at = PEOPLE.iter().position(|name| *name == field)?;
    KEYS.get(at).copied()
}

/// The tags as one JSON object, sorted, at most [`MAX_TAGS`] bytes. If not all fit, the last ones
/// are left out and the key `…` says how many.
fn tags(tags: &BTreeMap<String, String>) -> Option<String> {
    if tags.is_empty() {
        return None;
    }
    let whole = json!(tags).to_string();
    if whole.len() <= MAX_TAGS {
        return Some(whole);
    }
    let mut size = 64; // braces and the note
    let kept: BTreeMap<&str, Value> = tags
        .iter()
        .take_while(|(key, value)| {
            size += json!(key).to_string().len() + json!(value).to_string().len() + 2;
            size <= MAX_TAGS
        })
        .map(|(key, value)| (key.as_str(), json!(value)))
        .collect();
    let note = format!("{} tags left out", tags.len() - kept.len());
    let mut kept = kept;
    kept.insert(LEFT_OUT, json!(note));
    Some(json!(kept).to_string())
}

/// The text, at most `chars` characters of it.
fn cut(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => text.get(..end).unwrap_or_default().to_owned(),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
