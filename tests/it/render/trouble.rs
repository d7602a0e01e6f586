//! What goes wrong: templates, commands, the process itself, the server.

use std::os::unix::process::ExitStatusExt;

use serde_json::json;

use super::{LINES, Render, Scene, read};
use crate::support::control_plane::ControlPlane;
use crate::support::{World, run, wait_for, worlds};

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_fails_leaves_the_file() {
    let Some(world) = World::begin("render-fails").await else { return };
    world.put("web-1", "10.0.0.1").await;
    let template = "first\n{% for host in hosts %}\n{{ host.name | capture(host.annotations.pattern or '.*') }}\n{% endfor %}\n";
    let scene = Scene::begin(world.as_renderer().await, template, "");
    let render = scene.start().await;
    scene.until(&render, "first\nweb-1\n").await;
    let pattern = |text: &str| json!({"metadata": {"annotations": {"pattern": text}}});
    world.edit("web-1", "kubectl-edit", pattern("(")).await;
    render.counts("inv_tui_render_writes_total{file=\"hosts\",outcome=\"template\"} 1").await;
    render.counts("inv_tui_render_file_current{file=\"hosts\"} 0").await;
    assert_eq!(read(&scene.file), "first\nweb-1\n");
    let said = wait_for("the log", async || {
        let log = render.log();
        log.lines().find(|line| line.contains("cannot be filled")).map(str::to_owned)
    });
    let said = said.await;
    for part in ["text of", "capture", "line 3"] {
        assert!(said.contains(part), "{said}");
    }
    // The next change is another chance.
    world.edit("web-1", "kubectl-edit", pattern("web")).await;
    scene.until(&render, "first\nweb\n").await;
    render.counts("inv_tui_render_file_current{file=\"hosts\"} 1").await;
    render.end().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_failed_is_run_again_until_it_succeeds() {
    let Some(world) = World::begin("render-again").await else { return };
    world.put("web-1", "10.0.0.1").await;
    let scene = Scene::begin(world.as_renderer().await, LINES, "");
    let (told, fine) = (scene.path("told"), scene.path("ok"));
    let script = format!(
        "echo $1 >> '{}'; echo 'no such unit' >&2; test -e '{}'",
        told.display(),
        fine.display()
    );
    scene.configure(LINES, &scene.command(&script));
    let render = scene.start().await;
    wait_for("two tries", async || (scene.told() >= 2).then_some(())).await;
    render.counts("inv_tui_render_file_current{file=\"hosts\"} 0").await;
    render.says("exit status: 1: no such unit").await;
    // Another process goes on where this one stops.
    render.end().await;
    assert!(scene.mark().exists());
    let before = scene.told();
    std::fs::write(&fine, "").unwrap();
    let render = scene.start().await;
    render.counts("inv_tui_render_commands_total{file=\"hosts\",outcome=\"done\"} 1").await;
    render.counts("inv_tui_render_file_current{file=\"hosts\"} 1").await;
    assert_eq!((scene.told(), scene.mark().exists()), (before + 1, false));
    assert_eq!(read(&scene.file), "10.0.0.1 web-1\n");
    render.end().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_nothing_is_forgotten() {
    for world in worlds("render-killed").await {
        world.put("web-1", "10.0.0.1").await;
        for step in ["render-marked", "render-written"] {
            let scene = Scene::begin(world.as_renderer().await, LINES, "");
            std::fs::write(&scene.file, "from before\n").unwrap();
            let script = format!("cat \"$2\" >> '{}'", scene.path("told").display());
            scene.configure(LINES, &scene.command(&script));
            let mut words = scene.render(&["--listen", "127.0.0.1:0"]);
            let mut child = words.env("INV_TUI_STOP_AT", step).spawn().unwrap();
            assert_eq!(child.wait().await.unwrap().signal(), Some(9), "{step}");
            let text = if step == "render-marked" { "from before\n" } else { "10.0.0.1 web-1\n" };
            assert_eq!((read(&scene.file).as_str(), scene.told()), (text, 0), "{step}");
            assert!(scene.mark().exists(), "{step}");
            let render = scene.start().await;
            scene.until(&render, "10.0.0.1 web-1\n").await;
            render.counts("inv_tui_render_file_current{file=\"hosts\"} 1").await;
            assert!(read(&scene.path("told")).ends_with("10.0.0.1 web-1\n"), "{step}");
            assert!(!scene.mark().exists(), "{step}");
            render.end().await;
        }
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_hangs_is_ended_and_a_stop_does_not_wait_for_it() {
    let Some(world) = World::begin("render-hangs").await else { return };
    world.put("web-1", "10.0.0.1").await;
    let scene = Scene::begin(world.as_renderer().await, LINES, "");
    let script = format!("echo $$ >> '{}'; exec sleep 600", scene.path("told").display());
    let command = scene.command(&script);
    scene.configure(LINES, &format!("{command}\ntimeout = \"1s\""));
    let render = scene.start().await;
    render.says("ended after 1 s").await;
    assert!(
        render.count("inv_tui_render_commands_total{file=\"hosts\",outcome=\"failed\"}").await >= 1
    );
    render.end().await;
    // One that may take long: a stop ends it, and the next process runs it again.
    scene.configure(LINES, &command);
    let before = scene.told();
    let render = scene.start().await;
    wait_for("the command", async || (scene.told() > before).then_some(())).await;
    render.end().await;
    let told = read(&scene.path("told"));
    let pid = told.lines().last().unwrap().to_owned();
    let gone = async || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
        stat.map_or(true, |stat| stat.contains(") Z ")).then_some(())
    };
    wait_for("the end of the command", gone).await;
    assert!(scene.mark().exists());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_server_the_file_stays() {
    let Some(server) = ControlPlane::own("render-away") else { return };
    let world = server.world("away").await;
    world.put("web-1", "10.0.0.1").await;
    let scene = Scene::begin(world, LINES, "");
    std::fs::write(&scene.file, "from before\n").unwrap();
    server.kill_apiserver();
    let render = scene.start().await;
    assert_eq!((render.get("/readyz").await.0, render.get("/healthz").await.0), (503, 200));
    run(scene.render(&["--once"])).await.with(1);
    assert_eq!(read(&scene.file), "from before\n");
    server.start_apiserver();
    scene.until(&render, "10.0.0.1 web-1\n").await;
    render.counts("inv_tui_render_synced 1").await;

    server.kill_apiserver();
    render.counts("inv_tui_render_synced 0").await;
    assert_eq!(render.get("/readyz").await.0, 503);
    assert_eq!(read(&scene.file), "10.0.0.1 web-1\n");
    server.start_apiserver();
    render.counts("inv_tui_render_synced 1").await;
    scene.world.readdress("web-1", "10.0.0.2").await;
    scene.until(&render, "10.0.0.2 web-1\n").await;
    render.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_is_told_before_anything_is_done() {
    let Some(world) = World::begin("render-mistakes").await else { return };
    let scene = Scene::begin(world.as_renderer().await, "{{ hots }}", "");
    run(scene.render(&[])).await.with(2).says(&["hots", "hint: deploy/render.toml"]);
    // Somebody who may not look at hosts does not wait for ever.
    let nobody = world.seen_by("nobody", &["inv:nobodies"]).await;
    let scene = Scene::begin(nobody, LINES, "");
    run(scene.render(&["--listen", "127.0.0.1:0"])).await.with(2).says(&["list hosts"]);
    run(scene.render(&["--once"])).await.with(1).says(&["list hosts"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    run(scene.render(&["--listen", &address])).await.with(2).says(&["--listen"]);
    world.end().await;
}

/// How long it takes from a change to the file, with as many hosts as `INV_TUI_MEASURE_HOSTS` says; for
/// ARCHITECTURE.md, by hand.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_in_the_file_soon() {
    let measured = std::env::var("INV_TUI_MEASURE_HOSTS").ok().and_then(|n| n.parse().ok());
    let Some(world) = World::begin("render-soon").await else { return };
    let hosts: usize = measured.unwrap_or(20);
    let make = (0..hosts).map(|number| {
        let world = &world;
        async move { world.make_host(&format!("web-{number}"), "x", "eu", "shop").await }
    });
    let mut all = futures::stream::iter(make);
    futures::StreamExt::for_each_concurrent(&mut all, 32, |one| one).await;
    let scene = Scene::begin(world.as_renderer().await, LINES, "");
    let render: Render = scene.start().await;
    wait_for("the file", async || (read(&scene.file).lines().count() == hosts).then_some(())).await;
    for round in 0..5 {
        let address = format!("10.9.9.{round}");
        // A change after another one waits for `interval`, which is not what is measured.
        let written = std::time::Instant::now();
        let quiet = async || (measured.is_none() || written.elapsed().as_secs() > 11).then_some(());
        wait_for("quiet", quiet).await;
        let began = std::time::Instant::now();
        world.readdress("web-7", &address).await;
        let line = format!("{address} web-7\n");
        wait_for("the change", async || read(&scene.file).contains(&line).then_some(())).await;
        eprintln!(
            "measured: of {hosts} hosts one in the file after {} ms",
            began.elapsed().as_millis()
        );
    }
    render.end().await;
    world.end().await;
}
