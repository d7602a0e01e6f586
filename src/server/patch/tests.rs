//! Each dialect with the points in which it differs from what one expects.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{json as json_patch, merge, strategic};

fn code(result: crate::server::status::ApiResult<Value>) -> (u16, &'static str) {
    let error = result.unwrap_err();
    (error.code, error.reason)
}

#[test]
fn json_patch_knows_all_operations() {
    let document = json!({"a": {"b": [1, 2]}, "c": "x"});
    let patch = json!([
        {"op": "test", "path": "/c", "value": "x"},
        {"op": "add", "path": "/a/b/-", "value": 3},
        {"op": "add", "path": "/a/b/0", "value": 0},
        {"op": "replace", "path": "/c", "value": "y"},
        {"op": "copy", "from": "/c", "path": "/d"},
        {"op": "move", "from": "/a/b", "path": "/e~1f"},
        {"op": "remove", "path": "/a"},
    ]);
    let expected = json!({"c": "y", "d": "y", "e/f": [0, 1, 2, 3]});
    assert_eq!(json_patch(&document, &patch).unwrap(), expected);
}

#[test]
fn json_patch_speaks_the_dialect_of_go() {
    let document = json!({"metadata": {"name": "a"}, "list": [1]});
    // What kube-rs sends to add a finalizer.
    let patch = json!([
        {"op": "test", "path": "/metadata/finalizers", "value": null},
        {"op": "add", "path": "/metadata/finalizers", "value": ["f"]},
    ]);
    let with = json_patch(&document, &patch).unwrap();
    assert_eq!(with["metadata"]["finalizers"], json!(["f"]));
    assert_eq!(code(json_patch(&with, &patch)), (422, "Invalid"), "now there is one");
    // A missing value is null.
    let patch =
        json!([{"op": "test", "path": "/metadata/finalizers"}, {"op": "add", "path": "/x"}]);
    assert_eq!(json_patch(&document, &patch).unwrap()["x"], Value::Null);
    let patch = json!([{"op": "replace", "path": "/metadata/labels", "value": {}}]);
    assert_eq!(json_patch(&document, &patch).unwrap()["metadata"]["labels"], json!({}));
    // Only where the object is there, only in objects, and not for other values.
    for operation in [
        json!({"op": "test", "path": "/no/finalizers", "value": null}),
        json!({"op": "test", "path": "/metadata/finalizers", "value": []}),
        json!({"op": "test", "path": "/list/5", "value": null}),
        json!({"op": "replace", "path": "/no/finalizers", "value": []}),
        json!({"op": "replace", "path": "/list/5", "value": 1}),
        json!({"op": "remove", "path": "/metadata/finalizers"}),
    ] {
        assert_eq!(
            code(json_patch(&document, &json!([operation]))),
            (422, "Invalid"),
            "{operation}"
        );
    }
}

#[test]
fn json_patch_refuses_what_is_none() {
    for patch in [json!({}), json!("x"), json!(null), json!([1]), json!([[]])] {
        assert_eq!(code(json_patch(&json!({}), &patch)), (400, "BadRequest"), "{patch}");
    }
    for operation in [
        json!({}),
        json!({"op": "test"}),
        json!({"op": "fly", "path": "/a"}),
        json!({"op": "add", "path": "a", "value": 1}),
        json!({"op": "add", "path": 1, "value": 1}),
        json!({"op": "copy", "path": "/a"}),
        json!({"op": "copy", "from": "/no", "path": "/a"}),
        json!({"op": "move", "from": "/m", "path": "/m/x"}),
        json!({"op": "remove", "path": ""}),
        json!({"op": "add", "path": "/l/9", "value": 1}),
        json!({"op": "add", "path": "/l/x", "value": 1}),
    ] {
        let document = json!({"m": {"x": 1}, "l": [1]});
        let error = json_patch(&document, &json!([operation])).unwrap_err();
        assert_eq!((error.code, error.reason), (422, "Invalid"), "{operation}");
        assert_eq!(error.body()["details"], json!({}));
    }
}

#[test]
fn json_patch_is_bounded() {
    let many = |n| Value::Array(vec![json!({"op": "test", "path": "/a", "value": 1}); n]);
    assert!(json_patch(&json!({"a": 1}), &many(10_000)).is_ok());
    assert_eq!(code(json_patch(&json!({"a": 1}), &many(10_001))), (413, "RequestEntityTooLarge"));
    // Doubling thirty times would make a gigabyte of one byte.
    let double = vec![json!({"op": "copy", "from": "/a", "path": "/a/-"}); 30];
    assert_eq!(
        code(json_patch(&json!({"a": ["x".repeat(1000)]}), &Value::Array(double))),
        (413, "RequestEntityTooLarge")
    );
    // Ten thousand steps at the beginning of a long list.
    let long = json!({"a": vec![0; 1_000_000]});
    for operation in [
        json!({"op": "add", "path": "/a/0", "value": 1}),
        json!({"op": "remove", "path": "/a/0"}),
        json!({"op": "move", "from": "/a", "path": "/a"}),
        json!({"op": "move", "from": "/a/0", "path": "/a/-"}),
    ] {
        let patch = Value::Array(vec![operation.clone(); 10_000]);
        assert_eq!(code(json_patch(&long, &patch)), (413, "RequestEntityTooLarge"), "{operation}");
    }
    // Nesting by many small steps.
    let mut path = String::new();
    let steps: Vec<Value> = (0..2000)
        .map(|_| {
            path.push_str("/a");
            json!({"op": "add", "path": path, "value": {}})
        })
        .collect();
    assert_eq!(code(json_patch(&json!({}), &Value::Array(steps))), (422, "Invalid"));
    let nest = vec![json!({"op": "copy", "from": "/a", "path": "/a/a"}); 200];
    assert_eq!(code(json_patch(&json!({"a": {}}), &Value::Array(nest))), (422, "Invalid"));
}

#[test]
fn merge_patch_follows_the_rfc() {
    // The table of RFC 7386, appendix A, as far as documents and patches are objects.
    for (document, patch, result) in [
        (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
        (json!({"a": "b"}), json!({"a": null}), json!({})),
        (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
        (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
        (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
        (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
        (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
        (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
    ] {
        assert_eq!(merge(&document, &patch).unwrap(), result, "{patch}");
    }
    for patch in [json!([]), json!(null), json!("x")] {
        assert_eq!(code(merge(&json!({}), &patch)), (400, "BadRequest"));
    }
}

#[test]
fn strategic_is_a_merge_patch_but_for_some_lists() {
    let document =
        json!({"metadata": {"labels": {"a": "1", "b": "2"}}, "spec": {"usages": ["x"], "n": 1}});
    let patch =
        json!({"metadata": {"labels": {"a": null, "c": "3"}}, "spec": {"usages": ["y"], "n": 2}});
    let expected =
        json!({"metadata": {"labels": {"b": "2", "c": "3"}}, "spec": {"usages": ["y"], "n": 2}});
    assert_eq!(strategic(&document, &patch).unwrap(), expected);
}

#[test]
fn owners_and_conditions_are_merged_by_key() {
    let owner = |uid: &str, name: &str| json!({"uid": uid, "name": name});
    let document = json!({
        "metadata": {"ownerReferences": [owner("1", "a"), owner("2", "b")]},
        "status": {"conditions": [{"type": "Ready", "status": "True", "reason": "r"}]},
    });
    let patch = json!({
        "metadata": {"ownerReferences": [{"uid": "2", "name": "B"}, owner("3", "c"), {"$patch": "delete", "uid": "1"}]},
        "status": {"conditions": [{"type": "Ready", "status": "False"}, {"type": "Done", "status": "True"}]},
    });
    let after = strategic(&document, &patch).unwrap();
    assert_eq!(after["metadata"]["ownerReferences"], json!([owner("2", "B"), owner("3", "c")]));
    assert_eq!(
        after["status"]["conditions"],
        json!([{"type": "Ready", "status": "False", "reason": "r"}, {"type": "Done", "status": "True"}])
    );
    // Elsewhere the same list is replaced.
    let patch = json!({"spec": {"conditions": [{"type": "x"}]}});
    let document = json!({"spec": {"conditions": [{"type": "y"}]}});
    assert_eq!(strategic(&document, &patch).unwrap(), patch);
}

#[test]
fn kubectl_orders_and_deletes() {
    let document = json!({"metadata": {"finalizers": ["a", "b", "c"], "ownerReferences": [{"uid": "1"}, {"uid": "2"}]}});
    let patch = json!({"metadata": {
        "$deleteFromPrimitiveList/finalizers": ["b"],
        "$setElementOrder/finalizers": ["d", "a"],
        "finalizers": ["d", "a"],
        "$setElementOrder/ownerReferences": [{"uid": "2"}, {"uid": "1"}],
    }});
    let after = strategic(&document, &patch).unwrap();
    assert_eq!(
        after["metadata"],
        json!({"finalizers": ["d", "c", "a"], "ownerReferences": [{"uid": "2"}, {"uid": "1"}]})
    );
    // Directives alone, without the list.
    let patch = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a", "c"]}});
    assert_eq!(strategic(&document, &patch).unwrap()["metadata"]["finalizers"], json!(["b"]));
    let patch = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}});
    assert_eq!(strategic(&json!({}), &patch).unwrap(), json!({"metadata": {}}));
}

#[test]
fn the_patch_directive_replaces_and_deletes() {
    let document =
        json!({"data": {"a": "1", "b": "2"}, "metadata": {"ownerReferences": [{"uid": "1"}]}});
    let with = |data: Value| strategic(&document, &json!({"data": data})).unwrap()["data"].clone();
    assert_eq!(with(json!({"$patch": "replace", "c": "3"})), json!({"c": "3"}));
    assert_eq!(with(json!({"$patch": "merge", "c": "3"})), json!({"a": "1", "b": "2", "c": "3"}));
    assert_eq!(with(json!({"$patch": "delete"})), Value::Null);
    assert_eq!(with(json!({"$retainKeys": ["a", "c"], "c": "3"})), json!({"a": "1", "c": "3"}));
    let patch = json!({"metadata": {"ownerReferences": [{"$patch": "replace"}, {"uid": "9"}]}});
    assert_eq!(
        strategic(&document, &patch).unwrap()["metadata"]["ownerReferences"],
        json!([{"uid": "9"}])
    );
}

#[test]
fn wrong_directives_are_refused() {
    let document = json!({"metadata": {"finalizers": ["a"]}});
    for patch in [
        json!([]),
        json!(1),
        json!({"$patch": "explode"}),
        json!({"metadata": {"$patch": 1}}),
        json!({"$unknown": 1}),
        json!({"metadata": {"$setElementOrder": []}}),
        json!({"$retainKeys": ["a"], "b": 1}),
        json!({"$retainKeys": "a"}),
        json!({"metadata": {"$setElementOrder/finalizers": "a"}}),
        json!({"metadata": {"$deleteFromPrimitiveList/finalizers": {}}}),
        json!({"metadata": {"ownerReferences": [{"name": "without uid"}]}}),
        json!({"metadata": {"ownerReferences": ["x"]}}),
    ] {
        assert_eq!(code(strategic(&document, &patch)), (400, "BadRequest"), "{patch}");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let name = proptest::sample::select(vec![
        "metadata",
        "finalizers",
        "ownerReferences",
        "uid",
        "status",
        "conditions",
        "type",
        "$patch",
        "$retainKeys",
        "$setElementOrder/finalizers",
        "$deleteFromPrimitiveList/finalizers",
        "op",
        "path",
        "from",
        "value",
        "a",
    ]);
    let text = proptest::sample::select(vec![
        "delete", "replace", "merge", "add", "test", "copy", "move", "remove", "/a", "", "/a/0",
        "/a/-", "a", "~", "/~2",
    ]);
    let scalar =
        prop_oneof![Just(Value::Null), (0..3).prop_map(Value::from), text.prop_map(Value::from)];
    scalar.prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name.clone().prop_map(str::to_owned), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_patch_panics(document in any_json(), patch in any_json()) {
        let _ = json_patch(&document, &patch);
        let _ = json_patch(&document, &json!([patch, patch]));
        let _ = strategic(&document, &patch);
        if let Ok(merged) = merge(&document, &patch) {
            prop_assert_eq!(merge(&merged, &patch).unwrap(), merged);
        }
    }
}
