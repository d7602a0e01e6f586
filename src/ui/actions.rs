//! The one table of actions and keys. Key lookup, hint bar, help screen, palette and the README's
//! table come from it; nothing about a key is written anywhere else.

use std::fmt::Write as _;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// What a person can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the table below says what each one is")]
pub enum Action {
    Down,
    Up,
    Top,
    Bottom,
    HalfPageDown,
    HalfPageUp,
    PageDown,
    PageUp,
    Fold,
    Unfold,
    ToggleFold,
    FoldAll,
    UnfoldAll,
    Open,
    Back,
    NextPane,
    PreviousPane,
    Palette,
    Filter,
    Pin,
    Facets,
    SavedViews,
    SaveView,
    Freeze,
    Everything,
    Problems,
    CopyName,
    CopyMenu,
    Describe,
    Yaml,
    Events,
    History,
    Explain,
    NextMatch,
    PreviousMatch,
    ManagedFields,
    Save,
    Messages,
    Centre,
    Mouse,
    Ssh,
    Browser,
    Mark,
    MarkRange,
    MarkAll,
    InvertMarks,
    Maintenance,
    Run,
    Labels,
    Changes,
    Undo,
    Redo,
    Repeat,
    LastResult,
    Arm,
    Theme,
    Reconnect,
    Help,
    Guide,
    Cancel,
    Quit,
    ViewFleet,
    ViewMaintenance,
    ViewRuns,
    ViewProblems,
    ViewCertificates,
    ViewSources,
    ViewServers,
    ViewJournal,
    ViewChanges,
    Approve,
    Deny,
    ViewBack,
    ViewForward,
    ViewLast,
    ToggleTable,
    GroupDefault,
    GroupRegion,
    GroupCluster,
    GroupProvider,
    GroupZone,
    GroupRole,
    GroupTeam,
    GroupEnvironment,
    GroupState,
    GroupBy,
    Columns,
    ColumnLeft,
    ColumnRight,
    Sort,
    InvertSort,
    Wide,
}

/// What an action needs before it can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// Writing armed, and the permission (verb, resource).
    Write(&'static str, &'static str),
}

/// The group that an action is shown under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Group {
    Move,
    Tree,
    Look,
    Find,
    View,
    Shape,
    Mark,
    Copy,
    Change,
    Program,
}

impl Group {
    /// The groups in the order of the help screen, with their headings.
    pub const ALL: [(Self, &'static str); 10] = [
        (Self::Move, "Move"),
        (Self::Tree, "Tree"),
        (Self::Look, "Look"),
        (Self::Find, "Find"),
        (Self::View, "Views"),
        (Self::Shape, "Shape"),
        (Self::Mark, "Mark"),
        (Self::Change, "Change"),
        (Self::Copy, "Copy and go"),
        (Self::Program, "Program"),
    ];
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct ActionRow {
    /// The action.
    pub action: Action,
    /// Its one name: palette, configuration, help, log and tests. Kebab-case.
    pub name: &'static str,
    /// Its keys. A space separates the keys of a sequence.
    pub keys: &'static [&'static str],
    /// Where it is shown.
    pub group: Group,
    /// What it needs.
    pub needs: Needs,
    /// What it does, at most 40 columns.
    pub help: &'static str,
    /// The word in the hint bar; empty: not shown there.
    pub hint: &'static str,
}

const fn row(
    action: Action,
    name: &'static str,
    keys: &'static [&'static str],
    group: Group,
    help: &'static str,
    hint: &'static str,
) -> ActionRow {
    ActionRow { action, name, keys, group, needs: Needs::Nothing, help, hint }
}

const fn view(
    action: Action,
    name: &'static str,
    keys: &'static [&'static str],
    help: &'static str,
) -> ActionRow {
    row(action, name, keys, Group::View, help, "")
}

const fn shape(
    action: Action,
    name: &'static str,
    keys: &'static [&'static str],
    help: &'static str,
) -> ActionRow {
    row(action, name, keys, Group::Shape, help, "")
}

const fn decide(
    action: Action,
    name: &'static str,
    keys: &'static [&'static str],
    help: &'static str,
    hint: &'static str,
) -> ActionRow {
    let needs = Needs::Write("update", "certificatesigningrequests/approval");
    ActionRow { action, name, keys, group: Group::Change, needs, help, hint }
}

const fn change(
    action: Action,
    name: &'static str,
    keys: &'static [&'static str],
    help: &'static str,
    hint: &'static str,
) -> ActionRow {
    ActionRow {
        action,
        name,
        keys,
        group: Group::Change,
        needs: Needs::Write("patch", "hosts"),
        help,
        hint,
    }
}

/// Every action there is.
pub const ACTIONS: &[ActionRow] = &[
    row(Action::Down, "down", &["j", "down"], Group::Move, "Down; 10j moves ten", ""),
    row(Action::Up, "up", &["k", "up"], Group::Move, "Up", ""),
    row(Action::Top, "top", &["g g", "home"], Group::Move, "To the first line", ""),
    row(Action::Bottom, "bottom", &["G", "end"], Group::Move, "To the last line", ""),
    row(Action::HalfPageDown, "half-page-down", &["ctrl-d"], Group::Move, "Half a page down", ""),
    row(Action::HalfPageUp, "half-page-up", &["ctrl-u"], Group::Move, "Half a page up", ""),
    row(Action::PageDown, "page-down", &["ctrl-f", "pagedown"], Group::Move, "A page down", ""),
    row(Action::PageUp, "page-up", &["ctrl-b", "pageup"], Group::Move, "A page up", ""),
    row(Action::Centre, "centre", &["z z"], Group::Move, "This line to the middle", ""),
    row(
        Action::Open,
        "open",
        &["enter"],
        Group::Tree,
        "Open or close; a host: its details",
        "open",
    ),
    row(Action::Fold, "fold", &["h", "left"], Group::Tree, "Close, or go to the parent", ""),
    row(Action::Unfold, "unfold", &["l", "right"], Group::Tree, "Open", ""),
    row(Action::ToggleFold, "toggle-fold", &["z a"], Group::Tree, "Open or close", ""),
    row(Action::FoldAll, "fold-all", &["z M"], Group::Tree, "Close everything", ""),
    row(Action::UnfoldAll, "unfold-all", &["z R"], Group::Tree, "Open everything", ""),
    row(Action::NextPane, "next-pane", &["tab"], Group::Tree, "Next pane", ""),
    row(Action::PreviousPane, "previous-pane", &["backtab"], Group::Tree, "Previous pane", ""),
    row(Action::Back, "back", &["esc", "q"], Group::Tree, "Back: pane, marks, then the filter", ""),
    row(
        Action::Filter,
        "filter",
        &["/"],
        Group::Find,
        "Filter as you type; ? in it: grammar",
        "filter",
    ),
    row(Action::Pin, "pin", &["ctrl-p"], Group::Find, "Pin the filter across views, or unpin", ""),
    row(
        Action::Everything,
        "everything",
        &["0"],
        Group::Find,
        "Show everything: clear the filter",
        "",
    ),
    row(Action::Problems, "problems", &["P"], Group::Find, "Only hosts with a problem", "problems"),
    row(
        Action::Facets,
        "facets",
        &["f"],
        Group::Find,
        "Values with counts; space filters by one",
        "",
    ),
    row(
        Action::Freeze,
        "freeze",
        &["F"],
        Group::Find,
        "Freeze the hosts on the screen, or go on",
        "",
    ),
    row(Action::Palette, "palette", &[":"], Group::Find, "Any action or theme by name", "commands"),
    view(Action::ViewFleet, "view-fleet", &["v f"], "The tree of all hosts"),
    view(Action::ViewMaintenance, "view-maintenance", &["v m"], "Who holds what, why, until when"),
    view(Action::ViewRuns, "view-runs", &["v r"], "Ansible runs, with their progress"),
    view(Action::ViewProblems, "view-problems", &["v p"], "Hosts with a problem, the worst first"),
    view(Action::ViewCertificates, "view-certificates", &["v c"], "Requests for certificates"),
    view(Action::ViewSources, "view-sources", &["v s"], "Where hosts come from; last passes"),
    view(Action::ViewServers, "view-servers", &["v S"], "The API servers and their connections"),
    view(Action::ViewJournal, "view-journal", &["v j", "J"], "What you did, with results"),
    view(Action::ViewChanges, "view-changes", &["v h"], "What changed in 15 minutes, old → new"),
    view(Action::SavedViews, "saved-views", &["v v"], "Saved views; 1 to 9 show theirs at once"),
    view(Action::SaveView, "save-view", &[], "Save filter and shape under a name"),
    view(Action::ViewBack, "view-back", &["["], "Back to the view before"),
    view(Action::ViewForward, "view-forward", &["]"], "Forward again"),
    view(Action::ViewLast, "view-last", &["-"], "To the last view and back"),
    shape(Action::ToggleTable, "toggle-table", &["t"], "Tree or flat table"),
    shape(Action::GroupDefault, "group-default", &["g d"], "Group by region and cluster"),
    shape(Action::GroupRegion, "group-region", &["g r"], "Group by region"),
    shape(Action::GroupCluster, "group-cluster", &["g c"], "Group by cluster"),
    shape(Action::GroupProvider, "group-provider", &["g p"], "Group by provider"),
    shape(Action::GroupZone, "group-zone", &["g z"], "Group by zone"),
    shape(Action::GroupRole, "group-role", &["g o"], "Group by role"),
    shape(Action::GroupTeam, "group-team", &["g t"], "Group by team"),
    shape(Action::GroupEnvironment, "group-environment", &["g e"], "Group by environment"),
    shape(Action::GroupState, "group-state", &["g s"], "Group by state"),
    shape(Action::GroupBy, "group-by", &["g l"], "Group by any labels; :group region,rack"),
    shape(Action::Columns, "choose-columns", &["C"], "Choose the columns, and their order"),
    shape(Action::ColumnLeft, "column-left", &["shift-left"], "Choose the column to the left"),
    shape(Action::ColumnRight, "column-right", &["shift-right"], "Choose the column to the right"),
    shape(Action::Sort, "sort-by-column", &["O"], "Sort the table by the chosen column"),
    shape(Action::InvertSort, "invert-sort", &["I"], "Sort the other way round"),
    shape(Action::Wide, "wide", &["ctrl-w"], "All columns, or the usual ones"),
    row(
        Action::Mark,
        "mark",
        &["space"],
        Group::Mark,
        "Mark; a group: all of it that matches",
        "mark",
    ),
    row(
        Action::MarkRange,
        "mark-range",
        &["V"],
        Group::Mark,
        "Mark from the last mark to here",
        "",
    ),
    row(
        Action::MarkAll,
        "mark-all",
        &["*"],
        Group::Mark,
        "Mark all that match; on a group: its own",
        "",
    ),
    row(
        Action::InvertMarks,
        "invert-marks",
        &["~"],
        Group::Mark,
        "Swap marks within what matches",
        "",
    ),
    change(Action::Maintenance, "maintenance", &["m"], "Maintenance on or off", "maintenance"),
    change(Action::Run, "run", &["r"], "Ansible run; cancels one that waits", "run"),
    change(Action::Labels, "labels", &["e"], "Set or remove a label", ""),
    change(Action::Undo, "undo", &["u"], "Take the last change back", "undo"),
    change(Action::Redo, "redo", &["U"], "Make the undone change again", ""),
    decide(Action::Approve, "approve", &["a"], "Approve a request for a certificate", "approve"),
    decide(Action::Deny, "deny", &["D"], "Deny a request for a certificate", "deny"),
    change(Action::Repeat, "repeat", &["."], "The same action on this target", ""),
    row(Action::Changes, "changes", &["x"], Group::Change, "All actions that change something", ""),
    row(
        Action::LastResult,
        "last-result",
        &[],
        Group::Change,
        "What came of the last bulk change",
        "",
    ),
    row(Action::Arm, "arm", &["W"], Group::Change, "Arm or disarm writing", ""),
    row(Action::Describe, "describe", &["d"], Group::Look, "All about it, for people", ""),
    row(Action::Yaml, "yaml", &["y"], Group::Look, "The object as the server has it", ""),
    row(Action::Events, "events", &["E"], Group::Look, "Events about it", ""),
    row(Action::History, "history", &["H"], Group::Look, "What happened to it, old → new", ""),
    row(Action::Explain, "explain", &["X"], Group::Look, "Why it is not well, what to do", ""),
    row(
        Action::NextMatch,
        "next-match",
        &["n"],
        Group::Look,
        "On a page: next of what / found",
        "",
    ),
    row(
        Action::PreviousMatch,
        "previous-match",
        &["N"],
        Group::Look,
        "On a page: the one before",
        "",
    ),
    row(
        Action::ManagedFields,
        "managed-fields",
        &["M"],
        Group::Look,
        "In YAML: show managed fields",
        "",
    ),
    row(Action::Save, "save-page", &["w"], Group::Look, "Write the page into a file", ""),
    row(Action::Messages, "messages", &[], Group::Look, "What this program has said", ""),
    row(Action::CopyName, "copy-name", &["c"], Group::Copy, "Copy the name", "copy"),
    row(
        Action::CopyMenu,
        "copy-menu",
        &["Y"],
        Group::Copy,
        "Copy address, ssh command, YAML...",
        "",
    ),
    row(Action::Ssh, "ssh", &["s"], Group::Copy, "Log in to the host over ssh", ""),
    row(Action::Browser, "browser", &["b"], Group::Copy, "Open the host in a browser", ""),
    row(Action::Mouse, "mouse", &["ctrl-g"], Group::Program, "Mouse: ours, or the terminal's", ""),
    row(Action::Theme, "theme", &[], Group::Program, "Next theme", ""),
    row(
        Action::Reconnect,
        "reconnect",
        &["ctrl-r"],
        Group::Program,
        "Try to reach the server now",
        "",
    ),
    row(Action::Help, "keys", &["?"], Group::Program, "All keys", "help"),
    row(Action::Guide, "help", &[], Group::Program, "The guide; :help filter: about that", ""),
    row(Action::Cancel, "cancel", &["ctrl-c"], Group::Program, "Cancel; twice: quit", ""),
    row(Action::Quit, "quit", &[], Group::Program, "Quit, also :q", ""),
];

/// The row of an action.
pub fn find(action: Action) -> Option<&'static ActionRow> {
    ACTIONS.iter().find(|row| row.action == action)
}

/// The name of a key press in the form of the table: `j`, `G`, `ctrl-d`, `enter`.
pub fn key_name(key: KeyEvent) -> String {
    let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
    let alt = key.modifiers.contains(KeyModifiers::ALT);
    let shift = key.modifiers.contains(KeyModifiers::SHIFT);
    let base = match key.code {
        KeyCode::Char(' ') => "space".to_owned(),
        KeyCode::Char(c) => c.to_string(),
        KeyCode::Enter => "enter".to_owned(),
        KeyCode::Esc => "esc".to_owned(),
        KeyCode::Tab => "tab".to_owned(),
        KeyCode::BackTab => "backtab".to_owned(),
        KeyCode::Backspace => "backspace".to_owned(),
        KeyCode::Delete => "delete".to_owned(),
        KeyCode::Left if shift => "shift-left".to_owned(),
        KeyCode::Right if shift => "shift-right".to_owned(),
        KeyCode::Left => "left".to_owned(),
        KeyCode::Right => "right".to_owned(),
        KeyCode::Up => "up".to_owned(),
        KeyCode::Down => "down".to_owned(),
        KeyCode::Home => "home".to_owned(),
        KeyCode::End => "end".to_owned(),
        KeyCode::PageUp => "pageup".to_owned(),
        KeyCode::PageDown => "pagedown".to_owned(),
        KeyCode::F(n) => format!("f{n}"),
        _ => return String::new(),
    };
    match (ctrl, alt) {
        (true, _) => format!("ctrl-{}", base.to_lowercase()),
        (false, true) => format!("alt-{base}"),
        (false, false) => base,
    }
}

/// The key press with this name, the other way round; none for what is no name.
pub fn parse_key(name: &str) -> Option<KeyEvent> {
    let (base, modifiers) = match (name.strip_prefix("ctrl-"), name.strip_prefix("shift-")) {
        (Some(base), _) => (base, KeyModifiers::CONTROL),
        (None, Some(base @ ("left" | "right" | "up" | "down"))) => (base, KeyModifiers::SHIFT),
        (None, _) => (name, KeyModifiers::NONE),
    };
    let mut characters = base.chars();
    let code = match base {
        "space" => KeyCode::Char(' '),
        "enter" => KeyCode::Enter,
        "esc" => KeyCode::Esc,
        "tab" => KeyCode::Tab,
        "backtab" => KeyCode::BackTab,
        "backspace" => KeyCode::Backspace,
        "delete" => KeyCode::Delete,
        "left" => KeyCode::Left,
        "right" => KeyCode::Right,
        "up" => KeyCode::Up,
        "down" => KeyCode::Down,
        "home" => KeyCode::Home,
        "end" => KeyCode::End,
        "pageup" => KeyCode::PageUp,
        "pagedown" => KeyCode::PageDown,
        _ if let Some(n) = base.strip_prefix('f').and_then(|n| n.parse::<u8>().ok()) => {
            KeyCode::F(Some(n).filter(|n| (1..=12).contains(n) && base == format!("f{n}"))?)
        }
        _ => KeyCode::Char(characters.next().filter(|_| characters.as_str().is_empty())?),
    };
    Some(KeyEvent::new(code, modifiers))
}

/// What a sequence of keys means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// An action.
    Action(Action),
    /// The begin of a longer sequence.
    Prefix,
    /// Nothing.
    Nothing,
}

/// The table as Markdown, for the README.
pub fn markdown() -> String {
    let mut out = String::from("| keys | action | what it does |\n| --- | --- | --- |\n");
    for (group, _) in Group::ALL {
        for row in ACTIONS.iter().filter(|row| row.group == group) {
            let keys: Vec<String> =
                row.keys.iter().map(|k| format!("`{}`", k.replace(' ', ""))).collect();
            let keys = if keys.is_empty() { format!("`:{}`", row.name) } else { keys.join(" ") };
            let _ = writeln!(out, "| {keys} | {} | {} |", row.name, row.help);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_twice_and_none_begins_another() {
        let all: Vec<&str> = ACTIONS.iter().flat_map(|r| r.keys.iter().copied()).collect();
        for (i, key) in all.iter().enumerate() {
            for other in &all[i + 1..] {
                assert_ne!(key, other);
                assert!(
                    !other.starts_with(&format!("{key} "))
                        && !key.starts_with(&format!("{other} ")),
                    "{key} {other}"
                );
            }
        }
    }

    #[test]
    fn names_are_kebab_case_and_unique_and_help_fits() {
        for (i, row) in ACTIONS.iter().enumerate() {
            assert!(row.name.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{}", row.name);
            assert!(ACTIONS[i + 1..].iter().all(|r| r.name != row.name && r.action != row.action));
            assert!(
                !row.help.is_empty() && row.help.len() <= 40,
                "{}: {}",
                row.name,
                row.help.len()
            );
        }
    }

    #[test]
    fn no_change_on_ctrl_enter_space_or_a_motion() {
        for row in ACTIONS.iter().filter(|r| r.needs != Needs::Nothing) {
            for key in row.keys {
                assert!(
                    !key.starts_with("ctrl-") && !["enter", "space", "tab"].contains(key),
                    "{key}"
                );
                assert!(!"hjklgGz".contains(key), "{key}");
            }
        }
    }

    #[test]
    fn every_key_of_the_table_has_a_name_that_is_understood() {
        let keys = ACTIONS.iter().flat_map(|row| row.keys.iter()).flat_map(|keys| keys.split(' '));
        for name in
            keys.chain(["space", "ctrl-space", "delete", "é", "-", "ctrl--", "f1", "f12", "f"])
        {
            assert_eq!(parse_key(name).map(key_name).as_deref(), Some(name));
        }
        for name in ["", "entr", "ctrl-", "ctrl-enterr", "jj", "alt-x", "f0", "f13", "f01"] {
            assert_eq!(parse_key(name), None, "{name}");
        }
    }
}
