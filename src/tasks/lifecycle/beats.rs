//! The heartbeats of the agents: for each host until when its Lease lasts.

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;

use crate::model::lifecycle::LEASE_SLACK;

/// How the agent of a host is, by its Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Agent {
    /// It renews its Lease.
    Fresh,
    /// It does not.
    Stale,
    /// Nobody could renew anything for a while, or we have only begun to look: what was said of it
    /// before stays, for the time of one heartbeat.
    Doubt,
}

/// The Lease of one host.
#[derive(Clone, Copy, Debug)]
struct Beat {
    agent: Agent,
    /// When that ends, unless the Lease is renewed.
    until: Timestamp,
    lasts: SignedDuration,
}

/// The Leases of all hosts.
pub(super) struct Beats {
    hosts: HashMap<Box<str>, Beat>,
    /// What a list has brought so far.
    listing: Option<HashSet<Box<str>>>,
    /// Since when heartbeats can be seen.
    since: Timestamp,
}

impl Beats {
    /// Heartbeats can be seen since then.
    pub(super) fn new(since: Timestamp) -> Self {
        Self { hosts: HashMap::new(), listing: None, since }
    }

    /// How the agent of a host is; none: it has no Lease.
    pub(super) fn agent(&self, host: &str) -> Option<Agent> {
        self.hosts.get(host).map(|beat| beat.agent)
    }

    /// A list begins.
    pub(super) fn begin(&mut self) {
        self.listing = Some(HashSet::new());
    }

    /// A list is complete; the hosts whose Lease is gone since.
    pub(super) fn end(&mut self) -> Vec<String> {
        let Some(listed) = self.listing.take() else { return Vec::new() };
        let gone = self.hosts.keys().filter(|host| !listed.contains(*host));
        let gone: Vec<String> = gone.map(ToString::to_string).collect();
        for host in &gone {
            self.hosts.remove(host.as_str());
        }
        gone
    }

    /// Takes in a Lease of the namespace. Its host, whether that is news, and when to look at it
    /// again.
    pub(super) fn take(
        &mut self,
        lease: &Lease,
        namespace: &str,
        now: Timestamp,
    ) -> Option<(String, bool, Timestamp)> {
        let name = host_of(lease, namespace)?;
        let spec = lease.spec.as_ref()?;
        if let Some(listed) = &mut self.listing {
            listed.insert(name.into());
        }
        let lasts = SignedDuration::from_secs(spec.lease_duration_seconds.unwrap_or(0).into());
        let lasts = lasts.saturating_add(LEASE_SLACK);
        // A clock that is ahead does not make a heartbeat last longer.
        let renewed = spec.renew_time.as_ref().map_or(Timestamp::MIN, |time| time.0).min(now);
        let until = after(renewed, lasts);
        let old = self.hosts.get(name).map(|old| old.agent);
        let doubt = after(self.since, lasts);
        let beat = if now < until {
            Beat { agent: Agent::Fresh, until, lasts }
        } else if now < doubt && old != Some(Agent::Stale) {
            Beat { agent: Agent::Doubt, until: doubt, lasts }
        } else {
            Beat { agent: Agent::Stale, until, lasts }
        };
        self.hosts.insert(name.into(), beat);
        Some((name.to_owned(), old != Some(beat.agent), beat.until))
    }

    /// A Lease was deleted; its host.
    pub(super) fn remove(&mut self, lease: &Lease, namespace: &str) -> Option<String> {
        let name = host_of(lease, namespace)?;
        self.hosts.remove(name).map(|_| name.to_owned())
    }

    /// Looks at a host whose Lease may have lapsed: stale now, or when to look again.
    pub(super) fn look(&mut self, host: &str, now: Timestamp) -> Look {
        match self.hosts.get_mut(host) {
            Some(beat) if now < beat.until => Look::At(beat.until),
            Some(beat) if beat.agent != Agent::Stale => {
                beat.agent = Agent::Stale;
                Look::Stale
            }
            _ => Look::Done,
        }
    }

    /// The server was out of reach, so nobody could renew anything: who was fresh gets the time of
    /// one heartbeat more.
    pub(super) fn resume(&mut self, now: Timestamp) {
        self.since = now;
        for beat in self.hosts.values_mut().filter(|beat| beat.agent != Agent::Stale) {
            let until = after(now, beat.lasts);
            if beat.until < until {
                *beat = Beat { agent: Agent::Doubt, until, ..*beat };
            }
        }
    }
}

fn after(time: Timestamp, lasts: SignedDuration) -> Timestamp {
    time.saturating_add(lasts).unwrap_or(Timestamp::MAX)
}

/// What came of a look at a Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// It lapsed just now.
    Stale,
    /// It lasts until then.
    At(Timestamp),
    /// There is nothing to look for.
    Done,
}

/// The host whose heartbeat this is.
fn host_of<'a>(lease: &'a Lease, namespace: &str) -> Option<&'a str> {
    let name = lease.metadata.name.as_deref()?;
    let holder = lease.spec.as_ref()?.holder_identity.as_deref()?;
    let rest = holder.strip_prefix("inv:host:")?.strip_prefix(namespace)?;
    (rest.strip_prefix(':')? == name).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn lease(holder: &str, renewed: i64) -> Lease {
        let renewed = at(renewed).to_string().replace('Z', ".000000Z");
        serde_json::from_value(json!({
            "metadata": {"name": "h"},
            "spec": {"holderIdentity": holder, "leaseDurationSeconds": 40, "renewTime": renewed},
        }))
        .unwrap()
    }

    #[test]
    fn a_lease_is_fresh_until_it_is_not_renewed() {
        let mut beats = Beats::new(Timestamp::MIN);
        let mine = "inv:host:n:h";
        for stranger in ["inv:host:n:other", "inv:host:nn:h", "inv-tui-lifecycle"] {
            assert_eq!(beats.take(&lease(stranger, 0), "n", at(0)), None);
        }
        assert_eq!(beats.agent("h"), None);
        assert_eq!(beats.take(&lease(mine, 0), "n", at(1)), Some(("h".into(), true, at(50))));
        assert_eq!(beats.take(&lease(mine, 30), "n", at(30)), Some(("h".into(), false, at(80))));
        assert_eq!(beats.look("h", at(50)), Look::At(at(80)));
        assert_eq!((beats.look("h", at(80)), beats.agent("h")), (Look::Stale, Some(Agent::Stale)));
        assert_eq!(beats.look("h", at(81)), Look::Done);
        let (_, turned, until) = beats.take(&lease(mine, 900), "n", at(90)).unwrap();
        assert_eq!((turned, until), (true, at(140)), "a clock ahead does not help");
        beats.begin();
        assert_eq!((beats.end(), beats.agent("h")), (vec!["h".into()], None));
    }

    #[test]
    fn when_nobody_could_renew_anything_nobody_is_to_blame() {
        let mut beats = Beats::new(at(1_000));
        let old = lease("inv:host:n:h", 0);
        assert_eq!(beats.take(&old, "n", at(1_001)), Some(("h".into(), true, at(1_050))));
        assert_eq!(beats.agent("h"), Some(Agent::Doubt));
        beats.resume(at(1_040));
        assert_eq!(beats.look("h", at(1_060)), Look::At(at(1_090)));
        assert_eq!(beats.take(&old, "n", at(1_061)), Some(("h".into(), false, at(1_090))));
        assert_eq!(beats.look("h", at(1_090)), Look::Stale);
        beats.resume(at(2_000));
        assert_eq!(beats.look("h", at(2_001)), Look::Done, "an outage revives nobody");
        beats.take(&old, "n", at(2_001));
        assert_eq!(beats.agent("h"), Some(Agent::Stale));
        let mut strict = Beats::new(Timestamp::MIN);
        strict.take(&old, "n", at(2_001));
        assert_eq!(strict.agent("h"), Some(Agent::Stale));
    }
}
