//! The central runner, with real Ansible over a real sshd: hosts without an agent, each request at most
//! once, whatever dies in the middle.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use inv_tui::model::condition;
use inv_tui::model::host::{AnsibleStatus, RunState};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use serde_json::json;
use tokio::process::{Child, Command};

use crate::support::sshd::Sshd;
use crate::support::{BINARY, World, ended, needed, wait_for};

/// `site.yml` writes one line, with the way that it came. `slow.yml` does so when it is let go.
const PLAYBOOKS: [(&str, &str); 2] = [
    (
        "site.yml",
        "- hosts: all\n  gather_facts: false\n  tasks:\n    - name: Write the line\n      ansible.builtin.shell: echo \"$SSH_CONNECTION\" >> \"{{ marker }}\"\n",
    ),
    (
        "slow.yml",
        "- hosts: all\n  gather_facts: false\n  tasks:\n    - name: Begin\n      ansible.builtin.shell: echo begun >> \"{{ marker }}.begun\"\n    - name: Wait for it\n      ansible.builtin.wait_for: {path: \"{{ marker }}.go\", timeout: 290, sleep: 1}\n    - name: Write the line\n      ansible.builtin.shell: echo ran >> \"{{ marker }}\"\n",
    ),
];

/// What the runners of a test have in common.
struct Fleet {
    world: World,
    sshd: Sshd,
    ansible: String,
    kubeconfig: PathBuf,
}

impl Fleet {
    /// None: skipped.
    async fn begin(name: &str) -> Option<Self> {
        let ansible = needed("INV_TUI_TEST_ANSIBLE")?;
        let sshd = Sshd::begin().await?;
        let world = World::begin(name).await?;
        let kubeconfig = world.as_user("inv:svc:runner", &["inv:runners"]).await;
        let root = world.dir.path().join("ansible");
        std::fs::create_dir(&root).unwrap();
        for (file, text) in PLAYBOOKS {
            std::fs::write(root.join(file), text).unwrap();
        }
        Some(Self { world, sshd, ansible, kubeconfig })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.world.dir.path().join(name)
    }

    /// A host at an address.
    async fn host(&self, name: &str, address: &str) {
        self.world.make_host(name, name, "eu-west-1", "shop").await;
        let status = json!({"status": {"addresses": [{"type": "InternalIP", "address": address}]}});
        let params = kube::api::PatchParams::default();
        let patch = kube::api::Patch::Merge(status);
        self.world.hosts().patch_status(name, &params, &patch).await.unwrap();
    }

    /// Starts a runner of this name; `top` and `known_hosts` go into its file.
    fn runner(&self, name: &str, options: &Options<'_>) -> Child {
        let mut config = format!(
            "{}[ansible]\nprogram = '{}'\nroot = '{}'\n",
            options.top,
            self.ansible,
            self.path("ansible").display(),
        );
        for (file, _) in PLAYBOOKS {
            let _ = writeln!(config, "[[ansible.playbook]]\npath = {file:?}");
        }
        config.push_str(&self.sshd.config(&self.sshd.path(options.known_hosts)));
        // What Ansible finds by itself may be a shim that works in no other session.
        let python = Path::new(&self.ansible).with_file_name("python3");
        let _ = writeln!(config, "python = '{}'", python.display());
        let file = self.path(&format!("{name}.toml"));
        std::fs::write(&file, config).unwrap();
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.path(&format!("{name}.log")))
            .unwrap();
        let mut command = Command::new(BINARY);
        command
            .args(["--headless", "runner", "--listen", "127.0.0.1:0", "-n", &self.world.namespace])
            .args(["--at-once", options.at_once])
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .arg("--state-dir")
            .arg(self.path(name))
            .arg("--runner-config")
            .arg(file)
            .env_clear()
            .env("HOME", self.world.dir.path())
            .env("PATH", std::env::var_os("PATH").unwrap())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true);
        command.args(options.selector.map(|selector| format!("--selector={selector}")));
        if let Some(step) = options.stop_at {
            command.env("INV_TUI_STOP_AT", step);
        }
        command.spawn().unwrap()
    }

    fn marker(&self, host: &str) -> PathBuf {
        self.path(&format!("marker-{host}"))
    }

    /// Asks for a run as a person does.
    async fn ask(&self, host: &str, id: &str, playbook: &str) {
        let marker = self.marker(host);
        let request = json!({
            "requestID": id, "playbook": playbook, "requestedBy": "ann", "check": false,
            "extraVars": {"marker": marker.to_str().unwrap()},
        });
        self.world.edit(host, "inv-tui", json!({"spec": {"ansible": request}})).await;
    }

    async fn run(&self, host: &str) -> Option<AnsibleStatus> {
        self.world.host(host).await.status?.ansible
    }

    async fn when(
        &self,
        host: &str,
        what: &str,
        is: impl Fn(&AnsibleStatus) -> bool,
    ) -> AnsibleStatus {
        let place = self.world.dir.path().display();
        let what = format!("{what} of {host}; logs in {place}");
        wait_for(&what, async || self.run(host).await.filter(|run| is(run))).await
    }

    /// Waits until the run has come to its end.
    async fn ends(&self, host: &str, id: &str) -> AnsibleStatus {
        let end = |run: &AnsibleStatus| run.request_id == id && run.state.is_final();
        self.when(host, &format!("the end of {id}"), end).await
    }

    async fn reason(&self, host: &str, type_: &str) -> Option<String> {
        let status = self.world.host(host).await.status?;
        condition::find(&status.conditions, type_).map(|found| found.reason.clone())
    }
}

struct Options<'a> {
    top: &'a str,
    known_hosts: &'a str,
    at_once: &'a str,
    stop_at: Option<&'a str>,
    selector: Option<&'a str>,
}

const USUAL: Options<'static> =
    Options { top: "", known_hosts: "known_hosts", at_once: "4", stop_at: None, selector: None };

fn lines(path: &Path) -> usize {
    std::fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

async fn end(fleet: Fleet, runner: Child) {
    let pid = runner.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(ended(runner).await.code, 0);
    fleet.world.end().await;
}

fn lease(name: &str, holder: &str) -> Lease {
    serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": 40},
    }))
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_without_an_agent_are_run_over_ssh_and_others_are_left_alone() {
    let Some(fleet) = Fleet::begin("runner").await else { return };
    let leases: Api<Lease> = Api::namespaced(fleet.world.client.clone(), &fleet.world.namespace);
    fleet.host("web-1", "127.0.0.1").await;
    fleet.host("web-2", "127.0.0.1").await;
    let agent = format!("inv:host:{}:web-2", fleet.world.namespace);
    leases.create(&PostParams::default(), &lease("web-2", &agent)).await.unwrap();
    fleet.ask("web-2", "r1", "site.yml").await;
    fleet.ask("web-1", "r1", "site.yml").await;
    let runner = fleet.runner("one", &USUAL);

    let run = fleet.ends("web-1", "r1").await;
    assert_eq!((run.state, run.rc), (RunState::Succeeded, Some(0)), "{run:?}");
    assert_eq!((run.ok, run.changed, run.failed), (Some(1), Some(1), Some(0)));
    assert!(run.started_at.is_some() && run.finished_at.is_some());
    let executor = run.executor.unwrap();
    assert!(executor.starts_with("inv-tui-runner-"), "{executor}");
    let tail = run.tail.unwrap();
    assert!(tail.contains("web-1") && tail.contains("changed=1") && tail.len() <= 256, "{tail}");
    assert_eq!(fleet.reason("web-1", condition::CONVERGED).await.unwrap(), "RunSucceeded");
    // It really came over ssh: there the variable has addresses and ports.
    let written = std::fs::read_to_string(fleet.marker("web-1")).unwrap();
    assert!(written.starts_with("127.0.0.1 ") && written.lines().count() == 1, "{written:?}");

    // The runner has seen both; the one with an agent was asked for first.
    assert_eq!(fleet.run("web-2").await, None);
    assert_eq!(lines(&fleet.marker("web-2")), 0);
    // Without its agent it is the runner's. Any change of the host makes the runner look again.
    leases.delete("web-2", &DeleteParams::default()).await.unwrap();
    fleet.world.edit("web-2", "test", json!({"metadata": {"annotations": {"x": "y"}}})).await;
    assert_eq!(fleet.ends("web-2", "r1").await.state, RunState::Succeeded);
    assert_eq!(lines(&fleet.marker("web-2")), 1);

    // Nothing that it owns says more than it did.
    let versions = fleet.world.versions().await;
    fleet.ask("web-1", "r2", "nothing.yml").await;
    let run = fleet.ends("web-1", "r2").await;
    assert_eq!((run.state, run.rc), (RunState::Failed, None));
    assert!(run.message.unwrap().contains("playbook nothing.yml is not allowed"));
    let now = fleet.world.versions().await;
    let web2 = |all: &[(String, String)]| all.iter().find(|(n, _)| n == "web-2").cloned();
    assert_eq!(web2(&versions), web2(&now), "a host that wants nothing is not written");
    end(fleet, runner).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_dies_goes_on_after_its_start_and_runs_nothing_twice() {
    let Some(fleet) = Fleet::begin("runnerdies").await else { return };
    fleet.host("web-1", "127.0.0.1").await;
    let steps = ["claiming", "claimed", "started", "spawned", "finished", "told"];
    for (number, step) in steps.into_iter().enumerate() {
        let id = format!("r{number}");
        // Each selector has a Lease of its own, so that nobody waits for a dead runner's to lapse.
        let selector = format!("!{step}");
        let usual = Options { selector: Some(&selector), ..USUAL };
        let runner = fleet.runner("one", &Options { stop_at: Some(step), ..usual });
        fleet.ask("web-1", &id, "site.yml").await;
        let died = ended(runner).await;
        assert_eq!(died.code, -1, "killed after {step}");
        let selector = format!("!{step},!again");
        let mut runner = fleet.runner("one", &Options { selector: Some(&selector), ..USUAL });
        let run = fleet.ends("web-1", &id).await;
        assert_eq!(run.state, RunState::Succeeded, "{step}: {run:?}");
        assert_eq!(lines(&fleet.marker("web-1")), number + 1, "{step}");
        runner.kill().await.unwrap();
    }
    let runner = fleet.runner("one", &USUAL);
    fleet.ask("web-1", "last", "site.yml").await;
    assert_eq!(fleet.ends("web-1", "last").await.state, RunState::Succeeded);
    // The request before, asked for once more: its result is told again, and nothing runs.
    fleet.ask("web-1", "r5", "site.yml").await;
    let run = fleet.ends("web-1", "r5").await;
    assert_eq!(run.state, RunState::Succeeded);
    assert_eq!(lines(&fleet.marker("web-1")), steps.len() + 1);
    end(fleet, runner).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_run_at_once_and_what_waits_can_be_canceled() {
    let Some(fleet) = Fleet::begin("runnerplaces").await else { return };
    let names = ["web-1", "web-2", "web-3"];
    for name in names {
        fleet.host(name, "127.0.0.1").await;
    }
    let runner = fleet.runner("one", &Options { at_once: "1", ..USUAL });
    for name in names {
        fleet.ask(name, "r1", "slow.yml").await;
    }
    let state = async |wanted: RunState| {
        let mut found = Vec::new();
        for name in names {
            if let Some(run) = fleet.run(name).await.filter(|run| run.state == wanted) {
                found.push((name, run));
            }
        }
        found
    };
    let (first, waiting) = wait_for("one that runs and two that wait", async || {
        let running = state(RunState::Running).await;
        let queued = state(RunState::Queued).await;
        (running.len() == 1 && queued.len() == 2).then(|| (running[0].0, queued))
    })
    .await;
    for (_, run) in &waiting {
        assert_eq!(run.message.as_deref(), Some("waits for one of 1 places of the runner"));
    }
    let begun = |name: &str| PathBuf::from(format!("{}.begun", fleet.marker(name).display()));
    wait_for("the first one's begin", async || begun(first).exists().then_some(())).await;
    let (canceled, next) = (waiting[0].0, waiting[1].0);
    fleet.world.edit(canceled, "inv-tui", json!({"spec": {"ansible": {"cancel": true}}})).await;
    assert_eq!(fleet.ends(canceled, "r1").await.state, RunState::Canceled);
    // Too late for the one that runs.
    fleet.world.edit(first, "inv-tui", json!({"spec": {"ansible": {"cancel": true}}})).await;
    for name in [first, next] {
        std::fs::write(format!("{}.go", fleet.marker(name).display()), "").unwrap();
        assert_eq!(fleet.ends(name, "r1").await.state, RunState::Succeeded);
        assert_eq!(lines(&fleet.marker(name)), 1);
    }
    assert!(!begun(canceled).exists(), "what was canceled has not begun");
    end(fleet, runner).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_cannot_be_reached_or_trusted_are_told_so() {
    let Some(fleet) = Fleet::begin("runnertrust").await else { return };
    fleet.host("stranger", "127.0.0.1").await;
    fleet.host("hostile", "-oProxyCommand=touch${IFS}hacked").await;
    let runner = fleet.runner("one", &Options { known_hosts: "nobody_known", ..USUAL });
    fleet.ask("stranger", "r1", "site.yml").await;
    fleet.ask("hostile", "r1", "site.yml").await;
    let run = fleet.ends("stranger", "r1").await;
    assert_eq!(
        (run.state, run.rc, run.unreachable),
        (RunState::Failed, Some(4), Some(1)),
        "{run:?}"
    );
    assert!(run.tail.unwrap().contains("Host key verification failed"));
    assert_eq!(fleet.reason("stranger", condition::CONVERGED).await.unwrap(), "RunFailed");
    let waits = |run: &AnsibleStatus| run.state == RunState::Queued;
    let run = fleet.when("hostile", "the wait", waits).await;
    assert_eq!(run.message.as_deref(), Some("the host has no address to reach it at"));
    assert_eq!(lines(&fleet.marker("stranger")) + lines(&fleet.marker("hostile")), 0);
    end(fleet, runner).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_lost_runner_had_begun_ends_as_unknown_and_stays_so() {
    let Some(fleet) = Fleet::begin("runnerlost").await else { return };
    fleet.host("web-1", "127.0.0.1").await;
    let options = Options { top: "gone-after = \"3s\"\n", ..USUAL };
    let mut first = fleet.runner("one", &options);
    fleet.ask("web-1", "r1", "slow.yml").await;
    let begun = PathBuf::from(format!("{}.begun", fleet.marker("web-1").display()));
    wait_for("the begin", async || begun.exists().then_some(())).await;
    first.kill().await.unwrap();
    // Another one takes over what is to be begun, and nothing that was.
    let second = fleet.runner("two", &options);
    let run = fleet.ends("web-1", "r1").await;
    assert_eq!(run.state, RunState::Unknown, "{run:?}");
    assert!(run.message.unwrap().ends_with("is gone: nobody can say how the run went"));
    assert_eq!(fleet.reason("web-1", condition::CONVERGED).await.unwrap(), "RunUnknown");
    // The first one comes back while its run still goes on, and sees it end. What was said stays.
    let again = fleet.runner("one", &options);
    std::fs::write(format!("{}.go", fleet.marker("web-1").display()), "").unwrap();
    let folder = fleet.path("one").join("runs").join(&fleet.world.namespace).join("web-1");
    wait_for("the end in the ledger", async || {
        let runs = std::fs::read_dir(&folder).ok()?;
        let mut runs = runs.map(|run| run.unwrap().path());
        runs.any(|run| run.join("reported").exists()).then_some(())
    })
    .await;
    assert_eq!(fleet.run("web-1").await.unwrap().state, RunState::Unknown);
    assert_eq!((lines(&begun), lines(&fleet.marker("web-1"))), (1, 1), "it was begun once");
    // Events tell the story.
    let events: Api<k8s_openapi::api::events::v1::Event> =
        Api::namespaced(fleet.world.client.clone(), &fleet.world.namespace);
    // They are sent after what they tell of.
    wait_for("the Events", async || {
        let all = events.list(&ListParams::default()).await.unwrap().items;
        let told = |reason: &str| all.iter().any(|event| event.reason.as_deref() == Some(reason));
        (told("RunStarted") && told("RunUnknown")).then_some(())
    })
    .await;
    drop(again);
    end(fleet, second).await;
}
