//! The list of saved views, and the dialog that saves one.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};

use super::pen::Pen;
use crate::model::shape::{Form, Level};
use crate::ui::app::Model;
use crate::ui::app::saved::{SaveDialog, SavedList};
use crate::ui::theme::{Role, Theme};

/// Most lines of the list.
const LINES: usize = 12;

pub(super) fn draw_list(
    model: &Model,
    theme: &Theme,
    list: &SavedList,
    body: Rect,
    buffer: &mut Buffer,
) {
    let known = &model.saved.known;
    let lines = known.len().clamp(1, LINES) + 1;
    let height = u16::try_from(lines).unwrap_or(u16::MAX).min(body.height);
    let area = Rect { y: body.bottom().saturating_sub(height), height, ..body };
    super::overlay::clear(theme, area, buffer);
    let base = theme.style(Role::Strip);
    buffer.set_style(area, base);
    let muted = base.patch(theme.style(Role::Muted));
    let mut pen = Pen::new(buffer, area, 0);
    pen.put(" saved views ", base.patch(theme.style(Role::Title)));
    if list.removing {
        let name = list.at.as_deref().unwrap_or_default();
        pen.put(
            &format!("remove \"{name}\"? y removes it"),
            base.patch(theme.style(Role::Warning)),
        );
    } else if known.is_empty() {
        Pen::new(buffer, area, 1).put(" none yet: s saves what is shown now", muted);
    }
    let at = known.iter().position(|one| Some(&one.view.name) == list.at.as_ref()).unwrap_or(0);
    let room = usize::from(height.saturating_sub(1));
    let skip = (at + 1).saturating_sub(room.max(1));
    for (y, (number, one)) in (1..height).zip(known.iter().enumerate().skip(skip)) {
        let view = &one.view;
        let mut pen = Pen::new(buffer, area, y);
        let key = view.key.map_or_else(|| " ".to_owned(), |key| key.to_string());
        let filter = if view.filter.is_empty() { "everything" } else { &view.filter };
        let mut shape = match &view.group {
            Some(levels) if view.form == Form::Tree => Level::write(levels),
            _ if view.form == Form::Table => "table".to_owned(),
            _ => String::new(),
        };
        if let Some(sort) = &view.sort {
            shape = format!("{shape} by {sort}");
        }
        let from = one.shared.as_deref().and_then(|file| file.file_name());
        let from = from.map(|name| format!("shared: {}", name.display())).unwrap_or_default();
        pen.put(" ", base).cell(&key, 2, base.patch(theme.style(Role::Key)));
        pen.cell(&view.name, 20, base.patch(theme.style(Role::Text))).skip(1);
        let room = pen.left().saturating_sub(2);
        pen.cell(filter, room.min(36), muted).skip(1).cell(&shape, 24, muted).skip(1);
        pen.put(&from, muted);
        if number == at {
            buffer
                .set_style(Rect { y: area.y + y, height: 1, ..area }, theme.style(Role::Selected));
        }
    }
}

pub(super) fn draw_dialog(
    model: &Model,
    theme: &Theme,
    dialog: &SaveDialog,
    body: Rect,
    buffer: &mut Buffer,
) -> Position {
    let height = 3.min(body.height);
    let area = Rect { y: body.bottom().saturating_sub(height), height, ..body };
    super::overlay::clear(theme, area, buffer);
    let base = theme.style(Role::Strip);
    buffer.set_style(area, base);
    let muted = base.patch(theme.style(Role::Muted));
    let filter = model.filter.input.text().trim();
    let filter = if filter.is_empty() { "everything" } else { filter };
    let mut pen = Pen::new(buffer, area, 0);
    pen.put(" save this view: ", base.patch(theme.style(Role::Title))).put(filter, muted);
    let mut pen = Pen::new(buffer, area, 1);
    let input = theme.style(Role::Input);
    let (before, after) = dialog.name.halves();
    pen.put(" name ", muted).put(before, input);
    let cursor = Position { x: pen.column(), y: area.y + 1.min(height.saturating_sub(1)) };
    pen.put(after, input).put(" ", input);
    let key = dialog.key.map_or_else(|| "none".to_owned(), |key| key.to_string());
    pen.put("  key ", muted).put(&key, base.patch(theme.style(Role::Key)));
    let mut pen = Pen::new(buffer, area, 2);
    if let Some(problem) = &dialog.problem {
        pen.put(&format!(" ! {problem}"), base.patch(theme.style(Role::Bad)));
    } else if !model.filter.pinned.is_empty() {
        pen.put(" what is pinned is not part of it", muted);
    }
    cursor
}
