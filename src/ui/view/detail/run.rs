//! The Ansible run of a host, and what was done to the host lately.

use jiff::Timestamp;

use super::Rows;
use crate::model::duration;
use crate::model::host::{AnsibleRequest, AnsibleStatus, Host, Operation};
use crate::model::row::{RowRun, Tasks};
use crate::ui::app::Model;
use crate::ui::theme::Role;
use crate::ui::view::list::{run_sign, took};

/// The line that every host with a run has at the top: how far it is.
pub(super) fn summary(model: &Model, run: &RowRun, rows: &mut Rows) {
    let (role, sign) = run_sign(run.state());
    let mut text = format!("{sign} {}", run.state().as_str());
    for part in [Some(run.playbook().to_owned()), took(model, run)].into_iter().flatten() {
        if !part.is_empty() {
            text = format!("{text} · {part}");
        }
    }
    if run.check() {
        text.push_str(" · check");
    }
    let Tasks { ok, changed, failed } = run.tasks();
    for part in counted([("ok", ok), ("changed", changed), ("failed", failed)]) {
        text = format!("{text} · {part}");
    }
    rows.styled("ansible", text, role);
}

/// The run in full.
pub(super) fn whole(model: &Model, host: &Host, rows: &mut Rows) {
    let request = host.spec.ansible.as_ref();
    let run = host.status.as_ref().and_then(|status| status.ansible.as_ref());
    if let Some(request) = request.filter(|r| run.is_none_or(|run| run.request_id != r.request_id))
    {
        rows.heading("Ansible run, asked for");
        asked(request, rows);
        let text = if request.cancel { "to be canceled" } else { "nobody has taken it yet" };
        rows.styled("state", format!("… Queued · {text}"), Role::Muted);
    }
    let Some(run) = run else { return };
    rows.heading("Ansible run");
    if let Some(request) = request.filter(|request| request.request_id == run.request_id) {
        asked(request, rows);
    } else {
        rows.add("request", run.request_id.as_str());
    }
    reported(model, run, rows);
}

fn asked(request: &AnsibleRequest, rows: &mut Rows) {
    rows.add("playbook", request.playbook.as_str());
    rows.maybe("revision", request.revision.as_deref());
    rows.add("tags", request.tags.join(", "));
    if request.check {
        rows.add("check", "only reports what would change");
    }
    for (name, value) in &request.extra_vars {
        rows.add("variable", format!("{name}={value}"));
    }
    rows.maybe("asked by", request.requested_by.as_deref());
    rows.maybe("reason", request.reason.as_deref());
    rows.add("request", request.request_id.as_str());
}

fn reported(model: &Model, run: &AnsibleStatus, rows: &mut Rows) {
    let (role, sign) = run_sign(run.state);
    rows.styled("state", format!("{sign} {}", run.state.as_str()), role);
    rows.maybe("message", run.message.as_deref());
    rows.maybe("run by", run.executor.as_deref());
    let clock = |time: Timestamp| {
        time.to_zoned(model.settings.time_zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
    };
    if let Some(start) = &run.started_at {
        rows.add("started", clock(start.0));
        let end = run.finished_at.as_ref().map_or(model.now, |time| time.0);
        if run.finished_at.is_some() || !run.state.is_final() {
            rows.add("took", duration::short(end.as_second() - start.0.as_second()));
        }
    }
    let counts = [
        ("ok", run.ok),
        ("changed", run.changed),
        ("failed", run.failed),
        ("unreachable", run.unreachable),
    ];
    rows.add("tasks", counted(counts).collect::<Vec<_>>().join(" · "));
    rows.maybe("task", run.task.as_deref());
    rows.add("return code", run.rc.map(|rc| rc.to_string()).unwrap_or_default());
    rows.maybe("ran", run.revision.as_deref());
    if let Some(tail) = run.tail.as_deref().filter(|tail| !tail.trim().is_empty()) {
        rows.heading("End of its log");
        rows.block(tail, Role::Text);
    }
}

/// How many tasks came to what. No word of what did not happen, but for `ok`, which always says that
/// there was a count.
fn counted<const N: usize>(
    counts: [(&'static str, Option<i32>); N],
) -> impl Iterator<Item = String> {
    let told = counts.into_iter().filter_map(|(word, n)| Some((word, n?)));
    told.filter(|(word, n)| *n > 0 || *word == "ok").map(|(word, n)| format!("{n} {word}"))
}

/// What was done to the host lately, the latest first.
pub(super) fn operations(model: &Model, operations: &[Operation], rows: &mut Rows) {
    if operations.is_empty() {
        return;
    }
    rows.heading("Done to it lately");
    let mut latest: Vec<&Operation> = operations.iter().collect();
    latest.sort_by_key(|operation| std::cmp::Reverse(operation.at.0));
    for operation in latest {
        let age = duration::short(model.now.as_second() - operation.at.0.as_second());
        let mut text = operation.verb.clone();
        if !operation.by.is_empty() {
            text = format!("{text} by {}", operation.by);
        }
        if let Some(reason) = operation.reason.as_deref().filter(|reason| !reason.is_empty()) {
            text = format!("{text}: {reason}");
        }
        if let Some(result) = operation.result.as_deref().filter(|result| !result.is_empty()) {
            text = format!("{text} → {result}");
        }
        rows.add(&format!("{age} ago"), text);
    }
}
