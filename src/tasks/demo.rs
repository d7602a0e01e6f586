//! `inv-tui --demo`: a made-up fleet that lives. It stands on any API server through a
//! `kube::Client`. The lifecycle controller is the real one; everybody else that works with a real
//! fleet is played, each under its own field manager: the fetchers, the agents on the hosts, and
//! colleagues.
//!
//! ```text
//! install  definitions, namespace, regions, clusters, sources      before the explorer starts
//! fill     hosts with their status, requests for certificates, the first passes of the sources
//! run      churn: hosts break, mend, come and go, are held ── change Hosts ──┐
//!          agents: drain, run Ansible                       ◄── watch ────────┤
//!          lifecycle: what follows                          ◄── watch ────────┘
//! ```
//!
//! What happens follows from the seed; only the times, and the keys of the certificate requests,
//! are new each time.

mod agents;
mod certificates;
mod churn;
mod confirm;
mod fill;
mod heartbeats;
mod sources;
mod write;

use std::convert::Infallible;

use jiff::Timestamp;
use kube::Client;
use tokio::sync::watch;

use crate::error::{Result, chain};
use crate::store::client::Connection;
use crate::tasks::lifecycle::{Control, Metrics};

/// A demo fleet on the server that `client` leads to.
#[derive(Clone)]
pub struct Demo {
    /// Where it is kept.
    pub client: Client,
    /// A user who asks for the certificates of hosts, as a machine without one does.
    pub asker: Client,
    /// Namespace of its hosts.
    pub namespace: String,
    /// How many hosts there are, more or less: they come and go.
    pub hosts: u32,
    /// What happens follows from it.
    pub seed: u64,
}

impl Demo {
    /// The way to its server, as the explorer wants it.
    pub fn connection(&self) -> Connection {
        Connection {
            id: crate::model::key::ServerId::FIRST,
            client: self.client.clone(),
            context: "demo".to_owned(),
            server: "in this program".to_owned(),
            note: None,
            identity: String::from("demo"),
        }
    }

    /// Installs what has to be there before anybody looks: the definitions, the namespace, the
    /// regions, the clusters and the sources. What is there already is left as it is.
    ///
    /// # Errors
    /// What the server said.
    pub async fn install(&self) -> Result<()> {
        fill::install(self).await
    }

    /// Makes the hosts with their status, and the requests for certificates, and says how the
    /// sources passed. What is there already is left as it is. May be dropped at any time and called again.
    ///
    /// # Errors
    /// What the server said, after several attempts.
    pub async fn fill(&self) -> Result<()> {
        tokio::try_join!(fill::hosts(self, now()), certificates::fill(self))?;
        sources::pass(self).await
    }

    /// Fills the fleet, and plays everybody else until it is dropped. Errors are logged and tried
    /// again.
    pub async fn run(&self) -> Infallible {
        let happens = async {
            if let Err(error) = self.fill().await {
                tracing::warn!(error = %chain(&error), "the demo fleet is not complete");
            }
            tokio::join!(churn::run(self), sources::run(self)).0
        };
        let (_stop, never_stopped) = watch::channel(false);
        let control = Control {
            client: self.client.clone(),
            namespace: self.namespace.clone(),
            metrics: Metrics::default(),
            instance: "demo".to_owned(),
        };
        let (never, ..) = tokio::join!(happens, agents::run(self), control.run(never_stopped));
        never
    }
}

/// The time now in whole seconds, as the API writes times: what is written reads back the same.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}
