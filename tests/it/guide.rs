//! The guide in the program, and the greeting that comes once: the real program in a real terminal.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::pty::Pty;
use crate::support::BINARY;

const GREETING: &str = "To begin";

fn demo(state: &Path) -> Pty {
    let args = ["--demo-hosts", "20", "--config", "/dev/null", "--theme", "night"];
    let pty =
        Pty::start_first(BINARY, &args, &[("XDG_STATE_HOME", state.to_str().unwrap())], (120, 30));
    pty.shows("20 hosts · live");
    pty
}

fn quit(mut pty: Pty) {
    pty.send(":q\r");
    assert_eq!(pty.ends(), 0);
    pty.given_back();
}

#[test]
fn the_greeting_comes_once_and_goes_when_a_key_is_used() {
    let state = tempfile::tempdir().unwrap();
    let mut pty = demo(state.path());
    let screen = pty.shows(GREETING);
    assert!(screen.contains("? all keys") && screen.contains("m maintenance"), "{screen}");
    pty.send("?");
    pty.until("the help without the greeting", |screen| {
        screen.contains("Keys · :help opens the guide") && !screen.contains(GREETING)
    });
    pty.send("q");
    let screen = pty.until("the tree again", |screen| screen.contains("/ filter"));
    assert!(!screen.contains(GREETING), "{screen}");
    quit(pty);
    let mark = state.path().join("inv-tui/greeted");
    assert_eq!(mark.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let pty = demo(state.path());
    assert!(!pty.screen().contains(GREETING), "{}", pty.screen());
    quit(pty);
}

#[test]
fn without_a_place_for_its_mark_there_is_no_greeting_and_no_error() {
    let state = tempfile::tempdir().unwrap();
    std::fs::write(state.path().join("inv-tui"), "in the way").unwrap();
    let pty = demo(state.path());
    let screen = pty.screen();
    assert!(!screen.contains(GREETING) && !screen.contains(" ! "), "{screen}");
    quit(pty);
}

#[test]
fn the_guide_is_read_in_the_program() {
    let state = tempfile::tempdir().unwrap();
    let mut pty = demo(state.path());
    pty.send(":help\r");
    pty.shows("inv-tui: the guide");
    pty.send(":help filter\r");
    pty.shows("guide  Finding hosts");
    pty.send("\r");
    pty.shows("help begin");
    pty.send("undo\r");
    pty.shows("guide  Undo, redo, repeat");
    pty.send("/budget\r");
    pty.shows("/budget");
    pty.resize(40, 10);
    pty.until("a small page", |screen| {
        screen.lines().nth(1).is_some_and(|line| line.contains("guide"))
    });
    pty.send("qq");
    pty.until("the tree again", |screen| !screen.contains("guide"));
    quit(pty);
}
