//! NetBox: devices and virtual machines by its REST API, versions 3.6 to 4.x and later.
//!
//! Pages come by cursor (`start`, since 4.6) or, from older servers, by offset; see [`pages`]. A pass
//! between two full ones asks only for what was updated since; deletions, and changes of what a device
//! only refers to (a site that gets another region), come to light in the next full one.

mod map;
mod pages;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
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
    /// Whether the server was seen not to know cursors.
    no_cursors: AtomicBool,
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
            options.url.truncate(short.len());
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
            no_cursors: AtomicBool::new(false),
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

    /// What is to be read, the last first.
    fn begin(&self, since: Option<Timestamp>) -> Listing {
        // their clock, not ours, is in last_updated
        let ahead = SignedDuration::from_secs(self.ahead.load(Ordering::Relaxed));
        let since = since.map(|since| {
            let theirs = since.saturating_add(ahead).and_then(|t| t.saturating_sub(OVERLAP));
            theirs.unwrap_or(since)
        });
        let mut steps = Vec::new();
        if self.options.virtual_machines {
            steps.push(Step::Hosts(Kind::Machine, self.pager(Kind::Machine, MACHINE, since)));
        }
        if self.options.devices {
            steps.push(Step::Hosts(Kind::Device, self.pager(Kind::Device, DEVICE, since)));
            if since.is_none() {
                let pager = self.pager(Kind::Device, "id,serial", None);
                steps.push(Step::Serials(pager, Serials::new()));
            }
        }
        let query = "fields=id%2Cslug%2Cname%2Cregion".to_owned();
        steps.push(Step::Sites(Pager::new("cannot list the sites", "dcim/sites/", query)));
        Listing { sites: HashMap::new(), steps }
    }

    /// The next page. Those of the lists that only prepare have no hosts: each request stands for a
    /// page, so that the deadline is one for each.
    async fn next_page(&self, listing: &mut Listing) -> Result<Option<Page>, ProviderError> {
        let Some(step) = listing.steps.last_mut() else { return Ok(None) };
        let mut page = Page::default();
        let pager = match step {
            Step::Sites(pager) | Step::Serials(pager, _) | Step::Hosts(_, pager) => pager,
        };
        let Some(items) = pager.next(self).await? else {
            if let Some(Step::Serials(_, serials)) = listing.steps.pop() {
                *self.serials.lock().unwrap_or_else(PoisonError::into_inner) = serials;
            }
            return Ok(Some(page));
        };
        match step {
            Step::Sites(_) => listing.sites.extend(items.iter().filter_map(map::site)),
            Step::Serials(_, serials) => {
                for (id, serial) in items.iter().filter_map(map::serial) {
                    serials.entry(serial).and_modify(|owner| *owner = None).or_insert(Some(id));
                }
            }
            Step::Hosts(kind, _) => {
                let frame = Frame {
                    base: &self.options.url,
                    prefix: &self.options.prefix,
                    region_from: self.options.region_from,
                    sites: &listing.sites,
                };
                let mut serials = self.serials.lock().unwrap_or_else(PoisonError::into_inner);
                for item in &items {
                    match map::observe(*kind, item, &frame, &mut serials) {
                        Ok(host) => page.hosts.push(host),
                        Err(problem) => page.problems.push(problem),
                    }
                }
            }
        }
        Ok(Some(page))
    }

    fn stream(&self, since: Option<Timestamp>) -> BoxStream<'_, Result<Page, ProviderError>> {
        stream::try_unfold(self.begin(since), move |mut listing| async move {
            Ok(self.next_page(&mut listing).await?.map(|page| (page, listing)))
        })
        .boxed()
    }
}

struct Listing {
    sites: HashMap<u64, Site>,
    steps: Vec<Step>,
}

/// One list that is read.
enum Step {
    /// The sites, which say where the hosts are.
    Sites(Pager),
    /// How often each serial number is there. Names depend on it, so it must be known first.
    Serials(Pager, Serials),
    /// Hosts.
    Hosts(Kind, Pager),
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
