//! JSON merge patch (RFC 7386).

use serde_json::{Map, Value};

use crate::server::status::{ApiError, ApiResult};

/// `document` with the fields of `patch`; a field that is null in the patch goes.
///
/// # Errors
/// 400 if the patch is no object: it would replace the whole object.
pub fn merge(document: &Value, patch: &Value) -> ApiResult<Value> {
    let Value::Object(patch) = patch else {
        return Err(ApiError::bad_request("a merge patch must be an object"));
    };
    let mut document = document.clone();
    merge_into(&mut document, patch);
    Ok(document)
}

fn merge_into(target: &mut Value, patch: &Map<String, Value>) {
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else { return };
    for (name, value) in patch {
        match value {
            Value::Null => drop(target.remove(name)),
            Value::Object(value) => {
                merge_into(target.entry(name.as_str()).or_insert(Value::Null), value);
            }
            other => drop(target.insert(name.clone(), other.clone())),
        }
    }
}
