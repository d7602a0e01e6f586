//! The configuration of the explorer: the task that writes and checks it, what is taken in while the
//! program runs, keys of one's own, programs that get the terminal, and themes that follow it. The
//! real program in a real terminal.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::pty::Pty;
use crate::support::{BINARY, World, run_binary, wait_for};

const SIZE: (u16, u16) = (120, 30);

/// A person's folder of configuration, and a terminal for them.
struct Home {
    dir: tempfile::TempDir,
}

impl Home {
    fn new(config: &str) -> Self {
        let home = Self { dir: tempfile::tempdir().unwrap() };
        std::fs::create_dir_all(home.path("inv-tui/themes")).unwrap();
        home.write("inv-tui/config.toml", config);
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Puts a whole file in the place of another one, as editors do.
    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        let next = path.with_extension("next");
        std::fs::write(&next, text).unwrap();
        std::fs::rename(next, path).unwrap();
    }

    /// A program of one's own in front of all others.
    fn program(&self, name: &str, script: &str) {
        std::fs::create_dir_all(self.path("bin")).unwrap();
        let path = self.path("bin").join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn explorer(&self, world: &World, args: &[&str], env: &[(&str, &str)]) -> Pty {
        let mut all = vec!["--kubeconfig", world.kubeconfig(), "-n", &world.namespace];
        all.extend(args);
        let path = std::env::var("PATH").unwrap();
        let path = format!("{}:{path}", self.path("bin").display());
        let folder = self.dir.path().to_str().unwrap();
        let mut variables = vec![("XDG_CONFIG_HOME", folder), ("PATH", path.as_str())];
        variables.extend(env);
        Pty::start(BINARY, &all, &variables, SIZE)
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }
}

/// A world with one host, and its kubeconfig's only context.
async fn one_host(name: &str) -> Option<World> {
    let world = World::begin(name).await?;
    world.make_host("aws-i-1", "it's web; $(x)", "eu-west-1", "shop").await;
    Some(world)
}

fn context(world: &World) -> String {
    let text = std::fs::read_to_string(world.kubeconfig()).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("current-context:")).unwrap();
    line.trim().trim_matches('"').to_owned()
}

const LINES: &str = r#"for word in "$@"; do printf '%s\n' "$word"; done"#;

#[tokio::test(flavor = "multi_thread")]
async fn ssh_gets_the_terminal_and_gives_it_back() {
    let Some(world) = one_host("ssh").await else { return };
    let home =
        Home::new("ssh = [\"fake-ssh\", \"-l\", \"two words\", \"{display}\", \"x@{address}\"]\n");
    let args = home.path("args");
    home.program(
        "fake-ssh",
        &format!(
            "{LINES} > {}\ntrap 'echo interrupted' INT\nstty -a | grep -q -- '-icanon' && echo still raw\n\
             echo inside ssh\nwhile ! read -r code; do :; done\necho leaves\nexit \"$code\"",
            args.display()
        ),
    );
    let mut pty = home.explorer(&world, &[], &[]);
    pty.shows("1 host · live");
    pty.send("zRG");
    pty.shows("it's web");
    pty.send("s");
    let screen = pty.shows("inside ssh");
    assert!(!pty.is_taken() && !screen.contains("still raw"), "{screen}");
    assert_eq!(home.text("args"), "-l\ntwo words\nit's web; $(x)\nx@10.0.0.1\n");
    // ctrl-c is for the program that has the terminal; what happens meanwhile is not lost.
    pty.send("\x03");
    pty.shows("interrupted");
    world.make_host("aws-i-2", "web-2", "eu-west-1", "shop").await;
    pty.send("0\r");
    pty.shows("fake-ssh has ended");
    assert!(pty.is_taken());
    pty.shows("2 hosts · live");
    pty.shows("web-2");
    // What the first one wrote stands on the terminal's own screen still.
    let before = pty.raw().len();
    pty.send("s");
    pty.writes(before, "inside ssh");
    pty.resize(100, 24);
    pty.send("255\r");
    let screen = pty.shows("fake-ssh ended with 255");
    assert!(screen.contains("web-2"), "{screen}");
    // Of ctrl-c we may hear no sooner than of the end of the program that it was for.
    let before = pty.raw().len();
    pty.send("s");
    pty.writes(before, "inside ssh");
    pty.pause();
    pty.send("\x03");
    pty.writes(before, "interrupted");
    pty.send("7\r");
    pty.writes(before, "leaves");
    pty.signal("CONT");
    pty.shows("fake-ssh has ended with 7");
    pty.send("?");
    pty.shows("Keys");
    pty.send("\x1b:q\r");
    assert_eq!(pty.ends(), 0);
    pty.given_back();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_be_an_option_is_refused_and_a_missing_program_named() {
    let Some(world) = World::begin("ssh-dash").await else { return };
    world.make_host("aws-i-1", "-oProxyCommand=x", "eu-west-1", "shop").await;
    let home = Home::new("ssh = \"fake-ssh {display}\"\n");
    home.program("fake-ssh", &format!("touch {}", home.path("ran").display()));
    let mut pty = home.explorer(&world, &[], &[]);
    pty.shows("1 host · live");
    pty.send("zRG");
    pty.shows("-oProxy");
    pty.send("s");
    pty.shows("cannot log in: its display begins with a dash");
    home.write("inv-tui/config.toml", "ssh = \"no-such-program {address}\"\n");
    pty.shows("the configuration has changed");
    pty.send("s");
    pty.shows("there is no program \"no-such-program\" here");
    assert!(pty.is_taken() && !home.path("ran").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_opened_or_copied() {
    let Some(world) = one_host("browse").await else { return };
    let home = Home::new("[browser]\nwiki = \"https://wiki.example.com/{display}?c={cluster}\"\n");
    let url = home.path("url");
    home.program("fake-browser", &format!("{LINES} > {0}.new\nmv {0}.new {0}", url.display()));
    let opened = async |wanted: &str| {
        wait_for("the page is opened", || {
            let there = home.text("url") == wanted;
            async move { there.then_some(()) }
        })
        .await;
    };
    let mut pty = home.explorer(&world, &[], &[("BROWSER", "fake-browser")]);
    pty.shows("1 host · live");
    pty.send("zRG");
    pty.shows("it's web");
    pty.send("b");
    let screen = pty.shows("wiki");
    assert!(screen.contains(" 1 aws ") && screen.contains(" 2 wiki "), "{screen}");
    pty.send("2");
    opened("https://wiki.example.com/it%27s%20web%3B%20%24%28x%29?c=shop\n").await;
    pty.shows("opened https://wiki");
    pty.send("b1");
    opened("https://eu-west-1.console.aws.amazon.com/ec2/home?region=eu-west-1#InstanceDetails:instanceId=aws-i-1\n").await;

    // Of one page nobody is asked; over ssh without a desktop it is copied.
    home.write("inv-tui/config.toml", "[browser]\naws = \"https://x.example.com/{id}\"\n");
    let mut pty = home.explorer(&world, &[], &[("SSH_TTY", "/dev/pts/9")]);
    pty.shows("1 host · live");
    pty.send("zRG");
    pty.shows("it's web");
    let before = pty.raw().len();
    pty.send("b");
    pty.shows("there is no desktop here: https://x.example.com/aws-i-1 · copied to");
    pty.writes(before, "\x1b]52;c;");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_is_taken_in_and_a_mistake_is_not() {
    let Some(world) = one_host("reload").await else { return };
    let home = Home::new("theme = \"night\"\n");
    let mut pty = home.explorer(&world, &[], &[]);
    pty.shows("1 host · live");
    pty.send("zRG");
    pty.shows("it's web");
    let before = pty.raw().len();
    home.write(
        "inv-tui/config.toml",
        "theme = \"day\"\nnamespace = \"other\"\n[keys]\nkeys = [\"i\"]\nmaintenance = [\"K\"]\n",
    );
    pty.writes(before, "48;2;251;251;249"); // the background of day
    let screen = pty.shows("the configuration has changed and is in force");
    assert!(screen.contains("K maintenance") && screen.contains("i help"), "{screen}");
    pty.send("?m");
    pty.send("i");
    let screen = pty.shows("Keys");
    assert!(!screen.contains("put into maintenance"), "{screen}");
    pty.send("i\x1b");
    pty.until("help closed", |screen| !screen.contains("Keys"));
    pty.send(":mainten");
    let screen = pty.shows("Maintenance on or off");
    assert!(
        screen.lines().any(|line| line.contains("on or off") && line.trim_end().ends_with('K')),
        "{screen}"
    );
    pty.send("\x1b");

    // Several mistakes at once, each with its line; the keys stay.
    home.write(
        "inv-tui/config.toml",
        "theme = \"day\"\n[keys]\nrun = [\"space\"]\nkeys = [\"j\"]\n",
    );
    pty.shows(
        "configuration not changed: config.toml:3:7 (1 more): \"space\" is pressed by the way",
    );
    pty.send("\x1bi");
    pty.shows("Keys");
    pty.send("\x1b");
    home.write("inv-tui/config.toml", "theme = \"mine\"\n");
    pty.shows("config.toml:1:9: there is no theme \"mine\"");

    // A theme of one's own comes, and changes.
    let theme = std::fs::read_to_string("themes/night.toml").unwrap();
    let before = pty.raw().len();
    home.write("inv-tui/themes/mine.toml", &theme.replace("#14181f", "#010203"));
    pty.writes(before, "48;2;1;2;3");
    let before = pty.raw().len();
    home.write("inv-tui/themes/mine.toml", &theme.replace("#14181f", "#030201"));
    pty.writes(before, "48;2;3;2;1");
    home.write("inv-tui/themes/mine.toml", &theme.replace("#14181f", "black-ish"));
    pty.shows("theme not changed: theme file \"mine.toml:5:15\" is malformed: role \"text\": \"black-ish\" is no colour");
    pty.send(":theme mine");
    pty.shows("Switch to this theme");
    pty.send("\x1b");
    assert!(pty.runs());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_context_has_settings_of_its_own_and_what_is_stricter_disarms() {
    let Some(world) = one_host("context").await else { return };
    let name = context(&world);
    let home = Home::new(&format!("[contexts.\"{name}\"]\nfilter = \"nothing-like-it\"\n"));
    let mut pty = home.explorer(&world, &[], &[]);
    pty.shows("0 of 1");
    assert!(!pty.screen().contains("READ-ONLY"), "{}", pty.screen());
    home.write("inv-tui/config.toml", &format!("[contexts.\"{name}\"]\nproduction = true\n"));
    let screen = pty.shows("PROD");
    assert!(
        screen.contains("READ-ONLY") && screen.contains("at the next start: filter"),
        "{screen}"
    );
    home.write("inv-tui/config.toml", "");
    let screen = pty.shows("at the next start: filter, production-contexts");
    assert!(screen.contains("PROD"), "{screen}");
    pty.send(":q\r");
    assert_eq!(pty.ends(), 0);
}

/// What the terminal is told for the background of the theme night.
const NIGHT: &str = "48;2;20;24;31";

/// The answer of a terminal waits in its input before the question comes, so no test depends on how
/// quick it is.
#[tokio::test(flavor = "multi_thread")]
async fn auto_follows_the_terminals_background_and_keeps_what_was_typed() {
    let Some(world) = one_host("auto").await else { return };
    let home = Home::new("");
    for (answer, background) in [
        ("\x1b]11;rgb:fdfd/f6f6/e3e3\x1b\\", "48;2;251;251;249"),
        ("\x1b]11;rgb:0000/0000/0000\x07", NIGHT),
        ("\x1b[?62;4c", NIGHT),
        ("", NIGHT),
    ] {
        let mut pty = home.explorer(&world, &[], &[]);
        pty.send(&format!("{answer}?"));
        let screen = pty.shows("Keys");
        pty.writes(0, background);
        assert!(!screen.contains("rgb:"), "{screen}");
        pty.writes(0, "\x1b]11;?\x07\x1b[c");
        // An answer that comes too late is no key: r and g would do something.
        if answer.is_empty() {
            pty.send("?\x1b]11;rgb:ffff/ffff/ffff\x1b\\");
            pty.until("help closed", |screen| !screen.contains("Keys"));
            pty.send("/late");
            let screen = pty.shows("/ late");
            assert!(!screen.contains("rgb") && !screen.contains("ffff"), "{screen}");
            pty.send("\x1b");
        }
        pty.send("\x1b:q\r");
        assert_eq!(pty.ends(), 0);
    }
    // Nothing is asked where the answer would not matter.
    for (args, env, background) in [
        (vec!["--theme", "dusk"], vec![], "48;2;28;23;20"),
        (vec![], vec![("COLORTERM", "")], "\x1b[7m"),
        (vec!["--theme", "night"], vec![("COLORTERM", "")], "48;5;234"),
    ] {
        let pty = home.explorer(&world, &args, &env);
        pty.shows("1 host · live");
        pty.writes(0, background);
        let raw = String::from_utf8_lossy(&pty.raw()).into_owned();
        assert!(!raw.contains("\x1b]11;?"), "{args:?} {env:?}");
        if !env.is_empty() {
            assert!(!raw.contains(";2;20;24;31"), "{args:?}: 24-bit colour on a terminal without");
        }
    }
}

#[test]
fn the_file_is_written_described_and_checked() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.toml");
    let path = file.to_str().unwrap();
    let task = |what: &str| run_binary(&["--headless", "config", what, "--config", path]);
    let (code, out, err) = task("--init");
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.contains("config.toml"), "{out}");
    let written = std::fs::read_to_string(&file).unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let (code, _, err) = task("--init");
    assert_eq!(code, 2);
    assert!(err.contains("is there already") && err.contains("hint: move it away"), "{err}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), written);
    assert_eq!(task("--check").0, 0);

    let (code, out, _) = task("--schema");
    assert_eq!(code, 0);
    let schema: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(schema["additionalProperties"], false);
    assert!(schema["properties"]["ssh"]["description"].as_str().unwrap().contains("no shell"));

    let (code, out, _) = task("--paths");
    assert_eq!(code, 0);
    for what in ["config", "themes", "data", "cache", "journal", "kubeconfig"] {
        assert!(out.lines().any(|line| line.starts_with(what)), "{what}\n{out}");
    }
    assert!(out.contains(path) && out.contains("(not there)"), "{out}");

    std::fs::write(&file, "red-only = 1\n[keys]\nmaintenence = [\"M\"]\n").unwrap();
    let (code, out, err) = task("--check");
    assert_eq!((code, err.as_str()), (2, ""));
    assert!(out.contains("config.toml:1:1: unknown field") && out.contains("hint: "), "{out}");
    std::fs::write(&file, "[keys]\nmaintenence = [\"M\"]\nrun = [\"P\", \"ctrl-r\"]\n").unwrap();
    let (code, out, _) = task("--check");
    assert_eq!(code, 2);
    for part in [
        "config.toml:2:15: there is no action \"maintenence\"",
        "did you mean \"maintenance\"?",
        "config.toml:3:7: \"P\" is the key of problems and of run",
        "\"ctrl-r\" has ctrl",
    ] {
        assert!(out.contains(part), "{part}\n{out}");
    }
    // The explorer and the doctor say the same.
    let (code, _, err) = run_binary(&["--config", path]);
    assert_eq!(code, 2);
    assert!(err.contains("has 3 mistakes: 2:15: ") && err.contains("hint: "), "{err}");
    let missing = dir.path().join("none");
    let (_, out, _) = run_binary(&[
        "--headless",
        "doctor",
        "--config",
        path,
        "--kubeconfig",
        missing.to_str().unwrap(),
    ]);
    assert!(out.contains("config.toml:3:7\": \"P\" is the key of"), "{out}");
    assert!(run_binary(&["--headless", "config"]).2.contains("Usage"), "one thing is to be named");
    assert!(Path::new(path).exists());
}
