//! The runner's file: what may be run, and how hosts are reached.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::config::from_toml;
use crate::error::{Error, Result};
use crate::model::host::{AddressType, Host};
use crate::tasks::execute::Reach;
use crate::tasks::execute::config::{Ansible, length};

/// The runner's file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RunnerConfig {
    /// What may be run.
    pub(super) ansible: Ansible,
    /// How hosts are reached.
    #[serde(default)]
    pub(super) ssh: Ssh,
    /// How long another runner must have been gone until what it had begun ends as Unknown.
    #[serde(default = "gone_after", deserialize_with = "length")]
    pub(super) gone_after: Duration,
}

/// `[ssh]` of the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(super) struct Ssh {
    /// User on the hosts. None: the one that runs the runner.
    pub(super) user: Option<String>,
    /// Port on the hosts.
    pub(super) port: u16,
    /// Private key; it must be readable by the runner alone. None: the agent in `SSH_AUTH_SOCK`.
    pub(super) key: Option<PathBuf>,
    /// Keys of the hosts. None: `~/.ssh/known_hosts`.
    pub(super) known_hosts: Option<PathBuf>,
    /// Take the key of a host that is not known yet. A key that has changed is never taken.
    pub(super) accept_new: bool,
    /// Python on the hosts. None: Ansible looks for it.
    pub(super) python: Option<PathBuf>,
}

impl Default for Ssh {
    fn default() -> Self {
        Self { user: None, port: 22, key: None, known_hosts: None, accept_new: false, python: None }
    }
}

fn gone_after() -> Duration {
    Duration::from_mins(5)
}

impl RunnerConfig {
    /// Reads the file.
    ///
    /// # Errors
    /// It cannot be read or has a mistake; the exit code is for set-up.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let fail = |cause: Box<dyn std::error::Error + Send + Sync>| {
            Error::usage(format!("cannot use the runner's file \"{}\"", path.display()))
                .because(cause)
                .hint("deploy/runner.toml is an example with every setting")
        };
        let text = std::fs::read_to_string(path).map_err(|cause| fail(cause.into()))?;
        let config: Self = from_toml(&text).map_err(|cause| fail(cause.into()))?;
        config.ansible.check()?;
        config.ssh.check().map_err(|why| fail(why.into()))?;
        if config.ansible.git.is_some() {
            return Err(fail(
                "a runner has no [ansible] git: ansible-pull works on the host itself".into(),
            )
            .hint("keep a checkout in the root up to date by other means"));
        }
        Ok(config)
    }
}

impl Ssh {
    /// Values become variables of Ansible's and options of ssh, so they are plain words.
    fn check(&self) -> Result<(), String> {
        let plain = |text: &str| {
            let legal = |c: char| c.is_ascii_alphanumeric() || "._@+-".contains(c);
            !text.is_empty() && !text.starts_with('-') && text.chars().all(legal)
        };
        if let Some(user) = self.user.as_deref().filter(|user| !plain(user)) {
            return Err(format!("ssh.user \"{user}\" is no plain name"));
        }
        for (name, path) in
            [("key", &self.key), ("known-hosts", &self.known_hosts), ("python", &self.python)]
        {
            let Some(path) = path else { continue };
            let fine = path.to_str().is_some_and(|text| text.split('/').skip(1).all(plain));
            if !path.is_absolute() || !fine {
                let shown = path.display();
                return Err(format!(
                    "ssh.{name} \"{shown}\" is not an absolute path of letters, digits and ._@+-"
                ));
            }
        }
        Ok(())
    }

    /// How a host is reached. None: it has no address yet.
    pub(super) fn reach(&self, host: &Host) -> Option<Reach> {
        let address = address(host)?;
        let text = |path: &PathBuf| path.display().to_string();
        let mut options = vec![
            "-o BatchMode=yes".to_owned(),
            format!(
                "-o StrictHostKeyChecking={}",
                if self.accept_new { "accept-new" } else { "yes" }
            ),
        ];
        if let Some(file) = &self.known_hosts {
            options.push(format!("-o UserKnownHostsFile={}", text(file)));
            options.push("-o GlobalKnownHostsFile=/dev/null".to_owned());
        }
        if self.key.is_some() {
            options.push("-o IdentitiesOnly=yes".to_owned());
        }
        let mut variables = vec![
            ("ansible_connection", "ssh".to_owned()),
            ("ansible_host", address.to_string()),
            ("ansible_port", self.port.to_string()),
            ("ansible_ssh_common_args", options.join(" ")),
        ];
        variables.extend(self.user.clone().map(|user| ("ansible_user", user)));
        variables.extend(self.key.as_ref().map(|key| ("ansible_ssh_private_key_file", text(key))));
        variables.extend(self.python.as_ref().map(|p| ("ansible_python_interpreter", text(p))));
        Some(Reach::Ssh(variables))
    }
}

/// The first internal address of a host, else the first external one. Only what really is one: the
/// text comes from a provider and ends as an argument of ssh.
fn address(host: &Host) -> Option<IpAddr> {
    let all = &host.status.as_ref()?.addresses;
    [AddressType::InternalIP, AddressType::ExternalIP].into_iter().find_map(|type_| {
        let mut found = all.iter().filter(|address| address.type_ == type_);
        found.find_map(|address| address.address.parse().ok())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn host(addresses: &serde_json::Value) -> Host {
        let mut host = Host::new("web-1", crate::model::host::HostSpec::default());
        host.status = serde_json::from_value(json!({ "addresses": addresses })).unwrap();
        host
    }

    #[test]
    fn the_first_real_address_is_taken() {
        let of = |addresses: serde_json::Value| address(&host(&addresses)).map(|ip| ip.to_string());
        let entry = |type_: &str, address: &str| json!({"type": type_, "address": address});
        assert_eq!(of(json!([])), None);
        assert_eq!(
            of(json!([entry("Hostname", "web-1"), entry("ExternalDNS", "x.example")])),
            None
        );
        let both = json!([entry("ExternalIP", "198.51.100.7"), entry("InternalIP", "10.0.0.1")]);
        assert_eq!(of(both).unwrap(), "10.0.0.1");
        let hostile = json!([
            entry("InternalIP", "-oProxyCommand=touch x"),
            entry("InternalIP", "{{ lookup('pipe', 'x') }}"),
            entry("ExternalIP", "2001:db8::7"),
        ]);
        assert_eq!(of(hostile).unwrap(), "2001:db8::7");
    }

    #[test]
    fn the_example_works_and_what_is_no_plain_word_is_refused() {
        let config = RunnerConfig::read(Path::new("deploy/runner.toml")).unwrap();
        assert!(!config.ansible.playbooks.is_empty());
        let Some(Reach::Ssh(variables)) =
            config.ssh.reach(&host(&json!([{"type": "InternalIP", "address": "10.0.0.1"}])))
        else {
            panic!("no way to the host");
        };
        let value = |name| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str());
        assert_eq!(value("ansible_host"), Some("10.0.0.1"));
        assert!(value("ansible_ssh_common_args").unwrap().contains("StrictHostKeyChecking=yes"));
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("runner.toml");
        for (text, why) in [
            ("[ansible]\nroot = \"/a\"\n[ssh]\nuser = \"-oProxyCommand=x\"", "ssh.user"),
            ("[ansible]\nroot = \"/a\"\n[ssh]\nkey = \"relative\"", "ssh.key"),
            ("[ansible]\nroot = \"/a\"\n[ssh]\nknown-hosts = \"/a b\"", "ssh.known-hosts"),
            (
                "[ansible]\nroot = \"/a\"\ngit = { url = \"u\", revision = \"main\" }",
                "no [ansible] git",
            ),
            ("[ssh]\nport = 22", "ansible"),
        ] {
            std::fs::write(&file, text).unwrap();
            let error = RunnerConfig::read(&file).unwrap_err();
            assert!(crate::error::chain(&error).contains(why), "{text}: {error}");
            assert_eq!(error.exit_code(), crate::error::EXIT_USAGE);
        }
    }
}
