//! The embedded API server beside etcd and kube-apiserver: the same requests to both, in turns, so
//! that whatever else the machine does hits both. `benches/server-run` starts and ends the two.
//!
//! `INV_TUI_BENCH_EMBEDDED`, `INV_TUI_BENCH_REAL`: kubeconfigs of an administrator, our definitions
//! installed; with only one of them only that is measured. `INV_TUI_BENCH_PIDS_EMBEDDED`, `INV_TUI_BENCH_PIDS_REAL`: the processes of each, whose
//! memory and processor time are read in `/proc`, for example `12,34`.
//! First number among the arguments: how many objects the lists have, 10,000 if it is not given.
//! With one of the words `writes`, `lists`, `watches` only that is measured, on what is there.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::naive_bytecount,
    missing_docs,
    reason = "a measuring program"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use http::Request;
use http_body_util::BodyExt;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::sync::Notify;

const NAMESPACE: &str = "bench";
const HOSTS: &str = "/apis/inventory.inv-tui.dev/v1alpha1/namespaces/bench/hosts";
const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
/// Connections that write at the same time.
const WRITERS: usize = 8;
const WATCHERS: usize = 100;
/// How often each thing is done on each server.
const ROUNDS: usize = 5;
/// Everything that differs from object to object has one of so many values.
const ROLES: usize = 10;

/// One of the two servers.
struct Server {
    client: Client,
    zipped: Client,
    pids: Vec<u32>,
}

/// The embedded server and the real one; either may be missing.
type Servers = [Option<Server>; 2];

/// What was measured on each server, embedded first.
struct Row {
    what: String,
    unit: &'static str,
    more_is_better: bool,
    figures: [Vec<f64>; 2],
    /// Seconds of processor time of the servers in all.
    processor: [f64; 2],
}

fn main() {
    // `cargo test --benches` runs this too; only `cargo bench` says --bench
    if !std::env::args().any(|word| word == "--bench") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(measure());
}

async fn measure() {
    let objects = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(10_000);
    let servers = [Server::new("EMBEDDED").await, Server::new("REAL").await];
    if servers.iter().all(Option::is_none) {
        eprintln!("INV_TUI_BENCH_EMBEDDED and INV_TUI_BENCH_REAL are not set: nothing is measured");
        return;
    }
    let memory =
        || servers.each_ref().map(|server| server.as_ref().map_or(f64::NAN, Server::memory));
    println!("load at the start: {}", load());
    let memory_before = memory();
    let mut rows = Vec::new();
    let words: Vec<String> = std::env::args().collect();
    let part = |name: &str| {
        ["writes", "lists", "watches"]
            .into_iter()
            .all(|part| part == name || !words.contains(&part.to_owned()))
    };
    if part("writes") {
        writes(&servers, objects, &mut rows).await;
    }
    let memory_full = memory();
    if part("lists") {
        lists(&servers, objects, &mut rows).await;
    }
    if part("watches") {
        watches(&servers, &mut rows).await;
    }
    let memory_after = memory();

    println!("load at the end: {}", load());
    println!(
        "\n{objects} objects; median of {ROUNDS} rounds in turns; ratio above 1: the embedded server is better"
    );
    println!(
        "{:44} {:>10} {:>12} {:>7}   {:>11}",
        "", "embedded", "etcd+kube", "ratio", "CPU s e/r"
    );
    for row in rows {
        row.print();
    }
    for (what, [embedded, real]) in [
        ("memory before, MiB", memory_before),
        ("memory with all objects, MiB", memory_full),
        ("memory after everything, MiB", memory_after),
    ] {
        println!("{what:44} {embedded:10.0} {real:12.0} {:7.2}", real / embedded);
    }
}

/// Fills both servers and changes what is there.
async fn writes(servers: &Servers, objects: usize, rows: &mut Vec<Row>) {
    let batch = objects / ROUNDS;
    let create = |connections: usize, per_round: usize, prefix: &'static str| {
        async move |server: &Server, round: usize| {
            let began = Instant::now();
            server
                .all(connections, per_round, async |n| {
                    let n = round * per_round + n;
                    let body = host(&format!("{prefix}{n:06}"), n);
                    server.send("POST", HOSTS, JSON, &body).await;
                })
                .await;
            per_round as f64 / began.elapsed().as_secs_f64()
        }
    };
    rows.push(rate("creates/s, 8 connections", servers, create(WRITERS, batch, "host-")).await);
    rows.push(rate("creates/s, 1 connection", servers, create(1, 200, "alone-")).await);

    let changes = 2000.min(batch);
    let merges = |connections: usize, count: usize| {
        async move |server: &Server, round: usize| {
            let began = Instant::now();
            server
                .all(connections, count, async |n| {
                    let path = format!("{HOSTS}/host-{n:06}");
                    let body = json!({"spec": {"team": format!("team-{connections}-{round}")}});
                    server.send("PATCH", &path, MERGE, &body).await;
                })
                .await;
            count as f64 / began.elapsed().as_secs_f64()
        }
    };
    rows.push(rate("merge patches/s, 8 connections", servers, merges(WRITERS, changes)).await);
    rows.push(rate("merge patches/s, 1 connection", servers, merges(1, 200)).await);
    let apply = async |server: &Server, round: usize| {
        let began = Instant::now();
        server
            .all(WRITERS, changes, async |n| {
                let name = format!("host-{n:06}");
                let path = format!("{HOSTS}/{name}?fieldManager=bench&force=true");
                let body = json!({
                    "apiVersion": "inventory.inv-tui.dev/v1alpha1", "kind": "Host",
                    "metadata": {"name": name, "labels": {"rack": format!("r{round}")}},
                    "spec": {"role": format!("role-{round}"), "environment": "prod"},
                });
                server.send("PATCH", &path, APPLY, &body).await;
            })
            .await;
        changes as f64 / began.elapsed().as_secs_f64()
    };
    rows.push(rate("server-side applies/s, 8 connections", servers, apply).await);
    let status = async |server: &Server, round: usize| {
        let began = Instant::now();
        server
            .all(WRITERS, changes, async |n| {
                let path = format!("{HOSTS}/host-{n:06}/status");
                let phase = ["Running", "Stopped"][round % 2];
                let body = json!({"status": {"phase": phase, "conditions": [condition(round)]}});
                server.send("PATCH", &path, MERGE, &body).await;
            })
            .await;
        changes as f64 / began.elapsed().as_secs_f64()
    };
    rows.push(rate("status patches/s, 8 connections", servers, status).await);
    let get = async |server: &Server, _: usize| {
        let began = Instant::now();
        server
            .all(WRITERS, 2 * changes, async |n| {
                let path = format!("{HOSTS}/host-{:06}", n % objects);
                server.get(&path).await;
            })
            .await;
        (2 * changes) as f64 / began.elapsed().as_secs_f64()
    };
    rows.push(rate("gets/s, 8 connections", servers, get).await);
}

async fn lists(servers: &Servers, objects: usize, rows: &mut Vec<Row>) {
    let whole = |client: fn(&Server) -> &Client,
                 query: &'static str,
                 accept: &'static str,
                 least: usize| {
        async move |server: &Server, _: usize| {
            let began = Instant::now();
            let path = format!("{HOSTS}{query}");
            let request = Request::get(path).header("accept", accept).body(Body::empty()).unwrap();
            let length = length(client(server), request).await;
            assert!(length > least * 300, "{length} bytes are no list of {least}");
            began.elapsed().as_secs_f64()
        }
    };
    rows.push(time("list, whole, s", servers, whole(|s| &s.client, "", JSON, objects)).await);
    rows.push(time("list, whole, gzip, s", servers, whole(|s| &s.zipped, "", JSON, objects)).await);
    let table = whole(|s| &s.client, "", TABLE, objects);
    rows.push(time("list, Table, s", servers, table).await);
    let selected = whole(|s| &s.client, "?labelSelector=slot%3D3", JSON, objects / ROLES);
    rows.push(time("list, label selector (a tenth), s", servers, selected).await);
    let fields =
        whole(|s| &s.client, "?fieldSelector=spec.cluster%3Dshop-3", JSON, objects / ROLES);
    rows.push(time("list, field selector (a tenth), s", servers, fields).await);
    let pages = async |server: &Server, _: usize| {
        let began = Instant::now();
        let (mut from, mut pages) = (String::new(), 0);
        loop {
            let body = server.get(&format!("{HOSTS}?limit=500&continue={from}")).await;
            pages += 1;
            match token(&body) {
                Some(next) => from = next,
                None => break,
            }
        }
        assert!(pages >= objects / 500, "only {pages} pages");
        began.elapsed().as_secs_f64()
    };
    rows.push(time("list, pages of 500, s", servers, pages).await);
}

async fn watches(servers: &Servers, rows: &mut Vec<Row>) {
    let changes = 500;
    // A change to what is there already would be none.
    let run = std::process::id();
    let burst = async |server: &Server, round: usize| {
        let watchers = Watchers::start(server).await;
        let began = Instant::now();
        server
            .all(WRITERS, changes, async |n| {
                let path = format!("{HOSTS}/host-{n:06}");
                let body = json!({"spec": {"team": format!("watched-{run}-{round}")}});
                server.send("PATCH", &path, MERGE, &body).await;
            })
            .await;
        watchers.seen(changes).await;
        began.elapsed().as_secs_f64()
    };
    rows.push(time("500 changes until 100 watchers have all, s", servers, burst).await);
    let single = async |server: &Server, round: usize| {
        let watchers = Watchers::start(server).await;
        let mut times = Vec::new();
        for n in 0..40 {
            let began = Instant::now();
            let body = json!({"spec": {"team": format!("single-{run}-{round}-{n}")}});
            server.send("PATCH", &format!("{HOSTS}/host-000000"), MERGE, &body).await;
            watchers.seen(n + 1).await;
            times.push(began.elapsed().as_secs_f64() * 1e3);
        }
        median(&mut times)
    };
    rows.push(time("1 change until 100 watchers have it, ms", servers, single).await);
}

/// Many who watch the same resource.
struct Watchers {
    seen: Arc<AtomicUsize>,
    changed: Arc<Notify>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Watchers {
    async fn start(server: &Server) -> Self {
        let list: Value =
            serde_json::from_slice(&server.get(&format!("{HOSTS}?limit=1")).await).unwrap();
        let revision = list["metadata"]["resourceVersion"].as_str().unwrap();
        let bodies = join_all((0..WATCHERS).map(|_| open(&server.client, revision))).await;
        let (seen, changed) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let tasks = bodies.into_iter().map(|body| {
            let (seen, changed) = (seen.clone(), changed.clone());
            tokio::spawn(follow(server.client.clone(), body, seen, changed))
        });
        let tasks = tasks.collect();
        Self { seen, changed, tasks }
    }

    /// Waits until every watcher has seen this many changes.
    async fn seen(&self, changes: usize) {
        let all = async {
            while self.seen.load(Ordering::Relaxed) < changes * WATCHERS {
                self.changed.notified().await;
            }
        };
        tokio::time::timeout(Duration::from_mins(2), all).await.unwrap();
    }
}

/// Opens a watch.
async fn open(client: &Client, revision: &str) -> Body {
    let path = format!("{HOSTS}?watch=true&timeoutSeconds=600&resourceVersion={revision}");
    let answer = client.send(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.into_body()
}

/// Counts the events of a watch. If the server ends it, as kube-apiserver does when a client is too
/// slow, it is opened again where it was, as every client does.
async fn follow(client: Client, mut body: Body, seen: Arc<AtomicUsize>, changed: Arc<Notify>) {
    let newline = |byte: &u8| *byte == b'\n';
    let (mut rest, mut last) = (Vec::new(), Vec::new());
    loop {
        while let Some(Ok(frame)) = body.frame().await {
            let bytes = frame.into_data().unwrap_or_default();
            let lines = bytes.iter().filter(|byte| newline(byte)).count();
            rest.extend_from_slice(&bytes);
            if let Some(end) = rest.iter().rposition(newline) {
                let begin = rest[..end].iter().rposition(newline).map_or(0, |before| before + 1);
                last = rest[begin..end].to_vec();
                rest.drain(..=end);
            }
            seen.fetch_add(lines, Ordering::Relaxed);
            changed.notify_one();
        }
        rest.clear();
        let event: Value = serde_json::from_slice(&last).unwrap();
        let revision = event["object"]["metadata"]["resourceVersion"].as_str().unwrap();
        eprintln!("a watch was ended by the server at {revision}");
        body = open(&client, revision).await;
    }
}

impl Drop for Watchers {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

impl Server {
    async fn new(name: &str) -> Option<Self> {
        let path = std::env::var(format!("INV_TUI_BENCH_{name}")).ok()?;
        let pids = std::env::var(format!("INV_TUI_BENCH_PIDS_{name}")).unwrap_or_default();
        let pids = pids.split(',').filter_map(|pid| pid.trim().parse().ok()).collect();
        let kubeconfig = Kubeconfig::read_from(path).unwrap();
        let options = KubeConfigOptions::default();
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
        let zipped = Client::try_from(config.clone()).unwrap();
        config.disable_compression = true;
        let server = Self { client: Client::try_from(config).unwrap(), zipped, pids };
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
        let path = format!("/api/v1/namespaces/{NAMESPACE}?fieldManager=bench&force=true");
        server.send("PATCH", &path, APPLY, &namespace).await;
        Some(server)
    }

    /// Does `one` for each number below `count`, at most `connections` at the same time.
    async fn all(&self, connections: usize, count: usize, one: impl AsyncFn(usize)) {
        let next = AtomicUsize::new(0);
        let worker = async || loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= count {
                break;
            }
            one(n).await;
        };
        join_all((0..connections).map(|_| worker())).await;
    }

    async fn send(&self, method: &str, path: &str, content_type: &str, body: &Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", content_type)
            .header("accept", JSON)
            .body(Body::from(body.to_string().into_bytes()))
            .unwrap();
        let answer = self.client.send(request).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(
            status.is_success(),
            "{method} {path}: {status}: {}",
            String::from_utf8_lossy(&body)
        );
    }

    async fn get(&self, path: &str) -> Vec<u8> {
        let request = Request::get(path).header("accept", JSON).body(Body::empty()).unwrap();
        let answer = self.client.send(request).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(status.is_success(), "{path}: {status}");
        body.into()
    }

    /// Resident memory in MiB.
    fn memory(&self) -> f64 {
        let of = |pid: &u32| -> Option<f64> {
            let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
            line.split_whitespace().next()?.parse().ok()
        };
        self.pids.iter().filter_map(of).sum::<f64>() / 1024.0
    }

    /// Seconds of processor time so far; Linux counts in hundredths.
    fn processor(&self) -> f64 {
        let of = |pid: &u32| -> Option<f64> {
            let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let (_, fields) = text.rsplit_once(')')?;
            let fields: Vec<&str> = fields.split_whitespace().collect();
            Some((fields[11].parse::<f64>().ok()? + fields[12].parse::<f64>().ok()?) / 100.0)
        };
        self.pids.iter().filter_map(of).sum()
    }
}

/// Reads a body to its end, keeping nothing.
async fn length(client: &Client, request: Request<Body>) -> usize {
    let answer = client.send(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    let (mut body, mut length) = (answer.into_body(), 0);
    while let Some(frame) = body.frame().await {
        length += frame.unwrap().into_data().map_or(0, |bytes| bytes.len());
    }
    length
}

/// The continue token of a page: at the beginning or at the end, no need to parse what is between.
fn token(page: &[u8]) -> Option<String> {
    const KEY: &str = "\"continue\":\"";
    let head = String::from_utf8_lossy(&page[..page.len().min(1000)]);
    let tail = String::from_utf8_lossy(&page[page.len().saturating_sub(1000)..]);
    let of = |text: &str| Some(text.split_once(KEY)?.1.split_once('"')?.0.to_owned());
    of(&head).or_else(|| of(&tail)).filter(|token| !token.is_empty())
}

/// Measures on both servers in turns.
async fn row(
    what: &str,
    unit: &'static str,
    more_is_better: bool,
    servers: &Servers,
    one: impl AsyncFn(&Server, usize) -> f64,
) -> Row {
    let mut row = Row {
        what: what.to_owned(),
        unit,
        more_is_better,
        figures: [Vec::new(), Vec::new()],
        processor: [0.0; 2],
    };
    for round in 0..ROUNDS {
        // Who comes first changes too.
        for turn in 0..2 {
            let at = (round + turn) % 2;
            let Some(server) = &servers[at] else { continue };
            let before = server.processor();
            row.figures[at].push(one(server, round).await);
            row.processor[at] += server.processor() - before;
        }
    }
    eprintln!("{what}: {:.3?}", row.figures);
    row
}

async fn rate(what: &str, servers: &Servers, one: impl AsyncFn(&Server, usize) -> f64) -> Row {
    row(what, "rate", true, servers, one).await
}

async fn time(what: &str, servers: &Servers, one: impl AsyncFn(&Server, usize) -> f64) -> Row {
    row(what, "time", false, servers, one).await
}

impl Row {
    fn print(mut self) {
        let [embedded, real] = [0, 1].map(|at| median(&mut self.figures[at]));
        let ratio = if self.more_is_better { embedded / real } else { real / embedded };
        let digits = if self.unit == "rate" { 0 } else { 3 };
        println!(
            "{:44} {embedded:10.digits$} {real:12.digits$} {ratio:7.2}   {:5.1}/{:.1}",
            self.what, self.processor[0], self.processor[1]
        );
    }
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

fn load() -> String {
    std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().to_owned()
}

fn condition(round: usize) -> Value {
    let status = if round.is_multiple_of(2) { "True" } else { "False" };
    json!({
        "type": "Ready", "status": status, "reason": "Checked",
        "message": format!("round {round}"), "lastTransitionTime": "2026-01-01T00:00:00Z",
    })
}

/// A host of about 2 KB.
fn host(name: &str, n: usize) -> Value {
    let slot = n % ROLES;
    let variables: serde_json::Map<String, Value> =
        (0..8).map(|i| (format!("variable_{i}"), format!("{:x>64}", n * 8 + i).into())).collect();
    json!({
        "apiVersion": "inventory.inv-tui.dev/v1alpha1",
        "kind": "Host",
        "metadata": {
            "name": name,
            "labels": {
                "slot": slot.to_string(),
                "topology.kubernetes.io/region": format!("region-{}", n % 3),
                "topology.kubernetes.io/zone": format!("region-{}{}", n % 3, ["a", "b", "c"][n % 3]),
                "inventory.inv-tui.dev/cluster": format!("shop-{slot}"),
            },
            "annotations": {
                "example.com/owner": "the team that answers for this host",
                "example.com/notes": format!("{:->200}", n),
            },
        },
        "spec": {
            "providerID": format!("aws:///eu-west-1a/i-{n:017x}"),
            "cluster": format!("shop-{slot}"),
            "role": format!("role-{slot}"),
            "team": "storefront",
            "environment": "prod",
            "maintenance": {
                "ops@example.com": {
                    "reason": "a disk is replaced", "mode": "Drain", "ticket": "OPS-1234",
                    "since": "2026-01-01T00:00:00Z", "until": "2026-01-02T00:00:00Z",
                },
            },
            "ansible": {
                "requestID": format!("run-{n}"), "playbook": "site.yaml", "revision": "main",
                "tags": ["base", "users", "monitoring"], "extraVars": variables,
                "timeoutSeconds": 3600, "requestedBy": "ops@example.com", "reason": "a monthly run",
            },
            "os": {"desired": "24.04", "rebootPolicy": "IfNeeded", "requestID": format!("os-{n}")},
        },
    })
}
