//! Validation of objects by their schema: all errors with their paths, those of CEL rules too.

use std::collections::HashSet;

use serde_json::{Number, Value};

use super::{Additional, Limits, META, Place, Schema, cel, format};
use crate::server::status::{Cause, MAX_CAUSES};

/// Everything that is wrong with `new`, the pruned and defaulted object. `old` is what it replaces:
/// what was invalid before and has not changed is tolerated (ratcheting), and transition rules
/// compare with it.
pub fn validate(schema: &Schema, new: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    check(schema, new, old, Place::Root, &mut causes);
    let blocking = |c: &Cause| !matches!(c.reason, "FieldValueInvalid" | "FieldValueDuplicate");
    if causes.iter().any(blocking) {
        if cel::declared(schema) {
            let message = "Invalid value: null: some validation rules were not checked because the \
                 object was invalid; correct the existing errors to complete validation";
            causes.push(Cause::new("FieldValueInvalid", "<nil>", message));
        }
    } else {
        cel::check(schema, new, old, &mut causes);
    }
    causes
}

/// The same for the value of a field, for example a default; without transition rules.
pub(super) fn validate_field(schema: &Schema, value: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    check(schema, value, None, Place::Root, &mut causes);
    if causes.is_empty() {
        cel::check_field(schema, value, &mut causes);
    }
    causes
}

/// Checks `value` and everything in it.
fn check(
    schema: &Schema,
    value: &Value,
    old: Option<&Value>,
    path: Place<'_>,
    out: &mut Vec<Cause>,
) {
    let before = out.len();
    if before >= MAX_CAUSES || value.is_null() && schema.nullable {
        return;
    }
    if own(schema, value, path, out) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    let Some(inner) = member(schema, key) else { continue };
                    let old = old.and_then(|o| o.get(key));
                    check(inner, value, old, Place::Field(&path, key), out);
                }
            }
            Value::Array(list) => {
                unique(schema, list, path, out);
                if let Some(items) = &schema.items {
                    let olds = Correlated::new(schema, old);
                    for (i, value) in list.iter().enumerate() {
                        check(items, value, olds.find(value), Place::Item(&path, i), out);
                    }
                }
            }
            _ => {}
        }
    }
    // Comparing only where something is wrong keeps this linear for good objects.
    if out.len() > before && old == Some(value) {
        out.truncate(before);
    }
}

/// The schema of a member of an object.
pub(super) fn member<'a>(schema: &'a Schema, key: &str) -> Option<&'a Schema> {
    match (schema.properties.get(key), &schema.additional_properties) {
        (Some(property), _) => Some(property),
        (None, Some(Additional::Schema(values))) => Some(values),
        _ => None,
    }
}

/// Old elements of a list by the keys of the new ones: only lists of type `map` have such.
pub(super) struct Correlated<'a> {
    keys: &'a [String],
    olds: std::collections::HashMap<String, &'a Value>,
}

impl<'a> Correlated<'a> {
    pub(super) fn new(schema: &'a Schema, old: Option<&'a Value>) -> Self {
        let keys = schema.list_map_keys.as_slice();
        let old = old.and_then(Value::as_array).filter(|_| schema.list_type == "map");
        let olds = old.into_iter().flatten().map(|v| (list_key(keys, v), v)).collect();
        Self { keys, olds }
    }

    pub(super) fn find(&self, new: &Value) -> Option<&'a Value> {
        if self.olds.is_empty() {
            return None;
        }
        self.olds.get(&list_key(self.keys, new)).copied()
    }
}

/// What identifies an element of a list of type `map`, as JSON.
fn list_key(keys: &[String], value: &Value) -> String {
    let parts = keys.iter().filter_map(|k| Some((k.clone(), value.get(k)?.clone())));
    Value::Object(parts.collect()).to_string()
}

fn unique(schema: &Schema, list: &[Value], path: Place<'_>, out: &mut Vec<Cause>) {
    let map = match schema.list_type.as_str() {
        "map" => true,
        "set" => false,
        _ => return,
    };
    let mut seen = HashSet::new();
    for (i, value) in list.iter().enumerate() {
        let key = if map { list_key(&schema.list_map_keys, value) } else { value.to_string() };
        if out.len() < MAX_CAUSES && seen.contains(&key) {
            let message = format!("Duplicate value: {}", cut(&key));
            out.push(Cause::new("FieldValueDuplicate", format!("{path}[{i}]"), message));
        }
        seen.insert(key);
    }
}

/// Checks `value` itself. False: it is of the wrong type, and there is no use in looking into it.
fn own(schema: &Schema, value: &Value, path: Place<'_>, out: &mut Vec<Cause>) -> bool {
    if let Some(wanted) = wrong_type(schema, value) {
        out.push(of_type(path, wanted, kind_of(value)));
        return false;
    }
    if !schema.enum_.is_empty() && !schema.enum_.iter().any(|e| same(e, value)) {
        let list: Vec<String> = schema.enum_.iter().map(Value::to_string).collect();
        let message =
            format!("Unsupported value: {}: supported values: {}", shown(value), list.join(", "));
        out.push(Cause::new("FieldValueNotSupported", at(path), message));
    }
    let limits = &schema.limits;
    match value {
        Value::Object(map) => {
            for name in schema.required.iter().filter(|n| !map.contains_key(*n)) {
                out.push(Cause::required(Place::Field(&path, name).to_string(), ""));
            }
            if schema.embedded_resource {
                for name in &META[..2] {
                    if map.get(*name).and_then(Value::as_str).is_none_or(str::is_empty) {
                        out.push(Cause::required(
                            Place::Field(&path, name).to_string(),
                            "must not be empty",
                        ));
                    }
                }
            }
            let (min, max) = (limits.min_properties, limits.max_properties);
            count(map.len(), min, max, "properties", path, value, out);
        }
        Value::Array(list) => {
            count(list.len(), limits.min_items, limits.max_items, "items", path, value, out);
        }
        Value::String(text) => string(schema, text, value, path, out),
        Value::Number(number) => numeric(schema, number, value, path, out),
        Value::Null | Value::Bool(_) => {}
    }
    combined(limits, value, path, out);
    true
}

fn count(
    len: usize,
    min: Option<u64>,
    max: Option<u64>,
    what: &str,
    path: Place<'_>,
    value: &Value,
    out: &mut Vec<Cause>,
) {
    let len = len as u64;
    if let Some(min) = min.filter(|m| len < *m) {
        out.push(body(path, value, &format!("should have at least {min} {what}")));
    }
    if let Some(max) = max.filter(|m| len > *m) {
        let message = format!("Too many: {len}: must have at most {max} {what}");
        out.push(Cause::new("FieldValueTooMany", at(path), message));
    }
}

fn string(schema: &Schema, text: &str, value: &Value, path: Place<'_>, out: &mut Vec<Cause>) {
    let limits = &schema.limits;
    // Counted only where it can matter.
    let chars = || text.chars().count() as u64;
    if let Some(min) = limits.min_length.filter(|m| chars() < *m) {
        out.push(body(path, value, &format!("should be at least {min} chars long")));
    }
    if let Some(max) = limits.max_length.filter(|m| text.len() as u64 > *m && chars() > *m) {
        let message = format!("Too long: may not be more than {max} characters");
        out.push(Cause::new("FieldValueTooLong", at(path), message));
    }
    let pattern = &limits.pattern;
    if !pattern.is_empty() {
        // A pattern that does not compile matches nothing: closed, not open.
        let regex = limits.regex.get(|| regex::Regex::new(pattern).ok());
        if !regex.is_some_and(|r| r.is_match(text)) {
            out.push(body(path, value, &format!("should match '{pattern}'")));
        }
    }
    if !format::is(&schema.format, text) {
        out.push(of_type(path, &schema.format, &shown(value)));
    }
}

fn numeric(schema: &Schema, number: &Number, value: &Value, path: Place<'_>, out: &mut Vec<Cause>) {
    let Limits { minimum, maximum, exclusive_minimum, exclusive_maximum, multiple_of, .. } =
        &schema.limits;
    let fits = match schema.format.as_str() {
        "int32" => {
            number.as_f64().is_some_and(|n| (-2_147_483_648.0..2_147_483_648.0).contains(&n))
        }
        "int64" => {
            number.is_i64() || number.is_f64() && number.as_f64().is_some_and(|n| n.abs() < 9.2e18)
        }
        "uint32" => number.as_f64().is_some_and(|n| (0.0..4_294_967_296.0).contains(&n)),
        _ => true,
    };
    if !fits {
        out.push(body(path, value, &format!("must be of type {}", schema.format)));
    }
    if let Some(min) = minimum {
        let order = compare(number, min);
        if order.is_lt() || *exclusive_minimum && order.is_eq() {
            let or = if *exclusive_minimum { "" } else { " or equal to" };
            out.push(body(path, value, &format!("should be greater than{or} {}", plain(min))));
        }
    }
    if let Some(max) = maximum {
        let order = compare(number, max);
        if order.is_gt() || *exclusive_maximum && order.is_eq() {
            let or = if *exclusive_maximum { "" } else { " or equal to" };
            out.push(body(path, value, &format!("should be less than{or} {}", plain(max))));
        }
    }
    if let Some(of) = multiple_of
        && !multiple(number, of)
    {
        out.push(body(path, value, &format!("should be a multiple of {}", plain(of))));
    }
}

/// `1.0` of a schema reads as `1`.
fn plain(number: &Number) -> String {
    number.as_f64().map_or_else(|| number.to_string(), |n| n.to_string())
}

fn compare(a: &Number, b: &Number) -> std::cmp::Ordering {
    match (a.as_i128(), b.as_i128()) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(std::cmp::Ordering::Equal),
    }
}

fn multiple(number: &Number, of: &Number) -> bool {
    if let (Some(n), Some(of)) = (number.as_i128(), of.as_i128()) {
        return of != 0 && n % of == 0;
    }
    let (Some(n), Some(of)) = (number.as_f64(), of.as_f64()) else { return false };
    let times = n / of;
    (times - times.round()).abs() < 1e-9
}

fn combined(limits: &Limits, value: &Value, path: Place<'_>, out: &mut Vec<Cause>) {
    let tried = |schema: &Schema| {
        let mut causes = Vec::new();
        check(schema, value, None, path, &mut causes);
        causes
    };
    let say = |text: &str| {
        Cause::new("FieldValueInvalid", at(path), {
            format!("Invalid value: \"{}\": \"{path}\" {text}", kind_of(value))
        })
    };
    for schema in &limits.all_of {
        out.extend(tried(schema));
    }
    let choices = |list: &[Schema]| -> (usize, Vec<Cause>) {
        let all: Vec<Vec<Cause>> = list.iter().map(tried).collect();
        let good = all.iter().filter(|c| c.is_empty()).count();
        // What is least wrong tells people most.
        (good, all.into_iter().min_by_key(Vec::len).unwrap_or_default())
    };
    if !limits.any_of.is_empty() {
        let (good, best) = choices(&limits.any_of);
        if good == 0 {
            out.push(say("must validate at least one schema (anyOf)"));
            out.extend(best);
        }
    }
    if !limits.one_of.is_empty() {
        let (good, best) = choices(&limits.one_of);
        if good == 0 {
            out.push(say("must validate one and only one schema (oneOf). Found none valid"));
            out.extend(best);
        } else if good > 1 {
            out.push(say(&format!(
                "must validate one and only one schema (oneOf). Found {good} valid alternatives"
            )));
        }
    }
    if let Some(not) = &limits.not
        && tried(not).is_empty()
    {
        out.push(say("must not validate the schema (not)"));
    }
}

/// The type that `value` should have and has not.
fn wrong_type<'a>(schema: &'a Schema, value: &Value) -> Option<&'a str> {
    let integer = value.as_f64().is_some_and(|n| n.fract() == 0.0);
    if schema.int_or_string {
        return (!integer && !value.is_string()).then_some("integer or string");
    }
    let fits = match schema.type_.as_str() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => integer,
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        _ => true,
    };
    (!fits).then_some(&schema.type_)
}

/// Equality as JSON has it: `1` and `1.0` are the same number.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => compare(a, b).is_eq(),
        _ => a == b,
    }
}

pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The name of a path in a cause.
pub(super) fn at(path: Place<'_>) -> String {
    if path.is_root() { "<nil>".to_owned() } else { path.to_string() }
}

fn of_type(path: Place<'_>, wanted: &str, got: &str) -> Cause {
    let got = if got.starts_with('"') { got.to_owned() } else { format!("\"{got}\"") };
    let name = at(path);
    let message = format!("Invalid value: {got}: {name} in body must be of type {wanted}: {got}");
    Cause::new("FieldValueTypeInvalid", name, message)
}

fn body(path: Place<'_>, value: &Value, text: &str) -> Cause {
    let name = at(path);
    let message = format!("Invalid value: {}: {name} in body {text}", shown(value));
    Cause::new("FieldValueInvalid", name, message)
}

/// A value in a message: scalars as JSON, the rest by its type.
fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) | Value::Object(_) => format!("\"{}\"", kind_of(value)),
        _ => cut(&value.to_string()),
    }
}

/// At most 256 characters of `text`.
pub(crate) fn cut(text: &str) -> String {
    match text.char_indices().nth(256) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
