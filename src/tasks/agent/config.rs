//! The agent's file, and which host this machine is.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::config::from_toml;
use crate::error::{Error, Result};
use crate::model::labels;
use crate::tasks::execute::config::{Ansible, length};

/// Where the kernel shows what the firmware says of the machine.
const DMI: &str = "/sys/class/dmi/id";

/// The agent's file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct AgentConfig {
    /// What may be run. None: no runs.
    #[serde(default)]
    pub(super) ansible: Option<Ansible>,
    /// Programs for what only this host can do.
    #[serde(default)]
    pub(super) hooks: Hooks,
    /// Time between two heartbeats.
    #[serde(default = "heartbeat", deserialize_with = "length")]
    pub(super) heartbeat: Duration,
}

/// `[hooks]` of the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(super) struct Hooks {
    /// Folder with `maintenance-enter`, `maintenance-leave` and `os-upgrade`. One that is missing
    /// has nothing to do.
    pub(super) folder: Option<PathBuf>,
    /// How long a hook may take.
    #[serde(deserialize_with = "length")]
    pub(super) timeout: Duration,
}

impl Default for Hooks {
    fn default() -> Self {
        Self { folder: None, timeout: Duration::from_mins(30) }
    }
}

fn heartbeat() -> Duration {
    Duration::from_secs(10)
}

impl AgentConfig {
    /// Reads the file; without one there are no runs and no hooks.
    ///
    /// # Errors
    /// It cannot be read or has a mistake; the exit code is for set-up.
    pub(super) fn read(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else {
            let hooks = Hooks::default();
            return Ok(Self { ansible: None, hooks, heartbeat: heartbeat() });
        };
        let fail = |cause: Box<dyn std::error::Error + Send + Sync>| {
            Error::usage(format!("cannot use the agent's file \"{}\"", path.display()))
                .because(cause)
                .hint("deploy/agent.toml is an example with every setting")
        };
        let text = std::fs::read_to_string(path).map_err(|cause| fail(cause.into()))?;
        let config: Self = from_toml(&text).map_err(|cause| fail(cause.into()))?;
        if let Some(ansible) = &config.ansible {
            ansible.check()?;
        }
        Ok(config)
    }
}

/// The name of the Host that this machine is, from what its firmware says: the instance id that EC2
/// puts into the asset tag, else the serial number.
///
/// # Errors
/// Neither is there; the exit code is for usage.
pub(super) fn host_name() -> Result<String> {
    let read = |name: &str| std::fs::read_to_string(Path::new(DMI).join(name)).ok();
    name_of(read("board_asset_tag").as_deref(), read("product_serial").as_deref()).ok_or_else(|| {
        Error::usage("cannot tell which host this machine is")
            .hint("name its Host object with --host; the firmware says neither an EC2 instance id nor a serial number that can be read")
    })
}

fn name_of(asset_tag: Option<&str>, serial: Option<&str>) -> Option<String> {
    let hex = |text: &str| text.len() >= 8 && text.chars().all(|c| c.is_ascii_hexdigit());
    let tag = asset_tag.map(str::trim).filter(|tag| tag.strip_prefix("i-").is_some_and(hex));
    if let Some(tag) = tag {
        return Some(format!("aws-{tag}"));
    }
    let serial = serial.map(str::trim).filter(|serial| {
        !serial.is_empty() && !serial.to_lowercase().contains("not specified") && *serial != "None"
    })?;
    Some(labels::to_object_name(&format!("dc-{}", serial.to_lowercase()), serial))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_firmware_names_the_host() {
        assert_eq!(name_of(Some("i-0abc12345678\n"), Some("x")).unwrap(), "aws-i-0abc12345678");
        assert_eq!(name_of(Some("rack 7"), Some("CZ3-1234 \n")).unwrap(), "dc-cz3-1234");
        assert_eq!(name_of(None, Some("Not Specified")), None);
        assert_eq!(name_of(None, None), None);
    }

    #[test]
    fn the_example_is_a_file_that_works() {
        let config = AgentConfig::read(Some(Path::new("deploy/agent.toml"))).unwrap();
        assert!(!config.ansible.unwrap().playbooks.is_empty());
        assert!(AgentConfig::read(None).unwrap().ansible.is_none());
        let missing = AgentConfig::read(Some(Path::new("deploy/none.toml"))).unwrap_err();
        assert_eq!(missing.exit_code(), crate::error::EXIT_USAGE);
    }
}
