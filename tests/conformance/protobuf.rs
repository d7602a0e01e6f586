//! The few protobuf messages that stock clients send, by hand: the numbers are those of
//! `generated.proto` in k8s.io/api and k8s.io/apimachinery.

pub(crate) const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// A field that is text, bytes or a message.
pub(crate) fn field(number: u8, value: impl AsRef<[u8]>) -> Vec<u8> {
    let value = value.as_ref();
    let mut out = vec![number << 3 | 2];
    let mut length = value.len();
    while length >= 0x80 {
        out.push(0x80 | u8::try_from(length & 0x7f).unwrap());
        length >>= 7;
    }
    out.push(u8::try_from(length).unwrap());
    out.extend_from_slice(value);
    out
}

/// A field that is a number below 128, or a boolean.
pub(crate) fn number(number: u8, value: u8) -> Vec<u8> {
    vec![number << 3, value]
}

/// A message of these fields.
pub(crate) fn message(fields: &[Vec<u8>]) -> Vec<u8> {
    fields.concat()
}

/// `ObjectMeta` with a name, and a label `app` if there is one.
pub(crate) fn metadata(name: &str, label: Option<&str>) -> Vec<u8> {
    let label = label.map(|value| field(11, message(&[field(1, "app"), field(2, value)])));
    field(1, message(&[field(1, name), label.unwrap_or_default()]))
}

/// The envelope `runtime.Unknown` after its magic bytes.
pub(crate) fn envelope(api_version: &str, kind: &str, object: &[u8]) -> Vec<u8> {
    let head = field(1, message(&[field(1, api_version), field(2, kind)]));
    [b"k8s\0".to_vec(), head, field(2, object), field(3, ""), field(4, "")].concat()
}
