//! The choice of columns, or of what the tree is grouped by.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;

use super::overlay::clear;
use super::pen::Pen;
use crate::ui::app::Picker;
use crate::ui::app::picker::What;
use crate::ui::theme::{Role, Theme};

/// Entries that are shown at once, at most.
const SHOWN: usize = 14;

/// Draws it over the end of an area; returns where the text cursor is.
pub(super) fn draw(picker: &Picker, theme: &Theme, area: Rect, buffer: &mut Buffer) -> Position {
    let found = picker.found();
    let wanted = u16::try_from(found.len().clamp(1, SHOWN) + 1).unwrap_or(u16::MAX);
    let height = wanted.min(area.height).max(1);
    let area = Rect { y: area.bottom().saturating_sub(height), height, ..area };
    clear(theme, area, buffer);
    let list = Rect { height: height - 1, ..area };
    let muted = theme.style(Role::Muted);
    if let Some(remark) = picker.remark() {
        Pen::new(buffer, list, 0).skip(3).put(&remark, theme.style(Role::Warning));
    }
    let skip = (picker.chosen + 1).saturating_sub(usize::from(list.height));
    let name = usize::from(area.width * 3 / 5);
    for (y, (at, (_, item, matched))) in
        (0_u16..list.height).zip(found.iter().enumerate().skip(skip))
    {
        let line = Rect { y: list.y + y, height: 1, ..list };
        let mut pen = Pen::new(buffer, line, 0);
        let sign = if item.on { "✓ " } else { "  " };
        pen.skip(1).put(sign, theme.style(Role::Ok));
        let start = pen.column();
        let style = if item.on { Role::Text } else { Role::Muted };
        pen.cell(&item.text, name.min(44), theme.style(style)).skip(1).put(&item.help, muted);
        for at in matched {
            let x = start.saturating_add(u16::try_from(*at).unwrap_or(u16::MAX));
            if x < line.right() {
                buffer.set_style(Rect { x, width: 1, ..line }, theme.style(Role::Match));
            }
        }
        if at == picker.chosen {
            buffer.set_style(line, theme.style(Role::Selected));
        }
    }
    let style = theme.style(Role::Input);
    let line = Rect { y: area.bottom().saturating_sub(1), height: 1, ..area };
    let mut pen = Pen::new(buffer, line, 0);
    let word = match picker.what {
        What::Columns => " columns ",
        What::Levels => " group by ",
    };
    let (before, after) = picker.input.halves();
    pen.fill(style).put(word, theme.style(Role::Key)).put(before, style);
    let cursor = Position { x: pen.column(), y: line.y };
    pen.put(after, style);
    if before.is_empty() && after.is_empty() {
        let hint: Style = style.patch(muted);
        Pen::new(buffer, line, 0)
            .skip(cursor.x.saturating_sub(area.x) + 1)
            .put("type to search", hint);
    }
    cursor
}
