//! How a provider's tags become fields and labels of a Host.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;

use crate::error::{Error, Result};
use crate::model::diff::PEOPLE;
use crate::model::labels;
use crate::model::template::Template;
use crate::model::text;
use crate::providers::Observed;

/// Name of the field that takes the display name from a tag.
const DISPLAY_NAME: &str = "display-name";
/// Longest value of `spec.cluster` and its like, in characters.
const MAX_FIELD: usize = 63;

/// Where each field comes from, unless `--map` says otherwise.
const DEFAULTS: [(&str, &str); 4] = [
    ("cluster", "Cluster|cluster|kubernetes.io/cluster/*"),
    ("role", "Role|role"),
    ("team", "Team|team|Owner|owner"),
    ("environment", "Environment|environment|Env|env"),
];

/// How tags become fields and labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mapping {
    fields: BTreeMap<&'static str, Vec<Pattern>>,
    labels: BTreeMap<String, Vec<Pattern>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    /// The value of this tag.
    Tag(String),
    /// What follows this in a tag's name, as in `kubernetes.io/cluster/<name>`.
    Prefix(String),
    /// Made of what the provider says of the host.
    Template(Template),
}

/// What a host's tags make of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mapped {
    /// Values of the fields of [`PEOPLE`], legal for the schema.
    pub(super) fields: BTreeMap<&'static str, String>,
    /// Labels, legal.
    pub(super) labels: BTreeMap<String, String>,
    /// Display name, if a tag was mapped to it.
    pub(super) display_name: Option<String>,
    /// Whether the provider's own name is not to be used.
    pub(super) no_display_name: bool,
}

impl Mapping {
    /// The defaults, changed by `FIELD=TAG|TAG` or `FIELD=TEMPLATE` texts, and a label for each of
    /// `label_tags`.
    ///
    /// # Errors
    /// A text without `=`, a field that is neither one of ours nor a label key, a reserved label, a
    /// wrong template; the exit code is for usage.
    pub(super) fn new(maps: &[String], label_tags: &[String]) -> Result<Self> {
        let mut mapping = Self { fields: BTreeMap::new(), labels: BTreeMap::new() };
        for (field, tags) in DEFAULTS {
            mapping.fields.insert(field, patterns(tags)?);
        }
        for tag in label_tags {
            mapping.labels.insert(label_key(tag), vec![Pattern::Tag(tag.clone())]);
        }
        for text in maps {
            let (field, tags) = text.split_once('=').ok_or_else(|| {
                Error::usage(format!("\"{text}\" maps nothing"))
                    .hint("write it like --map cluster=Cluster or --map team=Team|Owner")
            })?;
            let field = field.trim();
            let ours = PEOPLE.iter().copied().chain([DISPLAY_NAME]).find(|name| *name == field);
            if let Some(name) = ours {
                mapping.fields.insert(name, patterns(tags)?);
            } else if labels::is_label_key(field) && !labels::is_reserved(field) {
                mapping.labels.insert(field.to_owned(), patterns(tags)?);
            } else {
                return Err(Error::usage(format!("cannot map to \"{field}\""))
                    .hint("map to cluster, role, team, environment, display-name or a label key outside of kubernetes.io, k8s.io and inv-tui.dev"));
            }
        }
        Ok(mapping)
    }

    /// What is made of a host. Tags and templates without a value, or with blanks only, count as
    /// absent.
    pub(super) fn apply(&self, host: &Observed) -> Mapped {
        let mut mapped = Mapped::default();
        for (field, patterns) in &self.fields {
            mapped.no_display_name |= *field == DISPLAY_NAME && patterns.is_empty();
            let Some(value) = first(patterns, host) else { continue };
            if *field == DISPLAY_NAME {
                mapped.display_name = Some(value.into_owned());
            } else {
                mapped.fields.insert(field, field_value(&value));
            }
        }
        for (key, patterns) in &self.labels {
            if let Some(value) = first(patterns, host) {
                mapped.labels.insert(key.clone(), labels::to_label_value(&value));
            }
        }
        mapped
    }
}

fn patterns(text: &str) -> Result<Vec<Pattern>> {
    if Template::is_meant(text) {
        let wrong = |why: String| {
            Error::usage(format!("\"{text}\" is no template")).because(why).hint(
                "it can use name, uid, provider_id, account, region, zone, os, instance_type and tags, \
                 like {{ name | capture('^[a-z]+') }} or {{ tags['Team'] | lower }}",
            )
        };
        let template = Template::parse(text).map_err(wrong)?;
        // what cannot be filled from a host that has nothing would fail in the middle of a pass
        template.fill(values(&Observed::default())).map_err(wrong)?;
        return Ok(vec![Pattern::Template(template)]);
    }
    let tags = text.split('|').map(str::trim).filter(|tag| !tag.is_empty());
    Ok(tags
        .map(|tag| match tag.strip_suffix('*') {
            Some(prefix) if !prefix.is_empty() => Pattern::Prefix(prefix.to_owned()),
            _ => Pattern::Tag(tag.to_owned()),
        })
        .collect())
}

/// What a template can use.
fn values(host: &Observed) -> impl Serialize {
    json!({
        "name": host.display_name.as_deref().unwrap_or_default(),
        "uid": host.uid,
        "provider_id": host.provider_id,
        "account": host.account.as_deref().unwrap_or_default(),
        "region": host.region,
        "zone": host.zone.as_deref().unwrap_or_default(),
        "os": host.os.as_deref().unwrap_or_default(),
        "instance_type": host.hardware.instance_type.as_deref().unwrap_or_default(),
        "tags": host.tags,
    })
}

fn first<'a>(patterns: &[Pattern], host: &'a Observed) -> Option<Cow<'a, str>> {
    let tags = &host.tags;
    let value = |pattern: &Pattern| match pattern {
        Pattern::Tag(tag) => tags.get(tag).map(|value| Cow::Borrowed(value.trim())),
        Pattern::Prefix(prefix) => {
            // several clusters may share a machine; the one that owns it says so
            let mut all = tags.iter().filter_map(|(key, value)| {
                Some((key.strip_prefix(prefix.as_str()).filter(|rest| !rest.is_empty())?, value))
            });
            let first = all.next()?;
            let owner = std::iter::once(first).chain(all).find(|(_, value)| *value == "owned");
            Some(Cow::Borrowed(owner.unwrap_or(first).0))
        }
        Pattern::Template(template) => match template.fill(values(host)) {
            Ok(value) => Some(Cow::Owned(value.trim().to_owned())),
            Err(why) => {
                tracing::warn!(
                    host = host.name,
                    ?template,
                    why,
                    "cannot be filled; goes on without"
                );
                None
            }
        },
    };
    patterns.iter().filter_map(value).find(|value| !value.is_empty())
}

/// A value for `spec.cluster` and its like: the text itself, or a slug with a hash if it is longer
/// than the schema allows or has characters that hide or move text.
fn field_value(value: &str) -> String {
    if value.chars().count() <= MAX_FIELD && !value.chars().any(text::is_hostile) {
        value.to_owned()
    } else {
        labels::to_label_value(value)
    }
}

/// The label key for a tag: the tag itself where that is a legal key of nobody's domain, else a
/// slug with a hash.
fn label_key(tag: &str) -> String {
    if labels::is_label_key(tag) && !labels::is_reserved(tag) {
        tag.to_owned()
    } else {
        let slug = labels::to_label_value(&tag.replace('/', "-"));
        if slug.is_empty() { "tag".to_owned() } else { slug }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> Observed {
        let tags = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Observed { tags, ..Observed::default() }
    }

    fn mapping(maps: &[&str], label_tags: &[&str]) -> Mapping {
        let own = |all: &[&str]| all.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
        Mapping::new(&own(maps), &own(label_tags)).unwrap()
    }

    #[test]
    fn defaults() {
        let mapped = mapping(&[], &[]).apply(&tags(&[
            ("kubernetes.io/cluster/web", "shared"),
            ("Role", " db "),
            ("Owner", "infra"),
            ("Team", ""),
            ("env", "prod"),
        ]));
        let expected =
            [("cluster", "web"), ("role", "db"), ("team", "infra"), ("environment", "prod")];
        assert_eq!(mapped.fields, expected.map(|(k, v)| (k, v.to_owned())).into());
        assert!(mapped.labels.is_empty() && mapped.display_name.is_none());
    }

    #[test]
    fn the_cluster_that_owns_the_machine_wins() {
        let both =
            tags(&[("kubernetes.io/cluster/a", "shared"), ("kubernetes.io/cluster/b", "owned")]);
        assert_eq!(mapping(&[], &[]).apply(&both).fields["cluster"], "b");
        let named = tags(&[("Cluster", "c"), ("kubernetes.io/cluster/a", "owned")]);
        assert_eq!(mapping(&[], &[]).apply(&named).fields["cluster"], "c");
    }

    #[test]
    fn fields_can_be_remapped_and_turned_off() {
        let all = tags(&[("Role", "db"), ("Team", "a"), ("Squad", "b"), ("Host", "web-1")]);
        let mapped = mapping(
            &["role=", "team=Squad|Team", "display-name=Host", "example.com/squad=Squad"],
            &[],
        )
        .apply(&all);
        assert_eq!(mapped.fields, [("team", "b".to_owned())].into());
        assert_eq!(mapped.display_name.as_deref(), Some("web-1"));
        assert_eq!(mapped.labels["example.com/squad"], "b");
        assert!(!mapped.no_display_name);
        assert!(mapping(&["display-name="], &[]).apply(&all).no_display_name);
    }

    #[test]
    fn templates_make_fields_of_names_and_tags() {
        let mut host = tags(&[("Team", "Shop"), ("env", "prod")]);
        host.display_name = Some("ams-web-12".to_owned());
        host.region = "eu-west-1".to_owned();
        let made = mapping(
            &[
                "role={{ name | capture('^[a-z]+-([a-z]+)') }}",
                "cluster={{ tags.Team | lower }}-{{ region }}",
                "team={{ tags.none }}",
                "example.com/site={% if name %}{{ name | capture('^[a-z]+') | upper }}{% endif %}",
            ],
            &[],
        );
        let mapped = made.apply(&host);
        let expected = [("role", "web"), ("cluster", "shop-eu-west-1"), ("environment", "prod")];
        assert_eq!(mapped.fields, expected.map(|(k, v)| (k, v.to_owned())).into());
        assert_eq!(mapped.labels["example.com/site"], "AMS");
        // What is filled in is never read as a template, and never longer than the schema allows.
        host.display_name = Some(format!("a-{{{{name}}}}{}", "x".repeat(300)));
        let whole = mapping(&["role={{ name }}"], &[]).apply(&host);
        assert!(whole.fields["role"].len() <= MAX_FIELD);
    }

    #[test]
    fn odd_tags_make_legal_labels() {
        let key = label_key("aws:autoscaling:groupName");
        assert!(
            labels::is_label_key(&key) && key.starts_with("aws-autoscaling-groupName-"),
            "{key}"
        );
        for tag in [
            "topology.kubernetes.io/region",
            "kubernetes.io/cluster/x",
            "日本",
            "",
            "a/b/c",
            "inv-tui.dev/x",
        ] {
            let key = label_key(tag);
            assert!(labels::is_label_key(&key) && !labels::is_reserved(&key), "{tag}: {key}");
        }
        let mapped = mapping(&[], &["Cost Centre"]).apply(&tags(&[("Cost Centre", "a b")]));
        assert!(mapped.labels.values().all(|v| labels::is_label_value(v) && v.starts_with("a-b-")));
    }

    #[test]
    fn values_fit_the_schema() {
        assert_eq!(field_value("Zahlungen Süd"), "Zahlungen Süd");
        assert!(field_value(&"x".repeat(64)).len() <= MAX_FIELD);
        assert!(field_value("a\u{1b}[2Jb").starts_with("a-2Jb-"));
    }

    #[test]
    fn wrong_maps_are_refused() {
        for text in [
            "cluster",
            "=x",
            "kubernetes.io/os=Os",
            "a b=c",
            "inventory.inv-tui.dev/role=R",
            "role={{ name",
            "role={{ name | nosuch }}",
            "role={{ name | capture('(') }}",
        ] {
            assert!(Mapping::new(&[text.to_owned()], &[]).is_err(), "{text}");
        }
    }
}
