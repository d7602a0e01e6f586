//! Which hosts somebody who reads the inventory gets: a filter, and the rule that hosts which take
//! no part in service are left out unless they are asked for.
//!
//! Every reader has the same rule and his own exceptions: Ansible goes to hosts in service only,
//! Prometheus keeps hosts in maintenance and marks them.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use k8s_openapi::jiff::Timestamp;

use super::filter::{Filter, Matcher, Sketch, Subject};
use super::host::{Phase, ServiceState};
use super::intern::Interner;
use super::record::HostRecord;
use super::row::HostRow;

/// Texts that the interner of a selection may have before it begins anew.
const MAX_TEXTS: usize = 8_192;

/// Why a host takes no part in service. Of several reasons the first in this order is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Absence {
    /// `spec.serviceState` is Retired.
    Retired,
    /// `spec.serviceState` is `OutOfService`.
    OutOfService,
    /// `spec.serviceState` is Quarantined.
    Quarantined,
    /// The object is being deleted.
    Decommissioning,
    /// No source lists the machine any more: phase Gone or Missing.
    Gone,
    /// There is no machine yet: phase Planned.
    Planned,
    /// The machine is switched off: phase Stopped.
    Stopped,
    /// A hold is in force.
    Maintenance,
}

impl Absence {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::Retired,
        Self::OutOfService,
        Self::Quarantined,
        Self::Decommissioning,
        Self::Gone,
        Self::Planned,
        Self::Stopped,
        Self::Maintenance,
    ];

    /// The word for it in options and in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retired => "retired",
            Self::OutOfService => "out-of-service",
            Self::Quarantined => "quarantined",
            Self::Decommissioning => "decommissioning",
            Self::Gone => "gone",
            Self::Planned => "planned",
            Self::Stopped => "stopped",
            Self::Maintenance => "maintenance",
        }
    }

    /// Whether it holds for this host.
    pub fn is_of(self, row: &HostRow) -> bool {
        match self {
            Self::Retired => row.service_state() == ServiceState::Retired,
            Self::OutOfService => row.service_state() == ServiceState::OutOfService,
            Self::Quarantined => row.service_state() == ServiceState::Quarantined,
            Self::Decommissioning => row.is_deleting(),
            Self::Gone => matches!(row.base_phase(), Phase::Gone | Phase::Missing),
            Self::Planned => row.base_phase() == Phase::Planned,
            Self::Stopped => row.base_phase() == Phase::Stopped,
            Self::Maintenance => row.in_maintenance(),
        }
    }
}

impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Absence {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|one| one.as_str() == text).ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.iter().map(|one| one.as_str()).collect();
            format!("\"{text}\" is none of {}", known.join(", "))
        })
    }
}

/// A word of what is to be kept although it takes no part in service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Include {
    /// Whatever the reason is.
    All,
    /// This reason.
    One(Absence),
}

impl FromStr for Include {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self::All);
        }
        text.parse().map(Self::One).map_err(|problem: String| format!("{problem}, all"))
    }
}

/// Which hosts are kept although they take no part in service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    included: Vec<Absence>,
}

impl Rules {
    /// Only hosts in service.
    pub fn in_service() -> Self {
        Self::default()
    }

    /// Every host.
    pub fn everything() -> Self {
        Self::including(Absence::ALL)
    }

    /// Hosts in service, and those with these reasons not to be.
    pub fn including(absences: impl IntoIterator<Item = Absence>) -> Self {
        let mut included: Vec<Absence> = absences.into_iter().collect();
        included.sort_unstable();
        included.dedup();
        Self { included }
    }

    /// The rules that these words give.
    pub fn of(include: &[Include]) -> Self {
        if include.contains(&Include::All) {
            return Self::everything();
        }
        Self::including(include.iter().filter_map(|one| match one {
            Include::All => None,
            Include::One(absence) => Some(*absence),
        }))
    }

    /// Why the host is left out; none if it is kept. A host with several reasons is kept only if
    /// all of them are included.
    pub fn absence(&self, row: &HostRow) -> Option<Absence> {
        let left_out = |one: &Absence| !self.included.contains(one) && one.is_of(row);
        Absence::ALL.into_iter().find(left_out)
    }
}

/// What becomes of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is wanted.
    Keep,
    /// The filter does not choose it.
    Filtered,
    /// The filter chooses it, but it takes no part in service.
    LeftOut(Absence),
}

/// A host as it was judged.
#[derive(Debug)]
pub struct Judged {
    /// The host.
    pub row: HostRow,
    /// What becomes of it.
    pub verdict: Verdict,
    /// When the verdict may change although the host does not: a hold ends, an age is reached.
    pub next: Option<Timestamp>,
}

/// A filter and rules, ready to judge host after host. It remembers none of them.
pub struct Selection {
    filter: Filter,
    rules: Rules,
    interner: Interner,
    matcher: Matcher,
}

impl Selection {
    /// Judges as of `now`, until [`Selection::set_now`].
    pub fn new(filter: Filter, rules: Rules, now: Timestamp) -> Self {
        let interner = Interner::default();
        let matcher = Matcher::new(&filter, &interner, now);
        Self { filter, rules, interner, matcher }
    }

    /// The filter.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// From now on ages are counted and holds are in force as of `now`.
    pub fn set_now(&mut self, now: Timestamp) {
        self.matcher.set_now(now);
    }

    /// Judges a host. None for an object with neither uid nor name.
    pub fn judge(&mut self, record: HostRecord, now: Timestamp) -> Option<Judged> {
        if self.interner.len() > MAX_TEXTS {
            self.interner = Interner::default();
            self.matcher = Matcher::new(&self.filter, &self.interner, now);
        }
        self.matcher.set_now(now);
        let built = HostRow::build(record, now, &mut self.interner)?;
        let row = Some(built.row);
        let verdict = if self.filter.is_empty() {
            None
        } else {
            let fresh = self.interner.take_fresh();
            self.matcher.learn(&fresh, &self.interner);
            row.as_ref().and_then(|one| {
                let sketch = Sketch::of(one, &built.pairs);
                let host =
                    Subject { servers: &[], sketch: &sketch, pairs: &built.pairs, row: &row };
                (!self.matcher.matches(host)).then_some(Verdict::Filtered)
            })
        };
        let row = row?;
        let verdict = verdict
            .unwrap_or_else(|| self.rules.absence(&row).map_or(Verdict::Keep, Verdict::LeftOut));
        let turns = self.matcher.turning_points(&row).filter(|second| *second > now.as_second());
        let turns = turns.filter_map(|second| Timestamp::from_second(second).ok());
        let next = turns.chain(row.next_tick(now)).min();
        Some(Judged { row, verdict, next })
    }
}

/// How many hosts were left out, by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut(BTreeMap<Absence, usize>);

impl LeftOut {
    /// Counts one more.
    pub fn count(&mut self, absence: Absence) {
        *self.0.entry(absence).or_default() += 1;
    }

    /// How many of each reason, in the order of [`Absence`].
    pub fn iter(&self) -> impl Iterator<Item = (Absence, usize)> + use<'_> {
        self.0.iter().map(|(absence, count)| (*absence, *count))
    }

    /// How many in all.
    pub fn total(&self) -> usize {
        self.0.values().sum()
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (number, (absence, count)) in self.iter().enumerate() {
            write!(f, "{}{count} {absence}", if number == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn now() -> Timestamp {
        "2026-11-20T12:00:00Z".parse().unwrap()
    }

    #[expect(clippy::needless_pass_by_value, reason = "arguments are json! literals")]
    fn record(spec: Value, status: Value) -> HostRecord {
        let labels = json!({"env": "prod"});
        let meta = json!({"name": "web-1", "uid": "u", "labels": labels,
            "creationTimestamp": "2026-11-20T11:00:00Z"});
        serde_json::from_value(json!({"metadata": meta, "spec": spec, "status": status})).unwrap()
    }

    fn judge(filter: &str, rules: Rules, record: HostRecord) -> Judged {
        let mut selection = Selection::new(Filter::parse(filter).unwrap(), rules, now());
        selection.judge(record, now()).unwrap()
    }

    #[test]
    fn hosts_that_take_no_part_are_left_out_unless_asked_for() {
        let hold = |until: &str| json!({"me": {"reason": "disk", "since": "2026-11-20T11:00:00Z", "until": until}});
        let running = json!({"phase": "Running"});
        for (spec, status, absence) in [
            (json!({}), running.clone(), None),
            (json!({}), json!({}), None),
            (json!({"serviceState": "Retired"}), running.clone(), Some(Absence::Retired)),
            (json!({"serviceState": "OutOfService"}), running.clone(), Some(Absence::OutOfService)),
            (json!({"serviceState": "Quarantined"}), running.clone(), Some(Absence::Quarantined)),
            (json!({}), json!({"phase": "Gone"}), Some(Absence::Gone)),
            (json!({}), json!({"phase": "Missing"}), Some(Absence::Gone)),
            (json!({}), json!({"phase": "Planned"}), Some(Absence::Planned)),
            (json!({}), json!({"phase": "Stopped"}), Some(Absence::Stopped)),
            (json!({}), json!({"phase": "Unreachable"}), None),
            (
                json!({"maintenance": hold("2026-11-20T13:00:00Z")}),
                running.clone(),
                Some(Absence::Maintenance),
            ),
            (json!({"maintenance": hold("2026-11-20T11:30:00Z")}), running.clone(), None),
        ] {
            let what = format!("{spec} {status}");
            let record = record(spec, status);
            let verdict = judge("", Rules::in_service(), record.clone()).verdict;
            assert_eq!(verdict, absence.map_or(Verdict::Keep, Verdict::LeftOut), "{what}");
            let included = Rules::including(absence);
            assert_eq!(judge("", included, record.clone()).verdict, Verdict::Keep, "{what}");
            assert_eq!(judge("", Rules::everything(), record.clone()).verdict, Verdict::Keep);
            let filtered = judge("env=test", Rules::everything(), record).verdict;
            assert_eq!(filtered, Verdict::Filtered, "{what}");
        }
    }

    #[test]
    fn two_reasons_must_both_be_asked_for() {
        let record = record(json!({"serviceState": "OutOfService"}), json!({"phase": "Stopped"}));
        let verdict = |rules| judge("env=prod", rules, record.clone()).verdict;
        let (out, stopped) = (Absence::OutOfService, Absence::Stopped);
        assert_eq!(verdict(Rules::in_service()), Verdict::LeftOut(out));
        assert_eq!(verdict(Rules::including([out])), Verdict::LeftOut(stopped));
        assert_eq!(verdict(Rules::including([stopped])), Verdict::LeftOut(out));
        assert_eq!(verdict(Rules::including([stopped, out])), Verdict::Keep);
    }

    #[test]
    fn it_says_when_time_alone_changes_the_verdict() {
        let hold = json!({"me": {"reason": "disk", "since": "2026-11-20T11:00:00Z", "until": "2026-11-20T13:00:00Z"}});
        let host = record(json!({"maintenance": hold}), json!({}));
        let judged = judge("", Rules::in_service(), host.clone());
        assert_eq!(judged.next, Some("2026-11-20T13:00:00Z".parse().unwrap()));
        let judged = judge("age>90m", Rules::in_service(), host);
        assert_eq!(judged.verdict, Verdict::Filtered);
        assert_eq!(judged.next, Some("2026-11-20T12:30:00Z".parse().unwrap()));
    }

    #[test]
    fn many_hosts_with_texts_of_their_own_are_judged_one_by_one() {
        let filter = Filter::parse("rack=r-9999 || rack=r-3").unwrap();
        let mut selection = Selection::new(filter, Rules::in_service(), now());
        let mut kept = Vec::new();
        for number in 0..20_000 {
            let meta =
                json!({"name": format!("h-{number}"), "labels": {"rack": format!("r-{number}")}});
            let record = serde_json::from_value(json!({"metadata": meta})).unwrap();
            let judged = selection.judge(record, now()).unwrap();
            if judged.verdict == Verdict::Keep {
                kept.push(judged.row.name().to_owned());
            }
        }
        assert_eq!(kept, ["h-3", "h-9999"]);
        assert!(selection.interner.len() <= MAX_TEXTS + 10);
    }

    #[test]
    fn what_was_left_out_is_told_in_words() {
        let mut left_out = LeftOut::default();
        assert_eq!(left_out.to_string(), "none");
        for absence in [Absence::Maintenance, Absence::Gone, Absence::Maintenance] {
            left_out.count(absence);
        }
        assert_eq!((left_out.to_string().as_str(), left_out.total()), ("1 gone, 2 maintenance", 3));
        assert!("nowhere".parse::<Absence>().unwrap_err().contains("none of retired, "));
    }
}
