use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::model::key::ServerId;
use crate::store::told::Told;
use crate::store::watch::FleetEvent;
use crate::ui::msg::{Command, Msg};
use crate::ui::testing::{NOW, apply, busy, empty, press, screen, send, with_hosts};

const SIZES: [(u16, u16); 3] = [(80, 24), (120, 35), (40, 10)];

/// A page of the host whose last run failed, with everything that it asks for answered.
fn shown(size: (u16, u16), keys: &str) -> Model {
    let at = |ago: i64| jiff::Timestamp::from_second(NOW - ago).unwrap();
    let mut model = with_hosts(empty(size.0, size.1), busy());
    let mut host = busy().remove(5);
    host["metadata"]["resourceVersion"] = json!("700");
    host["metadata"]["labels"]["team"] = json!("shop 日本".replace(' ', "-"));
    host["metadata"]["finalizers"] = json!(["inventory.inv-tui.dev/decommission"]);
    host["status"]["phase"] = json!("Unreachable");
    host["status"]["conditions"] = json!([{
        "type": "AgentReady", "status": "False", "reason": "Silent", "lastTransitionTime": at(300).to_string(),
        "message": "no heartbeat for 5m, and a message that is long enough to be broken on a small screen",
    }]);
    host["metadata"]["managedFields"] = json!([
        {"manager": "inv-tui-fetch-aws", "operation": "Apply", "time": at(200).to_string(),
         "fieldsV1": {"f:metadata": {"f:labels": {}}, "f:spec": {"f:role": {}}}},
    ]);
    send(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Changes(vec![apply(host.clone())])));
    press(&mut model, "zR");
    press(&mut model, "8j");
    let mut commands = press(&mut model, keys);
    for _ in 0..4 {
        let mut next = Vec::new();
        for command in std::mem::take(&mut commands) {
            next.extend(match command {
                Command::ReadObject { generation, .. } => {
                    let result = Ok(Some(Box::new(host.clone())));
                    send(&mut model, Msg::ObjectRead { generation, result })
                }
                Command::FollowEvents { generation, about: Some(_) } => {
                    let told = |reason: &str, warning: bool, ago: i64, count: i32| Told {
                        at: at(ago),
                        first: (count > 1).then(|| at(ago + 600)),
                        warning,
                        reason: reason.to_owned(),
                        message: "run f-1 of site.yml ended".to_owned(),
                        by: "inv-tui-agent (web-eu-3)".to_owned(),
                        count,
                    };
                    let all =
                        vec![told("RunFailed", true, 60, 3), told("RunStarted", false, 700, 1)];
                    send(&mut model, Msg::Told { generation, result: Ok(all) })
                }
                _ => Vec::new(),
            });
        }
        commands = next;
    }
    model
}

#[test]
fn frames() {
    for (width, height) in SIZES {
        for (name, keys) in [
            ("describe", "d"),
            ("yaml", "y"),
            ("events", "E"),
            ("history", "H"),
            ("explain", "X"),
            ("changes", "vh"),
            ("labels", "e"),
        ] {
            let model = shown((width, height), keys);
            insta::assert_snapshot!(format!("{name}_{width}x{height}"), screen(&model));
        }
    }
}

fn line(parts: &[&str]) -> Line {
    parts.iter().map(|part| ((*part).to_owned(), Role::Text)).collect()
}

fn plain(lines: &[Line]) -> Vec<String> {
    lines.iter().map(|line| line.iter().map(|(text, _)| text.as_str()).collect()).collect()
}

#[test]
fn a_long_line_goes_on_below_its_first_letter() {
    let broken = broken(line(&["    ", "key", ":", " ", "one two three four"]), 16);
    assert_eq!(plain(&broken), ["    key: one two", "       three fou", "      r"]);
}

#[test]
fn what_is_looked_for_is_found_across_pieces_and_wide_letters() {
    let line = line(&["日本", "Key", ": VALUE key"]);
    assert_eq!(matches(&line, "key"), [(4, 3), (15, 3)]);
    assert_eq!(matches(&line, "本k"), [(2, 3)]);
    assert_eq!(matches(&line, ""), []);
    assert_eq!(matches(&line, "nothing that is there at all"), []);
}

proptest! {
    #[test]
    fn broken_lines_fit_and_lose_nothing(text in "[ a-z日]{0,120}", width in 8_usize..40) {
        let lines = broken(line(&["  ", &text]), width);
        let kept: String = plain(&lines).concat().replace(' ', "");
        prop_assert_eq!(kept, text.replace(' ', ""));
        for line in plain(&lines) {
            prop_assert!(line.width() <= width, "{:?}", line);
        }
    }
}
