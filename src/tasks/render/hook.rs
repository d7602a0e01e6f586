//! The command that tells the reader of a file, and the mark that it has not been told yet.
//!
//! The mark is a file beside the rendered one. It is there before the new text takes the place of the old
//! one, and goes when the command has succeeded: whoever dies in between finds it and runs the command.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::model::text;
use crate::tasks::hooks::{Ending, Ran, execute, plain, trusted};
use crate::tasks::replace::{beside, sync};

/// Characters of a command's output that go into the log: the last ones.
const OUTPUT: usize = 300;

/// Whether the reader of this file is still to be told of a change.
pub(super) fn is_marked(path: &Path) -> bool {
    beside(path, "untold").exists()
}

/// From now on the reader of this file is to be told, whatever happens to this process.
///
/// # Errors
/// The folder is not there or may not be written.
pub(super) fn mark(path: &Path) -> io::Result<()> {
    let mark = beside(path, "untold");
    let open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&mark);
    match open.and_then(|file: File| file.sync_all()) {
        Err(cause) if cause.kind() != ErrorKind::AlreadyExists => Err(cause),
        _ => sync(path),
    }
}

/// The reader of this file knows it as it is.
///
/// # Errors
/// The folder may not be written.
pub(super) fn unmark(path: &Path) -> io::Result<()> {
    match fs::remove_file(beside(path, "untold")) {
        Err(cause) if cause.kind() != ErrorKind::NotFound => Err(cause),
        _ => Ok(()),
    }
}

/// Runs the command. Dropped, it ends it and whatever it has started. What it printed, cut short.
///
/// # Errors
/// Why it did not succeed, with what it printed.
pub(super) async fn tell(words: &[String], limit: Duration) -> Result<String, String> {
    let Some((program, arguments)) = words.split_first() else { return Ok(String::new()) };
    trusted(Path::new(program)).map_err(|why| format!("it is not run: {why}"))?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    plain(&mut command);
    let ran = execute(&mut command, None, limit).await;
    let said = said(&ran);
    let failed = |why: String| if said.is_empty() { why } else { format!("{why}: {said}") };
    match ran.ending {
        Ending::Exit(status) if status.success() => Ok(said),
        Ending::Exit(status) => Err(failed(status.to_string())),
        Ending::Late => Err(failed(format!("it was ended after {} s", limit.as_secs()))),
        Ending::NotBegun(cause) => Err(format!("it cannot be started: {cause}")),
        Ending::Unknown(cause) => Err(failed(cause.to_string())),
    }
}

/// The last of what a program printed, on one line.
fn said(ran: &Ran) -> String {
    let all = [&ran.stdout[..], &ran.stderr[..]].join(&b' ');
    let all = String::from_utf8_lossy(&all);
    let line = all.split_whitespace().collect::<Vec<_>>().join(" ");
    let begin = line.char_indices().rev().nth(OUTPUT - 1).map_or(0, |(at, _)| at);
    text::clean(line.get(begin..).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Vec<String> {
        ["/bin/sh", "-c", script].map(str::to_owned).to_vec()
    }

    const LIMIT: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn what_a_command_prints_is_cut_short_and_harmless() {
        assert_eq!(tell(&[], LIMIT).await.unwrap(), "");
        let said = tell(&shell("printf 'a\\n\\033[2Jb'; echo c >&2"), LIMIT).await.unwrap();
        assert_eq!(said, "a \u{FFFD}[2Jb c");
        // More than a pipe holds, and more than is kept.
        let noisy =
            shell("i=0; while [ $i -lt 30000 ]; do echo 0123456789; i=$((i+1)); done; exit 3");
        let why = tell(&noisy, LIMIT).await.unwrap_err();
        assert!(why.starts_with("exit status: 3: ") && why.len() < 400, "{why}");
    }

    #[tokio::test]
    async fn a_command_that_hangs_is_ended_with_its_children() {
        let dir = tempfile::tempdir().unwrap();
        let pid = dir.path().join("pid");
        let script = format!("sleep 600 & echo $! > {}; wait", pid.display());
        // A machine that is too busy to begin it in that time gives it more.
        let mut begun = None;
        for seconds in [1, 10, 60] {
            let why = tell(&shell(&script), Duration::from_secs(seconds)).await.unwrap_err();
            assert!(why.contains(&format!("ended after {seconds} s")), "{why}");
            begun = fs::read_to_string(&pid).ok().and_then(|text| text.trim().parse().ok());
            if begun.is_some() {
                break;
            }
        }
        let child: i32 = begun.expect("it has begun within a minute");
        let child = rustix::process::Pid::from_raw(child).unwrap();
        let deadline = tokio::time::Instant::now() + LIMIT;
        // Nobody waits for it but init, so it may be a zombie for a while.
        let gone = || {
            let stat = fs::read_to_string(format!("/proc/{}/stat", child.as_raw_nonzero()));
            stat.map_or(true, |stat| stat.contains(") Z "))
        };
        while !gone() {
            assert!(tokio::time::Instant::now() < deadline, "the child lives on");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn what_is_not_there_or_not_to_be_trusted_is_not_run() {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("x");
        fs::write(&script, "#!/bin/sh\n").unwrap();
        let words = [script.to_str().unwrap().to_owned()];
        assert!(tell(&words, LIMIT).await.unwrap_err().contains("not executable"));
        assert!(tell(&["/nowhere/x".to_owned()], LIMIT).await.is_err());
    }

    #[test]
    fn a_mark_stays_until_it_is_taken_away() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hosts.conf");
        assert!(!is_marked(&path));
        unmark(&path).unwrap();
        mark(&path).unwrap();
        mark(&path).unwrap();
        assert!(is_marked(&path) && dir.path().join(".hosts.conf.untold").exists());
        unmark(&path).unwrap();
        assert!(!is_marked(&path));
        assert!(mark(&dir.path().join("no/x")).is_err());
    }
}
