//! The monitor's file: the jobs of Prometheus, and the Alertmanagers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Deserializer};

use crate::config::from_toml;
use crate::error::{Error, Result};
use crate::model::filter::Filter;
use crate::model::host::AddressType;
use crate::model::selection::{Absence, Rules, Selection};
use crate::model::silence::{MatcherRule, Template};
use crate::model::targets::{Endpoints, Job, Origin, is_label_name};
use crate::model::text::is_word;
use crate::providers::credentials::Reference;
use crate::providers::http::base;
use crate::tasks::execute::config::length;
use crate::tasks::replace::octal;
use crate::tasks::select::filter;

/// The monitor's file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct MonitorConfig {
    /// Who may ask.
    #[serde(default)]
    pub(super) web: Web,
    /// What Prometheus scrapes.
    #[serde(default, rename = "job")]
    pub(super) jobs: Vec<JobConfig>,
    /// Where silences are made.
    #[serde(default, rename = "alertmanager")]
    pub(super) alertmanagers: Vec<AlertmanagerConfig>,
}

/// `[web]` of the file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(super) struct Web {
    /// Where the bearer token is that targets and metrics want.
    #[serde(deserialize_with = "reference")]
    pub(super) token: Option<Reference>,
    /// Whoever reaches the port may read everything, wherever it is.
    pub(super) open: bool,
}

/// `[[job]]` of the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct JobConfig {
    /// Last part of its path.
    pub(super) name: String,
    /// Which hosts, in the grammar of the explorer.
    #[serde(default, deserialize_with = "filter")]
    filter: Filter,
    /// Hosts out of service that are scraped nevertheless.
    #[serde(default, deserialize_with = "absences")]
    include: Vec<Absence>,
    /// Ports on each host.
    #[serde(default)]
    ports: Vec<u16>,
    /// What is scraped stands in `spec.monitoring` of the Clusters.
    #[serde(default)]
    clusters: bool,
    #[serde(default)]
    scheme: Option<String>,
    #[serde(default)]
    path: Option<String>,
    /// Kinds of addresses, the best first.
    #[serde(default = "addresses")]
    addresses: Vec<AddressType>,
    /// Labels of their own.
    #[serde(default, deserialize_with = "origins")]
    labels: Vec<(String, Origin)>,
    /// Label of hosts in maintenance; empty: none.
    #[serde(default = "maintenance")]
    maintenance_label: String,
    /// The list as a file too.
    #[serde(default)]
    pub(super) file: Option<PathBuf>,
    /// Mode of the file, in octal.
    #[serde(default = "mode", deserialize_with = "octal")]
    pub(super) mode: u32,
}

/// `[[alertmanager]]` of the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct AlertmanagerConfig {
    /// What it is called in logs and metrics.
    #[serde(default = "default_name")]
    pub(super) name: String,
    /// Addresses of the members of one cluster of Alertmanagers; one of them is asked.
    pub(super) urls: Vec<String>,
    /// Where the bearer token is, or with `user` the password.
    #[serde(default, deserialize_with = "reference")]
    pub(super) credentials: Option<Reference>,
    /// User of basic authentication.
    #[serde(default)]
    pub(super) user: Option<String>,
    /// Certificate authorities, instead of the system's.
    #[serde(default)]
    pub(super) ca_file: Option<PathBuf>,
    /// How far ahead silences end at most.
    #[serde(default = "ahead", deserialize_with = "length")]
    ahead: Duration,
    /// Which inventory the silences belong to.
    #[serde(default)]
    pub(super) owner: Option<String>,
    /// What a silence matches.
    #[serde(default, rename = "matcher")]
    matchers: Vec<MatcherConfig>,
}

/// `[[alertmanager.matcher]]` of the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct MatcherConfig {
    label: String,
    value: String,
    #[serde(default)]
    regex: bool,
}

fn addresses() -> Vec<AddressType> {
    use AddressType as A;
    vec![A::InternalIP, A::ExternalIP, A::InternalDNS, A::ExternalDNS, A::Hostname]
}

fn maintenance() -> String {
    "inv_maintenance".to_owned()
}

fn mode() -> u32 {
    0o644
}

fn ahead() -> Duration {
    Duration::from_hours(4)
}

fn default_name() -> String {
    "default".to_owned()
}

fn reference<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Reference>, D::Error> {
    let text = String::deserialize(from)?;
    Reference::parse(&text)
        .map(Some)
        .map_err(|error| serde::de::Error::custom(format!("{error}: write env:NAME or file:PATH")))
}

fn absences<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Absence>, D::Error> {
    let words = Vec::<String>::deserialize(from)?;
    words.iter().map(|word| word.parse().map_err(serde::de::Error::custom)).collect()
}

fn origins<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<(String, Origin)>, D::Error> {
    let words = BTreeMap::<String, String>::deserialize(from)?;
    let read = |(name, word): (String, String)| {
        Origin::parse(&word).map(|origin| (name, origin)).map_err(serde::de::Error::custom)
    };
    words.into_iter().map(read).collect()
}

impl MonitorConfig {
    /// Reads the file.
    ///
    /// # Errors
    /// It cannot be read or has a mistake; the exit code is for set-up.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let fail = |cause: Box<dyn std::error::Error + Send + Sync>| {
            Error::usage(format!("cannot use the monitor's file \"{}\"", path.display()))
                .because(cause)
                .hint("deploy/monitor.toml is an example with every setting")
        };
        let text = std::fs::read_to_string(path).map_err(|cause| fail(cause.into()))?;
        Self::parse(&text).map_err(fail)
    }

    fn parse(text: &str) -> std::result::Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let config: Self = from_toml(text)?;
        config.check()?;
        Ok(config)
    }

    /// Checks what serde cannot.
    fn check(&self) -> std::result::Result<(), String> {
        if self.jobs.is_empty() && self.alertmanagers.is_empty() {
            return Err("there is neither a [[job]] nor an [[alertmanager]]".to_owned());
        }
        let (mut names, mut files) = (BTreeSet::new(), BTreeSet::new());
        for job in &self.jobs {
            job.check().map_err(|why| format!("job \"{}\": {why}", job.name))?;
            if !names.insert(&job.name) {
                return Err(format!("there are two jobs \"{}\"", job.name));
            }
            if let Some(file) = job.file.as_ref().filter(|file| !files.insert((*file).clone())) {
                return Err(format!("two jobs have the file \"{}\"", file.display()));
            }
        }
        let mut names = BTreeSet::new();
        for one in &self.alertmanagers {
            one.check().map_err(|why| format!("alertmanager \"{}\": {why}", one.name))?;
            if !names.insert(&one.name) {
                return Err(format!(
                    "there are two alertmanagers \"{}\"; give each a name",
                    one.name
                ));
            }
        }
        Ok(())
    }
}

impl JobConfig {
    fn check(&self) -> std::result::Result<(), String> {
        if !is_word(&self.name) {
            return Err("a name is letters, digits and ._-".to_owned());
        }
        match (self.clusters, self.ports.is_empty()) {
            (true, false) => return Err("it has clusters and ports; one of them".to_owned()),
            (false, true) => return Err("it has neither ports nor clusters = true".to_owned()),
            (true, true) if self.scheme.is_some() || self.path.is_some() => {
                return Err("with clusters they say scheme and path".to_owned());
            }
            _ => {}
        }
        if self.ports.contains(&0) {
            return Err("0 is no port".to_owned());
        }
        if self.scheme.as_deref().is_some_and(|scheme| !matches!(scheme, "http" | "https")) {
            return Err("scheme is http or https".to_owned());
        }
        if self.path.as_deref().is_some_and(|path| !path.starts_with('/')) {
            return Err("path begins with /".to_owned());
        }
        if self.addresses.is_empty() {
            return Err("addresses is empty".to_owned());
        }
        let own = self.labels.iter().map(|(name, _)| name.as_str());
        for name in own.chain(Some(&*self.maintenance_label).filter(|name| !name.is_empty())) {
            if !is_label_name(name) {
                return Err(format!("\"{name}\" is no name of a label: letters, digits and _"));
            }
            // What begins so is Prometheus' own, or ours.
            let taken = name.starts_with("__") && !name.starts_with("__param_");
            if taken || (self.clusters && name == "job") {
                return Err(format!("the label \"{name}\" has another meaning"));
            }
        }
        if self.labels.iter().any(|(name, _)| *name == self.maintenance_label) {
            return Err(format!("two labels \"{}\"", self.maintenance_label));
        }
        if let Some(file) = &self.file {
            let named = file.file_name().and_then(|name| name.to_str());
            let ends = file.extension().is_some_and(|ending| ending == "json");
            let fine = ends && named.is_some_and(|name| !name.starts_with('.'));
            if !file.is_absolute() || !fine {
                return Err("file is an absolute path that ends with .json".to_owned());
            }
        }
        Ok(())
    }

    /// The job.
    pub(super) fn job(&self, now: Timestamp) -> Job {
        let included = self.include.iter().copied().chain([Absence::Maintenance]);
        let rules = Rules::including(included);
        Job {
            name: self.name.clone(),
            selection: Selection::new(self.filter.clone(), rules, now),
            endpoints: if self.clusters {
                Endpoints::Clusters
            } else {
                Endpoints::Same {
                    ports: self.ports.clone(),
                    scheme: self.scheme.clone(),
                    path: self.path.clone(),
                }
            },
            addresses: self.addresses.clone(),
            labels: self.labels.clone(),
            maintenance: Some(self.maintenance_label.clone()).filter(|name| !name.is_empty()),
        }
    }
}

impl AlertmanagerConfig {
    fn check(&self) -> std::result::Result<(), String> {
        if !is_word(&self.name) {
            return Err("a name is letters, digits and ._-".to_owned());
        }
        if self.owner.as_deref().is_some_and(|owner| !is_word(owner)) {
            return Err("owner is letters, digits and ._-".to_owned());
        }
        if self.urls.is_empty() {
            return Err("urls is empty".to_owned());
        }
        for url in &self.urls {
            base(url).map_err(|error| format!("\"{url}\": {error}"))?;
        }
        if self.user.is_some() && self.credentials.is_none() {
            return Err("it has a user and no credentials".to_owned());
        }
        if self.user.as_deref().is_some_and(|user| user.contains(':')) {
            return Err("a user has no colon".to_owned());
        }
        if self.ahead < Duration::from_mins(1) || self.ahead > Duration::from_hours(30 * 24) {
            return Err("ahead is 1m to 30d".to_owned());
        }
        for matcher in &self.matchers {
            if !is_label_name(&matcher.label) {
                return Err(format!("\"{}\" is no name of a label", matcher.label));
            }
            if !matcher.regex && Template::new(&matcher.value).is_many() {
                return Err(format!(
                    "\"{}\" stands for several names; that wants regex = true",
                    matcher.value
                ));
            }
        }
        // Else one host in maintenance would silence others.
        if !self.matchers().iter().any(|matcher| matcher.value.is_own()) {
            return Err(
                "no matcher has {instance}, {address}, {addresses}, {name}, {display} or {uid} in it, so a silence would be for every host"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// What a silence matches.
    pub(super) fn matchers(&self) -> Vec<MatcherRule> {
        if self.matchers.is_empty() {
            return vec![MatcherRule {
                name: "instance".to_owned(),
                value: Template::new("^({instance})(:[0-9]+)?$"),
                regex: true,
            }];
        }
        let rule = |matcher: &MatcherConfig| MatcherRule {
            name: matcher.label.clone(),
            value: Template::new(&matcher.value),
            regex: matcher.regex,
        };
        self.matchers.iter().map(rule).collect()
    }

    /// How far ahead silences end at most.
    pub(super) fn ahead(&self) -> SignedDuration {
        SignedDuration::try_from(self.ahead).unwrap_or(SignedDuration::from_hours(4))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> String {
        MonitorConfig::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn the_example_is_read() {
        let text = include_str!("../../../deploy/monitor.toml");
        let config = MonitorConfig::parse(text).unwrap();
        assert_eq!((config.jobs.len(), config.alertmanagers.len()), (2, 1));
        assert!(config.jobs[1].clusters);
        // Every line that is commented out is one that could stand there.
        let all = text.lines().map(|line| {
            let setting = line.strip_prefix("# ").filter(|rest| {
                rest.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '))
                    || rest.starts_with("[[")
            });
            setting.unwrap_or(line)
        });
        let all = all.collect::<Vec<_>>().join("\n");
        let config = MonitorConfig::parse(&all).unwrap();
        assert_eq!(config.alertmanagers[0].matchers.len(), 1);
        assert!(config.web.open && config.jobs[0].file.is_some(), "{all}");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let job = "[[job]]\nname = 'a'\nports = [9100]\n";
        let alertmanager = "[[alertmanager]]\nurls = ['http://127.0.0.1:9093']\n";
        for (text, why) in [
            (String::new(), "neither a [[job]] nor"),
            (format!("{job}port = 1"), "unknown field"),
            (format!("{job}{job}"), "two jobs \"a\""),
            ("[[job]]\nname = 'a'".to_owned(), "neither ports nor clusters"),
            ("[[job]]\nname = 'a/b'\nports = [1]".to_owned(), "a name is"),
            (format!("{job}filter = 'a ('"), "is no filter"),
            (format!("{job}include = ['lost']"), "none of retired"),
            (format!("{job}labels = {{ a-b = 'name' }}"), "no name of a label"),
            (format!("{job}labels = {{ __address__ = 'name' }}"), "another meaning"),
            (format!("{job}labels = {{ a = 'colour' }}"), "none of name, display"),
            (format!("{job}file = 'a.json'"), "absolute path"),
            (format!("{job}file = '/etc/a.yml'"), "ends with .json"),
            (format!("{job}file = '/a.json'\nmode = '0999'"), "no mode"),
            (format!("{job}clusters = true"), "one of them"),
            ("[web]\ntoken = 'hunter22'".to_owned(), "no reference"),
            (format!("{alertmanager}{alertmanager}"), "give each a name"),
            (format!("{alertmanager}ahead = '10s'"), "1m to 30d"),
            (format!("{alertmanager}owner = 'a b'"), "owner is letters"),
            ("[[alertmanager]]\nurls = ['ftp://a']".to_owned(), "https:// or http://"),
            (
                format!("{alertmanager}[[alertmanager.matcher]]\nlabel = 'job'\nvalue = 'node'"),
                "for every host",
            ),
            (
                format!(
                    "{alertmanager}[[alertmanager.matcher]]\nlabel = 'a'\nvalue = '{{instance}}'"
                ),
                "regex = true",
            ),
        ] {
            let found = fault(&text);
            assert!(found.contains(why), "{text}: {found}");
            assert!(!found.contains("hunter22 "), "{found}");
        }
    }
}
