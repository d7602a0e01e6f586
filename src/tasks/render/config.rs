//! The file that says what is rendered.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;

use crate::config::{from_toml, words};
use crate::error::{Error, Result};
use crate::model::filter::Filter;
use crate::model::host::AddressType;
use crate::model::hostvars::ADDRESSES;
use crate::model::render::{ROOTS, Want};
use crate::model::selection::{Include, Rules, Selection};
use crate::model::template::Template;
use crate::model::text::is_word;
use crate::tasks::execute::config::length;
use crate::tasks::hooks::trusted;
use crate::tasks::replace::octal;
use crate::tasks::select::filter;

/// Longest template, in bytes.
const MAX_TEMPLATE: u64 = 1 << 20;
/// Longest command, in words.
const MAX_WORDS: usize = 64;

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RenderConfig {
    #[serde(default, rename = "file")]
    files: Vec<FileConfig>,
}

/// `[[file]]` of the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct FileConfig {
    /// What it is called in logs and metrics.
    name: String,
    /// Where it is written.
    path: PathBuf,
    /// File with the template.
    #[serde(default)]
    template: Option<PathBuf>,
    /// The template itself.
    #[serde(default)]
    text: Option<String>,
    /// Which hosts, in the grammar of the explorer.
    #[serde(default, deserialize_with = "filter")]
    filter: Filter,
    /// Hosts that take no part in service and are wanted nevertheless.
    #[serde(default, deserialize_with = "words")]
    include: Vec<Include>,
    /// Kinds of addresses for `address`, the best first.
    #[serde(default = "addresses")]
    addresses: Vec<AddressType>,
    /// Mode of the file, in octal.
    #[serde(default = "mode", deserialize_with = "octal")]
    mode: u32,
    /// What tells the reader of the file: a program and its arguments.
    #[serde(default)]
    command: Vec<String>,
    /// How long that may take.
    #[serde(default = "timeout", deserialize_with = "length")]
    timeout: Duration,
    /// Least time between two writes.
    #[serde(default = "interval", deserialize_with = "length")]
    interval: Duration,
    /// The file may be without hosts.
    #[serde(default)]
    allow_empty: bool,
}

/// One file that is rendered, everything about it checked.
#[derive(Debug)]
pub(super) struct Page {
    /// What it is called in logs and metrics.
    pub(super) name: String,
    /// Where it is written.
    pub(super) path: PathBuf,
    /// What its template is called in messages.
    pub(super) origin: String,
    /// What it is made by.
    pub(super) template: Template,
    /// Which hosts.
    pub(super) filter: Filter,
    /// Hosts that take no part in service and are wanted nevertheless.
    pub(super) include: Vec<Include>,
    /// Kinds of addresses for `address`, the best first.
    pub(super) addresses: Vec<AddressType>,
    /// Mode of the file.
    pub(super) mode: u32,
    /// What tells the reader of the file; empty if nothing has to.
    pub(super) command: Vec<String>,
    /// How long that may take.
    pub(super) timeout: Duration,
    /// Least time between two writes.
    pub(super) interval: Duration,
    /// The file may be without hosts.
    pub(super) allow_empty: bool,
}

fn addresses() -> Vec<AddressType> {
    ADDRESSES.to_vec()
}

fn mode() -> u32 {
    0o644
}

fn timeout() -> Duration {
    Duration::from_mins(1)
}

fn interval() -> Duration {
    Duration::from_secs(1)
}

/// Reads the file, and the templates that it names.
///
/// # Errors
/// It or a template cannot be read or has a mistake, or a command is not there or not to be trusted; the
/// exit code is for set-up.
pub(super) fn read(path: &Path) -> Result<Vec<Page>> {
    let fail = |cause: Box<dyn std::error::Error + Send + Sync>| {
        Error::usage(format!("cannot use the file \"{}\"", path.display()))
            .because(cause)
            .hint("deploy/render.toml is an example with every setting")
    };
    let text = std::fs::read_to_string(path).map_err(|cause| fail(cause.into()))?;
    let config: RenderConfig = from_toml(&text).map_err(|cause| fail(cause.into()))?;
    config.pages().map_err(|why| fail(why.into()))
}

/// Reads a template.
///
/// # Errors
/// What is wrong with it; the exit code is for set-up.
pub(super) fn read_template(path: &Path) -> Result<Template> {
    let fail = || Error::usage(format!("cannot use the template \"{}\"", path.display()));
    let about = std::fs::metadata(path).map_err(|cause| fail().because(cause))?;
    if about.len() > MAX_TEMPLATE {
        return Err(fail().because(format!("it has more than {MAX_TEMPLATE} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|cause| fail().because(cause))?;
    parse(&text).map_err(|why| {
        fail().because(why).hint("README.md, Templates, has what a template is given")
    })
}

/// A text as a template that asks for nothing that it is not given.
fn parse(text: &str) -> std::result::Result<Template, String> {
    let template = Template::parse(text)?;
    match template.unknown(&ROOTS).first() {
        Some(name) => {
            Err(format!("it asks for \"{name}\", and there is only {}", ROOTS.join(", ")))
        }
        None => Ok(template),
    }
}

impl RenderConfig {
    fn pages(self) -> std::result::Result<Vec<Page>, String> {
        if self.files.is_empty() {
            return Err("there is no [[file]]".to_owned());
        }
        let (mut names, mut paths) = (BTreeSet::new(), BTreeSet::new());
        let mut pages = Vec::new();
        for file in self.files {
            let name = file.name.clone();
            let page = file.page().map_err(|why| format!("file \"{name}\": {why}"))?;
            if !names.insert(name) {
                return Err(format!("there are two files \"{}\"", page.name));
            }
            if !paths.insert(page.path.clone()) {
                return Err(format!("two files have the path \"{}\"", page.path.display()));
            }
            pages.push(page);
        }
        Ok(pages)
    }
}

impl FileConfig {
    fn page(self) -> std::result::Result<Page, String> {
        if !is_word(&self.name) {
            return Err("a name is letters, digits and ._-".to_owned());
        }
        if !self.path.is_absolute() || self.path.file_name().is_none() {
            return Err("path is an absolute path of a file".to_owned());
        }
        if self.mode & 0o400 == 0 {
            return Err("mode does not let us read the file, and we compare before we write".into());
        }
        if self.addresses.is_empty() {
            return Err("addresses is empty".to_owned());
        }
        let (origin, template) = match (&self.template, &self.text) {
            (Some(path), None) if path.is_absolute() => {
                let template = read_template(path).map_err(|error| crate::error::chain(&error))?;
                (path.display().to_string(), template)
            }
            (Some(_), None) => return Err("template is an absolute path".to_owned()),
            (None, Some(text)) => (format!("text of \"{}\"", self.name), parse(text)?),
            _ => return Err("it has a template or a text, and one of them".to_owned()),
        };
        if let Some(program) = self.command.first() {
            let program = Path::new(program);
            if !program.is_absolute() {
                return Err("the first word of command is the absolute path of a program".into());
            }
            trusted(program).map_err(|why| format!("command \"{}\": {why}", program.display()))?;
        }
        if self.command.len() > MAX_WORDS || self.command.iter().any(|word| word.contains('\0')) {
            return Err(format!("a command has up to {MAX_WORDS} words, and no zero bytes"));
        }
        Ok(Page {
            name: self.name,
            path: self.path,
            origin,
            template,
            filter: self.filter,
            include: self.include,
            addresses: self.addresses,
            mode: self.mode,
            command: self.command,
            timeout: self.timeout,
            interval: self.interval,
            allow_empty: self.allow_empty,
        })
    }
}

impl Page {
    /// A template to try, with what it has unless one says otherwise.
    pub(super) fn of(template: Template, origin: &Path, path: PathBuf) -> Self {
        Self {
            name: "template".to_owned(),
            path,
            origin: origin.display().to_string(),
            template,
            filter: Filter::default(),
            include: Vec::new(),
            addresses: addresses(),
            mode: mode(),
            command: Vec::new(),
            timeout: timeout(),
            interval: interval(),
            allow_empty: false,
        }
    }

    /// Which hosts it wants, and what of them.
    pub(super) fn want(&self, now: Timestamp) -> Want {
        let rules = Rules::of(&self.include);
        Want {
            selection: Selection::new(self.filter.clone(), rules, now),
            addresses: self.addresses.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(text: &str) -> std::result::Result<Vec<Page>, String> {
        let config: RenderConfig = from_toml(text).map_err(|why| why.to_string())?;
        config.pages()
    }

    /// The example with the paths of this repository.
    fn example(text: &str) -> String {
        let templates = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/templates");
        let text = text.replace("/etc/inv-tui/templates", templates);
        text.replace("/usr/bin/systemctl", "/bin/true")
    }

    #[test]
    fn the_example_is_read() {
        let text = example(include_str!("../../../deploy/render.toml"));
        let all = pages(&text).unwrap();
        assert_eq!(all.len(), 4);
        assert_eq!((all[1].mode, all[1].interval), (0o644, Duration::from_secs(1)));
        // Every line that is commented out is one that could stand there.
        let all = text.lines().map(|line| {
            let setting = line.strip_prefix("# ");
            setting
                .filter(|rest| rest.split_once(" = ").is_some_and(|(key, _)| !key.contains(' ')))
                .unwrap_or(line)
        });
        let all = pages(&all.collect::<Vec<_>>().join("\n")).unwrap();
        assert_eq!((all[0].timeout, all[0].allow_empty), (Duration::from_mins(1), false));
    }

    #[test]
    fn a_mistake_is_named() {
        let file = "[[file]]\nname = \"a\"\npath = \"/tmp/a\"\n";
        for (text, wanted) in [
            (String::new(), "no [[file]]"),
            (file.to_owned(), "a template or a text"),
            (format!("{file}text = \"\"\ntemplate = \"/x\""), "one of them"),
            (format!("{file}template = \"x\""), "an absolute path"),
            (format!("{file}template = \"/nowhere/x\""), "/nowhere/x"),
            (format!("{file}text = \"{{{{ name\""), "line 1"),
            (format!("{file}text = \"{{{{ hots }}}}\""), "asks for \"hots\""),
            (format!("{file}text = \"\"\nmode = \"0999\""), "no mode"),
            (format!("{file}text = \"\"\nmode = \"0044\""), "does not let us read"),
            (format!("{file}text = \"\"\nfilter = \"(\""), "no filter"),
            (format!("{file}text = \"\"\ninclude = [\"lost\"]"), "maintenance, all"),
            (format!("{file}text = \"\"\naddresses = []"), "addresses is empty"),
            (format!("{file}text = \"\"\ncommand = [\"true\"]"), "absolute path of a program"),
            (format!("{file}text = \"\"\ncommand = [\"/nowhere/true\"]"), "/nowhere/true"),
            (format!("{file}text = \"\"\ncommand = \"/bin/true\""), "line 5"),
            (format!("{file}text = \"\"\ninterval = \"0s\""), "at least 1s"),
            (format!("{file}text = \"\"\n{file}text = \"\""), "two files \"a\""),
            (
                format!(
                    "{file}text = \"\"\n[[file]]\nname = \"b\"\npath = \"/tmp/a\"\ntext = \"\""
                ),
                "two files have",
            ),
            ("[[file]]\nname = \"a b\"\npath = \"/tmp/a\"\ntext = \"\"".to_owned(), "a name is"),
            (
                "[[file]]\nname = \"a\"\npath = \"a\"\ntext = \"\"".to_owned(),
                "absolute path of a file",
            ),
        ] {
            let why = pages(&text).unwrap_err();
            assert!(why.contains(wanted), "{text}: {why}");
        }
    }
}
