//! What each role may do: one table, read top to bottom. What no line of it allows is forbidden.
//!
//! A role is a group: of a client certificate (O) or of a token. Its rights are those of the
//! Kubernetes `ClusterRole` in `deploy/rbac.yaml` that is bound to that group (a test compares), and
//! what RBAC cannot say: an agent reaches only what belongs to its own Host, a service only Leases of
//! services. What a change may be is in [`walls`](super::walls).

use serde_json::{Map, Value, json};

use super::{AUTHENTICATED, Action, UNAUTHENTICATED, User};
use crate::server::status::{ApiError, qualified};

/// Everything, as in any cluster.
pub const MASTERS: &str = "system:masters";
/// Everything.
pub const ADMINS: &str = "inv:admins";
/// Looks at the inventory.
pub const VIEWERS: &str = "inv:viewers";
/// Changes what people decide about hosts.
pub const OPERATORS: &str = "inv:operators";
/// Fetches hosts from their sources and writes them down.
pub const FETCHERS: &str = "inv:fetchers";
/// Approves or denies certificate requests.
pub const APPROVERS: &str = "inv:approvers";
/// The lifecycle controller.
pub const LIFECYCLE: &str = "inv:lifecycle";
/// Runners of Ansible, for hosts without an agent.
pub const RUNNERS: &str = "inv:runners";
/// The decommission service.
pub const DECOMMISSIONERS: &str = "inv:decommissioners";
/// The monitor: targets for Prometheus, silences in Alertmanager.
pub const MONITORS: &str = "inv:monitors";
/// Who renders files of other programs.
pub const RENDERERS: &str = "inv:renderers";
/// Agents, one on each host. The user name says which: `inv:host:NAMESPACE:NAME`.
pub const HOSTS: &str = "inv:hosts";
/// Machines that have no certificate yet and may ask for one.
pub const BOOTSTRAPPERS: &str = "system:bootstrappers:inv";

const INVENTORY: &str = "inventory.inv-tui.dev";
const CERTIFICATES: &str = "certificates.k8s.io";
const LEASES: &str = "coordination.k8s.io";
const EVENTS: &[&str] = &["", "events.k8s.io"];
/// What we write.
const NEW_EVENTS: &[&str] = &["events.k8s.io"];
const READ: &[&str] = &["get", "list", "watch"];
/// Whoever writes an Event counts its repeats by a patch.
const RECORD: &[&str] = &["create", "patch"];
/// Takes and keeps the Lease of a service.
const LEAD: &[&str] = &["create", "patch", "update"];

/// Which objects a line is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    /// All of them.
    Any,
    /// Those of these names; `domain/*` is every name in that domain.
    Named(&'static [&'static str]),
    /// Of the name and namespace of the agent's own Host.
    OwnName,
    /// In the namespace of the agent's own Host.
    OwnNamespace,
    /// Events as an agent names them, its Host's name and then a number.
    OwnEvent,
    /// Certificate requests that the user made.
    OwnRequest,
}

struct Rule {
    groups: &'static [&'static str],
    verbs: &'static [&'static str],
    api_groups: &'static [&'static str],
    resources: &'static [&'static str],
    which: Which,
}

const fn rule(
    groups: &'static [&'static str],
    verbs: &'static [&'static str],
    api_groups: &'static [&'static str],
    resources: &'static [&'static str],
    which: Which,
) -> Rule {
    Rule { groups, verbs, api_groups, resources, which }
}

const ALL: &[&str] = &["*"];
/// Who looks at everything.
const READERS: &[&str] = &[VIEWERS, OPERATORS, APPROVERS];
const REQUESTS: &str = "certificatesigningrequests";
const REVIEWS: &[&str] = &["selfsubjectaccessreviews", "selfsubjectrulesreviews"];
const SIGNERS: &[&str] = &["kubernetes.io/kube-apiserver-client", "inventory.inv-tui.dev/*"];
/// The Leases by which services of several say which one works. None has the name of a host.
const LEADERS: &[&str] = &["inv-tui-*"];

#[rustfmt::skip]
static RULES: &[Rule] = &[
    // group              verbs                  API groups                   resources                         which
    rule(&[MASTERS, ADMINS], ALL,                ALL,                         ALL,                              Which::Any),
    rule(&[AUTHENTICATED], &["create"],          &["authorization.k8s.io"],   REVIEWS,                          Which::Any),
    rule(&[AUTHENTICATED], &["create"],          &["authentication.k8s.io"],  &["selfsubjectreviews"],          Which::Any),

    rule(READERS,         READ,                  &[INVENTORY],                &["hosts", "clusters", "regions", "sources"], Which::Any),
    rule(READERS,         READ,                  EVENTS,                      &["events"],                      Which::Any),
    rule(READERS,         READ,                  &[LEASES],                   &["leases"],                      Which::Any),
    rule(READERS,         READ,                  &[CERTIFICATES],             &[REQUESTS],                      Which::Any),
    rule(READERS,         READ,                  &[""],                       &["namespaces"],                  Which::Any),
    rule(READERS,         READ,                  &["apiextensions.k8s.io"],   &["customresourcedefinitions"],   Which::Any),

    rule(&[OPERATORS],    &["patch"],            &[INVENTORY],                &["hosts", "clusters/status"],    Which::Any),
    rule(&[OPERATORS],    RECORD,                NEW_EVENTS,                  &["events"],                      Which::Any),

    rule(&[FETCHERS],     READ,                  &[INVENTORY],                &["hosts", "sources"],            Which::Any),
    rule(&[FETCHERS],     &["create", "patch", "delete"], &[INVENTORY],       &["hosts"],                       Which::Any),
    rule(&[FETCHERS],     &["create", "patch"],  &[INVENTORY],                &["sources"],                     Which::Any),
    rule(&[FETCHERS],     &["patch"],            &[INVENTORY],                &["hosts/status", "sources/status"], Which::Any),
    rule(&[FETCHERS],     &["get"],              &[LEASES],                   &["leases"],                      Which::Any),
    rule(&[FETCHERS],     LEAD,                  &[LEASES],                   &["leases"],                      Which::Named(LEADERS)),
    rule(&[FETCHERS],     &["get"],              &[""],                       &["namespaces"],                  Which::Any),

    rule(&[APPROVERS],    &["update", "patch"],  &[CERTIFICATES],             &["certificatesigningrequests/approval"], Which::Any),
    rule(&[APPROVERS],    &["approve"],          &[CERTIFICATES],             &["signers"],                     Which::Named(SIGNERS)),
    rule(&[APPROVERS],    LEAD,                  &[LEASES],                   &["leases"],                      Which::Named(LEADERS)),
    rule(&[APPROVERS],    RECORD,                NEW_EVENTS,                  &["events"],                      Which::Any),

    rule(&[LIFECYCLE],    READ,                  &[INVENTORY],                &["hosts", "clusters", "regions"], Which::Any),
    rule(&[LIFECYCLE],    &["patch"],            &[INVENTORY],                &["hosts", "hosts/status", "clusters/status", "regions/status"], Which::Any),
    rule(&[LIFECYCLE],    READ,                  &[LEASES],                   &["leases"],                      Which::Any),
    rule(&[LIFECYCLE],    LEAD,                  &[LEASES],                   &["leases"],                      Which::Named(LEADERS)),
    rule(&[LIFECYCLE],    READ,                  &[CERTIFICATES],             &[REQUESTS],                      Which::Any),
    rule(&[LIFECYCLE],    RECORD,                NEW_EVENTS,                  &["events"],                      Which::Any),

    rule(&[RUNNERS],      READ,                  &[INVENTORY],                &["hosts", "clusters"],           Which::Any),
    rule(&[RUNNERS],      &["patch"],            &[INVENTORY],                &["hosts/status"],                Which::Any),
    rule(&[RUNNERS],      READ,                  &[LEASES],                   &["leases"],                      Which::Any),
    rule(&[RUNNERS],      LEAD,                  &[LEASES],                   &["leases"],                      Which::Named(LEADERS)),
    rule(&[RUNNERS],      RECORD,                NEW_EVENTS,                  &["events"],                      Which::Any),

    rule(&[DECOMMISSIONERS], READ,               &[INVENTORY],                &["hosts"],                       Which::Any),
    rule(&[DECOMMISSIONERS], &["patch"],         &[INVENTORY],                &["hosts", "hosts/status"],       Which::Any),
    rule(&[DECOMMISSIONERS], &["get", "delete"], &[LEASES],                   &["leases"],                      Which::Any),
    rule(&[DECOMMISSIONERS], LEAD,               &[LEASES],                   &["leases"],                      Which::Named(LEADERS)),
    rule(&[DECOMMISSIONERS], RECORD,             NEW_EVENTS,                  &["events"],                      Which::Any),
    rule(&[MONITORS],     READ,                  &[INVENTORY],                &["hosts", "clusters"],           Which::Any),
    rule(&[MONITORS],     &["get"],              &[""],                       &["namespaces"],                  Which::Any),
    rule(&[MONITORS],     &["get"],              &[LEASES],                   &["leases"],                      Which::Any),
    rule(&[MONITORS],     LEAD,                  &[LEASES],                   &["leases"],                      Which::Named(LEADERS)),
    rule(&[RENDERERS],    READ,                  &[INVENTORY],                &["hosts"],                       Which::Any),

    rule(&[HOSTS],        READ,                  &[INVENTORY],                &["hosts"],                       Which::Any),
    rule(&[HOSTS],        &["patch"],            &[INVENTORY],                &["hosts/status"],                Which::OwnName),
    rule(&[HOSTS],        &["get", "create", "patch", "update"], &[LEASES],   &["leases"],                      Which::OwnName),
    rule(&[HOSTS],        &["create"],           NEW_EVENTS,                  &["events"],                      Which::OwnNamespace),
    rule(&[HOSTS],        &["patch"],            NEW_EVENTS,                  &["events"],                      Which::OwnEvent),

    rule(&[HOSTS, BOOTSTRAPPERS], &["create"],   &[CERTIFICATES],             &[REQUESTS],                      Which::Any),
    rule(&[HOSTS, BOOTSTRAPPERS], READ,          &[CERTIFICATES],             &[REQUESTS],                      Which::OwnRequest),
];

/// Paths that are about no resource: who may `GET` them. `/*` at the end is everything below.
#[rustfmt::skip]
static PATHS: &[(&[&str], &[&str])] = &[
    (&[MASTERS, ADMINS], ALL),
    (&[AUTHENTICATED, UNAUTHENTICATED], &["/healthz", "/livez", "/readyz", "/version", "/version/"]),
    (&[AUTHENTICATED], &["/healthz/*", "/livez/*", "/readyz/*"]),
    (&[AUTHENTICATED], &["/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*"]),
];

/// Whether an action may be done, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Whether.
    pub allowed: bool,
    /// Why, for people. Empty if it may not be done.
    pub reason: String,
    /// Only for certificate requests of the user's own: the caller must check each object with
    /// [`is_own`](crate::server::certificates::is_own) before it is shown.
    pub own: bool,
}

/// Whether `user` may do `action`.
pub fn allows(user: &User, action: &Action) -> Decision {
    if action.resource.is_empty() {
        return allows_path(user, action);
    }
    let resource = if action.subresource.is_empty() {
        action.resource.clone()
    } else {
        format!("{}/{}", action.resource, action.subresource)
    };
    let mut best = Decision::default();
    for rule in RULES {
        let Some(group) = rule.groups.iter().find(|group| user.is_in(group)) else { continue };
        let matches = has(rule.verbs, &action.verb)
            && has(rule.api_groups, &action.group)
            && has(rule.resources, &resource)
            && reaches(rule.which, user, action);
        if matches {
            let own = rule.which == Which::OwnRequest;
            best = Decision { allowed: true, reason: format!("allowed to group {group:?}"), own };
            if !own {
                break;
            }
        }
    }
    best
}

fn allows_path(user: &User, action: &Action) -> Decision {
    for (groups, paths) in PATHS {
        let Some(group) = groups.iter().find(|group| user.is_in(group)) else { continue };
        let get = matches!(action.verb.as_str(), "get" | "head") || *paths == ALL;
        if get && paths.iter().any(|path| covers(path, &action.path)) {
            return Decision {
                allowed: true,
                reason: format!("allowed to group {group:?}"),
                own: false,
            };
        }
    }
    Decision::default()
}

fn has(list: &[&str], wanted: &str) -> bool {
    list.iter().any(|one| *one == "*" || *one == wanted)
}

/// `*` covers everything, `a/*` what is below `a/`.
fn covers(pattern: &str, text: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => text.starts_with(start),
        None => pattern == text,
    }
}

fn reaches(which: Which, user: &User, action: &Action) -> bool {
    let own = || own_host(user).filter(|(namespace, _)| *namespace == action.namespace);
    match which {
        Which::Any => true,
        Which::Named(names) => names.iter().any(|name| covers(name, &action.name)),
        Which::OwnName => own().is_some_and(|(_, name)| name == action.name),
        Which::OwnNamespace => own().is_some(),
        // A number without a dot: "a" must not reach the events of a Host "a.b".
        Which::OwnEvent => own().is_some_and(|(_, name)| {
            let rest = action.name.strip_prefix(name).and_then(|rest| rest.strip_prefix('.'));
            rest.is_some_and(|rest| !rest.is_empty() && !rest.contains('.'))
        }),
        // A list of all of them would have to leave out what belongs to others.
        Which::OwnRequest => !action.name.is_empty(),
    }
}

/// Namespace and name of the Host that an agent runs on.
pub fn own_host(user: &User) -> Option<(&str, &str)> {
    let (namespace, name) = user.name.strip_prefix("inv:host:")?.split_once(':')?;
    let complete = !namespace.is_empty() && !name.is_empty() && !name.contains(':');
    (complete && user.is_in(HOSTS)).then_some((namespace, name))
}

/// What `user` may do in `namespace`, as a `SelfSubjectRulesReview` lists it: `resourceRules` and
/// `nonResourceRules`.
pub fn rules(user: &User, namespace: &str) -> (Vec<Value>, Vec<Value>) {
    let mut resources = Vec::new();
    for rule in RULES.iter().filter(|rule| rule.groups.iter().any(|group| user.is_in(group))) {
        let own = own_host(user).filter(|(own, _)| *own == namespace);
        let names = match (rule.which, own) {
            (Which::Any | Which::OwnRequest, _) | (Which::OwnNamespace, Some(_)) => None,
            (Which::Named(names), _) => Some(json!(names)),
            (Which::OwnName, Some((_, name))) => Some(json!([name])),
            // Events by the beginning of their name cannot be said in this list.
            _ => continue,
        };
        let mut entry = Map::new();
        entry.insert("verbs".to_owned(), json!(rule.verbs));
        entry.insert("apiGroups".to_owned(), json!(rule.api_groups));
        entry.insert("resources".to_owned(), json!(rule.resources));
        if let Some(names) = names {
            entry.insert("resourceNames".to_owned(), names);
        }
        resources.push(entry.into());
    }
    let paths = PATHS
        .iter()
        .filter(|(groups, _)| groups.iter().any(|group| user.is_in(group)))
        .map(|(_, paths)| {
            let verbs: &[&str] = if *paths == ALL { ALL } else { &["get", "head"] };
            json!({"verbs": verbs, "nonResourceURLs": paths})
        })
        .collect();
    (resources, paths)
}

/// 403: `user` may not do `action`.
pub fn forbidden(user: &User, action: &Action) -> ApiError {
    let Action { verb, group, resource, subresource, namespace, name, path } = action;
    if resource.is_empty() {
        let message = format!("forbidden: User {:?} cannot {verb} path {path:?}", user.name);
        return ApiError::new(403, "Forbidden", message);
    }
    let subresource =
        if subresource.is_empty() { String::new() } else { format!("/{subresource}") };
    let place = if namespace.is_empty() {
        "at the cluster scope".to_owned()
    } else {
        format!("in the namespace {namespace:?}")
    };
    let why = format!(
        "User {:?} cannot {verb} resource \"{resource}{subresource}\" in API group {group:?} {place}",
        user.name
    );
    refused(group, resource, name, &why)
}

/// 403 about an object, for the reason given.
pub fn refused(group: &str, resource: &str, name: &str, why: &str) -> ApiError {
    let what = qualified(group, resource);
    let name_shown = if name.is_empty() { String::new() } else { format!(" {name:?}") };
    let message = format!("{what}{name_shown} is forbidden: {why}");
    ApiError::new(403, "Forbidden", message).about(group, resource, name)
}

#[cfg(test)]
mod tests;
