//! Files that only their owner may read.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::{Error, Result};
use crate::files;

/// Nothing that is read here is longer.
const LONGEST: u64 = 1 << 20;

/// Writes a file whole or not at all, with mode 0600.
pub(super) fn write_private(path: &Path, text: &str) -> Result<()> {
    if path.file_name().is_none() {
        return Err(Error::usage(format!("\"{}\" is no name of a file", path.display())));
    }
    files::write_safely(path, text.as_bytes())
        .map_err(|cause| Error::new(format!("cannot write \"{}\"", path.display())).because(cause))
}

/// The text of a file, or none if it is not there.
pub(super) fn read(path: &Path) -> Result<Option<String>> {
    opened(path)?.map(|file| text(path, file)).transpose()
}

/// The text of a file that nobody else may read, or none if it is not there.
///
/// # Errors
///
/// Also if others may read or write it.
pub(super) fn read_private(path: &Path) -> Result<Option<String>> {
    let Some(file) = opened(path)? else { return Ok(None) };
    // Of the file that is read, not of one that had its name a moment ago.
    #[cfg(unix)]
    {
        let found = file.metadata().map_err(|error| cannot_read(path).because(error))?;
        let mode = std::os::unix::fs::MetadataExt::mode(&found) & 0o777;
        if mode & 0o077 != 0 {
            let shown = path.display();
            let what = format!("\"{shown}\" holds a secret and is open to others ({mode:03o})");
            return Err(Error::usage(what).hint(format!("chmod 600 {shown}")));
        }
    }
    text(path, file).map(Some)
}

fn opened(path: &Path) -> Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(cannot_read(path).because(error)),
    }
}

fn text(path: &Path, file: File) -> Result<String> {
    let mut text = String::new();
    match file.take(LONGEST + 1).read_to_string(&mut text) {
        Ok(_) if text.len() as u64 <= LONGEST => Ok(text),
        Ok(_) => Err(cannot_read(path).because(format!("it is longer than {LONGEST} bytes"))),
        Err(error) => Err(cannot_read(path).because(error)),
    }
}

fn cannot_read(path: &Path) -> Error {
    Error::new(format!("cannot read \"{}\"", path.display())).as_usage()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_private_file_is_written_whole_and_read_only_while_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        assert_eq!(read_private(&path).unwrap(), None);
        write_private(&path, "old").unwrap();
        write_private(&path, "new").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read_private(&path).unwrap().as_deref(), Some("new"));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing left over");

        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        let error = read_private(&path).unwrap_err();
        assert!(error.to_string().contains("open to others (640)"), "{error}");
        assert!(error.next_step().unwrap().starts_with("chmod 600 "));
    }

    #[test]
    fn what_cannot_be_written_or_is_too_long_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let error = write_private(&folder.path().join("no/such/key"), "x").unwrap_err();
        assert!(error.to_string().starts_with("cannot write "), "{error}");
        let path = folder.path().join("big");
        write_private(&path, &"x".repeat(usize::try_from(LONGEST).unwrap() + 1)).unwrap();
        assert!(read_private(&path).is_err());
    }
}
