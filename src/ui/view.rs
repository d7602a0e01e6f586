//! Views: pure functions of the state to a frame. Each file draws one region of the screen.
//!
//! ```text
//! header      inv-tui · context · server                5,000 hosts   live
//! filter      / env=prod web                            42 of 5,000
//! titles      NAME          STATE      ADDRESS  │ web-eu-001
//! rows        ▾ eu-west-1   1,667 hosts         │ state    Running
//!               ▸ prod-web  200 hosts           │ address  10.0.0.1
//! notice      web-eu-001 is in maintenance until Sat 14:00 · u takes it back
//! footer      m maintenance  / filter  ? help           (or the change strip)
//! ```

pub mod layout;
pub mod page;

mod certificates;
mod changes;
mod decide;
pub mod detail;
mod facets;
mod footer;
mod header;
mod journal;
mod labels;
mod list;
mod overlay;
mod pen;
mod picker;
mod results;
mod run_dialog;
mod saved;
mod servers;
mod sources;
mod strip;
mod table;
mod tree;

pub use footer::hint_at;
pub use overlay::help_end;

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::Modifier;

use crate::model::inventory::List;
use crate::model::key::ServerId;
use crate::ui::app::{Model, Overlay, View};
use crate::ui::theme::{Role, Theme};

/// Draws the whole screen; returns where the text cursor is, if there is one.
pub fn draw(model: &Model, theme: &Theme, area: Rect, buffer: &mut Buffer) -> Option<Position> {
    buffer.set_style(area, theme.style(Role::Text));
    let areas = layout::areas(model, area);
    header::draw(model, theme, areas.header, buffer);
    let in_filter = header::draw_filter(model, theme, areas.filter, buffer);
    let in_page = if let Some(page) = &model.page {
        page::draw(model, page, theme, areas.body, buffer)
    } else {
        match model.views.now {
            View::Fleet if model.in_table() => table::draw(model, theme, &areas, buffer),
            View::Fleet => tree::draw(model, theme, &areas, buffer),
            View::Maintenance => list::draw(model, List::Held, theme, &areas, buffer),
            View::Runs => list::draw(model, List::Runs, theme, &areas, buffer),
            View::Problems => list::draw(model, List::Problems, theme, &areas, buffer),
            View::Certificates => certificates::draw(model, theme, &areas, buffer),
            View::Sources => sources::draw(model, theme, &areas, buffer),
            View::Servers => servers::draw(model, theme, &areas, buffer),
            View::Journal => journal::draw(model, theme, &areas, buffer),
            View::Changes => changes::draw(model, theme, &areas, buffer),
        }
        // Of several servers each line shows it by itself.
        if !model.servers.several() && model.servers.is_last(ServerId::FIRST) {
            buffer.set_style(areas.rows, Modifier::DIM);
        }
        detail::draw(model, theme, areas.detail, buffer);
        facets::draw(model, theme, areas.facets, buffer);
        None
    };
    footer::draw_notice(model, theme, areas.notice, buffer);
    let in_footer = footer::draw(model, theme, areas.footer, buffer);
    let in_overlay = overlay::draw(model, theme, areas.body, buffer);
    if model.overlay == Overlay::Filter {
        header::draw_candidates(model, theme, areas.filter, areas.body, buffer);
    }
    if model.settings.ascii {
        to_ascii(buffer);
    }
    in_overlay.or(in_footer).or(in_page).or(in_filter)
}

/// Replaces what an ASCII terminal cannot show: our signs by letters, anything else by `?`.
fn to_ascii(buffer: &mut Buffer) {
    const SIGNS: [(&str, &str); 19] = [
        ("●", "o"),
        ("◆", "m"),
        ("○", "."),
        ("▲", "^"),
        ("✖", "X"),
        ("✓", "+"),
        ("▾", "-"),
        ("▸", "+"),
        ("│", "|"),
        ("…", "~"),
        ("·", "-"),
        ("→", ">"),
        ("↑", "^"),
        ("↓", "v"),
        ("‹", "<"),
        ("›", ">"),
        ("━", "="),
        ("×", "x"),
        ("–", "-"),
    ];
    for cell in &mut buffer.content {
        if !cell.symbol().is_ascii() {
            let plain =
                SIGNS.iter().find(|(sign, _)| *sign == cell.symbol()).map_or("?", |(_, p)| p);
            cell.set_symbol(plain);
        }
    }
}

#[cfg(test)]
mod tests;
