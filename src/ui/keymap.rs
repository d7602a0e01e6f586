//! The keys in force: those of the one table of actions, with those of the configuration in their
//! place.

use std::collections::BTreeMap;

use super::actions::{ACTIONS, Action, ActionRow, Group, Lookup, Needs, parse_key};

/// Which keys mean which action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keymap {
    /// Keys of each row of the table, in its order. A space separates the keys of a sequence.
    keys: Vec<Vec<String>>,
}

/// What is wrong with the keys of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyProblem {
    /// The name under `[keys]`.
    pub name: String,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub hint: String,
}

impl Default for Keymap {
    fn default() -> Self {
        let own = |row: &ActionRow| row.keys.iter().map(|key| (*key).to_owned()).collect();
        Self { keys: ACTIONS.iter().map(own).collect() }
    }
}

/// A key that always cancels: whatever hangs or is open, it must work.
const CANCEL: &str = "ctrl-c";

impl Keymap {
    /// The table with these keys by the names of actions; an empty list leaves an action none.
    ///
    /// # Errors
    /// Everything that is wrong: unknown actions and keys, a key twice or that begins another one,
    /// and keys that are not safe.
    pub fn new(own: &BTreeMap<String, Vec<String>>) -> Result<Self, Vec<KeyProblem>> {
        let mut map = Self::default();
        let mut problems = Vec::new();
        for (name, keys) in own {
            let mut problem = |what: String, hint: String| {
                problems.push(KeyProblem { name: name.clone(), what, hint });
            };
            let place = ACTIONS.iter().position(|row| row.name == name);
            let Some((row, slot)) =
                place.and_then(|at| Some((ACTIONS.get(at)?, map.keys.get_mut(at)?)))
            else {
                let near = nearest(name).map(|near| format!("did you mean \"{near}\"? "));
                let hint = format!("{}README.md and ? list the actions", near.unwrap_or_default());
                problem(format!("there is no action \"{name}\""), hint);
                continue;
            };
            let mut chosen = Vec::new();
            for key in keys {
                match safe(row, key) {
                    Ok(key) => chosen.push(key),
                    Err((what, hint)) => problem(what, hint),
                }
            }
            if row.action == Action::Cancel && !chosen.iter().any(|key| key == CANCEL) {
                chosen.push(CANCEL.to_owned());
            }
            *slot = chosen;
        }
        problems.extend(map.conflicts(own));
        if problems.is_empty() { Ok(map) } else { Err(problems) }
    }

    /// Keys that mean two things, told at an action whose keys are the person's own.
    fn conflicts(&self, own: &BTreeMap<String, Vec<String>>) -> Vec<KeyProblem> {
        let all: Vec<(&ActionRow, &str)> = self
            .rows()
            .flat_map(|(row, keys)| keys.iter().map(move |key| (row, key.as_str())))
            .collect();
        let mut problems = Vec::new();
        for (n, (row, key)) in all.iter().enumerate() {
            for (other, taken) in all.iter().skip(n + 1) {
                let begins =
                    |a: &str, b: &str| b.strip_prefix(a).is_some_and(|rest| rest.starts_with(' '));
                let what = if key == taken && row.action == other.action {
                    format!("\"{key}\" stands there twice")
                } else if key == taken {
                    format!("\"{key}\" is the key of {} and of {}", row.name, other.name)
                } else if begins(key, taken) {
                    format!("\"{key}\" of {} begins \"{taken}\" of {}", row.name, other.name)
                } else if begins(taken, key) {
                    format!("\"{taken}\" of {} begins \"{key}\" of {}", other.name, row.name)
                } else {
                    continue;
                };
                let named = |row: &&ActionRow| own.contains_key(row.name);
                let name = if named(row) { row.name } else { other.name };
                let rest = if named(row) { other.name } else { row.name };
                let hint = if row.action == other.action {
                    "once is enough".to_owned()
                } else {
                    format!("take another key, or give {rest} others: {rest} = [\"...\"], or []")
                };
                problems.push(KeyProblem { name: name.to_owned(), what, hint });
            }
        }
        problems
    }

    /// The rows of the table with the keys in force.
    pub fn rows(&self) -> impl Iterator<Item = (&'static ActionRow, &[String])> {
        ACTIONS.iter().zip(self.keys.iter().map(Vec::as_slice))
    }

    /// The keys of an action.
    pub fn keys(&self, action: Action) -> &[String] {
        self.rows().find(|(row, _)| row.action == action).map_or(&[], |(_, keys)| keys)
    }

    /// The first key of an action as people read it; of one that has none, its name after a colon.
    pub fn shown(&self, action: Action) -> String {
        match self.keys(action).first() {
            Some(key) => shown(key),
            None => {
                super::actions::find(action).map_or_else(String::new, |r| format!(":{}", r.name))
            }
        }
    }

    /// A text in which `{key:maintenance}` stands for the first key of the action of that name, and
    /// `{keys:down}` for all of them, with the keys in their places.
    pub fn fill(&self, text: &str) -> String {
        self.fill_with(text, " ")
    }

    /// The same with this text between the keys of one action.
    pub(super) fn fill_with(&self, text: &str, between: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{key") {
            out.push_str(before);
            let found = after.split_once('}').and_then(|(what, after)| {
                let (all, name) = what.split_once(':')?;
                let row = ACTIONS.iter().find(|row| row.name == name)?;
                let keys = self.keys(row.action).iter().map(|key| shown(key));
                let keys: Vec<String> = match all {
                    "s" => keys.collect(),
                    "" => keys.take(1).collect(),
                    _ => return None,
                };
                let none = keys.is_empty().then(|| self.shown(row.action));
                Some((none.unwrap_or_else(|| keys.join(between)), after))
            });
            let (keys, after) = found.unwrap_or_else(|| ("{key".to_owned(), after));
            out.push_str(&keys);
            rest = after;
        }
        out + rest
    }

    /// Looks a sequence of keys up, keys separated by spaces.
    pub fn lookup(&self, sequence: &str) -> Lookup {
        let mut prefix = false;
        for (row, keys) in self.rows() {
            for key in keys {
                if key == sequence {
                    return Lookup::Action(row.action);
                }
                prefix |= key.strip_prefix(sequence).is_some_and(|rest| rest.starts_with(' '));
            }
        }
        if prefix { Lookup::Prefix } else { Lookup::Nothing }
    }
}

/// A key as people read it: sequences without blanks.
pub fn shown(key: &str) -> String {
    key.replace(' ', "")
}

/// Whether an action may have a key: the key with single blanks, or what is wrong and a hint.
fn safe(row: &ActionRow, key: &str) -> Result<String, (String, String)> {
    let chords: Vec<&str> = key.split_whitespace().collect();
    let wrong = |what: &str, hint: &str| Err((format!("\"{key}\" {what}"), hint.to_owned()));
    if chords.is_empty() || chords.iter().any(|chord| parse_key(chord).is_none()) {
        return wrong(
            "is no key",
            "keys are single characters and names such as enter, tab, space, f2, ctrl-d; a space makes a sequence",
        );
    }
    let key = chords.join(" ");
    if row.keys.contains(&key.as_str()) {
        return Ok(key);
    }
    let digit = |chord: &&str| matches!(chord.as_bytes(), [b'1'..=b'9']);
    if chords.first().is_some_and(digit) {
        return wrong("is a count before a motion", "take another key");
    }
    if chords.contains(&CANCEL) {
        return wrong("always cancels", "take another key");
    }
    if chords.iter().rev().skip(1).any(|chord| *chord == "esc") {
        return wrong("is a sequence that esc breaks off", "take another key");
    }
    if row.needs == Needs::Nothing && row.action != Action::Arm {
        return Ok(key);
    }
    let hint = "an action that changes something needs a key that nobody presses by the way";
    let last = chords.last().copied().unwrap_or_default();
    if chords.iter().any(|chord| chord.starts_with("ctrl-")) {
        return wrong("has ctrl, and this action changes something", hint);
    }
    if matches!(last, "enter" | "space" | "tab" | "backtab" | "esc" | "backspace") {
        return wrong("is pressed by the way, and this action changes something", hint);
    }
    if last == "y" {
        return wrong("confirms changes, and this action opens one", hint);
    }
    if moves(last) {
        return wrong("moves the cursor, and this action changes something", hint);
    }
    Ok(key)
}

/// Whether a key moves the cursor by default.
fn moves(chord: &str) -> bool {
    ACTIONS
        .iter()
        .filter(|row| {
            row.group == Group::Move || matches!(row.action, Action::Fold | Action::Unfold)
        })
        .flat_map(|row| row.keys.iter().flat_map(|key| key.split(' ')))
        .any(|key| key == chord)
}

/// The action whose name is nearest, if one is near.
fn nearest(name: &str) -> Option<&'static str> {
    let near = ACTIONS.iter().map(|row| (distance(name, row.name), row.name)).min()?;
    (near.0 <= 2).then_some(near.1)
}

/// How many letters must be put in, left out or changed to make one text of the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut line: Vec<usize> = (0..=b.len()).collect();
    for (n, x) in a.chars().enumerate() {
        let mut next = vec![n + 1];
        for (m, y) in b.iter().enumerate() {
            let at = |line: &[usize], m: usize| line.get(m).copied().unwrap_or(usize::MAX / 2);
            let change = at(&line, m) + usize::from(x != *y);
            next.push(change.min(at(&line, m + 1) + 1).min(at(&next, m) + 1));
        }
        line = next;
    }
    line.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(text: &str) -> Result<Keymap, Vec<KeyProblem>> {
        Keymap::new(&toml::from_str(text).unwrap())
    }

    #[test]
    fn own_keys_stand_in_place_of_the_default_ones() {
        let map = made("maintenance = [\"K\", \"g  m\"]\nrepeat = []\nproblems = [\"f2\"]\nopen = [\"ctrl-y\", \"enter\"]").unwrap();
        assert_eq!(map.keys(Action::Maintenance), ["K", "g m"]);
        assert_eq!(map.lookup("g m"), Lookup::Action(Action::Maintenance));
        assert_eq!(map.lookup("m"), Lookup::Nothing);
        assert_eq!(map.lookup("g"), Lookup::Prefix);
        assert_eq!(map.lookup("g g"), Lookup::Action(Action::Top));
        assert_eq!(map.lookup("."), Lookup::Nothing);
        assert_eq!(map.lookup("f2"), Lookup::Action(Action::Problems));
        assert_eq!(
            (map.shown(Action::Maintenance), map.shown(Action::Repeat)),
            ("K".into(), ":repeat".into())
        );
        assert_eq!(made("cancel = []").unwrap().keys(Action::Cancel), [CANCEL]);
    }

    #[test]
    fn keys_stand_in_a_text_by_their_actions() {
        let map = made("maintenance = [\"K\"]\nundo = []").unwrap();
        let text =
            "{key:maintenance} {keys:down} {key:undo} {key:view-fleet} {key:none} {keyed:up} {key";
        assert_eq!(map.fill(text), "K j down :undo vf {key:none} {keyed:up} {key");
    }

    #[test]
    fn the_keys_of_what_is_explained_are_those_of_actions() {
        let source = include_str!("../model/explain.rs");
        let names: Vec<&str> =
            source.split("{key:").skip(1).filter_map(|rest| rest.split('}').next()).collect();
        assert!(names.len() > 10, "{names:?}");
        for name in names {
            assert!(ACTIONS.iter().any(|row| row.name == name), "{name}");
        }
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let problems = made(
            "maintenence = [\"M\"]\nhelp = [\"entr\"]\nrun = [\"ctrl-x\", \"space\", \"j\", \"g G\", \"y\"]\nundo = [\"P\"]\nfilter = [\"g\"]\nmark = [\"5\"]\nredo = [\"R\", \"R\"]\narm = [\"enter\"]\ncopy-name = [\"ctrl-c\"]",
        )
        .unwrap_err();
        let said: Vec<String> =
            problems.iter().map(|p| format!("{}: {} ({})", p.name, p.what, p.hint)).collect();
        for wanted in [
            "maintenence: there is no action \"maintenence\" (did you mean \"maintenance\"?",
            "help: \"entr\" is no key",
            "run: \"ctrl-x\" has ctrl",
            "run: \"space\" is pressed by the way",
            "run: \"j\" moves the cursor",
            "run: \"g G\" moves the cursor",
            "run: \"y\" confirms changes",
            "undo: \"P\" is the key of problems and of undo (take another key, or give problems others",
            "filter: \"g\" of filter begins \"g g\" of top",
            "mark: \"5\" is a count",
            "redo: \"R\" stands there twice",
            "arm: \"enter\" is pressed by the way",
            "copy-name: \"ctrl-c\" always cancels",
        ] {
            assert!(
                said.iter().any(|said| said.contains(wanted)
                    || wanted.contains(" of filter begins") && said.contains("begins \"g g\"")),
                "{wanted}\n{said:#?}"
            );
        }
        assert!(made("").unwrap() == Keymap::default());
    }

    #[test]
    fn a_key_of_the_table_is_always_safe() {
        for row in ACTIONS {
            for key in row.keys {
                assert!(safe(row, key).is_ok(), "{}: {key}", row.name);
            }
        }
        assert_eq!((distance("kitten", "sitting"), distance("", "ab")), (3, 2));
    }
}
