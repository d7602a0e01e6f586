use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn act(name: &str) -> Step {
    Step {
        name: name.to_owned(),
        owners: None,
        once: false,
        continue_on_failure: false,
        attempts: 3,
        pause: SignedDuration::from_secs(2),
        longest_pause: SignedDuration::from_secs(60),
        again_after: SignedDuration::from_mins(10),
    }
}

fn owners_step(name: &str, owners: &[&str]) -> Step {
    Step { owners: Some(owners.iter().map(|o| (*o).to_owned()).collect()), ..act(name) }
}

/// A host that is being deleted, the file, and the clock.
struct World {
    host: Host,
    steps: Vec<Step>,
    now: i64,
}

impl World {
    fn new(steps: Vec<Step>) -> Self {
        let mut host = Host::new("web-1", crate::model::host::HostSpec::default());
        host.metadata.finalizers = Some(vec![FINALIZER.to_owned(), "example.com/mine".to_owned()]);
        host.metadata.deletion_timestamp = Some(Time(at(0)));
        Self { host, steps, now: 1_000 }
    }

    fn judge(&self) -> Verdict {
        let chosen: Vec<&str> = self.steps.iter().map(|step| step.name.as_str()).collect();
        judge(&View {
            host: &self.host,
            steps: &self.steps,
            chosen: &chosen,
            alert_after: SignedDuration::from_hours(1),
            now: at(self.now),
        })
    }

    /// Judges, and writes it down as the server does.
    fn turn(&mut self) -> Verdict {
        let verdict = self.judge();
        let status = self.host.status.get_or_insert_default();
        status.decommission = Some(verdict.status.clone());
        status.conditions = vec![verdict.condition.clone()];
        verdict
    }

    fn record(&self) -> &DecommissionStatus {
        self.host.status.as_ref().unwrap().decommission.as_ref().unwrap()
    }

    fn ends(&mut self, verdict: &Verdict, outcome: &Outcome) {
        let Act::Run { step, attempt } = &verdict.act else { panic!("{verdict:?}") };
        let known = self.steps.iter().find(|s| s.name == *step).unwrap();
        let record = ended(self.record(), known, *attempt, outcome, at(self.now), 1.0);
        self.host.status.as_mut().unwrap().decommission = Some(record.unwrap());
    }

    fn annotate(&mut self, key: &str, value: Option<&str>) {
        let all: &mut BTreeMap<String, String> =
            self.host.metadata.annotations.get_or_insert_default();
        match value {
            Some(value) => drop(all.insert(key.to_owned(), value.to_owned())),
            None => drop(all.remove(key)),
        }
    }

    fn states(&self) -> Vec<StepState> {
        self.record().steps.iter().map(|step| step.state).collect()
    }
}

fn runs(verdict: &Verdict) -> Option<(&str, i32)> {
    match &verdict.act {
        Act::Run { step, attempt } => Some((step, *attempt)),
        _ => None,
    }
}

fn done() -> Outcome {
    Outcome::Done("fine".to_owned())
}

fn failed() -> Outcome {
    Outcome::Failed("no\u{1b}".to_owned())
}

#[test]
fn one_after_the_other_and_then_the_end() {
    let mut world = World::new(vec![act("drain"), act("dns")]);
    let first = world.turn();
    assert_eq!(runs(&first), Some(("drain", 1)));
    assert_eq!(world.states(), [StepState::Running, StepState::Pending]);
    assert_eq!(first.condition.reason, "StepRuns");
    assert!(first.condition.message.starts_with("step 1 of 2, drain: attempt 1"));
    world.ends(&first, &done());
    let second = world.turn();
    assert_eq!(runs(&second), Some(("dns", 1)));
    world.ends(&second, &done());
    let last = world.turn();
    assert_eq!(last.act, Act::Finish);
    assert_eq!(last.condition.message, "2 steps done; other finalizers: example.com/mine");
    assert_eq!(last.condition.last_transition_time, Time(at(1_000)));
    assert_eq!(world.turn(), last, "the second pass writes nothing");
    assert_eq!(story(world.record()), "drain Succeeded, dns Succeeded");
}

#[test]
fn a_failure_is_tried_again_later_and_later_then_told_and_never_left_out() {
    let mut world = World::new(vec![act("drain"), act("dns")]);
    let mut pauses = Vec::new();
    for n in 1..=7 {
        let verdict = world.turn();
        assert_eq!(runs(&verdict), Some(("drain", n)));
        let before = world.record().clone();
        world.ends(&verdict, &failed());
        let told: Vec<&str> =
            tidings(Some(&before), world.record()).iter().map(|t| t.reason).collect();
        let stuck = n % 3 == 0;
        assert_eq!(told, [if stuck { "StepStuck" } else { "StepFailed" }]);
        let wait = world.turn();
        let Act::Wait { until: Some(until), retry } = wait.act else { panic!("{wait:?}") };
        assert_eq!(retry, !stuck);
        assert!(wait.condition.message.ends_with(": no\u{fffd}"), "{}", wait.condition.message);
        assert_eq!(world.turn(), wait);
        pauses.push(until.as_second() - world.now);
        world.now = until.as_second();
    }
    assert_eq!(pauses, [2, 4, 660, 2, 4, 660, 2]);
    assert_eq!(world.record().steps[1].attempts, 0);
}

#[test]
fn what_may_fail_does_not_hold_up_the_rest() {
    let drain = Step { continue_on_failure: true, attempts: 2, ..act("drain") };
    let mut world = World::new(vec![drain, act("dns")]);
    let verdict = world.turn();
    world.ends(&verdict, &Outcome::NotBegun("refused".into()));
    world.now += 10;
    let verdict = world.turn();
    world.ends(&verdict, &failed());
    assert_eq!(world.states()[0], StepState::Failed);
    let verdict = world.turn();
    assert_eq!(runs(&verdict), Some(("dns", 1)));
    world.ends(&verdict, &done());
    let last = world.turn();
    assert_eq!(last.act, Act::Finish);
    assert!(last.condition.message.contains("of them failed: drain"));
}

#[test]
fn what_may_run_once_waits_for_a_person_when_its_end_is_not_known() {
    let wipe = || Step { once: true, ..act("wipe") };
    let mut world = World::new(vec![wipe(), act("dns")]);
    assert_eq!(runs(&world.turn()), Some(("wipe", 1)));
    // The service dies here.
    let before = world.record().clone();
    let wait = world.turn();
    assert_eq!(wait.condition.reason, "StepUnknown");
    assert!(wait.condition.message.contains("decommission-answer=wipe/1=done or =again"));
    assert!(tidings(Some(&before), world.record()).iter().any(|t| t.reason == "StepUnknown"));
    for said in ["wipe/2=again", "dns/1=done", "wipe/1=yes", "wipe/1", ""] {
        world.annotate(STEP_ANSWER, Some(said));
        assert_eq!(world.turn().act, wait.act, "{said}");
    }
    world.annotate(STEP_ANSWER, Some("wipe/1=again"));
    let again = world.turn();
    assert_eq!(runs(&again), Some(("wipe", 2)));
    // The same answer counts once.
    world.ends(&again, &failed());
    assert_eq!(world.turn().condition.reason, "StepUnknown");
    world.annotate(STEP_ANSWER, Some("wipe/2=done"));
    assert_eq!(runs(&world.turn()), Some(("dns", 1)));
    assert_eq!(world.states()[0], StepState::Succeeded);

    // What was never begun is tried again by itself.
    let mut world = World::new(vec![wipe()]);
    let verdict = world.turn();
    world.ends(&verdict, &Outcome::NotBegun("connection refused".into()));
    assert_eq!(world.states(), [StepState::Retrying]);
}

#[test]
fn an_idempotent_step_is_begun_again_after_a_crash() {
    let mut world = World::new(vec![act("drain")]);
    world.turn();
    let again = world.turn();
    assert_eq!(runs(&again), Some(("drain", 2)));
    // The end of the first attempt comes too late to count.
    assert_eq!(ended(world.record(), &world.steps[0], 1, &done(), at(5), 0.0), None);
}

#[test]
fn what_keeps_a_host_is_waited_for_and_told_when_it_takes_too_long() {
    let mut world = World::new(vec![act("drain")]);
    world.annotate(PROTECT, Some("payments"));
    let wait = world.turn();
    assert_eq!(wait.condition.reason, "Protected");
    assert_eq!(wait.act, Act::Wait { until: Some(at(4_600)), retry: false });
    world.now += 60;
    assert_eq!(world.turn(), wait, "time alone changes nothing");
    world.now = 4_600;
    let before = world.record().clone();
    let late = world.turn();
    assert!(late.condition.message.ends_with("since 1970-01-01T00:16:40Z, which is too long"));
    let told = tidings(Some(&before), &late.status);
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].warning, told[0].reason), (true, "DecommissionOverdue"));

    world.annotate(PROTECT, None);
    let hold =
        json!({"reason": "disk", "since": "1970-01-01T00:00:00Z", "until": at(5_000).to_string()});
    world.host.spec.maintenance.insert("ann".into(), serde_json::from_value(hold).unwrap());
    let kept = world.turn();
    assert_eq!(kept.condition.reason, "Held");
    assert!(kept.condition.message.starts_with("it is held by ann, since"));
    assert_eq!(kept.act, Act::Wait { until: Some(at(5_000)), retry: false });
    world.now = 5_000;
    world.host.spec.paused = true;
    assert_eq!(world.turn().condition.reason, "Paused");
    world.host.spec.paused = false;
    let run = json!({"requestID": "a", "state": "Running"});
    world.host.status.as_mut().unwrap().ansible = serde_json::from_value(run).unwrap();
    assert_eq!(world.turn().condition.reason, "RunGoesOn");
    world.host.status.as_mut().unwrap().ansible = None;
    assert_eq!(runs(&world.turn()), Some(("drain", 1)));
    assert_eq!(world.record().waiting, None);
}

#[test]
fn owners_are_waited_for_in_order_and_those_without_a_place_first() {
    let hook = |owner: &str| format!("{OWNER_HOOK}{owner}");
    let steps = vec![
        owners_step("first", &["backup", "dns"]),
        act("drain"),
        owners_step("last", &["billing"]),
    ];
    let mut world = World::new(steps);
    for owner in ["dns", "backup", "billing", "stranger"] {
        world.annotate(&hook(owner), Some("x"));
    }
    for owner in ["stranger", "backup", "dns"] {
        let wait = world.turn();
        assert!(wait.condition.message.contains(&format!("owner \"{owner}\"")), "{wait:?}");
        world.annotate(&hook(owner), None);
        world.now += 5;
    }
    let verdict = world.turn();
    assert_eq!(runs(&verdict), Some(("drain", 1)));
    world.ends(&verdict, &done());
    assert!(world.turn().condition.message.starts_with("step 3 of 3, last: its owner \"billing\""));
    // One that comes back is waited for again, wherever the steps are.
    world.annotate(&hook("backup"), Some("x"));
    assert!(world.turn().condition.message.contains("owner \"backup\""));
    world.annotate(&hook("backup"), None);
    world.annotate(&hook("billing"), None);
    assert_eq!(world.turn().act, Act::Finish);

    let mut world = World::new(vec![act("drain"), owners_step("all", &["*"])]);
    world.annotate(&hook("x"), Some(""));
    let verdict = world.turn();
    assert_eq!(runs(&verdict), Some(("drain", 1)), "everybody has a place");
    world.ends(&verdict, &done());
    assert_eq!(world.turn().condition.reason, "OwnerKeepsIt");
}

#[test]
fn a_step_that_the_file_lost_is_not_left_out() {
    let mut world = World::new(vec![act("drain"), act("dns")]);
    let verdict = world.turn();
    world.ends(&verdict, &done());
    world.steps = vec![act("drain"), act("new")];
    assert_eq!(world.turn().condition.reason, "StepMissing");
    world.annotate(STEP_ANSWER, Some("dns/0=done"));
    assert_eq!(world.turn().act, Act::Finish, "what is new in the file is for later hosts");
}

#[test]
fn of_a_host_only_its_steps_are_planned() {
    let mut world = World::new(vec![act("drain"), act("dns")]);
    let view = View {
        host: &world.host,
        steps: &world.steps,
        chosen: &["dns"],
        alert_after: SignedDuration::from_hours(1),
        now: at(1),
    };
    let verdict = judge(&view);
    assert_eq!(runs(&verdict), Some(("dns", 1)));
    world.host.status.get_or_insert_default().decommission = Some(verdict.status);
    assert_eq!(world.record().steps.len(), 1);
}

#[derive(Clone, Debug)]
enum Happening {
    Ends(Outcome),
    Dies,
    Later(i64),
    Protects(bool),
    Owner(bool),
    Says(bool),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => Just(Happening::Ends(done())),
        2 => Just(Happening::Ends(failed())),
        1 => Just(Happening::Ends(Outcome::NotBegun("x".into()))),
        2 => Just(Happening::Dies),
        2 => (1_i64..2_000).prop_map(Happening::Later),
        1 => any::<bool>().prop_map(Happening::Protects),
        1 => any::<bool>().prop_map(Happening::Owner),
        2 => any::<bool>().prop_map(Happening::Says),
    ]
}

fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    let one = (any::<bool>(), any::<bool>(), 1_u32..4, 0_u8..4);
    prop::collection::vec(one, 0..5).prop_map(|all| {
        let each = all.into_iter().enumerate();
        each.map(|(n, (once, continue_on_failure, attempts, owners))| {
            let owners = (owners == 0).then(|| vec!["backup".to_owned()]);
            Step { owners, once, continue_on_failure, attempts, ..act(&format!("s{n}")) }
        })
        .collect()
    })
}

proptest! {
    /// Whatever happens: the order is kept, nothing is left out, a step that may run once never runs
    /// again unasked, and when all goes well from some moment on, the end is reached.
    #[test]
    fn order_is_kept_and_the_end_comes_last(
        steps in any_steps(), all in prop::collection::vec(happening(), 0..60),
    ) {
        let mut world = World::new(steps);
        let mut begun: BTreeMap<String, Vec<i32>> = BTreeMap::new();
        let mut permitted: BTreeMap<String, usize> = BTreeMap::new();
        let rest = std::iter::repeat_n(Happening::Ends(done()), 40);
        let calm = all.len();
        let mut finished = false;
        for (n, happening) in all.into_iter().chain(rest).enumerate() {
            if n == calm {
                world.annotate(PROTECT, None);
                world.annotate(&format!("{OWNER_HOOK}backup"), None);
            }
            if n >= calm {
                world.now += 2_000;
                let unknown = world.host.status.as_ref().and_then(|s| {
                    let steps = &s.decommission.as_ref()?.steps;
                    steps.iter().find(|s| s.state == StepState::Unknown).cloned()
                });
                if let Some(step) = unknown {
                    world.annotate(STEP_ANSWER, Some(&format!("{}/{}=done", step.name, step.attempts)));
                }
            }
            let before = world.host.clone();
            let verdict = world.turn();
            let states = world.states();
            // One thing at a time, and everything before it is over.
            let first_open = states.iter().position(|s| !s.is_over()).unwrap_or(states.len());
            prop_assert!(states.iter().skip(first_open + 1).all(|s| *s == StepState::Pending));
            match &verdict.act {
                Act::Run { step, attempt } => {
                    let name = &world.record().steps[first_open].name;
                    prop_assert_eq!(step, name);
                    prop_assert!(!before.metadata.annotations.iter().flatten().any(|(k, _)| k == PROTECT));
                    let numbers = begun.entry(step.clone()).or_default();
                    prop_assert!(numbers.last().is_none_or(|last| last < attempt));
                    numbers.push(*attempt);
                    let known = world.steps.iter().find(|s| s.name == *step).unwrap();
                    if known.once {
                        let may = permitted.get(step).copied().unwrap_or(0) + 1;
                        prop_assert!(numbers.len() <= may, "{step} began {} of {may} times", numbers.len());
                    }
                }
                Act::Finish => {
                    finished = true;
                    prop_assert_eq!(first_open, states.len());
                    for known in &world.steps {
                        prop_assert!(known.owners.is_some() || begun.contains_key(&known.name));
                    }
                    prop_assert_eq!(&world.judge(), &verdict);
                    break;
                }
                Act::Wait { .. } => prop_assert_eq!(&world.judge(), &verdict),
            }
            match happening {
                Happening::Ends(outcome) => {
                    if let Act::Run { step, .. } = &verdict.act {
                        if matches!(outcome, Outcome::NotBegun(_)) {
                            *permitted.entry(step.clone()).or_default() += 1;
                        }
                        world.ends(&verdict, &outcome);
                    }
                }
                Happening::Dies => {}
                Happening::Later(seconds) => world.now += seconds,
                Happening::Protects(on) => world.annotate(PROTECT, on.then_some("x")),
                Happening::Owner(on) => {
                    world.annotate(&format!("{OWNER_HOOK}backup"), on.then_some("x"));
                }
                Happening::Says(again) => {
                    let unknown = world.record().steps.iter().find(|s| s.state == StepState::Unknown);
                    if let Some(step) = unknown.cloned() {
                        let word = if again { "again" } else { "done" };
                        *permitted.entry(step.name.clone()).or_default() += usize::from(again);
                        world.annotate(
                            STEP_ANSWER,
                            Some(&format!("{}/{}={word}", step.name, step.attempts)),
                        );
                    }
                }
            }
        }
        prop_assert!(finished, "{:?}", world.record());
    }
}
