//! `inv-tui --headless render`: files of other programs, kept as the hosts are.
//!
//! ```text
//! watch ── hosts ──► what each file wants ── template ──► the file ── command ──► its reader
//!                    (model/render.rs)                    replaced whole, if
//!                                                         the text is another
//! ```
//!
//! Nothing is asked for again and again: what happens to a host is in the file when the watch tells of
//! it. Before all hosts are known nothing is written, and while the API server is out of reach the file
//! stays as it is; so it does if its template cannot be filled. A command that has not succeeded is run
//! again, also by the process after this one.

mod config;
mod control;
mod diff;
mod hook;
mod metrics;
mod once;
mod output;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use futures::future::join_all;
use jiff::Timestamp;
use tokio::sync::watch;

use self::config::Page;
use self::control::{Control, Published};
use self::metrics::Metrics;
use self::once::Once;
use self::output::Output;
use crate::error::{EXIT_DONE, Error, Result};
use crate::model::render::Views;
use crate::store::client::{ConnectOptions, DEADLINE, connect, connect_to_cluster};
use crate::tasks::select::{SelectArgs, parse_filter};
use crate::tasks::{http, reach, signals};
use crate::telemetry::LogArgs;

/// Where health and metrics are served.
const LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9424);

/// Keep files of other programs as the hosts are, by templates
///
/// Fills a template with the hosts of a filter, writes the file if that gives another text, and runs a
/// command that tells whoever reads it; again whenever a host changes. With --template it fills one
/// template once and prints the text.
///
/// Exit codes: 0 done, 1 a file or its command failed, 2 wrong usage or set-up, 4 no host is chosen.
#[derive(Args, Clone, Debug)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["render_config", "template"]))]
pub struct RenderArgs {
    /// File that names templates, files and commands, see deploy/render.toml
    #[arg(long, value_name = "FILE")]
    pub render_config: Option<PathBuf>,
    /// A template to try: it is filled once and the text printed
    #[arg(long, value_name = "FILE", conflicts_with = "once")]
    pub template: Option<PathBuf>,
    /// Which hosts, with --template.
    #[command(flatten)]
    pub select: SelectArgs,
    /// Write the text into this file instead, if it is another one
    #[arg(long, short, value_name = "FILE", requires = "template")]
    pub output: Option<PathBuf>,
    /// Render each file once, tell its reader if it is another text, and exit
    #[arg(long)]
    pub once: bool,
    /// Print as a diff what would be written, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// A file without hosts is no error
    #[arg(long)]
    pub allow_empty: bool,
    /// Address of /healthz, /readyz and /metrics [default: 127.0.0.1:9424]
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["template", "once", "dry_run"])]
    pub listen: Option<SocketAddr>,
    /// Form of the log.
    #[command(flatten)]
    pub log: LogArgs,
}

impl RenderArgs {
    /// What is to be rendered.
    fn pages(&self) -> Result<Vec<Page>> {
        let mut pages = match (&self.render_config, &self.template) {
            (Some(file), _) => {
                if self.select != SelectArgs::default() {
                    return Err(Error::usage("--filter and --include go with --template")
                        .hint("in the file each [[file]] has its own filter and include"));
                }
                config::read(file)?
            }
            (None, Some(template)) => {
                if self.dry_run && self.output.is_none() {
                    return Err(Error::usage("--dry-run compares with a file: name it")
                        .hint("--output FILE; without both the text is printed"));
                }
                let path = self.output.clone().unwrap_or_default();
                let mut page = Page::of(config::read_template(template)?, template, path);
                page.filter = parse_filter(self.select.filter.as_deref().unwrap_or_default())?;
                page.include.clone_from(&self.select.include);
                vec![page]
            }
            (None, None) => return Err(Error::usage("--render-config or --template")),
        };
        for page in &mut pages {
            page.allow_empty |= self.allow_empty;
        }
        Ok(pages)
    }
}

/// Runs the task.
///
/// # Errors
/// What keeps it from starting: a file or a template with a mistake, an address that cannot be used, an
/// API server that does not let us read hosts. Without `--once` and the like one that is away does not: it
/// is waited for.
pub async fn run(args: RenderArgs, server: &ConnectOptions, namespace: &str) -> Result<u8> {
    let pages = args.pages()?;
    if args.template.is_some() || args.once || args.dry_run {
        crate::telemetry::start(args.log, "info")?;
        let connection = connect(server).await?;
        let once = Once::read(&connection, namespace, pages).await?;
        return if args.dry_run {
            once.compare()
        } else if args.template.is_some() && args.output.is_none() {
            once.print()
        } else {
            once.write().await
        };
    }
    crate::telemetry::start(args.log, "info")?;
    let stop = signals::signals("stopping: files stay as they are")?;
    let (metrics, registry) = Metrics::new();
    let listener = http::bind(args.listen.unwrap_or(LISTEN)).await?;
    let connection = connect_to_cluster(server).await?;
    if let Err(problem) = reach::hosts(&connection, namespace, None).await {
        reach::passes(problem)?;
    }
    let now = Timestamp::now();
    let views = Views::new(pages.iter().map(|page| page.want(now)).collect());
    let mut files: Vec<(String, watch::Sender<Published>)> = Vec::new();
    let mut keepers = Vec::new();
    for page in pages {
        let (sender, published) = watch::channel(Published::default());
        files.push((page.name.clone(), sender));
        let output = Output { page: Arc::new(page), metrics: metrics.clone() };
        keepers.push(tokio::spawn(output.keep(published, stop.clone())));
    }
    let counted = metrics.clone();
    let ready: http::Ready = Arc::new(move || {
        if counted.is_synced() { Ok(()) } else { Err("the hosts are not known".to_owned()) }
    });
    tokio::spawn(http::serve(listener, registry, ready, stop.clone()));
    let control = Control { views, files, metrics, complete: false, lost: false };
    Box::pin(control.run(connection, namespace, stop)).await;
    // Commands that run are ended with all that they have started.
    let _ = tokio::time::timeout(DEADLINE, join_all(keepers)).await;
    tracing::info!("stopped");
    Ok(EXIT_DONE)
}
