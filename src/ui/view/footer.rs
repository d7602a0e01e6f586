//! The bottom of the screen: the notice, and the hint bar or the change strip.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;

use super::pen::{Pen, wrap};
use crate::model::duration;
use crate::model::host::Hold;
use crate::ui::actions::{ACTIONS, Needs};
use crate::ui::app::strip::{Field, Kind, Strip};
use crate::ui::app::{Link, Model, Overlay, View};
use crate::ui::theme::{Role, Theme};

pub(super) fn draw_notice(model: &Model, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let mut pen = Pen::new(buffer, area, 0);
    match (&model.notice, &model.link) {
        (Some(notice), _) => {
            let style = if notice.error { theme.style(Role::Bad) } else { theme.style(Role::Text) };
            if notice.error {
                pen.right(" esc ", theme.style(Role::Muted));
            }
            let times =
                if notice.times > 1 { format!(" ({} times)", notice.times) } else { String::new() };
            pen.put(if notice.error { " ! " } else { " " }, style)
                .put(&notice.text, style)
                .put(&times, style);
        }
        (None, Link::Lost { reason, attempts, .. }) => {
            let style = theme.style(Role::Warning);
            pen.put(" ! ", style).put(&format!("attempt {attempts}: {reason}"), style);
        }
        (None, _) => {
            let problems = model.inventory.problems();
            if problems.count > 0 {
                let style = theme.style(Role::Warning);
                let names: Vec<&str> =
                    problems.first.iter().map(|(name, _)| name.as_str()).collect();
                let names = names.join(", ");
                pen.put(&format!(" ! {} objects cannot be read: {names}", problems.count), style);
            }
        }
    }
}

pub(super) fn draw(
    model: &Model,
    theme: &Theme,
    area: Rect,
    buffer: &mut Buffer,
) -> Option<Position> {
    match &model.overlay {
        Overlay::Strip(strip) => return draw_strip(model, strip, theme, area, buffer),
        Overlay::Decide(strip) => return super::decide::draw(strip, theme, area, buffer),
        Overlay::Copy => draw_copy(model, theme, area, buffer),
        Overlay::Filter => keys(
            theme,
            area,
            buffer,
            &[("enter", "keep"), ("esc", "undo"), ("?", "grammar"), ("↑↓", "move")],
        ),
        Overlay::Palette(_) => {
            keys(theme, area, buffer, &[("enter", "run"), ("↑↓", "choose"), ("esc", "close")]);
        }
        Overlay::Help(_) => keys(theme, area, buffer, &[("j k", "scroll"), ("esc", "close")]),
        Overlay::Grammar => keys(theme, area, buffer, &[("any key", "back to the filter")]),
        Overlay::None => hints(model, theme, area, buffer),
    }
    None
}

/// The hint bar; what cannot be done now is dimmed.
fn hints(model: &Model, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let blocked = model.cannot_write().is_some();
    let undecidable = model.cannot_decide().is_some();
    let mut pen = Pen::new(buffer, area, 0);
    let count = model.pending.count.map(|c| c.to_string()).unwrap_or_default();
    pen.right(
        &format!("{count}{} ", model.pending.sequence.replace(' ', "")),
        theme.style(Role::Key),
    );
    let host = model.host().is_some() || model.views.now == View::Fleet;
    let requests = model.views.now == View::Certificates;
    for row in ACTIONS.iter().filter(|row| !row.hint.is_empty()) {
        let Some(key) = row.keys.first() else { continue };
        let (fits, dim) = match row.needs {
            Needs::Nothing => (true, false),
            Needs::Write(_, "hosts") => (host, blocked),
            Needs::Write(..) => (requests, undecidable),
        };
        if !fits {
            continue;
        }
        let key_style = if dim { theme.style(Role::Muted) } else { theme.style(Role::Key) };
        if pen.left() < key.len() + row.hint.len() + 3 {
            break;
        }
        pen.put(" ", Style::default())
            .put(key, key_style)
            .put(" ", key_style)
            .put(row.hint, theme.style(Role::Muted))
            .put(" ", Style::default());
    }
}

fn keys(theme: &Theme, area: Rect, buffer: &mut Buffer, keys: &[(&str, &str)]) {
    let mut pen = Pen::new(buffer, area, 0);
    for (key, what) in keys {
        pen.put(" ", Style::default())
            .put(key, theme.style(Role::Key))
            .put(" ", Style::default())
            .put(what, theme.style(Role::Muted))
            .put(" ", Style::default());
    }
}

fn draw_copy(model: &Model, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let base = theme.style(Role::Strip);
    buffer.set_style(area, base);
    Pen::new(buffer, area, 0).put(" copy ", base.patch(theme.style(Role::Title)));
    let mut line = 1;
    let mut pen = Pen::new(buffer, area, line);
    for (key, what, text) in crate::ui::app::copy_choices(model) {
        if pen.left() < what.len() + 4 {
            line += 1;
            pen = Pen::new(buffer, area, line);
        }
        let style = if text.is_some() { base } else { base.patch(theme.style(Role::Muted)) };
        let key_style = if text.is_some() { base.patch(theme.style(Role::Key)) } else { style };
        pen.put(" ", base)
            .put(&key.to_string(), key_style)
            .put(" ", base)
            .put(what, style)
            .put(" ", base);
    }
}

/// The change strip: verb and name, field: old → new, the fields to fill in, how to confirm.
fn draw_strip(
    model: &Model,
    strip: &Strip,
    theme: &Theme,
    area: Rect,
    buffer: &mut Buffer,
) -> Option<Position> {
    let base = theme.style(Role::Strip);
    let muted = base.patch(theme.style(Role::Muted));
    let title = base.patch(theme.style(Role::Title));
    let bad = base.patch(theme.style(Role::Bad));
    buffer.set_style(area, base);
    let verb = match strip.kind {
        Kind::Begin => "put into maintenance",
        Kind::End => "end your maintenance of",
        Kind::Undo => "take back the last change of",
        Kind::Redo => "make the undone change again on",
    };
    let mut pen = Pen::new(buffer, area, 0);
    pen.put(" ", base).put(verb, title).put(" ", base).put(&strip.display, base);
    if strip.display != strip.change.target.name {
        pen.put(&format!("  {}", strip.change.target.name), muted);
    }
    let old = describe(model, strip.change.old.as_ref());
    let new = match strip.kind {
        Kind::Begin => match strip.hold(model.now) {
            Ok(hold) => describe(model, Some(&hold)),
            Err(_) => "…".to_owned(),
        },
        _ => describe(model, strip.change.new.as_ref()),
    };
    let mut pen = Pen::new(buffer, area, 1);
    pen.put(&format!(" maintenance[{}]: ", strip.change.holder), muted)
        .put(&format!("{old} → {new}"), base);
    let mut line = 2;
    if !strip.others.is_empty() {
        let others: Vec<String> = strip
            .others
            .iter()
            .map(|(holder, hold)| {
                format!("{holder} until {} ({})", clock(model, hold), hold.reason)
            })
            .collect();
        Pen::new(buffer, area, line).put(&format!(" stays held by {}", others.join(", ")), muted);
        line += 1;
    }
    let mut cursor = None;
    if strip.kind == Kind::Begin {
        let mut pen = Pen::new(buffer, area, line);
        for (field, label, input) in
            [(Field::Reason, " reason ", &strip.reason), (Field::Length, "  for ", &strip.length)]
        {
            let active = strip.field == field;
            let style = base.patch(theme.style(if active { Role::Input } else { Role::Strip }));
            let (before, after) = input.halves();
            pen.put(label, muted).put(before, style);
            if active {
                cursor = Some(Position {
                    x: pen.column().min(area.right().saturating_sub(1)),
                    y: area.y + line,
                });
            }
            pen.put(after, style).put(" ", style);
        }
        line += 1;
    }
    for text in [strip.moved.as_deref(), strip.problem.as_deref()].into_iter().flatten() {
        for part in wrap(text, usize::from(area.width.saturating_sub(4))).into_iter().take(1) {
            Pen::new(buffer, area, line).put(&format!(" ! {part}"), bad);
            line += 1;
        }
    }
    let mut pen = Pen::new(
        buffer,
        area,
        area.height.saturating_sub(1).max(line.min(area.height.saturating_sub(1))),
    );
    let key = base.patch(theme.style(Role::Key));
    if strip.field == Field::Confirm {
        pen.put(" y", key).put(" confirm  ", base).put("esc", key).put(" cancel", base);
        if strip.kind == Kind::Begin {
            pen.put("  ", base).put("tab", key).put(" reason and length", base);
        }
    } else {
        pen.put(" enter", key)
            .put(" done  ", base)
            .put("tab", key)
            .put(" next field  ", base)
            .put("y", muted)
            .put(" confirms after that", muted);
    }
    cursor
}

fn clock(model: &Model, hold: &Hold) -> String {
    hold.until.0.to_zoned(model.settings.time_zone.clone()).strftime("%a %d %b %H:%M").to_string()
}

fn describe(model: &Model, hold: Option<&Hold>) -> String {
    match hold {
        None => "none".to_owned(),
        Some(hold) => {
            let left = hold.until.0.as_second() - model.now.as_second();
            format!(
                "\"{}\" until {} (in {})",
                hold.reason,
                clock(model, hold),
                duration::short(left)
            )
        }
    }
}
