//! The embedded server of this machine: whoever comes first serves it, the others connect to it.
//!
//! The first to hold the lock in the data folder opens the store and listens on a Unix socket beside
//! it; later ones speak to that socket. When the first one ends, the next request of any other finds
//! nobody there, and that one takes the store over. Nobody outside this file can tell the difference.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioIo};
use jiff::Timestamp;
use kube::Client;
use tokio::net::UnixStream;
use tokio::sync::RwLock;
use tower_service::Service;

use super::client::{Connection, hash};
use super::definitions;
use crate::config;
use crate::error::{Error, Result};
use crate::model::DEFAULT_NAMESPACE;
use crate::model::csr::BOOTSTRAPPERS;
use crate::model::key::ServerId;
use crate::server::Server;
use crate::server::auth::authority::Authority;
use crate::server::auth::tokens::Tokens;
use crate::server::auth::{Authenticator, Peer, User};
use crate::server::http::Response as Answer;
use crate::server::listen::{self, Limits};
use crate::server::storage;

/// What the header shows as the context.
pub const CONTEXT: &str = "embedded";
/// How long a store may take until whoever holds its lock answers. Reading 100,000 hosts takes a
/// second or two.
const START: Duration = Duration::from_secs(30);
/// How long our own definitions may take to be served.
const SERVED: Duration = Duration::from_secs(10);

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Body = UnsyncBoxBody<Bytes, BoxError>;

/// Connects to the embedded server in `folder`, or in the usual one, and starts it if it does not
/// run.
///
/// # Errors
/// The folder or the store in it cannot be used.
pub async fn connect(folder: Option<&Path>) -> Result<Connection> {
    let folder = data_folder(folder)?;
    let server = folder.display().to_string();
    let role = Role::take(&folder).await?;
    let service = Shared { folder: folder.into(), role: Arc::new(RwLock::new(role)) };
    let client = Client::new(service, DEFAULT_NAMESPACE);
    let identity = hash(&format!("{CONTEXT} {server}"));
    Ok(Connection {
        id: ServerId::FIRST,
        client,
        context: CONTEXT.to_owned(),
        server,
        note: None,
        identity,
    })
}

/// A server in memory with our definitions, which ends with its clients: ours, and that of a user
/// who may do no more than ask for certificates of hosts.
///
/// # Errors
/// It cannot be started.
pub async fn in_memory(namespace: &str) -> Result<(Connection, Client)> {
    let authority = Arc::new(Authority::in_memory(Timestamp::now())?);
    let server = Server::in_memory(Some(authority)).await?;
    let connection = prepare(&server).await?;
    let asker = User::new("demo-bootstrap", &[BOOTSTRAPPERS]);
    Ok((connection, server.client(asker, namespace)))
}

/// The folder of the store: the one that is named, else the usual one.
///
/// # Errors
/// There is no usual one: the user has no home.
pub fn data_folder(folder: Option<&Path>) -> Result<PathBuf> {
    folder.map(Path::to_owned).or_else(config::data_folder).ok_or_else(|| {
        Error::usage("there is no folder for the embedded server: you have no home folder")
            .hint("name one with --data-dir DIR")
    })
}

/// Makes a folder that only we can look into, and what is missing above it. They must survive a
/// power cut as well as the store in them.
fn make_folder(folder: &Path) -> std::io::Result<()> {
    let missing: Vec<&Path> = folder.ancestors().take_while(|at| !at.exists()).collect();
    crate::files::make_folder(folder)?;
    for above in missing.iter().filter_map(|made| made.parent()) {
        let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
        File::open(above)?.sync_all()?;
    }
    Ok(())
}

/// The lock of a data folder. The store is ours while it lives.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock; none if somebody else has it. The folder is made if it is missing.
    ///
    /// # Errors
    /// The folder or the lock file cannot be used.
    pub fn take(folder: &Path) -> Result<Option<Self>> {
        let fail = |cause| {
            Error::usage(format!("cannot use the data folder \"{}\"", folder.display()))
                .because(cause)
                .hint("it must be a folder that you may write to; name another one with --data-dir DIR")
        };
        make_folder(folder).map_err(fail)?;
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(folder.join("lock"))
            .map_err(fail)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(cause)) => return Err(fail(cause)),
        }
        file.set_len(0).map_err(fail)?;
        file.seek(SeekFrom::Start(0)).map_err(fail)?;
        write!(file, "{}", std::process::id()).map_err(fail)?;
        Ok(Some(Self { _file: file }))
    }

    /// Who holds the lock of a folder, in words.
    pub fn holder(folder: &Path) -> String {
        let mut text = String::new();
        let read =
            File::open(folder.join("lock")).and_then(|f| f.take(20).read_to_string(&mut text));
        match (read, text.trim().parse::<u32>()) {
            (Ok(_), Ok(process)) => format!("process {process}"),
            _ => "another process".to_owned(),
        }
    }
}

/// Opens the store of a folder whose lock is ours, with our definitions in it, and lets other
/// programs of this user in through the socket. Returns the server and who may connect to it.
///
/// # Errors
/// The store, the certificate authority or the socket cannot be used.
pub async fn serve(
    folder: &Path,
    lock: Lock,
    tokens: Tokens,
) -> Result<(Server, Arc<Authenticator>)> {
    let authority = Arc::new(Authority::open(folder, Timestamp::now())?);
    let server =
        Server::open(&storage::default_file(folder), lock, Some(authority.clone())).await?;
    prepare(&server).await?;
    let socket = listen::bind_unix(&folder.join("socket"))?;
    let authenticator = Arc::new(Authenticator { authority, tokens });
    let handler = handler(&server, &authenticator);
    tokio::spawn(listen::serve_unix(socket, Limits::default(), handler, server.closed()));
    Ok((server, authenticator))
}

/// What answers the requests of a listener.
pub fn handler(
    server: &Server,
    authenticator: &Arc<Authenticator>,
) -> impl Fn(Peer, Request<Incoming>) -> Pin<Box<dyn Future<Output = Answer> + Send>> + Clone + use<>
{
    let (server, authenticator) = (server.clone(), authenticator.clone());
    move |peer, request| {
        let (server, authenticator) = (server.clone(), authenticator.clone());
        Box::pin(async move { server.authenticate(&authenticator, &peer, request).await })
    }
}

/// Installs our definitions and says how to reach the server from inside this process.
async fn prepare(server: &Server) -> Result<Connection> {
    let client = server.client(User::owner(), DEFAULT_NAMESPACE);
    let connection = Connection {
        id: ServerId::FIRST,
        client,
        context: CONTEXT.to_owned(),
        server: "in memory".to_owned(),
        note: None,
        identity: hash("in memory"),
    };
    definitions::apply(&connection, DEFAULT_NAMESPACE, SERVED, |_line| {}).await?;
    Ok(connection)
}

/// What this process is to the store.
enum Role {
    /// It serves it.
    Server(Server),
    /// It speaks to whoever does.
    Client(Box<legacy::Client<Socket, Full<Bytes>>>),
}

impl Role {
    async fn take(folder: &Path) -> Result<Self> {
        let deadline = tokio::time::Instant::now() + START;
        loop {
            if let Some(lock) = Lock::take(folder)? {
                let (server, _) = serve(folder, lock, Tokens::none()).await?;
                return Ok(Self::Server(server));
            }
            let socket = folder.join("socket");
            if UnixStream::connect(&socket).await.is_ok() {
                let client = legacy::Client::builder(TokioExecutor::new());
                return Ok(Self::Client(Box::new(client.build(Socket(socket.into())))));
            }
            if tokio::time::Instant::now() >= deadline {
                let who = Lock::holder(folder);
                return Err(Error::new(format!(
                    "the embedded server in \"{}\" does not answer",
                    folder.display()
                ))
                .hint(format!(
                    "{who} has its store open: end it, or name another folder with --data-dir DIR"
                )));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Connects to the socket of the embedded server.
#[derive(Clone)]
struct Socket(Arc<Path>);

impl Service<Uri> for Socket {
    type Response = TokioIo<UnixStream>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = std::io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let path = self.0.clone();
        Box::pin(async move { UnixStream::connect(path).await.map(TokioIo::new) })
    }
}

/// The embedded server as a service, whoever serves it.
#[derive(Clone)]
struct Shared {
    folder: Arc<Path>,
    role: Arc<RwLock<Role>>,
}

impl Shared {
    async fn send(
        &self,
        request: Request<kube::client::Body>,
    ) -> std::result::Result<Response<Body>, BoxError> {
        let (mut parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        // Over the socket the host does not matter, but HTTP wants one.
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        parts.uri = format!("http://localhost{path}").parse()?;
        loop {
            let request = Request::from_parts(parts.clone(), Full::new(body.clone()));
            let sent = match &*self.role.read().await {
                Role::Server(server) => {
                    let answer = server.handle(User::owner(), request).await;
                    return Ok(
                        answer.map(|body| body.map_err(|never| match never {}).boxed_unsync())
                    );
                }
                Role::Client(client) => client.request(request),
            };
            match sent.await {
                Ok(answer) => {
                    return Ok(answer.map(|body| body.map_err(BoxError::from).boxed_unsync()));
                }
                // Nobody is there any more, and nothing was sent: whoever comes first takes over.
                Err(cause) if cause.is_connect() => self.take_over().await?,
                Err(cause) => return Err(cause.into()),
            }
        }
    }

    async fn take_over(&self) -> Result<()> {
        let mut role = self.role.write().await;
        if matches!(*role, Role::Client(_)) {
            *role = Role::take(&self.folder).await?;
        }
        Ok(())
    }
}

impl Service<Request<kube::client::Body>> for Shared {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future =
        Pin<Box<dyn Future<Output = std::result::Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::result::Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<kube::client::Body>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move { this.send(request).await })
    }
}
