//! Where everything is. The state asks here too, to know how many rows there are.

use ratatui::layout::Rect;

use crate::ui::app::{Model, Overlay, Pane};

/// Columns from which tree and detail stand side by side.
pub const BOTH_FROM: u16 = 100;

/// The same for the table, which needs the columns more than the detail pane does.
pub const BOTH_FROM_IN_TABLE: u16 = 160;
/// Columns from which the facets stand beside both.
pub const THREE_FROM: u16 = 150;
/// Most columns of the facets.
const FACETS: u16 = 44;

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
    /// The facets.
    pub facets: Rect,
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
        Overlay::Labels(dialog) => super::labels::height(dialog),
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
    let notice = take(super::footer::notice_height(model, area.width));
    let filter = filter + take(u16::from(wrong));
    let body = area.height.saturating_sub(header + filter + notice + footer);

    let line = |y: u16, height: u16| Rect { y: area.y + y, height, ..area };
    let body_area = line(header + filter, body);
    let nothing = Rect { width: 0, height: 0, ..body_area };
    let right = |all: Rect, width: u16| {
        let left = Rect { width: all.width - width, ..all };
        (left, Rect { x: all.x + left.width, width, ..all })
    };
    let beside = body_area.width * 2 / 5;
    let in_facets = model.pane == Pane::Facets;
    // Where two panes have room, the facets have the place of the detail until that has the keys.
    let (tree, detail, facets) = if model.detail.over {
        (nothing, body_area, nothing)
    } else if area.width < BOTH_FROM {
        let over = model.facets.open && in_facets;
        if over { (nothing, nothing, body_area) } else { (body_area, nothing, nothing) }
    } else if model.facets.open && area.width >= THREE_FROM {
        let (rest, facets) = right(body_area, FACETS.min(body_area.width / 4));
        let (tree, detail) = right(rest, rest.width * 2 / 5);
        (tree, detail, facets)
    } else if model.facets.open && model.pane != Pane::Detail {
        let (tree, facets) = right(body_area, beside.min(FACETS));
        (tree, nothing, facets)
    } else if model.in_table() && area.width < BOTH_FROM_IN_TABLE {
        (body_area, nothing, nothing)
    } else {
        let (tree, detail) = right(body_area, beside);
        (tree, detail, nothing)
    };
    let titles = u16::from(tree.height >= 4);
    Areas {
        header: line(0, header),
        filter: line(header, filter),
        body: body_area,
        titles: Rect { height: titles, ..tree },
        rows: Rect { y: tree.y + titles, height: tree.height - titles, ..tree },
        detail,
        facets,
        notice: line(header + filter + body, notice),
        footer: line(header + filter + body + notice, footer),
    }
}
