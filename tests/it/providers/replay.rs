//! A server that answers as a test wants, and remembers what it was asked.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::Response;
use futures::{StreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What was asked.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) path: String,
    pub(super) query: BTreeMap<String, String>,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Asked {
    pub(super) fn get(&self, key: &str) -> &str {
        self.query.get(key).map_or("", String::as_str)
    }

    pub(super) fn number(&self, key: &str) -> Option<u64> {
        self.query.get(key)?.parse().ok()
    }

    pub(super) fn authorization(&self) -> &str {
        self.headers.get("authorization").map_or("", |value| value.to_str().unwrap())
    }
}

/// What is answered.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    status: u16,
    type_: &'static str,
    headers: Vec<(&'static str, String)>,
    body: String,
    /// The connection breaks after the body.
    broken: bool,
}

impl Reply {
    pub(super) fn json(body: &Value) -> Self {
        let body = body.to_string();
        Self { status: 200, type_: "application/json", headers: Vec::new(), body, broken: false }
    }

    /// A page for people, as proxies and error handlers send it.
    pub(super) fn html(status: u16) -> Self {
        let body = "<!doctype html><html><body>It is not you, it is us.</body></html>".to_owned();
        Self { status, type_: "text/html", body, ..Self::json(&Value::Null) }
    }

    /// Text of this type, whatever it is.
    pub(super) fn text(status: u16, type_: &'static str, body: String) -> Self {
        Self { status, type_, body, ..Self::json(&Value::Null) }
    }

    /// The same with another body.
    pub(super) fn with(self, change: impl FnOnce(&mut Value)) -> Self {
        let mut body = serde_json::from_str(&self.body).unwrap();
        change(&mut body);
        Self { body: body.to_string(), ..self }
    }

    /// The same without the headers of this name.
    pub(super) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self
    }

    pub(super) fn error(status: u16, body: &Value) -> Self {
        Self { status, ..Self::json(body) }
    }

    pub(super) fn header(mut self, name: &'static str, value: impl std::fmt::Display) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    /// The first half of the body and then the end, as if that were all.
    pub(super) fn cut(mut self) -> Self {
        self.body.truncate(self.body.len() / 2);
        self
    }

    /// The first half of the body and then a broken connection.
    pub(super) fn broken(self) -> Self {
        Self { broken: true, ..self.cut() }
    }
}

type Handler = Box<dyn FnMut(&Asked) -> Reply + Send>;

#[derive(Clone)]
struct Shared {
    handler: Arc<Mutex<Handler>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// A running server; it ends with the test's runtime.
pub(super) struct Replay {
    pub(super) url: String,
    shared: Shared,
}

impl Replay {
    pub(super) async fn begin(handler: impl FnMut(&Asked) -> Reply + Send + 'static) -> Self {
        let (listener, address) = listen().await;
        let (this, router) = Self::new(format!("http://{address}"), handler);
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        this
    }

    /// The same with TLS and a certificate that nobody signed, which is given too (PEM).
    pub(super) async fn begin_tls(
        handler: impl FnMut(&Asked) -> Reply + Send + 'static,
    ) -> (Self, String) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let pem = made.cert.pem();
        let key =
            rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (listener, address) = listen().await;
        let (this, router) = Self::new(format!("https://localhost:{}", address.port()), handler);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, router) = (acceptor.clone(), router.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = hyper_util::service::TowerToHyperService::new(router);
                    let builder =
                        hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        (this, pem)
    }

    fn new(url: String, handler: impl FnMut(&Asked) -> Reply + Send + 'static) -> (Self, Router) {
        let shared =
            Shared { handler: Arc::new(Mutex::new(Box::new(handler))), asked: Arc::default() };
        let router = Router::new().fallback(answer).with_state(shared.clone());
        (Self { url, shared }, router)
    }

    /// What was asked so far.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// Forgets what was asked.
    pub(super) fn forget(&self) {
        self.shared.asked.lock().unwrap().clear();
    }
}

/// A proxy that makes tunnels; gives its address, and what it was asked for.
pub(super) async fn proxy() -> (String, Arc<Mutex<Vec<String>>>) {
    let (listener, address) = listen().await;
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let shared = Arc::clone(&asked);
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let shared = Arc::clone(&shared);
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(client.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                shared.lock().unwrap().push(head.clone());
                let target = head.split(' ').nth(1).unwrap();
                let mut server = tokio::net::TcpStream::connect(target).await.unwrap();
                client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (format!("http://user:pass-word@{address}"), asked)
}

async fn listen() -> (TcpListener, std::net::SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn answer(State(shared): State<Shared>, request: Request<Body>) -> Response {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let query = head.uri.query().unwrap_or_default();
    let asked = Asked {
        path: head.uri.path().to_owned(),
        query: form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
        headers: head.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    };
    let reply = shared.handler.lock().unwrap()(&asked);
    shared.asked.lock().unwrap().push(asked);
    let mut response = Response::builder()
        .status(StatusCode::from_u16(reply.status).unwrap())
        .header("content-type", reply.type_);
    for (name, value) in &reply.headers {
        response = response.header(*name, value);
    }
    if reply.broken {
        let frame = http_body::Frame::data(bytes::Bytes::from(reply.body));
        let end = async {
            tokio::task::yield_now().await; // so that what came before is sent
            Err(std::io::Error::other("the end"))
        };
        let frames = stream::once(async { Ok(frame) }).chain(stream::once(end));
        response.body(Body::new(StreamBody::new(Box::pin(frames)))).unwrap()
    } else {
        let whole = stream::iter([Ok::<_, Infallible>(bytes::Bytes::from(reply.body))]);
        response.body(Body::from_stream(whole)).unwrap()
    }
}
