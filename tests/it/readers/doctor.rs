//! `doctor` as a person meets it: what is fine, and each thing that can be wrong.

use inv_tui::model::source::Source;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::support::{World, run_binary};

/// What doctor says of a server, as pairs of area and weight with the text, and the exit code.
fn asked(kubeconfig: &str, namespace: &str) -> (i32, Vec<(String, String, String)>) {
    let args = [
        "--headless",
        "doctor",
        "-o",
        "json",
        "--config",
        "/dev/null",
        "-n",
        namespace,
        "--kubeconfig",
        kubeconfig,
    ];
    let (code, stdout, stderr) = run_binary(&args);
    let found: Vec<Value> =
        serde_json::from_str(&stdout).unwrap_or_else(|e| panic!("{e}\n{stdout}\n{stderr}"));
    let text = |of: &Value, key: &str| of[key].as_str().unwrap_or_default().to_owned();
    let found = found.iter().map(|f| {
        (text(f, "area"), text(f, "weight"), format!("{} {}", text(f, "what"), text(f, "mend")))
    });
    (code, found.collect())
}

fn of<'a>(found: &'a [(String, String, String)], area: &str) -> Vec<(&'a str, &'a str)> {
    let of = found.iter().filter(|(name, ..)| name == area);
    of.map(|(_, weight, text)| (weight.as_str(), text.as_str())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_tells_what_is_fine_and_what_is_not() {
    let Some(world) = World::begin("doctor").await else { return };
    world.make_host("aws-i-1", "web-1", "eu-west-1", "shop").await;
    let (code, found) = asked(world.kubeconfig(), &world.namespace);
    assert_eq!(code, 0, "{found:?}");
    // A busy machine is told of, as it should be.
    let late = of(&found, "connection").iter().any(|(_, text)| text.contains(" ms to answer"));
    for area in
        ["connection", "clock", "identity", "definitions", "namespace", "permissions", "fleet"]
    {
        let said = of(&found, area);
        let fine = said.iter().any(|(weight, _)| *weight == "fine");
        assert!(fine || late && ["connection", "clock"].contains(&area), "{area}: {said:?}");
    }
    assert!(of(&found, "fleet")[0].1.contains("1 host in"), "{found:?}");
    assert_eq!(of(&found, "services")[0].0, "warning", "no lifecycle runs here");

    // A source whose listing was not believed is a problem, with what to do.
    let sources: Api<Source> = Api::namespaced(world.client.clone(), &world.namespace);
    let source = json!({"apiVersion": "inventory.inv-tui.dev/v1alpha1", "kind": "Source",
        "metadata": {"name": "dc"}, "spec": {"type": "NetBox"}});
    let source: Source = serde_json::from_value(source).unwrap();
    sources.create(&PostParams::default(), &source).await.unwrap();
    let now = k8s_openapi::jiff::Timestamp::now().to_string();
    let status = json!({"status": {"lastPass": now, "conditions": [{"type": "BreakerOpen",
        "status": "True", "reason": "TooManyLost", "message": "all: 48 of 50 hosts would be lost",
        "lastTransitionTime": now}]}});
    sources.patch_status("dc", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    let (code, found) = asked(world.kubeconfig(), &world.namespace);
    assert_eq!(code, 1);
    let said = of(&found, "sources");
    assert_eq!(said[0].0, "problem");
    assert!(said[0].1.contains("48 of 50") && said[0].1.contains("--accept-loss"), "{said:?}");

    // Who may only look is told what is refused; who may not even look, that.
    let viewer = world.as_user("vera", &["inv:viewers"]).await;
    let (_, found) = asked(viewer.to_str().unwrap(), &world.namespace);
    let said = of(&found, "permissions");
    assert_eq!(said[0].0, "note", "{found:?}");
    assert!(said[0].1.contains("patch hosts"), "{said:?}");
    assert!(of(&found, "identity")[0].1.contains("vera"), "{found:?}");
    let nobody = world.as_user("nobody", &[]).await;
    let (code, found) = asked(nobody.to_str().unwrap(), &world.namespace);
    assert_eq!((code, of(&found, "permissions")[0].0), (1, "problem"), "{found:?}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_it_from_the_server_is_told() {
    let Some(world) = World::begin("doctor-away").await else { return };
    let (code, found) = asked(world.kubeconfig(), "no-such-namespace");
    assert_eq!(code, 1);
    let said = of(&found, "namespace");
    assert!(said[0].1.contains("crds --apply -n no-such-namespace"), "{said:?}");
    let (code, found) = asked("/nowhere", &world.namespace);
    assert_eq!((code, of(&found, "connection")[0].0), (1, "problem"), "{found:?}");
    let dir = tempfile::tempdir().unwrap();
    let refused = dir.path().join("refused");
    std::fs::write(
        &refused,
        "{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: k, user: u}}], \
         clusters: [{name: k, cluster: {server: 'http://127.0.0.1:9'}}], users: [{name: u, user: {}}]}",
    )
    .unwrap();
    let (code, found) = asked(refused.to_str().unwrap(), &world.namespace);
    assert_eq!((code, of(&found, "connection")[0].0), (1, "problem"), "{found:?}");
    world.end().await;
}
