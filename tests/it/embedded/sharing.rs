//! Several programs on one machine share one store: the first serves, the others connect.

use std::path::Path;
use std::process::Stdio;

use futures::{StreamExt, TryStreamExt};
use inv_tui::model::host::Host;
use inv_tui::store::embedded;
use kube::ResourceExt;
use kube::api::{Api, WatchEvent, WatchParams};

use super::{NAMESPACE, Serving, make_host, program};
use crate::pty::Pty;
use crate::support::{BINARY, PATIENCE, run, wait_for};

/// The explorer as somebody starts it who has nothing: no kubeconfig, a home, no options.
fn explorer(home: &Path, args: &[&str]) -> Pty {
    let home = home.to_str().unwrap();
    Pty::start(BINARY, args, &[("HOME", home), ("INV_TUI_CONFIG", "/dev/null")], (120, 30))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_command_needs_nothing_and_the_second_start_shows_the_fleet_of_the_first() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join(".local/share/inv-tui");
    let mut first = explorer(home.path(), &[]);
    first.shows("0 hosts · live");
    first.shows("embedded");

    // Another program writes through the first one's server.
    let shared = embedded::connect(Some(&folder)).await.unwrap();
    let hosts: Api<Host> = Api::namespaced(shared.client, NAMESPACE);
    make_host(&hosts, "web-1", "web").await;
    first.shows("1 host · live");
    first.send(":q\r");
    assert_eq!(first.ends(), 0);

    let second = explorer(home.path(), &[]);
    second.shows("1 host · live");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_left_takes_over_when_the_first_is_killed() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("data");
    let data = ["--embedded", "--data-dir", folder.to_str().unwrap()];
    let mut first = explorer(home.path(), &data);
    first.shows("0 hosts · live");
    let mut second = explorer(home.path(), &data);
    second.shows("0 hosts · live");
    let third = embedded::connect(Some(&folder)).await.unwrap();
    let hosts: Api<Host> = Api::namespaced(third.client, NAMESPACE);
    make_host(&hosts, "web-1", "web").await;
    for pty in [&first, &second] {
        pty.shows("1 host · live");
    }
    let from = hosts.get("web-1").await.unwrap().resource_version().unwrap();

    first.signal("KILL");
    first.ends();
    // Whichever is faster takes over; both go on, the watch of the second too.
    wait_for("a server", async || hosts.get("web-1").await.ok()).await;
    make_host(&hosts, "web-2", "web").await;
    second.shows("2 hosts · live");
    // And nothing between the two is lost.
    let mut events = hosts.watch(&WatchParams::default(), &from).await.unwrap().boxed();
    let event = tokio::time::timeout(PATIENCE, events.try_next()).await.unwrap().unwrap().unwrap();
    assert!(matches!(&event, WatchEvent::Added(host) if host.name_any() == "web-2"), "{event:?}");
    assert!(second.runs());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_takes_over_alone_and_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("data");
    let first = Serving::start(&folder, &[]).await;
    make_host(&first.hosts().await, "web-1", "web").await;
    let data = ["--embedded", "--data-dir", folder.to_str().unwrap()];
    let mut second = explorer(home.path(), &data);
    second.shows("1 host · live");
    // While somebody serves it, nobody else can: and is told who does.
    let pid = first.child.id().unwrap();
    let refused = run(program(&folder, &["--listen", "127.0.0.1:0"])).await.with(1);
    refused.says(&["is in use", &format!("process {pid} has it open"), "--data-dir"]);

    first.kill().await;
    // Nobody asks but the explorer itself: it is the explorer that takes over.
    let holder = wait_for("the take-over", async || {
        let holder: u32 = std::fs::read_to_string(folder.join("lock")).unwrap().parse().ok()?;
        (holder != pid).then_some(holder)
    });
    let holder = format!("process {} has it open", holder.await);
    run(program(&folder, &["--listen", "127.0.0.1:0"])).await.with(1).says(&["is in use", &holder]);
    let shared = embedded::connect(Some(&folder)).await.unwrap();
    let hosts: Api<Host> = Api::namespaced(shared.client, NAMESPACE);
    assert_eq!(hosts.get("web-1").await.unwrap().name_any(), "web-1");
    make_host(&hosts, "web-2", "web").await;
    second.until("both", |screen| screen.contains("2 hosts · live"));
    second.send(":q\r");
    assert_eq!(second.ends(), 0);

    // It is free again, and has what was written last.
    let third = Serving::start(&folder, &[]).await;
    assert_eq!(
        third.hosts().await.list(&kube::api::ListParams::default()).await.unwrap().items.len(),
        2
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_is_taken_of_a_store_that_another_serves() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("data");
    let server = Serving::start(&folder, &[]).await;
    make_host(&server.hosts().await, "web-1", "web").await;
    let data = folder.to_str().unwrap();
    let args = ["--embedded", "--data-dir", data, "--snapshot", "120x30"];
    let (code, stdout, stderr) = crate::support::run_binary(&args);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("1 host "), "{stdout}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_start_and_end_at_once_share_a_store_that_is_not_there_yet() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("data");
    // Each serves for the others until it has its picture and goes; somebody else takes over.
    let pictures = (0..8).map(|_| {
        let mut command = tokio::process::Command::new(BINARY);
        command.args(["--embedded", "--snapshot", "80x24", "--data-dir"]).arg(&folder);
        command.env_clear().env("HOME", home.path()).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        run(command)
    });
    for ended in futures::future::join_all(pictures).await {
        let picture = ended.with(0).stdout;
        assert!(picture.contains("0 hosts"), "{picture}");
    }
}
