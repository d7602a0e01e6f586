//! What `deploy/` has is what the program and a real API server understand: manifests and their
//! rights, units, the table of metrics, the dashboard and the alerts.

mod metrics;
mod rights;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::BINARY;

/// A path below `deploy/`.
fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(deploy(name)).unwrap()
}

/// The files of a folder of `deploy/` with this ending.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let all = std::fs::read_dir(deploy(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> =
        all.filter(|path| path.extension().is_some_and(|have| have == ending)).collect();
    found.sort();
    assert!(!found.is_empty(), "{folder}");
    found
}

/// Output of a program, if it is there.
fn output(program: &str, args: &[&str]) -> Option<Output> {
    let done = Command::new(program).args(args).stdin(Stdio::null()).output();
    if done.is_err() {
        eprintln!("skipped: there is no {program}");
    }
    done.ok()
}

fn words(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

#[test]
fn systemd_understands_the_units_and_they_take_away_what_they_can() {
    let dir = tempfile::tempdir().unwrap();
    for unit in files("systemd", "service") {
        let text = std::fs::read_to_string(&unit).unwrap();
        let name = unit.file_name().unwrap().to_str().unwrap();
        // The agent's playbooks change the whole machine; the unit says so.
        if !name.contains("-agent") {
            for line in ["NoNewPrivileges=yes", "ProtectSystem=strict", "PrivateTmp=yes"] {
                assert!(text.lines().any(|have| have == line), "{name}: {line}");
            }
            assert!(text.lines().any(|have| have == "CapabilityBoundingSet="), "{name}");
        }
        assert!(text.contains("\nUMask=0077\n") && text.contains("\nLimitCORE=0\n"), "{name}");
        let copy = dir.path().join(name);
        std::fs::write(&copy, text.replace("/usr/local/bin/inv-tui", BINARY)).unwrap();
        let copy = copy.to_str().unwrap();
        let Some(done) = output("systemd-analyze", &["verify", "--man=no", copy]) else { return };
        assert!(done.status.success() && words(&done).is_empty(), "{name}: {}", words(&done));
    }
}

/// Each task that is a service has a unit, a manifest and a budget for disruptions where two run.
#[test]
fn each_service_has_a_unit_and_a_manifest() {
    let names = |folder, ending| -> Vec<String> {
        let stem = |path: &PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
        files(folder, ending).iter().map(stem).collect()
    };
    let (units, manifests) = (names("systemd", "service"), names("kubernetes", "yaml"));
    for unit in &units {
        let task = unit.strip_prefix("inv-tui-").unwrap();
        // One belongs onto each host, the other keeps its store on one machine.
        if !["agent", "serve"].contains(&task) {
            assert!(manifests.iter().any(|have| have == task), "no manifest for {task}");
        }
    }
    for manifest in manifests.iter().filter(|name| *name != "accounts") {
        assert!(units.contains(&format!("inv-tui-{manifest}")), "no unit for {manifest}");
        let text = read(&format!("kubernetes/{manifest}.yaml"));
        assert!(text.contains("kind: PodDisruptionBudget"), "{manifest}");
    }
}
