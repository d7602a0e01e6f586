//! What lies over the tree: help, the filter's grammar, the palette.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};

use super::pen::Pen;
use crate::model::filter::GRAMMAR_HELP;
use crate::ui::actions::{self, Group, Needs};
use crate::ui::app::palette::Entry;
use crate::ui::app::{Model, Overlay, Palette};
use crate::ui::keymap;
use crate::ui::theme::{Role, Theme};

pub(super) fn draw(
    model: &Model,
    theme: &Theme,
    area: Rect,
    buffer: &mut Buffer,
) -> Option<Position> {
    match &model.overlay {
        Overlay::Help(scroll) => table(theme, area, "Keys", &help(model), *scroll, buffer),
        Overlay::Grammar => {
            let rows: Vec<(String, String)> = GRAMMAR_HELP
                .iter()
                .map(|(form, help)| ((*form).to_owned(), (*help).to_owned()))
                .collect();
            table(theme, area, "The filter", &rows, 0, buffer);
        }
        Overlay::Palette(palette) => {
            return Some(draw_palette(model, theme, palette, area, buffer));
        }
        Overlay::Pick(pick) => return Some(super::picker::draw(pick, theme, area, buffer)),
        Overlay::Results => {
            if let Some(results) = &model.writing.results {
                super::results::draw(results, theme, area, buffer);
            }
        }
        Overlay::Saved(list) => super::saved::draw_list(model, theme, list, area, buffer),
        Overlay::SaveView(dialog) => {
            return Some(super::saved::draw_dialog(model, theme, dialog, area, buffer));
        }
        Overlay::None
        | Overlay::Filter
        | Overlay::Search
        | Overlay::Strip(_)
        | Overlay::Run(_)
        | Overlay::Labels(_)
        | Overlay::Decide(_)
        | Overlay::Copy
        | Overlay::Browse(_) => {}
    }
    None
}

/// How many lines of the help are above the screen when the last one is on it.
pub fn help_end(model: &Model) -> usize {
    let height = model.areas().body.height.saturating_sub(1);
    help(model).len().saturating_sub(usize::from(height))
}

/// The lines of the help: headings have no second column.
fn help(model: &Model) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    for (group, heading) in Group::ALL {
        rows.push((heading.to_owned(), String::new()));
        for (row, keys) in model.settings.keymap.rows().filter(|(row, _)| row.group == group) {
            let keys: Vec<String> = keys.iter().map(|key| keymap::shown(key)).collect();
            let keys = if keys.is_empty() { format!(":{}", row.name) } else { keys.join(" ") };
            let help = match model.lacks(row.needs) {
                Some(missing) => format!("{} (you lack: {missing})", row.help),
                None => row.help.to_owned(),
            };
            rows.push((format!("  {keys}"), help));
        }
    }
    rows.push(("Signs".to_owned(), String::new()));
    rows.push(("  ● ◆ ○".to_owned(), "ok, in maintenance, stopped".to_owned()));
    rows.push(("  ▲ ✖ ?".to_owned(), "look at it, broken, not known".to_owned()));
    rows.push(("  *".to_owned(), "marked".to_owned()));
    rows
}

fn table(
    theme: &Theme,
    area: Rect,
    title: &str,
    rows: &[(String, String)],
    scroll: usize,
    buffer: &mut Buffer,
) {
    clear(theme, area, buffer);
    let widest = rows.iter().map(|(left, _)| left.chars().count()).max().unwrap_or(0);
    let first = widest.min(usize::from(area.width / 2));
    Pen::new(buffer, area, 0)
        .put(" ", theme.style(Role::Text))
        .put(title, theme.style(Role::Title));
    let body = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
    let last = rows.len().saturating_sub(usize::from(body.height));
    for (y, (left, right)) in (0_u16..body.height).zip(rows.iter().skip(scroll.min(last))) {
        let style =
            if right.is_empty() { theme.style(Role::Title) } else { theme.style(Role::Key) };
        let mut pen = Pen::new(buffer, body, y);
        pen.skip(1).cell(left, first, style).skip(2).put(right, theme.style(Role::Text));
    }
}

fn draw_palette(
    model: &Model,
    theme: &Theme,
    palette: &Palette,
    area: Rect,
    buffer: &mut Buffer,
) -> Position {
    let found = palette.found();
    let wanted = u16::try_from(found.len().min(12) + 1).unwrap_or(13);
    let height = wanted.max(2).min(area.height);
    let area = Rect { y: area.bottom().saturating_sub(height), height, ..area };
    clear(theme, area, buffer);
    let list = Rect { height: area.height.saturating_sub(1), ..area };
    let skip = (palette.chosen + 1).saturating_sub(usize::from(list.height));
    for (y, (i, entry)) in (0_u16..list.height).zip(found.iter().enumerate().skip(skip)) {
        let line = Rect { y: list.y + y, height: 1, ..list };
        let mut pen = Pen::new(buffer, line, 0);
        pen.skip(1);
        let start = pen.column();
        let needs = match &entry.entry {
            Entry::Action(action) => actions::find(*action).map_or(Needs::Nothing, |row| row.needs),
            Entry::Theme(_) | Entry::Shape(..) => Needs::Nothing,
        };
        let dim = model.cannot(needs).is_some();
        let name = theme.style(if dim { Role::Muted } else { Role::Key });
        pen.cell(&entry.name, 18, name).skip(2).put(&entry.help, theme.style(Role::Muted));
        if let Entry::Action(action) = &entry.entry
            && let Some(key) = model.settings.keymap.keys(*action).first()
        {
            pen.right(&format!(" {} ", keymap::shown(key)), theme.style(Role::Key));
        }
        if let Some(missing) = model.lacks(needs) {
            pen.put(&format!("  you lack: {missing}"), theme.style(Role::Warning));
        }
        for at in &entry.matched {
            let x = start.saturating_add(u16::try_from(*at).unwrap_or(u16::MAX));
            if x < line.right() {
                buffer.set_style(Rect { x, width: 1, ..line }, theme.style(Role::Match));
            }
        }
        if i == palette.chosen {
            buffer.set_style(line, theme.style(Role::Selected));
        }
    }
    let (before, after) = palette.input.halves();
    let style = theme.style(Role::Input);
    let mut pen =
        Pen::new(buffer, Rect { y: area.bottom().saturating_sub(1), height: 1, ..area }, 0);
    pen.fill(style).put(" : ", theme.style(Role::Key)).put(before, style);
    let cursor = Position { x: pen.column(), y: area.bottom().saturating_sub(1) };
    pen.put(after, style);
    cursor
}

pub(super) fn clear(theme: &Theme, area: Rect, buffer: &mut Buffer) {
    for position in area.positions() {
        if let Some(cell) = buffer.cell_mut(position) {
            cell.reset();
        }
    }
    buffer.set_style(area, theme.style(Role::Text));
}
