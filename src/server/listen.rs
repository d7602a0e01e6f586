//! The ways in: TLS on a port, and a Unix socket. Both hand each request, with who is at the other
//! end, to one handler.
//!
//! Nobody can hold others up: every connection is a task with deadlines of its own, their number is
//! bounded, and a client that does not finish its handshake loses its place to the next one.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::error::Error as StdError;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ResolvesServerCert;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error as TlsError, ServerConfig, SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, Sleep, interval_at, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::auth::{Peer, TlsPeer};
use crate::error::{Error, Result};

/// Bytes of an answer that wait for an HTTP/2 client, besides the piece that comes next.
const SEND_BUFFER: usize = 64 << 10;

/// What a client may use up, and how long it may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at one time. Above it, one that nobody uses makes room for each new one; if all are
    /// in use, new ones are closed at once.
    pub connections: usize,
    /// Connections in their TLS handshake. Above it, the oldest is closed for each new one.
    pub handshakes: usize,
    /// Time for the TLS handshake.
    pub handshake: Duration,
    /// Time between two requests, and for the head of one.
    pub idle: Duration,
    /// Time without a byte taken by a client that has something to read.
    pub stall: Duration,
    /// Requests at one time on one HTTP/2 connection.
    pub streams: u32,
    /// Time between two pings of an HTTP/2 connection, and for the answer.
    pub ping: Duration,
    /// Time for requests to finish when the server stops.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // kube-rs opens a connection for each watch: a thousand watches must fit.
            connections: 4096,
            handshakes: 256,
            handshake: Duration::from_secs(10),
            idle: Duration::from_secs(90),
            stall: Duration::from_mins(1),
            streams: 250,
            ping: Duration::from_secs(30),
            grace: Duration::from_secs(3),
        }
    }
}

/// Files that the process needs besides connections: handshakes, the store, the log.
#[cfg(unix)]
const OTHER_FILES: usize = 512;

#[cfg(unix)]
impl Limits {
    /// The defaults, with only as many connections as this process may have files open. It may have as
    /// many as the system lets it after this: the usual 1024 are too few for a thousand watches.
    pub fn of_this_process() -> Self {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut files = getrlimit(Resource::Nofile);
        if files.current != files.maximum {
            files.current = files.maximum;
            if let Err(error) = setrlimit(Resource::Nofile, files) {
                tracing::debug!(%error, "the limit of open files stays as it is");
            }
        }
        let files = getrlimit(Resource::Nofile).current.and_then(|n| usize::try_from(n).ok());
        let mut limits = Self::default();
        if let Some(files) = files {
            limits.connections = limits.connections.min(files.saturating_sub(OTHER_FILES)).max(16);
        }
        limits
    }
}

/// An extension of a response whose body has no end of its own, as a watch: it is ended when the
/// server stops. Without it, stopping waits for the body's end.
#[derive(Clone, Copy, Debug)]
pub struct Endless;

/// TLS 1.2 and 1.3 with HTTP/2 and HTTP/1.1. A client certificate is asked for and any is taken:
/// whether it is good is said by an HTTP answer that people can read, not by a broken handshake.
///
/// # Errors
///
/// If the cryptography does not offer what TLS needs.
pub fn tls(certificate: Arc<dyn ResolvesServerCert>) -> Result<Arc<ServerConfig>> {
    let provider = Arc::new(ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::new("cannot set up TLS").because(error))?
        .with_client_cert_verifier(Arc::new(AnyClient(provider)))
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Serves `handler` on `listener` until `shutdown`, then lets requests finish for a short time.
pub async fn serve_tls<S, F, B>(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    limits: Limits,
    handler: S,
    shutdown: impl Future<Output = ()>,
) where
    S: Fn(Peer, Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let acceptor = TlsAcceptor::from(tls);
    let mut handshakes = JoinSet::new();
    let mut pending: VecDeque<AbortHandle> = VecDeque::new();
    let mut connections = Connections::new(limits.clone(), handler);
    let mut failing = false;
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.tasks.join_next() => {}
            Some(done) = handshakes.join_next() => {
                if let Ok(Some((stream, peer))) = done {
                    connections.add(stream, peer);
                }
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => {
                    failing = false;
                    pending.retain(|handshake| !handshake.is_finished());
                    if pending.len() >= limits.handshakes && let Some(oldest) = pending.pop_front() {
                        oldest.abort();
                    }
                    let handshake = handshake(stream, address, acceptor.clone(), limits.handshake);
                    pending.push_back(handshakes.spawn(handshake));
                }
                Err(error) => refused(&error, &mut failing).await,
            },
        }
    }
    drop(listener);
    drop(handshakes);
    connections.finish().await;
}

/// A Unix socket that is listened on. Made by [`bind_unix`].
#[cfg(unix)]
#[derive(Debug)]
pub struct UnixSocket {
    listener: tokio::net::UnixListener,
    /// The user that owns it, who runs this server.
    owner: u32,
}

/// Serves `handler` on a Unix socket until `shutdown`, HTTP/1.1 only.
#[cfg(unix)]
pub async fn serve_unix<S, F, B>(
    socket: UnixSocket,
    limits: Limits,
    handler: S,
    shutdown: impl Future<Output = ()>,
) where
    S: Fn(Peer, Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let UnixSocket { listener, owner } = socket;
    let mut connections = Connections::new(limits, handler);
    let mut failing = false;
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.tasks.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let Ok(credentials) = stream.peer_cred() else { continue };
                    failing = false;
                    connections.add(stream, Peer::Unix { uid: credentials.uid(), owner });
                }
                Err(error) => refused(&error, &mut failing).await,
            },
        }
    }
    drop(listener);
    connections.finish().await;
}

/// A Unix socket at `path` that only its owner can connect to. A socket that is there is replaced:
/// only for whoever holds the lock that says that nobody serves on it.
///
/// # Errors
///
/// If something else than a socket is there; if the path is too long for a socket (about 100
/// bytes); if the folder cannot be written.
#[cfg(unix)]
pub fn bind_unix(path: &std::path::Path) -> Result<UnixSocket> {
    use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};

    let fail = |error: io::Error| {
        Error::new(format!("cannot listen on \"{}\"", path.display())).because(error)
    };
    if std::fs::symlink_metadata(path).is_ok_and(|found| !found.file_type().is_socket()) {
        let what = format!("\"{}\" is there and is no socket", path.display());
        return Err(Error::usage(what));
    }
    // The name it gets in the end must be one that clients can connect to.
    std::os::unix::net::SocketAddr::from_pathname(path).map_err(|error| {
        fail(error).as_usage().hint(
            "a socket's path is at most about 100 bytes long: name a folder with a shorter one",
        )
    })?;
    // Between its making and its chmod a socket is open to others, so it is made where they cannot
    // reach it.
    let folder = path.parent().unwrap_or(path);
    let private = folder.join(format!(".{:08x}", fastrand::u32(..)));
    std::fs::DirBuilder::new().mode(0o700).create(&private).map_err(fail)?;
    let inside = private.join("s");
    let bound = (|| {
        let listener = std::os::unix::net::UnixListener::bind(&inside)?;
        std::fs::set_permissions(&inside, std::fs::Permissions::from_mode(0o600))?;
        let owner = std::fs::metadata(&inside)?.uid();
        listener.set_nonblocking(true)?;
        let listener = tokio::net::UnixListener::from_std(listener)?;
        std::fs::rename(&inside, path)?;
        Ok(UnixSocket { listener, owner })
    })();
    let _ = std::fs::remove_file(&inside);
    let _ = std::fs::remove_dir(&private);
    bound.map_err(fail)
}

/// The connections that there are, the oldest first.
#[derive(Default)]
struct Places {
    taken: VecDeque<(Arc<Use>, AbortHandle)>,
    most: usize,
    /// Whether it was said that there is no room: once, or whoever fills the places fills the log too.
    full: bool,
}

impl Places {
    /// Whether there is a place for one more, if need be that of the oldest one without a request: or
    /// whoever opens connections and says nothing would keep out those who work.
    fn make_room(&mut self) -> bool {
        self.taken.retain(|(_, task)| !task.is_finished());
        if self.taken.len() < self.most {
            self.full = false;
            return true;
        }
        if !std::mem::replace(&mut self.full, true) {
            tracing::warn!(
                connections = self.most,
                "there are too many connections: unused ones are closed"
            );
        }
        let idle = self.taken.iter().position(|(use_, _)| use_.look().0 == 0);
        let Some((_, task)) = idle.and_then(|at| self.taken.remove(at)) else { return false };
        task.abort();
        true
    }
}

/// A connection could not be accepted. The usual reason is that there are no file descriptors left:
/// trying again at once would only burn the processor, and saying it each time fill the disk.
async fn refused(error: &io::Error, said: &mut bool) {
    if !std::mem::replace(said, true) {
        tracing::warn!(%error, "connections cannot be accepted");
    }
    sleep(Duration::from_millis(100)).await;
}

/// The connections of one listener.
struct Connections<S> {
    limits: Limits,
    handler: S,
    tasks: JoinSet<()>,
    places: Places,
    stop: watch::Sender<bool>,
}

impl<S> Connections<S> {
    fn new(limits: Limits, handler: S) -> Self {
        let places = Places { most: limits.connections, ..Places::default() };
        Self { limits, handler, tasks: JoinSet::new(), places, stop: watch::channel(false).0 }
    }

    /// Serves one more, or closes it at once where there is no place for it.
    fn add<T, F, B>(&mut self, transport: T, peer: Peer)
    where
        T: Transport,
        S: Fn(Peer, Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        if !self.places.make_room() {
            return;
        }
        let (limits, handler) = (self.limits.clone(), self.handler.clone());
        let use_ = Arc::new(Use::default());
        let work =
            connection(transport, peer, limits, handler, self.stop.subscribe(), use_.clone());
        self.places.taken.push_back((use_, self.tasks.spawn(work)));
    }

    /// Lets them finish, for a short time.
    async fn finish(mut self) {
        self.stop.send_replace(true);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(self.limits.grace, all).await.is_err() {
            tracing::debug!(left = self.tasks.len(), "connections cut off");
        }
        self.tasks.shutdown().await;
    }
}

/// The TLS side of a connection, or none if it did not come about.
async fn handshake(
    stream: TcpStream,
    address: SocketAddr,
    acceptor: TlsAcceptor,
    time: Duration,
) -> Option<(TlsStream<TcpStream>, Peer)> {
    let _ = stream.set_nodelay(true);
    let work = async {
        let mut first = [0];
        stream.peek(&mut first).await?;
        if first.iter().any(u8::is_ascii_uppercase) {
            return not_tls(stream).await.map(|()| None);
        }
        acceptor.accept(stream).await.map(Some)
    };
    let stream = match timeout(time, work).await {
        Ok(Ok(stream)) => stream?,
        Ok(Err(error)) => {
            tracing::debug!(%address, %error, "TLS handshake failed");
            return None;
        }
        Err(_) => return None,
    };
    let certificates = stream.get_ref().1.peer_certificates();
    let certificates = certificates.into_iter().flatten().map(|c| c.clone().into_owned()).collect();
    Some((stream, Peer::Tls(Arc::new(TlsPeer::new(address, certificates)))))
}

/// Somebody speaks HTTP, to whom a TLS alert would say nothing.
async fn not_tls(mut stream: TcpStream) -> io::Result<()> {
    let text = "this port speaks HTTPS: the address must begin with https://\n";
    let length = text.len();
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{text}"
    );
    // What is left unread when a socket is closed resets it, and the answer would be lost.
    let mut request = [0; 8192];
    let _ = stream.read(&mut request).await?;
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    while stream.read(&mut request).await? > 0 {}
    Ok(())
}

/// What the server needs to know of a transport.
trait Transport: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    fn is_http2(&self) -> bool;
}

impl Transport for TlsStream<TcpStream> {
    fn is_http2(&self) -> bool {
        self.get_ref().1.alpn_protocol() == Some(b"h2")
    }
}

#[cfg(unix)]
impl Transport for tokio::net::UnixStream {
    fn is_http2(&self) -> bool {
        false
    }
}

/// Serves one connection to its end.
async fn connection<T, S, F, B>(
    transport: T,
    peer: Peer,
    limits: Limits,
    handler: S,
    mut stopped: watch::Receiver<bool>,
    use_: Arc<Use>,
) where
    T: Transport,
    S: Fn(Peer, Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle)
        .max_buf_size(64 << 10);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.ping)
        .keep_alive_timeout(limits.ping)
        .max_concurrent_streams(limits.streams)
        .max_send_buf_size(SEND_BUFFER);
    // ALPN has said it; looking at the first bytes, as the builder would, has no deadline.
    let builder = if transport.is_http2() { builder.http2_only() } else { builder.http1_only() };

    let service = {
        let (use_, stopped) = (Arc::clone(&use_), stopped.clone());
        service_fn(move |request| {
            let in_use = InUse::new(&use_);
            let answer = handler(peer.clone(), request);
            let stopped = stopped.clone();
            async move {
                let answer = answer.await;
                let endless = answer.extensions().get::<Endless>().is_some();
                let end = endless.then_some(stopped).map(end_of);
                Ok::<_, Infallible>(answer.map(|body| Served { body: Box::pin(body), end, in_use }))
            }
        })
    };
    let io = TokioIo::new(Stalling { inner: transport, limit: limits.stall, deadline: None });
    let mut connection = pin!(builder.serve_connection(io, service));
    let mut idle = interval_at(Instant::now() + limits.idle, limits.idle);
    let mut look = interval_at(Instant::now() + limits.stall, limits.stall);
    // An HTTP/1.1 client that stalls is found by the transport; here a second one may get on.
    let patience = limits.stall * 2;
    let (mut stopping, mut seen) = (false, 0);
    let mut last = None;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "connection ended");
                }
                return;
            }
            _ = stopped.wait_for(|stop| *stop), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
            // Pings keep an HTTP/2 connection open for ever that nobody uses.
            _ = idle.tick(), if !stopping => {
                let (active, requests) = use_.look();
                if active == 0 && requests == seen {
                    stopping = true;
                    // Answers may be on their way still, but not for ever.
                    last = Some(Instant::now() + patience);
                    connection.as_mut().graceful_shutdown();
                }
                seen = requests;
            }
            _ = look.tick() => {
                let now = Instant::now();
                if use_.stalled(now, patience) || last.is_some_and(|last| now >= last) {
                    tracing::debug!("connection closed: its client takes nothing");
                    return;
                }
            }
        }
    }
}

type End = Pin<Box<dyn Future<Output = ()> + Send>>;

fn end_of(mut stopped: watch::Receiver<bool>) -> End {
    Box::pin(async move {
        let _ = stopped.wait_for(|stop| *stop).await;
    })
}

/// How much a connection is used: requests in work, and requests ever.
#[derive(Debug, Default)]
struct Use {
    active: AtomicU64,
    requests: AtomicU64,
    /// Requests whose client has not taken yet what there is of the answer, and since when.
    waiting: Mutex<BTreeMap<u64, Instant>>,
}

impl Use {
    fn look(&self) -> (u64, u64) {
        (self.active.load(Ordering::Relaxed), self.requests.load(Ordering::Relaxed))
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<u64, Instant>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a client has taken nothing of an answer for so long. One that answers pings and takes
    /// nothing of a list would keep the list's whole past alive.
    fn stalled(&self, now: Instant, limit: Duration) -> bool {
        self.waiting().values().any(|since| now.duration_since(*since) >= limit)
    }
}

/// A request in work, until its answer is sent or dropped.
struct InUse(Arc<Use>, u64);

impl InUse {
    fn new(of: &Arc<Use>) -> Self {
        of.active.fetch_add(1, Ordering::Relaxed);
        let id = of.requests.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(of), id)
    }

    /// The client takes more, or has something to take.
    fn waits(&self, since: Option<Instant>) {
        match since {
            Some(since) => self.0.waiting().insert(self.1, since),
            None => self.0.waiting().remove(&self.1),
        };
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.waits(None);
        self.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of an answer, which may be ended when the server stops.
struct Served<B> {
    body: Pin<Box<B>>,
    end: Option<End>,
    in_use: InUse,
}

impl<B: Body<Data = Bytes>> Body for Served<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if let Some(end) = &mut self.end
            && end.as_mut().poll(context).is_ready()
        {
            // Not polled again: None is the end.
            self.end = Some(Box::pin(std::future::ready(())));
            return Poll::Ready(None);
        }
        let polled = self.body.as_mut().poll_frame(context);
        let offered = matches!(polled, Poll::Ready(Some(_)));
        self.in_use.waits(offered.then(Instant::now));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A transport that fails when its client takes nothing for too long.
struct Stalling<T> {
    inner: T,
    limit: Duration,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<T> Stalling<T> {
    fn watch<R>(
        &mut self,
        written: Poll<io::Result<R>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<R>> {
        if written.is_ready() {
            self.deadline = None;
            return written;
        }
        let limit = self.limit;
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(limit)));
        deadline.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Stalling<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Stalling<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.watch(written, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(context);
        self.watch(flushed, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.inner).poll_shutdown(context);
        self.watch(shut, context)
    }
}

/// Takes any client certificate whose key the client holds.
#[derive(Debug)]
struct AnyClient(Arc<CryptoProvider>);

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// None: a client that is told which authorities count keeps a certificate of another one to
    /// itself, and its user is "anonymous" instead of refused.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, TlsError> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
