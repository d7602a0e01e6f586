//! Every key of the table of actions, pressed in the real program in a real terminal. The screens
//! before and after it are compared with those that are kept in `tests/it/keys/`, times, ages, ports
//! and identities left out.
//!
//! `INV_TUI_WRITE_SCREENS=1 cargo test --test it keys::` writes them anew: look at the difference
//! before it is committed.

mod frames;
mod stage;

use std::collections::BTreeSet;

use base64::Engine as _;
use inv_tui::ui::actions::{ACTIONS, Action, ActionRow, Group};

use crate::support::wait_for;
use stage::{Explorer, Stage};

const SIZE: (u16, u16) = (120, 30);
/// So few lines that not all of the fleet are seen.
const LOW: (u16, u16) = (120, 14);

/// The column of the border between list and details.
const BORDER: u16 = 72;

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

const FLEET: Setting = Setting::new("at-fleet", &[]);
const OPEN: Setting = Setting::new("unfold-all", &[Keys("zR")]);
/// On web-eu-1, of which nothing is wrong.
const HOST: Setting = Setting::new("at-host", &[Keys("zR6j")]);
const TABLE: Setting = Setting::new("toggle-table", &[Keys("t")]);
const YAML: Setting = Setting::new("yaml", &[Keys("zR6jy"), Shows("kind: Host")]);
const REQUEST: Setting = Setting::new("view-certificates", &[Keys("vc"), Shows("verdict")]);
const MARKED: Setting = Setting::new("at-marked", &[Keys("zR6j j ")]);

/// What is set up before the key of an action, so that there is something to see.
fn before(action: Action) -> Setting {
    match action {
        Action::Down | Action::Bottom | Action::Mark | Action::NextPane | Action::PreviousPane => {
            HOST
        }
        Action::Up | Action::Top => HOST,
        Action::HalfPageDown | Action::PageDown => Setting::low("at-low-top", &[Keys("zR")]),
        Action::HalfPageUp | Action::PageUp => Setting::low("at-low-end", &[Keys("zRG")]),
        Action::Centre => Setting::low("at-low-down", &[Keys("zR9j")]),
        Action::Fold | Action::FoldAll => HOST,
        Action::Unfold => Setting::new("at-cluster", &[Keys("j")]),
        Action::Open | Action::ToggleFold | Action::UnfoldAll => FLEET,
        Action::Back => MARKED,
        Action::Filter | Action::Problems | Action::Facets | Action::Freeze | Action::Palette => {
            FLEET
        }
        Action::Pin | Action::Everything | Action::SaveView => {
            Setting::new("at-filter", &[Keys("/role=web\r")])
        }
        Action::ViewFleet | Action::ViewBack | Action::ViewLast => {
            Setting::new("view-runs", &[Keys("vr")])
        }
        Action::ViewForward => Setting::new("view-back", &[Keys("vr[")]),
        Action::ViewMaintenance
        | Action::ViewRuns
        | Action::ViewProblems
        | Action::ViewCertificates
        | Action::ViewSources
        | Action::ViewServers
        | Action::SavedViews => FLEET,
        Action::ViewJournal => Setting::own(
            "at-journal",
            &[Keys("zR6jm"), Shows("put into maintenance"), Keys("y"), Shows("is in maintenance")],
        ),
        Action::ViewChanges => {
            Setting::own("at-changes", &[Keys("zR6j"), Labelled("aws-i-01"), Shows("r9")])
        }
        Action::ToggleTable
        | Action::GroupRegion
        | Action::GroupCluster
        | Action::GroupProvider
        | Action::GroupZone
        | Action::GroupRole
        | Action::GroupTeam
        | Action::GroupEnvironment
        | Action::GroupState
        | Action::GroupBy
        | Action::Columns => FLEET,
        Action::GroupDefault => Setting::new("group-role", &[Keys("go")]),
        Action::ColumnLeft | Action::ColumnRight | Action::InvertSort | Action::Wide => TABLE,
        Action::Sort => Setting::new("at-column", &[Keys("t\x1b[1;2C\x1b[1;2C")]),
        Action::MarkRange => Setting::new("at-one-mark", &[Keys("zR6j jj")]),
        Action::MarkAll => OPEN,
        Action::InvertMarks => MARKED,
        Action::Maintenance | Action::Run | Action::Labels => HOST,
        Action::Undo => Setting::own(
            "at-changed",
            &[Keys("zR6jm"), Shows("put into maintenance"), Keys("y"), Shows("is in maintenance")],
        ),
        Action::Redo => Setting::own(
            "at-undone",
            &[
                Keys("zR6jm"),
                Shows("put into maintenance"),
                Keys("y"),
                Shows("is in maintenance"),
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
                Shows("is in maintenance"),
                Keys("G"),
            ],
        ),
        Action::LastResult => Setting::own(
            "at-bulk-done",
            &[
                Keys("zR6j jj m"),
                Shows("several hosts"),
                Keys("\t\x15new kernel\r"),
                Shows("confirm"),
                Keys("y"),
                Shows("2 done"),
                Keys("\x1b"),
            ],
        ),
        Action::Approve | Action::Deny => REQUEST,
        Action::Changes | Action::Arm => HOST,
        Action::Describe
        | Action::Yaml
        | Action::Events
        | Action::History
        | Action::Messages
        | Action::CopyName
        | Action::CopyMenu
        | Action::Ssh
        | Action::Browser => HOST,
        Action::Explain => Setting::new("at-unwell", &[Keys("zR2j")]),
        Action::NextMatch | Action::PreviousMatch => Setting::new(
            "at-search",
            &[Keys("zR6jy"), Shows("kind: Host"), Keys("/eu-west\r")],
        ),
        Action::ManagedFields | Action::Save => YAML,
        Action::Mouse | Action::Theme | Action::Reconnect | Action::Help => FLEET,
        Action::Cancel | Action::Quit => FLEET,
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
    screen(explorer, setting.name, "what comes before the key")
}

/// The kept screen of this name, when it is shown; where screens are written, what is shown now.
fn screen(explorer: &Explorer, name: &str, after: &str) -> String {
    if writes() { frames::write(&explorer.pty, name) } else { frames::shows(&explorer.pty, name, after) }
}

/// Why the text on the screen is the same after the key; none: it is another one.
fn unseen(action: Action) -> Option<&'static str> {
    match action {
        Action::NextPane | Action::PreviousPane => Some("the border tells which pane has the keys"),
        _ => None,
    }
}

/// Presses each key of an action, each in a program that has just begun.
async fn press(shared: &Stage, row: &ActionRow) {
    let setting = before(row.action);
    let own;
    let stage = if setting.own {
        own = Stage::begin().await;
        &own
    } else {
        shared
    };
    let by_name = format!(":{}\r", row.name);
    let keys: Vec<String> = row.keys.iter().map(|key| bytes(key)).collect();
    let keys = if keys.is_empty() { vec![by_name] } else { keys };
    for keys in keys {
        let what = format!("{} ({keys:?})", row.name);
        let mut explorer = stage.explorer(setting.size);
        let was = arrive(stage, &mut explorer, &setting).await;
        let pty = &mut explorer.pty;
        let (raw, colours) = (pty.raw().len(), pty.colours(2, BORDER));
        pty.send(&keys);
        if row.action == Action::Quit {
            assert_eq!(pty.ends(), 0);
            pty.given_back();
            continue;
        }
        let is = screen(&explorer, row.name, &what);
        let same = unseen(row.action);
        if writes() && same.is_some() != (was == is) { eprintln!("SAME? {what} {}", was == is); }
        else { assert_eq!(was == is, same.is_some(), "{what}: {}", same.unwrap_or("nothing is seen of it")); }
        effect(row.action, &mut explorer, raw, colours).await;
    }
}

/// What an action does beside what is read on the screen.
async fn effect(action: Action, explorer: &mut Explorer, raw: usize, colours: (vt100::Color, vt100::Color)) {
    let pty = &mut explorer.pty;
    let copied = |text: &str| {
        let data = base64::engine::general_purpose::STANDARD.encode(text);
        format!("\x1b]52;c;{data}\x07")
    };
    match action {
        Action::NextPane | Action::PreviousPane | Action::Theme => pty.recolours(2, BORDER, colours),
        Action::CopyName => pty.writes(raw, &copied("aws-i-01")),
        Action::Mouse => pty.writes(raw, "\x1b[?1000l"),
        Action::Ssh => explorer.called("-l\nops\n10.0.0.1\n").await,
        Action::Browser => explorer.called("https://console.example.com/eu-west-1/i-01\n").await,
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
        name => match name.strip_prefix("ctrl-") {
            Some(letter) => {
                let letter = letter.chars().next().expect("a letter");
                char::from(u8::try_from(letter).expect("a plain letter") & 0x1f).to_string()
            }
            None => {
                assert_eq!(name.chars().count(), 1, "a key of the table without bytes: {name}");
                name.to_owned()
            }
        },
    };
    key.split(' ').map(one).collect()
}

async fn pressed(group: Group) {
    let stage = Stage::begin().await;
    for row in ACTIONS.iter().filter(|row| row.group == group) {
        press(&stage, row).await;
    }
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
