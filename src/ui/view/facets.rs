//! The facets: names of labels, and under each its most frequent values with their numbers.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::pen::{Pen, cut, number};
use crate::model::filter::Facet;
use crate::model::inventory::FacetCounts;
use crate::ui::app::facets::FacetLine;
use crate::ui::app::{Model, Pane};
use crate::ui::theme::{Role, Theme};

fn name(counts: &FacetCounts) -> &str {
    if counts.facet == Facet::State { "state" } else { &counts.written }
}

pub(super) fn draw(model: &Model, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    if area.width < 8 || area.is_empty() {
        return;
    }
    let has_keys = model.pane == Pane::Facets;
    let border = theme.style(if has_keys { Role::Key } else { Role::Border });
    for y in 0..area.height {
        Pen::new(buffer, area, y).put("│", border);
    }
    let inner = Rect { x: area.x + 2, width: area.width - 2, ..area };
    let mut pen = Pen::new(buffer, inner, 0);
    pen.put("Facets", theme.style(Role::Title));
    pen.right(" space toggles ", theme.style(Role::Muted));
    let body = Rect { y: inner.y + 1, height: inner.height - 1, ..inner };
    let lines = model.facet_lines();
    if lines.is_empty() {
        Pen::new(buffer, body, 0).put("counting…", theme.style(Role::Muted));
    }
    let at = model.facet_place(&lines);
    let shown = lines.iter().enumerate().skip(model.facets.top);
    for (y, (place, line)) in (0..body.height).zip(shown) {
        let mut pen = Pen::new(buffer, body, y);
        match line {
            FacetLine::Title(counts, whole) => {
                let more = counts.distinct.saturating_sub(counts.values.len());
                let values = match counts.distinct {
                    1 => "1 value ".to_owned(),
                    _ if *whole && more > 0 => format!("{} more ", number(more)),
                    n => format!("{} values ", number(n)),
                };
                pen.right(&values, theme.style(Role::Muted));
                let room = pen.left().saturating_sub(1);
                pen.put(&cut(name(counts), room), theme.style(Role::Title));
            }
            FacetLine::Value(_, value, count, chosen) => {
                let style = theme.style(if *chosen { Role::Key } else { Role::Text });
                pen.right(&format!(" {} ", number(*count)), theme.style(Role::Muted));
                let value = if value.is_empty() { "\"\"" } else { value };
                let room = pen.left().saturating_sub(2);
                pen.put(if *chosen { "✓ " } else { "  " }, style).put(&cut(value, room), style);
            }
        }
        if has_keys && place == at {
            let line = Rect { y: body.y + y, height: 1, ..body };
            buffer.set_style(line, theme.style(Role::Selected));
        }
    }
}
