//! What the server knows of some hosts, read at once: for acts that must know more of them than an
//! explorer keeps.

use std::collections::{BTreeSet, HashMap};

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::jiff::Timestamp;
use kube::Resource;
use kube::api::{Api, GetParams, ListParams};
use kube::core::Request;
use serde_json::Value;

use crate::error::Result;
use crate::model::change::Target;
use crate::model::cluster::Cluster;
use crate::model::host::{AnsibleRequest, Host};
use crate::model::key::{ServerId, Uid};
use crate::model::policy::Facts;
use crate::model::region::Region;
use crate::model::source::Source;
use crate::store::client::{Connection, DEADLINE, call};
use crate::store::write::read_host;

/// Up to so many hosts are read one by one; more are listed.
const ONE_BY_ONE: usize = 100;
/// Requests under way at once.
const AT_ONCE: usize = 10;
/// Hosts of a page.
const PAGE: u32 = 500;

/// A kind of object that can be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A Host.
    Host,
    /// A Cluster.
    Cluster,
    /// A Region, which lives in no namespace.
    Region,
    /// A Source.
    Source,
    /// A request for a certificate, which lives in no namespace.
    Request,
}

impl Kind {
    /// Its name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Host => "Host",
            Self::Cluster => "Cluster",
            Self::Region => "Region",
            Self::Source => "Source",
            Self::Request => "CertificateSigningRequest",
        }
    }
}

/// Where an object is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The server that has it.
    pub server: ServerId,
    /// What it is.
    pub kind: Kind,
    /// Its namespace; empty where it lives in none.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Reads one object as the server has it: whole, as it came, whatever our types know of it.
///
/// # Errors
/// What the server said; `None` when there is no such object.
pub async fn object(connection: &Connection, at: &Place) -> Result<Option<Value>> {
    let namespace = Some(at.namespace.as_str());
    let (path, needs) = match at.kind {
        Kind::Host => (Host::url_path(&(), namespace), "get hosts"),
        Kind::Cluster => (Cluster::url_path(&(), namespace), "get clusters"),
        Kind::Region => (Region::url_path(&(), None), "get regions"),
        Kind::Source => (Source::url_path(&(), namespace), "get sources"),
        Kind::Request => {
            (CertificateSigningRequest::url_path(&(), None), "get certificatesigningrequests")
        }
    };
    let read = async {
        let request = Request::new(path).get(&at.name, &GetParams::default());
        let request = request.map_err(kube::Error::BuildRequest)?;
        match connection.client.request::<Value>(request).await {
            Ok(object) => Ok(Some(object)),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(None),
            Err(cause) => Err(cause),
        }
    };
    call(&format!("cannot read \"{}\"", at.name), needs, DEADLINE, read).await
}

/// What is known of a host.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// The object, as it is now.
    pub target: Target,
    /// What the checks must know.
    pub facts: Facts,
    /// The run that is asked for.
    pub request: Option<AnsibleRequest>,
}

impl Known {
    fn of(server: ServerId, host: Host, now: Timestamp) -> Self {
        let facts = Facts::of(&host, now);
        let meta = host.metadata;
        Self {
            target: Target {
                uid: Uid::on(server, meta.uid.unwrap_or_default()),
                namespace: meta.namespace.unwrap_or_default(),
                name: meta.name.unwrap_or_default(),
                resource_version: meta.resource_version.unwrap_or_default(),
            },
            facts,
            request: host.spec.ansible,
        }
    }
}

/// Reads these hosts of one server as of `now`, in their order. One that is gone, or is another object by now, is
/// left out.
///
/// # Errors
/// What the server said.
pub async fn known(
    connection: &Connection,
    wanted: &[Target],
    now: Timestamp,
) -> Result<Vec<Known>> {
    if wanted.len() <= ONE_BY_ONE {
        let one = |target: Target| async move {
            read_host(connection, &target.namespace, &target.name).await
        };
        let hosts: Vec<Option<Host>> =
            stream::iter(wanted.to_vec()).map(one).buffered(AT_ONCE).try_collect().await?;
        let known = hosts.into_iter().flatten().map(|host| Known::of(connection.id, host, now));
        let meant: BTreeSet<&str> = wanted.iter().map(|target| target.uid.as_str()).collect();
        return Ok(known.filter(|known| meant.contains(known.target.uid.as_str())).collect());
    }
    let mut found: HashMap<String, Known> = HashMap::new();
    let meant: BTreeSet<&str> = wanted.iter().map(|target| target.uid.as_str()).collect();
    let namespaces: BTreeSet<&str> = wanted.iter().map(|t| t.namespace.as_str()).collect();
    for namespace in namespaces {
        let api: Api<Host> = Api::namespaced(connection.client.clone(), namespace);
        let mut params = ListParams::default().limit(PAGE);
        loop {
            let page = api.list(&params);
            let page = call("cannot read the hosts", "list hosts", DEADLINE, page).await?;
            for host in page.items {
                let known = Known::of(connection.id, host, now);
                if meant.contains(known.target.uid.as_str()) {
                    found.insert(known.target.uid.as_str().to_owned(), known);
                }
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => break,
            }
        }
    }
    Ok(wanted.iter().filter_map(|target| found.remove(target.uid.as_str())).collect())
}
