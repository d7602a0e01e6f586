//! Programs that do what only this site or this host can do. A program gets one JSON object on its
//! standard input and no arguments, says by its exit code whether it is done, and may say more in one
//! JSON object on its standard output. Nothing of the API server is ever part of a command.

use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, getuid, kill_process_group};
use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::model::text;

/// Most bytes of a program's output that are kept.
const OUTPUT: usize = 64 * 1024;
/// How long the last of the output may take when the program has ended: something that it has started
/// may hold the pipe for ever.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long a program may take to be written, and between two looks at it.
const WRITTEN: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(20);
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

/// How a program ended.
#[derive(Debug)]
pub(in crate::tasks) enum Ending {
    /// It could not be started.
    NotBegun(io::Error),
    /// By itself.
    Exit(ExitStatus),
    /// Nobody knows how.
    Unknown(io::Error),
    /// It took too long and was ended with all that it had started.
    Late,
}

/// What a program did and said.
#[derive(Debug)]
pub(in crate::tasks) struct Ran {
    pub(in crate::tasks) ending: Ending,
    /// The first of its standard output, where that is a pipe.
    pub(in crate::tasks) stdout: Vec<u8>,
    /// The first of its standard error, where that is a pipe.
    pub(in crate::tasks) stderr: Vec<u8>,
}

/// Leaves a program only what it needs of our environment, which may hold credentials.
pub(in crate::tasks) fn plain(command: &mut Command) {
    command.env_clear();
    let kept = PLAIN.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    command.envs(kept);
}

/// Runs a program in a process group of its own. Dropped, it ends the whole group.
pub(in crate::tasks) async fn execute(
    command: &mut Command,
    input: Option<&[u8]>,
    limit: Duration,
) -> Ran {
    let ran = |ending| Ran { ending, stdout: Vec::new(), stderr: Vec::new() };
    command.process_group(0).kill_on_drop(true);
    let mut child = match begin(command).await {
        Ok(child) => child,
        Err(cause) => return ran(Ending::NotBegun(cause)),
    };
    let mut group = Group(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw));
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let mut ran = ran(Ending::Late);
    let talk = async {
        let told = async {
            if let (Some(mut stdin), Some(input)) = (stdin, input) {
                // A hook that does not read what it is told has its reasons.
                let _ = stdin.write_all(input).await;
            }
        };
        let heard = async {
            tokio::join!(hear(stdout, &mut ran.stdout), hear(stderr, &mut ran.stderr));
        };
        let ended = async { tokio::join!(told, child.wait()).1 };
        let (mut heard, mut ended) = (std::pin::pin!(heard), std::pin::pin!(ended));
        tokio::select! {
            () = &mut heard => ended.await,
            status = &mut ended => {
                let _ = tokio::time::timeout(LAST_WORDS, heard).await;
                status
            }
        }
    };
    if let Ok(status) = tokio::time::timeout(limit, talk).await {
        ran.ending = status.map_or_else(Ending::Unknown, |status| {
            // What it left behind on purpose lives on, and its number may be another's by now.
            group.0 = None;
            Ending::Exit(status)
        });
    }
    ran
}

/// Starts a program. One that somebody writes at this moment is waited for, for a short time.
async fn begin(command: &mut Command) -> io::Result<Child> {
    let until = Instant::now() + WRITTEN;
    loop {
        match command.spawn() {
            Err(cause)
                if cause.kind() == ErrorKind::ExecutableFileBusy && Instant::now() < until =>
            {
                tokio::time::sleep(LOOK).await;
            }
            done => return done,
        }
    }
}

/// Reads a pipe to its end and keeps the first of it: who is not listened to would wait.
async fn hear(pipe: Option<impl AsyncRead + Unpin>, into: &mut Vec<u8>) {
    let Some(mut pipe) = pipe else { return };
    let mut some = vec![0; 4_096];
    while let Ok(count @ 1..) = pipe.read(&mut some).await {
        let space = OUTPUT.saturating_sub(into.len()).min(count);
        into.extend_from_slice(some.get(..space).unwrap_or_default());
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
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    if environment == Environment::Plain {
        plain(&mut command);
    }
    let ran = execute(&mut command, Some(input.to_string().as_bytes()), limit).await;
    let failed = |message: String| Done { message, begun: true, ..Done::default() };
    match ran.ending {
        Ending::NotBegun(cause) => {
            let message = format!("hook {name} cannot be started: {cause}");
            Done { message, ..Done::default() }
        }
        Ending::Exit(status) => {
            let answer: Answer = serde_json::from_slice(&ran.stdout).unwrap_or_default();
            let said = text::clean(&answer.message).chars().take(MESSAGE).collect::<String>();
            let message = match (status.success(), said.is_empty()) {
                (true, _) => said,
                (false, true) => format!("hook {name} failed: {status}"),
                (false, false) => format!("hook {name} failed: {said}"),
            };
            let reboot_required = answer.reboot_required;
            Done { fine: status.success(), begun: true, message, reboot_required }
        }
        Ending::Unknown(cause) => failed(format!("hook {name}: {cause}")),
        Ending::Late => failed(format!("hook {name} was ended after {} s", limit.as_secs())),
    }
}
