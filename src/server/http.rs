//! Answers as HTTP: bodies that stream, headers that every answer has, gzip.

use std::convert::Infallible;
use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::{Stream, StreamExt};
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, VARY,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use serde_json::Value;

use super::status::ApiError;

/// The body of an answer. It cannot fail: what goes wrong after the first byte is said inside it.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;
/// An answer.
pub type Response = http::Response<Body>;

/// Bodies are compressed from this size on, if the client asks for it (as kube-apiserver does it).
const GZIP_FROM: usize = 128 << 10;

/// A body that is there already.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed_unsync()
}

/// A body that comes in pieces.
pub fn streamed(pieces: impl Stream<Item = Bytes> + Send + 'static) -> Body {
    StreamBody::new(pieces.map(|piece| Ok(Frame::data(piece)))).boxed_unsync()
}

/// An answer with a content type.
pub fn answer(code: u16, content_type: &'static str, body: Body) -> Response {
    let mut response = http::Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A JSON answer.
pub fn json(code: u16, value: &Value) -> Response {
    answer(code, "application/json", full(value.to_string()))
}

/// A plain answer.
pub fn plain(code: u16, text: &'static str) -> Response {
    answer(code, "text/plain; charset=utf-8", full(text))
}

/// An error as a `Status`.
pub fn error(error: &ApiError) -> Response {
    let mut response = json(error.code, &error.body());
    if let Some(seconds) = error.details.retry_after_seconds {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}

/// Adds a warning that kubectl prints.
pub fn warn(response: &mut Response, text: &str) {
    let quoted: String = text
        .chars()
        .filter(|c| !c.is_control())
        .flat_map(|c| if matches!(c, '"' | '\\') { vec!['\\', c] } else { vec![c] })
        .collect();
    if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
        response.headers_mut().append(http::header::WARNING, value);
    }
}

/// The headers that every answer has.
pub fn finish(response: &mut Response) {
    let headers = response.headers_mut();
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache, private"));
    if let Ok(id) = HeaderValue::from_str(&uuid::Uuid::new_v4().to_string()) {
        headers.insert("audit-id", id);
    }
}

/// Whether the client takes gzip.
pub fn takes_gzip(headers: &HeaderMap) -> bool {
    headers
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .any(|coding| {
            let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
            name.trim().eq_ignore_ascii_case("gzip") && !weight.replace(' ', "").starts_with("q=0")
                || name.trim().eq_ignore_ascii_case("gzip") && weight.trim().starts_with("q=0.")
        })
}

/// Compresses a large body: piece by piece, so that it is never in memory as a whole.
pub async fn gzip(response: Response) -> Response {
    let (mut parts, mut body) = response.into_parts();
    // Look at the first bytes: short bodies go as they are.
    let mut first = Vec::new();
    let mut ended = false;
    while first.len() <= GZIP_FROM {
        match body.frame().await {
            Some(Ok(frame)) => first.extend_from_slice(&frame.into_data().unwrap_or_default()),
            Some(Err(never)) => match never {},
            None => {
                ended = true;
                break;
            }
        }
    }
    if ended && first.len() <= GZIP_FROM {
        return http::Response::from_parts(parts, full(first));
    }
    parts.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    parts.headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    let encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let state = Some((encoder, body, Bytes::from(first)));
    let pieces = futures::stream::unfold(state, |state| async move {
        let (mut encoder, mut body, mut piece) = state?;
        loop {
            // Writing into memory does not fail.
            let _ = encoder.write_all(&piece);
            piece = match body.frame().await {
                Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
                Some(Err(never)) => match never {},
                None => return Some((Bytes::from(encoder.finish().unwrap_or_default()), None)),
            };
            if encoder.get_ref().len() >= 32 << 10 {
                let made = Bytes::from(std::mem::take(encoder.get_mut()));
                return Some((made, Some((encoder, body, piece))));
            }
        }
    });
    http::Response::from_parts(parts, streamed(pieces))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    async fn bytes(response: Response) -> Vec<u8> {
        response.into_body().collect().await.unwrap().to_bytes().to_vec()
    }

    #[tokio::test]
    async fn large_bodies_are_compressed_and_short_ones_are_not() {
        let pieces: Vec<Bytes> =
            (0..1000).map(|n: u32| Bytes::from(format!("{n:0>1000}"))).collect();
        let whole = pieces.concat();
        let response = answer(200, "text/plain", streamed(futures::stream::iter(pieces)));
        let response = gzip(response).await;
        assert_eq!(response.headers()[CONTENT_ENCODING], "gzip");
        let packed = bytes(response).await;
        assert!(packed.len() < whole.len() / 4);
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(packed.as_slice()).read_to_end(&mut unpacked).unwrap();
        assert!(unpacked == whole);

        let short = gzip(answer(200, "text/plain", full("short"))).await;
        assert!(!short.headers().contains_key(CONTENT_ENCODING));
        assert_eq!(bytes(short).await, b"short");
    }

    #[test]
    fn gzip_is_asked_for_in_several_ways() {
        for (header, takes) in [
            ("gzip", true),
            ("br, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("identity", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(header));
            assert_eq!(takes_gzip(&headers), takes, "{header}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn warnings_cannot_break_the_header() {
        let mut response = plain(200, "");
        warn(&mut response, "a \"b\"\r\nc: d");
        assert_eq!(response.headers()[http::header::WARNING], r#"299 - "a \"b\"c: d""#);
    }
}
