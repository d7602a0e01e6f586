//! An item of a file as an [`Observed`] host.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Map, Value};

use crate::model::host::{Address, AddressType, Hardware, Phase};
use crate::model::labels;
use crate::providers::{Health, ItemProblem, Observed};

/// The fields that a host may have.
pub(super) const FIELDS: [&str; 29] = [
    "id",
    "name",
    "state",
    "address",
    "public-address",
    "oob-address",
    "hostname",
    "region",
    "zone",
    "account",
    "os",
    "provider-id",
    "arch",
    "cpus",
    "memory-mib",
    "type",
    "vendor",
    "model",
    "serial",
    "asset-tag",
    "uuid",
    "mac",
    "rack",
    "position",
    "cluster",
    "role",
    "team",
    "environment",
    "tags",
];

/// Fields that are handed on as tags, where the mapping of the source finds them.
const AS_TAGS: [&str; 4] = ["cluster", "role", "team", "environment"];

/// Maps one item. `place` says where it stands; `ids` has those that came before.
pub(super) fn observe(
    place: &str,
    item: &Value,
    ids: &mut HashSet<String>,
) -> Result<Observed, ItemProblem> {
    let nameless =
        |why: &str| ItemProblem { name: None, uid: None, what: format!("{place}: {why}") };
    let map = item.as_object().ok_or_else(|| nameless("it is no object"))?;
    let id = text(map, "id").map_err(|why| nameless(&why))?;
    let id = id.ok_or_else(|| nameless("it has no id"))?;
    let name = labels::to_object_name(&id, &id);
    let wrong = |why: String| ItemProblem {
        name: Some(name.clone()),
        uid: None,
        what: format!("{place}, id \"{id}\": {why}"),
    };
    if !ids.insert(name.clone()) {
        return Err(wrong("another host before it has this id".to_owned()));
    }
    if let Some(key) = map.keys().find(|key| !FIELDS.contains(&key.as_str())) {
        return Err(wrong(format!(
            "there is no field \"{key}\"; the fields are {}",
            FIELDS.join(", ")
        )));
    }
    let get = |key: &str| text(map, key).map_err(wrong);
    let raw_state = get("state")?;
    let state = fold(raw_state.as_deref()).ok_or_else(|| {
        wrong("its state is none of running, stopped, planned, pending, gone".to_owned())
    })?;
    Ok(Observed {
        other_name: None,
        provider_id: get("provider-id")?.unwrap_or_default(),
        uid: id.clone(),
        account: get("account")?,
        region: get("region")?.unwrap_or_default(),
        zone: get("zone")?,
        os: get("os")?,
        display_name: get("name")?,
        tags: tags(map).map_err(wrong)?,
        state,
        raw_state,
        url: None,
        addresses: addresses(map).map_err(wrong)?,
        hardware: Hardware {
            arch: get("arch")?,
            cpus: number(map, "cpus").map_err(wrong)?.and_then(|n| i32::try_from(n).ok()),
            memory_mib: number(map, "memory-mib").map_err(wrong)?,
            instance_type: get("type")?,
            vendor: get("vendor")?,
            model: get("model")?,
            serial: get("serial")?,
            asset_tag: get("asset-tag")?,
            uuid: get("uuid")?,
            rack: get("rack")?,
            position: get("position")?,
            macs: words(map, "mac").map_err(wrong)?,
        },
        launch_time: None,
        health: Some(Health::default()),
        name: name.clone(),
    })
}

fn fold(state: Option<&str>) -> Option<Phase> {
    Some(match state.map(str::to_ascii_lowercase).as_deref() {
        None | Some("running" | "active") => Phase::Running,
        Some("stopped" | "offline") => Phase::Stopped,
        Some("planned") => Phase::Planned,
        Some("pending") => Phase::Pending,
        Some("gone" | "decommissioned") => Phase::Gone,
        Some(_) => return None,
    })
}

/// The longest text that the schema of a Host allows for a field.
fn longest(key: &str) -> usize {
    match key {
        "arch" | "position" => 32,
        "type" | "uuid" | "rack" => 64,
        "vendor" | "model" | "serial" | "asset-tag" => 128,
        "provider-id" => 512,
        _ => 256,
    }
}

/// A text, or a number or truth value as one; blanks around it are left out.
fn text(map: &Map<String, Value>, key: &str) -> Result<Option<String>, String> {
    let text = match map.get(key) {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => plain(value).ok_or_else(|| format!("\"{key}\" is no text"))?,
    };
    let text = text.trim();
    if text.chars().count() > longest(key) {
        return Err(format!("\"{key}\" is longer than {} characters", longest(key)));
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

fn number(map: &Map<String, Value>, key: &str) -> Result<Option<i64>, String> {
    let Some(text) = text(map, key)? else { return Ok(None) };
    match text.parse::<i64>() {
        Ok(number) if (0..=i64::from(i32::MAX)).contains(&number) => Ok(Some(number)),
        _ => Err(format!("\"{key}\" is no whole number")),
    }
}

fn tags(map: &Map<String, Value>) -> Result<BTreeMap<String, String>, String> {
    let mut tags = BTreeMap::new();
    match map.get("tags") {
        None | Some(Value::Null) => {}
        Some(Value::Object(all)) => {
            for (key, value) in all {
                let value = plain(value).ok_or_else(|| format!("the tag \"{key}\" is no text"))?;
                tags.insert(key.clone(), value);
            }
        }
        Some(_) => return Err("\"tags\" is no map".to_owned()),
    }
    for key in AS_TAGS {
        if let Some(value) = text(map, key)? {
            tags.insert(key.to_owned(), value);
        }
    }
    Ok(tags)
}

/// A list of texts, or one text with blanks between them.
fn words(map: &Map<String, Value>, key: &str) -> Result<Vec<String>, String> {
    match map.get(key).and_then(Value::as_array) {
        Some(all) => all
            .iter()
            .map(|value| plain(value).ok_or_else(|| format!("\"{key}\" has what is no text")))
            .collect(),
        None => Ok(text(map, key)?
            .map(|text| text.split_whitespace().map(str::to_owned).collect())
            .unwrap_or_default()),
    }
}

fn addresses(map: &Map<String, Value>) -> Result<Vec<Address>, String> {
    let mut found = Vec::new();
    for (key, type_) in [
        ("address", AddressType::InternalIP),
        ("public-address", AddressType::ExternalIP),
        ("oob-address", AddressType::OOB),
        ("hostname", AddressType::Hostname),
    ] {
        for address in words(map, key)? {
            let is_ip = address.parse::<std::net::IpAddr>().is_ok();
            if type_ != AddressType::Hostname && !is_ip {
                return Err(format!("\"{address}\" in \"{key}\" is no address"));
            }
            let address = Address { type_, address };
            if !found.contains(&address) {
                found.push(address);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn map(item: &Value) -> Result<Observed, ItemProblem> {
        observe("host 3", item, &mut HashSet::new())
    }

    #[test]
    fn all_fields() {
        let host = map(&json!({
            "id": "db-01", "name": "Database 1", "state": "Stopped", "address": ["10.0.0.1", "fd00::1"],
            "oob-address": "10.9.0.1", "region": "eu", "zone": "ams1", "cpus": 4, "memory-mib": "8192",
            "serial": 42, "cluster": "shop", "tags": {"tier": 1}, "rack": null,
        }))
        .unwrap();
        assert_eq!((host.name.as_str(), host.state), ("db-01", Phase::Stopped));
        assert_eq!(host.addresses.len(), 3);
        assert_eq!((host.hardware.cpus, host.hardware.memory_mib), (Some(4), Some(8192)));
        assert_eq!(host.hardware.serial.as_deref(), Some("42"));
        assert_eq!((host.tags["cluster"].as_str(), host.tags["tier"].as_str()), ("shop", "1"));
        assert!(host.provider_id.is_empty());
        let odd = map(&json!({"id": "Rack 1/A"})).unwrap();
        assert!(odd.name.starts_with("rack-1-a-"), "{}", odd.name);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        for (item, why, named) in [
            (json!("x"), "host 3: it is no object", false),
            (json!({"name": "x"}), "host 3: it has no id", false),
            (json!({"id": ["x"]}), "\"id\" is no text", false),
            (json!({"id": "a", "adress": "x"}), "no field \"adress\"", true),
            (
                json!({"id": "a", "address": "10.0.0"}),
                "\"10.0.0\" in \"address\" is no address",
                true,
            ),
            (json!({"id": "a", "state": "asleep"}), "none of running", true),
            (json!({"id": "a", "cpus": "many"}), "\"cpus\" is no whole number", true),
            (json!({"id": "a", "tags": []}), "\"tags\" is no map", true),
            (json!({"id": "a", "arch": "x".repeat(33)}), "longer than 32", true),
        ] {
            let problem = map(&item).unwrap_err();
            assert!(problem.what.contains(why), "{}", problem.what);
            assert_eq!(problem.name.is_some(), named, "{item}");
        }
        let mut ids = HashSet::new();
        observe("line 2", &json!({"id": "a"}), &mut ids).unwrap();
        let twice = observe("line 3", &json!({"id": "a"}), &mut ids).unwrap_err();
        assert!(twice.what.contains("another host before it"), "{}", twice.what);
    }
}
