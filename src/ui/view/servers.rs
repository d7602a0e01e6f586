//! The API servers: the list, and one of them with its connection, who we are there, and what to do
//! next.

use ratatui::buffer::Buffer;

use super::certificates::when;
use super::detail::Rows;
use super::header::last_age;
use super::layout::Areas;
use super::list::{Cell, Column, ago, cell, column, or_dash, table};
use super::pen::number;
use crate::model::key::ServerId;
use crate::ui::actions::Action;
use crate::ui::app::{Link, Model, Pane, Server};
use crate::ui::theme::{Role, Theme};

const COLUMNS: [Column; 7] = [
    column("  STATE", 12, 0),
    column("CONTEXT", 0, 0),
    column("HOSTS", 9, 36),
    column("SINCE", 7, 28),
    column("WRITING", 12, 72),
    column("USER", 16, 96),
    column("WHY OR WHERE", 0, 56),
];

pub(super) fn draw(model: &Model, theme: &Theme, areas: &Areas, buffer: &mut Buffer) {
    if areas.rows.is_empty() {
        return;
    }
    let cursor = model.servers.spot.cursor;
    let lines = model.servers.lines();
    let lines = lines.map(|(id, server)| (cursor == Some(id), line(model, id, server)));
    table(theme, areas, &COLUMNS, lines, model.pane == Pane::Tree, buffer);
}

/// The role, the sign and the word of a connection.
fn state(link: &Link) -> (Role, &'static str, &'static str) {
    match link {
        Link::Connecting => (Role::Muted, "…", "connecting"),
        Link::Listing => (Role::Muted, "…", "loading"),
        Link::Live => (Role::Ok, "●", "live"),
        Link::Lost { .. } => (Role::Bad, "✖", "lost"),
        Link::Same(_) => (Role::Muted, "○", "not used"),
    }
}

/// What is to be said of a connection.
fn why(model: &Model, server: &Server) -> String {
    let why = match &server.link {
        Link::Lost { reason, .. } => reason.clone(),
        Link::Same(kept) => {
            format!(
                "the same server as {}: its hosts are shown once",
                model.servers.get(*kept).name()
            )
        }
        Link::Connecting | Link::Listing | Link::Live => server.settings.url.clone(),
    };
    match last_age(model, server) {
        Some(age) => format!("hosts as of {age} ago · {why}"),
        None => why,
    }
}

fn writing(server: &Server) -> (&'static str, Role) {
    match (server.armed, server.armed_until) {
        (false, _) => ("read-only", Role::Warning),
        (true, Some(_)) => ("for a while", Role::Warning),
        (true, None) => ("armed", Role::Muted),
    }
}

fn line<'a>(model: &'a Model, id: ServerId, server: &'a Server) -> Vec<Cell<'a>> {
    let (role, sign, word) = state(&server.link);
    let prod = if server.settings.production { " PROD" } else { "" };
    let (writing, writing_role) = writing(server);
    let why_role = if server.is_lost() { Role::Warning } else { Role::Muted };
    vec![
        cell(format!("{sign} {word}"), role),
        cell(format!("{}{prod}", server.name()), Role::Text),
        cell(number(model.inventory.hosts_on(id)), Role::Text),
        cell(ago(model, Some(server.since)), Role::Text),
        cell(writing, writing_role),
        cell(or_dash(server.user.as_deref().unwrap_or_default()), Role::Muted),
        cell(why(model, server), why_role),
    ]
}

/// The server under the cursor, for the detail pane; its title.
pub(super) fn detail(model: &Model, rows: &mut Rows) -> Option<String> {
    let id = model.servers.spot.cursor?;
    let server = model.servers.get(id);
    let (role, sign, word) = state(&server.link);
    rows.styled("state", format!("{sign} {word}"), role);
    rows.add("since", when(model, server.since));
    match &server.link {
        Link::Lost { reason, attempts, .. } => {
            rows.styled("why", reason.as_str(), Role::Warning);
            rows.add("attempts", number(usize::try_from(*attempts).unwrap_or(usize::MAX)));
            rows.maybe("next", server.hint.as_deref());
            let key = model.settings.keymap.shown(Action::Reconnect);
            rows.add("", format!("{key} tries now; it is tried again all the time"));
            let shown = "its hosts stay as they were seen last; none can be changed";
            let some = model.inventory.hosts_on(id) > 0 && server.last.shown.is_none();
            rows.add("so", if some { shown } else { "" });
        }
        Link::Same(_) => rows.styled("why", why(model, server), Role::Muted),
        Link::Listing => {
            let expected = server.expected.map(|all| format!("of {}", number(all)));
            rows.maybe("loading", expected.as_deref());
        }
        Link::Connecting | Link::Live => {}
    }
    if let Some(made) = server.last.shown {
        rows.styled(
            "shown",
            format!("the last known hosts, as of {}", when(model, made)),
            Role::Warning,
        );
        rows.add("", "none can be changed until its list has come");
    }
    rows.add("hosts", number(model.inventory.hosts_on(id)));
    rows.heading("Server");
    rows.add("url", server.settings.url.as_str());
    let namespace = server.settings.namespace.as_deref().unwrap_or("all");
    rows.add("namespace", namespace);
    if server.settings.production {
        rows.styled("marked", "production", Role::Warning);
    }
    rows.heading("You");
    match (&server.user, &server.holder_problem) {
        (Some(user), _) => rows.add("user", user.as_str()),
        (None, Some(problem)) => rows.styled("user", problem.as_str(), Role::Warning),
        (None, None) => rows.styled("user", "it has not told yet", Role::Muted),
    }
    let (word, role) = writing(server);
    let key = model.settings.keymap.shown(Action::Arm);
    rows.styled("writing", format!("{word} · {key} changes it"), role);
    for ((verb, resource), may) in &server.may {
        let (word, role) =
            if *may { ("you may", Role::Text) } else { ("you may not", Role::Warning) };
        rows.styled("", format!("{word} {verb} {resource}"), role);
    }
    if let Some(missing) = &server.missing {
        rows.styled("", format!("you may not {missing}"), Role::Muted);
    }
    let problems = [
        ("clusters", model.clusters.problem(id)),
        ("sources", model.sources.problem(id)),
        ("certificates", model.certificates.problem(id)),
    ];
    if problems.iter().any(|(_, problem)| problem.is_some()) {
        rows.heading("What cannot be followed");
        for (name, problem) in problems {
            rows.maybe(name, problem);
        }
    }
    Some(server.name().to_owned())
}
