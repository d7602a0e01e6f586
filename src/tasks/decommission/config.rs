//! The service's file: what is done before a host goes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{HeaderName, Method, StatusCode, Uri, header};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use crate::config::from_toml;
use crate::error::{Error, Result};
use crate::model::decommission::{ANYBODY, MAX_STEPS, Step};
use crate::model::filter::Filter;
use crate::model::host::{AddressType, Host};
use crate::model::inventory::Inventory;
use crate::model::labels;
use crate::model::record::HostRecord;
use crate::providers::credentials::Reference;
use crate::providers::http::Http;
use crate::tasks::execute::config::length;
use crate::tasks::hooks;

/// What stands for itself in an address; everything else is percent-encoded.
const ENCODED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// Headers that are ours to set.
const OURS: [HeaderName; 3] = [header::HOST, header::CONTENT_LENGTH, header::TRANSFER_ENCODING];
/// Rows that a filter tests at once.
const ROWS: usize = 16;

/// The file, checked.
pub(super) struct Config {
    /// How long a wait may last until somebody is told.
    pub(super) alert_after: SignedDuration,
    /// Hosts whose steps run at a time.
    pub(super) at_once: usize,
    /// The steps as the rules know them.
    pub(super) steps: Vec<Step>,
    /// What each of them does, in the same order.
    doing: Vec<Doing>,
}

struct Doing {
    hosts: Option<Filter>,
    deed: Deed,
    timeout: Duration,
}

/// What a step does.
pub(super) enum Deed {
    /// Nothing: it waits for owners.
    Wait,
    /// Runs this program.
    Hook(PathBuf),
    /// Sends a request.
    Http(Box<Call>),
}

/// A request.
pub(super) struct Call {
    pub(super) http: Http,
    pub(super) method: Method,
    /// Its address, with the names of fields in braces.
    pub(super) url: String,
    pub(super) headers: Vec<(HeaderName, HeaderText)>,
    /// Whether the host is its body.
    pub(super) body: bool,
    /// Codes that mean success; none: those from 200 to 299.
    pub(super) expect: Vec<StatusCode>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    #[serde(default)]
    hooks: Option<PathBuf>,
    #[serde(default = "hour", deserialize_with = "length")]
    alert_after: Duration,
    #[serde(default = "eight")]
    at_once: u16,
    #[serde(default, rename = "step")]
    steps: Vec<FileStep>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct FileStep {
    name: String,
    #[serde(default)]
    hosts: Option<String>,
    #[serde(default)]
    wait_for: Option<Vec<String>>,
    #[serde(default)]
    hook: Option<String>,
    #[serde(default)]
    http: Option<FileCall>,
    #[serde(default = "minute", deserialize_with = "length")]
    timeout: Duration,
    #[serde(default = "five")]
    attempts: u32,
    #[serde(default = "second", deserialize_with = "length")]
    pause: Duration,
    #[serde(default = "minute", deserialize_with = "length")]
    longest_pause: Duration,
    #[serde(default = "ten_minutes", deserialize_with = "length")]
    again_after: Duration,
    #[serde(default)]
    once: bool,
    #[serde(default)]
    continue_on_failure: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct FileCall {
    #[serde(default = "post")]
    method: String,
    url: String,
    #[serde(default)]
    headers: BTreeMap<String, HeaderText>,
    #[serde(default = "yes")]
    body: bool,
    #[serde(default)]
    expect: Vec<u16>,
    #[serde(default)]
    ca_file: Option<PathBuf>,
}

/// Value of a header.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum HeaderText {
    /// As it stands in the file.
    Plain(String),
    /// A secret that stands elsewhere, after a word such as `Bearer `.
    Secret(SecretText),
}

/// Where the value of a header stands.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct SecretText {
    /// `env:NAME` or `file:PATH`.
    pub(super) credentials: String,
    /// What stands before it.
    #[serde(default)]
    pub(super) prefix: String,
}

fn second() -> Duration {
    Duration::from_secs(1)
}

fn minute() -> Duration {
    Duration::from_mins(1)
}

fn ten_minutes() -> Duration {
    Duration::from_mins(10)
}

fn hour() -> Duration {
    Duration::from_hours(1)
}

fn five() -> u32 {
    5
}

fn eight() -> u16 {
    8
}

fn yes() -> bool {
    true
}

fn post() -> String {
    "POST".to_owned()
}

impl Config {
    /// Reads the file.
    ///
    /// # Errors
    /// It cannot be read or has a mistake, or a program in it is not there or not to be trusted; the
    /// exit code is for set-up.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let fail = |cause: Box<dyn std::error::Error + Send + Sync>| {
            Error::usage(format!("cannot use the decommission file \"{}\"", path.display()))
                .because(cause)
                .hint("deploy/decommission.toml is an example with every setting")
        };
        let text = std::fs::read_to_string(path).map_err(|cause| fail(cause.into()))?;
        let file: File = from_toml(&text).map_err(|cause| fail(cause.into()))?;
        Self::check(file).map_err(|why| fail(why.into()))
    }

    fn check(file: File) -> Result<Self, String> {
        if file.steps.len() > MAX_STEPS {
            return Err(format!("there are {} steps, more than {MAX_STEPS}", file.steps.len()));
        }
        if !(1..=64).contains(&file.at_once) {
            return Err("at-once is not from 1 to 64".to_owned());
        }
        let mut names = BTreeSet::new();
        let (mut steps, mut doing) = (Vec::new(), Vec::new());
        for one in file.steps {
            let name = one.name.clone();
            if !is_name(&name) || !names.insert(name.clone()) {
                return Err(format!(
                    "the step name \"{name}\" is not at most 63 of a-z, 0-9 and -, or is there twice"
                ));
            }
            let (step, deed) = one
                .check(file.hooks.as_deref())
                .map_err(|why| format!("step \"{name}\": {why}"))?;
            steps.push(step);
            doing.push(deed);
        }
        Ok(Self {
            alert_after: signed(file.alert_after),
            at_once: usize::from(file.at_once),
            steps,
            doing,
        })
    }

    /// Names of the steps that are for this host.
    pub(super) fn chosen(&self, host: &Host, now: Timestamp) -> Vec<&str> {
        let all = self.steps.iter().zip(&self.doing);
        let mine = all.filter(|(_, doing)| {
            doing.hosts.as_ref().is_none_or(|filter| {
                let mut inventory = Inventory::new();
                inventory.apply(HostRecord::from(host), now);
                inventory.set_filter(Some(filter.clone()), now);
                while !inventory.filter_step(ROWS) {}
                inventory.matched_rows().next().is_some()
            })
        });
        mine.map(|(step, _)| step.name.as_str()).collect()
    }

    /// A step by its name, what it does, and how long that may take.
    pub(super) fn step(&self, name: &str) -> Option<(&Step, &Deed, Duration)> {
        let mut all = self.steps.iter().zip(&self.doing);
        let (step, doing) = all.find(|(step, _)| step.name == name)?;
        Some((step, &doing.deed, doing.timeout))
    }
}

impl FileStep {
    fn check(self, hooks: Option<&Path>) -> Result<(Step, Doing), String> {
        let hosts = match self.hosts.as_deref() {
            None => None,
            Some(text) => Some(
                Filter::parse(text)
                    .map_err(|why| format!("hosts \"{text}\" is no filter: {why}"))?,
            ),
        };
        let (owners, deed) = match (self.wait_for, self.hook, self.http) {
            (Some(owners), None, None) => {
                let bad = |one: &&String| {
                    *one != ANYBODY && (one.is_empty() || !labels::is_label_value(one))
                };
                if let Some(owner) = owners.iter().find(bad) {
                    return Err(format!("wait-for \"{owner}\" cannot be in an annotation"));
                }
                (Some(owners), Deed::Wait)
            }
            (None, Some(hook), None) => {
                let folder = hooks.filter(|folder| folder.is_absolute());
                let folder = folder.ok_or("a hook needs hooks, the absolute path of a folder")?;
                if hook.is_empty() || hook.starts_with(['.', '-']) || hook.contains('/') {
                    return Err(format!("hook \"{hook}\" is no name of a program in the folder"));
                }
                let path = folder.join(&hook);
                hooks::trusted(&path).map_err(|why| format!("hook {hook}: {why}"))?;
                (None, Deed::Hook(path))
            }
            (None, None, Some(call)) => (None, Deed::Http(Box::new(call.check()?))),
            _ => return Err("it needs one of wait-for, hook and http".to_owned()),
        };
        if self.attempts == 0 || self.attempts > 1_000 {
            return Err("attempts is not from 1 to 1000".to_owned());
        }
        let step = Step {
            name: self.name,
            owners,
            once: self.once,
            continue_on_failure: self.continue_on_failure,
            attempts: self.attempts,
            pause: signed(self.pause),
            longest_pause: signed(self.longest_pause.max(self.pause)),
            again_after: signed(self.again_after),
        };
        Ok((step, Doing { hosts, deed, timeout: self.timeout }))
    }
}

impl FileCall {
    fn check(self) -> Result<Call, String> {
        let method = Method::from_bytes(self.method.as_bytes())
            .ok()
            .filter(|method| ["GET", "POST", "PUT", "PATCH", "DELETE"].contains(&method.as_str()))
            .ok_or_else(|| {
                format!("method \"{}\" is none of GET POST PUT PATCH DELETE", self.method)
            })?;
        template(&self.url)?;
        let mut headers = Vec::new();
        for (name, text) in self.headers {
            let key: HeaderName =
                name.parse().map_err(|_illegal| format!("\"{name}\" is no name of a header"))?;
            if OURS.contains(&key) {
                return Err(format!("the header {name} follows from the request"));
            }
            match &text {
                HeaderText::Plain(text) => {
                    let legal = text.parse::<http::HeaderValue>();
                    drop(legal.map_err(|_illegal| format!("the value of {name} is illegal"))?);
                }
                HeaderText::Secret(secret) => {
                    match Reference::parse(&secret.credentials).map_err(|why| why.to_string())? {
                        Reference::Profile(_) => {
                            return Err(format!(
                                "the credentials of {name} are neither env: nor file:"
                            ));
                        }
                        Reference::Environment(_) | Reference::File(_) => {}
                    }
                }
            }
            headers.push((key, text));
        }
        let codes = self.expect.iter().map(|code| {
            StatusCode::from_u16(*code).map_err(|_illegal| format!("{code} is no status code"))
        });
        let expect = codes.collect::<Result<Vec<_>, _>>()?;
        let http = Http::new(self.ca_file.as_deref()).map_err(|why| crate::error::chain(&why))?;
        Ok(Call { http, method, url: self.url, headers, body: self.body, expect })
    }
}

fn signed(length: Duration) -> SignedDuration {
    SignedDuration::try_from(length).unwrap_or(SignedDuration::MAX)
}

fn is_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=63).contains(&name.len())
        && name.chars().all(legal)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// The parts of an address: text, and names of fields.
enum Part<'a> {
    Text(&'a str),
    Field(&'a str),
}

fn parts(url: &str) -> Result<Vec<Part<'_>>, String> {
    let mut parts = Vec::new();
    let mut rest = url;
    while let Some((text, after)) = rest.split_once('{') {
        let (field, after) =
            after.split_once('}').ok_or_else(|| format!("a brace is left open in \"{url}\""))?;
        parts.push(Part::Text(text));
        parts.push(Part::Field(field));
        rest = after;
    }
    parts.push(Part::Text(rest));
    Ok(parts)
}

/// Fields of a host that an address may name.
const FIELDS: [&str; 11] = [
    "name",
    "namespace",
    "uid",
    "provider-id",
    "display-name",
    "cluster",
    "region",
    "role",
    "team",
    "environment",
    "address",
];

/// Checks an address: a server that the file names, not the host.
fn template(url: &str) -> Result<(), String> {
    let parts = parts(url)?;
    for part in &parts {
        if let Part::Field(field) = part
            && !FIELDS.contains(field)
        {
            return Err(format!("there is no field {{{field}}}; there are: {}", FIELDS.join(", ")));
        }
    }
    let place = url.split_once("://").map_or("", |(_, rest)| rest);
    let server = place.split(['/', '?', '#']).next().unwrap_or_default();
    if server.contains(['{', '@']) {
        return Err("the server in url is neither a field nor has credentials".to_owned());
    }
    let words = parts.iter().map(|part| match part {
        Part::Text(text) => *text,
        Part::Field(_) => "x",
    });
    let uri: Uri = words.collect::<String>().parse().map_err(|why| format!("url: {why}"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() {
        return Err("url does not begin with https:// or http:// and a server".to_owned());
    }
    Ok(())
}

/// The address for a host.
///
/// # Errors
/// The host lacks a field, or has a value that would lead elsewhere.
pub(super) fn address(url: &str, host: &Host) -> Result<String, String> {
    let mut out = String::new();
    for part in parts(url)? {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Field(field) => {
                let value = value(host, field).filter(|value| !value.is_empty());
                let value =
                    value.ok_or_else(|| format!("the host has no {field}, which url names"))?;
                if value.chars().all(|c| c == '.') {
                    return Err(format!("the {field} of the host is no part of an address"));
                }
                out.extend(utf8_percent_encode(&value, &ENCODED));
            }
        }
    }
    Ok(out)
}

fn value(host: &Host, field: &str) -> Option<String> {
    let spec = &host.spec;
    let label = |key: &str| host.metadata.labels.as_ref()?.get(key).cloned();
    match field {
        "name" => host.metadata.name.clone(),
        "namespace" => host.metadata.namespace.clone(),
        "uid" => host.metadata.uid.clone(),
        "provider-id" => spec.provider_id.clone(),
        "display-name" => host.metadata.annotations.as_ref()?.get(labels::DISPLAY_NAME).cloned(),
        "cluster" => spec.cluster.clone(),
        "region" => label(labels::REGION),
        "role" => spec.role.clone(),
        "team" => spec.team.clone(),
        "environment" => spec.environment.clone(),
        "address" => {
            let all = &host.status.as_ref()?.addresses;
            let mut inside = all.iter().filter(|a| a.type_ == AddressType::InternalIP);
            inside.next().map(|address| address.address.clone())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(text: &str) -> Result<Config, String> {
        Config::check(toml::from_str(text).map_err(|why| why.to_string())?)
    }

    fn host(spec: serde_json::Value) -> Host {
        let mut host = Host::new("web-1", serde_json::from_value(spec).unwrap());
        host.metadata.uid = Some("u-1".into());
        host
    }

    #[test]
    fn the_example_works() {
        let text = std::fs::read_to_string("deploy/decommission.toml").unwrap();
        let mut file: File = toml::from_str(&text).unwrap();
        assert!(file.steps.len() >= 4);
        // Its programs are not on this machine.
        file.steps.retain(|step| step.hook.is_none());
        let config = Config::check(file).unwrap();
        assert_eq!(config.steps.len(), config.doing.len());
    }

    #[test]
    fn mistakes_are_named() {
        let http = |url: &str| format!("[[step]]\nname = \"a\"\nhttp = {{ url = \"{url}\" }}");
        for (text, why) in [
            ("[[step]]\nname = \"a\"".to_owned(), "one of wait-for, hook and http"),
            ("[[step]]\nname = \"a b\"\nwait-for = []".to_owned(), "step name \"a b\""),
            ("at-once = 0".to_owned(), "at-once"),
            ("[[step]]\nname = \"a\"\nwait-for = [\"x/y\"]".to_owned(), "wait-for \"x/y\""),
            ("[[step]]\nname = \"a\"\nhook = \"x\"".to_owned(), "absolute path of a folder"),
            ("hooks = \"/\"\n[[step]]\nname = \"a\"\nhook = \"../x\"".to_owned(), "no name of a program"),
            ("hooks = \"/nowhere\"\n[[step]]\nname = \"a\"\nhook = \"x\"".to_owned(), "No such file"),
            (http("https://{name}.example.com/"), "the server in url"),
            (http("https://u:p@example.com/"), "the server in url"),
            (http("https://example.com/{nam}"), "no field {nam}"),
            (http("https://example.com/{name"), "left open"),
            (http("ftp://example.com/"), "https://"),
            ("[[step]]\nname = \"a\"\nhosts = \"a(\"\nwait-for = []".to_owned(), "is no filter"),
            (
                "[[step]]\nname = \"a\"\nhttp = { url = \"https://x/\", headers = { A = { credentials = \"s3cr3t\" } } }"
                    .to_owned(),
                "no reference",
            ),
            (
                "[[step]]\nname = \"a\"\nhttp = { url = \"https://x/\", method = \"BREW\" }".to_owned(),
                "none of GET",
            ),
        ] {
            let found = check(&text).err().unwrap_or_default();
            assert!(found.contains(why), "{text}: {found}");
            assert!(!found.contains("s3cr3t"));
        }
        let twice = "[[step]]\nname = \"a\"\nwait-for = []\n".repeat(2);
        assert!(check(&twice).err().unwrap().contains("twice"));
    }

    #[test]
    fn an_address_never_leads_elsewhere() {
        let url = "https://x.example/hosts/{provider-id}?c={cluster}";
        let mine = host(json!({"providerID": "aws:///a/../i-1?x#y", "cluster": "a&b=c /"}));
        assert_eq!(
            address(url, &mine).unwrap(),
            "https://x.example/hosts/aws%3A%2F%2F%2Fa%2F..%2Fi-1%3Fx%23y?c=a%26b%3Dc%20%2F"
        );
        for (spec, why) in [
            (json!({"cluster": "a"}), "no provider-id"),
            (json!({"providerID": "", "cluster": "a"}), "no provider-id"),
            (json!({"providerID": "..", "cluster": "a"}), "no part of an address"),
        ] {
            assert!(address(url, &host(spec)).unwrap_err().contains(why));
        }
    }

    #[test]
    fn steps_are_for_the_hosts_that_they_name() {
        let text = "[[step]]\nname = \"all\"\nwait-for = []\n[[step]]\nname = \"db\"\nwait-for = []\nhosts = \"role:db\"";
        let config = check(text).unwrap();
        let now = Timestamp::from_second(0).unwrap();
        assert_eq!(config.chosen(&host(json!({"role": "db"})), now), ["all", "db"]);
        assert_eq!(config.chosen(&host(json!({"role": "web"})), now), ["all"]);
        assert!(config.step("db").is_some() && config.step("web").is_none());
    }
}
