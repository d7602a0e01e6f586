//! The line at the top: where we are and how the connection is; and the filter line.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;
use unicode_width::UnicodeWidthStr;

use super::pen::{Pen, cut, number};
use super::sources;
use crate::model::duration;
use crate::ui::app::{Link, Model, Overlay, View};
use crate::ui::theme::{Role, Theme};

pub(super) fn draw(model: &Model, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let base = theme.style(Role::Header);
    let alert = theme.style(Role::Alert);
    let mut pen = Pen::new(buffer, area, 0);
    pen.fill(base);
    let (link, lost) = link_text(model);
    pen.right(&format!(" {link} "), if lost { alert } else { base });
    let marked = model.inventory.marked();
    if marked.total > 0 {
        let hidden = match marked.hidden {
            0 => String::new(),
            hidden => format!(" ({} hidden)", number(hidden)),
        };
        let style = base.patch(theme.style(Role::Title));
        pen.right(&format!(" {} marked{hidden} ", number(marked.total)), style);
    }
    if !model.writing.armed {
        pen.right(" READ-ONLY ", alert);
    } else if let Some(until) = model.writing.armed_until {
        let left = until.as_second() - model.now.as_second();
        pen.right(&format!(" armed {} ", duration::short(left)), alert);
    }
    if area.width >= BADGES_FROM {
        if model.views.now != View::Sources
            && let Some(words) = sources::word(model)
        {
            let style = base.patch(theme.style(Role::Warning));
            fitting(&mut pen, &words, style);
        }
        for badge in badges(model) {
            fitting(&mut pen, &[badge], base.patch(theme.style(Role::Key)));
        }
    }
    pen.put(" inv-tui ", base.patch(theme.style(Role::Title)));
    if let Some(view) = view(model) {
        pen.put(&format!(" {view} "), theme.style(Role::Selected)).put(" ", base);
    }
    if model.settings.production {
        pen.put(" PROD ", alert).put(" ", base);
    }
    pen.put(&model.settings.context, base);
    if area.width >= 80 {
        pen.put(" · ", base);
        let room = pen.left().saturating_sub(1);
        pen.put(&cut(&model.settings.server, room), base);
    }
    if let Some(namespace) = &model.settings.config.namespace {
        pen.put(" · ", base).put(namespace, base);
    }
}

/// Columns from which the header tells what waits in other views.
pub(super) const BADGES_FROM: u16 = 60;
/// Columns that are kept for the name, the view and the context.
const KEPT: usize = 18;

/// Writes the longest of the forms, of which the first is the longest, that leaves room for the
/// left side; none if none does.
fn fitting(pen: &mut Pen<'_>, forms: &[String], style: Style) {
    let room = pen.left().saturating_sub(KEPT);
    if let Some(form) = forms.iter().find(|form| form.width() + 2 <= room) {
        pen.right(&format!(" {form} "), style);
    }
}

/// What waits in other views.
fn badges(model: &Model) -> Vec<String> {
    let mut badges = Vec::new();
    let (_, pending) = model.certificates.len();
    if pending > 0 && model.views.now != View::Certificates {
        badges.push(counted(pending, "request", "pending"));
    }
    let (running, waiting) = model.inventory.runs_going();
    if running + waiting > 0 && model.views.now != View::Runs {
        badges.push(counted(running + waiting, "run", "going"));
    }
    badges
}

fn counted(n: usize, what: &str, word: &str) -> String {
    format!("{} {what}{} {word}", number(n), if n == 1 { "" } else { "s" })
}

/// The view and what it counts; none in the tree.
fn view(model: &Model) -> Option<String> {
    let view = model.views.now;
    let count = match view {
        View::Fleet => return None,
        View::Certificates => {
            let (all, pending) = model.certificates.len();
            format!("{} pending of {}", number(pending), number(all))
        }
        View::Sources => {
            let (all, troubles) = model.sources.len();
            if troubles == 0 {
                number(all)
            } else {
                format!("{} of {} to look at", number(troubles), number(all))
            }
        }
        View::Journal => {
            let more = if model.journal.more { "+" } else { "" };
            format!("{}{more}", number(model.journal.records.len()))
        }
        View::Changes => {
            let (shown, all) = model.changes_len();
            if shown == all { number(all) } else { format!("{} of {}", number(shown), number(all)) }
        }
        View::Maintenance | View::Runs => {
            let (shown, all) = model.inventory.list_len(view.list()?);
            if shown == all { number(all) } else { format!("{} of {}", number(shown), number(all)) }
        }
    };
    Some(format!("{} {count}", view.title()))
}

/// How the connection is, and whether it is lost.
fn link_text(model: &Model) -> (String, bool) {
    let hosts = model.inventory.len();
    match &model.link {
        Link::Connecting => ("connecting".to_owned(), false),
        Link::Listing => {
            let text = match model.expected.filter(|expected| *expected > hosts) {
                Some(expected) => format!("loading {} of {}", number(hosts), number(expected)),
                None => format!("loading, {} hosts", number(hosts)),
            };
            (text, false)
        }
        Link::Live if hosts == 1 => ("1 host · live".to_owned(), false),
        Link::Live => (format!("{} hosts · live", number(hosts)), false),
        Link::Lost { since, .. } => {
            let age = model.now.as_second() - since.as_second();
            (format!("LOST · data is {} old", duration::short(age)), true)
        }
    }
}

/// The filter line, and under it what is wrong with it.
pub(super) fn draw_filter(
    model: &Model,
    theme: &Theme,
    area: Rect,
    buffer: &mut Buffer,
) -> Option<Position> {
    if area.is_empty() {
        return None;
    }
    let editing = matches!(model.overlay, Overlay::Filter | Overlay::Grammar);
    let style = if editing { theme.style(Role::Input) } else { theme.style(Role::Text) };
    let muted = theme.style(Role::Muted);
    let mut pen = Pen::new(buffer, area, 0);
    pen.fill(style);
    let count =
        format!(" {} of {} ", number(model.inventory.matched()), number(model.inventory.len()));
    pen.right(if model.filter.running { " … " } else { &count }, muted);
    if model.filter.problems {
        pen.put(" problems ", theme.style(Role::Alert)).put(" ", style);
    }
    pen.put(" / ", theme.style(Role::Key));
    let (before, after) = model.filter.input.halves();
    // Of a long text the end before the cursor is shown.
    let room = pen.left().saturating_sub(2);
    let mut from = before;
    while from.width() > room {
        let mut rest = from.chars();
        rest.next();
        from = rest.as_str();
    }
    let start = pen.column();
    pen.put(from, style);
    let cursor = Position { x: pen.column(), y: area.y };
    pen.put(after, style);
    if let Some(error) = &model.filter.error {
        let hidden = before.chars().count() - from.chars().count();
        let typed = model.filter.input.text();
        let at = typed.get(..error.at.start.min(typed.len())).map_or(0, |t| t.chars().count());
        let column = usize::from(start.saturating_sub(area.x)) + at.saturating_sub(hidden);
        let mut pen = Pen::new(buffer, area, 1);
        let column = u16::try_from(column).unwrap_or(0).min(area.width.saturating_sub(24));
        pen.skip(column)
            .put("^ ", theme.style(Role::Bad))
            .put(&error.to_string(), theme.style(Role::Bad));
    } else if editing && model.filter.input.text().is_empty() {
        let mut pen = Pen::new(buffer, area, 0);
        pen.skip(cursor.x.saturating_sub(area.x) + 1)
            .put("web env=prod … (? shows the grammar)", style.patch(muted));
    }
    editing.then_some(cursor)
}
