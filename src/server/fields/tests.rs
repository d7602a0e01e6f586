//! One test for each line of the wire contract's section on server-side apply, and the rules of
//! managed fields on other writes.

#![allow(
    clippy::many_single_char_names,
    clippy::needless_pass_by_value,
    reason = "objects have no names but their order, and json!() is a value"
)]

use serde_json::{Value, json};

use super::*;

/// A kind with every sort of field: `spec.nics` a map by name, `spec.tags` a set, `spec.dns` a list
/// without a type, `spec.raw` an atomic map, `spec.extra` anything, and conditions in the status.
pub(super) fn schema() -> Schema {
    serde_json::from_value(json!({
        "type": "object",
        "properties": {
            "spec": {"type": "object", "properties": {
                "cpu": {"type": "integer"},
                "region": {"type": "string"},
                "port": {"x-kubernetes-int-or-string": true},
                "nics": {"type": "array", "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                    "items": {"type": "object", "properties": {
                        "name": {"type": "string"}, "mac": {"type": "string"}, "mtu": {"type": "integer"}}}},
                "ports": {"type": "array", "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["port", "protocol"],
                    "items": {"type": "object", "properties": {
                        "port": {"type": "integer"}, "name": {"type": "string"},
                        "protocol": {"type": "string", "default": "TCP"}}}},
                "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
                "dns": {"type": "array", "items": {"type": "string"}},
                "raw": {"type": "object", "x-kubernetes-map-type": "atomic",
                    "additionalProperties": {"type": "string"}},
                "limits": {"type": "object", "additionalProperties": {"type": "string"}},
                "extra": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            }},
            "status": {"type": "object", "properties": {
                "phase": {"type": "string"},
                "conditions": {"type": "array", "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["type"],
                    "items": {"type": "object", "properties": {
                        "type": {"type": "string"}, "status": {"type": "string"}}}},
            }},
        },
    }))
    .unwrap()
}

pub(super) const VERSION: &str = "inv.example.com/v1";

pub(super) fn at(manager: &str, second: i64) -> Writer<'_> {
    let now = jiff::Timestamp::from_second(1_700_000_000 + second).unwrap();
    Writer { manager, api_version: VERSION, subresource: "", now }
}

fn status<'a>(writer: &Writer<'a>) -> Writer<'a> {
    Writer { subresource: "status", ..*writer }
}

pub(super) fn host(spec: Value) -> Value {
    json!({"apiVersion": VERSION, "kind": "Host", "metadata": {"name": "a", "namespace": "n"}, "spec": spec})
}

fn create(writer: &Writer<'_>, spec: Value) -> Value {
    let mut object = host(spec);
    record_update(None, &mut object, &schema(), writer);
    object
}

fn update(live: &Value, writer: &Writer<'_>, edit: impl Fn(&mut Value)) -> Value {
    let mut object = live.clone();
    edit(&mut object);
    record_update(Some(live), &mut object, &schema(), writer);
    object
}

fn applied(live: Option<&Value>, writer: &Writer<'_>, spec: Value) -> Value {
    apply(live, &host(spec), &schema(), writer, false).unwrap()
}

/// `manager/operation[/subresource]` and the fields of each entry.
fn owners(object: &Value) -> Vec<(String, Value)> {
    let entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    let name = |e: &Value| {
        let sub = e.get("subresource").map(|s| format!("/{}", text(s))).unwrap_or_default();
        format!("{}/{}{sub}", text(&e["manager"]), text(&e["operation"]))
    };
    entries.iter().map(|e| (name(e), e["fieldsV1"].clone())).collect()
}

fn names(object: &Value) -> Vec<String> {
    owners(object).into_iter().map(|(name, _)| name).collect()
}

fn fields_of(object: &Value, name: &str) -> Value {
    owners(object).into_iter().find(|(n, _)| n == name).map_or(Value::Null, |(_, fields)| fields)
}

fn time_of(object: &Value, manager: &str) -> String {
    let entries = object["metadata"]["managedFields"].as_array().unwrap();
    let entry = entries.iter().find(|e| e["manager"] == manager).unwrap();
    entry["time"].as_str().unwrap().to_owned()
}

// Create, update, patch.

#[test]
fn a_create_owns_all_but_the_identity() {
    let object = create(&at("curl", 0), json!({"cpu": 2, "nics": [{"name": "eth0", "mac": "m"}]}));
    let expected = json!([{
        "manager": "curl", "operation": "Update", "apiVersion": VERSION,
        "time": "2023-11-14T22:13:20Z", "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {".": {}, "f:cpu": {}, "f:nics": {".": {},
            "k:{\"name\":\"eth0\"}": {".": {}, "f:name": {}, "f:mac": {}}}}},
    }]);
    assert_eq!(object["metadata"]["managedFields"], expected);
}

#[test]
fn metadata_has_a_schema_of_its_own() {
    let mut object = host(json!({}));
    object["metadata"] = json!({
        "name": "a", "generateName": "a-", "uid": "u", "resourceVersion": "1", "generation": 1,
        "creationTimestamp": "2023-11-14T22:13:20Z", "deletionTimestamp": "2023-11-14T22:13:20Z",
        "deletionGracePeriodSeconds": 0, "selfLink": "s",
        "labels": {"a": "b"}, "annotations": {"c": "d"}, "finalizers": ["f"],
        "ownerReferences": [{"uid": "o", "name": "x", "kind": "K", "apiVersion": "v"}],
    });
    record_update(None, &mut object, &schema(), &at("curl", 0));
    assert_eq!(
        fields_of(&object, "curl/Update"),
        json!({"f:spec": {}, "f:metadata": {
            "f:generateName": {}, "f:labels": {".": {}, "f:a": {}},
            "f:annotations": {".": {}, "f:c": {}}, "f:finalizers": {".": {}, "v:\"f\"": {}},
            "f:ownerReferences": {".": {}, "k:{\"uid\":\"o\"}": {}}}})
    );
}

#[test]
fn an_update_takes_what_it_changes_from_all_others() {
    let a = applied(None, &at("fetcher", 0), json!({"cpu": 1, "region": "eu"}));
    let b = update(&a, &at("kubectl-edit", 5), |o| o["spec"]["cpu"] = json!(2));
    assert_eq!(names(&b), ["fetcher/Apply", "kubectl-edit/Update"]);
    assert_eq!(fields_of(&b, "fetcher/Apply"), json!({"f:spec": {"f:region": {}}}));
    assert_eq!(fields_of(&b, "kubectl-edit/Update"), json!({"f:spec": {"f:cpu": {}}}));
    assert_eq!(time_of(&b, "fetcher"), time_of(&a, "fetcher"), "it lost a field and did nothing");
    // Also from the same manager's own Apply entry.
    let c = update(&a, &at("fetcher", 5), |o| o["spec"]["cpu"] = json!(2));
    assert_eq!(names(&c), ["fetcher/Apply", "fetcher/Update"]);
}

#[test]
fn what_is_removed_belongs_to_nobody() {
    let a = create(&at("one", 0), json!({"cpu": 1, "region": "eu", "tags": ["x", "y"]}));
    let b = update(&a, &at("two", 5), |o| {
        o["spec"].as_object_mut().unwrap().remove("cpu");
        o["spec"]["tags"] = json!(["y"]);
    });
    assert_eq!(
        owners(&b),
        [(
            "one/Update".to_owned(),
            json!({"f:spec": {".": {}, "f:region": {}, "f:tags": {".": {}, "v:\"y\"": {}}}})
        )]
    );
    assert_eq!(time_of(&b, "one"), time_of(&a, "one"));
    let c = update(&b, &at("two", 6), |o| drop(o.as_object_mut().unwrap().remove("spec")));
    assert_eq!(c["metadata"].get("managedFields"), None, "empty entries go");
}

#[test]
fn time_moves_only_with_a_change() {
    let a = create(&at("one", 0), json!({"cpu": 1}));
    let b = update(&a, &at("one", 5), |_| ());
    assert_eq!(a, b);
    let c = update(&a, &at("one", 5), |o| o["spec"]["cpu"] = json!(2));
    assert_eq!(time_of(&c, "one"), "2023-11-14T22:13:25Z");
    assert_eq!(names(&c), ["one/Update"]);
}

#[test]
fn order_of_a_list_map_is_no_change_and_order_of_an_atomic_list_is() {
    let spec =
        json!({"nics": [{"name": "a"}, {"name": "b"}], "tags": ["x", "y"], "dns": ["p", "q"]});
    let a = create(&at("one", 0), spec);
    let b = update(&a, &at("two", 1), |o| {
        o["spec"]["nics"].as_array_mut().unwrap().reverse();
        o["spec"]["tags"].as_array_mut().unwrap().reverse();
    });
    assert_eq!(names(&b), ["one/Update"]);
    let c = update(&a, &at("two", 1), |o| o["spec"]["dns"].as_array_mut().unwrap().reverse());
    assert_eq!(fields_of(&c, "two/Update"), json!({"f:spec": {"f:dns": {}}}));
}

#[test]
fn a_client_that_sends_no_managed_fields_loses_none() {
    let a = create(&at("one", 0), json!({"cpu": 1}));
    for sent in
        [None, Some(json!(null)), Some(json!([{"operation": "Nonsense"}])), Some(json!("x"))]
    {
        let b = update(&a, &at("two", 1), |o| {
            let metadata = o["metadata"].as_object_mut().unwrap();
            metadata.remove("managedFields");
            if let Some(sent) = &sent {
                metadata.insert("managedFields".to_owned(), sent.clone());
            }
        });
        assert_eq!(a, b, "{sent:?}");
    }
}

#[test]
fn managed_fields_can_be_cleared_and_edited() {
    let a = create(&at("one", 0), json!({"cpu": 1}));
    let same = update(&a, &at("two", 1), |o| o["metadata"]["managedFields"] = json!([]));
    assert_eq!(same, a, "an empty list says nothing");
    {
        let b = update(&a, &at("two", 1), |o| o["metadata"]["managedFields"] = json!([{}]));
        assert_eq!(b["metadata"].get("managedFields"), None);
        // Not tracked again before somebody applies; then what was there belongs to nobody known.
        let c = update(&b, &at("two", 1), |o| o["spec"]["cpu"] = json!(3));
        assert_eq!(c["metadata"].get("managedFields"), None);
        let d = applied(Some(&c), &at("three", 2), json!({"region": "eu"}));
        assert_eq!(names(&d), ["three/Apply", "before-first-apply/Update"]);
        assert_eq!(
            fields_of(&d, "before-first-apply/Update"),
            json!({"f:spec": {".": {}, "f:cpu": {}}})
        );
    }
    // kubectl's migration renames a manager.
    let b = update(&a, &at("kubectl", 1), |o| {
        o["metadata"]["managedFields"][0]["manager"] = json!("other");
    });
    assert_eq!(names(&b), ["other/Update"]);
    // Not through a subresource.
    let b = update(&a, &status(&at("two", 1)), |o| o["metadata"]["managedFields"] = json!([]));
    assert_eq!(names(&b), ["one/Update"]);
}

#[test]
fn entries_are_kept_by_manager_operation_version_and_subresource() {
    let mut object = create(&at("x", 0), json!({"cpu": 1}));
    object = update(&object, &status(&at("x", 1)), |o| o["status"] = json!({"phase": "Up"}));
    object = applied(Some(&object), &at("x", 2), json!({"region": "eu"}));
    let v2 = Writer { api_version: "inv.example.com/v2", ..at("x", 3) };
    object = update(&object, &v2, |o| o["spec"]["port"] = json!("http"));
    assert_eq!(names(&object), ["x/Apply", "x/Update", "x/Update/status", "x/Update"]);
}

#[test]
fn at_most_ten_updates_are_kept_apart() {
    let mut object = create(&at("m0", 0), json!({}));
    for i in 1..15 {
        let name = format!("m{i}");
        let edit = |o: &mut Value| o["spec"]["limits"][&name] = json!("1");
        object = update(&object, &at(&name, i), edit);
    }
    let names = names(&object);
    assert_eq!(names.len(), 10, "{names:?}");
    assert_eq!(names[0], "ancient-changes/Update");
    assert_eq!(names[9], "m14/Update");
    let ancient = &fields_of(&object, "ancient-changes/Update")["f:spec"]["f:limits"];
    let oldest: Vec<_> = ancient.as_object().unwrap().keys().collect();
    assert_eq!(oldest, [".", "f:m1", "f:m2", "f:m3", "f:m4", "f:m5"]);
    assert_eq!(time_of(&object, "ancient-changes"), "2023-11-14T22:13:25Z");
}

#[test]
fn values_of_another_kind_are_changes_of_the_whole() {
    let a = create(&at("one", 0), json!({"extra": {"x": {"y": 1}, "l": [1]}}));
    assert_eq!(
        fields_of(&a, "one/Update"),
        json!({"f:spec": {".": {}, "f:extra": {".": {}, "f:l": {}, "f:x": {".": {}, "f:y": {}}}}})
    );
    let b = update(&a, &at("two", 1), |o| o["spec"]["extra"]["x"] = json!("text"));
    assert_eq!(fields_of(&b, "one/Update")["f:spec"]["f:extra"], json!({".": {}, "f:l": {}}));
    assert_eq!(fields_of(&b, "two/Update"), json!({"f:spec": {"f:extra": {"f:x": {}}}}));
}

// Server-side apply.

#[test]
fn apply_creates_and_owns_what_it_sets() {
    let object = applied(
        None,
        &at("fetcher", 0),
        json!({
            "cpu": 2, "port": "http", "nics": [{"name": "eth0", "mac": "m"}], "tags": ["a"],
            "dns": ["1", "2"], "raw": {"k": "v"}, "limits": {"x": "1"}, "extra": {"a": {"b": [1]}},
        }),
    );
    assert_eq!(object["spec"]["cpu"], 2);
    assert_eq!(
        owners(&object),
        [(
            "fetcher/Apply".to_owned(),
            json!({"f:spec": {
            "f:cpu": {}, "f:port": {}, "f:dns": {}, "f:raw": {}, "f:limits": {"f:x": {}},
            "f:nics": {"k:{\"name\":\"eth0\"}": {".": {}, "f:name": {}, "f:mac": {}}},
            "f:tags": {"v:\"a\"": {}},
            "f:extra": {"f:a": {".": {}, "f:b": {}}}}})
        )]
    );
}

#[test]
fn an_identical_apply_is_no_change_at_all() {
    let spec = json!({"cpu": 2, "nics": [{"name": "eth0", "mac": "m"}], "tags": ["a", "b"]});
    let a = applied(None, &at("fetcher", 0), spec.clone());
    let b = applied(Some(&a), &at("fetcher", 99), spec);
    assert_eq!(a, b);
}

#[test]
fn equal_values_are_shared() {
    let a = applied(None, &at("one", 0), json!({"cpu": 2}));
    let b = applied(Some(&a), &at("two", 1), json!({"cpu": 2}));
    assert_eq!(names(&b), ["one/Apply", "two/Apply"]);
    assert_eq!(fields_of(&b, "one/Apply"), fields_of(&b, "two/Apply"));
    // One of them lets go: the value stays. Both: it goes.
    let c = applied(Some(&b), &at("one", 2), json!({}));
    assert_eq!(c["spec"]["cpu"], 2);
    assert_eq!(names(&c), ["two/Apply", "one/Apply"]);
    let d = applied(Some(&c), &at("two", 3), json!({"region": "eu"}));
    assert_eq!(d["spec"], json!({"region": "eu"}));
}

#[test]
fn another_value_is_a_conflict() {
    let nic = |mac: &str| json!({"cpu": mac.len(), "nics": [{"name": "eth0", "mac": mac}]});
    let a = applied(None, &at("fetcher", 0), nic("m"));
    let e = apply(Some(&a), &host(nic("other")), &schema(), &at("x", 1), false).unwrap_err();
    assert_eq!((e.code, e.reason), (409, "Conflict"));
    assert_eq!(
        e.message,
        "Apply failed with 2 conflicts: conflicts with \"fetcher\":\n- .spec.cpu\n- .spec.nics[name=\"eth0\"].mac"
    );
    let cause = Cause::new("FieldManagerConflict", ".spec.cpu", "conflict with \"fetcher\"");
    assert_eq!(e.details.causes[0], cause);
    assert_eq!(e.details.causes[1].field, ".spec.nics[name=\"eth0\"].mac");
    assert_eq!(e.body()["details"].as_object().unwrap().keys().collect::<Vec<_>>(), ["causes"]);
}

#[test]
fn conflicts_name_updates_with_version_and_subresource() {
    let a = create(&at("kubectl-edit", 0), json!({"cpu": 1}));
    let a = update(&a, &status(&at("agent", 1)), |o| o["status"] = json!({"phase": "Up"}));
    let e = apply(Some(&a), &host(json!({"cpu": 2})), &schema(), &at("x", 1), false).unwrap_err();
    assert_eq!(
        e.details.causes[0].message,
        "conflict with \"kubectl-edit\" using inv.example.com/v1"
    );
    assert_eq!(
        e.message,
        "Apply failed with 1 conflict: conflict with \"kubectl-edit\" using inv.example.com/v1: .spec.cpu"
    );
    let mut config = host(json!({"cpu": 1}));
    config["status"] = json!({"phase": "Down"});
    let e = apply(Some(&a), &config, &schema(), &at("x", 1), false).unwrap_err();
    assert_eq!(
        e.details.causes[0].message,
        "conflict with \"agent\" with subresource \"status\" using inv.example.com/v1"
    );
    // An Apply does not spare the Update entry of the same name.
    let e = apply(Some(&a), &host(json!({"cpu": 2})), &schema(), &at("kubectl-edit", 1), false);
    assert_eq!(e.unwrap_err().code, 409);
}

#[test]
fn force_takes_the_fields() {
    let a = applied(None, &at("one", 0), json!({"cpu": 1, "region": "eu"}));
    let b = apply(Some(&a), &host(json!({"cpu": 2})), &schema(), &at("two", 1), true).unwrap();
    assert_eq!(b["spec"], json!({"cpu": 2, "region": "eu"}));
    assert_eq!(fields_of(&b, "one/Apply"), json!({"f:spec": {"f:region": {}}}));
    assert_eq!(fields_of(&b, "two/Apply"), json!({"f:spec": {"f:cpu": {}}}));
    let c =
        apply(Some(&b), &host(json!({"cpu": 3, "region": "us"})), &schema(), &at("two", 2), true);
    assert_eq!(names(&c.unwrap()), ["two/Apply"], "an entry without fields goes");
}

#[test]
fn what_is_omitted_goes() {
    let with = |spec: Value, labels: Value| {
        let mut config = host(spec);
        config["metadata"]["labels"] = labels;
        config
    };
    let full = with(
        json!({"cpu": 1, "tags": ["a", "b"], "dns": ["1"], "raw": {"k": "v"}, "limits": {"x": "1", "y": "2"},
            "nics": [{"name": "eth0", "mac": "m", "mtu": 9}, {"name": "eth1"}]}),
        json!({"l": "1", "m": "2"}),
    );
    let less = with(
        json!({"tags": ["b"], "limits": {"x": "1"}, "nics": [{"name": "eth0", "mac": "m"}]}),
        json!({"m": "2"}),
    );
    let a = apply(None, &full, &schema(), &at("one", 0), false).unwrap();
    let b = apply(Some(&a), &less, &schema(), &at("one", 1), false).unwrap();
    assert_eq!(b["spec"], less["spec"]);
    assert_eq!(b["metadata"]["labels"], less["metadata"]["labels"]);
    // Nothing at all: the object stays, with its name.
    let none = host(json!({}));
    let c = apply(Some(&b), &none, &schema(), &at("one", 2), false).unwrap();
    assert_eq!(c["spec"], json!({}));
    assert_eq!(names(&c), ["one/Apply"]);
}

#[test]
fn what_others_own_stays_when_it_is_omitted() {
    let a = applied(
        None,
        &at("one", 0),
        json!({"cpu": 1, "nics": [{"name": "eth0", "mac": "m"}, {"name": "eth1"}]}),
    );
    let b = applied(Some(&a), &at("two", 1), json!({"nics": [{"name": "eth0", "mtu": 9}]}));
    let b = update(&b, &at("three", 2), |o| o["metadata"]["labels"] = json!({"x": "y"}));
    let c = applied(Some(&b), &at("one", 3), json!({"region": "eu"}));
    assert_eq!(c["spec"], json!({"region": "eu", "nics": [{"name": "eth0", "mtu": 9}]}));
    assert_eq!(c["metadata"]["labels"], json!({"x": "y"}));
}

#[test]
fn what_nobody_owns_stays_beside_what_goes() {
    // A default that the server filled in after the apply.
    let mut a = applied(None, &at("one", 0), json!({"cpu": 1, "limits": {"x": "1"}}));
    a["spec"]["region"] = json!("default");
    let b = applied(Some(&a), &at("one", 1), json!({"limits": {"x": "1"}}));
    assert_eq!(b["spec"], json!({"region": "default", "limits": {"x": "1"}}));
}

#[test]
fn an_element_that_stays_keeps_its_keys() {
    let mut a = applied(None, &at("one", 0), json!({"nics": [{"name": "eth0", "mac": "m"}]}));
    let key = "k:{\"name\":\"eth0\"}";
    let other = json!({"manager": "two", "operation": "Update", "apiVersion": VERSION,
        "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:nics": {key: {".": {}}}}}});
    a["metadata"]["managedFields"].as_array_mut().unwrap().push(other);
    let b = applied(Some(&a), &at("one", 1), json!({"cpu": 1}));
    assert_eq!(b["spec"]["nics"], json!([{"name": "eth0"}]));
}

#[test]
fn atomic_values_are_owned_and_fought_over_as_one() {
    let a = applied(None, &at("one", 0), json!({"dns": ["1"], "raw": {"a": "1"}}));
    let config = host(json!({"dns": ["1", "2"], "raw": {"b": "2"}}));
    let e = apply(Some(&a), &config, &schema(), &at("two", 1), false).unwrap_err();
    let fields: Vec<_> = e.details.causes.iter().map(|c| c.field.as_str()).collect();
    assert_eq!(fields, [".spec.dns", ".spec.raw"]);
    let b = apply(Some(&a), &config, &schema(), &at("two", 1), true).unwrap();
    assert_eq!(b["spec"], config["spec"], "replaced, not merged");
}

#[test]
fn sets_and_list_maps_are_shared_by_element() {
    let a = applied(
        None,
        &at("one", 0),
        json!({"tags": ["a", "b"], "nics": [{"name": "eth0", "mac": "m"}]}),
    );
    let spec = json!({"tags": ["c", "b"], "nics": [{"name": "eth1"}, {"name": "eth0", "mtu": 9}]});
    let b = applied(Some(&a), &at("two", 1), spec);
    assert_eq!(b["spec"]["tags"], json!(["a", "c", "b"]));
    assert_eq!(
        b["spec"]["nics"],
        json!([{"name": "eth1"}, {"name": "eth0", "mac": "m", "mtu": 9}])
    );
    assert_eq!(
        fields_of(&b, "two/Apply")["f:spec"]["f:tags"],
        json!({"v:\"b\"": {}, "v:\"c\"": {}})
    );
    let c = applied(Some(&b), &at("one", 2), json!({"tags": ["a"]}));
    assert_eq!(c["spec"]["tags"], json!(["a", "c", "b"]));
    assert_eq!(c["spec"]["nics"], json!([{"name": "eth1"}, {"name": "eth0", "mtu": 9}]));
}

#[test]
fn keys_may_have_defaults() {
    let a = applied(None, &at("one", 0), json!({"ports": [{"port": 80, "name": "web"}]}));
    let key = "k:{\"port\":80,\"protocol\":\"TCP\"}";
    assert_eq!(
        fields_of(&a, "one/Apply")["f:spec"]["f:ports"][key],
        json!({".": {}, "f:port": {}, "f:name": {}})
    );
    // Filled in, it is still the same element.
    let mut b = a.clone();
    b["spec"]["ports"][0]["protocol"] = json!("TCP");
    let c = applied(Some(&b), &at("one", 1), json!({"ports": [{"port": 80, "name": "web"}]}));
    assert_eq!(b, c);
    let d = applied(Some(&b), &at("two", 1), json!({"ports": [{"port": 80, "protocol": "UDP"}]}));
    assert_eq!(d["spec"]["ports"].as_array().unwrap().len(), 2);
    let e = apply(
        Some(&d),
        &host(json!({"ports": [{"port": 80, "name": "x"}]})),
        &schema(),
        &at("3", 1),
        false,
    );
    assert_eq!(
        e.unwrap_err().details.causes[0].field,
        ".spec.ports[port=80,protocol=\"TCP\"].name"
    );
}

#[test]
fn two_managers_own_different_conditions() {
    let config = |type_: &str, state: &str| {
        json!({"apiVersion": VERSION, "kind": "Host", "metadata": {"name": "a"},
            "status": {"conditions": [{"type": type_, "status": state}]}})
    };
    let put = |live: &Value, who: &str, type_: &str, state: &str| {
        apply(Some(live), &config(type_, state), &schema(), &status(&at(who, 1)), false)
    };
    let a = create(&at("kubectl", 0), json!({"cpu": 1}));
    let b = put(&a, "agent", "Ready", "True").unwrap();
    let c = put(&b, "operator", "Drained", "False").unwrap();
    assert_eq!(c["status"]["conditions"].as_array().unwrap().len(), 2);
    assert_eq!(names(&c), ["agent/Apply/status", "operator/Apply/status", "kubectl/Update"]);
    let d = put(&c, "agent", "Ready", "False").unwrap();
    assert_eq!(d["status"]["conditions"][0]["status"], "False");
    let e = put(&d, "agent", "Drained", "True").unwrap_err();
    assert_eq!(e.details.causes[0].field, ".status.conditions[type=\"Drained\"].status");
    assert_eq!(
        e.details.causes[0].message,
        "conflict with \"operator\" with subresource \"status\""
    );
    // The same manager on the main path is another one: it does not undo the status.
    let f = applied(Some(&d), &at("agent", 3), json!({"region": "eu"}));
    assert_eq!(f["status"], d["status"]);
}

#[test]
fn server_owned_metadata_is_not_merged() {
    let mut a = applied(None, &at("one", 0), json!({"cpu": 1}));
    a["metadata"]["uid"] = json!("u");
    a["metadata"]["creationTimestamp"] = json!("2023-11-14T22:13:20Z");
    a["metadata"]["resourceVersion"] = json!("7");
    let mut config = host(json!({"cpu": 1}));
    config["metadata"]["creationTimestamp"] = json!(null);
    config["metadata"]["resourceVersion"] = json!("7");
    config["metadata"]["managedFields"] = json!(null);
    assert_eq!(apply(Some(&a), &config, &schema(), &at("one", 5), false).unwrap(), a);
}

#[test]
fn managed_fields_in_the_body_are_refused() {
    for fields in [json!([]), json!([{}])] {
        let mut config = host(json!({}));
        config["metadata"]["managedFields"] = fields;
        let e = apply(None, &config, &schema(), &at("one", 0), true).unwrap_err();
        assert_eq!((e.code, e.message.as_str()), (400, "metadata.managedFields must be nil"));
    }
}

#[test]
fn another_version_in_the_body_is_refused() {
    let mut config = host(json!({}));
    config["apiVersion"] = json!("inv.example.com/v2");
    assert_eq!(apply(None, &config, &schema(), &at("one", 0), true).unwrap_err().code, 400);
}

#[test]
fn wrong_bodies_are_internal_errors_as_on_the_real_server() {
    let wrong = [
        (json!({"foo": 1}), ".spec.foo: field not declared in schema"),
        (json!({"cpu": "two"}), ".spec.cpu: expected numeric (int or float), got \"two\""),
        (json!({"nics": {}}), ".spec.nics: expected list, got {}"),
        (json!({"raw": ["a"]}), ".spec.raw: expected map, got [\"a\"]"),
        (json!({"raw": {"a": 1}}), ".spec.raw.a: expected string, got 1"),
        (json!({"dns": [1]}), ".spec.dns[0]: expected string, got 1"),
        (json!({"tags": ["a", "a"]}), ".spec.tags: duplicate entries for key [=\"a\"]"),
        (json!({"tags": [null]}), ".spec.tags: element 0: associative list"),
        (
            json!({"nics": [{"name": "a"}, {"name": "a"}]}),
            ".spec.nics: duplicate entries for key [name=\"a\"]",
        ),
        (json!({"nics": [{"mac": "a"}]}), ".spec.nics: element 0: associative list"),
        (json!({"nics": ["a"]}), ".spec.nics: element 0: associative list"),
        (
            json!({"nics": [{"name": "a", "mtu": true}]}),
            ".spec.nics[name=\"a\"].mtu: expected numeric",
        ),
        (json!({"cpu": "x", "region": 1}), "errors:\n  .spec.cpu: expected numeric"),
    ];
    for (spec, why) in wrong {
        let e = apply(None, &host(spec), &schema(), &at("one", 0), false).unwrap_err();
        assert_eq!((e.code, e.reason), (500, ""));
        let start = "failed to create typed patch object (n/a; inv.example.com/v1, Kind=Host): ";
        assert!(e.message.starts_with(&format!("{start}{why}")), "{}", e.message);
    }
    let mut config = host(json!({}));
    config["metadata"]["labels"] = json!({"a": 1});
    let e = apply(None, &config, &schema(), &at("one", 0), false).unwrap_err();
    assert!(e.message.ends_with(".metadata.labels.a: expected string, got 1"), "{}", e.message);
}

#[test]
fn null_and_empty_are_values() {
    let a = applied(None, &at("one", 0), json!({"cpu": 1, "limits": {}}));
    assert_eq!(fields_of(&a, "one/Apply"), json!({"f:spec": {"f:cpu": {}, "f:limits": {}}}));
    let b = applied(Some(&a), &at("one", 1), json!({"cpu": null, "limits": {}}));
    assert_eq!(b["spec"], json!({"cpu": null, "limits": {}}));
    assert_eq!(b, applied(Some(&b), &at("one", 2), json!({"cpu": null, "limits": {}})));
}

#[test]
fn duplicates_of_old_do_no_harm() {
    let mut a = host(json!({"tags": ["a", "a", "b"]}));
    record_update(None, &mut a, &schema(), &at("one", 0));
    let b = update(&a, &at("two", 1), |o| o["spec"]["tags"] = json!(["a", "b"]));
    assert_eq!(names(&b), ["one/Update", "two/Update"]);
    let c = applied(Some(&a), &at("three", 1), json!({"tags": ["c"]}));
    assert_eq!(c["spec"]["tags"], json!(["a", "a", "b", "c"]));
    let c = apply(Some(&a), &host(json!({"tags": ["a"]})), &schema(), &at("three", 1), true);
    assert_eq!(c.unwrap()["spec"]["tags"], json!(["a", "b"]));
}

#[test]
fn a_sloppy_object_is_no_reason_to_panic() {
    for mut object in
        [json!(1), json!({}), json!({"metadata": 3}), json!({"spec": [1], "metadata": {}})]
    {
        let live = object.clone();
        record_update(Some(&live), &mut object, &schema(), &at("one", 0));
        record_update(None, &mut object, &schema(), &at("one", 0));
        assert!(apply(Some(&live), &object, &schema(), &at("one", 0), true).is_err());
    }
}

#[test]
fn deep_objects_have_flat_ends() {
    let mut deep = json!(1);
    for _ in 0..120 {
        deep = json!({"x": deep});
    }
    let a = applied(None, &at("one", 0), json!({"extra": deep.clone()}));
    let text = serde_json::to_string(&a).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), a, "can be read again");
    assert_eq!(applied(Some(&a), &at("one", 1), json!({"extra": deep})), a);
}

#[test]
fn unchanged_ignores_times_alone() {
    let a = create(&at("one", 0), json!({"cpu": 1}));
    let mut b = a.clone();
    b["metadata"]["managedFields"][0]["time"] = json!("2024-01-01T00:00:00Z");
    assert!(unchanged(&a, &b));
    for path in ["/metadata/managedFields/0/manager", "/metadata/name", "/spec/cpu", "/kind"] {
        let mut c = b.clone();
        *c.pointer_mut(path).unwrap() = json!("other");
        assert!(!unchanged(&a, &c) && !unchanged(&c, &a), "{path}");
    }
    let mut c = b.clone();
    c["metadata"].as_object_mut().unwrap().remove("managedFields");
    assert!(!unchanged(&a, &c) && !unchanged(&c, &a));
    assert!(unchanged(&c, &c));
}

// Sets.

#[test]
fn fields_v1_is_read_leniently_and_written_canonically() {
    let read = |fields: Value| Set::from_fields_v1(fields);
    let odd = json!({"f:a": {".": {}}, "k:{ \"b\" : 1.0, \"a\":\"x\"}": {}, "v:1.0": {}, "i:3": {}, "f:e": {"f:x": {}}});
    let even =
        json!({"f:a": {}, "k:{\"a\":\"x\",\"b\":1}": {}, "v:1": {}, "i:3": {}, "f:e": {"f:x": {}}});
    assert_eq!(read(odd).unwrap().into_fields_v1(), even);
    for bad in [
        json!([]),
        json!({"a": {}}),
        json!({"f": {}}),
        json!({"x:a": {}}),
        json!({"k:[]": {}}),
        json!({"k:{": {}}),
        json!({"v:": {}}),
        json!({"i:-1": {}}),
        json!({"i:x": {}}),
        json!({"f:a": 1}),
        json!({"é": {}}),
        json!({"": {}}),
    ] {
        assert!(read(bad.clone()).is_err(), "{bad}");
    }
    let mut deep = json!({});
    for _ in 0..200 {
        deep = json!({"f:a": deep});
    }
    assert!(read(deep).is_err());
}

#[test]
fn elements_are_shown_as_in_conflicts() {
    let set = Set::from_fields_v1(
        json!({"f:a": {".": {}, "k:{\"n\":\"x\",\"p\":1}": {}, "v:\"s\"": {}, "i:0": {}}}),
    );
    assert_eq!(set.unwrap().paths(), [".a", ".a[0]", ".a[n=\"x\",p=1]", ".a[=\"s\"]"]);
}

#[test]
fn kubectl_takes_over_what_it_applied_itself() {
    let note = json!({"spec": {"cpu": 1}}).to_string();
    let mut live = create(&at("kubectl-client-side-apply", 0), json!({"cpu": 1, "region": "eu"}));
    live["metadata"]["annotations"] =
        json!({"kubectl.kubernetes.io/last-applied-configuration": note});
    let wants = |spec: Value, manager: &str| {
        apply(Some(&live), &host(spec), &schema(), &at(manager, 1), false)
    };
    let taken = wants(json!({"cpu": 2}), "kubectl").unwrap();
    let note =
        &taken["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"];
    let note: Value = serde_json::from_str(note.as_str().unwrap()).unwrap();
    assert_eq!(note["spec"], json!({"cpu": 2}));
    assert_eq!(wants(json!({"cpu": 2}), "other").unwrap_err().code, 409);
    let error = wants(json!({"cpu": 2, "region": "us"}), "kubectl").unwrap_err();
    assert_eq!(error.details.causes.len(), 1, "{error}");
    assert_eq!(error.details.causes[0].field, ".spec.region");
    // What somebody else has changed since is a conflict.
    let live = update(&live, &at("other", 2), |o| o["spec"]["cpu"] = json!(5));
    let wanted = host(json!({"cpu": 2}));
    assert!(apply(Some(&live), &wanted, &schema(), &at("kubectl", 3), false).is_err());
}
