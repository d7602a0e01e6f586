//! The tree: region → cluster → host. Only the lines on the screen are built.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use super::layout::Areas;
use super::pen::{Pen, number};
use crate::model::duration;
use crate::model::inventory::{Counts, Line};
use crate::model::row::{Health, HostRow};
use crate::ui::app::{Link, Model, Pane};
use crate::ui::theme::{Role, Theme};

/// The role and the sign of a health.
pub(super) fn sign(health: Health) -> (Role, &'static str) {
    match health {
        Health::Ok => (Role::Ok, "●"),
        Health::Maintenance => (Role::Maintenance, "◆"),
        Health::Stopped => (Role::Stopped, "○"),
        Health::Warning => (Role::Warning, "▲"),
        Health::Bad => (Role::Bad, "✖"),
        Health::Unknown => (Role::Unknown, "?"),
    }
}

/// Widths of the columns of a host line; zero: not shown.
#[derive(Clone, Copy)]
struct Columns {
    name: usize,
    state: usize,
    address: usize,
    role: usize,
    age: usize,
}

/// Columns before a host's name: indent, sign, space.
const INDENT: usize = 6;

fn columns(width: u16) -> Columns {
    let width = usize::from(width).saturating_sub(INDENT);
    let mut left = width;
    let mut take = |wanted: usize, from: usize| {
        if width >= from {
            left = left.saturating_sub(wanted);
            wanted
        } else {
            0
        }
    };
    let state = take(13, 26);
    let address = take(17, 48);
    let age = take(7, 58);
    let role = take(10, 72);
    Columns { name: left, state, address, role, age }
}

pub(super) fn draw(model: &Model, theme: &Theme, areas: &Areas, buffer: &mut Buffer) {
    if areas.rows.is_empty() {
        return;
    }
    let columns = columns(areas.rows.width);
    titles(theme, areas.titles, columns, buffer);
    let Some(top) = &model.top else {
        empty(model, theme, areas.rows, buffer);
        return;
    };
    let lines = model.inventory.window(&model.folds, top, usize::from(areas.rows.height));
    for (y, line) in (0_u16..).zip(&lines) {
        let area = Rect { y: areas.rows.y + y, height: 1, ..areas.rows };
        let selected = model.cursor.as_ref() == Some(&line.key());
        let base = if selected {
            let style = theme.style(Role::Selected);
            if model.pane == Pane::Tree {
                style
            } else {
                style.add_modifier(ratatui::style::Modifier::DIM)
            }
        } else {
            Style::default()
        };
        match line {
            Line::Region { name, counts, open, .. } => {
                group(model, theme, area, base, 0, name, counts, *open, buffer);
            }
            Line::Cluster { name, counts, open, .. } => {
                group(model, theme, area, base, 1, name, counts, *open, buffer);
            }
            Line::Host { row } => host(model, theme, area, base, row, columns, buffer),
        }
        if selected {
            buffer.set_style(area, base);
        }
    }
}

fn titles(theme: &Theme, area: Rect, columns: Columns, buffer: &mut Buffer) {
    let style = theme.style(Role::Muted);
    let mut pen = Pen::new(buffer, area, 0);
    pen.skip(u16::try_from(INDENT).unwrap_or(0)).cell("NAME", columns.name, style);
    for (title, width) in [
        ("STATE", columns.state),
        ("ADDRESS", columns.address),
        ("ROLE", columns.role),
        ("AGE", columns.age),
    ] {
        if width > 0 {
            pen.cell(title, width, style);
        }
    }
}

/// What is said when there is nothing to show.
fn empty(model: &Model, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let lines: &[&str] = match (model.servers.link(), model.inventory.is_empty()) {
        (Link::Connecting, _) => &["connecting…"],
        (Link::Listing, true) => &["loading…"],
        (Link::Lost { .. } | Link::Same(_), true) if model.servers.several() => {
            &["no server is in reach; trying again", "v S shows what is in the way"]
        }
        (Link::Lost { .. } | Link::Same(_), true) => &["the server is out of reach; trying again"],
        (Link::Live, true) => &[
            "no hosts yet",
            "inv-tui --headless fetch   brings them from a provider",
            "inv-tui --demo             shows a made-up fleet",
        ],
        (_, false) => &["nothing matches the filter", "esc clears it, 0 shows everything"],
    };
    for (i, line) in (0_u16..).zip(lines) {
        Pen::new(buffer, area, 1 + i)
            .skip(2)
            .put(line, theme.style(if i == 0 { Role::Text } else { Role::Muted }));
    }
}

#[expect(
    clippy::too_many_arguments,
    reason = "one line of the screen with everything that is on it"
)]
fn group(
    model: &Model,
    theme: &Theme,
    area: Rect,
    base: Style,
    depth: u16,
    name: &str,
    counts: &Counts,
    open: bool,
    buffer: &mut Buffer,
) {
    let arrow = if open { "▾" } else { "▸" };
    let filtered = model.filter.filter.is_some();
    let muted = theme.style(Role::Muted);
    let mut pen = Pen::new(buffer, area, 0);
    pen.fill(base).skip(depth * 2).put(" ", base).put(arrow, muted).put(" ", base);
    let name_style = if depth == 0 { theme.style(Role::Title) } else { theme.style(Role::Text) };
    let n = |count: u32| number(count as usize);
    let text = if filtered {
        format!("{} of {}", n(counts.matched), n(counts.total))
    } else {
        n(counts.total)
    };
    let width = usize::from(area.width * 2 / 5).saturating_sub(usize::from(depth * 2) + 3).max(12);
    pen.cell(name, width, name_style).put(" ", base);
    if pen.left() >= text.chars().count() {
        pen.put(&text, theme.style(Role::Text));
    }
    pen.put(if counts.total == 1 { " host " } else { " hosts" }, muted);
    let parts: Vec<(Style, String, &str)> = Health::ALL
        .into_iter()
        .filter_map(|health| {
            let n = if filtered { counts.matched_with(health) } else { counts.with(health) };
            let (role, sign) = sign(health);
            let short = format!("  {sign} {}", number(n as usize));
            (n > 0).then(|| (theme.style(role), short, health.as_str()))
        })
        .collect();
    let long =
        parts.iter().map(|(_, short, word)| short.chars().count() + 1 + word.len()).sum::<usize>();
    let words = long <= pen.left();
    for (style, short, word) in &parts {
        // A number that is cut is a wrong number: what does not fit is left out.
        if pen.left() < short.chars().count() {
            break;
        }
        pen.put(short, *style);
        if words {
            pen.put(" ", *style).put(word, *style);
        }
    }
}

fn host(
    model: &Model,
    theme: &Theme,
    area: Rect,
    base: Style,
    row: &HostRow,
    columns: Columns,
    buffer: &mut Buffer,
) {
    let (role, sign) = sign(row.health());
    let health = theme.style(role);
    let muted = theme.style(Role::Muted);
    let mut pen = Pen::new(buffer, area, 0);
    let mark = if model.inventory.is_marked(row.uid()) { "*" } else { " " };
    pen.fill(base).skip(3).put(mark, theme.style(Role::Key)).put(sign, health).put(" ", base);
    let start = pen.column();
    pen.cell(row.display(), columns.name.saturating_sub(1), theme.style(Role::Text)).skip(1);
    if columns.state > 0 {
        pen.cell(row.phase().as_str(), columns.state - 1, health).skip(1);
    }
    if columns.address > 0 {
        pen.cell(row.address().unwrap_or("-"), columns.address - 1, muted).skip(1);
    }
    if columns.role > 0 {
        pen.cell(or_dash(row.role()), columns.role - 1, muted).skip(1);
    }
    if columns.age > 0 {
        pen.cell(&age(model, row.created()), columns.age, muted);
    }
    highlight(model, theme, area, start, columns.name, row, buffer);
    if model.servers.several() && model.servers.of(row.uid()).is_lost() {
        // What is shown of it is old, which the header says too.
        buffer.set_style(area, Style::default().add_modifier(Modifier::DIM));
    }
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

fn age(model: &Model, since: Option<jiff::Timestamp>) -> String {
    since.map_or_else(
        || "-".to_owned(),
        |since| duration::short(model.now.as_second() - since.as_second()),
    )
}

/// Marks the letters that the filter matched in the name.
fn highlight(
    model: &Model,
    theme: &Theme,
    area: Rect,
    start: u16,
    width: usize,
    row: &HostRow,
    buffer: &mut Buffer,
) {
    let Some(filter) = &model.filter.filter else { return };
    let style = theme.style(Role::Match);
    let mut x = start;
    let end = start.saturating_add(u16::try_from(width).unwrap_or(0)).min(area.right());
    let marked = filter.highlights(row.display());
    if marked.is_empty() {
        return;
    }
    for (i, c) in row.display().chars().enumerate() {
        let wide =
            u16::try_from(unicode_width::UnicodeWidthChar::width(c).unwrap_or(0)).unwrap_or(0);
        if x + wide >= end {
            break;
        }
        if marked.contains(&i) {
            buffer.set_style(Rect { x, y: area.y, width: wide, height: 1 }, style);
        }
        x += wide;
    }
}
