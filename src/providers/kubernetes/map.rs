//! A Machine or a Node as an [`Observed`] host.

use kube::api::DynamicObject;
use serde_json::Value;

use crate::model::host::{Address, AddressType, Hardware, Phase};
use crate::model::labels;
use crate::providers::wire::{Addresses, filled};
use crate::providers::{Health, HealthProblem, ItemProblem, Observed};

/// Label of a machine that runs a control plane.
const CONTROL_PLANE: &str = "cluster.x-k8s.io/control-plane";
/// The same for a node.
const NODE_CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";

/// What a Machine and a Node have in common.
fn common(object: &DynamicObject, prefix: &str) -> Result<Observed, ItemProblem> {
    let meta = &object.metadata;
    let (Some(name), Some(uid)) = (&meta.name, &meta.uid) else {
        let what = "an object without a name or uid".to_owned();
        return Err(ItemProblem { name: None, uid: None, what });
    };
    let path = match &meta.namespace {
        Some(namespace) => format!("{prefix}-{namespace}-{name}"),
        None => format!("{prefix}-{name}"),
    };
    // an object that is made anew under the same name is another machine
    let short: String = uid.chars().take(8).collect();
    Ok(Observed {
        name: labels::to_object_name(&path, &path),
        other_name: Some(labels::to_object_name(&format!("{path}-{short}"), uid)),
        provider_id: word(object, &["spec", "providerID"]).unwrap_or_default(),
        uid: uid.clone(),
        region: label(object, labels::REGION).unwrap_or_default(),
        zone: label(object, labels::ZONE),
        os: label(object, labels::OS),
        display_name: meta.name.clone(),
        // the mapping of the source takes fields from the labels
        tags: meta.labels.clone().unwrap_or_default(),
        addresses: addresses(object),
        hardware: Hardware {
            arch: label(object, labels::ARCH).filter(|arch| arch.len() <= 32),
            instance_type: label(object, labels::INSTANCE_TYPE).filter(|t| t.len() <= 64),
            ..Hardware::default()
        },
        launch_time: meta.creation_timestamp.as_ref().map(|time| time.0),
        ..Observed::default()
    })
}

fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, key| value.get(key))
}

fn word(object: &DynamicObject, path: &[&str]) -> Option<String> {
    filled(at(&object.data, path)?.as_str()).map(str::to_owned)
}

fn label(object: &DynamicObject, key: &str) -> Option<String> {
    object.metadata.labels.as_ref()?.get(key).filter(|value| !value.is_empty()).cloned()
}

fn addresses(object: &DynamicObject) -> Vec<Address> {
    let all = at(&object.data, &["status", "addresses"]).and_then(Value::as_array);
    let mut found = Addresses::default();
    for item in all.into_iter().flatten() {
        let type_ = match item.get("type").and_then(Value::as_str) {
            Some("Hostname") => AddressType::Hostname,
            Some("InternalIP") => AddressType::InternalIP,
            Some("ExternalIP") => AddressType::ExternalIP,
            Some("InternalDNS") => AddressType::InternalDNS,
            Some("ExternalDNS") => AddressType::ExternalDNS,
            _ => continue,
        };
        found.add(type_, item.get("address").and_then(Value::as_str));
    }
    found.all()
}

/// Status and message of a condition.
fn condition<'a>(object: &'a DynamicObject, type_: &str) -> Option<(&'a str, &'a str)> {
    let all = at(&object.data, &["status", "conditions"])?.as_array()?;
    let found = all.iter().find(|c| c.get("type").and_then(Value::as_str) == Some(type_))?;
    let message = found.get("message").and_then(Value::as_str).unwrap_or_default();
    Some((found.get("status")?.as_str()?, message))
}

fn problem(reason: &'static str, words: &str, said: &str) -> HealthProblem {
    let said: String = said.chars().take(1000).collect();
    let message = if said.is_empty() { words.to_owned() } else { format!("{words}: {said}") };
    HealthProblem { reason, message }
}

/// Maps a Machine of Cluster API, `v1beta1` or `v1beta2`.
pub(super) fn machine(object: &DynamicObject, prefix: &str) -> Result<Observed, ItemProblem> {
    let mut host = common(object, prefix)?;
    let phase = word(object, &["status", "phase"]);
    if let Some(cluster) = word(object, &["spec", "clusterName"]) {
        host.tags.insert("cluster".to_owned(), cluster);
    }
    let role = if host.tags.contains_key(CONTROL_PLANE) { "control-plane" } else { "worker" };
    host.tags.entry("role".to_owned()).or_insert_with(|| role.to_owned());
    let unhealthy = condition(object, "NodeHealthy").filter(|(status, _)| *status == "False");
    let trouble = if phase.as_deref() == Some("Failed") {
        let said = word(object, &["status", "failureMessage"]).unwrap_or_default();
        Some(problem("MachineFailed", "the machine has failed", &said))
    } else {
        unhealthy.map(|(_, said)| problem("NodeUnhealthy", "its node is not healthy", said))
    };
    Ok(Observed {
        zone: word(object, &["spec", "failureDomain"]).or(host.zone),
        display_name: word(object, &["status", "nodeRef", "name"]).or(host.display_name),
        state: match phase.as_deref() {
            Some("Pending" | "Provisioning" | "Provisioned") => Phase::Pending,
            Some("Running" | "Updating") => Phase::Running,
            Some("Deleting") => Phase::Decommissioning,
            Some("Deleted") => Phase::Gone,
            _ => Phase::Unknown,
        },
        raw_state: phase,
        health: Some(Health { problem: trouble, events: Vec::new() }),
        ..host
    })
}

/// Maps a Node.
pub(super) fn node(object: &DynamicObject, prefix: &str) -> Result<Observed, ItemProblem> {
    let mut host = common(object, prefix)?;
    if host.tags.contains_key(NODE_CONTROL_PLANE) {
        host.tags.entry("role".to_owned()).or_insert_with(|| "control-plane".to_owned());
    }
    let (status, said) = condition(object, "Ready").unwrap_or(("Unknown", ""));
    let (state, trouble) = match status {
        "True" => (Phase::Running, None),
        "False" => (Phase::Running, Some(problem("NodeNotReady", "its node is not ready", said))),
        _ => (
            Phase::Unreachable,
            Some(problem("NodeUnknown", "its node does not answer its cluster", said)),
        ),
    };
    let info = |key: &str| word(object, &["status", "nodeInfo", key]);
    let capacity =
        |key: &str| at(&object.data, &["status", "capacity", key]).and_then(Value::as_str);
    Ok(Observed {
        os: host.os.or_else(|| info("operatingSystem")),
        state,
        raw_state: Some(format!("Ready={status}")),
        hardware: Hardware {
            arch: info("architecture").filter(|arch| arch.len() <= 32),
            cpus: capacity("cpu").and_then(|text| text.parse().ok()).filter(|n| *n >= 0),
            memory_mib: capacity("memory").and_then(mebibytes),
            uuid: info("systemUUID").filter(|uuid| uuid.len() <= 64),
            ..host.hardware
        },
        health: Some(Health { problem: trouble, events: Vec::new() }),
        ..host
    })
}

/// A quantity of memory as a kubelet writes it: `16374500Ki`, `32Gi` or bytes.
fn mebibytes(text: &str) -> Option<i64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let number: i64 = number.parse().ok()?;
    match unit {
        "" => Some(number / 1024 / 1024),
        "Ki" => Some(number / 1024),
        "Mi" => Some(number),
        "Gi" => number.checked_mul(1024),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: Value) -> DynamicObject {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_machine() {
        let machine = object(json!({
            "apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Machine",
            "metadata": {"name": "shop-md-0-x7k2p", "namespace": "fleet", "uid": "0a1b2c3d-0000",
                "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"team": "shop"}},
            "spec": {"clusterName": "shop", "providerID": "aws:///eu-west-1a/i-1", "failureDomain": "eu-west-1a"},
            "status": {"phase": "Running", "nodeRef": {"name": "ip-10-0-0-1"},
                "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}, {"type": "Odd", "address": "x"}],
                "conditions": [{"type": "NodeHealthy", "status": "False", "message": "kubelet is silent"}]},
        }));
        let host = super::machine(&machine, "capi").unwrap();
        assert_eq!(host.name, "capi-fleet-shop-md-0-x7k2p");
        assert_eq!(host.other_name.as_deref(), Some("capi-fleet-shop-md-0-x7k2p-0a1b2c3d"));
        assert_eq!(
            (host.provider_id.as_str(), host.state),
            ("aws:///eu-west-1a/i-1", Phase::Running)
        );
        assert_eq!((host.tags["cluster"].as_str(), host.tags["role"].as_str()), ("shop", "worker"));
        assert_eq!((host.addresses.len(), host.zone.as_deref()), (1, Some("eu-west-1a")));
        assert!(host.health.unwrap().problem.unwrap().message.ends_with("kubelet is silent"));
        let bare =
            object(json!({"metadata": {"name": "m", "namespace": "n", "uid": "u"}, "spec": {}}));
        let host = super::machine(&bare, "capi").unwrap();
        assert_eq!((host.state, host.provider_id.as_str()), (Phase::Unknown, ""));
        assert!(super::machine(&object(json!({"metadata": {}})), "capi").is_err());
    }

    #[test]
    fn a_node() {
        let value = json!({
            "metadata": {"name": "worker.example.com", "uid": "9f", "labels": {
                "topology.kubernetes.io/region": "eu", "node-role.kubernetes.io/control-plane": ""}},
            "spec": {},
            "status": {"capacity": {"cpu": "8", "memory": "16374500Ki"},
                "nodeInfo": {"architecture": "arm64", "operatingSystem": "linux", "systemUUID": "EC2A"},
                "conditions": [{"type": "Ready", "status": "Unknown", "message": "Kubelet stopped posting"}]},
        });
        let host = node(&object(value), "prod").unwrap();
        assert!(host.name.starts_with("prod-worker-example-com-"), "{}", host.name);
        assert_eq!((host.state, host.region.as_str()), (Phase::Unreachable, "eu"));
        assert_eq!((host.hardware.cpus, host.hardware.memory_mib), (Some(8), Some(15_990)));
        assert_eq!(host.tags["role"], "control-plane");
        for (text, mib) in [("32Gi", Some(32_768)), ("1048576", Some(1)), ("1e9", None)] {
            assert_eq!(mebibytes(text), mib, "{text}");
        }
    }
}
