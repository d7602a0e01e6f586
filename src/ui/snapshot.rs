//! `--snapshot 120x35`: the explorer without a terminal. The same loop runs on a screen in memory;
//! when nothing moves any more the keys of `--keys` are pressed, one after the other, and the last
//! frame is printed as text.

use std::io::{self, Write};
use std::str::FromStr;
use std::time::Duration;

use futures::{Stream, stream};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{Event, KeyEvent};
use tokio::sync::{mpsc, watch};
use unicode_width::UnicodeWidthStr;

use super::actions;
use super::app::Model;
use super::msg::{Command, Msg};
use super::run::{Clock, Executor, run};
use super::theme::Theme;
use crate::error::{EXIT_DONE, EXIT_FAILED, Error, Result};

/// Smallest and largest picture, in columns and rows.
const SMALLEST: (u16, u16) = (20, 5);
const LARGEST: (u16, u16) = (400, 200);

/// How long to wait, and for what.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Without a new frame for this long, the screen has settled.
    pub quiet: Duration,
    /// After this long the picture is taken as it is.
    pub deadline: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { quiet: Duration::from_millis(300), deadline: Duration::from_secs(30) }
    }
}

/// Columns and rows of a picture, such as `120x35`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let sides =
            text.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
        let (width, height) = sides.ok_or("a size is columns, x, rows: 120x35")?;
        if width < SMALLEST.0 || height < SMALLEST.1 || width > LARGEST.0 || height > LARGEST.1 {
            return Err(format!(
                "a picture is at least {}x{} and at most {}x{}",
                SMALLEST.0, SMALLEST.1, LARGEST.0, LARGEST.1
            ));
        }
        Ok(Self { width, height })
    }
}

/// Keys to press, such as `j j enter`, with the names of the table of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys(pub Vec<KeyEvent>);

impl FromStr for Keys {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let key = |word| {
            actions::parse_key(word).ok_or_else(|| {
                format!("\"{word}\" is no key; keys are single characters and names such as enter, esc, tab, space, down, ctrl-d, with spaces between them")
            })
        };
        text.split_whitespace().map(key).collect::<std::result::Result<_, _>>().map(Self)
    }
}

/// Passes commands on, but for clipboard, browser and what is remembered, which are none of a
/// picture's business, and tells what each frame showed.
struct Watched<E> {
    inner: E,
    /// Whether the frame that was drawn last had everything.
    seen: watch::Sender<bool>,
}

impl<E: Executor> Executor for Watched<E> {
    fn start(&mut self, command: Command) {
        let leaves_traces = matches!(
            command,
            Command::Copy(_)
                | Command::CopyToTerminal(_)
                | Command::Browse(_)
                | Command::Save { .. }
                | Command::Mouse(_)
                | Command::KeepFilter(_)
                | Command::EditViews(_)
        );
        if !leaves_traces {
            self.inner.start(command);
        }
    }

    fn drawn(&mut self, model: &Model) {
        self.seen.send_replace(model.settled());
    }
}

/// The keys, each pressed when the screen has settled; ends when it has settled after the last.
fn presses(
    keys: Keys,
    quiet: Duration,
    seen: watch::Receiver<bool>,
) -> impl Stream<Item = io::Result<Event>> {
    stream::unfold((keys.0.into_iter(), seen), move |(mut keys, mut seen)| async move {
        loop {
            let settled = *seen.borrow_and_update();
            tokio::select! {
                changed = seen.changed() => changed.ok()?,
                () = tokio::time::sleep(quiet), if settled => break,
            }
        }
        keys.next().map(|key| (Ok(Event::Key(key)), (keys, seen)))
    })
}

/// Runs the explorer until its screen has settled, and prints it. The exit code tells whether it
/// had; a line on `complaints` says so too.
///
/// # Errors
/// Something behind the screen broke, or `out` cannot be written.
pub async fn take(
    (model, mut theme, keys): (Model, Theme, Keys),
    messages: &mut mpsc::Receiver<Msg>,
    executor: impl Executor,
    clock: &impl Clock,
    patience: Patience,
    (out, complaints): (&mut impl Write, &mut impl Write),
) -> Result<u8> {
    let (width, height) = model.size;
    let mut terminal = Terminal::new(TestBackend::new(width, height))
        .map_err(|cause| Error::new("cannot draw the picture").because(cause))?;
    let (seen, frames) = watch::channel(false);
    let mut executor = Watched { inner: executor, seen };
    let events = presses(keys, patience.quiet, frames);
    let looked = run(&mut terminal, model, &mut theme, events, messages, &mut executor, clock);
    let code = if let Ok(ended) = tokio::time::timeout(patience.deadline, looked).await {
        ended.map(|_| EXIT_DONE)?
    } else {
        let seconds = patience.deadline.as_secs();
        let _ = writeln!(
            complaints,
            "inv-tui: the screen was still changing after {seconds} s: this is how it was then"
        );
        EXIT_FAILED
    };
    let text = plain(terminal.backend().buffer());
    writeln!(out, "{text}")
        .and_then(|()| out.flush())
        .map_err(|cause| Error::new("cannot write to standard output").because(cause))?;
    Ok(code)
}

/// A screen as text, lines without trailing spaces.
pub fn plain(screen: &Buffer) -> String {
    let width = usize::from(screen.area.width.max(1));
    let lines: Vec<String> = screen
        .content()
        .chunks(width)
        .map(|cells| {
            let mut line = String::new();
            let mut covered = 0; // cells that a wide character before them covers
            for cell in cells {
                if covered == 0 {
                    line.push_str(cell.symbol());
                    covered = cell.symbol().width().saturating_sub(1);
                } else {
                    covered -= 1;
                }
            }
            line.trim_end().to_owned()
        })
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests;
