//! `inv-tui --headless decommission`, the built program, with real hooks and a real HTTP server: in
//! order, each at least once, those that may run once never twice, and nothing without its turn.

mod kill;
mod role;

use std::collections::VecDeque;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::support::{Ended, World, ended, needed, run, wait_for, worlds};

const FINALIZER: &str = "inventory.inv-tui.dev/decommission";
const HOOK: &str = "pre-decommission.hook.inventory.inv-tui.dev/";

/// What a server was asked, and what it says next.
#[derive(Default)]
struct Script {
    asked: Vec<(String, HeaderMap, Value)>,
    answers: VecDeque<(u16, &'static str)>,
}

/// A server of another system, on a port of its own. It ends with the test's runtime.
struct Elsewhere {
    url: String,
    script: Arc<Mutex<Script>>,
}

impl Elsewhere {
    async fn begin(answers: &[(u16, &'static str)]) -> Self {
        let script = Script { answers: answers.iter().copied().collect(), ..Script::default() };
        let script = Arc::new(Mutex::new(script));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(Arc::clone(&script));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, script }
    }

    /// Method and address of each request.
    fn asked(&self) -> Vec<String> {
        self.script.lock().unwrap().asked.iter().map(|(what, ..)| what.clone()).collect()
    }
}

async fn answer(
    State(script): State<Arc<Mutex<Script>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> Response {
    let mut script = script.lock().unwrap();
    let body = serde_json::from_str(&body).unwrap_or_default();
    script.asked.push((format!("{method} {uri}"), headers, body));
    let (code, text) = script.answers.pop_front().unwrap_or((200, "{}"));
    (StatusCode::from_u16(code).unwrap(), text).into_response()
}

/// A world with the service's file and programs.
struct Site {
    world: World,
    /// The same world, as the service sees it.
    service: World,
}

impl Site {
    /// In `file`, `HOOKS` stands for the folder of the programs.
    async fn new(world: World, file: &str) -> Self {
        let service = world.seen_by("inv:svc:decommission", &["inv:decommissioners"]).await;
        let site = Self { world, service };
        std::fs::create_dir(site.path("hooks")).unwrap();
        for name in ["a", "b"] {
            site.hook(name, &format!("cat >'{}/{name}.in'", site.dir()));
        }
        let file = file.replace("HOOKS", site.path("hooks").to_str().unwrap());
        std::fs::write(site.path("steps.toml"), file).unwrap();
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.service.dir.path().join(name)
    }

    fn dir(&self) -> String {
        self.service.dir.path().to_str().unwrap().to_owned()
    }

    /// A program that does this, then writes its name into the file of what has run.
    fn hook(&self, name: &str, does: &str) {
        let path = self.path("hooks").join(name);
        let ran = self.path("ran");
        let text = format!("#!/bin/sh\n{does}\nprintf '%s\\n' {name} >>'{}'\n", ran.display());
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    }

    /// Names of the programs that have run, in order.
    fn ran(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path("ran")).unwrap_or_default();
        text.lines().map(ToOwned::to_owned).collect()
    }

    fn command(&self, words: &[&str]) -> Command {
        let steps = self.path("steps.toml");
        let mut all = vec!["decommission", "--decommission-config", steps.to_str().unwrap()];
        all.extend(words);
        let mut command = self.service.program(&all);
        command.env("PATH", std::env::var_os("PATH").unwrap()).env("TOKEN", "s3cr3t-t0ken");
        command
    }

    /// The service, until it is dropped; with a step it dies after it.
    fn serve(&self, stop_at: Option<&str>) -> Child {
        let mut command = self.command(&["--listen", "127.0.0.1:0"]);
        let log =
            std::fs::File::options().create(true).append(true).open(self.path("log")).unwrap();
        command.stdout(Stdio::null()).stderr(log);
        if let Some(step) = stop_at {
            command.env("INV_TUI_STOP_AT", step);
        }
        command.spawn().unwrap()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    async fn once(&self) -> Ended {
        run(self.command(&["--once"])).await
    }

    /// A host that the service has seen.
    async fn known(&self, name: &str) {
        self.world.make_host(name, name, "eu-west-1", "shop").await;
        self.has(name, true).await;
    }

    /// Waits until the host has the finalizer, or has it no more.
    async fn has(&self, name: &str, wanted: bool) {
        wait_for("the finalizer", async || {
            let host = self.world.hosts().get_opt(name).await.unwrap();
            let has = host.is_some_and(|host| {
                host.metadata.finalizers.iter().flatten().any(|one| one == FINALIZER)
            });
            (has == wanted).then_some(())
        })
        .await;
    }

    async fn delete(&self, name: &str) {
        let _ = self.world.hosts().delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// Waits until the condition Deleting has this reason; the host then.
    async fn says(&self, name: &str, reason: &str) -> Value {
        let mut last = Value::Null;
        wait_for(&format!("{reason}, {}", self.path("log").display()), async || {
            let host = self.world.json(name).await;
            last = deleting(&host);
            (last["reason"] == reason).then_some(host)
        })
        .await
    }

    async fn gone(&self, name: &str) {
        wait_for(&format!("the end of {name}, {}", self.path("log").display()), async || {
            self.world.hosts().get_opt(name).await.unwrap().is_none().then_some(())
        })
        .await;
    }

    /// Type, reason and note of the Events about a host of this name.
    async fn told(&self, name: &str) -> Vec<(String, String, String)> {
        let api: Api<Event> = Api::namespaced(self.world.client.clone(), &self.world.namespace);
        let all = api.list(&ListParams::default()).await.unwrap().items;
        let mine = all.into_iter().filter(|event| {
            event.regarding.as_ref().is_some_and(|about| about.name.as_deref() == Some(name))
        });
        mine.map(|event| {
            let word = |text: Option<String>| text.unwrap_or_default();
            (word(event.type_), word(event.reason), word(event.note))
        })
        .collect()
    }

    /// Ends the services and lets every host go.
    async fn end(self, services: impl IntoIterator<Item = Child>) {
        for mut service in services {
            service.kill().await.unwrap();
        }
        for (name, _) in self.world.versions().await {
            self.world.edit(&name, "t", json!({"metadata": {"finalizers": null}})).await;
        }
        self.world.end().await;
    }
}

fn deleting(host: &Value) -> Value {
    let all = host["status"]["conditions"].as_array().cloned().unwrap_or_default();
    all.into_iter().find(|c| c["type"] == "Deleting").unwrap_or_default()
}

fn state<'a>(host: &'a Value, step: &str) -> &'a str {
    let all = host["status"]["decommission"]["steps"].as_array().map_or(&[][..], Vec::as_slice);
    all.iter().find(|s| s["name"] == step).and_then(|s| s["state"].as_str()).unwrap_or_default()
}

fn annotation(key: &str, value: Value) -> Value {
    let mut patch = json!({"metadata": {"annotations": {}}});
    patch["metadata"]["annotations"][key] = value;
    patch
}

#[tokio::test(flavor = "multi_thread")]
async fn the_steps_come_in_order_and_the_finalizer_goes_last() {
    for world in worlds("decom-order").await {
        let elsewhere = Elsewhere::begin(&[]).await;
        let file = format!(
            r#"
hooks = "HOOKS"
[[step]]
name = "owners"
wait-for = ["backup"]
[[step]]
name = "a"
hook = "a"
[[step]]
name = "others"
hosts = "role:db"
hook = "b"
[[step]]
name = "monitoring"
http = {{ method = "PUT", url = "{}/hosts/{{provider-id}}?c={{cluster}}", headers = {{ Authorization = {{ credentials = "env:TOKEN", prefix = "Bearer " }} }} }}
"#,
            elsewhere.url
        );
        let site = Site::new(world, &file).await;
        let world = &site.world;
        let service = site.serve(None);
        site.known("web-1").await;
        let foreign = json!({"metadata": {"finalizers": [FINALIZER, "example.com/mine"]}});
        world.edit("web-1", "other", foreign).await;
        world.edit("web-1", "backup", annotation(&format!("{HOOK}backup"), json!("me"))).await;
        let leases: Api<Lease> = Api::namespaced(world.client.clone(), &world.namespace);
        let beat = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": "web-1"}, "spec": {"holderIdentity": world.agent("web-1")}});
        leases.patch("web-1", &PatchParams::apply("t"), &Patch::Apply(beat)).await.unwrap();

        match needed("INV_TUI_TEST_KUBECTL").filter(|_| world.is_real()) {
            None => site.delete("web-1").await,
            Some(kubectl) => {
                let mut command = Command::new(kubectl);
                command.args(["--kubeconfig", world.kubeconfig(), "-n", &world.namespace]);
                command.args(["delete", "host", "web-1", "--wait=false"]).stdout(Stdio::piped());
                run(command).await.with(0);
            }
        }
        let waits = site.says("web-1", "OwnerKeepsIt").await;
        let text = deleting(&waits)["message"].as_str().unwrap().to_owned();
        assert!(text.starts_with("step 1 of 3, owners: its owner \"backup\""), "{text}");
        assert!(site.ran().is_empty() && elsewhere.asked().is_empty());
        world.edit("web-1", "backup", annotation(&format!("{HOOK}backup"), Value::Null)).await;

        site.has("web-1", false).await;
        let left = world.json("web-1").await;
        assert_eq!(left["metadata"]["finalizers"], json!(["example.com/mine"]));
        assert_eq!(deleting(&left)["reason"], "StepsDone");
        for step in ["owners", "a", "monitoring"] {
            assert_eq!(state(&left, step), "Succeeded");
        }
        assert_eq!((site.ran(), state(&left, "others")), (vec!["a".to_owned()], ""));
        let heard: Value =
            serde_json::from_str(&std::fs::read_to_string(site.path("a.in")).unwrap()).unwrap();
        assert_eq!(
            (&heard["step"], &heard["host"]["metadata"]["name"]),
            (&json!("a"), &json!("web-1"))
        );
        assert_eq!(heard["host"]["metadata"].get("managedFields"), None);
        {
            let script = elsewhere.script.lock().unwrap();
            let [(what, headers, body)] = &script.asked[..] else { panic!("{:?}", script.asked) };
            assert_eq!(what, "PUT /hosts/aws%3A%2F%2F%2Feu-west-1a%2Fweb-1?c=shop");
            assert_eq!(headers["authorization"], "Bearer s3cr3t-t0ken");
            assert_eq!(body["metadata"]["uid"], left["metadata"]["uid"]);
            // It was asked when the program had run.
            let steps = body["status"]["decommission"]["steps"].as_array().unwrap();
            assert_eq!(steps[1]["state"], "Succeeded");
        }
        assert!(leases.get_opt("web-1").await.unwrap().is_none());
        world.edit("web-1", "other", json!({"metadata": {"finalizers": null}})).await;
        site.gone("web-1").await;
        // What remains.
        let told = wait_for("the last Event", async || {
            let all = site.told("web-1").await;
            all.iter().find(|(_, reason, _)| reason == "Decommissioned").cloned()
        })
        .await;
        assert!(
            told.2.starts_with("owners Succeeded, a Succeeded, monitoring Succeeded;"),
            "{told:?}"
        );
        assert!(!site.log().contains("s3cr3t"));
        site.end([service]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_tried_again_told_and_never_left_out() {
    for world in worlds("decom-fail").await {
        let elsewhere = Elsewhere::begin(&[
            (500, r#"{"message": "no s3cr3t-t0ken \u001b[2J"}"#),
            (503, "{}"),
            (404, ""),
        ])
        .await;
        let file = format!(
            r#"
hooks = "HOOKS"
[[step]]
name = "may-fail"
hook = "a"
attempts = 2
continue-on-failure = true
[[step]]
name = "dns"
http = {{ method = "DELETE", url = "{}/{{name}}", expect = [200, 404], headers = {{ X-Key = {{ credentials = "env:TOKEN" }} }} }}
attempts = 2
again-after = "1s"
"#,
            elsewhere.url
        );
        let site = Site::new(world, &file).await;
        site.hook("a", "printf '{\"message\": \"no way\"}'; exit 3");
        let service = site.serve(None);
        site.known("web-1").await;
        site.delete("web-1").await;
        site.gone("web-1").await;
        assert_eq!(elsewhere.asked(), ["DELETE /web-1"; 3]);
        let told = wait_for("the last Event", async || {
            let all = site.told("web-1").await;
            all.iter().any(|(_, reason, _)| reason == "Decommissioned").then_some(all)
        })
        .await;
        let note = |wanted: &str| {
            let found = told.iter().find(|(_, reason, _)| reason == wanted);
            let (kind, _, note) = found.unwrap_or_else(|| panic!("no {wanted}: {told:?}"));
            (kind.as_str(), note.as_str())
        };
        let failed: Vec<&str> =
            told.iter().filter(|(_, r, _)| r == "StepFailed").map(|(_, _, n)| n.as_str()).collect();
        assert!(failed.contains(&"may-fail, attempt 1: hook a failed: no way"), "{failed:?}");
        assert!(
            failed.contains(&"dns, attempt 1: 500 Internal Server Error: no *** \u{fffd}[2J"),
            "{failed:?}"
        );
        assert_eq!(note("StepGivenUp"), ("Warning", "may-fail, attempt 2: hook a failed: no way"));
        assert_eq!(note("StepStuck"), ("Warning", "dns, attempt 2: 503 Service Unavailable"));
        let last = note("Decommissioned").1;
        assert!(
            last.starts_with("may-fail Failed in 2 attempts, dns Succeeded in 3 attempts"),
            "{last}"
        );
        assert!(!site.log().contains("s3cr3t"), "{}", site.log());
        site.end([service]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_a_host_is_waited_for() {
    for world in worlds("decom-wait").await {
        let site =
            Site::new(world, "hooks = \"HOOKS\"\n[[step]]\nname = \"a\"\nhook = \"a\"").await;
        let world = &site.world;
        let service = site.serve(None);
        site.known("web-1").await;
        let now = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second()).unwrap();
        let until = now + jiff::SignedDuration::from_mins(10);
        let hold =
            json!({"reason": "disk swap", "since": now.to_string(), "until": until.to_string()});
        let both = json!({"spec": {"maintenance": {"ann": hold}, "paused": true}});
        world.edit("web-1", "kubectl-edit", both).await;
        let going = json!({"status": {"ansible": {"requestID": "r1", "state": "Running"}}});
        let params = PatchParams::default();
        world.hosts().patch_status("web-1", &params, &Patch::Merge(going)).await.unwrap();
        site.delete("web-1").await;
        let waits = site.says("web-1", "Held").await;
        assert!(
            deleting(&waits)["message"].as_str().unwrap().starts_with("it is held by ann, since")
        );
        world.edit("web-1", "t", annotation("inventory.inv-tui.dev/protect", json!("pay"))).await;
        site.says("web-1", "Protected").await;
        world.edit("web-1", "t", annotation("inventory.inv-tui.dev/protect", Value::Null)).await;
        world.edit("web-1", "t", json!({"spec": {"maintenance": null}})).await;
        site.says("web-1", "Paused").await;
        world.edit("web-1", "t", json!({"spec": {"paused": false}})).await;
        let runs = site.says("web-1", "RunGoesOn").await;
        assert!(deleting(&runs)["message"].as_str().unwrap().contains("r1"));
        assert_eq!(state(&runs, "a"), "Pending");
        assert!(site.ran().is_empty());
        let settled = json!({"status": {"ansible": {"state": "Failed"}}});
        world.hosts().patch_status("web-1", &params, &Patch::Merge(settled)).await.unwrap();
        site.gone("web-1").await;
        assert_eq!(site.ran(), ["a"]);
        site.end([service]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_pass_writes_nothing_a_dry_run_neither_and_a_release_lets_all_go() {
    for world in worlds("decom-once").await {
        let site =
            Site::new(world, "hooks = \"HOOKS\"\n[[step]]\nname = \"a\"\nhook = \"a\"").await;
        let world = &site.world;
        for name in ["web-1", "web-2", "web-3"] {
            world.make_host(name, name, "eu-west-1", "shop").await;
        }
        let fresh = world.versions().await;
        let shown = run(site.command(&["--dry-run"])).await.with(0).stdout;
        assert!(shown.contains("web-1: gets the finalizer; when deleted: a\n"), "{shown}");
        assert_eq!(world.versions().await, fresh);

        site.once().await.with(0);
        let owner = annotation(&format!("{HOOK}backup"), json!(""));
        world.edit("web-1", "backup", owner).await;
        site.delete("web-1").await;
        site.once().await.with(1).says(&["host \"web-1\" waits", "condition Deleting"]);
        let settled = world.versions().await;
        assert_eq!(settled.len(), 3);
        site.once().await.with(1);
        assert_eq!(world.versions().await, settled);
        let shown = run(site.command(&["--dry-run"])).await.with(0).stdout;
        assert!(shown.contains("web-1: is deleted; its owner \"backup\""), "{shown}");
        assert!(shown.contains("web-2: when deleted: a\n"), "{shown}");
        assert_eq!(world.versions().await, settled);

        world.edit("web-1", "backup", annotation(&format!("{HOOK}backup"), Value::Null)).await;
        site.once().await.with(0);
        assert_eq!((world.versions().await.len(), site.ran()), (2, vec!["a".to_owned()]));

        let release = site.service.program(&["decommission", "--release", "--dry-run"]);
        let shown = run(release).await.with(0).stdout;
        assert!(shown.contains("web-2: would be released\n"), "{shown}");
        let release = site.service.program(&["decommission", "--release"]);
        assert!(run(release).await.with(0).stdout.contains("web-2: released\n"));
        site.delete("web-2").await;
        assert!(world.hosts().get_opt("web-2").await.unwrap().is_none());
        assert_eq!(site.ran(), ["a"]);
        site.end([]).await;
    }
}

/// A clean stop: the step that runs is written down, no other is begun.
#[tokio::test(flavor = "multi_thread")]
async fn a_clean_stop_writes_down_what_has_ended_and_begins_nothing() {
    let Some(world) = World::begin("decom-stop").await else { return };
    let steps = "hooks = \"HOOKS\"\n[[step]]\nname = \"a\"\nhook = \"a\"\n[[step]]\nname = \"b\"\nhook = \"b\"\nonce = true";
    let site = Site::new(world, steps).await;
    let go = site.path("go");
    site.hook("a", &format!("until [ -e '{}' ]; do sleep 0.1; done", go.display()));
    let service = site.serve(None);
    site.known("web-1").await;
    site.delete("web-1").await;
    site.says("web-1", "StepRuns").await;
    let pid = rustix::process::Pid::from_raw(service.id().unwrap().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    wait_for("the stop", async || site.log().contains("stopping:").then_some(())).await;
    std::fs::write(&go, "").unwrap();
    ended(service).await.with(0);
    let host = site.world.json("web-1").await;
    assert_eq!((state(&host, "a"), state(&host, "b")), ("Succeeded", "Pending"));
    assert_eq!(site.ran(), ["a"]);
    let next = site.serve(None);
    site.gone("web-1").await;
    assert_eq!(site.ran(), ["a", "b"]);
    site.end([next]).await;
}
