//! Templates in configuration: Jinja as minijinja has it. Whoever writes the configuration writes
//! them; what they are filled with is data and is never read as a template.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, ErrorKind, UndefinedBehavior, escape_formatter};
use regex::{Regex, RegexBuilder};
use serde::Serialize;

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
/// `capture(PATTERN)`, what the first group of a regular expression (or all of it, without a group)
/// finds first, else empty.
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
        let template = self.environment.get_template(NAME).map_err(|problem| said(&problem))?;
        template.render(Serde(values)).map_err(|problem| said(&problem))
    }
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
    fn no_template_runs_for_ever() {
        let endless =
            "{% for a in range(10000) %}{% for b in range(10000) %}x{% endfor %}{% endfor %}";
        let why = Template::parse(endless).unwrap().fill(json!({})).unwrap_err();
        assert!(why.contains("fuel"), "{why}");
    }
}
