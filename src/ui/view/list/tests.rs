use super::*;
use crate::model::text::is_hostile;
use crate::ui::app::Model;
use crate::ui::msg::{Command, Msg};
use crate::ui::testing::{busy, empty, object, press, screen, send, with_hosts};

/// A fleet in a view, with whatever the detail pane asks for answered.
fn shown(size: (u16, u16), keys: &str) -> Model {
    let mut model = with_hosts(empty(size.0, size.1), busy());
    let mut commands = press(&mut model, keys);
    for generation in 1..20 {
        let name = commands.iter().find_map(|command| match command {
            Command::ReadHost { name, .. } => Some(name.clone()),
            _ => None,
        });
        let name = name.or_else(|| model.host().map(|row| row.name().to_owned()));
        let host =
            busy().into_iter().find(|host| host["metadata"]["name"].as_str() == name.as_deref());
        let result = Ok(host.map(object));
        commands = send(&mut model, Msg::HostRead { generation, result });
    }
    model
}

const SIZES: [(u16, u16); 3] = [(80, 24), (120, 35), (40, 10)];

#[test]
fn frames() {
    for (width, height) in SIZES {
        for (name, keys) in [("maintenance", "vm"), ("runs", "vr2j")] {
            let model = shown((width, height), keys);
            insta::assert_snapshot!(format!("{name}_{width}x{height}"), screen(&model));
        }
    }
    let mut ascii = shown((120, 35), "vr2j");
    ascii.settings.ascii = true;
    insta::assert_snapshot!("runs_ascii", screen(&ascii));
}

#[test]
fn every_size_is_drawn_and_nothing_hostile_is_shown() {
    for keys in ["vm", "vr", "vrl", "vr2jl", "vr<tab>"] {
        let mut model = shown((120, 35), keys);
        for width in [0, 1, 2, 5, 20, 40, 60, 99, 100, 130, 200] {
            for height in [0, 1, 2, 3, 4, 10, 60] {
                send(&mut model, Msg::Resize(width, height));
                let text = screen(&model);
                assert!(!text.chars().any(|c| c != '\n' && is_hostile(c)), "{text:?}");
            }
        }
    }
}

#[test]
fn columns_fill_the_width_and_never_more() {
    for columns in [&HELD[..], &RUNS[..]] {
        for (width, longest) in (0..220).flat_map(|width| [(width, 0), (width, 15), (width, 400)]) {
            let widths = widths(columns, width, longest);
            let sum: usize = widths.iter().sum();
            let all = sum + usize::from(MARGIN);
            assert!(width < 22 || all == usize::from(width), "{width}: {widths:?}");
        }
    }
    assert_eq!(widths(&HELD, 40, 0), [15, 12, 12, 0, 0, 0, 0]);
}

#[test]
fn a_long_name_takes_from_the_others_and_leaves_them_a_third() {
    assert_eq!(widths(&HELD, 40, 13), [15, 16, 8, 0, 0, 0, 0]);
    assert_eq!(widths(&HELD, 40, 14), widths(&HELD, 40, 15), "nothing moves for one letter");
    assert_eq!(widths(&HELD, 40, 60), [15, 16, 8, 0, 0, 0, 0]);
    assert_eq!(widths(&HELD, 100, 60), [15, 43, 10, 14, 7, 0, 10]);
}
