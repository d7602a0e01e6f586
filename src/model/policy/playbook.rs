//! Which playbooks a cluster offers for its hosts.

use crate::model::cluster::Cluster;

/// What a run takes once the cluster's defaults are filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Playbook, relative to the configured place.
    pub playbook: String,
    /// Git revision to run from.
    pub revision: Option<String>,
}

/// What a person wants to run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish<'a> {
    /// The playbook; none takes the cluster's default.
    pub playbook: Option<&'a str>,
    /// The revision; none takes the cluster's default.
    pub revision: Option<&'a str>,
    /// Tags to run.
    pub tags: &'a [String],
    /// Check mode.
    pub check: bool,
}

/// What is run on a host of `cluster`. A cluster that lists playbooks offers these and its default
/// one, with the tags that they list, and some of them for check mode only. A host without a cluster
/// takes what is named.
///
/// # Errors
/// A sentence that says what is not offered, and what is.
pub fn choose(cluster: Option<&Cluster>, wish: Wish<'_>) -> Result<Choice, String> {
    let defaults = cluster.and_then(|cluster| cluster.spec.ansible.as_ref());
    let name = cluster.and_then(|cluster| cluster.metadata.name.as_deref()).unwrap_or_default();
    let default = defaults.and_then(|defaults| defaults.playbook.as_deref());
    let offered = defaults.map_or(&[][..], |defaults| &defaults.playbooks);
    let playbook = wish
        .playbook
        .or(default)
        .ok_or_else(|| "no playbook is named, and the cluster has no default one".to_owned())?;
    let row = offered.iter().find(|offer| offer.path == playbook);
    if row.is_none() && !offered.is_empty() && default != Some(playbook) {
        let all: Vec<&str> =
            offered.iter().map(|offer| offer.path.as_str()).chain(default).collect();
        return Err(format!(
            "cluster {name} does not offer playbook \"{playbook}\"; it offers {}",
            all.join(", ")
        ));
    }
    if let Some(row) = row {
        if row.check_only && !wish.check {
            return Err(format!("cluster {name} offers \"{playbook}\" in check mode only"));
        }
        let unknown = wish.tags.iter().find(|tag| !row.tags.contains(tag));
        if let Some(tag) = unknown.filter(|_| !row.tags.is_empty()) {
            return Err(format!(
                "cluster {name} does not offer tag \"{tag}\" of \"{playbook}\"; it offers {}",
                row.tags.join(", ")
            ));
        }
    }
    let default = defaults.and_then(|defaults| defaults.revision.as_deref());
    let revision = wish.revision.or(default);
    Ok(Choice { playbook: playbook.to_owned(), revision: revision.map(ToOwned::to_owned) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cluster() -> Cluster {
        serde_json::from_value(json!({
            "apiVersion": "inventory.inv-tui.dev/v1alpha1", "kind": "Cluster",
            "metadata": {"name": "shop"},
            "spec": {"ansible": {"playbook": "site.yml", "revision": "v1", "playbooks": [
                {"path": "deploy.yml", "tags": ["app", "db"]},
                {"path": "audit.yml", "checkOnly": true},
            ]}},
        }))
        .unwrap()
    }

    #[test]
    fn what_is_offered_is_taken_and_the_rest_is_refused_with_what_there_is() {
        let cluster = cluster();
        let ask = |playbook, tags: &[&str], check| {
            let tags: Vec<String> = tags.iter().map(|tag| (*tag).to_owned()).collect();
            choose(Some(&cluster), Wish { playbook, revision: None, tags: &tags, check })
        };
        let site = Choice { playbook: "site.yml".into(), revision: Some("v1".into()) };
        assert_eq!(ask(None, &["any"], false), Ok(site));
        assert_eq!(ask(Some("deploy.yml"), &["db"], false).unwrap().playbook, "deploy.yml");
        for (playbook, tags, why) in [
            ("other.yml", &[][..], "it offers deploy.yml, audit.yml, site.yml"),
            ("deploy.yml", &["web"], "does not offer tag \"web\""),
            ("audit.yml", &[], "check mode only"),
        ] {
            let said = ask(Some(playbook), tags, false).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
        assert!(ask(Some("audit.yml"), &[], true).is_ok());
    }

    #[test]
    fn without_a_cluster_it_must_be_named() {
        let wish = Wish { playbook: Some("x.yml"), revision: Some("v2"), ..Wish::default() };
        let choice = choose(None, wish).unwrap();
        assert_eq!((choice.playbook.as_str(), choice.revision.as_deref()), ("x.yml", Some("v2")));
        assert!(choose(None, Wish::default()).unwrap_err().contains("no playbook is named"));
    }
}
