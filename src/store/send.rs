//! Sends one request to the API server, again and again while it says that it is busy.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::Duration;

use kube::Client;
use kube::client::Body;
use kube::core::Status;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

/// Longest wait for the answer to one attempt.
const ATTEMPT: Duration = Duration::from_secs(20);
/// Attempts for one request, the first included.
const ATTEMPTS: u32 = 6;
/// First wait; each further one is twice as long. With full jitter.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// Longest wait between two attempts, whatever the server asks for.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// A client that waits when the server is busy: on 429 and 503 as long as `Retry-After` says, on
/// 500, 504, a broken connection or no answer for a growing random time. What goes through here
/// must be safe to send twice, as server-side apply and a delete with preconditions are.
///
/// After a 429 every request through this sender waits, not only the one that was refused.
pub struct Sender {
    client: Client,
    pause: Mutex<Option<Instant>>,
    first_wait: Duration,
}

impl Sender {
    /// A sender over this client, which must not retry by itself.
    pub fn new(client: Client) -> Self {
        Self { client, pause: Mutex::new(None), first_wait: FIRST_WAIT }
    }

    /// The client below.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Sends `request` until it is answered by something else than "busy", at most six times.
    /// Gives the answer, and whether the server made a new object (201).
    ///
    /// Cancel safe in the sense of the request: what was sent may have been done.
    ///
    /// # Errors
    /// The last answer, or what was wrong with the connection, as [`kube::Error`].
    pub async fn send<T: DeserializeOwned>(
        &self,
        request: http::Request<Vec<u8>>,
    ) -> kube::Result<(T, bool)> {
        let (parts, body) = request.into_parts();
        let mut wait = self.first_wait;
        let mut attempt = 1;
        loop {
            self.pause().await;
            let request = http::Request::from_parts(parts.clone(), Body::from(body.clone()));
            let problem = match tokio::time::timeout(ATTEMPT, self.once::<T>(request)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(problem)) => problem,
                Err(_) => Problem {
                    again: true,
                    retry_after: None,
                    error: kube::Error::Service("no answer after 20 s".into()),
                },
            };
            if !problem.again || attempt == ATTEMPTS {
                return Err(problem.error);
            }
            attempt += 1;
            let jittered = wait.mul_f64(fastrand::f64().mul_add(0.5, 0.5));
            let next = next_wait(problem.retry_after, jittered);
            tracing::debug!(attempt, wait = ?next, error = %problem.error, "sent again later");
            if problem.retry_after.is_some() {
                self.pause_until(Instant::now() + next);
            } else {
                tokio::time::sleep(next).await;
            }
            wait *= 2;
        }
    }

    async fn once<T: DeserializeOwned>(
        &self,
        request: http::Request<Body>,
    ) -> Result<(T, bool), Problem> {
        let broken = |error: kube::Error| Problem {
            again: matches!(error, kube::Error::Service(_) | kube::Error::HyperError(_)),
            retry_after: None,
            error,
        };
        let answer = self.client.send(request).await.map_err(broken)?;
        let code = answer.status();
        let retry_after = answer
            .headers()
            .get(http::header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(Duration::from_secs);
        let body = answer.into_body().collect_bytes().await.map_err(broken)?;
        if code.is_success() {
            let answer = serde_json::from_slice(&body)
                .map_err(|cause| broken(kube::Error::SerdeError(cause)))?;
            return Ok((answer, code == http::StatusCode::CREATED));
        }
        let mut status: Status = serde_json::from_slice(&body).unwrap_or_else(|_| {
            let text = String::from_utf8_lossy(&body).trim().chars().take(200).collect::<String>();
            Status::failure(&text, code.canonical_reason().unwrap_or_default())
        });
        status.code = code.as_u16();
        let asked = status
            .details
            .as_ref()
            .map(|details| u64::from(details.retry_after_seconds))
            .filter(|seconds| *seconds > 0)
            .map(Duration::from_secs);
        let busy = matches!(status.code, 429 | 503);
        // a time-out or a change of leader inside the server comes as 500; so does an apply that
        // does not fit the schema, and that never will
        let inside = asked.is_some() || status.message.contains("etcdserver");
        let again = busy || status.code == 504 || (status.code == 500 && inside);
        let retry_after =
            if busy { retry_after.or(asked).or(Some(Duration::from_secs(1))) } else { None };
        Err(Problem { again, retry_after, error: kube::Error::Api(status.boxed()) })
    }

    async fn pause(&self) {
        loop {
            let until = *self.pause.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            match until {
                Some(until) if until > Instant::now() => tokio::time::sleep_until(until).await,
                _ => return,
            }
        }
    }

    fn pause_until(&self, until: Instant) {
        let mut pause = self.pause.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *pause = Some(pause.map_or(until, |at| at.max(until)));
    }
}

/// The wait before the next attempt: as long as was asked for, whoever stands between us and the server
/// asked, and some more; never longer than [`LONGEST_WAIT`].
fn next_wait(asked: Option<Duration>, jittered: Duration) -> Duration {
    asked.unwrap_or_default().saturating_add(jittered).min(LONGEST_WAIT)
}

/// The body of a server-side apply as the server reads it: JSON taken for YAML. YAML refuses some
/// characters that JSON allows (DEL, C1 controls, U+FFFE, U+FFFF), and folds others into blanks as
/// line breaks (U+0085, U+2028, U+2029), silently. They can only stand inside strings, where both
/// languages know them as `\uXXXX` (YAML 1.1, 5.1 and 5.4; <https://yaml.org/spec/1.1/>).
pub fn yaml_safe(json: Vec<u8>) -> Vec<u8> {
    let hostile = |c: char| {
        matches!(
            c,
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
        )
    };
    let Ok(text) = str::from_utf8(&json) else {
        return json;
    };
    if !text.contains(hostile) {
        return json;
    }
    let mut safe = String::with_capacity(json.len() + 64);
    for c in text.chars() {
        if hostile(c) {
            let _ = write!(safe, "\\u{:04x}", u32::from(c));
        } else {
            safe.push(c);
        }
    }
    safe.into_bytes()
}

struct Problem {
    again: bool,
    retry_after: Option<Duration>,
    error: kube::Error,
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::response::IntoResponse;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_yaml_would_refuse_or_fold_is_escaped() {
        let value = json!({"a": "\u{1b}x\u{7f}\u{85}\u{9b}\u{2028}é🚀\u{ffff}\n"});
        let safe = String::from_utf8(yaml_safe(value.to_string().into_bytes())).unwrap();
        assert_eq!(safe, r#"{"a":"\u001bx\u007f\u0085\u009b\u2028é🚀\uffff\n"}"#);
        assert_eq!(serde_json::from_str::<Value>(&safe).unwrap(), value);
        let plain = br#"{"a":"b"}"#.to_vec();
        assert_eq!(yaml_safe(plain.clone()), plain);
    }

    #[test]
    fn nobody_makes_it_wait_for_ever() {
        let second = Duration::from_secs(1);
        assert_eq!(next_wait(None, second), second);
        assert_eq!(next_wait(Some(2 * second), second), 3 * second);
        for asked in [3_600, u64::MAX] {
            assert_eq!(next_wait(Some(Duration::from_secs(asked)), second), LONGEST_WAIT);
        }
    }

    type Answer = (u16, Option<&'static str>, Value);

    /// A server that gives these answers one after another, then the last one again and again;
    /// what came of a request to it, how often it was asked, and how long that took.
    async fn ask(answers: Vec<Answer>) -> (kube::Result<(Value, bool)>, usize, Duration) {
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        let handler = move || {
            let at = counter.fetch_add(1, Ordering::Relaxed).min(answers.len() - 1);
            let (code, after, body) = answers[at].clone();
            async move {
                let code = axum::http::StatusCode::from_u16(code).unwrap();
                let mut answer = (code, body.to_string()).into_response();
                if let Some(after) = after {
                    answer.headers_mut().insert("retry-after", after.parse().unwrap());
                }
                answer
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(async move {
            axum::serve(listener, axum::Router::new().fallback(handler)).await.unwrap();
        });
        let mut config = kube::Config::new(url);
        config.default_retry = false;
        let mut sender = Sender::new(Client::try_from(config).unwrap());
        sender.first_wait = Duration::from_millis(1);
        let began = Instant::now();
        let request = http::Request::patch("/x").body(b"{}".to_vec()).unwrap();
        let answer = sender.send(request).await;
        (answer, asked.load(Ordering::Relaxed), began.elapsed())
    }

    #[tokio::test]
    async fn waits_as_long_as_a_busy_server_asks_for() {
        let (answer, asked, time) =
            ask(vec![(429, Some("1"), json!("busy")), (201, None, json!({"a": 1}))]).await;
        assert_eq!(answer.unwrap(), (json!({"a": 1}), true));
        assert_eq!(asked, 2);
        assert!(time >= Duration::from_secs(1), "{time:?}");
    }

    #[tokio::test]
    async fn a_refusal_is_final() {
        let status = json!({"kind": "Status", "code": 409, "reason": "Conflict", "message": "no"});
        let (answer, asked, _) = ask(vec![(409, None, status)]).await;
        assert!(matches!(answer, Err(kube::Error::Api(status)) if status.is_conflict()));
        assert_eq!(asked, 1);
        let wart = json!({"message": "failed to create typed patch object: field not declared"});
        assert_eq!(ask(vec![(500, None, wart)]).await.1, 1);
    }

    #[tokio::test]
    async fn does_not_try_for_ever() {
        let (answer, asked, _) = ask(vec![(504, None, json!({"message": "slow"}))]).await;
        assert!(matches!(answer, Err(kube::Error::Api(status)) if status.code == 504));
        assert_eq!(asked, usize::try_from(ATTEMPTS).unwrap());
        let busy = json!({"message": "etcdserver: request timed out"});
        let (answer, asked, _) = ask(vec![(500, None, busy), (200, None, json!({}))]).await;
        assert_eq!((answer.unwrap().1, asked), (false, 2));
    }
}
