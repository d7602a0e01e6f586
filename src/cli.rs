//! The command line: the explorer, or one headless task.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::Overrides;
use crate::store::client::ConnectOptions;
use crate::tasks;
use crate::ui::configured::Given;
use crate::ui::snapshot;

pub mod pages;

/// Options that every way of starting the program knows.
#[derive(Args, Clone, Debug, Default)]
pub struct Global {
    /// Kubeconfig file to use instead of KUBECONFIG or ~/.kube/config
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig; the explorer takes several, with commas between them
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Use the embedded server, whatever else is configured
    #[arg(long, global = true, conflicts_with_all = ["kubeconfig", "context"])]
    pub embedded: bool,
    /// Where the embedded server keeps its store, instead of your data folder
    #[arg(long, global = true, value_name = "DIR", env = "INV_TUI_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
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
        ConnectOptions {
            kubeconfig: self.kubeconfig.clone(),
            context: self.context.clone(),
            embedded: self.embedded,
            data_folder: self.data_dir.clone(),
        }
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
  maintain   put hosts into maintenance, or end it
  run        ask for an Ansible run on hosts
  csr        list, approve or deny certificate requests
  fetch      read hosts from a provider into the API server
  lifecycle  derive phase and conditions, end holds that ran out, count clusters and regions
  agent      on a host: Ansible runs, maintenance and upgrades of this host
  runner     Ansible over ssh for hosts without an agent
  approve    approve certificate requests of hosts by a written policy
  get        print hosts for scripts: table, json, yaml, csv, jsonpath
  ansible-inventory  the hosts as Ansible's dynamic inventory
  monitor    tell Prometheus of the hosts, and Alertmanager of their maintenance
  render     keep files of other programs as the hosts are, by templates
  crds       print or install the resource definitions
  serve      run the embedded API server for others
  config     write, describe or check the configuration file; --paths: what is where
  doctor     find what is wrong with the set-up, and how to mend it
  completions, man   for your shell, and the manual
\"inv-tui --headless TASK --help\" tells more. (k9s calls hiding its header --headless; here it means: no screen.)"
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Explorer {
    /// Options that every way of starting the program knows.
    #[command(flatten)]
    pub global: Global,
    /// Show the hosts of all contexts of the kubeconfig in one tree
    #[arg(long, conflicts_with_all = ["context", "embedded", "demo", "demo_hosts"])]
    pub all_contexts: bool,
    /// Filter to begin with, for example 'env=prod web'
    #[arg(long, value_name = "FILTER")]
    pub filter: Option<String>,
    /// Saved view to begin with; --filter takes the place of its filter
    #[arg(long, value_name = "NAME")]
    pub view: Option<String>,
    /// Theme: auto, one of the built-in ones, or a file in your themes folder
    #[arg(long, value_name = "NAME")]
    pub theme: Option<String>,
    /// Begin with writing disarmed
    #[arg(long)]
    pub read_only: bool,
    /// Draw with ASCII characters only
    #[arg(long)]
    pub ascii: bool,
    /// Show a made-up fleet that lives, on a server inside the program: nothing else is needed
    #[arg(long, conflicts_with_all = ["kubeconfig", "context"])]
    pub demo: bool,
    /// Hosts of the made-up fleet, 1 to 200000 [default: 1000]; implies --demo
    #[arg(long, value_name = "N", conflicts_with_all = ["kubeconfig", "context"],
        value_parser = clap::value_parser!(u32).range(1..=200_000))]
    pub demo_hosts: Option<u32>,
    /// Print one settled frame of this size as text, 20x5 to 400x200, and exit
    #[arg(long, value_name = "WxH")]
    pub snapshot: Option<snapshot::Size>,
    /// Keys to press before the frame is printed, for example 'j j enter' or '?'
    #[arg(long, value_name = "KEYS", requires = "snapshot", allow_hyphen_values = true)]
    pub keys: Option<snapshot::Keys>,
}

/// Hosts of the demo when nobody names a number.
const DEMO_HOSTS: u32 = 1_000;

impl Explorer {
    /// Where the configuration comes from, and what stands above it.
    pub fn given(&self) -> Given {
        let Self { global, filter, theme, read_only, ascii, .. } = self.clone();
        let Global { namespace, config: file, .. } = global;
        Given { file, overrides: Overrides { namespace, filter, theme, read_only, ascii } }
    }

    /// How many hosts the demo has, if it is wanted.
    pub fn demo(&self) -> Option<u32> {
        self.demo_hosts.or_else(|| self.demo.then_some(DEMO_HOSTS))
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
    /// Put hosts into maintenance, or end it
    Maintain(Box<tasks::maintain::MaintainArgs>),
    /// Set labels of hosts (key=value), or remove them (key-)
    Label(Box<tasks::label::LabelArgs>),
    /// Ask for an Ansible run on hosts
    Run(Box<tasks::run::RunArgs>),
    /// List, approve or deny certificate requests
    Csr(Box<tasks::csr::CsrArgs>),
    /// Derive phase and conditions, end holds that ran out, count clusters and regions
    Lifecycle(Box<tasks::lifecycle::LifecycleArgs>),
    /// Run on a host: Ansible runs, maintenance and upgrades of this host
    Agent(Box<tasks::agent::AgentArgs>),
    /// Tell Prometheus of the hosts, and Alertmanager of their maintenance
    Monitor(Box<tasks::monitor::MonitorArgs>),
    /// Keep files of other programs as the hosts are, by templates
    Render(Box<tasks::render::RenderArgs>),
    /// Run Ansible over ssh for hosts without an agent
    Runner(Box<tasks::runner::RunnerArgs>),
    /// Approve certificate requests of hosts by a written policy
    Approve(Box<tasks::approve::ApproveArgs>),
    /// Do what is to be done before a host goes, then let it go
    Decommission(Box<tasks::decommission::DecommissionArgs>),
    /// Print hosts for scripts, chosen by name or by the explorer's filter
    Get(Box<tasks::get::GetArgs>),
    /// The hosts as Ansible's dynamic inventory
    AnsibleInventory(Box<tasks::ansible_inventory::AnsibleInventoryArgs>),
    /// Supervise one run
    #[command(hide = true)]
    Execute(tasks::execute::supervise::ExecuteArgs),
    /// Run the embedded API server for others, or take a backup of its store
    Serve(tasks::serve::ServeArgs),
    /// Write, describe or check the explorer's configuration file
    Config(tasks::config::ConfigArgs),
    /// Find what is wrong with the set-up, and how to mend it
    Doctor(tasks::doctor::DoctorArgs),
    /// Print what completes our words in your shell
    Completions(pages::CompletionsArgs),
    /// Print the manual, or write its pages into a folder
    Man(pages::ManArgs),
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

    fn explorer(words: &str) -> std::result::Result<Explorer, String> {
        match parse_words(words) {
            Ok(Invocation::Explore(explorer)) => Ok(explorer),
            Ok(Invocation::Headless(_)) => panic!("{words}"),
            Err(problem) => Err(problem.to_string()),
        }
    }

    #[test]
    fn a_number_of_hosts_implies_the_demo() {
        assert_eq!(explorer("inv-tui").unwrap().demo(), None);
        assert_eq!(explorer("inv-tui --demo").unwrap().demo(), Some(1_000));
        assert_eq!(explorer("inv-tui --demo-hosts 12").unwrap().demo(), Some(12));
        for (words, why) in [
            ("inv-tui --demo-hosts 0", "1..=200000"),
            ("inv-tui --demo-hosts 200001", "1..=200000"),
            ("inv-tui --demo --kubeconfig f", "cannot be used with"),
            ("inv-tui --demo-hosts 5 --context c", "cannot be used with"),
        ] {
            let problem = explorer(words).unwrap_err();
            assert!(problem.contains(why), "{words}: {problem}");
        }
    }

    #[test]
    fn a_snapshot_has_a_size_and_may_have_keys() {
        let snapshot = explorer("inv-tui --snapshot 120x35").unwrap().snapshot.unwrap();
        assert_eq!((snapshot.width, snapshot.height), (120, 35));
        assert_eq!(explorer("inv-tui --snapshot 20x5 --keys -").unwrap().keys.unwrap().0.len(), 1);
        for (words, why) in [
            ("inv-tui --snapshot 120", "120x35"),
            ("inv-tui --snapshot 120x-3", "120x35"),
            ("inv-tui --snapshot 19x5", "at least 20x5"),
            ("inv-tui --snapshot 400x201", "at most 400x200"),
            ("inv-tui --keys j", "--snapshot"),
            ("inv-tui --snapshot 20x5 --keys entr", "\"entr\" is no key"),
        ] {
            let problem = explorer(words).unwrap_err();
            assert!(problem.contains(why), "{words}: {problem}");
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
