//! What is done before a host goes: what it waits for, and how far each step is.

use jiff::Timestamp;

use super::Rows;
use crate::model::condition::{self, DELETING};
use crate::model::duration;
use crate::model::host::{DecommissionStep, Host, StepState};
use crate::model::labels::OWNER_HOOK;
use crate::model::text;
use crate::ui::app::Model;
use crate::ui::theme::Role;

/// The line at the top: the step, or what is waited for.
pub(super) fn summary(host: &Host, rows: &mut Rows) {
    let Some(status) = &host.status else { return };
    let Some(said) = condition::find(&status.conditions, DELETING) else { return };
    let role = match said.reason.as_str() {
        "StepStuck" | "StepUnknown" | "StepMissing" => Role::Bad,
        "StepRuns" | "StepsDone" => Role::Text,
        _ => Role::Warning,
    };
    rows.styled("deleting", text::clean(&said.message).into_owned(), role);
}

/// All of it.
pub(super) fn whole(model: &Model, host: &Host, rows: &mut Rows) {
    let record = host.status.as_ref().and_then(|status| status.decommission.as_ref());
    let annotations = host.metadata.annotations.iter().flatten();
    let owners = annotations.filter_map(|(key, _)| key.strip_prefix(OWNER_HOOK));
    let owners: Vec<&str> = owners.collect();
    if record.is_none() && owners.is_empty() {
        return;
    }
    rows.heading("Decommissioning");
    rows.add("kept by", text::clean(&owners.join(", ")).into_owned());
    let Some(record) = record else { return };
    let ago = |time: Timestamp| duration::short(model.now.as_second() - time.as_second());
    if let Some(at) = &record.started_at {
        rows.add("taken up", format!("{} ago", ago(at.0)));
    }
    if let Some(wait) = &record.waiting {
        let role = if wait.overdue { Role::Bad } else { Role::Warning };
        let what = text::clean(&wait.what);
        rows.styled("waits", format!("{} · for {}: {what}", wait.reason, ago(wait.since.0)), role);
    }
    for step in &record.steps {
        rows.styled(&step.name, line(step, ago), role(step.state));
    }
}

fn role(state: StepState) -> Role {
    match state {
        StepState::Pending => Role::Muted,
        StepState::Running | StepState::Succeeded => Role::Text,
        StepState::Retrying | StepState::Failed => Role::Warning,
        StepState::Stuck | StepState::Unknown => Role::Bad,
    }
}

fn line(step: &DecommissionStep, ago: impl Fn(Timestamp) -> String) -> String {
    let mut line = step.state.as_str().to_owned();
    if step.attempts > 1 {
        line = format!("{line} · attempt {}", step.attempts);
    }
    let since = step.finished_at.as_ref().or(step.started_at.as_ref());
    if let Some(at) = since {
        line = format!("{line} · {} ago", ago(at.0));
    }
    if let Some(message) = step.message.as_deref().filter(|message| !message.is_empty()) {
        line = format!("{line} · {}", text::clean(message));
    }
    line
}
