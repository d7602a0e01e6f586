//! The file with the sources: TOML, one table `[[source]]` for each.
//!
//! ```toml
//! [[source]]
//! name = "shop"                  # Source object, label of its hosts, field manager
//! type = "aws"                   # aws, netbox, ibm-classic, ibm-vpc, file, cluster-api, kubernetes-nodes
//! interval = "5m"
//! regions = ["eu-west-1"]        # or "all"
//! credentials = "profile:shop"
//!
//! [[source]]
//! name = "dc"
//! type = "netbox"
//! url = "https://netbox.example.com"
//! credentials = "env:NETBOX_TOKEN"   # or file:PATH, which only its owner may read
//! filters = { site = ["ams1", "fra1"], status = "active" }
//! map = { team = "tenant", environment = "cf/environment" }
//! breaker = { percent = 5, min = 2 }
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::lost::Policy;
use super::mapping::Mapping;
use super::options::{SourceOptions, legal_name};
use super::setup::Setup;
use crate::config::from_toml;
use crate::error::{Error, Result};
use crate::model::duration;
use crate::providers::aws::{AwsOptions, Regions, Role};
use crate::providers::credentials::Reference;
use crate::providers::file::{FileOptions, Format};
use crate::providers::ibm_classic::{self, ClassicOptions};
use crate::providers::ibm_vpc::{self, VpcOptions};
use crate::providers::kubernetes::{Kind, KubernetesOptions};
use crate::providers::netbox::{NetBoxOptions, RegionFrom};

/// Most sources in one file.
const MAX_SOURCES: usize = 256;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    #[serde(default)]
    source: Vec<Entry>,
}

/// Kind of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Type {
    Aws,
    Netbox,
    IbmClassic,
    IbmVpc,
    File,
    ClusterApi,
    KubernetesNodes,
}

/// One source as it stands in the file. Which of the optional keys a kind has: `keys` below.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Entry {
    name: String,
    #[serde(rename = "type")]
    type_: Type,
    #[serde(default, deserialize_with = "length")]
    interval: Option<Duration>,
    #[serde(default, deserialize_with = "length")]
    full_pass: Option<Duration>,
    #[serde(default, deserialize_with = "length")]
    grace: Option<Duration>,
    gone_after: Option<i32>,
    #[serde(default)]
    breaker: BreakerEntry,
    #[serde(default)]
    map: BTreeMap<String, String>,
    #[serde(default)]
    label_tags: Vec<String>,

    credentials: Option<String>,
    url: Option<String>,
    ca_file: Option<PathBuf>,
    prefix: Option<String>,
    regions: Option<RegionsEntry>,
    endpoints: Option<BTreeMap<String, String>>,
    role: Option<String>,
    external_id: Option<String>,
    status_checks: Option<bool>,
    filters: Option<BTreeMap<String, OneOrMany>>,
    devices: Option<bool>,
    virtual_machines: Option<bool>,
    region_from: Option<RegionFromEntry>,
    user: Option<String>,
    tags: Option<Tags>,
    bare_metal: Option<bool>,
    iam_url: Option<String>,
    search_url: Option<String>,
    resource_group: Option<String>,
    path: Option<PathBuf>,
    kubeconfig: Option<PathBuf>,
    context: Option<String>,
    namespace: Option<String>,
}

/// Whether to read tags, or which ones to list by.
#[derive(Deserialize)]
#[serde(untagged)]
enum Tags {
    Read(bool),
    Only(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct BreakerEntry {
    percent: u8,
    min: usize,
}

impl Default for BreakerEntry {
    fn default() -> Self {
        Self { percent: 10, min: 5 }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RegionsEntry {
    Word(String),
    List(Vec<String>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RegionFromEntry {
    Region,
    Site,
}

fn length<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    duration::parse(&text).map(Some).map_err(serde::de::Error::custom)
}

/// Reads the file.
///
/// # Errors
/// It cannot be read or is malformed, which names the line, or a source in it cannot be, which names
/// the source; the exit code is for usage.
pub(super) fn read(path: &Path) -> Result<Vec<SourceOptions>> {
    let place = || format!("the file with the sources \"{}\"", path.display());
    let text = std::fs::read_to_string(path).map_err(|cause| {
        Error::usage(format!("cannot read {}", place()))
            .because(cause)
            .hint("check the path given to --sources or INV_TUI_SOURCES")
    })?;
    parse(&text).map_err(|cause| {
        let hint = cause.next_step().map(str::to_owned);
        let error = Error::usage(format!("{} is not right", place())).because(cause);
        match hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    })
}

fn parse(text: &str) -> Result<Vec<SourceOptions>> {
    let contents: Contents = from_toml(text).map_err(|cause| Error::usage(cause.to_string()))?;
    if contents.source.is_empty() {
        return Err(Error::usage("it has no source").hint("begin each with a line [[source]]"));
    }
    if contents.source.len() > MAX_SOURCES {
        return Err(Error::usage(format!("it has more than {MAX_SOURCES} sources")));
    }
    let mut names = BTreeSet::new();
    let mut sources = Vec::new();
    for entry in contents.source {
        let name = entry.name.clone();
        if !names.insert(name.clone()) {
            return Err(Error::usage(format!("two sources are named \"{name}\"")));
        }
        let source = entry.check().map_err(|cause| {
            let hint = cause.next_step().map(str::to_owned);
            let error = Error::usage(format!("source \"{name}\"")).because(cause);
            match hint {
                Some(hint) => error.hint(hint),
                None => error,
            }
        })?;
        sources.push(source);
    }
    Ok(sources)
}

/// The names of AWS regions, each once.
///
/// # Errors
/// A text that cannot be one; the exit code is for usage.
pub(super) fn regions(texts: &[String]) -> Result<Vec<String>> {
    let mut regions: Vec<String> = Vec::new();
    for region in texts.iter().map(|r| r.trim()) {
        let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if region.is_empty() || region.len() > 40 || !region.chars().all(word) {
            return Err(Error::usage(format!("\"{region}\" is not the name of a region"))
                .hint("regions are written like eu-west-1"));
        }
        if !regions.iter().any(|known| known == region) {
            regions.push(region.to_owned());
        }
    }
    Ok(regions)
}

impl Type {
    fn word(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::Netbox => "netbox",
            Self::IbmClassic => "ibm-classic",
            Self::IbmVpc => "ibm-vpc",
            Self::File => "file",
            Self::ClusterApi => "cluster-api",
            Self::KubernetesNodes => "kubernetes-nodes",
        }
    }

    /// The keys that a source of this kind may have, besides those that all have.
    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Aws => &[
                "credentials",
                "regions",
                "url",
                "endpoints",
                "role",
                "external-id",
                "status-checks",
            ],
            Self::Netbox => &[
                "url",
                "credentials",
                "ca-file",
                "prefix",
                "filters",
                "devices",
                "virtual-machines",
                "region-from",
                "full-pass",
            ],
            Self::IbmClassic => {
                &["user", "credentials", "url", "ca-file", "virtual-machines", "bare-metal", "tags"]
            }
            Self::IbmVpc => &[
                "credentials",
                "regions",
                "endpoints",
                "ca-file",
                "iam-url",
                "search-url",
                "tags",
                "bare-metal",
                "resource-group",
            ],
            Self::File => &["path"],
            Self::ClusterApi => &["kubeconfig", "context", "namespace", "prefix"],
            Self::KubernetesNodes => &["kubeconfig", "context", "prefix"],
        }
    }
}

impl Entry {
    /// The optional keys that stand in the file.
    fn given(&self) -> Vec<&'static str> {
        [
            ("full-pass", self.full_pass.is_some()),
            ("credentials", self.credentials.is_some()),
            ("url", self.url.is_some()),
            ("ca-file", self.ca_file.is_some()),
            ("prefix", self.prefix.is_some()),
            ("regions", self.regions.is_some()),
            ("endpoints", self.endpoints.is_some()),
            ("role", self.role.is_some()),
            ("external-id", self.external_id.is_some()),
            ("status-checks", self.status_checks.is_some()),
            ("filters", self.filters.is_some()),
            ("devices", self.devices.is_some()),
            ("virtual-machines", self.virtual_machines.is_some()),
            ("region-from", self.region_from.is_some()),
            ("user", self.user.is_some()),
            ("tags", self.tags.is_some()),
            ("bare-metal", self.bare_metal.is_some()),
            ("iam-url", self.iam_url.is_some()),
            ("search-url", self.search_url.is_some()),
            ("resource-group", self.resource_group.is_some()),
            ("path", self.path.is_some()),
            ("kubeconfig", self.kubeconfig.is_some()),
            ("context", self.context.is_some()),
            ("namespace", self.namespace.is_some()),
        ]
        .into_iter()
        .filter_map(|(key, given)| given.then_some(key))
        .collect()
    }

    fn check(self) -> Result<SourceOptions> {
        legal_name(&self.name)?;
        let allowed = self.type_.keys();
        if let Some(key) = self.given().into_iter().find(|key| !allowed.contains(key)) {
            return Err(Error::usage(format!("type {} has no key \"{key}\"", self.type_.word()))
                .hint(format!("its keys are {}", allowed.join(", "))));
        }
        let interval = self.interval.unwrap_or(Duration::from_mins(5));
        if interval.is_zero() {
            return Err(Error::usage("the interval is zero"));
        }
        let grace = self.grace.unwrap_or(Duration::from_hours(24));
        let gone_after = self.gone_after.unwrap_or(3);
        if !(1..=1000).contains(&gone_after) || self.breaker.percent > 100 {
            return Err(Error::usage("gone-after or breaker.percent is out of range")
                .hint("gone-after is 1 to 1000, percent 0 to 100"));
        }
        let maps: Vec<String> = self.map.iter().map(|(f, tags)| format!("{f}={tags}")).collect();
        Ok(SourceOptions {
            mapping: Mapping::new(&maps, &self.label_tags)?,
            interval,
            full_every: self.full_pass.unwrap_or(Duration::from_hours(1)),
            policy: Policy {
                gone_after,
                grace: grace
                    .try_into()
                    .map_err(|cause| Error::usage("the grace is too long").because(cause))?,
                breaker_min: self.breaker.min,
                breaker_percent: usize::from(self.breaker.percent),
            },
            accept_loss: BTreeSet::new(),
            name: self.name.clone(),
            setup: self.setup()?,
        })
    }

    fn setup(self) -> Result<Setup> {
        Ok(match self.type_ {
            Type::Aws => Setup::Aws(self.aws()?),
            Type::Netbox => Setup::NetBox(self.netbox()?),
            Type::IbmClassic => Setup::Classic(self.classic()?),
            Type::IbmVpc => Setup::Vpc(self.vpc()?),
            Type::File => {
                let path = self.path.ok_or_else(|| {
                    Error::usage("path is not named").hint("write path = \"/etc/hosts.yaml\"")
                })?;
                Setup::File(FileOptions { format: Format::of(&path)?, path })
            }
            Type::ClusterApi => Setup::Kubernetes(self.kubernetes(Kind::Machines, "capi")?),
            Type::KubernetesNodes => Setup::Kubernetes(self.kubernetes(Kind::Nodes, "node")?),
        })
    }

    /// Credentials that a provider cannot do without.
    fn reference(&self) -> Result<Reference> {
        let text = self.credentials.as_deref().ok_or_else(|| {
            Error::usage("credentials are not named")
                .hint("write credentials = \"env:NAME\" or \"file:PATH\"")
        })?;
        match Reference::parse(text)? {
            Reference::Profile(_) => {
                Err(Error::usage(format!("type {} has no profiles", self.type_.word()))
                    .hint("write credentials = \"env:NAME\" or \"file:PATH\""))
            }
            reference => Ok(reference),
        }
    }

    fn address(&self) -> Result<String> {
        let url = self
            .url
            .as_deref()
            .ok_or_else(|| Error::usage("url is not named").hint("write url = \"https://HOST\""))?;
        crate::providers::http::base(url)
    }

    /// The begin of the names of hosts.
    fn prefix(&self, usual: &str) -> Result<String> {
        let prefix = self.prefix.clone().unwrap_or_else(|| usual.to_owned());
        let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let fine = (1..=30).contains(&prefix.len())
            && prefix.chars().all(word)
            && prefix.starts_with(|c: char| c.is_ascii_alphanumeric());
        if fine {
            Ok(prefix)
        } else {
            Err(Error::usage(format!("\"{prefix}\" cannot begin the name of a host"))
                .hint("use at most 30 of a-z, 0-9 and -, and begin with a letter or digit"))
        }
    }

    fn aws(self) -> Result<AwsOptions> {
        let profile = match self.credentials.as_deref().map(Reference::parse).transpose()? {
            None => None,
            Some(Reference::Profile(name)) => Some(name),
            Some(_) => {
                return Err(Error::usage(
                    "AWS takes credentials from a profile or its usual places",
                )
                .hint("write credentials = \"profile:NAME\", or leave it out"));
            }
        };
        let is_url = |url: &String| url.starts_with("http://") || url.starts_with("https://");
        let endpoints = self.endpoints.unwrap_or_default();
        if let Some(url) = self.url.iter().chain(endpoints.values()).find(|url| !is_url(url)) {
            return Err(Error::usage(format!("\"{url}\" is not an endpoint")));
        }
        if self.role.is_none() && self.external_id.is_some() {
            return Err(Error::usage("external-id needs a role"));
        }
        let external_id = self.external_id;
        Ok(AwsOptions {
            regions: match self.regions {
                None => Regions::Configured,
                Some(RegionsEntry::Word(word)) if word == "all" => Regions::All,
                Some(RegionsEntry::Word(word)) => Regions::Named(regions(&[word])?),
                Some(RegionsEntry::List(list)) if list.is_empty() => {
                    return Err(Error::usage("regions is empty"));
                }
                Some(RegionsEntry::List(list)) => Regions::Named(regions(&list)?),
            },
            profile,
            role: self.role.map(|arn| Role { arn, external_id }),
            endpoint: self.url,
            region_endpoints: endpoints,
            status_checks: self.status_checks.unwrap_or(true),
        })
    }

    fn classic(self) -> Result<ClassicOptions> {
        let credentials = self.reference()?;
        Ok(ClassicOptions {
            url: self.url.unwrap_or_else(|| ibm_classic::ENDPOINT.to_owned()),
            user: self.user.unwrap_or_else(|| ibm_classic::IAM_USER.to_owned()),
            credentials,
            ca_file: self.ca_file,
            virtual_machines: self.virtual_machines.unwrap_or(true),
            bare_metal: self.bare_metal.unwrap_or(true),
            tags: match self.tags {
                None => Vec::new(),
                Some(Tags::Only(tags)) => tags,
                Some(Tags::Read(_)) => {
                    return Err(Error::usage("tags is no list")
                        .hint("write tags = [\"NAME\"] to list only hosts with one of them"));
                }
            },
        })
    }

    fn vpc(self) -> Result<VpcOptions> {
        let credentials = self.reference()?;
        let (named, regions) = match self.regions {
            None => (false, ibm_vpc::REGIONS.map(str::to_owned).to_vec()),
            Some(RegionsEntry::Word(word)) if word == "all" => {
                (false, ibm_vpc::REGIONS.map(str::to_owned).to_vec())
            }
            Some(RegionsEntry::Word(word)) => (true, regions(&[word])?),
            Some(RegionsEntry::List(list)) => (true, regions(&list)?),
        };
        if regions.is_empty() {
            return Err(Error::usage("regions is empty"));
        }
        Ok(VpcOptions {
            regions,
            named,
            credentials,
            ca_file: self.ca_file,
            endpoints: self.endpoints.unwrap_or_default(),
            iam: self.iam_url.unwrap_or_else(|| ibm_vpc::IAM.to_owned()),
            search: self.search_url.unwrap_or_else(|| ibm_vpc::SEARCH.to_owned()),
            tags: match self.tags {
                None => true,
                Some(Tags::Read(read)) => read,
                Some(Tags::Only(_)) => {
                    return Err(Error::usage("tags is no truth value")
                        .hint("write tags = false to leave tags alone"));
                }
            },
            bare_metal: self.bare_metal.unwrap_or(true),
            resource_group: self.resource_group,
        })
    }

    fn kubernetes(self, kind: Kind, prefix: &str) -> Result<KubernetesOptions> {
        let prefix = self.prefix(prefix)?;
        let kubeconfig = self.kubeconfig.ok_or_else(|| {
            Error::usage("kubeconfig is not named")
                .hint("write kubeconfig = \"PATH\", that of the other cluster")
        })?;
        Ok(KubernetesOptions {
            kubeconfig,
            context: self.context,
            kind,
            namespace: self.namespace,
            prefix,
        })
    }

    fn netbox(self) -> Result<NetBoxOptions> {
        let mut filters = Vec::new();
        let (url, credentials, prefix) = (self.address()?, self.reference()?, self.prefix("nb")?);
        for (key, values) in self.filters.unwrap_or_default() {
            match values {
                OneOrMany::One(value) => filters.push((key, value)),
                OneOrMany::Many(all) => filters.extend(all.into_iter().map(|v| (key.clone(), v))),
            }
        }
        Ok(NetBoxOptions {
            url,
            credentials,
            ca_file: self.ca_file,
            prefix,
            devices: self.devices.unwrap_or(true),
            virtual_machines: self.virtual_machines.unwrap_or(true),
            filters,
            region_from: match self.region_from {
                Some(RegionFromEntry::Site) => RegionFrom::Site,
                _ => RegionFrom::Region,
            },
        })
    }
}

#[cfg(test)]
mod tests;
