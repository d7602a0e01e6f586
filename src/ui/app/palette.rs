//! The palette: any action or theme by name, found fuzzily.

use fuzzy_matcher::FuzzyMatcher;
use fuzzy_matcher::skim::SkimMatcherV2;

use super::input::Input;
use super::shaping::Typed;
use crate::ui::actions::{ACTIONS, Action, Needs};
use crate::ui::guide::{self, Topic};

/// What an entry of the palette does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Runs an action.
    Action(Action),
    /// Switches to a theme.
    Theme(String),
    /// Opens the guide at the heading that is this block of it.
    Topic(usize),
    /// Groups, sorts or chooses columns by what was typed behind the word for it.
    Shape(Typed, String),
}

/// One entry that matches what is typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What it does.
    pub entry: Entry,
    /// Its name.
    pub name: String,
    /// What it does, for people.
    pub help: String,
    /// Which characters of the name matched.
    pub matched: Vec<usize>,
}

/// An open palette.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Palette {
    /// What is typed.
    pub input: Input,
    /// Which of the found entries is chosen.
    pub chosen: usize,
    /// Only actions that change something.
    pub changes: bool,
    /// Only the headings of the guide.
    pub topics: bool,
    /// Names of the themes.
    pub themes: Vec<String>,
}

impl Palette {
    /// A palette of everything, with these themes.
    pub fn new(themes: &[String]) -> Self {
        Self { themes: themes.to_vec(), ..Self::default() }
    }

    /// A palette of the actions that change something.
    pub fn of_changes() -> Self {
        Self { changes: true, ..Self::default() }
    }

    /// The headings of the guide.
    pub fn of_topics() -> Self {
        Self { topics: true, ..Self::default() }
    }

    /// The entries that match, best first; all of them while nothing is typed.
    pub fn found(&self) -> Vec<Found> {
        let typed = self.input.text().trim();
        let typed = match typed {
            "q" | "q!" | "quit" | "exit" => "quit",
            other => other,
        };
        if self.topics {
            return topics(typed);
        }
        // `help` alone is an action, and the headings stand below it.
        let about = typed.strip_prefix("help").filter(|_| !self.changes);
        if let Some(about) = about.filter(|about| about.starts_with(' ')) {
            return topics(about);
        }
        if let Some(found) = shape(typed).filter(|_| !self.changes) {
            return vec![found];
        }
        let skim = SkimMatcherV2::default().ignore_case();
        let actions = ACTIONS
            .iter()
            .filter(|row| !self.changes || row.needs != Needs::Nothing)
            .map(|row| (Entry::Action(row.action), row.name.to_owned(), row.help.to_owned()));
        let themes = self.themes.iter().filter(|_| !self.changes).map(|name| {
            (Entry::Theme(name.clone()), format!("theme {name}"), "Switch to this theme".to_owned())
        });
        let mut found: Vec<(i64, Found)> = actions
            .chain(themes)
            .filter_map(|(entry, name, help)| {
                let (score, matched) = if typed.is_empty() {
                    (0, Vec::new())
                } else {
                    skim.fuzzy_indices(&name, typed)?
                };
                let score = if name == typed { i64::MAX } else { score };
                Some((score, Found { entry, name, help, matched }))
            })
            .collect();
        found.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
        let found = found.into_iter().map(|(_, found)| found);
        found
            .chain(about.filter(|about| about.is_empty()).map(topics).unwrap_or_default())
            .collect()
    }

    /// The chosen entry.
    pub fn chosen(&self) -> Option<Found> {
        self.found().into_iter().nth(self.chosen)
    }
}

/// The headings of the guide that a word means.
fn topics(wanted: &str) -> Vec<Found> {
    let entry = |topic: &Topic| Found {
        entry: Entry::Topic(topic.block),
        name: format!("help {}", topic.word),
        help: topic.title.clone(),
        matched: Vec::new(),
    };
    guide::guide().about(wanted).into_iter().map(entry).collect()
}

/// What `group region,rack`, `sort -age` and `columns state,label:rack` mean.
fn shape(typed: &str) -> Option<Found> {
    let (word, text) = typed.split_once(' ')?;
    let (_, what) = Typed::WORDS.iter().find(|(known, _)| *known == word)?;
    let text = text.trim().to_owned();
    let help = what.problem(&text).unwrap_or_else(|| match what {
        Typed::Group => "Group the tree by these".to_owned(),
        Typed::Sort => "Sort the table by this".to_owned(),
        Typed::Columns => "Show these columns".to_owned(),
    });
    let name = format!("{word} {text}");
    Some(Found { entry: Entry::Shape(*what, text), name, help, matched: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(typed: &str) -> Entry {
        let themes = ["auto".to_owned(), "day".to_owned(), "mine".to_owned()];
        Palette { input: Input::new(typed), ..Palette::new(&themes) }.chosen().unwrap().entry
    }

    #[test]
    fn names_are_found_by_a_few_letters() {
        assert_eq!(first("q"), Entry::Action(Action::Quit));
        assert_eq!(first("maint"), Entry::Action(Action::Maintenance));
        assert_eq!(first("theme day"), Entry::Theme("day".into()));
        assert_eq!(first("theme mine"), Entry::Theme("mine".into()));
        assert_eq!(first("undo"), Entry::Action(Action::Undo));
        assert!(Palette { input: Input::new("zzzz"), ..Palette::default() }.chosen().is_none());
        let changes = Palette::of_changes().found();
        assert!(changes.iter().any(|found| found.entry == Entry::Action(Action::Run)));
        assert!(changes.iter().all(|found| found.entry != Entry::Action(Action::Quit)));
        assert_eq!(Palette::default().found().len(), ACTIONS.len());
    }

    #[test]
    fn help_leads_to_the_guide_and_to_what_it_is_about() {
        assert_eq!(first("help"), Entry::Action(Action::Guide));
        let named = |typed: &str| {
            let palette = Palette { input: Input::new(typed), ..Palette::default() };
            palette.found().first().map(|found| found.name.clone())
        };
        assert_eq!(named("help filter").as_deref(), Some("help filter"));
        assert_eq!(named("help und").as_deref(), Some("help undo"));
        assert_eq!(named("help nothing like that"), None);
        let all = Palette::of_topics().found();
        assert!(all.len() > 10 && all.iter().all(|found| matches!(found.entry, Entry::Topic(_))));
        let more = Palette { input: Input::new("help"), ..Palette::default() }.found();
        assert!(all.iter().all(|topic| more.contains(topic)), "help lists them too");
    }
}
