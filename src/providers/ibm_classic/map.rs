//! A virtual guest or a bare metal server of IBM Cloud Classic as an [`Observed`] host.

use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::model::host::{Address, AddressType, Hardware, Phase};
use crate::model::labels;
use crate::providers::wire::{Addresses, or_default};
use crate::providers::{Health, HealthProblem, ItemProblem, Observed, tag_texts};

/// Which list an item is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Virtual guests.
    Guest,
    /// Bare metal servers.
    Metal,
}

impl Kind {
    /// Method of the service `SoftLayer_Account`.
    pub(super) fn method(self) -> &'static str {
        match self {
            Self::Guest => "getVirtualGuests",
            Self::Metal => "getHardware",
        }
    }

    /// Name of the list in a filter.
    pub(super) fn property(self) -> &'static str {
        match self {
            Self::Guest => "virtualGuests",
            Self::Metal => "hardware",
        }
    }

    /// What failed if the list cannot be read.
    pub(super) fn what(self) -> &'static str {
        match self {
            Self::Guest => "cannot list the virtual guests",
            Self::Metal => "cannot list the bare metal servers",
        }
    }

    /// The fields to ask for. Never `operatingSystem.passwords`.
    pub(super) fn mask(self) -> &'static str {
        match self {
            Self::Guest => {
                "mask[id,accountId,hostname,domain,fullyQualifiedDomainName,\
                 primaryIpAddress,primaryBackendIpAddress,powerState[keyName],status[keyName],\
                 datacenter[name],maxCpu,maxMemory,createDate,\
                 activeTransaction[transactionStatus[name]],tagReferences[tag[name]],\
                 operatingSystem[softwareLicense[softwareDescription[referenceCode]]]]"
            }
            Self::Metal => {
                "[mask[id,accountId,hostname,domain,fullyQualifiedDomainName,\
                 primaryIpAddress,primaryBackendIpAddress,networkManagementIpAddress,\
                 hardwareStatus[status],datacenter[name],processorPhysicalCoreAmount,\
                 memoryCapacity,provisionDate,manufacturerSerialNumber,\
                 networkComponents[macAddress],tagReferences[tag[name]],\
                 operatingSystem[softwareLicense[softwareDescription[referenceCode]]]],\
                 mask(SoftLayer_Hardware_Server)[activeTransaction[transactionStatus[name]]]]"
            }
        }
    }

    fn short(self) -> &'static str {
        match self {
            Self::Guest => "vs",
            Self::Metal => "hw",
        }
    }

    fn type_(self) -> &'static str {
        match self {
            Self::Guest => "virtual_guest",
            Self::Metal => "hardware",
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    account_id: Option<u64>,
    hostname: Option<String>,
    fully_qualified_domain_name: Option<String>,
    primary_ip_address: Option<String>,
    primary_backend_ip_address: Option<String>,
    network_management_ip_address: Option<String>,
    power_state: Option<KeyName>,
    status: Option<KeyName>,
    hardware_status: Option<HardwareStatus>,
    datacenter: Option<Named>,
    max_cpu: Option<i32>,
    max_memory: Option<i64>,
    processor_physical_core_amount: Option<i32>,
    memory_capacity: Option<i64>,
    create_date: Option<String>,
    provision_date: Option<String>,
    manufacturer_serial_number: Option<String>,
    active_transaction: Option<Value>,
    #[serde(default, deserialize_with = "or_default")]
    network_components: Vec<NetworkComponent>,
    #[serde(default, deserialize_with = "or_default")]
    tag_references: Vec<TagReference>,
    operating_system: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyName {
    key_name: Option<String>,
}

#[derive(Deserialize)]
struct HardwareStatus {
    status: Option<String>,
}

#[derive(Deserialize)]
struct Named {
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NetworkComponent {
    mac_address: Option<String>,
}

#[derive(Deserialize)]
struct TagReference {
    tag: Option<Named>,
}

/// Maps one item.
pub(super) fn observe(kind: Kind, item: &Value) -> Result<Observed, ItemProblem> {
    let Some(id) = item.get("id").and_then(Value::as_u64) else {
        let what = format!("a {} without an id", kind.type_());
        return Err(ItemProblem { name: None, uid: None, what });
    };
    let name = labels::to_object_name(&format!("ibmc-{}-{id}", kind.short()), "");
    let item: Item = serde_json::from_value(item.clone()).map_err(|cause| ItemProblem {
        name: Some(name.clone()),
        uid: None,
        what: format!("{} {id} cannot be read: {cause}", kind.type_()),
    })?;
    let account = item.account_id.map(|id| id.to_string());
    let datacenter = item.datacenter.as_ref().and_then(|d| d.name.clone());
    let (state, raw_state, problem) = fold(kind, &item);
    let named = item.tag_references.iter().filter_map(|r| r.tag.as_ref()?.name.as_deref());
    let tags = tag_texts(named);
    let since = item.create_date.as_deref().or(item.provision_date.as_deref());
    Ok(Observed {
        provider_id: format!(
            "ibmcloud-classic://{}/{}/{id}",
            account.as_deref().unwrap_or("-"),
            kind.type_()
        ),
        uid: format!("{}/{id}", kind.type_()),
        other_name: None,
        account,
        region: datacenter.clone().unwrap_or_default(),
        zone: datacenter,
        os: os(item.operating_system.as_ref()),
        display_name: item.fully_qualified_domain_name.clone().or_else(|| item.hostname.clone()),
        tags,
        state,
        raw_state,
        url: Some(match kind {
            Kind::Guest => {
                format!("https://cloud.ibm.com/gen1/infrastructure/virtual-server/{id}/details")
            }
            Kind::Metal => {
                format!("https://cloud.ibm.com/gen1/infrastructure/bare-metal/{id}/details")
            }
        }),
        addresses: addresses(&item),
        hardware: hardware(&item),
        launch_time: since.and_then(|text| text.parse::<Timestamp>().ok()),
        health: Some(Health { problem, events: Vec::new() }),
        name,
    })
}

fn fold(kind: Kind, item: &Item) -> (Phase, Option<String>, Option<HealthProblem>) {
    let word = |key: &Option<KeyName>| key.as_ref().and_then(|k| k.key_name.clone());
    let (power, status) = (word(&item.power_state), word(&item.status));
    let hardware = item.hardware_status.as_ref().and_then(|h| h.status.clone());
    let busy = item.active_transaction.as_ref().is_some_and(Value::is_object);
    let (phase, raw) = match kind {
        Kind::Guest => {
            let phase = match (power.as_deref(), status.as_deref()) {
                (Some("RUNNING"), Some("ACTIVE") | None) => Phase::Running,
                (Some("HALTED" | "PAUSED"), _) => Phase::Stopped,
                _ => Phase::Unknown,
            };
            let raw = [power, status.clone()].into_iter().flatten().collect::<Vec<_>>().join("/");
            (phase, raw)
        }
        Kind::Metal => {
            let phase = match hardware.as_deref() {
                Some("ACTIVE") => Phase::Running,
                Some("DEPLOY" | "DEPLOY2" | "MACWAIT" | "ZERO_WAIT") => Phase::Pending,
                Some("DECOMMISSIONED" | "RECLAIM") => Phase::Gone,
                _ => Phase::Unknown,
            };
            (phase, hardware.unwrap_or_default())
        }
    };
    let problem = (status.as_deref() == Some("DISCONNECTED")).then(|| HealthProblem {
        reason: "Disconnected",
        message: "IBM Cloud says that it is disconnected".to_owned(),
    });
    let phase = if busy && phase != Phase::Gone { Phase::Pending } else { phase };
    (phase, (!raw.is_empty()).then_some(raw), problem)
}

fn os(system: Option<&Value>) -> Option<String> {
    let code = system?
        .get("softwareLicense")?
        .get("softwareDescription")?
        .get("referenceCode")?
        .as_str()?;
    Some(if code.starts_with("WIN") { "windows" } else { "linux" }.to_owned())
}

fn addresses(item: &Item) -> Vec<Address> {
    let mut found = Addresses::default();
    for (type_, text) in [
        (AddressType::InternalIP, &item.primary_backend_ip_address),
        (AddressType::ExternalIP, &item.primary_ip_address),
        (AddressType::OOB, &item.network_management_ip_address),
        (AddressType::Hostname, &item.fully_qualified_domain_name),
    ] {
        found.add(type_, text.as_deref());
    }
    found.all()
}

/// Memory of a guest comes in MiB, of bare metal in GiB.
fn hardware(item: &Item) -> Hardware {
    let gib = item.memory_capacity.and_then(|gib| gib.checked_mul(1024));
    Hardware {
        arch: Some("amd64".to_owned()),
        cpus: item.max_cpu.or(item.processor_physical_core_amount).filter(|n| *n >= 0),
        memory_mib: item.max_memory.or(gib).filter(|n| *n >= 0),
        serial: item.manufacturer_serial_number.clone().filter(|s| !s.is_empty() && s.len() <= 128),
        macs: item.network_components.iter().filter_map(|c| c.mac_address.clone()).collect(),
        ..Hardware::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_guest_and_a_bare_metal_server() {
        let guest = json!({
            "id": 104, "accountId": 307_608, "hostname": "web1", "domain": "example.com",
            "fullyQualifiedDomainName": "web1.example.com",
            "primaryIpAddress": "172.16.240.2", "primaryBackendIpAddress": "10.45.19.37",
            "powerState": {"keyName": "RUNNING"}, "status": {"keyName": "ACTIVE"},
            "datacenter": {"name": "ams03"}, "maxCpu": 2, "maxMemory": 2048,
            "createDate": "2026-01-05T10:00:00-06:00",
            "tagReferences": [{"tag": {"name": "team:shop"}}, {"tag": {"name": "edge"}}],
            "operatingSystem": {"softwareLicense": {"softwareDescription": {"referenceCode": "UBUNTU_24_64"}}},
        });
        let host = observe(Kind::Guest, &guest).unwrap();
        assert_eq!(host.name, "ibmc-vs-104");
        assert_eq!(host.provider_id, "ibmcloud-classic://307608/virtual_guest/104");
        assert_eq!((host.region.as_str(), host.state), ("ams03", Phase::Running));
        assert_eq!(host.raw_state.as_deref(), Some("RUNNING/ACTIVE"));
        assert_eq!(host.launch_time.unwrap().to_string(), "2026-01-05T16:00:00Z");
        assert_eq!((host.tags["team"].as_str(), host.tags["edge"].as_str()), ("shop", "true"));
        assert_eq!(host.hardware.memory_mib, Some(2048));
        let metal = json!({
            "id": 1000, "hardwareStatus": {"status": "ACTIVE"}, "memoryCapacity": 64,
            "processorPhysicalCoreAmount": 16, "networkManagementIpAddress": "10.0.1.4",
            "networkComponents": [{"macAddress": "3c:ec:ef:12:34:56"}, {"macAddress": null}],
            "activeTransaction": {"transactionStatus": {"name": "RECLAIM_WAIT"}}, "tagReferences": null,
        });
        let host = observe(Kind::Metal, &metal).unwrap();
        assert_eq!((host.name.as_str(), host.state), ("ibmc-hw-1000", Phase::Pending));
        assert_eq!(host.hardware.memory_mib, Some(64 * 1024), "GiB, unlike guests");
        assert_eq!(host.hardware.macs, ["3c:ec:ef:12:34:56"]);
        assert_eq!(host.addresses[0].type_, AddressType::OOB);
        let bare = observe(Kind::Guest, &json!({"id": 5})).unwrap();
        assert_eq!((bare.state, bare.region.as_str(), bare.raw_state), (Phase::Unknown, "", None));
        assert!(observe(Kind::Guest, &json!({"hostname": "x"})).unwrap_err().name.is_none());
    }

    #[test]
    fn passwords_are_never_asked_for() {
        for kind in [Kind::Guest, Kind::Metal] {
            assert!(!kind.mask().to_lowercase().contains("password"));
            assert!(!kind.mask().contains(' '), "{}", kind.mask());
        }
    }
}
