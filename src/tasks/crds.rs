//! `inv-tui --headless crds`: prints the resource definitions, or installs them.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::{CustomResourceExt, ResourceExt};

use crate::error::{Error, Result};
use crate::model::{cluster::Cluster, host::Host, region::Region, source::Source};
use crate::store::client::{ConnectOptions, Connection, DEADLINE, OPERATOR, call, connect};

/// Options of the task.
#[derive(clap::Args, Clone, Debug)]
pub struct CrdsArgs {
    /// Install the definitions and the namespace on the server, and wait until they are served
    #[arg(long, conflicts_with = "write")]
    pub apply: bool,
    /// Write one file for each definition into this folder
    #[arg(long, value_name = "DIR")]
    pub write: Option<PathBuf>,
    /// Seconds to wait for the server to serve them
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout: u64,
}

/// Our definitions, in the order in which they are printed.
pub fn definitions() -> Vec<CustomResourceDefinition> {
    vec![Host::crd(), Cluster::crd(), Region::crd(), Source::crd()]
}

/// The definitions as YAML, each with the name of its file in `crds/`.
///
/// # Errors
/// None in practice: only if a definition could not be written as YAML.
pub fn files() -> Result<Vec<(String, String)>> {
    definitions()
        .into_iter()
        .map(|crd| {
            let yaml = serde_saphyr::to_string(&crd).map_err(|cause| {
                Error::new(format!("cannot write {} as YAML", crd.name_any())).because(cause)
            })?;
            Ok((format!("{}.yaml", crd.spec.names.plural), yaml))
        })
        .collect()
}

/// Prints all definitions as one stream of YAML documents.
///
/// # Errors
/// Standard output cannot be written.
pub fn print(out: &mut impl Write) -> Result<()> {
    let write = |out: &mut dyn Write, text: &str| {
        out.write_all(text.as_bytes())
            .map_err(|cause| Error::new("cannot write to standard output").because(cause))
    };
    for (_, yaml) in files()? {
        write(out, "---\n")?;
        write(out, yaml.trim_end())?;
        write(out, "\n")?;
    }
    Ok(())
}

/// Writes one file for each definition into `dir`, which is made if it is missing.
///
/// # Errors
/// The folder or a file cannot be written.
pub fn write(dir: &std::path::Path) -> Result<()> {
    let fail = |cause| Error::new(format!("cannot write to \"{}\"", dir.display())).because(cause);
    std::fs::create_dir_all(dir).map_err(fail)?;
    for (name, yaml) in files()? {
        std::fs::write(dir.join(name), yaml).map_err(fail)?;
    }
    Ok(())
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

/// Runs the task.
///
/// # Errors
/// As [`print()`], [`write()`] and [`apply`].
pub async fn run(args: CrdsArgs, server: &ConnectOptions, namespace: &str) -> Result<u8> {
    if args.apply {
        let connection = connect(server).await?;
        let mut err = std::io::stderr();
        let say = |line: &str| {
            let _ = writeln!(err, "{line}");
        };
        apply(&connection, namespace, Duration::from_secs(args.timeout), say).await?;
    } else if let Some(dir) = args.write {
        write(&dir)?;
    } else {
        print(&mut std::io::stdout().lock())?;
    }
    Ok(crate::error::EXIT_DONE)
}
