//! The bottom of the screen: the notice, and the hint bar or the change strip.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;
use unicode_width::UnicodeWidthStr;

use super::header::BADGES_FROM;
use super::pen::{Pen, cut, wrap};
use super::{decide, labels, results, run_dialog, sources, strip};
use crate::ui::actions::{Action, ActionRow, Needs};
use crate::ui::app::orders::Going;
use crate::ui::app::page::Kind;
use crate::ui::app::{Link, Model, Notice, Overlay, Page, Pane, View};
use crate::ui::app::{greeting, jump};
use crate::ui::keymap;
use crate::ui::theme::{Role, Theme};

/// Columns from which there is room for what may help beside what is wrong.
const DOCTOR_FROM: u16 = 100;

/// The key that takes an error away.
const ESC: &str = " esc ";

/// Most lines of a notice. All of it is in the messages.
const NOTICE: usize = 3;

/// A sign before each error, and a space before what is none.
fn lead(notice: &Notice) -> &'static str {
    if notice.error { " ! " } else { " " }
}

/// The lines of a notice, the last one with an ellipsis where there are more.
fn notice_lines(notice: &Notice, width: u16) -> Vec<String> {
    let times = if notice.times > 1 { format!(" ({} times)", notice.times) } else { String::new() };
    let text = format!("{}{times}", notice.text);
    // Room for the key that takes an error away.
    let beside = lead(notice).len() + if notice.error { ESC.len() } else { 1 };
    let width = usize::from(width).saturating_sub(beside).max(8);
    let mut lines = wrap(&text, width);
    if let Some(more) = lines.split_off(NOTICE.min(lines.len())).first()
        && let Some(last) = lines.last_mut()
    {
        *last = cut(&format!("{last} {more}"), width).into_owned();
    }
    lines
}

/// The orders for several hosts whose progress is shown instead of a notice: while one of several
/// servers takes its time, what is said of the others stands there.
fn counted(model: &Model) -> Vec<&Going> {
    let said = model.servers.several() && model.notice.is_some();
    let bulk = |going: &&Going| going.order.changes.len() > 1 && !said;
    model.writing.going.iter().filter(bulk).collect()
}

/// Lines that the notice wants.
pub(super) fn notice_height(model: &Model, width: u16) -> u16 {
    let alone = model.wanted.is_none() && counted(model).is_empty();
    let notice = model.notice.as_ref().filter(|_| alone);
    let lines = notice.map_or(1, |notice| notice_lines(notice, width).len());
    u16::try_from(lines).unwrap_or(1)
}

pub(super) fn draw_notice(model: &Model, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let mut pen = Pen::new(buffer, area, 0);
    let counted = counted(model);
    if !counted.is_empty() {
        return results::draw_progress(&counted, theme, &mut pen);
    }
    if model.wanted.is_some() {
        pen.right(ESC, theme.style(Role::Muted));
        pen.put(" asking the server who you are…", theme.style(Role::Text));
        return;
    }
    let lost = model.servers.lost();
    match (&model.notice, lost.map(|server| (server, &server.link))) {
        (Some(notice), _) => {
            let style = if notice.error { theme.style(Role::Bad) } else { theme.style(Role::Text) };
            if notice.error {
                pen.right(ESC, theme.style(Role::Muted));
            }
            let lead = lead(notice);
            let mut lines = notice_lines(notice, area.width).into_iter();
            pen.put(lead, style).put(&lines.next().unwrap_or_default(), style);
            for (line, text) in (1..).zip(lines) {
                let mut pen = Pen::new(buffer, area, line);
                pen.skip(u16::try_from(lead.len()).unwrap_or(0)).put(&text, style);
            }
        }
        (None, Some((server, Link::Lost { reason, attempts, .. }))) => {
            let style = theme.style(Role::Warning);
            if server.last.shown.is_some() && area.width >= DOCTOR_FROM {
                pen.right(" inv-tui --headless doctor tells more ", theme.style(Role::Muted));
            }
            pen.put(" ! ", style);
            if model.servers.several() {
                pen.put(&format!("{}: ", server.name()), style);
            }
            pen.put(&format!("attempt {attempts}: {reason}"), style);
        }
        (None, None) if model.greets() => greet(model, theme, &mut pen),
        (None, _) => {
            let problems = model.inventory.problems();
            // Where the header has no room for it.
            let narrow = area.width < BADGES_FROM && model.views.now != View::Sources;
            if let Some([word, ..]) = sources::word(model).filter(|_| narrow) {
                pen.put(&format!(" {word}"), theme.style(Role::Warning));
            } else if problems.count > 0 {
                let style = theme.style(Role::Warning);
                let names: Vec<&str> =
                    problems.first.iter().map(|(name, _)| name.as_str()).collect();
                let names = names.join(", ");
                pen.put(&format!(" ! {} objects cannot be read: {names}", problems.count), style);
            }
        }
    }
}

/// The keys to begin with, as many as fit.
fn greet(model: &Model, theme: &Theme, pen: &mut Pen<'_>) {
    pen.put(" To begin ", theme.style(Role::Title));
    for (action, what) in greeting::KEYS {
        let key = model.key(action);
        if pen.left() < key.width() + what.len() + 2 {
            return;
        }
        pen.skip(1).put(&key, theme.style(Role::Key));
        pen.skip(1).put(what, theme.style(Role::Text)).skip(1);
    }
}

pub(super) fn draw(
    model: &Model,
    theme: &Theme,
    area: Rect,
    buffer: &mut Buffer,
) -> Option<Position> {
    match &model.overlay {
        Overlay::Decide(strip) => return decide::draw(strip, theme, area, buffer),
        Overlay::Strip(strip) => return strip::draw(model, strip, theme, area, buffer),
        Overlay::Labels(dialog) => return labels::draw(dialog, theme, area, buffer),
        Overlay::Run(dialog) => run_dialog::draw(dialog, theme, area, buffer),
        Overlay::Results => keys(
            theme,
            area,
            buffer,
            &[
                ("esc", "close"),
                ("r", "try the rest again"),
                ("u", "take it back"),
                ("j k", "scroll"),
            ],
        ),
        Overlay::Copy => draw_copy(model, theme, area, buffer),
        Overlay::Browse(pages) => draw_pages(pages, theme, area, buffer),
        Overlay::Filter => keys(
            theme,
            area,
            buffer,
            &[
                ("enter", "keep"),
                ("esc", "undo"),
                ("tab", "choose"),
                ("→", "take"),
                ("↑", "history"),
                ("?", "grammar"),
            ],
        ),
        Overlay::Palette(_) => {
            keys(theme, area, buffer, &[("enter", "run"), ("↑↓", "choose"), ("esc", "close")]);
        }
        Overlay::Pick(_) => keys(
            theme,
            area,
            buffer,
            &[
                ("space", "on or off"),
                ("enter", "done"),
                ("J K", "move it"),
                ("ctrl-r", "as at first"),
                ("esc", "cancel"),
            ],
        ),
        Overlay::Saved(_) => keys(
            theme,
            area,
            buffer,
            &[
                ("enter", "show"),
                ("s", "save this"),
                ("tab", "next key"),
                ("d", "remove"),
                ("esc", "close"),
            ],
        ),
        Overlay::SaveView(_) => {
            keys(theme, area, buffer, &[("enter", "save"), ("tab", "next key"), ("esc", "leave")]);
        }
        Overlay::Help(_) => keys(
            theme,
            area,
            buffer,
            &[("j k", "scroll"), ("space", "a page on"), ("g G", "to the ends"), ("esc", "close")],
        ),
        Overlay::Grammar => keys(theme, area, buffer, &[("any key", "back to the filter")]),
        Overlay::Search => {
            keys(theme, area, buffer, &[("enter", "keep"), ("esc", "no more")]);
        }
        Overlay::None => hints(model, theme, area, buffer),
    }
    None
}

/// A hint: key, word, action, whether it can be done now.
type Offer = (String, &'static str, Action, bool);

/// The hints that fit what is shown.
fn offered(model: &Model) -> Vec<Offer> {
    if let Some(page) = &model.page {
        return page_offers(model, page);
    }
    if model.pane == Pane::Facets {
        return facet_offers(model);
    }
    let host = model.host().is_some() || model.views.now == View::Fleet;
    let marks = model.views.now == View::Fleet || model.views.now.list().is_some();
    let requests = model.views.now == View::Certificates;
    let offer = |(row, keys): (&'static ActionRow, &[String])| {
        let key = keymap::shown(keys.first()?);
        let (fits, able) = match row.needs {
            Needs::Nothing => (marks || row.action != Action::Mark, true),
            Needs::Write(_, "hosts") => (host, model.cannot(row.needs).is_none()),
            Needs::Write(..) => (requests, model.cannot_decide().is_none()),
        };
        fits.then_some((key, row.hint, row.action, able))
    };
    let rows = model.settings.keymap.rows().filter(|(row, _)| !row.hint.is_empty());
    rows.filter_map(offer).collect()
}

/// The hint bar; what cannot be done now is dimmed.
fn hints(model: &Model, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let mut pen = Pen::new(buffer, area, 0);
    let pending = pending(model);
    pen.right(&pending, theme.style(Role::Key));
    if let Some(view) = model.pending_view() {
        let motion = format!("{}j", pending.trim_end());
        let text = format!("view {}, or a count: {motion}", view.name);
        pen.put(" enter ", theme.style(Role::Key)).put(&text, theme.style(Role::Muted));
        return;
    }
    for (key, hint, _, able) in offered(model) {
        if pen.left() < key.len() + hint.len() + 3 {
            break;
        }
        let key_style = theme.style(if able { Role::Key } else { Role::Muted });
        pen.put(" ", Style::default())
            .put(&key, key_style)
            .put(" ", key_style)
            .put(hint, theme.style(Role::Muted))
            .put(" ", Style::default());
    }
}

/// The count and the begin of a key sequence that are typed.
fn pending(model: &Model) -> String {
    let count = model.pending.count.map(|c| c.to_string()).unwrap_or_default();
    format!("{count}{} ", model.pending.sequence.replace(' ', ""))
}

/// The action whose hint stands at this column of the hint bar.
pub fn hint_at(model: &Model, area: Rect, x: u16) -> Option<Action> {
    let mut left = usize::from(area.x);
    let right = usize::from(area.right()).saturating_sub(pending(model).chars().count());
    for (key, hint, action, _) in offered(model) {
        let end = left + key.chars().count() + hint.chars().count() + 3;
        if end > right {
            return None;
        }
        if (left..end).contains(&usize::from(x)) {
            return Some(action);
        }
        left = end;
    }
    None
}

/// What the hint bar of a page offers.
fn page_offers(model: &Model, page: &Page) -> Vec<Offer> {
    let wanted = [
        (Action::Back, "back", true),
        (Action::Filter, "search", true),
        (Action::NextMatch, "next", !page.search.text().is_empty()),
        (Action::Open, "contents", page.kind == Kind::Guide),
        (Action::NextPane, "next part", page.kind == Kind::Guide),
        (Action::ManagedFields, "managed fields", page.kind == Kind::Yaml),
        (Action::CopyName, "copy", true),
        (Action::Save, "write", true),
        (Action::Describe, "describe", page.place.is_some() && page.kind != Kind::Describe),
        (Action::Yaml, "YAML", page.place.is_some() && page.kind != Kind::Yaml),
        (Action::Explain, "explain", model.page_host().is_some() && page.kind != Kind::Explain),
        (Action::History, "history", model.page_host().is_some() && page.kind != Kind::History),
        (Action::Events, "events", page.place.is_some() && page.kind != Kind::Events),
    ];
    let fitting = wanted.into_iter().filter(|(.., fits)| *fits);
    fitting.filter_map(|(action, what, _)| plain_offer(model, action, what)).collect()
}

/// What the hint bar offers in the facets.
fn facet_offers(model: &Model) -> Vec<Offer> {
    let wanted = [
        (Action::Mark, "toggle"),
        (Action::Unfold, "all values"),
        (Action::Fold, "fewer"),
        (Action::NextPane, "next pane"),
        (Action::Everything, "everything"),
        (Action::Back, "close"),
    ];
    wanted.into_iter().filter_map(|(action, what)| plain_offer(model, action, what)).collect()
}

/// An offer of what can always be done, if a key is bound to it.
fn plain_offer(model: &Model, action: Action, what: &'static str) -> Option<Offer> {
    let key = keymap::shown(model.settings.keymap.keys(action).first()?);
    Some((key, what, action, true))
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

fn draw_pages(pages: &[jump::Page], theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let base = theme.style(Role::Strip);
    buffer.set_style(area, base);
    Pen::new(buffer, area, 0).put(" open ", base.patch(theme.style(Role::Title)));
    let mut line = 1;
    let mut pen = Pen::new(buffer, area, line);
    for (key, (name, _)) in jump::KEYS.iter().zip(pages) {
        if pen.left() < name.len() + 4 {
            line += 1;
            pen = Pen::new(buffer, area, line);
        }
        pen.put(" ", base)
            .put(&key.to_string(), base.patch(theme.style(Role::Key)))
            .put(" ", base)
            .put(name, base)
            .put(" ", base);
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
