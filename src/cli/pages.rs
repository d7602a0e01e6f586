//! What is made of the command line's own description: completions for shells, and the manual.

use std::io::Write;
use std::path::PathBuf;

use clap::{Arg, ArgAction, Args, Command, CommandFactory};
use clap_complete::Shell;

use super::{Explorer, Headless};
use crate::error::{EXIT_DONE, Error, Result};

/// Print what completes our words in your shell.
///
/// bash: inv-tui --headless completions bash > ~/.local/share/bash-completion/completions/inv-tui;
/// zsh: into a file _inv-tui in a folder of your fpath; fish: into
/// ~/.config/fish/completions/inv-tui.fish.
#[derive(Args, Clone, Debug)]
pub struct CompletionsArgs {
    /// Which shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Print the manual, or write its pages into a folder.
#[derive(Args, Clone, Debug)]
pub struct ManArgs {
    /// Write inv-tui.1 and a page for each task into this folder, instead of printing the first
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// The whole command line as one: the explorer, and the tasks after `--headless`.
fn whole() -> Command {
    let headless = Arg::new("headless")
        .long("headless")
        .help("Run the task that follows, without a screen")
        .action(ArgAction::SetTrue);
    let tasks = Headless::command();
    let shown = tasks.get_subcommands().filter(|task| !task.is_hide_set()).cloned();
    Explorer::command().arg(headless).subcommands(shown.collect::<Vec<_>>())
}

/// Prints the completions. Gives the exit code.
///
/// # Errors
/// Standard output cannot be written.
pub fn completions(args: &CompletionsArgs) -> Result<u8> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut whole(), "inv-tui", &mut text);
    print(&text)
}

/// Prints the manual's first page, or writes all of them. Gives the exit code.
///
/// # Errors
/// Standard output or the folder cannot be written.
pub fn man(args: &ManArgs) -> Result<u8> {
    let Some(folder) = &args.dir else { return print(&page(whole(), "inv-tui")?) };
    let fail = |cause| {
        Error::new(format!("cannot write the manual into \"{}\"", folder.display())).because(cause)
    };
    std::fs::create_dir_all(folder).map_err(fail)?;
    let mut all = whole();
    // the tasks' pages have the options that every task knows, too
    all.build();
    for task in all.get_subcommands() {
        let name = format!("inv-tui-{}", task.get_name());
        let usage = format!("inv-tui --headless {}", task.get_name());
        let page = page(task.clone().bin_name(usage), &name)?;
        std::fs::write(folder.join(format!("{name}.1")), page).map_err(fail)?;
    }
    std::fs::write(folder.join("inv-tui.1"), page(all.clone(), "inv-tui")?).map_err(fail)?;
    Ok(EXIT_DONE)
}

fn page(command: Command, title: &str) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    let page = clap_mangen::Man::new(command.disable_help_subcommand(true));
    let made = page.title(title).render(&mut text);
    made.map_err(|cause| Error::new("cannot make the manual").because(cause))?;
    Ok(text)
}

fn print(text: &[u8]) -> Result<u8> {
    let written = std::io::stdout().lock().write_all(text);
    written.map_err(|cause| Error::new("cannot write to standard output").because(cause))?;
    Ok(EXIT_DONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_is_completed_and_has_a_page() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("man1");
        man(&ManArgs { dir: Some(folder.clone()) }).unwrap();
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
        assert!(read("inv-tui.1").contains("\\-\\-snapshot"));
        for task in Headless::command().get_subcommands() {
            let (name, path) = (task.get_name(), format!("inv-tui-{}.1", task.get_name()));
            if task.is_hide_set() {
                assert!(!folder.join(path).exists(), "{name}");
                continue;
            }
            let page = read(&path);
            assert!(
                page.contains("inv\\-tui \\-\\-headless") && page.contains("kubeconfig"),
                "{page}"
            );
            for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
                let mut text = Vec::new();
                clap_complete::generate(shell, &mut whole(), "inv-tui", &mut text);
                assert!(String::from_utf8(text).unwrap().contains(name), "{shell} {name}");
            }
        }
    }
}
