//! `inv-tui --headless execute DIR`: the supervisor of one run, a process of its own. It outlives the
//! agent that started it, so that an agent which ends, is ended or is replaced in the middle of a run
//! finds out afterwards how the run went.

use std::fs::{self, File, OpenOptions};
use std::io::{PipeReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process_group, setsid};
use serde::{Deserialize, Serialize};
use tokio::process::{Child, Command};

use super::job::Job;
use super::ledger::{BEGUN, Entry, JOB, LOG, RESULT, disk};
use crate::error::{EXIT_DONE, Error, Result};

/// Bytes of the log after which a new file is begun; the one before it is kept.
const LOG_SIZE: u64 = 4 << 20;
/// Between the signal that asks a run to end and the one that ends it.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the last of the output may take when the program has ended: something that it left
/// behind may hold the pipe for ever.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// How often the lock is tried, and the pause between two tries.
const LOCK: (u32, Duration) = (600, Duration::from_millis(50));
/// How long git may take to name the revision.
const GIT: Duration = Duration::from_secs(10);

/// Supervise one run. Started by the agent and the runner, never by hand.
#[derive(Args, Clone, Debug)]
pub struct ExecuteArgs {
    /// Folder of the run in the ledger
    folder: PathBuf,
}

/// How a run ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Ended {
    /// Return code, if it ended by itself.
    pub(crate) rc: Option<i32>,
    /// When the program had ended.
    pub(crate) finished_at: Option<Timestamp>,
    /// Why there is no return code, or none that counts.
    pub(crate) message: Option<String>,
    /// Revision of the playbooks, where it can be told.
    pub(crate) revision: Option<String>,
}

/// Runs the job in the folder, unless it has been begun before. Whatever comes of it stands in
/// `result.json`.
///
/// # Errors
/// The ledger cannot be read or written. Nothing is run then.
pub async fn run(args: ExecuteArgs) -> Result<u8> {
    let entry = Entry { folder: args.folder };
    let Some(lock) = lock(&entry).await? else { return Ok(EXIT_DONE) };
    if entry.has(BEGUN) || entry.has(RESULT) {
        return Ok(EXIT_DONE);
    }
    let Some(job) = entry.read::<Job>(JOB) else {
        return Err(Error::usage(format!("there is no job in \"{}\"", entry.folder.display())));
    };
    // A session of its own: what ends the agent's terminal or group does not end the run.
    let _ = setsid();
    entry.put(BEGUN, b"")?;
    let mut ended = supervise(&entry, &job, &lock).await;
    ended.finished_at = Timestamp::from_second(Timestamp::now().as_second()).ok();
    ended.revision = revision(job.checkout.as_deref().unwrap_or(&job.folder)).await;
    entry.write(RESULT, &ended)?;
    drop(lock);
    Ok(EXIT_DONE)
}

/// The lock of the run; none if another supervisor has it. Whoever asks whether the run goes on has
/// it for a moment, so one try is not enough.
async fn lock(entry: &Entry) -> Result<Option<File>> {
    let (tries, pause) = LOCK;
    for _ in 0..tries {
        let lock = entry.lock().map_err(|cause| disk(&entry.folder, cause))?;
        if lock.is_some() {
            return Ok(lock);
        }
        tokio::time::sleep(pause).await;
    }
    Ok(None)
}

async fn supervise(entry: &Entry, job: &Job, lock: &File) -> Ended {
    let failed = |message: String| Ended { message: Some(message), ..Ended::default() };
    let (mut child, log) = match start(entry, job, lock) {
        Ok(started) => started,
        Err(cause) => {
            return failed(format!("{} cannot be started: {cause}", job.program.display()));
        }
    };
    let limit = Duration::from_secs(job.timeout_seconds);
    let (status, late) = match tokio::time::timeout(limit, child.wait()).await {
        Ok(status) => (status, false),
        Err(_) => (end(&mut child).await, true),
    };
    let _ = tokio::time::timeout(LAST_WORDS, log).await;
    match status {
        _ if late => {
            failed(format!("ended after {} s: it took longer than allowed", limit.as_secs()))
        }
        Err(cause) => failed(format!("its end cannot be told: {cause}")),
        Ok(status) => match (status.code(), status.signal()) {
            (Some(rc), _) => Ended { rc: Some(rc), ..Ended::default() },
            (None, signal) => failed(format!("ended by signal {}", signal.unwrap_or_default())),
        },
    }
}

type Log = tokio::sync::oneshot::Receiver<()>;

fn start(entry: &Entry, job: &Job, lock: &File) -> std::io::Result<(Child, Log)> {
    let (reader, writer) = std::io::pipe()?;
    let log = open_log(&entry.path(LOG))?;
    let child = Command::new(&job.program)
        .args(&job.arguments)
        .env_clear()
        .envs(&job.environment)
        .current_dir(&job.folder)
        // An empty file, and the lock: while the program lives the lock is held, come what may of
        // its supervisor. The supervisor holds it too, until the result is written: a run that has
        // ended and has no result yet would be taken for one whose supervisor died.
        .stdin(Stdio::from(lock.try_clone()?))
        .stdout(Stdio::from(writer.try_clone()?))
        .stderr(Stdio::from(writer))
        .process_group(0)
        .spawn()?;
    let (done, finished) = tokio::sync::oneshot::channel();
    let path = entry.path(LOG);
    std::thread::spawn(move || {
        pump(reader, log, &path);
        let _ = done.send(());
    });
    Ok((child, finished))
}

fn open_log(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// Writes the output into the log, in two files of a bounded size. When the disk is full the run goes
/// on without a log.
fn pump(mut from: PipeReader, mut log: File, path: &Path) {
    let mut size = 0;
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if log.write_all(buffer.get(..count).unwrap_or_default()).is_err() {
            continue;
        }
        size += count as u64;
        if size >= LOG_SIZE
            && fs::rename(path, path.with_extension("before")).is_ok()
            && let Ok(next) = open_log(path)
        {
            (log, size) = (next, 0);
        }
    }
}

/// Ends the program and everything in its group, also what is left when the program has ended.
async fn end(child: &mut Child) -> std::io::Result<std::process::ExitStatus> {
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let signal = |signal| group.map(|group| kill_process_group(group, signal));
    let _ = signal(Signal::TERM);
    let ended = tokio::time::timeout(PATIENCE, child.wait()).await;
    let _ = signal(Signal::KILL);
    match ended {
        Ok(status) => status,
        Err(_) => child.wait().await,
    }
}

/// The revision that a checkout is at.
async fn revision(folder: &Path) -> Option<String> {
    let git = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(["rev-parse", "--short=12", "HEAD"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(GIT, git).await.ok()?.ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned()).filter(|text| {
        output.status.success() && text.len() <= 64 && text.chars().all(|c| c.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn job(folder: &Path, script: &str) -> Job {
        Job {
            program: PathBuf::from("/bin/sh"),
            arguments: vec!["-c".to_owned(), script.to_owned()],
            environment: BTreeMap::new(),
            folder: folder.to_owned(),
            timeout_seconds: 60,
            checkout: None,
        }
    }

    #[tokio::test]
    async fn who_only_asks_for_the_lock_does_not_end_a_supervisor() {
        let dir = tempfile::tempdir().unwrap();
        let entry = Entry { folder: dir.path().to_owned() };
        let asked = entry.lock().unwrap().unwrap();
        let (found, ()) = tokio::join!(lock(&entry), async move { drop(asked) });
        assert!(found.unwrap().is_some());
    }

    #[tokio::test]
    async fn what_takes_too_long_is_ended_with_everything_that_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let entry = Entry { folder: dir.path().to_owned() };
        let lock = entry.lock().unwrap().unwrap();
        // The one in the background does not listen to TERM, and holds the lock.
        let script = "exec 3<&0; (trap '' TERM; while :; do read -r a </dev/zero; done) & wait";
        let job = Job { timeout_seconds: 1, ..job(dir.path(), script) };
        let ended = supervise(&entry, &job, &lock).await;
        assert!(ended.message.unwrap().contains("longer than allowed"));
        drop(lock);
        let deadline = std::time::Instant::now() + Duration::from_secs(30);
        while entry.goes_on() {
            assert!(std::time::Instant::now() < deadline, "something of the run lives on");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn the_lock_is_held_until_the_result_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let entry = Entry { folder: dir.path().to_owned() };
        let lock = entry.lock().unwrap().unwrap();
        let ended = supervise(&entry, &job(dir.path(), "echo done; exit 3"), &lock).await;
        assert_eq!(ended.rc, Some(3));
        assert!(entry.lock().unwrap().is_none(), "no result is written yet");
        drop(lock);
        assert!(entry.lock().unwrap().is_some());
        assert_eq!(fs::read_to_string(entry.path(LOG)).unwrap(), "done\n");
    }
}
