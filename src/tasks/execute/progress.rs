//! How a run goes: what the callback plugin wrote, and the end of the log.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use serde::Deserialize;

use super::ledger::{EVENTS, Entry, LOG};
use crate::model::text;

/// Most bytes of new events that are read at once; the rest is read the next time.
const CHUNK: u64 = 256 * 1024;
/// Longest name of a task, as the schema has it, in characters.
const TASK: usize = 128;

/// How far a run is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Tasks that were fine, changed something, failed.
    pub(crate) ok: i32,
    /// Of those, tasks that changed something.
    pub(crate) changed: i32,
    /// Tasks that failed.
    pub(crate) failed: i32,
    /// Hosts out of reach.
    pub(crate) unreachable: i32,
    /// The task that runs, or ran last.
    pub(crate) task: Option<String>,
    /// The play has come to its own end.
    pub(crate) ended: bool,
    read: u64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Event {
    task: Option<String>,
    ok: i32,
    changed: i32,
    failed: i32,
    unreachable: i32,
    end: Option<Stats>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Stats {
    ok: i32,
    changed: i32,
    failures: i32,
    unreachable: i32,
}

impl Progress {
    /// Takes in what has been written since the last time.
    pub(crate) fn follow(&mut self, entry: &Entry) {
        let mut bytes = Vec::new();
        let read = File::open(entry.path(EVENTS)).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.read))?;
            file.take(CHUNK).read_to_end(&mut bytes)
        });
        if read.is_err() {
            return;
        }
        // The last line may be half written; it is read the next time.
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        self.read += whole as u64;
        for line in bytes.get(..whole).unwrap_or_default().split(|b| *b == b'\n') {
            if let Ok(event) = serde_json::from_slice(line) {
                self.take(event);
            }
        }
    }

    fn take(&mut self, event: Event) {
        let add = |to: &mut i32, number: i32| *to = to.saturating_add(number.clamp(0, 1_000_000));
        if let Some(task) = event.task {
            self.task = Some(text::clean(&task).chars().take(TASK).collect());
        }
        add(&mut self.ok, event.ok);
        add(&mut self.changed, event.changed);
        add(&mut self.failed, event.failed);
        add(&mut self.unreachable, event.unreachable);
        if let Some(end) = event.end {
            // ansible-pull may play more than once; the last word is the playbook's.
            (self.ok, self.changed) = (end.ok, end.changed);
            (self.failed, self.unreachable) = (end.failures, end.unreachable);
            self.ended = true;
        }
    }
}

/// The last lines of the log in at most `most` bytes, made harmless. A line that does not fit as a
/// whole loses its begin.
pub(crate) fn tail(entry: &Entry, most: usize) -> Option<String> {
    let mut file = File::open(entry.path(LOG)).ok()?;
    let size = file.metadata().ok()?.len();
    let from = size.saturating_sub(most as u64 * 4);
    file.seek(SeekFrom::Start(from)).ok()?;
    let mut bytes = Vec::new();
    file.take(most as u64 * 4).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<String> = text
        .lines()
        .map(|line| text::clean(line.trim_end()).trim_end_matches('*').trim_end().to_owned())
        .filter(|line| !line.is_empty())
        .collect();
    let mut left = most;
    let mut kept = Vec::new();
    for line in lines.iter().rev() {
        if line.len() + 1 > left {
            let skip = (line.len() + 1).saturating_sub(left);
            let begin = line.char_indices().map(|(at, _)| at).find(|at| *at >= skip);
            let end = begin.and_then(|at| line.get(at..)).unwrap_or_default();
            if kept.is_empty() && !end.is_empty() {
                kept.push(end);
            }
            break;
        }
        left -= line.len() + 1;
        kept.push(line);
    }
    kept.reverse();
    Some(kept.join("\n")).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> (tempfile::TempDir, Entry) {
        let dir = tempfile::tempdir().unwrap();
        let entry = Entry { folder: dir.path().to_owned() };
        (dir, entry)
    }

    #[test]
    fn events_are_counted_once_and_half_a_line_waits() {
        let (_dir, entry) = entry();
        let mut progress = Progress::default();
        let write = |text: &str| std::fs::write(entry.path(EVENTS), text).unwrap();
        let first =
            "{\"task\": \"a\"}\n{\"ok\": 1, \"changed\": 1}\nnot json\n{\"task\": \"b\\u001b[2J";
        write(first);
        progress.follow(&entry);
        assert_eq!((progress.ok, progress.changed, progress.task.as_deref()), (1, 1, Some("a")));
        write(&format!("{first}\"}}\n{{\"failed\": 1}}\n"));
        progress.follow(&entry);
        progress.follow(&entry);
        assert_eq!((progress.ok, progress.failed), (1, 1));
        assert!(!progress.task.clone().unwrap().contains('\u{1b}'));
        write(&format!(
            "{first}\"}}\n{{\"failed\": 1}}\n{{\"end\": {{\"ok\": 7, \"failures\": 2}}}}\n"
        ));
        progress.follow(&entry);
        assert_eq!((progress.ok, progress.failed, progress.ended), (7, 2, true));
    }

    #[test]
    fn the_tail_is_harmless_and_fits() {
        let (_dir, entry) = entry();
        assert_eq!(tail(&entry, 100), None);
        let log = "begin\n\nTASK [x] *****\nfatal: \u{1b}[31mno\u{7}\nPLAY RECAP ****\nlast ü\n";
        std::fs::write(entry.path(LOG), log).unwrap();
        let all = tail(&entry, 1000).unwrap();
        assert!(all.starts_with("begin\nTASK [x]\nfatal: ") && all.ends_with("PLAY RECAP\nlast ü"));
        assert!(!all.contains(['\u{1b}', '\u{7}']));
        for most in 0..all.len() {
            let cut = tail(&entry, most).unwrap_or_default();
            assert!(cut.len() <= most && all.ends_with(&cut), "{most}: {cut:?}");
        }
    }
}
