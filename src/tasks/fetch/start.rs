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
use super::diff::Paper;
use super::metrics::{Metrics, Watches};
use super::options::{Options, SourceOptions};
use super::progress::Progress;
use super::project::Rules;
use super::setup::Lazy;
use super::source::SourceObject;
use super::write::Writer;
use crate::error::{Error, Result, chain};
use crate::model::GROUP;
use crate::model::source::Source;
use crate::store::client::{ConnectOptions, Connection, DEADLINE, FETCH, connect, fetch_manager};
use crate::store::hosts::{Fleet, Hosts, Selection, Sync};
use crate::store::lease::Leadership;
use crate::store::send::Sender;
use crate::tasks::tended::tended;
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
    let listener = http::bind_if(options.listen).await?;
    let connection = connect(server).await?;
    let (metrics, mut registry) = Metrics::new();
    let permits = Arc::new(Semaphore::new(options.writes));
    let paper = options.dry_run.then(Arc::<Paper>::default);
    let fleet = Fleet::new(namespace);
    let context = |source: &SourceOptions| {
        let shared = (metrics.of(&source.name), Arc::clone(&permits), stop.clone(), paper.clone());
        Arc::new(context(options, source, &connection, &fleet, shared))
    };
    let contexts: Vec<Arc<Context>> = options.sources.iter().map(context).collect();
    if let [only] = contexts.as_slice() {
        // what keeps the only one from working is told before anything is begun
        only.provider.get().await?;
    }
    let mut background = Background::default();
    if let Some(listener) = listener {
        let watches =
            |context: &Arc<Context>| (context.name.as_str().into(), context.writer.hosts().clone());
        let watches = Watches(contexts.iter().map(watches).collect());
        registry.register_collector(Box::new(watches));
        let (registry, ready) = (Arc::new(registry), ready(contexts.clone()));
        background.0.push(tokio::spawn(http::serve(listener, registry, ready, stop.clone())));
    }
    let checks = async || {
        check(&connection, namespace).await?;
        if let Some(context) = contexts.first().filter(|_| !options.dry_run) {
            may_lead(&connection.client, namespace, &context.writer.hosts().selection().manager)
                .await?;
        }
        match contexts.as_slice() {
            [only] if !options.dry_run => only.source.check().await.map(drop),
            _ => Ok(()),
        }
    };
    let until = stop.clone();
    if !reach::until_reachable(!options.once, stop, checks).await? {
        return Ok(None);
    }
    let client = connection.client.clone();
    let counted = metrics.clone();
    background.0.push(tokio::spawn(async move {
        let follow = || fleet.follow(client.clone());
        tended("the watch on hosts", until, || counted.broke_off(), follow).await;
    }));
    Ok(Some((contexts, background)))
}

fn context(
    options: &Options,
    source: &SourceOptions,
    connection: &Connection,
    fleet: &Fleet,
    (metrics, permits, stop, paper): (
        Metrics,
        Arc<Semaphore>,
        watch::Receiver<bool>,
        Option<Arc<Paper>>,
    ),
) -> Context {
    let manager = fetch_manager(&source.name);
    let namespace = fleet.namespace();
    let hosts = fleet.hosts(Selection {
        namespace: namespace.to_owned(),
        source: source.name.clone(),
        manager: manager.clone(),
    });
    let rules = Rules {
        source: source.name.clone(),
        provider: source.setup.provider(),
        mapping: source.mapping.clone(),
    };
    let client = connection.client.clone();
    // The field manager and the Lease have one name.
    let lease = Leadership::new(client.clone(), namespace, &manager, FETCH);
    let shared = (permits, lease.term());
    let sender = Sender::new(client);
    Context {
        name: source.name.clone(),
        writer: Writer::new(sender, hosts, rules, shared, paper.clone(), metrics.clone()),
        writes: options.writes,
        policy: source.policy.clone(),
        accept_loss: Mutex::new(source.accept_loss.clone()),
        source: SourceObject::new(
            Api::<Source>::namespaced(connection.client.clone(), namespace),
            &source.name,
            &manager,
            source.setup.source_type(),
            (!options.once).then_some(source.interval),
        ),
        provider: Lazy::new(source.setup.clone()),
        interval: source.interval,
        full_every: source.full_every,
        read: Mutex::default(),
        paper,
        metrics,
        progress: Arc::new(Progress::default()),
        lease: tokio::sync::Mutex::new(lease),
        stop,
    }
}

fn ready(contexts: Vec<Arc<Context>>) -> http::Ready {
    Arc::new(move || {
        for context in &contexts {
            let name = &context.name;
            // one that waits for its turn is ready to take over
            if !context.writer.waits() && !context.metrics.any_pass() {
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
        let wanted = ResourceAttributes {
            group: Some(GROUP.to_owned()),
            resource: Some("hosts".to_owned()),
            subresource: subresource.map(str::to_owned),
            verb: Some(verb.to_owned()),
            namespace: Some(namespace.to_owned()),
            ..ResourceAttributes::default()
        };
        allowed(client, wanted, "ask for a role with get, list, watch, create, patch, delete on hosts, patch on hosts/status, and get, create, patch on sources and sources/status").await?;
    }
    Ok(())
}

/// Whether the server lets us hold the Lease of a source.
async fn may_lead(client: &kube::Client, namespace: &str, lease: &str) -> Result<()> {
    for verb in ["get", "create", "patch"] {
        let wanted = ResourceAttributes {
            group: Some("coordination.k8s.io".to_owned()),
            resource: Some("leases".to_owned()),
            name: Some(lease.to_owned()),
            verb: Some(verb.to_owned()),
            namespace: Some(namespace.to_owned()),
            ..ResourceAttributes::default()
        };
        allowed(client, wanted, "the role of fetchers has get, create and patch on leases: kubectl apply --server-side -f deploy/rbac.yaml").await?;
    }
    Ok(())
}

/// Asks whether we may do this. A server that does not answer such questions is taken for a yes: the
/// first write will tell.
async fn allowed(client: &kube::Client, wanted: ResourceAttributes, hint: &str) -> Result<()> {
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(wanted.clone()),
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
        let text = |word: Option<String>| word.unwrap_or_default();
        let (verb, resource) = (text(wanted.verb), text(wanted.resource));
        let resource = match wanted.subresource {
            Some(sub) => format!("{resource}/{sub}"),
            None => resource,
        };
        let namespace = text(wanted.namespace);
        return Err(Error::usage(format!(
            "cannot fetch: your user may not {verb} {resource} in namespace \"{namespace}\""
        ))
        .hint(hint));
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
