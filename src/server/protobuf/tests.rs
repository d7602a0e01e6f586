use proptest::prelude::*;
use prost::encoding::{encode_key, encode_varint};
use serde_json::json;

use super::*;

/// What client-go v0.36.4 writes for an object of each kind, in base64, and under it the same
/// object as its JSON encoder has it.
const FIXTURES: &str = include_str!("fixtures.txt");

fn fixtures() -> Vec<(Vec<u8>, Value)> {
    let lines: Vec<&str> = FIXTURES.lines().collect();
    let pair = |p: &[&str]| (STANDARD.decode(p[0]).unwrap(), serde_json::from_str(p[1]).unwrap());
    lines.chunks(2).map(pair).collect()
}

/// Removes what says nothing: null, and the zero of an answer that nobody has given yet.
fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(without_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

#[test]
fn what_go_writes_is_read_as_the_json_that_go_writes() {
    for (bytes, mut json) in fixtures() {
        without_nulls(&mut json);
        assert_eq!(decode(&bytes).unwrap(), json);
    }
    let kinds = fixtures().len();
    assert_eq!(kinds, messages::KINDS.len() + 1, "one for each kind, and one for DeleteOptions");
}

#[test]
fn a_body_written_by_hand_is_read() {
    let mut body = b"k8s\0".to_vec();
    body.extend(b"\x0a\x0f\x0a\x02v1\x12\x09ConfigMap"); // 1: TypeMeta{1: "v1", 2: "ConfigMap"}
    body.extend(b"\x12\x16"); // 2: raw, 22 bytes
    body.extend(b"\x0a\x0b\x0a\x03abc\x5a\x04\x0a\x02k1"); // 1: ObjectMeta{1: "abc", 11: {1: "k1"}}
    body.extend(b"\x12\x05\x0a\x01a\x12\x00\x20\x01"); // 2: {1: "a", 2: ""}, 4: true
    body.extend(b"\x1a\x00\x22\x00"); // 3 and 4: no encoding, no content type
    let object = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "abc", "labels": {"k1": ""}},
        "data": {"a": ""}, "immutable": true,
    });
    assert_eq!(decode(&body).unwrap(), object);
}

/// Writes a value of a message as Go would, by the same table.
fn encode(fields: &[Field], object: &Value, out: &mut Vec<u8>) {
    for field in fields {
        let Some(value) = object.get(field.name) else { continue };
        let one = [value.clone()];
        for value in if field.repeated { value.as_array().unwrap() } else { &one[..] } {
            match field.type_ {
                Type::Bool | Type::Integer => {
                    encode_key(field.number, WireType::Varint, out);
                    let number = value.as_i64().unwrap_or_else(|| value.as_bool().unwrap().into());
                    encode_varint(number.cast_unsigned(), out);
                }
                Type::Map(values) => {
                    for (key, value) in value.as_object().unwrap() {
                        let mut entry = Vec::new();
                        put(1, key.as_bytes(), &mut entry);
                        put(2, &bytes(*values, value), &mut entry);
                        put(field.number, &entry, out);
                    }
                }
                type_ => put(field.number, &bytes(type_, value), out),
            }
        }
    }
}

fn put(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(bytes.len() as u64, out);
    out.extend(bytes);
}

fn bytes(type_: Type, value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    match type_ {
        Type::Bool | Type::Integer | Type::Map(_) => unreachable!(),
        Type::String => out.extend(value.as_str().unwrap().as_bytes()),
        Type::Bytes => out.extend(STANDARD.decode(value.as_str().unwrap()).unwrap()),
        Type::Time | Type::MicroTime => {
            let time: Timestamp = value.as_str().unwrap().parse().unwrap();
            encode_key(1, WireType::Varint, &mut out);
            encode_varint(time.as_second().cast_unsigned(), &mut out);
            encode_key(2, WireType::Varint, &mut out);
            encode_varint(u64::from(time.subsec_nanosecond().cast_unsigned()), &mut out);
        }
        Type::Json => put(1, value.to_string().as_bytes(), &mut out),
        Type::Strings => encode(EXTRA_VALUE, &json!({"items": value}), &mut out),
        Type::Message(fields) => encode(fields, value, &mut out),
    }
    out
}

/// A value with every field set.
fn full(fields: &[Field]) -> Value {
    let object = fields.iter().map(|f| {
        let value = match f.type_ {
            Type::Map(values) => json!({"k": sample(*values), "": sample(*values)}),
            type_ => sample(type_),
        };
        let value = if f.repeated { json!([value, value]) } else { value };
        (f.name.to_owned(), value)
    });
    Value::Object(object.collect())
}

fn sample(type_: Type) -> Value {
    match type_ {
        Type::Bool => json!(true),
        Type::Integer => json!(-7),
        Type::String => json!("é"),
        Type::Bytes => json!("AP8="),
        Type::Time => json!("1969-12-31T23:59:58Z"),
        Type::MicroTime => json!("2026-01-02T03:04:05.600000Z"),
        Type::Json => json!({"f:a": {}}),
        Type::Strings => json!(["a", ""]),
        Type::Message(fields) => full(fields),
        Type::Map(_) => unreachable!(),
    }
}

fn envelope(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let mut body = MAGIC.to_vec();
    let type_meta = json!({"apiVersion": api_version, "kind": kind});
    encode(UNKNOWN, &json!({"typeMeta": type_meta}), &mut body);
    put(2, raw, &mut body);
    body
}

#[test]
fn every_field_of_every_kind_goes_round() {
    let options = ("batch/v1", "DeleteOptions", messages::DELETE_OPTIONS);
    for (api_version, kind, fields) in messages::KINDS.iter().chain([&options]) {
        let mut object = full(fields);
        let mut raw = Vec::new();
        encode(fields, &object, &mut raw);
        object["apiVersion"] = (*api_version).into();
        object["kind"] = (*kind).into();
        assert_eq!(decode(&envelope(api_version, kind, &raw)).unwrap(), object);
    }
}

#[test]
fn no_number_and_no_name_is_in_a_table_twice() {
    fn check(fields: &[Field]) {
        for (i, field) in fields.iter().enumerate() {
            assert!(fields[..i].iter().all(|f| f.number != field.number && f.name != field.name));
            if let Type::Message(fields) = field.type_ {
                check(fields);
            }
        }
    }
    for (_, _, fields) in messages::KINDS {
        check(fields);
    }
}

#[test]
fn unknown_fields_are_skipped_and_unknown_kinds_named() {
    let raw = b"\x78\x01\x9a\x06\x01x\x9d\x06abcd"; // fields 15, 99 and 99 again
    let decoded = decode(&envelope("v1", "ConfigMap", raw)).unwrap();
    assert_eq!(decoded, json!({"apiVersion": "v1", "kind": "ConfigMap"}));
    let error = decode(&envelope("v1", "Pod", b"")).unwrap_err();
    assert_eq!((error.code, error.reason), (415, "UnsupportedMediaType"));
    assert!(error.message.contains("\"Pod\""), "{error}");
    assert_eq!(decode(&envelope("v2", "ConfigMap", b"")).unwrap_err().code, 415);
}

#[test]
fn what_is_cut_off_or_wrong_is_a_bad_request() {
    for (bytes, _) in fixtures() {
        // The envelope ends with two empty fields of two bytes each, which nobody misses.
        for length in 0..bytes.len() - 4 {
            let result = decode(&bytes[..length]);
            // A cut between the two fields of the envelope is an empty object.
            let empty = |v: &Value| v.as_object().unwrap().len() == 2;
            assert!(result.as_ref().map_or_else(|e| e.code == 400, empty), "{length}: {result:?}");
        }
    }
    let wrong: &[&[u8]] = &[
        b"\x08\x01",                                                 // metadata as a number
        b"\x20",                                                     // no value
        b"\x22\x00",                                                 // immutable as bytes
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",             // very long
        b"\x12\x03\x0a\x01\xff",                                     // not UTF-8
        b"\x0a\x0c\x42\x0a\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f", // a time far away
        b"\x07",                                                     // no such wire type
    ];
    for raw in wrong {
        assert_eq!(decode(&envelope("v1", "ConfigMap", raw)).unwrap_err().code, 400, "{raw:?}");
    }
    let groups = [b"\x7b".repeat(100_000), b"\x7c".repeat(100_000)].concat();
    assert_eq!(decode(&envelope("v1", "ConfigMap", &groups)).unwrap_err().code, 400);
    for body in [&b""[..], b"{}", b"k8s", b"k8s\0"] {
        assert_eq!(decode(body).unwrap_err().code, 400);
    }
    let mut encoded = envelope("v1", "ConfigMap", b"");
    put(3, b"gzip", &mut encoded);
    assert_eq!(decode(&encoded).unwrap_err().code, 400);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(raw in proptest::collection::vec(any::<u8>(), 0..80)) {
        for (api_version, kind, _) in messages::KINDS {
            let _ = decode(&envelope(api_version, kind, &raw));
        }
        let _ = decode(&[MAGIC, &raw].concat());
    }

    #[test]
    fn no_changed_byte_makes_it_panic(at in 0_usize..600, byte in any::<u8>()) {
        for (mut bytes, _) in fixtures() {
            if let Some(b) = bytes.get_mut(at) {
                *b = byte;
            }
            let _ = decode(&bytes);
        }
    }
}
