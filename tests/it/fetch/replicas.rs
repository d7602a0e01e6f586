//! Several fetchers on one source: one works, and another takes over whatever becomes of it.

use std::fmt::Write as _;
use std::path::Path;

use inv_tui::model::host::Phase;
use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;
use tokio::sync::watch;

use super::service::get;
use crate::support::scripted::{Instance, Page, Scripted, instances, name};
use crate::support::{LONGER_LEASES, World, ended, run, wait_for};

/// A fetcher as a service, with all that it has said so far.
struct Replica {
    child: Child,
    said: watch::Receiver<Vec<Value>>,
}

impl Replica {
    /// Its Leases last as `leases` says.
    fn start(world: &World, words: &[&str], leases: (&str, &str)) -> Self {
        let mut all = vec!["fetch", "--listen", "127.0.0.1:0", "--log-format", "json"];
        all.extend(words);
        let mut fetch = world.program(&all);
        let mut child = fetch.env(leases.0, leases.1).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (tell, said) = watch::channel(Vec::new());
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                tell.send_modify(|said| said.push(line));
            }
        });
        Self { child, said }
    }

    fn on_ec2(world: &World, ec2: &Scripted, leases: (&str, &str)) -> Self {
        let all = ["--endpoint-url", &ec2.url, "--region", REGION, "--interval", "1h"];
        Self::start(world, &all, leases)
    }

    /// The first line with this message after `from` lines.
    async fn line(&self, from: usize, message: &str) -> Value {
        wait_for(message, async || {
            let said = self.said.borrow();
            said.iter().skip(from).find(|line| line["message"] == message).cloned()
        })
        .await
    }

    fn lines(&self) -> usize {
        self.said.borrow().len()
    }

    async fn address(&self) -> String {
        self.line(0, "health and metrics").await["address"].as_str().unwrap().to_owned()
    }

    async fn until_ready(&self) {
        let address = self.address().await;
        let ready = async || get(&address, "/readyz").await.filter(|(code, ..)| *code == 200);
        wait_for("/readyz", ready).await;
    }

    /// Waits until the line stands in the metrics.
    async fn shows(&self, line: &str) {
        let address = self.address().await;
        wait_for(line, async || {
            get(&address, "/metrics").await.filter(|(_, _, body)| body.lines().any(|l| l == line))
        })
        .await;
    }

    /// Asks it to stop, and waits for the end.
    async fn stop(self) {
        let pid = self.child.id().unwrap().try_into().unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        ended(self.child).await.with(0);
    }
}

const REGION: &str = "eu-north-1";
/// For programs that are killed: nobody waits longer for their Leases than in earnest.
const USUAL_LEASES: (&str, &str) = (LONGER_LEASES.0, "1");
/// Hosts on each page.
const PAGE: usize = 40;

fn pages(hosts: &[Instance]) -> Vec<Page> {
    hosts.chunks(PAGE).map(|page| Page::Hosts(page.to_vec())).collect()
}

/// Hosts that a dry run would change.
fn changes(diff: &str) -> usize {
    diff.lines().filter(|line| line.starts_with("~ ")).count()
}

fn with_role(numbers: impl IntoIterator<Item = usize>, role: &str) -> Vec<Instance> {
    let mut all = instances(numbers);
    for host in &mut all {
        host.tags.insert("Role".to_owned(), role.to_owned());
    }
    all
}

impl World {
    fn leases(&self) -> Api<Lease> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    async fn holder_of(&self, source: &str) -> Option<String> {
        let lease = self.leases().get_opt(&format!("inv-tui-fetch-{source}")).await.unwrap()?;
        lease.spec?.holder_identity.filter(|holder| !holder.is_empty())
    }

    /// Gives the Lease of a source to somebody else for an hour, or to nobody.
    async fn give_lease(&self, source: &str, holder: &str) {
        let name = format!("inv-tui-fetch-{source}");
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name},
            "spec": {"holderIdentity": holder, "leaseDurationSeconds": 3600},
        });
        let params = PatchParams::apply("test").force();
        self.leases().patch(&name, &params, &Patch::Apply(lease)).await.unwrap();
    }

    /// Number of hosts with this role.
    async fn in_role(&self, role: &str) -> usize {
        let has = |host: &&inv_tui::model::host::Host| host.spec.role.as_deref() == Some(role);
        self.all_hosts().await.iter().filter(has).count()
    }

    /// How often complete listings in a row have lacked the host.
    async fn missed(&self, name: &str) -> i64 {
        self.json(name).await["status"]["sources"]["aws"]["missed"].as_i64().unwrap_or(0)
    }
}

#[tokio::test]
async fn a_leader_that_is_killed_in_the_middle_of_a_pass_is_followed_by_another() {
    let Some(world) = World::begin("replicas").await else { return };
    let ec2 = Scripted::begin().await;
    let number = 6 * PAGE;
    ec2.list(REGION, pages(&with_role(0..number, "web")));
    world.fetch(&ec2.url, &["--region", REGION]).await.with(0).says(&["created=240"]);
    let uids = async || {
        let all = world.all_hosts().await;
        all.iter().map(|host| (host.name_any(), host.uid().unwrap())).collect::<Vec<_>>()
    };
    let before = uids().await;

    // Everything changes but the last host, which is not listed any more; the listing stops half way.
    ec2.list(REGION, pages(&with_role(0..number - 1, "db")));
    ec2.wait_from(3);
    let mut first = Replica::on_ec2(&world, &ec2, USUAL_LEASES);
    let leader = first.line(0, "leads").await["identity"].as_str().unwrap().to_owned();
    assert_eq!(world.holder_of("aws").await, Some(leader.clone()));
    let second = Replica::on_ec2(&world, &ec2, LONGER_LEASES);
    second.until_ready().await;
    wait_for("half of the pass", async || (world.in_role("db").await == 3 * PAGE).then_some(()))
        .await;
    first.child.kill().await.unwrap();
    ec2.wait_from(usize::MAX);

    let next = second.line(0, "leads").await["identity"].as_str().unwrap().to_owned();
    assert_ne!(next, leader);
    let pass = second.line(0, "pass").await;
    assert_eq!((&pass["done"], world.in_role("db").await), (&json!(true), number - 1));
    assert_eq!(uids().await, before, "no host is lost, and none is another one");
    let lost = async || {
        let all = world.all_hosts().await;
        let phase = |host: &inv_tui::model::host::Host| host.status.as_ref()?.phase;
        let lost = |host: &&_| matches!(phase(host), Some(Phase::Missing | Phase::Gone));
        all.iter().filter(lost).map(ResourceExt::name_any).collect::<Vec<_>>()
    };
    assert_eq!(lost().await, [name(number - 1)]);
    assert_eq!(world.missed(&name(number - 1)).await, 1, "one complete listing lacked it");

    // A clean stop gives the Lease back, so the next one does not wait for it to lapse.
    second.stop().await;
    assert_eq!(world.holder_of("aws").await, None);
    ec2.list(REGION, pages(&with_role(0..number, "db")));
    world.fetch(&ec2.url, &["--region", REGION]).await.with(0).says(&["changed=1"]);
    let versions = world.versions().await;
    world.fetch(&ec2.url, &["--region", REGION]).await.with(0).says(&["writes=0"]);
    assert_eq!(world.versions().await, versions);
    world.end().await;
}

#[tokio::test]
async fn of_two_fetchers_one_counts_what_is_missing() {
    let Some(world) = World::begin("counted").await else { return };
    let ec2 = Scripted::begin().await;
    ec2.hosts(REGION, instances(0..20));
    world.fetch(&ec2.url, &["--region", REGION]).await.with(0).says(&["created=20"]);
    ec2.hosts(REGION, instances(0..19));
    let first = Replica::on_ec2(&world, &ec2, LONGER_LEASES);
    first.line(0, "pass").await;
    let second = Replica::on_ec2(&world, &ec2, LONGER_LEASES);
    second.until_ready().await;
    second.shows("inv_tui_fetch_leads{source=\"aws\"} 0").await;
    first.shows("inv_tui_fetch_leads{source=\"aws\"} 1").await;
    assert_eq!(world.missed(&name(19)).await, 1);

    // A single pass waits for its turn, in vain, and says so; one that only looks needs none.
    let leader = world.holder_of("aws").await.unwrap();
    let versions = world.versions().await;
    ec2.hosts(REGION, with_role(0..19, "db"));
    let words = ["--region", REGION];
    let mut once = vec!["fetch", "--once", "--endpoint-url", &ec2.url];
    once.extend(words);
    run(world.program(&once)).await.with(3).says(&[
        "another fetcher works on source \"aws\"",
        &leader,
        "hint: ",
    ]);
    assert_eq!(world.versions().await, versions);
    let mut look = vec!["fetch", "--dry-run", "--endpoint-url", &ec2.url];
    look.extend(words);
    let looked = run(world.program(&look)).await.with(0);
    assert_eq!(changes(&looked.stdout), 19);
    assert_eq!(world.versions().await, versions);

    // The next pass is another one's, and counts once more.
    first.stop().await;
    second.line(0, "pass").await;
    assert_eq!(world.missed(&name(19)).await, 2);
    second.stop().await;
    world.end().await;
}

#[tokio::test]
async fn a_lost_lease_ends_the_pass_and_nothing_more_is_written() {
    let Some(world) = World::begin("lost").await else { return };
    let ec2 = Scripted::begin().await;
    let number = 3 * PAGE;
    ec2.list(REGION, pages(&with_role(0..number, "web")));
    world.fetch(&ec2.url, &["--region", REGION]).await.with(0);
    ec2.list(REGION, pages(&with_role(0..number, "db")));
    ec2.wait_from(1);
    let replica = Replica::on_ec2(&world, &ec2, LONGER_LEASES);
    wait_for("the first page", async || (world.in_role("db").await == PAGE).then_some(())).await;
    world.give_lease("aws", "somebody-else").await;
    replica.line(0, "does not lead any more").await;
    let before = world.versions().await;
    ec2.wait_from(usize::MAX);
    replica.shows("inv_tui_fetch_leads{source=\"aws\"} 0").await;
    let look = ["fetch", "--dry-run", "--endpoint-url", &ec2.url, "--region", REGION];
    let looked = run(world.program(&look)).await.with(0);
    assert_eq!(changes(&looked.stdout), 2 * PAGE, "what is left to be written: {looked:?}");
    assert_eq!(world.versions().await, before);
    // With the Lease it begins a new pass.
    let from = replica.lines();
    world.give_lease("aws", "").await;
    replica.line(from, "pass").await;
    assert_eq!(world.in_role("db").await, number);
    replica.stop().await;
    world.end().await;
}

fn two_files(dir: &Path) -> String {
    let mut text = String::new();
    for name in ["a", "b"] {
        let path = dir.join(format!("{name}.yaml"));
        std::fs::write(&path, format!("hosts:\n  - {{id: {name}-1, region: eu}}\n")).unwrap();
        let _ = write!(
            text,
            "[[source]]\nname = \"{name}\"\ntype = \"file\"\npath = \"{}\"\ninterval = \"1h\"\n",
            path.display()
        );
    }
    text
}

#[tokio::test]
async fn each_source_has_a_lease_of_its_own() {
    let Some(world) = World::begin("shares").await else { return };
    let file = world.dir.path().join("sources.toml");
    std::fs::write(&file, two_files(world.dir.path())).unwrap();
    let sources = ["--sources", file.to_str().unwrap()];
    world.give_lease("b", "somebody-else").await;
    let replica = Replica::start(&world, &sources, LONGER_LEASES);
    replica.until_ready().await;
    replica.shows("inv_tui_fetch_leads{source=\"a\"} 1").await;
    replica.shows("inv_tui_fetch_leads{source=\"b\"} 0").await;
    let names = async || -> Vec<String> {
        world.all_hosts().await.iter().map(ResourceExt::name_any).collect()
    };
    assert_eq!(names().await, ["a-1"]);
    world.give_lease("b", "").await;
    replica.shows("inv_tui_fetch_leads{source=\"b\"} 1").await;
    wait_for("the other source", async || (names().await == ["a-1", "b-1"]).then_some(())).await;

    // One pass over both says which one it could not do.
    let mut once = vec!["fetch", "--once"];
    once.extend(sources);
    let once = world.program(&once);
    run(once).await.with(3).says(&["2 of 2 sources not fully done (a, b)", "another fetcher"]);
    replica.stop().await;
    world.end().await;
}
