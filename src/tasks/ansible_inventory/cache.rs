//! The last inventory, kept for when the API server is away: one file for each server, user, context,
//! namespace and way of asking, so that none ever answers for another. Files are 0600 in a folder
//! that is 0700. A file is a line of JSON with its time, then the inventory but for its end.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::document;
use crate::config;
use crate::error::{Error, Result};
use crate::files::{self, Fresh};
use crate::model::hostvars::data;
use crate::store::client::hash;

/// What is written here; another number for another form.
const FORM: u32 = 1;
/// Files that are kept at most: each way of asking has its own.
const MAX_FILES: usize = 32;

/// The first line of a file.
#[derive(Serialize, Deserialize)]
struct Head {
    form: u32,
    made: Timestamp,
}

/// Where an inventory is kept.
pub(super) struct Cache {
    folder: PathBuf,
    file: PathBuf,
    max_age: Duration,
}

impl Cache {
    /// The place of the inventory that `what` tells from all others; none if this user has no folder
    /// for such things.
    pub(super) fn own(what: &str, max_age: Duration) -> Option<Self> {
        Some(Self::at(&config::cache_folder()?.join("ansible"), what, max_age))
    }

    fn at(folder: &Path, what: &str, max_age: Duration) -> Self {
        let file = folder.join(format!("{}.json", hash(what)));
        Self { folder: folder.to_owned(), file, max_age }
    }

    /// A file for the inventory of now, which takes the place of the old one when it is whole. None
    /// if there can be none: an inventory is no worse for not being kept.
    pub(super) fn begin(&self) -> Option<Spool> {
        files::make_folder(&self.folder).ok()?;
        let fresh = Fresh::beside(&self.file).ok()?;
        let out = BufWriter::with_capacity(super::BUFFER, fresh);
        Some(Spool { out, folder: self.folder.clone(), body: 0 })
    }

    /// The inventory that was kept, if it is young enough.
    pub(super) fn find(&self, now: Timestamp) -> Option<Kept> {
        let mut input = BufReader::new(File::open(&self.file).ok()?);
        let mut line = Vec::new();
        (&mut input).take(256).read_until(b'\n', &mut line).ok()?;
        let head: Head = serde_json::from_slice(&line).ok()?;
        let age = now.as_second().saturating_sub(head.made.as_second()).max(0);
        let young = u64::try_from(age).is_ok_and(|age| age < self.max_age.as_secs());
        (head.form == FORM && young).then_some(Kept { input, made: head.made, age })
    }
}

/// An inventory on its way to the disk.
pub(super) struct Spool {
    out: BufWriter<Fresh>,
    folder: PathBuf,
    /// Where the inventory begins.
    body: u64,
}

impl Spool {
    /// Where the inventory of `now` is to be written.
    pub(super) fn writer(&mut self, now: Timestamp) -> &mut impl Write {
        let head = serde_json::to_string(&Head { form: FORM, made: now }).unwrap_or_default();
        // What goes wrong here goes wrong again with the first byte of the inventory, and is told.
        if writeln!(self.out, "{head}").is_ok() {
            self.body = u64::try_from(head.len()).unwrap_or(0) + 1;
        }
        &mut self.out
    }

    /// Copies what has been written.
    pub(super) fn copy_to(&mut self, out: &mut impl Write) -> io::Result<()> {
        self.out.flush()?;
        let file = self.out.get_mut();
        file.seek(SeekFrom::Start(self.body))?;
        io::copy(file, out)?;
        Ok(())
    }

    /// Puts it into its place, and removes the oldest of too many.
    pub(super) fn keep(self) {
        if self.out.into_inner().is_ok_and(|fresh| fresh.keep().is_ok()) {
            files::prune(&self.folder, MAX_FILES);
        }
    }
}

/// An inventory that was kept.
pub(super) struct Kept {
    input: BufReader<File>,
    /// When it was read from the server.
    pub(super) made: Timestamp,
    /// How long ago that is, in seconds.
    pub(super) age: i64,
}

impl Kept {
    /// Copies it but for its end.
    pub(super) fn copy_to(&mut self, out: &mut impl Write) -> io::Result<()> {
        io::copy(&mut self.input, out)?;
        Ok(())
    }

    /// The variables of one host, marked as kept.
    ///
    /// # Errors
    /// It has no such host, or cannot be read.
    pub(super) fn host(mut self, name: &str) -> Result<Value> {
        #[derive(Deserialize)]
        struct Whole {
            #[serde(rename = "_meta")]
            meta: Meta,
        }
        #[derive(Deserialize)]
        struct Meta {
            hostvars: std::collections::HashMap<String, Box<serde_json::value::RawValue>>,
        }
        let unreadable =
            |cause: io::Error| Error::new("cannot read the inventory that was kept").because(cause);
        let mut text = Vec::new();
        self.copy_to(&mut text).map_err(unreadable)?;
        document::close(&mut text, None).map_err(unreadable)?;
        let whole: Whole =
            serde_json::from_slice(&text).map_err(|cause| unreadable(cause.into()))?;
        let vars = whole.meta.hostvars.get(name).ok_or_else(|| {
            Error::nothing(format!("there is no host \"{name}\" in the inventory that was kept"))
        })?;
        let mut vars: Value =
            serde_json::from_str(vars.get()).map_err(|cause| unreadable(cause.into()))?;
        if let Some(vars) = vars.as_object_mut() {
            vars.insert("inv_inventory_cached".to_owned(), data(&self.made.to_string()));
            vars.insert("inv_inventory_age".to_owned(), self.age.into());
        }
        Ok(vars)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const HOUR: Duration = Duration::from_hours(1);
    const BODY: &str =
        "{\"_meta\":{\"hostvars\":{\"web-1\":{\"a\":1}}},\"all\":{\"vars\":{\"b\":2\n";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn put(cache: &Cache, now: Timestamp) {
        let mut spool = cache.begin().unwrap();
        spool.writer(now).write_all(BODY.as_bytes()).unwrap();
        let mut out = Vec::new();
        spool.copy_to(&mut out).unwrap();
        assert_eq!(out, BODY.as_bytes());
        spool.keep();
    }

    #[test]
    fn what_is_kept_is_found_while_it_is_young_and_by_nobody_else() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a/b");
        let cache = Cache::at(&folder, "server one", HOUR);
        let noon = at("2026-11-20T12:00:00Z");
        assert!(cache.find(noon).is_none());
        put(&cache, noon);
        let later = at("2026-11-20T12:59:59Z");
        let mut kept = cache.find(later).unwrap();
        let mut text = Vec::new();
        kept.copy_to(&mut text).unwrap();
        document::close(&mut text, Some((kept.made, kept.age))).unwrap();
        let whole: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(whole["all"]["vars"]["inv_inventory_cached"], "2026-11-20T12:00:00Z");
        assert_eq!(whole["all"]["vars"]["inv_inventory_age"], 3_599);
        assert!(cache.find(at("2026-11-20T13:00:00Z")).is_none(), "too old");
        assert!(Cache::at(&folder, "server two", HOUR).find(noon).is_none(), "another server");
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&cache.file)), (0o700, 0o600));
    }

    #[test]
    fn one_host_of_it_says_that_it_was_kept() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path(), "x", HOUR);
        let noon = at("2026-11-20T12:00:00Z");
        put(&cache, noon);
        let vars = cache.find(noon).unwrap().host("web-1").unwrap();
        assert_eq!((&vars["a"], &vars["inv_inventory_age"]), (&1.into(), &0.into()));
        let error = cache.find(noon).unwrap().host("web-2").unwrap_err();
        assert_eq!(error.exit_code(), crate::error::EXIT_NOTHING);
    }

    #[test]
    fn what_broke_off_is_gone_and_the_old_one_stays() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path(), "x", HOUR);
        let noon = at("2026-11-20T12:00:00Z");
        put(&cache, noon);
        let mut spool = cache.begin().unwrap();
        spool.writer(at("2026-11-20T12:30:00Z")).write_all(b"half").unwrap();
        drop(spool);
        assert_eq!(cache.find(noon).unwrap().made, noon);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        for number in 0..40 {
            put(&Cache::at(dir.path(), &number.to_string(), HOUR), noon);
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), MAX_FILES);
    }
}
