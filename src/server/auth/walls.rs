//! What a change may be, where that a role may make it is not all: the rules of
//! `deploy/policies.yaml`, which kube-apiserver keeps, with the same words. `tests/it/access.rs` asks
//! both.

use serde_json::{Map, Value};

use super::User;
use super::roles::{
    ADMINS, DECOMMISSIONERS, FETCHERS, HOSTS, LIFECYCLE, MASTERS, OPERATORS, RUNNERS, own_host,
};
use crate::model::GROUP;
use crate::model::change::holder;
use crate::model::labels::{self, FINALIZER, PROTECT};

/// What the name of a service's Lease begins with.
const SERVICE: &str = "inv-tui-";

/// A write that the user's role allows.
pub struct Write<'a> {
    /// Who writes.
    pub user: &'a User,
    /// API group of the object.
    pub group: &'a str,
    /// Plural of its resource.
    pub resource: &'a str,
    /// Subresource, or empty.
    pub subresource: &'a str,
    /// Namespace of the object.
    pub namespace: &'a str,
    /// What was; none if it is made.
    pub old: Option<&'a Value>,
    /// What shall be; none if it is deleted.
    pub new: Option<&'a Value>,
}

/// Why this may not be written; none if it may.
pub fn refusal(write: &Write<'_>) -> Option<String> {
    match (write.group, write.resource, write.subresource) {
        (GROUP, "hosts", "") => host(write),
        (GROUP, "hosts", "status") => host_status(write),
        (GROUP, "clusters", "status") => cluster_status(write),
        ("coordination.k8s.io", "leases", _) => heartbeat(write),
        ("" | "events.k8s.io", "events", _) => event(write),
        _ => None,
    }
}

impl<'a> Write<'a> {
    fn is_in(&self, groups: &[&str]) -> bool {
        groups.iter().any(|group| self.user.is_in(group))
    }

    /// What stands at `pointer` before and after.
    fn both(&self, pointer: &str) -> (Option<&'a Value>, Option<&'a Value>) {
        let before = self.old.and_then(|object| object.pointer(pointer));
        (before, self.new.and_then(|object| object.pointer(pointer)))
    }

    /// Whether what stands there changes.
    fn moves(&self, pointer: &str) -> bool {
        let (old, new) = self.both(pointer);
        old != new
    }

    /// The keys of the map there whose values change.
    fn changed(&self, pointer: &str) -> Vec<&'a str> {
        let (old, new) = self.both(pointer);
        let (old, new) = (old.and_then(Value::as_object), new.and_then(Value::as_object));
        let value = |map: Option<&'a Map<String, Value>>, key: &str| map.and_then(|m| m.get(key));
        let before = old.into_iter().flat_map(Map::keys).filter(|key| value(new, key).is_none());
        let keys = new.into_iter().flat_map(Map::keys).chain(before);
        keys.filter(|key| value(old, key) != value(new, key)).map(String::as_str).collect()
    }
}

fn text(value: Option<&Value>) -> Option<&str> {
    value.and_then(Value::as_str)
}

/// Those of `keys` that are not in `allowed`, for a sentence.
fn besides(keys: &[&str], allowed: &[&str]) -> Option<String> {
    let rest: Vec<&str> = keys.iter().filter(|key| !allowed.contains(key)).copied().collect();
    (!rest.is_empty()).then(|| rest.join(", "))
}

fn host(write: &Write<'_>) -> Option<String> {
    protection(write).or_else(|| {
        write.new?;
        finalizer(write)
            .or_else(|| decommissioned(write))
            .or_else(|| fetched(write))
            .or_else(|| reserved_labels(write))
            .or_else(|| hold(write))
            .or_else(|| run(write))
    })
}

fn protection(write: &Write<'_>) -> Option<String> {
    write.old?.pointer("/metadata/annotations")?.get(PROTECT)?;
    let first = format!("this host is protected: remove the annotation {PROTECT} first, then");
    let (was, shall) = write.both("/spec/serviceState");
    let retires = text(shall) == Some("Retired") && text(was) != Some("Retired");
    let moves = write.moves("/spec/cluster") || write.moves("/spec/environment");
    if write.new.is_none() {
        Some(format!("{first} delete it"))
    } else if (moves || retires) && !write.is_in(&[FETCHERS]) {
        Some(format!("{first} change its cluster or environment or retire it"))
    } else {
        None
    }
}

fn finalizer(write: &Write<'_>) -> Option<String> {
    let has = |list: Option<&Value>| {
        list.and_then(Value::as_array).is_some_and(|list| list.iter().any(|one| one == FINALIZER))
    };
    let (old, new) = write.both("/metadata/finalizers");
    let taken = has(old) && !has(new);
    (taken && !write.is_in(&[ADMINS, DECOMMISSIONERS, MASTERS])).then(|| {
        format!(
            "the finalizer {FINALIZER} is removed by inv-tui --headless decommission, when its steps \
             are done; an administrator (inv:admins) may remove it by hand"
        )
    })
}

fn decommissioned(write: &Write<'_>) -> Option<String> {
    let more = [ADMINS, OPERATORS, FETCHERS, LIFECYCLE, MASTERS];
    if !write.is_in(&[DECOMMISSIONERS]) || write.is_in(&more) {
        return None;
    }
    let (old, new) = write.both("/metadata/finalizers");
    let others = |list: Option<&'_ Value>| -> Vec<Value> {
        let all = list.and_then(Value::as_array).into_iter().flatten();
        all.filter(|one| *one != FINALIZER).cloned().collect()
    };
    let parts = ["/spec", "/metadata/labels", "/metadata/annotations", "/metadata/ownerReferences"];
    let moves = others(old) != others(new) || parts.iter().any(|part| write.moves(part));
    moves.then(|| {
        "of a host the decommission service changes its own finalizer and nothing else".to_owned()
    })
}

fn fetched(write: &Write<'_>) -> Option<String> {
    if !write.is_in(&[FETCHERS]) || write.is_in(&[ADMINS, MASTERS]) {
        return None;
    }
    let mut changed: Vec<&str> = ["maintenance", "ansible", "os", "paused"]
        .into_iter()
        .filter(|field| write.moves(&format!("/spec/{field}")))
        .collect();
    let (was, shall) = write.both("/spec/serviceState");
    if text(was).unwrap_or("InService") != text(shall).unwrap_or("InService") {
        changed.push("serviceState");
    }
    if !changed.is_empty() {
        let fields = changed.join(", spec.");
        return Some(format!("a fetcher does not write what people decide: spec.{fields}"));
    }
    let protect = |object: Option<&Value>| {
        object.and_then(|o| o.pointer("/metadata/annotations")?.get(PROTECT).cloned())
    };
    (protect(write.old) != protect(write.new))
        .then(|| "a fetcher neither protects a host nor ends its protection".to_owned())
}

fn reserved_labels(write: &Write<'_>) -> Option<String> {
    if !write.is_in(&[OPERATORS]) || write.is_in(&[ADMINS, FETCHERS, LIFECYCLE, MASTERS]) {
        return None;
    }
    let mut keys = write.changed("/metadata/labels");
    keys.retain(|key| labels::is_reserved(key));
    keys.sort_unstable();
    (!keys.is_empty()).then(|| {
        format!("labels of Kubernetes and of services are not set by hand: {}", keys.join(", "))
    })
}

fn hold(write: &Write<'_>) -> Option<String> {
    if write.is_in(&[ADMINS, FETCHERS, LIFECYCLE, RUNNERS, MASTERS]) {
        return None;
    }
    let own = holder(&write.user.name);
    let (_, new) = write.both("/spec/maintenance");
    let mut others = write.changed("/spec/maintenance");
    // To end another's hold is allowed.
    others.retain(|key| *key != own && new.is_some_and(|new| new.get(*key).is_some()));
    let others = besides(&others, &[])?;
    Some(format!(
        "a new or changed hold must be your own, spec.maintenance[{own}], not [{others}]; end the \
         other one and begin your own"
    ))
}

fn run(write: &Write<'_>) -> Option<String> {
    let (_, new) = write.both("/spec/ansible");
    if write.is_in(&[ADMINS, MASTERS]) || new.is_none() {
        return None;
    }
    let asks = write.moves("/spec/ansible/requestID");
    let by = text(write.both("/spec/ansible/requestedBy").1);
    let named = asks || write.moves("/spec/ansible/requestedBy");
    if named && by.is_some_and(|by| by != write.user.name) {
        return Some(format!(
            "spec.ansible.requestedBy must be your own name, {}",
            write.user.name
        ));
    }
    let going_on = text(write.both("/status/ansible/state").0) == Some("Running");
    (asks && going_on).then(|| {
        "a run is going on here (status.ansible): wait for its end before you ask for another one"
            .to_owned()
    })
}

fn host_status(write: &Write<'_>) -> Option<String> {
    own_status(write).or_else(|| {
        let others = !write.is_in(&[ADMINS, DECOMMISSIONERS, MASTERS]);
        (others && write.moves("/status/decommission")).then(|| {
            "status.decommission is the record of inv-tui --headless decommission; nobody else writes it"
                .to_owned()
        })
    })
}

fn own_status(write: &Write<'_>) -> Option<String> {
    let (who, fields, its, conditions): (_, &[&str], _, &[&str]) = if write.is_in(&[HOSTS]) {
        (
            "an agent",
            &["ansible", "os", "conditions"],
            "ansible, os and its conditions",
            &["Drained", "Converged", "OSUpToDate"],
        )
    } else if write.is_in(&[RUNNERS]) && !write.is_in(&[ADMINS, LIFECYCLE, MASTERS]) {
        ("a runner", &["ansible", "conditions"], "ansible and its condition", &["Converged"])
    } else if write.is_in(&[DECOMMISSIONERS])
        && !write.is_in(&[ADMINS, FETCHERS, LIFECYCLE, MASTERS])
    {
        (
            "the decommission service",
            &["decommission", "conditions"],
            "decommission and its condition",
            &["Deleting"],
        )
    } else {
        return None;
    };
    if let Some(rest) = besides(&write.changed("/status"), fields) {
        return Some(format!("of the status {who} writes {its}, not {rest}"));
    }
    let others = |list: Option<&Value>| -> Vec<Value> {
        let all = list.and_then(Value::as_array).into_iter().flatten();
        let other = |c: &&Value| !text(c.get("type")).is_some_and(|t| conditions.contains(&t));
        all.filter(other).cloned().collect()
    };
    let (old, new) = write.both("/status/conditions");
    let (old, new) = (others(old), others(new));
    let same = old.len() == new.len() && new.iter().all(|one| old.contains(one));
    let named = match conditions {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        _ => conditions.concat(),
    };
    (!same).then(|| {
        format!("of the conditions {who} writes {named}; the others belong to other writers")
    })
}

fn cluster_status(write: &Write<'_>) -> Option<String> {
    if !write.is_in(&[OPERATORS]) || write.is_in(&[ADMINS, LIFECYCLE, MASTERS]) {
        return None;
    }
    let budget = ["disrupted", "disruptionsAllowed", "currentHealthy", "desiredHealthy"];
    let rest = besides(&write.changed("/status"), &budget)?;
    Some(format!("of a cluster's status an operator writes the disruption budget, not {rest}"))
}

/// Of the Leases the decommission service writes its own, and takes heartbeats of hosts away.
fn heartbeat(write: &Write<'_>) -> Option<String> {
    if !write.is_in(&[DECOMMISSIONERS]) || write.is_in(&[ADMINS, HOSTS, MASTERS]) {
        return None;
    }
    let word = |pointer: &str| {
        let (old, new) = write.both(pointer);
        text(old.or(new)).unwrap_or_default()
    };
    let name = word("/metadata/name");
    let agent = format!("inv:host:{}:{name}", write.namespace);
    let goes = write.new.is_none() && word("/spec/holderIdentity") == agent;
    (!goes && !name.starts_with(SERVICE))
        .then(|| "a service writes only Leases whose name begins with inv-tui-".to_owned())
}

/// Roles say in which namespace; this says about what.
fn event(write: &Write<'_>) -> Option<String> {
    if !write.is_in(&[HOSTS]) {
        return None;
    }
    let (namespace, host) = own_host(write.user).unwrap_or_default();
    let own = |event: &Value| {
        let about = event.get("regarding").or_else(|| event.get("involvedObject"));
        let word = |field: &str| about.and_then(|about| text(about.get(field))).unwrap_or_default();
        word("kind") == "Host" && word("name") == host && word("namespace") == namespace
    };
    let all = write.old.into_iter().chain(write.new).all(own) && write.namespace == namespace;
    (!all).then(|| "an agent writes only Events about its own Host, in its namespace".to_owned())
}

#[cfg(test)]
mod tests;
