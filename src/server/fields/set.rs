//! Sets of fields: who owns what, in memory and as `FieldsV1`.
//!
//! `FieldsV1` is a tree in JSON. Each key is a step from a value to a part of it, each leaf `{}` a
//! field in the set; a field in the set that has parts in the set too holds the key `.` beside them
//! (Kubernetes API, `meta/v1`, `FieldsV1`).

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

use crate::server::schema::cut;

/// How deep a set may be. What lies deeper in an object belongs to whoever owns the part above it:
/// an object and the sets in its metadata stay below the depth of 128 that the JSON parser takes.
pub const MAX_DEPTH: usize = 100;

/// Paths that are written out at most.
const MOST_PATHS: usize = 1000;

/// A step from a value to a part of it, as `FieldsV1` writes it:
/// `f:name` a field, `k:{"name":"eth0"}` an element of a list by its keys, `v:"a"` an element of a
/// set, `i:0` an element by its index.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Element(String);

impl Element {
    /// The field `name`.
    pub fn field(name: &str) -> Self {
        Self(format!("f:{name}"))
    }

    /// The element of a list whose keys have these values.
    pub fn key(mut keys: Map<String, Value>) -> Self {
        keys.values_mut().for_each(plain_number);
        Self(format!("k:{}", Value::Object(keys)))
    }

    /// The element of a set that is `value`.
    pub fn value(value: &Value) -> Self {
        let mut value = value.clone();
        plain_number(&mut value);
        Self(format!("v:{value}"))
    }

    /// Reads what `FieldsV1` has as a key.
    ///
    /// # Errors
    /// If it is none of the four forms.
    pub fn parse(text: String) -> Result<Self, String> {
        let json = |json: &str| serde_json::from_str(json).map_err(|e| format!("{text:?}: {e}"));
        match text.get(..2).zip(text.get(2..)) {
            Some(("f:", _)) => Ok(Self(text)),
            Some(("k:", keys)) => Ok(Self::key(json(keys)?)),
            Some(("v:", value)) => match serde_json::from_str(value) {
                Ok(value) => Ok(Self::value(&value)),
                Err(e) => Err(format!("{text:?}: {e}")),
            },
            Some(("i:", index)) if index.parse::<u32>().is_ok() => Ok(Self(text)),
            _ => Err(format!("{text:?} is not a path element")),
        }
    }

    /// The name of the field, if it is one.
    pub fn as_field(&self) -> Option<&str> {
        self.0.strip_prefix("f:")
    }
}

impl Borrow<str> for Element {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// As people see it, long names cut: `.spec`, `[name="eth0"]`, `[="a"]`, `[0]`.
impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (form, rest) = self.0.split_once(':').unwrap_or_default();
        match form {
            "f" => write!(f, ".{}", cut(rest)),
            "k" => {
                let keys: Map<String, Value> = serde_json::from_str(rest).unwrap_or_default();
                let keys: Vec<String> =
                    keys.iter().map(|(k, v)| cut(&format!("{k}={v}"))).collect();
                write!(f, "[{}]", keys.join(","))
            }
            "v" => write!(f, "[={}]", cut(rest)),
            _ => write!(f, "[{rest}]"),
        }
    }
}

/// 1.0 and 1 are the same number, and must be the same element.
fn plain_number(value: &mut Value) {
    /// Above it, not every whole number has a float of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if let Some(float) = value.as_f64()
        && value.is_f64()
        && float.fract() == 0.0
        && float.abs() < EXACT
        && let Ok(whole) = format!("{float}").parse::<i64>()
    {
        *value = whole.into();
    }
}

/// A set of fields, as a tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    /// Whether the field at this place is in the set. Never so at the root.
    pub here: bool,
    /// What is in the set below this place. None of them is empty.
    pub children: BTreeMap<Element, Self>,
}

impl Set {
    /// A field without parts.
    pub fn leaf() -> Self {
        Self { here: true, children: BTreeMap::new() }
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        !self.here && self.children.is_empty()
    }

    /// Puts `child` below `element`, unless it is empty.
    pub fn put(&mut self, element: Element, child: Self) {
        if !child.is_empty() {
            self.children.insert(element, child);
        }
    }

    /// Whether the field at the end of `path` is in the set.
    pub fn contains(&self, path: &[Element]) -> bool {
        match path {
            [] => self.here,
            [first, rest @ ..] => self.children.get(first).is_some_and(|c| c.contains(rest)),
        }
    }

    /// All fields of both.
    #[must_use]
    pub fn union(mut self, other: &Self) -> Self {
        self.here |= other.here;
        for (element, theirs) in &other.children {
            let ours = self.children.remove(element as &Element);
            let both = ours.map_or_else(|| theirs.clone(), |ours| ours.union(theirs));
            self.children.insert(element.clone(), both);
        }
        self
    }

    /// The fields that are in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let mut both = Self { here: self.here && other.here, children: BTreeMap::new() };
        for (element, ours) in &self.children {
            if let Some(theirs) = other.children.get(element) {
                both.put(element.clone(), ours.intersection(theirs));
            }
        }
        both
    }

    /// Takes the fields of `other` out. A part stays when only the whole is taken out.
    pub fn subtract(&mut self, other: &Self) {
        self.here &= !other.here;
        // By the smaller of both: there may be thousands of small sets to take one large set out of.
        if self.children.len() < other.children.len() {
            self.children.retain(|element, ours| {
                if let Some(theirs) = other.children.get(element) {
                    ours.subtract(theirs);
                }
                !ours.is_empty()
            });
            return;
        }
        for (element, theirs) in &other.children {
            if let Some(ours) = self.children.get_mut(element) {
                ours.subtract(theirs);
                if ours.is_empty() {
                    self.children.remove(element);
                }
            }
        }
    }

    /// The fields that are not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let mut rest = self.clone();
        rest.subtract(other);
        rest
    }

    /// The paths of all fields in the set, as people see them; only the first of very many.
    pub fn paths(&self) -> Vec<String> {
        let mut all = Vec::new();
        self.collect_paths("", &mut all);
        all
    }

    fn collect_paths(&self, at: &str, all: &mut Vec<String>) {
        if all.len() >= MOST_PATHS {
            return;
        }
        if self.here {
            all.push(at.to_owned());
        }
        for (element, child) in &self.children {
            child.collect_paths(&format!("{at}{element}"), all);
        }
    }

    /// Reads `FieldsV1`.
    ///
    /// # Errors
    /// If it is not an object, has keys of another form, or is deeper than [`MAX_DEPTH`].
    pub fn from_fields_v1(fields: Value) -> Result<Self, String> {
        Self::read(fields, 0).map(|set| Self { here: false, ..set })
    }

    fn read(fields: Value, depth: usize) -> Result<Self, String> {
        let Value::Object(fields) = fields else {
            return Err("fields must be an object".to_owned());
        };
        if depth > MAX_DEPTH {
            return Err(format!("fields are nested more than {MAX_DEPTH} deep"));
        }
        let mut set = Self { here: fields.is_empty(), children: BTreeMap::new() };
        for (key, child) in fields {
            if key == "." {
                set.here = true;
            } else {
                set.put(Element::parse(key)?, Self::read(child, depth + 1)?);
            }
        }
        Ok(set)
    }

    /// As `FieldsV1`.
    pub fn into_fields_v1(self) -> Value {
        let mut fields = Map::new();
        if self.here && !self.children.is_empty() {
            fields.insert(".".to_owned(), Value::Object(Map::new()));
        }
        for (element, child) in self.children {
            fields.insert(element.0, child.into_fields_v1());
        }
        Value::Object(fields)
    }
}
