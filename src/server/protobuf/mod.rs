//! Protobuf bodies of built-in kinds, read as the JSON that they stand for.
//!
//! client-go sends them for every kind that it has a Go type of, so `kubectl auth can-i` and
//! `certificate approve` do. Nothing is ever answered in protobuf: every client that sends it
//! takes JSON too. The table in `messages` says what the bytes mean; here is what reads it.

mod messages;
#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use serde_json::Value;

use super::status::{ApiError, ApiResult};

/// The content type.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// What a body begins with (apimachinery: `pkg/runtime/serializer/protobuf/protobuf.go`).
const MAGIC: &[u8] = b"k8s\0";

/// `runtime.Unknown`: what is around every object.
const UNKNOWN: &[Field] = &[
    field(1, "typeMeta", Type::Message(TYPE_META)),
    field(2, "raw", Type::Bytes),
    field(3, "contentEncoding", Type::String),
];

/// `runtime.TypeMeta`
const TYPE_META: &[Field] = &[field(1, "apiVersion", Type::String), field(2, "kind", Type::String)];

/// Reads a body: the JSON of the object in it.
///
/// # Errors
/// 400 if the bytes are not a message, 415 if they are one of a kind that is not in the table.
pub fn decode(body: &[u8]) -> ApiResult<Value> {
    let envelope = body.strip_prefix(MAGIC).ok_or_else(|| bad("it does not begin with k8s"))?;
    let (api_version, kind, raw) = unwrap_envelope(envelope)?;
    let fields = if kind == "DeleteOptions" {
        // Every group has them.
        messages::DELETE_OPTIONS
    } else {
        let known = messages::KINDS.iter().find(|(v, k, _)| *v == api_version && *k == kind);
        known.map(|(_, _, fields)| *fields).ok_or_else(|| {
            let what = format!("{api_version:?}, kind {kind:?}");
            let message = format!("protobuf is not understood for apiVersion {what}; send JSON");
            ApiError::new(415, "UnsupportedMediaType", message)
        })?
    };
    let mut object = message(fields, raw)?;
    object.insert("apiVersion".to_owned(), api_version.into());
    object.insert("kind".to_owned(), kind.into());
    Ok(object.into())
}

/// apiVersion, kind and the bytes of the object.
fn unwrap_envelope(mut buffer: &[u8]) -> ApiResult<(String, String, &[u8])> {
    let mut raw: &[u8] = &[];
    let mut rest = Vec::new();
    while !buffer.is_empty() {
        let before = buffer;
        let (number, wire) = key(&mut buffer)?;
        if (number, wire) == (2, WireType::LengthDelimited) {
            raw = delimited(&mut buffer)?;
        } else {
            skip(number, wire, &mut buffer)?;
            rest.extend_from_slice(before.get(..before.len() - buffer.len()).unwrap_or_default());
        }
    }
    let unknown = message(UNKNOWN, &rest)?;
    if unknown.contains_key("contentEncoding") {
        return Err(bad("its content is encoded"));
    }
    let text = |name: &str| {
        let text = unknown.get("typeMeta").and_then(|t| t.get(name)).and_then(Value::as_str);
        text.map(str::to_owned).ok_or_else(|| bad(&format!("its {name} is missing")))
    };
    Ok((text("apiVersion")?, text("kind")?, raw))
}

/// A field of a message.
struct Field {
    number: u32,
    /// Its name in JSON.
    name: &'static str,
    type_: Type,
    /// Whether it may be there more than once.
    repeated: bool,
    /// Whether JSON has it even if it is zero. Go writes the zero of every field that is no pointer
    /// to protobuf, and leaves most of them out of JSON.
    kept: bool,
}

const fn field(number: u32, name: &'static str, type_: Type) -> Field {
    Field { number, name, type_, repeated: false, kept: false }
}

impl Field {
    const fn list(mut self) -> Self {
        self.repeated = true;
        self
    }

    const fn kept(mut self) -> Self {
        self.kept = true;
        self
    }
}

/// What a field holds.
#[derive(Clone, Copy)]
enum Type {
    Bool,
    /// `int32` or `int64`
    Integer,
    String,
    /// Base64 in JSON.
    Bytes,
    /// `Time`: RFC 3339 in JSON.
    Time,
    /// The same with microseconds.
    MicroTime,
    /// `FieldsV1`: a message whose one field is JSON text.
    Json,
    /// `ExtraValue`: a message whose one field is a list of strings, and in JSON only the list.
    Strings,
    Message(&'static [Field]),
    /// A map from strings.
    Map(&'static Self),
}

const EXTRA_VALUE: &[Field] = &[field(1, "items", Type::String).list()];
const FIELDS_V1: u32 = 1;

type Object = serde_json::Map<String, Value>;

/// Reads a message. Unknown fields are skipped. The tables do not contain themselves, so that they
/// bound the depth.
fn message(fields: &[Field], mut buffer: &[u8]) -> ApiResult<Object> {
    let mut object = Object::new();
    while !buffer.is_empty() {
        let (number, wire) = key(&mut buffer)?;
        let Some(field) = fields.iter().find(|f| f.number == number) else {
            skip(number, wire, &mut buffer)?;
            continue;
        };
        let name = || field.name.to_owned();
        if let Type::Map(values) = field.type_ {
            let (key, value) = entry(*values, expect(field, wire, &mut buffer)?)?;
            let map = object.entry(name()).or_insert_with(|| Object::new().into());
            if let Value::Object(map) = map {
                map.insert(key, value);
            }
            continue;
        }
        let value = match field.type_ {
            Type::Bool | Type::Integer if wire != WireType::Varint => {
                return Err(bad(&format!("{} has the wrong wire type", field.name)));
            }
            Type::Bool => (varint(&mut buffer)? != 0).into(),
            Type::Integer => varint(&mut buffer)?.cast_signed().into(),
            type_ => delimited_value(type_, expect(field, wire, &mut buffer)?)?,
        };
        if field.repeated {
            if let Value::Array(list) = object.entry(name()).or_insert_with(empty_list) {
                list.push(value);
            }
        } else if field.kept || !is_zero(&value) {
            object.insert(name(), value);
        }
    }
    Ok(object)
}

/// The bytes of a length-delimited field.
fn expect<'a>(field: &Field, wire: WireType, buffer: &mut &'a [u8]) -> ApiResult<&'a [u8]> {
    if wire != WireType::LengthDelimited {
        return Err(bad(&format!("{} has the wrong wire type", field.name)));
    }
    delimited(buffer)
}

/// A map's entry is a message with a key and a value; either may be left out.
fn entry(values: Type, mut buffer: &[u8]) -> ApiResult<(String, Value)> {
    let (mut name, mut value) = (String::new(), delimited_value(values, &[])?);
    while !buffer.is_empty() {
        match key(&mut buffer)? {
            (1, WireType::LengthDelimited) => name = text(delimited(&mut buffer)?)?,
            (2, WireType::LengthDelimited) => {
                value = delimited_value(values, delimited(&mut buffer)?)?;
            }
            (number, wire) => skip(number, wire, &mut buffer)?,
        }
    }
    Ok((name, value))
}

/// The value that `bytes` stand for. Null is a time that is not set.
fn delimited_value(type_: Type, bytes: &[u8]) -> ApiResult<Value> {
    Ok(match type_ {
        Type::String => text(bytes)?.into(),
        Type::Bytes => STANDARD.encode(bytes).into(),
        Type::Time => time(bytes, 0)?,
        Type::MicroTime => time(bytes, 6)?,
        Type::Message(fields) => message(fields, bytes)?.into(),
        Type::Strings => message(EXTRA_VALUE, bytes)?.remove("items").unwrap_or_else(empty_list),
        Type::Json => {
            let mut buffer = bytes;
            let mut json: &[u8] = b"{}";
            while !buffer.is_empty() {
                match key(&mut buffer)? {
                    (FIELDS_V1, WireType::LengthDelimited) => json = delimited(&mut buffer)?,
                    (number, wire) => skip(number, wire, &mut buffer)?,
                }
            }
            serde_json::from_slice(json).map_err(|cause| bad(&cause.to_string()))?
        }
        Type::Bool | Type::Integer | Type::Map(_) => Value::Null,
    })
}

/// `Timestamp{1: seconds, 2: nanos}`; without either it is the zero time, which JSON has as null.
fn time(mut buffer: &[u8], digits: usize) -> ApiResult<Value> {
    if buffer.is_empty() {
        return Ok(Value::Null);
    }
    let (mut seconds, mut nanos) = (0, 0);
    while !buffer.is_empty() {
        match key(&mut buffer)? {
            (1, WireType::Varint) => seconds = varint(&mut buffer)?.cast_signed(),
            (2, WireType::Varint) => nanos = varint(&mut buffer)?.cast_signed(),
            (number, wire) => skip(number, wire, &mut buffer)?,
        }
    }
    let nanos = i32::try_from(nanos).ok().filter(|n| (0..1_000_000_000).contains(n));
    let time = nanos.and_then(|n| Timestamp::new(seconds, n).ok()).filter(|_| seconds >= YEAR_1);
    let time = time.ok_or_else(|| bad("a time is out of range"))?;
    Ok(format!("{time:.digits$}").into())
}

/// First second of the year 1, before which RFC 3339 has no times.
const YEAR_1: i64 = -62_135_596_800;

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

fn text(bytes: &[u8]) -> ApiResult<String> {
    let text = std::str::from_utf8(bytes).map_err(|cause| bad(&cause.to_string()))?;
    Ok(text.to_owned())
}

fn key(buffer: &mut &[u8]) -> ApiResult<(u32, WireType)> {
    decode_key(buffer).map_err(|cause| bad(&cause.to_string()))
}

fn varint(buffer: &mut &[u8]) -> ApiResult<u64> {
    decode_varint(buffer).map_err(|cause| bad(&cause.to_string()))
}

fn delimited<'a>(buffer: &mut &'a [u8]) -> ApiResult<&'a [u8]> {
    let length = usize::try_from(varint(buffer)?).unwrap_or(usize::MAX);
    let (bytes, rest) = buffer.split_at_checked(length).ok_or_else(|| bad("it is cut off"))?;
    *buffer = rest;
    Ok(bytes)
}

/// Skips a field; groups are bounded in depth by prost.
fn skip(number: u32, wire: WireType, buffer: &mut &[u8]) -> ApiResult<()> {
    skip_field(wire, number, buffer, DecodeContext::default())
        .map_err(|cause| bad(&cause.to_string()))
}

fn bad(why: &str) -> ApiError {
    ApiError::bad_request(format!("error decoding the protobuf body: {why}"))
}

fn empty_list() -> Value {
    Value::Array(Vec::new())
}
