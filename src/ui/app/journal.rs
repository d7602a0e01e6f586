//! The journal view: what this person did, read from the disk outside of the explorer's thread,
//! and anew every few seconds while it is shown.

use jiff::Timestamp;

use super::views::{Listed, Spot, View};
use super::{Model, Pane};
use crate::journal::Record;
use crate::ui::msg::{Command, JournalRead};

/// Lines of the journal that are read.
pub const LINES: usize = 2_000;
/// Seconds after which it is read anew while it is shown.
const AGAIN: i64 = 3;

/// The journal as it was read last.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    /// Orders, the newest first.
    pub records: Vec<Record>,
    /// There are older ones.
    pub more: bool,
    /// Lines of the file that could not be read.
    pub skipped: usize,
    /// Why it could not be read.
    pub problem: Option<String>,
    /// Where one is in it: the id of an order.
    pub spot: Spot<String>,
    /// When it was last asked for or answered.
    at: Option<Timestamp>,
    waiting: bool,
    /// It has been read once.
    pub read: bool,
}

impl Listed for &[Record] {
    type Key = String;

    fn len(&self) -> usize {
        <[Record]>::len(self)
    }

    fn rank(&self, key: &String) -> Option<usize> {
        self.iter().position(|record| record.entry.id == *key)
    }

    fn nth(&self, rank: usize) -> Option<String> {
        self.get(rank).map(|record| record.entry.id.clone())
    }
}

impl Journal {
    /// The order under the cursor.
    pub fn record(&self) -> Option<&Record> {
        let id = self.spot.cursor.as_ref()?;
        self.records.iter().find(|record| record.entry.id == *id)
    }

    /// Whether an answer is still to come.
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting
    }

    /// Takes what was read. True if anything that is shown changed.
    pub(super) fn take(&mut self, result: Result<JournalRead, String>, now: Timestamp) -> bool {
        self.waiting = false;
        self.at = Some(now);
        let first = !std::mem::replace(&mut self.read, true);
        match result {
            Ok(read) => {
                let same = self.problem.is_none()
                    && (self.more, self.skipped) == (read.more, read.skipped)
                    && self.records == read.records;
                self.problem = None;
                (self.records, self.more, self.skipped) = (read.records, read.more, read.skipped);
                first || !same
            }
            Err(problem) => {
                let same = self.problem.as_ref() == Some(&problem);
                self.problem = Some(problem);
                first || !same
            }
        }
    }
}

impl Model {
    /// Asks for the journal when it is shown and what is at hand is some seconds old.
    pub(super) fn wanted_journal(&mut self) -> Option<Command> {
        let journal = &mut self.journal;
        let old = journal.at.is_none_or(|at| self.now.as_second() - at.as_second() >= AGAIN);
        let history =
            self.page.as_ref().is_some_and(|page| page.kind == super::page::Kind::History);
        if !(self.views.now == View::Journal || history) || journal.waiting || !old {
            return None;
        }
        journal.at = Some(self.now);
        journal.waiting = true;
        Some(Command::ReadJournal)
    }

    /// Shows the targets of the order under the cursor.
    pub(super) fn open_order(&mut self) {
        if self.journal.record().is_some() && self.pane == Pane::Tree {
            self.show_detail();
        }
    }
}
