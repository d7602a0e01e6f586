//! `inv-tui --headless config`: writes, describes and checks the explorer's configuration file, and
//! says which paths are used.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::config::{self, settings};
use crate::error::{EXIT_DONE, EXIT_USAGE, Error, Result};
use crate::journal::Journal;
use crate::model::text::clean;
use crate::store::client::ConnectOptions;
use crate::ui::configured;
use crate::ui::theme;

/// Write, describe or check the explorer's configuration file.
///
/// Exit codes: 0 done, or nothing is wrong; 2 something is wrong, or wrong usage.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "one for each thing to do, of which one is named"
)]
pub struct ConfigArgs {
    /// Write a file with every setting and its default; one that is there is never overwritten
    #[arg(long)]
    pub init: bool,
    /// Print the JSON schema of the file, which editors check it against
    #[arg(long)]
    pub schema: bool,
    /// Say everything that is wrong with the file, its themes and its keys
    #[arg(long)]
    pub check: bool,
    /// Print every path that is used, and whether it is there
    #[arg(long)]
    pub paths: bool,
}

/// Runs the task.
///
/// # Errors
/// The file is there already, cannot be written or read, or standard output cannot be written.
pub fn run(args: &ConfigArgs, file: Option<&Path>, server: &ConnectOptions) -> Result<u8> {
    let out = std::io::stdout();
    let fail = |cause| Error::new("cannot write to standard output").because(cause);
    if args.init {
        let path = init(file)?;
        writeln!(out.lock(), "written: \"{}\"", path.display()).map_err(fail)?;
    } else if args.schema {
        let text = serde_json::to_string_pretty(&settings::schema())
            .map_err(|cause| Error::new("cannot print the schema").because(cause))?;
        writeln!(out.lock(), "{text}").map_err(fail)?;
    } else if args.paths {
        for (what, path) in paths(file, server) {
            let line = match path {
                Some(path) => {
                    let there = if path.exists() { "" } else { "  (not there)" };
                    format!("{what:<12}{}{there}", clean(&path.display().to_string()))
                }
                None => format!("{what:<12}(no home folder)"),
            };
            writeln!(out.lock(), "{line}").map_err(fail)?;
        }
    } else {
        return check(file, &mut out.lock());
    }
    Ok(EXIT_DONE)
}

/// Writes the default file, readable by its owner alone.
fn init(file: Option<&Path>) -> Result<PathBuf> {
    let path = file.map(Path::to_owned).or_else(config::default_file).ok_or_else(|| {
        Error::usage("there is no home folder to keep a configuration in")
            .hint("name a file with --config")
    })?;
    let fail = |cause: std::io::Error| {
        if cause.kind() == std::io::ErrorKind::AlreadyExists {
            return Error::usage(format!("\"{}\" is there already", path.display()))
                .hint("move it away, or name another file with --config");
        }
        Error::usage(format!("cannot write \"{}\"", path.display())).because(cause)
    };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder).map_err(fail)?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let text = format!(
        "# The configuration of inv-tui: every setting with its default.\n\n{}",
        settings::text(false)
    );
    let written = options.open(&path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(fail)?;
    Ok(path)
}

/// Says everything that is wrong, one line and one hint each.
fn check(file: Option<&Path>, out: &mut impl Write) -> Result<u8> {
    let read = config::read(file)?;
    let path = read.path.as_deref().map_or_else(String::new, |path| path.display().to_string());
    let path = clean(&path);
    let written = match configured::parse(&read, config::themes_folder().as_deref()) {
        Ok(_) if read.text.is_none() => {
            writeln!(out, "there is no \"{path}\": everything by default").map(|()| EXIT_DONE)
        }
        Ok(_) => writeln!(out, "\"{path}\" is in order").map(|()| EXIT_DONE),
        Err(wrong) => wrong
            .iter()
            .try_for_each(|wrong| {
                let (what, hint) = (clean(&wrong.what), clean(&wrong.hint));
                writeln!(out, "{path}:{}:{}: {what}\n    hint: {hint}", wrong.line, wrong.column)
            })
            .map(|()| EXIT_USAGE),
    };
    written.map_err(|cause| Error::new("cannot write to standard output").because(cause))
}

/// Every path that is used, with what it is.
fn paths(file: Option<&Path>, server: &ConnectOptions) -> Vec<(&'static str, Option<PathBuf>)> {
    let mut paths = vec![
        ("config", file.map(Path::to_owned).or_else(config::default_file)),
        ("themes", config::themes_folder()),
    ];
    let folder = config::themes_folder();
    let own = theme::names(folder.as_deref()).into_iter().skip(theme::BUILT_IN.len());
    paths.extend(own.map(|name| ("theme", theme::file_of(&name, folder.as_deref()))));
    paths.push(("data", server.data_folder.clone().or_else(config::data_folder)));
    paths.push(("cache", config::cache_folder()));
    paths.push(("journal", Journal::own().map(|journal| journal.path().to_owned())));
    match (&server.kubeconfig, std::env::var_os("KUBECONFIG").filter(|value| !value.is_empty())) {
        (Some(file), _) => paths.push(("kubeconfig", Some(file.clone()))),
        (None, Some(list)) => {
            let files = std::env::split_paths(&list).filter(|path| !path.as_os_str().is_empty());
            paths.extend(files.map(|path| ("kubeconfig", Some(path))));
        }
        (None, None) => {
            let home = directories::BaseDirs::new();
            paths.push(("kubeconfig", home.map(|dirs| dirs.home_dir().join(".kube/config"))));
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_file_is_written_once_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/config.toml");
        assert_eq!(init(Some(&path)).unwrap(), path);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        }
        let mut out = Vec::new();
        assert_eq!(check(Some(&path), &mut out).unwrap(), EXIT_DONE);
        assert!(String::from_utf8(out).unwrap().contains("is in order"));
        std::fs::write(&path, "theme = \"day\"\n").unwrap();
        let error = init(Some(&path)).unwrap_err();
        assert!(error.to_string().contains("is there already"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "theme = \"day\"\n");
    }

    #[test]
    fn everything_that_is_wrong_has_a_line_and_a_hint() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        std::fs::write(
            &path,
            "theme = \"nope\"\n[keys]\nmaintenance = [\"space\"]\nhlep = [\"?\"]\n",
        )
        .unwrap();
        let mut out = Vec::new();
        assert_eq!(check(Some(&path), &mut out).unwrap(), EXIT_USAGE);
        let out = String::from_utf8(out).unwrap();
        assert_eq!(out.lines().count(), 6, "{out}");
        for part in [
            "config.toml:1:9: there is no theme",
            "config.toml:3:15: \"space\"",
            "config.toml:4:8: there is no action \"hlep\"",
            "did you mean \"help\"?",
        ] {
            assert!(out.contains(part), "{part}\n{out}");
        }
    }
}
