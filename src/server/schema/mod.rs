//! Structural schemas: the part of `OpenAPI` v3 that a `CustomResourceDefinition` may use.
//!
//! A write goes through [`prune()`], [`default()`] and [`validate()`], in this order. [`structural`]
//! checks the schema itself when its CRD is written.

mod cel;
mod default;
mod format;
mod prune;
pub mod structural;
#[cfg(test)]
mod tests;
mod validate;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use default::default;
pub(crate) use format::{dns_label, dns_name};
pub use prune::prune;
pub(crate) use validate::cut;
pub use validate::validate;

/// A structural schema, or a part of one. Field names are those of `JSONSchemaProps`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(clippy::struct_excessive_bools, reason = "the fields of JSONSchemaProps")]
pub struct Schema {
    /// `object`, `array`, `string`, `integer`, `number` or `boolean`. Empty: not said.
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub type_: String,
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// `date-time`, `int32`, `uuid`, …
    #[serde(skip_serializing_if = "String::is_empty")]
    pub format: String,
    /// Fields of an object.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, Self>,
    /// Values of a map: a schema, or `true` for anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub additional_properties: Option<Additional>,
    /// Elements of an array.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<Box<Self>>,
    /// Fields that an object must have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub required: Vec<String>,
    /// Whether null is a value.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub nullable: bool,
    /// Value of a field that is not given. (A default of null is read as none: it means the same.)
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// The only values allowed.
    #[serde(rename = "enum", skip_serializing_if = "Vec::is_empty")]
    pub enum_: Vec<Value>,
    /// Everything else that restricts values and neither prunes nor defaults.
    #[serde(flatten)]
    pub limits: Limits,
    /// `atomic` (also if empty), `set` or `map`.
    #[serde(rename = "x-kubernetes-list-type", skip_serializing_if = "String::is_empty")]
    pub list_type: String,
    /// Keys that identify the elements of a list of type `map`.
    #[serde(rename = "x-kubernetes-list-map-keys", skip_serializing_if = "Vec::is_empty")]
    pub list_map_keys: Vec<String>,
    /// `granular` (also if empty) or `atomic`.
    #[serde(rename = "x-kubernetes-map-type", skip_serializing_if = "String::is_empty")]
    pub map_type: String,
    /// Unknown fields are kept.
    #[serde(
        rename = "x-kubernetes-preserve-unknown-fields",
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub preserve_unknown_fields: bool,
    /// An object with apiVersion, kind and metadata.
    #[serde(rename = "x-kubernetes-embedded-resource", skip_serializing_if = "std::ops::Not::not")]
    pub embedded_resource: bool,
    /// An integer or a string.
    #[serde(rename = "x-kubernetes-int-or-string", skip_serializing_if = "std::ops::Not::not")]
    pub int_or_string: bool,
    /// CEL rules.
    #[serde(rename = "x-kubernetes-validations", skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
}

/// `additionalProperties`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Additional {
    /// `true`: any value; `false`: none.
    Any(bool),
    /// Values of this schema.
    Schema(Box<Schema>),
}

/// Restrictions on values.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "each means what JSON Schema says")]
pub struct Limits {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum: Option<serde_json::Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum: Option<serde_json::Number>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub exclusive_minimum: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub exclusive_maximum: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multiple_of: Option<serde_json::Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_length: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<u64>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pattern: String,
    #[serde(skip)]
    pub regex: Once<regex::Regex>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_items: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_items: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unique_items: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_properties: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_properties: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub all_of: Vec<Schema>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub any_of: Vec<Schema>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub one_of: Vec<Schema>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not: Option<Box<Schema>>,
}

/// One CEL rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rule {
    /// The expression; `self` is the value, `oldSelf` what it was.
    pub rule: String,
    /// What to say when it does not hold.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The same as an expression.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message_expression: String,
    /// `FieldValueInvalid` if empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Which field to name, relative to the schema of the rule, for example `.replicas`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field_path: String,
    /// Whether a transition rule also runs when there is no old value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optional_old_self: Option<bool>,
    /// The compiled form.
    #[serde(skip)]
    pub program: Once<cel::Programs>,
}

/// A compiled form beside its source: made at the first use, shared by clones, and no part of
/// what its owner says (so it takes no part in comparisons).
pub struct Once<T>(Arc<OnceLock<Option<T>>>);

impl<T> Once<T> {
    /// The compiled form; `None` if the source does not compile.
    fn get(&self, compile: impl FnOnce() -> Option<T>) -> Option<&T> {
        self.0.get_or_init(compile).as_ref()
    }
}

impl<T> Default for Once<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Clone for Once<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> PartialEq for Once<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<T> Eq for Once<T> {}

impl<T> std::fmt::Debug for Once<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.get().is_some() { "compiled" } else { "not compiled" })
    }
}

/// The schema of the field at a simple path such as `.spec.role` or `.spec['a-b']`.
pub(crate) fn property_at<'a>(schema: &'a Schema, path: &str) -> Option<&'a Schema> {
    let names = cel::segments(path)?;
    names.iter().try_fold(schema, |here, name| here.properties.get(name))
}

/// A place in an object, for example `spec.nics[0].mac`; empty at the root.
///
/// It is a chain of borrowed steps, written out only where somebody has to read it, and then with long
/// names cut: a walk that made the text of every place it comes to would take a time and memory that
/// grow with the square of a body that has one name of a megabyte.
#[derive(Clone, Copy)]
pub(crate) enum Place<'a> {
    Root,
    Field(&'a Self, &'a str),
    Item(&'a Self, usize),
    /// Any other step, as it is to be written.
    Step(&'a Self, &'a dyn std::fmt::Display),
}

impl Place<'_> {
    fn is_root(self) -> bool {
        matches!(self, Self::Root)
    }
}

impl std::fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::Root => Ok(()),
            Self::Field(Place::Root, name) => f.write_str(&validate::cut(name)),
            Self::Field(above, name) => write!(f, "{above}.{}", validate::cut(name)),
            Self::Item(above, index) => write!(f, "{above}[{index}]"),
            Self::Step(above, step) => write!(f, "{above}{step}"),
        }
    }
}

/// Whether `value` is null where null is no value.
fn dropped_null(schema: &Schema, value: &Value) -> bool {
    value.is_null() && !schema.nullable
}

/// Fields that every object at the root (and every embedded one) has.
const META: [&str; 3] = ["apiVersion", "kind", "metadata"];
