//! The table of all hosts, and the line of a host, which is the same in the tree. The name stands
//! still; the columns behind it move under it where they do not all fit.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use super::layout::Areas;
use super::pen::Pen;
use super::tree::{empty, sign};
use crate::model::column::Column;
use crate::model::row::HostRow;
use crate::ui::app::columns::{DISPLAY, Fit, GAP, host_indent, title};
use crate::ui::app::{Model, Pane};
use crate::ui::theme::{Role, Theme};

pub(super) fn draw(model: &Model, theme: &Theme, areas: &Areas, buffer: &mut Buffer) {
    if areas.rows.is_empty() {
        return;
    }
    let fit = model.columns().fit(areas.rows.width);
    titles(model, theme, &fit, 0, areas.titles, buffer);
    let rows = model.table_rows(usize::from(areas.rows.height));
    if rows.is_empty() {
        return empty(model, theme, areas.rows, buffer);
    }
    let cursor = model.views.table.cursor.as_ref();
    for (y, row) in (0_u16..areas.rows.height).zip(rows) {
        let area = Rect { y: areas.rows.y + y, height: 1, ..areas.rows };
        let base = selection(model, theme, cursor == Some(row.uid()));
        host(model, theme, &fit, area, base, (row, 0), buffer);
    }
}

/// The style of a line with the cursor, and of one without.
pub(super) fn selection(model: &Model, theme: &Theme, selected: bool) -> Option<Style> {
    let style = theme.style(Role::Selected);
    let with_keys = model.pane == Pane::Tree;
    selected.then(|| if with_keys { style } else { style.add_modifier(Modifier::DIM) })
}

/// What stands above the columns: the one that the table is sorted by has an arrow, the chosen one
/// is underlined. `depth` is that of the hosts.
pub(super) fn titles(
    model: &Model,
    theme: &Theme,
    fit: &Fit,
    depth: usize,
    area: Rect,
    buffer: &mut Buffer,
) {
    let muted = theme.style(Role::Muted);
    let sort = model.shape().sort.as_ref().filter(|_| model.in_table());
    let by = |column: Option<&Column>| match (sort, column) {
        (Some(sort), Some(column)) => sort.column == *column,
        (Some(sort), None) => sort.column.to_string() == DISPLAY,
        (None, column) => column.is_none() && model.in_table(),
    };
    let down = sort.is_some_and(|sort| sort.descending);
    let arrow = |column| match (by(column), down) {
        (false, _) => "",
        (true, false) => "↑",
        (true, true) => "↓",
    };
    let style = |number: usize, arrow: &str| {
        let style = if arrow.is_empty() { muted } else { theme.style(Role::Key) };
        if model.columns().chosen() == Some(number) {
            style.add_modifier(Modifier::UNDERLINED)
        } else {
            style
        }
    };
    let indent = host_indent(depth).min(fit.name);
    let mut pen = Pen::new(buffer, area, 0);
    let of_name = arrow(None);
    pen.skip(u16::try_from(indent).unwrap_or(0));
    pen.cell(&format!("NAME{of_name}"), (fit.name - indent).min(5), style(0, of_name));
    pen.skip(u16::try_from((fit.name - indent).saturating_sub(5)).unwrap_or(0));
    for (place, (number, width)) in fit.cells.iter().enumerate() {
        let Some(column) = model.columns().shown().get(*number) else { continue };
        let more = if place == 0 && fit.left { "‹ " } else { "  " };
        pen.put(more, theme.style(Role::Key));
        let arrow = arrow(Some(column));
        let style = style(number + 1, arrow);
        // The arrow stays where the title is cut.
        let room = width.saturating_sub(arrow.width());
        let end = pen.column().saturating_add(u16::try_from(*width).unwrap_or(0));
        let title = super::pen::cut(title(column), room).into_owned();
        pen.put(&title, style).put(arrow, style);
        pen.skip(end.saturating_sub(pen.column()));
    }
    if fit.right {
        let mut pen = Pen::new(buffer, area, 0);
        pen.right("›", theme.style(Role::Key));
    }
}

/// The line of a host in so many groups.
pub(super) fn host(
    model: &Model,
    theme: &Theme,
    fit: &Fit,
    area: Rect,
    selected: Option<Style>,
    (row, depth): (&HostRow, usize),
    buffer: &mut Buffer,
) {
    let (role, sign) = sign(row.health());
    let (health, muted) = (theme.style(role), theme.style(Role::Muted));
    let indent = host_indent(depth);
    let base = selected.unwrap_or_default();
    let mut pen = Pen::new(buffer, area, 0);
    let mark = if model.inventory.is_marked(row.uid()) { "*" } else { " " };
    pen.fill(base)
        .skip(u16::try_from(indent - 3).unwrap_or(0))
        .put(mark, theme.style(Role::Key))
        .put(sign, health)
        .put(" ", base);
    let (start, name) = (pen.column(), fit.name.saturating_sub(indent));
    pen.cell(row.display(), name, theme.style(Role::Text));
    for (number, width) in &fit.cells {
        let Some(column) = model.columns().shown().get(*number) else { continue };
        let style = match column.title() {
            "STATE" | "HEALTH" if column.label_key().is_none() => health,
            _ if is_sorted(model, column) => theme.style(Role::Text),
            _ => muted,
        };
        pen.skip(u16::try_from(GAP).unwrap_or(0)).cell(&model.cell(column, row), *width, style);
    }
    highlight(
        model,
        theme,
        Rect { x: start, width: u16::try_from(name).unwrap_or(0), ..area },
        row,
        buffer,
    );
    let server = row.uid().server();
    if model.servers.several()
        && (model.servers.get(server).is_lost() || model.servers.is_last(server))
    {
        // What is shown of it is old, which the header says too.
        buffer.set_style(area, Style::default().add_modifier(Modifier::DIM));
    }
    if selected.is_some() {
        buffer.set_style(area, base);
    }
}

fn is_sorted(model: &Model, column: &Column) -> bool {
    model.in_table() && model.shape().sort.as_ref().is_some_and(|sort| sort.column == *column)
}

/// Marks the letters that the filter matched in the name, as far as it is shown.
fn highlight(model: &Model, theme: &Theme, area: Rect, row: &HostRow, buffer: &mut Buffer) {
    let Some(filter) = &model.filter.filter else { return };
    let marked = filter.highlights(row.display());
    if marked.is_empty() {
        return;
    }
    let style = theme.style(Role::Match);
    let end = area.right().min(buffer.area.right());
    let (mut x, mut at) = (area.x, 0);
    for part in row.display().graphemes(true) {
        let width = u16::try_from(part.width()).unwrap_or(0);
        if x.saturating_add(width) > end {
            break;
        }
        let letters = at..at + part.chars().count();
        if letters.clone().any(|letter| marked.contains(&letter)) {
            buffer.set_style(Rect { x, width, height: 1, ..area }, style);
        }
        (x, at) = (x + width, letters.end);
    }
}

#[cfg(test)]
mod tests;
