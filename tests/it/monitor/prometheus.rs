//! Targets: what Prometheus makes of the lists, over HTTP and as files.

use std::process::Stdio;
use std::time::{Duration, Instant};

use kube::api::DeleteParams;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::hold;
use crate::support::control_plane::ControlPlane;
use crate::support::monitoring::{Alertmanager, Monitor, Prometheus, terminate};
use crate::support::{World, ended, needed, run, wait_for};

const JOB: &str = "[[job]]\nname = \"node\"\nports = [9100]\n";

/// kubectl with these words and this on its standard input.
async fn kubectl(world: &World, program: &str, words: &[&str], input: &str) {
    let mut child = Command::new(program)
        .args(["--kubeconfig", world.kubeconfig(), "-n", &world.namespace])
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).await.unwrap();
    drop(stdin);
    ended(child).await.with(0);
}

/// A host as a person writes it.
fn manifest(name: &str) -> String {
    format!(
        "apiVersion: inventory.inv-tui.dev/v1alpha1\nkind: Host\n\
         metadata: {{name: {name}, labels: {{example.com/rack: r12}}}}\n\
         spec: {{cluster: shop, role: web, environment: prod}}\n"
    )
}

/// The labels of the one target that a host has.
fn target<'a>(all: &'a [(Value, Value)], host: &str) -> Option<&'a (Value, Value)> {
    let mut of = all.iter().filter(|(found, _)| found["__meta_inv_name"] == host);
    let first = of.next();
    assert!(of.next().is_none(), "{host} is two targets");
    first
}

/// Waits until a host is such a target of both jobs.
async fn both(
    prometheus: &Prometheus,
    what: &str,
    host: &str,
    wanted: impl Fn(Option<&(Value, Value)>) -> bool,
) {
    let began = Instant::now();
    for job in ["http", "file"] {
        let what = format!("{what} by {job}_sd");
        wait_for(&what, async || {
            // No answer says nothing of the host.
            let all = prometheus.targets(job).await?;
            wanted(target(&all, host)).then_some(())
        })
        .await;
        eprintln!("measured: Prometheus knew {what} after {} ms", began.elapsed().as_millis());
    }
}

/// How long it takes until the list is as wanted.
async fn listed(monitor: &Monitor, what: &str, wanted: impl Fn(&[Value]) -> bool) -> Duration {
    let began = Instant::now();
    wait_for(what, async || wanted(&monitor.list("node").await).then_some(())).await;
    eprintln!("measured: {what} in the list after {} ms", began.elapsed().as_millis());
    began.elapsed()
}

#[tokio::test]
async fn prometheus_scrapes_what_the_inventory_has() {
    let Some(program) = needed("INV_TUI_TEST_KUBECTL") else { return };
    let (Some(_), Some(promtool)) =
        (needed("INV_TUI_TEST_PROMETHEUS"), needed("INV_TUI_TEST_PROMTOOL"))
    else {
        return;
    };
    let Some(world) = World::begin("prometheus").await else { return };
    let file = world.dir.path().join("sd/node.json");
    std::fs::create_dir(file.parent().unwrap()).unwrap();
    let labels = "labels = { env = \"environment\", rack = \"label:example.com/rack\" }\n";
    let config = world.file("monitor.toml", &format!("{JOB}{labels}file = '{}'\n", file.display()));
    let monitor = Monitor::begin(&world.as_monitor().await, &config).await;
    monitor.ready().await;
    assert_eq!(monitor.list("node").await, Vec::<Value>::new());

    let config = json!({
        "global": {"scrape_interval": "5s"},
        "scrape_configs": [
            {"job_name": "http", "http_sd_configs": [{
                "url": monitor.url("/sd/node"), "refresh_interval": "1s",
            }]},
            {"job_name": "file", "file_sd_configs": [{
                "files": [file.with_file_name("*.json")],
            }]},
        ],
    });
    // JSON is YAML.
    let config = world.file("prometheus.yml", &config.to_string());
    let mut check = Command::new(&promtool);
    check.args(["check", "config"]).arg(&config).stdout(Stdio::piped()).stderr(Stdio::piped());
    wait_for("the file", async || file.exists().then_some(())).await;
    run(check).await.with(0);
    let Some(prometheus) = Prometheus::begin(world.dir.path(), &config).await else { return };

    kubectl(&world, &program, &["create", "-f", "-"], &manifest("web-1")).await;
    let status = r#"{"status": {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}]}}"#;
    let patch =
        ["patch", "host", "web-1", "--subresource=status", "--type=merge", "--patch", status];
    kubectl(&world, &program, &patch, "").await;
    listed(&monitor, "a new host", |list| list.len() == 1).await;
    both(&prometheus, "a new host", "web-1", |found| {
        found.is_some_and(|(found, labels)| {
            assert_eq!(found["__address__"], "127.0.0.1:9100");
            assert_eq!(found["__meta_inv_label_example_com_rack"], "r12");
            assert_eq!((&labels["env"], &labels["rack"]), (&json!("prod"), &json!("r12")));
            labels["inv_maintenance"].is_null()
        })
    })
    .await;

    world.hold("web-1", "ann", hold("disk swap", 3_600)).await;
    listed(&monitor, "maintenance", |list| list[0]["labels"]["inv_maintenance"] == "true").await;
    both(&prometheus, "maintenance", "web-1", |found| {
        found.is_some_and(|(found, labels)| {
            let held = labels["inv_maintenance"] == "true";
            assert!(!held || found["__meta_inv_maintenance_holders"] == "ann", "{found}");
            held
        })
    })
    .await;
    // It looks for three seconds, in which it may not get far on a busy machine.
    wait_for("maintenance by promtool", async || {
        let mut sd = Command::new(&promtool);
        sd.args(["check", "service-discovery", "--timeout=3s"]).arg(&config).arg("http");
        sd.stdout(Stdio::piped()).stderr(Stdio::piped());
        let seen = run(sd).await.with(0).stdout;
        seen.contains("\"inv_maintenance\": \"true\"").then_some(())
    })
    .await;

    world.hold("web-1", "ann", Value::Null).await;
    both(&prometheus, "the end of maintenance", "web-1", |found| {
        found.is_some_and(|(_, labels)| labels["inv_maintenance"].is_null())
    })
    .await;
    world.hosts().delete("web-1", &DeleteParams::default()).await.unwrap();
    listed(&monitor, "nothing", <[Value]>::is_empty).await;
    both(&prometheus, "that the host is gone", "web-1", |found| found.is_none()).await;
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "[]");
    world.end().await;
}

#[tokio::test]
async fn clusters_say_what_is_scraped() {
    let Some(world) = World::begin("cluster-jobs").await else { return };
    let config = "[[job]]\nname = \"node\"\nclusters = true\n";
    let config = world.file("monitor.toml", config);
    let cluster = |jobs: Value| {
        kube::api::Patch::Apply(json!({
            "apiVersion": "inventory.inv-tui.dev/v1alpha1", "kind": "Cluster",
            "metadata": {"name": "shop"}, "spec": {"monitoring": {"jobs": jobs}},
        }))
    };
    let params = kube::api::PatchParams::apply("test").force();
    let jobs = cluster(json!([{"name": "app", "port": 8443, "scheme": "https", "path": "/m"}]));
    world.clusters().patch("shop", &params, &jobs).await.unwrap();
    world.make_target("web-1", "10.0.0.1").await;
    let monitor = Monitor::begin(&world.as_monitor().await, &config).await;
    monitor.ready().await;
    let list = monitor.list("node").await;
    assert_eq!(list[0]["targets"], json!(["10.0.0.1:8443"]));
    assert_eq!(list[0]["labels"]["job"], "app");
    // Another job for hosts that are long known.
    let jobs = cluster(json!([{"name": "app", "port": 8443}, {"name": "db", "port": 9187}]));
    world.clusters().patch("shop", &params, &jobs).await.unwrap();
    listed(&monitor, "a new job of a Cluster", |list| {
        list.len() == 2 && list[1]["labels"]["job"] == "db"
    })
    .await;
    world.clusters().delete("shop", &DeleteParams::default()).await.unwrap();
    listed(&monitor, "no job", <[Value]>::is_empty).await;
    world.end().await;
}

#[tokio::test]
async fn without_the_server_nothing_is_taken_away() {
    let Some(server) = ControlPlane::own("monitor-away") else { return };
    let world = server.world("away").await;
    let Some(alertmanager) = Alertmanager::begin(world.dir.path()).await else { return };
    world.make_target("web-1", "10.0.0.1").await;
    world.hold("web-1", "ann", hold("disk swap", 3_600)).await;
    let file = world.dir.path().join("node.json");
    std::fs::write(&file, "[{\"targets\": [\"from before\"]}]").unwrap();
    let config = format!(
        "{JOB}file = '{}'\n[[alertmanager]]\nurls = ['{}']\n",
        file.display(),
        alertmanager.url
    );
    let config = world.file("monitor.toml", &config);
    server.kill_apiserver();
    // It waits for the server, and says nothing about hosts that it does not know.
    let monitor = Monitor::begin(&world, &config).await;
    assert_eq!(monitor.get("/sd/node").await.0, 503);
    assert_eq!(monitor.get("/readyz").await.0, 503);
    assert_eq!(monitor.get("/healthz").await.0, 200);
    assert!(std::fs::read_to_string(&file).unwrap().contains("from before"));
    server.start_apiserver();
    monitor.ready().await;
    assert_eq!(monitor.list("node").await.len(), 1);
    let silence = alertmanager.until("the silence", |s| s["status"]["state"] == "active").await;

    server.kill_apiserver();
    monitor.counts("inv_tui_monitor_synced 0").await;
    let (code, head, body) = monitor.get("/sd/node").await;
    assert_eq!((code, head.contains("warning: 110")), (200, true), "{head}");
    assert!(body.contains("10.0.0.1:9100"), "{body}");
    assert!(std::fs::read_to_string(&file).unwrap().contains("10.0.0.1:9100"));
    assert_eq!(alertmanager.active().await.len(), 1);
    server.start_apiserver();
    // A server that has just begun may answer and then refuse once more.
    let fresh = async || (!monitor.get("/sd/node").await.1.contains("warning")).then_some(());
    wait_for("a list without a warning", fresh).await;
    monitor.counts("inv_tui_monitor_synced 1").await;
    world.hold("web-1", "ann", Value::Null).await;
    let ended = alertmanager.until("its end", |s| s["status"]["state"] == "expired").await;
    assert_eq!(ended["id"], silence["id"]);
    terminate(&monitor.child);
}

#[tokio::test]
async fn nobody_reads_without_the_token() {
    let Some(world) = World::begin("token").await else { return };
    let config = world.file("open.toml", JOB);
    let words = ["monitor", "--listen", "0.0.0.0:0", "--monitor-config", config.to_str().unwrap()];
    let refused = run(world.program(&words)).await.with(2);
    refused.says(&["whoever reaches the port could read every host", "hint: in [web]"]);

    let token = world.file("token", "s3cret-token\n");
    let own = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&token, own).unwrap();
    let config = format!("[web]\ntoken = 'file:{}'\n{JOB}", token.display());
    let config = world.file("monitor.toml", &config);
    let monitor = Monitor::begin(&world.as_monitor().await, &config).await;
    monitor.ready().await;
    for path in ["/sd/node", "/metrics", "/nothing"] {
        assert_eq!(monitor.get(path).await.0, 401, "{path}");
    }
    let mut curl = Command::new("curl");
    curl.args(["-sS", "-H", "Authorization: Bearer s3cret-token"]).arg(monitor.url("/sd/node"));
    curl.stdout(Stdio::piped()).stderr(Stdio::piped());
    assert_eq!(run(curl).await.with(0).stdout, "[]");
    assert!(!monitor.log().contains("s3cret"));
    world.end().await;
}
