//! What this person did, kept on disk: one line of JSON for each piece of news of an order. Events on
//! the server live an hour; this stays.
//!
//! Several programs may write at once: each takes the lock of the file and appends whole lines with
//! one write. A line that a crash tore, or that somebody else wrote, is skipped and counted.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use directories::ProjectDirs;
use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::files;

pub mod filters;
pub mod first;

/// Environment variable that names another file.
pub const VARIABLE: &str = "INV_TUI_JOURNAL";
/// Most targets of one line.
pub const MAX_TARGETS: usize = 500;
/// Size in bytes from which a new file is begun; one old file is kept.
const FULL: u64 = 5 * 1024 * 1024;
/// Longest line in bytes that is read; ours are shorter.
const MAX_LINE: usize = 4 * 1024 * 1024;
/// Longest text of a detail in characters.
const MAX_DETAIL: usize = 512;
/// How much is read at once, from the end.
const BLOCK: u64 = 64 * 1024;
/// How often a file that was exchanged under us is opened again.
const TRIES: usize = 10;

/// What a line tells of its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// It begins: what is wanted of which targets. Written before anything is sent.
    Begin,
    /// What came of some targets.
    Results,
    /// It has ended. An order without this line was cut off.
    End,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// When the line was written.
    pub at: Timestamp,
    /// The order that it belongs to.
    pub id: String,
    /// What it tells.
    pub part: Part,
    /// Context of the kubeconfig.
    pub context: String,
    /// URL of the server.
    pub server: String,
    /// The name under which the server knows who acted.
    pub user: String,
    /// What kind of act, for example `maintenance-on`.
    pub verb: String,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Ticket that tells more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// The person typed that rules and budget may be passed by.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overrides: bool,
    /// Targets, at most [`MAX_TARGETS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<Target>,
    /// Why the order ended before all was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
}

/// What was acted on, and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Namespace; empty for what lives in none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Name.
    pub name: String,
    /// What came of it, for example `done`; none while it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// Why it came out like that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The value before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// The value that was wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// An order as its lines tell it.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its first line that was read, without targets.
    pub entry: Entry,
    /// When it ended; none for an order that goes on or was cut off.
    pub ended_at: Option<Timestamp>,
    /// Targets in their order, each with the newest that is known of it.
    pub targets: Vec<Target>,
}

/// The newest lines of a journal.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recent {
    /// Lines, the newest first.
    pub entries: Vec<Entry>,
    /// Lines between them that are not ours, or torn.
    pub skipped: usize,
    /// There are older lines.
    pub more: bool,
}

impl Recent {
    /// The orders of these lines, the newest first. The oldest may lack its beginning.
    pub fn orders(&self) -> Vec<Record> {
        let mut places: HashMap<&str, usize> = HashMap::new();
        let mut targets: Vec<HashMap<(String, String), usize>> = Vec::new();
        let mut records: Vec<Record> = Vec::new();
        for entry in self.entries.iter().rev() {
            let place = *places.entry(&entry.id).or_insert_with(|| {
                let entry = Entry { targets: Vec::new(), ..entry.clone() };
                records.push(Record { entry, ended_at: None, targets: Vec::new() });
                targets.push(HashMap::new());
                records.len() - 1
            });
            let (Some(record), Some(known)) = (records.get_mut(place), targets.get_mut(place))
            else {
                continue;
            };
            if entry.part == Part::End {
                record.ended_at = Some(entry.at);
                record.entry.ended.clone_from(&entry.ended);
            }
            for target in &entry.targets {
                let key = (target.namespace.clone(), target.name.clone());
                let at = *known.entry(key).or_insert(record.targets.len());
                match record.targets.get_mut(at) {
                    Some(old) => *old = target.clone(),
                    None => record.targets.push(target.clone()),
                }
            }
        }
        records.reverse();
        records
    }
}

/// A journal in a file.
#[derive(Clone, Debug)]
pub struct Journal {
    path: PathBuf,
    full: u64,
}

impl Journal {
    /// The journal in `path`. Nothing is opened or made yet.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), full: FULL }
    }

    /// This person's journal: where `INV_TUI_JOURNAL` says, else for example
    /// `~/.local/state/inv-tui/journal.jsonl`. None where there is no home.
    pub fn own() -> Option<Self> {
        let named = std::env::var_os(VARIABLE).filter(|path| !path.is_empty());
        named.map(PathBuf::from).or_else(default_file).map(Self::at)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends lines, all of them in one piece. Lines with more targets than fit become several.
    /// Blocks for as long as the disk takes.
    ///
    /// # Errors
    /// The folder or the file cannot be made or written.
    pub fn append(&self, entries: &[Entry]) -> Result<()> {
        let mut text = Vec::new();
        for entry in entries {
            lines(entry, &mut text);
        }
        self.write(&text).map_err(|cause| {
            Error::new(format!("cannot write the journal \"{}\"", self.path.display()))
                .because(cause)
                .hint(format!("{VARIABLE} names another file"))
        })
    }

    fn write(&self, text: &[u8]) -> io::Result<()> {
        if let Some(folder) = self.path.parent().filter(|f| !f.as_os_str().is_empty()) {
            files::make_folder(folder)?;
        }
        for _ in 0..TRIES {
            let mut options = OpenOptions::new();
            let mut file =
                options.read(true).append(true).create(true).mode(0o600).open(&self.path)?;
            file.lock()?;
            // Whoever had the lock before may have put another file in its place.
            let ours = file.metadata()?;
            match std::fs::metadata(&self.path) {
                Ok(there) if (there.dev(), there.ino()) == (ours.dev(), ours.ino()) => {}
                Ok(_) => continue,
                Err(cause) if cause.kind() == ErrorKind::NotFound => continue,
                Err(cause) => return Err(cause),
            }
            if ours.len() >= self.full {
                std::fs::rename(&self.path, self.old())?;
                continue;
            }
            // What a crash tore ends here, so that it costs its own line alone.
            if ours.len() > 0 && last_byte(&mut file)? != b'\n' {
                return file.write_all(&[b"\n", text].concat());
            }
            return file.write_all(text);
        }
        Err(io::Error::other("the file is exchanged again and again"))
    }

    /// Where the file goes when it is full.
    fn old(&self) -> PathBuf {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(".old");
        self.path.with_file_name(name)
    }

    /// Reads the newest lines, at most `limit`, from the end: what is older costs nothing. Blocks
    /// for as long as the disk takes. A journal that is not there yet is empty.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn newest(&self, limit: usize) -> Result<Recent> {
        let mut recent = Recent::default();
        for path in [self.path.clone(), self.old()] {
            match File::open(&path).and_then(|mut file| backwards(&mut file, limit, &mut recent)) {
                Ok(()) => {}
                Err(cause) if cause.kind() == ErrorKind::NotFound => {}
                Err(cause) => {
                    return Err(Error::new(format!(
                        "cannot read the journal \"{}\"",
                        path.display()
                    ))
                    .because(cause));
                }
            }
        }
        Ok(recent)
    }
}

/// Where the journal is when nobody says otherwise.
fn default_file() -> Option<PathBuf> {
    state_folder().map(|folder| folder.join("journal.jsonl"))
}

/// Where what is to stay is kept, for example `~/.local/state/inv-tui`.
fn state_folder() -> Option<PathBuf> {
    let folders = ProjectDirs::from("dev", "inv-tui", "inv-tui")?;
    Some(folders.state_dir().unwrap_or_else(|| folders.data_local_dir()).to_owned())
}

/// Adds an entry as lines that are not too long.
fn lines(entry: &Entry, out: &mut Vec<u8>) {
    let mut chunks = entry.targets.chunks(MAX_TARGETS);
    let mut next = Some(chunks.next().unwrap_or_default());
    while let Some(targets) = next {
        let targets = targets.iter().cloned().map(short).collect();
        let line = Entry { targets, ..entry.clone() };
        if let Ok(line) = serde_json::to_vec(&line) {
            out.extend(line);
            out.push(b'\n');
        }
        next = chunks.next();
    }
}

fn short(mut target: Target) -> Target {
    if let Some(detail) = &mut target.detail
        && let Some((end, _)) = detail.char_indices().nth(MAX_DETAIL)
    {
        detail.truncate(end);
        detail.push('…');
    }
    target
}

fn last_byte(file: &mut File) -> io::Result<u8> {
    let mut byte = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut byte)?;
    let [byte] = byte;
    Ok(byte)
}

/// Reads lines from the end of a file until there are `limit`.
fn backwards(file: &mut File, limit: usize, recent: &mut Recent) -> io::Result<()> {
    let mut end = file.seek(SeekFrom::End(0))?;
    // What of a line has been read whose begin has not.
    let mut rest: Vec<u8> = Vec::new();
    let mut too_long = false;
    while end > 0 {
        let begin = end.saturating_sub(BLOCK);
        let mut block = vec![0; usize::try_from(end - begin).unwrap_or_default()];
        file.seek(SeekFrom::Start(begin))?;
        file.read_exact(&mut block)?;
        end = begin;
        let mut left = block.as_slice();
        loop {
            let feed = left.iter().rposition(|byte| *byte == b'\n');
            let piece = left.get(feed.map_or(0, |at| at + 1)..).unwrap_or_default();
            if rest.len() + piece.len() > MAX_LINE {
                too_long = true;
                rest.clear();
            } else {
                rest.splice(0..0, piece.iter().copied());
            }
            let Some(feed) = feed else { break };
            take(&rest, too_long, limit, recent);
            if recent.more {
                return Ok(());
            }
            rest.clear();
            too_long = false;
            left = left.get(..feed).unwrap_or_default();
        }
    }
    take(&rest, too_long, limit, recent);
    Ok(())
}

fn take(line: &[u8], too_long: bool, limit: usize, recent: &mut Recent) {
    if line.is_empty() && !too_long {
        return;
    }
    if recent.entries.len() >= limit {
        recent.more = true;
        return;
    }
    match serde_json::from_slice(line) {
        Ok(entry) if !too_long => recent.entries.push(entry),
        _ => recent.skipped += 1,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn entry(id: &str, part: Part, names: &[&str]) -> Entry {
        let target = |name: &&str| Target { name: (*name).to_owned(), ..Target::default() };
        Entry {
            at: Timestamp::from_second(1_000).unwrap(),
            id: id.to_owned(),
            part,
            context: "demo".to_owned(),
            server: "https://127.0.0.1".to_owned(),
            user: "ann".to_owned(),
            verb: "maintenance-on".to_owned(),
            reason: "disk swap".to_owned(),
            ticket: None,
            overrides: false,
            targets: names.iter().map(target).collect(),
            ended: None,
        }
    }

    fn journal() -> (tempfile::TempDir, Journal) {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::at(dir.path().join("state/journal.jsonl"));
        (dir, journal)
    }

    #[test]
    fn the_newest_come_first_and_the_file_is_private() {
        let (_dir, journal) = journal();
        assert_eq!(journal.newest(5).unwrap(), Recent::default());
        for id in ["a", "b", "c"] {
            journal.append(&[entry(id, Part::Begin, &["h"]), entry(id, Part::End, &[])]).unwrap();
        }
        let recent = journal.newest(3).unwrap();
        let ids: Vec<_> = recent.entries.iter().map(|e| (e.id.as_str(), e.part)).collect();
        assert_eq!(ids, [("c", Part::End), ("c", Part::Begin), ("b", Part::End)]);
        assert!(recent.more);
        assert!(!journal.newest(6).unwrap().more);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(journal.path()), 0o600);
        assert_eq!(mode(journal.path().parent().unwrap()), 0o700);
    }

    #[test]
    fn torn_and_foreign_lines_cost_themselves_alone() {
        let (_dir, journal) = journal();
        journal.append(&[entry("a", Part::Begin, &[])]).unwrap();
        let mut file = OpenOptions::new().append(true).open(journal.path()).unwrap();
        file.write_all(b"not ours\n\xff\xfe\n{\"at\":\"2026-01-01T00:0").unwrap();
        journal.append(&[entry("b", Part::Begin, &[])]).unwrap();
        let recent = journal.newest(10).unwrap();
        let ids: Vec<_> = recent.entries.iter().map(|e| e.id.as_str()).collect();
        assert_eq!((ids.as_slice(), recent.skipped), (["b", "a"].as_slice(), 3));
    }

    #[test]
    fn a_bulk_becomes_lines_of_bearable_length_and_one_order_again() {
        let (_dir, journal) = journal();
        let names: Vec<String> = (0..1_201).map(|n| format!("h{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut done = entry("a", Part::Results, &["h7"]);
        done.targets[0].result = Some("denied".to_owned());
        done.targets[0].detail = Some("ü".repeat(10_000));
        let end = Entry { ended: Some("stopped".to_owned()), ..entry("a", Part::End, &[]) };
        journal.append(&[entry("a", Part::Begin, &names), done, end]).unwrap();
        let recent = journal.newest(100).unwrap();
        assert_eq!(recent.entries.len(), 5);
        assert!(recent.entries.iter().all(|e| e.targets.len() <= MAX_TARGETS));
        let orders = recent.orders();
        assert_eq!(orders.len(), 1);
        assert_eq!(orders[0].targets.len(), 1_201);
        assert_eq!(orders[0].targets[7].result.as_deref(), Some("denied"));
        assert_eq!(orders[0].targets[7].detail.as_ref().unwrap().chars().count(), MAX_DETAIL + 1);
        assert_eq!(orders[0].entry.ended.as_deref(), Some("stopped"));
        assert!(orders[0].ended_at.is_some());
    }

    #[test]
    fn a_full_file_makes_room_and_is_still_read() {
        let (_dir, mut journal) = journal();
        journal.full = 2_000;
        for n in 0..40 {
            journal.append(&[entry(&n.to_string(), Part::Begin, &[])]).unwrap();
        }
        let size = |path: &Path| std::fs::metadata(path).unwrap().len();
        assert!(size(journal.path()) < 2_400 && size(&journal.old()) < 2_400);
        let recent = journal.newest(12).unwrap();
        let ids: Vec<usize> = recent.entries.iter().map(|e| e.id.parse().unwrap()).collect();
        assert_eq!(ids, (28..40).rev().collect::<Vec<_>>());
    }

    #[test]
    fn several_writers_lose_no_line() {
        let (_dir, mut journal) = journal();
        journal.full = 8_000_000;
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let journal = &journal;
                scope.spawn(move || {
                    for n in 0..50 {
                        let id = format!("{writer}-{n}");
                        journal.append(&[entry(&id, Part::Begin, &["h"; 20])]).unwrap();
                    }
                });
            }
        });
        let recent = journal.newest(1_000).unwrap();
        assert_eq!((recent.entries.len(), recent.skipped), (200, 0));
    }

    #[test]
    fn lines_longer_than_a_block_are_read() {
        let (_dir, journal) = journal();
        let long = "x".repeat(200_000);
        journal.append(&[entry(&long, Part::Begin, &[]), entry("b", Part::End, &[])]).unwrap();
        let mut file = OpenOptions::new().append(true).open(journal.path()).unwrap();
        file.write_all("y".repeat(MAX_LINE + 70_000).as_bytes()).unwrap();
        let recent = journal.newest(10).unwrap();
        assert_eq!((recent.entries.len(), recent.skipped), (2, 1));
        assert_eq!(recent.entries[1].id, long);
    }
}
