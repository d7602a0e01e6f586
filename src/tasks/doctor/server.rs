//! What is at the other end: the server, who we are there, what it serves and lets us do, and what
//! the services have left behind on it.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::jiff::fmt::rfc2822;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{Api, ListParams, PostParams};
use kube::client::Body;
use kube::{Client, ResourceExt};
use serde_json::Value;
use tokio::time::Instant;

use super::{Findings, Weight};
use crate::error::{Error, Result};
use crate::model::DEFAULT_NAMESPACE;
use crate::model::diff::{StoredHost, at};
use crate::model::duration::short;
use crate::model::source::{Source, State};
use crate::store::client::{
    ConnectOptions, Connection, DEADLINE, LIFECYCLE, call, client_certificate, connect, explain,
};
use crate::store::definitions::definitions;
use crate::store::write;

/// A server that answers later than this is told of.
const SLOW: Duration = Duration::from_secs(2);
/// Clocks that are further apart than the first are told of, than the second they do harm: holds
/// and certificates begin and end at the wrong time.
const APART: (SignedDuration, SignedDuration) =
    (SignedDuration::from_secs(5), SignedDuration::from_secs(60));
/// A certificate that ends within this is told of.
const ENDS_SOON: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Most sources that are looked at.
const SOURCES: u32 = 500;

/// Looks at the server that these options lead to.
pub(super) async fn look(
    options: &ConnectOptions,
    namespace: Option<&str>,
    findings: &mut Findings,
) {
    certificate(options, findings).await;
    let connection = match connect(options).await {
        Ok(connection) => connection,
        Err(problem) => return findings.failed("connection", Weight::Problem, &problem),
    };
    let whom = format!("{} (context {})", connection.server, connection.context);
    if let Some(note) = &connection.note {
        findings.note("connection", note.as_str());
    }
    match version(&connection.client).await {
        Ok(Greeting { version, took, apart }) => {
            let millis = took.as_millis();
            if took > SLOW {
                findings.warn(
                    "connection",
                    format!("{whom} took {millis} ms to answer"),
                    "look at the load of the server and at the way to it",
                );
            } else {
                findings.fine(
                    "connection",
                    format!("{whom} answers in {millis} ms, Kubernetes {version}"),
                );
            }
            clock(apart, findings);
        }
        Err(problem) => return findings.failed("connection", Weight::Problem, &problem),
    }
    if !who(&connection, findings).await {
        return;
    }
    let served = definitions_of(&connection, findings).await;
    let named = namespace.unwrap_or(DEFAULT_NAMESPACE);
    if !namespace_is_there(&connection, named, findings).await || !served {
        return;
    }
    permissions(&connection, namespace, findings).await;
    fleet(&connection, named, findings).await;
    sources(&connection, named, findings).await;
    services(&connection, named, findings).await;
}

/// How long the client certificate of the kubeconfig lasts.
async fn certificate(options: &ConnectOptions, findings: &mut Findings) {
    const AREA: &str = "certificate";
    // what is wrong with the kubeconfig is told by the connection
    let Ok(Some(pem)) = client_certificate(options).await else { return };
    let Some(until) = crate::model::csr::not_after(&pem) else {
        return findings.problem(
            AREA,
            "the client certificate of the kubeconfig cannot be read",
            "check client-certificate-data of its user: it must be a certificate in PEM",
        );
    };
    let left = until.duration_since(Timestamp::now());
    let mend = "ask for a new one: an agent renews by itself, people see deploy/README.md";
    if left.is_negative() {
        findings.problem(AREA, format!("your client certificate has expired at {until}"), mend);
    } else if left < ENDS_SOON {
        let rest = short(left.as_secs());
        findings.warn(AREA, format!("your client certificate expires in {rest}"), mend);
    } else {
        findings.fine(AREA, format!("your client certificate lasts until {until}"));
    }
}

/// The first answer of a server.
struct Greeting {
    version: String,
    took: Duration,
    /// Its clock less ours; none if it does not tell the time.
    apart: Option<SignedDuration>,
}

async fn version(client: &Client) -> Result<Greeting> {
    let what = "cannot reach the API server";
    let ask = async || {
        let request = http::Request::get("/version").body(Body::empty());
        let request = request.map_err(|cause| Error::new(what).because(cause))?;
        let began = (Instant::now(), Timestamp::now());
        let answer = call(what, "get /version", DEADLINE, client.send(request)).await?;
        let took = began.0.elapsed();
        Ok::<_, Error>((answer, took, began.1))
    };
    // the first answer pays for the connection
    ask().await?;
    let (answer, took, began) = ask().await?;
    let there = answer.headers().get(http::header::DATE).and_then(|date| date.to_str().ok());
    let there = there.and_then(|date| rfc2822::parse(date).ok()).map(|zoned| zoned.timestamp());
    let here = began.saturating_add(took / 2).unwrap_or(began);
    let body = http_body_util::BodyExt::collect(answer.into_body()).await;
    let body = body.map_err(|cause| explain(what, "get /version", cause))?.to_bytes();
    let version: Value = serde_json::from_slice(&body).unwrap_or_default();
    Ok(Greeting {
        version: at(&version, "gitVersion").as_str().unwrap_or("of an unknown version").to_owned(),
        took,
        apart: there.map(|there| there.duration_since(here)),
    })
}

/// How far the clocks are apart. A server tells whole seconds, cut off.
pub(super) fn clock(apart: Option<SignedDuration>, findings: &mut Findings) {
    const AREA: &str = "clock";
    let Some(apart) = apart else {
        return findings.note(AREA, "the server does not tell its time");
    };
    let off = apart.abs();
    let seconds = off.as_secs();
    let way = if apart.is_negative() { "ahead of" } else { "behind" };
    let what = format!("this machine is {seconds} s {way} the server");
    let mend = "set both by NTP: holds, leases and certificates go by the clock";
    if off > APART.1 {
        findings.problem(AREA, what, mend);
    } else if off > APART.0 {
        findings.warn(AREA, what, mend);
    } else {
        findings.fine(AREA, "this machine and the server agree");
    }
}

async fn who(connection: &Connection, findings: &mut Findings) -> bool {
    let api: Api<SelfSubjectReview> = Api::all(connection.client.clone());
    let (params, question) = (PostParams::default(), SelfSubjectReview::default());
    let request = api.create(&params, &question);
    let needs = "create selfsubjectreviews";
    match call("cannot ask who you are", needs, DEADLINE, request).await {
        Ok(review) => {
            let info = review.status.and_then(|status| status.user_info).unwrap_or_default();
            let groups = info.groups.unwrap_or_default();
            let groups: Vec<&str> = groups
                .iter()
                .map(String::as_str)
                .filter(|g| *g != "system:authenticated")
                .collect();
            let of = if groups.is_empty() {
                String::new()
            } else {
                format!(" of {}", groups.join(", "))
            };
            findings.fine(
                "identity",
                format!("the server knows you as {}{of}", info.username.unwrap_or_default()),
            );
            true
        }
        Err(problem) => {
            findings.failed("identity", Weight::Problem, &problem);
            false
        }
    }
}

/// Whether every definition of ours is served, and has every field that we know.
async fn definitions_of(connection: &Connection, findings: &mut Findings) -> bool {
    const AREA: &str = "definitions";
    const INSTALL: &str = "install them with \"inv-tui --headless crds --apply\"";
    let api: Api<CustomResourceDefinition> = Api::all(connection.client.clone());
    let (mut missing, mut old) = (Vec::new(), Vec::new());
    for ours in definitions() {
        let name = ours.name_any();
        let what = format!("cannot read definition {name}");
        match call(&what, "get customresourcedefinitions", DEADLINE, api.get_opt(&name)).await {
            Ok(Some(theirs)) => {
                let lacks = lacking(&ours, &theirs);
                if !lacks.is_empty() {
                    let shown: Vec<&str> = lacks.iter().take(3).map(String::as_str).collect();
                    old.push(format!(
                        "{name} lacks {} fields ({}, …)",
                        lacks.len(),
                        shown.join(", ")
                    ));
                }
            }
            Ok(None) => missing.push(name),
            Err(problem) => {
                // who may not read definitions may still read what they define
                findings.note(AREA, format!("not compared: {}", crate::error::chain(&problem)));
                return true;
            }
        }
    }
    if !missing.is_empty() {
        findings.problem(AREA, format!("{} not there", missing.join(", ")), INSTALL);
        return false;
    }
    if old.is_empty() {
        findings
            .fine(AREA, "hosts, clusters, regions and sources are served as this version has them");
    } else {
        findings.warn(
            AREA,
            format!("of another version: {}", old.join("; ")),
            format!("what is written there is dropped; {INSTALL}"),
        );
    }
    true
}

/// Paths of fields that our definition has and theirs does not.
pub(super) fn lacking(
    ours: &CustomResourceDefinition,
    theirs: &CustomResourceDefinition,
) -> BTreeSet<String> {
    let paths = |definition: &CustomResourceDefinition| {
        let mut found = BTreeSet::new();
        let versions = serde_json::to_value(&definition.spec.versions).unwrap_or_default();
        for version in versions.as_array().into_iter().flatten() {
            let name = at(version, "name").as_str().unwrap_or_default();
            collect(at(at(version, "schema"), "openAPIV3Schema"), name, &mut found);
        }
        found
    };
    &paths(ours) - &paths(theirs)
}

fn collect(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    for (name, inner) in at(schema, "properties").as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        collect(inner, &path, found);
        found.insert(path);
    }
    for inner in [at(schema, "items"), at(schema, "additionalProperties")] {
        if inner.is_object() {
            collect(inner, path, found);
        }
    }
}

async fn namespace_is_there(connection: &Connection, name: &str, findings: &mut Findings) -> bool {
    let api: Api<Namespace> = Api::all(connection.client.clone());
    match call("cannot read the namespace", "get namespaces", DEADLINE, api.get_opt(name)).await {
        Ok(None) => {
            findings.problem(
                "namespace",
                format!("there is no namespace \"{name}\""),
                format!("make it with \"inv-tui --headless crds --apply -n {name}\", or name another one with -n"),
            );
            false
        }
        Ok(Some(_)) => {
            findings.fine("namespace", format!("\"{name}\" is there"));
            true
        }
        // who may not read namespaces may still read what is in them
        Err(_) => true,
    }
}

/// What we may do, by what the explorer needs it for.
async fn permissions(connection: &Connection, namespace: Option<&str>, findings: &mut Findings) {
    const AREA: &str = "permissions";
    const ASK: &str = "ask for a role of deploy/rbac.yaml, for example the group inv:operators";
    let mut refused = Vec::new();
    for (verb, resource, what_for) in [
        ("list", "hosts", None),
        ("watch", "hosts", None),
        ("list", "clusters", Some("budgets and offered playbooks")),
        ("list", "sources", Some("the view Sources")),
        ("patch", "hosts", Some("maintenance and runs")),
    ] {
        match write::may(connection, verb, resource, namespace).await {
            Ok(true) => {}
            Ok(false) => match what_for {
                None => {
                    let place = namespace.map_or_else(
                        || "all namespaces".to_owned(),
                        |name| format!("namespace \"{name}\""),
                    );
                    return findings.problem(
                        AREA,
                        format!("you may not {verb} {resource} in {place}"),
                        if namespace.is_none() {
                            "name the namespace that you may read with -n, or ask for a role of deploy/rbac.yaml"
                        } else {
                            ASK
                        },
                    );
                }
                Some(what_for) => refused.push(format!("{what_for} ({verb} {resource})")),
            },
            Err(problem) => return findings.failed(AREA, Weight::Note, &problem),
        }
    }
    if let Ok(Some(missing)) = write::missing_to_decide(connection).await {
        refused.push(format!("deciding on certificates ({missing})"));
    }
    if refused.is_empty() {
        findings.fine(AREA, "everything that the explorer can do is allowed to you");
    } else {
        findings.note(AREA, format!("not allowed to you: {}", refused.join(", ")));
    }
}

async fn fleet(connection: &Connection, namespace: &str, findings: &mut Findings) {
    const AREA: &str = "fleet";
    let api: Api<StoredHost> = Api::namespaced(connection.client.clone(), namespace);
    let one = ListParams::default().limit(1);
    match call("cannot list hosts", "list hosts", DEADLINE, api.list(&one)).await {
        Ok(list) if list.items.is_empty() => findings.warn(
            AREA,
            format!("there are no hosts in \"{namespace}\""),
            "fill it with \"inv-tui --headless fetch\", or see a made-up fleet with \"inv-tui --demo\"",
        ),
        Ok(list) => {
            let count = list.metadata.remaining_item_count.unwrap_or(0) + 1;
            let word = if count == 1 { "host" } else { "hosts" };
            findings.fine(AREA, format!("{count} {word} in \"{namespace}\""));
        }
        Err(problem) => findings.failed(AREA, Weight::Problem, &problem),
    }
}

async fn sources(connection: &Connection, namespace: &str, findings: &mut Findings) {
    const AREA: &str = "sources";
    let api: Api<Source> = Api::namespaced(connection.client.clone(), namespace);
    let some = ListParams::default().limit(SOURCES);
    let list = match call("cannot list sources", "list sources", DEADLINE, api.list(&some)).await {
        Ok(list) => list.items,
        Err(problem) => return findings.failed(AREA, Weight::Note, &problem),
    };
    if list.is_empty() {
        return findings.note(AREA, "no fetcher has written here yet");
    }
    let now = Timestamp::now();
    for source in &list {
        told(source, now, findings);
    }
}

/// What is to be said of one source.
pub(super) fn told(source: &Source, now: Timestamp, findings: &mut Findings) {
    const AREA: &str = "sources";
    let name = source.name_any();
    let state = source.state(now);
    let status = source.status.clone().unwrap_or_default();
    let ago = status.last_pass.as_ref().map(|at| short(now.as_second() - at.0.as_second()));
    let ago = ago.map_or_else(String::new, |ago| format!(", last pass {ago} ago"));
    let why = || {
        let errors = status
            .scopes
            .iter()
            .filter_map(|scope| Some(format!("{}: {}", scope.name, scope.error.as_ref()?)));
        let conditions = status.conditions.iter().filter(|c| {
            !c.message.is_empty()
                && matches!(
                    (c.type_.as_str(), c.status.as_str()),
                    ("Healthy", "False") | ("BreakerOpen", "True")
                )
        });
        conditions.map(|c| c.message.clone()).chain(errors).next().unwrap_or_default()
    };
    let line = format!("\"{name}\" is {}{ago}", state.as_str());
    let line_and_why = || format!("{line}: {}", why());
    match state {
        State::Healthy => findings.fine(AREA, line),
        State::NeverPassed => findings.note(AREA, line),
        State::Stale => findings.warn(
            AREA,
            line,
            "its fetcher does not run, or cannot reach this server: look at its log and unit",
        ),
        State::BreakerOpen => findings.problem(
            AREA,
            line_and_why(),
            "look at the account and its permissions; if the hosts are really gone, run once with --accept-loss SCOPE",
        ),
        State::NotRead => findings.problem(
            AREA,
            line_and_why(),
            "look at its credentials and at the way to the provider; the fetcher's log says more",
        ),
        State::Incomplete => {
            findings.warn(AREA, line_and_why(), "the fetcher's log names each item and scope");
        }
    }
}

/// The services that keep the fleet true, by their Leases.
async fn services(connection: &Connection, namespace: &str, findings: &mut Findings) {
    const AREA: &str = "services";
    let api: Api<Lease> = Api::namespaced(connection.client.clone(), namespace);
    let what = "cannot read the lease of lifecycle";
    let lease = match call(what, "get leases", DEADLINE, api.get_opt(LIFECYCLE)).await {
        Ok(lease) => lease,
        Err(problem) => return findings.failed(AREA, Weight::Note, &problem),
    };
    match lease.as_ref().and_then(|lease| held(lease, Timestamp::now())) {
        Some(holder) => findings.fine(AREA, format!("lifecycle runs as {holder}")),
        None => findings.warn(
            AREA,
            "lifecycle does not run",
            "start \"inv-tui --headless lifecycle\": without it holds do not end by themselves, and phase and roll-ups stay as they were",
        ),
    }
}

/// Who holds a Lease now.
pub(super) fn held(lease: &Lease, now: Timestamp) -> Option<String> {
    let spec = lease.spec.as_ref()?;
    let holder = spec.holder_identity.clone().filter(|holder| !holder.is_empty())?;
    let lasts = i64::from(spec.lease_duration_seconds.unwrap_or(0));
    let renewed = spec.renew_time.as_ref()?.0;
    // clocks may differ a little
    (now.as_second() - renewed.as_second() <= lasts + APART.0.as_secs()).then_some(holder)
}
