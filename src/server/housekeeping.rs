//! What happens by itself: certificates are signed, what is being deleted goes when nothing holds it,
//! dependants follow their owners, old events and requests are forgotten.
//!
//! On a real cluster these are controllers of kube-controller-manager.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::catalog::{self, Served};
use super::rest::delete::{FOREGROUND, ORPHAN};
use super::rest::{Call, How};
use super::route::Resource;
use super::status::{ApiError, ApiResult};
use super::storage::{ResourceId, Stored};
use super::{Inner, certificates, events, meta};
use crate::guard::guarded_future;

/// How often old things are looked for.
const ROUND: Duration = Duration::from_mins(1);
/// Several deletions are followed up together.
const GATHER: Duration = Duration::from_millis(50);
/// Who signs, deletes and cleans up, in the managed fields.
const MANAGER: &str = "inv-tui-server";

/// Whether changes of this resource need following up.
pub(super) fn concerns(served: &Served) -> bool {
    !served.kind.custom
        && ["namespaces", "customresourcedefinitions", "certificatesigningrequests"]
            .contains(&served.kind.plural.as_str())
}

/// Works until the server is gone.
pub(super) async fn run(server: Weak<Inner>, stirred: Arc<Notify>) {
    let mut aged = tokio::time::Instant::now();
    loop {
        {
            let Some(server) = server.upgrade() else { return };
            if *server.closing.borrow() {
                return;
            }
            let old = tokio::time::Instant::now() >= aged;
            if old {
                aged = tokio::time::Instant::now() + ROUND;
            }
            // A fault in one round is no reason never to sign or to delete anything again.
            if let Ok(Err(error)) = guarded_future(round(&server, old)).await {
                tracing::warn!(%error, "housekeeping goes on later");
            }
        }
        let _ = tokio::time::timeout(ROUND, stirred.notified()).await;
        tokio::time::sleep(GATHER).await;
    }
}

async fn round(inner: &Arc<Inner>, old: bool) -> ApiResult<()> {
    let now = Timestamp::now();
    requests(inner, now).await?;
    if inner.bereft.swap(false, Ordering::AcqRel) {
        dependants(inner).await?;
    }
    held(inner).await?;
    definitions(inner).await?;
    namespaces(inner).await?;
    if old {
        old_events(inner, now).await?;
    }
    Ok(())
}

fn call_for(inner: &Arc<Inner>, served: &Served, key: &str) -> Option<Call> {
    let (namespace, name) = key.split_once('/').unwrap_or(("", key));
    inner.call(Resource {
        group: served.kind.group.clone(),
        version: served.kind.version.clone(),
        plural: served.kind.plural.clone(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        subresource: String::new(),
    })
}

/// One object that cannot be looked after does not keep the others from it. Only a store that takes
/// nothing ends the round.
fn looked_after<T>(served: &Served, key: &str, done: ApiResult<T>) -> ApiResult<()> {
    match done {
        Err(error) if error.code == 503 => return Err(error),
        Err(error) if error.code != 404 => {
            let resource = &served.id;
            tracing::warn!(%resource, ?key, %error, "an object could not be looked after");
        }
        _ => {}
    }
    Ok(())
}

/// Changes an object that may be gone by now.
async fn edit(
    inner: &Arc<Inner>,
    served: &Served,
    key: &str,
    subresource: &str,
    mut change: impl FnMut(&mut Value) + Send,
) -> ApiResult<()> {
    let Some(mut call) = call_for(inner, served, key) else { return Ok(()) };
    subresource.clone_into(&mut call.at.subresource);
    let mut make = |old: &Value| {
        let mut new = old.clone();
        change(&mut new);
        Ok(new)
    };
    let done = call.change(MANAGER, false, How::Update, &mut make).await;
    looked_after(served, key, done)
}

/// Deletes an object, unless it is another one of that name by now.
async fn delete(inner: &Arc<Inner>, served: &Served, key: &str, seen: &Stored) -> ApiResult<()> {
    let Some(call) = call_for(inner, served, key) else { return Ok(()) };
    let seen = seen.object();
    let same = |now: &Value| {
        if meta::text(now, "uid") == meta::text(&seen, "uid") {
            return Ok(());
        }
        Err(ApiError::not_found("", "", key))
    };
    let done = call.delete_one(key, None, false, &same).await;
    looked_after(served, key, done)
}

fn without(object: &mut Value, finalizer: &str) {
    let left: Vec<String> = meta::finalizers(object)
        .into_iter()
        .filter(|f| *f != finalizer)
        .map(str::to_owned)
        .collect();
    meta::set(object, "finalizers", left);
}

/// Signs approved certificate requests and forgets old ones.
async fn requests(inner: &Arc<Inner>, now: Timestamp) -> ApiResult<()> {
    let catalog = inner.catalog();
    let Some(served) = catalog.find("certificates.k8s.io", "v1", "certificatesigningrequests")
    else {
        return Ok(());
    };
    for (key, stored) in &served.shelf.objects().0 {
        let object = stored.object();
        if certificates::expired(&object, now) {
            delete(inner, &served, key, stored).await?;
        } else if let Some(authority) = &inner.authority
            && certificates::to_sign(&object)
        {
            // What is signed is what is there when it is stored: another request of that name, made
            // just now, has not been approved.
            edit(inner, &served, key, "status", |new| {
                if let Some(status) = certificates::sign(authority, new, now) {
                    meta::put(new, &["status"], status);
                }
            })
            .await?;
        }
    }
    Ok(())
}

/// Deletes objects whose owners are all gone.
async fn dependants(inner: &Arc<Inner>) -> ApiResult<()> {
    let catalog = inner.catalog();
    for served in catalog.resources() {
        for (key, stored) in served.shelf.objects().0.iter().filter(|(_, s)| s.marks.owned) {
            let object = stored.object();
            let owners = owners(&object);
            let gone = |owner: &&Value| !owner_is_there(inner, key, owner);
            if !meta::deleting(&object) && owners.iter().all(|owner| gone(&owner)) {
                delete(inner, &served, key, stored).await?;
            }
        }
    }
    Ok(())
}

fn owners(object: &Value) -> Vec<Value> {
    let list = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    list.cloned().unwrap_or_default()
}

/// Whether an owner is there. A kind that is not served here counts as there: nobody can tell.
fn owner_is_there(inner: &Inner, dependant: &str, owner: &Value) -> bool {
    let word = |field: &str| owner.get(field).and_then(Value::as_str).unwrap_or_default();
    let (group, version) =
        word("apiVersion").split_once('/').unwrap_or_else(|| ("", word("apiVersion")));
    let catalog = inner.catalog();
    let Some(kind) = catalog
        .kinds
        .iter()
        .find(|k| k.group == group && k.version == version && k.kind == word("kind"))
    else {
        return true;
    };
    let Some(served) = catalog.find(group, version, &kind.plural) else { return true };
    let namespace = dependant.split_once('/').map_or("", |(namespace, _)| namespace);
    served
        .shelf
        .get(&served.key(namespace, word("name")))
        .is_some_and(|stored| meta::text(&stored.object(), "uid") == word("uid"))
}

/// Objects that wait for their dependants: to be deleted, or to forget them.
async fn held(inner: &Arc<Inner>) -> ApiResult<()> {
    let resources = inner.catalog().resources();
    let mut waiting = Vec::new();
    for served in &resources {
        for (key, stored) in served.shelf.objects().0.iter().filter(|(_, s)| s.marks.deleting) {
            let object = stored.object();
            if meta::finalizers(&object).iter().any(|f| [ORPHAN, FOREGROUND].contains(f)) {
                waiting.push((served.clone(), key.clone(), object));
            }
        }
    }
    if waiting.is_empty() {
        return Ok(());
    }
    // By the owner's uid, read once: there may be many of both.
    let mut dependants: HashMap<String, Vec<_>> = HashMap::new();
    for served in &resources {
        for (key, stored) in served.shelf.objects().0.iter().filter(|(_, s)| s.marks.owned) {
            for owner in owners(&stored.object()) {
                let uid = owner.get("uid").and_then(Value::as_str).unwrap_or_default().to_owned();
                dependants.entry(uid).or_default().push((served, key.clone(), stored.clone()));
            }
        }
    }
    for (served, key, object) in waiting {
        let uid = meta::text(&object, "uid");
        let owned = dependants.get(uid).map(Vec::as_slice).unwrap_or_default();
        let orphan = meta::finalizers(&object).contains(&ORPHAN);
        for (other, dependant, stored) in owned {
            if orphan {
                edit(inner, other, dependant, "", |new| {
                    let kept: Vec<Value> = owners(new)
                        .into_iter()
                        .filter(|o| o.get("uid").and_then(Value::as_str) != Some(uid))
                        .collect();
                    meta::set(new, "ownerReferences", kept);
                })
                .await?;
            } else {
                delete(inner, other, dependant, stored).await?;
            }
        }
        if orphan {
            edit(inner, &served, &key, "", |new| without(new, ORPHAN)).await?;
        } else if owned.is_empty() {
            edit(inner, &served, &key, "", |new| without(new, FOREGROUND)).await?;
        }
    }
    Ok(())
}

/// CRDs that are being deleted: first their objects, then they.
async fn definitions(inner: &Arc<Inner>) -> ApiResult<()> {
    let catalog = inner.catalog();
    let Some(definitions) = catalog.find("apiextensions.k8s.io", "v1", "customresourcedefinitions")
    else {
        return Ok(());
    };
    for (key, stored) in &definitions.shelf.objects().0 {
        let object = stored.object();
        if !meta::deleting(&object) || !meta::finalizers(&object).contains(&catalog::CLEANUP) {
            continue;
        }
        let word = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let id = ResourceId::new(word("/spec/group"), word("/spec/names/plural"));
        if let Some(served) = catalog.resources().into_iter().find(|served| served.id == id) {
            empty(inner, &served, "").await?;
            if !served.shelf.objects().0.is_empty() {
                continue;
            }
        }
        edit(inner, &definitions, key, "", |new| without(new, catalog::CLEANUP)).await?;
    }
    Ok(())
}

/// Deletes all objects of a resource, or those of one namespace.
async fn empty(inner: &Arc<Inner>, served: &Served, namespace: &str) -> ApiResult<()> {
    for (key, stored) in &served.shelf.objects().0 {
        let inside =
            namespace.is_empty() || key.split_once('/').is_some_and(|(n, _)| n == namespace);
        if inside {
            delete(inner, served, key, stored).await?;
        }
    }
    Ok(())
}

/// Namespaces that are being deleted: first what is in them, then they.
async fn namespaces(inner: &Arc<Inner>) -> ApiResult<()> {
    let catalog = inner.catalog();
    let Some(namespaces) = catalog.find("", "v1", "namespaces") else { return Ok(()) };
    for (name, stored) in &namespaces.shelf.objects().0 {
        let object = stored.object();
        if !meta::deleting(&object) {
            continue;
        }
        let mut left = false;
        for served in catalog.resources().iter().filter(|served| served.kind.namespaced) {
            empty(inner, served, name).await?;
            left |= served
                .shelf
                .objects()
                .0
                .keys()
                .any(|key| key.split_once('/').is_some_and(|(n, _)| n == &**name));
        }
        if !left {
            edit(inner, &namespaces, name, "finalize", |new| {
                meta::put(new, &["spec", "finalizers"], json!([]));
            })
            .await?;
        }
    }
    Ok(())
}

async fn old_events(inner: &Arc<Inner>, now: Timestamp) -> ApiResult<()> {
    let catalog = inner.catalog();
    let Some(served) = catalog.find("", "v1", "events") else { return Ok(()) };
    for (key, stored) in &served.shelf.objects().0 {
        if events::expired(&stored.object(), now) {
            delete(inner, &served, key, stored).await?;
        }
    }
    Ok(())
}
