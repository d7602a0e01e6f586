//! Takes the terminal over, and gives it back on every way out: return, error, panic, signal.

use std::io::{self, IsTerminal, Stdout, Write};
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{
    DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture,
};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};

use super::background;
use super::theme::Depth;
use crate::error::{Error, Result};
use crate::guard::is_guarded;

/// Whether the terminal is ours now.
static TAKEN: AtomicBool = AtomicBool::new(false);
/// Whether another program has the terminal now.
static LENT: AtomicBool = AtomicBool::new(false);
/// When it was taken again last.
static RETAKEN: Mutex<Option<Instant>> = Mutex::new(None);
/// How long after that a signal may still be one of the other program's keys: what ends that program
/// is told to us at the same time, and in any order. Here no key makes a signal.
const LATE: Duration = Duration::from_secs(1);

/// Whether the mouse is ours now.
static MOUSE: AtomicBool = AtomicBool::new(false);

/// The terminal while it is ours; dropping it gives it back.
pub struct Screen {
    /// The terminal to draw on.
    pub terminal: Terminal<CrosstermBackend<Stdout>>,
    /// The mouse was ours when the terminal was lent.
    mouse: bool,
}

impl Screen {
    /// Takes the terminal over. From here on a panic anywhere gives it back before it is printed.
    ///
    /// # Errors
    /// Standard input or output is no terminal, or the terminal refuses.
    pub fn take() -> Result<Self> {
        if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
            return Err(Error::usage("the explorer needs a terminal for its input and output")
                .hint("for scripts there is \"inv-tui --headless\""));
        }
        let fail = |cause: io::Error| Error::usage("cannot take over the terminal").because(cause);
        std::panic::set_hook(Box::new(hook(std::panic::take_hook())));
        enable_raw_mode().map_err(fail)?;
        TAKEN.store(true, Ordering::SeqCst);
        let made = execute!(io::stdout(), EnterAlternateScreen, EnableBracketedPaste)
            .and_then(|()| Terminal::new(CrosstermBackend::new(io::stdout())));
        match made {
            Ok(terminal) => Ok(Self { terminal, mouse: false }),
            Err(cause) => {
                give_back();
                Err(fail(cause))
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// A panic hook that gives the terminal back before `other` prints: not for a panic that is caught.
fn hook(
    other: impl Fn(&PanicHookInfo<'_>) + Send + Sync + 'static,
) -> impl Fn(&PanicHookInfo<'_>) + Send + Sync + 'static {
    move |info| {
        if !is_guarded() {
            give_back();
        }
        other(info);
    }
}

/// Takes the mouse, or gives it back to the terminal, which selects text with it. Nothing happens
/// while the terminal is not ours.
pub fn mouse(ours: bool) {
    if !TAKEN.load(Ordering::SeqCst) || MOUSE.swap(ours, Ordering::SeqCst) == ours {
        return;
    }
    let _ = if ours {
        execute!(io::stdout(), EnableMouseCapture)
    } else {
        execute!(io::stdout(), DisableMouseCapture)
    };
}

impl Screen {
    /// Gives the terminal to another program until [`Screen::retake`].
    pub fn lend(&mut self) {
        LENT.store(true, Ordering::SeqCst);
        self.mouse = MOUSE.load(Ordering::SeqCst);
        give_back();
    }

    /// Takes the terminal over again; the next picture is a whole one.
    ///
    /// # Errors
    /// The terminal refuses.
    pub fn retake(&mut self) -> Result<()> {
        let fail = |cause: io::Error| Error::new("cannot take over the terminal").because(cause);
        enable_raw_mode().map_err(fail)?;
        TAKEN.store(true, Ordering::SeqCst);
        *RETAKEN.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        LENT.store(false, Ordering::SeqCst);
        execute!(io::stdout(), EnterAlternateScreen, EnableBracketedPaste).map_err(fail)?;
        mouse(self.mouse);
        // A new one, and not a cleared one: to clear it, it would ask the terminal for its cursor.
        self.terminal = Terminal::new(CrosstermBackend::new(io::stdout())).map_err(fail)?;
        Ok(())
    }
}

/// Whether another program has the terminal now, or had it a moment ago: what its keys mean (ctrl-c)
/// is meant for it.
pub fn is_lent() -> bool {
    let retaken = *RETAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    LENT.load(Ordering::SeqCst) || retaken.is_some_and(|at| at.elapsed() < LATE)
}

/// Gives the terminal back, once; what cannot be written (a closed terminal) is let go.
pub fn give_back() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        if MOUSE.swap(false, Ordering::SeqCst) {
            let _ = execute!(io::stdout(), DisableMouseCapture);
        }
        let _ = execute!(io::stdout(), DisableBracketedPaste, LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
        let _ = io::stdout().flush();
    }
}

/// What the terminal can show, from the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is told by another variable")]
pub struct Abilities {
    /// 24-bit colour is announced.
    pub true_colour: bool,
    /// Colour is not wanted (<https://no-color.org>).
    pub no_colour: bool,
    /// Only ASCII can be shown.
    pub ascii: bool,
    /// How many colours there are.
    pub depth: Depth,
    /// What `COLORFGBG` says of the background.
    pub dark: Option<bool>,
    /// It can be expected to answer questions.
    pub answers: bool,
}

impl Abilities {
    /// Reads them from environment variables.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|v| !v.is_empty());
        let locale =
            set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG")).unwrap_or_default();
        let locale = locale.to_lowercase();
        let term = set("TERM").unwrap_or_default();
        let true_colour = set("COLORTERM").is_some_and(|v| v == "truecolor" || v == "24bit");
        // COLORTERM does not go over ssh, TERM does.
        let rich = ["direct", "kitty", "alacritty", "foot", "ghostty", "wezterm"];
        let few = ["linux", "dumb", "ansi", "cygwin"].contains(&term.as_str())
            || term.starts_with("vt")
            || term.ends_with("-16color");
        let depth = if true_colour || rich.iter().any(|name| term.contains(name)) {
            Depth::Rgb
        } else if few {
            Depth::Sixteen
        } else {
            Depth::Indexed
        };
        Self {
            depth,
            dark: set("COLORFGBG").and_then(|value| background::dark_by_variable(&value)),
            answers: !term.is_empty() && !few,
            true_colour,
            no_colour: set("NO_COLOR").is_some(),
            ascii: set("TERM").is_some_and(|t| t == "linux" || t == "dumb")
                || locale == "c"
                || locale == "posix",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Abilities {
        Abilities::read(|name| {
            pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn a_guarded_panic_leaves_the_terminal_alone() {
        TAKEN.store(true, Ordering::SeqCst);
        crate::guard::tests::with_hook(hook(|_| {}), || {
            assert!(crate::guard::guarded(|| panic!("caught")).is_err());
            assert!(TAKEN.load(Ordering::SeqCst));
            assert!(
                std::panic::catch_unwind(|| panic!("not caught, for all that the hook knows"))
                    .is_err()
            );
            assert!(!TAKEN.load(Ordering::SeqCst));
        });
    }

    #[test]
    fn abilities_come_from_the_environment() {
        let rich = read(&[
            ("COLORTERM", "truecolor"),
            ("LANG", "en_GB.UTF-8"),
            ("TERM", "xterm-256color"),
        ]);
        let wanted = Abilities {
            true_colour: true,
            no_colour: false,
            ascii: false,
            depth: Depth::Rgb,
            dark: None,
            answers: true,
        };
        assert_eq!(rich, wanted);
        for (term, depth, answers) in [
            ("xterm-256color", Depth::Indexed, true),
            ("tmux-256color", Depth::Indexed, true),
            ("xterm-kitty", Depth::Rgb, true),
            ("xterm-direct", Depth::Rgb, true),
            ("linux", Depth::Sixteen, false),
            ("vt220", Depth::Sixteen, false),
            ("", Depth::Indexed, false),
        ] {
            let read = read(&[("TERM", term)]);
            assert_eq!(
                (read.depth, read.answers, read.true_colour),
                (depth, answers, false),
                "{term}"
            );
        }
        assert_eq!(read(&[("COLORFGBG", "0;15")]).dark, Some(false));
        let plain = read(&[("NO_COLOR", "1"), ("LC_ALL", "C"), ("TERM", "xterm")]);
        assert!(!plain.true_colour && plain.no_colour && plain.ascii);
        assert!(!read(&[("NO_COLOR", "")]).no_colour);
        assert!(read(&[("TERM", "linux"), ("LANG", "en_GB.UTF-8")]).ascii);
    }
}
