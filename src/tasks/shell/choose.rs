//! Which hosts are meant.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Read;

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::api::{Api, ListParams};

use super::HostArgs;
use crate::error::{Error, Result};
use crate::model::host::Host;
use crate::model::inventory::Inventory;
use crate::model::record::HostRecord;
use crate::model::{labels, text};
use crate::store::budget::pages;
use crate::store::client::{Connection, DEADLINE, call};
use crate::tasks::select::parse_filter;

/// Most that is read from standard input, in bytes.
const MAX_INPUT: u64 = 32 * 1024 * 1024;
/// Hosts are read one by one up to this many names; above it one list costs less.
const FEW: usize = 20;
/// Candidates that an error names.
const CANDIDATES: usize = 5;
/// Rows that the filter tests at once.
const STEP: usize = 10_000;

/// The hosts that are meant, in the order in which they were named.
pub(in crate::tasks) struct Chosen {
    /// Each once.
    pub(in crate::tasks) hosts: Vec<Host>,
}

/// What people call a host.
pub(in crate::tasks) fn display(host: &Host) -> String {
    let shown = host.annotations().get(labels::DISPLAY_NAME).filter(|name| !name.is_empty());
    text::clean(shown.map_or_else(|| host.name_any(), Clone::clone).as_str()).into_owned()
}

/// Finds the hosts.
///
/// # Errors
/// Nobody is named, a name that no host has or several have, a filter that is none or chooses
/// nobody: wrong use, nothing was tried. Or what the server said.
pub(in crate::tasks) async fn choose(
    connection: &Connection,
    namespace: &str,
    args: &HostArgs,
    now: Timestamp,
) -> Result<Chosen> {
    let api: Api<Host> = Api::namespaced(connection.client.clone(), namespace);
    let hosts = match &args.filter {
        Some(filter) => filtered(all(&api).await?, filter, now)?,
        None => named(&api, &names(args)?, namespace).await?,
    };
    Ok(Chosen { hosts })
}

fn names(args: &HostArgs) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for name in &args.hosts {
        if name == "-" {
            let mut text = String::new();
            let read = std::io::stdin().lock().take(MAX_INPUT).read_to_string(&mut text);
            read.map_err(|cause| Error::usage("cannot read standard input").because(cause))?;
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            names.extend(lines.map(ToOwned::to_owned));
        } else {
            names.push(name.clone());
        }
    }
    let mut seen = HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    if names.is_empty() {
        return Err(Error::usage("no host is named")
            .hint("name hosts, or choose them with --filter FILTER"));
    }
    Ok(names)
}

async fn all(api: &Api<Host>) -> Result<Vec<Host>> {
    let mut all = Vec::new();
    let each = |host| all.push(host);
    pages(api, ListParams::default(), "cannot list hosts", "list hosts", each).await?;
    Ok(all)
}

fn filtered(hosts: Vec<Host>, filter: &str, now: Timestamp) -> Result<Vec<Host>> {
    let parsed = parse_filter(filter)?;
    let mut inventory = Inventory::new();
    for host in &hosts {
        inventory.apply(HostRecord::from(host), now);
    }
    inventory.set_filter(Some(parsed), now);
    while !inventory.filter_step(STEP) {}
    let matched: HashSet<&str> = inventory.matched_rows().map(|row| row.uid().as_str()).collect();
    let chosen: Vec<Host> = hosts
        .into_iter()
        .filter(|host| host.metadata.uid.as_deref().is_some_and(|uid| matched.contains(uid)))
        .collect();
    if chosen.is_empty() {
        return Err(Error::usage(format!("the filter \"{filter}\" chooses no host")));
    }
    Ok(chosen)
}

async fn named(api: &Api<Host>, names: &[String], namespace: &str) -> Result<Vec<Host>> {
    if names.len() <= FEW {
        let mut hosts = Vec::new();
        for name in names.iter().filter(|name| labels::is_label_value(name)) {
            let found = call("cannot read hosts", "get hosts", DEADLINE, api.get_opt(name)).await?;
            hosts.extend(found);
        }
        if hosts.len() == names.len() {
            return Ok(hosts);
        }
    }
    resolve(all(api).await?, names, namespace)
}

/// The host of each name: the object's own, else a display name that only one has.
fn resolve(hosts: Vec<Host>, names: &[String], namespace: &str) -> Result<Vec<Host>> {
    let mut shown: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for host in &hosts {
        shown.entry(display(host)).or_default().push(host.name_any());
    }
    let mut all: HashMap<String, Host> =
        hosts.into_iter().map(|host| (host.name_any(), host)).collect();
    let mut chosen = Vec::new();
    let mut taken = HashSet::new();
    for name in names {
        let object = if all.contains_key(name) || taken.contains(name) {
            name
        } else {
            match shown.get(name).map(Vec::as_slice) {
                Some([one]) => one,
                Some(several) => {
                    let some: Vec<&str> =
                        several.iter().take(CANDIDATES).map(String::as_str).collect();
                    let more = if several.len() > CANDIDATES { ", …" } else { "" };
                    return Err(Error::usage(format!(
                        "{} hosts are called \"{}\": {}{more}",
                        several.len(),
                        text::clean(name),
                        some.join(", ")
                    ))
                    .hint("name the one that is meant by its object's name"));
                }
                None => {
                    let similar: Vec<&str> = shown
                        .iter()
                        .filter(|(display, _)| display.contains(name.as_str()))
                        .flat_map(|(_, objects)| objects.iter().map(String::as_str))
                        .take(CANDIDATES)
                        .collect();
                    let error = Error::usage(format!(
                        "there is no host \"{}\" in namespace \"{namespace}\"",
                        text::clean(name)
                    ));
                    return Err(if similar.is_empty() {
                        error.hint("another namespace is named with -n")
                    } else {
                        error.hint(format!("similar: {}", similar.join(", ")))
                    });
                }
            }
        };
        // Two names of one host are one host.
        if taken.insert(object.clone()) {
            chosen.extend(all.remove(object));
        }
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::host::HostSpec;

    fn host(name: &str, display: &str) -> Host {
        let mut host = Host::new(name, HostSpec::default());
        host.metadata.uid = Some(format!("uid-{name}"));
        host.annotations_mut().insert(labels::DISPLAY_NAME.to_owned(), display.to_owned());
        host
    }

    fn fleet() -> Vec<Host> {
        vec![host("aws-1", "web-1"), host("aws-2", "web-2"), host("aws-3", "web-2")]
    }

    fn found(names: &[&str]) -> Result<Vec<String>> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Ok(resolve(fleet(), &names, "inventory")?.iter().map(ResourceExt::name_any).collect())
    }

    #[test]
    fn a_display_name_is_taken_where_it_names_one_host() {
        assert_eq!(found(&["web-1", "aws-3"]).unwrap(), ["aws-1", "aws-3"]);
        assert_eq!(found(&["aws-1", "web-1"]).unwrap(), ["aws-1"], "one host, once");
        let several = found(&["web-2"]).unwrap_err();
        assert_eq!(several.to_string(), "2 hosts are called \"web-2\": aws-2, aws-3");
        let none = found(&["web"]).unwrap_err();
        assert_eq!(none.next_step(), Some("similar: aws-1, aws-2, aws-3"));
        assert_eq!(none.exit_code(), crate::error::EXIT_USAGE);
    }

    #[test]
    fn the_filter_is_the_explorers() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let names = |filter: &str| {
            let hosts = filtered(fleet(), filter, now)?;
            Ok::<_, Error>(hosts.iter().map(ResourceExt::name_any).collect::<Vec<_>>())
        };
        assert_eq!(names("\"web-2\" !name:aws-2").unwrap(), ["aws-3"]);
        assert!(names("nobody-at-all").unwrap_err().to_string().contains("chooses no host"));
        let wrong = names("web (").unwrap_err();
        assert!(wrong.to_string().contains("is no filter"), "{wrong}");
    }
}
