//! The command line: the explorer, or one headless task.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::{self, Config};
use crate::error::Result;
use crate::store::client::ConnectOptions;
use crate::tasks;

/// Options that every way of starting the program knows.
#[derive(Args, Clone, Debug, Default)]
pub struct Global {
    /// Kubeconfig file to use instead of KUBECONFIG or ~/.kube/config
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Namespace of the hosts
    #[arg(long, short = 'n', global = true, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Configuration file to use instead of the one in your configuration folder
    #[arg(long, global = true, value_name = "FILE", env = "INV_TUI_CONFIG")]
    pub config: Option<PathBuf>,
}

impl Global {
    /// Where to connect.
    pub fn connect_options(&self) -> ConnectOptions {
        ConnectOptions { kubeconfig: self.kubeconfig.clone(), context: self.context.clone() }
    }

    /// The namespace that was named, else the default one.
    pub fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or(crate::model::DEFAULT_NAMESPACE)
    }
}

/// A live terminal explorer for a fleet of hosts on a Kubernetes API server.
#[derive(Parser, Clone, Debug)]
#[command(
    name = "inv-tui",
    version,
    after_help = "\
Services and one-shot tasks: inv-tui --headless TASK, with TASK one of
  crds    print or install the resource definitions
  fetch   read hosts from a provider into the API server
\"inv-tui --headless TASK --help\" tells more. (k9s calls hiding its header --headless; here it means: no screen.)"
)]
pub struct Explorer {
    /// Options that every way of starting the program knows.
    #[command(flatten)]
    pub global: Global,
    /// Filter to begin with, for example 'env=prod web'
    #[arg(long, value_name = "FILTER")]
    pub filter: Option<String>,
    /// Theme: one of the built-in ones or a file in your themes folder
    #[arg(long, value_name = "NAME")]
    pub theme: Option<String>,
    /// Begin with writing disarmed
    #[arg(long)]
    pub read_only: bool,
    /// Draw with ASCII characters only
    #[arg(long)]
    pub ascii: bool,
}

impl Explorer {
    /// The configuration file with the command line laid over it.
    ///
    /// # Errors
    /// The file cannot be read or is malformed.
    pub fn config(&self) -> Result<Config> {
        let mut config = config::load(self.global.config.as_deref())?;
        let Self { global, filter, theme, read_only, ascii } = self.clone();
        config.namespace = global.namespace.or(config.namespace);
        config.filter = filter.or(config.filter);
        config.theme = theme.or(config.theme);
        config.read_only |= read_only;
        config.ascii |= ascii;
        Ok(config)
    }
}

/// Services and one-shot tasks without a screen.
#[derive(Parser, Clone, Debug)]
#[command(name = "inv-tui --headless", bin_name = "inv-tui --headless", version)]
pub struct Headless {
    /// Options that every way of starting the program knows.
    #[command(flatten)]
    pub global: Global,
    /// Which task.
    #[command(subcommand)]
    pub task: Task,
}

/// One headless task.
#[derive(Subcommand, Clone, Debug)]
pub enum Task {
    /// Print the resource definitions, or install them
    Crds(tasks::crds::CrdsArgs),
    /// Read hosts from a provider into the API server
    Fetch(Box<tasks::fetch::FetchArgs>),
}

/// What the command line asks for.
#[derive(Clone, Debug)]
pub enum Invocation {
    /// The explorer.
    Explore(Explorer),
    /// A headless task.
    Headless(Headless),
}

/// Reads the command line, program name first. `--headless` may stand anywhere; the word after it
/// is the task.
///
/// # Errors
/// Wrong usage, or a request for help or the version, as clap reports them.
pub fn parse(
    args: impl IntoIterator<Item = OsString>,
) -> std::result::Result<Invocation, clap::Error> {
    let mut args: Vec<OsString> = args.into_iter().collect();
    let flag = args
        .iter()
        .position(|a| a == "--headless" || a.to_string_lossy().starts_with("--headless="));
    let Some(flag) = flag else {
        return Explorer::try_parse_from(args).map(Invocation::Explore);
    };
    let word = args.remove(flag);
    if let Some(task) = word.to_string_lossy().strip_prefix("--headless=") {
        args.insert(flag, OsString::from(task));
    }
    Headless::try_parse_from(args).map(Invocation::Headless)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_words(words: &str) -> std::result::Result<Invocation, clap::Error> {
        parse(words.split(' ').map(OsString::from))
    }

    #[test]
    fn headless_may_stand_anywhere() {
        for words in [
            "inv-tui --headless crds --apply --kubeconfig f",
            "inv-tui --kubeconfig f --headless crds --apply",
            "inv-tui --headless=crds --kubeconfig=f --apply",
        ] {
            let Ok(Invocation::Headless(h)) = parse_words(words) else {
                panic!("{words}");
            };
            assert_eq!(h.global.kubeconfig.unwrap().to_str(), Some("f"), "{words}");
            assert!(matches!(h.task, Task::Crds(c) if c.apply), "{words}");
        }
    }

    #[test]
    fn unknown_tasks_and_flags_are_refused() {
        for words in
            ["inv-tui --headless", "inv-tui --headless nope", "inv-tui --nope", "inv-tui extra"]
        {
            assert!(parse_words(words).is_err(), "{words}");
        }
    }
}
