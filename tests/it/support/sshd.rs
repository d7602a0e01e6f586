//! A machine that is reached over ssh: this one, by an sshd that knows one key.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::needed;

/// `INV_TUI_TEST_SSHD`: the program. It is started for each connection that is made to us, as inetd
/// does it, so it needs no port of its own and ends with its connection.
pub(crate) struct Sshd {
    dir: tempfile::TempDir,
    pub(crate) port: u16,
    pub(crate) user: String,
    accepts: JoinHandle<()>,
}

impl Sshd {
    /// None: skipped.
    pub(crate) async fn begin() -> Option<Self> {
        let program = needed("INV_TUI_TEST_SSHD")?;
        let dir = tempfile::tempdir().unwrap();
        for key in ["host", "user"] {
            let file = dir.path().join(key);
            let args = ["-q", "-t", "ed25519", "-N", "", "-C", key, "-f", file.to_str().unwrap()];
            assert!(Command::new("ssh-keygen").args(args).status().unwrap().success());
        }
        let place = dir.path().display();
        let config = format!(
            "HostKey {place}/host\nAuthorizedKeysFile {place}/user.pub\nStrictModes no\nUsePAM no\n\
             PasswordAuthentication no\nPermitRootLogin prohibit-password\nPidFile none\n"
        );
        std::fs::write(dir.path().join("sshd_config"), config).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let key = std::fs::read_to_string(dir.path().join("host.pub")).unwrap();
        std::fs::write(dir.path().join("known_hosts"), format!("[127.0.0.1]:{port} {key}"))
            .unwrap();
        std::fs::write(dir.path().join("nobody_known"), "").unwrap();
        let user = Command::new("id").arg("-un").output().unwrap().stdout;
        let user = String::from_utf8(user).unwrap().trim().to_owned();
        let file = dir.path().join("sshd_config");
        let accepts = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let stream = stream.into_std().unwrap();
                stream.set_nonblocking(false).unwrap();
                let socket = OwnedFd::from(stream);
                let log = std::fs::File::create(file.with_file_name("sshd.log")).unwrap();
                let mut child = tokio::process::Command::new(&program)
                    .args(["-i", "-e", "-f"])
                    .arg(&file)
                    .stdin(Stdio::from(socket.try_clone().unwrap()))
                    .stdout(Stdio::from(socket))
                    .stderr(log)
                    .spawn()
                    .unwrap();
                tokio::spawn(async move { child.wait().await });
            }
        });
        Some(Self { dir, port, user, accepts })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `[ssh]` of a runner's file that leads here. `known` is the file with the keys of hosts.
    pub(crate) fn config(&self, known: &Path) -> String {
        format!(
            "[ssh]\nuser = {:?}\nport = {}\nkey = \"{}\"\nknown-hosts = \"{}\"\n",
            self.user,
            self.port,
            self.path("user").display(),
            known.display(),
        )
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.accepts.abort();
    }
}
