//! The objects of one resource, and what lately happened to them.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use bytes::Bytes;
use imbl::OrdMap;
use tokio::sync::watch;

use super::object::Stored;

/// `namespace/name`, or the name alone: the order of lists.
pub type Key = Arc<str>;

/// Objects by key. A copy costs nothing: it shares what does not change.
pub type Objects = OrdMap<Key, Arc<Stored>>;

/// How many bytes of old and new objects the events of one resource may hold in memory.
const RING_BYTES: usize = 64 << 20;
/// And how many events at most.
pub(super) const RING_EVENTS: usize = 100_000;
/// These many are kept whatever their size, which is 3 MiB at most.
const RING_LEAST: usize = 32;

/// One change of one object.
#[derive(Debug)]
pub struct Event {
    /// Revision of the change.
    pub revision: u64,
    /// The object.
    pub key: Key,
    /// Before; none: it was created.
    pub before: Option<Arc<Stored>>,
    /// After; for a deletion the last state with the deletion's revision.
    pub object: Arc<Stored>,
    /// Whether it is gone now.
    pub deleted: bool,
    frame: OnceLock<Bytes>,
}

impl Event {
    pub(super) fn new(
        key: Key,
        before: Option<Arc<Stored>>,
        object: Arc<Stored>,
        deleted: bool,
    ) -> Self {
        Self { revision: object.revision, key, before, object, deleted, frame: OnceLock::new() }
    }

    /// `ADDED`, `MODIFIED` or `DELETED`, for somebody who sees every object.
    pub fn type_(&self) -> &'static str {
        match (self.deleted, &self.before) {
            (true, _) => "DELETED",
            (false, Some(_)) => "MODIFIED",
            (false, None) => "ADDED",
        }
    }

    /// The line of a watch that sees every object; made once, shared by all who watch.
    pub fn frame(&self) -> Bytes {
        self.frame.get_or_init(|| frame(self.type_(), &self.object.bytes)).clone()
    }

    fn size(&self) -> usize {
        self.object.bytes.len() + self.before.as_ref().map_or(0, |b| b.bytes.len())
    }
}

/// One line of a watch.
pub fn frame(type_: &str, object: &[u8]) -> Bytes {
    let parts: [&[u8]; 5] = [br#"{"type":""#, type_.as_bytes(), br#"","object":"#, object, b"}\n"];
    parts.concat().into()
}

/// The objects of one resource.
#[derive(Debug)]
pub struct Shelf {
    inner: RwLock<Inner>,
    last: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Inner {
    objects: Objects,
    ring: VecDeque<Arc<Event>>,
    ring_bytes: usize,
    /// Everything that happened after this revision is in the ring.
    floor: u64,
    last: u64,
}

/// The revision asked for is older than what is kept. Holds the oldest that can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooOld(pub u64);

impl Shelf {
    /// An empty shelf that knows nothing of what was before revision `floor`.
    pub(super) fn new(floor: u64) -> Self {
        let inner = Inner { floor, ..Inner::default() };
        Self { inner: RwLock::new(inner), last: watch::channel(floor).0 }
    }

    fn read<T>(&self, look: impl FnOnce(&Inner) -> T) -> T {
        // A panic while a shelf was held cannot leave it half changed: each change is one insert.
        look(&self.inner.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// One object.
    pub fn get(&self, key: &str) -> Option<Arc<Stored>> {
        self.read(|inner| inner.objects.get(key).cloned())
    }

    /// All objects, and the newest revision among what happened to them.
    pub fn objects(&self) -> (Objects, u64) {
        self.read(|inner| (inner.objects.clone(), inner.last))
    }

    /// All objects as they were at `revision`.
    ///
    /// # Errors
    /// That is longer ago than what is kept.
    pub fn objects_at(&self, revision: u64) -> Result<Objects, TooOld> {
        self.read(|inner| {
            if revision < inner.floor {
                return Err(TooOld(inner.floor));
            }
            let mut objects = inner.objects.clone();
            for event in inner.ring.iter().rev().take_while(|e| e.revision > revision) {
                match &event.before {
                    Some(before) => objects.insert(event.key.clone(), before.clone()),
                    None => objects.remove(&event.key),
                };
            }
            Ok(objects)
        })
    }

    /// At most `most` events after `revision`, oldest first.
    ///
    /// # Errors
    /// Some of them are no longer kept.
    pub fn events(&self, revision: u64, most: usize) -> Result<Vec<Arc<Event>>, TooOld> {
        self.read(|inner| {
            if revision < inner.floor {
                return Err(TooOld(inner.floor));
            }
            let from = inner.ring.partition_point(|event| event.revision <= revision);
            Ok(inner.ring.range(from..).take(most).cloned().collect())
        })
    }

    /// Tells of each new revision; [`u64::MAX`] when the resource itself is gone.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.last.subscribe()
    }

    /// How many follow it.
    pub fn watches(&self) -> usize {
        self.last.receiver_count()
    }

    /// Tells those who watch that nothing more will come.
    pub(super) fn close(&self) {
        self.last.send_replace(u64::MAX);
    }

    /// An object as it was read at the start.
    pub(super) fn load(&self, key: Key, object: Arc<Stored>) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        inner.last = inner.last.max(object.revision);
        inner.objects.insert(key, object);
    }

    /// Adds a change to the objects and to the ring. `replay`: the objects have it already (at the
    /// start).
    pub(super) fn publish(&self, event: Event, replay: bool) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let inner = &mut *inner;
        if !replay {
            if event.deleted {
                inner.objects.remove(&event.key);
            } else {
                inner.objects.insert(event.key.clone(), event.object.clone());
            }
        }
        inner.last = inner.last.max(event.revision);
        inner.ring_bytes += event.size();
        inner.ring.push_back(Arc::new(event));
        while inner.ring.len() > RING_EVENTS
            || inner.ring_bytes > RING_BYTES && inner.ring.len() > RING_LEAST
        {
            let Some(oldest) = inner.ring.pop_front() else { break };
            inner.ring_bytes -= oldest.size();
            inner.floor = oldest.revision;
        }
    }

    /// Wakes whoever watches, after all changes of a batch: each is woken once for them.
    pub(super) fn tell(&self) {
        let last = self.read(|inner| inner.last);
        // Closed stays closed.
        self.last.send_modify(|told| *told = last.max(*told));
    }
}
