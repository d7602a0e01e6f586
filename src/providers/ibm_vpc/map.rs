//! A virtual server or a bare metal server of IBM Cloud VPC as an [`Observed`] host.

use std::collections::{BTreeMap, HashMap};

use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::model::host::{Address, AddressType, Hardware, Phase};
use crate::model::labels;
use crate::providers::wire::{Addresses, Ip, filled, or_default, page_url};
use crate::providers::{Health, HealthProblem, ItemProblem, Observed};

/// Which list an item is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Virtual servers.
    Instance,
    /// Bare metal servers.
    Metal,
}

impl Kind {
    /// Path of the list, and its name in the answer.
    pub(super) fn list(self) -> &'static str {
        match self {
            Self::Instance => "instances",
            Self::Metal => "bare_metal_servers",
        }
    }

    /// What failed if the list cannot be read.
    pub(super) fn what(self) -> &'static str {
        match self {
            Self::Instance => "cannot list the virtual servers",
            Self::Metal => "cannot list the bare metal servers",
        }
    }
}

/// What is the same for all items of a listing.
pub(super) struct Frame<'a> {
    /// Region of the listing.
    pub(super) region: &'a str,
    /// Floating addresses by the id of an interface.
    pub(super) floating: &'a HashMap<String, Vec<String>>,
    /// Tags by CRN, if they were read.
    pub(super) tags: Option<&'a HashMap<String, BTreeMap<String, String>>>,
}

#[derive(Deserialize)]
struct Item {
    crn: Option<String>,
    name: Option<String>,
    status: Option<String>,
    health_state: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    health_reasons: Vec<Reason>,
    #[serde(default, deserialize_with = "or_default")]
    status_reasons: Vec<Reason>,
    profile: Option<Named>,
    vcpu: Option<Vcpu>,
    cpu: Option<Cpu>,
    memory: Option<i64>,
    zone: Option<Named>,
    vpc: Option<Named>,
    resource_group: Option<Named>,
    primary_network_interface: Option<Interface>,
    primary_network_attachment: Option<Interface>,
    #[serde(default, deserialize_with = "or_default")]
    network_interfaces: Vec<Interface>,
    #[serde(default, deserialize_with = "or_default")]
    network_attachments: Vec<Interface>,
    image: Option<Named>,
    created_at: Option<String>,
}

#[derive(Deserialize)]
struct Reason {
    message: Option<String>,
}

#[derive(Deserialize)]
struct Named {
    name: Option<String>,
}

#[derive(Deserialize)]
struct Vcpu {
    count: Option<i32>,
    architecture: Option<String>,
}

#[derive(Deserialize)]
struct Cpu {
    core_count: Option<i32>,
    threads_per_core: Option<i32>,
    architecture: Option<String>,
}

#[derive(Deserialize)]
struct Interface {
    id: Option<String>,
    primary_ip: Option<Ip>,
    primary_ipv4_address: Option<String>,
    #[serde(rename = "virtual_network_interface")]
    identity: Option<Identity>,
}

#[derive(Deserialize)]
struct Identity {
    id: Option<String>,
}

/// Maps one item.
pub(super) fn observe(
    kind: Kind,
    item: &Value,
    frame: &Frame<'_>,
) -> Result<Observed, ItemProblem> {
    let Some(id) = item.get("id").and_then(Value::as_str).filter(|id| !id.is_empty()) else {
        let what = format!("one of the {} has no id", kind.list());
        return Err(ItemProblem { name: None, uid: None, what });
    };
    // `0717_e21b7391-…`: what is before the line is the zone's
    let unique = id.split_once('_').map_or(id, |(_, unique)| unique);
    let name = labels::to_object_name(&format!("ibmv-{unique}"), id);
    let item: Item = serde_json::from_value(item.clone()).map_err(|cause| ItemProblem {
        name: Some(name.clone()),
        uid: None,
        what: format!("server \"{id}\" cannot be read: {cause}"),
    })?;
    let crn = item.crn.as_deref().unwrap_or_default();
    let account = account(crn);
    let mut tags = frame.tags.and_then(|all| all.get(crn)).cloned().unwrap_or_default();
    for (key, named) in [("resource-group", &item.resource_group), ("vpc", &item.vpc)] {
        if let Some(word) = named.as_ref().and_then(|n| n.name.clone()) {
            tags.entry(key.to_owned()).or_insert(word);
        }
    }
    let part = if kind == Kind::Instance { "vs" } else { "bm" };
    Ok(Observed {
        provider_id: format!("ibmcloud-vpc://{}/{}/{id}", account.unwrap_or("-"), frame.region),
        uid: id.to_owned(),
        other_name: None,
        account: account.map(str::to_owned),
        region: frame.region.to_owned(),
        zone: item.zone.as_ref().and_then(|zone| zone.name.clone()),
        os: item.image.as_ref().and_then(|image| os(image.name.as_deref()?)),
        display_name: filled(item.name.as_deref()).map(str::to_owned),
        tags,
        state: fold(item.status.as_deref()),
        raw_state: item.status.clone(),
        url: page_url(&format!(
            "https://cloud.ibm.com/infrastructure/compute/{part}/{}~{id}/overview",
            frame.region
        )),
        addresses: addresses(&item, frame),
        hardware: hardware(&item),
        launch_time: item.created_at.as_deref().and_then(|text| text.parse::<Timestamp>().ok()),
        health: Some(Health { problem: problem(&item), events: Vec::new() }),
        name,
    })
}

/// The account in a CRN: `crn:v1:bluemix:public:is:eu-de-1:a/ACCOUNT::instance:ID`.
fn account(crn: &str) -> Option<&str> {
    crn.split(':').nth(6)?.strip_prefix("a/").filter(|account| !account.is_empty())
}

fn fold(status: Option<&str>) -> Phase {
    match status {
        Some("pending" | "starting" | "reinitializing") => Phase::Pending,
        Some("running" | "restarting") => Phase::Running,
        Some("stopping" | "stopped") => Phase::Stopped,
        Some("maintenance") => Phase::Maintenance,
        Some("deleting") => Phase::Gone,
        _ => Phase::Unknown,
    }
}

fn problem(item: &Item) -> Option<HealthProblem> {
    let (reason, words, reasons) = match (item.status.as_deref(), item.health_state.as_deref()) {
        (Some("failed"), _) => ("StatusFailed", "it has failed", &item.status_reasons),
        (_, Some("faulted")) => ("HealthFaulted", "its health is faulted", &item.health_reasons),
        (_, Some("degraded")) => ("HealthDegraded", "its health is degraded", &item.health_reasons),
        _ => return None,
    };
    let said: Vec<&str> = reasons.iter().filter_map(|r| r.message.as_deref()).collect();
    let message = if said.is_empty() {
        format!("IBM Cloud says that {words}")
    } else {
        format!("IBM Cloud says that {words}: {}", said.join("; "))
    };
    Some(HealthProblem { reason, message: message.chars().take(1024).collect() })
}

fn os(image: &str) -> Option<String> {
    let image = image.to_lowercase();
    if image.contains("windows") {
        Some("windows".to_owned())
    } else {
        ["ubuntu", "debian", "centos", "rhel", "redhat", "rocky", "sles", "fedora", "coreos"]
            .iter()
            .any(|word| image.contains(word))
            .then(|| "linux".to_owned())
    }
}

/// The primary address first, then those of the other interfaces, then the floating ones.
fn addresses(item: &Item, frame: &Frame<'_>) -> Vec<Address> {
    let primary = item.primary_network_attachment.iter().chain(&item.primary_network_interface);
    let others = item.network_attachments.iter().chain(&item.network_interfaces);
    let interfaces: Vec<&Interface> = primary.chain(others).collect();
    let mut found = Addresses::default();
    for interface in &interfaces {
        let ip = interface.primary_ip.as_ref().and_then(|ip| ip.address.as_deref());
        found.add(AddressType::InternalIP, ip.or(interface.primary_ipv4_address.as_deref()));
    }
    for interface in &interfaces {
        let virtual_ = interface.identity.as_ref().and_then(|identity| identity.id.as_ref());
        for id in interface.id.iter().chain(virtual_) {
            for ip in frame.floating.get(id).into_iter().flatten() {
                found.add(AddressType::ExternalIP, Some(ip));
            }
        }
    }
    found.all()
}

fn hardware(item: &Item) -> Hardware {
    let arch = item.vcpu.as_ref().and_then(|v| v.architecture.clone());
    let arch = arch.or_else(|| item.cpu.as_ref().and_then(|cpu| cpu.architecture.clone()));
    let cores = item
        .cpu
        .as_ref()
        .and_then(|cpu| cpu.core_count?.checked_mul(cpu.threads_per_core.unwrap_or(1)));
    let profile = item.profile.as_ref().and_then(|profile| profile.name.clone());
    Hardware {
        arch: arch.filter(|arch| arch.len() <= 32),
        cpus: item.vcpu.as_ref().and_then(|v| v.count).or(cores).filter(|n| *n >= 0),
        memory_mib: item.memory.and_then(|gib| gib.checked_mul(1024)).filter(|n| *n >= 0),
        instance_type: profile.filter(|name| name.len() <= 64),
        ..Hardware::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_server_with_what_is_joined_to_it() {
        let crn = "crn:v1:bluemix:public:is:eu-de-1:a/123456::instance:0717_e21b7391";
        let floating = [("0717-if".to_owned(), vec!["192.0.2.7".to_owned()])].into();
        let tags = [(crn.to_owned(), [("env".to_owned(), "prod".to_owned())].into())].into();
        let frame = Frame { region: "eu-de", floating: &floating, tags: Some(&tags) };
        let item = json!({
            "id": "0717_e21b7391-2ca2-4ab5-84a8-b92157a633b0", "crn": crn, "name": "web",
            "status": "running", "health_state": "degraded",
            "health_reasons": [{"code": "x", "message": "disk slow"}],
            "profile": {"name": "bx2-2x8"}, "vcpu": {"count": 2, "architecture": "amd64"}, "memory": 8,
            "zone": {"name": "eu-de-1"}, "resource_group": {"name": "Default"},
            "primary_network_interface": {"id": "0717-if", "primary_ip": {"address": "10.0.0.32"}},
            "network_interfaces": [{"id": "0717-if", "primary_ip": {"address": "10.0.0.32"}},
                {"id": "b", "primary_ip": {"address": "0.0.0.0"}}],
            "created_at": "2026-03-26T16:11:57Z",
        });
        let host = observe(Kind::Instance, &item, &frame).unwrap();
        assert_eq!(host.name, "ibmv-e21b7391-2ca2-4ab5-84a8-b92157a633b0");
        assert_eq!(
            host.provider_id,
            "ibmcloud-vpc://123456/eu-de/0717_e21b7391-2ca2-4ab5-84a8-b92157a633b0"
        );
        let addresses: Vec<_> = host.addresses.iter().map(|a| a.address.as_str()).collect();
        assert_eq!(addresses, ["10.0.0.32", "192.0.2.7"]);
        assert_eq!(
            (host.tags["env"].as_str(), host.tags["resource-group"].as_str()),
            ("prod", "Default")
        );
        assert_eq!(host.hardware.memory_mib, Some(8192));
        let problem = host.health.unwrap().problem.unwrap();
        assert_eq!(problem.reason, "HealthDegraded");
        assert!(problem.message.ends_with("disk slow"));
    }

    #[test]
    fn attachments_and_odd_items() {
        let floating = [("vni".to_owned(), vec!["192.0.2.9".to_owned()])].into();
        let frame = Frame { region: "eu-de", floating: &floating, tags: None };
        let item = json!({
            "id": "x", "status": "maintenance", "crn": null, "network_interfaces": null,
            "primary_network_attachment": {"id": "att", "primary_ip": {"address": "10.0.0.5"},
                "virtual_network_interface": {"id": "vni"}},
            "cpu": {"core_count": 48, "threads_per_core": 2, "architecture": "amd64"},
        });
        let host = observe(Kind::Metal, &item, &frame).unwrap();
        assert_eq!(host.state, Phase::Maintenance);
        assert_eq!(host.hardware.cpus, Some(96));
        let addresses: Vec<_> = host.addresses.iter().map(|a| a.address.as_str()).collect();
        assert_eq!(addresses, ["10.0.0.5", "192.0.2.9"]);
        assert_eq!(host.provider_id, "ibmcloud-vpc://-/eu-de/x");
        assert!(observe(Kind::Metal, &json!({"id": ""}), &frame).unwrap_err().name.is_none());
        assert!(
            observe(Kind::Metal, &json!({"id": "y", "vcpu": 3}), &frame)
                .unwrap_err()
                .name
                .is_some()
        );
    }
}
