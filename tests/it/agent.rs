//! The agent on a host, with real Ansible: everything at most once, whatever dies in the middle.

mod pull;

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use inv_tui::model::condition;
use inv_tui::model::host::{AnsibleStatus, Host, RunState};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::support::control_plane::ControlPlane;
use crate::support::{BINARY, World, ended, needed, wait_for};

/// What a run does: one line into a file. `slow.yml` waits for a file before it.
const PLAYBOOKS: [(&str, &str); 4] = [
    (
        "site.yml",
        "- hosts: all\n  gather_facts: false\n  tasks:\n    - name: Write the line\n      ansible.builtin.shell: printf '%s\\n' \"$WORD\" >> \"{{ marker }}\"\n      environment: {WORD: \"{{ word | default('ran') }}\"}\n      tags: [line]\n",
    ),
    (
        "slow.yml",
        "- hosts: all\n  gather_facts: false\n  tasks:\n    - name: Begin\n      ansible.builtin.shell: printf 'begun\\n' >> \"{{ marker }}.begun\"\n    - name: Wait for it\n      ansible.builtin.wait_for: {path: \"{{ marker }}.go\", timeout: 290, sleep: 1}\n    - name: Write the line\n      ansible.builtin.shell: printf 'ran\\n' >> \"{{ marker }}\"\n",
    ),
    (
        "fail.yml",
        "- hosts: all\n  gather_facts: false\n  tasks:\n    - name: Fine\n      ansible.builtin.debug: {msg: fine}\n    - name: Break it\n      ansible.builtin.fail: {msg: \"no space left on device\"}\n",
    ),
    (
        "secret.yml",
        "- hosts: all\n  gather_facts: false\n  tasks:\n    - name: Hide\n      no_log: true\n      ansible.builtin.command: \"/bin/echo {{ word }}\"\n    - name: Break it\n      ansible.builtin.fail: {msg: here}\n",
    ),
];

/// A host with its agent's folders.
struct Machine<'a> {
    world: &'a World,
    name: &'static str,
    kubeconfig: PathBuf,
    dir: tempfile::TempDir,
}

impl<'a> Machine<'a> {
    async fn new(world: &'a World, ansible: &str, name: &'static str) -> Self {
        world.make_host(name, name, "eu-west-1", "shop").await;
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("ansible");
        std::fs::create_dir(&root).unwrap();
        std::fs::create_dir(dir.path().join("hooks")).unwrap();
        let mut config = format!(
            "heartbeat = \"1s\"\n[hooks]\nfolder = '{}'\n[ansible]\nprogram = '{ansible}'\nroot = '{}'\ntimeout = \"5m\"\n",
            dir.path().join("hooks").display(),
            root.display()
        );
        for (file, text) in PLAYBOOKS {
            std::fs::write(root.join(file), text).unwrap();
            let _ = writeln!(config, "[[ansible.playbook]]\npath = {file:?}");
        }
        std::fs::write(dir.path().join("agent.toml"), config).unwrap();
        let kubeconfig = world.as_user(&world.agent(name), &["inv:hosts"]).await;
        Self { world, name, kubeconfig, dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn marker(&self) -> PathBuf {
        self.path("marker")
    }

    fn lines(&self) -> usize {
        lines(&self.marker())
    }

    /// Starts the agent; with a step it dies after it.
    fn agent(&self, stop_at: Option<&str>) -> Child {
        // One that was killed may still be about to die, and has the folder until then.
        if let Ok(lock) = std::fs::File::open(self.path("state/lock")) {
            lock.lock().unwrap();
        }
        let mut command = Command::new(BINARY);
        command
            .args(["--headless", "agent", "--host", self.name, "-n", &self.world.namespace])
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .arg("--state-dir")
            .arg(self.path("state"))
            .arg("--agent-config")
            .arg(self.path("agent.toml"))
            .env_clear()
            .env("HOME", self.dir.path())
            .env("PATH", std::env::var_os("PATH").unwrap())
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::fs::File::create(self.path("agent.log")).unwrap())
            .kill_on_drop(true);
        if let Some(step) = stop_at {
            command.env("INV_TUI_STOP_AT", step);
        }
        command.spawn().unwrap()
    }

    /// Asks for a run as a person does.
    async fn ask(&self, id: &str, playbook: &str, more: Value) {
        let mut request = json!({
            "requestID": id, "playbook": playbook, "requestedBy": "ann", "tags": null, "check": false,
            "cancel": false, "timeoutSeconds": null,
            "extraVars": {"marker": self.marker().to_str().unwrap(), "word": null},
        });
        json_patch::merge(&mut request, &more);
        // A merge patch drops what is null here, so that it is taken away there too.
        for (key, value) in more.as_object().unwrap() {
            request[key] = value.clone();
        }
        if request["extraVars"].get("marker").is_none() {
            request["extraVars"]["marker"] = self.marker().to_str().unwrap().into();
        }
        for (key, empty) in [("tags", Value::Null), ("timeoutSeconds", Value::Null)] {
            if request.get(key).is_none() {
                request[key] = empty;
            }
        }
        self.world.edit(self.name, "inv-tui", json!({"spec": {"ansible": request}})).await;
    }

    async fn run(&self) -> Option<AnsibleStatus> {
        self.world.host(self.name).await.status?.ansible
    }

    /// Waits until the run has come to its end.
    async fn ends(&self, id: &str) -> AnsibleStatus {
        let log = self.path("agent.log");
        wait_for(&format!("the end of {id}, log in {}", log.display()), async || {
            self.run().await.filter(|run| run.request_id == id && run.state.is_final())
        })
        .await
    }
}

fn lines(path: &Path) -> usize {
    std::fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

fn condition(host: &Host, type_: &str) -> Option<(String, String)> {
    let all = &host.status.as_ref()?.conditions;
    condition::find(all, type_).map(|c| (c.status.clone(), c.reason.clone()))
}

async fn begin(name: &str) -> Option<(World, String)> {
    let ansible = needed("INV_TUI_TEST_ANSIBLE")?;
    Some((World::begin(name).await?, ansible))
}

#[tokio::test]
async fn a_second_agent_of_one_folder_does_not_work() {
    let Some(world) = World::begin("folder").await else { return };
    let machine = Machine::new(&world, "/nowhere/ansible-playbook", "h1").await;
    let mut first = machine.agent(None);
    // It makes its ledger when it has the folder.
    wait_for("the first one", async || machine.path("state/runs").exists().then_some(())).await;
    let mut again = Command::new(BINARY);
    again.args(["--headless", "agent", "--host", "h1", "-n", &world.namespace, "--kubeconfig"]);
    again.arg(&machine.kubeconfig).arg("--state-dir").arg(machine.path("state"));
    again.env_clear().env("HOME", machine.dir.path()).stderr(std::process::Stdio::piped());
    again.stdout(std::process::Stdio::null()).kill_on_drop(true);
    let second = ended(again.spawn().unwrap()).await.with(3);
    second.says(&["another agent works in the folder", "--state-dir"]);
    assert!(first.try_wait().unwrap().is_none(), "the first one goes on");
    first.kill().await.unwrap();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_carried_out_once_and_told_in_full() {
    let Some((world, ansible)) = begin("agent").await else { return };
    let machine = Machine::new(&world, &ansible, "web-1").await;
    machine.ask("r1", "site.yml", json!({})).await;
    let agent = machine.agent(None);
    let run = machine.ends("r1").await;
    assert_eq!((run.state, run.rc), (RunState::Succeeded, Some(0)), "{run:?}");
    assert_eq!((run.ok, run.changed, run.failed), (Some(1), Some(1), Some(0)));
    assert_eq!(run.executor.as_deref(), Some("agent"));
    let tail = run.tail.unwrap();
    assert!(tail.contains("failed=0") && tail.len() <= 256, "{tail}");
    assert!(run.started_at.is_some() && run.finished_at.is_some());
    assert_eq!(machine.lines(), 1);
    let host = world.host("web-1").await;
    assert_eq!(condition(&host, "Converged"), Some(("True".into(), "RunSucceeded".into())));
    assert!(host.status.as_ref().unwrap().os.as_ref().unwrap().kernel.is_some());
    // The log, the variables and the plugin are for the agent alone.
    let log = machine.path("state/runs/web-1,r1/log");
    assert_eq!(std::fs::metadata(log).unwrap().permissions().mode() & 0o777, 0o600);

    // A failure: counts, the task, the end of the log.
    machine.ask("r2", "fail.yml", json!({})).await;
    let run = machine.ends("r2").await;
    assert_eq!((run.state, run.rc, run.failed), (RunState::Failed, Some(2), Some(1)));
    assert_eq!(run.task.as_deref(), Some("Break it"));
    assert!(run.tail.unwrap().contains("no space left on device"));
    let host = world.host("web-1").await;
    assert_eq!(condition(&host, "Converged"), Some(("False".into(), "RunFailed".into())));
    let secret = json!({"extraVars": {"word": "hunter2"}});
    machine.ask("r3", "secret.yml", secret).await;
    let run = machine.ends("r3").await;
    assert!(!run.tail.unwrap().contains("hunter2"), "no_log holds");

    // Check mode changes nothing, and an unknown tag runs nothing.
    machine.ask("r4", "site.yml", json!({"check": true})).await;
    assert_eq!(machine.ends("r4").await.state, RunState::Succeeded);
    machine.ask("r5", "site.yml", json!({"tags": ["other"]})).await;
    assert_eq!(machine.ends("r5").await.ok, Some(0));
    assert_eq!(machine.lines(), 1);
    // The heartbeat is there, under the agent's name.
    let leases: kube::api::Api<k8s_openapi::api::coordination::v1::Lease> =
        kube::api::Api::namespaced(world.client.clone(), &world.namespace);
    let lease = wait_for("the heartbeat", async || leases.get_opt("web-1").await.unwrap()).await;
    let lease = lease.spec.unwrap();
    assert_eq!(lease.holder_identity, Some(format!("inv:host:{}:web-1", world.namespace)));
    drop(agent);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_request_says_is_data_and_what_is_not_allowed_is_not_run() {
    let Some((world, ansible)) = begin("agent-data").await else { return };
    let machine = Machine::new(&world, &ansible, "web-1").await;
    let agent = machine.agent(None);
    let touched = machine.path("touched");
    let evil = format!(
        "$(touch {0}) `touch {0}` '; touch {0} {{{{ lookup('pipe', 'touch {0}') }}}}",
        touched.display()
    );
    machine.ask("e1", "site.yml", json!({"extraVars": {"word": evil}})).await;
    let run = machine.ends("e1").await;
    assert_eq!(run.state, RunState::Succeeded, "{run:?}");
    assert_eq!(std::fs::read_to_string(machine.marker()).unwrap(), format!("{evil}\n"));
    assert!(!touched.exists(), "a variable was taken for more than data");
    for (id, playbook, more, why) in [
        ("e2", "other.yml", json!({}), "playbook other.yml is not allowed"),
        ("e3", "site.yml", json!({"tags": ["--syntax-check"]}), "tag --syntax-check"),
        (
            "e4",
            "site.yml",
            json!({"extraVars": {"ansible_connection": "ssh"}}),
            "ansible_connection",
        ),
    ] {
        machine.ask(id, playbook, more).await;
        let run = machine.ends(id).await;
        assert_eq!((run.state, run.rc), (RunState::Failed, None), "{run:?}");
        assert!(run.message.as_ref().unwrap().contains(why), "{run:?}");
    }
    assert_eq!(machine.lines(), 1);
    // One that takes longer than it may is ended.
    let more = json!({"timeoutSeconds": 3, "extraVars": {"ansible_connection": null}});
    machine.ask("e5", "slow.yml", more).await;
    let run = machine.ends("e5").await;
    assert_eq!((run.state, run.rc), (RunState::Failed, None));
    assert!(run.message.as_ref().unwrap().contains("longer than allowed"), "{run:?}");
    drop(agent);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_killed_at_any_step_tells_the_truth_and_runs_nothing_twice() {
    let Some((world, ansible)) = begin("agent-killed").await else { return };
    let machine = Machine::new(&world, &ansible, "web-1").await;
    for (n, step) in ["claiming", "claimed", "started", "spawned", "finished", "told", "reported"]
        .into_iter()
        .enumerate()
    {
        let id = format!("k{n}");
        machine.ask(&id, "site.yml", json!({})).await;
        let end = ended(machine.agent(Some(step))).await;
        assert_eq!(
            end.code,
            -1,
            "killed at {step}: {}",
            std::fs::read_to_string(machine.path("agent.log")).unwrap()
        );
        let agent = machine.agent(None);
        let run = machine.ends(&id).await;
        assert_eq!((run.state, run.rc), (RunState::Succeeded, Some(0)), "{step}: {run:?}");
        assert_eq!(machine.lines(), n + 1, "{step}");
        drop(agent);
        // A third agent finds nothing to do: the same id never runs again.
        let version = world.host("web-1").await.metadata.resource_version;
        let agent = machine.agent(None);
        machine.ask(&format!("{id}-next"), "fail.yml", json!({})).await;
        machine.ends(&format!("{id}-next")).await;
        assert_eq!(machine.lines(), n + 1, "{step}");
        assert_ne!(world.host("web-1").await.metadata.resource_version, version);
        drop(agent);
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_outlives_its_agent_and_a_killed_run_is_unknown() {
    let Some((world, ansible)) = begin("agent-outlived").await else { return };
    let machine = Machine::new(&world, &ansible, "web-1").await;
    let begun = machine.path("marker.begun");
    let mut agent = machine.agent(None);
    machine.ask("o1", "slow.yml", json!({})).await;
    wait_for("the playbook", async || begun.exists().then_some(())).await;
    wait_for("progress", async || {
        machine
            .run()
            .await
            .filter(|run| run.task.as_deref() == Some("Wait for it") && run.ok == Some(1))
    })
    .await;
    agent.kill().await.unwrap();
    let agent = machine.agent(None);
    std::fs::write(machine.path("marker.go"), "").unwrap();
    let run = machine.ends("o1").await;
    assert_eq!((run.state, run.rc, machine.lines()), (RunState::Succeeded, Some(0), 1), "{run:?}");
    drop(agent);

    // Supervisor and playbook killed too: nobody knows, and nobody says anything else.
    std::fs::remove_file(&begun).unwrap();
    std::fs::remove_file(machine.path("marker.go")).unwrap();
    let agent = machine.agent(None);
    machine.ask("o2", "slow.yml", json!({})).await;
    wait_for("the playbook", async || begun.exists().then_some(())).await;
    drop(agent);
    let folder = machine.path("state/runs/web-1,o2");
    // Ansible may be about to start a process that is not there yet when the others are found.
    wait_for("the end of all of them", async || {
        let left = processes_naming(folder.to_str().unwrap());
        for pid in &left {
            let _ = std::process::Command::new("kill").args(["-9", pid]).status();
        }
        left.is_empty().then_some(())
    })
    .await;
    // This agent tells the end, and dies before the ledger knows that.
    assert_eq!(ended(machine.agent(Some("told"))).await.code, -1);
    let run = machine.ends("o2").await;
    assert_eq!((run.state, run.rc, machine.lines()), (RunState::Unknown, None, 1), "{run:?}");
    assert!(run.message.unwrap().contains("killed from outside"));

    // The ledger lost: what the API server says is going on is nobody's any more. The end of the run
    // before it is not told again over that.
    let claimed = json!({"status": {"ansible": {"requestID": "o3", "state": "Running", "executor": "agent"}}});
    let params = kube::api::PatchParams::default();
    machine.ask("o3", "site.yml", json!({})).await;
    world.hosts().patch_status("web-1", &params, &kube::api::Patch::Merge(claimed)).await.unwrap();
    let agent = machine.agent(None);
    let run = machine.ends("o3").await;
    assert_eq!((run.state, machine.lines()), (RunState::Unknown, 1));
    assert!(run.message.unwrap().contains("ledger"));
    drop(agent);
    world.end().await;
}

/// Processes whose command line or environment names this path.
fn processes_naming(path: &str) -> Vec<String> {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let names = all.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let of = |pid: &str, what: &str| {
        String::from_utf8_lossy(&std::fs::read(format!("/proc/{pid}/{what}")).unwrap_or_default())
            .into_owned()
    };
    names
        .filter(|pid| pid.chars().all(|c| c.is_ascii_digit()))
        .filter(|pid| of(pid, "cmdline").contains(path) || of(pid, "environ").contains(path))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queued_run_can_be_canceled() {
    let Some((world, ansible)) = begin("agent-cancel").await else { return };
    let machine = Machine::new(&world, &ansible, "web-1").await;
    world.edit("web-1", "inv-tui", json!({"spec": {"paused": true}})).await;
    let agent = machine.agent(None);
    machine.ask("c1", "site.yml", json!({})).await;
    let queued = wait_for("Queued", async || {
        machine.run().await.filter(|run| run.state == RunState::Queued)
    })
    .await;
    assert!(queued.message.unwrap().contains("paused"));
    world.edit("web-1", "inv-tui", json!({"spec": {"ansible": {"cancel": true}}})).await;
    assert_eq!(machine.ends("c1").await.state, RunState::Canceled);
    world.edit("web-1", "inv-tui", json!({"spec": {"paused": null}})).await;
    machine.ask("c2", "site.yml", json!({})).await;
    assert_eq!(machine.ends("c2").await.state, RunState::Succeeded);
    assert_eq!(machine.lines(), 1);
    drop(agent);
    world.end().await;
}

fn hook(machine: &Machine<'_>, name: &str, code: i32) {
    let out = machine.path("hooks.log");
    let text = format!(
        "#!/bin/sh\ncat >>{0}\necho >>{0}\necho '{{\"message\": \"{name} said so\"}}'\nexit {code}\n",
        out.display()
    );
    let path = machine.path("hooks").join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_take_the_host_into_maintenance_and_out_and_upgrade_it_once() {
    let Some((world, ansible)) = begin("agent-hooks").await else { return };
    let machine = Machine::new(&world, &ansible, "web-1").await;
    for name in ["maintenance-enter", "maintenance-leave", "os-upgrade"] {
        hook(&machine, name, 0);
    }
    let now = jiff::Timestamp::now();
    let at =
        |seconds: i64| jiff::Timestamp::from_second(now.as_second() + seconds).unwrap().to_string();
    let hold = |until: i64| json!({"reason": "disk swap", "since": at(-1), "until": at(until)});
    world
        .edit(
            "web-1",
            "t",
            json!({"spec": {"maintenance": {"ann": hold(3600), "bob": hold(7200)}}}),
        )
        .await;
    let agent = machine.agent(None);
    let drained = |wanted: &'static str| {
        let world = &world;
        async move || condition(&world.host("web-1").await, "Drained").filter(|c| c.1 == wanted)
    };
    wait_for("Drained", drained("Drained")).await;
    // One of two holds ends: the host stays where it is.
    world.edit("web-1", "t", json!({"spec": {"maintenance": {"ann": null}}})).await;
    // The other one runs out by itself, and nobody takes it away: the agent looks at the clock.
    world.edit("web-1", "t", json!({"spec": {"maintenance": {"bob": hold(2)}}})).await;
    wait_for("InService", drained("InService")).await;
    let host = world.host("web-1").await;
    assert!(host.spec.maintenance.contains_key("bob"));
    let log = std::fs::read_to_string(machine.path("hooks.log")).unwrap();
    let actions: Vec<String> = log
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["action"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(actions, ["maintenance-enter", "maintenance-leave"], "{log}");

    let os = json!({"spec": {"os": {"desired": "99.1", "requestID": "u1"}}});
    world.edit("web-1", "t", os).await;
    wait_for("the upgrade", async || {
        let host = world.host("web-1").await;
        condition(&host, "OSUpToDate").filter(|c| *c == ("False".into(), "RebootAwaited".into()))
    })
    .await;
    drop(agent);
    let agent = machine.agent(None);
    machine.ask("h1", "site.yml", json!({})).await;
    machine.ends("h1").await;
    let log = std::fs::read_to_string(machine.path("hooks.log")).unwrap();
    assert_eq!(log.matches("os-upgrade").count(), 1, "once for each id\n{log}");
    drop(agent);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_goes_away_and_the_agent_goes_on() {
    let Some(ansible) = needed("INV_TUI_TEST_ANSIBLE") else { return };
    let Some(server) = ControlPlane::own("agent-away") else { return };
    let world = server.world("away").await;
    let machine = Machine::new(&world, &ansible, "web-1").await;
    hook(&machine, "maintenance-enter", 0);
    hook(&machine, "maintenance-leave", 0);
    let mut agent = machine.agent(None);
    machine.ask("a1", "slow.yml", json!({})).await;
    let begun = machine.path("marker.begun");
    wait_for("the playbook", async || begun.exists().then_some(())).await;
    let now = jiff::Timestamp::now().as_second();
    let at = |seconds: i64| jiff::Timestamp::from_second(now + seconds).unwrap().to_string();
    let hold = json!({"reason": "disk swap", "since": at(0), "until": at(8)});
    world.edit("web-1", "t", json!({"spec": {"maintenance": {"ann": hold}}})).await;
    let state = machine.path("state/host.json");
    wait_for("the hold remembered", async || {
        std::fs::read_to_string(&state).unwrap_or_default().contains("disk swap").then_some(())
    })
    .await;
    server.kill_apiserver();
    // Nobody to ask: the run goes on, the agent is started anew, the hold runs out.
    agent.kill().await.unwrap();
    std::fs::write(machine.path("marker.go"), "").unwrap();
    let agent = machine.agent(None);
    wait_for("the line", async || (machine.lines() == 1).then_some(())).await;
    server.start_apiserver();
    let run = machine.ends("a1").await;
    assert_eq!((run.state, run.rc), (RunState::Succeeded, Some(0)), "{run:?}");
    wait_for("in service", async || {
        let host = world.host("web-1").await;
        let drained = condition(&host, "Drained");
        // Whether it entered before the hold had run out depends on when the run ended.
        drained.is_none_or(|c| c.1 == "InService").then_some(())
    })
    .await;
    assert_eq!(machine.lines(), 1);
    drop(agent);
}
