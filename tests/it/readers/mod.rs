//! What reads the inventory: Ansible, scripts, people who look for what is wrong.

mod ansible;
mod doctor;
mod get;

use std::path::Path;

use inv_tui::model::host::Host;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::{Ended, ended};

/// Makes a host of these parts.
async fn make(hosts: &Api<Host>, name: &str, meta: Value, spec: Value, status: Value) {
    let kind = json!({"apiVersion": "inventory.inv-tui.dev/v1alpha1", "kind": "Host"});
    let mut object = kind.clone();
    object["metadata"] = meta;
    object["metadata"]["name"] = name.into();
    object["spec"] = spec;
    let params = PatchParams::apply("test").force();
    hosts.patch(name, &params, &Patch::Apply(object)).await.unwrap();
    let mut object = kind;
    object["status"] = status;
    hosts.patch_status(name, &params, &Patch::Apply(object)).await.unwrap();
}

/// A program in a clean environment with this home folder.
async fn clean(program: &Path, home: &Path, variables: &[(&str, &str)], words: &[&str]) -> Ended {
    let mut command = Command::new(program);
    command
        .args(words)
        .env_clear()
        .envs(variables.iter().copied())
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .env("LC_ALL", "C.UTF-8")
        .env("KUBERC", "off")
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true);
    ended(command.spawn().unwrap()).await
}
