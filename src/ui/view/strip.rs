//! The change strip: what is done to which hosts, field: old → new for each, what speaks against it,
//! the fields to fill in, and how to confirm.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use unicode_width::UnicodeWidthStr;

use super::pen::{Pen, cut, number, wrap};
use crate::act::Verb;
use crate::model::change::{Change, LabelsChange, label_word};
use crate::model::duration;
use crate::model::host::{AnsibleRequest, Hold};
use crate::model::policy::Level;
use crate::ui::app::Model;
use crate::ui::app::clusters::Stand;
use crate::ui::app::input::Input;
use crate::ui::app::strip::{Field, Item, Strip};
use crate::ui::theme::{Role, Theme};

/// Most hosts that are shown at once.
const LIST: usize = 8;
/// Most clusters whose budget is shown.
const STANDS: usize = 3;

/// One line, and how soon it gives way on a small screen: 0 never does.
struct Line {
    gives_way: u8,
    spans: Vec<(String, Role)>,
}

impl Line {
    fn new(gives_way: u8, role: Role, text: impl Into<String>) -> Self {
        Self { gives_way, spans: vec![(text.into(), role)] }
    }

    fn and(mut self, role: Role, text: impl Into<String>) -> Self {
        self.spans.push((text.into(), role));
        self
    }
}

/// The lines above and below the list of hosts.
struct Parts {
    above: Vec<Line>,
    below: Vec<Line>,
    fields: bool,
    answer: bool,
}

impl Parts {
    fn of(model: &Model, strip: &Strip, width: u16) -> Self {
        let mut above = vec![title(strip)];
        above.extend(strip.stands.iter().take(STANDS).map(stand));
        if strip.stands.len() > STANDS {
            let more = strip.stands.len() - STANDS;
            let over = strip.stands.iter().skip(STANDS).filter(|stand| stand.is_over()).count();
            let text = format!(" {more} more clusters, {over} of them over their budget");
            above.push(Line::new(5, Role::Muted, text));
        }
        if let Some(problem) = strip
            .servers()
            .iter()
            .find_map(|server| model.clusters.problem(*server))
            .filter(|_| strip.stands.is_empty())
            && strip.verb == Verb::MaintenanceOn
        {
            above.push(Line::new(7, Role::Warning, format!(" budget not known: {problem}")));
        }
        if let Some(since) = model.frozen.since {
            let age = crate::model::duration::short(model.now.as_second() - since.as_second());
            let text = format!(
                " the picture is frozen, {age} old: each host is read anew before its change"
            );
            above.push(Line::new(5, Role::Warning, text));
        }
        if !strip.left_out.is_empty() {
            let text = format!(" left out: {}", strip.left_out.join(", "));
            above.push(Line::new(6, Role::Muted, text));
        }
        if !strip.hidden.is_empty() {
            let text =
                format!(" {} marked are hidden by the filter and left out", strip.hidden.len());
            above.push(
                Line::new(5, Role::Warning, text)
                    .and(Role::Key, " h")
                    .and(Role::Muted, " adds them"),
            );
        }
        let mut below = Vec::new();
        below.extend(refused(strip));
        let room = usize::from(width.saturating_sub(4));
        for text in [&strip.moved, &strip.problem].into_iter().flatten() {
            let text = wrap(text, room).into_iter().next().unwrap_or_default();
            below.push(Line::new(3, Role::Bad, format!(" ! {text}")));
        }
        let fields = strip.has(Field::Reason) || strip.has(Field::Length);
        Self { above, below, fields, answer: strip.has(Field::Answer) }
    }

    /// Lines that are drawn by hand: fields, answer, keys.
    fn fixed(&self) -> usize {
        1 + usize::from(self.fields) + usize::from(self.answer)
    }

    /// Lets go of lines, those first that give way first, until there is room.
    fn fit(&mut self, room: usize) {
        while self.above.len() + self.below.len() > room {
            let lines = self.above.iter().chain(&self.below);
            let Some(first) = lines.map(|line| line.gives_way).max().filter(|first| *first > 0)
            else {
                return;
            };
            for lines in [&mut self.below, &mut self.above] {
                if let Some(at) = lines.iter().rposition(|line| line.gives_way == first) {
                    lines.remove(at);
                    break;
                }
            }
        }
    }
}

fn title(strip: &Strip) -> Line {
    let verb = match (strip.verb, strip.items.first().map(|item| &item.change)) {
        (Verb::MaintenanceOn, _) => "put into maintenance".to_owned(),
        (Verb::MaintenanceOff, _) => "end your maintenance of".to_owned(),
        (Verb::Run, Some(Change::Run(change))) => format!("run {} on", run(Some(&change.new))),
        (Verb::Run, _) => "run on".to_owned(),
        (Verb::CancelRun, _) => "cancel the waiting run of".to_owned(),
        (Verb::Label, Some(Change::Labels(change))) => label_title(change),
        (Verb::Label, _) => "change labels of".to_owned(),
        (Verb::Undo, _) => "take back the last change of".to_owned(),
        (Verb::Redo, _) => "make the undone change again on".to_owned(),
    };
    let line = if strip.is_final() {
        Line::new(0, Role::Bad, " cannot be undone: ").and(Role::Title, verb)
    } else {
        Line::new(0, Role::Title, format!(" {verb}"))
    };
    match strip.items.as_slice() {
        [item] => {
            let name = &item.change.target().name;
            let line = line.and(Role::Strip, format!(" {}", item.display));
            if item.display == *name { line } else { line.and(Role::Muted, format!("  {name}")) }
        }
        items => {
            let line = line.and(Role::Strip, format!(" {} hosts", number(items.len())));
            match &strip.whole {
                Some(name) => line.and(Role::Muted, format!("  all of {name} that match")),
                None => line,
            }
        }
    }
}

/// `set team=db on`, `remove team from`.
fn label_title(change: &LabelsChange) -> String {
    match change.labels.iter().next() {
        Some((key, (_, Some(value)))) if change.labels.len() == 1 => {
            format!("set {key}={} on", label_word(Some(value)))
        }
        Some((key, (_, None))) if change.labels.len() == 1 => format!("remove {key} from"),
        _ => "change labels of".to_owned(),
    }
}

fn stand(stand: &Stand) -> Line {
    let text = format!(
        " budget of {}: {} of {} away, {} left",
        stand.cluster,
        number(stand.away),
        number(stand.allowed),
        number(stand.left())
    );
    if stand.is_over() {
        let over = format!(" · this wants {}", number(stand.wanted));
        Line::new(4, Role::Warning, text + &over)
    } else {
        Line::new(4, Role::Muted, text)
    }
}

/// What would be refused, and how to go past that.
fn refused(strip: &Strip) -> Option<Line> {
    let blocked = strip.blocked();
    if blocked == 0 {
        return None;
    }
    // In a field p is a letter.
    let key = if strip.field == Field::Confirm { "  p" } else { "  esc p" };
    Some(if strip.items.len() == 1 {
        Line::new(2, Role::Warning, " against the rules: this goes past them")
    } else if strip.past {
        let text = format!(" {} go past budget and rules", number(blocked));
        Line::new(2, Role::Bad, text).and(Role::Key, key).and(Role::Muted, " keeps to them")
    } else {
        let text = format!(" {} of these would be refused", number(blocked));
        Line::new(2, Role::Warning, text).and(Role::Key, key).and(Role::Muted, " goes past that")
    })
}

/// Lines that the strip would like to have.
pub(super) fn height(model: &Model, strip: &Strip, width: u16) -> u16 {
    let parts = Parts::of(model, strip, width);
    let list = match strip.items.as_slice() {
        [item] => one(model, strip, item).len(),
        items => items.len().min(LIST),
    };
    let lines = parts.above.len() + parts.below.len() + parts.fixed() + list;
    u16::try_from(lines.max(6)).unwrap_or(6)
}

/// The lines of a strip that is for one host.
fn one(model: &Model, strip: &Strip, item: &Item) -> Vec<Line> {
    let (field, old, new) = difference(model, strip, item, true);
    let mut lines = vec![
        Line::new(1, Role::Muted, format!(" {field}: ")).and(Role::Strip, format!("{old} → {new}")),
    ];
    lines.extend(item.against.iter().map(|why| Line::new(2, Role::Bad, format!(" ! {why}"))));
    if !item.others.is_empty() {
        let others = item.others.iter().map(|(holder, hold)| {
            format!("{holder} until {} ({})", clock(model, hold), hold.reason)
        });
        let others = others.collect::<Vec<_>>().join(", ");
        lines.push(Line::new(5, Role::Muted, format!(" stays held by {others}")));
    } else if !item.notes.is_empty() {
        lines.push(Line::new(6, Role::Warning, format!(" note: {}", item.notes.join(", "))));
    }
    lines
}

pub(super) fn draw(
    model: &Model,
    strip: &Strip,
    theme: &Theme,
    area: Rect,
    buffer: &mut Buffer,
) -> Option<Position> {
    let base = theme.style(Role::Strip);
    buffer.set_style(area, base);
    if area.is_empty() {
        return None;
    }
    let style = |role: Role| if role == Role::Strip { base } else { base.patch(theme.style(role)) };
    let mut parts = Parts::of(model, strip, area.width);
    let height = usize::from(area.height);
    let single = strip.items.len() == 1;
    if let [item] = strip.items.as_slice() {
        let mut rest = parts.above.split_off(1.min(parts.above.len()));
        parts.above.extend(one(model, strip, item));
        parts.above.append(&mut rest);
    }
    let least = usize::from(!single);
    parts.fit(height.saturating_sub(parts.fixed() + least));

    let at = |y: u16| Rect { y: area.y + y, height: u16::from(y < area.height), ..area };
    let mut y: u16 = 0;
    let put = |line: &Line, y: &mut u16, buffer: &mut Buffer| {
        let mut pen = Pen::new(buffer, area, *y);
        for (text, role) in &line.spans {
            pen.put(text, style(*role));
        }
        *y += 1;
    };
    for line in &parts.above {
        put(line, &mut y, buffer);
    }
    if !single {
        let room = height.saturating_sub(usize::from(y) + parts.below.len() + parts.fixed());
        let first = strip.scroll.min(strip.items.len().saturating_sub(room));
        for item in strip.items.iter().skip(first).take(room) {
            list_line(model, strip, theme, item, at(y), buffer);
            y += 1;
        }
        if room < strip.items.len() && area.width >= 60 {
            let (from, to) = (number(first + 1), number(first + room));
            Pen::new(buffer, area, 0).right(&format!(" {from} to {to} "), style(Role::Muted));
        }
    }
    for line in &parts.below {
        put(line, &mut y, buffer);
    }
    let mut cursor = None;
    if parts.fields {
        cursor = fields(strip, theme, at(y), buffer);
        y += 1;
    }
    if parts.answer {
        cursor = cursor.or_else(|| answer(strip, theme, at(y), buffer));
    }
    keys(strip, theme, area, buffer);
    cursor
}

/// One host of many: sign, name, field: old → new, or why it would be refused.
fn list_line(
    model: &Model,
    strip: &Strip,
    theme: &Theme,
    item: &Item,
    area: Rect,
    buffer: &mut Buffer,
) {
    let base = theme.style(Role::Strip);
    let style = |role: Role| base.patch(theme.style(role));
    let width = usize::from(area.width);
    let name = (width / 3).clamp(10, 32);
    let mut pen = Pen::new(buffer, area, 0);
    pen.put(" ", base);
    let against = item.against.as_deref().filter(|_| !strip.past);
    pen.put(if against.is_some() { "✖ " } else { "  " }, style(Role::Bad));
    pen.cell(&item.display, name, base).put(" ", base);
    if item.moved {
        pen.put("changed ", style(Role::Warning));
    }
    if let Some(why) = against {
        pen.put(why, style(Role::Bad));
        return;
    }
    let (field, old, new) = difference(model, strip, item, false);
    if width >= 60 {
        pen.put(&format!("{field}: "), style(Role::Muted));
    }
    let text = format!("{old} → {new}");
    let text = cut(&text, pen.left()).into_owned();
    pen.put(&text, base);
}

/// The fields on one line; where they do not fit, the one that is being typed in.
fn fields(strip: &Strip, theme: &Theme, area: Rect, buffer: &mut Buffer) -> Option<Position> {
    let all: [(Field, &str, &Input); 3] = [
        (Field::Reason, " reason ", &strip.reason),
        (Field::Length, "  for ", &strip.length),
        (Field::Ticket, "  ticket ", &strip.ticket),
    ];
    let shown = all.into_iter().filter(|(field, ..)| strip.has(*field));
    let shown: Vec<(Field, &str, &Input)> = shown.collect();
    let width: usize = shown.iter().map(|(_, label, i)| label.width() + i.text().width() + 1).sum();
    let only = (width > usize::from(area.width)).then_some(match strip.field {
        Field::Confirm | Field::Answer => Field::Reason,
        field => field,
    });
    let base = theme.style(Role::Strip);
    let mut cursor = None;
    let mut pen = Pen::new(buffer, area, 0);
    for (field, label, input) in shown {
        if only.is_some_and(|only| only != field) {
            continue;
        }
        let active = strip.field == field;
        pen.put(label, base.patch(theme.style(Role::Muted)));
        let at = put_input(&mut pen, theme, input, active);
        if active {
            let x = at.min(area.right().saturating_sub(1));
            cursor = Some(Position { x, y: area.y });
        }
        pen.put(" ", base);
    }
    cursor
}

/// Writes a field, of a long text the end before the cursor; returns the cursor's column.
fn put_input(pen: &mut Pen<'_>, theme: &Theme, input: &Input, active: bool) -> u16 {
    let base = theme.style(Role::Strip);
    let style = base.patch(theme.style(if active { Role::Input } else { Role::Strip }));
    let (mut before, after) = input.halves();
    let room = pen.left().saturating_sub(1);
    while active && before.width() > room {
        let mut rest = before.chars();
        rest.next();
        before = rest.as_str();
    }
    pen.put(before, style);
    let column = pen.column();
    pen.put(after, style);
    column
}

/// What has to be typed.
fn answer(strip: &Strip, theme: &Theme, area: Rect, buffer: &mut Buffer) -> Option<Position> {
    let base = theme.style(Role::Strip);
    let Level::Type(wanted) = strip.level() else { return None };
    let style = |role: Role| base.patch(theme.style(role));
    let mut pen = Pen::new(buffer, area, 0);
    pen.put(" type ", style(Role::Warning)).put(&wanted, style(Role::Title)).put(" ", base);
    let active = strip.field == Field::Answer;
    let at = put_input(&mut pen, theme, &strip.answer, active);
    if strip.is_answered() {
        pen.put(" typed", style(Role::Ok));
    }
    let x = at.min(area.right().saturating_sub(1));
    active.then_some(Position { x, y: area.y })
}

fn keys(strip: &Strip, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let base = theme.style(Role::Strip);
    let key = base.patch(theme.style(Role::Key));
    let muted = base.patch(theme.style(Role::Muted));
    let mut pen = Pen::new(buffer, area, area.height.saturating_sub(1));
    pen.fill(base);
    let ready = strip.is_answered();
    match strip.field {
        Field::Confirm | Field::Answer if ready => {
            pen.put(" y", key).put(" confirm  ", base);
        }
        Field::Confirm => {
            pen.put(" y", muted).put(" after the typing  ", muted);
        }
        Field::Answer => {
            pen.put(" y", muted).put(" confirms when it is typed  ", muted);
        }
        _ => {
            pen.put(" enter", key).put(" done  ", base);
        }
    }
    if strip.field == Field::Confirm {
        pen.put("esc", key).put(" cancel", base);
    } else {
        pen.put("esc", key).put(" back", base);
    }
    let fields = [Field::Reason, Field::Length, Field::Ticket, Field::Answer];
    if fields.into_iter().any(|field| strip.has(field)) {
        let what = match (strip.field, strip.has(Field::Length)) {
            (Field::Confirm, true) => " reason, length, ticket",
            (Field::Confirm, false) => " reason",
            _ => " next field",
        };
        pen.put("  tab", key).put(what, base);
    }
    if strip.items.len() > 1 {
        pen.put("  ↑↓", key).put(" hosts", base);
    }
    if !matches!(strip.field, Field::Confirm | Field::Answer) {
        pen.put("  y", muted).put(" confirms after that", muted);
    }
}

/// The field that changes on a host, its old and its new value; `full`: with the reason.
fn difference(model: &Model, strip: &Strip, item: &Item, full: bool) -> (String, String, String) {
    match &item.change {
        Change::Hold(change) => {
            let new = match strip.verb {
                Verb::MaintenanceOn => strip.hold(model.now).ok(),
                _ => change.new.clone(),
            };
            let new = match (&new, strip.verb) {
                (None, Verb::MaintenanceOn) => "…".to_owned(),
                (new, _) => describe(model, new.as_ref(), full),
            };
            let field = format!("maintenance[{}]", change.holder);
            (field, describe(model, change.old.as_ref(), full), new)
        }
        Change::Run(change) => {
            let new =
                if change.new.cancel { "canceled".to_owned() } else { run(Some(&change.new)) };
            ("ansible".to_owned(), run(change.old.as_ref()), new)
        }
        Change::Labels(change) => {
            let side = |new: bool| {
                let value = |(old, after): &(Option<String>, Option<String>)| {
                    label_word(if new { after } else { old }.as_deref()).to_owned()
                };
                change.labels.values().map(value).collect::<Vec<_>>().join(", ")
            };
            let keys: Vec<&str> = change.labels.keys().map(String::as_str).collect();
            (keys.join(", "), side(false), side(true))
        }
    }
}

/// A run in a few words.
fn run(request: Option<&AnsibleRequest>) -> String {
    let Some(request) = request else { return "none".to_owned() };
    let check = request.check.then(|| "check mode".to_owned());
    let tags = (!request.tags.is_empty()).then(|| format!("tags {}", request.tags.join(" ")));
    let more: Vec<String> = check.into_iter().chain(tags).collect();
    if more.is_empty() {
        return request.playbook.clone();
    }
    format!("{} ({})", request.playbook, more.join(", "))
}

fn clock(model: &Model, hold: &Hold) -> String {
    hold.until.0.to_zoned(model.settings.time_zone.clone()).strftime("%a %d %b %H:%M").to_string()
}

fn describe(model: &Model, hold: Option<&Hold>, full: bool) -> String {
    let Some(hold) = hold else { return "none".to_owned() };
    let until = format!("until {}", clock(model, hold));
    if !full {
        return until;
    }
    let left = duration::short(hold.until.0.as_second() - model.now.as_second());
    let ticket = hold.ticket.as_ref().map(|t| format!(", {t}")).unwrap_or_default();
    format!("\"{}\" {until} (in {left}){ticket}", hold.reason)
}
