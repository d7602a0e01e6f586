//! Files that others read while we write them: a new one takes the place of the old one in one step, and
//! only if something else stands in it.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};

/// Puts a new file in the place of the old one. False if the same stands there already.
///
/// # Errors
/// The folder is not there or may not be written, the disk is full, or another process writes the same
/// file just now.
pub(super) fn replace(path: &Path, text: &[u8], mode: u32) -> io::Result<bool> {
    if stands(path, text)? {
        let old = fs::metadata(path)?.permissions();
        if old.mode() & 0o777 != mode {
            fs::set_permissions(path, Permissions::from_mode(mode))?;
        }
        return Ok(false);
    }
    let (mut file, temporary) = begin(path)?;
    file.write_all(text)?;
    // Whatever the process masks.
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    sync(path)?;
    Ok(true)
}

/// Reads the mode of a file in a configuration, in octal.
pub(super) fn octal<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    let text = String::deserialize(from)?;
    u32::from_str_radix(&text, 8)
        .ok()
        .filter(|mode| *mode <= 0o777)
        .ok_or_else(|| serde::de::Error::custom(format!("\"{text}\" is no mode such as 0644")))
}

/// Whether this text stands in the file; not if there is no file.
///
/// # Errors
/// There is one, and it cannot be read or is no file.
pub(super) fn stands(path: &Path, text: &[u8]) -> io::Result<bool> {
    match fs::metadata(path) {
        Ok(about) if about.is_file() => Ok(fs::read(path)? == text),
        // A device or a folder is not to be renamed away.
        Ok(_) => Err(io::Error::new(ErrorKind::InvalidInput, "it is no file")),
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(false),
        Err(cause) => Err(cause),
    }
}

/// A file beside this one, hidden from patterns such as `*.json` and `*.conf`.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    folder(path).join(format!(".{name}.{ending}"))
}

/// Makes sure that what was done to the names in the folder of this file survives a crash.
///
/// # Errors
/// The folder cannot be read.
pub(super) fn sync(path: &Path) -> io::Result<()> {
    File::open(folder(path))?.sync_all()
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// A new file beside this one, which is ours alone: who finds one that is locked leaves it alone, and one
/// that is not was left by a crash.
fn begin(path: &Path) -> io::Result<(File, PathBuf)> {
    let temporary = beside(path, "new");
    let busy = || io::Error::new(ErrorKind::ResourceBusy, "another process is writing it");
    match fs::symlink_metadata(&temporary) {
        Ok(about) if about.is_file() => {
            let left = OpenOptions::new().write(true).open(&temporary)?;
            left.try_lock().map_err(|_locked| busy())?;
            fs::remove_file(&temporary)?;
        }
        Ok(_) => fs::remove_file(&temporary)?,
        Err(cause) if cause.kind() == ErrorKind::NotFound => {}
        Err(cause) => return Err(cause),
    }
    let new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary);
    let file =
        new.map_err(|cause| if cause.kind() == ErrorKind::AlreadyExists { busy() } else { cause })?;
    file.try_lock().map_err(|_locked| busy())?;
    // Between its making and its lock another process may have taken it for one that was left.
    if fs::metadata(&temporary)?.ino() != file.metadata()?.ino() {
        return Err(busy());
    }
    Ok((file, temporary))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_only_by_another_text() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.json");
        fs::write(dir.path().join(".node.json.new"), "left by a crash").unwrap();
        assert!(replace(&path, b"[]", 0o644).unwrap());
        let first = fs::metadata(&path).unwrap();
        assert_eq!(first.mode() & 0o777, 0o644);
        assert!(!replace(&path, b"[]", 0o644).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().ino(), first.ino());
        let open = File::open(&path).unwrap();
        assert!(replace(&path, b"[1]", 0o600).unwrap());
        assert_eq!(io::read_to_string(open).unwrap(), "[]", "who reads the old one reads it whole");
        assert_eq!(fs::read_to_string(&path).unwrap(), "[1]");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(replace(&dir.path().join("no/node.json"), b"[]", 0o644).is_err());
        assert!(replace(Path::new("/dev/null"), b"[]", 0o644).is_err());
    }

    #[test]
    fn another_mode_is_given_to_the_same_text() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        assert!(replace(&path, b"a", 0o644).unwrap());
        assert!(!replace(&path, b"a", 0o600).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn two_that_write_one_file_do_not_mix_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hosts");
        let (mut other, temporary) = begin(&path).unwrap();
        other.write_all(b"half of").unwrap();
        let problem = replace(&path, b"whole", 0o644).unwrap_err();
        assert_eq!(problem.kind(), ErrorKind::ResourceBusy);
        assert!(temporary.exists() && !path.exists());
        drop(other);
        assert!(replace(&path, b"whole", 0o644).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "whole");
    }
}
