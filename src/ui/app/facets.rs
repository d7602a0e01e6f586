//! The facets: what values the hosts that match have, with how many have each. A value goes into the
//! filter and out of it by one key. The counts are made in steps between other work, at once when the
//! filter changes, else once a second while something changes.

use std::collections::BTreeSet;

use super::{Model, Pane};
use crate::model::filter::{Facet, Filter};
use crate::model::inventory::{FacetCounts, Tally};
use crate::ui::actions::Action;
use crate::ui::msg::Command;

/// Hosts counted before the loop looks at the keyboard again.
const STEP: u32 = 4_096;
/// Values of a facet that are shown while it is closed.
const SHORT: usize = 5;

/// The facets.
#[derive(Debug, Default)]
pub struct Facets {
    /// The pane is there.
    pub open: bool,
    /// What was counted last.
    pub counts: Vec<FacetCounts>,
    /// The line under the cursor: a facet, and one of its values.
    pub cursor: Option<(Facet, Option<String>)>,
    /// Number of the first line that is shown.
    pub top: usize,
    /// Facets that are shown with all of their values.
    whole: BTreeSet<Facet>,
    /// A count that goes on.
    tally: Option<Tally>,
    /// Something has changed since the last count began.
    stale: bool,
}

/// A line of the pane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FacetLine<'a> {
    /// The name of a facet, how many values it has, and whether all of them are shown.
    Title(&'a FacetCounts, bool),
    /// A value, with how many hosts have it, and whether it is chosen.
    Value(&'a FacetCounts, &'a str, usize, bool),
}

impl FacetLine<'_> {
    fn key(&self) -> (Facet, Option<String>) {
        match self {
            Self::Title(counts, _) => (counts.facet.clone(), None),
            Self::Value(counts, value, ..) => (counts.facet.clone(), Some((*value).to_owned())),
        }
    }
}

impl Model {
    /// The lines of the pane.
    pub fn facet_lines(&self) -> Vec<FacetLine<'_>> {
        let typed = self.typed_filter();
        let mut lines = Vec::new();
        for counts in &self.facets.counts {
            let whole = self.facets.whole.contains(&counts.facet);
            let chosen = typed.chosen(&counts.facet);
            lines.push(FacetLine::Title(counts, whole));
            for (number, (value, count)) in counts.values.iter().enumerate() {
                let is_chosen = chosen.contains(value);
                if whole || number < SHORT || is_chosen {
                    lines.push(FacetLine::Value(counts, value, *count, is_chosen));
                }
            }
        }
        lines
    }

    /// Number of the line under the cursor.
    pub fn facet_place(&self, lines: &[FacetLine<'_>]) -> usize {
        let at = self.facets.cursor.as_ref();
        let facet = |line: &FacetLine<'_>| at.is_some_and(|(facet, _)| line.key().0 == *facet);
        let exact = lines.iter().position(|line| Some(&line.key()) == at);
        exact.or_else(|| lines.iter().position(facet)).unwrap_or(0)
    }

    fn typed_filter(&self) -> Filter {
        Filter::parse(self.filter.input.text().trim()).unwrap_or_default()
    }

    /// Opens the pane and gives it the keys, or closes it.
    pub(super) fn toggle_facets(&mut self) {
        if self.facets.open {
            self.close_facets();
        } else {
            self.facets.open = true;
            self.facets.stale = true;
            self.detail.over = false;
            self.pane = Pane::Facets;
            self.begin_count();
        }
    }

    fn close_facets(&mut self) {
        self.facets.open = false;
        self.facets.tally = None;
        self.pane = Pane::Tree;
    }

    /// Hosts, or what is filtered, have changed.
    pub(super) fn facets_are_stale(&mut self) {
        self.facets.stale = self.facets.open;
    }

    /// Begins to count, if something has changed since.
    pub(super) fn begin_count(&mut self) {
        if !self.facets.stale {
            return;
        }
        self.facets.stale = false;
        let typed = self.typed_filter();
        let known = self.facets.counts.iter().map(|counts| &counts.facet);
        let chosen = known.filter(|facet| !typed.chosen(facet).is_empty());
        let chosen = chosen.filter_map(|facet| {
            let rest = typed.without(facet).to_string();
            Some((facet.clone(), Filter::parse(&self.whole_filter(&rest)).ok()?))
        });
        self.facets.tally = Some(self.inventory.begin_tally(chosen.collect(), self.now));
    }

    /// Whether a count has to go on ([`Model::count_step`]).
    pub fn counting(&self) -> bool {
        self.facets.tally.is_some()
    }

    /// Goes on with the count; a frame is due when it is done.
    pub fn count_step(&mut self) {
        let Some(tally) = &mut self.facets.tally else { return };
        if self.inventory.tally_step(tally, STEP) {
            let counts = self.inventory.tallied(tally);
            self.facets.tally = None;
            self.dirty |= self.facets.counts != counts;
            self.facets.counts = counts;
            self.settle_facets();
        }
    }

    /// Brings the cursor to a line that is there, and the first line to where it can be seen.
    fn settle_facets(&mut self) {
        self.move_in_facets(|place, _| place);
    }

    fn move_in_facets(&mut self, to: impl FnOnce(usize, usize) -> usize) {
        let height = usize::from(self.areas().facets.height.saturating_sub(1)).max(1);
        let lines = self.facet_lines();
        let last = lines.len().saturating_sub(1);
        let place = to(self.facet_place(&lines), last).min(last);
        let cursor = lines.get(place).map(FacetLine::key);
        let most = lines.len().saturating_sub(height);
        let top = self.facets.top.min(most).clamp((place + 1).saturating_sub(height), place);
        self.facets.cursor = cursor.or_else(|| self.facets.cursor.take());
        self.facets.top = top;
    }

    /// Puts the value under the cursor into the filter, or takes it out; of a title, shows all
    /// values or few.
    fn toggle_value(&mut self) {
        let lines = self.facet_lines();
        let Some(line) = lines.get(self.facet_place(&lines)).cloned() else { return };
        let (facet, value) = line.key();
        let FacetLine::Value(counts, ..) = line else { return self.show_whole(None) };
        let Some(value) = value else { return };
        if self.filter.error.is_some() {
            let text = format!("the filter is wrong: mend it first ({})", self.key(Action::Filter));
            return self.fail(text);
        }
        let written = counts.written.clone();
        let text = self.typed_filter().toggled(&facet, &written, &value).to_string();
        self.filter.input = super::input::Input::new(text);
        self.apply_filter();
        self.facets_are_stale();
    }

    /// Shows all values of the facet under the cursor, or few of them; none: the other way.
    fn show_whole(&mut self, whole: Option<bool>) {
        let Some((facet, _)) = self.facets.cursor.clone() else { return };
        let now = self.facets.whole.contains(&facet);
        if whole.unwrap_or(!now) {
            self.facets.whole.insert(facet);
        } else {
            self.facets.whole.remove(&facet);
        }
        self.settle_facets();
    }

    /// Gives the keys to the next pane, or the one before.
    pub(super) fn next_pane(&mut self, forward: bool) {
        if self.detail.over {
            self.pane = Pane::Tree;
            return;
        }
        let wide = self.size.0 >= crate::ui::view::layout::BOTH_FROM;
        let mut panes = vec![Pane::Tree];
        panes.extend(wide.then_some(Pane::Detail));
        panes.extend(self.facets.open.then_some(Pane::Facets));
        let at = panes.iter().position(|pane| *pane == self.pane).unwrap_or(0);
        let step = if forward { 1 } else { panes.len() - 1 };
        self.pane = panes.get((at + step) % panes.len()).copied().unwrap_or(Pane::Tree);
    }
}

/// Runs what the pane does in its own way while it has the keys; none: the action is the same
/// everywhere.
pub(super) fn run(model: &mut Model, action: Action, times: isize) -> Option<Vec<Command>> {
    if model.pane != Pane::Facets {
        return None;
    }
    let page = isize::try_from(model.areas().facets.height.max(2) - 1).unwrap_or(1);
    let half = (page / 2).max(1);
    match action {
        Action::Down => model.move_in_facets(|at, _| at.saturating_add_signed(times)),
        Action::Up => model.move_in_facets(|at, _| at.saturating_add_signed(-times)),
        Action::HalfPageDown => {
            model.move_in_facets(|at, _| at.saturating_add_signed(times * half));
        }
        Action::HalfPageUp => model.move_in_facets(|at, _| at.saturating_add_signed(-times * half)),
        Action::PageDown => model.move_in_facets(|at, _| at.saturating_add_signed(times * page)),
        Action::PageUp => model.move_in_facets(|at, _| at.saturating_add_signed(-times * page)),
        Action::Top => model.move_in_facets(|_, _| 0),
        Action::Bottom => model.move_in_facets(|_, last| last),
        Action::Open | Action::Mark => model.toggle_value(),
        Action::Unfold => model.show_whole(Some(true)),
        Action::Fold => model.show_whole(Some(false)),
        Action::ToggleFold => model.show_whole(None),
        Action::Back => model.close_facets(),
        _ => return None,
    }
    Some(Vec::new())
}
