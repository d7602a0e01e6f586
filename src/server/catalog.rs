//! What is served now: the built-in kinds, and those that CRDs define.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde_json::Value;

use super::kind::Kind;
use super::openapi::Documents;
use super::storage::{ResourceId, Shelf, Store, Stored};
use super::table::Printer;
use super::{builtin, crd, events};

/// One resource in one version, with the place of its objects.
#[derive(Debug)]
pub struct Served {
    /// What it is.
    pub kind: Arc<Kind>,
    /// How its tables are made.
    pub printer: Printer,
    /// Where its objects are kept.
    pub id: ResourceId,
    /// Its objects.
    pub shelf: Arc<Shelf>,
    /// How the JSON of an object begins that is stored as it is served.
    head: String,
    /// Whether it is the events.k8s.io view of core events.
    pub new_events: bool,
}

impl Served {
    fn new(kind: Arc<Kind>, store: &Store) -> Self {
        let new_events = kind.group == "events.k8s.io";
        let id = if new_events {
            ResourceId::new("", "events")
        } else {
            ResourceId::new(&kind.group, &kind.plural)
        };
        let head = format!("{{\"apiVersion\":\"{}\",", kind.api_version());
        Self {
            shelf: store.shelf_or_new(&id),
            printer: Printer::new(&kind),
            id,
            head,
            kind,
            new_events,
        }
    }

    /// The JSON of a stored object in this version.
    pub fn bytes(&self, stored: &Stored) -> Bytes {
        if self.plain(stored) {
            return stored.bytes.clone();
        }
        self.object(stored).to_string().into()
    }

    /// Whether an object is stored just as it is served.
    pub fn plain(&self, stored: &Stored) -> bool {
        stored.bytes.starts_with(self.head.as_bytes())
    }

    /// A stored object in this version.
    pub fn object(&self, stored: &Stored) -> Value {
        let mut object = stored.object();
        self.convert(&mut object);
        object
    }

    /// Makes an object as it is stored one of this version.
    pub fn convert(&self, object: &mut Value) {
        if self.new_events {
            events::to_new(object);
        } else if object.is_object() {
            object["apiVersion"] = self.kind.api_version().into();
        }
    }

    /// Makes an object of this version one as it is stored.
    pub fn store_form(&self, object: &mut Value) {
        if self.new_events {
            events::to_core(object);
        }
    }

    /// The key of an object.
    pub fn key(&self, namespace: &str, name: &str) -> String {
        if self.kind.namespaced { format!("{namespace}/{name}") } else { name.to_owned() }
    }
}

/// Everything that is served.
#[derive(Debug)]
pub struct Catalog {
    served: BTreeMap<(String, String, String), Arc<Served>>,
    /// The kinds, in the order of discovery.
    pub kinds: Vec<Arc<Kind>>,
    documents: OnceLock<Documents>,
}

impl Catalog {
    /// Of the built-in kinds and the CRDs in the store.
    pub fn read(store: &Store) -> Self {
        let mut kinds = builtin::kinds();
        let crds = store.shelf_or_new(&crds());
        for stored in crds.objects().0.values() {
            let object = stored.object();
            if !crd::established(&object) {
                continue;
            }
            match crd::kinds(&object) {
                Ok(found) => kinds.extend(found.into_iter().map(Arc::new)),
                // It was checked when it was stored; a newer program may have allowed more.
                Err(cause) => tracing::error!(?cause, "a resource definition cannot be served"),
            }
        }
        let shown = kinds.clone();
        let served = kinds.into_iter().map(|kind| {
            let name = (kind.group.clone(), kind.version.clone(), kind.plural.clone());
            (name, Arc::new(Served::new(kind, store)))
        });
        Self { served: served.collect(), kinds: shown, documents: OnceLock::new() }
    }

    /// A resource by its names.
    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Served>> {
        self.served.get(&(group.to_owned(), version.to_owned(), plural.to_owned())).cloned()
    }

    /// The `OpenAPI` documents, made when somebody asks for the first time.
    pub fn documents(&self) -> &Documents {
        self.documents.get_or_init(|| Documents::new(&self.kinds))
    }

    /// Every stored resource once, in one of its versions.
    pub fn resources(&self) -> Vec<Arc<Served>> {
        let mut all: Vec<Arc<Served>> = Vec::new();
        for served in self.served.values() {
            let stored = served.kind.verbs.contains(&"list") && !served.new_events;
            if stored && !all.iter().any(|other| other.id == served.id) {
                all.push(served.clone());
            }
        }
        all
    }
}

/// Holds a CRD until its objects are gone.
pub const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Where CRDs are kept.
pub fn crds() -> ResourceId {
    ResourceId::new("apiextensions.k8s.io", "customresourcedefinitions")
}
