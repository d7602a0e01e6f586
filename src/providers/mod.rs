//! Where hosts come from. A provider lists the hosts of a scope as a stream of pages and maps each
//! to an [`Observed`]; it knows no Kubernetes and no screen. One file for each provider.

pub mod aws;
pub mod credentials;
pub mod http;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use k8s_openapi::jiff::Timestamp;

use crate::model::host::{Address, Hardware, Phase, ScheduledEvent};
use crate::model::source::SourceType;

/// A source of hosts.
pub trait Provider: Send + Sync {
    /// What stands in the Source object.
    fn source_type(&self) -> SourceType;

    /// The value of the label `inventory.inv-tui.dev/provider`, for example `aws`.
    fn name(&self) -> &'static str;

    /// The parts that are listed each by itself. A scope is one region: its name is the value of
    /// the region label of each of its hosts.
    fn scopes(&self) -> BoxFuture<'_, Result<Vec<Scope>, ProviderError>>;

    /// Lists the hosts of a scope. Only a stream that ends without an error is a complete listing,
    /// and only from that may anybody conclude that a host is gone. Nothing follows an error.
    fn list<'a>(&'a self, scope: &'a str) -> BoxStream<'a, Result<Page, ProviderError>>;
}

/// One part of a source that is listed by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Name, for example `eu-west-1`.
    pub name: String,
    /// Whether somebody named it. A scope that was only found may be denied without that being a
    /// failure.
    pub asked_for: bool,
}

/// One page of a listing.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Hosts that could be read.
    pub hosts: Vec<Observed>,
    /// Items that could not.
    pub problems: Vec<ItemProblem>,
    /// What went wrong beside the listing, for the log: it is complete all the same.
    pub notes: Vec<String>,
}

/// An item of a page that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemProblem {
    /// Name of its host, where that much could be read. Without it the listing cannot prove that
    /// any host is missing.
    pub name: Option<String>,
    /// What is wrong with it.
    pub what: String,
}

/// A host as its provider describes it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Object name: provider and immutable native id, a DNS label.
    pub name: String,
    /// URL-like identity, for example `aws:///eu-west-1a/i-0abc`.
    pub provider_id: String,
    /// Id at the provider.
    pub uid: String,
    /// Account or project.
    pub account: Option<String>,
    /// Region, which is also the name of the scope.
    pub region: String,
    /// Availability zone.
    pub zone: Option<String>,
    /// Operating system family, for example `linux`.
    pub os: Option<String>,
    /// The name that people use.
    pub display_name: Option<String>,
    /// Every tag but the one that became the display name.
    pub tags: BTreeMap<String, String>,
    /// State folded into ours.
    pub state: Phase,
    /// The provider's word for it.
    pub raw_state: Option<String>,
    /// Page about the host.
    pub url: Option<String>,
    /// Addresses, the most useful first.
    pub addresses: Vec<Address>,
    /// What the machine is made of.
    pub hardware: Hardware,
    /// When it was launched.
    pub launch_time: Option<Timestamp>,
    /// What the provider's checks say. None: they could not be asked; what was known stays.
    pub health: Option<Health>,
}

/// What a provider's checks say of a host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Health {
    /// What is wrong, if anything.
    pub problem: Option<HealthProblem>,
    /// What is planned.
    pub events: Vec<ScheduledEvent>,
}

/// What is wrong with a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthProblem {
    /// `PascalCase` reason for a condition.
    pub reason: &'static str,
    /// One sentence.
    pub message: String,
}

/// Why a provider could not be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProviderErrorKind {
    /// No credentials, or wrong or expired ones.
    Credentials,
    /// The credentials are known and not allowed to do this, here.
    Denied,
    /// There is no such scope.
    UnknownScope,
    /// Nobody answers at the endpoint.
    Unreachable,
    /// Too many requests, for longer than was worth waiting.
    Throttled,
    /// Anything else.
    Other,
}

impl ProviderErrorKind {
    /// Whether it is a matter of set-up, which trying again does not mend.
    pub fn is_setup(self) -> bool {
        matches!(self, Self::Credentials | Self::UnknownScope)
    }

    /// One word for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Credentials => "credentials",
            Self::Denied => "denied",
            Self::UnknownScope => "unknown_scope",
            Self::Unreachable => "unreachable",
            Self::Throttled => "throttled",
            Self::Other => "other",
        }
    }
}

/// A provider that could not be asked: what was tried, why not, what to do.
#[derive(Debug)]
pub struct ProviderError {
    /// Class of the failure.
    pub kind: ProviderErrorKind,
    /// The words.
    pub error: crate::error::Error,
}

impl fmt::Display for ProviderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for ProviderError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

impl From<ProviderError> for crate::error::Error {
    fn from(problem: ProviderError) -> Self {
        if problem.kind.is_setup() { problem.error.as_usage() } else { problem.error }
    }
}

/// Longest wait for one page, with all attempts of the provider's client.
pub const PAGE_DEADLINE: Duration = Duration::from_mins(5);

/// The listing with a deadline for each page: a provider that goes silent ends the scope as
/// incomplete instead of hanging it.
pub fn guarded<'a>(
    scope: &'a str,
    pages: BoxStream<'a, Result<Page, ProviderError>>,
) -> BoxStream<'a, Result<Page, ProviderError>> {
    futures::stream::unfold(Some(pages), move |pages| async move {
        let mut pages = pages?;
        match tokio::time::timeout(PAGE_DEADLINE, pages.next()).await {
            Ok(Some(Ok(page))) => Some((Ok(page), Some(pages))),
            Ok(Some(Err(problem))) => Some((Err(problem), None)),
            Ok(None) => None,
            Err(_) => {
                let error = crate::error::Error::new(format!(
                    "cannot list scope \"{scope}\": no page after {} s",
                    PAGE_DEADLINE.as_secs()
                ));
                Some((Err(ProviderError { kind: ProviderErrorKind::Unreachable, error }), None))
            }
        }
    })
    .boxed()
}
