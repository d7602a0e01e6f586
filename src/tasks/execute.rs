//! Ansible runs, each at most once, whatever is ended and started again in the middle. The agent and
//! the runner share this: a [`Driver`] says for one host what is to be done next, and keeps the
//! [`ledger`] of what was done.
//!
//! # Once
//! 1. The ledger has the claim.
//! 2. The API server has the claim: `status.ansible` becomes Running with our name, against the
//!    version of the Host that was read, so that of several who try one succeeds, and a request that
//!    was canceled first is not claimed.
//! 3. The [supervisor](supervise) is started: it takes the lock of the run, writes down that it has
//!    begun, and only then starts Ansible.
//! 4. The result is in the ledger.
//! 5. The API server has it.
//! 6. The ledger knows that.
//!
//! Whoever finds a run in the ledger after a restart asks the lock: held, it goes on; free and with a
//! result, that is the result; free and not begun, nothing has run, and it may begin; free, begun and
//! without a result, the supervisor died, and the final state is Unknown, because that is the truth.
//! A claim at the API server that the ledger knows nothing of ends as Unknown too. No run is ever begun
//! a second time.

pub(crate) mod config;
mod job;
pub(crate) mod ledger;
mod progress;
pub mod supervise;
pub(crate) mod tale;

use std::path::Path;
use std::process::Stdio;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

pub(crate) use self::job::Reach;

use self::config::Ansible;
use self::ledger::{BEGUN, Claim, Entry, JOB, Ledger, RESULT};
use self::progress::{Progress, tail};
use self::supervise::Ended;
use crate::error::{Error, Result, chain};
use crate::model::host::{AnsibleRequest, AnsibleStatus, Host, RunState};
use crate::model::text;

/// Names the step after which a process is to die, for the tests of exactly that.
const STOP_AT: &str = "INV_TUI_STOP_AT";
/// Bytes of the log's end in the status: while it runs, after a success, after a failure.
const TAIL: (usize, usize, usize) = (512, 256, 1024);
/// How long a supervisor may take to begin before another one is started.
const LAUNCH: SignedDuration = SignedDuration::from_secs(30);
/// Longest message in the status, in characters.
const MESSAGE: usize = 256;

/// What is to be done next for a host.
#[derive(Debug)]
pub(crate) enum Next {
    /// Nothing.
    Rest,
    /// The status is to say this.
    Tell {
        /// What `status.ansible` is to be.
        status: Box<AnsibleStatus>,
        /// Only against the version of the Host that was looked at.
        guarded: bool,
    },
    /// The run is to be claimed with this status, against the version that was looked at.
    Claim(Box<AnsibleStatus>),
    /// The claimed run is to be started.
    Launch,
}

/// The runs of one host.
pub(crate) struct Driver {
    ledger: Ledger,
    ansible: Ansible,
    executor: String,
    namespace: String,
    host: String,
    open: Option<(Claim, Entry)>,
    progress: Progress,
    begun_at: Option<Time>,
    launched: Option<Timestamp>,
}

impl Driver {
    /// The runs of a host, with what the ledger knows of them.
    pub(crate) fn new(
        ledger: Ledger,
        ansible: Ansible,
        executor: &str,
        namespace: &str,
        host: &str,
    ) -> Self {
        let open = ledger
            .open_runs()
            .into_iter()
            .find(|(claim, _)| claim.namespace == namespace && claim.host == host);
        Self {
            ledger,
            ansible,
            executor: executor.to_owned(),
            namespace: namespace.to_owned(),
            host: host.to_owned(),
            open,
            progress: Progress::default(),
            begun_at: None,
            launched: None,
        }
    }

    /// Whether a run goes on, as far as the ledger knows.
    pub(crate) fn busy(&self) -> bool {
        self.open.as_ref().is_some_and(|(_, entry)| entry.has(JOB))
    }

    /// What is to be done next, with the Host as it was read last. `hindrance` says why no run may
    /// begin now.
    pub(crate) fn next(&mut self, host: &Host, hindrance: Option<&str>, now: Timestamp) -> Next {
        let told = host.status.as_ref().and_then(|status| status.ansible.as_ref());
        if let Some((claim, entry)) = self.open.clone() {
            if !overtaken(&claim, host, told) {
                return self.go_on(&claim, &entry, host, told, hindrance, now);
            }
            if self.look(&entry, &claim.request_id, None, now).is_some_and(|s| !s.state.is_final())
            {
                return Next::Rest;
            }
            tracing::warn!(
                request = claim.request_id,
                "its end is not told: another came after it"
            );
            let _ = self.forget(&entry);
        }
        let Some(request) = host.spec.ansible.as_ref() else { return Next::Rest };
        let known = self.ledger.get(&self.host, &request.request_id);
        match told.filter(|told| told.request_id == request.request_id) {
            Some(told) if told.state == RunState::Running => {
                let ours = told.executor.as_deref() == Some(self.executor.as_str());
                if !ours {
                    return Next::Rest;
                }
                let status = AnsibleStatus {
                    state: RunState::Unknown,
                    finished_at: Some(Time(now)),
                    message: Some(
                        "the ledger of this run is gone: nobody can say how it went".into(),
                    ),
                    ..told.clone()
                };
                return guarded(status);
            }
            Some(told) if told.state != RunState::Queued => return Next::Rest,
            told => {
                if let Some(entry) = known {
                    // Its end was reported once, and somebody took the report away.
                    return match self.look(&entry, &request.request_id, told, now) {
                        Some(status) => guarded(status),
                        None => Next::Rest,
                    };
                }
            }
        }
        self.begin(request, told, hindrance, now)
    }

    fn begin(
        &self,
        request: &AnsibleRequest,
        told: Option<&AnsibleStatus>,
        hindrance: Option<&str>,
        now: Timestamp,
    ) -> Next {
        let ended = |state, message: &str| AnsibleStatus {
            finished_at: Some(Time(now)),
            message: Some(shown(message)),
            ..self.blank(&request.request_id, state)
        };
        if request.cancel {
            return guarded(ended(RunState::Canceled, "canceled before it began"));
        }
        let file = |_| match self.ansible.git {
            Some(_) => Ok(()),
            None => self.ansible.file(&request.playbook).map(|_| ()),
        };
        if let Err(refusal) = self.ansible.permits(request).and_then(file) {
            return guarded(ended(RunState::Failed, &format!("not run: {}", refusal.0)));
        }
        if let Some(why) = hindrance {
            let message = Some(shown(why));
            let same = told.is_some_and(|told| {
                told.request_id == request.request_id
                    && told.state == RunState::Queued
                    && told.message == message
            });
            let queued =
                AnsibleStatus { message, ..self.blank(&request.request_id, RunState::Queued) };
            return if same { Next::Rest } else { guarded(queued) };
        }
        Next::Claim(Box::new(AnsibleStatus {
            started_at: Some(Time(now)),
            ..self.blank(&request.request_id, RunState::Running)
        }))
    }

    /// A run that the ledger has and the API server does not know the end of.
    fn go_on(
        &mut self,
        claim: &Claim,
        entry: &Entry,
        host: &Host,
        told: Option<&AnsibleStatus>,
        hindrance: Option<&str>,
        now: Timestamp,
    ) -> Next {
        let mine = told.filter(|told| told.request_id == claim.request_id);
        if let Some(status) = self.look(entry, &claim.request_id, mine, now) {
            if !status.state.is_final() && mine == Some(&status) {
                return Next::Rest;
            }
            if status.state.is_final() {
                stop_at("finished");
            }
            return Next::Tell { status: Box::new(status), guarded: false };
        }
        // Claimed here, and not begun.
        match mine {
            Some(told) if told.state == RunState::Running => {
                let ours = told.executor.as_deref() == Some(self.executor.as_str());
                // A supervisor that was started a moment ago may not have the lock yet.
                let soon = self.launched.is_some_and(|at| now.duration_since(at) < LAUNCH);
                match (ours, soon) {
                    (true, true) => Next::Rest,
                    // What keeps a run from being claimed keeps it from being begun.
                    (true, false) if hindrance.is_some() => Next::Rest,
                    (true, false) => Next::Launch,
                    (false, _) => self.forget(entry),
                }
            }
            Some(told) if told.state.is_final() => self.forget(entry),
            _ => match &host.spec.ansible {
                Some(wanted) if wanted.request_id == claim.request_id => {
                    self.begin(wanted, told, hindrance, now)
                }
                _ => self.forget(entry),
            },
        }
    }

    /// Nothing has run and nothing will.
    fn forget(&mut self, entry: &Entry) -> Next {
        if let Err(error) = entry.reported() {
            tracing::warn!(error = chain(&error), "a run stays open in the ledger");
        }
        self.open = None;
        Next::Rest
    }

    /// How a run stands by the ledger. None: it has not begun.
    fn look(
        &mut self,
        entry: &Entry,
        id: &str,
        told: Option<&AnsibleStatus>,
        now: Timestamp,
    ) -> Option<AnsibleStatus> {
        let ended = entry.read::<Ended>(RESULT);
        let held = ended.is_none() && entry.goes_on();
        // The result may have come between the two questions.
        let ended = ended.or_else(|| entry.read::<Ended>(RESULT));
        if ended.is_none() && !held && !entry.has(BEGUN) {
            return None;
        }
        self.progress.follow(entry);
        let progress = &self.progress;
        let begun = told.and_then(|told| told.started_at.clone()).or_else(|| self.begun_at.clone());
        let mut status = AnsibleStatus {
            started_at: begun,
            ok: Some(progress.ok),
            changed: Some(progress.changed),
            failed: Some(progress.failed),
            unreachable: Some(progress.unreachable),
            task: progress.task.clone(),
            ..self.blank(id, RunState::Running)
        };
        match ended {
            Some(ended) => {
                let fine = ended.rc == Some(0);
                status.state = if fine { RunState::Succeeded } else { RunState::Failed };
                status.task = status.task.filter(|_| !fine);
                status.tail = tail(entry, if fine { TAIL.1 } else { TAIL.2 });
                status.rc = ended.rc;
                status.finished_at = Some(Time(ended.finished_at.unwrap_or(now)));
                status.message = ended.message.as_deref().map(shown);
                status.revision = ended.revision;
            }
            None if held => status.tail = tail(entry, TAIL.0),
            None => {
                let how =
                    if progress.ended { "the play had ended" } else { "the play was going on" };
                status.state = RunState::Unknown;
                status.finished_at = Some(Time(now));
                status.message = Some(format!("the run was killed from outside; {how}"));
                status.tail = tail(entry, TAIL.2);
            }
        }
        Some(status)
    }

    /// Writes the claim into the ledger. The API server is to be asked after that.
    pub(crate) fn claiming(&mut self, host: &Host, status: &AnsibleStatus) -> Result<()> {
        let claim = Claim {
            request_id: status.request_id.clone(),
            namespace: self.namespace.clone(),
            host: self.host.clone(),
            uid: host.metadata.uid.clone().unwrap_or_default(),
        };
        let entry = self.ledger.claim(&claim)?;
        self.progress = Progress::default();
        self.begun_at.clone_from(&status.started_at);
        self.launched = None;
        self.open = Some((claim, entry));
        stop_at("claiming");
        Ok(())
    }

    /// Starts the run that has been claimed; the Host is the one that the claim made.
    pub(crate) fn launch(&mut self, host: &Host, reach: &Reach, now: Timestamp) -> Result<()> {
        stop_at("claimed");
        self.launched = Some(now);
        let Some((claim, entry)) = &self.open else { return Ok(()) };
        let request = host.spec.ansible.as_ref().filter(|r| r.request_id == claim.request_id);
        let Some(request) = request else {
            // Claimed and replaced before it began: the claim has to end.
            return refuse(entry, "not run: another request took its place");
        };
        let variable = |name: &str| std::env::var(name).ok();
        match job::prepare(entry, &self.ansible, request, &self.host, reach, &variable)? {
            Ok(job) => entry.write(JOB, &job)?,
            Err(refusal) => return refuse(entry, &format!("not run: {}", refusal.0)),
        }
        stop_at("started");
        supervisor(&entry.folder)?;
        stop_at("spawned");
        Ok(())
    }

    /// The API server has taken this status.
    pub(crate) fn told(&mut self, status: &AnsibleStatus) {
        let Some((claim, entry)) = &self.open else { return };
        if claim.request_id != status.request_id || !status.state.is_final() {
            return;
        }
        stop_at("told");
        if let Err(error) = entry.reported() {
            tracing::warn!(error = chain(&error), "told again after the next start");
        }
        self.open = None;
        self.ledger.prune();
        stop_at("reported");
    }

    fn blank(&self, id: &str, state: RunState) -> AnsibleStatus {
        AnsibleStatus { executor: Some(self.executor.clone()), ..AnsibleStatus::new(id, state) }
    }
}

/// Whether the API server has the claim or the end of the request that is wanted now, which is a later
/// one than ours: telling the end of ours would take that away, and the later one would begin anew.
fn overtaken(claim: &Claim, host: &Host, told: Option<&AnsibleStatus>) -> bool {
    let wanted = host.spec.ansible.as_ref().map(|request| &request.request_id);
    told.is_some_and(|told| {
        told.request_id != claim.request_id
            && Some(&told.request_id) == wanted
            && told.state != RunState::Queued
    })
}

fn guarded(status: AnsibleStatus) -> Next {
    Next::Tell { status: Box::new(status), guarded: true }
}

fn shown(message: &str) -> String {
    text::clean(message).chars().take(MESSAGE).collect()
}

/// Ends a claimed run without beginning it.
fn refuse(entry: &Entry, why: &str) -> Result<()> {
    let message = Some(why.to_owned());
    entry.write(RESULT, &Ended { message, ..Ended::default() })
}

/// Starts this very program as the supervisor of a run. It is not ended with us.
fn supervisor(folder: &Path) -> Result<()> {
    let mut child = tokio::process::Command::new("/proc/self/exe")
        .args(["--headless", "execute"])
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(false)
        .spawn()
        .map_err(|cause| Error::new("cannot start the supervisor of the run").because(cause))?;
    tokio::spawn(async move { child.wait().await });
    Ok(())
}

/// Dies as by `kill -9` if a test wants it here.
pub(crate) fn stop_at(step: &str) {
    if std::env::var(STOP_AT).is_ok_and(|wanted| wanted == step) {
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

#[cfg(test)]
mod tests;
