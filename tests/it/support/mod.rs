//! What the tests stand on: a namespace of their own on a real API server, the built program, and
//! an EC2, real enough (moto) or scripted.
//!
//! `INV_TUI_TEST_KUBECONFIG`: kubeconfig of an administrator. `INV_TUI_TEST_MOTO`: URL of moto.
//! Where one is missing a test says so and is skipped, unless `INV_TUI_REQUIRE_ALL` is set.

pub(crate) mod control_plane;
pub(crate) mod ec2;
pub(crate) mod fleet;
pub(crate) mod http;
pub(crate) mod monitoring;
pub(crate) mod roles;
pub(crate) mod scripted;
pub(crate) mod sshd;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use inv_tui::model::cluster::Cluster;
use inv_tui::model::host::Host;
use inv_tui::model::source::Source;
use inv_tui::store::client::{ConnectOptions, Connection, connect};
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout};

/// The program under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_inv-tui");

/// Runs the program without our environment, but for PATH; exit code, stdout, stderr.
pub(crate) fn run_binary(args: &[&str]) -> (i32, String, String) {
    let home = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(BINARY)
        .args(args)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

/// An embedded server that can be ended, with its data in this folder; and its URL.
pub(crate) async fn serve(folder: &Path, listen: &str) -> (Child, String) {
    let mut child = Command::new(BINARY)
        .args(["--headless", "serve", "--listen", listen, "--data-dir"])
        .arg(folder)
        .env_clear()
        .env("HOME", folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut url = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    timeout(PATIENCE, stdout.read_line(&mut url)).await.expect("it serves").unwrap();
    (child, url.trim().to_owned())
}

/// For programs whose Leases nobody is to take: they last a minute.
pub(crate) const LONGER_LEASES: (&str, &str) = ("INV_TUI_LEASE_TIMES", "4");

/// How long anything may take until a test gives up on it.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// The value of a variable that a test needs. None, after a line that says so: the test is skipped.
pub(crate) fn needed(variable: &str) -> Option<String> {
    let value = std::env::var(variable).ok().filter(|value| !value.is_empty());
    if value.is_none() {
        assert!(
            std::env::var_os("INV_TUI_REQUIRE_ALL").is_none(),
            "{variable} is not set, and INV_TUI_REQUIRE_ALL is"
        );
        eprintln!("skipped: {variable} is not set");
    }
    value
}

/// A namespace on the real API server, and one on the embedded server, as far as they run.
pub(crate) async fn worlds(name: &str) -> Vec<World> {
    let mut worlds: Vec<World> = World::begin(name).await.into_iter().collect();
    if let Some(embedded) = needed("INV_TUI_TEST_EMBEDDED").map(PathBuf::from)
        && worlds.iter().all(|world| world.kubeconfig != embedded)
    {
        worlds.push(World::on(embedded, name).await);
    }
    worlds
}

/// A refusal (403) with these words in it.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(done: kube::Result<T>, wanted: &str) {
    match done {
        Err(kube::Error::Api(status)) => {
            assert_eq!(status.code, 403, "{status:?}");
            assert!(status.message.contains(wanted), "no {wanted:?} in {:?}", status.message);
        }
        other => panic!("not refused ({wanted:?}): {other:?}"),
    }
}

/// A namespace of one test.
pub(crate) struct World {
    pub(crate) kubeconfig: PathBuf,
    pub(crate) namespace: String,
    pub(crate) client: kube::Client,
    pub(crate) dir: tempfile::TempDir,
}

impl World {
    /// A fresh namespace, on a server that has our definitions. None: skipped.
    pub(crate) async fn begin(name: &str) -> Option<Self> {
        static INSTALLED: OnceCell<()> = OnceCell::const_new();
        let kubeconfig = PathBuf::from(needed("INV_TUI_TEST_KUBECONFIG")?);
        let connection = connection(&kubeconfig).await;
        INSTALLED
            .get_or_init(async || {
                inv_tui::store::definitions::apply(&connection, "default", PATIENCE, |_| {})
                    .await
                    .unwrap();
            })
            .await;
        Some(Self::on(kubeconfig, name).await)
    }

    /// A fresh namespace on a server that has our definitions.
    pub(crate) async fn on(kubeconfig: PathBuf, name: &str) -> Self {
        let namespace = format!("it-{name}-{:08x}", fastrand::u32(..));
        let client = patient(&kubeconfig).await;
        let object = Namespace {
            metadata: ObjectMeta { name: Some(namespace.clone()), ..ObjectMeta::default() },
            ..Namespace::default()
        };
        let api: Api<Namespace> = Api::all(client.clone());
        api.create(&PostParams::default(), &object).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        Self { kubeconfig, namespace, client, dir }
    }

    /// The path of the kubeconfig, for an argument.
    pub(crate) fn kubeconfig(&self) -> &str {
        self.kubeconfig.to_str().unwrap()
    }

    /// Makes a running host.
    pub(crate) async fn make_host(&self, name: &str, display: &str, region: &str, cluster: &str) {
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
        self.hosts().patch(name, &params, &Patch::Apply(object)).await.unwrap();
        let status = json!({
            "apiVersion": "inventory.inv-tui.dev/v1alpha1",
            "kind": "Host",
            "status": {"phase": "Running", "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]},
        });
        self.hosts().patch_status(name, &params, &Patch::Apply(status)).await.unwrap();
    }

    /// Deletes the namespace. What a failed test leaves stays, to be looked at.
    pub(crate) async fn end(self) {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let _ = api.delete(&self.namespace, &DeleteParams::background()).await;
    }

    pub(crate) fn hosts(&self) -> Api<Host> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(crate) fn clusters(&self) -> Api<Cluster> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(crate) async fn all_hosts(&self) -> Vec<Host> {
        self.hosts().list(&ListParams::default()).await.unwrap().items
    }

    /// Name and resourceVersion of each host.
    pub(crate) async fn versions(&self) -> Vec<(String, String)> {
        let version = |host: &Host| (host.name_any(), host.resource_version().unwrap());
        self.all_hosts().await.iter().map(version).collect()
    }

    pub(crate) async fn host(&self, name: &str) -> Host {
        self.hosts().get(name).await.unwrap()
    }

    /// The host as JSON, for what is easier to ask that way.
    pub(crate) async fn json(&self, name: &str) -> Value {
        serde_json::to_value(self.host(name).await).unwrap()
    }

    pub(crate) async fn source(&self, name: &str) -> Source {
        let api: Api<Source> = Api::namespaced(self.client.clone(), &self.namespace);
        api.get(name).await.unwrap()
    }

    /// Changes a host as a person or another program does: a merge patch under another manager.
    pub(crate) async fn edit(&self, name: &str, manager: &str, patch: Value) -> Host {
        let params =
            PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
        self.hosts().patch(name, &params, &Patch::Merge(patch)).await.unwrap()
    }

    /// The program with these words after `--headless`, in a clean environment.
    pub(crate) fn program(&self, words: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command
            .arg("--headless")
            .args(words)
            .args(["-n", &self.namespace])
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .env_clear()
            .env("HOME", self.dir.path())
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test-secret-key")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// A fetch that is to end by itself, and that nobody else is to follow: a busy machine does not take
    /// its Lease away.
    pub(crate) async fn fetch(&self, endpoint: &str, words: &[&str]) -> Ended {
        let mut all = vec!["fetch", "--once", "--endpoint-url", endpoint];
        all.extend(words);
        let mut fetch = self.program(&all);
        fetch.env(LONGER_LEASES.0, LONGER_LEASES.1);
        run(fetch).await
    }
}

pub(crate) async fn connection(kubeconfig: &std::path::Path) -> Connection {
    let options =
        ConnectOptions { kubeconfig: Some(kubeconfig.to_owned()), ..ConnectOptions::default() };
    connect(&options).await.unwrap()
}

/// A client for what a test itself asks and says. Other than the program's it waits for a connection on
/// a busy machine, and asks again when a server that has just begun is not ready for all.
pub(crate) async fn patient(kubeconfig: &std::path::Path) -> kube::Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let options = KubeConfigOptions::default();
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
    config.connect_timeout = Some(PATIENCE);
    kube::Client::try_from(config).unwrap()
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// The same, after a check of the exit code.
    #[track_caller]
    pub(crate) fn with(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// The same, after a check that stderr has all of these.
    #[track_caller]
    pub(crate) fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.stderr.contains(word), "no {word:?} in:\n{}", self.stderr);
        }
        self
    }
}

pub(crate) async fn run(mut command: Command) -> Ended {
    ended(command.spawn().unwrap()).await
}

/// Waits for the end of a program.
pub(crate) async fn ended(child: Child) -> Ended {
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output())
        .await
        .expect("the program goes on and on")
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended {
        code: output.status.code().unwrap_or(-1),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// Asks again and again until there is an answer.
pub(crate) async fn wait_for<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    loop {
        ticks.tick().await;
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
    }
}
