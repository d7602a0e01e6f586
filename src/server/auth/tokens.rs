//! Bearer tokens from a file, in the form of kube-apiserver's `--token-auth-file`:
//! `token,user,uid,"group1,group2"`, one user a line.

use std::fmt;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::{AUTHENTICATED, User, files};
use crate::error::{Error, Result};

/// The tokens that this server knows, each only as its SHA-256.
#[derive(Default)]
pub struct Tokens(Vec<([u8; 32], User)>);

impl Tokens {
    /// No tokens: nobody can use one.
    pub fn none() -> Self {
        Self::default()
    }

    /// The tokens of a file.
    ///
    /// # Errors
    ///
    /// If it is not there, open to others, or not in the form above.
    pub fn open(path: &Path) -> Result<Self> {
        let text = files::read_private(path)?.ok_or_else(|| {
            Error::usage(format!("there is no token file \"{}\"", path.display()))
        })?;
        Self::parse(&text).map_err(|why| {
            Error::usage(format!("the token file \"{}\" cannot be used", path.display()))
                .because(why)
                .hint("each line is TOKEN,USER,UID or TOKEN,USER,UID,\"GROUP,GROUP\"")
        })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut all: Vec<([u8; 32], User)> = Vec::new();
        for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let bad = |why: &str| format!("line {}: {why}", at + 1);
            let fields = fields(line).ok_or_else(|| bad("a quote is not closed"))?;
            let mut fields = fields.iter().map(|field| field.trim());
            let (Some(token), Some(name), Some(uid)) =
                (fields.next(), fields.next(), fields.next())
            else {
                return Err(bad("it has fewer than three columns"));
            };
            if token.is_empty() || name.is_empty() {
                return Err(bad("the token or the user is empty"));
            }
            let digest = Sha256::digest(token).into();
            if all.iter().any(|(known, _)| *known == digest) {
                return Err(bad("the token was there before"));
            }
            let groups = fields.next().unwrap_or_default().split(',').map(str::trim);
            let groups: Vec<&str> = groups.filter(|group| !group.is_empty()).collect();
            if groups.contains(&AUTHENTICATED) {
                return Err(bad("the group system:authenticated is not for a file to give"));
            }
            all.push((digest, User { uid: uid.to_owned(), ..User::new(name, &groups) }));
        }
        Ok(Self(all))
    }

    /// Whose token it is. Every known token is compared, and in the same time whatever the bytes
    /// are: what is compared are digests, of which nobody can choose the beginning.
    pub fn user(&self, token: &[u8]) -> Option<User> {
        let digest: [u8; 32] = Sha256::digest(token).into();
        let mut found = None;
        for (known, user) in &self.0 {
            let differs = known.iter().zip(digest).fold(0, |sum, (a, b)| sum | (a ^ b));
            if differs == 0 {
                found = Some(user);
            }
        }
        found.cloned()
    }
}

/// The columns of one line; a column in double quotes may hold commas and doubled quotes.
fn fields(line: &str) -> Option<Vec<String>> {
    let (mut all, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                field.push('"');
            }
            '"' if quoted || field.trim().is_empty() => quoted = !quoted,
            ',' if !quoted => all.push(std::mem::take(&mut field)),
            other => field.push(other),
        }
    }
    all.push(field);
    (!quoted).then_some(all)
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "s3cret,ann,u1,\"inv:viewers,inv:operators\"\n\n\"t,\"\"2\",bob,u2\r\n";

    #[test]
    fn a_token_stands_for_a_user_in_groups() {
        let tokens = Tokens::parse(FILE).unwrap();
        let ann = tokens.user(b"s3cret").unwrap();
        assert_eq!((ann.name.as_str(), ann.uid.as_str()), ("ann", "u1"));
        assert_eq!(ann.groups, ["inv:viewers", "inv:operators", AUTHENTICATED]);
        let bob = tokens.user(b"t,\"2").unwrap();
        assert_eq!((bob.name.as_str(), bob.uid.as_str()), ("bob", "u2"));
        assert_eq!(bob.groups, [AUTHENTICATED]);
    }

    #[test]
    fn other_tokens_stand_for_nobody() {
        let tokens = Tokens::parse(FILE).unwrap();
        for token in [&b"s3cre"[..], b"s3cret ", b"S3CRET", b"", b"ann"] {
            assert_eq!(tokens.user(token), None);
        }
        assert_eq!(Tokens::none().user(b""), None);
    }

    #[test]
    fn errors_name_the_line_and_never_the_token() {
        for (text, part) in [
            ("s3cret,ann", "line 1: it has fewer"),
            ("a,b,c\ns3cret,ann,\"x", "line 2: a quote"),
            ("s3cret,,x", "empty"),
            (",ann,x", "empty"),
            ("s3cret,ann,1\ns3cret,bob,2", "line 2: the token was there"),
            ("s3cret,ann,1,system:authenticated", "not for a file"),
        ] {
            let error = Tokens::parse(text).unwrap_err();
            assert!(error.contains(part), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
        assert!(!format!("{:?}", Tokens::parse(FILE).unwrap()).contains("ann"));
    }

    #[test]
    fn the_file_must_be_private() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.csv");
        assert!(Tokens::open(&path).unwrap_err().to_string().contains("no token file"));
        std::fs::write(&path, FILE).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        assert!(Tokens::open(&path).unwrap_err().to_string().contains("open to others"));
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        assert!(Tokens::open(&path).unwrap().user(b"s3cret").is_some());
    }
}
