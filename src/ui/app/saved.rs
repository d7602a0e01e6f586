//! Saved views: shown by a digit or from their list, saved under a name. The files are read and
//! written outside; here is what they had.

use ratatui::crossterm::event::{KeyCode, KeyEvent};

use super::input::Input;
use super::{Model, Overlay, View};
use crate::config::views::{Edit, KnownView, SavedView, check_name};
use crate::model::shape::Shape;
use crate::ui::msg::Command;

/// The saved views.
#[derive(Clone, Debug, Default)]
pub struct Saved {
    /// All that are known: one's own, then the shared ones.
    pub known: Vec<KnownView>,
    /// Name of the one that was shown last.
    shown: Option<String>,
}

/// The list of saved views.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SavedList {
    /// Name of the one under the cursor.
    pub at: Option<String>,
    /// It is to be removed if the next key is `y`.
    pub removing: bool,
}

/// What is asked for before a view is saved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SaveDialog {
    /// The name.
    pub name: Input,
    /// The digit that is to show it.
    pub key: Option<u8>,
    /// Why it cannot be saved so.
    pub problem: Option<String>,
}

impl Saved {
    fn with_key(&self, key: usize) -> Option<&KnownView> {
        self.known.iter().find(|one| one.view.key.map(usize::from) == Some(key))
    }

    fn named(&self, name: &str) -> Option<&KnownView> {
        self.known.iter().find(|one| one.view.name == name)
    }

    fn place(&self, list: &SavedList) -> usize {
        let at = self.known.iter().position(|one| Some(&one.view.name) == list.at.as_ref());
        at.unwrap_or(0)
    }

    /// The digits that no view of one's own has, and this one.
    fn free(&self, but: Option<u8>) -> Vec<Option<u8>> {
        let own = self.known.iter().filter(|one| one.shared.is_none());
        let taken: Vec<u8> = own.filter_map(|one| one.view.key).collect();
        let free = (1..=9).filter(|key| Some(*key) == but || !taken.contains(key));
        std::iter::once(None).chain(free.map(Some)).collect()
    }

    /// The free digit behind this one; none behind the last.
    fn next_key(&self, key: Option<u8>) -> Option<u8> {
        let free = self.free(key);
        let at = free.iter().position(|one| *one == key).map_or(0, |at| at + 1);
        free.get(at).copied().flatten()
    }

    /// What the files have after a change of one's own views.
    fn set_own(&mut self, own: Vec<SavedView>) {
        let shared = std::mem::take(&mut self.known).into_iter().filter(|one| one.shared.is_some());
        let mut known: Vec<KnownView> =
            own.into_iter().map(|view| KnownView { view, shared: None }).collect();
        for mut one in shared {
            if known.iter().any(|other| other.view.name == one.view.name) {
                continue;
            }
            let free = |key: &u8| known.iter().all(|other| other.view.key != Some(*key));
            one.view.key = one.view.key.filter(free);
            known.push(one);
        }
        self.known = known;
    }
}

impl Model {
    /// The saved view that is shown, as long as nothing of it was changed.
    pub fn shown_view(&self) -> Option<&SavedView> {
        let view = &self.saved.named(self.saved.shown.as_deref()?)?.view;
        let same =
            view.filter == self.filter.input.text().trim() && self.shape_of(view) == *self.shape();
        (same && !self.filter.problems).then_some(view)
    }

    /// The shape of a saved view; where it says nothing of groups they are as usual here.
    fn shape_of(&self, view: &SavedView) -> Shape {
        let group = view.group.clone().unwrap_or_else(|| self.default_group());
        Shape { group, ..view.shape() }
    }

    /// The view that the digit typed so far shows, if it is to be a digit.
    pub fn pending_view(&self) -> Option<&SavedView> {
        let alone = self.pending.sequence.is_empty() && self.overlay == Overlay::None;
        let key = self.pending.count.filter(|_| alone)?;
        Some(&self.saved.with_key(key)?.view)
    }

    /// No key has come after the digit: it was no count. Also Enter behind it.
    pub(super) fn show_pending(&mut self) -> bool {
        let Some(view) = self.pending_view().cloned() else { return false };
        self.pending = super::keys::Pending::default();
        self.show_saved(&view);
        true
    }

    /// Shows a saved view. What is pinned stays in force.
    pub(super) fn show_saved(&mut self, view: &SavedView) {
        self.saved.shown = Some(view.name.clone());
        self.set_filter_text(&view.filter);
        self.set_shape(self.shape_of(view));
        self.go_to(View::Fleet);
        let pinned = if self.filter.pinned.is_empty() { "" } else { ", within what is pinned" };
        self.say(format!("view {}{pinned}", view.name));
        self.dirty = true;
    }

    /// Shows everything: no filter, and the shape as usual if a saved view had another.
    pub(super) fn show_everything(&mut self) {
        if self.saved.shown.take().is_some() {
            self.set_shape(Shape { group: self.default_group(), ..Shape::default() });
        }
        self.clear_filter();
    }

    /// Opens the list of saved views.
    pub(super) fn list_saved(&mut self) {
        let at = self.saved.shown.clone();
        self.overlay = Overlay::Saved(SavedList { at, removing: false });
    }

    /// Asks under which name what is shown is to be saved.
    pub(super) fn save_view(&mut self) {
        if self.filter.error.is_some() {
            return self.fail("the filter is wrong: mend it before it is saved");
        }
        let own = self.saved.shown.as_deref().and_then(|name| self.saved.named(name));
        let own = own.filter(|one| one.shared.is_none());
        let dialog = match own {
            Some(KnownView { view, .. }) => {
                SaveDialog { name: Input::new(&view.name), key: view.key, problem: None }
            }
            None => SaveDialog { key: self.saved.next_key(None), ..SaveDialog::default() },
        };
        self.overlay = Overlay::SaveView(dialog);
    }

    /// One's own views were written, or not.
    pub(super) fn views_edited(&mut self, result: Result<Vec<SavedView>, String>) {
        match result {
            Ok(own) => {
                self.saved.set_own(own);
                self.say("views.toml is written");
            }
            Err(problem) => self.fail(problem),
        }
    }

    /// A key in the dialog that saves.
    pub(super) fn in_save_dialog(&mut self, mut dialog: SaveDialog, key: KeyEvent) -> Vec<Command> {
        match key.code {
            KeyCode::Esc => {
                self.say("not saved");
                return Vec::new();
            }
            KeyCode::Tab => dialog.key = self.saved.next_key(dialog.key),
            KeyCode::Enter => match check_name(dialog.name.text()) {
                Ok(name) => {
                    let filter = self.filter.input.text().trim().to_owned();
                    let group = Some(self.shape().group.clone());
                    let group = group.filter(|group| *group != self.default_group());
                    let view = SavedView::new(&name, dialog.key, &filter, self.shape());
                    let view = SavedView { group, ..view };
                    self.saved.shown = Some(name);
                    return vec![Command::EditViews(Edit::Put(Box::new(view)))];
                }
                Err(problem) => dialog.problem = Some(problem),
            },
            _ => {
                dialog.name.key(key);
                dialog.problem = None;
            }
        }
        self.overlay = Overlay::SaveView(dialog);
        Vec::new()
    }

    /// A key in the list.
    pub(super) fn in_saved_list(&mut self, mut list: SavedList, key: KeyEvent) -> Vec<Command> {
        let place = self.saved.place(&list);
        let here = self.saved.known.get(place).cloned();
        // Only the one that was asked about: files may have changed since.
        let asked = here.as_ref().is_some_and(|one| Some(&one.view.name) == list.at.as_ref());
        let removing = std::mem::take(&mut list.removing) && asked;
        let mut go = |to: usize| {
            let end = self.saved.known.len().saturating_sub(1);
            list.at = self.saved.known.get(to.min(end)).map(|one| one.view.name.clone());
        };
        let mut commands = Vec::new();
        match (key.code, here) {
            (KeyCode::Esc | KeyCode::Char('q'), _) => return commands,
            (KeyCode::Char('y'), Some(one)) if removing => {
                commands.push(Command::EditViews(Edit::Remove(one.view.name)));
            }
            (KeyCode::Enter, Some(one)) => {
                self.show_saved(&one.view);
                return commands;
            }
            (KeyCode::Char(digit @ '1'..='9'), _) => {
                let key = digit.to_digit(10).and_then(|digit| usize::try_from(digit).ok());
                if let Some(view) = key.and_then(|key| self.saved.with_key(key)).cloned() {
                    self.show_saved(&view.view);
                    return commands;
                }
                self.say(format!("no view has the key {digit}"));
            }
            (KeyCode::Char('j') | KeyCode::Down, _) => go(place + 1),
            (KeyCode::Char('k') | KeyCode::Up, _) => go(place.saturating_sub(1)),
            (KeyCode::Char('s'), _) => {
                self.save_view();
                return commands;
            }
            (
                KeyCode::Char('d') | KeyCode::Delete | KeyCode::Tab,
                Some(KnownView { view, shared: Some(file) }),
            ) => {
                let file = file.display();
                self.say(format!("\"{}\" is shared: it is changed in {file}", view.name));
            }
            (KeyCode::Char('d') | KeyCode::Delete, Some(one)) => {
                list.at = Some(one.view.name);
                list.removing = true;
            }
            (KeyCode::Tab, Some(KnownView { mut view, .. })) => {
                view.key = self.saved.next_key(view.key);
                list.at = Some(view.name.clone());
                commands.push(Command::EditViews(Edit::Put(Box::new(view))));
            }
            _ => {}
        }
        self.overlay = Overlay::Saved(list);
        commands
    }
}
