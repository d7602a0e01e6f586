//! Templates in configuration: Jinja as minijinja has it. Whoever writes the configuration writes
//! them; what they are filled with is data and is never read as a template.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

pub use minijinja::Value;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, ErrorKind, UndefinedBehavior, escape_formatter};
use regex::{Regex, RegexBuilder};
use serde::Serialize;

use super::text::is_hostile;

/// Steps of one filling; a loop over ten thousand hosts fits in many times.
const FUEL: u64 = 50_000_000;
/// Regular expressions that a template keeps, so that one that makes them from data stays small.
const PATTERNS: usize = 64;
/// Largest compiled regular expression, in bytes.
const PATTERN_SIZE: usize = 1 << 20;
/// The one template of its environment.
const NAME: &str = "template";

/// A template that has been read.
///
/// What is not there is empty, as deep as one asks. Beside the filters of minijinja:
///
/// - `capture(PATTERN)`: what the first group of a regular expression (or all of it, without a group)
///   finds first, else empty.
/// - `word`: one word that means nothing to anybody: letters, digits and `._:-`, every other character
///   is a `_`; never empty, and nothing that begins like an option or a hidden file.
/// - `quote`: between double quotes, with a backslash before each `"` and `\\`, and `\\n` for a line end.
/// - `line`: one line: each run of line ends, tabs and the like is one space.
#[derive(Clone)]
pub struct Template {
    environment: Arc<Environment<'static>>,
    source: Arc<str>,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// What is wrong with it, and in which line.
    pub fn parse(source: &str) -> Result<Self, String> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_formatter(|output, state, value| {
            if value.is_none() { Ok(()) } else { escape_formatter(output, state, value) }
        });
        environment.set_fuel(Some(FUEL));
        // A line that has only a block leaves no empty line behind.
        let mut syntax = SyntaxConfig::builder();
        syntax.trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true);
        environment.set_syntax(syntax.build().map_err(|problem| said(&problem))?);
        let patterns = Patterns::default();
        environment.add_filter("capture", move |text: Option<String>, pattern: String| {
            patterns.capture(&text.unwrap_or_default(), &pattern).map_err(|why| {
                minijinja::Error::new(ErrorKind::InvalidOperation, format!("capture: {why}"))
            })
        });
        let text = |text: Option<String>| text.unwrap_or_default();
        environment.add_filter("word", move |value: Option<String>| word(&text(value)));
        environment.add_filter("quote", move |value: Option<String>| quote(&text(value)));
        environment.add_filter("line", move |value: Option<String>| line(&text(value)));
        environment
            .add_template_owned(NAME, source.to_owned())
            .map_err(|problem| said(&problem))?;
        Ok(Self { environment: Arc::new(environment), source: source.into() })
    }

    /// Whether a text of a configuration is meant as a template.
    pub fn is_meant(text: &str) -> bool {
        ["{{", "{%", "{#"].iter().any(|begin| text.contains(begin))
    }

    /// Fills the template.
    ///
    /// # Errors
    /// What cannot be done with these values, and in which line.
    pub fn fill(&self, values: impl Serialize) -> Result<String, String> {
        self.fill_with(value_of(values))
    }

    /// Fills the template with values that are made already.
    ///
    /// # Errors
    /// As for [`Template::fill`].
    pub fn fill_with(&self, values: Value) -> Result<String, String> {
        let template = self.environment.get_template(NAME).map_err(|problem| said(&problem))?;
        template.render(values).map_err(|problem| said(&problem))
    }

    /// Names that the template asks for and that nobody gives it, in their order.
    pub fn unknown(&self, given: &[&str]) -> Vec<String> {
        let Ok(template) = self.environment.get_template(NAME) else { return Vec::new() };
        let own: Vec<&str> = self.environment.globals().map(|(name, _)| name).collect();
        let asked = template.undeclared_variables(false).into_iter();
        let mut unknown: Vec<String> = asked
            .filter(|name| !given.contains(&name.as_str()) && !own.contains(&name.as_str()))
            .collect();
        unknown.sort();
        unknown
    }
}

/// A value for [`Template::fill_with`]; what cannot be one is an error where it is used.
pub fn value_of(value: impl Serialize) -> Value {
    Value::from(Serde(value))
}

fn word(text: &str) -> String {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '-');
    let word: String = text.chars().map(|c| if legal(c) { c } else { '_' }).collect();
    if word.is_empty() || word.starts_with(['-', '.']) { format!("_{word}") } else { word }
}

fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if is_hostile(c) => quoted.push('\u{FFFD}'),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn line(text: &str) -> String {
    let parts = text.split(|c: char| c.is_whitespace() || is_hostile(c));
    parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Template").field(&self.source).finish()
    }
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Template {}

/// Regular expressions by their text.
#[derive(Default)]
struct Patterns(Mutex<HashMap<String, Regex>>);

impl Patterns {
    fn capture(&self, text: &str, pattern: &str) -> Result<String, String> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.contains_key(pattern) {
            if known.len() >= PATTERNS {
                known.clear();
            }
            let made = RegexBuilder::new(pattern).size_limit(PATTERN_SIZE).build();
            known.insert(pattern.to_owned(), made.map_err(|problem| problem.to_string())?);
        }
        let found = known.get(pattern).and_then(|pattern| pattern.captures(text));
        let found = found.and_then(|found| found.get(1).or_else(|| found.get(0)));
        Ok(found.map(|part| part.as_str().to_owned()).unwrap_or_default())
    }
}

/// What minijinja says, with the line and without the name that only we know.
fn said(problem: &minijinja::Error) -> String {
    let detail = problem.detail().map_or_else(|| problem.kind().to_string(), ToOwned::to_owned);
    match problem.line() {
        Some(line) => format!("{detail} (line {line})"),
        None => detail,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn filled(template: &str, values: serde_json::Value) -> String {
        Template::parse(template).unwrap().fill(values).unwrap()
    }

    #[test]
    fn values_go_in_as_they_are() {
        let values = json!({"name": "web-12.{{ x }}<b>", "tags": {"a/b": "c"}});
        assert_eq!(filled("{{ name }}", values.clone()), "web-12.{{ x }}<b>");
        assert_eq!(filled("{{ tags['a/b'] }}{{ tags.no.such }}{{ none }}", values), "c");
        assert_eq!(filled("{% for n in [1, 2] %}\n{{ n }}\n{% endfor %}\n", json!({})), "1\n2\n");
    }

    #[test]
    fn parts_are_taken_out_of_names() {
        let value = |name: &str| {
            filled("{{ name | capture('^[a-z]+-([a-z]+)-') }}", json!({ "name": name }))
        };
        assert_eq!(value("ams-web-12"), "web");
        assert_eq!(value("12"), "");
        assert_eq!(filled("{{ none.such | capture('.+') }}", json!({})), "");
        assert_eq!(filled("{{ name | capture('[0-9]+') }}", json!({"name": "ab12c3"})), "12");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let why = Template::parse("a\n{{ name").unwrap_err();
        assert!(why.contains("line 2"), "{why}");
        assert!(Template::parse("{{ name | nosuch }}").unwrap().fill(json!({})).is_err());
        let bad = Template::parse("{{ 'a' | capture('(') }}").unwrap();
        let why = bad.fill(json!({})).unwrap_err();
        assert!(why.contains("capture") && why.contains("unclosed"), "{why}");
    }

    #[test]
    fn no_value_breaks_out_of_where_it_stands() {
        let said = |filter: &str, text: &str| {
            filled(&format!("{{{{ text | {filter} }}}}"), json!({ "text": text }))
        };
        for (text, as_word, as_quote, as_line) in [
            ("web-1", "web-1", r#""web-1""#, "web-1"),
            ("", "_", r#""""#, ""),
            ("fe80::1", "fe80::1", r#""fe80::1""#, "fe80::1"),
            ("-oProxyCommand=x", "_-oProxyCommand_x", r#""-oProxyCommand=x""#, "-oProxyCommand=x"),
            (".hidden", "_.hidden", r#"".hidden""#, ".hidden"),
            ("a\"b\\", "a_b_", r#""a\"b\\""#, "a\"b\\"),
            (
                "a\n10.0.0.1 bank\r\n",
                "a_10.0.0.1_bank__",
                r#""a\n10.0.0.1 bank\r\n""#,
                "a 10.0.0.1 bank",
            ),
            ("a\u{85}b\u{2028}c\0", "a_b_c_", "\"a\u{FFFD}b\u{FFFD}c\u{FFFD}\"", "a b c"),
            ("\u{202E}é *?!", "______", "\"\u{FFFD}é *?!\"", "é *?!"),
        ] {
            assert_eq!(said("word", text), as_word, "{text:?}");
            assert_eq!(said("quote", text), as_quote, "{text:?}");
            assert_eq!(said("line", text), as_line, "{text:?}");
        }
        assert_eq!(filled("{{ none.such | word }}{{ 7 | quote }}", json!({})), "_\"7\"");
    }

    #[test]
    fn names_that_nobody_gives_are_told() {
        let template = "{% for host in hots %}{{ host.name }}{{ loop.index }}{{ range(3) }}{% endfor %}{{ hosts }}";
        assert_eq!(Template::parse(template).unwrap().unknown(&["hosts"]), ["hots"]);
    }

    #[test]
    fn no_template_runs_for_ever() {
        let endless =
            "{% for a in range(10000) %}{% for b in range(10000) %}x{% endfor %}{% endfor %}";
        let why = Template::parse(endless).unwrap().fill(json!({})).unwrap_err();
        assert!(why.contains("fuel"), "{why}");
    }
}
