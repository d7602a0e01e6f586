//! Three sources at once in one process: everything comes, and nothing is written that did not change.

use std::collections::BTreeMap;

use inv_tui::model::labels;
use kube::ResourceExt;

use crate::support::fleet::Fleet;
use crate::support::{Ended, LONGER_LEASES, World, run};

/// Hosts of each source.
const EACH: usize = 60;

async fn pass(world: &World, fleet: &Fleet) -> Ended {
    let path = world.dir.path().join("sources.toml");
    std::fs::write(&path, fleet.sources()).unwrap();
    let mut fetch = world.program(&["fetch", "--once", "--sources", path.to_str().unwrap()]);
    fetch.env("TOKEN", "a-netbox-token").env("NO_PROXY", "127.0.0.1");
    fetch.env(LONGER_LEASES.0, LONGER_LEASES.1);
    run(fetch).await.with(0)
}

/// How many writes each source sent, as its metrics count them.
fn writes(ended: &Ended) -> BTreeMap<String, usize> {
    let word = |line: &str, key: &str| -> String {
        let (_, rest) = line.split_once(&format!(" {key}=")).unwrap();
        rest.split(' ').next().unwrap().trim_matches('"').to_owned()
    };
    let ends = ended.stderr.lines().filter(|line| line.contains(" writes="));
    ends.map(|line| (word(line, "source"), word(line, "writes").parse().unwrap())).collect()
}

#[tokio::test]
async fn all_come_then_nothing_is_written_then_one_patch_for_one_label() {
    let Some(world) = World::begin("three").await else { return };
    let fleet = Fleet::begin(world.dir.path(), EACH).await;
    let each = |count: usize| Fleet::SOURCES.map(|name| (name.to_owned(), count)).into();
    let first = pass(&world, &fleet).await;
    let mut sources: BTreeMap<String, usize> = BTreeMap::new();
    for host in world.all_hosts().await {
        *sources.entry(host.labels()[labels::SOURCE].clone()).or_default() += 1;
    }
    assert_eq!(sources, each(EACH));
    assert_eq!(writes(&first), each(2 * EACH), "each host and its status");

    let before: BTreeMap<String, String> = world.versions().await.into_iter().collect();
    assert_eq!(writes(&pass(&world, &fleet).await), each(0));
    assert_eq!(world.versions().await.into_iter().collect::<BTreeMap<_, _>>(), before);

    fleet.relabel("bakery");
    assert_eq!(writes(&pass(&world, &fleet).await), each(1));
    let after = world.versions().await;
    let mut changed: Vec<String> = after
        .into_iter()
        .filter(|(name, version)| before[name] != *version)
        .map(|(name, _)| name)
        .collect();
    changed.sort();
    let mut expected = Fleet::relabelled();
    expected.sort();
    assert_eq!(changed, expected);
    for name in expected {
        assert_eq!(world.json(&name).await["spec"]["team"], "bakery");
    }
    world.end().await;
}
