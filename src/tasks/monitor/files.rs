//! Lists of targets as files, as `file_sd` wants them: a new file takes the place of the old one in one
//! step, and only if something else stands in it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::metrics::Metrics;
use super::web::Published;
use crate::tasks::replace::replace;

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
