//! Groups of hosts for Ansible: what they are made of, and names that Ansible takes without a word.
//!
//! A group is called `<prefix>_<value>`: `region_eu_west_1`, `label_example_com_team_a`. Only ASCII
//! letters, digits and `_` stay as they are, every other character becomes `_`, the empty value is
//! `none`. Every name has a letter in front and a `_` in it, so none is `all`, `ungrouped`, a word of
//! Python's or the name of a host. Where two different values (or two labels) would meet in one name,
//! each of them gets `_` and six characters of its hash, so that no two groups melt into one unseen.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::str::FromStr;

use super::filter::TextField;
use super::labels::short_hash;
use super::row::HostRow;

/// What a group is made of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Source {
    /// A field that hosts share.
    Field(TextField),
    /// Phase.
    State,
    /// Whether the host takes part in service.
    Service,
    /// `maintenance_on` for hosts with a hold in force.
    Maintenance,
    /// A label by its key.
    Label(String),
    /// An annotation by its key.
    Annotation(String),
}

const WORDS: [(&str, Source); 10] = [
    ("region", Source::Field(TextField::Region)),
    ("zone", Source::Field(TextField::Zone)),
    ("cluster", Source::Field(TextField::Cluster)),
    ("role", Source::Field(TextField::Role)),
    ("team", Source::Field(TextField::Team)),
    ("environment", Source::Field(TextField::Environment)),
    ("provider", Source::Field(TextField::Provider)),
    ("state", Source::State),
    ("service", Source::Service),
    ("maintenance", Source::Maintenance),
];

/// Groups by one source: what their names begin with, and where their values come from. Written
/// `region`, `label:KEY`, `annotation:KEY`, or with a prefix of one's own, `gpu=label:KEY`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Grouping {
    /// Begin of the names.
    pub prefix: String,
    /// Where the values come from.
    source: Source,
}

impl Grouping {
    /// The groups that are made when nobody says which.
    pub fn usual() -> Vec<Self> {
        WORDS.map(|(word, source)| Self { prefix: word.to_owned(), source }).to_vec()
    }

    /// The value of a host; none: it is in no group of this kind. `label` and `annotation` look up
    /// a key of the host.
    pub fn value<'a>(
        &self,
        row: &'a HostRow,
        label: impl Fn(&str) -> Option<&'a str>,
        annotation: impl Fn(&str) -> Option<&'a str>,
    ) -> Option<&'a str> {
        match &self.source {
            Source::Field(field) => {
                let text = row.group(*field).map(super::intern::Atom::raw);
                text.filter(|text| !text.is_empty())
            }
            Source::State => Some(row.phase().as_str()),
            Source::Service => Some(row.service_state().as_str()),
            Source::Maintenance => row.in_maintenance().then_some("on"),
            Source::Label(key) => label(key),
            Source::Annotation(key) => annotation(key),
        }
    }
}

impl FromStr for Grouping {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (prefix, source) = match text.split_once('=') {
            Some((prefix, source)) => (Some(prefix), source),
            None => (None, text),
        };
        let (own, source) = if let Some(key) = source.strip_prefix("label:") {
            (format!("label_{}", safe(key)), Source::Label(key.to_owned()))
        } else if let Some(key) = source.strip_prefix("annotation:") {
            (format!("annotation_{}", safe(key)), Source::Annotation(key.to_owned()))
        } else {
            let known = WORDS.iter().find(|(word, _)| *word == source);
            let (word, source) = known.ok_or_else(|| {
                let words = WORDS.map(|(word, _)| word).join(", ");
                format!(
                    "\"{text}\" is none of {words}, label:KEY, annotation:KEY, PREFIX=one of them"
                )
            })?;
            ((*word).to_owned(), source.clone())
        };
        if matches!(&source, Source::Label(key) | Source::Annotation(key) if key.is_empty()) {
            return Err(format!("\"{text}\" names no key"));
        }
        let prefix = prefix.map_or(own, ToOwned::to_owned);
        let legal =
            prefix.starts_with(|c: char| c.is_ascii_alphabetic()) && safe(&prefix) == prefix;
        if !legal {
            return Err(format!(
                "the prefix of \"{text}\" is not of letters, digits and _ with a letter in front"
            ));
        }
        Ok(Self { prefix, source })
    }
}

impl fmt::Display for Grouping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Label(key) => write!(f, "{}=label:{key}", self.prefix),
            Source::Annotation(key) => write!(f, "{}=annotation:{key}", self.prefix),
            source => {
                let word = WORDS.iter().find(|(_, known)| known == source).map_or("", |(w, _)| w);
                write!(f, "{}={word}", self.prefix)
            }
        }
    }
}

/// The text with `_` for all but ASCII letters, digits and `_`.
fn safe(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// Hosts by group, as they come. A host is a number, so that memory is a few bytes for each group of
/// each host.
#[derive(Debug, Default)]
pub struct Groups {
    /// By number of the grouping and raw value.
    hosts: HashMap<usize, HashMap<String, Vec<u32>>>,
}

/// A group with its name.
#[derive(Debug, PartialEq, Eq)]
pub struct Group {
    /// Name for Ansible.
    pub name: String,
    /// The value, where the name alone does not say which of several it is.
    pub ambiguous: Option<String>,
    /// Its hosts, in the order in which they came.
    pub hosts: Vec<u32>,
}

impl Groups {
    /// Puts a host into the group of a value of the grouping with this number.
    pub fn add(&mut self, grouping: usize, value: &str, host: u32) {
        let values = self.hosts.entry(grouping).or_default();
        if let Some(hosts) = values.get_mut(value) {
            hosts.push(host);
        } else {
            values.insert(value.to_owned(), vec![host]);
        }
    }

    /// The groups with their names, in the order of their names.
    pub fn named(self, groupings: &[Grouping]) -> Vec<Group> {
        let mut by_name: BTreeMap<String, Vec<(String, String, Vec<u32>)>> = BTreeMap::new();
        for (number, values) in self.hosts {
            let Some(grouping) = groupings.get(number) else { continue };
            for (value, hosts) in values {
                let shown = if value.is_empty() { "none".to_owned() } else { safe(&value) };
                let name = format!("{}_{shown}", grouping.prefix);
                let identity = format!("{grouping}\n{value}");
                by_name.entry(name).or_default().push((identity, value, hosts));
            }
        }
        let plain: Vec<String> = by_name.keys().cloned().collect();
        let mut groups = Vec::new();
        for (name, mut same) in by_name {
            same.sort_unstable();
            if same.len() == 1 {
                let hosts = same.into_iter().map(|(_, _, hosts)| hosts);
                groups.extend(hosts.map(|hosts| Group {
                    name: name.clone(),
                    ambiguous: None,
                    hosts,
                }));
                continue;
            }
            // Six characters are 30 bits. Should even they meet, or meet a plain name, there are four more.
            let suffixes = |length: usize| -> Vec<String> {
                let all = same.iter().map(|(identity, ..)| short_hash(identity));
                all.map(|hash| format!("{name}_{}", hash.get(..length).unwrap_or(&hash))).collect()
            };
            let unique = |names: &[String]| {
                let mut sorted = names.to_vec();
                sorted.sort_unstable();
                sorted.dedup();
                sorted.len() == names.len()
                    && !names.iter().any(|name| plain.binary_search(name).is_ok())
            };
            let short = suffixes(6);
            let names = if unique(&short) { short } else { suffixes(10) };
            groups.extend(names.into_iter().zip(same).map(|(name, (_, value, hosts))| Group {
                name,
                ambiguous: Some(value),
                hosts,
            }));
        }
        groups.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        groups
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(groupings: &[&str], values: &[(usize, &str)]) -> Vec<String> {
        let groupings: Vec<Grouping> = groupings.iter().map(|g| g.parse().unwrap()).collect();
        let mut groups = Groups::default();
        for (host, (grouping, value)) in (0_u32..).zip(values) {
            groups.add(*grouping, value, host);
        }
        groups.named(&groupings).into_iter().map(|group| group.name).collect()
    }

    #[test]
    fn names_are_safe_and_say_what_they_are() {
        let values =
            [(0, "eu-west-1"), (1, ""), (1, "1.2.3"), (1, "日本"), (2, "x/y"), (3, "class")];
        let groupings = ["region", "label:example.com/gpu", "annotation:a.b/c", "my=role"];
        let expected = [
            "annotation_a_b_c_x_y",
            "label_example_com_gpu_1_2_3",
            "label_example_com_gpu___",
            "label_example_com_gpu_none",
            "my_class",
            "region_eu_west_1",
        ];
        assert_eq!(names(&groupings, &values), expected);
        let long = "x".repeat(63);
        assert_eq!(names(&["role"], &[(0, &long)]), [format!("role_{long}")]);
    }

    #[test]
    fn two_values_never_melt_into_one_group() {
        let meet = names(&["role"], &[(0, "a.b"), (0, "a-b"), (0, "ab"), (0, "a.b")]);
        assert_eq!(meet.len(), 3);
        assert_eq!(meet[2], "role_ab");
        assert!(meet[0].starts_with("role_a_b_") && meet[0].len() == "role_a_b_".len() + 6);
        assert_ne!(meet[0], meet[1]);
        let labels = names(&["label:a", "label:a_b"], &[(0, "b_c"), (1, "c")]);
        assert_eq!(labels.len(), 2);
        assert!(labels.iter().all(|name| name.starts_with("label_a_b_c_")), "{labels:?}");
        let empty = names(&["label:a"], &[(0, ""), (0, "none")]);
        assert!(empty.len() == 2 && !empty.contains(&"label_a_none".to_owned()), "{empty:?}");
    }

    #[test]
    fn what_is_no_grouping_is_refused() {
        for (text, why) in [
            ("colour", "none of region"),
            ("label:", "names no key"),
            ("1=role", "letter in front"),
            ("a-b=role", "letter in front"),
            ("=role", "letter in front"),
        ] {
            let problem = text.parse::<Grouping>().unwrap_err();
            assert!(problem.contains(why), "{text}: {problem}");
        }
        for text in ["region", "label:a.b/c", "x=annotation:k"] {
            let grouping: Grouping = text.parse().unwrap();
            assert_eq!(grouping.to_string().parse::<Grouping>().unwrap(), grouping, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_values_get_names_of_their_own(values in proptest::collection::hash_set(".{0,3}", 0..40)) {
            let groupings: Vec<Grouping> = vec!["label:k".parse().unwrap()];
            let mut groups = Groups::default();
            for value in &values {
                groups.add(0, value, 1);
            }
            let named = groups.named(&groupings);
            prop_assert_eq!(named.len(), values.len());
            let mut names: Vec<&str> = named.iter().map(|group| group.name.as_str()).collect();
            names.dedup();
            prop_assert_eq!(names.len(), values.len());
            for name in names {
                prop_assert!(name.starts_with("label_k_"));
                prop_assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'));
            }
        }
    }
}
