//! Where everything is. The state asks here too, to know how many rows there are.

use ratatui::layout::Rect;

use crate::ui::app::{Model, Overlay};

/// Columns from which tree and detail stand side by side.
pub const BOTH_FROM: u16 = 100;

/// The same for the table, which needs the columns more than the detail pane does.
pub const BOTH_FROM_IN_TABLE: u16 = 160;

/// The regions of the screen. One that does not fit is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Areas {
    /// The line at the top.
    pub header: Rect,
    /// The filter line; empty while there is no filter.
    pub filter: Rect,
    /// Everything between the filter and the notice.
    pub body: Rect,
    /// Titles of the tree's columns.
    pub titles: Rect,
    /// Lines of the tree.
    pub rows: Rect,
    /// The detail pane.
    pub detail: Rect,
    /// The notice line.
    pub notice: Rect,
    /// The hint bar, or the change strip.
    pub footer: Rect,
}

/// Divides the screen. Rows come first: on a small terminal the titles, the notice and the hints
/// give way, so that there is always one row of the tree.
pub fn areas(model: &Model, area: Rect) -> Areas {
    let filtering =
        model.filter.active() || matches!(model.overlay, Overlay::Filter | Overlay::Grammar);
    let wrong = filtering && model.filter.error.is_some();
    let footer = match &model.overlay {
        Overlay::Decide(strip) => super::decide::height(strip),
        Overlay::Strip(strip) => super::strip::height(model, strip, area.width),
        Overlay::Run(dialog) => super::run_dialog::height(dialog),
        Overlay::Copy | Overlay::Browse(_) => 3,
        _ => 1,
    };
    // One row of the tree is kept back; the rest is given away in the order of importance.
    let mut left = area.height.saturating_sub(1);
    let mut take = |wanted: u16| {
        let taken = wanted.min(left);
        left -= taken;
        taken
    };
    let header = take(1);
    let filter = take(u16::from(filtering));
    let footer = take(footer);
    let notice = take(1);
    let filter = filter + take(u16::from(wrong));
    let body = area.height.saturating_sub(header + filter + notice + footer);

    let line = |y: u16, height: u16| Rect { y: area.y + y, height, ..area };
    let body_area = line(header + filter, body);
    let (tree, detail) = if model.detail.over {
        (Rect { width: 0, height: 0, ..body_area }, body_area)
    } else if area.width >= if model.in_table() { BOTH_FROM_IN_TABLE } else { BOTH_FROM } {
        let width = body_area.width * 2 / 5;
        let tree = Rect { width: body_area.width - width, ..body_area };
        (tree, Rect { x: body_area.x + tree.width, width, ..body_area })
    } else {
        (body_area, Rect { width: 0, height: 0, ..body_area })
    };
    let titles = u16::from(tree.height >= 4);
    Areas {
        header: line(0, header),
        filter: line(header, filter),
        body: body_area,
        titles: Rect { height: titles, ..tree },
        rows: Rect { y: tree.y + titles, height: tree.height - titles, ..tree },
        detail,
        notice: line(header + filter + body, notice),
        footer: line(header + filter + body + notice, footer),
    }
}
