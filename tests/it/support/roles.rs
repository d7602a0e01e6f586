//! Users with the rights of a role, on whichever server a test has.

use std::path::{Path, PathBuf};
use std::time::Duration;

use inv_tui::server::auth::authority::Authority;
use inv_tui::server::auth::kubeconfig::Kubeconfig;
use jiff::Timestamp;

use super::{World, connection};

/// How long the certificates are good.
const LIFETIME: Duration = Duration::from_hours(24);

impl World {
    /// The kubeconfig of a user with a client certificate: this name, in these groups (`inv:viewers`,
    /// `inv:operators`, …). It is there as long as the world is.
    pub(crate) async fn as_user(&self, name: &str, groups: &[&str]) -> PathBuf {
        user(&self.kubeconfig, self.dir.path(), name, groups).await
    }

    /// A client with the certificate of such a user.
    pub(crate) async fn client_as(&self, name: &str, groups: &[&str]) -> kube::Client {
        connection(&self.as_user(name, groups).await).await.client
    }

    /// The kubeconfig and the name of the agent on this host of the world.
    pub(crate) async fn as_agent(&self, host: &str) -> (PathBuf, String) {
        let name = format!("inv:host:{}:{host}", self.namespace);
        (self.as_user(&name, &["inv:hosts"]).await, name)
    }
}

/// Writes the kubeconfig of a user into `folder`. `admin` is the kubeconfig that `serve` or
/// `tests/control-plane/run` has written; the keys of the server's authority are beside it.
pub(crate) async fn user(admin: &Path, folder: &Path, name: &str, groups: &[&str]) -> PathBuf {
    let beside = admin.parent().expect("a folder");
    // A control plane has its authority in a folder of its own.
    let pki = beside.join("pki");
    let authority = if pki.is_dir() { pki } else { beside.to_owned() };
    let authority = Authority::open(&authority, Timestamp::now()).expect("the server's authority");
    let credentials =
        authority.client_certificate(name, groups, LIFETIME, Timestamp::now()).expect("it signs");
    let file =
        folder.join(format!("{}-{:08x}.kubeconfig", name.replace(':', "-"), fastrand::u32(..)));
    Kubeconfig {
        server: connection(admin).await.server.trim_end_matches('/'),
        context: name,
        authority: authority.certificate(),
        credentials: &credentials,
    }
    .write(&file)
    .expect("a kubeconfig");
    file
}
