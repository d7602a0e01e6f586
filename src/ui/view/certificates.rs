//! Requests for certificates: the list, and one of them field by field beside its host.

use ratatui::buffer::Buffer;

use super::detail::Rows;
use super::layout::Areas;
use super::list::{
    Cell, Column, ago, cell, column, nothing, or_dash, put_server, table, with_server,
};
use crate::model::csr::{About, HOSTS, Mismatch, Request, State};
use crate::model::duration;
use crate::model::key::ServerId;
use crate::model::row::HostRow;
use crate::ui::app::certificates::Item;
use crate::ui::app::{Model, Pane};
use crate::ui::theme::{Role, Theme};

const COLUMNS: [Column; 8] = [
    column("  STATE", 11, 0),
    column("AGE", 7, 0),
    column("HOST", 0, 0),
    column("FITS", 0, 36),
    column("REQUESTER", 0, 60),
    column("KEY", 12, 84),
    column("REQUEST", 0, 100),
    column("USAGES", 0, 140),
];

pub(super) fn draw(model: &Model, theme: &Theme, areas: &Areas, buffer: &mut Buffer) {
    if areas.rows.is_empty() {
        return;
    }
    let certificates = &model.certificates;
    if certificates.len().0 == 0 {
        let lines = match (certificates.any_problem(), certificates.synced()) {
            (Some(problem), _) => ["requests cannot be shown", problem],
            (None, false) => ["loading…", ""],
            (None, true) => ["no host asks for a certificate", "an agent that starts asks for one"],
        };
        return nothing(theme, areas.rows, &lines, buffer);
    }
    let lines = certificates.lines().map(|(uid, item)| {
        let mut cells = line(model, uid.server(), item);
        put_server(model, uid.server(), 3, &mut cells);
        (certificates.spot.cursor.as_ref() == Some(uid), cells)
    });
    let columns = with_server(model, &COLUMNS, 3);
    table(theme, areas, &columns, lines, model.pane == Pane::Tree, buffer);
}

/// What does not fit; none while it cannot be told: the request cannot be read, or the fleet that
/// it is compared with is not complete.
fn found(model: &Model, server: ServerId, item: &Item) -> Option<Vec<Mismatch>> {
    let request = item.read.as_ref().ok()?;
    let operations = model.operations_of(server, &item.read);
    let found =
        model.certificates.check(&model.inventory, (server, request), operations, model.now);
    let unknown = found.iter().any(|mismatch| mismatch.reason == "HostUnknown");
    (model.servers.get(server).synced || !unknown).then_some(found)
}

fn line<'a>(model: &Model, server: ServerId, item: &'a Item) -> Vec<Cell<'a>> {
    let about = item.about();
    let found = found(model, server, item);
    let (role, sign) = match (about.state, &found, &item.read) {
        (State::Pending, _, Err(_)) => (Role::Bad, "✖"),
        (State::Pending, None, Ok(_)) => (Role::Muted, "…"),
        (State::Pending, Some(found), _) if found.is_empty() => (Role::Ok, "✓"),
        (State::Pending, Some(_), _) | (State::Failed, ..) => (Role::Bad, "✖"),
        (State::Approved | State::Issued, ..) => (Role::Muted, "●"),
        (State::Denied, ..) => (Role::Muted, "○"),
    };
    let fits = match (about.state, found, &item.read) {
        (_, _, Err(_)) => "cannot be read".to_owned(),
        (State::Pending, Some(found), _) => match found.as_slice() {
            [] => "fits".to_owned(),
            [one] => format!("{}: {}", one.field, one.found),
            [first, rest @ ..] => format!("{} +{}: {}", first.field, rest.len(), first.found),
        },
        (State::Pending, None, _) => "…".to_owned(),
        _ => decided(about),
    };
    let request = item.read.as_ref().ok();
    let host = request.and_then(Request::host).map_or("-", |(_, name)| name);
    vec![
        cell(format!("{sign} {}", about.state.as_str()), role),
        cell(ago(model, about.created), Role::Text),
        cell(host, Role::Text),
        cell(fits, if role == Role::Bad { Role::Bad } else { Role::Muted }),
        cell(or_dash(&about.requester), Role::Muted),
        cell(request.map(|r| r.asks.key.to_string()).unwrap_or_default(), Role::Muted),
        cell(about.name.as_str(), Role::Muted),
        cell(about.usages.join(", "), Role::Muted),
    ]
}

fn decided(about: &About) -> String {
    about.decision.as_ref().map_or_else(String::new, |decision| {
        if decision.message.is_empty() { decision.reason.clone() } else { decision.message.clone() }
    })
}

/// The request under the cursor, for the detail pane; its title.
pub(super) fn detail(model: &Model, rows: &mut Rows) -> Option<String> {
    let item = model.certificates.item()?;
    let server = model.certificates.spot.cursor.as_ref()?.server();
    let about = item.about();
    if model.servers.several() {
        rows.add("server", model.servers.get(server).name());
    }
    let state = about.state.as_str();
    match &about.decision {
        None => rows.add("state", state),
        Some(decision) => {
            rows.add("state", format!("{state} · {}", decision.reason));
            rows.add("decided", decision.message.as_str());
            rows.add("", decision.at.map(|at| when(model, at)).unwrap_or_default());
        }
    }
    if let Some(issued) = &about.issued {
        rows.add("certificate", format!("serial {}", issued.serial));
        rows.add("valid until", when(model, issued.not_after));
    }
    // What is decided is not judged again.
    let pending = about.state == State::Pending;
    let found = found(model, server, item).filter(|_| pending);
    match (&item.read, &found) {
        (Ok(_), None) if !pending => {}
        (Err(problem), _) => rows.styled("✖ unreadable", problem.why.as_str(), Role::Bad),
        (Ok(_), None) => rows.styled("verdict", "the fleet is still loading", Role::Muted),
        (Ok(_), Some(found)) if found.is_empty() => {
            rows.styled("✓ verdict", "fits its host in every field", Role::Ok);
        }
        (Ok(_), Some(found)) => {
            for mismatch in found {
                let text = format!("{} is {}", mismatch.field, mismatch.found);
                rows.styled("✖ verdict", text, Role::Bad);
                rows.styled("  wanted", mismatch.wanted.as_str(), Role::Muted);
            }
        }
    }
    if let Ok(request) = &item.read {
        fields(request, found.as_deref(), rows);
        host(model, model.certificates.host(&model.inventory, server, &item.read), rows);
    }
    rows.heading("Request");
    rows.add("name", about.name.as_str());
    rows.add("made", about.created.map(|at| when(model, at)).unwrap_or_default());
    rows.add("requester", about.requester.as_str());
    rows.add("its groups", about.requester_groups.join(", "));
    Some(about.name.clone())
}

/// A time with how long ago it was, or in how long it comes.
pub(super) fn when(model: &Model, at: jiff::Timestamp) -> String {
    let seconds = model.now.as_second() - at.as_second();
    let clock = at.to_zoned(model.settings.time_zone.clone()).strftime("%Y-%m-%d %H:%M:%S");
    match seconds {
        // The clocks of two machines differ by more, and ours is of the last tick.
        -2..=0 => format!("{clock} (now)"),
        1.. => format!("{clock} ({} ago)", duration::short(seconds)),
        _ => format!("{clock} (in {})", duration::short(-seconds)),
    }
}

/// Every field that is asked for, with the sign of its check.
fn fields(request: &Request, found: Option<&[Mismatch]>, rows: &mut Rows) {
    let (about, asks) = (&request.about, &request.asks);
    let list = |items: Vec<String>| {
        if items.is_empty() { "none".to_owned() } else { items.join(", ") }
    };
    let life = about.expiration_seconds.map_or_else(
        || "as long as the signer gives".to_owned(),
        |seconds| duration::short(i64::from(seconds)),
    );
    let extensions = asks.extensions.iter().map(|extension| {
        let critical = if extension.critical { " (critical)" } else { "" };
        format!("{}{critical}", extension.oid)
    });
    let signature = if asks.signature_fits { "made with its own key" } else { "does not fit" };
    let authority = if asks.authority { "wants to be an authority" } else { "no authority" };
    let key_usage = asks.key_usage.iter().map(|usage| (*usage).to_owned()).collect();
    // Beside each the names under which the checks know it.
    let all: [(&str, String, &[&str]); 12] = [
        ("subject", asks.subject_text(), &["subject CN", "subject O", "subject"]),
        (
            "other names",
            list(asks.sans.iter().map(ToString::to_string).collect()),
            &["alternative names"],
        ),
        ("usages", list(about.usages.clone()), &["usages"]),
        ("keyUsage", list(key_usage), &["keyUsage"]),
        ("extKeyUsage", list(asks.extended_usage.clone()), &["extendedKeyUsage"]),
        ("key", asks.key.to_string(), &["key"]),
        ("signature", signature.to_owned(), &["signature"]),
        ("authority", authority.to_owned(), &["basicConstraints"]),
        ("extensions", list(extensions.collect()), &["extensions"]),
        ("attributes", list(asks.attributes.clone()), &["attributes"]),
        ("signer", about.signer.clone(), &["signer"]),
        ("valid for", life, &["validity"]),
    ];
    rows.heading("It asks for");
    for (name, text, checks) in all {
        check(name, text, checks, found, rows);
    }
    rows.add("  fingerprint", format!("SHA256:{}", asks.fingerprint));
    rows.heading("Compared with its host");
    let claimed = request.host();
    let claim = claimed.map_or_else(|| "no host".to_owned(), |(ns, name)| format!("{ns}/{name}"));
    check("claims to be", claim, &["host", "namespace", "subject CN"], found, rows);
    let groups = list(request.groups().map(ToOwned::to_owned).collect());
    let group = if groups == HOSTS { groups } else { format!("{groups}, not just {HOSTS}") };
    check("in the groups", group, &["subject O"], found, rows);
    check("asked for by", about.requester.clone(), &["requester"], found, rows);
    let often = found.into_iter().flatten().find(|m| m.field == "requests for this host");
    let often = often.map_or_else(|| "not too often".to_owned(), |m| m.found.clone());
    if found.is_some() {
        check("asked", often, &["requests for this host"], found, rows);
    }
}

fn check(name: &str, text: String, checks: &[&str], found: Option<&[Mismatch]>, rows: &mut Rows) {
    let is_wrong = |found: &[Mismatch]| found.iter().any(|m| checks.contains(&m.field));
    let (sign, role) = match found.map(is_wrong) {
        Some(true) => ("✖", Role::Bad),
        Some(false) => ("✓", Role::Text),
        None => (" ", Role::Text),
    };
    rows.styled(&format!("{sign} {name}"), text, role);
}

/// What is known of the host that it claims to be.
fn host(model: &Model, row: Option<&HostRow>, rows: &mut Rows) {
    let Some(row) = row else {
        return rows.styled("  host", "not in the inventory that is shown", Role::Muted);
    };
    rows.add("  host", row.display());
    rows.add("  state", row.phase().as_str());
    rows.add("  service", row.service_state().as_str());
    rows.add("  address", row.address().unwrap_or_default());
    rows.add("  cluster", row.cluster());
    rows.add("  first seen", row.created().map(|at| when(model, at)).unwrap_or_default());
}

#[cfg(test)]
mod tests;
