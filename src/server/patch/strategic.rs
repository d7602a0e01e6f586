//! Strategic merge patch for built-in kinds: a merge patch that also knows how to merge some lists.
//!
//! In the kinds that this server has built in, three lists are merged: owner references by uid,
//! finalizers as a set, and conditions by type. Every other list is replaced. Directives are those
//! that kubectl writes (Kubernetes documentation, "Update API Objects in Place Using kubectl patch",
//! and the design document "strategic-merge-patch").

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::server::status::{ApiError, ApiResult};

/// How a list is merged.
#[derive(Clone, Copy)]
enum List {
    Replace,
    Set,
    Keyed(&'static str),
}

impl List {
    /// What tells an element from the others.
    fn name(self, item: &Value) -> Option<String> {
        match self {
            Self::Replace => None,
            Self::Set => Some(item.to_string()),
            Self::Keyed(key) => item.get(key).map(Value::to_string),
        }
    }
}

/// What a patch says of one field beside its value.
#[derive(Default)]
struct Extra<'p> {
    delete: Option<&'p Value>,
    order: Option<&'p Value>,
}

/// `document` with the fields of `patch`.
///
/// # Errors
/// 400 if the patch is no object, or has directives that are unknown or used in a wrong way.
pub fn strategic(document: &Value, patch: &Value) -> ApiResult<Value> {
    let (Value::Object(document), Value::Object(patch)) = (document, patch) else {
        return Err(ApiError::bad_request("a strategic merge patch must be an object"));
    };
    Ok(Value::Object(merge_map(document.clone(), patch, &mut Vec::new())?))
}

fn merge_map<'p>(
    mut target: Map<String, Value>,
    patch: &'p Map<String, Value>,
    at: &mut Vec<&'p str>,
) -> ApiResult<Map<String, Value>> {
    match directive(patch)? {
        Some("delete") => return Ok(Map::new()),
        Some("replace") => target.clear(),
        _ => {}
    }
    if let Some(keep) = patch.get("$retainKeys") {
        let keep: BTreeSet<_> =
            list(keep, "$retainKeys")?.iter().filter_map(Value::as_str).collect();
        if patch.keys().any(|name| !name.starts_with('$') && !keep.contains(name.as_str())) {
            return Err(ApiError::bad_request("$retainKeys must name all fields of the patch"));
        }
        target.retain(|name, _| keep.contains(name.as_str()));
    }

    let mut extras = BTreeMap::<&str, Extra<'p>>::new();
    for (name, value) in patch.iter().filter(|(name, _)| name.starts_with('$')) {
        match name.split_once('/') {
            Some(("$deleteFromPrimitiveList", field)) => {
                extras.entry(field).or_default().delete = Some(value);
            }
            Some(("$setElementOrder", field)) => {
                extras.entry(field).or_default().order = Some(value);
            }
            _ if matches!(name.as_str(), "$patch" | "$retainKeys") => {}
            _ => return Err(ApiError::bad_request(format!("unknown directive {name:?}"))),
        }
    }

    for (name, value) in patch.iter().filter(|(name, _)| !name.starts_with('$')) {
        at.push(name);
        let merged = match (target.remove(name), value) {
            (_, Value::Null) => None,
            (old, Value::Object(patch)) => {
                let old = if let Some(Value::Object(old)) = old { old } else { Map::new() };
                let merged = merge_map(old, patch, at)?;
                (directive(patch)? != Some("delete")).then_some(Value::Object(merged))
            }
            (Some(Value::Array(old)), Value::Array(items)) => {
                Some(merge_list(old, items, list_kind(at), at)?)
            }
            (_, Value::Array(items)) => Some(merge_list(Vec::new(), items, list_kind(at), at)?),
            (_, scalar) => Some(scalar.clone()),
        };
        at.pop();
        if let Some(merged) = merged {
            target.insert(name.clone(), merged);
        }
    }

    for (name, extra) in extras {
        at.push(name);
        let kind = list_kind(at);
        at.pop();
        let Some(Value::Array(items)) = target.get_mut(name) else { continue };
        if let Some(gone) = extra.delete {
            let gone = list(gone, "$deleteFromPrimitiveList")?;
            let gone: BTreeSet<String> = gone.iter().map(Value::to_string).collect();
            items.retain(|item| !gone.contains(&item.to_string()));
        }
        if let Some(order) = extra.order {
            set_order(items, list(order, "$setElementOrder")?, kind);
        }
    }
    Ok(target)
}

fn merge_list<'p>(
    old: Vec<Value>,
    patch: &'p [Value],
    kind: List,
    at: &mut Vec<&'p str>,
) -> ApiResult<Value> {
    if let List::Replace = kind {
        return Ok(patch.into());
    }
    let replaces = |item: &Value| item.get("$patch").is_some_and(|p| p == "replace");
    if let Some(marker) = patch.iter().find(|item| replaces(item))
        && kind.name(marker).is_none()
    {
        return Ok(patch.iter().filter(|item| !replaces(item)).cloned().collect());
    }
    let mut places = BTreeMap::new();
    let mut merged: Vec<Option<Value>> = Vec::with_capacity(old.len() + patch.len());
    for item in old {
        if let Some(name) = kind.name(&item) {
            places.insert(name, merged.len());
        }
        merged.push(Some(item));
    }
    for item in patch {
        let name = kind.name(item).ok_or_else(|| {
            ApiError::bad_request("an element of the patch lacks the key that it is merged by")
        })?;
        let place = *places.entry(name).or_insert_with(|| {
            merged.push(None);
            merged.len() - 1
        });
        let Some(old) = merged.get_mut(place) else { continue };
        *old = match (item, old.take()) {
            (Value::Object(item), _) if directive(item)? == Some("delete") => None,
            (Value::Object(item), Some(Value::Object(old))) => {
                Some(Value::Object(merge_map(old, item, at)?))
            }
            (Value::Object(item), _) => Some(Value::Object(merge_map(Map::new(), item, at)?)),
            (item, old) => old.or_else(|| Some(item.clone())),
        };
    }
    Ok(merged.into_iter().flatten().collect())
}

/// Puts the elements that `order` names into its order. All others stay where they are.
fn set_order(items: &mut Vec<Value>, order: &[Value], kind: List) {
    let order = order.iter().enumerate().filter_map(|(i, item)| Some((kind.name(item)?, i)));
    let ranks: BTreeMap<String, usize> = order.collect();
    let rank = |item: &Value| ranks.get(&kind.name(item)?).copied();
    let ranked: Vec<_> =
        std::mem::take(items).into_iter().map(|item| (rank(&item), item)).collect();
    let mut moved: Vec<_> = ranked.iter().filter(|(rank, _)| rank.is_some()).cloned().collect();
    moved.sort_by_key(|(rank, _)| *rank);
    let mut moved = moved.into_iter().map(|(_, item)| item);
    items.extend(ranked.into_iter().filter_map(|(rank, item)| match rank {
        Some(_) => moved.next(),
        None => Some(item),
    }));
}

fn list_kind(path: &[&str]) -> List {
    match path {
        ["metadata", "ownerReferences"] => List::Keyed("uid"),
        ["metadata", "finalizers"] => List::Set,
        ["status", "conditions"] => List::Keyed("type"),
        _ => List::Replace,
    }
}

fn directive(patch: &Map<String, Value>) -> ApiResult<Option<&str>> {
    match patch.get("$patch") {
        None => Ok(None),
        Some(Value::String(name)) if matches!(name.as_str(), "delete" | "merge" | "replace") => {
            Ok(Some(name))
        }
        Some(other) => Err(ApiError::bad_request(format!("unknown patch type {other}"))),
    }
}

fn list<'v>(value: &'v Value, what: &str) -> ApiResult<&'v [Value]> {
    value
        .as_array()
        .map(Vec::as_slice)
        .ok_or_else(|| ApiError::bad_request(format!("{what} must be a list")))
}
