//! Screens that are kept as plain text, and the comparison with them.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use regex::{Captures, Regex};

use crate::pty::Pty;

/// For writing a screen anew: it is whole when nothing of it has changed for so long.
const QUIET: Duration = Duration::from_millis(1_500);

/// Waits until the screen is the kept one of this name; the kept one.
///
/// # Panics
/// With the lines that differ, if it never is.
#[track_caller]
pub(super) fn shows(pty: &Pty, name: &str, after: &str) -> String {
    let kept = kept(name);
    let Err(screen) = pty.comes_to(|screen| masked(screen) == kept) else { return kept };
    panic!(
        "after {after} the screen is not that of {}:\n{}\
         INV_TUI_WRITE_SCREENS=1 writes it anew, if it is to be so\n",
        file(name).display(),
        difference(&kept, &masked(&screen))
    );
}

/// Writes the screen as the one of this name, when it has settled.
pub(super) fn write(pty: &Pty, name: &str) -> String {
    let screen = pty.settles(QUIET, masked);
    std::fs::write(file(name), &screen).unwrap();
    screen
}

pub(super) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/keys")
}

fn file(name: &str) -> PathBuf {
    folder().join(format!("{name}.txt"))
}

fn kept(name: &str) -> String {
    std::fs::read_to_string(file(name)).unwrap_or_else(|cause| {
        panic!("{}: {cause}; INV_TUI_WRITE_SCREENS=1 writes it", file(name).display())
    })
}

/// The screen without what differs each time. What stands for it is as wide where that can be, so
/// that columns stay; where it cannot, the line keeps no more than two blanks in a row.
pub(super) fn masked(screen: &str) -> String {
    static SAME: LazyLock<Vec<Regex>> = LazyLock::new(|| {
        let masks = [
            r"\b20\d\d-\d\d-\d\d([ T]\d\d:\d\d(:\d\d)?)?",
            r"\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun) \d\d (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)( \d\d:\d\d)?",
            r"\b\d\d:\d\d(:\d\d)?\b",
            r"127\.0\.0\.1:\d{5}",
            r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b",
        ];
        masks.map(|mask| Regex::new(mask).unwrap()).into()
    });
    static OTHER: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
        let masks = [
            (r"(\d\d:\d\d:\d\d)\.\d+Z", "${1}Z"),
            (r"\b(\d+h)?(\d+m)?\d+s\b|\b(\d+h)?\d+m\b|\b\d+h\b", "AGE"),
            (r#"resourceVersion: "\d+""#, r#"resourceVersion: "VERSION""#),
            (r"/\S*/inv-tui/pages/", "PAGES/"),
        ];
        masks.map(|(mask, by)| (Regex::new(mask).unwrap(), by)).into()
    });
    static BLANKS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r" {3,}").unwrap());
    let mut out = String::new();
    for line in screen.lines() {
        let mut line = line.to_owned();
        for (mask, by) in &*OTHER {
            if mask.is_match(&line) {
                line = mask.replace_all(&line, *by).into_owned();
                line = BLANKS.replace_all(&line, "  ").into_owned();
            }
        }
        for mask in &*SAME {
            let hide = |found: &Captures<'_>| -> String {
                let letter = |c: char| if c.is_ascii_alphanumeric() { '0' } else { c };
                found[0].chars().map(letter).collect()
            };
            line = mask.replace_all(&line, hide).into_owned();
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

/// The lines that differ, with their numbers: what is wanted, what is there.
fn difference(wanted: &str, found: &str) -> String {
    let (wanted, found): (Vec<&str>, Vec<&str>) =
        (wanted.lines().collect(), found.lines().collect());
    let mut out = String::new();
    for n in 0..wanted.len().max(found.len()) {
        let (old, new) = (wanted.get(n), found.get(n));
        if old == new {
            continue;
        }
        for (sign, line) in [('-', old), ('+', new)] {
            if let Some(line) = line {
                let _ = writeln!(out, "{:>3} {sign} {line}", n + 1);
            }
        }
    }
    out
}

#[test]
fn what_differs_each_time_is_hidden_and_columns_stay() {
    let screen = "https://127.0.0.1:41234 · inventory   x\n\
        until Sat 05 Dec 14:22 (in 20d)   y\n\
        seen   12s ago     z\n\
        \"2026-11-21T22:14:32.123456Z\" 0a1b2c3d-0000-4000-8000-00000000abcd\n\
        resourceVersion: \"1234\"   web-eu-1   10.0.0.1   40d\n";
    let wanted = "https://000.0.0.0:00000 · inventory   x\n\
        until 000 00 000 00:00 (in 20d)   y\n\
        seen  AGE ago  z\n\
        \"0000-00-00000:00:00Z\" 00000000-0000-0000-0000-000000000000\n\
        resourceVersion: \"VERSION\"  web-eu-1  10.0.0.1  40d\n";
    assert_eq!(masked(screen), wanted);
}

#[test]
fn a_difference_names_its_lines() {
    assert_eq!(difference("a\nb\nc\n", "a\nx\nc\nd\n"), "  2 - b\n  2 + x\n  4 + d\n");
}
