//! The detail pane: the whole object under the cursor, read when the cursor rests on it.

use std::collections::BTreeMap;

use super::{Link, Model};
use crate::model::host::Host;
use crate::model::key::{ServerId, Uid};
use crate::model::row::HostRow;
use crate::ui::msg::Command;
use crate::ui::view;

/// The detail pane.
#[derive(Clone, Debug, Default)]
pub struct Detail {
    /// Shown over the tree, on terminals that are too narrow for both.
    pub over: bool,
    /// The object that was read last.
    pub host: Option<Box<Host>>,
    /// Which one that is.
    read: Option<Uid>,
    /// Why the object under the cursor could not be read.
    pub problem: Option<String>,
    /// First line that is shown.
    pub scroll: usize,
    /// The question that was asked last: the object and its version.
    asked: Option<(Uid, String)>,
    generation: u64,
    /// The last question to each server that has not been answered.
    waiting: BTreeMap<ServerId, u64>,
}

impl Detail {
    /// The object, if it is the one with this identity.
    pub fn of(&self, uid: &Uid) -> Option<&Host> {
        let host = self.host.as_deref().filter(|_| self.read.as_ref() == Some(uid))?;
        (host.metadata.uid.as_deref() == Some(uid.as_str())).then_some(host)
    }

    /// Whether the object in the version of this row has been asked for and answered; if so, why it
    /// could not be read.
    pub(super) fn answered(&self, row: &HostRow) -> Option<Result<(), &str>> {
        let (uid, version) = self.asked.as_ref()?;
        let is_it = uid == row.uid() && version == row.resource_version() && !self.is_waiting();
        is_it.then(|| self.problem.as_deref().map_or(Ok(()), Err))
    }

    /// Whether an answer is still to come.
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting.values().any(|generation| *generation == self.generation)
    }

    pub(super) fn read(&mut self, generation: u64, result: Result<Option<Box<Host>>, String>) {
        self.waiting.retain(|_, asked| *asked != generation);
        if generation != self.generation {
            return;
        }
        match result {
            Ok(host) => {
                self.host = host;
                self.read = self.asked.as_ref().map(|(uid, _)| uid.clone());
                self.problem = None;
            }
            Err(problem) => self.problem = Some(problem),
        }
    }
}

impl Model {
    /// Scrolls the pane by lines, no further than its ends.
    pub(super) fn scroll_detail(&mut self, lines: isize) {
        let end = view::detail::end(self);
        let detail = &mut self.detail;
        detail.scroll = detail.scroll.min(end).saturating_add_signed(lines).min(end);
    }

    /// Asks for the object under the cursor when it is shown, is not the one at hand, and no other
    /// question is open there: while the cursor runs, one question at a time for each server follows
    /// it.
    pub(super) fn wanted_detail(&mut self) -> Vec<Command> {
        // What is to be approved is looked at, whether there is room to show it or not.
        let row = match self.claimed_host() {
            Some(row) => row,
            None if self.areas().detail.is_empty() => return Vec::new(),
            None => match self.detail_host() {
                Some(row) => row,
                None => return Vec::new(),
            },
        };
        let server = row.uid().server();
        let known = self.servers.get(server);
        let silent = known.is_lost() || known.link == Link::Connecting;
        if self.detail.waiting.contains_key(&server) || silent {
            return Vec::new();
        }
        let wanted = (row.uid().clone(), row.resource_version().to_owned());
        if self.detail.asked.as_ref() == Some(&wanted) {
            return Vec::new();
        }
        let (namespace, name) = (row.namespace().to_owned(), row.name().to_owned());
        let detail = &mut self.detail;
        if detail.asked.as_ref().is_none_or(|(uid, _)| *uid != wanted.0) {
            detail.scroll = 0;
            detail.problem = None;
        }
        detail.generation += 1;
        detail.waiting.insert(server, detail.generation);
        detail.asked = Some(wanted.clone());
        vec![Command::ReadHost { generation: detail.generation, uid: wanted.0, namespace, name }]
    }
}
