//! The definitions of our resources, and how they get onto a server.

use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::{CustomResourceExt, ResourceExt};

use super::client::{Connection, DEADLINE, OPERATOR, call};
use crate::error::{Error, Result};
use crate::model::{cluster::Cluster, host::Host, region::Region, source::Source};

/// Our definitions, in the order in which they are printed.
pub fn definitions() -> Vec<CustomResourceDefinition> {
    vec![Host::crd(), Cluster::crd(), Region::crd(), Source::crd()]
}

/// Installs the definitions by server-side apply, waits until the server serves them, and makes
/// the namespace if it is missing. `say` gets one line for each thing done.
///
/// # Errors
/// The server refuses a definition or the namespace, or does not serve them in time.
pub async fn apply(
    connection: &Connection,
    namespace: &str,
    timeout: Duration,
    mut say: impl FnMut(&str),
) -> Result<()> {
    let client = &connection.client;
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let params = PatchParams::apply(OPERATOR).force();
    for crd in definitions() {
        let name = crd.name_any();
        let what = format!("cannot install {name}");
        call(
            &what,
            "patch customresourcedefinitions",
            DEADLINE,
            api.patch(&name, &params, &Patch::Apply(&crd)),
        )
        .await?;
        say(&format!("{name} applied"));
    }
    let deadline = tokio::time::Instant::now() + timeout;
    for crd in definitions() {
        wait_until_served(connection, &crd, deadline, timeout).await?;
        say(&format!("{} served", crd.name_any()));
    }
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let what = format!("cannot read namespace \"{namespace}\"");
    if call(&what, "get namespaces", DEADLINE, namespaces.get_opt(namespace)).await?.is_none() {
        let object = Namespace {
            metadata: kube::api::ObjectMeta {
                name: Some(namespace.to_owned()),
                ..Default::default()
            },
            ..Default::default()
        };
        let what = format!("cannot make namespace \"{namespace}\"");
        call(
            &what,
            "patch namespaces",
            DEADLINE,
            namespaces.patch(namespace, &params, &Patch::Apply(&object)),
        )
        .await?;
        say(&format!("namespace/{namespace} made"));
    }
    Ok(())
}

/// A definition can be established while its list still answers 404 or 429 for a moment: what
/// counts is that a list answers.
async fn wait_until_served(
    connection: &Connection,
    crd: &CustomResourceDefinition,
    deadline: tokio::time::Instant,
    timeout: Duration,
) -> Result<()> {
    let version = crd.spec.versions.first().map_or("", |v| v.name.as_str());
    let resource = kube::api::ApiResource {
        group: crd.spec.group.clone(),
        version: version.to_owned(),
        api_version: format!("{}/{version}", crd.spec.group),
        kind: crd.spec.names.kind.clone(),
        plural: crd.spec.names.plural.clone(),
    };
    let api: Api<kube::api::DynamicObject> = Api::all_with(connection.client.clone(), &resource);
    let name = crd.name_any();
    let one = ListParams::default().limit(1);
    loop {
        let last = match tokio::time::timeout_at(deadline, api.list(&one)).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(cause)) => Some(cause),
            Err(_) => None,
        };
        if tokio::time::Instant::now() >= deadline {
            let error = Error::new(format!("{name} is not served after {} s", timeout.as_secs()))
                .hint(format!("see the conditions in \"kubectl get crd {name} -o yaml\""));
            return Err(match last {
                Some(cause) => error.because(cause),
                None => error,
            });
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
