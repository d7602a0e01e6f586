//! Logs of the headless tasks: structured lines on stderr, never on stdout, which is for data.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::error::{Error, Result};

/// Variable with the level, or with directives such as `info,inv_tui=debug`.
pub const LEVEL: &str = "INV_TUI_LOG";

/// Form of the log lines.
#[derive(clap::ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Text with key=value fields
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

/// Options of every task that logs.
#[derive(clap::Args, Clone, Copy, Debug, Default)]
pub struct LogArgs {
    /// Form of the log lines on stderr; the level comes from `INV_TUI_LOG`
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub log_format: LogFormat,
}

impl LogArgs {
    /// Whether a person watches stderr, so that progress may be drawn there.
    pub fn interactive(self) -> bool {
        self.log_format == LogFormat::Text && std::io::stderr().is_terminal()
    }
}

/// Set while a progress line stands on the terminal: a log line then begins by wiping it.
static PROGRESS: AtomicBool = AtomicBool::new(false);

/// Starts logging. `level` is used where `INV_TUI_LOG` is not set.
///
/// # Errors
/// `INV_TUI_LOG` does not parse; the exit code is for usage.
pub fn start(args: LogArgs, level: &str) -> Result<()> {
    let wanted = std::env::var(LEVEL).unwrap_or_default();
    let wanted = if wanted.trim().is_empty() { level } else { wanted.trim() };
    // a level alone is for this program: libraries print whole requests when they may, and
    // kube_client prints each failure that we tell in our own words once more
    let ours = format!("warn,kube_client=off,inv_tui={wanted}");
    let wanted = if wanted.contains(['=', ',']) { wanted } else { &ours };
    let filter = EnvFilter::try_new(wanted).map_err(|cause| {
        Error::usage(format!("{LEVEL} is not a level: \"{wanted}\""))
            .because(cause)
            .hint("use error, warn, info, debug or trace, or directives such as info,inv_tui=debug")
    })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(Stderr);
    let done = match args.log_format {
        LogFormat::Text => builder
            .with_ansi(args.interactive() && std::env::var_os("NO_COLOR").is_none())
            .with_target(false)
            .try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    done.map_err(|cause| Error::new("cannot start logging").because(cause))
}

/// Draws one line that the next one replaces; only for a terminal.
pub fn progress(line: &str) {
    let wipe = if PROGRESS.swap(!line.is_empty(), Ordering::Relaxed) { "\r\x1b[2K" } else { "" };
    let mut stderr = std::io::stderr().lock();
    let _ = write!(stderr, "{wipe}{line}").and_then(|()| stderr.flush());
}

struct Stderr;

impl<'a> MakeWriter<'a> for Stderr {
    type Writer = std::io::StderrLock<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        let mut stderr = std::io::stderr().lock();
        if PROGRESS.swap(false, Ordering::Relaxed) {
            let _ = stderr.write_all(b"\r\x1b[2K");
        }
        stderr
    }
}
