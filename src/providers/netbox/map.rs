//! A device or a virtual machine of NetBox as an [`Observed`] host. Every value may be null, and
//! administrators may add statuses.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{RegionFrom, Serials};
use crate::model::host::{Address, AddressType, Hardware, Phase};
use crate::model::labels;
use crate::providers::wire::{Addresses, Ip, filled, or_default, page_url};
use crate::providers::{Health, HealthProblem, ItemProblem, Observed};

/// Which list an item is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A device.
    Device,
    /// A virtual machine.
    Machine,
}

impl Kind {
    /// Path of the list.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Device => "dcim/devices/",
            Self::Machine => "virtualization/virtual-machines/",
        }
    }

    /// What failed if the list cannot be read.
    pub(super) fn what(self) -> &'static str {
        match self {
            Self::Device => "cannot list the devices",
            Self::Machine => "cannot list the virtual machines",
        }
    }

    /// Name of the list's type, in ids.
    fn type_(self) -> &'static str {
        match self {
            Self::Device => "dcim.device",
            Self::Machine => "virtualization.virtualmachine",
        }
    }
}

/// A site, as far as hosts need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Site {
    slug: String,
    region: Option<String>,
}

/// What is the same for all items of a listing.
pub(super) struct Frame<'a> {
    /// Address of the server.
    pub(super) base: &'a str,
    /// Begin of the names.
    pub(super) prefix: &'a str,
    /// Where the region comes from.
    pub(super) region_from: RegionFrom,
    /// Sites by id.
    pub(super) sites: &'a HashMap<u64, Site>,
}

#[derive(Deserialize)]
struct Item {
    url: Option<String>,
    display_url: Option<String>,
    name: Option<String>,
    display: Option<String>,
    status: Option<Choice>,
    site: Option<Brief>,
    location: Option<Brief>,
    rack: Option<Brief>,
    position: Option<Value>,
    role: Option<Brief>,
    platform: Option<Brief>,
    tenant: Option<Brief>,
    cluster: Option<Brief>,
    device_type: Option<DeviceType>,
    serial: Option<String>,
    asset_tag: Option<String>,
    primary_ip4: Option<Ip>,
    primary_ip6: Option<Ip>,
    oob_ip: Option<Ip>,
    vcpus: Option<Value>,
    memory: Option<Value>,
    #[serde(default, deserialize_with = "or_default")]
    tags: Vec<Brief>,
    #[serde(default, deserialize_with = "or_default")]
    custom_fields: Map<String, Value>,
}

#[derive(Deserialize)]
struct Choice {
    value: Option<String>,
}

#[derive(Deserialize)]
struct Brief {
    id: Option<u64>,
    slug: Option<String>,
    name: Option<String>,
    display: Option<String>,
}

impl Brief {
    fn word(&self) -> Option<&str> {
        [&self.name, &self.display, &self.slug].into_iter().find_map(|text| filled(text.as_deref()))
    }
}

#[derive(Deserialize)]
struct DeviceType {
    model: Option<String>,
    slug: Option<String>,
    manufacturer: Option<Brief>,
}

/// Id and site of an item of the list of sites.
pub(super) fn site(item: &Value) -> Option<(u64, Site)> {
    let id = item.get("id")?.as_u64()?;
    let slug = item.get("slug")?.as_str()?.to_owned();
    let region = item.get("region").and_then(|region| region.get("slug")).and_then(Value::as_str);
    Some((id, Site { slug, region: region.map(str::to_owned) }))
}

/// Id and serial number of a device that has one. Case does not count.
pub(super) fn serial(item: &Value) -> Option<(u64, String)> {
    let id = item.get("id")?.as_u64()?;
    let serial = filled(item.get("serial")?.as_str())?;
    Some((id, serial.to_lowercase()))
}

/// Maps one item. `serials` says which device has a serial number alone; new ones are taken in.
pub(super) fn observe(
    kind: Kind,
    item: &Value,
    frame: &Frame<'_>,
    serials: &mut Serials,
) -> Result<Observed, ItemProblem> {
    let Some(id) = item.get("id").and_then(Value::as_u64) else {
        let what = format!("an item of {} without an id", kind.type_());
        return Err(ItemProblem { name: None, uid: None, what });
    };
    let by_id = by_id(kind, frame.prefix, id);
    let serial = serial(item).filter(|_| kind == Kind::Device);
    let name = match &serial {
        Some((_, serial)) if *serials.entry(serial.clone()).or_insert(Some(id)) == Some(id) => {
            labels::to_object_name(&format!("dc-{serial}"), serial)
        }
        _ => by_id.clone(),
    };
    let uid = format!("{}/{id}", kind.type_());
    let item: Item = serde_json::from_value(item.clone()).map_err(|cause| ItemProblem {
        name: Some(name.clone()),
        uid: Some(uid.clone()),
        what: format!("{} {id} cannot be read: {cause}", kind.type_()),
    })?;
    let site = item.site.as_ref().and_then(|site| frame.sites.get(&site.id?));
    let region = site.map(|site| match (frame.region_from, &site.region) {
        (RegionFrom::Region, Some(region)) => region.clone(),
        _ => site.slug.clone(),
    });
    let raw_state = item.status.as_ref().and_then(|status| status.value.clone());
    Ok(Observed {
        name,
        other_name: (kind == Kind::Device).then_some(by_id),
        provider_id: format!("netbox://{}/{}{id}", host_of(frame.base), kind.path()),
        uid,
        account: None,
        region: region.unwrap_or_default(),
        zone: site.map(|site| site.slug.clone()),
        os: item.platform.as_ref().and_then(os),
        display_name: filled(item.name.as_deref().or(item.display.as_deref())).map(str::to_owned),
        state: fold(raw_state.as_deref()),
        health: Some(health(raw_state.as_deref())),
        raw_state,
        url: page(&item),
        addresses: addresses(&item),
        hardware: hardware(&item),
        launch_time: None,
        tags: tags(&item),
    })
}

/// The name of a host that its serial number cannot name.
fn by_id(kind: Kind, prefix: &str, id: u64) -> String {
    match kind {
        Kind::Device => format!("{prefix}-dev-{id}"),
        Kind::Machine => format!("{prefix}-vm-{id}"),
    }
}

fn host_of(base: &str) -> &str {
    let rest = base.split_once("://").map_or(base, |(_, rest)| rest);
    rest.split_once('/').map_or(rest, |(host, _)| host)
}

/// Folds a status of `netbox/dcim/choices.py` and `netbox/virtualization/choices.py`.
fn fold(status: Option<&str>) -> Phase {
    match status {
        Some("planned" | "staged" | "inventory") => Phase::Planned,
        Some("active") => Phase::Running,
        Some("offline" | "paused") => Phase::Stopped,
        Some("decommissioning") => Phase::Gone,
        _ => Phase::Unknown,
    }
}

fn health(status: Option<&str>) -> Health {
    let problem = (status == Some("failed")).then(|| HealthProblem {
        reason: "StatusFailed",
        message: "NetBox says that it has failed".to_owned(),
    });
    Health { problem, events: Vec::new() }
}

fn os(platform: &Brief) -> Option<String> {
    const LINUX: [&str; 11] = [
        "linux", "ubuntu", "debian", "rhel", "red-hat", "centos", "rocky", "alma", "suse",
        "fedora", "flatcar",
    ];
    let name = platform.slug.as_deref().or(platform.name.as_deref())?.to_lowercase();
    if name.contains("windows") {
        Some("windows".to_owned())
    } else {
        LINUX.iter().any(|word| name.contains(word)).then(|| "linux".to_owned())
    }
}

/// The page about an item: the server's word (since 4.2), or the address in the API without `/api`.
fn page(item: &Item) -> Option<String> {
    let url = item.display_url.clone();
    let url = url.or_else(|| item.url.as_ref().map(|url| url.replacen("/api/", "/", 1)))?;
    page_url(&url)
}

/// Primary addresses first. NetBox writes them with the length of their network's prefix.
fn addresses(item: &Item) -> Vec<Address> {
    let mut found = Addresses::default();
    for (type_, ip) in [
        (AddressType::InternalIP, &item.primary_ip4),
        (AddressType::InternalIP, &item.primary_ip6),
        (AddressType::OOB, &item.oob_ip),
    ] {
        let text = ip.as_ref().and_then(|ip| ip.address.as_deref());
        found.add(type_, text.map(|text| text.split_once('/').map_or(text, |(ip, _)| ip)));
    }
    found.all()
}

fn hardware(item: &Item) -> Hardware {
    let cut = |text: Option<&str>, most: usize| -> Option<String> {
        filled(text).map(|text| text.chars().take(most).collect())
    };
    let type_ = item.device_type.as_ref();
    Hardware {
        arch: None,
        cpus: item.vcpus.as_ref().and_then(whole).and_then(|n| i32::try_from(n).ok()),
        memory_mib: item.memory.as_ref().and_then(whole),
        instance_type: cut(type_.and_then(|t| t.slug.as_deref()), 64),
        vendor: cut(type_.and_then(|t| t.manufacturer.as_ref()).and_then(Brief::word), 128),
        model: cut(type_.and_then(|t| t.model.as_deref()), 128),
        serial: cut(item.serial.as_deref(), 128),
        asset_tag: cut(item.asset_tag.as_deref(), 128),
        uuid: cut(field(item, &["uuid", "system_uuid"]).as_deref(), 64),
        rack: cut(item.rack.as_ref().and_then(Brief::word), 64),
        position: item.position.as_ref().and_then(text_of).map(|p| p.chars().take(32).collect()),
        macs: field(item, &["mac_address", "mac_addresses", "mac"])
            .map(|text| text.split([' ', ',', ';']).filter_map(|w| cut(Some(w), 17)).collect())
            .unwrap_or_default(),
    }
}

/// The first of these custom fields that has a text. NetBox keeps no UUID, and MAC addresses only
/// with interfaces, whose list is many times as long as that of devices.
fn field(item: &Item, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| text_of(item.custom_fields.get(*name)?))
}

/// A whole number that may be written as `2`, `2.0` or `"2.00"`; fractions are rounded up.
fn whole(value: &Value) -> Option<i64> {
    let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    if !(0.0..=1e12).contains(&number) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "checked right above")]
    let whole = number.ceil() as i64;
    Some(whole)
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => filled(Some(text)).map(str::to_owned),
        Value::Number(number) => {
            let text = number.to_string();
            Some(text.strip_suffix(".0").map_or_else(|| text.clone(), str::to_owned))
        }
        Value::Bool(value) => Some(value.to_string()),
        // a choice, or another object of NetBox
        Value::Object(map) => ["label", "name", "display", "value"]
            .into_iter()
            .find_map(|key| map.get(key).and_then(Value::as_str))
            .and_then(|text| filled(Some(text)).map(str::to_owned)),
        _ => None,
    }
}

/// What the mapping of the source can take fields and labels from: what NetBox relates a host to by
/// one word, its tags as `tag/<slug>`, its custom fields as `cf/<name>`.
fn tags(item: &Item) -> BTreeMap<String, String> {
    let mut tags = BTreeMap::new();
    let related = [
        ("role", &item.role),
        ("cluster", &item.cluster),
        ("tenant", &item.tenant),
        ("platform", &item.platform),
        ("site", &item.site),
        ("location", &item.location),
    ];
    for (key, brief) in related {
        let word = brief.as_ref().and_then(|b| filled(b.slug.as_deref()).or_else(|| b.word()));
        if let Some(word) = word {
            tags.insert(key.to_owned(), word.to_owned());
        }
    }
    for tag in &item.tags {
        if let Some(slug) = filled(tag.slug.as_deref()).or_else(|| tag.word()) {
            tags.insert(format!("tag/{slug}"), "true".to_owned());
        }
    }
    for (name, value) in &item.custom_fields {
        if let Some(text) = text_of(value) {
            tags.insert(format!("cf/{name}"), text);
        }
    }
    tags
}

#[cfg(test)]
mod tests;
