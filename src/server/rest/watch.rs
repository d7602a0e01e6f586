//! Watch: a stream of events, one line each.
//!
//! A watch holds no queue: it reads what happened since its revision from the resource's ring when
//! its client takes more. A client that falls so far behind that the ring has moved on gets a 410 and
//! lists again; it never costs the others anything.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Call;
use super::read::{Filter, PIECE, Walk};
use super::shape::Shape;
use crate::server::http::{self, Response};
use crate::server::listen::Endless;
use crate::server::options::{ListOptions, Revision};
use crate::server::status::{ApiError, ApiResult};
use crate::server::storage::{Event, frame};

/// How often a watch tells its client how far it is.
const BOOKMARK: Duration = Duration::from_secs(60);
/// How long before its end it does so once more.
const BEFORE_END: Duration = Duration::from_secs(2);
/// Events taken from the ring at once.
const BATCH: usize = 256;

enum Stage {
    /// Sends what is there.
    Initial(Walk),
    /// Tells that this was all.
    Marker,
    /// Sends what happens.
    Events,
    /// Says why it ends.
    Error(ApiError),
    /// Nothing more.
    Ended,
}

struct Watching {
    call: Arc<Call>,
    shape: Shape,
    filter: Filter,
    stage: Stage,
    cursor: u64,
    marker: bool,
    bookmarks: bool,
    first: bool,
    changed: watch::Receiver<u64>,
    closing: watch::Receiver<bool>,
    next_bookmark: Instant,
    last_bookmark: Instant,
    deadline: Instant,
}

impl Call {
    /// Begins a watch.
    pub(super) async fn watch(self: Arc<Self>, options: ListOptions) -> ApiResult<Response> {
        let shape = Shape::of_watch(&self)?;
        let filter = Filter::read(&self, &options)?;
        let shelf = &self.served.shelf;
        let wants_initial = options.initial.unwrap_or(!matches!(options.revision, Revision::At(_)));
        // From here on every error is an event of the stream (KUBE-API.md section 0, trap 2).
        let mut stage = Stage::Events;
        let mut cursor = 0;
        if wants_initial {
            let reached = match options.revision {
                Revision::At(revision) => self.reach(revision).await,
                _ => Ok(()),
            };
            match reached {
                Ok(()) => {
                    let newest = self.server.store.revision();
                    let (objects, last) = shelf.objects();
                    cursor = newest.max(last);
                    stage = Stage::Initial(Walk::new(&self, objects, &filter));
                }
                Err(error) => stage = Stage::Error(error),
            }
        } else {
            match options.revision {
                Revision::At(revision) => cursor = revision,
                _ => cursor = self.server.store.revision().max(shelf.objects().1),
            }
        }
        let timeout = options
            .timeout
            .filter(|seconds| *seconds > 0)
            .unwrap_or_else(|| fastrand::u64(1800..3600))
            .min(7 * 24 * 3600);
        let now = Instant::now();
        let deadline = now + Duration::from_secs(timeout);
        let watching = Watching {
            changed: shelf.subscribe(),
            closing: self.server.closing.subscribe(),
            marker: options.initial == Some(true) && options.bookmarks,
            bookmarks: options.bookmarks,
            first: true,
            next_bookmark: now + BOOKMARK.mul_f64(0.75 + fastrand::f64() / 4.0),
            last_bookmark: deadline.checked_sub(BEFORE_END).unwrap_or(deadline),
            deadline,
            shape,
            filter,
            stage,
            cursor,
            call: self,
        };
        let pieces = futures::stream::unfold(watching, |mut watching| async move {
            watching.next().await.map(|piece| (piece, watching))
        });
        let mut response = http::answer(200, "application/json", http::streamed(pieces));
        response.extensions_mut().insert(Endless);
        Ok(response)
    }
}

impl Watching {
    /// The next lines, when there are some. None at the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            match &mut self.stage {
                Stage::Initial(walk) => {
                    let Some(items) = walk.next(&self.call, &self.filter, usize::MAX, PIECE) else {
                        self.stage = Stage::Marker;
                        continue;
                    };
                    let mut lines = Vec::with_capacity(PIECE + PIECE / 4);
                    for (_, stored) in items {
                        let object = self.shape.watched(&self.call, &stored, self.first);
                        self.first = false;
                        lines.extend_from_slice(&frame("ADDED", &object));
                    }
                    if !lines.is_empty() {
                        return Some(lines.into());
                    }
                    tokio::task::yield_now().await;
                }
                Stage::Marker => {
                    self.stage = Stage::Events;
                    if self.marker {
                        return Some(self.bookmark(true));
                    }
                }
                Stage::Events => {
                    if let Some(piece) = self.events().await {
                        return Some(piece);
                    }
                }
                Stage::Error(error) => {
                    let line = frame("ERROR", error.body().to_string().as_bytes());
                    self.stage = Stage::Ended;
                    return Some(line);
                }
                Stage::Ended => return None,
            }
        }
    }

    /// What happened since the last look, or waits until something did. None: look at the stage.
    async fn events(&mut self) -> Option<Bytes> {
        let closed = *self.changed.borrow_and_update() == u64::MAX;
        let safe = self.call.server.store.revision();
        match self.call.served.shelf.events(self.cursor, BATCH) {
            Err(old) => {
                self.stage = Stage::Error(self.call.gone(self.cursor, old));
                None
            }
            Ok(events) => {
                if let Some(last) = events.last() {
                    self.cursor = last.revision;
                    let mut lines = Vec::new();
                    for event in &events {
                        self.line(event, &mut lines);
                    }
                    return (!lines.is_empty()).then(|| lines.into());
                }
                if closed {
                    self.stage = Stage::Ended;
                    return None;
                }
                // Nothing of this resource happened up to the store's revision.
                self.cursor = self.cursor.max(safe);
                self.wait().await
            }
        }
    }

    async fn wait(&mut self) -> Option<Bytes> {
        let bookmark = self.next_bookmark.min(self.last_bookmark);
        let due = tokio::select! {
            _ = self.changed.changed() => return None,
            () = tokio::time::sleep_until(bookmark), if self.bookmarks => true,
            () = tokio::time::sleep_until(self.deadline) => false,
            _ = self.closing.wait_for(|closing| *closing) => false,
        };
        if !due {
            self.stage = Stage::Ended;
            return None;
        }
        let now = Instant::now();
        self.next_bookmark = now + BOOKMARK;
        if now >= self.last_bookmark {
            self.last_bookmark = self.deadline + BOOKMARK;
        }
        Some(self.bookmark(false))
    }

    fn bookmark(&mut self, initial: bool) -> Bytes {
        let object = self.shape.bookmark(&self.call, self.cursor, initial, self.first);
        self.first = false;
        frame("BOOKMARK", object.to_string().as_bytes())
    }

    /// Adds the line for an event, if this watch sees it.
    fn line(&mut self, event: &Event, lines: &mut Vec<u8>) {
        if !self.filter.takes_key(&event.key) {
            return;
        }
        let (call, filter) = (&self.call, &self.filter);
        let all = filter.takes_all();
        if all && self.shape == Shape::Json && call.served.plain(&event.object) {
            lines.extend_from_slice(&event.frame());
            return;
        }
        let had = event.before.as_ref().is_some_and(|b| all || filter.takes(call, &event.key, b));
        let has = !event.deleted && (all || filter.takes(call, &event.key, &event.object));
        let moved;
        let (type_, stored) = match (had, has) {
            (false, false) => return,
            (false, true) => ("ADDED", &*event.object),
            (true, true) => ("MODIFIED", &*event.object),
            (true, false) if event.deleted => ("DELETED", &*event.object),
            // It stopped to match: its last matching state, with the revision of the change.
            (true, false) => {
                let Some(before) = &event.before else { return };
                moved = before.moved_to(event.revision);
                ("DELETED", &moved)
            }
        };
        let object = self.shape.watched(call, stored, self.first);
        self.first = false;
        lines.extend_from_slice(&frame(type_, &object));
    }
}
