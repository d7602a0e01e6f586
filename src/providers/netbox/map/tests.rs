use super::*;
use serde_json::json;

fn sites() -> HashMap<u64, Site> {
    [
        json!({"id": 1, "slug": "ams1", "name": "AMS1", "region": {"id": 9, "slug": "eu-west"}}),
        json!({"id": 2, "slug": "lab", "name": "Lab", "region": null}),
    ]
    .iter()
    .filter_map(site)
    .collect()
}

fn device() -> Value {
    json!({
        "id": 7, "url": "https://nb.example.com/api/dcim/devices/7/", "display_url": null,
        "name": "ams1-web-07", "display": "ams1-web-07",
        "status": {"value": "active", "label": "Active"},
        "site": {"id": 1, "slug": "ams1", "name": "AMS1"},
        "location": null, "rack": {"id": 3, "name": "R 12", "display": "R 12"}, "position": 14.0,
        "role": {"id": 1, "name": "Web server", "slug": "web"},
        "platform": {"id": 1, "name": "Ubuntu 24.04", "slug": "ubuntu-24-04"},
        "tenant": {"id": 1, "name": "Shop", "slug": "shop"}, "cluster": null,
        "device_type": {"id": 1, "model": "PowerEdge R650", "slug": "poweredge-r650",
            "manufacturer": {"id": 1, "name": "Dell", "slug": "dell"}},
        "serial": "ABC1234", "asset_tag": null,
        "primary_ip4": {"id": 1, "address": "10.0.0.7/24", "family": 4}, "primary_ip6": null,
        "oob_ip": {"id": 2, "address": "10.9.0.7/16"},
        "tags": [{"id": 1, "name": "Edge", "slug": "edge"}],
        "custom_fields": {"cost_centre": 4100, "owner": {"id": 1, "name": "infra"}, "note": null},
        "last_updated": "2026-01-01T00:00:00Z",
    })
}

fn map(kind: Kind, item: &Value, serials: &mut Serials) -> Result<Observed, ItemProblem> {
    let sites = sites();
    let frame = Frame {
        base: "https://nb.example.com/netbox",
        prefix: "nb",
        region_from: RegionFrom::Region,
        sites: &sites,
    };
    observe(kind, item, &frame, serials)
}

fn alone(item: &Value) -> Serials {
    serial(item).into_iter().map(|(id, serial)| (serial, Some(id))).collect()
}

#[test]
fn a_device() {
    let host = map(Kind::Device, &device(), &mut alone(&device())).unwrap();
    assert_eq!(host.name, "dc-abc1234");
    assert_eq!(host.other_name.as_deref(), Some("nb-dev-7"));
    assert_eq!(host.provider_id, "netbox://nb.example.com/dcim/devices/7");
    assert_eq!((host.region.as_str(), host.zone.as_deref()), ("eu-west", Some("ams1")));
    assert_eq!(host.display_name.as_deref(), Some("ams1-web-07"));
    assert_eq!((host.state, host.os.as_deref()), (Phase::Running, Some("linux")));
    let addresses: Vec<_> = host.addresses.iter().map(|a| (a.type_, a.address.as_str())).collect();
    assert_eq!(addresses, [(AddressType::InternalIP, "10.0.0.7"), (AddressType::OOB, "10.9.0.7")]);
    assert_eq!(host.hardware.vendor.as_deref(), Some("Dell"));
    assert_eq!(host.hardware.position.as_deref(), Some("14"));
    assert_eq!(host.url.as_deref(), Some("https://nb.example.com/dcim/devices/7/"));
    for (key, value) in [
        ("role", "web"),
        ("tenant", "shop"),
        ("tag/edge", "true"),
        ("cf/cost_centre", "4100"),
        ("cf/owner", "infra"),
    ] {
        assert_eq!(host.tags.get(key).map(String::as_str), Some(value), "{key}");
    }
    assert!(!host.tags.contains_key("cf/note"));
}

#[test]
fn nothing_but_an_id_is_enough() {
    let bare = json!({"id": 8, "name": null, "status": null, "site": null, "tags": null,
        "custom_fields": null, "serial": "", "primary_ip4": {"address": "no address"}});
    let host = map(Kind::Device, &bare, &mut Serials::new()).unwrap();
    assert_eq!((host.name.as_str(), host.region.as_str()), ("nb-dev-8", ""));
    assert_eq!((host.state, host.addresses.len()), (Phase::Unknown, 0));
    assert!(host.display_name.is_none() && host.raw_state.is_none());
    let machine = json!({"id": 8, "vcpus": "2.00", "memory": 4096, "site": {"id": 2}});
    let host = map(Kind::Machine, &machine, &mut Serials::new()).unwrap();
    assert_eq!(host.name, "nb-vm-8");
    assert_eq!((host.hardware.cpus, host.hardware.memory_mib), (Some(2), Some(4096)));
    assert_eq!(host.region, "lab", "a site without a region stands for it");
}

#[test]
fn a_serial_number_that_several_have_names_nobody() {
    let mut serials: Serials = [("abc1234".to_owned(), None)].into();
    let host = map(Kind::Device, &device(), &mut serials).unwrap();
    assert_eq!(host.name, "nb-dev-7");
    // one that appears after the count belongs to who is first
    let mut serials = Serials::new();
    assert_eq!(map(Kind::Device, &device(), &mut serials).unwrap().name, "dc-abc1234");
    let mut twin = device();
    twin["id"] = 9.into();
    assert_eq!(map(Kind::Device, &twin, &mut serials).unwrap().name, "nb-dev-9");
}

#[test]
fn statuses() {
    for (status, phase) in [
        ("planned", Phase::Planned),
        ("inventory", Phase::Planned),
        ("offline", Phase::Stopped),
        ("decommissioning", Phase::Gone),
        ("being-repaired", Phase::Unknown),
    ] {
        let mut item = device();
        item["status"]["value"] = status.into();
        let host = map(Kind::Device, &item, &mut Serials::new()).unwrap();
        assert_eq!((host.state, host.raw_state.as_deref()), (phase, Some(status)));
    }
    let mut item = device();
    item["status"]["value"] = "failed".into();
    let host = map(Kind::Device, &item, &mut Serials::new()).unwrap();
    assert_eq!(host.health.unwrap().problem.unwrap().reason, "StatusFailed");
}

#[test]
fn what_cannot_be_read_is_named_if_it_can_be() {
    let problem = map(Kind::Device, &json!({"name": "x"}), &mut Serials::new()).unwrap_err();
    assert_eq!(problem.name, None);
    let odd = json!({"id": 3, "status": "active"});
    let problem = map(Kind::Device, &odd, &mut Serials::new()).unwrap_err();
    assert_eq!(problem.name.as_deref(), Some("nb-dev-3"));
}
