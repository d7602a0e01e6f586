//! Finding hosts as a person does it: completion, facets, saved views, the last known fleet; the real
//! program in a real terminal.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::pty::Pty;
use crate::support::control_plane::ControlPlane;
use crate::support::{BINARY, World, run, wait_for};

const SIZE: (u16, u16) = (140, 30);

/// Folders that several starts share.
struct Home {
    dir: tempfile::TempDir,
    config: PathBuf,
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("config.toml");
        std::fs::write(&config, "").unwrap();
        Self { dir, config }
    }

    fn explorer(&self, kubeconfig: &str, namespace: &str, more: &[&str]) -> Pty {
        let config = self.config.to_str().unwrap();
        let mut args = vec!["--kubeconfig", kubeconfig, "-n", namespace, "--config", config];
        args.extend(more);
        let folder = |name: &str| self.dir.path().join(name).to_str().unwrap().to_owned();
        let folders = [folder("cache"), folder("state"), folder("config")];
        let env = [
            ("XDG_CACHE_HOME", folders[0].as_str()),
            ("XDG_STATE_HOME", folders[1].as_str()),
            ("XDG_CONFIG_HOME", folders[2].as_str()),
        ];
        Pty::start(BINARY, &args, &env, SIZE)
    }

    /// The fleets that were kept.
    fn kept(&self) -> Vec<PathBuf> {
        let folder = self.dir.path().join("cache/inv-tui/fleet");
        let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
        entries.map(|entry| entry.unwrap().path()).collect()
    }
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

fn quit(mut pty: Pty) {
    pty.send(":q\r");
    assert_eq!(pty.ends(), 0);
    pty.given_back();
}

async fn labelled(world: &World) {
    for (number, env) in [(1, "prod"), (2, "prod"), (3, "test")] {
        let name = format!("aws-i-{number}");
        world.make_host(&name, &format!("web-{number}"), "eu-west-1", "shop").await;
        let labels = json!({"metadata": {"labels": {"colour": env, "rack": format!("r{number}")}}});
        world.edit(&name, "test", labels).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_begins_with_the_last_known_fleet() {
    let Some(server) = ControlPlane::own("find-outage") else { return };
    let world = server.world("outage").await;
    world.make_host("aws-i-1", "web-1", "eu-west-1", "shop").await;
    let home = Home::new();
    let start = || home.explorer(world.kubeconfig(), &world.namespace, &["--filter", "web"]);
    let pty = start();
    pty.shows("1 host · live");
    quit(pty);
    let kept = home.kept();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!((mode(&kept[0]), mode(kept[0].parent().unwrap())), (0o600, 0o700));

    server.kill_apiserver();
    let mut pty = start();
    let screen = pty.shows("web-1");
    assert!(screen.contains("as of") && !screen.contains("live"), "{screen}");
    pty.shows("LOST · as of");
    pty.shows("--headless doctor");
    pty.send("Gm");
    pty.shows("this is the last known fleet, as of");
    pty.send("\x1b");

    server.start_apiserver();
    pty.until("live again", |screen| screen.contains("live") && !screen.contains("as of"));
    pty.send("Gm");
    pty.shows("put into maintenance");
    pty.send("\x1b");
    quit(pty);

    // A file that is broken is said, and the server's list is there all the same.
    std::fs::write(&home.kept()[0], "not a fleet").unwrap();
    let mut pty = start();
    pty.shows("the last known fleet cannot be used");
    pty.shows("1 host · live");
    pty.send("\x1b");
    quit(pty);

    // Without anything kept an outage ends at once, as it always did.
    std::fs::write(&home.config, "last-fleet = false\n").unwrap();
    server.kill_apiserver();
    let mut pty = start();
    assert_eq!(pty.ends(), 2);
    pty.shows("cannot be reached");
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_complete_and_facets_filter() {
    let Some(world) = World::begin("complete").await else { return };
    labelled(&world).await;
    let home = Home::new();
    let mut pty = home.explorer(world.kubeconfig(), &world.namespace, &[]);
    pty.shows("3 hosts · live");
    pty.send("/col");
    pty.shows("colour=");
    pty.send("\x1b[C");
    pty.until("values with counts", |screen| {
        screen.lines().any(|line| line.contains("prod") && line.contains('2'))
    });
    pty.send("\t");
    pty.shows("2 of 3");
    pty.send("\r");
    pty.shows("colour=prod");
    // The line that was typed is there for the next start.
    pty.send("0");
    pty.until("everything", |screen| !screen.contains("colour=prod"));
    quit(pty);
    assert_eq!(mode(&home.dir.path().join("state/inv-tui/filters")), 0o600);
    let mut pty = home.explorer(world.kubeconfig(), &world.namespace, &[]);
    pty.shows("3 hosts · live");
    pty.send("/");
    pty.shows("shows the grammar");
    // What was typed is read behind the screen: the key may come before it.
    wait_for("the line that was typed", async || {
        pty.send("\x1b[A");
        pty.screen().contains("/ colour=prod").then_some(())
    })
    .await;
    pty.shows("2 of 3");
    pty.send("\x1b");
    quit(pty);
}

#[tokio::test(flavor = "multi_thread")]
async fn facets_are_toggled_and_a_view_is_saved_for_the_next_start() {
    let Some(world) = World::begin("facets").await else { return };
    labelled(&world).await;
    let home = Home::new();
    let mut pty = home.explorer(world.kubeconfig(), &world.namespace, &[]);
    pty.shows("3 hosts · live");
    pty.send("f");
    pty.until("both facets", |screen| {
        ["Facets", "colour", "prod", "rack", "r3"].iter().all(|word| screen.contains(word))
    });
    // The last facets are the colour with two values and the rack with three, each under its title.
    pty.send("G5k ");
    pty.shows("2 of 3");
    pty.shows("colour=prod");
    pty.send("f");
    pty.send(":save-view\r");
    pty.shows("save this view: colour=prod");
    pty.send("red ones\r");
    pty.shows("views.toml is written");
    let file = home.dir.path().join("config/inv-tui/views.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("name = \"red ones\"\nkey = 1\nfilter = \"colour=prod\""), "{text}");
    assert_eq!(mode(&file), 0o600);
    quit(pty);

    // The digit alone, after a moment; with Enter at once; as a count before a motion.
    let mut pty = home.explorer(world.kubeconfig(), &world.namespace, &[]);
    pty.shows("3 hosts · live");
    pty.send("1");
    pty.shows("2 of 3");
    pty.send("0");
    pty.until("everything", |screen| !screen.contains("2 of 3"));
    pty.send("1\r");
    pty.shows("2 of 3");
    pty.send("vv");
    pty.shows("saved views");
    pty.shows("red ones");
    pty.send("\x1b");
    quit(pty);
    let pty = home.explorer(world.kubeconfig(), &world.namespace, &["--view", "red ones"]);
    pty.shows("2 of 3");
    quit(pty);

    let config = home.dir.path().join("config");
    let get = |name: &str| {
        let mut command = world.program(&["get", "--view", name, "-o", "name"]);
        command.env("XDG_CONFIG_HOME", &config);
        command
    };
    let got = run(get("red ones")).await.with(0);
    assert_eq!(got.stdout.lines().count(), 2, "{}", got.stdout);
    run(get("blue ones")).await.with(2).says(&["no saved view \"blue ones\"", "\"red ones\""]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_picture_stays_while_the_fleet_moves() {
    let Some(world) = World::begin("freeze").await else { return };
    world.make_host("aws-i-1", "web-1", "eu-west-1", "shop").await;
    let home = Home::new();
    let mut pty = home.explorer(world.kubeconfig(), &world.namespace, &[]);
    pty.shows("1 host · live");
    pty.send("zRF");
    pty.shows("FROZEN since");
    world.make_host("aws-i-2", "web-2", "eu-west-1", "shop").await;
    let screen = pty.shows("1 changed");
    assert!(!screen.contains("web-2") && screen.contains("1 host · live"), "{screen}");
    pty.send("F");
    pty.shows("2 hosts · live");
    pty.shows("web-2");
    quit(pty);
}
