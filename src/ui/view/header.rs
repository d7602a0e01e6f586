//! The line at the top: where we are and how the connection is; and the filter line.

use std::fmt::Write as _;

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;
use unicode_width::UnicodeWidthStr;

use super::pen::{Pen, cut, number};
use super::sources;
use crate::model::duration;
use crate::model::key::ServerId;
use crate::model::shape::Level;
use crate::ui::app::complete::Candidate;
use crate::ui::app::{Link, Model, Overlay, Server, View};
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
    if let Some(text) = armed(model) {
        pen.right(&format!(" {text} "), alert);
    }
    if let Some(since) = model.frozen.since {
        let at = since.to_zoned(model.settings.time_zone.clone()).strftime("%H:%M:%S").to_string();
        let hosts = model.frozen.hosts();
        let waits =
            if hosts > 0 { format!(" · {} changed", number(hosts)) } else { String::new() };
        let forms =
            [format!("FROZEN since {at}{waits}"), format!("FROZEN {at}"), "FROZEN".to_owned()];
        fitting(&mut pen, &forms, alert);
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
    if let Some(view) = model.shown_view().filter(|_| model.views.now == View::Fleet) {
        pen.put(&format!(" {} ", view.name), theme.style(Role::Selected)).put(" ", base);
    }
    if model.servers.several() {
        return places(model, alert, base, &mut pen);
    }
    let server = &model.servers.get(ServerId::FIRST).settings;
    if server.production {
        pen.put(" PROD ", alert).put(" ", base);
    }
    pen.put(&server.context, base);
    if area.width >= 80 {
        pen.put(" · ", base);
        let room = pen.left().saturating_sub(1);
        pen.put(&cut(&server.url, room), base);
    }
    // Of a namespace that does not fit a part is shown, but no dot without anything behind it.
    if let Some(namespace) = &server.namespace
        && pen.left() > 3 + namespace.width().min(6)
    {
        let room = pen.left() - 4;
        pen.put(" · ", base).put(&cut(namespace, room), base);
    }
}

/// Where we are, of several servers: that of what is under the cursor.
fn places(model: &Model, alert: Style, base: Style, pen: &mut Pen<'_>) {
    let Some(server) = model.here().map(|here| model.servers.get(here)) else {
        let used = model.servers.used().count();
        pen.put(&format!("{used} servers"), base);
        return;
    };
    if server.settings.production {
        pen.put(" PROD ", alert).put(" ", base);
    }
    let room = pen.left().saturating_sub(1);
    pen.put(&cut(server.name(), room), base);
    if pen.left() > 20 + server.settings.url.width() && !server.settings.url.is_empty() {
        pen.put(" · ", base).put(&server.settings.url, base);
    }
}

/// Whether writing is armed where the cursor is, if that is to be said; of several servers, with the
/// server's name.
fn armed(model: &Model) -> Option<String> {
    let Some(here) = model.here() else {
        let mut used = model.servers.used();
        return used.all(|(_, server)| !server.armed).then(|| "READ-ONLY".to_owned());
    };
    let server = model.servers.get(here);
    let text = match (server.armed, server.armed_until) {
        (false, _) => "READ-ONLY".to_owned(),
        (true, Some(until)) => {
            format!("armed {}", duration::short(until.as_second() - model.now.as_second()))
        }
        (true, None) => return None,
    };
    Some(model.about_server(here, &text))
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

/// The view and what it counts; none in the usual tree.
fn view(model: &Model) -> Option<String> {
    let view = model.views.now;
    let count = match view {
        View::Fleet => return shape(model),
        View::Certificates => {
            let (all, pending) = model.certificates.len();
            if pending == all {
                format!("{} pending", number(all))
            } else {
                format!("{} of {} pending", number(pending), number(all))
            }
        }
        View::Sources => {
            let (all, troubles) = model.sources.len();
            if troubles == 0 {
                number(all)
            } else {
                format!("{} of {} to look at", number(troubles), number(all))
            }
        }
        View::Servers => {
            let used = model.servers.used().count();
            let live = model.servers.used().filter(|(_, s)| s.link == Link::Live).count();
            format!("{} live of {}", number(live), number(used))
        }
        View::Journal => {
            let more = if model.journal.more { "+" } else { "" };
            format!("{}{more}", number(model.journal.records.len()))
        }
        View::Changes => {
            let (shown, all) = model.changes_len();
            if shown == all { number(all) } else { format!("{} of {}", number(shown), number(all)) }
        }
        View::Maintenance | View::Runs | View::Problems => {
            let (shown, all) = model.inventory.list_len(view.list()?);
            if shown == all { number(all) } else { format!("{} of {}", number(shown), number(all)) }
        }
    };
    Some(format!("{} {count}", view.title()))
}

/// The shape of the fleet where it is not the one that people know; what is shown, not what is
/// being made.
fn shape(model: &Model) -> Option<String> {
    if model.shaping() {
        let regroups = model.shape().group != model.inventory.grouping();
        return Some(if regroups { "grouping…" } else { "sorting…" }.to_owned());
    }
    if model.in_table() {
        return Some("Table".to_owned());
    }
    let group = model.inventory.grouping();
    if group == model.default_group() {
        return None;
    }
    let words: Vec<&str> = group.iter().map(Level::word).collect();
    Some(if words.is_empty() { "no groups".to_owned() } else { format!("by {}", words.join(", ")) })
}

/// How the connection is, and whether it is lost.
fn link_text(model: &Model) -> (String, bool) {
    if model.servers.several() {
        return links(model);
    }
    let hosts = model.inventory.len();
    let server = model.servers.get(ServerId::FIRST);
    if let Some(made) = server.last.shown {
        let age = last_age(model, server).unwrap_or_default();
        let (word, lost) = match &server.link {
            Link::Lost { .. } => ("LOST", true),
            Link::Same(_) => ("not used", false),
            Link::Connecting => ("connecting", false),
            Link::Listing | Link::Live => ("loading", false),
        };
        return (format!("{word} · as of {age} ago, {}", model.clock(made)), lost);
    }
    match &server.link {
        Link::Same(_) => (String::new(), false),
        Link::Connecting => ("connecting".to_owned(), false),
        Link::Listing => {
            let text = match server.expected.filter(|expected| *expected > hosts) {
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

/// How the connections are, of several servers: `3 servers · 2 live · eu: lost 12s`; where the last
/// known hosts of one are shown, `eu: lost, as of 3h ago`.
fn links(model: &Model) -> (String, bool) {
    let hosts = model.inventory.len();
    let used = || model.servers.used().map(|(_, server)| server);
    let (all, live) = (used().count(), used().filter(|server| server.link == Link::Live).count());
    let s = if hosts == 1 { "" } else { "s" };
    let many = if all == 1 { "" } else { "s" };
    let mut text = format!("{} host{s} · {all} server{many} · ", number(hosts));
    let lost = used().filter(|server| server.is_lost()).max_by_key(|server| server.since);
    match lost {
        _ if live == all => text.push_str("live"),
        None => {
            let _ = write!(text, "{live} live, {} loading", all - live);
            if let Some((server, age)) =
                used().find_map(|server| Some((server, last_age(model, server)?)))
            {
                let _ = write!(text, " · {}: as of {age} ago", server.name());
            }
        }
        Some(server) => {
            let how = if let Some(age) = last_age(model, server) {
                format!("lost, as of {age} ago")
            } else {
                let age = model.now.as_second() - server.since.as_second();
                format!("lost {}", duration::short(age))
            };
            let more = match used().filter(|server| server.is_lost()).count() {
                1 => String::new(),
                n => format!(" +{}", n - 1),
            };
            let _ = write!(text, "{live} live · {}: {how}{more}", server.name());
        }
    }
    (text, lost.is_some())
}

/// How old what is shown of a server is, while that is its last known fleet: `3h`.
pub(super) fn last_age(model: &Model, server: &Server) -> Option<String> {
    let made = server.last.shown?;
    Some(duration::short(model.now.as_second() - made.as_second()))
}

/// Where the text of the filter line stands: of a long text the end before the cursor is shown.
struct Typed<'a> {
    /// What is shown of the text before the cursor.
    from: &'a str,
    /// Characters that are hidden before it.
    hidden: usize,
    /// The column of its first character, from the left edge of the line.
    start: usize,
}

impl<'a> Typed<'a> {
    fn new(model: &'a Model, start: usize, room: usize) -> Self {
        let (before, _) = model.filter.input.halves();
        let mut from = before;
        while from.width() > room {
            let mut rest = from.chars();
            rest.next();
            from = rest.as_str();
        }
        let hidden = before.chars().count() - from.chars().count();
        Self { from, hidden, start }
    }

    /// The column at which this byte of the text stands.
    fn column(&self, model: &Model, byte: usize) -> usize {
        let text = model.filter.input.text();
        let shown = text.get(..byte.min(text.len())).unwrap_or(text);
        let shown: String = shown.chars().skip(self.hidden).collect();
        self.start + shown.width()
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
    for chip in chips(model) {
        pen.put(&chip, theme.style(Role::Alert)).put(" ", style);
    }
    pen.put(" / ", theme.style(Role::Key));
    let start = usize::from(pen.column().saturating_sub(area.x));
    let typed = Typed::new(model, start, pen.left().saturating_sub(2));
    let (_, after) = model.filter.input.halves();
    pen.put(typed.from, style);
    let cursor = Position { x: pen.column(), y: area.y };
    pen.put(after, style);
    if let Some(error) = &model.filter.error {
        let column = typed.column(model, error.at.start);
        let mut pen = Pen::new(buffer, area, 1);
        let column = u16::try_from(column).unwrap_or(0).min(area.width.saturating_sub(24));
        let bad = theme.style(Role::Bad);
        pen.skip(column).put("^ ", bad).put(&error.to_string(), bad);
        if !error.expected.is_empty() {
            pen.put(&format!(" · expected: {}", error.expected.join("  ")), muted);
        }
    } else if editing && model.filter.input.text().is_empty() {
        let mut pen = Pen::new(buffer, area, 0);
        pen.skip(cursor.x.saturating_sub(area.x) + 1)
            .put("web env=prod … (? shows the grammar, tab what there is)", style.patch(muted));
    }
    editing.then_some(cursor)
}

/// What is filtered beside the line.
fn chips(model: &Model) -> Vec<String> {
    let pinned = &model.filter.pinned;
    let mut chips = Vec::new();
    if !pinned.is_empty() {
        chips.push(format!(" pinned: {} ", cut(pinned, 32)));
    }
    if model.filter.problems {
        chips.push(" problems ".to_owned());
    }
    chips
}

/// Most candidates that are seen at once.
const CANDIDATES: usize = 8;

/// What could stand at the cursor of the filter line, in a list under it.
pub(super) fn draw_candidates(
    model: &Model,
    theme: &Theme,
    line: Rect,
    body: Rect,
    buffer: &mut Buffer,
) {
    let completion = &model.filter.completion;
    let items = &completion.items;
    let height = items.len().min(CANDIDATES).min(usize::from(body.height));
    if height == 0 || line.is_empty() {
        return;
    }
    let chosen = completion.chosen.unwrap_or(0);
    let skip = (chosen + 1).saturating_sub(height);
    let shown = || items.iter().enumerate().skip(skip).take(height);
    let count = |one: &Candidate| one.count.map(number).unwrap_or_default();
    let texts = shown().map(|(_, one)| one.text.width()).max().unwrap_or(0).min(48);
    let counts = shown().map(|(_, one)| count(one).width()).max().unwrap_or(0).max(5);
    let width = u16::try_from(texts + counts + 4).unwrap_or(u16::MAX).min(body.width);
    let chips: usize = chips(model).iter().map(|chip| chip.width() + 1).sum();
    let room = usize::from(line.width).saturating_sub(chips + 20);
    let column = Typed::new(model, chips + 3, room).column(model, completion.at.start);
    let column = u16::try_from(column.saturating_sub(1)).unwrap_or(0).min(body.width - width);
    let height = u16::try_from(height).unwrap_or(1);
    let area = Rect { x: body.x + column, y: body.y, width, height };
    super::overlay::clear(theme, area, buffer);
    let base = theme.style(Role::Strip);
    buffer.set_style(area, base);
    for (y, (at, one)) in (0..height).zip(shown()) {
        let here = completion.chosen == Some(at);
        let mut pen = Pen::new(buffer, area, y);
        let last = y + 1 == height && skip + usize::from(height) < items.len() + completion.more;
        let right = format!("{}{} ", count(one), if last { "…" } else { "" });
        pen.fill(base).right(&right, base.patch(theme.style(Role::Muted)));
        let room = pen.left().saturating_sub(2);
        pen.put(" ", base).put(&cut(&one.text, room), base.patch(theme.style(Role::Text)));
        if here {
            let line = Rect { y: area.y + y, height: 1, ..area };
            buffer.set_style(line, theme.style(Role::Selected));
        }
    }
}
