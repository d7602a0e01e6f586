//! One term, prepared.

use std::net::IpAddr;

use ipnet::IpNet;
use k8s_openapi::jiff::Timestamp;

use crate::model::filter::ast::{
    IpTest, LabelTest, Pattern, RUN_WORDS, State, Term, TextField, TimeField, state_words,
};
use crate::model::filter::fuzzy::{Fuzzy, fold, text_mask};
use crate::model::host::{Phase, RunState, ServiceState};
use crate::model::intern::{Atom, Known, Symbol};
use crate::model::labels;
use crate::model::row::{Health, HostRow, KNOWN_BY};

use super::sketch::{Grams, Sketch, Subject};
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

    fn insert(&mut self, symbol: Symbol) {
        if let Some(word) = self.bits.get_mut(symbol.index() / 64) {
            *word |= 1 << (symbol.index() % 64);
            self.bloom |= symbol.bloom();
        }
    }

    fn remove(&mut self, symbol: Symbol) {
        if let Some(word) = self.bits.get_mut(symbol.index() / 64) {
            *word &= !(1 << (symbol.index() % 64));
        }
    }

    fn has(&self, symbol: Symbol) -> bool {
        let word = self.bits.get(symbol.index() / 64).copied().unwrap_or(0);
        word >> (symbol.index() % 64) & 1 == 1
    }
}

/// A text that is looked for as it is.
#[derive(Debug)]
pub(super) struct Part {
    text: String,
    mask: u64,
    grams: Grams,
}

impl Part {
    fn new(text: &str) -> Self {
        let text = fold(text);
        Self { mask: text_mask(&text), grams: Grams::of(&text), text }
    }

    /// Whether it stands in a shared text with these characters.
    fn is_in(&self, atom: &Atom, characters: u64) -> bool {
        self.mask & !characters == 0 && contains_folded(atom.as_str(), &self.text)
    }

    fn may_be_in_display(&self, sketch: &Sketch) -> bool {
        self.mask & !sketch.display == 0
    }

    fn may_be_in_ids(&self, sketch: &Sketch) -> bool {
        self.mask & !sketch.ids == 0 && self.grams.may_be_in(sketch.grams)
    }
}

/// A prepared term.
#[derive(Debug)]
pub(super) enum Leaf {
    Word { word: Fuzzy, grams: Grams, keys: Symbols, values: Symbols },
    Exact { part: Part, values: Symbols },
    Regex { pattern: Pattern, values: Symbols },
    Label { key: String, test: LabelTest, masks: Vec<u64>, keys: Symbols, values: Symbols },
    Group { field: TextField, parts: Vec<Part>, values: Symbols },
    Name { parts: Vec<Part> },
    Source { names: Vec<String>, masks: Vec<u64>, keys: Symbols, values: Symbols },
    State { phases: Vec<Phase>, health: Vec<Health>, service: Vec<ServiceState> },
    Run { states: Vec<Option<RunState>> },
    Ip { test: IpTest, begin: Part },
    Time { field: TimeField, older: bool, seconds: i64 },
    Maintenance(bool),
}

/// How long a term takes: 0 for a look at a number, more for texts.
pub(super) fn cost(term: &Term) -> u8 {
    match term {
        Term::State(_) | Term::Run(_) | Term::Time { .. } | Term::Maintenance(_) => 1,
        Term::Label { .. } | Term::Source(_) => 2,
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
            Term::Word(word) => {
                let word = Fuzzy::new(&word);
                let grams = Grams::of(word.folded());
                Self::Word { word, grams, keys: Symbols::default(), values: Symbols::default() }
            }
            Term::Exact(text) => Self::Exact { part: Part::new(&text), values: Symbols::default() },
            Term::Regex(pattern) => Self::Regex { pattern, values: Symbols::default() },
            Term::Label { key, test } => {
                let masks = match &test {
                    LabelTest::In(values) => values.iter().map(|value| text_mask(value)).collect(),
                    _ => Vec::new(),
                };
                let (keys, values) = (Symbols::default(), Symbols::default());
                Self::Label { key, test, masks, keys, values }
            }
            Term::Field { field: TextField::Name, values } => {
                Self::Name { parts: values.iter().map(|part| Part::new(part)).collect() }
            }
            Term::Field { field, values } => {
                let parts = values.iter().map(|part| Part::new(part)).collect();
                Self::Group { field, parts, values: Symbols::default() }
            }
            Term::Source(names) => {
                let masks = names.iter().map(|name| text_mask(name)).collect();
                let (keys, values) = (Symbols::default(), Symbols::default());
                Self::Source { names, masks, keys, values }
            }
            Term::State(words) => Self::state(&words),
            Term::Run(words) => {
                let meant = |word: &str| words.iter().any(|begin| word.starts_with(begin.as_str()));
                let states = RUN_WORDS.iter().filter(|(word, _)| meant(word));
                Self::Run { states: states.map(|(_, state)| *state).collect() }
            }
            Term::Ip(test) => Self::Ip { begin: Part::new(&begin_of(&test)), test },
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

    /// What the term knows of shared texts: of keys, of values.
    fn symbols(&mut self) -> [Option<&mut Symbols>; 2] {
        match self {
            Self::Word { keys, values, .. }
            | Self::Label { keys, values, .. }
            | Self::Source { keys, values, .. } => [Some(keys), Some(values)],
            Self::Exact { values, .. }
            | Self::Regex { values, .. }
            | Self::Group { values, .. } => [None, Some(values)],
            _ => [None, None],
        }
    }

    /// Makes room for this many symbols.
    pub(super) fn reserve(&mut self, count: usize) {
        for symbols in self.symbols().into_iter().flatten() {
            symbols.reserve(count);
        }
    }

    /// Forgets what a number meant.
    pub(super) fn forget(&mut self, symbol: Symbol) {
        for symbols in self.symbols().into_iter().flatten() {
            symbols.remove(symbol);
        }
    }

    /// Works out what the term means for a shared text of which nothing is known so far.
    pub(super) fn learn(&mut self, known: &Known<'_>) {
        let Known { atom, mask: characters, is_key } = *known;
        let symbol = atom.symbol();
        match self {
            Self::Word { word, keys, values, .. } if word.may_fit(characters) => {
                if word.is_one_letter() || word.fits(atom.as_str()) {
                    values.insert(symbol);
                }
                if is_key && is_key_word(word.folded(), atom) {
                    keys.insert(symbol);
                }
            }
            Self::Exact { part, values } if part.is_in(atom, characters) => values.insert(symbol),
            Self::Regex { pattern, values } if pattern.regex.is_match(atom.as_str()) => {
                values.insert(symbol);
            }
            Self::Label { key, test, masks, keys, values } => {
                if is_key && is_meant(key, atom.raw()) {
                    keys.insert(symbol);
                }
                // No two texts are the same unless their characters are.
                if (masks.is_empty() || masks.contains(&characters)) && passes(test, atom) {
                    values.insert(symbol);
                }
            }
            Self::Source { names, masks, keys, values } => {
                if is_key && matches!(atom.raw(), labels::SOURCE | KNOWN_BY) {
                    keys.insert(symbol);
                }
                let is_name = |(name, mask): (&String, &u64)| {
                    *mask == characters && *name == fold(atom.as_str())
                };
                if names.iter().zip(&*masks).any(is_name) {
                    values.insert(symbol);
                }
            }
            Self::Group { parts, values, .. }
                if parts.iter().any(|part| part.is_in(atom, characters)) =>
            {
                values.insert(symbol);
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

    pub(super) fn matches(&self, host: Subject<'_>, now: i64) -> bool {
        let Subject { servers, sketch, pairs, row } = host;
        let has = |values: &Symbols| {
            values.bloom & sketch.labels != 0 && pairs.iter().any(|(_, value)| values.has(*value))
        };
        // The row itself is looked at only from here on, and only where nothing else tells.
        let with_row = |test: &dyn Fn(&HostRow) -> bool| row.as_ref().is_some_and(test);
        match self {
            Self::Word { word, grams, keys, values } => {
                let in_display = word.may_fit(sketch.display);
                let in_ids = word.may_fit(sketch.ids) && grams.may_be_in(sketch.grams);
                if word.is_one_letter() && (in_display || in_ids) {
                    return true;
                }
                has(values)
                    || (keys.bloom & sketch.labels != 0
                        && pairs.iter().any(|(key, _)| keys.has(*key)))
                    || (in_display && with_row(&|row| word.fits(row.display())))
                    || (in_ids && with_row(&|row| row.ids().contains(word.folded())))
            }
            Self::Exact { part, values } => {
                has(values)
                    || (part.may_be_in_display(sketch)
                        && with_row(&|row| contains_folded(row.display(), &part.text)))
                    || (part.may_be_in_ids(sketch)
                        && with_row(&|row| row.ids().contains(part.text.as_str())))
            }
            Self::Regex { pattern, values } => {
                let own = |row: &HostRow| {
                    if pattern.lines.as_ref().is_some_and(|lines| !lines.is_match(row.lines())) {
                        return false;
                    }
                    let ids = [row.address(), row.provider_id()].into_iter().flatten();
                    let mut all = [row.display(), row.name()].into_iter().chain(ids);
                    all.any(|text| pattern.regex.is_match(text))
                };
                has(values) || with_row(&own)
            }
            Self::Label { keys, values, .. } | Self::Source { keys, values, .. } => {
                keys.bloom & sketch.labels != 0
                    && values.bloom & sketch.labels != 0
                    && pairs.iter().any(|(key, value)| values.has(*value) && keys.has(*key))
            }
            Self::Group { field: TextField::Server, values, .. } => with_row(&|row| {
                let name = servers.get(row.uid().server().index()).copied().flatten();
                name.is_some_and(|name| values.has(name))
            }),
            Self::Group { field, values, .. } => {
                with_row(&|row| row.group(*field).is_some_and(|atom| values.has(atom.symbol())))
            }
            Self::Name { parts } => parts.iter().any(|part| {
                (part.may_be_in_display(sketch)
                    && with_row(&|row| contains_folded(row.display(), &part.text)))
                    || (part.may_be_in_ids(sketch)
                        && with_row(&|row| contains_folded(row.name(), &part.text)))
            }),
            Self::State { phases, health, service } => with_row(&|row| {
                phases.contains(&row.phase())
                    || health.contains(&row.health())
                    || service.contains(&row.service_state())
            }),
            Self::Run { states } => with_row(&|row| states.contains(&row.run_state())),
            Self::Ip { test, begin } => {
                begin.may_be_in_ids(sketch)
                    && with_row(&|row| {
                        let address = row.address().unwrap_or_default();
                        address.get(..begin.text.len()).is_some_and(|text| fold(text) == begin.text)
                            && is_in(test, address)
                    })
            }
            Self::Time { field, older, seconds } => with_row(&|row| {
                let turn = time_of(*field, row).and_then(|time| time.checked_add(*seconds));
                turn.is_some_and(|turn| (turn <= now) == *older)
            }),
            Self::Maintenance(on) => with_row(&|row| row.in_maintenance() == *on),
        }
    }
}

/// What every address begins with that passes, as far as that can be said.
fn begin_of(test: &IpTest) -> String {
    match test {
        IpTest::Prefix(prefix) => prefix.clone(),
        IpTest::Net(IpNet::V4(net)) => {
            let octets = net.addr().octets();
            let whole = octets.iter().take(usize::from(net.prefix_len() / 8));
            let begin: Vec<String> = whole.map(u8::to_string).collect();
            // `10.2` also begins `10.20.0.1`, of which the rest of the test takes care.
            begin.join(".")
        }
        // An IPv6 address can be written in several ways.
        IpTest::Net(IpNet::V6(_)) => String::new(),
    }
}

fn is_in(test: &IpTest, address: &str) -> bool {
    match test {
        IpTest::Net(net) => address.parse().is_ok_and(|ip: IpAddr| net.contains(&ip)),
        IpTest::Prefix(_) => !address.is_empty(),
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
