//! Request bodies, and in which form a client wants its answer.

use std::fmt;

use serde::Serialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::protobuf;
use super::status::{ApiError, ApiResult};

/// What [`decode`] read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded {
    /// The body, always a JSON object.
    pub object: Value,
    /// Paths of the fields that are there twice, for example `spec.region`; the last one counts.
    /// Only the first few are named.
    pub duplicates: Vec<String>,
}

/// Reads a body by its content type (JSON if it has none): JSON, YAML, or for a `builtin` kind
/// protobuf.
///
/// # Errors
/// 415 for another content type, 400 for a body that cannot be read or is no object.
pub fn decode(content_type: Option<&str>, bytes: &[u8], builtin: bool) -> ApiResult<Decoded> {
    let media = content_type.map(MediaType::parse).unwrap_or_default();
    match media.essence.as_str() {
        "" | "application/json" => decode_json(bytes),
        "application/yaml" => decode_yaml(bytes),
        protobuf::MEDIA_TYPE if builtin => {
            let object = protobuf::decode(bytes)?;
            Ok(Decoded { object, duplicates: Vec::new() })
        }
        _ => Err(unsupported(
            content_type,
            if builtin { &[JSON, YAML, protobuf::MEDIA_TYPE] } else { &[JSON, YAML] },
        )),
    }
}

/// 415 that names the content types that would do.
pub fn unsupported(content_type: Option<&str>, accepted: &[&str]) -> ApiError {
    let message = format!(
        "the body of the request was in an unknown format ({}) - accepted media types include: {}",
        content_type.unwrap_or("none").escape_default(),
        accepted.join(", ")
    );
    ApiError::new(415, "UnsupportedMediaType", message)
}

/// Reads JSON.
///
/// # Errors
/// 400 if it is no JSON object.
pub fn decode_json(bytes: &[u8]) -> ApiResult<Decoded> {
    decode_patch(bytes)?.an_object()
}

/// Reads JSON of any kind: a JSON patch is a list.
///
/// # Errors
/// 400 if it is no JSON.
pub fn decode_patch(bytes: &[u8]) -> ApiResult<Decoded> {
    let mut notes = Notes { room: usize::MAX, ..Notes::default() };
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let object = Tree(&mut notes).deserialize(&mut json).and_then(|v| json.end().map(|()| v));
    finish(object, notes)
}

/// Reads YAML, and so JSON: the body of server-side apply.
///
/// # Errors
/// 400 if it is no YAML object, or one that aliases blow up.
pub fn decode_yaml(bytes: &[u8]) -> ApiResult<Decoded> {
    if bytes.trim_ascii_start().starts_with(b"{")
        && let Ok(decoded) = decode_json(bytes)
    {
        return Ok(decoded);
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_YAML_DEPTH,
            max_documents: 1,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 100_000 },
        // Duplicates reach our own visitor, which notes them.
        duplicate_keys: serde_saphyr::options::DuplicateKeyPolicy::LastWins,
        // 0644 is a file mode, as it is for Go's reader.
        legacy_octal_numbers: true,
        with_snippet: false,
    };
    let mut notes = Notes { room: MAX_YAML_TEXT, ..Notes::default() };
    let object = serde_saphyr::with_deserializer_from_slice_with_options(bytes, options, |yaml| {
        Tree(&mut notes).deserialize(yaml)
    });
    finish(object, notes)?.an_object()
}

/// Half of what `serde_json` lets JSON be: the YAML reader takes far more stack for each level.
const MAX_YAML_DEPTH: usize = 64;
/// Bytes of text that a YAML document may unfold to; a body has 3 MiB.
const MAX_YAML_TEXT: usize = 16 << 20;

fn finish(object: Result<Value, impl fmt::Display>, notes: Notes) -> ApiResult<Decoded> {
    match object {
        Ok(object) => Ok(Decoded { object, duplicates: notes.duplicates }),
        Err(cause) => Err(ApiError::bad_request(format!("error decoding the body: {cause}"))),
    }
}

impl Decoded {
    fn an_object(self) -> ApiResult<Self> {
        if self.object.is_object() {
            return Ok(self);
        }
        Err(ApiError::bad_request("the body of the request is not an object"))
    }
}

/// Where the reader is and what it saw.
#[derive(Default)]
struct Notes {
    path: Vec<Step>,
    duplicates: Vec<String>,
    /// Bytes of text that may still come.
    room: usize,
}

enum Step {
    Key(String),
    Index(usize),
}

/// Bounds what a body made of duplicates makes us remember.
const MAX_DUPLICATES: usize = 32;
const MAX_PATH: usize = 256;

impl Notes {
    fn duplicate(&mut self, key: &str) {
        if self.duplicates.len() >= MAX_DUPLICATES {
            return;
        }
        let mut path = String::new();
        for step in &self.path {
            path = match step {
                Step::Index(index) => format!("{path}[{index}]"),
                Step::Key(key) if path.is_empty() => key.clone(),
                Step::Key(key) => format!("{path}.{key}"),
            };
            if path.len() > MAX_PATH {
                break;
            }
        }
        let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        self.duplicates.push(path.chars().take(MAX_PATH).collect());
    }

    fn take(&mut self, bytes: usize) -> Result<(), &'static str> {
        self.room = self.room.checked_sub(bytes).ok_or("the document unfolds to too much text")?;
        Ok(())
    }
}

/// Reads any value and notes duplicate keys.
struct Tree<'a>(&'a mut Notes);

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        let number = serde_json::Number::from_f64(value);
        number.map(Value::Number).ok_or_else(|| E::custom("a number must be finite"))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        self.0.take(value.len()).map_err(E::custom)?;
        Ok(value.into())
    }

    fn visit_string<E: serde::de::Error>(self, value: String) -> Result<Value, E> {
        self.0.take(value.len()).map_err(E::custom)?;
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        loop {
            self.0.path.push(Step::Index(list.len()));
            let item = seq.next_element_seed(Tree(self.0))?;
            self.0.path.pop();
            match item {
                Some(item) => list.push(item),
                None => return Ok(list.into()),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            self.0.take(key.len()).map_err(A::Error::custom)?;
            if map.contains_key(&key) {
                self.0.duplicate(&key);
            }
            self.0.path.push(Step::Key(key));
            let value = access.next_value_seed(Tree(self.0))?;
            if let Some(Step::Key(key)) = self.0.path.pop() {
                map.insert(key, value);
            }
        }
        Ok(map.into())
    }
}

const JSON: &str = "application/json";
const YAML: &str = "application/yaml";

/// What an answer is written as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// JSON without white space.
    #[default]
    Json,
    /// YAML.
    Yaml,
}

impl Format {
    /// For the header `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => JSON,
            Self::Yaml => YAML,
        }
    }

    /// Writes a body.
    ///
    /// # Errors
    /// 500 if the value cannot be written.
    pub fn encode(self, value: &impl Serialize) -> ApiResult<Vec<u8>> {
        match self {
            Self::Json => serde_json::to_vec(value).map_err(|e| ApiError::internal(e.to_string())),
            Self::Yaml => serde_saphyr::to_string(value)
                .map(String::into_bytes)
                .map_err(|e| ApiError::internal(e.to_string())),
        }
    }
}

/// Which view of an object a client wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum View {
    /// The object as it is.
    #[default]
    Object,
    /// `meta.k8s.io/v1` `Table`.
    Table,
    /// `meta.k8s.io/v1` `PartialObjectMetadata`, for a list `PartialObjectMetadataList`.
    Metadata,
}

/// What a request is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One object.
    Single,
    /// A list of objects.
    List,
    /// A stream of events.
    Watch,
}

/// How to answer a request about objects: the best of the `Accept` list that this server has. A
/// stream is never YAML, and nothing is ever protobuf.
///
/// # Errors
/// 406 if there is nothing.
pub fn negotiate_object(accept: Option<&str>, shape: Shape) -> ApiResult<(Format, View)> {
    let metadata =
        if shape == Shape::List { "PartialObjectMetadataList" } else { "PartialObjectMetadata" };
    best(accept, |media| {
        let format = media.format().filter(|f| shape != Shape::Watch || *f == Format::Json)?;
        let view = match media.target() {
            None => View::Object,
            Some(("meta.k8s.io", "v1", "Table")) => View::Table,
            Some(("meta.k8s.io", "v1", kind)) if kind == metadata => View::Metadata,
            Some(_) => return None,
        };
        Some((format, view))
    })
}

/// How to answer a request for discovery: whether the client wants the aggregated form.
///
/// # Errors
/// 406 if there is nothing that this server has.
pub fn negotiate_discovery(accept: Option<&str>) -> ApiResult<(Format, bool)> {
    best(accept, |media| match (media.format()?, media.target()) {
        (format, None) => Some((format, false)),
        (Format::Json, Some(("apidiscovery.k8s.io", "v2", "APIGroupDiscoveryList"))) => {
            Some((Format::Json, true))
        }
        _ => None,
    })
}

/// The first media type that `take` takes, those with the highest `q` first.
fn best<T>(accept: Option<&str>, take: impl Fn(&MediaType) -> Option<T>) -> ApiResult<T> {
    let accept = accept.filter(|a| !a.trim().is_empty()).unwrap_or("*/*");
    let mut types: Vec<MediaType> = accept.split(',').map(MediaType::parse).collect();
    types.sort_by_key(|media| std::cmp::Reverse(media.quality));
    types.iter().filter(|media| media.quality > 0).find_map(take).ok_or_else(|| {
        let message = format!("only the following media types are accepted: {JSON}, {YAML}");
        ApiError::new(406, "NotAcceptable", message)
    })
}

/// A media type with its parameters.
#[derive(Debug, Default, PartialEq, Eq)]
struct MediaType {
    /// `application/json`
    essence: String,
    group: String,
    version: String,
    kind: String,
    /// The parameter `q` in thousandths.
    quality: u16,
}

impl MediaType {
    /// Reads `application/json;as=Table;g=meta.k8s.io;v=v1`, with spaces and in any order. Other
    /// parameters (`charset`, `profile`) are ignored.
    fn parse(text: &str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
        let mut media = Self { essence, quality: 1000, ..Self::default() };
        for (name, value) in parts.filter_map(|p| p.split_once('=')) {
            let value = value.trim().trim_matches('"').to_owned();
            match name.trim().to_ascii_lowercase().as_str() {
                "g" => media.group = value,
                "v" => media.version = value,
                "as" => media.kind = value,
                "q" => media.quality = thousandths(&value),
                _ => {}
            }
        }
        media
    }

    fn format(&self) -> Option<Format> {
        match self.essence.as_str() {
            JSON | "*/*" | "application/*" => Some(Format::Json),
            YAML => Some(Format::Yaml),
            _ => None,
        }
    }

    /// Group, version and kind that the answer is to be converted to.
    fn target(&self) -> Option<(&str, &str, &str)> {
        (!self.kind.is_empty()).then_some((&self.group, &self.version, &self.kind))
    }
}

/// `0.5` is 500; what is no number is 1, as for Go's reader.
fn thousandths(text: &str) -> u16 {
    let quality = text.parse::<f32>().ok().filter(|q| (0.0..=1.0).contains(q)).unwrap_or(1.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1000")]
    let quality = (quality * 1000.0) as u16;
    quality
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(content_type: &str, body: &str) -> ApiResult<Decoded> {
        decode(Some(content_type), body.as_bytes(), false)
    }

    #[test]
    fn json_and_yaml_are_read() {
        let object =
            json!({"a": {"b": [1, -2, 2.5, true, null, "x"]}, "n": 18_446_744_073_709_551_615_u64});
        let json = object.to_string();
        let plain = Decoded { object: object.clone(), duplicates: vec![] };
        assert_eq!(decode(None, json.as_bytes(), false).unwrap(), plain);
        assert_eq!(read("application/json", &json).unwrap(), plain);
        assert_eq!(read(" Application/JSON ; charset=utf-8", &json).unwrap(), plain);
        assert_eq!(read("application/yaml", &json).unwrap(), plain);
        let yaml = "a:\n  b: [1, -2, 2.5, true, null, 'x']\nn: 18446744073709551615\n";
        assert_eq!(read("application/yaml", yaml).unwrap(), plain);
        let yaml = "a: &x {k: v}\nb: *x\nmode: 0644\nyes: no\n1: 2\ntext: |\n  l\nq: '1'\nz:\n";
        let object = json!({
            "a": {"k": "v"}, "b": {"k": "v"}, "mode": 420, "yes": false, "1": 2, "text": "l\n",
            "q": "1", "z": null,
        });
        assert_eq!(read("application/yaml", yaml).unwrap().object, object);
    }

    #[test]
    fn duplicates_are_named_and_the_last_counts() {
        let body = r#"{"spec":{"region":"a","region":"b","nics":[{},{"mac":1,"mac":2}],"x":{"y":1}},
            "spec2":[[{"a":1,"a":2}]],"z":1,"z":2}"#;
        let decoded = read("application/json", body).unwrap();
        assert_eq!(decoded.object["spec"]["region"], "b");
        let paths = ["spec.region", "spec.nics[1].mac", "spec2[0][0].a", "z"];
        assert_eq!(decoded.duplicates, paths);
        let yaml = "spec:\n  region: a\n  region: b\n  nics:\n  - {}\n  - mac: 1\n    mac: 2\n";
        let decoded = read("application/yaml", yaml).unwrap();
        assert_eq!(decoded.duplicates, ["spec.region", "spec.nics[1].mac"]);
        assert_eq!(decoded.object["spec"]["nics"][1]["mac"], 2);
    }

    #[test]
    fn many_duplicates_do_not_fill_the_memory() {
        let key = "k".repeat(1 << 20);
        let body = format!(r#"{{"{key}":{{{}"a":1}}}}"#, r#""a":1,"#.repeat(100_000));
        let duplicates = read("application/json", &body).unwrap().duplicates;
        assert_eq!(duplicates.len(), MAX_DUPLICATES);
        assert!(duplicates.iter().all(|d| d.len() <= MAX_PATH));
    }

    #[test]
    fn what_cannot_be_read_is_a_bad_request() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
        for body in
            ["", "{", "[]", "1", "{} x", "{\"a\":1e999}", "\u{1}", "{\"a\":\"\\ud800\"}", &deep]
        {
            assert_eq!(read("application/json", body).expect_err(body).code, 400, "{body}");
            assert_eq!(read("application/yaml", body).map_or(400, |_| 0), 400, "{body}");
        }
        for body in ["a: [", "a: b: c", "*x", "---\na: 1\n---\nb: 2\n", "a: .nan", "- 1", "&a [*a]"]
        {
            assert_eq!(read("application/yaml", body).expect_err(body).code, 400, "{body}");
        }
        let not_utf8 = b"{\"a\":\"\xff\"}";
        assert_eq!(decode_json(not_utf8).unwrap_err().code, 400);
        assert_eq!(decode_yaml(not_utf8).unwrap_err().code, 400);
    }

    #[test]
    fn deep_yaml_fits_in_the_stack_of_a_worker() {
        let deep = |n: usize| format!("a: {}{}", "[".repeat(n), "]".repeat(n));
        let thread = std::thread::Builder::new().stack_size(3 << 19);
        let read = move || [60, 70, 250, 100_000].map(|n| decode_yaml(deep(n).as_bytes()).is_ok());
        assert_eq!(thread.spawn(read).unwrap().join().unwrap(), [true, false, false, false]);
    }

    #[test]
    fn aliases_cannot_blow_up() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for i in 1..9 {
            let refs = format!("*a{}, ", i - 1).repeat(10);
            bomb = format!("{bomb}a{i}: &a{i} [{refs}]\n");
        }
        assert_eq!(decode_yaml(bomb.as_bytes()).unwrap_err().code, 400);
        // Few references, but each to much text.
        let mut fat = format!("a: &a {}\nb:\n", "x".repeat(1 << 20));
        for _ in 0..40 {
            fat.push_str("- *a\n");
        }
        assert_eq!(decode_yaml(fat.as_bytes()).unwrap_err().code, 400);
    }

    #[test]
    fn other_content_types_are_not_supported() {
        for content_type in ["application/cbor", "text/plain", protobuf::MEDIA_TYPE, "x"] {
            let error = read(content_type, "{}").expect_err(content_type);
            assert_eq!((error.code, error.reason), (415, "UnsupportedMediaType"));
        }
        let error = decode(Some(protobuf::MEDIA_TYPE), b"{}", true).unwrap_err();
        assert_eq!(error.code, 400, "read as protobuf");
    }

    #[test]
    fn yaml_answers_say_the_same_as_json() {
        let object = json!({
            "a": "yes", "b": "1.10", "c": "null", "d": "a\nb\n", "e": [], "f": {}, "g": [{"h": 1}],
            "i": " x: #", "j": 1.5, "k": null, "l": "2020-01-01T00:00:00Z", "m": "0x1", "n": "~",
        });
        let yaml = Format::Yaml.encode(&object).unwrap();
        assert_eq!(decode_yaml(&yaml).unwrap().object, object);
        assert_eq!(Format::Json.encode(&json!({"a": 1})).unwrap(), br#"{"a":1}"#);
    }

    #[test]
    fn the_first_form_that_we_have_is_taken() {
        use Format::{Json, Yaml};
        use Shape::{List, Single, Watch};
        use View::{Metadata, Object, Table};
        type Case = (&'static str, Shape, Option<(Format, View)>);
        let cases: &[Case] = &[
            ("", Single, Some((Json, Object))),
            ("*/*", List, Some((Json, Object))),
            ("application/*", List, Some((Json, Object))),
            ("application/yaml", List, Some((Yaml, Object))),
            ("application/yaml", Watch, None),
            ("text/html", Single, None),
            ("text/html, */*;q=0.1", Single, Some((Json, Object))),
            ("application/cbor", Single, None),
            ("application/vnd.kubernetes.protobuf", Single, None),
            ("application/vnd.kubernetes.protobuf,application/json", Watch, Some((Json, Object))),
            ("application/json;as=Table;v=v1;g=meta.k8s.io", List, Some((Json, Table))),
            ("application/json ; g=meta.k8s.io; AS=Table ;v = \"v1\"", Watch, Some((Json, Table))),
            ("application/json;as=Table;v=v1beta1;g=meta.k8s.io", List, None),
            (
                "application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
                List,
                Some((Json, Object)),
            ),
            (
                "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
                List,
                Some((Json, Metadata)),
            ),
            ("application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", Single, None),
            ("application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", List, None),
            (
                "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
                Watch,
                Some((Json, Metadata)),
            ),
            (
                "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
                Single,
                Some((Json, Metadata)),
            ),
            ("application/json;q=0.5,application/yaml", Single, Some((Yaml, Object))),
            ("application/json;q=0,text/plain", Single, None),
        ];
        for (accept, shape, answer) in cases {
            let result = negotiate_object(Some(accept), *shape);
            assert_eq!(result.as_ref().ok(), answer.as_ref(), "{accept}");
            if let Err(error) = result {
                assert_eq!((error.code, error.reason), (406, "NotAcceptable"));
            }
        }
        assert_eq!(negotiate_object(None, Watch).unwrap(), (Json, Object));
    }

    #[test]
    fn aggregated_discovery_is_version_2() {
        let of = |version: &str, rest: &str| {
            let accept = format!(
                "application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList{rest}"
            );
            negotiate_discovery(Some(&accept)).ok()
        };
        assert_eq!(of("v2", ""), Some((Format::Json, true)));
        assert_eq!(of("v2", ";profile=nopeer,application/json"), Some((Format::Json, true)));
        assert_eq!(of("v2beta1", ",application/json"), Some((Format::Json, false)));
        assert_eq!(of("v2beta1", ""), None);
        assert_eq!(negotiate_discovery(None).unwrap(), (Format::Json, false));
    }

    proptest! {
        #[test]
        fn no_body_makes_them_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode_json(&bytes);
            let _ = decode_yaml(&bytes);
        }

        #[test]
        fn no_yaml_makes_them_panic(text in "[-a:{}\\[\\]&*!|>'\" \n#0.,?]{0,40}") {
            let _ = decode_yaml(text.as_bytes());
        }

        #[test]
        fn no_header_makes_them_panic(text in "[a-z/*;=,.q0-9 \"]{0,40}") {
            let _ = negotiate_object(Some(&text), Shape::List);
            let _ = negotiate_discovery(Some(&text));
        }
    }
}
