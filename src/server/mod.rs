//! A small Kubernetes-style API server: the back end for one machine.
//!
//! The rest of the program does not know that it is here: it speaks to it through a
//! `kube::Client`, as to any API server. Inside, each module does one thing:
//!
//! | module | does |
//! | --- | --- |
//! | [`storage`] | objects under one revision: in memory for reading, in `SQLite` for good |
//! | [`kind`], [`catalog`], [`builtin`], [`crd`] | what is served: built in, and defined by CRDs |
//! | [`route`], [`options`], [`body`], [`http`] | a request read, an answer written |
//! | `rest` | get, list, watch, create, update, patch, delete; what single kinds do differently |
//! | [`meta`], [`schema`], [`fields`], [`patch`] | what makes an object valid; who owns its fields |
//! | [`selector`], [`table`], [`discovery`], [`openapi`], [`protobuf`] | what clients ask for besides |
//! | [`events`], [`certificates`], `housekeeping` | rules of kinds, and what happens by itself |
//! | [`auth`], [`listen`] | who asks and what they may do; TLS and the Unix socket |
//! | [`status`] | errors as the `Status` objects that clients read |

pub mod auth;
pub mod body;
pub mod builtin;
pub mod catalog;
pub mod certificates;
pub mod crd;
pub mod discovery;
pub mod events;
pub mod fields;
mod housekeeping;
pub mod http;
mod jsonpath;
pub mod kind;
pub mod listen;
pub mod meta;
pub mod openapi;
pub mod options;
pub mod patch;
pub mod protobuf;
mod rest;
pub mod route;
pub mod schema;
pub mod selector;
pub mod status;
pub mod storage;
pub mod table;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;

use ::http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_TYPE, ETAG, HOST, IF_NONE_MATCH, USER_AGENT, VARY,
};
use ::http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::block_in_place;

use self::auth::authority::Authority;
use self::auth::{Action, Authenticator, Peer, User, roles};
use self::catalog::{Catalog, Served};
use self::http::Response;
use self::options::Query;
use self::rest::Call;
use self::route::{Resource, Target};
use self::status::{ApiError, ApiResult};
use self::storage::{Change, Refused, ResourceId, Store, Stored};
use crate::error::Result;
use crate::guard::{Panicked, guarded_future};

/// No body is longer: what kube-apiserver takes.
const BODY_LIMIT: usize = 3 << 20;
/// A body must be here after this time.
const BODY_TIME: Duration = Duration::from_mins(1);

/// Requests with longer bodies are worked on one after the other for each of so many places, on
/// threads of their own: what is made of such a body may be a hundred times its size and take seconds,
/// and short requests do not wait behind it.
const LARGE: usize = 64 << 10;
const LARGE_AT_ONCE: usize = 2;

/// The server. Copies are the same server; it ends with the last of them.
#[derive(Clone)]
pub struct Server(Arc<Inner>);

/// How large a server is.
#[derive(Clone, Debug)]
pub struct Census {
    /// The store's newest revision: how many writes there ever were.
    pub revision: u64,
    /// Of each resource its name, its objects and its watches.
    pub shelves: Vec<(String, usize, usize)>,
}

struct Inner {
    store: Store,
    catalog: RwLock<Arc<Catalog>>,
    authority: Option<Arc<Authority>>,
    closing: watch::Sender<bool>,
    /// Something happened that housekeeping looks at.
    stirred: Arc<Notify>,
    /// An object was deleted: others may have lost their owner.
    bereft: AtomicBool,
    /// Places for large requests.
    large: Semaphore,
}

impl Server {
    /// A server that forgets everything when it ends. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// The store's thread cannot be started.
    pub async fn in_memory(authority: Option<Arc<Authority>>) -> Result<Self> {
        Self::start(Store::in_memory()?, authority).await
    }

    /// The server of a store file. `lock` is dropped when the file is closed. Must be called inside a
    /// tokio runtime.
    ///
    /// # Errors
    /// The file cannot be used.
    pub async fn open(
        file: &Path,
        lock: impl Send + 'static,
        authority: Option<Arc<Authority>>,
    ) -> Result<Self> {
        let file = file.to_owned();
        let store = tokio::task::spawn_blocking(move || Store::open(&file, lock)).await;
        let store = store.map_err(|cause| {
            crate::error::Error::new("the store could not be read").because(cause)
        })??;
        Self::start(store, authority).await
    }

    async fn start(store: Store, authority: Option<Arc<Authority>>) -> Result<Self> {
        let catalog = RwLock::new(Arc::new(Catalog::read(&store)));
        let inner = Arc::new(Inner {
            store,
            catalog,
            authority,
            closing: watch::channel(false).0,
            stirred: Arc::new(Notify::new()),
            bereft: AtomicBool::new(true),
            large: Semaphore::new(LARGE_AT_ONCE),
        });
        let server = Self(inner);
        for name in rest::delete::NAMESPACES {
            server.namespace(name).await?;
        }
        tokio::spawn(housekeeping::run(Arc::downgrade(&server.0), server.0.stirred.clone()));
        Ok(server)
    }

    /// Makes a namespace if it is not there.
    async fn namespace(&self, name: &str) -> Result<()> {
        if self.0.namespace(name).is_some() {
            return Ok(());
        }
        let at = Resource {
            version: "v1".to_owned(),
            plural: "namespaces".to_owned(),
            ..Resource::default()
        };
        let made = match self.0.call(at) {
            Some(call) => call.create_namespace(name).await,
            None => Err(ApiError::internal("namespaces are not served")),
        };
        made.map_err(|cause| {
            crate::error::Error::new(format!("cannot make the namespace {name}")).because(cause)
        })
    }

    /// The store's newest revision.
    pub fn revision(&self) -> u64 {
        self.0.store.revision()
    }

    /// Tells, whenever it is asked, how large the server is; none when it has ended, which the
    /// question does not hold up.
    pub fn census(&self) -> impl Fn() -> Option<Census> + Send + Sync + use<> {
        let inner = Arc::downgrade(&self.0);
        move || {
            let store = &inner.upgrade()?.store;
            let shelves = store.resources().into_iter().filter_map(|resource| {
                let kept = store.shelf(&resource)?;
                Some((resource.to_string(), kept.objects().0.len(), kept.watches()))
            });
            Some(Census { revision: store.revision(), shelves: shelves.collect() })
        }
    }

    /// Ends all watches; nothing new should be asked after this.
    pub fn close(&self) {
        self.0.closing.send_replace(true);
    }

    /// Resolves when the server is closed.
    pub fn closed(&self) -> impl Future<Output = ()> + use<> {
        let mut closing = self.0.closing.subscribe();
        async move {
            let _ = closing.wait_for(|closing| *closing).await;
        }
    }

    /// Resolves when the store is closed, which it is after the last copy of the server is gone.
    pub fn ended(self) -> impl Future<Output = ()> {
        self.close();
        self.0.stirred.notify_one();
        let ended = self.0.store.ended();
        drop(self);
        ended
    }

    /// A client that speaks to this server without a socket, as `user`.
    pub fn client(&self, user: User, namespace: &str) -> kube::Client {
        kube::Client::new(InProcess { server: self.clone(), user }, namespace)
    }

    /// Answers one request of whoever is at the other end of a connection.
    pub async fn authenticate(
        &self,
        authenticator: &Authenticator,
        peer: &Peer,
        request: Request<hyper::body::Incoming>,
    ) -> Response {
        match authenticator.authenticate(peer, request.headers(), Timestamp::now()) {
            Ok(user) => self.handle(user, request).await,
            Err(error) => {
                let mut response = http::error(&error);
                http::finish(&mut response);
                response
            }
        }
    }

    /// Answers one request of a user.
    pub async fn handle<B>(&self, user: User, request: Request<B>) -> Response
    where
        B: http_body::Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let gzip = http::takes_gzip(request.headers());
        let query = Query::parse(request.uri().query());
        let watches = query.flag("watch");
        let answered = guarded_future(self.answer(user, request, query)).await;
        let mut response = match answered {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => http::error(&error),
            // A fault of ours in one request is no reason to fail the others.
            Err(Panicked) => http::error(&ApiError::internal(
                "the server failed at this request; its log says more",
            )),
        };
        http::finish(&mut response);
        if gzip && !watches { http::gzip(response).await } else { response }
    }

    async fn answer<B>(&self, user: User, request: Request<B>, query: Query) -> ApiResult<Response>
    where
        B: http_body::Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (parts, body) = request.into_parts();
        let target = Target::of(parts.uri.path());
        let Target::Resource(at) = target else {
            let action = Action {
                verb: parts.method.as_str().to_lowercase(),
                path: parts.uri.path().to_owned(),
                ..Action::default()
            };
            allow(&user, &action)?;
            return self.about_the_server(&target, &parts.method, &parts.headers);
        };
        let Some(served) = self.0.catalog().find(&at.group, &at.version, &at.plural) else {
            // Who may not ask about it does not learn that it is not there.
            let verb = rest::verb(&parts.method, &at, &query).unwrap_or("get");
            allow(&user, &rest::action(verb, &at, &query))?;
            return Ok(http::plain(404, "404 page not found\n"));
        };
        if !at.namespace.is_empty() && !served.kind.namespaced {
            return Ok(http::plain(404, "404 page not found\n"));
        }
        let verb = rest::verb(&parts.method, &at, &query)?;
        let mut action = rest::action(verb, &at, &query);
        let mut decision = roles::allows(&user, &action);
        let writes = !matches!(verb, "get" | "list" | "watch");
        // Some may create an object only if it has the right name, which is in the body.
        let named = verb == "create" && !decision.allowed && user.name != auth::ANONYMOUS;
        let body = if (writes && decision.allowed) || named {
            read_body(body).await?
        } else {
            Bytes::new()
        };
        let place = if body.len() > LARGE { self.0.large.acquire().await.ok() } else { None };
        if decision.allowed && at.subresource == "status" && !served.kind.has_status() {
            return Ok(http::plain(404, "404 page not found\n"));
        }
        let header =
            |name| parts.headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        if named && let Ok(sent) = body::decode(header(CONTENT_TYPE).as_deref(), &body, true) {
            meta::text(&sent.object, "name").clone_into(&mut action.name);
            decision = roles::allows(&user, &action);
        }
        if !decision.allowed {
            return Err(roles::forbidden(&user, &action));
        }
        let call = Call {
            server: self.0.clone(),
            user,
            served,
            at,
            query,
            accept: accept(&parts.headers),
            content_type: header(CONTENT_TYPE),
            agent: header(USER_AGENT).unwrap_or_default(),
            body,
            now: Timestamp::now(),
            own: decision.own,
        };
        let warning = call.served.kind.warning.clone();
        let mut response = match (place, Handle::current()) {
            (Some(_place), here) if here.runtime_flavor() == RuntimeFlavor::MultiThread => {
                block_in_place(|| here.block_on(call.run(verb)))
            }
            (_place, _) => call.run(verb).await,
        }?;
        if let Some(warning) = warning {
            http::warn(&mut response, &warning);
        }
        Ok(response)
    }

    /// Answers what is not about a resource.
    fn about_the_server(
        &self,
        target: &Target,
        method: &Method,
        headers: &HeaderMap,
    ) -> ApiResult<Response> {
        if !matches!(*method, Method::GET | Method::HEAD) && *target != Target::Unknown {
            return Err(ApiError::method_not_allowed());
        }
        let catalog = self.0.catalog();
        let kinds = catalog.kinds.as_slice();
        let accept = accept(headers);
        let found = match target {
            Target::Health => return Ok(http::plain(200, "ok")),
            Target::Version => Some(discovery::version()),
            Target::Root(core) => return discovery_root(*core, kinds, accept.as_deref(), headers),
            Target::Group(group) => discovery::group(kinds, group),
            Target::GroupVersion(group, version) => discovery::resource_list(kinds, group, version),
            Target::OpenApiIndex => Some(catalog.documents().index()),
            Target::OpenApi(path) => {
                let Some(document) = catalog.documents().get(path) else {
                    return Ok(http::plain(404, "404 page not found\n"));
                };
                let answer =
                    http::answer(200, "application/json", http::full(document.body.clone()));
                return Ok(cached(headers, answer, &document.hash));
            }
            Target::OpenApiV2 | Target::Unknown | Target::Resource(_) => None,
        };
        Ok(match found {
            Some(value) => http::json(200, &value),
            None => http::plain(404, "404 page not found\n"),
        })
    }
}

fn discovery_root(
    core: bool,
    kinds: &[Arc<kind::Kind>],
    accept: Option<&str>,
    headers: &HeaderMap,
) -> ApiResult<Response> {
    if let (_, true) = body::negotiate_discovery(accept)? {
        let document = discovery::aggregated(kinds, core).to_string();
        let hash = discovery::hash(document.as_bytes());
        let mut response = http::answer(200, discovery::AGGREGATED, http::full(document));
        response.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
        return Ok(cached(headers, response, &hash));
    }
    let host = headers.get(HOST).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let plain = if core { discovery::api_versions(host) } else { discovery::group_list(kinds) };
    Ok(http::json(200, &plain))
}

/// The answer, or 304 if the client has it already.
fn cached(headers: &HeaderMap, mut response: Response, hash: &str) -> Response {
    let tag = format!("\"{hash}\"");
    let known = headers.get(IF_NONE_MATCH).and_then(|v| v.to_str().ok());
    if known.is_some_and(|known| discovery::matches_etag(known, &tag)) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = http::full("");
    }
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(ETAG, tag);
    }
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public"));
    response
}

fn accept(headers: &HeaderMap) -> Option<String> {
    let all: Vec<&str> = headers.get_all(ACCEPT).iter().filter_map(|v| v.to_str().ok()).collect();
    if all.is_empty() { None } else { Some(all.join(",")) }
}

fn allow(user: &User, action: &Action) -> ApiResult<roles::Decision> {
    let decision = roles::allows(user, action);
    if decision.allowed { Ok(decision) } else { Err(roles::forbidden(user, action)) }
}

async fn read_body<B>(body: B) -> ApiResult<Bytes>
where
    B: http_body::Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let collected = tokio::time::timeout(BODY_TIME, Limited::new(body, BODY_LIMIT).collect()).await;
    match collected {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(cause)) if cause.is::<LengthLimitError>() => Err(ApiError::new(
            413,
            "RequestEntityTooLarge",
            format!("Request entity too large: limit is {BODY_LIMIT}"),
        )),
        Ok(Err(cause)) => Err(ApiError::bad_request(format!("the body cannot be read: {cause}"))),
        Err(_late) => Err(ApiError::new(408, "Timeout", "the body did not arrive in time")),
    }
}

impl Inner {
    fn catalog(&self) -> Arc<Catalog> {
        self.catalog.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Serves what the CRDs define now.
    fn reload(&self) {
        // One at a time: what was read later must not be replaced by what was read before.
        let mut current = self.catalog.write().unwrap_or_else(PoisonError::into_inner);
        let catalog = Arc::new(Catalog::read(&self.store));
        let known: Vec<ResourceId> = catalog.resources().iter().map(|s| s.id.clone()).collect();
        *current = catalog;
        for resource in self.store.resources() {
            let empty = self.store.shelf(&resource).is_some_and(|s| s.objects().0.is_empty());
            if empty && !known.contains(&resource) {
                self.store.drop_shelf(&resource);
            }
        }
    }

    /// Makes a change, and what follows from it at once.
    async fn commit(
        &self,
        served: &Served,
        key: &str,
        change: Change,
    ) -> std::result::Result<Arc<Stored>, Refused> {
        let deletes = matches!(change, Change::Delete(..));
        let stored = self.store.commit(&served.id, key, change).await?;
        if served.id == catalog::crds() {
            self.reload();
        }
        if deletes {
            self.bereft.store(true, Ordering::Release);
        }
        if deletes || housekeeping::concerns(served) {
            self.stirred.notify_one();
        }
        Ok(stored)
    }

    fn namespace(&self, name: &str) -> Option<Value> {
        let all = self.store.shelf(&ResourceId::new("", "namespaces"))?;
        all.get(name).map(|stored| stored.object())
    }

    /// The kinds of all CRDs but the one of this name.
    fn names_taken(&self, besides: &str) -> Vec<kind::Kind> {
        let (objects, _) = self.store.shelf_or_new(&catalog::crds()).objects();
        let others = objects.iter().filter(|(key, _)| &***key != besides);
        others.filter_map(|(_, stored)| crd::kinds(&stored.object()).ok()).flatten().collect()
    }

    /// A request of the server to itself.
    fn call(self: &Arc<Self>, at: Resource) -> Option<Call> {
        let served = self.catalog().find(&at.group, &at.version, &at.plural)?;
        Some(Call {
            server: self.clone(),
            user: User::owner(),
            served,
            at,
            query: Query::default(),
            accept: None,
            content_type: None,
            agent: "inv-tui-server".to_owned(),
            body: Bytes::new(),
            now: Timestamp::now(),
            own: false,
        })
    }
}

impl Call {
    async fn create_namespace(&self, name: &str) -> ApiResult<()> {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        match self.create_object(object, &self.agent, rest::How::Update, false).await {
            Err(error) if error.reason != "AlreadyExists" => Err(error),
            _ => Ok(()),
        }
    }
}

/// The server as a service of this process.
#[derive(Clone)]
struct InProcess {
    server: Server,
    user: User,
}

impl tower_service::Service<Request<kube::client::Body>> for InProcess {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = std::result::Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::result::Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<kube::client::Body>) -> Self::Future {
        let Self { server, user } = self.clone();
        Box::pin(async move { Ok(server.handle(user, request).await) })
    }
}
