//! NetBox: devices and virtual machines by its REST API, versions 3.6 to 4.x and later.
//!
//! Pages come by cursor (`start`, since 4.6) or, from older servers, by offset; see [`pages`]. A pass
//! between two full ones asks only for what was updated since; deletions, and changes of what a device
//! only refers to (a site that gets another region), come to light in the next full one.

mod map;
mod pages;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};

use futures::future::{BoxFuture, FutureExt};
use futures::stream::{self, BoxStream, StreamExt};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use self::map::{Frame, Kind, Site};
use self::pages::Pager;
use super::credentials::{Reference, Secret};
use super::http::{Answer, Ask, Http};
use super::pages::odd;
use super::{Page, Provider, ProviderError, Scope};
use crate::error::{Error, Result};
use crate::model::source::SourceType;

/// Time by which a pass over changes begins earlier than the last one did: a change may become
/// visible a little later than the time that it carries.
const OVERLAP: SignedDuration = SignedDuration::from_mins(2);
/// Fields of a device.
const DEVICE: &str = "id,url,display_url,name,display,status,site,location,rack,position,role,platform,tenant,cluster,device_type,serial,asset_tag,primary_ip4,primary_ip6,oob_ip,tags,custom_fields,last_updated";
/// Fields of a virtual machine.
const MACHINE: &str = "id,url,display_url,name,display,status,site,cluster,role,platform,tenant,vcpus,memory,serial,primary_ip4,primary_ip6,tags,custom_fields,last_updated";
/// Query parameters that are ours.
const OURS: [&str; 9] =
    ["limit", "offset", "start", "ordering", "fields", "omit", "brief", "last_updated__gte", "q"];

/// Where the region of a host comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RegionFrom {
    /// The region of its site, or the site where that has none.
    #[default]
    Region,
    /// Its site.
    Site,
}

/// How to reach a NetBox, and what to ask it for.
#[derive(Clone, Debug)]
pub struct NetBoxOptions {
    /// Address, without `/api`.
    pub url: String,
    /// Where the token is.
    pub credentials: Reference,
    /// Certificate authorities instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Begin of the names of hosts; another one for each NetBox, since ids are its own.
    pub prefix: String,
    /// Whether to list devices.
    pub devices: bool,
    /// Whether to list virtual machines.
    pub virtual_machines: bool,
    /// Filters as NetBox has them, for example `site` and `ams1`.
    pub filters: Vec<(String, String)>,
    /// Where the region of a host comes from.
    pub region_from: RegionFrom,
}

/// One NetBox.
pub struct NetBox {
    http: Http,
    options: NetBoxOptions,
    /// How often each serial number is there, from the last full pass.
    serials: Mutex<Serials>,
    /// Seconds by which the clock of the server is ahead.
    ahead: AtomicI64,
}

/// The device of each serial number; none where several have it.
type Serials = HashMap<String, Option<u64>>;

impl NetBox {
    /// A NetBox. It is not asked anything yet.
    ///
    /// # Errors
    /// An address or a filter that cannot be, unreadable certificate authorities; for set-up.
    pub fn new(mut options: NetBoxOptions) -> Result<Self> {
        options.url = super::http::base(&options.url)?;
        if let Some(short) = options.url.strip_suffix("/api") {
            options.url = short.to_owned();
        }
        if let Some((name, _)) = options.filters.iter().find(|(n, _)| OURS.contains(&n.as_str())) {
            return Err(Error::usage(format!("\"{name}\" cannot be a filter"))
                .hint("filter by what NetBox knows of a host, such as site=ams1 or role=server"));
        }
        Ok(Self {
            http: Http::new(options.ca_file.as_deref())?,
            options,
            serials: Mutex::default(),
            ahead: AtomicI64::new(0),
        })
    }

    /// The header for the token: v2 tokens begin with `nbt_`, v1 tokens are gone in 5.0.
    fn authorization(&self) -> Result<Secret, ProviderError> {
        let token = self.options.credentials.read()?;
        let token = token.expose();
        let scheme = if token.starts_with("nbt_") { "Bearer" } else { "Token" };
        Ok(Secret::new(format!("{scheme} {token}")))
    }

    /// One answer of the API.
    async fn get(
        &self,
        what: &str,
        path: &str,
        query: &str,
        accept: &[u16],
    ) -> Result<Answer, ProviderError> {
        let url = format!("{}/api/{path}?{query}", self.options.url);
        let mut ask = Ask::get(what, &url, Some(self.authorization()?));
        ask.accept = accept;
        let answer = self.http.json(&ask).await?;
        if let Some(ahead) = answer.clock_ahead(Timestamp::now()) {
            self.ahead.store(ahead, Ordering::Relaxed);
        }
        Ok(answer)
    }

    fn pager(&self, kind: Kind, fields: &str, since: Option<Timestamp>) -> Pager {
        let mut pairs = vec![("fields", fields.to_owned())];
        pairs.extend(self.options.filters.iter().map(|(k, v)| (k.as_str(), v.clone())));
        if let Some(since) = since {
            pairs.push(("last_updated__gte", since.to_string()));
        }
        let query = super::http::query(pairs.iter().map(|(k, v)| (*k, v.as_str())));
        Pager::new(kind.what(), kind.path(), query)
    }

    /// The sites by id.
    async fn sites(&self) -> Result<HashMap<u64, Site>, ProviderError> {
        let query = "fields=id%2Cslug%2Cname%2Cregion".to_owned();
        let mut pager = Pager::new("cannot list the sites", "dcim/sites/", query);
        let mut sites = HashMap::new();
        while let Some(page) = pager.next(self).await? {
            sites.extend(page.iter().filter_map(map::site));
        }
        Ok(sites)
    }

    /// How often each serial number is there. Names depend on it, so it must be known first.
    async fn count_serials(&self) -> Result<Serials, ProviderError> {
        let mut pager = self.pager(Kind::Device, "id,serial", None);
        let mut serials = Serials::new();
        while let Some(page) = pager.next(self).await? {
            for item in &page {
                if let Some((id, serial)) = map::serial(item) {
                    serials.entry(serial).and_modify(|owner| *owner = None).or_insert(Some(id));
                }
            }
        }
        Ok(serials)
    }

    async fn begin(&self, since: Option<Timestamp>) -> Result<Listing, ProviderError> {
        let sites = self.sites().await?;
        if since.is_none() && self.options.devices {
            let serials = self.count_serials().await?;
            *self.serials.lock().unwrap_or_else(PoisonError::into_inner) = serials;
        }
        // their clock, not ours, is in last_updated
        let ahead = SignedDuration::from_secs(self.ahead.load(Ordering::Relaxed));
        let since = since.map(|since| {
            let theirs = since.saturating_add(ahead).and_then(|t| t.saturating_sub(OVERLAP));
            theirs.unwrap_or(since)
        });
        let mut kinds = Vec::new();
        // the last one is listed first
        if self.options.virtual_machines {
            kinds.push((Kind::Machine, self.pager(Kind::Machine, MACHINE, since)));
        }
        if self.options.devices {
            kinds.push((Kind::Device, self.pager(Kind::Device, DEVICE, since)));
        }
        Ok(Listing { sites, kinds })
    }

    async fn next_page(&self, listing: &mut Listing) -> Result<Option<Page>, ProviderError> {
        while let Some((kind, pager)) = listing.kinds.last_mut() {
            let Some(items) = pager.next(self).await? else {
                listing.kinds.pop();
                continue;
            };
            let frame = Frame {
                base: &self.options.url,
                prefix: &self.options.prefix,
                region_from: self.options.region_from,
                sites: &listing.sites,
            };
            let mut serials = self.serials.lock().unwrap_or_else(PoisonError::into_inner);
            let mut page = Page::default();
            for item in &items {
                match map::observe(*kind, item, &frame, &mut serials) {
                    Ok(host) => page.hosts.push(host),
                    Err(problem) => page.problems.push(problem),
                }
            }
            return Ok(Some(page));
        }
        Ok(None)
    }

    fn stream(
        &self,
        since: Option<Timestamp>,
    ) -> BoxStream<'_, Result<Page, ProviderError>> {
        stream::try_unfold(None, move |listing: Option<Listing>| async move {
            let mut listing = match listing {
                Some(listing) => listing,
                None => self.begin(since).await?,
            };
            Ok(self.next_page(&mut listing).await?.map(|page| (page, Some(listing))))
        })
        .boxed()
    }
}

struct Listing {
    sites: HashMap<u64, Site>,
    kinds: Vec<(Kind, Pager)>,
}

/// The `results` of a page.
fn results(what: &str, body: &mut Value) -> Result<Vec<Value>, ProviderError> {
    match body.get_mut("results").map(Value::take) {
        Some(Value::Array(items)) => Ok(items),
        _ => Err(odd(what, "the answer has no results")),
    }
}

impl Provider for NetBox {
    fn source_type(&self) -> SourceType {
        SourceType::NetBox
    }

    fn name(&self) -> &'static str {
        "netbox"
    }

    fn scopes(&self) -> BoxFuture<'_, Result<Vec<Scope>, ProviderError>> {
        async { Ok(vec![Scope::all()]) }.boxed()
    }

    fn list<'a>(&'a self, _scope: &'a str) -> BoxStream<'a, Result<Page, ProviderError>> {
        self.stream(None)
    }

    fn changes<'a>(
        &'a self,
        _scope: &'a str,
        since: Timestamp,
    ) -> Option<BoxStream<'a, Result<Page, ProviderError>>> {
        Some(self.stream(Some(since)))
    }
}
