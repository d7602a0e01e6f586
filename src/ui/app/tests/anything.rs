//! Anything that may happen, in any order: every key, the mouse, sizes, pasted text, whatever two
//! servers and the programs behind the screen tell. Invariants, looked at after every single step:
//!
//! 1. Nothing panics, and the frame can be drawn at its size; no cell of it has a hostile character.
//! 2. Nothing that changes a server is sent but by a `y` in a strip that was open and drawn before,
//!    with all that its level asks for; what is sent is what the strip showed, each change to the
//!    server of its host.
//! 3. Nobody but a person leaves the program, gives the terminal away, opens a page, writes a file or
//!    fills the clipboard: no watch event, no answer of a command, no pasted text.
//! 4. A strip that is open keeps its targets and its values but for hosts that are gone, and opens
//!    by a key, or by an answer that one waits for.
//! 5. The cursor, the marks and an open page stay with their UIDs until a person moves them.
//! 6. What is kept is bounded.

use std::collections::{BTreeSet, VecDeque};

use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{
    KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};
use serde_json::Value;

use super::*;
use crate::config::views::{Edit, KnownView, SavedView};
use crate::journal::{Entry, Part, Record, Target};
use crate::model::cluster::Cluster;
use crate::model::csr::{Request, testing as forge};
use crate::model::policy::{self, Facts};
use crate::model::shape::Level as GroupLevel;
use crate::model::text::is_hostile;
use crate::store::certificates::CsrEvent;
use crate::store::last::LastEvent;
use crate::store::objects::ObjectEvent;
use crate::store::read::Known;
use crate::store::told::Told;
use crate::ui::app::decide::DecideField;
use crate::ui::app::strip::{Field, Item};
use crate::ui::configured::Configured;
use crate::ui::msg::{Decided, JournalRead};
use crate::ui::snapshot::plain;
use crate::ui::testing::{busy, key, key_names, on};
use crate::ui::theme::Theme;
use crate::ui::view;

/// Text as nobody should write it.
const EVIL: &str = "\u{1b}]0;own\u{7}\u{202e}x\u{200b}\r\n\t--\u{9b}31m日本\u{e0041}e\u{301}👩\u{200d}👧 ' \" ; $(x)";

/// Orders that can be carried out, kept questions, and the like: none waits in a test for ever.
const QUESTIONS: usize = 64;

fn us() -> ServerId {
    ServerId::new(1).unwrap()
}

/// One thing that happens.
#[derive(Clone, Debug)]
enum Happening {
    Key(KeyEvent),
    Keys(&'static str),
    Story(&'static str),
    /// Who we are, what we may do and what there is, told anew.
    Told(bool),
    Mouse(MouseEvent),
    Paste(String),
    Resize(u16, u16),
    Tick(i64),
    Pause,
    /// A host of a server, as one of several kinds.
    Host(bool, usize, u8),
    Gone(bool, usize),
    Begin(bool),
    Synced(bool),
    Lost(bool),
    Recovered(bool),
    Other(bool, u8),
    /// The answer to an open question, well or badly.
    Answer(usize, u8),
    /// An answer to a question that nobody asked, or that is long over.
    Late(u64, u8),
    Config(usize),
    Last(u8),
}

/// What leads to every overlay, page, view and pane.
const WAYS: &[&str] = &[
    "zR",
    "zRgg3j",
    "d",
    "y",
    "E",
    "H",
    "X",
    ":messages<enter>",
    "f",
    "C",
    "gl",
    "e",
    "r",
    "m",
    "x",
    "vv",
    ":save-view<enter>",
    ":",
    "Y",
    "b",
    "s",
    "/",
    "/?",
    "/db<enter>",
    "/env",
    "vf",
    "vm",
    "vr",
    "vp",
    "vc",
    "vs",
    "vS",
    "vj",
    "vh",
    "t",
    "gs",
    "gd",
    ":group rack,team<enter>",
    "?",
    "W",
    "F",
    "P",
    "0",
    "*",
    "<space>",
    "V",
    "~",
    "<esc>",
    "<esc><esc><esc>",
    "M",
    "/e<enter>nN",
    "J",
    ":sort age<enter>",
    ":columns state,label:rack<enter>",
    "<shift-right>O",
    "I",
    "<ctrl-w>",
    "<ctrl-p>",
    "<ctrl-g>",
    "<ctrl-r>",
    ":theme<enter>",
    ":last-result<enter>",
    "mdisk swap<enter>",
    "a",
    "D",
    "Dno such host<enter>",
    "u",
    "U",
    ".",
    "vcgg",
    "1",
    "9j",
    "[",
    "]",
    "-",
    "w",
    "c",
    "ea",
    "rack=r7<enter>",
    "jj<enter>",
    "<tab>",
    "y",
    "y",
    "ny",
];

/// What people do, from the begin to the end; `<answer>` is the answer to all that was asked.
const STORIES: &[&str] = &[
    "vfzRgg3jm",
    "vfzRgg3jmy<answer>",
    "vfzRgg3jmyu",
    "vfzRgg3jmy<answer>uy<answer>Uy<answer>",
    "vfzRgg3jmy<answer>5j.y",
    "vfzRgg3j<space><space>m",
    "vfzRgg3j<space><space>mdisk swap<enter>",
    "vfzRgg3j<space><space>mdisk swap<enter>y<answer>",
    "vfgg*mdisk swap<enter>",
    "vfgg*mdisk swap<enter>9<enter>y<answer>r",
    "vfgg*mdisk swap<enter>p9y<answer>",
    "vfzRgg3j<space>2j<space>/db<enter>mh",
    "vfzRgg3jearack=r7<enter><answer>",
    "vfzRgg3jearack=r7<enter><answer>y<answer>u",
    "vfzRgg3j3<space>earack-<enter><answer>spring<enter>y",
    "vfzRgg3jr<answer>",
    "vfzRgg3jr<answer><enter>drift<enter>",
    "vfzRgg3jr<answer><enter>drift<enter>y<answer>",
    "vca",
    "vcay<answer>",
    "vcjaaws-i-0004<enter>y",
    "vcggjD",
    "vcggDno such host<enter>y<answer>",
    "vfzRgg3jd<answer>",
    "vfzRgg3jy<answer>/e<enter>nN",
    "vfzRgg3jyM<answer>G",
    "vfzRgg3jE<answer>",
    "vfzRgg3jH<answer>",
    "vfzRgg3jX<answer>",
    "vfzRgg3jdm",
    "vcd<answer>",
    "vsd<answer>",
    "vj<answer><enter>",
    "vsj<enter>",
    "vSj<enter>",
    "vhjj",
    "vfzRgg3jb",
    "vfzRgg3jY",
    "vfzRgg3js<answer>",
    "vff<space>j<space>",
    "vftC rack ",
    "vfgllabel:rack<enter>",
    "vvjd",
    ":save-view<enter>night<enter><answer>",
    "F",
    "V5jV",
    "?G",
];

/// The same, begun from wherever one is.
fn story() -> impl Strategy<Value = Happening> {
    prop::sample::select(STORIES.to_vec()).prop_map(Happening::Story)
}

fn any_key() -> impl Strategy<Value = KeyEvent> {
    let codes = vec![
        KeyCode::Enter,
        KeyCode::Esc,
        KeyCode::Tab,
        KeyCode::BackTab,
        KeyCode::Backspace,
        KeyCode::Delete,
        KeyCode::Left,
        KeyCode::Right,
        KeyCode::Up,
        KeyCode::Down,
        KeyCode::Home,
        KeyCode::End,
        KeyCode::PageUp,
        KeyCode::PageDown,
        KeyCode::Insert,
        KeyCode::Null,
        KeyCode::CapsLock,
        KeyCode::Menu,
        KeyCode::KeypadBegin,
        KeyCode::F(1),
        KeyCode::F(12),
        KeyCode::F(255),
    ];
    let modifiers = vec![
        KeyModifiers::NONE,
        KeyModifiers::NONE,
        KeyModifiers::NONE,
        KeyModifiers::SHIFT,
        KeyModifiers::CONTROL,
        KeyModifiers::ALT,
        KeyModifiers::CONTROL | KeyModifiers::ALT,
        KeyModifiers::SUPER,
    ];
    let code = prop_oneof![
        6 => (b' '..=b'~').prop_map(|byte| KeyCode::Char(byte.into())),
        1 => any::<char>().prop_map(KeyCode::Char),
        5 => prop::sample::select(codes),
    ];
    (code, prop::sample::select(modifiers)).prop_map(|(code, with)| KeyEvent::new(code, with))
}

/// Every key of the table, the first of its sequence or all of it.
fn table_key() -> impl Strategy<Value = Happening> {
    let keys: Vec<&'static str> = ACTIONS.iter().flat_map(|row| row.keys.iter().copied()).collect();
    prop::sample::select(keys).prop_flat_map(|keys| {
        let all: Vec<KeyEvent> = keys.split(' ').map(key).collect();
        prop::sample::select(all).prop_map(Happening::Key)
    })
}

fn any_mouse() -> impl Strategy<Value = Happening> {
    let kinds = vec![
        MouseEventKind::Down(MouseButton::Left),
        MouseEventKind::Down(MouseButton::Left),
        MouseEventKind::Down(MouseButton::Right),
        MouseEventKind::Up(MouseButton::Left),
        MouseEventKind::Drag(MouseButton::Left),
        MouseEventKind::Moved,
        MouseEventKind::ScrollDown,
        MouseEventKind::ScrollUp,
        MouseEventKind::ScrollLeft,
    ];
    let place = prop_oneof![9 => (0_u16..130, 0_u16..36), 1 => (any::<u16>(), any::<u16>())];
    (prop::sample::select(kinds), place).prop_map(|(kind, (column, row))| {
        Happening::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE })
    })
}

fn any_size() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => prop::sample::select(vec![(1, 1), (40, 10), (80, 24), (100, 30), (20, 5), (0, 0)]),
        4 => (1_u16..130, 1_u16..40),
        1 => prop::sample::select(vec![(400, 100), (1, 100), (400, 1), (200, 60)]),
    ]
    .prop_map(|(width, height)| Happening::Resize(width, height))
}

fn happening() -> impl Strategy<Value = Happening> {
    let which = any::<bool>;
    prop_oneof![
        26 => story(),
        12 => prop::sample::select(WAYS.to_vec()).prop_map(Happening::Keys),
        16 => table_key(),
        12 => any_key().prop_map(Happening::Key),
        4 => which().prop_map(Happening::Told),
        14 => prop::sample::select(vec!["y", "<enter>", "<esc>", "<tab>", "j", "3", "y"])
            .prop_map(Happening::Keys),
        4 => any_mouse(),
        3 => prop::sample::select(vec!["y", "3y\ny", "disk swap", "rack=r9", EVIL, "(", "/[", "日本"])
            .prop_map(|text| Happening::Paste(text.to_owned())),
        1 => any::<String>().prop_map(Happening::Paste),
        2 => any_size(),
        4 => prop::sample::select(vec![0_i64, 1, 1, 5, 15, 60, 900, 7_200, 100_000, -3, -90_000])
            .prop_map(Happening::Tick),
        1 => Just(Happening::Pause),
        9 => (which(), 1_usize..12, any::<u8>()).prop_map(|(on, n, kind)| Happening::Host(on, n, kind)),
        3 => (which(), 1_usize..12).prop_map(|(on, n)| Happening::Gone(on, n)),
        2 => which().prop_map(Happening::Begin),
        2 => which().prop_map(Happening::Synced),
        1 => which().prop_map(Happening::Lost),
        3 => which().prop_map(Happening::Recovered),
        6 => (which(), any::<u8>()).prop_map(|(on, what)| Happening::Other(on, what)),
        16 => (0_usize..4, any::<u8>()).prop_map(|(at, how)| Happening::Answer(at, how)),
        2 => (0_u64..40, any::<u8>()).prop_map(|(number, what)| Happening::Late(number, what)),
        1 => (0_usize..CONFIGS.len()).prop_map(Happening::Config),
        1 => any::<u8>().prop_map(Happening::Last),
    ]
}

const CONFIGS: [&str; 6] = [
    "",
    "read-only = true\n",
    "ascii = true\ntheme = \"paper\"\n[keys]\nmaintenance = [\"f5\"]\n",
    "production-contexts = [\"test\"]\n",
    "[maintenance]\nprotected-labels = [\"inventory.inv-tui.dev/environment=test\"]\n",
    "oops = ",
];

/// A host of one of many kinds.
fn any_host(number: usize, kind: u8, version: u64) -> Value {
    let mut all = busy();
    let mut host = match number.checked_sub(1) {
        Some(at) if at < all.len() => all.swap_remove(at),
        _ => host(number, &format!("new-{number}"), "ap-south-1", "gpu"),
    };
    host["metadata"]["resourceVersion"] = json!(version.to_string());
    let labels = "labels";
    match kind % 16 {
        0 => host["status"]["phase"] = json!("Unreachable"),
        1 => host["status"]["phase"] = json!(EVIL),
        2 => host["metadata"]["deletionTimestamp"] = json!("2027-01-01T00:00:00Z"),
        3 => host["metadata"][labels]["inventory.inv-tui.dev/cluster"] = json!("moved"),
        4 => host["metadata"][labels]["rack"] = json!(format!("r{}", version % 5)),
        5 => {
            host["metadata"]["annotations"] = json!({"inventory.inv-tui.dev/display-name": EVIL});
            host["metadata"][labels][EVIL] = json!(EVIL);
            host["metadata"][labels]["topology.kubernetes.io/region"] = json!(EVIL);
            host["spec"]["providerID"] = json!(EVIL);
            host["spec"]["role"] = json!(EVIL);
            host["status"]["addresses"] = json!([{"type": "InternalIP", "address": EVIL}]);
        }
        6 => {
            host["spec"]["maintenance"] = json!({EVIL: {
                "reason": EVIL, "since": "2027-01-15T07:00:00Z", "until": "2027-01-15T09:00:00Z",
                "mode": "Drain", "ticket": EVIL,
            }});
        }
        7 => {
            host["status"]["conditions"] = json!([{
                "type": EVIL, "status": "False", "reason": EVIL, "message": EVIL.repeat(40),
                "lastTransitionTime": "2027-01-15T07:00:00Z",
            }]);
            host["status"]["ansible"] = json!({
                "requestID": "x", "state": "Running", "task": EVIL, "message": EVIL, "tail": EVIL,
            });
        }
        8 => {
            host["status"] = json!({});
            host["spec"] = json!({});
        }
        9 => host["metadata"][labels]["inventory.inv-tui.dev/environment"] = json!("prod"),
        10 => {
            host["spec"]["maintenance"] = json!({"ann": {
                "reason": "mine", "since": "2027-01-15T07:00:00Z", "until": "2027-01-15T09:00:00Z",
                "mode": "Drain",
            }});
        }
        11 => {
            host["metadata"]["annotations"]["inventory.inv-tui.dev/display-name"] =
                json!("a very long name ".repeat(30));
        }
        _ => {}
    }
    host
}

fn told(generation: u64, how: u8) -> Msg {
    let one = |number: i32| Told {
        at: now(),
        first: (number > 1).then(now),
        warning: number % 2 == 0,
        reason: EVIL.to_owned(),
        message: EVIL.repeat(9),
        by: EVIL.to_owned(),
        count: number,
    };
    let result = match how % 4 {
        0 => Err(EVIL.to_owned()),
        1 => Ok(Vec::new()),
        _ => Ok((1..30).map(one).collect()),
    };
    Msg::Told { generation, result }
}

/// A whole host; one that is not as a Host should be is another one.
fn whole(number: usize, kind: u8, version: u64) -> Box<Host> {
    serde_json::from_value(any_host(number, kind, version))
        .unwrap_or_else(|_| object(any_host(number, 12, version)))
}

fn known(server: ServerId, number: usize, how: u8) -> Known {
    let object = whole(number, how, 900);
    let mut facts = Facts::of(&object, now());
    if how.is_multiple_of(5) {
        facts.label_owners.insert("rack".into(), EVIL.into());
    }
    let target = crate::model::change::Target {
        uid: Uid::on(server, format!("uid-{number}")),
        namespace: "inventory".into(),
        name: format!("aws-i-{number:04}"),
        resource_version: "900".into(),
    };
    Known { target, facts, request: object.spec.ansible }
}

fn number_of(uid: &Uid) -> usize {
    uid.as_str().trim_start_matches("uid-").parse().unwrap_or(1)
}

fn journal() -> JournalRead {
    let record = |number: usize| Record {
        entry: Entry {
            at: now(),
            id: format!("ord-{number}"),
            part: Part::Begin,
            context: EVIL.into(),
            server: EVIL.into(),
            user: EVIL.into(),
            verb: if number == 1 { EVIL.into() } else { "maintenance-on".into() },
            reason: EVIL.into(),
            ticket: Some(EVIL.into()),
            overrides: true,
            targets: Vec::new(),
            ended: Some(EVIL.into()),
        },
        ended_at: (number > 2).then(now),
        targets: (0..number)
            .map(|n| Target {
                namespace: "inventory".into(),
                name: if n == 0 { EVIL.into() } else { format!("aws-i-{n:04}") },
                result: Some(if n == 1 { EVIL.into() } else { "done".into() }),
                detail: Some(EVIL.into()),
                before: Some(json!({"reason": EVIL})),
                after: None,
            })
            .collect(),
    };
    JournalRead { records: (1..5).map(record).collect(), more: true, skipped: 3 }
}

/// What comes of a command; the same for the same `how`.
#[expect(clippy::too_many_lines, reason = "one arm for each command")]
fn answers(command: Command, how: u8, saved: &mut Vec<SavedView>) -> Vec<Msg> {
    let bad = how.is_multiple_of(6);
    let evil = || EVIL.to_owned();
    match command {
        Command::ReadHost { generation, uid, .. } => {
            let object = whole(number_of(&uid), how, 800);
            let result = if bad { Err(evil()) } else { Ok((how % 7 != 1).then_some(object)) };
            vec![Msg::HostRead { generation, result }]
        }
        Command::ReadObject { generation, at } => {
            let number = at.name.trim_start_matches("aws-i-").parse().unwrap_or(1);
            let mut object = any_host(number, how, 800);
            match how % 11 {
                1 => object = json!(null),
                2 => {
                    object = json!({"metadata": {"uid": [], "labels": [EVIL]}, EVIL: {EVIL: EVIL}});
                }
                3 => {
                    object["metadata"]["managedFields"] =
                        json!([{"manager": EVIL, "fieldsV1": {}}]);
                }
                4 => object["spec"][EVIL] = json!([[[[EVIL, 1.5, true, null, {}]]], {}, []]),
                5 => object["metadata"]["uid"] = json!("another"),
                _ => {}
            }
            let result =
                if bad { Err(evil()) } else { Ok((how % 7 != 1).then(|| Box::new(object))) };
            vec![Msg::ObjectRead { generation, result }]
        }
        Command::FollowEvents { generation, about } => {
            about.map(|_| told(generation, how)).into_iter().collect()
        }
        Command::Save { name, text } => {
            assert!(!name.is_empty());
            clean_text(&text);
            vec![Msg::Saved(if bad { Err(evil()) } else { Ok("/tmp/x".into()) })]
        }
        Command::ReadHosts { generation, hosts } => {
            let read = |target: &crate::model::change::Target| {
                known(target.uid.server(), number_of(&target.uid), how)
            };
            let result = if bad { Err(evil()) } else { Ok(hosts.iter().map(read).collect()) };
            vec![Msg::HostsRead { generation, result }]
        }
        Command::Act { order, .. } => {
            let mut messages: Vec<Msg> = Vec::new();
            for (number, change) in order.changes.iter().enumerate() {
                let found = whole(number_of(&change.target().uid), how, 850);
                let outcome = match (number + usize::from(how)) % 8 {
                    0 => Outcome::Gone,
                    1 => Outcome::Denied(evil()),
                    2 => Outcome::Failed(evil()),
                    3 => Outcome::Conflict(found),
                    4 => Outcome::NotTried(evil()),
                    _ => Outcome::Done(found),
                };
                if number < 7 || !bad {
                    messages
                        .push(Msg::Act { id: order.id.clone(), step: Step::Host(number, outcome) });
                }
            }
            let step = Step::Ended(bad.then(evil));
            messages.push(Msg::Act { id: order.id, step });
            messages
        }
        Command::Decide(_, decision) => {
            let result = match how % 4 {
                0 => Decided::Conflict(evil()),
                1 => Decided::Gone,
                2 => Decided::Failed(evil()),
                _ => Decided::Done,
            };
            let name = decision.seen.name;
            vec![Msg::Decided { name, approve: decision.approve, result }]
        }
        Command::ReadJournal => vec![Msg::Journal(if bad { Err(evil()) } else { Ok(journal()) })],
        Command::Keep(server, _) => vec![Msg::Kept(server, if bad { Err(evil()) } else { Ok(()) })],
        Command::EditViews(edit) => {
            match edit {
                Edit::Put(view) => {
                    saved.retain(|other| other.name != view.name);
                    for other in saved.iter_mut().filter(|other| other.key == view.key) {
                        other.key = None;
                    }
                    saved.push(*view);
                }
                Edit::Remove(name) => saved.retain(|view| view.name != name),
            }
            vec![Msg::ViewsEdited(if bad { Err(evil()) } else { Ok(saved.clone()) })]
        }
        Command::ReadFilters => {
            vec![Msg::Filters(vec!["env=test".into(), "db".into(), "(".into()])]
        }
        Command::Copy(text) => {
            clean_text(&text);
            vec![if bad { Msg::NoDesktop(text) } else { Msg::Copied(Ok("the clipboard")) }]
        }
        Command::CopyToTerminal(_) => vec![Msg::Copied(Err(evil()))],
        Command::CopyObject(_) => {
            vec![Msg::Fetched(if bad { Err(evil()) } else { Ok("a: b".into()) })]
        }
        Command::Theme { generation, name } => {
            let theme = Theme::load("night", None).unwrap();
            let result = if bad { Err(evil()) } else { Ok(Box::new(theme)) };
            vec![Msg::Theme { generation, name, result }]
        }
        Command::Browse(url) => {
            clean_text(&url);
            vec![Msg::Browsed { url, result: if bad { Err(evil()) } else { Ok(()) } }]
        }
        Command::Outside(words) => {
            for word in &words {
                clean_text(word);
            }
            vec![Msg::Returned(if bad { Err(evil()) } else { Ok("ssh has ended".into()) })]
        }
        Command::AskWho(server) => {
            let (verb, resource) = ("patch", "hosts");
            let user = if bad { Err(evil()) } else { Ok("ann".to_owned()) };
            vec![
                Msg::User(server, user),
                Msg::May { server, verb, resource, result: Ok(how % 9 != 1) },
                Msg::MayDecide(server, (how % 9 == 2).then(evil)),
            ]
        }
        Command::Reconnect(server) => {
            vec![Msg::Fleet(server.unwrap_or_default(), FleetEvent::Recovered)]
        }
        Command::Compare(one, other) => {
            vec![Msg::Compared { servers: (one, other), same: how % 16 == 3 }]
        }
        Command::Mouse(_)
        | Command::Stop(_)
        | Command::KeepFilter(_)
        | Command::Leave(_)
        | Command::Quit => Vec::new(),
    }
}

/// Lines of text without anything that a terminal or a program could take for more.
fn clean_text(text: &str) {
    let bad = text.chars().find(|c| is_hostile(*c) && *c != '\n' && *c != '\t');
    assert_eq!(bad, None, "{text:?}");
}

/// What a server tells besides hosts.
fn other(server: ServerId, what: u8, second: i64) -> Msg {
    let evil = || EVIL.to_owned();
    let name = format!("c{}", what / 32);
    match what % 32 {
        0 => Msg::Clusters(server, ObjectEvent::Begin),
        1 => Msg::Clusters(server, ObjectEvent::Synced),
        2 => Msg::Clusters(server, ObjectEvent::Lost(evil())),
        3..7 => {
            let cluster = ["db", "web", "gpu", "moved"][usize::from(what % 4)];
            let spec = json!({
                "disruption": {"maxUnavailable": i64::from(what % 5)},
                "ansible": {"playbooks": [
                    {"path": "site.yml", "description": EVIL, "tags": ["dns", EVIL]},
                    {"path": EVIL, "checkOnly": true},
                ]},
            });
            let cluster: Cluster = serde_json::from_value(json!({
                "apiVersion": "inventory.inv-tui.dev/v1alpha1", "kind": "Cluster",
                "metadata": {"name": cluster, "namespace": "inventory", "resourceVersion": name},
                "spec": spec,
            }))
            .unwrap();
            Msg::Clusters(server, ObjectEvent::Apply(Box::new(cluster)))
        }
        7 => Msg::Sources(server, ObjectEvent::Begin),
        8 => Msg::Sources(server, ObjectEvent::Synced),
        9 => Msg::Sources(server, ObjectEvent::Lost(evil())),
        10..13 => {
            let source = json!({
                "apiVersion": "inventory.inv-tui.dev/v1alpha1", "kind": "Source",
                "metadata": {"name": name, "namespace": "inventory", "uid": name},
                "spec": {"type": "AWS", "interval": "5m", "scopes": [EVIL]},
                "status": {"lastPass": now().to_string(), "scopes": [{"name": EVIL, "error": EVIL}],
                    "conditions": [{"type": "Healthy", "status": "False", "reason": EVIL,
                        "message": EVIL, "lastTransitionTime": now().to_string()}]},
            });
            Msg::Sources(
                server,
                ObjectEvent::Apply(Box::new(serde_json::from_value(source).unwrap())),
            )
        }
        13..20 => {
            let forged = forge::Forge::of("inventory", &format!("aws-i-{:04}", what % 5));
            let der = if what.is_multiple_of(4) { EVIL.as_bytes().to_vec() } else { forged.der() };
            let mut object = forge::object(forge::pem(&der));
            let name = if what.is_multiple_of(6) { evil() } else { format!("inv-host-{name}") };
            object.metadata.name = Some(name.clone());
            object.metadata.uid = Some(format!("csr-{name}"));
            object.metadata.resource_version = Some(second.to_string());
            let read = Box::new(Request::decode(&object));
            Msg::Certificates(server, vec![CsrEvent::Begin, CsrEvent::Apply(read)])
        }
        20 => Msg::Certificates(server, vec![CsrEvent::Synced]),
        21 => Msg::Certificates(server, vec![CsrEvent::Refused(evil())]),
        22 => Msg::Certificates(server, vec![CsrEvent::Delete(format!("csr-inv-host-{name}"))]),
        23 => Msg::User(server, Err(evil())),
        24 => Msg::MayDecide(server, None),
        25 => Msg::Unusable { server, reason: evil(), hint: Some(evil()) },
        26 => Msg::Themes(vec!["night".into(), EVIL.into()]),
        27 => {
            let url =
                if what < 64 { "https://same".to_owned() } else { format!("https://{server:?}") };
            Msg::Connected { server, url, instance: (what > 128).then(|| "one".to_owned()) }
        }
        _ => Msg::User(server, Ok("ann".into())),
    }
}

/// An answer that nobody waits for.
fn late(generation: u64, what: u8) -> Msg {
    let evil = || EVIL.to_owned();
    match what % 10 {
        0 => Msg::HostRead { generation, result: Err(evil()) },
        1 => Msg::HostRead { generation, result: Ok(Some(whole(1, what, 7))) },
        2 => Msg::ObjectRead { generation, result: Ok(None) },
        3 => Msg::HostsRead { generation, result: Ok(vec![known(ServerId::FIRST, 1, what)]) },
        4 => told(generation, what),
        5 => Msg::Act { id: format!("ord-{generation}"), step: Step::Ended(None) },
        6 => Msg::Journal(Ok(journal())),
        7 => Msg::Decided { name: evil(), approve: true, result: Decided::Gone },
        8 => Msg::Kept(ServerId::FIRST, Ok(())),
        _ => Msg::Theme { generation, name: evil(), result: Err(evil()) },
    }
}

/// Who or what a step comes from.
#[derive(Clone, Debug, PartialEq)]
enum Cause {
    /// A key, as it was pressed.
    Key(KeyEvent),
    Mouse,
    Paste,
    Pause,
    /// Whatever else, and the hosts that it brings.
    World(Vec<Uid>),
    /// The answer to a question.
    Answer,
    /// A digit that was no count after all.
    Time,
}

impl Cause {
    fn is_person(&self) -> bool {
        matches!(self, Self::Key(_) | Self::Mouse | Self::Pause)
    }
}

/// What must not change by itself.
struct Before {
    strip: Option<Strip>,
    decide: Option<Decide>,
    writable: Vec<bool>,
    cursor: Option<Uid>,
    list: Option<crate::model::inventory::List>,
    view: View,
    marked: BTreeSet<Uid>,
    page: Option<(page::Kind, Option<String>)>,
    record: Option<String>,
    request: Option<Uid>,
}

fn marked(model: &Model) -> BTreeSet<Uid> {
    let (shown, hidden) = model.inventory.marked_rows();
    shown.into_iter().chain(hidden).map(|row| row.uid().clone()).collect()
}

fn page_of(model: &Model) -> Option<(page::Kind, Option<String>)> {
    let page = model.page.as_ref()?;
    Some((page.kind, page.place.as_ref().map(|place| place.name.clone())))
}

impl Before {
    fn of(model: &Model) -> Self {
        let servers = model.servers.iter();
        Self {
            strip: match &model.overlay {
                Overlay::Strip(strip) => Some((**strip).clone()),
                _ => None,
            },
            decide: match &model.overlay {
                Overlay::Decide(decide) => Some((**decide).clone()),
                _ => None,
            },
            writable: servers.map(|(id, _)| model.cannot_act_on(id).is_none()).collect(),
            cursor: model.host().map(|row| row.uid().clone()),
            list: model.list(),
            view: model.views.now,
            marked: marked(model),
            page: page_of(model),
            record: model.journal.record().map(|record| record.entry.id.clone()),
            request: model.certificates.item().and_then(|_| model.certificates.spot.cursor.clone()),
        }
    }

    /// The strip that this key confirms.
    fn confirmed(&self, cause: &Cause) -> Option<&Strip> {
        let Cause::Key(key) = cause else { return None };
        if key.code != KeyCode::Char('y') {
            return None;
        }
        let strip = self.strip.as_ref()?;
        // Esc and a key at once look like alt: Esc leaves the field, and then it is `y`.
        let alt = key.modifiers == KeyModifiers::ALT;
        let place = matches!(strip.field, Field::Confirm | Field::Answer)
            && key.modifiers.is_empty()
            || alt && strip.field != Field::Confirm;
        let level = strip.level();
        let reason = strip.reason.text().trim().chars().count();
        let asked = match &level {
            policy::Level::Confirm => true,
            policy::Level::Reason => !strip.has(Field::Reason) || strip.typed && reason >= 3,
            policy::Level::Type(wanted) => {
                let answer = strip.answer.text().trim();
                let one = strip.items.len() == 1;
                let name = strip.items.first().map(|item| item.change.target().name.as_str());
                (answer == wanted || one && Some(answer) == name)
                    && (!strip.has(Field::Reason) || strip.typed && reason >= 3)
            }
        };
        (place && asked && !strip.items.is_empty()).then_some(strip)
    }

    /// The strip about a request that this key confirms.
    fn decided(&self, cause: &Cause) -> Option<&Decide> {
        let Cause::Key(key) = cause else { return None };
        let decide = self.decide.as_ref()?;
        let alt = key.modifiers == KeyModifiers::ALT;
        let place = key.modifiers.is_empty() && decide.field == DecideField::Confirm
            || alt && decide.field != DecideField::Confirm;
        let named = !decide.wants_name() || decide.typed.text().trim() == decide.name();
        let reason = decide.approve || decide.reason.text().trim().chars().count() >= 3;
        (key.code == KeyCode::Char('y') && place && named && reason && !decide.moved)
            .then_some(decide)
    }
}

/// What a change makes of its host, without what the fields of the strip say.
fn shown(item: &Item) -> (crate::model::change::Target, Value) {
    let mut patch = item.change.clone();
    match &mut patch {
        Change::Hold(change) => change.new = None,
        Change::Run(change) => change.new.reason = None,
        Change::Labels(_) => {}
    }
    (patch.target().clone(), patch.patch())
}

struct World {
    model: Model,
    theme: Theme,
    questions: VecDeque<Command>,
    saved: Vec<SavedView>,
    second: i64,
    version: u64,
}

impl World {
    /// One or two servers; told everything, or nothing yet.
    fn new(start: u8) -> Self {
        let mut settings = settings(Config::default());
        settings.servers = vec![servers::ServerSettings {
            context: "test".into(),
            url: "https://127.0.0.1:6443".into(),
            ..servers::ServerSettings::default()
        }];
        if start % 2 == 1 {
            settings.servers.push(servers::ServerSettings {
                context: format!("us {EVIL}"),
                ..servers::ServerSettings::default()
            });
        }
        let own = SavedView {
            name: "mine".into(),
            key: Some(1),
            filter: "env=test".into(),
            group: Some(vec![GroupLevel::Role]),
            ..SavedView::default()
        };
        let shared = SavedView { name: "ours".into(), key: Some(2), ..SavedView::default() };
        settings.saved = vec![
            KnownView { view: own.clone(), shared: None },
            KnownView { view: shared, shared: Some("/team/views.toml".into()) },
        ];
        settings.keeps = start.is_multiple_of(3);
        let model = Model::new(settings, now(), (100, 30));
        let mut world = Self {
            model,
            theme: Theme::load("night", None).unwrap(),
            questions: VecDeque::new(),
            saved: vec![own],
            second: NOW,
            version: 1_000,
        };
        if start < 4 {
            for (number, server) in [ServerId::FIRST, us()].into_iter().enumerate() {
                if number == 0 || world.model.servers.several() {
                    world.listed(server);
                }
            }
        }
        world
    }

    fn listed(&mut self, server: ServerId) {
        let (verb, resource) = ("patch", "hosts");
        let hosts = busy().into_iter().map(|host| on(server, apply(host))).collect();
        let touched = (1..12).map(|number| Uid::on(server, format!("uid-{number}"))).collect();
        let cause = Cause::World(touched);
        for msg in [
            Msg::User(server, Ok("ann".into())),
            Msg::May { server, verb, resource, result: Ok(true) },
            Msg::Fleet(server, FleetEvent::Begin { expected: None }),
            Msg::Fleet(server, FleetEvent::Changes(hosts)),
            Msg::Fleet(server, FleetEvent::Synced),
            Msg::Sources(server, ObjectEvent::Synced),
            other(server, 3, 1),
            other(server, 4, 1),
            other(server, 14, 1),
            other(server, 47, 1),
            other(server, 20, 1),
        ] {
            let who = matches!(msg, Msg::User(..));
            self.step(msg, if who { &Cause::Answer } else { &cause });
        }
    }

    /// The server that is meant: there may be but one.
    fn server(&self, second: bool) -> ServerId {
        if second && self.model.servers.several() { us() } else { ServerId::FIRST }
    }

    fn happens(&mut self, happening: Happening) {
        let fleet =
            |server, change| Msg::Fleet(server, FleetEvent::Changes(vec![on(server, change)]));
        let world = || Cause::World(Vec::new());
        match happening {
            Happening::Key(key) => self.press(key),
            Happening::Keys(keys) => self.type_keys(keys),
            Happening::Story(keys) => {
                self.type_keys("<esc><esc><esc><esc>");
                self.type_keys(keys);
            }
            Happening::Told(second) => self.listed(self.server(second)),
            Happening::Mouse(event) => self.step(Msg::Mouse(event), &Cause::Mouse),
            Happening::Paste(text) => self.step(Msg::Paste(text), &Cause::Paste),
            Happening::Resize(width, height) => self.step(Msg::Resize(width, height), &world()),
            Happening::Tick(seconds) => {
                self.second += seconds;
                let time = jiff::Timestamp::from_second(self.second).unwrap();
                self.step(Msg::Tick(time), &Cause::Time);
            }
            Happening::Pause => self.step(Msg::Pause, &Cause::Pause),
            Happening::Host(second, number, kind) => {
                let server = self.server(second);
                self.version += 1;
                let host = any_host(number, kind, self.version);
                let touched = vec![Uid::on(server, format!("uid-{number}"))];
                self.step(fleet(server, apply(host)), &Cause::World(touched));
            }
            Happening::Gone(second, number) => {
                let gone = HostChange::Delete(Uid::new(format!("uid-{number}")));
                self.step(fleet(self.server(second), gone), &world());
            }
            Happening::Begin(second) => {
                let server = self.server(second);
                let event = FleetEvent::Begin { expected: second.then_some(7) };
                self.step(Msg::Fleet(server, event), &world());
            }
            Happening::Synced(second) => {
                self.step(Msg::Fleet(self.server(second), FleetEvent::Synced), &world());
            }
            Happening::Lost(second) => {
                let event = FleetEvent::Lost(EVIL.to_owned());
                self.step(Msg::Fleet(self.server(second), event), &world());
            }
            Happening::Recovered(second) => {
                self.step(Msg::Fleet(self.server(second), FleetEvent::Recovered), &world());
            }
            Happening::Other(second, what) => {
                let msg = other(self.server(second), what, self.second);
                let who = matches!(msg, Msg::User(..));
                self.step(msg, &if who { Cause::Answer } else { world() });
            }
            Happening::Answer(at, how) => {
                let at = at.min(self.questions.len().saturating_sub(1));
                if let Some(command) = self.questions.remove(at) {
                    self.answer(command, how);
                }
            }
            Happening::Late(generation, what) => self.step(late(generation, what), &Cause::Answer),
            Happening::Config(number) => {
                let read =
                    crate::config::Read { path: None, text: Some(CONFIGS[number].to_owned()) };
                let result = crate::ui::configured::parse(&read, None);
                let result = result
                    .map(|config| Box::new(Configured::new(config, "test", &<_>::default())))
                    .map_err(|_wrong| EVIL.to_owned());
                self.step(Msg::Configured(result), &world());
            }
            Happening::Last(what) => {
                let event = match what % 4 {
                    0 => LastEvent::Begin(now()),
                    1 => LastEvent::Done,
                    2 => LastEvent::Damaged(EVIL.to_owned()),
                    _ => {
                        let host = any_host(usize::from(what) % 12, what, 1);
                        LastEvent::Hosts(vec![serde_json::from_value(host).unwrap()])
                    }
                };
                let touched = vec![Uid::new(format!("uid-{}", usize::from(what) % 12))];
                self.step(Msg::Last(ServerId::FIRST, event), &Cause::World(touched));
            }
        }
    }

    fn type_keys(&mut self, keys: &str) {
        for name in key_names(keys) {
            if name == "answer" {
                for command in std::mem::take(&mut self.questions) {
                    self.answer(command, 7);
                }
            } else {
                self.press(key(&name));
            }
        }
    }

    fn answer(&mut self, command: Command, how: u8) {
        for msg in answers(command, how, &mut self.saved) {
            self.step(msg, &Cause::Answer);
        }
    }

    fn press(&mut self, key: KeyEvent) {
        self.step(Msg::Key(key), &Cause::Key(key));
    }

    fn step(&mut self, msg: Msg, cause: &Cause) {
        let before = Before::of(&self.model);
        let commands = send(&mut self.model, msg);
        let (width, height) = self.model.size;
        let area = Rect::new(0, 0, width, height);
        let mut picture = Buffer::empty(area);
        view::draw(&self.model, &self.theme, area, &mut picture);
        for cell in &picture.content {
            let bad = cell.symbol().chars().find(|c| is_hostile(*c));
            assert_eq!(bad, None, "{}", plain(&picture));
        }
        for command in commands {
            self.may_be_sent(&before, cause, &command);
            if self.questions.len() == QUESTIONS {
                self.questions.pop_front();
            }
            self.questions.push_back(command);
        }
        self.strips_are_frozen(&before, cause);
        if !cause.is_person() && *cause != Cause::Paste {
            self.stays(&before, cause);
        }
        if *cause == Cause::Paste {
            assert_eq!(marked(&self.model), before.marked);
        }
        let model = &self.model;
        assert!(model.cursor.is_some() || model.inventory.matched() == 0);
        let marks = model.inventory.marked();
        assert!(marks.total <= model.inventory.len() && marks.hidden <= marks.total);
        assert!(model.messages.len() <= 200);
    }

    /// Invariants 2 and 3.
    fn may_be_sent(&self, before: &Before, cause: &Cause, command: &Command) {
        let person = cause.is_person();
        let fine = match command {
            Command::Act { server, user, order } => {
                let Some(strip) = before.confirmed(cause) else {
                    panic!("not confirmed: {cause:?} {:?} {command:?}", before.strip)
                };
                assert!(before.writable[server.index()]);
                assert_eq!(self.model.servers.get(*server).user.as_ref(), Some(user));
                let shown: Vec<_> = strip
                    .items
                    .iter()
                    .filter(|item| item.change.target().uid.server() == *server)
                    .map(shown)
                    .collect();
                let items =
                    order.changes.iter().map(|change| Item::new(change.clone(), String::new()));
                let sent: Vec<_> = items.map(|item| self::shown(&item)).collect();
                assert_eq!(sent, shown);
                assert!(!order.overrides || matches!(strip.level(), policy::Level::Type(_)));
                !order.changes.is_empty()
            }
            Command::Decide(server, decision) => {
                let Some(decide) = before.decided(cause) else {
                    panic!("not confirmed: {cause:?} {:?} {command:?}", before.decide)
                };
                *server == decide.server
                    && decision.seen == decide.about
                    && decision.approve == decide.approve
            }
            Command::Outside(_)
            | Command::Browse(_)
            | Command::Save { .. }
            | Command::EditViews(_)
            | Command::KeepFilter(_)
            | Command::Mouse(_)
            | Command::Stop(_)
            | Command::Quit
            | Command::CopyObject(_)
            | Command::ReadFilters
            | Command::Reconnect(_) => person,
            Command::Copy(_) | Command::CopyToTerminal(_) | Command::ReadHosts { .. } => {
                person || *cause == Cause::Answer
            }
            Command::Theme { .. } => *cause != Cause::Paste && *cause != Cause::Time,
            Command::AskWho(_) | Command::Compare(..) | Command::Leave(_) => !person,
            Command::Keep(..) => matches!(cause, Cause::Time | Cause::Answer),
            Command::ReadHost { .. }
            | Command::ReadObject { .. }
            | Command::FollowEvents { .. }
            | Command::ReadJournal => true,
        };
        assert!(fine, "{cause:?}: {command:?}");
    }

    /// Invariant 4.
    fn strips_are_frozen(&self, before: &Before, cause: &Cause) {
        let model = &self.model;
        let Overlay::Strip(strip) = &model.overlay else { return };
        match &before.strip {
            None => {
                let asked = matches!(cause, Cause::Key(_) | Cause::Mouse | Cause::Answer);
                assert!(asked, "a strip opened by {cause:?}");
            }
            Some(old) if !cause.is_person() => {
                let there = |item: &&Item| {
                    strip.items.iter().any(|new| new.change.target() == item.change.target())
                };
                let kept: Vec<_> = old.items.iter().filter(there).map(shown).collect();
                assert_eq!(strip.items.iter().map(shown).collect::<Vec<_>>(), kept);
                for item in &old.items {
                    let uid = &item.change.target().uid;
                    assert!(there(&item) || model.inventory.get(uid).is_none());
                }
                assert!(strip.level() >= old.level() || strip.items.len() < old.items.len());
                assert_eq!((strip.verb, strip.past), (old.verb, old.past));
            }
            Some(_) => {}
        }
    }

    /// Invariant 5.
    fn stays(&self, before: &Before, cause: &Cause) {
        let model = &self.model;
        assert_eq!((model.views.now, model.list()), (before.view, before.list));
        let still = |uid: &&Uid| model.inventory.get(uid).is_some();
        let expected: BTreeSet<Uid> = before.marked.iter().filter(still).cloned().collect();
        assert_eq!(marked(model), expected, "marks moved by {cause:?}");
        if let Some(uid) = before.cursor.as_ref().filter(|uid| still(uid)) {
            let after = model.node();
            let same = after == Some(NodeKey::Host(uid.clone()));
            let shown = match before.list {
                Some(list) => model.inventory.list_rank(list, uid).is_some(),
                None if before.view == View::Fleet => model.inventory.is_matched(uid),
                None => false,
            };
            // In the tree what moves into a closed group is that group.
            let touched = match cause {
                Cause::World(uids) => uids.contains(uid),
                _ => *cause == Cause::Time,
            };
            let closed =
                before.list.is_none() && touched && matches!(after, Some(NodeKey::Group(_)));
            assert!(!shown || same || closed, "the cursor left {uid:?} for {after:?} by {cause:?}");
        }
        assert_eq!(page_of(model), before.page, "{cause:?}");
        if let Some(id) = &before.record
            && model.journal.records.iter().any(|record| record.entry.id == *id)
        {
            assert_eq!(model.journal.spot.cursor.as_ref(), Some(id));
        }
        if let Some(uid) =
            before.request.as_ref().filter(|uid| model.certificates.get(uid).is_some())
        {
            assert_eq!(model.certificates.spot.cursor.as_ref(), Some(uid));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_happens(start in 0_u8..6, happenings in prop::collection::vec(happening(), 1..40)) {
        let mut world = World::new(start);
        for happening in happenings {
            world.happens(happening);
        }
    }
}
