//! How many hosts that match have each value of each label: a pass over the fleet in steps, made
//! again when something has changed. Between two steps hosts may change and a text may get another's
//! number, so a count can be off until the next pass.

use std::collections::{BTreeMap, HashMap};

use k8s_openapi::jiff::Timestamp;

use crate::model::filter::{Facet, Filter, Matcher, is_meant};
use crate::model::intern::{Atom, Symbol};
use crate::model::labels;

use super::Inventory;

/// Most facets, and most values of one.
const MAX_FACETS: usize = 40;
const MAX_VALUES: usize = 100;
/// Hosts from which a label that almost every host has another value of tells nothing.
const TELLS: usize = 20;

/// Labels in the order in which people ask for them.
const FIRST: [&str; 8] = [
    labels::REGION,
    labels::CLUSTER,
    labels::ENVIRONMENT,
    labels::ROLE,
    labels::TEAM,
    labels::PROVIDER,
    labels::ZONE,
    labels::SOURCE,
];

/// The values of one label, or the states, of the hosts that match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FacetCounts {
    /// What they are values of.
    pub facet: Facet,
    /// The key as it is best written in a filter; empty for states.
    pub written: String,
    /// The values, the most frequent first, with how many hosts have them.
    pub values: Vec<(String, usize)>,
    /// How many values there are.
    pub distinct: usize,
}

/// A pass.
#[derive(Debug)]
pub struct Tally {
    next: u32,
    labels: HashMap<(Symbol, Symbol), u32>,
    states: HashMap<&'static str, u32>,
    /// Facets of which values are chosen are counted as if none were: the others can be added.
    chosen: Vec<(Facet, Matcher)>,
}

impl Tally {
    fn counts_itself(&self, facet: &Facet) -> bool {
        self.chosen.iter().all(|(chosen, _)| chosen != facet)
    }
}

impl Inventory {
    /// Begins to count. Of these facets values are chosen; beside each is the filter without them.
    pub fn begin_tally(&self, chosen: Vec<(Facet, Filter)>, now: Timestamp) -> Tally {
        let matcher = |(facet, filter)| (facet, Matcher::new(&filter, &self.interner, now));
        Tally {
            next: 0,
            labels: HashMap::new(),
            states: HashMap::new(),
            chosen: chosen.into_iter().map(matcher).collect(),
        }
    }

    /// Goes on for about so many hosts. True when all are counted.
    pub fn tally_step(&self, tally: &mut Tally, rows: u32) -> bool {
        let slots = u32::try_from(self.rows.slots()).unwrap_or(u32::MAX);
        let end = tally.next.saturating_add(rows.max(1)).min(slots);
        let bits = self.search.bits();
        let chosen_states = !tally.counts_itself(&Facet::State);
        // Which symbols are keys of a facet whose values are chosen.
        let mut own: HashMap<Symbol, usize> = HashMap::new();
        for (number, (facet, _)) in tally.chosen.iter().enumerate() {
            if let Facet::Label(key) = facet {
                own.extend(self.interner.find(key).map(|symbol| (symbol, number)));
            }
        }
        for slot in tally.next..end {
            let (Some(row), Some(host)) = (self.rows.get(slot), self.rows.subject(slot)) else {
                continue;
            };
            let matched = bits.is_none_or(|bits| bits.has(slot));
            if matched {
                if !chosen_states {
                    *tally.states.entry(row.phase().as_str()).or_default() += 1;
                }
                let pairs = self.rows.pairs(slot).iter();
                for pair in pairs.filter(|(key, _)| !own.contains_key(key)) {
                    *tally.labels.entry(*pair).or_default() += 1;
                }
            }
            for (number, (facet, matcher)) in tally.chosen.iter().enumerate() {
                if !matched && !matcher.matches(host) {
                    continue;
                }
                if *facet == Facet::State {
                    *tally.states.entry(row.phase().as_str()).or_default() += 1;
                    continue;
                }
                let pairs = self.rows.pairs(slot).iter();
                for pair in pairs.filter(|(key, _)| own.get(key) == Some(&number)) {
                    *tally.labels.entry(*pair).or_default() += 1;
                }
            }
        }
        tally.next = end;
        end >= slots
    }

    /// What was counted: states, then labels in the order in which people ask for them.
    pub fn tallied(&self, tally: &Tally) -> Vec<FacetCounts> {
        let mut states: Vec<(String, usize)> = tally
            .states
            .iter()
            .map(|(state, count)| (state.to_lowercase(), *count as usize))
            .collect();
        sort(&mut states);
        let distinct = states.len();
        let states =
            FacetCounts { facet: Facet::State, written: String::new(), values: states, distinct };
        let mut by_key: BTreeMap<&str, Vec<(String, usize)>> = BTreeMap::new();
        for ((key, value), count) in &tally.labels {
            if let (Some(key), Some(value)) = (self.interner.get(*key), self.interner.get(*value)) {
                let values = by_key.entry(key.raw()).or_default();
                values.push((value.raw().to_owned(), *count as usize));
            }
        }
        let keys: Vec<&str> = self.interner.keys().map(Atom::raw).collect();
        let mut facets: Vec<(usize, usize, FacetCounts)> = Vec::new();
        for (key, mut values) in by_key {
            let facet = Facet::Label(key.to_owned());
            let hosts: usize = values.iter().map(|(_, count)| count).sum();
            let distinct = values.len();
            if distinct * 2 > hosts && hosts > TELLS && tally.counts_itself(&facet) {
                continue;
            }
            sort(&mut values);
            values.truncate(MAX_VALUES);
            let short = key.rsplit_once('/').map_or(key, |(_, name)| name);
            let alone = keys.iter().filter(|other| is_meant(short, other)).count() == 1;
            let written = if alone { short } else { key }.to_owned();
            let first = FIRST.iter().position(|known| *known == key).unwrap_or(FIRST.len());
            facets.push((first, hosts, FacetCounts { facet, written, values, distinct }));
        }
        facets.sort_by(|(a, hosts, one), (b, others, other)| {
            a.cmp(b).then(others.cmp(hosts)).then_with(|| one.written.cmp(&other.written))
        });
        let labels = facets.into_iter().take(MAX_FACETS).map(|(_, _, facet)| facet);
        std::iter::once(states).chain(labels).collect()
    }
}

fn sort(values: &mut [(String, usize)]) {
    values.sort_by(|(a, few), (b, many)| many.cmp(few).then_with(|| a.cmp(b)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::record::HostRecord;

    fn fleet() -> Inventory {
        let mut inventory = Inventory::new();
        for number in 0..60 {
            let env = if number % 3 == 0 { "prod" } else { "test" };
            let role = ["web", "db", "cache"][number % 3];
            let phase = if number < 6 { "Stopped" } else { "Running" };
            let record: HostRecord = serde_json::from_value(serde_json::json!({
                "metadata": {"name": format!("h-{number}"), "uid": format!("u-{number}"), "labels": {
                    "inventory.inv-tui.dev/environment": env, "role": role, "serial": format!("s-{number}"),
                    "a.example/x": "1", "b.example/x": "2",
                }},
                "status": {"phase": phase},
            }))
            .unwrap();
            inventory.apply(record, Timestamp::UNIX_EPOCH);
        }
        inventory
    }

    fn count(inventory: &Inventory, chosen: Vec<(Facet, Filter)>) -> Vec<FacetCounts> {
        let mut tally = inventory.begin_tally(chosen, Timestamp::UNIX_EPOCH);
        while !inventory.tally_step(&mut tally, 7) {}
        inventory.tallied(&tally)
    }

    fn of<'a>(counts: &'a [FacetCounts], written: &str) -> Vec<(&'a str, usize)> {
        let facet = counts.iter().find(|facet| facet.written == written).unwrap();
        facet.values.iter().map(|(value, count)| (value.as_str(), *count)).collect()
    }

    #[test]
    fn what_matches_is_counted() {
        let mut inventory = fleet();
        let counts = count(&inventory, Vec::new());
        assert_eq!(of(&counts, ""), [("running", 54), ("stopped", 6)]);
        assert_eq!(of(&counts, "environment"), [("test", 40), ("prod", 20)]);
        assert_eq!(of(&counts, "role").len(), 3);
        let names: Vec<&str> = counts.iter().map(|facet| facet.written.as_str()).collect();
        // Two keys with the same short name are written whole, and a serial number is no facet.
        assert_eq!(names, ["", "environment", "a.example/x", "b.example/x", "role"]);

        let filter = Filter::parse("env=prod state:running").unwrap();
        inventory.set_filter(Some(filter.clone()), Timestamp::UNIX_EPOCH);
        while !inventory.filter_step(10) {}
        let env = Facet::Label("inventory.inv-tui.dev/environment".to_owned());
        let chosen = [env, Facet::State].map(|facet| (facet.clone(), filter.without(&facet)));
        let counts = count(&inventory, chosen.to_vec());
        assert_eq!(of(&counts, "environment"), [("test", 36), ("prod", 18)]);
        assert_eq!(of(&counts, ""), [("running", 18), ("stopped", 2)]);
        assert_eq!(of(&counts, "role"), [("web", 18)]);
    }
}
