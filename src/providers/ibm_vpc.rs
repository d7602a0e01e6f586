//! IBM Cloud VPC: virtual servers and bare metal servers, region by region.
//!
//! A server has neither its tags nor its floating addresses; both are read beside the list and joined.
//! If they cannot be read the scope is not complete: hosts without them would look changed.

mod map;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{self, BoxStream, StreamExt};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;

use self::map::{Frame, Kind};
use super::credentials::{Reference, Secret};
use super::http::{Answer, Ask, Http};
use super::pages::odd;
use super::wire::Tokens;
use super::{Page, Provider, ProviderError, ProviderErrorKind, Scope, tag_texts};
use crate::error::Result;
use crate::model::source::SourceType;

/// Where tokens come from.
pub const IAM: &str = "https://iam.cloud.ibm.com";
/// Where tags are searched.
pub const SEARCH: &str = "https://api.global-search-tagging.cloud.ibm.com";
/// Version of the API, a date; it fixes the shape of the answers.
const VERSION: &str = "2026-03-24";
/// Items in one page.
const PAGE: usize = 100;
/// Most pages of what is joined to a list.
const MAX_PAGES: usize = 10_000;
/// Part of a token's life after which it is renewed.
const RENEW_AT: f64 = 0.8;
/// The regions of IBM Cloud VPC.
pub const REGIONS: [&str; 12] = [
    "au-syd", "br-sao", "ca-mon", "ca-tor", "eu-de", "eu-es", "eu-gb", "in-che", "jp-osa",
    "jp-tok", "us-east", "us-south",
];

/// How to reach an account, and what to ask it for.
#[derive(Clone, Debug)]
pub struct VpcOptions {
    /// Regions to list.
    pub regions: Vec<String>,
    /// Whether somebody named the regions.
    pub named: bool,
    /// Where the API key is.
    pub credentials: Reference,
    /// Certificate authorities instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Endpoints of single regions, for example private ones; without `/v1`.
    pub endpoints: BTreeMap<String, String>,
    /// Where tokens come from, [`IAM`] or a private endpoint of it.
    pub iam: String,
    /// Where tags are searched, [`SEARCH`] or another endpoint of it.
    pub search: String,
    /// Whether to read tags.
    pub tags: bool,
    /// Whether to list bare metal servers.
    pub bare_metal: bool,
    /// Id of the only resource group to list.
    pub resource_group: Option<String>,
}

/// One account of IBM Cloud VPC.
pub struct Vpc {
    http: Http,
    options: VpcOptions,
    token: Mutex<Option<Token>>,
}

struct Token {
    header: Secret,
    renew: Instant,
}

struct Listing<'a> {
    region: &'a str,
    floating: HashMap<String, Vec<String>>,
    tags: HashMap<String, BTreeMap<String, String>>,
    kinds: Vec<(Kind, Place)>,
}

/// Where the next page of a list starts.
#[derive(Default)]
struct Place {
    start: Option<String>,
    starts: Tokens,
}

impl Vpc {
    /// An account. It is not asked anything yet.
    ///
    /// # Errors
    /// An address that cannot be, unreadable certificate authorities; for set-up.
    pub fn new(mut options: VpcOptions) -> Result<Self> {
        let all = [&mut options.iam, &mut options.search];
        for url in all.into_iter().chain(options.endpoints.values_mut()) {
            *url = super::http::base(url)?;
        }
        Ok(Self { http: Http::new(options.ca_file.as_deref())?, options, token: Mutex::default() })
    }

    /// A token that is good for some time. One at a time asks for a new one; the others wait for it.
    async fn token(&self, refused: Option<&Secret>) -> Result<Secret, ProviderError> {
        let mut held = self.token.lock().await;
        if let Some(token) = &*held
            && refused.is_none_or(|refused| *refused != token.header)
            && Instant::now() < token.renew
        {
            return Ok(token.header.clone());
        }
        let key = self.options.credentials.read()?;
        let what = "cannot get a token of IBM Cloud IAM";
        let form = super::http::query([
            ("grant_type", "urn:ibm:params:oauth:grant-type:apikey"),
            ("apikey", key.expose()),
        ]);
        let url = format!("{}/identity/token", self.options.iam);
        let body = ("application/x-www-form-urlencoded", Bytes::from(form));
        let secrets = [key];
        let mut ask = Ask::post(what, &url, body);
        ask.secrets = &secrets;
        // IAM says 400 to an unknown key
        ask.wrong_key = &[400, 403];
        let answer = self.http.json(&ask).await.map_err(|mut problem| {
            if problem.kind == ProviderErrorKind::Credentials {
                problem.error = problem.error.hint("the API key may be wrong, locked or deleted");
            }
            problem
        })?;
        let field = |name: &str| answer.body.get(name);
        let token = field("access_token").and_then(Value::as_str);
        let token = token.ok_or_else(|| odd(what, "the answer has no token"))?;
        let life = field("expires_in").and_then(Value::as_u64).unwrap_or(600).min(86_400);
        let header = Secret::new(format!("Bearer {token}"));
        let renew = Instant::now() + Duration::from_secs(life).mul_f64(RENEW_AT);
        *held = Some(Token { header: header.clone(), renew });
        Ok(header)
    }

    /// An answer; if the token is refused, once more with a new one.
    async fn ask(&self, ask: Ask<'_>) -> Result<Answer, ProviderError> {
        let first = self.token(None).await?;
        let with = |token: Secret| Ask { authorization: Some(token), ..ask.clone() };
        match self.http.json(&with(first.clone())).await {
            Err(problem) if problem.kind == ProviderErrorKind::Credentials => {
                self.http.json(&with(self.token(Some(&first)).await?)).await
            }
            other => other,
        }
    }

    fn endpoint(&self, region: &str) -> String {
        let own = self.options.endpoints.get(region).cloned();
        own.unwrap_or_else(|| format!("https://{region}.iaas.cloud.ibm.com"))
    }

    /// One page of a list of a region: its items, and whether there is another one, at which `place`
    /// then is.
    async fn get(
        &self,
        what: &str,
        region: &str,
        list: &str,
        place: &mut Place,
    ) -> Result<(Vec<Value>, bool), ProviderError> {
        let limit = PAGE.to_string();
        let mut pairs = vec![("version", VERSION), ("generation", "2"), ("limit", limit.as_str())];
        if let Some(group) = &self.options.resource_group {
            pairs.push(("resource_group.id", group));
        }
        // the address of the next page lacks version and generation, so only its start is taken
        pairs.extend(place.start.as_deref().map(|start| ("start", start)));
        let url = format!("{}/v1/{list}?{}", self.endpoint(region), super::http::query(pairs));
        let mut answer = self.ask(Ask::get(what, &url, None)).await?;
        let Some(Value::Array(items)) = answer.body.get_mut(list).map(Value::take) else {
            return Err(odd(what, "the answer has no list"));
        };
        let next = answer.body.get("next").and_then(|n| n.get("href")).and_then(Value::as_str);
        let Some(href) = next else {
            let total = answer.body.get("total_count").and_then(Value::as_u64);
            let count = u64::try_from(items.len()).unwrap_or(0);
            // what is made while several pages are read may be counted and not be in any
            if place.start.is_none() && total.is_some_and(|total| total > count) {
                return Err(odd(what, "the server says that there is more, and does not send it"));
            }
            return Ok((items, false));
        };
        match start_of(href).filter(|start| place.starts.take(start)) {
            None => Err(odd(what, "the next page does not come after this one")),
            start => {
                place.start = start;
                Ok((items, true))
            }
        }
    }

    /// The floating addresses by the id of the interface that has them.
    async fn floating(&self, region: &str) -> Result<HashMap<String, Vec<String>>, ProviderError> {
        let what = format!("cannot list the floating addresses of region \"{region}\"");
        let mut found: HashMap<String, Vec<String>> = HashMap::new();
        let mut place = Place::default();
        for _ in 0..MAX_PAGES {
            let (items, more) = self.get(&what, region, "floating_ips", &mut place).await?;
            for item in &items {
                let target = item.get("target").and_then(|t| t.get("id")).and_then(Value::as_str);
                let address = item.get("address").and_then(Value::as_str);
                if let (Some(target), Some(address)) = (target, address) {
                    found.entry(target.to_owned()).or_default().push(address.to_owned());
                }
            }
            if !more {
                return Ok(found);
            }
        }
        Err(odd(&what, "the list has no end"))
    }

    /// The tags by the CRN of what has them.
    async fn tags(
        &self,
        region: &str,
    ) -> Result<HashMap<String, BTreeMap<String, String>>, ProviderError> {
        let what = format!("cannot search the tags of region \"{region}\"");
        let url = format!("{}/v3/resources/search?limit={PAGE}", self.options.search);
        let types = "(type:instance OR type:bare-metal-server)";
        let query = format!("family:is AND {types} AND region:{region}");
        let mut found = HashMap::new();
        let mut cursor: Option<String> = None;
        let mut cursors = Tokens::default();
        for _ in 0..MAX_PAGES {
            let mut body = json!({"query": query, "fields": ["crn", "tags"]});
            if let (Some(cursor), Some(map)) = (&cursor, body.as_object_mut()) {
                map.insert("search_cursor".to_owned(), cursor.as_str().into());
            }
            let body = ("application/json", Bytes::from(body.to_string()));
            let answer = self.ask(Ask::post(&what, &url, body)).await?;
            let Some(items) = answer.body.get("items").and_then(Value::as_array) else {
                return Err(odd(&what, "the answer has no items"));
            };
            for item in items {
                let Some(crn) = item.get("crn").and_then(Value::as_str) else { continue };
                let all = item.get("tags").and_then(Value::as_array).into_iter().flatten();
                found.insert(crn.to_owned(), tag_texts(all.filter_map(Value::as_str)));
            }
            let next = answer.body.get("search_cursor").and_then(Value::as_str);
            match next.filter(|next| !next.is_empty() && items.len() >= PAGE) {
                None => return Ok(found),
                Some(next) if !cursors.take(next) => {
                    return Err(odd(&what, "the server sent the same cursor twice"));
                }
                Some(next) => cursor = Some(next.to_owned()),
            }
        }
        Err(odd(&what, "the list has no end"))
    }

    async fn begin<'a>(&self, region: &'a str) -> Result<Listing<'a>, ProviderError> {
        let tags =
            async { if self.options.tags { self.tags(region).await } else { Ok(HashMap::new()) } };
        let (floating, tags) = tokio::try_join!(self.floating(region), tags)?;
        let mut kinds = Vec::new();
        // the last one is listed first
        if self.options.bare_metal {
            kinds.push((Kind::Metal, Place::default()));
        }
        kinds.push((Kind::Instance, Place::default()));
        Ok(Listing { region, floating, tags, kinds })
    }

    async fn next_page(&self, listing: &mut Listing<'_>) -> Result<Option<Page>, ProviderError> {
        let Some((kind, mut place)) = listing.kinds.pop() else { return Ok(None) };
        let what = format!("{} of region \"{}\"", kind.what(), listing.region);
        let (items, more) = self.get(&what, listing.region, kind.list(), &mut place).await?;
        if more {
            listing.kinds.push((kind, place));
        }
        let frame = Frame {
            region: listing.region,
            floating: &listing.floating,
            tags: self.options.tags.then_some(&listing.tags),
        };
        let mut page = Page::default();
        for item in &items {
            match map::observe(kind, item, &frame) {
                Ok(host) => page.hosts.push(host),
                Err(problem) => page.problems.push(problem),
            }
        }
        Ok(Some(page))
    }
}

/// The value of `start` in the address of the next page.
fn start_of(href: &str) -> Option<String> {
    let (_, query) = href.split_once('?')?;
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs.find(|(key, _)| key == "start").map(|(_, value)| value.into_owned())
}

impl Provider for Vpc {
    fn source_type(&self) -> SourceType {
        SourceType::IBMCloudVPC
    }

    fn name(&self) -> &'static str {
        "ibm-vpc"
    }

    fn scopes(&self) -> BoxFuture<'_, Result<Vec<Scope>, ProviderError>> {
        let asked_for = self.options.named;
        let scope = |name: &String| Scope { name: name.clone(), asked_for, whole: false };
        let scopes = self.options.regions.iter().map(scope).collect();
        async move { Ok(scopes) }.boxed()
    }

    fn list<'a>(&'a self, scope: &'a str) -> BoxStream<'a, Result<Page, ProviderError>> {
        stream::try_unfold(None, move |listing: Option<Listing<'a>>| async move {
            let mut listing = match listing {
                Some(listing) => listing,
                None => self.begin(scope).await?,
            };
            Ok(self.next_page(&mut listing).await?.map(|page| (page, Some(listing))))
        })
        .boxed()
    }
}
