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

/// Plays controller and agent until nobody has anything to do; the times at which one acted, and
/// what `see` saw then.
fn play<T>(host: &mut Host, mut now: Timestamp, see: impl Fn(&HostStatus) -> T) -> Vec<(i64, T)> {
    let mut seen = Vec::new();
    while let Some(next) = due(host, now).filter(|next| *next < at(3_600)) {
        assert!(next > now, "it must not act twice at once");
        now = next;
        lifecycle(host, now);
        agent(host, now);
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
fn the_fleet_begins_confirmed() {
    for host in sample::fleet(2_000, at(0)) {
        let mut after = host.clone();
        lifecycle(&mut after, at(0));
        agent(&mut after, at(0));
        let (before, name) = (host.status.unwrap(), host.metadata.name);
        let after = after.status.unwrap();
        assert_eq!(after.phase, before.phase, "{name:?}");
        assert_eq!(after, before, "{name:?}");
    }
}

#[test]
fn a_hold_is_confirmed_drained_and_its_end_is_confirmed() {
    let mut host = running_host();
    assert_eq!(due(&host, at(0)), None);
    host.spec.maintenance.insert("ann".into(), change::hold("disk swap", at(0), 60));
    host.spec.maintenance.insert("bob".into(), change::hold("memory", at(0), 20));
    let seen = play(&mut host, at(0), |status| {
        let m = status.maintenance.clone().unwrap();
        (m.active, m.holders.unwrap_or_default(), m.drained)
    });
    let held = |holders: &str, drained| (true, holders.to_owned(), Some(drained));
    let wanted = [
        (1, held("ann,bob", false)),
        (5, held("ann,bob", true)),
        (20, held("ann", true)),
        (60, (false, String::new(), None)),
    ];
    assert_eq!(seen, wanted);
    assert_eq!(ready(&host), ("True", "AllFine"));
    let status = host.status.unwrap();
    assert_eq!(status.phase, Some(Phase::Running));
    let verbs: Vec<&str> = status.operations.iter().map(|o| o.verb.as_str()).collect();
    assert_eq!(verbs, ["maintenance-on", "maintenance-off"]);
    assert_eq!(status.operations[0].reason.as_deref(), Some("disk swap"));
}

#[test]
fn a_hold_that_is_taken_away_is_confirmed_ended() {
    let mut host = running_host();
    host.spec.maintenance.insert("ann".into(), change::hold("disk swap", at(0), 6_000));
    play(&mut host, at(0), |_| ());
    assert_eq!(ready(&host), ("False", "Held"));
    assert_eq!(host.status.as_ref().unwrap().phase, Some(Phase::Maintenance));
    host.spec.maintenance.clear();
    play(&mut host, at(100), |_| ());
    assert_eq!(ready(&host), ("True", "AllFine"));
    assert!(!host.status.unwrap().maintenance.unwrap().active);
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
            assert_eq!((run.rc, run.tail.is_some()), (Some(if failed { 2 } else { 0 }), failed));
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
        lifecycle(&mut host, at(second));
        agent(&mut host, at(second));
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
fn a_host_that_somebody_made_by_hand_gets_a_phase() {
    let mut host = Host::default();
    play(&mut host, at(0), |_| ());
    assert_eq!(host.status.as_ref().unwrap().phase, Some(Phase::Planned));
}

#[test]
fn ten_operations_are_kept() {
    let mut status = HostStatus::default();
    for second in 0..12 {
        keep(&mut status, "maintenance-on", "ann", None, at(second));
    }
    assert_eq!(status.operations.len(), OPERATIONS);
    assert_eq!(status.operations[0].at, Time(at(2)));
}
