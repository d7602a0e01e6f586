//! `inv-tui --demo` and `--snapshot`: what a person sees who has nothing but the program.

use crate::pty::Pty;
use crate::support::{BINARY, run_binary};

/// Started as by somebody who has no kubeconfig and no settings.
fn snapshot(args: &[&str]) -> (i32, String, String) {
    let mut all = vec!["--config", "/dev/null", "--theme", "night"];
    all.extend(args);
    run_binary(&all)
}

#[test]
fn one_command_shows_a_fleet_as_text() {
    let (code, out, err) = snapshot(&["--demo-hosts", "60", "--snapshot", "100x30"]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 30);
    assert!(lines[0].contains("demo") && lines[0].contains("60 hosts · live"), "{out}");
    assert!(lines.iter().all(|line| line.chars().count() <= 100 && !line.ends_with(' ')), "{out}");
    assert!(!out.contains('\u{1b}'), "text and nothing else");
    for region in ["eu-west-1", "ap-south-1", "dal"] {
        assert!(out.contains(region), "{region}\n{out}");
    }
}

#[test]
fn any_view_can_be_printed() {
    let demo = ["--demo-hosts", "30", "--snapshot", "120x40", "--keys"];
    let (code, help, _) = snapshot(&[&demo[..], &["?"]].concat());
    assert!(code == 0 && help.contains("Keys") && help.contains("zM"), "{help}");
    let (code, open, _) = snapshot(&[&demo[..], &["z R j j"]].concat());
    assert!(code == 0 && open.contains("10."), "{open}");
    let (code, sources, _) = snapshot(&[&demo[..], &["v s"]].concat());
    assert!(code == 0 && sources.contains("✖ breaker open  ibm"), "{sources}");
    assert!(sources.contains("● healthy       netbox"), "{sources}");
    let (code, _, err) = snapshot(&[&demo[..], &["nokey"]].concat());
    assert!(code == 2 && err.contains("nokey"), "{err}");
    let (code, _, err) = snapshot(&["--demo", "--snapshot", "5x5"]);
    assert!(code == 2 && err.contains("20x5"), "{err}");
}

#[test]
fn every_key_works_in_the_demo_and_agents_answer() {
    let args = ["--demo-hosts", "40", "--config", "/dev/null"];
    let mut pty = Pty::start(BINARY, &args, &[], (120, 36));
    pty.shows("40 hosts · live");
    // Hosts that nobody protects, so that one key is enough; none of them is held at the start.
    pty.send("/cluster:lb-dev-1\r");
    // The fleet moves meanwhile: hosts come and go.
    pty.shows("5 of ");
    pty.send("zRG");
    pty.send("m");
    pty.shows("put into maintenance");
    pty.send("y");
    pty.shows("is in maintenance until");
    // The simulated agent confirms it in the status, where the tree takes the state from.
    pty.shows("Maintenance");
    pty.shows("held by");
    pty.send("u");
    pty.shows("take back");
    pty.send("y");
    pty.shows("your maintenance of");
    // A colleague may hold another one by now.
    pty.until("the end of the hold", |screen| {
        let mut detail = screen.lines().filter_map(|line| line.rsplit_once('│'));
        detail.all(|(_, line)| !line.contains("Maintenance") && !line.contains("held by"))
    });
    pty.send(":q\r");
    assert_eq!(pty.ends(), 0);
    pty.given_back();
}
