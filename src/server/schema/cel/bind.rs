//! Values as rules see them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use base64::Engine;
use kube_cel::cel::objects::{Key, Map, Value as Cel};
use serde_json::Value;

use crate::server::schema::{Additional, META, Schema, format};

/// Words that cannot be field names in CEL.
const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// A property's name in CEL, as Kubernetes escapes it (apiserver `pkg/cel/escaping.go`).
pub(super) fn escape(name: &str) -> String {
    if RESERVED.contains(&name) {
        return format!("__{name}__");
    }
    name.replace("__", "__underscores__")
        .replace('.', "__dot__")
        .replace('-', "__dash__")
        .replace('/', "__slash__")
}

/// `value` as rules see it: fields of the schema only, a null field is an absent one, of the
/// metadata only the names. `only`: of an object, only these fields.
pub(super) fn bind(
    schema: &Schema,
    value: &Value,
    root: bool,
    only: Option<&BTreeSet<&str>>,
) -> Cel {
    let wanted = |name: &str| only.is_none_or(|only| only.contains(name));
    match value {
        Value::Null => Cel::Null,
        Value::Bool(b) => Cel::Bool(*b),
        Value::Number(n) if schema.type_ == "number" => Cel::Float(n.as_f64().unwrap_or(f64::NAN)),
        Value::Number(n) => match (n.as_i64(), n.as_u64(), n.as_f64()) {
            (Some(n), ..) => Cel::Int(n),
            (_, Some(n), _) => Cel::UInt(n),
            #[expect(clippy::cast_possible_truncation, reason = "within 2^53, and whole")]
            (.., Some(n)) if n.fract() == 0.0 && n.abs() < 9e15 => Cel::Int(n as i64),
            (.., n) => Cel::Float(n.unwrap_or(f64::NAN)),
        },
        Value::String(text) => string(&schema.format, text),
        Value::Array(list) => {
            let Some(items) = &schema.items else { return Cel::List(Arc::default()) };
            Cel::List(Arc::new(list.iter().map(|v| bind(items, v, false, None)).collect()))
        }
        Value::Object(map) => {
            let mut fields = HashMap::new();
            let mut put =
                |name: String, value: Cel| fields.insert(Key::String(Arc::new(name)), value);
            let resource = root || schema.embedded_resource;
            if resource {
                for name in META.into_iter().filter(|name| wanted(name)) {
                    put(name.to_owned(), meta(name, map.get(name)));
                }
            }
            for (key, value) in map {
                if resource && META.contains(&key.as_str()) {
                    continue;
                }
                let (name, inner) =
                    match (schema.properties.get(key), &schema.additional_properties) {
                        (Some(_), _) if value.is_null() => continue,
                        (Some(inner), _) => (escape(key), inner),
                        (None, Some(Additional::Schema(inner))) => (key.clone(), &**inner),
                        _ => continue,
                    };
                if wanted(&name) {
                    put(name, bind(inner, value, false, None));
                }
            }
            Cel::Map(Map { map: Arc::new(fields) })
        }
    }
}

/// `apiVersion`, `kind`, or the names in `metadata`.
fn meta(name: &str, value: Option<&Value>) -> Cel {
    if name != "metadata" {
        return Cel::from(value.and_then(Value::as_str).unwrap_or_default());
    }
    let names = ["name", "generateName"].into_iter().filter_map(|name| {
        let text = value?.get(name)?.as_str()?;
        Some((Key::from(name), Cel::from(text)))
    });
    Cel::Map(Map { map: Arc::new(names.collect()) })
}

/// Strings of some formats are values of their own in CEL.
fn string(format: &str, text: &str) -> Cel {
    let special = match format {
        // chrono is the crate's time library; its types are named by inference only.
        "date-time" | "datetime" => text.parse().ok().map(Cel::Timestamp),
        "date" if format::date(text) => {
            format!("{text}T00:00:00Z").parse().ok().map(Cel::Timestamp)
        }
        "duration" => format::duration(text).and_then(duration),
        "byte" => {
            let bytes = base64::engine::general_purpose::STANDARD.decode(text);
            bytes.ok().map(|bytes| Cel::Bytes(Arc::new(bytes)))
        }
        _ => None,
    };
    special.unwrap_or_else(|| Cel::from(text))
}

fn duration(nanos: i64) -> Option<Cel> {
    let Ok(Cel::Timestamp(zero)) = "1970-01-01T00:00:00Z".parse().map(Cel::Timestamp) else {
        return None;
    };
    let later = zero + std::time::Duration::from_nanos(nanos.unsigned_abs());
    Some(Cel::Duration(if nanos < 0 { zero - later } else { later - zero }))
}
