//! Whether a schema is structural: the check that a CRD's schema must pass.
//!
//! Rules and field paths follow apiextensions' validation of `JSONSchemaProps` and of structural
//! schemas: everything that prunes or defaults stands in the schema itself, while `allOf`, `anyOf`,
//! `oneOf` and `not` hold restrictions of values only.

use serde::Deserialize;
use serde_json::Value;

use super::{Additional, META, Schema, cel, default, prune, validate};
use crate::server::status::Cause;

/// Reads the schema `raw`, which stands at `path`, and checks it.
///
/// # Errors
///
/// All that is wrong with it, by field.
pub fn read(raw: &Value, path: &str) -> Result<Schema, Vec<Cause>> {
    let mut out = Vec::new();
    forbidden(raw, path, &mut out);
    match Schema::deserialize(raw) {
        Ok(schema) => {
            main(&schema, &At { path, root: true, element: false, comparable: true }, &mut out);
            if out.is_empty() {
                defaults(&schema, path, &mut out);
            }
            if out.is_empty() { Ok(schema) } else { Err(out) }
        }
        Err(error) => {
            let message = format!("Invalid value: \"object\": {error}");
            out.push(Cause::new("FieldValueTypeInvalid", path, message));
            Err(out)
        }
    }
}

/// Words of JSON Schema that CRDs may not use.
const FORBIDDEN: [&str; 5] =
    ["$ref", "definitions", "dependencies", "patternProperties", "additionalItems"];

/// Finds what the typed schema no longer shows.
fn forbidden(raw: &Value, path: &str, out: &mut Vec<Cause>) {
    let Value::Object(map) = raw else { return };
    for word in FORBIDDEN {
        if map.get(word).is_some_and(|v| !v.is_null()) {
            out.push(Cause::forbidden(
                format!("{path}.{word}"),
                format!("{word} is not supported"),
            ));
        }
    }
    for (word, value) in map {
        match (word.as_str(), value) {
            ("properties", Value::Object(properties)) => {
                for (name, value) in properties {
                    forbidden(value, &format!("{path}.properties[{name}]"), out);
                }
            }
            ("allOf" | "anyOf" | "oneOf", Value::Array(list)) => {
                for (i, value) in list.iter().enumerate() {
                    forbidden(value, &format!("{path}.{word}[{i}]"), out);
                }
            }
            ("items" | "additionalProperties" | "not", value) => {
                forbidden(value, &format!("{path}.{word}"), out);
            }
            _ => {}
        }
    }
}

/// Where a part of a schema stands.
struct At<'a> {
    path: &'a str,
    root: bool,
    /// It is the schema of a list's elements.
    element: bool,
    /// Whether its values have old values: not in lists of type `atomic` and `set`.
    comparable: bool,
}

fn invalid(path: String, value: impl Into<Value>, message: &str) -> Cause {
    Cause::invalid(path, &value.into(), message)
}

fn unsupported(path: String, value: &str, supported: &[&str]) -> Cause {
    let list: Vec<String> = supported.iter().map(|s| format!("{s:?}")).collect();
    let message = format!("Unsupported value: {value:?}: supported values: {}", list.join(", "));
    Cause::new("FieldValueNotSupported", path, message)
}

fn main(schema: &Schema, at: &At<'_>, out: &mut Vec<Cause>) {
    let path = at.path;
    types(schema, at, out);
    if let Some(additional) = &schema.additional_properties {
        let path = format!("{path}.additionalProperties");
        match additional {
            _ if !schema.properties.is_empty() => out.push(Cause::forbidden(
                path,
                "additionalProperties and properties are mutual exclusive",
            )),
            _ if at.root => out.push(Cause::forbidden(path, "must not be used at the root")),
            Additional::Any(false) => {
                out.push(Cause::forbidden(path, "additionalProperties cannot be set to false"));
            }
            Additional::Any(true) => {}
            Additional::Schema(inner) => {
                main(inner, &At { path: &path, root: false, element: false, ..*at }, out);
            }
        }
    }
    for (name, property) in &schema.properties {
        let path = format!("{path}.properties[{name}]");
        if (at.root || schema.embedded_resource) && META.contains(&name.as_str()) {
            meta(name, property, &path, out);
        }
        main(property, &At { path: &path, root: false, element: false, ..*at }, out);
    }
    lists(schema, path, out);
    if let Some(items) = &schema.items {
        let path = format!("{path}.items");
        let comparable = at.comparable && schema.list_type == "map";
        main(items, &At { path: &path, root: false, element: true, comparable }, out);
    }
    limits(schema, path, out);
    nested(schema, &mut |part, tail, word| {
        value_part(part, schema, &format!("{path}{tail}"), word, out);
    });
    rules(schema, at, out);
}

/// What may be said of a schema's own type.
fn types(schema: &Schema, at: &At<'_>, out: &mut Vec<Cause>) {
    let field = |name: &str| format!("{}.{name}", at.path);
    let kind = schema.type_.as_str();
    let known = ["array", "boolean", "integer", "number", "object", "string"];
    match kind {
        "" if schema.int_or_string => {}
        "" if schema.preserve_unknown_fields && !at.root => {}
        "" if at.root => out.push(Cause::required(field("type"), "must not be empty at the root")),
        "" => {
            let what = if at.element { "array items" } else { "object fields" };
            let why = format!("must not be empty for specified {what}");
            out.push(Cause::required(field("type"), why));
        }
        _ if !known.contains(&kind) => out.push(unsupported(field("type"), kind, &known)),
        _ if at.root && kind != "object" => {
            out.push(invalid(field("type"), kind, "must be object at the root"));
        }
        _ if schema.int_or_string => {
            let why = "must be empty if x-kubernetes-int-or-string is true";
            out.push(invalid(field("type"), kind, why));
        }
        _ => {}
    }
    if at.root && schema.nullable {
        out.push(Cause::forbidden(field("nullable"), "nullable cannot be true at the root"));
    }
    if schema.preserve_unknown_fields && !matches!(kind, "" | "object") {
        let why = "must be object if x-kubernetes-preserve-unknown-fields is true";
        out.push(invalid(field("type"), kind, why));
    }
    if schema.embedded_resource {
        if kind != "object" {
            let why = "must be object if x-kubernetes-embedded-resource is true";
            out.push(invalid(field("type"), kind, why));
        }
        if schema.properties.is_empty() && !schema.preserve_unknown_fields {
            let why = "must not be empty if x-kubernetes-embedded-resource is true without \
                 x-kubernetes-preserve-unknown-fields";
            out.push(Cause::required(field("properties"), why));
        }
    }
    if !matches!(kind, "" | "object") && !schema.properties.is_empty() {
        out.push(Cause::forbidden(field("properties"), "must be empty unless type is object"));
    }
    if kind == "array" && schema.items.is_none() {
        out.push(Cause::required(field("items"), "must be specified"));
    }
    match schema.map_type.as_str() {
        "" => {}
        "atomic" | "granular" if kind == "object" => {}
        "atomic" | "granular" => {
            let why = "must be object if x-kubernetes-map-type is specified";
            out.push(invalid(field("type"), kind, why));
        }
        other => {
            out.push(unsupported(field("x-kubernetes-map-type"), other, &["atomic", "granular"]));
        }
    }
}

/// `apiVersion`, `kind` and `metadata` are the server's; a schema may only restrict names.
fn meta(name: &str, schema: &Schema, path: &str, out: &mut Vec<Cause>) {
    let wanted = if name == "metadata" { "object" } else { "string" };
    if schema.type_ != wanted {
        let why = format!("must be {wanted}");
        out.push(invalid(format!("{path}.type"), schema.type_.as_str(), &why));
    }
    let bare = Schema {
        type_: schema.type_.clone(),
        description: schema.description.clone(),
        properties: schema.properties.clone(),
        ..Schema::default()
    };
    let names = ["name", "generateName"];
    let others = schema.properties.keys().any(|k| !names.contains(&k.as_str()));
    if name == "metadata" && (others || *schema != bare) {
        let why = "must not specify anything other than name and generateName, but metadata is \
             implicitly specified";
        out.push(Cause::forbidden(path, why));
    }
}

/// `x-kubernetes-list-type` and its keys.
fn lists(schema: &Schema, path: &str, out: &mut Vec<Cause>) {
    let field = |name: &str| format!("{path}.{name}");
    let kind = schema.list_type.as_str();
    if !kind.is_empty() && schema.type_ != "array" {
        let why = "must be array if x-kubernetes-list-type is specified";
        out.push(invalid(field("type"), schema.type_.as_str(), why));
    }
    if !schema.list_map_keys.is_empty() && kind != "map" {
        let why = "must be map if x-kubernetes-list-map-keys is non-empty";
        out.push(invalid(field("x-kubernetes-list-type"), kind, why));
    }
    let Some(items) = schema.items.as_deref() else { return };
    match kind {
        "" | "atomic" => {}
        "set" => {
            if items.nullable {
                let why = "cannot be nullable when x-kubernetes-list-type is set";
                out.push(Cause::forbidden(field("items.nullable"), why));
            }
            let atomic = match items.type_.as_str() {
                "object" => items.map_type == "atomic",
                "array" => matches!(items.list_type.as_str(), "" | "atomic"),
                _ => true,
            };
            if !atomic {
                let why = "must be atomic as item of a list with x-kubernetes-list-type=set";
                let name = if items.type_ == "object" {
                    "x-kubernetes-map-type"
                } else {
                    "x-kubernetes-list-type"
                };
                out.push(invalid(format!("{path}.items.{name}"), "", why));
            }
        }
        "map" => {
            if items.type_ != "object" {
                let why = "must be object if parent array's x-kubernetes-list-type is map";
                out.push(invalid(field("items.type"), items.type_.as_str(), why));
            }
            if items.nullable {
                let why = "cannot be nullable when x-kubernetes-list-type is map";
                out.push(Cause::forbidden(field("items.nullable"), why));
            }
            keys(schema, items, path, out);
        }
        other => {
            let supported = ["atomic", "map", "set"];
            out.push(unsupported(field("x-kubernetes-list-type"), other, &supported));
        }
    }
}

fn keys(schema: &Schema, items: &Schema, path: &str, out: &mut Vec<Cause>) {
    let field = format!("{path}.x-kubernetes-list-map-keys");
    if schema.list_map_keys.is_empty() {
        out.push(Cause::required(&field, "must not be empty if x-kubernetes-list-type is map"));
    }
    for (i, key) in schema.list_map_keys.iter().enumerate() {
        let at = format!("{field}[{i}]");
        let property = format!("{path}.items.properties[{key}]");
        if schema.list_map_keys.iter().take(i).any(|k| k == key) {
            out.push(Cause::new("FieldValueDuplicate", &at, format!("Duplicate value: {key:?}")));
        }
        let Some(found) = items.properties.get(key) else {
            out.push(invalid(at, key.as_str(), "entries must all be names of item properties"));
            continue;
        };
        if matches!(found.type_.as_str(), "object" | "array") {
            let why = "must be a scalar type if parent array's x-kubernetes-list-type is map";
            out.push(invalid(format!("{property}.type"), found.type_.as_str(), why));
        }
        if found.nullable {
            let why = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            out.push(Cause::forbidden(format!("{property}.nullable"), why));
        }
        if found.default.is_none() && !items.required.contains(key) {
            let why = "this property is in x-kubernetes-list-map-keys, so it must have a default \
                 or be a required property";
            out.push(Cause::required(format!("{property}.default"), why));
        }
    }
}

fn limits(schema: &Schema, path: &str, out: &mut Vec<Cause>) {
    let limits = &schema.limits;
    if limits.unique_items {
        let why =
            "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        out.push(Cause::forbidden(format!("{path}.uniqueItems"), why));
    }
    let pattern = limits.pattern.as_str();
    if !pattern.is_empty()
        && let Err(error) = regex::Regex::new(pattern)
    {
        let why = format!("must be a valid regular expression, but isn't: {error}");
        out.push(invalid(format!("{path}.pattern"), pattern, &why));
    }
}

/// Calls `each` with every part of `allOf`, `anyOf`, `oneOf` and `not`, the path to it and the word.
fn nested(schema: &Schema, each: &mut dyn FnMut(&Schema, &str, &str)) {
    let limits = &schema.limits;
    for (word, list) in
        [("allOf", &limits.all_of), ("anyOf", &limits.any_of), ("oneOf", &limits.one_of)]
    {
        for (i, part) in list.iter().enumerate() {
            each(part, &format!(".{word}[{i}]"), word);
        }
    }
    if let Some(part) = &limits.not {
        each(part, ".not", "not");
    }
}

/// A part that may only restrict values of `whole`, the structural schema of the same place.
fn value_part(part: &Schema, whole: &Schema, path: &str, word: &str, out: &mut Vec<Cause>) {
    // `anyOf: [{type: integer}, {type: string}]` says again what x-kubernetes-int-or-string says.
    let repeats = whole.int_or_string && word == "anyOf";
    let said = [
        ("type", !part.type_.is_empty() && !repeats),
        ("description", !part.description.is_empty()),
        ("default", part.default.is_some()),
        ("nullable", part.nullable),
        ("additionalProperties", part.additional_properties.is_some()),
        ("x-kubernetes-preserve-unknown-fields", part.preserve_unknown_fields),
        ("x-kubernetes-embedded-resource", part.embedded_resource),
        ("x-kubernetes-int-or-string", part.int_or_string),
        ("x-kubernetes-list-type", !part.list_type.is_empty()),
        ("x-kubernetes-list-map-keys", !part.list_map_keys.is_empty()),
        ("x-kubernetes-map-type", !part.map_type.is_empty()),
        ("x-kubernetes-validations", !part.rules.is_empty()),
    ];
    for (name, _) in said.iter().filter(|(_, said)| *said) {
        let why = "must be empty to be structural";
        out.push(Cause::forbidden(format!("{path}.{name}"), why));
    }
    limits(part, path, out);
    let because = |tail: &str| format!("because it is defined in {path}{tail}");
    for (name, inner) in &part.properties {
        let tail = format!(".properties[{name}]");
        match whole.properties.get(name) {
            Some(whole) => value_part(inner, whole, &format!("{path}{tail}"), "", out),
            None if whole.preserve_unknown_fields || whole.additional_properties.is_some() => {}
            None => {
                let steps: Vec<&str> = path.split('.').filter(|s| !of_words(s)).collect();
                let place = steps.join(".");
                out.push(Cause::required(format!("{place}{tail}"), because(&tail)));
            }
        }
    }
    if let Some(inner) = &part.items {
        match &whole.items {
            Some(whole) => value_part(inner, whole, &format!("{path}.items"), "", out),
            None => out.push(Cause::required(format!("{path}.items"), because(".items"))),
        }
    }
    nested(part, &mut |inner, tail, word| {
        value_part(inner, whole, &format!("{path}{tail}"), word, out);
    });
}

/// Whether a step of a path is one of `allOf[0]`, `not`, …
fn of_words(step: &str) -> bool {
    step == "not" || ["allOf[", "anyOf[", "oneOf["].iter().any(|w| step.starts_with(w))
}

/// CEL rules compile and say what they may.
fn rules(schema: &Schema, at: &At<'_>, out: &mut Vec<Cause>) {
    const REASONS: [&str; 4] =
        ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];
    for (i, rule) in schema.rules.iter().enumerate() {
        let field = |name: &str| format!("{}.x-kubernetes-validations[{i}].{name}", at.path);
        if rule.rule.trim().is_empty() {
            out.push(Cause::required(field("rule"), "rule is not specified"));
            continue;
        }
        match cel::compile(rule) {
            Ok(compiled) if compiled.transition && !at.comparable => {
                let why = "oldSelf cannot be used on the uncorrelatable portion of the schema";
                out.push(invalid(field("rule"), rule.rule.as_str(), why));
            }
            Ok(compiled) if rule.optional_old_self.is_some() && !compiled.transition => {
                let why = "may not be set if oldSelf is not used in rule";
                out.push(invalid(field("optionalOldSelf"), true, why));
            }
            Ok(compiled) => {
                if let Some(name) = compiled.unknown_field(schema) {
                    let why = format!("compilation failed: undefined field '{name}'");
                    out.push(invalid(field("rule"), rule.rule.as_str(), &why));
                }
            }
            Err((name, why)) => {
                let text = if name == "rule" {
                    rule.rule.as_str()
                } else {
                    rule.message_expression.as_str()
                };
                out.push(invalid(field(name), text, &why));
            }
        }
        if rule.message.contains('\n') {
            let why = "message must not contain line breaks";
            out.push(invalid(field("message"), rule.message.as_str(), why));
        }
        if !rule.reason.is_empty() && !REASONS.contains(&rule.reason.as_str()) {
            out.push(unsupported(field("reason"), &rule.reason, &REASONS));
        }
        if !rule.field_path.is_empty() && !names_field(schema, &rule.field_path) {
            let why = "fieldPath must be a valid path to a field of the schema";
            out.push(invalid(field("fieldPath"), rule.field_path.as_str(), why));
        }
    }
}

fn names_field(schema: &Schema, path: &str) -> bool {
    let Some(segments) = cel::segments(path) else { return false };
    let mut here = schema;
    segments.iter().all(|name| match validate::member(here, name) {
        Some(inner) => {
            here = inner;
            true
        }
        None => false,
    })
}

/// Defaults are pruned, complete and valid themselves. Only asked of a schema that is sound.
fn defaults(schema: &Schema, path: &str, out: &mut Vec<Cause>) {
    if let Some(value) = &schema.default {
        let path = format!("{path}.default");
        let mut filled = value.clone();
        let unknown = prune::prune_field(schema, &mut filled);
        if !unknown.is_empty() {
            let why = format!("must not have unknown fields: {}", unknown.join(", "));
            out.push(invalid(path.clone(), "object", &why));
        }
        if !default::default(schema, &mut filled) {
            out.push(invalid(path, "object", "must not unfold to so many values"));
            return;
        }
        for mut cause in validate::validate_field(schema, &filled) {
            let field = std::mem::take(&mut cause.field);
            let dot = if field.starts_with('[') { "" } else { "." };
            cause.field =
                if field == "<nil>" { path.clone() } else { format!("{path}{dot}{field}") };
            out.push(cause);
        }
    }
    for (name, property) in &schema.properties {
        defaults(property, &format!("{path}.properties[{name}]"), out);
    }
    if let Some(Additional::Schema(inner)) = &schema.additional_properties {
        defaults(inner, &format!("{path}.additionalProperties"), out);
    }
    if let Some(items) = &schema.items {
        defaults(items, &format!("{path}.items"), out);
    }
}
