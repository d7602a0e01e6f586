//! The controller and the agents of the demo: they watch the hosts, and when one has something to
//! confirm, do so a moment later, as a program on the host would. Clusters and regions are counted.

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::time::Duration;

use futures::StreamExt;
use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::api::Api;
use kube::core::DeserializeGuard;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use tokio::time::MissedTickBehavior;

use super::rollup::Rollup;
use super::write::{Part, change};
use super::{Demo, confirm, now};
use crate::model::host::Host;
use crate::store::client::{AGENT, LIFECYCLE};

/// Hosts that are dealt with at the same time.
const AT_ONCE: usize = 32;
/// Longest pause before a host is tried again.
const LONGEST: i64 = 60;

/// Hosts that have something coming, by the time at which it is due. Each is in it once.
#[derive(Default)]
struct Jobs {
    order: BTreeSet<(Timestamp, String)>,
    /// When each is due, and how often it has failed.
    hosts: HashMap<String, (Timestamp, u32)>,
}

impl Jobs {
    /// The host is due then; what was known before no longer counts.
    fn set(&mut self, name: String, due: Option<Timestamp>, failures: u32) {
        if let Some((old, _)) = self.hosts.remove(&name) {
            self.order.remove(&(old, name.clone()));
        }
        if let Some(due) = due {
            self.order.insert((due, name.clone()));
            self.hosts.insert(name, (due, failures));
        }
    }

    fn next(&self) -> Option<Timestamp> {
        self.order.first().map(|(due, _)| *due)
    }

    /// Takes what is due, with its failures so far.
    fn take(&mut self, now: Timestamp, most: usize) -> Vec<(String, u32)> {
        let mut taken = Vec::new();
        while taken.len() < most && self.next().is_some_and(|due| due <= now) {
            let Some((_, name)) = self.order.pop_first() else { break };
            let failures = self.hosts.remove(&name).map_or(0, |(_, failures)| failures);
            taken.push((name, failures));
        }
        taken
    }

    /// Tries a host again later, each time a little later.
    fn again(&mut self, name: String, failures: u32, now: Timestamp) {
        let pause = (1_i64 << failures.min(6)).min(LONGEST);
        let due = now.saturating_add(SignedDuration::from_secs(pause)).ok();
        self.set(name, due, failures.saturating_add(1));
    }
}

/// Watches and acts until it is dropped.
pub(super) async fn run(demo: &Demo) -> Infallible {
    let hosts: Api<Host> = Api::namespaced(demo.client.clone(), &demo.namespace);
    // One object that cannot be read must not hide the others.
    let watched: Api<DeserializeGuard<Host>> =
        Api::namespaced(demo.client.clone(), &demo.namespace);
    let config = watcher::Config::default().page_size(500);
    loop {
        let mut events = watcher(watched.clone(), config.clone()).default_backoff().boxed();
        let mut jobs = Jobs::default();
        let mut rollup = Rollup::default();
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let wait = jobs.next().map(|due| {
                let wait = Duration::try_from(due.duration_since(now())).unwrap_or_default();
                wait.min(Duration::from_mins(1)) // the clock may be set
            });
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(Event::Apply(host) | Event::InitApply(host))) => {
                        let DeserializeGuard(Ok(host)) = host else { continue };
                        jobs.set(host.name_any(), confirm::due(&host, now()), 0);
                        rollup.set(&host.name_any(), Some(&host));
                    }
                    Some(Ok(Event::Delete(host))) => {
                        jobs.set(host.name_any(), None, 0);
                        rollup.set(&host.name_any(), None);
                    }
                    Some(Ok(Event::Init)) => {
                        jobs = Jobs::default();
                        rollup.clear();
                    }
                    Some(Ok(Event::InitDone)) => {}
                    Some(Err(cause)) => tracing::warn!(%cause, "the demo cannot watch its hosts"),
                    None => break,
                },
                _ = tick.tick() => rollup.write(demo).await,
                () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => {
                    let due = jobs.take(now(), AT_ONCE);
                    let acts = due.iter().map(|(name, _)| act(&hosts, name));
                    for ((name, failures), done) in due.iter().zip(join_all(acts).await) {
                        if let Err(cause) = done {
                            tracing::warn!(host = %name, %cause, "the demo cannot confirm");
                            jobs.again(name.clone(), *failures, now());
                        }
                    }
                }
            }
        }
    }
}

/// What controller and agent do about a host now. What they write comes back by the watch, and
/// with it what comes next.
async fn act(hosts: &Api<Host>, name: &str) -> kube::Result<()> {
    change(hosts, name, AGENT, Part::Status, |host| confirm::agent(host, now())).await?;
    change(hosts, name, LIFECYCLE, Part::Status, |host| confirm::lifecycle(host, now())).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn jobs_come_in_order_and_the_last_word_counts() {
        let mut jobs = Jobs::default();
        for (name, due) in [("a", 30), ("b", 20), ("c", 10), ("a", 5)] {
            jobs.set(name.into(), Some(at(due)), 0);
        }
        jobs.set("c".into(), None, 0);
        assert_eq!(jobs.next(), Some(at(5)));
        assert!(jobs.take(at(4), 9).is_empty());
        assert_eq!(jobs.take(at(60), 1), [("a".to_owned(), 0)]);
        assert_eq!(jobs.take(at(60), 9), [("b".to_owned(), 0)]);
        assert!(jobs.hosts.is_empty() && jobs.order.is_empty());
    }

    #[test]
    fn what_failed_is_tried_later_and_later() {
        let mut jobs = Jobs::default();
        let mut now = at(0);
        let mut pauses = Vec::new();
        jobs.set("a".into(), Some(now), 0);
        for _ in 0..8 {
            let due = jobs.next().unwrap();
            pauses.push(due.duration_since(now).as_secs());
            now = due;
            let taken = jobs.take(now, 9);
            jobs.again("a".into(), taken[0].1, now);
        }
        assert_eq!(pauses, [0, 1, 2, 4, 8, 16, 32, 60]);
    }
}
