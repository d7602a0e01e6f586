//! The journal: what this person did, and what came of each target.

use std::collections::BTreeMap;

use ratatui::buffer::Buffer;

use super::detail::Rows;
use super::layout::Areas;
use super::list::{Cell, Column, ago, cell, column, nothing, table};
use super::pen::number;
use crate::journal::{Record, Target};
use crate::ui::app::{Model, Pane};
use crate::ui::theme::{Role, Theme};

/// Targets that the detail pane names.
const NAMED: usize = 1_000;

const COLUMNS: [Column; 7] = [
    column("AGO", 7, 0),
    column("WHEN", 15, 84),
    column("WHAT", 17, 34),
    column("TARGETS", 0, 0),
    column("RESULT", 0, 52),
    column("CONTEXT", 12, 110),
    column("REASON", 0, 70),
];

pub(super) fn draw(model: &Model, theme: &Theme, areas: &Areas, buffer: &mut Buffer) {
    if areas.rows.is_empty() {
        return;
    }
    let journal = &model.journal;
    if let Some(problem) = journal.problem.as_deref().filter(|_| journal.records.is_empty()) {
        return nothing(theme, areas.rows, &["the journal cannot be read", problem], buffer);
    }
    if journal.records.is_empty() {
        let lines = if journal.read {
            ["you have done nothing yet", "what you change is written down here"]
        } else {
            ["reading…", ""]
        };
        return nothing(theme, areas.rows, &lines, buffer);
    }
    let top = journal.spot.top.as_ref();
    let first = journal.records.iter().position(|record| Some(&record.entry.id) == top);
    let lines = journal.records.iter().skip(first.unwrap_or(0)).map(|record| {
        (journal.spot.cursor.as_ref() == Some(&record.entry.id), line(model, record))
    });
    table(theme, areas, &COLUMNS, lines, model.pane == Pane::Tree, buffer);
}

fn line<'a>(model: &Model, record: &'a Record) -> Vec<Cell<'a>> {
    let entry = &record.entry;
    let at = entry.at.to_zoned(model.settings.time_zone.clone());
    let targets = match record.targets.as_slice() {
        [] => "-".to_owned(),
        [one] => one.name.clone(),
        [first, rest @ ..] => format!("{} and {} more", first.name, number(rest.len())),
    };
    let (results, role) = results(record);
    vec![
        cell(ago(model, Some(entry.at)), Role::Text),
        cell(at.strftime("%m-%d %H:%M:%S").to_string(), Role::Muted),
        cell(entry.verb.as_str(), Role::Key),
        cell(targets, Role::Text),
        cell(results, role),
        cell(entry.context.as_str(), Role::Muted),
        cell(entry.reason.as_str(), Role::Muted),
    ]
}

/// The role of what came of a target.
fn role(result: &str) -> Role {
    match result {
        "done" => Role::Ok,
        "conflict" | "gone" | "not-tried" => Role::Warning,
        "" => Role::Muted,
        _ => Role::Bad,
    }
}

/// How many targets came to what, and the role of the worst of it.
fn results(record: &Record) -> (String, Role) {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for target in &record.targets {
        *counts.entry(target.result.as_deref().unwrap_or_default()).or_default() += 1;
    }
    let worst = counts.keys().map(|result| role(result));
    let worst = worst.max_by_key(|role| match role {
        Role::Ok => 0,
        Role::Muted => 1,
        Role::Warning => 2,
        _ => 3,
    });
    let open = if record.ended_at.is_some() { "not known" } else { "open" };
    let single = record.targets.len() == 1;
    let words = counts.into_iter().map(|(result, n)| {
        let word = if result.is_empty() { open } else { result };
        if single { word.to_owned() } else { format!("{} {word}", number(n)) }
    });
    (words.collect::<Vec<_>>().join(" · "), worst.unwrap_or(Role::Muted))
}

/// The order under the cursor, for the detail pane; its title.
pub(super) fn detail(model: &Model, rows: &mut Rows) -> Option<String> {
    let record = model.journal.record()?;
    let entry = &record.entry;
    let clock = |at: jiff::Timestamp| {
        at.to_zoned(model.settings.time_zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
    };
    rows.add("when", clock(entry.at));
    match (record.ended_at, &entry.ended) {
        (Some(_), Some(why)) => rows.styled("ended early", why.as_str(), Role::Warning),
        (Some(at), None) => rows.add("ended", clock(at)),
        (None, _) => rows.styled("ended", "not yet, or it was cut off", Role::Warning),
    }
    rows.add("as", entry.user.as_str());
    rows.add("on", format!("{} · {}", entry.context, entry.server));
    rows.add("reason", entry.reason.as_str());
    rows.maybe("ticket", entry.ticket.as_deref());
    if entry.overrides {
        rows.styled("override", "rules and budget were passed by", Role::Warning);
    }
    rows.heading(&format!("Targets: {}", results(record).0));
    for target in record.targets.iter().take(NAMED) {
        outcome(target, record.ended_at.is_some(), rows);
    }
    if record.targets.len() > NAMED {
        rows.add("", format!("and {} more", number(record.targets.len() - NAMED)));
    }
    Some(format!("{} · {}", entry.verb, entry.id))
}

fn outcome(target: &Target, ended: bool, rows: &mut Rows) {
    let result = target.result.as_deref().unwrap_or_default();
    let word = match result {
        "" if ended => "not known",
        "" => "open",
        word => word,
    };
    let mut text = format!("{word} · {}", target.name);
    if let Some(detail) = target.detail.as_deref().filter(|detail| !detail.is_empty()) {
        text = format!("{text}: {detail}");
    }
    rows.styled(&target.namespace, text, role(result));
}

#[cfg(test)]
mod tests;
