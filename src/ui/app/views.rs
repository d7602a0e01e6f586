//! The views: which one is shown, the way from one to another, and where the cursor of each list
//! is. A list's cursor is an identity like the tree's; only when what it stood on leaves the list
//! does the number of its line tell who comes in its place.

use super::{Model, Pane};
use crate::model::inventory::{Inventory, List};
use crate::model::key::{NodeKey, Uid};
use crate::ui::actions::Action;
use crate::ui::msg::Command;

/// Views that `[` can go back through.
const HISTORY: usize = 50;

/// What the screen shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum View {
    /// The tree of all hosts.
    #[default]
    Fleet,
    /// Hosts that are held: by whom, why, until when.
    Maintenance,
    /// Ansible runs.
    Runs,
    /// Hosts with a problem.
    Problems,
    /// Requests for certificates.
    Certificates,
    /// Where hosts come from, and how the last passes went.
    Sources,
    /// The API servers, with how the connection to each one is.
    Servers,
    /// What this person did.
    Journal,
    /// What changed in the last 15 minutes.
    Changes,
}

impl View {
    /// Its name on the screen.
    pub fn title(self) -> &'static str {
        match self {
            Self::Fleet => "Fleet",
            Self::Maintenance => "Maintenance",
            Self::Runs => "Runs",
            Self::Problems => "Problems",
            Self::Certificates => "Certificates",
            Self::Sources => "Sources",
            Self::Servers => "Servers",
            Self::Journal => "Journal",
            Self::Changes => "Changes",
        }
    }

    /// The list of hosts that it shows, if it shows one.
    pub fn list(self) -> Option<List> {
        match self {
            Self::Maintenance => Some(List::Held),
            Self::Runs => Some(List::Runs),
            Self::Problems => Some(List::Problems),
            Self::Fleet
            | Self::Certificates
            | Self::Sources
            | Self::Servers
            | Self::Journal
            | Self::Changes => None,
        }
    }
}

/// The views.
#[derive(Clone, Debug, Default)]
pub struct Views {
    /// The one that is shown.
    pub now: View,
    /// Where one is among the hosts that are held.
    pub held: Spot,
    /// Where one is among the runs.
    pub runs: Spot,
    /// Where one is in the table of the whole fleet.
    pub table: Spot,
    /// Where one is among the hosts with a problem.
    pub problems: Spot,
    /// Where one came from; the latest last.
    back: Vec<View>,
    /// Where one went back from; the latest last.
    forward: Vec<View>,
    last: Option<View>,
}

/// Where one is in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot<K = Uid> {
    /// What is under the cursor.
    pub cursor: Option<K>,
    /// What is on the first line.
    pub top: Option<K>,
    /// The numbers of both when they were last seen.
    ranks: (usize, usize),
}

impl<K> Default for Spot<K> {
    fn default() -> Self {
        Self { cursor: None, top: None, ranks: (0, 0) }
    }
}

/// A list as a cursor sees it.
pub(super) trait Listed {
    /// What names a line.
    type Key: Clone;

    /// How many lines there are.
    fn len(&self) -> usize;

    /// Number of the line of this; none if it is not there.
    fn rank(&self, key: &Self::Key) -> Option<usize>;

    /// What is on this line.
    fn nth(&self, rank: usize) -> Option<Self::Key>;
}

impl Listed for (&Inventory, List) {
    type Key = Uid;

    fn len(&self) -> usize {
        self.0.list_len(self.1).0
    }

    fn rank(&self, key: &Uid) -> Option<usize> {
        self.0.list_rank(self.1, key)
    }

    fn nth(&self, rank: usize) -> Option<Uid> {
        self.0.list_nth(self.1, rank).map(|row| row.uid().clone())
    }
}

/// Where a cursor goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Move {
    /// To the line this many below, clamped at both ends.
    By(isize),
    /// To the first line.
    First,
    /// To the last line.
    Last,
    /// To this line of the screen, counted from its top.
    OnScreen(usize),
    /// The line under the cursor to the middle of a screen of this height.
    Centre(usize),
    /// To a line that is there; the first line of the screen, of this height, to where the cursor
    /// can be seen and the screen is full.
    Settle(usize),
}

impl<K: Clone> Spot<K> {
    /// Goes there.
    pub(super) fn go(&mut self, list: &impl Listed<Key = K>, to: Move) {
        let end = list.len().saturating_sub(1);
        match to {
            Move::By(lines) => {
                self.cursor = list.nth(self.rank(list).saturating_add_signed(lines).min(end));
            }
            Move::First => self.cursor = list.nth(0),
            Move::Last => self.cursor = list.nth(end),
            Move::OnScreen(line) => {
                let top = self.top.as_ref().and_then(|top| list.rank(top)).unwrap_or(0);
                if let Some(key) = list.nth(top + line) {
                    self.cursor = Some(key);
                }
            }
            Move::Centre(height) => {
                self.top = list.nth(self.rank(list).saturating_sub(height / 2));
            }
            Move::Settle(height) => self.settle(list, height.max(1)),
        }
    }

    fn rank(&self, list: &impl Listed<Key = K>) -> usize {
        self.cursor.as_ref().and_then(|cursor| list.rank(cursor)).unwrap_or(self.ranks.0)
    }

    fn settle(&mut self, list: &impl Listed<Key = K>, height: usize) {
        let len = list.len();
        let cursor = self.rank(list).min(len.saturating_sub(1));
        let top = self.top.as_ref().and_then(|top| list.rank(top)).unwrap_or(self.ranks.1);
        let top = top.min(len.saturating_sub(height));
        let top = top.clamp((cursor + 1).saturating_sub(height), cursor);
        self.ranks = (cursor, top);
        self.cursor = list.nth(cursor);
        self.top = list.nth(top);
    }
}

impl Views {
    /// Where one is in a list of hosts.
    pub fn spot(&self, list: List) -> &Spot {
        match list {
            List::Held => &self.held,
            List::Runs => &self.runs,
            List::Problems => &self.problems,
            List::Table => &self.table,
        }
    }

    fn spot_mut(&mut self, list: List) -> &mut Spot {
        match list {
            List::Held => &mut self.held,
            List::Runs => &mut self.runs,
            List::Table => &mut self.table,
            List::Problems => &mut self.problems,
        }
    }

    fn show(&mut self, view: View) {
        self.last = Some(std::mem::replace(&mut self.now, view));
    }

    /// Goes to a view; the way back is kept.
    fn go(&mut self, view: View) {
        if view == self.now {
            return;
        }
        if self.back.len() >= HISTORY {
            self.back.remove(0);
        }
        self.back.push(self.now);
        self.forward.clear();
        self.show(view);
    }

    /// Goes one step along the way back, or forward again; false at its end.
    fn along(&mut self, forward: bool) -> bool {
        let (from, to) = if forward {
            (&mut self.forward, &mut self.back)
        } else {
            (&mut self.back, &mut self.forward)
        };
        let Some(view) = from.pop() else { return false };
        to.push(self.now);
        self.show(view);
        true
    }
}

impl Model {
    /// What is under the cursor of the view that is shown, if that is a node of the fleet.
    pub fn node(&self) -> Option<NodeKey> {
        match self.views.now {
            View::Fleet if !self.in_table() => self.cursor.clone(),
            View::Fleet | View::Maintenance | View::Runs | View::Problems => {
                self.views.spot(self.list()?).cursor.clone().map(NodeKey::Host)
            }
            View::Changes => self.changed_host(),
            View::Certificates | View::Sources | View::Servers | View::Journal => None,
        }
    }

    /// Shows a view.
    pub(super) fn go_to(&mut self, view: View) {
        self.views.go(view);
        self.arrived();
    }

    /// A view begins with its list, not with the detail that was open before.
    fn arrived(&mut self) {
        self.pane = Pane::Tree;
        self.detail.over = false;
        self.detail.scroll = 0;
    }

    /// Brings the cursor of the list that is shown to a line that is there.
    pub(super) fn settle_view(&mut self) {
        self.go_in_list(Move::Settle(usize::from(self.areas().rows.height)));
        self.settle_columns();
    }

    pub(super) fn go_in_list(&mut self, to: Move) {
        match self.views.now {
            View::Fleet | View::Maintenance | View::Runs | View::Problems => {
                if let Some(list) = self.list() {
                    self.views.spot_mut(list).go(&(&self.inventory, list), to);
                }
            }
            View::Certificates => {
                let mut spot = std::mem::take(&mut self.certificates.spot);
                spot.go(&&self.certificates, to);
                self.certificates.spot = spot;
            }
            View::Sources => {
                let mut spot = std::mem::take(&mut self.sources.spot);
                spot.go(&&self.sources, to);
                self.sources.spot = spot;
            }
            View::Servers => {
                let mut spot = std::mem::take(&mut self.servers.spot);
                spot.go(&&self.servers, to);
                self.servers.spot = spot;
            }
            View::Changes => self.go_in_changes(to),
            View::Journal => self.journal.spot.go(&self.journal.records.as_slice(), to),
        }
    }

    /// Moves in the pane that has the keys.
    fn go_in_view(&mut self, to: Move) {
        if self.pane == Pane::Tree {
            return self.go_in_list(to);
        }
        self.scroll_detail(match to {
            Move::By(lines) => lines,
            Move::First => isize::MIN,
            Move::Last => isize::MAX,
            Move::Settle(_) | Move::OnScreen(_) | Move::Centre(_) => 0,
        });
    }

    /// Gives the detail pane the keys; where both do not fit it lies over the list.
    pub(super) fn show_detail(&mut self) {
        self.pane = Pane::Detail;
        if self.areas().detail.is_empty() {
            self.detail.over = true;
        }
    }

    /// The host under the list's cursor, in the tree, with its details.
    fn open_in_fleet(&mut self) {
        let Some(node) = self.node() else { return };
        self.inventory.reveal(&mut self.folds, &node);
        self.cursor = Some(node);
        self.go_to(View::Fleet);
        self.show_detail();
    }

    /// One step back: an order that goes on, the detail pane, then an error, marks, the filter, and
    /// the view.
    fn back_in_list(&mut self) -> Vec<Command> {
        if let Some(commands) = self.stop() {
            return commands;
        }
        if self.detail.over || self.pane == Pane::Detail {
            self.detail.over = false;
            self.pane = Pane::Tree;
        } else if self.notice.as_ref().is_some_and(|notice| notice.error) {
            self.notice = None;
        } else if self.list().is_some() && self.clear_marks() {
            self.say("no marks");
        } else if self.is_filtered_view() && self.filter.is_loose() {
            self.clear_filter();
        } else if self.views.now == View::Fleet {
            self.say(":q quits, or ctrl-c twice");
        } else if self.views.along(false) {
            self.arrived();
        } else {
            self.go_to(View::Fleet);
        }
        Vec::new()
    }

    /// Whether the filter chooses what the view shows.
    fn is_filtered_view(&self) -> bool {
        self.list().is_some() || self.views.now == View::Changes
    }

    /// Goes to the view that was shown before this one.
    pub(super) fn go_to_last(&mut self) {
        match self.views.last {
            Some(view) => self.go_to(view),
            None => self.say("no other view was shown yet"),
        }
    }

    pub(super) fn along(&mut self, forward: bool) {
        if self.views.along(forward) {
            self.arrived();
        } else {
            self.say(if forward { "no view to go forward to" } else { "no view to go back to" });
        }
    }
}

/// What a list does in another way than the tree; none: the action is the same everywhere.
pub(super) fn run(model: &mut Model, action: Action, times: isize) -> Option<Vec<Command>> {
    if model.views.now == View::Fleet && !model.in_table() {
        return None;
    }
    let page = model.page();
    match action {
        Action::Down => model.go_in_view(Move::By(times)),
        Action::Up => model.go_in_view(Move::By(-times)),
        Action::Top => model.go_in_view(Move::First),
        Action::Bottom => model.go_in_view(Move::Last),
        Action::HalfPageDown => model.go_in_view(Move::By(times * (page / 2).max(1))),
        Action::HalfPageUp => model.go_in_view(Move::By(-times * (page / 2).max(1))),
        Action::PageDown => model.go_in_view(Move::By(times * page)),
        Action::PageUp => model.go_in_view(Move::By(-times * page)),
        Action::Centre => model.go_in_list(Move::Centre(usize::from(model.areas().rows.height))),
        Action::Unfold => model.show_detail(),
        Action::Fold if model.pane == Pane::Detail => return Some(model.back_in_list()),
        Action::Fold | Action::ToggleFold | Action::FoldAll | Action::UnfoldAll => {}
        Action::Open if model.views.now == View::Journal => model.open_order(),
        Action::Open if model.views.now == View::Certificates => model.show_detail(),
        Action::Open if model.views.now == View::Sources => model.open_source(),
        Action::Open if model.views.now == View::Servers => model.open_server(),
        Action::Open if model.views.now == View::Fleet => model.show_detail(),
        Action::Open => model.open_in_fleet(),
        Action::Back => return Some(model.back_in_list()),
        Action::Mark | Action::MarkRange | Action::MarkAll | Action::InvertMarks => {
            match (model.list(), action) {
                (None, _) => model.say("marks are for hosts"),
                (Some(list), Action::Mark) => {
                    model.mark_in_list(list, usize::try_from(times).unwrap_or(1));
                }
                (Some(list), Action::MarkRange) => model.mark_range_in_list(list),
                (Some(list), _) => model.mark_all_in_list(list, action == Action::InvertMarks),
            }
        }
        _ => return None,
    }
    Some(Vec::new())
}

#[cfg(test)]
mod tests;
