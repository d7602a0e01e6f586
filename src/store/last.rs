//! The last known fleet, kept on disk for a start while the server is away: one file for each server,
//! user, context and namespace, so that none is ever shown for another. Files are 0600 in a folder
//! that is 0700. A file is compressed lines of JSON: one with its form and time, one for each host
//! with what a row needs of it, one with their number, without which it is not whole.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::client::hash;
use crate::config;
use crate::error::{Error, Result};
use crate::files::{self, Fresh};
use crate::model::record::HostRecord;

/// What is written here; another number for another form.
const FORM: u32 = 1;
/// Fleets that are kept at most.
const MAX_FILES: usize = 16;
/// Most bytes that are read of one, decompressed: half a million hosts.
const MAX_BYTES: u64 = 512 * 1024 * 1024;
/// Hosts that are handed on together.
const BATCH: usize = 512;

/// The first line.
#[derive(Serialize, Deserialize)]
struct Head {
    form: u32,
    made: Timestamp,
}

/// The last line.
#[derive(Serialize, Deserialize)]
struct Tail {
    hosts: usize,
}

/// Where the last known fleet of one server and namespace is kept.
#[derive(Clone, Debug)]
pub struct Place {
    folder: PathBuf,
    file: PathBuf,
}

/// What comes of a fleet that is read.
#[derive(Debug)]
pub enum LastEvent {
    /// It was the fleet as of this time; hosts follow.
    Begin(Timestamp),
    /// Some hosts.
    Hosts(Vec<HostRecord>),
    /// That was all.
    Done,
    /// It cannot be used, and why. What came of it so far is to be forgotten.
    Damaged(String),
}

impl Place {
    /// The place of what the connection of this identity shows; none if this user has no folder for
    /// such things.
    pub fn own(identity: &str, namespace: Option<&str>) -> Option<Self> {
        Some(Self::at(&config::cache_folder()?.join("fleet"), identity, namespace))
    }

    /// The place in a folder.
    pub fn at(folder: &Path, identity: &str, namespace: Option<&str>) -> Self {
        // No namespace has a blank in its name.
        let name = hash(&format!("{identity} {}", namespace.unwrap_or("every namespace")));
        Self { folder: folder.to_owned(), file: folder.join(format!("{name}.gz")) }
    }

    /// Whether there is something.
    pub fn is_kept(&self) -> bool {
        self.file.is_file()
    }

    /// A file for the fleet of now, which takes the place of the old one when it is whole.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn begin(&self, made: Timestamp) -> io::Result<Writer> {
        files::make_folder(&self.folder)?;
        let fresh = Fresh::beside(&self.file)?;
        let mut out = GzEncoder::new(BufWriter::new(fresh), Compression::fast());
        serde_json::to_writer(&mut out, &Head { form: FORM, made })?;
        out.write_all(b"\n")?;
        Ok(Writer { out, folder: self.folder.clone() })
    }

    /// Reads what is kept and hands it on in parts, until `hand` says that nobody wants more.
    pub fn read(&self, mut hand: impl FnMut(LastEvent) -> bool) {
        if let Err(error) = self.try_read(&mut hand) {
            let file = self.file.display();
            hand(LastEvent::Damaged(format!(
                "the last known fleet cannot be used and is left out: {} ({file})",
                crate::error::chain(&error)
            )));
        }
    }

    fn try_read(&self, hand: &mut impl FnMut(LastEvent) -> bool) -> Result<()> {
        let unreadable = |cause: io::Error| Error::new("it cannot be read").because(cause);
        let file = File::open(&self.file).map_err(unreadable)?;
        let mut input = BufReader::new(GzDecoder::new(BufReader::new(file)).take(MAX_BYTES));
        let mut line = Vec::new();
        let mut next = |line: &mut Vec<u8>| {
            line.clear();
            input.read_until(b'\n', line).map_err(unreadable)
        };
        next(&mut line)?;
        let malformed = |cause: serde_json::Error| Error::new("it is damaged").because(cause);
        let head: Head = serde_json::from_slice(&line).map_err(malformed)?;
        if head.form != FORM {
            return Err(Error::new("another version of inv-tui wrote it"));
        }
        if !hand(LastEvent::Begin(head.made)) {
            return Ok(());
        }
        let (mut hosts, mut count) = (Vec::with_capacity(BATCH), 0);
        loop {
            if next(&mut line)? == 0 {
                return Err(Error::new("it breaks off"));
            }
            if line.starts_with(br#"{"hosts":"#) {
                let tail: Tail = serde_json::from_slice(&line).map_err(malformed)?;
                if tail.hosts != count {
                    return Err(Error::new(format!("it has {count} of {} hosts", tail.hosts)));
                }
                let _ = hand(LastEvent::Hosts(hosts)) && hand(LastEvent::Done);
                return Ok(());
            }
            hosts.push(serde_json::from_slice(&line).map_err(malformed)?);
            count += 1;
            if hosts.len() == BATCH && !hand(LastEvent::Hosts(std::mem::take(&mut hosts))) {
                return Ok(());
            }
        }
    }
}

/// A fleet on its way to the disk. Dropped before its end, nothing of it stays.
pub struct Writer {
    out: GzEncoder<BufWriter<Fresh>>,
    folder: PathBuf,
}

impl Writer {
    /// Writes hosts: lines of JSON, each with its line break.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        self.out.write_all(lines)
    }

    /// Puts it into its place, and removes the oldest of too many.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn keep(mut self, hosts: usize) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, &Tail { hosts })?;
        self.out.write_all(b"\n")?;
        let fresh = self.out.finish()?.into_inner()?;
        fresh.sync()?;
        fresh.keep()?;
        files::prune(&self.folder, MAX_FILES);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn put(place: &Place, hosts: usize) {
        let mut writer = place.begin(at("2026-11-20T03:14:00Z")).unwrap();
        for number in 0..hosts {
            let line =
                format!("{{\"metadata\":{{\"name\":\"web-{number}\",\"uid\":\"u-{number}\"}}}}\n");
            writer.write(line.as_bytes()).unwrap();
        }
        writer.keep(hosts).unwrap();
    }

    /// What is read: the time, the number of hosts, whether it was whole, and what was wrong.
    fn read(place: &Place) -> (Option<Timestamp>, usize, bool, Option<String>) {
        let mut got = (None, 0, false, None);
        place.read(|event| {
            match event {
                LastEvent::Begin(made) => got.0 = Some(made),
                LastEvent::Hosts(hosts) => got.1 += hosts.len(),
                LastEvent::Done => got.2 = true,
                LastEvent::Damaged(why) => got.3 = Some(why),
            }
            true
        });
        got
    }

    #[test]
    fn a_fleet_is_kept_for_its_server_alone() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a/fleet");
        let place = Place::at(&folder, "one", Some("inventory"));
        assert!(!place.is_kept());
        put(&place, 1_300);
        assert_eq!(read(&place), (Some(at("2026-11-20T03:14:00Z")), 1_300, true, None));
        assert!(!Place::at(&folder, "one", None).is_kept(), "another namespace");
        assert!(!Place::at(&folder, "two", Some("inventory")).is_kept(), "another server");
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&place.file)), (0o700, 0o600));
        let mut parts = 0;
        place.read(|_| {
            parts += 1;
            parts < 2
        });
        assert_eq!(parts, 2, "nobody wants more");
        for number in 0..40 {
            put(&Place::at(&folder, &number.to_string(), None), 1);
        }
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), MAX_FILES);
    }

    #[test]
    fn what_is_damaged_or_strange_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::at(dir.path(), "one", None);
        put(&place, 600);
        let whole = std::fs::read(&place.file).unwrap();
        for length in [0, 5, whole.len() / 2, whole.len() - 12] {
            std::fs::write(&place.file, &whole[..length]).unwrap();
            let (_, _, done, why) = read(&place);
            assert!(!done && why.unwrap().contains("is left out"), "{length}");
        }
        let mut writer = place.begin(at("2026-11-20T03:14:00Z")).unwrap();
        writer.write(b"not json\n").unwrap();
        writer.keep(1).unwrap();
        assert!(read(&place).3.unwrap().contains("damaged"));
        place.begin(at("2026-11-20T03:14:00Z")).unwrap().keep(7).unwrap();
        assert!(read(&place).3.unwrap().contains("0 of 7"));
        let file = File::create(&place.file).unwrap();
        let mut out = GzEncoder::new(file, Compression::fast());
        out.write_all(b"{\"form\":99,\"made\":\"2026-11-20T03:14:00Z\"}\n").unwrap();
        out.finish().unwrap();
        assert!(read(&place).3.unwrap().contains("another version"));
        // What breaks off while it is written leaves the old one.
        put(&place, 3);
        drop(place.begin(at("2026-11-21T03:14:00Z")).unwrap());
        assert_eq!(read(&place).1, 3);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
