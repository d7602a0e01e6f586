//! Credentials by reference: a configuration names where they are and never has them. They are read
//! when they are needed, so that a changed one is taken up without a restart.

use std::fmt;
use std::path::PathBuf;

use super::{ProviderError, ProviderErrorKind};
use crate::error::{Error, Result};

/// Most bytes of a file with credentials.
const MAX_FILE: u64 = 64 * 1024;

/// Text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes the text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the request that needs it and for nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The text with each occurrence of the secret made unreadable.
    pub fn redact(&self, text: &str) -> String {
        // shorter ones are no secrets, and would make any text unreadable
        if self.0.len() < 4 { text.to_owned() } else { text.replace(&self.0, "***") }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where credentials are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// In this environment variable.
    Environment(String),
    /// In this file, which nobody but its owner may read.
    File(PathBuf),
    /// In this profile of the provider's own configuration.
    Profile(String),
}

impl Reference {
    /// Reads `env:NAME`, `file:PATH` or `profile:NAME`.
    ///
    /// # Errors
    /// Anything else; the text itself is not repeated, since it may be the secret.
    pub fn parse(text: &str) -> Result<Self> {
        match text.split_once(':') {
            Some(("env", name)) if is_variable(name) => Ok(Self::Environment(name.to_owned())),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            Some(("profile", name)) if !name.is_empty() => Ok(Self::Profile(name.to_owned())),
            _ => Err(Error::usage("the value of credentials is no reference")
                .hint("write env:NAME, file:PATH or profile:NAME; never the secret itself")),
        }
    }

    /// Reads the secret: the first line of a file, the value of a variable.
    ///
    /// # Errors
    /// It is not there, is empty, is not text, or others than its owner may read the file.
    pub fn read(&self) -> std::result::Result<Secret, ProviderError> {
        self.get().map_err(|error| ProviderError { kind: ProviderErrorKind::Credentials, error })
    }

    fn get(&self) -> Result<Secret> {
        let text = match self {
            Self::Environment(name) => std::env::var(name).map_err(|cause| {
                Error::usage(format!("no credentials in the environment variable \"{name}\""))
                    .because(cause)
                    .hint(format!("set {name}, or name another place with credentials"))
            })?,
            Self::File(path) => private_file(path)?,
            Self::Profile(name) => {
                return Err(Error::usage(format!(
                    "profile \"{name}\" cannot be read: this provider has no profiles"
                ))
                .hint("write env:NAME or file:PATH"));
            }
        };
        let line = text.lines().next().unwrap_or_default().trim();
        if line.is_empty() || line.chars().any(char::is_control) {
            return Err(Error::usage(format!("the credentials in {self} are empty or no text")));
        }
        Ok(Secret::new(line))
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Profile(name) => write!(f, "profile:{name}"),
        }
    }
}

fn is_variable(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && name.chars().next().is_some_and(|c| !c.is_ascii_digit())
}

fn private_file(path: &std::path::Path) -> Result<String> {
    use std::io::Read as _;
    let what = || format!("cannot read the credentials in \"{}\"", path.display());
    let file = std::fs::File::open(path).map_err(|cause| Error::usage(what()).because(cause))?;
    let meta = file.metadata().map_err(|cause| Error::usage(what()).because(cause))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = meta.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(Error::usage(format!("{}: others may read it (mode {mode:o})", what()))
                .hint(format!("chmod 600 {}", path.display())));
        }
    }
    if !meta.is_file() {
        return Err(Error::usage(format!("{}: it is no file", what())));
    }
    let mut text = String::new();
    file.take(MAX_FILE)
        .read_to_string(&mut text)
        .map_err(|cause| Error::usage(what()).because(cause))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_and_secrets_refused_without_being_repeated() {
        assert_eq!(Reference::parse("env:NB_TOKEN").unwrap().to_string(), "env:NB_TOKEN");
        assert_eq!(Reference::parse("file:/a:b").unwrap(), Reference::File("/a:b".into()));
        assert_eq!(Reference::parse("profile:prod").unwrap(), Reference::Profile("prod".into()));
        for text in ["0123456789abcdef", "env:", "env:a b", "file:", "token:abcdef"] {
            let error = Reference::parse(text).unwrap_err();
            assert!(!crate::error::report(&error).contains("abcdef"), "{text}");
        }
    }

    #[test]
    fn a_secret_is_never_shown() {
        let secret = Secret::new("nbt_k.hunter22");
        assert_eq!(format!("{secret:?}"), "***");
        assert_eq!(secret.redact("no such token nbt_k.hunter22!"), "no such token ***!");
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "secret-token\n# a note\n").unwrap();
        let mode = |mode| std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        let reference = Reference::File(path.clone());
        mode(0o600);
        assert_eq!(reference.read().unwrap().expose(), "secret-token");
        for open in [0o640, 0o604, 0o644] {
            mode(open);
            let problem = reference.read().unwrap_err();
            assert_eq!(problem.kind, ProviderErrorKind::Credentials);
            assert!(problem.error.next_step().unwrap().contains("chmod 600"), "{open:o}");
        }
        mode(0o600);
        std::fs::write(&path, "\n").unwrap();
        assert!(reference.read().is_err());
    }
}
