//! The table of what came of an order, and the line that tells how far one is.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::pen::{Pen, number};
use crate::ui::app::orders::{Going, Results, State};
use crate::ui::theme::{Role, Theme};

/// The sign and the role of a result.
fn sign(state: State) -> (&'static str, Role) {
    match state {
        State::Done => ("●", Role::Ok),
        State::Denied | State::Conflict => ("▲", Role::Warning),
        State::Failed => ("✖", Role::Bad),
        State::Gone | State::NotTried => ("○", Role::Stopped),
    }
}

/// `37 of 500 done · 2 failed · esc stops`.
pub(super) fn draw_progress(going: &[&Going], theme: &Theme, pen: &mut Pen<'_>) {
    let sum = |count: fn(&Going) -> usize| going.iter().map(|going| count(going)).sum::<usize>();
    let (all, text) = (sum(|going| going.order.changes.len()), theme.style(Role::Text));
    let (tried, failed) = (sum(|going| going.tried), sum(|going| going.failed));
    pen.put(&format!(" {} of {} done", number(tried - failed), number(all)), text);
    if failed > 0 {
        let failed = format!(" · {} failed", number(failed));
        pen.put(&failed, theme.style(Role::Bad));
    }
    if going.iter().all(|going| going.stopping) {
        pen.put(" · stopping", theme.style(Role::Warning));
    } else {
        pen.put(" · ", text).put("esc", theme.style(Role::Key)).put(" stops", text);
    }
}

pub(super) fn draw(results: &Results, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    super::overlay::clear(theme, area, buffer);
    let mut pen = Pen::new(buffer, area, 0);
    pen.put(" ", theme.style(Role::Text)).put(results.verb.as_str(), theme.style(Role::Title));
    for state in State::ALL {
        let count = results.count(state);
        if count > 0 {
            let (sign, role) = sign(state);
            let text = format!("  {sign} {} {}", number(count), state.as_str());
            pen.put(&text, theme.style(role));
        }
    }
    let mut top = 1;
    if let Some(why) = &results.ended {
        Pen::new(buffer, area, 1).put(&format!(" ended early: {why}"), theme.style(Role::Warning));
        top = 2;
    }
    let body =
        Rect { y: area.y + top.min(area.height), height: area.height.saturating_sub(top), ..area };
    let last = results.lines.len().saturating_sub(usize::from(body.height));
    let lines = results.lines.iter().skip(results.scroll.min(last));
    let name = (usize::from(area.width) / 3).clamp(8, 40);
    for (y, line) in (0..body.height).zip(lines) {
        let (sign, role) = sign(line.state);
        let style = theme.style(role);
        let mut pen = Pen::new(buffer, body, y);
        pen.skip(1).put(sign, style).skip(1).cell(line.state.as_str(), 9, style).skip(1);
        pen.cell(&line.display, name, theme.style(Role::Text)).skip(1);
        pen.put(&line.detail, theme.style(Role::Muted));
    }
}
