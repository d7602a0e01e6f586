//! Builds the one `kube::Client`, and puts its errors into words that help.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::core::Status;
use kube::runtime::watcher;
use kube::{Client, Config};
use sha2::{Digest, Sha256};

use super::embedded;
use crate::error::{Error, Result};
use crate::model::key::ServerId;
use crate::model::record::HostRecord;

/// Field manager of what a person changes here.
pub const OPERATOR: &str = "inv-tui";
/// Field manager of the agent on a host.
pub const AGENT: &str = "inv-tui-agent";
/// Field manager of the lifecycle controller.
pub const LIFECYCLE: &str = "inv-tui-lifecycle";
/// Field manager of the central runner, and the Lease that one of several holds.
pub const RUNNER: &str = "inv-tui-runner";
/// Field manager of the decommission service, and the Lease that one of several holds.
pub const DECOMMISSION: &str = "inv-tui-decommission";

/// Field manager of the Leases of fetchers.
pub const FETCH: &str = "inv-tui-fetch";
/// Field manager of the monitor, and the Lease that the one holds that makes silences.
pub const MONITOR: &str = "inv-tui-monitor";

/// What stands for the context where the account of the pod is used.
const IN_CLUSTER: &str = "in-cluster";

/// How long a call that a person waits for may take.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// Where to connect.
#[derive(Clone, Debug, Default)]
pub struct ConnectOptions {
    /// Kubeconfig file. None: `KUBECONFIG`, `~/.kube/config`, then the in-cluster account.
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig. None: its current one.
    pub context: Option<String>,
    /// The embedded server, whatever else is configured.
    pub embedded: bool,
    /// Where the embedded server keeps its store. None: the usual folder.
    pub data_folder: Option<PathBuf>,
}

/// A client, and where it leads.
#[derive(Clone)]
pub struct Connection {
    /// Which of the servers that are used together it leads to.
    pub id: ServerId,
    /// The client. It does not retry by itself: the callers know how long a person will wait.
    pub client: Client,
    /// Name of the context, or `in-cluster`.
    pub context: String,
    /// URL of the server.
    pub server: String,
    /// What a person should know about the choice of this server.
    pub note: Option<String>,
    /// Hash of server, authority, user and context: what is kept of one never serves another.
    pub identity: String,
}

/// Field manager of the fetcher of one source: `inv-tui-fetch-<source>`.
pub fn fetch_manager(source: &str) -> String {
    format!("inv-tui-fetch-{source}")
}

/// Chooses the server and builds a client for it: the one that is named; else the one that a
/// kubeconfig or the in-cluster account leads to, if it serves our definitions; else the embedded one.
///
/// # Errors
/// A kubeconfig that cannot be read or is malformed, a context, cluster or user that it lacks, key
/// material that does not parse, an embedded store that cannot be used. What is wrong with the
/// configuration has the exit code for usage.
pub async fn connect(options: &ConnectOptions) -> Result<Connection> {
    let named = options.kubeconfig.is_some() || options.context.is_some();
    if named || options.embedded {
        return connect_to_cluster(options).await;
    }
    let Some(configured) = configuration(options).await? else {
        return embedded::connect(options.data_folder.as_deref()).await;
    };
    let connection = client(configured)?;
    // A server that does not answer may well be ours: the explorer says so and waits for it.
    if !matches!(serves_us(&connection.client).await, Some(false)) {
        return Ok(connection);
    }
    let mut embedded = embedded::connect(options.data_folder.as_deref()).await?;
    embedded.note = Some(no_inventory(&connection.context));
    Ok(embedded)
}

/// What to know where the cluster of this context does not serve our definitions.
fn no_inventory(context: &str) -> String {
    // The account of the pod is no context that could be named.
    let named = match context {
        IN_CLUSTER => String::new(),
        context => format!(" --context {context}"),
    };
    format!(
        "\"{context}\" has no inventory (install: inv-tui --headless crds --apply{named}); this is the embedded server"
    )
}

/// A client for the server that [`connect`] would take first, without asking whether it serves us;
/// none if that is the embedded one.
///
/// # Errors
/// As [`connect`].
pub async fn connect_unasked(options: &ConnectOptions) -> Result<Option<Connection>> {
    if options.embedded {
        return Ok(None);
    }
    configuration(options).await?.map(client).transpose()
}

/// What [`Connection::identity`] of a server of the kubeconfig is, without a way to it; none if that
/// cannot be told, or the embedded one is meant.
pub async fn identity_unasked(options: &ConnectOptions) -> Option<String> {
    if options.embedded {
        return None;
    }
    let (config, context) = configuration(options).await.ok()??;
    Some(identity(&config, &context))
}

/// As [`connect`], but never the embedded server unless it is asked for.
///
/// # Errors
/// As [`connect`], and if no server is configured at all.
pub async fn connect_to_cluster(options: &ConnectOptions) -> Result<Connection> {
    if options.embedded {
        return embedded::connect(options.data_folder.as_deref()).await;
    }
    let configured = configuration(options).await?.ok_or_else(|| {
        Error::usage("no API server is configured: no --kubeconfig, no KUBECONFIG, no ~/.kube/config, and not inside a cluster")
            .hint("name a kubeconfig with --kubeconfig FILE, or take the embedded server with --embedded")
    })?;
    client(configured)
}

/// The client certificate that the kubeconfig names or has, as it stands there, in PEM. None: it
/// uses another kind of credentials, or there is no kubeconfig.
///
/// # Errors
/// As [`connect`], for the kubeconfig; the file with the certificate cannot be read.
pub async fn client_certificate(options: &ConnectOptions) -> Result<Option<Vec<u8>>> {
    if options.embedded {
        return Ok(None);
    }
    let Some((config, _)) = configuration(options).await? else { return Ok(None) };
    if let Some(data) = &config.auth_info.client_certificate_data {
        let decoded = base64::engine::general_purpose::STANDARD.decode(data.trim());
        return Ok(Some(decoded.unwrap_or_default()));
    }
    let Some(path) = &config.auth_info.client_certificate else { return Ok(None) };
    let what = format!("cannot read the client certificate \"{path}\"");
    std::fs::read(path).map(Some).map_err(|cause| Error::usage(what).because(cause))
}

fn client((mut config, context): (Config, String)) -> Result<Connection> {
    config.connect_timeout = Some(Duration::from_secs(5));
    config.default_retry = false;
    let server = config.cluster_url.to_string();
    let server = server.trim_end_matches('/').to_owned();
    let identity = identity(&config, &context);
    let client = Client::try_from(config).map_err(|cause| {
        Error::usage(format!("cannot use the credentials of context \"{context}\" for {server}"))
            .because(cause)
            .hint("check the certificate and key data of its user and cluster in the kubeconfig")
    })?;
    Ok(Connection { id: ServerId::FIRST, client, context, server, note: None, identity })
}

/// Hash of what tells one user of one server from all others. Of a file with a token that is renewed
/// all the time the path counts, of every other credential the text.
fn identity(config: &Config, context: &str) -> String {
    let user = &config.auth_info;
    let certificate = user.client_certificate.as_ref().and_then(|path| std::fs::read(path).ok());
    let authority = config.root_cert_file.as_ref().and_then(|path| std::fs::read(path).ok());
    let parts = serde_json::json!({
        "server": config.cluster_url.to_string(),
        "authority": [config.root_cert.as_ref(), authority.map(|one| vec![one]).as_ref()],
        "name": config.tls_server_name,
        "user": user,
        "certificate": certificate,
        "context": context,
    });
    hash(&parts.to_string())
}

/// SHA-256 in hexadecimal.
pub fn hash(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(64);
    for byte in Sha256::digest(text.as_bytes()) {
        let _ = write!(out, "{byte:02x}");
    }
    out
}

/// What a server has that no other has: the uid of its namespace `kube-system`. None if it does not
/// tell. Two that were made from one backup have the same.
pub async fn instance(connection: &Connection) -> Option<String> {
    let namespaces: Api<Namespace> = Api::all(connection.client.clone());
    let found = tokio::time::timeout(DEADLINE, namespaces.get_opt("kube-system")).await;
    found.ok()?.ok()??.metadata.uid
}

/// Whether two servers with the same [`instance`] are one: whether their versions of a list are
/// taken from one counter. None if one of them does not tell.
pub async fn same_counter(one: &Connection, other: &Connection) -> Option<bool> {
    let version = async |connection: &Connection| {
        let hosts: Api<HostRecord> = Api::all(connection.client.clone());
        let params = ListParams::default().limit(1);
        let page = tokio::time::timeout(DEADLINE, hosts.list_metadata(&params)).await.ok()?.ok()?;
        page.metadata.resource_version?.parse::<u64>().ok()
    };
    let before = version(one).await?;
    let between = version(other).await?;
    let after = version(one).await?;
    Some((before..=after).contains(&between))
}

/// Whether a server has our definitions; none if it does not say.
async fn serves_us(client: &Client) -> Option<bool> {
    let group =
        http::Request::get(format!("/apis/{}", crate::model::GROUP)).body(Vec::new()).ok()?;
    match tokio::time::timeout(DEADLINE, client.request_text(group)).await {
        Ok(Ok(_)) => Some(true),
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => Some(false),
        _ => None,
    }
}

/// The contexts that are meant when several may be: all of the kubeconfig, or those in the list with
/// commas that stands for one. None: one at most is meant, as [`connect`] takes it.
///
/// # Errors
/// The kubeconfig cannot be read or is malformed, a context that it lacks, no context at all, too
/// many of them; all with the exit code for usage.
pub fn several(options: &ConnectOptions, all: bool) -> Result<Option<Vec<String>>> {
    let listed = options.context.as_deref().filter(|context| context.contains(','));
    if options.embedded || !all && listed.is_none() {
        return Ok(None);
    }
    let (kubeconfig, place) = kubeconfig(options)?;
    let Some(kubeconfig) = kubeconfig else {
        return Err(Error::usage("there is no kubeconfig to find contexts in")
            .hint("name the file with --kubeconfig or KUBECONFIG"));
    };
    let known: Vec<String> = kubeconfig.contexts.iter().map(|c| c.name.clone()).collect();
    let mut wanted = Vec::new();
    match listed {
        // A comma may belong to a name.
        Some(listed) if !all && known.iter().any(|name| name == listed) => return Ok(None),
        Some(listed) if !all => {
            for name in listed.split(',').map(str::trim).filter(|name| !name.is_empty()) {
                check_context(&known, name, &place)?;
                if !wanted.iter().any(|other| other == name) {
                    wanted.push(name.to_owned());
                }
            }
        }
        _ => wanted.clone_from(&known),
    }
    if wanted.is_empty() {
        return Err(Error::usage(format!("{place} has no context"))
            .hint("\"kubectl config set-context\" makes one"));
    }
    if wanted.len() > ServerId::MOST {
        let text =
            format!("{} contexts are more than the {} there can be", wanted.len(), ServerId::MOST);
        return Err(Error::usage(text).hint("name those that are wanted with --context a,b,c"));
    }
    Ok(Some(wanted))
}

/// That a kubeconfig has this context.
fn check_context(known: &[String], context: &str, place: &str) -> Result<()> {
    if known.iter().any(|name| name == context) {
        return Ok(());
    }
    let names = if known.is_empty() { "none at all".to_owned() } else { known.join(", ") };
    let wanted = if context.contains(',') {
        "one context is wanted here, several are for the explorer"
    } else {
        "name one of them with --context"
    };
    Err(Error::usage(format!("{place} has no context \"{context}\""))
        .hint(format!("it has {names}; {wanted}")))
}

/// The kubeconfig, if there is one, and what to call it.
fn kubeconfig(options: &ConnectOptions) -> Result<(Option<Kubeconfig>, String)> {
    Ok(match &options.kubeconfig {
        Some(path) => {
            let place = format!("kubeconfig \"{}\"", path.display());
            let kubeconfig = Kubeconfig::read_from(path).map_err(|e| unreadable(&place, e))?;
            (Some(kubeconfig), place)
        }
        None => match Kubeconfig::read() {
            Ok(kubeconfig) => (Some(kubeconfig), default_place()),
            Err(KubeconfigError::ReadConfig(cause, _))
                if cause.kind() == std::io::ErrorKind::NotFound
                    && std::env::var_os("KUBECONFIG").is_none_or(|v| v.is_empty()) =>
            {
                (None, default_place())
            }
            Err(cause) => return Err(unreadable(&default_place(), cause)),
        },
    })
}

/// What the kubeconfig, or the account inside a cluster, says; none if there is neither.
async fn configuration(options: &ConnectOptions) -> Result<Option<(Config, String)>> {
    let (kubeconfig, place) = kubeconfig(options)?;
    let Some(kubeconfig) = kubeconfig else {
        return in_cluster(options);
    };
    let context = options
        .context
        .clone()
        .or_else(|| kubeconfig.current_context.clone().filter(|c| !c.is_empty()))
        .ok_or_else(|| {
            Error::usage(format!("{place} has no current context"))
                .hint("name one with --context, or set it with \"kubectl config use-context\"")
        })?;
    let known: Vec<String> = kubeconfig.contexts.iter().map(|c| c.name.clone()).collect();
    check_context(&known, &context, &place)?;
    let selection = KubeConfigOptions { context: Some(context.clone()), ..Default::default() };
    let config = Config::from_custom_kubeconfig(kubeconfig, &selection).await.map_err(|cause| {
        Error::usage(format!("context \"{context}\" of {place} cannot be used"))
            .because(cause)
            .hint("check its cluster and user entries and the files that they name")
    })?;
    Ok(Some((config, context)))
}

fn in_cluster(options: &ConnectOptions) -> Result<Option<(Config, String)>> {
    if let Some(context) = &options.context {
        return Err(Error::usage(format!(
            "there is no kubeconfig to find context \"{context}\" in"
        ))
        .hint("name the file with --kubeconfig or KUBECONFIG"));
    }
    Ok(Config::incluster().ok().map(|config| (config, IN_CLUSTER.to_owned())))
}

fn default_place() -> String {
    match std::env::var("KUBECONFIG") {
        Ok(path) if !path.is_empty() => format!("kubeconfig \"{path}\" (from KUBECONFIG)"),
        _ => "kubeconfig ~/.kube/config".to_owned(),
    }
}

fn unreadable(place: &str, cause: KubeconfigError) -> Error {
    let hint = match &cause {
        KubeconfigError::ReadConfig(io, _) if io.kind() == std::io::ErrorKind::NotFound => {
            "there is no such file; check the path given to --kubeconfig or KUBECONFIG"
        }
        KubeconfigError::ReadConfig(..) => "check that you may read the file",
        _ => "it must be YAML as \"kubectl config view\" prints it",
    };
    Error::usage(format!("cannot read {place}")).because(cause).hint(hint)
}

/// Puts an error of the API server into words. `what` says what was tried, for example
/// `cannot list hosts`; `needs` names the permission, for example `list hosts`.
pub fn explain(what: impl Into<String>, needs: &str, cause: kube::Error) -> Error {
    let what = what.into();
    match cause {
        // A Status without a reason is not "forbidden" to kube, whatever its code.
        kube::Error::Api(status) if status.code == 403 || status.is_forbidden() => {
            Error::new(format!("{what}: the server refused it (403)"))
                .because(std::io::Error::other(status.message.clone()))
                .hint(format!("your user lacks the permission to {needs}; ask for it, or see \"{}\"", can_i(needs)))
        }
        kube::Error::Api(status) if status.code == 401 => {
            Error::new(format!("{what}: the server does not know you (401)"))
                .hint("the client certificate or token of your kubeconfig is not valid on this server, or has expired")
        }
        kube::Error::Api(status) if is_unserved(&status) && asked(needs).group == crate::model::GROUP => {
            Error::new(format!("{what}: the server does not serve {}", crate::model::GROUP))
                .hint("its resource definitions are missing; install them with \"inv-tui --headless crds --apply\"")
        }
        kube::Error::Api(status) => {
            Error::new(format!("{what}: the server answered {}", status.code))
                .because(std::io::Error::other(status.message.clone()))
        }
        kube::Error::Service(cause) => Error::new(format!("{what}: the server cannot be reached"))
            .because(cause)
            .hint("check that it runs, and the server address in your kubeconfig"),
        kube::Error::HyperError(cause) => Error::new(format!("{what}: the connection broke"))
            .because(cause),
        kube::Error::Auth(cause) => Error::new(format!("{what}: no credentials"))
            .because(cause)
            .hint("the command or file that your kubeconfig takes credentials from failed"),
        other => Error::new(what).because(other),
    }
}

/// Whether no object is missing, but the resource itself.
fn is_unserved(status: &Status) -> bool {
    status.code == 404 && status.details.as_ref().is_none_or(|details| details.name.is_empty())
}

/// A permission, for example `patch hosts/status`.
struct Asked<'a> {
    verb: &'a str,
    resource: &'a str,
    part: &'a str,
    group: &'static str,
}

fn asked(needs: &str) -> Asked<'_> {
    let (verb, resource) = needs.split_once(' ').unwrap_or((needs, ""));
    let (resource, part) = resource.split_once('/').unwrap_or((resource, ""));
    let group = match resource {
        "hosts" | "clusters" | "regions" | "sources" => crate::model::GROUP,
        "leases" => "coordination.k8s.io",
        "certificatesigningrequests" => "certificates.k8s.io",
        "customresourcedefinitions" => "apiextensions.k8s.io",
        _ => "",
    };
    Asked { verb, resource, part, group }
}

/// The question to kubectl whether one may do this.
fn can_i(needs: &str) -> String {
    let Asked { verb, resource, part, group } = asked(needs);
    let dot = if group.is_empty() { "" } else { "." };
    let part = if part.is_empty() { String::new() } else { format!(" --subresource={part}") };
    format!("kubectl auth can-i {verb} {resource}{dot}{group}{part}")
}

/// What went wrong with a watch. None: it was too old (410) and is only begun again, with a list.
pub fn watch_failure(problem: watcher::Error) -> Option<kube::Error> {
    match problem {
        watcher::Error::InitialListFailed(cause)
        | watcher::Error::WatchStartFailed(cause)
        | watcher::Error::WatchFailed(cause) => Some(cause),
        watcher::Error::WatchError(status) if status.code == 410 => None,
        watcher::Error::WatchError(status) => Some(kube::Error::Api(status)),
        watcher::Error::NoResourceVersion => {
            let cause = "the server sent an object without a version";
            Some(kube::Error::ReadEvents(std::io::Error::other(cause)))
        }
    }
}

/// Whether what the server says stays so until a person mends it: a permission, a definition or
/// credentials that are missing. What passes by itself does not, 429 and the 5xx for example.
pub fn stays(cause: &kube::Error) -> bool {
    let kube::Error::Api(status) = cause else { return false };
    (400..429).contains(&status.code) && !matches!(status.code, 408 | 410)
}

/// What went wrong with a watch of these resources, in words, and whether it [`stays`]. None: it was
/// too old and is only begun again.
pub fn explain_watch(resources: &str, problem: watcher::Error) -> Option<(Error, bool)> {
    let verb =
        if matches!(problem, watcher::Error::InitialListFailed(_)) { "list" } else { "watch" };
    let cause = watch_failure(problem)?;
    let (what, needs) = (format!("cannot {verb} {resources}"), format!("{verb} {resources}"));
    let stays = stays(&cause);
    Some((explain(what, &needs, cause), stays))
}

/// Runs a call of the API server, at most `deadline` long.
///
/// # Errors
/// What the server said, in words, or that it did not answer in time.
pub async fn call<T>(
    what: &str,
    needs: &str,
    deadline: Duration,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T> {
    match tokio::time::timeout(deadline, request).await {
        Ok(answer) => answer.map_err(|cause| explain(what, needs, cause)),
        Err(_) => Err(Error::new(format!("{what}: no answer after {} s", deadline.as_secs()))
            .hint("the server is overloaded or out of reach; try again, or check the network")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_to_kubectl_names_what_is_asked_for() {
        for (needs, question) in [
            ("list hosts", "list hosts.inventory.inv-tui.dev"),
            ("patch hosts/status", "patch hosts.inventory.inv-tui.dev --subresource=status"),
            ("watch leases", "watch leases.coordination.k8s.io"),
            ("list nodes", "list nodes"),
            ("list machines.cluster.x-k8s.io", "list machines.cluster.x-k8s.io"),
        ] {
            assert_eq!(can_i(needs), format!("kubectl auth can-i {question}"));
        }
    }

    #[test]
    fn only_what_is_ours_is_to_be_installed() {
        let told = |needs| {
            let status = Box::new(Status { code: 404, ..Status::default() });
            explain("cannot list it", needs, kube::Error::Api(status))
        };
        for needs in ["list hosts", "patch sources/status"] {
            assert!(told(needs).to_string().ends_with("does not serve inventory.inv-tui.dev"));
            assert!(told(needs).next_step().is_some_and(|hint| hint.contains("crds --apply")));
        }
        for needs in ["watch certificatesigningrequests", "list machines.cluster.x-k8s.io"] {
            let error = told(needs);
            assert!(error.to_string().ends_with("the server answered 404"), "{error}");
            assert_eq!(error.next_step(), None, "our definitions would not help");
        }
    }

    #[test]
    fn what_could_be_installed_where_is_a_command_that_works() {
        assert!(no_inventory("staging").contains("crds --apply --context staging)"));
        assert!(no_inventory(IN_CLUSTER).contains("crds --apply)"));
    }

    #[test]
    fn what_stays_is_told_from_what_passes() {
        let told = |code| {
            let status = Box::new(Status { code, ..Status::default() });
            explain_watch("leases", watcher::Error::InitialListFailed(kube::Error::Api(status)))
        };
        for (code, expected) in
            [(401, true), (403, true), (404, true), (410, false), (429, false), (503, false)]
        {
            let (error, stays) = told(code).unwrap();
            assert_eq!(stays, expected, "{code}");
            assert!(error.to_string().starts_with("cannot list leases"), "{error}");
        }
    }

    #[test]
    fn a_watch_that_is_too_old_is_no_failure() {
        let answer = |code| Box::new(Status { code, ..Status::default() });
        assert!(watch_failure(watcher::Error::WatchError(answer(410))).is_none());
        for problem in [
            watcher::Error::WatchError(answer(500)),
            watcher::Error::InitialListFailed(kube::Error::Api(answer(500))),
        ] {
            let cause = watch_failure(problem).unwrap();
            let error = explain("cannot follow hosts", "watch hosts", cause);
            assert_eq!(error.to_string(), "cannot follow hosts: the server answered 500");
        }
        let cause = watch_failure(watcher::Error::NoResourceVersion).unwrap();
        let error = explain("cannot follow hosts", "watch hosts", cause);
        assert!(crate::error::chain(&error).contains("an object without a version"));
    }
}
