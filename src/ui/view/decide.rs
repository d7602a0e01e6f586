//! The strip that approves or denies a request for a certificate.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};

use super::pen::{Pen, wrap};
use crate::ui::app::decide::{Decide, DecideField, OfHost};
use crate::ui::theme::{Role, Theme};

/// Lines for what does not fit, at most.
const MISMATCHES: usize = 4;

/// Lines that the strip wants.
pub(super) fn height(strip: &Decide) -> u16 {
    let shown = strip.found.len().min(MISMATCHES);
    5 + u16::try_from(shown).unwrap_or(0)
}

/// Draws it from both ends: where there is little room, what does not fit gives way, and how to
/// confirm stays.
pub(super) fn draw(
    strip: &Decide,
    theme: &Theme,
    area: Rect,
    buffer: &mut Buffer,
) -> Option<Position> {
    let base = theme.style(Role::Strip);
    let muted = base.patch(theme.style(Role::Muted));
    let title = base.patch(theme.style(Role::Title));
    let bad = base.patch(theme.style(Role::Bad));
    buffer.set_style(area, base);
    let verb = if strip.approve { "approve the certificate of" } else { "deny a certificate to" };
    Pen::new(buffer, area, 0)
        .put(" ", base)
        .put(verb, title)
        .put(" ", base)
        .put(strip.name(), base)
        .put("  ", base)
        .put(&strip.about.name, muted);
    let last = area.height.saturating_sub(1);
    keys(strip, theme, area, last, buffer);
    let cursor = fields(strip, theme, area, last.saturating_sub(1), buffer);
    let problem = strip.problem.clone().or_else(|| match &strip.claimed {
        _ if strip.moved => Some("the request has changed since you opened this".to_owned()),
        OfHost::Known => None,
        OfHost::Asked(_) => Some("the host is being read: it tells who takes it over".to_owned()),
        OfHost::Unread(why) => Some(format!("the host cannot be read: {why}")),
    });
    let mut end = last.saturating_sub(1);
    if let Some(problem) = &problem {
        end = end.saturating_sub(1);
        if end > 0 {
            Pen::new(buffer, area, end).put(" ! ", bad).put(problem, bad);
        }
    }
    let warning = if strip.approve {
        "this cannot be undone: whoever has the key is that host until the certificate expires"
    } else {
        "this cannot be undone: the host must ask again with a new request"
    };
    let mut lines = vec![(warning.to_owned(), base)];
    for mismatch in strip.found.iter().take(MISMATCHES) {
        lines.push((format!("✖ {}", mismatch.text()), bad));
    }
    if strip.found.len() > MISMATCHES {
        let more = strip.found.len() - MISMATCHES;
        lines.pop();
        lines.push((format!("✖ and {} more, see the details", more + 1), bad));
    }
    for (line, (text, style)) in (1..end).zip(lines) {
        let width = usize::from(area.width).saturating_sub(2);
        let parts = wrap(&text, width);
        let first = parts.first().map_or("", String::as_str);
        let more = if parts.len() > 1 { "…" } else { "" };
        Pen::new(buffer, area, line).put(" ", style).put(first, style).put(more, style);
    }
    cursor
}

/// The fields to fill in; where the cursor is in them.
fn fields(
    strip: &Decide,
    theme: &Theme,
    area: Rect,
    line: u16,
    buffer: &mut Buffer,
) -> Option<Position> {
    let base = theme.style(Role::Strip);
    let muted = base.patch(theme.style(Role::Muted));
    let wanted = format!(" type {} ", strip.name());
    let mut fields = Vec::new();
    if strip.wants_name() {
        fields.push((DecideField::Name, wanted.as_str(), &strip.typed));
    }
    fields.push((DecideField::Reason, " reason ", &strip.reason));
    let mut cursor = None;
    let mut pen = Pen::new(buffer, area, line);
    for (field, label, input) in fields {
        let active = strip.field == field;
        let style = base.patch(theme.style(if active { Role::Input } else { Role::Strip }));
        let (before, after) = input.halves();
        pen.put(label, muted).put(before, style);
        if active {
            let x = pen.column().min(area.right().saturating_sub(1));
            cursor = Some(Position { x, y: area.y + line });
        }
        pen.put(after, style).put(" ", style).put(" ", base);
    }
    cursor
}

fn keys(strip: &Decide, theme: &Theme, area: Rect, line: u16, buffer: &mut Buffer) {
    let base = theme.style(Role::Strip);
    let muted = base.patch(theme.style(Role::Muted));
    let key = base.patch(theme.style(Role::Key));
    let mut pen = Pen::new(buffer, area, line);
    if strip.field == DecideField::Confirm {
        let word = if strip.approve { " approve  " } else { " deny  " };
        pen.put(" y", key).put(word, base).put("esc", key).put(" cancel  ", base);
        pen.put("tab", key).put(" fields", base);
    } else {
        pen.put(" enter", key).put(" done  ", base).put("tab", key).put(" next field  ", base);
        pen.put("y", muted).put(" confirms after that", muted);
    }
}
