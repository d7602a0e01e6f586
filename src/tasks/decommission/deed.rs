//! Runs one step for one host.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, header};
use http_body_util::Full;
use serde_json::{Value, json};

use super::config::{Call, Deed, HeaderText, address};
use crate::error::chain;
use crate::model::decommission::Outcome;
use crate::model::host::Host;
use crate::providers::credentials::{Reference, Secret};
use crate::providers::http::Unanswered;
use crate::tasks::hooks::{Environment, start, trusted};

/// One attempt of one step.
pub(super) struct Attempt<'a> {
    /// The host.
    pub(super) host: &'a Host,
    /// The host as its whole object, for whoever is told.
    pub(super) object: &'a Value,
    /// Name of the step.
    pub(super) step: &'a str,
    /// Which attempt it is.
    pub(super) number: i32,
    /// How long it may take.
    pub(super) limit: Duration,
}

/// Runs it. Dropped in the middle it ends what it began, as far as that is on this machine.
pub(super) async fn run(deed: &Deed, attempt: &Attempt<'_>) -> Outcome {
    match deed {
        Deed::Wait => Outcome::Done(String::new()),
        Deed::Hook(path) => {
            if let Err(why) = trusted(path) {
                return Outcome::NotBegun(format!("hook {} is not run: {why}", path.display()));
            }
            let input = json!({
                "action": "decommission",
                "step": attempt.step,
                "attempt": attempt.number,
                "host": attempt.object,
            });
            let done = start(path, Environment::Plain, input, attempt.limit).await;
            match (done.fine, done.begun) {
                (true, _) => Outcome::Done(done.message),
                (false, true) => Outcome::Failed(done.message),
                (false, false) => Outcome::NotBegun(done.message),
            }
        }
        Deed::Http(call) => send(call, attempt).await,
    }
}

async fn send(call: &Call, attempt: &Attempt<'_>) -> Outcome {
    let (request, secrets) = match request(call, attempt) {
        Ok(request) => request,
        Err(why) => return Outcome::NotBegun(why),
    };
    let redact = |text: String| secrets.iter().fold(text, |text, secret| secret.redact(&text));
    match call.http.once(request, attempt.limit).await {
        Ok((status, words)) => {
            let fine = match call.expect.as_slice() {
                [] => status.is_success(),
                expected => expected.contains(&status),
            };
            let words = redact(words);
            let said =
                if words.is_empty() { status.to_string() } else { format!("{status}: {words}") };
            if fine { Outcome::Done(said) } else { Outcome::Failed(said) }
        }
        Err(Unanswered { sent: true, why }) => Outcome::Failed(redact(why)),
        Err(Unanswered { sent: false, why }) => Outcome::NotBegun(redact(why)),
    }
}

fn request(
    call: &Call,
    attempt: &Attempt<'_>,
) -> Result<(Request<Full<Bytes>>, Vec<Secret>), String> {
    let mut secrets = Vec::new();
    let agent = concat!("inv-tui/", env!("CARGO_PKG_VERSION"));
    let uid = attempt.host.metadata.uid.as_deref().unwrap_or_default();
    let mut request = Request::builder()
        .method(call.method.clone())
        .uri(address(&call.url, attempt.host)?)
        .header(header::USER_AGENT, agent)
        // The same for every attempt, so that a server that knows it does the thing once.
        .header("idempotency-key", format!("{uid}-{}", attempt.step));
    for (name, text) in &call.headers {
        let value = match text {
            HeaderText::Plain(text) => HeaderValue::from_str(text),
            HeaderText::Secret(text) => {
                let secret = Reference::parse(&text.credentials).map_err(|why| chain(&why))?;
                let secret = secret.read().map_err(|why| chain(&why.error))?;
                let value = HeaderValue::from_str(&format!("{}{}", text.prefix, secret.expose()));
                secrets.push(secret);
                value.map(|mut value| {
                    value.set_sensitive(true);
                    value
                })
            }
        };
        let value =
            value.map_err(|_illegal| format!("the header {name} has illegal characters"))?;
        request = request.header(name, value);
    }
    let body = if call.body {
        request = request.header(header::CONTENT_TYPE, "application/json");
        Bytes::from(attempt.object.to_string())
    } else {
        Bytes::new()
    };
    let request = request.body(Full::new(body)).map_err(|why| why.to_string())?;
    Ok((request, secrets))
}
