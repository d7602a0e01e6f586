//! The ledger of runs: a folder for each requestID, and in it a file for each step that was taken.
//! A file is on the disk before the next step is begun, so that after any end of any program the
//! folder says what has happened.
//!
//! ```text
//! claim.json    somebody here wants to run it: written before the API server hears of it
//! job.json      what will be run
//! begun         the supervisor has the lock and starts the program: from here on it has happened
//! log           what the program says
//! events.jsonl  what our callback plugin says
//! result.json   how it ended
//! reported      the API server knows how it ended
//! lock          held by the supervisor, and by the program itself as its standard input
//! ```
//!
//! While `lock` is held the run goes on, whoever started it. When nobody holds it there is a result,
//! or the run has not begun, or its supervisor died in the middle and the outcome is unknown.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::files;

/// Runs that are kept with their log when they have been reported.
const KEPT: usize = 20;
/// Runs that are remembered at all.
const REMEMBERED: usize = 2_000;
/// A file of the ledger that is longer than this is not ours.
const LONGEST: u64 = 1 << 20;

pub(super) const CLAIM: &str = "claim.json";
pub(super) const JOB: &str = "job.json";
pub(super) const BEGUN: &str = "begun";
pub(super) const LOG: &str = "log";
pub(super) const EVENTS: &str = "events.jsonl";
pub(super) const RESULT: &str = "result.json";
pub(super) const REPORTED: &str = "reported";
pub(super) const LOCK: &str = "lock";

/// Why somebody here wants a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Claim {
    /// Names the run.
    pub(crate) request_id: String,
    /// Namespace of the host.
    pub(crate) namespace: String,
    /// Name of the host.
    pub(crate) host: String,
    /// Identity of the Host object.
    pub(crate) uid: String,
}

/// The folder of all runs.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    folder: PathBuf,
}

/// One run in the ledger.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Its folder.
    pub(crate) folder: PathBuf,
}

impl Ledger {
    /// The ledger in this folder, which is made with mode 0700 if it is missing.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        files::make_folder(folder).map_err(|cause| {
            Error::new(format!("cannot make the folder \"{}\"", folder.display()))
                .because(cause)
                .hint("the agent needs a folder of its own for its runs; name one with --state-dir")
        })?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// The run with this id, if anything is known of it. The id has been checked by the schema; one
    /// that could lead out of the folder is not known.
    pub(crate) fn get(&self, host: &str, id: &str) -> Option<Entry> {
        let folder = self.place(host, id)?;
        folder.join(CLAIM).is_file().then_some(Entry { folder })
    }

    /// Writes down that the run is wanted.
    ///
    /// # Errors
    /// The disk.
    pub(crate) fn claim(&self, claim: &Claim) -> Result<Entry> {
        let folder = self
            .place(&claim.host, &claim.request_id)
            .ok_or_else(|| Error::new(format!("\"{}\" cannot name a run", claim.request_id)))?;
        files::make_folder(&folder)
            .and_then(|()| sync(&self.folder))
            .map_err(|cause| disk(&folder, cause))?;
        let entry = Entry { folder };
        entry.write(CLAIM, claim)?;
        Ok(entry)
    }

    fn place(&self, host: &str, id: &str) -> Option<PathBuf> {
        let legal = |text: &str| {
            text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
                && text.chars().next().is_some_and(|c| c.is_ascii_alphanumeric())
        };
        // No host's name has a comma, so two hosts never share a folder.
        (legal(host) && legal(id)).then(|| self.folder.join(format!("{host},{id}")))
    }

    /// Runs that the API server has not been told the end of.
    pub(crate) fn open_runs(&self) -> Vec<(Claim, Entry)> {
        let entries = self.entries().into_iter().filter(|entry| !entry.has(REPORTED));
        entries.filter_map(|entry| Some((entry.read::<Claim>(CLAIM)?, entry))).collect()
    }

    /// Makes room: of older runs that have been reported only the claim and the result stay, so that
    /// their ids never run again, and of the oldest nothing.
    pub(crate) fn prune(&self) {
        let age = |entry: &Entry| fs::metadata(entry.folder.join(REPORTED)).ok()?.modified().ok();
        let mut done: Vec<_> =
            self.entries().into_iter().filter_map(|entry| Some((age(&entry)?, entry))).collect();
        done.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        for (number, (_, entry)) in done.into_iter().enumerate().skip(KEPT) {
            let removed =
                if number < REMEMBERED { entry.slim() } else { fs::remove_dir_all(&entry.folder) };
            if let Err(cause) = removed {
                tracing::warn!(%cause, folder = %entry.folder.display(), "an old run stays");
            }
        }
    }

    fn entries(&self) -> Vec<Entry> {
        let Ok(all) = fs::read_dir(&self.folder) else { return Vec::new() };
        all.filter_map(|entry| Some(Entry { folder: entry.ok()?.path() })).collect()
    }
}

impl Entry {
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// Writes a file so that after any end of the machine it is there as a whole or not at all.
    pub(super) fn write(&self, name: &str, value: &impl Serialize) -> Result<()> {
        let text = serde_json::to_vec(value)
            .map_err(|cause| Error::new(format!("cannot write \"{name}\"")).because(cause))?;
        self.put(name, &text)
    }

    /// As [`Entry::write`], for any text.
    pub(super) fn put(&self, name: &str, text: &[u8]) -> Result<()> {
        put(&self.folder, name, text).map_err(|cause| disk(&self.path(name), cause))
    }

    pub(super) fn read<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let path = self.path(name);
        if fs::metadata(&path).ok()?.len() > LONGEST {
            return None;
        }
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }

    /// Writes down that the API server knows the end.
    ///
    /// # Errors
    /// The disk.
    pub(crate) fn reported(&self) -> Result<()> {
        self.put(REPORTED, b"")
    }

    /// Removes everything but what says that the run was, and how it ended.
    fn slim(&self) -> io::Result<()> {
        for file in fs::read_dir(&self.folder)? {
            let file = file?;
            let name = file.file_name();
            if [CLAIM, BEGUN, RESULT, REPORTED].iter().all(|kept| name != **kept) {
                if file.file_type()?.is_dir() {
                    fs::remove_dir_all(file.path())?;
                } else {
                    fs::remove_file(file.path())?;
                }
            }
        }
        Ok(())
    }

    /// Whether something of the run lives. Where the lock cannot be asked it is taken to live: that a
    /// run has ended is never guessed.
    pub(super) fn goes_on(&self) -> bool {
        match self.lock() {
            Ok(lock) => lock.is_none(),
            Err(cause) if cause.kind() == ErrorKind::NotFound => false,
            Err(cause) => {
                tracing::warn!(%cause, folder = %self.folder.display(), "cannot ask for the lock");
                true
            }
        }
    }

    /// The lock, unless somebody has it: the run goes on then.
    pub(super) fn lock(&self) -> io::Result<Option<File>> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .read(true)
            .mode(0o600)
            .open(self.path(LOCK))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(cause)) => Err(cause),
        }
    }
}

/// Writes a file of ours (mode 0600) whole or not at all.
pub(crate) fn put(folder: &Path, name: &str, text: &[u8]) -> io::Result<()> {
    let temporary = folder.join(format!(".{name}.new"));
    match fs::remove_file(&temporary) {
        Err(cause) if cause.kind() != ErrorKind::NotFound => return Err(cause),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&temporary, folder.join(name))?;
    sync(folder)
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

pub(super) fn disk(path: &Path, cause: io::Error) -> Error {
    Error::new(format!("cannot write \"{}\"", path.display()))
        .because(cause)
        .hint("nothing is run that cannot be written down; make room or mend the disk")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(id: &str) -> Claim {
        let text = |text: &str| text.to_owned();
        Claim { request_id: text(id), namespace: text("ns"), host: text("web-1"), uid: text("u") }
    }

    #[test]
    fn what_is_written_is_found_and_what_was_reported_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&dir.path().join("runs")).unwrap();
        assert!(ledger.get("web-1", "a").is_none());
        let entry = ledger.claim(&claim("a")).unwrap();
        assert!(ledger.get("web-1", "a").is_some() && ledger.get("web-2", "a").is_none());
        assert_eq!(ledger.open_runs().len(), 1);
        assert_eq!(ledger.open_runs()[0].0, claim("a"));
        entry.reported().unwrap();
        assert!(ledger.open_runs().is_empty());
        for n in 0..30 {
            let entry = ledger.claim(&claim(&format!("r{n}"))).unwrap();
            entry.put(LOG, b"long").unwrap();
            entry.reported().unwrap();
        }
        ledger.prune();
        ledger.prune();
        assert_eq!(ledger.entries().len(), 31, "every id is remembered");
        assert_eq!(ledger.entries().iter().filter(|entry| entry.has(LOG)).count(), KEPT);
        for bad in ["../x", "", ".hidden", "a/b", "a,b"] {
            assert!(ledger.claim(&claim(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_lock_has_one_holder() {
        let dir = tempfile::tempdir().unwrap();
        let entry = Ledger::open(dir.path()).unwrap().claim(&claim("a")).unwrap();
        let held = entry.lock().unwrap();
        assert!(held.is_some() && entry.lock().unwrap().is_none());
        drop(held);
        assert!(entry.lock().unwrap().is_some());
    }
}
