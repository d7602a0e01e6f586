use super::*;
use crate::model::diff::{Part, StoredHost, digest};
use crate::model::host::{Address, AddressType};
use crate::providers::{Health, HealthProblem};
use crate::store::hosts::{Interner, Selection};

const MANAGER: &str = "inv-tui-fetch-aws";

fn at_second(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn rules(maps: &[&str], label_tags: &[&str]) -> Rules {
    let own = |all: &[&str]| all.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
    Rules {
        source: "aws".into(),
        provider: "aws",
        mapping: Mapping::new(&own(maps), &own(label_tags)).unwrap(),
    }
}

fn observed() -> Observed {
    Observed {
        name: "aws-i-1".into(),
        provider_id: "aws:///eu-west-1a/i-1".into(),
        uid: "i-1".into(),
        account: Some("123456789012".into()),
        region: "eu-west-1".into(),
        zone: Some("eu-west-1a".into()),
        os: Some("linux".into()),
        display_name: Some("web 1\u{1b}[2J".into()),
        tags: [("Cluster", "shop"), ("Team", "Zahlungen & Süd"), ("Note", "x")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into(),
        state: Phase::Running,
        raw_state: Some("running".into()),
        addresses: vec![Address { type_: AddressType::InternalIP, address: "10.0.0.1".into() }],
        health: Some(Health::default()),
        ..Observed::default()
    }
}

/// The host as a server would store it after both applies, and other people's changes on top.
fn stored(desired: &Desired, others: &Value) -> StoredHost {
    fn fields(value: &Value) -> Value {
        match value {
            Value::Object(map) => map.iter().map(|(k, v)| (format!("f:{k}"), fields(v))).collect(),
            _ => json!({}),
        }
    }
    let entry = |body: &Value, subresource: Option<&str>, manager: &str, operation: &str| {
        let mut fields = fields(body);
        if let Some(status) = fields.get_mut("f:status") {
            status["f:sources"] = json!({"f:aws": {}});
            for (list, keys) in [("conditions", &["type"][..]), ("addresses", &["address", "type"])]
            {
                let items = body["status"][list].as_array().into_iter().flatten();
                status[format!("f:{list}")] = items
                    .map(|item| {
                        let key: Map<String, Value> =
                            keys.iter().map(|k| ((*k).to_owned(), item[*k].clone())).collect();
                        (format!("k:{}", Value::Object(key)), json!({}))
                    })
                    .collect::<Map<_, _>>()
                    .into();
            }
        }
        json!({"manager": manager, "operation": operation, "subresource": subresource, "fieldsV1": fields})
    };
    let mut host = json!({"metadata": {"name": "aws-i-1", "uid": "u", "resourceVersion": "7",
    "managedFields": [
        entry(&desired.main, None, MANAGER, "Apply"),
        entry(&desired.status, Some("status"), MANAGER, "Apply"),
        entry(others, None, "kubectl-edit", "Update"),
    ]}});
    merge(&mut host, &desired.main);
    merge(&mut host, &desired.status);
    merge(&mut host, others);
    serde_json::from_value(host).unwrap()
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

fn read(host: &StoredHost) -> Known {
    let selection =
        Selection { namespace: "n".into(), source: "aws".into(), manager: MANAGER.into() };
    selection.read(host, &mut Interner::default())
}

#[test]
fn a_new_host_has_facts_and_defaults() {
    let desired = rules(&[], &[]).desired(&observed(), None, at_second(1_000));
    let labels = &desired.main["metadata"]["labels"];
    assert_eq!(labels[labels::REGION], "eu-west-1");
    assert_eq!(labels[labels::SOURCE], "aws");
    assert_eq!(labels[labels::CLUSTER], "shop");
    assert!(labels::is_label_value(labels[labels::TEAM].as_str().unwrap()));
    assert_eq!(
        desired.main["spec"],
        json!({"providerID": "aws:///eu-west-1a/i-1", "cluster": "shop", "team": "Zahlungen & Süd"})
    );
    let annotations = &desired.main["metadata"]["annotations"];
    assert_eq!(annotations[labels::DISPLAY_NAME], "web 1\u{1b}[2J", "cleaned where it is drawn");
    let tags: Value = serde_json::from_str(annotations[labels::TAGS].as_str().unwrap()).unwrap();
    assert_eq!(tags, json!({"Cluster": "shop", "Team": "Zahlungen & Süd", "Note": "x"}));
    let status = &desired.status["status"];
    assert_eq!(status["phase"], "Running");
    assert_eq!(status["sources"]["aws"]["since"], "1970-01-01T00:16:40Z");
    assert_eq!(status["conditions"][1]["type"], SEEN);
    assert_eq!(status["conditions"][1]["status"], "True");
}

#[test]
fn what_was_stored_compares_equal_later() {
    let rules = rules(&[], &["Note"]);
    let first = rules.desired(&observed(), None, at_second(1_000));
    let known = read(&stored(&first, &json!({})));
    let second = rules.desired(&observed(), Some(&known), at_second(2_000));
    assert_eq!(second, first, "no time moves");
    assert_eq!((digest(&second.main), digest(&second.status)), (known.main, known.status));
}

#[test]
fn what_people_changed_is_left_out_with_its_mirror() {
    let rules = rules(&[], &["Note"]);
    let first = rules.desired(&observed(), None, at_second(1_000));
    assert_eq!(first.main["metadata"]["labels"]["Note"], "x");
    let mut live = stored(
        &first,
        &json!({"spec": {"cluster": "mine"}, "metadata": {"labels": {"Note": "y", "own": "z"}}}),
    );
    // the server takes a field that is updated from the manager that had applied it
    let ours = &mut live.metadata.managed_fields.as_mut().unwrap()[0].fields_v1.as_mut().unwrap().0;
    ours["f:spec"].as_object_mut().unwrap().remove("f:cluster");
    ours["f:metadata"]["f:labels"].as_object_mut().unwrap().remove("f:Note");
    let known = read(&live);
    let main = rules.desired(&observed(), Some(&known), at_second(2_000)).main;
    assert!(main["spec"].get("cluster").is_none());
    assert!(
        main["metadata"]["labels"].get(labels::CLUSTER).is_none(),
        "it would say something else"
    );
    assert!(main["metadata"]["labels"].get("Note").is_none());
    assert_eq!(main["spec"]["team"], "Zahlungen & Süd");
    assert_eq!(main["metadata"]["labels"][labels::REGION], "eu-west-1");
}

#[test]
fn a_phase_that_somebody_else_writes_is_left_to_them() {
    let rules = rules(&[], &[]);
    let first = rules.desired(&observed(), None, at_second(1_000));
    let mut live = stored(&first, &json!({}));
    let ours = &mut live.metadata.managed_fields.as_mut().unwrap()[1].fields_v1.as_mut().unwrap().0;
    ours["f:status"].as_object_mut().unwrap().remove("f:phase");
    let known = read(&live);
    let status = rules.desired(&observed(), Some(&known), at_second(2_000)).status;
    assert!(status["status"].get("phase").is_none());
    let lost = rules.lost(
        live.owned(MANAGER, Part::Status),
        &known,
        "eu-west-1",
        (Phase::Missing, 1),
        at_second(2_000),
    );
    assert!(lost["status"].get("phase").is_none());
}

#[test]
fn times_move_only_with_what_they_are_of() {
    let rules = rules(&[], &[]);
    let first = rules.desired(&observed(), None, at_second(1_000));
    let known = read(&stored(&first, &json!({})));
    let stopped =
        Observed { state: Phase::Stopped, raw_state: Some("stopping".into()), ..observed() };
    let second = rules.desired(&stopped, Some(&known), at_second(2_000));
    let facts = &second.status["status"]["sources"]["aws"];
    assert_eq!(
        (facts["state"].as_str(), facts["since"].as_str()),
        (Some("Stopped"), Some("1970-01-01T00:33:20Z"))
    );
    let known = read(&stored(&second, &json!({})));
    let stopped = Observed { raw_state: Some("stopped".into()), ..stopped };
    let third = rules.desired(&stopped, Some(&known), at_second(3_000));
    let facts = &third.status["status"]["sources"]["aws"];
    assert_eq!(facts["rawState"], "stopped");
    assert_eq!(facts["since"], "1970-01-01T00:33:20Z", "folded, it is the same state");
    assert_eq!(third.status["status"]["conditions"], first.status["status"]["conditions"]);
}

#[test]
fn missing_and_back() {
    let rules = rules(&[], &[]);
    let first = rules.desired(&observed(), None, at_second(1_000));
    let live = stored(&first, &json!({}));
    let known = read(&live);
    let owned = live.owned(MANAGER, Part::Status);
    let lost = rules.lost(owned, &known, "eu-west-1", (Phase::Missing, 1), at_second(2_000));
    let status = &lost["status"];
    assert_eq!(status["phase"], "Missing");
    assert_eq!(status["addresses"], first.status["status"]["addresses"], "the full set");
    assert_eq!(status["sources"]["aws"]["missed"], 1);
    assert_eq!(status["sources"]["aws"]["uid"], "i-1");
    let conditions = status["conditions"].as_array().unwrap();
    assert_eq!(conditions.len(), 2);
    let seen = conditions.iter().find(|c| c["type"] == SEEN).unwrap();
    assert_eq!(
        (seen["status"].as_str(), seen["reason"].as_str()),
        (Some("False"), Some("NotListed"))
    );

    let lost = Desired { main: first.main.clone(), status: lost, state: Phase::Missing };
    let known = read(&stored(&lost, &json!({})));
    assert_eq!(
        (known.state, known.missed, known.seen),
        (Phase::Missing, 1, Some((false, at_second(2_000))))
    );
    let back = rules.desired(&observed(), Some(&known), at_second(3_000));
    let facts = &back.status["status"]["sources"]["aws"];
    assert_eq!((facts["state"].as_str(), facts.get("missed")), (Some("Running"), None));
    assert_eq!(back.status["status"]["conditions"][1]["status"], "True");
    assert_eq!(
        back.status["status"]["conditions"][1]["lastTransitionTime"],
        "1970-01-01T00:50:00Z"
    );
}

#[test]
fn status_checks_that_could_not_be_asked_leave_what_was_known() {
    let rules = rules(&[], &[]);
    let event = ScheduledEvent {
        id: "e-1".into(),
        code: "instance-retirement".into(),
        not_before: Some(Time(at_second(5_000))),
        not_after: None,
    };
    let problem = Some(HealthProblem { reason: "StatusCheckImpaired", message: "impaired".into() });
    let health = Some(Health { problem, events: vec![event] });
    let sick = Observed { health, ..observed() };
    let first = rules.desired(&sick, None, at_second(1_000));
    assert_eq!(first.status["status"]["conditions"][0]["status"], "False");
    let known = read(&stored(&first, &json!({})));
    let unasked = Observed { health: None, ..observed() };
    let second = rules.desired(&unasked, Some(&known), at_second(2_000));
    assert_eq!(second.status, first.status);
    // the event is due: the provider works on it
    let third = rules.desired(&unasked, Some(&known), at_second(5_000));
    assert_eq!(third.state, Phase::Maintenance);
    let well = rules.desired(&observed(), Some(&known), at_second(6_000));
    assert_eq!(well.status["status"]["conditions"][0]["status"], "True");
    assert!(well.status["status"].get("scheduledEvents").is_none());
}

#[test]
fn tags_stay_within_their_bound_and_say_what_is_missing() {
    let many: BTreeMap<String, String> =
        (0..50).map(|n| (format!("{n:03}{}", "k".repeat(120)), "v\u{1}".repeat(120))).collect();
    let text = tags(&many).unwrap();
    assert!(text.len() <= MAX_TAGS, "{}", text.len());
    let kept: BTreeMap<String, String> = serde_json::from_str(&text).unwrap();
    let note = format!("{} tags left out", 50 - (kept.len() - 1));
    assert_eq!(kept[LEFT_OUT], note);
    assert!(kept.len() > 5);
    assert_eq!(tags(&BTreeMap::new()), None);
}

#[test]
fn an_ordinary_host_stays_small() {
    let desired = rules(&[], &[]).desired(&observed(), None, at_second(1_000));
    let size = desired.main.to_string().len() + desired.status.to_string().len();
    assert!(size < 1_400, "{size} bytes without managedFields");
}

#[test]
fn a_guest_adds_what_nobody_else_says_and_takes_over_what_is_given_up() {
    let rules = rules(&[], &[]);
    let mut host = observed();
    host.hardware.serial = Some("ABC1234".into());
    host.hardware.macs = vec!["02:42:ac:11:00:02".into(), "3C-EC-EF-12-34-56".into()];
    let theirs: StoredHost = serde_json::from_value(json!({
        "metadata": {"name": "dc-1", "labels": {labels::SOURCE: "dc", labels::ZONE: "theirs"}},
        "spec": {"providerID": "netbox://n/d/1"},
        "status": {"phase": "Running", "sources": {"dc": {"uid": "1", "state": "Running"}},
            "hardware": {"serial": "abc1234"}},
    }))
    .unwrap();
    let mut theirs = theirs;
    theirs.metadata.managed_fields = serde_json::from_value(json!([
        {"manager": "inv-tui-fetch-dc", "operation": "Apply", "fieldsV1": {
            "f:metadata": {"f:labels": {
                format!("f:{}", labels::SOURCE): {}, format!("f:{}", labels::ZONE): {}}},
            "f:spec": {"f:providerID": {}}}},
        {"manager": "inv-tui-fetch-dc", "operation": "Apply", "subresource": "status", "fieldsV1":
            {"f:status": {"f:hardware": {"f:serial": {}}, "f:phase": {}}}},
    ]))
    .unwrap();
    let known = read(&theirs);
    assert_eq!(known.guest, Some(false));
    let desired = rules.desired(&host, Some(&known), at_second(1_000));
    let found = &desired.main["metadata"]["labels"];
    for own in [labels::SOURCE, labels::PROVIDER, labels::ACCOUNT, labels::ZONE] {
        assert!(found[own].is_null(), "{own}");
    }
    assert_eq!(found[labels::REGION], "eu-west-1");
    assert!(desired.main["spec"]["providerID"].is_null());
    let status = &desired.status["status"];
    assert!(status["conditions"].is_null() && status["phase"].is_null());
    assert_eq!(status["hardware"], json!({"macs": ["3c:ec:ef:12:34:56"]}));
    let facts = &status["sources"]["aws"];
    assert_eq!(facts["providerID"], "aws:///eu-west-1a/i-1");
    assert_eq!(
        (&facts["region"], &facts["account"]),
        (&"eu-west-1".into(), &"123456789012".into())
    );

    theirs.status["sources"]["dc"]["state"] = "Gone".into();
    let known = read(&theirs);
    let desired = rules.desired(&host, Some(&known), at_second(1_000));
    assert_eq!(desired.main["metadata"]["labels"][labels::SOURCE], "aws");
    assert_eq!(desired.status["status"]["conditions"].as_array().unwrap().len(), 2);
    assert!(desired.main["spec"]["providerID"].is_null(), "it cannot change");
    host.state = Phase::Gone;
    let desired = rules.desired(&host, Some(&known), at_second(1_000));
    assert!(
        desired.main["metadata"]["labels"][labels::SOURCE].is_null(),
        "for it, too, it is gone"
    );
}
