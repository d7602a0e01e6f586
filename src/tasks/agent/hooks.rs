//! Hooks: programs in a folder that do what only this host can do. A hook gets one JSON object on its
//! standard input and no arguments, says by its exit code whether it is done, and may say more in one
//! JSON object on its standard output. Nothing of the API server is ever part of a command.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, getuid, kill_process_group};
use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use crate::model::text;

/// Most bytes of a hook's output that are read.
const OUTPUT: u64 = 64 * 1024;
/// How long the last of the output may take when the hook has ended: something that it has started
/// may hold the pipe for ever.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Longest message of a hook, in characters.
const MESSAGE: usize = 200;

/// What a hook has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Done {
    /// Whether it succeeded.
    pub(super) fine: bool,
    /// What it says, or why it failed.
    pub(super) message: String,
    /// It says that the host has to be rebooted.
    pub(super) reboot_required: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Answer {
    message: String,
    reboot_required: Option<bool>,
}

/// Runs a hook. One that is not there has nothing to do.
pub(super) async fn call(folder: Option<&Path>, name: &str, input: Value, limit: Duration) -> Done {
    let Some(path) = folder.map(|folder| folder.join(name)).filter(|path| path.exists()) else {
        return Done { fine: true, message: format!("there is no hook {name}"), ..Done::default() };
    };
    match trusted(&path) {
        Ok(()) => start(path, input, limit).await,
        Err(why) => Done { message: format!("hook {name} is not run: {why}"), ..Done::default() },
    }
}

/// A program that others could have written is not run.
fn trusted(path: &Path) -> Result<(), String> {
    let about = std::fs::metadata(path).map_err(|cause| cause.to_string())?;
    let (owner, mode) = (about.uid(), about.mode());
    if owner != 0 && owner != getuid().as_raw() {
        return Err("it belongs to another user".to_owned());
    }
    if mode & 0o022 != 0 {
        return Err("others may write it (chmod go-w)".to_owned());
    }
    if mode & 0o111 == 0 {
        return Err("it is not executable (chmod +x)".to_owned());
    }
    Ok(())
}

async fn start(path: PathBuf, input: Value, limit: Duration) -> Done {
    let failed = |message: String| Done { message, ..Done::default() };
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let child = Command::new(&path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(cause) => return failed(format!("hook {name} cannot be started: {cause}")),
    };
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let talk = async {
        let told = async {
            if let Some(mut stdin) = stdin {
                // A hook that does not read what it is told has its reasons.
                let _ = stdin.write_all(input.to_string().as_bytes()).await;
            }
        };
        let mut answer = Vec::new();
        let heard = async {
            if let Some(stdout) = stdout {
                let mut stdout = stdout.take(OUTPUT);
                while let Ok(1..) = stdout.read_buf(&mut answer).await {}
            }
        };
        let ended = async { tokio::join!(told, child.wait()).1 };
        let status = {
            let (mut heard, mut ended) = (std::pin::pin!(heard), std::pin::pin!(ended));
            tokio::select! {
                () = &mut heard => ended.await,
                status = &mut ended => {
                    let _ = tokio::time::timeout(LAST_WORDS, heard).await;
                    status
                }
            }
        };
        (status, answer)
    };
    match tokio::time::timeout(limit, talk).await {
        Ok((Ok(status), answer)) => {
            let answer: Answer = serde_json::from_slice(&answer).unwrap_or_default();
            let said = text::clean(&answer.message).chars().take(MESSAGE).collect::<String>();
            let message = match (status.success(), said.is_empty()) {
                (true, _) => said,
                (false, true) => format!("hook {name} failed: {status}"),
                (false, false) => format!("hook {name} failed: {said}"),
            };
            Done { fine: status.success(), message, reboot_required: answer.reboot_required }
        }
        Ok((Err(cause), _)) => failed(format!("hook {name}: {cause}")),
        Err(_) => {
            if let Some(group) = group {
                let _ = kill_process_group(group, Signal::KILL);
            }
            failed(format!("hook {name} was ended after {} s", limit.as_secs()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn hook(dir: &Path, name: &str, mode: u32, text: &str) {
        let path = dir.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    async fn run(dir: &Path, name: &str, limit: Duration) -> Done {
        call(Some(dir), name, serde_json::json!({"action": "enter; rm -rf /"}), limit).await
    }

    #[tokio::test]
    async fn a_hook_hears_and_answers() {
        let dir = tempfile::tempdir().unwrap();
        let hour = Duration::from_hours(1);
        hook(
            dir.path(),
            "good",
            0o700,
            "#!/bin/sh\ncat >\"$0.in\"\necho '{\"message\": \"done\\u001b[2J\", \"rebootRequired\": true}'\n",
        );
        let done = run(dir.path(), "good", hour).await;
        assert!(done.fine && done.message.starts_with("done") && !done.message.contains('\u{1b}'));
        assert_eq!(done.reboot_required, Some(true));
        let heard = std::fs::read_to_string(dir.path().join("good.in")).unwrap();
        assert_eq!(heard, r#"{"action":"enter; rm -rf /"}"#);
        hook(dir.path(), "bad", 0o700, "#!/bin/sh\necho words\nexit 3\n");
        let done = run(dir.path(), "bad", hour).await;
        assert!(!done.fine && done.message.contains("exit status: 3"), "{}", done.message);
        assert!(run(dir.path(), "none", hour).await.fine);
    }

    #[tokio::test]
    async fn a_hook_may_leave_something_behind() {
        let dir = tempfile::tempdir().unwrap();
        hook(
            dir.path(),
            "starts",
            0o700,
            "#!/bin/sh\n(while read -r a; do :; done <\"$0.fifo\") &\necho '{\"message\": \"started\"}'\n",
        );
        let fifo = dir.path().join("starts.fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
        assert!(made.success());
        let done = run(dir.path(), "starts", Duration::from_secs(20)).await;
        assert_eq!((done.fine, done.message.as_str()), (true, "started"));
        // What is left reads its end and goes.
        drop(std::fs::File::options().read(true).write(true).open(fifo).unwrap());
    }

    #[tokio::test]
    async fn what_others_may_write_is_not_run_and_what_hangs_is_ended() {
        let dir = tempfile::tempdir().unwrap();
        hook(dir.path(), "open", 0o777, "#!/bin/sh\n");
        let done = run(dir.path(), "open", Duration::from_hours(1)).await;
        assert!(!done.fine && done.message.contains("others may write it"));
        hook(dir.path(), "text", 0o600, "");
        assert!(
            run(dir.path(), "text", Duration::from_hours(1)).await.message.contains("chmod +x")
        );
        hook(
            dir.path(),
            "hangs",
            0o700,
            "#!/bin/sh\nread -r a\nwhile :; do read -r a </dev/zero; done\n",
        );
        let done = run(dir.path(), "hangs", Duration::from_millis(50)).await;
        assert!(!done.fine && done.message.contains("was ended after"));
    }
}
