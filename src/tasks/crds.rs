//! `inv-tui --headless crds`: prints the resource definitions, or installs them.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use kube::ResourceExt;

use crate::error::{Error, Result};
use crate::store::client::{ConnectOptions, connect_to_cluster};
use crate::store::definitions::{apply, definitions};

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

/// Runs the task.
///
/// # Errors
/// As [`print()`], [`write()`] and [`apply`].
pub async fn run(args: CrdsArgs, server: &ConnectOptions, namespace: &str) -> Result<u8> {
    if args.apply {
        let connection = connect_to_cluster(server).await?;
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
