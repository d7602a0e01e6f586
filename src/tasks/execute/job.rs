//! What is started for a run: program, arguments, environment, and the files that it reads. Nothing
//! of a request stands in the arguments but what [`config`](super::config) has checked; variables go
//! into a file, marked so that Ansible takes no template in them for one.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::config::{Ansible, Refusal};
use super::ledger::{EVENTS, Entry};
use crate::error::Result;
use crate::model::host::AnsibleRequest;

/// Our callback plugin.
const PLUGIN: &str = include_str!("events.py");
/// What a run gets from our own environment.
const PASSED_ON: [&str; 3] = ["PATH", "HOME", "SSH_AUTH_SOCK"];

/// Variables of this machine in an inventory: the Python that runs Ansible, as for Ansible's own
/// implicit localhost.
const LOCAL: &str = "      ansible_connection: local\n      ansible_python_interpreter: \"{{ ansible_playbook_python }}\"\n";

/// What the supervisor starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Job {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) folder: PathBuf,
    pub(super) timeout_seconds: u64,
    /// Where a checkout is whose revision is to be told.
    pub(super) checkout: Option<PathBuf>,
}

/// How the one host of a run is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// It is this machine.
    Local,
    /// Over ssh, with these variables of Ansible's: names and values that have been checked.
    Ssh(Vec<(&'static str, String)>),
}

/// Writes the files of a run and says what is to be started.
pub(super) fn prepare(
    entry: &Entry,
    ansible: &Ansible,
    request: &AnsibleRequest,
    host: &str,
    reach: &Reach,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Result<Job, Refusal>> {
    let timeout = match ansible.permits(request) {
        Ok(timeout) => timeout,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let mut hosts = inventory(host, reach);
    if ansible.git.is_some() {
        // ansible-pull checks out on a host of this name, and plays on the one that it is limited to.
        hosts.push_str("    \"localhost\":\n");
        hosts.push_str(LOCAL);
    }
    entry.put("inventory.yml", hosts.as_bytes())?;
    entry.put("vars.yml", variables(request).as_bytes())?;
    entry.put("inv_tui_events.py", PLUGIN.as_bytes())?;
    let path = |name: &str| entry.path(name).display().to_string();
    let mut arguments = vec![format!("--inventory={}", path("inventory.yml"))];
    if !request.tags.is_empty() {
        arguments.push(format!("--tags={}", request.tags.join(",")));
    }
    if request.check {
        arguments.push("--check".to_owned());
    }
    if !request.extra_vars.is_empty() {
        arguments.push(format!("--extra-vars=@{}", path("vars.yml")));
    }
    let (program, checkout) = match &ansible.git {
        None => {
            let file = match ansible.file(&request.playbook) {
                Ok(file) => file,
                Err(refusal) => return Ok(Err(refusal)),
            };
            arguments.push(file.display().to_string());
            (ansible.program.clone(), None)
        }
        Some(git) => {
            let checkout = ansible.root.join("checkout");
            arguments.push(format!("--limit={host}"));
            arguments.push(format!("--url={}", git.url));
            let revision = request.revision.as_ref().unwrap_or(&git.revision);
            arguments.push(format!("--checkout={revision}"));
            arguments.push(format!("--directory={}", checkout.display()));
            arguments.push(request.playbook.clone());
            (ansible.program.with_file_name("ansible-pull"), Some(checkout))
        }
    };
    Ok(Ok(Job {
        program,
        arguments,
        environment: environment(entry, ansible, variable),
        folder: ansible.root.clone(),
        timeout_seconds: timeout.max(Duration::from_secs(1)).as_secs(),
        checkout,
    }))
}

fn environment(
    entry: &Entry,
    ansible: &Ansible,
    variable: &dyn Fn(&str) -> Option<String>,
) -> BTreeMap<String, String> {
    let own = [
        ("ANSIBLE_NOCOLOR", "1".to_owned()),
        ("ANSIBLE_RETRY_FILES_ENABLED", "0".to_owned()),
        // Two names of one machine never check out into one folder at once.
        ("ANSIBLE_FORKS", "1".to_owned()),
        ("ANSIBLE_CALLBACK_PLUGINS", entry.folder.display().to_string()),
        ("ANSIBLE_CALLBACKS_ENABLED", "inv_tui_events".to_owned()),
        ("INV_TUI_EVENTS", entry.path(EVENTS).display().to_string()),
        ("LANG", "C.UTF-8".to_owned()),
        ("LC_ALL", "C.UTF-8".to_owned()),
        ("PYTHONUNBUFFERED", "1".to_owned()),
    ];
    let passed = PASSED_ON.iter().copied().chain(ansible.environment.iter().map(String::as_str));
    let passed = passed.filter_map(|name| Some((name.to_owned(), variable(name)?)));
    let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
    passed.chain(own).collect()
}

/// The inventory of a run: its one host.
fn inventory(host: &str, reach: &Reach) -> String {
    let mut text = format!("all:\n  hosts:\n    {}:\n", yaml(host));
    match reach {
        Reach::Local => text.push_str(LOCAL),
        Reach::Ssh(variables) => {
            for (name, value) in variables {
                let _ = writeln!(text, "      {name}: {}", yaml(value));
            }
        }
    }
    text
}

/// Extra variables as a YAML file. `!unsafe` keeps Ansible from taking a template in them for one.
fn variables(request: &AnsibleRequest) -> String {
    let mut text = String::from("---\n");
    for (name, value) in &request.extra_vars {
        let _ = writeln!(text, "{name}: !unsafe {}", yaml(value));
    }
    text
}

/// A text as YAML's double-quoted scalar, which JSON's strings are. What JSON leaves as it is and
/// YAML may not have in a file is written as an escape.
fn yaml(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            _ => {
                let _ = write!(out, "\\U{:08X}", u32::from(c));
            }
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_data() {
        let request: AnsibleRequest = serde_json::from_value(serde_json::json!({
            "requestID": "r", "playbook": "p.yml",
            "extraVars": {"a": "{{ lookup('pipe','x') }}", "b": "\"\n- é\u{1}"},
        }))
        .unwrap();
        assert_eq!(
            variables(&request),
            "---\na: !unsafe \"{{ lookup('pipe','x') }}\"\nb: !unsafe \"\\\"\\U0000000A- \\U000000E9\\U00000001\"\n"
        );
        let ssh = Reach::Ssh(vec![("ansible_host", "10.0.0.1".to_owned())]);
        assert_eq!(
            inventory("web-1", &ssh),
            "all:\n  hosts:\n    \"web-1\":\n      ansible_host: \"10.0.0.1\"\n"
        );
    }
}
