//! JSON patch (RFC 6902) as kube-apiserver understands it.

use json_patch::{PatchErrorKind, PatchOperation, patch_unsafe};
use serde_json::Value;

use crate::server::status::{ApiError, ApiResult};

/// Operations in a patch (kube-apiserver, `maxJSONPatchOperations`).
const MAX_OPERATIONS: usize = 10_000;

/// Bytes that all `copy` operations of a patch may add (kube-apiserver, `JSONPatchMaxCopyBytes`).
const MAX_COPIED: usize = 3 * 1024 * 1024;

/// Elements that all operations of a patch may move: those of each list that something is put into or
/// taken out of, and what is inside of what is moved. Else ten thousand steps at the beginning of a list
/// of a million elements would take minutes.
const MAX_MOVED: usize = 20_000_000;

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
    let mut spent = Spent::default();
    for operation in operations {
        step(&mut document, operation, &mut spent)?;
    }
    Ok(document)
}

/// What the operations of a patch have cost so far.
#[derive(Default)]
struct Spent {
    copied: usize,
    moved: usize,
}

fn step(document: &mut Value, operation: &Value, spent: &mut Spent) -> ApiResult<()> {
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
    let from = match &operation {
        PatchOperation::Move(r#move) => Some(r#move.from.as_ptr()),
        _ => None,
    };
    for path in [Some(operation.path()), from].into_iter().flatten() {
        let list = parent(path).and_then(|path| document.pointer(&path)?.as_array().map(Vec::len));
        spent.moved += list.unwrap_or(0);
    }
    let null = Value::Null;
    let source = match &operation {
        PatchOperation::Add(add) => &add.value,
        PatchOperation::Replace(replace) => &replace.value,
        PatchOperation::Move(r#move) => document.pointer(r#move.from.as_str()).unwrap_or(&null),
        PatchOperation::Copy(copy) => {
            let source = document.pointer(copy.from.as_str()).unwrap_or(&null);
            spent.copied += source.to_string().len();
            source
        }
        PatchOperation::Remove(_) | PatchOperation::Test(_) => &null,
    };
    if spent.copied > MAX_COPIED {
        return Err(too_large(format!(
            "The operations of a JSON patch may copy {MAX_COPIED} bytes"
        )));
    }
    if !fits(source, MAX_DEPTH.saturating_sub(operation.path().count()), &mut spent.moved) {
        return Err(rejected("the object would be nested too deep"));
    }
    if spent.moved > MAX_MOVED {
        return Err(too_large(format!(
            "The operations of a JSON patch may move {MAX_MOVED} elements"
        )));
    }
    patch_unsafe(document, &[operation]).map_err(|error| match error.kind {
        PatchErrorKind::TestFailed => rejected("testing value failed"),
        _ => rejected(&error.to_string()),
    })
}

/// Whether `value` is at most `depth` deep. Counts what is in it.
fn fits(value: &Value, depth: usize, seen: &mut usize) -> bool {
    let Some(below) = depth.checked_sub(1) else { return false };
    *seen += 1;
    match value {
        Value::Array(items) => items.iter().all(|item| fits(item, below, seen)),
        Value::Object(fields) => fields.values().all(|field| fits(field, below, seen)),
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
