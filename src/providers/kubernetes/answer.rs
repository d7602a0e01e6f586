//! What another cluster answers, before anybody reads it: no more of it than we want to keep, and an
//! error by its code, whoever wrote it. A proxy before the cluster answers in its own words.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use kube::Client;
use kube::client::Body;
use kube::core::Status;
use tower_service::Service;

use crate::model::text;

/// Most bytes of one answer: a page of objects that are as large as they are where they are largest.
const MAX_BODY: usize = 32 * 1024 * 1024;
/// Most bytes of an answer that is an error.
const MAX_SAID: usize = 64 * 1024;
/// Most characters that are told of what a proxy says.
const MAX_WORDS: usize = 200;

/// The answer was longer than it may be.
#[derive(Debug, thiserror::Error)]
#[error("the answer is longer than {} MiB", MAX_BODY / 1024 / 1024)]
pub(super) struct TooLong;

/// A client whose answers are bounded, for lists and single objects: it reads an answer to its end.
pub(super) fn bounded(client: Client) -> Client {
    let namespace = client.default_namespace().to_owned();
    Client::new(Bounded(client), namespace)
}

struct Bounded(Client);

type Answer = Result<Response<Full<Bytes>>, Box<dyn std::error::Error + Send + Sync>>;

impl Service<Request<Body>> for Bounded {
    type Response = Response<Full<Bytes>>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let client = self.0.clone();
        Box::pin(async move {
            let (parts, body) = client.send(request).await?.into_parts();
            if parts.status.is_client_error() || parts.status.is_server_error() {
                let said = Limited::new(body, MAX_SAID).collect().await;
                let said = said.map(http_body_util::Collected::to_bytes).unwrap_or_default();
                let body = Full::new(status(parts.status, said));
                return Ok(Response::from_parts(parts, body));
            }
            match Limited::new(body, MAX_BODY).collect().await {
                Ok(body) => Ok(Response::from_parts(parts, Full::new(body.to_bytes()))),
                Err(cause) if cause.is::<http_body_util::LengthLimitError>() => Err(TooLong.into()),
                Err(cause) => Err(cause),
            }
        })
    }
}

/// The body of an error as a Status with the code of the answer and a reason that goes with it: as it
/// came if it is one, else made of its words. A Status without a reason is taken for one that says
/// nothing, whatever its code is.
fn status(code: StatusCode, said: Bytes) -> Bytes {
    let mut status = serde_json::from_slice::<Status>(&said).unwrap_or_default();
    if status.code == code.as_u16() && !status.reason.is_empty() {
        return said;
    }
    if status.message.is_empty() {
        let words = String::from_utf8_lossy(&said);
        status.message = text::clean(words.trim()).chars().take(MAX_WORDS).collect();
    }
    status.code = code.as_u16();
    let reason = match code {
        StatusCode::UNAUTHORIZED => "Unauthorized",
        StatusCode::FORBIDDEN => "Forbidden",
        StatusCode::NOT_FOUND => "NotFound",
        StatusCode::TOO_MANY_REQUESTS => "TooManyRequests",
        _ => "",
    };
    reason.clone_into(&mut status.reason);
    serde_json::to_vec(&status).map_or(said, Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_the_code_of_its_answer() {
        let read = |code: u16, said: &str| {
            let made = status(StatusCode::from_u16(code).unwrap(), Bytes::from(said.to_owned()));
            serde_json::from_slice::<Status>(&made).unwrap()
        };
        let own =
            r#"{"kind": "Status", "code": 403, "reason": "Forbidden", "message": "no nodes"}"#;
        assert_eq!(read(403, own).message, "no nodes");
        let bare = r#"{"kind": "Status", "code": 403, "message": "no"}"#;
        assert!(read(403, bare).is_forbidden() && read(403, bare).message == "no");
        for said in [r#"{"error": "forbidden"}"#, "<html>", "", r#"{"code": 200}"#] {
            let status = read(403, said);
            assert_eq!((status.code, status.message.as_str()), (403, said));
            assert!(status.is_forbidden(), "{said}");
        }
        let hostile = read(502, "bad\u{1b}[2J gateway");
        assert_eq!((hostile.code, hostile.is_forbidden()), (502, false));
        assert!(!hostile.message.contains('\u{1b}'));
    }
}
