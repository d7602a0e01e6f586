//! The configuration file, and where files of ours live.

pub mod check;
pub mod settings;
pub mod template;
pub mod views;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use directories::ProjectDirs;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use crate::error::{Error, Result};
use crate::model::change::{MAX_HOLD_SECONDS, MAX_REASON, MIN_REASON};
use crate::model::duration;
use crate::model::filter::Filter;
use crate::model::groups::Grouping;
use crate::model::host::AddressType;
use crate::model::hostvars::ADDRESSES;
use crate::model::selection::Include;
use check::Wrong;
use template::{CommandLine, Link, WrittenLink};

/// The configuration, every value checked. What each setting does is told in
/// [`settings::SETTINGS`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
#[expect(clippy::struct_excessive_bools, reason = "one for each setting, as the file has them")]
pub struct Config {
    /// Theme; [`AUTO`] follows the terminal.
    pub theme: String,
    /// What [`AUTO`] takes on a dark background.
    pub theme_dark: String,
    /// What [`AUTO`] takes on a light background.
    pub theme_light: String,
    /// Context of the kubeconfig, when the command line names none.
    pub context: Option<String>,
    /// Namespace of the hosts, when the command line names none. None watches all.
    pub namespace: Option<String>,
    /// Filter to begin with, when the command line names none.
    #[serde(deserialize_with = "filter")]
    pub filter: Option<String>,
    /// Begin with writing disarmed.
    pub read_only: bool,
    /// Contexts marked as production: they begin disarmed and say so in the header.
    pub production_contexts: Vec<String>,
    /// Draw with ASCII characters only.
    pub ascii: bool,
    /// Take the mouse from the terminal at the start; ctrl-g gives it back.
    pub mouse: bool,
    /// Nothing moves more often than twice a second while nobody types.
    pub reduced_motion: bool,
    /// How long `W` arms writing.
    #[serde(deserialize_with = "length")]
    #[schemars(with = "Length")]
    pub arm_for: Duration,
    /// What `s` runs and `Y s` copies.
    pub ssh: CommandLine,
    /// Files with saved views that are shared, beside one's own.
    pub views: Vec<String>,
    /// Keep the last known fleet on disk, to be shown at the next start.
    pub last_fleet: bool,
    /// What a maintenance begins with.
    pub maintenance: Maintenance,
    /// What an Ansible run is chosen from.
    pub ansible: Ansible,
    /// What `b` opens, by name.
    #[serde(deserialize_with = "all_links")]
    pub browser: BTreeMap<String, Link>,
    /// Keys of actions, instead of the default ones.
    pub keys: BTreeMap<String, Vec<String>>,
    /// What is different in one context of the kubeconfig.
    pub contexts: BTreeMap<String, Context>,
}

/// The theme that follows the terminal.
pub const AUTO: &str = "auto";

impl Default for Config {
    fn default() -> Self {
        Self {
            theme: AUTO.to_owned(),
            theme_dark: "night".to_owned(),
            theme_light: "day".to_owned(),
            context: None,
            namespace: None,
            filter: None,
            read_only: false,
            production_contexts: Vec::new(),
            ascii: false,
            mouse: true,
            reduced_motion: false,
            arm_for: Duration::from_mins(15),
            ssh: fixed(CommandLine::parse("ssh {address}")),
            views: Vec::new(),
            last_fleet: true,
            maintenance: Maintenance::default(),
            ansible: Ansible::default(),
            browser: built_in_links(),
            keys: BTreeMap::new(),
            contexts: BTreeMap::new(),
        }
    }
}

#[expect(clippy::expect_used, reason = "texts of this file, which a test reads")]
fn fixed<T>(read: std::result::Result<T, String>) -> T {
    read.expect("a template of ours")
}

fn built_in_links() -> BTreeMap<String, Link> {
    settings::SETTINGS
        .iter()
        .filter(|setting| setting.section == "browser" && setting.set)
        .filter_map(|setting| {
            let read: BTreeMap<String, WrittenLink> =
                toml::from_str(&format!("link = {}", setting.value)).ok()?;
            Some((setting.key.to_owned(), read.into_values().next()?.0?))
        })
        .collect()
}

/// What is different in one context; it stands above the rest of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Context {
    /// Theme.
    pub theme: Option<String>,
    /// Begin with writing disarmed.
    pub read_only: Option<bool>,
    /// Marked as production.
    pub production: bool,
    /// Filter to begin with.
    #[serde(deserialize_with = "filter")]
    pub filter: Option<String>,
    /// Namespace of the hosts.
    pub namespace: Option<String>,
    /// What `s` runs.
    pub ssh: Option<CommandLine>,
    /// More of what `b` opens.
    #[serde(deserialize_with = "links")]
    #[schemars(with = "BTreeMap<String, Link>")]
    pub browser: BTreeMap<String, Option<Link>>,
    /// Labels whose hosts need a reason typed by hand, instead of the general ones.
    #[serde(deserialize_with = "some_label_pairs")]
    pub protected_labels: Option<Vec<String>>,
}

/// What the command line says; it stands above the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Namespace of the hosts.
    pub namespace: Option<String>,
    /// Filter to begin with.
    pub filter: Option<String>,
    /// Theme.
    pub theme: Option<String>,
    /// Begin with writing disarmed.
    pub read_only: bool,
    /// Draw with ASCII characters only.
    pub ascii: bool,
}

impl Config {
    /// The configuration in force in a context: what the file says of that context is laid over
    /// the rest, and the command line over both.
    #[must_use]
    pub fn in_context(mut self, name: &str, over: &Overrides) -> Self {
        if let Some(context) = self.contexts.get(name).cloned() {
            self.theme = context.theme.unwrap_or(self.theme);
            self.read_only = context.read_only.unwrap_or(self.read_only);
            self.filter = context.filter.or(self.filter);
            self.namespace = context.namespace.or(self.namespace);
            self.ssh = context.ssh.unwrap_or(self.ssh);
            lay_over(&mut self.browser, context.browser);
            if let Some(labels) = context.protected_labels {
                self.maintenance.protected_labels = labels;
            }
            if context.production && !self.is_production(name) {
                self.production_contexts.push(name.to_owned());
            }
        }
        let Overrides { namespace, filter, theme, read_only, ascii } = over.clone();
        self.namespace = namespace.or(self.namespace);
        self.filter = filter.or(self.filter);
        self.theme = theme.unwrap_or(self.theme);
        self.read_only |= read_only;
        self.ascii |= ascii;
        self
    }

    /// Whether a context is marked as production.
    pub fn is_production(&self, context: &str) -> bool {
        self.production_contexts.iter().any(|name| name == context)
    }

    /// Names of the settings that are other in `new` and that an explorer which runs does not take
    /// in, in the context where both are in force.
    pub fn at_next_start(&self, new: &Self, context: &str) -> Vec<&'static str> {
        let mut names = Vec::new();
        for (differs, name) in [
            (self.context != new.context, "context"),
            (self.namespace != new.namespace, "namespace"),
            (self.filter != new.filter, "filter"),
            (self.theme_dark != new.theme_dark, "theme-dark"),
            (self.theme_light != new.theme_light, "theme-light"),
            (self.mouse != new.mouse, "mouse"),
            (self.views != new.views, "views"),
            (self.last_fleet != new.last_fleet, "last-fleet"),
            (self.read_only && !new.read_only, "read-only"),
            (self.is_production(context) && !new.is_production(context), "production-contexts"),
            (self.maintenance.has_more_protected_than(&new.maintenance), "protected-labels"),
        ] {
            if differs {
                names.push(name);
            }
        }
        names
    }
}

fn lay_over(links: &mut BTreeMap<String, Link>, more: BTreeMap<String, Option<Link>>) {
    for (name, link) in more {
        match link {
            Some(link) => links.insert(name, link),
            None => links.remove(&name),
        };
    }
}

/// What a maintenance begins with.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Maintenance {
    /// Length of a hold, at most 30 days.
    #[serde(rename = "for", deserialize_with = "hold_length")]
    #[schemars(with = "Length")]
    pub length: Duration,
    /// Reason of the first hold; later ones begin with the last reason.
    #[serde(deserialize_with = "reason")]
    #[schemars(length(min = 3, max = 256))]
    pub reason: String,
    /// Labels such as `inventory.inv-tui.dev/environment=prod` whose hosts need a reason typed by
    /// hand.
    #[serde(deserialize_with = "label_pairs")]
    #[schemars(inner(regex(pattern = "^[^=]+=")))]
    pub protected_labels: Vec<String>,
}

impl Maintenance {
    /// Whether it protects labels that `other` does not.
    pub fn has_more_protected_than(&self, other: &Self) -> bool {
        self.protected_labels.iter().any(|label| !other.protected_labels.contains(label))
    }

    /// Protects what `old` protects too.
    pub fn keep_protected(&mut self, old: &Self) {
        for label in &old.protected_labels {
            if !self.protected_labels.contains(label) {
                self.protected_labels.push(label.clone());
            }
        }
    }
}

impl Default for Maintenance {
    fn default() -> Self {
        Self {
            length: Duration::from_hours(4),
            reason: "maintenance".to_owned(),
            protected_labels: vec!["inventory.inv-tui.dev/environment=prod".to_owned()],
        }
    }
}

/// What an Ansible run is chosen from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Ansible {
    /// Playbooks that are offered for hosts whose Cluster offers none, relative to the place that
    /// the agents and runners have configured.
    pub playbooks: Vec<String>,
    /// What `--headless ansible-inventory` gives.
    pub inventory: AnsibleInventory,
}

/// What `--headless ansible-inventory` gives, where its options do not say otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct AnsibleInventory {
    /// Only hosts that this filter chooses.
    #[serde(deserialize_with = "filter")]
    pub filter: Option<String>,
    /// Hosts that are given although they take no part in service.
    #[serde(deserialize_with = "words")]
    #[schemars(with = "Vec<String>")]
    pub include: Vec<Include>,
    /// What groups are made of.
    #[serde(deserialize_with = "words")]
    #[schemars(with = "Vec<String>")]
    pub groups: Vec<Grouping>,
    /// Annotations that become variables; a `*` at the end stands for anything.
    pub annotations: Vec<String>,
    /// Kinds of addresses for `ansible_host`, the best first.
    pub addresses: Vec<AddressType>,
    /// How old an inventory may be that is given while the API server is away; `off`: none is kept.
    #[serde(deserialize_with = "word")]
    #[schemars(with = "String")]
    pub cache: MaxAge,
    /// An inventory without hosts is no error.
    pub allow_empty: bool,
}

impl Default for AnsibleInventory {
    fn default() -> Self {
        Self {
            filter: None,
            include: Vec::new(),
            groups: Grouping::usual(),
            annotations: Vec::new(),
            addresses: ADDRESSES.to_vec(),
            cache: MaxAge(Some(Duration::from_hours(4))),
            allow_empty: false,
        }
    }
}

/// How old something that is kept may be; none: nothing is kept. Written as a length, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxAge(pub Option<Duration>);

impl FromStr for MaxAge {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        if text == "off" {
            Ok(Self(None))
        } else {
            duration::parse(text).map(|age| Self(Some(age)))
        }
    }
}

/// The schema of a length such as `90m`.
struct Length;

impl JsonSchema for Length {
    fn schema_name() -> Cow<'static, str> {
        "Length".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^([0-9]+[smhdw])+$" })
    }
}

fn filter<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    if let Some(text) = &text {
        Filter::parse(text).map_err(|problem| {
            serde::de::Error::custom(format!("the filter \"{text}\" is malformed: {problem}"))
        })?;
    }
    Ok(text)
}

fn label_pairs<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Vec<String>, D::Error> {
    let labels = Vec::<String>::deserialize(deserializer)?;
    match labels.iter().find(|label| label.split_once('=').is_none_or(|(key, _)| key.is_empty())) {
        Some(label) => Err(serde::de::Error::custom(format!(
            "\"{label}\" is no label with a value, such as env=prod"
        ))),
        None => Ok(labels),
    }
}

fn some_label_pairs<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<Vec<String>>, D::Error> {
    label_pairs(deserializer).map(Some)
}

fn links<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<BTreeMap<String, Option<Link>>, D::Error> {
    let written = BTreeMap::<String, WrittenLink>::deserialize(deserializer)?;
    Ok(written.into_iter().map(|(name, link)| (name, link.0)).collect())
}

fn all_links<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<BTreeMap<String, Link>, D::Error> {
    let mut all = built_in_links();
    lay_over(&mut all, links(deserializer)?);
    Ok(all)
}

fn word<'de, D: Deserializer<'de>, T: FromStr<Err = String>>(
    deserializer: D,
) -> std::result::Result<T, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

/// Reads a list of words.
pub(crate) fn words<'de, D: Deserializer<'de>, T: FromStr<Err = String>>(
    deserializer: D,
) -> std::result::Result<Vec<T>, D::Error> {
    let words = Vec::<String>::deserialize(deserializer)?;
    words.iter().map(|word| word.parse().map_err(serde::de::Error::custom)).collect()
}

fn length<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    duration::parse(&text).map_err(serde::de::Error::custom)
}

fn hold_length<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Duration, D::Error> {
    let length = length(deserializer)?;
    if (1..=MAX_HOLD_SECONDS).contains(&length.as_secs()) {
        Ok(length)
    } else {
        Err(serde::de::Error::custom("a maintenance lasts at least 1s and at most 30d"))
    }
}

fn reason<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if (MIN_REASON..=MAX_REASON).contains(&text.trim().chars().count()) {
        Ok(text)
    } else {
        Err(serde::de::Error::custom("a reason has 3 to 256 characters"))
    }
}

fn folders() -> Option<ProjectDirs> {
    ProjectDirs::from("dev", "inv-tui", "inv-tui")
}

/// The file that is read when none is named, for example `~/.config/inv-tui/config.toml`.
pub fn default_file() -> Option<PathBuf> {
    folders().map(|dirs| dirs.config_dir().join("config.toml"))
}

/// Where a person's own themes are, for example `~/.config/inv-tui/themes`.
pub fn themes_folder() -> Option<PathBuf> {
    folders().map(|dirs| dirs.config_dir().join("themes"))
}

/// Where things are kept that can be had again, for example `~/.cache/inv-tui`.
pub fn cache_folder() -> Option<PathBuf> {
    folders().map(|dirs| dirs.cache_dir().to_owned())
}

/// Where the embedded server keeps its store, for example `~/.local/share/inv-tui`.
pub fn data_folder() -> Option<PathBuf> {
    folders().map(|dirs| dirs.data_local_dir().to_owned())
}

/// A configuration file that was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// Where it is; none: nobody knows where it would be.
    pub path: Option<PathBuf>,
    /// Its text; none: there is no file, and everything is by default.
    pub text: Option<String>,
}

impl Read {
    /// The configuration, or everything that is wrong with it.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(&self) -> std::result::Result<Config, Vec<Wrong>> {
        self.text.as_deref().map_or_else(|| Ok(Config::default()), check::parse)
    }

    /// What is wrong with it as one error.
    ///
    /// # Errors
    /// There is anything wrong.
    pub fn refuse(&self, wrong: &[Wrong]) -> Result<()> {
        check::whole(self.path.as_deref().unwrap_or_else(|| Path::new("-")), wrong)
    }
}

/// Looks at `file`, or at the default one where there is one.
///
/// # Errors
/// A named file that is not there, or a file that cannot be read.
pub fn read(file: Option<&Path>) -> Result<Read> {
    let (path, named) = match (file, default_file()) {
        (Some(path), _) => (path.to_owned(), true),
        (None, Some(path)) => (path, false),
        (None, None) => return Ok(Read::default()),
    };
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound && !named => None,
        Err(cause) => {
            return Err(Error::usage(format!(
                "cannot read configuration file \"{}\"",
                path.display()
            ))
            .because(cause)
            .hint("check the path given to --config or INV_TUI_CONFIG"));
        }
    };
    Ok(Read { path: Some(path), text })
}

/// Reads `file`, or the default one where there is one.
///
/// # Errors
/// A named file that is not there, or a file that cannot be read or is malformed; the text names
/// file, line and column, the offending word and the accepted ones.
pub fn load(file: Option<&Path>) -> Result<Config> {
    let read = read(file)?;
    match read.parse() {
        Ok(config) => Ok(config),
        Err(wrong) => {
            read.refuse(&wrong)?;
            Ok(Config::default())
        }
    }
}

/// A text that is not the TOML that was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {what}")]
pub struct Misread {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong there, on one line.
    pub what: String,
}

/// Reads TOML.
///
/// # Errors
/// What is wrong, and where.
pub fn from_toml<T: DeserializeOwned>(text: &str) -> Result<T, Misread> {
    toml::from_str(text).map_err(|cause: toml::de::Error| {
        let (line, column) = check::place(text, cause.span().map_or(0, |span| span.start));
        Misread { line, column, what: cause.message().replace('\n', " ") }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misread_text_says_where_on_one_line() {
        let why = from_toml::<Config>("\n  theme = 3\n").unwrap_err();
        assert_eq!((why.line, why.column), (2, 11), "{why}");
        let shown = why.to_string();
        assert!(shown.starts_with("line 2, column 11: ") && !shown.contains('\n'), "{shown}");
        assert!(from_toml::<Config>("[").unwrap_err().to_string().starts_with("line 1"));
    }

    fn load_text(text: &str) -> Result<Config> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.toml");
        std::fs::write(&file, text).unwrap();
        load(Some(&file))
    }

    #[test]
    fn values_are_read_and_the_rest_has_defaults() {
        let config = load_text("theme = \"day\"\n[maintenance]\nfor = \"90m\"\n").unwrap();
        assert_eq!(config.theme, "day");
        assert_eq!(config.maintenance.length.as_secs(), 5_400);
        assert_eq!(config.maintenance.reason, "maintenance");
        assert_eq!(load_text("").unwrap(), Config::default());
    }

    #[test]
    fn errors_name_the_place_the_word_and_the_accepted_ones() {
        for (text, wanted) in [
            (
                "theme = \"day\"\nread_only = true\n",
                vec!["config.toml:2:1", "read_only", "read-only"],
            ),
            ("theme = \"day", vec!["config.toml:1:"]),
            ("arm-for = \"soon\"", vec!["config.toml:1:11", "\"soon\" is not a length"]),
            ("[maintenance]\nfor = \"31d\"", vec!["config.toml:2:7", "at most 30d"]),
            ("[maintenance]\nreason = \"x\"", vec!["3 to 256"]),
            (
                "[ansible.inventory]\ngroups = [\"colour\"]",
                vec!["config.toml:2:", "none of region"],
            ),
            ("[ansible.inventory]\ncache = \"long\"", vec!["\"long\" is not a length"]),
            ("[ansible.inventory]\ninclude = [\"lost\"]", vec!["maintenance, all"]),
            ("[ansible.inventory]\naddresses = [\"IP\"]", vec!["InternalIP"]),
        ] {
            let error = load_text(text).unwrap_err();
            assert_eq!(error.exit_code(), crate::error::EXIT_USAGE);
            for part in wanted {
                assert!(error.to_string().contains(part), "{text:?}: {error}");
            }
        }
        let error = load(Some(Path::new("/nowhere/config.toml"))).unwrap_err();
        assert!(error.to_string().contains("/nowhere/config.toml"));
    }
}
