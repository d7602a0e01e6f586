//! One term, prepared.

use k8s_openapi::jiff::Timestamp;

use crate::model::filter::ast::{
    IpTest, LabelTest, Pattern, RUN_WORDS, State, Term, TextField, TimeField, state_words,
};
use crate::model::filter::fuzzy::{Fuzzy, fold};
use crate::model::host::{Phase, RunState, ServiceState};
use crate::model::intern::{Atom, Known, Symbol};
use crate::model::row::{Health, HostRow};

use super::sketch::Sketch;
use super::{is_key_word, is_meant};

/// A set of symbols: one bit each, and one of 64 for all that share it.
#[derive(Debug, Default)]
pub(super) struct Symbols {
    bits: Vec<u64>,
    /// Bits of all that are or were in the set: without one of them, nothing of it is there.
    bloom: u64,
}

impl Symbols {
    fn reserve(&mut self, symbols: usize) {
        let words = symbols.div_ceil(64);
        if self.bits.len() < words {
            self.bits.resize(words, 0);
        }
    }

    fn set(&mut self, symbol: Symbol, is_in: bool) {
        let bit = 1 << (symbol.index() % 64);
        if let Some(word) = self.bits.get_mut(symbol.index() / 64) {
            if is_in {
                *word |= bit;
                self.bloom |= symbol.bloom();
            } else {
                *word &= !bit;
            }
        }
    }

    fn has(&self, symbol: Symbol) -> bool {
        let word = self.bits.get(symbol.index() / 64).copied().unwrap_or(0);
        word >> (symbol.index() % 64) & 1 == 1
    }
}

/// A prepared term.
#[derive(Debug)]
pub(super) enum Leaf {
    Word { word: Fuzzy, keys: Symbols, values: Symbols },
    Exact { text: String, mask: u64, values: Symbols },
    Regex { pattern: Pattern, values: Symbols },
    Label { key: String, test: LabelTest, keys: Symbols, values: Symbols },
    Group { field: TextField, parts: Vec<String>, values: Symbols },
    Name { parts: Vec<(String, u64)> },
    State { phases: Vec<Phase>, health: Vec<Health>, service: Vec<ServiceState> },
    Run { states: Vec<Option<RunState>> },
    Ip(IpTest),
    Time { field: TimeField, older: bool, seconds: i64 },
    Maintenance(bool),
}

/// How long a term takes: 0 for a look at a number, more for texts.
pub(super) fn cost(term: &Term) -> u8 {
    match term {
        Term::State(_) | Term::Run(_) | Term::Time { .. } | Term::Maintenance(_) => 1,
        Term::Label { .. } => 2,
        Term::Field { field: TextField::Name, .. } | Term::Ip(_) => 4,
        Term::Field { .. } => 3,
        Term::Word(_) => 5,
        Term::Exact(_) => 6,
        Term::Regex(_) => 7,
    }
}

impl Leaf {
    pub(super) fn new(term: &Term) -> Self {
        match term.clone() {
            Term::Word(word) => Self::Word {
                word: Fuzzy::new(&word),
                keys: Symbols::default(),
                values: Symbols::default(),
            },
            Term::Exact(text) => {
                let text = fold(&text);
                let mask = crate::model::filter::text_mask(&text);
                Self::Exact { text, mask, values: Symbols::default() }
            }
            Term::Regex(pattern) => Self::Regex { pattern, values: Symbols::default() },
            Term::Label { key, test } => {
                Self::Label { key, test, keys: Symbols::default(), values: Symbols::default() }
            }
            Term::Field { field: TextField::Name, values } => Self::Name {
                parts: values
                    .into_iter()
                    .map(|part| {
                        let mask = crate::model::filter::text_mask(&part);
                        (part, mask)
                    })
                    .collect(),
            },
            Term::Field { field, values } => {
                Self::Group { field, parts: values, values: Symbols::default() }
            }
            Term::State(words) => Self::state(&words),
            Term::Run(words) => {
                let meant = |word: &str| words.iter().any(|begin| word.starts_with(begin.as_str()));
                let states = RUN_WORDS.iter().filter(|(word, _)| meant(word));
                Self::Run { states: states.map(|(_, state)| *state).collect() }
            }
            Term::Ip(test) => Self::Ip(test),
            Term::Time { field, older, seconds } => Self::Time { field, older, seconds },
            Term::Maintenance(on) => Self::Maintenance(on),
        }
    }

    fn state(words: &[String]) -> Self {
        let (mut phases, mut health, mut service) = (Vec::new(), Vec::new(), Vec::new());
        for (word, state) in state_words() {
            if words.iter().any(|begin| word.starts_with(begin.as_str())) {
                match state {
                    State::Phase(phase) => phases.push(phase),
                    State::Health(one) => health.push(one),
                    State::Service(one) => service.push(one),
                }
            }
        }
        Self::State { phases, health, service }
    }

    /// Makes room for this many symbols.
    pub(super) fn reserve(&mut self, symbols: usize) {
        match self {
            Self::Word { keys, values, .. } | Self::Label { keys, values, .. } => {
                keys.reserve(symbols);
                values.reserve(symbols);
            }
            Self::Exact { values, .. }
            | Self::Regex { values, .. }
            | Self::Group { values, .. } => values.reserve(symbols),
            _ => {}
        }
    }

    /// Works out what the term means for a shared text.
    pub(super) fn learn(&mut self, known: &Known<'_>) {
        let Known { atom, mask: text_mask, is_key } = *known;
        let symbol = atom.symbol();
        match self {
            Self::Word { word, keys, values } => {
                let may = word.may_fit(text_mask);
                values.set(symbol, may && (word.is_one_letter() || word.fits(atom.as_str())));
                keys.set(symbol, is_key && may && is_key_word(word.folded(), atom));
            }
            Self::Exact { text, mask, values } => {
                let may = *mask & !text_mask == 0;
                values.set(symbol, may && contains_folded(atom.as_str(), text));
            }
            Self::Regex { pattern, values } => {
                values.set(symbol, pattern.regex.is_match(atom.as_str()));
            }
            Self::Label { key, test, keys, values } => {
                keys.set(symbol, is_key && is_meant(key, atom.raw()));
                values.set(symbol, passes(test, atom));
            }
            Self::Group { parts, values, .. } => {
                let within = |part: &String| contains_folded(atom.as_str(), part);
                values.set(symbol, parts.iter().any(within));
            }
            _ => {}
        }
    }

    pub(super) fn is_timed(&self) -> bool {
        matches!(self, Self::Time { .. })
    }

    /// When the answer for this row changes by itself, in seconds.
    pub(super) fn turning_point(&self, row: &HostRow) -> Option<i64> {
        match self {
            Self::Time { field, seconds, .. } => time_of(*field, row)?.checked_add(*seconds),
            _ => None,
        }
    }

    pub(super) fn matches(&self, row: &HostRow, sketch: &Sketch, now: i64) -> bool {
        match self {
            Self::Word { word, keys, values } => {
                if word.may_fit(sketch.display)
                    && (word.is_one_letter() || word.fits(row.display()))
                {
                    return true;
                }
                if (values.bloom | keys.bloom) & sketch.labels != 0
                    && row.pairs().iter().any(|(k, v)| values.has(*v) || keys.has(*k))
                {
                    return true;
                }
                word.may_fit(sketch.ids)
                    && (word.is_one_letter() || row.ids().contains(word.folded()))
            }
            Self::Exact { text, mask, values } => {
                (*mask & !sketch.display == 0 && contains_folded(row.display(), text))
                    || (values.bloom & sketch.labels != 0
                        && row.pairs().iter().any(|(_, value)| values.has(*value)))
                    || (*mask & !sketch.ids == 0 && row.ids().contains(text.as_str()))
            }
            Self::Regex { pattern, values } => {
                let own = [row.display(), row.name()];
                let ids = [row.address(), row.provider_id()];
                (values.bloom & sketch.labels != 0
                    && row.pairs().iter().any(|(_, value)| values.has(*value)))
                    || own
                        .into_iter()
                        .chain(ids.into_iter().flatten())
                        .any(|text| pattern.regex.is_match(text))
            }
            Self::Label { keys, values, .. } => {
                keys.bloom & sketch.labels != 0
                    && values.bloom & sketch.labels != 0
                    && row.pairs().iter().any(|(k, v)| values.has(*v) && keys.has(*k))
            }
            Self::Group { field, values, .. } => {
                row.group(*field).is_some_and(|atom| values.has(atom.symbol()))
            }
            Self::Name { parts } => parts.iter().any(|(part, mask)| {
                (*mask & !sketch.display == 0 && contains_folded(row.display(), part))
                    || (*mask & !sketch.ids == 0 && contains_folded(row.name(), part))
            }),
            Self::State { phases, health, service } => {
                phases.contains(&row.phase())
                    || health.contains(&row.health())
                    || service.contains(&row.service_state())
            }
            Self::Run { states } => states.contains(&row.run_state()),
            Self::Ip(test) => row.address().is_some_and(|address| match test {
                IpTest::Net(net) => {
                    address.parse().is_ok_and(|ip: std::net::IpAddr| net.contains(&ip))
                }
                IpTest::Prefix(prefix) => fold(address).starts_with(prefix.as_str()),
            }),
            Self::Time { field, older, seconds } => time_of(*field, row)
                .and_then(|time| time.checked_add(*seconds))
                .is_some_and(|turn| (turn <= now) == *older),
            Self::Maintenance(on) => row.in_maintenance() == *on,
        }
    }
}

/// Whether the value of a label is what is asked for.
fn passes(test: &LabelTest, value: &Atom) -> bool {
    let number = || value.raw().parse::<i64>().ok();
    match test {
        LabelTest::Exists => true,
        LabelTest::In(list) => list.iter().any(|wanted| wanted == value.raw()),
        LabelTest::Greater(limit) => number().is_some_and(|number| number > *limit),
        LabelTest::Less(limit) => number().is_some_and(|number| number < *limit),
    }
}

fn time_of(field: TimeField, row: &HostRow) -> Option<i64> {
    let time = match field {
        TimeField::Age => row.launched(),
        TimeField::Seen => row.changed(),
    };
    time.map(Timestamp::as_second)
}

/// Whether the folded `part` is in the text, in upper or lower case.
fn contains_folded(text: &str, part: &str) -> bool {
    text.contains(part)
        || (text.bytes().any(|b| b.is_ascii_uppercase() || !b.is_ascii())
            && fold(text).contains(part))
}
