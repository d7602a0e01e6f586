//! The command line of the task, and what it means.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::diff::Output;
use super::lost::Policy;
use super::mapping::Mapping;
use super::setup::Setup;
use crate::error::{Error, Result};
use crate::model::labels;
use crate::providers::aws::{AwsOptions, Regions};
use crate::telemetry::LogArgs;

/// Where health and metrics are served while the task runs as a service.
const LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9417);

/// Read hosts from providers into the API server
///
/// One source of AWS by flags, or any number of sources of every kind from a file (--sources).
/// Writes what changed and nothing else, by server-side apply under the field manager
/// inv-tui-fetch-SOURCE. Of several, one works on a source: the holder of the Lease of that name. Exit
/// codes: 0 done, 1 partly or not done, 2 wrong usage or set-up, 3 another one works (--once).
#[derive(clap::Args, Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct FetchArgs {
    /// File with the sources, instead of the flags that describe one
    #[arg(long, value_name = "FILE", env = "INV_TUI_SOURCES", conflicts_with_all = [
        "source", "region", "all_regions", "profile", "endpoint_url", "no_status_checks", "map",
        "label_tag", "interval", "gone_after", "grace", "breaker_min", "breaker_percent",
    ])]
    pub sources: Option<PathBuf>,
    /// Name of the source: its Source object, the label of its hosts, its field manager
    #[arg(long, value_name = "NAME", default_value = "aws")]
    pub source: String,
    /// AWS regions, repeated or separated by commas; default: the configured one
    #[arg(long, value_name = "REGION", value_delimiter = ',', conflicts_with = "all_regions")]
    pub region: Vec<String>,
    /// Every AWS region that is enabled for the account
    #[arg(long)]
    pub all_regions: bool,
    /// Profile of the AWS configuration files
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Endpoint of EC2 instead of the configured one; REGION=URL for a single region
    #[arg(long, value_name = "[REGION=]URL")]
    pub endpoint_url: Vec<String>,
    /// Do not ask for status checks and scheduled events (half the requests)
    #[arg(long)]
    pub no_status_checks: bool,
    /// Take a field from a tag: cluster, role, team, environment, display-name or a label key.
    /// The first tag that is there counts; TAG* takes what follows in the tag's name; nothing
    /// after = turns the field off
    #[arg(long = "map", value_name = "FIELD=TAG[|TAG...]")]
    pub map: Vec<String>,
    /// Make a label of this tag; repeatable
    #[arg(long, value_name = "TAG")]
    pub label_tag: Vec<String>,
    /// One pass, then exit
    #[arg(long, conflicts_with = "interval")]
    pub once: bool,
    /// Time between two passes, such as 90s or 1h30m
    #[arg(long, value_name = "TIME", value_parser = crate::model::duration::parse, default_value = "5m")]
    pub interval: Duration,
    /// Complete listings in a row without a host until it counts as gone
    #[arg(long, value_name = "PASSES", default_value_t = 3, value_parser = clap::value_parser!(i32).range(1..=1000))]
    pub gone_after: i32,
    /// How long a host that is gone is kept
    #[arg(long, value_name = "TIME", value_parser = crate::model::duration::parse, default_value = "24h")]
    pub grace: Duration,
    /// Hosts of a scope that may always go missing in one pass
    #[arg(long, value_name = "HOSTS", default_value_t = 5)]
    pub breaker_min: usize,
    /// Percent of a scope's hosts that may go missing in one pass
    #[arg(long, value_name = "PERCENT", default_value_t = 10, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub breaker_percent: u8,
    /// Believe the next complete pass of this scope, however many hosts it lacks; repeatable
    #[arg(long, value_name = "[SOURCE/]SCOPE")]
    pub accept_loss: Vec<String>,
    /// Writes under way at once
    #[arg(long, value_name = "NUMBER", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub writes: u16,
    /// Print what one pass would change as a diff, and write nothing; changes are no failure
    #[arg(long, conflicts_with = "interval")]
    pub dry_run: bool,
    /// How a dry run is printed
    #[arg(long, short, value_enum, default_value_t = Output::Text, requires = "dry_run")]
    pub output: Output,
    /// Address of /healthz, /readyz and /metrics [default: 127.0.0.1:9417, none with --once]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// Form of the log.
    #[command(flatten)]
    pub log: LogArgs,
}

/// What the command line means.
#[derive(Clone, Debug)]
pub(super) struct Options {
    /// The sources, at least one.
    pub(super) sources: Vec<SourceOptions>,
    /// One pass over each only.
    pub(super) once: bool,
    /// Writes under way at once, of all sources together.
    pub(super) writes: usize,
    /// Write nothing.
    pub(super) dry_run: bool,
    /// How a dry run is printed.
    pub(super) output: Output,
    /// Where to serve health and metrics.
    pub(super) listen: Option<SocketAddr>,
}

/// What is to be done about one source.
#[derive(Clone, Debug)]
pub(super) struct SourceOptions {
    /// Its name.
    pub(super) name: String,
    /// How to reach it.
    pub(super) setup: Setup,
    /// How tags become fields.
    pub(super) mapping: Mapping,
    /// Time between passes.
    pub(super) interval: Duration,
    /// Longest time between passes that read everything, where others read changes only.
    pub(super) full_every: Duration,
    /// When a host is lost.
    pub(super) policy: Policy,
    /// Scopes whose next complete pass is believed.
    pub(super) accept_loss: BTreeSet<String>,
}

/// Checks that a source may have this name.
///
/// # Errors
/// It may not; the exit code is for usage.
pub(super) fn legal_name(name: &str) -> Result<()> {
    if labels::to_object_name(name, "") == name {
        return Ok(());
    }
    Err(Error::usage(format!("\"{name}\" cannot name a source"))
        .hint("use at most 63 of a-z, 0-9 and -, and begin and end with a letter or digit"))
}

impl FetchArgs {
    /// Checks what clap cannot check, and reads the file with the sources if one is named.
    ///
    /// # Errors
    /// A value that is not legal; the exit code is for usage.
    pub(super) fn options(&self) -> Result<Options> {
        let once = self.once || self.dry_run;
        let mut sources = match &self.sources {
            Some(path) => super::sources::read(path)?,
            None => vec![self.source()?],
        };
        for text in &self.accept_loss {
            let (name, scope) =
                text.split_once('/').map_or((None, text.as_str()), |(n, s)| (Some(n), s));
            for source in sources.iter_mut().filter(|s| name.is_none_or(|name| name == s.name)) {
                source.accept_loss.insert(scope.to_owned());
            }
        }
        Ok(Options {
            sources,
            once,
            writes: usize::from(self.writes),
            dry_run: self.dry_run,
            output: self.output,
            listen: self.listen.or_else(|| (!once).then_some(LISTEN)),
        })
    }

    /// The one source that the flags describe.
    fn source(&self) -> Result<SourceOptions> {
        legal_name(&self.source)?;
        let grace = self
            .grace
            .try_into()
            .map_err(|cause| Error::usage("the value of --grace is too long").because(cause))?;
        Ok(SourceOptions {
            name: self.source.clone(),
            setup: Setup::Aws(self.aws()?),
            mapping: Mapping::new(&self.map, &self.label_tag)?,
            interval: self.interval,
            full_every: self.interval,
            policy: Policy {
                gone_after: self.gone_after,
                grace,
                breaker_min: self.breaker_min,
                breaker_percent: usize::from(self.breaker_percent),
            },
            accept_loss: BTreeSet::new(),
        })
    }

    /// The options of the AWS provider.
    ///
    /// # Errors
    /// An endpoint that is no URL, a region that cannot be one; the exit code is for usage.
    pub fn aws(&self) -> Result<AwsOptions> {
        let regions = super::sources::regions(&self.region)?;
        let mut endpoint = None;
        let mut region_endpoints = BTreeMap::new();
        for text in &self.endpoint_url {
            let is_url = |text: &str| text.starts_with("http://") || text.starts_with("https://");
            if is_url(text) {
                endpoint = Some(text.clone());
            } else if let Some((region, url)) = text.split_once('=')
                && is_url(url)
            {
                region_endpoints.insert(region.to_owned(), url.to_owned());
            } else {
                return Err(Error::usage(format!("\"{text}\" is not an endpoint"))
                    .hint("write --endpoint-url https://HOST[:PORT] or --endpoint-url REGION=https://HOST[:PORT]"));
            }
        }
        Ok(AwsOptions {
            regions: if self.all_regions {
                Regions::All
            } else if regions.is_empty() {
                Regions::Configured
            } else {
                Regions::Named(regions)
            },
            profile: self.profile.clone(),
            role: None,
            endpoint,
            region_endpoints,
            status_checks: !self.no_status_checks,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        args: FetchArgs,
    }

    fn args(words: &str) -> FetchArgs {
        Cli::try_parse_from(format!("fetch {words}").split_whitespace()).unwrap().args
    }

    #[test]
    fn a_service_listens_and_a_single_pass_does_not() {
        assert_eq!(args("").options().unwrap().listen, Some(LISTEN));
        let once = args("--once").options().unwrap();
        assert!(once.listen.is_none() && once.once && once.sources.len() == 1);
        assert!(args("--dry-run").options().unwrap().once);
        assert!(Cli::try_parse_from(["fetch", "--sources", "f", "--region", "eu"]).is_err());
        assert!(Cli::try_parse_from(["fetch", "--sources", "f", "--once"]).is_ok());
        assert!(Cli::try_parse_from(["fetch", "--once", "--interval", "5m"]).is_err());
        assert_eq!(args("--dry-run -o json").options().unwrap().output, Output::Json);
        assert!(Cli::try_parse_from(["fetch", "--once", "--output", "json"]).is_err());
    }

    #[test]
    fn regions_and_endpoints() {
        let aws = args("--region eu-west-1,eu-west-2 --region eu-west-1 --endpoint-url http://a --endpoint-url eu-west-2=https://b").aws().unwrap();
        assert_eq!(aws.regions, Regions::Named(vec!["eu-west-1".into(), "eu-west-2".into()]));
        assert_eq!(aws.endpoint.as_deref(), Some("http://a"));
        assert_eq!(aws.region_endpoints["eu-west-2"], "https://b");
        assert_eq!(args("").aws().unwrap().regions, Regions::Configured);
        assert!(args("--region EU/west").aws().is_err());
        assert!(args("--endpoint-url localhost:1").aws().is_err());
        assert!(args("--source Not_Legal").options().is_err());
    }
}
