//! Where everything is. The state asks here too, to know how many rows there are.

use ratatui::layout::Rect;

use crate::ui::app::{Model, Overlay};

/// Columns from which tree and detail stand side by side.
pub const BOTH_FROM: u16 = 100;

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
    let mut left = area;
    let mut top = |height: u16| {
        let taken = height.min(left.height);
        let part = Rect { height: taken, ..left };
        left.y += taken;
        left.height -= taken;
        part
    };
    let wanted_footer = match &model.overlay {
        Overlay::Strip(_) => 6,
        Overlay::Copy => 3,
        _ => 1,
    };
    let filtering = model.filter.active() || matches!(model.overlay, Overlay::Filter | Overlay::Grammar);
    let header = top(1);
    let filter = top(u16::from(filtering));
    let errors = u16::from(filtering && model.filter.error.is_some());
    let filter = if errors > 0 && area.height > 6 { Rect { height: filter.height + top(1).height, ..filter } } else { filter };
    let footer_height = if area.height >= 5 { wanted_footer.min(left.height.saturating_sub(1)) } else { 0 };
    let notice_height = u16::from(left.height > footer_height + 2 || (model.notice.is_some() && left.height > footer_height + 1));
    let body = top(left_height(area, &[header, filter], footer_height + notice_height));
    let notice = top(notice_height);
    let footer = top(footer_height);
    let (tree, detail) = if model.detail.over {
        (Rect { width: 0, ..body }, body)
    } else if area.width >= BOTH_FROM {
        let width = body.width * 2 / 5;
        let tree = Rect { width: body.width - width, ..body };
        (tree, Rect { x: body.x + tree.width, width, ..body })
    } else {
        (body, Rect { width: 0, height: 0, ..body })
    };
    let titles_height = u16::from(tree.height >= 4);
    let titles = Rect { height: titles_height, ..tree };
    let rows = Rect { y: tree.y + titles_height, height: tree.height - titles_height, ..tree };
    Areas { header, filter, body, titles, rows, detail, notice, footer }
}

fn left_height(area: Rect, taken: &[Rect], below: u16) -> u16 {
    let above: u16 = taken.iter().map(|r| r.height).sum();
    area.height.saturating_sub(above).saturating_sub(below)
}
