//! A mark that this person has been told how to begin.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::files;

/// Name of the mark's file in the folder of this program's state.
const FILE: &str = "greeted";

/// Whether this is the first time, and from now on it is not. Where there is no place for the mark
/// it is never: nobody wants to be told each time. May block.
pub fn is_first() -> bool {
    super::state_folder().is_some_and(|folder| is_first_in(&folder))
}

fn is_first_in(folder: &Path) -> bool {
    let mut options = OpenOptions::new();
    let mark = options.write(true).create_new(true).mode(0o600);
    files::make_folder(folder).is_ok() && mark.open(folder.join(FILE)).is_ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_is_the_first_time_once() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("state/inv-tui");
        assert!(is_first_in(&folder));
        assert!(!is_first_in(&folder));
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&folder.join(FILE))), (0o700, 0o600));
    }

    #[test]
    fn without_a_place_for_the_mark_it_never_is() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(!is_first_in(&file.join("inv-tui")));
    }
}
