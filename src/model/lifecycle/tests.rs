use proptest::prelude::*;

use super::*;
use crate::model::host::{AnsibleRequest, SourceFacts};
use crate::model::sample;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

/// Derives and puts it into the host; whether that changed anything.
fn step(host: &mut Host, agent: Option<bool>, decisions: &[Operation], now: Timestamp) -> bool {
    let before = host.clone();
    derive(&View { host: &before, agent, decisions, now }).put(host);
    let sorted = |host: &Host| {
        let mut status = host.status.clone().unwrap_or_default();
        status.conditions.sort_by(|a, b| a.type_.cmp(&b.type_));
        (status, host.metadata.labels.clone())
    };
    sorted(&before) != sorted(host)
}

fn from_source(state: Phase) -> Host {
    let facts = SourceFacts { state, ..SourceFacts::default() };
    let mut host = Host::default();
    host.spec.provider_id = Some("aws:///a/i-1".into());
    host.status.get_or_insert_default().sources.insert("aws".into(), facts);
    host
}

fn hold(since: i64, until: i64) -> Hold {
    change::hold("disk swap", at(since), u64::try_from(until - since).unwrap())
}

fn of(host: &Host, type_: &str) -> Option<(String, String)> {
    let all = &host.status.as_ref().unwrap().conditions;
    condition::find(all, type_).map(|c| (c.status.clone(), c.reason.clone()))
}

fn word(status: &str, reason: &str) -> (String, String) {
    (status.to_owned(), reason.to_owned())
}

#[test]
fn the_word_for_a_host_follows_from_source_agent_and_holds() {
    use Phase as P;
    let impaired = |mut host: Host| {
        let healthy = condition(None, condition::PROVIDER_HEALTHY, false, "Checks", "", at(0));
        host.status.as_mut().unwrap().conditions.push(healthy);
        host
    };
    let mut held = from_source(P::Stopped);
    held.spec.maintenance.insert("ann".into(), hold(0, 60));
    let mut deleting = held.clone();
    deleting.metadata.deletion_timestamp = Some(Time(at(0)));
    let mut by_hand = Host::default();
    by_hand.spec.provider_id = Some("aws:///a/i-1".into());
    let mut two = from_source(P::Gone);
    let facts = SourceFacts { state: P::Running, ..SourceFacts::default() };
    two.status.as_mut().unwrap().sources.insert("capi".into(), facts);
    let (yes, no) = (Some(true), Some(false));
    let cases = vec![
        (from_source(P::Running), None, P::Running, "True", "AllFine"),
        (from_source(P::Running), yes, P::Running, "True", "AllFine"),
        (from_source(P::Running), no, P::Unreachable, "False", "AgentSilent"),
        (from_source(P::Stopped), no, P::Stopped, "False", "Stopped"),
        (from_source(P::Pending), None, P::Pending, "False", "Starting"),
        (from_source(P::Missing), None, P::Missing, "False", "NotListed"),
        (from_source(P::Gone), None, P::Gone, "False", "Gone"),
        (from_source(P::Maintenance), None, P::Maintenance, "False", "ProviderMaintenance"),
        (from_source(P::Unknown), None, P::Unknown, "Unknown", "NothingKnown"),
        (from_source(P::Unknown), yes, P::Running, "True", "AllFine"),
        (impaired(from_source(P::Running)), yes, P::Running, "False", "ProviderImpaired"),
        (two, None, P::Running, "True", "AllFine"),
        (held, no, P::Maintenance, "False", "Held"),
        (deleting, yes, P::Decommissioning, "False", "Deleting"),
        (Host::default(), None, P::Planned, "False", "NotBuilt"),
        (by_hand.clone(), None, P::Unknown, "Unknown", "NothingKnown"),
        (by_hand.clone(), no, P::Unreachable, "False", "AgentSilent"),
        (by_hand, yes, P::Running, "True", "AllFine"),
    ];
    for (host, agent, phase, ready, reason) in cases {
        let mut after = host.clone();
        step(&mut after, agent, &[], at(1));
        let what = format!("{agent:?} {host:?}");
        assert_eq!(after.status.as_ref().unwrap().phase, Some(phase), "{what}");
        assert_eq!(of(&after, READY), Some(word(ready, reason)), "{what}");
        let beat = agent.map(|fresh| if fresh { "True" } else { "False" });
        assert_eq!(of(&after, AGENT_READY).map(|c| c.0).as_deref(), beat);
    }
}

#[test]
fn whether_it_is_in_service_is_said_with_the_time_since() {
    let since = |host: &Host| {
        let all = &host.status.as_ref().unwrap().conditions;
        condition::find(all, IN_SERVICE).unwrap().last_transition_time.0
    };
    let mut host = from_source(Phase::Stopped);
    step(&mut host, None, &[], at(1));
    assert_eq!(of(&host, IN_SERVICE), Some(word("True", "InService")), "it is meant to serve");
    for (n, (state, reason)) in [
        (ServiceState::Quarantined, "Quarantined"),
        (ServiceState::OutOfService, "OutOfService"),
        (ServiceState::Retired, "Retired"),
    ]
    .into_iter()
    .enumerate()
    {
        host.spec.service_state = state;
        step(&mut host, None, &[], at(10 + i64::try_from(n).unwrap()));
        assert_eq!(of(&host, IN_SERVICE), Some(word("False", reason)));
        assert_eq!(since(&host), at(10));
    }
    host.spec.service_state = ServiceState::InService;
    host.spec.maintenance.insert("ann".into(), hold(0, 60));
    step(&mut host, None, &[], at(30));
    assert_eq!(of(&host, IN_SERVICE), Some(word("False", "Held")));
    step(&mut host, None, &[], at(60));
    assert_eq!((of(&host, IN_SERVICE), since(&host)), (Some(word("True", "InService")), at(60)));
    assert!(!step(&mut host, None, &[], at(99)));
    host.metadata.deletion_timestamp = Some(Time(at(100)));
    step(&mut host, None, &[], at(100));
    assert_eq!(of(&host, IN_SERVICE), Some(word("False", "Deleting")));
    for (phase, reason) in [(Phase::Gone, "Gone"), (Phase::Planned, "NotBuilt")] {
        let mut host = from_source(phase);
        step(&mut host, None, &[], at(1));
        assert_eq!(of(&host, IN_SERVICE), Some(word("False", reason)));
    }
}

#[test]
fn holds_of_several_begin_and_end_each_by_itself() {
    let mut host = from_source(Phase::Running);
    step(&mut host, None, &[], at(0));
    assert_eq!((due(&host, at(0)), of(&host, IN_MAINTENANCE)), (None, None));
    host.spec.maintenance.insert("ann".into(), hold(0, 7_200));
    host.spec.maintenance.insert("bob".into(), hold(200, 3_600));
    let state = |host: &Host| {
        let m = host.status.as_ref().unwrap().maintenance.clone().unwrap();
        (m.active, m.holders.unwrap_or_default(), m.until.map(|t| t.0))
    };
    step(&mut host, None, &[], at(0));
    assert_eq!(state(&host), (true, "ann".into(), Some(at(7_200))));
    let begins = at(200).saturating_sub(CLOCK_SLACK).unwrap();
    assert_eq!(due(&host, at(0)), Some(begins));
    step(&mut host, None, &[], begins);
    assert_eq!(state(&host), (true, "ann,bob".into(), Some(at(7_200))));
    assert_eq!(due(&host, begins), Some(at(3_600 - 900)));
    let soon: Vec<&str> = soon_over(&host, at(2_700)).map(|(holder, _)| holder).collect();
    assert_eq!(soon, ["bob"]);
    assert_eq!(due(&host, at(2_700)), Some(at(3_600)));
    step(&mut host, None, &[], at(3_600));
    let over: Vec<String> = run_out(&host, at(3_600)).map(|(holder, _)| holder.into()).collect();
    assert_eq!(over, ["bob"]);
    host.spec.maintenance.remove("bob");
    assert!(!step(&mut host, None, &[], at(3_600)), "it was told already");
    assert_eq!(state(&host), (true, "ann".into(), Some(at(7_200))));
    assert_eq!(of(&host, IN_MAINTENANCE), Some(word("True", "Held")));

    host.spec.maintenance.get_mut("ann").unwrap().until = Time(at(9_000));
    step(&mut host, None, &[], at(4_000));
    host.spec.maintenance.clear();
    step(&mut host, None, &[], at(5_000));
    assert_eq!(state(&host), (false, String::new(), None));
    assert_eq!(of(&host, IN_MAINTENANCE), Some(word("False", "NotHeld")));
    assert_eq!(of(&host, READY), Some(word("True", "AllFine")));
    let told: Vec<_> = host.status.unwrap().operations;
    let told: Vec<(&str, &str, Timestamp, &str)> =
        told.iter().map(|o| (&*o.verb, &*o.by, o.at.0, o.result.as_deref().unwrap())).collect();
    let (ann, bob) = (format!("until {}", at(9_000)), format!("until {}", at(3_600)));
    assert_eq!(
        told,
        [
            ("maintenance-on", "ann", at(0), &*ann),
            ("maintenance-on", "bob", at(200), &*bob),
            ("maintenance-off", "bob", at(3_600), "ran out"),
            ("maintenance-off", "ann", at(5_000), "ended"),
        ]
    );
}

#[test]
fn a_short_hold_needs_no_warning() {
    let mut host = from_source(Phase::Running);
    host.spec.maintenance.insert("ann".into(), hold(0, 900));
    assert_eq!(soon_over(&host, at(899)).count(), 0);
    assert_eq!(due(&host, at(0)), Some(at(900)));
}

#[test]
fn drained_is_what_the_agent_says_and_only_where_somebody_wants_it() {
    let mut host = from_source(Phase::Running);
    host.spec.maintenance.insert("ann".into(), hold(0, 60));
    let drained = |host: &mut Host| {
        step(host, None, &[], at(1));
        host.status.as_ref().unwrap().maintenance.as_ref().unwrap().drained
    };
    assert_eq!(drained(&mut host), Some(false));
    let said = condition(None, DRAINED, true, "Drained", "", at(1));
    host.status.as_mut().unwrap().conditions.push(said);
    assert_eq!(drained(&mut host), Some(true));
    assert!(of(&host, DRAINED).is_some(), "it is the agent's");
    host.spec.maintenance.get_mut("ann").unwrap().mode = HoldMode::Observe;
    assert_eq!(drained(&mut host), None);
}

#[test]
fn labels_mirror_spec_and_stay_legal() {
    let mut host = from_source(Phase::Running);
    host.metadata.labels.get_or_insert_default().insert("own".into(), "x".into());
    host.spec.cluster = Some("Shop / EU".into());
    host.spec.team = Some(String::new());
    host.spec.maintenance.insert("ann".into(), hold(0, 60));
    step(&mut host, None, &[], at(0));
    let all = host.metadata.labels.clone().unwrap();
    assert!(all[labels::CLUSTER].starts_with("Shop-EU-"));
    assert_eq!((&*all[labels::SERVICE_STATE], &*all[labels::MAINTENANCE]), ("InService", "true"));
    assert!(!all.contains_key(labels::TEAM) && all["own"] == "x");
    step(&mut host, None, &[], at(60));
    assert!(!host.metadata.labels.unwrap().contains_key(labels::MAINTENANCE));
}

fn request(id: &str, cancel: bool) -> AnsibleRequest {
    AnsibleRequest {
        request_id: id.into(),
        playbook: "site.yml".into(),
        revision: None,
        tags: Vec::new(),
        check: false,
        extra_vars: BTreeMap::new(),
        timeout_seconds: None,
        requested_by: Some("ann".into()),
        reason: None,
        cancel,
    }
}

fn run(id: &str, state: RunState, second: i64) -> AnsibleStatus {
    let mut host = Host::default();
    host.spec.ansible = Some(request(id, true));
    let finished_at = state.is_final().then_some(Time(at(second)));
    AnsibleStatus { state, finished_at, ..canceled(&host, at(second)).unwrap() }
}

#[test]
fn only_what_nobody_began_is_canceled() {
    use RunState as R;
    let mut host = Host::default();
    host.spec.ansible = Some(request("a", false));
    assert_eq!(canceled(&host, at(0)), None);
    host.spec.ansible = Some(request("a", true));
    for (last, wanted) in [
        (None, true),
        (Some(("a", R::Queued)), true),
        (Some(("b", R::Queued)), true),
        (Some(("b", R::Succeeded)), true),
        (Some(("b", R::Running)), false),
        (Some(("a", R::Running)), false),
        (Some(("a", R::Succeeded)), false),
        (Some(("a", R::Canceled)), false),
    ] {
        let last = last.map(|(id, state)| run(id, state, 0));
        host.status.get_or_insert_default().ansible = last.clone();
        let made = canceled(&host, at(5));
        assert_eq!(made.is_some(), wanted, "{last:?}");
        let Some(made) = made else { continue };
        let mut object = serde_json::to_value(&host).unwrap();
        json_patch::merge(&mut object, &canceled_patch(&host, &made));
        let after: Host = serde_json::from_value(object).unwrap();
        assert_eq!(after.status.as_ref().unwrap().ansible, Some(made));
        assert_eq!(canceled(&after, at(6)), None);
    }
}

fn decided(n: i64, at: Timestamp) -> Operation {
    Operation {
        id: format!("csr-{n}"),
        verb: "certificate-approve".into(),
        by: "ann".into(),
        at: Time(at),
        reason: Some("HostMatched".into()),
        result: Some("approved".into()),
    }
}

#[test]
fn runs_and_decisions_are_told_once_and_old_news_never_comes_back() {
    let mut host = from_source(Phase::Running);
    let early: Vec<Operation> = (0..4).map(|n| decided(n, at(n))).collect();
    step(&mut host, None, &early, at(10));
    assert!(!step(&mut host, None, &early, at(11)));
    for n in 0..12 {
        host.spec.ansible = Some(request(&format!("r{n}"), false));
        let ended = run(&format!("r{n}"), RunState::Failed, 20 + n);
        host.status.as_mut().unwrap().ansible = Some(ended);
        assert!(step(&mut host, None, &early, at(20 + n)));
        assert!(!step(&mut host, None, &early, at(21 + n)), "{n}");
    }
    let ring = &host.status.as_ref().unwrap().operations;
    let ids: Vec<&str> = ring.iter().map(|o| o.id.as_str()).collect();
    assert_eq!(ids, ["r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11"]);
    assert_eq!(ring[0].by, "ann");
    assert_eq!(ring[0].result.as_deref(), Some("failed: canceled before anybody began it"));
}

#[test]
fn the_sample_fleet_keeps_its_words() {
    for host in sample::fleet(2_000, at(0)) {
        let status = host.status.as_ref().unwrap();
        let silent = condition::find(&status.conditions, AGENT_READY).unwrap().status == "False";
        let mut after = host.clone();
        step(&mut after, Some(!silent), &[], at(0));
        assert_eq!(after.status.as_ref().unwrap().phase, status.phase, "{host:?}");
        assert_eq!(of(&after, READY), of(&host, READY), "{host:?}");
        for key in [labels::CLUSTER, labels::ROLE, labels::TEAM, labels::ENVIRONMENT] {
            assert_eq!(
                after.metadata.labels.as_ref().unwrap()[key],
                host.metadata.labels.as_ref().unwrap()[key]
            );
        }
    }
}

/// Something that somebody does to a host.
#[derive(Clone, Debug)]
enum Act {
    Hold { holder: u8, since: i64, length: i64 },
    End(u8),
    Run(u8),
    Decide(u8),
    Clean,
    Wait(i64),
}

fn acts() -> impl Strategy<Value = Vec<(Act, Option<bool>)>> {
    let act = prop_oneof![
        (0..4_u8, -300..300_i64, 1..5_000_i64).prop_map(|(holder, since, length)| Act::Hold {
            holder,
            since,
            length
        }),
        (0..4_u8).prop_map(Act::End),
        any::<u8>().prop_map(Act::Run),
        any::<u8>().prop_map(Act::Decide),
        Just(Act::Clean),
        (0..4_000_i64).prop_map(Act::Wait),
    ];
    proptest::collection::vec((act, any::<Option<bool>>()), 0..60)
}

proptest! {
    #[test]
    fn it_settles_at_once_and_no_hold_ends_with_another(acts in acts()) {
        let (mut host, mut now, mut decisions) = (from_source(Phase::Running), 0, Vec::new());
        for (act, agent) in acts {
            match act {
                Act::Hold { holder, since, length } => {
                    let hold = hold(now + since, now + since + length);
                    host.spec.maintenance.insert(format!("h{holder}"), hold);
                }
                Act::End(holder) => drop(host.spec.maintenance.remove(&format!("h{holder}"))),
                Act::Run(id) => {
                    host.status.get_or_insert_default().ansible =
                        Some(run(&format!("r{id}"), RunState::Succeeded, now));
                }
                Act::Decide(id) => decisions.push(decided(id.into(), at(now))),
                Act::Clean => {
                    let over: Vec<String> =
                        run_out(&host, at(now)).map(|(holder, _)| holder.to_owned()).collect();
                    let before: Vec<String> =
                        current(&host, at(now)).map(|(holder, _)| holder.to_owned()).collect();
                    host.spec.maintenance.retain(|holder, _| !over.contains(holder));
                    let after: Vec<String> =
                        current(&host, at(now)).map(|(holder, _)| holder.to_owned()).collect();
                    prop_assert_eq!(before, after);
                }
                Act::Wait(seconds) => now += seconds,
            }
            step(&mut host, agent, &decisions, at(now));
            prop_assert!(!step(&mut host, agent, &decisions, at(now)), "twice at once");
            if due(&host, at(now)).is_none_or(|due| due > at(now + 1)) {
                prop_assert!(!step(&mut host, agent, &decisions, at(now + 1)), "before it is due");
            }
            let status = host.status.as_ref().unwrap();
            prop_assert!(status.operations.len() <= MAX_OPERATIONS);
            prop_assert!(status.operations.iter().all(|o| o.id.len() <= 64));
            let held = status.maintenance.as_ref().is_some_and(|m| m.active);
            prop_assert_eq!(held, current(&host, at(now)).count() > 0);
            let label = host.metadata.labels.as_ref().unwrap().contains_key(labels::MAINTENANCE);
            prop_assert_eq!(held, label);
        }
    }
}
