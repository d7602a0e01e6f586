//! How a source is reached, before anything is: one provider for each kind of source.

use std::sync::Arc;

use tokio::sync::OnceCell;

use crate::error::Result;
use crate::model::source::SourceType;
use crate::providers::Provider;
use crate::providers::aws::{Aws, AwsOptions};
use crate::providers::file::{File, FileOptions};
use crate::providers::ibm_classic::{Classic, ClassicOptions};
use crate::providers::ibm_vpc::{Vpc, VpcOptions};
use crate::providers::kubernetes::{Kind, Kubernetes, KubernetesOptions};
use crate::providers::netbox::{NetBox, NetBoxOptions};

/// How to reach a source.
#[derive(Clone, Debug)]
pub(super) enum Setup {
    /// AWS EC2.
    Aws(AwsOptions),
    /// NetBox.
    NetBox(NetBoxOptions),
    /// IBM Cloud Classic.
    Classic(ClassicOptions),
    /// IBM Cloud VPC.
    Vpc(VpcOptions),
    /// A file.
    File(FileOptions),
    /// Another cluster.
    Kubernetes(KubernetesOptions),
}

impl Setup {
    /// What stands in the Source object.
    pub(super) fn source_type(&self) -> SourceType {
        match self {
            Self::Aws(_) => SourceType::AWS,
            Self::NetBox(_) => SourceType::NetBox,
            Self::Classic(_) => SourceType::IBMCloudClassic,
            Self::Vpc(_) => SourceType::IBMCloudVPC,
            Self::File(_) => SourceType::File,
            Self::Kubernetes(options) => match options.kind {
                Kind::Machines => SourceType::ClusterAPI,
                Kind::Nodes => SourceType::KubernetesNodes,
            },
        }
    }

    /// The value of the provider's label.
    pub(super) fn provider(&self) -> &'static str {
        match self {
            Self::Aws(_) => "aws",
            Self::NetBox(_) => "netbox",
            Self::Classic(_) => "ibm-classic",
            Self::Vpc(_) => "ibm-vpc",
            Self::File(_) => "file",
            Self::Kubernetes(options) => match options.kind {
                Kind::Machines => "cluster-api",
                Kind::Nodes => "kubernetes",
            },
        }
    }

    async fn connect(&self) -> Result<Arc<dyn Provider>> {
        Ok(match self.clone() {
            Self::Aws(options) => Arc::new(Aws::connect(options).await?),
            Self::NetBox(options) => Arc::new(NetBox::new(options)?),
            Self::Classic(options) => Arc::new(Classic::new(options)?),
            Self::Vpc(options) => Arc::new(Vpc::new(options)?),
            Self::File(options) => Arc::new(File::new(options)),
            Self::Kubernetes(options) => Arc::new(Kubernetes::new(options)),
        })
    }
}

/// The provider of a source, made when it is first needed and tried again until it can be.
pub(super) struct Lazy {
    setup: Setup,
    provider: OnceCell<Arc<dyn Provider>>,
}

impl Lazy {
    /// A provider that is not made yet.
    pub(super) fn new(setup: Setup) -> Self {
        Self { setup, provider: OnceCell::new() }
    }

    /// The provider, if it is made already.
    pub(super) fn made(&self) -> Option<&Arc<dyn Provider>> {
        self.provider.get()
    }

    /// The provider.
    ///
    /// # Errors
    /// It cannot be set up; the next call tries again.
    pub(super) async fn get(&self) -> Result<&Arc<dyn Provider>> {
        self.provider.get_or_try_init(|| self.setup.connect()).await
    }
}
