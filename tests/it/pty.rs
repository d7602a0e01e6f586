//! The real program in a real terminal (a PTY), its screen read by a terminal emulator.

use std::collections::VecDeque;
use std::fs::Permissions;
use std::io::{Read, Write};
use std::num::NonZero;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use portable_pty::{ChildKiller, CommandBuilder, MasterPty, PtySize, native_pty_system};

use crate::support::PATIENCE;

/// When nothing more has come for so long, what another program has written is taken for all of it.
const QUIET: Duration = Duration::from_millis(500);

/// A program that runs in a terminal of its own.
pub(crate) struct Pty {
    master: Box<dyn MasterPty + Send>,
    pid: u32,
    killer: Box<dyn ChildKiller + Send + Sync>,
    ended: Receiver<u32>,
    code: Option<u32>,
    writer: Box<dyn Write + Send>,
    /// What the program has written; the second tells that there is more.
    seen: Arc<(Mutex<Seen>, Condvar)>,
    /// Where the program keeps its state, its journal for one: never in the home of who tests.
    _state: tempfile::TempDir,
}

/// How a letter on the screen looks.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Look {
    front: vt100::Color,
    back: vt100::Color,
    underlined: bool,
}

struct Seen {
    parser: vt100::Parser,
    raw: Vec<u8>,
    /// The whole pictures of the program's own screen, the oldest first, from the one on that was
    /// waited for last, or was there when keys were sent: what comes and goes again is not missed,
    /// however late we look.
    pictures: VecDeque<String>,
}

impl Seen {
    /// Takes what the program has written.
    fn take(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| matches!(byte, b'l' | b'H')) {
            self.parser.process(piece);
            self.raw.extend_from_slice(piece);
            if !self.parser.screen().alternate_screen() {
                self.pictures.clear();
            } else if self.is_whole() {
                let picture = self.text();
                if self.pictures.back() != Some(&picture) {
                    self.pictures.push_back(picture);
                }
            }
        }
    }

    /// What is on the screen.
    fn text(&self) -> String {
        self.parser.screen().contents()
    }

    /// The first picture that is as wanted. Those before it are forgotten, the newest never is.
    fn find(&mut self, wanted: &impl Fn(&str) -> bool) -> Option<String> {
        loop {
            let picture = self.pictures.front()?;
            if wanted(picture) {
                return Some(picture.clone());
            }
            if self.pictures.len() == 1 {
                return None;
            }
            self.pictures.pop_front();
        }
    }

    /// Whether the last picture has come to its end, which is where the cursor goes.
    fn is_whole(&self) -> bool {
        const CURSOR: &[u8] = b"\x1b[?25";
        let tail = &self.raw[self.raw.len().saturating_sub(24)..];
        let at = tail.windows(CURSOR.len()).rposition(|bytes| bytes == CURSOR);
        let rest = at.map(|at| &tail[at + CURSOR.len()..]);
        rest.is_some_and(|rest| rest == b"l" || rest.starts_with(b"h\x1b[") && rest.ends_with(b"H"))
    }
}

impl Pty {
    /// Starts a program with these arguments and additional environment variables; of ours, only
    /// PATH and HOME go with it. It is not its first time: nobody is greeted.
    pub(crate) fn start(
        program: &str,
        args: &[&str],
        env: &[(&str, &str)],
        size: (u16, u16),
    ) -> Self {
        let state = tempfile::tempdir().expect("a folder");
        let own = env.iter().find(|(name, _)| *name == "XDG_STATE_HOME");
        let home = state.path();
        let folder = own.map_or(home, |(_, path)| Path::new(path)).join("inv-tui");
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::set_permissions(&folder, Permissions::from_mode(0o700)).expect("our own folder");
        std::fs::write(folder.join("greeted"), "").expect("a file");
        Self::start_with(program, args, env, size, state)
    }

    /// The same, the first time if nobody has started it with this folder for its state.
    pub(crate) fn start_first(
        program: &str,
        args: &[&str],
        env: &[(&str, &str)],
        size: (u16, u16),
    ) -> Self {
        Self::start_with(program, args, env, size, tempfile::tempdir().expect("a folder"))
    }

    fn start_with(
        program: &str,
        args: &[&str],
        env: &[(&str, &str)],
        size: (u16, u16),
        state: tempfile::TempDir,
    ) -> Self {
        let (cols, rows) = size;
        let pair = native_pty_system()
            .openpty(PtySize { rows, cols, pixel_width: 0, pixel_height: 0 })
            .expect("a PTY");
        let mut command = CommandBuilder::new(program);
        command.args(args);
        command.env_clear();
        for name in ["PATH", "HOME"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.env("XDG_STATE_HOME", state.path());
        command.env("XDG_CACHE_HOME", state.path().join("cache"));
        command.env("TERM", "xterm-256color");
        command.env("COLORTERM", "truecolor");
        command.env("LANG", "C.UTF-8");
        command.env("TZ", "UTC");
        for (name, value) in env {
            command.env(name, value);
        }
        let mut child = pair.slave.spawn_command(command).expect("the program starts");
        drop(pair.slave);
        let (pid, killer) = (child.process_id().expect("a process"), child.clone_killer());
        let (tell, ended) = channel();
        std::thread::spawn(move || {
            if let Ok(status) = child.wait() {
                let _ = tell.send(status.exit_code());
            }
        });
        let writer = pair.master.take_writer().expect("a writer");
        let mut reader = pair.master.try_clone_reader().expect("a reader");
        let parser = vt100::Parser::new(nonzero(rows), nonzero(cols), 0);
        let seen = Seen { parser, raw: Vec::new(), pictures: VecDeque::new() };
        let seen = Arc::new((Mutex::new(seen), Condvar::new()));
        let sink = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                sink.0.lock().unwrap().take(&buffer[..count]);
                sink.1.notify_all();
            }
        });
        Self { master: pair.master, pid, killer, ended, code: None, writer, seen, _state: state }
    }

    /// Types this, byte for byte.
    pub(crate) fn send(&mut self, keys: &str) {
        let mut seen = self.seen.0.lock().unwrap();
        let old = seen.pictures.len().saturating_sub(1);
        seen.pictures.drain(..old);
        drop(seen);
        self.writer.write_all(keys.as_bytes()).expect("the program reads its keys");
        self.writer.flush().expect("the program reads its keys");
    }

    /// What is on the screen.
    pub(crate) fn screen(&self) -> String {
        self.seen.0.lock().unwrap().text()
    }

    /// Every byte that the program has written.
    pub(crate) fn raw(&self) -> Vec<u8> {
        self.seen.0.lock().unwrap().raw.clone()
    }

    /// Whether the screen is the program's own (the alternate one).
    pub(crate) fn is_taken(&self) -> bool {
        self.seen.0.lock().unwrap().parser.screen().alternate_screen()
    }

    /// Waits until the screen shows this.
    pub(crate) fn shows(&self, text: &str) -> String {
        self.until(&format!("shows \"{text}\""), |screen| screen.contains(text))
    }

    /// Waits until a strip that approves shows this and has read the host that the request is for.
    pub(crate) fn shows_host_read(&self, text: &str) -> String {
        self.until(&format!("\"{text}\" and its host, read"), |screen| {
            screen.contains(text) && !screen.contains("is being read")
        })
    }

    /// Waits until what is on the screen is as wanted; fails with the screen at the deadline.
    pub(crate) fn until(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        self.picture(wanted).unwrap_or_else(|| panic!("never: {what}\n{}", self.screen()))
    }

    /// Waits until what is on the screen is as wanted; none at the deadline. A picture comes in
    /// pieces: of the program's own screen only whole ones count.
    pub(crate) fn picture(&self, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let end = Instant::now() + PATIENCE;
        let (seen, more) = &*self.seen;
        let mut seen = seen.lock().unwrap();
        loop {
            if let Some(picture) = seen.find(&wanted) {
                return Some(picture);
            }
            let mut left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            // What other programs write has no end that could be seen.
            let other = !seen.parser.screen().alternate_screen() && wanted(&seen.text());
            if other {
                left = left.min(QUIET);
            }
            let rest = more.wait_timeout(seen, left).unwrap();
            seen = rest.0;
            if other && rest.1.timed_out() && wanted(&seen.text()) {
                return Some(seen.text());
            }
        }
    }

    /// Waits until what is `read` from the screen has been the same for so long.
    pub(crate) fn settles(&self, quiet: Duration, read: impl Fn(&str) -> String) -> String {
        let (seen, more) = &*self.seen;
        let mut seen = seen.lock().unwrap();
        let mut last = read(&seen.text());
        let (begin, mut since) = (Instant::now(), Instant::now());
        while since.elapsed() < quiet && begin.elapsed() < PATIENCE {
            seen = more.wait_timeout(seen, quiet.saturating_sub(since.elapsed())).unwrap().0;
            let now = read(&seen.text());
            if now != last {
                (last, since) = (now, Instant::now());
            }
        }
        last
    }

    /// How the letter at this place looks.
    pub(crate) fn look(&self, row: u16, column: u16) -> Look {
        look(&self.seen.0.lock().unwrap(), row, column)
    }

    /// Waits until the letter at this place looks otherwise.
    pub(crate) fn looks_other(&self, row: u16, column: u16, than: &Look) {
        self.wait("looks otherwise", |seen| look(seen, row, column) != *than);
    }

    /// Waits until the program has given the screen back.
    pub(crate) fn given_back(&self) {
        self.wait("gives the screen back", |seen| !seen.parser.screen().alternate_screen());
    }

    /// Waits until the program has written this, after so many bytes.
    pub(crate) fn writes(&self, after: usize, text: &str) {
        self.wait(&format!("writes \"{text}\""), |seen| {
            let new = seen.raw.get(after..).unwrap_or_default();
            new.windows(text.len()).any(|bytes| bytes == text.as_bytes())
        });
    }

    /// Waits for what is no text on the screen, at the end of a picture.
    fn wait(&self, what: &str, wanted: impl Fn(&Seen) -> bool) {
        let end = Instant::now() + PATIENCE;
        let (seen, more) = &*self.seen;
        let mut seen = seen.lock().unwrap();
        loop {
            let cut = seen.parser.screen().alternate_screen() && !seen.is_whole();
            if !cut && wanted(&seen) {
                return;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let screen = seen.text();
                drop(seen);
                panic!("never: {what}\n{screen}");
            }
            seen = more.wait_timeout(seen, left).unwrap().0;
        }
    }

    /// Gives the terminal another size. What was on it is gone: the program shows it anew.
    pub(crate) fn resize(&self, cols: u16, rows: u16) {
        let mut seen = self.seen.0.lock().unwrap();
        seen.parser.screen_mut().set_size(nonzero(rows), nonzero(cols));
        seen.parser.process(b"\x1b[2J");
        seen.pictures.clear();
        drop(seen);
        self.master
            .resize(PtySize { rows, cols, pixel_width: 0, pixel_height: 0 })
            .expect("a new size");
    }

    /// Sends a signal by its name, for example `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid.to_string();
        let status = std::process::Command::new("kill").args([&format!("-{name}"), &pid]).status();
        assert!(status.expect("kill runs").success());
    }

    /// Stops the program until it gets `CONT`, and waits until it stands still.
    pub(crate) fn pause(&self) {
        self.signal("STOP");
        let end = Instant::now() + PATIENCE;
        let stands = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap();
            stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
        };
        while !stands() {
            assert!(Instant::now() < end, "it does not stop");
            std::thread::yield_now();
        }
    }

    /// Waits until the program has ended; its exit code.
    pub(crate) fn ends(&mut self) -> u32 {
        if let Some(code) = self.code {
            return code;
        }
        let Ok(code) = self.ended.recv_timeout(PATIENCE) else {
            panic!("it never ended\n{}", self.screen())
        };
        self.code = Some(code);
        code
    }

    /// Whether the program still runs.
    pub(crate) fn runs(&mut self) -> bool {
        if self.code.is_none() {
            self.code = self.ended.try_recv().ok();
        }
        self.code.is_none()
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        if self.runs() {
            let _ = self.killer.kill();
            let _ = self.ended.recv_timeout(PATIENCE);
        }
    }
}

fn look(seen: &Seen, row: u16, column: u16) -> Look {
    let cell = seen.parser.screen().cell(row, column).expect("a place on the screen");
    Look { front: cell.fgcolor(), back: cell.bgcolor(), underlined: cell.underline() }
}

fn nonzero(n: u16) -> NonZero<u16> {
    NonZero::new(n).unwrap_or(NonZero::<u16>::MIN)
}
