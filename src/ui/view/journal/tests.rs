use jiff::Timestamp;

use crate::journal::{Entry, Part, Record, Target};
use crate::model::text::is_hostile;
use crate::ui::app::{Model, View};
use crate::ui::msg::{Command, JournalRead, Msg};
use crate::ui::testing::{NOW, fleet, now, press, screen, send};

fn record(id: &str, verb: &str, ago: i64, results: &[(&str, Option<&str>)]) -> Record {
    let at = Timestamp::from_second(NOW - ago).unwrap();
    let target = |(name, result): &(&str, Option<&str>)| Target {
        namespace: "inventory".to_owned(),
        name: (*name).to_owned(),
        result: result.map(ToOwned::to_owned),
        detail: result.filter(|r| *r == "denied").map(|_| "over the budget\u{1b}[31m".to_owned()),
        ..Target::default()
    };
    Record {
        entry: Entry {
            at,
            id: id.to_owned(),
            part: Part::Begin,
            context: "test".to_owned(),
            server: "https://127.0.0.1:6443".to_owned(),
            user: "ann".to_owned(),
            verb: verb.to_owned(),
            reason: "disk swap".to_owned(),
            ticket: None,
            overrides: false,
            targets: Vec::new(),
            ended: None,
        },
        ended_at: results.iter().all(|(_, result)| result.is_some()).then_some(at),
        targets: results.iter().map(target).collect(),
    }
}

fn read() -> JournalRead {
    let records = vec![
        record("ord-4", "run", 30, &[("aws-i-0001", None), ("aws-i-0002", None)]),
        record("ord-3", "maintenance-off", 600, &[("aws-i-0001", Some("done"))]),
        record(
            "ord-2",
            "maintenance-on",
            7_000,
            &[
                ("aws-i-0001", Some("done")),
                ("aws-i-0002", Some("done")),
                ("aws-i-0003", Some("denied")),
            ],
        ),
        record("ord-1", "csr-approve", 90_000, &[("inv-host-1", Some("done"))]),
    ];
    JournalRead { records, more: true, skipped: 1 }
}

fn shown(width: u16, height: u16) -> Model {
    let mut model = fleet(width, height);
    assert!(press(&mut model, "J").contains(&Command::ReadJournal));
    send(&mut model, Msg::Journal(Ok(read())));
    model
}

#[test]
fn frames() {
    for (width, height) in [(80, 24), (120, 35), (40, 10)] {
        let mut model = shown(width, height);
        press(&mut model, "2j");
        insta::assert_snapshot!(format!("journal_{width}x{height}"), screen(&model));
    }
    let mut narrow = shown(80, 24);
    press(&mut narrow, "2j<enter>");
    insta::assert_snapshot!("journal_targets", screen(&narrow));
    assert!(!screen(&narrow).chars().any(|c| c != '\n' && is_hostile(c)));
}

#[test]
fn it_is_read_when_it_is_shown_and_again_after_a_while() {
    let mut model = fleet(80, 24);
    let tick = |seconds| Msg::Tick(now() + jiff::SignedDuration::from_secs(seconds));
    assert!(!send(&mut model, tick(60)).contains(&Command::ReadJournal));
    assert!(press(&mut model, "vj").contains(&Command::ReadJournal));
    assert!(screen(&model).contains("reading…") && !model.settled());
    assert!(!send(&mut model, tick(70)).contains(&Command::ReadJournal), "one question at a time");
    send(&mut model, Msg::Journal(Ok(JournalRead::default())));
    assert!(screen(&model).contains("you have done nothing yet"), "{}", screen(&model));
    assert!(!send(&mut model, tick(72)).contains(&Command::ReadJournal));
    assert!(send(&mut model, tick(80)).contains(&Command::ReadJournal));
    send(&mut model, Msg::Journal(Err("it is a folder".into())));
    assert!(screen(&model).contains("it is a folder"), "{}", screen(&model));
    press(&mut model, "vf");
    assert!(!send(&mut model, tick(200)).contains(&Command::ReadJournal));
}

#[test]
fn the_cursor_stays_on_its_order() {
    let mut model = shown(80, 24);
    press(&mut model, "2j");
    let mut newer = read();
    newer.records.insert(0, record("ord-5", "undo", 1, &[("aws-i-0001", Some("done"))]));
    send(&mut model, Msg::Journal(Ok(newer)));
    assert_eq!(model.journal.record().map(|record| record.entry.id.as_str()), Some("ord-2"));
    press(&mut model, "<enter>");
    assert!(screen(&model).contains("over the budget"), "{}", screen(&model));
    press(&mut model, "<esc><esc>");
    assert_eq!(model.views.now, View::Fleet);
}
