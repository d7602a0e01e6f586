//! From one visible line to the next: spots in the tree, valid until the next change.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::model::key::{GroupPath, NodeKey, Place};
use crate::model::shape::MAX_LEVELS;

use super::bits::Bits;
use super::groups::{Group, Inside};
use super::roster::Seat;
use super::scope::{Scope, scope};
use super::{Folds, Inventory};

/// A line, by numbers: that of the group at each level on the way down, then the host's seat. The
/// whole fleet, without any of them, has no line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    path: [usize; MAX_LEVELS],
    depth: usize,
    pub(super) host: Option<Seat>,
}

impl Spot {
    const ROOT: Self = Self { path: [0; MAX_LEVELS], depth: 0, host: None };

    /// How many groups there are on the way to it, itself included.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    fn numbers(&self) -> &[usize] {
        self.path.get(..self.depth).unwrap_or_default()
    }

    /// The group that it is, or that the host is in.
    fn group(self) -> Self {
        Self { host: None, ..self }
    }

    /// A group inside this one.
    fn child(self, number: usize) -> Self {
        let mut child = self.group();
        if let Some(place) = child.path.get_mut(self.depth) {
            *place = number;
            child.depth += 1;
        }
        child
    }

    fn host(self, seat: Seat) -> Self {
        Self { host: Some(seat), ..self }
    }

    /// The group around a group, and its number there; none for the whole fleet.
    fn parent(self) -> Option<(Self, usize)> {
        let number = *self.numbers().last()?;
        let mut parent = self.group();
        parent.depth -= 1;
        if let Some(place) = parent.path.get_mut(parent.depth) {
            *place = 0;
        }
        Some((parent, number))
    }

    /// The order of two lines on the screen.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        self.numbers().cmp(other.numbers()).then_with(|| self.host.cmp(&other.host))
    }
}

/// The tree as it is visible: an inventory under its filter with some of it folded.
#[derive(Clone, Copy)]
pub(super) struct Walk<'a, 'f> {
    inventory: &'a Inventory,
    folds: &'f Folds,
    bits: Option<&'a Bits>,
}

impl<'a, 'f> Walk<'a, 'f> {
    pub(super) fn new(inventory: &'a Inventory, folds: &'f Folds) -> Self {
        Self { inventory, folds, bits: inventory.search.bits() }
    }

    pub(super) fn is_filtered(&self) -> bool {
        self.bits.is_some()
    }

    /// The group that a line is, or that its host is in.
    pub(super) fn get(&self, spot: Spot) -> Option<&'a Group> {
        self.inventory.way(spot).last()
    }

    fn is_shown(&self, group: &Group) -> bool {
        group.tallies.is_shown(self.is_filtered())
    }

    /// Whether what is in the group at a spot is shown, if the groups around it are open.
    pub(super) fn is_open(&self, spot: Spot) -> bool {
        let names = || self.inventory.way(spot).skip(1).map(|group| group.name.as_ref());
        spot.depth == 0 || self.folds.is_group_open(names(), spot.depth, self.is_filtered())
    }

    /// The first visible group from this number on inside a group.
    fn child_from(&self, at: Spot, number: usize) -> Option<Spot> {
        let groups = self.get(at)?.groups().iter().enumerate().skip(number);
        let mut shown = groups.filter(|(_, group)| self.is_shown(group));
        shown.next().map(|(number, _)| at.child(number))
    }

    /// The first line inside a group that is open.
    fn first_inside(&self, at: Spot) -> Option<Spot> {
        match &self.get(at)?.inside {
            Inside::Groups(_) => self.child_from(at, 0),
            Inside::Hosts(roster) => roster.first(self.bits).map(|seat| at.host(seat)),
        }
    }

    /// The line below a group and all that is in it.
    fn after(&self, at: Spot) -> Option<Spot> {
        let mut at = at.group();
        while let Some((parent, number)) = at.parent() {
            if let Some(next) = self.child_from(parent, number + 1) {
                return Some(next);
            }
            at = parent;
        }
        None
    }

    /// The last line of what is visible of a group.
    fn end_of(&self, at: Spot) -> Option<Spot> {
        let line = (at.depth > 0).then_some(at);
        if !self.is_open(at) {
            return line;
        }
        match &self.get(at)?.inside {
            Inside::Groups(groups) => self.end_before(at, groups.len()),
            Inside::Hosts(roster) => roster.last(self.bits).map(|seat| at.host(seat)).or(line),
        }
    }

    /// The last line before this number inside a group: of a group before it, or its own.
    fn end_before(&self, at: Spot, number: usize) -> Option<Spot> {
        let groups = self.get(at)?.groups().iter().enumerate().take(number).rev();
        let mut shown = groups.filter(|(_, group)| self.is_shown(group));
        match shown.next() {
            Some((number, _)) => self.end_of(at.child(number)),
            None => (at.depth > 0).then_some(at),
        }
    }

    pub(super) fn first(&self) -> Option<Spot> {
        self.first_inside(Spot::ROOT)
    }

    pub(super) fn last(&self) -> Option<Spot> {
        self.end_of(Spot::ROOT)
    }

    pub(super) fn next(&self, spot: Spot) -> Option<Spot> {
        let inside = match spot.host {
            Some(seat) => {
                let seat = self.get(spot)?.roster()?.next(seat, self.bits);
                seat.map(|seat| spot.host(seat))
            }
            None if self.is_open(spot) => self.first_inside(spot),
            None => None,
        };
        inside.or_else(|| self.after(spot))
    }

    pub(super) fn previous(&self, spot: Spot) -> Option<Spot> {
        let Some(seat) = spot.host else {
            let (parent, number) = spot.parent()?;
            return self.end_before(parent, number);
        };
        match self.get(spot)?.roster()?.shown_before(seat, self.bits) {
            Some(seat) => Some(spot.host(seat)),
            None => (spot.depth > 0).then_some(spot.group()),
        }
    }

    fn shown_hosts(&self, group: &Group) -> usize {
        group.tallies.counts(self.is_filtered()).matched as usize
    }

    /// How many lines there are inside a group. O(groups).
    fn lines_inside(&self, at: Spot, group: &Group) -> usize {
        if !self.is_open(at) {
            return 0;
        }
        match &group.inside {
            Inside::Groups(groups) => self.lines_of(at, groups),
            Inside::Hosts(_) => self.shown_hosts(group),
        }
    }

    /// How many lines the first of the groups inside a group take.
    fn lines_of(&self, at: Spot, groups: &[Box<Group>]) -> usize {
        let shown = groups.iter().enumerate().filter(|(_, group)| self.is_shown(group));
        shown.map(|(number, group)| 1 + self.lines_inside(at.child(number), group)).sum()
    }

    /// Number of a visible line, and how many there are. O(groups).
    pub(super) fn number(&self, spot: Spot) -> (usize, usize) {
        let root = &self.inventory.groups.shown.root;
        let total = self.lines_inside(Spot::ROOT, root);
        let (mut at, mut before) = (Spot::ROOT, 0);
        for (group, number) in self.inventory.way(spot).zip(spot.numbers()) {
            // The line of the group itself, and what stands before it around it.
            before += usize::from(at.depth > 0);
            before += self.lines_of(at, group.groups().get(..*number).unwrap_or_default());
            at = at.child(*number);
        }
        if let Some((seat, roster)) = spot.host.zip(self.get(spot).and_then(Group::roster)) {
            before += usize::from(at.depth > 0) + roster.rank(seat, self.bits);
        }
        (before, total)
    }

    /// The line this many below, or the last one. O(log n + groups passed).
    pub(super) fn forward(&self, from: Spot, mut count: usize) -> Spot {
        let mut spot = from;
        while count > 0 {
            // Within an open group of hosts the way is one look, however far.
            if let Some(group) = self.get(spot)
                && let Some(roster) = group.roster()
                && self.is_open(spot)
            {
                let done = spot.host.map_or(0, |seat| 1 + roster.rank(seat, self.bits));
                let left = self.shown_hosts(group).saturating_sub(done);
                let jump = count.min(left);
                if jump > 0
                    && let Some(seat) = roster.nth(done + jump - 1, self.bits)
                {
                    spot = spot.host(seat);
                    count -= jump;
                    continue;
                }
            }
            let Some(next) = self.next(spot) else { break };
            spot = next;
            count -= 1;
        }
        spot
    }

    /// The line this many above, or the first one. O(log n + groups passed).
    pub(super) fn backward(&self, from: Spot, mut count: usize) -> Spot {
        let mut spot = from;
        while count > 0 {
            if let Some((seat, roster)) = spot.host.zip(self.get(spot).and_then(Group::roster)) {
                let rank = roster.rank(seat, self.bits);
                let jump = count.min(rank);
                if jump > 0
                    && let Some(seat) = roster.nth(rank - jump, self.bits)
                {
                    spot = spot.host(seat);
                    count -= jump;
                    continue;
                }
            }
            let Some(previous) = self.previous(spot) else { break };
            spot = previous;
            count -= 1;
        }
        spot
    }

    /// The line of a node, if the node is there and its line is visible.
    pub(super) fn locate(&self, key: &NodeKey) -> Option<Spot> {
        let spot = self.inventory.spot_of(key)?;
        if !self.inventory.way(spot).skip(1).all(|group| self.is_shown(group)) {
            return None;
        }
        let mut around = spot.group();
        if let Some(seat) = spot.host {
            let host = self.get(spot)?.roster()?.get(seat)?;
            if !self.bits.is_none_or(|bits| bits.has(host)) || !self.is_open(around) {
                return None;
            }
        }
        while let Some((parent, _)) = around.parent() {
            if !self.is_open(parent) {
                return None;
            }
            around = parent;
        }
        Some(spot)
    }

    /// The first visible line at or after a place in the tree, or what is closed around it; the
    /// last line if nothing follows.
    pub(super) fn settle(&self, names: &[Arc<str>], place: Option<Place<'_>>) -> Option<Spot> {
        self.settle_inside(names, place).or_else(|| self.last())
    }

    fn settle_inside(&self, names: &[Arc<str>], place: Option<Place<'_>>) -> Option<Spot> {
        let mut at = Spot::ROOT;
        for name in names {
            if !self.is_open(at) {
                return Some(at);
            }
            let group = self.get(at)?;
            let number = group.find(name).unwrap_or_else(|number| number);
            let here = group.groups().get(number).filter(|group| group.name == *name);
            if !here.is_some_and(|group| self.is_shown(group)) {
                return self.child_from(at, number).or_else(|| self.after(at));
            }
            at = at.child(number);
        }
        let line = (at.depth > 0).then_some(at);
        let Some((place, roster)) = place.zip(self.get(at)?.roster()).filter(|_| self.is_open(at))
        else {
            return line;
        };
        match roster.at_or_after(&place, self.bits, &self.inventory.rows) {
            Some(seat) => Some(at.host(seat)),
            None => self.after(at),
        }
    }
}

impl Inventory {
    /// The groups on the way to a spot, from the whole fleet on.
    fn way(&self, spot: Spot) -> impl Iterator<Item = &Group> {
        let mut next = Some(&self.groups.shown.root);
        let mut numbers = spot.path.into_iter().take(spot.depth);
        std::iter::from_fn(move || {
            let group = next?;
            let inside = numbers.next().and_then(|number| group.groups().get(number));
            next = inside.map(AsRef::as_ref);
            Some(group)
        })
    }

    /// Where the group under these names is.
    fn spot_of_group<'n>(&self, mut names: impl Iterator<Item = &'n str>) -> Option<Spot> {
        let start = (Spot::ROOT, &self.groups.shown.root);
        let found = names.try_fold(start, |(at, group), name| {
            let number = group.find(name).ok()?;
            Some((at.child(number), group.groups().get(number)?.as_ref()))
        });
        found.map(|(at, _)| at)
    }

    /// Where a node is, visible or not.
    pub(super) fn spot_of(&self, key: &NodeKey) -> Option<Spot> {
        match key {
            NodeKey::Group(path) => {
                let spot = self.spot_of_group(path.names().iter().map(AsRef::as_ref))?;
                (spot.depth > 0).then_some(spot)
            }
            NodeKey::Host(uid) => {
                let slot = self.rows.slot_of(uid)?;
                let scope = scope!(self);
                let names = self.grouping().iter().map(|level| scope.at(level, slot));
                let around = self.spot_of_group(names)?;
                let group = self.way(around).last()?;
                let seat = group.roster()?.seat_of(&self.rows.place(slot), &self.rows)?;
                Some(around.host(seat))
            }
        }
    }

    /// The path of the group at a spot, or around its host; empty for the whole fleet.
    pub(super) fn path_at(&self, spot: Spot) -> GroupPath {
        GroupPath::new(self.way(spot).skip(1).map(|group| Arc::clone(&group.name)))
    }

    /// The node at a spot.
    pub(super) fn key_at(&self, spot: Spot) -> Option<NodeKey> {
        let Some(seat) = spot.host else { return Some(NodeKey::Group(self.path_at(spot))) };
        let row = self.rows.get(self.way(spot).last()?.roster()?.get(seat)?)?;
        Some(NodeKey::Host(row.uid().clone()))
    }

    /// The line of the group around a node; none around one at the top.
    pub(super) fn around(spot: Spot) -> Option<Spot> {
        let around = if spot.host.is_some() { spot.group() } else { spot.parent()?.0 };
        (around.depth > 0).then_some(around)
    }
}
