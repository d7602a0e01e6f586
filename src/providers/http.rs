//! JSON over HTTP for the providers that speak it: each attempt with a deadline, failed attempts
//! repeated with full jitter, every body bounded and parsed whole, so that a truncated page is an
//! error and never an empty one. Redirects are not followed: they would carry the credentials along.
//!
//! HTTPS goes through the proxy that `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` name, as curl does.

use std::error::Error as StdError;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use http::{HeaderMap, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use k8s_openapi::jiff::{Timestamp, fmt::rfc2822};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;
use tokio::net::TcpStream;
use tower_service::Service;

use super::credentials::Secret;
use super::{ProviderError, ProviderErrorKind};
use crate::error::{Error, Result, chain};
use crate::model::text;

/// Attempts for one request, the first included.
const ATTEMPTS: u32 = 5;
/// How long one attempt may take, body included.
const ATTEMPT: Duration = Duration::from_secs(30);
/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// Most time before the second attempt; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Most time between two attempts. With [`ATTEMPTS`] and [`ATTEMPT`] everything stays below
/// [`super::PAGE_DEADLINE`].
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Most bytes of one answer.
const MAX_BODY: usize = 32 * 1024 * 1024;
/// Most bytes of an answer that is only looked at for its words.
const MAX_SAID: usize = 64 * 1024;
/// Most characters of a server's own words in an error.
const MAX_WORDS: usize = 200;

/// A client for one provider.
#[derive(Clone)]
pub struct Http {
    client: Client<HttpsConnector<Via>, Full<Bytes>>,
    /// How long one attempt may take.
    attempt: Duration,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    /// What is tried, for the error: `cannot list the devices`.
    pub what: &'a str,
    /// Method; only such as may be repeated.
    pub method: Method,
    /// Address, with its query.
    pub url: &'a str,
    /// Value of the header `Authorization`.
    pub authorization: Option<Secret>,
    /// Content type and body.
    pub body: Option<(&'static str, Bytes)>,
    /// What must not appear in any error, besides the authorization.
    pub secrets: &'a [Secret],
    /// Codes that are an answer too, though they say no.
    pub accept: &'a [u16],
    /// Codes, besides 401, that say that the credentials are wrong.
    pub wrong_key: &'a [u16],
}

impl<'a> Ask<'a> {
    /// A GET.
    pub fn get(what: &'a str, url: &'a str, authorization: Option<Secret>) -> Self {
        Self {
            what,
            method: Method::GET,
            url,
            authorization,
            body: None,
            secrets: &[],
            accept: &[],
            wrong_key: &[],
        }
    }

    /// A POST that changes nothing, so that it may be repeated.
    pub fn post(what: &'a str, url: &'a str, body: (&'static str, Bytes)) -> Self {
        Self {
            what,
            method: Method::POST,
            url,
            authorization: None,
            body: Some(body),
            secrets: &[],
            accept: &[],
            wrong_key: &[],
        }
    }
}

/// One answer with a 2xx code, or another that was asked for.
#[derive(Debug)]
pub struct Answer {
    /// Its code.
    pub status: StatusCode,
    /// The body.
    pub body: Value,
    /// The headers.
    pub headers: HeaderMap,
}

impl Answer {
    /// How far the server's clock is ahead of ours, if it sent a date.
    pub fn clock_ahead(&self, now: Timestamp) -> Option<i64> {
        let date = self.headers.get(header::DATE)?.to_str().ok()?;
        Some(date_of(date)?.as_second() - now.as_second())
    }
}

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unanswered {
    /// Whether it may have reached the server.
    pub sent: bool,
    /// What happened.
    pub why: String,
}

/// Why one attempt failed.
struct Failed {
    kind: ProviderErrorKind,
    /// Whether another attempt may go better.
    again: bool,
    /// How long the server wants us to wait.
    after: Option<Duration>,
    why: String,
    hint: Option<String>,
}

impl Http {
    /// A client that trusts the system's certificate authorities, or those in `ca_file` only.
    ///
    /// # Errors
    /// The file cannot be read or has no certificate, or the system has none; for set-up.
    pub fn new(ca_file: Option<&Path>) -> Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|cause| Error::new("cannot set up TLS").because(cause))?;
        let tls = match ca_file {
            None => builder
                .with_native_roots()
                .map_err(|cause| {
                    Error::usage("the system has no certificate authorities")
                        .because(cause)
                        .hint("install the package ca-certificates, or name a file with ca-file")
                })?
                .with_no_client_auth(),
            Some(path) => builder.with_root_certificates(authorities(path)?).with_no_client_auth(),
        };
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT));
        tcp.set_nodelay(true);
        let via = Via { tcp, proxies: Arc::new(Matcher::from_env()) };
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(via);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_mins(1))
            .pool_max_idle_per_host(4)
            .build(connector);
        Ok(Self { client, attempt: ATTEMPT })
    }

    /// Sends the request until it is answered, is refused for good, or has failed too often.
    ///
    /// # Errors
    /// What the last attempt failed with. No secret is in it, nor the query of the address.
    pub async fn json(&self, ask: &Ask<'_>) -> std::result::Result<Answer, ProviderError> {
        let mut attempt = 1;
        loop {
            let failed = match self.attempt(ask, false).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            let pause = pause(attempt, failed.after, fastrand::f64());
            match pause.filter(|_| failed.again && attempt < ATTEMPTS) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(give_up(ask, failed, attempt)),
            }
            attempt += 1;
        }
    }

    /// Sends a request once, whatever comes of it: whoever asks knows whether it may be repeated. Gives
    /// the code, and the server's own words if it has any.
    ///
    /// # Errors
    /// There was no answer within `limit`.
    pub async fn once(
        &self,
        request: Request<Full<Bytes>>,
        limit: Duration,
    ) -> std::result::Result<(StatusCode, String), Unanswered> {
        let answer = async {
            let response = self.client.request(request).await.map_err(|cause| Unanswered {
                sent: !cause.is_connect(),
                why: tls_problem(&cause).unwrap_or_else(|| chain(&cause)),
            })?;
            let status = response.status();
            // The code is the answer; a body that is too long or breaks off says nothing against it.
            let body = Limited::new(response.into_body(), MAX_SAID).collect().await;
            let said = body.map(|body| words(&body.to_bytes())).unwrap_or_default();
            Ok((status, said))
        };
        tokio::time::timeout(limit, answer).await.unwrap_or_else(|_| {
            Err(Unanswered { sent: true, why: format!("no answer after {} s", limit.as_secs()) })
        })
    }

    /// Sends the request once, so that it may be one that must not be repeated. An answer without a
    /// body is one with `null`.
    ///
    /// # Errors
    /// What it failed with, as for [`Http::json`]. Whether it was carried out nobody knows then.
    pub async fn ask_once(&self, ask: &Ask<'_>) -> std::result::Result<Answer, ProviderError> {
        self.attempt(ask, true).await.map_err(|failed| give_up(ask, failed, 1))
    }

    async fn attempt(
        &self,
        ask: &Ask<'_>,
        may_be_empty: bool,
    ) -> std::result::Result<Answer, Failed> {
        let request = request(ask)?;
        let answer = async {
            let response = self.client.request(request).await.map_err(|cause| broken(&cause))?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, MAX_BODY).collect().await;
            let body = body.map_err(|cause| cut_off(&*cause))?.to_bytes();
            let status = head.status;
            if !status.is_success() && !ask.accept.contains(&status.as_u16()) {
                let mut failed = refused(status, &head.headers, &body);
                if ask.wrong_key.contains(&status.as_u16()) {
                    failed.kind = ProviderErrorKind::Credentials;
                }
                return Err(failed);
            }
            if body.is_empty() && may_be_empty {
                return Ok(Answer { status, body: Value::Null, headers: head.headers });
            }
            let body = serde_json::from_slice(&body).map_err(|cause| Failed {
                kind: ProviderErrorKind::Other,
                again: true,
                after: None,
                why: format!("the answer is no whole JSON: {cause}"),
                hint: Some("check that the address is that of the API".to_owned()),
            })?;
            Ok(Answer { status, body, headers: head.headers })
        };
        tokio::time::timeout(self.attempt, answer).await.unwrap_or_else(|_| {
            Err(Failed {
                kind: ProviderErrorKind::Unreachable,
                again: true,
                after: None,
                why: format!("no answer after {} s", self.attempt.as_secs()),
                hint: None,
            })
        })
    }
}

fn authorities(path: &Path) -> Result<rustls::RootCertStore> {
    let what = || format!("cannot read the certificate authorities in \"{}\"", path.display());
    let found = CertificateDer::pem_file_iter(path)
        .map_err(|cause| Error::usage(what()).because(cause))?
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(|cause| Error::usage(what()).because(cause))?;
    let mut roots = rustls::RootCertStore::empty();
    for certificate in found {
        roots.add(certificate).map_err(|cause| Error::usage(what()).because(cause))?;
    }
    if roots.is_empty() {
        return Err(Error::usage(format!("{}: there is none", what())));
    }
    Ok(roots)
}

fn request(ask: &Ask<'_>) -> std::result::Result<Request<Full<Bytes>>, Failed> {
    let agent = concat!("inv-tui/", env!("CARGO_PKG_VERSION"));
    let mut request = Request::builder()
        .method(ask.method.clone())
        .uri(ask.url)
        .header(header::USER_AGENT, agent)
        .header(header::ACCEPT, "application/json");
    if let Some(secret) = &ask.authorization {
        let value = http::HeaderValue::from_str(secret.expose()).map(|mut value| {
            value.set_sensitive(true);
            value
        });
        let value = value.map_err(|_illegal| Failed {
            kind: ProviderErrorKind::Credentials,
            again: false,
            after: None,
            why: "the credentials have characters that a header cannot have".to_owned(),
            hint: None,
        })?;
        request = request.header(header::AUTHORIZATION, value);
    }
    let body = match &ask.body {
        Some((content_type, body)) => {
            request = request.header(header::CONTENT_TYPE, *content_type);
            body.clone()
        }
        None => Bytes::new(),
    };
    request.body(Full::new(body)).map_err(|cause| Failed {
        kind: ProviderErrorKind::Other,
        again: false,
        after: None,
        why: cause.to_string(),
        hint: Some("check the address".to_owned()),
    })
}

/// A request that got no answer.
fn broken(cause: &hyper_util::client::legacy::Error) -> Failed {
    let certificate = tls_problem(cause);
    Failed {
        kind: ProviderErrorKind::Unreachable,
        again: certificate.is_none(),
        after: None,
        why: certificate.clone().unwrap_or_else(|| chain(cause)),
        hint: Some(
            match certificate {
                Some(_) => "name the certificate authority of the server with ca-file",
                None => "check the address, the network and HTTPS_PROXY",
            }
            .to_owned(),
        ),
    }
}

/// What is wrong with the server's certificate, if that is why it was left.
fn tls_problem(cause: &(dyn StdError + 'static)) -> Option<String> {
    let mut current = Some(cause);
    while let Some(error) = current {
        if let Some(problem @ rustls::Error::InvalidCertificate(_)) = error.downcast_ref() {
            return Some(problem.to_string());
        }
        // the source of an io error is that of what it wraps, not the wrapped error itself
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        current = match wrapped {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// An answer whose body did not come whole.
fn cut_off(cause: &(dyn StdError + Send + Sync + 'static)) -> Failed {
    let too_long = cause.is::<http_body_util::LengthLimitError>();
    Failed {
        kind: if too_long { ProviderErrorKind::Other } else { ProviderErrorKind::Unreachable },
        again: !too_long,
        after: None,
        why: if too_long {
            format!("the answer is longer than {} MiB", MAX_BODY / 1024 / 1024)
        } else {
            format!("the answer broke off: {}", chain(cause))
        },
        hint: None,
    }
}

/// An answer that says no.
fn refused(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failed {
    use ProviderErrorKind as Kind;
    let (kind, hint) = match status.as_u16() {
        401 => (Kind::Credentials, Some("the token or key is not valid or has expired; renew it")),
        403 => (Kind::Denied, Some("the token is missing, or may not read this")),
        404 => (Kind::Other, Some("check that the address is that of the API")),
        429 => (Kind::Throttled, Some("fetch less often")),
        300..=399 => (Kind::Other, Some("redirects are not followed; name the final address")),
        _ => (Kind::Other, None),
    };
    let words = words(body);
    Failed {
        kind,
        again: matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504),
        after: headers.get(header::RETRY_AFTER).and_then(|value| retry_after(value.to_str().ok()?)),
        why: if words.is_empty() { status.to_string() } else { format!("{status}: {words}") },
        hint: hint.map(str::to_owned),
    }
}

/// A server's own words, where they stand in one of the usual places.
fn words(body: &[u8]) -> String {
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return String::new() };
    let first = |value: &Value| value.as_array().and_then(|all| all.first()).cloned();
    let places = [
        body.get("detail").cloned(),
        body.get("errors").and_then(first).and_then(|e| e.get("message").cloned()),
        body.get("errorMessage").cloned(),
        body.get("message").cloned(),
        body.get("error").cloned(),
    ];
    let text = places.into_iter().flatten().find_map(|v| v.as_str().map(str::to_owned));
    text::clean(&text.unwrap_or_default()).chars().take(MAX_WORDS).collect()
}

fn retry_after(value: &str) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let wait = date_of(value)?.as_second() - Timestamp::now().as_second();
    Some(Duration::from_secs(u64::try_from(wait).unwrap_or(0)))
}

/// A date as HTTP writes it. `GMT` is what RFC 2822 calls obsolete; jiff reads it.
fn date_of(text: &str) -> Option<Timestamp> {
    rfc2822::DateTimeParser::new().parse_timestamp(text.trim()).ok()
}

/// How long to wait after this attempt; none when the server wants more patience than we have.
/// `random` is between 0 and 1.
fn pause(attempt: u32, after: Option<Duration>, random: f64) -> Option<Duration> {
    match after {
        Some(after) if after > LONGEST_PAUSE => None,
        // a little later than told, so that not all come back at once
        Some(after) => Some(after + FIRST_PAUSE.mul_f64(random)),
        None => {
            let most = FIRST_PAUSE * 2_u32.saturating_pow(attempt.saturating_sub(1).min(16));
            Some(most.min(LONGEST_PAUSE).mul_f64(random))
        }
    }
}

fn give_up(ask: &Ask<'_>, failed: Failed, attempts: u32) -> ProviderError {
    let host = ask.url.parse::<Uri>().ok().and_then(|uri| uri.host().map(str::to_owned));
    let place = host.map_or_else(String::new, |host| format!(" from {host}"));
    let mut why = failed.why;
    let authorization = ask.authorization.as_ref().map(Secret::expose);
    // "Bearer abc": the word before the secret may stand
    let token = authorization.map(|all| Secret::new(all.split_once(' ').map_or(all, |(_, t)| t)));
    for secret in token.iter().chain(ask.secrets) {
        why = secret.redact(&why);
    }
    let times = if attempts > 1 { format!(" after {attempts} attempts") } else { String::new() };
    let error = Error::new(format!("{}{place}{times}", ask.what)).because(why);
    let error = match failed.hint {
        Some(hint) => error.hint(hint),
        None => error,
    };
    ProviderError { kind: failed.kind, error }
}

/// Connects directly or through the proxy that the environment names.
#[derive(Clone)]
struct Via {
    tcp: HttpConnector,
    proxies: Arc<Matcher>,
}

impl Service<Uri> for Via {
    type Response = TokioIo<TcpStream>;
    type Error = Box<dyn StdError + Send + Sync>;
    type Future =
        Pin<Box<dyn Future<Output = std::result::Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<std::result::Result<(), Self::Error>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let proxy = self.proxies.intercept(&to).filter(|_| to.scheme_str() == Some("https"));
        let Some(proxy) = proxy else {
            let connecting = self.tcp.call(to);
            return Box::pin(async move { Ok(connecting.await?) });
        };
        if proxy.uri().scheme_str() != Some("http") {
            return Box::pin(async {
                Err("the proxy that the environment names is none of http://".into())
            });
        }
        let mut tunnel = Tunnel::new(proxy.uri().clone(), self.tcp.clone());
        if let Some(value) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(value.clone());
        }
        let connecting: BoxFuture<'_, _> = tunnel.call(to).boxed();
        Box::pin(async move { Ok(connecting.await?) })
    }
}

/// The address of an API without a slash at its end.
///
/// # Errors
/// It is no `http` or `https` address, or has credentials, a query or a fragment; for set-up.
pub fn base(url: &str) -> Result<String> {
    let wrong = |why: &str| {
        Error::usage(format!("the address of the API {why}"))
            .hint("write it like https://netbox.example.com")
    };
    let uri: Uri = url
        .parse()
        .map_err(|cause: http::uri::InvalidUri| wrong("cannot be read").because(cause))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() {
        return Err(wrong("does not begin with https:// or http:// and a host"));
    }
    if uri.authority().is_some_and(|a| a.as_str().contains('@')) {
        return Err(wrong("has credentials in it; name them with credentials"));
    }
    if uri.query().is_some() || url.contains('#') {
        return Err(wrong("has a query or fragment"));
    }
    Ok(url.trim_end_matches('/').to_owned())
}

/// A query string of these pairs.
pub(super) fn query<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_are_jittered_and_follow_the_server() {
        assert_eq!(pause(1, None, 1.0), Some(FIRST_PAUSE));
        assert_eq!(pause(3, None, 0.5), Some(FIRST_PAUSE * 2));
        assert_eq!(pause(3, None, 0.0), Some(Duration::ZERO));
        assert_eq!(pause(40, None, 1.0), Some(LONGEST_PAUSE));
        let told = pause(1, Some(Duration::from_secs(7)), 1.0).unwrap();
        assert_eq!(told, Duration::from_secs(7) + FIRST_PAUSE);
        assert_eq!(pause(1, Some(Duration::from_mins(10)), 0.0), None);
        let worst = ATTEMPT * ATTEMPTS + (LONGEST_PAUSE + FIRST_PAUSE) * (ATTEMPTS - 1);
        assert!(worst < super::super::PAGE_DEADLINE, "{worst:?}");
    }

    #[test]
    fn retry_after_is_a_number_or_a_date() {
        assert_eq!(retry_after("120"), Some(Duration::from_mins(2)));
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert_eq!(retry_after("soon"), None);
    }

    #[test]
    fn errors_have_the_servers_words_and_no_secret() {
        let body = br#"{"detail": "token nbt_k.secret is \u001b[2J expired"}"#;
        let failed = refused(StatusCode::FORBIDDEN, &HeaderMap::new(), body);
        assert!(!failed.again);
        let url = "https://netbox.example.com/api/?key=nbt_k.secret";
        let mut ask = Ask::get("cannot list", url, Some(Secret::new("Bearer nbt_k.secret")));
        let problem = give_up(&ask, failed, 1);
        assert_eq!(problem.kind, ProviderErrorKind::Denied);
        let text = crate::error::report(&problem.error);
        assert!(
            text.contains("cannot list from netbox.example.com: 403 Forbidden: token ***"),
            "{text}"
        );
        assert!(!text.contains("secret") && !text.contains('\u{1b}'), "{text}");

        let body = br#"{"errorMessage": "key hunter22 is unknown"}"#;
        let failed = refused(StatusCode::BAD_REQUEST, &HeaderMap::new(), body);
        let secrets = [Secret::new("hunter22")];
        ask.secrets = &secrets;
        assert!(!crate::error::report(&give_up(&ask, failed, 1).error).contains("hunter22"));
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_is_left() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut http = Http::new(None).unwrap();
        http.attempt = Duration::from_millis(1);
        let Err(failed) = http.attempt(&Ask::get("cannot list", &url, None), false).await else {
            panic!("it said something")
        };
        assert!(failed.again && failed.why.contains("no answer after"), "{}", failed.why);
        assert_eq!(failed.kind, ProviderErrorKind::Unreachable);
    }

    #[test]
    fn which_answers_are_worth_another_attempt() {
        for (code, again, kind) in [
            (429, true, ProviderErrorKind::Throttled),
            (503, true, ProviderErrorKind::Other),
            (500, true, ProviderErrorKind::Other),
            (401, false, ProviderErrorKind::Credentials),
            (404, false, ProviderErrorKind::Other),
            (301, false, ProviderErrorKind::Other),
        ] {
            let failed = refused(StatusCode::from_u16(code).unwrap(), &HeaderMap::new(), b"<html>");
            assert_eq!((failed.again, failed.kind), (again, kind), "{code}");
        }
    }
}
