//! Wiring: reads the command line, runs what it asks for, prints the error, sets the exit code.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use inv_tui::cli::{self, Headless, Invocation, Task, pages};
use inv_tui::error::{self, Error};
use inv_tui::store::embedded;
use inv_tui::tasks;
use inv_tui::tasks::demo::Demo;
use inv_tui::ui::start::{Show, explore};

/// What happens in the demo follows from it.
const DEMO_SEED: u64 = 1;

fn main() -> ExitCode {
    inv_tui::guard::install();
    let invocation = match cli::parse(std::env::args_os()) {
        Ok(invocation) => invocation,
        Err(problem) => {
            let _ = problem.print();
            return ExitCode::from(if problem.use_stderr() {
                error::EXIT_USAGE
            } else {
                error::EXIT_DONE
            });
        }
    };
    match run(invocation) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{}", error::report(error.as_ref()));
            let ours = error.chain().find_map(|cause| cause.downcast_ref::<Error>());
            ExitCode::from(ours.map_or(error::EXIT_FAILED, Error::exit_code))
        }
    }
}

fn run(invocation: Invocation) -> anyhow::Result<u8> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let code = match invocation {
        Invocation::Explore(explorer) => {
            let given = explorer.given();
            let options = explorer.global.connect_options();
            runtime.block_on(async {
                let demo = match explorer.demo() {
                    Some(hosts) => Some(demo(hosts, explorer.global.namespace()).await?),
                    None => None,
                };
                let keys = explorer.keys.unwrap_or_default();
                let snapshot = explorer.snapshot.map(|size| (size, keys));
                let (all_contexts, view) = (explorer.all_contexts, explorer.view);
                let show = Show { demo, all_contexts, view, snapshot };
                Box::pin(explore(given, options, show)).await
            })
        }
        Invocation::Headless(Headless { global, task }) => runtime.block_on(async {
            match task {
                Task::Crds(args) => {
                    tasks::crds::run(args, &global.connect_options(), global.namespace()).await
                }
                Task::Execute(args) => tasks::execute::supervise::run(args).await,
                Task::Doctor(args) => {
                    let named = global.namespace.as_deref();
                    let config = global.config.clone();
                    tasks::doctor::run(args, config, &global.connect_options(), named).await
                }
                Task::Config(args) => {
                    let file = global.config.as_deref();
                    tasks::config::run(&args, file, &global.connect_options())
                }
                Task::Completions(args) => pages::completions(&args),
                Task::Man(args) => pages::man(&args),
                Task::Serve(args) => tasks::serve::run(args, global.data_dir.as_deref()).await,
                Task::Maintain(args) => {
                    tasks::maintain::run(*args, &global.connect_options(), global.namespace()).await
                }
                Task::Label(args) => {
                    tasks::label::run(*args, &global.connect_options(), global.namespace()).await
                }
                Task::Run(args) => {
                    tasks::run::run(*args, &global.connect_options(), global.namespace()).await
                }
                Task::Csr(args) => {
                    tasks::csr::run(*args, &global.connect_options(), global.namespace()).await
                }
                Task::Lifecycle(args) => {
                    tasks::lifecycle::run(*args, &global.connect_options(), global.namespace())
                        .await
                }
                Task::Agent(args) => {
                    tasks::agent::run(*args, &global.connect_options(), global.namespace()).await
                }
                Task::Runner(args) => {
                    tasks::runner::run(*args, &global.connect_options(), global.namespace()).await
                }
                Task::Get(args) => {
                    let (server, file) = (global.connect_options(), global.config.as_deref());
                    tasks::get::run(*args, &server, global.namespace(), file).await
                }
                Task::AnsibleInventory(args) => {
                    let (server, file) = (global.connect_options(), global.config.as_deref());
                    tasks::ansible_inventory::run(*args, &server, global.namespace(), file).await
                }
                Task::Monitor(args) => {
                    tasks::monitor::run(*args, &global.connect_options(), global.namespace()).await
                }
                Task::Render(args) => {
                    tasks::render::run(*args, &global.connect_options(), global.namespace()).await
                }
                Task::Approve(args) => {
                    tasks::approve::run(*args, &global.connect_options(), global.namespace()).await
                }
                Task::Decommission(args) => {
                    tasks::decommission::run(*args, &global.connect_options(), global.namespace())
                        .await
                }
                Task::Fetch(args) => {
                    tasks::fetch::run(*args, &global.connect_options(), global.namespace()).await
                }
            }
        }),
    }?;
    Ok(code)
}

/// The demo fleet on a server of its own.
async fn demo(hosts: u32, namespace: &str) -> error::Result<Demo> {
    let (connection, asker) = embedded::in_memory(namespace).await?;
    let client = connection.client;
    Ok(Demo { client, asker, namespace: namespace.to_owned(), hosts, seed: DEMO_SEED })
}
