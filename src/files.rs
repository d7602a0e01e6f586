//! Private files of ours, mode 0600, that are exchanged in one step: a new one is written beside the
//! old one, and takes its name when it is whole. Of one that is given up nothing stays.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A file on its way to its name. Dropped before [`Fresh::keep`], it goes away.
#[derive(Debug)]
pub struct Fresh {
    file: File,
    path: Unkept,
    goal: PathBuf,
}

/// A file that goes away with this.
#[derive(Debug)]
struct Unkept(PathBuf);

impl Drop for Unkept {
    fn drop(&mut self) {
        // Once it has its name there is nothing under this one.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Fresh {
    /// An empty file that will take the place of this one.
    ///
    /// # Errors
    /// The folder is not there or may not be written.
    pub fn beside(goal: &Path) -> io::Result<Self> {
        let path = folder(goal).join(format!(".{:016x}.new", fastrand::u64(..)));
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Self { file, path: Unkept(path), goal: goal.to_owned() })
    }

    /// Sees to it that what has been written survives a power cut.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// Puts it in the place of the old one.
    ///
    /// # Errors
    /// There is something that it cannot take the place of.
    pub fn keep(self) -> io::Result<()> {
        std::fs::rename(&self.path.0, &self.goal)
    }
}

impl Write for Fresh {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Read for Fresh {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.file.read(bytes)
    }
}

impl Seek for Fresh {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

/// Exchanges a file as a whole. Makes its folder (0700) where there is none.
///
/// # Errors
/// It cannot be written; the old one stands as it was.
pub fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    make_folder(folder(path))?;
    let mut fresh = Fresh::beside(path)?;
    fresh.write_all(text)?;
    fresh.keep()
}

/// Exchanges a file as a whole, in a folder that is there; what is new survives a power cut.
///
/// # Errors
/// It cannot be written; the old one stands as it was, unless only its name is not safe yet.
pub fn write_safely(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut fresh = Fresh::beside(path)?;
    fresh.write_all(text)?;
    fresh.sync()?;
    fresh.keep()?;
    // The new name must survive it too.
    File::open(folder(path))?.sync_all()
}

/// Makes a folder that nobody else may enter, with those above it, where it is not there.
///
/// # Errors
/// It cannot be made.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Removes the oldest files of a folder that has more than so many.
pub fn prune(folder: &Path, most: usize) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut files: Vec<_> = entries
        .flatten()
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    files.sort_unstable();
    let extra = files.len().saturating_sub(most);
    for (_, path) in files.into_iter().take(extra) {
        let _ = std::fs::remove_file(path);
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn a_file_is_exchanged_whole_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a/b");
        let path = folder.join("x");
        assert!(write_safely(&path, b"no folder").is_err());
        write(&path, b"old").unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&path)), (0o700, 0o600));
        let mut half = Fresh::beside(&path).unwrap();
        half.write_all(b"half").unwrap();
        drop(half);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        write_safely(&path, b"new").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        std::fs::create_dir(folder.join("taken")).unwrap();
        assert!(write(&folder.join("taken"), b"a folder has the name").is_err());
        assert_eq!(names(&folder), ["taken", "x"]);
    }

    #[test]
    fn the_oldest_of_too_many_go() {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..5_u64 {
            let path = dir.path().join(number.to_string());
            let file = File::create(&path).unwrap();
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(100 - number);
            file.set_modified(time).unwrap();
        }
        prune(dir.path(), 2);
        assert_eq!(names(dir.path()), ["0", "1"]);
        prune(&dir.path().join("nowhere"), 2);
    }
}
