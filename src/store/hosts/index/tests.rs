use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::model::identity::{Claims, Rank};

fn host(name: &str, version: u64, id: &str, mac: &str) -> StoredHost {
    serde_json::from_value(json!({
        "metadata": {"name": name, "resourceVersion": version.to_string()},
        "spec": {"providerID": id},
        "status": {"hardware": {"macs": [mac]}},
    }))
    .unwrap()
}

fn print(id: &str, mac: &str) -> Fingerprint {
    Fingerprint::of(&Claims { provider_ids: vec![id], macs: vec![mac], ..Claims::default() })
}

fn names(index: &Index, print: &Fingerprint) -> Vec<String> {
    let mut names: Vec<_> = index.similar(print).iter().map(|(n, _)| n.to_string()).collect();
    names.sort();
    names
}

const MAC: &str = "3c:ec:ef:12:34:56";

#[test]
fn hosts_are_found_by_any_key_and_forgotten() {
    let mut index = Index::default();
    index.put(&host("a", 5, "aws:///z/i-1", MAC));
    index.put(&host("b", 6, "netbox://n/d/1", MAC));
    assert_eq!(names(&index, &print("", MAC)), ["a", "b"]);
    assert_eq!(names(&index, &print("aws:///y/i-1", "")), ["a"]);
    assert_eq!(names(&index, &print("aws:///z/i-2", MAC)), ["b"], "another instance than a");
    assert_eq!(
        index.relation("a", &print("aws:///z/i-1", "")),
        Some(Relation::Same(Rank::ProviderId))
    );
    // an older event after the answer to a write
    index.put(&host("a", 4, "aws:///z/i-9", ""));
    assert_eq!(names(&index, &print("aws:///z/i-1", "")), ["a"]);
    index.put(&host("a", 7, "aws:///z/i-1", "3c:ec:ef:00:00:02"));
    assert_eq!(names(&index, &print("", MAC)), ["b"]);
    let mut leaving = host("b", 8, "netbox://n/d/1", MAC);
    leaving.metadata.deletion_timestamp =
        serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
    index.put(&leaving);
    assert!(names(&index, &print("", MAC)).is_empty(), "nothing is attached to what is going");
    index.remove("a");
    assert!(index.names.is_empty() && index.first.is_empty() && index.more.is_empty());
}

#[test]
fn what_a_crowd_has_in_common_costs_no_more_than_a_few() {
    let mut index = Index::default();
    for n in 0..1000 {
        index.put(&host(&format!("h{n}"), 1, &format!("netbox://n/d/{n}"), MAC));
    }
    assert_eq!(names(&index, &print("", MAC)).len(), CROWD);
    for n in 0..1000 {
        index.remove(&format!("h{n}"));
    }
    assert!(index.first.is_empty() && index.more.is_empty());
    assert_eq!(index.free.len(), 1000, "places are used again");
}

/// Bytes a host of a fleet whose hosts look like this.
fn each(host: impl Fn(usize) -> serde_json::Value) -> (usize, Index) {
    const HOSTS: usize = 100_000;
    let mut index = Index::default();
    for n in 0..HOSTS {
        index.put(&serde_json::from_value(host(n)).unwrap());
    }
    (index.bytes() / HOSTS, index)
}

/// The figures in the documentation of the module above.
#[test]
fn a_fleet_of_a_hundred_thousand_is_small() {
    let (cloud, _) = each(|n| {
        json!({
            "metadata": {"name": format!("aws-i-{n:017x}"), "resourceVersion": "1234567890"},
            "spec": {"providerID": format!("aws:///eu-west-1a/i-{n:017x}")},
        })
    });
    let (metal, index) = each(|n| {
        let mac = |port: usize| {
            format!("3c:ec:ef:{port}{:x}:{:02x}:{:02x}", n >> 16, (n >> 8) & 255, n & 255)
        };
        json!({
            "metadata": {"name": format!("dc-sn{n:08}"), "resourceVersion": "1234567890"},
            "spec": {"providerID": format!("netbox://nb.example.com/dcim/devices/{n}")},
            "status": {"hardware": {
                "uuid": format!("4c4c4544-0034-5210-8054-{n:012x}"), "vendor": "Dell",
                "serial": format!("SN{n:08}"), "macs": [mac(1), mac(2)],
            }},
        })
    });
    println!("{cloud} bytes a host with an id, {metal} with all keys and two MAC addresses");
    assert!(cloud <= 310, "{cloud} bytes a host");
    assert!(metal <= 480, "{metal} bytes a host");
    assert_eq!(names(&index, &print("", "3c:ec:ef:10:12:34")).len(), 1);
}

proptest! {
    /// Whatever comes and goes, the index finds what a look at every host finds.
    #[test]
    fn it_finds_what_a_search_finds(steps in prop::collection::vec((0..6_usize, 0..4_usize, 0..4_usize, any::<bool>()), 0..40)) {
        let ids = ["aws:///z/i-1", "aws:///z/i-2", "netbox://n/d/1", ""];
        let macs = [MAC, "3c:ec:ef:00:00:02", "02:42:ac:11:00:02", ""];
        let mut index = Index::default();
        let mut all: HashMap<String, Fingerprint> = HashMap::new();
        for (at, (name, id, mac, stays)) in steps.into_iter().enumerate() {
            let name = format!("h{name}");
            if stays {
                index.put(&host(&name, at as u64 + 1, ids[id], macs[mac]));
                all.insert(name, print(ids[id], macs[mac]));
            } else {
                index.remove(&name);
                all.remove(&name);
            }
        }
        for id in ids {
            for mac in macs {
                let wanted = print(id, mac);
                let mut found: Vec<String> = all
                    .iter()
                    .filter(|(_, p)| matches!(p.relation(&wanted), Relation::Same(_) | Relation::Unsure))
                    .map(|(name, _)| name.clone())
                    .collect();
                found.sort();
                prop_assert_eq!(names(&index, &wanted), found);
            }
        }
    }
}
