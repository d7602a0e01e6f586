//! Lists of targets as files, as `file_sd` wants them: a new file takes the place of the old one in one
//! step, and only if something else stands in it.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::metrics::Metrics;
use super::web::Published;

/// Changes that come within this time are written together.
const TOGETHER: Duration = Duration::from_millis(100);
/// A file is written at most for this part of the time, so that a large one under constant change
/// leaves something for others.
const SHARE: u32 = 10;
/// Longest time between two writes, and before another try.
const LONGEST: Duration = Duration::from_secs(10);

/// The file of one job.
pub(super) struct Output {
    pub(super) job: String,
    pub(super) path: PathBuf,
    pub(super) mode: u32,
    pub(super) metrics: Metrics,
}

impl Output {
    /// Keeps the file as the list is, until `stop` becomes true. Nothing is written before all hosts are
    /// known; what is there stays as long.
    pub(super) async fn keep(
        &self,
        mut published: watch::Receiver<Published>,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut pause = TOGETHER;
        let mut written = None;
        let mut failed = false;
        loop {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = tokio::time::sleep(pause) => {}
            }
            let Published { list, stale } = published.borrow_and_update().clone();
            let list = list.filter(|list| !(stale && list.is_empty()));
            if let Some(list) = list.filter(|list| written != Some(list.number())) {
                let (number, began) = (list.number(), Instant::now());
                let (path, mode) = (self.path.clone(), self.mode);
                let done =
                    tokio::task::spawn_blocking(move || replace(&path, &list.to_json(), mode))
                        .await;
                match done.unwrap_or_else(|cause| Err(io::Error::other(cause))) {
                    Ok(is_new) => {
                        self.metrics.file(&self.job, if is_new { "done" } else { "same" });
                        (written, failed) = (Some(number), false);
                        pause = (began.elapsed() * SHARE).clamp(TOGETHER, LONGEST);
                    }
                    Err(cause) => {
                        self.metrics.file(&self.job, "failed");
                        let path = self.path.display();
                        if !failed {
                            tracing::error!(%path, %cause, "the targets are not written; tries again");
                        }
                        failed = true;
                        pause = (pause * 2).clamp(Duration::from_secs(1), LONGEST);
                        continue;
                    }
                }
            } else {
                pause = TOGETHER;
            }
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                changed = published.changed() => if changed.is_err() { return },
            }
        }
    }
}

/// Puts a new file in the place of the old one. False if the same stands there already.
fn replace(path: &Path, text: &[u8], mode: u32) -> io::Result<bool> {
    match fs::read(path) {
        Ok(old) if old == text => return Ok(false),
        Err(cause) if cause.kind() != ErrorKind::NotFound => return Err(cause),
        _ => {}
    }
    let folder = path.parent().unwrap_or_else(|| Path::new("/"));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // In the same folder, under a name that "*.json" does not find.
    let temporary = folder.join(format!(".{name}.new"));
    match fs::remove_file(&temporary) {
        Err(cause) if cause.kind() != ErrorKind::NotFound => return Err(cause),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
    // Whatever the process masks.
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(folder)?.sync_all()?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_file_is_replaced_whole_and_only_by_another_text() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.json");
        fs::write(dir.path().join(".node.json.new"), "left by a crash").unwrap();
        assert!(replace(&path, b"[]", 0o644).unwrap());
        let first = fs::metadata(&path).unwrap();
        assert_eq!(first.mode() & 0o777, 0o644);
        assert!(!replace(&path, b"[]", 0o644).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().ino(), first.ino());
        let open = File::open(&path).unwrap();
        assert!(replace(&path, b"[1]", 0o600).unwrap());
        assert_eq!(io::read_to_string(open).unwrap(), "[]", "who reads the old one reads it whole");
        assert_eq!(fs::read_to_string(&path).unwrap(), "[1]");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(replace(&dir.path().join("no/node.json"), b"[]", 0o644).is_err());
    }
}
