//! A filter as a tree, and how it is written.

use std::fmt::{self, Write as _};

use ipnet::IpNet;
use regex::{Regex, RegexBuilder};

use crate::model::host::{Phase, RunState, ServiceState};
use crate::model::labels::is_label_value;
use crate::model::row::Health;

/// A filter or a part of it. `All` of nothing is the filter that chooses everything; else `All`
/// and `Any` have at least two parts and none of their own kind directly inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expr {
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    Term(Term),
}

/// What is asked of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Term {
    /// `web`: fuzzy on display name and label values, inside name, address and provider id; a
    /// label key exactly.
    Word(String),
    /// `"web 1"`: inside any of these texts.
    Exact(String),
    /// `/^web/`: on any of these texts.
    Regex(Pattern),
    /// `env=prod` and its relatives.
    Label { key: String, test: LabelTest },
    /// `region:eu`: inside this field.
    Field { field: TextField, values: Vec<String> },
    /// `source:aws`: one of the sources that know the host, by its whole name.
    Source(Vec<String>),
    /// `state:run`: begins phase, health or service state.
    State(Vec<String>),
    /// `run:fail`: begins the state of the last Ansible run.
    Run(Vec<String>),
    /// `ip:10.2.0.0/16`.
    Ip(IpTest),
    /// `age<2h`.
    Time { field: TimeField, older: bool, seconds: i64 },
    /// `maintenance:on`.
    Maintenance(bool),
}

/// A regular expression; two are the same if they are written the same.
#[derive(Clone)]
pub(super) struct Pattern {
    pub(super) source: String,
    pub(super) regex: Regex,
    /// The same where each line is a text of its own: it finds something in the lines of several
    /// texts at least if `regex` finds something in one of them. None where that is not so.
    pub(super) lines: Option<Regex>,
}

/// Largest compiled regular expression in bytes: it is compiled while somebody types.
const REGEX_SIZE: usize = 1 << 18;

impl Pattern {
    /// Compiles a regular expression, in upper or lower case.
    pub(super) fn new(source: String) -> Result<Self, regex::Error> {
        let mut builder = RegexBuilder::new(&source);
        builder.case_insensitive(true).size_limit(REGEX_SIZE);
        let regex = builder.build()?;
        // These can ask for the ends of the whole text, whatever the mode.
        let whole = ["(?", "\\A", "\\z"].iter().any(|sign| source.contains(sign));
        let lines = if whole { None } else { builder.multi_line(true).build().ok() };
        Ok(Self { source, regex, lines })
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

/// What is asked of a label's value. The negative forms are these inside `Not`, as in Kubernetes:
/// a host without the label passes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LabelTest {
    Exists,
    In(Vec<String>),
    Greater(i64),
    Less(i64),
}

/// A field that is text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum TextField {
    Region,
    Cluster,
    Provider,
    Role,
    Team,
    Environment,
    Zone,
    Name,
    Namespace,
    /// The API server that it is on.
    Server,
}

impl TextField {
    pub(super) const ALL: [(&'static str, Self); 10] = [
        ("region", Self::Region),
        ("cluster", Self::Cluster),
        ("provider", Self::Provider),
        ("role", Self::Role),
        ("team", Self::Team),
        ("env", Self::Environment),
        ("zone", Self::Zone),
        ("name", Self::Name),
        ("namespace", Self::Namespace),
        ("server", Self::Server),
    ];
}

/// What is asked of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum IpTest {
    Net(IpNet),
    Prefix(String),
}

/// A time that is compared with now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeField {
    /// Since the machine was launched.
    Age,
    /// Since a condition last changed.
    Seen,
}

impl TimeField {
    pub(super) const ALL: [(&'static str, Self); 2] = [("age", Self::Age), ("seen", Self::Seen)];
}

/// Every word that `state:` knows, in lower case, with what it means.
pub(super) fn state_words() -> impl Iterator<Item = (String, State)> {
    let phases = Phase::ALL.into_iter().map(|p| (p.as_str(), State::Phase(p)));
    let health = Health::ALL.into_iter().map(|h| (h.as_str(), State::Health(h)));
    let service = [
        ("inservice", State::Service(ServiceState::InService)),
        ("outofservice", State::Service(ServiceState::OutOfService)),
        ("quarantined", State::Service(ServiceState::Quarantined)),
        ("retired", State::Service(ServiceState::Retired)),
    ];
    phases.chain(health).chain(service).map(|(word, state)| (word.to_lowercase(), state))
}

/// One meaning of a word after `state:`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Phase(Phase),
    Health(Health),
    Service(ServiceState),
}

/// Every word that `run:` knows; none is a host that never ran.
pub(super) const RUN_WORDS: [(&str, Option<RunState>); 7] = [
    ("queued", Some(RunState::Queued)),
    ("running", Some(RunState::Running)),
    ("succeeded", Some(RunState::Succeeded)),
    ("failed", Some(RunState::Failed)),
    ("unknown", Some(RunState::Unknown)),
    ("canceled", Some(RunState::Canceled)),
    ("none", None),
];

/// Units of a span of time, the greatest first, in seconds.
pub(super) const UNITS: [(char, i64); 5] =
    [('w', 604_800), ('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(parts) => {
                for (number, part) in parts.iter().enumerate() {
                    // `a in (b || c)` would read as a set of label values.
                    let group = matches!(part, Self::Any(_));
                    f.write_str(match number {
                        0 => "",
                        _ if group => " && ",
                        _ => " ",
                    })?;
                    if group { write!(f, "({part})")? } else { part.fmt(f)? }
                }
                Ok(())
            }
            Self::Any(parts) => {
                for (number, part) in parts.iter().enumerate() {
                    f.write_str(if number == 0 { "" } else { " || " })?;
                    part.fmt(f)?;
                }
                Ok(())
            }
            Self::Not(part) => match part.as_ref() {
                Self::Term(Term::Label { key, test: LabelTest::Exists }) => write!(f, "{key}!=*"),
                Self::Term(Term::Label { key, test: LabelTest::In(values) }) => {
                    write_in(f, key, values, true)
                }
                Self::All(_) | Self::Any(_) => write!(f, "!({part})"),
                Self::Not(_) | Self::Term(_) => write!(f, "!{part}"),
            },
            Self::Term(term) => term.fmt(f),
        }
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => f.write_str(word),
            Self::Exact(text) => write_quoted(f, text),
            Self::Regex(pattern) => write_regex(f, &pattern.source),
            Self::Label { key, test } => match test {
                LabelTest::Exists => write!(f, "{key}=*"),
                LabelTest::In(values) => write_in(f, key, values, false),
                LabelTest::Greater(number) => write!(f, "{key}>{number}"),
                LabelTest::Less(number) => write!(f, "{key}<{number}"),
            },
            Self::Field { field, values } => {
                let name = TextField::ALL.iter().find(|(_, known)| known == field);
                write_field(f, name.map_or("", |(name, _)| name), values)
            }
            Self::Source(names) => write_field(f, "source", names),
            Self::State(words) => write_field(f, "state", words),
            Self::Run(words) => write_field(f, "run", words),
            Self::Ip(IpTest::Net(net)) if net.prefix_len() == net.max_prefix_len() => {
                write!(f, "ip:{}", net.addr())
            }
            Self::Ip(IpTest::Net(net)) => write!(f, "ip:{net}"),
            Self::Ip(IpTest::Prefix(prefix)) => write!(f, "ip:{prefix}"),
            Self::Time { field, older, seconds } => {
                let name = TimeField::ALL.iter().find(|(_, known)| known == field);
                f.write_str(name.map_or("", |(name, _)| name))?;
                f.write_char(if *older { '>' } else { '<' })?;
                write_span(f, *seconds)
            }
            Self::Maintenance(on) => {
                write!(f, "maintenance:{}", if *on { "on" } else { "off" })
            }
        }
    }
}

fn write_in(f: &mut fmt::Formatter<'_>, key: &str, values: &[String], not: bool) -> fmt::Result {
    if let [value] = values {
        write!(f, "{key}{}", if not { "!=" } else { "=" })?;
        return write_label_value(f, value);
    }
    write!(f, "{key} {} (", if not { "notin" } else { "in" })?;
    for (number, value) in values.iter().enumerate() {
        f.write_str(if number == 0 { "" } else { "," })?;
        write_label_value(f, value)?;
    }
    f.write_char(')')
}

fn write_label_value(f: &mut fmt::Formatter<'_>, value: &str) -> fmt::Result {
    if !value.is_empty() && is_label_value(value) {
        f.write_str(value)
    } else {
        write_quoted(f, value)
    }
}

fn write_field(f: &mut fmt::Formatter<'_>, name: &str, values: &[String]) -> fmt::Result {
    write!(f, "{name}:")?;
    for (number, value) in values.iter().enumerate() {
        f.write_str(if number == 0 { "" } else { "," })?;
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | '@' | '+');
        // A slash in front would begin a regular expression.
        if !value.is_empty() && !value.starts_with('/') && value.chars().all(plain) {
            f.write_str(value)?;
        } else {
            write_quoted(f, value)?;
        }
    }
    Ok(())
}

fn write_quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            f.write_char('\\')?;
        }
        f.write_char(c)?;
    }
    f.write_char('"')
}

fn write_regex(f: &mut fmt::Formatter<'_>, source: &str) -> fmt::Result {
    f.write_char('/')?;
    let mut chars = source.chars();
    while let Some(c) = chars.next() {
        match c {
            // What a backslash stands before goes with it.
            '\\' => {
                f.write_char(c)?;
                chars.next().map_or(Ok(()), |next| f.write_char(next))?;
            }
            '/' => f.write_str("\\/")?,
            _ => f.write_char(c)?,
        }
    }
    f.write_char('/')
}

fn write_span(f: &mut fmt::Formatter<'_>, seconds: i64) -> fmt::Result {
    let mut rest = seconds;
    for (unit, size) in UNITS {
        if rest >= size {
            write!(f, "{}{unit}", rest / size)?;
            rest %= size;
        }
    }
    if seconds == 0 { f.write_str("0s") } else { Ok(()) }
}
