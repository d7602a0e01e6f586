use super::*;
use serde_json::{Value, json};

const OWNER: &str = "inventory-1";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + second).unwrap()
}

fn rule() -> Rule {
    Rule {
        owner: OWNER.to_owned(),
        matchers: vec![MatcherRule {
            name: "instance".to_owned(),
            value: Template::new("^({instance})(:[0-9]+)?$"),
            regex: true,
        }],
        ahead: SignedDuration::from_hours(4),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "arguments are json! literals")]
fn record(holds: Value) -> HostRecord {
    serde_json::from_value(json!({
        "metadata": {"name": "web-1", "namespace": "inventory", "uid": "u-1"},
        "spec": {"cluster": "shop", "maintenance": holds},
        "status": {"addresses": [
            {"type": "InternalIP", "address": "10.0.0.1"},
            {"type": "InternalIP", "address": "fe80::1"},
            {"type": "OOB", "address": "10.9.9.9"},
            {"type": "Hostname", "address": "web-1.example.com"},
        ]},
    }))
    .unwrap()
}

fn hold(from: i64, to: i64) -> Value {
    json!({"reason": "disk swap", "since": at(from).to_string(), "until": at(to).to_string()})
}

fn held(holds: Value) -> Held {
    Held::of(&record(holds)).unwrap()
}

/// What Alertmanager has after it took this.
fn taken(post: &Post, id: &str, now: Timestamp) -> (Silence, Mark) {
    let silence = Silence {
        id: post.id.clone().unwrap_or_else(|| id.to_owned()),
        status: Status { state: "active".to_owned() },
        updated_at: now,
        starts_at: post.starts_at.max(if post.id.is_some() { post.starts_at } else { now }),
        ends_at: post.ends_at,
        matchers: post.matchers.clone(),
        created_by: post.created_by.clone(),
        comment: post.comment.clone(),
    };
    let mark = Mark::find(&silence.comment).unwrap();
    (silence, mark)
}

fn expired((silence, mark): &(Silence, Mark), now: Timestamp) -> (Silence, Mark) {
    let mut silence = silence.clone();
    silence.status.state = "expired".to_owned();
    (silence.ends_at, silence.updated_at) = (now, now);
    (silence, mark.clone())
}

fn created(plan: &Plan) -> &Post {
    match plan.acts.as_slice() {
        [Act::Create(post)] => post,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_held_host_gets_one_silence_that_stays_as_it_is() {
    let host = held(json!({"ann": hold(0, 3_600), "bob": hold(10, 7_200)}));
    let plan = rule().plan(Some(&host), &[], at(60));
    let post = created(&plan);
    assert_eq!(post.created_by, "ann, bob");
    assert_eq!(post.ends_at, at(7_200));
    assert!(post.starts_at < at(0));
    assert!(post.comment.starts_with("disk swap (ann, until 2026-"), "{}", post.comment);
    assert_eq!(
        post.matchers[0].value,
        r"^(10\.0\.0\.1|fe80::1|\[fe80::1\]|web\-1\.example\.com|web\-1)(:[0-9]+)?$"
    );
    let there = taken(post, "s1", at(60));
    assert_eq!(there.1.uid, "u-1");
    let plan = rule().plan(Some(&host), std::slice::from_ref(&there), at(61));
    assert_eq!(plan, Plan { next: Some(at(3_600)), ..Plan::default() });
    // ann's hold has run out: the names change, the id does not.
    let plan = rule().plan(Some(&host), std::slice::from_ref(&there), at(3_600));
    let [Act::Change(post)] = plan.acts.as_slice() else { panic!("{plan:?}") };
    assert_eq!((post.id.as_deref(), post.created_by.as_str()), (Some("s1"), "bob"));
    assert_eq!(post.starts_at, there.0.starts_at);
    let there = taken(post, "s1", at(3_600));
    // It runs out by itself with the last hold; nothing is left to do then.
    assert_eq!(rule().plan(Some(&host), &[there], at(7_200)), Plan::default());
}

#[test]
fn a_long_hold_is_renewed_at_half_time() {
    let host = held(json!({"ann": hold(0, 100_000)}));
    let plan = rule().plan(Some(&host), &[], at(0));
    let post = created(&plan);
    assert_eq!(post.ends_at, at(4 * 3_600));
    assert_eq!(plan.next, Some(at(2 * 3_600)));
    let there = [taken(post, "s1", at(0))];
    assert_eq!(rule().plan(Some(&host), &there, at(2 * 3_600 - 1)).acts, []);
    let plan = rule().plan(Some(&host), &there, at(2 * 3_600));
    let [Act::Change(post)] = plan.acts.as_slice() else { panic!("{plan:?}") };
    assert_eq!((post.ends_at, plan.next), (at(6 * 3_600), Some(at(4 * 3_600))));
    // Nobody renewed it in time: a new one, for nobody said that it is not wanted.
    let (mut old, mark) = there[0].clone();
    old.status.state = "expired".to_owned();
    let plan = rule().plan(Some(&host), &[(old, mark)], at(5 * 3_600));
    assert_eq!(created(&plan).id, None);
}

#[test]
fn the_end_of_a_hold_ends_its_silence_and_a_later_hold_gets_another_one() {
    let host = held(json!({"ann": hold(0, 3_600)}));
    let there = taken(created(&rule().plan(Some(&host), &[], at(0))), "s1", at(0));
    for gone in [None, Some(held(json!({"ann": hold(9_000, 9_900)})))] {
        let plan = rule().plan(gone.as_ref(), std::slice::from_ref(&there), at(60));
        let [Act::End(post)] = plan.acts.as_slice() else { panic!("{plan:?}") };
        assert!(post.comment.ends_with(" ended]"), "{}", post.comment);
        assert!(post.comment.starts_with("disk swap (ann,"), "{}", post.comment);
        let ours = expired(&taken(post, "s1", at(60)), at(60));
        // The very same hold, put back by an undo.
        let plan = rule().plan(Some(&host), &[ours], at(90));
        assert_eq!(created(&plan).id, None);
    }
}

#[test]
fn what_a_person_ends_stays_ended_while_the_same_holds_last() {
    let host = held(json!({"ann": hold(0, 3_600)}));
    let there = taken(created(&rule().plan(Some(&host), &[], at(0))), "s1", at(0));
    let by_hand = [expired(&there, at(60))];
    let plan = rule().plan(Some(&host), &by_hand, at(61));
    assert_eq!((plan.acts.len(), plan.without), (0, Some(Without::EndedByHand)));
    // Another hold is another matter, and only for as long as it lasts.
    let both = held(json!({"ann": hold(0, 3_600), "bob": hold(60, 1_800)}));
    let plan = rule().plan(Some(&both), &by_hand, at(70));
    let post = created(&plan);
    assert_eq!((post.created_by.as_str(), post.ends_at), ("bob", at(1_800)));
    let second = [by_hand[0].clone(), taken(post, "s2", at(70))];
    let plan = rule().plan(Some(&host), &second, at(80));
    assert!(matches!(plan.acts.as_slice(), [Act::End(post)] if post.id.as_deref() == Some("s2")));
    let again = held(json!({"ann": hold(100, 3_600)}));
    created(&rule().plan(Some(&again), &by_hand, at(120)));
}

#[test]
fn a_silence_that_became_another_one_was_not_ended_by_hand() {
    let host = held(json!({"ann": hold(0, 3_600)}));
    let there = taken(created(&rule().plan(Some(&host), &[], at(0))), "s1", at(0));
    let old = expired(&there, at(60));
    let mut new = there.clone();
    new.0.id = "s2".to_owned();
    new.0.starts_at = at(60);
    assert_eq!(rule().plan(Some(&host), &[new.clone(), old.clone()], at(61)).acts, []);
    // Of the two the second counts when it is ended by hand, or has run out.
    let plan = rule().plan(Some(&host), &[expired(&new, at(90)), old.clone()], at(91));
    assert_eq!(plan.without, Some(Without::EndedByHand));
    let mut out = expired(&new, at(90));
    out.0.updated_at = at(60);
    created(&rule().plan(Some(&host), &[out, old], at(91)));
}

#[test]
fn of_two_the_older_one_stays() {
    let host = held(json!({"ann": hold(0, 3_600)}));
    let there = taken(created(&rule().plan(Some(&host), &[], at(0))), "s1", at(0));
    let mut second = there.clone();
    second.0.id = "s0".to_owned();
    second.0.starts_at = at(1);
    let plan = rule().plan(Some(&host), &[second, there], at(61));
    assert!(matches!(plan.acts.as_slice(), [Act::End(post)] if post.id.as_deref() == Some("s0")));
}

#[test]
fn new_addresses_and_a_shorter_hold_change_it() {
    let host = held(json!({"ann": hold(0, 3_600)}));
    let there = [taken(created(&rule().plan(Some(&host), &[], at(0))), "s1", at(0))];
    let mut moved = host.clone();
    moved.names.addresses = vec!["10.0.0.2".to_owned()];
    let shorter = held(json!({"ann": hold(0, 1_800)}));
    for (host, end) in [(moved, 3_600), (shorter, 1_800)] {
        let plan = rule().plan(Some(&host), &there, at(60));
        let [Act::Change(post)] = plan.acts.as_slice() else { panic!("{plan:?}") };
        assert_eq!((post.id.as_deref(), post.ends_at), (Some("s1"), at(end)));
    }
}

#[test]
fn names_are_no_patterns_and_none_that_is_missing_matches_everything() {
    let mut host = held(json!({"ann": hold(0, 3_600)}));
    host.names.addresses = vec![".*".to_owned(), "a|b".to_owned()];
    let plan = rule().plan(Some(&host), &[], at(0));
    assert_eq!(created(&plan).matchers[0].value, r"^(\.\*|a\|b|web\-1)(:[0-9]+)?$");
    let mut by_cluster = rule();
    by_cluster.matchers.push(MatcherRule {
        name: "cluster".to_owned(),
        value: Template::new("{cluster}"),
        regex: false,
    });
    let plan = by_cluster.plan(Some(&host), &[], at(0));
    assert_eq!(created(&plan).matchers[1].value, "shop");
    host.names.cluster.clear();
    let plan = by_cluster.plan(Some(&host), &[], at(0));
    assert_eq!((plan.acts.len(), plan.without), (0, Some(Without::Nameless)));
}

#[test]
fn templates_know_their_fields_and_leave_other_braces_alone() {
    let names = held(json!({"ann": hold(0, 1)})).names;
    let fill = |text: &str, regex| Template::new(text).fill(&names, regex).unwrap();
    assert_eq!(fill("{name}.{namespace}", false), "web-1.inventory");
    assert_eq!(fill("[a]{2}{name}{", true), r"[a]{2}web\-1{");
    assert_eq!(fill("{address}:9100", false), "10.0.0.1:9100");
    let any = fill("{instance}", true);
    assert!(any.starts_with("(?:") && any.contains('|') && any.ends_with(')'), "{any}");
    assert_eq!(fill("{instance}(:9100)?", true), format!("{any}(:9100)?"), "a port behind each");
    assert_eq!(fill("({instance})", true), format!("({})", any[3..].trim_end_matches(')')));
    assert!(Template::new("{name}").is_own() && !Template::new("{cluster}-x").is_own());
    assert!(Template::new("{instance}").is_many() && !Template::new("{address}").is_many());
}

#[test]
fn marks_are_read_as_they_are_written_and_nothing_else_is_one() {
    let mark = Mark {
        owner: OWNER.to_owned(),
        uid: "u-1".to_owned(),
        holds: ["a".to_owned(), "b".to_owned()].into(),
        ended: true,
    };
    let mut comment = "a reason with [inv-tui x/y z] in it ".to_owned();
    mark.write(&mut comment);
    assert_eq!(Mark::find(&comment), Some(mark));
    for text in [
        "",
        "by hand",
        "[inv-tui ]",
        "[inv-tui a b]",
        "[inv-tui a/ b]",
        "[inv-tui a/b c] more",
        "[inv-tui a/b c d]",
    ] {
        assert_eq!(Mark::find(text), None, "{text}");
    }
    let theirs = serde_json::from_value::<Silence>(json!({
        "id": "x", "status": {"state": "active"}, "updatedAt": at(0).to_string(),
        "startsAt": at(0).to_string(), "endsAt": at(9).to_string(), "createdBy": "bob",
        "matchers": [{"name": "a", "value": "b", "isRegex": false}],
        "comment": "[inv-tui another/u-1 a]",
    }))
    .unwrap();
    assert!(theirs.matchers[0].is_equal);
    assert!(by_host(OWNER, vec![theirs]).is_empty());
}
