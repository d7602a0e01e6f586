//! The configuration file, and where files of ours live.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use directories::ProjectDirs;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use crate::error::{Error, Result};
use crate::model::change::{MAX_HOLD_SECONDS, MAX_REASON, MIN_REASON};
use crate::model::duration;
use crate::model::groups::Grouping;
use crate::model::host::AddressType;
use crate::model::hostvars::ADDRESSES;
use crate::model::selection::Include;

/// The configuration, every value checked.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Config {
    /// Theme; none chooses by what the terminal can do.
    pub theme: Option<String>,
    /// Context of the kubeconfig, when the command line names none.
    pub context: Option<String>,
    /// Namespace of the hosts, when the command line names none. None watches all.
    pub namespace: Option<String>,
    /// Filter to begin with, when the command line names none.
    pub filter: Option<String>,
    /// Begin with writing disarmed.
    pub read_only: bool,
    /// Contexts marked as production: they begin disarmed and say so in the header.
    pub production_contexts: Vec<String>,
    /// Draw with ASCII characters only.
    pub ascii: bool,
    /// Take the mouse from the terminal at the start; ctrl-g gives it back.
    pub mouse: bool,
    /// What a maintenance begins with.
    pub maintenance: Maintenance,
    /// What an Ansible run is chosen from.
    pub ansible: Ansible,
    /// How long `W` arms writing.
    #[serde(deserialize_with = "length")]
    pub arm_for: Duration,
    /// Command that `Y s` copies; `{address}`, `{name}` and `{display}` are replaced.
    pub ssh: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            theme: None,
            context: None,
            namespace: None,
            filter: None,
            read_only: false,
            production_contexts: Vec::new(),
            ascii: false,
            mouse: true,
            maintenance: Maintenance::default(),
            ansible: Ansible::default(),
            arm_for: Duration::from_mins(15),
            ssh: "ssh {address}".to_owned(),
        }
    }
}

/// What a maintenance begins with.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Maintenance {
    /// Length of a hold, at most 30 days.
    #[serde(rename = "for", deserialize_with = "hold_length")]
    pub length: Duration,
    /// Reason of the first hold; later ones begin with the last reason.
    #[serde(deserialize_with = "reason")]
    pub reason: String,
    /// Labels such as `inventory.inv-tui.dev/environment=prod` whose hosts need a reason typed by
    /// hand.
    pub protected_labels: Vec<String>,
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Ansible {
    /// Playbooks that are offered for hosts whose Cluster offers none, relative to the place that
    /// the agents and runners have configured.
    pub playbooks: Vec<String>,
    /// What `--headless ansible-inventory` gives.
    pub inventory: AnsibleInventory,
}

/// What `--headless ansible-inventory` gives, where its options do not say otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct AnsibleInventory {
    /// Only hosts that this filter chooses.
    pub filter: Option<String>,
    /// Hosts that are given although they take no part in service.
    #[serde(deserialize_with = "words")]
    pub include: Vec<Include>,
    /// What groups are made of.
    #[serde(deserialize_with = "words")]
    pub groups: Vec<Grouping>,
    /// Annotations that become variables; a `*` at the end stands for anything.
    pub annotations: Vec<String>,
    /// Kinds of addresses for `ansible_host`, the best first.
    pub addresses: Vec<AddressType>,
    /// How old an inventory may be that is given while the API server is away; `off`: none is kept.
    #[serde(deserialize_with = "word")]
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

fn word<'de, D: Deserializer<'de>, T: FromStr<Err = String>>(
    deserializer: D,
) -> std::result::Result<T, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

fn words<'de, D: Deserializer<'de>, T: FromStr<Err = String>>(
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

/// Reads `file`, or the default one where there is one.
///
/// # Errors
/// A named file that is not there, or a file that cannot be read or is malformed; the text names
/// file, line and column, the offending word and the accepted ones.
pub fn load(file: Option<&Path>) -> Result<Config> {
    let (path, named) = match (file, default_file()) {
        (Some(path), _) => (path.to_owned(), true),
        (None, Some(path)) => (path, false),
        (None, None) => return Ok(Config::default()),
    };
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound && !named => {
            return Ok(Config::default());
        }
        Err(cause) => {
            return Err(Error::usage(format!(
                "cannot read configuration file \"{}\"",
                path.display()
            ))
            .because(cause)
            .hint("check the path given to --config or INV_TUI_CONFIG"));
        }
    };
    from_toml(&text).map_err(|Misread { line, column, what }| {
        let place = format!("{}:{line}:{column}", path.display());
        Error::usage(format!("configuration file \"{place}\" is malformed: {what}"))
            .hint("README.md lists the settings with their defaults")
    })
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
        let before = cause.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
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
        assert_eq!(config.theme.as_deref(), Some("day"));
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
