//! Every key of the table of actions, pressed in the real program in a real terminal. The screens
//! before and after it are compared with those that are kept in `tests/it/keys/`, times, ages, ports
//! and identities left out.
//!
//! `INV_TUI_WRITE_SCREENS=1 cargo test --test it keys::` writes them anew: look at the difference
//! before it is committed.

mod frames;
mod stage;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use futures::StreamExt;
use inv_tui::ui::actions::{ACTIONS, Action, ActionRow, Group};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::api::Api;
use tokio::runtime::Handle;

use crate::pty::{Look, Pty};
use crate::support::wait_for;
use stage::{Explorer, Stage};

const SIZE: (u16, u16) = (120, 30);
/// So few lines that not all of the fleet are seen.
const LOW: (u16, u16) = (120, 14);

/// The column of the border between list and details.
const BORDER: u16 = 72;
/// Columns of the first letters of the table's first two titles.
const TITLES: [u16; 2] = [3, 18];
/// Explorers that run at once in one test.
const AT_ONCE: usize = 3;
/// A screen that is written is whole when nothing of it has changed for so long,
const QUIET: Duration = Duration::from_millis(1_500);
/// or for so long, where a notice must go away first.
const NOTICE: Duration = Duration::from_secs(7);

/// What the screen is before the key of an action.
struct Setting {
    /// The name of the screen that is kept. One that is what another action leads to has its name.
    name: &'static str,
    size: (u16, u16),
    steps: &'static [Step],
    /// The fleet is changed on the way there: nobody else may use it.
    own: bool,
}

enum Step {
    /// Pressed.
    Keys(&'static str),
    /// Waited for.
    Shows(&'static str),
    /// Somebody else gives a host a label.
    Labelled(&'static str),
}

use Step::{Keys, Labelled, Shows};

impl Setting {
    const fn new(name: &'static str, steps: &'static [Step]) -> Self {
        Self { name, size: SIZE, steps, own: false }
    }

    const fn low(name: &'static str, steps: &'static [Step]) -> Self {
        Self { name, size: LOW, steps, own: false }
    }

    const fn own(name: &'static str, steps: &'static [Step]) -> Self {
        Self { name, size: SIZE, steps, own: true }
    }
}

/// Puts the host under the cursor into maintenance, to the end.
const HELD: [Step; 4] =
    [Keys("zR6jm"), Shows("put into maintenance"), Keys("y"), Shows("is in maintenance until")];
const FLEET: Setting = Setting::new("at-fleet", &[]);
const OPEN: Setting = Setting::new("unfold-all", &[Keys("zR")]);
/// On web-eu-1, of which nothing is wrong.
const HOST: Setting = Setting::new("at-host", &[Keys("zR6j")]);
const TABLE: Setting = Setting::new("toggle-table", &[Keys("t")]);
const YAML: Setting = Setting::new("yaml", &[Keys("zR6jy"), Shows("kind: Host")]);
const REQUEST: Setting = Setting::new("view-certificates", &[Keys("vc"), Shows("verdict")]);
const MARKED: Setting = Setting::new("at-marked", &[Keys("zR6j j ")]);

/// What is set up before the key of an action, so that there is something to see.
#[allow(clippy::too_many_lines, reason = "one arm for each setting, and each action is named")]
fn before(action: Action) -> Setting {
    match action {
        Action::Open
        | Action::ToggleFold
        | Action::UnfoldAll
        | Action::Filter
        | Action::Problems
        | Action::Facets
        | Action::Freeze
        | Action::Palette
        | Action::ViewMaintenance
        | Action::ViewRuns
        | Action::ViewProblems
        | Action::ViewCertificates
        | Action::ViewSources
        | Action::ViewServers
        | Action::SavedViews
        | Action::ToggleTable
        | Action::GroupRegion
        | Action::GroupCluster
        | Action::GroupProvider
        | Action::GroupZone
        | Action::GroupRole
        | Action::GroupTeam
        | Action::GroupEnvironment
        | Action::GroupState
        | Action::GroupBy
        | Action::Columns
        | Action::Mouse
        | Action::Theme
        | Action::Reconnect
        | Action::Help
        | Action::Cancel
        | Action::Quit => FLEET,
        Action::Down
        | Action::Up
        | Action::Top
        | Action::Bottom
        | Action::Fold
        | Action::FoldAll
        | Action::NextPane
        | Action::PreviousPane
        | Action::Mark
        | Action::Maintenance
        | Action::Run
        | Action::Labels
        | Action::Changes
        | Action::Arm
        | Action::Describe
        | Action::Yaml
        | Action::Events
        | Action::History
        | Action::Messages
        | Action::Guide
        | Action::CopyName
        | Action::CopyMenu
        | Action::Ssh
        | Action::Browser => HOST,
        Action::MarkAll => OPEN,
        Action::Back | Action::InvertMarks => MARKED,
        Action::ColumnLeft | Action::ColumnRight | Action::InvertSort | Action::Wide => TABLE,
        Action::ManagedFields | Action::Save => YAML,
        Action::Approve | Action::Deny => REQUEST,
        Action::HalfPageDown | Action::PageDown => Setting::low("at-low-top", &[Keys("zR")]),
        Action::HalfPageUp | Action::PageUp => Setting::low("at-low-end", &[Keys("zRG")]),
        Action::Centre => Setting::low("at-low-down", &[Keys("zR9j")]),
        Action::Unfold => Setting::new("at-cluster", &[Keys("j")]),
        Action::Pin | Action::Everything | Action::SaveView => {
            Setting::new("at-filter", &[Keys("/role=web\r")])
        }
        Action::ViewFleet | Action::ViewBack | Action::ViewLast => {
            Setting::new("view-runs", &[Keys("vr")])
        }
        Action::ViewForward => Setting::new("view-back", &[Keys("vr[")]),
        Action::ViewJournal | Action::Undo => Setting::own("at-changed", &HELD),
        Action::ViewChanges => {
            Setting::own("at-changes", &[Keys("zR6j"), Labelled("aws-i-01"), Shows("r9")])
        }
        Action::GroupDefault => Setting::new("group-role", &[Keys("go")]),
        Action::Sort => Setting::new("column-right", &[Keys("t\x1b[1;2C\x1b[1;2C")]),
        Action::MarkRange => Setting::new("at-one-mark", &[Keys("zR6j j")]),
        Action::Redo => Setting::own(
            "at-undone",
            &[
                Keys("zR6jm"),
                Shows("put into maintenance"),
                Keys("y"),
                Shows("is in maintenance until"),
                Keys("u"),
                Shows("take back"),
                Keys("y"),
                Shows("has ended"),
            ],
        ),
        Action::Repeat => Setting::own(
            "at-another",
            &[
                Keys("zR6jm"),
                Shows("put into maintenance"),
                Keys("y"),
                Shows("is in maintenance until"),
                Keys("G"),
            ],
        ),
        Action::LastResult => Setting::own(
            "at-bulk-done",
            &[
                Keys("zR15j  m"),
                Shows("type a reason"),
                Keys("new kernel\r"),
                Shows("confirm"),
                Keys("y"),
                Shows("● 2 done"),
                Keys("\x1b"),
            ],
        ),
        Action::Explain => Setting::new("at-unwell", &[Keys("zR2j")]),
        Action::NextMatch | Action::PreviousMatch => {
            Setting::low("at-search", &[Keys("zR6jy"), Shows("kind: Host"), Keys("/name\r")])
        }
    }
}

/// Whether screens are written and not compared.
fn writes() -> bool {
    std::env::var_os("INV_TUI_WRITE_SCREENS").is_some()
}

/// Goes to a setting; its screen.
async fn arrive(stage: &Stage, explorer: &mut Explorer, setting: &Setting) -> String {
    let pty = &mut explorer.pty;
    pty.shows("12 hosts · live");
    for step in setting.steps {
        match step {
            Keys(keys) => pty.send(keys),
            Shows(text) => drop(pty.shows(text)),
            Labelled(host) => stage.label(host).await,
        }
    }
    let quiet = if setting.own { NOTICE } else { QUIET };
    screen(pty, setting.name, "what comes before the key", quiet)
}

/// The kept screen of this name, when it is shown; where screens are written, what is shown when it
/// has been the same for so long.
fn screen(pty: &Pty, name: &str, after: &str, quiet: Duration) -> String {
    if writes() { frames::write(pty, name, quiet) } else { frames::shows(pty, name, after) }
}

/// Why the text on the screen is the same after the key; none: it is another one.
fn unseen(action: Action) -> Option<&'static str> {
    match action {
        Action::NextPane | Action::PreviousPane => Some("the border tells which pane has the keys"),
        Action::ColumnLeft | Action::ColumnRight => Some("the title of the column is underlined"),
        _ => None,
    }
}

/// Presses each key of an action, each in a program that has just begun.
async fn press(shared: &Stage, row: &ActionRow) {
    let setting = before(row.action);
    let by_name = [format!(":{}\r", row.name)];
    let keys: Vec<String> = row.keys.iter().map(|key| bytes(key)).collect();
    for keys in if keys.is_empty() { &by_name[..] } else { &keys } {
        let own;
        let stage = if setting.own {
            own = Stage::begin().await;
            &own
        } else {
            shared
        };
        let what = format!("{} ({keys:?})", row.name);
        let mut explorer = stage.explorer(setting.size);
        let was = arrive(stage, &mut explorer, &setting).await;
        let pty = &mut explorer.pty;
        let before = Before {
            raw: pty.raw().len(),
            border: pty.look(2, BORDER),
            titles: TITLES.map(|column| pty.look(1, column)),
        };
        pty.send(keys);
        if row.action == Action::Quit {
            assert_eq!(pty.ends(), 0);
            pty.given_back();
            for given_back in ["\x1b[?1000l", "\x1b[?2004l", "\x1b[?1049l", "\x1b[?25h"] {
                pty.writes(before.raw, given_back);
            }
            continue;
        }
        let is = screen(pty, row.name, &what, QUIET);
        match unseen(row.action) {
            None => assert_ne!(was, is, "nothing is seen of {what}"),
            Some(why) => assert_eq!(was, is, "{what} is seen: {why}?"),
        }
        effect(row.action, &mut explorer, &before).await;
    }
}

/// What there was before the key, beside the text on the screen.
struct Before {
    /// How much the program had written.
    raw: usize,
    border: Look,
    titles: [Look; 2],
}

/// What an action does beside what is read on the screen.
async fn effect(action: Action, explorer: &mut Explorer, before: &Before) {
    let pty = &mut explorer.pty;
    let copied = |text: &str| {
        let data = base64::engine::general_purpose::STANDARD.encode(text);
        format!("\x1b]52;c;{data}\x07")
    };
    match action {
        Action::NextPane | Action::PreviousPane | Action::Theme => {
            pty.looks_other(2, BORDER, &before.border);
        }
        // Before any is chosen both begin at the name: one stays there, the other goes on.
        Action::ColumnLeft => {
            pty.looks_other(1, TITLES[0], &before.titles[0]);
            assert_eq!(pty.look(1, TITLES[1]), before.titles[1]);
        }
        Action::ColumnRight => {
            pty.looks_other(1, TITLES[1], &before.titles[1]);
            assert_eq!(pty.look(1, TITLES[0]), before.titles[0]);
        }
        Action::CopyName => pty.writes(before.raw, &copied("aws-i-01")),
        Action::Mouse => pty.writes(before.raw, "\x1b[?1000l"),
        Action::Ssh => explorer.called("-l\nops\n10.0.0.1\n").await,
        Action::Browser => explorer.called("https://console.example.com/eu-west-1/i-01\n").await,
        Action::Cancel => {
            // Once more quits; where that comes too late, the next two do.
            pty.send("\x03\x03");
            assert_eq!(pty.ends(), 0);
            pty.given_back();
        }
        Action::Save => {
            let folder = explorer.state.path().join("inv-tui/pages");
            let text = wait_for("the page in a file", async || {
                let file = std::fs::read_dir(&folder).ok()?.next()?.ok()?;
                let text = std::fs::read_to_string(file.path()).ok()?;
                text.contains("kind: Host").then_some(text)
            });
            assert!(text.await.contains("providerID: aws:///eu-west-1b/i-01"));
        }
        _ => {}
    }
}

/// What the terminal sends for a key of the table.
fn bytes(key: &str) -> String {
    let one = |name: &str| match name {
        "down" => "\x1b[B".to_owned(),
        "up" => "\x1b[A".to_owned(),
        "right" => "\x1b[C".to_owned(),
        "left" => "\x1b[D".to_owned(),
        "shift-right" => "\x1b[1;2C".to_owned(),
        "shift-left" => "\x1b[1;2D".to_owned(),
        "home" => "\x1b[H".to_owned(),
        "end" => "\x1b[F".to_owned(),
        "pageup" => "\x1b[5~".to_owned(),
        "pagedown" => "\x1b[6~".to_owned(),
        "enter" => "\r".to_owned(),
        "esc" => "\x1b".to_owned(),
        "tab" => "\t".to_owned(),
        "backtab" => "\x1b[Z".to_owned(),
        "space" => " ".to_owned(),
        name => {
            if let Some(letter) = name.strip_prefix("ctrl-") {
                let letter = letter.chars().next().expect("a letter");
                return char::from(u8::try_from(letter).expect("a plain letter") & 0x1f).into();
            }
            assert_eq!(name.chars().count(), 1, "a key of the table without bytes: {name}");
            name.to_owned()
        }
    };
    key.split(' ').map(one).collect()
}

async fn pressed(group: Group) {
    let stage = Arc::new(Stage::begin().await);
    let rows = ACTIONS.iter().filter(|row| row.group == group);
    let press = |row| {
        let stage = Arc::clone(&stage);
        // The terminal is waited for by blocking.
        tokio::task::spawn_blocking(move || Handle::current().block_on(press(&stage, row)))
    };
    futures::stream::iter(rows.map(press))
        .buffer_unordered(AT_ONCE)
        .for_each(|done| async {
            if let Err(ended) = done {
                std::panic::resume_unwind(ended.into_panic());
            }
        })
        .await;
}

/// One test for each group of the table, and the list of those that there are.
macro_rules! groups {
    ($($test:ident $group:ident;)*) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $test() {
            pressed(Group::$group).await;
        })*

        const TESTED: &[Group] = &[$(Group::$group),*];
    };
}

groups! {
    the_keys_that_move Move;
    the_keys_of_the_tree Tree;
    the_keys_that_look Look;
    the_keys_that_find Find;
    the_keys_of_views View;
    the_keys_that_shape Shape;
    the_keys_that_mark Mark;
    the_keys_that_change Change;
    the_keys_that_copy_and_go Copy;
    the_keys_of_the_program Program;
}

/// Screens that the other tests of this file compare with.
const OTHERS: [&str; 5] =
    ["fleet-80x24", "fleet-200x60", "mouse-click", "mouse-fold", "mouse-wheel"];

#[test]
fn every_group_is_tested_and_every_kept_screen_is_of_use() {
    for (group, _) in Group::ALL {
        assert!(TESTED.contains(&group), "{group:?}");
    }
    let mut wanted: BTreeSet<String> = OTHERS.iter().map(|name| (*name).to_owned()).collect();
    for row in ACTIONS {
        wanted.insert(before(row.action).name.to_owned());
        if row.action != Action::Quit {
            wanted.insert(row.name.to_owned());
        }
    }
    let kept = std::fs::read_dir(frames::folder()).unwrap();
    let kept: BTreeSet<String> = kept
        .filter_map(|entry| {
            Some(entry.unwrap().file_name().to_str()?.strip_suffix(".txt")?.to_owned())
        })
        .collect();
    let missing: Vec<&String> = wanted.difference(&kept).collect();
    let left: Vec<&String> = kept.difference(&wanted).collect();
    assert!(missing.is_empty() && left.is_empty(), "missing: {missing:?}; left over: {left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fleet_on_a_small_and_on_a_large_terminal() {
    let stage = Stage::begin().await;
    for (name, size) in [("fleet-80x24", (80, 24)), ("fleet-200x60", (200, 60))] {
        let mut explorer = stage.explorer(size);
        explorer.pty.shows("12 hosts · live");
        explorer.pty.send("zR6j");
        screen(&explorer.pty, name, "zR6j", QUIET);
    }
}

/// What the terminal sends for a click, and for the wheel, which is never let go; counted from 0.
fn click(button: u8, row: usize, column: usize) -> String {
    let press = wheel(button, row, column);
    let release = press.replace('M', "m");
    press + &release
}

fn wheel(button: u8, row: usize, column: usize) -> String {
    format!("\x1b[<{button};{};{}M", column + 1, row + 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mouse_selects_scrolls_and_presses_hints_and_confirms_nothing() {
    let stage = Stage::begin().await;
    let mut explorer = stage.explorer(SIZE);
    let pty = &mut explorer.pty;
    pty.shows("12 hosts · live");
    let fleet = screen(pty, FLEET.name, "the start", QUIET);
    let line = |screen: &str, text: &str| {
        let place = screen.lines().position(|line| line.contains(text));
        place.unwrap_or_else(|| panic!("no {text:?} in\n{screen}"))
    };
    let region = line(&fleet, "us-east-1");
    pty.send(&click(0, region, 6));
    let selected = screen(pty, "mouse-click", "a click", QUIET);
    assert_ne!(fleet, selected);
    // A second click on a group closes it.
    pty.send(&click(0, region, 6));
    assert_ne!(screen(pty, "mouse-fold", "a second click", QUIET), selected);
    pty.send(&click(0, region, 6));
    screen(pty, "mouse-click", "a third click", QUIET);

    // One notch of the wheel is three lines, down and up.
    pty.send("zRgg");
    let top = screen(pty, OPEN.name, "zRgg", QUIET);
    pty.send(&wheel(65, 10, 10));
    assert_ne!(screen(pty, "mouse-wheel", "the wheel", QUIET), top);
    pty.send(&wheel(64, 10, 10));
    screen(pty, OPEN.name, "the wheel up", QUIET);

    let footer = usize::from(SIZE.1) - 1;
    let hints = top.lines().nth(footer).expect("hints").to_owned();
    let hint = |text: &str| {
        let before = hints.split_once(text).unwrap_or_else(|| panic!("no {text:?} in {hints}")).0;
        before.chars().count()
    };
    pty.send(&click(0, footer, hint("? help")));
    screen(pty, "keys", "a click on the hint", QUIET);
    pty.send("?6j");
    screen(pty, HOST.name, "help is closed", QUIET);

    // The strip opens by its hint, and nothing that the mouse does confirms it.
    pty.send(&click(0, footer, hint("m maintenance")));
    let strip = screen(pty, "maintenance", "a click on the hint", QUIET);
    for row in 0..strip.lines().count() {
        pty.send(&click(0, row, 4));
        pty.send(&click(2, row, 30));
    }
    pty.send("\x1b");
    pty.shows("cancelled, nothing was changed");
    assert!(stage.world.host("aws-i-01").await.spec.maintenance.is_empty());
}

/// Enter, Space, a paste: whatever is open stays open, and can be cancelled.
const NO_CONFIRMATION: &str = "\r \x1b[200~y\ny\r\x1b[201~";

#[tokio::test(flavor = "multi_thread")]
async fn only_y_confirms() {
    let stage = Stage::begin().await;
    let world = &stage.world;
    let mut explorer = stage.explorer(SIZE);
    let pty = &mut explorer.pty;
    pty.shows("12 hosts · live");
    pty.send("zR6j");
    screen(pty, HOST.name, "zR6j", QUIET);
    let held = async || world.host("aws-i-01").await.spec.maintenance.remove("admin");

    for (keys, confirmed) in [("m", false), ("m", true)] {
        pty.send(keys);
        screen(pty, "maintenance", keys, QUIET);
        pty.send(if confirmed { "y" } else { NO_CONFIRMATION });
        if confirmed {
            pty.shows("web-eu-1 is in maintenance until");
        } else {
            pty.send("\x1b");
            pty.shows("cancelled, nothing was changed");
        }
        assert_eq!(
            held().await.map(|hold| hold.reason),
            confirmed.then(|| "maintenance".to_owned())
        );
    }
    for (end, confirmed) in [("\x1b", false), ("y", true)] {
        pty.send("u");
        pty.shows("take back the last change of");
        if !confirmed {
            pty.send(NO_CONFIRMATION);
        }
        pty.send(end);
        pty.shows(if confirmed {
            "your maintenance of web-eu-1 has ended"
        } else {
            "cancelled, nothing"
        });
        assert_eq!(held().await.is_none(), confirmed);
    }

    let label =
        async || world.host("aws-i-01").await.metadata.labels.unwrap_or_default().remove("tier");
    for (end, confirmed) in [("\x1b", false), ("y", true)] {
        pty.send("e");
        pty.shows("of the source aws");
        pty.send("atier=gold\r");
        pty.shows("set tier=gold on web-eu-1");
        if !confirmed {
            pty.send(NO_CONFIRMATION);
        }
        pty.send(end);
        pty.shows(if confirmed {
            "tier: none → gold · u takes it back"
        } else {
            "cancelled, nothing was changed"
        });
        assert_eq!(label().await, confirmed.then(|| "gold".to_owned()));
    }

    let requests: Api<CertificateSigningRequest> = Api::all(world.client.clone());
    let approved = async || {
        let request = requests.get("inventory-aws-i-05").await.unwrap();
        let conditions = request.status.unwrap_or_default().conditions.unwrap_or_default();
        conditions.iter().any(|condition| condition.type_ == "Approved")
    };
    pty.send("vc");
    pty.shows("fits its host in every field");
    for (end, confirmed) in [("\x1b", false), ("y", true)] {
        pty.send("a");
        pty.shows_host_read("approve the certificate of");
        if !confirmed {
            pty.send(NO_CONFIRMATION);
        }
        pty.send(end);
        pty.shows(if confirmed { "is approved" } else { "cancelled, nothing was decided" });
        assert_eq!(approved().await, confirmed);
    }
}
