//! Sources: the list, and one of them with its scopes, what its fetcher says, and what to do next.

use std::fmt::Write as _;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use ratatui::buffer::Buffer;

use super::certificates::when;
use super::detail::Rows;
use super::layout::Areas;
use super::list::{Cell, Column, ago, cell, column, nothing, put_server, table, with_server};
use super::pen::number;
use crate::model::condition::{BREAKER_OPEN, FALSE, HEALTHY, TRUE, find};
use crate::model::duration;
use crate::model::source::{CredentialsReference, ScopeStatus, Source, SourceStatus, State};
use crate::ui::actions::Action;
use crate::ui::app::{Model, Pane};
use crate::ui::theme::{Role, Theme};

const COLUMNS: [Column; 12] = [
    column("  STATE", 16, 0),
    column("SOURCE", 0, 0),
    column("TYPE", 12, 92),
    column("PASS", 7, 28),
    column("TOOK", 7, 104),
    column("SEEN", 8, 42),
    column("NEW", 6, 80),
    column("CHANGED", 8, 72),
    column("MISSING", 8, 64),
    column("GONE", 6, 64),
    column("ERRORS", 7, 50),
    column("WHY", 0, 124),
];

pub(super) fn draw(model: &Model, theme: &Theme, areas: &Areas, buffer: &mut Buffer) {
    if areas.rows.is_empty() {
        return;
    }
    let sources = &model.sources;
    if sources.len().0 == 0 {
        let lines = match (sources.any_problem(), sources.synced()) {
            (Some(problem), _) => ["sources cannot be shown", problem],
            (None, false) => ["loading…", ""],
            (None, true) => [
                "no source yet",
                "inv-tui --headless fetch brings hosts from one and says here how it went",
            ],
        };
        return nothing(theme, areas.rows, &lines, buffer);
    }
    let cursor = sources.spot.cursor.as_ref();
    let lines = sources.lines().map(|(key, state, source)| {
        let mut cells = line(model, state, source);
        put_server(model, key.0, 2, &mut cells);
        (cursor == Some(key), cells)
    });
    let columns = with_server(model, &COLUMNS, 2);
    table(theme, areas, &columns, lines, model.pane == Pane::Tree, buffer);
}

/// The role and the sign of a source.
fn sign(state: State) -> (Role, &'static str) {
    match state {
        State::BreakerOpen | State::NotRead => (Role::Bad, "✖"),
        State::Stale => (Role::Warning, "○"),
        State::Incomplete => (Role::Warning, "▲"),
        State::NeverPassed => (Role::Muted, "…"),
        State::Healthy => (Role::Ok, "●"),
    }
}

fn line<'a>(model: &Model, state: State, source: &'a Source) -> Vec<Cell<'a>> {
    let (role, sign) = sign(state);
    let status = source.status.as_ref();
    let count = |pick: fn(&SourceStatus) -> Option<i32>, alarming: Role| {
        let n = status.and_then(pick);
        let role = if n.is_some_and(|n| n > 0) { alarming } else { Role::Muted };
        cell(n.map_or_else(|| "-".to_owned(), counted), role)
    };
    let why = healthy(source).filter(|healthy| healthy.status == FALSE);
    vec![
        cell(format!("{sign} {}", state.as_str()), role),
        cell(source.metadata.name.as_deref().unwrap_or_default(), Role::Text),
        cell(source.spec.type_.as_str(), Role::Muted),
        cell(
            ago(model, status.and_then(|status| Some(status.last_pass.as_ref()?.0))),
            if state == State::Stale { Role::Warning } else { Role::Text },
        ),
        cell(took(status.and_then(|status| status.duration_millis)), Role::Muted),
        count(|status| status.seen, Role::Text),
        count(|status| status.created, Role::Text),
        count(|status| status.changed, Role::Text),
        count(|status| status.missing, Role::Warning),
        count(|status| status.gone, Role::Warning),
        count(|status| status.errors, Role::Bad),
        cell(why.map_or("", |why| why.message.as_str()), Role::Muted),
    ]
}

fn counted(n: i32) -> String {
    number(usize::try_from(n).unwrap_or(0))
}

/// A length in milliseconds: `240ms`, `4.2s`, `3m10s`.
fn took(millis: Option<i64>) -> String {
    match millis {
        None => "-".to_owned(),
        Some(millis @ ..1_000) => format!("{}ms", millis.max(0)),
        Some(millis @ ..60_000) => format!("{}.{}s", millis / 1_000, millis % 1_000 / 100),
        Some(millis) => duration::short(millis / 1_000),
    }
}

fn conditions(source: &Source) -> &[Condition] {
    source.status.as_ref().map_or(&[], |status| &status.conditions)
}

fn healthy(source: &Source) -> Option<&Condition> {
    find(conditions(source), HEALTHY)
}

/// The source under the cursor, for the detail pane; its title.
pub(super) fn detail(model: &Model, rows: &mut Rows) -> Option<String> {
    let (state, source) = model.sources.source()?;
    if model.servers.several() {
        let server = model.sources.spot.cursor.as_ref().map(|(server, ..)| *server)?;
        rows.add("server", model.servers.get(server).name());
    }
    let (role, sign) = sign(state);
    rows.styled("state", format!("{sign} {}", state.as_str()), role);
    advice(model, state, source, rows);
    let status = source.status.clone().unwrap_or_default();
    let last = status.last_pass.as_ref().map(|time| when(model, time.0));
    let role = if source.is_late(model.now) { Role::Warning } else { Role::Text };
    rows.styled("last pass", last.as_deref().unwrap_or("none has ended yet"), role);
    if status.duration_millis.is_some() {
        rows.add("took", took(status.duration_millis));
    }
    let counts = [
        ("seen", status.seen),
        ("new", status.created),
        ("changed", status.changed),
        ("missing", status.missing),
        ("gone", status.gone),
        ("errors", status.errors),
    ];
    for (name, n) in counts {
        rows.add(name, n.map(counted).unwrap_or_default());
    }
    if !status.scopes.is_empty() {
        rows.heading("Scopes");
        for scope in &status.scopes {
            one(model, scope, rows);
        }
    }
    if !status.conditions.is_empty() {
        rows.heading("Conditions");
        for c in &status.conditions {
            let since = when(model, c.last_transition_time.0);
            // What stands above is not said again.
            let said = c.type_ == BREAKER_OPEN && c.status == TRUE
                || c.type_ == HEALTHY && matches!(state, State::NotRead | State::Incomplete);
            let message = if said || c.message.is_empty() {
                String::new()
            } else {
                format!(": {}", c.message)
            };
            rows.add(&c.type_, format!("{} · {}{message}, since {since}", c.status, c.reason));
        }
    }
    set_up(source, rows);
    source.metadata.name.clone()
}

/// What has happened and what to do next, where there is something to do.
fn advice(model: &Model, state: State, source: &Source, rows: &mut Rows) {
    let open = find(conditions(source), BREAKER_OPEN).filter(|open| open.status == TRUE);
    if let Some(open) = open {
        rows.styled("not believed", open.message.as_str(), Role::Warning);
        rows.add("", format!("since {}", when(model, open.last_transition_time.0)));
        rows.add("so", "nothing was marked: its hosts stay as they were seen last");
        let name = source.metadata.name.as_deref().unwrap_or_default();
        let flags = source.unbelieved().fold(String::new(), |mut flags, scope| {
            let _ = write!(flags, " --accept-loss {name}/{}", scope.name);
            flags
        });
        rows.add("next", "look at the account, its permissions and filters");
        if !flags.is_empty() {
            let text = format!("if they are really gone, start its fetcher once with{flags}");
            rows.add("", text);
        }
    }
    match state {
        State::NotRead | State::Incomplete => {
            let why = healthy(source).map_or("", |healthy| &healthy.message);
            rows.styled("why", why, Role::Warning);
            let text = "absence proves nothing: no host of what was not read was marked";
            rows.add("so", text);
        }
        State::Stale => {
            let every = source.spec.interval.as_deref().unwrap_or_default();
            rows.styled("why", format!("a pass is due every {every}"), Role::Warning);
            rows.add("next", "look whether its fetcher runs, and at its log");
        }
        State::NeverPassed => {
            rows.add("next", "inv-tui --headless fetch, with this source, reads it");
        }
        State::BreakerOpen | State::Healthy => {}
    }
}

/// One scope with its last pass.
fn one(model: &Model, scope: &ScopeStatus, rows: &mut Rows) {
    let (role, sign) =
        if scope.error.is_some() { (Role::Warning, "▲") } else { (Role::Text, "●") };
    let complete = match &scope.last_complete {
        Some(time) => format!("complete {} ago", ago(model, Some(time.0))),
        None => "never complete".to_owned(),
    };
    let mut text = format!("{sign} {complete}, {} seen", counted(scope.seen));
    let more = [
        (scope.created, "new"),
        (scope.changed, "changed"),
        (scope.missing, "missing"),
        (scope.gone, "gone"),
        (scope.failed, "failed"),
    ];
    for (n, word) in more.into_iter().filter(|(n, _)| *n > 0) {
        let _ = write!(text, ", {} {word}", counted(n));
    }
    if scope.duration_millis.is_some() {
        let _ = write!(text, ", {}", took(scope.duration_millis));
    }
    rows.styled(&scope.name, text, role);
    rows.styled("", scope.error.as_deref().unwrap_or_default(), Role::Bad);
}

/// How it is set up, as far as its object says.
fn set_up(source: &Source, rows: &mut Rows) {
    let spec = &source.spec;
    rows.heading("Set-up");
    rows.add("type", spec.type_.as_str());
    match source.interval_seconds() {
        Some(_) => rows.maybe("interval", spec.interval.as_deref()),
        None => rows.styled("interval", "not stated: it is never called stale", Role::Muted),
    }
    // Never what it refers to: a secret may stand there by mistake.
    rows.maybe("credentials", spec.credentials.as_ref().map(kind));
    rows.add("scopes", spec.scopes.join(", "));
    if let Some(breaker) = &spec.breaker {
        let (percent, least) = (breaker.max_gone_percent, breaker.min_hosts);
        rows.add("breaker", format!("more than {percent} % and more than {least} hosts"));
    }
    rows.maybe("kept when gone", spec.grace.as_deref());
    for (field, tag) in &spec.mapping {
        rows.add("mapping", format!("{field} = {tag}"));
    }
    if let Some(namespace) = &source.metadata.namespace {
        rows.add("namespace", namespace.as_str());
    }
}

fn kind(credentials: &CredentialsReference) -> &'static str {
    match credentials {
        CredentialsReference { profile: Some(_), .. } => "by a profile",
        CredentialsReference { environment: Some(_), .. } => "by an environment variable",
        CredentialsReference { file: Some(_), .. } => "by a file",
        _ => "",
    }
}

/// What the main screen says of a source in trouble, the longest form first; none: all are fine.
pub(super) fn word(model: &Model) -> Option<[String; 3]> {
    let mut troubles = model.sources.troubles();
    let (state, server, name) = troubles.next()?;
    let name = model.with_server(server, name);
    let more = match troubles.count() {
        0 => String::new(),
        more => format!(" +{}", number(more)),
    };
    let word = state.as_str();
    let key = model.key(Action::ViewSources);
    Some([
        format!("▲ {name}: {word}{more} · {key}"),
        format!("▲ {name}: {word}{more}"),
        format!("▲ {word}{more}"),
    ])
}

#[cfg(test)]
mod tests;
