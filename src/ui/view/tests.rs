use serde_json::json;

use crate::model::key::ServerId;
use crate::model::text::is_hostile;
use crate::store::watch::FleetEvent;
use crate::ui::actions::ACTIONS;
use crate::ui::keymap;
use crate::ui::msg::Msg;
use crate::ui::testing::{NOW, empty, fleet, host, hosts, object, press, screen, send, with_hosts};

fn hostile() -> serde_json::Value {
    let mut host = host(
        50,
        "evil\u{1b}[2J\u{202E}gnp.exe\u{200B}\u{9b}31m",
        "eu\u{1b}]0;x\u{7}",
        "c\u{7f}\u{2066}l",
    );
    host["metadata"]["labels"]["team"] = json!("a\u{1b}[31mb");
    host["metadata"]["annotations"]["inventory.inv-tui.dev/tags"] =
        json!("{\"k\\u001b[5m\":\"v\\u0007\\u202e\"}");
    host["spec"]["role"] = json!("r\u{85}ole");
    host["spec"]["maintenance"] = json!({"bob": {"reason": "r\u{1b}[0m\u{202e}", "mode": "Drain",
        "since": jiff::Timestamp::from_second(NOW - 60).unwrap().to_string(),
        "until": jiff::Timestamp::from_second(NOW + 6_000).unwrap().to_string()}});
    host["status"]["addresses"] = json!([{"type": "InternalIP", "address": "10.0.0.1\u{1b}c"}]);
    host
}

#[test]
fn no_hostile_character_reaches_the_screen() {
    let mut model = with_hosts(empty(140, 50), vec![hostile()]);
    press(&mut model, "zRG");
    let commands = press(&mut model, "l");
    let _ = commands;
    // Whatever question is open, answer it with the whole object.
    for generation in 0..5 {
        send(&mut model, Msg::HostRead { generation, result: Ok(Some(object(hostile()))) });
    }
    for keys in ["", "m", "<esc>Y", "<esc>/evil", "<esc>:"] {
        press(&mut model, keys);
        let text = screen(&model);
        assert!(!text.chars().any(|c| c != '\n' && is_hostile(c)), "{keys}: {text:?}");
        assert!(keys.is_empty() || !text.is_empty());
    }
    assert!(screen(&model).contains("evil"));
}

#[test]
fn a_host_that_goes_shows_its_steps_and_what_it_waits_for() {
    let at = |seconds: i64| jiff::Timestamp::from_second(NOW + seconds).unwrap().to_string();
    let mut going = host(1, "web-1", "eu-west-1", "web");
    going["metadata"]["deletionTimestamp"] = json!(at(-900));
    going["metadata"]["annotations"]["pre-decommission.hook.inventory.inv-tui.dev/backup"] =
        json!("x");
    going["status"]["conditions"] = json!([
        {"type": "Deleting", "status": "True", "reason": "OwnerKeepsIt", "lastTransitionTime": at(-900),
            "message": "step 2 of 3, owners: \u{1b}backup"},
        {"type": "InService", "status": "False", "reason": "Deleting", "lastTransitionTime": at(-900),
            "message": ""},
    ]);
    going["status"]["decommission"] = json!({
        "startedAt": at(-840),
        "waiting": {"reason": "OwnerKeepsIt", "what": "its owner \"backup\"", "since": at(-600)},
        "steps": [
            {"name": "drain", "state": "Succeeded", "attempts": 2, "startedAt": at(-800),
                "finishedAt": at(-720), "message": "drained"},
            {"name": "owners", "state": "Pending", "startedAt": at(-600)},
            {"name": "wipe", "state": "Pending"},
        ],
    });
    let mut model = with_hosts(empty(160, 60), vec![going.clone()]);
    press(&mut model, "zRG");
    for generation in 0..5 {
        send(&mut model, Msg::HostRead { generation, result: Ok(Some(object(going.clone()))) });
    }
    let shown = screen(&model);
    for line in [
        "deleting        step 2 of 3, owners: \u{fffd}backup",
        "service         InService, Deleting since",
        "kept by         backup",
        "taken up        14m ago",
        "waits           OwnerKeepsIt · for 10m: its owner",
        "drain           Succeeded · attempt 2 · 12m ago · drained",
        "wipe            Pending",
    ] {
        assert!(shown.contains(line), "no {line:?} in\n{shown}");
    }
}

#[test]
fn frames() {
    let mut full = fleet(120, 24);
    press(&mut full, "zRgg3j");
    insta::assert_snapshot!("tree_and_detail", screen(&full));
    press(&mut full, "m");
    insta::assert_snapshot!("strip", screen(&full));
    press(&mut full, "<esc>/eu db");
    insta::assert_snapshot!("filter", screen(&full));
    press(&mut full, "<enter>?");
    insta::assert_snapshot!("help", screen(&full));

    insta::assert_snapshot!("connecting", screen(&empty(80, 12)));
    insta::assert_snapshot!("no_hosts", screen(&with_hosts(empty(80, 12), Vec::new())));
    let mut lost = fleet(80, 12);
    send(&mut lost, Msg::Fleet(ServerId::FIRST, FleetEvent::Lost("connection refused".into())));
    send(&mut lost, Msg::Tick(jiff::Timestamp::from_second(NOW + 75).unwrap()));
    insta::assert_snapshot!("lost", screen(&lost));
    insta::assert_snapshot!("tiny", screen(&fleet(20, 5)));
}

#[test]
fn help_and_palette_have_every_row_of_the_table() {
    let mut model = fleet(120, 160);
    press(&mut model, "?");
    let help = screen(&model);
    press(&mut model, "<esc>");
    for row in ACTIONS {
        let shown: Vec<String> = row.keys.iter().map(|key| keymap::shown(key)).collect();
        let keys = if shown.is_empty() { format!(":{}", row.name) } else { shown.join(" ") };
        let of_row =
            |line: &str| line.trim().starts_with(&format!("{keys} ")) && line.contains(row.help);
        assert!(help.lines().any(of_row), "{keys} {}\n{help}", row.help);

        press(&mut model, &format!(":{}", row.name));
        let palette = screen(&model);
        let key = shown.first().map_or("", String::as_str);
        let of_row = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.first() == Some(&row.name)
                && line.contains(row.help)
                && line.trim().ends_with(key)
        };
        assert!(palette.lines().any(of_row), "{}\n{palette}", row.name);
        press(&mut model, "<esc>");
    }
}

#[test]
fn help_stops_at_its_ends_and_tells_where_it_is() {
    let mut model = fleet(80, 24);
    press(&mut model, "?");
    let begin = screen(&model);
    assert!(begin.lines().nth(1).unwrap().contains(" 1–20 of "), "{begin}");
    press(&mut model, "G");
    let end = screen(&model);
    assert!(end.contains("marked") && !end.contains("10j moves ten"), "{end}");
    press(&mut model, "jjj<space>k");
    let above = screen(&model);
    assert_ne!(above, end, "what was pressed at the end is not kept");
    press(&mut model, "j");
    assert_eq!(screen(&model), end);
    press(&mut model, "g<pagedown><pageup>k");
    assert_eq!(screen(&model), begin);
}

#[test]
fn every_size_is_drawn_without_a_panic() {
    let mut model = with_hosts(empty(80, 24), hosts().into_iter().chain([hostile()]).collect());
    press(&mut model, "zR");
    for keys in ["", "m", "<esc>Y", "<esc>/d(", "<esc>:", "<esc>?", "<esc><enter>"] {
        press(&mut model, keys);
        for width in [0, 1, 2, 5, 20, 99, 100, 200] {
            for height in [0, 1, 2, 3, 4, 5, 6, 24, 60] {
                send(&mut model, Msg::Resize(width, height));
                let _ = screen(&model);
            }
        }
    }
}

#[test]
fn a_narrow_terminal_shows_the_host_on_enter() {
    let mut model = fleet(60, 20);
    press(&mut model, "zRgg2j<enter>");
    assert!(model.detail.over);
    assert!(screen(&model).contains("aws-i-0001"), "{}", screen(&model));
    press(&mut model, "<esc>");
    assert!(!model.detail.over);
}

#[test]
fn an_ascii_screen_is_ascii() {
    let mut model = fleet(120, 24);
    model.settings.ascii = true;
    press(&mut model, "zR3j");
    for keys in ["", "m", "<esc>?"] {
        press(&mut model, keys);
        let text = screen(&model);
        let odd: String = text.chars().filter(|c| !c.is_ascii()).collect();
        assert!(odd.is_empty(), "{odd:?} in\n{text}");
    }
}

/// A fleet of so many hosts in one cluster, all marked, with the strip for them open.
fn strip_of(count: usize, width: u16, height: u16) -> crate::ui::app::Model {
    let all = (1..=count).map(|n| host(n, &format!("web-{n}"), "eu-west-1", "shop")).collect();
    let mut model = with_hosts(empty(width, height), all);
    let cluster = json!({
        "apiVersion": "inventory.inv-tui.dev/v1alpha1", "kind": "Cluster",
        "metadata": {"name": "shop", "namespace": "inventory"},
        "spec": {"disruption": {"maxUnavailable": "10%"}},
    });
    let cluster = Box::new(serde_json::from_value(cluster).unwrap());
    send(
        &mut model,
        Msg::Clusters(ServerId::FIRST, crate::store::objects::ObjectEvent::Apply(cluster)),
    );
    press(&mut model, "zRgg2j");
    press(&mut model, if count == 1 { "m" } else { "*m" });
    if count > 1 {
        press(&mut model, "new kernel<enter>");
    }
    model
}

#[test]
fn strips() {
    for (width, height) in [(80, 24), (120, 35), (40, 10)] {
        for count in [1, 5, 500] {
            let model = strip_of(count, width, height);
            insta::assert_snapshot!(format!("strip_{count}_{width}x{height}"), screen(&model));
        }
    }
}

#[test]
fn results_and_runs() {
    use crate::act::{Outcome, Step};
    let mut model = strip_of(5, 80, 24);
    let commands = press(&mut model, "5y");
    let Some(crate::ui::msg::Command::Act { order, .. }) = commands.first() else {
        panic!("{commands:?}")
    };
    let step = |step| Msg::Act { id: order.id.clone(), step };
    let outcomes = [
        Outcome::Done(object(host(1, "web-1", "eu-west-1", "shop"))),
        Outcome::Denied("the budget of cluster shop is used up: 1 of 1 away".into()),
        Outcome::Failed("no answer after 10 s\u{1b}[2J".into()),
    ];
    for (number, outcome) in outcomes.into_iter().enumerate() {
        send(&mut model, step(Step::Host(number, outcome)));
    }
    insta::assert_snapshot!("progress", screen(&model));
    send(&mut model, step(Step::Ended(Some("stopped".into()))));
    for (width, height) in [(80, 24), (40, 10)] {
        send(&mut model, Msg::Resize(width, height));
        insta::assert_snapshot!(format!("results_{width}x{height}"), screen(&model));
    }
    let playbooks = json!([
        {"path": "site.yml", "description": "everything", "tags": ["web", "dns"]},
        {"path": "report.yml", "checkOnly": true},
    ]);
    let cluster = json!({
        "apiVersion": "inventory.inv-tui.dev/v1alpha1", "kind": "Cluster",
        "metadata": {"name": "shop", "namespace": "inventory"},
        "spec": {"ansible": {"playbooks": playbooks}},
    });
    let cluster = Box::new(serde_json::from_value(cluster).unwrap());
    send(
        &mut model,
        Msg::Clusters(ServerId::FIRST, crate::store::objects::ObjectEvent::Apply(cluster)),
    );
    press(&mut model, "<esc>r<tab>j<space>");
    for (width, height) in [(80, 24), (40, 10)] {
        send(&mut model, Msg::Resize(width, height));
        insta::assert_snapshot!(format!("run_{width}x{height}"), screen(&model));
    }
}

#[test]
fn every_strip_is_drawn_at_every_size() {
    for count in [1, 5, 500] {
        let mut model = strip_of(count, 80, 24);
        for keys in ["", "<tab>", "<tab>", "<esc>p", "<pagedown>"] {
            press(&mut model, keys);
            for (width, height) in [(0, 0), (1, 1), (5, 2), (20, 5), (40, 7), (60, 9), (200, 60)] {
                send(&mut model, Msg::Resize(width, height));
                let text = screen(&model);
                assert!(
                    width < 40 || text.contains("esc"),
                    "{count} {keys} {width}x{height}\n{text}"
                );
            }
        }
    }
}
