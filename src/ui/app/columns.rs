//! The columns behind the name, in the tree and in the table: which ones, which of them is chosen,
//! and how wide they are.
//!
//! A column is as wide as the widest text that it has shown so far. It never becomes narrower while
//! one scrolls, so that nothing moves to and fro.

use std::borrow::Cow;

use unicode_width::UnicodeWidthStr;

use super::{Model, View};
use crate::model::column::{Beside, Column, WIDE};
use crate::model::inventory::Line;
use crate::model::row::HostRow;
use crate::model::shape::{Form, Level, Shape};

/// What is shown where nobody chose: what `get` shows, the state first, since on a narrow screen
/// the last ones do not fit.
const DEFAULT: &str = "state,region,cluster,role,address,age";
/// The same, where there are several servers.
const WITH_SERVER: &str = "state,server,region,cluster,role,address,age";
/// The column of the server's name, which is for where there are several.
pub const SERVER: &str = "server";
/// The column of the name that people see, which stands before the others in any case.
pub const DISPLAY: &str = "display";
/// Columns of the screen between two columns.
pub const GAP: usize = 2;
/// The name is at least this wide.
const NAME_MIN: usize = 16;
/// The name grows by so many columns of the screen at once: rarely, rather than often.
const NAME_STEP: usize = 4;
/// A column becomes no wider than this, the name excepted.
const MAX: usize = 32;

/// The columns behind the name.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    shown: Vec<Column>,
    /// The one that is chosen: 0 is the name; none before somebody chose.
    chosen: Option<usize>,
    /// The first one that stands behind the name.
    first: usize,
    /// The widest texts so far, the name's first.
    seen: Vec<usize>,
}

/// Where columns are in a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fit {
    /// Width of all up to the end of the name.
    pub name: usize,
    /// Numbers and widths of the columns that there is room for.
    pub cells: Vec<(usize, usize)>,
    /// There are more to the left.
    pub left: bool,
    /// There are more to the right.
    pub right: bool,
}

impl Columns {
    /// The columns behind the name.
    pub fn shown(&self) -> &[Column] {
        &self.shown
    }

    /// The one that is chosen: 0 is the name.
    pub fn chosen(&self) -> Option<usize> {
        self.chosen
    }

    /// The columns that have room in this many columns of the screen.
    pub fn fit(&self, width: u16) -> Fit {
        let width = usize::from(width);
        let seen = |number: usize| self.seen.get(number).copied().unwrap_or(0);
        let all: usize = (1..=self.shown.len()).map(|number| seen(number) + GAP).sum();
        let name = seen(0).max(NAME_MIN).next_multiple_of(NAME_STEP);
        let rest = width.saturating_sub(all);
        let name = if rest >= seen(0).max(NAME_MIN) {
            // Everything fits, though perhaps without the room for longer names.
            name.min(rest)
        } else {
            // Of a name that takes too much the end goes, before a column does.
            name.min((width * 9 / 20).max(NAME_MIN)).min(width)
        };
        let (mut used, mut cells) = (name, Vec::new());
        for number in self.first..self.shown.len() {
            let mut wide = seen(number + 1);
            if cells.is_empty() {
                // One is always there, cut if it must be.
                wide = wide.min(width.saturating_sub(used + GAP));
            }
            if used + GAP + wide > width || wide == 0 {
                break;
            }
            used += GAP + wide;
            cells.push((number, wide));
        }
        let right = self.first + cells.len() < self.shown.len();
        Fit { name, cells, left: self.first > 0, right }
    }

    /// Moves the first column to where the chosen one can be seen, and no further.
    fn settle(&mut self, width: u16) {
        self.first = self.first.min(self.shown.len().saturating_sub(1));
        let Some(chosen) = self.chosen.filter(|chosen| *chosen > 0) else {
            self.first = 0;
            return;
        };
        self.first = self.first.min(chosen - 1);
        while self.first + 1 < chosen && !self.fit(width).cells.iter().any(|c| c.0 == chosen - 1) {
            self.first += 1;
        }
    }

    fn grow(&mut self, number: usize, width: usize) {
        if let Some(seen) = self.seen.get_mut(number) {
            *seen = (*seen).max(if number > 0 { width.min(MAX) } else { width });
        }
    }
}

/// What stands above a column: of a label's key the part behind its prefix. The name of the object
/// has a title of its own, because what people call a host stands under NAME already.
pub fn title(column: &Column) -> &str {
    match (column.label_key(), column.title()) {
        (Some(key), _) => key.rsplit('/').next().unwrap_or(key),
        (None, "NAME") => "OBJECT",
        (None, title) => title,
    }
}

/// Columns before the text of a line: its mark and its sign, or its arrow.
pub fn indent(line: &Line<'_>) -> usize {
    match line {
        Line::Group { .. } => 2 * line.depth() + 3,
        Line::Host { depth, .. } => host_indent(*depth),
    }
}

/// Columns before the name of a host in so many groups.
pub fn host_indent(depth: usize) -> usize {
    (2 * depth).saturating_sub(1) + 3
}

/// The columns of a shape, of one server or of several.
fn of_shape(shape: &Shape, several: bool) -> Vec<Column> {
    let all = |text: &str| Column::list(text).unwrap_or_default();
    let usual = if several { WITH_SERVER } else { DEFAULT };
    let mut columns = shape.columns.clone().unwrap_or_else(|| all(usual));
    // What the groups say already, where nobody asked for it.
    if shape.columns.is_none() && shape.form == Form::Tree {
        columns.retain(|column| !shape.group.iter().any(|level| says(level, column)));
    }
    if shape.wide {
        let more = all(WIDE).into_iter().filter(|column| column.to_string() != DISPLAY);
        for column in more {
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
    }
    columns
}

fn says(level: &Level, column: &Column) -> bool {
    !matches!(level, Level::Label(_)) && level.to_string() == column.to_string()
}

impl Model {
    /// The columns behind the name.
    pub fn columns(&self) -> &Columns {
        &self.columns
    }

    /// What a row shows in a column; `-` for nothing.
    pub fn cell<'a>(&'a self, column: &Column, row: &'a HostRow) -> Cow<'a, str> {
        let time = column.time(row).filter(|_| !column.is_age());
        if let Some(time) = time {
            let time = time.to_zoned(self.settings.time_zone.clone());
            return Cow::Owned(time.strftime("%Y-%m-%d %H:%M").to_string());
        }
        let label = |key: &str| self.inventory.label(row, key);
        let server = self.inventory.server_name(row.uid().server());
        match column.of_row(row, Beside { server, label }, self.now) {
            text if text.is_empty() => Cow::Borrowed("-"),
            text => text,
        }
    }

    /// Forgets how wide names were: they stand elsewhere now.
    pub(super) fn forget_name(&mut self) {
        if let Some(name) = self.columns.seen.first_mut() {
            *name = 0;
        }
    }

    /// Begins anew with the columns of the shape. The one that was chosen stays chosen.
    pub(super) fn reset_columns(&mut self) {
        let shown = of_shape(&self.shape, self.servers.several());
        let before = std::mem::take(&mut self.columns);
        let name = before.seen.first().copied().unwrap_or(0);
        // What was seen of a column that stays holds good.
        let seen = shown.iter().map(|column| {
            let at = before.shown.iter().position(|old| old == column);
            let seen = at.and_then(|at| before.seen.get(at + 1)).copied();
            seen.unwrap_or_else(|| title(column).width() + 1)
        });
        let chosen = before.chosen.and_then(|chosen| match chosen.checked_sub(1) {
            None => Some(0),
            Some(at) => {
                let old = before.shown.get(at)?;
                Some(shown.iter().position(|column| column == old)? + 1)
            }
        });
        let seen = std::iter::once(name).chain(seen).collect();
        self.columns = Columns { shown, chosen, first: before.first, seen };
    }

    /// Takes in how wide the lines are that are about to be drawn.
    pub(super) fn settle_columns(&mut self) {
        if self.views.now != View::Fleet {
            return;
        }
        let area = self.areas().rows;
        let height = usize::from(area.height);
        let mut columns = std::mem::take(&mut self.columns);
        let mut host = |row: &HostRow, indent: usize| {
            columns.grow(0, indent + row.display().width());
            for number in 0..columns.shown.len() {
                let wide = columns.shown.get(number).map(|column| self.cell(column, row).width());
                columns.grow(number + 1, wide.unwrap_or(0));
            }
        };
        if self.in_table() {
            for row in self.table_rows(height) {
                host(row, host_indent(0));
            }
        } else if let Some(top) = &self.top {
            let lines = self.inventory.window(&self.folds, top, height);
            for line in &lines {
                match line {
                    Line::Host { row, .. } => host(row, indent(line)),
                    Line::Group { .. } => {}
                }
            }
            for line in &lines {
                if let Line::Group { name, .. } = line {
                    columns.grow(0, indent(line) + name.width());
                }
            }
        }
        columns.settle(area.width);
        self.columns = columns;
    }

    /// The column that is chosen; none: the name.
    pub(super) fn chosen_column(&self) -> Option<Column> {
        match self.columns.chosen.and_then(|chosen| chosen.checked_sub(1)) {
            Some(at) => self.columns.shown.get(at).cloned(),
            None => DISPLAY.parse().ok(),
        }
    }

    /// Chooses the column this many to the right.
    pub(super) fn choose_column(&mut self, by: isize) {
        let last = self.columns.shown.len();
        let now = self.columns.chosen.unwrap_or(0).saturating_add_signed(by);
        self.columns.chosen = Some(now.min(last));
    }
}
