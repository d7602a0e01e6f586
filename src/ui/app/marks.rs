//! Marks, and the hosts that an action is for.

use super::Model;
use super::views::Move;
use crate::model::inventory::{List, named};
use crate::model::key::{NodeKey, Uid};
use crate::model::row::HostRow;
use crate::model::shape::Level;
use crate::ui::actions::Action;

/// The hosts that an action is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Targets {
    /// Their identities in the order of the tree.
    pub hosts: Vec<Uid>,
    /// Marked hosts that the filter hides, and which are left out for that.
    pub hidden: Vec<Uid>,
    /// The region or cluster that was meant as a whole.
    pub whole: Option<String>,
    /// Hosts that are left out because nothing can be done on their servers now, and why.
    pub refused: Vec<String>,
}

impl Model {
    /// The hosts that an action is for: the marked ones, if there are any, without those that the
    /// filter hides; else the one under the cursor; of a group, all that match.
    pub fn targets(&self) -> Targets {
        // On a page one acts on what one reads, whatever else is marked.
        if self.page.is_some() {
            let host = self.page_host().filter(|uid| self.inventory.get(uid).is_some());
            return Targets { hosts: host.cloned().into_iter().collect(), ..Targets::default() };
        }
        let (shown, hidden) = self.inventory.marked_rows();
        let uids = |rows: Vec<&HostRow>| rows.into_iter().map(|row| row.uid().clone()).collect();
        if !shown.is_empty() || !hidden.is_empty() {
            return Targets { hosts: uids(shown), hidden: uids(hidden), ..Targets::default() };
        }
        let Some(node) = self.node() else { return Targets::default() };
        // Other groups are as dangerous as the number of their hosts.
        let whole = self.inventory.level_of(&node);
        let whole = whole
            .filter(|(level, _)| matches!(level, Level::Server | Level::Region | Level::Cluster));
        let whole = whole.map(|(level, name)| named(name, level).into_owned());
        let hosts = uids(self.inventory.rows_under(&node).collect());
        Targets { hosts, whole, ..Targets::default() }
    }

    /// Marks what is under the cursor or takes that mark away, and goes on to the next line.
    pub(super) fn mark(&mut self, times: usize) {
        for _ in 0..times.min(self.inventory.len().max(1)) {
            let Some(cursor) = self.cursor.clone() else { return };
            if let NodeKey::Host(uid) = &cursor {
                let on = !self.inventory.is_marked(uid);
                self.inventory.set_mark(uid, on);
                self.mark_anchor = Some(uid.clone());
            } else {
                let on = !self
                    .inventory
                    .rows_under(&cursor)
                    .all(|row| self.inventory.is_marked(row.uid()));
                self.inventory.set_marks_under(&cursor, on);
            }
            let next = self.inventory.step(&self.folds, &cursor, 1);
            let at_the_end = next == cursor;
            self.cursor = Some(next);
            if at_the_end {
                return;
            }
        }
    }

    /// Marks everything from the last mark to the cursor.
    pub(super) fn mark_range(&mut self) {
        let Some(NodeKey::Host(uid)) = self.cursor.clone() else {
            let key = self.key(Action::MarkRange);
            let text =
                format!("{key} marks from the last mark to a host: move the cursor to a host");
            return self.fail(text);
        };
        let from = self.mark_anchor.clone().unwrap_or_else(|| uid.clone());
        let mut between = self.inventory.uids_between(&from, &uid);
        if between.is_empty() {
            // The last mark is hidden or gone: the range begins here.
            between.push(uid.clone());
        }
        for uid in &between {
            self.inventory.set_mark(uid, true);
        }
        self.mark_anchor = Some(uid);
    }

    /// Marks all that match the filter; on a group, all of it that match.
    pub(super) fn mark_all(&mut self) {
        match &self.cursor {
            Some(node @ NodeKey::Group(_)) => self.inventory.set_marks_under(node, true),
            _ => self.inventory.mark_matched(),
        }
    }

    /// [`Model::mark`] in a list of hosts.
    pub(super) fn mark_in_list(&mut self, list: List, times: usize) {
        for _ in 0..times.min(self.inventory.list_len(list).0) {
            let Some(uid) = self.host().map(|row| row.uid().clone()) else { return };
            let on = !self.inventory.is_marked(&uid);
            self.inventory.set_mark(&uid, on);
            self.mark_anchor = Some(uid);
            self.go_in_list(Move::By(1));
        }
    }

    /// Marks what a list shows from the last mark to its cursor.
    pub(super) fn mark_range_in_list(&mut self, list: List) {
        let Some(uid) = self.host().map(|row| row.uid().clone()) else { return };
        let rank = |uid: &Uid| self.inventory.list_rank(list, uid);
        let Some(to) = rank(&uid) else { return };
        let from = self.mark_anchor.as_ref().and_then(rank).unwrap_or(to);
        self.mark_of_list(list, from.min(to), from.abs_diff(to) + 1, |_| true);
        self.mark_anchor = Some(uid);
    }

    /// Marks all that a list shows, or swaps the marks of what it shows.
    pub(super) fn mark_all_in_list(&mut self, list: List, swap: bool) {
        self.mark_of_list(list, 0, usize::MAX, move |marked| !(swap && marked));
    }

    /// Gives so many hosts of a list from this one on the mark that `mark` makes of theirs.
    fn mark_of_list(&mut self, list: List, from: usize, count: usize, mark: impl Fn(bool) -> bool) {
        let Some(first) = self.inventory.list_nth(list, from).map(HostRow::uid) else { return };
        let rows = self.inventory.list_window(list, first, count);
        let uids: Vec<Uid> = rows.into_iter().map(|row| row.uid().clone()).collect();
        for uid in uids {
            let on = mark(self.inventory.is_marked(&uid));
            self.inventory.set_mark(&uid, on);
        }
    }

    /// Takes every mark away. False if there was none.
    pub(super) fn clear_marks(&mut self) -> bool {
        let any = self.inventory.marked().total > 0;
        self.inventory.clear_marks();
        self.mark_anchor = None;
        any
    }
}
