use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::local::terminal;
use super::server::{clock, held, lacking, told};
use super::*;
use crate::store::definitions::definitions;

fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

fn of(look: impl FnOnce(&mut Findings)) -> Vec<(Weight, String)> {
    let mut findings = Findings::default();
    look(&mut findings);
    findings.0.into_iter().map(|finding| (finding.weight, finding.what)).collect()
}

#[test]
fn the_clock_is_told_by_how_far_it_is_off() {
    let weight =
        |seconds: i64| of(|f| clock(Some(SignedDuration::from_secs(seconds)), f)).remove(0).0;
    assert_eq!(
        [0, 5, -5, 6, -61, 90].map(weight),
        [
            Weight::Fine,
            Weight::Fine,
            Weight::Fine,
            Weight::Warning,
            Weight::Problem,
            Weight::Problem,
        ]
    );
    let said = of(|f| clock(Some(SignedDuration::from_secs(-90)), f)).remove(0).1;
    assert!(said.contains("90 s ahead of"), "{said}");
    assert_eq!(of(|f| clock(None, f)).remove(0).0, Weight::Note);
}

#[test]
fn a_terminal_that_cannot_draw_is_told_of() {
    let with = |pairs: &'static [(&str, &str)]| {
        of(|f| {
            let value = |name: &str| {
                pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            };
            terminal(value, f);
        })
    };
    assert_eq!(with(&[("TERM", "xterm-256color"), ("LANG", "en_GB.UTF-8")]).len(), 1);
    assert_eq!(with(&[("TERM", "dumb"), ("LC_ALL", "C.utf8")]).remove(0).0, Weight::Warning);
    assert_eq!(with(&[("TERM", "linux"), ("LC_ALL", "C")]).remove(1).0, Weight::Note);
}

#[test]
fn fields_that_a_server_does_not_know_are_found() {
    let ours = definitions().remove(0);
    assert!(lacking(&ours, &ours).is_empty());
    let mut old = serde_json::to_value(&ours).unwrap();
    let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
    let ansible = format!("{spec}/ansible/properties");
    old.pointer_mut(&ansible).unwrap().as_object_mut().unwrap().remove("cancel").unwrap();
    old.pointer_mut(spec).unwrap().as_object_mut().unwrap().remove("paused").unwrap();
    let old = serde_json::from_value(old).unwrap();
    let lacks: Vec<String> = lacking(&ours, &old).into_iter().collect();
    assert_eq!(lacks, ["v1alpha1.spec.ansible.cancel", "v1alpha1.spec.paused"]);
    assert!(lacking(&old, &ours).is_empty());
}

#[test]
fn a_source_in_trouble_is_told_with_its_reason() {
    let source = |status| {
        let whole = json!({"apiVersion": "inventory.inv-tui.dev/v1alpha1", "kind": "Source",
            "metadata": {"name": "dc"}, "spec": {"type": "NetBox", "interval": "5m"}, "status": status});
        serde_json::from_value(whole).unwrap()
    };
    let said = |status| of(|f| told(&source(status), now(), f)).remove(0);
    let open = json!({"lastPass": "2026-11-21T11:59:00Z", "conditions": [{"type": "BreakerOpen",
        "status": "True", "reason": "TooManyLost", "message": "all: 48 of 50 \u{1b}[2Jhosts",
        "lastTransitionTime": "2026-11-21T11:00:00Z"}]});
    let (weight, line) = said(open);
    assert_eq!(weight, Weight::Problem);
    assert!(line.starts_with("\"dc\" is breaker open, last pass 1m ago: all: 48 of 50"), "{line}");
    assert!(!line.contains('\u{1b}'));
    assert_eq!(said(json!({"lastPass": "2026-11-21T11:59:00Z"})).0, Weight::Fine);
    assert_eq!(said(json!({"lastPass": "2026-11-21T09:00:00Z"})).0, Weight::Warning);
    assert_eq!(said(json!({})).0, Weight::Note);
}

#[test]
fn a_service_is_there_while_it_renews_its_lease() {
    let lease = |holder: &str, renewed: &str| -> Lease {
        let spec =
            json!({"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": renewed});
        serde_json::from_value(json!({"metadata": {"name": "x"}, "spec": spec})).unwrap()
    };
    let held = |holder, renewed| held(&lease(holder, renewed), now());
    assert_eq!(held("a_1", "2026-11-21T11:59:50.000000Z").as_deref(), Some("a_1"));
    assert_eq!(held("a_1", "2026-11-21T11:59:30.000000Z"), None);
    assert_eq!(held("", "2026-11-21T11:59:59.000000Z"), None);
}

#[test]
fn findings_are_printed_for_people_and_programs() {
    let mut findings = Findings::default();
    findings.fine("clock", "it goes");
    findings.problem("connection", "nobody\nanswers", "start it");
    let printed = |form, colour| {
        let mut out = Vec::new();
        print(&findings, form, colour, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    let table = printed(Form::Table, false);
    assert!(table.ends_with("1 problem, no warnings\n") && !table.contains('\u{1b}'), "{table}");
    assert!(table.contains("→ start it") && !table.contains("nobody\n"), "{table}");
    assert!(printed(Form::Table, true).contains("\u{1b}[31mproblem"));
    let json: serde_json::Value = serde_json::from_str(&printed(Form::Json, true)).unwrap();
    assert_eq!(json[1]["weight"], "problem");
    assert_eq!(json[1]["mend"], "start it");
    assert_eq!(findings.worst(), Weight::Problem);
}
