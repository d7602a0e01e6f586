//! Defaults of fields that are not given.

use serde_json::Value;

use super::{Additional, Schema, dropped_null};

/// Fills in what is not given. A null where null is no value counts as not given: it becomes the
/// default, or goes if there is none (in a list it stays, for validation to refuse).
pub fn default(schema: &Schema, value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (name, property) in &schema.properties {
                let Some(default) = &property.default else { continue };
                if !map.contains_key(name) {
                    map.insert(name.clone(), default.clone());
                }
            }
            map.retain(|key, value| {
                let inner = match (schema.properties.get(key), &schema.additional_properties) {
                    (Some(property), _) => property,
                    (None, Some(Additional::Schema(values))) => values,
                    (None, _) => return true,
                };
                fill(inner, value);
                !dropped_null(inner, value)
            });
        }
        Value::Array(list) => {
            let Some(items) = &schema.items else { return };
            for value in list {
                fill(items, value);
            }
        }
        _ => {}
    }
}

fn fill(schema: &Schema, value: &mut Value) {
    if dropped_null(schema, value)
        && let Some(default) = &schema.default
    {
        value.clone_from(default);
    }
    default(schema, value);
}
