//! Who may do what: the same questions to a real control plane with `deploy/*.yaml` and to the
//! embedded server, whose roles and walls say the same.

mod agent;
mod others;
mod people;
mod protection;

use inv_tui::model::cluster::Cluster;
use inv_tui::model::host::Host;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Client;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::support::{World, needed, refused, roles, run_binary, wait_for, worlds};

impl World {
    fn hosts_as(&self, client: &Client) -> Api<Host> {
        Api::namespaced(client.clone(), &self.namespace)
    }

    /// What the server says that refuses this.
    #[track_caller]
    fn says<T: std::fmt::Debug>(&self, done: kube::Result<T>, real: &str, embedded: &str) {
        let wanted = if self.is_real() { real } else { embedded };
        refused(done, wanted);
    }
}

fn merge() -> PatchParams {
    PatchParams::default()
}

fn part(name: &str, fields: Value) -> Patch<Value> {
    Patch::Merge(Value::Object([(name.to_owned(), fields)].into_iter().collect()))
}

/// A merge patch of these fields of spec.
fn spec(fields: Value) -> Patch<Value> {
    part("spec", fields)
}

/// A merge patch of these fields of status.
fn status(fields: Value) -> Patch<Value> {
    part("status", fields)
}

fn lease(name: &str) -> Lease {
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    Lease { metadata, spec: None }
}

fn hold(reason: &str) -> Value {
    json!({"reason": reason, "since": "2030-01-01T00:00:00Z", "until": "2030-01-01T02:00:00Z"})
}

fn request(id: &str, by: &str) -> Value {
    json!({"ansible": {"requestID": id, "playbook": "site.yml", "requestedBy": by}})
}

fn condition(type_: &str) -> Value {
    json!({
        "type": type_, "status": "True", "reason": "Test", "message": "",
        "lastTransitionTime": "2030-01-01T00:00:00Z",
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_of_a_test_is_who_it_says() {
    for world in worlds("access-who").await {
        let client = world.client_as("ann@example.com", &["inv:viewers", "inv:approvers"]).await;
        let api: Api<SelfSubjectReview> = Api::all(client);
        let question = SelfSubjectReview::default();
        let answer = api.create(&PostParams::default(), &question).await.unwrap();
        let user = answer.status.unwrap().user_info.unwrap();
        assert_eq!(user.username.as_deref(), Some("ann@example.com"));
        let groups = user.groups.unwrap();
        for group in ["inv:viewers", "inv:approvers"] {
            assert!(groups.iter().any(|g| g == group), "{groups:?}");
        }
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_has_nothing_to_say_against_the_rules() {
    let Some(world) = World::begin("access-types").await else { return };
    if world.is_real() {
        roles::deployed(&world.kubeconfig).await;
        let warnings = wait_for("the server to look at the rules", async || {
            roles::warnings(&world.kubeconfig).await
        });
        assert_eq!(warnings.await, Vec::<String>::new());
    }
    world.end().await;
}

/// What the service units start is what the program understands.
#[test]
fn the_units_name_options_that_there_are() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/systemd");
    let mut units = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let start = text.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
        let words = start.strip_prefix("/usr/local/bin/inv-tui ").unwrap();
        let words = words.strip_suffix(" $OPTIONS").unwrap().replace("%d", "/run/credentials/x");
        let mut words: Vec<&str> = words.split(' ').collect();
        words.push("--help");
        let (code, stdout, stderr) = run_binary(&words);
        assert_eq!(code, 0, "{start}: {stderr}");
        assert!(stdout.contains(&format!("--headless {}", words[1])), "{start}: {stdout}");
        units += 1;
    }
    assert_eq!(units, 9);
}

/// Makes a cluster.
async fn make_cluster(world: &World, name: &str) {
    let api: Api<Cluster> = Api::namespaced(world.client.clone(), &world.namespace);
    let object = json!({
        "apiVersion": "inventory.inv-tui.dev/v1alpha1", "kind": "Cluster", "metadata": {"name": name},
        "spec": {},
    });
    api.patch(name, &PatchParams::apply("test"), &Patch::Apply(object)).await.unwrap();
}
