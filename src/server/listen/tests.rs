use std::sync::Mutex;

use http::StatusCode;
use http_body_util::{BodyExt, Empty, Full, combinators::BoxBody};
use hyper::client::conn::{http1, http2};
use jiff::Timestamp;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use super::super::auth::Authenticator;
use super::super::auth::authority::{Authority, Credentials, LOOPBACK, ServerCertificate};
use super::super::auth::tokens::Tokens;
use super::*;

type Answer = Response<BoxBody<Bytes, Infallible>>;

fn now() -> Timestamp {
    Timestamp::now()
}

fn text(code: StatusCode, text: &str) -> Answer {
    let body = Full::new(Bytes::from(text.to_owned())).boxed();
    Response::builder().status(code).body(body).unwrap()
}

/// A body that sends one chunk and then never anything.
struct Watch(bool);

impl Body for Watch {
    type Data = Bytes;
    type Error = Infallible;
    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Pending;
        }
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"ADDED\n")))))
    }
}

struct Server {
    address: SocketAddr,
    authority: Arc<Authority>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

async fn start(limits: Limits) -> Server {
    let authority = Arc::new(Authority::in_memory(now()).unwrap());
    let certificate = ServerCertificate::new(Arc::clone(&authority), &LOOPBACK, now).unwrap();
    let who = Authenticator { authority: Arc::clone(&authority), tokens: Tokens::none() };
    let who = Arc::new(who);
    let handler = move |peer: Peer, request: Request<Incoming>| {
        let who = Arc::clone(&who);
        async move {
            match who.authenticate(&peer, request.headers(), now()) {
                Err(error) => text(StatusCode::from_u16(error.code).unwrap(), &error.message),
                Ok(_) if request.uri().path() == "/watch" => {
                    let mut answer = Response::new(Watch(false).boxed());
                    answer.extensions_mut().insert(Endless);
                    answer
                }
                Ok(_) if request.uri().path() == "/much" => {
                    let piece = || Ok::<_, Infallible>(Frame::data(Bytes::from(vec![0; 1 << 16])));
                    let pieces = futures::stream::repeat_with(piece);
                    Response::new(BodyExt::boxed(http_body_util::StreamBody::new(pieces)))
                }
                Ok(_) if request.uri().path() == "/never" => Response::new(Watch(false).boxed()),
                Ok(user) => text(StatusCode::OK, &user.name),
            }
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let tls = tls(Arc::new(certificate)).unwrap();
    let task = tokio::spawn(serve_tls(listener, tls, limits, handler, async {
        let _ = stopped.await;
    }));
    Server { address, authority, stop, task }
}

impl Server {
    fn user(&self, name: &str) -> Credentials {
        let day = Duration::from_hours(24);
        self.authority.client_certificate(name, &["inv:viewers"], day, now()).unwrap()
    }

    async fn connect(
        &self,
        user: Option<&Credentials>,
        alpn: &str,
    ) -> tokio_rustls::client::TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_slice(self.authority.certificate().as_bytes()).unwrap();
        roots.add(ca).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match user {
            None => config.with_no_client_auth(),
            Some(user) => {
                let der = CertificateDer::from_pem_slice(user.certificate.as_bytes()).unwrap();
                let key = PrivateKeyDer::from_pem_slice(user.key.as_bytes()).unwrap();
                config.with_client_auth_cert(vec![der], key).unwrap()
            }
        };
        config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
    }

    /// Status and body of one request over HTTP/1.1.
    async fn get(&self, user: Option<&Credentials>, path: &str) -> (u16, String) {
        let stream = self.connect(user, "http/1.1").await;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        read(sender.send_request(ask(path)).await.unwrap()).await
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
    }
}

fn ask(path: &str) -> Request<Empty<Bytes>> {
    let uri = format!("https://localhost{path}");
    Request::builder().uri(uri).header("host", "localhost").body(Empty::new()).unwrap()
}

async fn read(answer: Response<Incoming>) -> (u16, String) {
    let code = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (code, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_client_certificate_or_none_or_a_foreign_one() {
    let server = start(Limits::default()).await;
    let eve = server.user("eve");
    assert_eq!(server.get(Some(&eve), "/").await, (200, "eve".to_owned()));
    assert_eq!(server.get(None, "/").await, (200, "system:anonymous".to_owned()));
    let foreign = Authority::in_memory(now()).unwrap();
    let day = Duration::from_hours(24);
    let mallory = foreign.client_certificate("eve", &["inv:admins"], day, now()).unwrap();
    assert_eq!(server.get(Some(&mallory), "/").await, (401, "Unauthorized".to_owned()));
    server.stop().await;
}

/// Shows a certificate that its key does not fit, which rustls' own resolver refuses to do.
#[derive(Debug)]
struct Thief(Arc<rustls::sign::CertifiedKey>);
impl rustls::client::ResolvesClientCert for Thief {
    fn resolve(
        &self,
        _: &[&[u8]],
        _: &[SignatureScheme],
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
    fn has_certs(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn a_stolen_certificate_without_its_key_does_not_connect() {
    let server = start(Limits::default()).await;
    let (eve, other) = (server.user("eve"), server.user("other"));
    let stolen = Credentials { certificate: eve.certificate.clone(), key: other.key };
    let der = CertificateDer::from_pem_slice(stolen.certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(stolen.key.as_bytes()).unwrap();
    let key = ring::sign::any_ecdsa_type(&key).unwrap();
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(server.authority.certificate().as_bytes()).unwrap();
    roots.add(ca).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_cert_resolver(Arc::new(Thief(Arc::new(rustls::sign::CertifiedKey::new(
            vec![der],
            key,
        )))));
    let stream = TcpStream::connect(server.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    // In TLS 1.3 the client's side is done first: the refusal comes with the first read.
    let refused = match TlsConnector::from(Arc::new(config)).connect(name, stream).await {
        Err(_) => true,
        Ok(mut stream) => {
            let _ = stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
            stream.read(&mut [0; 64]).await.is_err()
        }
    };
    assert!(refused);
    server.stop().await;
}

#[tokio::test]
async fn http2_by_alpn_with_many_requests_on_one_connection() {
    let server = start(Limits::default()).await;
    let stream = server.connect(Some(&server.user("eve")), "h2").await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let io = TokioIo::new(stream);
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let first = sender.send_request(ask("/"));
    let second = sender.send_request(ask("/"));
    let (first, second) = tokio::join!(first, second);
    assert_eq!(read(first.unwrap()).await, (200, "eve".to_owned()));
    assert_eq!(read(second.unwrap()).await, (200, "eve".to_owned()));
    server.stop().await;
}

#[tokio::test]
async fn plain_http_is_told_about_https() {
    let server = start(Limits::default()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.ends_with("https://\n"), "{answer}");
    server.stop().await;
}

/// Whether the server has closed this connection, waiting for it.
async fn closed(stream: &mut TcpStream) -> bool {
    !matches!(stream.read(&mut [0; 64]).await, Ok(1..))
}

#[tokio::test]
async fn broken_tls_and_nothing_at_all_are_closed_and_hold_nobody_up() {
    // With time for an honest handshake on a busy machine, and with next to none.
    for handshake in [Duration::from_hours(1), Duration::from_millis(50)] {
        let server = start(Limits { handshake, ..Limits::default() }).await;
        let mut silent = TcpStream::connect(server.address).await.unwrap();
        let mut half = TcpStream::connect(server.address).await.unwrap();
        half.write_all(&[0x16, 3, 1, 2]).await.unwrap();
        let mut broken = TcpStream::connect(server.address).await.unwrap();
        let _ = broken.write_all(&[0x16; 4096]).await;
        if handshake > Duration::from_secs(1) {
            assert_eq!(server.get(None, "/").await.0, 200);
        } else {
            assert!(closed(&mut silent).await);
            assert!(closed(&mut half).await);
        }
        while broken.read(&mut [0; 64]).await.is_ok_and(|n| n > 0) {}
        server.stop().await;
    }
}

#[tokio::test]
async fn unfinished_handshakes_make_way_the_oldest_first() {
    let hour = Duration::from_hours(1);
    let server = start(Limits { handshakes: 2, handshake: hour, ..Limits::default() }).await;
    let mut first = TcpStream::connect(server.address).await.unwrap();
    let _second = TcpStream::connect(server.address).await.unwrap();
    let _third = TcpStream::connect(server.address).await.unwrap();
    assert!(closed(&mut first).await);
    assert_eq!(server.get(None, "/").await.0, 200);
    server.stop().await;
}

#[tokio::test]
async fn a_slow_head_and_an_unused_connection_are_closed() {
    let head = b"GET / HTTP/1.1\r\nhost: lo";
    // With time for an honest request on a busy machine.
    let server = start(Limits { idle: Duration::from_hours(1), ..Limits::default() }).await;
    let mut slow = server.connect(None, "http/1.1").await;
    slow.write_all(head).await.unwrap();
    assert_eq!(server.get(None, "/").await.0, 200, "it holds nobody up");
    drop(slow);
    server.stop().await;

    let server = start(Limits { idle: Duration::from_millis(50), ..Limits::default() }).await;
    let mut slow = server.connect(None, "http/1.1").await;
    let _ = slow.write_all(head).await;
    let mut rest = Vec::new();
    let _ = slow.read_to_end(&mut rest).await;
    assert!(!rest.starts_with(b"HTTP/1.1 200"));

    let stream = server.connect(None, "h2").await;
    let io = TokioIo::new(stream);
    // It may be closed before the client has said what it wants.
    let handshake = http2::handshake::<_, _, Empty<Bytes>>(TokioExecutor::new(), io).await;
    if let Ok((sender, connection)) = handshake {
        let _ = connection.await;
        drop(sender);
    }
    server.stop().await;
}

#[tokio::test]
async fn above_the_limit_new_connections_are_closed_and_old_ones_serve_on() {
    let server = start(Limits { connections: 1, ..Limits::default() }).await;
    let stream = server.connect(None, "http/1.1").await;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let watch = sender.send_request(ask("/watch")).await.unwrap();
    let mut second = server.connect(None, "http/1.1").await;
    assert_eq!(second.read(&mut [0]).await.unwrap_or_default(), 0, "closed");
    let mut watch = watch.into_body();
    assert_eq!(watch.frame().await.unwrap().unwrap().into_data().unwrap(), "ADDED\n");
    drop((sender, watch));
    let _ = connection.await;
    server.stop().await;
}

#[tokio::test]
async fn above_the_limit_the_oldest_unused_connection_makes_room() {
    let server = start(Limits { connections: 2, ..Limits::default() }).await;
    let (mut senders, mut ends, mut watches) = (Vec::new(), Vec::new(), Vec::new());
    for path in ["/watch", "/"] {
        let stream = server.connect(None, "http/1.1").await;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        ends.push(tokio::spawn(connection));
        let answer = sender.send_request(ask(path)).await.unwrap();
        senders.push(sender);
        if path == "/" {
            assert_eq!(read(answer).await.0, 200);
        } else {
            watches.push(answer);
        }
    }
    assert_eq!(server.get(None, "/").await.0, 200);
    let _ = ends.pop().unwrap().await;
    assert!(!ends.pop().unwrap().is_finished(), "the one with a watch stays");
    drop((senders, watches));
    server.stop().await;
}

#[tokio::test]
async fn an_http2_client_that_takes_nothing_is_cut_off() {
    let stall = Duration::from_millis(20);
    let server = start(Limits { stall, ..Limits::default() }).await;
    let io = TokioIo::new(server.connect(None, "h2").await);
    let (mut sender, connection) =
        http2::handshake::<_, _, Empty<Bytes>>(TokioExecutor::new(), io).await.unwrap();
    let connection = tokio::spawn(connection);
    let answer = sender.send_request(ask("/much")).await.unwrap();
    // It answers pings all the time, as the connection is polled.
    let _ = connection.await;
    drop(answer);
    server.stop().await;
}

#[tokio::test]
async fn a_stop_ends_watches_cleanly_and_cuts_off_what_does_not_end() {
    // What ends by itself needs no more time than it takes.
    for (path, clean, grace) in
        [("/watch", true, Duration::from_hours(1)), ("/never", false, Duration::from_millis(50))]
    {
        for alpn in ["http/1.1", "h2"] {
            let server = start(Limits { grace, ..Limits::default() }).await;
            let io = TokioIo::new(server.connect(None, alpn).await);
            let answer = if alpn == "h2" {
                let (mut sender, connection) =
                    http2::handshake(TokioExecutor::new(), io).await.unwrap();
                tokio::spawn(connection);
                sender.send_request(ask(path)).await.unwrap()
            } else {
                let (mut sender, connection) = http1::handshake(io).await.unwrap();
                tokio::spawn(connection);
                sender.send_request(ask(path)).await.unwrap()
            };
            let mut body = answer.into_body();
            let first = body.frame().await.unwrap().unwrap();
            assert_eq!(first.into_data().unwrap(), "ADDED\n");
            server.stop().await;
            let rest = body.collect().await.map(|rest| rest.to_bytes().len()).ok();
            assert_eq!(rest, clean.then_some(0), "{path} {alpn}");
        }
    }
}

fn stalling(limit: Duration) -> (tokio::io::DuplexStream, Stalling<tokio::io::DuplexStream>) {
    let (client, inner) = tokio::io::duplex(16);
    (client, Stalling { inner, limit, deadline: None })
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_given_up() {
    let (client, mut stalling) = stalling(Duration::from_millis(20));
    let error = stalling.write_all(&[0; 64]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    drop(client);
}

#[tokio::test]
async fn a_slow_client_that_takes_something_gets_its_time_anew() {
    let (mut client, mut stalling) = stalling(Duration::from_hours(1));
    let mut context = Context::from_waker(std::task::Waker::noop());
    let mut write = |stalling: &mut Stalling<_>| {
        let written = Pin::new(&mut *stalling).poll_write(&mut context, &[0; 16]).is_ready();
        (written, stalling.deadline.is_some())
    };
    assert_eq!(write(&mut stalling), (true, false));
    assert_eq!(write(&mut stalling), (false, true));
    client.read_exact(&mut [0; 4]).await.unwrap();
    assert_eq!(write(&mut stalling), (true, false));
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_socket_is_private_and_knows_its_owner() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.sock");
    drop(bind_unix(&path).unwrap());
    let listener = bind_unix(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing left over");
    let seen = Arc::new(Mutex::new(None));
    let handler = {
        let seen = Arc::clone(&seen);
        move |peer: Peer, _: Request<Incoming>| {
            *seen.lock().unwrap() = Some(peer);
            async { text(StatusCode::OK, "hello") }
        }
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(serve_unix(listener, Limits::default(), handler, async {
        let _ = stopped.await;
    }));
    let stream = tokio::net::UnixStream::connect(&path).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let answer = sender.send_request(ask("/")).await.unwrap();
    assert_eq!(read(answer).await, (200, "hello".to_owned()));
    let Some(Peer::Unix { uid, owner }) = seen.lock().unwrap().take() else { panic!("no peer") };
    assert_eq!(uid, owner);
    stop.send(()).unwrap();
    task.await.unwrap();

    let file = folder.path().join("file");
    std::fs::write(&file, "mine").unwrap();
    assert!(bind_unix(&file).is_err());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
    assert!(bind_unix(&folder.path().join("x".repeat(120))).is_err());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing left over");
}
