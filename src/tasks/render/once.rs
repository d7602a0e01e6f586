//! Files that are rendered once: to try a template, for cron, to see what would change.

use std::io::{ErrorKind, Write};

use jiff::Timestamp;

use super::config::Page;
use super::diff::diff;
use super::hook;
use super::metrics::Metrics;
use super::output::Fault;
use crate::error::{EXIT_DONE, EXIT_FAILED, Error, Result};
use crate::model::render::{Hosts, Views, WholeHost};
use crate::model::selection::LeftOut;
use crate::model::text;
use crate::store::client::Connection;
use crate::store::list::{PAGE, each_host};

/// The files and their hosts.
pub(super) struct Once(Vec<(Page, Hosts, LeftOut)>);

/// What the template or the disk says, in words.
fn failed(page: &Page, fault: Fault) -> Error {
    match fault {
        Fault::Template(why) => {
            Error::new(format!("cannot fill the template \"{}\"", page.origin)).because(why)
        }
        Fault::Disk(cause) => {
            Error::new(format!("cannot write \"{}\"", page.path.display())).because(cause)
        }
    }
}

fn unwritten(cause: std::io::Error) -> Error {
    Error::new("cannot write the text").because(cause)
}

impl Once {
    /// Reads the hosts.
    ///
    /// # Errors
    /// What the server said.
    pub(super) async fn read(
        connection: &Connection,
        namespace: &str,
        pages: Vec<Page>,
    ) -> Result<Self> {
        let now = Timestamp::now();
        let mut views = Views::new(pages.iter().map(|page| page.want(now)).collect());
        each_host(connection, namespace, PAGE, |json| {
            let whole: WholeHost = serde_json::from_slice(json)
                .map_err(|cause| Error::new("cannot read a host").because(cause))?;
            views.apply(Box::new(whole), now);
            Ok(())
        })
        .await?;
        let hosts: Vec<Hosts> = views.files().map(|(hosts, _)| hosts.clone()).collect();
        let all = pages.into_iter().zip(hosts).zip(views.left_out());
        Ok(Self(all.map(|((page, hosts), left_out)| (page, hosts, left_out)).collect()))
    }

    /// Prints the text of the first file.
    ///
    /// # Errors
    /// There is no host, the template fails, or standard output cannot be written.
    pub(super) fn print(&self) -> Result<u8> {
        let mut out = std::io::stdout().lock();
        for (page, hosts, left_out) in &self.0 {
            any(page, hosts, left_out)?;
            let text = page.fill(hosts).map_err(|fault| failed(page, fault))?;
            out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(unwritten)?;
        }
        Ok(EXIT_DONE)
    }

    /// Prints what would be written. That something would is no failure.
    ///
    /// # Errors
    /// The last of what is in the way; the other files are compared all the same.
    pub(super) fn compare(&self) -> Result<u8> {
        let mut out = std::io::stdout().lock();
        let mut last = None;
        for (page, hosts, left_out) in &self.0 {
            let text = any(page, hosts, left_out)
                .and_then(|()| page.fill(hosts).map_err(|fault| failed(page, fault)));
            let text = match text {
                Ok(text) => text,
                Err(problem) => {
                    say(last.replace(problem));
                    continue;
                }
            };
            let old = match std::fs::read(&page.path) {
                Ok(old) => String::from_utf8_lossy(&old).into_owned(),
                Err(cause) if cause.kind() == ErrorKind::NotFound => String::new(),
                Err(cause) => {
                    say(last.replace(failed(page, Fault::Disk(cause))));
                    continue;
                }
            };
            let told = diff(&old, &text);
            if !told.is_empty() {
                let path = page.path.display().to_string();
                let path = text::clean(&path);
                writeln!(out, "--- {path}\n+++ {path} (rendered)\n{told}").map_err(unwritten)?;
            }
        }
        last.map_or(Ok(EXIT_DONE), Err)
    }

    /// Writes what is not as it should be, and tells the readers of it and of what an earlier process did
    /// not tell them.
    ///
    /// # Errors
    /// The last of what is in the way; the other files are written all the same.
    pub(super) async fn write(self) -> Result<u8> {
        let (metrics, _registry) = Metrics::new();
        let mut last = None;
        let mut untold = false;
        for (page, hosts, left_out) in self.0 {
            let count = hosts.len();
            let page = std::sync::Arc::new(page);
            let done = match any(&page, &hosts, &left_out) {
                Ok(()) => {
                    let writer = std::sync::Arc::clone(&page);
                    let written = tokio::task::spawn_blocking(move || writer.write(&hosts)).await;
                    let written = written
                        .unwrap_or_else(|cause| Err(Fault::Disk(std::io::Error::other(cause))));
                    written.map_err(|fault| failed(&page, fault))
                }
                Err(problem) => Err(problem),
            };
            match done {
                Ok(is_new) => {
                    let (file, path) = (&page.name, page.path.display());
                    let what = if is_new { "written" } else { "it stays as it is" };
                    tracing::info!(file, %path, hosts = count, "{what}");
                }
                Err(problem) => say(last.replace(problem)),
            }
            if !page.command.is_empty() && hook::is_marked(&page.path) {
                untold |= !page.tell(&metrics).await;
            }
        }
        match last {
            Some(problem) => Err(problem),
            None if untold => Ok(EXIT_FAILED),
            None => Ok(EXIT_DONE),
        }
    }
}

/// Says what was in the way of one file, when another one is told of at the end.
fn say(problem: Option<Error>) {
    if let Some(problem) = problem {
        let error = crate::error::chain(&problem);
        tracing::error!(error, hint = problem.next_step(), "a file is not rendered");
    }
}

/// Whether there is a host, where one is needed.
fn any(page: &Page, hosts: &Hosts, left_out: &LeftOut) -> Result<()> {
    if !hosts.is_empty() || page.allow_empty {
        return Ok(());
    }
    let name = &page.name;
    Err(Error::nothing(format!("no host is chosen for \"{name}\" (left out: {left_out})"))
        .hint("include adds hosts that are left out; --allow-empty makes it no error"))
}
