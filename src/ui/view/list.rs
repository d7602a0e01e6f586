//! Lists of hosts: who is held, and the Ansible runs. Only the lines on the screen are built.

use std::borrow::Cow;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use unicode_width::UnicodeWidthStr;

use super::layout::Areas;
use super::pen::Pen;
use super::tree::sign;
use crate::model::duration;
use crate::model::host::RunState;
use crate::model::inventory::List;
use crate::model::key::ServerId;
use crate::model::row::{HostRow, RowHold, RowRun, Tasks, Trouble};
use crate::ui::app::{Link, Model, Pane};
use crate::ui::theme::{Role, Theme};

/// A column: its title, its width, and the width of the list from which it is shown. Of the
/// columns without a width each gets the same share of what is left; the first one has the names
/// and gets more where one would be cut, up to two thirds: machines are told apart by the ends.
#[derive(Clone, Copy)]
pub(super) struct Column {
    title: &'static str,
    width: u16,
    from: u16,
}

pub(super) const fn column(title: &'static str, width: u16, from: u16) -> Column {
    Column { title, width, from }
}

/// One cell: a text and its role.
pub(super) type Cell<'a> = (Cow<'a, str>, Role);

pub(super) fn cell<'a>(text: impl Into<Cow<'a, str>>, role: Role) -> Cell<'a> {
    (text.into(), role)
}

/// The column of the server, which is shown where there are several.
const SERVER: Column = column("SERVER", 12, 48);

/// The columns of a list, where there are several servers with theirs at this place.
pub(super) fn with_server(model: &Model, columns: &[Column], at: usize) -> Vec<Column> {
    let mut columns = columns.to_vec();
    if model.servers.several() {
        columns.insert(at.min(columns.len()), SERVER);
    }
    columns
}

/// Puts the name of the server at the place of its column, where there are several.
pub(super) fn put_server(model: &Model, server: ServerId, at: usize, cells: &mut Vec<Cell<'_>>) {
    if model.servers.several() && !cells.is_empty() {
        let server = model.servers.get(server);
        let role = if server.is_lost() { Role::Warning } else { Role::Muted };
        cells.insert(at.min(cells.len()), cell(server.name().to_owned(), role));
    }
}

const HELD: [Column; 7] = [
    column("  ENDS", 15, 0),
    column("HOST", 0, 0),
    column("HOLDER", 0, 34),
    column("CLUSTER", 14, 68),
    column("SINCE", 7, 90),
    column("TICKET", 10, 110),
    column("REASON", 0, 56),
];

const RUNS: [Column; 9] = [
    column("  STATE", 12, 0),
    column("HOST", 0, 0),
    column("PLAYBOOK", 14, 60),
    column("TIME", 7, 36),
    column("ENDED", 7, 76),
    column("OK/CH/FAIL", 11, 50),
    column("WHO", 12, 84),
    column("CHECK", 6, 100),
    column("TASK/MESSAGE", 0, 70),
];

const PROBLEMS: [Column; 7] = [
    column("  STATE", 14, 0),
    column("HOST", 0, 0),
    column("PROBLEM", 26, 40),
    column("SINCE", 7, 60),
    column("CLUSTER", 14, 74),
    column("REGION", 14, 96),
    column("REASON", 0, 84),
];

/// Columns before the first one, so that a list does not begin at the very edge of the screen.
const MARGIN: u16 = 1;

/// The widths of the columns in this many columns of the screen; zero: not shown. The longest name
/// is this wide, see [`Column`].
fn widths(columns: &[Column], width: u16, longest: usize) -> Vec<usize> {
    let shown = |column: &&Column| width >= column.from;
    let fixed: u16 = columns.iter().filter(shown).map(|column| column.width).sum();
    let shares = columns.iter().filter(shown).filter(|column| column.width == 0).count();
    let rest = usize::from(width.saturating_sub(fixed + MARGIN));
    let even = rest.checked_div(shares).unwrap_or(0);
    // In steps, so that it seldom moves while one scrolls.
    let name = if longest < even { even } else { (longest + 1).next_multiple_of(4) };
    let others = shares.saturating_sub(1);
    let share = (rest - name.min(rest - rest / 3).max(even)).checked_div(others).unwrap_or(0);
    let mut name = Some(rest - share * others);
    let of = |column: &Column| match column.width {
        _ if width < column.from => 0,
        0 => name.take().unwrap_or(share),
        fixed => usize::from(fixed),
    };
    columns.iter().map(of).collect()
}

/// The lines of a list, with its titles: for each whether the cursor is on it, and its cells.
pub(super) fn table<'a>(
    theme: &Theme,
    areas: &Areas,
    columns: &[Column],
    lines: impl Iterator<Item = (bool, Vec<Cell<'a>>)>,
    has_keys: bool,
    buffer: &mut Buffer,
) {
    let lines: Vec<_> = lines.take(usize::from(areas.rows.height)).collect();
    let name = columns.iter().position(|column| column.width == 0);
    let names = lines.iter().filter_map(|(_, cells)| cells.get(name?));
    let longest = names.map(|(name, _)| name.width()).max().unwrap_or(0);
    let widths = widths(columns, areas.rows.width, longest);
    let muted = theme.style(Role::Muted);
    let mut pen = Pen::new(buffer, areas.titles, 0);
    pen.skip(MARGIN);
    for (column, width) in columns.iter().zip(&widths).filter(|(_, width)| **width > 0) {
        pen.cell(column.title, width - 1, muted).skip(1);
    }
    for (y, (selected, cells)) in (0_u16..areas.rows.height).zip(lines) {
        let area = Rect { y: areas.rows.y + y, height: 1, ..areas.rows };
        let mut pen = Pen::new(buffer, area, 0);
        pen.fill(Style::default()).skip(MARGIN);
        for ((text, role), width) in cells.iter().zip(&widths).filter(|(_, width)| **width > 0) {
            pen.cell(text, width - 1, theme.style(*role)).skip(1);
        }
        if selected {
            let style = theme.style(Role::Selected);
            let style = if has_keys { style } else { style.add_modifier(Modifier::DIM) };
            buffer.set_style(area, style);
        }
    }
}

/// What is said where a list has no lines.
pub(super) fn nothing(theme: &Theme, area: Rect, lines: &[&str], buffer: &mut Buffer) {
    for (i, line) in (0_u16..).zip(lines) {
        let role = if i == 0 { Role::Text } else { Role::Muted };
        Pen::new(buffer, area, 1 + i).skip(2).put(line, theme.style(role));
    }
}

pub(super) fn draw(model: &Model, list: List, theme: &Theme, areas: &Areas, buffer: &mut Buffer) {
    if areas.rows.is_empty() {
        return;
    }
    let spot = model.views.spot(list);
    let Some(top) = spot.top.as_ref() else {
        let lines = empty(model, list).map(|line| model.settings.keymap.fill(line));
        return nothing(theme, areas.rows, &lines.each_ref().map(String::as_str), buffer);
    };
    let cursor = spot.cursor.as_ref();
    let rows = model.inventory.list_window(list, top, usize::from(areas.rows.height));
    let lines = rows.into_iter().map(|row| {
        let mut cells = match list {
            // The table of the whole fleet is drawn by itself.
            List::Held | List::Table => held(model, row),
            List::Runs => run(model, row),
            List::Problems => problem(model, row),
        };
        if model.inventory.is_marked(row.uid())
            && let Some((name, role)) = cells.get_mut(1)
        {
            (*name, *role) = (Cow::Owned(format!("* {name}")), Role::Key);
        }
        put_server(model, row.uid().server(), 2, &mut cells);
        (cursor == Some(row.uid()), cells)
    });
    let columns: &[Column] = match list {
        List::Held | List::Table => &HELD,
        List::Runs => &RUNS,
        List::Problems => &PROBLEMS,
    };
    let columns = with_server(model, columns, 2);
    table(theme, areas, &columns, lines, model.pane == Pane::Tree, buffer);
}

fn empty(model: &Model, list: List) -> [&'static str; 2] {
    if !model.servers.any_synced() && !matches!(model.servers.link(), Link::Live) {
        return ["loading…", ""];
    }
    if model.inventory.list_len(list).1 > 0 {
        return [
            "nothing here matches the filter",
            "{key:back} clears it, {key:everything} shows everything",
        ];
    }
    match list {
        List::Held | List::Table => [
            "no host is in maintenance",
            "{key:maintenance} on a host of the fleet ({key:view-fleet}) begins one",
        ],
        List::Problems => ["no host has a problem", "{key:view-fleet} shows the fleet"],
        List::Runs => [
            "no host has an Ansible run",
            "{key:run} on a host of the fleet ({key:view-fleet}) asks for one",
        ],
    }
}

/// The hold that ends last, which is what the host's place in the list follows.
fn last_hold(row: &HostRow) -> Option<&RowHold> {
    row.holds().iter().max_by_key(|hold| hold.until)
}

fn held<'a>(model: &Model, row: &'a HostRow) -> Vec<Cell<'a>> {
    let Some(hold) = last_hold(row) else { return Vec::new() };
    let now = model.now.as_second();
    let left = hold.until.as_second() - now;
    let (role, ends) = if left <= 0 {
        (Role::Warning, format!("○ ran out {}", duration::short(-left)))
    } else if hold.is_current(model.now) {
        (Role::Maintenance, format!("◆ in {}", duration::short(left)))
    } else {
        let begin = hold.since.as_second() - now;
        (Role::Muted, format!("… starts {}", duration::short(begin)))
    };
    let holder = match row.holds().len() {
        0 | 1 => Cow::Borrowed(&*hold.holder),
        more => Cow::Owned(format!("{} +{}", hold.holder, more - 1)),
    };
    vec![
        cell(ends, role),
        cell(row.display(), Role::Text),
        cell(holder, Role::Text),
        cell(or_dash(row.cluster()), Role::Muted),
        cell(ago(model, Some(hold.since)), Role::Muted),
        cell(or_dash(hold.exact.ticket.as_deref().unwrap_or_default()), Role::Muted),
        cell(&*hold.reason, Role::Muted),
    ]
}

/// The role and the sign of a run.
pub(super) fn run_sign(state: RunState) -> (Role, &'static str) {
    match state {
        RunState::Running => (Role::Key, "▸"),
        RunState::Queued => (Role::Muted, "…"),
        RunState::Succeeded => (Role::Ok, "●"),
        RunState::Failed => (Role::Bad, "✖"),
        RunState::Unknown => (Role::Unknown, "?"),
        RunState::Canceled => (Role::Stopped, "○"),
    }
}

/// How long a run has taken so far or took in all; none before its begin.
pub(super) fn took(model: &Model, run: &RowRun) -> Option<String> {
    let end = match run.state() {
        RunState::Running => model.now,
        _ => run.finished()?,
    };
    Some(duration::short(end.as_second() - run.started()?.as_second()))
}

/// Tasks that were fine, changed something, failed.
fn tasks(tasks: Tasks) -> String {
    let count = |n: Option<i32>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
    if tasks == Tasks::default() {
        return "-".to_owned();
    }
    format!("{}/{}/{}", count(tasks.ok), count(tasks.changed), count(tasks.failed))
}

fn run<'a>(model: &Model, row: &'a HostRow) -> Vec<Cell<'a>> {
    let Some(run) = row.run() else { return Vec::new() };
    let (role, sign) = run_sign(run.state());
    let failed = run.tasks().failed.is_some_and(|n| n > 0);
    let goes_on = run.state() == RunState::Running && !run.task().is_empty();
    let word = if goes_on || run.message().is_empty() { run.task() } else { run.message() };
    let word =
        if run.state() == RunState::Queued && run.cancel() { "to be canceled" } else { word };
    vec![
        cell(format!("{sign} {}", run.state().as_str()), role),
        cell(row.display(), Role::Text),
        cell(or_dash(run.playbook()), Role::Muted),
        cell(took(model, run).unwrap_or_else(|| "-".to_owned()), Role::Text),
        cell(ago(model, run.finished()), Role::Muted),
        cell(tasks(run.tasks()), if failed { Role::Bad } else { Role::Muted }),
        cell(or_dash(run.requested_by()), Role::Muted),
        cell(if run.check() { "check" } else { "" }, Role::Muted),
        cell(word, Role::Muted),
    ]
}

fn problem<'a>(model: &Model, row: &'a HostRow) -> Vec<Cell<'a>> {
    let (role, sign) = sign(row.health());
    let reason = match row.trouble() {
        Some(Trouble::RunFailed | Trouble::RunUnknown) => row
            .run()
            .map_or("", |run| if run.message().is_empty() { run.task() } else { run.message() }),
        Some(Trouble::Unreadable) => row.problem().unwrap_or_default(),
        _ => row.ready_reason(),
    };
    let since = match (row.trouble(), row.run()) {
        // A run that fails changes no condition.
        (Some(Trouble::RunFailed | Trouble::RunUnknown), Some(run)) => {
            run.finished().or_else(|| run.started()).or_else(|| row.changed())
        }
        _ => row.changed(),
    };
    vec![
        cell(format!("{sign} {}", row.phase().as_str()), role),
        cell(row.display(), Role::Text),
        cell(row.trouble().map_or("", Trouble::as_str), role),
        cell(ago(model, since), Role::Muted),
        cell(or_dash(row.cluster()), Role::Muted),
        cell(or_dash(row.region()), Role::Muted),
        cell(reason, Role::Muted),
    ]
}

pub(super) fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

/// How long ago it was.
pub(super) fn ago(model: &Model, time: Option<jiff::Timestamp>) -> String {
    time.map_or_else(
        || "-".to_owned(),
        |time| duration::short(model.now.as_second() - time.as_second()),
    )
}

#[cfg(test)]
mod tests;
