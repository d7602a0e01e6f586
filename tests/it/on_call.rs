//! The whole way, as a person on call goes it: an agent without a certificate asks for one, the
//! request is approved in the explorer, and a run that the explorer asks for is carried out by real
//! Ansible, once. Agent, operator and controller have their own roles and nothing more.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use inv_tui::model::csr::BOOTSTRAPPERS;
use inv_tui::model::host::RunState;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::ResourceExt;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::json;
use tokio::process::{Child, Command};

use crate::pty::Pty;
use crate::support::{BINARY, World, needed, wait_for};

const PLAYBOOK: &str = "- hosts: all
  gather_facts: false
  tasks:
    - name: Wait for the word
      ansible.builtin.wait_for: {path: GO, timeout: 120, sleep: 1}
    - name: Write the line
      ansible.builtin.shell: printf 'ran\\n' >> MARKER
";

fn agent(world: &World, dir: &Path, bootstrap: Option<&Path>) -> Child {
    let mut command = Command::new(BINARY);
    command
        .args(["--headless", "agent", "--host", "web-1", "-n", &world.namespace])
        .arg("--state-dir")
        .arg(dir.join("state"))
        .arg("--agent-config")
        .arg(dir.join("agent.toml"))
        .env_clear()
        .env("HOME", dir)
        .env("PATH", std::env::var_os("PATH").unwrap())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::options().create(true).append(true).open(dir.join("log")).unwrap())
        .kill_on_drop(true);
    if let Some(file) = bootstrap {
        command.arg("--bootstrap-kubeconfig").arg(file);
    }
    command.spawn().unwrap()
}

fn prepare(dir: &Path, ansible: &str) -> (PathBuf, PathBuf) {
    let root = dir.join("ansible");
    std::fs::create_dir(&root).unwrap();
    let (go, marker) = (dir.join("go"), dir.join("marker"));
    let text =
        PLAYBOOK.replace("GO", go.to_str().unwrap()).replace("MARKER", marker.to_str().unwrap());
    std::fs::write(root.join("site.yml"), text).unwrap();
    let config = format!(
        "heartbeat = \"30s\"\n[ansible]\nprogram = '{ansible}'\nroot = '{}'\n[[ansible.playbook]]\npath = \"site.yml\"\n",
        root.display()
    );
    std::fs::write(dir.join("agent.toml"), config).unwrap();
    (go, marker)
}

/// The name of the request that the agent has filed.
async fn request(world: &World) -> String {
    let api: Api<CertificateSigningRequest> = Api::all(world.client.clone());
    wait_for("the agent's request", async || {
        let all = api.list(&ListParams::default()).await.unwrap().items;
        let ours = |name: &String| name.contains("web-1");
        let pending = all.into_iter().filter(|csr| {
            csr.status.as_ref().and_then(|status| status.conditions.as_ref()).is_none()
                && csr.spec.username.as_deref()
                    == Some(format!("boot-{}", world.namespace).as_str())
        });
        pending.map(|csr| csr.name_any()).find(ours)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn from_a_machine_without_a_certificate_to_a_run_that_is_done() {
    let Some(ansible) = needed("INV_TUI_TEST_ANSIBLE") else { return };
    let Some(world) = World::begin("on-call").await else { return };
    world.make_host("web-1", "web-1", "eu-west-1", "shop").await;
    let source = json!({"status": {"sources": {"t": {"uid": "i-1", "state": "Running"}}}});
    let params = PatchParams::default();
    world.hosts().patch_status("web-1", &params, &Patch::Merge(source)).await.unwrap();
    let cluster = json!({
        "apiVersion": "inventory.inv-tui.dev/v1alpha1", "kind": "Cluster", "metadata": {"name": "shop"},
        "spec": {"ansible": {"playbooks": [{"path": "site.yml"}]}},
    });
    let apply = PatchParams::apply("test").force();
    world.clusters().patch("shop", &apply, &Patch::Apply(cluster)).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (go, marker) = prepare(dir.path(), &ansible);
    let log = || std::fs::read_to_string(dir.path().join("log")).unwrap_or_default();

    // The controller, and the agent with nothing but the right to ask.
    let lifecycle = world.seen_by("lifecycle", &["inv:lifecycle"]).await;
    let mut controller = lifecycle.program(&["lifecycle", "--listen", "127.0.0.1:0"]);
    let mut controller = controller.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let bootstrap = world.as_user(&format!("boot-{}", world.namespace), &[BOOTSTRAPPERS]).await;
    let mut first = agent(&world, dir.path(), Some(&bootstrap));
    let name = request(&world).await;

    // The person: may operate and approve, and no more.
    let person = world.seen_by("ann@example.com", &["inv:operators", "inv:approvers"]).await;
    let args =
        ["--kubeconfig", person.kubeconfig(), "-n", &world.namespace, "--config", "/dev/null"];
    let mut pty = Pty::start(BINARY, &args, &[], (160, 50));
    pty.shows("1 host · live");
    pty.send("zRG");
    // Requests come by a watch of their own, those of other tests too.
    let strip = "approve the certificate of web-1";
    wait_for("the request in the explorer", async || {
        pty.send("a");
        let answers = |screen: &str| screen.contains(strip) || screen.contains("has no request");
        if pty.until("an answer", answers).contains(strip) {
            return Some(());
        }
        pty.send("\x1b");
        pty.shows(":q quits");
        None
    })
    .await;
    pty.shows_host_read(strip);
    pty.send("y");
    pty.shows("is approved");

    // Signed, fetched, in use: the heartbeat and the operating system are told in the host's name.
    wait_for(&format!("the agent's word; its request is {name}"), async || {
        world.host("web-1").await.status?.os
    })
    .await;
    let host = world.host("web-1").await;
    let managers = host.metadata.managed_fields.unwrap_or_default();
    assert!(managers.iter().any(|m| m.manager.as_deref() == Some("inv-tui-agent")), "{}", log());
    wait_for("AgentReady", async || {
        let conditions = world.host("web-1").await.status?.conditions;
        conditions.iter().any(|c| c.type_ == "AgentReady" && c.status == "True").then_some(())
    })
    .await;
    // From here on it lives by its own certificate.
    first.kill().await.unwrap();
    std::fs::remove_file(&bootstrap).unwrap();
    let _second = agent(&world, dir.path(), None);

    pty.send("r");
    pty.until("the run dialog", |s| s.contains("site.yml") && !s.contains("reading what"));
    pty.send("\r");
    pty.shows("cannot be undone: run site.yml");
    pty.send("\t\x15new keys\r");
    pty.shows("new keys");
    pty.send("y");
    pty.shows("a run of site.yml is asked for");
    pty.shows("Wait for the word");
    std::fs::write(&go, "").unwrap();
    let screen =
        pty.until("the end of the run", |s| s.contains("Succeeded") && s.contains("failed=0"));
    assert!(screen.contains("web-1"), "{screen}");
    let run = world.host("web-1").await.status.unwrap().ansible.unwrap();
    assert_eq!(
        (run.state, run.rc, run.changed),
        (RunState::Succeeded, Some(0), Some(1)),
        "{}",
        log()
    );
    assert_eq!(std::fs::read_to_string(&marker).unwrap(), "ran\n", "once");
    let asked = world.host("web-1").await.spec.ansible.unwrap();
    assert_eq!(asked.requested_by.as_deref(), Some("ann@example.com"));

    // The same in the view of all runs, in the host's operations, and as Events.
    pty.send("vr");
    pty.shows("Succeeded");
    wait_for("the entry in the operations", async || {
        let operations = world.host("web-1").await.status?.operations;
        let of = |id: &str| operations.iter().any(|op| op.id == id);
        (of(&run.request_id) && operations.iter().any(|op| op.id.contains(&name))).then_some(())
    })
    .await;
    pty.send(":q\r");
    assert_eq!(pty.ends(), 0);
    controller.kill().await.unwrap();
    world.end().await;
}
