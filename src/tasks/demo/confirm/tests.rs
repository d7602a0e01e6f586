use super::*;
use crate::model::change;
use crate::model::host::AnsibleRequest;
use crate::model::sample;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

/// A host that runs and that nobody holds.
fn running_host() -> Host {
    let fine = |host: &Host| {
        host.status.as_ref().and_then(|status| status.phase) == Some(Phase::Running)
            && condition::find(&host.status.as_ref().unwrap().conditions, condition::READY)
                .is_some_and(|ready| ready.status == condition::TRUE)
    };
    let mut host = sample::fleet(100, at(0)).find(fine).unwrap();
    host.status.as_mut().unwrap().ansible = None;
    host
}

/// The lifecycle controller, as it is.
fn derive(host: &mut Host, now: Timestamp) {
    let agent = condition::find(&host.status.as_ref().unwrap().conditions, condition::AGENT_READY);
    let agent = agent.map(|ready| ready.status == condition::TRUE);
    let view = lifecycle::View { host, agent, decisions: &[], now };
    lifecycle::derive(&view).put(host);
}

/// Plays controller and agent until nobody has anything to do; the times at which one acted, and
/// what `see` saw then.
fn play<T>(host: &mut Host, mut now: Timestamp, see: impl Fn(&HostStatus) -> T) -> Vec<(i64, T)> {
    let mut seen = Vec::new();
    derive(host, now);
    let next = |host: &Host, now| due(host, now).into_iter().chain(lifecycle::due(host, now)).min();
    while let Some(next) = next(host, now).filter(|next| *next < at(3_600)) {
        assert!(next > now, "it must not act twice at once");
        now = next;
        agent(host, now);
        derive(host, now);
        seen.push((now.as_second() - at(0).as_second(), see(host.status.as_ref().unwrap())));
        assert!(seen.len() < 100, "it never rests");
    }
    seen
}

fn ready(host: &Host) -> (&str, &str) {
    let conditions = &host.status.as_ref().unwrap().conditions;
    let ready = condition::find(conditions, condition::READY).unwrap();
    (&ready.status, &ready.reason)
}

#[test]
fn a_hold_is_drained_and_the_end_of_it_too() {
    let mut host = running_host();
    assert_eq!(due(&host, at(0)), None);
    host.spec.maintenance.insert("ann".into(), change::hold("disk swap", at(0), 60));
    let seen = play(&mut host, at(0), |status| status.maintenance.clone().unwrap().drained);
    assert_eq!(seen[..2], [(4, Some(true)), (60, None)]);
    let drained = condition::find(&host.status.as_ref().unwrap().conditions, condition::DRAINED);
    assert_eq!(drained.unwrap().reason, "InService");
    assert_eq!(ready(&host), ("True", "AllFine"));
}

fn request(id: &str) -> AnsibleRequest {
    AnsibleRequest {
        request_id: id.into(),
        playbook: "site.yml".into(),
        revision: None,
        tags: Vec::new(),
        check: false,
        extra_vars: std::collections::BTreeMap::new(),
        timeout_seconds: None,
        requested_by: Some("ann".into()),
        reason: None,
        cancel: false,
    }
}

/// The states that a run goes through.
fn states(host: &mut Host, from: i64) -> Vec<RunState> {
    let mut seen: Vec<RunState> = play(host, at(from), |s| s.ansible.as_ref().unwrap().state)
        .into_iter()
        .map(|(_, state)| state)
        .collect();
    seen.dedup();
    seen
}

#[test]
fn a_run_is_queued_runs_and_ends_once() {
    let ends: Vec<RunState> = (0..40)
        .map(|n| {
            let mut host = running_host();
            host.spec.ansible = Some(request(&format!("r-{n}")));
            let seen = states(&mut host, 0);
            let status = host.status.as_ref().unwrap();
            let run = status.ansible.as_ref().unwrap();
            assert_eq!(seen[..2], [RunState::Queued, RunState::Running]);
            let failed = seen[2] == RunState::Failed;
            assert_eq!(run.rc, Some(if failed { 2 } else { 0 }));
            assert_eq!(run.message.is_some(), failed);
            assert!(run.ok.unwrap() > 0 && run.started_at < run.finished_at);
            let last = status.operations.last().unwrap();
            assert_eq!((last.id.as_str(), last.by.as_str()), (run.request_id.as_str(), "ann"));
            assert_eq!(due(&host, at(100)), None, "the same id never runs twice");
            seen[2]
        })
        .collect();
    assert!(ends.contains(&RunState::Succeeded) && ends.contains(&RunState::Failed));
}

#[test]
fn a_run_in_the_middle_is_finished_before_the_next() {
    let mut host = running_host();
    host.spec.ansible = Some(request("one"));
    for second in 1..4 {
        agent(&mut host, at(second));
        derive(&mut host, at(second));
    }
    host.spec.ansible = Some(request("two"));
    let ids = play(&mut host, at(4), |status| status.ansible.as_ref().unwrap().request_id.clone());
    let mut ids: Vec<String> = ids.into_iter().map(|(_, id)| id).collect();
    ids.dedup();
    assert_eq!(ids, ["one", "two"]);
}

#[test]
fn a_run_that_takes_too_long_is_ended_and_a_silent_or_paused_host_runs_nothing() {
    let mut host = running_host();
    host.spec.ansible = Some(AnsibleRequest { timeout_seconds: Some(2), ..request("r") });
    assert_eq!(states(&mut host, 0).last(), Some(&RunState::Failed));

    let mut host = running_host();
    set(&mut host.status.as_mut().unwrap().conditions, condition::AGENT_READY, false, "x", at(0));
    host.spec.ansible = Some(request("r"));
    play(&mut host, at(0), |_| ());
    assert_eq!(ready(&host), ("False", "AgentSilent"));
    let status = host.status.as_mut().unwrap();
    assert_eq!((status.phase, &status.ansible), (Some(Phase::Unreachable), &None));

    let mut host = running_host();
    host.spec.paused = true;
    host.spec.ansible = Some(request("r"));
    assert_eq!(due(&host, at(0)), None);
}

#[test]
fn a_run_that_is_canceled_in_time_never_begins() {
    let mut host = running_host();
    host.spec.ansible = Some(AnsibleRequest { cancel: true, ..request("r") });
    play(&mut host, at(0), |_| ());
    assert_eq!(host.status.unwrap().ansible, None);
}
