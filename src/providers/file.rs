//! A file with a list of hosts: YAML, JSON or CSV, told by the end of its name.
//!
//! YAML and JSON have a list of hosts, or an object with the list under `hosts`; CSV has a first line
//! with the names of the columns. The fields of a host ([`map::FIELDS`]):
//!
//! | field | meaning |
//! | --- | --- |
//! | `id` | required, never changes: the object is named after it |
//! | `name` | what people call it |
//! | `state` | `running` (the default), `stopped`, `planned`, `pending`, `gone` |
//! | `address`, `public-address`, `oob-address`, `hostname` | one, or several separated by blanks |
//! | `region`, `zone`, `account`, `os`, `provider-id` | as in a Host |
//! | `arch`, `cpus`, `memory-mib`, `type`, `vendor`, `model`, `serial`, `asset-tag`, `uuid`, `rack`, `position` | what it is made of |
//! | `cluster`, `role`, `team`, `environment` | defaults of the Host's fields |
//! | `tags` | a map of texts; in CSV a column `tag:NAME` for each |
//!
//! An item that cannot be read is named with its line or place and left as it stands; a file that
//! cannot be parsed at all is no listing.

mod csv;
mod map;

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use futures::future::{BoxFuture, FutureExt};
use futures::stream::{self, BoxStream, StreamExt};
use serde_json::Value;

use super::{Page, Provider, ProviderError, ProviderErrorKind, Scope};
use crate::error::{Error, Result};
use crate::model::source::SourceType;

/// Time between two looks at the file.
const LOOK: Duration = Duration::from_secs(2);
/// Most bytes of the file.
const MAX_FILE: u64 = 64 * 1024 * 1024;
/// Looks at a file that changes while it is read.
const TRIES: u32 = 5;
/// Hosts in one page.
const PAGE: usize = 1000;

/// How the file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// YAML, which JSON is too.
    Yaml,
    /// Values separated by commas, RFC 4180.
    Csv,
}

/// Which file.
#[derive(Clone, Debug)]
pub struct FileOptions {
    /// Its path.
    pub path: PathBuf,
    /// How it is written.
    pub format: Format,
}

impl Format {
    /// The format that the end of a file's name says.
    ///
    /// # Errors
    /// Another end; the exit code is for usage.
    pub fn of(path: &std::path::Path) -> Result<Self> {
        match path.extension().and_then(|end| end.to_str()) {
            Some("yaml" | "yml" | "json") => Ok(Self::Yaml),
            Some("csv") => Ok(Self::Csv),
            _ => Err(Error::usage(format!("\"{}\" is of no known kind", path.display()))
                .hint("name it .yaml, .yml, .json or .csv")),
        }
    }
}

/// When and how long a file was when it was looked at.
type Mark = (SystemTime, u64);

/// A file with hosts.
pub struct File {
    options: FileOptions,
    read: Mutex<Option<Mark>>,
}

impl File {
    /// A file. It is not read yet.
    pub fn new(options: FileOptions) -> Self {
        Self { options, read: Mutex::default() }
    }

    async fn mark(&self) -> std::io::Result<Mark> {
        let meta = tokio::fs::metadata(&self.options.path).await?;
        Ok((meta.modified()?, meta.len()))
    }

    /// The text, as it was at one moment: what somebody is writing is waited for.
    async fn text(&self) -> Result<String> {
        let what = || format!("cannot read the hosts in \"{}\"", self.options.path.display());
        let failed = |cause: std::io::Error| Error::new(what()).because(cause);
        for _ in 0..TRIES {
            let before = self.mark().await.map_err(failed)?;
            // even if it cannot be read: that is no reason to look again before it changes
            *self.read.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
            if before.1 > MAX_FILE {
                let most = MAX_FILE / 1024 / 1024;
                return Err(Error::new(format!("{}: it is longer than {most} MiB", what())));
            }
            let bytes = tokio::fs::read(&self.options.path).await.map_err(failed)?;
            if self.mark().await.map_err(failed)? == before {
                return String::from_utf8(bytes).map_err(|cause| {
                    Error::new(format!("{}: it is no UTF-8", what())).because(cause)
                });
            }
            tokio::time::sleep(LOOK / 10).await;
        }
        Err(Error::new(format!("{}: it changes all the time", what()))
            .hint("write it under another name and move it into place"))
    }

    async fn pages(&self) -> Result<Vec<Page>, ProviderError> {
        let wrong = |error| ProviderError { kind: ProviderErrorKind::Other, error };
        let text = self
            .text()
            .await
            .map_err(|error| ProviderError { kind: ProviderErrorKind::Unreachable, error })?;
        let items = self.items(&text).map_err(wrong)?;
        let mut ids = std::collections::HashSet::new();
        let mut pages = Vec::new();
        for chunk in items.chunks(PAGE) {
            let mut page = Page::default();
            for (place, item) in chunk {
                match map::observe(place, item, &mut ids) {
                    Ok(host) => page.hosts.push(host),
                    Err(problem) => page.problems.push(problem),
                }
            }
            pages.push(page);
        }
        Ok(pages)
    }

    /// Each item, and where it stands.
    fn items(&self, text: &str) -> Result<Vec<(String, Value)>> {
        let what = || format!("cannot read the hosts in \"{}\"", self.options.path.display());
        if self.options.format == Format::Csv {
            let rows = csv::rows(text).map_err(|why| Error::new(what()).because(why))?;
            return Ok(rows.into_iter().map(|(n, row)| (format!("line {n}"), row)).collect());
        }
        let body: Value = serde_saphyr::from_str(text).map_err(|cause| {
            Error::new(what()).because(cause.to_string().lines().next().unwrap_or_default())
        })?;
        let list = match body {
            Value::Array(list) => list,
            Value::Object(mut map) if map.len() == 1 => match map.remove("hosts") {
                Some(Value::Array(list)) => list,
                _ => return Err(Error::new(what()).because("there is no list under \"hosts\"")),
            },
            _ => {
                return Err(Error::new(what())
                    .because("it is no list of hosts")
                    .hint("write a list, or an object with a list under hosts"));
            }
        };
        Ok(list
            .into_iter()
            .enumerate()
            .map(|(n, item)| (format!("host {}", n + 1), item))
            .collect())
    }
}

impl Provider for File {
    fn source_type(&self) -> SourceType {
        SourceType::File
    }

    fn name(&self) -> &'static str {
        "file"
    }

    fn scopes(&self) -> BoxFuture<'_, Result<Vec<Scope>, ProviderError>> {
        async { Ok(vec![Scope::all()]) }.boxed()
    }

    fn list<'a>(&'a self, _scope: &'a str) -> BoxStream<'a, Result<Page, ProviderError>> {
        let pages = async {
            match self.pages().await {
                Ok(pages) => pages.into_iter().map(Ok).collect(),
                Err(problem) => vec![Err(problem)],
            }
        };
        stream::once(pages).flat_map(stream::iter).boxed()
    }

    fn stirred(&self) -> BoxFuture<'_, ()> {
        let read = *self.read.lock().unwrap_or_else(PoisonError::into_inner);
        async move {
            loop {
                tokio::time::sleep(LOOK).await;
                // a file that went away is looked for again; it is no news
                if let Ok(mark) = self.mark().await
                    && Some(mark) != read
                {
                    return;
                }
            }
        }
        .boxed()
    }
}
