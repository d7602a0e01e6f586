//! Which schemas are structural.

use serde_json::{Value, json};

use super::*;

/// Field and reason of what is wrong with a schema whose property `spec` is `raw`.
fn wrong(raw: &Value) -> Vec<(String, String)> {
    let raw = json!({"type": "object", "properties": {"spec": raw}});
    let causes = structural::read(&raw, "s").err().unwrap_or_default();
    short(&causes)
        .into_iter()
        .map(|(field, reason)| {
            (
                field.strip_prefix("s.properties[spec]").unwrap_or(field).to_owned(),
                reason.to_owned(),
            )
        })
        .collect()
}

#[test]
fn each_rule_of_structural_schemas_names_its_field() {
    let string = || json!({"type": "string"});
    let map = |keys: Value, items: Value| json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys, "items": items});
    for (raw, field, reason) in [
        (object(json!({"a": {}})), ".properties[a].type", "Required"),
        (json!({"type": "array", "items": {}}), ".items.type", "Required"),
        (json!({"type": "array"}), ".items", "Required"),
        (json!({"type": "null"}), ".type", "NotSupported"),
        (json!({"type": "string", "properties": {"a": string()}}), ".properties", "Forbidden"),
        (json!({"type": "string", "x-kubernetes-int-or-string": true}), ".type", "Invalid"),
        (
            json!({"type": "array", "items": string(), "x-kubernetes-preserve-unknown-fields": true}),
            ".type",
            "Invalid",
        ),
        (
            json!({"type": "object", "x-kubernetes-embedded-resource": true}),
            ".properties",
            "Required",
        ),
        (json!({"type": "string", "x-kubernetes-map-type": "atomic"}), ".type", "Invalid"),
        (
            json!({"type": "object", "x-kubernetes-map-type": "x"}),
            ".x-kubernetes-map-type",
            "NotSupported",
        ),
        (
            json!({"type": "object", "properties": {"a": string()}, "additionalProperties": string()}),
            ".additionalProperties",
            "Forbidden",
        ),
        (
            json!({"type": "object", "additionalProperties": false}),
            ".additionalProperties",
            "Forbidden",
        ),
        (
            json!({"type": "object", "additionalProperties": {}}),
            ".additionalProperties.type",
            "Required",
        ),
        (json!({"type": "string", "x-kubernetes-list-type": "set"}), ".type", "Invalid"),
        (
            json!({"type": "array", "items": string(), "x-kubernetes-list-type": "bag"}),
            ".x-kubernetes-list-type",
            "NotSupported",
        ),
        (
            json!({"type": "array", "items": object(json!({})), "x-kubernetes-list-type": "set"}),
            ".items.x-kubernetes-map-type",
            "Invalid",
        ),
        (
            json!({"type": "array", "items": {"type": "string", "nullable": true}, "x-kubernetes-list-type": "set"}),
            ".items.nullable",
            "Forbidden",
        ),
        (
            json!({"type": "array", "items": string(), "x-kubernetes-list-map-keys": ["a"]}),
            ".x-kubernetes-list-type",
            "Invalid",
        ),
        (map(json!([]), object(json!({}))), ".x-kubernetes-list-map-keys", "Required"),
        (map(json!(["a"]), object(json!({}))), ".x-kubernetes-list-map-keys[0]", "Invalid"),
        (
            map(json!(["a"]), object(json!({"a": string()}))),
            ".items.properties[a].default",
            "Required",
        ),
        (
            map(json!(["a"]), object(json!({"a": {"type": "object", "default": {}}}))),
            ".items.properties[a].type",
            "Invalid",
        ),
        (
            map(
                json!(["a"]),
                object(json!({"a": {"type": "string", "default": "", "nullable": true}})),
            ),
            ".items.properties[a].nullable",
            "Forbidden",
        ),
        (
            map(json!(["a", "a"]), object(json!({"a": {"type": "string", "default": ""}}))),
            ".x-kubernetes-list-map-keys[1]",
            "Duplicate",
        ),
        (
            json!({"type": "array", "items": string(), "uniqueItems": true}),
            ".uniqueItems",
            "Forbidden",
        ),
        (json!({"type": "string", "pattern": "("}), ".pattern", "Invalid"),
        (json!({"type": "string", "$ref": "#/x"}), ".$ref", "Forbidden"),
        (
            json!({"type": "object", "allOf": [{"patternProperties": {"a": {}}}]}),
            ".allOf[0].patternProperties",
            "Forbidden",
        ),
        (json!({"type": "string", "anyOf": [{"type": "string"}]}), ".anyOf[0].type", "Forbidden"),
        (json!({"type": "string", "not": {"default": "x"}}), ".not.default", "Forbidden"),
        (
            json!({"type": "object", "oneOf": [{"additionalProperties": string()}]}),
            ".oneOf[0].additionalProperties",
            "Forbidden",
        ),
        (
            json!({"type": "object", "anyOf": [{"properties": {"a": {"minLength": 1}}}]}),
            ".properties[a]",
            "Required",
        ),
        (
            json!({"type": "string", "allOf": [{"not": {"pattern": "("}}]}),
            ".allOf[0].not.pattern",
            "Invalid",
        ),
        (json!({"type": "string", "default": 5}), ".default", "TypeInvalid"),
        (json!({"type": "object", "default": {"x": 1}}), ".default", "Invalid"),
        (
            json!({"type": "object", "properties": {"a": string()}, "default": {"a": 1}}),
            ".default.a",
            "TypeInvalid",
        ),
        (json!({"type": "array", "items": string(), "default": [1]}), ".default[0]", "TypeInvalid"),
        (
            json!({"type": "string", "default": "", "x-kubernetes-validations": [{"rule": "self != ''"}]}),
            ".default",
            "Invalid",
        ),
    ] {
        assert_eq!(wrong(&raw), [(field.to_owned(), reason.to_owned())], "{raw}");
    }
}

#[test]
fn rules_are_compiled_and_checked() {
    let rule = |rule: Value| json!({"type": "object", "properties": {"a": {"type": "string"}}, "x-kubernetes-validations": [rule]});
    for (raw, field, reason) in [
        (json!({"rule": " "}), "rule", "Required"),
        (json!({"rule": "self.a =="}), "rule", "Invalid"),
        (json!({"rule": "selv.a == ''"}), "rule", "Invalid"),
        (json!({"rule": "self.a.frobnicate()"}), "rule", "Invalid"),
        (json!({"rule": "frob.nicate(self.a)"}), "rule", "Invalid"),
        (json!({"rule": "Foo{a: 1} == self.a"}), "rule", "Invalid"),
        (json!({"rule": "true", "messageExpression": "self."}), "messageExpression", "Invalid"),
        (json!({"rule": "true", "message": "a\nb"}), "message", "Invalid"),
        (json!({"rule": "true", "reason": "Odd"}), "reason", "NotSupported"),
        (json!({"rule": "true", "fieldPath": "a"}), "fieldPath", "Invalid"),
        (json!({"rule": "true", "fieldPath": ".b"}), "fieldPath", "Invalid"),
        (json!({"rule": "true", "optionalOldSelf": true}), "optionalOldSelf", "Invalid"),
    ] {
        let wanted = (format!(".x-kubernetes-validations[0].{field}"), reason.to_owned());
        assert_eq!(wrong(&rule(raw.clone())), [wanted], "{raw}");
    }
    for good in [
        "self.a.split(',').exists(x, x == 'b')",
        "sets.contains(['a'], [self.a])",
        "math.greatest(1, 2) == 2 && dyn(self.a) != null",
        "self.?a.orValue('') == ''",
        "cidr('10.0.0.0/8').containsIP('10.0.0.1')",
        "quantity('1Gi').isGreaterThan(quantity('1Mi'))",
        "type(self.a) == string",
        "optional.of(self.a).hasValue()",
        "-1 < 0 && !false && 1 in [1]",
        "[1, 2].map(x, x * 2).filter(x, x > 2) == [4]",
        "{'a': 1}.all(k, k == 'a')",
        "duration('1h') < duration('2h') && timestamp('2026-01-01T00:00:00Z').getFullYear() == 2026",
        "isURL(self.a) || url('https://x').getHost() == 'x'",
        "'%s'.format([self.a]) == self.a",
    ] {
        assert_eq!(wrong(&rule(json!({"rule": good}))), [], "{good}");
    }
}

#[test]
fn transition_rules_need_values_that_have_old_ones() {
    let list = |kind: &str| {
        let mut raw = json!({
            "type": "array", "x-kubernetes-list-type": kind,
            "items": {
                "type": "object", "x-kubernetes-map-type": "atomic",
                "properties": {"name": {"type": "string", "default": ""}},
                "x-kubernetes-validations": [{"rule": "self == oldSelf"}],
            },
        });
        if kind == "map" {
            raw["x-kubernetes-list-map-keys"] = json!(["name"]);
        }
        wrong(&raw).len()
    };
    assert_eq!((list("map"), list("set"), list("atomic")), (0, 1, 1));
}

#[test]
fn the_root_is_an_object_and_metadata_is_the_servers() {
    for (raw, field) in [
        (json!({}), "s.type"),
        (json!({"type": "array", "items": {"type": "string"}}), "s.type"),
        (json!({"type": "object", "nullable": true}), "s.nullable"),
        (json!({"type": "object", "additionalProperties": true}), "s.additionalProperties"),
        (
            object(json!({"metadata": object(json!({"labels": {"type": "object"}}))})),
            "s.properties[metadata]",
        ),
        (object(json!({"kind": {"type": "integer"}})), "s.properties[kind].type"),
        (json!({"type": 5}), "s"),
        (json!("x"), "s"),
    ] {
        let causes = structural::read(&raw, "s").unwrap_err();
        assert_eq!(causes.iter().map(|c| c.field.as_str()).collect::<Vec<_>>(), [field], "{raw}");
    }
    schema(object(
        json!({"metadata": object(json!({"name": {"type": "string", "maxLength": 63}}))}),
    ));
}

#[test]
fn values_that_are_integers_or_strings_may_say_so_twice() {
    let both = json!([{"type": "integer"}, {"type": "string"}]);
    assert_eq!(wrong(&json!({"x-kubernetes-int-or-string": true, "anyOf": both})), []);
    let all =
        json!({"x-kubernetes-int-or-string": true, "allOf": [{"anyOf": both}, {"pattern": "a"}]});
    assert_eq!(wrong(&all), []);
}

#[test]
fn deep_schemas_and_values_do_not_use_up_the_stack() {
    // As deep as the JSON parser lets in.
    let mut text = r#"{"type":"object"}"#.to_owned();
    for _ in 0..62 {
        text = format!(r#"{{"type":"object","properties":{{"a":{text}}}}}"#);
    }
    let raw: Value = serde_json::from_str(&text).unwrap();
    let schema = structural::read(&raw, "s").unwrap();
    let mut value: Value =
        serde_json::from_str(&format!("{}{}", r#"{"a":"#.repeat(120) + "1", "}".repeat(120)))
            .unwrap();
    assert_eq!(prune(&schema, &mut value).len(), 1);
    default(&schema, &mut value);
    assert_eq!(validate(&schema, &value, Some(&value)), []);
    let mut nots = r#"{"minLength":1}"#.to_owned();
    for _ in 0..120 {
        nots = format!(r#"{{"not":{nots}}}"#);
    }
    let raw = json!({"type": "string", "not": serde_json::from_str::<Value>(&nots).unwrap()});
    assert_eq!(wrong(&raw), []);
}
