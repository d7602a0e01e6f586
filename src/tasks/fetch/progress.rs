//! One line on a terminal that says how far a pass is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::telemetry;

/// Time between two drawings.
const EVERY: Duration = Duration::from_millis(200);

/// Counts for the line.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pages: AtomicUsize,
    seen: AtomicUsize,
    written: AtomicUsize,
}

impl Progress {
    /// A page with so many hosts came.
    pub(super) fn page(&self, hosts: usize) {
        self.pages.fetch_add(1, Ordering::Relaxed);
        self.seen.fetch_add(hosts, Ordering::Relaxed);
    }

    /// A host was written, or could not be.
    pub(super) fn written(&self) {
        self.written.fetch_add(1, Ordering::Relaxed);
    }

    /// The line for several sources together.
    fn line(all: &[Arc<Self>], seconds: f64) -> String {
        let picks: [fn(&Self) -> &AtomicUsize; 3] = [|p| &p.pages, |p| &p.seen, |p| &p.written];
        let [pages, seen, written] =
            picks.map(|pick| all.iter().map(|p| pick(p).load(Ordering::Relaxed)).sum::<usize>());
        #[expect(clippy::cast_precision_loss, reason = "a rate for a person")]
        let rate = written as f64 / seconds.max(0.001);
        format!("fetch: {pages} pages, {seen} seen, {written} written, {rate:.0}/s, {seconds:.0} s")
    }
}

/// Draws until it is dropped.
pub(super) struct Drawing(tokio::task::JoinHandle<()>);

impl Drawing {
    pub(super) fn start(progress: Vec<Arc<Progress>>) -> Self {
        Self(tokio::spawn(async move {
            let began = Instant::now();
            let mut ticks = tokio::time::interval(EVERY);
            loop {
                ticks.tick().await;
                telemetry::progress(&Progress::line(&progress, began.elapsed().as_secs_f64()));
            }
        }))
    }
}

impl Drop for Drawing {
    fn drop(&mut self) {
        self.0.abort();
        telemetry::progress("");
    }
}
