//! The filter line: what is typed, what it means, and what is wrong with it.

use super::Model;
use super::input::Input;
use crate::model::filter::{Filter, ParseError};

/// The filter line.
#[derive(Clone, Debug, Default)]
pub struct FilterLine {
    /// What is typed.
    pub input: Input,
    /// Only hosts with a problem.
    pub problems: bool,
    /// What is wrong with it; the last filter that was right stays in force meanwhile.
    pub error: Option<ParseError>,
    /// The filter in force.
    pub filter: Option<Filter>,
    /// A pass over the fleet goes on.
    pub running: bool,
    /// What was typed when editing began; Esc brings it back.
    pub before: String,
}

impl FilterLine {
    pub(super) fn new(text: &str) -> Self {
        Self { input: Input::new(text), ..Self::default() }
    }

    /// Whether anything is filtered or typed.
    pub fn active(&self) -> bool {
        self.problems || !self.input.text().trim().is_empty()
    }
}

impl Model {
    /// Reads what is typed and begins a pass over the fleet.
    pub(super) fn apply_filter(&mut self) {
        let typed = self.filter.input.text().trim();
        let text = match (typed.is_empty(), self.filter.problems) {
            (true, false) => String::new(),
            (true, true) => PROBLEMS.to_owned(),
            (false, false) => typed.to_owned(),
            (false, true) => format!("({typed}) {PROBLEMS}"),
        };
        // An error is shown where it stands in what was typed, without the part added here.
        self.filter.error = if typed.is_empty() { None } else { Filter::parse(typed).err() };
        if self.filter.error.is_some() {
            return;
        }
        let filter = if text.is_empty() { None } else { Filter::parse(&text).ok() };
        self.inventory.set_filter(filter.clone(), self.now);
        self.filter.filter = filter;
        self.filter.running = true;
    }

    pub(super) fn clear_filter(&mut self) {
        self.filter.input = Input::default();
        self.filter.problems = false;
        self.apply_filter();
    }
}

/// The filter that [`FilterLine::problems`] adds.
const PROBLEMS: &str = "state:bad,warning";
