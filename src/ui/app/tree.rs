//! Moving in the tree. The cursor and the first line are nodes, never row numbers.

use super::views::Move;
use super::{Model, Pane};
use crate::model::inventory::{Anchor, Inventory};
use crate::model::key::NodeKey;
use crate::model::row::HostRow;

impl Model {
    /// The host under the cursor of the view that is shown.
    pub fn host(&self) -> Option<&HostRow> {
        match self.node()? {
            NodeKey::Host(uid) => self.inventory.get(&uid),
            NodeKey::Group(_) => None,
        }
    }

    /// Moves the cursor by lines, clamped at both ends.
    pub(super) fn step(&mut self, lines: isize) {
        if self.pane == Pane::Detail {
            self.scroll_detail(lines);
        } else if self.list().is_some() {
            self.go_in_list(Move::By(lines));
        } else if let Some(cursor) = &self.cursor {
            self.cursor = Some(self.inventory.step(&self.folds, cursor, lines));
        }
    }

    /// Lines of a page of the pane that has the keys.
    pub(super) fn page(&self) -> isize {
        isize::try_from(self.areas().rows.height.max(2) - 1).unwrap_or(1)
    }

    /// Brings the line under the cursor to the middle of the screen.
    pub(super) fn centre(&mut self) {
        if self.list().is_some() {
            return self.go_in_list(Move::Centre(usize::from(self.areas().rows.height)));
        }
        let Some(cursor) = self.cursor.clone() else { return };
        let half = isize::try_from(self.areas().rows.height / 2).unwrap_or(0);
        self.top = Some(self.inventory.step(&self.folds, &cursor, -half));
    }

    pub(super) fn go_to_end(&mut self, last: bool) {
        if self.pane == Pane::Detail {
            self.scroll_detail(if last { isize::MAX } else { isize::MIN });
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
            NodeKey::Group(_) => Some(cursor),
        };
        if let Some(node) = node {
            self.folds.toggle(&node, self.inventory.is_filtered());
            self.cursor = Some(node);
        }
    }

    /// Does something that may remove hosts. A cursor or first line that stood on one of them goes
    /// to where it stood.
    pub(super) fn removing<T>(&mut self, remove: impl FnOnce(&mut Inventory) -> T) -> T {
        let anchor = |node: &Option<NodeKey>| self.inventory.anchor_of(node.as_ref()?);
        let (cursor, top) = (anchor(&self.cursor), anchor(&self.top));
        let result = remove(&mut self.inventory);
        let settle = |anchor: Option<Anchor>| self.inventory.settle(&self.folds, &anchor?);
        let (cursor, top) = (settle(cursor), settle(top));
        self.cursor = cursor;
        self.top = top;
        result
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
            // Above the first line it becomes the first, so that the screen moves as little as it must.
            let above = self.inventory.step(&self.folds, &cursor, 1 - height);
            if self.inventory.is_above(&cursor, &top) { cursor } else { above }
        });
    }
}
