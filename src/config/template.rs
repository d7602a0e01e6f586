//! Command lines and addresses with placeholders for a host's texts: `ssh {address}`. No shell ever
//! reads them; what a placeholder stands for is data and stays in its place.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use crate::model::text::is_hostile;

/// What a placeholder may name, beside `label:KEY`. `id` is the end of the provider id.
pub const PLACEHOLDERS: [&str; 13] = [
    "address",
    "name",
    "display",
    "provider-id",
    "id",
    "provider",
    "region",
    "zone",
    "cluster",
    "role",
    "team",
    "environment",
    "namespace",
];

/// What stays as it is in an address; all else is percent-encoded (RFC 3986, unreserved).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Text with placeholders. `{{` and `}}` are braces.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Text {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Placeholder(String),
}

impl Text {
    fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            match c {
                '{' | '}' if rest.peek() == Some(&c) => {
                    rest.next();
                    literal.push(c);
                }
                '}' => return Err(format!("\"{text}\" has a }} without a {{")),
                '{' => {
                    let mut name = String::new();
                    loop {
                        match rest.next() {
                            Some('}') => break,
                            Some(c) => name.push(c),
                            None => return Err(format!("\"{text}\" has a {{ without a }}")),
                        }
                    }
                    let label = name.strip_prefix("label:").is_some_and(|key| !key.is_empty());
                    if !label && !PLACEHOLDERS.contains(&name.as_str()) {
                        return Err(format!(
                            "{{{name}}} stands for nothing; there are {} and label:KEY",
                            PLACEHOLDERS.join(", ")
                        ));
                    }
                    if !literal.is_empty() {
                        pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                    }
                    pieces.push(Piece::Placeholder(name));
                }
                c => literal.push(c),
            }
        }
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Ok(Self { pieces })
    }

    /// The text with each placeholder filled; the error is the name of one that the host lacks.
    fn fill<'a>(
        &'a self,
        value: &impl Fn(&str) -> Option<String>,
        write: impl Fn(&str, &mut String),
    ) -> Result<String, &'a str> {
        let mut out = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => out.push_str(text),
                Piece::Placeholder(name) => {
                    let found =
                        value(name).filter(|value| !value.is_empty()).ok_or(name.as_str())?;
                    write(&found, &mut out);
                }
            }
        }
        Ok(out)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => {
                    f.write_str(&text.replace('{', "{{").replace('}', "}}"))?;
                }
                Piece::Placeholder(name) => write!(f, "{{{name}}}")?,
            }
        }
        Ok(())
    }
}

/// A program and its arguments, with placeholders. Written as one text of words (quotes hold words
/// together, nothing else means anything) or as a list of words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    words: Vec<Text>,
}

impl CommandLine {
    /// Reads a text of words.
    ///
    /// # Errors
    /// A quote that does not end, no program, or what is wrong with a placeholder.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::of(&words(text)?)
    }

    /// A command line of these words.
    ///
    /// # Errors
    /// No program, or what is wrong with a placeholder.
    pub fn of(words: &[String]) -> Result<Self, String> {
        let words: Vec<Text> =
            words.iter().map(|word| Text::parse(word)).collect::<Result<_, _>>()?;
        match words.first().map(|word| word.pieces.as_slice()) {
            Some([Piece::Literal(_)]) => Ok(Self { words }),
            Some(_) => Err("the program is named, and not a placeholder".to_owned()),
            None => Err("a command names a program".to_owned()),
        }
    }

    /// The words for one host. `value` tells what a placeholder stands for.
    ///
    /// # Errors
    /// The host lacks something, or has what would not stay a value: a text that begins with a dash
    /// would be an option, and control characters would reach the program's terminal.
    pub fn fill(&self, value: impl Fn(&str) -> Option<String>) -> Result<Vec<String>, String> {
        let mut filled = Vec::with_capacity(self.words.len());
        for word in &self.words {
            for piece in &word.pieces {
                let Piece::Placeholder(name) = piece else { continue };
                let Some(found) = value(name) else { continue };
                if found.starts_with('-') {
                    return Err(format!("its {name} begins with a dash and would be an option"));
                }
                if found.chars().any(is_hostile) {
                    return Err(format!("its {name} has control characters"));
                }
            }
            let text = word.fill(&value, |found, out| out.push_str(found));
            filled.push(text.map_err(|name| format!("this host has no {name}"))?);
        }
        Ok(filled)
    }

    /// The words as they are written, placeholders and all.
    pub fn words(&self) -> impl Iterator<Item = String> + '_ {
        self.words.iter().map(ToString::to_string)
    }
}

impl<'de> Deserialize<'de> for CommandLine {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a command is a text, or a list of words")]
        enum Written {
            Text(String),
            Words(Vec<String>),
        }
        match Written::deserialize(deserializer)? {
            Written::Text(text) => Self::parse(&text),
            Written::Words(words) => Self::of(&words),
        }
        .map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for CommandLine {
    fn schema_name() -> Cow<'static, str> {
        "CommandLine".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "string", "minLength": 1 },
            { "type": "array", "items": { "type": "string" }, "minItems": 1 },
        ] })
    }
}

/// The words of a text: at blanks, but not within quotes.
fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in text.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if let Some(open) = quote {
        return Err(format!("a quote ({open}) does not end"));
    }
    words.extend(word);
    Ok(words)
}

/// An address on the web for hosts of some kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    url: Text,
    /// What the provider id must look like; a `*` stands for anything.
    hosts: Option<String>,
}

impl Link {
    /// An address for hosts whose provider id looks like `hosts` (none: all hosts).
    ///
    /// # Errors
    /// No web address, or what is wrong with a placeholder.
    pub fn of(url: &str, hosts: Option<String>) -> Result<Self, String> {
        let text = Text::parse(url)?;
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        if rest.is_none_or(|rest| rest.is_empty() || rest.starts_with('/')) {
            return Err(format!("\"{url}\" is no web address: it begins with https://"));
        }
        if url.chars().any(|c| c.is_whitespace() || is_hostile(c)) {
            return Err(format!("\"{url}\" has blanks or control characters"));
        }
        Ok(Self { url: text, hosts })
    }

    /// The address for one host; none if it is for other hosts, or this one lacks something.
    /// `value` tells what a placeholder stands for; it is percent-encoded.
    pub fn fill(&self, value: impl Fn(&str) -> Option<String>) -> Option<String> {
        if let Some(hosts) = &self.hosts
            && !matches(hosts, &value("provider-id").unwrap_or_default())
        {
            return None;
        }
        let encode =
            |found: &str, out: &mut String| out.extend(utf8_percent_encode(found, ENCODED));
        self.url.fill(&value, encode).ok()
    }

    /// How it stands in the configuration.
    pub fn to_toml(&self) -> String {
        match &self.hosts {
            Some(hosts) => format!("{{ for = \"{hosts}\", url = \"{}\" }}", self.url),
            None => format!("\"{}\"", self.url),
        }
    }
}

/// Whether a text looks like a pattern in which `*` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

/// A link as it stands in the file; false, which is none here, takes one of the built-in ones away.
pub(super) struct WrittenLink(pub(super) Option<Link>);

impl<'de> Deserialize<'de> for WrittenLink {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a link is an address, a table of for and url, or false")]
        enum Written {
            Url(String),
            Table(Table),
            Off(bool),
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            #[serde(rename = "for")]
            hosts: Option<String>,
            url: String,
        }
        match Written::deserialize(deserializer)? {
            Written::Url(url) => Link::of(&url, None).map(Some),
            Written::Table(Table { hosts, url }) => Link::of(&url, hosts).map(Some),
            Written::Off(false) => Ok(None),
            Written::Off(true) => Err("a link is an address; false takes one away".to_owned()),
        }
        .map(Self)
        .map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Link {
    fn schema_name() -> Cow<'static, str> {
        "Link".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "string", "pattern": "^https?://[^/]" },
            {
                "type": "object",
                "properties": {
                    "for": { "type": "string", "description": "What the provider id looks like; * is anything." },
                    "url": { "type": "string", "pattern": "^https?://[^/]", "description": "The address." },
                },
                "required": ["url"],
                "additionalProperties": false,
            },
            { "const": false },
        ] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(name: &str) -> Option<String> {
        Some(match name {
            "address" => "10.0.0.1".to_owned(),
            "name" => "a; rm -rf /".to_owned(),
            "display" => "-oProxyCommand=x".to_owned(),
            "cluster" => "a\u{1b}[2J".to_owned(),
            "provider-id" => "aws:///eu-west-1a/i-1".to_owned(),
            "region" => "eu/../?#&%".to_owned(),
            "team" => String::new(),
            "label:rack" => "r 7".to_owned(),
            _ => return None,
        })
    }

    #[test]
    fn a_value_is_always_part_of_one_argument() {
        for (text, wanted) in [
            ("ssh {address}", vec!["ssh", "10.0.0.1"]),
            (
                "ssh -l 'two words' admin@{address}",
                vec!["ssh", "-l", "two words", "admin@10.0.0.1"],
            ),
            ("t \"\" {name}{{x}}", vec!["t", "", "a; rm -rf /{x}"]),
            ("t --rack={label:rack}", vec!["t", "--rack=r 7"]),
        ] {
            assert_eq!(CommandLine::parse(text).unwrap().fill(value).unwrap(), wanted, "{text}");
        }
        for (text, why) in [
            ("ssh {display}", "display begins with a dash"),
            ("ssh x@{display}", "display begins with a dash"),
            ("ssh {cluster}", "control characters"),
            ("ssh {zone}", "has no zone"),
            ("ssh {team}", "has no team"),
        ] {
            let error = CommandLine::parse(text).unwrap().fill(value).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_no_template_is_said() {
        for (text, why) in [
            ("", "names a program"),
            ("{address} x", "not a placeholder"),
            ("ssh 'x", "does not end"),
            ("ssh {adress}", "{adress} stands for nothing; there are address, name"),
            ("ssh {label:}", "stands for nothing"),
            ("ssh {address", "without a }"),
            ("ssh address}", "without a {"),
        ] {
            let error = CommandLine::parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
        for (url, why) in [
            ("ftp://x/", "no web address"),
            ("https:///x", "no web address"),
            ("https://x/ y", "blanks"),
            ("https://x/{nope}", "stands for nothing"),
        ] {
            assert!(Link::of(url, None).unwrap_err().contains(why), "{url}");
        }
    }

    #[test]
    fn a_link_is_encoded_and_for_its_hosts() {
        let link = |url: &str, hosts: Option<&str>| {
            Link::of(url, hosts.map(ToOwned::to_owned)).unwrap().fill(value)
        };
        assert_eq!(
            link("https://x/{region}?a={name}", None).as_deref(),
            Some("https://x/eu%2F..%2F%3F%23%26%25?a=a%3B%20rm%20-rf%20%2F")
        );
        assert!(link("https://x/{zone}", None).is_none());
        assert!(link("https://x/", Some("aws:///*")).is_some());
        assert!(link("https://x/", Some("aws:///*/i-1")).is_some());
        assert!(link("https://x/", Some("gcp:*")).is_none());
        for (pattern, text, fits) in [
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxcyyb", false),
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("*", "", true),
            ("aXb*Xb", "aXb", false),
        ] {
            assert_eq!(matches(pattern, text), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn what_is_written_can_be_read_again() {
        let line = CommandLine::parse("t {{x}} {name}@{address}").unwrap();
        assert_eq!(CommandLine::of(&line.words().collect::<Vec<_>>()).unwrap(), line);
    }
}
