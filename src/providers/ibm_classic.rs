//! IBM Cloud Classic (SoftLayer): virtual guests and bare metal servers of one account.
//!
//! A list comes by offset, in an order that is stable only because it is asked for, with its length in
//! a header. Passwords are never asked for: `operatingSystem.passwords` has them in clear.

mod map;

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{self, BoxStream, StreamExt};
use serde_json::{Value, json};

use self::map::Kind;
use super::credentials::{Reference, Secret};
use super::http::{Ask, Http};
use super::pages::{Overlap, odd};
use super::{Page, Provider, ProviderError, Scope};
use crate::error::Result;
use crate::model::source::SourceType;

/// Address of the API.
pub const ENDPOINT: &str = "https://api.softlayer.com/rest/v3.1";
/// Name of the user where the key is one of IAM.
pub const IAM_USER: &str = "apikey";
/// Items in one page: what IBM's own client asks for.
const PAGE: u64 = 100;
/// Header with the length of the list.
const TOTAL: &str = "softlayer-total-items";

/// How to reach an account, and what to ask it for.
#[derive(Clone, Debug)]
pub struct ClassicOptions {
    /// Address of the API, [`ENDPOINT`] or its private one.
    pub url: String,
    /// Name of the user, [`IAM_USER`] for a key of IAM.
    pub user: String,
    /// Where the key is.
    pub credentials: Reference,
    /// Certificate authorities instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Whether to list virtual guests.
    pub virtual_machines: bool,
    /// Whether to list bare metal servers.
    pub bare_metal: bool,
    /// Only hosts with one of these tags; empty: all.
    pub tags: Vec<String>,
}

/// One account of IBM Cloud Classic.
pub struct Classic {
    http: Http,
    options: ClassicOptions,
}

impl Classic {
    /// An account. It is not asked anything yet.
    ///
    /// # Errors
    /// An address that cannot be, unreadable certificate authorities; for set-up.
    pub fn new(mut options: ClassicOptions) -> Result<Self> {
        options.url = super::http::base(&options.url)?;
        Ok(Self { http: Http::new(options.ca_file.as_deref())?, options })
    }

    /// One page of a list at this offset; its items, and whether more come after it.
    async fn get(&self, kind: Kind, offset: u64) -> Result<(Vec<Value>, bool), ProviderError> {
        let key = self.options.credentials.read()?;
        let pair = format!("{}:{}", self.options.user, key.expose());
        let filter = filter(kind, &self.options.tags).to_string();
        let limit = format!("{offset},{PAGE}");
        let query = super::http::query([
            ("objectMask", kind.mask()),
            ("objectFilter", &filter),
            ("resultLimit", &limit),
        ]);
        let url = format!("{}/SoftLayer_Account/{}.json?{query}", self.options.url, kind.method());
        let authorization = Secret::new(format!("Basic {}", STANDARD.encode(pair)));
        let secrets = [key];
        let mut ask = Ask::get(kind.what(), &url, Some(authorization));
        ask.secrets = &secrets;
        let answer = self.http.json(&ask).await?;
        let total: Option<u64> =
            answer.headers.get(TOTAL).and_then(|total| total.to_str().ok()?.trim().parse().ok());
        let Value::Array(items) = answer.body else {
            return Err(odd(kind.what(), "the answer is no list"));
        };
        let count = u64::try_from(items.len()).unwrap_or(0);
        let read = offset.saturating_add(count);
        // a short page is the end only if the server does not say that there is more; a length that
        // is less than what it sent says nothing
        let more = total.filter(|total| *total >= read).map_or(count >= PAGE, |total| read < total);
        Ok((items, more))
    }

    async fn next_page(
        &self,
        listing: &mut Vec<(Kind, Overlap)>,
    ) -> Result<Option<Page>, ProviderError> {
        while let Some((kind, place)) = listing.last_mut() {
            let kind = *kind;
            let (mut items, more) = self.get(kind, place.offset()).await?;
            let end = place.take(kind.what(), &mut items, PAGE, more)?;
            if end == Some(true) {
                listing.pop();
            }
            if end.is_some() {
                let mut page = Page::default();
                for item in &items {
                    match map::observe(kind, item) {
                        Ok(host) => page.hosts.push(host),
                        Err(problem) => page.problems.push(problem),
                    }
                }
                return Ok(Some(page));
            }
        }
        Ok(None)
    }
}

/// The filter that orders by id, and by tag if tags are named.
fn filter(kind: Kind, tags: &[String]) -> Value {
    let mut filter = json!({
        "id": {"operation": "orderBy", "options": [{"name": "sort", "value": ["ASC"]}]},
    });
    if !tags.is_empty()
        && let Some(map) = filter.as_object_mut()
    {
        let named = json!({"operation": "in", "options": [{"name": "data", "value": tags}]});
        map.insert("tagReferences".to_owned(), json!({"tag": {"name": named}}));
    }
    json!({ kind.property(): filter })
}

impl Provider for Classic {
    fn source_type(&self) -> SourceType {
        SourceType::IBMCloudClassic
    }

    fn name(&self) -> &'static str {
        "ibm-classic"
    }

    fn scopes(&self) -> BoxFuture<'_, Result<Vec<Scope>, ProviderError>> {
        async { Ok(vec![Scope::all()]) }.boxed()
    }

    fn list<'a>(&'a self, _scope: &'a str) -> BoxStream<'a, Result<Page, ProviderError>> {
        let mut listing = Vec::new();
        // the last one is listed first
        if self.options.bare_metal {
            listing.push((Kind::Metal, Overlap::default()));
        }
        if self.options.virtual_machines {
            listing.push((Kind::Guest, Overlap::default()));
        }
        stream::try_unfold(listing, move |mut listing| async move {
            Ok(self.next_page(&mut listing).await?.map(|page| (page, listing)))
        })
        .boxed()
    }
}
