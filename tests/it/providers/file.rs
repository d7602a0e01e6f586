//! Files with hosts.

use std::fmt::Write as _;

use inv_tui::model::labels;

use super::{fetch, is_not_believed, pass, source};
use crate::support::{World, wait_for};

fn sources(path: &std::path::Path) -> String {
    format!(
        "[[source]]\nname = \"lab\"\ntype = \"file\"\npath = \"{}\"\ninterval = \"1h\"\n\
         breaker = {{ percent = 10, min = 1 }}\n",
        path.display()
    )
}

fn yaml(hosts: impl Iterator<Item = usize>, team: &str) -> String {
    let mut text = String::from("hosts:\n");
    for n in hosts {
        let team = if n == 1 { team } else { "lab" };
        let _ = writeln!(
            text,
            "  - {{id: lab-{n}, name: Lab {n}, address: 10.3.0.{n}, region: eu, team: {team}}}"
        );
    }
    text
}

#[tokio::test]
async fn a_full_pass_a_quiet_one_a_change_and_a_sudden_end() {
    let Some(world) = World::begin("file").await else { return };
    let path = world.dir.path().join("hosts.yaml");
    let write = |text: &str| std::fs::write(&path, text).unwrap();
    let sources = sources(&path);
    write(&yaml(1..=20, "lab"));
    pass(&world, &sources, "unused-token").await.with(0).says(&["created=20"]);
    let host = world.json("lab-1").await;
    assert_eq!(host["metadata"]["labels"][labels::REGION], "eu");
    assert!(host["spec"]["providerID"].is_null());
    pass(&world, &sources, "unused-token").await.with(0).says(&["writes=0"]);
    write(&yaml(1..=20, "other"));
    pass(&world, &sources, "unused-token").await.with(0).says(&["changed=1", "writes=1"]);
    write(&yaml(1..=10, "other"));
    is_not_believed(&world, &sources, "unused-token", "lab").await;
    write("[]");
    is_not_believed(&world, &sources, "unused-token", "lab").await;

    // one less is believed, whatever account the others are in
    write(&yaml(1..=19, "other").replace("{id: lab-2,", "{id: lab-2, account: \"42\","));
    pass(&world, &sources, "unused-token").await.with(0).says(&["changed=1", "missing=1"]);
    assert_eq!(world.json("lab-20").await["status"]["phase"], "Missing");
    write(&yaml(1..=20, "other"));
    pass(&world, &sources, "unused-token").await.with(0).says(&["changed=2"]);

    let before = world.versions().await;
    // half a file that cannot be parsed, and no file at all, are no listing
    write("hosts:\n  - {id: lab-1, name: ");
    pass(&world, &sources, "unused-token").await.with(1).says(&["nothing was marked missing"]);
    std::fs::remove_file(&path).unwrap();
    pass(&world, &sources, "unused-token").await.with(1).says(&["cannot read the hosts"]);
    // an item that is wrong is named, and its host left alone
    write(&yaml(1..=20, "other").replace("address: 10.3.0.7", "adress: 10.3.0.7"));
    let run = pass(&world, &sources, "unused-token").await.with(1);
    run.says(&["host 7, id \"lab-7\"", "no field \"adress\"", "missing=0"]);
    assert_eq!(world.versions().await, before);
    let status = source(&world, "lab").await["status"].clone();
    assert_eq!((&status["seen"], &status["errors"]), (&19.into(), &1.into()));
    world.end().await;
}

#[tokio::test]
async fn csv_and_the_line_of_what_is_wrong() {
    let Some(world) = World::begin("csv").await else { return };
    let path = world.dir.path().join("hosts.csv");
    std::fs::write(&path, "id,name,address,tag:Role\na,\"A, the first\",10.0.0.1,db\nb,,10.0.0,\n")
        .unwrap();
    let run = pass(&world, &sources(&path), "unused-token").await.with(1);
    run.says(&["created=1", "line 3, id \"b\"", "no address"]);
    let host = world.json("a").await;
    assert_eq!(host["spec"]["role"], "db");
    assert_eq!(host["metadata"]["annotations"][labels::DISPLAY_NAME], "A, the first");
    world.end().await;
}

#[tokio::test]
async fn a_file_that_changes_is_read_at_once() {
    let Some(world) = World::begin("file-watch").await else { return };
    let path = world.dir.path().join("hosts.yaml");
    std::fs::write(&path, yaml(1..=2, "lab")).unwrap();
    let words = ["--listen", "127.0.0.1:0"];
    let mut service = fetch(&world, &sources(&path), &words, "unused").spawn().unwrap();
    let count = async |wanted: usize| (world.all_hosts().await.len() == wanted).then_some(());
    wait_for("the first pass", async || count(2).await).await;
    wait_for("its end", async || {
        let found = world.client.clone();
        let api: kube::Api<inv_tui::model::source::Source> =
            kube::Api::namespaced(found, &world.namespace);
        api.get("lab").await.ok()?.status?.last_pass.map(drop)
    })
    .await;
    // the interval is an hour
    std::fs::write(&path, yaml(1..=3, "lab")).unwrap();
    wait_for("the new host", async || count(3).await).await;
    service.kill().await.unwrap();
    world.end().await;
}
