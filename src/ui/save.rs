//! Writes what a page shows into a file of its own.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use directories::ProjectDirs;

use crate::error::{Error, Result};
use crate::model::text::is_hostile;

/// Most files of one name.
const MAX: usize = 1_000;
/// Longest name in characters.
const MAX_NAME: usize = 80;

/// Writes a text, made harmless, into a new file in the folder of this program's state, and gives
/// its path. Nothing is ever written over. May block.
///
/// # Errors
/// There is no home folder, or it cannot be written.
pub(super) fn save(name: &str, text: &str) -> Result<String> {
    let folder = ProjectDirs::from("dev", "inv-tui", "inv-tui")
        .map(|dirs| dirs.state_dir().unwrap_or_else(|| dirs.data_local_dir()).join("pages"));
    let folder =
        folder.ok_or_else(|| Error::new("there is no home folder to write a page into"))?;
    save_in(&folder, name, text)
}

fn save_in(folder: &Path, name: &str, text: &str) -> Result<String> {
    let fail = |path: &Path, cause| {
        Error::new(format!("cannot write \"{}\"", path.display())).because(cause)
    };
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700).create(folder).map_err(|cause| fail(folder, cause))?;
    let legal = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    let name: String =
        name.chars().map(|c| if legal(c) { c } else { '-' }).take(MAX_NAME).collect();
    let kept = |c: char| c == '\n' || c == '\t' || !is_hostile(c);
    let text: String = text.chars().map(|c| if kept(c) { c } else { '\u{FFFD}' }).collect();
    for number in 1..=MAX {
        let end = if number == 1 { String::new() } else { format!("-{number}") };
        let path = folder.join(format!("{name}{end}.txt"));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        match file {
            Ok(mut file) => {
                file.write_all(text.as_bytes()).map_err(|cause| fail(&path, cause))?;
                return Ok(path.display().to_string());
            }
            Err(cause) if cause.kind() == ErrorKind::AlreadyExists => {}
            Err(cause) => return Err(fail(&path, cause)),
        }
    }
    Err(Error::new(format!("there are {MAX} pages of {name} in \"{}\"", folder.display()))
        .hint("remove those that are not needed"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn each_page_is_a_private_file_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let one = save_in(folder.path(), "../web 1-yaml", "a\u{1b}b\n").unwrap();
        let two = save_in(folder.path(), "../web 1-yaml", "c").unwrap();
        assert!(one.ends_with("/---web-1-yaml.txt") && two.ends_with("/---web-1-yaml-2.txt"));
        assert_eq!(std::fs::read_to_string(&one).unwrap(), "a\u{FFFD}b\n");
        let mode = std::fs::metadata(&one).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
