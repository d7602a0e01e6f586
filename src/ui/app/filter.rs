//! The filter line: what is typed, what it means, and what is wrong with it.

use ratatui::crossterm::event::{KeyCode, KeyEvent};

use super::Model;
use super::Overlay;
use super::complete::Completion;
use super::input::Input;
use crate::journal::filters;
use crate::model::filter::complete::is_literal;
use crate::model::filter::{Filter, ParseError};
use crate::ui::actions::Action;
use crate::ui::msg::Command;

/// How many words of a wrong filter are tried without.
const LAST_WORDS: usize = 16;

/// The filter line.
#[derive(Clone, Debug, Default)]
pub struct FilterLine {
    /// What is typed.
    pub input: Input,
    /// Only hosts with a problem.
    pub problems: bool,
    /// What is wrong with it; meanwhile its beginning is in force as far as that is right.
    pub error: Option<ParseError>,
    /// The filter in force.
    pub filter: Option<Filter>,
    /// A pass over the fleet goes on.
    pub running: bool,
    /// What was typed when editing began; Esc brings it back.
    pub before: String,
    /// A filter that stays, whatever else is chosen; may be empty.
    pub pinned: String,
    /// What could stand at the cursor.
    pub completion: Completion,
    /// Filters that were typed before.
    pub past: Past,
}

/// Filters that were typed before.
#[derive(Clone, Debug, Default)]
pub struct Past {
    /// The latest first; none until they were read.
    known: Option<Vec<String>>,
    /// Which one stands in the line.
    at: Option<usize>,
}

impl FilterLine {
    pub(super) fn new(text: &str) -> Self {
        Self { input: Input::new(text), ..Self::default() }
    }

    /// Whether what is typed next stands within quotes or in a regular expression.
    fn is_literal(&self) -> bool {
        let (before, _) = self.input.halves();
        is_literal(self.input.text(), before.len())
    }

    /// Whether anything is filtered or typed.
    pub fn active(&self) -> bool {
        self.is_loose() || !self.pinned.is_empty()
    }

    /// Whether anything is filtered or typed that is not pinned.
    pub fn is_loose(&self) -> bool {
        self.problems || !self.input.text().trim().is_empty()
    }
}

impl Model {
    /// Reads what is typed and begins a pass over the fleet.
    pub(super) fn apply_filter(&mut self) {
        let typed = self.filter.input.text().trim();
        // An error is shown where it stands in what was typed, without the part added here.
        let error = if typed.is_empty() { None } else { Filter::parse(typed).err() };
        let right = if error.is_some() { right_beginning(typed) } else { typed };
        let text = self.whole_filter(right);
        self.filter.error = error;
        let filter = if text.is_empty() { None } else { Filter::parse(&text).ok() };
        self.inventory.set_filter(filter.clone(), self.now);
        self.filter.filter = filter;
        self.filter.running = true;
    }

    /// The filter that is in force with this text on the line.
    pub(super) fn whole_filter(&self, typed: &str) -> String {
        let problems = if self.filter.problems { PROBLEMS } else { "" };
        all_of([&self.filter.pinned, typed, problems])
    }

    /// Clears everything but what is pinned.
    pub(super) fn clear_filter(&mut self) {
        self.filter.input = Input::default();
        self.filter.problems = false;
        self.apply_filter();
        if !self.filter.pinned.is_empty() {
            let text = format!("what is pinned stays: {} takes it off", self.key(Action::Pin));
            self.say(text);
        }
    }

    /// Puts the line's filter in the place of all that is not pinned.
    pub(super) fn set_filter_text(&mut self, text: &str) {
        self.filter.input = Input::new(text);
        self.filter.problems = false;
        self.apply_filter();
    }

    /// Pins what is filtered, so that it stays in every view; without anything that is not pinned
    /// yet, takes the pin off and gives the filter back to the line.
    pub(super) fn pin(&mut self) {
        if self.filter.is_loose() {
            let problems = if self.filter.problems { PROBLEMS } else { "" };
            self.filter.pinned =
                all_of([self.filter.pinned.as_str(), self.filter.input.text().trim(), problems]);
            self.filter.input = Input::default();
            self.filter.problems = false;
            let key = self.key(Action::Pin);
            self.say(format!("pinned: this filter stays in every view until {key} takes it off"));
        } else if self.filter.pinned.is_empty() {
            let text =
                format!("there is no filter to pin: {} begins one", self.key(Action::Filter));
            return self.say(text);
        } else {
            self.filter.input = Input::new(std::mem::take(&mut self.filter.pinned));
            self.say("not pinned any more");
        }
        self.apply_filter();
    }

    /// The filter line gets the keys.
    pub(super) fn edit_filter(&mut self) -> Vec<Command> {
        self.filter.before = self.filter.input.text().to_owned();
        self.overlay = Overlay::Filter;
        if self.filter.past.known.is_none() { vec![Command::ReadFilters] } else { Vec::new() }
    }

    /// The filters that were typed before have been read.
    pub(super) fn filters_read(&mut self, filters: Vec<String>) {
        self.filter.past.known.get_or_insert(filters);
    }

    /// Puts the filter before into the line, or the one after it.
    pub(super) fn past_filter(&mut self, older: bool) {
        let past = &mut self.filter.past;
        let known = past.known.as_deref().unwrap_or_default();
        let next = match (past.at, older) {
            (None, true) => Some(0),
            (None, false) => None,
            (Some(at), true) => Some((at + 1).min(known.len().saturating_sub(1))),
            (Some(at), false) => at.checked_sub(1),
        };
        let text = next.and_then(|at| known.get(at)).cloned();
        past.at = next.filter(|_| text.is_some());
        if text.is_some() || !older {
            self.filter.input = Input::new(text.unwrap_or_default());
            self.apply_filter();
        }
    }

    /// Whether the line shows a filter that was typed before.
    pub(super) fn is_in_past(&self) -> bool {
        self.filter.past.at.is_some()
    }

    /// The line has been left with a filter that was typed: it is remembered.
    fn remember_filter(&mut self) -> Vec<Command> {
        let text = self.filter.input.text().trim().to_owned();
        if text.is_empty() || text == self.filter.before {
            return Vec::new();
        }
        if let Some(known) = &mut self.filter.past.known {
            known.retain(|line| *line != text);
            known.insert(0, text.clone());
            known.truncate(filters::MAX);
        }
        vec![Command::KeepFilter(text)]
    }

    /// Closes the filter line and keeps what is typed. A filter that is wrong does not stay on the
    /// line: what is shown is what is in force.
    pub(super) fn leave_filter(&mut self) -> Vec<Command> {
        self.end_completion();
        self.filter.past.at = None;
        self.overlay = Overlay::None;
        if let Some(error) = self.filter.error.take() {
            self.fail(format!("filter not changed: {error}"));
            self.filter.input = Input::new(self.filter.before.clone());
            self.apply_filter();
            return Vec::new();
        }
        self.remember_filter()
    }

    /// Closes the filter line and brings back what stood there before.
    fn give_up_filter(&mut self) {
        self.end_completion();
        self.filter.past.at = None;
        self.filter.input = Input::new(self.filter.before.clone());
        self.apply_filter();
        self.overlay = Overlay::None;
    }
}

/// A key in the filter line.
pub(super) fn key(model: &mut Model, key: KeyEvent) -> Vec<Command> {
    model.overlay = Overlay::Filter;
    let listed = !model.filter.completion.items.is_empty();
    match key.code {
        KeyCode::Enter => {
            if model.filter.completion.standing().is_some_and(|one| one.goes_on) {
                model.take_candidate();
                return Vec::new();
            }
            return model.leave_filter();
        }
        KeyCode::Esc => {
            if !model.unchoose() {
                model.give_up_filter();
            }
        }
        KeyCode::Tab => model.choose_candidate(true),
        KeyCode::BackTab => model.choose_candidate(false),
        KeyCode::Down | KeyCode::Up if listed => model.choose_candidate(key.code == KeyCode::Down),
        KeyCode::Down | KeyCode::Up
            if model.is_in_past() || model.filter.input.text().is_empty() =>
        {
            model.past_filter(key.code == KeyCode::Up);
        }
        KeyCode::Down => model.step(1),
        KeyCode::Up => model.step(-1),
        KeyCode::Right if model.filter.input.is_at_end() && model.take_candidate() => {}
        // In a regular expression it is a sign like any other.
        KeyCode::Char('?') if !model.filter.is_literal() => model.overlay = Overlay::Grammar,
        _ => {
            if model.filter.input.key(key) {
                model.filter.past.at = None;
                model.apply_filter();
                model.complete(false);
            }
        }
    }
    Vec::new()
}

/// The beginning of a filter without the words that make it wrong: a word that is not finished yet
/// hides nothing. A long filter is not read for each of its words.
fn right_beginning(typed: &str) -> &str {
    let spaces = typed.match_indices(' ').rev().take(LAST_WORDS);
    let beginnings = spaces.filter_map(|(at, _)| typed.get(..at)).map(str::trim_end);
    beginnings
        .filter(|text| !text.is_empty())
        .find(|text| Filter::parse(text).is_ok())
        .unwrap_or_default()
}

/// One filter of several texts, which all must hold.
fn all_of(parts: [&str; 3]) -> String {
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    match parts.as_slice() {
        [] => String::new(),
        [one] => (*one).to_owned(),
        more => more.iter().map(|part| format!("({part})")).collect::<Vec<_>>().join(" "),
    }
}

/// The filter that [`FilterLine::problems`] adds.
const PROBLEMS: &str = "state:bad,warning";
