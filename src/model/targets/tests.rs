use super::*;
use crate::model::filter::Filter;
use crate::model::selection::{Absence, Rules};
use serde_json::{Value, json};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + second).unwrap()
}

fn job(filter: &str) -> Job {
    let rules = Rules::including([Absence::Maintenance]);
    Job {
        name: "node".to_owned(),
        selection: Selection::new(Filter::parse(filter).unwrap(), rules, at(0)),
        endpoints: Endpoints::Same { ports: vec![9100, 9256], scheme: None, path: None },
        addresses: vec![AddressType::InternalIP, AddressType::Hostname],
        labels: vec![
            ("env".to_owned(), Origin::parse("environment").unwrap()),
            ("rack".to_owned(), Origin::parse("label:example.com/rack").unwrap()),
        ],
        maintenance: Some("inv_maintenance".to_owned()),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "arguments are json! literals")]
fn host(name: &str, created: i64, more: Value) -> Box<HostRecord> {
    let mut object = json!({
        "metadata": {
            "name": name, "namespace": "inventory", "uid": format!("uid-{name}"),
            "creationTimestamp": at(created).to_string(),
            "labels": {"example.com/rack": "r 1", "topology.kubernetes.io/region": "eu-west-1"},
        },
        "spec": {"cluster": "shop", "environment": "prod"},
        "status": {"phase": "Running",
            "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]},
    });
    json_patch::merge(&mut object, &more);
    Box::new(serde_json::from_value(object).unwrap())
}

fn list(targets: &Targets, number: usize) -> Value {
    let (list, _) = targets.lists().nth(number).unwrap();
    serde_json::from_slice(&list.to_json()).unwrap()
}

fn names(targets: &Targets) -> Vec<String> {
    let all = list(targets, 0);
    let name = |group: &Value| group["labels"]["__meta_inv_name"].as_str().unwrap().to_owned();
    all.as_array().unwrap().iter().map(name).collect()
}

fn number(targets: &Targets) -> u64 {
    targets.lists().next().unwrap().0.number()
}

#[test]
fn a_host_is_a_group_with_its_labels() {
    let mut targets = Targets::new(vec![job("")]);
    assert_eq!(list(&targets, 0), json!([]));
    targets.apply(host("web-1", 0, json!({})), at(0));
    assert_eq!(
        list(&targets, 0),
        json!([{
            "targets": ["10.0.0.1:9100", "10.0.0.1:9256"],
            "labels": {
                "env": "prod", "rack": "r 1",
                "__meta_inv_name": "web-1", "__meta_inv_display": "web-1",
                "__meta_inv_uid": "uid-web-1", "__meta_inv_namespace": "inventory",
                "__meta_inv_region": "eu-west-1", "__meta_inv_cluster": "shop",
                "__meta_inv_environment": "prod", "__meta_inv_phase": "Running",
                "__meta_inv_service_state": "InService",
                "__meta_inv_address_internal_ip": "10.0.0.1",
                "__meta_inv_label_example_com_rack": "r 1",
                "__meta_inv_label_topology_kubernetes_io_region": "eu-west-1",
                "__meta_inv_maintenance": "false",
            },
        }])
    );
}

#[test]
fn groups_stand_by_age_and_go_with_their_hosts() {
    let mut targets = Targets::new(vec![job("")]);
    targets.begin();
    for (name, created) in [("b", 10), ("a", 20), ("c", 0)] {
        targets.apply(host(name, created, json!({})), at(0));
    }
    assert_eq!(names(&targets), ["c", "b", "a"]);
    targets.delete(&Uid::from("uid-b"));
    assert_eq!(names(&targets), ["c", "a"]);
    targets.begin();
    targets.apply(host("a", 20, json!({})), at(0));
    assert_eq!(names(&targets), ["c", "a"], "a listing takes nothing away before its end");
    assert_eq!(targets.end(), [Uid::from("uid-c")]);
    assert_eq!(names(&targets), ["a"]);
    assert_eq!((targets.len(), targets.lists().next().unwrap().1.targets), (1, 1));
}

#[test]
fn what_shows_nothing_new_is_no_news() {
    let mut targets = Targets::new(vec![job("")]);
    let version = |version: &str| json!({"metadata": {"resourceVersion": version}});
    targets.apply(host("a", 0, version("1")), at(0));
    let before = number(&targets);
    assert!(!targets.apply(host("a", 0, version("1")), at(0)));
    assert!(targets.apply(host("a", 0, version("2")), at(0)));
    assert_eq!(number(&targets), before);
    targets.apply(host("a", 0, json!({"spec": {"role": "db"}})), at(0));
    assert_ne!(number(&targets), before);
    // The bytes that a list will have are always known.
    let (list, _) = targets.lists().next().unwrap();
    assert!(list.to_json().len() <= list.bytes + 2, "{} {}", list.to_json().len(), list.bytes);
}

#[test]
fn maintenance_is_a_label_for_as_long_as_it_lasts() {
    let mut targets = Targets::new(vec![job("")]);
    let hold = |from: i64, to: i64| json!({"reason": "disk swap", "since": at(from).to_string(), "until": at(to).to_string()});
    let holds = json!({"ann": hold(1_000, 2_000), "bob": hold(1_000, 3_000)});
    targets.apply(host("a", 0, json!({"spec": {"maintenance": holds}})), at(0));
    let labels = |targets: &Targets| list(targets, 0)[0]["labels"].clone();
    assert_eq!(labels(&targets)["inv_maintenance"], Value::Null);
    // A hold counts a little before its begin.
    assert_eq!(targets.next_due(), Some(at(880)));
    targets.tick(at(1_000));
    let found = labels(&targets);
    assert_eq!(found["inv_maintenance"], "true");
    assert_eq!(found["__meta_inv_maintenance"], "true");
    assert_eq!(found["__meta_inv_maintenance_holders"], "ann,bob");
    assert_eq!(found["__meta_inv_maintenance_reason"], "disk swap; disk swap");
    assert_eq!(found["__meta_inv_maintenance_until"], at(3_000).to_string());
    assert_eq!(targets.next_due(), Some(at(2_000)));
    targets.tick(at(2_000));
    assert_eq!(labels(&targets)["__meta_inv_maintenance_holders"], "bob");
    targets.tick(at(3_000));
    assert_eq!(labels(&targets)["inv_maintenance"], Value::Null);
    assert_eq!(targets.next_due(), None);
}

#[test]
fn filters_and_rules_choose_and_are_counted() {
    let mut targets = Targets::new(vec![job("env=prod age>1h")]);
    targets.apply(host("a", 0, json!({})), at(0));
    assert_eq!(names(&targets), [""; 0]);
    targets.tick(at(3_599));
    targets.apply(host("dev", 0, json!({"spec": {"environment": "dev"}})), at(3_600));
    targets.apply(host("out", 0, json!({"spec": {"serviceState": "OutOfService"}})), at(7_200));
    targets.apply(host("gone", 0, json!({"status": {"phase": "Gone"}})), at(7_200));
    let nowhere = json!({"status": {"addresses": [{"type": "OOB", "address": "10.9.9.9"}]}});
    targets.apply(host("nowhere", 0, nowhere), at(7_200));
    targets.tick(at(7_200));
    assert_eq!(names(&targets), ["a"]);
    let counts = targets.lists().next().unwrap().1;
    assert_eq!(counts, Counts { targets: 1, left_out: 2, addressless: 1 });
    for name in ["a", "dev", "out", "gone", "nowhere"] {
        targets.delete(&Uid::from(format!("uid-{name}").as_str()));
    }
    assert_eq!(targets.lists().next().unwrap().1, Counts::default());
}

#[test]
fn clusters_say_what_is_scraped_on_their_hosts() {
    let mut clusters = job("");
    clusters.endpoints = Endpoints::Clusters;
    let mut targets = Targets::new(vec![clusters]);
    assert!(targets.wants_clusters());
    let cluster = |name: &str, spec: Value| -> Cluster {
        serde_json::from_value(json!({
            "apiVersion": "inventory.inv-tui.dev/v1alpha1", "kind": "Cluster",
            "metadata": {"name": name}, "spec": spec,
        }))
        .unwrap()
    };
    let jobs = json!({"monitoring": {"jobs": [
        {"name": "node", "port": 9100}, {"name": "app", "port": 8443, "path": "/m", "scheme": "https"},
    ]}});
    assert!(!targets.set_cluster(&cluster("shop", jobs.clone())));
    assert!(!targets.set_cluster(&cluster("plain", json!({}))));
    targets.apply(host("a", 0, json!({})), at(0));
    targets.apply(host("other", 1, json!({"spec": {"cluster": "plain"}})), at(0));
    let all = list(&targets, 0);
    let group = |n: usize| {
        let labels = &all[n]["labels"];
        let word = |name: &str| labels[name].as_str().unwrap_or("-").to_owned();
        let target = all[n]["targets"][0].as_str().unwrap().to_owned();
        (target, word("job"), word("__scheme__"), word("__metrics_path__"))
    };
    let words = |a: &str, b: &str, c: &str, d: &str| {
        (a.to_owned(), b.to_owned(), c.to_owned(), d.to_owned())
    };
    assert_eq!(all.as_array().unwrap().len(), 2);
    assert_eq!(group(0), words("10.0.0.1:9100", "node", "http", "-"));
    assert_eq!(group(1), words("10.0.0.1:8443", "app", "https", "/m"));
    // A counter in the status of a Cluster is no news, its jobs and its choice of hosts are.
    assert!(!targets.set_cluster(&cluster("shop", jobs)));
    let chosen = json!({
        "selector": {"matchLabels": {"example.com/x": "y"}},
        "monitoring": {"jobs": [{"name": "node", "port": 9101}]},
    });
    assert!(targets.set_cluster(&cluster("shop", chosen)));
    targets.begin();
    targets.apply(host("a", 0, json!({})), at(0));
    targets.apply(host("b", 1, json!({"metadata": {"labels": {"example.com/x": "y"}}})), at(0));
    targets.end();
    assert_eq!(names(&targets), ["b"]);
    assert!(targets.keep_clusters(&BTreeSet::new()));
    assert!(!targets.keep_clusters(&BTreeSet::new()));
}

#[test]
fn hostile_texts_stay_values() {
    let labels = json!({
        "a.b": "1", "a-b": "2", "a/b": "\u{1b}[2J\u{202E}", "c": "日本", "empty": "",
        "example.com/rack": "\"},{\"targets\":[\"evil:1\"]",
    });
    let more = json!({
        "metadata": {"labels": labels},
        "status": {"addresses": [
            {"type": "InternalIP", "address": "evil/path:1"},
            {"type": "InternalIP", "address": "FE80:0::1"},
        ]},
    });
    let mut targets = Targets::new(vec![job("")]);
    targets.apply(host("a", 0, more), at(0));
    let all = list(&targets, 0);
    assert_eq!(all.as_array().unwrap().len(), 1);
    assert_eq!(all[0]["targets"], json!(["[fe80::1]:9100", "[fe80::1]:9256"]));
    let labels = all[0]["labels"].as_object().unwrap();
    assert_eq!(labels["rack"], "\"},{\"targets\":[\"evil:1\"]");
    assert_eq!(labels["__meta_inv_label_c"], "日本");
    assert!(!labels.contains_key("__meta_inv_label_empty"));
    let same: BTreeMap<&str, &str> = labels
        .iter()
        .filter(|(name, _)| name.starts_with("__meta_inv_label_a_b"))
        .map(|(name, value)| (value.as_str().unwrap(), name.as_str()))
        .collect();
    assert_eq!(same.len(), 3, "{same:?}");
    assert!(same.contains_key("\u{FFFD}[2J\u{FFFD}"), "{same:?}");
    assert!(labels.keys().all(|name| is_label_name(name)), "{labels:?}");
    assert!(!is_label_name("a-b") && !is_label_name("1a") && !is_label_name(""));
}
