//! The filters that this person typed before, one on each line of a file, the latest last.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::files;

/// Most filters that are kept.
pub const MAX: usize = 200;
/// Largest file in bytes that is read: [`MAX`] of the longest filters.
const MAX_BYTES: u64 = 1024 * 1024;

/// Where they are kept, for example `~/.local/state/inv-tui/filters`. None where there is no home.
pub fn own() -> Option<PathBuf> {
    super::state_folder().map(|folder| folder.join("filters"))
}

/// The filters of a file, the latest first.
///
/// # Errors
/// The file is there and cannot be read.
pub fn read(file: &Path) -> io::Result<Vec<String>> {
    let text = match std::fs::metadata(file) {
        Ok(about) if about.len() > MAX_BYTES => String::new(),
        Ok(_) => std::fs::read_to_string(file)?,
        Err(cause) if cause.kind() == ErrorKind::NotFound => String::new(),
        Err(cause) => return Err(cause),
    };
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    Ok(lines.rev().take(MAX).map(ToOwned::to_owned).collect())
}

/// Puts a filter behind the others; it stands there once. The file is exchanged as a whole.
///
/// # Errors
/// The file cannot be read or written.
pub fn keep(file: &Path, filter: &str) -> io::Result<()> {
    let filter = filter.trim();
    if filter.is_empty() || filter.contains('\n') {
        return Ok(());
    }
    let mut known = read(file)?;
    known.retain(|line| line != filter);
    known.insert(0, filter.to_owned());
    known.truncate(MAX);
    let lines: Vec<&str> = known.iter().rev().map(String::as_str).collect();
    files::write(file, format!("{}\n", lines.join("\n")).as_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_latest_stands_first_and_each_once() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a/filters");
        assert!(read(&file).unwrap().is_empty());
        for filter in ["env=prod", " web ", "", "env=prod"] {
            keep(&file, filter).unwrap();
        }
        assert_eq!(read(&file).unwrap(), ["env=prod", "web"]);
        for number in 0..MAX + 5 {
            keep(&file, &format!("rack={number}")).unwrap();
        }
        let kept = read(&file).unwrap();
        assert_eq!((kept.len(), kept[0].as_str()), (MAX, "rack=204"));
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
    }
}
