//! The JSON of an inventory, written while the hosts come in: first the variables of each host, then
//! the groups, of which only names and numbers are kept until then.

use std::fmt;
use std::io::{self, Write};

use k8s_openapi::jiff::Timestamp;
use serde_json::json;

use super::parse;
use crate::error::{Error, Result};
use crate::model::groups::{Grouping, Groups};
use crate::model::hostvars::{Wanted, data, hostvars, is_name};
use crate::model::selection::{LeftOut, Selection, Verdict};

/// What `--verbose` tells.
#[derive(Clone, Debug)]
pub(super) enum Told {
    /// The inventory of now.
    List { hosts: usize, groups: usize, left_out: LeftOut, odd: usize, filtered: usize },
    /// One that was kept.
    Kept,
    /// One host.
    Host,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List { hosts, groups, left_out, odd, filtered } => {
                write!(f, "{hosts} hosts in {groups} groups; left out: {left_out}")?;
                if *odd > 0 {
                    write!(f, "; {odd} without a name that Ansible takes")?;
                }
                if *filtered > 0 {
                    write!(f, "; {filtered} that the filter does not choose")?;
                }
                Ok(())
            }
            Self::Kept => f.write_str("an inventory that was kept"),
            Self::Host => f.write_str("one host"),
        }
    }
}

/// An inventory that is being written.
pub(super) struct Document<'a, W: Write> {
    out: W,
    groupings: &'a [Grouping],
    wanted: Wanted,
    selection: Selection,
    now: Timestamp,
    groups: Groups,
    /// Names of the hosts by number.
    names: Vec<String>,
    ungrouped: Vec<u32>,
    left_out: LeftOut,
    odd: usize,
    filtered: usize,
}

impl<'a, W: Write> Document<'a, W> {
    /// An inventory without a host. Nothing is written yet.
    pub(super) fn new(
        out: W,
        groupings: &'a [Grouping],
        wanted: Wanted,
        selection: Selection,
        now: Timestamp,
    ) -> Self {
        Self {
            out,
            groupings,
            wanted,
            selection,
            now,
            groups: Groups::default(),
            names: Vec::new(),
            ungrouped: Vec::new(),
            left_out: LeftOut::default(),
            odd: 0,
            filtered: 0,
        }
    }

    /// Whether no host has been taken so far.
    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// What there is so far.
    pub(super) fn told(&self) -> Told {
        Told::List {
            hosts: self.names.len(),
            groups: 0,
            left_out: self.left_out.clone(),
            odd: self.odd,
            filtered: self.filtered,
        }
    }

    /// Takes in a host as JSON.
    ///
    /// # Errors
    /// It is no JSON, or cannot be written.
    pub(super) fn host(&mut self, json: &[u8]) -> Result<()> {
        let (record, carried) = parse(json)?;
        // The name as it is in the object; the row has what may be shown of it.
        let name = record.metadata.name.clone().unwrap_or_default();
        let Some(judged) = self.selection.judge(record, self.now) else {
            self.odd += 1;
            return Ok(());
        };
        match judged.verdict {
            Verdict::Filtered => {
                self.filtered += 1;
                return Ok(());
            }
            Verdict::LeftOut(absence) => {
                self.left_out.count(absence);
                return Ok(());
            }
            Verdict::Keep => {}
        }
        if !is_name(&name) || ["all", "ungrouped", "localhost"].contains(&name.as_str()) {
            self.odd += 1;
            return Ok(());
        }
        let number = u32::try_from(self.names.len())
            .map_err(|cause| Error::new("there are too many hosts").because(cause))?;
        let mut grouped = false;
        for (at, grouping) in self.groupings.iter().enumerate() {
            let meta = &carried.metadata;
            let value =
                grouping.value(&judged.row, |key| meta.label(key), |key| meta.annotation(key));
            if let Some(value) = value {
                self.groups.add(at, value, number);
                grouped = true;
            }
        }
        if !grouped {
            self.ungrouped.push(number);
        }
        let vars = hostvars(&judged.row, &carried, &self.wanted);
        let before = if self.names.is_empty() { "{\"_meta\":{\"hostvars\":{\n" } else { ",\n" };
        self.names.push(name);
        let name = self.names.last().map_or("", String::as_str);
        let mut write = || -> io::Result<()> {
            write!(self.out, "{before}\"{name}\":")?;
            serde_json::to_writer(&mut self.out, &vars)?;
            Ok(())
        };
        write().map_err(|cause| Error::new("cannot write the inventory").because(cause))
    }

    /// Writes the groups; only [`close`] is left to be written.
    ///
    /// # Errors
    /// They cannot be written.
    pub(super) fn end(self) -> Result<Told> {
        let mut told = self.told();
        let Self { mut out, groupings, groups, names, ungrouped, left_out, odd, .. } = self;
        let groups = groups.named(groupings);
        if let Told::List { groups: count, .. } = &mut told {
            *count = groups.len();
        }
        let mut left: serde_json::Map<String, serde_json::Value> =
            left_out.iter().map(|(why, count)| (why.to_string(), count.into())).collect();
        if odd > 0 {
            left.insert("name".to_owned(), odd.into());
        }
        let write = || -> io::Result<()> {
            if names.is_empty() {
                write!(out, "{{\"_meta\":{{\"hostvars\":{{")?;
            }
            write!(out, "\n}},\"inv\":{}}},\n", json!({"hosts": names.len(), "left_out": left}))?;
            for group in &groups {
                write!(out, "\"{}\":{{\"hosts\":", group.name)?;
                members(&mut out, &names, &group.hosts)?;
                if let Some(value) = &group.ambiguous {
                    let mut vars = serde_json::Map::new();
                    vars.insert(format!("inv_value_of_{}", group.name), data(value));
                    write!(out, ",\"vars\":{}", serde_json::Value::Object(vars))?;
                }
                writeln!(out, "}},")?;
            }
            if !ungrouped.is_empty() {
                write!(out, "\"ungrouped\":{{\"hosts\":")?;
                members(&mut out, &names, &ungrouped)?;
                writeln!(out, "}},")?;
            }
            let left = serde_json::Value::Object(left);
            writeln!(out, "\"all\":{{\"vars\":{{\"inv_left_out\":{left}")?;
            out.flush()
        };
        write().map_err(|cause| Error::new("cannot write the inventory").because(cause))?;
        Ok(told)
    }
}

/// The names of hosts as a list. Names have no character that JSON would escape.
fn members(out: &mut impl Write, names: &[String], hosts: &[u32]) -> io::Result<()> {
    let mut before = '[';
    for host in hosts {
        let name = names.get(*host as usize).map_or("", String::as_str);
        write!(out, "{before}\"{name}\"")?;
        before = ',';
    }
    write!(out, "]")
}

/// Writes the end of an inventory; of one that was kept with its time and its age in seconds.
///
/// # Errors
/// It cannot be written.
pub(super) fn close(out: &mut impl Write, kept: Option<(Timestamp, i64)>) -> io::Result<()> {
    if let Some((made, age)) = kept {
        let made = data(&made.to_string());
        write!(out, ",\"inv_inventory_cached\":{made},\"inv_inventory_age\":{age}")?;
    }
    writeln!(out, "}}}}}}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::filter::Filter;
    use crate::model::selection::{Include, Rules};
    use serde_json::Value;

    fn inventory(hosts: &[Value], groups: &[&str]) -> (Value, String) {
        let now = "2026-11-20T12:00:00Z".parse().unwrap();
        let groupings: Vec<Grouping> = groups.iter().map(|group| group.parse().unwrap()).collect();
        let rules = Rules::of(&["gone".parse::<Include>().unwrap()]);
        let selection = Selection::new(Filter::parse("!name:hidden").unwrap(), rules, now);
        let mut out = Vec::new();
        let mut document = Document::new(&mut out, &groupings, Wanted::default(), selection, now);
        for host in hosts {
            document.host(host.to_string().as_bytes()).unwrap();
        }
        let told = document.end().unwrap().to_string();
        close(&mut out, None).unwrap();
        (serde_json::from_slice(&out).unwrap(), told)
    }

    fn host(name: &str, spec: &Value) -> Value {
        json!({"metadata": {"name": name, "uid": name, "labels": {"env": "a.b"}}, "spec": spec})
    }

    #[test]
    fn it_is_what_the_contract_wants() {
        let hosts = [
            host("web-1", &json!({"role": "web"})),
            host("web-2", &json!({"role": "web", "serviceState": "Retired"})),
            host("bare", &json!({})),
            host("all", &json!({"role": "x"})),
            host("hidden", &json!({"role": "x"})),
        ];
        let (list, told) = inventory(&hosts, &["role"]);
        assert_eq!(list["role_web"], json!({"hosts": ["web-1"]}));
        assert_eq!(list["ungrouped"], json!({"hosts": ["bare"]}));
        assert_eq!(list["all"], json!({"vars": {"inv_left_out": {"retired": 1, "name": 1}}}));
        let names: Vec<&String> = list["_meta"]["hostvars"].as_object().unwrap().keys().collect();
        assert_eq!(names, ["bare", "web-1"]);
        assert_eq!(list.as_object().unwrap().len(), 4, "{list}");
        assert_eq!(
            told,
            "2 hosts in 1 groups; left out: 1 retired; 1 without a name that Ansible takes; \
             1 that the filter does not choose"
        );
    }

    #[test]
    fn without_a_host_it_is_a_whole_document() {
        let (list, _) = inventory(&[], &["role"]);
        assert_eq!(list["_meta"]["hostvars"], json!({}));
        assert_eq!(list["all"], json!({"vars": {"inv_left_out": {}}}));
    }

    #[test]
    fn the_value_of_an_ambiguous_group_stands_in_its_variables() {
        let mut other = host("web-2", &json!({}));
        other["metadata"]["labels"]["env"] = "a-b".into();
        let (list, _) = inventory(&[host("web-1", &json!({})), other], &["label:env"]);
        let groups =
            list.as_object().unwrap().iter().filter(|(name, _)| name.starts_with("label_"));
        let values: Vec<String> = groups
            .map(|(name, group)| {
                assert_eq!(group["hosts"].as_array().unwrap().len(), 1);
                group["vars"][format!("inv_value_of_{name}")].as_str().unwrap().to_owned()
            })
            .collect();
        assert!(values.contains(&"a.b".to_owned()) && values.contains(&"a-b".to_owned()));
    }
}
