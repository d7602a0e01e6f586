//! Hosts that are followed and derived from: which are known, in which version, and which of them
//! change by time alone. What is derived is the caller's.

use std::collections::{BTreeSet, HashMap};

use k8s_openapi::jiff::Timestamp;

use super::key::Uid;

/// The hosts. `O` is a host itself, kept only while time alone changes something of it; `D` is what
/// the caller keeps of each.
pub(crate) struct Tracked<O, D> {
    hosts: HashMap<Uid, Known<O, D>>,
    due: BTreeSet<(Timestamp, Uid)>,
    /// Number of the listing.
    listing: u64,
}

struct Known<O, D> {
    version: Box<str>,
    listing: u64,
    due: Option<(Timestamp, Box<O>)>,
    derived: D,
}

impl<O, D> Default for Tracked<O, D> {
    fn default() -> Self {
        Self { hosts: HashMap::new(), due: BTreeSet::new(), listing: 0 }
    }
}

impl<O, D> Tracked<O, D> {
    /// How many hosts are known.
    pub(crate) fn len(&self) -> usize {
        self.hosts.len()
    }

    /// Whether no host is known.
    pub(crate) fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    /// A listing begins. Hosts that it does not bring are gone when it ends.
    pub(crate) fn begin(&mut self) {
        self.listing += 1;
    }

    /// The listing is complete: the hosts that it did not bring. They are known until
    /// [`Tracked::take`].
    pub(crate) fn gone(&self) -> Vec<Uid> {
        let gone = self.hosts.iter().filter(|(_, known)| known.listing != self.listing);
        gone.map(|(uid, _)| uid.clone()).collect()
    }

    /// Whether a host is new or has another version than the one that is known.
    pub(crate) fn is_news(&mut self, uid: &Uid, version: &str) -> bool {
        let Some(known) = self.hosts.get_mut(uid) else { return true };
        known.listing = self.listing;
        version.is_empty() || *known.version != *version
    }

    /// Whatever comes now is news.
    pub(crate) fn forget_versions(&mut self) {
        for known in self.hosts.values_mut() {
            known.version = Box::default();
        }
    }

    /// Takes a host out: what was derived from it.
    pub(crate) fn take(&mut self, uid: &Uid) -> Option<D> {
        let (uid, known) = self.hosts.remove_entry(uid)?;
        if let Some((due, _)) = known.due {
            self.due.remove(&(due, uid));
        }
        Some(known.derived)
    }

    /// Puts a host in that is not there, with what was derived from it `now` and when time alone
    /// changes that, if it does.
    pub(crate) fn put(
        &mut self,
        uid: Uid,
        (object, version): (Box<O>, Box<str>),
        derived: D,
        (now, next): (Timestamp, Option<Timestamp>),
    ) {
        let due = next.filter(|next| *next > now).map(|next| (next, object));
        if let Some((next, _)) = &due {
            self.due.insert((*next, uid.clone()));
        }
        self.hosts.insert(uid, Known { version, listing: self.listing, due, derived });
    }

    /// When time alone changes something.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.due.first().map(|(due, _)| *due)
    }

    /// A host that time alone has changed, with its version: it is to be derived from again.
    pub(crate) fn pop_due(&mut self, now: Timestamp) -> Option<(Uid, Box<O>, Box<str>)> {
        while self.next_due().is_some_and(|due| due <= now) {
            let (_, uid) = self.due.pop_first()?;
            let Some(known) = self.hosts.get_mut(&uid) else { continue };
            if let Some((_, object)) = known.due.take() {
                return Some((uid, object, known.version.clone()));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn put(hosts: &mut Tracked<i64, i64>, uid: &str, now: i64, next: Option<i64>) {
        let known = (Box::new(now), "1".into());
        hosts.put(uid.into(), known, now, (at(now), next.map(at)));
    }

    #[test]
    fn hosts_come_due_once_and_only_while_they_are_there() {
        let mut hosts = Tracked::default();
        put(&mut hosts, "a", 0, Some(10));
        put(&mut hosts, "b", 0, Some(5));
        put(&mut hosts, "c", 0, None);
        put(&mut hosts, "d", 0, Some(0));
        assert_eq!(hosts.next_due(), Some(at(5)), "what is over does not come again");
        assert!(hosts.pop_due(at(4)).is_none());
        assert_eq!(hosts.take(&"b".into()), Some(0));
        assert!(hosts.take(&"b".into()).is_none());
        assert!(hosts.pop_due(at(9)).is_none());
        let (uid, object, version) = hosts.pop_due(at(10)).unwrap();
        assert_eq!((uid.as_str(), *object, &*version), ("a", 0, "1"));
        assert!(hosts.pop_due(at(99)).is_none() && hosts.next_due().is_none());
        assert_eq!(hosts.len(), 3);
    }

    #[test]
    fn a_listing_tells_what_is_gone_and_a_version_what_is_news() {
        let mut hosts = Tracked::default();
        put(&mut hosts, "a", 0, None);
        put(&mut hosts, "b", 0, None);
        hosts.begin();
        assert!(!hosts.is_news(&"a".into(), "1"));
        assert!(hosts.is_news(&"a".into(), "2") && hosts.is_news(&"a".into(), ""));
        assert!(hosts.is_news(&"c".into(), "1"));
        assert_eq!(hosts.gone(), ["b".into()]);
        hosts.forget_versions();
        assert!(hosts.is_news(&"a".into(), "1"));
    }
}
