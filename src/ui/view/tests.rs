use serde_json::json;

use crate::model::text::is_hostile;
use crate::store::watch::FleetEvent;
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
    send(&mut lost, Msg::Fleet(FleetEvent::Lost("connection refused".into())));
    send(&mut lost, Msg::Tick(jiff::Timestamp::from_second(NOW + 75).unwrap()));
    insta::assert_snapshot!("lost", screen(&lost));
    insta::assert_snapshot!("tiny", screen(&fleet(20, 5)));
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
