//! Acting on hosts: marks, the strip for many, orders and what comes of them, runs.

use serde_json::Value;

use super::*;
use crate::act::Verb;
use crate::model::cluster::Cluster;
use crate::model::host::{AnsibleRequest, RunState};
use crate::model::key::ServerId;
use crate::model::policy::Facts;
use crate::store::objects::ObjectEvent;
use crate::store::read::Known;
use crate::ui::app::orders::State;
use crate::ui::app::strip::{Field, Strip};

fn strip(model: &Model) -> &Strip {
    match &model.overlay {
        Overlay::Strip(strip) => strip,
        other => panic!("{other:?}\n{}", screen(model)),
    }
}

fn names(order: &Order) -> Vec<&str> {
    order.changes.iter().map(|change| change.target().name.as_str()).collect()
}

/// A cluster in the hosts' namespace.
fn cluster(model: &mut Model, name: &str, spec: impl Into<Value>) {
    let cluster: Cluster = serde_json::from_value(json!({
        "apiVersion": "inventory.inv-tui.dev/v1alpha1", "kind": "Cluster",
        "metadata": {"name": name, "namespace": "inventory"}, "spec": spec.into(),
    }))
    .unwrap();
    send(model, Msg::Clusters(ServerId::FIRST, ObjectEvent::Apply(Box::new(cluster))));
}

fn holding(n: usize, holder: &str) -> Value {
    let mut host = changed(n, &format!("7-{holder}"));
    let time = |seconds| jiff::Timestamp::from_second(NOW + seconds).unwrap().to_string();
    host["spec"]["maintenance"] = json!({holder: {
        "reason": "theirs", "since": time(-60), "until": time(900), "mode": "Drain",
    }});
    host
}

/// What the server answers to a change of this host.
fn answer(order: &Order, number: usize) -> Outcome {
    let n: usize = order.changes[number].target().name[6..].parse().unwrap();
    let mut host = crate::ui::testing::object(host(n, "any", "any", "any"));
    host.metadata.resource_version = Some(format!("9{n}"));
    Outcome::Done(host)
}

#[test]
fn marks_are_of_hosts_and_survive_the_filter() {
    let mut model = fleet(120, 30);
    press(&mut model, "zRgg2j<space><space>j<space>");
    // db-eu-1, db-eu-2, then past db-eu-3 all of web.
    assert!(screen(&model).contains(" 5 marked "), "{}", screen(&model));
    assert!(screen(&model).contains("*● db-eu-1"), "{}", screen(&model));
    press(&mut model, "/db<enter>");
    assert!(screen(&model).contains(" 5 marked (3 hidden) "), "{}", screen(&model));
    fleet_event(&mut model, HostChange::Delete(Uid::new("uid-1")));
    assert!(screen(&model).contains(" 4 marked (3 hidden) "), "{}", screen(&model));
    press(&mut model, "<esc>");
    assert!(!screen(&model).contains("marked"), "{}", screen(&model));
    assert!(model.filter.active(), "marks go before the filter does");
    press(&mut model, "<esc>");
    assert!(!model.filter.active());
}

#[test]
fn ranges_all_and_invert() {
    let count = |model: &Model| model.inventory.marked().total;
    let mut model = on_host();
    press(&mut model, "<space>3jV");
    // From db-eu-2 over db-eu-3 and the line of the cluster to web-eu-1 and 2.
    assert_eq!(count(&model), 4, "{}", screen(&model));
    press(&mut model, "<esc>~");
    assert_eq!(count(&model), 9);
    press(&mut model, "<esc>/db<enter>*");
    assert_eq!(count(&model), 3);
    press(&mut model, "0~");
    assert_eq!(count(&model), 6);
    press(&mut model, "<esc>gg*");
    assert_eq!(count(&model), 6, "a region: all of it");
    press(&mut model, "<space>");
    assert_eq!(count(&model), 0, "all of it was marked");
}

#[test]
fn three_marked_hosts_want_a_reason_and_go_as_one_order() {
    let mut model = fleet(120, 30);
    press(&mut model, "zRgg2j<space><space><space>");
    assert!(order(&press(&mut model, "m<enter>y")).is_none());
    assert!(screen(&model).contains("several hosts: type a reason"), "{}", screen(&model));
    let commands = press(&mut model, "new kernel<tab><ctrl-u>2h<tab>OPS-7<enter>y");
    let order = order(&commands).unwrap_or_else(|| panic!("{}", screen(&model)));
    assert_eq!((order.verb, order.overrides), (Verb::MaintenanceOn, false));
    assert_eq!((order.reason.as_str(), order.ticket.as_deref()), ("new kernel", Some("OPS-7")));
    assert_eq!(names(order), ["aws-i-0001", "aws-i-0002", "aws-i-0003"]);
    for (change, version) in order.changes.iter().zip(["101", "102", "103"]) {
        let Change::Hold(change) = change else { panic!("{change:?}") };
        assert_eq!(change.target.resource_version, version);
        let hold = change.new.as_ref().unwrap();
        assert_eq!((hold.reason.as_str(), hold.ticket.as_deref()), ("new kernel", Some("OPS-7")));
        assert_eq!(hold.until.0.as_second(), NOW + 7_200);
    }
    assert_eq!(model.inventory.marked().total, 0);
}

#[test]
fn hidden_marks_are_left_out_and_one_key_adds_them() {
    let mut model = fleet(120, 30);
    press(&mut model, "zRgg2j<space>2j<space>/db<enter>m");
    assert_eq!(strip(&model).items.len(), 1);
    let text = screen(&model);
    assert!(text.contains("3 marked are hidden by the filter and left out"), "{text}");
    press(&mut model, "h");
    assert_eq!(strip(&model).items.len(), 4, "{}", screen(&model));
    let commands = press(&mut model, "fan<enter>y");
    assert_eq!(order(&commands).unwrap().changes.len(), 4);

    let mut model = on_host();
    press(&mut model, "<space>/web-<enter>m");
    assert!(screen(&model).contains("hidden by the filter"), "{}", screen(&model));
    assert_eq!(model.overlay, Overlay::None);
}

#[test]
fn a_whole_cluster_wants_its_count_typed() {
    let mut model = fleet(120, 30);
    press(&mut model, "jm");
    assert!(screen(&model).contains("3 hosts  all of db that match"), "{}", screen(&model));
    press(&mut model, "racks<enter>");
    assert_eq!(strip(&model).field, Field::Answer);
    assert!(order(&press(&mut model, "y<enter>y<esc>y")).is_none());
    press(&mut model, "<ctrl-u>");
    assert!(order(&send(&mut model, Msg::Paste("3\ny".into()))).is_none());
    assert!(screen(&model).contains("typed, not pasted"), "{}", screen(&model));
    assert!(order(&press(&mut model, "3<enter><enter><space>")).is_none());
    assert_eq!(order(&press(&mut model, "y")).unwrap().changes.len(), 3);
}

#[test]
fn maintenance_of_a_mixture_begins_where_it_has_not() {
    let mut model = on_host();
    fleet_event(&mut model, apply(holding(1, "ann")));
    fleet_event(&mut model, apply(holding(2, "bob")));
    let mut deleting = changed(3, "701");
    deleting["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    fleet_event(&mut model, apply(deleting));
    press(&mut model, "ggj*m");
    assert!(
        screen(&model)
            .contains("left out: db-eu-3 is being deleted, db-eu-1 is held by you already")
    );
    assert_eq!(strip(&model).items.len(), 1);
    assert!(screen(&model).contains("stays held by bob"), "{}", screen(&model));
    // Where all are ours, or going, they end.
    press(&mut model, "<esc>");
    fleet_event(&mut model, apply(holding(2, "ann")));
    press(&mut model, "m");
    assert_eq!((strip(&model).verb, strip(&model).items.len()), (Verb::MaintenanceOff, 2));
}

#[test]
fn a_budget_is_shown_and_going_past_it_is_said() {
    let mut model = on_host();
    cluster(&mut model, "db", json!({"disruption": {"maxUnavailable": 1}}));
    fleet_event(&mut model, apply(holding(1, "bob")));
    press(&mut model, "m");
    let text = screen(&model);
    assert!(text.contains("budget of db: 1 of 1 away, 0 left · this wants 1"), "{text}");
    assert!(order(&press(&mut model, "fan<enter>y")).is_none(), "the name has to be typed");
    let commands = press(&mut model, "<ctrl-u>db-eu-2y");
    let sent = order(&commands).unwrap();
    assert!(sent.overrides, "going past it is what was typed for");

    // Several: what there is room for goes, the rest would be refused; p goes past that.
    let mut model = on_host();
    cluster(&mut model, "db", json!({"disruption": {"maxUnavailable": 2}}));
    press(&mut model, "ggj*mdisk<enter>");
    let text = screen(&model);
    assert!(text.contains("1 of these would be refused  esc p goes past that"), "{text}");
    let commands = press(&mut model, "3y");
    assert!(!order(&commands).unwrap().overrides);
    let mut model = on_host();
    cluster(&mut model, "db", json!({"disruption": {"maxUnavailable": 2}}));
    let commands = press(&mut model, "ggj*mdisk<enter>3<enter>p3y");
    assert!(order(&commands).unwrap().overrides);

    // The budget shrinks while the strip is open: its level rises.
    let mut model = on_host();
    cluster(&mut model, "db", json!({"disruption": {"maxUnavailable": 1}}));
    press(&mut model, "m");
    assert!(strip(&model).is_answered());
    fleet_event(&mut model, apply(holding(1, "bob")));
    send(&mut model, Msg::Tick(jiff::Timestamp::from_second(NOW + 1).unwrap()));
    assert!(!strip(&model).is_answered(), "{}", screen(&model));
    assert!(order(&press(&mut model, "y")).is_none());
}

#[test]
fn targets_that_go_drop_out_and_those_that_change_are_shown() {
    let mut model = fleet(120, 30);
    press(&mut model, "zRgg2j<space><space><space>mdisk<enter>");
    fleet_event(&mut model, HostChange::Delete(Uid::new("uid-1")));
    let mut stopped = changed(3, "500");
    stopped["status"]["phase"] = json!("Stopped");
    fleet_event(&mut model, apply(stopped));
    let text = screen(&model);
    assert!(text.contains("1 of them changed since you opened this · db-eu-1 is gone"), "{text}");
    assert_eq!(names(order(&press(&mut model, "y")).unwrap()), ["aws-i-0002", "aws-i-0003"]);

    // A list that no longer has them takes them out too.
    let mut model = fleet(120, 30);
    press(&mut model, "zRgg2j<space><space>m");
    send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Begin { expected: None }));
    send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Synced));
    assert_eq!(model.overlay, Overlay::None);
    assert!(screen(&model).contains("2 hosts are gone: nothing was changed"), "{}", screen(&model));
}

/// Five hosts of eu-west-1 on their way into maintenance.
fn on_the_way() -> (Model, Order) {
    let mut model = fleet(120, 30);
    press(&mut model, "zRgg2j3<space>j2<space>");
    let commands = press(&mut model, "mkernel<enter>y");
    let order = order(&commands).unwrap_or_else(|| panic!("{}", screen(&model))).clone();
    assert_eq!(order.changes.len(), 5);
    (model, order)
}

#[test]
fn what_comes_of_many_is_a_table_and_the_rest_is_tried_again() {
    let (mut model, order) = on_the_way();
    press(&mut model, "m");
    assert!(screen(&model).contains("0 of 5 done · esc stops"), "{}", screen(&model));
    step(&mut model, &order, answer_step(&order, 0));
    step(&mut model, &order, Step::Host(1, Outcome::Denied("the budget is used up".into())));
    step(&mut model, &order, Step::Host(1, Outcome::Failed("told twice".into())));
    send(&mut model, Msg::Act { id: "another".into(), step: Step::Ended(None) });
    assert!(screen(&model).contains("1 of 5 done · 1 failed · esc stops"), "{}", screen(&model));
    assert_eq!(press(&mut model, "<esc>"), [Command::Stop]);
    assert!(screen(&model).contains("stopping"), "{}", screen(&model));
    step(&mut model, &order, answer_step(&order, 2));
    step(&mut model, &order, Step::Host(3, Outcome::Gone));
    step(&mut model, &order, Step::Ended(Some("stopped".into())));
    assert_eq!(model.overlay, Overlay::Results);
    let text = screen(&model);
    for part in [
        "2 done",
        "1 denied",
        "1 gone",
        "1 not tried",
        "ended early: stopped",
        "the budget is used up",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // Again for the two that may yet be done, with the reason that was typed.
    press(&mut model, "r");
    assert_eq!(strip(&model).items.len(), 2);
    assert_eq!((strip(&model).reason.text(), strip(&model).field), ("kernel", Field::Confirm));
    press(&mut model, "<esc>");
    assert_eq!(model.overlay, Overlay::None);
    press(&mut model, ":last-result<enter>");
    assert_eq!(model.overlay, Overlay::Results);
    // u: exactly what was done, as one step.
    press(&mut model, "u");
    assert_eq!(strip(&model).verb, Verb::Undo);
    let commands = press(&mut model, "y");
    let back = super::order(&commands).unwrap().clone();
    assert_eq!(names(&back), ["aws-i-0003", "aws-i-0001"]);
    for (change, version) in back.changes.iter().zip(["93", "91"]) {
        let Change::Hold(change) = change else { panic!("{change:?}") };
        assert_eq!((change.target.resource_version.as_str(), &change.new), (version, &None));
    }
    // One of them is no longer ours, the other could not be reached: that one can be tried again.
    step(&mut model, &back, Step::Host(0, Outcome::Conflict(object(changed(3, "950")))));
    step(&mut model, &back, Step::Host(1, Outcome::Failed("no answer".into())));
    step(&mut model, &back, Step::Ended(None));
    let results = model.writing.results.clone().unwrap();
    assert_eq!((results.count(State::Conflict), results.count(State::Failed)), (1, 1));
    press(&mut model, "<esc>u");
    assert_eq!(names(super::order(&press(&mut model, "y")).unwrap()), ["aws-i-0001"]);
}

fn answer_step(order: &Order, number: usize) -> Step {
    Step::Host(number, answer(order, number))
}

#[test]
fn the_same_again_on_another_target() {
    let mut model = on_host();
    press(&mut model, ".");
    assert!(screen(&model).contains("nothing to do again"));
    let commands = press(&mut model, "m<tab><ctrl-u>disk swap<tab><ctrl-u>90m<tab>OPS-1<enter>y");
    let sent = order(&commands).unwrap().clone();
    ends(&mut model, &sent, answer(&sent, 0));
    press(&mut model, "j.");
    let text = screen(&model);
    assert!(text.contains("put into maintenance db-eu-3"), "{text}");
    let commands = press(&mut model, "y");
    let again = order(&commands).unwrap();
    assert_eq!(names(again), ["aws-i-0003"]);
    let Change::Hold(change) = &again.changes[0] else { panic!("{again:?}") };
    let hold = change.new.clone().unwrap();
    assert_eq!((hold.reason.as_str(), hold.ticket.as_deref()), ("disk swap", Some("OPS-1")));
    assert_eq!(hold.until.0.as_second() - NOW, 5_400);
}

fn known(n: usize, request: Option<&str>, run: Option<RunState>) -> Known {
    let request = request.map(|id| AnsibleRequest {
        request_id: id.into(),
        playbook: "old.yml".into(),
        revision: None,
        tags: Vec::new(),
        check: false,
        extra_vars: std::collections::BTreeMap::new(),
        timeout_seconds: None,
        requested_by: None,
        reason: None,
        cancel: false,
    });
    let target = crate::model::change::Target {
        uid: Uid::new(format!("uid-{n}")),
        namespace: "inventory".into(),
        name: format!("aws-i-{n:04}"),
        resource_version: format!("8{n}"),
    };
    Known { target, facts: Facts { run, ..Facts::default() }, request }
}

fn offers(model: &mut Model) {
    let playbooks = json!([
        {"path": "site.yml", "description": "everything", "tags": ["web", "dns"]},
        {"path": "report.yml", "checkOnly": true},
    ]);
    let spec = json!({"disruption": {"maxUnavailable": 9}, "ansible": {"playbooks": playbooks, "revision": "v3"}});
    cluster(model, "db", spec);
}

/// The question for what the server knows, answered.
fn read(model: &mut Model, commands: &[Command], answers: Vec<Known>) {
    let Some(Command::ReadHosts { generation, hosts }) =
        commands.iter().find(|c| matches!(c, Command::ReadHosts { .. }))
    else {
        panic!("{commands:?}\n{}", screen(model))
    };
    assert_eq!(hosts.len(), answers.len());
    send(model, Msg::HostsRead { generation: generation - 1, result: Err("late".into()) });
    send(model, Msg::HostsRead { generation: *generation, result: Ok(answers) });
}

#[test]
fn a_run_is_chosen_and_says_that_it_cannot_be_undone() {
    let mut model = on_host();
    offers(&mut model);
    let commands = press(&mut model, "r");
    assert!(screen(&model).contains("reading what the server knows"), "{}", screen(&model));
    press(&mut model, "<enter>");
    assert!(matches!(model.overlay, Overlay::Run(_)), "not before it is known");
    read(&mut model, &commands, vec![known(2, Some("before"), None)]);
    press(&mut model, "<tab>jj<space>c");
    assert!(screen(&model).contains("[x] dns"), "{}", screen(&model));
    press(&mut model, "<enter>");
    let text = screen(&model);
    assert!(
        text.contains("cannot be undone: run site.yml (check mode, tags dns) on db-eu-2"),
        "{text}"
    );
    assert!(text.contains("ansible: old.yml → site.yml (check mode, tags dns)"), "{text}");
    assert!(order(&press(&mut model, "y")).is_none(), "a run has a reason");
    let commands = press(&mut model, "<tab>drift<enter>y");
    let sent = order(&commands).unwrap_or_else(|| panic!("{}", screen(&model))).clone();
    let Change::Run(change) = &sent.changes[0] else { panic!("{sent:?}") };
    assert_eq!(change.target.resource_version, "82");
    assert_eq!(change.old.as_ref().unwrap().request_id, "before");
    let new = &change.new;
    assert_eq!(
        (new.playbook.as_str(), new.check, new.tags.as_slice()),
        ("site.yml", true, &["dns".to_owned()][..])
    );
    assert_eq!((new.reason.as_deref(), new.requested_by.as_deref()), (Some("drift"), Some("ann")));
    assert_eq!(new.revision.as_deref(), Some("v3"));
    assert!(new.request_id.starts_with("run-"), "{new:?}");
    ends(&mut model, &sent, answer(&sent, 0));
    assert!(screen(&model).contains("a run of site.yml is asked for"), "{}", screen(&model));
    press(&mut model, "u");
    assert!(screen(&model).contains("nothing to take back"), "{}", screen(&model));

    // The same again elsewhere: no choice, the strip at once; the id is another one.
    let commands = press(&mut model, "j.");
    read(&mut model, &commands, vec![known(3, None, None)]);
    let commands = press(&mut model, "y");
    let Change::Run(again) = &order(&commands).unwrap().changes[0] else { panic!() };
    assert_eq!((again.new.tags.as_slice(), again.new.check), (&["dns".to_owned()][..], true));
    assert_ne!(again.new.request_id, new.request_id);
}

#[test]
fn runs_of_several_differ_in_id_and_leave_out_those_that_run() {
    let mut model = on_host();
    offers(&mut model);
    let commands = press(&mut model, "ggj*r");
    let answers = vec![
        known(1, None, None),
        known(2, Some("a"), Some(RunState::Running)),
        known(3, None, None),
    ];
    read(&mut model, &commands, answers);
    press(&mut model, "j<enter>");
    assert!(
        screen(&model).contains("run report.yml (check mode) on 2 hosts"),
        "{}",
        screen(&model)
    );
    assert!(screen(&model).contains("left out: db-eu-2 is running"), "{}", screen(&model));
    let commands = press(&mut model, "audit<enter>2y");
    let order = order(&commands).unwrap_or_else(|| panic!("{}", screen(&model)));
    let ids: std::collections::BTreeSet<&str> = order
        .changes
        .iter()
        .map(|change| match change {
            Change::Run(change) => change.new.request_id.as_str(),
            Change::Hold(_) | Change::Labels(_) => panic!(),
        })
        .collect();
    assert_eq!(ids.len(), 2);
}

#[test]
fn a_run_that_waits_is_canceled_and_one_that_goes_is_not() {
    let mut model = on_host();
    offers(&mut model);
    let commands = press(&mut model, "r");
    read(&mut model, &commands, vec![known(2, Some("w"), Some(RunState::Queued))]);
    assert!(screen(&model).contains("cancel the waiting run of db-eu-2"), "{}", screen(&model));
    let commands = press(&mut model, "y");
    let sent = order(&commands).unwrap();
    let Change::Run(change) = &sent.changes[0] else { panic!("{sent:?}") };
    assert_eq!(sent.verb, Verb::CancelRun);
    assert_eq!(change.new, AnsibleRequest { cancel: true, ..change.old.clone().unwrap() });

    let mut model = on_host();
    offers(&mut model);
    let commands = press(&mut model, "r");
    read(&mut model, &commands, vec![known(2, Some("w"), Some(RunState::Running))]);
    assert!(screen(&model).contains("a run goes on already"), "{}", screen(&model));
    // Not read yet; nothing offered: it says where to offer something; offered meanwhile.
    let mut model = on_host();
    let commands = press(&mut model, "r");
    read(&mut model, &commands, vec![known(2, None, None)]);
    assert!(screen(&model).contains("press r again"), "{}", screen(&model));
    let commands = press(&mut model, "r");
    offers(&mut model);
    read(&mut model, &commands, vec![known(2, None, None)]);
    assert!(screen(&model).contains("site.yml"), "{}", screen(&model));
    let mut model = on_host();
    send(&mut model, Msg::Clusters(ServerId::FIRST, ObjectEvent::Begin));
    send(&mut model, Msg::Clusters(ServerId::FIRST, ObjectEvent::Synced));
    let commands = press(&mut model, "r");
    read(&mut model, &commands, vec![known(2, None, None)]);
    assert!(screen(&model).contains("no playbook is offered"), "{}", screen(&model));
    // Two clusters: only what both offer.
    let mut model = on_host();
    offers(&mut model);
    let web = json!({"disruption": {"maxUnavailable": 1}, "ansible": {"playbooks": [{"path": "site.yml", "tags": ["dns"]}]}});
    cluster(&mut model, "web", web);
    press(&mut model, "gg*r");
    let Overlay::Run(dialog) = &model.overlay else { panic!("{:?}", model.overlay) };
    assert_eq!(dialog.playbooks.len(), 1);
    assert_eq!(dialog.playbooks[0].tags, ["dns"]);
}

#[test]
fn x_offers_what_changes_something() {
    let mut model = on_host();
    press(&mut model, "x");
    let text = screen(&model);
    assert!(text.contains("maintenance") && !text.contains("half-page"), "{text}");
    press(&mut model, "maint<enter>");
    assert_eq!(strip(&model).verb, Verb::MaintenanceOn);
}

#[test]
fn what_is_not_permitted_is_named() {
    let mut model = on_host();
    send(
        &mut model,
        Msg::May { server: ServerId::FIRST, verb: "patch", resource: "hosts", result: Ok(false) },
    );
    for key in ["m", "r", "u", "U"] {
        press(&mut model, key);
        let text = screen(&model);
        assert!(text.contains("lacks the permission to patch hosts"), "{key}: {text}");
    }
    press(&mut model, "<esc>x");
    assert!(screen(&model).contains("you lack: patch hosts"), "{}", screen(&model));
    assert!(model.cannot(crate::ui::actions::Needs::Write("update", "signatures")).is_none());
}

/// Anything that may happen.
#[derive(Clone, Debug)]
enum Happening {
    Key(String),
    Paste(String),
    Resize(u16, u16),
    Apply(usize, bool),
    Delete(usize),
    Relist,
    Lost(bool),
    Second,
    Read,
    Step(usize, u8),
    End,
    Budget(i32),
}

fn happening() -> impl Strategy<Value = Happening> {
    let keys = vec![
        "<space>",
        "V",
        "*",
        "~",
        "m",
        "m",
        "r",
        "u",
        "U",
        ".",
        "x",
        "y",
        "y",
        "y",
        "n",
        "h",
        "p",
        "3",
        "9",
        "<enter>",
        "<esc>",
        "<tab>",
        "<backtab>",
        "<up>",
        "<down>",
        "j",
        "k",
        "g",
        "G",
        "z",
        "R",
        "M",
        "/",
        "d",
        "b",
        ":",
        "<ctrl-u>",
        "<ctrl-c>",
        "<pagedown>",
        "W",
        "P",
        "0",
    ];
    prop_oneof![
        30 => prop::sample::select(keys).prop_map(|key| Happening::Key(key.to_owned())),
        2 => "[ -~]".prop_map(|key| Happening::Key(if key == "<" { "x".to_owned() } else { key })),
        2 => prop::sample::select(vec!["y", "3y", "9\ny", "db-eu-1y", "a reason\n"])
            .prop_map(|text| Happening::Paste(text.to_owned())),
        1 => (0_u16..150, 0_u16..40).prop_map(|(w, h)| Happening::Resize(w, h)),
        2 => (1_usize..10, any::<bool>()).prop_map(|(n, held)| Happening::Apply(n, held)),
        1 => (1_usize..10).prop_map(Happening::Delete),
        1 => Just(Happening::Relist),
        1 => any::<bool>().prop_map(Happening::Lost),
        1 => Just(Happening::Second),
        3 => Just(Happening::Read),
        2 => (0_usize..9, 0_u8..6).prop_map(|(n, what)| Happening::Step(n, what)),
        2 => Just(Happening::End),
        1 => (1..5).prop_map(Happening::Budget),
    ]
}

/// Whether `y` may send now: in an open strip, typed where it confirms, with all that its level asks
/// for.
fn may_send(model: &Model) -> bool {
    let Overlay::Strip(strip) = &model.overlay else { return false };
    let reason = strip.typed
        || !strip.has(Field::Reason)
        || strip.level() == crate::model::policy::Level::Confirm;
    matches!(strip.field, Field::Confirm | Field::Answer)
        && strip.is_answered()
        && reason
        && strip.refused() < strip.items.len().max(1)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]
    #[test]
    fn nothing_is_sent_without_a_y_in_a_strip_that_has_all_it_asks_for(
        happenings in prop::collection::vec(happening(), 0..120),
    ) {
        let mut model = fleet(100, 24);
        offers(&mut model);
        let (mut version, mut sent, mut second) = (1_000, None::<Order>, NOW);
        for happening in happenings {
            let ready = may_send(&model);
            let writable = model.cannot_write().is_none();
            let is_y = matches!(&happening, Happening::Key(key) if key == "y");
            let order_id = sent.as_ref().map(|order| order.id.clone()).unwrap_or_default();
            let commands = match happening {
                Happening::Key(key) => press(&mut model, &key),
                Happening::Paste(text) => send(&mut model, Msg::Paste(text)),
                Happening::Resize(w, h) => send(&mut model, Msg::Resize(w, h)),
                Happening::Apply(n, held) => {
                    version += 1;
                    let mut host = if held { holding(n, "ann") } else { changed(n, "1") };
                    host["metadata"]["resourceVersion"] = json!(version.to_string());
                    send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Changes(vec![apply(host)])))
                }
                Happening::Delete(n) => {
                    let gone = HostChange::Delete(Uid::new(format!("uid-{n}")));
                    send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Changes(vec![gone])))
                }
                Happening::Relist => {
                    send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Begin { expected: None }));
                    let some = hosts().into_iter().take(5).map(apply).collect();
                    send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Changes(some)));
                    send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Synced))
                }
                Happening::Lost(true) => send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Lost("gone".into()))),
                Happening::Lost(false) => send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Recovered)),
                Happening::Second => {
                    second += 1;
                    send(&mut model, Msg::Tick(jiff::Timestamp::from_second(second).unwrap()))
                }
                Happening::Read => {
                    let result = Ok(vec![known(1, None, None), known(2, Some("w"), Some(RunState::Queued))]);
                    let generation = model.reading;
                    send(&mut model, Msg::HostsRead { generation, result })
                }
                Happening::Step(n, what) => {
                    let outcome = match what {
                        0 => Outcome::Gone,
                        1 => Outcome::Denied("no".into()),
                        2 => Outcome::Failed("broken".into()),
                        3 => Outcome::Conflict(object(changed(2, "400"))),
                        4 => Outcome::NotTried("stopped".into()),
                        _ => Outcome::Done(object(changed(2, "401"))),
                    };
                    send(&mut model, Msg::Act { id: order_id, step: Step::Host(n, outcome) })
                }
                Happening::End => send(&mut model, Msg::Act { id: order_id, step: Step::Ended(None) }),
                Happening::Budget(most) => {
                    cluster(&mut model, "db", json!({"disruption": {"maxUnavailable": most}}));
                    Vec::new()
                }
            };
            let _ = screen(&model);
            for command in &commands {
                if let Command::Act { order, .. } = command {
                    prop_assert!(is_y && ready && writable, "{order:?}");
                    prop_assert!(!order.changes.is_empty());
                    sent = Some((**order).clone());
                }
            }
            let marked = model.inventory.marked();
            prop_assert!(marked.total <= model.inventory.len() && marked.hidden <= marked.total);
        }
    }
}
