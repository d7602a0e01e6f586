//! `inv-tui --headless lifecycle`, the built program.

mod fleet;
mod leader;
mod once;

use inv_tui::model::host::Host;
use inv_tui::model::labels;
use inv_tui::store::event::about;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};
use tokio::process::Child;

use crate::support::{Ended, World, needed, run, wait_for};

/// A time so many seconds from now, as the API writes it.
fn at(seconds: i64) -> String {
    let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
    now.checked_add(SignedDuration::from_secs(seconds)).unwrap().to_string()
}

fn hold(from: i64, to: i64) -> Value {
    json!({"reason": "disk swap", "since": at(from), "until": at(to)})
}

fn condition<'a>(object: &'a Value, type_: &str) -> &'a Value {
    let all = object["status"]["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    all.iter().find(|c| c["type"] == type_).unwrap_or(&Value::Null)
}

/// Status and reason of a condition.
fn word<'a>(object: &'a Value, type_: &str) -> (&'a str, &'a str) {
    let found = condition(object, type_);
    (found["status"].as_str().unwrap_or(""), found["reason"].as_str().unwrap_or(""))
}

impl World {
    /// The controller as a service, until it is dropped.
    fn lifecycle(&self) -> Child {
        self.program(&["lifecycle", "--listen", "127.0.0.1:0"]).spawn().unwrap()
    }

    async fn lifecycle_once(&self) -> Ended {
        run(self.program(&["lifecycle", "--once"])).await
    }

    async fn make_cluster(&self, name: &str, spec: Value) {
        let object = json!({
            "apiVersion": "inventory.inv-tui.dev/v1alpha1", "kind": "Cluster",
            "metadata": {"name": name}, "spec": spec,
        });
        let params = PatchParams::apply("test").force();
        self.clusters().patch(name, &params, &Patch::Apply(object)).await.unwrap();
    }

    async fn cluster_json(&self, name: &str) -> Value {
        serde_json::to_value(self.clusters().get(name).await.unwrap()).unwrap()
    }

    /// A host that its source says is in this state.
    async fn make_member(&self, name: &str, cluster: &str, state: &str) {
        self.make_host(name, name, "eu-west-1", cluster).await;
        let params = PatchParams::default();
        let status = json!({"status": {"sources": {"aws": {"state": state}}}});
        self.hosts().patch_status(name, &params, &Patch::Merge(status)).await.unwrap();
    }

    /// The heartbeat of a host's agent.
    async fn heartbeat(&self, name: &str, ago: i64, lasts: i64) {
        let api: Api<Lease> = Api::namespaced(self.client.clone(), &self.namespace);
        let object = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": name},
            "spec": {
                "holderIdentity": format!("inv:host:{}:{name}", self.namespace),
                "leaseDurationSeconds": lasts,
                "renewTime": at(-ago).replace('Z', ".000000Z"),
            },
        });
        api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(object)).await.unwrap();
    }

    /// Reasons of the Events about an object.
    async fn events<K: Resource<DynamicType = ()>>(&self, object: &K) -> Vec<String> {
        let api: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        let uid = about(object).uid;
        let all = api.list(&ListParams::default()).await.unwrap().items;
        let mine = all.into_iter().filter(|e| e.regarding.as_ref().is_some_and(|r| r.uid == uid));
        mine.filter_map(|event| event.reason).collect()
    }

    /// Waits until the host is as it should be.
    async fn until(&self, name: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        wait_for(what, async || Some(self.json(name).await).filter(&wanted)).await
    }
}

#[tokio::test]
async fn one_hold_runs_out_and_the_other_stays() {
    let Some(world) = World::begin("holds").await else { return };
    world.make_member("h1", "shop", "Running").await;
    let mut controller = world.lifecycle();
    world.until("h1", "Ready", |h| word(h, "Ready") == ("True", "AllFine")).await;
    let holds = json!({"ann": hold(0, 3_600), "bob": hold(0, 3_600), "--": null});
    world.edit("h1", "kubectl-edit", json!({"spec": {"maintenance": holds}})).await;
    let held = world
        .until("h1", "both holds", |h| h["status"]["maintenance"]["holders"] == "ann,bob")
        .await;
    assert_eq!(held["status"]["phase"], "Maintenance");
    assert_eq!(word(&held, "Ready"), ("False", "Held"));
    assert_eq!(word(&held, "InMaintenance"), ("True", "Held"));
    assert_eq!(held["metadata"]["labels"][labels::MAINTENANCE], "true");
    // Nobody touches the host when his time is over.
    let short = json!({"spec": {"maintenance": {"bob": {"until": at(4)}}}});
    world.edit("h1", "kubectl-edit", short).await;
    let after = world.until("h1", "bob's end", |h| h["spec"]["maintenance"]["bob"].is_null()).await;
    assert_eq!(after["spec"]["maintenance"]["ann"], held["spec"]["maintenance"]["ann"]);
    let after =
        world.until("h1", "the holders", |h| h["status"]["maintenance"]["holders"] == "ann").await;
    assert_eq!(after["status"]["phase"], "Maintenance");
    let told = |h: &Value| {
        let all = h["status"]["operations"].as_array().unwrap().clone();
        let line = |o: &Value| format!("{} {} {}", o["verb"], o["by"], o["result"]);
        all.iter().map(line).map(|text| text.replace('"', "")).collect::<Vec<_>>()
    };
    let after = world.until("h1", "the operations", |h| told(h).len() == 3).await;
    assert!(told(&after).contains(&"maintenance-off bob ran out".to_owned()), "{after}");
    let host: Host = world.host("h1").await;
    wait_for("the Event", async || {
        world.events(&host).await.contains(&"MaintenanceEnded".to_owned()).then_some(())
    })
    .await;
    world.edit("h1", "kubectl-edit", json!({"spec": {"maintenance": {"ann": null}}})).await;
    let free = world.until("h1", "the end", |h| word(h, "Ready") == ("True", "AllFine")).await;
    assert_eq!(free["status"]["maintenance"], json!({"active": false}));
    assert!(free["metadata"]["labels"][labels::MAINTENANCE].is_null());
    controller.kill().await.unwrap();
    world.end().await;
}

#[tokio::test]
async fn a_second_pass_writes_nothing() {
    let Some(world) = World::begin("second").await else { return };
    world.make_cluster("shop", json!({"region": "eu-west-1", "os": {"desired": "13"}})).await;
    for (number, state) in ["Running", "Stopped", "Missing", "Pending"].into_iter().enumerate() {
        world.make_member(&format!("h{number}"), "shop", state).await;
    }
    world.heartbeat("h0", 0, 600).await;
    world.make_member("h4", "shop", "Running").await;
    world.heartbeat("h4", 600, 10).await;
    let holds = json!({"ann": hold(-60, 3_600)});
    world.edit("h1", "kubectl-edit", json!({"spec": {"maintenance": holds}})).await;
    world.lifecycle_once().await.with(0);
    let phases = async || {
        let all = world.all_hosts().await;
        let phase = |h: &Host| h.status.as_ref().unwrap().phase.unwrap().as_str();
        all.iter().map(|h| (h.name_any(), phase(h))).collect::<Vec<_>>()
    };
    let wanted = ["Running", "Maintenance", "Missing", "Pending", "Unreachable"];
    let wanted: Vec<_> = (0..).zip(wanted).map(|(n, phase)| (format!("h{n}"), phase)).collect();
    assert_eq!(phases().await, wanted);
    assert_eq!(word(&world.json("h0").await, "AgentReady"), ("True", "LeaseFresh"));
    assert_eq!(word(&world.json("h4").await, "AgentReady"), ("False", "LeaseExpired"));
    assert!(condition(&world.json("h1").await, "AgentReady").is_null(), "no Lease, no condition");
    let status = world.cluster_json("shop").await["status"].clone();
    let numbers = ["hosts", "ready", "maintenance", "unreachable", "missing", "updated"];
    assert_eq!(numbers.map(|key| status[key].as_i64().unwrap()), [5, 1, 1, 1, 1, 0]);

    let versions = (world.versions().await, world.cluster_json("shop").await);
    world.lifecycle_once().await.with(0);
    assert_eq!((world.versions().await, world.cluster_json("shop").await), versions);
    world.end().await;
}

#[tokio::test]
async fn kubectl_shows_what_follows() {
    let Some(kubectl) = needed("INV_TUI_TEST_KUBECTL") else { return };
    let Some(world) = World::begin("columns").await else { return };
    world.make_member("h1", "shop", "Running").await;
    let holds = json!({"ann": hold(0, 3_600)});
    world.edit("h1", "kubectl-edit", json!({"spec": {"maintenance": holds}})).await;
    world.lifecycle_once().await.with(0);
    let args = ["--kubeconfig", world.kubeconfig(), "-n", &world.namespace, "get", "hosts"];
    let output = tokio::process::Command::new(kubectl).args(args).output().await.unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Vec<&str>> =
        table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0][4..8], ["STATE", "SERVICE", "READY", "MAINT"], "{table}");
    assert_eq!(lines[1][4..8], ["Maintenance", "Held", "False", "ann"], "{table}");
    world.end().await;
}

#[tokio::test]
async fn a_run_is_canceled_only_while_nobody_began_it() {
    let Some(world) = World::begin("cancel").await else { return };
    world.make_member("h1", "shop", "Running").await;
    world.make_member("h2", "shop", "Running").await;
    let request = |id: &str| json!({"requestID": id, "playbook": "site.yml", "cancel": true});
    let begun = json!({"status": {"ansible": {"requestID": "r1", "state": "Running"}}});
    let params = PatchParams::default();
    world.hosts().patch_status("h2", &params, &Patch::Merge(begun)).await.unwrap();
    for name in ["h1", "h2"] {
        world.edit(name, "kubectl-edit", json!({"spec": {"ansible": request("r1")}})).await;
    }
    world.lifecycle_once().await.with(0);
    let run = world.json("h1").await["status"]["ansible"].clone();
    assert_eq!((&run["requestID"], &run["state"]), (&"r1".into(), &"Canceled".into()));
    assert_eq!(world.json("h2").await["status"]["ansible"]["state"], "Running");
    let before = world.versions().await;
    world.lifecycle_once().await.with(0);
    assert_eq!(world.versions().await, before);
    world.end().await;
}
