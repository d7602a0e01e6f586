//! A filter prepared for one fleet: what a word means for each text that hosts share is worked
//! out once, when the filter is set; for a host there is left to look at its own texts.

use k8s_openapi::jiff::Timestamp;

use crate::model::intern::{Atom, Interner, Symbol};
use crate::model::labels;
use crate::model::row::HostRow;

use super::Filter;
use super::ast::Expr;

mod leaf;
mod sketch;

pub(crate) use sketch::{Sketch, Subject};

use leaf::Leaf;

/// A filter for the hosts whose texts one [`Interner`] has.
#[derive(Debug)]
pub(crate) struct Matcher {
    filter: Filter,
    root: Node,
    leaves: Vec<Leaf>,
    now: i64,
}

/// The filter's tree with its terms by number.
#[derive(Debug)]
enum Node {
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    Leaf(usize),
}

impl Matcher {
    /// Prepares a filter. O(terms × texts of the interner), a few nanoseconds each.
    pub(crate) fn new(filter: &Filter, interner: &Interner, now: Timestamp) -> Self {
        let mut leaves = Vec::new();
        let root = compile(&filter.0, &mut leaves);
        let mut matcher = Self { filter: filter.clone(), root, leaves, now: 0 };
        for leaf in &mut matcher.leaves {
            leaf.reserve(interner.capacity());
            for known in interner.iter() {
                leaf.learn(&known);
            }
        }
        matcher.set_now(now);
        matcher
    }

    /// The filter that this is.
    pub(crate) fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Takes in texts that are new in the interner.
    pub(crate) fn learn(&mut self, fresh: &[Symbol], interner: &Interner) {
        for leaf in &mut self.leaves {
            leaf.reserve(interner.capacity());
            for symbol in fresh {
                leaf.forget(*symbol);
                if let Some(known) = interner.known(*symbol) {
                    leaf.learn(&known);
                }
            }
        }
    }

    /// From now on ages are counted from here.
    pub(crate) fn set_now(&mut self, now: Timestamp) {
        self.now = now.as_second();
    }

    /// What ages are counted from, in seconds.
    pub(crate) fn now(&self) -> i64 {
        self.now
    }

    /// Whether the filter chooses this host.
    pub(crate) fn matches(&self, host: Subject<'_>) -> bool {
        self.node(&self.root, host)
    }

    fn node(&self, node: &Node, host: Subject<'_>) -> bool {
        match node {
            Node::All(parts) => parts.iter().all(|part| self.node(part, host)),
            Node::Any(parts) => parts.iter().any(|part| self.node(part, host)),
            Node::Not(part) => !self.node(part, host),
            Node::Leaf(number) => {
                self.leaves.get(*number).is_some_and(|leaf| leaf.matches(host, self.now))
            }
        }
    }

    /// Whether it depends on the time: then [`Matcher::turning_points`] has something to say.
    pub(crate) fn is_timed(&self) -> bool {
        self.leaves.iter().any(Leaf::is_timed)
    }

    /// The times, in seconds, at which the answer for this host may change by itself.
    pub(crate) fn turning_points<'a>(&'a self, row: &'a HostRow) -> impl Iterator<Item = i64> + 'a {
        self.leaves.iter().filter_map(|leaf| leaf.turning_point(row))
    }
}

/// The cheap questions first: it is the same answer, sooner.
fn compile(expr: &Expr, leaves: &mut Vec<Leaf>) -> Node {
    let mut many = |parts: &[Expr]| {
        let mut parts: Vec<(u8, Node)> =
            parts.iter().map(|part| (cost(part), compile(part, leaves))).collect();
        parts.sort_by_key(|(cost, _)| *cost);
        parts.into_iter().map(|(_, node)| node).collect()
    };
    match expr {
        Expr::All(parts) => Node::All(many(parts)),
        Expr::Any(parts) => Node::Any(many(parts)),
        Expr::Not(part) => Node::Not(Box::new(compile(part, leaves))),
        Expr::Term(term) => {
            leaves.push(Leaf::new(term));
            Node::Leaf(leaves.len() - 1)
        }
    }
}

fn cost(expr: &Expr) -> u8 {
    match expr {
        Expr::All(parts) | Expr::Any(parts) => parts.iter().map(cost).max().unwrap_or(0),
        Expr::Not(part) => cost(part),
        Expr::Term(term) => leaf::cost(term),
    }
}

/// Whether a label of this key is meant by `short`: the key itself, the part after its `/`, or one
/// of the short names that our own keys and the well-known ones have.
pub(crate) fn is_meant(short: &str, key: &str) -> bool {
    if key == short {
        return true;
    }
    if short.contains('/') {
        return false;
    }
    let name = |key: &str| key.rsplit_once('/').map(|(_, name)| name.to_owned());
    let long = alias(short);
    name(key).is_some_and(|name| {
        name == short || long.and_then(|long| long.rsplit('/').next()).is_some_and(|l| l == name)
    }) || long.is_some_and(|long| long == key || long.rsplit('/').next() == Some(key))
}

/// The key that a short name stands for.
fn alias(short: &str) -> Option<&'static str> {
    Some(match short {
        "env" | "environment" => labels::ENVIRONMENT,
        "role" => labels::ROLE,
        "team" => labels::TEAM,
        "cluster" => labels::CLUSTER,
        "provider" => labels::PROVIDER,
        "account" => labels::ACCOUNT,
        "source" => labels::SOURCE,
        "region" => labels::REGION,
        "zone" => labels::ZONE,
        "type" => labels::INSTANCE_TYPE,
        "arch" => labels::ARCH,
        "os" => labels::OS,
        "state" => labels::SERVICE_STATE,
        "maintenance" => labels::MAINTENANCE,
        _ => return None,
    })
}

/// Whether a word is this label key, or the part of it after its `/`.
pub(crate) fn is_key_word(word: &str, key: &Atom) -> bool {
    let key = key.as_str();
    let name = key.rsplit_once('/').map_or(key, |(_, name)| name);
    let same = |text: &str| text.len() >= word.len() && super::fold(text) == word;
    same(key) || same(name)
}

#[cfg(test)]
mod tests;
