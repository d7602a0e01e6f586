//! What happens to the fleet all the time. What happens next is decided by [`Churn`], which knows
//! no server; [`perform`] then does it as the one who would do it in a real fleet.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::time::Duration;

use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Api, DeleteParams};

use super::fill::fetcher;
use super::write::{Part, change, within};
use super::{Demo, certificates, confirm, fill, heartbeats, now};
use crate::error::{Result, chain};
use crate::model::host::{AnsibleRequest, Host, HostStatus, Phase};
use crate::model::{change, condition, sample};
use crate::store::client::{AGENT, OPERATOR, explain};

/// Hosts for each change in a second, and the fewest and most changes in a second.
const HOSTS_A_CHANGE: u32 = 250;
const CHANGES: (u32, u32) = (1, 50);
/// Longest pause after a failure.
const LONGEST: Duration = Duration::from_secs(30);
/// Label that says which release runs on a host.
const RELEASE: &str = "example.com/release";
const KERNELS: [&str; 4] =
    ["6.12.48-amd64", "6.12.57-amd64", "6.12.63-amd64", "6.16.12+deb13-amd64"];

/// One thing that happens to the host with this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Turn {
    /// Its agent falls silent.
    Silence(u32),
    /// Its provider reports a failed check.
    Impair(u32),
    /// It is switched off.
    Stop(u32),
    /// It runs again, whatever was wrong.
    Mend(u32),
    /// It has booted into another kernel.
    Kernel(u32),
    /// Another release is rolled out to it.
    Release(u32),
    /// A colleague holds it.
    Hold(u32),
    /// The colleague is done.
    Unhold(u32),
    /// A colleague asks for an Ansible run.
    Run(u32),
    /// Its provider no longer lists it.
    Lose(u32),
    /// It is given up.
    Remove(u32),
    /// A new one.
    Arrive(u32),
}

/// Decides what happens next. A host is in one of its lists at most, so that no two stories mix.
struct Churn {
    rng: Rng,
    well: Vec<u32>,
    broken: VecDeque<u32>,
    held: VecDeque<u32>,
    lost: VecDeque<u32>,
    next: u32,
    hosts: usize,
}

impl Churn {
    fn new(hosts: u32, seed: u64) -> Self {
        Self {
            rng: Rng::with_seed(seed),
            well: (0..hosts).collect(),
            broken: VecDeque::new(),
            held: VecDeque::new(),
            lost: VecDeque::new(),
            next: hosts,
            hosts: usize::try_from(hosts).unwrap_or(usize::MAX),
        }
    }

    fn present(&self) -> usize {
        self.well.len() + self.broken.len() + self.held.len() + self.lost.len()
    }

    /// A host with which nothing is going on, and takes it from the list.
    fn pick(&mut self) -> Option<u32> {
        let at = self.rng.usize(..self.well.len().max(1));
        (at < self.well.len()).then(|| self.well.swap_remove(at))
    }

    /// Puts a host that has been picked into its story.
    fn begin(&mut self, kind: u32, host: u32) -> Turn {
        match kind {
            0..14 => {
                self.broken.push_back(host);
                Turn::Silence(host)
            }
            14..22 => {
                self.broken.push_back(host);
                Turn::Impair(host)
            }
            22..28 => {
                self.broken.push_back(host);
                Turn::Stop(host)
            }
            28..36 => {
                self.held.push_back(host);
                Turn::Hold(host)
            }
            36..42 => {
                self.lost.push_back(host);
                Turn::Lose(host)
            }
            42..52 => {
                self.well.push(host);
                Turn::Run(host)
            }
            52..72 => {
                self.well.push(host);
                Turn::Kernel(host)
            }
            _ => {
                self.well.push(host);
                Turn::Release(host)
            }
        }
    }

    /// Ends a story of which more go on than `least` and a share of the hosts, if there is one.
    fn end(&mut self, least: usize) -> Option<Turn> {
        let share = |part| if least == 0 { 0 } else { self.hosts / part + least };
        let (broken, held, lost) = (share(50), share(100), share(400));
        if self.broken.len() > broken {
            let host = self.broken.pop_front()?;
            self.well.push(host);
            return Some(Turn::Mend(host));
        }
        if self.held.len() > held {
            let host = self.held.pop_front()?;
            self.well.push(host);
            return Some(Turn::Unhold(host));
        }
        if self.lost.len() > lost {
            return self.lost.pop_front().map(Turn::Remove);
        }
        None
    }

    /// About 2 % of the hosts are broken, 1 % held and a few missing at any time, beside those
    /// that are so from the start.
    fn turn(&mut self) -> Turn {
        if self.present() < self.hosts && self.rng.bool() {
            let host = self.next;
            self.next = self.next.saturating_add(1);
            self.broken.push_back(host); // it boots, and runs when it is mended
            return Turn::Arrive(host);
        }
        if let Some(turn) = self.end(1) {
            return turn;
        }
        let kind = self.rng.u32(..100);
        match self.pick() {
            Some(host) => self.begin(kind, host),
            // A fleet of one or two: whatever is going on comes to its end.
            None => self.end(0).unwrap_or(Turn::Release(0)),
        }
    }
}

/// Changes in a second for a fleet of this size.
fn changes_a_second(hosts: u32) -> u32 {
    (hosts / HOSTS_A_CHANGE).clamp(CHANGES.0, CHANGES.1)
}

/// Changes the fleet until it is dropped.
pub(super) async fn run(demo: &Demo) -> Infallible {
    let hosts: Api<Host> = Api::namespaced(demo.client.clone(), &demo.namespace);
    let mut churn = Churn::new(demo.hosts, demo.seed);
    let mut certificates = certificates::Newcomers::default();
    let pause = Duration::from_secs(1) / changes_a_second(demo.hosts);
    let mut penalty = Duration::ZERO;
    loop {
        // Changes that come at even intervals look like a machine.
        tokio::time::sleep(pause.mul_f64(0.5 + churn.rng.f64()) + penalty).await;
        let turn = churn.turn();
        match perform(demo, &hosts, turn, &mut certificates, now()).await {
            Ok(()) => penalty = Duration::ZERO,
            Err(error) => {
                tracing::warn!(?turn, error = %chain(&error), "the demo cannot change its fleet");
                penalty = (penalty * 2).clamp(Duration::from_millis(500), LONGEST);
            }
        }
    }
}

async fn perform(
    demo: &Demo,
    hosts: &Api<Host>,
    turn: Turn,
    certificates: &mut certificates::Newcomers,
    now: Timestamp,
) -> Result<()> {
    use Part::{Object, Status};
    let (Turn::Silence(number)
    | Turn::Impair(number)
    | Turn::Stop(number)
    | Turn::Mend(number)
    | Turn::Kernel(number)
    | Turn::Release(number)
    | Turn::Hold(number)
    | Turn::Unhold(number)
    | Turn::Run(number)
    | Turn::Lose(number)
    | Turn::Remove(number)
    | Turn::Arrive(number)) = turn;
    let name = &sample::name(number);
    let fetcher = &fetcher(name);
    let colleague = || pick(&sample::ENGINEERS, number).to_owned();
    let done = match turn {
        Turn::Silence(_) => heartbeats::beat(&demo.client, &demo.namespace, name, true, now).await,
        Turn::Impair(_) => {
            let edit = |host: &mut Host| impaired(host, true, now);
            change(hosts, name, fetcher, Status, edit).await
        }
        Turn::Stop(_) => {
            let edit = |host: &mut Host| provider_state(host, Phase::Stopped, now);
            change(hosts, name, fetcher, Status, edit).await
        }
        Turn::Mend(_) => {
            let by_fetcher = |host: &mut Host| {
                provider_state(host, Phase::Running, now);
                impaired(host, false, now);
            };
            match change(hosts, name, fetcher, Status, by_fetcher).await {
                Ok(()) => heartbeats::beat(&demo.client, &demo.namespace, name, false, now).await,
                failed => failed,
            }
        }
        Turn::Kernel(_) => {
            change(hosts, name, AGENT, Status, |host| booted(host, number, now)).await
        }
        Turn::Release(_) => {
            let release = format!("r{}", now.as_second() / 600 % 1_000);
            let edit = |host: &mut Host| {
                host.metadata
                    .labels
                    .get_or_insert_default()
                    .insert(RELEASE.into(), release.clone());
            };
            change(hosts, name, fetcher, Object, edit).await
        }
        Turn::Hold(_) => {
            let reason = pick(&sample::REASONS, number);
            let hold = change::hold(reason, now, 4 * 3_600);
            let edit = |host: &mut Host| {
                host.spec.maintenance.insert(colleague(), hold.clone());
            };
            change(hosts, name, OPERATOR, Object, edit).await
        }
        Turn::Unhold(_) => {
            let edit = |host: &mut Host| {
                host.spec.maintenance.remove(&colleague());
            };
            change(hosts, name, OPERATOR, Object, edit).await
        }
        Turn::Run(_) => {
            let edit = |host: &mut Host| ask_for_run(host, colleague(), number, now);
            change(hosts, name, OPERATOR, Object, edit).await
        }
        Turn::Lose(_) => change(hosts, name, fetcher, Status, |host| lost(host, now)).await,
        Turn::Remove(_) => match within(hosts.delete(name, &DeleteParams::default())).await {
            Err(kube::Error::Api(status)) if !status.is_not_found() => {
                Err(kube::Error::Api(status))
            }
            Err(cause) if !matches!(cause, kube::Error::Api(_)) => Err(cause),
            _ => heartbeats::end(&demo.client, &demo.namespace, name).await,
        },
        Turn::Arrive(_) => {
            fill::host(hosts, newcomer(number, now)).await?;
            return certificates.ask(demo, name).await;
        }
    };
    done.map_err(|cause| explain(format!("cannot change \"{name}\""), "patch hosts", cause))
}

fn pick<'a>(list: &[&'a str], number: u32) -> &'a str {
    let at = usize::try_from(number).unwrap_or(0) % list.len().max(1);
    list.get(at).copied().unwrap_or_default()
}

/// A colleague asks for a run; one that goes on is left alone.
fn ask_for_run(host: &mut Host, colleague: String, number: u32, now: Timestamp) {
    let run = host.status.as_ref().and_then(|status| status.ansible.as_ref());
    if run.is_some_and(|run| !run.state.is_final()) {
        return;
    }
    host.spec.ansible = Some(AnsibleRequest {
        request_id: format!("demo-{number}-{}", now.as_second()),
        playbook: "site.yml".to_owned(),
        revision: None,
        tags: Vec::new(),
        check: number.is_multiple_of(4),
        extra_vars: BTreeMap::new(),
        timeout_seconds: None,
        requested_by: Some(colleague),
        reason: Some(pick(&sample::REASONS, number).to_owned()),
        cancel: false,
    });
}

/// A host that its provider has just made: it boots.
fn newcomer(number: u32, now: Timestamp) -> Host {
    let mut host = sample::host(number, now);
    host.spec.maintenance.clear();
    host.spec.ansible = None;
    if let Some(status) = &mut host.status {
        let fetched = HostStatus {
            launch_time: Some(Time(now)),
            sources: std::mem::take(&mut status.sources),
            addresses: std::mem::take(&mut status.addresses),
            hardware: status.hardware.take(),
            ..HostStatus::default()
        };
        *status = fetched;
        confirm::set(&mut status.conditions, condition::SEEN, true, "Listed", now);
    }
    provider_state(&mut host, Phase::Pending, now);
    host
}

/// What the provider says: it knows the host, in this state.
fn provider_state(host: &mut Host, state: Phase, now: Timestamp) {
    let Some(status) = &mut host.status else { return };
    for facts in status.sources.values_mut().filter(|facts| facts.state != state) {
        facts.state = state;
        facts.since = Some(Time(now));
        facts.missed = None;
    }
}

fn lost(host: &mut Host, now: Timestamp) {
    provider_state(host, Phase::Missing, now);
    let Some(status) = &mut host.status else { return };
    status.sources.values_mut().for_each(|facts| facts.missed = Some(1));
    confirm::set(&mut status.conditions, condition::SEEN, false, "NotListed", now);
}

fn impaired(host: &mut Host, impaired: bool, now: Timestamp) {
    let Some(status) = &mut host.status else { return };
    let reason = if impaired { "ChecksFailed" } else { "Checks" };
    confirm::set(&mut status.conditions, condition::PROVIDER_HEALTHY, !impaired, reason, now);
}

/// The host has booted into the next kernel.
fn booted(host: &mut Host, number: u32, now: Timestamp) {
    let os = host.status.get_or_insert_default().os.get_or_insert_default();
    let running = os.kernel.take().unwrap_or_default();
    let at = KERNELS.iter().position(|kernel| **kernel == *running).map_or(0, |at| at + 1);
    os.kernel = Some((*KERNELS.get(at % KERNELS.len()).unwrap_or(&"6.12.48-amd64")).to_owned());
    os.boot_time = now.saturating_sub(SignedDuration::from_secs(40)).ok().map(Time);
    os.boot_id = Some(format!("{number:08x}-{:016x}", now.as_second()));
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;
    use crate::model::lifecycle::{self, View};

    #[test]
    fn the_same_seed_is_the_same_story() {
        let story = |seed| {
            let mut churn = Churn::new(300, seed);
            (0..500).map(|_| churn.turn()).collect::<Vec<_>>()
        };
        assert_eq!(story(1), story(1));
        assert_ne!(story(1), story(2));
    }

    #[test]
    fn everything_happens_and_the_fleet_keeps_its_size_and_health() {
        for hosts in [1, 2, 10, 1_000] {
            let mut churn = Churn::new(hosts, 7);
            let mut kinds = HashSet::new();
            let mut broken: HashMap<u32, Turn> = HashMap::new();
            for _ in 0..20_000 {
                let turn = churn.turn();
                kinds.insert(std::mem::discriminant(&turn));
                match turn {
                    Turn::Silence(n) | Turn::Impair(n) | Turn::Stop(n) => {
                        assert_eq!(broken.insert(n, turn), None, "{turn:?}");
                    }
                    Turn::Mend(n) => {
                        broken.remove(&n);
                    }
                    _ => {}
                }
                let bad = usize::try_from(hosts / 50 + 3).unwrap();
                assert!(broken.len() <= bad, "{hosts}: {}", broken.len());
                assert!(churn.present() <= churn.hosts && churn.present() + 2 >= churn.hosts);
            }
            if hosts >= 10 {
                assert_eq!(kinds.len(), 12, "{hosts}");
            }
        }
    }

    #[test]
    fn small_fleets_change_slowly_and_large_ones_do_not_flood() {
        let rates = [1, 1_000, 200_000].map(changes_a_second);
        assert_eq!(rates, [1, 4, 50]);
    }

    #[test]
    fn a_newcomer_boots_and_then_runs() {
        let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).unwrap();
        let mut host = newcomer(5, at(0));
        let phase = |host: &Host, agent, second| {
            let view = View { host, agent, decisions: &[], now: at(second) };
            lifecycle::derive(&view).phase
        };
        assert_eq!(phase(&host, None, 1), Phase::Pending);
        provider_state(&mut host, Phase::Running, at(2));
        impaired(&mut host, false, at(2));
        assert_eq!(phase(&host, Some(true), 3), Phase::Running);
        assert_eq!(phase(&host, Some(false), 3), Phase::Unreachable);
        provider_state(&mut host, Phase::Stopped, at(4));
        assert_eq!(phase(&host, Some(true), 5), Phase::Stopped);
        lost(&mut host, at(6));
        assert_eq!(phase(&host, Some(true), 7), Phase::Missing);
    }

    #[test]
    fn kernels_go_round() {
        let at = Timestamp::from_second(1_800_000_000).unwrap();
        let mut host = sample::host(1, at);
        let mut seen = HashSet::new();
        for _ in 0..8 {
            booted(&mut host, 1, at);
            seen.insert(host.status.clone().unwrap().os.unwrap().kernel);
        }
        assert_eq!(seen.len(), KERNELS.len());
    }
}
