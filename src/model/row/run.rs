//! The Ansible run of a host as a list shows it. Most hosts of most fleets have none that matters,
//! so it lies beside the row, its texts in one piece of memory.

use k8s_openapi::jiff::Timestamp;

use crate::model::host::RunState;
use crate::model::record::{AnsibleRecord, RequestRecord};

use super::Seconds;
use super::build::{MAX_TEXT, fit};

/// How many tasks of a run came to what, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tasks {
    /// Were fine.
    pub ok: Option<i32>,
    /// Changed something.
    pub changed: Option<i32>,
    /// Failed.
    pub failed: Option<i32>,
}

/// The Ansible run that goes on, waits, or was the last.
#[derive(Clone, Debug, PartialEq)]
pub struct RowRun {
    /// Id, playbook, who asked, task, message: a line feed (which no clean text has) after each.
    texts: Box<str>,
    started: Seconds,
    finished: Seconds,
    tasks: Tasks,
    state: RunState,
    check: bool,
    cancel: bool,
}

impl RowRun {
    /// The run of a request and of what is reported; none without either.
    ///
    /// A request that no report answers yet is queued. While another run still goes on, that one
    /// is told of: of it only what its report says is known.
    pub(super) fn new(request: Option<&RequestRecord>, report: &AnsibleRecord) -> Option<Self> {
        let same = request.is_none_or(|request| {
            report.state.is_some() && request.request_id == report.request_id
        });
        let goes_on = report.state == Some(RunState::Running);
        let asked = request.filter(|_| same || !goes_on);
        let waits = AnsibleRecord {
            request_id: request.and_then(|request| request.request_id.clone()),
            state: Some(RunState::Queued),
            ..AnsibleRecord::default()
        };
        let report = if same || goes_on { report } else { &waits };
        let text =
            |text: Option<&String>| fit(text.map_or("", String::as_str), MAX_TEXT).into_owned();
        let texts = [
            text(report.request_id.as_ref()),
            text(asked.and_then(|request| request.playbook.as_ref())),
            text(asked.and_then(|request| request.requested_by.as_ref())),
            text(report.task.as_ref()),
            text(report.message.as_ref()),
        ];
        Some(Self {
            state: report.state?,
            texts: texts.join("\n").into(),
            started: Seconds::new(report.started),
            finished: Seconds::new(report.finished),
            tasks: Tasks { ok: report.ok, changed: report.changed, failed: report.failed },
            check: asked.is_some_and(|request| request.check),
            cancel: asked.is_some_and(|request| request.cancel),
        })
    }

    fn text(&self, number: usize) -> &str {
        self.texts.split('\n').nth(number).unwrap_or_default()
    }

    /// How far it is.
    pub fn state(&self) -> RunState {
        self.state
    }

    /// The request's id.
    pub fn id(&self) -> &str {
        self.text(0)
    }

    /// Playbook, or the empty text where it is not known.
    pub fn playbook(&self) -> &str {
        self.text(1)
    }

    /// Who asked, or the empty text.
    pub fn requested_by(&self) -> &str {
        self.text(2)
    }

    /// The task that runs, or at which the run ended; or the empty text.
    pub fn task(&self) -> &str {
        self.text(3)
    }

    /// Why the run waits, was refused, or ended as it did; or the empty text.
    pub fn message(&self) -> &str {
        self.text(4)
    }

    /// Whether it only reports what would change.
    pub fn check(&self) -> bool {
        self.check
    }

    /// Whether it is not wanted any more.
    pub fn cancel(&self) -> bool {
        self.cancel
    }

    /// Begin.
    pub fn started(&self) -> Option<Timestamp> {
        self.started.get()
    }

    /// End.
    pub fn finished(&self) -> Option<Timestamp> {
        self.finished.get()
    }

    /// What its tasks came to.
    pub fn tasks(&self) -> Tasks {
        self.tasks
    }

    /// Where it stands among the runs of all hosts: those that go on (the longest first), those
    /// that wait, those that failed (the last first), the others (the last first).
    pub(crate) fn rank(&self) -> (u8, i64) {
        let end = self.finished.get().or_else(|| self.started.get());
        let end = end.map_or(0, |time| time.as_second().saturating_neg());
        match self.state {
            RunState::Running => (0, self.started.get().map_or(0, Timestamp::as_second)),
            RunState::Queued => (1, 0),
            RunState::Failed | RunState::Unknown => (2, end),
            RunState::Succeeded | RunState::Canceled => (3, end),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(id: &str) -> RequestRecord {
        RequestRecord {
            request_id: Some(id.to_owned()),
            playbook: Some("site.yml".to_owned()),
            requested_by: Some("ann".to_owned()),
            check: true,
            cancel: false,
        }
    }

    fn report(id: &str, state: RunState) -> AnsibleRecord {
        AnsibleRecord {
            request_id: Some(id.to_owned()),
            state: Some(state),
            task: Some("install\u{1b}[2J".to_owned()),
            ..AnsibleRecord::default()
        }
    }

    fn shown(request: Option<&RequestRecord>, report: &AnsibleRecord) -> (RunState, String) {
        let run = RowRun::new(request, report).unwrap();
        (
            run.state(),
            format!("{} {} {} {}", run.id(), run.playbook(), run.requested_by(), run.task()),
        )
    }

    #[test]
    fn a_request_that_nobody_answers_waits_and_one_that_goes_on_is_told_of_first() {
        use RunState::{Failed, Queued, Running};
        let text = |text: &str| text.to_owned();
        assert!(RowRun::new(None, &AnsibleRecord::default()).is_none());
        let none = AnsibleRecord::default();
        assert_eq!(shown(Some(&request("b")), &none), (Queued, text("b site.yml ann ")));
        let old = report("a", Failed);
        assert_eq!(shown(Some(&request("b")), &old), (Queued, text("b site.yml ann ")));
        assert_eq!(shown(None, &old), (Failed, text("a   install\u{FFFD}[2J")));
        let same = report("b", Running);
        assert_eq!(shown(Some(&request("b")), &same).1, "b site.yml ann install\u{FFFD}[2J");
        // Of a run that goes on under another id its own report is all that is known.
        let other = report("a", Running);
        assert_eq!(shown(Some(&request("b")), &other), (Running, text("a   install\u{FFFD}[2J")));
        assert!(!RowRun::new(Some(&request("b")), &other).unwrap().check());
    }
}
