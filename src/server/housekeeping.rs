//! What happens by itself: certificates are signed, what is being deleted goes when nothing holds it,
//! dependants follow their owners, old events and requests are forgotten.
//!
//! On a real cluster these are controllers of kube-controller-manager.

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
use super::status::ApiResult;
use super::storage::ResourceId;
use super::{Inner, certificates, events, meta};

/// How often old things are looked for.
const ROUND: Duration = Duration::from_secs(60);
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
            if let Err(error) = round(&server, old).await {
                tracing::warn!(%error, "housekeeping goes on later");
            }
        }
        let _ = tokio::time::timeout(ROUND, stirred.notified()).await;
        tokio::time::sleep(GATHER).await;
    }
}

async fn round(server: &Arc<Inner>, old: bool) -> ApiResult<()> {
    let now = Timestamp::now();
    requests(server, now).await?;
    if server.bereft.swap(false, Ordering::AcqRel) {
        dependants(server).await?;
    }
    held(server).await?;
    definitions(server).await?;
    namespaces(server).await?;
    if old {
        old_events(server, now).await?;
    }
    Ok(())
}

fn call_for(server: &Arc<Inner>, served: &Served, key: &str) -> Option<Call> {
    let (namespace, name) = key.split_once('/').unwrap_or(("", key));
    server.call(Resource {
        group: served.kind.group.clone(),
        version: served.kind.version.clone(),
        plural: served.kind.plural.clone(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        subresource: String::new(),
    })
}

/// Changes an object that may be gone by now.
async fn edit(
    server: &Arc<Inner>,
    served: &Served,
    key: &str,
    subresource: &str,
    mut change: impl FnMut(&mut Value) + Send,
) -> ApiResult<()> {
    let Some(mut call) = call_for(server, served, key) else { return Ok(()) };
    subresource.clone_into(&mut call.at.subresource);
    let mut make = |old: &Value| {
        let mut new = old.clone();
        change(&mut new);
        Ok(new)
    };
    match call.change(MANAGER, false, How::Update, &mut make).await {
        Err(error) if error.code != 404 => Err(error),
        _ => Ok(()),
    }
}

async fn delete(server: &Arc<Inner>, served: &Served, key: &str) -> ApiResult<()> {
    let Some(call) = call_for(server, served, key) else { return Ok(()) };
    match call.delete_one(key, None, false, &|_| Ok(())).await {
        Err(error) if error.code != 404 => Err(error),
        _ => Ok(()),
    }
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
async fn requests(server: &Arc<Inner>, now: Timestamp) -> ApiResult<()> {
    let catalog = server.catalog();
    let Some(served) = catalog.find("certificates.k8s.io", "v1", "certificatesigningrequests")
    else {
        return Ok(());
    };
    for (key, stored) in &served.shelf.objects().0 {
        let object = stored.object();
        if certificates::expired(&object, now) {
            delete(server, &served, key).await?;
        } else if let Some(authority) = &server.authority
            && let Some(status) = certificates::sign(authority, &object, now)
        {
            edit(server, &served, key, "status", |new| new["status"] = status.clone()).await?;
        }
    }
    Ok(())
}

/// Deletes objects whose owners are all gone.
async fn dependants(server: &Arc<Inner>) -> ApiResult<()> {
    let catalog = server.catalog();
    for served in catalog.resources() {
        for (key, stored) in served.shelf.objects().0.iter().filter(|(_, s)| s.marks.owned) {
            let object = stored.object();
            let owners = owners(&object);
            let gone = |owner: &&Value| !owner_is_there(server, key, owner);
            if !meta::deleting(&object) && owners.iter().all(|owner| gone(&owner)) {
                delete(server, &served, key).await?;
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
fn owner_is_there(server: &Inner, dependant: &str, owner: &Value) -> bool {
    let word = |field: &str| owner.get(field).and_then(Value::as_str).unwrap_or_default();
    let (group, version) = word("apiVersion").split_once('/').unwrap_or(("", word("apiVersion")));
    let catalog = server.catalog();
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
async fn held(server: &Arc<Inner>) -> ApiResult<()> {
    let catalog = server.catalog();
    let resources = catalog.resources();
    let mut waiting = Vec::new();
    for served in &resources {
        for (key, stored) in served.shelf.objects().0.iter().filter(|(_, s)| s.marks.deleting) {
            waiting.push((served.clone(), key.clone(), stored.object()));
        }
    }
    for (served, key, object) in waiting {
        let uid = meta::text(&object, "uid");
        let finalizers = meta::finalizers(&object);
        let orphan = finalizers.contains(&ORPHAN);
        if !orphan && !finalizers.contains(&FOREGROUND) {
            continue;
        }
        let mut left = 0;
        for other in &resources {
            for (dependant, stored) in other.shelf.objects().0.iter().filter(|(_, s)| s.marks.owned)
            {
                let owned = owners(&stored.object());
                if !owned.iter().any(|o| o.get("uid").and_then(Value::as_str) == Some(uid)) {
                    continue;
                }
                left += 1;
                if orphan {
                    edit(server, other, dependant, "", |new| {
                        let kept: Vec<Value> = owners(new)
                            .into_iter()
                            .filter(|o| o.get("uid").and_then(Value::as_str) != Some(uid))
                            .collect();
                        meta::set(new, "ownerReferences", kept);
                    })
                    .await?;
                } else {
                    delete(server, other, dependant).await?;
                }
            }
        }
        if orphan {
            edit(server, &served, &key, "", |new| without(new, ORPHAN)).await?;
        } else if left == 0 {
            edit(server, &served, &key, "", |new| without(new, FOREGROUND)).await?;
        }
    }
    Ok(())
}

/// CRDs that are being deleted: first their objects, then they.
async fn definitions(server: &Arc<Inner>) -> ApiResult<()> {
    let catalog = server.catalog();
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
            empty(server, &served, "").await?;
            if !served.shelf.objects().0.is_empty() {
                continue;
            }
        }
        edit(server, &definitions, key, "", |new| without(new, catalog::CLEANUP)).await?;
    }
    Ok(())
}

/// Deletes all objects of a resource, or those of one namespace.
async fn empty(server: &Arc<Inner>, served: &Served, namespace: &str) -> ApiResult<()> {
    for (key, _) in &served.shelf.objects().0 {
        let inside =
            namespace.is_empty() || key.split_once('/').is_some_and(|(n, _)| n == namespace);
        if inside {
            delete(server, served, key).await?;
        }
    }
    Ok(())
}

/// Namespaces that are being deleted: first what is in them, then they.
async fn namespaces(server: &Arc<Inner>) -> ApiResult<()> {
    let catalog = server.catalog();
    let Some(namespaces) = catalog.find("", "v1", "namespaces") else { return Ok(()) };
    for (name, stored) in &namespaces.shelf.objects().0 {
        let object = stored.object();
        if !meta::deleting(&object) {
            continue;
        }
        let mut left = false;
        for served in catalog.resources().iter().filter(|served| served.kind.namespaced) {
            empty(server, served, name).await?;
            left |= served
                .shelf
                .objects()
                .0
                .keys()
                .any(|key| key.split_once('/').is_some_and(|(n, _)| n == &**name));
        }
        if !left {
            edit(server, &namespaces, name, "finalize", |new| {
                new["spec"]["finalizers"] = json!([])
            })
            .await?;
        }
    }
    Ok(())
}

async fn old_events(server: &Arc<Inner>, now: Timestamp) -> ApiResult<()> {
    let catalog = server.catalog();
    let Some(served) = catalog.find("", "v1", "events") else { return Ok(()) };
    for (key, stored) in &served.shelf.objects().0 {
        if events::expired(&stored.object(), now) {
            delete(server, &served, key).await?;
        }
    }
    Ok(())
}
