//! What the agent remembers of this host across its own ends: where it is in maintenance, which
//! upgrade it has done, and what the API server said last.

use std::path::{Path, PathBuf};

use k8s_openapi::jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model::host::Host;
use crate::tasks::execute::ledger::put;

/// Where the host is between service and maintenance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Maintenance {
    /// The hook that ran last.
    pub(super) last: Way,
    /// It is done; false: it has been begun, or it has failed.
    pub(super) done: bool,
    /// What it said.
    pub(super) message: String,
    /// When it ended or began.
    pub(super) at: Timestamp,
    /// How often in a row it has failed.
    #[serde(default)]
    pub(super) failures: u32,
}

/// Into maintenance or out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Way {
    /// The host's work is taken off it.
    Enter,
    /// The host takes up work again.
    Leave,
}

/// An upgrade of the operating system that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Upgrade {
    /// Names the upgrade.
    pub(super) request_id: String,
    /// The boot in which it was begun.
    pub(super) boot_id: String,
    /// What came of it; none: it was begun.
    pub(super) fine: Option<bool>,
    /// What the hook said.
    pub(super) message: String,
    /// The hook says that a reboot is needed.
    #[serde(default)]
    pub(super) reboot_required: bool,
}

/// The agent's folder.
#[derive(Clone, Debug)]
pub(super) struct State {
    folder: PathBuf,
}

impl State {
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    pub(super) fn maintenance(&self) -> Option<Maintenance> {
        self.read("maintenance.json")
    }

    pub(super) fn set_maintenance(&self, value: &Maintenance) -> Result<()> {
        self.write("maintenance.json", value)
    }

    pub(super) fn upgrade(&self) -> Option<Upgrade> {
        self.read("upgrade.json")
    }

    pub(super) fn set_upgrade(&self, value: &Upgrade) -> Result<()> {
        self.write("upgrade.json", value)
    }

    /// The Host as it was read last, of this very name.
    pub(super) fn host(&self, namespace: &str, name: &str) -> Option<Host> {
        let host: Host = self.read("host.json")?;
        let same = host.metadata.name.as_deref() == Some(name)
            && host.metadata.namespace.as_deref() == Some(namespace);
        same.then_some(host)
    }

    pub(super) fn set_host(&self, host: &Host) -> Result<()> {
        let mut host = host.clone();
        host.metadata.managed_fields = None;
        self.write("host.json", &host)
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_slice(&std::fs::read(self.folder.join(name)).ok()?).ok()
    }

    fn write(&self, name: &str, value: &impl Serialize) -> Result<()> {
        let path = self.folder.join(name);
        let fail = |cause: std::io::Error| {
            Error::new(format!("cannot write \"{}\"", path.display())).because(cause)
        };
        let text = serde_json::to_vec(value).map_err(|cause| fail(cause.into()))?;
        put(&self.folder, name, &text).map_err(fail)
    }
}
