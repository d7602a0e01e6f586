//! One stored object: its JSON as bytes, with the few places in it that must be found quickly.

use std::ops::Range;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::Wanted;

/// An object at one revision. Its JSON is kept as it is sent: lists and watches copy these bytes,
/// nobody parses them again but for selectors, tables and changes.
#[derive(Debug)]
pub struct Stored {
    /// The revision that wrote it: its `resourceVersion`.
    pub revision: u64,
    /// Compact JSON, `resourceVersion` included.
    pub bytes: Bytes,
    version_at: Range<usize>,
    labels_at: Range<usize>,
    /// What garbage collection needs to know before it reads the object.
    pub marks: Marks,
}

/// Whether anything outside the object itself may have to happen with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// It has owner references.
    pub owned: bool,
    /// It is being deleted.
    pub deleting: bool,
}

/// An object on its way into the store: everything but its revision.
#[derive(Debug)]
pub struct Draft {
    bytes: Vec<u8>,
    version_at: usize,
    labels_at: Range<usize>,
    marks: Marks,
}

/// Only what is looked for, borrowed from the text.
#[derive(Deserialize)]
struct Places<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    #[serde(borrow)]
    resource_version: &'a RawValue,
    #[serde(borrow, default)]
    labels: Option<&'a RawValue>,
    #[serde(borrow, default)]
    owner_references: Option<&'a RawValue>,
    #[serde(borrow, default)]
    deletion_timestamp: Option<&'a RawValue>,
}

fn place(text: &[u8], part: &RawValue) -> Range<usize> {
    let start = part.get().as_ptr() as usize - text.as_ptr() as usize;
    start..start + part.get().len()
}

/// Where `resourceVersion` (with its quotes) and the labels are, and the marks.
fn places(bytes: &[u8]) -> Result<(Range<usize>, Range<usize>, Marks), serde_json::Error> {
    let Places { metadata } = serde_json::from_slice(bytes)?;
    let version = place(bytes, metadata.resource_version);
    let labels = metadata.labels.map_or(0..0, |labels| place(bytes, labels));
    let marks = Marks {
        owned: metadata.owner_references.is_some_and(|r| r.get() != "[]"),
        deleting: metadata.deletion_timestamp.is_some(),
    };
    Ok((version, labels, marks))
}

impl Draft {
    /// The draft of an object. Whatever `resourceVersion` it has is replaced when it is stored.
    ///
    /// # Errors
    /// It is no object with metadata.
    pub fn new(object: &mut Value) -> Result<Self, serde_json::Error> {
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("resourceVersion".to_owned(), Value::String(String::new()));
        }
        let bytes = serde_json::to_vec(object)?;
        let (version, labels_at, marks) = places(&bytes)?;
        Ok(Self { version_at: version.start + 1, labels_at, marks, bytes })
    }

    /// The same object, stored at `revision`.
    pub fn at(&self, revision: u64) -> Stored {
        let digits = revision.to_string();
        let (head, tail) = self.bytes.split_at(self.version_at.min(self.bytes.len()));
        let bytes = [head, digits.as_bytes(), tail].concat();
        let moved = if self.labels_at.start > self.version_at { digits.len() } else { 0 };
        Stored {
            revision,
            bytes: bytes.into(),
            version_at: self.version_at - 1..self.version_at + digits.len() + 1,
            labels_at: self.labels_at.start + moved..self.labels_at.end + moved,
            marks: self.marks,
        }
    }
}

impl Stored {
    /// What was stored before, read again.
    ///
    /// # Errors
    /// It is no JSON object with a resourceVersion.
    pub fn read(revision: u64, bytes: Bytes) -> Result<Self, serde_json::Error> {
        let (version_at, labels_at, marks) = places(&bytes)?;
        Ok(Self { revision, version_at, labels_at, marks, bytes })
    }

    /// The same object with another revision: a deleted object carries that of its deletion.
    #[must_use]
    pub fn moved_to(&self, revision: u64) -> Self {
        let digits = format!("\"{revision}\"");
        let head = self.bytes.get(..self.version_at.start).unwrap_or_default();
        let tail = self.bytes.get(self.version_at.end..).unwrap_or_default();
        let bytes = [head, digits.as_bytes(), tail].concat();
        let shift = |at: usize| {
            if at >= self.version_at.end { at - self.version_at.len() + digits.len() } else { at }
        };
        Self {
            revision,
            bytes: bytes.into(),
            version_at: self.version_at.start..self.version_at.start + digits.len(),
            labels_at: shift(self.labels_at.start)..shift(self.labels_at.end),
            marks: self.marks,
        }
    }

    /// The whole object.
    pub fn object(&self) -> Value {
        // What was stored was an object when it came in; a reader of damaged memory gets nothing.
        serde_json::from_slice(&self.bytes).unwrap_or_default()
    }

    /// The wanted fields of it.
    pub fn part(&self, wanted: &Wanted) -> Value {
        wanted.read(&self.bytes)
    }

    /// Its metadata as text.
    pub fn metadata(&self) -> &str {
        #[derive(Deserialize)]
        struct Outer<'a> {
            #[serde(borrow)]
            metadata: &'a RawValue,
        }
        serde_json::from_slice::<Outer<'_>>(&self.bytes).map_or("{}", |outer| outer.metadata.get())
    }

    /// Its labels.
    pub fn labels(&self) -> Map<String, Value> {
        self.bytes
            .get(self.labels_at.clone())
            .and_then(|text| serde_json::from_slice(text).ok())
            .unwrap_or_default()
    }
}

impl Stored {
    /// The revision that the text itself names; 0 if it names none.
    pub(super) fn version(&self) -> u64 {
        self.bytes
            .get(self.version_at.clone())
            .and_then(|text| std::str::from_utf8(text).ok())
            .and_then(|text| text.trim_matches('"').parse().ok())
            .unwrap_or(0)
    }
}
