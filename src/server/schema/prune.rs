//! Removal of the fields that a schema does not know.

use serde_json::Value;

use super::{Additional, META, Place, Schema};
use crate::server::meta::FIELDS;

/// Removed fields that are named (as many as kube-apiserver names); the others go without a word.
const MAX_NAMED: usize = 100;

/// Removes unknown fields from the object `value` and returns their paths, for example `spec.foo`
/// or `spec.nics[0].bar`. `apiVersion`, `kind` and `metadata` of the root stay as they are.
///
/// Below `x-kubernetes-preserve-unknown-fields` and `additionalProperties: true` nothing is unknown,
/// except in fields that the schema names.
pub fn prune(schema: &Schema, value: &mut Value) -> Vec<String> {
    let mut removed = Vec::new();
    walk(schema, value, Place::Root, true, &mut removed);
    removed
}

/// The same for the value of a field, which has nothing that is kept as at the root.
pub(super) fn prune_field(schema: &Schema, value: &mut Value) -> Vec<String> {
    let mut removed = Vec::new();
    walk(schema, value, Place::Root, false, &mut removed);
    removed
}

fn walk(
    schema: &Schema,
    value: &mut Value,
    path: Place<'_>,
    root: bool,
    removed: &mut Vec<String>,
) {
    match value {
        Value::Object(map) => {
            let resource = root || schema.embedded_resource;
            map.retain(|key, value| {
                if resource && META.contains(&key.as_str()) {
                    if !root
                        && key == "metadata"
                        && let Value::Object(metadata) = value
                    {
                        metadata.retain(|field, _| FIELDS.contains(&field.as_str()));
                    }
                    return true;
                }
                let inner = match (schema.properties.get(key), &schema.additional_properties) {
                    (Some(property), _) => property,
                    (None, Some(Additional::Schema(values))) => values,
                    (None, Some(Additional::Any(true))) => return true,
                    (None, _) if schema.preserve_unknown_fields => return true,
                    (None, _) => {
                        if removed.len() < MAX_NAMED {
                            removed.push(Place::Field(&path, key).to_string());
                        }
                        return false;
                    }
                };
                walk(inner, value, Place::Field(&path, key), false, removed);
                true
            });
        }
        Value::Array(list) => {
            let Some(items) = &schema.items else { return };
            for (i, value) in list.iter_mut().enumerate() {
                walk(items, value, Place::Item(&path, i), false, removed);
            }
        }
        _ => {}
    }
}
