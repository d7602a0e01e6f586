//! How fast `inv-tui --headless fetch` imports, beside a bare loop of writes of the same objects to
//! the same server, and what a second pass costs. All with 32 requests in flight.
//!
//! `INV_TUI_TEST_KUBECONFIG` and `INV_TUI_TEST_MOTO` as for the tests;
//! `INV_TUI_BENCH_HOSTS`: how many hosts, 5,000 if not set.
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

use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use inv_tui::model::host::Host;
use kube::ResourceExt;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::json;

use support::World;
use support::ec2::Moto;

const IN_FLIGHT: usize = 32;

fn main() {
    // `cargo test --benches` runs this too; only `cargo bench` says --bench
    if !std::env::args().any(|word| word == "--bench") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(measure());
}

async fn measure() {
    let hosts = std::env::var("INV_TUI_BENCH_HOSTS").map_or(5_000, |n| n.parse().unwrap());
    let Some(moto) = Moto::begin("sa-east-1").await else { return };
    let Some(world) = World::begin("bench").await else { return };
    let began = Instant::now();
    for batch in 0..usize::div_ceil(hosts, 100) {
        let name = format!("web-{batch}");
        let tags = [
            ("Name", name.as_str()),
            ("Cluster", "shop-prod"),
            ("Role", "web"),
            ("Team", "storefront"),
            ("Environment", "prod"),
            ("CostCentre", "4100"),
        ];
        moto.start(100.min(hosts - batch * 100), &tags).await;
    }
    eprintln!("{hosts} instances in moto after {:.0} s", began.elapsed().as_secs_f64());

    let began = Instant::now();
    let first = world.fetch(&moto.url, &["--region", moto.region]).await.with(0);
    let import = began.elapsed();
    let imported = world.all_hosts().await;
    assert_eq!(imported.len(), hosts);
    let versions = world.versions().await;
    let began = Instant::now();
    let second =
        world.fetch(&moto.url, &["--region", moto.region]).await.with(0).says(&["writes=0"]);
    let idle = began.elapsed();
    assert_eq!(world.versions().await, versions, "a second pass writes nothing");

    let creates = World::begin("bench-create").await.unwrap();
    let create = bare(creates.hosts(), &imported, false).await;
    let both = World::begin("bench-both").await.unwrap();
    let create_and_status = bare(both.hosts(), &imported, true).await;

    let rate = |writes: usize, time: Duration| writes as f64 / time.as_secs_f64();
    println!("{hosts} hosts, {IN_FLIGHT} requests in flight; s and writes/s");
    for (what, writes, time) in [
        ("fetch, first pass, whole process", 2 * hosts, import),
        ("bare create", hosts, create),
        ("bare create and status", 2 * hosts, create_and_status),
        ("fetch, second pass, whole process", 0, idle),
    ] {
        println!("{what:35} {:8.1} {:8.0}", time.as_secs_f64(), rate(writes, time));
    }
    for run in [first, second] {
        for line in run.stderr.lines().filter(|line| line.contains("pages=")) {
            println!("{line}");
        }
    }
    for world in [world, creates, both] {
        world.end().await;
    }
}

/// Creates the same objects, as a loop without any thought does; with `status`, writes that too.
async fn bare(api: Api<Host>, hosts: &[Host], status: bool) -> Duration {
    let params = PostParams::default();
    let began = Instant::now();
    stream::iter(hosts)
        .for_each_concurrent(IN_FLIGHT, |host| {
            let (api, params) = (&api, &params);
            async move {
                let bare = Host {
                    metadata: ObjectMeta {
                        name: Some(host.name_any()),
                        labels: host.metadata.labels.clone(),
                        annotations: host.metadata.annotations.clone(),
                        ..ObjectMeta::default()
                    },
                    spec: host.spec.clone(),
                    status: None,
                };
                api.create(params, &bare).await.unwrap();
                if status {
                    let patch = Patch::Merge(json!({"status": host.status}));
                    let params = PatchParams::default();
                    api.patch_status(&host.name_any(), &params, &patch).await.unwrap();
                }
            }
        })
        .await;
    began.elapsed()
}
