//! What the tests share: the real servers that tests/run has started, a namespace for each test,
//! and control planes of their own for tests that break them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use inv_tui::model::host::Host;
use inv_tui::store::client::{ConnectOptions, connect};
use k8s_openapi::api::core::v1::Namespace as NamespaceObject;
use kube::Client;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::json;

/// The program under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_inv-tui");

/// Says that a test is left out; a failure where nothing may be left out.
pub(crate) fn left_out(why: &str) {
    assert!(std::env::var_os("INV_TUI_REQUIRE_ALL").is_none(), "left out: {why}");
    eprintln!("left out: {why}");
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Runs the program without our environment, but for PATH; exit code, stdout, stderr.
pub(crate) fn run_binary(args: &[&str], env: &[(&str, &str)]) -> (i32, String, String) {
    let home = tempfile::tempdir().expect("a home");
    let output = Command::new(BINARY)
        .args(args)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home.path())
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("the program runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

async fn client(kubeconfig: &str) -> Client {
    let options = ConnectOptions { kubeconfig: Some(PathBuf::from(kubeconfig)), context: None };
    connect(&options).await.expect("the test's kubeconfig").client
}

/// A namespace of its own on a real API server, as its admin.
pub(crate) struct Namespace {
    pub(crate) name: String,
    pub(crate) client: Client,
    pub(crate) kubeconfig: String,
}

impl Namespace {
    /// A fresh namespace on the shared server; `None` where there is none.
    pub(crate) async fn new(prefix: &str) -> Option<Self> {
        let Some(kubeconfig) = variable("INV_TUI_TEST_KUBECONFIG") else {
            left_out("no API server (tests/run starts one)");
            return None;
        };
        Some(Self::on(&kubeconfig, prefix).await)
    }

    async fn on(kubeconfig: &str, prefix: &str) -> Self {
        let client = client(kubeconfig).await;
        let object = NamespaceObject {
            metadata: ObjectMeta { generate_name: Some(format!("{prefix}-")), ..Default::default() },
            ..Default::default()
        };
        let api: Api<NamespaceObject> = Api::all(client.clone());
        let made = api.create(&PostParams::default(), &object).await.expect("a namespace");
        let name = made.metadata.name.expect("the namespace has a name");
        Self { name, client, kubeconfig: kubeconfig.to_owned() }
    }

    /// The hosts of the namespace.
    pub(crate) fn hosts(&self) -> Api<Host> {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// Makes a running host.
    pub(crate) async fn host(&self, name: &str, display: &str, region: &str, cluster: &str) {
        let object = json!({
            "apiVersion": "inventory.inv-tui.dev/v1alpha1",
            "kind": "Host",
            "metadata": {
                "name": name,
                "labels": {"topology.kubernetes.io/region": region},
                "annotations": {"inventory.inv-tui.dev/display-name": display},
            },
            "spec": {"cluster": cluster, "role": "web", "providerID": format!("aws:///{region}a/{name}")},
        });
        let params = PatchParams::apply("test").force();
        self.hosts().patch(name, &params, &Patch::Apply(object)).await.expect("a host");
        let status = json!({
            "apiVersion": "inventory.inv-tui.dev/v1alpha1",
            "kind": "Host",
            "status": {"phase": "Running", "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]},
        });
        self.hosts().patch_status(name, &params, &Patch::Apply(status)).await.expect("its status");
    }
}

/// A control plane of its own, for a test that breaks it. Ends with the test.
pub(crate) struct ControlPlane {
    dir: tempfile::TempDir,
    pub(crate) kubeconfig: String,
}

impl ControlPlane {
    /// A fresh one with our definitions; `None` where none can be started.
    pub(crate) async fn own(name: &str) -> Option<Self> {
        let server = Self::own_without_definitions(name).await?;
        let (code, _, stderr) =
            run_binary(&["--headless", "crds", "--apply", "--kubeconfig", &server.kubeconfig], &[]);
        assert_eq!(code, 0, "{stderr}");
        Some(server)
    }

    /// A fresh one without our definitions; `None` where none can be started.
    pub(crate) async fn own_without_definitions(name: &str) -> Option<Self> {
        // Where tests/run could not start one, there is nothing to start one from.
        if variable("INV_TUI_TEST_CONTROL_PLANE").is_none() {
            left_out("no control plane (tests/run starts one)");
            return None;
        }
        let dir = tempfile::Builder::new().prefix(name).tempdir().expect("a folder");
        let place = dir.path().join("server");
        script(&["start", place.to_str().expect("UTF-8")]);
        let kubeconfig = place.join("admin.kubeconfig").to_str().expect("UTF-8").to_owned();
        Some(Self { dir, kubeconfig })
    }

    fn place(&self) -> String {
        self.dir.path().join("server").to_str().expect("UTF-8").to_owned()
    }

    /// A fresh namespace on it.
    pub(crate) async fn namespace(&self, prefix: &str) -> Namespace {
        Namespace::on(&self.kubeconfig, prefix).await
    }

    /// Ends the API server at once, as a power cut would.
    pub(crate) fn kill_apiserver(&self) {
        script(&["kill-apiserver", &self.place()]);
    }

    /// Starts the API server again: same port, same data.
    pub(crate) fn start_apiserver(&self) {
        script(&["start-apiserver", &self.place()]);
    }

    /// The kubeconfig of a user with a client certificate.
    pub(crate) fn user(&self, name: &str, groups: &[&str]) -> String {
        let place = self.place();
        let mut args = vec!["user", &place, name];
        args.extend(groups);
        script(&args).trim().to_owned()
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        let _ = run_script(&["stop", &self.place()]);
    }
}

fn run_script(args: &[&str]) -> std::io::Result<std::process::Output> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/control-plane/run");
    Command::new(script).args(args).stdin(Stdio::null()).output()
}

fn script(args: &[&str]) -> String {
    let output = run_script(args).expect("tests/control-plane/run");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
