use crate::model::text::is_hostile;
use crate::ui::app::certificates::tests::shown;
use crate::ui::msg::Msg;
use crate::ui::testing::{press, screen, send};

#[test]
fn frames() {
    for (width, height) in [(80, 24), (120, 35), (40, 10)] {
        let mut model = shown(width, height);
        press(&mut model, "j");
        let text = masked(&screen(&model));
        insta::assert_snapshot!(format!("certificates_{width}x{height}"), text);
        press(&mut model, "a");
        let text = masked(&screen(&model));
        insta::assert_snapshot!(format!("mismatch_{width}x{height}"), text);
    }
    let mut model = shown(80, 24);
    press(&mut model, "2ja");
    insta::assert_snapshot!("approve", masked(&screen(&model)));
    press(&mut model, "<esc>D");
    model.settings.ascii = true;
    insta::assert_snapshot!("deny_ascii", masked(&screen(&model)));
}

/// The keys of the requests are new each time.
fn masked(screen: &str) -> String {
    let lines = screen.lines().map(|line| match line.split_once("SHA256:") {
        Some((before, _)) => format!("{before}SHA256:…"),
        None => line.to_owned(),
    });
    let is_hex = |line: &str| {
        let cell = line.rsplit('│').next().unwrap_or_default().trim();
        cell.len() > 8 && cell.chars().all(|c| c.is_ascii_hexdigit())
    };
    lines.filter(|line| !is_hex(line)).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_size_is_drawn_and_nothing_hostile_is_shown() {
    for keys in ["", "l", "2ja", "2jD", "ja", "<tab>jjj"] {
        let mut model = shown(120, 35);
        press(&mut model, keys);
        for width in [0, 1, 2, 5, 20, 40, 60, 99, 100, 130, 200] {
            for height in [0, 1, 2, 3, 4, 6, 10, 60] {
                send(&mut model, Msg::Resize(width, height));
                let text = screen(&model);
                assert!(!text.chars().any(|c| c != '\n' && is_hostile(c)), "{text:?}");
            }
        }
    }
}
