//! Defaults of fields that are not given.

use serde_json::Value;

use super::{Additional, Schema, dropped_null};

/// Values that defaults may add to one object. Defaults in the elements of a default, or in a list of a
/// million empty elements, would else make gigabytes of a few bytes.
const MOST_ADDED: usize = 200_000;

/// Fills in what is not given. A null where null is no value counts as not given: it becomes the
/// default, or goes if there is none (in a list it stays, for validation to refuse). False: that would
/// be too much, and some of it is missing.
pub fn default(schema: &Schema, value: &mut Value) -> bool {
    let mut room = MOST_ADDED;
    walk(schema, value, &mut room);
    room > 0
}

fn walk(schema: &Schema, value: &mut Value, room: &mut usize) {
    if *room == 0 {
        return;
    }
    match value {
        Value::Object(map) => {
            for (name, property) in &schema.properties {
                let Some(default) = &property.default else { continue };
                if !map.contains_key(name) && *room > 0 {
                    *room = room.saturating_sub(size(default));
                    map.insert(name.clone(), default.clone());
                }
            }
            map.retain(|key, value| {
                let inner = match (schema.properties.get(key), &schema.additional_properties) {
                    (Some(property), _) => property,
                    (None, Some(Additional::Schema(values))) => values,
                    (None, _) => return true,
                };
                fill(inner, value, room);
                !dropped_null(inner, value)
            });
        }
        Value::Array(list) => {
            let Some(items) = &schema.items else { return };
            for value in list {
                fill(items, value, room);
            }
        }
        _ => {}
    }
}

fn fill(schema: &Schema, value: &mut Value, room: &mut usize) {
    if dropped_null(schema, value)
        && let Some(default) = &schema.default
    {
        *room = room.saturating_sub(size(default));
        if *room > 0 {
            value.clone_from(default);
        }
    }
    walk(schema, value, room);
}

/// How many values there are in a value.
fn size(value: &Value) -> usize {
    match value {
        Value::Array(list) => 1 + list.iter().map(size).sum::<usize>(),
        Value::Object(map) => 1 + map.values().map(size).sum::<usize>(),
        _ => 1,
    }
}
