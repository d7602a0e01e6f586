//! JSON patch (RFC 6902) as kube-apiserver understands it.

use json_patch::{PatchErrorKind, PatchOperation, patch_unsafe};
use serde_json::Value;

use crate::server::status::{ApiError, ApiResult};

/// Operations in a patch (kube-apiserver, `maxJSONPatchOperations`).
const MAX_OPERATIONS: usize = 10_000;

/// Bytes that all `copy` operations of a patch may add (kube-apiserver, `JSONPatchMaxCopyBytes`).
const MAX_COPIED: usize = 3 * 1024 * 1024;

/// How deep a patch may make an object: what is stored must be readable again.
const MAX_DEPTH: usize = 120;

/// `document` after all operations of `patch`.
///
/// Go's library differs from the RFC in two points that clients rely on (kube-rs' finalizers begin
/// with such a test): `test` for null passes where nothing is, and `replace` sets a field that is
/// not there.
///
/// # Errors
/// 400 if the patch is no list of objects; 413 with more than 10 000 operations or too much copied;
/// 422 without details if an operation fails.
pub fn json(document: &Value, patch: &Value) -> ApiResult<Value> {
    let Value::Array(operations) = patch else {
        return Err(ApiError::bad_request("a JSON patch must be a list of operations"));
    };
    if operations.len() > MAX_OPERATIONS {
        let n = operations.len();
        return Err(too_large(format!(
            "The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {n}"
        )));
    }
    if let Some(other) = operations.iter().find(|operation| !operation.is_object()) {
        let text: String = other.to_string().chars().take(80).collect();
        return Err(ApiError::bad_request(format!("not a JSON patch operation: {text}")));
    }
    let mut document = document.clone();
    let mut copied = 0;
    for operation in operations {
        step(&mut document, operation, &mut copied)?;
    }
    Ok(document)
}

fn step(document: &mut Value, operation: &Value, copied: &mut usize) -> ApiResult<()> {
    let mut operation = operation.clone();
    if let Some(fields) = operation.as_object_mut() {
        // Go reads a missing value as null.
        fields.entry("value").or_insert(Value::Null);
    }
    let mut operation: PatchOperation =
        serde_json::from_value(operation).map_err(|e| rejected(&e.to_string()))?;
    let missing = document.pointer(operation.path().as_str()).is_none();
    let parent = |path: &json_patch::jsonptr::Pointer| path.parent().map(|p| p.as_str().to_owned());
    let in_object = parent(operation.path())
        .is_some_and(|path| document.pointer(&path).is_some_and(Value::is_object));
    if missing && in_object {
        match operation {
            PatchOperation::Test(test) if test.value.is_null() => return Ok(()),
            PatchOperation::Replace(replace) => {
                let (path, value) = (replace.path, replace.value);
                operation = PatchOperation::Add(json_patch::AddOperation { path, value });
            }
            _ => {}
        }
    }
    let null = Value::Null;
    let source = match &operation {
        PatchOperation::Add(add) => &add.value,
        PatchOperation::Replace(replace) => &replace.value,
        PatchOperation::Move(r#move) => document.pointer(r#move.from.as_str()).unwrap_or(&null),
        PatchOperation::Copy(copy) => {
            let source = document.pointer(copy.from.as_str()).unwrap_or(&null);
            *copied += source.to_string().len();
            source
        }
        PatchOperation::Remove(_) | PatchOperation::Test(_) => &null,
    };
    if *copied > MAX_COPIED {
        return Err(too_large(format!(
            "The operations of a JSON patch may copy {MAX_COPIED} bytes"
        )));
    }
    if !fits(source, MAX_DEPTH.saturating_sub(operation.path().count())) {
        return Err(rejected("the object would be nested too deep"));
    }
    patch_unsafe(document, &[operation]).map_err(|error| match error.kind {
        PatchErrorKind::TestFailed => rejected("testing value failed"),
        _ => rejected(&error.to_string()),
    })
}

/// Whether `value` is at most `depth` deep.
fn fits(value: &Value, depth: usize) -> bool {
    let Some(below) = depth.checked_sub(1) else { return false };
    match value {
        Value::Array(items) => items.iter().all(|item| fits(item, below)),
        Value::Object(fields) => fields.values().all(|field| fits(field, below)),
        _ => true,
    }
}

fn rejected(why: &str) -> ApiError {
    ApiError::new(
        422,
        "Invalid",
        format!("the server rejected our request due to an error in our request: {why}"),
    )
}

fn too_large(message: String) -> ApiError {
    ApiError::new(413, "RequestEntityTooLarge", message)
}
