//! `inv-tui --headless render`, the built program: files that follow the hosts, and their readers.

mod readers;
mod trouble;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::process::Child;

use crate::support::monitoring::{address, terminate};
use crate::support::{World, http, run, wait_for, worlds};

/// One line for each host.
const LINES: &str = "{% for host in hosts %}\n{{ host.address }} {{ host.name }}\n{% endfor %}\n";

/// What is rendered in a test, and by which command its reader is told.
struct Scene {
    world: World,
    file: PathBuf,
    config: PathBuf,
}

/// A service that runs.
struct Render {
    child: Child,
    address: String,
    log: Arc<Mutex<String>>,
}

impl Scene {
    /// The template and further settings of the one file.
    fn begin(world: World, template: &str, more: &str) -> Self {
        let out = world.dir.path().join("out");
        std::fs::create_dir(&out).unwrap();
        let (file, config) = (out.join("hosts.conf"), world.dir.path().join("render.toml"));
        let scene = Self { world, file, config };
        scene.configure(template, more);
        scene
    }

    fn configure(&self, template: &str, more: &str) {
        let path = self.file.display();
        let text =
            format!("[[file]]\nname = \"hosts\"\npath = '{path}'\ntext = {template:?}\n{more}\n");
        std::fs::write(&self.config, text).unwrap();
    }

    /// A setting: a shell script that is run.
    fn command(&self, script: &str) -> String {
        let path = self.path("reload");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        format!("command = ['{}', 'hosts', '{}']", path.display(), self.file.display())
    }

    /// A path in the folder of the test.
    fn path(&self, name: &str) -> PathBuf {
        self.world.dir.path().join(name)
    }

    /// How often the command wrote a line.
    fn told(&self) -> usize {
        read(&self.path("told")).lines().count()
    }

    /// The mark that the reader is still to be told.
    fn mark(&self) -> PathBuf {
        self.file.with_file_name(".hosts.conf.untold")
    }

    async fn start(&self) -> Render {
        let child = self.render(&["--listen", "127.0.0.1:0"]).spawn().unwrap();
        Render::of(child).await
    }

    fn render(&self, words: &[&str]) -> tokio::process::Command {
        let config = self.config.to_str().unwrap();
        let all = [&["render", "--render-config", config], words].concat();
        self.world.program(&all)
    }

    /// Waits until the file is so.
    async fn until(&self, render: &Render, text: &str) {
        let what = format!("{text:?} in the file");
        let began = std::time::Instant::now();
        wait_for(&what, async || {
            (read(&self.file) == text).then_some(()).or_else(|| {
                assert!(began.elapsed().as_secs() < 100, "{}\n{}", read(&self.file), render.log());
                None
            })
        })
        .await;
    }
}

impl Render {
    async fn of(mut child: Child) -> Self {
        let stderr = child.stderr.take().unwrap();
        let (address, log) = address(stderr, "health and metrics").await;
        Self { child, address, log }
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let (code, _, body) = wait_for(path, async || http::get(&self.address, path).await).await;
        (code, body)
    }

    /// Waits for a line of the metrics.
    async fn counts(&self, line: &str) {
        let what = format!("{line} in the metrics");
        let found =
            async || self.get("/metrics").await.1.lines().any(|have| have == line).then_some(());
        wait_for(&what, found).await;
    }

    /// The number behind a name in the metrics.
    async fn count(&self, name: &str) -> u64 {
        let body = self.get("/metrics").await.1;
        let line = body.lines().find_map(|line| line.strip_prefix(name)).unwrap_or(" 0");
        line.trim().parse().unwrap()
    }

    fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits for words in the log, which is read beside the test.
    async fn says(&self, words: &str) {
        let what = format!("{words:?} in the log");
        wait_for(&what, async || self.log().contains(words).then_some(())).await;
    }

    /// Ends it in good order.
    async fn end(mut self) {
        terminate(&self.child);
        assert!(self.child.wait().await.unwrap().success(), "{}", self.log());
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

impl World {
    /// A running host at an address.
    async fn put(&self, name: &str, address: &str) {
        self.make_host(name, name, "eu-west-1", "shop").await;
        self.readdress(name, address).await;
    }

    async fn readdress(&self, name: &str, address: &str) {
        let addresses = json!([{"type": "InternalIP", "address": address}]);
        let status = Patch::Merge(json!({"status": {"addresses": addresses}}));
        self.hosts().patch_status(name, &PatchParams::default(), &status).await.unwrap();
    }

    /// Puts a host into maintenance, or ends that.
    async fn held(&self, name: &str, wanted: bool) {
        let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
        let until = now.checked_add(SignedDuration::from_hours(1)).unwrap();
        let hold =
            json!({"reason": "disk swap", "since": now.to_string(), "until": until.to_string()});
        let hold = if wanted { hold } else { Value::Null };
        self.edit(name, "kubectl-edit", json!({"spec": {"maintenance": {"ann": hold}}})).await;
    }

    /// The same namespace with the rights of render and no more.
    async fn as_renderer(&self) -> Self {
        self.seen_by("inv:svc:render", &["inv:renderers"]).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_follows_the_hosts_and_its_reader_is_told() {
    for world in worlds("render").await {
        world.put("web-10", "10.0.0.10").await;
        world.put("web-2", "10.0.0.2").await;
        let scene = Scene::begin(world.as_renderer().await, LINES, "");
        let told = scene.path("told");
        let script =
            format!("cat \"$2\" >/dev/null && echo \"$1\" >> '{}'; echo reloaded", told.display());
        scene.configure(LINES, &format!("{}\nmode = \"0640\"", scene.command(&script)));
        let render = scene.start().await;
        scene.until(&render, "10.0.0.2 web-2\n10.0.0.10 web-10\n").await;
        let mode = std::fs::metadata(&scene.file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        render.counts("inv_tui_render_file_current{file=\"hosts\"} 1").await;
        assert_eq!((scene.told(), scene.mark().exists()), (1, false));
        assert_eq!(render.get("/readyz").await.0, 200);
        render.says("output=\"reloaded\"").await;

        // One that shows nothing of it is no reason to write, nor is a word that the template leaves out.
        world.edit("web-2", "kubectl-edit", json!({"spec": {"team": "shop-team"}})).await;
        render.counts("inv_tui_render_writes_total{file=\"hosts\",outcome=\"same\"} 1").await;
        world.readdress("web-2", "10.0.0.3").await;
        scene.until(&render, "10.0.0.3 web-2\n10.0.0.10 web-10\n").await;
        world.held("web-10", true).await;
        scene.until(&render, "10.0.0.3 web-2\n").await;
        render.counts("inv_tui_render_file_hosts{file=\"hosts\",what=\"left-out\"} 1").await;
        world.held("web-10", false).await;
        scene.until(&render, "10.0.0.3 web-2\n10.0.0.10 web-10\n").await;
        render.counts("inv_tui_render_commands_total{file=\"hosts\",outcome=\"done\"} 4").await;
        assert_eq!(scene.told(), 4);

        // No list without hosts, unless that is wanted.
        for name in ["web-2", "web-10"] {
            world.hosts().delete(name, &DeleteParams::default()).await.unwrap();
        }
        render.counts("inv_tui_render_writes_total{file=\"hosts\",outcome=\"empty\"} 1").await;
        render.counts("inv_tui_render_file_current{file=\"hosts\"} 0").await;
        assert!(!read(&scene.file).is_empty());
        render.says("no host is chosen").await;
        render.end().await;
        scene.configure(LINES, "allow-empty = true");
        let render = scene.start().await;
        scene.until(&render, "").await;
        assert!(scene.file.exists());
        render.end().await;
        // Nothing is left beside it.
        assert_eq!(std::fs::read_dir(scene.file.parent().unwrap()).unwrap().count(), 1);
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_changes_are_few_writes() {
    for world in worlds("render-burst").await {
        world.put("web-0", "10.0.0.1").await;
        let scene = Scene::begin(world.as_renderer().await, LINES, "interval = \"2s\"");
        let render = scene.start().await;
        scene.until(&render, "10.0.0.1 web-0\n").await;
        let began = std::time::Instant::now();
        for number in 0..60 {
            world.readdress("web-0", &format!("10.0.1.{number}")).await;
        }
        scene.until(&render, "10.0.1.59 web-0\n").await;
        let most = began.elapsed().as_secs() / 2 + 2;
        let writes =
            render.count("inv_tui_render_writes_total{file=\"hosts\",outcome=\"done\"}").await;
        assert!(writes - 1 <= most, "{writes} in {:?}", began.elapsed());
        render.end().await;
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn once_writes_and_tells_and_says_how_it_went() {
    for world in worlds("render-once").await {
        let scene = Scene::begin(world.as_renderer().await, LINES, "");
        let told = scene.path("told");
        let script =
            format!("echo $1 >> '{}'; test -e '{}'", told.display(), scene.path("ok").display());
        scene.configure(LINES, &scene.command(&script));
        let empty = run(scene.render(&["--once"])).await.with(4);
        empty.says(&["no host is chosen for \"hosts\"", "--allow-empty makes it no error"]);
        assert!(!scene.file.exists());
        world.put("web-1", "10.0.0.1").await;

        // What would change, and nothing does.
        let would = run(scene.render(&["--dry-run"])).await.with(0);
        assert!(would.stdout.ends_with("@@ -0,0 +1,1 @@\n+10.0.0.1 web-1\n"), "{}", would.stdout);
        assert!(!scene.file.exists() && scene.told() == 0);

        // The command fails: that is a failure, and the next one tries it again, whatever the text is.
        run(scene.render(&["--once"]))
            .await
            .with(1)
            .says(&["the command failed", "exit status: 1"]);
        assert_eq!((read(&scene.file).as_str(), scene.told()), ("10.0.0.1 web-1\n", 1));
        assert!(scene.mark().exists());
        std::fs::write(scene.path("ok"), "").unwrap();
        run(scene.render(&["--once"]))
            .await
            .with(0)
            .says(&["it stays as it is", "the command is done"]);
        run(scene.render(&["--once"])).await.with(0);
        assert_eq!((scene.told(), scene.mark().exists()), (2, false));
        assert_eq!(run(scene.render(&["--dry-run"])).await.with(0).stdout, "");

        // One template, without a configuration.
        let template = scene.path("names.j2");
        std::fs::write(&template, "{% for host in hosts %}{{ host.display }};{% endfor %}")
            .unwrap();
        let words = ["render", "--template", template.to_str().unwrap()];
        let with = |more: &[&str]| scene.world.program(&[&words, more].concat());
        assert_eq!(run(with(&[])).await.with(0).stdout, "web-1;");
        assert_eq!(run(with(&["--filter", "role=db"])).await.with(4).stdout, "");
        let none = run(with(&["--filter", "role=db", "--allow-empty"])).await.with(0);
        assert_eq!(none.stdout, "");
        let out = scene.path("names");
        run(with(&["-o", out.to_str().unwrap()])).await.with(0);
        assert_eq!(read(&out), "web-1;");
        run(with(&["--dry-run"])).await.with(2).says(&["--output FILE"]);
        run(with(&["--filter", "("])).await.with(2);
        let config = scene.config.to_str().unwrap().to_owned();
        let both = scene.world.program(&["render", "--render-config", &config, "--filter", "web"]);
        run(both).await.with(2).says(&["each [[file]] has its own filter"]);
        std::fs::write(&template, "{{ hosts").unwrap();
        run(with(&[])).await.with(2).says(&["names.j2", "line 1"]);
        std::fs::write(&template, "a\n{{ hosts | nosuch }}").unwrap();
        run(with(&[])).await.with(1).says(&["names.j2", "nosuch", "line 2"]);
        world.end().await;
    }
}
