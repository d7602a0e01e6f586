//! Completion in the filter line: names of fields, keys and values of labels, with how many hosts
//! have them. What there is to choose from is counted when a word of another kind begins, not for
//! every key.

use std::collections::BTreeMap;
use std::ops::Range;

use super::Model;
use super::input::Input;
use crate::model::filter::complete::{Wanted, fields, quoted, spot, words_of};
use crate::model::filter::is_meant;
use crate::model::inventory::Inventory;

/// Most candidates that can be chosen from.
const MAX: usize = 200;

/// Something that can stand where the cursor is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// What is put into the line.
    pub text: String,
    /// How many hosts have it, where that says something.
    pub count: Option<usize>,
    /// It is only the begin of a term: a value is to follow.
    pub goes_on: bool,
}

/// What can be chosen from, and what is chosen.
#[derive(Clone, Debug, Default)]
pub struct Completion {
    /// What fits, the best first.
    pub items: Vec<Candidate>,
    /// How many more fit.
    pub more: usize,
    /// The one that stands in the line now.
    pub chosen: Option<usize>,
    /// The line before anything was chosen.
    typed: Input,
    /// Bytes of it that a candidate takes the place of.
    pub at: Range<usize>,
    counted: Option<Counted>,
}

/// Everything that there is of one kind.
#[derive(Clone, Debug)]
struct Counted {
    kind: Kind,
    all: Vec<Candidate>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Word,
    Label(String),
    Field(String),
}

impl Kind {
    fn of(wanted: Wanted<'_>) -> Self {
        match wanted {
            Wanted::Word => Self::Word,
            Wanted::Label(key) => Self::Label(key.to_owned()),
            Wanted::Field(name) => Self::Field(name.to_owned()),
        }
    }

    /// Everything of this kind in the fleet. O(labels of the fleet).
    fn count(&self, inventory: &Inventory) -> Vec<Candidate> {
        let value = |(value, count): (&str, usize)| Candidate {
            text: quoted(value),
            count: Some(count),
            goes_on: false,
        };
        match self {
            Self::Word => words(inventory),
            Self::Label(key) => inventory.label_values(key).into_iter().map(value).collect(),
            Self::Field(name) => {
                let known = words_of(name);
                if known.is_empty() && name != "ip" && name != "name" {
                    return inventory.label_values(name).into_iter().map(value).collect();
                }
                let counts = word_counts(inventory, name);
                let candidate = |text: String| {
                    let count = counts.get(&text).copied().unwrap_or(0);
                    Candidate { text, count: Some(count), goes_on: false }
                };
                known.into_iter().map(candidate).collect()
            }
        }
    }
}

/// Names of fields and keys of labels. Of a key its part behind the `/` is offered, which means
/// every label that ends in it.
fn words(inventory: &Inventory) -> Vec<Candidate> {
    let mut keys: BTreeMap<&str, usize> = BTreeMap::new();
    for (key, count) in inventory.label_keys() {
        let short = key.rsplit_once('/').map_or(key, |(_, name)| name);
        let place = keys.entry(short).or_default();
        *place = (*place).max(count);
    }
    let keys = keys.into_iter().map(|(key, count)| Candidate {
        text: format!("{key}="),
        count: Some(count),
        goes_on: true,
    });
    let fields = fields().map(|(name, sign)| Candidate {
        text: format!("{name}{sign}"),
        count: None,
        goes_on: true,
    });
    fields.chain(keys).collect()
}

/// How many hosts each word of a field finds.
fn word_counts(inventory: &Inventory, field: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let mut add = |word: &str| *counts.entry(word.to_lowercase()).or_insert(0) += 1;
    for row in inventory.rows() {
        match field {
            "state" => {
                let (phase, health) = (row.phase().as_str(), row.health().as_str());
                add(phase);
                // A word that is a phase and a health at once counts once.
                if !phase.eq_ignore_ascii_case(health) {
                    add(health);
                }
                add(row.service_state().as_str());
            }
            "run" => add(row.run_state().map_or("none", |state| state.as_str())),
            "maintenance" => add(if row.in_maintenance() { "on" } else { "off" }),
            _ => return BTreeMap::new(),
        }
    }
    counts
}

impl Completion {
    /// What was typed, without what is chosen.
    fn close(&mut self) {
        self.items.clear();
        self.more = 0;
        self.chosen = None;
    }

    /// The candidate that stands in the line.
    pub fn standing(&self) -> Option<&Candidate> {
        self.items.get(self.chosen?)
    }

    /// Looks for what fits at the cursor; `empty`: also where nothing of a word is typed yet.
    fn look(&mut self, line: &Input, inventory: &Inventory, empty: bool) {
        self.close();
        let (before, _) = line.halves();
        let Some(spot) = spot(line.text(), before.len()) else { return };
        if spot.typed.is_empty() && spot.wanted == Wanted::Word && !empty {
            return;
        }
        let kind = Kind::of(spot.wanted);
        if self.counted.as_ref().is_none_or(|counted| counted.kind != kind) {
            let all = kind.count(inventory);
            self.counted = Some(Counted { kind, all });
        }
        let Some(counted) = &self.counted else { return };
        let typed = spot.typed.to_lowercase();
        let rank = |candidate: &Candidate| {
            let text = candidate.text.to_lowercase();
            let name = text.trim_end_matches(['=', ':', '<', '>']);
            let same = spot.wanted == Wanted::Word && is_meant(&typed, name);
            match text.find(&typed) {
                Some(0) => Some(0),
                _ if same => Some(1),
                Some(_) => Some(2),
                None => None,
            }
        };
        let mut found: Vec<(u8, &Candidate)> =
            counted.all.iter().filter_map(|one| Some((rank(one)?, one))).collect();
        // Hosts without a value to show for it stand last.
        found.sort_by(|(a, one), (b, other)| {
            a.cmp(b)
                .then_with(|| other.count.cmp(&one.count))
                .then_with(|| one.text.cmp(&other.text))
        });
        self.more = found.len().saturating_sub(MAX);
        let fits = found.into_iter().take(MAX).map(|(_, one)| one.clone());
        self.items = fits.collect();
        if let [only] = self.items.as_slice()
            && only.text == spot.typed
        {
            self.close();
        }
        self.at = spot.at;
        self.typed = line.clone();
    }

    /// The line with the next candidate, or the one before, in it; none if nothing fits.
    fn choose(&mut self, forward: bool) -> Option<Input> {
        let last = self.items.len().checked_sub(1)?;
        let next = match (self.chosen, forward) {
            (None, true) => 0,
            (None, false) => last,
            (Some(at), true) => {
                if at >= last {
                    0
                } else {
                    at + 1
                }
            }
            (Some(at), false) => at.checked_sub(1).unwrap_or(last),
        };
        self.chosen = Some(next);
        let mut line = self.typed.clone();
        line.replace(self.at.clone(), &self.items.get(next)?.text);
        Some(line)
    }
}

impl Model {
    /// Looks for what fits behind what was typed last.
    pub(super) fn complete(&mut self, empty: bool) {
        let line = self.filter.input.clone();
        self.filter.completion.look(&line, &self.inventory, empty);
    }

    /// Puts the next candidate, or the one before, into the line.
    pub(super) fn choose_candidate(&mut self, forward: bool) {
        if self.filter.completion.items.is_empty() {
            self.complete(true);
        }
        let Some(line) = self.filter.completion.choose(forward) else { return };
        self.filter.input = line;
        // A key without its value is no filter yet: the one in force stays.
        if self.filter.completion.standing().is_some_and(|one| !one.goes_on) {
            self.apply_filter();
        }
    }

    /// Keeps what is chosen, or else the first that fits, and goes on behind it. False if nothing
    /// fits.
    pub(super) fn take_candidate(&mut self) -> bool {
        if self.filter.completion.chosen.is_none() {
            if self.filter.completion.items.is_empty() {
                return false;
            }
            self.choose_candidate(true);
        }
        let goes_on = self.filter.completion.standing().is_some_and(|one| one.goes_on);
        self.complete(false);
        if !goes_on {
            self.filter.completion.close();
        }
        true
    }

    /// Brings back what was typed before something was chosen. False if nothing is.
    pub(super) fn unchoose(&mut self) -> bool {
        if self.filter.completion.chosen.is_none() {
            return false;
        }
        self.filter.input = self.filter.completion.typed.clone();
        self.filter.completion.close();
        self.apply_filter();
        true
    }

    /// Closes the list, and forgets what was counted for it.
    pub(super) fn end_completion(&mut self) {
        self.filter.completion = Completion::default();
    }
}
