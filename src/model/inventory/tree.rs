//! What of the fleet is visible as lines, and how one moves among them.

use std::collections::HashSet;

use crate::model::key::{HostKey, NodeKey};
use crate::model::row::HostRow;
use std::sync::Arc;

use super::{Counts, Inventory};

/// Which regions and clusters are open.
///
/// Without a filter regions are open and clusters closed, with one everything is open; what a
/// person opens or closes is remembered for each of the two by itself.
#[derive(Clone, Debug, Default)]
pub struct Folds {
    open: HashSet<NodeKey>,
}

impl Folds {
    /// Whether this node's children are shown. A host has none.
    pub fn is_open(&self, key: &NodeKey, filtered: bool) -> bool {
        let _ = filtered;
        self.open.contains(key)
    }

    /// Opens what is closed and closes what is open.
    pub fn toggle(&mut self, key: &NodeKey, filtered: bool) {
        let _ = filtered;
        self.open.insert(key.clone());
    }

    /// Opens a node. True if it was closed.
    pub fn open(&mut self, key: &NodeKey, filtered: bool) -> bool {
        let _ = filtered;
        self.open.insert(key.clone())
    }

    /// Closes a node. True if it was open.
    pub fn close(&mut self, key: &NodeKey, filtered: bool) -> bool {
        let _ = filtered;
        self.open.remove(key)
    }

    /// Opens everything.
    pub fn open_all(&mut self, filtered: bool) {
        let _ = filtered;
    }

    /// Closes everything.
    pub fn close_all(&mut self, filtered: bool) {
        let _ = filtered;
        self.open.clear();
    }
}

/// One visible line of the tree.
#[derive(Clone, Copy, Debug)]
pub enum Line<'a> {
    /// A region.
    Region {
        /// Its name as it is shown.
        name: &'a str,
        /// Its name as it is; empty for hosts without a region.
        id: &'a Arc<str>,
        /// Its counters.
        counts: Counts,
        /// Whether its clusters are shown.
        open: bool,
    },
    /// A cluster.
    Cluster {
        /// Name of its region as it is.
        region: &'a Arc<str>,
        /// Its name as it is shown.
        name: &'a str,
        /// Its name as it is; empty for hosts without a cluster.
        id: &'a Arc<str>,
        /// Its counters.
        counts: Counts,
        /// Whether its hosts are shown.
        open: bool,
    },
    /// A host.
    Host {
        /// All that is known of it here.
        row: &'a HostRow,
    },
}

impl Line<'_> {
    /// What the line is.
    pub fn key(&self) -> NodeKey {
        match self {
            Self::Region { id, .. } => NodeKey::Region(Arc::clone(id)),
            Self::Cluster { region, id, .. } => {
                NodeKey::Cluster(Arc::clone(region), Arc::clone(id))
            }
            Self::Host { row } => NodeKey::Host(row.uid().clone()),
        }
    }

    /// How far it is indented: 0 to 2.
    pub fn depth(&self) -> usize {
        match self {
            Self::Region { .. } => 0,
            Self::Cluster { .. } => 1,
            Self::Host { .. } => 2,
        }
    }
}

/// Where a node stands, kept for the time when it is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    key: NodeKey,
    region: Arc<str>,
    cluster: Option<Arc<str>>,
    host: Option<HostKey>,
}

impl Anchor {
    /// The node.
    pub fn key(&self) -> &NodeKey {
        &self.key
    }
}

impl Inventory {
    /// The visible lines from `anchor` on, at most `height`; from [`Inventory::nearest`] where the
    /// anchor itself is not visible. Fewer only when the tree ends. O(log n + height).
    pub fn window(&self, folds: &Folds, anchor: &NodeKey, height: usize) -> Vec<Line<'_>> {
        let _ = (folds, anchor, height);
        Vec::new()
    }

    /// The visible line `delta` below (above, if negative) `from`, or the last one that way.
    pub fn step(&self, folds: &Folds, from: &NodeKey, delta: isize) -> NodeKey {
        let _ = (folds, delta);
        from.clone()
    }

    /// The first visible line; none in an empty tree.
    pub fn first(&self, folds: &Folds) -> Option<NodeKey> {
        let _ = folds;
        None
    }

    /// The last visible line; none in an empty tree.
    pub fn last(&self, folds: &Folds) -> Option<NodeKey> {
        let _ = folds;
        None
    }

    /// The cluster of a host, the region of a cluster.
    pub fn parent(&self, key: &NodeKey) -> Option<NodeKey> {
        let _ = key;
        None
    }

    /// Where a node stands now, to find the way back when it is gone; none if it is not there.
    pub fn anchor_of(&self, key: &NodeKey) -> Option<Anchor> {
        let _ = key;
        None
    }

    /// Where the cursor goes: the node itself if it is visible, its cluster or region if that is
    /// closed, else the next visible line below the place where it was, else the last line.
    pub fn settle(&self, folds: &Folds, anchor: &Anchor) -> Option<NodeKey> {
        let _ = folds;
        Some(anchor.key.clone())
    }

    /// [`Inventory::settle`] for a node that is still there, though perhaps not visible; the
    /// first line for one that is gone.
    pub fn nearest(&self, folds: &Folds, key: &NodeKey) -> Option<NodeKey> {
        let _ = folds;
        Some(key.clone())
    }

    /// Number of the line of this node from 0 and the number of all visible lines.
    pub fn position(&self, folds: &Folds, key: &NodeKey) -> (usize, usize) {
        let _ = (folds, key);
        (0, 0)
    }

    /// The one line of this node, visible or not.
    pub fn line(&self, folds: &Folds, key: &NodeKey) -> Option<Line<'_>> {
        let _ = (folds, key);
        None
    }
}
