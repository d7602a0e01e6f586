//! The explorer as a person meets it: the real program in a real terminal, on a real API server.

use std::process::Command;

use inv_tui::model::host::Host;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use serde_json::json;

use crate::pty::Pty;
use crate::support::control_plane::ControlPlane;
use crate::support::{BINARY, World, needed, run_binary, wait_for};

const SIZE: (u16, u16) = (120, 30);

fn explorer(kubeconfig: &str, world: &str, more: &[&str]) -> Pty {
    let mut args = vec!["--kubeconfig", kubeconfig, "-n", world, "--config", "/dev/null"];
    args.extend(more);
    Pty::start(BINARY, &args, &[], SIZE)
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_are_followed_and_one_is_put_into_maintenance() {
    let Some(world) = World::begin("tui").await else { return };
    for n in 1..=3 {
        world.make_host(&format!("aws-i-{n}"), &format!("web-{n}"), "eu-west-1", "shop").await;
    }
    let mut pty = explorer(world.kubeconfig(), &world.namespace, &[]);
    pty.shows("3 hosts · live");
    pty.send("zR");
    pty.shows("web-3");

    // Another client changes a label and the cluster of a host: the tree follows by itself.
    let hosts: Api<Host> = Api::namespaced(world.client.clone(), &world.namespace);
    let label = json!({"metadata": {"labels": {"colour": "teal"}}, "spec": {"cluster": "bakery"}});
    hosts.patch("aws-i-2", &PatchParams::default(), &Patch::Merge(label)).await.unwrap();
    pty.shows("bakery");
    pty.send("/colour=teal\r");
    pty.shows("1 of 3");
    pty.send("zRG");
    pty.shows("teal");
    world.make_host("aws-i-4", "web-4", "us-east-1", "shop").await;
    pty.shows("1 of 4");

    // m and y: a hold under our name, nothing else touched; u and y: gone again.
    pty.send("m");
    pty.shows("put into maintenance");
    pty.send("y");
    pty.shows("web-2 is in maintenance until");
    let host = hosts.get("aws-i-2").await.unwrap();
    let hold = host.spec.maintenance.get("admin").expect("a hold under the authenticated name");
    assert_eq!(hold.reason, "maintenance");
    let managers = host.metadata.managed_fields.unwrap_or_default();
    assert!(managers.iter().any(|m| m.manager.as_deref() == Some("inv-tui")));
    pty.shows("held by");
    pty.send("u");
    pty.shows("take back the last change of");
    pty.send("y");
    pty.shows("your maintenance of web-2 has ended");
    assert!(hosts.get("aws-i-2").await.unwrap().spec.maintenance.is_empty());

    hosts.delete("aws-i-2", &DeleteParams::default()).await.unwrap();
    pty.shows("0 of 3");
    pty.send(":q\r");
    assert_eq!(pty.ends(), 0);
    pty.given_back();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_goes_away_and_comes_back() {
    let Some(server) = ControlPlane::own("tui-lost") else { return };
    let world = server.world("lost").await;
    world.make_host("aws-i-1", "web-1", "eu-west-1", "shop").await;
    let mut pty = explorer(world.kubeconfig(), &world.namespace, &[]);
    pty.shows("1 host · live");
    pty.send("zRG");
    pty.shows("web-1");

    server.kill_apiserver();
    let screen = pty.shows("LOST · data is");
    assert!(screen.contains("web-1"), "the data stays\n{screen}");
    pty.send("m");
    pty.shows("not connected: changes are refused");

    server.start_apiserver();
    pty.until("live again", |screen| screen.contains("live") && !screen.contains("LOST"));
    world.make_host("aws-i-2", "web-2", "eu-west-1", "shop").await;
    pty.shows("web-2");
    pty.send("\x1bm");
    pty.shows("put into maintenance");
    pty.send("y");
    pty.shows("web-1 is in maintenance until");
    assert!(pty.runs());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_signal_and_a_panic_give_the_terminal_back() {
    let Some(world) = World::begin("signals").await else { return };
    for (name, number) in [("TERM", 15), ("HUP", 1), ("INT", 2), ("QUIT", 3)] {
        let mut pty = explorer(world.kubeconfig(), &world.namespace, &[]);
        pty.shows("live");
        assert!(pty.is_taken());
        pty.signal(name);
        assert_eq!(pty.ends(), 128 + number, "{name}");
        pty.given_back();
    }
}

/// The child of the test below: takes the screen and panics.
#[test]
fn panicking_child() {
    if std::env::var_os("INV_TUI_PANIC").is_some() {
        let _screen = inv_tui::ui::terminal::Screen::take().unwrap();
        panic!("as told");
    }
}

#[test]
fn a_panic_gives_the_terminal_back_and_is_shown() {
    let this = std::env::current_exe().unwrap();
    let args = ["--exact", "tui::panicking_child", "--nocapture"];
    let mut pty = Pty::start(this.to_str().unwrap(), &args, &[("INV_TUI_PANIC", "1")], SIZE);
    assert_ne!(pty.ends(), 0);
    pty.shows("as told");
    let raw = String::from_utf8_lossy(&pty.raw()).into_owned();
    let (taken, given) = (raw.find("\x1b[?1049h"), raw.find("\x1b[?1049l"));
    assert!(taken.is_some() && given > taken, "{raw:?}");
    assert!(raw.find("as told") > given, "the message comes after the screen: {raw:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tiny_terminal_that_is_resized_all_the_time() {
    let Some(world) = World::begin("tiny").await else { return };
    for n in 0..30 {
        world.make_host(&format!("aws-i-{n}"), &format!("web-{n}"), "eu-west-1", "shop").await;
    }
    let mut pty = explorer(world.kubeconfig(), &world.namespace, &[]);
    pty.shows("live");
    for (cols, rows) in [(20, 5), (1, 1), (200, 60), (20, 5), (5, 2), (80, 24)] {
        pty.resize(cols, rows);
        pty.send("zRjjkG?\x1bm\x1b/a\x1b");
    }
    pty.resize(120, 30);
    pty.send("0zRG");
    pty.shows("web-29");

    // Sizes that the program never sees have cut the picture all the same.
    pty.pause();
    let seen = pty.raw().len();
    pty.resize(20, 5);
    pty.resize(120, 30);
    pty.signal("CONT");
    pty.writes(seen, "web-29");
    // A key that comes at the very moment of a new size is not lost, nor is the size.
    for n in 0..40 {
        pty.resize(100 + n, 30);
        pty.send("?");
        pty.shows("Keys");
        pty.send("?");
        pty.until("help closed", |screen| !screen.contains("Keys"));
    }
    assert!(pty.runs());
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_text_never_reaches_the_terminal() {
    let Some(world) = World::begin("hostile").await else { return };
    world
        .make_host("aws-i-1", "evil\u{1b}]0;owned\u{7}\u{1b}[2J\u{202e}gnp", "eu-west-1", "shop")
        .await;
    let mut pty = explorer(world.kubeconfig(), &world.namespace, &[]);
    pty.shows("live");
    pty.send("zRG");
    pty.shows("evil");
    pty.shows("Labels");
    let raw = pty.raw();
    assert!(!raw.windows(4).any(|w| w == b"\x1b]0;"), "a title was set");
    // The one question of ours, for the background.
    let text = String::from_utf8_lossy(&raw).replace("\x1b]11;?\x07", "");
    assert!(!text.contains('\u{202e}') && !text.contains('\u{7}'), "{text:?}");
    // What was copied is harmless too.
    pty.send("Yd");
    pty.shows("copied to");
}

#[test]
fn wrong_set_up_is_named_before_the_screen_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let broken = path("broken", "clusters: [");
    let empty = path("empty", "apiVersion: v1\nkind: Config\n");
    let refused = path(
        "refused",
        "{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: k, user: u}}], \
         clusters: [{name: k, cluster: {server: 'http://127.0.0.1:9'}}], users: [{name: u, user: {}}]}",
    );
    let config = path("config.toml", "read-only = 3\n");
    for (args, wanted) in [
        (vec!["--kubeconfig", "/nowhere"], vec!["/nowhere", "hint: there is no such file"]),
        (vec!["--kubeconfig", &broken], vec!["broken", "hint: it must be YAML"]),
        (
            vec!["--kubeconfig", &empty],
            vec!["has no current context", "hint: name one with --context"],
        ),
        (
            vec!["--kubeconfig", &refused, "--context", "x"],
            vec!["no context \"x\"", "hint: it has c"],
        ),
        (
            vec!["--kubeconfig", &refused],
            vec!["cannot list hosts on http://127.0.0.1:9", "cannot be reached", "hint: "],
        ),
        (
            vec!["--theme", "nope"],
            vec!["no theme \"nope\"", "hint: name one of night, day, dusk, ocean"],
        ),
        (vec!["--config", &config], vec!["config.toml:1:13", "hint: "]),
        (
            vec!["--filter", "a && ("],
            vec!["the filter \"a && (\" is malformed at column", "hint: "],
        ),
    ] {
        let (code, stdout, stderr) = run_binary(&args);
        assert_eq!(code, 2, "{args:?}: {stderr}");
        assert_eq!(stdout, "", "{args:?}");
        for part in wanted {
            assert!(stderr.contains(part), "{args:?}: {part:?} is not in\n{stderr}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_definitions_and_permissions_are_named() {
    let Some(server) = ControlPlane::own_without_definitions("tui-bare") else { return };
    let (code, _, stderr) = run_binary(&["--kubeconfig", &server.kubeconfig]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("does not serve inventory.inv-tui.dev"), "{stderr}");
    assert!(stderr.contains("hint: ") && stderr.contains("crds --apply"), "{stderr}");

    // Not named on purpose, only found in the environment: the embedded server takes its place, and
    // it is said so.
    let home = tempfile::tempdir().unwrap();
    let env = [("HOME", home.path().to_str().unwrap()), ("KUBECONFIG", &server.kubeconfig)];
    let mut pty = Pty::start(BINARY, &["--config", "/dev/null"], &env, (160, 30));
    pty.shows("0 hosts · live");
    pty.shows("has no inventory (install: inv-tui --headless crds --apply");
    assert!(pty.screen().contains("inv-tui embedded"), "{}", pty.screen());
    pty.send(":q\r");
    assert_eq!(pty.ends(), 0);

    let (code, _, stderr) =
        run_binary(&["--headless", "crds", "--apply", "--kubeconfig", &server.kubeconfig]);
    assert_eq!(code, 0, "{stderr}");
    let nobody = server.user("nobody", &[]);
    let (code, _, stderr) = run_binary(&["--kubeconfig", &nobody]);
    assert_eq!(code, 2, "{stderr}");
    assert!(
        stderr.contains("the server refused it (403)") && stderr.contains("\"nobody\" cannot list"),
        "{stderr}"
    );
    assert!(stderr.contains("hint: your user lacks the permission to list hosts"), "{stderr}");
}

/// kubectl beside the explorer, as a colleague would use it.
#[tokio::test(flavor = "multi_thread")]
async fn kubectl_sees_and_changes_the_same_hosts() {
    let Some(world) = World::begin("kubectl").await else { return };
    let Some(kubectl) = needed("INV_TUI_TEST_KUBECTL") else { return };
    world.make_host("aws-i-1", "web-1", "eu-west-1", "shop").await;
    let call = |args: &[&str]| {
        let mut command = Command::new(&kubectl);
        command.args(["--kubeconfig", world.kubeconfig(), "-n", &world.namespace]).args(args);
        command.output().expect("kubectl runs")
    };
    let run = |args: &[&str]| {
        let output = call(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let pty = explorer(world.kubeconfig(), &world.namespace, &["--filter", "rack=r7"]);
    pty.shows("0 of 1");
    run(&["label", "host", "aws-i-1", "rack=r7"]);
    pty.shows("1 of 1");
    let table = run(&["get", "hosts"]);
    for part in ["REGION", "CLUSTER", "STATE", "eu-west-1", "shop", "Running"] {
        assert!(table.contains(part), "{table}");
    }
    let text = run(&["describe", "host", "aws-i-1"]);
    assert!(text.contains("rack=r7") && text.contains("Provider ID"), "{text}");
    // The server publishes what it knows of the fields of new definitions by and by.
    wait_for("the fields to be explained", async || {
        let hint = call(&["explain", "host.spec.maintenance"]).stdout;
        let hint = String::from_utf8_lossy(&hint);
        hint.contains("Holds that keep the host in maintenance").then_some(())
    })
    .await;
}
