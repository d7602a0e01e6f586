//! Raw HTTP to the server under test: every header and every byte of a body is the case's own.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How long anything may take until a case gives up on it.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);
/// How long an unused connection is kept: shorter than servers keep it, so that no request goes out on one
/// that the server is about to close.
const UNUSED: Duration = Duration::from_secs(30);

pub(crate) const JSON: &str = "application/json";
pub(crate) const MERGE: &str = "application/merge-patch+json";
pub(crate) const JSON_PATCH: &str = "application/json-patch+json";
pub(crate) const STRATEGIC: &str = "application/strategic-merge-patch+json";
pub(crate) const APPLY: &str = "application/apply-patch+yaml";
pub(crate) const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

/// How a client proves who it is.
#[derive(Clone)]
pub(crate) enum Identity {
    Nobody,
    Token(String),
    /// Certificate chain and key, both PEM.
    Certificate(Vec<u8>, Vec<u8>),
}

/// A client of the server under test, as one user.
#[derive(Clone)]
pub(crate) struct Server {
    url: String,
    authority: Vec<u8>,
    identity: Identity,
    connector: Connector,
    http: Client<Connector, Full<Bytes>>,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) version: http::Version,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
    /// The body, or null if it is not JSON.
    pub(crate) json: Value,
}

impl Server {
    /// The current context of a kubeconfig that has its certificates inside or beside it.
    pub(crate) fn from_kubeconfig(file: &str) -> Self {
        let text = std::fs::read_to_string(file).expect("the kubeconfig");
        let config: Value = serde_saphyr::from_str(&text).expect("YAML");
        let of = |list: &str, name: &Value, what: &str| {
            let named = config[list].as_array().expect("a list").iter();
            named.clone().find(|entry| entry["name"] == *name).expect("the name")[what].clone()
        };
        let context = of("contexts", &config["current-context"], "context");
        let cluster = of("clusters", &context["cluster"], "cluster");
        let user = of("users", &context["user"], "user");
        let pem = |from: &Value, name: &str| match from[format!("{name}-data")].as_str() {
            Some(data) => Some(STANDARD.decode(data).expect("base64")),
            None => from[name].as_str().map(|path| std::fs::read(path).expect(path)),
        };
        let identity = match (user["token"].as_str(), pem(&user, "client-certificate")) {
            (Some(token), _) => Identity::Token(token.to_owned()),
            (None, Some(chain)) => {
                Identity::Certificate(chain, pem(&user, "client-key").expect("a key"))
            }
            (None, None) => Identity::Nobody,
        };
        let url = cluster["server"].as_str().expect("a server").trim_end_matches('/');
        let authority = pem(&cluster, "certificate-authority").expect("certificate-authority");
        Self::new(url, authority, identity, &[b"http/1.1"])
    }

    fn new(url: &str, authority: Vec<u8>, identity: Identity, protocols: &[&[u8]]) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&authority) {
            roots.add(certificate.expect("PEM")).expect("a CA");
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("TLS versions")
            .with_root_certificates(roots);
        let mut tls = match &identity {
            Identity::Nobody | Identity::Token(_) => builder.with_no_client_auth(),
            Identity::Certificate(chain, key) => {
                let chain = CertificateDer::pem_slice_iter(chain);
                let chain = chain.collect::<Result<Vec<_>, _>>().expect("PEM");
                let key = PrivateKeyDer::from_pem_slice(key).expect("PEM");
                builder.with_client_auth_cert(chain, key).expect("a key pair")
            }
        };
        tls.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let http2 = protocols == [b"h2"];
        let connector = Connector(TlsConnector::from(Arc::new(tls)));
        let http = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(UNUSED)
            .http2_only(http2)
            .build(connector.clone());
        Self { url: url.to_owned(), authority, identity, connector, http }
    }

    /// The same server, asked by someone else.
    pub(crate) fn with(&self, identity: Identity) -> Self {
        Self::new(&self.url, self.authority.clone(), identity, &[b"http/1.1"])
    }

    /// The same server and the same user over HTTP/2.
    pub(crate) fn http2(&self) -> Self {
        Self::new(&self.url, self.authority.clone(), self.identity.clone(), &[b"h2"])
    }

    /// Sends a request and waits for the head of the answer.
    async fn start(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> http::Response<Incoming> {
        let request = self.request(method, path, headers, body);
        timeout(PATIENCE, self.http.request(request))
            .await
            .unwrap_or_else(|_| panic!("no answer: {path}"))
            .unwrap_or_else(|error| panic!("{path}: {error:?}"))
    }

    fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Request<Full<Bytes>> {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Identity::Token(token) = &self.identity {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        request.body(Full::new(body)).expect("a request")
    }

    /// A GET that need not be answered: nothing if the connection ends instead.
    pub(crate) async fn try_get(&self, path: &str) -> Option<http::response::Parts> {
        let request = self.request("GET", path, &[], Bytes::new());
        let answer = timeout(PATIENCE, self.http.request(request)).await.expect("an end");
        answer.ok().map(|answer| answer.into_parts().0)
    }

    /// Any request.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let (head, body) = self.start(method, path, headers, body.into()).await.into_parts();
        let bytes = timeout(PATIENCE, body.collect()).await.expect("a body in time");
        let bytes = bytes.expect("a whole body").to_bytes();
        let json = serde_json::from_slice(&bytes).unwrap_or_default();
        Answer {
            status: head.status.as_u16(),
            version: head.version,
            headers: head.headers,
            bytes,
            json,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "").await
    }

    /// A GET with this `Accept`.
    pub(crate) async fn get_as(&self, path: &str, accept: &str) -> Answer {
        self.send("GET", path, &[("accept", accept)], "").await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &[("content-type", JSON)], body.to_string()).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send("PUT", path, &[("content-type", JSON)], body.to_string()).await
    }

    /// A PATCH with this `Content-Type`.
    pub(crate) async fn patch(&self, path: &str, kind: &str, body: &Value) -> Answer {
        self.send("PATCH", path, &[("content-type", kind)], body.to_string()).await
    }

    pub(crate) async fn merge(&self, path: &str, body: &Value) -> Answer {
        self.patch(path, MERGE, body).await
    }

    /// A server-side apply by this field manager.
    pub(crate) async fn apply(&self, path: &str, manager: &str, body: &Value) -> Answer {
        self.patch(&query(path, &[("fieldManager", manager)]), APPLY, body).await
    }

    /// A server-side apply that takes what others own.
    pub(crate) async fn force(&self, path: &str, manager: &str, body: &Value) -> Answer {
        let path = query(path, &[("fieldManager", manager), ("force", "true")]);
        self.patch(&path, APPLY, body).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], "").await
    }

    /// A DELETE with `DeleteOptions`.
    pub(crate) async fn delete_with(&self, path: &str, options: &Value) -> Answer {
        self.send("DELETE", path, &[("content-type", JSON)], options.to_string()).await
    }

    /// A watch, which the server has begun to answer.
    pub(crate) async fn watch(&self, path: &str, parameters: &[(&str, &str)]) -> Watch {
        self.watch_as(path, parameters, JSON).await
    }

    /// A watch with this `Accept`.
    pub(crate) async fn watch_as(
        &self,
        path: &str,
        parameters: &[(&str, &str)],
        accept: &str,
    ) -> Watch {
        self.watching(&query(&query(path, &[("watch", "true")]), parameters), accept).await
    }

    /// A watch that the path asks for in its own words.
    pub(crate) async fn watching(&self, path: &str, accept: &str) -> Watch {
        let answer = self.start("GET", path, &[("accept", accept)], Bytes::new()).await;
        let (head, mut body) = answer.into_parts();
        if head.status != 200 {
            let body = body.collect().await.expect("a body").to_bytes();
            panic!("{path}: {} {}", head.status, String::from_utf8_lossy(&body));
        }
        let (send, lines) = tokio::sync::mpsc::unbounded_channel();
        // Read in the background, so that the server never waits for a case.
        let reader = tokio::spawn(async move {
            let mut buffer = Vec::new();
            while let Some(Ok(frame)) = body.frame().await {
                buffer.extend_from_slice(frame.data_ref().map_or(&[], |data| data.as_ref()));
                while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = buffer.drain(..=end).collect();
                    if send.send(line).is_err() {
                        return;
                    }
                }
            }
            assert!(buffer.is_empty(), "half a line: {}", String::from_utf8_lossy(&buffer));
        });
        Watch { headers: head.headers, lines, reader, seen: VecDeque::new() }
    }

    /// A connection without TLS.
    pub(crate) async fn tcp(&self) -> TcpStream {
        let uri: Uri = self.url.parse().expect("a URL");
        tcp(&uri).await.expect("a connection")
    }

    /// A connection for bytes that no HTTP library would send.
    pub(crate) async fn tls(&self) -> TlsStream<TcpStream> {
        let uri: Uri = self.url.parse().expect("a URL");
        self.connector.connect(&uri).await.expect("a connection")
    }

    /// A request whose answer nobody reads.
    pub(crate) async fn stuck(&self, path: &str) -> http::Response<Incoming> {
        self.start("GET", path, &[], Bytes::new()).await
    }

    /// Asks again until the answer is one that `wanted` takes.
    pub(crate) async fn until(&self, path: &str, wanted: impl Fn(&Answer) -> bool) -> Answer {
        self.until_as(path, JSON, wanted).await
    }

    /// The same with this `Accept`.
    pub(crate) async fn until_as(
        &self,
        path: &str,
        accept: &str,
        wanted: impl Fn(&Answer) -> bool,
    ) -> Answer {
        let deadline = Instant::now() + PATIENCE;
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        loop {
            ticks.tick().await;
            let answer = self.get_as(path, accept).await;
            if wanted(&answer) {
                return answer;
            }
            assert!(Instant::now() < deadline, "{path} stays at {answer}");
        }
    }
}

impl Answer {
    /// The same, after a check of the code.
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self}");
        self
    }

    /// The same, after a check that it is a `Status` with this code and reason.
    #[track_caller]
    pub(crate) fn fails(self, status: u16, reason: &str) -> Self {
        let answer = self.is(status);
        assert_eq!(answer.json["kind"], "Status", "{answer}");
        assert_eq!(answer.json["apiVersion"], "v1", "{answer}");
        assert_eq!(answer.json["status"], "Failure", "{answer}");
        assert_eq!(answer.json["code"], status, "{answer}");
        assert_eq!(answer.json["reason"], reason, "{answer}");
        answer
    }

    /// The same, after a check that it is a 422 with a cause of this reason for this field.
    #[track_caller]
    pub(crate) fn invalid(self, reason: &str, field: &str) -> Self {
        let answer = self.fails(422, "Invalid");
        let wanted = (json!(reason), json!(field));
        let causes = answer.json["details"]["causes"].as_array().cloned().unwrap_or_default();
        let found = causes.iter().any(|c| (&c["reason"], &c["field"]) == (&wanted.0, &wanted.1));
        assert!(found, "no {reason} {field} in {answer}");
        answer
    }

    /// The same, after a check of `details.name`, `details.group` and `details.kind`.
    #[track_caller]
    pub(crate) fn about(self, name: &str, group: &str, kind: &str) -> Self {
        let details = &self.json["details"];
        let text = |name: &str| details[name].as_str().unwrap_or_default();
        assert_eq!((text("name"), text("group"), text("kind")), (name, group, kind), "{self}");
        self
    }

    /// The value of a header, or nothing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("ASCII"))
    }

    #[track_caller]
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).expect("UTF-8")
    }

    /// `metadata.NAME` as text.
    pub(crate) fn meta(&self, name: &str) -> String {
        self.json["metadata"][name].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn version_of_resource(&self) -> String {
        self.meta("resourceVersion")
    }

    /// The names of the items of a list.
    pub(crate) fn names(&self) -> Vec<String> {
        let items = self.json["items"].as_array().unwrap_or_else(|| panic!("no list: {self}"));
        items.iter().map(|i| i["metadata"]["name"].as_str().expect("a name").to_owned()).collect()
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.status, String::from_utf8_lossy(&self.bytes))
    }
}

/// The answer to a watch.
pub(crate) struct Watch {
    pub(crate) headers: HeaderMap,
    lines: tokio::sync::mpsc::UnboundedReceiver<Vec<u8>>,
    reader: tokio::task::JoinHandle<()>,
    seen: VecDeque<Value>,
}

impl Watch {
    /// The next line as it came; `None` at the end of the stream.
    pub(crate) async fn line(&mut self) -> Option<Vec<u8>> {
        let last = self.seen.back();
        timeout(PATIENCE, self.lines.recv())
            .await
            .unwrap_or_else(|_| panic!("no event; the last one was {last:?}"))
    }

    /// The next event; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        let line = self.line().await?;
        let event: Value = serde_json::from_slice(&line).expect("one event on one line");
        self.seen.push_back(event.clone());
        Some(event)
    }

    /// The object of the next event, which must be of this type and about this name.
    pub(crate) async fn expect(&mut self, kind: &str, name: &str) -> Value {
        let event = self.next().await.unwrap_or_else(|| panic!("the end, not {kind} {name}"));
        assert_eq!(event["type"], kind, "{event}");
        assert_eq!(event["object"]["metadata"]["name"], name, "{event}");
        event["object"].clone()
    }

    /// Reads bookmarks away until the one that ends the initial events; returns it.
    pub(crate) async fn initial_events_end(&mut self) -> Value {
        let event = self.next().await.expect("a bookmark");
        assert_eq!(event["type"], "BOOKMARK", "{event}");
        let annotations = &event["object"]["metadata"]["annotations"];
        assert_eq!(annotations["k8s.io/initial-events-end"], "true", "{event}");
        event["object"].clone()
    }

    /// The stream must end without another event.
    pub(crate) async fn expect_end(&mut self) {
        assert_eq!(self.next().await, None);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// The path with more parameters, escaped.
pub(crate) fn query(path: &str, parameters: &[(&str, &str)]) -> String {
    let mut path = path.to_owned();
    for (name, value) in parameters {
        path.push(if path.contains('?') { '&' } else { '?' });
        path.push_str(name);
        path.push('=');
        for byte in value.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    path.push(char::from(byte));
                }
                _ => path.push_str(&format!("%{byte:02X}")),
            }
        }
    }
    path
}

/// Opens TLS connections.
#[derive(Clone)]
struct Connector(TlsConnector);

impl tower_service::Service<Uri> for Connector {
    type Response = Stream;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = std::io::Result<Stream>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { Ok(Stream(TokioIo::new(connector.connect(&uri).await?))) })
    }
}

impl Connector {
    async fn connect(&self, uri: &Uri) -> std::io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host(uri)).map_err(std::io::Error::other)?;
        self.0.connect(name, tcp(uri).await?).await
    }
}

fn host(uri: &Uri) -> String {
    uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned()
}

async fn tcp(uri: &Uri) -> std::io::Result<TcpStream> {
    let tcp = TcpStream::connect((host(uri), uri.port_u16().unwrap_or(443))).await?;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

/// A TLS connection, as hyper wants it.
struct Stream(TokioIo<TlsStream<TcpStream>>);

impl Connection for Stream {
    fn connected(&self) -> Connected {
        let connected = Connected::new();
        match self.0.inner().get_ref().1.alpn_protocol() {
            Some(b"h2") => connected.negotiated_h2(),
            _ => connected,
        }
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, c: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(c)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, c: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(c)
    }
}
