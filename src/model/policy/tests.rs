use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::SignedDuration;
use k8s_openapi::jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;
use crate::model::change::hold;
use crate::model::cluster::{ClusterSpec, Window};
use crate::model::host::{AnsibleRequest, HostStatus};

fn now() -> Timestamp {
    Timestamp::from_second(1_000_000).unwrap()
}

fn fine() -> Facts {
    Facts {
        name: "h".to_owned(),
        phase: Phase::Running,
        ready: Some(true),
        agent_ready: Some(true),
        ..Facts::default()
    }
}

fn found(verb: Verb, facts: &Facts, bulk: bool) -> Vec<(&'static str, Pass)> {
    let checks = checks(verb, facts, None, "ann", bulk);
    checks.iter().filter(|c| c.pass != Pass::Yes).map(|c| (c.what, c.pass)).collect()
}

fn request(id: &str) -> AnsibleRequest {
    serde_json::from_value(serde_json::json!({"requestID": id, "playbook": "site.yml"})).unwrap()
}

#[test]
fn a_host_that_does_well_passes_everything() {
    for verb in [Verb::MaintenanceOn, Verb::MaintenanceOff, Verb::Run] {
        assert_eq!(found(verb, &fine(), true), [], "{verb:?}");
    }
}

#[test]
fn each_thing_that_is_wrong_is_found() {
    use Pass::{Never, No, Note};
    let deleting = Facts { deleting: true, ..fine() };
    for verb in [Verb::MaintenanceOn, Verb::MaintenanceOff, Verb::Run] {
        assert_eq!(found(verb, &deleting, false), [("host is there to stay", Never)]);
    }
    let held = Facts { holders: vec!["ann".to_owned(), "bob".to_owned()], ..fine() };
    assert_eq!(found(Verb::MaintenanceOn, &held, false), [("nobody else holds it", Note)]);
    assert_eq!(found(Verb::Run, &held, false), [("nobody else holds it", No)]);
    let mine = Facts { holders: vec!["ann".to_owned()], ..fine() };
    assert_eq!(found(Verb::Run, &mine, false), []);
    let stopped = Facts { phase: Phase::Stopped, ..fine() };
    assert_eq!(found(Verb::MaintenanceOn, &stopped, false), [("host is healthy", Note)]);
    assert_eq!(found(Verb::Run, &stopped, false), [("host is healthy", No)]);
    let protected = Facts { protect: Some("primary".to_owned()), ..fine() };
    assert_eq!(found(Verb::Run, &protected, true), [("host is not protected", No)]);
    assert_eq!(found(Verb::Run, &protected, false), [("host is not protected", Note)]);
    assert_eq!(found(Verb::MaintenanceOff, &protected, true), []);
    let paused = Facts { paused: true, ..fine() };
    assert_eq!(found(Verb::MaintenanceOn, &paused, false), [("host is not paused", No)]);
    let silent = Facts { agent_ready: None, ..fine() };
    assert_eq!(found(Verb::Run, &silent, false), [("its agent answers", Note)]);
    let going = Facts { run: Some(RunState::Running), ..fine() };
    assert_eq!(found(Verb::Run, &going, false), [("no run goes on", Never)]);
    assert_eq!(found(Verb::CancelRun, &going, false), [("the run waits", Never)]);
    let waits = Facts { run: Some(RunState::Queued), ..fine() };
    assert_eq!(found(Verb::CancelRun, &waits, false), []);
    assert_eq!(found(Verb::CancelRun, &fine(), false), [("the run waits", Never)]);
}

#[test]
fn a_cluster_may_be_paused_closed_or_used_up() {
    let spec = ClusterSpec {
        paused: true,
        windows: vec![Window {
            cron: "0 0 1 1 *".to_owned(),
            duration: "1h".to_owned(),
            time_zone: None,
        }],
        ..ClusterSpec::default()
    };
    let budget = Budget {
        total: 10,
        max_unavailable: 1,
        away: ["x".to_owned()].into(),
        ..Budget::default()
    };
    let zones = |_: &str| Some(TimeZone::UTC);
    let cluster = ClusterFacts::of(&Cluster::new("shop", spec), Some(budget), now(), &zones);
    let no = |facts: &Facts| {
        let checks = checks(Verb::MaintenanceOn, facts, Some(&cluster), "ann", false);
        assert!(refusal(&checks, true).is_none(), "all of it may be overridden");
        checks.into_iter().filter(|c| c.pass == Pass::No).map(|c| c.why).collect::<Vec<_>>()
    };
    assert_eq!(
        no(&fine()),
        [
            "cluster shop is paused",
            "outside the windows of cluster shop: \"0 0 1 1 *\" for 1h in UTC",
            "the budget of cluster shop is used up: 1 of 1 away",
        ]
    );
    assert_eq!(no(&Facts { name: "x".to_owned(), ..fine() }).len(), 2, "it is away already");
    let off = checks(Verb::MaintenanceOff, &fine(), Some(&cluster), "ann", true);
    assert_eq!(worst(&off), Pass::Yes, "to end a maintenance is never against a rule");
}

#[test]
fn the_facts_of_a_host() {
    let mut host = Host::default();
    host.metadata.name = Some("h".to_owned());
    host.spec.maintenance.insert("ann".to_owned(), hold("swap", now(), 60));
    let ended = hold("swap", now() - SignedDuration::from_hours(2), 60);
    host.spec.maintenance.insert("bob".to_owned(), ended);
    host.spec.ansible = Some(request("a"));
    let mut status = HostStatus { phase: Some(Phase::Running), ..HostStatus::default() };
    status.conditions.push(condition::condition(None, READY, false, "Held", "", now()));
    host.status = Some(status);
    let facts = Facts::of(&host, now());
    assert_eq!(facts.holders, ["ann"]);
    assert_eq!((facts.ready, facts.agent_ready), (Some(true), None));
    assert_eq!(facts.run, Some(RunState::Queued), "asked for, and nobody has answered");
    let request = host.spec.ansible.as_mut().unwrap();
    request.cancel = true;
    assert_eq!(run_going(&host), None);
    let answer = |id: &str, state| AnsibleStatus {
        started_at: Some(Time(now())),
        ..AnsibleStatus::new(id, state)
    };
    for (id, state, going) in [
        ("a", RunState::Running, Some(RunState::Running)),
        ("a", RunState::Succeeded, None),
        ("older", RunState::Running, None),
    ] {
        host.status.as_mut().unwrap().ansible = Some(answer(id, state));
        assert_eq!(run_going(&host), going, "{id} {state:?}");
    }
    host.spec.ansible.as_mut().unwrap().cancel = false;
    assert_eq!(run_going(&host), Some(RunState::Queued), "an answer to an older request");
}

#[test]
fn the_table_of_levels() {
    let one = Extent { hosts: 1, name: "web-1".to_owned(), ..Extent::default() };
    let many = |hosts| Extent { hosts, ..Extent::default() };
    let count = |hosts: usize| Level::Type(hosts.to_string());
    let name = Level::Type("web-1".to_owned());
    for verb in [Verb::MaintenanceOn, Verb::MaintenanceOff, Verb::Run, Verb::Undo] {
        assert_eq!(level(verb, &one), Level::Confirm, "{verb:?}");
        assert_eq!(level(verb, &many(11)), count(11), "{verb:?}");
        assert_eq!(level(verb, &Extent { against: true, ..one.clone() }), name, "{verb:?}");
    }
    assert_eq!(level(Verb::MaintenanceOn, &many(2)), Level::Reason);
    assert_eq!(level(Verb::MaintenanceOff, &many(10)), Level::Reason);
    assert_eq!(level(Verb::Undo, &many(10)), Level::Confirm);
    assert_eq!(level(Verb::Run, &many(2)), count(2), "a run cannot be taken back");
    let whole = Extent { hosts: 3, name: "shop".to_owned(), whole: true, ..Extent::default() };
    assert_eq!(level(Verb::MaintenanceOn, &whole), count(3));
    let prod = Extent { protected: true, ..one };
    assert_eq!(level(Verb::MaintenanceOn, &prod), Level::Reason);
    assert_eq!(level(Verb::MaintenanceOff, &prod), Level::Confirm);
}

#[test]
fn a_protected_label_is_found_by_key_and_value() {
    let rules = Rules { protected_labels: vec!["env=prod".to_owned(), "broken".to_owned()] };
    assert_eq!(rules.protects(|key| (key == "env").then_some("prod")), Some("env=prod"));
    assert_eq!(rules.protects(|key| (key == "env").then_some("test")), None);
    assert_eq!(rules.protects(|_| None), None);
}

proptest! {
    /// More hosts, more breadth, more that is wrong: never an easier confirmation.
    #[test]
    fn policy_raises_and_never_lowers(
        hosts in 1_usize..30, more in 0_usize..30,
        flags in any::<[bool; 3]>(), raised in any::<[bool; 3]>(), verb in 0_usize..6,
    ) {
        let verb = [Verb::MaintenanceOn, Verb::MaintenanceOff, Verb::Run, Verb::CancelRun,
            Verb::Undo, Verb::Redo][verb];
        let extent = |hosts, [whole, protected, against]: [bool; 3]| Extent {
            hosts, name: "n".to_owned(), whole, protected, against,
        };
        let rank = |level: &Level| match level {
            Level::Confirm => 0,
            Level::Reason => 1,
            Level::Type(_) => 2,
        };
        let low = level(verb, &extent(hosts, flags));
        let all = [flags[0] || raised[0], flags[1] || raised[1], flags[2] || raised[2]];
        let high = level(verb, &extent(hosts + more, all));
        prop_assert!(rank(&low) <= rank(&high), "{low:?} {high:?}");
    }
}
