//! CEL rules.

#![allow(clippy::needless_pass_by_value, reason = "tables of cases read better so")]

use serde_json::{Value, json};

use super::*;

/// Messages of the rules of `spec` for a new and an old value.
fn run(spec: Value, new: Value, old: Option<Value>) -> Vec<Cause> {
    let schema = with_spec(spec);
    let old = old.map(|old| json!({ "spec": old }));
    validate(&schema, &json!({ "spec": new }), old.as_ref())
}

/// Whether `rule` on a `spec` with `properties` holds for `new`.
fn holds(properties: Value, rule: &str, new: Value) -> bool {
    let mut spec = object(properties);
    spec["x-kubernetes-validations"] = json!([{ "rule": rule }]);
    let causes = run(spec, new.clone(), None);
    assert!(causes.iter().all(|c| c.field == "spec"), "{causes:?}");
    causes.is_empty()
}

#[test]
fn values_have_the_types_of_their_schemas() {
    let string = |format: &str| json!({"a": {"type": "string", "format": format}});
    for (properties, rule, value) in [
        (
            string("date-time"),
            "self.a > timestamp('2026-01-01T00:00:00Z')",
            json!("2026-01-01T00:00:01Z"),
        ),
        (string("date"), "self.a.getFullYear() == 2026", json!("2026-05-01")),
        (string("duration"), "self.a == duration('90m') && self.a.getHours() == 1", json!("1h30m")),
        (string("duration"), "self.a < duration('0s')", json!("-1s")),
        (string("byte"), "self.a.size() == 2", json!("aGk=")),
        (string(""), "self.a == 'x'", json!("x")),
        (json!({"a": {"type": "number"}}), "self.a * 2.0 == 4.0", json!(2)),
        (json!({"a": {"type": "integer"}}), "self.a * 2 == 4", json!(2.0)),
        (json!({"a": {"x-kubernetes-int-or-string": true}}), "type(self.a) == int", json!(5)),
        (json!({"a": {"x-kubernetes-int-or-string": true}}), "type(self.a) == string", json!("5")),
        (
            json!({"a": {"type": "object", "additionalProperties": {"type": "integer"}}}),
            "self.a['x-y'] == 1 && 'x-y' in self.a",
            json!({"x-y": 1}),
        ),
        (
            json!({"a": {"type": "array", "items": {"type": "integer"}}}),
            "self.a.sum() == 3 && self.a.exists_one(x, x == 1)",
            json!([1, 2]),
        ),
    ] {
        assert!(holds(properties, rule, json!({ "a": value })), "{rule} {value}");
    }
}

#[test]
fn property_names_are_escaped_as_in_kubernetes() {
    for (name, escaped) in [
        ("plain", "plain"),
        ("a_b", "a_b"),
        ("a__b", "a__underscores__b"),
        ("a-b", "a__dash__b"),
        ("a.b", "a__dot__b"),
        ("a/b", "a__slash__b"),
        ("namespace", "__namespace__"),
        ("if", "__if__"),
    ] {
        let properties = json!({ name: {"type": "integer"} });
        assert!(holds(properties, &format!("self.{escaped} == 1"), json!({ name: 1 })), "{name}");
    }
}

#[test]
fn null_and_unknown_fields_are_absent() {
    let properties = json!({"a": {"type": "integer", "nullable": true}});
    assert!(holds(properties, "!has(self.a)", json!({"a": null})));
    let open = json!({"a": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    assert!(holds(open, "!has(self.a.b)", json!({"a": {"b": 1}})));
}

#[test]
fn of_the_metadata_only_names_are_seen() {
    let mut raw = object(json!({}));
    let rule = "self.metadata.name == 'x' && !has(self.metadata.labels) && self.kind == 'K'";
    raw["x-kubernetes-validations"] = json!([{ "rule": rule }]);
    let value = json!({"kind": "K", "metadata": {"name": "x", "labels": {"a": "b"}}});
    assert_eq!(validate(&schema(raw), &value, None), []);
}

#[test]
fn a_rule_says_what_it_was_told_to_say() {
    let cause = |rule: Value, new: Value| {
        let mut spec = object(
            json!({"a": {"type": "integer"}, "b-c": object(json!({"d": {"type": "integer"}}))}),
        );
        spec["x-kubernetes-validations"] = json!([rule]);
        run(spec, new, None).remove(0)
    };
    let value = || json!({"a": 5});
    let got = cause(json!({"rule": "self.a < 5"}), value());
    assert_eq!(
        got,
        Cause::new(
            "FieldValueInvalid",
            "spec",
            "Invalid value: \"object\": failed rule: self.a < 5"
        )
    );
    let got = cause(json!({"rule": "self.a < 5", "message": "too much"}), value());
    assert_eq!(got.message, "Invalid value: \"object\": too much");
    let expression = "'%d is too much'.format([self.a])";
    let got = cause(
        json!({"rule": "self.a < 5", "message": "m", "messageExpression": expression}),
        value(),
    );
    assert_eq!(got.message, "Invalid value: \"object\": 5 is too much");
    let got = cause(
        json!({"rule": "self.a < 5", "message": "m", "messageExpression": "self.b__dash__c.d"}),
        value(),
    );
    assert_eq!(got.message, "Invalid value: \"object\": m");
    for (reason, message) in [
        ("FieldValueForbidden", "Forbidden: m"),
        ("FieldValueRequired", "Required value: m"),
        ("FieldValueDuplicate", "Duplicate value: \"object\": m"),
        ("FieldValueInvalid", "Invalid value: \"object\": m"),
    ] {
        let rule =
            json!({"rule": "false", "message": "m", "reason": reason, "fieldPath": "['b-c'].d"});
        let got = cause(rule, value());
        assert_eq!(
            (got.reason, got.message.as_str(), got.field.as_str()),
            (reason, message, "spec.b-c.d")
        );
    }
}

#[test]
fn transition_rules_need_an_old_value() {
    let spec =
        || json!({"type": "integer", "x-kubernetes-validations": [{"rule": "self >= oldSelf"}]});
    assert_eq!(run(spec(), json!(1), None), []);
    assert_eq!(run(spec(), json!(2), Some(json!(1))), []);
    assert_eq!(short(&run(spec(), json!(0), Some(json!(1)))), [("spec", "Invalid")]);
    let optional = |rule: &str| json!({"type": "integer", "x-kubernetes-validations": [{"rule": rule, "optionalOldSelf": true}]});
    let rule = "oldSelf.hasValue() ? self >= oldSelf.value() : self == 0";
    assert_eq!(run(optional(rule), json!(0), None), []);
    assert_eq!(run(optional(rule), json!(1), None).len(), 1);
    assert_eq!(run(optional(rule), json!(3), Some(json!(2))), []);
    assert_eq!(run(optional(rule), json!(1), Some(json!(2))).len(), 1);
}

#[test]
fn elements_compare_with_their_old_selves_by_key() {
    let schema = keyed(
        json!({"type": "integer", "x-kubernetes-validations": [{"rule": "self == oldSelf"}]}),
    );
    let old = json!({"spec": [{"name": "a", "v": 1}, {"name": "b", "v": 2}]});
    let new =
        json!({"spec": [{"name": "b", "v": 2}, {"name": "a", "v": 3}, {"name": "c", "v": 4}]});
    assert_eq!(short(&validate(&schema, &new, Some(&old))), [("spec[1].v", "Invalid")]);
}

#[test]
fn rules_of_unchanged_values_are_not_asked_again() {
    let spec =
        |rule: &str| json!({"type": "integer", "x-kubernetes-validations": [{ "rule": rule }]});
    assert_eq!(run(spec("self < 5"), json!(7), Some(json!(7))), []);
    assert_eq!(run(spec("self < 5"), json!(8), Some(json!(7))).len(), 1);
    assert_eq!(run(spec("self != oldSelf"), json!(7), Some(json!(7))).len(), 1);
}

#[test]
fn rules_wait_until_the_object_is_whole() {
    let spec = || {
        json!({
            "type": "object", "required": ["a"], "properties": {"a": {"type": "integer", "maximum": 3}},
            "x-kubernetes-validations": [{"rule": "false"}],
        })
    };
    let causes = run(spec(), json!({}), None);
    assert_eq!(short(&causes), [("spec.a", "Required"), ("<nil>", "Invalid")]);
    assert!(causes[1].message.contains("some validation rules were not checked"));
    // A value out of its range does not keep rules from their work.
    assert_eq!(
        short(&run(spec(), json!({"a": 4}), None)),
        [("spec.a", "Invalid"), ("spec", "Invalid")]
    );
}

#[test]
fn a_rule_that_cannot_be_evaluated_fails() {
    for rule in [
        "self.a / 0 == 1",
        "self.a",
        "self.a + 'x' == ''",
        "'%.99999999f'.format([1.0]) != ''",
        "lists.range(self.a * 1000000).size() == 0",
    ] {
        assert!(!holds(json!({"a": {"type": "integer"}}), rule, json!({"a": 5})), "{rule}");
    }
    // A schema that was never checked: closed, not open.
    let raw = json!({"x-kubernetes-validations": [{"rule": "self ="}]});
    let unchecked: Schema = serde_json::from_value(raw).unwrap();
    assert_eq!(short(&validate(&unchecked, &json!({}), None)), [("<nil>", "Invalid")]);
}

#[test]
fn work_is_bounded() {
    let list = json!({"a": {"type": "array", "items": {"type": "integer"}}});
    let value = json!({"a": (0..2000).collect::<Vec<_>>()});
    let cubic = "self.a.all(x, self.a.all(y, self.a.all(z, x + y + z < 100000)))";
    assert!(!holds(list.clone(), cubic, value.clone()));
    assert!(holds(list.clone(), cubic, json!({"a": [1, 2, 3]})));
    assert!(holds(list, "self.a.all(x, x < 2000)", value));
}

#[test]
fn hostile_expressions_are_refused_and_end_nothing() {
    let deep = |open: &str, inner: &str, close: &str, n: usize| {
        format!("{}{inner}{}", open.repeat(n), close.repeat(n))
    };
    for rule in [
        deep("(", "true", ")", 5000),
        deep("[", "1", "]", 5000) + " == []",
        deep("", "1", "+1", 5000) + " == 1",
        deep("", "self", ".a", 5000) + " == 1",
        deep("true ? true : ", "true", "", 1000),
        deep("self.all(x, ", "true", ")", 90),
        deep("size(", "self", ")", 90) + " == 1",
        "a".repeat(100_000),
        "\u{0}\u{1}'\"".to_owned(),
        String::from("'unterminated"),
        "[1,2,".to_owned(),
    ] {
        let raw = json!({"type": "object", "x-kubernetes-validations": [{ "rule": rule }]});
        let causes = structural::read(&raw, "s").unwrap_err();
        assert_eq!(short(&causes), [("s.x-kubernetes-validations[0].rule", "Invalid")]);
    }
    // Deep, and not too deep to evaluate on the stack of a test.
    for rule in [
        deep("size([", "self.a", "])", 30) + " == 1",
        deep("[1].all(x, ", "self.a == 5", ")", 18),
        deep("false ? false : ", "true", "", 55),
    ] {
        assert!(holds(json!({"a": {"type": "integer"}}), &rule, json!({"a": 5})), "{rule}");
    }
}
