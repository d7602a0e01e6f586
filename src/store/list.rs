//! The hosts of a namespace as they stand, object by object, while the answer still comes in: for
//! readers that pass each on and keep none.

use std::pin::pin;
use std::time::Duration;

use futures::AsyncReadExt;
use http::Request;

use crate::error::{Error, Result};
use crate::model::{GROUP, VERSION};
use crate::store::client::{Connection, explain};

mod split;

use split::{Piece, Splitter};

/// Longest time without a byte of the answer.
const SILENCE: Duration = Duration::from_secs(30);
/// Bytes that are read at once.
const CHUNK: usize = 64 * 1024;
/// Hosts of a page. Every page costs the server as much as a hundred hosts or more, so 500 at once take
/// up to four times as long as the whole; one list of all may take longer to begin than anybody waits.
/// Memory is no matter: an answer is never held.
pub const PAGE: u32 = 5_000;
/// Most pages of a list: it must end.
const MAX_PAGES: usize = 10_000;

/// Why hosts could not be read.
#[derive(Debug)]
pub enum Failure {
    /// The server is out of reach, does not answer, or is not able to: what it said before still
    /// counts.
    Away(Error),
    /// Anything else, such as a missing permission.
    Other(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Away(error) | Failure::Other(error) => error,
        }
    }
}

/// Puts an error of the API into words.
fn failure(what: &str, needs: &str, cause: kube::Error) -> Failure {
    let away = match &cause {
        kube::Error::Service(_) | kube::Error::HyperError(_) | kube::Error::ReadEvents(_) => true,
        kube::Error::Api(status) => status.code == 429 || status.code >= 500,
        _ => false,
    };
    let error = explain(what, needs, cause);
    if away { Failure::Away(error) } else { Failure::Other(error) }
}

fn silent(what: &str) -> Failure {
    let text = format!("{what}: no answer after {} s", SILENCE.as_secs());
    Failure::Away(
        Error::new(text)
            .hint("the server is overloaded or out of reach; try again, or check the network"),
    )
}

fn path(namespace: &str) -> String {
    let part = form_urlencoded::byte_serialize(namespace.as_bytes()).collect::<String>();
    format!("/apis/{GROUP}/{VERSION}/namespaces/{part}/hosts")
}

/// Lists the hosts of a namespace in the order of their names, `page` at once (usually [`PAGE`]), and
/// hands the JSON of each to `each`.
/// The pages are of one moment. Memory is that of one host and one read, however large the fleet.
///
/// # Errors
/// What the server said, or what `each` said, which ends the reading.
pub async fn each_host(
    connection: &Connection,
    namespace: &str,
    page: u32,
    mut each: impl FnMut(&[u8]) -> Result<()>,
) -> Result<(), Failure> {
    let mut token = String::new();
    for _ in 0..MAX_PAGES {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("limit", &page.to_string());
        if !token.is_empty() {
            query.append_pair("continue", &token);
        }
        let uri = format!("{}?{}", path(namespace), query.finish());
        token = one_page(connection, &uri, &mut each).await?;
        if token.is_empty() {
            return Ok(());
        }
    }
    Err(Error::new("cannot list hosts: the server's pages do not end").into())
}

/// Reads one page. Returns what the next one is asked for with, or nothing.
async fn one_page(
    connection: &Connection,
    uri: &str,
    each: &mut impl FnMut(&[u8]) -> Result<()>,
) -> Result<String, Failure> {
    const WHAT: &str = "cannot list hosts";
    let mut request = Request::get(uri);
    if is_near(&connection.server) {
        // Packing is for networks: here it only costs both sides time.
        request = request.header("accept-encoding", "identity");
    }
    let request = request.body(Vec::new()).map_err(|cause| Error::new(WHAT).because(cause))?;
    let answer = tokio::time::timeout(SILENCE, connection.client.request_stream(request)).await;
    let body = answer
        .map_err(|_elapsed| silent(WHAT))?
        .map_err(|cause| failure(WHAT, "list hosts", cause))?;
    let mut body = pin!(body);
    let mut splitter = Splitter::default();
    let mut chunk = vec![0; CHUNK];
    let mut token = String::new();
    loop {
        let read = tokio::time::timeout(SILENCE, body.read(&mut chunk)).await;
        let read = read.map_err(|_elapsed| silent(WHAT))?.map_err(|cause| {
            Failure::Away(Error::new(format!("{WHAT}: the connection broke")).because(cause))
        })?;
        if read == 0 {
            break;
        }
        splitter.feed(chunk.get(..read).unwrap_or_default(), &mut |piece| match piece {
            Piece::Item(json) => each(json),
            Piece::Metadata(json) => {
                token = continuation(json);
                Ok(())
            }
        })?;
    }
    if splitter.is_done() {
        Ok(token)
    } else {
        Err(Failure::Away(Error::new(format!("{WHAT}: the server's answer is cut off"))))
    }
}

/// Whether the server is on this machine.
fn is_near(server: &str) -> bool {
    let Some((_, rest)) = server.split_once("://") else { return true };
    ["127.", "localhost", "[::1]"].iter().any(|own| rest.starts_with(own))
}

fn continuation(metadata: &[u8]) -> String {
    #[derive(Default, serde::Deserialize)]
    #[serde(default)]
    struct Metadata {
        r#continue: String,
    }
    serde_json::from_slice::<Metadata>(metadata).unwrap_or_default().r#continue
}

/// Reads one host as JSON; none if there is no such host.
///
/// # Errors
/// What the server said.
pub async fn one_host(
    connection: &Connection,
    namespace: &str,
    name: &str,
) -> Result<Option<String>, Failure> {
    let what = format!("cannot read host \"{}\"", crate::model::text::clean(name));
    let part = form_urlencoded::byte_serialize(name.as_bytes()).collect::<String>();
    let request = Request::get(format!("{}/{part}", path(namespace)))
        .body(Vec::new())
        .map_err(|cause| Error::new(&*what).because(cause))?;
    let answer = tokio::time::timeout(SILENCE, connection.client.request_text(request)).await;
    match answer.map_err(|_elapsed| silent(&what))? {
        Ok(text) => Ok(Some(text)),
        // A 404 without the host's name: the server does not know what a Host is.
        Err(kube::Error::Api(status))
            if status.code == 404
                && status.details.as_ref().is_some_and(|d| !d.name.is_empty()) =>
        {
            Ok(None)
        }
        Err(cause) => Err(failure(&what, "get hosts", cause)),
    }
}
