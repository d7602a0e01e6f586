//! What background the terminal has: asked at the start (OSC 11), so that a theme can follow it.
//!
//! The question is sent with a second one that every terminal answers (its primary attributes), so
//! that one which does not know its colours costs no time. What was typed meanwhile is kept, and an
//! answer that comes too late is swallowed, for its letters would be keys.

use std::io;

use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};

/// What was read while the question was open.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The background is dark; none: the terminal did not say.
    pub dark: Option<bool>,
    /// The terminal may still answer.
    pub open: bool,
    /// What has come of an answer that has not ended.
    pub begun: Option<String>,
    /// Keys that were typed meanwhile.
    pub typed: Vec<KeyEvent>,
}

/// Asks for the background, then for the primary attributes.
#[cfg(unix)]
const QUESTION: &[u8] = b"\x1b]11;?\x07\x1b[c";
/// How long the terminal has to answer. Over a slow line the theme is then the usual one.
#[cfg(unix)]
const PATIENCE: std::time::Duration = std::time::Duration::from_millis(400);
/// Most bytes that are read while the question is open.
#[cfg(unix)]
const MOST: usize = 4_096;

/// Asks the terminal, which must be in raw mode and read by nobody else.
#[cfg(unix)]
pub async fn ask() -> Answer {
    // It waits for the terminal, but never longer than our patience.
    tokio::task::spawn_blocking(ask_now).await.unwrap_or_default()
}

#[cfg(unix)]
fn ask_now() -> Answer {
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::time::Instant;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    let asked = || -> io::Result<std::fs::File> {
        // A handle without a buffer, which would keep what is typed from the explorer.
        let tty = std::fs::File::from(io::stdin().as_fd().try_clone_to_owned()?);
        let mut out = io::stdout().lock();
        out.write_all(QUESTION)?;
        out.flush()?;
        Ok(tty)
    };
    let Ok(mut tty) = asked() else { return Answer::default() };
    let mut bytes = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let read = taken(&bytes);
        let answered = (read.dark.is_some() || read.attributes) && !read.pasting;
        if answered || bytes.len() >= MOST {
            return Answer { dark: read.dark, typed: read.typed, ..Answer::default() };
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let open = Answer { dark: None, open: true, begun: read.begun, typed: read.typed };
        let Ok(left) = Timespec::try_from(left) else { return open };
        match poll(&mut [PollFd::new(&tty, PollFlags::IN)], Some(&left)) {
            Ok(1..) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Ok(0) | Err(_) => return open,
        }
        let mut piece = [0; MOST];
        let Ok(count @ 1..) = tty.read(&mut piece) else { return open };
        bytes.extend(piece.iter().take(count));
    }
}

/// Asks nothing where there is no such terminal.
#[cfg(not(unix))]
pub async fn ask() -> Answer {
    Answer::default()
}

/// How the end of pasted text is told.
const PASTED: &[u8] = b"\x1b[201~";

/// What bytes from a terminal mean.
#[derive(Debug, Default, PartialEq, Eq)]
struct Taken {
    dark: Option<bool>,
    /// The primary attributes have come.
    attributes: bool,
    /// Something is being pasted, and its end has not come.
    pasting: bool,
    /// An answer has begun: what is there of it.
    begun: Option<String>,
    typed: Vec<KeyEvent>,
}

/// Takes bytes from a terminal apart: answers, and keys.
fn taken(bytes: &[u8]) -> Taken {
    let mut out = Taken::default();
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        let key = |code| KeyEvent::new(code, KeyModifiers::NONE);
        let ctrl = |c: u8| KeyEvent::new(KeyCode::Char(char::from(c)), KeyModifiers::CONTROL);
        rest = after;
        match *first {
            0x1b => match after {
                [b']', osc @ ..] => {
                    let end = osc.iter().position(|b| matches!(b, 0x07 | 0x1b | 0x9c));
                    let (text, tail) =
                        end.and_then(|at| osc.split_at_checked(at)).unwrap_or((osc, &[]));
                    let text = String::from_utf8_lossy(text);
                    match tail {
                        [0x1b, b'\\', tail @ ..] | [0x07 | 0x9c, tail @ ..] => {
                            out.dark = dark(&text).or(out.dark);
                            rest = tail;
                        }
                        _ => {
                            out.begun = Some(text.into_owned());
                            break;
                        }
                    }
                }
                [b'[', csi @ ..] => {
                    let end = csi.iter().position(|b| (0x40..=0x7e).contains(b));
                    let Some((text, tail)) = end.and_then(|end| csi.split_at_checked(end)) else {
                        break; // cut off
                    };
                    let Some((last, tail)) = tail.split_first() else { break };
                    rest = tail;
                    match (text, last) {
                        ([b'?', ..], b'c') => out.attributes = true,
                        // What is pasted are no keys. There is no field for it yet: it is left out.
                        (b"200", b'~') => {
                            let end = rest.windows(PASTED.len()).position(|part| part == PASTED);
                            out.pasting = end.is_none();
                            rest = end.and_then(|at| rest.get(at + PASTED.len()..)).unwrap_or(&[]);
                        }
                        _ => out.typed.extend(named(text, *last).map(key)),
                    }
                }
                [b'O', last, tail @ ..] => {
                    rest = tail;
                    out.typed.extend(named(b"", *last).map(key));
                }
                _ => out.typed.push(key(KeyCode::Esc)),
            },
            b'\r' | b'\n' => out.typed.push(key(KeyCode::Enter)),
            b'\t' => out.typed.push(key(KeyCode::Tab)),
            0x7f => out.typed.push(key(KeyCode::Backspace)),
            control @ 0x01..=0x1a => out.typed.push(ctrl(control - 1 + b'a')),
            0x20..=0x7e => out.typed.push(key(KeyCode::Char(char::from(*first)))),
            _ => {
                let length = match *first {
                    0xc0..=0xdf => 2,
                    0xe0..=0xef => 3,
                    _ => 4,
                };
                let Some((letter, tail)) = letter(*first, after, length) else { continue };
                rest = tail;
                out.typed.push(key(KeyCode::Char(letter)));
            }
        }
    }
    out
}

/// The character that begins with this byte, and what is behind it.
fn letter(first: u8, after: &[u8], length: usize) -> Option<(char, &[u8])> {
    let (more, tail) = after.split_at_checked(length - 1)?;
    let whole: Vec<u8> = std::iter::once(first).chain(more.iter().copied()).collect();
    let letter = std::str::from_utf8(&whole).ok()?.chars().next()?;
    Some((letter, tail))
}

/// The key of a sequence such as `ESC [ 5 ~`.
fn named(text: &[u8], last: u8) -> Option<KeyCode> {
    Some(match (text, last) {
        (_, b'A') => KeyCode::Up,
        (_, b'B') => KeyCode::Down,
        (_, b'C') => KeyCode::Right,
        (_, b'D') => KeyCode::Left,
        (_, b'H') => KeyCode::Home,
        (_, b'F') => KeyCode::End,
        (_, b'Z') => KeyCode::BackTab,
        (b"3", b'~') => KeyCode::Delete,
        (b"5", b'~') => KeyCode::PageUp,
        (b"6", b'~') => KeyCode::PageDown,
        _ => return None,
    })
}

/// Whether the colour of an answer such as `11;rgb:1414/1818/1f1f` is dark.
fn dark(text: &str) -> Option<bool> {
    let rgb = text.strip_prefix("11;rgb:").or_else(|| text.strip_prefix("11;rgba:"))?;
    let mut parts = rgb.split('/').map(|part| {
        let most = u32::try_from(part.len()).ok().filter(|n| (1..=4).contains(n))?;
        let value = u32::from_str_radix(part, 16).ok()?;
        Some(f64::from(value) / f64::from(16_u32.pow(most) - 1))
    });
    let (r, g, b) = (parts.next()??, parts.next()??, parts.next()??);
    Some(0.2126 * r + 0.7152 * g + 0.0722 * b < 0.5)
}

/// Whether `COLORFGBG`, such as `15;0` or `0;default;15`, says that the background is dark.
pub fn dark_by_variable(value: &str) -> Option<bool> {
    match value.rsplit(';').next()?.parse::<u8>().ok()? {
        7 | 9..=15 => Some(false),
        0..=6 | 8 => Some(true),
        _ => None,
    }
}

/// Takes an answer out of the keys that comes after the question was given up.
#[derive(Debug, Default)]
pub struct Swallow {
    held: Vec<KeyEvent>,
    /// What has come of an answer, if one has begun.
    text: Option<String>,
    /// The answer has come: nothing else is held back.
    done: bool,
}

impl Swallow {
    /// Waits for the answer to a question that was given up, of which this has come already.
    pub fn new(answer: &Answer) -> Self {
        Self { held: Vec::new(), text: answer.begun.clone(), done: !answer.open }
    }

    /// The events to go on with in place of this one.
    pub fn take(&mut self, event: Event) -> Vec<Event> {
        const BEGIN: &str = "11;rgb:";
        const WITH_ALPHA: &str = "11;rgba:";
        let Event::Key(key) = event else { return vec![event] };
        let alt = key.modifiers.contains(KeyModifiers::ALT);
        let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
        let Some(text) = self.text.as_mut() else {
            if self.done || !alt || key.code != KeyCode::Char(']') {
                return vec![Event::Key(key)];
            }
            self.held.push(key);
            self.text = Some(String::new());
            return Vec::new();
        };
        self.held.push(key);
        let KeyCode::Char(c) = key.code else { return self.let_go() };
        let whole = |text: &str| text.starts_with(BEGIN) || text.starts_with(WITH_ALPHA);
        if whole(text) && (ctrl && c == 'g' || alt && c == '\\') {
            *self = Self { done: true, ..Self::default() };
            return Vec::new();
        }
        if ctrl || alt {
            return self.let_go();
        }
        text.push(c);
        let begins = BEGIN.starts_with(text.as_str()) || WITH_ALPHA.starts_with(text.as_str());
        let colour = text.len() < 40 && (c.is_ascii_hexdigit() || c == '/');
        let fits = begins || whole(text) && colour;
        if fits { Vec::new() } else { self.let_go() }
    }

    fn let_go(&mut self) -> Vec<Event> {
        self.text = None;
        self.held.drain(..).map(Event::Key).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::actions::key_name;

    fn names(keys: &[KeyEvent]) -> Vec<String> {
        keys.iter().map(|key| key_name(*key)).collect()
    }

    #[test]
    fn an_answer_is_taken_out_of_what_is_typed() {
        let read = taken(b"j\x1b]11;rgb:ffff/ffff/f0f0\x1b\\k\x1b[?62;4c");
        assert_eq!((read.dark, read.attributes), (Some(false), true));
        assert_eq!(names(&read.typed), ["j", "k"]);
        let read = taken(b"\x1b]11;rgb:14/18/1f\x07");
        assert_eq!((read.dark, read.attributes, read.typed.len()), (Some(true), false, 0));
        let read = taken("zR\r\t\u{7f}\x04é日\x1b[A\x1b[5~\x1bOB\x1b[Z\x1b[99x\x1b".as_bytes());
        let wanted = [
            "z",
            "R",
            "enter",
            "tab",
            "backspace",
            "ctrl-d",
            "é",
            "日",
            "up",
            "pageup",
            "down",
            "backtab",
            "esc",
        ];
        assert_eq!(names(&read.typed), wanted);
        for (cut, begun) in
            [("\x1b]11;rgb:ff", "11;rgb:ff"), ("\x1b]11;rgb:ff/ff/ff\x1b", "11;rgb:ff/ff/ff")]
        {
            let wanted = Taken { begun: Some(begun.to_owned()), ..Taken::default() };
            assert_eq!(taken(cut.as_bytes()), wanted);
        }
        let read = taken(b"j\x1b[200~my\x1b[201~k\x1b[?62;4c");
        assert_eq!((names(&read.typed), read.pasting), (vec!["j".into(), "k".into()], false));
        let read = taken(b"j\x1b[200~my\r");
        assert_eq!((names(&read.typed), read.pasting), (vec!["j".into()], true));
        assert_eq!(taken(b"\x1b[?6"), Taken::default());
        assert_eq!(taken(b"a\xff\xe6").typed.len(), 1);
    }

    #[test]
    fn light_and_dark() {
        for (text, wanted) in [
            ("11;rgb:0000/0000/0000", Some(true)),
            ("11;rgb:fdfd/f6f6/e3e3", Some(false)),
            ("11;rgb:f/f/f", Some(false)),
            ("11;rgba:00/00/00/ff", Some(true)),
            ("10;rgb:ff/ff/ff", None),
            ("11;?", None),
            ("11;rgb:fffff/0/0", None),
            ("11;rgb:ff/ff", None),
        ] {
            assert_eq!(dark(text), wanted, "{text}");
        }
        for (value, wanted) in [
            ("15;0", Some(true)),
            ("0;default;15", Some(false)),
            ("0;7", Some(false)),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(dark_by_variable(value), wanted, "{value}");
        }
    }

    #[test]
    fn a_late_answer_is_swallowed_and_nothing_else() {
        let alt = |c| Event::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::ALT));
        let key = |c| Event::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE));
        let bell = Event::Key(KeyEvent::new(KeyCode::Char('g'), KeyModifiers::CONTROL));
        let answer = |end: Event| {
            let mut events = vec![alt(']')];
            events.extend("11;rgb:ffff/ffff/ffff".chars().map(key));
            events.push(end);
            events
        };
        for end in [bell.clone(), alt('\\')] {
            let mut swallow = Swallow::default();
            let mut left = Vec::new();
            for event in [vec![key('j')], answer(end), vec![key('r'), alt(']')]].concat() {
                left.extend(swallow.take(event));
            }
            assert_eq!(left, [key('j'), key('r'), alt(']')]);
        }
        let mut swallow = Swallow::default();
        let answer =
            [vec![alt(']')], "11;rgba:ff/ff/ff/ff".chars().map(key).collect(), vec![bell.clone()]];
        let left: Vec<Event> = answer.concat().into_iter().flat_map(|e| swallow.take(e)).collect();
        assert_eq!(left, []);
        // The rest of one that had begun when the question was given up.
        let mut swallow = Swallow::new(&Answer {
            open: true,
            begun: Some("11;rgb:ffff/ff".into()),
            ..Answer::default()
        });
        let rest = [key('f'), key('f'), key('/'), key('0'), bell.clone(), key('j'), alt(']')];
        let left: Vec<Event> = rest.into_iter().flat_map(|event| swallow.take(event)).collect();
        assert_eq!(left, [key('j'), alt(']')]);
        let mut swallow = Swallow::default();
        let typed = [alt(']'), key('1'), Event::Resize(3, 4), key('x'), key('j')];
        let left: Vec<Event> = typed.into_iter().flat_map(|event| swallow.take(event)).collect();
        assert_eq!(left, [Event::Resize(3, 4), alt(']'), key('1'), key('x'), key('j')]);
    }
}
