//! What would be done to each host, and what the checks say of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write;

use kube::ResourceExt;
use serde_json::{Value, json};

use super::{Output, Session, display, json as print_json, line};
use crate::act;
use crate::error::Result;
use crate::model::budget::Budget;
use crate::model::change::{Change, HoldChange, label_word};
use crate::model::cluster::Cluster;
use crate::model::duration;
use crate::model::host::{AnsibleRequest, Hold, Host};
use crate::model::policy::{
    Check, ClusterFacts, Facts, Pass, Verb, checks, label_checks, refusal, used_up,
};
use crate::store::budget;

/// One host of a plan.
struct Row {
    name: String,
    display: String,
    field: String,
    old: String,
    new: String,
    checks: Vec<Check>,
    /// Why it would not be done, rules and budget taken together.
    refused: Option<String>,
}

/// How a budget stands before, and how many of the order's hosts would go away.
struct Slots {
    cluster: String,
    total: usize,
    away: usize,
    max: usize,
    granted: usize,
    wanted: usize,
    /// More are wanted than there are slots.
    short: bool,
}

/// What would be done.
pub(in crate::tasks) struct Plan {
    verb: Verb,
    rows: Vec<Row>,
    slots: Vec<Slots>,
    /// Hosts for which there is nothing to do, and why.
    pub(in crate::tasks) nothing: Vec<(String, String)>,
}

/// Makes the plan of changes of `verb`: for each the host that it is for. With `past` rules and
/// budgets are passed by.
///
/// # Errors
/// What the server said to the questions about the clusters' hosts.
pub(in crate::tasks) async fn plan(
    session: &Session,
    verb: Verb,
    changes: &[Change],
    hosts: &[&Host],
    clusters: &[Cluster],
    past: bool,
) -> Result<Plan> {
    let now = session.now;
    let its = |host: &Host| -> Vec<usize> {
        let numbers = clusters.iter().enumerate();
        numbers.filter(|(_, cluster)| budget::has(cluster, host)).map(|(at, _)| at).collect()
    };
    let mut wanted: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    let places: Vec<Vec<usize>> = hosts.iter().map(|host| its(host)).collect();
    for (host, place) in hosts.iter().zip(&places) {
        for cluster in place {
            wanted.entry(*cluster).or_default().push(host.name_any());
        }
    }
    let mut facts: BTreeMap<usize, ClusterFacts> = BTreeMap::new();
    let mut refused: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    let mut slots = Vec::new();
    for (at, names) in &wanted {
        let Some(cluster) = clusters.get(*at) else { continue };
        let budget = match verb {
            Verb::MaintenanceOn => {
                Some(budget::standing(&session.actor.connection, cluster, now).await?)
            }
            _ => None,
        };
        if let Some(budget) = &budget {
            let mut after: Budget = budget.clone();
            let given: BTreeSet<String> = after.grant(names, past, now).into_iter().collect();
            let without = names.iter().filter(|name| !given.contains(*name)).cloned().collect();
            slots.push(Slots {
                cluster: cluster.name_any(),
                total: budget.total,
                away: budget.away.len(),
                max: budget.max_unavailable,
                granted: given.len(),
                wanted: names.len(),
                short: budget.clone().grant(names, false, now).len() < names.len(),
            });
            refused.insert(*at, without);
        }
        facts.insert(*at, ClusterFacts::of(cluster, budget, now, &act::zone));
    }
    let bulk = changes.len() > 1;
    let rows = changes.iter().zip(hosts).zip(&places).map(|((change, host), place)| {
        let (field, old, new) = words(change);
        let whose = match change {
            Change::Hold(change) => change.holder.as_str(),
            Change::Run(_) | Change::Labels(_) => &session.holder,
        };
        let of_host = Facts::of(host, now);
        let of_clusters = place.iter().filter_map(|at| facts.get(at));
        let mut all = checks(verb, &of_host, of_clusters, whose, bulk);
        if let Change::Labels(labels) = change {
            let keys = labels.labels.keys().map(String::as_str);
            all.extend(label_checks(keys, &of_host.label_owners));
        }
        let name = host.name_any();
        let late = place.iter().find(|at| refused.get(at).is_some_and(|r| r.contains(&name)));
        let late = late.and_then(|at| facts.get(at)).and_then(|cluster| {
            let budget = cluster.budget.as_ref()?;
            let max = budget.max_unavailable;
            Some(used_up(&cluster.name, max.max(budget.away.len()), max))
        });
        let refused = refusal(&all, past).or(late);
        Row { name, display: display(host), field, old, new, checks: all, refused }
    });
    Ok(Plan { verb, rows: rows.collect(), slots, nothing: Vec::new() })
}

impl Plan {
    /// A rule or a budget speaks against one of the hosts.
    pub(super) fn is_against(&self) -> bool {
        self.rows.iter().any(|row| row.checks.iter().any(|check| check.pass == Pass::No))
            || self.slots.iter().any(|slots| slots.short)
    }

    /// Nothing speaks against any of the hosts.
    pub(super) fn all_would_be_done(&self) -> bool {
        self.rows.iter().all(|row| row.refused.is_none())
    }

    /// Prints the plan.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(super) fn print(&self, output: Output, out: &mut impl Write) -> Result<()> {
        match output {
            Output::Table => self.print_table(out),
            Output::Json => print_json(out, &self.as_json()),
            Output::Name => {
                let done = self.rows.iter().filter(|row| row.refused.is_none());
                done.into_iter().try_for_each(|row| line(out, &[&row.name]))
            }
        }
    }

    fn print_table(&self, out: &mut impl Write) -> Result<()> {
        for row in &self.rows {
            let shown = if row.display == row.name {
                row.name.clone()
            } else {
                format!("{} ({})", row.name, row.display)
            };
            let verdict = row.refused.as_ref().map_or_else(
                || "would be done".to_owned(),
                |why| format!("would be refused: {why}"),
            );
            line(out, &[&shown, &verdict])?;
            line(out, &[&format!("  {}: {} → {}", row.field, row.old, row.new)])?;
            for check in &row.checks {
                let mark = match check.pass {
                    Pass::Yes => "ok",
                    Pass::Note => "note",
                    Pass::No | Pass::Never => "FAILS",
                };
                let why =
                    if check.why.is_empty() { String::new() } else { format!(": {}", check.why) };
                line(out, &[&format!("  {mark:<5} {}{why}", check.what)])?;
            }
        }
        for (name, why) in &self.nothing {
            line(out, &[name, &format!("nothing to do: {why}")])?;
        }
        for slots in &self.slots {
            line(
                out,
                &[&format!(
                    "budget of cluster {}: {} of {} away, {} hosts; {} of {} would get a slot",
                    slots.cluster, slots.away, slots.max, slots.total, slots.granted, slots.wanted
                )],
            )?;
        }
        let done = self.rows.iter().filter(|row| row.refused.is_none()).count();
        line(
            out,
            &[&format!(
                "{}: {done} of {} hosts would be changed; nothing was done",
                self.verb.as_str(),
                self.rows.len()
            )],
        )
    }

    fn as_json(&self) -> Value {
        let check = |check: &Check| {
            let pass = match check.pass {
                Pass::Yes => "yes",
                Pass::Note => "note",
                Pass::No => "no",
                Pass::Never => "never",
            };
            json!({"what": check.what, "pass": pass, "why": check.why})
        };
        let rows = self.rows.iter().map(|row| {
            json!({
                "name": row.name, "display": row.display, "field": row.field,
                "old": row.old, "new": row.new, "refused": row.refused,
                "checks": row.checks.iter().map(check).collect::<Vec<_>>(),
            })
        });
        let slots = self.slots.iter().map(|slots| {
            json!({
                "cluster": slots.cluster, "hosts": slots.total, "away": slots.away,
                "maxUnavailable": slots.max, "wanted": slots.wanted, "granted": slots.granted,
            })
        });
        let nothing = self.nothing.iter().map(|(name, why)| json!({"name": name, "why": why}));
        json!({
            "dryRun": true,
            "verb": self.verb.as_str(),
            "hosts": rows.collect::<Vec<_>>(),
            "nothingToDo": nothing.collect::<Vec<_>>(),
            "budgets": slots.collect::<Vec<_>>(),
        })
    }

    /// Prints that there is nothing to do.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(super) fn print_nothing(&self, output: Output, out: &mut impl Write) -> Result<()> {
        match output {
            Output::Table => self
                .nothing
                .iter()
                .try_for_each(|(name, why)| line(out, &[name, "nothing-to-do", why])),
            Output::Name => Ok(()),
            Output::Json => {
                let row = |(name, why): &(String, String)| json!({"name": name, "result": "nothing-to-do", "detail": why});
                let rows: Vec<Value> = self.nothing.iter().map(row).collect();
                print_json(out, &json!({"verb": self.verb.as_str(), "hosts": rows}))
            }
        }
    }
}

/// A change in words: the field, its old and its new value.
fn words(change: &Change) -> (String, String, String) {
    match change {
        Change::Hold(HoldChange { holder, old, new, .. }) => {
            (format!("maintenance[{holder}]"), hold(old.as_ref()), hold(new.as_ref()))
        }
        Change::Run(change) => {
            ("ansible".to_owned(), request(change.old.as_ref()), request(Some(&change.new)))
        }
        Change::Labels(change) => {
            let side = |new: bool| {
                let word = |(key, (old, after)): (&String, &(Option<String>, Option<String>))| {
                    let value = if new { after } else { old };
                    format!("{key}={}", label_word(value.as_deref()))
                };
                change.labels.iter().map(word).collect::<Vec<_>>().join(" ")
            };
            ("labels".to_owned(), side(false), side(true))
        }
    }
}

fn hold(hold: Option<&Hold>) -> String {
    hold.map_or_else(
        || "none".to_owned(),
        |hold| {
            let length = hold.until.0.as_second() - hold.since.0.as_second();
            let ticket = hold.ticket.as_ref().map(|t| format!(" ({t})")).unwrap_or_default();
            format!(
                "{:?} \"{}\"{ticket} for {} until {}",
                hold.mode,
                hold.reason,
                duration::short(length),
                hold.until.0
            )
        },
    )
}

/// A request in words; of its variables the names only.
fn request(request: Option<&AnsibleRequest>) -> String {
    request.map_or_else(
        || "none".to_owned(),
        |request| {
            let mut text = format!("{} {}", request.request_id, request.playbook);
            if let Some(revision) = &request.revision {
                let _ = write!(text, "@{revision}");
            }
            if !request.tags.is_empty() {
                let _ = write!(text, " tags {}", request.tags.join(","));
            }
            if !request.extra_vars.is_empty() {
                let names: Vec<&str> = request.extra_vars.keys().map(String::as_str).collect();
                let _ = write!(text, " with {}", names.join(","));
            }
            if request.check {
                text.push_str(" in check mode");
            }
            if request.cancel {
                text.push_str(" (canceled)");
            }
            text
        },
    )
}
