//! One host as a template sees it.
//!
//! The words are those of the variables for Ansible and of the columns of `get`. Its texts are clean: no
//! control character, no line end, nothing that turns a line around, so that none of them can begin a
//! line of its own. `raw` has the same words with the texts as they stand in the object.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Map, Value as Json, json};

use crate::model::filter::TextField;
use crate::model::host::{AddressType, RunState};
use crate::model::hostvars::{Carried, MAX_DEPTH, address};
use crate::model::intern::Atom;
use crate::model::labels;
use crate::model::row::HostRow;
use crate::model::template::{Value, value_of};
use crate::model::text;

/// The host as of `now`. Nothing in it changes by time alone but the holds.
pub(super) fn of(row: &HostRow, carried: &Carried, order: &[AddressType], now: Timestamp) -> Value {
    let raw = words(row, carried, order, now);
    let mut is_clean = true;
    let clean: BTreeMap<String, Value> = raw
        .iter()
        .map(|(word, value)| {
            let clean = cleaned(value, 0);
            is_clean &= *clean == *value;
            (word.clone(), value_of(&*clean))
        })
        .collect();
    let plain = if is_clean { Value::from(clean.clone()) } else { value_of(raw) };
    let mut all = clean;
    all.insert("raw".to_owned(), plain);
    Value::from(all)
}

fn words(
    row: &HostRow,
    carried: &Carried,
    order: &[AddressType],
    now: Timestamp,
) -> Map<String, Json> {
    let mut words = Map::new();
    let shared = |field| row.group(field).map_or("", Atom::raw);
    for (word, text) in [
        ("name", row.name()),
        ("display", row.display()),
        ("namespace", row.namespace()),
        ("uid", row.uid().as_str()),
        ("provider_id", row.provider_id().unwrap_or_default()),
        ("provider", shared(TextField::Provider)),
        ("region", shared(TextField::Region)),
        ("zone", shared(TextField::Zone)),
        ("cluster", shared(TextField::Cluster)),
        ("role", shared(TextField::Role)),
        ("team", shared(TextField::Team)),
        ("environment", shared(TextField::Environment)),
        ("state", row.phase().as_str()),
        ("phase", row.phase().as_str()),
        ("health", row.health().as_str()),
        ("reason", row.ready_reason()),
        ("run", row.run_state().map_or("", RunState::as_str)),
    ] {
        words.insert(word.to_owned(), text.into());
    }
    let time = |time: Option<Timestamp>| json!(time.map(|time| time.to_string()));
    let texts = |all: &Json| {
        let all = all.as_object().into_iter().flatten().filter(|(_, value)| value.is_string());
        Json::Object(all.map(|(key, value)| (key.clone(), value.clone())).collect())
    };
    let or = |value: &Json, empty: Json| if value.is_null() { empty } else { value.clone() };
    let holds = row.holds().iter().filter(|hold| hold.is_current(now)).map(|hold| {
        json!({
            "holder": hold.holder, "reason": hold.exact.reason, "ticket": hold.exact.ticket,
            "since": hold.since.to_string(), "until": hold.until.to_string(),
        })
    });
    let tags = carried.metadata.annotation(labels::TAGS);
    let tags = tags.and_then(|text| serde_json::from_str::<Map<String, Json>>(text).ok());
    for (word, value) in [
        ("service_state", json!(row.service_state())),
        ("ready", json!(row.ready())),
        ("maintenance", row.in_maintenance().into()),
        ("holds", holds.collect()),
        ("paused", (carried.spec.paused == Json::Bool(true)).into()),
        ("address", address(&carried.status.addresses, order).into()),
        ("addresses", or(&carried.status.addresses, json!([]))),
        ("labels", texts(&carried.metadata.labels)),
        ("annotations", texts(&carried.metadata.annotations)),
        ("tags", Json::Object(tags.unwrap_or_default())),
        ("hardware", or(&carried.status.hardware, json!({}))),
        ("os", or(&carried.status.os, json!({}))),
        ("created", time(row.created())),
        ("launched", time(row.launched())),
        ("changed", time(row.changed())),
    ] {
        words.insert(word.to_owned(), value);
    }
    words
}

/// The value with clean texts and keys, and no deeper than anybody needs; borrowed if it is so.
fn cleaned(value: &Json, depth: usize) -> Cow<'_, Json> {
    match value {
        Json::String(text) => match text::clean(text) {
            Cow::Borrowed(_) => Cow::Borrowed(value),
            Cow::Owned(clean) => Cow::Owned(clean.into()),
        },
        Json::Array(_) | Json::Object(_) if depth >= MAX_DEPTH => Cow::Owned(Json::Null),
        Json::Array(list) => {
            let clean: Vec<_> = list.iter().map(|value| cleaned(value, depth + 1)).collect();
            if clean.iter().all(|value| matches!(value, Cow::Borrowed(_))) {
                return Cow::Borrowed(value);
            }
            Cow::Owned(clean.into_iter().map(Cow::into_owned).collect())
        }
        Json::Object(map) => {
            let clean: Vec<_> = map
                .iter()
                .map(|(key, value)| (text::clean(key), cleaned(value, depth + 1)))
                .collect();
            let same = |(key, value): &(Cow<'_, str>, Cow<'_, Json>)| {
                matches!((key, value), (Cow::Borrowed(_), Cow::Borrowed(_)))
            };
            if clean.iter().all(same) {
                return Cow::Borrowed(value);
            }
            let owned =
                clean.into_iter().map(|(key, value)| (key.into_owned(), value.into_owned()));
            Cow::Owned(Json::Object(owned.collect()))
        }
        _ => Cow::Borrowed(value),
    }
}
