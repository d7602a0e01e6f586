use super::*;

const ME: &str = "inv-tui-fetch-aws";

fn live() -> StoredHost {
    let entry = |manager: &str, subresource: Option<&str>, fields: Value| {
        json!({"manager": manager, "operation": "Apply", "subresource": subresource,
            "fieldsType": "FieldsV1", "fieldsV1": fields})
    };
    serde_json::from_value(json!({
        "metadata": {
            "name": "aws-i-1",
            "labels": {labels::REGION: "eu-west-1", "team": "shop", "both": "x", "zone": "old"},
            "annotations": {labels::DISPLAY_NAME: "web-1", labels::TAGS: r#"{"Role":"web","since":"a"}"#},
            "managedFields": [
                entry(ME, None, json!({
                    "f:metadata": {
                        "f:labels": {format!("f:{}", labels::REGION): {}, "f:team": {}, "f:both": {}},
                        "f:annotations": {format!("f:{}", labels::DISPLAY_NAME): {}, format!("f:{}", labels::TAGS): {}},
                    },
                    "f:spec": {"f:cluster": {}},
                })),
                entry("ann", None, json!({"f:metadata": {"f:labels": {"f:both": {}, "f:zone": {}}}})),
                entry(ME, Some("status"), json!({"f:status": {
                    "f:sources": {"f:aws": {}},
                    "f:addresses": {"k:{\"address\":\"10.0.0.1\",\"type\":\"InternalIP\"}": {".": {}, "f:type": {}, "f:address": {}}},
                    "f:conditions": {"k:{\"type\":\"Seen\"}": {".": {}, "f:type": {}, "f:status": {}, "f:lastTransitionTime": {}}},
                }})),
            ],
        },
        "spec": {"cluster": "shop", "maintenance": {"ann": {}}},
        "status": {
            "phase": "Running",
            "sources": {"aws": {"uid": "i-1", "since": "2026-01-01T00:00:00Z"}, "dc": {"uid": "7"}},
            "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
            "conditions": [{"type": "Seen", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        },
    }))
    .unwrap()
}

fn text(paper: &Paper, colours: bool, totals: &[Totals<'_>]) -> String {
    let mut out = Vec::new();
    paper.render(&mut out, Output::Text, colours, totals).unwrap();
    String::from_utf8(out).unwrap()
}

fn total(source: &str) -> Totals<'_> {
    Totals { source, seen: 3, done: true }
}

#[test]
fn each_field_that_changes_is_a_line_and_nothing_else_is() {
    let main = json!({
        "metadata": {
            "labels": {labels::REGION: "eu-west-1", "zone": "new"},
            "annotations": {labels::DISPLAY_NAME: "web-1", labels::TAGS: r#"{"Role":"db","since":"b"}"#},
        },
        "spec": {"cluster": "bakery", "team": ""},
    });
    let status = json!({"status": {
        "sources": {"aws": {"uid": "i-1", "since": "2026-02-02T00:00:00Z"}},
        "addresses": [{"type": "ExternalIP", "address": "192.0.2.1"}],
        "conditions": [{"type": "Seen", "status": "False", "lastTransitionTime": "2026-02-02T00:00:00Z"}],
        "scheduledEvents": [{"id": "e-1", "code": "system-reboot"}],
    }});
    let (live, paper) = (live(), Paper::default());
    let bodies = (Some(&main), Some(&status));
    paper.write("aws", ME, Kind::Changed, ("aws-i-1", Some(&live)), bodies);
    assert_eq!(
        text(&paper, false, &[total("aws")]),
        "~ aws-i-1  web-1 (eu-west-1)\n\
         \x20 tags.Role: web → db\n\
         \x20 tags.since: a → b\n\
         \x20 - labels.team: shop\n\
         \x20 labels.zone: old → new\n\
         \x20 spec.cluster: shop → bakery\n\
         \x20 + spec.team: \"\"\n\
         \x20 + status.addresses[ExternalIP 192.0.2.1]\n\
         \x20 - status.addresses[InternalIP 10.0.0.1]\n\
         \x20 status.conditions[Seen].status: True → False\n\
         \x20 + status.scheduledEvents[e-1].code: system-reboot\n\
         aws: 3 listed, 0 new, 1 changed, 0 missing, 0 gone, 0 removed\n",
        "a label that somebody else owns too stays; one that is taken over has its old value"
    );
    // the same as what stands there, but for times
    let paper = Paper::default();
    let (main, status) = (live.owned(ME, Part::Main), live.owned(ME, Part::Status));
    let bodies = (Some(&main), Some(&status));
    paper.write("aws", ME, Kind::Changed, ("aws-i-1", Some(&live)), bodies);
    assert!(text(&paper, false, &[total("aws")]).contains("only who owns which field"));
}

#[test]
fn hosts_are_sorted_by_source_and_name_and_each_kind_has_its_sign() {
    let (live, paper) = (live(), Paper::default());
    let main = json!({"metadata": {"labels": {}}, "spec": {"role": "db"}});
    paper.write("b", "x", Kind::New, ("n2", None), (Some(&main), None));
    paper.write("b", "x", Kind::New, ("n1", None), (Some(&main), None));
    paper.remove("a", "aws-i-1", Some(&live));
    let gone = json!({"status": {"phase": "Gone"}});
    let kind = Kind::Marked(Phase::Gone);
    paper.write("a", ME, kind, ("aws-i-0", Some(&live)), (None, Some(&gone)));
    let failed = Totals { done: false, ..total("b") };
    let said = text(&paper, false, &[total("a"), failed]);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "! aws-i-0  web-1 (eu-west-1): Gone");
    assert!(lines.contains(&"  status.phase: Running → Gone"), "{said}");
    assert!(lines.contains(&"- aws-i-1  web-1 (eu-west-1)"), "{said}");
    assert_eq!(
        lines[lines.len() - 6..],
        [
            "+ n1",
            "  + spec.role: db",
            "+ n2",
            "  + spec.role: db",
            "a: 3 listed, 0 new, 0 changed, 0 missing, 1 gone, 1 removed",
            "b: 3 listed, 2 new, 0 changed, 0 missing, 0 gone, 0 removed (not everything was read, see the error)",
        ]
    );
    let coloured = text(&paper, true, &[total("a"), failed]);
    assert!(coloured.contains("\u{1b}[32m+ n1\u{1b}[0m\n  \u{1b}[32m+ spec.role"), "{coloured}");
}

#[test]
fn what_sources_say_is_harmless_cut_and_never_taken_for_more() {
    let paper = Paper::default();
    let long = "x".repeat(5_000);
    let tags =
        json!({"k\u{1b}]0;t\u{7}": "v\u{202e}", "long": long, "arrow": "a → b", "lines": "a\n+ b"});
    let main = json!({"metadata": {
        "labels": {labels::REGION: "eu\u{9b}31m"},
        "annotations": {labels::DISPLAY_NAME: "w\u{1b}[31m\n- gone", labels::TAGS: tags.to_string()},
    }});
    paper.write("a", "x", Kind::New, ("n", None), (Some(&main), None));
    let said = text(&paper, false, &[total("a")]);
    assert!(!said.chars().any(|c| c != '\n' && text::is_hostile(c)), "{said:?}");
    assert_eq!(said.lines().count(), 8, "no line that a source made: {said}");
    assert!(said.lines().all(|line| line.chars().count() < 3 * MAX_SHOWN), "{said}");
    assert!(said.contains("  + tags.arrow: \"a → b\"\n"), "{said}");

    let mut out = Vec::new();
    paper.render(&mut out, Output::Json, true, &[total("a")]).unwrap();
    let said = String::from_utf8(out).unwrap();
    assert!(!said.chars().any(|c| c != '\n' && text::is_hostile(c)), "{said:?}");
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), &lines[0]["change"]), (2, &"create".into()));
    assert_eq!(lines[0]["display"], "w\u{1b}[31m\n- gone", "whole, for programs");
    let fields = lines[0]["fields"].as_array().unwrap();
    let odd = fields.iter().find(|f| f["path"][3] == "k\u{1b}]0;t\u{7}").unwrap();
    assert_eq!((&odd["old"], &odd["new"]), (&Value::Null, &"v\u{202e}".into()));
    assert!(fields.iter().any(|f| f["new"].as_str() == Some(&long)));
    assert_eq!((&lines[1]["totals"]["new"], &lines[1]["done"]), (&1.into(), &true.into()));
}
