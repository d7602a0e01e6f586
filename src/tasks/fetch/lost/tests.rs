use super::*;
use crate::store::hosts::Known;
use crate::tasks::fetch::testing::known;

const MINUTE: i64 = 60;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn policy() -> Policy {
    Policy {
        gone_after: 3,
        grace: SignedDuration::from_secs(10 * MINUTE),
        breaker_min: 5,
        breaker_percent: 10,
    }
}

fn host(state: Phase, missed: i32, since: i64) -> Known {
    Known { state, missed, since: at(since), ..known() }
}

#[test]
fn missing_then_gone_then_removed() {
    let now = at(1_000);
    for state in
        [Phase::Running, Phase::Stopped, Phase::Unknown, Phase::Planned, Phase::Maintenance]
    {
        let verdict = absent(&host(state, 0, 0), &policy(), now);
        assert_eq!(verdict, Verdict::Mark(Phase::Missing, 1), "{state:?}");
    }
    let missing = |missed| absent(&host(Phase::Missing, missed, 900), &policy(), now);
    assert_eq!(missing(1), Verdict::Mark(Phase::Missing, 2));
    assert_eq!(missing(2), Verdict::Mark(Phase::Gone, 3));
    assert_eq!(missing(i32::MAX), Verdict::Mark(Phase::Gone, i32::MAX), "no overflow");
    let gone = |since| absent(&host(Phase::Gone, 3, since), &policy(), now);
    assert_eq!(gone(1_000 - 10 * MINUTE + 1), Verdict::Nothing, "within the grace");
    assert_eq!(gone(1_000 - 10 * MINUTE), Verdict::Remove);
}

#[test]
fn one_listing_may_be_enough() {
    let policy = Policy { gone_after: 1, ..policy() };
    assert_eq!(absent(&host(Phase::Running, 0, 0), &policy, at(9)), Verdict::Mark(Phase::Gone, 1));
}

#[test]
fn a_count_left_over_from_before_does_not_count() {
    // it was missing twice, came back, and is missing again
    let verdict = absent(&host(Phase::Running, 2, 0), &policy(), at(9));
    assert_eq!(verdict, Verdict::Mark(Phase::Missing, 1));
}

#[test]
fn held_protected_paused_and_shared_hosts_stay() {
    let now = at(10_000);
    let gone = || host(Phase::Gone, 3, 0);
    let held = Known { held_until: Some(at(10_001)), ..gone() };
    assert_eq!(absent(&held, &policy(), now), Verdict::Keep(Reason::Held));
    let ended = Known { held_until: Some(now), ..gone() };
    assert_eq!(absent(&ended, &policy(), now), Verdict::Remove);
    for why in [Kept::Protected, Kept::Paused] {
        let kept = Known { kept: Some(why), ..gone() };
        assert_eq!(absent(&kept, &policy(), now), Verdict::Keep(Reason::Object(why)));
        assert_eq!(terminated(&kept, &policy(), now), Verdict::Keep(Reason::Object(why)));
    }
    let shared = Known { kept: Some(Kept::Shared), ..gone() };
    assert_eq!(absent(&shared, &policy(), now), Verdict::Leave);
    assert_eq!(terminated(&shared, &policy(), now), Verdict::Leave);
    assert_eq!(absent(&shared, &policy(), at(1)), Verdict::Nothing, "within the grace");
}

#[test]
fn a_host_that_is_being_deleted_is_left_alone() {
    let deleting = |state| Known { deleting: true, ..host(state, 1, 0) };
    for state in [Phase::Running, Phase::Missing, Phase::Gone] {
        assert_eq!(absent(&deleting(state), &policy(), at(99_999)), Verdict::Nothing);
        assert_eq!(terminated(&deleting(state), &policy(), at(99_999)), Verdict::Nothing);
    }
}

#[test]
fn a_terminated_host_is_removed_after_the_grace_though_it_is_still_listed() {
    assert_eq!(terminated(&host(Phase::Gone, 0, 0), &policy(), at(10 * MINUTE)), Verdict::Remove);
    assert_eq!(terminated(&host(Phase::Gone, 0, 0), &policy(), at(1)), Verdict::Nothing);
    // not known as gone yet: it is written as any change is
    assert_eq!(terminated(&host(Phase::Running, 0, 0), &policy(), at(99_999)), Verdict::Nothing);
}

#[test]
fn a_terminated_host_that_is_not_listed_any_more_is_told_once() {
    let seen = |seen| Known { seen: Some((seen, at(0))), ..host(Phase::Gone, 0, 0) };
    assert_eq!(absent(&seen(true), &policy(), at(1)), Verdict::Mark(Phase::Gone, 1));
    assert_eq!(absent(&seen(false), &policy(), at(1)), Verdict::Nothing);
    assert_eq!(absent(&seen(true), &policy(), at(10 * MINUTE)), Verdict::Remove);
}

#[test]
fn the_breaker_takes_the_larger_of_number_and_percentage() {
    for (lost, known, open) in [
        (0, 0, false),
        (5, 5, false),
        (6, 6, true),
        (6, 60, false),
        (7, 60, true),
        (10, 100, false),
        (11, 109, true),
    ] {
        assert_eq!(breaker(lost, known, &policy()).is_some(), open, "{lost} of {known}");
    }
    let none = Policy { breaker_min: 0, breaker_percent: 0, ..policy() };
    assert_eq!(breaker(0, 100, &none), None);
    assert_eq!(breaker(1, 100, &none), Some(Trip { lost: 1, known: 100, limit: 0 }));
    let all = Policy { breaker_percent: 100, ..policy() };
    assert_eq!(breaker(100, 100, &all), None);
}
