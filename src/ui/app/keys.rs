//! What each key does, in each place that can have the keys.

use std::collections::BTreeMap;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::decide::DecideReply;
use super::palette::{Entry, Palette};
use super::picker::{Picker, Reply as Picked, What};
use super::strip::Reply;
use super::views::View;
use super::{Model, Overlay, Pane, facets, filter, page, views};
use crate::model::host::RunState;
use crate::model::key::NodeKey;
use crate::model::row::HostRow;
use crate::model::shape::Level;
use crate::store::read::{Kind, Place};
use crate::ui::actions::{self, Action, Group, Lookup};
use crate::ui::msg::Command;
use crate::ui::view::help_end;

/// Seconds within which a second `ctrl-c` quits.
const QUIT_SECONDS: i64 = 3;
/// Largest count before a motion.
const MAX_COUNT: usize = 1_000_000;

/// Digits typed before a motion, and the begin of a key sequence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// The count; none: one.
    pub count: Option<usize>,
    /// Keys so far, separated by spaces.
    pub sequence: String,
}

pub(super) fn key(model: &mut Model, key: KeyEvent) -> Vec<Command> {
    if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
        return cancel(model);
    }
    model.quit_armed = None;
    if key.modifiers.contains(KeyModifiers::ALT) {
        // Esc and a key that arrive together look like alt and that key; we have no alt keys.
        let mut commands = self::key(model, KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE));
        commands
            .extend(self::key(model, KeyEvent::new(key.code, key.modifiers - KeyModifiers::ALT)));
        return commands;
    }
    if model.wanted.take().is_some() && key.code == KeyCode::Esc {
        return Vec::new();
    }
    match std::mem::replace(&mut model.overlay, Overlay::None) {
        Overlay::None => normal(model, key),
        Overlay::Filter => filter::key(model, key),
        Overlay::Grammar => {
            model.overlay = Overlay::Filter;
            Vec::new()
        }
        Overlay::Strip(mut strip) => {
            match strip.key(key, model.now) {
                Reply::Stay => model.overlay = Overlay::Strip(strip),
                Reply::Cancel => model.say("cancelled, nothing was changed"),
                Reply::AddHidden => model.add_hidden(*strip),
                Reply::Send => return model.send(*strip),
            }
            Vec::new()
        }
        Overlay::Decide(mut strip) => match strip.key(key) {
            DecideReply::Stay => {
                model.overlay = Overlay::Decide(strip);
                Vec::new()
            }
            DecideReply::Cancel => {
                model.say("cancelled, nothing was decided");
                Vec::new()
            }
            DecideReply::Send(decision) => {
                let server = strip.server;
                model.overlay = Overlay::Decide(strip);
                model.send_decision(server, *decision)
            }
        },
        Overlay::Run(dialog) => {
            model.in_run_dialog(*dialog, key);
            Vec::new()
        }
        Overlay::Labels(dialog) => {
            model.in_label_dialog(*dialog, key);
            Vec::new()
        }
        Overlay::Results => in_results(model, key),
        Overlay::Palette(palette) => in_palette(model, palette, key),
        Overlay::Search => page::search_key(model, key),
        Overlay::Pick(picker) => {
            in_picker(model, picker, key);
            Vec::new()
        }
        Overlay::Saved(list) => model.in_saved_list(list, key),
        Overlay::SaveView(dialog) => model.in_save_dialog(dialog, key),
        Overlay::Copy => copy_menu(model, key),
        Overlay::Browse(pages) => super::jump::in_menu(model, pages, key),
        Overlay::Help(scroll) => {
            let end = help_end(model);
            let page = usize::try_from(model.page()).unwrap_or(1);
            let scroll = match key.code {
                KeyCode::Esc | KeyCode::Enter | KeyCode::Char('q' | '?') => return Vec::new(),
                KeyCode::Char('j') | KeyCode::Down => scroll + 1,
                KeyCode::Char('k') | KeyCode::Up => scroll.saturating_sub(1),
                KeyCode::PageDown | KeyCode::Char(' ') => scroll + page,
                KeyCode::PageUp => scroll.saturating_sub(page),
                KeyCode::Char('G') | KeyCode::End => end,
                KeyCode::Char('g') | KeyCode::Home => 0,
                _ => scroll,
            };
            model.overlay = Overlay::Help(scroll.min(end));
            Vec::new()
        }
    }
}

/// Pasted text goes into a field that takes text, and nowhere else.
pub(super) fn paste(model: &mut Model, text: &str) {
    model.wanted = None;
    if model.overlay == Overlay::Search {
        return page::search_paste(model, text);
    }
    match &mut model.overlay {
        Overlay::Filter => {
            model.filter.input.insert(text);
            model.apply_filter();
            model.end_completion();
        }
        Overlay::Strip(strip) => strip.paste(text),
        Overlay::Decide(strip) => strip.paste(text),
        Overlay::Palette(palette) => palette.input.insert(text),
        Overlay::Labels(dialog) => dialog.paste(text),
        Overlay::Pick(picker) => picker.input.insert(text),
        Overlay::SaveView(dialog) => dialog.name.insert(text),
        Overlay::None
        | Overlay::Grammar
        | Overlay::Search
        | Overlay::Copy
        | Overlay::Browse(_)
        | Overlay::Saved(_)
        | Overlay::Run(_)
        | Overlay::Results
        | Overlay::Help(_) => {}
    }
}

fn cancel(model: &mut Model) -> Vec<Command> {
    if model.wanted.take().is_some() {
        return Vec::new();
    }
    if model.overlay != Overlay::None {
        if model.overlay == Overlay::Filter {
            return model.leave_filter();
        }
        model.overlay = Overlay::None;
        return Vec::new();
    }
    let armed = model.quit_armed.take();
    if armed.is_some_and(|at| model.now.as_second() - at.as_second() <= QUIT_SECONDS) {
        return vec![Command::Quit];
    }
    model.quit_armed = Some(model.now);
    model.say("ctrl-c again quits");
    Vec::new()
}

fn normal(model: &mut Model, key: KeyEvent) -> Vec<Command> {
    if model.pending.sequence.is_empty()
        && let KeyCode::Char(digit) = key.code
        && key.modifiers.is_empty()
        && let Some(value) = digit.to_digit(10).and_then(|d| usize::try_from(d).ok())
        && (value > 0 || model.pending.count.is_some())
    {
        let count = model.pending.count.unwrap_or(0).saturating_mul(10).saturating_add(value);
        model.pending.count = Some(count.min(MAX_COUNT));
        return Vec::new();
    }
    if key.code == KeyCode::Enter && model.show_pending() {
        return Vec::new();
    }
    let name = actions::key_name(key);
    if name == "esc" && model.pending != Pending::default() {
        model.pending = Pending::default();
        return Vec::new();
    }
    let sequence = match model.pending.sequence.as_str() {
        "" => name,
        before => format!("{before} {name}"),
    };
    match model.settings.keymap.lookup(&sequence) {
        Lookup::Action(action) => {
            let count = std::mem::take(&mut model.pending).count;
            run(model, action, count)
        }
        Lookup::Prefix => {
            model.pending.sequence = sequence;
            Vec::new()
        }
        Lookup::Nothing => {
            model.pending = Pending::default();
            Vec::new()
        }
    }
}

/// Runs an action, whether a key or the palette asked for it.
#[expect(clippy::too_many_lines, reason = "one arm for each action")]
pub(super) fn run(model: &mut Model, action: Action, count: Option<usize>) -> Vec<Command> {
    let times = isize::try_from(count.unwrap_or(1)).unwrap_or(1);
    if let Some(commands) = page::run(model, action, times) {
        return commands;
    }
    if let Some(commands) = facets::run(model, action, times) {
        return commands;
    }
    if let Some(commands) = views::run(model, action, times) {
        return commands;
    }
    if model.must_ask(action) {
        return Vec::new();
    }
    if actions::find(action).is_some_and(|row| row.group == Group::Shape) {
        model.pane = Pane::Tree;
    }
    let by = |level: Level| vec![level];
    let page = model.page();
    match action {
        Action::Down => model.step(times),
        Action::Up => model.step(-times),
        Action::Top => model.go_to_end(false),
        Action::Bottom => model.go_to_end(true),
        Action::HalfPageDown => model.step(times * (page / 2).max(1)),
        Action::HalfPageUp => model.step(-times * (page / 2).max(1)),
        Action::PageDown => model.step(times * page),
        Action::PageUp => model.step(-times * page),
        Action::Fold => model.fold(),
        Action::Unfold => model.unfold(),
        Action::ToggleFold => model.toggle_fold(),
        Action::Centre => model.centre(),
        Action::FoldAll => model.folds.close_all(model.inventory.is_filtered()),
        Action::UnfoldAll => model.folds.open_all(model.inventory.is_filtered()),
        Action::Open => open(model),
        Action::Back => return back(model),
        Action::Mark => model.mark(count.unwrap_or(1)),
        Action::MarkRange => model.mark_range(),
        Action::MarkAll => model.mark_all(),
        Action::InvertMarks => model.inventory.invert_marks(),
        Action::NextPane => model.next_pane(true),
        Action::PreviousPane => model.next_pane(false),
        Action::Facets => model.toggle_facets(),
        Action::Palette => model.overlay = Overlay::Palette(Palette::new(&model.settings.themes)),
        Action::Filter => return model.edit_filter(),
        Action::Pin => model.pin(),
        Action::Freeze => model.freeze(),
        Action::Everything => model.show_everything(),
        Action::SavedViews => model.list_saved(),
        Action::SaveView => model.save_view(),
        Action::Problems => {
            model.filter.problems = !model.filter.problems;
            model.apply_filter();
        }
        Action::CopyName => return copy_name(model),
        Action::CopyMenu => {
            if model.host().is_some() {
                model.overlay = Overlay::Copy;
            } else {
                return copy_name(model);
            }
        }
        Action::Maintenance => model.maintenance(),
        Action::Undo => model.undo(false),
        Action::Redo => model.undo(true),
        Action::Approve => model.decide(true),
        Action::Deny => model.decide(false),
        Action::Run => return model.run_dialog(),
        Action::Labels => return model.label_dialog(None),
        Action::Repeat => return model.repeat(),
        Action::Changes => model.overlay = Overlay::Palette(Palette::of_changes()),
        Action::LastResult => {
            if model.writing.results.is_some() {
                model.overlay = Overlay::Results;
            } else {
                model.say("no order for several hosts has ended yet");
            }
        }
        Action::Arm => model.arm(),
        Action::Mouse => return model.give_mouse(),
        Action::Theme => return model.next_theme(),
        Action::Reconnect => {
            return model.reconnect();
        }
        Action::Help => model.overlay = Overlay::Help(0),
        Action::Cancel => return cancel(model),
        Action::Quit => return vec![Command::Quit],
        Action::Ssh => return model.ssh(),
        Action::Browser => return model.browse(),
        Action::ViewFleet => model.go_to(View::Fleet),
        Action::ViewMaintenance => model.go_to(View::Maintenance),
        Action::ViewRuns => model.go_to(View::Runs),
        Action::ViewProblems => model.go_to(View::Problems),
        Action::ViewCertificates => model.go_to(View::Certificates),
        Action::ViewSources => model.go_to(View::Sources),
        Action::ViewServers => model.go_to(View::Servers),
        Action::ViewJournal => model.go_to(View::Journal),
        Action::ViewChanges => model.go_to(View::Changes),
        Action::ViewBack => model.along(false),
        Action::ViewForward => model.along(true),
        Action::ViewLast => model.go_to_last(),
        Action::Describe => model.open_page(page::Kind::Describe),
        Action::Yaml => model.open_page(page::Kind::Yaml),
        Action::Events => model.open_page(page::Kind::Events),
        Action::History => model.open_page(page::Kind::History),
        Action::Explain => model.open_page(page::Kind::Explain),
        Action::Messages => model.open_page(page::Kind::Messages),
        Action::NextMatch | Action::PreviousMatch | Action::ManagedFields | Action::Save => {
            model.say("this is for pages: d describe, y YAML, E events, H history, X explain");
        }
        Action::ToggleTable => model.toggle_table(),
        Action::GroupDefault => model.group_by(model.default_group()),
        Action::GroupRegion => model.group_by(by(Level::Region)),
        Action::GroupCluster => model.group_by(by(Level::Cluster)),
        Action::GroupProvider => model.group_by(by(Level::Provider)),
        Action::GroupZone => model.group_by(by(Level::Zone)),
        Action::GroupRole => model.group_by(by(Level::Role)),
        Action::GroupTeam => model.group_by(by(Level::Team)),
        Action::GroupEnvironment => model.group_by(by(Level::Environment)),
        Action::GroupState => model.group_by(by(Level::State)),
        Action::GroupBy => model.pick(What::Levels),
        Action::Columns => model.pick(What::Columns),
        Action::ColumnLeft => model.choose_column(-times),
        Action::ColumnRight => model.choose_column(times),
        Action::Sort => model.sort(false),
        Action::InvertSort => model.sort(true),
        Action::Wide => model.widen(),
    }
    Vec::new()
}

/// The server has told who we are, or that it cannot: what waited for that is done now.
pub(super) fn go_on(model: &mut Model) -> Vec<Command> {
    match model.wanted.take() {
        Some(action) if model.overlay == Overlay::None => run(model, action, None),
        _ => Vec::new(),
    }
}

fn open(model: &mut Model) {
    match model.cursor {
        Some(NodeKey::Host(_)) => {
            model.show_detail();
        }
        Some(_) => model.toggle_fold(),
        None => {}
    }
}

/// One step back: an order on its way stops; then the detail pane, an error, the marks, the filter.
fn back(model: &mut Model) -> Vec<Command> {
    if let Some(commands) = model.stop() {
        return commands;
    }
    if model.detail.over || model.pane == Pane::Detail {
        model.detail.over = false;
        model.pane = Pane::Tree;
    } else if model.notice.as_ref().is_some_and(|n| n.error) {
        model.notice = None;
    } else if model.clear_marks() {
        model.say("no marks");
    } else if model.filter.is_loose() {
        model.clear_filter();
    } else {
        model.say(":q quits, or ctrl-c twice");
    }
    Vec::new()
}

/// The table of what came of an order.
fn in_results(model: &mut Model, key: KeyEvent) -> Vec<Command> {
    let Some(results) = model.writing.results.as_mut().filter(|_| key.modifiers.is_empty()) else {
        return Vec::new();
    };
    let last = results.lines.len().saturating_sub(1);
    match key.code {
        KeyCode::Esc | KeyCode::Char('q') => return Vec::new(),
        KeyCode::Char('r') => return model.retry(),
        KeyCode::Char('u') => {
            model.undo(false);
            return Vec::new();
        }
        KeyCode::Char('j') | KeyCode::Down => results.scroll = (results.scroll + 1).min(last),
        KeyCode::Char('k') | KeyCode::Up => results.scroll = results.scroll.saturating_sub(1),
        KeyCode::PageDown => results.scroll = (results.scroll + 10).min(last),
        KeyCode::PageUp => results.scroll = results.scroll.saturating_sub(10),
        KeyCode::Char('G') | KeyCode::End => results.scroll = last,
        KeyCode::Char('g') | KeyCode::Home => results.scroll = 0,
        _ => {}
    }
    model.overlay = Overlay::Results;
    Vec::new()
}

fn in_palette(model: &mut Model, mut palette: Palette, key: KeyEvent) -> Vec<Command> {
    match key.code {
        KeyCode::Esc => return Vec::new(),
        KeyCode::Enter => {
            let Some(found) = palette.chosen() else {
                model.fail(format!("there is no command \"{}\"", palette.input.text()));
                return Vec::new();
            };
            return match found.entry {
                Entry::Action(action) => run(model, action, None),
                Entry::Shape(what, text) => {
                    model.shape_by_text(what, &text);
                    Vec::new()
                }
                Entry::Theme(name) => model.want_theme(&name),
            };
        }
        KeyCode::Down | KeyCode::Tab => {
            palette.chosen = (palette.chosen + 1).min(palette.found().len().saturating_sub(1));
        }
        KeyCode::Up | KeyCode::BackTab => palette.chosen = palette.chosen.saturating_sub(1),
        _ => {
            if palette.input.key(key) {
                palette.chosen = 0;
            }
        }
    }
    model.overlay = Overlay::Palette(palette);
    Vec::new()
}

fn in_picker(model: &mut Model, mut picker: Box<Picker>, key: KeyEvent) {
    match picker.key(key) {
        Picked::Stay => model.overlay = Overlay::Pick(picker),
        Picked::Cancel => {}
        Picked::Done(chosen) => model.picked(picker.what, chosen.as_deref()),
    }
}

fn copy_name(model: &mut Model) -> Vec<Command> {
    let text = match &model.node() {
        Some(NodeKey::Group(path)) => path.name().to_owned(),
        Some(NodeKey::Host(_)) => match model.host() {
            Some(row) => row.name().to_owned(),
            None => return Vec::new(),
        },
        None => return Vec::new(),
    };
    vec![Command::Copy(text)]
}

/// What the copy menu offers: key, what it is, and the text for the host under the cursor; of YAML,
/// which is read when it is chosen, what says so.
pub fn copy_choices(model: &Model) -> Vec<(char, &'static str, Option<String>)> {
    let Some(row) = model.host() else { return Vec::new() };
    let address = row.address().map(ToOwned::to_owned);
    let ssh = model.ssh_words(row).ok().map(|words| {
        let words: Vec<String> = words.iter().map(|word| shell_word(word)).collect();
        words.join(" ")
    });
    let line = [
        row.name(),
        row.display(),
        row.phase().as_str(),
        row.region(),
        row.cluster(),
        row.address().unwrap_or_default(),
    ];
    // The menu is about one host, but a limit about all that are marked and shown.
    let (marked, _) = model.inventory.marked_rows();
    let limit: Vec<&str> = marked.iter().map(|row| row.name()).collect();
    let limit = if limit.is_empty() { row.name().to_owned() } else { limit.join(",") };
    vec![
        ('n', "name", Some(row.name().to_owned())),
        ('d', "display name", Some(row.display().to_owned())),
        ('a', "address", address),
        ('s', "ssh command", ssh),
        ('p', "provider id", row.provider_id().map(ToOwned::to_owned)),
        ('r', "row", Some(line.join("\t"))),
        ('j', "row as JSON", Some(row_as_json(model, row))),
        ('y', "YAML", Some(String::new())),
        ('l', "Ansible --limit", Some(limit)),
    ]
}

/// What the row shows, and the labels, as one JSON object.
fn row_as_json(model: &Model, row: &HostRow) -> String {
    let labels: BTreeMap<&str, &str> = model.inventory.labels(row).collect();
    let holders: Vec<&str> = row.holds().iter().map(|hold| &*hold.holder).collect();
    let value = serde_json::json!({
        "name": row.name(), "namespace": row.namespace(), "display": row.display(),
        "uid": row.uid().as_str(), "state": row.phase().as_str(), "health": row.health().as_str(),
        "region": row.region(), "cluster": row.cluster(), "role": row.role(), "team": row.team(),
        "environment": row.environment(), "address": row.address(),
        "providerID": row.provider_id(), "held": holders,
        "run": row.run_state().map(RunState::as_str), "labels": labels,
    });
    value.to_string()
}

/// One word of a shell command: object text never becomes shell syntax. None of it is at the begin
/// of a word with a dash.
fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%_+=:,./-".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

fn copy_menu(model: &mut Model, key: KeyEvent) -> Vec<Command> {
    if matches!(key.code, KeyCode::Esc | KeyCode::Char('q')) {
        return Vec::new();
    }
    let KeyCode::Char(letter) = key.code else {
        model.overlay = Overlay::Copy;
        return Vec::new();
    };
    if letter == 'y'
        && let Some(row) = model.host()
    {
        let at = Place {
            server: row.uid().server(),
            kind: Kind::Host,
            namespace: row.namespace().to_owned(),
            name: row.name().to_owned(),
        };
        return vec![Command::CopyObject(at)];
    }
    match copy_choices(model).into_iter().find(|(key, ..)| *key == letter) {
        Some((_, _, Some(text))) => vec![Command::Copy(text)],
        Some((_, what, None)) => {
            model.fail(format!("this host has no {what}"));
            Vec::new()
        }
        None => {
            model.overlay = Overlay::Copy;
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_text_is_one_shell_word() {
        assert_eq!(shell_word("10.0.0.1"), "10.0.0.1");
        assert_eq!(shell_word("a; rm -rf /"), "'a; rm -rf /'");
        assert_eq!(shell_word("it's"), r"'it'\''s'");
        assert_eq!(shell_word("-l"), "-l");
        assert_eq!(shell_word(""), "''");
    }
}
