//! A page over the list: its lines, broken to the width, and where what is looked for is in them.
//!
//! ```text
//!  YAML  web-eu-001                                   12–34 of 120   live
//!  apiVersion: inventory.inv-tui.dev/v1alpha1
//!  …
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use super::detail::{self, Line, Rows};
use super::overlay::clear;
use super::pen::{Pen, number};
use crate::model::{text, yaml};
use crate::ui::app::page::{Kind, Page};
use crate::ui::app::{Model, Overlay};
use crate::ui::theme::{Role, Theme};

mod describe;
mod told;

/// Where the lines of a page are.
pub fn body(area: Rect) -> Rect {
    let title = u16::from(area.height > 1);
    Rect {
        x: area.x + 1,
        y: area.y + title,
        width: area.width.saturating_sub(2),
        height: area.height - title,
    }
}

/// The lines of a page, broken to this many columns.
pub fn lines(model: &Model, page: &Page, width: usize) -> Vec<Line> {
    match page.kind {
        Kind::Yaml => match &page.object {
            Some(object) => {
                let lines = yaml::lines(object, !page.managed);
                lines.into_iter().flat_map(|line| broken(coloured(line), width)).collect()
            }
            None => missing(page),
        },
        Kind::Describe => rows(page, width, |rows| describe::describe(model, page, rows)),
        Kind::Events => told::events(model, page, width),
        Kind::History => told::history(model, page, width),
        Kind::Explain => told::explained(model, page, width),
        Kind::Messages => told::messages(model, width),
    }
}

/// The whole page as text: of YAML what the server has, of another what a wide screen shows.
pub fn text(model: &Model, page: &Page) -> String {
    const WIDE: usize = 160;
    if let (Kind::Yaml, Some(object)) = (page.kind, &page.object) {
        return yaml::text(&yaml::lines(object, !page.managed));
    }
    let mut out = String::new();
    for line in lines(model, page, WIDE) {
        for (piece, _) in line {
            out.push_str(&text::clean(&piece));
        }
        while out.ends_with(' ') {
            out.pop();
        }
        out.push('\n');
    }
    out
}

/// What is said while there is no object to show.
fn missing(page: &Page) -> Vec<Line> {
    match &page.problem {
        Some(problem) => vec![vec![(problem.clone(), Role::Warning)]],
        None if page.gone => vec![vec![("it is gone".to_owned(), Role::Warning)]],
        None => vec![vec![("loading…".to_owned(), Role::Muted)]],
    }
}

fn rows(page: &Page, width: usize, fill: impl FnOnce(&mut Rows)) -> Vec<Line> {
    if page.object.is_none() {
        return missing(page).into_iter().flat_map(|line| broken(line, width)).collect();
    }
    let mut rows = Rows::default();
    fill(&mut rows);
    rows.lines(width)
}

fn coloured(line: yaml::Line) -> Line {
    let role = |kind| match kind {
        yaml::Kind::Key => Role::Key,
        yaml::Kind::Text => Role::Text,
        yaml::Kind::Literal => Role::Ok,
        yaml::Kind::Mark | yaml::Kind::Remark => Role::Muted,
    };
    line.into_iter().map(|(text, kind)| (text, role(kind))).collect()
}

/// A line broken where the width ends; what goes on begins below the first letter of the line.
fn broken(line: Line, width: usize) -> Vec<Line> {
    let width = width.max(8);
    let total: usize = line.iter().map(|(text, _)| text::clean(text).width()).sum();
    if total <= width {
        return vec![line];
    }
    let first = line.first().filter(|(text, _)| text.chars().all(|c| c == ' '));
    let indent = first.map_or(0, |(text, _)| text.len()).min(width / 2) + 2;
    let mut out = Vec::new();
    let (mut now, mut used): (Line, usize) = (Vec::new(), 0);
    for (piece, role) in line {
        let mut part = String::new();
        for grapheme in text::clean(&piece).graphemes(true) {
            if used + grapheme.width() > width {
                now.push((std::mem::take(&mut part), role));
                out.push(std::mem::replace(&mut now, vec![(" ".repeat(indent), Role::Muted)]));
                used = indent;
            }
            used += grapheme.width();
            part.push_str(grapheme);
        }
        now.push((part, role));
    }
    out.push(now);
    out
}

/// Where a line has what is looked for, whatever its case: columns and widths.
pub fn matches(line: &Line, wanted: &str) -> Vec<(usize, usize)> {
    let lower = |text: &str| -> Vec<char> {
        text.chars().map(|c| c.to_lowercase().next().unwrap_or(c)).collect()
    };
    let text: String = line.iter().map(|(text, _)| text::clean(text).into_owned()).collect();
    let (all, wanted) = (lower(&text), lower(wanted));
    if wanted.is_empty() {
        return Vec::new();
    }
    let widths: Vec<usize> = text.chars().map(|c| c.to_string().width()).collect();
    let width = |from: usize, to: usize| -> usize { widths.iter().take(to).skip(from).sum() };
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(window) = all.get(at..at + wanted.len()) {
        if window == wanted {
            found.push((width(0, at), width(at, at + wanted.len())));
            at += wanted.len();
        } else {
            at += 1;
        }
    }
    found
}

pub(super) fn draw(
    model: &Model,
    page: &Page,
    theme: &Theme,
    area: Rect,
    buffer: &mut Buffer,
) -> Option<Position> {
    clear(theme, area, buffer);
    if area.is_empty() {
        return None;
    }
    let inner = body(area);
    let lines = lines(model, page, usize::from(inner.width));
    let height = usize::from(inner.height);
    let first = page.scroll.min(lines.len().saturating_sub(height));
    let cursor = if inner.y > area.y {
        title(model, page, theme, area, (first, lines.len(), height), buffer)
    } else {
        None
    };
    for (y, (at, line)) in (0_u16..inner.height).zip(lines.iter().enumerate().skip(first)) {
        let row = Rect { y: inner.y + y, height: 1, ..inner };
        let mut pen = Pen::new(buffer, row, 0);
        for (text, role) in line {
            pen.put(text, theme.style(*role));
        }
        for (from, width) in matches(line, page.search.text()) {
            let (Ok(from), Ok(width)) = (u16::try_from(from), u16::try_from(width)) else {
                continue;
            };
            let x = row.x.saturating_add(from);
            let width = width.min(row.right().saturating_sub(x));
            if x < row.right() {
                let role = if page.found == Some(at) { Role::Selected } else { Role::Match };
                buffer.set_style(Rect { x, width, ..row }, theme.style(role));
            }
        }
    }
    cursor
}

/// What the page is, of what, how far down, and whether it is live; while something is looked for,
/// that.
fn title(
    model: &Model,
    page: &Page,
    theme: &Theme,
    area: Rect,
    (first, all, height): (usize, usize, usize),
    buffer: &mut Buffer,
) -> Option<Position> {
    let line = Rect { height: 1, ..area };
    let muted = theme.style(Role::Muted);
    let mut pen = Pen::new(buffer, line, 0);
    let server = page.place.as_ref().map(|place| place.server);
    let lost = server.is_some_and(|server| model.servers.get(server).is_lost());
    let (role, word) = if page.gone {
        (Role::Warning, "gone")
    } else if lost {
        (Role::Warning, "not live")
    } else if page.problem.is_some() && page.object.is_some() {
        (Role::Warning, "not read")
    } else {
        (Role::Muted, "")
    };
    let name = server.map(|server| model.with_server(server, &page.title)).unwrap_or_default();
    let place = if all > height {
        format!(" {}–{} of {} ", number(first + 1), number((first + height).min(all)), number(all))
    } else {
        String::new()
    };
    if area.width >= 40 {
        pen.right(&place, muted);
    }
    if !word.is_empty() {
        pen.right(&format!(" {word} "), theme.style(role));
    }
    pen.put(" ", muted).put(page.kind.title(), theme.style(Role::Title));
    pen.put("  ", muted).put(&name, theme.style(Role::Text));
    let typing = model.overlay == Overlay::Search;
    if !typing && page.search.text().is_empty() {
        return None;
    }
    let (before, after) = page.search.halves();
    let style = if typing { theme.style(Role::Input) } else { theme.style(Role::Match) };
    pen.put("  /", theme.style(Role::Key)).put(before, style);
    let cursor = Position { x: pen.column().min(area.right().saturating_sub(1)), y: line.y };
    pen.put(after, style);
    typing.then_some(cursor)
}

/// Adds what the detail pane says of a host.
fn host(model: &Model, page: &Page, out: &mut Rows) -> bool {
    let Some(row) = page.uid.as_ref().and_then(|uid| model.inventory.get(uid)) else {
        return false;
    };
    detail::host(model, row, page.host.as_deref(), out);
    true
}

#[cfg(test)]
mod tests;
