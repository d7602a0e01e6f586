//! Where objects are kept: in memory for reading, in `SQLite` for good, under one increasing
//! revision.
//!
//! One thread writes. It takes all changes that wait, gives each its revision, commits them to disk
//! together (a power cut after that loses nothing: WAL with `synchronous=FULL`, one fsync for the
//! whole batch), and only then publishes them to readers and answers those who asked. A change names
//! the revision that it was made from; if the object has moved on, it is refused and made again.

mod disk;
mod object;
mod part;
mod shelf;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::{mpsc, oneshot, watch};

pub use self::disk::{backup, default_file};
pub use self::object::{Draft, Marks, Stored};
pub use self::part::Wanted;
pub use self::shelf::{Event, Key, Objects, Shelf, TooOld, frame};
use crate::error::{Error, Result};
use disk::Disk;

/// A resource, whatever the version: group and plural.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResourceId {
    /// API group; empty for the core group.
    pub group: String,
    /// Plural.
    pub plural: String,
}

impl ResourceId {
    /// Of group and plural.
    pub fn new(group: impl Into<String>, plural: impl Into<String>) -> Self {
        Self { group: group.into(), plural: plural.into() }
    }
}

impl std::fmt::Display for ResourceId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", super::status::qualified(&self.group, &self.plural))
    }
}

/// What a change does to its object.
#[derive(Debug)]
pub enum Change {
    /// Creates it; it must not be there.
    Create(Draft),
    /// Replaces it; it must be at this revision.
    Replace(u64, Draft),
    /// Deletes it; it must be at this revision. With its last state, if that differs from what is
    /// stored.
    Delete(u64, Option<Draft>),
}

/// Why a change was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The object is not (any more) as the change says.
    Moved,
    /// It could not be stored; nothing was changed.
    Storage(String),
}

struct Job {
    resource: ResourceId,
    key: Key,
    change: Change,
    answer: oneshot::Sender<std::result::Result<Arc<Stored>, Refused>>,
}

/// How many changes may wait for the writer, and how many it takes at once.
const QUEUE: usize = 512;

/// All objects.
#[derive(Clone, Debug)]
pub struct Store {
    shared: Arc<Shared>,
    jobs: mpsc::Sender<Job>,
}

#[derive(Debug)]
struct Shared {
    revision: AtomicU64,
    /// What happened since this revision is known, of a resource without a shelf too: nothing.
    floor: AtomicU64,
    shelves: RwLock<HashMap<ResourceId, Arc<Shelf>>>,
    /// Closed when the writer has ended.
    alive: watch::Sender<()>,
}

impl Store {
    /// A store that forgets everything when the program ends.
    ///
    /// # Errors
    /// The writer's thread cannot be started.
    pub fn in_memory() -> Result<Self> {
        Self::start(Shared::new(1), None, ())
    }

    /// The store in `file`, made if it is not there. `lock` keeps other programs away from it and is
    /// dropped when the file is closed.
    ///
    /// # Errors
    /// The file cannot be used: no permission, damaged, of a newer version, or not ours. It is left
    /// as it was.
    pub fn open(file: &Path, lock: impl Send + 'static) -> Result<Self> {
        let mut disk = Disk::open(file)?;
        let shared = Shared::new(1);
        disk.load(&shared)?;
        Self::start(shared, Some(disk), lock)
    }

    fn start(shared: Shared, disk: Option<Disk>, lock: impl Send + 'static) -> Result<Self> {
        let shared = Arc::new(shared);
        let (jobs, queue) = mpsc::channel(QUEUE);
        let ended = shared.clone();
        let writer = Writer { shared: shared.clone(), disk };
        std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || {
                writer.run(queue);
                drop(lock);
                // Whoever waits for the end hears of it after that.
                drop(ended);
            })
            .map_err(|cause| Error::new("cannot start the store's thread").because(cause))?;
        Ok(Self { shared, jobs })
    }

    /// The newest revision that every reader can see.
    pub fn revision(&self) -> u64 {
        self.shared.revision.load(Ordering::Acquire)
    }

    /// The objects of a resource, if there is one.
    pub fn shelf(&self, resource: &ResourceId) -> Option<Arc<Shelf>> {
        self.shared.shelf(resource)
    }

    /// The objects of a resource, which begins to be if it was not.
    pub fn shelf_or_new(&self, resource: &ResourceId) -> Arc<Shelf> {
        self.shared.shelf_or_new(resource)
    }

    /// All resources that have a shelf.
    pub fn resources(&self) -> Vec<ResourceId> {
        let shelves = self.shared.shelves.read().unwrap_or_else(PoisonError::into_inner);
        shelves.keys().cloned().collect()
    }

    /// Forgets an empty resource; who watches it sees the end.
    pub fn drop_shelf(&self, resource: &ResourceId) {
        let mut shelves = self.shared.shelves.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(shelf) = shelves.remove(resource) {
            // Should the resource begin anew, its past is not known.
            let last = self.revision().max(shelf.objects().1);
            self.shared.floor.fetch_max(last, Ordering::AcqRel);
            shelf.close();
        }
    }

    /// Waits until everybody can see `revision`.
    pub async fn reached(&self, resource: &ResourceId, revision: u64) {
        while self.revision() < revision {
            let Some(held) = self.shelf(resource) else { return };
            let mut changed = held.subscribe();
            let poll = std::time::Duration::from_millis(50);
            // The revision may be reached by another resource's change: look again now and then.
            let _ = tokio::time::timeout(poll, changed.changed()).await;
        }
    }

    /// Makes one change and waits until it is safe on disk and seen by readers. Returns the object
    /// as it is now (for a deletion: as it was, with the deletion's revision).
    ///
    /// # Errors
    /// The object moved, or the change could not be stored.
    pub async fn commit(
        &self,
        resource: &ResourceId,
        key: &str,
        change: Change,
    ) -> std::result::Result<Arc<Stored>, Refused> {
        let (answer, result) = oneshot::channel();
        let job = Job { resource: resource.clone(), key: key.into(), change, answer };
        let stopped = || Refused::Storage("the store has stopped".to_owned());
        self.jobs.send(job).await.map_err(|_closed| stopped())?;
        result.await.map_err(|_closed| stopped())?
    }

    /// Resolves when the writer has ended and the file is closed: after the last `Store` is dropped.
    pub fn ended(&self) -> impl Future<Output = ()> + use<> {
        let mut alive = self.shared.alive.subscribe();
        async move { while alive.changed().await.is_ok() {} }
    }
}

impl Shared {
    fn new(revision: u64) -> Self {
        let (alive, _) = watch::channel(());
        let (revision, floor) = (AtomicU64::new(revision), AtomicU64::new(revision));
        Self { revision, floor, shelves: RwLock::default(), alive }
    }

    fn shelf(&self, resource: &ResourceId) -> Option<Arc<Shelf>> {
        let shelves = self.shelves.read().unwrap_or_else(PoisonError::into_inner);
        shelves.get(resource).cloned()
    }

    fn shelf_or_new(&self, resource: &ResourceId) -> Arc<Shelf> {
        if let Some(shelf) = self.shelf(resource) {
            return shelf;
        }
        let mut shelves = self.shelves.write().unwrap_or_else(PoisonError::into_inner);
        let floor = self.floor.load(Ordering::Acquire);
        shelves.entry(resource.clone()).or_insert_with(|| Arc::new(Shelf::new(floor))).clone()
    }
}

/// The only one who changes anything.
struct Writer {
    shared: Arc<Shared>,
    disk: Option<Disk>,
}

/// A change that has its revision and waits for the commit.
struct Accepted {
    resource: ResourceId,
    event: Event,
    answer: oneshot::Sender<std::result::Result<Arc<Stored>, Refused>>,
}

impl Writer {
    fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        let mut jobs = Vec::with_capacity(QUEUE);
        while queue.blocking_recv_many(&mut jobs, QUEUE) > 0 {
            self.batch(jobs.drain(..));
        }
        if let Some(disk) = self.disk.take() {
            disk.close();
        }
    }

    fn batch(&mut self, jobs: impl Iterator<Item = Job>) {
        let mut revision = self.shared.revision.load(Ordering::Acquire);
        // What this batch has changed so far and readers cannot see yet. None: deleted.
        let mut changed: HashMap<(ResourceId, Key), Option<Arc<Stored>>> = HashMap::new();
        let mut accepted: Vec<Accepted> = Vec::new();
        for job in jobs {
            let Job { resource, key, change, answer } = job;
            let place = (resource, key);
            let current = match changed.get(&place) {
                Some(current) => current.clone(),
                None => self.shared.shelf(&place.0).and_then(|shelf| shelf.get(&place.1)),
            };
            let next = revision + 1;
            let Some((object, deleted)) = decide(current.as_deref(), &change, next) else {
                let _ = answer.send(Err(Refused::Moved));
                continue;
            };
            revision = next;
            let object = Arc::new(object);
            let now = if deleted { None } else { Some(object.clone()) };
            let event = Event::new(place.1.clone(), current, object, deleted);
            accepted.push(Accepted { resource: place.0.clone(), event, answer });
            changed.insert(place, now);
        }
        if accepted.is_empty() {
            return;
        }
        if let Some(disk) = &mut self.disk
            && let Err(cause) = disk.write(accepted.iter().map(|a| (&a.resource, &a.event)))
        {
            tracing::error!(%cause, "cannot store changes");
            for one in accepted {
                let _ = one.answer.send(Err(Refused::Storage(cause.to_string())));
            }
            return;
        }
        let mut answers = Vec::with_capacity(accepted.len());
        let mut shelves = HashMap::new();
        for Accepted { resource, event, answer } in accepted {
            answers.push((answer, event.object.clone()));
            let begin = |resource: &ResourceId| self.shared.shelf_or_new(resource);
            shelves.entry(resource).or_insert_with_key(begin).publish(event, false);
        }
        self.shared.revision.store(revision, Ordering::Release);
        for shelf in shelves.values() {
            shelf.tell();
        }
        for (answer, object) in answers {
            let _ = answer.send(Ok(object));
        }
    }
}

/// What comes of a change at `next`, or none if the object is not as the change says.
fn decide(current: Option<&Stored>, change: &Change, next: u64) -> Option<(Stored, bool)> {
    match (change, current) {
        (Change::Create(draft), None) => Some((draft.at(next), false)),
        (Change::Replace(from, draft), Some(now)) if now.revision == *from => {
            Some((draft.at(next), false))
        }
        (Change::Delete(from, draft), Some(now)) if now.revision == *from => {
            let last = draft.as_ref().map_or_else(|| now.moved_to(next), |draft| draft.at(next));
            Some((last, true))
        }
        _ => None,
    }
}
