//! Where hosts come from. A provider lists the hosts of a scope as a stream of pages and maps each
//! to an [`Observed`]; it knows no Kubernetes and no screen. One file for each provider.

pub mod aws;
pub mod credentials;
pub mod file;
pub mod http;
pub mod ibm_classic;
pub mod ibm_vpc;
pub mod kubernetes;
pub mod netbox;
mod pages;
mod wire;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use futures::stream::{BoxStream, StreamExt};
use k8s_openapi::jiff::Timestamp;

use crate::model::host::{Address, Hardware, Phase, ScheduledEvent};
use crate::model::source::SourceType;

/// A source of hosts.
pub trait Provider: Send + Sync {
    /// What stands in the Source object.
    fn source_type(&self) -> SourceType;

    /// The value of the label `inventory.inv-tui.dev/provider`, for example `aws`.
    fn name(&self) -> &'static str;

    /// The parts that are listed each by itself. A scope is one region, whose name is the value of
    /// the region label of each of its hosts, or the whole source.
    fn scopes(&self) -> BoxFuture<'_, Result<Vec<Scope>, ProviderError>>;

    /// Lists the hosts of a scope. Only a stream that ends without an error is a complete listing,
    /// and only from that may anybody conclude that a host is gone. Nothing follows an error.
    fn list<'a>(&'a self, scope: &'a str) -> BoxStream<'a, Result<Page, ProviderError>>;

    /// Lists what changed since then and no more, where the provider can tell. Whoever asks has
    /// written all that earlier listings said; nobody may conclude anything from absence here.
    fn changes<'a>(
        &'a self,
        _scope: &'a str,
        _since: Timestamp,
    ) -> Option<BoxStream<'a, Result<Page, ProviderError>>> {
        None
    }

    /// Ends as soon as a pass is worth its while before its time. Most providers cannot know.
    fn stirred(&self) -> BoxFuture<'_, ()> {
        futures::future::pending().boxed()
    }
}

/// One part of a source that is listed by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Name, for example `eu-west-1`.
    pub name: String,
    /// Whether somebody named it. A scope that was only found may be denied without that being a
    /// failure.
    pub asked_for: bool,
    /// Whether it covers every host of the source, whatever its region.
    pub whole: bool,
}

impl Scope {
    /// The only scope of a source that is listed in one go.
    pub fn all() -> Self {
        Self { name: "all".to_owned(), asked_for: true, whole: true }
    }
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
    /// Its id at the provider, where its name may be another one than `name` ([`Observed::other_name`]).
    pub uid: Option<String>,
    /// What is wrong with it.
    pub what: String,
}

/// A host as its provider describes it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Object name: provider and immutable native id, a DNS label.
    pub name: String,
    /// The name to take if `name` is another machine's already. Only where `name` is made of
    /// something that can move to another machine; such a host also keeps the name that it has.
    pub other_name: Option<String>,
    /// URL-like identity, for example `aws:///eu-west-1a/i-0abc`. Empty: not known yet.
    pub provider_id: String,
    /// Id at the provider, which no other host of the source has or ever gets.
    pub uid: String,
    /// Account or project.
    pub account: Option<String>,
    /// Region; in a scope that is not the whole source, the name of the scope. May be empty.
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

/// Tags that are single texts as pairs: `key:value`, or `key=value`, is split there; any other text is
/// a key with the value `true`.
fn tag_texts<'a>(texts: impl Iterator<Item = &'a str>) -> BTreeMap<String, String> {
    texts
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .map(|text| match text.split_once([':', '=']) {
            Some((key, value)) if !key.trim().is_empty() && !value.trim().is_empty() => {
                (key.trim().to_owned(), value.trim().to_owned())
            }
            _ => (text.to_owned(), "true".to_owned()),
        })
        .collect()
}

/// Longest wait for one page, with all attempts of the provider's client.
pub const PAGE_DEADLINE: Duration = Duration::from_mins(5);

/// Most pages of one listing: more than any provider has, and an end for one that never has one.
const MAX_PAGES: usize = 50_000;

/// The listing with a deadline for each page, an end, and each host once: a provider that goes silent,
/// or never comes to an end, ends the scope as incomplete instead of hanging it; of a host that comes
/// twice, because the list moved while it was read, the first counts.
pub fn guarded<'a>(
    scope: &'a str,
    pages: BoxStream<'a, Result<Page, ProviderError>>,
) -> BoxStream<'a, Result<Page, ProviderError>> {
    guarded_by(PAGE_DEADLINE, scope, pages)
}

fn guarded_by<'a>(
    deadline: Duration,
    scope: &'a str,
    pages: BoxStream<'a, Result<Page, ProviderError>>,
) -> BoxStream<'a, Result<Page, ProviderError>> {
    let broken = move |why: String, kind| {
        let error = crate::error::Error::new(format!("cannot list scope \"{scope}\": {why}"));
        Some((Err(ProviderError { kind, error }), None))
    };
    let begin = Some((pages, HashSet::new(), 0));
    futures::stream::unfold(begin, move |state| async move {
        let (mut pages, mut seen, count) = state?;
        if count >= MAX_PAGES {
            let why = format!("it has no end after {MAX_PAGES} pages");
            return broken(why, ProviderErrorKind::Other);
        }
        match tokio::time::timeout(deadline, pages.next()).await {
            Ok(Some(Ok(mut page))) => {
                page.hosts.retain(|host| seen.insert(host.uid.clone()));
                Some((Ok(page), Some((pages, seen, count + 1))))
            }
            Ok(Some(Err(problem))) => Some((Err(problem), None)),
            Ok(None) => None,
            Err(_) => {
                let why = format!("no page after {} s", deadline.as_secs());
                broken(why, ProviderErrorKind::Unreachable)
            }
        }
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    fn page(uids: &[&str]) -> Page {
        let host = |uid: &&str| Observed { uid: (*uid).to_owned(), ..Observed::default() };
        Page { hosts: uids.iter().map(host).collect(), ..Page::default() }
    }

    #[tokio::test]
    async fn a_host_that_comes_twice_counts_once() {
        let pages = stream::iter([Ok(page(&["a", "b", "a"])), Ok(page(&["b", "c"]))]).boxed();
        let found: Vec<_> = guarded("eu", pages).collect().await;
        let uids: Vec<_> =
            found.iter().flatten().flat_map(|p| p.hosts.iter().map(|h| h.uid.as_str())).collect();
        assert_eq!(uids, ["a", "b", "c"]);
    }

    #[tokio::test]
    async fn a_listing_without_an_end_is_an_error() {
        let pages = stream::repeat_with(|| Ok(Page::default())).boxed();
        let last = guarded("eu", pages).collect::<Vec<_>>().await.pop().unwrap().unwrap_err();
        assert!(last.error.to_string().contains("no end after 50000 pages"), "{}", last.error);
    }

    #[tokio::test]
    async fn a_silent_provider_ends_the_listing() {
        let pages = stream::iter([Ok(page(&["a"]))]).chain(stream::pending()).boxed();
        let found: Vec<_> = guarded_by(Duration::from_millis(1), "eu", pages).collect().await;
        assert_eq!(found.len(), 2, "nothing follows the error");
        let problem = found[1].as_ref().unwrap_err();
        assert_eq!(problem.kind, ProviderErrorKind::Unreachable);
        assert!(problem.error.to_string().contains("no page after 0 s"), "{}", problem.error);
    }
}
