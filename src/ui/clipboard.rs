//! The clipboard: the desktop's own here, the terminal's (OSC 52) over ssh or where there is no
//! desktop.

use std::io::{self, Write};
use std::sync::Mutex;

use base64::Engine;

/// Longest text that OSC 52 carries: terminals cut or drop longer sequences.
const OSC52_MAX: usize = 74_994;

/// The desktop's clipboard lives as long as the program: on X11 the owner has to answer for it.
static DESKTOP: Mutex<Option<arboard::Clipboard>> = Mutex::new(None);

/// Where a text is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The desktop's clipboard, else the terminal's.
    Desktop,
    /// The terminal's clipboard.
    Terminal,
}

/// Over ssh the desktop's clipboard would be that of the wrong machine.
pub fn place(variable: impl Fn(&str) -> Option<String>) -> Place {
    let set = |name: &str| variable(name).is_some_and(|v| !v.is_empty());
    let remote = set("SSH_TTY") || set("SSH_CONNECTION");
    let desktop =
        cfg!(not(unix)) || cfg!(target_os = "macos") || set("DISPLAY") || set("WAYLAND_DISPLAY");
    if remote || !desktop { Place::Terminal } else { Place::Desktop }
}

/// What may leave the program of a text: no control character but line breaks and tabs.
fn harmless(text: &str) -> String {
    let kept = |c: char| c == '\n' || c == '\t' || !crate::model::text::is_hostile(c);
    text.chars().map(|c| if kept(c) { c } else { '\u{FFFD}' }).collect()
}

/// Puts a text, made harmless, on the desktop's clipboard, and says where it went. May block.
///
/// # Errors
/// There is no desktop, or it refuses.
pub fn to_desktop(text: &str) -> Result<&'static str, arboard::Error> {
    let mut desktop = DESKTOP.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if desktop.is_none() {
        *desktop = Some(arboard::Clipboard::new()?);
    }
    match desktop.as_mut() {
        Some(clipboard) => clipboard.set_text(harmless(text)).map(|()| "the clipboard"),
        None => Err(arboard::Error::ClipboardNotSupported),
    }
}

/// Hands a text, made harmless, to the terminal's clipboard, and says where it went.
///
/// # Errors
/// The text is longer than terminals take, or the terminal cannot be written.
pub fn to_terminal(text: &str, tmux: bool, out: &mut impl Write) -> Result<&'static str, String> {
    let text = harmless(text);
    if text.len() > OSC52_MAX {
        return Err(format!("{} bytes are more than a terminal takes ({OSC52_MAX})", text.len()));
    }
    out.write_all(osc52(&text, tmux).as_bytes())
        .and_then(|()| out.flush())
        .map_err(|cause: io::Error| cause.to_string())?;
    Ok("the terminal's clipboard")
}

/// The sequence that sets the terminal's clipboard; tmux passes it on when it is wrapped.
fn osc52(text: &str, tmux: bool) -> String {
    let data = base64::engine::general_purpose::STANDARD.encode(text);
    if tmux {
        format!("\x1bPtmux;\x1b\x1b]52;c;{data}\x07\x1b\\\x1b]52;c;{data}\x07")
    } else {
        format!("\x1b]52;c;{data}\x07")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(pairs: &[(&str, &str)]) -> Place {
        place(|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn over_ssh_it_is_the_terminal() {
        assert_eq!(chosen(&[("SSH_TTY", "/dev/pts/1"), ("DISPLAY", ":0")]), Place::Terminal);
        #[cfg(target_os = "linux")]
        {
            assert_eq!(chosen(&[("DISPLAY", ":0")]), Place::Desktop);
            assert_eq!(chosen(&[]), Place::Terminal);
        }
    }

    #[test]
    fn the_terminal_gets_harmless_text_in_base64() {
        let mut out = Vec::new();
        assert_eq!(
            to_terminal("a\u{1b}]0;x\u{7}\nb", false, &mut out),
            Ok("the terminal's clipboard")
        );
        let text = String::from_utf8(out).unwrap();
        let data = text.strip_prefix("\x1b]52;c;").unwrap().strip_suffix('\x07').unwrap();
        let decoded = base64::engine::general_purpose::STANDARD.decode(data).unwrap();
        assert_eq!(String::from_utf8(decoded).unwrap(), "a\u{FFFD}]0;x\u{FFFD}\nb");
        assert!(to_terminal(&"x".repeat(80_000), false, &mut Vec::new()).is_err());
    }
}
