//! What a person feels at 100,000 hosts: a key press, a filter key, an event, each with the frame
//! that it leads to.

use std::cell::RefCell;
use std::hint::black_box;

use divan::Bencher;
use inv_tui::config::Config;
use inv_tui::model::key::ServerId;
use inv_tui::model::record::HostRecord;
use inv_tui::model::sample;
use inv_tui::store::watch::{FleetEvent, HostChange};
use inv_tui::ui::app::{Model, Overlay, Settings, update};
use inv_tui::ui::msg::Msg;
use inv_tui::ui::theme::Theme;
use inv_tui::ui::view;
use jiff::Timestamp;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::Rect;

const ALL: u32 = 100_000;
const SIZE: (u16, u16) = (200, 60);

fn main() {
    divan::main();
}

fn now() -> Timestamp {
    Timestamp::from_second(1_790_000_000).expect("a time in range")
}

fn record(number: u32) -> HostRecord {
    HostRecord::from(&sample::host(number, now()))
}

fn apply(record: HostRecord) -> Msg {
    Msg::Fleet(ServerId::FIRST, FleetEvent::Changes(vec![HostChange::Apply(Box::new(record))]))
}

/// The explorer with the whole fleet, every cluster open.
fn explorer() -> Model {
    let settings = Settings::new(Config::default(), "bench", "https://127.0.0.1:6443");
    let mut model = Model::new(settings, now(), SIZE);
    update(
        &mut model,
        Msg::Fleet(ServerId::FIRST, FleetEvent::Begin { expected: Some(ALL as usize) }),
    );
    for number in 0..ALL {
        update(&mut model, apply(record(number)));
    }
    update(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Synced));
    for key in ['z', 'R'] {
        press(&mut model, KeyCode::Char(key));
    }
    model
}

/// A key press and everything that has to be done before its frame.
fn press(model: &mut Model, code: KeyCode) {
    update(model, Msg::Key(KeyEvent::new(code, KeyModifiers::NONE)));
    while model.filtering() {
        model.filter_step();
    }
}

fn frame(model: &Model, theme: &Theme, buffer: &mut Buffer) {
    buffer.reset();
    view::draw(model, theme, buffer.area, buffer);
    black_box(&buffer);
}

struct Screen {
    model: Model,
    theme: Theme,
    buffer: Buffer,
}

impl Screen {
    fn new() -> RefCell<Self> {
        let theme = Theme::load("night", None).expect("a built-in theme");
        let buffer = Buffer::empty(Rect::new(0, 0, SIZE.0, SIZE.1));
        RefCell::new(Self { model: explorer(), theme, buffer })
    }

    fn draw(&mut self) {
        frame(&self.model, &self.theme, &mut self.buffer);
    }
}

/// One frame of 200 × 60.
#[divan::bench]
fn frame_drawn(bencher: Bencher<'_, '_>) {
    let screen = Screen::new();
    bencher.bench_local(|| screen.borrow_mut().draw());
}

/// Half a page down and its frame.
#[divan::bench]
fn half_a_page_and_frame(bencher: Bencher<'_, '_>) {
    let screen = Screen::new();
    bencher.bench_local(|| {
        let mut screen = screen.borrow_mut();
        let key = KeyEvent::new(KeyCode::Char('d'), KeyModifiers::CONTROL);
        update(&mut screen.model, Msg::Key(key));
        screen.draw();
    });
}

/// To the last line or back to the first, and the frame.
#[divan::bench]
fn end_and_frame(bencher: Bencher<'_, '_>) {
    let screen = Screen::new();
    let mut down = true;
    bencher.bench_local(|| {
        let mut screen = screen.borrow_mut();
        press(&mut screen.model, if down { KeyCode::End } else { KeyCode::Home });
        down = !down;
        screen.draw();
    });
}

/// One event of the watch that changes a row, and the frame.
#[divan::bench]
fn event_and_frame(bencher: Bencher<'_, '_>) {
    let screen = Screen::new();
    let number = RefCell::new(0);
    bencher
        .with_inputs(|| {
            let mut number = number.borrow_mut();
            *number += 7;
            let mut record = record(*number % ALL);
            record.metadata.resource_version = Some(format!("9{number}"));
            record.status.phase = Some(inv_tui::model::host::Phase::Stopped);
            record
        })
        .bench_local_values(|record| {
            let mut screen = screen.borrow_mut();
            update(&mut screen.model, apply(record));
            screen.draw();
        });
}

/// One key in the filter line, from the key to the frame: the first letter (every host is tested),
/// a further letter (only the hosts that matched), and clearing it.
#[divan::bench(args = ["first letter", "second letter", "label", "clear"])]
fn filter_key_and_frame(bencher: Bencher<'_, '_>, which: &str) {
    let screen = Screen::new();
    let (before, key) = match which {
        "first letter" => ("", KeyCode::Char('w')),
        "second letter" => ("w", KeyCode::Char('e')),
        "label" => ("env=pro", KeyCode::Char('d')),
        _ => ("web", KeyCode::Esc),
    };
    bencher
        .with_inputs(|| {
            let mut screen = screen.borrow_mut();
            press(&mut screen.model, KeyCode::Esc);
            press(&mut screen.model, KeyCode::Char('0'));
            press(&mut screen.model, KeyCode::Char('/'));
            for letter in before.chars() {
                press(&mut screen.model, KeyCode::Char(letter));
            }
        })
        .bench_local_values(|()| {
            let mut screen = screen.borrow_mut();
            press(&mut screen.model, key);
            screen.draw();
        });
}

/// The strip for the whole fleet, from the key to the frame.
#[divan::bench]
fn strip_for_all_and_frame(bencher: Bencher<'_, '_>) {
    let screen = Screen::new();
    let mut inner = screen.borrow_mut();
    update(&mut inner.model, Msg::User(ServerId::FIRST, Ok("ann".to_owned())));
    press(&mut inner.model, KeyCode::Char('j'));
    press(&mut inner.model, KeyCode::Char('j'));
    press(&mut inner.model, KeyCode::Char('*'));
    drop(inner);
    bencher
        .with_inputs(|| {
            let mut screen = screen.borrow_mut();
            let cancel = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
            if screen.model.overlay != Overlay::None {
                update(&mut screen.model, Msg::Key(cancel));
            }
        })
        .bench_local_values(|()| {
            let mut screen = screen.borrow_mut();
            press(&mut screen.model, KeyCode::Char('m'));
            screen.draw();
        });
}
