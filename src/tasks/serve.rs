//! `inv-tui --headless serve`: the embedded API server for others, over TLS.

mod metrics;

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueEnum;
use jiff::Timestamp;
use tokio::net::TcpListener;

use super::http;
use super::signals::signals;
use crate::error::{EXIT_DONE, Error, Result};
use crate::server::auth::authority::{Authority, LOOPBACK, ServerCertificate};
use crate::server::auth::kubeconfig::Kubeconfig;
use crate::server::auth::roles;
use crate::server::auth::tokens::Tokens;
use crate::server::listen::{self, Limits};
use crate::server::storage;
use crate::store::embedded::{self, Lock};
use crate::telemetry::{self, LogArgs};

/// How long a written client certificate is good.
const LIFETIME: std::time::Duration = std::time::Duration::from_hours(365 * 24);

/// Options of the task.
#[derive(clap::Args, Clone, Debug)]
pub struct ServeArgs {
    /// Address and port to listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7443")]
    pub listen: SocketAddr,
    /// Further names and addresses by which clients reach this server
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub names: Vec<String>,
    /// Where to write a kubeconfig, mode 0600 [default: admin.kubeconfig in the data folder]
    #[arg(long, value_name = "FILE")]
    pub write_kubeconfig: Option<PathBuf>,
    /// Bearer tokens: lines of token,user,uid,"group,group"; the file must be yours alone
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Serve /healthz, /readyz and /metrics here too, for example 127.0.0.1:9422
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["user", "backup"])]
    pub metrics: Option<SocketAddr>,
    /// Only write a kubeconfig for this user, with the role of --role, and exit
    #[arg(long, value_name = "NAME", requires_all = ["role", "write_kubeconfig"])]
    pub user: Option<String>,
    /// Role of that user
    #[arg(long, value_enum, requires = "user")]
    pub role: Option<Role>,
    /// Only copy the store into this new file, while it is served or not, and exit
    #[arg(long, value_name = "FILE", conflicts_with_all = ["user", "write_kubeconfig", "token_file"])]
    pub backup: Option<PathBuf>,
    /// How to log
    #[command(flatten)]
    pub log: LogArgs,
}

/// What a user may do.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Looks at everything
    Viewer,
    /// Looks at everything, changes what people decide of hosts: maintenance, labels, Ansible requests
    Operator,
    /// Writes what sources of hosts say
    Fetcher,
    /// Approves certificate requests
    Approver,
    /// Keeps phases, holds, counts up to date: the lifecycle controller
    Lifecycle,
    /// Runs Ansible on hosts without an agent
    Runner,
    /// Does what is to be done before a host goes
    Decommissioner,
    /// Tells Prometheus of hosts, and Alertmanager of their maintenance
    Monitor,
    /// Renders files of other programs
    Renderer,
    /// May ask for the certificate of a host's agent
    Bootstrapper,
    /// Everything
    Admin,
}

impl Role {
    fn group(self) -> &'static str {
        match self {
            Self::Viewer => roles::VIEWERS,
            Self::Operator => roles::OPERATORS,
            Self::Fetcher => roles::FETCHERS,
            Self::Approver => roles::APPROVERS,
            Self::Lifecycle => roles::LIFECYCLE,
            Self::Runner => roles::RUNNERS,
            Self::Decommissioner => roles::DECOMMISSIONERS,
            Self::Monitor => roles::MONITORS,
            Self::Renderer => roles::RENDERERS,
            Self::Bootstrapper => roles::BOOTSTRAPPERS,
            Self::Admin => roles::ADMINS,
        }
    }
}

/// Runs the task; `folder` is the data folder that was named.
///
/// # Errors
/// The store, an address, a file cannot be used. What is wrong with the options has the exit code for
/// usage.
pub async fn run(args: ServeArgs, folder: Option<&Path>) -> Result<u8> {
    let folder = embedded::data_folder(folder)?;
    if let Some(copy) = &args.backup {
        let (file, copy) = (storage::default_file(&folder), copy.clone());
        let done = tokio::task::spawn_blocking(move || storage::backup(&file, &copy)).await;
        done.map_err(|cause| Error::new("the backup did not end").because(cause))??;
        return Ok(EXIT_DONE);
    }
    if let (Some(user), Some(role), Some(file)) = (&args.user, args.role, &args.write_kubeconfig) {
        // Whoever has the lock already has the authority too.
        let _lock = Lock::take(&folder)?;
        let authority = Authority::open(&folder, Timestamp::now())?;
        write_kubeconfig(&authority, &args, args.listen, user, role.group(), file)?;
        return Ok(EXIT_DONE);
    }
    telemetry::start(args.log, "info")?;
    let Some(lock) = Lock::take(&folder)? else {
        return Err(Error::new(format!("the store in \"{}\" is in use", folder.display())).hint(
            format!(
                "{} has it open: end it, or name another folder with --data-dir DIR",
                Lock::holder(&folder)
            ),
        ));
    };
    let tokens = match &args.token_file {
        Some(file) => Tokens::open(file)?,
        None => Tokens::none(),
    };
    let unusable = |cause: std::io::Error| {
        Error::usage(format!("cannot listen on {}", args.listen))
            .because(cause)
            .hint("choose a free address and port with --listen ADDR:PORT")
    };
    let listener = TcpListener::bind(args.listen).await.map_err(unusable)?;
    let address = listener.local_addr().map_err(unusable)?;
    let monitor = http::bind_if(args.metrics).await?;
    let mut stop = signals("stopping: requests may finish, watches end")?;

    let (server, authenticator) = embedded::serve(&folder, lock, tokens).await?;
    let authority = authenticator.authority.clone();
    let file = args.write_kubeconfig.clone().unwrap_or_else(|| folder.join("admin.kubeconfig"));
    write_kubeconfig(&authority, &args, address, "admin", roles::MASTERS, &file)?;

    let names = names(&args, address);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let certificate = ServerCertificate::new(authority, &names, Timestamp::now)?;
    let tls = listen::tls(Arc::new(certificate))?;
    let handler = embedded::handler(&server, &authenticator);
    if let Some(monitor) = monitor {
        // It serves before it is asked anything.
        let ready: http::Ready = Arc::new(|| Ok(()));
        tokio::spawn(http::serve(monitor, metrics::registry(&server), ready, stop.clone()));
    }
    tracing::info!(%address, kubeconfig = %file.display(), revision = server.revision(), "serving");
    // One line for whoever started it, a script above all.
    let _ = writeln!(std::io::stdout(), "https://{address}");
    let stopped = {
        let server = server.clone();
        async move {
            let _ = stop.wait_for(|stop| *stop).await;
            server.close();
        }
    };
    listen::serve_tls(listener, tls, Limits::of_this_process(), handler, stopped).await;
    server.ended().await;
    Ok(EXIT_DONE)
}

/// Every name by which clients may call this server.
fn names(args: &ServeArgs, address: SocketAddr) -> Vec<String> {
    let mut names: Vec<String> = LOOPBACK.iter().map(|name| (*name).to_owned()).collect();
    let own = (!address.ip().is_unspecified()).then(|| address.ip().to_string());
    names.extend(own.into_iter().chain(args.names.iter().cloned()));
    names.dedup();
    names
}

/// Writes a kubeconfig with a new certificate.
fn write_kubeconfig(
    authority: &Authority,
    args: &ServeArgs,
    address: SocketAddr,
    user: &str,
    group: &str,
    file: &Path,
) -> Result<()> {
    let host = match (args.names.first(), address) {
        (Some(name), _) if name.contains(':') => format!("[{name}]"),
        (Some(name), _) => name.clone(),
        (None, SocketAddr::V4(v4)) if v4.ip().is_unspecified() => "127.0.0.1".to_owned(),
        (None, SocketAddr::V6(v6)) if v6.ip().is_unspecified() => "[::1]".to_owned(),
        (None, SocketAddr::V4(v4)) => v4.ip().to_string(),
        (None, SocketAddr::V6(v6)) => format!("[{}]", v6.ip()),
    };
    let credentials = authority.client_certificate(user, &[group], LIFETIME, Timestamp::now())?;
    let server = format!("https://{host}:{}", address.port());
    let kubeconfig = Kubeconfig {
        server: &server,
        context: "inv-tui",
        authority: authority.certificate(),
        credentials: &credentials,
    };
    kubeconfig.write(file)
}
