//! What the makers of silences have to know of the hosts: who is held, and whether that is certain.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::model::silence::Held;

/// Hosts that are held, by uid. One writes, one reads.
#[derive(Default)]
pub(super) struct Board {
    inner: Mutex<Inner>,
    news: Notify,
}

#[derive(Default)]
struct Inner {
    held: HashMap<String, Held>,
    changed: BTreeSet<String>,
    /// All hosts are known and followed.
    synced: bool,
}

impl Board {
    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        act(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The host is held so, or not at all.
    pub(super) fn set(&self, uid: &str, held: Option<&Held>) {
        let is_new = self.with(|inner| {
            if inner.held.get(uid) == held {
                return false;
            }
            match held {
                Some(held) => inner.held.insert(uid.to_owned(), held.clone()),
                None => inner.held.remove(uid),
            };
            inner.changed.insert(uid.to_owned());
            inner.synced
        });
        if is_new {
            self.news.notify_one();
        }
    }

    /// Whether all hosts are known and followed.
    pub(super) fn set_synced(&self, synced: bool) {
        let is_new = self.with(|inner| std::mem::replace(&mut inner.synced, synced) != synced);
        if is_new {
            self.news.notify_one();
        }
    }

    /// Waits until something is new.
    pub(super) async fn news(&self) {
        self.news.notified().await;
    }

    /// Whether nothing of it is in doubt.
    pub(super) fn is_synced(&self) -> bool {
        self.with(|inner| inner.synced)
    }

    /// How a host is held.
    pub(super) fn get(&self, uid: &str) -> Option<Held> {
        self.with(|inner| inner.held.get(uid).cloned())
    }

    /// All hosts that are held; none while that is in doubt.
    pub(super) fn all(&self) -> Option<HashMap<String, Held>> {
        self.with(|inner| {
            let all = inner.synced.then(|| inner.held.clone())?;
            inner.changed.clear();
            Some(all)
        })
    }

    /// What has changed since it was last asked for: how each host is held now; none while that is in
    /// doubt.
    pub(super) fn changes(&self) -> Option<Vec<(String, Option<Held>)>> {
        self.with(|inner| {
            if !inner.synced {
                return None;
            }
            let changed = std::mem::take(&mut inner.changed);
            let now = |uid: String| {
                let held = inner.held.get(&uid).cloned();
                (uid, held)
            };
            Some(changed.into_iter().map(now).collect())
        })
    }
}
