//! Label and field selectors.
//!
//! Grammar and meaning as in Kubernetes: `apimachinery/pkg/labels/selector.go` and
//! `apimachinery/pkg/fields/selector.go`.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::Value;

use super::status::{ApiError, ApiResult};
use super::storage::Wanted;

/// A label selector: all of its requirements hold. Without any it matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    requirements: Vec<Requirement>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    Exists,
    Missing,
    In(BTreeSet<String>),
    NotIn(BTreeSet<String>),
    Greater(i64),
    Less(i64),
}

impl Labels {
    /// Reads `a=b,c in (d,e),!f`.
    ///
    /// # Errors
    /// 400 if it is not a selector.
    pub fn parse(text: &str) -> ApiResult<Self> {
        let mut tokens = Tokens { text, token: None };
        let mut requirements = Vec::new();
        if tokens.peek() == Token::End {
            return Ok(Self::default());
        }
        loop {
            requirements.push(requirement(&mut tokens)?);
            match tokens.next() {
                Token::End => return Ok(Self { requirements }),
                Token::Comma => {}
                other => return Err(unexpected(other, "',' or 'end of string'")),
            }
        }
    }

    /// Whether it matches everything.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Whether an object matches whose label of a name is what `label` says.
    pub fn matches<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.requirements.iter().all(|r| {
            let value = label(&r.key);
            match &r.test {
                Test::Exists => value.is_some(),
                Test::Missing => value.is_none(),
                Test::In(list) => value.is_some_and(|v| list.contains(v)),
                Test::NotIn(list) => value.is_none_or(|v| !list.contains(v)),
                Test::Greater(n) => integer(value).is_some_and(|v| v > *n),
                Test::Less(n) => integer(value).is_some_and(|v| v < *n),
            }
        })
    }

    /// Whether `object` matches by its `metadata.labels`.
    pub fn matches_object(&self, object: &Value) -> bool {
        let labels = object.pointer("/metadata/labels");
        self.matches(|key| labels.and_then(|l| l.get(key)).and_then(Value::as_str))
    }
}

fn integer(label: Option<&str>) -> Option<i64> {
    label.and_then(|v| v.parse().ok())
}

/// One requirement: `key`, `!key`, or `key operator value(s)`.
fn requirement(tokens: &mut Tokens<'_>) -> ApiResult<Requirement> {
    let missing = tokens.peek() == Token::Not;
    if missing {
        tokens.next();
    }
    let key = match tokens.next() {
        Token::Word(word) => word,
        other => return Err(unexpected(other, "identifier")),
    };
    check_key(key)?;
    let requirement = |test| Ok(Requirement { key: key.to_owned(), test });
    if missing {
        return requirement(Test::Missing);
    }
    if matches!(tokens.peek(), Token::End | Token::Comma) {
        return requirement(Test::Exists);
    }
    let operator = tokens.next();
    let test = match operator {
        Token::Equal => Test::In(BTreeSet::from([one_value(tokens)?])),
        Token::NotEqual => Test::NotIn(BTreeSet::from([one_value(tokens)?])),
        Token::Word("in") => Test::In(values(tokens)?),
        Token::Word("notin") => Test::NotIn(values(tokens)?),
        Token::Greater => Test::Greater(one_integer(tokens)?),
        Token::Less => Test::Less(one_integer(tokens)?),
        other => return Err(unexpected(other, "one of in, notin, =, ==, !=, gt, lt")),
    };
    requirement(test)
}

fn one_value(tokens: &mut Tokens<'_>) -> ApiResult<String> {
    if matches!(tokens.peek(), Token::End | Token::Comma) {
        return Ok(String::new());
    }
    match tokens.next() {
        Token::Word(word) => value(word),
        other => Err(unexpected(other, "identifier")),
    }
}

fn one_integer(tokens: &mut Tokens<'_>) -> ApiResult<i64> {
    let text = one_value(tokens)?;
    text.parse().ok().ok_or_else(|| {
        bad(&format!("{text:?}: for 'Gt', 'Lt' operators, the value must be an integer"))
    })
}

/// `(a,b)`; an empty place between commas is the empty value.
fn values(tokens: &mut Tokens<'_>) -> ApiResult<BTreeSet<String>> {
    match tokens.next() {
        Token::Open => {}
        other => return Err(unexpected(other, "'('")),
    }
    if tokens.peek() == Token::Close {
        return Err(bad("for 'in', 'notin' operators, values set can't be empty"));
    }
    let mut list = BTreeSet::new();
    loop {
        match tokens.peek() {
            Token::Comma | Token::Close => {
                list.insert(String::new());
            }
            Token::Word(word) => {
                list.insert(value(word)?);
                tokens.next();
            }
            other => return Err(unexpected(other, "',', or identifier")),
        }
        match tokens.next() {
            Token::Comma => {}
            Token::Close => return Ok(list),
            other => return Err(unexpected(other, "',' or ')'")),
        }
    }
}

fn value(word: &str) -> ApiResult<String> {
    if word.len() > 63 || !is_name(word) {
        return Err(bad(&format!("{word:?} is not a label value")));
    }
    Ok(word.to_owned())
}

/// A label key is a name of up to 63 characters, with or without a DNS name and a slash before it.
fn check_key(key: &str) -> ApiResult<()> {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(p, n)| (Some(p), n));
    let dns = |p: &str| {
        let label =
            |l: &str| is_name(l) && l.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '-'));
        p.len() <= 253 && p.split('.').all(label)
    };
    if name.len() > 63 || !is_name(name) || !prefix.is_none_or(dns) {
        return Err(bad(&format!("{key:?} is not a label key")));
    }
    Ok(())
}

/// Letters, digits, `-`, `_` and `.`, with a letter or digit at both ends.
fn is_name(text: &str) -> bool {
    let end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    end(text.chars().next())
        && end(text.chars().next_back())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

fn bad(why: &str) -> ApiError {
    ApiError::bad_request(format!("unable to parse requirement: {why}"))
}

fn unexpected(found: Token<'_>, expected: &str) -> ApiError {
    bad(&format!("found '{}', expected: {expected}", found.text()))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    End,
    Comma,
    Open,
    Close,
    Not,
    Equal,
    NotEqual,
    Greater,
    Less,
    Word(&'a str),
}

impl<'a> Token<'a> {
    fn text(self) -> &'a str {
        match self {
            Self::End => "",
            Self::Comma => ",",
            Self::Open => "(",
            Self::Close => ")",
            Self::Not => "!",
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Greater => ">",
            Self::Less => "<",
            Self::Word(word) => word,
        }
    }
}

/// The tokens of a label selector, with one token of look-ahead.
struct Tokens<'a> {
    text: &'a str,
    token: Option<Token<'a>>,
}

impl<'a> Tokens<'a> {
    fn peek(&mut self) -> Token<'a> {
        let token = self.next();
        self.token = Some(token);
        token
    }

    fn next(&mut self) -> Token<'a> {
        if let Some(token) = self.token.take() {
            return token;
        }
        self.text = self.text.trim_start_matches([' ', '\t', '\r', '\n']);
        let symbols = [
            ("!=", Token::NotEqual),
            ("==", Token::Equal),
            ("=", Token::Equal),
            ("!", Token::Not),
            (",", Token::Comma),
            ("(", Token::Open),
            (")", Token::Close),
            (">", Token::Greater),
            ("<", Token::Less),
        ];
        for (symbol, token) in symbols {
            if let Some(rest) = self.text.strip_prefix(symbol) {
                self.text = rest;
                return token;
            }
        }
        let end = self.text.find([' ', '\t', '\r', '\n', '!', '=', ',', '(', ')', '>', '<']);
        let (word, rest) = self.text.split_at(end.unwrap_or(self.text.len()));
        self.text = rest;
        if word.is_empty() { Token::End } else { Token::Word(word) }
    }
}

/// A field selector: all of its requirements hold. Without any it matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// On `metadata.name` and `metadata.namespace`.
    key: Vec<Field>,
    /// On the object.
    rest: Vec<Field>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Field {
    path: String,
    value: String,
    equal: bool,
}

const NAME: &str = "metadata.name";
const NAMESPACE: &str = "metadata.namespace";

impl Fields {
    /// Reads `metadata.name=a,spec.region!=b`. Besides the name and, if the kind is `namespaced`,
    /// the namespace, the paths of `selectable` can be selected on.
    ///
    /// # Errors
    /// 400 if it is not a selector, or if it names another field.
    pub fn parse(text: &str, namespaced: bool, selectable: &[String]) -> ApiResult<Self> {
        let mut fields = Self::default();
        for term in split_unescaped(text, ',').filter(|t| !t.is_empty()) {
            let field = field(term).ok_or_else(|| {
                ApiError::bad_request(format!(
                    "invalid selector: '{text}'; can't understand '{term}'"
                ))
            })?;
            match field.path.as_str() {
                NAME => fields.key.push(field),
                NAMESPACE if namespaced => fields.key.push(field),
                path if selectable.iter().any(|s| s == path) => fields.rest.push(field),
                path => {
                    let message = format!("field label not supported: {path}");
                    return Err(ApiError::bad_request(message));
                }
            }
        }
        Ok(fields)
    }

    /// Whether it matches everything.
    pub fn is_empty(&self) -> bool {
        self.key.is_empty() && self.rest.is_empty()
    }

    /// The only name that can match, if the selector says so.
    pub fn name(&self) -> Option<&str> {
        self.only(NAME)
    }

    /// The only namespace that can match, if the selector says so.
    pub fn namespace(&self) -> Option<&str> {
        self.only(NAMESPACE)
    }

    fn only(&self, path: &str) -> Option<&str> {
        self.key.iter().find(|f| f.equal && f.path == path).map(|f| f.value.as_str())
    }

    /// Whether [`Self::matches_key`] says all, so that nobody has to read the object.
    pub fn rest_is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// What [`Self::matches_rest`] looks at.
    pub fn wanted(&self) -> Wanted {
        let mut wanted = Wanted::default();
        for field in &self.rest {
            wanted.add(field.path.split('.'));
        }
        wanted
    }

    /// Whether the requirements on namespace and name hold. The namespace is empty for what is in
    /// none.
    pub fn matches_key(&self, namespace: &str, name: &str) -> bool {
        self.key.iter().all(|f| {
            let value = if f.path == NAME { name } else { namespace };
            (f.value == value) == f.equal
        })
    }

    /// Whether the requirements on other fields hold. A field that is not there counts as empty.
    pub fn matches_rest(&self, object: &Value) -> bool {
        self.rest.iter().all(|f| (text_at(object, &f.path) == f.value) == f.equal)
    }

    /// Whether `object` matches.
    pub fn matches_object(&self, object: &Value) -> bool {
        let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        self.matches_key(text("/metadata/namespace"), text("/metadata/name"))
            && self.matches_rest(object)
    }
}

/// Splits at each `at` that has no backslash before it.
fn split_unescaped(text: &str, at: char) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    text.split(move |c| {
        let found = c == at && !escaped;
        escaped = c == '\\' && !escaped;
        found
    })
}

/// `path=value`, `path==value` or `path!=value`, by the first operator.
fn field(term: &str) -> Option<Field> {
    let path = split_unescaped(term, '=').next()?;
    let rest = term.get(path.len()..)?;
    let (path, equal) = path.strip_suffix('!').map_or((path, true), |p| (p, false));
    let value = rest.strip_prefix(if equal && rest.starts_with("==") { "==" } else { "=" })?;
    Some(Field { path: path.to_owned(), value: unescape(value)?, equal })
}

/// `\\`, `\,` and `\=` stand for their second character; nothing else may be escaped, and these
/// must be.
fn unescape(text: &str) -> Option<String> {
    let mut value = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => value.push(chars.next().filter(|c| matches!(c, '\\' | ',' | '='))?),
            ',' | '=' => return None,
            _ => value.push(c),
        }
    }
    Some(value)
}

/// The value at `path` as a selector compares it.
fn text_at<'a>(object: &'a Value, path: &str) -> Cow<'a, str> {
    let at = |path: &str| path.split('.').try_fold(object, |value, key| value.get(key));
    match at(path) {
        Some(Value::String(text)) => Cow::Borrowed(text),
        Some(value @ (Value::Bool(_) | Value::Number(_))) => Cow::Owned(value.to_string()),
        // `source` of an Event is its component, or else the controller that reports it
        // (kubernetes: pkg/registry/core/event/strategy.go).
        source if path == "source" => {
            let component = source.and_then(|s| s.get("component")).and_then(Value::as_str);
            let reporter = || at("reportingComponent").and_then(Value::as_str);
            Cow::Borrowed(component.filter(|c| !c.is_empty()).or_else(reporter).unwrap_or_default())
        }
        _ => Cow::Borrowed(""),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn labels(selector: &str, object: &Value) -> bool {
        let object = json!({"metadata": {"labels": object}});
        Labels::parse(selector).unwrap().matches_object(&object)
    }

    #[test]
    fn each_operator_means_what_kubernetes_says() {
        let object = json!({"a": "b", "n": "7", "x.io/y": "", "in": "notin"});
        let yes = [
            "",
            " ",
            "a",
            "a=b",
            "a==b",
            "a = b",
            "a!=c",
            "z!=b",
            "!z",
            "! z",
            "a in (b)",
            "a in (x, b)",
            "a notin (x)",
            "z notin (b)",
            "n>5",
            "n<8",
            "x.io/y",
            "x.io/y=",
            "x.io/y in (,q)",
            "a=b,n=7,!z",
            "in=notin",
            "in in (notin)",
        ];
        let no = [
            "z",
            "a=",
            "a=c",
            "a!=b",
            "!a",
            "a in (c)",
            "a notin (b)",
            "n>7",
            "n<7",
            "a>1",
            "z>1",
            "a=b,z",
            "x.io/y=q",
        ];
        for selector in yes {
            assert!(labels(selector, &object), "{selector}");
        }
        for selector in no {
            assert!(!labels(selector, &object), "{selector}");
        }
        assert!(Labels::parse("").unwrap().is_empty());
        assert!(!Labels::parse("a").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_label_selector_is_a_bad_request() {
        let wrong = [
            "a=b=c",
            "a b",
            ",",
            "a,",
            ",a",
            "a in",
            "a in b",
            "a in ()",
            "a in (b",
            "a in (b c)",
            "a>b",
            "a>",
            "=b",
            "a===b",
            "!a=b",
            "!",
            "(a)",
            "a=-",
            "a=b/c",
            "-a",
            "a/b/c",
            "A/",
            "/a",
            "X.io/a",
            "a..b/c",
            "a=!b",
            "ä",
        ];
        for selector in wrong {
            let error = Labels::parse(selector).expect_err(selector);
            assert_eq!((error.code, error.reason), (400, "BadRequest"), "{selector}");
        }
        let error = Labels::parse("a=b=c").unwrap_err();
        assert!(error.message.ends_with("found '=', expected: ',' or 'end of string'"), "{error}");
        assert!(Labels::parse(&format!("a={}", "v".repeat(64))).is_err());
        assert!(Labels::parse(&format!("a={}", "v".repeat(63))).is_ok());
    }

    fn fields(selector: &str) -> ApiResult<Fields> {
        let selectable = ["spec.a", "spec.n", "spec.b", "source"].map(str::to_owned);
        Fields::parse(selector, true, &selectable)
    }

    #[test]
    fn fields_compare_as_text() {
        let object = json!({
            "metadata": {"namespace": "ns", "name": "x"}, "spec": {"a": "p,q=r\\s", "n": 7, "b": true},
        });
        let yes = [
            "",
            ",",
            "metadata.name=x",
            "metadata.name==x,metadata.namespace=ns",
            "metadata.name!=y",
            "spec.n=7",
            "spec.b=true",
            r"spec.a=p\,q\=r\\s",
            "spec.a!=",
            "spec.n!=8,spec.b!=false",
            "source=",
        ];
        for selector in yes {
            assert!(fields(selector).unwrap().matches_object(&object), "{selector}");
        }
        let no = [
            "metadata.name=y",
            "metadata.name!=x",
            "metadata.namespace=",
            "spec.n=07",
            "spec.b!=true",
            "spec.a=",
            "spec.n=7,spec.b=false",
            "source=x",
        ];
        for selector in no {
            assert!(!fields(selector).unwrap().matches_object(&object), "{selector}");
        }
    }

    #[test]
    fn the_source_of_an_event_is_its_component_or_its_reporter() {
        let old = json!({"source": {"component": "c"}, "reportingComponent": "r"});
        let new = json!({"source": {}, "reportingComponent": "r"});
        assert!(fields("source=c").unwrap().matches_rest(&old));
        assert!(fields("source=r").unwrap().matches_rest(&new));
    }

    #[test]
    fn cheap_paths_are_known() {
        let selector = fields("metadata.name=x,metadata.namespace=ns").unwrap();
        assert_eq!((selector.name(), selector.namespace()), (Some("x"), Some("ns")));
        assert!(selector.rest_is_empty() && !selector.is_empty());
        let selector = fields("metadata.name!=x,spec.n=7").unwrap();
        assert_eq!((selector.name(), selector.namespace()), (None, None));
        assert!(!selector.rest_is_empty());
        assert!(fields("").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_field_selector_is_a_bad_request() {
        for selector in ["x", "spec.a", "spec.a=b=c", r"spec.a=\x", "spec.a=\\", "=x", "spec.z=1"] {
            assert_eq!(fields(selector).expect_err(selector).code, 400, "{selector}");
        }
        let error = fields("spec.z=1").unwrap_err();
        assert_eq!(error.message, "field label not supported: spec.z");
        assert!(Fields::parse("metadata.namespace=x", false, &[]).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_them_panic(text in "[a=!,()<> \\\\in/é.0-9]{0,24}") {
            let _ = Labels::parse(&text);
            let _ = fields(&text);
        }

        #[test]
        fn any_value_can_be_escaped(value in any::<String>()) {
            let escaped = value.replace('\\', r"\\").replace(',', r"\,").replace('=', r"\=");
            let selector = fields(&format!("spec.a={escaped}")).unwrap();
            let matches = selector.matches_rest(&json!({"spec": {"a": value}}));
            prop_assert!(matches);
        }
    }
}
