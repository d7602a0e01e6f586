//! Chooses columns, or the levels of the tree: a list that is searched by typing, in which some are
//! on and stand first, in their order.

use fuzzy_matcher::FuzzyMatcher;
use fuzzy_matcher::skim::SkimMatcherV2;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::columns::{DISPLAY, SERVER};
use super::input::Input;
use super::shaping::not_kept;
use crate::model::column::{self, Column};
use crate::model::inventory::Inventory;
use crate::model::shape::{Level, Shape};

/// What is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Columns.
    Columns,
    /// Levels of the tree.
    Levels,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// As it is written.
    pub text: String,
    /// What it is.
    pub help: String,
    /// It is chosen.
    pub on: bool,
}

/// An open picker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picker {
    /// What it is for.
    pub what: What,
    /// What is typed.
    pub input: Input,
    /// Which of the found entries has the cursor.
    pub chosen: usize,
    /// Those that are on first.
    items: Vec<Item>,
    /// Something was switched or moved.
    touched: bool,
}

/// What a key led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Stay,
    Cancel,
    /// These, in this order; none: as at first.
    Done(Option<Vec<String>>),
}

impl Picker {
    fn new(what: What, on: Vec<String>, all: impl Iterator<Item = (String, String)>) -> Self {
        let known: Vec<(String, String)> = all.collect();
        let help = |text: &str| {
            let found = known.iter().find(|(known, _)| known == text);
            found.map_or_else(|| "no host has this label".to_owned(), |(_, help)| help.clone())
        };
        let mut items: Vec<Item> =
            on.into_iter().map(|text| Item { help: help(&text), text, on: true }).collect();
        for (text, help) in known {
            if !items.iter().any(|item| item.text == text) {
                items.push(Item { text, help, on: false });
            }
        }
        Self { what, input: Input::default(), chosen: 0, items, touched: false }
    }

    /// A picker of columns; these are shown. O(labels of the fleet).
    pub(super) fn of_columns(inventory: &Inventory, shown: &[Column], several: bool) -> Self {
        let fields =
            column::words().filter(|word| *word != DISPLAY && (several || *word != SERVER));
        let all = fields.map(|word| (word.to_owned(), "a field".to_owned()));
        let on = shown.iter().map(ToString::to_string).collect();
        Self::new(What::Columns, on, all.chain(of_labels(inventory)))
    }

    /// A picker of levels. O(labels of the fleet).
    pub(super) fn of_levels(inventory: &Inventory, shape: &Shape, several: bool) -> Self {
        let fields = Level::WORDS.iter().filter(|(word, _)| several || *word != SERVER);
        let all = fields.map(|(word, _)| ((*word).to_owned(), "a field".to_owned()));
        let on = shape.group.iter().map(ToString::to_string).collect();
        Self::new(What::Levels, on, all.chain(of_labels(inventory)))
    }

    /// The entries that match what is typed, best first, each with its number and the characters
    /// that match; while nothing is typed all of them in order.
    pub fn found(&self) -> Vec<(usize, &Item, Vec<usize>)> {
        let typed = self.input.text().trim();
        let all = self.items.iter().enumerate();
        if typed.is_empty() {
            return all.map(|(number, item)| (number, item, Vec::new())).collect();
        }
        let skim = SkimMatcherV2::default().ignore_case();
        let mut found: Vec<_> = all
            .filter_map(|(number, item)| {
                let (score, matched) = skim.fuzzy_indices(&item.text, typed)?;
                Some((score, (number, item, matched)))
            })
            .collect();
        found.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
        found.into_iter().map(|(_, found)| found).collect()
    }

    /// What is said of what is typed where no entry matches it.
    pub fn remark(&self) -> Option<String> {
        let typed = self.input.text().trim();
        if typed.is_empty() || !self.found().is_empty() {
            return None;
        }
        if self.what == What::Levels && typed.contains(',') {
            return Some(match Level::list(typed) {
                Ok(_) => "enter groups by these".to_owned(),
                Err(problem) => problem,
            });
        }
        Some(match self.read(typed) {
            Ok(text) => format!("no host has {text} · space takes it all the same"),
            Err(problem) => problem,
        })
    }

    /// The entry that a text stands for.
    fn read(&self, text: &str) -> Result<String, String> {
        if self.what == What::Levels {
            return text.parse::<Level>().map(|level| level.to_string());
        }
        let column: Column = text.parse()?;
        if column.is_kept() { Ok(column.to_string()) } else { Err(not_kept(&column)) }
    }

    fn on(&self) -> Vec<String> {
        self.items.iter().filter(|item| item.on).map(|item| item.text.clone()).collect()
    }

    /// Switches the entry under the cursor, or takes what is typed. It goes to the end of those
    /// that are on, or right behind them.
    fn switch(&mut self) {
        let number = self.found().get(self.chosen).map(|(number, ..)| *number);
        let item = match number {
            Some(number) => self.items.remove(number),
            None => match self.read(self.input.text().trim()) {
                Ok(text) => Item { text, help: "no host has this label".to_owned(), on: false },
                Err(_) => return,
            },
        };
        let on = !item.on;
        let item = Item { on, ..item };
        let end = self.items.iter().filter(|item| item.on).count();
        self.items.insert(end, item);
        self.touched = true;
        self.input = Input::default();
        // What is on can be moved at once; from what is off one goes on to the next.
        self.chosen = if on { end } else { number.unwrap_or(end) };
    }

    /// Moves the entry under the cursor among those that are on.
    fn carry(&mut self, down: bool) {
        let Some(number) = self.found().get(self.chosen).map(|(number, ..)| *number) else {
            return;
        };
        let other = number.saturating_add_signed(if down { 1 } else { -1 });
        let both_on = [number, other].iter().all(|at| self.items.get(*at).is_some_and(|i| i.on));
        if both_on && self.input.text().is_empty() {
            self.items.swap(number, other);
            self.chosen = other;
            self.touched = true;
        }
    }

    /// What Enter leads to.
    fn enter(&mut self) -> Reply {
        let typed = self.input.text().trim().to_owned();
        if typed.is_empty() {
            return Reply::Done(Some(self.on()));
        }
        if self.what == What::Columns {
            // One is found after the other, the empty line ends it.
            let off = self.found().get(self.chosen).is_none_or(|(_, item, _)| !item.on);
            if off {
                self.switch();
            }
            self.input = Input::default();
            return Reply::Stay;
        }
        if typed.contains(',') {
            return match Level::list(&typed) {
                Ok(levels) => Reply::Done(Some(levels.iter().map(ToString::to_string).collect())),
                Err(_) => Reply::Stay,
            };
        }
        let one = match self.found().get(self.chosen) {
            Some((_, item, _)) => item.text.clone(),
            None => match self.read(&typed) {
                Ok(text) => text,
                Err(_) => return Reply::Stay,
            },
        };
        let mut all = if self.touched { self.on() } else { Vec::new() };
        if !all.contains(&one) {
            all.push(one);
        }
        Reply::Done(Some(all))
    }

    pub(super) fn key(&mut self, key: KeyEvent) -> Reply {
        let shift = key.modifiers.contains(KeyModifiers::SHIFT);
        let last = self.found().len().saturating_sub(1);
        match key.code {
            KeyCode::Esc => return Reply::Cancel,
            KeyCode::Enter => return self.enter(),
            KeyCode::Char('r') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                return Reply::Done(None);
            }
            KeyCode::Char(' ') => self.switch(),
            KeyCode::Char('J') => self.carry(true),
            KeyCode::Char('K') => self.carry(false),
            KeyCode::Down if shift => self.carry(true),
            KeyCode::Up if shift => self.carry(false),
            KeyCode::Down | KeyCode::Tab => self.chosen = (self.chosen + 1).min(last),
            KeyCode::Up | KeyCode::BackTab => self.chosen = self.chosen.saturating_sub(1),
            KeyCode::PageDown => self.chosen = (self.chosen + 10).min(last),
            KeyCode::PageUp => self.chosen = self.chosen.saturating_sub(10),
            _ => {
                if self.input.key(key) {
                    self.chosen = 0;
                }
            }
        }
        Reply::Stay
    }
}

/// Every label with the number of hosts that have it.
fn of_labels(inventory: &Inventory) -> impl Iterator<Item = (String, String)> {
    inventory.label_keys().into_iter().map(|(key, count)| {
        let hosts = if count == 1 { "host" } else { "hosts" };
        (format!("label:{key}"), format!("{count} {hosts}"))
    })
}
