//! The detail pane: everything of the host under the cursor that a person asks first; of a region
//! or cluster, its counts.

use jiff::Timestamp;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use unicode_width::UnicodeWidthStr;

use super::pen::{Pen, cut, number, wrap};
use super::tree::sign;
use crate::model::condition::{self, IN_SERVICE};
use crate::model::duration;
use crate::model::host::Host;
use crate::model::inventory::Counts;
use crate::model::inventory::Line as TreeLine;
use crate::model::key::NodeKey;
use crate::model::labels;
use crate::model::row::{Health, HostRow};
use crate::ui::app::{Model, Pane, View};
use crate::ui::theme::{Role, Theme};

mod decommission;
mod run;

/// Columns of the names on the left.
pub(super) const NAME: usize = 15;

/// One line: a name, a text, and the role of the text. A line without a name and with a text that
/// is a block stands over the whole width.
struct Row {
    name: String,
    text: String,
    role: Role,
    block: bool,
}

/// The lines of the pane, collected before they are cut to the screen.
#[derive(Default)]
pub(super) struct Rows {
    rows: Vec<Row>,
}

impl Rows {
    pub(super) fn add(&mut self, name: &str, text: impl Into<String>) {
        self.styled(name, text, Role::Text);
    }

    pub(super) fn styled(&mut self, name: &str, text: impl Into<String>, role: Role) {
        let text = text.into();
        if !text.is_empty() {
            self.rows.push(Row { name: name.to_owned(), text, role, block: false });
        }
    }

    pub(super) fn maybe(&mut self, name: &str, text: Option<&str>) {
        self.add(name, text.unwrap_or_default());
    }

    pub(super) fn heading(&mut self, text: &str) {
        for (name, role) in [("", Role::Text), (text, Role::Title)] {
            self.rows.push(Row { name: name.to_owned(), text: String::new(), role, block: false });
        }
    }

    /// Text in lines of its own, as the end of a log is.
    pub(super) fn block(&mut self, text: &str, role: Role) {
        for line in text.lines() {
            let text = line.replace('\t', "    ");
            self.rows.push(Row { name: String::new(), text, role, block: true });
        }
    }

    /// The lines broken to this many columns.
    pub(super) fn lines(&self, width: usize) -> Vec<Line> {
        let beside = width.saturating_sub(NAME + 1).max(4);
        let mut lines = Vec::new();
        for row in &self.rows {
            if row.block {
                let parts = wrap(&row.text, width.max(4));
                lines.extend(parts.into_iter().map(|part| vec![(part, row.role)]));
            } else if row.text.is_empty() {
                lines.push(vec![(row.name.clone(), row.role)]);
            } else {
                for (i, part) in wrap(&row.text, beside).into_iter().enumerate() {
                    let name = cut(if i == 0 { &row.name } else { "" }, NAME);
                    let gap = (NAME + 1).saturating_sub(name.width());
                    let name = format!("{name}{}", " ".repeat(gap));
                    lines.push(vec![(name, Role::Muted), (part, row.role)]);
                }
            }
        }
        lines
    }
}

/// A line of the screen: texts one after the other, each with its role.
pub(super) type Line = Vec<(String, Role)>;

pub(super) fn draw(model: &Model, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    if area.width < 8 || area.is_empty() {
        return;
    }
    let border = theme.style(if model.pane == Pane::Detail { Role::Key } else { Role::Border });
    for y in 0..area.height {
        Pen::new(buffer, area, y).put("│", border);
    }
    let Some((title, rows)) = content(model) else { return };
    let body = body(area);
    let top = Rect { y: area.y, height: 1, ..body };
    Pen::new(buffer, top, 0).put(&title, theme.style(Role::Title));
    paint(theme, &rows, model.detail.scroll, body, buffer);
}

/// Where the lines are, below the title.
fn body(area: Rect) -> Rect {
    Rect {
        x: area.x.saturating_add(2),
        y: area.y.saturating_add(1),
        width: area.width.saturating_sub(3),
        height: area.height.saturating_sub(1),
    }
}

/// How many lines are above the screen when the last one is on it.
pub fn end(model: &Model) -> usize {
    let body = body(model.areas().detail);
    let lines = content(model).map_or(0, |(_, rows)| rows.lines(usize::from(body.width)).len());
    lines.saturating_sub(usize::from(body.height))
}

/// The title and what stands below it.
fn content(model: &Model) -> Option<(String, Rows)> {
    let mut rows = Rows::default();
    let title = match &model.node() {
        None => match model.views.now {
            View::Certificates => super::certificates::detail(model, &mut rows),
            View::Sources => super::sources::detail(model, &mut rows),
            View::Servers => super::servers::detail(model, &mut rows),
            View::Journal => super::journal::detail(model, &mut rows),
            View::Fleet | View::Maintenance | View::Runs | View::Problems | View::Changes => None,
        }?,
        Some(NodeKey::Host(_)) => {
            let row = model.host()?;
            host(model, row, model.detail.of(row.uid()), &mut rows);
            row.display().to_owned()
        }
        Some(node) => {
            let line = model.inventory.line(&model.folds, node);
            let Some(TreeLine::Group { name, counts, .. }) = line else { return None };
            group(model, counts, &mut rows);
            name.into_owned()
        }
    };
    Some((title, rows))
}

/// Draws the lines from `scroll` on, broken to the width.
fn paint(theme: &Theme, rows: &Rows, scroll: usize, area: Rect, buffer: &mut Buffer) {
    let lines = rows.lines(usize::from(area.width));
    let last = lines.len().saturating_sub(usize::from(area.height));
    for (y, line) in (0_u16..area.height).zip(lines.iter().skip(scroll.min(last))) {
        let mut pen = Pen::new(buffer, area, y);
        for (text, role) in line {
            pen.put(text, theme.style(*role));
        }
    }
}

fn group(model: &Model, counts: Counts, rows: &mut Rows) {
    rows.add("hosts", number(counts.total as usize));
    if model.inventory.is_filtered() {
        rows.add("matching", number(counts.matched as usize));
    }
    for health in Health::ALL {
        let n = counts.with(health);
        if n > 0 {
            let (role, sign) = sign(health);
            rows.styled(&format!("{sign} {}", health.as_str()), number(n as usize), role);
        }
    }
}

pub(super) fn host(model: &Model, row: &HostRow, object: Option<&Host>, rows: &mut Rows) {
    let (role, sign) = sign(row.health());
    let reason = match row.ready_reason() {
        "" => String::new(),
        reason => format!(" · {reason}"),
    };
    rows.styled("state", format!("{sign} {}{reason}", row.phase().as_str()), role);
    if let Some(problem) = row.problem() {
        rows.styled("unreadable", problem, Role::Bad);
    }
    if let Some(host) = object.filter(|_| row.is_deleting()) {
        decommission::summary(host, rows);
    }
    for hold in row.holds() {
        let until = hold
            .until
            .to_zoned(model.settings.time_zone.clone())
            .strftime("%a %d %b %H:%M")
            .to_string();
        let left = hold.until.as_second() - model.now.as_second();
        let when = if left > 0 {
            format!("until {until} (in {})", duration::short(left))
        } else {
            format!("ran out {until}")
        };
        rows.styled(
            "held by",
            format!("{} {when}: {}", hold.holder, hold.reason),
            if left > 0 { Role::Maintenance } else { Role::Warning },
        );
        rows.maybe("ticket", hold.exact.ticket.as_deref());
    }
    // In the list of runs it is the run that one looks for.
    let run_first = model.views.now == View::Runs;
    if let Some(run) = row.run() {
        run::summary(model, run, rows);
    }
    if let Some(host) = object.filter(|_| run_first) {
        run::whole(model, host, rows);
        rows.heading("Host");
    }
    rows.add("name", row.name());
    rows.add("region", row.region());
    rows.add("cluster", row.cluster());
    rows.add("role", row.role());
    rows.add("team", row.team());
    rows.add("environment", row.environment());
    match (object, &model.detail.problem) {
        (Some(host), _) => whole(model, host, rows),
        (None, Some(problem)) => rows.styled("details", problem.as_str(), Role::Warning),
        (None, None) => {
            rows.maybe("address", row.address());
            rows.maybe("provider id", row.provider_id());
            let last = model.servers.is_last(row.uid().server());
            let word = if last { "not kept" } else { "loading…" };
            rows.styled("details", word, Role::Muted);
        }
    }
}

/// What only the whole object knows.
fn whole(model: &Model, host: &Host, rows: &mut Rows) {
    let ago = |time: Timestamp| {
        let age = duration::short(model.now.as_second() - time.as_second());
        let at = time.to_zoned(model.settings.time_zone.clone());
        format!("{} ({age} ago)", at.strftime("%Y-%m-%d %H:%M"))
    };
    let status = host.status.clone().unwrap_or_default();
    let word = host.spec.service_state.as_str().to_owned();
    rows.add(
        "service",
        match condition::find(&status.conditions, IN_SERVICE) {
            Some(said) if said.reason == word => {
                format!("{word} since {}", ago(said.last_transition_time.0))
            }
            Some(said) => {
                format!("{word}, {} since {}", said.reason, ago(said.last_transition_time.0))
            }
            None => word,
        },
    );
    for address in &status.addresses {
        rows.add(&format!("{:?}", address.type_), address.address.clone());
    }
    rows.maybe("provider id", host.spec.provider_id.as_deref());
    if let Some(hardware) = &status.hardware {
        let parts = [
            hardware.instance_type.clone(),
            hardware.arch.clone(),
            hardware.cpus.map(|n| format!("{n} CPUs")),
            hardware.memory_mib.map(|n| format!("{n} MiB")),
        ];
        rows.add("hardware", parts.into_iter().flatten().collect::<Vec<_>>().join(" · "));
        rows.maybe("serial", hardware.serial.as_deref());
    }
    if let Some(time) = &status.launch_time {
        rows.add("launched", ago(time.0));
    }
    if let Some(time) = &host.metadata.creation_timestamp {
        rows.add("first seen", ago(time.0));
    }
    for event in &status.scheduled_events {
        let when =
            event.not_before.as_ref().map(|t| format!(" from {}", ago(t.0))).unwrap_or_default();
        rows.styled("planned", format!("{}{when}", event.code), Role::Warning);
    }
    if model.views.now != View::Runs {
        run::whole(model, host, rows);
    }
    decommission::whole(model, host, rows);
    run::operations(model, &status.operations, rows);
    if !status.conditions.is_empty() {
        rows.heading("Conditions");
        for c in &status.conditions {
            let message =
                if c.message.is_empty() { String::new() } else { format!(": {}", c.message) };
            rows.add(
                &c.type_,
                format!(
                    "{} · {}{message}, since {}",
                    c.status,
                    c.reason,
                    ago(c.last_transition_time.0)
                ),
            );
        }
    }
    if !status.sources.is_empty() {
        rows.heading("Sources");
        for (name, facts) in &status.sources {
            let raw = facts.raw_state.as_deref().map(|r| format!(" ({r})")).unwrap_or_default();
            let since =
                facts.since.as_ref().map(|t| format!(" since {}", ago(t.0))).unwrap_or_default();
            rows.add(name, format!("{}{raw}{since}", facts.state.as_str()));
            rows.maybe("", facts.url.as_deref());
        }
    }
    if let Some(own) = host.metadata.labels.as_ref().filter(|l| !l.is_empty()) {
        rows.heading("Labels");
        for (key, value) in own {
            let short = key.rsplit_once('/').map_or(key.as_str(), |(_, name)| name);
            rows.add(short, if value.is_empty() { "\"\"".to_owned() } else { value.clone() });
        }
    }
    let annotations = host.metadata.annotations.clone().unwrap_or_default();
    if let Some(tags) = annotations.get(labels::TAGS) {
        rows.heading("Tags");
        match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(tags) {
            Ok(tags) => {
                for (key, value) in tags {
                    rows.add(
                        &key,
                        value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned),
                    );
                }
            }
            Err(_) => rows.add("tags", tags.clone()),
        }
    }
    if let Some(reason) = annotations.get(labels::PROTECT) {
        rows.styled("protected", reason.clone(), Role::Warning);
    }
}
