//! How fast `inv-tui --headless fetch` imports three sources at once (EC2, NetBox, a file), beside a
//! bare loop that applies such documents to the same server at the same time, so that whatever else the
//! machine does slows both; and what a pass without changes and one with one label changed at each
//! provider cost.
//!
//! `INV_TUI_TEST_KUBECONFIG` as for the tests; `INV_TUI_BENCH_HOSTS`: how many hosts, 10,000 if not
//! set. `benches/fetch-run` starts a server and runs this.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    dead_code,
    reason = "a measuring program that shares the support of the tests"
)]

#[path = "../tests/it/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use futures::{StreamExt, stream};
use inv_tui::model::diff::{Part, StoredHost};
use inv_tui::model::host::Host;
use inv_tui::model::labels;
use kube::ResourceExt;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use support::World;
use support::fleet::Fleet;

/// Requests under way at once, of the program and of the bare loop.
const IN_FLIGHT: usize = 32;

fn main() {
    // `cargo test --benches` runs this too; only `cargo bench` says --bench
    if !std::env::args().any(|word| word == "--bench") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(measure());
}

/// Writes, and seconds.
type Measured = (usize, f64);

async fn measure() {
    let hosts: usize =
        std::env::var("INV_TUI_BENCH_HOSTS").map_or(10_000, |text| text.parse().unwrap());
    let Some(world) = World::begin("bench").await else { return };
    let fleet = Fleet::begin(world.dir.path(), hosts.div_ceil(3)).await;
    let hosts = hosts.div_ceil(3) * 3;

    println!("{hosts} hosts from three sources, {IN_FLIGHT} requests under way of each");
    let bare_world = World::begin("bench-bare").await.unwrap();
    let sample = Fleet::begin(bare_world.dir.path(), 50).await;
    pass(&bare_world, &sample).await;
    let documents = documents(&bare_world).await;
    let ended = AtomicBool::new(false);
    let import = async {
        let measured = pass(&world, &fleet).await;
        ended.store(true, Ordering::Relaxed);
        measured
    };
    let loops = bare(bare_world.hosts(), &documents, &ended);
    let (first, bare) = tokio::join!(import, loops);
    say("fetch, first pass", first);
    say("bare applies meanwhile", bare);
    println!("fetch wrote {:.2} times as much", first.0 as f64 / bare.0 as f64);
    assert_eq!((world.all_hosts().await.len(), first.0), (hosts, 2 * hosts));

    let versions = versions(&world).await;
    let quiet = pass(&world, &fleet).await;
    say("fetch, nothing changed", quiet);
    assert_eq!(
        (quiet.0, self::versions(&world).await == versions),
        (0, true),
        "nothing is written"
    );
    fleet.relabel("bakery");
    let label = pass(&world, &fleet).await;
    say("fetch, a label at each", label);
    let changed = self::versions(&world).await;
    let changed = changed.iter().filter(|(name, version)| versions[*name] != **version).count();
    assert_eq!((label.0, changed), (3, 3), "one patch for each label");
    for world in [world, bare_world] {
        world.end().await;
    }
}

/// One line of the table, as soon as it is known.
fn say(what: &str, (writes, seconds): Measured) {
    println!("{what:28} {writes:6} writes {seconds:8.1} s {:7.0} /s", writes as f64 / seconds);
}

/// One pass of the program, from its start to its end.
async fn pass(world: &World, fleet: &Fleet) -> Measured {
    let path = world.dir.path().join("sources.toml");
    std::fs::write(&path, fleet.sources()).unwrap();
    let writes = IN_FLIGHT.to_string();
    let words = ["fetch", "--once", "--sources", path.to_str().unwrap(), "--writes", &writes];
    let mut program = world.program(&words);
    program.env("TOKEN", "a-netbox-token").env("NO_PROXY", "127.0.0.1");
    let began = Instant::now();
    let mut child = program.spawn().unwrap();
    let mut stderr = tokio::io::BufReader::new(child.stderr.take().unwrap());
    let mut text = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut stderr, &mut text).await.unwrap();
    let status = child.wait().await.unwrap();
    let seconds = began.elapsed().as_secs_f64();
    assert!(status.success(), "{text}");
    let count = |line: &str| -> Option<usize> {
        line.split_once(" writes=")?.1.split(' ').next()?.parse().ok()
    };
    (text.lines().filter_map(count).sum(), seconds)
}

async fn versions(world: &World) -> BTreeMap<String, String> {
    world.versions().await.into_iter().collect()
}

/// Name, main document and status of each host, as its fetcher applies them.
async fn documents(world: &World) -> Vec<(String, Value, Value)> {
    let api: Api<StoredHost> = Api::namespaced(world.client.clone(), &world.namespace);
    let document = |host: &StoredHost| {
        let manager = format!("inv-tui-fetch-{}", host.labels()[labels::SOURCE]);
        let name = host.name_any();
        let mut main = host.owned(&manager, Part::Main);
        main["metadata"]["name"] = name.as_str().into();
        let mut status = host.owned(&manager, Part::Status);
        status["metadata"] = json!({"name": name});
        for body in [&mut main, &mut status] {
            body["apiVersion"] = "inventory.inv-tui.dev/v1alpha1".into();
            body["kind"] = "Host".into();
        }
        (name, main, status)
    };
    api.list(&ListParams::default()).await.unwrap().items.iter().map(document).collect()
}

/// Applies such documents under ever new names, as a loop without any thought does, until `ended`.
async fn bare(
    api: Api<Host>,
    documents: &[(String, Value, Value)],
    ended: &AtomicBool,
) -> Measured {
    let params = PatchParams::apply("inv-tui-bench").force();
    let (began, writes) = (Instant::now(), AtomicUsize::new(0));
    stream::iter(documents.iter().cycle().enumerate())
        .take_while(|_| std::future::ready(!ended.load(Ordering::Relaxed)))
        .for_each_concurrent(IN_FLIGHT, |(number, (name, main, status))| {
            let (api, params, writes) = (&api, &params, &writes);
            async move {
                let name = format!("bare-{number}-{name}");
                let named = |body: &Value| {
                    let mut body = body.clone();
                    body["metadata"]["name"] = name.as_str().into();
                    body
                };
                api.patch(&name, params, &Patch::Apply(named(main))).await.unwrap();
                api.patch_status(&name, params, &Patch::Apply(named(status))).await.unwrap();
                if !ended.load(Ordering::Relaxed) {
                    writes.fetch_add(2, Ordering::Relaxed);
                }
            }
        })
        .await;
    (writes.into_inner(), began.elapsed().as_secs_f64())
}
