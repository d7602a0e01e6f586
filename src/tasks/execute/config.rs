//! What may be run, and from where: the part of the agent's and the runner's file that is theirs in
//! common. What a request may choose is chosen from here; the API server decides nothing else.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::error::{Error, Result};
use crate::model::duration;
use crate::model::host::AnsibleRequest;

/// Variables that are Ansible's own and change how or where it works.
const RESERVED: [&str; 12] = [
    "environment",
    "groups",
    "group_names",
    "hostvars",
    "inventory_dir",
    "inventory_file",
    "inventory_hostname",
    "inventory_hostname_short",
    "omit",
    "play_hosts",
    "playbook_dir",
    "vars",
];

/// `[ansible]` of the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Ansible {
    /// The program, `ansible-playbook` or a path of it; `ansible-pull` stands beside it.
    #[serde(default = "program")]
    pub(crate) program: PathBuf,
    /// Folder that playbooks are relative to. With `git`: below which the checkout is kept.
    pub(crate) root: PathBuf,
    /// Repository that is brought up to date before each run (`ansible-pull`). None: what is in
    /// `root` is run as it is.
    #[serde(default)]
    pub(crate) git: Option<Git>,
    /// Playbooks that may be run; no others.
    #[serde(default, rename = "playbook")]
    pub(crate) playbooks: Vec<Allowed>,
    /// How long a run may take that says nothing itself, and at most.
    #[serde(default = "hour", deserialize_with = "length")]
    pub(crate) timeout: Duration,
    /// Variables of the environment that a run gets, beside PATH, HOME and the language.
    #[serde(default)]
    pub(crate) environment: Vec<String>,
}

/// A repository with playbooks.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Git {
    /// Its URL, as git takes it.
    pub(crate) url: String,
    /// Revision of a request that names none.
    pub(crate) revision: String,
    /// Revisions that a request may name; a `*` at the end takes whatever follows.
    #[serde(default)]
    pub(crate) revisions: Vec<String>,
}

/// A playbook that may be run.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Allowed {
    /// Relative to the root, exactly as a request names it.
    pub(crate) path: String,
    /// Tags that may be chosen. None: any.
    #[serde(default)]
    pub(crate) tags: Option<Vec<String>>,
    /// Variables that may be set. None: any that is not Ansible's own.
    #[serde(default)]
    pub(crate) variables: Option<Vec<String>>,
    /// It runs in check mode only.
    #[serde(default)]
    pub(crate) check_only: bool,
}

fn program() -> PathBuf {
    PathBuf::from("ansible-playbook")
}

fn hour() -> Duration {
    Duration::from_hours(1)
}

/// A length of time such as `10m`, of a second at least.
pub(crate) fn length<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    let length = duration::parse(&text).map_err(serde::de::Error::custom)?;
    if length < Duration::from_secs(1) {
        return Err(serde::de::Error::custom("a length of time here is at least 1s"));
    }
    Ok(length)
}

/// Why a request is not run. The text is for the person who asked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal(pub(crate) String);

impl Ansible {
    /// Checks what serde cannot.
    ///
    /// # Errors
    /// A path that is not one, with the exit code for set-up.
    pub(crate) fn check(&self) -> Result<()> {
        if !self.root.is_absolute() {
            return Err(Error::usage("ansible.root is not an absolute path"));
        }
        if let Some(git) = &self.git
            && (git.url.starts_with('-') || !is_revision(&git.revision))
        {
            return Err(Error::usage("ansible.git needs a url and a revision that git can take"));
        }
        match self.playbooks.iter().find(|allowed| !is_relative(&allowed.path)) {
            Some(bad) => Err(Error::usage(format!(
                "the playbook \"{}\" is not a relative path without ..",
                bad.path
            ))),
            None => Ok(()),
        }
    }

    /// Whether the request may be run, and how long it may take.
    pub(crate) fn permits(&self, request: &AnsibleRequest) -> Result<Duration, Refusal> {
        let refuse = |why: String| Err(Refusal(why));
        let Some(allowed) = self.playbooks.iter().find(|one| one.path == request.playbook) else {
            let known: Vec<&str> = self.playbooks.iter().map(|one| one.path.as_str()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return refuse(format!(
                "playbook {} is not allowed here; allowed: {known}",
                request.playbook
            ));
        };
        if allowed.check_only && !request.check {
            return refuse(format!("playbook {} is allowed in check mode only", request.playbook));
        }
        for tag in &request.tags {
            let listed = allowed.tags.as_ref().is_none_or(|tags| tags.contains(tag));
            if !is_tag(tag) || !listed {
                return refuse(format!("tag {tag} is not allowed for {}", request.playbook));
            }
        }
        for name in request.extra_vars.keys() {
            let listed = allowed.variables.as_ref().is_none_or(|names| names.contains(name));
            if !is_variable(name) || !listed {
                return refuse(format!("variable {name} is not allowed for {}", request.playbook));
            }
        }
        match (&request.revision, &self.git) {
            (Some(wanted), Some(git)) if !git.permits(wanted) => {
                return refuse(format!("revision {wanted} is not allowed here"));
            }
            // Nothing is checked out here: what stands in the root is what there is.
            _ => {}
        }
        let asked = request.timeout_seconds.and_then(|s| u64::try_from(s).ok());
        Ok(asked.map_or(self.timeout, |s| Duration::from_secs(s.max(1)).min(self.timeout)))
    }

    /// The playbook's file, which really stands below the root.
    ///
    /// # Errors
    /// It is not there, or a link leads out of the root.
    pub(crate) fn file(&self, playbook: &str) -> Result<PathBuf, Refusal> {
        let find = || -> std::io::Result<(PathBuf, PathBuf)> {
            let root = self.root.canonicalize()?;
            let file = root.join(playbook).canonicalize()?;
            Ok((root, file))
        };
        match find() {
            Ok((root, file)) if file.starts_with(&root) && file.is_file() => Ok(file),
            Ok(_) => Err(Refusal(format!("playbook {playbook} is no file below the root"))),
            Err(cause) => Err(Refusal(format!("playbook {playbook} cannot be read: {cause}"))),
        }
    }
}

impl Git {
    fn permits(&self, revision: &str) -> bool {
        let listed = self.revisions.iter().any(|one| match one.strip_suffix('*') {
            Some(begin) => revision.starts_with(begin),
            None => one == revision,
        });
        is_revision(revision) && (listed || revision == self.revision)
    }
}

fn is_relative(path: &str) -> bool {
    !path.is_empty()
        && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

/// What git takes as a revision and nobody takes as an option.
fn is_revision(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || "._/@+-".contains(c);
    !text.is_empty() && !text.starts_with('-') && !text.contains("..") && text.chars().all(legal)
}

fn is_tag(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || "._:-".contains(c);
    !text.is_empty() && !text.starts_with('-') && text.chars().all(legal)
}

/// A name that Ansible takes for a variable and that is not one of its own.
fn is_variable(name: &str) -> bool {
    let mut all = name.chars();
    all.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && all.all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !name.starts_with("ansible_")
        && !RESERVED.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ansible(text: &str) -> Ansible {
        toml::from_str(text).unwrap()
    }

    fn rules() -> Ansible {
        ansible(
            r#"
            root = "/srv/ansible"
            timeout = "10m"
            git = { url = "https://git.example/a.git", revision = "main", revisions = ["release-*"] }
            [[playbook]]
            path = "site.yml"
            tags = ["packages"]
            variables = ["version"]
            [[playbook]]
            path = "audit/all.yml"
            check-only = true
            "#,
        )
    }

    fn request(playbook: &str) -> AnsibleRequest {
        serde_json::from_value(serde_json::json!({"requestID": "r", "playbook": playbook})).unwrap()
    }

    #[test]
    fn only_what_is_listed_is_run() {
        let rules = rules();
        rules.check().unwrap();
        let site = request("site.yml");
        assert_eq!(rules.permits(&site).unwrap(), Duration::from_mins(10));
        let refused = |change: fn(&mut AnsibleRequest)| {
            let mut request = site.clone();
            change(&mut request);
            rules.permits(&request).unwrap_err().0
        };
        assert!(refused(|r| r.playbook = "other.yml".into()).contains("allowed: site.yml"));
        assert!(refused(|r| r.playbook = "./site.yml".into()).contains("not allowed"));
        assert!(refused(|r| r.playbook = "audit/all.yml".into()).contains("check mode only"));
        assert!(refused(|r| r.tags = vec!["users".into()]).contains("tag users"));
        assert!(refused(|r| r.revision = Some("evil".into())).contains("revision evil"));
        assert!(refused(|r| r.revision = Some("release-..".into())).contains("revision"));
        assert!(
            refused(|r| drop(r.extra_vars.insert("x".into(), String::new())))
                .contains("variable x")
        );
        let mut fine = request("audit/all.yml");
        fine.check = true;
        fine.revision = Some("release-7".into());
        fine.timeout_seconds = Some(5);
        fine.extra_vars.insert("any".into(), "$(x)".into());
        assert_eq!(rules.permits(&fine).unwrap(), Duration::from_secs(5));
        for name in ["ansible_connection", "hostvars", "1x", "a-b", "", "a b"] {
            let mut bad = fine.clone();
            bad.extra_vars.insert(name.into(), String::new());
            assert!(rules.permits(&bad).unwrap_err().0.contains("variable"), "{name}");
        }
        for tag in ["--check", "a,b", "$(x)", ""] {
            let mut bad = fine.clone();
            bad.tags.push(tag.into());
            assert!(rules.permits(&bad).unwrap_err().0.contains("tag"), "{tag}");
        }
    }

    #[test]
    fn a_playbook_stands_below_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir(&root).unwrap();
        std::fs::write(root.join("in.yml"), "").unwrap();
        std::fs::write(dir.path().join("out.yml"), "").unwrap();
        std::os::unix::fs::symlink("../out.yml", root.join("link.yml")).unwrap();
        let rules = Ansible { root, ..rules() };
        assert!(rules.file("in.yml").unwrap().ends_with("in.yml"));
        assert!(rules.file("link.yml").unwrap_err().0.contains("no file below the root"));
        assert!(rules.file("none.yml").unwrap_err().0.contains("cannot be read"));
    }

    #[test]
    fn a_file_with_a_mistake_is_refused() {
        for (text, why) in [
            ("root = \"relative\"", "absolute"),
            ("root = \"/a\"\n[[playbook]]\npath = \"../x\"", "relative path"),
            ("root = \"/a\"\ngit = { url = \"--upload-pack=x\", revision = \"main\" }", "git"),
        ] {
            assert!(ansible(text).check().unwrap_err().to_string().contains(why), "{text}");
        }
        assert!(toml::from_str::<Ansible>("root = \"/a\"\ntimeout = \"0s\"").is_err());
        assert!(toml::from_str::<Ansible>("root = \"/a\"\nplaybok = 1").is_err());
    }
}
