//! The folder of a service: private, and of one process at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::files;

/// A folder that is ours. Another process can have it when this is dropped, or when we die.
#[derive(Debug)]
pub(super) struct Folder {
    /// Its path, without links.
    pub(super) path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Takes the folder, which is made with mode 0700 if it is missing. `service` is what works in it,
    /// for example `runner`.
    ///
    /// # Errors
    /// It cannot be used; the exit code is for set-up. Another process has it; the exit code says so.
    pub(super) fn take(folder: &Path, service: &str) -> Result<Self> {
        let shown = folder.display();
        let unusable = |cause: std::io::Error| {
            Error::usage(format!("cannot use the folder \"{shown}\""))
                .because(cause)
                .hint(format!("the {service} needs a folder of its own; name one with --state-dir"))
        };
        files::make_folder(folder).map_err(unusable)?;
        let path = folder.canonicalize().map_err(unusable)?;
        let mut options = OpenOptions::new();
        let options = options.create(true).truncate(false).write(true).mode(0o600);
        let lock = options.open(path.join("lock")).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                Err(Error::new(format!("another {service} works in the folder \"{shown}\""))
                    .hint(format!(
                        "stop it first, or give each {service} a folder of its own with --state-dir"
                    ))
                    .as_busy())
            }
            Err(TryLockError::Error(cause)) => Err(unusable(cause)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::error::{EXIT_BUSY, EXIT_USAGE};

    #[test]
    fn a_folder_has_one_process_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("state");
        let first = Folder::take(&place, "agent").unwrap();
        let error = Folder::take(&place, "agent").unwrap_err();
        assert!(error.to_string().starts_with("another agent works in the folder"), "{error}");
        assert_eq!(error.exit_code(), EXIT_BUSY);
        drop(first);
        let again = Folder::take(&place, "agent").unwrap();
        assert_eq!(std::fs::metadata(&again.path).unwrap().mode() & 0o777, 0o700);
        std::fs::write(dir.path().join("file"), "").unwrap();
        let error = Folder::take(&dir.path().join("file"), "agent").unwrap_err();
        assert_eq!(error.exit_code(), EXIT_USAGE);
    }
}
