use super::took;
use crate::model::text::is_hostile;
use crate::ui::app::Model;
use crate::ui::app::sources::tests::{events, with_sources};
use crate::ui::msg::Msg;
use crate::ui::testing::{fleet, press, screen, send};

fn shown(width: u16, height: u16, keys: &str) -> Model {
    let mut model = with_sources(fleet(width, height), events());
    press(&mut model, keys);
    model
}

#[test]
fn frames() {
    for (width, height) in [(80, 24), (120, 35), (200, 40), (40, 10)] {
        let model = shown(width, height, "vs");
        insta::assert_snapshot!(format!("sources_{width}x{height}"), screen(&model));
    }
    insta::assert_snapshot!("fine", screen(&shown(120, 35, "vsG")));
    insta::assert_snapshot!("incomplete", screen(&shown(120, 35, "vs3j")));
    insta::assert_snapshot!("over_the_list", screen(&shown(60, 24, "vsl")));
    insta::assert_snapshot!("main_screen", screen(&shown(120, 12, "")));
    let mut ascii = shown(120, 35, "vs");
    ascii.settings.ascii = true;
    insta::assert_snapshot!("ascii", screen(&ascii));
}

#[test]
fn every_size_is_drawn_and_nothing_hostile_or_secret_is_shown() {
    for keys in ["", "vs", "vsl", "vs3jl", "vsG<tab>jjj"] {
        let mut model = shown(120, 35, keys);
        for width in [0, 1, 2, 5, 20, 40, 59, 60, 61, 99, 100, 130, 200, 300] {
            for height in [0, 1, 2, 3, 4, 6, 10, 60] {
                send(&mut model, Msg::Resize(width, height));
                let text = screen(&model);
                assert!(!text.chars().any(|c| c != '\n' && is_hostile(c)), "{text:?}");
                assert!(!text.contains("IBM_KEY"), "what a credential refers to\n{text}");
            }
        }
    }
}

#[test]
fn lengths_of_passes() {
    for (millis, text) in [
        (None, "-"),
        (Some(-5), "0ms"),
        (Some(240), "240ms"),
        (Some(4_210), "4.2s"),
        (Some(59_999), "59.9s"),
        (Some(190_000), "3m10s"),
    ] {
        assert_eq!(took(millis), text);
    }
}
