//! What is said of runs, beside their status: Events, and the condition Converged.

use crate::model::host::{AnsibleStatus, Host, RunState};
use crate::store::event::Kind;

/// The action of Events about runs.
pub(crate) const RUN: &str = "AnsibleRun";

/// The Event about a run: kind, reason, note.
pub(crate) fn tale(run: &AnsibleStatus) -> (Kind, &'static str, String) {
    let id = &run.request_id;
    let message = run.message.as_deref().map(|m| format!(": {m}")).unwrap_or_default();
    let count = |number: Option<i32>| number.unwrap_or(0);
    let counts = format!(
        "{} ok, {} changed, {} failed, {} unreachable",
        count(run.ok),
        count(run.changed),
        count(run.failed),
        count(run.unreachable)
    );
    match run.state {
        RunState::Queued => (Kind::Normal, "RunQueued", format!("run {id} waits{message}")),
        RunState::Running => (Kind::Normal, "RunStarted", format!("run {id} begins")),
        RunState::Succeeded => (Kind::Normal, "RunSucceeded", format!("run {id}: {counts}")),
        RunState::Failed if run.started_at.is_none() => {
            (Kind::Warning, "RunRefused", format!("run {id}{message}"))
        }
        RunState::Failed => (Kind::Warning, "RunFailed", format!("run {id}: {counts}{message}")),
        RunState::Unknown => (Kind::Warning, "RunUnknown", format!("run {id}{message}")),
        RunState::Canceled => (Kind::Normal, "RunCanceled", format!("run {id} is canceled")),
    }
}

/// Whether a run shows that the host is as its playbooks want it, and the reason in a word. None: it
/// shows nothing, because it has not ended, was never begun, or has changed nothing by request.
pub(crate) fn converged(host: &Host, run: &AnsibleStatus) -> Option<(bool, &'static str)> {
    let request = host.spec.ansible.as_ref().filter(|r| r.request_id == run.request_id);
    if request.is_some_and(|request| request.check) || run.started_at.is_none() {
        return None;
    }
    match run.state {
        RunState::Succeeded => Some((true, "RunSucceeded")),
        RunState::Failed => Some((false, "RunFailed")),
        RunState::Unknown => Some((false, "RunUnknown")),
        RunState::Queued | RunState::Running | RunState::Canceled => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_a_real_run_that_has_ended_shows_how_the_host_is() {
        let host = |check: bool| {
            let spec = json!({"ansible": {"requestID": "a", "playbook": "p", "check": check}});
            Host::new("h", serde_json::from_value(spec).unwrap())
        };
        let run = |state: &str, began: bool| -> AnsibleStatus {
            let at = began.then_some("2026-01-01T00:00:00Z");
            serde_json::from_value(json!({"requestID": "a", "state": state, "startedAt": at}))
                .unwrap()
        };
        for (state, began, check, expected) in [
            ("Succeeded", true, false, Some((true, "RunSucceeded"))),
            ("Succeeded", true, true, None),
            ("Failed", true, false, Some((false, "RunFailed"))),
            ("Failed", false, false, None),
            ("Unknown", true, false, Some((false, "RunUnknown"))),
            ("Running", true, false, None),
            ("Canceled", false, false, None),
        ] {
            assert_eq!(converged(&host(check), &run(state, began)), expected, "{state} {check}");
        }
        assert_eq!(tale(&run("Failed", false)).1, "RunRefused");
        assert_eq!(tale(&run("Failed", true)).1, "RunFailed");
    }
}
