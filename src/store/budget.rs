//! Slots of a cluster's disruption budget. A slot is taken by compare-and-swap on the Cluster's
//! status: the Cluster is read, then all its hosts, then the grant is written against the version
//! that was read first. Whoever else was granted a slot in between has moved that version, and the
//! whole begins again; so two can never take the last slot, wherever they run.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::core::{Selector, SelectorExt};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::model::budget::{Budget, Member};
use crate::model::cluster::Cluster;
use crate::model::host::Host;
use crate::store::client::{Connection, DEADLINE, OPERATOR, call, explain};

/// Objects of one page of a list.
const PAGE: u32 = 500;
/// How often a grant begins again when the Cluster moves under it.
const TRIES: u32 = 12;
/// Longest pause before it begins again, in milliseconds: times the number of tries so far.
const PAUSE: u64 = 20;
/// A grant that is younger than this may be somebody's who has not sent his change yet.
const YOUNG: SignedDuration = SignedDuration::from_secs(10);

/// What came of asking for slots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Granted {
    /// Hosts that may go away, with the time of the grant, which no other grant of the host has.
    pub given: BTreeMap<String, Timestamp>,
    /// Those of them for which there was no slot left: the budget was passed by.
    pub over: BTreeSet<String>,
    /// Those whose grant was not there before.
    pub fresh: BTreeSet<String>,
    /// Hosts of the cluster that are away now, those of the grants too.
    pub away: usize,
    /// Hosts that may be away.
    pub max: usize,
}

/// The clusters of a namespace.
///
/// # Errors
/// What the server said.
pub async fn clusters(connection: &Connection, namespace: &str) -> Result<Vec<Cluster>> {
    let api: Api<Cluster> = Api::namespaced(connection.client.clone(), namespace);
    let mut all = Vec::new();
    pages(&api, ListParams::default(), "cannot list clusters", "list clusters", |cluster| {
        all.push(cluster);
    })
    .await?;
    Ok(all)
}

/// Whether a host is one of a cluster's, by its selector or by its `spec.cluster`.
pub fn has(cluster: &Cluster, host: &Host) -> bool {
    if cluster.metadata.namespace != host.metadata.namespace {
        return false;
    }
    match &cluster.spec.selector {
        // A selector that cannot be read chooses nobody.
        Some(selector) => Selector::try_from(selector.clone())
            .is_ok_and(|selector| selector.matches(host.labels())),
        None => host.spec.cluster.is_some() && host.spec.cluster == cluster.metadata.name,
    }
}

/// How the budget of a cluster stands: reads all its hosts.
///
/// # Errors
/// What the server said.
pub async fn standing(
    connection: &Connection,
    cluster: &Cluster,
    now: Timestamp,
) -> Result<Budget> {
    let members = members(connection, cluster, now).await?;
    Ok(Budget::of(cluster, &members, now))
}

/// Asks for slots for hosts of a cluster, in their order; a host that is away already gets one in
/// any case. With `past` all get one. A cluster that is no longer there has no budget: all may go.
///
/// # Errors
/// What the server said, or that the Cluster keeps changing. Nothing is granted then.
pub async fn grant(
    connection: &Connection,
    namespace: &str,
    cluster: &str,
    wanted: &[String],
    past: bool,
    clock: fn() -> Timestamp,
) -> Result<Granted> {
    let api: Api<Cluster> = Api::namespaced(connection.client.clone(), namespace);
    let what = format!("cannot ask the budget of cluster \"{cluster}\"");
    for tried in 1..=TRIES {
        let found = call(&what, "get clusters", DEADLINE, api.get_opt(cluster)).await?;
        let Some(object) = found else {
            let now = whole(clock());
            let given = wanted.iter().map(|name| (name.clone(), now)).collect();
            return Ok(Granted { given, ..Granted::default() });
        };
        let now = whole(clock());
        let members = members(connection, &object, now).await?;
        let mut budget = Budget::of(&object, &members, now);
        let before = budget.granted.clone();
        let within: BTreeSet<String> =
            budget.clone().grant(wanted, false, now).into_iter().collect();
        let given = budget.grant(wanted, past, now);
        let granted = Granted {
            over: given.iter().filter(|name| !within.contains(*name)).cloned().collect(),
            fresh: given.iter().filter(|name| !before.contains_key(*name)).cloned().collect(),
            given: given.into_iter().map(|name| renewed(name, &before, now)).collect(),
            away: budget.away.len(),
            max: budget.max_unavailable,
        };
        budget.granted.extend(granted.given.clone());
        if granted.given.is_empty() || write(&api, &object, &budget, &what).await? {
            return Ok(granted);
        }
        pause(tried).await;
    }
    Err(Error::new(format!("{what}: it keeps changing")).hint("try again in a moment"))
}

/// Gives slots back: of hosts that are not held any more, or never were. `slots` has for each the
/// time of the grant where it is known to be ours; any other is given back only when it is old
/// enough to be nobody's who is about to send a change.
///
/// # Errors
/// What the server said, or that the Cluster keeps changing. Slots lapse by themselves then.
pub async fn release(
    connection: &Connection,
    namespace: &str,
    cluster: &str,
    slots: &BTreeMap<String, Option<Timestamp>>,
    clock: fn() -> Timestamp,
) -> Result<()> {
    let api: Api<Cluster> = Api::namespaced(connection.client.clone(), namespace);
    let what = format!("cannot give back slots of cluster \"{cluster}\"");
    for tried in 1..=TRIES {
        let found = call(&what, "get clusters", DEADLINE, api.get_opt(cluster)).await?;
        let Some(mut object) = found else { return Ok(()) };
        let now = whole(clock());
        let Some(status) = &mut object.status else { return Ok(()) };
        let stored = status.disrupted.clone();
        let members = members(connection, &object, now).await?;
        let held: BTreeSet<&str> =
            members.iter().filter(|m| m.held).map(|m| m.name.as_str()).collect();
        let old = now.saturating_sub(YOUNG).unwrap_or(Timestamp::MIN);
        let mut left = object.clone();
        let kept = left.status.get_or_insert_default();
        kept.disrupted.retain(|name, at| match slots.get(name) {
            Some(ours) => held.contains(name.as_str()) || !(*ours == Some(at.0) || at.0 <= old),
            None => true,
        });
        if kept.disrupted == stored {
            return Ok(());
        }
        let budget = Budget::of(&left, &members, now);
        if write(&api, &object, &budget, &what).await? {
            return Ok(());
        }
        pause(tried).await;
    }
    Err(Error::new(format!("{what}: it keeps changing")))
}

/// Writes how the budget stands, against the version that was read. False: it has moved on.
async fn write(api: &Api<Cluster>, read: &Cluster, budget: &Budget, what: &str) -> Result<bool> {
    let stored = read.status.clone().unwrap_or_default().disrupted;
    let wanted = budget.disrupted();
    let mut disrupted = Map::new();
    for name in stored.keys().filter(|name| !wanted.contains_key(*name)) {
        disrupted.insert(name.clone(), Value::Null);
    }
    for (name, at) in wanted.iter().filter(|(name, at)| stored.get(*name) != Some(at)) {
        disrupted.insert(name.clone(), serde_json::to_value(at).unwrap_or_default());
    }
    let healthy = budget.total.saturating_sub(budget.away.len());
    let body = json!({
        "metadata": { "uid": read.metadata.uid, "resourceVersion": read.metadata.resource_version },
        "status": {
            "disrupted": disrupted,
            "disruptionsAllowed": budget.left(),
            "currentHealthy": healthy,
            "desiredHealthy": budget.total.saturating_sub(budget.max_unavailable),
        },
    });
    let params = PatchParams { field_manager: Some(OPERATOR.to_owned()), ..Default::default() };
    let (name, patch) = (read.name_any(), Patch::Merge(body));
    match tokio::time::timeout(DEADLINE, api.patch_status(&name, &params, &patch)).await {
        Ok(Ok(_)) => Ok(true),
        Ok(Err(kube::Error::Api(status))) if status.is_conflict() || status.is_not_found() => {
            Ok(false)
        }
        Ok(Err(cause)) => Err(explain(what, "patch clusters/status", cause)),
        Err(_) => Err(Error::new(format!("{what}: no answer after {} s", DEADLINE.as_secs()))
            .hint("the server is overloaded or out of reach; try again, or check the network")),
    }
}

/// All hosts of a cluster, as of one moment that is not earlier than the call.
async fn members(
    connection: &Connection,
    cluster: &Cluster,
    now: Timestamp,
) -> Result<Vec<Member>> {
    let name = cluster.name_any();
    let what = format!("cannot list the hosts of cluster \"{name}\"");
    let namespace = cluster.namespace().unwrap_or_default();
    let api: Api<Host> = Api::namespaced(connection.client.clone(), &namespace);
    let params = match &cluster.spec.selector {
        Some(selector) => {
            let selector = Selector::try_from(selector.clone()).map_err(|cause| {
                Error::new(format!("the selector of cluster \"{name}\" cannot be read"))
                    .because(cause)
            })?;
            ListParams::default().labels_from(&selector)
        }
        None => ListParams::default().fields(&format!("spec.cluster={name}")),
    };
    let mut all = Vec::new();
    pages(&api, params, &what, "list hosts", |host| all.push(Member::of(&host, now))).await?;
    Ok(all)
}

/// Lists everything, page by page. Without a resource version the first page is as of now, and the
/// others are of the same moment.
pub(crate) async fn pages<K>(
    api: &Api<K>,
    params: ListParams,
    what: &str,
    needs: &str,
    mut each: impl FnMut(K),
) -> Result<()>
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug,
{
    let mut params = params.limit(PAGE);
    loop {
        let page = call(what, needs, DEADLINE, api.list(&params)).await?;
        page.items.into_iter().for_each(&mut each);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => return Ok(()),
        }
    }
}

/// The time of a grant. One that was there already is renewed, so that nobody takes it for an old
/// one or for his own.
fn renewed(
    name: String,
    before: &BTreeMap<String, Timestamp>,
    now: Timestamp,
) -> (String, Timestamp) {
    let after =
        before.get(&name).and_then(|at| at.saturating_add(SignedDuration::from_secs(1)).ok());
    (name, after.map_or(now, |after| after.max(now)))
}

/// Whole seconds, as every time of the API is.
fn whole(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// Lets the others finish; by chance, so that two do not meet again and again.
async fn pause(tried: u32) {
    tokio::time::sleep(Duration::from_millis(fastrand::u64(1..=PAUSE * u64::from(tried)))).await;
}
