//! `inv-tui --headless label`: sets and removes labels of hosts.

use std::collections::BTreeMap;

use clap::Args;
use kube::ResourceExt;

use super::maintain::{reason, target};
use super::shell::{self, Chosen, HostArgs, HowArgs, choose, plan};
use crate::act::{Order, order_id};
use crate::error::{Error, Result};
use crate::model::change::{Change, LabelsChange};
use crate::model::host::Host;
use crate::model::labels::{Edit, parse_edit};
use crate::model::policy::Verb;
use crate::store::client::ConnectOptions;
use crate::telemetry;

/// Set labels of hosts (key=value), or remove them (key-).
#[derive(Args, Clone, Debug)]
pub struct LabelArgs {
    /// Hosts by name, - for names on standard input, and labels: key=value sets one, key- removes it
    #[arg(value_name = "HOST | KEY=VALUE | KEY-", required = true)]
    pub words: Vec<String>,
    /// All hosts of the namespace that the filter chooses, instead of names
    #[arg(long, value_name = "FILTER")]
    pub filter: Option<String>,
    /// Why, for the journal; needed for several hosts
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub reason: Option<String>,
    /// How it is confirmed and told.
    #[command(flatten)]
    pub how: HowArgs,
}

/// Tells names of hosts and edits of labels apart: a name has no `=` and does not end in a dash.
///
/// # Errors
/// Wrong use: an edit that is none, a label twice, no edit, names beside a filter.
fn sort(args: &LabelArgs) -> Result<(HostArgs, Vec<Edit>)> {
    let is_edit = |word: &&String| word.contains('=') || (word.len() > 1 && word.ends_with('-'));
    let (edits, hosts): (Vec<&String>, Vec<&String>) = args.words.iter().partition(is_edit);
    let mut found: BTreeMap<String, Option<String>> = BTreeMap::new();
    for word in edits {
        let (key, value) = parse_edit(word).map_err(Error::usage)?;
        if found.insert(key.clone(), value).is_some() {
            return Err(Error::usage(format!("the label {key} is named twice")));
        }
    }
    if found.is_empty() {
        return Err(Error::usage("no label is named")
            .hint("key=value sets a label, key- removes it: label web-1 team=web old-"));
    }
    if args.filter.is_some() && !hosts.is_empty() {
        return Err(Error::usage("hosts are named, and chosen by a filter besides")
            .hint("do one of the two"));
    }
    let hosts = hosts.into_iter().cloned().collect();
    Ok((HostArgs { hosts, filter: args.filter.clone() }, found.into_iter().collect()))
}

/// Runs the task.
///
/// # Errors
/// Wrong use, no connection, or the server does not tell what must be known: nothing was done then.
pub async fn run(args: LabelArgs, server: &ConnectOptions, namespace: &str) -> Result<u8> {
    telemetry::start(telemetry::LogArgs::default(), "warn")?;
    let (wanted, edits) = sort(&args)?;
    let session = shell::begin(server).await?;
    let Chosen { hosts } =
        choose(&session.actor.connection, namespace, &wanted, session.now).await?;
    let (mut changes, mut meant, mut nothing) = (Vec::new(), Vec::new(), Vec::new());
    for host in &hosts {
        let change = change(host, &edits);
        if change.labels.is_empty() {
            nothing.push((host.name_any(), "its labels are like that already".to_owned()));
        } else {
            changes.push(Change::Labels(change));
            meant.push(host);
        }
    }
    let past = args.how.anyway;
    let mut plan = plan(&session, Verb::Label, &changes, &meant, &[], past).await?;
    plan.nothing = nothing;
    let reason = args.reason.clone().unwrap_or_default();
    let verb = Verb::Label;
    let order = Order { id: order_id(), verb, changes, reason, ticket: None, overrides: past };
    let out = &mut std::io::stdout().lock();
    let (code, _) = Box::pin(shell::perform(&session, order, plan, &args.how, out)).await?;
    Ok(code)
}

/// What of these edits changes something on this host.
fn change(host: &Host, edits: &[Edit]) -> LabelsChange {
    let labels = host.labels();
    let differs = |(key, new): &&Edit| labels.get(key) != new.as_ref();
    let of = |(key, new): &Edit| (key.clone(), (labels.get(key).cloned(), new.clone()));
    LabelsChange { target: target(host), labels: edits.iter().filter(differs).map(of).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(words: &[&str]) -> LabelArgs {
        LabelArgs {
            words: words.iter().map(|word| (*word).to_owned()).collect(),
            filter: None,
            reason: None,
            how: HowArgs::default(),
        }
    }

    #[test]
    fn names_and_labels_are_told_apart() {
        let (hosts, edits) = sort(&args(&["web-1", "team=db", "-", "old-"])).unwrap();
        assert_eq!(hosts.hosts, ["web-1", "-"]);
        let edit = |key: &str, value: Option<&str>| (key.to_owned(), value.map(ToOwned::to_owned));
        assert_eq!(edits, [edit("old", None), edit("team", Some("db"))]);
        for wrong in [&["web-1"][..], &["web-1", "a=1", "a-"], &["web-1", "a b=1"]] {
            assert!(sort(&args(wrong)).is_err(), "{wrong:?}");
        }
        let both = LabelArgs { filter: Some("env=prod".into()), ..args(&["web-1", "a=1"]) };
        assert!(sort(&both).is_err());
    }

    #[test]
    fn only_what_differs_is_changed() {
        let mut host = Host::default();
        host.metadata.labels = Some([("a".to_owned(), "1".to_owned())].into_iter().collect());
        let edits = [("a".to_owned(), Some("1".to_owned())), ("b".to_owned(), None)];
        assert!(change(&host, &edits).labels.is_empty());
        let edits = [("a".to_owned(), None), ("c".to_owned(), Some(String::new()))];
        let found = change(&host, &edits).labels;
        assert_eq!(found["a"], (Some("1".to_owned()), None));
        assert_eq!(found["c"], (None, Some(String::new())));
    }
}
