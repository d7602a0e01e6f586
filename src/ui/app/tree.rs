//! Moving in the tree. The cursor and the first line are nodes, never row numbers.

use super::{Model, Pane};
use crate::model::key::{NodeKey, Uid};
use crate::model::row::HostRow;

impl Model {
    /// The host under the cursor.
    pub fn host(&self) -> Option<&HostRow> {
        match &self.cursor {
            Some(NodeKey::Host(uid)) => self.inventory.get(uid),
            _ => None,
        }
    }

    /// Moves the cursor by lines, clamped at both ends.
    pub(super) fn step(&mut self, lines: isize) {
        if self.pane == Pane::Detail {
            self.detail.scroll_by(lines);
        } else if let Some(cursor) = &self.cursor {
            self.cursor = Some(self.inventory.step(&self.folds, cursor, lines));
        }
    }

    /// Lines of a page of the pane that has the keys.
    pub(super) fn page(&self) -> isize {
        isize::try_from(self.areas().rows.height.max(2) - 1).unwrap_or(1)
    }

    pub(super) fn go_to_end(&mut self, last: bool) {
        if self.pane == Pane::Detail {
            self.detail.scroll_by(if last { isize::MAX } else { isize::MIN });
        } else {
            self.cursor = if last {
                self.inventory.last(&self.folds)
            } else {
                self.inventory.first(&self.folds)
            };
        }
    }

    /// Closes the node under the cursor, or goes to its parent.
    pub(super) fn fold(&mut self) {
        let Some(cursor) = self.cursor.clone() else { return };
        let filtered = self.inventory.is_filtered();
        if self.folds.is_open(&cursor, filtered) && !matches!(cursor, NodeKey::Host(_)) {
            self.folds.close(&cursor, filtered);
        } else if let Some(parent) = self.inventory.parent(&cursor) {
            self.cursor = Some(parent);
        }
    }

    pub(super) fn unfold(&mut self) {
        if let Some(cursor) = &self.cursor {
            self.folds.open(cursor, self.inventory.is_filtered());
        }
    }

    /// Opens or closes the node under the cursor; of a host, its cluster.
    pub(super) fn toggle_fold(&mut self) {
        let Some(cursor) = self.cursor.clone() else { return };
        let node = match &cursor {
            NodeKey::Host(_) => self.inventory.parent(&cursor),
            _ => Some(cursor),
        };
        if let Some(node) = node {
            self.folds.toggle(&node, self.inventory.is_filtered());
            self.cursor = Some(node);
        }
    }

    /// Before a host is deleted: a cursor on it goes to the next line, else to the one before.
    pub(super) fn before_delete(&mut self, uid: &Uid) {
        let gone = NodeKey::Host(uid.clone());
        for place in [&mut self.cursor, &mut self.top] {
            if place.as_ref() == Some(&gone) {
                let next = self.inventory.step(&self.folds, &gone, 1);
                let next =
                    if next == gone { self.inventory.step(&self.folds, &gone, -1) } else { next };
                *place = (next != gone).then_some(next);
            }
        }
    }

    /// Brings the cursor to a visible node and the first line to where the cursor can be seen.
    pub(super) fn settle(&mut self) {
        self.cursor = match &self.cursor {
            Some(cursor) => self.inventory.nearest(&self.folds, cursor),
            None => None,
        }
        .or_else(|| self.inventory.first(&self.folds));
        let Some(cursor) = self.cursor.clone() else {
            self.top = None;
            return;
        };
        let height = isize::try_from(self.areas().rows.height).unwrap_or(1).max(1);
        let top = self
            .top
            .as_ref()
            .and_then(|top| self.inventory.nearest(&self.folds, top))
            .unwrap_or_else(|| cursor.clone());
        let size = usize::try_from(height).unwrap_or(1);
        let lines = self.inventory.window(&self.folds, &top, size);
        let seen = lines.iter().any(|line| line.key() == cursor);
        let short = lines.len() < size;
        drop(lines);
        self.top = Some(if seen && !short {
            top
        } else if seen {
            // Less than a screenful below: fill the screen from the end.
            match self.inventory.last(&self.folds) {
                Some(last) => self.inventory.step(&self.folds, &last, 1 - height),
                None => top,
            }
        } else {
            let above = self.inventory.step(&self.folds, &cursor, 1 - height);
            if self.is_above(&cursor, &top, size) { cursor } else { above }
        });
    }

    /// Whether the cursor lies above the first line: then it becomes the first line, so that the
    /// screen moves as little as it must.
    fn is_above(&self, cursor: &NodeKey, top: &NodeKey, _height: usize) -> bool {
        self.inventory.position(&self.folds, cursor).0 < self.inventory.position(&self.folds, top).0
    }
}
