//! Get and list.

use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use serde_json::{Value, json};

use super::Call;
use super::shape::Shape;
use crate::server::auth::roles;
use crate::server::certificates;
use crate::server::http::{self, Response};
use crate::server::options::{Continue, ListOptions, Match, Revision, revision};
use crate::server::selector::{Fields, Labels};
use crate::server::status::{ApiError, ApiResult, Cause};
use crate::server::storage::{Key, Objects, Stored, TooOld, Wanted};

/// A piece of a list or a watch is at least this long, unless it is the last.
pub(super) const PIECE: usize = 128 << 10;
/// How many objects are looked at before others get their turn, when few of them are asked for.
const LOOK: usize = 1000;
/// How long a request for a revision of the future waits.
const AHEAD: Duration = Duration::from_secs(3);

/// Which objects of a resource are asked for.
pub(super) struct Filter {
    own: bool,
    namespace: String,
    labels: Labels,
    fields: Fields,
    /// What the fields' requirements look at.
    wanted: Wanted,
}

impl Filter {
    pub(super) fn read(call: &Call, options: &ListOptions) -> ApiResult<Self> {
        let kind = &call.served.kind;
        let mut fields = options.fields.clone();
        // A list at the path of one object: not served by kube-apiserver either, but watches are.
        if !call.at.name.is_empty() {
            let comma = if fields.is_empty() { "" } else { "," };
            fields = format!("{fields}{comma}metadata.name={}", call.at.name);
        }
        let fields = Fields::parse(&fields, kind.namespaced, &kind.selectable)?;
        let namespace = match fields.namespace() {
            Some(namespace) if call.at.namespace.is_empty() => namespace.to_owned(),
            _ => call.at.namespace.clone(),
        };
        let wanted = fields.wanted();
        Ok(Self {
            own: call.own,
            namespace,
            labels: Labels::parse(&options.labels)?,
            fields,
            wanted,
        })
    }

    /// Whether every object of the namespace is meant.
    pub(super) fn takes_all(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty() && !self.own
    }

    fn selects(&self) -> bool {
        !self.takes_all()
    }

    /// Whether the key lies in the namespace that is asked for.
    pub(super) fn takes_key(&self, key: &str) -> bool {
        self.namespace.is_empty()
            || key.split_once('/').is_some_and(|(namespace, _)| namespace == self.namespace)
    }

    /// Whether the object is asked for.
    pub(super) fn takes(&self, call: &Call, key: &str, stored: &Stored) -> bool {
        if !self.takes_key(key) {
            return false;
        }
        let (namespace, name) = key.split_once('/').unwrap_or(("", key));
        if !self.fields.matches_key(namespace, name) {
            return false;
        }
        if !self.labels.is_empty() {
            let labels = stored.labels();
            if !self.labels.matches(|key| labels.get(key).and_then(Value::as_str)) {
                return false;
            }
        }
        if self.own && !certificates::is_own(&call.user, &stored.object()) {
            return false;
        }
        if self.fields.rest_is_empty() {
            return true;
        }
        // What a CRD lets one select by is in the same place in all versions.
        let custom = call.served.kind.custom;
        let object = if custom { stored.part(&self.wanted) } else { call.served.object(stored) };
        self.fields.matches_rest(&object)
    }

    /// The keys among which the objects are.
    fn range(&self, namespaced: bool) -> (Bound<Key>, Bound<Key>) {
        if let Some(name) = self.fields.name()
            && (!namespaced || !self.namespace.is_empty())
        {
            let key =
                if namespaced { format!("{}/{name}", self.namespace) } else { name.to_owned() };
            let key = Key::from(key);
            return (Bound::Included(key.clone()), Bound::Included(key));
        }
        if self.namespace.is_empty() {
            return (Bound::Unbounded, Bound::Unbounded);
        }
        // '0' is the character after '/'.
        let edge = |end: &str| Key::from(format!("{}{end}", self.namespace));
        (Bound::Included(edge("/")), Bound::Excluded(edge("0")))
    }
}

/// Objects in their order, taken a few at a time.
pub(super) struct Walk {
    objects: Objects,
    from: Bound<Key>,
    to: Bound<Key>,
}

impl Walk {
    pub(super) fn new(call: &Call, objects: Objects, filter: &Filter) -> Self {
        let (from, to) = filter.range(call.served.kind.namespaced);
        Self { objects, from, to }
    }

    fn start_at(&mut self, key: &str) {
        let key = Key::from(key);
        let later = match &self.from {
            Bound::Included(from) => *from < key,
            Bound::Excluded(_) | Bound::Unbounded => true,
        };
        if later {
            self.from = Bound::Included(key);
        }
    }

    /// The next objects that the filter takes, maybe none yet: at most `most`, and not many more than
    /// `bytes` long. None at the end.
    pub(super) fn next(
        &mut self,
        call: &Call,
        filter: &Filter,
        most: usize,
        bytes: usize,
    ) -> Option<Vec<(Key, Arc<Stored>)>> {
        let mut taken = Vec::new();
        let (mut size, mut last) = (0, None);
        for (key, stored) in self.objects.range((self.from.clone(), self.to.clone())).take(LOOK) {
            if taken.len() >= most || size >= bytes {
                break;
            }
            last = Some(key.clone());
            if filter.takes_all() || filter.takes(call, key, stored) {
                size += stored.bytes.len();
                taken.push((key.clone(), stored.clone()));
            }
        }
        self.from = Bound::Excluded(last?);
        if self.over() {
            self.objects = Objects::new();
        }
        Some(taken)
    }

    /// Whether the range is empty: asking the map for a range that ends before it begins is an error.
    fn over(&self) -> bool {
        match (&self.from, &self.to) {
            (Bound::Included(a) | Bound::Excluded(a), Bound::Included(b) | Bound::Excluded(b)) => {
                a >= b
            }
            _ => false,
        }
    }

    fn left(&self) -> usize {
        self.objects.range((self.from.clone(), self.to.clone())).count()
    }
}

impl Call {
    /// One object as it is stored.
    pub(super) fn stored(&self) -> ApiResult<Arc<Stored>> {
        let key = self.served.key(&self.at.namespace, &self.at.name);
        let stored = self.served.shelf.get(&key).ok_or_else(|| self.not_found())?;
        if self.own && !certificates::is_own(&self.user, &stored.object()) {
            return Err(roles::forbidden(&self.user, &super::action("get", &self.at, &self.query)));
        }
        Ok(stored)
    }

    /// 404 of the object that the path names.
    pub(super) fn not_found(&self) -> ApiError {
        ApiError::not_found(&self.served.kind.group, &self.served.kind.plural, &self.at.name)
    }

    /// GET of one object.
    pub(super) async fn get(&self) -> ApiResult<Response> {
        if let Revision::At(revision) = revision(&self.query)? {
            self.reach(revision).await?;
        }
        let shape = Shape::of_object(self)?;
        Ok(shape.object(self, 200, &*self.stored()?))
    }

    /// Waits for a revision of the future, not for long.
    pub(super) async fn reach(&self, wanted: u64) -> ApiResult<()> {
        let store = &self.server.store;
        let reached = store.reached(&self.served.id, wanted);
        if store.revision() >= wanted || tokio::time::timeout(AHEAD, reached).await.is_ok() {
            return Ok(());
        }
        let message =
            format!("Too large resource version: {wanted}, current: {}", store.revision());
        let mut error = ApiError::new(504, "Timeout", message).retry_after(1);
        let cause = Cause::new("ResourceVersionTooLarge", "", "Too large resource version");
        error.details.causes.push(cause);
        Err(error)
    }

    pub(super) fn gone(&self, revision: u64, TooOld(oldest): TooOld) -> ApiError {
        ApiError::expired(format!("too old resource version: {revision} ({oldest})"))
    }

    /// GET of a collection.
    pub(super) async fn list(self: Arc<Self>, options: ListOptions) -> ApiResult<Response> {
        let shape = Shape::of_list(&self)?;
        let filter = Filter::read(&self, &options)?;
        if let Revision::At(revision) = options.revision {
            self.reach(revision).await?;
        }
        let shelf = &self.served.shelf;
        let exact = match (&options.from, options.revision, options.matching) {
            (Some(from), ..) => Some(from.rv),
            (None, Revision::At(revision), Some(Match::Exact)) => Some(revision),
            (None, Revision::At(revision), None) if options.limit > 0 => Some(revision),
            _ => None,
        };
        let (objects, revision) = match exact {
            Some(revision) => {
                let objects = shelf.objects_at(revision).map_err(|old| match options.from {
                    Some(_) => ApiError::expired("The provided continue parameter is too old to display a consistent list result. You must start a new list without the continue parameter."),
                    None => self.gone(revision, old),
                })?;
                (objects, revision)
            }
            None => {
                let newest = self.server.store.revision();
                let (objects, last) = shelf.objects();
                (objects, newest.max(last))
            }
        };
        let mut walk = Walk::new(&self, objects, &filter);
        if let Some(from) = &options.from {
            walk.start_at(&from.start);
        }
        // Revision 0 means "anything, quickly": kube-apiserver answers it from its cache, whole.
        if options.limit == 0 || options.revision == Revision::Any {
            return Ok(shape.list(
                &self,
                json!({"resourceVersion": revision.to_string()}),
                walk,
                filter,
            ));
        }
        let mut page: Vec<(Key, Arc<Stored>)> = Vec::new();
        while page.len() < options.limit {
            let most = options.limit - page.len();
            let Some(more) = walk.next(&self, &filter, most, PIECE) else { break };
            page.extend(more);
            tokio::task::yield_now().await;
        }
        let mut metadata = json!({"resourceVersion": revision.to_string()});
        let left = if page.len() < options.limit { 0 } else { walk.left() };
        if let (Some((last, _)), true) = (page.last(), left > 0) {
            metadata["continue"] = Continue::after(revision, last).encode().into();
            if !filter.selects() {
                metadata["remainingItemCount"] = left.into();
            }
        }
        Ok(shape.page(&self, &metadata, &page))
    }
}

impl Shape {
    /// A whole list, made while it is sent.
    fn list(self, call: &Arc<Call>, metadata: Value, walk: Walk, filter: Filter) -> Response {
        if self == Self::Yaml {
            let mut walk = walk;
            let mut all = Vec::new();
            while let Some(more) = walk.next(call, &filter, usize::MAX, usize::MAX) {
                all.extend(more);
            }
            return self.page(call, &metadata, &all);
        }
        let (head, tail) = self.list_frame(call, &metadata);
        let state = (walk, filter, call.clone(), true);
        let items =
            futures::stream::unfold(state, move |(mut walk, filter, call, first)| async move {
                let mut items = walk.next(&call, &filter, usize::MAX, PIECE)?;
                while items.is_empty() {
                    tokio::task::yield_now().await;
                    items = walk.next(&call, &filter, usize::MAX, PIECE)?;
                }
                let mut piece = Vec::with_capacity(PIECE + PIECE / 4);
                let mut first = first;
                for (_, stored) in &items {
                    if !first {
                        piece.push(b',');
                    }
                    first = false;
                    piece.extend_from_slice(&self.item(&call, stored));
                }
                Some((Bytes::from(piece), (walk, filter, call, first)))
            });
        let ends = |text: String| futures::stream::once(async { Bytes::from(text) });
        let body = http::streamed(ends(head).chain(items).chain(ends(tail)));
        http::answer(200, self.content_type(), body)
    }

    /// A page of a list.
    pub(super) fn page(
        self,
        call: &Call,
        metadata: &Value,
        items: &[(Key, Arc<Stored>)],
    ) -> Response {
        let (head, tail) = self.list_frame(call, metadata);
        let mut body = head.into_bytes();
        for (at, (_, stored)) in items.iter().enumerate() {
            if at > 0 {
                body.push(b',');
            }
            body.extend_from_slice(&self.item(call, stored));
        }
        body.extend_from_slice(tail.as_bytes());
        self.document(200, body)
    }
}
