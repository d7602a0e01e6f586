use serde_json::json;

use crate::ui::app::Model;
use crate::ui::msg::Msg;
use crate::ui::testing::{busy, empty, frame, host, press, screen, send, with_hosts};

const SIZES: [(u16, u16); 4] = [(40, 10), (80, 24), (120, 35), (200, 60)];

/// Hosts in every state, some with names that are hard to draw, and with a label.
fn fleet() -> Model {
    let mut all = busy();
    let names =
        ["日本語サーバー-1", "مضيف-٢", "e\u{301}te\u{301}-3", "👩‍👩‍👧‍👦-4", "ｗｉｄｅ-5", "שרת-6"];
    for (n, name) in names.iter().enumerate() {
        let mut host = host(60 + n, name, "ap-south-1", "odd");
        host["metadata"]["labels"]["example.com/rack"] = json!(format!("r{}", n * 7));
        host["status"]["phase"] = json!(["Running", "Stopped", "Missing"][n % 3]);
        all.push(host);
    }
    with_hosts(empty(120, 35), all)
}

#[test]
fn frames() {
    for (width, height) in SIZES {
        let mut model = fleet();
        send(&mut model, Msg::Resize(width, height));
        press(&mut model, "zR2j");
        insta::assert_snapshot!(format!("tree_{width}x{height}"), screen(&model));
        press(&mut model, "zM");
        insta::assert_snapshot!(format!("closed_{width}x{height}"), screen(&model));
        press(&mut model, "zRtgg3j<shift-right>OI");
        insta::assert_snapshot!(format!("table_{width}x{height}"), screen(&model));
        press(&mut model, "Crack");
        insta::assert_snapshot!(format!("picker_{width}x{height}"), screen(&model));
    }
    let mut model = fleet();
    press(&mut model, "t<ctrl-w>9<shift-right>");
    insta::assert_snapshot!("wide_120x35", screen(&model));
    send(&mut model, Msg::Resize(60, 12));
    press(&mut model, "/ap-south<enter>t:group state,label:example.com/rack<enter>zR");
    insta::assert_snapshot!("by_label_60x12", screen(&model));
    press(&mut model, "gl");
    insta::assert_snapshot!("group_by_60x12", screen(&model));
}

/// The text of a line of the screen from one column on.
fn from(model: &Model, x: u16, y: u16, width: u16) -> String {
    let buffer = frame(model);
    (x..x + width).map(|x| buffer[(x, y)].symbol()).collect()
}

#[test]
fn every_cell_stands_under_its_title_whatever_the_name() {
    for (form, width) in [("zR", 90), ("t", 90), ("zR", 44), ("t", 44), ("t", 200)] {
        let mut model = fleet();
        send(&mut model, Msg::Resize(width, 50));
        press(&mut model, form);
        let areas = model.areas();
        let titles = from(&model, 0, areas.titles.y, areas.titles.width);
        let x = u16::try_from(titles.chars().position(|c| c == 'S').unwrap()).unwrap();
        assert_eq!(from(&model, x, areas.titles.y, 5), "STATE");
        let states = ["Running", "Stopped", "Missing", "Mainten"];
        let lines = areas.rows.y..areas.rows.bottom();
        let found = lines
            .map(|y| from(&model, x, y, 7))
            .filter(|text| states.iter().any(|state| text.starts_with(state)));
        assert_eq!(found.count(), 15, "{form} {width}\n{}", screen(&model));
    }
}

#[test]
fn ascii_shows_the_same_without_another_sign() {
    let mut model = with_hosts(empty(60, 20), busy());
    model.settings.ascii = true;
    for keys in ["", "zR", "t<ctrl-w>8<shift-right>OI", "C"] {
        press(&mut model, keys);
        let text = screen(&model);
        let odd: String = text.chars().filter(|c| !c.is_ascii()).collect();
        assert!(odd.is_empty(), "{keys}: {odd:?} in\n{text}");
    }
    press(&mut model, "<esc>");
    assert!(screen(&model).contains('<') && screen(&model).contains('v'), "{}", screen(&model));
}

#[test]
fn every_size_is_drawn() {
    let mut model = fleet();
    for keys in
        ["zR", "t", "<ctrl-w>", "9<shift-right>", "C", "<esc>gl", "<esc>:group <enter>", "t"]
    {
        press(&mut model, keys);
        for width in [0, 1, 3, 7, 16, 17, 20, 40, 99, 100, 400] {
            for height in [0, 1, 2, 5, 10, 100] {
                send(&mut model, Msg::Resize(width, height));
                let _ = screen(&model);
            }
        }
    }
}
