//! The groups of the tree in order, level under level, with the hosts of the lowest and the
//! counters of each.

use std::sync::Arc;

use crate::model::intern::{Interner, Symbol};
use crate::model::key::group_cmp;
use crate::model::row::{Built, Health, HostRow};
use crate::model::shape::Level;

use super::bits::Bits;
use super::counts::{Tallies, Tally};
use super::roster::Roster;
use super::rows::Rows;
use super::scope::{self, Scope};
use super::staged::Index;

/// The fleet as a tree. A group is there as long as it has a host.
pub(super) struct Groups {
    levels: Vec<Level>,
    /// The whole fleet, which has no line.
    pub(super) root: Group,
}

pub(super) struct Group {
    pub(super) name: Arc<str>,
    pub(super) tallies: Tallies,
    pub(super) inside: Inside,
}

pub(super) enum Inside {
    /// In order, each behind a pointer: a new name in the middle moves eight bytes for each name
    /// behind it, even among ten thousand clusters.
    #[expect(clippy::vec_box, reason = "insertion in the middle moves the elements")]
    Groups(Vec<Box<Group>>),
    /// The hosts of a group of the lowest level.
    Hosts(Roster),
}

impl Group {
    /// A group with so many levels under it.
    fn new(name: &str, levels: usize) -> Self {
        let inside =
            if levels == 0 { Inside::Hosts(Roster::default()) } else { Inside::Groups(Vec::new()) };
        Self { name: name.into(), tallies: Tallies::default(), inside }
    }

    /// The groups inside; none in one of the lowest level.
    pub(super) fn groups(&self) -> &[Box<Self>] {
        match &self.inside {
            Inside::Groups(groups) => groups,
            Inside::Hosts(_) => &[],
        }
    }

    /// The hosts of a group of the lowest level.
    pub(super) fn roster(&self) -> Option<&Roster> {
        match &self.inside {
            Inside::Groups(_) => None,
            Inside::Hosts(roster) => Some(roster),
        }
    }

    /// Where the group with this name is inside, or where it would be.
    pub(super) fn find(&self, name: &str) -> Result<usize, usize> {
        self.groups().binary_search_by(|group| group_cmp(&group.name, name))
    }

    fn is_empty(&self) -> bool {
        match &self.inside {
            Inside::Groups(groups) => groups.is_empty(),
            Inside::Hosts(roster) => roster.is_empty(),
        }
    }

    /// Every slot in the order of the tree.
    pub(super) fn slots(&self) -> Box<dyn Iterator<Item = u32> + '_> {
        match &self.inside {
            Inside::Groups(groups) => Box::new(groups.iter().flat_map(|group| group.slots())),
            Inside::Hosts(roster) => Box::new(roster.iter()),
        }
    }

    fn recount(&mut self, bits: &Bits, rows: &Rows) {
        let mut tally = Tally::default();
        match &mut self.inside {
            Inside::Groups(groups) => {
                for group in groups {
                    group.recount(bits, rows);
                    tally.merge(&group.tallies.matched);
                }
            }
            Inside::Hosts(roster) => roster.recount(bits, |slot| {
                if let Some(health) = rows.health(slot) {
                    tally.add(health);
                }
            }),
        }
        self.tallies.matched = tally;
    }

    fn add(&mut self, levels: &[Level], slot: u32, health: Health, scope: Scope<'_>) {
        self.tallies.all.add(health);
        if scope.is_matched(slot) {
            self.tallies.matched.add(health);
        }
        let Some((level, below)) = levels.split_first() else {
            if let Inside::Hosts(roster) = &mut self.inside {
                roster.insert(slot, scope.bits, scope.rows);
            }
            return;
        };
        let name = scope.at(level, slot);
        let found = self.find(name);
        let Inside::Groups(groups) = &mut self.inside else { return };
        let number = found.unwrap_or_else(|number| {
            groups.insert(number, Box::new(Self::new(name, below.len())));
            number
        });
        if let Some(group) = groups.get_mut(number) {
            group.add(below, slot, health, scope);
        }
    }

    fn remove(&mut self, levels: &[Level], slot: u32, health: Health, scope: Scope<'_>) {
        self.tallies.all.remove(health);
        if scope.is_matched(slot) {
            self.tallies.matched.remove(health);
        }
        let Some((level, below)) = levels.split_first() else {
            if let Inside::Hosts(roster) = &mut self.inside {
                roster.remove(slot, scope.bits, scope.rows);
            }
            return;
        };
        let Ok(number) = self.find(scope.at(level, slot)) else { return };
        let Inside::Groups(groups) = &mut self.inside else { return };
        let Some(group) = groups.get_mut(number) else { return };
        group.remove(below, slot, health, scope);
        if group.is_empty() {
            groups.remove(number);
        }
    }

    /// Lets the counters on the way down to a host change, and its roster at the end.
    fn on_the_way(
        &mut self,
        levels: &[Level],
        slot: u32,
        scope: Scope<'_>,
        count: &mut impl FnMut(&mut Tallies),
        end: impl FnOnce(&mut Roster),
    ) {
        count(&mut self.tallies);
        let number = levels.first().map(|level| self.find(scope.at(level, slot)));
        match (&mut self.inside, number) {
            (Inside::Groups(groups), Some(Ok(number))) => {
                if let Some(group) = groups.get_mut(number) {
                    let below = levels.get(1..).unwrap_or_default();
                    group.on_the_way(below, slot, scope, count, end);
                }
            }
            (Inside::Hosts(roster), _) => end(roster),
            (Inside::Groups(_), _) => {}
        }
    }
}

impl Default for Groups {
    fn default() -> Self {
        Self::new(&[Level::Region, Level::Cluster])
    }
}

impl Groups {
    /// A tree without hosts.
    pub(super) fn new(levels: &[Level]) -> Self {
        Self { levels: levels.to_vec(), root: Group::new("", levels.len()) }
    }

    pub(super) fn levels(&self) -> &[Level] {
        &self.levels
    }

    /// Whether a host can move because time passes.
    pub(super) fn follows_state(&self) -> bool {
        self.levels.iter().any(|level| matches!(level, Level::State | Level::Health))
    }

    /// Whether another version of a row belongs to the same group.
    pub(super) fn keeps(
        &self,
        old: &HostRow,
        pairs: &[(Symbol, Symbol)],
        new: &Built,
        interner: &Interner,
    ) -> bool {
        self.levels.iter().all(|level| {
            // It is one host, so on one server, whatever its name.
            scope::at(level, old, pairs, (interner, &[]))
                == scope::at(level, &new.row, &new.pairs, (interner, &[]))
        })
    }

    /// The group under these names.
    pub(super) fn find(&self, names: &[Arc<str>]) -> Option<&Group> {
        names.iter().try_fold(&self.root, |group, name| {
            group.groups().get(group.find(name).ok()?).map(AsRef::as_ref)
        })
    }

    /// Every slot in the order of the tree.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        self.root.slots()
    }
}

impl Index for Groups {
    fn add(&mut self, slot: u32, scope: Scope<'_>) {
        if let Some(health) = scope.rows.get(slot).map(HostRow::health) {
            self.root.add(&self.levels, slot, health, scope);
        }
    }

    fn remove(&mut self, slot: u32, scope: Scope<'_>) {
        if let Some(health) = scope.rows.get(slot).map(HostRow::health) {
            self.root.remove(&self.levels, slot, health, scope);
        }
    }

    fn set_health(&mut self, slot: u32, old: Health, scope: Scope<'_>) {
        let Some(new) = scope.rows.get(slot).map(HostRow::health) else { return };
        if old == new {
            return;
        }
        let matched = scope.is_matched(slot);
        let mut count = |tallies: &mut Tallies| {
            tallies.all.remove(old);
            tallies.all.add(new);
            if matched {
                tallies.matched.remove(old);
                tallies.matched.add(new);
            }
        };
        self.root.on_the_way(&self.levels, slot, scope, &mut count, |_| {});
    }

    fn set_matched(&mut self, slot: u32, matched: bool, scope: Scope<'_>) {
        let Some(health) = scope.rows.get(slot).map(HostRow::health) else { return };
        let mut count = |tallies: &mut Tallies| {
            if matched {
                tallies.matched.add(health);
            } else {
                tallies.matched.remove(health);
            }
        };
        let end = |roster: &mut Roster| roster.set_matched(slot, matched, scope.rows);
        self.root.on_the_way(&self.levels, slot, scope, &mut count, end);
    }

    fn recount(&mut self, bits: &Bits, rows: &Rows) {
        self.root.recount(bits, rows);
    }
}
