//! The configuration as the explorer takes it in: checked against its themes and its actions, and
//! laid over for one context.

use std::path::{Path, PathBuf};

use super::keymap::Keymap;
use super::terminal::Abilities;
use super::theme::Theme;
use crate::config::check::{self, Wrong};
use crate::config::{self, AUTO, Config, Overrides, Read};
use crate::error::{self, Result};

/// Where the configuration comes from.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// The file that was named.
    pub file: Option<PathBuf>,
    /// What the command line says.
    pub overrides: Overrides,
}

/// What is in force in a context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configured {
    /// The configuration, laid over.
    pub config: Config,
    /// The keys.
    pub keymap: Keymap,
    /// The context is marked as production.
    pub production: bool,
    /// Of several servers what is in force for the hosts of each, in their order.
    pub own: Vec<Own>,
}

/// What is in force for the hosts of one of several servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    /// The configuration, laid over for its context.
    pub config: Config,
    /// The context is marked as production.
    pub production: bool,
}

/// How themes are found and made to fit the terminal.
#[derive(Clone, Debug)]
pub struct Looks {
    /// What the terminal can show.
    pub abilities: Abilities,
    /// Its background is dark; none: nobody knows.
    pub dark: Option<bool>,
    /// What [`AUTO`] takes on a dark and on a light background.
    pub pair: (String, String),
    /// Where a person's own themes are.
    pub folder: Option<PathBuf>,
}

impl Looks {
    /// The theme of this name, fit for the terminal.
    ///
    /// # Errors
    /// There is none, or its file is malformed.
    pub fn find(&self, name: &str) -> Result<Theme> {
        let (dark, light) = &self.pair;
        let found = match name {
            AUTO if !self.abilities.true_colour => "terminal",
            AUTO if self.dark == Some(false) => light,
            AUTO => dark,
            name => name,
        };
        let theme = Theme::load(found, self.folder.as_deref())?.at(self.abilities.depth);
        Ok(if self.abilities.no_colour { theme.without_colour() } else { theme })
    }
}

/// Reads a configuration with everything that the explorer needs of it.
///
/// # Errors
/// Everything that is wrong, in the order of the file.
pub fn parse(read: &Read, themes: Option<&Path>) -> std::result::Result<Config, Vec<Wrong>> {
    let config = read.parse()?;
    let text = read.text.as_deref().unwrap_or_default();
    let mut wrong = Vec::new();
    let contexts = config.contexts.iter().filter_map(|(name, context)| {
        Some((vec!["contexts", name.as_str(), "theme"], context.theme.as_deref()?))
    });
    let named = [
        (vec!["theme"], config.theme.as_str()),
        (vec!["theme-dark"], config.theme_dark.as_str()),
        (vec!["theme-light"], config.theme_light.as_str()),
    ];
    for (path, name) in named.into_iter().chain(contexts) {
        let auto = name == AUTO && path.last() == Some(&"theme");
        if !auto && let Err(problem) = Theme::load(name, themes) {
            let (line, column) = check::find(text, &path);
            let hint = problem.next_step().unwrap_or_default().to_owned();
            wrong.push(Wrong { line, column, what: error::chain(&problem), hint });
        }
    }
    if let Err(problems) = Keymap::new(&config.keys) {
        wrong.extend(problems.into_iter().map(|problem| {
            let (line, column) = check::find(text, &["keys", &problem.name]);
            Wrong { line, column, what: problem.what, hint: problem.hint }
        }));
    }
    wrong.sort_by_key(|wrong| (wrong.line, wrong.column));
    if wrong.is_empty() { Ok(config) } else { Err(wrong) }
}

/// Reads the file that is given, or the default one.
///
/// # Errors
/// The file cannot be read, or everything that is wrong with it.
pub fn load(file: Option<&Path>) -> Result<Config> {
    let read = config::read(file)?;
    match parse(&read, config::themes_folder().as_deref()) {
        Ok(config) => Ok(config),
        Err(wrong) => {
            read.refuse(&wrong)?;
            Ok(Config::default())
        }
    }
}

impl Configured {
    /// What a checked configuration means in a context.
    pub fn new(config: Config, context: &str, overrides: &Overrides) -> Self {
        let config = config.in_context(context, overrides);
        let keymap = Keymap::new(&config.keys).unwrap_or_default();
        let production = config.is_production(context);
        Self { config, keymap, production, own: Vec::new() }
    }

    /// The same for a screen with the hosts of several contexts, which is in none of them.
    pub fn of_several(config: &Config, contexts: &[String], overrides: &Overrides) -> Self {
        let own = |context: &String| {
            let Self { config, production, .. } = Self::new(config.clone(), context, overrides);
            Own { config, production }
        };
        let own = contexts.iter().map(own).collect();
        Self { own, ..Self::new(config.clone(), "", overrides) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::theme::{Depth, Role};

    fn read(text: &str) -> Read {
        Read { path: Some("/x/config.toml".into()), text: Some(text.to_owned()) }
    }

    #[test]
    fn themes_and_keys_are_checked_with_their_places() {
        let text = "theme = \"nigth\"\ntheme-dark = \"auto\"\n[keys]\nrun = [\"space\", \"j\"]\nnope = []\n[contexts.a]\ntheme = \"dayy\"\n";
        let wrong = parse(&read(text), None).unwrap_err();
        let told: Vec<String> =
            wrong.iter().map(|w| format!("{}:{} {}", w.line, w.column, w.what)).collect();
        assert_eq!(
            told,
            [
                "1:9 there is no theme \"nigth\"",
                "2:14 there is no theme \"auto\"",
                "4:7 \"space\" is pressed by the way, and this action changes something",
                "4:7 \"j\" moves the cursor, and this action changes something",
                "5:8 there is no action \"nope\"",
                "7:9 there is no theme \"dayy\"",
            ]
        );
        assert!(wrong.iter().all(|wrong| !wrong.hint.is_empty()));
        assert!(parse(&read("theme = \"auto\"\n[contexts.a]\ntheme = \"auto\"\n"), None).is_ok());
    }

    #[test]
    fn a_context_stands_above_the_file_and_the_command_line_above_both() {
        let text = "theme = \"day\"\nfilter = \"web\"\nssh = \"ssh {name}\"\nread-only = true\n[browser]\naws = false\n[contexts.prod]\ntheme = \"dusk\"\nproduction = true\nread-only = false\nfilter = \"db\"\nnamespace = \"p\"\nssh = [\"mosh\", \"{name}\"]\nprotected-labels = [\"a=b\"]\nbrowser = { wiki = \"https://w/{name}\", ibm-vpc = false }\n";
        let config = parse(&read(text), None).unwrap();
        let over = Overrides { filter: Some("mine".into()), ..Overrides::default() };
        let other = Configured::new(config.clone(), "test", &over);
        assert_eq!((other.config.theme.as_str(), other.production), ("day", false));
        assert!(other.config.read_only && other.config.filter.as_deref() == Some("mine"));
        let prod = Configured::new(config.clone(), "prod", &Overrides::default());
        assert_eq!((prod.config.theme.as_str(), prod.production), ("dusk", true));
        assert!(!prod.config.read_only);
        assert_eq!(prod.config.filter.as_deref(), Some("db"));
        assert_eq!(prod.config.namespace.as_deref(), Some("p"));
        assert_eq!(prod.config.ssh.words().next().as_deref(), Some("mosh"));
        assert_eq!(prod.config.maintenance.protected_labels, ["a=b"]);
        let links: Vec<&str> = prod.config.browser.keys().map(String::as_str).collect();
        assert_eq!(links, ["ibm-bare-metal", "ibm-classic", "wiki"]);
        let over = Overrides { read_only: true, theme: Some("clear".into()), ..over };
        let both = Configured::new(config, "prod", &over).config;
        assert!(both.read_only && both.theme == "clear" && both.filter.as_deref() == Some("mine"));
    }

    #[test]
    fn auto_follows_the_background_where_there_is_colour_enough() {
        let mut looks = Looks {
            abilities: Abilities::read(|name| (name == "COLORTERM").then(|| "truecolor".into())),
            dark: None,
            pair: ("dusk".into(), "paper".into()),
            folder: None,
        };
        let name = |looks: &Looks| looks.find(AUTO).unwrap().name;
        assert_eq!(name(&looks), "dusk");
        looks.dark = Some(true);
        assert_eq!(name(&looks), "dusk");
        looks.dark = Some(false);
        assert_eq!(name(&looks), "paper");
        looks.abilities.true_colour = false;
        assert_eq!(name(&looks), "terminal");
        assert_eq!(looks.find("night").unwrap().name, "night");
        looks.abilities.no_colour = true;
        assert!(looks.find("night").unwrap().style(Role::Ok).fg.is_none());
        looks.abilities = Abilities { depth: Depth::Sixteen, no_colour: false, ..looks.abilities };
        assert_eq!(
            looks.find("night").unwrap().style(Role::Ok),
            Theme::load("terminal", None).unwrap().style(Role::Ok)
        );
        assert!(looks.find("nope").is_err());
    }
}
