//! The mouse: it selects, folds, scrolls and presses hints, and nothing that the keyboard cannot do.
//! It never confirms anything. One key gives it back to the terminal.

use ratatui::crossterm::event::{
    KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};
use ratatui::layout::Position;

use super::views::{Move, View};
use super::{Model, Overlay, Pane, keys};
use crate::model::key::NodeKey;
use crate::ui::actions::Action;
use crate::ui::msg::Command;
use crate::ui::view::hint_at;

/// Lines of one notch of the wheel.
const NOTCH: usize = 3;

impl Model {
    /// Takes the mouse from the terminal, or gives it back.
    pub(super) fn give_mouse(&mut self) -> Vec<Command> {
        self.mouse = !self.mouse;
        self.say(if self.mouse {
            "the mouse is ours: it selects, scrolls, presses hints"
        } else {
            "the mouse is the terminal's: it selects text"
        });
        vec![Command::Mouse(self.mouse)]
    }
}

/// Takes what the mouse did.
pub(super) fn mouse(model: &mut Model, event: MouseEvent) -> Vec<Command> {
    let at = Position { x: event.column, y: event.row };
    match event.kind {
        MouseEventKind::ScrollDown => wheel(model, at, true),
        MouseEventKind::ScrollUp => wheel(model, at, false),
        MouseEventKind::Down(MouseButton::Left) => click(model, at),
        _ => Vec::new(),
    }
}

fn wheel(model: &mut Model, at: Position, down: bool) -> Vec<Command> {
    let lines = isize::try_from(NOTCH).unwrap_or(1);
    let lines = if down { lines } else { -lines };
    match model.overlay {
        // Its keys bring back filters of before, and close the grammar.
        Overlay::Filter => {
            model.step(lines);
            return Vec::new();
        }
        Overlay::Grammar => return Vec::new(),
        _ => {}
    }
    if !matches!(model.overlay, Overlay::None | Overlay::Search) {
        // What lies over the list scrolls by its own keys.
        let code = if down { KeyCode::Down } else { KeyCode::Up };
        return keys::key(model, KeyEvent::new(code, KeyModifiers::NONE));
    }
    let areas = model.areas();
    if model.page.is_none() && areas.detail.contains(at) && model.pane == Pane::Tree {
        model.scroll_detail(lines);
        return Vec::new();
    }
    let action = if down { Action::Down } else { Action::Up };
    keys::run(model, action, Some(NOTCH))
}

fn click(model: &mut Model, at: Position) -> Vec<Command> {
    if model.overlay != Overlay::None {
        return Vec::new();
    }
    model.wanted = None;
    model.pending = keys::Pending::default();
    let areas = model.areas();
    if areas.footer.contains(at) {
        return match hint_at(model, areas.footer, at.x) {
            Some(action) => keys::run(model, action, None),
            None => Vec::new(),
        };
    }
    if model.page.is_some() {
        return Vec::new();
    }
    if areas.detail.contains(at) {
        model.pane = Pane::Detail;
    } else if areas.rows.contains(at) {
        model.pane = Pane::Tree;
        select(model, usize::from(at.y - areas.rows.y), areas.rows.height);
    }
    Vec::new()
}

/// The cursor goes to a line of the screen; a group that it is on already opens or closes.
fn select(model: &mut Model, line: usize, height: u16) {
    if model.views.now != View::Fleet || model.in_table() {
        return model.go_in_list(Move::OnScreen(line));
    }
    let Some(top) = model.top.clone() else { return };
    let lines = model.inventory.window(&model.folds, &top, usize::from(height));
    let Some(key) = lines.get(line).map(crate::model::inventory::Line::key) else { return };
    drop(lines);
    if model.cursor.as_ref() == Some(&key) && !matches!(key, NodeKey::Host(_)) {
        model.toggle_fold();
    }
    model.cursor = Some(key);
}
