//! Who the agent is: a key that never leaves this machine, and a certificate for it.
//!
//! The first start makes a key and asks for a certificate with the bootstrap credentials; every
//! later certificate is asked for with the present one, for a new key. Key and certificate stand in
//! one file together with the server's address and authority, so that they always belong together
//! and the bootstrap file is not needed any more. A key whose certificate has been asked for and is
//! not there yet stands in a file of its own, so that a restart goes on waiting for the same
//! request.
//!
//! ```no_run
//! # use inv_tui::tasks::agent::identity::{keep, obtain, Options};
//! # async fn example(options: Options, stop: tokio::sync::watch::Receiver<bool>) -> inv_tui::error::Result<()> {
//! let Some(held) = obtain(options, stop.clone()).await? else { return Ok(()) };
//! let (publish, connection) = tokio::sync::watch::channel(held.connection().clone());
//! tokio::spawn(keep(held, publish, |_ends| (), stop));
//! # drop(connection); Ok(()) }
//! ```

mod ask;
mod files;

use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::Client;
use tokio::sync::watch;

use self::ask::{Asked, ask};
use self::files::Stored;
use crate::error::{Error, Result, chain};
use crate::model::csr::host_user;
use crate::store::client::{ConnectOptions, Connection, connect_to_cluster};

/// How long a certificate is asked for when nobody says otherwise: 30 days.
pub const LIFE: Duration = Duration::from_hours(30 * 24);
/// Between two looks at the clock. Sleeping until the time itself would be wrong after a suspend.
const LOOK: Duration = Duration::from_mins(1);
/// Between two tries after a renewal that failed.
const AGAIN: Duration = Duration::from_mins(5);

/// Whose identity it is, and where it is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// Namespace of the host.
    pub namespace: String,
    /// Name of the host.
    pub host: String,
    /// Folder for key and certificate; made with mode 0700 if it is missing.
    pub folder: PathBuf,
    /// Kubeconfig that may ask for a first certificate: with a bootstrap token or a certificate.
    /// It is read only while there is no certificate that lives.
    pub bootstrap: Option<PathBuf>,
    /// How long a certificate is asked for; at least 10 minutes.
    pub life: Duration,
}

impl Options {
    fn user(&self) -> String {
        host_user(&self.namespace, &self.host)
    }
}

/// An identity that lives, and the connection that it makes.
pub struct Held {
    options: Options,
    connection: Connection,
    not_before: Timestamp,
    not_after: Timestamp,
    /// Part of its life after which it is renewed: two thirds, less up to a tenth, so that hosts
    /// which began together do not renew together.
    part: f64,
}

impl Held {
    async fn of(options: Options, stored: &Stored) -> Result<Self> {
        let server =
            ConnectOptions { kubeconfig: Some(stored.path.clone()), ..ConnectOptions::default() };
        Ok(Self {
            connection: connect_to_cluster(&server).await?,
            options,
            not_before: stored.not_before,
            not_after: stored.not_after,
            part: fastrand::f64().mul_add(-0.1, 2.0 / 3.0),
        })
    }

    /// The connection with this identity; a clone stays usable until the certificate ends.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The client with this identity.
    pub fn client(&self) -> Client {
        self.connection.client.clone()
    }

    /// The user name that the certificate stands for.
    pub fn user(&self) -> String {
        self.options.user()
    }

    /// End of the certificate's life.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// When it is to be renewed.
    pub fn renewal(&self) -> Timestamp {
        let life = self.not_after.duration_since(self.not_before).as_secs_f64();
        let wait = SignedDuration::try_from_secs_f64((life * self.part).max(0.0));
        wait.ok().and_then(|wait| self.not_before.checked_add(wait).ok()).unwrap_or(self.not_after)
    }

    /// Whether it is to be renewed at `now`.
    pub fn renew_due(&self, now: Timestamp) -> bool {
        now >= self.renewal()
    }

    /// Asks for a certificate for a new key and waits for it, with the present certificate while
    /// that lives and with the bootstrap credentials after it. The present one is used until the new
    /// one is there. False: a stop was asked for in the meantime.
    ///
    /// # Errors
    /// As [`obtain`].
    pub async fn renew(&mut self, stop: watch::Receiver<bool>) -> Result<bool> {
        let left = Timestamp::now().duration_until(self.not_after);
        if let Ok(left) = Duration::try_from(left) {
            let asked = ask(&self.connection, &self.options, Asked::Renewal, stop.clone());
            match tokio::time::timeout(left, asked).await {
                Ok(Ok(Some(issued))) => {
                    let stored = Stored::read(&self.options)?.ok_or_else(|| {
                        Error::new("the file with the present certificate has gone")
                            .hint("restart the agent with --bootstrap-kubeconfig")
                    })?;
                    let stored = issued.store(&self.options, stored.cluster)?;
                    *self = Self::of(self.options.clone(), &stored).await?;
                    return Ok(true);
                }
                Ok(Ok(None)) => return Ok(false),
                Ok(Err(problem)) => return Err(problem),
                Err(_) => tracing::warn!("the certificate has ended before the new one was there"),
            }
        }
        match obtain(self.options.clone(), stop).await? {
            Some(held) => {
                *self = held;
                Ok(true)
            }
            None => Ok(false),
        }
    }
}

/// The identity of this host: the one on disk if it lives, else a new one, for which it waits as
/// long as it takes. None: a stop was asked for in the meantime.
///
/// # Errors
/// The folder cannot be used or holds another host's identity; there is neither a certificate that
/// lives nor a bootstrap kubeconfig, or that cannot be used. What the server says against a request
/// is logged, and tried again; after a denial an hour later.
pub async fn obtain(options: Options, stop: watch::Receiver<bool>) -> Result<Option<Held>> {
    files::make_folder(&options.folder)?;
    let stored = Stored::read(&options)?;
    let now = Timestamp::now();
    if let Some(stored) = stored.as_ref().filter(|stored| stored.not_after > now) {
        tracing::info!(user = options.user(), not_after = %stored.not_after, "certificate on disk");
        return Held::of(options, stored).await.map(Some);
    }
    let bootstrap = options.bootstrap.clone().filter(|file| file.exists());
    let Some(bootstrap) = bootstrap else {
        let what = match &stored {
            Some(stored) => {
                format!("the certificate of this host has ended at {}", stored.not_after)
            }
            None => "this host has no certificate yet".to_owned(),
        };
        return Err(Error::usage(format!("{what}, and there is no bootstrap kubeconfig")).hint(
            "put one that may create certificate requests (group system:bootstrappers:inv) where --bootstrap-kubeconfig says",
        ));
    };
    let cluster = files::cluster_of(&bootstrap)?;
    let server = ConnectOptions { kubeconfig: Some(bootstrap), ..ConnectOptions::default() };
    let connection = connect_to_cluster(&server).await?;
    match ask(&connection, &options, Asked::First, stop).await? {
        Some(issued) => {
            let stored = issued.store(&options, cluster)?;
            tracing::info!(user = options.user(), not_after = %stored.not_after, "certificate issued");
            Held::of(options, &stored).await.map(Some)
        }
        None => Ok(None),
    }
}

/// Renews the identity for ever, each time before it ends, and publishes each new connection. `told`
/// hears when it ends.
/// Returns when `stop` becomes true or nobody listens any more.
pub async fn keep(
    mut held: Held,
    publish: watch::Sender<Connection>,
    told: impl Fn(Timestamp) + Send,
    mut stop: watch::Receiver<bool>,
) {
    let mut pause = LOOK;
    told(held.not_after);
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stop.wait_for(|stop| *stop) => return,
            () = publish.closed() => return,
        }
        pause = LOOK;
        if !held.renew_due(Timestamp::now()) {
            continue;
        }
        match held.renew(stop.clone()).await {
            Ok(true) => {
                tracing::info!(not_after = %held.not_after, "certificate renewed");
                told(held.not_after);
                publish.send_replace(held.connection.clone());
            }
            Ok(false) => return,
            Err(problem) => {
                let hint = problem.next_step();
                tracing::error!(error = chain(&problem), hint, "certificate not renewed");
                pause = AGAIN;
            }
        }
    }
}

#[cfg(test)]
mod tests;
