//! What changed lately across the fleet: when, which host, what, old → new, who.

use std::borrow::Cow;

use ratatui::buffer::Buffer;

use super::layout::Areas;
use super::list::{Cell, Column, ago, cell, column, nothing, or_dash, table};
use crate::model::changes::{Changed, Field};
use crate::ui::app::{Model, Pane};
use crate::ui::theme::{Role, Theme};

const COLUMNS: [Column; 7] = [
    column("AGO", 5, 0),
    column("HOST", 0, 0),
    column("WHAT", 12, 30),
    column("OLD → NEW", 0, 0),
    column("TIMES", 6, 90),
    column("CLUSTER", 14, 110),
    column("WRITER", 16, 76),
];

pub(super) fn draw(model: &Model, theme: &Theme, areas: &Areas, buffer: &mut Buffer) {
    if areas.rows.is_empty() {
        return;
    }
    let (shown, all) = model.changes_len();
    if shown == 0 {
        let lines = if !model.servers.any_synced() {
            ["loading…", ""]
        } else if all > 0 {
            ["no change here matches the filter", "esc clears it, 0 shows everything"]
        } else {
            ["nothing has changed", "what changes while this runs is kept for 15 minutes"]
        };
        return nothing(theme, areas.rows, &lines, buffer);
    }
    let cursor = model.changes_view.spot.cursor.as_ref();
    let lines = model.changes_shown().take(usize::from(areas.rows.height)).map(|entry| {
        let selected =
            cursor.is_some_and(|(uid, field)| *uid == entry.uid && *field == entry.field);
        (selected, line(model, entry))
    });
    table(theme, areas, &COLUMNS, lines, model.pane == Pane::Tree, buffer);
}

fn line<'a>(model: &'a Model, entry: &'a Changed) -> Vec<Cell<'a>> {
    let value = |text: &'a str| if text.is_empty() { "none" } else { text };
    let (role, text) = match entry.field {
        Field::Host => (Role::Title, Cow::Borrowed(&*entry.new)),
        Field::Deletion => (Role::Warning, Cow::Borrowed(&*entry.new)),
        _ => {
            let text = format!("{} → {}", value(&entry.old), value(&entry.new));
            (colour(entry), Cow::Owned(text))
        }
    };
    // Of a label its name says enough; the domain is for the page.
    let field = entry.field.as_str();
    let field = field.rsplit_once('/').map_or(field, |(_, name)| name);
    let times = if entry.times > 1 { format!("×{}", entry.times) } else { String::new() };
    // Of our own services the rest of the name says enough.
    let who = entry.who.as_deref().unwrap_or_default();
    let who = who.strip_prefix("inv-tui-").unwrap_or(who);
    let cluster = model.inventory.get(&entry.uid).map_or("", |row| row.cluster());
    vec![
        cell(ago(model, Some(entry.at)), Role::Muted),
        cell(model.with_server(entry.uid.server(), &entry.display), Role::Text),
        cell(field, Role::Muted),
        cell(text, role),
        cell(times, Role::Muted),
        cell(or_dash(cluster), Role::Muted),
        cell(or_dash(who), Role::Muted),
    ]
}

/// How the new value is, as far as its word says.
fn colour(entry: &Changed) -> Role {
    match (&entry.field, &*entry.new) {
        (Field::Health, "ok")
        | (Field::State, "Running")
        | (Field::Ready, "yes")
        | (Field::Agent, "answers") => Role::Ok,
        (Field::State, "Maintenance") => Role::Maintenance,
        (Field::Agent, "silent") | (Field::State, "Unreachable" | "Missing" | "Gone") => Role::Bad,
        (Field::State, "Stopped") => Role::Stopped,
        (Field::Run, run) if run.ends_with("Failed") => Role::Bad,
        (Field::Maintenance, new) if !new.is_empty() => Role::Maintenance,
        _ => Role::Text,
    }
}
