//! The embedded server as a program of its own: what survives a kill, who may do what, and several
//! programs on one store.

mod hostile;
mod kill;
mod roles;
mod serve;
mod sharing;

use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use inv_tui::model::host::Host;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::support::{BINARY, Ended, PATIENCE, patient};

const NAMESPACE: &str = "inventory";

/// `inv-tui --headless serve` on a folder, in a clean environment.
fn program(folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command
        .args(["--headless", "serve", "--data-dir"])
        .arg(folder)
        .args(words)
        .env_clear()
        .env("HOME", folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// A running `serve`. Killed when it is dropped.
struct Serving {
    child: Child,
    url: String,
    kubeconfig: PathBuf,
    log: std::fs::File,
}

impl Serving {
    /// Starts it and waits until it serves.
    async fn start(folder: &Path, words: &[&str]) -> Self {
        let mut log = tempfile::tempfile().unwrap();
        let mut command = program(folder, &["--listen", "127.0.0.1:0"]);
        let mut child = command.args(words).stderr(log.try_clone().unwrap()).spawn().unwrap();
        let mut url = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        timeout(PATIENCE, stdout.read_line(&mut url)).await.expect("it serves").unwrap();
        assert!(url.starts_with("https://"), "{url:?} {}", text(&mut log));
        let kubeconfig = folder.join("admin.kubeconfig");
        Self { child, url: url.trim().to_owned(), kubeconfig, log }
    }

    /// As the administrator.
    async fn client(&self) -> kube::Client {
        patient(&self.kubeconfig).await
    }

    async fn hosts(&self) -> Api<Host> {
        Api::namespaced(self.client().await, NAMESPACE)
    }

    /// Where it listens.
    fn address(&self) -> &str {
        self.url.strip_prefix("https://").unwrap()
    }

    /// As a power cut ends it.
    async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// As a service manager ends it.
    async fn stop(mut self) -> Ended {
        let pid = self.child.id().unwrap().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().await.unwrap();
        assert!(sent.success());
        let status = timeout(PATIENCE, self.child.wait()).await.expect("it ends").unwrap();
        let stderr = text(&mut self.log);
        Ended { code: status.code().unwrap_or(-1), stdout: String::new(), stderr }
    }
}

fn text(log: &mut std::fs::File) -> String {
    let mut text = String::new();
    log.rewind().unwrap();
    log.read_to_string(&mut text).unwrap();
    text
}

/// Makes a running host, or changes its role.
async fn make_host(hosts: &Api<Host>, name: &str, role: &str) {
    let object = json!({
        "apiVersion": "inventory.inv-tui.dev/v1alpha1", "kind": "Host",
        "metadata": {"name": name, "labels": {"topology.kubernetes.io/region": "eu-west-1"},
            "annotations": {"inventory.inv-tui.dev/display-name": name}},
        "spec": {"cluster": "shop", "role": role, "providerID": format!("aws:///eu-west-1a/{name}")},
    });
    let params = PatchParams::apply("test").force();
    hosts.patch(name, &params, &Patch::Apply(object)).await.unwrap();
    let status = json!({
        "apiVersion": "inventory.inv-tui.dev/v1alpha1", "kind": "Host",
        "status": {"phase": "Running"},
    });
    hosts.patch_status(name, &params, &Patch::Apply(status)).await.unwrap();
}

/// The refusal's code.
fn code<T: std::fmt::Debug>(result: kube::Result<T>) -> u16 {
    match result {
        Err(kube::Error::Api(status)) => status.code,
        other => panic!("not refused: {other:?}"),
    }
}
