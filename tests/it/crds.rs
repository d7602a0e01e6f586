//! The definitions in crds/ are what the types say, and the server enforces their rules.

use inv_tui::model::host::Host;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::support::World;

#[test]
fn the_files_are_what_the_types_say() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
    let files = inv_tui::tasks::crds::files().unwrap();
    for (name, wanted) in &files {
        let found = std::fs::read_to_string(root.join(name)).unwrap_or_default();
        let differs = found.lines().zip(wanted.lines()).position(|(found, wanted)| found != wanted);
        assert!(
            found == *wanted,
            "crds/{name} differs from line {} on: write it anew with \"cargo run -- --headless crds --write crds\"",
            differs.map_or(0, |line| line + 1)
        );
    }
    assert_eq!(
        std::fs::read_dir(root).unwrap().count(),
        files.len(),
        "a file in crds/ has no type"
    );
}

fn host(spec: &Value) -> DynamicObject {
    serde_json::from_value(json!({
        "apiVersion": "inventory.inv-tui.dev/v1alpha1",
        "kind": "Host",
        "metadata": {"name": "aws-i-1"},
        "spec": spec,
    }))
    .unwrap()
}

fn hold(reason: &str, since: &str, until: &str) -> Value {
    json!({"maintenance": {"ann": {"reason": reason, "since": since, "until": until}}})
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_enforces_the_rules() {
    let Some(world) = World::begin("crds").await else { return };
    let hosts = dynamic(&world);
    let (t0, t1, t40) = ("2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z", "2026-02-20T00:00:00Z");
    for (spec, message) in [
        (hold("x", t0, t1), "at least 3"),
        (hold("   ", t0, t1), "give a reason"),
        (hold("disk swap", t1, t0), "until must be after since"),
        (hold("disk swap", t0, t40), "at most 30 days"),
        (
            json!({"maintenance": {"a b": {"reason": "disk swap", "since": t0, "until": t1}}}),
            "a holder is",
        ),
        (json!({"ansible": {"requestID": "1", "playbook": "../x.yml"}}), "relative path"),
        (json!({"ansible": {"requestID": "a b", "playbook": "x.yml"}}), "requestID"),
        (json!({"os": {"desired": "12"}}), "needs an os.requestID"),
        (json!({"serviceState": "Broken"}), "serviceState"),
        (json!({"cluster": "x".repeat(64)}), "63"),
    ] {
        let text = refused(hosts.create(&PostParams::default(), &host(&spec)).await);
        assert!(text.contains(message), "{message}: {text}");
    }
    let mut dotted = host(&json!({}));
    dotted.metadata.name = Some("a.b".into());
    assert!(refused(hosts.create(&PostParams::default(), &dotted).await).contains("no dot"));

    let good = host(&json!({"providerID": "aws:///a/i-1", "serviceState": "Retired"}));
    hosts.create(&PostParams::default(), &good).await.unwrap();
    for (spec, message) in [
        (json!({"providerID": "aws:///a/i-2"}), "immutable"),
        (json!({"providerID": null}), "immutable"),
        (json!({"serviceState": "InService"}), "retired"),
    ] {
        let patch = Patch::Merge(json!({"spec": spec}));
        let text = refused(hosts.patch("aws-i-1", &PatchParams::default(), &patch).await);
        assert!(text.contains(message), "{message}: {text}");
    }
    // Two holders at once; ending one leaves the other.
    let api: Api<Host> = Api::namespaced(world.client.clone(), &world.namespace);
    let both = json!({"spec": {"maintenance": {
        "ann": {"reason": "disk swap", "since": t0, "until": t1},
        "bob": {"reason": "kernel", "since": t0, "until": t1},
    }}});
    api.patch("aws-i-1", &PatchParams::default(), &Patch::Merge(both)).await.unwrap();
    let end = json!({"spec": {"maintenance": {"ann": null}}});
    let host = api.patch("aws-i-1", &PatchParams::default(), &Patch::Merge(end)).await.unwrap();
    assert_eq!(host.spec.maintenance.keys().collect::<Vec<_>>(), ["bob"]);
}

/// The hosts without our types, so that wrong ones can be sent.
fn dynamic(world: &World) -> Api<DynamicObject> {
    let resource = ApiResource::erase::<Host>(&());
    Api::namespaced_with(world.client.clone(), &world.namespace, &resource)
}

fn refused(result: kube::Result<DynamicObject>) -> String {
    match result {
        Ok(object) => panic!("accepted: {object:?}"),
        Err(error) => error.to_string(),
    }
}
