//! What happens before the first pass: signals, connection, checks, watch, health and metrics.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, PostParams};
use tokio::sync::{Semaphore, watch};

use super::Context;
use super::metrics::Metrics;
use super::options::{Options, SourceOptions};
use super::progress::Progress;
use super::project::Rules;
use super::setup::Lazy;
use super::source::SourceObject;
use super::write::Writer;
use crate::error::{Error, Result, chain};
use crate::model::GROUP;
use crate::model::source::Source;
use crate::store::client::{ConnectOptions, Connection, DEADLINE, connect, fetch_manager};
use crate::store::hosts::{Hosts, Selection, Sync};
use crate::store::send::Sender;
use crate::tasks::{http, reach};

/// How long a single pass waits for the first list of the hosts that are known already.
const LISTING: Duration = Duration::from_mins(3);

/// The time, to the second: Kubernetes keeps no more, so more would never compare equal.
pub(super) fn now() -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default()
}

/// Tasks that end with the fetcher: the watch, and the server of health and metrics.
#[derive(Default)]
pub(super) struct Background(Vec<tokio::task::JoinHandle<()>>);

impl Drop for Background {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

/// Connects to the API server, checks what can be checked, and begins to watch the known hosts of
/// each source. None: a stop was asked for in the meantime.
pub(super) async fn contexts(
    options: &Options,
    server: &ConnectOptions,
    namespace: &str,
    stop: watch::Receiver<bool>,
) -> Result<Option<(Vec<Arc<Context>>, Background)>> {
    let listener = match options.listen {
        Some(address) => Some(http::bind(address).await?),
        None => None,
    };
    let connection = connect(server).await?;
    let (metrics, registry) = Metrics::new();
    let permits = Arc::new(Semaphore::new(options.writes));
    let context = |source: &SourceOptions| {
        let shared = (metrics.of(&source.name), Arc::clone(&permits), stop.clone());
        Arc::new(context(options, source, &connection, namespace, shared))
    };
    let contexts: Vec<Arc<Context>> = options.sources.iter().map(context).collect();
    if let [only] = contexts.as_slice() {
        // what keeps the only one from working is told before anything is begun
        only.provider.get().await?;
    }
    let mut background = Background::default();
    if let Some(listener) = listener {
        if let Ok(address) = listener.local_addr() {
            tracing::info!(%address, "health and metrics");
        }
        let ready = ready(contexts.clone());
        background.0.push(tokio::spawn(http::serve(listener, registry, ready, stop.clone())));
    }
    let checks = async || {
        check(&connection, namespace).await?;
        match contexts.as_slice() {
            [only] if !options.dry_run => only.source.ensure().await.map(drop),
            _ => Ok(()),
        }
    };
    if !reach::until_reachable(!options.once, stop, checks).await? {
        return Ok(None);
    }
    for context in &contexts {
        let (watched, client) = (context.writer.hosts().clone(), connection.client.clone());
        background.0.push(tokio::spawn(async move { watched.follow(client).await }));
    }
    Ok(Some((contexts, background)))
}

fn context(
    options: &Options,
    source: &SourceOptions,
    connection: &Connection,
    namespace: &str,
    (metrics, permits, stop): (Metrics, Arc<Semaphore>, watch::Receiver<bool>),
) -> Context {
    let manager = fetch_manager(&source.name);
    let hosts = Hosts::new(Selection {
        namespace: namespace.to_owned(),
        source: source.name.clone(),
        manager: manager.clone(),
    });
    let rules = Rules {
        source: source.name.clone(),
        provider: source.setup.provider(),
        mapping: source.mapping.clone(),
    };
    let sender = Sender::new(connection.client.clone());
    Context {
        name: source.name.clone(),
        writer: Writer::new(sender, hosts, rules, permits, options.dry_run, metrics.clone()),
        writes: options.writes,
        policy: source.policy.clone(),
        accept_loss: Mutex::new(source.accept_loss.clone()),
        source: SourceObject::new(
            Api::<Source>::namespaced(connection.client.clone(), namespace),
            &source.name,
            &manager,
            source.setup.source_type(),
        ),
        provider: Lazy::new(source.setup.clone()),
        interval: source.interval,
        full_every: source.full_every,
        read: Mutex::default(),
        dry_run: options.dry_run,
        metrics,
        progress: Arc::new(Progress::default()),
        stop,
    }
}

fn ready(contexts: Vec<Arc<Context>>) -> http::Ready {
    Arc::new(move || {
        for context in &contexts {
            let name = &context.name;
            if !context.metrics.any_pass() {
                return Err(format!("the first pass over source \"{name}\" is not finished"));
            }
            if !context.writer.hosts().in_sync() {
                return Err(format!("the watch on the hosts of source \"{name}\" is broken"));
            }
        }
        Ok(())
    })
}

/// Whether the server serves hosts, has the namespace, and lets us write.
async fn check(connection: &Connection, namespace: &str) -> Result<()> {
    let client = &connection.client;
    reach::hosts(connection, namespace, None).await?;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    // who may not read namespaces learns it from the first write
    let found = tokio::time::timeout(DEADLINE, namespaces.get(namespace)).await;
    if let Ok(Err(kube::Error::Api(status))) = found
        && status.is_not_found()
    {
        return Err(Error::usage(format!("there is no namespace \"{namespace}\""))
            .hint(format!("make it with \"inv-tui --headless crds --apply -n {namespace}\" or \"kubectl create namespace {namespace}\", or name another one with -n")));
    }
    for (verb, subresource) in [("patch", None), ("create", None), ("patch", Some("status"))] {
        allowed(client, namespace, verb, subresource).await?;
    }
    Ok(())
}

/// Asks whether we may do this to hosts. A server that does not answer such questions is taken for
/// a yes: the first write will tell.
async fn allowed(
    client: &kube::Client,
    namespace: &str,
    verb: &str,
    subresource: Option<&str>,
) -> Result<()> {
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                group: Some(GROUP.to_owned()),
                resource: Some("hosts".to_owned()),
                subresource: subresource.map(str::to_owned),
                verb: Some(verb.to_owned()),
                namespace: Some(namespace.to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let params = PostParams::default();
    let answer = reviews.create(&params, &review);
    let Ok(Ok(answer)) = tokio::time::timeout(DEADLINE, answer).await else {
        return Ok(());
    };
    if answer.status.is_some_and(|status| !status.allowed) {
        let resource = subresource.map_or_else(|| "hosts".to_owned(), |sub| format!("hosts/{sub}"));
        return Err(Error::usage(format!(
            "cannot fetch: your user may not {verb} {resource} in namespace \"{namespace}\""
        ))
        .hint("ask for a role with get, list, watch, create, patch, delete on hosts, patch on hosts/status, and get, create, patch on sources and sources/status"));
    }
    Ok(())
}

/// Waits until the watch has read what is there. False: a stop was asked for.
pub(super) async fn listed(
    hosts: &Hosts,
    service: bool,
    mut stop: watch::Receiver<bool>,
) -> Result<bool> {
    let mut progress = hosts.progress();
    let synced = progress.wait_for(|sync| matches!(sync, Sync::Synced));
    let patience = async {
        if service {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(LISTING).await;
    };
    tokio::select! {
        _ = stop.wait_for(|stop| *stop) => return Ok(false),
        _ = synced => return Ok(true),
        () = patience => {}
    }
    let error = Error::new(format!("the known hosts were not read after {} s", LISTING.as_secs()));
    Err(match &*hosts.progress().borrow() {
        Sync::Listing(Some(cause)) => error.because(chain(&**cause)),
        _ => error,
    })
}
