//! A storm: 2,000 changes a second while a person moves, filters and marks. The explorer's own loop
//! runs on a screen in memory; only who types and what changes is made up.
//!
//!     cargo bench --bench storm [-- HOSTS [SECONDS [CHANGES_A_SECOND]]]     100000, 20 and 2000
//!
//! It says how long after a key and after a change a frame showed it, and ends with a failure if the
//! cursor moved without a key, or a mark was lost or appeared.

#![allow(clippy::print_stdout, reason = "what it measured is its output")]

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::stream;
use inv_tui::config::Config;
use inv_tui::model::host::Phase;
use inv_tui::model::key::ServerId;
use inv_tui::model::key::{NodeKey, Uid};
use inv_tui::model::record::HostRecord;
use inv_tui::model::sample;
use inv_tui::store::watch::{FleetEvent, HostChange};
use inv_tui::ui::app::{Model, Settings, update};
use inv_tui::ui::msg::{Command, Msg};
use inv_tui::ui::run::{Executor, QUEUE, SystemClock, run};
use inv_tui::ui::theme::Theme;
use jiff::Timestamp;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

const SIZE: (u16, u16) = (200, 60);
/// Changes that come together, as a watch brings them.
const TOGETHER: u32 = 20;
/// Time between two keys: faster than anybody types.
const KEYS: Duration = Duration::from_millis(40);
/// Hosts at the begin of the fleet that only change, so that what is marked stays.
const SAFE: u32 = 1_000;
/// What the person types, over and over.
const SCRIPT: &[&str] = &[
    "j", "j", "j", "space", "j", "space", "ctrl-d", "ctrl-d", "k", "space", "ctrl-u", "/", "w",
    "e", "b", "enter", "j", "j", "space", "k", "ctrl-f", "ctrl-b", "0", "G", "g", "g", "j", "l",
    "j", "/", "e", "n", "v", "=", "p", "r", "o", "d", "enter", "ctrl-d", "j", "0", "j", "j",
];

/// What is seen from outside while it runs.
#[derive(Default)]
struct Seen {
    /// Keys that no frame has shown yet: place in the script, and when they were pressed.
    keys: Vec<(usize, Instant)>,
    /// Batches of changes that no frame has shown yet: number, and when they were sent.
    batches: Vec<(u64, Instant)>,
    key_to_frame: Vec<(usize, Duration)>,
    /// The same until what was asked for is shown: of a filter, the hosts that it finds.
    asked: Vec<(usize, Instant)>,
    key_to_result: Vec<(usize, Duration)>,
    change_to_frame: Vec<Duration>,
    frames: usize,
    cursor: Option<NodeKey>,
    marks: BTreeSet<Uid>,
    /// A key came since the last frame.
    pressed: bool,
    wrong: Vec<String>,
}

struct Outside(Arc<Mutex<Seen>>, Uid);

impl Executor for Outside {
    fn start(&mut self, _: Command) {}

    fn drawn(&mut self, model: &Model) {
        let now = Instant::now();
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = &mut *seen;
        seen.frames += 1;
        seen.key_to_frame.extend(seen.keys.drain(..).map(|(place, at)| (place, now - at)));
        if !model.filter.running {
            seen.key_to_result.extend(seen.asked.drain(..).map(|(place, at)| (place, now - at)));
        }
        let shown =
            model.inventory.get(&self.1).and_then(|row| row.resource_version().parse().ok());
        let shown: u64 = shown.unwrap_or(0);
        seen.batches.retain(|(number, at)| {
            let is_shown = *number <= shown;
            if is_shown {
                seen.change_to_frame.push(now - *at);
            }
            !is_shown
        });
        let (marked, hidden) = model.inventory.marked_rows();
        let marks: BTreeSet<Uid> =
            marked.into_iter().chain(hidden).map(|row| row.uid().clone()).collect();
        // What a filter finds comes a frame after its key, and can move the cursor.
        let answers = seen.pressed;
        seen.pressed &= model.filter.running;
        if !answers {
            let is_there = |key: &NodeKey| match key {
                NodeKey::Host(uid) => model.inventory.get(uid).is_some(),
                group @ NodeKey::Group(_) => model.inventory.rows_under(group).next().is_some(),
            };
            if seen.cursor.as_ref().is_some_and(is_there) && seen.cursor != model.cursor {
                seen.wrong.push(format!("{:?} became {:?}", seen.cursor, model.cursor));
            }
            let lost = seen.marks.iter().filter(|uid| model.inventory.get(uid).is_some());
            if lost.clone().any(|uid| !marks.contains(uid)) || !marks.is_subset(&seen.marks) {
                seen.wrong.push(format!("marks {:?} became {marks:?}", seen.marks));
            }
        }
        (seen.cursor, seen.marks) = (model.cursor.clone(), marks);
    }
}

fn now() -> Timestamp {
    Timestamp::now()
}

fn record(number: u32) -> HostRecord {
    HostRecord::from(&sample::host(number, now()))
}

fn key(name: &str) -> KeyEvent {
    let plain = |code| KeyEvent::new(code, KeyModifiers::NONE);
    match (name, name.strip_prefix("ctrl-").and_then(|rest| rest.chars().next())) {
        (_, Some(letter)) => KeyEvent::new(KeyCode::Char(letter), KeyModifiers::CONTROL),
        ("space", _) => plain(KeyCode::Char(' ')),
        ("enter", _) => plain(KeyCode::Enter),
        (letter, _) => plain(KeyCode::Char(letter.chars().next().unwrap_or(' '))),
    }
}

/// The explorer with the whole fleet, every cluster open.
fn explorer(hosts: u32) -> Model {
    let settings = Settings::new(Config::default(), "storm", "https://127.0.0.1:6443");
    let mut model = Model::new(settings, now(), SIZE);
    update(
        &mut model,
        Msg::Fleet(ServerId::FIRST, FleetEvent::Begin { expected: Some(hosts as usize) }),
    );
    let all = (0..hosts).map(|number| HostChange::Apply(Box::new(record(number)))).collect();
    update(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Changes(all)));
    update(&mut model, Msg::Fleet(ServerId::FIRST, FleetEvent::Synced));
    for letter in ["z", "R"] {
        update(&mut model, Msg::Key(key(letter)));
    }
    model
}

/// One change: most are of state, some move a host, some end one or bring it back.
fn change(hosts: u32, version: u64, random: &mut fastrand::Rng) -> HostChange {
    let number = random.u32(0..hosts);
    let mut record = record(number);
    record.metadata.resource_version = Some(format!("{}", 1_000_000_000 + version));
    match random.u8(0..100) {
        0..5 if number >= SAFE => {
            if let Some(uid) = record.uid() {
                return HostChange::Delete(uid);
            }
        }
        5..10 => record.spec.cluster = Some(format!("moved-{}", random.u8(0..9))),
        10..40 => record.status.phase = Some(Phase::Stopped),
        _ => {}
    }
    HostChange::Apply(Box::new(record))
}

/// Sends the changes until the time is over. The last of each batch is host 0, whose version is the
/// number of the batch.
async fn storm(
    messages: mpsc::Sender<Msg>,
    seen: Arc<Mutex<Seen>>,
    (hosts, rate, until): (u32, u32, Instant),
) -> u64 {
    let mut random = fastrand::Rng::with_seed(7);
    let mut beat = tokio::time::interval(Duration::from_secs(1) * TOGETHER / rate.max(1));
    beat.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut number = 0;
    while Instant::now() < until {
        beat.tick().await;
        let due = Instant::now();
        number += 1;
        let mut changes: Vec<HostChange> = (1..TOGETHER)
            .map(|n| change(hosts, number * 100 + u64::from(n), &mut random))
            .collect();
        let mut last = record(0);
        last.metadata.resource_version = Some(number.to_string());
        changes.retain(
            |change| !matches!(change, HostChange::Apply(record) if record.uid() == last.uid()),
        );
        changes.push(HostChange::Apply(Box::new(last)));
        seen.lock().unwrap_or_else(PoisonError::into_inner).batches.push((number, due));
        if messages.send(Msg::Fleet(ServerId::FIRST, FleetEvent::Changes(changes))).await.is_err() {
            break;
        }
    }
    number
}

fn line(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |share: usize| {
        let index = (times.len() * share / 1_000).min(times.len().saturating_sub(1));
        times.get(index).copied().unwrap_or_default().as_secs_f64() * 1_000.0
    };
    println!(
        "{what:<28} {:>7} times   median {:>6.1} ms   p99 {:>6.1} ms   longest {:>6.1} ms",
        times.len(),
        at(500),
        at(990),
        at(1_000)
    );
}

/// The keys of the script that take longest, each with what was pressed before it.
fn slowest(keys: &[(usize, Duration)]) {
    let mut places: Vec<(Duration, usize)> = (0..SCRIPT.len())
        .filter_map(|place| {
            let mut took: Vec<Duration> =
                keys.iter().filter(|(at, _)| *at == place).map(|(_, took)| *took).collect();
            took.sort_unstable();
            Some((*took.get(took.len() / 2)?, place))
        })
        .collect();
    places.sort_unstable_by(|a, b| b.cmp(a));
    for (median, place) in places.into_iter().take(4) {
        let before = SCRIPT.get(place.saturating_sub(3)..=place).unwrap_or_default().join(" ");
        println!("    {before:<24} median {:>6.1} ms", median.as_secs_f64() * 1_000.0);
    }
}

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|word| word.parse::<u32>().ok());
    let hosts = numbers.next().unwrap_or(100_000).max(SAFE);
    let seconds = numbers.next().unwrap_or(20);
    let rate = numbers.next().unwrap_or(2_000);
    let model = explorer(hosts);
    let probe = record(0).uid().expect("a uid");
    let seen = Arc::new(Mutex::new(Seen::default()));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let until = Instant::now() + Duration::from_secs(seconds.into());
    let batches = runtime.block_on(async {
        let (sender, mut messages) = mpsc::channel(QUEUE);
        let storm = tokio::spawn(storm(sender.clone(), Arc::clone(&seen), (hosts, rate, until)));
        let typed = Arc::clone(&seen);
        let mut beat = tokio::time::interval(KEYS);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let person = stream::unfold((beat, 0_usize), move |(mut beat, number)| {
            let typed = Arc::clone(&typed);
            async move {
                beat.tick().await;
                if Instant::now() >= until {
                    return None;
                }
                let place = number % SCRIPT.len();
                let name = SCRIPT.get(place)?;
                let mut seen = typed.lock().unwrap_or_else(PoisonError::into_inner);
                seen.keys.push((place, Instant::now()));
                seen.asked.push((place, Instant::now()));
                seen.pressed = true;
                drop(seen);
                Some((Ok(Event::Key(key(name))), (beat, number + 1)))
            }
        });
        let mut terminal = Terminal::new(TestBackend::new(SIZE.0, SIZE.1)).expect("a screen");
        let mut theme = Theme::load("night", None).expect("a built-in theme");
        let mut outside = Outside(Arc::clone(&seen), probe);
        run(&mut terminal, model, &mut theme, person, &mut messages, &mut outside, &SystemClock)
            .await
            .expect("the explorer runs until nobody types any more");
        drop(messages);
        storm.await.expect("the storm ends")
    });
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    let changes = batches * u64::from(TOGETHER);
    println!(
        "{hosts} hosts, {} x {} cells, {seconds} s: {changes} changes, {} keys, {} frames",
        SIZE.0,
        SIZE.1,
        seen.key_to_frame.len(),
        seen.frames
    );
    for (what, keys) in [
        ("from a key to its frame", &seen.key_to_frame),
        ("from a key to its result", &seen.key_to_result),
    ] {
        line(what, &mut keys.iter().map(|(_, took)| *took).collect::<Vec<_>>());
        slowest(keys);
    }
    line("from a change to its frame", &mut seen.change_to_frame);
    assert!(seen.wrong.is_empty(), "{:#?}", seen.wrong);
    assert!(!seen.marks.is_empty(), "nothing was ever marked");
}
