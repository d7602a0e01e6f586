//! Lists of targets over HTTP, as `http_sd` wants them: the whole list each time. Prometheus sends no
//! conditional requests (`prometheus/discovery/http/http.go`), so there are no entity tags.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::{Mutex, watch};

use super::metrics::Metrics;
use crate::model::targets::List;
use crate::providers::credentials::Reference;

/// What is known of a job.
#[derive(Clone, Debug, Default)]
pub(super) struct Published {
    /// Its targets; none before all hosts are known.
    pub(super) list: Option<List>,
    /// The API server is out of reach: the list may be old.
    pub(super) stale: bool,
}

/// The lists of all jobs.
#[derive(Clone)]
pub(super) struct Lists {
    jobs: Arc<BTreeMap<String, Served>>,
    metrics: Metrics,
}

struct Served {
    published: watch::Receiver<Published>,
    /// The list that was asked for last, by its number. Who asks while it is put together waits for it.
    last: Mutex<Option<(u64, Bytes)>>,
}

impl Lists {
    /// These jobs.
    pub(super) fn new(
        jobs: impl IntoIterator<Item = (String, watch::Receiver<Published>)>,
        metrics: Metrics,
    ) -> Self {
        let served = |(name, published)| (name, Served { published, last: Mutex::default() });
        Self { jobs: Arc::new(jobs.into_iter().map(served).collect()), metrics }
    }

    /// `/sd/JOB`.
    pub(super) fn router(&self) -> Router {
        Router::new().route("/sd/{job}", get(list)).with_state(self.clone())
    }
}

async fn list(State(lists): State<Lists>, Path(job): Path<String>) -> Response {
    let Some(served) = lists.jobs.get(&job) else {
        return (StatusCode::NOT_FOUND, "there is no such job\n").into_response();
    };
    let Published { list, stale } = served.published.borrow().clone();
    // An empty list takes every target away, so it is only given when it is certainly so.
    let Some(list) = list.filter(|list| !(stale && list.is_empty())) else {
        lists.metrics.list(&job, "unavailable");
        let why = "not ready: the hosts are not known\n";
        return (StatusCode::SERVICE_UNAVAILABLE, why).into_response();
    };
    let body = {
        let mut kept = served.last.lock().await;
        match &*kept {
            Some((number, body)) if *number == list.number() => body.clone(),
            _ => {
                *kept = None;
                let number = list.number();
                let made = tokio::task::spawn_blocking(move || Bytes::from(list.to_json())).await;
                let Ok(body) = made else {
                    return StatusCode::INTERNAL_SERVER_ERROR.into_response();
                };
                *kept = Some((number, body.clone()));
                body
            }
        }
    };
    lists.metrics.list(&job, if stale { "stale" } else { "done" });
    let mut response = ([(header::CONTENT_TYPE, "application/json")], body).into_response();
    if stale {
        let warning = HeaderValue::from_static("110 - \"Response is Stale\"");
        response.headers_mut().insert(header::WARNING, warning);
    }
    response
}

/// The same paths for those who have the token; health is for everybody.
pub(super) fn guarded(router: Router, token: Reference) -> Router {
    router.layer(middleware::from_fn_with_state(Arc::new(token), authorize))
}

async fn authorize(State(token): State<Arc<Reference>>, request: Request, next: Next) -> Response {
    if matches!(request.uri().path(), "/healthz" | "/readyz") {
        return next.run(request).await;
    }
    // Read each time: a token may change.
    let wanted = match token.read() {
        Ok(wanted) => wanted,
        Err(problem) => {
            tracing::error!(error = crate::error::chain(&problem.error), "nobody may ask");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    let given = request.headers().get(header::AUTHORIZATION);
    let given = given.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    // Compared by their hashes, so that the time it takes says nothing of the token.
    let same = given.is_some_and(|given| {
        Sha256::digest(given.trim().as_bytes()) == Sha256::digest(wanted.expose().as_bytes())
    });
    if same {
        return next.run(request).await;
    }
    let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
    (StatusCode::UNAUTHORIZED, challenge, "the bearer token is missing or wrong\n").into_response()
}
