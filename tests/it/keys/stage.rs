//! What the keys are pressed on: an embedded server of its own with the same small fleet each time,
//! and a person's folders.

use std::path::{Path, PathBuf};

use inv_tui::model::csr::BOOTSTRAPPERS;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::process::Child;

use crate::pty::Pty;
use crate::support::{BINARY, World, connection, serve, wait_for};
use crate::views::file;

const NAMESPACE: &str = "inventory";

const CONFIG: &str = r#"theme = "night"
ssh = ["fake-ssh", "-l", "ops", "{address}"]
[ansible]
playbooks = ["site.yml", "report.yml"]
[browser]
aws = { for = "aws:///*", url = "https://console.example.com/{region}/{id}" }
"#;

const VIEWS: &str = "[[view]]\nname = \"web hosts\"\nkey = 1\nfilter = \"role=web\"\n\
    [[view]]\nname = \"by team\"\nkey = 2\nform = \"tree\"\ngroup = \"team\"\n";

/// Writes the words that it was called with, one a line, at once.
const PROGRAM: &str = "#!/bin/sh\nfor word in \"$@\"; do printf '%s\\n' \"$word\"; done > \"$CALLED.new\"\n\
    mv \"$CALLED.new\" \"$CALLED\"\n";

/// A server with the fleet, and a person's folders.
pub(super) struct Stage {
    pub(super) world: World,
    home: tempfile::TempDir,
    _server: Child,
    _folder: tempfile::TempDir,
}

/// A running explorer, and where a program that it starts writes.
pub(super) struct Explorer {
    pub(super) pty: Pty,
    /// What a program that it has started was called with.
    called: PathBuf,
    /// The folder of its state.
    pub(super) state: tempfile::TempDir,
}

impl Stage {
    pub(super) async fn begin() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (server, _url) = serve(folder.path(), "127.0.0.1:0").await;
        let kubeconfig = folder.path().join("admin.kubeconfig");
        let client = connection(&kubeconfig).await.client;
        let dir = tempfile::tempdir().unwrap();
        let world = World { kubeconfig, namespace: NAMESPACE.to_owned(), client, dir };
        let this = Self { world, home: home(), _server: server, _folder: folder };
        this.fill().await;
        this
    }

    /// Starts the explorer in a terminal of this size, with nothing remembered.
    pub(super) fn explorer(&self, size: (u16, u16)) -> Explorer {
        let state = tempfile::tempdir().unwrap();
        let called = state.path().join("called");
        let home = self.home.path().to_str().unwrap();
        let path = format!("{home}/bin:{}", std::env::var("PATH").unwrap());
        let env = [
            ("HOME", home),
            ("XDG_CONFIG_HOME", home),
            ("XDG_STATE_HOME", state.path().to_str().unwrap()),
            ("XDG_CACHE_HOME", state.path().to_str().unwrap()),
            ("PATH", &path),
            ("BROWSER", "fake-browser"),
            ("CALLED", called.to_str().unwrap()),
        ];
        let args = ["--kubeconfig", self.world.kubeconfig(), "-n", NAMESPACE];
        let pty = Pty::start(BINARY, &args, &env, size);
        Explorer { pty, called, state }
    }

    /// Another person gives a host a label.
    pub(super) async fn label(&self, host: &str) {
        let patch = json!({"metadata": {"labels": {"rack": "r9"}}});
        self.world.edit(host, "kubectl-label", patch).await;
    }

    async fn fill(&self) {
        for (name, hosts) in
            [("shop-eu", "web"), ("data-eu", "db"), ("shop-us", "web"), ("data-us", "db")]
        {
            let region = if name.ends_with("eu") { "eu-west-1" } else { "us-east-1" };
            let spec = json!({
                "region": region, "team": team(hosts), "environment": environment(region),
                "disruption": {"maxUnavailable": 2},
                "ansible": {"playbooks": [
                    {"path": "site.yml", "description": "everything", "tags": ["web", "dns"]},
                    {"path": "report.yml", "checkOnly": true},
                ]},
            });
            self.apply("Cluster", name, json!({ "spec": spec })).await;
        }
        for n in 1..=12 {
            self.make_host(n).await;
        }
        let source = json!({
            "spec": {"type": "AWS", "interval": "720h", "scopes": ["eu-west-1", "us-east-1"]},
            "status": {
                "lastPass": ago(60), "durationMillis": 4_200, "seen": 12, "created": 0, "changed": 1,
                "gone": 0, "errors": 0, "missing": 0,
                "scopes": [
                    {"name": "eu-west-1", "lastComplete": ago(60), "durationMillis": 2_100, "seen": 6},
                    {"name": "us-east-1", "lastComplete": ago(60), "durationMillis": 2_100, "seen": 6, "changed": 1},
                ],
                "conditions": [condition("Healthy", true, "Passed", "12 hosts in 2 scopes")],
            },
        });
        self.apply("Source", "aws", source).await;
        let asker = self.world.client_as("asker", &[BOOTSTRAPPERS]).await;
        file(&asker, &self.world, "aws-i-05", &["inv:hosts"]).await;
    }

    /// The hosts are the same each time: the second is held, the third has a run that failed, the
    /// fourth does not answer, the tenth is stopped; the rest is well.
    async fn make_host(&self, n: usize) {
        let region = if n <= 6 { "eu-west-1" } else { "us-east-1" };
        let role = if (n - 1) % 6 < 3 { "web" } else { "db" };
        let land = region.split('-').next().unwrap();
        let cluster = format!("{}-{land}", if role == "web" { "shop" } else { "data" });
        let name = format!("aws-i-{n:02}");
        let zone = format!("{region}{}", if n.is_multiple_of(2) { "a" } else { "b" });
        let mut spec = json!({
            "providerID": format!("aws:///{zone}/i-{n:02}"), "cluster": cluster, "role": role,
            "team": team(role), "environment": environment(region),
        });
        let phase = match n {
            2 => "Maintenance",
            4 => "Unreachable",
            10 => "Stopped",
            _ => "Running",
        };
        let mut status = json!({
            "phase": phase, "launchTime": ago(24 * 40),
            "addresses": [{"type": "InternalIP", "address": format!("10.0.{}.{n}", n / 7)}],
            "hardware": {"arch": "amd64", "cpus": 4, "memoryMiB": 16_384, "instanceType": "m5.xlarge"},
            "os": {"id": "debian", "version": "13", "kernel": "6.12.0"},
            "sources": {"aws": {"uid": format!("i-{n:02}"), "state": "Running", "rawState": "running",
                "since": ago(24 * 40)}},
        });
        match n {
            2 => {
                spec["maintenance"] = json!({"bob": {"reason": "disk swap", "mode": "Drain",
                    "since": ago(60), "until": ago(-24 * 20 - 12)}});
                status["maintenance"] = json!({"active": true, "holders": "bob", "since": ago(60),
                    "until": ago(-24 * 20 - 12)});
            }
            3 => {
                spec["ansible"] = json!({"requestID": "r-3", "playbook": "site.yml",
                    "requestedBy": "ann", "reason": "patch day"});
                status["ansible"] = json!({
                    "requestID": "r-3", "state": "Failed", "executor": "agent", "startedAt": ago(60),
                    "finishedAt": ago(59), "rc": 2, "ok": 3, "changed": 1, "failed": 1,
                    "unreachable": 0, "task": "install nginx", "message": "1 task failed",
                    "tail": "TASK [install nginx] ****\nfatal: [localhost]: FAILED!\n",
                });
                status["operations"] = json!([{"id": "r-3", "verb": "ansible", "by": "ann",
                    "at": ago(59), "reason": "patch day", "result": "failed"}]);
            }
            4 => {
                status["conditions"] = json!([condition(
                    "AgentReady",
                    false,
                    "NoHeartbeat",
                    "it has said nothing since"
                )]);
            }
            _ => {}
        }
        let labels = json!({
            "topology.kubernetes.io/region": region, "topology.kubernetes.io/zone": zone,
            "inventory.inv-tui.dev/source": "aws", "inventory.inv-tui.dev/environment": environment(region),
            "rack": format!("r{}", n % 3 + 1),
        });
        let display = format!("{role}-{land}-{}", (n - 1) % 3 + 1);
        let annotations = json!({"inventory.inv-tui.dev/display-name": display});
        let object = json!({"metadata": {"labels": labels, "annotations": annotations},
            "spec": spec, "status": status});
        self.apply("Host", &name, object).await;
    }

    /// Makes an object of ours: what its status is to be beside the rest.
    async fn apply(&self, kind: &str, name: &str, mut object: Value) {
        let kind = GroupVersionKind::gvk("inventory.inv-tui.dev", "v1alpha1", kind);
        let api: Api<DynamicObject> = Api::namespaced_with(
            self.world.client.clone(),
            NAMESPACE,
            &ApiResource::from_gvk(&kind),
        );
        object["apiVersion"] = json!("inventory.inv-tui.dev/v1alpha1");
        object["kind"] = json!(kind.kind);
        object["metadata"]["name"] = json!(name);
        let status = object.as_object_mut().unwrap().remove("status");
        let params = PatchParams::apply("inv-tui-fetch-aws").force();
        api.patch(name, &params, &Patch::Apply(&object)).await.unwrap();
        if let Some(status) = status {
            let object =
                json!({"apiVersion": object["apiVersion"], "kind": kind.kind, "status": status});
            api.patch_status(name, &params, &Patch::Apply(&object)).await.unwrap();
        }
    }
}

fn team(role: &str) -> &'static str {
    if role == "web" { "storefront" } else { "data" }
}

fn environment(region: &str) -> &'static str {
    if region == "eu-west-1" { "staging" } else { "dev" }
}

impl Explorer {
    /// Waits until a program was called with these words.
    pub(super) async fn called(&self, words: &str) {
        let called = async || std::fs::read_to_string(&self.called).ok().filter(|is| is == words);
        wait_for(&format!("a call with {words:?}"), called).await;
    }
}

/// So many hours ago, and half an hour more: no age changes its words while the tests run.
fn ago(hours: i64) -> String {
    let time = Timestamp::now() - SignedDuration::from_mins(hours * 60 + 30);
    format!("{}", time.strftime("%Y-%m-%dT%H:%M:%SZ"))
}

fn condition(kind: &str, is: bool, reason: &str, message: &str) -> Value {
    json!({"type": kind, "status": if is { "True" } else { "False" }, "reason": reason,
        "message": message, "lastTransitionTime": ago(72)})
}

/// A person's folder: configuration, saved views, and programs in front of all others.
fn home() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let home = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = home.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    };
    write("inv-tui/config.toml", CONFIG);
    write("inv-tui/views.toml", VIEWS);
    for name in ["bin/fake-ssh", "bin/fake-browser"] {
        let path: &Path = &write(name, PROGRAM);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    home
}
