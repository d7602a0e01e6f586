//! Control planes of their own, for tests that break them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{World, needed, run_binary};

/// A control plane of its own, for a test that breaks it. Ends with the test.
pub(crate) struct ControlPlane {
    dir: tempfile::TempDir,
    pub(crate) kubeconfig: String,
}

impl ControlPlane {
    /// A fresh one with our definitions; `None` where none can be started.
    pub(crate) fn own(name: &str) -> Option<Self> {
        let server = Self::own_without_definitions(name)?;
        let (code, _, stderr) =
            run_binary(&["--headless", "crds", "--apply", "--kubeconfig", &server.kubeconfig]);
        assert_eq!(code, 0, "{stderr}");
        Some(server)
    }

    /// A fresh one without our definitions; `None` where none can be started.
    pub(crate) fn own_without_definitions(name: &str) -> Option<Self> {
        // Where tests/run could not start one, there is nothing to start one from.
        needed("INV_TUI_TEST_CONTROL_PLANE")?;
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
    pub(crate) async fn world(&self, name: &str) -> World {
        World::on(PathBuf::from(&self.kubeconfig), name).await
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
