//! The file that Ansible calls: it can be given no arguments, so they stand in the file.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::AnsibleInventoryArgs;
use crate::error::{Error, Result};
use crate::model::selection::Include;
use crate::store::client::ConnectOptions;

/// How we know a file of ours again.
const MARK: &str = "# Written by inv-tui --headless ansible-inventory --write-wrapper.";

/// Writes the file, and says on standard output how it is used.
///
/// # Errors
/// The file is somebody else's or cannot be written.
pub(super) fn write(
    path: &Path,
    args: &AnsibleInventoryArgs,
    server: &ConnectOptions,
    namespace: &str,
    config: Option<&Path>,
) -> Result<()> {
    let shown = path.display();
    let fail =
        |cause: std::io::Error| Error::usage(format!("cannot write \"{shown}\"")).because(cause);
    match std::fs::read_to_string(path) {
        Ok(text) if text.contains(MARK) => {}
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {}
        _ => {
            return Err(Error::usage(format!(
                "\"{shown}\" is there already and not of this program"
            ))
            .hint("name another file, or remove it first"));
        }
    }
    let program = std::env::current_exe().map_err(fail)?;
    let text = script(&program, &options(args, server, namespace, config).map_err(fail)?);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let fresh = folder
        .unwrap_or_else(|| Path::new("."))
        .join(format!(".inv-tui-{:016x}", fastrand::u64(..)));
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o755).open(&fresh).map_err(fail)?;
    let done = file.write_all(&text).and_then(|()| std::fs::rename(&fresh, path));
    if let Err(cause) = done {
        let _ = std::fs::remove_file(&fresh);
        return Err(fail(cause));
    }
    let lines = format!(
        "wrote {shown}\n\
         look at it:   ansible-inventory -i {shown} --graph\n\
         Ansible goes on without an inventory that fails, unless told otherwise:\n\
         \x20             export ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED=1\n"
    );
    std::io::stdout().write_all(lines.as_bytes()).map_err(fail)
}

/// The options as one word each, paths from the root.
fn options(
    args: &AnsibleInventoryArgs,
    server: &ConnectOptions,
    namespace: &str,
    config: Option<&Path>,
) -> std::io::Result<Vec<Vec<u8>>> {
    let mut all: Vec<Vec<u8>> = Vec::new();
    let mut put = |name: &str, value: &[u8]| {
        all.push([b"--", name.as_bytes(), b"=", value].concat());
    };
    let absolute = |path: &PathBuf| std::path::absolute(path);
    if let Some(path) = &server.kubeconfig {
        put("kubeconfig", absolute(path)?.as_os_str().as_bytes());
    }
    if let Some(context) = &server.context {
        put("context", context.as_bytes());
    }
    if let Some(path) = &server.data_folder {
        put("data-dir", absolute(path)?.as_os_str().as_bytes());
    }
    put("namespace", namespace.as_bytes());
    if let Some(path) = config {
        put("config", std::path::absolute(path)?.as_os_str().as_bytes());
    }
    if let Some(filter) = &args.select.filter {
        put("filter", filter.as_bytes());
    }
    for include in &args.select.include {
        put(
            "include",
            match include {
                Include::All => "all".as_bytes(),
                Include::One(absence) => absence.as_str().as_bytes(),
            },
        );
    }
    for group in &args.groups {
        put("group", group.to_string().as_bytes());
    }
    for annotation in &args.annotations {
        put("annotation", annotation.as_bytes());
    }
    for address in &args.address {
        put("address", format!("{address:?}").as_bytes());
    }
    if let Some(age) = args.cache {
        let text = age.0.map_or_else(|| "off".to_owned(), |age| format!("{}s", age.as_secs()));
        put("cache", text.as_bytes());
    }
    if args.allow_empty {
        all.push(b"--allow-empty".to_vec());
    }
    if server.embedded {
        all.push(b"--embedded".to_vec());
    }
    Ok(all)
}

fn script(program: &Path, options: &[Vec<u8>]) -> Vec<u8> {
    let mut text = format!("#!/bin/sh\n{MARK}\nexec ").into_bytes();
    text.extend(quoted(program.as_os_str().as_bytes()));
    text.extend(b" --headless ansible-inventory");
    for option in options {
        text.push(b' ');
        text.extend(quoted(option));
    }
    text.extend(b" \"$@\"\n");
    text
}

/// A word as the shell takes it as it is.
fn quoted(word: &[u8]) -> Vec<u8> {
    let mut out = vec![b'\''];
    for byte in word {
        if *byte == b'\'' { out.extend(b"'\\''") } else { out.push(*byte) }
    }
    out.push(b'\'');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_means_anything_to_the_shell() {
        let hostile = "a'b $(touch x) `id` \"c\"\n-d \\";
        let options = vec![[b"--filter=", hostile.as_bytes()].concat()];
        let text = script(Path::new("/bin/echo"), &options);
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("wrapper");
        std::fs::write(&file, text).unwrap();
        let output =
            std::process::Command::new("/bin/sh").arg(&file).arg("--list").output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(said, format!("--headless ansible-inventory --filter={hostile} --list\n"));
    }
}
