#![allow(clippy::needless_pass_by_value, reason = "tables of cases read better so")]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::server::status::Cause;

mod rules;
mod sound;

pub(super) fn schema(raw: Value) -> Schema {
    structural::read(&raw, "s").unwrap()
}

/// A schema for an object whose `spec` is `raw`.
pub(super) fn with_spec(raw: Value) -> Schema {
    schema(json!({"type": "object", "properties": {"spec": raw}}))
}

pub(super) fn object(properties: Value) -> Value {
    json!({"type": "object", "properties": properties})
}

/// Field and reason of each cause.
pub(super) fn short(causes: &[Cause]) -> Vec<(&str, &str)> {
    causes
        .iter()
        .map(|c| (c.field.as_str(), c.reason.strip_prefix("FieldValue").unwrap_or(c.reason)))
        .collect()
}

pub(super) fn own_schemas() -> Vec<Value> {
    [
        include_str!("../../../crds/hosts.yaml"),
        include_str!("../../../crds/clusters.yaml"),
        include_str!("../../../crds/regions.yaml"),
        include_str!("../../../crds/sources.yaml"),
    ]
    .iter()
    .map(|text| {
        let crd: Value = serde_saphyr::from_str(text).unwrap();
        crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
    })
    .collect()
}

#[test]
fn what_the_schema_does_not_name_goes_and_is_reported() {
    let string = json!({"type": "string"});
    let schema = with_spec(object(json!({
        "a": string,
        "list": {"type": "array", "items": object(json!({"a": string}))},
        "map": {"type": "object", "additionalProperties": object(json!({"a": string}))},
        "any": {"type": "object", "additionalProperties": true},
        "open": {
            "type": "object", "x-kubernetes-preserve-unknown-fields": true,
            "properties": {"closed": object(json!({"a": string}))},
        },
        "pod": {
            "type": "object", "x-kubernetes-embedded-resource": true,
            "properties": {"spec": object(json!({"a": string}))},
        },
        "port": {"x-kubernetes-int-or-string": true},
    })));
    let mut value = json!({
        "apiVersion": "v1", "kind": "X", "metadata": {"name": "x", "odd": 1}, "extra": 1,
        "spec": {
            "a": "x", "b": 1, "port": "http",
            "list": [{"a": "x"}, {"b": 1}, 5],
            "map": {"k": {"a": "x", "b": 1}},
            "any": {"k": {"deep": [1]}},
            "open": {"x": {"y": 1}, "closed": {"a": "x", "b": 1}},
            "pod": {"apiVersion": "v1", "kind": "Pod", "metadata": {"l": 1}, "status": 1, "spec": {"b": 1}},
        },
    });
    let removed = prune(&schema, &mut value);
    assert_eq!(
        removed,
        [
            "extra",
            "spec.b",
            "spec.list[1].b",
            "spec.map.k.b",
            "spec.open.closed.b",
            "spec.pod.spec.b",
            "spec.pod.status",
        ]
    );
    assert_eq!(
        value,
        json!({
            "apiVersion": "v1", "kind": "X", "metadata": {"name": "x", "odd": 1},
            "spec": {
                "a": "x", "port": "http", "list": [{"a": "x"}, {}, 5], "map": {"k": {"a": "x"}},
                "any": {"k": {"deep": [1]}}, "open": {"x": {"y": 1}, "closed": {"a": "x"}},
                "pod": {"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": {}},
            },
        })
    );
}

#[test]
fn defaults_fill_what_is_absent_or_a_null_that_is_no_value() {
    let schema = with_spec(object(json!({
        "a": {"type": "string", "default": "x"},
        "n": {"type": "string", "default": "x", "nullable": true},
        "plain": {"type": "string"},
        "deep": {"type": "object", "default": {}, "properties": {"b": {"type": "integer", "default": 1}}},
        "absent": {"type": "object", "properties": {"b": {"type": "integer", "default": 1}}},
        "list": {"type": "array", "items": object(json!({"b": {"type": "integer", "default": 1}}))},
        "map": {"type": "object", "additionalProperties": {"type": "integer", "default": 2}},
    })));
    let filled = |spec: Value| {
        let mut value = json!({ "spec": spec });
        default(&schema, &mut value);
        value["spec"].take()
    };
    assert_eq!(filled(json!({})), json!({"a": "x", "n": "x", "deep": {"b": 1}}));
    assert_eq!(
        filled(json!({"a": null, "n": null, "plain": null, "deep": {"b": 7}, "list": [{}, null],
            "map": {"k": null}})),
        json!({"a": "x", "n": null, "deep": {"b": 7}, "list": [{"b": 1}, null], "map": {"k": 2}})
    );
}

#[test]
fn each_limit_has_its_reason_and_path() {
    for (spec, value, wanted) in [
        (json!({"type": "string"}), json!(1), vec![("spec", "TypeInvalid")]),
        (json!({"type": "string"}), json!(null), vec![("spec", "TypeInvalid")]),
        (json!({"type": "string", "nullable": true, "enum": ["a"]}), json!(null), vec![]),
        (json!({"type": "integer"}), json!(1.0), vec![]),
        (json!({"type": "integer"}), json!(1.5), vec![("spec", "TypeInvalid")]),
        (json!({"type": "number"}), json!(1), vec![]),
        (json!({"type": "boolean"}), json!("true"), vec![("spec", "TypeInvalid")]),
        (json!({"x-kubernetes-int-or-string": true}), json!("10%"), vec![]),
        (json!({"x-kubernetes-int-or-string": true}), json!(3), vec![]),
        (json!({"x-kubernetes-int-or-string": true}), json!(1.5), vec![("spec", "TypeInvalid")]),
        (json!({"type": "string", "enum": ["a", "b"]}), json!("c"), vec![("spec", "NotSupported")]),
        (json!({"type": "number", "enum": [1]}), json!(1.0), vec![]),
        (json!({"type": "number", "minimum": 0}), json!(-0.0), vec![]),
        (json!({"type": "integer", "minimum": 1.0}), json!(0), vec![("spec", "Invalid")]),
        (
            json!({"type": "integer", "minimum": 1, "exclusiveMinimum": true}),
            json!(1),
            vec![("spec", "Invalid")],
        ),
        (json!({"type": "integer", "maximum": 9}), json!(10), vec![("spec", "Invalid")]),
        (
            json!({"type": "integer", "maximum": 9, "exclusiveMaximum": true}),
            json!(9),
            vec![("spec", "Invalid")],
        ),
        (json!({"type": "integer", "multipleOf": 5}), json!(12), vec![("spec", "Invalid")]),
        (json!({"type": "number", "multipleOf": 0.1}), json!(0.3), vec![]),
        (
            json!({"type": "integer", "format": "int32"}),
            json!(2_147_483_648_u64),
            vec![("spec", "Invalid")],
        ),
        (json!({"type": "integer", "format": "int64"}), json!(u64::MAX), vec![("spec", "Invalid")]),
        (json!({"type": "string", "minLength": 3}), json!("äö"), vec![("spec", "Invalid")]),
        (json!({"type": "string", "maxLength": 2}), json!("äö"), vec![]),
        (json!({"type": "string", "maxLength": 2}), json!("abc"), vec![("spec", "TooLong")]),
        (json!({"type": "string", "pattern": "^a+$"}), json!("ab"), vec![("spec", "Invalid")]),
        (json!({"type": "string", "pattern": "a"}), json!("bab"), vec![]),
        (json!({"type": "string", "format": "ipv4"}), json!("x"), vec![("spec", "TypeInvalid")]),
        (
            json!({"type": "array", "items": {"type": "string"}, "minItems": 1}),
            json!([]),
            vec![("spec", "Invalid")],
        ),
        (
            json!({"type": "array", "items": {"type": "string"}, "maxItems": 1}),
            json!(["a", "b"]),
            vec![("spec", "TooMany")],
        ),
        (
            json!({"type": "array", "items": {"type": "string"}}),
            json!(["a", 1]),
            vec![("spec[1]", "TypeInvalid")],
        ),
        (
            json!({"type": "object", "additionalProperties": {"type": "string"}, "minProperties": 1}),
            json!({}),
            vec![("spec", "Invalid")],
        ),
        (
            json!({"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": 0}),
            json!({"k": 1}),
            vec![("spec", "TooMany"), ("spec.k", "TypeInvalid")],
        ),
        (
            json!({"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}}),
            json!({}),
            vec![("spec.a", "Required")],
        ),
        (
            json!({"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true}),
            json!({"kind": ""}),
            vec![("spec.apiVersion", "Required"), ("spec.kind", "Required")],
        ),
        (
            json!({"type": "integer", "allOf": [{"minimum": 1}, {"maximum": 3}]}),
            json!(4),
            vec![("spec", "Invalid")],
        ),
        (
            json!({"type": "integer", "anyOf": [{"minimum": 5}, {"maximum": 3}]}),
            json!(4),
            vec![("spec", "Invalid"), ("spec", "Invalid")],
        ),
        (json!({"type": "integer", "anyOf": [{"minimum": 5}, {"maximum": 3}]}), json!(2), vec![]),
        (
            json!({"type": "integer", "oneOf": [{"minimum": 1}, {"maximum": 3}]}),
            json!(2),
            vec![("spec", "Invalid")],
        ),
        (json!({"type": "integer", "oneOf": [{"minimum": 1}, {"maximum": 3}]}), json!(4), vec![]),
        (json!({"type": "integer", "not": {"minimum": 1}}), json!(2), vec![("spec", "Invalid")]),
        (
            json!({"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"}),
            json!(["a", "b", "a"]),
            vec![("spec[2]", "Duplicate")],
        ),
    ] {
        let schema = with_spec(spec.clone());
        let causes = validate(&schema, &json!({ "spec": value }), None);
        assert_eq!(short(&causes), wanted, "{spec} {value} {causes:?}");
    }
}

#[test]
fn messages_say_what_kube_apiserver_says() {
    let schema = with_spec(object(json!({
        "cpu": {"type": "integer", "minimum": 1.0}, "ip": {"type": "string"},
        "region": {"type": "string", "enum": ["eu", "us"]},
    })));
    let value = json!({"spec": {"cpu": 0, "ip": 5, "region": "x"}});
    let causes = validate(&schema, &value, None);
    let messages: Vec<&str> = causes.iter().map(|c| c.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "Invalid value: 0: spec.cpu in body should be greater than or equal to 1",
            "Invalid value: \"integer\": spec.ip in body must be of type string: \"integer\"",
            "Unsupported value: \"x\": supported values: \"eu\", \"us\"",
        ]
    );
}

fn keyed(item: Value) -> Schema {
    let mut properties = json!({"name": {"type": "string"}});
    properties["v"] = item;
    with_spec(json!({
        "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
        "items": {"type": "object", "required": ["name"], "properties": properties},
    }))
}

#[test]
fn keys_of_a_map_list_are_unique() {
    let schema = keyed(json!({"type": "integer"}));
    let value = json!({"spec": [{"name": "a", "v": 1}, {"name": "b"}, {"name": "a", "v": 2}]});
    assert_eq!(short(&validate(&schema, &value, None)), [("spec[2]", "Duplicate")]);
    assert_eq!(
        short(&validate(&schema, &value, Some(&json!({"spec": []})))),
        [("spec[2]", "Duplicate")]
    );
}

#[test]
fn what_was_invalid_and_has_not_changed_is_tolerated() {
    let schema = with_spec(object(json!({
        "a": {"type": "integer", "maximum": 1}, "b": {"type": "integer", "maximum": 1},
    })));
    let old = json!({"spec": {"a": 5, "b": 5}});
    assert!(validate(&schema, &old, Some(&old)).is_empty());
    let new = json!({"spec": {"a": 5, "b": 6}});
    assert_eq!(short(&validate(&schema, &new, Some(&old))), [("spec.b", "Invalid")]);
}

#[test]
fn old_elements_are_found_by_their_keys_and_not_by_position() {
    let schema = keyed(json!({"type": "integer", "maximum": 1}));
    let old = json!({"spec": [{"name": "a", "v": 5}, {"name": "b", "v": 0}]});
    let moved = json!({"spec": [{"name": "b", "v": 0}, {"name": "a", "v": 5}]});
    assert!(validate(&schema, &moved, Some(&old)).is_empty());
    let new = json!({"spec": [{"name": "b", "v": 5}]});
    assert_eq!(short(&validate(&schema, &new, Some(&old))), [("spec[0].v", "Invalid")]);
    // Elements of an atomic list have no old ones.
    let atomic = with_spec(json!({"type": "array", "items": {"type": "integer", "maximum": 1}}));
    let causes = validate(&atomic, &json!({"spec": [5, 0]}), Some(&json!({"spec": [5]})));
    assert_eq!(short(&causes), [("spec[0]", "Invalid")]);
}

#[test]
fn an_answer_has_a_bounded_number_of_causes() {
    let schema = with_spec(json!({"type": "array", "items": {"type": "string"}}));
    let value = json!({"spec": vec![1; 100_000]});
    let n = validate(&schema, &value, None).len();
    assert!((100..1000).contains(&n), "{n}");
}

#[test]
fn our_own_schemas_are_structural_and_come_back_as_they_are() {
    for raw in own_schemas() {
        let schema = structural::read(&raw, "s").unwrap();
        let again: Schema = serde_json::from_value(serde_json::to_value(&schema).unwrap()).unwrap();
        assert_eq!(schema, again);
    }
}

#[test]
fn a_host_passes_and_a_bad_host_does_not() {
    let host = schema(own_schemas().remove(0));
    let mut good = json!({
        "apiVersion": "inventory.inv-tui.dev/v1alpha1", "kind": "Host", "metadata": {"name": "web-1"},
        "spec": {
            "providerID": "aws:///eu/i-1",
            "maintenance": {"ops": {"reason": "new disk", "since": "2026-11-20T10:00:00Z", "until": "2026-11-21T10:00:00Z"}},
            "ansible": {"playbook": "site.yml", "requestID": "r1", "extraVars": {"a": "b"}},
        },
    });
    assert!(prune(&host, &mut good).is_empty());
    default(&host, &mut good);
    assert_eq!(good["spec"]["serviceState"], "InService");
    assert_eq!(validate(&host, &good, None), []);
    assert_eq!(validate(&host, &good, Some(&good)), []);
    let causes = |change: fn(&mut Value)| {
        let mut bad = good.clone();
        change(&mut bad);
        let causes = validate(&host, &bad, Some(&good));
        causes.into_iter().map(|c| c.field).collect::<Vec<_>>()
    };
    assert_eq!(causes(|h| h["spec"]["providerID"] = "other".into()), ["spec"]);
    assert_eq!(causes(|h| h["metadata"]["name"] = "web.1".into()), ["<nil>"]);
    assert_eq!(
        causes(|h| h["spec"]["ansible"]["playbook"] = "../x".into()),
        ["spec.ansible", "spec.ansible.playbook"]
    );
    let until =
        |h: &mut Value| h["spec"]["maintenance"]["ops"]["until"] = "2026-12-31T10:00:00Z".into();
    assert_eq!(causes(until), ["spec.maintenance[ops]"]);
    let role = |h: &mut Value| h["spec"]["role"] = 5.into();
    assert_eq!(causes(role), ["spec.role", "<nil>"]);
}

#[test]
fn defaults_of_our_cluster_pass_its_own_rules() {
    let cluster = schema(own_schemas().remove(1));
    let mut value = json!({"metadata": {"name": "c"}, "spec": {"disruption": {}}});
    default(&cluster, &mut value);
    assert_eq!(value["spec"]["disruption"]["maxUnavailable"], 1);
    let bad = |value: Value| {
        let fields: Vec<String> =
            validate(&cluster, &value, None).into_iter().map(|c| c.field).collect();
        fields.contains(&"spec.disruption".to_owned())
    };
    assert!(!bad(value));
    assert!(!bad(json!({"spec": {"disruption": {"maxUnavailable": "10%"}}})));
    assert!(bad(json!({"spec": {"disruption": {"maxUnavailable": "0%"}}})));
    assert!(bad(json!({"spec": {"disruption": {"maxUnavailable": 0}}})));
}

/// JSON that uses the names of the schemas here, so that it gets past the first look.
fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        "(true|string|object|array|2026-01-01T00:00:00Z|-5h|self.a|map|set)".prop_map(Value::from),
    ];
    let key = "(spec|metadata|name|a|b|l|m|o|type|properties|items|default|required|enum|anyOf|not\
        |pattern|nullable|additionalProperties|x-kubernetes-list-type|x-kubernetes-list-map-keys\
        |x-kubernetes-validations|rule|[a-z_.-]{0,3})";
    leaf.prop_recursive(5, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(key, inner, 0..6)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

/// A schema with a bit of everything.
fn rich() -> Schema {
    let all = json!({
        "a": {"type": "string", "default": "2026-01-01T00:00:00Z", "pattern": "^.*$", "format": "date-time"},
        "b": {"type": "integer", "nullable": true, "default": 3, "minimum": -5, "multipleOf": 3},
        "l": {
            "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
            "items": {
                "type": "object",
                "properties": {"name": {"type": "string", "default": "n"}, "b": {"type": "number"}},
                "x-kubernetes-validations": [{"rule": "!has(oldSelf.b) || self.b >= oldSelf.b"}],
            },
        },
        "m": {
            "type": "object", "additionalProperties": {"type": "string", "format": "duration", "nullable": true},
            "x-kubernetes-validations": [{"rule": "self.all(k, self[k] == null || self[k] > duration('0s'))"}],
        },
        "o": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "x-kubernetes-embedded-resource": true},
        "a.b": {"x-kubernetes-int-or-string": true},
    });
    let rules = json!([
        {"rule": "self.a.getFullYear() > 2000 && self.b + 1 > 0", "messageExpression": "string(self.a) + 'x'"},
        {"rule": "size(self.l.map(x, x.name)) < 100 || self.a__dot__b == 5"},
    ]);
    let spec = json!({"type": "object", "properties": all, "x-kubernetes-validations": rules,
        "anyOf": [{"required": ["a"]}, {"not": {"required": ["l"]}}]});
    with_spec(spec)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pruning_and_defaulting_twice_changes_nothing(spec in json_value()) {
        let schema = rich();
        let mut once = json!({ "spec": spec });
        prune(&schema, &mut once);
        default(&schema, &mut once);
        let mut twice = once.clone();
        prop_assert_eq!(prune(&schema, &mut twice), Vec::<String>::new());
        default(&schema, &mut twice);
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn no_json_makes_validation_panic(new in json_value(), old in json_value(), whole in any::<bool>()) {
        let schema = rich();
        let (mut new, old) = if whole { (new, old) } else { (json!({"spec": new}), json!({"spec": old})) };
        validate(&schema, &new, Some(&old));
        validate(&schema, &new, None);
        prune(&schema, &mut new);
        default(&schema, &mut new);
        validate(&schema, &new, Some(&new));
    }

    #[test]
    fn no_json_makes_the_check_of_schemas_panic(raw in json_value(), mut value in json_value()) {
        let raw = json!({"type": "object", "properties": {"spec": raw.clone()}, "default": raw});
        let _ = structural::read(&raw, "s");
        if let Ok(schema) = serde_json::from_value::<Schema>(raw) {
            prune(&schema, &mut value);
            default(&schema, &mut value);
            validate(&schema, &value, None);
        }
    }
}

#[test]
fn defaults_cannot_unfold_without_bound() {
    let mut schema = json!({"type": "object"});
    for _ in 0..4 {
        schema = json!({"type": "object", "properties": {"x": {
            "type": "array", "items": schema, "default": vec![json!({}); 100],
        }}});
    }
    let schema: Schema = serde_json::from_value(schema).unwrap();
    let mut value = json!({});
    assert!(!default(&schema, &mut value));
    assert!(default(&schema.properties["x"], &mut json!([])));
}

#[test]
fn a_place_is_written_with_its_long_names_cut() {
    let long = "k".repeat(1 << 20);
    let (spec, step) = (Place::Field(&Place::Root, "spec"), "[x]");
    let inner = Place::Field(&spec, &long);
    let place = Place::Step(&Place::Item(&inner, 3), &step).to_string();
    assert!(
        place.starts_with("spec.kkk") && place.ends_with("…[3][x]") && place.len() < 300,
        "{place}"
    );
    assert_eq!(Place::Root.to_string(), "");
}
