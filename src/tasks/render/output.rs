//! One file, kept as its hosts are.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::config::Page;
use super::control::Published;
use super::hook;
use super::metrics::Metrics;
use crate::model::render::Hosts;
use crate::model::text;
use crate::tasks::execute::stop_at;
use crate::tasks::replace::{replace, stands};

/// Changes that come within this time are rendered together.
const TOGETHER: Duration = Duration::from_millis(100);
/// A file is rendered at most for this part of the time, so that a large one under constant change leaves
/// something for others.
const SHARE: u32 = 10;
/// Longest time between two writes for that reason.
const LONGEST: Duration = Duration::from_secs(10);
/// First and longest wait before the disk or the command is tried again.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// Why a file is not as its hosts are.
#[derive(Debug)]
pub(super) enum Fault {
    /// The template cannot be filled with these hosts.
    Template(String),
    /// The file cannot be written.
    Disk(io::Error),
}

/// One file.
pub(super) struct Output {
    pub(super) page: Arc<Page>,
    pub(super) metrics: Metrics,
}

impl Page {
    /// The text with these hosts.
    ///
    /// # Errors
    /// What cannot be done with them, and where.
    pub(super) fn fill(&self, hosts: &Hosts) -> Result<String, Fault> {
        self.template.fill_with(hosts.values()).map_err(Fault::Template)
    }

    /// Writes the file as it is with these hosts. False if it is so already.
    ///
    /// # Errors
    /// The old file is still there, and why.
    pub(super) fn write(&self, hosts: &Hosts) -> Result<bool, Fault> {
        let text = self.fill(hosts)?;
        self.put(text.as_bytes()).map_err(Fault::Disk)
    }

    fn put(&self, text: &[u8]) -> io::Result<bool> {
        if !self.command.is_empty() && !stands(&self.path, text)? {
            hook::mark(&self.path)?;
            stop_at("render-marked");
        }
        let is_new = replace(&self.path, text, self.mode)?;
        if is_new {
            stop_at("render-written");
        }
        Ok(is_new)
    }

    /// Tells the reader of the file. Whether that was done.
    pub(super) async fn tell(&self, metrics: &Metrics) -> bool {
        let (file, began) = (&self.name, Instant::now());
        let done = match hook::tell(&self.command, self.timeout).await {
            Ok(said) => hook::unmark(&self.path).map(|()| said).map_err(|cause| cause.to_string()),
            Err(why) => Err(why),
        };
        metrics.command(file, done.is_ok());
        let took = began.elapsed().as_millis();
        match &done {
            Ok(said) => tracing::info!(file, took_ms = %took, output = said, "the command is done"),
            Err(why) => {
                tracing::error!(file, took_ms = %took, error = why, "the command failed; tries again");
            }
        }
        done.is_ok()
    }
}

/// What is not right now, and when it is tried again.
#[derive(Default)]
struct Pause {
    next: Option<Instant>,
    wait: Duration,
}

impl Pause {
    fn failed(&mut self) {
        let (first, longest) = RETRY;
        self.wait = (self.wait * 2).clamp(first, longest);
        self.next = Some(Instant::now() + self.wait.mul_f64(fastrand::f64().mul_add(0.25, 0.75)));
    }

    /// Whether it is time.
    fn is_due(&self) -> bool {
        self.next.is_none_or(|next| next <= Instant::now())
    }
}

impl Output {
    /// Keeps the file as its hosts are, until `stop` becomes true. Nothing is written before all hosts are
    /// known, and nothing while the API server is out of reach; what is there stays as long.
    pub(super) async fn keep(
        self,
        mut published: watch::Receiver<Published>,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut state = State { untold: self.is_untold(), ..State::default() };
        loop {
            let now = published.borrow_and_update().clone();
            let wanted = now.hosts.filter(|_| !now.stale);
            if let Some(hosts) = wanted.clone().filter(|hosts| state.wants(hosts))
                && state.may_render().is_none_or(|at| at <= Instant::now())
            {
                self.render(hosts, &mut state).await;
            }
            if state.untold && state.command.is_due() {
                tokio::select! {
                    // The mark stays, so it is run again next time.
                    _ = stop.wait_for(|stop| *stop) => return,
                    done = self.page.tell(&self.metrics) => {
                        if done {
                            (state.untold, state.command) = (false, Pause::default());
                        } else {
                            state.command.failed();
                        }
                    }
                }
            }
            self.metrics.current(&self.page.name, state.current && !state.untold);
            let waits = wanted.is_some_and(|hosts| state.wants(&hosts));
            let render = state.may_render().filter(|_| waits);
            let command = state.command.next.filter(|_| state.untold);
            let next = render.into_iter().chain(command).min();
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = tokio::time::sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
                changed = published.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    // What follows at once goes with it, and does not put it off.
                    if !waits {
                        state.earliest = state.earliest.max(Some(Instant::now() + TOGETHER));
                    }
                }
            }
        }
    }

    /// Whether a process before this one has not told the reader.
    fn is_untold(&self) -> bool {
        if !hook::is_marked(&self.page.path) {
            return false;
        }
        if self.page.command.is_empty() {
            // The command was taken out of the configuration.
            let _ = hook::unmark(&self.page.path);
            return false;
        }
        true
    }

    async fn render(&self, hosts: Hosts, state: &mut State) {
        let (file, number, count) = (&self.page.name, hosts.number(), hosts.len());
        if hosts.is_empty() && !self.page.allow_empty {
            self.metrics.write(file, "empty");
            (state.seen, state.current) = (Some(number), false);
            state.says(format!("empty {file}"), || {
                tracing::warn!(
                    file,
                    hint = "allow-empty = true lets it be without hosts",
                    "no host is chosen; the file stays as it is"
                );
            });
            return;
        }
        let (page, began) = (Arc::clone(&self.page), Instant::now());
        let done = tokio::task::spawn_blocking(move || page.write(&hosts)).await;
        let share = (began.elapsed() * SHARE).min(LONGEST);
        state.earliest = Some(Instant::now() + share);
        match done.unwrap_or_else(|cause| Err(Fault::Disk(io::Error::other(cause)))) {
            Ok(is_new) => {
                self.metrics.write(file, if is_new { "done" } else { "same" });
                (state.seen, state.current, state.disk) = (Some(number), true, Pause::default());
                state.said = None;
                if is_new {
                    state.earliest = Some(began + self.page.interval.max(share));
                    state.untold = !self.page.command.is_empty();
                    // The text is another one: who refused the last may take this one.
                    state.command = Pause::default();
                    let path = self.page.path.display();
                    tracing::info!(file, %path, hosts = count, "written");
                }
            }
            Err(Fault::Template(why)) => {
                self.metrics.write(file, "template");
                // The same hosts would give the same fault.
                (state.seen, state.current, state.disk) = (Some(number), false, Pause::default());
                let (origin, why) = (&self.page.origin, text::clean(&why).into_owned());
                state.says(why.clone(), || {
                    tracing::error!(
                        file,
                        template = origin,
                        error = why,
                        "the template cannot be filled; the file stays as it is"
                    );
                });
            }
            Err(Fault::Disk(cause)) => {
                self.metrics.write(file, "failed");
                state.current = false;
                state.disk.failed();
                state.says(cause.to_string(), || {
                    let path = self.page.path.display();
                    tracing::error!(file, %path, %cause, "the file is not written; tries again");
                });
            }
        }
    }
}

/// How it is with a file.
#[derive(Default)]
struct State {
    /// The hosts that it was rendered with last, or that it cannot be rendered with.
    seen: Option<u64>,
    /// The file is as they are.
    current: bool,
    /// The reader is to be told.
    untold: bool,
    /// When it may be rendered next.
    earliest: Option<Instant>,
    disk: Pause,
    command: Pause,
    /// The fault that was said last: each is said once.
    said: Option<String>,
}

impl State {
    /// Whether it has not been rendered with these hosts.
    fn wants(&self, hosts: &Hosts) -> bool {
        self.seen != Some(hosts.number())
    }

    /// When it may be rendered; none: at once.
    fn may_render(&self) -> Option<Instant> {
        self.earliest.max(self.disk.next)
    }

    fn says(&mut self, what: String, say: impl FnOnce()) {
        if self.said.as_ref() != Some(&what) {
            say();
            self.said = Some(what);
        }
    }
}
