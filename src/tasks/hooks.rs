//! Programs that do what only this site or this host can do. A program gets one JSON object on its
//! standard input and no arguments, says by its exit code whether it is done, and may say more in one
//! JSON object on its standard output. Nothing of the API server is ever part of a command.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, getuid, kill_process_group};
use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use crate::model::text;

/// Most bytes of a program's output that are read.
const OUTPUT: u64 = 64 * 1024;
/// How long the last of the output may take when the program has ended: something that it has started
/// may hold the pipe for ever.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Longest message of a program, in characters.
const MESSAGE: usize = 200;
/// What a program gets of our environment when it does not get all of it.
const PLAIN: [&str; 4] = ["PATH", "HOME", "LANG", "TZ"];

/// What a program has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::tasks) struct Done {
    /// Whether it succeeded.
    pub(in crate::tasks) fine: bool,
    /// Whether it was begun at all.
    pub(in crate::tasks) begun: bool,
    /// What it says, or why it failed.
    pub(in crate::tasks) message: String,
    /// It says that the host has to be rebooted.
    pub(in crate::tasks) reboot_required: Option<bool>,
}

/// Which environment a program gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tasks) enum Environment {
    /// All of ours.
    Ours,
    /// Only where programs, its home and its language are: ours may hold credentials.
    Plain,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Answer {
    message: String,
    reboot_required: Option<bool>,
}

/// A program that others could have written is not run.
///
/// # Errors
/// Why not.
pub(in crate::tasks) fn trusted(path: &Path) -> Result<(), String> {
    let about = std::fs::metadata(path).map_err(|cause| cause.to_string())?;
    let (owner, mode) = (about.uid(), about.mode());
    if !about.is_file() {
        return Err("it is no file".to_owned());
    }
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

/// The processes of a program, which are ended when nobody waits for it any more.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0.take() {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Runs a program that is trusted, in a process group of its own. Dropped, it ends the whole group.
pub(in crate::tasks) async fn start(
    path: &Path,
    environment: Environment,
    input: Value,
    limit: Duration,
) -> Done {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut command = Command::new(path);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true);
    if environment == Environment::Plain {
        command.env_clear();
        let kept = PLAIN.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        command.envs(kept);
    }
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(cause) => {
            let message = format!("hook {name} cannot be started: {cause}");
            return Done { message, ..Done::default() };
        }
    };
    let failed = |message: String| Done { message, begun: true, ..Done::default() };
    let mut group = Group(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw));
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
            // What it left behind on purpose lives on, and its number may be another's by now.
            group.0 = None;
            let answer: Answer = serde_json::from_slice(&answer).unwrap_or_default();
            let said = text::clean(&answer.message).chars().take(MESSAGE).collect::<String>();
            let message = match (status.success(), said.is_empty()) {
                (true, _) => said,
                (false, true) => format!("hook {name} failed: {status}"),
                (false, false) => format!("hook {name} failed: {said}"),
            };
            let reboot_required = answer.reboot_required;
            Done { fine: status.success(), begun: true, message, reboot_required }
        }
        Ok((Err(cause), _)) => failed(format!("hook {name}: {cause}")),
        Err(_) => failed(format!("hook {name} was ended after {} s", limit.as_secs())),
    }
}
