//! Programs of a person's own: a command that has the terminal for itself (ssh), and a browser.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::Command as Process;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::app::{Model, update};
use super::msg::{Command, Msg};
use super::run::{Clock, Executor};

/// Messages taken together while the program has the terminal.
const BATCH: usize = 64;
/// How long a browser may take to say that it cannot; one that still runs then has been opened.
const OPENED: Duration = Duration::from_secs(5);

/// Runs a command that has the terminal for itself. Meanwhile the state goes on, without pictures.
/// Returns what it ended with.
///
/// # Errors
/// It could not be run.
pub async fn run(
    words: &[String],
    model: &mut Model,
    messages: &mut mpsc::Receiver<Msg>,
    executor: &mut impl Executor,
    clock: &impl Clock,
) -> Result<ExitStatus, String> {
    let (program, arguments) = words.split_first().ok_or("no program is named")?;
    let mut child = Process::new(program).args(arguments).kill_on_drop(true).spawn().map_err(
        |cause| match cause.kind() {
            std::io::ErrorKind::NotFound => format!(
                "there is no program \"{program}\" here: \"ssh\" in the configuration names another"
            ),
            _ => format!("cannot run \"{program}\": {cause}"),
        },
    )?;
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        let commands = tokio::select! {
            biased;
            ended = child.wait() => {
                return ended.map_err(|cause| format!("cannot wait for \"{program}\": {cause}"));
            }
            _ = tick.tick() => update(model, Msg::Tick(clock.now())),
            () = std::future::ready(()), if model.filtering() => model.filter_step(),
            count = messages.recv_many(&mut batch, BATCH) => {
                if count == 0 {
                    return child.wait().await.map_err(|cause| cause.to_string());
                }
                batch.drain(..).flat_map(|msg| update(model, msg)).collect()
            }
        };
        for command in commands {
            if command == Command::Quit {
                // Something behind the screen broke; the person is told when the program ends.
                model.leaving = true;
            } else {
                executor.start(command);
            }
        }
    }
}

/// What a command ended with, for the person; the error is one to look at.
///
/// # Errors
/// It did not end by itself, or says that it could not reach the host.
pub fn said(program: &str, ended: Result<ExitStatus, String>) -> Result<String, String> {
    let ended = ended?;
    match ended.code() {
        Some(0) => Ok(format!("{program} has ended")),
        // What ssh ends with when it cannot connect; any other number is that of the last command.
        Some(255) => Err(format!(
            "{program} ended with 255: no connection, or it broke; what it said stands on the terminal's own screen"
        )),
        Some(code) => Ok(format!("{program} has ended with {code}")),
        None => Err(format!("{program} was killed: {ended}")),
    }
}

/// How an address is opened here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opener {
    /// By this program, with these arguments.
    Program(Vec<String>),
    /// There is no desktop.
    Nobody,
}

/// Finds what opens an address: `BROWSER`, else the desktop's own program where there is one.
pub fn opener(url: &str, variable: impl Fn(&str) -> Option<String>) -> Opener {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    if let Some(browser) = set("BROWSER") {
        // Several stand with colons between them; %s is where the address goes.
        let first = browser.split(':').next().unwrap_or_default();
        let mut words: Vec<String> = first.split_whitespace().map(ToOwned::to_owned).collect();
        if words.iter().any(|word| word.contains("%s")) {
            words = words.iter().map(|word| word.replace("%s", url)).collect();
        } else {
            words.push(url.to_owned());
        }
        if words.len() > 1 {
            return Opener::Program(words);
        }
    }
    let remote = set("SSH_TTY").is_some() || set("SSH_CONNECTION").is_some();
    if cfg!(target_os = "macos") && !remote {
        return Opener::Program(vec!["open".to_owned(), url.to_owned()]);
    }
    if set("DISPLAY").is_some() || set("WAYLAND_DISPLAY").is_some() {
        return Opener::Program(vec!["xdg-open".to_owned(), url.to_owned()]);
    }
    Opener::Nobody
}

/// Opens an address.
///
/// # Errors
/// Why it could not be opened.
pub async fn open(url: &str, variable: impl Fn(&str) -> Option<String>) -> Result<(), String> {
    let Opener::Program(words) = opener(url, variable) else {
        return Err("there is no desktop here".to_owned());
    };
    let (program, arguments) = words.split_first().ok_or("no program is named")?;
    let mut process = Process::new(program);
    process.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // It outlives us, and ctrl-c here is none of its business.
    #[cfg(unix)]
    process.process_group(0);
    let mut child = process.spawn().map_err(|cause| format!("cannot run {program}: {cause}"))?;
    match tokio::time::timeout(OPENED, child.wait()).await {
        Ok(Ok(ended)) if !ended.success() => Err(format!("{program} could not open it ({ended})")),
        Ok(Err(cause)) => Err(format!("cannot wait for {program}: {cause}")),
        Ok(Ok(_)) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pairs: &[(&str, &str)]) -> Opener {
        opener("https://x/%73", |name| {
            pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn what_opens_an_address() {
        let program =
            |words: &[&str]| Opener::Program(words.iter().map(|word| (*word).to_owned()).collect());
        let url = "https://x/%73";
        assert_eq!(found(&[("BROWSER", "firefox:w3m")]), program(&["firefox", url]));
        assert_eq!(found(&[("BROWSER", "b --new=%s")]), program(&["b", "--new=https://x/%73"]));
        assert_eq!(
            found(&[("BROWSER", "helper"), ("SSH_TTY", "/dev/pts/1")]),
            program(&["helper", url])
        );
        #[cfg(target_os = "linux")]
        {
            assert_eq!(found(&[("DISPLAY", ":0")]), program(&["xdg-open", url]));
            assert_eq!(
                found(&[("SSH_CONNECTION", "a"), ("WAYLAND_DISPLAY", "w")]),
                program(&["xdg-open", url])
            );
            assert_eq!(found(&[("BROWSER", ":")]), Opener::Nobody);
            assert_eq!(found(&[]), Opener::Nobody);
        }
    }

    #[tokio::test]
    async fn a_browser_that_fails_says_so() {
        let by = |program: &'static str| {
            move |name: &str| (name == "BROWSER").then(|| program.to_owned())
        };
        assert_eq!(open("https://x/", by("true")).await, Ok(()));
        assert!(open("https://x/", by("false")).await.unwrap_err().contains("could not open it"));
        assert!(open("https://x/", by("/nowhere/b")).await.unwrap_err().contains("cannot run"));
        assert!(open("https://x/", |_| None).await.unwrap_err().contains("no desktop"));
    }

    #[cfg(unix)]
    #[test]
    fn what_a_command_ended_with_is_said() {
        use std::os::unix::process::ExitStatusExt;
        let code = |code: i32| said("ssh", Ok(ExitStatus::from_raw(code << 8)));
        assert_eq!(code(0).unwrap(), "ssh has ended");
        assert_eq!(code(1).unwrap(), "ssh has ended with 1");
        assert!(code(255).unwrap_err().contains("no connection"));
        assert!(said("ssh", Ok(ExitStatus::from_raw(9))).unwrap_err().contains("killed"));
        assert_eq!(said("ssh", Err("why".into())), Err("why".into()));
    }
}
