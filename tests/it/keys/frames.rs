//! Screens that are kept as plain text, and the comparison with them.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use regex::{Captures, Regex};

use crate::pty::Pty;

/// Waits until the screen is the kept one of this name; the kept one.
///
/// # Panics
/// With the lines that differ, if it never is.
#[track_caller]
pub(super) fn shows(pty: &Pty, name: &str, after: &str) -> String {
    let kept = kept(name);
    // Of all screens that were shown, the one with the fewest other lines tells most.
    let nearest = RefCell::new((usize::MAX, String::new()));
    let same = pty.picture(|screen| {
        let screen = masked(screen);
        let difference = difference(&kept, &screen);
        let count = difference.lines().count();
        if count < nearest.borrow().0 {
            nearest.replace((count, difference));
        }
        count == 0
    });
    assert!(
        same.is_some(),
        "after {after} the screen never was that of tests/it/keys/{name}.txt:\n{}\
         INV_TUI_WRITE_SCREENS=1 writes it anew, if it is to be so\n",
        nearest.borrow().1
    );
    kept
}

/// Writes the screen as the one of this name, when it has been the same for so long.
pub(super) fn write(pty: &Pty, name: &str, quiet: Duration) -> String {
    let screen = pty.settles(quiet, masked);
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

/// The screen without what differs each time; what stands for it leaves columns where they are.
pub(super) fn masked(screen: &str) -> String {
    static SAME: LazyLock<Vec<Regex>> = LazyLock::new(|| {
        let masks = [
            r"\b20\d\d-\d\d-\d\d([ T]\d\d:\d\d(:\d\d)?)?",
            r"\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun) \d\d [A-Z][a-z]{2}( \d\d:\d\d)?",
            r"\b\d\d:\d\d(:\d\d)?\b",
            r"127\.0\.0\.1:\d{5}",
            r"\b[0-9a-f]{11,}\b",
            r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b",
        ];
        masks.map(|mask| Regex::new(mask).unwrap()).into()
    });
    static OTHER: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
        let masks = [
            (r"\.\d+Z", "Z"),
            (r"\b(\d+h)?(\d+m)?(\d+\.)?\d+s\b|\b(\d+h)?\d+m\b", "AGE"),
            (r#"resourceVersion: "\d+""#, r#"resourceVersion: "VERSION""#),
            (r#"uid: "?[0-9a-f-]{36}"?"#, "uid: UID"),
            (r"/\S*/inv-tui/pages/", "PAGES/"),
        ];
        masks.map(|(mask, by)| (Regex::new(mask).unwrap(), by)).into()
    });
    let mut out = String::new();
    for line in screen.lines() {
        let mut line = line.to_owned();
        for (mask, by) in &*OTHER {
            line = replaced(&line, mask, by);
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

/// Puts another text in the place of what is found; what it is shorter or longer, the next gap
/// between columns takes up.
fn replaced(line: &str, mask: &Regex, by: &str) -> String {
    if let Some(found) = mask.find(line) {
        let behind = &line[found.end()..];
        let before_gap = behind.find("  ").unwrap_or(behind.len());
        let text = behind[before_gap..].trim_start_matches(' ');
        let gap = (behind.len() - before_gap - text.len() + found.len()).saturating_sub(by.len());
        // There may be more of it before the gap, so what is behind is looked at again.
        let joined = if text.is_empty() {
            behind[..before_gap].to_owned()
        } else {
            format!("{}{}{text}", &behind[..before_gap], " ".repeat(gap.max(2)))
        };
        return format!("{}{by}{}", &line[..found.start()], replaced(&joined, mask, by));
    }
    line.to_owned()
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
        seen 2h12m ago, 3m5s on     z\n\
        seen 4s ago, 3s on          z\n\
        \"2026-11-21T22:14:32.123456Z\" 0a1b2c3d-0000-4000-8000-00000000abcd\n\
        resourceVersion: \"1234\"   web-eu-1   10.0.0.1   40d\n";
    let wanted = "https://000.0.0.0:00000 · inventory   x\n\
        until 000 00 000 00:00 (in 20d)   y\n\
        seen AGE ago, AGE on        z\n\
        seen AGE ago, AGE on        z\n\
        \"0000-00-00000:00:00Z\" 00000000-0000-0000-0000-000000000000\n\
        resourceVersion: \"VERSION\"  web-eu-1   10.0.0.1   40d\n";
    assert_eq!(masked(screen), wanted);
}

#[test]
fn a_difference_names_its_lines() {
    assert_eq!(difference("a\nb\nc\n", "a\nx\nc\nd\n"), "  2 - b\n  2 + x\n  4 + d\n");
}
