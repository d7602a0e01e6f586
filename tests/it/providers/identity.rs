//! One machine that several sources know is one Host, whoever comes first.

use std::sync::{Arc, Mutex};

use inv_tui::model::labels;
use kube::ResourceExt;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};

use super::{kubernetes, netbox, pass};
use crate::support::ec2::Moto;
use crate::support::scripted::{Scripted, instance, name};
use crate::support::{Ended, World, worlds};

const UUID: &str = "4c4c4544-0034-5210-8054-b7c04f4c3132";
const MAC: &str = "3c:ec:ef:12:34:56";

/// A source of hosts, and what stands in the configuration for it.
struct Source {
    name: &'static str,
    text: String,
}

impl Source {
    fn new(name: &'static str, text: &str) -> Self {
        // who is not listed is gone at once, and removed in the pass after that
        let text = format!("[[source]]\nname = \"{name}\"\n{text}gone-after = 1\ngrace = \"0s\"\n");
        Self { name, text }
    }

    fn aws(url: &str) -> Self {
        Self::new(
            "cloud",
            &format!("type = \"aws\"\nregions = [\"eu-north-1\"]\nurl = \"{url}\"\n"),
        )
    }

    fn netbox(url: &str) -> Self {
        Self::new(
            "dc",
            &format!("type = \"netbox\"\nurl = \"{url}\"\ncredentials = \"env:TOKEN\"\n"),
        )
    }

    fn kubernetes(name: &'static str, type_: &str, kubeconfig: &str) -> Self {
        let more = if type_ == "cluster-api" { "namespace = \"fleet\"\n" } else { "" };
        Self::new(name, &format!("type = \"{type_}\"\nkubeconfig = \"{kubeconfig}\"\n{more}"))
    }

    /// A file with these hosts.
    fn file(world: &World, name: &'static str, hosts: &Value) -> Self {
        let path = world.dir.path().join(format!("{name}.json"));
        std::fs::write(&path, hosts.to_string()).unwrap();
        Self::new(name, &format!("type = \"file\"\npath = \"{}\"\n", path.display()))
    }

    async fn pass(&self, world: &World) -> Ended {
        pass(world, &self.text, netbox::TOKEN).await.with(0)
    }
}

/// Neither writes anything any more, alone or both at once.
async fn quiet(world: &World, sources: &[&Source]) {
    let before = world.versions().await;
    for source in sources {
        source.pass(world).await.says(&["writes=0"]);
    }
    let both: String = sources.iter().map(|source| source.text.as_str()).collect();
    pass(world, &both, netbox::TOKEN).await.with(0);
    assert_eq!(world.versions().await, before, "a pass that changes nothing writes nothing");
}

async fn names(world: &World) -> Vec<String> {
    world.all_hosts().await.iter().map(ResourceExt::name_any).collect()
}

/// The names of the sources that a host has.
fn sources(host: &Value) -> Vec<&str> {
    host["status"]["sources"].as_object().unwrap().keys().map(String::as_str).collect()
}

fn condition<'a>(host: &'a Value, type_: &str) -> &'a Value {
    let all = host["status"]["conditions"].as_array().unwrap();
    let found: Vec<_> = all.iter().filter(|c| c["type"] == type_).collect();
    assert!(found.len() <= 1, "{host}");
    found.first().map_or(&Value::Null, |found| found)
}

fn owners<'a>(host: &'a Value, path: &[&str]) -> Vec<&'a str> {
    let entries = host["metadata"]["managedFields"].as_array().unwrap().iter();
    let has =
        |entry: &&Value| path.iter().try_fold(&entry["fieldsV1"], |at, key| at.get(*key)).is_some();
    entries.filter(has).map(|entry| entry["manager"].as_str().unwrap()).collect()
}

async fn cluster_api(world: &World) -> (Arc<Mutex<kubernetes::Stock>>, Source) {
    let (stock, kubeconfig) = kubernetes::begin(world).await;
    let mut machine = kubernetes::machine(1);
    machine["spec"]["providerID"] = format!("aws:///zone-a/{}", instance(1).id).into();
    stock.lock().unwrap().machines = vec![machine];
    (stock, Source::kubernetes("mgmt", "cluster-api", &kubeconfig))
}

#[tokio::test]
async fn an_instance_and_its_machine_by_provider_id_in_both_orders() {
    for cloud_first in [true, false] {
        for world in worlds("ident-capi").await {
            let ec2 = Scripted::begin().await;
            ec2.hosts("eu-north-1", vec![instance(1)]);
            let cloud = Source::aws(&ec2.url);
            let (stock, mgmt) = cluster_api(&world).await;
            let (first, second) = if cloud_first { (&cloud, &mgmt) } else { (&mgmt, &cloud) };
            first.pass(&world).await.says(&["created=1"]);
            second.pass(&world).await.says(&["created=0 changed=1", "the machine is known"]);
            let host = if cloud_first { name(1) } else { "capi-fleet-shop-md-1".to_owned() };
            assert_eq!(names(&world).await, std::slice::from_ref(&host));
            let live = world.json(&host).await;
            assert_eq!(sources(&live), ["cloud", "mgmt"]);
            let all = &live["metadata"]["labels"];
            assert_eq!(all[labels::SOURCE], first.name);
            assert_eq!(all[labels::REGION], "eu-north-1", "the only one who knows it says it");
            assert_eq!(live["spec"]["cluster"], "shop", "a default that nobody else gave");
            assert_eq!(live["status"]["hardware"]["instanceType"], "m5.large");
            let (of_first, of_second) =
                (format!("inv-tui-fetch-{}", first.name), format!("inv-tui-fetch-{}", second.name));
            let seen = ["f:status", "f:conditions", "k:{\"type\":\"Seen\"}"];
            assert_eq!(owners(&live, &seen), [of_first.as_str()]);
            let theirs = ["f:status", "f:sources", &format!("f:{}", second.name)];
            assert_eq!(owners(&live, &theirs), [of_second.as_str()]);
            quiet(&world, &[first, second]).await;
            quiet(&world, &[second, first]).await;

            // each says for itself whether it still has the machine
            if cloud_first {
                stock.lock().unwrap().machines.clear();
            } else {
                ec2.hosts("eu-north-1", Vec::new());
            }
            second.pass(&world).await.says(&["gone=1"]);
            let live = world.json(&host).await;
            assert_eq!(live["status"]["sources"][second.name]["state"], "Gone");
            assert_eq!(condition(&live, "Seen")["status"], "True", "{live}");
            assert_eq!(live["status"]["phase"], "Running");
            second.pass(&world).await.says(&["left to another source"]);
            let live = world.json(&host).await;
            assert_eq!(sources(&live), [first.name]);
            assert!(owners(&live, &["f:status"]).iter().all(|owner| *owner != of_second), "{live}");
            first.pass(&world).await;
            quiet(&world, &[first, second]).await;
            world.end().await;
        }
    }
}

#[tokio::test]
async fn whose_host_it_was_leaves_and_the_other_takes_over() {
    for world in worlds("ident-leave").await {
        let ec2 = Scripted::begin().await;
        ec2.hosts("eu-north-1", vec![instance(1)]);
        let cloud = Source::aws(&ec2.url);
        let (stock, mgmt) = cluster_api(&world).await;
        cloud.pass(&world).await;
        mgmt.pass(&world).await;
        ec2.hosts("eu-north-1", Vec::new());
        cloud.pass(&world).await.says(&["gone=1"]);
        let host = name(1);
        let live = world.json(&host).await;
        assert_eq!(condition(&live, "Seen")["status"], "False");
        assert_eq!(live["metadata"]["labels"][labels::SOURCE], "cloud");
        // who still has the machine takes over what only one can say
        mgmt.pass(&world).await;
        let live = world.json(&host).await;
        let all = &live["metadata"]["labels"];
        assert_eq!(
            (&all[labels::SOURCE], &all[labels::PROVIDER]),
            (&"mgmt".into(), &"cluster-api".into())
        );
        assert_eq!(condition(&live, "Seen")["status"], "True");
        assert_eq!(live["status"]["phase"], "Running", "{live}");
        cloud.pass(&world).await.says(&["left to another source"]);
        let live = world.json(&host).await;
        assert_eq!(sources(&live), ["mgmt"]);
        assert_eq!(live["spec"]["providerID"], format!("aws:///zone-a/{}", instance(1).id));
        mgmt.pass(&world).await;
        quiet(&world, &[&cloud, &mgmt]).await;
        // it comes back, and is a guest
        ec2.hosts("eu-north-1", vec![instance(1)]);
        cloud.pass(&world).await.says(&["created=0 changed=1"]);
        let live = world.json(&host).await;
        assert_eq!(sources(&live), ["cloud", "mgmt"]);
        assert_eq!(live["metadata"]["labels"][labels::SOURCE], "mgmt");
        quiet(&world, &[&mgmt, &cloud]).await;
        // only when nobody has it any more it is removed
        stock.lock().unwrap().machines.clear();
        mgmt.pass(&world).await;
        mgmt.pass(&world).await;
        assert_eq!(names(&world).await, std::slice::from_ref(&host), "another source has it");
        ec2.hosts("eu-north-1", Vec::new());
        cloud.pass(&world).await;
        cloud.pass(&world).await;
        mgmt.pass(&world).await;
        assert!(names(&world).await.is_empty());
        world.end().await;
    }
}

#[tokio::test]
async fn a_real_instance_and_its_node() {
    let Some(moto) = Moto::begin("eu-central-2").await else { return };
    let Some(world) = World::begin("ident-node").await else { return };
    let id = moto.start(1, &[("Role", "worker")]).await.remove(0);
    let cloud = Source::new(
        "cloud",
        &format!("type = \"aws\"\nregions = [\"{}\"]\nurl = \"{}\"\n", moto.region, moto.url),
    );
    cloud.pass(&world).await.says(&["created=1"]);
    let host = crate::support::ec2::name(&id);
    let zone = world.json(&host).await["metadata"]["labels"][labels::ZONE].clone();
    let (stock, kubeconfig) = kubernetes::begin(&world).await;
    let mut node = kubernetes::node(1);
    node["spec"]["providerID"] = format!("aws:///{}/{id}", zone.as_str().unwrap()).into();
    stock.lock().unwrap().nodes = vec![node];
    let nodes = Source::kubernetes("prod", "kubernetes-nodes", &kubeconfig);
    nodes.pass(&world).await.says(&["created=0 changed=1"]);
    let live = world.json(&host).await;
    assert_eq!(names(&world).await, [host]);
    assert_eq!((&live["spec"]["role"], &live["spec"]["team"]), (&"worker".into(), &"shop".into()));
    assert_eq!(live["metadata"]["labels"][labels::REGION], moto.region, "not the node's word");
    assert_eq!(live["status"]["hardware"]["memoryMiB"], 8192, "what only the node knows");
    quiet(&world, &[&cloud, &nodes]).await;
    world.end().await;
}

#[tokio::test]
async fn a_device_and_a_line_of_a_file_by_serial_number_and_by_mac_in_both_orders() {
    for (netbox_first, by_serial) in [(true, true), (true, false), (false, true), (false, false)] {
        let Some(world) = World::begin("ident-metal").await else { return };
        let mut device = netbox::device(3);
        let mut line = json!({"id": "lab-1", "region": "lab", "vendor": "Dell Inc.", "rack": "r7"});
        if by_serial {
            device["serial"] = "ABC1234".into();
            line["serial"] = "abc 1234".into();
        } else {
            device["custom_fields"] = json!({"mac_address": MAC.to_uppercase()});
            line["mac"] = "3cec.ef12.3456".into();
        }
        let mut stock = netbox::stock();
        (stock.devices, stock.machines) = (vec![device], Vec::new());
        let (_, replay) = netbox::begin(stock).await;
        let (dc, lab) = (Source::netbox(&replay.url), Source::file(&world, "lab", &json!([line])));
        let (first, second) = if netbox_first { (&dc, &lab) } else { (&lab, &dc) };
        first.pass(&world).await.says(&["created=1"]);
        second.pass(&world).await.says(&["created=0 changed=1"]);
        let host = match (netbox_first, by_serial) {
            (true, true) => "dc-abc1234",
            (true, false) => "nb-dev-3",
            (false, _) => "lab-1",
        };
        assert_eq!(names(&world).await, [host]);
        let stored = world.json(host).await;
        assert_eq!(sources(&stored), ["dc", "lab"]);
        let hardware = &stored["status"]["hardware"];
        assert_eq!((&hardware["model"], &hardware["rack"]), (&"R650".into(), &"r7".into()));
        assert_eq!(hardware["vendor"], if netbox_first { "Dell" } else { "Dell Inc." });
        assert!(by_serial || hardware["macs"] == json!([MAC]), "{hardware}");
        quiet(&world, &[first, second]).await;
        quiet(&world, &[second, first]).await;
        world.end().await;
    }
}

#[tokio::test]
async fn what_is_not_clear_becomes_two_hosts_and_says_so() {
    for world in worlds("ident-doubt").await {
        let two = json!([{"id": "lab-1", "mac": MAC}, {"id": "lab-2", "mac": MAC}]);
        let lab = Source::file(&world, "lab", &two);
        lab.pass(&world).await.says(&["created=2"]);
        let live = world.json("lab-1").await;
        assert!(
            condition(&live, "PossibleDuplicate").is_null(),
            "its ids tell a source's own apart"
        );
        let more = Source::file(&world, "more", &json!([{"id": "more-1", "mac": MAC}]));
        more.pass(&world).await.says(&["created=1"]);
        let live = world.json("more-1").await;
        let doubt = condition(&live, "PossibleDuplicate");
        assert_eq!(doubt["status"], "True");
        assert!(doubt["message"].as_str().unwrap().ends_with("as lab-1, lab-2"), "{doubt}");
        lab.pass(&world).await.says(&["changed=2"]);
        let live = world.json("lab-2").await;
        let doubt = condition(&live, "PossibleDuplicate");
        assert!(doubt["message"].as_str().unwrap().ends_with("as more-1"), "{doubt}");
        quiet(&world, &[&lab, &more]).await;

        // a person clears it up: one line was wrong, and the younger host goes
        let lab =
            Source::file(&world, "lab", &json!([{"id": "lab-1", "mac": MAC}, {"id": "lab-2"}]));
        lab.pass(&world).await;
        world.hosts().delete("more-1", &DeleteParams::default()).await.unwrap();
        more.pass(&world).await.says(&["the machine is known"]);
        lab.pass(&world).await;
        assert_eq!(names(&world).await, ["lab-1", "lab-2"]);
        for host in ["lab-1", "lab-2"] {
            let live = world.json(host).await;
            assert!(condition(&live, "PossibleDuplicate").is_null(), "{live}");
        }
        assert_eq!(sources(&world.json("lab-1").await), ["lab", "more"]);
        quiet(&world, &[&lab, &more]).await;
        world.end().await;
    }
}

#[tokio::test]
async fn a_stronger_key_that_differs_forbids_a_weaker_one_and_a_name_proves_nothing() {
    let Some(world) = World::begin("ident-contra").await else { return };
    let other = "4c4c4544-0034-5210-8054-b7c04f4c3133";
    let lab = Source::file(
        &world,
        "lab",
        &json!([
            {"id": "lab-1", "uuid": UUID, "mac": MAC, "hostname": "web1", "address": "10.0.0.3"},
            // named as NetBox would name a device with that serial number, and another machine
            {"id": "dc-abc1234", "vendor": "Dell", "serial": "XYZ9876"},
            {"id": "same", "serial": "To be filled by O.E.M.", "vendor": "Dell"},
        ]),
    );
    lab.pass(&world).await.says(&["created=3"]);
    let more = Source::file(
        &world,
        "more",
        &json!([
            {"id": "more-1", "uuid": other, "mac": MAC, "hostname": "web1"},
            {"id": "more-2", "serial": "To be filled by O.E.M.", "vendor": "Dell"},
        ]),
    );
    more.pass(&world).await.says(&["created=2"]);
    let mut stock = netbox::stock();
    let mut device = netbox::device(3);
    device["serial"] = "abc1234".into();
    (stock.devices, stock.machines) = (vec![device], Vec::new());
    let (stock, replay) = netbox::begin(stock).await;
    let dc = Source::netbox(&replay.url);
    dc.pass(&world).await.says(&["created=1"]);
    let all = ["dc-abc1234", "lab-1", "more-1", "more-2", "nb-dev-3", "same"];
    assert_eq!(names(&world).await, all);
    for host in all {
        let live = world.json(host).await;
        assert_eq!(sources(&live).len(), 1);
        assert!(condition(&live, "PossibleDuplicate").is_null(), "{live}");
    }
    quiet(&world, &[&lab, &more, &dc]).await;
    // an id that is another machine's is refused, and the others are written
    let third = "4c4c4544-0034-5210-8054-b7c04f4c3134";
    let wrong = json!([{"id": "lab-1", "uuid": third}, {"id": "more-3"}]);
    let wrong = Source::file(&world, "wrong", &wrong);
    let ended = pass(&world, &wrong.text, netbox::TOKEN).await.with(1);
    ended.says(&["is another machine: its hardware UUID differs", "created=1"]);
    assert_eq!(sources(&world.json("lab-1").await), ["lab"]);
    // renamed: the id at the source finds it, whatever it is called
    stock.lock().unwrap().devices[0]["name"] = "renamed".into();
    stock.lock().unwrap().devices[0]["serial"] = "corrected1".into();
    dc.pass(&world).await.says(&["created=0 changed=1"]);
    assert_eq!(
        world.json("nb-dev-3").await["metadata"]["annotations"][labels::DISPLAY_NAME],
        "renamed"
    );
    world.end().await;
}

#[tokio::test]
async fn a_record_that_moves_to_another_machine_goes_with_it() {
    let Some(world) = World::begin("ident-moves").await else { return };
    let lab = Source::file(
        &world,
        "lab",
        &json!([
            {"id": "lab-1", "vendor": "Dell", "serial": "AAA1111"},
            {"id": "lab-2", "vendor": "Dell", "serial": "BBB2222"},
        ]),
    );
    lab.pass(&world).await;
    let mut stock = netbox::stock();
    let mut device = netbox::device(3);
    device["serial"] = "AAA1111".into();
    (stock.devices, stock.machines) = (vec![device], Vec::new());
    let (stock, replay) = netbox::begin(stock).await;
    let dc = Source::netbox(&replay.url);
    dc.pass(&world).await;
    assert_eq!(sources(&world.json("lab-1").await), ["dc", "lab"]);
    stock.lock().unwrap().devices[0]["serial"] = "BBB2222".into();
    dc.pass(&world).await;
    dc.pass(&world).await.says(&["created=0 changed=1"]);
    let (one, two) = (world.json("lab-1").await, world.json("lab-2").await);
    assert_eq!((sources(&one), sources(&two)), (vec!["lab"], vec!["dc", "lab"]));
    assert!(
        one["status"]["hardware"]["model"].is_null(),
        "what it said of the other is taken back"
    );
    lab.pass(&world).await;
    quiet(&world, &[&dc, &lab]).await;
    world.end().await;
}

#[tokio::test]
async fn hosts_that_were_planned_by_hand_are_taken_over_by_their_identity() {
    for world in worlds("ident-planned").await {
        let plan = async |name: &str, spec: Value| {
            let object = json!({"apiVersion": "inventory.inv-tui.dev/v1alpha1", "kind": "Host",
                "metadata": {"name": name}, "spec": spec});
            let object = serde_json::from_value(object).unwrap();
            world.hosts().create(&PostParams::default(), &object).await.unwrap();
        };
        let id = format!("aws:///zone-a/{}", instance(1).id);
        plan("next-web", json!({"providerID": id, "cluster": "by-hand"})).await;
        plan("next-db", json!({"role": "db"})).await;
        let hardware = json!({"status": {"hardware": {"vendor": "Dell", "serial": "ABC1234"}}});
        let params = kube::api::PatchParams::default();
        let patch = kube::api::Patch::Merge(hardware);
        world.hosts().patch_status("next-db", &params, &patch).await.unwrap();

        let ec2 = Scripted::begin().await;
        ec2.hosts("eu-north-1", vec![instance(1)]);
        let cloud = Source::aws(&ec2.url);
        cloud.pass(&world).await.says(&["created=0 changed=1"]);
        let mut stock = netbox::stock();
        let mut device = netbox::device(3);
        device["serial"] = "ABC1234".into();
        (stock.devices, stock.machines) = (vec![device], Vec::new());
        let (_, replay) = netbox::begin(stock).await;
        let dc = Source::netbox(&replay.url);
        dc.pass(&world).await.says(&["created=0 changed=1"]);
        assert_eq!(names(&world).await, ["next-db", "next-web"]);
        let (web, db) = (world.json("next-web").await, world.json("next-db").await);
        assert_eq!(
            (&web["spec"]["cluster"], &web["status"]["phase"]),
            (&"by-hand".into(), &"Running".into())
        );
        assert_eq!(web["metadata"]["labels"][labels::SOURCE], "cloud");
        assert_eq!(
            (&db["spec"]["role"], &db["status"]["phase"]),
            (&"db".into(), &"Running".into())
        );
        assert_eq!(db["metadata"]["labels"][labels::SOURCE], "dc");
        quiet(&world, &[&cloud, &dc]).await;
        world.end().await;
    }
}

#[tokio::test]
async fn two_sources_of_one_process_make_one_host_of_each_machine_at_once() {
    let Some(world) = World::begin("ident-once").await else { return };
    let serial = |n: u64| format!("ABC{n:05}");
    let devices = (1..=30).map(|n| {
        let mut device = netbox::device(n);
        device["serial"] = serial(n).into();
        device
    });
    let mut stock = netbox::stock();
    (stock.devices, stock.machines, stock.page) = (devices.collect(), Vec::new(), 30);
    let (_, replay) = netbox::begin(stock).await;
    let line = |n: u64| json!({"id": format!("lab-{n}"), "vendor": "Dell", "serial": serial(n)});
    let lines: Vec<Value> = (1..=30).map(line).collect();
    let (dc, lab) = (Source::netbox(&replay.url), Source::file(&world, "lab", &lines.into()));
    let both = format!("{}{}", dc.text, lab.text);
    pass(&world, &both, netbox::TOKEN).await.with(0);
    let all = world.all_hosts().await;
    assert_eq!(all.len(), 30);
    assert!(all.iter().all(|host| host.status.as_ref().unwrap().sources.len() == 2));
    // whoever was second may have found something that the first has said only since
    pass(&world, &both, netbox::TOKEN).await.with(0);
    quiet(&world, &[&dc, &lab]).await;
    world.end().await;
}

#[tokio::test]
async fn a_machine_that_was_made_twice_is_merged_by_whoever_deletes_the_younger() {
    let Some(world) = World::begin("ident-twice").await else { return };
    let (stock, mgmt) = cluster_api(&world).await;
    let id = stock.lock().unwrap().machines[0]["spec"]["providerID"].take();
    mgmt.pass(&world).await.says(&["created=1"]);
    let ec2 = Scripted::begin().await;
    ec2.hosts("eu-north-1", vec![instance(1)]);
    let cloud = Source::aws(&ec2.url);
    cloud.pass(&world).await.says(&["created=1"]);
    // the machine learns too late which instance it is
    stock.lock().unwrap().machines[0]["spec"]["providerID"] = id;
    mgmt.pass(&world).await;
    mgmt.pass(&world).await;
    cloud.pass(&world).await;
    let younger = "capi-fleet-shop-md-1".to_owned();
    for (host, other) in [(&younger, &name(1)), (&name(1), &younger)] {
        let live = world.json(host).await;
        let doubt = condition(&live, "PossibleDuplicate");
        assert_eq!(doubt["status"], "True", "{live}");
        assert!(doubt["message"].as_str().unwrap().ends_with(other.as_str()), "{doubt}");
    }
    quiet(&world, &[&cloud, &mgmt]).await;
    world.hosts().delete(&younger, &DeleteParams::default()).await.unwrap();
    mgmt.pass(&world).await.says(&["created=0 changed=1"]);
    cloud.pass(&world).await;
    assert_eq!(names(&world).await, [name(1)]);
    let live = world.json(&name(1)).await;
    assert!(condition(&live, "PossibleDuplicate").is_null(), "{live}");
    quiet(&world, &[&mgmt, &cloud]).await;
    world.end().await;
}
