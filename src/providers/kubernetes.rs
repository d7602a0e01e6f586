//! Machines of Cluster API, or Nodes, from another cluster by its kubeconfig. Lists come in pages of one
//! snapshot; nothing is read but these two kinds.

mod answer;
mod map;

use std::path::PathBuf;

use futures::future::{BoxFuture, FutureExt};
use futures::stream::{self, BoxStream, StreamExt};
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use kube::core::GroupVersionKind;
use tokio::sync::OnceCell;

use super::wire::Tokens;
use super::{Page, Provider, ProviderError, ProviderErrorKind, Scope};
use crate::error::{Error, Result};
use crate::model::source::SourceType;
use crate::store::client::{ConnectOptions, DEADLINE, connect_to_cluster, explain};

/// Objects in one page; a whole page must fit into an answer, see [`answer`].
const PAGE: u32 = 250;
/// API group of Cluster API.
const CLUSTER_API: &str = "cluster.x-k8s.io";
/// Its versions that we know, the best first.
const VERSIONS: [&str; 2] = ["v1beta2", "v1beta1"];

/// What to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Machines of Cluster API.
    Machines,
    /// Nodes.
    Nodes,
}

/// Which cluster, and what of it.
#[derive(Clone, Debug)]
pub struct KubernetesOptions {
    /// Its kubeconfig.
    pub kubeconfig: PathBuf,
    /// Context of the kubeconfig. None: its current one.
    pub context: Option<String>,
    /// What to list.
    pub kind: Kind,
    /// Namespace of the machines. None: all.
    pub namespace: Option<String>,
    /// Begin of the names of hosts; another one for each cluster, since names are its own.
    pub prefix: String,
}

/// Another cluster.
pub struct Kubernetes {
    options: KubernetesOptions,
    client: OnceCell<Client>,
}

impl Kubernetes {
    /// A cluster. It is not asked anything yet.
    pub fn new(options: KubernetesOptions) -> Self {
        Self { options, client: OnceCell::new() }
    }

    fn what(&self) -> &'static str {
        match self.options.kind {
            Kind::Machines => "cannot list the machines",
            Kind::Nodes => "cannot list the nodes",
        }
    }

    /// What the role of the kubeconfig's user needs.
    fn needs(&self) -> &'static str {
        match self.options.kind {
            Kind::Machines => "list machines.cluster.x-k8s.io",
            Kind::Nodes => "list nodes",
        }
    }

    async fn client(&self) -> Result<Client, ProviderError> {
        let options = ConnectOptions {
            kubeconfig: Some(self.options.kubeconfig.clone()),
            context: self.options.context.clone(),
            ..ConnectOptions::default()
        };
        let connect = || async {
            connect_to_cluster(&options).await.map(|connection| answer::bounded(connection.client))
        };
        let client = self.client.get_or_try_init(connect).await;
        let client = client.map_err(|error| ProviderError {
            kind: ProviderErrorKind::Credentials,
            error: error.as_usage(),
        })?;
        Ok(client.clone())
    }

    /// The kind as the cluster serves it now.
    async fn resource(&self, client: &Client) -> Result<ApiResource, ProviderError> {
        if self.options.kind == Kind::Nodes {
            return Ok(ApiResource::erase::<k8s_openapi::api::core::v1::Node>(&()));
        }
        let groups = self.bounded(client.list_api_groups()).await?;
        let group = groups.groups.iter().find(|group| group.name == CLUSTER_API);
        let served = |version: &&&str| {
            group.is_some_and(|g| g.versions.iter().any(|v| v.version == **version))
        };
        let version = VERSIONS.iter().find(served).ok_or_else(|| ProviderError {
            kind: ProviderErrorKind::Other,
            error: Error::new(format!("{}: the cluster serves no {CLUSTER_API}", self.what()))
                .hint("name the kubeconfig of the management cluster"),
        })?;
        let kind = GroupVersionKind::gvk(CLUSTER_API, version, "Machine");
        Ok(ApiResource::from_gvk_with_plural(&kind, "machines"))
    }

    /// One call with a deadline.
    async fn bounded<T>(
        &self,
        call: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, ProviderError> {
        let what = self.what();
        match tokio::time::timeout(DEADLINE * 3, call).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(kube::Error::Service(cause))) if cause.is::<answer::TooLong>() => {
                let kind = ProviderErrorKind::Other;
                Err(ProviderError { kind, error: Error::new(what).because(cause) })
            }
            Ok(Err(cause)) => {
                let kind = match &cause {
                    kube::Error::Api(status) if status.code == 401 => {
                        ProviderErrorKind::Credentials
                    }
                    kube::Error::Api(status) if status.code == 403 || status.is_forbidden() => {
                        ProviderErrorKind::Denied
                    }
                    kube::Error::Api(status) if status.code == 429 => ProviderErrorKind::Throttled,
                    kube::Error::Api(_) | kube::Error::SerdeError(_) => ProviderErrorKind::Other,
                    _ => ProviderErrorKind::Unreachable,
                };
                Err(ProviderError { kind, error: explain(what, self.needs(), cause) })
            }
            Err(_) => Err(ProviderError {
                kind: ProviderErrorKind::Unreachable,
                error: Error::new(format!(
                    "{what}: no answer after {} s",
                    (DEADLINE * 3).as_secs()
                )),
            }),
        }
    }

    async fn begin(&self) -> Result<Listing, ProviderError> {
        let client = self.client().await?;
        let resource = self.resource(&client).await?;
        let api = match &self.options.namespace {
            Some(namespace) if self.options.kind == Kind::Machines => {
                Api::namespaced_with(client, namespace, &resource)
            }
            _ => Api::all_with(client, &resource),
        };
        Ok(Listing { api, next: Some(String::new()), tokens: Tokens::default() })
    }

    async fn next_page(&self, listing: &mut Listing) -> Result<Option<Page>, ProviderError> {
        let Some(token) = listing.next.take() else { return Ok(None) };
        let mut params = ListParams::default().limit(PAGE);
        if !token.is_empty() {
            params = params.continue_token(&token);
        }
        let list = self.bounded(listing.api.list(&params)).await?;
        listing.next = list.metadata.continue_.filter(|next| !next.is_empty());
        if listing.next.as_ref().is_some_and(|next| !listing.tokens.take(next)) {
            return Err(super::pages::odd(
                self.what(),
                "the server sent the same page token twice",
            ));
        }
        let mut page = Page::default();
        for object in &list.items {
            let host = match self.options.kind {
                Kind::Machines => map::machine(object, &self.options.prefix),
                Kind::Nodes => map::node(object, &self.options.prefix),
            };
            match host {
                Ok(host) => page.hosts.push(host),
                Err(problem) => page.problems.push(problem),
            }
        }
        Ok(Some(page))
    }
}

struct Listing {
    api: Api<DynamicObject>,
    /// Token of the next page; empty for the first one.
    next: Option<String>,
    tokens: Tokens,
}

impl Provider for Kubernetes {
    fn source_type(&self) -> SourceType {
        match self.options.kind {
            Kind::Machines => SourceType::ClusterAPI,
            Kind::Nodes => SourceType::KubernetesNodes,
        }
    }

    fn name(&self) -> &'static str {
        match self.options.kind {
            Kind::Machines => "cluster-api",
            Kind::Nodes => "kubernetes",
        }
    }

    fn scopes(&self) -> BoxFuture<'_, Result<Vec<Scope>, ProviderError>> {
        async { Ok(vec![Scope::all()]) }.boxed()
    }

    fn list<'a>(&'a self, _scope: &'a str) -> BoxStream<'a, Result<Page, ProviderError>> {
        stream::try_unfold(None, move |listing: Option<Listing>| async move {
            let mut listing = match listing {
                Some(listing) => listing,
                None => self.begin().await?,
            };
            Ok(self.next_page(&mut listing).await?.map(|page| (page, Some(listing))))
        })
        .boxed()
    }
}
