//! Hostile clients: what they may cost, and that others are served meanwhile. Single bad requests, and
//! what any API server must stand, are in `tests/conformance`.

mod access;
mod bodies;
mod memory;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use kube::config::Kubeconfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{PATIENCE, Serving};

/// Before the server has worked so long on anything, everybody else must have an answer. It is the time of
/// its processors and not of a clock, so that a machine that is busy with others has more. What is tried
/// here would take minutes, were it let.
const OTHERS: Duration = Duration::from_secs(10);
/// Before it has worked so long, whatever is tried must have its answer.
const ENOUGH: Duration = Duration::from_mins(4);

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const SECRETS: &str = "/api/v1/namespaces/default/secrets";
const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const JSON: &str = "application/json";
const JSON_PATCH: &str = "application/json-patch+json";
const MERGE: &str = "application/merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

/// A server of a test, and a folder that ends with it.
struct Victim {
    serving: Serving,
    folder: tempfile::TempDir,
    admin: User,
}

/// How to connect as somebody.
#[derive(Clone)]
struct User {
    address: String,
    tls: rustls::ClientConfig,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    #[track_caller]
    fn is(self, status: u16) -> Self {
        let start = String::from_utf8_lossy(&self.body[..self.body.len().min(400)]);
        assert_eq!(self.status, status, "{start}");
        self
    }
}

impl Victim {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let serving = Serving::start(folder.path(), &[]).await;
        let admin = User::of(serving.address(), &serving.kubeconfig);
        Self { serving, folder, admin }
    }

    /// Somebody with a role.
    async fn user(&self, name: &str, role: &str) -> User {
        let file = self.folder.path().join(format!("{name}.kubeconfig"));
        let words = ["--user", name, "--role", role, "--write-kubeconfig"];
        let mut command = super::program(self.folder.path(), &words);
        let output = command.arg(&file).output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        User::of(self.serving.address(), &file)
    }

    /// Fails unless others get an answer soon, on a connection of their own.
    async fn serves_others(&self) {
        let get = self.admin.send("GET", "/api/v1/namespaces/default", "", "");
        tokio::select! {
            biased;
            answer = timeout(PATIENCE, get) => answer.expect("others are held up").is(200),
            () = self.works(OTHERS) => panic!("others are held up"),
        };
    }

    /// Waits until the server has worked so long, from now on.
    async fn works(&self, time: Duration) {
        let until = self.worked() + time;
        let mut looks = tokio::time::interval(Duration::from_secs(1));
        while self.worked() < until {
            looks.tick().await;
        }
    }

    /// How long the server has worked, all its threads together.
    fn worked(&self) -> Duration {
        let pid = self.serving.child.id().unwrap();
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        // After the name, which may have anything in it: the 14th and the 15th field, in hundredths.
        let fields = stat.rsplit_once(") ").unwrap().1.split(' ').skip(11).take(2);
        let hundredths: u64 = fields.map(|field| field.parse::<u64>().unwrap()).sum();
        Duration::from_millis(hundredths * 10)
    }

    /// Does `work`, and looks all the time whether others are served.
    async fn meanwhile<T>(&self, work: impl Future<Output = T>) -> T {
        let others = async {
            let mut looks = tokio::time::interval(Duration::from_millis(50));
            looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                looks.tick().await;
                self.serves_others().await;
            }
        };
        tokio::select! {
            done = work => done,
            () = self.works(ENOUGH) => panic!("it does not end"),
            () = others => unreachable!(),
        }
    }

    /// Memory of the server in MiB: now, and at the most ever.
    fn memory(&self) -> (u64, u64) {
        let pid = self.serving.child.id().unwrap();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() >> 10
        };
        (field("VmRSS:"), field("VmHWM:"))
    }

    /// What the server has written to its log.
    fn log(&mut self) -> String {
        super::text(&mut self.serving.log)
    }
}

impl User {
    fn of(address: &str, kubeconfig: &Path) -> Self {
        let config = serde_json::to_value(Kubeconfig::read_from(kubeconfig).unwrap()).unwrap();
        let pem = |data: &Value| {
            use base64::Engine;
            base64::engine::general_purpose::STANDARD.decode(data.as_str().unwrap()).unwrap()
        };
        let authority = pem(&config["clusters"][0]["cluster"]["certificate-authority-data"]);
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&authority).unwrap()).unwrap();
        let user = &config["users"][0]["user"];
        let (certificate, key) =
            (pem(&user["client-certificate-data"]), pem(&user["client-key-data"]));
        let tls = builder()
            .with_root_certificates(roots)
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_slice(&certificate).unwrap()],
                PrivateKeyDer::from_pem_slice(&key).unwrap(),
            )
            .unwrap();
        Self { address: address.to_owned(), tls }
    }

    /// The same server without a certificate.
    fn nobody(&self, victim: &Victim) -> Self {
        let ca = std::fs::read(victim.folder.path().join("ca.crt")).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&ca).unwrap()).unwrap();
        let tls = builder().with_root_certificates(roots).with_no_client_auth();
        Self { address: self.address.clone(), tls }
    }

    async fn connect(&self, protocol: &str) -> TlsStream<TcpStream> {
        let mut tls = self.tls.clone();
        tls.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let stream = TcpStream::connect(&self.address).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        TlsConnector::from(Arc::new(tls)).connect(name, stream).await.unwrap()
    }

    async fn http1(&self) -> http1::SendRequest<Full<Bytes>> {
        let stream = TokioIo::new(self.connect("http/1.1").await);
        let (sender, connection) =
            http1::Builder::new().max_headers(4096).handshake(stream).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    async fn http2(&self) -> http2::SendRequest<Full<Bytes>> {
        let stream = TokioIo::new(self.connect("h2").await);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    /// A request on a connection of its own, and its whole answer.
    async fn send(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> Answer {
        let mut sender = self.http1().await;
        let answer = sender.send_request(request(method, path, content_type, body.into()));
        whole(answer.await.unwrap()).await
    }

    async fn post(&self, path: &str, object: &Value) -> Answer {
        self.send("POST", path, JSON, object.to_string()).await
    }
}

fn builder() -> rustls::ConfigBuilder<rustls::ClientConfig, rustls::WantsVerifier> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
}

fn request(method: &str, path: &str, content_type: &str, body: Bytes) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(format!("https://localhost{path}"))
        .header("host", "localhost")
        .header("content-type", content_type)
        .body(Full::new(body))
        .unwrap()
}

async fn whole(answer: http::Response<Incoming>) -> Answer {
    let (head, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: head.status.as_u16(), headers: head.headers, body }
}

fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
}

/// A definition with this schema for `spec`.
fn definition(plural: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.hostile.example")},
        "spec": {
            "group": "hostile.example", "scope": "Cluster",
            "names": {"kind": format!("K{plural}"), "plural": plural},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object", "properties": {"spec": spec},
            }}}],
        },
    })
}
