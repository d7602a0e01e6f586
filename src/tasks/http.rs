//! Health and metrics of a headless task, over HTTP.
//!
//! `/healthz` answers 200 while the process can answer at all; `/readyz` 200 or 503 with the
//! reason; `/metrics` the metrics in the `OpenMetrics` text format.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::error::{Error, Result};

/// Content type of the `OpenMetrics` text format 1.0.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Whether the task is ready; if not, why.
pub type Ready = Arc<dyn Fn() -> std::result::Result<(), String> + Send + Sync>;

#[derive(Clone)]
struct Served {
    ready: Ready,
    registry: Arc<Registry>,
}

/// A count as gauges have it.
pub fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Readiness where one of several works: it waits for its turn, or has read everything; if not, why.
///
/// # Errors
/// The reason, in words.
pub fn waits_or_has_read(leads: bool, synced: bool) -> std::result::Result<(), String> {
    if !leads || synced { Ok(()) } else { Err("the hosts are not read yet".to_owned()) }
}

/// Takes the port.
///
/// # Errors
/// The port is taken, or the address is not one of this machine; the exit code is for set-up.
pub async fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|cause| {
        let hint = if cause.kind() == std::io::ErrorKind::AddrInUse {
            "another program, perhaps another inv-tui, has this port; name a free one with --listen"
        } else {
            "name an address of this machine with --listen"
        };
        Error::usage(format!("cannot listen on {address}")).because(cause).hint(hint)
    })
}

/// Takes the port, if there is to be one.
///
/// # Errors
/// As [`bind`].
pub async fn bind_if(address: Option<SocketAddr>) -> Result<Option<TcpListener>> {
    match address {
        Some(address) => bind(address).await.map(Some),
        None => Ok(None),
    }
}

/// Serves until `stop` becomes true, and says where. Requests that are under way are answered first.
pub async fn serve(
    listener: TcpListener,
    registry: Arc<Registry>,
    ready: Ready,
    stop: watch::Receiver<bool>,
) {
    serve_router(listener, router(registry, ready), stop).await;
}

/// The three paths.
pub fn router(registry: Arc<Registry>, ready: Ready) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(Served { ready, registry })
}

/// Serves these paths, as [`serve`] does.
pub async fn serve_router(listener: TcpListener, router: Router, mut stop: watch::Receiver<bool>) {
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "health and metrics");
    }
    let stopped = async move {
        let _ = stop.wait_for(|stop| *stop).await;
    };
    if let Err(problem) = axum::serve(listener, router).with_graceful_shutdown(stopped).await {
        tracing::error!(error = %problem, "health and metrics are not served any more");
    }
}

async fn readyz(State(served): State<Served>) -> Response {
    match (served.ready)() {
        Ok(()) => "ready\n".into_response(),
        Err(why) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")).into_response()
        }
    }
}

async fn metrics(State(served): State<Served>) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &served.registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(problem) => (StatusCode::INTERNAL_SERVER_ERROR, problem.to_string()).into_response(),
    }
}
