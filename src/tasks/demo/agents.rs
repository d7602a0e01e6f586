//! The agents of the demo: they watch the hosts, and when one has something to do, do so a moment
//! later, as a program on the host would.

use std::convert::Infallible;
use std::time::Duration;

use futures::StreamExt;
use futures::future::join_all;
use kube::ResourceExt;
use kube::api::Api;
use kube::core::DeserializeGuard;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};

use super::write::{Part, change};
use super::{Demo, confirm, now};
use crate::model::host::Host;
use crate::store::client::AGENT;
use crate::tasks::jobs::Jobs;

/// Hosts that are dealt with at the same time.
const AT_ONCE: usize = 32;

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
                    }
                    Some(Ok(Event::Delete(host))) => {
                        jobs.set(host.name_any(), None, 0);
                    }
                    Some(Ok(Event::Init)) => {
                        jobs = Jobs::default();
                    }
                    Some(Ok(Event::InitDone)) => {}
                    Some(Err(cause)) => tracing::warn!(%cause, "the demo cannot watch its hosts"),
                    None => break,
                },
                () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => {
                    let due = jobs.take(now(), AT_ONCE);
                    let acts = due.iter().map(|(name, _)| act(&hosts, name));
                    for ((name, failures), done) in due.iter().zip(join_all(acts).await) {
                        if let Err(cause) = done {
                            tracing::warn!(host = %name, %cause, "the demo's agent cannot act");
                            jobs.again(name.clone(), *failures, now());
                        }
                    }
                }
            }
        }
    }
}

/// What the agent does about a host now. What it writes comes back by the watch, and with it what
/// comes next.
async fn act(hosts: &Api<Host>, name: &str) -> kube::Result<()> {
    change(hosts, name, AGENT, Part::Status, |host| confirm::agent(host, now())).await
}
